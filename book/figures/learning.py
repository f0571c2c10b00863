"""Chapter 7: the experiments and their drawings.

Every experiment is a function that returns numbers, every figure a function that draws them.  Rules
are the references of `solutions.learning`, families of functions are in `learning_tasks`, training
and rivals in `learning_training`; equation numbers are those of the chapter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course import figures
from figures.learning_record import rates
from figures.learning_tasks import (
    TEST_CONTENTS,
    TEST_STYLES,
    TRAIN_STYLE,
    DigitFamily,
    PaintingFamily,
    Paintings,
    Problem,
    QuadraticFamily,
    Quadratics,
    as_tensor,
    crop,
)
from figures.learning_training import (
    RIVALS,
    LearnedOptimizer,
    Recipe,
    Rule,
    Training,
    read_trained,
    roll_out,
    run_rival,
)
from figures.tables import Table, power
from solutions import learning as rules

COLOURS = tuple(figures.PALETTE.values())
BLUE, VERMILION, GREEN, PURPLE, SKY, OCHRE = COLOURS
RIVAL_COLOURS = dict(zip(RIVALS, (OCHRE, SKY, GREEN, PURPLE, VERMILION), strict=True))


# ---------------------------------------------------------------------------------- the race


class Ground(NamedTuple):
    """A surface over the plane: value, gradient, where to start, and what to show of it.

    box : left, right, bottom, top
    """

    value: Callable[..., np.ndarray]
    gradient: Callable[[np.ndarray], np.ndarray]
    start: tuple[float, float]
    box: tuple[float, float, float, float]


GROUNDS: Mapping[str, Ground] = {
    "valley": Ground(
        lambda x, y: 0.5 * (x**2 + 30 * y**2),
        lambda p: np.array([p[0], 30 * p[1]]),
        (-2.5, 0.8),
        (-3, 3, -1.2, 1.2),
    ),
    "bend": Ground(
        lambda x, y: (1 - x) ** 2 + 8 * (y - x**2) ** 2,
        lambda p: np.array(
            [
                2 * (p[0] - 1) - 32 * p[0] * (p[1] - p[0] ** 2),
                16 * (p[1] - p[0] ** 2),
            ]
        ),
        (-1.3, 0.4),
        (-2, 2, -0.8, 2.4),
    ),
    "saddle": Ground(
        lambda x, y: 0.5 * (x**2 - y**2) + 0.25 * y**4 + 0.25,
        lambda p: np.array([p[0], p[1] ** 3 - p[1]]),
        (-2.0, 0.01),
        (-2.5, 1.5, -1.6, 1.6),
    ),
}

PureStep = Callable[..., tuple[np.ndarray, ...]]


class Racer(NamedTuple):
    """A hand-made rule as a runner: its arrays of state, its rate, and step(theta, d, state, t)."""

    states: int
    rate: float
    step: Callable[[np.ndarray, np.ndarray, Sequence[np.ndarray], int, float], tuple]


RACERS: Mapping[str, Racer] = {
    "SGD": Racer(1, 0.03, lambda x, d, s, t, a: rules.momentum(x, d, *s, a, 0.0)),
    "momentum": Racer(1, 0.01, lambda x, d, s, t, a: rules.momentum(x, d, *s, a, 0.9)),
    "Nesterov": Racer(1, 0.01, lambda x, d, s, t, a: rules.nesterov(x, d, *s, a, 0.9)),
    "AdaGrad": Racer(1, 0.3, lambda x, d, s, t, a: rules.adagrad(x, d, *s, a, 1e-8)),
    "RMSprop": Racer(1, 0.05, lambda x, d, s, t, a: rules.rmsprop(x, d, *s, a, 0.9, 1e-8)),
    "Adam": Racer(2, 0.1, lambda x, d, s, t, a: rules.adam(x, d, *s, t, a, 0.9, 0.99, 1e-8)),
    "AdamW": Racer(2, 0.1, lambda x, d, s, t, a: rules.adamw(x, d, *s, t, a, 0.9, 0.99, 1e-8, 0.1)),
    "AdaBound": Racer(
        2, 0.1, lambda x, d, s, t, a: rules.adabound(x, d, *s, t, a, 0.05, 0.1, 0.9, 0.99, 1e-8)
    ),
}


def path(rule: str, ground: str, steps: int = 100, times: float = 1.0) -> np.ndarray:
    """Return where a rule goes, (steps + 1, 2), with `times` its usual rate."""
    racer, field = RACERS[rule], GROUNDS[ground]
    x, state = np.array(field.start), [np.zeros(2)] * racer.states
    found = [x]
    for t in range(1, steps + 1):
        x, *state = racer.step(x, field.gradient(x), state, t, times * racer.rate)
        found.append(x)
    return np.array(found)


def race(steps: int = 100) -> dict[str, object]:
    """Return what `_static/race.js` needs: grounds with contour lines, rules with their rates.

    It walks by itself, so that rates can be changed; tests hold its walks against `path`.
    """
    grounds = {}
    for name, ground in GROUNDS.items():
        left, right, bottom, top = ground.box
        x, y = np.meshgrid(np.linspace(left, right, 61), np.linspace(bottom, top, 41))
        z = ground.value(x, y)
        levels = np.quantile(z, np.linspace(0, 1, 11)[1:-1] ** 1.5)
        contours = plt.figure().subplots().contour(x, y, z, levels)
        lines = [
            [[round(float(c), 2) for c in point] for point in line[::2]]
            for level in contours.allsegs
            for line in level
            if len(line) > 3
        ]
        plt.close()
        grounds[name] = {"start": ground.start, "box": ground.box, "lines": lines}
    return {
        "steps": steps,
        "grounds": grounds,
        "rules": {
            name: {"rate": racer.rate, "colour": COLOURS[i % 6], "dashed": i >= 6}
            for i, (name, racer) in enumerate(RACERS.items())
        },
    }


def race_html(data: dict[str, object]) -> str:
    """Return the element that `_static/race.js` turns into the race; it holds the numbers.

    Without scripts the sentence inside stays, and says who is where after the last step.
    """
    steps = data["steps"]
    ends = {name: GROUNDS["valley"].value(*path(name, "valley", steps)[-1]) for name in RACERS}
    said = "; ".join(f"{name} {value:.2g}" for name, value in ends.items())
    numbers = json.dumps(data, separators=(",", ":"))
    return (
        f'<div class="rnn-race"><script type="application/json">{numbers}</script>'
        f"<p>In the valley, {steps} steps from the same start, the value that is left: {said}."
        "</p></div>"
    )


# ------------------------------------------------------------------------ twins in torch.optim

TWINS: Mapping[str, tuple[int, Callable, Callable]] = {
    "SGD": (
        1,
        lambda x, d, s, t: rules.momentum(x, d, *s, 0.1, 0.0),
        lambda p: torch.optim.SGD(p, 0.1),
    ),
    "momentum": (
        1,
        lambda x, d, s, t: rules.momentum(x, d, *s, 0.1, 0.9),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    ),
    "Nesterov": (
        1,
        lambda x, d, s, t: rules.nesterov(x, d, *s, 0.1, 0.9),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    ),
    "AdaGrad": (
        1,
        lambda x, d, s, t: rules.adagrad(x, d, *s, 0.1, 1e-10),
        lambda p: torch.optim.Adagrad(p, 0.1),
    ),
    "RMSprop": (
        1,
        lambda x, d, s, t: rules.rmsprop(x, d, *s, 0.1, 0.99, 1e-8),
        lambda p: torch.optim.RMSprop(p, 0.1),
    ),
    "Adam": (
        2,
        lambda x, d, s, t: rules.adam(x, d, *s, t, 0.1, 0.9, 0.999, 1e-8),
        lambda p: torch.optim.Adam(p, 0.1),
    ),
    "AdamW": (
        2,
        lambda x, d, s, t: rules.adamw(x, d, *s, t, 0.1, 0.9, 0.999, 1e-8, 0.01),
        lambda p: torch.optim.AdamW(p, 0.1),
    ),
}


def twins(steps: int = 50, n: int = 8) -> dict[str, float]:
    """Return, for each rule, the largest difference from torch.optim over a run, in float64.

    Gradients are those of a quadratic with noise, the same for both.
    """
    found = {}
    for name, (states, step, make) in TWINS.items():
        rng = np.random.default_rng(1)
        curvature, noise = rng.uniform(0.1, 3, n), rng.normal(size=(steps, n))
        x, state = rng.normal(size=n), [np.zeros(n)] * states
        theirs = torch.tensor(x, requires_grad=True)
        optimizer, worst = make([theirs]), 0.0
        for t in range(1, steps + 1):
            x, *state = step(x, curvature * x + noise[t - 1], state, t)
            theirs.grad = torch.from_numpy(curvature * theirs.detach().numpy() + noise[t - 1])
            optimizer.step()
            worst = max(worst, float(np.abs(x - theirs.detach().numpy()).max()))
        found[name] = worst
    return found


def table_twins(found: Mapping[str, float]) -> Table:
    """Return the table of `twins`."""
    equations = ("(7.1)", "(7.2)", "(7.3)", "(7.4)", "(7.5)", "(7.6)", "(7.7)")
    rows = [
        [name, equation, power(error)]
        for (name, error), equation in zip(found.items(), equations, strict=True)
    ]
    return Table(["rule", "equation", "largest difference from torch.optim, 50 steps"], rows)


# --------------------------------------------------------------------------- the unrolled graph


class Graph(NamedTuple):
    """The unrolled optimizer. nodes : name -> (x, y); edges : (from, to, whether it is dropped)."""

    nodes: dict[str, tuple[float, float]]
    edges: list[tuple[str, str, bool]]


def graph(steps: int = 3) -> Graph:
    """Return the graph of three steps; dropped are the edges of the second derivatives, (7.17)."""
    nodes: dict[str, tuple[float, float]] = {}
    edges: list[tuple[str, str, bool]] = []
    for t in range(steps + 1):
        nodes[f"θ({t})"] = (3.0 * t, 1.0)
        nodes[f"f({t})"] = (3.0 * t, 2.2)
        edges.append((f"θ({t})", f"f({t})", False))
        if t == steps:
            break
        nodes[f"d({t + 1})"] = (3.0 * t + 0.9, -0.1)
        nodes[f"m({t + 1})"] = (3.0 * t + 1.8, -1.3)
        edges.append((f"θ({t})", f"d({t + 1})", True))
        edges.append((f"d({t + 1})", f"m({t + 1})", True))
        edges.append((f"θ({t})", f"θ({t + 1})", False))
        edges.append((f"m({t + 1})", f"θ({t + 1})", False))
        if t:
            edges.append((f"m({t})", f"m({t + 1})", False))
    return Graph(nodes, edges)


def draw_graph(data: Graph) -> Figure:
    """Draw the graph; what the paper drops is dashed."""
    figures.style()
    fig, ax = plt.subplots(figsize=(6.4, 3.2))
    for one, other, dropped in data.edges:
        ax.annotate(
            "",
            data.nodes[other],
            data.nodes[one],
            arrowprops={
                "arrowstyle": "-|>",
                "color": VERMILION if dropped else figures.FOREGROUND,
                "linestyle": "--" if dropped else "-",
                "shrinkA": 15,
                "shrinkB": 15,
                "linewidth": 1.4,
            },
        )
    for name, (x, y) in data.nodes.items():
        colour = BLUE if name[0] == "m" else figures.FOREGROUND
        ax.plot(x, y, "o", ms=28, mfc="none", mec=colour, mew=1.4)
        ax.text(x, y, name, ha="center", va="center", fontsize=10)
    ax.set(xlim=(-0.7, 9.7), ylim=(-1.9, 2.8))
    ax.axis("off")
    return fig


# ------------------------------------------------------------------------------ meta-gradients


def flat(grads: Sequence[torch.Tensor]) -> np.ndarray:
    """Return one vector of many gradients."""
    return np.concatenate([g.detach().numpy().ravel() for g in grads])


def small_problem(
    functions: int = 4, n: int = 5, seed: int = 0, hidden: int = 4
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Return W, y, theta and a random phi in float64, for checking gradients."""
    rng = np.random.default_rng(seed)
    shapes = ((4 * hidden, 1), (4 * hidden, hidden), (4 * hidden,), (4 * hidden, hidden))
    shapes += ((4 * hidden, hidden), (4 * hidden,), (hidden,), (1,))
    phi = [torch.from_numpy(rng.normal(0, 1.2, shape)) for shape in shapes]
    W = torch.from_numpy(rng.normal(size=(functions, n, n)))
    y, theta = (torch.from_numpy(rng.normal(size=(functions, n))) for _ in range(2))
    return W, y, theta, phi


