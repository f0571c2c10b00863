"""A report as text, as a card and as data; progress and what is ready, by the latest reports."""

from __future__ import annotations

import dataclasses
import json

import pytest
import toys

from course import CourseError, standing
from course.exercise import CHAPTERS, Chapter, Question, chapter, find
from course.ladder import Report
from course.report import DATA, as_data, as_html, as_text
from course.standing import forget, progress, ready, record, state

TOY = toys.exercise()
PARTED = toys.exercise(points={"a": 2, "b": 1})
SLIP = toys.slip({}, title="<the> slip")
BAD = Report(TOY, None, "wrong", "values", "main", "a[0]: yours 1, want 2", ("one & one", "two"))


@pytest.fixture(autouse=True)
def nothing_yet():
    forget()
    yield
    forget()


# Text.


def test_right_is_one_line():
    assert as_text(Report(TOY, None, "right")) == "✓ toy.both (exercise 0.1): right"


def test_right_in_all_parts_names_them():
    assert as_text(Report(PARTED, None, "right")) == (
        "✓ toy.both (exercise 0.1): right\n  all parts: a, b"
    )
    assert as_text(Report(PARTED, "a", "right")) == "✓ toy.both.a (exercise 0.1): right"


def test_wrong_says_what_where_and_what_next():
    assert as_text(BAD) == (
        "✗ toy.both (exercise 0.1): wrong\n"
        "  a[0]: yours 1, want 2\n"
        "  one & one\n"
        "  two\n"
        '  read (0.1), then: hint("toy.both", 1)'
    )
    assert as_text(dataclasses.replace(BAD, slip=SLIP)).endswith(
        '  two\n  this is the known slip "<the> slip"\n  read (0.2), then: hint("toy.both", 2)'
    )


def test_what_is_not_there_needs_no_hint():
    missing = dataclasses.replace(BAD, headline="there is no function named both", lines=())
    assert as_text(missing) == (
        "✗ toy.both (exercise 0.1): wrong\n  there is no function named both"
    )


def test_not_attempted_says_where_to_begin():
    empty = Report(TOY, None, "not attempted", "attempted", "main", "not attempted yet")
    assert as_text(empty) == (
        '○ toy.both (exercise 0.1): not attempted\n  read (0.1); stuck? hint("toy.both", 1)'
    )


def test_warnings_and_prints_are_repeated_and_cut():
    loud = Report(TOY, None, "right", warnings=("one", "two"), printed="x\ny")
    assert as_text(loud).splitlines()[1:] == [
        "  your code warned: one",
        "  your code warned: two",
        "  your code printed:",
        "    x",
        "    y",
    ]
    ten = "".join(f"{n}\n" for n in range(10))
    assert as_text(dataclasses.replace(loud, printed=ten)).endswith("\n    9")
    assert as_text(dataclasses.replace(loud, printed=ten + "10\n11")).endswith(
        "\n    9\n    ... and 2 more lines"
    )


# Cards.


@pytest.mark.parametrize(
    ("outcome", "colour"),
    [("right", "0, 158, 115"), ("wrong", "213, 94, 0"), ("not attempted", "128, 128, 128")],
)
def test_a_card_has_the_colour_of_its_outcome(outcome, colour):
    card = as_html(Report(TOY, None, outcome))
    assert f"solid rgb({colour}); background: rgba({colour}, 0.10);" in card
    assert card.count("<div") == card.count("</div>")


def test_a_card_shows_how_far_the_answer_climbed():
    card = as_html(BAD)
    begin = card.index("margin: 0.2em 0")
    rungs = card[begin : card.index("</div>", begin)]
    marks = ["✓ runs", "✓ shapes", "✓ arguments", "✓ probes", "✗ values", "· properties"]
    places = [rungs.index(mark) for mark in marks]
    assert places == sorted(places)
    assert rungs.count("<span") == 6
    assert rungs.count("font-weight: 700") == 1
    assert 'font-weight: 700; white-space: nowrap">✗ values' in rungs
    assert rungs.count("opacity: 0.75") == 5
    assert rungs.count(" &ensp; ") == 5
    assert "attempted" not in rungs


