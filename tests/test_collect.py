"""``nbgrader zip_collect`` with the class's configuration, on archives that mean harm."""

from __future__ import annotations

import io
import logging
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from nbgrader.apps import ZipCollectApp

from autograder.build import CONFIG, put

BODY = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5, "who": "%s"}'
ADA = "lovelace_101_202_bptt.ipynb", BODY % "lovelace"


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """A class with a submission that must stay, in a folder whose neighbours must stay too."""
    root = tmp_path / "around" / "class"
    put(root / CONFIG.name, CONFIG.read_bytes())
    put(root / "release/bptt/bptt.ipynb", BODY % "release")
    put(root / "source/bptt/bptt.ipynb", BODY % "answers")
    put(root / "gradebook.db", "the gradebook")
    put(root / "submitted/curie/bptt/bptt.ipynb", BODY % "curie")
    put(tmp_path / "around" / "thesis.txt", "mine")
    (root / "downloaded/bptt/archive").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root


def pack(course: Path, *entries, name: str = "all.zip", **how) -> Path:
    """An archive of entries (name or ZipInfo, text) among the downloaded ones."""
    path = course / "downloaded/bptt/archive" / name
    with zipfile.ZipFile(path, "w", **how) as archive:
        for entry, text in entries:
            archive.writestr(entry, text)
    return path


def dated(name: str, day: int) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, (2026, 11, day, 12, 0, 0))


def all_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def collect(course: Path, **traits: int) -> tuple[dict[str, str], str]:
    """Run the command's application: who has whose notebook, and the warnings.

    Fails if anything has changed but submissions and the folder of extracted files.
    """
    before = all_files(course.parent)
    app = ZipCollectApp()
    app.initialize(["bptt", *(f"--Extractor.{key}={value}" for key, value in traits.items())])
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setLevel(logging.WARNING)
    app.log.addHandler(handler)
    try:
        app.start()
    finally:
        app.log.removeHandler(handler)
    after = all_files(course.parent)
    own = ("class/submitted/", "class/downloaded/bptt/extracted/")
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert not [name for name in changed if not name.startswith(own)]
    for folder in ("submitted", "downloaded/bptt/extracted"):
        assert not [path for path in (course / folder).rglob("*") if path.is_symlink()]
    submitted = {
        name.removeprefix("class/submitted/"): text.decode().split('"who": "')[-1][:-2]
        for name, text in after.items()
        if name.startswith("class/submitted/")
    }
    assert submitted.pop("curie/bptt/bptt.ipynb") == "curie"
    return submitted, log.getvalue()


ONLY_ADA = {"lovelace/bptt/bptt.ipynb": "lovelace"}


def test_what_a_learning_management_system_gives_is_collected(course):
    moodle = "Grace Hopper_103_assignsubmission_file_/hopper_bptt.ipynb"
    pack(course, ADA, (moodle, BODY % "hopper"), ("lovelace_101_202_notes.pdf", "x"))
    put(course / "downloaded/bptt/archive/noether_104_205_bptt.ipynb", BODY % "noether")
    submitted, said = collect(course)
    assert submitted == ONLY_ADA | {
        "hopper/bptt/bptt.ipynb": "hopper",
        "noether/bptt/bptt.ipynb": "noether",
    }
    assert "notes.pdf: it is no notebook" in said


OUTSIDE = [
    "../../../../mallory_1_bptt.ipynb",
    "x/../../../../submitted/curie/bptt/mallory_1_bptt.ipynb",
    "/etc/mallory_1_bptt.ipynb",
    "\\..\\..\\..\\mallory_1_bptt.ipynb",
    "C:\\Windows\\mallory_1_bptt.ipynb",
    "..\\..\\mallory_1_bptt.ipynb",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_outside(course, name):
    pack(course, (name, BODY % "mallory"), ADA)
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "its name leads out of the archive" in said


@pytest.mark.parametrize(
    "name",
    [
        ".._1_bptt.ipynb",
        "._1_bptt.ipynb",
        "*_1_bptt.ipynb",
        "<img src=x onerror=alert(1)>_1_bptt.ipynb",
        "-rf_1_bptt.ipynb",
        " _1_bptt.ipynb",
        f"{'m' * 120}_1_bptt.ipynb",
    ],
)
def test_a_name_that_is_no_students(course, name):
    pack(course, (name, BODY % "mallory"), ADA)
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "can't be a student's id" in said


@pytest.mark.parametrize("letter", ["\u202e", "\u2066", "\x1b", "\n", "\u200b", "\x7f", "\ue000"])
def test_a_name_with_characters_that_cannot_be_seen(course, letter):
    pack(course, (f"mal{letter}lory_1_bptt.ipynb", BODY % "mallory"), ADA)
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "characters that can't be seen" in said
    assert letter not in said.replace("\n", "") or letter == "\n"


def test_a_name_that_is_too_long(course):
    pack(course, (f"mallory_{'1' * 300}_bptt.ipynb", BODY % "mallory"), ADA)
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "its name is too long" in said


def test_a_link_in_a_zip(course):
    link = zipfile.ZipInfo("mallory_1_bptt.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    pack(course, (link, str(course / "source/bptt/bptt.ipynb")), ADA)
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "mallory_1_bptt.ipynb: it is a link" in said


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"3"])
def test_a_link_or_a_device_in_a_tar(course, kind):
    path = course / "downloaded/bptt/archive/all.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("mallory_1_bptt.ipynb")
        member.type, member.linkname = kind, str(course / "source/bptt/bptt.ipynb")
        archive.addfile(member)
        body = ADA[1].encode()
        honest = tarfile.TarInfo(ADA[0])
        honest.size = len(body)
        archive.addfile(honest, io.BytesIO(body))
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "mallory_1_bptt.ipynb: it is a link" in said


