"""Chapter 4: inputs, probes, properties and oracles of its exercises.

Each oracle reaches the truth by another road than the chapter's: outputs for every class that might
have come before, sweeps over all steps at once, states held still in the padding.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from course.adapters import call_with_tensors
from course.exercise import Arrays, Case, Chapter, Exercise, Output, Question
from course.exercises.common import STEP, double, only, reorder, single, sweeps, usual, varied

T, B, D, H, K, N = 5, 2, 3, 4, 6, 3

HIDDEN = ("T", "B", "H")
OUTPUT = ("T", "B", "K")


# Inputs.


def _classes(rng: np.random.Generator, steps: int, batch: int) -> dict[str, np.ndarray]:
    """y0 and y; next to each other they differ, so that a shift by one step shows."""
    drawn = rng.integers(1, K, (steps + 1, batch)).cumsum(axis=0) % K
    return {"y0": drawn[0], "y": drawn[1:]}


def _weights(rng: np.random.Generator, letters: str) -> dict[str, np.ndarray]:
    """Weights by their letters, in that order; states end up well inside (-1, 1)."""
    shapes = {"U": (H, D), "R": (H, D), "F": (H, K), "W": (H, H), "b": H, "V": (K, H), "c": K}
    return {name: rng.normal(0, 0.6, shapes[name]) for name in letters}


def _mask(steps: int, batch: int) -> np.ndarray:
    """1 for the first steps of each sequence; the last sequence has no padding."""
    length = np.maximum(1, steps - 2 * np.arange(batch)[::-1])
    return (np.arange(steps)[:, None] < length).astype(float)


def _start(rng: np.random.Generator, batch: int) -> np.ndarray:
    return rng.uniform(-0.9, 0.9, (batch, H))


def _forced_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    x = rng.normal(size=(steps, batch, D))
    return {"x": x, **_classes(rng, steps, batch), **_weights(rng, "UFbVc")}


def _loop_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    drawn = _forced_inputs(rng, steps, batch)
    del drawn["y"]
    return {**drawn, "F": 3 * drawn["F"], "V": 2 * drawn["V"]}  # feedback that changes the class


def _scheduled_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    drawn = _forced_inputs(rng, steps, batch)
    coin = {"u": rng.random((steps, batch)), "epsilon": 0.5}
    head = {name: drawn.pop(name) for name in ("x", "y0", "y")}
    return {**head, **coin, **drawn, "F": 3 * drawn["F"], "V": 2 * drawn["V"]}


def _counter(drawn: dict[str, Any]) -> dict[str, Any]:
    """The same inputs with weights that count: after class k the network says k + 1, modulo K."""
    angle = 2 * np.pi * np.arange(K) / K
    around = np.stack([np.cos(angle), np.sin(angle)])
    zero = {name: np.zeros_like(drawn[name]) for name in ("U", "b", "c")}
    F, V = np.zeros((H, K)), np.zeros((K, H))
    F[:2], V[:, :2] = 0.5 * around, 4 * np.roll(around, 1, axis=1).T
    return {**drawn, **zero, "F": F, "V": V}


# Oracles.


def _every_predecessor(
    x: np.ndarray, U: np.ndarray, F: np.ndarray, b: np.ndarray, V: np.ndarray, c: np.ndarray
) -> Arrays:
    """States and outputs of each step for each class that may have come before it.

    Returns h : (K, T, B, H), o : (K, T, B, K).
    """
    joined = np.concatenate([U, F, b[:, None]], axis=1)
    states = []
    for one in np.eye(F.shape[1]):
        rest = np.broadcast_to([*one, 1.0], (*x.shape[:2], len(one) + 1))
        states.append(np.tanh(np.einsum("hz,tbz->tbh", joined, np.concatenate([x, rest], -1))))
    h = np.stack(states)
    return h, np.einsum("kh,ptbh->ptbk", V, h) + c


def _follow(o: np.ndarray, y0: np.ndarray, given: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Follow the classes through o : (K, T, B, K); where given : (T, B), y's instead of its own."""
    taken = np.empty(o.shape[1:])
    for n in range(o.shape[2]):
        before = y0[n]
        for t in range(o.shape[1]):
            if t and given[t, n]:
                before = y[t - 1, n]
            taken[t, n] = o[before, t, n]
            before = int(np.argmax(taken[t, n]))
    return taken


def _forced_truth(y0: np.ndarray, y: np.ndarray, **args: np.ndarray) -> Arrays:
    h, o = _every_predecessor(**double(**args))
    before = np.concatenate([y0[None], y[:-1]])
    weight = np.moveaxis(np.eye(len(o))[before], -1, 0)[..., None]  # (K, T, B, 1)
    return (weight * h).sum(0), (weight * o).sum(0)


def _loop_truth(y0: np.ndarray, **args: np.ndarray) -> Arrays:
    _, o = _every_predecessor(**double(**args))
    never = np.zeros(o.shape[1:3], dtype=bool)
    return (_follow(o, y0, never, never),)


def _scheduled_truth(
    y0: np.ndarray, y: np.ndarray, u: np.ndarray, epsilon: float, **args: np.ndarray
) -> Arrays:
    _, o = _every_predecessor(**double(**args))
    return (_follow(o, y0, u < epsilon, y),)


