"""What was handed in is made whole again, however badly it is made."""

from __future__ import annotations

import copy
import json
import logging
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Configurable

from autograder import repair
from autograder.repair import Known, Repair, SubmissionExporter, Trusted, WriteOff, read, repaired

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


def test_a_repaired_cell_has_the_class_s_metadata_and_no_other():
    cells = submitted()
    for cell in cells:
        cell.metadata.update(deletable=True, editable=True, mine=1)
    cells, _ = repaired(cells, TRUSTED)
    for cell, each in zip(cells, [ANSWER, TEST, None, ASK, WRITTEN], strict=True):
        fixed = {"editable": False} if each and each.locked else {}
        kept = {"deletable": False, "nbgrader": each.marks, **fixed} if each else {}
        assert cell.metadata == kept


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


@pytest.mark.parametrize("version", [1, 2])
def test_the_first_notebooks_are_read_too(version):
    cells = [{"cell_type": "code", "code": "x = 1", "input": "x = 1", "outputs": []}]
    inside = {"cells": cells} if version == 1 else {"worksheets": [{"cells": cells}]}
    notebook, why = read(json.dumps({"nbformat": version, "metadata": {}, **inside}))
    assert (why, [cell.source for cell in notebook.cells]) == ("", ["x = 1"])
    assert [cell.id for cell in notebook.cells] == ["cell"], "the same every time"


SOUND = [
    {
        "cell_type": "code",
        "id": "a",
        "metadata": {"tags": ["x"]},
        "source": "1",
        "execution_count": 3,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}],
    },
    {
        "cell_type": "markdown",
        "id": "b",
        "metadata": {"mine": [1]},
        "source": "![](attachment:a.txt)",
        "attachments": {"a.txt": {"text/plain": "a"}},
    },
    {"cell_type": "raw", "id": "c", "metadata": {"format": "x"}, "source": "\u00fc"},
]


def test_sound_cells_are_kept_as_they_are_alone_and_beside_others():
    notebook, why = read(json.dumps({"cells": SOUND}))
    assert (why, notebook.cells) == ("", SOUND)
    for bad in ({"cell_type": "heading"}, {**SOUND[2], "id": "d", "more": 1}):
        notebook, why = read(json.dumps({"cells": [*SOUND, bad]}))
        assert (why, notebook.cells[:3]) == ("", SOUND)
        assert set(notebook.cells[3]) == {"cell_type", "id", "metadata", "source"}
        nbformat.validate(notebook)


def test_outputs_are_made_as_the_format_wants_them():
    for output, metadata in (
        (repair.output("stream", name="stdout", text="a"), None),
        (repair.output("error", ename="E", evalue="e", traceback=[]), None),
        (repair.output("display_data", data={"text/plain": "a"}), {}),
        (repair.output("display_data", data={}, metadata={"a": 1}), {"a": 1}),
        (repair.output("execute_result", data={}, execution_count=1), {}),
    ):
        nbformat.validate(output, ref="output", version=4, version_minor=5)
        assert output.get("metadata") == metadata


# What is changed, in words.


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"points": 100}, "its points were changed, from 3 to 100"),
        ({"points": 2.5}, "its points were changed, from 3 to 2.5"),
        ({"points": "many"}, "its points were changed, from 3 to what is no number"),
        ({"points": 10**9}, "its points were changed, from 3 to what is no number"),
        ({"points": 10**9 - 1}, "its points were changed, from 3 to 1e+09"),
        ({"points": None}, "its points were changed, from 3 to none"),
        ({"grade": False}, "its nbgrader marks were changed"),
        ({"solution": True}, "its nbgrader marks were changed"),
        ({"locked": False}, "its nbgrader marks were changed"),
        ({"task": True}, "its nbgrader marks were changed"),
    ],
)
def test_a_changed_mark_is_said(change, note):
    cells = submitted()
    cells[1].metadata.nbgrader.update(change)
    assert repaired(cells, TRUSTED)[1] == [f"test-bptt-f: {note}"]


