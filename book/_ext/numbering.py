"""Numbers that a reader can carry from the book into the code.

Equations have the number that their author wrote in `\\tag{3.9}`, and no other.  Figures,
definitions and exercises are counted by chapter: Sphinx counts pages from one, whatever they are
called, but the page `03-bptt` is chapter 3 even while it is the only one.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform


class HandWrittenTags(SphinxTransform):
    """Take away the second number, and the random id, that MyST gives to an `equation`."""

    default_priority = 200  # before docutils moves targets onto what follows them (260)

    def apply(self, **kwargs: object) -> None:
        """Leave tagged equations with their tag alone."""
        for block in list(self.document.findall(nodes.math_block)):
            if block.get("label") and r"\tag" in block.astext():
                target = block.previous_sibling()
                if (
                    isinstance(target, nodes.target)
                    and f"equation-{block['label']}" in target["ids"]
                ):
                    target.parent.remove(target)
                block["label"] = block["number"] = None


class FoundByNumber(SphinxTransform):
    """Let the book's search, and its index, find an equation by its number.

    A search for digits alone finds no word, but it does find entries of the index.
    """

    default_priority = 210

    def apply(self, **kwargs: object) -> None:
        """Enter (3.9) wherever `eq-3-9` is."""
        for target in list(self.document.findall(nodes.target)):
            name = target.get("refid") or next(iter(target["ids"]), "")
            number = re.fullmatch(r"eq-(\d+)-(\d+)", name)
            if number:
                entry = ("single", f"({number[1]}.{number[2]})", name, "", None)
                target.parent.insert(target.parent.index(target), addnodes.index(entries=[entry]))


def number_by_chapter(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Count from one on each page; put the chapter before each number, where there is one."""
    for page, kinds in env.toc_fignumbers.items():
        chapter = re.match(r"(\d\d)-", page)
        before = (int(chapter[1]),) if chapter else ()
        for numbers in kinds.values():
            for position, target in enumerate(numbers, start=1):
                numbers[target] = (*before, position)
    return []


def setup(app: Sphinx) -> dict[str, object]:
    """Count after Sphinx has counted, and before any page is written."""
    app.add_transform(HandWrittenTags)
    app.add_transform(FoundByNumber)
    app.connect("env-get-updated", number_by_chapter, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
