"""Keep, of the theme's script with two thousand icons, those that the book shows.

The theme loads Font Awesome as one script of 1.5 MB, more than the longest chapter.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

# name: [width, height, [other names], code point, path or paths], in a JavaScript object.
ICON = re.compile(
    r"""("?)(?P<name>[a-z0-9-]+)\1:\[\d+,\d+,\[(?P<others>[^\]]*)\],"[0-9a-f]+","""
    r"""(?:"[^"]*"|\[[^\]]*\])\],?"""
)


def few(script: str, used: set[str]) -> str:
    """Return the script without the icons that have no name in `used`."""

    def kept(icon: re.Match[str]) -> str:
        names = {icon["name"], *re.findall(r'"([a-z0-9-]+)"', icon["others"])}
        return icon[0] if names & used else ""

    return ICON.sub(kept, script)


def used_names(out: Path) -> set[str]:
    """Return what stands behind `fa-` in the pages and in the scripts beside them."""
    static = out / "_static"
    files = [*out.glob("*.html"), *static.glob("*.js"), *static.glob("scripts/*.js")]
    return {
        name
        for path in files
        if path.name != "fontawesome.js"
        for name in re.findall(r"\bfa-([a-z0-9-]+)", path.read_text(encoding="utf-8"))
    }


def rewrite(app: Sphinx, failure: Exception | None) -> None:
    """Make the script smaller, after the pages have been written."""
    path = Path(app.outdir) / "_static/scripts/fontawesome.js"
    if failure is None and path.is_file():
        path.write_text(few(path.read_text("utf-8"), used_names(Path(app.outdir))), "utf-8")


def setup(app: Sphinx) -> dict[str, object]:
    """Wait for the end of the build."""
    app.connect("build-finished", rewrite)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
