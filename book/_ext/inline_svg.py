"""Put every SVG picture of a page into its HTML, so that it takes the colours of the theme.

An `<img>` cannot see the page's style sheet.  The same picture inside the page can: what was
drawn in `course.figures.FOREGROUND` becomes `currentColor`, the theme's colour of text.  Lengths
are rounded to a hundredth of a point, which nobody sees and a reader does not have to download.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from course.figures import FOREGROUND

logger = logging.getLogger(__name__)

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
PIXELS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4}


def _pixels(length: str) -> float | None:
    match = re.fullmatch(r"([\d.]+)(px|pt|in|cm|mm|)", length.strip())
    return float(match[1]) * PIXELS[match[2]] if match else None


def _round(lengths: str) -> str:
    """Round every number to two decimals."""
    return re.sub(
        r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), lengths
    )


def _scope(css: str, prefix: str) -> str:
    """Confine the rules of a picture's own <style>, which in a page would reach everything."""

    def rule(match: re.Match[str]) -> str:
        selectors = ", ".join(f"#{prefix} {one.strip()}" for one in match[1].split(","))
        return f"{selectors} {{{match[2]}}}"

    return re.sub(r"([^{}]+)\{([^{}]*)\}", rule, css)


def inline(svg: str, label: str, prefix: str, width: str | None = None) -> str:
    """Rewrite an SVG file as an element of an HTML page.

    `label` is what a screen reader says, `prefix` makes the picture's ids unique in its page, and
    `width` is a CSS width that takes the place of the picture's own.
    """
    root = ElementTree.fromstring(svg)
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}title") or "}" not in str(child.tag):
                parent.remove(child)

    own_ids = {element.get("id") for element in root.iter()} - {None}

    def rename(match: re.Match[str]) -> str:
        return match[0].replace("#", f"#{prefix}-") if match[1] in own_ids else match[0]

    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == "id":
                value = f"{prefix}-{value}"
            elif name in ("href", f"{{{XLINK}}}href"):
                value = re.sub(r"^#(.+)$", rename, value)
            else:
                value = re.sub(r"url\(#([^)]+)\)", rename, value)
                value = re.sub(re.escape(FOREGROUND), "currentColor", value, flags=re.IGNORECASE)
            element.set(name, _round(value) if name in ("d", "points", "x", "y") else value)
        if element.tag == f"{{{SVG}}}style" and element.text:
            css = _scope(re.sub(r"#([\w-]+)", rename, element.text), prefix)
            element.text = re.sub(re.escape(FOREGROUND), "currentColor", css, flags=re.IGNORECASE)

    natural = _pixels(root.get("width", ""))
    if root.get("viewBox") is None and natural and _pixels(root.get("height", "")):
        root.set("viewBox", f"0 0 {natural:g} {_pixels(root.get('height', '')):g}")
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    if width is None and natural:
        width = f"{natural:g}px"
    root.set("id", prefix)
    root.set("class", "rnn-svg")
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("focusable", "false")
    if width:
        # Letters that shrink with the page stay legible: below this width the picture scrolls.
        least = f"; min-width: {0.6 * natural:.0f}px" if natural else ""
        root.set("style", f"width: {width}{least}")

    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    # One line: a blank line would end an HTML block wherever the page passes through Markdown.
    return re.sub(r">\s*\n\s*<", "><", ElementTree.tostring(root, encoding="unicode"))


class InlineSvg(SphinxPostTransform):
    """Replace image nodes that point to an SVG file."""

    default_priority = 200  # after MyST-NB has chosen one of a cell's output formats (4)
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Inline the pictures of one page, in order."""
        images = [node for node in self.document.findall(nodes.image) if self._is_svg(node)]
        for number, node in enumerate(images, start=1):
            label = " ".join(node.get("alt", "").split())
            if not label:
                logger.warning("an SVG picture has no alt text: %s", node["uri"], location=node)
            svg = Path(self.app.srcdir, node["uri"]).read_text(encoding="utf-8")
            html = inline(svg, label, f"svg-{number}", node.get("width"))
            ids = "".join(f'<span id="{one}"></span>' for one in node["ids"])
            node.replace_self(
                nodes.raw("", f'<span class="rnn-scroll">{ids}{html}</span>', format="html")
            )

    @staticmethod
    def _is_svg(node: nodes.image) -> bool:
        return node["uri"].lower().endswith(".svg") and "://" not in node["uri"]


def setup(app: Sphinx) -> dict[str, object]:
    """Register the transform."""
    app.add_post_transform(InlineSvg)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
