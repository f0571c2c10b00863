"""What was handed in is made whole again, however badly it is made."""

from __future__ import annotations

import copy
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.repair import Trusted, read, repaired

ANSWER = Trusted("bptt-f", "code", "raise NotImplementedError", "c1", solution=True)
TEST = Trusted("test-bptt-f", "code", 'check("f")', "c2", grade=True, locked=True, points=3)
ASK = Trusted("ask-q", "markdown", "Why?", "c3", locked=True)
WRITTEN = Trusted("q", "markdown", "YOUR ANSWER HERE", "c4", grade=True, solution=True, points=2)
TRUSTED = [ANSWER, TEST, ASK, WRITTEN]


def submitted():
    """A sound submission, with a cell of the student's own in the middle."""
    own = new_code_cell("helper = 1", id="own")
    return [
        ANSWER.cell("def f(): return 1"),
        TEST.cell(TEST.source),
        own,
        ASK.cell(ASK.source),
        WRITTEN.cell("because"),
    ]


def names(cells):
    return [cell.metadata.get("nbgrader", {}).get("grade_id", cell.source) for cell in cells]


def check_whole(cells, sources=("def f(): return 1", "because")):
    """All graded cells are there as they must be, and nothing else has marks."""
    nbformat.validate(nbformat.from_dict({**new_notebook(cells=cells), "nbformat_minor": 5}))
    marked = {c.metadata.nbgrader.grade_id: c for c in cells if "nbgrader" in c.metadata}
    assert set(marked) == {each.name for each in TRUSTED}
    assert sum("nbgrader" in cell.metadata for cell in cells) == len(TRUSTED)
    for each in TRUSTED:
        assert dict(marked[each.name].metadata.nbgrader) == each.marks
        assert marked[each.name].cell_type == each.cell_type
        assert "tags" not in marked[each.name].metadata
    assert (marked["bptt-f"].source, marked["q"].source) == sources
    assert marked["test-bptt-f"].source == TEST.source
    order = [cell.id for cell in cells]
    assert order.index("bptt-f") < order.index("test-bptt-f")


def test_a_sound_notebook_is_left_alone():
    cells, notes = repaired(submitted(), TRUSTED)
    assert notes == []
    assert names(cells) == names(submitted())
    check_whole(cells)


def test_deleted_cells_come_back_in_their_place():
    cells = submitted()
    del cells[1], cells[2]  # the test, and the question
    cells, notes = repaired(cells, TRUSTED)
    assert names(cells) == ["bptt-f", "test-bptt-f", "ask-q", "helper = 1", "q"]
    assert notes == ["test-bptt-f: was deleted; it is back", "ask-q: was deleted; it is back"]
    check_whole(cells)


def test_deleted_answers_come_back_as_not_attempted():
    cells, notes = repaired(submitted()[1:4], TRUSTED)
    assert notes[0] == "bptt-f: was deleted; it is back, as not attempted"
    check_whole(cells, (ANSWER.source, WRITTEN.source))


def test_an_empty_notebook_becomes_the_released_one():
    cells, _ = repaired([], TRUSTED)
    assert [cell.source for cell in cells] == [each.source for each in TRUSTED]


def test_renamed_cells_are_known_by_their_id():
    cells = submitted()
    cells[0].metadata.nbgrader.grade_id = "bptt-g"
    cells[1].metadata.nbgrader.grade_id = "test-bptt-g"
    cells, notes = repaired(cells, TRUSTED)
    assert len(cells) == 5
    assert all("marks were changed" in note for note in notes)
    check_whole(cells)


def test_cells_whose_marks_are_gone_are_known_by_their_id():
    cells = submitted()
    for cell in cells:
        cell.metadata = {}
    cells, _ = repaired(cells, TRUSTED)
    assert len(cells) == 5
    check_whole(cells)


@pytest.mark.parametrize("kind", ["markdown", "raw", "code"])
def test_cells_of_another_type_are_turned_back(kind):
    cells = submitted()
    for n in (0, 1, 4):
        old = cells[n]
        make = new_code_cell if kind == "code" else new_markdown_cell
        cells[n] = make(old.source, id=old.id, metadata=old.metadata)
        cells[n].cell_type = kind
    cells, notes = repaired(cells, TRUSTED)
    assert any(f"was made a {kind} cell" in note for note in notes)
    check_whole(cells)


def test_of_copies_the_one_that_was_worked_on_counts():
    copied = ANSWER.cell("def f(): return 2")
    copied.id = "copy"
    stub = ANSWER.cell(ANSWER.source)
    stub.id = "copy"
    for extra, kept in ((stub, "def f(): return 1"), (copied, "def f(): return 1")):
        cells, notes = repaired([*submitted(), copy.deepcopy(extra)], TRUSTED)
        check_whole(cells, (kept, "because"))
        assert notes == ["bptt-f: stood twice; the copy does not count"]
    untouched = submitted()
    untouched[0].source = ANSWER.source
    cells, _ = repaired([*untouched, copied], TRUSTED)
    check_whole(cells, ("def f(): return 2", "because"))


