"""The picture on the front page: one network, unrolled, and what flows back through it."""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from course import figures


class Flow(NamedTuple):
    """For each gain, the size of the loss's gradient at each state.

    gains : (G,), norms : (G, T)
    """

    gains: np.ndarray
    norms: np.ndarray


def data(T: int = 8, H: int = 16, gains: tuple[float, ...] = (0.7, 1.3)) -> Flow:
    """Run h = tanh(W h + x) and carry a gradient of length 1 back from the last state.

    W is a random orthogonal matrix times a gain; the loss sees the last state alone.
    """
    rng = np.random.default_rng(3)
    Q = np.linalg.qr(rng.normal(size=(H, H)))[0]
    x = 0.02 * rng.normal(size=(T, H))  # small, so that tanh stays near its steep middle
    last = rng.normal(size=H)
    norms = np.empty((len(gains), T))
    for row, gain in enumerate(gains):
        W = gain * Q
        h = np.zeros((T + 1, H))
        for t in range(T):
            h[t + 1] = np.tanh(W @ h[t] + x[t])
        g = last / np.linalg.norm(last)
        for t in reversed(range(T)):
            norms[row, t] = np.linalg.norm(g)
            g = W.T @ ((1 - h[t + 1] ** 2) * g)
    return Flow(np.array(gains), norms)


def draw(flow: Flow) -> Figure:
    """Draw each gain's network as a row: states forward in grey, gradient back in colour."""
    figures.style()
    T = flow.norms.shape[1]
    steps = np.arange(1, T + 1)
    grey, colour = figures.FOREGROUND, figures.PALETTE["vermilion"]
    fig, axes = plt.subplots(len(flow.gains), 1, figsize=(5.6, 3.8))
    for ax, gain, norms in zip(axes, flow.gains, flow.norms, strict=True):
        for start, end in [(t, t + 1) for t in steps]:
            ax.annotate("", (end - 0.17, 0), (start + 0.17, 0), arrowprops=_arrow(grey))
        for t, norm in zip(steps, norms, strict=True):
            ax.annotate("", (t, -0.17), (t, -0.5), arrowprops=_arrow(grey))
            ax.text(t, -0.72, rf"$x^{{({t})}}$", ha="center", va="center")
            ax.text(t, 0.86, f"{norm:.2f}", ha="center", va="center", size=10)
        ax.plot(steps, 0 * steps, "o", ms=13, mfc="none", mec=grey, mew=1.4)
        ax.text(T + 0.98, 0, "$L$", ha="center", va="center")

        half = 0.17 * norms / norms.max()  # the band's half width is the gradient's length
        head = max(half[0], 0.03)
        ax.fill(
            [0.8 - head, 1, *steps, *steps[::-1], 1],
            0.46 + np.array([0, 1.4 * head, *half, *-half[::-1], -1.4 * head]),
            color=colour,
            lw=0,
        )

        way = "fades" if gain < 1 else "grows"
        ax.set_title(f"Gain {gain:g}: the gradient {way} on its way back", loc="left")
        ax.set(xlim=(0.4, T + 1.2), ylim=(-0.95, 1.05))
        ax.axis("off")
    return fig


def _arrow(colour: str) -> dict[str, object]:
    return {"arrowstyle": "->", "color": colour, "lw": 1, "shrinkA": 0, "shrinkB": 0}


if __name__ == "__main__":  # the same picture for the README
    from pathlib import Path

    path = Path(__file__).parent / "_static" / "front.svg"
    path.write_text(figures.as_svg(draw(data())), encoding="utf-8")
