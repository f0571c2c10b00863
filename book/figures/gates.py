"""Chapter 5: gates, their gradients, the forms of the GRU, and what PyTorch makes of them.

The networks are the reference functions of `solutions.gates`; equation numbers are those of the
chapter.  Names of dinosaurs, cells one can read, and speed have modules of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course import figures
from figures.bptt import difference
from figures.kept import kept
from figures.tables import Table, power
from solutions.gates import (
    from_torch,
    gru_after,
    gru_backward,
    gru_forward,
    lstm_backward,
    lstm_forward,
    lstm_step,
    sigmoid,
    take_to_keep,
    to_torch,
)

BLUE, VERMILION, GREEN = (figures.PALETTE[name] for name in ("blue", "vermilion", "green"))
PURPLE, OCHRE, SKY = (figures.PALETTE[name] for name in ("purple", "ochre", "sky"))

STEP = 1e-30


# ------------------------------------------------------------------------------------- networks


class Lstm(NamedTuple):
    """An LSTM and what goes into it, float64: the arguments of `lstm_forward`, in order."""

    x: np.ndarray
    h0: np.ndarray
    c0: np.ndarray
    U: np.ndarray
    W: np.ndarray
    b: np.ndarray


class Gru(NamedTuple):
    """A GRU and what goes into it, float64: the arguments of `gru_forward`, in order."""

    x: np.ndarray
    h0: np.ndarray
    U: np.ndarray
    W: np.ndarray
    b: np.ndarray


def lstm(seed: int = 0, T: int = 6, B: int = 2, D: int = 3, H: int = 4) -> Lstm:
    """Return a small random LSTM with states that are not zero."""
    rng = np.random.default_rng(seed)
    return Lstm(
        rng.normal(size=(T, B, D)), rng.normal(0, 0.5, (B, H)), rng.normal(size=(B, H)),
        rng.normal(0, 0.6, (4 * H, D)), rng.normal(0, 0.6, (4 * H, H)), rng.normal(0, 0.4, 4 * H),
    )  # fmt: skip


def gru(seed: int = 0, T: int = 6, B: int = 2, D: int = 3, H: int = 4) -> Gru:
    """Return a small random GRU with a state that is not zero."""
    rng = np.random.default_rng(seed)
    return Gru(
        rng.normal(size=(T, B, D)), rng.normal(0, 0.5, (B, H)),
        rng.normal(0, 0.6, (3 * H, D)), rng.normal(0, 0.6, (3 * H, H)), rng.normal(0, 0.4, 3 * H),
    )  # fmt: skip


def gru_keep(
    x: np.ndarray, h0: np.ndarray, U: np.ndarray, W: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Return the states of a GRU of form (5.17), (5.19): reset before, u keeps.

    Written out in split form, one matrix for each gate, for comparison with `gru_forward`.
    """
    (U_r, U_u, U_n), (W_r, W_u, W_n) = np.split(U, 3), np.split(W, 3)
    b_r, b_u, b_n = np.split(b, 3)
    h, hs = h0, []
    for step in x:
        r = sigmoid(step @ U_r.T + h @ W_r.T + b_r)
        u = sigmoid(step @ U_u.T + h @ W_u.T + b_u)
        n = np.tanh(step @ U_n.T + (r * h) @ W_n.T + b_n)
        h = (1 - u) * n + u * h  # (5.19)
        hs.append(h)
    return np.stack(hs)


# ------------------------------------------------------------------- three ways, one gradient


def torch_lstm(net: Lstm) -> torch.nn.LSTM:
    """Return torch.nn.LSTM with our weights, by `to_torch`; float64."""
    made = torch.nn.LSTM(net.U.shape[1], net.W.shape[1], dtype=torch.float64)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    for name, value in zip(names, to_torch(net.U, net.W, net.b), strict=True):
        getattr(made, name).data.copy_(torch.from_numpy(value))
    return made


