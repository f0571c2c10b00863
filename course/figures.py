"""The one figure style of the course: the same picture in the book and in a notebook.

A figure is drawn once and read on white and on near-black.  So its background is transparent, its
lines and letters are `FOREGROUND`, a grey that stands out on both, and its colours are `PALETTE`.
In the book, `FOREGROUND` is replaced by the colour of the page's text.

    figures.style()
    fig, ax = plt.subplots()
    ax.plot(losses, color=figures.PALETTE["blue"])
    figures.show(fig)
"""

from __future__ import annotations

import io
import re
from contextlib import ExitStack
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

# A grey that nobody else uses, with contrast above 4 to 1 on white and on JupyterLab's #111111.
FOREGROUND = "#787a7c"

# The hues of Okabe and Ito, shifted until each has a contrast of 3 to 1 on white and on near-black,
# and until any two differ to colour-blind eyes.  tests/test_figures.py measures both.
PALETTE = {
    "blue": "#006ac0",
    "vermilion": "#b84400",
    "green": "#00a778",
    "purple": "#a8487f",
    "sky": "#3d97c7",
    "ochre": "#d28100",
}

SEQUENTIAL = "cividis"  # from low to high; the same to colour-blind eyes
DIVERGING = "RdBu_r"  # around zero: set vmin = -vmax

STYLE: dict[Any, object] = {  # Any: matplotlib's type of a key lists every one it knows
    "figure.figsize": (5.6, 3.3),  # inches; narrow, so that letters stay legible on a phone
    "figure.dpi": 96,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "none",
    "savefig.transparent": True,
    "svg.fonttype": "none",  # letters stay letters: found by search, read aloud, in the page's font
    "svg.hashsalt": "rnn",  # the same figure gives the same bytes
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "text.color": FOREGROUND,
    "axes.edgecolor": FOREGROUND,
    "axes.labelcolor": FOREGROUND,
    "axes.titlecolor": FOREGROUND,
    "xtick.color": FOREGROUND,
    "ytick.color": FOREGROUND,
    "grid.color": FOREGROUND,
    "patch.edgecolor": FOREGROUND,
    "hatch.color": FOREGROUND,
    "boxplot.boxprops.color": FOREGROUND,
    "boxplot.whiskerprops.color": FOREGROUND,
    "boxplot.capprops.color": FOREGROUND,
    "axes.facecolor": "none",
    "axes.prop_cycle": cycler(color=list(PALETTE.values())),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.cmap": SEQUENTIAL,
}


def style() -> ExitStack:
    """Draw in the course's style from here on; `with style():` ends it after the block."""
    before = {name: mpl.rcParams[name] for name in STYLE}
    mpl.rcParams.update(STYLE)
    undo = ExitStack()
    undo.callback(lambda: mpl.rcParams.update(before))
    return undo


def as_svg(fig: Figure) -> str:
    """Return the figure as SVG text: equal figures, equal text, whatever the day or the machine."""
    out = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with style():
        fig.savefig(out, format="svg", metadata=no_metadata)
    # Mathematics names one font only, and a browser without it would turn to a serif.
    alone = r"(font-family: '[^',;\"]+')(?=[;\"])"
    return re.sub(alone, r"\1, Verdana, sans-serif", out.getvalue())


def show(fig: Figure) -> None:
    """Show the figure under a notebook cell as SVG, once, and close it."""
    from IPython.display import SVG, display

    svg = as_svg(fig)
    plt.close(fig)  # else the notebook shows it a second time, as PNG
    display(SVG(svg))