CARD = (
    '<div style="border-left: 4px solid rgb(213, 94, 0); background: rgba(213, 94, 0, 0.10);'
    ' padding: 0.5em 0.9em; margin: 0.3em 0; border-radius: 3px; overflow-wrap: anywhere">'
    "<div><strong>✗ toy.both (exercise 0.1): wrong</strong></div>"
    '<div style="font-size: 0.85em; margin: 0.2em 0">'
    '<span style="opacity: 0.75; white-space: nowrap">✓ runs</span> &ensp; '
    '<span style="font-weight: 700; white-space: nowrap">✗ shapes</span> &ensp; '
    '<span style="opacity: 0.75; white-space: nowrap">· arguments</span> &ensp; '
    '<span style="opacity: 0.75; white-space: nowrap">· probes</span> &ensp; '
    '<span style="opacity: 0.75; white-space: nowrap">· values</span> &ensp; '
    '<span style="opacity: 0.75; white-space: nowrap">· properties</span></div>'
    '<div style="white-space: pre-wrap">a is None</div>'
    '<div style="white-space: pre-wrap">read (0.1), then: hint(&quot;toy.both&quot;, 1)</div></div>'
)


def test_a_card_to_the_letter():
    assert as_html(Report(TOY, None, "wrong", "shapes", "main", "a is None")) == CARD
    right = as_html(Report(TOY, None, "right"))
    assert right.endswith(
        'anywhere"><div><strong>✓ toy.both (exercise 0.1): right</strong></div></div>'
    )


@pytest.mark.parametrize(
    "report",
    [
        Report(TOY, None, "right"),
        Report(TOY, None, "not attempted", "attempted"),
        dataclasses.replace(BAD, rung=None),
    ],
)
def test_a_card_without_a_broken_rung_shows_none(report):
    assert "span" not in as_html(report)
    assert "0.2em 0" not in as_html(report)


def test_everything_on_a_card_is_escaped():
    card = as_html(dataclasses.replace(BAD, slip=SLIP, warnings=("<script>",)))
    assert "one &amp; one" in card
    assert "&quot;&lt;the&gt; slip&quot;" in card
    assert "your code warned: &lt;script&gt;" in card
    assert "<script" not in card
    assert "<strong>✗ toy.both (exercise 0.1): wrong</strong>" in card
    lines = as_text(dataclasses.replace(BAD, slip=SLIP, warnings=("<script>",))).splitlines()
    assert card.count('<div style="white-space: pre-wrap">') == len(lines) - 1


# Data.


def test_data_holds_what_a_class_report_counts():
    assert as_data(dataclasses.replace(BAD, slip=SLIP, exercise=PARTED, part="b")) == {
        "exercise": "toy.both",
        "part": "b",
        "outcome": "wrong",
        "rung": "values",
        "case": "main",
        "headline": "a[0]: yours 1, want 2",
        "slip": "a_slip",
        "points": 0.0,
        "out_of": 1.0,
    }
    right = as_data(Report(TOY, None, "right"))
    assert (right["points"], right["out_of"], right["slip"], right["part"]) == (
        3.0,
        3.0,
        None,
        None,
    )


# Standing.


def test_the_latest_report_counts():
    assert state(TOY)[:2] == ("not attempted", 0)
    record(BAD)
    assert state(TOY)[:2] == ("wrong", 0)
    record(Report(TOY, None, "right"))
    assert state(TOY)[:2] == ("right", 3)
    record(BAD)
    assert state(TOY)[:2] == ("wrong", 0)
    forget()
    assert state(TOY)[:2] == ("not attempted", 0)


