"""Chapter 8: inputs, probes, properties and oracles of its exercises.

The oracles count product by product and array by array, try a step out on two states, and multiply
out which step reaches which.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course.exercise import Arrays, Case, Chapter, Exercise, Output, Question
from course.exercises.common import LONG, double, reorder, single, usual, varied

T, B, D, H = 5, 2, 3, 4

SERIES = ("T", "B", "H")


# Inputs.


def _sizes(steps: int, batch: int, inputs: int, units: int, blocks: int) -> dict[str, int]:
    return {"T": steps, "B": batch, "D": inputs, "H": units, "G": blocks}


def _pieces(rng: np.random.Generator, count: int = 6) -> dict[str, Any]:
    """Work that is bounded by operations in one half of the cases, by bytes in the other."""
    rate, bandwidth, latency = 4e10, 1e10, 2e-6
    seconds = 10.0 ** rng.uniform(-7, -3, (2, count))
    return {
        "N": seconds[0] * rate,
        "Q": seconds[1] * bandwidth,
        "calls": rng.integers(1, 20, count).astype(np.float64),
        "rate": rate,
        "bandwidth": bandwidth,
        "latency": latency,
    }


def _recurrence(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, np.ndarray]:
    return {
        "a": rng.uniform(-1.2, 1.2, (steps, batch, H)),
        "b": rng.normal(size=(steps, batch, H)),
    }


def _walk(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, np.ndarray]:
    """What the backward pass gets; any states will do."""
    return {
        "dh": rng.normal(size=(steps, batch, H)),
        "a": rng.uniform(-1.2, 1.2, (steps, batch, H)),
        "h": rng.normal(size=(steps, batch, H)),
    }


# Oracles.


def _operations_truth(**sizes: int) -> Arrays:
    """Product by product: step, block, sequence and unit, each a row times a column."""
    steps, batch, inputs, units, blocks = (sizes[name] for name in ("T", "B", "D", "H", "G"))
    forward = backward = 0
    for _ in range(steps * blocks):
        for row in (inputs, units):  # what U, and what W, multiplies
            forward += batch * units * 2 * row
            backward += batch * row * 2 * units  # the gradient at what went in
            backward += units * row * 2 * batch  # and that of the weights
    return np.asarray(float(forward)), np.asarray(float(backward))


def _traffic_truth(B: int, H: int, G: int, size: int) -> Arrays:
    """The arrays of one step, weighed."""
    kind = f"f{size}"
    weights, share = np.empty((G * H, H), kind), np.empty((B, G * H), kind)
    before, after = np.empty((B, H), kind), np.empty((B, H), kind)
    moved = sum(each.nbytes for each in (weights, share, before, after))
    return np.asarray(float(moved)), np.asarray(2 * weights.size * B / moved)


def _predict_truth(
    N: np.ndarray, Q: np.ndarray, calls: np.ndarray, rate: float, bandwidth: float, latency: float
) -> Arrays:
    """At the speed that the roof allows at each piece's intensity, (8.5)."""
    found = []
    for n, q, k in zip(*(np.asarray(each, np.float64) for each in (N, Q, calls)), strict=True):
        work = n / min(rate, bandwidth * n / q) if n and q else n / rate + q / bandwidth
        found.append(work + k * latency)
    return (np.array(found),)


def _pair_truth(**args: np.ndarray) -> Arrays:
    """Two steps tried out on the states 0 and 1: what is affine is known from two values."""
    given = double(**args)
    a, b = given["a"], given["b"]
    A, B = [], []
    for t in range(0, len(a) - 1, 2):
        from_zero, from_one = (
            a[t + 1] * (a[t] * start + b[t]) + b[t + 1]
            for start in (np.zeros_like(a[0]), np.ones_like(a[0]))
        )
        A.append(from_one - from_zero)
        B.append(from_zero)
    return np.array(A), np.array(B)


def _scan_backward_truth(**args: np.ndarray) -> Arrays:
    """Every road by itself: b(s) reaches h(t) times a(s+1) ... a(t)."""
    given = double(**args)
    dh, a, h = given["dh"], given["a"], given["h"]
    db = np.zeros_like(dh)
    for s in range(len(dh)):
        for t in range(s, len(dh)):
            db[s] += dh[t] * np.prod(a[s + 1 : t + 1], axis=0)
    da = np.zeros_like(dh)
    da[1:] = h[:-1] * db[1:]
    return da, db


# Cases.


def _operations_cases(rng: np.random.Generator) -> list[Case]:
    return [
        Case("no input", "probes", _sizes(T, B, 0, H, 1), "D = 0: the recurrent product alone"),
        Case(
            "one unit", "probes", _sizes(1, 1, 7, 1, 1), "one step, one unit: a row of 7 and of 1"
        ),
        Case("an LSTM", "values", _sizes(T, B, D, H, 4), "four blocks"),
        Case("a GRU", "properties", _sizes(T, B, D, H, 3), "three blocks"),
        Case("T = 1", "properties", _sizes(1, B, D, H, 4), "a sequence of one step is a sequence"),
        Case("large", "properties", _sizes(1000, 64, 300, 512, 4), "sizes as people use them"),
    ]


