"""Chapter 4: the experiments of its sections 1 to 6, and their drawings.

Every experiment is a function that returns numbers, every figure a function that draws them:
`draw_independence(independence())`.  Networks are those of `solutions.taxonomy` or their torch
twins; equation numbers are those of the chapter.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course import figures
from figures.bptt import difference, median_seconds, orthogonal
from figures.tables import Table, power
from solutions import bptt
from solutions.taxonomy import (
    bidirectional,
    closed_loop,
    deep,
    log_likelihood,
    readout_grad,
    scheduled,
    teacher_forced,
    vector_to_sequence,
)

BLUE, VERMILION, GREEN = (figures.PALETTE[name] for name in ("blue", "vermilion", "green"))
PURPLE, OCHRE, SKY = (figures.PALETTE[name] for name in ("purple", "ochre", "sky"))

Weights = dict[str, torch.Tensor]
Data = tuple[np.ndarray, np.ndarray, np.ndarray]


# ------------------------------------------------------------------------- training, in torch


def weights(seed: int, letters: str, D: int, H: int, K: int) -> Weights:
    """Return weights by their letters, to be learned; W is orthogonal, biases are zero."""
    rng = np.random.default_rng(seed)
    shapes = {"U": (H, D), "R": (H, D), "F": (H, K), "b": (H,), "V": (K, H), "c": (K,)}
    made = {}
    for name in letters:
        if name == "W":
            value = 0.9 * orthogonal(rng, H)
        elif name in "bc":
            value = np.zeros(shapes[name])
        else:
            value = rng.normal(0, shapes[name][1] ** -0.5, shapes[name])
        made[name] = torch.tensor(value, dtype=torch.float32, requires_grad=True)
    return made


def network(p: Weights, x: torch.Tensor, fed: torch.Tensor | None = None) -> torch.Tensor:
    """Return o : (T, B, K) for x : (T, B, D) and one-hot previous outputs, fed : (T, B, K).

    The letters of p say which network it is: W for a state that is handed on, F for feedback.
    """
    driven = x @ p["U"].T + p["b"]
    if "F" in p:
        driven = driven + fed @ p["F"].T
    if "W" not in p:
        return torch.tanh(driven) @ p["V"].T + p["c"]  # every step at once
    states, h = [], torch.zeros(x.shape[1], len(p["b"]))
    for step in driven:
        h = torch.tanh(step + h @ p["W"].T)
        states.append(h)
    return torch.stack(states) @ p["V"].T + p["c"]


def fit(
    p: Sequence[torch.Tensor], loss: Callable[[int], torch.Tensor], updates: int, rate: float = 0.01
) -> list[float]:
    """Minimize loss(update) with Adam, its rate falling to zero; return the losses met."""
    optimizer = torch.optim.Adam(p, lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 - i / updates)
    curve = []
    for i in range(updates):
        optimizer.zero_grad()
        value = loss(i)
        value.backward()
        torch.nn.utils.clip_grad_norm_(p, 1.0)
        optimizer.step()
        schedule.step()
        curve.append(float(value.detach()))
    return curve


def one_hot(y: np.ndarray, K: int) -> torch.Tensor:
    """Return y as float32 one-hot vectors along a new last axis."""
    return torch.from_numpy(np.eye(K, dtype=np.float32)[y])


def before(y0: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the outputs one step earlier, (T, B): y0 in front, the last one left out."""
    return np.concatenate([y0[None], y[:-1]])


def nll(o: torch.Tensor, y: np.ndarray) -> torch.Tensor:
    """Return the negative log-likelihood of each step and sequence, (T, B)."""
    return torch.nn.functional.cross_entropy(
        o.movedim(-1, 1), torch.from_numpy(y), reduction="none"
    )


def entropy(p: Sequence[float]) -> float:
    """Return the entropy of a distribution, in nats."""
    return float(-sum(q * np.log(q) for q in p if q > 0))


# ------------------------------------------------------- 1 and 5: outputs that hang together