def test_parts_are_right_together_and_count_alone():
    record(Report(PARTED, "a", "right"))
    assert state(PARTED)[:2] == ("wrong", 2)
    record(Report(PARTED, "b", "not attempted"))
    assert state(PARTED)[:2] == ("wrong", 2)
    record(Report(PARTED, "a", "not attempted"))
    assert state(PARTED)[:2] == ("not attempted", 0)
    for part in "ab":
        record(Report(PARTED, part, "right"))
    assert state(PARTED)[:2] == ("right", 3)


def of_bptt(name: str):
    return find(f"bptt.{name}")[0]


def right(name: str) -> None:
    exercise = of_bptt(name)
    for part in exercise.parts or (None,):
        record(Report(exercise, part, "right"))


def test_progress_has_a_line_for_each_exercise(capsys):
    found = chapter("bptt")
    right("forward")
    right("grad_params")
    record(Report(of_bptt("loss"), None, "wrong"))
    record(Report(of_bptt("grad_o"), None, "not attempted"))
    progress("bptt")
    lines = capsys.readouterr().out.splitlines()
    earned = of_bptt("forward").total + of_bptt("grad_params").total
    total = sum(each.total for each in found.exercises)
    others = "○" * (len(found.exercises) - 5)
    assert lines[0] == (
        f"✓✗○○✓{others}  2 of {len(found.exercises)} right, {earned:g} of {total:g} points"
    )
    width = max(len(each.name) for each in found.exercises)
    assert lines[1] == f"  ✓ 3.1   {'bptt.forward':<{width}}  right"
    assert lines[2] == f"  ✗ 3.2   {'bptt.loss':<{width}}  wrong"
    assert lines[3] == f"  ○ 3.3   {'bptt.grad_o':<{width}}  not attempted"
    assert lines[5] == f"  ✓ 3.5   {'bptt.grad_params':<{width}}  right (5 of 5 points)"
    assert lines[-2] == "    3.11  Must it explode?: read by your instructor"
    assert lines[-1] == f"next: 3.2, read {of_bptt('loss').read}"
    assert len(lines) == 2 + len(found.exercises) + len(found.questions)


def test_progress_leads_to_the_chapter_that_was_checked_last(capsys):
    progress()
    assert 'progress("dynamics")' in capsys.readouterr().out
    right("forward")
    progress()
    said = capsys.readouterr().out
    assert 'progress("bptt")' in said
    assert len(said.splitlines()) == 2 + len(CHAPTERS)
    record(Report(find("gates.sample")[0], None, "wrong"))
    right("forward")
    progress()
    assert 'progress("bptt")' in capsys.readouterr().out, "checked before and after the other"
    with pytest.raises(CourseError):
        progress("nowhere")


def test_the_table_of_progress_is_escaped(monkeypatch):
    shown = {}
    monkeypatch.setattr(standing, "show", lambda **given: shown.update(given))
    right("grad_params")
    progress("bptt")
    html = shown["html"]
    cell = '<td style="text-align: left; white-space: nowrap">{}</td>'.format
    for number, name, title, said in (
        (
            "3.5",
            "<code>bptt.grad_params</code>",
            of_bptt("grad_params").title,
            "right (5 of 5 points)",
        ),
        ("3.11", "", "Must it explode?", "read by your instructor"),
    ):
        assert "".join(map(cell, (number, name, title, said))) + "</tr>" in html
    rows = len(chapter("bptt").exercises) + len(chapter("bptt").questions)
    assert html.count("<tr>") == html.count("</tr>") == rows == 1 + html.count("</tr><tr>")
    assert shown["text"].splitlines()[0].endswith("1 of 10 right, 5 of 30 points")
    assert (
        "<strong>3. Back-propagation through time: 1 of 10 right, 5 of 30 points</strong>" in html
    )