def test_a_link_among_the_archives(course):
    link = course / "downloaded/bptt/archive/mallory_1_bptt.ipynb"
    link.symlink_to(course / "source/bptt/bptt.ipynb")
    pack(course, ADA)
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "mallory_1_bptt.ipynb: it is no file of its own" in said


def test_an_archive_in_an_archive_is_not_opened(course):
    """Else whoever hands one in could hand in for another."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("hopper_103_204_bptt.ipynb", BODY % "mallory")
        archive.writestr("lovelace_101_203_bptt.ipynb", BODY % "mallory")
    pack(course, ("mallory_1_work.zip", inner.getvalue()), ADA)
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "mallory_1_work.zip: archives inside archives are not opened" in said


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_of_two_files_of_one_student_the_newer_counts(course, order):
    names = {1: "lovelace_101_202_bptt.ipynb", 2: "lovelace_101_203_bptt-1.ipynb"}
    bodies = {1: BODY % "old", 2: BODY % "new"}
    pack(course, *((dated(names[n], n), bodies[n]) for n in order))
    submitted, said = collect(course)
    assert submitted == {"lovelace/bptt/bptt.ipynb": "new"}
    assert "lovelace_101_202_bptt.ipynb: the same student's" in said
    assert "lovelace_101_203_bptt-1.ipynb is newer" in said


def test_of_two_of_the_same_date_the_first_counts_and_it_is_said(course):
    pack(
        course,
        (dated("hopper_103_1_bptt.ipynb", 1), BODY % "first"),
        (dated("hopper_103_2_bptt.ipynb", 1), BODY % "second"),
        (dated(ADA[0], 1), ADA[1]),
    )
    submitted, said = collect(course)
    assert submitted == ONLY_ADA | {"hopper/bptt/bptt.ipynb": "first"}
    assert "hopper_103_2_bptt.ipynb: hopper_103_1_bptt.ipynb has the same date" in said


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name(course):
    """nbgrader's own lets the last one win, and says nothing."""
    pack(course, (dated(ADA[0], 1), ADA[1]), (dated(ADA[0], 1), BODY % "mallory"))
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "has the same date and the same owner" in said


def test_a_bomb_is_cut_short(course):
    bomb = "mallory_1_bptt.ipynb", "x" * 3_000_000
    pack(course, bomb, ADA, compression=zipfile.ZIP_DEFLATED)
    submitted, said = collect(course, file_bytes=1 << 20)
    assert submitted == ONLY_ADA
    assert "mallory_1_bptt.ipynb: it is longer than 1 MB" in said
    assert not list(course.rglob("*.part"))


def test_many_small_bombs_are_cut_short_together(course):
    bombs = [(f"m{n}_1_bptt.ipynb", "x" * 1_000_000) for n in range(8)]
    pack(course, *bombs, compression=zipfile.ZIP_DEFLATED)
    submitted, said = collect(course, total_bytes=3 << 20)
    assert len(submitted) == 3
    assert said.count("or all together than 3 MB") == 5


def test_a_size_that_lies(course):
    """What is counted is what comes out, not what the header says."""
    path = pack(course, ("mallory_1_bptt.ipynb", "x" * 2_000_000), compression=8)
    data = bytearray(path.read_bytes())
    for at in (22, data.rindex(b"PK\1\2") + 24):  # the local header's size, and the directory's
        data[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    pack(course, ADA, name="honest.zip")
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "Left out all.zip: mallory_1_bptt.ipynb" in said


def test_more_entries_than_any_class_has(course):
    pack(course, *((f"m{n}_1_bptt.ipynb", "x") for n in range(30)))
    pack(course, ADA, name="honest.zip")
    submitted, said = collect(course, entries=20)
    assert submitted == ONLY_ADA
    assert "more than 20 files" in said


def test_archives_that_are_none(course):
    folder = course / "downloaded/bptt/archive"
    (folder / "a.zip").write_bytes(b"no archive")
    (folder / "b.tar.gz").write_bytes(b"\x1f\x8b no archive")
    good = pack(course, ("mallory_1_bptt.ipynb", BODY % "mallory"), name="c.zip").read_bytes()
    (folder / "c.zip").write_bytes(good.replace(b"cells", b"cElls"))  # its checksum is wrong
    locked = bytearray(good)
    for start in (6, good.rindex(b"PK\1\2") + 8):
        locked[start] |= 1  # the flag that says that there is a password
    (folder / "d.zip").write_bytes(locked)
    pack(course, ADA, name="e.zip")
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    for name in ("a.zip: it can't be read", "b.tar.gz: it can't be read", "c.zip: mallory"):
        assert f"Left out {name}" in said
    assert "password" in said


@pytest.mark.parametrize("folder", ["", "Grace Hopper_103_file_/", "a_b/c_d/"])
def test_a_file_without_an_owner(course, folder):
    """The name of a folder above it names nobody."""
    pack(course, (f"{folder}bptt.ipynb", BODY % "nobody"), ADA)
    submitted, said = collect(course)
    assert submitted == ONLY_ADA
    assert "bptt.ipynb: its name does not say whose it is" in said
