"""``earlier``: a student's own function from another notebook, or the reason why there is none."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

import course
from autograder import build
from course import CourseError, earlier

NAME = "gates.gru_after"


@pytest.fixture
def beside(tmp_path):
    """A folder with chapter 5's notebook, answers in it; write(change) changes its code cells."""

    def write(change=lambda source: source):
        notebook = build.source_notebook("gates")
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source = change(cell.source)
        nbformat.write(notebook, tmp_path / "gates.ipynb")
        return tmp_path

    return write


def test_a_right_answer_is_taken_and_nothing_else_is_run(beside, capsys):
    folder = beside(lambda source: source.replace("curve = []", "raise RuntimeError"))
    made = earlier(NAME, otherwise=None, folder=folder)
    assert made.__name__ == "gru_after"
    assert capsys.readouterr().out == f"{NAME}: yours, from gates.ipynb; it passes its check.\n"


def test_helpers_come_along_and_cells_that_do_not_parse_are_left(beside, capsys):
    def change(source):
        if "def gru_after" not in source:
            return "%magic and\n" + source if "def lstm_step" in source else source
        return source.replace("np.split(sigmoid(", "np.split(my_own_sigmoid(")

    folder = beside(change)
    notebook = nbformat.read(folder / "gates.ipynb", as_version=4)
    helper = "def my_own_sigmoid(a):\n    print('noise')\n    return sigmoid(a)"
    notebook.cells.insert(3, new_code_cell(helper))
    nbformat.write(notebook, folder / "gates.ipynb")
    assert earlier(NAME, otherwise=None, folder=folder) is not None
    assert "noise" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda s: s.replace("(1 - u) * n + u * h", "u * n + (1 - u) * h"), "does not pass"),
        (lambda s: "" if "def gru_after" in s else s, "has no gru_after"),
        (lambda s: s.replace("def gru_after", "def gru_after(:"), "has no gru_after"),
    ],
)
def test_what_is_wrong_is_not_taken(beside, change, why, capsys):
    stand_in = object()
    assert earlier(NAME, otherwise=stand_in, folder=beside(change)) is stand_in
    out = capsys.readouterr().out
    assert "stand-in" in out
    assert why in out


def test_a_stub_is_said_to_be_one(tmp_path, capsys):
    nbformat.write(build.student_notebook("gates"), tmp_path / "gates.ipynb")
    assert earlier(NAME, otherwise=1, folder=tmp_path) == 1
    assert "is not written yet" in capsys.readouterr().out


@pytest.mark.parametrize("text", [None, "no notebook", json.dumps({"cells": 5}), "[]"])
def test_no_notebook(tmp_path, text, capsys):
    if text is not None:
        (tmp_path / "gates.ipynb").write_text(text, encoding="utf-8")
    assert earlier(NAME, otherwise=1, folder=tmp_path) == 1
    why = "there is no gates.ipynb" if text is None else "can't be read as a notebook"
    assert why in capsys.readouterr().out


def test_an_unknown_name_is_refused():
    with pytest.raises(CourseError, match="no exercise"):
        earlier("gates.gru", otherwise=None)


def test_the_jail_knows_every_name_of_the_toolkit():
    """A notebook's first cell imports them, and it runs while grading, too."""
    inside = Path(build.HOUSE / "autograder/sandbox/inside.py").read_text(encoding="utf-8")
    assert [name for name in course.__all__ if f"toolkit.{name} =" not in inside] == []
