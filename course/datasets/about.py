"""A card for each data set: where it comes from, its licence, its split, what it is bad at."""

from __future__ import annotations

import functools
import tomllib
from typing import NamedTuple

from course.datasets.parts import DATA


class Card(NamedTuple):
    """What to know of a data set before you use it; `numbers` are counted again by a test."""

    name: str
    what: str
    source: str
    licence: str
    numbers: dict[str, int]
    split: str
    bad_at: str


@functools.cache
def cards() -> tuple[Card, ...]:
    """Return all cards, in the order of the chapter."""
    read = tomllib.loads((DATA / "cards.toml").read_text(encoding="utf-8"))
    return tuple(Card(name, **fields) for name, fields in read.items())


def card(name: str) -> Card:
    """Return the card of one data set.

    Raises KeyError, with the names there are, if there is none.
    """
    found = {each.name: each for each in cards()}
    if name not in found:
        raise KeyError(f"no card for {name!r}; there are {', '.join(found)}")
    return found[name]