def test_a_mark_that_is_not_there_is_not_set():
    cells = submitted()
    del cells[1].metadata.nbgrader["task"], cells[1].metadata.nbgrader["solution"]
    assert repaired(cells, TRUSTED)[1] == []
    del cells[1].metadata.nbgrader["grade"]
    assert repaired(cells, TRUSTED)[1] == ["test-bptt-f: its nbgrader marks were changed"]


def test_points_on_a_cell_that_has_none_are_said():
    cells = submitted()
    cells[0].metadata.nbgrader.points = 5
    assert repaired(cells, TRUSTED)[1] == ["bptt-f: its points were changed, from none to 5"]


def test_several_changes_are_said_in_order():
    cells = submitted()
    cells[1].cell_type = "raw"
    cells[1].source = " "
    cells[1].metadata.nbgrader = {}
    cells[1].metadata.tags = ["a"]
    assert repaired(cells, TRUSTED)[1] == [
        "test-bptt-f: was made a raw cell",
        "test-bptt-f: its locked text was changed",
        "test-bptt-f: its points were changed, from 3 to none",
        "test-bptt-f: its nbgrader marks were changed",
        "test-bptt-f: had tags",
    ]


def test_white_space_around_a_locked_text_is_no_change():
    cells = submitted()
    cells[1].source = f"\n {TEST.source} \n"
    cells, notes = repaired(cells, TRUSTED)
    assert notes == []
    assert cells[1].source == TEST.source


@pytest.mark.parametrize("flag", ["grade", "solution", "locked", "task"])
def test_a_claim_of_any_kind_is_said(flag):
    own = new_code_cell("1", metadata={"nbgrader": {"grade_id": "mine", flag: True}})
    assert repaired([*submitted(), own], TRUSTED)[1] == [
        "a cell claimed to be graded, and is not one of this notebook's"
    ]


def test_a_name_alone_is_no_claim():
    own = new_code_cell("1", metadata={"nbgrader": {"grade_id": "mine"}})
    cells, notes = repaired([*submitted(), own], TRUSTED)
    assert notes == []
    assert cells[-1].metadata == {}


def test_ids_stay_where_they_can_and_are_the_same_every_time():
    cells = [*submitted(), *(new_code_cell("1", id="own") for _ in range(2))]
    cells[2].id = "bptt-f"  # what belongs to a trusted cell
    first, _ = repaired(copy.deepcopy(cells), TRUSTED)
    again, _ = repaired(copy.deepcopy(cells), TRUSTED)
    ids = [cell.id for cell in first]
    assert ids == [cell.id for cell in again]
    assert len(set(ids)) == len(ids)
    assert ids[:2] == ["bptt-f", "test-bptt-f"]
    assert ids[-2] == "own"
    assert all(len(each) == 12 for each in (ids[2], ids[-1]))


def test_cells_of_one_wrong_id_each_get_a_valid_one():
    for wrong in ("a b", "\ud800", "", "x" * 65, 7, None):
        raw = {"cell_type": "raw", "source": "x", "metadata": {}, "id": wrong}
        notebook, _ = read(json.dumps({"cells": [raw] * 3}))
        nbformat.validate(notebook)
        ids = [cell.id for cell in notebook.cells]
        assert ids[0] == "cell"
        assert len(set(ids)) == 3


def test_many_cells_of_one_id_hold_nobody_up(monkeypatch):
    """For a new one few are tried, however many are taken."""
    used: set[str] = set()
    tried: list[bytes] = []

    def sha256(text, real=repair.hashlib.sha256):
        tried.append(text)
        return real(text)

    monkeypatch.setattr(repair.hashlib, "sha256", sha256)
    for _ in range(repair.CELLS):
        repair._unused("a", used)
    assert len(used) == repair.CELLS
    assert len(tried) < 2 * repair.CELLS


# Reading.


