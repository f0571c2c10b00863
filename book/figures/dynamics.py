"""Chapter 1: the experiments and their drawings.

Every experiment is a function that returns numbers, every figure a function that draws them:
`draw_diagram(diagram())`.  The functions under study are those of `solutions.dynamics`; equation
numbers are those of the chapter.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course import datasets, figures
from figures.bptt import orthogonal
from figures.kept import kept
from figures.tables import Table, power
from solutions.dynamics import (
    driven,
    jacobian,
    lyapunov,
    memory,
    newton,
    orbit,
    orbits,
    ridge,
    saddle_node,
)

BLUE, VERMILION, GREEN = (figures.PALETTE[name] for name in ("blue", "vermilion", "green"))
PURPLE, OCHRE, SKY = (figures.PALETTE[name] for name in ("purple", "ochre", "sky"))


# ---------------------------------------------------------------------------------- the one unit


def unit(w: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """Return W (1, 1) and b (1,) of a network of one unit."""
    return np.array([[float(w)]]), np.array([float(b)])


def run_unit(h0: float, w: float, b: float, T: int) -> np.ndarray:
    """Return h(0) ... h(T) of one unit, (T + 1,)."""
    return np.concatenate([[h0], orbit(np.array([[float(h0)]]), *unit(w, b), T)[:, 0, 0]])


def fixed_points(W: np.ndarray, b: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different fixed points that Newton finds, (n, H), in order, and their radii.

    starts : (N, H).  What has not converged after 50 steps is dropped.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found, radius = newton(starts, W, b, 50)
        kept = np.abs(np.tanh(found @ W.T + b) - found).max(axis=1) < 1e-10
    _, index = np.unique(np.round(found[kept], 7), axis=0, return_index=True)
    return found[kept][index], radius[kept][index]


def of_unit(w: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the fixed points of one unit, ascending, and the slope of the map at each."""
    W, bias = unit(w, b)
    found, _ = fixed_points(W, bias, np.linspace(-0.999, 0.999, 81)[:, None])
    return found[:, 0], jacobian(found, W, bias)[:, 0, 0]


class Puzzle(NamedTuple):
    """Two pairs of runs of one unit; each pair begins `apart` apart.

    pairs : (2, 2, T + 1); middle : the repelling fixed point; slope : of the map there
    """

    w: float
    b: float
    apart: float
    pairs: np.ndarray
    middle: float
    slope: float


def puzzle(w: float = 1.5, b: float = 0.05, apart: float = 1e-3, T: int = 40) -> Puzzle:
    """Return two runs that begin on one side of the repelling fixed point, and two around it."""
    (_, middle, _), (_, slope, _) = of_unit(w, b)
    starts = ((0.3, 0.3 + apart), (middle - apart / 2, middle + apart / 2))
    pairs = np.array([[run_unit(h0, w, b, T) for h0 in pair] for pair in starts])
    return Puzzle(w, b, apart, pairs, float(middle), float(slope))


def draw_puzzle(data: Puzzle) -> Figure:
    """Draw both pairs, side by side."""
    figures.style()
    fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.8), sharey=True)
    for ax, pair in zip(axes, data.pairs, strict=True):
        for run, colour, mark in zip(pair, (BLUE, VERMILION), ("o-", "s--"), strict=True):
            ax.plot(run, mark, ms=3, lw=1, color=colour)
        said = " and ".join(f"{start:.4f}" for start in pair[:, 0])
        ax.set(title=said.replace("-", "−"), xlabel="step t")
        ax.grid(True)
    axes[0].set(ylabel="h(t)", ylim=(-1, 1))
    return fig


class Cobweb(NamedTuple):
    """One unit: its map over a grid, a run from a start, and its fixed points with slopes."""

    w: float
    b: float
    h: np.ndarray
    f: np.ndarray
    run: np.ndarray
    points: np.ndarray
    slopes: np.ndarray


def cobwebs(
    cases: Sequence[tuple[float, float, float]] = (
        (0.7, 0.2, -0.9),
        (1.5, 0.05, -0.1),
        (-0.8, 0.2, -0.9),
        (-1.8, 0.2, 0.15),
    ),
) -> list[Cobweb]:
    """Return the cobwebs of some (w, b, start)."""
    h = np.linspace(-1.05, 1.05, 211)
    return [
        Cobweb(w, b, h, np.tanh(w * h + b), run_unit(start, w, b, 30), *of_unit(w, b))
        for w, b, start in cases
    ]


def draw_cobwebs(data: list[Cobweb]) -> Figure:
    """Draw each cobweb: filled dots attract, open ones repel."""
    figures.style()
    fig, axes = plt.subplots(2, 2, figsize=(6.0, 6.0), sharex=True, sharey=True)
    for ax, d in zip(axes.flat, data, strict=True):
        ax.plot(d.h, d.h, color=figures.FOREGROUND, lw=1)
        ax.plot(d.h, d.f, color=BLUE)
        web = np.repeat(d.run, 2)
        ax.plot(web[:-1], np.concatenate([[0.0], web[2:]]), color=OCHRE, lw=1)
        for point, slope in zip(d.points, d.slopes, strict=True):
            inside = VERMILION if abs(slope) < 1 else "none"
            ax.plot(point, point, "o", ms=7, mfc=inside, mec=VERMILION, mew=1.5)
        title = f"w = {d.w:g}, b = {d.b:g}".replace("-", "−")
        ax.set(title=title, aspect="equal", xlim=(-1.05, 1.05))
    for ax in axes[1]:
        ax.set(xlabel="h(t−1)")
    for ax in axes[:, 0]:
        ax.set(ylabel="h(t)", ylim=(-1.05, 1.05))
    return fig


def table_fixed_points(data: list[Cobweb]) -> Table:
    """Return each fixed point, its slope, and the slope that the end of a run shows.

    The measured slope is the ratio of two successive distances to the fixed point, from a start
    0.0001 away.
    """
    rows = []
    for d in data:
        for point, slope in zip(d.points, d.slopes, strict=True):
            near = run_unit(point + 1e-4, d.w, d.b, 2) - point
            verdict = "attracts" if abs(slope) < 1 else "repels"
            rows.append(
                (
                    f"{d.w:g}",
                    f"{d.b:g}",
                    f"{point:.4f}",
                    f"{slope:.4f}",
                    verdict,
                    f"{near[1] / near[0]:.4f}",
                )
            )
    return Table(["w", "b", "fixed point", "slope (1.10)", "so it", "measured"], rows)


# -------------------------------------------------------------------------------- why not an MLP


class Model(NamedTuple):
    """A network for sequences of D inputs, and what it can do; counts are PyTorch's.

    parameters: for each length, counted on the modules; formula: the same by (1.4);
    other: whether the same module takes another length; reach: how many steps back an input still
    changes the last output
    """

    name: str
    parameters: tuple[int, ...]
    formula: tuple[int, ...]
    other: bool
    reach: int


LENGTHS = (20, 100, 1000)


def _modules(name: str, steps: int, D: int, H: int, K: int, k: int) -> torch.nn.Module:
    if name == "MLP on the whole window":
        return torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(steps * D, H),
            torch.nn.Tanh(),
            torch.nn.Linear(H, K),
        )
    if name == "CNN, then a dense layer":
        return torch.nn.Sequential(
            torch.nn.Conv1d(D, H, k),
            torch.nn.Tanh(),
            torch.nn.Flatten(),
            torch.nn.Linear((steps - k + 1) * H, K),
        )
    if name == "CNN, last position":
        return torch.nn.Sequential(
            torch.nn.Conv1d(D, H, k), torch.nn.Tanh(), torch.nn.Conv1d(H, K, 1)
        )
    return _Recurrent(D, H, K)


