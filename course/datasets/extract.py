"""Remakes the files in data/ from the packages that they come from.

    python -m course.datasets.extract

Only authors need it, and with it Babel, Faker and scikit-learn.
"""

from __future__ import annotations

import importlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from course.datasets.calendar import DATE_LANGUAGES, FORMS, UNSEEN_FORM, UNSEEN_LANGUAGES
from course.datasets.languages import LANGUAGES
from course.datasets.parts import DATA
from course.datasets.translations import TARGETS

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


def dates() -> str:
    """Return dates.json: by language, the patterns of dates and the words that they need."""
    from babel import Locale

    languages = (*DATE_LANGUAGES, *UNSEEN_LANGUAGES)
    found = {code: _calendar(Locale(code)) for code in languages}
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def _calendar(locale: Any) -> dict[str, dict[str, Any]]:
    listed = {form: locale.date_formats[form].pattern for form in FORMS}
    patterns = {form: p for form, p in listed.items() if "yy" not in p}
    patterns[UNSEEN_FORM] = locale.datetime_skeletons["yMMMEd"].pattern
    patterns = {form: re.sub(r"E{1,3}(?!E)", "EEE", str(p)) for form, p in patterns.items()}
    months, days = locale.months, locale.days
    tables = {
        "MMMM": months["format"]["wide"],
        "MMM": months["format"]["abbreviated"],
        "EEEE": days["format"]["wide"],
        "cccc": days["stand-alone"]["wide"],
        "EEE": days["format"]["abbreviated"],
    }
    used = {run for p in patterns.values() for run in re.findall(r"[MEc]{3,}", p)}
    words = {run: [table[key] for key in sorted(table)] for run, table in tables.items()}
    return {"patterns": patterns, "words": {run: words[run] for run in tables if run in used}}


def phrases() -> str:
    """Return phrases.tsv: kind, English, Italian, German; sorted; each English phrase once."""
    from babel import Locale

    locales = [Locale(code) for code in ("en", *TARGETS)]
    found: dict[str, tuple[str, ...]] = {}
    for kind, of in (
        ("territory", lambda locale: locale.territories),
        ("language", lambda locale: locale.languages),
        ("currency", lambda locale: locale.currencies),
        ("time zone", _zones),
        ("unit", lambda locale: _long(locale._data["unit_display_names"])),
    ):
        english, *others = (of(locale) for locale in locales)
        for key in sorted(set(english).intersection(*others)):
            texts = tuple(unicodedata.normalize("NFC", t[key]) for t in (english, *others))
            if key not in texts and not re.search(r"[(\[/]", "".join(texts)):
                found.setdefault(texts[0].lower(), (kind, *texts))
    return "".join("\t".join(row) + "\n" for row in sorted(found.values()))


def _zones(locale: Any) -> dict[str, str]:
    """Return the long names of time zones, by zone and by form."""
    return {
        f"{zone} {form}": name
        for zone, forms in locale.meta_zones.items()
        for form, name in forms.get("long", {}).items()
    }


def _long(units: Any) -> dict[str, str]:
    return {unit: forms["long"] for unit, forms in units.items() if "long" in forms}


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
    (DATA / "dates.json").write_text(dates(), encoding="utf-8")
    (DATA / "phrases.tsv").write_text(phrases(), encoding="utf-8")
    (DATA / "people.tsv").write_text(people(), encoding="utf-8")
    drawn = digits()
    np.savez_compressed(DATA / "digits.npz", images=drawn["images"], labels=drawn["labels"])