def test_why_it_could_not_be_read_is_said():
    for text, why in (
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ('{"a": 1,\n b}', "line 2: Expecting property name enclosed in double quotes"),
        ("[" * 100_000, "it is nested too deeply"),
        ("{}", "it has no list of cells"),
        ("," * 1_000_001, "it holds more than 1000000 values"),
        ("," * 1_000_000, "line 1: Expecting value"),
        (
            json.dumps({"cells": [1] * 5001}),
            "it has 5001 cells, and no more than 5000 are looked at",
        ),
    ):
        notebook, said = read(text)
        assert said == f"it is not a notebook ({why})"
        assert notebook.cells == []
    assert read(json.dumps({"cells": [1] * 5000}))[1] == ""


def test_bytes_are_read_as_text_in_utf_8(monkeypatch):
    text = json.dumps({"cells": [], "metadata": {"a": "ü"}}, ensure_ascii=False)
    for data in (text.encode(), text.encode("utf-8-sig")):
        notebook, why = repair.read_bytes(data)
        assert (why, notebook.metadata.a) == ("", "ü")
    assert repair.read_bytes(text.encode("utf-16"))[1] == (
        "it is not a notebook (not a text in UTF-8)"
    )
    monkeypatch.setattr(repair, "BYTES", 3 << 20)
    assert repair.read_bytes(b" " * (3 << 20))[1] == "it is not a notebook (the file is empty)"
    notebook, why = repair.read_bytes(b" " * (3 << 20) + b" ")
    assert (why, notebook.cells) == ("it is not a notebook (more than 3 MB)", [])


def test_of_a_file_no_more_than_that_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(repair, "BYTES", 4)
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"1234567")
    assert repair.beginning(path) == b"12345"
    assert repair.read_file(path)[1].startswith("it is not a notebook (more than")
    with pytest.raises(OSError, match="No such file"):
        repair.read_file(tmp_path / "none.ipynb")


def test_metadata_that_is_none_is_left_out():
    for given, kept in (
        ({"a": 1}, {"a": 1}),
        ([1], {}),
        (None, {}),
        ({"kernelspec": {}}, {}),
        ({"a": "\ud800"}, {}),
    ):
        notebook, why = read(json.dumps({"cells": [], "metadata": given}))
        assert (why, notebook.metadata, notebook.nbformat_minor) == ("", kept, 5)


def test_of_an_unsound_cell_text_and_plain_marks_are_kept():
    marks = {"grade_id": "q", "points": 3, "grade": True, "more": [1], "odd": "\u00fc"}
    raw = {"cell_type": "code", "source": "x\ud800", "metadata": {"nbgrader": marks}, "id": "q"}
    (cell,) = read(json.dumps({"cells": [raw]}))[0].cells
    assert (cell.cell_type, cell.source, cell.id) == ("code", "x?", "q")
    assert cell.metadata == {"nbgrader": {"grade_id": "q", "points": 3, "grade": True}}
    (text,) = read(json.dumps({"cells": [{**raw, "cell_type": "heading"}]}))[0].cells
    assert text.cell_type == "markdown"
    (bare,) = read(json.dumps({"cells": [{"cell_type": "code", "source": 5}]}))[0].cells
    assert (bare.source, bare.metadata) == ("", {})
    (joined,) = read(json.dumps({"cells": [{**raw, "source": ["a", 5, "b"]}]}))[0].cells
    assert joined.source == "ab"


# The steps that nbgrader calls.


def stepped(cells, damaged="", known=TRUSTED):
    step = Repair()
    step.known = Known(tuple(known), '{"name": "python3"}')
    nb = new_notebook(cells=cells)
    nb.metadata["widgets"] = {"x": 1}
    resources = {"nbgrader": {"student": "ada"}}
    if damaged:
        resources[repair.KEY] = {"damaged": damaged}
    back, after = step.preprocess(nb, resources)
    assert back is nb
    assert after is resources
    return nb


def test_the_step_leaves_a_sound_notebook_without_a_word():
    nb = stepped(submitted())
    assert names(nb.cells) == names(submitted())
    assert nb.metadata == {
        "kernelspec": {"name": "python3"},
        "language_info": {"name": "python"},
        repair.KEY: {"damaged": "", "repairs": []},
    }