def by_complex_step(
    f: Callable[..., np.ndarray], net: NamedTuple, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the gradients of a real number f(*net) by (3.21), one forward pass a number."""
    found = {}
    for name in names:
        value = getattr(net, name)
        found[name] = np.empty(value.shape)
        for index in np.ndindex(value.shape):
            moved = {n: getattr(net, n).astype(complex) for n in net._fields}
            moved[name][index] += 1j * STEP
            found[name][index] = f(**moved).imag / STEP
    return found


def weights_of(net: Lstm | Gru) -> tuple[np.ndarray, np.ndarray]:
    """Return random gradients from outside: dh (T, B, H), and dc_last (B, H)."""
    rng = np.random.default_rng(1)
    shape = (len(net.x), *net.h0.shape)
    return rng.normal(size=shape), rng.normal(size=shape[1:])


def lstm_three_ways(net: Lstm | None = None) -> dict[str, dict[str, float]]:
    """Return how far complex steps and autograd are from the hand-derived gradient, by name."""
    net = lstm() if net is None else net
    dh, dc = weights_of(net)

    def loss(**args: np.ndarray) -> np.ndarray:
        h, c, _ = lstm_forward(**args)
        return (dh * h).sum() + (dc * c[-1]).sum()

    h, c, gates = lstm_forward(*net)
    made = lstm_backward(dh, dc, net.x, h, c, gates, net.h0, net.c0, net.U, net.W)
    hand = dict(zip(net._fields, made, strict=True))
    step = by_complex_step(loss, net, net._fields)

    twin = torch_lstm(net)
    x, h0, c0 = (torch.from_numpy(a).requires_grad_() for a in net[:3])
    states, (_, last) = twin(x, (h0[None], c0[None]))
    ((torch.from_numpy(dh) * states).sum() + (torch.from_numpy(dc) * last[0]).sum()).backward()
    grads = [
        getattr(twin, name).grad.numpy() for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
    ]
    back = from_torch(*grads, np.zeros_like(grads[2]))
    auto = dict(zip(net._fields, [x.grad, h0.grad, c0.grad, *back], strict=True))
    return {
        name: {
            "complex step": difference(hand[name], step[name]),
            "autograd": difference(hand[name], np.asarray(auto[name])),
        }
        for name in net._fields
    }


def gru_three_ways(net: Gru | None = None) -> dict[str, dict[str, float]]:
    """Return the same for the GRU; autograd runs a form of its own, since PyTorch has none."""
    net = gru() if net is None else net
    dh, _ = weights_of(net)
    h, gates = gru_forward(*net)
    made = gru_backward(dh, net.x, h, gates, net.h0, net.U, net.W)
    hand = dict(zip(net._fields, made, strict=True))
    step = by_complex_step(lambda **a: (dh * gru_forward(**a)[0]).sum(), net, net._fields)

    leaves = [torch.from_numpy(a).requires_grad_() for a in net]
    x, state, U, W, b = leaves
    total = 0.0
    for t, outside in enumerate(torch.from_numpy(dh)):
        (U_r, U_u, U_n), (W_r, W_u, W_n), (b_r, b_u, b_n) = (a.chunk(3) for a in (U, W, b))
        linear = torch.nn.functional.linear
        r = torch.sigmoid(linear(x[t], U_r, b_r) + linear(state, W_r))
        u = torch.sigmoid(linear(x[t], U_u, b_u) + linear(state, W_u))
        n = torch.tanh(linear(x[t], U_n, b_n) + linear(r * state, W_n))
        state = torch.lerp(state, n, u)
        total = total + (outside * state).sum()
    auto = dict(zip(net._fields, torch.autograd.grad(total, leaves), strict=True))
    return {
        name: {
            "complex step": difference(hand[name], step[name]),
            "autograd": difference(hand[name], auto[name].numpy()),
        }
        for name in net._fields
    }


def table_three_ways() -> Table:
    """Return both tables in one."""
    rows = [
        [kind, name, *(power(v) for v in found.values())]
        for kind, all_ in (("LSTM", lstm_three_ways()), ("GRU", gru_three_ways()))
        for name, found in all_.items()
    ]
    return Table(["network", "gradient of", "complex step", "autograd"], rows)


# ------------------------------------------------------------------------------- the lecture's page


class Misprint(NamedTuple):
    """What the LSTM does if f multiplies the candidate, as printed, and if it multiplies c.

    correct, printed : the change of h(T) when c(0) moves by 1, for T = 1 ... n, each (n,)
    """

    correct: np.ndarray
    printed: np.ndarray


def misprint(n: int = 6) -> Misprint:
    """Measure how much of c(0) is left after each step, in both readings of the line for c."""
    net = lstm(3, T=n, B=1)

    def run(c: np.ndarray, as_printed: bool) -> np.ndarray:
        h, hs = net.h0, []
        for x in net.x:
            a = np.split(net.b + h @ net.W.T + x @ net.U.T, 4, axis=-1)
            i, f, o, g = sigmoid(a[0]), sigmoid(a[1]), sigmoid(a[2]), np.tanh(a[3])
            c = f * (g if as_printed else c) + i * g
            h = o * np.tanh(c)
            hs.append(h[0])
        return np.stack(hs)

    def moved(as_printed: bool) -> np.ndarray:
        return np.abs(run(net.c0 + 1, as_printed) - run(net.c0, as_printed)).max(axis=-1)

    return Misprint(moved(False), moved(True))


def table_misprint(data: Misprint) -> Table:
    """Return the table of `misprint`."""
    rows = [
        [t + 1, f"{right:.3f}", f"{wrong:g}"]
        for t, (right, wrong) in enumerate(zip(data.correct, data.printed, strict=True))
    ]
    return Table(["step", "with c, (5.3)", "with the candidate, as printed"], rows)


class OneMatrix(NamedTuple):
    """States of a GRU: with two matrices for a gate, and with the one that is printed twice."""

    sizes: tuple[int, int]
    refused: str
    degrees_lost: int


def printed_twice(D: int = 3, H: int = 4) -> OneMatrix:
    """Put one matrix in both places of W_u, as the lecture prints it."""
    rng = np.random.default_rng(0)
    W_uu, x, h = rng.normal(size=(H, D)), rng.normal(size=D), rng.normal(size=H)
    try:
        W_uu @ x + W_uu @ h
    except ValueError as error:
        refused = str(error).split(":")[0]
    else:
        refused = ""
    return OneMatrix((D, H), refused, 2 * H * H)


# -------------------------------------------------------------------------------- the direct road


class Roads(NamedTuple):
    """The direct road and all roads together, for one forget bias.

    bias; n : (N,), steps between; direct : (N,), the mean over units of the product of f, (5.7);
    whole : (N,), the length of a column of d c(t+n)/d c(t), all roads, by complex steps: root mean
    square over the columns; predicted : (N,), sigmoid(bias)^n; error : of (5.8) against a complex
    step, for n = 1
    """

    bias: float
    n: np.ndarray
    direct: np.ndarray
    whole: np.ndarray
    predicted: np.ndarray
    error: float


def cell_jacobian(net: Lstm, gates: np.ndarray, c: np.ndarray, t: int) -> np.ndarray:
    """Return d c(t+1)/d c(t) for the first sequence by (5.8), (H, H); t counts from 1."""
    H = net.h0.shape[1]
    _, _, o, _ = np.split(gates[t - 1, 0], 4)
    i, f, _, g = np.split(gates[t, 0], 4)
    before = c[t - 1, 0]
    W_i, W_f, _, W_g = np.split(net.W, 4)
    into_h = o * (1 - np.tanh(before) ** 2)  # d h(t)/d c(t)
    roads = (before * f * (1 - f))[:, None] * W_f
    roads = roads + (g * i * (1 - i))[:, None] * W_i + (i * (1 - g * g))[:, None] * W_g
    return np.diag(f) + roads * into_h[None, :H]  # (5.8)


def total_jacobian(net: Lstm, h: np.ndarray, c: np.ndarray, n: int) -> np.ndarray:
    """Return d c(1+n)/d c(1) for the first sequence, all roads, by complex steps: (H, H).

    h(1) is a function of c(1): the output gate of step 1 is held, as (5.8) holds it.
    """
    H = net.h0.shape[1]
    _, _, gates = lstm_forward(*net)
    o = gates[0, 0, 2 * H : 3 * H]
    copies = c[0, 0] + 1j * STEP * np.eye(H)  # one sequence for each entry that moves
    start = o * np.tanh(copies)
    x = np.repeat(net.x[1 : 1 + n, :1], H, axis=1)
    _, cs, _ = lstm_forward(x, start, copies, net.U, net.W, net.b)
    return cs[-1].imag.T / STEP


def roads(
    biases: Sequence[float] = (0.0, 1.0, 3.0), N: int = 20, H: int = 32, seed: int = 2
) -> list[Roads]:
    """Measure untrained LSTMs whose weights are those PyTorch starts from."""
    found = []
    for bias in biases:
        rng = np.random.default_rng(seed)
        bound = 1 / np.sqrt(H)
        b = rng.uniform(-bound, bound, 4 * H)
        b[H : 2 * H] = bias
        net = Lstm(
            rng.normal(size=(N + 1, 1, 4)), np.zeros((1, H)), np.zeros((1, H)),
            rng.uniform(-bound, bound, (4 * H, 4)), rng.uniform(-bound, bound, (4 * H, H)), b,
        )  # fmt: skip
        h, c, gates = lstm_forward(*net)
        f = gates[:, 0, H : 2 * H]
        n = np.arange(1, N + 1)
        direct = np.array([np.prod(f[1 : 1 + k], axis=0).mean() for k in n])
        whole = np.array([np.linalg.norm(total_jacobian(net, h, c, k)) for k in n]) / np.sqrt(H)
        error = difference(total_jacobian(net, h, c, 1), cell_jacobian(net, gates, c, 1))
        found.append(Roads(bias, n, direct, whole, sigmoid(np.array(bias)) ** n, error))
    return found


def half_life(bias: float) -> float:
    """Return after how many steps half of a gradient is left on the direct road, (5.9)."""
    return float(np.log(0.5) / np.log(sigmoid(np.float64(bias))))


def table_roads(data: list[Roads]) -> Table:
    """Return the table of `roads`."""
    rows = [
        [
            f"{d.bias:g}",
            f"{half_life(d.bias):.1f}",
            *(
                f"{value:.2g}"
                for i in (0, 4, 19)
                for value in (d.predicted[i], d.direct[i], d.whole[i])
            ),
        ]
        for d in data
    ]
    head = ["forget bias", "half-life"]
    for k in (1, 5, 20):
        head += [f"σ(b)ⁿ, n = {k}", "direct", "all roads"]
    return Table(head, rows)


# ---------------------------------------------------------------------- how far a gradient reaches


class Reach(NamedTuple):
    """The gradient at the input of each lag, as a share of the one at lag 0.

    lag : (T,); before, after : by network, (T,), untrained and trained; loss : by network, (n,),
    while it learns; task : what it learnt
    """

    lag: np.ndarray
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    loss: dict[str, np.ndarray]


NETWORKS = {
    "tanh": ("RNN", None),
    "GRU": ("GRU", None),
    "LSTM, bias 0": ("LSTM", 0.0),
    "LSTM, bias 1": ("LSTM", 1.0),
}
COLOURS = {"tanh": PURPLE, "GRU": GREEN, "LSTM, bias 0": OCHRE, "LSTM, bias 1": BLUE}


class Reader(torch.nn.Module):
    """A recurrent network of PyTorch's and a linear layer on its last state."""

    def __init__(self, kind: str, bias: float | None, D: int, H: int, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.cell = getattr(torch.nn, kind)(D, H)
        self.head = torch.nn.Linear(H, 1)
        if bias is not None:  # b_f is the second block; there are two biases
            with torch.no_grad():
                self.cell.bias_ih_l0[H : 2 * H] = bias
                self.cell.bias_hh_l0[H : 2 * H] = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one number for each sequence, (B,), from x : (T, B, D)."""
        return self.head(self.cell(x)[0][-1])[:, 0]


def adding(rng: np.random.Generator, T: int, B: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x : (T, B, 2), numbers and marks, and y : (B,), the sum of the two marked numbers.

    One mark in each half of the sequence; numbers uniform in [0, 1].
    """
    x = np.zeros((T, B, 2), dtype=np.float32)
    x[:, :, 0] = rng.random((T, B))
    first, second = rng.integers(0, T // 2, B), rng.integers(T // 2, T, B)
    x[first, np.arange(B), 1] = x[second, np.arange(B), 1] = 1
    return torch.from_numpy(x), torch.from_numpy((x[:, :, 0] * x[:, :, 1]).sum(0))


def reached(model: Reader, x: torch.Tensor) -> np.ndarray:
    """Return the size of the gradient of the output at the input of each lag, over lag 0's."""
    x = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(model(x).sum(), x)
    norms = grad.norm(dim=2).mean(1).numpy()[::-1]
    return norms / norms[0]


def taught(
    name: str,
    seed: int = 0,
    T: int = 30,
    H: int = 24,
    B: int = 32,
    updates: int = 900,
    rate: float = 0.01,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Teach one of `NETWORKS` to add; return its reach before and after, (T,), and its errors."""
    probe, _ = adding(np.random.default_rng(9), T, 64)
    model = Reader(*NETWORKS[name], 2, H, seed)
    before = reached(model, probe)
    rng = np.random.default_rng(1 + seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    curve = []
    for _ in range(updates):
        x, y = adding(rng, T, B)
        loss = (model(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        curve.append(float(loss.detach()))
    return before, reached(model, probe), np.array(curve)


@kept
def reach() -> Reach:
    """Measure the gradient's reach before and after learning to add two marked numbers."""
    found = {name: taught(name) for name in NETWORKS}
    before, after, loss = ({name: each[k] for name, each in found.items()} for k in range(3))
    return Reach(np.arange(len(before["tanh"])), before, after, loss)


class Starts(NamedTuple):
    """Both LSTMs from several starts, by network.

    reach : (seeds,), untrained, at lag 20; learnt : (seeds,), the update after which the mean error
    of 30 updates is below 0.02, infinite if none is
    """

    reach: dict[str, np.ndarray]
    learnt: dict[str, np.ndarray]


@kept
def starts(seeds: Sequence[int] = range(7)) -> Starts:
    """Train the LSTMs with forget bias 0 and 1 from several starts, each on data of its own."""
    reach, learnt = {}, {}
    for name in ("LSTM, bias 0", "LSTM, bias 1"):
        runs = [taught(name, seed) for seed in seeds]
        reach[name] = np.array([before[20] for before, _, _ in runs])
        means = [np.convolve(loss, np.full(30, 1 / 30), "valid") for *_, loss in runs]
        learnt[name] = np.array(
            [np.argmax(m < 0.02) + 30 if m.min() < 0.02 else np.inf for m in means]
        )
    return Starts(reach, learnt)


def table_starts(data: Starts) -> Table:
    """Return medians and ranges over the starts, and how often each network was first."""

    def updates(n: float) -> str:
        return f"{n:.0f}" if np.isfinite(n) else "more than 900"

    first = np.argmin(list(data.learnt.values()), axis=0)
    rows = []
    for k, (name, learnt) in enumerate(data.learnt.items()):
        reach = data.reach[name]
        rows.append(
            [
                name,
                f"{np.median(reach):.1g} ({reach.min():.1g} to {reach.max():.1g})",
                updates(float(np.median(learnt))),
                f"{updates(learnt.min())} to {updates(learnt.max())}",
                f"{(first == k).sum()} of {len(first)}",
            ]
        )
    head = ["network", "untrained, lag 20: median (range)", "updates until error 0.02: median"]
    return Table([*head, "range", "first down"], rows)


def draw_reach(data: Reach) -> Figure:
    """Draw the reach before and after training, and the loss on the way."""
    figures.style()
    fig, axes = plt.subplots(3, 1, figsize=(5.2, 8.4))
    for ax, shares, title in zip(
        axes[:2], (data.before, data.after), ("untrained", "trained to add"), strict=True
    ):
        for name, share in shares.items():
            ax.semilogy(data.lag, share, color=COLOURS[name], label=name)
        ax.set(title=title, xlabel="lag: steps back from the output", ylim=(1e-7, 10))
        ax.set_ylabel("gradient at the input, lag 0 is 1")
        ax.grid(True)
    axes[0].legend(loc="lower left")
    width = 30
    for name, loss in data.loss.items():
        smooth = np.convolve(loss, np.ones(width) / width, mode="valid")
        axes[2].semilogy(np.arange(len(smooth)) + width, smooth, color=COLOURS[name], label=name)
    axes[2].axhline(1 / 6, ls="--", lw=1, color=figures.FOREGROUND)
    axes[2].text(900, 0.2, "always say 1: 1/6", ha="right")
    axes[2].set(xlabel="update", ylabel="squared error", title="learning to add", ylim=(None, 0.5))
    axes[2].grid(True)
    return fig


def table_reach(data: Reach) -> Table:
    """Return the reach at some lags, before and after, and the last losses."""
    lags = (5, 10, 20)
    rows = [
        [
            name,
            *(f"{data.before[name][lag]:.1g}" for lag in lags),
            *(f"{data.after[name][lag]:.1g}" for lag in lags),
            f"{data.loss[name][-50:].mean():.4f}",
        ]
        for name in data.before
    ]
    head = ["network", *(f"untrained, lag {k}" for k in lags), *(f"trained, lag {k}" for k in lags)]
    return Table([*head, "squared error"], rows)


# ------------------------------------------------------------------------------------- peepholes


def peephole_step(
    x: np.ndarray, h: np.ndarray, c: np.ndarray,
    U: np.ndarray, W: np.ndarray, b: np.ndarray, p: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """One step of an LSTM whose gates see the cell, (5.6): returns h, c, f, each (B, H).

    p : (3, H), one weight a unit for i, f (old cell) and o (new cell); the rest as in `lstm_step`
    """
    a_i, a_f, a_o, a_g = np.split(b + h @ W.T + x @ U.T, 4, axis=-1)
    i, f = sigmoid(a_i + p[0] * c), sigmoid(a_f + p[1] * c)  # (5.6)
    c = f * c + i * np.tanh(a_g)
    return sigmoid(a_o + p[2] * c) * np.tanh(c), c, f


def blind_gates() -> tuple[float, float]:
    """Return how the next forget gate moves with the cell while the output gate is shut.

    Largest entry of d f(2)/d c(1) without and with peepholes.
    """
    net = lstm(2, T=2, B=1)
    H = net.h0.shape[1]
    b = net.b.copy()
    b[2 * H : 3 * H] = -40.0  # the output gate is shut: h is zero, whatever the cell holds
    found = []
    for p in (np.zeros((3, H)), np.array([[0.0], [1.0], [0.0]]) * np.ones(H)):
        c = net.c0[0] + 1j * STEP * np.eye(H)
        h = sigmoid(b[2 * H : 3 * H]) * np.tanh(c)
        f = peephole_step(np.repeat(net.x[1], H, axis=0), h, c, net.U, net.W, b, p)[2]
        found.append(float(np.abs(f.imag / STEP).max()))
    return found[0], found[1]


# ------------------------------------------------------------------------------ forms of the GRU


def torch_gru(U: np.ndarray, W: np.ndarray, b: np.ndarray, d: np.ndarray) -> torch.nn.GRU:
    """Return torch.nn.GRU with the weights of `gru_after`: the same order of blocks, r, u, n."""
    H = W.shape[1]
    made = torch.nn.GRU(U.shape[1], H, dtype=torch.float64)
    inner = np.concatenate([np.zeros(2 * H), d])
    values = {"weight_ih_l0": U, "weight_hh_l0": W, "bias_ih_l0": b, "bias_hh_l0": inner}
    for name, value in values.items():
        getattr(made, name).data.copy_(torch.from_numpy(value))
    return made


def from_torch_gru(
    made: torch.nn.GRU,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return U, W, b, d of `gru_after` from torch.nn.GRU: only n keeps its two biases apart."""
    U, W, b, inner = (
        getattr(made, f"{name}_l0").detach().numpy()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    H = W.shape[1]
    added = np.concatenate([inner[: 2 * H], np.zeros(H)])
    return U, W, b + added, inner[2 * H :]


class Conversion(NamedTuple):
    """One pair of forms, and the largest difference of their states."""

    what: str
    exact: bool
    error: float


def conversions() -> list[Conversion]:
    """Convert between the forms of the GRU, and compare states over six steps."""
    net, d = gru(), np.random.default_rng(3).normal(size=4)
    before = gru_forward(*net)[0]
    turned = take_to_keep(net.U, net.W, net.b)
    after = gru_after(*net, d)
    x, h0 = torch.from_numpy(net.x), torch.from_numpy(net.h0)[None]
    with torch.no_grad():
        twin = torch_gru(net.U, net.W, net.b, d)(x, h0)[0].numpy()
        torch.manual_seed(0)
        theirs = torch.nn.GRU(3, 4, dtype=torch.float64)
        native = theirs(x, h0)[0].numpy()
    diagonal = net.W.copy()
    diagonal[8:] = np.diag(np.diag(net.W[8:]))
    keep_diagonal = take_to_keep(net.U, diagonal, net.b)
    return [
        Conversion(
            "take the new → keep the old, reset before",
            True,
            difference(before, gru_keep(net.x, net.h0, *turned)),
        ),
        Conversion(
            "and back: turning twice",
            True,
            difference(net.W, take_to_keep(*turned)[1]),
        ),
        Conversion("reset after, ours → torch.nn.GRU", True, difference(after, twin)),
        Conversion(
            "torch.nn.GRU → ours",
            True,
            difference(native, gru_after(net.x, net.h0, *from_torch_gru(theirs))),
        ),
        Conversion(
            "reset before → after, same weights",
            False,
            difference(before, gru_after(net.x, net.h0, *turned, np.zeros(4))),
        ),
        Conversion(
            "the same, if Wₙ is diagonal",
            True,
            difference(
                gru_forward(net.x, net.h0, net.U, diagonal, net.b)[0],
                gru_after(net.x, net.h0, *keep_diagonal, np.zeros(4)),
            ),
        ),
    ]


def table_conversions(found: list[Conversion]) -> Table:
    """Return the table of `conversions`."""
    rows = [[c.what, "exact" if c.exact else "not", power(c.error)] for c in found]
    return Table(["forms", "predicted", "difference of the states"], rows)


class Ranks(NamedTuple):
    """Singular values of the gradients of one unit's next state, at many states, over the first.

    before : (H,), of one GRU that resets before; after : (draws, H), of GRUs that reset after
    """

    before: np.ndarray
    after: np.ndarray


def ranks(H: int = 6, points: int = 200, draws: int = 20) -> Ranks:
    """Measure how many directions of h(t-1) one entry of h(t) can depend on."""
    rng = np.random.default_rng(4)
    states = rng.normal(0, 2.0, (points, H))

    def spectrum(run: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Singular values of d h_1(t)/d h(t-1), one row for each state."""
        moved = states[:, None, :] + 1j * STEP * np.eye(H)  # (points, H, H)
        first = run(moved.reshape(-1, H))[:, 0].imag / STEP
        values = np.linalg.svd(first.reshape(points, H), compute_uv=False)
        return values / values[0]

    no_input = np.zeros((1, points * H, 1))
    W = np.concatenate([2 * np.eye(H), np.zeros((H, H)), 0.5 * np.ones((H, H))])
    U, b = np.zeros((3 * H, 1)), np.zeros(3 * H)
    before = spectrum(lambda h: gru_forward(no_input, h, U, W, b)[0][0])

    def after() -> np.ndarray:
        W, b, d = rng.normal(size=(3 * H, H)), rng.normal(size=3 * H), rng.normal(size=H)
        return spectrum(lambda h: gru_after(no_input, h, U, W, b, d)[0])

    return Ranks(before, np.array([after() for _ in range(draws)]))


def table_ranks(data: Ranks) -> Table:
    """Return the singular values, the largest over all draws for "after"."""
    rows = [
        ["reset before, Wᵣ = 2I, Wₙ all 0.5", *(power(v) for v in data.before)],
        [
            f"reset after, largest of {len(data.after)} draws",
            *(power(v) for v in data.after.max(0)),
        ],
    ]
    return Table(["GRU", *(f"σ{k + 1}" for k in range(len(data.before)))], rows)


# ------------------------------------------------------------------------------------ parameters


def counts(D: int = 27, H: int = 64) -> Table:
    """Return the parameters of each network by (5.23), with PyTorch's second bias, and counted."""
    rows = []
    for name, kind, gates in (("tanh", "RNN", 1), ("GRU", "GRU", 3), ("LSTM", "LSTM", 4)):
        formula = gates * H * (H + D + 1)
        made = sum(p.numel() for p in getattr(torch.nn, kind)(D, H).parameters())
        rows.append([name, gates, formula, formula + gates * H, made])
    return Table(["network", "blocks", "(5.23)", "and a second bias", "counted in PyTorch"], rows)


# -------------------------------------------------------------------------------------- pitfalls


class Pitfall(NamedTuple):
    """One pitfall: what was measured, the number predicted, and the number found."""

    what: str
    predicted: float
    measured: float


def pitfalls() -> list[Pitfall]:
    """Measure wrong blocks, a forget bias that is added twice, and the state a batch carries."""
    net = lstm(6)
    h, _, _ = lstm_forward(*net)
    twin = torch_lstm(net)
    x, h0, c0 = (torch.from_numpy(a) for a in net[:3])
    with torch.no_grad():
        twin.weight_ih_l0.copy_(torch.from_numpy(net.U))  # our order, not reordered
        wrong = twin(x, (h0[None], c0[None]))[0].numpy()
        biased = torch.nn.LSTM(3, 4)
        for name in ("bias_ih_l0", "bias_hh_l0"):
            getattr(biased, name)[4:8] = 1.0
        added = from_torch(*(p.detach().numpy() for p in biased.parameters()))[2]
        swapped = torch_lstm(net)(x, (c0[None], h0[None]))[0].numpy()
    return [
        Pitfall("blocks left in the other order: states off by", np.nan, difference(h, wrong)),
        Pitfall("both biases of the forget gate set to 1: the bias is", 2.0, float(added[4])),
        Pitfall("(c0, h0) for (h0, c0): states off by", np.nan, difference(h, swapped)),
    ]


def table_pitfalls(found: list[Pitfall]) -> Table:
    """Return the table of `pitfalls`."""
    rows = [
        [p.what, "not 0" if np.isnan(p.predicted) else f"{p.predicted:.3g}", f"{p.measured:.3g}"]
        for p in found
    ]
    return Table(["what", "predicted", "measured"], rows)


# ---------------------------------------------------------------------- the page's unit with gates

UNIT = {
    "lstm": {"U": [1.0, -0.5, 1.5, 1.2], "W": [-0.5, 0.8, 0.4, 0.9], "b": [0.0, 1.0, 0.0, 0.0]},
    "gru": {"U": [1.0, -1.2, 1.5], "W": [0.5, 0.8, 1.1], "b": [0.0, 0.0, 0.0]},
}


def unit(kind: str, x: float, h: float, c: float, bias: float) -> dict[str, float]:
    """Return gates and states of the page's one unit after a step.

    kind: "lstm", "take" or "keep"; bias: that of the forget or update gate, the second block
    """
    weights = UNIT["lstm" if kind == "lstm" else "gru"]
    U, W = (np.array(weights[name])[:, None] for name in "UW")
    b = np.array(weights["b"])
    b[1] = bias
    now, before = np.array([[x]]), np.array([[h]])
    if kind == "lstm":
        cell = np.array([[c]])
        new_h, new_c = lstm_step(now, before, cell, U, W, b)
        gates = lstm_forward(now[None], before, cell, U, W, b)[2][0, 0]
        names = ("i", "f", "o", "g", "c", "h")
        values = [*gates, new_c[0, 0], new_h[0, 0]]
    else:
        if kind == "take":
            states, gates = gru_forward(now[None], before, U, W, b)
            new_h = states[0, 0, 0]
        else:
            gates = gru_forward(now[None], before, U, W, b)[1]
            new_h = gru_keep(now[None], before, U, W, b)[0, 0, 0]
        names = ("r", "u", "n", "h")
        values = [*gates[0, 0], new_h]
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def unit_html() -> str:
    """Return the element that `_static/gates.js` turns into sliders; it holds the weights.

    Without scripts the sentence inside stays.
    """
    at = unit("lstm", 1.0, 0.0, 1.0, 1.0)
    said = ", ".join(f"{name} = {value:.3f}" for name, value in at.items())
    numbers = json.dumps(UNIT, separators=(",", ":"))
    return (
        f'<div class="rnn-gates"><script type="application/json">{numbers}</script>'
        f"<p>One LSTM unit at x = 1, h = 0, c = 1, forget bias 1: {said}.</p></div>"
    )
