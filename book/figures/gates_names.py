"""Chapter 5: names of dinosaurs, by counting and by networks.

Two networks learn the same list: one made of the reference functions of `solutions.gates` and
NumPy, one of PyTorch.  They are compared with the best of a family of n-gram models, on names that
none of them has seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course import datasets, figures
from figures.kept import kept
from figures.tables import Table
from solutions.bptt import clip, grad_o
from solutions.gates import bits_per_character, lstm_backward, lstm_forward, sample

LETTERS = ".abcdefghijklmnopqrstuvwxyz"
K = len(LETTERS)


class Split(NamedTuple):
    """The list in three parts, lower case: every tenth name for the test, every tenth to tune."""

    train: tuple[str, ...]
    tune: tuple[str, ...]
    test: tuple[str, ...]


def split() -> Split:
    """Return the names of `datasets.dinosaurs` in three parts; neighbours go to different ones."""
    names = [name.lower() for name in datasets.dinosaurs()]
    parts: tuple[list[str], ...] = ([], [], [])
    for n, name in enumerate(names):
        parts[{0: 2, 5: 1}.get(n % 10, 0)].append(name)
    return Split(*map(tuple, parts))


def codes(name: str) -> list[int]:
    """Return the symbols that follow the beginning: the letters of a name, and the end."""
    return [*map(LETTERS.index, name), 0]


def arrays(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return symbols in, (T, B), symbols out, (T, B), and the mask, (T, B); 0 begins and ends."""
    T = max(map(len, names)) + 1
    y, mask = np.zeros((T, len(names)), dtype=np.int64), np.zeros((T, len(names)))
    for n, name in enumerate(names):
        y[: len(name) + 1, n] = codes(name)
        mask[: len(name) + 1, n] = 1.0
    before = np.concatenate([np.zeros_like(y[:1]), y[:-1]])
    return before, y, mask


# --------------------------------------------------------------------------------------- n-grams