def test_the_step_says_on_top_what_it_repaired():
    nb = stepped(submitted()[1:])
    note = "bptt-f: was deleted; it is back, as not attempted"
    assert nb.cells[0].source == (
        f"**Before it was graded, this notebook was repaired:**\n\n- {note}"
    )
    assert (nb.cells[0].cell_type, nb.cells[0].id) == ("markdown", "repairs")
    assert nb.metadata[repair.KEY] == {"damaged": "", "repairs": [note]}
    check_whole(nb.cells[1:], (ANSWER.source, "because"))


def test_the_step_says_to_the_instructor_whose_notebook_it_repaired(monkeypatch):
    log = logging.Logger("alone")
    said: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: said.append(record.getMessage()))
    log.addHandler(handler)
    step = Repair(log=log)
    step.known = Known(tuple(TRUSTED))
    step.preprocess(new_notebook(cells=submitted()[1:]), {"nbgrader": {"student": "ada"}})
    assert said == ["ada: bptt-f: was deleted; it is back, as not attempted"]


def test_the_step_says_on_top_that_nothing_could_be_read():
    nb = stepped([], damaged="it is not a notebook")
    assert nb.cells[0].source == (
        "**This notebook could not be read, and nothing of it was graded:**\n\n"
        "- it is not a notebook"
    )
    assert nb.metadata[repair.KEY] == {"damaged": "it is not a notebook", "repairs": []}
    assert len(nb.cells) == 1 + len(TRUSTED)


def test_the_note_s_id_is_no_other_cell_s():
    own = new_code_cell("1", id="repairs")
    nb = stepped([*submitted()[1:], own])
    assert len({cell.id for cell in nb.cells}) == len(nb.cells)


def test_the_exporter_reads_what_it_can(tmp_path):
    path = tmp_path / "a.ipynb"
    line = "line 1: Expecting property name enclosed in double quotes"
    for text, damage, count in (
        (json.dumps({"cells": [{"cell_type": "code", "source": "1"}]}), "", 1),
        (
            "{",
            f"it is not a notebook ({line})",
            0,
        ),
    ):
        path.write_text(text)
        with path.open() as stream:
            made, resources = SubmissionExporter().from_file(stream)
        assert resources[repair.KEY] == {"damaged": damage}
        assert len(json.loads(made)["cells"]) == count
        with path.open() as stream:
            given: dict = {"mine": 1}
            _, resources = SubmissionExporter().from_file(stream, given)
        assert resources["mine"] == 1


def test_a_link_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.ipynb").write_text(json.dumps({"cells": [SOUND[0]]}))
    (tmp_path / "b.ipynb").symlink_to(elsewhere / "a.ipynb")
    (tmp_path / "folder").symlink_to(elsewhere)
    for path, linked in (
        (elsewhere / "a.ipynb", False),
        (tmp_path / "b.ipynb", True),
        (tmp_path / "folder" / "a.ipynb", True),
    ):
        with path.open() as stream:
            made, resources = SubmissionExporter().from_file(stream)
        damage = f"{path.name} {repair.LINKED}" if linked else ""
        assert resources[repair.KEY] == {"damaged": damage}
        assert len(json.loads(made)["cells"]) == (not linked)


@pytest.mark.parametrize("value", [5, None, [1], {"a": 1}, "python"])
@pytest.mark.parametrize("key", ["language", "language_info", "kernelspec", "name", "nbgrader"])
def test_what_stands_in_the_notebook_s_metadata_stops_nothing(tmp_path, key, value):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": SOUND, "metadata": {key: value}}))
    exporter = SubmissionExporter()
    step = Repair()
    step.known = Known(tuple(TRUSTED), '{"name": "python3", "display_name": "Python"}')
    exporter.register_preprocessor(step, enabled=True)
    with path.open() as stream:
        made, resources = exporter.from_file(stream, {"nbgrader": {"student": "ada"}})
    assert resources[repair.KEY] == {"damaged": ""}
    assert set(json.loads(made)["metadata"]) == {"kernelspec", "language_info", repair.KEY}