ONE = toys.exercise(name="toys.one", title="One < two", points=3)
TWO = toys.exercise(name="toys.two", number="0.2", title="Two", points={"a": 4, "b": 1})
CUBES = toys.exercise(name="more.cubes", number="1.1", points=2)
TOYS = Chapter("toys", 0, "Toys & co", "", (ONE, TWO), (Question("toys.why", "0.3", "<Why>?", 2),))
MORE = Chapter("more", 1, "More", "", (CUBES,))


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """What progress shows of a course of two small chapters, worked on in a folder of its own."""
    found = {}
    monkeypatch.setattr(standing, "CHAPTERS", ("toys", "more"))
    monkeypatch.setattr(standing, "chapter", {"toys": TOYS, "more": MORE}.__getitem__)
    monkeypatch.setattr(standing, "show", lambda **kinds: found.update(kinds))
    monkeypatch.chdir(tmp_path)
    return found


def lines_of(shown, name: str | None = None) -> list[str]:
    """The lines of progress, without the last, which says what is next."""
    progress(name)
    return shown["text"].splitlines()[:-1]


def save(folder, *reports) -> None:
    """Write the notebook of the toys as Jupyter does, with text and prints beside these reports."""
    outputs = [{"name": "stdout", "text": "✓"}, {"data": {"text/plain": "✓"}}]
    outputs += [{"data": {"text/plain": "✓", DATA: each}} for each in reports]
    cells = [{"cell_type": "markdown", "source": "✓"}, {"cell_type": "code", "outputs": outputs}]
    text = json.dumps({"cells": cells}, ensure_ascii=False)
    (folder / "toys.ipynb").write_text(text, encoding="utf-8")


def test_what_a_notebook_shows_counts_and_is_said_to_be_saved(shown, tmp_path):
    assert lines_of(shown) == [
        "The course: 0 of 3 exercises right, 0 of 10 points",
        "  0  Toys & co  ○○    0 of 2 right,  0 of 8 points",
        "  1  More       ○     0 of 1 right,  0 of 2 points",
    ]
    save(tmp_path, as_data(Report(ONE, None, "right")), as_data(Report(TWO, "b", "right")))
    assert lines_of(shown) == [
        "The course: 1 of 3 exercises right, 4 of 10 points",
        "  0  Toys & co  ✓✗    1 of 2 right,  4 of 8 points, as saved",
        "  1  More       ○     0 of 1 right,  0 of 2 points",
    ]
    assert lines_of(shown, "toys") == [
        "✓✗  1 of 2 right, 4 of 8 points",
        "  ✓ 0.1   toys.one  right, as saved",
        "  ✗ 0.2   toys.two  wrong (1 of 5 points), as saved",
        "    0.3   <Why>?: read by your instructor",
    ]
    record(Report(ONE, None, "wrong"))
    record(Report(CUBES, None, "right"))
    assert lines_of(shown) == [
        "The course: 1 of 3 exercises right, 3 of 10 points",
        "  0  Toys & co  ✗✗    0 of 2 right,  1 of 8 points, partly as saved",
        "  1  More       ✓     1 of 1 right,  2 of 2 points",
    ]
    save(tmp_path)
    assert lines_of(shown, "toys")[1:3] == [
        "  ✗ 0.1   toys.one  wrong",
        "  ○ 0.2   toys.two  not attempted (0 of 5 points)",
    ]


def test_parts_that_were_saved_as_one_and_reports_of_other_things(shown, tmp_path):
    other = {"exercise": "toys.gone", "part": None, "outcome": "right"}
    odd = {"exercise": "toys.one", "part": None, "outcome": "<script>"}
    save(tmp_path, other, odd, as_data(Report(TWO, None, "right")))
    assert lines_of(shown, "toys")[:3] == [
        "○✓  1 of 2 right, 5 of 8 points",
        "  ○ 0.1   toys.one  not attempted",
        "  ✓ 0.2   toys.two  right (5 of 5 points), as saved",
    ]


