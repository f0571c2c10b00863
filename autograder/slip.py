"""What a slip is: a named misconception as code, a wrong variant of an answer."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from course.exercise import RUNGS

Answer = TypeVar("Answer", bound=Callable[..., Any])


@dataclass(frozen=True)
class Slip:
    """A wrong answer with a name.

    rung: where a check must stop it; part: the output that it spoils, for exercises in parts;
    read: the equation that puts it right; hint: the level of the hint that helps.
    """

    exercise: str
    name: str
    title: str
    rung: str
    read: str
    hint: int
    part: str | None
    answer: Callable[..., Any]


_slips: list[Slip] = []


def slip(
    exercise: str, title: str, *, rung: str, read: str, hint: int = 2, part: str | None = None
) -> Callable[[Answer], Answer]:
    """Register a function or class as a slip of an exercise; its name is the slip's."""
    if rung not in RUNGS:
        raise ValueError(f"slip of {exercise}: rung is {rung!r}, want one of {RUNGS}")

    def register(answer: Answer) -> Answer:
        _slips.append(Slip(exercise, answer.__name__, title, rung, read, hint, part, answer))
        return answer

    return register


def of_chapter(chapter: str) -> list[Slip]:
    """All slips of a chapter, in the order of its module."""
    importlib.import_module(f"autograder.slips.{chapter}")
    return [each for each in _slips if each.exercise.startswith(f"{chapter}.")]
