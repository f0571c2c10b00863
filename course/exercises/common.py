"""What the chapters' exercises share: properties that every network over time must have."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from course.exercise import Arrays, Case, as_outputs

LONG = 11
"""A length that no other case has."""

STEP = 1e-30
"""Of a complex step: its square is lost in rounding, and nothing is subtracted."""


def single(args: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments in float32, those in lists too."""
    return {name: _cast(value, np.float64, np.float32) for name, value in args.items()}


def _cast(value: Any, old: type, new: type) -> Any:
    if isinstance(value, list):
        return [_cast(item, old, new) for item in value]
    return value.astype(new) if getattr(value, "dtype", None) == old else value


def reorder(args: Mapping[str, Any], batched: Mapping[str, int]) -> dict[str, Any]:
    """The same arguments, sequences in reverse order; ``batched`` gives the batch's axis."""
    return {
        name: np.flip(value, batched[name]).copy() if name in batched else value
        for name, value in args.items()
    }


CasesOf = Callable[[np.random.Generator], list[Case]]


def varied(
    sums: Sequence[str] = (),
    numbers: Mapping[str, tuple[float, float]] | None = None,
    fit: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    **sizes: int,
) -> Callable[[CasesOf], CasesOf]:
    """Give an exercise one property more: its random input in other sizes, with other numbers.

    All other cases share the sizes of features, units and classes, so that an answer which has
    them, or a rate, by heart would be right.  sizes : letter to length, all different; sums : axes
    made of several, "HHHH" for the four blocks of an LSTM, "DC" for two inputs side by side;
    numbers : arguments that are numbers, each with the range to draw from; fit : makes anew what
    has to fit the others
    """
    pieces = {letter: [length] for letter, length in sizes.items()}
    pieces |= {word: [sizes[letter] for letter in word] for word in sums}
    known = {sum(parts): word for word, parts in pieces.items()}
    if len(known) < len(pieces):
        raise ValueError(f"two of these axes have one length: {pieces}")

    def also(cases: CasesOf) -> CasesOf:
        @functools.wraps(cases)
        def with_others(rng: np.random.Generator) -> list[Case]:
            found = cases(rng)
            main = next(case for case in found if case.rung == "values")
            (mine,) = rng.spawn(1)  # what is drawn from the other stays as it was
            new = {letter: n + int(mine.integers(1, 4)) for letter, n in sizes.items()}
            ranges = numbers or {}
            drawn = {name: float(f"{mine.uniform(*ends):.3g}") for name, ends in ranges.items()}

            def resize(value: Any) -> Any:
                if isinstance(value, list):
                    return [resize(item) for item in value]
                if not isinstance(value, np.ndarray):
                    return value
                for axis, length in enumerate(value.shape):
                    if word := known.get(length):
                        value = _grown(mine, value, axis, [(sizes[c], new[c]) for c in word])
                return value

            args = {name: drawn.get(name, resize(value)) for name, value in main.args.items()}
            told = ", ".join(f"{name} = {n:g}" for name, n in {**new, **drawn}.items())
            what = " and ".join(["sizes"] * bool(sizes) + ["numbers"] * bool(ranges))
            says = f"{told}: take the {what} from the arguments"
            return [*found, Case(f"other {what}", "properties", fit(args), says)]

        return with_others

    return also


def _grown(
    rng: np.random.Generator, array: np.ndarray, axis: int, blocks: Sequence[tuple[int, int]]
) -> np.ndarray:
    """An array with another length along an axis, block by block; each entry is one of the old.

    So what holds for the entries of a block, a range or a sign, holds for the new ones.
    """
    parts, start = [], 0
    for old, new in blocks:
        shape = (*array.shape[:axis], new, *array.shape[axis + 1 :])
        index = rng.integers(start, start + old, shape)
        parts.append(np.take_along_axis(array, index, axis))
        start += old
    return np.concatenate(parts, axis)


