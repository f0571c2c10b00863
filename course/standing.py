"""``progress`` and ``ready``: what has been checked since the kernel started."""

from __future__ import annotations

from html import escape

from course.exercise import CHAPTERS, Exercise, chapter, find
from course.ladder import NOT_ATTEMPTED, RIGHT, WRONG, Report
from course.report import MARK
from course.show import show

_last: dict[tuple[str, str | None], Report] = {}


def record(report: Report) -> None:
    """Remember a report as the latest for its exercise, or for its part."""
    _last[report.exercise.name, report.part] = report


def forget() -> None:
    """Forget every report."""
    _last.clear()


def state(exercise: Exercise) -> tuple[str, float]:
    """Outcome and points of an exercise by the latest checks of it."""
    reports = [_last.get((exercise.name, part)) for part in exercise.parts or (None,)]
    points = sum(report.points for report in reports if report)
    outcomes = {report.outcome if report else NOT_ATTEMPTED for report in reports}
    if outcomes == {RIGHT}:
        return RIGHT, points
    return (NOT_ATTEMPTED if outcomes == {NOT_ATTEMPTED} else WRONG), points


def progress(name: str | None = None) -> None:
    """Show a line for each exercise of a chapter: not attempted, wrong, right.

    name: the chapter; left out, the chapter that was checked last (or the first).
    Raises CourseError if there is no such chapter.
    """
    if name is None:
        name = next(reversed(_last))[0].split(".")[0] if _last else CHAPTERS[0]
    found = chapter(name)
    rows = [(exercise, *state(exercise)) for exercise in found.exercises]
    earned, total = sum(row[2] for row in rows), sum(row[0].total for row in rows)
    right = sum(row[1] == RIGHT for row in rows)
    bar = "".join(MARK[outcome] for _, outcome, _ in rows)
    heading = f"{bar}  {right} of {len(rows)} right, {earned:g} of {total:g} points"
    width = max(len(exercise.name) for exercise, _, _ in rows)
    numbers = [each.number for each in found.exercises] + [each.number for each in found.questions]
    digits = max(map(len, numbers))
    text = [heading]
    cells = []
    for exercise, outcome, points in rows:
        partial = f" ({points:g} of {exercise.total:g} points)" if exercise.parts else ""
        text.append(
            f"  {MARK[outcome]} {exercise.number:<{digits}}"
            f"  {exercise.name:<{width}}  {outcome}{partial}"
        )
        cells.append(
            f"<tr><td>{MARK[outcome]}</td><td>{exercise.number}</td>"
            f"<td style='text-align: left'>{escape(exercise.title)}</td>"
            f"<td style='text-align: left'>{outcome}{partial}</td></tr>"
        )
    for question in found.questions:
        text.append(f"    {question.number:<{digits}}  {question.title}: read by your instructor")
        cells.append(
            f"<tr><td></td><td>{question.number}</td><td style='text-align: left'>"
            f"{escape(question.title)}</td><td style='text-align: left'>read by your instructor"
            "</td></tr>"
        )
    html = f"<div>{escape(heading)}</div><table>{''.join(cells)}</table>"
    show(text="\n".join(text), html=html)


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
