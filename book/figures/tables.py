"""Tables and numbers as the pages print them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from numbers import Integral


class Table:
    """Rows under a heading, shown as an HTML table in a notebook and in the book."""

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[object]]):
        self.head, self.rows = list(head), [list(row) for row in rows]

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Sequence[object]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(typeset(c))}</{tag}>" for c in cells)

        body = "</tr>".join(line("td", row) for row in self.rows)
        return (
            '<div class="pst-scrollable-table-container"><table class="table"><thead>'
            f"{line('th', self.head)}</tr></thead><tbody>{body}</tr></tbody></table></div>"
        )

    def __repr__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(len(str(row[i])) for row in lines) for i in range(len(self.head))]
        return "\n".join(
            "  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)) for row in lines
        )


def power(value: float) -> str:
    """Return 3.2e-16 as '3.2·10⁻¹⁶'."""
    return "0" if value == 0 else _powers(f"{value:.1e}")


def typeset(cell: object) -> str:
    """Return a cell as print has it: minus signs, powers of ten, and numbers that do not break."""
    said = f"{cell:,}" if isinstance(cell, Integral) and cell > 9999 else str(cell)
    text = _powers(re.sub(r"(?<![^\s(])-(?=[\d.])", "−", said))
    if len(text) <= 20 and re.fullmatch(r"[^a-z]+( to [^a-z]+)?", text, re.IGNORECASE):
        text = text.replace(" ", "\N{NO-BREAK SPACE}")
    return text


def _powers(text: str) -> str:
    """Write 1.5e-05 as 1.5·10⁻⁵."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(
        r"\b(\d(?:\.\d+)?)e([+-]\d\d+)\b",
        lambda found: f"{found[1]}·10{str(int(found[2])).translate(raised)}",
        text,
    )