def zeroed(args: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The same arguments, some of them zero."""
    return {name: np.zeros_like(v) if name in names else v for name, v in args.items()}


def only(args: Mapping[str, Any], *kept: str) -> dict[str, Any]:
    """The same arguments, every array of numbers zero but those named; classes stay."""
    return {
        name: np.zeros_like(value)
        if name not in kept and getattr(value, "dtype", None) == np.float64
        else value
        for name, value in args.items()
    }


def usual(
    draw: Callable[..., dict[str, Any]], rng: np.random.Generator, batched: Mapping[str, int]
) -> list[Case]:
    """The values case and the properties that every exercise over time shares."""
    main = draw(rng)
    return [
        Case("random input", "values", main, "every term counts"),
        Case("T = 1", "properties", draw(rng, steps=1), "a sequence of one step is a sequence"),
        Case("unseen length", "properties", draw(rng, steps=LONG), f"T = {LONG}, same weights"),
        Case("B = 1", "properties", draw(rng, batch=1), "a batch of one keeps its axis"),
        Case(
            "batch order",
            "properties",
            reorder(main, batched),
            "the sequences in reverse order; they must not influence one another",
        ),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def draw_targets(
    rng: np.random.Generator, steps: int = 5, batch: int = 2, classes: int = 6
) -> dict[str, np.ndarray]:
    """o, y, mask; the mask of sequence i ends i + 1 steps early, as padding does."""
    return {
        "o": rng.normal(0, 2.0, (steps, batch, classes)),
        "y": rng.integers(0, classes, (steps, batch)),
        "mask": padding(steps, batch),
    }


def padding(steps: int, batch: int) -> np.ndarray:
    """A mask (T, B) that ends i + 1 steps early for sequence i, where there is room."""
    mask = np.ones((steps, batch))
    for i in range(batch):
        mask[max(1, steps - 1 - i) :, i] = 0.0
    return mask


def gradcheck(args: Mapping[str, Any]) -> Case:
    """The case that asks torch whether backward is what forward's differences say."""
    says = "torch compares backward with differences of forward"
    return Case("gradcheck", "properties", {**args, "also": "gradcheck"}, says)


def elsewhere(
    args: Mapping[str, Any],
    says: str = "the same code where the arguments are not on the CPU",
) -> Case:
    """The case whose tensors are on the meta device.

    What the first operation there imports is imported now, before an answer is timed.
    """
    import torch

    torch.ones(1, device="meta").tanh()
    return Case("another device", "properties", {**args, "also": "another device"}, says)


def complex_steps(
    f: Callable[..., Any], args: Mapping[str, np.ndarray], names: Sequence[str]
) -> Arrays:
    """Derivatives of a real number f(**args), one entry of one argument at a time.

    Each is Im f(x + i e) / e, eq (3.21).
    """
    found = []
    for name in names:
        grad = np.empty(args[name].shape)
        for index in np.ndindex(grad.shape):
            moved = args[name].astype(complex)
            moved[index] += 1j * STEP
            grad[index] = f(**{**args, name: moved}).imag / STEP
        found.append(grad)
    return tuple(found)


def sweeps(x: np.ndarray, h0: np.ndarray, U: np.ndarray, W: np.ndarray, b: np.ndarray) -> Any:
    """States by T sweeps over all steps at once (Jacobi); exact, since time only runs forward.

    Works on complex numbers, for complex steps.
    """
    h = np.zeros((len(x), *h0.shape), dtype=np.result_type(x, h0, U, W, b))
    for _ in range(len(x)):
        h = np.tanh(x @ U.T + np.concatenate([h0[None], h[:-1]]) @ W.T + b)
    return h


def double(**args: Any) -> dict[str, Any]:
    """The same arguments in float64: oracles answer in double precision."""
    return {name: _cast(value, np.float32, np.float64) for name, value in args.items()}


def with_integers(*names: str) -> Callable[[Any, Sequence[str]], tuple[Any, ...]]:
    """Unpack an answer of which some outputs are whole numbers, as they should be."""

    def unpack(raw: Any, all_names: Sequence[str]) -> tuple[Any, ...]:
        values = as_outputs(raw, all_names)
        return tuple(
            _as_float(value) if name in names else value
            for name, value in zip(all_names, values, strict=True)
        )

    return unpack


def _as_float(value: Any) -> Any:
    """Integers as floats; anything else as it is, to be judged by its type."""
    try:
        array = np.asarray(value)
    except Exception:  # a student's object may raise anything from __array__
        return value
    return array.astype(np.float64) if array.dtype.kind in "iu" else value