class KneserNey:
    """Interpolated Kneser-Ney smoothing of n-grams of letters, (5.27).

    lines : symbols, 0 ... size - 1; each line begins after 0s; order : symbols in a gram, the
    predicted one included; discount : taken from every count
    """

    def __init__(
        self, lines: Sequence[Sequence[int]], order: int, discount: float, size: int = K
    ) -> None:
        self.order, self.discount, self.size = order, discount, size
        tables: list[dict] = [defaultdict(Counter) for _ in range(order)]
        for given in lines:
            line = [0] * (order - 1) + list(given)
            for end in range(order - 1, len(line)):
                tables[-1][tuple(line[end - order + 1 : end])][line[end]] += 1
        for k in range(order - 2, -1, -1):  # below the top: in how many contexts, not how often
            for context, following in tables[k + 1].items():
                for symbol in following:
                    tables[k][context[1:]][symbol] += 1
        self.tables = tables

    def probabilities(self, context: Sequence[int]) -> np.ndarray:
        """Return the probability of each symbol after a context, (size,)."""
        context = ([0] * self.order + list(context))[-(self.order - 1) :] if self.order > 1 else []
        p = np.full(self.size, 1 / self.size)
        for k in range(self.order):
            found = self.tables[k].get(tuple(context[len(context) - k :]))
            if found is None:
                break  # no longer context has been seen either
            counts = np.zeros(self.size)
            counts[list(found)] = list(found.values())
            kept = np.maximum(counts - self.discount, 0)
            p = (kept + self.discount * len(found) * p) / counts.sum()  # (5.27)
        return p

    def of(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the probability of every symbol of some lines, one after the other."""
        reach = max(self.order - 1, 0)
        return np.array(
            [
                self.probabilities(line[max(0, t - reach) : t])[symbol]
                for line in lines
                for t, symbol in enumerate(line)
            ]
        )

    def bits(self, lines: Sequence[Sequence[int]]) -> float:
        """Return the bits per symbol on some lines."""
        return float(-np.log2(self.of(lines)).mean())


class Grams(NamedTuple):
    """Bits of n-gram models: tune : (orders, discounts), and the best one's on the test."""

    orders: tuple[int, ...]
    discounts: tuple[float, ...]
    tune: np.ndarray
    order: int
    discount: float
    test: float


def grams(
    orders: Sequence[int] = (1, 2, 3, 4, 5, 6, 8, 11),
    discounts: Sequence[float] = (0.8, 0.9, 0.95, 0.98),
) -> Grams:
    """Tune order and discount on the tuning names; measure the best on the test names."""
    train, tune, test = ([codes(name) for name in names] for names in split())
    found = np.array([[KneserNey(train, n, d).bits(tune) for d in discounts] for n in orders])
    i, j = np.unravel_index(found.argmin(), found.shape)
    best = KneserNey(train, orders[i], discounts[j])
    return Grams(tuple(orders), tuple(discounts), found, orders[i], discounts[j], best.bits(test))


# ---------------------------------------------------------------------------- an LSTM in NumPy

Step = Callable[[np.ndarray, object], tuple[np.ndarray, object]]
"""One step of a generator: symbols (B,) and a state give outputs (B, K) and the next state."""


class Learnt(NamedTuple):
    """A trained network, what it was like on the way, and what it scores.

    net; curve : updates and bits on the tuning names, (n, 2); seen : names that it made on the
    way, by update; tune, test : bits per character
    """

    net: NumpyNamer | Namer
    curve: np.ndarray
    seen: dict[int, list[str]]
    tune: float
    test: float


def bits(outputs: Callable[[np.ndarray], np.ndarray], names: Sequence[str]) -> float:
    """Return the bits per character of a network on some names, (5.26)."""
    x, y, mask = arrays(names)
    return float(bits_per_character(outputs(x), y, mask))


def invent(
    step: Step, start: object, count: int, temperature: float, rng: np.random.Generator
) -> list[str]:
    """Return names, letter by letter; symbol 0 begins and ends one, 24 letters at most."""
    state, symbol = start, np.zeros(count, dtype=np.int64)
    letters = np.zeros((24, count), dtype=np.int64)
    for t in range(len(letters)):
        o, state = step(symbol, state)
        symbol = letters[t] = sample(o, temperature, rng.random(count))
    rows = ("".join(LETTERS[k] for k in row) for row in letters.T)
    return [row.split(".")[0].capitalize() for row in rows]


def adam(
    params: list[np.ndarray],
    grads: list[np.ndarray],
    moments: list[np.ndarray],
    n: int,
    rate: float,
) -> None:
    """Change parameters in place, the n-th time: Adam with 0.9 and 0.99."""
    for p, g, m, v in zip(params, grads, moments[::2], moments[1::2], strict=True):
        m += 0.1 * (g - m)
        v += 0.01 * (g * g - v)
        p -= rate * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.99**n)) + 1e-8)


