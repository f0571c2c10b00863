"""Keep the full stop after a formula on the formula's line.

To a browser, inline mathematics is a box, and it may start a new line on either side of a box.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


class NoBreak(SphinxPostTransform):
    """Tie inline mathematics to the punctuation that touches it."""

    default_priority = 210
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Wrap each formula that has punctuation before or after it."""
        for math in list(self.document.findall(nodes.math)):
            parent = math.parent
            # By identity: two texts that read the same, such as ", ", count as equal.
            place = next(i for i, child in enumerate(parent.children) if child is math)
            before = parent[place - 1] if place else None
            after = parent[place + 1] if place + 1 < len(parent) else None
            head = re.search(r"[(\[“‘]+$", before) if isinstance(before, nodes.Text) else None
            tail = re.match(r"[.,;:!?)\]’”\-–]+", after) if isinstance(after, nodes.Text) else None
            if not (head or tail):
                continue
            tied = nodes.inline(classes=["nobreak"])
            parent[place] = tied
            if head:
                parent[place - 1] = nodes.Text(before[: head.start()])
                tied += nodes.Text(head[0])
            tied += math
            if tail:
                parent[place + 1] = nodes.Text(after[tail.end() :])
                tied += nodes.Text(tail[0])


def setup(app: Sphinx) -> dict[str, object]:
    """Register the transform."""
    app.add_post_transform(NoBreak)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
