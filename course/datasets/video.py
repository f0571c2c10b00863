"""Films of a walking, jumping, waving figure: what is it doing, frame by frame?

A frame shows a pose.  Which way a figure walks, and whether it rises or falls, shows only in two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from course.datasets.parts import Parts

ACTIVITIES = ("stand", "walk left", "walk right", "wave", "rise", "fall")
"""What the figure does, in the order of the labels."""

SIDE = 16


class Films(NamedTuple):
    """Films, time first.

    x : (T, N, 16, 16), float64 in [0, 1]; y : (T, N), int64, an index into ACTIVITIES: what the
    figure has done since the frame before
    """

    x: np.ndarray
    y: np.ndarray


def films(
    sizes: tuple[int, int, int] = (1500, 100, 200), T: int = 24, seed: int = 0
) -> Parts[Films]:
    """Return films in which the figure changes what it does every 3 to 8 frames.

    Each film has a figure and noise of its own.  Source: drawn here.
    """
    return Parts(*(_part(np.random.default_rng((seed, k)), n, T) for k, n in enumerate(sizes)))


def _part(rng: np.random.Generator, N: int, T: int) -> Films:
    x, y = np.empty((T, N, SIDE, SIDE)), np.empty((T, N), dtype=np.int64)
    for n in range(N):
        x[:, n], y[:, n] = _film(rng, T)
    return Films(x, y)


def _film(rng: np.random.Generator, T: int) -> tuple[np.ndarray, np.ndarray]:
    frames, labels = np.empty((T, SIDE, SIDE)), np.empty(T, dtype=np.int64)
    column, height = int(rng.integers(3, SIDE - 3)), int(rng.integers(0, 4))
    brightness, until, doing = rng.uniform(0.6, 1.0), 0, "stand"
    for t in range(T):
        # Nobody walks off the picture, or rises or falls beyond four pixels.
        possible = {"walk left": column > 2, "walk right": column < SIDE - 3}
        possible |= {"rise": height < 4, "fall": height > 0}
        if t >= until or not possible.get(doing, True):
            free = [a for a in ACTIVITIES if possible.get(a, True) and a != doing]
            doing, until = str(rng.choice(free)), t + int(rng.integers(3, 9))
        column += (doing == "walk right") - (doing == "walk left")
        height += (doing == "rise") - (doing == "fall")
        labels[t] = ACTIVITIES.index(doing)
        # Walking, the legs swing with the place; standing, they are together or apart as it falls.
        frames[t] = _figure(column, height, doing, t) * brightness
    return np.clip(frames + rng.normal(0, 0.08, frames.shape), 0, 1), labels


def _figure(column: int, height: int, doing: str, t: int) -> np.ndarray:
    """Draw head, body, arms and legs; the feet are `height` above the floor."""
    picture = np.zeros((SIDE, SIDE))
    foot = SIDE - 2 - height
    picture[foot - 7 : foot - 5, column] = 1  # head
    picture[foot - 5 : foot - 1, column] = 1  # body
    lifted = 2 if doing == "wave" and t % 2 else 0
    picture[foot - 4 - lifted, column + 1] = picture[foot - 4, column - 1] = 1  # arms
    apart = column % 2 if doing.startswith("walk") else 1
    picture[foot - 1 : foot + 1, [column - apart, column + apart]] = 1  # legs
    return picture
