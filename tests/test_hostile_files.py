"""Files that are no honest notebook are read to the end, quickly, and nothing is raised."""

from __future__ import annotations

import json

import nbformat
import pytest
from attacking import released, trusted

from autograder import repair
from autograder.repair import read_file, repaired

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
