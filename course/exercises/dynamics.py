"""Chapter 1: inputs, probes, properties and oracles of its exercises.

Each oracle reaches the truth by another road than the chapter's: sweeps over all steps at once,
complex steps, the inverse map, bisection, repeated squaring, orthogonal projections.  Sizes are
unequal and above 1, so that no wrong axis, transposition or mean can hide.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from course.adapters import run_orbits
from course.exercise import Arrays, Case, Chapter, Exercise, Output, Question, Tolerance
from course.exercises.common import LONG, STEP, double, elsewhere, reorder, single, varied

T, B, D, H = 5, 2, 3, 4

STATES = ("T", "B", "H")


# Inputs.


def _free(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    """h0, W, b and a number of steps."""
    return {
        "h0": rng.uniform(-0.9, 0.9, (batch, H)),
        "W": rng.normal(0, 0.6, (H, H)),
        "b": rng.normal(0, 0.5, H),
        "T": steps,
    }


def _pushed(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    """x, h0, U, W, b."""
    free = _free(rng, steps, batch)
    return {
        "x": rng.normal(size=(steps, batch, D)),
        "h0": free["h0"],
        "U": rng.normal(0, 0.6, (H, D)),
        "W": free["W"],
        "b": free["b"],
    }


def _usual(
    draw: Callable[..., dict[str, Any]],
    rng: np.random.Generator,
    batched: Mapping[str, int],
    over_time: bool = True,
) -> list[Case]:
    """The values case and the properties that the exercises over a batch share."""
    main = draw(rng)
    lengths = (
        [
            Case("T = 1", "properties", draw(rng, steps=1), "an orbit of one step is an orbit"),
            Case("unseen length", "properties", draw(rng, steps=LONG), f"T = {LONG}, same network"),
        ]
        if over_time
        else []
    )
    said = f"every term counts, T = {T}, B = {B}" if over_time else f"every term counts, B = {B}"
    return [
        Case("random input", "values", main, said),
        *lengths,
        Case("B = 1", "properties", draw(rng, batch=1), "a batch of one keeps its axis"),
        Case(
            "batch order",
            "properties",
            reorder(main, batched),
            "the batch in reverse order; its members must not influence one another",
        ),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


# Oracles.


def _sweeps(push: np.ndarray, h0: np.ndarray, W: np.ndarray) -> np.ndarray:
    """States by T sweeps over all steps at once (Jacobi); exact, since time only runs forward."""
    h = np.zeros(push.shape, dtype=np.result_type(push, h0))
    for _ in range(len(push)):
        before = np.concatenate([h0[None], h[:-1]])
        h = np.tanh(push + np.einsum("ij,tbj->tbi", W, before))
    return h


def _orbit_truth(**args: Any) -> Arrays:
    a = double(**args)
    push = np.broadcast_to(a["b"], (a["T"], *a["h0"].shape))
    return (_sweeps(push, a["h0"], a["W"]),)


def _driven_truth(**args: Any) -> Arrays:
    a = double(**args)
    push = np.einsum("ij,tbj->tbi", a["U"], a["x"]) + a["b"]
    return (_sweeps(push, a["h0"], a["W"]),)


def _jacobian_truth(**args: Any) -> Arrays:
    """Complex steps: one unit moved at a time, every state at once."""
    a = double(**args)
    columns = []
    for j in range(len(a["b"])):
        moved = a["h"].astype(complex)
        moved[:, j] += 1j * STEP
        columns.append(np.tanh(np.einsum("ij,bj->bi", a["W"], moved) + a["b"]).imag / STEP)
    return (np.stack(columns, axis=2),)


def _radius(J: np.ndarray) -> float:
    """Spectral radius as the limit of ||J^n||^(1/n), n = 2^50, by repeated squaring."""
    log, power = 0.0, 1.0
    for _ in range(50):
        size = float(np.linalg.norm(J))
        if size == 0.0:
            return 0.0
        log += np.log(size) / power
        J = J / size
        J, power = J @ J, 2.0 * power
    return float(np.exp(log))


def _newton_truth(**args: Any) -> Arrays:
    """Fixed points by another equation: artanh h = W h + b, solved for h, in place of tanh.

    Newton's method for one unit is a bisection here, where the start says in which interval.
    """
    a = double(**args)
    W, b = a["W"], a["b"]
    found = a["h"].copy()
    few = a["steps"] <= 2  # not there yet: the same steps, with the Jacobian by complex steps
    for _ in range(a["steps"] if few else 0):
        (J,) = _jacobian_truth(h=found, W=W, b=b)
        gap = np.tanh(np.einsum("ij,bj->bi", W, found) + b) - found
        found = found + np.einsum("bij,bj->bi", np.linalg.inv(np.eye(len(b)) - J), gap)
    for n, start in enumerate(() if few else a["h"]):
        if len(b) == 1:
            found[n] = _bisect(W[0, 0], b[0], start[0])
            continue
        # 100 steps: far more than it takes; the last ones change nothing.
        z = np.arctanh(np.clip(start, -1 + 1e-12, 1 - 1e-12))
        for _ in range(100):  # z = artanh h, so that no step leaves (-1, 1)
            gap = z - np.tanh(z) @ W.T - b
            slope = np.eye(len(b)) - W * (1 - np.tanh(z) ** 2)
            z = z - np.linalg.lstsq(slope, gap, rcond=None)[0]
        found[n] = np.tanh(z)
    (J,) = _jacobian_truth(h=found, W=W, b=b)
    return found, np.array([_radius(each) for each in J])


def _bisect(w: float, b: float, start: float) -> float:
    """The root of artanh h - w h - b in the piece of (-1, 1), between turns, that holds start."""
    turn = np.sqrt(1 - 1 / w) if w > 1 else 0.0
    edges = [-1 + 1e-16, -turn, turn, 1 - 1e-16] if w > 1 else [-1 + 1e-16, 1 - 1e-16]
    low, high = next((one, two) for one, two in itertools.pairwise(edges) if one <= start <= two)
    rising = np.arctanh(high) - w * high > np.arctanh(low) - w * low
    for _ in range(200):
        middle = (low + high) / 2
        above = np.arctanh(middle) - w * middle > b
        low, high = (low, middle) if above == rising else (middle, high)
    return (low + high) / 2


def _saddle_truth(w: np.ndarray) -> Arrays:
    """Bisection on the slope of b(h), taken by a complex step."""
    w = np.asarray(w, np.float64)
    low, high = np.zeros(w.shape), np.ones(w.shape) - 1e-12
    for _ in range(200):
        middle = (low + high) / 2
        moved = middle + 1j * STEP
        falling = (np.arctanh(moved) - w * moved).imag < 0
        low, high = np.where(falling, middle, low), np.where(falling, high, middle)
    h = (low + high) / 2
    return h, 0.5 * np.log((1 + h) / (1 - h)) - w * h


def _lyapunov_truth(**args: Any) -> Arrays:
    """Complex steps through blocks of 20 steps: the map itself carries the displacement."""
    a = double(**args)
    W, b, steps = a["W"], a["b"], a["T"]
    h, total = a["h0"], np.zeros(len(a["h0"]))
    v = a["v"] / np.sqrt((a["v"] ** 2).sum(axis=1, keepdims=True))
    done = 0
    while done < steps:
        block = min(20, steps - done)
        moved = h + 1e-60j * v
        for _ in range(block):
            moved = np.tanh(np.einsum("ij,bj->bi", W, moved) + b)
        h, v = moved.real, moved.imag / 1e-60
        size = np.sqrt((v**2).sum(axis=1, keepdims=True))
        total += np.log(size[:, 0])
        v, done = v / size, done + block
    return (total / steps,)


def _memory_truth(h: np.ndarray, x: np.ndarray, K: int) -> Arrays:
    """The length of a projection: the past, centred, on an orthonormal basis of the states."""
    h, x = np.asarray(h, np.float64), np.asarray(x, np.float64)
    basis = np.linalg.qr(h[K - 1 :] - h[K - 1 :].mean(axis=0))[0]
    r2 = []
    for k in range(K):
        past = x[K - 1 - k : len(x) - k]
        past = past - past.mean()
        r2.append(((basis.T @ past) ** 2).sum() / (past**2).sum())
    return (np.array(r2),)


def _ridge_truth(h: np.ndarray, y: np.ndarray, penalty: float) -> Arrays:
    """Plain least squares with one row more for each weight, and a column of ones for c."""
    h, y = np.asarray(h, np.float64), np.asarray(y, np.float64)
    width = h.shape[1]
    rows = np.block(
        [
            [h, np.ones((len(h), 1))],
            [np.sqrt(penalty) * np.eye(width), np.zeros((width, 1))],
        ]
    )
    targets = np.concatenate([y, np.zeros((width, y.shape[1]))])
    weights = np.linalg.lstsq(rows, targets, rcond=None)[0]
    return weights[:-1].T, weights[-1]


def _orbits_truth(**args: Any) -> Arrays:
    """Each orbit alone, with its own matrix g W, in NumPy."""
    args.pop("also", None)
    a = double(**args)
    push = np.broadcast_to(a["b"], (a["T"], 1, len(a["b"])))
    each = [
        _sweeps(push, start[None], g * a["W"]) for start, g in zip(a["h0"], a["gain"], strict=True)
    ]
    return (np.concatenate(each, axis=1),)


# Cases.


@varied(H=H)
def _orbit_cases(rng: np.random.Generator) -> list[Case]:
    alone, still = _free(rng), _free(rng)
    alone["W"] = np.zeros((H, H))
    still["b"] = np.zeros(H)
    turn = {**_free(rng), "b": np.zeros(H)}
    turn["W"] = np.roll(np.eye(H), 1, axis=0)
    return [
        Case("b alone", "probes", alone, "W = 0: every state is tanh(b)"),
        Case(
            "a ring",
            "probes",
            turn,
            "no bias; W hands each unit's state to the next unit, the last one's to the first",
        ),
        Case("W h alone", "probes", still, "no bias: h(1) = tanh(W h(0)), and so on"),
        *_usual(_free, rng, {"h0": 0}),
    ]


@varied(D=D, H=H)
def _driven_cases(rng: np.random.Generator) -> list[Case]:
    drawn = _pushed(rng)

    def only(*kept: str) -> dict[str, Any]:
        return {name: a if name in kept else np.zeros_like(a) for name, a in drawn.items()}

    return [
        Case("U x alone", "probes", only("x", "U"), "no state, no bias: h(t) = tanh(U x(t))"),
        Case("b alone", "probes", only("b"), "h(t) = tanh(b), at every step"),
        Case("W h alone", "probes", only("h0", "W"), "no input, no bias: h(1) = tanh(W h(0)), ..."),
        *_usual(_pushed, rng, {"x": 1, "h0": 0}),
    ]


def _at_states(rng: np.random.Generator, batch: int = B) -> dict[str, Any]:
    drawn = _free(rng, batch=batch)
    return {"h": drawn["h0"], "W": drawn["W"], "b": drawn["b"]}


@varied(H=H)
def _jacobian_cases(rng: np.random.Generator) -> list[Case]:
    origin = {**_at_states(rng), "h": np.zeros((B, H)), "b": np.zeros(H)}
    slope = {**_at_states(rng), "W": np.eye(H)}
    rested = {**_at_states(rng), "h": np.zeros((B, H))}
    return [
        Case("at the origin", "probes", origin, "h = 0 and b = 0: every slope is 1, and J = W"),
        Case("W = I", "probes", slope, "J is diagonal, with the slopes 1 - tanh(h + b)²"),
        Case(
            "b alone in the slope", "probes", rested, "h = 0: the slope of unit i is 1 - tanh²(b)"
        ),
        *_usual(_at_states, rng, {"h": 0}, over_time=False),
    ]


def _near_corner(rng: np.random.Generator, batch: int = B) -> dict[str, Any]:
    """Units that each rest high or low, weakly coupled; starts near some of those corners."""
    corners = rng.permutation(2**H)[:batch]
    signs = np.where((corners[:, None] >> np.arange(H)) & 1, 1.0, -1.0)
    W = np.diag(rng.uniform(1.7, 2.3, H)) + rng.uniform(-0.08, 0.08, (H, H))
    return {
        "h": signs * rng.uniform(0.9, 0.97, (batch, H)),
        "W": W,
        "b": rng.uniform(-0.08, 0.08, H),
        "steps": 30,
    }


def _newton_cases(rng: np.random.Generator) -> list[Case]:
    w = rng.uniform(1.6, 2.4)
    one = {
        "h": np.array([[0.93], [0.02], [-0.95]]),
        "W": np.array([[w]]),
        "b": rng.uniform(0.02, 0.1, 1),
        "steps": 30,
    }
    flip = {
        "h": np.array([[0.1], [0.3]]),
        "W": np.array([[-w]]),
        "b": rng.uniform(0.1, 0.3, 1),
        "steps": 30,
    }
    middle = {**_near_corner(rng), "h": rng.uniform(-0.05, 0.05, (B, H))}
    turned = {
        "h": rng.uniform(-0.1, 0.1, (B, 2)),
        "W": 1.3 * np.array([[0.6, -0.8], [0.8, 0.6]]),
        "b": rng.uniform(-0.1, 0.1, 2),
        "steps": 30,
    }
    here = {**_at_states(rng), "steps": 0}
    (mine,) = rng.spawn(1)  # what is drawn from the other stays as it was
    Q = np.linalg.qr(mine.normal(size=(H, H)))[0]
    negative = {
        "h": mine.uniform(-0.1, 0.1, (B, H)),
        "W": Q * np.array([-1.6, 0.7, 0.4, -0.3]) @ Q.T,
        "b": mine.uniform(-0.1, 0.1, H),
        "steps": 0,
    }
    return [
        Case(
            "no step",
            "probes",
            here,
            "steps = 0: h comes back as it was, and radius is that of the Jacobian at h",
        ),
        Case(
            "two steps",
            "probes",
            {**_near_corner(rng), "steps": 2},
            "steps = 2, so not yet at rest: each step takes gap and Jacobian at the latest h",
        ),
        Case(
            "one unit, three fixed points",
            "probes",
            one,
            "w > 1: started near each, also the repelling one in the middle",
        ),
        Case(
            "one unit, w < -1",
            "probes",
            flip,
            "a single fixed point; it repels, with a negative slope",
        ),
        Case(
            "complex eigenvalues",
            "probes",
            turned,
            "a rotation: the eigenvalues of J are complex, and radius is their modulus",
        ),
        Case(
            "a negative eigenvalue leads",
            "probes",
            negative,
            "steps = 0; the eigenvalues of J are near -1.6, 0.7, 0.4 and -0.3: radius is near 1.6",
        ),
        Case("the middle", "probes", middle, "four units, started near the repelling one at 0"),
        *_usual(_near_corner, rng, {"h": 0}, over_time=False),
    ]


def _saddle_cases(rng: np.random.Generator) -> list[Case]:
    w = 1 + rng.exponential(1.0, 7)
    return [
        Case("w = 2 and 4", "probes", {"w": np.array([2.0, 4.0])}, "h = √½ and √¾"),
        Case(
            "just above 1", "probes", {"w": np.array([1.0001, 1.01])}, "h and b go to 0 with w - 1"
        ),
        Case("random input", "values", {"w": w}, "seven values of w"),
        Case("N = 1", "properties", {"w": w[:1]}, "one value keeps its axis"),
        Case("large w", "properties", {"w": np.array([10.0, 200.0])}, "h near 1, b far below 0"),
        Case(
            "float32 in", "properties", {"w": np.array([1.5, 4.0], np.float32)}, "single precision"
        ),
    ]


def _carried(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    """h0, v, W, b, T, with W not far from orthogonal, so that no displacement dies of rounding."""
    free = _free(rng, steps, batch)
    Q = np.linalg.qr(rng.normal(size=(H, H)))[0]
    return {
        "h0": free["h0"],
        "v": rng.normal(0, 3.0, (batch, H)),
        "W": 1.2 * Q + rng.uniform(-0.1, 0.1, (H, H)),
        "b": free["b"],
        "T": steps,
    }


@varied(H=H)
def _lyapunov_cases(rng: np.random.Generator) -> list[Case]:
    Q = np.linalg.qr(rng.normal(size=(H, H)))[0]
    origin = {**_carried(rng), "h0": np.zeros((B, H)), "b": np.zeros(H), "W": 1.5 * Q}
    slope = {**_carried(rng), "W": np.eye(H)}
    long = {**origin, "W": 3.0 * Q, "T": 1500}
    short = {**origin, "W": 0.2 * Q, "T": 1500}
    return [
        Case(
            "at the origin",
            "probes",
            origin,
            "h stays 0, W is 1.5 times orthogonal: every step multiplies a length by 1.5",
        ),
        Case("one step", "probes", _carried(rng, steps=1), "T = 1: log of |J v| / |v|"),
        Case("W = I", "probes", slope, "each unit by itself: v is multiplied by 1 - h(t)²"),
        Case("a thousand steps, growing", "properties", long, "3 to the 1500 is no float: rescale"),
        Case("a thousand steps, shrinking", "properties", short, "0.2 to the 1500 is 0: rescale"),
        *_usual(_carried, rng, {"h0": 0, "v": 0}),
    ]


def _run_of(rng: np.random.Generator, steps: int, width: int = H) -> tuple[np.ndarray, np.ndarray]:
    """States of a small driven network, and its input."""
    x = rng.uniform(-1, 1, steps)
    W = 0.8 * np.linalg.qr(rng.normal(size=(width, width)))[0]
    U, state, states = rng.uniform(-0.5, 0.5, width), np.zeros(width), []
    for t in range(steps):
        state = np.tanh(W @ state + U * x[t])
        states.append(state)
    return np.array(states), x


def _memory_cases(rng: np.random.Generator) -> list[Case]:
    x = rng.uniform(-1, 1, 40)
    padded = np.concatenate([np.zeros(3), x])
    line = np.stack([padded[3 - k : 43 - k] for k in range(4)], axis=1)
    h, signal = _run_of(rng, 60)
    other, quiet = _run_of(rng, 60)
    return [
        Case(
            "a delay line",
            "probes",
            {"h": line, "x": x, "K": 6},
            "unit j holds x(t-j), j = 0 to 3: r² is 1 up to lag 3, and chance beyond",
        ),
        Case(
            "a constant to add",
            "probes",
            {"h": line[:, :2] + 5.0, "x": x + 3.0, "K": 3},
            "h and x have means far from 0: the linear function has a constant",
        ),
        Case(
            "lag 0 alone", "probes", {"h": h[:25], "x": signal[:25], "K": 1}, "K = 1: all 25 steps"
        ),
        Case("random input", "values", {"h": h, "x": signal, "K": 6}, "T = 60, K = 6"),
        Case("another length", "properties", {"h": h[:37], "x": signal[:37], "K": 5}, "T = 37"),
        Case(
            "another scale",
            "properties",
            {"h": 100.0 * other, "x": 0.01 * quiet, "K": 6},
            "r² has no unit: scaling h or x changes nothing",
        ),
        Case(
            "float32 in",
            "properties",
            # Not a run's states: they are nearly dependent, and normal equations square that.
            single({"h": line + 0.5, "x": x, "K": 5}),
            "the delay line in single precision",
        ),
    ]


def _examples(rng: np.random.Generator, rows: int = 15, penalty: float = 2.0) -> dict[str, Any]:
    h = rng.normal(size=(rows, H)) + rng.normal(size=H)
    return {"h": h, "y": rng.normal(size=(rows, 3)) + 2.0, "penalty": penalty}


@varied(H=H, K=3)
def _ridge_cases(rng: np.random.Generator) -> list[Case]:
    exact = _examples(rng, penalty=0.0)
    exact["y"] = exact["h"] @ rng.normal(size=(H, 3)) + rng.normal(size=3)
    centred = _examples(rng)
    centred["h"] = centred["h"] - centred["h"].mean(axis=0)
    return [
        Case("no penalty", "probes", exact, "penalty = 0 and y is linear in h: V and c are found"),
        Case("centred", "probes", centred, "the states have mean 0, so c is the mean of y"),
        Case(
            "a heavy penalty",
            "probes",
            _examples(rng, penalty=1e3),
            "V is almost 0, and c almost the mean of y: c is not penalised",
        ),
        Case("random input", "values", _examples(rng), "N = 15, K = 3, penalty = 2"),
        Case("more rows", "properties", _examples(rng, rows=40), "N = 40: the loss is a sum"),
        Case(
            "fewer rows than weights",
            "properties",
            _examples(rng, rows=3),
            "N = 3, H = 4: without the penalty there is no unique answer, with it there is",
        ),
        Case("float32 in", "properties", single(_examples(rng)), "in single precision"),
    ]


def _many(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    free = _free(rng, steps, batch)
    return {
        "h0": free["h0"],
        "gain": rng.uniform(0.3, 1.8, batch),
        "W": free["W"],
        "b": free["b"],
        "T": steps,
    }


@varied(H=H)
def _orbits_cases(rng: np.random.Generator) -> list[Case]:
    ones, loose = _many(rng), _many(rng)
    ones["gain"] = np.ones(B)
    loose["b"] = np.zeros(H)
    nothing = {**_many(rng), "gain": np.zeros(B)}
    return [
        Case("gain 1", "probes", ones, "every gain is 1: this is exercise 1.1, in PyTorch"),
        Case("gain 0", "probes", nothing, "every gain is 0: h = tanh(b); the gain is not b's"),
        Case("no bias", "probes", loose, "b = 0: each orbit has its own gain"),
        *_usual(_many, rng, {"h0": 0, "gain": 0}),
        Case(
            "many orbits",
            "properties",
            {**_many(rng, steps=3, batch=257), "also": "count the lines"},
            "B = 257, T = 3: all orbits at once, with no loop over them",
        ),
        elsewhere(_many(rng)),
    ]


CHAPTER = Chapter(
    name="dynamics",
    number=1,
    title="Dynamical systems",
    page="01-dynamics",
    exercises=(
        Exercise(
            "dynamics.orbit",
            "1.1",
            "An orbit",
            "(1.1), (1.3)",
            2,
            (Output("h", STATES),),
            _orbit_cases,
            _orbit_truth,
        ),
        Exercise(
            "dynamics.driven",
            "1.2",
            "An orbit with a signal",
            "(1.2), (1.3)",
            2,
            (Output("h", STATES),),
            _driven_cases,
            _driven_truth,
        ),
        Exercise(
            "dynamics.jacobian",
            "1.3",
            "The Jacobian",
            "(1.6)",
            3,
            (Output("J", ("B", "H", "H")),),
            _jacobian_cases,
            _jacobian_truth,
        ),
        Exercise(
            "dynamics.newton",
            "1.4",
            "Fixed points, and whether they hold",
            "(1.7), (1.8)",
            {"h": 3, "radius": 1},
            (Output("h", ("B", "H")), Output("radius", ("B",))),
            _newton_cases,
            _newton_truth,
            tolerance=Tolerance(1e-8, "float64, after 30 steps that each solve a linear system"),
        ),
        Exercise(
            "dynamics.saddle_node",
            "1.5",
            "Where fixed points are born",
            "(1.9), (1.11)",
            2,
            (Output("h", ("N",)), Output("b", ("N",))),
            _saddle_cases,
            _saddle_truth,
        ),
        Exercise(
            "dynamics.lyapunov",
            "1.6",
            "The Lyapunov exponent",
            "(1.16)",
            3,
            (Output("lam", ("B",)),),
            _lyapunov_cases,
            _lyapunov_truth,
        ),
        Exercise(
            "dynamics.memory",
            "1.7",
            "What a state remembers",
            "(1.23)",
            3,
            (Output("r2", ("L",)),),
            _memory_cases,
            _memory_truth,
            tolerance=Tolerance(1e-7, "float64, normal equations square the condition number"),
        ),
        Exercise(
            "dynamics.ridge",
            "1.8",
            "A read-out",
            "(1.25)",
            3,
            (Output("V", ("K", "H")), Output("c", ("K",))),
            _ridge_cases,
            _ridge_truth,
            tolerance=Tolerance(1e-7, "float64, normal equations square the condition number"),
        ),
        Exercise(
            "dynamics.orbits",
            "1.9",
            "Ten thousand orbits at once",
            "(1.26)",
            3,
            (Output("h", STATES),),
            _orbits_cases,
            _orbits_truth,
            run=run_orbits,
            uses_torch=True,
        ),
    ),
    questions=(Question("dynamics.explain", "1.10", "When is a saturated unit a memory?", 3),),
)
