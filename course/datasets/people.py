"""Which words are a person's name: sentences from templates, names from Faker's lists.

"My name is Austin." gives 0 0 0 1, and "I live in Austin." gives 0 0 0 0: the word alone does not
say.  In "Austin is my cousin" and "Austin is my home town" what comes after it says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from course.datasets.parts import DATA, Parts, part_of

TAGS = ("O", "B", "I")
"""The tags, in the order of their numbers: outside a name, its first word, one of its others."""

# {p} is a person, {c} a city.
TEMPLATES = (
    "My name is {p}", "My sister is called {p}", "I met {p} in {c}", "We stayed with {p} near {c}",
    "She told {p} about the trip to {c}", "I have to call {p} before noon", "I live in {c}",
    "The train to {c} was late", "He moved from {c} to {c}", "Please ask {p} or {p} for the key",
    "The letter from {p} came yesterday", "The road from {c} was closed", "Have you seen {p} today",
    "Have you ever been to {c}", "{p} is my name", "{c} is my home town", "{p} is my cousin",
    "{c} is on the coast", "{p} called me yesterday", "{c} is two hours by train",
    "{p} and {p} are friends of mine", "{c} and {c} are far apart", "{p} wants to see {c}",
    "{c} was where {p} grew up", "{p} said that the weather was fine", "{c} has an old harbour",
    "{p} from {c} wrote to me", "{c} with its old bridge is lovely", "{p} with his old dog is here",
    "In {c} we visited {p}", "For {p} it was too cold", "For {c} it was too cold a spring",
    "Yesterday {p} left {c}", "Yesterday {c} voted", "The mayor of {c} thanked {p}",
    "My friends {p} and {p} live in {c}", "The music in {c} is loud", "The child of {p} is ill",
)  # fmt: skip

# Some of these are names of people too, and some have two words, as a person may.
CITIES = (
    "Aberdeen", "Adelaide", "Amsterdam", "Ankara", "Athens", "Austin", "Baltimore", "Barcelona",
    "Berlin", "Bern", "Bologna", "Boston", "Brisbane", "Bristol", "Brno", "Budapest", "Cairo",
    "Calgary", "Camden", "Cape Town", "Cardiff", "Charlotte", "Chelsea", "Chicago", "Cologne",
    "Cordoba", "Dallas", "Delhi", "Denver", "Dresden", "Dublin", "Durham", "Florence", "Galway",
    "Geneva", "Genoa", "Glasgow", "Granada", "Hamburg", "Hanoi", "Helsinki", "Hong Kong",
    "Houston", "Istanbul", "Jackson", "Jakarta", "Kingston", "Kyoto", "Lagos", "Leeds", "Leipzig",
    "Lima", "Lincoln", "Lisbon", "London", "Los Angeles", "Lyon", "Madison", "Madrid", "Malmo",
    "Manila", "Marseille", "Melbourne", "Milan", "Montreal", "Nairobi", "Naples", "New Orleans",
    "New York", "Orlando", "Oslo", "Oxford", "Paris", "Perth", "Phoenix", "Porto", "Prague",
    "Quebec", "Riga", "Rio Grande", "Rome", "San Diego", "San Jose", "Santa Cruz", "Savannah",
    "Seattle", "Seoul", "Sofia", "Sydney", "Tampere", "Tokyo", "Toronto", "Turin", "Utrecht",
    "Valencia", "Venice", "Victoria", "Vienna", "Warsaw", "Zurich",
)  # fmt: skip


class Tagged(NamedTuple):
    """Sentences in words, and a tag for each word.

    words : N tuples of strings, without the final dot
    tags : N arrays (T,), int64, indices into TAGS; `tags > 0` is "part of a person's name"
    """

    words: tuple[tuple[str, ...], ...]
    tags: tuple[np.ndarray, ...]


def tagging(sizes: tuple[int, int, int] = (4000, 500, 1000), seed: int = 0) -> Parts[Tagged]:
    """Return sentences in which persons' names are tagged.

    No word of a person's name, and no city, is in two parts; the templates are in all three.
    `sizes` are the numbers of sentences.  Source: templates and cities of our own; first and last
    names of ten of Faker's locales, `extract.py` made the file.
    """
    people = _people()
    return Parts(
        *(
            _part(np.random.default_rng((seed, k)), size, people[k], _cities(k))
            for k, size in enumerate(sizes)
        )
    )


Kinds = dict[str, list[str]]


def _people() -> list[dict[str, Kinds]]:
    """First and last names by locale, for each part."""
    found: list[dict[str, Kinds]] = [{}, {}, {}]
    for line in (DATA / "people.tsv").read_text(encoding="utf-8").splitlines():
        locale, kind, name = line.split("\t")
        part = found[part_of(name)]
        part.setdefault(locale, {"first": [], "last": []})[kind].append(name)
    return found


def _cities(part: int) -> list[str]:
    # A city with a person's name goes where the name goes.
    return [city for city in CITIES if part_of(city, (0.6, 0.15)) == part]


def _person(rng: np.random.Generator, people: dict[str, Kinds]) -> list[str]:
    kinds = people[str(rng.choice(sorted(people)))]
    first, last = str(rng.choice(kinds["first"])), str(rng.choice(kinds["last"]))
    return [[first], [first, last], [last]][rng.choice(3, p=(0.5, 0.4, 0.1))]


def _part(
    rng: np.random.Generator, size: int, people: dict[str, Kinds], cities: list[str]
) -> Tagged:
    sentences: dict[tuple[str, ...], np.ndarray] = {}
    while len(sentences) < size:
        words: list[str] = []
        tags: list[int] = []
        for token in str(rng.choice(TEMPLATES)).split():
            if token == "{p}":
                name = _person(rng, people)
                tags += [1, *[2] * (len(name) - 1)]
            else:
                name = str(rng.choice(cities)).split() if token == "{c}" else [token]
                tags += [0] * len(name)
            words += name
        sentences[tuple(words)] = np.array(tags)
    return Tagged(tuple(sentences), tuple(sentences.values()))