def meta_check(T: int = 8, eps: float = 1e-5) -> dict[str, dict[str, float]]:
    """Return how far meta-gradients are from central differences of the meta-loss, relatively.

    "momentum": (7.18) in NumPy; "learned": autograd through the LSTM; each with and without
    second derivatives.
    """
    W, y, theta, phi = small_problem()
    arrays = W.numpy(), y.numpy(), theta.numpy(), np.zeros(theta.shape)
    weights, at = np.ones(T), np.array([0.01, 0.6])

    def loss_of(point: np.ndarray) -> float:
        return float(rules.meta_loss(*arrays, *point, weights))

    unit = eps * np.eye(2)
    truth = np.array([(loss_of(at + e) - loss_of(at - e)) / (2 * eps) for e in unit])
    found: dict[str, dict[str, float]] = {"momentum": {}, "learned": {}}
    for second in (True, False):
        hand = np.array(rules.meta_gradient(*arrays, *at, weights, second))
        found["momentum"]["kept" if second else "dropped"] = distance(hand, truth)

    def learned_loss(phi: list[torch.Tensor]) -> float:
        return float(rules.learned_meta_gradient(W, y, theta, phi, T, True)[0])

    truth_parts = []
    for which, each in enumerate(phi):
        for index in np.ndindex(tuple(each.shape)):
            values = []
            for sign in (1, -1):
                moved = [p.clone() for p in phi]
                moved[which][index] += sign * eps
                values.append(learned_loss(moved))
            truth_parts.append((values[0] - values[1]) / (2 * eps))
    for second in (True, False):
        _, grads = rules.learned_meta_gradient(W, y, theta, phi, T, second)
        found["learned"]["kept" if second else "dropped"] = distance(
            flat(grads), np.array(truth_parts)
        )
    return found


