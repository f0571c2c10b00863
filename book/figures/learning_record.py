"""Chapter 7: what `benchmarks/learning_to_learn.py` has recorded, and its tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from figures.tables import Table

RECORD = Path(__file__).resolve().parents[2] / "benchmarks" / "learning_to_learn.json"

Record = Mapping[str, Any]


def recorded(path: Path = RECORD) -> dict[str, Any]:
    """Return what the benchmark has written: what is wanted, and part -> seed -> what was found."""
    return json.loads(path.read_text(encoding="utf-8"))


def of_part(record: Record, part: str) -> list[dict[str, Any]]:
    """Return what was found for a part, seed by seed; raises KeyError if it was not measured."""
    if not record["parts"].get(part):
        raise KeyError(f"{part!r} is not recorded: run `python benchmarks/learning_to_learn.py`")
    return [found for _, found in sorted(record["parts"][part].items(), key=lambda p: int(p[0]))]


def rates(part: str, seed: int = 0) -> dict[str, float]:
    """Return the rivals' rates that the benchmark has tuned for a part."""
    return of_part(recorded(), part)[seed]["rates"]


def measured(record: Record) -> list[str]:
    """Return the parts that something was found for."""
    return [part for part, found in record["parts"].items() if found]


def days(record: Record, *parts: str) -> str:
    """Return the day on which some parts were measured, all by default, or the first and last."""
    found = sorted(
        each["machine"]["date"][:10]
        for part in parts or measured(record)
        for each in of_part(record, part)
    )
    return found[0] if found[0] == found[-1] else f"{found[0]} to {found[-1]}"


def ratios(record: Record) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each comparison's name and what came of it, seed by seed."""
    for part in measured(record):
        found = of_part(record, part)
        for name in found[0]["ratios"]:
            yield f"{part}, {name}", [each["ratios"][name] for each in found]


def median(found: list[dict[str, Any]], key: str) -> float:
    """Return the median over the seeds of one number."""
    return float(np.median([each[key] for each in found]))


def table_recorded(record: Record) -> Table:
    """Return each comparison's ratios, seed by seed, the rival that is best, and the goal."""
    rows = []
    for name, found in ratios(record):
        rivals = Counter(each["best"] for each in found).most_common()
        goal = record["wanted"].get(name)
        said = ""
        if goal:
            reached = median(found, goal["of"]) <= goal["at most"]
            of = "Adam, " if goal["of"] == "Adam" else ""
            said = f"{of}{goal['at most']:g}: {'reached' if reached else 'missed'}"
        rows.append(
            [
                name,
                f"{median(found, 'ratio'):.2f}",
                ", ".join(f"{each['ratio']:.2f}" for each in found),
                ", ".join(rival for rival, _ in rivals),
                f"{median(found, 'Adam'):.2f}",
                said,
            ]
        )
    head = ["learned over the best tuned rival", "median", "each seed", "best rival"]
    return Table([*head, "median over Adam", "goal, at most"], rows)


def table_styles(record: Record) -> Table:
    """Return the ratios for the paintings style by style, medians over the seeds."""
    found = [each["styles"] for each in of_part(record, "paintings")]
    rows = []
    for style in found[0]:
        each = [seed[style] for seed in found]
        numbers = [median(each, key) for key in ("Adam", "hindsight", "ratio")]
        steep = f"{median(each, 'steep'):.3g}"
        rivals = ", ".join(sorted({one["best"] for one in each}))
        rows.append([style, steep, *(f"{number:.2f}" for number in numbers), rivals])
    head = ["style", "gradient at the start", "learned over Adam", "its rate in hindsight"]
    return Table([*head, "over the best rival", "best rival"], rows)


def table_slowing(record: Record) -> Table:
    """Return ratios to Adam at step 100, median and seeds: with a steady rate, a falling one."""
    rows = []
    for name, part in (("digits", "20 sigmoid units"), ("paintings", "paintings")):
        each = [found["slowing"] for found in of_part(record, part)]
        row = [name]
        for key in ("steady", "falling"):
            seeds = ", ".join(f"{found[key]:.2f}" for found in each)
            row.append(f"{median(each, key):.2f} ({seeds})")
        rows.append(row)
    head = ["step 100, learned over Adam", "with a steady rate (each seed)", "with a falling one"]
    return Table(head, rows)
