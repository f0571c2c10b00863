"""``progress``: over one chapter and over the course, in this kernel and in saved notebooks."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from course import CheckFailed, check, progress, ready, standing
from course.exercise import CHAPTERS, chapter
from course.report import DATA
from solutions import bptt

WORKED = """
from course import check, progress
from solutions import bptt
check("bptt.forward", bptt.forward)
---
check("bptt.grad_params", bptt.grad_params)
---
def loss(o, y, mask):
    return 0.0
check("bptt.loss")
---
progress(folder="FOLDER")
"""


@pytest.fixture(autouse=True)
def fresh():
    standing.forget()
    yield
    standing.forget()


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """A folder with a notebook of chapter 3 that has been worked in, as a kernel leaves it."""
    folder = tmp_path_factory.mktemp("mine")
    cells = [new_code_cell(text) for text in WORKED.replace("FOLDER", str(folder)).split("---")]
    notebook = new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, allow_errors=True, kernel_name="python3").execute()
    nbformat.write(notebook, folder / "bptt.ipynb")
    return folder


def said(capsys, *args, **more) -> list[str]:
    capsys.readouterr()
    progress(*args, **more)
    return capsys.readouterr().out.splitlines()


def test_the_course_has_a_line_for_each_chapter(capsys, tmp_path):
    lines = said(capsys, folder=tmp_path)
    count = sum(len(chapter(name).exercises) for name in CHAPTERS)
    total = sum(each.total for name in CHAPTERS for each in chapter(name).exercises)
    assert lines[0] == f"The course: 0 of {count} exercises right, 0 of {total:g} points"
    assert len(lines) == len(CHAPTERS) + 2
    for name, line in zip(CHAPTERS, lines[1:], strict=False):
        found = chapter(name)
        assert line.startswith(f"  {found.number}  {found.title}")
        assert line.count("○") == len(found.exercises)
        assert "saved" not in line
    assert lines[-1] == 'One chapter, line by line: progress("dynamics")'


def test_a_saved_notebook_counts_and_is_said_to_be_saved(capsys, worked):
    lines = said(capsys, folder=worked)
    assert "✓✗○○✓○○○○○" in lines[3]
    assert lines[3].endswith("2 of 10 right,  8 of 30 points, as saved")
    assert lines[0].startswith("The course: 2 of ")
    rows = said(capsys, "bptt", folder=worked)
    assert rows[0] == "✓✗○○✓○○○○○  2 of 10 right, 8 of 30 points"
    assert rows[1].endswith("right, as saved")
    assert rows[2].endswith("wrong, as saved")
    assert rows[3].endswith("not attempted")
    assert rows[5].endswith("right (5 of 5 points), as saved")
    assert rows[-1] == "next: 3.2, read (3.4)-(3.5)"


def test_what_is_checked_now_takes_the_place_of_what_was_saved(capsys, worked):
    check("bptt.loss", bptt.loss)
    with pytest.raises(CheckFailed):
        check("bptt.forward", lambda *_: None)
    lines = said(capsys, folder=worked)
    assert "○✓○○✓○○○○○" in lines[3]
    assert lines[3].endswith("partly as saved")
    rows = said(capsys, "bptt", folder=worked)
    assert rows[1].endswith("not attempted")
    assert rows[2].endswith("  right")


def test_what_was_saved_does_not_make_a_cell_run(worked, monkeypatch):
    """Whether the notebook has the function now, only a check of now can say."""
    monkeypatch.chdir(worked)
    assert not ready("bptt.forward", quiet=True)


def test_parts_by_themselves(capsys, tmp_path):
    outputs = [
        {"exercise": "bptt.grad_params", "part": part, "outcome": outcome}
        for part, outcome in [("dU", "right"), ("dW", "wrong"), ("dW", "right"), ("dV", "wrong")]
    ]
    write(tmp_path, outputs)
    row = said(capsys, "bptt", folder=tmp_path)[5]
    earned = sum(chapter("bptt")["bptt.grad_params"].points_of(part) for part in ("dU", "dW"))
    assert row.endswith(f"wrong ({earned:g} of 5 points), as saved")


def write(folder, reports) -> None:
    """A notebook with these reports in its outputs."""
    outputs = [{"output_type": "display_data", "data": {DATA: each}} for each in reports]
    text = json.dumps({"cells": [{"cell_type": "code", "outputs": outputs}, {}]})
    (folder / "bptt.ipynb").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "report",
    [
        {"exercise": "bptt.gone", "part": None, "outcome": "right"},
        {"exercise": "gates.sample", "part": None, "outcome": "right"},
        {"exercise": "bptt.loss", "part": None, "outcome": "<script>"},
        {"exercise": "bptt.loss"},
        {"exercise": ["bptt.loss"], "part": None, "outcome": "right"},
        "right",
        None,
    ],
)
def test_outputs_that_say_nothing_count_for_nothing(capsys, tmp_path, report):
    write(tmp_path, [report])
    assert "0 of 10 right" in said(capsys, "bptt", folder=tmp_path)[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 3}', '{"cells": [[]]}', "\x00"])
def test_a_file_that_is_no_notebook_is_passed_over(capsys, tmp_path, text):
    (tmp_path / "bptt.ipynb").write_text(text, encoding="utf-8")
    assert "0 of 10 right" in said(capsys, "bptt", folder=tmp_path)[0]


class Cells(HTMLParser):
    """The text of a table's cells, row by row; every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows, self.open = [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open:
            self.rows[-1][-1] += data


def test_a_notebook_shows_it_as_a_table(worked):
    """What the kernel of that notebook displayed: the same as the text says."""
    notebook = nbformat.read(worked / "bptt.ipynb", as_version=4)
    data = notebook.cells[-1].outputs[-1].data
    lines = data["text/plain"].splitlines()
    html = data["text/html"]
    rows = Cells(html).rows
    assert rows[2] == [
        "3. Back-propagation through time", "✓✗○○✓○○○○○", "2 of 10 right", "8 of 30 points", "",
    ]  # fmt: skip
    for line, row in zip(lines[1:], rows, strict=False):
        assert row[1] in line
        assert row[2] in line
    assert "3.2 bptt.loss: wrong" in html, "a tile says what it stands for"
    total = float(re.search(r"of (\d+) points", lines[0])[1])
    assert float(re.search(r"width: ([\d.]+)%", html)[1]) == pytest.approx(100 * 8 / total, abs=0.1)


def test_one_chapter_as_a_table(monkeypatch, tmp_path):
    shown = {}
    monkeypatch.setattr(standing, "show", lambda **kinds: shown.update(kinds))
    check("bptt.clip", bptt.clip)
    progress("bptt", tmp_path)
    rows = Cells(shown["html"]).rows
    assert rows[5] == ["✓", "3.6", "bptt.clip", "Clip by the global norm", "right"]
    assert len(rows) == len(shown["text"].splitlines()) - 2