class _Recurrent(torch.nn.Module):
    """torch.nn.RNN and a linear read-out; takes (batch, features, time) like a convolution."""

    def __init__(self, D: int, H: int, K: int):
        super().__init__()
        self.rnn = torch.nn.RNN(D, H, batch_first=True)
        del self.rnn.bias_hh_l0  # (1.3) has one bias
        self.rnn.bias_hh_l0 = torch.zeros(H)
        self.head = torch.nn.Linear(H, K)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs, (batch, K, time)."""
        W_in, W = self.rnn.weight_ih_l0, self.rnn.weight_hh_l0
        h, out = torch.zeros(len(x), len(W)), []
        for step in x.unbind(-1):
            h = torch.tanh(step @ W_in.T + h @ W.T + self.rnn.bias_ih_l0)
            out.append(self.head(h))
        return torch.stack(out, -1)


def models(D: int = 10, H: int = 64, K: int = 5, k: int = 5) -> list[Model]:
    """Count parameters, try another length, and look how far back an input is felt."""
    count = {
        "MLP on the whole window": lambda t: H * (t * D + 1) + K * (H + 1),
        "CNN, then a dense layer": lambda t: H * (k * D + 1) + K * ((t - k + 1) * H + 1),
        "CNN, last position": lambda t: H * (k * D + 1) + K * (H + 1),
        "recurrent": lambda t: H * (H + D + 1) + K * (H + 1),
    }
    found = []
    for name, formula in count.items():
        torch.manual_seed(0)
        built = [_modules(name, steps, D, H, K, k) for steps in LENGTHS]
        sizes = tuple(sum(p.numel() for p in m.parameters()) for m in built)
        net, steps = built[0], LENGTHS[0]
        try:
            net(torch.zeros(1, D, steps + 7))
            other = True
        except RuntimeError:
            other = False
        x = torch.randn(1, D, steps, requires_grad=True)
        out = net(x)
        (out if out.ndim == 2 else out[:, :, -1]).sum().backward()
        felt = np.flatnonzero(x.grad.abs().sum(dim=(0, 1)).numpy())
        found.append(
            Model(name, sizes, tuple(map(formula, LENGTHS)), other, int(steps - 1 - felt[0]))
        )
    return found


def table_models(found: list[Model]) -> Table:
    """Return the comparison: parameters by length, other lengths, reach."""
    head = ["network", *(f"parameters, τ = {t}" for t in LENGTHS), "same weights, τ = 27", "reach"]
    rows = [
        [m.name, *(f"{n:,}" for n in m.parameters), "yes" if m.other else "no", f"{m.reach} of 19"]
        for m in found
    ]
    return Table(head, rows)


# ------------------------------------------------------------------------------------ bifurcations


class Branch(NamedTuple):
    """A branch of fixed points of one unit, followed by continuation.

    w, b, h, slope : (n,); folds : (m, 3), the turning points as (w, b, h)
    """

    w: np.ndarray
    b: np.ndarray
    h: np.ndarray
    slope: np.ndarray
    folds: np.ndarray


def follow(
    start: tuple[float, float],
    fixed: float,
    along: str,
    span: tuple[float, float],
    step: float = 0.01,
    forward: bool = True,
) -> Branch:
    """Follow fixed points by pseudo-arclength continuation, round turning points.

    along: "w" (then `fixed` is b) or "b" (then `fixed` is w); start: (parameter, guess of h);
    span: where to stop.  Each point is a step along the tangent, corrected by Newton's method on
    the two equations f(h) = h and "as far along the tangent as the step".
    """

    def both(p: float) -> tuple[float, float]:
        return (p, fixed) if along == "w" else (fixed, p)

    def gap(p: float, h: float) -> tuple[float, np.ndarray]:
        w, b = both(p)
        f = np.tanh(w * h + b)
        return f - h, (1 - f * f) * np.array([h if along == "w" else 1.0, w]) - [0.0, 1.0]

    W, b = unit(*both(start[0]))
    at = np.array([start[0], newton(np.array([[start[1]]]), W, b, 50)[0][0, 0]])
    tangent = np.array([1.0 if forward else -1.0, 0.0])
    points, turns, before = [at], [], None
    for _ in range(20_000):
        _, row = gap(*at)
        direction = np.array([-row[1], row[0]]) / np.hypot(*row)
        tangent = direction if direction @ tangent > 0 else -direction
        if before is not None and before[1][0] * tangent[0] < 0:
            turns.append(_turn(gap, before[0], before[1], step))
        before = (at, tangent)
        at = _correct(gap, at, tangent, step)
        points.append(at)
        if not span[0] <= at[0] <= span[1]:
            break
    p, h = np.array(points).T
    w, b = both(p)
    w, b = np.broadcast_to(w, p.shape), np.broadcast_to(b, p.shape)
    folds = np.array([(*both(q), g) for q, g in turns]).reshape(-1, 3)
    return Branch(w, b, h, w * (1 - h * h), folds)


def _correct(gap, at: np.ndarray, tangent: np.ndarray, step: float) -> np.ndarray:
    """The point of the branch that lies `step` along the tangent, by Newton's method."""
    point = at + step * tangent
    for _ in range(12):
        value, row = gap(*point)
        system = np.array([row, tangent])
        point = point - np.linalg.solve(system, [value, tangent @ (point - at) - step])
    return point


def _turn(gap, at: np.ndarray, tangent: np.ndarray, step: float) -> np.ndarray:
    """The turning point within one step, by bisection on the direction of the branch."""
    low, high = 0.0, step
    for _ in range(60):
        middle = (low + high) / 2
        point = _correct(gap, at, tangent, middle)
        _, row = gap(*point)
        direction = np.array([-row[1], row[0]])
        along = direction @ tangent
        low, high = (middle, high) if direction[0] * along * tangent[0] > 0 else (low, middle)
    return point


class Diagram(NamedTuple):
    """Bifurcation diagrams of one unit, by continuation: over w, and the S over b."""

    straight: Branch
    fork: tuple[Branch, Branch]
    tilted: tuple[Branch, Branch]
    bias: float
    loop: Branch
    gain: float


def diagram(bias: float = 0.05, gain: float = 2.0) -> Diagram:
    """Follow the fixed points over w for b = 0 and b = bias, and over b for w = gain."""
    up = follow((2.5, 0.98), 0.0, "w", (1.0, 2.5), forward=False)
    down = Branch(up.w, up.b, -up.h, up.slope, up.folds)
    return Diagram(
        straight=follow((0.2, 0.0), 0.0, "w", (0.0, 2.5)),
        fork=(up, down),
        tilted=(
            follow((0.2, 0.1), bias, "w", (0.0, 2.5)),
            follow((2.5, -0.98), bias, "w", (0.0, 2.5), forward=False),
        ),
        bias=bias,
        loop=follow((-1.2, -0.99), gain, "b", (-1.2, 1.2)),
        gain=gain,
    )


def _by_stability(ax: plt.Axes, x: np.ndarray, branch: Branch, colour: str) -> None:
    """Solid where a branch attracts, dotted where it repels."""
    stable = np.abs(branch.slope) < 1
    ax.plot(x, np.where(stable, branch.h, np.nan), "-", color=colour)
    ax.plot(x, np.where(stable, np.nan, branch.h), ":", color=colour)


