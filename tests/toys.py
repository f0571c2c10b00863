"""An exercise small enough that a check of it takes a millisecond: a = 2 x, b = x + 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from course.calls import call
from course.exercise import Arrays, Case, Exercise, Output
from course.fixtures import KnownSlip
from course.ladder import Ladder

A, B = Output("a", ("T", "B")), Output("b", ("T", "B"))
X = np.arange(1.0, 7.0).reshape(3, 2)


def case(name: str, rung: str = "values", x: np.ndarray = X, says: str = "why") -> Case:
    return Case(name, rung, {"x": x}, says)


PUBLIC = [case("probe", "probes", X[:1]), case("main"), case("last", "properties", X * 10)]
FRESH = [case("drawn", x=X / 3), case("drawn last", "properties", X / 7)]


def both(x: np.ndarray) -> Arrays:
    x = np.asarray(x, np.float64)
    return 2 * x, x + 1


def exercise(**changes: Any) -> Exercise:
    return Exercise(
        **{
            "name": "toy.both",
            "number": "0.1",
            "title": "Twice, and one more",
            "read": "(0.1)",
            "points": 3,
            "outputs": (A, B),
            "cases": lambda rng: PUBLIC,
            "oracle": both,
            **changes,
        }
    )


def ladder(
    answer: Callable[..., Any],
    which: Exercise | None = None,
    public: list[Case] = PUBLIC,
    fresh: list[Case] = FRESH,
    slips: tuple[KnownSlip, ...] = (),
) -> Ladder:
    """The ladder as ``check`` makes it, on these cases; the truth comes from the oracle."""
    which = which or exercise()
    return Ladder(
        which,
        call=lambda each: call(which.run, answer, each.args),
        truth=lambda each: which.oracle(**each.args),
        public=public,
        fresh=fresh,
        slips=slips,
    )


def slip(
    outputs: Mapping[str, Arrays] | Callable[[np.ndarray], Arrays], stops: str = "", **changes: Any
) -> KnownSlip:
    """A slip by its outputs, or by the function that makes them on the public cases."""
    if callable(outputs):
        outputs = {each.name: outputs(each.args["x"]) for each in PUBLIC}
    said = {"name": "a_slip", "title": "the slip", "read": "(0.2)", "hint": 2, **changes}
    return KnownSlip(**said, stops=stops, outputs=outputs)
