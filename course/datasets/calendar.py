"""Dates as fourteen languages write them, and as ISO 8601 does: "3 marzo 2019" is 2019-03-03.

Years have four digits: with two, "03/04/05" has six readings.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from course.datasets.parts import DATA, Parts, part_of

DATE_LANGUAGES = {
    "da": "Danish", "de": "German", "en": "English", "es": "Spanish", "fi": "Finnish",
    "fr": "French", "id": "Indonesian", "it": "Italian", "nl": "Dutch", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "sv": "Swedish", "tr": "Turkish",
}  # fmt: skip
"""Code and English name of each language that training dates are written in."""

UNSEEN_LANGUAGES = {"ca": "Catalan", "eu": "Basque"}
"""Languages of `unseen_dates("language")` alone: one has sisters in training, one has none."""

FORMS = ("full", "long", "medium", "short")
"""CLDR's four forms; a form of a language that has two-digit years is left out."""

UNSEEN_FORM = "brief"
"""With the weekday abbreviated: "dom 3 mar 2019".  No training date of any language has it."""

UNSEEN_PAIRS = (("it", "long"), ("nl", "long"), ("pl", "medium"), ("tr", "full"))
"""Forms that training has in other languages, but not in these."""

FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)

# Quoted text, a run of one of the letters that stand for a field, or anything else.
_PIECE = re.compile(r"'([^']*)'|(d+|M+|y+|E+|c+|L+)|(.)")


class Dates(NamedTuple):
    """Dates and how they are written, N of each.

    texts : "3 marzo 2019"; iso : "2019-03-03"; languages : "it"; forms : one of FORMS or "brief"
    """

    texts: tuple[str, ...]
    iso: tuple[str, ...]
    languages: tuple[str, ...]
    forms: tuple[str, ...]


@functools.cache
def _written() -> dict[str, dict[str, Any]]:
    return json.loads((DATA / "dates.json").read_text(encoding="utf-8"))


def write_date(day: datetime.date, language: str, form: str) -> str:
    """Write a day as a language does.

    Raises KeyError if the language has no such form here.
    """
    patterns, words = (_written()[language][key] for key in ("patterns", "words"))
    if form not in patterns:
        raise KeyError(f"write_date: {language!r} has no form {form!r}; has {', '.join(patterns)}")
    fields = {"d": day.day, "M": day.month, "L": day.month, "y": day.year}

    def piece(match: re.Match[str]) -> str:
        quoted, field, other = match.groups()
        if field is None:
            return other or quoted
        if field in words:
            named = day.weekday() if field[0] in "Ec" else fields[field[0]] - 1
            return words[field][named]
        return f"{fields[field[0]]:0{len(field)}d}"

    return _PIECE.sub(piece, patterns[form])


def dates(sizes: tuple[int, int, int] = (20_000, 1000, 2000), seed: int = 0) -> Parts[Dates]:
    """Return dates of 1900 to 2099 in fourteen languages, with their ISO forms.

    A day is in one part only, in whatever language it is written.  The pairs of language and form
    in UNSEEN_PAIRS are in no part.
    Source: Unicode CLDR's patterns and names of months and days, as in Babel; `extract.py` made
    the file.
    """
    ways = [
        (language, form)
        for language in DATE_LANGUAGES
        for form in _written()[language]["patterns"]
        if form != UNSEEN_FORM and (language, form) not in UNSEEN_PAIRS
    ]
    return Parts(*(_draw(ways, k, size, seed) for k, size in enumerate(sizes)))


def unseen_dates(what: str, size: int = 1000, seed: int = 0) -> Dates:
    """Return days of the test part, written in a way that `dates` never writes them.

    what : "form", UNSEEN_FORM in every language; "pair", UNSEEN_PAIRS; "language",
    UNSEEN_LANGUAGES in the four forms; "range", two training ways joined by " - ", and the ISO
    form of an interval, with a slash.

    Raises ValueError if `what` is something else.
    """
    kinds: dict[str, Callable[[], list[tuple[str, str]]]] = {
        "form": lambda: [(language, UNSEEN_FORM) for language in DATE_LANGUAGES],
        "pair": lambda: list(UNSEEN_PAIRS),
        "language": lambda: [
            (code, form) for code in UNSEEN_LANGUAGES for form in FORMS if form in _patterns(code)
        ],
    }
    if what == "range":
        one, other = (dates((0, 0, size), seed + k).test for k in (1, 2))
        return Dates(
            tuple(f"{a} - {b}" for a, b in zip(one.texts, other.texts, strict=True)),
            tuple(f"{a}/{b}" for a, b in zip(one.iso, other.iso, strict=True)),
            tuple(f"{a}-{b}" for a, b in zip(one.languages, other.languages, strict=True)),
            tuple(f"{a}-{b}" for a, b in zip(one.forms, other.forms, strict=True)),
        )
    if what not in kinds:
        raise ValueError(f"unseen_dates: {what!r}, want one of {', '.join((*kinds, 'range'))}")
    return _draw(kinds[what](), 2, size, seed)


def behind_dots(given: Dates, count: int) -> Dates:
    """Put dots and a space before each date, as in a table of contents: "..... 3 marzo 2019"."""
    return given._replace(texts=tuple("." * count + " " + text for text in given.texts))


def _patterns(language: str) -> dict[str, str]:
    return _written()[language]["patterns"]


def _draw(ways: list[tuple[str, str]], part: int, size: int, seed: int) -> Dates:
    rng = np.random.default_rng((seed, part, 6))
    rows: list[tuple[str, ...]] = []
    while len(rows) < size:
        day = FIRST + datetime.timedelta(int(rng.integers((LAST - FIRST).days + 1)))
        if part_of(day.isoformat()) == part:
            way = ways[rng.integers(len(ways))]
            rows.append((write_date(day, *way), day.isoformat(), *way))
    return Dates(*zip(*rows, strict=True)) if rows else Dates((), (), (), ())
