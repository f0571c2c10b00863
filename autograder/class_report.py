"""The class report: one HTML file without scripts, for a screen of any width, light or dark.

It says who needs a look and why, how the scores are spread, which misconceptions are common and
where the book explains them, and for each submission what its score rests on.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import statistics
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import quote

from traitlets import Unicode
from traitlets.config import Configurable

from autograder import repair
from autograder.build import put
from autograder.folder import ClassFolder
from autograder.grading import Standing, met
from autograder.work import GRADED
from course import fixtures
from course.exercise import Chapter, chapter
from course.ladder import NOT_ATTEMPTED, RIGHT, WRONG

OUTCOMES = (RIGHT, WRONG, NOT_ATTEMPTED)
LABELS = {RIGHT: "right", WRONG: "wrong, or only in part right", NOT_ATTEMPTED: "not attempted"}
MOST_SLIPS = 12

MODULES = frozenset(
    {
        *("autograder", "builtins", "ctypes", "gc", "importlib", "inspect", "mmap", "nbgrader"),
        *("multiprocessing", "pickle", "resource", "signal", "socket", "solutions", "subprocess"),
        "threading",
    }
)
NAMES = frozenset(
    {
        *("__builtins__", "__import__", "__subclasses__", "_exit", "_getframe", "addaudithook"),
        *("enable_grad", "fork", "get_ipython", "get_objects", "get_referrers", "kill"),
        *("set_grad_enabled", "setprofile", "settrace"),
    }
)
"""What no exercise needs.  To use it is no offence; it is what a person may want to look at."""

CODE_AT_MOST = 1_000_000
"""Characters of a notebook's code that are looked through."""


class ClassReport(Configurable):
    """Settings of the report, to be set in ``nbgrader_config.py``."""

    book = Unicode(
        "", help="Address of the book's folder; without it, equations are named, not linked."
    ).tag(config=True)


@dataclass(frozen=True)
class Met:
    """A slip that students met: number and title, what to read, how many students."""

    number: str
    title: str
    read: str
    students: int


@dataclass(frozen=True)
class Overview:
    """What the pictures show.

    exercises: "number title", with the number of students by outcome, and their mean points and
    the most there are; an exercise in parts is right if all parts are; slips: commonest first;
    bins: students by tenths of the points, the full score in the last; unusual: by student, why a
    person may want to look.
    """

    students: int
    exercises: tuple[tuple[str, dict[str, int], float, float], ...]
    slips: tuple[Met, ...]
    bins: tuple[int, ...]
    unusual: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def overview(
    found: Chapter, standings: Sequence[Standing], odd: Mapping[str, Sequence[str]] | None = None
) -> Overview:
    """Count outcomes and points by exercise, students by slip and by score, and who is unusual.

    odd: by student, what their code names that no exercise needs (``odd_names``).
    """
    exercises = []
    for exercise in found.exercises:
        count, points = dict.fromkeys(OUTCOMES, 0), []
        for each in standings:
            mine = [c for c in each.run.checks if c.exercise == exercise.name]
            seen = {c.outcome for c in mine}
            one = seen.pop() if len(seen) == 1 else WRONG if seen else NOT_ATTEMPTED
            count[one] += 1
            points.append(sum(exercise.points_of(c.part) for c in mine if c.outcome == RIGHT))
        label = f"{exercise.number}  {exercise.title}"
        exercises.append((label, count, statistics.fmean(points or [0]), exercise.total))
    slips: Counter[Met] = Counter()
    for each in standings:
        for check, title in met(each.run):
            exercise = found[check.exercise]
            known = fixtures.of_chapter(found.name)[exercise.name].slips
            read = next(slip.read for slip in known if slip.name == check.slip)
            slips[Met(exercise.number, title, read, 0)] += 1
    ranked = sorted(slips.items(), key=lambda item: (-item[1], item[0].number, item[0].title))
    bins = [0] * 11
    for each in standings:
        bins[int(10 * each.auto / each.auto_max) if each.auto_max else 0] += 1
    return Overview(
        len(standings),
        tuple(exercises),
        tuple(Met(m.number, m.title, m.read, n) for m, n in ranked[:MOST_SLIPS]),
        tuple(bins),
        unusual(standings, odd or {}),
    )