def walk(
    rng: np.random.Generator, T: int, B: int, K: int = 4, slip: float = 0.1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a walk on a ring of K places: x says the way, y is the place.

    x : (T, B, 2), one-hot, forward or back; y0 : (B,), zeros, which say nothing; y : (T, B).  The
    first place is drawn uniformly; each later one is that of x with probability 1 - slip, else one
    of the others.
    """
    way = rng.integers(0, 2, (T, B))
    y = np.empty((T, B), dtype=np.int64)
    y[0] = rng.integers(0, K, B)
    for t in range(1, T):
        other = rng.integers(1, K, B) * (rng.random(B) < slip)
        y[t] = (y[t - 1] + 2 * way[t] - 1 + other) % K
    return np.eye(2)[way], np.zeros(B, dtype=np.int64), y


class Independence(NamedTuple):
    """Three wirings on one task whose outputs depend on one another.

    names; curves : (3, n), nats a sequence; held_out : (3,), nats a sequence on new data;
    follows : (3,), share of moves in their samples that go where x says;
    marginals, joint : the two bounds, nats; updates : (n,)
    """

    names: tuple[str, ...]
    curves: np.ndarray
    held_out: np.ndarray
    follows: np.ndarray
    marginals: float
    joint: float
    updates: np.ndarray


WALKERS = {
    "state only": "UWbVc",
    "output only": "UFbVc",
    "state and output": "UFWbVc",
}


def independence(T: int = 6, K: int = 4, updates: int = 500, H: int = 24) -> Independence:
    """Train the three wirings, teacher-forced where outputs are fed back."""
    moves = entropy([0.9, *[0.1 / 3] * 3])
    curves, held_out, follows = [], [], []
    for letters in WALKERS.values():
        rng = np.random.default_rng(4)
        p = weights(1, letters, 2, H, K)

        def loss(i: int, rng=rng, p=p) -> torch.Tensor:
            x, y0, y = walk(rng, T, 128)
            o = network(p, torch.from_numpy(x).float(), fed_from(y0, y, K))
            return nll(o, y).sum(0).mean()

        curves.append(fit(list(p.values()), loss, updates))
        x, y0, y = walk(np.random.default_rng(5), T, 4000)
        with torch.no_grad():
            o = network(p, torch.from_numpy(x).float(), fed_from(y0, y, K))
            held_out.append(float(nll(o, y).sum(0).mean()))
        drawn = sample(np.random.default_rng(6), p, x)
        move = (np.diff(drawn, axis=0) - (2 * x[1:, :, 1] - 1)) % K
        follows.append(float((move == 0).mean()))
    return Independence(
        tuple(WALKERS),
        np.array(curves),
        np.array(held_out),
        np.array(follows),
        T * np.log(K),
        np.log(K) + (T - 1) * moves,
        np.arange(1, updates + 1),
    )


def fed_from(y0: np.ndarray, y: np.ndarray, K: int) -> torch.Tensor:
    """Return what teacher forcing feeds, one-hot; nothing at the first step."""
    fed = one_hot(before(y0, y), K)
    fed[0] = 0.0
    return fed


def sample(rng: np.random.Generator, p: Weights, x: np.ndarray) -> np.ndarray:
    """Draw outputs from a network, step by step, its own draws fed back; (T, B)."""
    K = len(p["c"])
    inputs = torch.from_numpy(x).float()
    y = np.zeros(x.shape[:2], dtype=np.int64)
    for t in range(len(x)):  # T runs over the whole past: slow, and the same function
        with torch.no_grad():
            o = network(p, inputs[: t + 1], fed_from(y[0], y[: t + 1], K))[-1]
        cumulative = torch.softmax(o, -1).numpy().cumsum(-1)
        y[t] = (cumulative < rng.random(len(o))[:, None] * cumulative[:, -1:]).sum(-1)
    return y


def draw_independence(data: Independence) -> Figure:
    """Draw the learning curves with the two bounds."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.6, 3.4))
    width = 10  # updates to average over
    for name, curve, colour in zip(data.names, data.curves, (VERMILION, GREEN, BLUE), strict=True):
        smooth = np.convolve(curve, np.full(width, 1 / width), "valid")
        ax.plot(data.updates[width - 1 :], smooth, lw=1.5, color=colour, label=name)
    ax.axhline(data.marginals, ls="--", lw=1, color=figures.FOREGROUND)
    ax.axhline(data.joint, ls="--", lw=1, color=figures.FOREGROUND)
    ax.text(data.updates[-1], data.marginals + 0.1, "sum of the marginal entropies", ha="right")
    ax.text(data.updates[-1], data.joint - 0.3, "joint entropy", ha="right", va="top")
    ax.set(xlabel="update", ylabel="nats a sequence", ylim=(2.4, 9.6))
    ax.legend(loc="upper right", bbox_to_anchor=(1, 0.78))
    return fig


def table_independence(data: Independence) -> Table:
    """Return held-out losses and what samples look like."""
    best = (data.marginals, data.joint, data.joint)
    chance = (0.25, 0.9, 0.9)
    rows = [
        [n, f"{b:.2f}", f"{v:.2f}", f"{c:.2f}", f"{f:.2f}"]
        for n, b, v, c, f in zip(data.names, best, data.held_out, chance, data.follows, strict=True)
    ]
    return Table(
        [
            "what is handed on",
            "best possible, nats",
            "held out, nats",
            "moves as x says, predicted",
            "in its samples",
        ],
        rows,
    )


# ----------------------------------------------------------------- 2: recurrence from the output


def say_it_later(
    rng: np.random.Generator, T: int, B: int, K: int = 4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a task that needs memory beyond the output: wait, then say what came first.

    x : (T, B, K + 1), the symbol at step 1, nothing, and "now" at step T; y0 : (B,), class K;
    y : (T, B), class K means "wait", until step T, which wants the symbol.
    """
    symbol = rng.integers(0, K, B)
    x = np.zeros((T, B, K + 1))
    x[0, np.arange(B), symbol] = 1.0
    x[-1, :, K] = 1.0
    y = np.full((T, B), K, dtype=np.int64)
    y[-1] = symbol
    return x, np.full(B, K, dtype=np.int64), y


class Memory(NamedTuple):
    """Two wirings on `say_it_later`: accuracy and loss of the last step, held out."""

    names: tuple[str, ...]
    accuracy: np.ndarray
    loss: np.ndarray


def memory(T: int = 6, K: int = 4, updates: int = 300, H: int = 24) -> Memory:
    """Train recurrence from the output and recurrence from the state on one task."""
    accuracy, losses = [], []
    for letters in ("UFbVc", "UWbVc"):
        rng = np.random.default_rng(7)
        p = weights(2, letters, K + 1, H, K + 1)

        def loss(i: int, rng=rng, p=p) -> torch.Tensor:
            x, y0, y = say_it_later(rng, T, 64)
            o = network(p, torch.from_numpy(x).float(), one_hot(before(y0, y), K + 1))
            return nll(o, y).sum(0).mean()

        fit(list(p.values()), loss, updates)
        x, y0, y = say_it_later(np.random.default_rng(8), T, 4000)
        with torch.no_grad():
            o = network(p, torch.from_numpy(x).float(), one_hot(before(y0, y), K + 1))[-1]
        accuracy.append(float((o.argmax(-1).numpy() == y[-1]).mean()))
        losses.append(float(nll(o[None], y[-1:]).mean()))
    return Memory(("from the output only", "from the state"), np.array(accuracy), np.array(losses))


def table_memory(data: Memory, K: int = 4) -> Table:
    """Return the table of `memory`."""
    best = ((1 / K, np.log(K)), (1.0, 0.0))
    rows = [
        [name, f"{a:.2f}", f"{acc:.3f}", f"{loss:.2f}", f"{value:.3f}"]
        for name, (a, loss), acc, value in zip(
            data.names, best, data.accuracy, data.loss, strict=True
        )
    ]
    head = ["recurrence", "best accuracy", "accuracy", "best loss, nats", "loss, nats"]
    return Table(head, rows)


class Parallel(NamedTuple):
    """Time of one forward and backward pass under teacher forcing, in seconds.

    steps : (n,); at_once, in_a_row : (n,)
    """

    steps: np.ndarray
    at_once: np.ndarray
    in_a_row: np.ndarray


def forced_gradient(
    x: np.ndarray, y0: np.ndarray, y: np.ndarray, p: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the gradients of the summed loss for the output-recurrent network, by (4.6)."""
    h, o = teacher_forced(x, y0, y, **p)
    do = bptt.grad_o(o, y, np.ones(y.shape))
    da = (do @ p["V"]) * (1 - h * h)  # no road from a later step
    fed = np.eye(p["F"].shape[1])[before(y0, y)]

    def outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])

    return {
        "U": outer(da, x),
        "F": outer(da, fed),
        "b": da.sum((0, 1)),
        "V": outer(do, h),
        "c": do.sum((0, 1)),
    }