# What the class knows.


def row(each, **more):
    """A cell as the gradebook gives it."""
    columns = ("name", "cell_type", "source", "checksum", "locked")
    return SimpleNamespace(**{key: getattr(each, key) for key in columns}, **more)


TASK = Trusted("draw", "markdown", "Draw it.", "c5", task=True, points=4)
LAST = Trusted("after-all", "markdown", "Done.", "c6", locked=True)
ALL = [*TRUSTED, TASK, LAST]


class Book:
    """A gradebook with one notebook, whose cells are in no order; it knows where it was opened."""

    def __init__(self, url):
        self.url = url
        self.open = False

    def __enter__(self):
        self.open = True
        return self

    def __exit__(self, *_):
        self.open = False

    def find_notebook(self, name, assignment):
        assert self.open
        assert (self.url, name, assignment) == ("sqlite:///a", "bptt", "week1")
        return SimpleNamespace(
            kernelspec='{"name": "python3"}',
            source_cells=[row(each) for each in (LAST, WRITTEN, ASK, TASK, TEST, ANSWER)],
            grade_cells=[row(each, max_score=each.points) for each in (WRITTEN, TEST)],
            task_cells=[row(TASK, max_score=4)],
            solution_cells=[row(ANSWER), row(WRITTEN)],
        )


NAMED = {"db_url": "sqlite:///a", "notebook": "bptt", "assignment": "week1", "student": "ada"}


def test_the_gradebook_s_cells_are_put_in_the_source_s_order(tmp_path):
    with Book("sqlite:///a") as book:
        source = tmp_path / "bptt.ipynb"
        known = repair.known_notebook(book, "bptt", "week1", source)
        assert set(known.cells) == set(ALL), "without a source, there is no order"
        assert known.kernelspec == '{"name": "python3"}'
        own = new_markdown_cell("no marks")
        cells = [own, *(each.cell(each.source) for each in ALL[:-1])]
        nbformat.write(new_notebook(cells=cells), source)
        known = repair.known_notebook(book, "bptt", "week1", source)
        assert list(known.cells) == ALL, "what the source does not know comes last"
        bare = SimpleNamespace(**{**vars(book.find_notebook("bptt", "week1")), "kernelspec": None})
        book.find_notebook = lambda *_: bare
        assert repair.known_notebook(book, "bptt", "week1", source).kernelspec == "{}"


def test_the_step_looks_up_what_the_class_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(repair, "Gradebook", Book)
    folder = tmp_path / "source" / "." / "week1"
    folder.mkdir(parents=True)
    cells = [each.cell(each.source) for each in ALL]
    nbformat.write(new_notebook(cells=cells), folder / "bptt.ipynb")
    converter = Configurable()
    converter.coursedir = CourseDirectory(root=str(tmp_path))
    step = Repair(parent=SubmissionExporter(parent=converter))
    nb, _ = step.preprocess(new_notebook(), {"nbgrader": NAMED})
    assert [cell.source for cell in nb.cells[1:]] == [each.source for each in ALL]
    assert nb.metadata.kernelspec == {"name": "python3"}
    for alone in (Repair(), Repair(parent=SubmissionExporter())):
        nb, _ = alone.preprocess(new_notebook(), {"nbgrader": NAMED})
        assert {cell.source for cell in nb.cells[1:]} == {each.source for each in ALL}


def test_what_could_not_be_run_has_an_error_in_every_check():
    step = WriteOff(reason="it ended twice")
    nb = new_notebook(cells=submitted())
    nb, _ = step.preprocess(nb, {})
    assert nb.cells[1].outputs == [
        {
            "output_type": "error",
            "ename": "NotGraded",
            "evalue": "it ended twice",
            "traceback": ["NotGraded: it ended twice"],
        }
    ]
    assert all(not cell.get("outputs") for n, cell in enumerate(nb.cells) if n != 1)
