"""What the data sets have in common: three parts, a vocabulary, padding."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

DATA = Path(__file__).resolve().parent / "data"
Part = TypeVar("Part")


class Parts(NamedTuple, Generic[Part]):
    """A data set in three: to fit, to choose by, and to report on once."""

    train: Part
    validation: Part
    test: Part


def part_of(key: str, shares: tuple[float, float] = (0.8, 0.1)) -> int:
    """Return the part that a key belongs to: 0 train, 1 validation, 2 test.

    The key alone decides, by its SHA-256, so a string never changes its part when data is added,
    and never stands in two.  `shares` are those of train and validation.
    """
    first = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return int(first >= shares[0]) + int(first >= shares[0] + shares[1])


def pad(sequences: Sequence[Sequence[int]], fill: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Put sequences of unequal length side by side.

    Returns x : (T, B), int64, time first, `fill` after each sequence's end; and
    mask : (T, B), float64, 1 where there is a symbol.  T is the longest length.

    Raises ValueError if there is no sequence.
    """
    if not sequences:
        raise ValueError("pad: there is no sequence to pad")
    lengths = np.array([len(each) for each in sequences])
    mask = (np.arange(lengths.max())[:, None] < lengths).astype(float)
    x = np.full(mask.shape, fill, dtype=np.int64)
    for b, each in enumerate(sequences):
        x[: len(each), b] = each
    return x, mask


class Vocabulary:
    """Symbols to numbers and back: 0 is padding, 1 is a symbol that training never saw.

    Takes the sequences of the training part (texts are sequences of characters) and the least
    number of times a symbol must occur to get a number of its own.
    """

    PAD, UNKNOWN = 0, 1

    def __init__(self, sequences: Iterable[Sequence[str]], least: int = 1) -> None:
        counts = Counter(symbol for sequence in sequences for symbol in sequence)
        kept = sorted(symbol for symbol, count in counts.items() if count >= least)
        self.symbols: tuple[str, ...] = ("<pad>", "<unknown>", *kept)
        self.index: dict[str, int] = {symbol: i for i, symbol in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, sequences: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Return x : (T, B), int64, and mask : (T, B), float64, as `pad` does."""
        return pad([[self.index.get(s, self.UNKNOWN) for s in each] for each in sequences])

    def decode(self, x: np.ndarray) -> list[str]:
        """Return the symbols of one sequence, (T,), without padding."""
        return [self.symbols[i] for i in x if i != self.PAD]
