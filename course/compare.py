"""Compare an answer with the truth, and say where and how it differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from course.calls import Finding
from course.exercise import Output, Tolerance

SINGLE = Tolerance(1e-4, "float32 keeps about 7 digits, and a sum of many terms loses some")

SINGLE_FOR_DOUBLE = 3e4
"""How much more float32 may lose than float64: a sum that cancels loses digits in both."""

SMALL = 1e-3
"""Below this relative error it is rounding or precision that matters, not a term."""

ROUNDED = 1e-6
"""Below this relative error float32 may be the reason: it keeps about 7 digits."""


@dataclass(frozen=True)
class Difference:
    """One output that is wrong: how much, and what can be said about where."""

    output: Output
    answer: np.ndarray
    truth: np.ndarray
    error: float
    tolerance: Tolerance
    lines: tuple[str, ...]

    @property
    def headline(self) -> str:
        """For example: dh[0, 0, 2]: yours 1.312, want 0.8649 (relative error 9e-01).

        The entry is the one with the largest error, or the first that is NaN or infinite.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            gap = np.abs(self.answer.astype(np.float64) - self.truth)
        index = np.unravel_index(np.argmax(np.where(np.isfinite(gap), gap, np.inf)), gap.shape)
        small = self.error < SMALL
        # As many digits as it takes to see where the two part.
        digits = max(4, 2 - int(np.log10(self.error))) if small else 4
        yours, want = (f"{float(array[index]):.{digits}g}" for array in (self.answer, self.truth))
        notes = []
        if np.isfinite(self.error) and self.truth.any():
            notes.append(f"relative error {self.error:.0e}")
        if small:
            notes.append(f"limit {self.tolerance.limit:.0e}: {self.tolerance.reason}")
        noted = f" ({', '.join(notes)})" if notes else ""
        return f"{entry(self.output.name, index)}: yours {yours}, want {want}{noted}"


def entry(name: str, index: Sequence[Any]) -> str:
    """An entry of an array in code: "dh[0, 0, 2]"; a single number is its name alone."""
    return f"{name}[{', '.join(map(str, index))}]" if len(index) else name


def as_array(value: Any, output: Output) -> np.ndarray:
    """Turn one returned value into a real array; raises Finding on anything that is none."""
    name = output.name
    kind = type(value).__name__
    if value is None:
        raise Finding("shapes", f"{name} is None", ("is there a `return` line, with this in it?",))
    if isinstance(value, Iterator):
        raise Finding(
            "shapes", f"{name} is a {kind}", (f"make it an array: np.array(list({name}))",)
        )
    if type(value).__module__.split(".")[0] == "torch":
        raise Finding(
            "shapes",
            f"{name} is a torch.{kind}, want a NumPy array",
            ("this exercise is in NumPy alone",),
        )
    try:
        array = np.asarray(value)
    except Exception as error:  # a student's object may raise anything from __array__
        raise Finding(
            "shapes",
            f"{name}: {with_article(kind)} can't be made an array",
            (_PIECES,) if isinstance(value, list | tuple) else (type(error).__name__,),
        ) from None
    if array.dtype.kind not in "fiu":
        what = with_article(kind) if array.dtype == object else f"of dtype {array.dtype}"
        raise Finding(
            "shapes",
            f"{name} is {what}, want real numbers of {describe(output, None)}",
            (_PIECES,) if isinstance(value, list | tuple) else (),
        )
    if array.dtype.kind in "iu" and array.ndim:
        raise Finding(
            "shapes",
            f"{name} has dtype {array.dtype}, want float64",
            ("integers drop what is behind the point: make the array with floats",),
        )
    if array.dtype == np.float16:
        raise Finding("shapes", f"{name} has dtype float16, want float64 or float32")
    return array


_PIECES = "are all rows equally long? np.concatenate joins pieces of unequal length"


def with_article(noun: str) -> str:
    """A noun with its article."""
    return f"a{'n' if noun[:1].lower() in 'aeiou' else ''} {noun}"


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape that a value has as an array; (-1,) if it can't be one."""
    try:
        return np.shape(value)
    except Exception:  # rows of unequal length; a student's object may raise anything
        return (-1,)


def check_that_it_is_one(value: Any, truth: np.ndarray, name: str) -> None:
    """Raise Finding if a tuple was returned where one output is wanted.

    A tuple of steps or of rows is as good as an array.
    """
    if not isinstance(value, tuple) or shape_of(value) == truth.shape:
        return
    if truth.shape not in map(shape_of, value):
        return
    if len(value) == 1:
        advice = "a comma stands behind what is returned: leave it out"
        raise Finding("shapes", f"{name} is in a tuple of one", (advice,))
    raise Finding(
        "shapes",
        f"the function returned {len(value)} things, want one: {name}",
        (f"return {name} alone",),
    )


def describe(output: Output, shape: tuple[int, ...] | None) -> str:
    """Say a shape with the letters of its axes: "shape (T, B, H) = (5, 2, 4)"."""
    if not output.axes:
        return "shape (), one number"
    letters = f"({', '.join(output.axes)}{',' if len(output.axes) == 1 else ''})"
    return f"shape {letters}" + ("" if shape is None else f" = {shape}")


