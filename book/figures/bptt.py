"""Chapter 3: the experiments and their drawings.

Every experiment is a function that returns numbers, every figure a function that draws them:
`draw_ledger(ledger())`.  The network is the reference of `solutions.bptt`; equation numbers are
those of the chapter.
"""

from __future__ import annotations

import json
import os
import platform
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course import datasets, figures
from figures.tables import Table, power
from solutions.bptt import (
    clip,
    forward,
    grad_h,
    grad_o,
    grad_params,
    loss,
    rtrl,
    train,
    truncated,
)  # fmt: skip

BLUE, VERMILION, GREEN = (figures.PALETTE[name] for name in ("blue", "vermilion", "green"))
PURPLE, OCHRE = figures.PALETTE["purple"], figures.PALETTE["ochre"]


# --------------------------------------------------------------------------- networks and tables


class Net(NamedTuple):
    """A network, an input and a target; float64.

    x : (T, B, D), h0 : (B, H), U : (H, D), W : (H, H), b : (H,), V : (K, H), c : (K,),
    y : (T, B), mask : (T, B)
    """

    x: np.ndarray
    h0: np.ndarray
    U: np.ndarray
    W: np.ndarray
    b: np.ndarray
    V: np.ndarray
    c: np.ndarray
    y: np.ndarray
    mask: np.ndarray

    @property
    def arguments(self) -> tuple[np.ndarray, ...]:
        """The seven arguments of `forward`."""
        return tuple(self[:7])


