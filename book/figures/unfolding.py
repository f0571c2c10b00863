"""Chapter 2: the experiments and their drawings.

Every experiment is a function that returns numbers, every figure a function that draws them.  The
network is run by the `unfold` of `solutions.unfolding`, in NumPy and in PyTorch; equation numbers
are those of the chapter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course import figures, graphs
from figures.bptt import BLUE, GREEN, VERMILION, difference, median_seconds
from figures.tables import Table, power
from solutions import unfolding as reference
from solutions.unfolding import step, unfold

__all__ = ["Table", "difference", "power"]  # the page prints with them

# ------------------------------------------------------------------------- the graph, from a run


def weights(seed: int = 0, D: int = 3, H: int = 4, K: int = 5) -> dict[str, np.ndarray]:
    """Return random U (H, D), W (H, H), b (H,), V (K, H), c (K,)."""
    rng = np.random.default_rng(seed)
    return {
        "U": rng.normal(0, 0.6, (H, D)),
        "W": rng.normal(0, 0.6, (H, H)),
        "b": rng.normal(0, 0.3, H),
        "V": rng.normal(0, 0.6, (K, H)),
        "c": rng.normal(0, 0.3, K),
    }


def initial(x: np.ndarray, size: int = 4) -> np.ndarray:
    """Return a state (B, size) for a batch of x (T, B, D); not zero, which would hide arrows."""
    return np.random.default_rng(3).normal(0, 0.5, (x.shape[1], size))


def plain(graph: graphs.Graph, x: np.ndarray) -> None:
    """The network of (2.3)."""
    params, h0 = graph.parameters(**weights()), graph.start("h", initial(x))
    unfold(graph.watch(step, "h", "o"), params, h0, graph.inputs("x", x))


def from_output(graph: graphs.Graph, x: np.ndarray) -> None:
    """The output, not the state, goes to the next step."""
    w = weights()
    params = graph.parameters(U=w["U"], R=w["V"].T, b=w["b"], V=w["V"], c=w["c"])

    def step(params, y, x):
        U, R, b, V, c = params
        h = np.tanh(b + y @ R.T + x @ U.T)
        return h @ V.T + c, h

    y0 = graph.start("o", initial(x, 5))
    unfold(graph.watch(step, "o", "h"), params, y0, graph.inputs("x", x))
    graph.roles.update(o="output", h="state")  # what goes on is an output here


def two_layers(graph: graphs.Graph, x: np.ndarray) -> None:
    """A second state reads the first; each layer has weights of its own."""
    w, rng = weights(), np.random.default_rng(1)
    params = graph.parameters(
        U=w["U"], W=w["W"], b=w["b"], R=rng.normal(size=(4, 4)), S=rng.normal(size=(4, 4)),
        V=w["V"], c=w["c"],
    )  # fmt: skip

    def step(params, state, x):
        U, W, b, R, S, V, c = params
        h, g = state
        h = np.tanh(b + h @ W.T + x @ U.T)
        g = np.tanh(g @ S.T + h @ R.T)
        return (h, g), g @ V.T + c

    start = graph.start("h", initial(x)), graph.start("g", initial(x))
    unfold(graph.watch(step, ("h", "g"), "o"), params, start, graph.inputs("x", x))


def two_directions(graph: graphs.Graph, x: np.ndarray) -> None:
    """A second state runs from the end to the beginning; the output reads both."""
    w, rng = weights(), np.random.default_rng(1)
    forth = graph.parameters(U=w["U"], W=w["W"], b=w["b"])
    back = graph.parameters(R=rng.normal(size=(4, 3)), S=rng.normal(size=(4, 4)), d=w["b"])
    V, c = graph.parameters(V=rng.normal(size=(5, 8)), c=w["c"])

    def step(params, h, x):
        U, W, b = params
        h = np.tanh(b + h @ W.T + x @ U.T)
        return h, h

    T, xs = len(x), graph.inputs("x", x)
    _, h = unfold(graph.watch(step, "h"), forth, graph.start("h", initial(x)), xs)
    backwards = graph.watch(step, "g", times=range(T, 0, -1))
    _, g = unfold(backwards, back, graph.start("g", initial(x), T + 1), xs[::-1])
    for t, both in enumerate(zip(h, g[::-1], strict=True), start=1):
        graph.name("o", np.concatenate(both, axis=-1) @ V.T + c, t)


WIRINGS: dict[str, Callable[[graphs.Graph, np.ndarray], None]] = {
    "one state": plain,
    "output fed back": from_output,
    "two layers": two_layers,
    "two directions": two_directions,
}


def traced(wiring: Callable[[graphs.Graph, np.ndarray], None] = plain, T: int = 3) -> graphs.Graph:
    """Run a wiring on arrays that remember, and return its graph."""
    graph = graphs.Graph()
    wiring(graph, np.random.default_rng(2).normal(size=(T, 2, 3)))
    return graph


def rows_of(graph: graphs.Graph) -> list[str]:
    """Return the letters from bottom to top: x, the hidden ones, o."""
    drawn = [name for name, role in graph.roles.items() if role != "parameter"]
    return ["x", *(name for name in drawn if name not in "xo"), "o"]


def draw_traced(graph: graphs.Graph) -> Figure:
    """Draw a graph folded and unfolded."""
    return graphs.draw(graph, rows_of(graph))


def foldings() -> dict[str, list[dict[str, object]]]:
    """Return the rows and the folded arrows of every wiring, found by running it."""
    found = []
    for name, wiring in WIRINGS.items():
        graph = traced(wiring)
        found.append(
            {
                "name": name,
                "rows": [[letter, graph.roles[letter]] for letter in rows_of(graph)],
                "arrows": [
                    [a.source, a.target, a.delay, " ".join(a.weights)] for a in graph.fold()
                ],
            }
        )
    return {"wirings": found}


def unfold_html(data: dict[str, list[dict[str, object]]]) -> str:
    """Return the element that `_static/unfold.js` turns into a drawing; it holds the arrows.

    Without scripts the sentence inside stays.
    """
    said = "; ".join(
        f"{each['name']}: "
        + ", ".join(
            f"{a[0]} to {a[1]}{' one step later' if a[2] == 1 else ''}" for a in each["arrows"]
        )
        for each in data["wirings"]
    )
    numbers = json.dumps(data, separators=(",", ":"))
    return (
        f'<div class="rnn-unfold"><script type="application/json">{numbers}</script>'
        f"<p>What goes where in four networks. {said}.</p></div>"
    )


# -------------------------------------------------------------------------- the proof, in one table


class Agreement(NamedTuple):
    """One claim: two ways to one array, and the largest relative difference."""

    claim: str
    equation: str
    other: str
    difference: float


def agreements() -> list[Agreement]:
    """Compare each construction of the chapter with a second way."""
    w, rng = weights(), np.random.default_rng(5)
    T, B, D, H = 7, 3, 3, 4
    x, h0 = rng.normal(size=(T, B, D)), rng.normal(0, 0.5, (B, H))
    lengths = np.array([4, 7, 2])
    params = tuple(w.values())
    found = []

    def add(claim: str, equation: str, other: str, one: np.ndarray, two: np.ndarray) -> None:
        found.append(Agreement(claim, equation, other, difference(one, two)))

    h, _ = zip(*_states(params, h0, x), strict=True)
    h = np.stack(h)
    rnn = twin(w)
    with torch.no_grad():
        theirs = rnn(torch.from_numpy(x), torch.from_numpy(h0)[None])[0].numpy()
    add("unfold and step", "(2.1)–(2.3)", "torch.nn.RNN", h, theirs)

    before = np.concatenate([h0[None], h[:-1]])
    _, _, a = reference.concatenated(w["U"], w["W"], w["b"], before[3], x[3])
    add("one matrix [W U]", "(2.4)", "two products", np.tanh(a), h[3])

    dW = rng.normal(size=(H, H))
    parts = reference.copies(x, h0, w["U"], w["W"], w["b"], dW)
    moved = (w["U"], w["W"] + 1e-30j * dW, *params[2:])
    last, _ = unfold(step, moved, h0, x)
    add("sum over the copies of W", "(2.7)", "complex step", parts.sum(0), last.imag / 1e-30)

    held = reference.masked(x, lengths, h0, w["U"], w["W"], w["b"])
    alone = [
        unfold(step, params, h0[n : n + 1], x[:k, n : n + 1])[0] for n, k in enumerate(lengths)
    ]
    add("masked batch, last states", "(2.9)", "each alone", held[-1], np.concatenate(alone))

    order = np.argsort(-lengths)
    data, _ = reference.pack(x[:, order], lengths[order])
    packed = pack_padded_sequence(torch.from_numpy(x[:, order]), torch.from_numpy(lengths[order]))
    add("packed rows", "(2.10)", "pack_padded_sequence", data, packed.data.numpy())
    with torch.no_grad():
        states, _ = pad_packed_sequence(rnn(packed, torch.from_numpy(h0[order])[None])[0])
    inside = (np.arange(T)[:, None] < lengths[order])[..., None]
    add("masked states", "(2.9)", "nn.RNN, packed", held[:, order] * inside, states.numpy())

    o = rng.normal(size=(T + 1, B, 4))
    y = rng.integers(0, 3, (T, B))
    s = o[1:, :, 3] - np.logaddexp.reduce(o[1:, :, :3], axis=-1)  # (2.13)
    begins = np.log1p(-np.exp(reference.log_softmax(o[0])[:, 3]))
    halts = reference.log_halt(o[:-1, :, :3], s, y, lengths) + begins
    add("end symbol", "(2.11), (2.13)", "halting", reference.log_end(o, y, lengths), halts)
    return found


def _states(params: tuple, h0: np.ndarray, x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (state, output) of every step."""

    def both(params, state, x):
        state, o = step(params, state, x)
        return state, (state, o)

    return unfold(both, params, h0, x)[1]


