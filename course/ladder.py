"""The ladder that a check climbs.  It stops at the first broken rung and says why.

The answer is reached through a function ``call(case)``, and the truth through ``truth(case)``, so
that the same ladder serves the student's own check (call in this process, truth from fixtures and
oracle) and a grader that runs the answer elsewhere and holds the reference itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course.calls import Call, Finding
from course.compare import (
    Difference,
    alike,
    as_array,
    check_shape,
    check_that_it_is_one,
    compare,
    in_single,
    shape_of,
)
from course.exercise import RUNGS, Arrays, Case, Exercise
from course.fixtures import KnownSlip

NOT_ATTEMPTED, WRONG, RIGHT = "not attempted", "wrong", "right"


@dataclass
class Report:
    """What a check found.  ``part`` is None where the whole exercise was checked."""

    exercise: Exercise
    part: str | None
    outcome: str
    rung: str | None = None
    case: str | None = None
    headline: str = ""
    lines: tuple[str, ...] = ()
    slip: KnownSlip | None = None
    difference: Difference | None = None
    warnings: tuple[str, ...] = ()
    printed: str = ""

    @property
    def name(self) -> str:
        """The name that was checked, with its part."""
        return self.exercise.name + (f".{self.part}" if self.part else "")

    @property
    def points(self) -> float:
        """Points earned."""
        return self.out_of if self.outcome == RIGHT else 0.0

    @property
    def out_of(self) -> float:
        """Points that could be earned."""
        return self.exercise.points_of(self.part)


Truth = Callable[[Case], Arrays]


@dataclass
class Ladder:
    """One answer, under check.  Calls are remembered: parts and slips look at the same ones.

    public: cases that every student gets, whose truth and slips are on file;
    fresh: cases drawn anew, so that an answer can't be right by knowing them.
    """

    exercise: Exercise
    call: Callable[[Case], Call]
    truth: Truth
    public: list[Case]
    fresh: list[Case]
    slips: tuple[KnownSlip, ...] = ()
    _calls: dict[int, Call] = field(default_factory=dict)

    def climb(self, part: str | None = None) -> Report:
        """Climb for the whole exercise, or for one of its parts."""
        report = Report(self.exercise, part, RIGHT)
        case: Case | None = None
        climbed: list[Call] = []
        try:
            for case in self.order():
                climbed.append(self._made(case))
                self._step(case, part)
            case = None
            self._repeat(part)
        except Finding as finding:
            report.outcome = NOT_ATTEMPTED if finding.rung == "attempted" else WRONG
            report.rung, report.case = finding.rung, case.name if case else None
            report.headline, report.lines = finding.headline, finding.lines
            if finding.rung == "runs" and case and len(climbed) > 1:
                report.lines = (*finding.lines, _where(case))  # it ran on the cases before
            if isinstance(finding, _Differs):
                report.difference = finding.difference
                report.slip = self._known_by_outputs(part)
                if report.slip is None and case and self._wavers(case, part):
                    report.lines += ("called again with the same arguments, it differs:", _OUTLIVES)
            else:
                report.slip = self._known_by_stop(finding, part)
        seen = [made for made in climbed if made.warnings or made.printed]
        report.warnings = tuple(dict.fromkeys(w for made in seen for w in made.warnings))[:5]
        report.printed = next((made.printed for made in seen if made.printed), "")
        return report

    def order(self) -> list[Case]:
        """The cases in the order of their calls: by rung; shapes are seen on the first of all."""
        both = [*self.public, *self.fresh]
        return [case for rung in RUNGS for case in both if case.rung == rung]

    def _made(self, case: Case) -> Call:
        if id(case) not in self._calls:
            self._calls[id(case)] = self.call(case)
        return self._calls[id(case)]

    def _outputs(self, made: Call, case: Case, part: str | None) -> list[np.ndarray | None]:
        """The outputs of a call as arrays of the right shape, None for parts not looked at."""
        names = [output.name for output in self.exercise.outputs]
        if made.finding is not None:
            raise made.finding
        values = self.exercise.unpack(made.value, names)
        truths = self.truth(case)
        if len(names) == 1:
            check_that_it_is_one(values[0], truths[0], names[0])
        arrays: list[np.ndarray | None] = []
        for value, truth, output in zip(values, truths, self.exercise.outputs, strict=True):
            if part is not None and output.name != part:
                arrays.append(None)
                continue
            if part is not None and value is None:
                raise Finding("attempted", f"{part} is None: not attempted yet")
            try:
                array = as_array(value, output)
                check_shape(array, truth, output)
            except Finding as finding:
                if asked := self._swapped(values, truths, names.index(output.name)):
                    finding.lines = (asked,)
                raise
            arrays.append(array)
        return arrays

    def _swapped(self, values: tuple[Any, ...], truths: Arrays, at: int) -> str:
        """Ask whether an output of the wrong shape or kind has changed places with another."""
        mine, want = shape_of(values[at]), truths[at].shape
        for other, truth in enumerate(truths):
            if other == at or mine != truth.shape or shape_of(values[other]) != want:
                continue
            name = self.exercise.outputs[other].name
            if mine != want:
                return f"that is the shape of {name}: are the two swapped?"
            if np.array_equal(values[at], truth):
                return f"that is {name}: are the two swapped?"
        return ""

    def _step(self, case: Case, part: str | None) -> None:
        arrays = self._outputs(self._made(case), case, part)
        tolerance = self.exercise.tolerance
        # What is computed from an output in float32 is no more exact than that output.
        if case.single or any(array is not None and array.dtype == np.float32 for array in arrays):
            tolerance = in_single(tolerance)
        right, wrong = [], []
        for array, truth, output in zip(
            arrays, self.truth(case), self.exercise.outputs, strict=True
        ):
            if array is None:
                continue
            difference = compare(array, truth, output, tolerance)
            if difference:
                wrong.append(difference)
            else:
                right.append(output.name)
        if wrong:
            raise _Differs(case, wrong, right, self._like_another(wrong, case))

    def _like_another(self, wrong: list[Difference], case: Case) -> str:
        """Say whose numbers the first wrong output has, if another output should have them."""
        first = wrong[0]
        for output, truth in zip(self.exercise.outputs, self.truth(case), strict=True):
            if truth.shape != first.truth.shape or alike(truth, first.truth):
                continue
            if alike(first.answer, truth):
                there = [each for each in wrong if each.output is output]
                if any(alike(each.answer, first.truth) for each in there):
                    return f"yours is what {output.name} should be: the two are swapped"
                if truth.any():  # zeros are like other zeros
                    return f"yours is what {output.name} should be"
        return ""

    def _repeat(self, part: str | None) -> None:
        """The same arguments must give the same answer a second time."""
        case = next(case for case in self.public if case.rung == "values")
        first = self._outputs(self._made(case), case, part)
        try:
            second = self._outputs(self.call(case), case, part)
        except Finding as finding:
            said = "the first call with the same arguments went well:"
            lines = (*finding.lines, said, _OUTLIVES)
            raise Finding(finding.rung, finding.headline, lines) from None
        for a, b, output in zip(first, second, self.exercise.outputs, strict=True):
            if a is not None and b is not None and not np.array_equal(a, b):
                raise Finding(
                    "properties",
                    f"{output.name}: called twice with the same arguments, it answers differently",
                    (_OUTLIVES,),
                )

    def _wavers(self, case: Case, part: str | None) -> bool:
        """Whether a wrong answer is another one when the same call is made again."""
        try:
            first = self._outputs(self._made(case), case, part)
            second = self._outputs(self.call(case), case, part)
        except Finding:
            return False
        pairs = zip(first, second, strict=True)
        return any(
            a is not None and b is not None and not np.array_equal(a, b, equal_nan=True)
            for a, b in pairs
        )

    def _known_by_stop(self, finding: Finding, part: str | None) -> KnownSlip | None:
        """The slip that a check stops on the same rung with the same words, if there is one.

        Many answers have one wrong shape: there the numbers must be the slip's, too.
        """
        words = stop(finding.rung, finding.headline)
        return next(
            (
                slip
                for slip in self.slips
                if slip.stops == words and (finding.rung != "shapes" or self._returns(slip, part))
            ),
            None,
        )

    def _returns(self, slip: KnownSlip, part: str | None) -> bool:
        """Whether the answer gives what a slip gives on every case on file, of whatever shape."""
        names = [output.name for output in self.exercise.outputs]
        for case in self.public:
            if case.name not in slip.outputs:
                continue
            made = self._made(case)
            if made.finding is not None:
                return False
            try:
                mine = [np.asarray(v) for v in self.exercise.unpack(made.value, names)]
            except Exception:  # a student's object may raise anything from __array__
                return False
            for name, value, theirs in zip(names, mine, slip.outputs[case.name], strict=True):
                if part is None or name == part:
                    if value.dtype.kind not in "fiub" or value.shape != theirs.shape:
                        return False
                    if not alike(value, theirs):
                        return False
        return True

    def _known_by_outputs(self, part: str | None) -> KnownSlip | None:
        """The slip whose outputs equal the answer's on every case on file, if there is one."""
        return next((slip for slip in self.slips if self._equals(slip, part)), None)

    def _equals(self, slip: KnownSlip, part: str | None) -> bool:
        differs_from_truth = False
        for case in self.public:
            if case.name not in slip.outputs:
                continue
            try:
                arrays = self._outputs(self._made(case), case, part)
            except Finding:
                return False
            for mine, theirs, truth in zip(
                arrays, slip.outputs[case.name], self.truth(case), strict=True
            ):
                if mine is None:
                    continue
                if mine.shape != theirs.shape or not alike(mine, theirs, truth):
                    return False
                differs_from_truth = differs_from_truth or not alike(theirs, truth)
        return differs_from_truth


class _Differs(Finding):
    """A finding that comes from comparing numbers: the first wrong output, and the others."""

    def __init__(self, case: Case, wrong: list[Difference], right: list[str], like: str) -> None:
        first = wrong[0]
        lines = [_where(case), like] if like else [_where(case), *first.lines]
        if len(wrong) > 1:
            lines.append(f"here {_listed([each.output.name for each in wrong[1:]])} wrong too")
        if right:
            lines.append(f"here {_listed(right)} right")
        super().__init__(case.rung, first.headline, tuple(lines))
        self.difference = first


def _where(case: Case) -> str:
    return f'{_SAID[case.rung]} "{case.name}": {case.says}'


def _listed(names: list[str]) -> str:
    """Names with their verb: "h is", "dU and db are"."""
    if len(names) == 1:
        return f"{names[0]} is"
    return f"{', '.join(names[:-1])} and {names[-1]} are"


def stop(rung: str, headline: str) -> str:
    """The words by which a slip is known that is stopped before numbers are compared."""
    return f"{rung}: {headline}"


_OUTLIVES = "what outlives the call: a global, a default argument, a random draw?"

_SAID = {"probes": "on the probe", "values": "on", "properties": "on the property"}