def distance(one: np.ndarray, truth: np.ndarray) -> float:
    """Return the length of the difference, relative to the truth's."""
    return float(np.linalg.norm(one - truth) / np.linalg.norm(truth))


def table_meta_check(found: Mapping[str, Mapping[str, float]]) -> Table:
    """Return the table of `meta_check`."""
    rows = [[name, power(each["kept"]), f"{each['dropped']:.1g}"] for name, each in found.items()]
    return Table(["rule", "second derivatives kept", "dropped"], rows)


def as_phi(optimizer: LearnedOptimizer) -> list[torch.Tensor]:
    """Return the eight arrays of exercise 7.10, in float64; the two biases are added."""
    lstm, found = optimizer.lstm, []
    for layer in (0, 1):
        found += [getattr(lstm, f"weight_{kind}_l{layer}") for kind in ("ih", "hh")]
        found.append(getattr(lstm, f"bias_ih_l{layer}") + getattr(lstm, f"bias_hh_l{layer}"))
    found += [optimizer.readout.weight[0], optimizer.readout.bias]
    return [each.detach().double() for each in found]


class Bias(NamedTuple):
    """Biased meta-gradients against the whole one.

    horizon : (m,); second : (m, 2), cosine and length of the gradient without second derivatives,
    for runs of so many steps; chunk : (m,), cut : (m, 2), the same for chunks of k steps of the
    longest run, second derivatives kept
    """

    horizon: np.ndarray
    second: np.ndarray
    chunk: np.ndarray
    cut: np.ndarray


