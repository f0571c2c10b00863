"""Show something: rich in a notebook, plain in a terminal."""

from __future__ import annotations

import sys
from typing import Any

from course import report


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def show(text: str, html: str | None = None, markdown: str | None = None, data: Any = None) -> None:
    """Display the richest form the front end knows; print the text where there is none."""
    if not in_notebook():
        print(text)
        return
    from IPython.display import display

    bundle: dict[str, Any] = {"text/plain": text}
    if html is not None:
        bundle["text/html"] = html
    if markdown is not None:
        bundle["text/markdown"] = markdown
    if data is not None:
        bundle[report.DATA] = data
    display(bundle, raw=True)
