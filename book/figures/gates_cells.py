"""Chapter 5: cells that one can read.

An LSTM learns generated text in which there is something to keep in mind: quotes that must be
closed, nested brackets, lines that end.  Its cells are searched for what they keep, and the ones
found are held still, to see what that breaks.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course import figures
from figures.gates_names import KneserNey
from figures.kept import kept
from figures.tables import Table
from solutions.gates import from_torch, sigmoid

SYMBOLS = '\n "()[]abcdefgh'
K = len(SYMBOLS)
LINE = 20
DEEPEST = 3


# ------------------------------------------------------------------------------------- the text


def written(seed: int, length: int) -> str:
    """Return generated text: ten words, quotes, nested brackets of two kinds, short lines.

    Words are the same inside and outside of quotes and brackets, so that only what stands further
    back says where one is.
    """
    rng = np.random.default_rng(seed)
    dictionary = np.random.default_rng(0)  # the same words for every seed
    words = ["".join(dictionary.choice(list("abcdefgh"), n)) for n in dictionary.integers(1, 3, 10)]
    out: list[str] = []

    def some(count: int, depth: int) -> str:
        return " ".join(item(depth) for _ in range(count))

    def item(depth: int) -> str:
        kind = rng.random()
        if kind < 0.16:
            return '"' + " ".join(rng.choice(words, rng.integers(2, 7))) + '"'
        if kind < 0.34 and depth < DEEPEST:
            left, right = ("()", "[]")[rng.integers(2)]
            return left + some(rng.integers(1, 5), depth + 1) + right
        return str(rng.choice(words))

    size = column = 0
    while size < length:
        for piece in item(0).split(" "):
            out.append(piece)
            size += len(piece) + 1
            column += len(piece) + 1
            out.append("\n" if column >= LINE else " ")
            column = 0 if column >= LINE else column
    return "".join(out)[:length]


def coded(text: str) -> np.ndarray:
    """Return the symbols of a text, (length,)."""
    return np.array([SYMBOLS.index(letter) for letter in text])


def properties(text: str) -> dict[str, np.ndarray]:
    """Return what a reader knows after each character: inside a quote, depth, and column."""
    quote, depth, column = [], [], []
    inside = deep = at = 0
    for letter in text:
        inside ^= letter == '"'
        deep += (letter in "([") - (letter in ")]")
        at = 0 if letter == "\n" else at + 1
        quote.append(inside)
        depth.append(deep)
        column.append(at)
    return {
        "inside a quote": np.array(quote, dtype=float),
        "depth of brackets": np.array(depth, dtype=float),
        "column in the line": np.array(column, dtype=float),
    }


TOUCHES = {"inside a quote": '"', "depth of brackets": "()[]", "column in the line": "\n"}
"""The characters at which each property matters most."""


# ----------------------------------------------------------------------------------- the network


class Weights(NamedTuple):
    """A trained LSTM in the order of `solutions.gates`, and its output layer."""

    U: np.ndarray
    W: np.ndarray
    b: np.ndarray
    V: np.ndarray
    bias: np.ndarray


def learn(
    text: str, H: int = 64, B: int = 32, T: int = 64, epochs: int = 20, rate: float = 0.015
) -> Weights:
    """Train torch.nn.LSTM on a text cut into B streams, T steps at a time, the state carried on."""
    torch.manual_seed(0)
    cell, head = torch.nn.LSTM(K, H), torch.nn.Linear(H, K)
    with torch.no_grad():
        cell.bias_ih_l0[H : 2 * H] = 1.0
        cell.bias_hh_l0[H : 2 * H] = 0.0
    parameters = [*cell.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=rate)
    chunks = (len(text) - 1) // (B * T)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * chunks)
    streams = torch.from_numpy(coded(text)[: B * T * chunks + 1])
    x = torch.nn.functional.one_hot(streams[:-1].view(B, -1).T, K).float()
    y = streams[1:].view(B, -1).T
    for _ in range(epochs):
        state = None
        for t in range(0, len(x), T):
            h, state = cell(x[t : t + T], state)
            state = tuple(s.detach() for s in state)  # no gradient crosses, (3.27)
            loss = torch.nn.functional.cross_entropy(head(h).flatten(0, 1), y[t : t + T].flatten())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
    arrays = [p.detach().double().numpy() for p in parameters]
    return Weights(*from_torch(*arrays[:4]), *arrays[4:])


def run(net: Weights, x: np.ndarray, held: dict[int, float] | None = None) -> tuple:
    """Return c, (T, B, H), and log2 of all probabilities, (T, B, K), for symbols x, (T, B).

    held : cells that are held at a value, whatever the gates say
    """
    H = net.W.shape[1]
    h = c = np.zeros((x.shape[1], H))
    cells, outputs = [], []
    for symbol in x:
        a = net.U[:, symbol].T + h @ net.W.T + net.b
        i, f, o = (sigmoid(a[:, k * H : (k + 1) * H]) for k in range(3))
        c = f * c + i * np.tanh(a[:, 3 * H :])
        for unit, value in (held or {}).items():
            c[:, unit] = value
        h = o * np.tanh(c)
        cells.append(c)
        outputs.append(h @ net.V.T + net.bias)
    o = np.stack(outputs)
    return np.stack(cells), (o - np.logaddexp.reduce(o, axis=-1, keepdims=True)) / np.log(2)


# ----------------------------------------------------------------------------------- the search


class Found(NamedTuple):
    """One property, and the cell that follows it best.

    cell; correlation : on text that the search has not seen; second : of the next best cell;
    damage : bits lost per character when the cell is held still, over all characters; where : the
    same at the characters that the property touches; others : (n,), where, for all other cells
    """

    what: str
    cell: int
    correlation: float
    second: float
    damage: float
    where: float
    others: np.ndarray


class Readable(NamedTuple):
    """The whole experiment.

    bits, grams : bits per character of the network and of the best n-gram model on the same test
    text; order, discount : that model's; found : a row for each property; text, cells : a passage
    and tanh of the cells after each of its characters, (length, H)
    """

    bits: float
    grams: float
    order: int
    discount: float
    found: list[Found]
    text: str
    cells: np.ndarray


def folded(values: np.ndarray, streams: int) -> np.ndarray:
    """Return the values of a text as streams side by side, (length / streams, streams, ...)."""
    usable = len(values) // streams * streams
    return values[:usable].reshape(streams, -1, *values.shape[1:]).swapaxes(0, 1)


def correlations(cells: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the correlation of each cell, (n, H), with a property, (n,)."""
    a, b = cells - cells.mean(0), values - values.mean()
    return (a * b[:, None]).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum())


