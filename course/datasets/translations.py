"""English, Italian and German: names from Unicode's CLDR, and everyday phrases of our own."""

from __future__ import annotations

import re
from typing import NamedTuple

from course.datasets.parts import DATA, Parts, part_of

TARGETS = {"it": "Italian", "de": "German"}
"""Code and English name of each language that `phrases` translates to."""

KINDS = ("everyday", "territory", "language", "currency", "time zone", "unit")


class Phrases(NamedTuple):
    """Pairs, N of each: english; other, the same in the other language; kinds, one of KINDS."""

    english: tuple[str, ...]
    other: tuple[str, ...]
    kinds: tuple[str, ...]


def phrases(language: str = "it") -> Parts[Phrases]:
    """Return English phrases and what they are in Italian or German, one answer each.

    The parts share no English phrase, and time zones go with their place: "Cuba Standard Time",
    "Cuba Daylight Time" and "Cuba" are in one part.  "Good morning" and "Good evening" may be in
    two.  Source: Unicode CLDR, as in Babel, by `extract.py`; the everyday phrases are our own.

    Raises KeyError if there is no such language.
    """
    if language not in TARGETS:
        raise KeyError(f"phrases: no language {language!r}; there are {', '.join(TARGETS)}")
    column = 2 + tuple(TARGETS).index(language)
    dealt: tuple[list[tuple[str, str, str]], ...] = ([], [], [])
    for kind, *texts in rows():
        dealt[part_of(family(texts[0]))].append((texts[0], texts[column - 1], kind))
    return Parts(*(Phrases(*zip(*part, strict=True)) for part in dealt))


def rows() -> list[list[str]]:
    """Return kind, English, Italian and German of every phrase, in the files' order."""
    everyday = (DATA / "everyday.tsv").read_text(encoding="utf-8").splitlines()
    names = (DATA / "phrases.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in (*(f"everyday\t{line}" for line in everyday), *names)]


def family(english: str) -> str:
    """Return what decides a phrase's part: itself in lower case, a time zone without its end."""
    return re.sub(r" ((standard|summer|daylight) )?time$", "", english.lower())
