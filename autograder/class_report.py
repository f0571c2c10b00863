"""The class report: one HTML file with two pictures and the class table."""

from __future__ import annotations

import base64
import io
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from matplotlib.figure import Figure

from autograder.build import put
from autograder.grading import ClassFolder, Standing, met
from course.exercise import Chapter, chapter
from course.ladder import NOT_ATTEMPTED, RIGHT, WRONG

OUTCOMES = (RIGHT, WRONG, NOT_ATTEMPTED)
# Okabe and Ito's palette: told apart with any colour vision, on white and on black.
LABELS = {RIGHT: "right", WRONG: "wrong, or only in part right", NOT_ATTEMPTED: "not attempted"}
COLOURS = {RIGHT: "#009E73", WRONG: "#D55E00", NOT_ATTEMPTED: "#8C8C8C"}
SLIP_COLOUR = "#3F8FC4"
MOST_SLIPS = 12


@dataclass(frozen=True)
class Overview:
    """What the pictures show.

    exercises: "number title", with the number of students by outcome; an exercise in parts is
    right if all parts are; slips: "number title" and how many students met it, commonest first.
    """

    students: int
    exercises: tuple[tuple[str, dict[str, int]], ...]
    slips: tuple[tuple[str, int], ...]


def overview(found: Chapter, standings: Sequence[Standing]) -> Overview:
    """Count outcomes by exercise, and students by slip."""
    exercises = []
    for exercise in found.exercises:
        count = dict.fromkeys(OUTCOMES, 0)
        for each in standings:
            seen = {c.outcome for c in each.run.checks if c.exercise == exercise.name}
            one = seen.pop() if len(seen) == 1 else WRONG if seen else NOT_ATTEMPTED
            count[one] += 1
        exercises.append((f"{exercise.number}  {exercise.title}", count))
    slips = Counter(
        f"{found[check.exercise].number}  {title}"
        for each in standings
        for check, title in met(each.run)
    )
    ranked = sorted(slips.items(), key=lambda item: (-item[1], item[0]))
    return Overview(len(standings), tuple(exercises), tuple(ranked[:MOST_SLIPS]))


def draw(data: Overview, *, dark: bool) -> Figure:
    """Two bar charts, one below the other: outcomes by exercise, and the commonest slips."""
    ink = "#E6E6E6" if dark else "#222222"
    rows = len(data.exercises), max(len(data.slips), 1)
    figure = Figure(figsize=(8.6, 1.9 + 0.34 * sum(rows)), layout="constrained")
    figure.patch.set_alpha(0)
    above, below = figure.subplots(2, 1, height_ratios=rows)
    labels = [label for label, _ in data.exercises]
    left = [0] * len(labels)
    for outcome in OUTCOMES:
        widths = [count[outcome] for _, count in data.exercises]
        bars = above.barh(
            labels, widths, 0.72, left=left, color=COLOURS[outcome], label=LABELS[outcome]
        )
        texts = [str(width) if width else "" for width in widths]
        above.bar_label(bars, texts, label_type="center", color="white", fontsize=9)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    above.set_title("Students by exercise", color=ink, loc="left", fontsize=11, pad=24)
    above.legend(
        ncols=3,
        loc="lower left",
        bbox_to_anchor=(-0.01, 0.99),
        frameon=False,
        labelcolor=ink,
        fontsize=9,
        borderpad=0.2,
        handlelength=1.2,
    )
    above.set_xlim(0, max(data.students, 1))
    names = [label for label, _ in data.slips] or ["none"]
    counts = [count for _, count in data.slips] or [0]
    bars = below.barh(names, counts, 0.72, color=SLIP_COLOUR)
    below.bar_label(bars, [str(count or "") for count in counts], padding=3, color=ink, fontsize=9)
    below.set_title("Commonest misconceptions (students)", color=ink, loc="left", fontsize=11)
    below.set_xlim(0, max(*counts, 1) * 1.08)
    for axes, count in zip((above, below), rows, strict=True):
        axes.set_ylim(count - 0.5, -0.5)  # the first on top
        axes.patch.set_alpha(0)
        axes.tick_params(axis="y", length=0, colors=ink, labelsize=9.5)
        axes.xaxis.set_visible(False)  # the numbers stand in the bars
        axes.spines[:].set_visible(False)
    return figure


