"""What an exercise is: its inputs, its outputs, its comparison, and the oracle that judges it."""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from course import yours
from course.adapters import call_in_order
from course.calls import Finding

Arrays = tuple[np.ndarray, ...]

RUNGS = ("attempted", "runs", "shapes", "arguments", "probes", "values", "properties")
"""The ladder, from the bottom; a check stops at the first rung that breaks."""

PUBLIC_SEED = 20231024
"""Seed of the public cases: the same for every student, so that their fixtures can ship."""

CHAPTERS = ("dynamics", "unfolding", "bptt", "taxonomy", "gates", "seq2seq", "learning", "speed")
"""The chapters that have exercises, in the order of the book."""


class CourseError(Exception):
    """A call of the toolkit that can't be answered; the message says what to do instead."""

    def _render_traceback_(self) -> list[str]:
        """Show one line in a notebook: the frames between would be the toolkit's own."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Output:
    """One array that an answer returns, with the letters of its axes: ``("T", "B", "H")``.

    blocks: what stands one behind the other along an axis such as "4H", by the names of the gates.
    """

    name: str
    axes: tuple[str, ...]
    blocks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tolerance:
    """Largest relative error allowed, max|answer - truth| / max|truth|, and why that much."""

    limit: float
    reason: str


ROUNDING = Tolerance(1e-9, "float64, the same sums in another order")


@dataclass(frozen=True)
class Case:
    """One set of arguments, the rung it belongs to, and what it means to fail it.

    args: in the order of the answer's signature; arrays, lists of arrays, and plain numbers.
    """

    name: str
    rung: str
    args: Mapping[str, Any]
    says: str

    @property
    def single(self) -> bool:
        """Whether the arguments are in float32, so that no answer can be exact."""

        def is_single(value: Any) -> bool:
            if isinstance(value, list):
                return any(map(is_single, value))
            return getattr(value, "dtype", None) == np.float32

        return any(map(is_single, self.args.values()))


def as_outputs(raw: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """Split what an answer returned into its outputs; raises Finding if their number is wrong."""
    want = (
        f"want {names[0]}" if len(names) == 1 else f"want {len(names)} things: {', '.join(names)}"
    )
    if raw is None:
        raise Finding("shapes", "the function returned None", (want, "is there a `return` line?"))
    if len(names) == 1:
        return (raw,)
    if isinstance(raw, Mapping):
        missing = [name for name in names if name not in raw]
        if missing:
            raise Finding("shapes", f"the returned dict lacks {', '.join(missing)}", (want,))
        return tuple(raw[name] for name in names)
    if not isinstance(raw, tuple | list):
        raise Finding("shapes", f"the function returned one {type(raw).__name__}", (want,))
    if len(raw) != len(names):
        count = f"{len(raw)} thing{'' if len(raw) == 1 else 's'}"
        later = f"return None for what is not written yet: {len(names)} in all"
        lines = (want, later) if len(raw) < len(names) else (want,)
        raise Finding("shapes", f"the function returned {count}", lines)
    return tuple(raw)


@dataclass(frozen=True)
class Exercise:
    """A coded exercise.

    name: "chapter.function"; points: for the whole, or for each output (partial credit);
    cases(rng): probes first, then values, then properties; oracle(**args): the truth by a second
    method, in the order of outputs; run(answer, args): how the answer is called; read: where the
    book derives it.
    """

    name: str
    number: str
    title: str
    read: str
    points: float | Mapping[str, float]
    outputs: tuple[Output, ...]
    cases: Callable[[np.random.Generator], list[Case]]
    oracle: Callable[..., Arrays]
    tolerance: Tolerance = ROUNDING
    run: Callable[[Any, Mapping[str, Any]], Any] = call_in_order
    unpack: Callable[[Any, Sequence[str]], tuple[Any, ...]] = as_outputs
    kind: str = "function"
    uses_torch: bool = False

    @property
    def chapter(self) -> str:
        """The part of the name before the point."""
        return self.name.split(".")[0]

    @property
    def symbol(self) -> str:
        """What the answer is called in the notebook: the part of the name after the point."""
        return self.name.split(".")[1]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the outputs that are scored by themselves; empty if points are for the whole."""
        return tuple(self.points) if isinstance(self.points, Mapping) else ()

    @property
    def total(self) -> float:
        """Points for all of it."""
        return float(sum(self.points.values()) if isinstance(self.points, Mapping) else self.points)

    def points_of(self, part: str | None) -> float:
        """Points for one part, or for the whole where part is None."""
        if part is not None and isinstance(self.points, Mapping):
            return float(self.points[part])
        return self.total


@dataclass(frozen=True)
class Question:
    """A written question: graded by a person, in formgrader."""

    name: str
    number: str
    title: str
    points: float


@dataclass(frozen=True)
class Chapter:
    """The exercises and questions of a chapter, in the order of its notebook.

    left_out: those that the class does without; no notebook has them.
    """

    name: str
    number: int
    title: str
    page: str
    exercises: tuple[Exercise, ...]
    questions: tuple[Question, ...] = ()
    left_out: tuple[Exercise | Question, ...] = ()
    _index: dict[str, Exercise] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        self._index.update({exercise.name: exercise for exercise in self.exercises})

    def __getitem__(self, name: str) -> Exercise:
        return self._index[name]

    def with_exercises(self, *more: Exercise) -> Chapter:
        """The same chapter with more exercises, at the end."""
        return replace(self, exercises=(*self.exercises, *more), _index={})