def bias(optimizer: LearnedOptimizer, functions: int = 16, longest: int = 40) -> Bias:
    """Measure what dropping second derivatives and what truncation do to the meta-gradient."""
    problem = QuadraticFamily().sample(np.random.default_rng(5), functions)
    W, y, theta = (part.double() for part in (problem.W, problem.y, problem.theta0))
    phi = as_phi(optimizer)

    def compare(one: np.ndarray, whole: np.ndarray) -> list[float]:
        size = np.linalg.norm(whole)
        return [float(one @ whole / np.linalg.norm(one) / size), float(np.linalg.norm(one) / size)]

    horizons = np.array([1, 2, 5, 10, 20, longest])
    second = []
    for T in horizons:
        whole, dropped = (
            flat(rules.learned_meta_gradient(W, y, theta, phi, int(T), keep)[1])
            for keep in (True, False)
        )
        second.append(compare(dropped, whole))
    chunks = np.array([1, 2, 5, 10, 20, longest])
    whole = chunked_gradient(W, y, theta, phi, longest, longest)
    cut = [compare(chunked_gradient(W, y, theta, phi, longest, int(k)), whole) for k in chunks]
    return Bias(horizons, np.array(second), chunks, np.array(cut))


def chunked_gradient(
    W: torch.Tensor, y: torch.Tensor, theta: torch.Tensor, phi: list[torch.Tensor], T: int, k: int
) -> np.ndarray:
    """Return the meta-gradient of T steps when none crosses a border between chunks, (7.19)."""
    phi = [each.clone().requires_grad_() for each in phi]
    F, n = theta.shape
    h = theta.new_zeros(2, F * n, len(phi[6]))
    c, L = torch.zeros_like(h), theta.new_zeros(())
    for t in range(T):
        if t % k == 0:
            theta, h, c = theta.detach(), h.detach(), c.detach()
        residual = (W @ theta[..., None])[..., 0] - y
        d = 2 * (residual[:, None] @ W)[:, 0]
        step, h, c = rules.learned_step(d.reshape(-1, 1), h, c, phi)
        theta = theta + step.view(F, n)
        L = L + ((W @ theta[..., None])[..., 0] - y).square().sum(-1).mean()
    return flat(torch.autograd.grad(L, phi))


def draw_bias(data: Bias) -> Figure:
    """Draw `bias`: two panels, cosine and length each."""
    figures.style()
    fig, axes = plt.subplots(2, 1, figsize=(5.2, 5.4))
    for ax, x, y, label in (
        (axes[0], data.horizon, data.second, "steps of the run, T; second derivatives dropped"),
        (axes[1], data.chunk, data.cut, "steps in a chunk, k"),
    ):
        ax.semilogx(x, y[:, 0], "o-", ms=4, color=BLUE, label="cosine with the whole gradient")
        ax.semilogx(x, y[:, 1], "s--", ms=4, color=VERMILION, label="length over its length")
        ax.set(xlabel=label, xticks=x, xticklabels=x)
        ax.minorticks_off()
        ax.grid(True)
    axes[0].legend()
    return fig


# --------------------------------------------------------------------------- a fair comparison

COARSE = tuple(float(f"{10**e:.3g}") for e in np.arange(-4, 1.6, 0.5))


class Curves(NamedTuple):
    """Runs of a learned optimizer and of tuned rivals on the same held-out functions.

    learned : (T+1, G); rivals : name -> (T+1, G); rate : name -> the tuned rate; best : (T+1,), the
    smallest of the rivals' medians at each step
    """

    learned: np.ndarray
    rivals: dict[str, np.ndarray]
    rate: dict[str, float]
    best: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """The ratio of medians at each step, (7.21)."""
        return np.median(self.learned, axis=1) / self.best

    def medians(self, first: int, last: int) -> dict[str, float]:
        """Return the median of each function's mean loss over the steps first ... last, by rule."""
        runs = {"learned": self.learned, **self.rivals}
        return {
            name: float(np.median(losses[first : last + 1].mean(axis=0)))
            for name, losses in runs.items()
        }

    def of_mean(self, steps: int, first: int = 1) -> float:
        """The ratio for the mean loss over the steps first ... steps of each function."""
        medians = self.medians(first, steps)
        return medians.pop("learned") / min(medians.values())


def no_nan(losses: torch.Tensor) -> np.ndarray:
    """Return losses as an array; a run that left the numbers is infinitely bad."""
    array = losses.double().cpu().numpy()
    return np.where(np.isnan(array), np.inf, array)


def tune(
    rule: Rule,
    problem: Problem,
    steps: int,
    slowing: bool = False,
    grid: Sequence[float] = COARSE,
) -> float:
    """Return the rate with the smallest median loss at the last step: a grid, then its neighbours.

    Two rates to a decade from 1e-4 to 32, then a quarter of a decade to either side of the best.
    Larger rates are not tried after two in a row that are ten times as bad as the best before.
    """

    def score(rate: float) -> float:
        with np.errstate(all="ignore"):
            return float(np.median(no_nan(run_rival(rule, rate, problem, steps, slowing))[-1]))

    scores: dict[float, float] = {}
    for rate in grid:
        scores[rate] = score(rate)
        if min([*scores.values()][-2:]) > 10 * min(scores.values()):
            break
    best = min(scores, key=scores.__getitem__)
    scores |= {rate: score(rate) for rate in (best * 10**-0.25, best * 10**0.25)}
    return min(scores, key=scores.__getitem__)


def compare(
    optimizer: LearnedOptimizer,
    tuning: Problem,
    held: Problem,
    steps: int = 100,
    rate: Mapping[str, float] | None = None,
) -> Curves:
    """Tune every rival for 100 steps, and run all of them, and the learned one, on other functions.

    rate : rates of those rivals that are to run, if they have been tuned before
    """
    if rate is None:
        rate = {name: tune(rule, tuning, 100) for name, rule in RIVALS.items()}
    runs = {name: no_nan(run_rival(RIVALS[name], each, held, steps)) for name, each in rate.items()}
    learned = no_nan(roll_out(optimizer, held, steps).losses)
    best = np.min([np.median(losses, axis=1) for losses in runs.values()], axis=0)
    return Curves(learned, runs, dict(rate), best)