def unusual(
    standings: Sequence[Standing], odd: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """By student, why a person may want to look at a submission; no others are in it.

    Far below is under the first quartile by more than 1.5 times the distance of the quartiles.
    """
    scores = sorted(each.auto for each in standings)
    low = -1.0
    if len(scores) >= 4:
        first, _, third = statistics.quantiles(scores, method="inclusive")
        low = first - 1.5 * (third - first)
    found = {}
    for each in standings:
        why = []
        if each.run.ending != GRADED:
            why.append(f"{each.run.ending}: {each.run.reason}")
        if not each.run.isolated:
            why.append("not isolated: its code could change its own score, and others'")
        if each.auto < low:
            why.append(f"far below the others: {each.auto:g} of {each.auto_max:g}")
        if any("it sent what is no answer" in check.headline for check in each.run.checks):
            why.append("something in its code spoke to the grader directly, and was not believed")
        if each.run.repairs:
            count = len(each.run.repairs)
            changed = f"{count} thing{'' if count == 1 else 's'} of the notebook put right"
            why.append(f"{changed}: {'; '.join(each.run.repairs[:3])}")
        if names := odd.get(each.student):
            why.append(f"its code names what no exercise needs: {', '.join(names)}")
        if why:
            found[each.student] = tuple(why)
    return found


def odd_names(path: Path) -> tuple[str, ...]:
    """What the code of a graded notebook names that no exercise needs.

    Only the names above can come out: nothing of the student's own text does.  Cells that don't
    parse are passed over, and so is what is longer than any honest code: a parser takes a hundred
    times its memory.  In a graded notebook the class's own cells are marked, and no others.
    """
    notebook, _ = repair.read_file(path)
    seen, room = set(), CODE_AT_MOST
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader")
        locked = isinstance(marks, Mapping) and marks.get("locked")
        if cell.cell_type == "code" and not locked and len(cell.source) <= room:
            room -= len(cell.source)
            source = re.sub(r"(?m)^[ \t]*[%!].*$", "", cell.source)
            with (
                contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")  # of escapes, with the student's line
                seen |= set(_names(ast.parse(source)))
    return tuple(sorted(seen & (MODULES | NAMES)))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]
            yield from (alias.name for alias in node.names if alias.name in NAMES)
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield node.attr
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield node.id


# The page.


def page(
    found: Chapter,
    standings: Sequence[Standing],
    links: Mapping[str, str],
    odd: Mapping[str, Sequence[str]] | None = None,
    book: str = "",
) -> str:
    """The whole report; links: the feedback page of each student that has one, as a URL.

    odd: see ``overview``; book: where the book is.  Everything that comes from students, names
    too, is escaped.
    """
    data = overview(found, standings, odd)
    middle = statistics.median(each.auto for each in standings) if standings else 0
    top = max((each.auto_max for each in standings), default=0)
    unread = sum(each.to_read > 0 for each in standings)
    return _PAGE.format(
        title=escape(f"{found.number}. {found.title}"),
        students=_count(len(standings), "submission"),
        median=f"{middle:g} of {top:g}",
        unread=_count(unread, "written answer"),
        warning="" if all(each.run.isolated for each in standings) else _NOT_ISOLATED,
        looks=_looks(data, standings),
        histogram=histogram(data.bins, top),
        exercises=_exercises(data),
        slips=_slips(data, found, book),
        times=_times(standings),
        rows="\n".join(_row(each, links.get(each.student)) for each in standings),
        evidence="\n".join(_evidence(each, found) for each in standings),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _anchor(each: Standing) -> str:
    return "of-" + re.sub(r"[^\w-]", lambda m: f".{ord(m[0]):x}", each.student)


def _looks(data: Overview, standings: Sequence[Standing]) -> str:
    """Who needs a look, and why."""
    if not data.unusual:
        return "<p>Nobody: all ran to their end, nothing was repaired, no score is far below.</p>"
    items = []
    for each in standings:
        if why := data.unusual.get(each.student):
            said = "".join(f"<li>{escape(reason)}</li>" for reason in why)
            name = f'<a href="#{escape(_anchor(each), quote=True)}">{escape(each.name)}</a>'
            items.append(f"<li>{name}<ul>{said}</ul></li>")
    return f'<ul class="looks">{"".join(items)}</ul>'


def histogram(bins: Sequence[int], top: float) -> str:
    """Students by score, as a picture; its text says the same."""
    tall, wide, room = max(*bins, 1), 30, 96
    bars = []
    for n, count in enumerate(bins):
        height = room * count / tall
        x = n * wide + 3
        bars.append(
            f'<rect x="{x}" y="{118 - height:.1f}" width="{wide - 6}" height="{height:.1f}"/>'
        )
        if count:
            at = 114 - height
            bars.append(f'<text x="{x + wide / 2 - 3}" y="{at:.1f}">{count}</text>')
    low = [f"{top * n / 10:g}" for n in range(11)]
    ticks = "".join(
        f'<text x="{n * wide + wide / 2}" y="133">{low[n]}</text>' for n in range(0, 11, 2)
    )
    said = "; ".join(
        f"{low[n]}{f' to under {low[n + 1]}' if n < 10 else ' (all)'}: {_count(count, 'student')}"
        for n, count in enumerate(bins)
        if count
    )
    return (
        f'<svg class="histogram" viewBox="0 0 {11 * wide} 138" role="img"'
        f' aria-label="Students by points of the checks. {escape(said, quote=True)}">'
        f'<line x1="0" y1="118.5" x2="{11 * wide}" y2="118.5"/>{"".join(bars)}{ticks}</svg>'
    )


def _exercises(data: Overview) -> str:
    """A row for each exercise: a bar of outcomes, and the mean of the points."""
    rows = []
    for label, count, mean, most in data.exercises:
        parts = "".join(
            f'<span class="{_KIND[outcome]}" style="flex-grow: {count[outcome]}">'
            f"{count[outcome]}</span>"
            for outcome in OUTCOMES
            if count[outcome]
        )
        said = ", ".join(f"{count[outcome]} {LABELS[outcome]}" for outcome in OUTCOMES)
        rows.append(
            f'<tr><th scope="row">{escape(label)}</th>'
            f'<td class="bar"><div role="img" aria-label="{said}">{parts}</div></td>'
            f'<td class="n">{mean:.1f} of {most:g}</td></tr>'
        )
    legend = " ".join(
        f'<span class="key {_KIND[outcome]}"></span> {LABELS[outcome]}' for outcome in OUTCOMES
    )
    return (
        f'<p class="legend">{legend}</p><table class="exercises"><thead><tr>'
        '<th scope="col">Exercise</th><th scope="col">Students</th>'
        '<th scope="col" class="n">Mean points</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


_KIND = {RIGHT: "right", WRONG: "wrong", NOT_ATTEMPTED: "none"}


def _slips(data: Overview, found: Chapter, book: str) -> str:
    if not data.slips:
        return "<p>No known misconception was recognised.</p>"
    most = data.slips[0].students
    rows = "".join(
        f'<tr><th scope="row">{escape(each.number)} {escape(each.title)}</th>'
        f"<td>{_reading(each.read, found, book)}</td>"
        f'<td class="bar"><div><span class="slip" style="width: {100 * each.students / most:.0f}%">'
        f"{each.students}</span></div></td></tr>"
        for each in data.slips
    )
    return (
        '<table class="slips"><thead><tr><th scope="col">Misconception</th>'
        '<th scope="col">Explained at</th><th scope="col">Students</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _reading(read: str, found: Chapter, book: str) -> str:
    """The equations to read, each a link into the book if its address is known."""
    if not re.match(r"https?://|file://|\.{0,2}/", book):
        return escape(read)
    base = f"{book.rstrip('/')}/{found.page}.html"

    def link(number: re.Match[str]) -> str:
        chapter_, equation = number[1], number[2]
        target = escape(f"{base}#eq-{chapter_}-{equation}", quote=True)
        return f'<a href="{target}">({chapter_}.{equation})</a>'

    return re.sub(r"\((\d+)\.(\d+)\)", link, escape(read))


def _times(standings: Sequence[Standing]) -> str:
    """How long it took, and how submissions ended."""
    if not standings:
        return ""
    seconds = [each.run.seconds for each in standings]
    longest = max(standings, key=lambda each: each.run.seconds)
    endings = Counter(each.run.ending for each in standings).most_common()
    rows = "".join(
        f'<tr><th scope="row">{escape(ending)}</th><td class="n">{count}</td></tr>'
        for ending, count in endings
    )
    return (
        f"<p>Median {statistics.median(seconds):.1f} s, together {sum(seconds):.0f} s; longest"
        f" {longest.run.seconds:.1f} s ({escape(longest.name)}).</p>"
        '<table class="endings"><thead><tr><th scope="col">Ending</th>'
        f'<th scope="col" class="n">Submissions</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _row(each: Standing, link: str | None) -> str:
    name = escape(each.name)
    if link:
        name = f'<a href="{escape(link, quote=True)}">{name}</a>'
    written = (
        f"{each.to_read:g} to read" if each.to_read else f"{each.written:g}/{each.written_max:g}"
    )
    slips = "<br>".join(escape(slip) for slip in each.slips)
    proof = f'<a href="#{escape(_anchor(each), quote=True)}">{escape(each.run.ending)}</a>'
    return (
        f'<tr><th scope="row">{name}</th><td class="n">{each.auto:g}/{each.auto_max:g}</td>'
        f'<td class="n">{written}</td><td class="n">{each.run.seconds:.1f}</td>'
        f'<td>{proof}</td><td class="met">{slips}</td></tr>'
    )


def _evidence(each: Standing, found: Chapter) -> str:
    """What a submission's score rests on, and how to judge it again."""
    run = each.run
    lines = [run.reason] if run.reason else []
    lines += run.repairs
    notes = f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""
    command = f"autograder replay {_shell(each.student)} {found.name}"
    replay = (
        f"<p>Inputs drawn from seed <code>{run.seed}</code>. To judge it again with the same"
        f" inputs, in the class's folder:</p><pre>{escape(command)}</pre>"
        if run.seed is not None
        else "<p>Nothing was run, so nothing can be replayed.</p>"
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(c.exercise + (f".{c.part}" if c.part else ""))}</th>'
        + "".join(f"<td>{escape(s or '')}</td>" for s in (c.outcome, c.rung, c.case, c.headline))
        + f'<td class="n">{"" if c.seconds is None else f"{c.seconds:.2f}"}</td>'
        f"<td><code>{escape(c.sent)}</code> <code>{escape(c.got)}</code></td></tr>"
        for c in run.checks
    )
    heads = ("Check", "Outcome", "Rung", "Case", "Said", "Seconds", "Sent, got")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f"<details><summary>{escape(each.name)}:"
        f" {each.auto:g} of {each.auto_max:g}, {escape(run.ending)}</summary>"
        # The anchor lies inside: a browser opens what holds the target of a link.
        f'<div id="{escape(_anchor(each), quote=True)}">{notes}{replay}'
        f'<div class="wide" tabindex="0" role="region" aria-label="Checks of {escape(each.name)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></div></details>"
    )


def _shell(word: str) -> str:
    """A word as a shell takes it: quoted if need be."""
    return word if re.fullmatch(r"[\w@.+-]+", word) else "'" + word.replace("'", "'\\''") + "'"


def write(course: ClassFolder, name: str, standings: Sequence[Standing]) -> Path:
    """Write a chapter's report into a class; returns its path.  Raises OSError if it can't."""
    path = course.report(name)
    links, odd = {}, {}
    for each in standings:
        target = course.path("feedback", each.student, name) / f"{name}.html"
        if target.is_file():
            links[each.student] = quote(os.path.relpath(target, path.parent))
        graded = course.path("autograded", each.student, name) / f"{name}.ipynb"
        if graded.is_file():
            odd[each.student] = odd_names(graded)
    book = ClassReport(config=course.config).book
    put(path, page(chapter(name), standings, links, odd, book))
    return path


_NOT_ISOLATED = (
    '<p class="warning"><strong>Not isolated.</strong> Some of these submissions ran without a'
    " jail. Their code could read and change whatever the grader can: do not trust these scores"
    " more than you trust these students.</p>"
)

# Okabe and Ito's hues, dark enough for white figures on them: told apart with any colour vision.
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Class report: {title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #222; --soft: #5c5c5c; --line: #ddd; --back: #fff;
  --link: #0060a8; --right: #007a59; --wrong: #b84c00; --none: #6b6b6b; --slip: #0b6aa3; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e6e6; --soft: #a8a8a8; --line: #3c3f44; --back: #16181b; --link: #7cc0f4; }}
}}
* {{ box-sizing: border-box; }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }}
h1 {{ font-size: 1.5rem; margin: 0; }}
h2 {{ font-size: 1.1rem; margin: 2.2rem 0 0.4rem; }}
p.facts {{ color: var(--soft); margin: 0.2rem 0 1.4rem; }}
p.warning {{ border: 2px solid #c4510c; padding: 0.6rem 0.9rem; }}
svg.histogram {{ width: 100%; max-width: 34rem; height: auto; }}
svg.histogram rect {{ fill: var(--slip); }}
svg.histogram line {{ stroke: var(--soft); }}
svg.histogram text {{ fill: var(--ink); font-size: 10px; text-anchor: middle; }}
.wide {{ overflow-x: auto; }}
.wide table {{ min-width: 46rem; }}
table {{ border-collapse: collapse; width: 100%; margin-top: 0.5rem; font-size: 0.93rem; }}
table.endings {{ width: auto; }}
th, td {{ text-align: left; vertical-align: top; padding: 0.4rem 0.7rem 0.4rem 0;
  border-bottom: 1px solid var(--line); }}
thead th {{ color: var(--soft); font-weight: 600; }}
tbody th {{ font-weight: 400; }}
.n {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
td.met {{ min-width: 17rem; }}
td.bar {{ width: 45%; min-width: 7rem; }}
td.bar div {{ display: flex; gap: 2px; }}
td.bar span {{ flex-basis: 0; min-width: 1.5em; padding: 0 0.3em; color: #fff; font-size: 0.85rem;
  text-align: center; border-radius: 2px; }}
td.bar span.slip {{ flex-basis: auto; text-align: right; }}
.right {{ background: var(--right); }} .wrong {{ background: var(--wrong); }}
.none {{ background: var(--none); }} .slip {{ background: var(--slip); }}
.key {{ display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px;
  margin-left: 0.7em; }}
.legend .key:first-child {{ margin-left: 0; }}
.legend {{ color: var(--soft); margin: 0.2rem 0; font-size: 0.9rem; }}
a {{ color: var(--link); }}
details {{ border-bottom: 1px solid var(--line); padding: 0.3rem 0; }}
summary {{ cursor: pointer; }}
details:has(:target) {{ border-left: 3px solid var(--link); padding-left: 0.7rem; }}
pre {{ background: rgba(128, 128, 128, 0.15); padding: 0.5rem 0.7rem; overflow-x: auto; }}
code {{ font-size: 0.88em; overflow-wrap: anywhere; }}
ul {{ margin: 0.2rem 0; padding-left: 1.1rem; }}
li {{ overflow-wrap: anywhere; }}
@media (max-width: 40rem) {{
  table.exercises, table.slips {{ display: block; }}
  table.exercises thead, table.slips thead {{ position: absolute; clip-path: inset(50%); }}
  table.exercises :is(tbody, tr, th, td), table.slips :is(tbody, tr, th, td) {{ display: block;
    border: 0; padding: 0.1rem 0; text-align: left; width: auto; }}
  table.exercises tr, table.slips tr {{ border-bottom: 1px solid var(--line);
    padding: 0.4rem 0; }}
}}
</style>
</head>
<body>
{warning}
<h1>{title}</h1>
<p class="facts">{students} · median of the checks {median} · {unread} to read</p>
<h2>Who needs a look</h2>
{looks}
<h2>Scores</h2>
{histogram}
<h2>Exercises</h2>
{exercises}
<h2>Commonest misconceptions</h2>
{slips}
<h2>The class</h2>
<div class="wide" tabindex="0" role="region" aria-label="The class">
<table>
<thead><tr><th scope="col">Student</th><th scope="col" class="n">Checks</th>
<th scope="col" class="n">Written</th><th scope="col" class="n">Seconds</th>
<th scope="col">Ending</th><th scope="col">Misconceptions</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
<h2>Time and endings</h2>
{times}
<h2>What each score rests on</h2>
<p>For each check: the rung of the ladder where it stopped, on which case, what was said, the
seconds of its calls, and hashes of all that was sent to the function and of all that came back. A
replay sends the same, and gets the same unless the code leaves something to chance.</p>
{evidence}
</body>
</html>
"""