def small(seed: int = 0, D: int = 3, H: int = 4, K: int = 5) -> dict[str, np.ndarray]:
    """Return small random weights of the output-recurrent network, in the order of arguments."""
    rng = np.random.default_rng(seed)
    shapes = {"U": (H, D), "F": (H, K), "b": (H,), "V": (K, H), "c": (K,)}
    return {name: rng.normal(0, 0.6, shape) for name, shape in shapes.items()}


def parallel(lengths: Sequence[int] = (16, 32, 64, 128, 256), B: int = 8) -> Parallel:
    """Time the gradient of the output-recurrent network: all steps at once, and one by one."""
    p = small(1, 8, 32, 8)
    rng = np.random.default_rng(9)
    runs: list[Callable[[], object]] = []
    for T in lengths:
        x, y = rng.normal(size=(T, B, 8)), rng.integers(0, 8, (T, B))
        start = y[0] * 0

        def at_once(x=x, y=y, start=start) -> object:
            return forced_gradient(x, start, y, p)

        def in_a_row(x=x, y=y, start=start) -> object:
            fed, total = start, None
            for t in range(len(x)):
                found = forced_gradient(x[t : t + 1], fed, y[t : t + 1], p)
                total = found if total is None else {k: total[k] + found[k] for k in total}
                fed = y[t]
            return total

        runs += [at_once, in_a_row]
    seconds = median_seconds(runs, rounds=15).reshape(len(lengths), 2)
    return Parallel(np.array(lengths), seconds[:, 0], seconds[:, 1])


def draw_parallel(data: Parallel) -> Figure:
    """Draw both times against the length."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.2, 3.2))
    ax.loglog(data.steps, data.in_a_row * 1e3, "o-", ms=4, color=VERMILION, label="step by step")
    ax.loglog(data.steps, data.at_once * 1e3, "o-", ms=4, color=BLUE, label="all steps at once")
    ax.set(xlabel="length τ", ylabel="processor time, ms", xticks=data.steps)
    ax.set_xticklabels([str(n) for n in data.steps])
    ax.minorticks_off()
    ax.legend()
    ax.grid(True)
    return fig


STAY, RIGHT = 0.9, 0.8
"""The task `sticky`: the probability that the symbol stays, and that it is seen as it is."""


def sticky(rng: np.random.Generator, T: int, B: int, K: int = 4) -> Data:
    """Return a symbol that mostly stays, seen through noise.

    x : (T, B, K), one-hot; y0 : (B,), the true symbol before step 1; y : (T, B).
    """
    y = np.empty((T + 1, B), dtype=np.int64)
    y[0] = rng.integers(0, K, B)
    for t in range(T):
        other = (y[t] + rng.integers(1, K, B)) % K
        y[t + 1] = np.where(rng.random(B) < STAY, y[t], other)
    wrong = (y[1:] + rng.integers(1, K, (T, B))) % K
    seen = np.where(rng.random((T, B)) < RIGHT, y[1:], wrong)
    return np.eye(K)[seen], y[0], y[1:]


def drift(steps: np.ndarray, K: int = 4) -> np.ndarray:
    """Return (4.8): the error of a free run that says again what it said before."""
    return (K - 1) / K * (1 - (1 - (1 - STAY) * K / (K - 1)) ** steps)


def filtered(x: np.ndarray, y0: np.ndarray) -> np.ndarray:
    """Return the most probable symbol of each step given y0 and all x so far, (T, B): Bayes."""
    K = x.shape[-1]
    move = np.full((K, K), (1 - STAY) / (K - 1)) + np.eye(K) * (STAY - (1 - STAY) / (K - 1))
    see = np.full((K, K), (1 - RIGHT) / (K - 1)) + np.eye(K) * (RIGHT - (1 - RIGHT) / (K - 1))
    belief, found = np.eye(K)[y0], []
    for seen in x:
        belief = (belief @ move) * (seen @ see)
        belief = belief / belief.sum(-1, keepdims=True)
        found.append(belief.argmax(-1))
    return np.stack(found)


def curriculum(kind: str, i: int, updates: int) -> float:
    """Return epsilon for an update: the share of true outputs that go in."""
    if kind == "scheduled":
        k = updates / 10  # (4.10): halfway at update k log k, below 0.01 soon after
        return float(k / (k + np.exp(i / k)))
    return 1.0


KINDS = ("teacher forcing", "half of the batch free", "scheduled sampling")


def train_sticky(
    kind: str, seed: int, updates: int = 1500, rate: float = 4.0, K: int = 4, H: int = 16
) -> dict[str, np.ndarray]:
    """Train the output-recurrent network; `kind` is one of KINDS.  Return its weights."""
    rng = np.random.default_rng(seed)
    T, B = 20, 64
    p = {
        "U": rng.normal(0, 0.3, (H, K)),
        "F": rng.normal(0, 0.3, (H, K)),
        "b": np.zeros(H),
        "V": rng.normal(0, 0.3, (K, H)),
        "c": np.zeros(K),
    }
    for i in range(updates):
        x, y0, y = sticky(rng, T, B)
        u = rng.random((T, B))
        if kind == KINDS[1]:
            u[:, : B // 2], epsilon = 1.0, 0.5  # these sequences never get a true output
            u[:, B // 2 :] = 0.0
        else:
            epsilon = curriculum(kind.split()[0], i, updates)
        fed = y
        if epsilon < 1:
            own = scheduled(x, y0, y, u, epsilon, **p).argmax(-1)
            fed = np.concatenate([np.where(u[1:] < epsilon, y[:-1], own[:-1]), y[-1:]])
        h, o = teacher_forced(x, y0, fed, **p)
        do = bptt.grad_o(o, y, np.full(y.shape, 1 / y.size))
        da = (do @ p["V"]) * (1 - h * h)  # (4.6)
        onehot = np.eye(K)[before(y0, fed)]
        p = {
            "U": p["U"] - rate * np.tensordot(da, x, ([0, 1], [0, 1])),
            "F": p["F"] - rate * np.tensordot(da, onehot, ([0, 1], [0, 1])),
            "b": p["b"] - rate * da.sum((0, 1)),
            "V": p["V"] - rate * np.tensordot(do, h, ([0, 1], [0, 1])),
            "c": p["c"] - rate * do.sum((0, 1)),
        }
    return p


class FreeRun(NamedTuple):
    """Errors on held-out sequences, by step.

    steps : (n,); closed : (kinds, n), in closed loop; open_ : (kinds,), true outputs fed, mean;
    predicted : (n,), (4.8); filter : (n,), the best that any network can do
    """

    steps: np.ndarray
    closed: np.ndarray
    open_: np.ndarray
    predicted: np.ndarray
    filter: np.ndarray


def free_run(seeds: Sequence[int] = (0, 1), n: int = 40) -> FreeRun:
    """Train three ways, and run on held-out sequences with the loop open and closed."""
    x, y0, y = sticky(np.random.default_rng(99), n, 3000)
    closed, opened = [], []
    for kind in KINDS:
        found = [train_sticky(kind, seed) for seed in seeds]
        closed.append(
            np.mean([(closed_loop(x, y0, **p).argmax(-1) != y).mean(1) for p in found], axis=0)
        )
        opened.append(
            np.mean([(teacher_forced(x, y0, y, **p)[1].argmax(-1) != y).mean() for p in found])
        )
    steps = np.arange(1, n + 1)
    best = (filtered(x, y0) != y).mean(1)
    return FreeRun(steps, np.array(closed), np.array(opened), drift(steps), best)


def draw_free_run(data: FreeRun) -> Figure:
    """Draw the closed-loop error of each way to train against the step."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.6, 3.6))
    for kind, error, colour in zip(KINDS, data.closed, (VERMILION, OCHRE, BLUE), strict=True):
        ax.plot(data.steps, error, color=colour, label=kind)
    ax.plot(data.steps, data.predicted, "--", lw=1, color=figures.FOREGROUND, label="by (4.8)")
    ax.axhline(1 - RIGHT, ls=":", lw=1.2, color=figures.FOREGROUND, label="believe x alone")
    ax.plot(data.steps, data.filter, "-.", lw=1, color=figures.FOREGROUND, label="Bayes, all x")
    ax.set(xlabel="step of the free run", ylabel="share of wrong symbols", ylim=(0, 1.08))
    ax.legend(ncols=2, loc="upper left", fontsize=9)
    return fig