def _png(figure: Figure) -> str:
    """A figure as a data URI; the same figure gives the same text."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def page(found: Chapter, standings: Sequence[Standing], links: dict[str, str]) -> str:
    """The whole report; links: the feedback page of each student that has one, as a URL.

    Everything that comes from students, names too, is escaped.
    """
    data = overview(found, standings)
    light, dark = (_png(draw(data, dark=dark)) for dark in (False, True))
    rows = "\n".join(_row(each, links.get(each.student)) for each in standings)
    said = "; ".join(
        f"{label}: {', '.join(f'{count[outcome]} {outcome}' for outcome in OUTCOMES)}"
        for label, count in data.exercises
    )
    middle = statistics.median(each.auto for each in standings) if standings else 0
    top = max((each.auto_max for each in standings), default=0)
    unread = sum(each.to_read > 0 for each in standings)
    return _PAGE.format(
        title=escape(f"{found.number}. {found.title}"),
        students=f"{len(standings)} submission{'' if len(standings) == 1 else 's'}",
        median=f"{middle:g} of {top:g}",
        unread=f"{unread} written answer{'' if unread == 1 else 's'}",
        light=light,
        dark=dark,
        alt=escape(said, quote=True),
        rows=rows,
        warning="" if all(each.run.isolated for each in standings) else _NOT_ISOLATED,
    )


def _row(each: Standing, link: str | None) -> str:
    name = escape(each.name)
    if link:
        name = f'<a href="{escape(link, quote=True)}">{name}</a>'
    written = (
        f"{each.to_read:g} to read" if each.to_read else f"{each.written:g}/{each.written_max:g}"
    )
    notes = [each.run.reason] if each.run.reason else []
    notes += each.run.repairs
    ending = escape(each.run.ending)
    if notes:
        what = "why" if each.run.reason else f"{len(notes)} repaired"
        items = "".join(f"<li>{escape(note)}</li>" for note in notes)
        ending += f" <details><summary>{what}</summary><ul>{items}</ul></details>"
    slips = "<br>".join(escape(slip) for slip in each.slips)
    return (
        f"<tr><td>{name}</td><td class=n>{each.auto:g}/{each.auto_max:g}</td>"
        f"<td class=n>{written}</td><td class=n>{each.run.seconds:.1f}</td>"
        f"<td>{ending}</td><td class=slips>{slips}</td></tr>"
    )


def write(course: ClassFolder, name: str, standings: Sequence[Standing]) -> Path:
    """Write a chapter's report into a class; returns its path.  Raises OSError if it can't."""
    path = course.report(name)
    links = {}
    for each in standings:
        target = course.path("feedback", each.student, name) / f"{name}.html"
        if target.is_file():
            links[each.student] = quote(os.path.relpath(target, path.parent))
    put(path, page(chapter(name), standings, links))
    return path


_NOT_ISOLATED = (
    '<p class="warning"><strong>Not isolated.</strong> Some of these submissions ran without a'
    " jail. Their code could read and change whatever the grader can: do not trust these scores"
    " more than you trust these students.</p>"
)

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Class report: {title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #222; --soft: #666; --line: #ddd; --back: #fff;
  --link: #0060a8; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e6e6; --soft: #a8a8a8; --line: #3c3f44; --back: #16181b; --link: #7cc0f4; }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }}
h1 {{ font-size: 1.5rem; margin: 0; }}
p.facts {{ color: var(--soft); margin: 0.2rem 0 1.4rem; }}
p.warning {{ border: 2px solid #c4510c; padding: 0.6rem 0.9rem; }}
img {{ max-width: 100%; height: auto; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; margin-top: 1.4rem; font-size: 0.93rem; }}
th, td {{ text-align: left; vertical-align: top; padding: 0.4rem 0.7rem;
  border-bottom: 1px solid var(--line); }}
th {{ color: var(--soft); font-weight: 600; }}
.n {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
td.slips {{ min-width: 17rem; }}
a {{ color: var(--link); }}
details {{ color: var(--soft); }}
ul {{ margin: 0.2rem 0; padding-left: 1.1rem; }}
</style>
</head>
<body>
{warning}
<h1>{title}</h1>
<p class="facts">{students} · median of the checks {median} · {unread} to read</p>
<picture>
<source srcset="{dark}" media="(prefers-color-scheme: dark)">
<img src="{light}" alt="{alt}">
</picture>
<div class="wide">
<table>
<thead><tr><th>Student</th><th class=n>Checks</th><th class=n>Written</th>
<th class=n>Seconds</th><th>Ending</th><th>Slips met</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
</body>
</html>
"""
