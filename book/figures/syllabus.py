"""The syllabus: tables and a picture made from the course's own lists, so that they stay true."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from course import figures
from course.exercise import CHAPTERS, Chapter, chapter
from figures.tables import Table

ROOT = Path(__file__).resolve().parent.parent.parent
EQUATION = r"^\\begin\{equation\}.*?^\\end\{equation\}"
WORDS_A_MINUTE = 125  # of a page with formulas; prose alone is read twice as fast
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def chapters() -> list[Chapter]:
    """The chapters that have exercises, in the order of the book."""
    return [chapter(name) for name in CHAPTERS]


def notebook(name: str) -> str:
    """The text of a chapter's notebook, answers included."""
    return (ROOT / "solutions" / f"{name}.py").read_text(encoding="utf-8")


def hours(name: str) -> float:
    """Hours that a chapter's notebook asks the student to plan.

    Understood are "Plan about four hours", "... 4 hours", "... an hour and a half".
    Raises ValueError if the notebook says no such thing.
    """
    text = " ".join(notebook(name).replace("#", " ").split())
    found = re.search(r"Plan (?:about )?(\w+)( and a half)? hours?( and a half)?\b", text)
    said = {**{word: n for n, word in enumerate(NUMBERS)}, "an": 1, "a": 1}
    if not found or not (found[1].isdigit() or found[1] in said):
        raise ValueError(f'solutions/{name}.py does not say "Plan about ... hours": add it')
    whole = int(found[1]) if found[1].isdigit() else said[found[1]]
    return whole + (0.5 if found[2] or found[3] else 0.0)


def words(page: str) -> int:
    """Words of a page of the book, without its code and its displayed formulas."""
    text = (ROOT / "book" / f"{page}.md").read_text(encoding="utf-8")
    for left_out in (r"\A---.*?^---", r"^```\{code-cell\}.*?^```", EQUATION):
        text = re.sub(left_out, " ", text, flags=re.S | re.M)
    return len(text.split())


def reading(page: str) -> float:
    """Hours that it takes to read a page, in halves."""
    return max(1, round(words(page) / WORDS_A_MINUTE / 30)) / 2


def overview() -> Table:
    """Chapter, hours, exercises, written questions and points, and the sums."""
    rows: list[list[object]] = []
    sums = [0.0] * 5
    for each in chapters():
        points = sum(e.total for e in each.exercises) + sum(q.points for q in each.questions)
        time = [reading(each.page), hours(each.name)]
        numbers = [*time, len(each.exercises), len(each.questions), points]
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        rows.append([f"{each.number}. {each.title}", *(f"{n:g}" for n in numbers)])
    rows.append(["all", *(f"{n:g}" for n in sums)])
    header = ["chapter", "reading, hours", "notebook, hours", "exercises", "written", "points"]
    return Table(header, rows)


def weeks(hours_a_week: float) -> dict[str, tuple[int, int]]:
    """First and last week of each chapter, one after the other, at so many hours a week."""
    found, before = {}, 0.0
    for each in chapters():
        after = before + reading(each.page) + hours(each.name)
        found[each.name] = math.floor(before / hours_a_week) + 1, math.ceil(after / hours_a_week)
        before = after
    return found


def calendar(paces: tuple[float, ...] = (2, 4, 6)) -> Table:
    """In which weeks a chapter falls, for each pace."""
    plans = [weeks(pace) for pace in paces]
    rows = [
        [
            f"{each.number}. {each.title}",
            *(
                f"{first}" if first == last else f"{first}–{last}"
                for first, last in (plan[each.name] for plan in plans)
            ),
        ]
        for each in chapters()
    ]
    return Table(["chapter", *(f"{pace:g} h a week" for pace in paces)], rows)


def ends() -> Table:
    """Where each chapter's notebook begins and where it ends."""
    rows = [
        [
            each.number,
            f"{each.exercises[0].number} {each.exercises[0].title}",
            f"{each.exercises[-1].number} {each.exercises[-1].title}",
            ", ".join(f"{q.number} {q.title}" for q in each.questions) or "–",
        ]
        for each in chapters()
    ]
    return Table(["", "five minutes", "the last one coded", "the one to think about"], rows)