def orthogonal(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a random orthogonal matrix, (size, size)."""
    q, r = np.linalg.qr(rng.normal(size=(size, size)))
    return q * np.sign(np.diag(r))  # without the signs the distribution is not uniform


def network(
    seed: int = 0, T: int = 6, B: int = 2, D: int = 3, H: int = 4, K: int = 5, gain: float = 0.9
) -> Net:
    """Return a small random network with W = gain * Q, Q orthogonal, and one padded step."""
    rng = np.random.default_rng(seed)
    mask = np.ones((T, B))
    mask[-1, -1] = 0.0
    return Net(
        x=rng.normal(size=(T, B, D)),
        h0=rng.normal(0, 0.5, (B, H)),
        U=rng.normal(0, 0.5, (H, D)),
        W=gain * orthogonal(rng, H),
        b=rng.normal(0, 0.2, H),
        V=rng.normal(0, 0.7, (K, H)),
        c=rng.normal(0, 0.2, K),
        y=rng.integers(0, K, (T, B)),
        mask=mask,
    )


# ------------------------------------------------------------------------- four ways, one gradient

PARAMETERS = ("U", "W", "b", "V", "c", "h0", "x")


def by_hand(net: Net) -> dict[str, np.ndarray]:
    """Return the gradients of (3.11)-(3.17), by name."""
    h, o = forward(*net.arguments)
    do = grad_o(o, net.y, net.mask)
    dh = grad_h(do, h, net.W, net.V)
    da = dh * (1 - h * h)  # (3.10)
    five = grad_params(dh, do, net.x, h, net.h0)
    gradients = dict(zip(("U", "W", "b", "V", "c"), five, strict=True))
    return gradients | {"h0": da[0] @ net.W, "x": da @ net.U}  # (3.16), (3.17)


def by_rtrl(net: Net) -> dict[str, np.ndarray]:
    """Return the gradients of U, W, b by (3.20), forward in time."""
    _, o = forward(*net.arguments)
    g = grad_o(o, net.y, net.mask) @ net.V
    return dict(zip(("U", "W", "b"), rtrl(g, net.x, net.h0, net.U, net.W, net.b), strict=True))


def by_complex_step(net: Net, eps: float = 1e-30) -> dict[str, np.ndarray]:
    """Return all gradients by (3.21): one forward pass for each number, no subtraction."""
    names = Net._fields[:7]
    gradients = {}
    for name in PARAMETERS:
        value = getattr(net, name)
        gradients[name] = np.empty(value.shape)
        for index in np.ndindex(value.shape):
            arguments = {n: getattr(net, n).astype(complex) for n in names}
            arguments[name][index] += 1j * eps
            _, o = forward(**arguments)
            gradients[name][index] = loss(o, net.y, net.mask).imag / eps
    return gradients


def twin(net: Net) -> tuple[torch.nn.RNN, torch.nn.Linear]:
    """Return torch.nn.RNN and a linear layer with the weights of `net`; the second bias is 0."""
    D, H, K = net.x.shape[-1], net.W.shape[0], net.V.shape[0]
    rnn = torch.nn.RNN(D, H, dtype=torch.float64)
    head = torch.nn.Linear(H, K, dtype=torch.float64)
    values = {
        rnn.weight_ih_l0: net.U, rnn.weight_hh_l0: net.W, rnn.bias_ih_l0: net.b,
        rnn.bias_hh_l0: np.zeros_like(net.b), head.weight: net.V, head.bias: net.c,
    }  # fmt: skip
    with torch.no_grad():
        for parameter, value in values.items():
            parameter.copy_(torch.from_numpy(value))
    return rnn, head


def by_autograd(net: Net) -> dict[str, np.ndarray]:
    """Return all gradients by torch.nn.RNN, a linear layer and cross_entropy, in float64."""
    rnn, head = twin(net)
    x = torch.from_numpy(net.x).requires_grad_()
    h0 = torch.from_numpy(net.h0).requires_grad_()
    o = head(rnn(x, h0[None])[0])
    each = torch.nn.functional.cross_entropy(
        o.flatten(0, 1), torch.from_numpy(net.y).flatten(), reduction="none"
    )
    (each * torch.from_numpy(net.mask).flatten()).sum().backward()
    leaves = {
        "U": rnn.weight_ih_l0, "W": rnn.weight_hh_l0, "b": rnn.bias_ih_l0,
        "V": head.weight, "c": head.bias, "h0": h0, "x": x,
    }  # fmt: skip
    return {name: leaf.grad.numpy() for name, leaf in leaves.items()}


def difference(one: np.ndarray, two: np.ndarray) -> float:
    """Return the largest difference, relative to the largest entry of `one`."""
    return float(np.abs(one - two).max() / np.abs(one).max())


def four_ways(net: Net | None = None) -> dict[str, dict[str, float | None]]:
    """Return how far each method is from the hand-derived gradient, by parameter and method.

    RTRL gives the recurrent parameters only: None elsewhere.
    """
    net = network() if net is None else net
    hand = by_hand(net)
    others = {
        "RTRL": by_rtrl(net),
        "complex step": by_complex_step(net),
        "autograd": by_autograd(net),
    }
    return {
        name: {
            method: difference(hand[name], found[name]) if name in found else None
            for method, found in others.items()
        }
        for name in PARAMETERS
    }


def table_four_ways(found: dict[str, dict[str, float | None]]) -> Table:
    """Return the table of `four_ways`, with the shape of each gradient."""
    net, letters = network(), {"U": "(H, D)", "W": "(H, H)", "b": "(H,)", "V": "(K, H)"}
    letters |= {"c": "(K,)", "h0": "(B, H)", "x": "(T, B, D)"}
    rows = [
        [
            name,
            letters[name],
            getattr(net, name).size,
            *("—" if v is None else power(v) for v in found[name].values()),
        ]
        for name in PARAMETERS
    ]
    return Table(["gradient of", "shape", "numbers", *next(iter(found.values()))], rows)


def step_sizes() -> dict[str, np.ndarray]:
    """Return the error of central differences and of the complex step against the step's size.

    One entry of W of a small network; the hand-derived gradient is the truth.
    """
    net, index = network(), (1, 2)
    truth = by_hand(net)["W"][index]

    def at(shift: complex) -> complex:
        W = net.W.astype(complex if isinstance(shift, complex) else float)
        W[index] += shift
        arguments = [a.astype(W.dtype) for a in net.arguments]
        arguments[3] = W
        return loss(forward(*arguments)[1], net.y, net.mask)

    eps = 10.0 ** -np.arange(1, 21)
    central = [(at(e) - at(-e)) / (2 * e) for e in eps]  # e from float64: stays real
    step = [at(1j * e).imag / e for e in eps]
    floor = np.finfo(float).eps / 10  # where the axis ends; an error of exactly 0 is drawn there
    return {
        "eps": eps,
        "central": np.maximum(np.abs(np.array(central) / truth - 1), floor),
        "complex": np.maximum(np.abs(np.array(step) / truth - 1), floor),
    }


def draw_step_sizes(data: dict[str, np.ndarray]) -> Figure:
    """Draw `step_sizes`."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.2, 3.2))
    ax.loglog(
        data["eps"], data["central"], "o-", ms=4, color=VERMILION, label="central differences"
    )
    ax.loglog(data["eps"], data["complex"], "o-", ms=4, color=BLUE, label="complex step")
    ax.invert_xaxis()
    ax.set(xlabel="step ε", ylabel="relative error")
    ax.legend()
    ax.grid(True)
    return fig


# ------------------------------------------------------------------------- the scalar, linear case


class Scalar(NamedTuple):
    """One check of (3.22): a name, the formula's value, and the complex step's."""

    name: str
    formula: float
    complex_step: float


def scalar_case(
    w: float = 0.9, v: float = 1.3, h0: float = 0.7, y: float = 2.0, L: int = 20
) -> list[Scalar]:
    """Return the derivatives of (3.22) for o = v w^L h0 and l = (y - o)^2."""

    def run(w: complex, v: complex, h0: complex) -> complex:
        h = h0
        for _ in range(L):
            h = w * h
        return v * h

    def squared(w: complex, v: complex, h0: complex) -> complex:
        return (y - run(w, v, h0)) ** 2

    i = 1e-30j
    o = run(w, v, h0)
    return [
        Scalar("do/dv", w**L * h0, run(w, v + i, h0).imag / 1e-30),
        Scalar("do/dw", v * L * w ** (L - 1) * h0, run(w + i, v, h0).imag / 1e-30),
        Scalar("do/dh0", v * w**L, run(w, v, h0 + i).imag / 1e-30),
        Scalar("dl/dv", -2 * (y - o) * w**L * h0, squared(w, v + i, h0).imag / 1e-30),
        Scalar(
            "dl/dw", -2 * (y - o) * v * L * w ** (L - 1) * h0, squared(w + i, v, h0).imag / 1e-30
        ),
    ]


def table_scalar(found: list[Scalar]) -> Table:
    """Return the table of `scalar_case`."""
    names = {"do/dv": "o for v", "do/dw": "o for w", "do/dh0": "o for h(0)"}
    names |= {"dl/dv": "(y − o)² for v", "dl/dw": "(y − o)² for w"}
    rows = [
        [
            names[r.name],
            f"{r.formula:.6f}",
            f"{r.complex_step:.6f}",
            power(abs(r.formula - r.complex_step)),
        ]
        for r in found
    ]
    printed = -found[3].formula
    error = abs(printed - found[3].complex_step)
    rows.append(
        [
            "(y − o)² for v, as printed",
            f"{printed:.6f}",
            f"{found[3].complex_step:.6f}",
            power(error),
        ]
    )
    return Table(["derivative of", "formula", "complex step", "difference"], rows)


class Growth(NamedTuple):
    """By how much two derivatives of (3.22) grow from L = 10 to L = 20, by complex step.

    w; output : do/dh0 at 20 over the one at 10; squared : dl/dv at 20 over the one at 10
    """

    w: float
    output: float
    squared: float


def growth(ws: Sequence[float] = (2.0, -2.0)) -> list[Growth]:
    """Measure how fast the scalar case explodes, for each w."""
    found = []
    for w in ws:
        short, long = (
            {row.name: row.complex_step for row in scalar_case(w=w, L=L)} for L in (10, 20)
        )
        ratio = {name: long[name] / short[name] for name in ("do/dh0", "dl/dv")}
        found.append(Growth(w, ratio["do/dh0"], ratio["dl/dv"]))
    return found


def table_growth(found: list[Growth]) -> Table:
    """Return the table of `growth`."""
    rows = [
        [f"{g.w:g}".replace("-", "−"), f"{g.output:.0f}", f"{g.squared / 1e6:.2f}·10⁶"]
        for g in found
    ]
    return Table(["w", "o for h(0), from L = 10 to 20: times", "(y − o)² for v: times"], rows)


class SumOrProduct(NamedTuple):
    """The derivative of L(2) for w in a network of one unit and two steps, three times."""

    printed: float
    product: float
    complex_step: float


def sum_or_product(w: float = 0.8, u: float = 0.5, a0: float = 0.6) -> SumOrProduct:
    """Return the gradient of a two-step loss as source 003 prints it, and as it is.

    a1 = tanh(w a0 + u x1), a2 = tanh(w a1 + u x2), L = a2; one unit, where the printed sum has a
    meaning at all.
    """
    x1, x2 = 0.3, -0.4

    def run(w: complex) -> tuple[complex, complex]:
        a1 = np.tanh(w * a0 + u * x1)
        return a1, np.tanh(w * a1 + u * x2)

    a1, a2 = run(w)
    slope1, slope2 = 1 - a1**2, 1 - a2**2
    printed = slope2 * a1 + slope2 * w * (slope1 * a0 + slope1 * w)
    product = slope2 * a1 + slope2 * w * slope1 * a0  # the last factor is da0/dw = 0
    return SumOrProduct(float(printed), float(product), float(run(w + 1e-30j)[1].imag / 1e-30))


def order_of_factors(seed: int = 4, H: int = 4) -> tuple[float, float]:
    """Return how far diag(p) diag(q) W W is from d a2/d a0, and diag(p) W diag(q) W from it.

    Both as relative errors in the Frobenius norm; the truth is a complex step.
    """
    rng = np.random.default_rng(seed)
    W, a0 = rng.normal(0, 0.8, (H, H)), rng.normal(size=H)

    def run(a0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a1 = np.tanh(W @ a0)
        return a1, np.tanh(W @ a1)

    a1, a2 = run(a0)
    truth = np.stack(
        [run(a0 + 1e-30j * unit)[1].imag / 1e-30 for unit in np.eye(H)], axis=1
    )  # column j: derivative for a0_j
    q, p = np.diag(1 - a1**2), np.diag(1 - a2**2)
    norm = np.linalg.norm(truth)
    return (
        float(np.linalg.norm(p @ q @ W @ W - truth) / norm),
        float(np.linalg.norm(p @ W @ q @ W - truth) / norm),
    )


# --------------------------------------------------------------------------------------- the ledger


class Ledger(NamedTuple):
    """How much each step's copy of W adds to the gradient of each step's loss.

    gains : (n,); norms : (n, T, T), Frobenius norms for each gain, row s the loss of step s+1,
    column t the copy of step t+1; error : the largest relative difference between a row's sum of
    matrices and the gradient of that loss; lag : the task's delay
    """

    gains: tuple[float, ...]
    norms: np.ndarray
    error: float
    lag: int


def ledger_of(net: Net) -> tuple[np.ndarray, float]:
    """Return the norms of dL(s)/dW(t), (3.19), (T, T), and the error of a row's sum, (3.18)."""
    T = len(net.x)
    h, o = forward(*net.arguments)
    before = np.concatenate([net.h0[None], h[:-1]])
    norms, errors = np.zeros((T, T)), [0.0]
    for s in range(T):
        only = np.zeros_like(net.mask)
        only[s] = net.mask[s]
        if not only.any():
            continue
        do = grad_o(o, net.y, only)
        dh = grad_h(do, h, net.W, net.V)
        da = dh * (1 - h * h)  # (3.10)
        copies = da.transpose(0, 2, 1) @ before  # (T, H, H), summed over the batch alone
        norms[s] = np.linalg.norm(copies, axis=(1, 2))
        total = grad_params(dh, do, net.x, h, net.h0)[1]
        errors.append(difference(total, copies.sum(0)))
    return norms, max(errors)


def ledger(
    gains: Sequence[float] = (1.0, 0.5),
    H: int = 32, K: int = 4, T: int = 16, B: int = 1024, lag: int = 4,
) -> Ledger:  # fmt: skip
    """Measure an untrained network on "say the symbol of four steps ago", W = gain * Q."""
    rng = np.random.default_rng(3)
    x, y, mask = datasets.echo(rng, T, B, K, lag)
    # Small U and V: tanh is then nearly linear, and the softmax nearly uniform.
    U, Q, V = rng.normal(0, 0.03, (H, K)), orthogonal(rng, H), rng.normal(0, 0.02, (K, H))
    found = [
        ledger_of(Net(x, np.zeros((B, H)), U, gain * Q, np.zeros(H), V, np.zeros(K), y, mask))
        for gain in gains
    ]
    return Ledger(tuple(gains), np.stack([n for n, _ in found]), max(e for _, e in found), lag)


def ledger_facts(data: Ledger) -> dict[str, float]:
    """Return the three numbers that the chapter predicts of the ledger.

    above : the largest norm above the diagonal; outside : the mean norm of the copies before the
    symbol, as a share of the band's; ratio : the second gain's band over the first's
    """
    T, lag = data.norms.shape[1], data.lag
    s, t = np.mgrid[:T, :T]
    scored = s >= lag
    band = scored & (t <= s) & (t > s - lag)
    early = scored & (t <= s - lag) & (t > 0)  # copy 1 multiplies h(0) = 0
    first, second = data.norms[0], data.norms[1]
    return {
        "above": float(data.norms[:, t > s].max()),
        "outside": float(first[early].mean() / first[band].mean()),
        "ratio": float(second[band].mean() / first[band].mean()),
    }


def draw_ledger(data: Ledger) -> Figure:
    """Draw the ledgers of the first two gains in one scale of colour."""
    figures.style()
    fig, axes = plt.subplots(1, 2, figsize=(5.4, 3.0), sharey=True)
    T = data.norms.shape[1]
    for ax, norms, gain in zip(axes, data.norms, data.gains, strict=True):
        shown = np.where(norms > 0, norms, np.nan)  # nothing is drawn where nothing can be
        picture = ax.imshow(
            shown / data.norms.max(), origin="lower", norm="log", vmin=1e-3, vmax=1,
            extent=(0.5, T + 0.5, 0.5, T + 0.5),
        )  # fmt: skip
        ax.set(title=f"gain {gain:g}", xlabel="copy of W, step t", xticks=(1, 4, 8, 12, 16))
    axes[0].set(ylabel="loss of step s", yticks=(1, 4, 8, 12, 16))
    fig.colorbar(picture, ax=axes, shrink=0.8, label="norm, share of the largest")
    return fig


# ------------------------------------------------------------------------------ norms over distance


class Decay(NamedTuple):
    """Norms of the product (3.23) over n = 0 ... N steps, for one W.

    name; kind: "linear" or "tanh"; n : (N+1,); norm : (N+1,), the spectral norm measured;
    predicted : (N+1,), rho^n for a linear network, the bound (3.24) for tanh;
    gamma : the largest 1 - h^2 on the way (1 for linear)
    """

    name: str
    kind: str
    n: np.ndarray
    norm: np.ndarray
    predicted: np.ndarray
    gamma: float


def products(h: np.ndarray, W: np.ndarray) -> list[np.ndarray]:
    """Return d h(T)/d h(t) for t = T, T-1, ..., 1, each (H, H), by (3.23).

    h : (T, H), the states of one sequence; zeros give the linear network.
    """
    jacobian = np.eye(len(W))
    found = [jacobian]
    for state in h[:0:-1]:
        jacobian = jacobian @ ((1 - state * state)[:, None] * W)
        found.append(jacobian)
    return found


def spectra(N: int, H: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return Q, orthogonal, and G, Gaussian, (H, H); U : (H, 2); x : (N+1, 1, 2), one input."""
    rng = np.random.default_rng(1)
    Q, G = orthogonal(rng, H), rng.normal(size=(H, H))
    G = G / np.abs(np.linalg.eigvals(G)).max()  # spectral radius 1, norm about 2
    return Q, G, rng.normal(0, 0.3, (H, 2)), rng.normal(size=(N + 1, 1, 2))


def states_of(x: np.ndarray, U: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return the states (T, B, H) without biases, from h(0) = 0."""
    B, H = x.shape[1], len(W)
    h, _ = forward(x, np.zeros((B, H)), U, W, np.zeros(H), np.zeros((1, H)), np.zeros(1))
    return h


def decays(N: int = 40, H: int = 32, gains: Sequence[float] = (0.8, 1.0, 1.25)) -> list[Decay]:
    """Measure ||d h(T)/d h(t)||_2 against T - t: W = gain * Q, and a Gaussian W, twice."""
    Q, G, U, x = spectra(N, H)
    n = np.arange(N + 1)
    found = []
    for gain in gains:
        for name, W in (("orthogonal", gain * Q), ("Gaussian", gain * G)):
            linear = np.zeros((N + 1, H))
            norm = np.array([np.linalg.norm(J, 2) for J in products(linear, W)])
            found.append(Decay(f"{name} {gain:g}", "linear", n, norm, gain ** n.astype(float), 1.0))
        h = states_of(x, U, gain * Q)
        norm = np.array([np.linalg.norm(J, 2) for J in products(h[:, 0], gain * Q)])
        gamma = float((1 - h[1:] ** 2).max())
        bound = (gamma * gain) ** n.astype(float)
        found.append(Decay(f"orthogonal {gain:g}", "tanh", n, norm, bound, gamma))
    return found


def draw_decays(data: list[Decay]) -> Figure:
    """Draw `decays`: linear above, tanh below."""
    figures.style()
    fig, axes = plt.subplots(2, 1, figsize=(5.2, 6.2), sharex=True)
    colours = {"0.8": BLUE, "1": GREEN, "1.25": VERMILION}
    for d in data:
        ax = axes[0] if d.kind == "linear" else axes[1]
        family, gain = d.name.split()
        style = "-" if family == "orthogonal" else ":"
        label = f"gain {gain}" if style == "-" else None
        ax.semilogy(d.n, d.norm, style, color=colours[gain], label=label)
        if family == "orthogonal":
            every = slice(0, None, 4)
            marks = "o" if d.kind == "linear" else "--"
            what = (d.n[every], d.predicted[every]) if d.kind == "linear" else (d.n, d.predicted)
            ax.semilogy(*what, marks, ms=4, lw=1, mfc="none", color=colours[gain])
    axes[0].set(title="linear: rings predicted, dotted Gaussian")
    axes[1].set(title="tanh: dashed the bound (3.24)", xlabel="steps back, T − t")
    for ax in axes:
        ax.set(ylabel="norm of ∂h(T)/∂h(t)")
        ax.legend(loc="upper left")
        ax.grid(True)
    axes[1].legend(loc="lower left")
    return fig


def table_decays(data: list[Decay]) -> Table:
    """Return the slopes of `decays` over the second half of the steps, as a factor for one step."""
    rows = []
    for d in data:
        half = len(d.n) // 2
        factor = float(np.exp(np.polyfit(d.n[half:], np.log(d.norm[half:]), 1)[0]))
        per_step = d.predicted[1]
        said = f"{per_step:g}" if d.kind == "linear" else f"at most {per_step:.4f}"
        rows.append(
            [d.kind, d.name, f"{d.norm[1]:.3f}", said, f"{factor:.3f}", f"{d.norm[-1]:.2g}"]
        )
    order = sorted(range(len(rows)), key=lambda i: rows[i][0] == "tanh")  # stable: linear first
    head = ["network", "W", "norm, 1 step", "predicted a step, later", "measured", "norm, 40 steps"]
    return Table(head, [rows[i] for i in order])


class Draws(NamedTuple):
    """Norms of the product (3.23) over N steps for one tanh network and many random inputs.

    scale : (n,), the standard deviation of the input; norm : (n, draws)
    """

    scale: tuple[float, ...]
    norm: np.ndarray


def draws(
    scales: Sequence[float] = (0.0, 0.1, 0.3, 1.0, 3.0),
    N: int = 40, H: int = 32, gain: float = 1.25, count: int = 100,
) -> Draws:  # fmt: skip
    """Measure the network of `decays` with W = gain * Q on `count` inputs of each size."""
    Q, _, U, _ = spectra(N, H)
    rng = np.random.default_rng(0)
    norm = np.empty((len(scales), count))
    for i, scale in enumerate(scales):
        h = states_of(scale * rng.normal(size=(N + 1, count, 2)), U, gain * Q)
        norm[i] = [np.linalg.norm(products(h[:, j], gain * Q)[-1], 2) for j in range(count)]
    return Draws(tuple(scales), norm)


def table_draws(data: Draws) -> Table:
    """Return the table of `draws`."""
    rows = [
        [f"{scale:g}", *(f"{v:.2g}" if v < 1000 else f"{v:.0f}" for v in quantiles)]
        for scale, quantiles in zip(
            data.scale, np.quantile(data.norm, (0, 0.5, 1), axis=1).T, strict=True
        )
    ]
    count = data.norm.shape[1]
    head = ["size of the input", f"norm, 40 steps: smallest of {count}", "median", "largest"]
    return Table(head, rows)


class NonNormal(NamedTuple):
    """Norms of W^n: n, norm, rho^n, sigma^n, each (N+1,), and rho, sigma, peak, peak_at."""

    n: np.ndarray
    norm: np.ndarray
    radius_power: np.ndarray
    norm_power: np.ndarray
    radius: float
    sigma: float
    peak: float
    peak_at: int


def non_normal(H: int = 8, diagonal: float = 0.7, above: float = 0.8, N: int = 80) -> NonNormal:
    """Measure ||W^n||_2 for a W that hands each unit's state on to the next: eigenvalues 0.7."""
    W = diagonal * np.eye(H) + above * np.eye(H, k=1)
    n = np.arange(N + 1)
    norm = np.array([np.linalg.norm(J, 2) for J in products(np.zeros((N + 1, H)), W)])
    radius = float(np.abs(np.diag(W)).max())  # triangular: its eigenvalues stand on the diagonal
    sigma = float(np.linalg.norm(W, 2))
    return NonNormal(
        n, norm, radius**n, sigma**n, radius, sigma, float(norm.max()), int(norm.argmax())
    )


def draw_non_normal(data: NonNormal) -> Figure:
    """Draw `non_normal`."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.2, 3.4))
    ax.semilogy(data.n, data.norm, color=BLUE, label="measured norm of Wⁿ")
    ax.semilogy(data.n, data.norm_power, "--", lw=1, color=VERMILION, label="bound σⁿ")
    ax.semilogy(data.n, data.radius_power, "--", lw=1, color=GREEN, label="spectral radius ρⁿ")
    ax.axhline(1, lw=0.8, color=figures.FOREGROUND)
    ax.set(xlabel="steps back, n", ylabel="norm", ylim=(1e-9, 1e4))
    ax.legend(loc="lower left")
    ax.grid(True)
    return fig


# ---------------------------------------------------------------------------------------- the cliff


class Cliff(NamedTuple):
    """A loss surface of one tanh unit over w and b, and two descents on it.

    w : (n,), b : (m,), surface : (m, n), the loss; free, clipped : (steps+1, 2), the points (w, b)
    of gradient descent without and with clipping; free_loss, clipped_loss : (steps+1,);
    steepest : the largest gradient norm met without clipping; threshold : theta of (3.26)
    """

    w: np.ndarray
    b: np.ndarray
    surface: np.ndarray
    free: np.ndarray
    clipped: np.ndarray
    free_loss: np.ndarray
    clipped_loss: np.ndarray
    steepest: float
    threshold: float


def units(
    w: np.ndarray, b: np.ndarray, T: int, h0: float, target: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return loss, dL/dw, dL/db, each (n,), of n one-unit networks with L = (h(T) - target)^2.

    A diagonal W holds n networks that never meet, so that one pass of the reference runs them all.
    """
    n = len(w)
    x = np.zeros((T, 1, 1))
    start, U, V = np.full((1, n), h0), np.zeros((n, 1)), np.eye(n)
    W = np.diag(w)
    h, _ = forward(x, start, U, W, b, V, np.zeros(n))
    do = np.zeros_like(h)
    do[-1] = 2 * (h[-1] - target)
    dh = grad_h(do, h, W, V)
    _, dW, db, _, _ = grad_params(dh, do, x, h, start)
    return (h[-1, 0] - target) ** 2, np.diag(dW), db


def descend(
    start: tuple[float, float], rate: float, steps: int, theta: float, **task: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the points (steps+1, 2), losses (steps+1,) and largest gradient norm of a descent."""
    point, points, losses, steepest = np.array(start), [], [], 0.0
    for _ in range(steps + 1):
        value, dw, db = units(point[:1], point[1:], **task)
        points.append(point)
        losses.append(value[0])
        (step,), norm = clip([np.array([dw[0], db[0]])], theta)
        steepest = max(steepest, float(norm))
        point = point - rate * step
    return np.array(points), np.array(losses), steepest


def cliff(
    T: int = 15, h0: float = 0.5, target: float = 0.5, rate: float = 0.05, theta: float = 1.0
) -> Cliff:
    """Return the surface of (h(T) - target)^2 and two descents from the same point."""
    task = {"T": T, "h0": h0, "target": target}
    w, b = np.linspace(0.7, 2.1, 141), np.linspace(-0.4, 0.3, 71)
    surface = np.stack([units(w, np.full_like(w, value), **task)[0] for value in b])
    free, free_loss, steepest = descend((1.6, 0.0), rate, 60, np.inf, **task)
    clipped, clipped_loss, _ = descend((1.6, 0.0), rate, 60, theta, **task)
    return Cliff(w, b, surface, free, clipped, free_loss, clipped_loss, steepest, theta)


def draw_cliff(data: Cliff) -> Figure:
    """Draw the surface with both paths, and the loss along them."""
    figures.style()
    fig, axes = plt.subplots(2, 1, figsize=(5.2, 6.6), height_ratios=(3, 2))
    picture = axes[0].pcolormesh(data.w, data.b, data.surface, shading="nearest", rasterized=True)
    fig.colorbar(picture, ax=axes[0], label="loss")
    axes[0].set(xlim=(data.w[0], data.w[-1]), ylim=(data.b[0], data.b[-1]), xlabel="w", ylabel="b")
    paths = (
        ("not clipped", data.free, data.free_loss, VERMILION, "o-"),
        ("clipped", data.clipped, data.clipped_loss, "#ffffff", "o-"),
    )
    for label, points, losses, colour, style in paths:
        axes[0].plot(points[:, 0], points[:, 1], style, ms=3, lw=1.2, color=colour, label=label)
        line = BLUE if label == "clipped" else colour
        axes[1].semilogy(np.maximum(losses, 1e-6), style, ms=3, lw=1.2, color=line, label=label)
    axes[0].legend(loc="upper left", labelcolor="white")  # where the surface is dark
    axes[1].set(xlabel="step of gradient descent", ylabel="loss")
    axes[1].legend()
    axes[1].grid(True)
    return fig


# --------------------------------------------------------------------------------------- truncation


class Truncation(NamedTuple):
    """Error of the truncated gradient of W against k, for one gain.

    gain; k : (n,); error, cosine : (n,), chunks of k, (3.27); along : (n,), the part of the error
    along the whole gradient; predicted : (n,), the error by (3.28); window : (n,), the error when
    every loss reaches k steps back
    """

    gain: float
    k: np.ndarray
    error: np.ndarray
    cosine: np.ndarray
    along: np.ndarray
    predicted: np.ndarray
    window: np.ndarray


def truncation(
    gains: Sequence[float] = (0.7, 1.0), T: int = 64, B: int = 256, H: int = 24
) -> list[Truncation]:
    """Compare the truncated gradient of W with the whole one, for a random network."""
    return [_truncation(gain, T, B, H) for gain in gains]


def _truncation(gain: float, T: int, B: int, H: int) -> Truncation:
    rng = np.random.default_rng(5)
    D = K = 4
    U, W = rng.normal(0, 0.15, (H, D)), gain * orthogonal(rng, H)
    V, b, c = rng.normal(0, 0.5, (K, H)), np.zeros(H), np.zeros(K)
    x, y, mask = datasets.echo(rng, T, B, K, 0)
    h0 = np.zeros((B, H))
    h, o = forward(x, h0, U, W, b, V, c)
    do = grad_o(o, y, mask)
    slope, before = 1 - h * h, np.concatenate([h0[None], h[:-1]])

    by_distance = np.zeros((T, H, H))  # entry d: all pairs of a loss and a copy d steps apart
    for s in range(T):
        only = np.zeros_like(do)
        only[s] = do[s]
        da = grad_h(only[: s + 1], h[: s + 1], W, V) * slope[: s + 1]
        copies = da.transpose(0, 2, 1) @ before[: s + 1]
        by_distance[: s + 1] += copies[::-1]
    whole = by_distance.sum(0)

    ks = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])
    error, cosine, along, predicted, window = [], [], [], [], []
    size = np.linalg.norm(whole)
    for k in ks:
        dW = grad_params(truncated(do, h, W, V, int(k)), do, x, h, h0)[1]
        error.append(np.linalg.norm(dW - whole) / size)
        cosine.append((dW * whole).sum() / (np.linalg.norm(dW) * size))
        along.append(1 - (dW * whole).sum() / size**2)
        kept = kept_share(T, int(k))
        predicted.append(np.linalg.norm(np.tensordot(1 - kept, by_distance, 1)) / size)
        window.append(np.linalg.norm(by_distance[k:].sum(0)) / size)
    return Truncation(gain, ks, *map(np.array, (error, cosine, along, predicted, window)))


def kept_share(T: int, k: int) -> np.ndarray:
    """Return, for each distance d = 0 ... T-1, the share of pairs (t, t+d) inside one chunk.

    Counted, not computed: (3.28) holds for T a multiple of k, here the last chunk may be shorter.
    """
    chunk = np.arange(T) // k
    return np.array([(chunk[d:] == chunk[: T - d]).mean() for d in range(T)])


def draw_truncation(data: list[Truncation]) -> Figure:
    """Draw the errors of `truncation`, one panel for each gain."""
    figures.style()
    fig, axes = plt.subplots(len(data), 1, figsize=(5.2, 6.0), sharex=True)
    for ax, d in zip(axes, data, strict=True):
        inside = d.k < d.k[-1]  # at k = T all errors are zero, which no logarithm shows
        ax.loglog(d.k[inside], d.error[inside], "o-", ms=4, color=VERMILION, label="chunks of k")
        ax.loglog(d.k[inside], d.predicted[inside], "--", lw=1, color=VERMILION, label="by (3.28)")
        ax.loglog(d.k[inside], d.window[inside], "s-", ms=4, color=BLUE, label="every loss k back")
        ax.set(title=f"gain {d.gain:g}", ylabel="relative error of ∇W", ylim=(1e-6, 3))
        ax.legend(loc="lower left")
        ax.grid(True)
    axes[-1].set(xlabel="horizon k", xticks=(1, 2, 4, 8, 16, 32), xticklabels=(1, 2, 4, 8, 16, 32))
    axes[-1].minorticks_off()
    return fig


def table_truncation(data: list[Truncation]) -> Table:
    """Return error, prediction, angle and what is only too short, for some k."""
    rows = [
        [
            f"{d.gain:g}",
            int(k),
            f"{d.error[i]:.3f}",
            f"{d.predicted[i]:.3f}",
            f"{np.degrees(np.arccos(min(d.cosine[i], 1.0))):.0f}°",
            "—" if k == d.k[-1] else f"{(d.along[i] / d.error[i]) ** 2:.2f}",  # no error at k = T
        ]
        for d in data
        for i, k in enumerate(d.k)
        if k in (1, 4, 8, 16, 64)
    ]
    head = ["gain", "k", "relative error", "by (3.28)", "angle", "too short, of error²"]
    return Table(head, rows)


class Signal(NamedTuple):
    """What truncation keeps of the gradient in a task with one delay.

    lag; k : (n,); for U and W the projection of the truncated on the whole gradient, as a share,
    measured and predicted by (3.28), each (n,)
    """

    lag: int
    k: np.ndarray
    U: np.ndarray
    W: np.ndarray
    U_predicted: np.ndarray
    W_predicted: np.ndarray


def signal(lag: int = 8, T: int = 64, B: int = 512, H: int = 32, K: int = 4) -> Signal:
    """Measure the share of the gradients of U and W that chunks of k keep; untrained network.

    The symbol enters through U exactly `lag` steps before its loss, and passes the copies of W at
    the distances 0 ... lag-1 on its way.
    """
    rng = np.random.default_rng(9)
    x, y, mask = datasets.echo(rng, T, B, K, lag)
    # Small U and V: tanh is then nearly linear, and the softmax nearly uniform.
    U, W, V = rng.normal(0, 0.1, (H, K)), orthogonal(rng, H), rng.normal(0, 0.02, (K, H))
    h0 = np.zeros((B, H))
    h, o = forward(x, h0, U, W, np.zeros(H), V, np.zeros(K))
    do = grad_o(o, y, mask)

    def two(dh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dU, dW, *_ = grad_params(dh, do, x, h, h0)
        return dU, dW

    whole = two(grad_h(do, h, W, V))
    ks = np.array([1, 2, 4, 6, 8, 10, 12, 16, 24, 32, 48, 64])
    shares = [
        [
            (one * all_).sum() / (all_ * all_).sum()
            for one, all_ in zip(two(found), whole, strict=True)
        ]
        for found in (truncated(do, h, W, V, int(k)) for k in ks)
    ]
    kept = np.array([kept_share(T, int(k))[: lag + 1] for k in ks])
    U_share, W_share = np.array(shares).T
    return Signal(lag, ks, U_share, W_share, kept[:, lag], kept[:, :lag].mean(1))


def draw_signal(data: Signal) -> Figure:
    """Draw `signal`."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.2, 3.4))
    for measured, predicted, colour, name in (
        (data.W, data.W_predicted, BLUE, "W"),
        (data.U, data.U_predicted, VERMILION, "U"),
    ):
        ax.plot(data.k, measured, "o", ms=5, color=colour, label=f"∇{name}, measured")
        ax.plot(data.k, predicted, "--", lw=1.2, color=colour, label="by (3.28)")
    ax.axvline(data.lag, lw=0.8, color=figures.FOREGROUND)
    ax.text(data.lag + 0.5, 1.0, "k = the delay", va="top")
    ax.set(xlabel="steps in a chunk, k", ylabel="share of the gradient kept", ylim=(-0.05, 1.05))
    ax.legend(loc="lower right")
    ax.grid(True)
    return fig


# --------------------------------------------------------------------------------------------- cost


class Cost(NamedTuple):
    """Time and memory of BPTT and RTRL.

    T : (n,), bptt_time, rtrl_time : (n,), seconds; bptt_memory, rtrl_memory : (n,), bytes at the
    peak; H : (m,), rtrl_time_h, rtrl_memory_h : (m,); slopes : the exponents fitted to each
    """

    T: np.ndarray
    bptt_time: np.ndarray
    rtrl_time: np.ndarray
    bptt_memory: np.ndarray
    rtrl_memory: np.ndarray
    H: np.ndarray
    rtrl_time_h: np.ndarray
    rtrl_memory_h: np.ndarray
    slopes: dict[str, float]


def median_seconds(runs: Sequence[Callable[[], object]], rounds: int = 9) -> np.ndarray:
    """Return the median processor time of each call, (n,).

    The calls take turns, so that a busy moment of the machine spoils one round of each and not
    all rounds of one.
    """
    seconds = np.empty((rounds, len(runs)))
    for run in runs:
        run()  # the first call does not count
    for turn in range(rounds):
        for i, run in enumerate(runs):
            start = time.process_time()
            run()
            seconds[turn, i] = time.process_time() - start
    return np.median(seconds, axis=0)


def peak_bytes(run: Callable[[], object]) -> int:
    """Return the most memory that a call held at once; NumPy reports its arrays to tracemalloc."""
    run()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def exponent(size: np.ndarray, cost: np.ndarray) -> float:
    """Return p of the least-squares fit cost = constant * size^p."""
    return float(np.polyfit(np.log(size), np.log(cost), 1)[0])


def cost_of(T: int, H: int, D: int = 4, K: int = 4, B: int = 1) -> tuple[Callable, Callable]:
    """Return two calls, BPTT and RTRL, for the recurrent gradients of one sequence.

    The input and the gradient at the outputs exist before either starts, so that the memory
    counted is what the method itself needs.
    """
    net = network(7, T, B, D, H, K)
    _, o = forward(*net.arguments)
    do = grad_o(o, net.y, net.mask)
    g = do @ net.V

    def backward() -> object:
        h, _ = forward(*net.arguments)
        return grad_params(grad_h(do, h, net.W, net.V), do, net.x, h, net.h0)

    return backward, lambda: rtrl(g, net.x, net.h0, net.U, net.W, net.b)


def cost(
    steps: Sequence[int] = (64, 128, 256, 512, 1024),
    sizes: Sequence[int] = (16, 24, 32, 48, 64),
    H: int = 16,
) -> Cost:
    """Measure both methods against the length, and RTRL against the number of units."""
    pairs = [cost_of(T, H) for T in steps]
    wide = [cost_of(4, size)[1] for size in sizes]
    T, Hs = np.array(steps, dtype=float), np.array(sizes, dtype=float)
    measured = {
        "bptt_time": median_seconds([b for b, _ in pairs]),
        "rtrl_time": median_seconds([r for _, r in pairs]),
        "bptt_memory": np.array([peak_bytes(b) for b, _ in pairs], dtype=float),
        "rtrl_memory": np.array([peak_bytes(r) for _, r in pairs], dtype=float),
        "rtrl_time_h": median_seconds(wide),
        "rtrl_memory_h": np.array([peak_bytes(r) for r in wide], dtype=float),
    }
    slopes = {
        name: exponent(Hs if name.endswith("_h") else T, values)
        for name, values in measured.items()
    }
    return Cost(T=T, H=Hs, slopes=slopes, **measured)


def draw_cost(data: Cost) -> Figure:
    """Draw time and memory against the length."""
    figures.style()
    fig, axes = plt.subplots(2, 1, figsize=(5.2, 5.6), sharex=True)
    panels = (
        (axes[0], data.rtrl_time * 1e3, data.bptt_time * 1e3, "processor time, ms"),
        (axes[1], data.rtrl_memory / 1024, data.bptt_memory / 1024, "peak memory, KiB"),
    )
    for ax, forwards, backwards, label in panels:
        ax.loglog(data.T, backwards, "o-", ms=4, color=BLUE, label="BPTT")
        ax.loglog(data.T, forwards, "s-", ms=4, color=VERMILION, label="RTRL")
        ax.set(ylabel=label)
        ax.grid(True)
    axes[0].legend()
    ticks = data.T.astype(int)
    axes[1].set(xlabel="length of the sequence, τ", xticks=ticks, xticklabels=ticks)
    axes[1].minorticks_off()
    return fig


def rtrl_array(H: np.ndarray, D: int = 4) -> np.ndarray:
    """Return how many numbers d h / d Theta holds, for the D of `cost_of`."""
    return H * H * (H + D + 1)


def table_cost(data: Cost) -> Table:
    """Return the exponents, predicted and measured."""
    s, H, array = data.slopes, data.H, rtrl_array(data.H)
    rows = [
        ["BPTT, time", "τ", "1", f"{s['bptt_time']:.2f}"],
        ["BPTT, memory", "τ", "1", f"{s['bptt_memory']:.2f}"],
        ["RTRL, time", "τ", "1", f"{s['rtrl_time']:.2f}"],
        ["RTRL, memory", "τ", "0", f"{s['rtrl_memory']:.2f}"],
        ["RTRL, time", "H", f"{exponent(H, array * H):.2f}", f"{s['rtrl_time_h']:.2f}"],
        ["RTRL, memory", "H", f"{exponent(H, array):.2f}", f"{s['rtrl_memory_h']:.2f}"],
    ]
    return Table(["cost", "against", "predicted exponent", "measured"], rows)


def wide_facts(data: Cost) -> str:
    """Return, in words, why the exponents against H stay below the count."""
    local = np.diff(np.log(data.rtrl_time_h)) / np.diff(np.log(data.H))
    pairs = zip(data.H[:-1], data.H[1:], local, strict=True)
    slopes = "\n".join(f"time, from {a:.0f} to {b:.0f} units: slope {s:.1f}" for a, b, s in pairs)
    rest = (data.rtrl_memory_h - 5 * 8 * rtrl_array(data.H)) / 1024
    return f"{slopes}\npeak memory less five arrays: {rest.min():.0f} to {rest.max():.0f} KiB"


def machine() -> str:
    """Return one line about the machine that measured."""
    return (
        f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, PyTorch {torch.__version__}, "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')} thread(s)"
    )


# ----------------------------------------------------------------------------------------- pitfalls


class Pitfall(NamedTuple):
    """One pitfall: what was measured, the number predicted, and the number found."""

    what: str
    predicted: float
    measured: float


def pitfalls() -> list[Pitfall]:
    """Measure swapped axes, the two biases, and clipping before the gradient is unscaled."""
    net = network(5, T=6, B=2)
    rnn, head = twin(net)

    def moved(x: np.ndarray, batch_axis: int) -> float:
        """Return how far sequence 1's output moves if only sequence 0 changes."""
        other = x.copy()
        np.moveaxis(other, batch_axis, 0)[0] += 1.0
        with torch.no_grad():
            change = rnn(torch.from_numpy(other))[0] - rnn(torch.from_numpy(x))[0]
        return float(change.movedim(batch_axis, 0)[1].abs().max())

    right = moved(net.x, batch_axis=1)
    wrong = moved(np.ascontiguousarray(net.x.swapaxes(0, 1)), batch_axis=0)

    states = rnn(torch.from_numpy(net.x), torch.from_numpy(net.h0)[None])[0]
    head(states).square().sum().backward()
    both = rnn.bias_ih_l0.grad + rnn.bias_hh_l0.grad
    ratio = (both / rnn.bias_ih_l0.grad).mean()

    scale = 65536.0
    dW = 3.0 * net.W / np.linalg.norm(net.W)
    (early,), _ = clip([dW * scale], 1.0)
    (late,), _ = clip([dW], 1.0)
    return [
        Pitfall("change one sequence: another's output moves by", 0.0, right),
        Pitfall("the same with batch and time swapped", np.nan, wrong),
        Pitfall("two biases: the sum moves, times our b", 2.0, float(ratio)),
        Pitfall(
            "gradient of norm 3, clipped at 1 while scaled by 65,536: length that is left",
            1 / scale,
            float(np.linalg.norm(early / scale)),
        ),
        Pitfall("clipped after unscaling", 1.0, float(np.linalg.norm(late))),
    ]


def table_pitfalls(found: list[Pitfall]) -> Table:
    """Return the table of `pitfalls`."""
    rows = [
        [p.what, "not 0" if np.isnan(p.predicted) else f"{p.predicted:.3g}", f"{p.measured:.3g}"]
        for p in found
    ]
    return Table(["what", "predicted", "measured"], rows)


# --------------------------------------------------------------------------------------- a text


class Text(NamedTuple):
    """A network that learns to predict the next character of a tale; losses in bits a character.

    curve : (N,), of each batch before its update; at, held : (P,), updates so far and the loss on
    held-out text, before each pass and at the end; unigram, bigram : what counting gives there;
    written : texts that the network wrote, with the updates so far; parameters : how many
    """

    curve: np.ndarray
    at: np.ndarray
    held: np.ndarray
    unigram: float
    bigram: float
    written: list[tuple[int, str]]
    parameters: int
    characters: int


def text(H: int = 64, T: int = 16, B: int = 8, passes: int = 20) -> Text:
    """Train on the first 85 % of the tale by (3.29), and judge on the rest."""
    codes, alphabet = datasets.letters(datasets.tale())
    K, split, rng = len(alphabet), int(0.85 * len(codes)), np.random.default_rng(0)
    learned, held = codes[:split], codes[split:]
    letter, pairs = np.full(K, 0.1), np.full((K, K), 0.1)  # a little for what was never seen
    np.add.at(letter, learned, 1.0)
    np.add.at(pairs, (learned[:-1], learned[1:]), 1.0)
    pairs /= pairs.sum(1, keepdims=True)
    params = [
        rng.normal(0, 0.1, (H, K)), 0.9 * orthogonal(rng, H), np.zeros(H),
        rng.normal(0, 0.1, (K, H)), np.zeros(K),
    ]  # fmt: skip

    def bits(params: list[np.ndarray]) -> float:
        x, y = np.eye(K)[held[:-1], None], held[1:, None]
        _, o = forward(x, np.zeros((1, H)), *params)
        return float(loss(o, y, np.ones(y.shape)) / len(y) / np.log(2))

    curve, at, tested, written = [], [0], [bits(params)], []
    for turn in range(passes):
        if turn in (0, 1, passes // 4):
            written.append((at[-1], write(params, alphabet, rng)))
        x, y, mask = datasets.next_letter(learned[rng.integers(T) :], K, T, B)
        params, losses = train(params, x, y, mask, rate=0.2, momentum=0.9, max_norm=1.0)
        curve.append(losses / np.log(2))
        at.append(at[-1] + len(losses))
        tested.append(bits(params))
    written.append((at[-1], write(params, alphabet, rng)))
    return Text(
        np.concatenate(curve), np.array(at), np.array(tested),
        float(-np.log2(letter[held[1:]] / letter.sum()).mean()),
        float(-np.log2(pairs[held[:-1], held[1:]]).mean()),
        written, sum(p.size for p in params), len(learned),
    )  # fmt: skip


def write(
    params: list[np.ndarray], alphabet: str, rng: np.random.Generator, count: int = 60
) -> str:
    """Let a network write: each character that it draws is its next input."""
    state, said = np.zeros((1, len(params[1]))), " "
    while len(said) <= count:
        x = np.eye(len(alphabet))[alphabet.index(said[-1])][None, None]
        h, o = forward(x, state, *params)
        state, weight = h[-1], np.exp(o[0, 0] - o.max())
        said += alphabet[rng.choice(len(alphabet), p=weight / weight.sum())]
    return said[1:]


def draw_text(data: Text) -> Figure:
    """Draw the loss against the updates."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.2, 3.2))
    ax.plot(np.arange(len(data.curve)), data.curve, lw=0.8, color=BLUE, label="learned from")
    ax.plot(data.at, data.held, "o-", ms=4, color=VERMILION, label="held out")
    for name, value in (("unigram", data.unigram), ("bigram", data.bigram)):
        ax.axhline(value, ls="--", lw=1, color=figures.FOREGROUND)
        ax.text(data.at[-1], value + 0.05, name, ha="right")
    ax.set(xlabel="update", ylabel="bits per character", ylim=(0, None))
    ax.legend(loc="lower left")
    return fig


# -------------------------------------------------------------------------------- the page's slider


def flow(T: int = 12, H: int = 24, B: int = 16) -> dict[str, object]:
    """Return the norm of the gradient at each state, for many gains, with tanh and without.

    "steps": T; "gains": 15 numbers; "tanh", "linear": for each gain T numbers, the norm at
    h(1) ... h(T) as a multiple of the one at h(T).  The loss is that of the last step alone.
    """
    gains = [round(0.4 + 0.1 * i, 1) for i in range(15)]
    found: dict[str, object] = {"steps": T, "gains": gains, "tanh": [], "linear": []}
    for gain in gains:
        net = network(11, T, B, H=H, gain=gain)
        h, _ = forward(*net.arguments)
        do = np.zeros((T, B, net.V.shape[0]))
        do[-1] = np.random.default_rng(0).normal(size=do[-1].shape)
        for kind, states in (("tanh", h), ("linear", np.zeros_like(h))):  # slope 1 where h = 0
            norms = np.linalg.norm(grad_h(do, states, net.W, net.V), axis=(1, 2))
            found[kind].append([float(f"{v:.4g}") for v in norms / norms[-1]])
    return found


def flow_html(data: dict[str, object]) -> str:
    """Return the element that `_static/flow.js` turns into the slider; it holds the numbers.

    Without scripts the sentence inside stays, and says what the slider would.
    """
    gains, T = data["gains"], data["steps"]
    said = "; ".join(
        f"gain {gains[i]:g}: {data['tanh'][i][0]:.2g} with tanh, {data['linear'][i][0]:.2g} without"
        for i in (0, 6, len(gains) - 1)
    )
    numbers = json.dumps(data, separators=(",", ":"))
    return (
        f'<div class="rnn-flow"><script type="application/json">{numbers}</script>'
        f"<p>The gradient at the first of {T} states, as a multiple of the one at the last: "
        f"{said}.</p></div>"
    )