def _summaries(h: np.ndarray, mask: np.ndarray) -> Arrays:
    """Both summaries, the last state as a sum over the one step where the mask goes down."""
    ends = mask - np.concatenate([mask[1:], np.zeros_like(mask[:1])])
    share = mask / mask.sum(0)
    return np.einsum("tb,tbh->bh", ends, h), np.einsum("tb,tbh->bh", share, h)


def _readout_truth(**args: np.ndarray) -> Arrays:
    return _summaries(**double(**args))


def _readout_grad_truth(**args: np.ndarray) -> Arrays:
    """One state at a time is 1 and all others 0: both summaries are linear, so that is exact."""
    a = double(**args)
    dh = np.empty((*a["mask"].shape, a["dlast"].shape[-1]))
    for index in np.ndindex(dh.shape):
        one = np.zeros(dh.shape)
        one[index] = 1.0
        last, mean = _summaries(one, a["mask"])
        dh[index] = (last * a["dlast"] + mean * a["dmean"]).sum()
    return (dh,)


def _fed(x: np.ndarray, y0: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """Inputs and one-hot previous outputs side by side, (T, B, D + K)."""
    return np.concatenate([x, np.eye(classes)[np.concatenate([y0[None], y[:-1]])]], axis=-1)


def _vector_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    repeated = np.broadcast_to(a["x"], (len(a["y"]), *a["x"].shape))
    joined = np.concatenate([a["R"], a["F"]], axis=1)
    h = sweeps(_fed(repeated, a["y0"], a["y"], len(a["c"])), a["h0"], joined, a["W"], a["b"])
    return h, np.einsum("kh,tbh->tbk", a["V"], h) + a["c"]


def _log_likelihood_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    joined = np.concatenate([a["U"], a["F"]], axis=1)
    h = sweeps(_fed(a["x"], a["y0"], a["y"], len(a["c"])), a["h0"], joined, a["W"], a["b"])
    o = np.einsum("kh,tbh->tbk", a["V"], h) + a["c"]
    picked = np.einsum("tbk,tbk->tb", np.eye(len(a["c"]))[a["y"]], o)
    each = picked - np.logaddexp.reduce(o, axis=-1)
    return (np.einsum("tb,tb->b", a["mask"], each),)


def _bidirectional_truth(lengths: np.ndarray, **args: np.ndarray) -> Arrays:
    """No step is moved: each direction goes over all steps, and stands still in the padding."""
    a = double(**args)
    steps = len(a["x"])
    inside = (np.arange(steps)[:, None] < lengths)[..., None]
    found = []
    for start, U, W, b, order in (
        ("h0", "Uf", "Wf", "bf", range(steps)),
        ("g0", "Ug", "Wg", "bg", reversed(range(steps))),
    ):
        state, states = a[start], np.zeros((*a["x"].shape[:2], a[start].shape[1]))
        for t in order:
            moved = np.tanh(
                np.einsum("hd,bd->bh", a[U], a["x"][t]) + np.einsum("hj,bj->bh", a[W], state) + a[b]
            )
            state = np.where(inside[t], moved, state)
            states[t] = np.where(inside[t], state, 0.0)
        found.append(states)
    return (np.concatenate(found, axis=-1),)


def _deep_truth(
    x: np.ndarray,
    h0: np.ndarray,
    U: list[np.ndarray],
    W: list[np.ndarray],
    b: list[np.ndarray],
) -> Arrays:
    """All layers and steps at once, swept until nothing can change any more."""
    x, h0 = (np.asarray(value, np.float64) for value in (x, h0))
    h = np.zeros((len(U), len(x), *h0.shape[1:]))
    for _ in range(len(U) + len(x)):
        before = np.concatenate([h0[:, None], h[:, :-1]], axis=1)
        h = np.stack(
            [
                np.tanh((h[j - 1] if j else x) @ U[j].T + before[j] @ W[j].T + b[j])
                for j in range(len(U))
            ]
        )
    return (h,)


def _span_scores_truth(y: np.ndarray, y_hat: np.ndarray, mask: np.ndarray) -> Arrays:
    """Sentences as strings of the letters O, B, I, and spans by a regular expression."""
    found: list[set[tuple[int, int, int]]] = []
    equal = total = 0
    for tags in (y, y_hat):
        spans = set()
        for n in range(y.shape[1]):
            said = "".join("OBI"[tag] for tag in tags[mask[:, n] > 0, n])
            spans |= {(n, *match.span()) for match in re.finditer("[BI]I*", said)}
        found.append(spans)
    for t, n in np.argwhere(mask > 0):
        equal, total = equal + int(y[t, n] == y_hat[t, n]), total + 1
    sizes = len(found[0]) + len(found[1])
    f1 = 2 * len(found[0] & found[1]) / sizes if sizes else 1.0
    return np.asarray(equal / total), np.asarray(f1)


def _packed_truth(
    x: np.ndarray,
    lengths: np.ndarray,
    U: list[np.ndarray],
    W: list[np.ndarray],
    b: list[np.ndarray],
) -> Arrays:
    """Two layers of the NumPy oracle."""
    zero = np.zeros((x.shape[1], len(b[0])))
    s = x
    for layer in (0, 2):
        forward, backward = ((U[i], W[i], b[i]) for i in (layer, layer + 1))
        named = zip(("Uf", "Wf", "bf", "Ug", "Wg", "bg"), (*forward, *backward), strict=True)
        (s,) = _bidirectional_truth(lengths, x=s, h0=zero, g0=zero, **dict(named))
    return (s,)


def _glimpse_truth(x: np.ndarray, centre: np.ndarray, size: int, scales: int) -> Arrays:
    """Every number of a patch by itself: the mean of its block, pixel by pixel."""
    x, centre = (np.asarray(value, np.float64) for value in (x, centre))
    n, rows, columns = x.shape
    patches = np.zeros((n, scales, size, size))
    for b, k, i, j in np.ndindex(patches.shape):
        block, total = 2**k, 0.0
        first = [
            int(np.floor((c + 1) / 2 * (pixels - 1) + 0.5)) - size * block // 2
            for c, pixels in zip(centre[b], (rows, columns), strict=True)
        ]
        for di, dj in np.ndindex(block, block):
            r, c = first[0] + i * block + di, first[1] + j * block + dj
            if 0 <= r < rows and 0 <= c < columns:
                total += x[b, r, c]
        patches[b, k, i, j] = total / block**2
    return (patches,)


def _reinforce_truth(
    mean: np.ndarray, place: np.ndarray, sigma: float, reward: np.ndarray, baseline: np.ndarray
) -> Arrays:
    """The derivative of the weighted log-density by complex steps, one mean at a time."""
    a = double(mean=mean, place=place, reward=reward, baseline=baseline)
    grad = np.empty(a["mean"].shape)
    for t, n, i in np.ndindex(grad.shape):
        away = (a["place"][t, n, i] - (a["mean"][t, n, i] + 1j * STEP)) / sigma
        log_density = -(away**2) / 2 - np.log(sigma * np.sqrt(2 * np.pi))
        weight = (a["reward"][t, n] - a["baseline"][t, n]) / grad.shape[1]
        grad[t, n, i] = weight * log_density.imag / STEP
    return (grad,)


def _window_truth(params: np.ndarray, A: int, B: int, N: int) -> Arrays:
    """Point by point and pixel by pixel, with the logarithm of each Gaussian."""
    params = np.asarray(params, np.float64)
    found = []
    for way, pixels in ((0, A), (1, B)):
        bank = np.empty((len(params), N, pixels))
        for m, i in np.ndindex(len(params), N):
            centre, log_variance, log_stride = params[m, way], params[m, 2], params[m, 3]
            stride = (max(A, B) - 1) / (N - 1) * np.exp(log_stride)
            point = (pixels + 1) * (centre + 1) / 2 + (i - (N - 1) / 2) * stride
            logs = np.array([-((a - point) ** 2) / 2 for a in range(1, pixels + 1)])
            row = np.exp(logs * np.exp(-log_variance))
            bank[m, i] = row / max(row.sum(), 1e-8)
        found.append(bank)
    return (*found, np.exp(params[:, 4]))


def _latent_truth(mu: np.ndarray, sigma: np.ndarray) -> Arrays:
    """The divergence as an expectation, by Gauss-Hermite quadrature: exact for polynomials."""
    a = double(mu=mu, sigma=sigma)
    points, shares = np.polynomial.hermite_e.hermegauss(8)
    total = np.zeros(a["mu"].shape[1])
    for point, share in zip(points, shares / shares.sum(), strict=True):
        z = a["mu"] + a["sigma"] * point
        gap = -(point**2) / 2 - np.log(a["sigma"]) + z**2 / 2  # log q(z) - log p(z)
        total += share * gap.sum((0, 2))
    return (total,)


# Cases.


@varied(D=D, H=H, K=K)
def _forced_cases(rng: np.random.Generator) -> list[Case]:
    some = _forced_inputs(rng)
    return [
        Case(
            "U x alone",
            "probes",
            only(some, "x", "U", "V"),
            "no feedback, no biases: h(t) = tanh(U x(t))",
        ),
        Case(
            "F alone, one step",
            "probes",
            only(_forced_inputs(rng, steps=1), "F", "V"),
            "T = 1: h(1) = tanh(column y(0) of F); no target goes in",
        ),
        Case(
            "F alone",
            "probes",
            only(some, "F", "V"),
            "no input, no biases: h(t) = tanh(column y(t-1) of F)",
        ),
        Case("b alone", "probes", only(some, "b", "V"), "h(t) = tanh(b), at every step"),
        Case("c alone", "probes", only(some, "c"), "h is zero, so o(t) = c"),
        *usual(_forced_inputs, rng, {"x": 1, "y0": 0, "y": 1}),
    ]


@varied(D=D, H=H, K=K)
def _loop_cases(rng: np.random.Generator) -> list[Case]:
    some = _loop_inputs(rng)
    return [
        Case(
            "no feedback",
            "probes",
            {**some, "F": np.zeros((H, K))},
            "F = 0: o(t) = c + V tanh(U x(t) + b), whatever came before",
        ),
        Case(
            "one step",
            "probes",
            _loop_inputs(rng, steps=1),
            "T = 1: the only class that goes in is y(0)",
        ),
        Case(
            "a counter",
            "probes",
            _counter(some),
            "weights for which class k makes class k + 1 the largest: the outputs count up",
        ),
        *usual(_loop_inputs, rng, {"x": 1, "y0": 0}),
    ]


@varied(D=D, H=H, K=K)
def _scheduled_cases(rng: np.random.Generator) -> list[Case]:
    some = _scheduled_inputs(rng)
    across = _scheduled_inputs(rng)
    across["u"] = np.where(np.arange(B) % 2, 0.9, 0.1) * np.ones((T, 1))
    late = _scheduled_inputs(rng)
    late["u"] = np.full((T, B), 0.9)
    late["u"][2] = 0.1
    zero = {**some, "u": np.zeros((T, B)), "epsilon": 0.0}
    return [
        Case(
            "epsilon = 1",
            "probes",
            {**some, "epsilon": 1.0},
            "u < 1 always: exercise 4.1",
        ),
        Case("epsilon = 0", "probes", {**some, "epsilon": 0.0}, "u < 0 never: exercise 4.2"),
        Case("u = 0, epsilon = 0", "probes", zero, "0 < 0 is false: exercise 4.2, too"),
        Case(
            "one coin for each sequence",
            "probes",
            _counter(across),
            "a counter; the first sequence gets true outputs, the second one its own",
        ),
        Case(
            "one true output",
            "probes",
            _counter(late),
            "a counter; only step 3 gets the true output, y(2); step 4 goes on from what came out",
        ),
        *usual(_scheduled_inputs, rng, {"x": 1, "y0": 0, "y": 1, "u": 1}),
    ]


def _readout_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {"h": rng.uniform(-0.95, 0.95, (steps, batch, H)), "mask": _mask(steps, batch)}


@varied(H=H)
def _readout_cases(rng: np.random.Generator) -> list[Case]:
    whole = _readout_inputs(rng)
    whole["mask"] = np.ones((T, B))
    short = _readout_inputs(rng)
    short["mask"] = np.zeros((T, B))
    short["mask"][0] = 1.0
    return [
        Case("no padding", "probes", whole, "the last of all states, and the mean of all"),
        Case("one step counts", "probes", short, "both summaries are h(1)"),
        *usual(_readout_inputs, rng, {"h": 1, "mask": 1}),
    ]


def _readout_grad_inputs(
    rng: np.random.Generator, steps: int = T, batch: int = B
) -> dict[str, Any]:
    dlast, dmean = rng.normal(size=(2, batch, H))
    return {"dlast": dlast, "dmean": dmean, "mask": _mask(steps, batch)}


@varied(H=H)
def _readout_grad_cases(rng: np.random.Generator) -> list[Case]:
    some = _readout_grad_inputs(rng)
    whole = {**some, "mask": np.ones((T, B))}
    zero = np.zeros((B, H))
    return [
        Case(
            "through the last state alone, no padding",
            "probes",
            {**whole, "dmean": zero},
            "all of it arrives at h(T), nothing elsewhere",
        ),
        Case(
            "through the mean alone, no padding",
            "probes",
            {**whole, "dlast": zero},
            f"each of the {T} states gets one {T}th",
        ),
        Case(
            "through the last state alone",
            "probes",
            {**some, "dmean": zero},
            "it arrives where the sequence ends, nowhere in the padding",
        ),
        Case(
            "through the mean alone",
            "probes",
            {**some, "dlast": zero},
            "one part in l for each of l states, nothing for the padding",
        ),
        *usual(_readout_grad_inputs, rng, {"dlast": 0, "dmean": 0, "mask": 1}),
    ]


def _vector_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    x, h0 = rng.normal(size=(batch, D)), _start(rng, batch)
    return {"x": x, "h0": h0, **_classes(rng, steps, batch), **_weights(rng, "RFWbVc")}


@varied(D=D, H=H, K=K)
def _vector_cases(rng: np.random.Generator) -> list[Case]:
    some = _vector_inputs(rng)
    return [
        Case(
            "R x alone",
            "probes",
            only(some, "x", "R", "V"),
            "no feedback, no state: h(t) = tanh(R x), the same at every step",
        ),
        Case(
            "F alone",
            "probes",
            only(some, "F", "V"),
            "h(t) = tanh(column y(t-1) of F); at t = 1 that of y(0)",
        ),
        Case(
            "W h alone",
            "probes",
            only(some, "h0", "W", "V"),
            "h(1) = tanh(W h(0)), and so on",
        ),
        Case("b alone", "probes", only(some, "b", "V"), "h(t) = tanh(b), at every step"),
        Case("c alone", "probes", only(some, "c"), "h is zero, so o(t) = c"),
        *usual(_vector_inputs, rng, {"x": 0, "h0": 0, "y0": 0, "y": 1}),
    ]


def _likelihood_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    drawn = _forced_inputs(rng, steps, batch)
    head = {name: drawn[name] for name in ("x", "y0", "y")}
    return {
        "x": head["x"],
        "h0": _start(rng, batch),
        "y0": head["y0"],
        "y": head["y"],
        "mask": _mask(steps, batch),
        **_weights(rng, "UFWbVc"),
    }


@varied(D=D, H=H, K=K)
def _likelihood_cases(rng: np.random.Generator) -> list[Case]:
    some = _likelihood_inputs(rng)
    whole = {**some, "mask": np.ones((T, B))}
    large = _likelihood_inputs(rng)
    large["c"] = large["c"] + 1000.0
    below = _likelihood_inputs(rng)
    below["c"][below["y"][0, 0]] -= 1000.0
    apart = _likelihood_inputs(rng)
    apart["x"][:, :, 0] = np.where(np.arange(B) % 2, -1.0, 1.0)
    apart["U"][0], apart["V"][:, 0] = [50.0, 0.0, 0.0], 1000.0
    gap = _likelihood_inputs(rng)
    gap["mask"][1, 0] = 0.0
    return [
        Case(
            "equal outputs",
            "probes",
            only(whole, "x", "U", "mask"),
            f"V = 0, c = 0: each step has probability 1/{K}, so log P = -T log {K}",
        ),
        Case(
            "c alone",
            "probes",
            only(whole, "c", "mask"),
            "every step has the same distribution: a sum of log softmax(c) at the targets",
        ),
        Case(
            "F alone",
            "probes",
            only(whole, "F", "V", "mask"),
            "only the previous output matters: y(0) at the first step, y(t-1) later",
        ),
        Case(
            "W h alone",
            "probes",
            only(whole, "h0", "W", "V", "mask"),
            "no input, no feedback: h(1) = tanh(W h(0)), and so on",
        ),
        Case("padding", "probes", some, "the last two steps of the first sequence do not count"),
        Case(
            "a gap",
            "probes",
            gap,
            "step 2 of the first sequence does not count; the states go through it all the same",
        ),
        Case("large outputs", "properties", large, "o + 1000 has the same softmax as o"),
        Case(
            "the target far below",
            "properties",
            below,
            "some targets' outputs are 1000 below the largest: their softmax is rounded to 0",
        ),
        Case(
            "one sequence far above the other",
            "properties",
            apart,
            "their outputs lie 2000 apart: what is taken away must be each step's own",
        ),
        *usual(_likelihood_inputs, rng, {"x": 1, "h0": 0, "y0": 0, "y": 1, "mask": 1}),
    ]


def _two_way_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    weights = {name + way: value for way in "fg" for name, value in _weights(rng, "UWb").items()}
    lengths = _mask(steps, batch).sum(0).astype(int)
    x = rng.normal(size=(steps, batch, D))
    return {"x": x, "lengths": lengths, "h0": _start(rng, batch), "g0": _start(rng, batch)} | {
        name: weights[name] for name in ("Uf", "Wf", "bf", "Ug", "Wg", "bg")
    }


@varied(D=D, H=H)
def _two_way_cases(rng: np.random.Generator) -> list[Case]:
    some = _two_way_inputs(rng)
    whole = {**some, "lengths": np.full(B, T)}
    return [
        Case(
            "forward alone, no padding",
            "probes",
            only(whole, "x", "h0", "Uf", "Wf", "bf"),
            "the backward network has no weights: its half is zero",
        ),
        Case(
            "backward alone, no padding",
            "probes",
            only(whole, "x", "g0", "Ug", "Wg", "bg"),
            "the forward half is zero; g(T) is made of x(T) and g0",
        ),
        Case(
            "backward alone",
            "probes",
            only(some, "x", "g0", "Ug", "Wg", "bg"),
            "each sequence starts backward at its own last step; zero behind it",
        ),
        Case(
            "forward alone",
            "probes",
            only(some, "x", "h0", "Uf", "Wf", "bf"),
            "zero behind the last step of each sequence",
        ),
        *usual(_two_way_inputs, rng, {"x": 1, "lengths": 0, "h0": 0, "g0": 0}),
    ]


def _deep_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    layers = [_weights(rng, "UWb") for _ in range(N)]
    for layer in layers[1:]:
        layer["U"] = rng.normal(0, 0.6, (H, H))
    return {
        "x": rng.normal(size=(steps, batch, D)),
        "h0": rng.uniform(-0.9, 0.9, (N, batch, H)),
        **{name: [layer[name] for layer in layers] for name in "UWb"},
    }


@varied(H=H)
def _deep_cases(rng: np.random.Generator) -> list[Case]:
    def without(drawn: dict[str, Any], *names: str) -> dict[str, Any]:
        zero = {name: [np.zeros_like(one) for one in drawn[name]] for name in names}
        return {**drawn, **zero}

    some = _deep_inputs(rng)
    (mine,) = rng.spawn(1)
    fewer = _deep_inputs(mine)
    fewer = {**fewer, "h0": fewer["h0"][:2], **{name: fewer[name][:2] for name in "UWb"}}
    return [
        Case(
            "upward alone",
            "probes",
            without(some, "W", "b"),
            "no memory: each step is a feedforward network of its own, x(t) up to the last layer",
        ),
        Case(
            "onward alone",
            "probes",
            without(some, "U", "b"),
            "no input, no layer below: each layer goes on from its own initial state",
        ),
        Case("b alone", "probes", without(some, "U", "W"), "layer j has tanh(b_j), at every step"),
        Case(
            "two steps",
            "probes",
            without(_deep_inputs(rng, steps=2), "b"),
            "h(2) of layer 2 is made of h(2) of layer 1 and h(1) of layer 2",
        ),
        *usual(_deep_inputs, rng, {"x": 1, "h0": 1}),
        Case("two layers", "properties", fewer, "as many layers as U has arrays"),
    ]


def _tags_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    """Tags of which about two in three are right; a batch of 2 has too few spans, so more."""
    shape = (steps + 2, batch + 1) if steps > 1 else (steps, batch)
    y = rng.choice(3, shape, p=(0.4, 0.35, 0.25))
    y_hat = np.where(rng.random(shape) < 0.75, y, rng.choice(3, shape))
    return {"y": y, "y_hat": y_hat, "mask": _mask(*shape)}


def _tags_cases(rng: np.random.Generator) -> list[Case]:
    def tags(y: str, y_hat: str, mask: str = "1111111") -> dict[str, Any]:
        columns = [np.array([[int(each)] for each in word]) for word in (y, y_hat, mask)]
        return dict(zip(("y", "y_hat", "mask"), [*columns[:2], columns[2] * 1.0], strict=True))

    def together(*sentences: dict[str, Any]) -> dict[str, Any]:
        return {name: np.hstack([each[name] for each in sentences]) for name in sentences[0]}

    return [
        Case(
            "one name, found",
            "probes",
            tags("0012200", "0012200"),
            "all right: both scores are 1",
        ),
        Case(
            "one end is wrong",
            "probes",
            tags("0012200", "0012000"),
            "six words of seven are right, but no span is: accuracy 6/7, F1 = 0",
        ),
        Case(
            "two names next to each other",
            "probes",
            tags("0012120", "0012220"),
            "the targets have two spans, the predictions have one: a 1 always begins a new one",
        ),
        Case(
            "two names side by side",
            "probes",
            tags("0012120", "0012000"),
            "the second name's 1 ends the first: one of two is found, F1 = 2/3",
        ),
        Case(
            "a 2 that follows nothing",
            "probes",
            tags("0100120", "0200120"),
            "it begins a span: both names are found, though one tag is wrong",
        ),
        Case(
            "a name in the padding",
            "probes",
            tags("0120012", "0120000", "1111100"),
            "what is said of the padding does not count",
        ),
        Case(
            "a name at the end",
            "probes",
            together(tags("0000012", "0000012"), tags("2000000", "2001000")),
            "a span ends with its sentence: what the next sentence begins with is another one",
        ),
        Case(
            "sentences with few and with many names",
            "probes",
            together(tags("1000000", "0000000"), tags("1010101", "1010101")),
            "all sentences together: 4 found of 5, and 4 said: F1 = 8/9",
        ),
        *usual(_tags_inputs, rng, {"y": 1, "y_hat": 1, "mask": 1}),
        Case("no names", "properties", tags("0000000", "0000000"), "nothing to find: F1 = 1"),
        Case(
            "no names, and one is said",
            "properties",
            tags("0000000", "0012000"),
            "there is a span in the predictions: F1 = 0/1",
        ),
        Case(
            "a name, and none is said",
            "properties",
            tags("0012000", "0000000"),
            "there is a span in the targets: F1 = 0/1",
        ),
    ]


def _packed_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    networks = [_weights(rng, "UWb") for _ in range(4)]
    for network in networks[2:]:
        network["U"] = rng.normal(0, 0.6, (H, 2 * H))
    return {
        "x": rng.normal(size=(steps, batch, D)),
        "lengths": _mask(steps, batch).sum(0).astype(int),
        **{name: [network[name] for network in networks] for name in "UWb"},
    }


@varied(sums=("HH",), D=D, H=H)
def _packed_cases(rng: np.random.Generator) -> list[Case]:
    def without(drawn: dict[str, Any], *names: str) -> dict[str, Any]:
        return {**drawn, **{name: [np.zeros_like(v) for v in drawn[name]] for name in names}}

    some = _packed_inputs(rng)
    whole = {**some, "lengths": np.full(B, T)}
    short = _packed_inputs(rng)
    short["lengths"] = short["lengths"] - 1
    return [
        Case(
            "b alone, no padding",
            "probes",
            without(whole, "U", "W"),
            "layer 2 has tanh(b[2]) and tanh(b[3]), at every step: one bias, not two",
        ),
        Case(
            "no memory, no padding",
            "probes",
            without(whole, "W"),
            "each step by itself: layer 2 reads layer 1, forward and backward side by side",
        ),
        Case("no padding", "probes", whole, "all terms, every sequence as long as the array"),
        Case("padding", "probes", some, "the backward networks start at each sequence's own end"),
        Case(
            "no sequence as long as the array",
            "probes",
            short,
            f"the longest one has T - 1 = {T - 1} steps, and s still has T",
        ),
        *usual(_packed_inputs, rng, {"x": 1, "lengths": 0}),
    ]


def _glimpse_inputs(rng: np.random.Generator, batch: int = 3, scales: int = 2) -> dict[str, Any]:
    """Pictures with more columns than rows, and centres near the middle."""
    return {
        "x": rng.normal(size=(batch, 11, 13)),
        "centre": rng.uniform(-0.3, 0.3, (batch, 2)),
        "size": 4,
        "scales": scales,
    }


@varied(P=11, Q=13)
def _glimpse_cases(rng: np.random.Generator) -> list[Case]:
    sharp, edge, main = _glimpse_inputs(rng, scales=1), _glimpse_inputs(rng), _glimpse_inputs(rng)
    edge["centre"] = np.array([[-1.0, -1.0], [1.0, 0.9], [-1.0, -0.25]])
    middle = {**_glimpse_inputs(rng, scales=1), "centre": np.zeros((3, 2))}
    (mine,) = rng.spawn(1)
    corner = _glimpse_inputs(mine, scales=3)
    corner["centre"] = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    return [
        Case(
            "the middle, one patch",
            "probes",
            middle,
            "centre (0, 0) is pixel (5, 6) of 11 rows and 13 columns; the patch is rows 3 to 6,"
            " columns 4 to 7",
        ),
        Case("one patch", "probes", sharp, "size 4: rows p - 2 to p + 1, nothing is averaged"),
        Case(
            "one picture, two patches",
            "probes",
            _glimpse_inputs(rng, batch=1),
            "the second is 8 pixels wide, about the same place, means of 2 by 2",
        ),
        Case(
            "at the edge",
            "probes",
            edge,
            "beyond the picture all is 0, and counts in the means; -0.25 lies between the columns 4"
            " and 5: 5",
        ),
        Case("random input", "values", main, "two patches of three pictures"),
        Case("three patches", "properties", _glimpse_inputs(rng, scales=3), "16 pixels wide"),
        Case(
            "three patches at a corner",
            "properties",
            corner,
            "the widest reaches 8 pixels beyond the corner: as far there must be zeros",
        ),
        Case(
            "batch order",
            "properties",
            reorder(main, {"x": 0, "centre": 0}),
            "the pictures in reverse order; they must not influence one another",
        ),
        Case("odd size", "properties", {**main, "size": 3}, "patch 0 begins at p - 1: 3 // 2 = 1"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


SIGMA = 0.3


def _reinforce_inputs(rng: np.random.Generator, steps: int = T, batch: int = 3) -> dict[str, Any]:
    mean = rng.uniform(-0.5, 0.5, (steps, batch, 2))
    return {
        "mean": mean,
        "place": mean + SIGMA * rng.normal(size=mean.shape),
        "sigma": SIGMA,
        "reward": rng.uniform(0, 3, (steps, batch)),
        "baseline": rng.uniform(0, 2, (steps, batch)),
    }


@varied(numbers={"sigma": (0.4, 0.9)})
def _reinforce_cases(rng: np.random.Generator) -> list[Case]:
    some = _reinforce_inputs(rng)
    one = _reinforce_inputs(rng, 1, 1)
    return [
        Case(
            "one draw",
            "probes",
            {**one, "baseline": np.zeros((1, 1))},
            "T = B = 1, no baseline: reward times (place - mean) / sigma²",
        ),
        Case(
            "as expected",
            "probes",
            {**some, "baseline": some["reward"].copy()},
            "the reward is what was expected: nothing is to be learned",
        ),
        Case(
            "no reward",
            "probes",
            {**some, "reward": np.zeros_like(some["reward"])},
            "less than was expected: away from the place",
        ),
        Case("a mean over the batch", "probes", _reinforce_inputs(rng, 1), "T = 1, B = 3"),
        *usual(_reinforce_inputs, rng, {"mean": 1, "place": 1, "reward": 1, "baseline": 1}),
    ]


def _window_inputs(rng: np.random.Generator, pictures: int = 2) -> dict[str, Any]:
    spread = np.array([0.4, 0.4, 0.5, 0.4, 0.5])
    shift = np.array([0.0, 0.0, 0.3, -0.7, 0.2])
    return {"params": shift + spread * rng.normal(size=(pictures, 5)), "A": 9, "B": 7, "N": 3}


def _window_cases(rng: np.random.Generator) -> list[Case]:
    main = _window_inputs(rng)
    zero = {**main, "params": np.zeros((2, 5))}
    narrow = {**main, "params": np.tile([0.0, 0.0, -2.0, -1.0, 0.0], (2, 1))}
    wide = {**zero, "params": np.tile([0.0, 0.0, 2.0, 0.0, 0.5], (2, 1))}
    outside = {**main, "params": np.tile([8.0, -8.0, -1.0, 0.0, 0.0], (2, 1))}
    beyond = {**main, "params": np.tile([2.2, -1.0, 0.0, -3.0, 0.0], (2, 1))}
    moved = {**main, "params": np.tile([0.5, -0.4, 0.0, 0.0, 0.0], (2, 1))}
    return [
        Case(
            "all parameters 0",
            "probes",
            zero,
            "variance 1, strength 1; stride (9 - 1)/(3 - 1) = 4: points in x at 1, 5, 9, in y at"
            " 0, 4, 8",
        ),
        Case(
            "narrow",
            "probes",
            narrow,
            "variance exp(-2): almost all of a row stands on the pixels next to its point",
        ),
        Case("wide", "probes", wide, "variance exp(2), strength exp(0.5), the stride as before"),
        Case("moved", "probes", moved, "centre (0.5, -0.4): x moves by 2.5 pixels, y by -1.6"),
        Case("random input", "values", main, "every parameter counts"),
        Case(
            "far outside",
            "properties",
            outside,
            "no point is near the picture: every row is 0, and 0 is divided by 1e-8",
        ),
        Case(
            "beyond the edge",
            "properties",
            beyond,
            "sums below 1e-8 in x: they are divided by 1e-8, and no row of F_x sums to 1",
        ),
        Case("another size", "properties", {**main, "A": 5, "B": 12, "N": 4}, "A < B, N even"),
        Case("M = 1", "properties", _window_inputs(rng, 1), "a single picture keeps its axis"),
        Case(
            "batch order",
            "properties",
            reorder(main, {"params": 0}),
            "the windows in reverse order; they must not influence one another",
        ),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def _latent_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    shape = (steps, batch, 3)
    return {"mu": rng.normal(size=shape), "sigma": rng.uniform(0.3, 2.0, shape)}


@varied(N=N)
def _latent_cases(rng: np.random.Generator) -> list[Case]:
    some = _latent_inputs(rng)
    return [
        Case(
            "the prior itself",
            "probes",
            {"mu": np.zeros((T, B, 3)), "sigma": np.ones((T, B, 3))},
            "mu = 0, sigma = 1: nothing is said, and nothing is paid",
        ),
        Case(
            "moved",
            "probes",
            {**some, "sigma": np.ones((T, B, 3))},
            "sigma = 1: half the sum of mu², over steps and latents",
        ),
        Case(
            "narrowed",
            "probes",
            {"mu": np.zeros((T, B, 3)), "sigma": np.full((T, B, 3), 0.5)},
            "mu = 0, sigma = 1/2: each costs (1/4 - log(1/4) - 1)/2 = 0.3181",
        ),
        *usual(_latent_inputs, rng, {"mu": 1, "sigma": 1}),
    ]


CHAPTER = Chapter(
    name="taxonomy",
    number=4,
    title="A taxonomy of recurrent networks, executable",
    page="04-taxonomy",
    exercises=(
        Exercise(
            "taxonomy.teacher_forced",
            "4.1",
            "Teacher forcing, all steps at once",
            "(4.4)",
            3,
            (Output("h", HIDDEN), Output("o", OUTPUT)),
            _forced_cases,
            _forced_truth,
        ),
        Exercise(
            "taxonomy.closed_loop",
            "4.2",
            "Closed loop",
            "(4.7)",
            2,
            (Output("o", OUTPUT),),
            _loop_cases,
            _loop_truth,
        ),
        Exercise(
            "taxonomy.scheduled",
            "4.3",
            "Scheduled sampling",
            "(4.9)",
            3,
            (Output("o", OUTPUT),),
            _scheduled_cases,
            _scheduled_truth,
        ),
        Exercise(
            "taxonomy.readout",
            "4.4",
            "A sequence in, one vector out",
            "(4.12)",
            {"last": 1, "mean": 1},
            (Output("last", ("B", "H")), Output("mean", ("B", "H"))),
            _readout_cases,
            _readout_truth,
        ),
        Exercise(
            "taxonomy.readout_grad",
            "4.5",
            "The gradient from downstream",
            "(4.13)",
            2,
            (Output("dh", HIDDEN),),
            _readout_grad_cases,
            _readout_grad_truth,
        ),
        Exercise(
            "taxonomy.vector_to_sequence",
            "4.6",
            "A vector in, a sequence out",
            "(4.15)",
            3,
            (Output("h", HIDDEN), Output("o", OUTPUT)),
            _vector_cases,
            _vector_truth,
        ),
        Exercise(
            "taxonomy.log_likelihood",
            "4.7",
            "The probability of a whole sequence",
            "(4.16)-(4.17)",
            3,
            (Output("logp", ("B",)),),
            _likelihood_cases,
            _log_likelihood_truth,
        ),
        Exercise(
            "taxonomy.bidirectional",
            "4.8",
            "Both directions, with padding",
            "(4.18)-(4.19)",
            3,
            (Output("s", ("T", "B", "2H")),),
            _two_way_cases,
            _bidirectional_truth,
        ),
        Exercise(
            "taxonomy.deep",
            "4.9",
            "Several layers",
            "(4.20)",
            3,
            (Output("h", ("N", "T", "B", "H")),),
            _deep_cases,
            _deep_truth,
        ),
        Exercise(
            "taxonomy.span_scores",
            "4.10",
            "How good is a tagger?",
            "(4.21)",
            {"accuracy": 1, "f1": 2},
            (Output("accuracy", ()), Output("f1", ())),
            _tags_cases,
            _span_scores_truth,
        ),
        Exercise(
            "taxonomy.packed",
            "4.11",
            "The twin in PyTorch",
            "(4.18)-(4.20)",
            3,
            (Output("s", ("T", "B", "2H")),),
            _packed_cases,
            _packed_truth,
            run=call_with_tensors,
            uses_torch=True,
        ),
        Exercise(
            "taxonomy.glimpse",
            "4.12",
            "Looking through a small window",
            "(4.22)",
            3,
            (Output("patches", ("M", "scales", "size", "size")),),
            _glimpse_cases,
            _glimpse_truth,
        ),
        Exercise(
            "taxonomy.reinforce_grad",
            "4.13",
            "The gradient of a choice",
            "(4.23)-(4.25)",
            2,
            (Output("dmean", ("T", "B", "2")),),
            _reinforce_cases,
            _reinforce_truth,
        ),
        Exercise(
            "taxonomy.gaussian_window",
            "4.14",
            "A window that has a gradient",
            "(4.27)",
            3,
            (
                Output("F_x", ("M", "N", "A")),
                Output("F_y", ("M", "N", "B")),
                Output("gamma", ("M",)),
            ),
            _window_cases,
            _window_truth,
        ),
        Exercise(
            "taxonomy.latent_cost",
            "4.15",
            "What a drawing costs",
            "(4.28)",
            2,
            (Output("cost", ("B",)),),
            _latent_cases,
            _latent_truth,
        ),
    ),
    questions=(Question("taxonomy.explain", "4.16", "Which wiring?", 3),),
)