def table_free_run(data: FreeRun) -> Table:
    """Return open-loop and closed-loop errors."""
    rows = [
        [kind, f"{o:.3f}", f"{c.mean():.3f}", f"{c[0]:.3f}", f"{c[-1]:.3f}"]
        for kind, o, c in zip(KINDS, data.open_, data.closed, strict=True)
    ]
    last = data.filter
    rows.append(["Bayes, all x", "—", f"{last.mean():.3f}", f"{last[0]:.3f}", f"{last[-1]:.3f}"])
    return Table(["trained by", "open loop", "closed loop, mean", "at step 1", "at step 40"], rows)


class Copies(NamedTuple):
    """What scheduled sampling makes of two equal coins.

    epsilon : (n,); learned : (n,), the probability that step 2 repeats what it was fed;
    predicted : (n,), (4.11)
    """

    epsilon: np.ndarray
    learned: np.ndarray
    predicted: np.ndarray


def two_coins(seed: int = 0, updates: int = 500, B: int = 1024, rate: float = 0.3) -> Copies:
    """Train on y(1) a fair coin, y(2) = y(1), feeding step 2 a draw of its own with 1 - epsilon."""
    epsilon = np.linspace(0, 1, 6)
    learned = []
    for e in epsilon:
        rng = np.random.default_rng(seed)
        p = small(3, 1, 8, 2)
        x, y0 = np.zeros((2, B, 1)), np.zeros(B, dtype=np.int64)
        x[0] = 1.0  # it may know which step it is
        for _ in range(updates):
            y = np.repeat(rng.integers(0, 2, (1, B)), 2, axis=0)
            first = teacher_forced(x, y0, y, **p)[1][0]
            own = (rng.random(B) < 1 / (1 + np.exp(first[:, 0] - first[:, 1]))).astype(np.int64)
            fed = np.stack([np.where(rng.random(B) < e, y[0], own), y[1]])
            h, o = teacher_forced(x, y0, fed, **p)
            do = bptt.grad_o(o, y, np.full(y.shape, 1 / B))
            da = (do @ p["V"]) * (1 - h * h)
            onehot = np.eye(2)[before(y0, fed)]
            p = {
                "U": p["U"] - rate * np.tensordot(da, x, ([0, 1], [0, 1])),
                "F": p["F"] - rate * np.tensordot(da, onehot, ([0, 1], [0, 1])),
                "b": p["b"] - rate * da.sum((0, 1)),
                "V": p["V"] - rate * np.tensordot(do, h, ([0, 1], [0, 1])),
                "c": p["c"] - rate * do.sum((0, 1)),
            }
        both = np.array([[0, 1], [0, 1]])
        o = teacher_forced(x[:, :2], y0[:2], both, **p)[1][1]
        q = np.exp(o) / np.exp(o).sum(-1, keepdims=True)
        learned.append((q[0, 0] + q[1, 1]) / 2)
    return Copies(epsilon, np.array(learned), (1 + epsilon) / 2)


