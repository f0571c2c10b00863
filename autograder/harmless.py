"""The filter through which nbconvert shows Markdown in feedback and in formgrader.

nbconvert's own lets HTML, ``javascript:`` links and pictures from anywhere through; what a student
wrote would then run in the instructor's browser.
"""

from __future__ import annotations

from html import escape

import nh3
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from course.calls import limit

SECONDS = 2.0
"""For one cell, which takes milliseconds; with some texts the renderer's patterns take hours."""


def markdown(source: str) -> str:
    """Turn Markdown into HTML without anything that runs, or loads from elsewhere.

    What can't be turned (a picture that was never attached, say), or not in time, is shown as it
    was written: no student's text may keep a page from being made.
    """
    try:
        with limit(SECONDS, TimeoutError):
            html = markdown2html_mistune(source)
    except Exception:  # the renderer has errors of many kinds
        return f"<pre>{escape(source)}</pre>"
    return nh3.clean(html, url_schemes={"http", "https", "mailto"}, attribute_filter=_keep)


def _keep(tag: str, attribute: str, value: str) -> str | None:
    """Links must name where they go ("/logout" is the grader's own server); pictures go."""
    if attribute in ("href", "cite"):
        return value if value.lower().startswith(("http:", "https:", "mailto:")) else None
    return None if attribute == "src" else value