def draw_curves(panels: Mapping[str, Curves]) -> Figure:
    """Draw medians and quartiles, one panel for each comparison, on logarithmic axes."""
    figures.style()
    fig, axes = plt.subplots(
        len(panels), 1, figsize=(5.4, 0.6 + 2.9 * len(panels)), squeeze=False, sharex=False
    )
    for ax, (title, data) in zip(axes[:, 0], panels.items(), strict=True):
        lines = {"learned": data.learned, **data.rivals}
        for name, losses in lines.items():
            colour = BLUE if name == "learned" else RIVAL_COLOURS[name]
            low, middle, high = np.quantile(losses, [0.25, 0.5, 0.75], axis=1)
            wide = 2.6 if name == "learned" else 1.3
            label = name if name == "learned" else f"{name}, rate {data.rate[name]:.2g}"
            ax.semilogy(middle, color=colour, lw=wide, label=label)
            ax.fill_between(np.arange(len(low)), low, high, color=colour, alpha=0.13, lw=0)
        finite = np.concatenate([np.median(v, axis=1) for v in lines.values()])
        finite = finite[np.isfinite(finite)]
        ax.set(title=title, xlabel="step", ylabel="loss")
        ax.set_ylim(finite.min() / 2, data.learned[0].max() * 2)
        ax.legend(fontsize=8)
        ax.grid(True)
    return fig


def table_ratios(panels: Mapping[str, Curves], at: Sequence[int], last: int = 0) -> Table:
    """Return the ratios of (7.21) at some steps, of the mean over the run, and the best rival.

    last : of how many steps before each of `at` the mean is compared too; 0 for none
    """
    rows = []
    for title, data in panels.items():
        medians = {name: np.median(losses, axis=1) for name, losses in data.rivals.items()}
        ratios = [
            f"{data.ratio[t]:.2f} ({min(medians, key=lambda n: medians[n][t])})"
            if t < len(data.ratio)
            else "—"
            for t in at
        ]
        means = [
            f"{data.of_mean(t, t - last + 1):.2f}" if t < len(data.ratio) else "—"
            for t in at
            if last
        ]
        rows.append([title, f"{data.of_mean(at[0]):.2f}", *ratios, *means])
    head = ["functions", f"mean of steps 1–{at[0]}", *(f"step {t} (best rival)" for t in at)]
    head += [f"mean of steps {t - last + 1}–{t}" for t in at if last]
    return Table(head, rows)


# ---------------------------------------------------------------------- experiment a: quadratics

QUADRATIC_RECIPE = Recipe(functions=64, coordinates=10, updates=400, rate=5e-3, every=40)


def train_quadratics(
    seed: int = 0,
    recipe: Recipe = QUADRATIC_RECIPE,
    told: Callable[[str], None] | None = None,
) -> Training:
    """Train a learned optimizer on quadratics; the training's optimizer has the best phi."""
    torch.manual_seed(seed)
    held = QuadraticFamily().sample(np.random.default_rng(100 + seed), 1000)

    def score(optimizer: LearnedOptimizer) -> float:
        last = roll_out(optimizer, held, recipe.steps).losses[-1]
        return float(np.median(no_nan(last[None])))

    recipe = Recipe(**{**recipe.__dict__, "seed": seed})
    training = Training(LearnedOptimizer(p=None), [QuadraticFamily()], recipe, score)
    training.run(told=told)
    training.optimizer.load_state_dict(training.best_phi)
    return training


def quadratics(optimizer: LearnedOptimizer, seed: int = 0) -> Curves:
    """Compare on 2,000 held-out quadratics; rivals are tuned on 1,000 others."""
    return compare(optimizer, *quadratic_problems(seed))


def quadratic_problems(seed: int) -> tuple[Quadratics, Quadratics]:
    """Return 1,000 functions to tune rivals on, and 2,000 others to compare on."""
    tuning, held = (
        QuadraticFamily().sample(np.random.default_rng(1000 * which + seed), functions)
        for which, functions in ((1, 1000), (2, 2000))
    )
    return tuning, held


MOMENTA = (0.8, 0.85, 0.88, 0.9, 0.92, 0.95, 0.98)
"""What mu is tuned over, where it is."""

MOMENTUM_RATES = tuple(float(f"{10 ** (e / 8):.3g}") for e in range(-19, -9))
"""Eight rates to a decade, where the best for these mu lie: a fine grid, since a cliff is near."""


def yardsticks(
    problems: tuple[Quadratics, Quadratics] | None = None, steps: int = 100
) -> dict[str, np.ndarray]:
    """Return median losses (T+1,) of rules that are better informed, or better tuned, than rivals.

    "Chebyshev": (7.10) for each function's own extreme curvatures and so many steps, in float64;
    "momentum, mu tuned" and "Nesterov, mu tuned": rate and mu from a grid.

    problems : to tune on and to compare on; those of `quadratics` by default
    """
    tuning, held = quadratic_problems(0) if problems is None else problems
    W, y, x = (part.double().numpy() for part in (held.W, held.y, held.theta0))
    curvature = 2 * np.linalg.svd(W, compute_uv=False) ** 2
    plans = [rules.chebyshev(c[-1], c[0], steps)[0] for c in curvature]
    # Large and small rates in turn, so that rounding is not blown up on the way.
    order = interleaved(steps)
    rates, losses = np.array(plans)[:, order], []
    for t in range(steps + 1):
        residual = np.einsum("fmn,fn->fm", W, x) - y
        losses.append((residual**2).sum(-1))
        if t < steps:
            x = x - rates[:, t, None] * 2 * np.einsum("fmn,fm->fn", W, residual)

    found = {"Chebyshev": np.median(losses, axis=1)}

    def last(rule: Rule, rate: float) -> float:
        return float(np.median(no_nan(run_rival(rule, rate, tuning, steps))[-1]))

    for name, ahead in (("momentum", False), ("Nesterov", True)):
        each = [with_momentum(mu, ahead) for mu in MOMENTA]
        pairs = [(rule, rate) for rule in each for rate in MOMENTUM_RATES]
        rule, rate = min(pairs, key=lambda pair: last(*pair))
        runs = no_nan(run_rival(rule, rate, held, steps))
        found[f"{name}, mu tuned"] = np.median(runs, axis=1)
    return found