def check_shape(answer: np.ndarray, truth: np.ndarray, output: Output) -> None:
    """Raise Finding, with what the wrong shape suggests, if two arrays differ in shape."""
    have, want = answer.shape, truth.shape
    if have == want:
        return
    advice = []
    if len(have) == len(want) and sorted(have) == sorted(want):
        said = "the axes are in another order"
        if len(set(want)) == len(want):  # else which is which can't be told
            order = (output.axes[want.index(n)] for n in have)
            said += f": yours look like ({', '.join(order)})"
        advice.append(said)
    elif not want:
        advice.append("sum over every axis")
    elif (
        "T" in output.axes
        and len(have) == len(want)
        and have[output.axes.index("T")] == want[output.axes.index("T")] + 1
    ):
        advice.append("one step too many: the initial state is not among the outputs")
    elif len(have) > len(want) and np.prod(have) == np.prod(want):
        said = "the right number of entries in too many axes"
        if {"T", "B"}.isdisjoint(output.axes):  # a sum over both
            said += ": sum over time and over the batch"
            if len(want) == 2:
                said += "; .T turns all axes around: join the two first, a.reshape(-1, n)"
        else:
            said += ": np.concatenate joins pieces, keepdims keeps an axis"
        advice.append(said)
    elif len(have) > len(want):
        advice.append(f"{_axes(len(have) - len(want))} too many: is a sum missing?")
    elif len(have) < len(want):
        advice.append(
            f"{_axes(len(want) - len(have))} too few: was one summed over, or indexed away?"
        )
    raise Finding(
        "shapes", f"{output.name} has shape {have}, want {describe(output, want)}", tuple(advice)
    )


def _axes(count: int) -> str:
    return "1 axis" if count == 1 else f"{count} axes"


def compare(
    answer: np.ndarray, truth: np.ndarray, output: Output, tolerance: Tolerance
) -> Difference | None:
    """Return what is wrong with an answer of the right shape, or None if nothing is."""
    answer64 = answer.astype(np.float64)
    size = np.abs(truth).max(initial=0.0)
    scale = size if size > 0 else 1.0  # where the truth is zero the error is absolute
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(answer64 - truth) / scale
    wrong = ~(gap <= tolerance.limit)  # NaN counts as wrong
    if not wrong.any():
        return None
    error = float(gap.max()) if np.isfinite(gap).all() else float("inf")
    lines = [*places(wrong, output), *likeness(answer64, truth, output, tolerance.limit)]
    if error < ROUNDED and tolerance.limit < SINGLE.limit:
        lines.append(
            "an error this small comes from an array in float32, from a small number that guards a"
            " division or a logarithm, or from a difference in the place of a derivative"
        )
    return Difference(output, answer, truth, error, tolerance, tuple(lines))


def in_single(tolerance: Tolerance) -> Tolerance:
    """The tolerance for numbers in float32: at most SINGLE's, unless it is larger already."""
    limit = min(SINGLE.limit, SINGLE_FOR_DOUBLE * tolerance.limit)
    return max(tolerance, Tolerance(limit, SINGLE.reason), key=lambda each: each.limit)


def alike(a: np.ndarray, b: np.ndarray, beside: np.ndarray | float = 0.0) -> bool:
    """Whether two arrays of one shape are the same but for rounding.

    NaN and the infinities count as one: which of them comes out depends on how a sum is written.
    beside : numbers whose size counts too, since what should cancel leaves rounding of that size
    """
    limit = SINGLE.limit if np.float32 in (a.dtype, b.dtype) else 1e-9
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite):
        return False
    near = np.asarray(beside)[np.isfinite(beside)]
    scale = max(np.abs(each).max(initial=0.0) for each in (b[finite], near))
    return np.allclose(a[finite], b[finite], rtol=0.0, atol=limit * (scale or 1.0))


def places(wrong: np.ndarray, output: Output) -> list[str]:
    """Say along which axes an answer is right and along which it is wrong.

    Along time always.  Along other axes only if at most half is wrong: else it is mostly chance
    which of the sequences, units or classes came out right.
    """
    lines: list[str] = []
    if wrong.all() or not wrong.ndim:
        return lines
    for axis, letter in enumerate(output.axes):
        bad = wrong.any(axis=tuple(i for i in range(wrong.ndim) if i != axis))
        good_at, bad_at = np.flatnonzero(~bad), np.flatnonzero(bad)
        if output.blocks and letter == f"{len(output.blocks)}H" and not bad.all():
            lines += _blocks(np.asarray(bad), output.blocks)
        if letter not in AXES or bad.all():
            continue
        code = entry(output.name, [*":" * axis, slice_of(bad_at)])
        if letter == "T":
            lines.append(
                f"right at t = {runs_of(good_at + 1)}, wrong at t = {runs_of(bad_at + 1)}"
                f" (in code: {code})"
            )
        elif len(bad_at) <= bad.size / 2:
            where = code if len(code) <= 40 else f"{len(bad_at)} of {bad.size}"
            lines.append(f"wrong only in {where} ({AXES[letter]})")
    if not lines:
        lines.append(f"wrong in {wrong.sum()} of {wrong.size} entries")
    return lines