def _traffic_cases(rng: np.random.Generator) -> list[Case]:
    def sizes(batch: int, units: int, blocks: int, size: int) -> dict[str, int]:
        return {"B": batch, "H": units, "G": blocks, "size": size}

    return [
        Case(
            "one sequence",
            "probes",
            sizes(1, 100, 4, 4),
            "B = 1, H = 100: of 40,600 numbers W has 40,000; the batch has 4 + 2 times 100",
        ),
        Case("one unit", "probes", sizes(1000, 1, 1, 4), "W is one number: the batch is all"),
        Case("an LSTM", "values", sizes(B, H, 4, 4), "float32, four blocks"),
        Case("a GRU", "properties", sizes(B, H, 3, 8), "float64, three blocks"),
        Case("half precision", "properties", sizes(B, H, 4, 2), "2 bytes a number"),
        Case("large", "properties", sizes(64, 1024, 4, 4), "sizes as people use them"),
    ]


@varied(numbers={"rate": (1e9, 9e9), "bandwidth": (1e8, 9e8), "latency": (1e-6, 9e-6)})
def _predict_cases(rng: np.random.Generator) -> list[Case]:
    def alone(name: str) -> dict[str, Any]:
        drawn = _pieces(rng)
        # Next to nothing, and not 0: whoever divides by the intensity N / Q is right, too.
        others = {other: 1e-15 * drawn[other] for other in ("N", "Q") if other != name}
        return {**drawn, **others} if name == "calls" else {**drawn, **others, "calls": np.zeros(6)}

    main = _pieces(rng)
    return [
        Case(
            "calls alone",
            "probes",
            alone("calls"),
            "next to nothing to do: each call costs its latency",
        ),
        Case("operations alone", "probes", alone("N"), "next to no bytes, no calls"),
        Case("bytes alone", "probes", alone("Q"), "next to no operations, no calls"),
        Case("random input", "values", main, "some bounded by operations, some by bytes"),
        Case("one piece", "properties", _pieces(rng, 1), "n = 1 keeps its axis"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


@varied(H=H)
def _pair_cases(rng: np.random.Generator) -> list[Case]:
    sums, products, main = _recurrence(rng), _recurrence(rng), _recurrence(rng, 6)
    sums["a"] = np.ones_like(sums["a"])
    products["b"] = np.zeros_like(products["b"])
    first = _recurrence(rng, 4)
    first["b"][1::2] = 0
    return [
        Case("a is 1", "probes", sums, "nothing is forgotten: b of two steps adds up"),
        Case("b is 0", "probes", products, "nothing comes in: a of two steps multiplies"),
        Case("b of the first steps", "probes", first, "what came in first passes the second step"),
        Case("random input", "values", main, "six steps, three pairs"),
        Case("T = 2", "properties", _recurrence(rng, 2), "one pair"),
        Case("unseen length", "properties", _recurrence(rng, LONG), f"T = {LONG}: one is left out"),
        Case("B = 1", "properties", _recurrence(rng, 6, 1), "a batch of one keeps its axis"),
        Case(
            "batch order",
            "properties",
            reorder(main, {"a": 1, "b": 1}),
            "the sequences in reverse order; they must not influence one another",
        ),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


@varied(H=H)
def _scan_backward_cases(rng: np.random.Generator) -> list[Case]:
    alone, last, late = _walk(rng), _walk(rng), _walk(rng)
    alone["a"] = np.zeros_like(alone["a"])
    last["dh"][:-1] = 0
    last["h"] = np.ones_like(last["h"])
    late["dh"][:-1] = 0
    late["a"] = np.ones_like(late["a"])
    return [
        Case("a is 0", "probes", alone, "every step forgets: no gradient comes from a later one"),
        Case("a is 1", "probes", late, "the loss is at the last state: it comes back unchanged"),
        Case("the last state alone", "probes", last, "it shrinks by a on its way back"),
        *usual(_walk, rng, {"dh": 1, "a": 1, "h": 1}),
    ]


CHAPTER = Chapter(
    name="speed",
    number=8,
    title="How fast can it go?",
    page="08-speed",
    exercises=(
        Exercise(
            "speed.operations",
            "8.1",
            "Count the operations",
            "(8.1)-(8.2)",
            2,
            (Output("forward", ()), Output("backward", ())),
            _operations_cases,
            _operations_truth,
        ),
        Exercise(
            "speed.step_traffic",
            "8.2",
            "Count the bytes of one step",
            "(8.3)-(8.4)",
            2,
            (Output("Q", ()), Output("intensity", ())),
            _traffic_cases,
            _traffic_truth,
        ),
        Exercise(
            "speed.predict",
            "8.3",
            "Predict",
            "(8.5)-(8.7)",
            2,
            (Output("seconds", ("n",)),),
            _predict_cases,
            _predict_truth,
        ),
        Exercise(
            "speed.pair",
            "8.4",
            "Two steps are one step",
            "(8.10)-(8.11)",
            2,
            (Output("A", ("T // 2", "B", "H")), Output("B", ("T // 2", "B", "H"))),
            _pair_cases,
            _pair_truth,
        ),
        Exercise(
            "speed.scan_backward",
            "8.5",
            "The gradient is a scan, too",
            "(8.13)",
            {"da": 1, "db": 1},
            (Output("da", SERIES), Output("db", SERIES)),
            _scan_backward_cases,
            _scan_backward_truth,
        ),
    ),
    questions=(Question("speed.explain", "8.6", "Predict before you run", 3),),
)
