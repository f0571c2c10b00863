"""Tables and numbers as the pages print them."""

from __future__ import annotations

import html
from collections.abc import Sequence


class Table:
    """Rows under a heading, shown as an HTML table in a notebook and in the book."""

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[object]]):
        self.head, self.rows = list(head), [list(row) for row in rows]

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Sequence[object]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(str(c))}</{tag}>" for c in cells)

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
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}·10" + str(int(exponent)).translate(
        str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    )
