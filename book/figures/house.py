"""The house as it is: who imports whom, read from the files, and the ways that data takes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from course import figures
from figures.tables import Table

HOUSE = Path(__file__).resolve().parent.parent.parent

ROOMS = ("course", "solutions", "notebooks", "autograder", "book", "tests", "benchmarks")


def imports(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the dotted names that a piece of Python imports, and whether it looks them up by name.

    `from a import b` gives a and a.b, for b may be a module.  By name is `import_module("a.b")`; of
    a name that is put together, `import_module(f"a.{b}")`, the beginning counts.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, False
            yield from ((f"{node.module}.{alias.name}", False) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            name = (
                node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            )
            if isinstance(name, ast.Constant):
                yield str(name.value).rstrip("."), True


def imported(text: str) -> set[str]:
    """Return the packages, and modules without one, that a piece of Python imports."""
    return {name.split(".")[0] for name, _ in imports(text)}


def sources(room: str) -> list[tuple[str, str]]:
    """Return every piece of Python in a room, and its name: modules, and cells of pages."""
    found = [
        (str(path.relative_to(HOUSE)), path.read_text(encoding="utf-8"))
        for path in sorted((HOUSE / room).rglob("*.py"))
        if "node_modules" not in path.parts
    ]
    for page in sorted((HOUSE / room).glob("*.md")):
        for block in re.findall(
            r"```\{code-cell\}[^\n]*\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S
        ):
            code = re.sub(r"\A---\n.*?\n---\n|\A(:[^\n]*\n)+", "", block, flags=re.S)
            found.append((f"{page.name}: {code[:40]!r}", code))
    for path in sorted((HOUSE / room).glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                code = "".join(cell["source"])
                found.append((f"{path.name}: {code[:40]!r}", code))
    return found


class Rooms(NamedTuple):
    """Who imports whom: (importing room, imported room) to the number of files that do it."""

    files: dict[tuple[str, str], int]


def rooms() -> Rooms:
    """Read all imports between rooms.

    Tests, pages and benchmarks are run with their own folder on the path, so that a module there
    goes by its bare name.
    """
    bare = {
        path.stem: room
        for room in ("book", "tests", "benchmarks")
        for path in (HOUSE / room).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    room_of = bare | {room: room for room in ROOMS}
    found: dict[tuple[str, str], set[str]] = {}
    for room in ROOMS:
        for where, text in sources(room):
            for name in imported(text) & room_of.keys():
                if room_of[name] != room:
                    found.setdefault((room, room_of[name]), set()).add(where.split(":")[0])
    return Rooms({pair: len(files) for pair, files in sorted(found.items())})


STANDS = {  # where a room's box is drawn, and who gets the room
    "course": (0.0, 0.0, "ships to students"),
    "notebooks": (2.2, 1.0, "ships to students"),
    "solutions": (0.0, 1.0, "never ships"),
    "book": (-1.55, 2.0, "everyone reads it"),
    "autograder": (1.55, 2.0, "never ships"),
}
READERS = {"ships to students": "green", "never ships": "vermilion", "everyone reads it": "blue"}


def draw_rooms(found: Rooms) -> Figure:
    """Draw the rooms that make the course, an arrow from each to what it imports."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.6, 3.4))
    half, high = 0.66, 0.24
    for name, (x, y, reader) in STANDS.items():
        colour = figures.PALETTE[READERS[reader]]
        _box(ax, (x, y), half, high, colour)
        ax.text(x, y + 0.07, f"{name}/", ha="center", va="center", weight="bold")
        ax.text(x, y - 0.12, reader, ha="center", va="center", size=8.5)
    for (source, target), count in found.files.items():
        if source not in STANDS or target not in STANDS:
            continue
        (x, y, _), (u, v, _) = STANDS[source], STANDS[target]
        # Side by side on the lower box, in the order of where they come from.
        leave, enter = np.array([x, y - high]), np.array([u + 0.3 * (x - u) / 1.55, v + high])
        ax.annotate("", enter, leave, arrowprops=ARROW)
        way = (enter - leave) / np.hypot(*(enter - leave))
        side = 0.14 * np.array([-way[1], way[0]]) * (1 if way[0] >= 0 else -1)  # never below
        at = (leave + enter) / 2 + side
        ax.text(at[0], at[1], str(count), size=9, ha="center", va="center")
    ax.set(xlim=(-2.3, 2.95), ylim=(-0.35, 2.35))
    ax.axis("off")
    return fig


