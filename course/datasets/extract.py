"""Remakes the files in data/ from the packages that they come from.

    python -m course.datasets.extract

Only authors need it, and with it Babel, Faker and scikit-learn.
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

import numpy as np

from course.datasets.languages import LANGUAGES
from course.datasets.parts import DATA

PEOPLE = ("cs_CZ", "de_DE", "en_IN", "en_US", "es_ES", "fi_FI", "fr_FR", "it_IT", "nl_NL", "sv_SE")
"""Faker's locales that the names of people are taken from."""

EACH = 90
"""So many first names and so many last names of each locale."""


def names() -> str:
    """Return names.tsv: a language's code, a tab, a name; sorted."""
    from babel import Locale

    found = {}
    for code in LANGUAGES:
        locale = Locale(code)
        tables = (locale.territories, locale.languages, locale.currencies)
        pairs = [pair for table in tables for pair in table.items()]
        found[code] = {tidy(name) for key, name in pairs if name != key}
    shared = Counter(name for each in found.values() for name in each)
    return "".join(
        f"{code}\t{name}\n"
        for code, each in found.items()
        for name in sorted(each)
        if shared[name] == 1 and 2 <= len(name) <= 24
    )


def tidy(name: str) -> str:
    """Return the name in lower case, composed (NFC), without what stands in brackets."""
    name = re.sub(r"\s*[(\[].*?[)\]]", "", unicodedata.normalize("NFC", name).lower())
    return re.sub(r"\s+", " ", name).strip()


def people() -> str:
    """Return people.tsv: the locale, "first" or "last", a name of one word; sorted."""
    return "".join(
        f"{locale}\t{kind}\t{name}\n"
        for locale in PEOPLE
        for kind in ("first", "last")
        for name in _evenly(_words(locale, kind), EACH)
    )


def _words(locale: str, kind: str) -> Iterator[str]:
    provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    listed = sorted(set(getattr(provider, f"{kind}_names")))
    yield from (name for name in listed if name.isalpha() and 3 <= len(name) <= 12)


def _evenly(names: Iterator[str], count: int) -> list[str]:
    """Take `count` of the names, evenly spread over the alphabet."""
    listed = list(names)
    return [listed[i * len(listed) // count] for i in range(min(count, len(listed)))]


def digits() -> dict[str, np.ndarray]:
    """Return digits.npz: images (N, 8, 8) and labels (N,), uint8."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return {"images": found.images.astype(np.uint8), "labels": found.target.astype(np.uint8)}


if __name__ == "__main__":
    (DATA / "names.tsv").write_text(names(), encoding="utf-8")
    (DATA / "people.tsv").write_text(people(), encoding="utf-8")
    drawn = digits()
    np.savez_compressed(DATA / "digits.npz", images=drawn["images"], labels=drawn["labels"])
