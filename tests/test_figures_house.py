"""The page for whoever takes over: its figures show what is there, and in the order it happens."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import small_class
from figures import house

from autograder import grading
from course import CheckFailed, check, fixtures

PAGE = (house.HOUSE / "book" / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_imports_are_read_wherever_they_stand():
    text = (
        "import a.b, c as d\nfrom e.f import g\nfrom . import h\nif x:\n    import i\n"
        "def f():\n    from j import k\n    importlib.import_module(f'l.{name}')\n"
        "    import_module('m.n')\n    import_module(name)\n"
    )
    assert set(house.imports(text)) == {
        *((name, False) for name in ("a.b", "c", "e.f", "e.f.g", "i", "j", "j.k")),
        ("l", True),
        ("m.n", True),
    }
    assert house.imported(text) == set("aceijlm")


def test_every_import_between_drawn_rooms_has_its_arrow():
    found = house.rooms()
    drawn = {pair for pair in found.files if set(pair) <= house.STANDS.keys()}
    assert drawn == {
        ("notebooks", "course"),
        ("solutions", "course"),
        ("book", "course"),
        ("book", "solutions"),
        ("autograder", "course"),
        ("autograder", "solutions"),
    }
    (ax,) = house.draw_rooms(found).axes
    assert sum(getattr(text, "arrow_patch", None) is not None for text in ax.texts) == len(drawn)
    for source, target in drawn:
        assert house.STANDS[source][1] > house.STANDS[target][1], "an arrow that points up"
    # What the caption says of those that are left out.
    left_out = {pair for pair in found.files if pair[0] in ("tests", "benchmarks")}
    assert {target for _, target in left_out} >= {"course", "solutions", "autograder", "book"}


@pytest.mark.parametrize("room", ["course", "autograder"])
def test_a_module_imports_only_from_rows_below(room):
    found = house.levels(room)
    row_of = {name: k for k, row in enumerate(found.rows) for name in row}
    modules = {path.stem for path in (house.HOUSE / room).glob("*.py")} - {"__init__"}
    assert modules <= row_of.keys()
    for name, others in found.imports.items():
        assert all(row_of[other] < row_of[name] for other in others)


@pytest.mark.parametrize("name", ["build", "grading"])
def test_what_python_loads_is_what_was_read(name):
    """The second method: import the module, and see what has come along."""
    found = house.levels("autograder")
    reached, waiting = {name}, [name]
    while waiting:
        fresh = found.imports[waiting.pop()] - reached
        reached |= fresh
        waiting += fresh
    code = f"import sys, autograder.{name}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=house.HOUSE
    ).stdout.split()
    parts = {house._part(module, "autograder") for module in loaded} - {None}
    assert name in parts
    assert parts <= reached


def test_modules_that_import_each_other_have_no_rows(monkeypatch):
    monkeypatch.setattr(
        house,
        "sources",
        lambda room: [
            ("course/calls.py", "import course.report"),
            ("course/report.py", "import course.calls"),
        ],
    )
    with pytest.raises(ValueError, match=r"each other: \['calls', 'report'\]"):
        house.levels("course")


def called(steps: tuple[house.Step, ...], run) -> list[str]:
    """The stations in the order in which their functions were first called."""
    codes = {}
    for step in steps:
        owner, names = importlib.import_module("autograder"), step.where.split(".")
        for k in range(len(names) - 1, 0, -1):
            try:
                owner, names = importlib.import_module(".".join(names[:k])), names[k:]
                break
            except ModuleNotFoundError:
                continue
        for name in names:
            owner = getattr(owner, name)
        codes[inspect.unwrap(owner).__code__] = step.where
    seen: list[str] = []

    def note(frame, event, _):
        where = codes.get(frame.f_code)
        if event == "call" and where and where not in seen:
            seen.append(where)

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return seen


def test_a_check_goes_the_way_that_is_drawn():
    def run():
        with pytest.raises(CheckFailed):
            check("bptt.grad_h", lambda do, h, W, V: do @ V)  # nothing comes from h(t+1)

    fixtures.of_chapter.cache_clear()
    assert called(house.CHECK, run) == [step.where for step in house.CHECK]


def test_grading_goes_the_way_that_is_drawn(tmp_path):
    course = small_class.new_class(tmp_path)
    small_class.hand_in(course, "lovelace", small_class.answered(course))
    seen = called(house.GRADE, lambda: grading.grade(course, "bptt", jobs=0))
    assert seen == [step.where for step in house.GRADE]


@pytest.mark.parametrize("steps", [house.CHECK, house.GRADE], ids=["check", "grade"])
def test_a_way_is_drawn_from_top_to_bottom(steps):
    (ax,) = house.draw_way(steps).axes
    heights = [
        text.get_position()[1] for text in ax.texts if text.get_text() in {s.says for s in steps}
    ]
    assert len(heights) == len(steps)
    assert heights == sorted(heights, reverse=True)
    for step in steps:
        assert step.lane in house.LANES


def test_the_page_counts_boxes_as_they_are():
    words = {"Five": house.STANDS, "Nine": house.CHECK, "Ten": house.GRADE}
    assert {word: len(boxes) for word, boxes in words.items()} == {"Five": 5, "Nine": 9, "Ten": 10}
    for word in words:
        assert f"{word} boxes" in PAGE


def test_the_page_names_files_that_exist():
    table = PAGE[PAGE.index("## Where a new thing goes") :]
    named = set(re.findall(r"`([\w./-]+/[\w./-]*)`", PAGE)) | set(re.findall(r"`(\w+\.md)`", table))
    assert len(named) > 20
    for name in named:
        assert (house.HOUSE / name).exists(), name
    for name in re.findall(r"`(\w+\.py)`", PAGE):
        assert list(Path(house.HOUSE / "autograder").rglob(name)), name


def test_the_page_lists_every_make_target():
    rows = house.targets().rows
    assert all(what for _, what in rows)
    said = [command for command, _ in rows]
    for target in re.findall(r"(?m)^(\w+):(?!=)", (house.HOUSE / "Makefile").read_text("utf-8")):
        assert f"make {target}" in said