def draw_two_coins(data: Copies) -> Figure:
    """Draw the learned and the predicted probability against epsilon."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.0, 3.0))
    ax.plot(data.epsilon, data.predicted, "--", lw=1.2, color=figures.FOREGROUND, label="by (4.11)")
    ax.plot(data.epsilon, data.learned, "o", ms=6, color=BLUE, label="learned")
    ax.axhline(1, lw=1, ls=":", color=figures.FOREGROUND)
    ax.text(0, 0.985, "the truth", va="top")
    ax.set(xlabel="ε, share of true outputs fed", ylabel="P(y(2) = k | fed k)", ylim=(0.45, 1.05))
    ax.legend(loc="lower right")
    return fig


# --------------------------------------------------------------- 3: a sequence in, one vector out


class Roads(NamedTuple):
    """Length of the gradient at each state, for two summaries, as a multiple of that at q.

    steps : (n,); last, mean : (n,), means over a batch
    """

    steps: np.ndarray
    last: np.ndarray
    mean: np.ndarray


def roads(T: int = 40, B: int = 32, H: int = 32, gain: float = 0.9) -> Roads:
    """Carry a gradient at each summary back through time, in an untrained tanh network."""
    rng = np.random.default_rng(10)
    W = gain * orthogonal(rng, H)
    x = 0.3 * rng.normal(size=(T, B, H))
    h, _ = bptt.forward(
        x, np.zeros((B, H)), np.eye(H), W, np.zeros(H), np.zeros((1, H)), np.zeros(1)
    )
    mask, zero = np.ones((T, B)), np.zeros((B, H))
    dq = rng.normal(size=(B, H))

    def carried(dlast: np.ndarray, dmean: np.ndarray) -> np.ndarray:
        total = bptt.grad_h(readout_grad(dlast, dmean, mask), h, W, np.eye(H))
        return (np.linalg.norm(total, axis=-1) / np.linalg.norm(dq, axis=-1)).mean(1)

    return Roads(np.arange(1, T + 1), carried(dq, zero), carried(zero, dq))


def draw_roads(data: Roads) -> Figure:
    """Draw both lengths against the step."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.4, 3.2))
    ax.semilogy(data.steps, data.last, color=VERMILION, label="last state")
    ax.semilogy(data.steps, data.mean, color=BLUE, label="mean of all states")
    ax.axhline(1 / data.steps[-1], ls=":", lw=1, color=figures.FOREGROUND)
    ax.text(1, 0.9 / data.steps[-1], "1/τ", va="top")
    ax.set(xlabel="state of step t", ylabel="length of the gradient, at q it is 1")
    ax.legend(loc="lower right")
    return fig