def test_a_check_that_points_elsewhere_is_put_back():
    cells = submitted()
    cells[1].metadata.nbgrader.grade_id = "bptt-f"
    cells, _ = repaired(cells, TRUSTED)
    check_whole(cells)
    assert len(cells) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"points": 100},
        {"points": "many"},
        {"grade": False},
        {"solution": True},
        {"locked": False},
        {"task": True},
        {"schema_version": 99},
        {"grade_id": ["test-bptt-f"]},
        {"grade_id": None},
    ],
)
def test_changed_marks_are_put_right(change):
    cells = submitted()
    cells[1].metadata.nbgrader.update(change)
    cells, _ = repaired(cells, TRUSTED)
    check_whole(cells)
    assert len(cells) == 5


@pytest.mark.parametrize("marks", ["nonsense", [1, 2], None, 5, {}])
def test_damaged_metadata_is_put_right(marks):
    cells = submitted()
    cells[0].metadata = nbformat.from_dict({"nbgrader": marks})
    cells[1].metadata = nbformat.from_dict({"nbgrader": marks, "tags": ["skip-execution"]})
    cells[2].metadata = nbformat.from_dict({"nbgrader": marks})
    cells, _ = repaired(cells, TRUSTED)
    check_whole(cells)


def test_a_changed_check_gets_its_text_back_and_a_tag_cannot_skip_it():
    cells = submitted()
    cells[1].source = "pass"
    cells[1].metadata.tags = ["skip-execution"]
    cells, notes = repaired(cells, TRUSTED)
    assert notes == ["test-bptt-f: its locked text was changed", "test-bptt-f: had tags"]
    check_whole(cells)


def test_a_check_before_its_answer_moves_behind_it():
    cells = submitted()
    cells.insert(0, cells.pop(1))
    cells, notes = repaired(cells, TRUSTED)
    assert names(cells)[:2] == ["bptt-f", "test-bptt-f"]
    assert notes == ["test-bptt-f: stood too early; it is back in its place"]
    check_whole(cells)


def test_a_cell_of_one_s_own_cannot_be_graded():
    cells = submitted()
    own = copy.deepcopy(TEST.marks) | {"grade_id": "test-mine", "points": 50}
    cells.append(new_code_cell("print(1)", id="mine", metadata={"nbgrader": own}))
    cells, notes = repaired(cells, TRUSTED)
    assert notes == ["a cell claimed to be graded, and is not one of this notebook's"]
    check_whole(cells)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "3",
        "{}",
        '{"cells": 3}',
        '{"cells": null}',
        "[" * 100_000,
        '{"cells": [], "metadata": ' + '{"a": ' * 3000 + "1" + "}" * 3001,
        '{"nbformat": 3}',
        '{"nbformat": [3], "cells": {}}',
    ],
)
def test_what_is_no_notebook_is_said(text):
    notebook, why = read(text)
    assert notebook.cells == []
    assert why.startswith("it is not a notebook (")


@pytest.mark.parametrize(
    "cell",
    [
        5,
        None,
        {},
        {"cell_type": "code"},
        {"cell_type": "code", "source": ["a\n", "b"], "metadata": None},
        {"cell_type": "code", "source": "x", "metadata": {}, "outputs": "none"},
        {"cell_type": "heading", "source": "x", "metadata": {}},
        {"cell_type": ["code"], "source": {"a": 1}, "metadata": []},
        {"cell_type": "markdown", "source": "\ud800", "metadata": {}, "id": "q"},
        {"cell_type": "markdown", "source": "x", "metadata": {}, "attachments": 7},
        {"cell_type": "code", "source": "x", "metadata": {"nbgrader": {"grade_id": "\ud800"}}},
        {"cell_type": "code", "source": "x", "metadata": {}, "id": "a b " * 50},
        {"cell_type": "code", "source": "x", "metadata": {}, "id": 7},
    ],
)
def test_one_bad_cell_does_not_spoil_the_rest(cell):
    good = {"cell_type": "code", "source": "y = 1", "metadata": {}, "outputs": [], "id": "q"}
    text = json.dumps({"nbformat": 4, "cells": [cell, {**good, "execution_count": None}, good]})
    notebook, why = read(text)
    assert why == ""
    assert notebook.cells[-1].source == "y = 1"
    nbformat.validate(notebook)
    cells, _ = repaired(notebook.cells, TRUSTED)
    check_whole(cells, (ANSWER.source, cells_text(cells, "q")))
    nbformat.writes(new_notebook(cells=cells)).encode()


def cells_text(cells, name):
    return next(cell.source for cell in cells if cell.id == name)


def test_an_older_notebook_is_read():
    text = json.dumps(
        {
            "nbformat": 3,
            "nbformat_minor": 0,
            "metadata": {"name": ""},
            "worksheets": [
                {
                    "cells": [
                        {
                            "cell_type": "code",
                            "input": "x = 1",
                            "language": "python",
                            "metadata": {},
                            "outputs": [],
                        }
                    ],
                    "metadata": {},
                }
            ],
        }
    )
    notebook, why = read(text)
    assert (why, notebook.cells[0].source) == ("", "x = 1")