@kept
def experiment(size: int = 90_000, epochs: int = 20, streams: int = 8) -> Readable:
    """Train, search on one text, report on another, and break what was found."""
    train, search, test = written(1, size), written(2, 8_000), written(3, 8_000)
    net = learn(train, epochs=epochs)

    def watched(text: str, held: dict[int, float] | None = None) -> tuple:
        """Cells (n, H) and the target's log2 p (n,), without each stream's first 20 characters."""
        symbols = folded(coded(text), streams)
        c, log2p = run(net, symbols[:-1], held)
        picked = np.take_along_axis(log2p, symbols[1:, :, None], -1)[..., 0]
        return np.tanh(c[20:]).reshape(-1, c.shape[-1]), picked[20:].ravel()

    def known(text: str, name: str) -> np.ndarray:
        return folded(properties(text)[name], streams)[20:-1].ravel()

    searched, _ = watched(search)
    seen, log2p = watched(test)
    targets = folded(coded(test), streams)[21:].ravel()
    raw = run(net, folded(coded(search), streams))[0]
    means = raw.reshape(-1, raw.shape[-1]).mean(0)
    lost = np.stack(
        [log2p - watched(test, {unit: mean})[1] for unit, mean in enumerate(means)]
    )  # (H, n): bits lost at each character when one cell is held still
    found = []
    for name in TOUCHES:
        order = np.argsort(-np.abs(correlations(searched, known(search, name))))
        here = np.abs(correlations(seen, known(test, name)))
        touched = np.isin(targets, [SYMBOLS.index(s) for s in TOUCHES[name]])
        where = lost[:, touched].mean(1)
        best = int(order[0])
        found.append(
            Found(
                name, best, float(here[best]), float(here[order[1]]), float(lost[best].mean()),
                float(where[best]), np.delete(where, best),
            )
        )  # fmt: skip
    grams, setting = best_grams(train, search, test)
    passage = test[:400]
    c, _ = run(net, coded(passage)[:, None])
    return Readable(-float(log2p.mean()), grams, *setting, found, passage, np.tanh(c[:, 0]))


