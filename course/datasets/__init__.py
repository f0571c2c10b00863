"""Data sets: small enough to ship with the course or to be drawn on the spot, none needs a network.

    from course import datasets

    train, validation, test = datasets.names()
    vocabulary = datasets.Vocabulary(train.texts)
    x, mask = vocabulary.encode(train.texts)  # (T, B) each
    print(datasets.card("names"))

Each loader gives the same data every time, in three parts that share nothing they should not.  Each
data set has a card that says where it comes from, under which licence, how it was split, and what
it is bad at: `datasets.cards()`.  The larger originals are in `course.datasets.originals`.
"""

from course.datasets.about import Card, card, cards
from course.datasets.calendar import (
    DATE_LANGUAGES,
    UNSEEN_LANGUAGES,
    UNSEEN_PAIRS,
    Dates,
    behind_dots,
    dates,
    unseen_dates,
    write_date,
)
from course.datasets.echoes import echo
from course.datasets.genera import dinosaurs
from course.datasets.handwriting import Images, cluttered, digits
from course.datasets.languages import LANGUAGES, Names, names
from course.datasets.music import Melodies, Melody, chorales
from course.datasets.opinions import Sentences, sentiment
from course.datasets.parts import Parts, Vocabulary, pad, part_of
from course.datasets.people import TAGS, Tagged, tagging
from course.datasets.shapes import Group, Scene, Scenes, caption, equivalent, parse, render, scenes
from course.datasets.sun import sunspots
from course.datasets.texts import letters, next_letter, tale
from course.datasets.translations import TARGETS, Phrases, phrases
from course.datasets.video import ACTIVITIES, Films, films

__all__ = [
    "ACTIVITIES",
    "DATE_LANGUAGES",
    "LANGUAGES",
    "TAGS",
    "TARGETS",
    "UNSEEN_LANGUAGES",
    "UNSEEN_PAIRS",
    "Card",
    "Dates",
    "Films",
    "Group",
    "Images",
    "Melodies",
    "Melody",
    "Names",
    "Parts",
    "Phrases",
    "Scene",
    "Scenes",
    "Sentences",
    "Tagged",
    "Vocabulary",
    "behind_dots",
    "caption",
    "card",
    "cards",
    "chorales",
    "cluttered",
    "dates",
    "digits",
    "dinosaurs",
    "echo",
    "equivalent",
    "films",
    "letters",
    "names",
    "next_letter",
    "pad",
    "parse",
    "part_of",
    "phrases",
    "render",
    "scenes",
    "sentiment",
    "sunspots",
    "tagging",
    "tale",
    "unseen_dates",
    "write_date",
]