class NumpyNamer:
    """An LSTM of `solutions.gates` and a linear layer, with parameters U, W, b, V, c."""

    def __init__(self, H: int, rng: np.random.Generator):
        shapes = [(4 * H, K), (4 * H, H), (4 * H,), (K, H), (K,)]
        self.params = [rng.normal(0, 1 / np.sqrt(H), shape) for shape in shapes]
        self.params[2][:] = self.params[4][:] = 0.0
        self.params[2][H : 2 * H] = 1.0  # the forget gates begin open

    def start(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the state before the first letter, h and c, (count, H)."""
        H = self.params[3].shape[1]
        return np.zeros((count, H)), np.zeros((count, H))

    def run(self, x: np.ndarray, h0: np.ndarray, c0: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return h, c, gates and the outputs, (T, B, ...), for symbols x, (T, B)."""
        U, W, b, V, c_out = self.params
        h, c, gates = lstm_forward(np.eye(K)[x], h0, c0, U, W, b)
        return h, c, gates, h @ V.T + c_out

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Return outputs, (T, B, K), from symbols, (T, B)."""
        return self.run(x, *self.start(x.shape[1]))[3]

    def step(self, symbol: np.ndarray, state: tuple) -> tuple[np.ndarray, tuple]:
        """Return outputs, (B, K), and the next state from one symbol each."""
        h, c, _, o = self.run(symbol[None], *state)
        return o[0], (h[0], c[0])


def learn_numpy(updates: int = 400, H: int = 64, B: int = 32, rate: float = 0.01) -> Learnt:
    """Train the reference functions on the names; keep the parameters that were best in tuning."""
    data, rng = split(), np.random.default_rng(5)
    net = NumpyNamer(H, rng)
    U, W, _, V, _ = net.params
    moments = [np.zeros_like(p) for p in net.params for _ in range(2)]
    curve, seen = [], {}
    best = (np.inf, [p.copy() for p in net.params])
    for n in range(1, updates + 1):
        x, y, mask = arrays(rng.choice(data.train, B, replace=False))
        h, c, gates, o = net.run(x, *net.start(B))
        do = grad_o(o, y, mask) / mask.sum()
        none = np.zeros((B, H))  # no loss at the last cell state
        weights = lstm_backward(do @ V, none, np.eye(K)[x], h, c, gates, *net.start(B), U, W)[3:]
        grads = [*weights, np.einsum("tbk,tbh->kh", do, h), do.sum((0, 1))]
        adam(net.params, clip(grads, 1.0)[0], moments, n, rate)
        if n in (1, 30, 100, updates):
            seen[n] = invent(net.step, net.start(5), 5, 0.8, np.random.default_rng(1))
        if n % 20 == 0:
            curve.append((n, bits(net.outputs, data.tune)))
            if curve[-1][1] < best[0]:
                best = (curve[-1][1], [p.copy() for p in net.params])
    net.params = best[1]
    return Learnt(net, np.array(curve), seen, best[0], bits(net.outputs, data.test))


# --------------------------------------------------------------------------- a GRU in PyTorch


class Namer(torch.nn.Module):
    """Embedding, GRU, linear layer; dropout keeps one mask for all steps of a name."""

    def __init__(self, H: int, E: int = 64, dropout: float = 0.5):
        super().__init__()
        self.embed = torch.nn.Embedding(K, E)
        self.cell = torch.nn.GRU(E, H)
        self.head = torch.nn.Linear(H, K)
        self.dropout = dropout

    def masked(self, values: torch.Tensor, share: float) -> torch.Tensor:
        """Drop a share of the features, the same ones at every step of a sequence."""
        if not self.training:
            return values
        return values * torch.nn.functional.dropout(torch.ones_like(values[:1]), share)

    def forward(
        self, x: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return outputs (T, B, K) and the last state from symbols (T, B)."""
        h, state = self.cell(self.masked(self.embed(x), 0.1), state)
        return self.head(self.masked(h, self.dropout)), state

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Return outputs, (T, B, K), from symbols, (T, B), without dropout."""
        self.eval()
        with torch.no_grad():
            return self(torch.from_numpy(x))[0].double().numpy()

    def step(
        self, symbol: np.ndarray, state: torch.Tensor | None
    ) -> tuple[np.ndarray, torch.Tensor]:
        """Return outputs, (B, K), and the next state from one symbol each."""
        with torch.no_grad():
            o, state = self(torch.from_numpy(symbol)[None], state)
        return o[0].double().numpy(), state


def learn_torch(epochs: int = 25, H: int = 128, B: int = 32, rate: float = 0.005) -> Learnt:
    """Train a GRU of PyTorch's on the names, with dropout and a rate that rises and falls."""
    data, rng = split(), np.random.default_rng(0)
    torch.manual_seed(0)
    model = Namer(H)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.1)
    batches = len(data.train) // B
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=batches * epochs, pct_start=0.1
    )

    curve = []
    for epoch in range(1, epochs + 1):
        model.train()
        order = rng.permutation(len(data.train))[: batches * B].reshape(batches, B)
        for row in order:
            x, y, mask = (torch.from_numpy(a) for a in arrays([data.train[j] for j in row]))
            each = torch.nn.functional.cross_entropy(model(x)[0].mT, y, reduction="none")
            loss = (each * mask).sum() / mask.sum()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        curve.append((epoch * batches, bits(model.outputs, data.tune)))
    return Learnt(model, np.array(curve), {}, curve[-1][1], bits(model.outputs, data.test))


# ------------------------------------------------------------------------------- side by side


class Contest(NamedTuple):
    """Bits per character on the names held out: counting, two networks, and a mixture.

    grams; best : the n-gram model itself; numpy, torch : the networks; share : the network's part
    in the mixture, tuned; mixture : (tune, test) bits
    """

    grams: Grams
    best: KneserNey
    numpy: Learnt
    torch: Learnt
    share: float
    mixture: tuple[float, float]