def best_grams(
    train: str, tune: str, test: str,
    orders: Sequence[int] = (4, 6, 8, 10, 12), discounts: Sequence[float] = (0.7, 0.9),
) -> tuple[float, tuple[int, float]]:  # fmt: skip
    """Return the test bits of the n-gram model that is best on the tuning text, and which it is."""
    given, first = [coded(train).tolist()], [coded(tune[:3_000]).tolist()]
    tried = {(n, d): KneserNey(given, n, d, K).bits(first) for n in orders for d in discounts}
    setting = min(tried, key=tried.get)
    return KneserNey(given, *setting, K).bits([coded(test).tolist()]), setting


# ------------------------------------------------------------------------------------ the pictures


def worst(found: Found) -> int:
    """Return the other cell that is missed most at the property's characters."""
    at = int(found.others.argmax())
    return at + (at >= found.cell)  # `others` leaves out the cell itself


def table_found(data: Readable) -> Table:
    """Return a row for each property."""
    rows = [
        [
            f.what,
            f.cell,
            f"{f.correlation:.2f}",
            f"{f.second:.2f}",
            f"{f.damage:.3f}",
            f"{f.where:.2f}",
            f"{np.median(f.others):.2f}",
            f"{f.others.max():.2f} (cell {worst(f)})",
        ]
        for f in data.found
    ]
    head = ["property", "cell", "correlation", "next best", "bits lost, all", "at its characters"]
    return Table([*head, "another cell, median", "worst other"], rows)


def coloured(data: Readable, what: str) -> str:
    """Return the passage as HTML, each character on the colour of the cell that was found."""
    cell = next(f.cell for f in data.found if f.what == what)
    spans = []
    for letter, value in zip(data.text, data.cells[:, cell], strict=True):
        red, green, blue = (0, 106, 192) if value > 0 else (210, 129, 0)
        shown = "&crarr;\n" if letter == "\n" else html.escape(letter)
        colour = f"rgba({red},{green},{blue},{abs(value):.2f})"
        spans.append(f'<span style="background:{colour}">{shown}</span>')
    label = f"text coloured by the cell for: {what}"
    return (
        f'<pre class="rnn-text" tabindex="0" role="img" aria-label="{label}">{"".join(spans)}</pre>'
    )


def draw_cells(data: Readable, length: int = 130) -> Figure:
    """Draw each found cell beside its property, over the beginning of the passage."""
    figures.style()
    known = properties(data.text)
    fig, axes = plt.subplots(len(data.found), 1, figsize=(5.2, 6.2), sharex=True)
    for ax, found in zip(axes, data.found, strict=True):
        values = known[found.what][:length]
        scale = max(values.max(), 1)
        ax.step(range(length), values / scale, where="post", color=figures.FOREGROUND, lw=1,
                label="property, its largest is 1")  # fmt: skip
        ax.plot(
            data.cells[:length, found.cell], color=figures.PALETTE["blue"], label="tanh of the cell"
        )
        ax.set(title=f"{found.what}: cell {found.cell}", ylabel="value", ylim=(-1.1, 1.1))
        ax.grid(True)
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.2), ncols=2)
    axes[-1].set_xlabel("character")
    return fig