def test_where_all_is_right_nothing_is_next(shown):
    record(Report(CUBES, None, "right"))
    progress("more")
    assert shown["text"] == ("✓  1 of 1 right, 2 of 2 points\n  ✓ 1.1   more.cubes  right")
    assert shown["html"].endswith("</table><div></div></div>")


TILE = (
    '<span title="{}" style="display: inline-block; width: 1.4em; margin: 1px; border-radius: 3px;'
    ' text-align: center; background: rgba({}, 0.3)">{}</span>'
).format
RIGHT_TILE = TILE("0.1 toys.one: right", "0, 158, 115", "✓")
BLANK_TILE = TILE("0.2 toys.two: not attempted", "128, 128, 128", "○")


def table(heading: str, width: str, rows: list[list[str]], more: str) -> str:
    """The card of progress, to the letter."""
    cell = '<td style="text-align: left; white-space: nowrap">{}</td>'.format
    return (
        '<div tabindex="0" style="max-width: 64em; overflow-x: auto; padding: 0.3em 0">'
        f"<div><strong>{heading}</strong></div>"
        '<div style="height: 0.5em; margin: 0.5em 0; border-radius: 0.25em; overflow: hidden;'
        ' background: rgba(128, 128, 128, 0.25)">'
        f'<div style="height: 100%; width: {width}%; background: rgb(0, 158, 115)"></div></div>'
        '<table style="margin: 0">'
        + "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
        + f"</table><div>{more}</div></div>"
    )


def test_the_cards_of_progress_to_the_letter(shown):
    record(Report(ONE, None, "right"))
    progress("toys")
    assert shown["html"] == table(
        "0. Toys &amp; co: 1 of 2 right, 3 of 8 points",
        "37.5",
        [
            [RIGHT_TILE, "0.1", "<code>toys.one</code>", "One &lt; two", "right"],
            [BLANK_TILE, "0.2", "<code>toys.two</code>", "Two", "not attempted (0 of 5 points)"],
            ["", "0.3", "", "&lt;Why&gt;?", "read by your instructor"],
        ],
        "next: 0.2, read (0.1)",
    )
    progress()
    title = '<div style="white-space: normal">{}</div>'.format
    cubes = TILE("1.1 more.cubes: not attempted", "128, 128, 128", "○")
    assert shown["html"] == table(
        "The course: 1 of 3 exercises right, 3 of 10 points",
        "30.0",
        [
            [
                title("0. Toys &amp; co"),
                RIGHT_TILE + BLANK_TILE,
                "1 of 2 right",
                "3 of 8 points",
                "",
            ],
            [title("1. More"), cubes, "0 of 1 right", "0 of 2 points", ""],
        ],
        "One chapter, line by line: progress(&quot;toys&quot;)",
    )


def test_a_cell_is_ready_when_its_exercises_are_right(capsys):
    assert not ready("bptt.forward", "bptt.grad_params")
    assert capsys.readouterr().out == (
        "This cell runs once these checks are right: 3.1 (bptt.forward), 3.5 (bptt.grad_params).\n"
    )
    right("forward")
    assert not ready("bptt.forward", "bptt.grad_params", quiet=True)
    assert capsys.readouterr().out == ""
    right("grad_params")
    assert ready("bptt.forward", "bptt.grad_params")
    assert ready()
    assert capsys.readouterr().out == ""
    with pytest.raises(CourseError):
        ready("bptt.nothing")


def test_what_the_class_leaves_out_is_never_ready(monkeypatch, capsys):
    whole = chapter("bptt")
    first, *rest = whole.exercises
    without = dataclasses.replace(whole, exercises=tuple(rest), left_out=(first,), _index={})
    monkeypatch.setattr(standing, "chapter", lambda name: without)
    right("forward")
    right("loss")
    assert ready("bptt.loss")
    assert not ready("bptt.forward", "bptt.loss", "bptt.grad_o")
    assert capsys.readouterr().out == (
        "This cell runs once these checks are right: 3.1 (left out in this class),"
        " 3.3 (bptt.grad_o).\n"
    )
