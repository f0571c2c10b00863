"""Names to language: how thirty languages call the world's countries, languages and currencies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from course.datasets.parts import DATA, Parts, part_of

LANGUAGES = {
    "az": "Azerbaijani", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "de": "German",
    "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fi": "Finnish",
    "fr": "French", "ga": "Irish", "hr": "Croatian", "hu": "Hungarian", "is": "Icelandic",
    "it": "Italian", "lt": "Lithuanian", "lv": "Latvian", "nb": "Norwegian", "nl": "Dutch",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "sk": "Slovak", "sl": "Slovene",
    "sq": "Albanian", "sv": "Swedish", "sw": "Swahili", "tr": "Turkish", "vi": "Vietnamese",
}  # fmt: skip
"""Code and English name of each language, in the order of the labels."""


class Names(NamedTuple):
    """Names and their languages.

    texts : N strings, lower case; y : (N,), int64, an index into `tuple(LANGUAGES)`
    """

    texts: tuple[str, ...]
    y: np.ndarray


def names() -> Parts[Names]:
    """Return names with the language they are written in, one language each.

    A name that several of the languages share ("angola") is in none: it has no right answer.
    Source: Unicode CLDR's display names, as in Babel; `extract.py` made the file.
    """
    codes = tuple(LANGUAGES)
    dealt: tuple[list[tuple[str, int]], ...] = ([], [], [])
    for line in (DATA / "names.tsv").read_text(encoding="utf-8").splitlines():
        code, text = line.split("\t")
        dealt[part_of(text)].append((text, codes.index(code)))
    return Parts(
        *(Names(tuple(text for text, _ in part), np.array([y for _, y in part])) for part in dealt)
    )
