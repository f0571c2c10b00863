"""The file of truths and slips: what is written is read again, to the byte, and no code with it."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import toys

from course import CourseError, fixtures
from course.fixtures import Fixture

TRUTH = {"main": toys.both(toys.X), "one": (np.array(2.5), np.zeros((2, 0)))}
SLIP = toys.slip({"main": (2 * toys.X, toys.X)}, stops="runs: ü")
KEPT = {"toy.both": Fixture(TRUTH, (SLIP,)), "toy.a": Fixture({"main": (np.array([np.nan]),)}, ())}


def written(tmp_path, what=KEPT):
    path = tmp_path / "toy.npz"
    fixtures.write(path, what)
    return path


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(
        a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
        for case in one
        for a, b in zip(one[case], two[case], strict=True)
    )


def test_what_is_written_is_read(tmp_path):
    back = fixtures.read(written(tmp_path))
    assert list(back) == sorted(KEPT)
    for name, kept in KEPT.items():
        assert same(back[name].truth, kept.truth)
    (slip,) = back["toy.both"].slips
    assert same(slip.outputs, SLIP.outputs)
    said = ("name", "title", "read", "hint", "stops")
    assert [getattr(slip, each) for each in said] == [getattr(SLIP, each) for each in said]
    assert back["toy.a"].slips == ()


def test_the_same_content_is_the_same_bytes(tmp_path):
    first = written(tmp_path).read_bytes()
    backwards = dict(reversed(KEPT.items()))
    assert written(tmp_path, backwards).read_bytes() == first


def test_what_a_slip_leaves_right_is_stored_once(tmp_path):
    with np.load(written(tmp_path)) as archive:
        numbers = archive["numbers"]
    assert numbers.size == 6 + 6 + 1 + 0 + 6 + 1, "a = 2 x is the truth's own"


def test_what_is_read_cannot_be_changed(tmp_path):
    array = fixtures.read(written(tmp_path))["toy.both"].truth["main"][0]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1.0


def damaged(tmp_path, damage):
    path = written(tmp_path)
    damage(path)
    return path


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no archive"),
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: zipfile.ZipFile(path, "w").close(),
    ],
)
def test_a_damaged_file_says_where_to_get_another(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(fixtures, "FOLDER", tmp_path)
    damaged(tmp_path, damage)
    fixtures.of_chapter.cache_clear()
    try:
        with pytest.raises(CourseError, match=r"toy\.npz can't be read .* get the folder course/"):
            fixtures.of_chapter("toy")
    finally:
        fixtures.of_chapter.cache_clear()


def test_a_file_with_pickled_objects_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fixtures, "FOLDER", tmp_path)
    np.savez(tmp_path / "toy.npz", index=np.array([{"a": 1}], object), numbers=np.zeros(1))
    with pytest.raises(CourseError, match="ValueError"):
        fixtures.of_chapter("toy")