def twin(w: dict[str, np.ndarray]) -> torch.nn.RNN:
    """Return torch.nn.RNN with these weights; its second bias is zero."""
    rnn = torch.nn.RNN(w["U"].shape[1], len(w["W"]), dtype=torch.float64)
    values = {
        rnn.weight_ih_l0: w["U"], rnn.weight_hh_l0: w["W"],
        rnn.bias_ih_l0: w["b"], rnn.bias_hh_l0: np.zeros_like(w["b"]),
    }  # fmt: skip
    with torch.no_grad():
        for parameter, value in values.items():
            parameter.copy_(torch.from_numpy(value))
    return rnn


def table_agreements(found: list[Agreement]) -> Table:
    """Return the table of `agreements`."""
    rows = [[a.claim, a.equation, a.other, power(a.difference)] for a in found]
    return Table(["what", "equation", "against", "largest difference"], rows)


# ------------------------------------------------------------------------ many networks, at once


class Many(NamedTuple):
    """Weights of M networks that train side by side and never meet.

    U : (M, D, H), W : (M, H, H), b : (M, 1, H), V : (M, H, K), c : (M, 1, K), rows on the left
    """

    U: torch.Tensor
    W: torch.Tensor
    b: torch.Tensor
    V: torch.Tensor
    c: torch.Tensor


