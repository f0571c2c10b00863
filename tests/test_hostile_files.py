"""Files that are no honest notebook are read to the end, quickly, and nothing is raised."""

from __future__ import annotations

import json
import os
import shutil

import nbformat
import pytest
from attacking import released, trusted
from small_class import answered, hand_in, new_class, scores

from autograder import grading, repair
from autograder.repair import read_file, repaired
from autograder.work import FAILED, GRADED, MISSING

CODE = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "execution_count": None}


def edited(change) -> str:
    data = json.loads(nbformat.writes(released()))
    change(data)
    return json.dumps(data)


def every_cell(**changes):
    return edited(lambda data: [cell.update(changes) for cell in data["cells"]])


def every_mark(**marks):
    return edited(lambda data: [c["metadata"].update(nbgrader=marks) for c in data["cells"]])


def replaced(old: str, new: str) -> str:
    text = edited(lambda data: None)
    assert old in text
    return text.replace(old, new, 1)


def more_cells(count: int, **cell):
    return edited(lambda data: data["cells"].extend([{**CODE, **cell} for _ in range(count)]))


DAMAGED = {
    "UTF-16": edited(lambda data: None).encode("utf-16"),
    "a version that is true": replaced('"nbformat": 4', '"nbformat": true'),
    "a version of 5000 digits": replaced('"nbformat": 4', f'"nbformat": {"9" * 5000}'),
    "deep metadata": replaced(
        '"metadata": {', '"metadata": {"x": ' + "[" * 10**5 + "]" * 10**5 + ","
    ),
    "too many cells": more_cells(repair.CELLS),
    "too many cells of an old format": json.dumps(
        {
            "nbformat": 3,
            "nbformat_minor": 0,
            "metadata": {},
            "worksheets": [{"cells": [{"cell_type": "heading"}] * repair.CELLS}] * 2,
        }
    ),
    "too many values": more_cells(1, x=[1] * (repair.VALUES + 1)),
}
READ = {
    "a byte order mark": b"\xef\xbb\xbf" + edited(lambda data: None).encode(),
    "no number, and infinity": every_cell(metadata={"x": float("nan"), "y": float("inf")}),
    "half a pair in a source": every_cell(source="\ud800 \udfff"),
    "half a pair in a key": every_cell(metadata={"\ud800": 1}),
    "cells of one id": more_cells(500, id="same"),
    "cells of no valid id": more_cells(500, id="!" * 300),
    "cells that are none": more_cells(500, cell_type="none", source=5),
    "sources of numbers": every_cell(source=[1, 2, None]),
    "attachments": every_cell(attachments={"a": {"text/html": ["<script>"]}}),
    "control characters": every_cell(source="\x00\x01\x1b[2J"),
    "marks that are no names": every_mark(grade_id={"a": 1}, grade=[1], points="1e999", locked="x"),
    "points of 400 digits": every_mark(grade_id="test-bptt-forward", grade=True, points=10**400),
    "a list of ids": every_mark(grade_id=["test-bptt-forward"], grade=True),
}


@pytest.mark.parametrize("name", [*DAMAGED, *READ])
def test_it_is_read_and_repaired(tmp_path, name):
    given = {**DAMAGED, **READ}[name]
    path = tmp_path / "bptt.ipynb"
    path.write_bytes(given if isinstance(given, bytes) else given.encode("utf-8", "surrogatepass"))
    notebook, damage = read_file(path)
    assert bool(damage) == (name in DAMAGED), damage
    notebook.cells, _ = repaired(notebook.cells, trusted())
    text = nbformat.writes(notebook)
    text.encode()
    nbformat.validate(nbformat.reads(text, as_version=4))
    names = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]
    assert {each.name for each in trusted()} <= set(names)


def test_what_is_too_large_is_said_in_numbers(tmp_path, monkeypatch):
    assert repair.read(DAMAGED["too many cells"])[1].endswith("no more than 5000 are looked at)")
    monkeypatch.setattr(repair, "BYTES", 1000)
    path = tmp_path / "bptt.ipynb"
    path.write_text(nbformat.writes(released()))
    assert "more than 0 MB" in read_file(path)[1]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return new_class(tmp_path_factory.mktemp("class"))


@pytest.fixture
def folder(course):
    """A submission with right answers, to be spoilt; nothing of it stays."""
    hand_in(course, "eve", answered(course))
    path = course.path("submitted", "eve", "bptt")
    yield path
    if path.is_symlink():
        path.unlink()
    shutil.rmtree(path.parent)


def graded(course):
    (eve,) = grading.grade(course, "bptt", student="eve", force=True)
    assert all(
        auto is not None for name, (auto, _) in scores(course, "eve").items() if "t-" in name
    )
    return eve.auto, eve.run.ending, eve.run.reason