def draw_diagram(data: Diagram) -> Figure:
    """Draw the fork, its tilted form with the saddle-node, and where three fixed points are."""
    figures.style()
    fig, panels = plt.subplot_mosaic("AB;CC", figsize=(5.6, 5.8))
    axes = [panels[name] for name in "ABC"]
    for branch in (data.straight, *data.fork):
        _by_stability(axes[0], branch.w, branch, BLUE)
    axes[0].plot(1, 0, "o", mfc="none", color=VERMILION)
    for branch in data.tilted:
        _by_stability(axes[1], branch.w, branch, BLUE)
    for w, _, h in data.tilted[1].folds:
        axes[1].plot(w, h, "o", mfc="none", color=VERMILION)
    axes[0].set(title="b = 0", ylabel="fixed points")
    axes[1].set(title=f"b = {data.bias:g}")
    w = np.linspace(1.0, 2.5, 300)
    edge = -saddle_node(w)[1]
    axes[2].fill_between(w, -edge, edge, color=SKY, alpha=0.3, lw=0)
    for side in (1, -1):
        axes[2].plot(w, side * edge, color=VERMILION)
    axes[2].text(2.0, 0.0, "3", ha="center", va="center")
    axes[2].text(0.5, 0.0, "1", ha="center", va="center")
    axes[2].set(title="how many fixed points", ylabel="b", xlim=(0.0, 2.5), ylim=(-0.9, 0.9))
    for ax in axes:
        ax.set(xlabel="w")
        ax.grid(True)
    return fig


def table_bifurcations(data: Diagram) -> Table:
    """Return the bifurcation points: by the formulas, and by continuation or search."""
    tilted = data.tilted[1].folds[0]
    loop = sorted(data.loop.folds, key=lambda fold: fold[1])
    h, b = saddle_node(np.array([data.gain]))
    turn = first_cycle()
    # By (1.11) the turn at b = bias is where -b(h_c(w)) = bias.
    w = bisect(lambda w: float(-saddle_node(np.array([w]))[1][0]) - data.bias, 1.0, 2.5)
    last = data.fork[0].w[np.abs(data.fork[0].h) > 1e-6].min()
    return Table(
        ["bifurcation", "formula", "by continuation or search"],
        [
            ["pitchfork, b = 0: w", "1", f"{last:.6f}"],
            [f"saddle-node, b = {data.bias:g}: w", f"{w:.6f}", f"{tilted[0]:.6f}"],
            [f"saddle-node, w = {data.gain:g}: b", f"{b[0]:.6f}", f"{loop[0][1]:.6f}"],
            ["its fixed point", f"{h[0]:.6f}", f"{loop[0][2]:.6f}"],
            ["flip, b = 0.2: w", f"{turn[0]:.6f}", f"{turn[1]:.6f}"],
        ],
    )


def bisect(f, low: float, high: float) -> float:
    """Return a zero of a function that changes its sign between low and high."""
    rising = f(high) > f(low)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if (f(middle) > 0) == rising else (middle, high)
    return (low + high) / 2


def flip(w: float) -> float:
    """Return the bias b > 0 at which the slope at the fixed point is -1, (1.13); w below -1."""
    h = np.sqrt(1 + 1 / w)
    return float(np.arctanh(h) - w * h)


def first_cycle(b: float = 0.2) -> tuple[float, float]:
    """Return the w at which a cycle of two begins at this bias: by (1.13), and by running."""

    def grows(w: float) -> float:
        """Whether a run that begins 1e-7 off the fixed point moves away from it."""
        point = of_unit(w, b)[0][0]
        return abs(run_unit(point + 1e-7, w, b, 200)[-1] - point) - 1e-7

    return bisect(lambda w: flip(w) - b, -3.0, -1.0 - 1e-12), bisect(grows, -1.5, -0.9)


# ------------------------------------------------------------------------------ one bit of memory


class Bit(NamedTuple):
    """One unit as a memory: the signal, the states, and the loop of a slow sweep.

    x, h : (T,), pulses and what they do; sweep, up, down : a slow signal up and down again;
    threshold : the smallest constant signal that flips it, measured; predicted : (1.14);
    excess, steps, formula : how long a signal that exceeds the threshold must last
    """

    w: float
    x: np.ndarray
    h: np.ndarray
    sweep: np.ndarray
    up: np.ndarray
    down: np.ndarray
    threshold: float
    predicted: float
    excess: np.ndarray
    steps: np.ndarray
    formula: np.ndarray


def flips(x: np.ndarray, w: float) -> np.ndarray:
    """Return the states of one unit, w, b = 0, U = 1, from its lower rest under a signal, (T,)."""
    W, b = unit(w, 0.0)
    rest, _ = newton(np.array([[-0.99]]), W, b, 50)
    return driven(x[:, None, None], rest, np.ones((1, 1)), W, b)[:, 0, 0]


def steps_to_flip(x: float, w: float, limit: int) -> int:
    """Return how many steps a constant signal needs to lift the unit above 0."""
    above = np.flatnonzero(flips(np.full(limit, x), w) > 0)
    return int(above[0]) + 1 if len(above) else limit + 1


def bit(w: float = 2.0) -> Bit:
    """Measure when one unit flips, by how much and for how long it must be pushed."""
    h_c, b_c = (float(v[0]) for v in saddle_node(np.array([w])))
    x = np.zeros(110)
    pulses = ((8, 0.4, 12), (28, 0.7, 5), (45, 0.7, 10), (68, -0.4, 12), (90, -1.5, 3))
    for start, size, length in pulses:
        x[start : start + length] = size
    sweep = np.linspace(-1, 1, 2001)
    low, high = 0.2, 1.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (low, middle) if flips(np.full(20_000, middle), w)[-1] > 0 else (middle, high)
    excess = np.array([0.1, 0.01, 0.001, 0.0001])
    steps = np.array([steps_to_flip(-b_c + e, w, 2_000) for e in excess])
    both = flips(np.concatenate([sweep, sweep[::-1]]), w)
    return Bit(
        w, x, flips(x, w), sweep, both[:2001], both[2001:][::-1], (low + high) / 2, -b_c,
        excess, steps, np.pi / np.sqrt(excess * h_c),
    )  # fmt: skip


def draw_bit(data: Bit, loop: Branch) -> Figure:
    """Draw the pulses with the states, and the loop over the curve of fixed points."""
    figures.style()
    fig, axes = plt.subplots(2, 1, figsize=(5.6, 6.0))
    axes[0].plot(data.h, color=BLUE, label="h(t)")
    axes[0].step(np.arange(len(data.x)), data.x, where="mid", color=OCHRE, lw=1.2, label="x(t)")
    for side in (1, -1):
        axes[0].axhline(side * data.predicted, ls=":", lw=1, color=figures.FOREGROUND)
    axes[0].set(xlabel="step t", ylim=(-1.6, 1.7))
    axes[0].legend(loc="upper left", ncols=2)
    axes[1].plot(loop.b, loop.h, ":", color=figures.FOREGROUND, label="fixed points")
    axes[1].plot(data.sweep, data.up, color=BLUE, label="x rising")
    axes[1].plot(data.sweep, data.down, "--", color=VERMILION, label="x falling")
    axes[1].set(xlabel="x", ylabel="h", xlim=(-1, 1), ylim=(-1.1, 1.9))
    axes[1].legend(loc="upper left")
    for ax in axes:
        ax.grid(True)
    return fig


def table_bit(data: Bit) -> Table:
    """Return the threshold, and how long a signal must last."""
    rows = [["smallest signal that flips it", f"{data.predicted:.5f}", f"{data.threshold:.5f}"]]
    rows += [
        [f"steps needed at {e:g} above it", f"{f:.1f}", str(s)]
        for e, f, s in zip(data.excess, data.formula, data.steps, strict=True)
    ]
    return Table(["", "predicted (1.14)", "measured"], rows)