def wanted(name: str) -> set[str]:
    """Exercises without which a cell of the notebook that trains or draws does not run.

    Those that it asks `ready` for, and those whose functions the answers to them call.
    """
    tree, found = ast.parse(notebook(name)), set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", None) == "ready"):
            continue
        if not any(keyword.arg == "quiet" for keyword in node.keywords):
            names = ", ".join(ast.unparse(argument) for argument in node.args)
            found |= set(eval(f"[{names}]"))  # our own text: literals and comprehensions
    symbols = {each.symbol: each.name for each in chapter(name).exercises}
    calls = {
        symbols[node.name]: {symbols[n.id] for n in ast.walk(node) if _names(n, symbols)}
        for node in tree.body
        if getattr(node, "name", None) in symbols
    }
    while more := set().union(*(calls.get(each, set()) for each in found)) - found:
        found |= more
    return found


def _names(node: ast.AST, symbols: dict[str, str]) -> bool:
    """Whether a node reads one of these names."""
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in symbols


def skippable() -> Table:
    """Exercises by whether a training or a picture of the chapter's notebook waits for them."""
    rows = []
    for each in chapters():
        needed = wanted(each.name)
        numbers: dict[bool, list[str]] = {True: [], False: []}
        for exercise in each.exercises:
            numbers[exercise.name in needed].append(exercise.number)
        rows.append([each.number, *(", ".join(numbers[which]) or "–" for which in (True, False))])
    return Table(["", "a training or a picture waits for", "nothing waits for"], rows)


def leans() -> dict[tuple[int, int], int]:
    """How often a chapter's notebook, answers included, names an earlier one: (later, earlier).

    Counted are "chapter 3", "exercise 3.4" and "(3.9)".  Not the pages: they may change without
    the book's cells being run again.
    """
    all_ = chapters()
    found = {}
    for later in all_:
        text = re.sub(r"\\tag\{[^}]*\}", "", notebook(later.name))
        for earlier in all_:
            if earlier.number < later.number:
                n = earlier.number
                named = rf"[Cc]hapter {n}\b|[Ee]xercise {n}\.\d+|\({n}\.\d+\)"
                if count := len(re.findall(named, text)):
                    found[later.number, earlier.number] = count
    return found


def table_leans(counts: dict[tuple[int, int], int]) -> Table:
    """The counts, a row for each chapter that names another."""
    rows = []
    for later in sorted({later for later, _ in counts}):
        named = [f"chapter {e} ({count})" for (n, e), count in counts.items() if n == later]
        rows.append([later, ", ".join(named)])
    return Table(["chapter", "names (how often)"], rows)


def draw_leans(counts: dict[tuple[int, int], int]) -> Figure:
    """Draw the chapters as a column, and arrows to those that are named: thicker, more often."""
    figures.style()
    all_ = chapters()
    fig, ax = plt.subplots(figsize=(6.2, 0.75 * len(all_) + 0.3))
    place = {each.number: -i for i, each in enumerate(all_)}
    for (later, earlier), count in counts.items():
        ax.add_patch(
            FancyArrowPatch(
                (0, place[later]),
                (0, place[earlier]),
                connectionstyle="arc3,rad=-0.5",
                arrowstyle="-|>",
                mutation_scale=11,
                shrinkA=9,
                shrinkB=9,
                linewidth=0.8 + 0.5 * math.sqrt(count),
                color=figures.PALETTE["blue"],
            )
        )
    for each in all_:
        ax.plot(0, place[each.number], "o", ms=13, mfc="none", mec=figures.FOREGROUND)
        ax.text(0, place[each.number], each.number, ha="center", va="center", size=9)
        ax.text(0.25, place[each.number], each.title, va="center")
    deepest = max((later - earlier for later, earlier in counts), default=1)
    ax.set(xlim=(-0.25 * deepest - 0.3, 6), ylim=(0.5 - len(all_), 0.5), aspect="equal")
    ax.axis("off")
    return fig
