"""What the chapters' exercises share: properties that every network over time must have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from course.exercise import Case

LONG = 11
"""A length that no other case has."""


def single(args: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments in float32."""
    return {
        name: value.astype(np.float32) if getattr(value, "dtype", None) == np.float64 else value
        for name, value in args.items()
    }


def reorder(args: Mapping[str, Any], batched: Mapping[str, int]) -> dict[str, Any]:
    """The same arguments, sequences in reverse order; ``batched`` gives the batch's axis."""
    return {
        name: np.flip(value, batched[name]).copy() if name in batched else value
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


def wake_meta() -> None:
    """Import what the first operation on the meta device imports, before an answer is timed."""
    import torch

    torch.ones(1, device="meta").tanh()


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
    return {
        name: np.asarray(value, np.float64)
        if getattr(value, "dtype", None) == np.float32
        else value
        for name, value in args.items()
    }