def many(rng: torch.Generator, M: int, D: int, H: int, K: int) -> Many:
    """Return M networks with PyTorch's usual start, uniform between ±1/sqrt(H)."""

    def uniform(*shape: int) -> torch.Tensor:
        return (2 * torch.rand(M, *shape, generator=rng) - 1) / H**0.5

    return Many(uniform(D, H), uniform(H, H), uniform(1, H), uniform(H, K), uniform(1, K))


def step_many(net: Many, h: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Equation (2.3) for M networks: h (M, B, H), x (M, B, D) -> h, o (M, B, K)."""
    h = torch.tanh(torch.baddbmm(torch.baddbmm(net.b, x, net.U), h, net.W))
    return h, torch.baddbmm(net.c, h, net.V)


def outputs(net: Many, x: torch.Tensor) -> torch.Tensor:
    """Return o (T, M, B, K) for x (T, M, B, D), from a zero state."""
    h0 = x.new_zeros(*x.shape[1:3], net.W.shape[-1])
    return torch.stack(unfold(step_many, net, h0, x)[1])


def train(
    params: Sequence[torch.Tensor],
    losses: Callable[[int], torch.Tensor],
    rate: torch.Tensor,
    updates: int,
) -> None:
    """Adam for M models at once, in place, each with its own rate; gradients clipped at norm 1.

    losses(k) : (M,), the models' losses for update k; rate : (M,)
    """
    for p in params:
        p.requires_grad_()
    first = [torch.zeros_like(p) for p in params]
    second = [torch.zeros_like(p) for p in params]
    for k in range(1, updates + 1):
        gradients = torch.autograd.grad(losses(k).sum(), params)
        with torch.no_grad():
            norm = sum(g.square().flatten(1).sum(1) for g in gradients).sqrt()
            scale = (1 / norm.clamp(min=1e-9)).clamp(max=1)[:, None, None]
            for p, g, m, v in zip(params, gradients, first, second, strict=True):
                m.lerp_(g * scale, 0.1)
                v.lerp_((g * scale).square(), 0.001)
                size = (v / (1 - 0.999**k)).sqrt() + 1e-8
                p -= rate[:, None, None] * (m / (1 - 0.9**k)) / size
    for p in params:
        p.requires_grad_(False)


# ----------------------------------------------------------------------------- what sharing buys


class Sharing(NamedTuple):
    """Errors of both networks on the running parity.

    n : (N,), sequences to learn from; rnn, window : (N, rates, seeds), share of wrong parities at
    the last step of new sequences of T steps; lengths : (L,); rnn_at, window_at : (L, seeds), the
    same against the length, with the most examples and the best rate; parameters : of the two;
    fit : (2,), the share of runs (all n, rates and seeds) without an error on their own examples
    """

    T: int
    n: tuple[int, ...]
    rates: tuple[float, ...]
    rnn: np.ndarray
    window: np.ndarray
    lengths: tuple[int, ...]
    rnn_at: np.ndarray
    window_at: np.ndarray
    parameters: tuple[int, int]
    fit: tuple[float, float]


def parity(rng: torch.Generator, T: int, *batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x (T, *batch, 1), bits as ±1, and y (T, *batch), the parity of the ones so far."""
    bits = torch.randint(0, 2, (T, *batch), generator=rng)
    return (2.0 * bits - 1)[..., None], (bits.cumsum(0) % 2).float()


def windows(x: torch.Tensor, T: int) -> torch.Tensor:
    """Return the last T inputs of every step, (len(x), M, B, T), zeros before the beginning."""
    padded = torch.cat([x.new_zeros(T - 1, *x.shape[1:]), x])[..., 0]
    return torch.stack([padded[i : i + len(x)] for i in range(T)], dim=-1)


def window_net(params: Sequence[torch.Tensor], w: torch.Tensor) -> torch.Tensor:
    """One hidden layer on windows (S, M, B, T): outputs (S, M, B)."""
    U, b, V, c = params
    flat = w.transpose(0, 1).flatten(1, 2)  # (M, S B, T)
    o = torch.baddbmm(c, torch.tanh(torch.baddbmm(b, flat, U)), V)
    return o[..., 0].unflatten(1, (w.shape[0], w.shape[2])).transpose(0, 1)


def sharing(
    n: Sequence[int] = (8, 16, 32, 64, 128),
    T: int = 10,
    rates: Sequence[float] = (0.01, 0.03),
    seeds: int = 5,
    lengths: Sequence[int] = (2, 5, 8, 10, 11, 12, 15, 20, 30, 50),
    updates: int = 300,
) -> Sharing:  # fmt: skip
    """Train a recurrent network and a window network on the running parity, tuned alike.

    Both see the same sequences, the target of every step, the same rates, updates and clipping.
    The hidden layers have 16 and 24 units: 305 and 289 parameters.
    """
    M = len(rates) * seeds
    rate = torch.tensor(rates).repeat_interleave(seeds)
    H, width = 16, 24
    errors = {"rnn": [], "window": []}
    fits = {"rnn": [], "window": []}
    for count in n:
        rng = torch.Generator().manual_seed(count)
        x, y = parity(rng, T, seeds, count)
        x, y = x.repeat(1, len(rates), 1, 1), y.repeat(1, len(rates), 1)
        net = many(rng, M, 1, H, 1)
        layer = [
            (2 * torch.rand(M, *shape, generator=rng) - 1) / fan**0.5
            for shape, fan in (
                ((T, width), T),
                ((1, width), T),
                ((width, 1), width),
                ((1, 1), width),
            )
        ]
        seen = windows(x, T)
        kinds = {
            "rnn": (net, lambda x, net=net: outputs(net, x)[..., 0], x),
            "window": (layer, lambda w, layer=layer: window_net(layer, w), seen),
        }
        for kind, (params, run, given) in kinds.items():
            train(params, lambda k, run=run, g=given, y=y: _cross_entropy(run(g), y), rate, updates)
            wrong = ((run(given) > 0) != (y > 0.5)).float().mean((0, 2))
            fits[kind].append((wrong == 0).float().mean().item())
            errors[kind].append(_wrong_at(kind, run, (T,), T, M, count)[0])
    found = {kind: np.stack(e).reshape(len(n), len(rates), seeds) for kind, e in errors.items()}
    best = {kind: int(np.median(e[-1], axis=-1).argmin()) for kind, e in found.items()}
    at = {
        kind: _wrong_at(kind, kinds[kind][1], lengths, T, M, 1)[
            :, best[kind] * seeds : (best[kind] + 1) * seeds
        ]
        for kind in kinds
    }
    return Sharing(
        T, tuple(n), tuple(rates), found["rnn"], found["window"], tuple(lengths),
        at["rnn"], at["window"],
        (reference.count(1, H, 1, T)[0], reference.count(1, width, 1, T)[1]),
        (float(np.mean(fits["rnn"])), float(np.mean(fits["window"]))),
    )  # fmt: skip


def _cross_entropy(o: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    each = torch.nn.functional.binary_cross_entropy_with_logits(o, y, reduction="none")
    return each.mean((0, 2))


def _wrong_at(
    kind: str, run: Callable, lengths: Sequence[int], T: int, M: int, seed: int
) -> np.ndarray:
    """Share of wrong parities at step L of 1000 new sequences, for each L and model: (L, M)."""
    rng = torch.Generator().manual_seed(100_000 + seed)
    x, y = parity(rng, max(lengths), 1, 1000)
    x = x.expand(-1, M, -1, -1)
    steps = torch.tensor(lengths) - 1
    said = run(x)[steps] if kind == "rnn" else run(windows(x, T)[steps])
    return ((said > 0) != (y[steps] > 0.5)).float().mean(-1).numpy()


def draw_sharing(data: Sharing) -> Figure:
    """Draw error against examples, and against the length."""
    figures.style()
    fig, (left, right) = plt.subplots(1, 2, figsize=(5.9, 2.9), sharey=True)
    kinds = (
        ("recurrent", data.rnn, data.rnn_at, BLUE),
        ("window", data.window, data.window_at, VERMILION),
    )
    for name, errors, at, colour in kinds:
        best = np.median(errors, axis=-1).argmin(1)
        _band(left, data.n, errors[np.arange(len(best)), best], colour, name)
        _band(right, data.lengths, at, colour, name)
    left.set(xscale="log", xlabel="sequences to learn from", ylabel="wrong at the last step")
    left.set_xticks(data.n, data.n)
    left.minorticks_off()
    left.legend()
    right.axvline(data.T, lw=1, ls="--", color=figures.FOREGROUND)
    right.text(data.T + 1, 0.41, f"trained on {data.T} steps", size=9)
    right.set(xlabel="length of the sequence", ylim=(-0.02, 0.6))
    return fig


def _band(ax: plt.Axes, x: Sequence[float], values: np.ndarray, colour: str, name: str) -> None:
    """Draw the median over the last axis, and the quartiles around it."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=-1)
    ax.plot(x, middle, "o-", ms=4, color=colour, label=name)
    ax.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)


def table_sharing(data: Sharing) -> Table:
    """Return medians and quartiles at each n, for the best rate of each network."""
    rows = []
    for i, n in enumerate(data.n):
        row = [n]
        for errors in (data.rnn[i], data.window[i]):
            best = errors[np.median(errors, axis=-1).argmin()]
            low, middle, high = np.quantile(best, (0.25, 0.5, 0.75))
            row.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        rows.append(row)
    names = [
        f"{what}, {count} numbers"
        for what, count in zip(("recurrent", "window"), data.parameters, strict=True)
    ]
    return Table(["sequences", *names], rows)


def counts(
    sizes: Sequence[tuple[int, int, int]] = ((1, 16, 1), (28, 64, 28), (512, 256, 10)),
    taus: Sequence[int] = (1, 10, 100, 1000),
) -> Table:
    """Return the table of (2.5) and (2.6) for some networks and windows."""
    rows = []
    for D, H, K in sizes:
        rnn, _, longer = reference.count(D, H, K, 1)
        window = [f"{reference.count(D, H, K, tau)[1]:,}" for tau in taus]
        rows.append([f"{D}, {H}, {K}", f"{rnn:,}", *window, longer])
    head = [
        "D, H, K",
        "recurrent, any τ",
        *(f"window, τ = {tau:,}" for tau in taus),
        "more from τ =",
    ]
    return Table(head, rows)


# ------------------------------------------------------------------------- the drawbacks, measured


class Recall(NamedTuple):
    """Share of symbols that plain networks say rightly, `lag` steps later: lags : (L,), share :
    (L, seeds); early, reversed : (seeds,), for symbols of one step *ahead*, read forwards and
    from the end; K : symbols; updates : how long they were trained."""

    lags: tuple[int, ...]
    share: np.ndarray
    early: np.ndarray
    reversed: np.ndarray
    K: int
    updates: int


def echo(
    rng: torch.Generator, T: int, lags: torch.Tensor, B: int, K: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return x (T, M, B, K), targets (T, M, B) and where they count (T, M, 1), one lag a model.

    A negative lag asks for a symbol that is still to come.
    """
    symbols = torch.randint(0, K, (T, len(lags), B), generator=rng)
    source = torch.arange(T)[:, None] - lags
    counts = (source >= 0) & (source < T)
    y = symbols.gather(0, source.clamp(0, T - 1)[..., None].expand(-1, -1, B))
    return torch.nn.functional.one_hot(symbols, K).float(), y, counts[..., None].float()


def recall(
    lags: Sequence[int] = (1, 2, 4, 8, 12, 16),
    seeds: int = 5, H: int = 32, K: int = 4, B: int = 16, updates: int = 300,
) -> Recall:  # fmt: skip
    """Train plain networks to say the symbol of `lag` steps before, all in the same way."""
    T = max(lags) + 4
    lag = torch.tensor([*lags, -1, -1]).repeat_interleave(seeds)
    # The last group reads from the end: there the symbol ahead has been read already.
    turned = torch.arange(len(lag)) >= len(lag) - seeds
    rng = torch.Generator().manual_seed(0)
    net = many(rng, len(lag), K, H, K)

    def run(x: torch.Tensor) -> torch.Tensor:
        flip = turned[None, :, None, None]
        o = outputs(net, torch.where(flip, x.flip(0), x))
        return torch.where(flip, o.flip(0), o)

    def losses(_: int) -> torch.Tensor:
        x, y, m = echo(rng, T, lag, B, K)
        each = torch.nn.functional.cross_entropy(run(x).movedim(-1, 1), y, reduction="none")
        return (each * m).sum((0, 2)) / (m.sum((0, 2)) * B)

    train(net, losses, torch.full((len(lag),), 0.01), updates)
    x, y, m = echo(rng, T, lag, 200, K)
    right = ((run(x).argmax(-1) == y) * m).sum((0, 2)) / (m.sum((0, 2)) * 200)
    right = right.reshape(-1, seeds).numpy()
    return Recall(tuple(lags), right[:-2], right[-2], right[-1], K, updates)


def draw_recall(data: Recall) -> Figure:
    """Draw the share of right symbols against the lag."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.2, 2.8))
    _band(ax, data.lags, data.share, BLUE, f"after {data.updates} updates")
    ax.axhline(1 / data.K, ls="--", lw=1, color=figures.FOREGROUND, label="guessing")
    ax.set(xlabel="steps between symbol and answer", ylabel="share right", ylim=(0, 1.05))
    ax.set_xticks(data.lags)
    ax.legend()
    return fig


def table_recall(data: Recall) -> Table:
    """Return the two rows about a symbol that is still to come."""
    rows = [
        [name, f"{np.median(found):.2f}", f"{found.min():.2f} to {found.max():.2f}"]
        for name, found in (("from the beginning", data.early), ("from the end", data.reversed))
    ]
    return Table(["say the next symbol; the network reads", "share right, median", "range"], rows)


class Steps(NamedTuple):
    """Processor time for T steps of a batch: T : (n,), recurrent, at_once : (n,) seconds."""

    T: np.ndarray
    recurrent: np.ndarray
    at_once: np.ndarray


def steps(
    T: Sequence[int] = (32, 64, 128, 256, 512), B: int = 1, D: int = 32, H: int = 32
) -> Steps:
    """Time a recurrent layer, and a layer without recurrence that has all steps at once.

    The second does the products of U and V with the same numbers, and one more in the place of W.
    """
    w = tuple(weights(0, D, H, 8).values())
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(t, B, D)) for t in T]
    h0 = np.zeros((B, H))
    U, W, b, V, c = w

    def at_once(x: np.ndarray) -> np.ndarray:
        return np.tanh(b + x @ U.T + np.zeros((len(x), B, H)) @ W.T) @ V.T + c

    one = median_seconds([lambda x=x: unfold(step, w, h0, x) for x in xs])
    two = median_seconds([lambda x=x: at_once(x) for x in xs])
    return Steps(np.array(T, float), one, two)


def draw_steps(data: Steps) -> Figure:
    """Draw time against the length."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.2, 2.8))
    ax.loglog(data.T, data.recurrent * 1e3, "o-", ms=4, color=BLUE, label="step after step")
    ax.loglog(data.T, data.at_once * 1e3, "s-", ms=4, color=VERMILION, label="all steps at once")
    ax.set(xlabel="length of the sequence, τ", ylabel="processor time, ms")
    ax.set_xticks(data.T, data.T.astype(int))
    ax.minorticks_off()
    ax.legend()
    ax.grid(True)
    return fig


# ------------------------------------------------------------------------------ padding and packing


class Waste(NamedTuple):
    """Rows computed for one set of sequences: padded in the order they come, padded after sorting
    by length, and packed; `wanted` is the sum of the lengths."""

    padded: int
    sorted: int
    packed: int
    wanted: int


def waste(n: int = 1024, B: int = 32, mean: float = 20.0) -> Waste:
    """Count the rows that batches of B compute for n lengths of a geometric law, (2.14)."""
    lengths = np.random.default_rng(4).geometric(1 / mean, n)

    def rows(order: np.ndarray) -> int:
        return int(sum(B * batch.max() for batch in order.reshape(-1, B)))

    packed = 0
    for batch in lengths.reshape(-1, B):
        down = np.sort(batch)[::-1]
        packed += len(reference.pack(np.zeros((down[0], B, 1)), down)[0])
    return Waste(rows(lengths), rows(np.sort(lengths)), packed, int(lengths.sum()))


def table_waste(data: Waste) -> Table:
    """Return the rows computed, and the share of them that was wanted."""
    names = (("padded, as they come", data.padded), ("padded, sorted by length", data.sorted))
    rows = [
        [name, f"{count:,}", f"{data.wanted / count:.2f}"]
        for name, count in (*names, ("packed", data.packed))
    ]
    return Table(["batches", "rows computed", "share wanted"], rows)


# -------------------------------------------------------------------------------- how it ends


class Law(NamedTuple):
    """A distribution of sequences of two symbols, listed in full.

    name; y : (S, T), symbols, filled up with 0; lengths : (S,); p : (S,), their probabilities
    """

    name: str
    y: np.ndarray
    lengths: np.ndarray
    p: np.ndarray

    @property
    def entropy(self) -> float:
        """In nats."""
        return float(-(self.p * np.log(self.p)).sum())

    @property
    def of_length(self) -> np.ndarray:
        """Return P(tau) for tau = 0 ... T."""
        return np.bincount(self.lengths, self.p, self.y.shape[1] + 1)


def brackets(p: float = 0.4, most: int = 16) -> Law:
    """Balanced strings that close for the first time at their end, (2.18); 0 opens, 1 closes."""
    found: list[list[int]] = []

    def grow(string: list[int], depth: int) -> None:
        if depth == 0:
            found.append(string)
        elif len(string) + depth <= most:
            grow([*string, 0], depth + 1)
            grow([*string, 1], depth - 1)

    grow([0], 1)
    return _law("brackets", found, lambda s: p ** (len(s) // 2 - 1) * (1 - p) ** (len(s) // 2))


def two_lengths(short: int = 3, long: int = 10) -> Law:
    """Every symbol is random; the length is one of two, each with probability 1/2."""
    found = [[int(d) for d in f"{i:0{n}b}"] for n in (short, long) for i in range(2**n)]
    return _law("two lengths", found, lambda s: 0.5 ** len(s))


def _law(name: str, found: list[list[int]], weight: Callable[[list[int]], float]) -> Law:
    lengths = np.array([len(s) for s in found])
    y = np.zeros((len(found), lengths.max()), dtype=np.int64)
    for row, string in zip(y, found, strict=True):
        row[: len(string)] = string
    p = np.array([weight(s) for s in found])
    return Law(name, y, lengths, p / p.sum())


ENDINGS = ("end symbol", "halting", "length first")
INPUTS, OUTPUTS = 3, 4  # two symbols and how many are to come; two symbols, the end, halting


class Endings(NamedTuple):
    """Three ways to end, trained on one law.

    law; kl : (3, seeds), exact divergence from the law in nats; length_kl : (3, seeds), what of it
    is in the lengths, (2.17), or NaN where it would take strings that are not listed; mass :
    (3, seeds), the probability that a model gives to the sequences that the law can make; share :
    (3, longest + 9), how often the median seed of each kind drew a length; first : some strings
    that it drew
    """

    law: Law
    kl: np.ndarray
    length_kl: np.ndarray
    mass: np.ndarray
    share: np.ndarray
    first: list[list[str]]


def log_p(
    net: Many, q: torch.Tensor, kind: torch.Tensor, y: torch.Tensor, tau: torch.Tensor
) -> torch.Tensor:
    """Return log P(x, tau), (M, B), of models that end in different ways: (2.11), (2.12), (2.15).

    q : (M, 1, longest), scores of the lengths; kind : (M,), index into `ENDINGS`;
    y : (M, B, T), tau : (M, B)
    """
    M, _, T = y.shape
    x = _inputs(y, tau, kind)
    o = outputs(net, x)  # (T + 1, M, B, 4)
    t = torch.arange(T + 1)[:, None, None]
    target = y.permute(2, 0, 1)
    first, later = o[:-1], o[1:]
    ends = (kind == 0)[:, None]
    with_end = o[..., :3].log_softmax(-1)
    chosen = torch.where(ends[..., None], with_end[:-1, ..., :2], first[..., :2].log_softmax(-1))
    symbols = chosen.gather(-1, target[..., None])[..., 0] * (t[:-1] < tau)
    end = (with_end[..., 2] * (t == tau)).sum(0)
    score = later[..., 3]
    decides = -torch.nn.functional.softplus(torch.where(t[1:] == tau, -score, score))
    halt = (decides * (t[1:] <= tau)).sum(0)
    length = q[:, 0].log_softmax(-1).gather(1, tau - 1)
    how = torch.stack([end, halt, length])[kind, torch.arange(M)]
    return symbols.sum(0) + how


def _inputs(y: torch.Tensor, tau: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
    """Return what is read, (T + 1, M, B, 3): the start signal and the symbols; what is to come."""
    M, B, T = y.shape
    symbols = torch.nn.functional.one_hot(y, 2).float().permute(2, 0, 1, 3)
    symbols = torch.cat([symbols.new_zeros(1, M, B, 2), symbols])
    left = (tau - torch.arange(T + 1)[:, None, None]).clamp(min=0) / 4  # of the size of the others
    told = left * (kind == 2)[:, None]
    return torch.cat([symbols, told[..., None]], dim=-1)


def endings(law: Law, seeds: int = 3, H: int = 24, B: int = 48, updates: int = 400) -> Endings:
    """Train three endings, several seeds each, on sequences drawn from a law, and judge exactly."""
    kind = torch.arange(3).repeat_interleave(seeds)
    M, longest = len(kind), law.y.shape[1]
    rng = torch.Generator().manual_seed(1)
    net = many(rng, M, INPUTS, H, OUTPUTS)
    q = torch.zeros(M, 1, longest)
    y, tau, p = (torch.from_numpy(a) for a in (law.y, law.lengths, law.p))

    def losses(_: int) -> torch.Tensor:
        chosen = torch.multinomial(p, M * B, replacement=True, generator=rng).reshape(M, B)
        return -log_p(net, q, kind, y[chosen], tau[chosen]).mean(1)

    train([*net, q], losses, torch.full((M,), 0.02), updates)
    with torch.no_grad():
        log_q = log_p(net, q, kind, y.expand(M, -1, -1), tau.expand(M, -1)).double()
    kl = (p * (p.log() - log_q)).sum(1).reshape(3, seeds).numpy()
    mass = log_q.exp().sum(1).reshape(3, seeds).numpy()
    of_length = law.of_length[1:]
    can = of_length > 0
    log_length = np.full((3, seeds, len(of_length)), np.nan)
    if all((law.lengths == n).sum() == 2**n for n in np.flatnonzero(can) + 1):
        for n in np.flatnonzero(can) + 1:  # every string of this length is listed
            log_length[:, :, n - 1] = log_q[:, tau == n].logsumexp(1).reshape(3, seeds)
    log_length[2] = q[kind == 2, 0].log_softmax(-1).double().numpy()
    length_kl = (of_length[can] * (np.log(of_length[can]) - log_length[..., can])).sum(-1)
    share, strings = _drawn(net, q, kind, longest + 8, rng)
    middle = [int(np.argsort(row)[seeds // 2]) for row in kl]
    picked = [i * seeds + j for i, j in enumerate(middle)]
    return Endings(law, kl, length_kl, mass, share[picked], [strings[i] for i in picked])


def _drawn(
    net: Many,
    q: torch.Tensor,
    kind: torch.Tensor,
    most: int,
    rng: torch.Generator,
    count: int = 2000,
) -> tuple[np.ndarray, list[list[str]]]:
    """Draw from every model; the shares of the lengths 0 ... most, (M, most + 1), and some strings.

    A sequence that has not ended after `most` symbols counts there.
    """
    M = len(kind)
    of_length = torch.multinomial(q[:, 0].softmax(-1), count, replacement=True, generator=rng) + 1
    length = torch.where((kind == 2)[:, None], of_length, most)
    alive = torch.ones(M, count, dtype=torch.bool)
    tau = torch.zeros(M, count, dtype=torch.long)
    h, x = torch.zeros(M, count, net.W.shape[-1]), torch.zeros(M, count, 2)
    text = [[""] * 8 for _ in range(M)]
    for t in range(most):
        left = (length - t).clamp(min=0) / 4 * (kind == 2)[:, None]
        h, o = step_many(net, h, torch.cat([x, left[..., None]], -1))
        if t:
            halts = torch.rand(M, count, generator=rng) < o[..., 3].sigmoid()
            alive &= ~(halts & (kind == 1)[:, None])
        score = o[..., :3].clone()
        score[kind != 0, :, 2] = -torch.inf
        k = torch.multinomial(score.softmax(-1).flatten(0, 1), 1, generator=rng).reshape(M, count)
        alive &= (k < 2) & (t < length)
        tau += alive
        for m in range(M):
            text[m] = [s + "()"[k[m, i]] if alive[m, i] else s for i, s in enumerate(text[m])]
        x = torch.nn.functional.one_hot(k.clamp(max=1), 2).float()
    found = np.stack([np.bincount(row, minlength=most + 1) / count for row in tau.numpy()])
    return found, text


def draw_endings(data: Sequence[Endings]) -> Figure:
    """Draw the lengths that each ending gives, over those of the law."""
    figures.style()
    fig, axes = plt.subplots(3, len(data), figsize=(5.9, 4.6), sharex="col", sharey="col")
    for column, found in zip(axes.T, data, strict=True):
        law = found.law.of_length
        for ax, name, share, colour in zip(
            column, ENDINGS, found.share, (BLUE, GREEN, VERMILION), strict=True
        ):
            at = np.arange(len(share))
            ax.bar(at, share, color=colour, width=0.8)
            can = law > 0
            ax.plot(at[: len(law)][can], law[can], "o", ms=5, mfc="none", mec=figures.FOREGROUND)
            ax.set_title(f"{found.law.name}: {name}", size=10)
        column[-1].set(xlabel="length τ")
    for ax in axes[:, 0]:
        ax.set(ylabel="probability")
    return fig


def table_endings(data: Sequence[Endings]) -> Table:
    """Return entropy, divergence, its two parts, and lost probability of every ending."""
    rows = []
    for found in data:
        for name, kl, lengths, mass in zip(
            ENDINGS, found.kl, found.length_kl, found.mass, strict=True
        ):
            parts = [lengths, kl - lengths]
            rows.append(
                [
                    found.law.name, f"{found.law.entropy:.3f}", name, f"{np.median(kl):.3f}",
                    f"{kl.min():.3f} to {kl.max():.3f}",
                    *("–" if np.isnan(part).any() else f"{np.median(part):.3f}" for part in parts),
                    f"{1 - np.median(mass):.3f}",
                ]
            )  # fmt: skip
    head = ["law", "entropy", "ending", "above it, median", "range", "of it in lengths"]
    return Table([*head, "in content", "impossible strings"], rows)
