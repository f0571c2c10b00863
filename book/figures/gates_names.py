"""Chapter 5: names of dinosaurs, by counting and by networks.

Two networks learn the same list: one made of the reference functions of `solutions.gates` and
NumPy, one of PyTorch.  They are compared with the best of a family of n-gram models, on names that
none of them has seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from course import datasets
from solutions.bptt import clip
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

    order : letters in a gram, the predicted one included; discount : taken from every count
    """

    def __init__(self, names: Sequence[str], order: int, discount: float) -> None:
        self.order, self.discount = order, discount
        tables: list[dict] = [defaultdict(Counter) for _ in range(order)]
        for name in names:
            line = [0] * (order - 1) + codes(name)
            for end in range(order - 1, len(line)):
                tables[-1][tuple(line[end - order + 1 : end])][line[end]] += 1
        for k in range(order - 2, -1, -1):  # below the top: in how many contexts, not how often
            for context, following in tables[k + 1].items():
                for symbol in following:
                    tables[k][context[1:]][symbol] += 1
        self.tables = tables

    def probabilities(self, context: Sequence[int]) -> np.ndarray:
        """Return the probability of each symbol after a context, (K,)."""
        context = ([0] * self.order + list(context))[-(self.order - 1) :] if self.order > 1 else []
        p = np.full(K, 1 / K)
        for k in range(self.order):
            found = self.tables[k].get(tuple(context[len(context) - k :]))
            if found is None:
                break  # no longer context has been seen either
            counts = np.zeros(K)
            counts[list(found)] = list(found.values())
            kept = np.maximum(counts - self.discount, 0)
            p = (kept + self.discount * len(found) * p) / counts.sum()  # (5.27)
        return p

    def bits(self, names: Sequence[str]) -> float:
        """Return the bits per character on some names, their ends included."""
        total = [
            -np.log2(self.probabilities(line[:t])[symbol])
            for line in map(codes, names)
            for t, symbol in enumerate(line)
        ]
        return float(np.mean(total))


class Grams(NamedTuple):
    """Bits of n-gram models: tune : (orders, discounts), and the best one's on the test."""

    orders: tuple[int, ...]
    discounts: tuple[float, ...]
    tune: np.ndarray
    order: int
    discount: float
    test: float


def grams(
    orders: Sequence[int] = (1, 2, 3, 4, 5, 6, 8),
    discounts: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
) -> Grams:
    """Tune order and discount on the tuning names; measure the best on the test names."""
    data = split()
    tune = np.array(
        [[KneserNey(data.train, n, d).bits(data.tune) for d in discounts] for n in orders]
    )
    i, j = np.unravel_index(tune.argmin(), tune.shape)
    best = KneserNey(data.train, orders[i], discounts[j])
    return Grams(
        tuple(orders), tuple(discounts), tune, orders[i], discounts[j], best.bits(data.test)
    )