class Levels(NamedTuple):
    """The modules of a room in rows: each imports modules of lower rows only.

    rows : names, from the bottom; imports : name to the names that it imports
    """

    room: str
    rows: tuple[tuple[str, ...], ...]
    imports: dict[str, frozenset[str]]


def levels(room: str) -> Levels:
    """Put a room's modules, and the packages in it as one each, into rows.

    What is looked up by name, as chapters are, does not count.  Raises ValueError if two of them
    import each other.
    """
    found: dict[str, set[str]] = {}
    for where, text in sources(room):
        name = _part(where.removesuffix(".py").replace("/", "."), room)
        if name is not None:
            mine = found.setdefault(name, set())
            mine |= {o for n, by_name in imports(text) if not by_name and (o := _part(n, room))}
    known = {name: frozenset(found[name] & found.keys() - {name}) for name in found}
    rows: list[tuple[str, ...]] = []
    placed: set[str] = set()
    while placed != known.keys():
        ready = sorted(name for name in known.keys() - placed if known[name] <= placed)
        if not ready:
            raise ValueError(f"these import each other: {sorted(known.keys() - placed)}")
        rows.append(tuple(ready))
        placed.update(ready)
    return Levels(room, tuple(rows), known)


def _part(dotted: str, room: str) -> str | None:
    """Return the module of a room that a name belongs to, or the package in it."""
    parts = dotted.split(".")
    if parts[0] != room or len(parts) < 2 or parts[1] == "__init__":
        return None
    place = HOUSE / room / parts[1]
    if place.with_suffix(".py").is_file():
        return parts[1]
    return f"{parts[1]}/" if (place / "__init__.py").is_file() else None


def draw_levels(found: list[Levels], across: int = 4) -> Figure:
    """Draw each room as a stack of rows, at most `across` names beside one another."""
    figures.style()
    lines = [[_lines(row, across) for row in each.rows] for each in found]
    heights = [sum(0.27 * len(row) + 0.13 for row in rows) + 0.1 for rows in lines]
    fig, axes = plt.subplots(
        len(found), 1, figsize=(5.6, sum(heights) + 0.4 * len(found)), height_ratios=heights
    )
    colours = [figures.PALETTE["green"], figures.PALETTE["vermilion"]]
    for ax, each, rows, height, colour in zip(axes, found, lines, heights, colours, strict=True):
        y = 0.0
        for row in rows:
            high = 0.27 * len(row)
            ax.axhspan(y, y + high + 0.06, color=colour, alpha=0.15, lw=0)
            for k, names in enumerate(row):
                for j, name in enumerate(names):
                    place = (j + 0.5) / len(names), y + high - 0.27 * k - 0.105
                    ax.text(*place, name, ha="center", va="center", size=10)
            y += high + 0.13
        ax.set(xlim=(0, 1), ylim=(-0.05, height))
        ax.set_title(f"{each.room}/", loc="left", weight="bold")
        ax.axis("off")
    return fig