def with_momentum(mu: float, ahead: bool) -> Rule:
    """Return momentum, or Nesterov's, with another mu than its rivals have."""
    return lambda p, rate: torch.optim.SGD(p, lr=rate, momentum=mu, nesterov=ahead)


def interleaved(steps: int) -> np.ndarray:
    """Return 0 ... steps-1 so that neighbours in value are far apart in time (bit reversal)."""
    bits = max(1, int(np.ceil(np.log2(steps))))
    order = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(2**bits)]
    return np.array([i for i in order if i < steps])


# -------------------------------------------------------------------------- experiment b: digits

ARCHITECTURES: Mapping[str, dict[str, object]] = {
    "20 sigmoid units": {},
    "40 sigmoid units": {"hidden": 40},
    "two layers of 20": {"layers": 2},
    "20 ReLU units": {"activations": ("relu",)},
}


TUNING, HELD = 12, 32
"""How many networks rivals are tuned on, and how many others all are compared on."""


def digits(
    optimizer: LearnedOptimizer | None = None,
    architecture: str = "20 sigmoid units",
    seed: int = 0,
    steps: int = 100,
    tuning: int = TUNING,
    held: int = HELD,
    rate: Mapping[str, float] | None = None,
) -> Curves:
    """Compare on networks that were not trained on; rivals are tuned on others, or have a rate."""
    optimizer = read_trained("digits").optimizer if optimizer is None else optimizer
    family = DigitFamily(**ARCHITECTURES[architecture])
    problems = digit_problems(family, seed, tuning, held)
    return compare(optimizer, *problems, steps=steps, rate=rate)


def digit_problems(
    family: DigitFamily, seed: int, tuning: int, held: int
) -> tuple[Problem, Problem]:
    """Return so many functions to tune rivals on, and so many others to compare on."""
    return (
        family.sample(np.random.default_rng(3000 + seed), tuning),
        family.sample(np.random.default_rng(4000 + seed), held),
    )


def trained_by(
    rule: LearnedOptimizer | tuple[Rule, float], problem: Problem, steps: int = 100
) -> torch.Tensor:
    """Return theta (F, n) after some steps of the learned optimizer, or of a rule with a rate."""
    if isinstance(rule, LearnedOptimizer):
        return roll_out(rule, problem, steps).theta
    theta = problem.theta0.clone()
    theta.grad, (make, rate) = torch.zeros_like(theta), rule
    optimizer = make([theta], rate)
    for step in range(steps):
        theta.grad.copy_(problem.value_and_gradient(theta, step)[1])
        optimizer.step()
    return theta


def dead_units(rule: LearnedOptimizer | tuple[Rule, float], held: int = 8) -> float:
    """Return the share of ReLU units that are 0 on every digit after 100 steps."""
    problem = DigitFamily(activations=("relu",)).sample(np.random.default_rng(4000), held)
    x, (rows, columns) = problem.data[0], problem.shapes["0.weight"]
    weight, bias, _ = trained_by(rule, problem).split(
        [rows * columns, rows, problem.theta0.shape[1] - rows * columns - rows], dim=1
    )
    before = x @ weight.view(held, rows, columns).mT + bias[:, None]
    return float((before <= 0).all(1).float().mean())


FACTORS = (0.25, 0.5, 1.0, 2.0)


def other_steps(
    optimizer: LearnedOptimizer | None = None, held: int = 8
) -> dict[str, dict[float, tuple[float, float]]]:
    """Multiply every step of a learned optimizer by a factor, on networks of three kinds.

    Returns architecture -> factor -> median of the mean loss over 100 steps, and of the last loss.
    """
    optimizer = read_trained("digits").optimizer if optimizer is None else optimizer
    found: dict[str, dict[float, tuple[float, float]]] = {}
    usual = optimizer.scale
    for name in ("20 sigmoid units", "two layers of 20", "20 ReLU units"):
        problem = DigitFamily(**ARCHITECTURES[name]).sample(np.random.default_rng(4000), held)
        found[name] = {}
        for factor in FACTORS:
            optimizer.scale = factor * usual
            losses = no_nan(roll_out(optimizer, problem, 100).losses)
            optimizer.scale = usual
            found[name][factor] = tuple(
                float(np.median(v)) for v in (losses[1:].mean(0), losses[-5:].mean(0))
            )
    return found


def table_steps(found: Mapping[str, Mapping[float, tuple[float, float]]]) -> Table:
    """Return the table of `other_steps`."""
    rows = [
        [f"{factor:g}", *(f"{number:.3f}" for name in found for number in found[name][factor])]
        for factor in FACTORS
    ]
    head = [f"{name}: {what}" for name in found for what in ("mean of 100", "last five")]
    return Table(["steps, times", *head], rows)


