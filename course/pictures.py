"""The picture of a wrong answer: yours, expected, and the difference, over (time, unit)."""

from __future__ import annotations

import re
from typing import TypedDict

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from course import figures
from course.compare import AXES, Difference
from course.show import in_notebook


class Planes(TypedDict):
    """Three matrices of one shape, and what their axes and their cut are called."""

    yours: np.ndarray
    expected: np.ndarray
    difference: np.ndarray
    rows: str
    columns: str
    note: str


def comparison(difference: Difference, name: str) -> None:
    """Show the picture in a notebook; in a terminal, save it and say where."""
    figure = draw(planes(difference), difference.output.name)
    if in_notebook():
        figures.show(figure)
        return
    path = f"check-{re.sub(r'[^A-Za-z0-9]+', '-', name)}.png"
    figure.savefig(path, dpi=150, facecolor="white")
    plt.close(figure)
    print(f"  the picture is in {path}")


def planes(difference: Difference) -> Planes:
    """The three matrices to draw, and what their axes are.

    An array over (time, batch, unit) is cut at the sequence where it is most wrong.
    """
    answer = np.atleast_1d(np.asarray(difference.answer, np.float64))
    truth = np.atleast_1d(np.asarray(difference.truth, np.float64))
    axes = list(difference.output.axes) or [""]
    note = ""
    if truth.ndim == 3:
        gap = np.nan_to_num(np.abs(answer - truth), nan=np.inf, posinf=np.inf)
        worst = int(gap.max(axis=(0, 2)).argmax())
        answer, truth = answer[:, worst], truth[:, worst]
        note = f"[:, {worst}]"
        del axes[1]
    if truth.ndim == 1:
        answer, truth = answer[None], truth[None]
        axes.insert(0, "")
    return {
        "yours": answer,
        "expected": truth,
        "difference": answer - truth,
        "rows": AXES.get(axes[0], axes[0]),
        "columns": AXES.get(axes[1], axes[1]),
        "note": note,
    }


def _first(axis: str) -> int:
    """The number of an axis's first place: time begins at 1 as in the equations, indices at 0."""
    return 1 if axis == AXES["T"] else 0


def draw(data: Planes, name: str) -> Figure:
    """Draw the three matrices on one scale of colour; NaN and infinity stay blank."""
    with figures.style():
        figure, panels = plt.subplots(1, 3, figsize=(8.0, 2.6), sharey=True)
        finite = [np.abs(each[np.isfinite(each)]) for each in (data["yours"], data["expected"])]
        top = max([values.max(initial=0.0) for values in finite]) or 1.0
        shown = {
            "yours": data["yours"],
            "expected": data["expected"],
            "yours − expected": data["difference"],
        }
        for panel, (said, values) in zip(panels, shown.items(), strict=True):
            matrix = np.ma.masked_invalid(values)
            rows, columns = matrix.shape
            top_row, left = _first(data["rows"]), _first(data["columns"])
            image = panel.imshow(
                matrix,
                cmap=figures.DIVERGING,
                vmin=-top,
                vmax=top,
                aspect="auto",
                extent=(left - 0.5, left + columns - 0.5, top_row + rows - 0.5, top_row - 0.5),
            )
            panel.set_title(f"{name}{data['note']}: {said}")
            panel.set_xlabel(data["columns"])
            panel.set_xticks(range(left, left + columns))
            panel.set_yticks(range(top_row, top_row + rows) if data["rows"] else [])
        panels[0].set_ylabel(data["rows"])
        figure.colorbar(image, ax=list(panels), fraction=0.05)
    return figure
