"""Handwritten digits of 8 x 8 pixels, and large scenes in which one of them is hidden."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from course.datasets.parts import DATA, Parts, part_of


class Images(NamedTuple):
    """Pictures and their classes.

    x : (N, height, width), float64 in [0, 1]; y : (N,), int64, 0 to 9
    place : (N, 2), int64, row and column of the digit's upper left pixel (zeros where it fills all)
    source : (N,), int64, which of the 1797 original images it is or holds
    """

    x: np.ndarray
    y: np.ndarray
    place: np.ndarray
    source: np.ndarray


def digits() -> Parts[Images]:
    """Return 1797 handwritten digits, 8 x 8.

    Source: test part of UCI's "Optical recognition of handwritten digits" (Alpaydin and Kaynak),
    as in scikit-learn; `extract.py` made the file.
    """
    with np.load(DATA / "digits.npz") as file:
        images, labels = file["images"] / 16.0, file["labels"].astype(np.int64)
    part = np.array([part_of(f"digit {i}", (0.7, 0.1)) for i in range(len(labels))])
    return Parts(
        *(
            Images(images[own], labels[own], np.zeros((len(own), 2), dtype=np.int64), own)
            for own in (np.flatnonzero(part == k) for k in range(3))
        )
    )


def cluttered(
    sizes: tuple[int, int, int] = (6000, 1000, 1000), side: int = 32, pieces: int = 6, seed: int = 0
) -> Parts[Images]:
    """Return scenes (side, side) with one whole digit and `pieces` fragments of others.

    A fragment is 4 x 4 pixels, and does not cover the digit.  The digits and the fragments of a
    part come from that part's original images.

    Raises ValueError if side < 16.
    """
    if side < 16:
        raise ValueError(f"cluttered: side is {side}, want at least 16, twice a digit's")
    return Parts(
        *(
            _scenes(np.random.default_rng((seed, k)), part, size, side, pieces)
            for k, (part, size) in enumerate(zip(digits(), sizes, strict=True))
        )
    )


def _scenes(
    rng: np.random.Generator, part: Images, size: int, side: int, pieces: int, cut: int = 4
) -> Images:
    chosen = rng.integers(len(part.y), size=size)
    place = rng.integers(0, side - 8 + 1, (size, 2))
    x = np.zeros((size, side, side))
    for scene, i, (row, column) in zip(x, chosen, place, strict=True):
        for _ in range(pieces):
            other = part.x[rng.integers(len(part.y))]
            r, c = rng.integers(0, 8 - cut + 1, 2)
            to_r, to_c = rng.integers(0, side - cut + 1, 2)
            scene[to_r : to_r + cut, to_c : to_c + cut] = other[r : r + cut, c : c + cut]
        scene[row : row + 8, column : column + 8] = part.x[i]
    return Images(x, part.y[chosen], place, part.source[chosen])
