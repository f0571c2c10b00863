"""Names of dinosaurs."""

from __future__ import annotations

from course.datasets.parts import DATA


def dinosaurs() -> tuple[str, ...]:
    """Names of dinosaur genera, sorted: a capital, then letters a to z."""
    return tuple((DATA / "dinosaurs.txt").read_text(encoding="ascii").split())
