"""A report as text for a terminal, as a card for a notebook, and as data for a grader."""

from __future__ import annotations

from html import escape
from typing import Any

from course.exercise import RUNGS
from course.ladder import NOT_ATTEMPTED, RIGHT, WRONG, Report

MARK = {RIGHT: "✓", WRONG: "✗", NOT_ATTEMPTED: "○"}
DATA = "application/vnd.rnn-course.check+json"
"""MIME type under which a notebook's output carries the report as data."""

PRINTED_LINES = 10
"""Lines of a student's prints that a report repeats."""

# Translucent colours, so that the card sits on a light page and on a dark one.
COLOUR = {RIGHT: "0, 158, 115", WRONG: "213, 94, 0", NOT_ATTEMPTED: "128, 128, 128"}


def title(report: Report) -> str:
    """The first line: mark, name, number and outcome."""
    exercise = report.exercise
    return f"{MARK[report.outcome]} {report.name} (exercise {exercise.number}): {report.outcome}"


def body(report: Report) -> list[str]:
    """The lines below the first."""
    lines = []
    if report.outcome == WRONG:
        lines += [report.headline, *report.lines]
        if report.slip:
            lines.append(f'this is the known slip "{report.slip.title}"')
    if report.outcome == RIGHT and report.exercise.parts and not report.part:
        lines.append("all parts: " + ", ".join(report.exercise.parts))
    lines += [f"your code warned: {text}" for text in report.warnings]
    if report.printed:
        lines.append("your code printed:")
        printed = report.printed.splitlines()
        lines += [f"  {line}" for line in printed[:PRINTED_LINES]]
        if len(printed) > PRINTED_LINES:
            lines.append(f"  ... and {len(printed) - PRINTED_LINES} more lines")
    if report.outcome == WRONG and not report.headline.startswith("there is no "):
        lines.append(next_step(report))
    if report.outcome == NOT_ATTEMPTED:
        lines.append(f'read {report.exercise.read}; stuck? hint("{report.exercise.name}", 1)')
    return lines


def next_step(report: Report) -> str:
    """What to read and which hint to ask for."""
    read = report.slip.read if report.slip else report.exercise.read
    level = report.slip.hint if report.slip else 1
    return f'read {read}, then: hint("{report.exercise.name}", {level})'


def as_text(report: Report) -> str:
    """The whole report as plain text."""
    return "\n".join([title(report), *(f"  {line}" for line in body(report))])


def as_html(report: Report) -> str:
    """The whole report as a card; everything in it is escaped."""
    colour = COLOUR[report.outcome]
    rungs = ""
    if report.outcome == WRONG and report.rung:
        steps = []
        for rung in RUNGS[1:]:
            broken = rung == report.rung
            passed = RUNGS.index(rung) < RUNGS.index(report.rung)
            mark = "✗" if broken else "✓" if passed else "·"
            weight = "font-weight: 700" if broken else "opacity: 0.75"
            steps.append(f'<span style="{weight}; white-space: nowrap">{mark} {rung}</span>')
        rungs = f'<div style="font-size: 0.85em; margin: 0.2em 0">{" &ensp; ".join(steps)}</div>'
    lines = "".join(
        f'<div style="white-space: pre-wrap">{escape(line)}</div>' for line in body(report)
    )
    return (
        f'<div style="border-left: 4px solid rgb({colour}); background: rgba({colour}, 0.10);'
        ' padding: 0.5em 0.9em; margin: 0.3em 0; border-radius: 3px; overflow-wrap: anywhere">'
        f"<div><strong>{escape(title(report))}</strong></div>{rungs}{lines}</div>"
    )


def as_data(report: Report) -> dict[str, Any]:
    """The whole report as plain data: what a class's report is made of."""
    return {
        "exercise": report.exercise.name,
        "part": report.part,
        "outcome": report.outcome,
        "rung": report.rung,
        "case": report.case,
        "headline": report.headline,
        "slip": report.slip.name if report.slip else None,
        "points": report.points,
        "out_of": report.out_of,
    }
