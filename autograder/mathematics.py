"""MathJax inside formgrader's and feedback's pages, so that they need no network.

nbgrader's templates load it from a CDN, whatever ``HTMLExporter.mathjax_url`` says.  A template
that nbconvert finds before its own takes the place of theirs, by ``nbgrader_config.py`` alone.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import nbgrader

from autograder.build import HOUSE

TEMPLATES = [
    str(Path(__file__).with_name("templates")),
    str(Path(nbgrader.__file__).parent / "server_extensions" / "formgrader" / "templates"),
]
"""For ``HTMLExporter.extra_template_basedirs``: ours are looked at first."""

SETTINGS = {
    "loader": {"load": []},
    "options": {"enableMenu": False},
    "svg": {"fontCache": "global"},
    "tex": {
        "inlineMath": [["$", "$"], ["\\(", "\\)"]],
        "processEscapes": True,
        # What loads more of MathJax on demand: there is no more, and TeX of students asks for it.
        "packages": {"[-]": ["require", "autoload"]},
    },
}


@functools.cache
def script(_: str = "") -> str:
    """The script element of a page, as a filter of templates; a comment if there is no MathJax."""
    found = sorted((HOUSE / "build" / "mathjax").glob("fetched-*/inline.js"))
    if not found:
        return "<!-- mathematics is shown as TeX: `make book` fetches MathJax, then make the page"
        " again -->"
    source = found[-1].read_text(encoding="utf-8")
    return (
        "<script>/* MathJax 3, Apache License 2.0, https://www.mathjax.org */\n"
        f"window.MathJax = {json.dumps(SETTINGS)};\n{source}</script>"
    )
