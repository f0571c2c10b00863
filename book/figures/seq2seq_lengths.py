"""Chapter 6: what a context of fixed size costs, by length: letters to be said again in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from course import figures
from figures.gates_names import edit_distance
from figures.kept import kept
from figures.seq2seq import BLUE, GREEN, OCHRE, PURPLE, VERMILION, texts, train, translate
from figures.tables import Table

LETTERS = "abcdefgh"
LONGEST = 16
"""The longest string in training."""

WAYS = {
    "last": ("last", False),
    "last, source reversed": ("last", True),
    "mean": ("mean", False),
    "dot": ("dot", False),
    "additive": ("additive", False),
}
"""Context, and whether the source is read backwards."""

COLOURS = dict(zip(WAYS, (BLUE, OCHRE, GREEN, PURPLE, VERMILION), strict=True))


class Lengths(NamedTuple):
    """Errors of copying, by context and length.

    lengths : (n,); errors : by way, (seeds, n), wrong characters per character, by edit distance;
    exact : by way, (seeds, n), the share of strings that are wholly right
    """

    lengths: tuple[int, ...]
    errors: dict[str, np.ndarray]
    exact: dict[str, np.ndarray]


def strings(rng: np.random.Generator, lengths: np.ndarray) -> list[str]:
    """Return random strings of LETTERS, one of each length."""
    return ["".join(rng.choice(list(LETTERS), n)) for n in lengths]


def read(strings: Sequence[str], backwards: bool) -> list[str]:
    """Return the strings as the encoder gets them."""
    return [each[::-1] for each in strings] if backwards else list(strings)


@kept
def measure(
    steps: int = 400,
    seeds: Sequence[int] = (0,),
    lengths: Sequence[int] = (2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 24),
    each: int = 100,
    ways: Sequence[str] = tuple(WAYS),
) -> Lengths:
    """Train every way on strings of 1 to LONGEST letters; say strings of each length again."""
    errors, exact = ({way: np.zeros((len(seeds), len(lengths))) for way in ways} for _ in range(2))
    for k, seed in enumerate(seeds):
        rng = np.random.default_rng((6, seed))
        known = strings(rng, rng.integers(1, LONGEST + 1, 20_000))
        tested = [strings(rng, np.full(each, n)) for n in lengths]
        for way in ways:
            context, backwards = WAYS[way]
            network = train(
                read(known, backwards), known, steps, seed, context, embed=16, hidden=64, lr=1e-2
            )
            for i, wanted in enumerate(tested):
                found = texts(translate(network, read(wanted, backwards), limit=40))
                wrong = [edit_distance(a, b) for a, b in zip(found, wanted, strict=True)]
                errors[way][k, i] = np.mean(wrong) / lengths[i]
                exact[way][k, i] = np.mean(np.array(wrong) == 0)
    return Lengths(tuple(lengths), errors, exact)


def draw(data: Lengths) -> Figure:
    """Draw wrong characters against length; the band is from the best to the worst seed."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.6, 3.8))
    for way, errors in data.errors.items():
        ax.plot(data.lengths, errors.mean(0), "o-", ms=4, color=COLOURS[way], label=way)
        if len(errors) > 1:
            ax.fill_between(
                data.lengths, errors.min(0), errors.max(0), color=COLOURS[way], alpha=0.2, lw=0
            )
    ax.axvline(LONGEST, ls="--", color=figures.FOREGROUND, lw=1)
    ax.set(xlabel="letters in the string", ylabel="wrong characters per character")
    ax.legend()
    ax.grid(True)
    return fig


def table(data: Lengths, shown: Sequence[int] = (4, 8, 12, 16, 20)) -> Table:
    """Return the share of strings that are wholly right, by way and length."""
    at = [data.lengths.index(n) for n in shown]
    rows = [[way, *(f"{exact.mean(0)[i]:.0%}" for i in at)] for way, exact in data.exact.items()]
    return Table(["context", *(f"{n} letters" for n in shown)], rows)