def _blocks(bad: np.ndarray, names: Sequence[str]) -> list[str]:
    """Say in which blocks an axis is wrong, if not in all of them."""
    wrong = list(compress(names, map(np.any, np.split(bad, len(names)))))
    right = [name for name in names if name not in wrong]
    return [f"wrong in {_several(wrong)}, right in {_several(right)}"] if right else []


def _several(names: Sequence[str]) -> str:
    """Name blocks: "the block i", "the blocks i, o and g"."""
    if len(names) == 1:
        return f"the block {names[0]}"
    return f"the blocks {', '.join(names[:-1])} and {names[-1]}"


AXES = {
    "T": "time t",
    "B": "sequence",
    "D": "input",
    "H": "unit",
    "K": "class",
    "L": "lag",
    "M": "picture",
}
"""What runs along an axis, by its letter."""


def runs_of(numbers: Sequence[int] | np.ndarray) -> str:
    """Write ascending integers briefly: [1, 2, 3, 6] is "1 to 3, 6"."""
    runs: list[list[int]] = []
    for n in map(int, numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(
        str(run[0])
        if len(run) == 1
        else f"{run[0]}, {run[1]}"
        if len(run) == 2
        else f"{run[0]} to {run[-1]}"
        for run in runs
    )


def slice_of(index: np.ndarray) -> str:
    """Write ascending indices as they would stand between brackets: "2:5", "3" or "[0, 2]"."""
    first, last = int(index[0]), int(index[-1])
    if first == last:
        return str(first)
    if last - first + 1 == len(index):
        return f"{first}:{last + 1}"
    return str([int(i) for i in index])


def likeness(answer: np.ndarray, truth: np.ndarray, output: Output, limit: float) -> list[str]:
    """Name a simple relation between answer and truth, if there is one."""
    unfinite = ~np.isfinite(answer)
    if not answer.ndim:  # two numbers stand beside each other in the headline: they say it all
        off = limit * abs(truth)
        opposite = answer and off < np.inf and abs(answer + truth) <= off
        return ["yours has the opposite sign"] if opposite else []
    if unfinite.any():
        return [f"{unfinite.sum()} of {answer.size} entries are NaN or infinite"]
    if not answer.any():
        return ["yours is zero everywhere"]
    size = np.abs(truth).max(initial=0.0)
    if size == 0:
        return ["it should be zero everywhere"]

    def same(other: np.ndarray) -> bool:
        return other.shape == answer.shape and bool(np.abs(answer - other).max() <= limit * size)

    if same(-truth):
        return ["yours has the opposite sign"]
    if truth.ndim == 2 and same(truth.T):
        return ["yours is the transpose of what is expected"]
    scaled = truth / size  # the square of a tiny number may round to 0
    with np.errstate(over="ignore"):  # infinite, beside a tiny truth: then it is no ratio
        ratio = float((answer * scaled).sum() / (scaled * scaled).sum() / size)
    # Of a truth that is one number everywhere, any other number is a multiple: only a count tells.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        count = np.maximum(abs(ratio), np.divide(1.0, abs(ratio)))
        telling = np.ptp(scaled) > limit or abs(count - np.rint(count)) < limit
    if limit < abs(ratio) < np.inf and telling and same(ratio * truth):
        said = f"{ratio:.4g}"
        return [f"yours is {said} times what is expected, everywhere"] if said != "1" else []
    if "T" in output.axes:
        axis = output.axes.index("T")
        steps = truth.shape[axis]
        still = steps > 1 and not np.diff(answer, axis=axis).any()
        if still and any(
            same(np.broadcast_to(np.take(truth, [t], axis), truth.shape)) for t in (0, -1)
        ):
            return ["yours is the same at every step: one array, appended again? append a copy"]
        mostly_right = np.mean(np.abs(answer - truth) <= limit * size) >= 0.5
        if steps > 1 and not mostly_right:  # few symbols can look moved by chance
            if same(np.flip(truth, axis)):
                return ["yours is reversed in time"]
            ahead = np.take(answer, range(1, steps), axis) - np.take(truth, range(steps - 1), axis)
            behind = np.take(answer, range(steps - 1), axis) - np.take(truth, range(1, steps), axis)
            if np.abs(ahead).max() <= limit * size:
                return ["yours is one step late"]
            if np.abs(behind).max() <= limit * size:
                return ["yours is one step early"]
    if "B" in output.axes and truth.shape[output.axes.index("B")] > 1:
        axis = output.axes.index("B")
        if same(np.broadcast_to(truth.sum(axis, keepdims=True), truth.shape)):
            return ["yours is summed over the batch"]
    offset = answer - truth
    if np.ptp(scaled) > limit and np.ptp(offset) <= limit * size:
        return [f"yours is {offset.flat[0]:+.4g} off, everywhere"]
    return []
