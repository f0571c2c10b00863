"""``hint``: three levels of help, in Markdown files beside this one."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from course.exercise import CourseError, find
from course.show import show

FOLDER = Path(__file__).parent / "hints"
LEVELS = {1: "which equation", 2: "which term", 3: "a small case, worked"}


def hint(name: str, level: int = 1) -> None:
    """Show a hint for an exercise: 1 which equation, 2 which term, 3 a small case, worked.

    Raises CourseError on an unknown exercise or level.
    """
    exercise, _ = find(name)
    if level not in LEVELS:
        levels = ", ".join(f"{n} ({what})" for n, what in LEVELS.items())
        raise CourseError(f"there is no hint of level {level!r}. Levels: {levels}.")
    text = of_chapter(exercise.chapter)[exercise.name][level]
    heading = f"Hint {level} of 3 for {exercise.name}: {LEVELS[level]}"
    more = f'\n\nMore: hint("{exercise.name}", {level + 1})' if level < 3 else ""
    show(text=f"{heading}\n\n{text}{more}", markdown=f"**{heading}**\n\n{text}{more}")


@functools.cache
def of_chapter(chapter: str) -> dict[str, dict[int, str]]:
    """Every hint of a chapter: exercise, then level.

    The file has a heading ``## chapter.exercise`` for each exercise, and under it ``### 1`` to
    ``### 3``.  Raises OSError if there is no such file.
    """
    text = (FOLDER / f"{chapter}.md").read_text(encoding="utf-8")
    hints: dict[str, dict[int, str]] = {}
    for block in re.split(r"(?m)^## ", text)[1:]:
        name, _, rest = block.partition("\n")
        pieces = re.split(r"(?m)^### (\d)\s*$", rest)
        hints[name.strip()] = {
            int(level): said.strip() for level, said in zip(pieces[1::2], pieces[2::2], strict=True)
        }
    return hints
