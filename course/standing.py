"""``progress`` and ``ready``: what has been checked, in this kernel and in saved notebooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

from course.exercise import CHAPTERS, Chapter, Exercise, chapter, find
from course.ladder import NOT_ATTEMPTED, RIGHT, WRONG, Report
from course.report import COLOUR, DATA, MARK
from course.show import show

SAVED = "as saved"

_last: dict[tuple[str, str | None], Report] = {}


class Stand(NamedTuple):
    """How an exercise stands; saved: by what its notebook shows, not by a check of this kernel."""

    outcome: str
    points: float
    saved: bool = False


def record(report: Report) -> None:
    """Remember a report as the latest for its exercise, or for its part."""
    key = report.exercise.name, report.part
    _last.pop(key, None)  # or it would keep its place: the latest comes last
    _last[key] = report


def forget() -> None:
    """Forget every report."""
    _last.clear()


def state(exercise: Exercise) -> Stand:
    """How an exercise stands by the latest checks in this kernel."""
    return _stand(exercise, {key: report.outcome for key, report in _last.items()})


def _stand(
    exercise: Exercise, outcomes: Mapping[tuple[str, str | None], str], saved: bool = False
) -> Stand:
    """How an exercise stands by the outcomes of itself, or of its parts."""
    parts = exercise.parts or (None,)
    found = {part: outcomes.get((exercise.name, part), NOT_ATTEMPTED) for part in parts}
    points = sum(exercise.points_of(part) for part in parts if found[part] == RIGHT)
    if set(found.values()) == {RIGHT}:
        return Stand(RIGHT, points, saved)
    blank = set(found.values()) == {NOT_ATTEMPTED}
    return Stand(NOT_ATTEMPTED if blank else WRONG, points, saved)


def _stands(found: Chapter, folder: Path) -> list[tuple[Exercise, Stand]]:
    """Every exercise of a chapter: as checked in this kernel, else as its notebook was saved."""
    checked = {name for name, _ in _last}
    outcomes = _saved(found, folder / f"{found.name}.ipynb")
    return [
        (each, state(each) if each.name in checked else _stand(each, outcomes, saved=True))
        for each in found.exercises
    ]


def _saved(found: Chapter, path: Path) -> dict[tuple[str, str | None], str]:
    """The outcomes that a saved notebook shows; none if there is no notebook that can be read."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        shown = [output["data"][DATA] for output in outputs if DATA in output.get("data", {})]
        reports = [[each[key] for key in ("exercise", "part", "outcome")] for each in shown]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    outcomes: dict[tuple[str, str | None], str] = {}
    known = {exercise.name: exercise for exercise in found.exercises}
    for name, part, outcome in (tuple(map(str, report)) for report in reports):
        if name in known and outcome in MARK:
            # Parts that fared alike are shown as one.
            parts = known[name].parts or (None,)
            outcomes.update({(name, one): outcome for one in parts if part in (one, "None")})
    return outcomes


def progress(name: str | None = None, folder: str | Path = ".") -> None:
    """Show how far you are: a line for each exercise of a chapter, or for each chapter.

    name: the chapter; left out, the whole course.  What was not checked since the kernel started
    is taken from the chapter's notebook in the folder, as it was last saved, and marked so.
    Raises CourseError if there is no such chapter.
    """
    if name is None:
        _whole_course(Path(folder))
    else:
        _one_chapter(chapter(name), Path(folder))


def _whole_course(folder: Path) -> None:
    """A line for each chapter: a mark for each exercise, how many are right, and points."""
    chapters = [chapter(name) for name in CHAPTERS]
    width = max(len(found.title) for found in chapters)
    most = max(len(found.exercises) for found in chapters)
    text, rows, every = [], [], []
    for found in chapters:
        stands = _stands(found, folder)
        every += stands
        right, points, total = _counts(stands)
        note = _note(stands)
        text.append(
            f"  {found.number}  {found.title:<{width}}  {_marks(stands):<{most}}  {right:>8} right,"
            f" {points:>2g} of {total:g} points{f', {note}' if note else ''}"
        )
        about = [f"{right} right", f"{points:g} of {total:g} points", note]
        title = f'<div style="white-space: normal">{found.number}. {escape(found.title)}</div>'
        rows.append([title, _tiles(stands), *about])
    right, points, total = _counts(every)
    heading = f"The course: {right} exercises right, {points:g} of {total:g} points"
    more = f'One chapter, line by line: progress("{_latest()}")'
    show(text="\n".join([heading, *text, more]), html=_card(heading, points / total, rows, more))