def target_probabilities(
    model: KneserNey | Callable[[np.ndarray], np.ndarray], names: Sequence[str]
) -> np.ndarray:
    """Return the probability that a model gives to each character of some names, ends included."""
    if isinstance(model, KneserNey):
        return model.of([codes(name) for name in names])
    x, y, mask = arrays(names)
    o = model(x)
    p = np.exp(o - o.max(-1, keepdims=True))
    p = np.take_along_axis(p / p.sum(-1, keepdims=True), y[..., None], -1)[..., 0]
    return p.T[mask.T > 0]


@kept
def contest() -> Contest:
    """Train everything, tune the mixture, and score all on names that nobody has seen."""
    data, counted = split(), grams()
    best = KneserNey([codes(name) for name in data.train], counted.order, counted.discount)
    ours, theirs = learn_numpy(), learn_torch()

    def mixed(names: Sequence[str], share: float) -> float:
        p = share * target_probabilities(theirs.net.outputs, names)
        return float(-np.log2(p + (1 - share) * target_probabilities(best, names)).mean())

    shares = np.linspace(0, 1, 11)
    share = float(shares[np.argmin([mixed(data.tune, s) for s in shares])])
    return Contest(
        counted, best, ours, theirs, share, (mixed(data.tune, share), mixed(data.test, share))
    )


def table_contest(found: Contest) -> Table:
    """Return the table of `contest`."""
    g = found.grams
    tune = g.tune.min()
    rows = [
        ["guessing among 27", f"{np.log2(K):.2f}", f"{np.log2(K):.2f}"],
        [f"Kneser-Ney, order {g.order}, discount {g.discount:g}", f"{tune:.2f}", f"{g.test:.2f}"],
        ["LSTM, 64 units, NumPy", f"{found.numpy.tune:.2f}", f"{found.numpy.test:.2f}"],
        ["GRU, 128 units, PyTorch", f"{found.torch.tune:.2f}", f"{found.torch.test:.2f}"],
        [
            f"{found.share:.1f} GRU + {1 - found.share:.1f} Kneser-Ney",
            *(f"{value:.2f}" for value in found.mixture),
        ],
    ]
    return Table(["model", "bits, tuning names", "bits, test names"], rows)


def edit_distance(one: str, two: str) -> int:
    """Return how many letters must be put in, taken out or changed to make two of one."""
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        left, row[0] = row[0], i
        for j, b in enumerate(two, 1):
            left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, left + (a != b))
    return row[-1]


def nearest(name: str, names: Sequence[str]) -> tuple[str, int]:
    """Return the real name that is nearest, and its distance."""
    return min(((other, edit_distance(name, other)) for other in names), key=lambda pair: pair[1])


class Invention(NamedTuple):
    """What one generator makes at one temperature.

    names; new : share that is not in the whole list; different : share of distinct names;
    plausible : share that the judge finds no stranger than 9 of 10 real names; distance : mean
    edit distance to the nearest real name
    """

    who: str
    temperature: float
    names: list[str]
    new: float
    different: float
    plausible: float
    distance: float


def strangeness(judge: KneserNey, names: Sequence[str]) -> np.ndarray:
    """Return the bits per character of each name by itself."""
    return np.array([judge.bits([codes(name)]) for name in names])


@kept
def inventions(
    temperatures: Sequence[float] = (0.4, 0.7, 1.0, 1.4), count: int = 100
) -> list[Invention]:
    """Let the GRU of `contest` invent at several temperatures, and the n-gram model at 1."""
    data, found = split(), contest()
    whole = [name.lower() for name in datasets.dinosaurs()]
    limit = np.quantile(strangeness(found.best, data.test), 0.9)

    def by_counting(symbol: np.ndarray, past: list[list[int]] | None) -> tuple[np.ndarray, list]:
        past = past or [[] for _ in symbol]
        past = [[*line, s] if s else line for line, s in zip(past, symbol, strict=True)]
        return np.log([found.best.probabilities(line) for line in past]), past

    makers = [("GRU", found.torch.net.step, t) for t in temperatures]
    results = []
    for who, step, t in [*makers, ("Kneser-Ney", by_counting, 1.0)]:
        names = invent(step, None, count, t, np.random.default_rng(7))
        lower = [name.lower() for name in names]
        results.append(
            Invention(
                who, t, names,
                float(np.mean([name not in set(whole) for name in lower])),
                len(set(names)) / count,
                float((strangeness(found.best, lower) <= limit).mean()),
                float(np.mean([nearest(name, whole)[1] for name in lower[:40]])),
            )
        )  # fmt: skip
    return results