def _lines(names: tuple[str, ...], across: int) -> list[tuple[str, ...]]:
    """Return names in as few lines as hold `across` each, filled evenly."""
    count = -(-len(names) // across)
    size = -(-len(names) // count)
    return [names[k : k + size] for k in range(0, len(names), size)]


class Step(NamedTuple):
    """A station on the way of data.

    lane : who holds it; says : what happens there; where : the function that does it
    """

    lane: str
    says: str
    where: str


CHECK = (
    Step("the notebook", 'the locked cell: check("bptt.grad_h")', "course.checks.check"),
    Step("course", "the exercise: its cases, oracle, tolerance", "course.exercise.find"),
    Step("course", "truth and slips, on file", "course.fixtures.of_chapter"),
    Step("course", "up the ladder, case by case", "course.ladder.Ladder.climb"),
    Step("the notebook", "your function, on read-only arrays", "course.calls.call"),
    Step("course", "your arrays beside the truth", "course.compare.compare"),
    Step(
        "course",
        "a known slip with the same outputs?",
        "course.ladder.Ladder._known_by_outputs",
    ),
    Step("course", "what, where, why, what next", "course.report.as_text"),
    Step("the notebook", "the card, then CheckFailed", "course.show.show"),
)
"""What a check does with a wrong answer."""

GRADE = (
    Step("the class", "submitted/STUDENT/bptt/bptt.ipynb", "autograder.writer.Writer.task"),
    Step("the grader", "one of the workers takes it", "autograder.work.grade_one"),
    Step("the grader", "graded cells as they were released", "autograder.repair.Repair.preprocess"),
    Step("the jail", "the student's cells", "autograder.sandbox.client.Submission.cell"),
    Step("the grader", "inputs from a secret seed", "autograder.execute.trusted_ladder"),
    Step(
        "the jail", "one call: arrays in, arrays out", "autograder.sandbox.client.Question.__call__"
    ),
    Step("the grader", "beside the reference's arrays", "course.compare.compare"),
    Step("the grader", "report and points, as the cell's output", "autograder.execute.outputs_of"),
    Step("the grader", "scores, outcomes, slips", "autograder.work.findings"),
    Step("the class", "gradebook.db, autograded/, the record", "autograder.writer.Writer.write"),
)
"""What grading does with a submission."""

LANES = {
    "the notebook": "vermilion",
    "course": "green",
    "the class": "blue",
    "the grader": "green",
    "the jail": "vermilion",
}


def draw_way(steps: tuple[Step, ...]) -> Figure:
    """Draw stations from top to bottom, each in the column of who holds the data."""
    figures.style()
    lanes = list(dict.fromkeys(step.lane for step in steps))
    half, high, gap = 1.8, 0.25, 0.28
    centres = dict(zip(lanes, np.linspace(half, 5.6 - half, len(lanes)), strict=True))
    top = len(steps) * (2 * high + gap)
    fig, ax = plt.subplots(figsize=(5.6, top + 0.35))
    before = None
    for i, step in enumerate(steps):
        x, y = centres[step.lane], top - high - i * (2 * high + gap)
        _box(ax, (x, y), half, high, figures.PALETTE[LANES[step.lane]])
        ax.text(x, y + 0.1, step.says, ha="center", va="center", size=10.5)
        ax.text(x, y - 0.11, step.where, ha="center", va="center", size=9, family="monospace")
        if before is not None:
            ax.annotate("", (x, y + high), before, arrowprops=ARROW)
        before = x, y - high
    for lane, x in centres.items():
        edge = {0.0: "left", 1.0: "right"}.get((x - half) / (5.6 - 2 * half), "center")
        at = {"left": x - half, "right": x + half}.get(edge, x)
        ax.text(at, top + 0.1, lane, ha=edge, va="bottom", weight="bold")
    ax.set(xlim=(-0.05, 5.65), ylim=(gap - 0.05, top + 0.3))
    ax.axis("off")
    return fig


def targets() -> Table:
    """Return a table of what `make` can do."""
    text = (HOUSE / "Makefile").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^([a-z]+):.*?## (.*)$", text)
    return Table(["command", "what it does"], [[f"make {name}", what] for name, what in rows])


ARROW = {"arrowstyle": "-|>", "color": figures.FOREGROUND, "lw": 1, "shrinkA": 0, "shrinkB": 1}


def _box(ax: Axes, place: tuple[float, float], half: float, high: float, colour: str) -> None:
    corner = place[0] - half + 0.06, place[1] - high + 0.06
    shape = FancyBboxPatch(
        corner, 2 * half - 0.12, 2 * high - 0.12, boxstyle="round,pad=0.06", fc=f"{colour}22",
        ec=colour, lw=1.4,
    )  # fmt: skip
    ax.add_patch(shape)