# ---------------------------------------------------------------------- experiment c: neural art


def paintings(
    size: int = 64,
    styles: Sequence[str] = TEST_STYLES,
    optimizer: LearnedOptimizer | None = None,
    seed: int = 0,
    each: int = 2,
    rate: Mapping[str, float] | None = None,
) -> dict[str, Curves]:
    """Compare on test pictures: style -> runs on so many of them.

    rate : the rates of the rivals to compare with; all of them by default, as recorded
    """
    optimizer = read_trained("paintings", seed).optimizer if optimizer is None else optimizer
    rate = rates("paintings", seed) if rate is None else rate
    problems = {style: painting_problem(size, style, seed, each) for style in styles}
    return {style: compare(optimizer, held, held, rate=rate) for style, held in problems.items()}


def painting_problem(size: int, style: str, seed: int, functions: int) -> Problem:
    """Return paintings of test pictures in one style."""
    family = PaintingFamily(size, TEST_CONTENTS, (style,))
    return family.sample(np.random.default_rng(6000 + seed), functions)


def together(found: Sequence[Curves]) -> Curves:
    """Return the runs of several comparisons, with the same rates, as one."""
    learned = np.concatenate([each.learned for each in found], axis=1)
    rivals = {
        name: np.concatenate([each.rivals[name] for each in found], axis=1)
        for name in found[0].rivals
    }
    best = np.min([np.median(losses, axis=1) for losses in rivals.values()], axis=0)
    return Curves(learned, rivals, found[0].rate, best)


PAINTING_RATES = tuple(rate for rate in COARSE if 2e-4 < rate <= 1)
"""The part of the grid in which the best rates for paintings lie, with room on either side."""

SLOWING_RATES = tuple(rate for rate in COARSE if 0.005 < rate <= 1)
"""The same for Adam, if its rate is that of the first step and falls."""


def tune_painting(
    name: str, seed: int = 0, slowing: bool = False, grid: Sequence[float] = PAINTING_RATES
) -> float:
    """Return a rival's rate for paintings, tuned on three of the training family at 64 x 64."""
    tuning = PaintingFamily(64).sample(np.random.default_rng(5000 + seed), 3)
    return tune(RIVALS[name], tuning, 100, slowing, grid)


HINDSIGHT = (0.056, 0.1, 0.18)


def in_hindsight(style: str, seed: int = 0, each: int = 2) -> tuple[float, float]:
    """Return what a style's first gradient is, and Adam's loss at step 100 with its best rate.

    The root mean square of the gradient, and the smallest median with the rates of `HINDSIGHT`.
    """
    problem = painting_problem(64, style, seed, each)
    steep = problem.value_and_gradient(problem.theta0, 0)[1].square().mean().sqrt()
    last = [no_nan(run_rival(RIVALS["Adam"], rate, problem, 100))[-1] for rate in HINDSIGHT]
    return float(steep), float(min(np.median(losses) for losses in last))


def slowing_digits(seed: int = 0) -> np.ndarray:
    """Return Adam's losses (101, G) on digits if its rate falls to 0 over 100 steps, tuned anew."""
    tuning, held = digit_problems(DigitFamily(), seed, TUNING, HELD)
    rate = tune(RIVALS["Adam"], tuning, 100, slowing=True, grid=SLOWING_RATES)
    return no_nan(run_rival(RIVALS["Adam"], rate, held, 100, slowing=True))


def slowing_paintings(seed: int = 0, each: int = 2) -> np.ndarray:
    """Return the same on paintings at 64 x 64 with test styles."""
    rate = tune_painting("Adam", seed, slowing=True, grid=SLOWING_RATES)
    held = [painting_problem(64, style, seed, each) for style in TEST_STYLES]
    runs = [no_nan(run_rival(RIVALS["Adam"], rate, one, 100, slowing=True)) for one in held]
    return np.concatenate(runs, axis=1)


class Triple(NamedTuple):
    """A painting: content, style, and what two optimizers made of them, (3, H, W) each."""

    content: np.ndarray
    style: np.ndarray
    learned: np.ndarray
    adam: np.ndarray
    losses: tuple[float, float]


def triples(
    rate: float, optimizer: LearnedOptimizer | None = None, steps: int = 100
) -> list[Triple]:
    """Paint three pictures: training style at 64 x 64, test styles at 64 x 64 and at 128 x 128."""
    optimizer = read_trained("paintings").optimizer if optimizer is None else optimizer
    found = []
    for content, style, size in (
        ("astronaut", TRAIN_STYLE, 64),
        ("chelsea", "retina", 64),
        ("astronaut", "brick", 128),
    ):
        family = PaintingFamily(size)
        noise = np.random.default_rng(7).uniform(0.25, 0.75, (1, 3 * size**2))
        c, s = crop(content, size)[None], crop(style, size, zoom=0.6)[None]
        problem = Paintings(c, s, as_tensor(noise), family.features, family.weight, family.smooth)
        ends = [trained_by(rule, problem, steps) for rule in (optimizer, (RIVALS["Adam"], rate))]
        losses = [float(problem.losses(theta)) for theta in ends]
        both = [theta.view(3, size, size).clamp(0, 1).numpy() for theta in ends]
        found.append(Triple(c[0].numpy(), s[0].numpy(), *both, tuple(losses)))
    return found