def table_inventions(found: list[Invention]) -> Table:
    """Return the shares of `inventions`."""
    rows = [
        [
            f"{i.who}, temperature {i.temperature:g}",
            f"{i.new:.0%}",
            f"{i.different:.0%}",
            f"{i.plausible:.0%}",
            f"{i.distance:.1f}",
        ]
        for i in found
    ]
    return Table(
        ["who", "not in the list", "distinct", "plausible", "letters to the nearest"], rows
    )


def table_samples(found: list[Invention], each: int = 5) -> Table:
    """Return some new names, each with the nearest real one."""
    whole = [name.lower() for name in datasets.dinosaurs()]
    rows = []
    for i in found:
        new = [name for name in dict.fromkeys(i.names) if name.lower() not in set(whole)][:each]
        for name in new:
            real, distance = nearest(name.lower(), whole)
            rows.append([f"{i.who}, {i.temperature:g}", name, real.capitalize(), distance])
    return Table(["who, temperature", "invented", "nearest real name", "letters"], rows)


def draw_learning(found: Contest) -> Figure:
    """Draw the tuning bits of both networks while they learn, beside the n-gram models."""
    figures.style()
    fig, axes = plt.subplots(2, 1, figsize=(5.2, 6.0))
    for learnt, name, colour in (
        (found.numpy, "LSTM, NumPy", "blue"),
        (found.torch, "GRU, PyTorch", "green"),
    ):
        axes[0].plot(*learnt.curve.T, color=figures.PALETTE[colour], label=name)
    best = found.grams.tune.min(1)
    axes[0].axhline(best.min(), ls="--", color=figures.PALETTE["vermilion"], label="best n-gram")
    axes[0].set(xlabel="updates", ylabel="bits, tuning names", ylim=(2, 4))
    axes[1].plot(found.grams.orders, best, "o-", color=figures.PALETTE["vermilion"])
    axes[1].set(xlabel="order of the n-gram model", ylabel="bits, tuning names", ylim=(2, 4.2))
    axes[0].legend()
    for ax in axes:
        ax.grid(True)
    return fig


# --------------------------------------------------------------------- what the gates do to a name


class Spelt(NamedTuple):
    """One name, letter by letter: letters; gates : by name, (T, H), i, f, o, c (as tanh c), h."""

    letters: str
    gates: dict[str, np.ndarray]


def spell(learnt: Learnt, name: str = "tyrannosaurus") -> Spelt:
    """Run the NumPy network over a name, and return what its gates do, (T, H) each."""
    x = np.array([0, *codes(name)[:-1]])
    h, c, gates, _ = learnt.net.run(x[:, None], *learnt.net.start(1))
    i, f, o, _ = np.split(gates[:, 0], 4, axis=-1)
    return Spelt("." + name, {"f": f, "i": i, "o": o, "tanh c": np.tanh(c[:, 0]), "h": h[:, 0]})


def draw_spelt(data: Spelt, units: int = 16) -> Figure:
    """Draw the gates of the units whose cells move most, one panel for each quantity."""
    figures.style()
    fig, axes = plt.subplots(len(data.gates), 1, figsize=(5.2, 9.0), sharex=True)
    moving = np.argsort(-data.gates["tanh c"].std(0))[:units]
    for ax, (name, values) in zip(axes, data.gates.items(), strict=True):
        signed = name in ("tanh c", "h")
        picture = ax.imshow(
            values[:, moving].T, aspect="auto", interpolation="nearest",
            cmap=figures.DIVERGING if signed else figures.SEQUENTIAL,
            vmin=-1 if signed else 0, vmax=1,
        )  # fmt: skip
        ax.set(ylabel="unit", yticks=())
        fig.colorbar(picture, ax=ax, label=name)
    axes[-1].set_xticks(range(len(data.letters)), data.letters.replace(".", "·"))
    axes[-1].set_xlabel("letter that has just been read; · is the beginning")
    return fig
