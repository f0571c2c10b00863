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
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def chapters() -> list[Chapter]:
    """The chapters that have exercises, in the order of the book."""
    return [chapter(name) for name in CHAPTERS]


def notebook(name: str) -> str:
    """The text of a chapter's notebook, answers included."""
    return (ROOT / "solutions" / f"{name}.py").read_text(encoding="utf-8")


def hours(name: str) -> float:
    """Hours that a chapter's notebook asks the student to plan.

    Raises ValueError if its first cell does not say "Plan about four hours".
    """
    text = " ".join(notebook(name).replace("#", " ").split())
    found = re.search(r"[Pp]lan (?:about )?(\w+|\d+(?:\.\d+)?)(?: and a half)? hours?\b", text)
    if not found:
        raise ValueError(f'solutions/{name}.py does not say "Plan about ... hours": add it')
    said = found[1]
    half = 0.5 if "and a half" in found[0] else 0.0
    return (NUMBERS.index(said) if said in NUMBERS else float(said)) + half


def overview() -> Table:
    """Chapter, hours, exercises, written questions and points, and the sums."""
    rows: list[list[object]] = []
    sums = [0.0] * 4
    for each in chapters():
        points = sum(e.total for e in each.exercises) + sum(q.points for q in each.questions)
        numbers = [hours(each.name), len(each.exercises), len(each.questions), points]
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        rows.append([f"{each.number}. {each.title}", *(f"{n:g}" for n in numbers)])
    rows.append(["all", *(f"{n:g}" for n in sums)])
    return Table(["chapter", "hours", "exercises", "written", "points"], rows)


def weeks(hours_a_week: float) -> dict[str, tuple[int, int]]:
    """First and last week of each chapter, one after the other, at so many hours a week."""
    found, before = {}, 0.0
    for each in chapters():
        after = before + hours(each.name)
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


def wanted(name: str) -> list[set[str]]:
    """For each cell that trains or draws: the exercises without which it does not run."""
    found = []
    for node in ast.walk(ast.parse(notebook(name))):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", None) == "ready"):
            continue
        if not any(keyword.arg == "quiet" for keyword in node.keywords):
            names = ", ".join(ast.unparse(argument) for argument in node.args)
            found.append(set(eval(f"[{names}]")))  # our own text: literals and comprehensions
    return found


def skippable() -> Table:
    """Exercises by whether a training or a picture of the chapter's notebook waits for them."""
    rows = []
    for each in chapters():
        needed = set().union(*wanted(each.name))
        numbers = {True: [], False: []}
        for exercise in each.exercises:
            numbers[exercise.name in needed].append(exercise.number)
        rows.append([each.number, *(", ".join(numbers[which]) or "–" for which in (True, False))])
    return Table(["", "a training or a picture waits for", "nothing waits for"], rows)


def leans() -> dict[tuple[int, int], int]:
    """How often the page and the notebook of one chapter name an earlier one: (later, earlier).

    Counted are "chapter 3", "exercise 3.4", "(3.9)", and links to its page.
    """
    all_ = chapters()
    found = {}
    for later in all_:
        page = (ROOT / "book" / f"{later.page}.md").read_text(encoding="utf-8")
        text = re.sub(r"\\tag\{[^}]*\}", "", page + notebook(later.name))
        for earlier in all_:
            if earlier.number < later.number:
                n = earlier.number
                named = rf"[Cc]hapter {n}\b|[Ee]xercise {n}\.\d+|\({n}\.\d+\)|<{earlier.page}>"
                if count := len(re.findall(named, text)):
                    found[later.number, earlier.number] = count
    return found


def draw_leans(counts: dict[tuple[int, int], int]) -> Figure:
    """Draw the chapters as a column, and an arc from each to those that it names."""
    figures.style()
    all_ = chapters()
    fig, ax = plt.subplots(figsize=(6.2, 0.75 * len(all_) + 0.3))
    place = {each.number: -i for i, each in enumerate(all_)}
    for (later, earlier), count in counts.items():
        ax.add_patch(
            FancyArrowPatch(
                (0, place[later]),
                (0, place[earlier]),
                connectionstyle="arc3,rad=-0.45",
                arrowstyle="-|>",
                mutation_scale=11,
                shrinkA=9,
                shrinkB=9,
                linewidth=0.8 + 0.5 * math.sqrt(count),
                color=figures.PALETTE["blue"],
            )
        )
        middle = (place[later] + place[earlier]) / 2
        ax.text(
            -0.225 * (place[earlier] - place[later]) - 0.05, middle, count, ha="right", va="center"
        )
    for each in all_:
        ax.plot(0, place[each.number], "o", ms=13, mfc="none", mec=figures.FOREGROUND)
        ax.text(0, place[each.number], each.number, ha="center", va="center", size=9)
        ax.text(0.25, place[each.number], each.title, va="center")
    deepest = max((later - earlier for later, earlier in counts), default=1)
    ax.set(xlim=(-0.3 * deepest - 0.3, 3.4), ylim=(0.5 - len(all_), 0.5))
    ax.axis("off")
    return fig