def majority(
    rng: np.random.Generator, T: int, B: int, K: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sequences of unequal length and the symbol that each shows most often.

    x : (T, B, K), one-hot, padded with symbol 0, a real one; y : (B,); mask : (T, B).  Every length
    from 4 to T is as likely; the first of the most frequent symbols counts.
    """
    length = rng.integers(4, T + 1, B)
    mask = (np.arange(T)[:, None] < length).astype(float)
    symbols = rng.integers(0, K, (T, B)) * mask.astype(int)
    x = np.eye(K)[symbols]
    return x, (x * mask[..., None]).sum(0).argmax(-1), mask


def first_symbol(
    rng: np.random.Generator, T: int, B: int, K: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same kind of sequences, and the symbol that each began with."""
    x, _, mask = majority(rng, T, B, K)
    return x, x[0].argmax(-1), mask


class Summaries(NamedTuple):
    """Accuracy by task and read-out, held out: names, (n,), and accuracy, (n, 2)."""

    names: tuple[str, ...]
    accuracy: np.ndarray


SUMMARIES = ("last state", "the same network, but h[-1] is read", "mean of the states")


def summaries(T: int = 24, K: int = 3, updates: int = 250) -> Summaries:
    """Train with the last state and with the mean; also read the last state in the padding."""
    columns = []
    for task in (majority, first_symbol):
        last, padding = summarized(task, "last", T, K, updates)
        mean, _ = summarized(task, "mean", T, K, updates)
        columns.append([last, padding, mean])
    return Summaries(SUMMARIES, np.array(columns).T)


def summarized(
    task: Callable[..., Data], kind: str, T: int, K: int, updates: int, H: int = 24
) -> tuple[float, float]:
    """Train on one task with one read-out; return the accuracy, and that with h[-1] instead."""
    rng = np.random.default_rng(11)
    p = weights(3, "UWbVc", K, H, K)
    head = p.pop("V"), p.pop("c")
    identity = {"V": torch.eye(H), "c": torch.zeros(H)}

    def logits(x: np.ndarray, mask: np.ndarray, at_end: bool = False) -> torch.Tensor:
        h = network({**p, **identity}, torch.from_numpy(x).float())
        m = torch.from_numpy(mask).float()
        ends = m - torch.cat([m[1:], torch.zeros_like(m[:1])])
        share = ends if kind == "last" else m / m.sum(0)
        q = h[-1] if at_end else (share[..., None] * h).sum(0)  # (4.12)
        return q @ head[0].T + head[1]

    def loss(i: int) -> torch.Tensor:
        x, y, mask = task(rng, T, 64)
        return torch.nn.functional.cross_entropy(logits(x, mask), torch.from_numpy(y))

    fit([*p.values(), *head], loss, updates)
    x, y, mask = task(np.random.default_rng(12), T, 3000)
    with torch.no_grad():
        right, wrong = (
            float((logits(x, mask, at_end).argmax(-1).numpy() == y).mean())
            for at_end in (False, True)
        )
    return right, wrong


def table_summaries(data: Summaries) -> Table:
    """Return the table of `summaries`."""
    rows = [[n, *(f"{v:.3f}" for v in a)] for n, a in zip(data.names, data.accuracy, strict=True)]
    return Table(["summary", "most frequent symbol", "first symbol"], rows)


# ------------------------------------------------------------------- 6: both directions, depth


def twins_ahead(
    rng: np.random.Generator, T: int, B: int, K: int = 4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a tagging task that needs the future: is the next symbol the same as this one?

    symbols : (T, B), padded with symbol 0, a real one; y : (T, B), 0 or 1, 0 at the last step;
    lengths : (B,), from 4 to T.
    """
    lengths = rng.integers(4, T + 1, B)
    symbols = rng.integers(0, K, (T, B))
    inside = np.arange(T)[:, None] < lengths
    symbols = np.where(inside, symbols, 0)
    y = np.zeros((T, B), dtype=np.int64)
    y[:-1] = (symbols[1:] == symbols[:-1]) & inside[1:]
    return symbols, y, lengths


class Directions(NamedTuple):
    """Three ways to tag: names; accuracy, loss : (3,), held out; by_end : (3, n), accuracy at the
    last step, the one before, ...; best : what one direction can reach, accuracy and loss.
    """

    names: tuple[str, ...]
    accuracy: np.ndarray
    loss: np.ndarray
    by_end: np.ndarray
    best: tuple[float, float]


def reversed_by_length(T: int, lengths: np.ndarray) -> np.ndarray:
    """Return (4.19) as indices, (T, B)."""
    t = np.arange(T)[:, None]
    return np.where(t < lengths, lengths - 1 - t, t)


def directions(T: int = 12, K: int = 4, updates: int = 300, H: int = 16) -> Directions:
    """Train one and two directions; run the second also with the whole array reversed."""
    counted = 4

    def tag(p: Sequence[Weights], symbols: np.ndarray, turned: np.ndarray | None) -> torch.Tensor:
        x = one_hot(symbols, K)
        o = network(p[0], x)
        if len(p) == 1:
            return o
        batch = np.arange(symbols.shape[1])
        if turned is None:
            return o + network(p[1], x.flip(0)).flip(0)
        return o + network(p[1], x[turned, batch])[turned, batch]

    accuracy, losses, by_end = [], [], []
    for ways in (1, 2):
        rng = np.random.default_rng(13)
        p = [weights(20 + way, "UWbVc", K, H, 2) for way in range(ways)]

        def loss(i: int, rng=rng, p=p) -> torch.Tensor:
            symbols, y, lengths = twins_ahead(rng, T, 64)
            mask = torch.from_numpy((np.arange(T)[:, None] < lengths).astype(np.float32))
            each = nll(tag(p, symbols, reversed_by_length(T, lengths)), y)
            return (each * mask).sum() / mask.sum()

        fit([value for one in p for value in one.values()], loss, updates)
        symbols, y, lengths = twins_ahead(np.random.default_rng(14), T, 3000)
        turned = reversed_by_length(T, lengths)
        inside = np.arange(T)[:, None] < lengths - 1  # at the last step the answer is always 0
        for how in (turned, None)[:ways]:
            with torch.no_grad():
                o = tag(p, symbols, how)
            right = o.argmax(-1).numpy() == y
            accuracy.append(right[inside].mean())
            losses.append(float(nll(o, y).numpy()[inside].mean()))
            from_end = lengths - 1 - np.arange(T)[:, None]
            by_end.append([right[from_end == d].mean() for d in range(counted)])
    names = ("one direction", "two directions", "two, the padding reversed with the rest")
    best = (1 - 1 / K, entropy([1 / K, 1 - 1 / K]))
    return Directions(names, np.array(accuracy), np.array(losses), np.array(by_end), best)


def table_directions(data: Directions) -> Table:
    """Return the table of `directions`."""
    bests = (f"{data.best[0]:.2f}", "1.00", "1.00"), (f"{data.best[1]:.3f}", "0", "0")
    rows = [
        [n, a, f"{acc:.3f}", b, f"{loss:.3f}", f"{end[0]:.3f}", f"{end[1]:.3f}"]
        for n, a, acc, b, loss, end in zip(
            data.names, bests[0], data.accuracy, bests[1], data.loss, data.by_end, strict=True
        )
    ]
    head = ["network", "best accuracy", "accuracy", "best loss", "loss", "last step", "one before"]
    return Table(head, rows)


class Depth(NamedTuple):
    """Layers at equal numbers of parameters: (n,) each, and accuracy : (n, seeds), held out."""

    layers: np.ndarray
    units: np.ndarray
    parameters: np.ndarray
    accuracy: np.ndarray
    seconds: np.ndarray


def counted_parities(rng: np.random.Generator, T: int, B: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bits, and how often their parity was odd so far, modulo 3: x (T, B, 2), y (T, B).

    Made for two layers: one to hold the parity of the bits so far, one to count it.
    """
    bits = rng.integers(0, 2, (T, B))
    parity = bits.cumsum(0) % 2
    return np.eye(2)[bits], parity.cumsum(0) % 3


def size_of(layers: int, H: int, D: int, K: int) -> int:
    """Return the number of parameters of a deep network with a linear read-out."""
    return H * (D + H + 1) + (layers - 1) * H * (2 * H + 1) + K * (H + 1)


def depth(
    budgets: Sequence[int] = (300, 1000),
    also: Sequence[tuple[int, int]] = ((1, 13),),
    T: int = 12,
    updates: int = 400,
    seeds: int = 4,
) -> Depth:
    """Train 1, 2 and 3 layers with the same number of parameters, as nearly as it goes.

    `also` holds further pairs of layers and units.
    """
    rows = []
    shapes = [
        (layers, max(h for h in range(2, 200) if size_of(layers, h, 2, 3) <= budget))
        for budget, layers in itertools.product(budgets, (1, 2, 3))
    ]
    for layers, H in (*also, *shapes):
        start = time.process_time()
        accuracy = [stacked(layers, H, T, updates, seed) for seed in range(seeds)]
        spent = (time.process_time() - start) / seeds
        rows.append((layers, H, size_of(layers, H, 2, 3), accuracy, spent))
    return Depth(*(np.array(column) for column in zip(*rows, strict=True)))


def stacked(layers: int, H: int, T: int, updates: int, seed: int) -> float:
    """Train so many layers of H units on `counted_parities`; return the held-out accuracy."""
    rng = np.random.default_rng(seed)
    rows = [weights(100 * seed + j, "UWb", H if j else 2, H, 3) for j in range(layers)]
    head = weights(seed, "Vc", 2, H, 3)
    identity = {"V": torch.eye(H), "c": torch.zeros(H)}

    def run(x: np.ndarray) -> torch.Tensor:
        h = torch.from_numpy(x).float()
        for row in rows:
            h = network({**row, **identity}, h)  # (4.20): a layer's states are the next one's input
        return h @ head["V"].T + head["c"]

    def loss(i: int) -> torch.Tensor:
        x, y = counted_parities(rng, T, 64)
        return nll(run(x), y).mean()

    fit([value for one in (*rows, head) for value in one.values()], loss, updates)
    x, y = counted_parities(np.random.default_rng(55), T, 2000)
    with torch.no_grad():
        return float((run(x).argmax(-1).numpy() == y).mean())


def table_depth(data: Depth) -> Table:
    """Return the table of `depth`."""
    rows = [
        [n, h, p, "  ".join(f"{a:.2f}" for a in accuracy), f"{s:.1f}"]
        for n, h, p, accuracy, s in zip(
            data.layers, data.units, data.parameters, data.accuracy, data.seconds, strict=True
        )
    ]
    head = ["layers", "units each", "parameters", "accuracy, held out, by seed", "seconds each"]
    return Table(head, rows)


class Errata(NamedTuple):
    """What two sources say of deep networks: name, what ours gives, what theirs gives."""

    what: str
    ours: str
    theirs: str


def deep_errata(layers: int = 3, T: int = 6) -> list[Errata]:
    """Return when a change of x(1) first reaches each layer, by (4.20) and by the other indices."""
    rng = np.random.default_rng(30)
    D, H = 3, 4
    U = [rng.normal(0, 0.7, (H, H if j else D)) for j in range(layers)]
    W, b = [rng.normal(0, 0.7, (H, H)) for _ in U], [np.zeros(H) for _ in U]
    x, h0 = rng.normal(size=(T, 1, D)), np.zeros((layers, 1, H))
    moved = x.copy()
    moved[0] += 1.0

    def late(x: np.ndarray) -> np.ndarray:
        """h_j(t) from h_{j-1}(t-1) and h_j(t-1), and x(t-1) for h_0(t-1); x(0) is zero."""
        states, before_, input_ = [], list(h0), np.zeros_like(x[0])
        for step in x:
            below = [input_, *before_[:-1]]
            before_ = [np.tanh(below[j] @ U[j].T + before_[j] @ W[j].T) for j in range(layers)]
            states.append(before_)
            input_ = step
        return np.array(states).swapaxes(0, 1)

    def first(one: np.ndarray, other: np.ndarray) -> list[int]:
        changed = np.abs(one - other).max(axis=(2, 3)) > 0
        return [int(row.argmax()) + 1 for row in changed]

    right = first(deep(x, h0, U, W, b), deep(moved, h0, U, W, b))
    slide = first(late(x), late(moved))
    rows = [
        Errata(f"x(1) reaches layer {j + 1} at step", str(a), str(c))
        for j, (a, c) in enumerate(zip(right, slide, strict=True))
    ]
    try:  # one set of weights for both layers: layer 2 reads H numbers with a matrix for D
        deep(x, h0[:2], [U[0]] * 2, [W[0]] * 2, [b[0]] * 2)
        shared = "runs"
    except ValueError:
        shared = f"no: U is {U[0].shape}, h is {H} numbers"
    return [*rows, Errata(f"layers of their own weights, D = {D}, H = {H}", "runs", shared)]


def table_deep_errata(found: list[Errata]) -> Table:
    """Return the table of `deep_errata`."""
    return Table(["", "(4.20)", "as in the source"], [list(row) for row in found])


# --------------------------------------------------------------------- the proof, the pitfalls


class Agreement(NamedTuple):
    """One function, the second method, and their largest relative difference."""

    function: str
    method: str
    difference: float


def agreement() -> list[Agreement]:
    """Compare the chapter's functions with other ways to the same numbers, in float64."""
    from figures import wirings

    rng = np.random.default_rng(40)
    T, B, D, H, K = 5, 3, 3, 4, 5
    x, h0 = rng.normal(size=(T, B, D)), rng.normal(0, 0.5, (B, H))
    y0, y = rng.integers(0, K, B), rng.integers(0, K, (T, B))
    p = small(2)
    W, R = rng.normal(0, 0.6, (H, H)), rng.normal(0, 0.6, (H, D))
    five, fed = tuple(p.values()), np.eye(K)[before(y0, y)]
    found = []

    def add(function: str, method: str, one: np.ndarray, two: np.ndarray) -> None:
        found.append(Agreement(function, method, difference(one, two)))

    _, ys = wirings.unfold(wirings.forced_step, five, (), list(zip(x, fed, strict=True)))
    add(
        "teacher_forced",
        "unfold, one step at a time",
        teacher_forced(x, y0, y, **p)[1],
        np.array(ys),
    )
    outputs, state = [], (None, np.eye(K)[y0])
    for step in x:
        state, _ = wirings.output_step(five, state, step)
        outputs.append(state[1])
    add("closed_loop", "the wiring's step", closed_loop(x, y0, **p), np.array(outputs))
    add(
        "scheduled, ε = 1",
        "teacher_forced",
        scheduled(x, y0, y, rng.random((T, B)), 1.0, **p),
        teacher_forced(x, y0, y, **p)[1],
    )
    six = (R, p["F"], W, p["b"], p["V"], p["c"])
    _, ys = wirings.unfold(wirings.vector_step, six, (h0,), [(x[0], one) for one in fed])
    add("vector_to_sequence", "unfold", vector_to_sequence(x[0], h0, y0, y, *six)[1], np.array(ys))
    found += twins(rng, x, h0, y0, y, {**p, "W": W})
    return found


def twins(
    rng: np.random.Generator,
    x: np.ndarray,
    h0: np.ndarray,
    y0: np.ndarray,
    y: np.ndarray,
    p: Mapping[str, np.ndarray],
) -> list[Agreement]:
    """Compare with PyTorch: nn.RNN, cross_entropy and autograd."""
    T, B, D = x.shape
    H, K = p["F"].shape
    mask, found = np.ones((T, B)), []
    mask[3:, 1] = 0.0
    lengths = mask.sum(0).astype(int)

    rnn = torch.nn.RNN(D + K, H, dtype=torch.float64)  # what is fed back stands beside x
    put(rnn, "l0", np.hstack([p["U"], p["F"]]), p["W"], p["b"])
    joined = torch.from_numpy(np.concatenate([x, np.eye(K)[before(y0, y)]], -1))
    o = rnn(joined, torch.from_numpy(h0)[None])[0].detach() @ torch.from_numpy(p["V"]).T
    each = nll(o + torch.from_numpy(p["c"]), y).numpy()
    seven = [p[name] for name in "UFWbVc"]
    found.append(
        Agreement(
            "log_likelihood",
            "nn.RNN on [x, e], cross_entropy",
            difference(log_likelihood(x, h0, y0, y, mask, *seven), -(each * mask).sum(0)),
        )
    )

    two = torch.nn.RNN(D, H, num_layers=2, bidirectional=True, dtype=torch.float64)
    shapes = [(H, D), (H, D), (H, 2 * H), (H, 2 * H)]
    U = [rng.normal(0, 0.5, shape) for shape in shapes]
    W, b = [rng.normal(0, 0.5, (H, H)) for _ in U], [rng.normal(0, 0.5, H) for _ in U]
    for name, *three in zip(("l0", "l0_reverse", "l1", "l1_reverse"), U, W, b, strict=True):
        put(two, name, *three)
    rows = torch.nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(x), torch.from_numpy(lengths), enforce_sorted=False
    )
    s, _ = torch.nn.utils.rnn.pad_packed_sequence(two(rows)[0], total_length=T)
    zero = np.zeros((B, H))
    mine = x
    for i in (0, 2):
        pairs = (U[i], W[i], b[i], U[i + 1], W[i + 1], b[i + 1])
        mine = bidirectional(mine, lengths, zero, zero, *pairs)
    found.append(
        Agreement("bidirectional, twice", "nn.RNN, packed", difference(mine, s.detach().numpy()))
    )

    upward = torch.nn.RNN(D, H, num_layers=2, dtype=torch.float64)
    U2 = [U[0], rng.normal(0, 0.5, (H, H))]
    for name, *three in zip(("l0", "l1"), U2, W[:2], b[:2], strict=True):
        put(upward, name, *three)
    start = rng.normal(0, 0.5, (2, B, H))
    top = upward(torch.from_numpy(x), torch.from_numpy(start))[0].detach().numpy()
    found.append(
        Agreement(
            "deep", "nn.RNN, two layers", difference(deep(x, start, U2, W[:2], b[:2])[1], top)
        )
    )

    leaves = {name: torch.tensor(p[name], requires_grad=True) for name in "UFbVc"}
    o = network(leaves, torch.from_numpy(x), torch.from_numpy(np.eye(K)[before(y0, y)]))
    nll(o, y).sum().backward()
    mine = forced_gradient(x, y0, y, {name: p[name] for name in "UFbVc"})
    worst = max(difference(mine[name], leaves[name].grad.numpy()) for name in mine)
    found.append(Agreement("the gradient of (4.6)", "autograd", worst))

    h = torch.tensor(rng.normal(size=(T, B, H)), requires_grad=True)
    dlast, dmean = rng.normal(size=(2, B, H))
    m = torch.from_numpy(mask)
    last = h[torch.from_numpy(lengths) - 1, torch.arange(B)]
    mean = (h * m[..., None]).sum(0) / m.sum(0)[:, None]
    ((last * torch.from_numpy(dlast)).sum() + (mean * torch.from_numpy(dmean)).sum()).backward()
    mine = readout_grad(dlast, dmean, mask)
    found.append(Agreement("readout_grad", "autograd", difference(mine, h.grad.numpy())))
    return found


def put(rnn: torch.nn.RNN, name: str, U: np.ndarray, W: np.ndarray, b: np.ndarray) -> None:
    """Copy weights into one network of a torch.nn.RNN; its second bias becomes zero."""
    values = {"weight_ih": U, "weight_hh": W, "bias_ih": b, "bias_hh": np.zeros_like(b)}
    with torch.no_grad():
        for kind, value in values.items():
            getattr(rnn, f"{kind}_{name}").copy_(torch.from_numpy(value))


def table_agreement(found: list[Agreement]) -> Table:
    """Return the table of `agreement`."""
    rows = [[each.function, each.method, power(each.difference)] for each in found]
    return Table(["function", "second method", "difference"], rows)


class Pitfall(NamedTuple):
    """One pitfall: what was measured, the number predicted, and the number found."""

    what: str
    predicted: float
    measured: float


def pitfalls(run: FreeRun, T: int = 6, K: int = 4) -> list[Pitfall]:
    """Measure open against closed loop, and a network that reads its targets."""
    rng = np.random.default_rng(4)
    p = weights(1, "UFWbVc", 2, 24, K)

    def loss(i: int) -> torch.Tensor:
        x, _, y = walk(rng, T, 128)
        return nll(network(p, torch.from_numpy(x).float(), one_hot(y, K)), y).sum(0).mean()

    curve = fit(list(p.values()), loss, 200)
    drawn, _, _ = walk(np.random.default_rng(6), T, 2000)
    moves = sample(np.random.default_rng(7), p, drawn)  # it gets what it said one step before
    follows = (np.diff(moves, axis=0) - (2 * drawn[1:, :, 1] - 1)) % K == 0
    return [
        Pitfall("share of wrong symbols, open loop", 1 - STAY, float(run.open_[0])),
        Pitfall(
            "the same network in closed loop, mean of 40 steps",
            float(run.predicted.mean()),
            float(run.closed[0].mean()),
        ),
        Pitfall("on the ring, fed y(t) at step t: training loss, nats", 0.0, curve[-1]),
        Pitfall("its samples move as x says: it repeats itself", 0.0, float(follows.mean())),
    ]


def table_pitfalls(found: list[Pitfall]) -> Table:
    """Return the table of `pitfalls`."""
    rows = [[each.what, f"{each.predicted:.2f}", f"{each.measured:.2f}"] for each in found]
    return Table(["what", "predicted", "measured"], rows)


# ----------------------------------------------------------------------------- 8: a choice


class Choice(NamedTuple):
    """REINFORCE on one number: baselines by name, mean of the estimates, standard deviation of one.

    exact : the gradient in closed form; needed : draws for a standard error of a tenth of it
    """

    names: tuple[str, ...]
    mean: np.ndarray
    deviation: np.ndarray
    exact: float
    needed: np.ndarray


def expected_reward(mu: float, sigma: float) -> tuple[float, float]:
    """Return E[2 + exp(-(l - 1)^2)] for l ~ N(mu, sigma^2), and its derivative for mu."""
    spread = 1 + 2 * sigma**2
    bump = np.exp(-((mu - 1) ** 2) / spread) / np.sqrt(spread)
    return 2 + bump, -2 * (mu - 1) / spread * bump


def choice(mu: float = 0.0, sigma: float = 0.5, draws: int = 200_000) -> Choice:
    """Estimate the gradient of an expected reward by (4.25), with three baselines."""
    rng = np.random.default_rng(50)
    place = rng.normal(mu, sigma, draws)
    reward = 2 + np.exp(-((place - 1) ** 2))
    score = (place - mu) / sigma**2  # (4.24)
    value, exact = expected_reward(mu, sigma)
    best = (reward * score**2).mean() / (score**2).mean()
    mean, deviation = [], []
    for baseline in (0.0, value, best):
        each = (reward - baseline) * score
        mean.append(each.mean())
        deviation.append(each.std())
    spread = np.array(deviation)
    names = ("none", "E[R]", "β*, (4.25)")
    return Choice(names, np.array(mean), spread, exact, (spread / (0.1 * exact)) ** 2)


def table_choice(data: Choice) -> Table:
    """Return the table of `choice`."""
    rows = [
        [name, f"{m:.3f}", f"{data.exact:.3f}", f"{d:.2f}", f"{n:.0f}"]
        for name, m, d, n in zip(data.names, data.mean, data.deviation, data.needed, strict=True)
    ]
    head = ["baseline", "mean estimate", "exact", "deviation of one draw", "draws for 10 % error"]
    return Table(head, rows)