def chapter(name: str) -> Chapter:
    """Load a chapter's exercises; raises CourseError, naming the nearest, if there is none."""
    if name not in CHAPTERS:
        raise CourseError(
            f'there is no chapter "{name}".{did_you_mean(name, CHAPTERS)}'
            f" Chapters: {', '.join(CHAPTERS)}."
        )
    return _of_this_class(name)


@functools.cache
def _of_this_class(name: str) -> Chapter:
    """A chapter as the class has it; the same objects at every call."""
    declared: Chapter = importlib.import_module(f"course.exercises.{name}").CHAPTER
    return adapted(declared, yours.POINTS, yours.LEFT_OUT)


def adapted(
    declared: Chapter,
    points: Mapping[str, float | Mapping[str, float]],
    left_out: Collection[str],
) -> Chapter:
    """A chapter with other points, and without some of its exercises and questions.

    points, left_out: by name; those of other chapters are passed over.  Raises CourseError, which
    names course/yours.py, on a name that is not declared, or points that don't fit.
    """
    every: tuple[Exercise | Question, ...] = (*declared.exercises, *declared.questions)
    known = {each.name: each for each in every}
    for name in [*points, *left_out]:
        if name.partition(".")[0] not in CHAPTERS or (
            name.startswith(f"{declared.name}.") and name not in known
        ):
            raise CourseError(
                f'course/yours.py: there is no "{name}".{did_you_mean(name, known)}'
                f" In {declared.name}: {', '.join(known)}."
            )
    for name, given in points.items():
        if name in known:
            _check_points(known[name], given)

    def changed(each: Any) -> Any:
        return replace(each, points=points[each.name]) if each.name in points else each

    exercises: tuple[Exercise, ...] = tuple(map(changed, declared.exercises))
    questions: tuple[Question, ...] = tuple(map(changed, declared.questions))
    if all(each.name in left_out for each in exercises):
        raise CourseError(
            f"course/yours.py leaves out all of {declared.name}: leave one in, or do not"
            " release the chapter."
        )
    return replace(
        declared,
        exercises=tuple(each for each in exercises if each.name not in left_out),
        questions=tuple(each for each in questions if each.name not in left_out),
        left_out=tuple(each for each in every if each.name in left_out),
        _index={},
    )


def _check_points(which: Exercise | Question, given: float | Mapping[str, float]) -> None:
    """Raise CourseError unless these points fit: a number, or one for each part."""
    parts = which.parts if isinstance(which, Exercise) else ()
    numbers = list(given.values()) if isinstance(given, Mapping) else [given]
    fits = set(given) == set(parts) if isinstance(given, Mapping) else not parts
    if not fits or not all(isinstance(n, int | float) and n > 0 for n in numbers):
        want = f"a number above 0 for each of {', '.join(parts)}" if parts else "a number above 0"
        raise CourseError(
            f'course/yours.py: the points of "{which.name}" are {given}, want {want}.'
        )


def find(name: str) -> tuple[Exercise, str | None]:
    """Find "chapter.exercise" or "chapter.exercise.part"; raises CourseError if there is none."""
    if not isinstance(name, str):
        raise CourseError(
            "the first argument is the exercise's name in quotes, for example"
            f' check("bptt.forward"); this one is of type {type(name).__name__}.'
        )
    head, _, rest = name.partition(".")
    if head not in CHAPTERS:
        for found in map(chapter, CHAPTERS):
            for exercise in found.exercises:
                if exercise.symbol == head:
                    raise CourseError(f'exercises go by chapter and name: "{found.name}.{name}".')
    found = chapter(head)
    if not rest:
        raise CourseError(
            f'"{head}" is a chapter: add an exercise, as in "{found.exercises[0].name}",'
            f' or call progress("{head}").'
        )
    for question in found.questions:
        if question.name == name:
            raise CourseError(
                f"{question.number} is a written question: your instructor reads your answer."
            )
    for each in found.left_out:
        if name == each.name or name.startswith(f"{each.name}."):
            raise CourseError(f"{each.number} ({each.name}) is left out in this class.")
    known: dict[str, tuple[Exercise, str | None]] = {}
    for exercise in found.exercises:
        known[exercise.name] = (exercise, None)
        known.update({f"{exercise.name}.{part}": (exercise, part) for part in exercise.parts})
    if name in known:
        return known[name]
    whole, _, part = name.rpartition(".")
    if whole in known:
        parts = known[whole][0].parts
        there = f"Its parts: {', '.join(parts)}." if parts else "It has no parts."
        raise CourseError(f'"{whole}" has no part "{part}". {there}')
    raise CourseError(
        f'there is no exercise "{name}".{did_you_mean(name, known)}'
        f" Exercises: {', '.join(exercise.name for exercise in found.exercises)}."
    )


def did_you_mean(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Suggest the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f' Did you mean "{near[0]}"?' if near else ""