def draw_triples(data: Sequence[Triple]) -> Figure:
    """Draw the paintings, one row each."""
    figures.style()
    fig, axes = plt.subplots(len(data), 4, figsize=(6.2, 1.75 * len(data)))
    for row, triple in zip(axes, data, strict=True):
        shown = (triple.content, triple.learned, triple.adam, triple.style)
        names = (
            "content",
            f"learned: {triple.losses[0]:.0f}",
            f"Adam: {triple.losses[1]:.0f}",
            "style",
        )
        for ax, image, name in zip(row, shown, names, strict=True):
            ax.imshow(image.transpose(1, 2, 0), interpolation="none")  # its own pixels: a third
            ax.set_title(name, fontsize=9)
            ax.axis("off")
    return fig


# ----------------------------------------------------------------------------- what was kept


def table_made(names: Sequence[str] = ("digits", "mixed", "paintings")) -> Table:
    """Return the table of the kept phi: how each was trained, and for how long."""
    rows = []
    for name in names:
        made = read_trained(name).made
        done = [*made["runs"], *[0] * (len(made["planned"]) - len(made["runs"]))]
        runs = " + ".join(
            str(did) if did == planned else f"{did} of {planned}"
            for did, planned in zip(done, made["planned"], strict=True)
        )
        took = f"{made['processor_seconds']:,}"
        rows.append([name, made["command"], made["starts_from"], runs, took])
    head = ["kept", "command", "starts from", "runs, phase by phase", "seconds of processor time"]
    return Table(head, rows)


# ------------------------------------------------------------------------ what else it learns


class Response(NamedTuple):
    """The step in answer to one gradient, after a history.

    gradient : (n,); learned, adam : history's name -> (n,), steps; adam's are scaled to the same
    size at the largest gradient after the steady history
    """

    gradient: np.ndarray
    learned: dict[str, np.ndarray]
    adam: dict[str, np.ndarray]


HISTORIES: Mapping[str, Callable[[int], float]] = {
    "steady": lambda t: 0.01,
    "alternating": lambda t: 0.01 * (-1) ** t,
}


def response(optimizer: LearnedOptimizer | None = None, before: int = 30) -> Response:
    """Feed a history of gradients of size 0.01, then one of each size, and look at the step."""
    optimizer = read_trained("digits").optimizer if optimizer is None else optimizer
    sizes = 10.0 ** np.linspace(-4, 0, 41)
    gradient = np.concatenate([-sizes[::-1], sizes])
    learned, adam = {}, {}
    for name, history in HISTORIES.items():
        past = torch.tensor([history(t) for t in range(before)])[:, None].expand(-1, len(gradient))
        both = torch.cat([past, as_tensor(gradient)[None]])
        with torch.no_grad():
            learned[name] = optimizer(both, optimizer.start(len(gradient)))[0][-1].numpy()
        x, m, s = (np.zeros(len(gradient)) for _ in range(3))
        for t, d in enumerate(both.numpy().astype(float), 1):
            x_before = x
            x, m, s = rules.adam(x, d, m, s, t, 1.0, 0.9, 0.999, 1e-8)
        adam[name] = x - x_before
    scale = np.abs(learned["steady"]).max() / np.abs(adam["steady"]).max()
    return Response(gradient, learned, {name: scale * step for name, step in adam.items()})


def table_response(data: Response) -> Table:
    """Return the table of some steps of a response."""
    at = [int(np.abs(data.gradient - d).argmin()) for d in (-1, -0.01, 0.01, 1)]
    rows = [
        [name, who, *(f"{steps[name][i]:+.3f}" for i in at)]
        for name in data.learned
        for who, steps in (("learned", data.learned), ("Adam, scaled", data.adam))
    ]
    return Table(["history", "rule", *(f"step at {data.gradient[i]:g}" for i in at)], rows)


def draw_response(data: Response) -> Figure:
    """Draw steps against gradients, signs kept, sizes on a logarithmic axis."""
    figures.style()
    fig, axes = plt.subplots(2, 1, figsize=(5.4, 5.2), sharex=True)
    for ax, name in zip(axes, data.learned, strict=True):
        ax.plot(data.gradient, data.learned[name], color=BLUE, label="learned")
        ax.plot(data.gradient, data.adam[name], "--", color=PURPLE, label="Adam, scaled")
        ax.set_xscale("symlog", linthresh=1e-4)
        ax.set(title=f"after 30 {name} gradients of size 0.01", ylabel="step")
        ax.axhline(0, lw=0.6, color=figures.FOREGROUND)
        ax.grid(True)
        ax.legend()
    ends = [-1, -1e-2, -1e-4, 0, 1e-4, 1e-2, 1]
    labels = ["−1", "−0.01", "−0.0001", "0", "0.0001", "0.01", "1"]
    axes[1].set(xlabel="the next gradient", xticks=ends, xticklabels=labels)
    return fig


def far(optimizer: LearnedOptimizer, factors: Sequence[float] = (0.01, 0.1, 1.0, 10.0, 100.0)):
    """Return, for quadratics times a factor, the median of f(theta(100)) / f(theta(0)): {c: r}."""
    problem = QuadraticFamily().sample(np.random.default_rng(9), 500)
    found = {}
    for factor in factors:
        root = float(np.sqrt(factor))
        scaled = Quadratics(root * problem.W, root * problem.y, problem.theta0)
        losses = no_nan(roll_out(optimizer, scaled, 100).losses)
        found[factor] = float(np.median(losses[-1] / losses[0]))
    return found


def table_far(found: Mapping[float, float]) -> Table:
    """Return the table of `far`."""
    rows = [[f"{factor:g}", power(value)] for factor, value in found.items()]
    return Table(["f is multiplied by", "median of f(θ(100)) / f(θ(0))"], rows)