# ------------------------------------------------------------------------------------ oscillation


class Turning(NamedTuple):
    """A two-unit network W = g R(phi), b = 0, after its transient.

    h : (T, 2); angle : mean turn of a step; radius2 : mean of |h|²; predicted2 : by (1.15)
    """

    gain: float
    phi: float
    h: np.ndarray
    angle: float
    radius2: float
    predicted2: float


def turning(gain: float, phi: float = 0.5, T: int = 4000) -> Turning:
    """Run a rotation with a gain, and measure its turn and its size over the last T steps."""
    W = gain * np.array([[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]])
    h = orbit(np.array([[0.3, 0.0]]), W, np.zeros(2), 3000 + T)[3000:, 0]
    angles = np.unwrap(np.arctan2(h[:, 1], h[:, 0]))
    predicted = max(0.0, 4 * (gain - 1) / gain**3)
    turn = float((angles[-1] - angles[0]) / (T - 1))
    return Turning(gain, phi, h, turn, float((h**2).sum(axis=1).mean()), predicted)


def turnings() -> list[Turning]:
    """Return `turning` for some gains above 1."""
    return [turning(gain) for gain in (1.01, 1.05, 1.2, 1.5)]


def draw_turnings(data: list[Turning]) -> Figure:
    """Draw the closed curves, and one of the runs over time."""
    figures.style()
    fig, axes = plt.subplots(2, 1, figsize=(5.6, 6.4), height_ratios=(5, 3))
    for d, colour in zip(data, (BLUE, GREEN, OCHRE, VERMILION), strict=True):
        ends = d.h[:500]  # in the order of the curve, not of time
        turn = np.argsort(np.arctan2(*ends.T))
        axes[0].plot(*ends[[*turn, turn[0]]].T, color=colour, label=f"g = {d.gain:g}")
    axes[0].set(xlabel="unit 1", ylabel="unit 2", aspect="equal", xlim=(-1.1, 2.0))
    some = data[2]
    for i, colour in enumerate((BLUE, VERMILION)):
        axes[1].plot(some.h[:60, i], "o-", ms=3, lw=1, color=colour, label=f"unit {i + 1}")
    axes[1].set(xlabel="step t", ylabel=f"state, g = {some.gain:g}")
    for ax in axes:
        ax.grid(True)
        ax.legend(loc="upper right", ncols=2 if ax is axes[1] else 1)
    axes[1].set(ylim=(-0.9, 1.3))
    return fig


def table_turnings(data: list[Turning]) -> Table:
    """Return period and size, predicted and measured."""
    return Table(
        ["gain", "period predicted", "measured", "|h|² predicted", "measured"],
        [
            (
                f"{d.gain:g}",
                f"{2 * np.pi / d.phi:.3f}",
                f"{2 * np.pi / d.angle:.3f}",
                f"{d.predicted2:.4f}",
                f"{d.radius2:.4f}",
            )
            for d in data
        ],
    )


# ------------------------------------------------------------------------------------------ chaos

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(101)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def mean_field(gain: float) -> tuple[float, float]:
    """Return q and lambda of a large Gaussian network, by (1.17) and (1.18)."""
    if gain <= 1:
        return 0.0, float(np.log(gain))
    q = bisect(lambda q: (WEIGHTS * np.tanh(gain * np.sqrt(q) * NODES) ** 2).sum() - q, 1e-6, 1.0)
    slope = 1 - np.tanh(gain * np.sqrt(q) * NODES) ** 2
    return q, float(0.5 * np.log(gain**2 * (WEIGHTS * slope**2).sum()))


def gaussian(seed: int, H: int) -> np.ndarray:
    """Return a random matrix with entries of variance 1/H, (H, H)."""
    return np.random.default_rng(seed).normal(size=(H, H)) / np.sqrt(H)


class Chaos(NamedTuple):
    """Lyapunov exponents of random networks: W = gain times Gaussian.

    gains : (n,); predicted : (n,), by (1.18); measured : width to (n, seeds); q, q_measured : (n,),
    mean square of the states by (1.17), and of the widest networks
    """

    gains: np.ndarray
    predicted: np.ndarray
    measured: dict[int, np.ndarray]
    q: np.ndarray
    q_measured: np.ndarray


