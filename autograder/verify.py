"""Prove the checks: every answer right, every stub not attempted, every slip dead on its rung."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autograder import slip as slips
from autograder.slip import Slip
from course.calls import Caller, call
from course.checks import remembered
from course.compare import alike
from course.exercise import PUBLIC_SEED, Case, Chapter, Exercise, chapter
from course.fixtures import Fixture, KnownSlip
from course.ladder import NOT_ATTEMPTED, RIGHT, Ladder, Report, stop


@dataclass(frozen=True)
class Row:
    """One line of the table: an answer, stub or slip, and what its check found."""

    exercise: Exercise
    kind: str
    name: str
    want: str
    found: str
    named: bool
    report: Report

    @property
    def ok(self) -> bool:
        """Whether the check did what it must."""
        return self.want == self.found and self.named


def reference(exercise: Exercise) -> Any:
    """The answer from ``solutions``."""
    return getattr(importlib.import_module(f"solutions.{exercise.chapter}"), exercise.symbol)


def stub(exercise: Exercise) -> Any:
    """What a student starts from."""
    if exercise.kind == "class":

        def begin(*_: Any) -> Any:
            raise NotImplementedError

        return type(exercise.symbol, (reference(exercise),), {"forward": staticmethod(begin)})

    def stub(*_: Any) -> Any:
        raise NotImplementedError

    return stub


PATIENCE = 120.0
"""Seconds for a call: what a fixture holds must not depend on how busy the machine is."""


_Made = dict[str, tuple[np.ndarray, ...]]
"""Outputs by case."""


def fixture(exercise: Exercise, of: list[Slip]) -> Fixture:
    """The reference's and the slips' outputs on the public cases."""
    public = exercise.cases(np.random.default_rng(PUBLIC_SEED))
    names = [output.name for output in exercise.outputs]

    def outputs(answer: Any, cases: list[Case], must: bool = False) -> _Made:
        found: _Made = {}
        for case in cases:
            made = call(exercise.run, answer, case.args, PATIENCE)
            if made.finding is None:
                values = exercise.unpack(made.value, names)
                found[case.name] = tuple(np.asarray(value, np.float64) for value in values)
            elif must:
                why = made.finding.headline
                raise RuntimeError(f"{exercise.name}: the answer stops on {case.name!r}: {why}")
        return found

    truth = outputs(reference(exercise), public, must=True)
    public_doubles = [case for case in public if not case.single]
    moved = [_moved(case) for case in public_doubles]
    steady = _unmoved(truth, outputs(reference(exercise), moved), truth)
    known = []
    for each in of:
        found = outputs(each.answer, public_doubles)
        unmoved = _unmoved(found, outputs(each.answer, moved), truth)
        # Where the truth is steady and the slip is not, rounding decides what it gives: whoever
        # makes the same mistake in other words gets other numbers.
        found = {
            case: arrays for case, arrays in found.items() if case in unmoved or case not in steady
        }
        report = ladder(exercise, each.answer, Fixture(truth, ()), PUBLIC_SEED).climb(each.part)
        stops = "" if report.difference else stop(report.rung or "", report.headline)
        known.append(KnownSlip(each.name, each.title, each.read, each.hint, stops, found))
    return Fixture(truth, tuple(known))


def _moved(case: Case) -> Case:
    """The same case, its real numbers moved by a little more than rounding."""
    rng = np.random.default_rng(0)

    def move(value: Any) -> Any:
        if isinstance(value, list):
            return [move(item) for item in value]
        if getattr(value, "dtype", None) != np.float64:
            return value
        return value * (1 + 1e-12 * rng.normal(size=value.shape))

    return replace(case, args={name: move(value) for name, value in case.args.items()})


def _unmoved(found: _Made, moved: _Made, truth: _Made) -> set[str]:
    """The cases whose outputs are the same but for rounding, of numbers as large as the truth."""
    return {
        case
        for case in found.keys() & moved.keys()
        if all(
            a.shape == b.shape and alike(a, b, c)
            for a, b, c in zip(found[case], moved[case], truth[case], strict=True)
        )
    }


def fixtures(found: Chapter) -> dict[str, Fixture]:
    """The fixtures of a chapter, by exercise."""
    wrong = slips.of_chapter(found.name)
    return {
        exercise.name: fixture(exercise, [s for s in wrong if s.exercise == exercise.name])
        for exercise in found.exercises
    }


def ladder(exercise: Exercise, answer: Any, on_file: Fixture, seed: int) -> Ladder:
    """The ladder with fresh cases from a seed."""
    public = exercise.cases(np.random.default_rng(PUBLIC_SEED))
    drawn = exercise.cases(np.random.default_rng(seed))
    ask = Caller(exercise.run, answer)
    return Ladder(
        exercise,
        call=lambda case: ask(case.args),
        truth=remembered(exercise, public, on_file.truth),
        public=public,
        fresh=[case for case in drawn if case.rung != "probes"],
        slips=on_file.slips,
    )


def rows(name: str, seed: int = 1, draws: int = 1) -> Iterator[Row]:
    """Check every answer, stub and slip of a chapter; raises CourseError on an unknown one.

    seed : of the first draw of inputs; draws : in how many the answers are checked, where each
    further one has a row only if an answer is refused in it
    """
    found = chapter(name)
    on_file = fixtures(found)
    wrong = slips.of_chapter(name)
    for exercise in found.exercises:
        parts: tuple[str | None, ...] = exercise.parts or (None,)
        for kind, answer, want, times in (
            ("answer", reference(exercise), RIGHT, draws),
            ("stub", stub(exercise), NOT_ATTEMPTED, 1),
        ):
            for drawn in range(seed, seed + times):
                climbed = ladder(exercise, answer, on_file[exercise.name], drawn)
                for part in parts:
                    report = climbed.climb(part)
                    if drawn == seed or report.outcome != want:
                        label = part or exercise.symbol
                        label += "" if drawn == seed else f", draw {drawn}"
                        yield Row(exercise, kind, label, want, report.outcome, True, report)
        for each in wrong:
            if each.exercise != exercise.name:
                continue
            report = ladder(exercise, each.answer, on_file[exercise.name], seed).climb(each.part)
            stopped = report.rung or report.outcome
            named = report.slip is not None and report.slip.name == each.name
            yield Row(exercise, "slip", each.name, each.rung, stopped, named, report)