def _one_chapter(found: Chapter, folder: Path) -> None:
    """A line for each exercise, and for each question that a person reads."""
    stands = _stands(found, folder)
    right, points, total = _counts(stands)
    heading = f"{right} right, {points:g} of {total:g} points"
    width = max(len(exercise.name) for exercise, _ in stands)
    text, rows = [f"{_marks(stands)}  {heading}"], []
    for exercise, stand in stands:
        said = stand.outcome
        if exercise.parts:
            said += f" ({stand.points:g} of {exercise.total:g} points)"
        if stand.saved and stand.outcome != NOT_ATTEMPTED:
            said += f", {SAVED}"
        number = f"{exercise.number:<4}"
        text.append(f"  {MARK[stand.outcome]} {number}  {exercise.name:<{width}}  {said}")
        named = [f"<code>{exercise.name}</code>", escape(exercise.title), said]
        rows.append([_tiles([(exercise, stand)]), exercise.number, *named])
    for question in found.questions:
        said = "read by your instructor"
        text.append(f"    {question.number:<4}  {question.title}: {said}")
        rows.append(["", question.number, "", escape(question.title), said])
    following = next((each for each, stand in stands if stand.outcome != RIGHT), None)
    more = f"next: {following.number}, read {following.read}" if following else ""
    text += [more] if more else []
    full = f"{found.number}. {found.title}: {heading}"
    show(text="\n".join(text), html=_card(full, points / total, rows, more))


def _marks(stands: list[tuple[Exercise, Stand]]) -> str:
    """A mark for each exercise."""
    return "".join(MARK[stand.outcome] for _, stand in stands)


def _tiles(stands: list[tuple[Exercise, Stand]]) -> str:
    """The same as HTML, each on its colour; translucent, for light pages and for dark ones."""
    return "".join(
        f'<span title="{each.number} {each.name}: {stand.outcome}" style="display: inline-block;'
        " width: 1.4em; margin: 1px; border-radius: 3px; text-align: center;"
        f' background: rgba({COLOUR[stand.outcome]}, 0.3)">{MARK[stand.outcome]}</span>'
        for each, stand in stands
    )


def _card(heading: str, share: float, rows: list[list[str]], more: str) -> str:
    """A heading over a bar as long as the share of the points, then a table; cells are HTML."""
    cell = '<td style="text-align: left; white-space: nowrap">{}</td>'
    table = "".join(f"<tr>{''.join(map(cell.format, row))}</tr>" for row in rows)
    return (
        # With tabindex, who has no mouse can scroll it by the arrow keys.
        '<div tabindex="0" style="max-width: 64em; overflow-x: auto; padding: 0.3em 0">'
        f"<div><strong>{escape(heading)}</strong></div>"
        '<div style="height: 0.5em; margin: 0.5em 0; border-radius: 0.25em; overflow: hidden;'
        ' background: rgba(128, 128, 128, 0.25)">'
        f'<div style="height: 100%; width: {100 * share:.1f}%;'
        f' background: rgb({COLOUR[RIGHT]})"></div></div>'
        f'<table style="margin: 0">{table}</table><div>{escape(more)}</div></div>'
    )


def _counts(stands: list[tuple[Exercise, Stand]]) -> tuple[str, float, float]:
    """ "7 of 10", and the points earned, and those there are."""
    right = sum(stand.outcome == RIGHT for _, stand in stands)
    points = sum(stand.points for _, stand in stands)
    return f"{right} of {len(stands)}", points, sum(exercise.total for exercise, _ in stands)


def _note(stands: list[tuple[Exercise, Stand]]) -> str:
    """Whether what is shown of a chapter comes from its saved notebook."""
    old = [stand.saved for _, stand in stands if stand.outcome != NOT_ATTEMPTED]
    return "" if not any(old) else SAVED if all(old) else f"partly {SAVED}"


def _latest() -> str:
    """The chapter that was checked last, or the first."""
    return next(reversed(_last))[0].split(".")[0] if _last else CHAPTERS[0]


def ready(*names: str, quiet: bool = False) -> bool:
    """Whether these exercises are right by now; says which are not, unless quiet.

    An exercise that the class leaves out is never right.
    """
    missing = []
    for name in names:
        left_out = [each for each in chapter(name.split(".")[0]).left_out if each.name == name]
        if left_out:
            missing.append(f"{left_out[0].number} (left out in this class)")
            continue
        exercise, _ = find(name)
        if state(exercise)[0] != RIGHT:
            missing.append(f"{exercise.number} ({exercise.name})")
    if missing and not quiet:
        show(text=f"This cell runs once these checks are right: {', '.join(missing)}.")
    return not missing