@kept
def chaos(widths: Sequence[int] = (32, 128, 512), seeds: int = 3, T: int = 400) -> Chaos:
    """Measure the exponent over gains and widths, four runs for each network."""
    gains = np.array([0.5, 0.7, 0.9, 1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.0])
    measured = {H: np.empty((len(gains), seeds)) for H in widths}
    size = np.empty((len(gains), seeds))
    for H, (i, gain), seed in itertools.product(widths, enumerate(gains), range(seeds)):
        rng = np.random.default_rng(100 + seed)
        W, b = gain * gaussian(seed, H), np.zeros(H)
        start = orbit(rng.normal(0, 0.5, (4, H)), W, b, T // 2)[-1]
        measured[H][i, seed] = lyapunov(start, rng.normal(size=(4, H)), W, b, T).mean()
        if max(widths) == H:
            size[i, seed] = (orbit(start, W, b, 100) ** 2).mean()
    q, predicted = np.array([mean_field(g) for g in gains]).T
    return Chaos(gains, predicted, measured, q, size.mean(axis=1))


def draw_chaos(data: Chaos) -> Figure:
    """Draw the exponents against the gain, with the prediction."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.8, 3.6))
    fine = np.linspace(0.5, 3.0, 101)
    ax.plot(fine, [mean_field(g)[1] for g in fine], color=figures.FOREGROUND, label="predicted")
    for (H, found), colour, mark in zip(
        data.measured.items(), (OCHRE, GREEN, BLUE), ("s", "^", "o"), strict=False
    ):
        x = np.repeat(data.gains, found.shape[1])
        ax.plot(x, found.ravel(), mark, ms=4, mfc="none", color=colour, label=f"H = {H}")
    ax.axhline(0, lw=0.8, color=figures.FOREGROUND)
    ax.set(xlabel="gain g", ylabel="Lyapunov exponent λ", ylim=(-0.8, 0.4))
    ax.grid(True)
    ax.legend()
    return fig


def table_chaos(data: Chaos) -> Table:
    """Return predicted and measured exponents and sizes."""
    head = ["gain", "λ predicted", *(f"H = {H}" for H in data.measured), "q predicted", "measured"]
    rows = []
    for i, gain in enumerate(data.gains):
        found = [
            f"{values[i].mean():.3f} ± {values[i].std():.3f}" for values in data.measured.values()
        ]
        row = [f"{gain:g}", f"{data.predicted[i]:.3f}", *found, f"{data.q[i]:.3f}"]
        rows.append([*row, f"{data.q_measured[i]:.3f}"])
    return Table(head, rows)


def radius_below(H: int = 128, gain: float = 0.7, seed: int = 0) -> tuple[float, float]:
    """Return log of the spectral radius of one W, and the exponent measured, where h goes to 0."""
    W, b = gain * gaussian(seed, H), np.zeros(H)
    rng = np.random.default_rng(1)
    v = rng.normal(size=(1, H))
    measured = lyapunov(np.zeros((1, H)), v, W, b, 20_000)[0]
    return float(np.log(np.abs(np.linalg.eigvals(W)).max())), float(measured)


# ------------------------------------------------------------------------------ twins that part


class Twins(NamedTuple):
    """How far a PyTorch run is from the same run in NumPy, step by step.

    gain, dtype; distance : (T,), the largest difference of a unit; rate : the exponent of that
    network, measured
    """

    gain: float
    dtype: str
    distance: np.ndarray
    rate: float


def twins(H: int = 128, T: int = 400) -> list[Twins]:
    """Run one random network with both libraries: contracting and chaotic, two precisions."""
    rng = np.random.default_rng(5)
    W, b, h0 = gaussian(0, H), np.zeros(H), rng.normal(0, 0.5, (1, H))
    found = []
    for gain, dtype in ((0.8, "float64"), (2.5, "float64"), (2.5, "float32")):
        mine = orbit(h0, gain * W, b, T)
        kind = getattr(torch, dtype)
        theirs = orbits(
            torch.tensor(h0, dtype=kind), torch.tensor([gain], dtype=kind),
            torch.tensor(W, dtype=kind), torch.tensor(b, dtype=kind), T,
        )  # fmt: skip
        distance = np.abs(theirs.double().numpy() - mine).max(axis=(1, 2))
        rate = lyapunov(mine[-1], rng.normal(size=(1, H)), gain * W, b, 4000)[0]
        found.append(Twins(gain, dtype, distance, float(rate)))
    return found


def parting(data: Twins) -> tuple[float, int]:
    """Return the steps from rounding to 0.1: predicted by the exponent, and measured."""
    rounding = float(np.finfo(data.dtype).eps)
    gone = np.flatnonzero(data.distance > 0.1)
    return float(np.log(0.1 / rounding) / data.rate), int(gone[0]) + 1 if len(gone) else -1


def draw_twins(data: list[Twins]) -> Figure:
    """Draw the distances on a logarithmic axis, with the slopes that the exponents predict."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.8, 3.4))
    for d, colour in zip(data, (GREEN, BLUE, VERMILION), strict=True):
        t = np.arange(1, len(d.distance) + 1)
        ax.semilogy(
            t, np.maximum(d.distance, 1e-18), color=colour, label=f"g = {d.gain:g}, {d.dtype}"
        )
        if d.rate > 0:
            eps = np.finfo(d.dtype).eps
            line = eps * np.exp(d.rate * t)
            ax.semilogy(t[line < 1], line[line < 1], ":", color=colour)
    ax.set(xlabel="step t", ylabel="largest difference", ylim=(1e-18, 10))
    ax.grid(True)
    ax.legend(loc="center right")
    return fig


def table_twins(data: list[Twins]) -> Table:
    """Return when the two libraries differ by 0.1, predicted and measured."""
    rows = []
    for d in data:
        predicted, measured = parting(d)
        said = [f"{predicted:.0f}", str(measured)] if d.rate > 0 else ["never", "never"]
        if d.rate <= 0 and measured > 0:
            said[1] = str(measured)
        rows.append([f"{d.gain:g}", d.dtype, f"{d.rate:.3f}", *said, power(d.distance[0])])
    head = ["gain", "PyTorch in", "λ", "0.1 apart after, predicted", "measured", "apart at t = 1"]
    return Table(head, rows)


# ------------------------------------------------------------------------- content-addressed memory


class Recall(NamedTuple):
    """A Hopfield-like network.

    overlap : cue to (T + 1,), the overlap with the pattern, measured; predicted : by (1.20);
    loads : (n,), patterns for each unit; final : (n,), mean overlap at the end, random patterns;
    alone : the upper fixed point of one unit with w = beta
    """

    beta: float
    overlap: dict[float, np.ndarray]
    predicted: dict[float, np.ndarray]
    loads: np.ndarray
    final: np.ndarray
    alone: float


def hebb(patterns: np.ndarray, beta: float) -> np.ndarray:
    """Return W of (1.19) for patterns (P, H) of plus and minus 1."""
    return beta / patterns.shape[1] * patterns.T @ patterns


def hadamard(H: int) -> np.ndarray:
    """Return orthogonal rows of plus and minus 1, (H, H), H a power of 2."""
    return np.array([[1.0]]) if H == 1 else np.kron([[1, 1], [1, -1]], hadamard(H // 2))


def cue(
    pattern: np.ndarray, share: float, rng: np.random.Generator, patterns: np.ndarray | None = None
) -> np.ndarray:
    """Return a pattern with a share of its signs turned.

    With patterns (n, H), the same share of every group on which they are constant, so that the
    cue's overlap with each of them but the first stays 0.
    """
    start = pattern.copy()
    signs = np.zeros((1, len(pattern))) if patterns is None else patterns
    for group in np.unique(signs, axis=1).T:
        inside = np.flatnonzero((signs == group[:, None]).all(axis=0))
        start[rng.permutation(inside)[: round(share * len(inside))]] *= -1
    return start


def recall(beta: float = 2.0, T: int = 12, H: int = 512) -> Recall:
    """Measure how a cue is completed: three orthogonal patterns, and many random ones."""
    rng = np.random.default_rng(0)
    few = hadamard(H)[[1, 6, 11]]
    W, b = hebb(few, beta), np.zeros(H)
    overlap, predicted = {}, {}
    for flipped in (0.1, 0.3, 0.45):
        start = cue(few[0], flipped, rng, few)
        h = np.concatenate([start[None], orbit(start[None], W, b, T)[:, 0]])
        overlap[flipped] = h @ few[0] / H
        m = [overlap[flipped][0]]
        for _ in range(T):
            m.append(np.tanh(beta * m[-1]))  # (1.20)
        predicted[flipped] = np.array(m)
    loads = np.array([0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.25])
    final = np.zeros(len(loads))
    for i, load in enumerate(loads):
        for _ in range(3):
            patterns = rng.choice([-1.0, 1.0], (round(load * H), H))
            starts = np.array([cue(p, 0.1, rng) for p in patterns[:40]])
            last = orbit(starts, hebb(patterns, 10.0), b, 60)[-1]
            final[i] += float((last * patterns[:40]).mean()) / 3
    return Recall(beta, overlap, predicted, loads, final, of_unit(beta, 0.0)[0][-1])


def energy(h: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return E of (1.21) at states (..., H) strictly inside (-1, 1)."""
    cost = h * np.arctanh(h) + 0.5 * np.log1p(-h * h)
    quadratic = np.einsum("...i,ij,...j->...", h, W, h)
    return -0.5 * quadratic - h @ b + cost.sum(axis=-1)


def draw_recall(data: Recall) -> Figure:
    """Draw the overlaps over time, and what is left of recall under load."""
    figures.style()
    fig, axes = plt.subplots(1, 2, figsize=(5.8, 3.0), sharey=True)
    for (flipped, m), colour in zip(data.overlap.items(), (BLUE, GREEN, VERMILION), strict=True):
        axes[0].plot(m, color=colour, label=f"{flipped:.0%} turned")
        axes[0].plot(data.predicted[flipped], "o", ms=5, mfc="none", color=colour)
    axes[0].set(xlabel="step t", ylabel="overlap", ylim=(0, 1.05))
    axes[1].plot(data.loads, data.final, "o-", color=BLUE)
    axes[1].axvline(0.138, ls=":", color=figures.FOREGROUND)
    axes[1].set(xlabel="load, P / H", title="at the end")
    axes[0].legend()
    for ax in axes:
        ax.grid(True)
    return fig


# -------------------------------------------------------------------------- a lossy summary


class Forgetting(NamedTuple):
    """Distance of two runs under one signal: t : (T,), measured, bound (1.22), for each gain."""

    gains: tuple[float, ...]
    distance: np.ndarray
    bound: np.ndarray


def forgetting(
    gains: Sequence[float] = (0.5, 0.8, 0.95, 1.3), H: int = 64, T: int = 60
) -> Forgetting:
    """Run W = g Q from two states under the same input, and compare with the bound."""
    rng = np.random.default_rng(2)
    Q = orthogonal(rng, H)
    x, U = rng.uniform(-1, 1, (T, 1, 1)), rng.normal(0, 0.5, (H, 1))
    starts = rng.uniform(-0.9, 0.9, (2, H))
    distance = []
    for gain in gains:
        h = driven(np.repeat(x, 2, axis=1), starts, U, gain * Q, np.zeros(H))
        distance.append(np.linalg.norm(h[:, 0] - h[:, 1], axis=1))
    first = np.linalg.norm(starts[0] - starts[1])
    bound = np.array([first * float(g) ** np.arange(1, T + 1) for g in gains])
    return Forgetting(tuple(gains), np.array(distance), bound)


class Memory(NamedTuple):
    """How well each lag is read back, for some networks driven by uniform noise.

    name; r2 : (K,), on steps that were not fitted; noisy : its sum if each state is read with
    noise of 1 % of its size; inside : the sum of r² on the fitted steps; chance : what inputs
    that the network never saw give there
    """

    name: str
    r2: np.ndarray
    noisy: float
    inside: float
    chance: float
    H: int


def held_out(h: np.ndarray, x: np.ndarray, K: int) -> np.ndarray:
    """Return r² of (1.23) on the second half of a run, fitted on the first, (K,); below 0 as 0."""
    past = np.stack([x[K - 1 - k : len(x) - k] for k in range(K)], axis=1)
    h, half = h[K - 1 :], (len(x) - K + 1) // 2
    rows = np.column_stack([h, np.ones(len(h))])
    left = past[half:] - rows[half:] @ np.linalg.lstsq(rows[:half], past[:half], rcond=None)[0]
    left = (left**2).sum(axis=0)
    return np.maximum(0.0, 1 - left / ((past[half:] - past[half:].mean(axis=0)) ** 2).sum(axis=0))


def memories(H: int = 40, T: int = 8000, K: int = 100) -> list[Memory]:
    """Measure the memory of networks that differ in gain and in the size of their input."""
    rng = np.random.default_rng(7)
    Q, G = orthogonal(rng, H), gaussian(3, H)
    u = rng.choice([-1.0, 1.0], (H, 1)) / np.sqrt(H)
    x, unseen = rng.uniform(-1, 1, (2, T + 200))
    noise = rng.normal(size=(T, H))
    cases = (
        ("orthogonal, g = 0.95, tiny input", 0.95 * Q, 0.01 * u),
        ("orthogonal, g = 0.95, input 1", 0.95 * Q, u),
        ("orthogonal, g = 0.95, input 5", 0.95 * Q, 5 * u),
        ("orthogonal, g = 0.6, tiny input", 0.6 * Q, 0.01 * u),
        ("Gaussian, g = 0.95, tiny input", 0.95 * G, 0.01 * u),
        ("Gaussian, g = 2, tiny input", 2.0 * G, 0.01 * u),
    )
    found = []
    for name, W, U in cases:
        h = driven(x[:, None, None], np.full((1, H), 0.1), U, W, np.zeros(H))[200:, 0]
        blurred = h + 0.01 * h.std() * noise
        found.append(
            Memory(
                name, held_out(h, x[200:], K), float(held_out(blurred, x[200:], K).sum()),
                float(memory(h, x[200:], K).sum()), float(memory(h, unseen[200:], K).sum()), H,
            )
        )  # fmt: skip
    return found


def draw_memories(data: list[Memory]) -> Figure:
    """Draw r² against the lag."""
    figures.style()
    fig, ax = plt.subplots(figsize=(6.0, 3.6))
    colours = (BLUE, GREEN, OCHRE, PURPLE, SKY, VERMILION)
    styles = ("-", "--", ":", "-.", "-", "--")
    for d, colour, style in zip(data, colours, styles, strict=True):
        ax.plot(d.r2, style, color=colour, label=d.name)
    ax.axvline(data[0].H, ls=":", lw=1, color=figures.FOREGROUND)
    ax.set(xlabel="lag k", ylabel="r² of x(t−k), read from h(t)", ylim=(0, 1.05))
    ax.grid(True)
    ax.legend(fontsize=9)
    return fig


def table_memories(data: list[Memory]) -> Table:
    """Return the capacities: held out, and on the fitted steps with its chance level."""
    head = ["network", "capacity", "read with 1 % noise", "on the fitted steps", "there by chance"]
    return Table(
        head,
        [
            [d.name, f"{d.r2.sum():.1f}", f"{d.noisy:.1f}", f"{d.inside:.1f}", f"{d.chance:.1f}"]
            for d in data
        ],
    )


# --------------------------------------------------------------------------------------- sunspots

FIT, TEST = 221, 309  # 1700-1920 and 1921-2008
GRID = tuple(
    itertools.product((50, 100, 200), (0.4, 0.7, 0.9, 1.1), (0.1, 0.3, 0.6), (0.01, 0.1, 1.0, 10.0))
)


class Forecasts(NamedTuple):
    """One-year-ahead forecasts of the sunspot number.

    years, spots : (88,), the test; made : name to (88,), or (seeds, 88) for networks;
    chosen : rule to (H, gain, input, penalty)
    """

    years: np.ndarray
    spots: np.ndarray
    made: dict[str, np.ndarray]
    chosen: dict[str, tuple[float, ...]]


def rms(error: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(error**2)))


def autoregression(series: np.ndarray, p: int, until: int) -> np.ndarray:
    """Fit AR(p) with a constant by least squares on the years before `until`; forecast each year.

    Returns (N,), NaN for the first p years.
    """
    rows = np.column_stack(
        [*(series[p - 1 - k : len(series) - 1 - k] for k in range(p)), np.ones(len(series) - p)]
    )
    weights = np.linalg.lstsq(rows[: until - p], series[p:until], rcond=None)[0]
    return np.concatenate([np.full(p, np.nan), rows @ weights])


def states_of(seed: int, H: int, gain: float, size: float, scaled: np.ndarray) -> np.ndarray:
    """Return the states of a random network that reads a series, (N, H)."""
    rng = np.random.default_rng(seed)
    U, b = rng.uniform(-size, size, (H, 1)), rng.uniform(-0.5, 0.5, H)
    W = gain * rng.normal(size=(H, H)) / np.sqrt(H)
    return driven(scaled[:, None, None], np.zeros((1, H)), U, W, b)[:, 0]


def blocks(n: int, count: int, skip: int) -> list[np.ndarray]:
    """Return `count` contiguous blocks of the indices skip ... n-1."""
    return np.array_split(np.arange(skip, n), count)


def sunspots(seeds: int = 10, washout: int = 20) -> Forecasts:
    """Forecast 1921-2008 one year ahead: persistence, AR, and fixed networks with a read-out.

    Two rules choose a network's four settings from the years before 1921: the error on 1871-1920
    alone, and the error on ten blocks, each left out in turn.  A third looks at the test years.
    """
    years, spots = datasets.sunspots()
    root = np.sqrt(spots)
    middle, width = root[:FIT].mean(), root[:FIT].std()
    scaled = (root - middle) / width
    made = {"persistence": spots[FIT - 1 : TEST - 1]}
    for p in (2, 9):
        made[f"AR({p})"] = autoregression(spots, p, FIT)[FIT:]
        made[f"AR({p}) on square roots"] = squared(autoregression(root, p, FIT)[FIT:])

    target = scaled[1:]  # the state of year i is asked for year i + 1
    years_before = FIT - 1  # number of states whose target is before 1921
    recent = np.arange(171 - 1, years_before)
    splits = blocks(years_before, 10, washout)
    error: dict[str, dict[tuple, float]] = {"recent": {}, "blocks": {}, "test": {}}
    kept = {}
    for setting in GRID:
        H, gain, size, penalty = setting
        for name in error:
            error[name][setting] = 0.0
        for seed in range(3):
            if (key := (seed, H, gain, size)) not in kept:
                kept[key] = states_of(seed, H, gain, size, scaled)
            h = kept[key]
            before = np.arange(washout, years_before)

            def wrong(train: np.ndarray, test: np.ndarray, h=h, penalty=penalty) -> float:
                V, c = ridge(h[train], target[train, None], penalty)
                said = squared((h[test] @ V.T + c)[:, 0] * width + middle)
                return float(((said - spots[test + 1]) ** 2).sum())

            error["recent"][setting] += wrong(before[before < recent[0]], recent)
            error["blocks"][setting] += sum(wrong(np.setdiff1d(before, s), s) for s in splits)
            error["test"][setting] += wrong(before, np.arange(FIT - 1, TEST - 1))
    chosen = {rule: min(found, key=found.get) for rule, found in error.items()}
    for rule, (H, gain, size, penalty) in chosen.items():
        runs = []
        for seed in range(10, 10 + seeds):
            h = states_of(seed, H, gain, size, scaled)
            V, c = ridge(h[washout:years_before], target[washout:years_before, None], penalty)
            read = (h[FIT - 1 : TEST - 1] @ V.T + c)[:, 0]
            runs.append(squared(read * width + middle))
        made[f"network, by {rule}"] = np.array(runs)
    return Forecasts(years[FIT:], spots[FIT:], made, chosen)


def squared(root: np.ndarray) -> np.ndarray:
    """Return a forecast of square roots as numbers; a root below 0 means 0."""
    return np.clip(root, 0, None) ** 2


def errors(data: Forecasts) -> dict[str, float]:
    """Return the root mean squared error of each forecast; of networks, the mean over seeds."""
    return {
        name: float(np.mean([rms(each - data.spots) for each in np.atleast_2d(said)]))
        for name, said in data.made.items()
    }


def table_sunspots(data: Forecasts) -> Table:
    """Return the errors, the spread over seeds, and the settings."""
    rules = {
        "recent": "network, chosen on 1871–1920",
        "blocks": "network, chosen by ten blocks",
        "test": "network, chosen on the test years: not allowed",
    }
    rows = []
    for name, said in data.made.items():
        each = [rms(one - data.spots) for one in np.atleast_2d(said)]
        row = [name, f"{np.mean(each):.1f}", "", ""]
        if said.ndim == 2:
            rule = name.removeprefix("network, by ")
            H, gain, size, penalty = data.chosen[rule]
            row[0] = rules[rule]
            row[2] = f"{min(each):.1f} to {max(each):.1f}"
            row[3] = f"H = {H}, g = {gain:g}, input {size:g}, μ = {penalty:g}"
        rows.append(row)
    return Table(["forecast of 1921–2008", "RMSE (of ten: mean)", "the ten", "settings"], rows)


def table_activity(data: Forecasts, above: float = 110.0) -> Table:
    """Return the errors in active years and in the others, and how far off active ones are."""
    active = data.spots > above
    rows = []
    for name in ("persistence", "AR(9) on square roots", "network, by blocks"):
        gaps = np.atleast_2d(data.made[name]) - data.spots
        inside, outside = (
            np.mean([rms(gap[which]) for gap in gaps]) for which in (active, ~active)
        )
        bias = gaps[:, active].mean()
        rows.append([name, f"{inside:.1f}", f"{bias:+.1f}".replace("-", "−"), f"{outside:.1f}"])
    head = [f"{active.sum()} years above {above:g}: RMSE", "mean error", f"other {(~active).sum()}"]
    return Table(["forecast", *head], rows)


def draw_sunspots(data: Forecasts) -> Figure:
    """Draw the series, with one network's forecasts and those of AR(9) on square roots."""
    figures.style()
    years, spots = datasets.sunspots()
    fig, axes = plt.subplots(2, 1, figsize=(6.0, 5.1), height_ratios=(2, 3))
    axes[0].plot(years, spots, lw=1, color=figures.FOREGROUND)
    axes[0].axvspan(1921, 2008, color=SKY, alpha=0.25, lw=0)
    axes[0].set(xlabel="year", ylabel="sunspot number", xlim=(1700, 2010))
    axes[1].plot(data.years, data.spots, color=figures.FOREGROUND, label="observed")
    axes[1].plot(
        data.years, data.made["AR(9) on square roots"], "--", color=VERMILION, lw=1.3,
        label="AR(9) on roots",
    )  # fmt: skip
    axes[1].plot(
        data.years, data.made["network, by blocks"][0], ":", color=BLUE, lw=2, label="network"
    )
    axes[1].set(xlabel="year", ylabel="sunspot number", xlim=(1920, 2009), ylim=(0, 240))
    axes[1].legend(loc="upper left", ncols=3)
    for ax in axes:
        ax.grid(True)
    return fig


# ---------------------------------------------------------------------------------------- proofs


class Proof(NamedTuple):
    """A function of the chapter, the other method, and how far the two are apart, relatively."""

    name: str
    other: str
    error: float


def proofs(seed: int = 0, H: int = 6, B: int = 3, T: int = 30) -> list[Proof]:
    """Compare every function with a method that shares no line with it."""
    rng = np.random.default_rng(seed)
    h0, v = rng.uniform(-0.9, 0.9, (B, H)), rng.normal(size=(B, H))
    W, b = 1.3 * orthogonal(rng, H), rng.normal(0, 0.3, H)
    x, U = rng.normal(size=(T, B, 3)), rng.normal(0, 0.5, (H, 3))
    rnn = torch.nn.RNN(3, H, dtype=torch.float64)
    with torch.no_grad():
        for parameter, value in zip(rnn.parameters(), (U, W, b, 0 * b), strict=True):
            parameter.copy_(torch.from_numpy(value))
        theirs = rnn(torch.from_numpy(x), torch.from_numpy(h0)[None])[0].numpy()
        alone = rnn(torch.zeros(T, B, 3, dtype=torch.float64), torch.from_numpy(h0)[None])[0]

    def step(h: torch.Tensor) -> torch.Tensor:
        return torch.tanh(h @ torch.from_numpy(W.T) + torch.from_numpy(b))

    J = [torch.autograd.functional.jacobian(step, torch.from_numpy(h)).numpy() for h in h0]
    moved = h0 + 1e-60j * v  # a complex step carries the displacement through the orbit itself
    for _ in range(T):
        moved = np.tanh(moved @ W.T + b)
    growth = np.linalg.norm(moved.imag, axis=1) / 1e-60 / np.linalg.norm(v, axis=1)

    small = 0.8 * orthogonal(rng, H)  # a contraction: the only fixed point is where orbits go
    rest = orbit(h0, small, b, 2000)[-1]
    w = np.array([1.2, 2.0, 5.0])
    turn = np.array([bisect(lambda h, w=w: 1 / (1 - h * h) - w, 0.0, 1 - 1e-9) for w in w])
    h, y = rng.normal(size=(40, H)) + 1.0, rng.normal(size=(40, 2))
    long = rng.normal(size=500)
    states = driven(long[:, None, None], h0[:1], U[:, :1], small, b)[:, 0]
    return [
        Proof("orbit", "torch.nn.RNN, zero input", apart(orbit(h0, W, b, T), alone.numpy())),
        Proof("driven", "torch.nn.RNN", apart(driven(x, h0, U, W, b), theirs)),
        Proof("jacobian", "autograd", apart(jacobian(h0, W, b), np.array(J))),
        Proof("newton", "2000 steps of a contraction", apart(newton(h0, small, b, 30)[0], rest)),
        Proof("saddle_node", "bisection", apart(saddle_node(w)[0], turn)),
        Proof(
            "lyapunov", "complex step through the orbit",
            apart(lyapunov(h0, v, W, b, T), np.log(growth) / T),
        ),
        Proof(
            "memory", "lengths of projections",
            apart(memory(states, long, 8), _projected(states, long, 8)),
        ),
        Proof("ridge", "gradient of (1.25) by autograd", _ridge_gradient(h, y, 0.7)),
        Proof("orbits", "NumPy, one orbit at a time", apart(*_one_by_one(h0, W, b, T))),
    ]  # fmt: skip


def apart(one: np.ndarray, two: np.ndarray) -> float:
    """Return the largest difference, relative to the largest entry."""
    return float(np.abs(one - two).max() / np.abs(two).max())


def _projected(h: np.ndarray, x: np.ndarray, K: int) -> np.ndarray:
    basis = np.linalg.qr(h[K - 1 :] - h[K - 1 :].mean(axis=0))[0]
    past = np.stack([x[K - 1 - k : len(x) - k] for k in range(K)], axis=1)
    past = past - past.mean(axis=0)
    return ((basis.T @ past) ** 2).sum(axis=0) / (past**2).sum(axis=0)


def _ridge_gradient(h: np.ndarray, y: np.ndarray, penalty: float) -> float:
    """The largest derivative of (1.25) at the answer, relative to the one at V = 0, c = 0."""
    V, c = (torch.from_numpy(a).requires_grad_() for a in ridge(h, y, penalty))
    none = [torch.zeros_like(a, requires_grad=True) for a in (V, c)]

    def slope(V: torch.Tensor, c: torch.Tensor) -> float:
        left = torch.from_numpy(y) - torch.from_numpy(h) @ V.T - c
        grads = torch.autograd.grad((left**2).sum() + penalty * (V**2).sum(), (V, c))
        return max(float(g.abs().max()) for g in grads)

    return slope(V, c) / slope(*none)


def _one_by_one(
    h0: np.ndarray, W: np.ndarray, b: np.ndarray, T: int
) -> tuple[np.ndarray, np.ndarray]:
    gains = np.linspace(0.3, 0.9, len(h0))
    together = orbits(*(torch.from_numpy(a) for a in (h0, gains, W, b)), T).numpy()
    pairs = zip(h0, gains, strict=True)
    return together, np.concatenate([orbit(h[None], g * W, b, T) for h, g in pairs], axis=1)


def table_proofs() -> Table:
    """Return the proofs as a table."""
    rows = [[p.name, p.other, power(p.error)] for p in proofs()]
    return Table(["function", "against", "relative error"], rows)


# ---------------------------------------------------------------------------------------- pitfalls


class Pitfall(NamedTuple):
    """What is tried, and its number, predicted and measured."""

    what: str
    predicted: float
    measured: float


def pitfalls() -> list[Pitfall]:
    """Measure the pitfalls of the chapter."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    fresh = torch.nn.RNN(4, 512).weight_hh_l0.detach().double().numpy()
    radius = float(np.abs(np.linalg.eigvals(fresh)).max())
    H = 128
    W, b = 2.0 * gaussian(0, H), np.zeros(H)
    v = rng.normal(size=(1, H))
    at_zero = lyapunov(np.zeros((1, H)), v, W, b, 5000)[0]
    rho = np.log(np.abs(np.linalg.eigvals(W)).max())
    turn = np.array([[0.0, -0.9], [0.9, 0.0]]) @ np.diag([2.0, 0.5])  # eigenvalues +-0.9 i
    guess = rng.normal(size=2)
    for _ in range(1000):
        guess = turn @ guess / np.linalg.norm(guess)
    h, x = rng.normal(size=(400, 40)), rng.normal(size=400)  # nothing to do with one another
    chance = memory(h, x, 60).sum()
    return [
        Pitfall("gain of a fresh torch.nn.RNN, H = 512", 1 / np.sqrt(3), radius),
        Pitfall("λ from h(0) = 0, chaotic network", float(rho), float(at_zero)),
        Pitfall(
            "what a power iteration says of a spectral radius of 0.9", 0.9,
            float(np.linalg.norm(guess)),
        ),
        Pitfall("capacity of 40 random numbers, 60 lags, 341 steps", 60 * 40 / 340, float(chance)),
    ]  # fmt: skip


def table_pitfalls(found: list[Pitfall]) -> Table:
    """Return the pitfalls as a table."""
    return Table(
        ["", "predicted", "measured"],
        [[p.what, f"{p.predicted:.3f}", f"{p.measured:.3f}"] for p in found],
    )


# ------------------------------------------------------------------------------------------- cost


class Cost(NamedTuple):
    """Seconds for 100 steps of many orbits at once, by number of orbits and way of running."""

    count: np.ndarray
    numpy: np.ndarray
    torch: np.ndarray


def cost(counts: Sequence[int] = (1, 10, 100, 1000, 10_000), H: int = 2, T: int = 100) -> Cost:
    """Time orbits one by one against all at once; medians of five runs."""
    W = 1.2 * orthogonal(np.random.default_rng(0), H)
    b, seconds = np.zeros(H), {"numpy": [], "torch": []}
    for n in counts:
        h0, gain = np.full((n, H), 0.1), np.ones(n)
        tensors = [torch.from_numpy(a) for a in (h0, gain, W, b)]
        runs = {
            "numpy": lambda h0=h0: orbit(h0, W, b, T),
            "torch": lambda tensors=tensors: orbits(*tensors, T),
        }
        for name, run in runs.items():
            taken = []
            for _ in range(5):
                began = time.perf_counter()
                run()
                taken.append(time.perf_counter() - began)
            seconds[name].append(float(np.median(taken)))
    return Cost(np.array(counts), *(np.array(seconds[name]) for name in ("numpy", "torch")))


def table_cost(data: Cost) -> Table:
    """Return microseconds for an orbit, by the number that run together."""
    return Table(
        ["orbits at once", "NumPy, µs an orbit", "PyTorch, µs an orbit"],
        [
            [f"{n:,}", f"{a / n * 1e6:.2f}", f"{t / n * 1e6:.2f}"]
            for n, a, t in zip(data.count, data.numpy, data.torch, strict=True)
        ],
    )


# ------------------------------------------------------------------------------------- the sliders


def phase_html(w: float = 1.5, b: float = 0.05, start: float = -0.1) -> str:
    """Return the element that `_static/phase.js` turns into sliders for w, b and the start.

    Without scripts the sentence inside stays, and says what the sliders would show at first.
    """
    points, slopes = of_unit(w, b)
    said = "; ".join(
        f"{p:.4f} (slope {s:.4f}, {'attracts' if abs(s) < 1 else 'repels'})"
        for p, s in zip(points, slopes, strict=True)
    )
    return (
        f'<div class="rnn-phase" data-w="{w:g}" data-b="{b:g}" data-start="{start:g}">'
        f"<p>One unit with w = {w:g} and b = {b:g} has {len(points)} fixed points: {said}.</p>"
        "</div>"
    )