def test_a_link_to_the_answers_earns_nothing(course, folder):
    """Repositories of students keep links: this one leads to the class's source."""
    answers = course.path("source", ".", "bptt") / "bptt.ipynb"
    notebook = folder / "bptt.ipynb"
    notebook.unlink()
    notebook.symlink_to(os.path.relpath(answers, folder))
    assert "### BEGIN SOLUTION" in notebook.read_text()
    score, ending, reason = graded(course)
    assert (score, ending) == (0, MISSING)
    assert "is a link" in reason


def test_a_folder_that_links_to_the_answers_earns_nothing(course, folder):
    shutil.rmtree(folder)
    folder.symlink_to(course.path("source", ".", "bptt"))
    assert graded(course)[:2] == (0, MISSING)
    assert [p.name for p in course.path("autograded", "eve", "bptt").iterdir()] == ["bptt.ipynb"]


def test_nbgrader_follows_no_link_either(course, folder, tmp_path):
    answers = course.path("source", ".", "bptt") / "bptt.ipynb"
    (tmp_path / "bptt.ipynb").symlink_to(answers)
    with (tmp_path / "bptt.ipynb").open() as file:
        nb, resources = repair.SubmissionExporter().from_file(file)
    assert "is a link" in resources[repair.KEY]["damaged"]
    assert "BEGIN SOLUTION" not in nb


def a_dangling_link(folder):
    (folder / "data.txt").symlink_to("/nowhere")


def a_link_to_itself(folder):
    (folder / "data").symlink_to("data")


def a_pipe(folder):
    os.mkfifo(folder / "data")


def links_out(folder):
    (folder / "hosts.txt").symlink_to("/etc/hosts")
    (folder / "etc").symlink_to("/etc")


def names_that_are_no_text(folder):
    (folder / os.fsdecode(b"\xff\xfe.txt")).write_text("x")
    (folder / "a\nb.txt").write_text("x")


@pytest.mark.parametrize(
    "spoil", [a_dangling_link, a_link_to_itself, a_pipe, links_out, names_that_are_no_text]
)
def test_what_lies_beside_the_notebook_stops_nothing(course, folder, spoil):
    spoil(folder)
    assert graded(course) == (8, GRADED, "")
    kept = course.path("autograded", "eve", "bptt")
    assert not (kept / "hosts.txt").exists()
    assert not (kept / "etc").exists()


def test_a_folder_may_become_a_file_and_a_file_a_folder(course, folder):
    kept = course.path("autograded", "eve", "bptt")
    (folder / "data").mkdir()
    (folder / "data" / "x").write_text("1")
    (folder / "more").write_text("2")
    assert graded(course)[0] == 8
    shutil.rmtree(folder / "data")
    (folder / "data").write_text("3")
    (folder / "more").unlink()
    (folder / "more").mkdir()
    (folder / "more" / "y").write_text("4")
    assert graded(course)[0] == 8
    assert (kept / "data").read_text() == "3"
    assert (kept / "more" / "y").read_text() == "4"


@pytest.mark.parametrize("folders", [("source", "submitted"), ("submitted", "source")])
def test_a_file_of_the_students_gives_way_to_the_classs_folder(course, folder, folders):
    """And a folder of theirs to its file."""
    source = course.path("source", ".", "bptt")
    where = {"source": source, "submitted": folder}
    (where[folders[0]] / "data").mkdir()
    (where[folders[0]] / "data" / "x").write_text(folders[0])
    (where[folders[1]] / "data").write_text(folders[1])
    (folder / "own.txt").write_text("kept")
    try:
        assert graded(course)[0] == 8
        kept = course.path("autograded", "eve", "bptt")
        held = kept / "data" / "x" if folders[0] == "source" else kept / "data"
        assert held.read_text() == "source"
        assert (kept / "own.txt").read_text() == "kept"
    finally:
        data = source / "data"
        shutil.rmtree(data) if data.is_dir() else data.unlink()


def test_what_nbgrader_ignores_is_left_out(course, folder):
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    (folder / "sub").mkdir()
    for name in ("y.pyc", "other.ipynb", "z.txt"):
        (folder / "sub" / name).write_text("x")
    assert graded(course)[0] == 8
    kept = course.path("autograded", "eve", "bptt")
    found = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    assert found == {"bptt.ipynb", "sub/z.txt"}


def test_a_folder_named_like_the_notebook_is_said(course, folder):
    (folder / "bptt.ipynb").unlink()
    (folder / "bptt.ipynb").mkdir()
    assert graded(course) == (
        0,
        MISSING,
        "bptt.ipynb was not handed in (but a folder of that name was)",
    )


def test_a_timestamp_that_is_a_folder_stops_nobody(course, folder):
    (folder / "timestamp.txt").mkdir()
    score, ending, reason = graded(course)
    assert (score, ending) == (0, FAILED)
    assert "timestamp.txt holds no date" in reason
