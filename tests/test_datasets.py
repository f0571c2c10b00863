"""The data sets: their splits, their labels by a second method, their cards, their licences."""

from __future__ import annotations

import datetime
import gzip
import http.server
import io
import itertools
import re
import sys
import tarfile
import threading
import zipfile
from functools import cache, partial
from hashlib import md5, sha256

import numpy as np
import pytest
from figures.taxonomy_types import spans

from autograder.sandbox.client import Zygote
from course import datasets
from course.datasets import (
    calendar,
    extract,
    languages,
    music,
    opinions,
    originals,
    people,
    shapes,
    translations,
)
from course.datasets.parts import DATA

names, tagging, sentiment = map(cache, (datasets.names, datasets.tagging, datasets.sentiment))
chorales, digits, cluttered = map(cache, (datasets.chorales, datasets.digits, datasets.cluttered))
scenes, films = map(cache, (datasets.scenes, datasets.films))
dates, phrases = map(cache, (datasets.dates, datasets.phrases))


def disjoint(parts) -> bool:
    sets = [set(part) for part in parts]
    return all(sets) and not any(a & b for a, b in itertools.combinations(sets, 2))


# What they share.


def test_padding_and_vocabulary():
    x, mask = datasets.pad([[3, 4, 5], [6]])
    np.testing.assert_array_equal(x, [[3, 6], [4, 0], [5, 0]])
    np.testing.assert_array_equal(mask, [[1, 1], [1, 0], [1, 0]])
    with pytest.raises(ValueError, match="no sequence"):
        datasets.pad([])
    vocabulary = datasets.Vocabulary(["abba", "ab"], least=3)
    assert vocabulary.symbols == ("<pad>", "<unknown>", "a", "b")
    assert datasets.Vocabulary(["abba", "ac"], least=2).symbols[2:] == ("a", "b")
    x, mask = vocabulary.encode(["bax", "a"])
    np.testing.assert_array_equal(x.T, [[3, 2, 1], [2, 0, 0]])
    assert vocabulary.decode(x[:, 0]) == ["b", "a", "<unknown>"]
    assert len(vocabulary) == 4


def test_part_is_the_keys_alone():
    first = int(sha256(b"Austin").hexdigest()[:16], 16) / 16**16
    assert datasets.part_of("Austin", (first, 0.1)) == 1  # a share ends before its border
    assert datasets.part_of("Austin", (first + 1e-9, 0.1)) == 0
    assert datasets.part_of("Austin", (0, first)) == 2
    counts = np.bincount([datasets.part_of(str(i)) for i in range(20_000)]) / 20_000
    np.testing.assert_allclose(counts, [0.8, 0.1, 0.1], atol=0.01)  # 4 standard deviations


def same(one, other) -> bool:
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize(
    "loader",
    [
        datasets.names,
        datasets.digits,
        datasets.phrases,
        partial(datasets.dates, (30, 20, 10)),
        partial(datasets.unseen_dates, "range", 10),
        partial(datasets.tagging, (30, 20, 10)),
        partial(datasets.sentiment, (30, 20, 10)),
        partial(datasets.cluttered, (3, 2, 1)),
        partial(datasets.scenes, (3, 2, 1)),
        partial(datasets.films, (3, 2, 1)),
    ],
)
def test_the_same_data_every_time(loader):
    assert same(loader(), loader())


def test_another_seed_is_another_draw():
    assert not same(datasets.films((3, 2, 1)), datasets.films((3, 2, 1), seed=1))


# The files in data/.


def test_files_are_what_the_packages_give():
    assert extract.names() == (DATA / "names.tsv").read_text(encoding="utf-8")
    assert extract.dates() == (DATA / "dates.json").read_text(encoding="utf-8")
    assert extract.phrases() == (DATA / "phrases.tsv").read_text(encoding="utf-8")
    assert extract.people() == (DATA / "people.tsv").read_text(encoding="utf-8")
    with np.load(DATA / "digits.npz") as kept:
        for name, array in extract.digits().items():
            np.testing.assert_array_equal(kept[name], array)


def test_every_file_has_its_licence_beside_it():
    text = (DATA / "LICENSES.txt").read_text(encoding="utf-8")
    for path in DATA.iterdir():
        assert path.name in text or path.name in ("LICENSES.txt", "cards.toml")
    for words in ("UNICODE LICENSE V3", "Daniele Faraglia", "creativecommons.org/licenses/by/4.0"):
        assert words in text


# Names.


def test_names_stand_in_one_language_and_one_part():
    parts = names()
    assert disjoint(part.texts for part in parts)
    for part in parts:
        assert len(set(part.texts)) == len(part.texts) == len(part.y)
        assert set(part.y) == set(range(len(datasets.LANGUAGES)))
    codes = list(datasets.LANGUAGES)
    labels = {t: codes[y] for part in parts for t, y in zip(part.texts, part.y, strict=True)}
    assert labels["finská marka"] == "cs"
    assert labels["deutschland"] == "de"
    assert "angola" not in labels  # it is so in many of them


# Tagging.


def test_people_and_cities_are_in_one_part():
    for inside in (True, False):
        found = []
        for part in tagging():
            fixed = {w for t in people.TEMPLATES for w in t.split()}
            pairs = zip(part.words, part.tags, strict=True)
            said = {w for ws, ts in pairs for w, t in zip(ws, ts > 0, strict=True) if t == inside}
            found.append(said if inside else said - fixed)
        if not inside:  # "New York" and "New Orleans" share a word, not a city
            found = [{w for w in each if w not in ("New", "San", "Cape")} for each in found]
        assert disjoint(found)


def test_tags_are_well_formed_and_spans_are_the_names():
    for words, tags in zip(tagging().train.words, tagging().train.tags, strict=True):
        assert len(words) == len(tags)
        text = "".join(datasets.TAGS[t] for t in tags)
        assert "OI" not in text
        assert not text.startswith("I")
        # A second way: names are the pieces that a B begins.
        pieces, at = [], 0
        for piece in text.replace("B", "|B").replace("O", "|O").split("|"):
            if piece.startswith("B"):
                pieces.append((at, at + len(piece)))
            at += len(piece)
        assert spans(tags) == set(pieces)


def test_spans_of_what_is_not_well_formed():
    assert spans(np.array([2, 2, 0, 1, 1, 2])) == {(0, 2), (3, 4), (4, 6)}
    assert spans(np.array([0, 0])) == set()


def test_the_first_word_is_decided_by_what_follows():
    first = {True: set(), False: set()}
    for part in tagging():
        for words, tags in zip(part.words, part.tags, strict=True):
            if words[-1] in ("name", "cousin", "town", "coast"):
                first[bool(tags[0])].add(words[0])
    assert first[True] & first[False]  # "Austin" is both


# Sentiment.


def judged(words: tuple[str, ...]) -> int:
    """The label by rule: find the clause that counts, its adjective, its negation."""
    text = " ".join(words)
    if text.startswith("although"):
        main = text.partition(" , ")[2]
    elif " , although" in text:
        main = text.partition(" , ")[0]
    else:
        main = text.rpartition(" , ")[2]
    main = main.rpartition(" and ")[2]
    adjective = main.split()[-1]
    assert adjective in opinions.GOOD + opinions.BAD
    negated = any(f" {negation} " in f" {main}" for negation in opinions.NEGATIONS)
    return int((adjective in opinions.GOOD) != negated)


def test_sentiment_by_a_second_set_of_rules():
    for part in sentiment():
        assert [judged(words) for words in part.words] == list(part.y)
        assert part.y.mean() == 0.5


def test_sentiment_parts_share_no_sentence_and_the_test_has_new_pairs():
    parts = sentiment()
    assert disjoint(part.words for part in parts)
    pairs = opinions._UNSEEN_PAIRS
    assert len(pairs) == pytest.approx(opinions.UNSEEN * 120, abs=10)
    for part, wanted in zip(parts, (False, False, True), strict=True):
        for words in part.words:
            assert any(f"{pair} " in f"{' '.join(words)} " for pair in pairs) == wanted
    said = {w for words in parts.train.words for w in words}
    assert {w for words in parts.test.words for w in words} <= said


def test_bags_of_words_are_ambiguous():
    """Sentences of the same words with both labels: no weighing of words can tell them apart."""
    labels: dict[tuple[str, ...], set[int]] = {}
    for a, b in itertools.product(opinions.GOOD[:3], opinions.BAD[:3]):
        for one, other in ((a, b), (b, a)):
            words = f"although the food was {one} , the room was {other}".split()
            labels.setdefault(tuple(sorted(words)), set()).add(judged(tuple(words)))
    assert set(map(frozenset, labels.values())) == {frozenset((0, 1))}


# Music.


def test_chorale_as_music21_reads_it():
    from music21 import converter

    (mine,) = [m for part in chorales() for m in part if m.name == "bwv66.6"]
    score = converter.parse(music._corpus() / "bwv66.6.mxl")
    notes = list(score.parts[0].stripTies().flatten().notesAndRests)
    # Three sharps: a minor third up to no sharps.
    np.testing.assert_array_equal(mine.pitch, [n.pitch.midi + 3 for n in notes])
    np.testing.assert_array_equal(mine.duration, [float(n.quarterLength) for n in notes])
    bass = list(score.parts[3].flatten().notes)[-1]
    assert mine.final == (bass.pitch.midi + 3) % 12


def test_settings_of_one_tune_are_in_one_part():
    found = []
    for part in chorales():
        pieces = set()
        for melody in part:
            steps = np.diff(melody.pitch[melody.pitch > 0])
            pieces |= {tuple(steps[i : i + 16]) for i in range(len(steps) - 15)}
        found.append(pieces)
    for a, b in itertools.combinations(found, 2):
        assert len(a & b) < 0.02 * min(len(a), len(b))
    assert disjoint([m.name for m in part] for part in chorales())


def test_melodies_are_in_the_key_without_sharps():
    pitch = np.concatenate([m.pitch for part in chorales() for m in part])
    pitch = pitch[pitch > 0]
    white = np.isin(pitch % 12, [0, 2, 4, 5, 7, 9, 11])
    assert white.mean() > 0.95
    assert 55 <= pitch.min() < pitch.max() <= 86


def test_chorales_say_what_is_missing(tmp_path, monkeypatch):
    with pytest.raises(music.NoScoresError, match=r"no bwv\*\.mxl"):
        datasets.chorales(str(tmp_path))
    monkeypatch.setattr(music.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(music.NoScoresError, match="pip install music21"):
        music._corpus()


# Pictures.


def test_digits_are_split_by_image():
    assert disjoint(part.source for part in digits())
    assert sum(len(part.y) for part in digits()) == 1797
    for part in digits():
        assert part.x.min() == 0
        assert part.x.max() == 1
        assert set(part.y) == set(range(10))


def test_cluttered_scenes_hold_their_digit_and_no_other_parts():
    assert disjoint(part.source for part in cluttered())
    for part, own in zip(cluttered(), digits(), strict=True):
        index = {int(s): i for i, s in enumerate(own.source)}
        for n in range(50):
            i, (r, c) = index[int(part.source[n])], part.place[n]
            np.testing.assert_array_equal(part.x[n, r : r + 8, c : c + 8], own.x[i])
            assert part.y[n] == own.y[i]
        assert part.place.min() == 0
        assert part.place.max() == 24
    with pytest.raises(ValueError, match="at least 16"):
        datasets.cluttered((1, 1, 1), side=12)


def test_captions_are_said_and_understood():
    groups = [
        datasets.Group(n, colour, shape)
        for n in (1, 2, 3)
        for colour in shapes.COLOURS
        for shape in shapes.SHAPES
    ]
    said = set()
    for first in groups:
        for scene in (
            datasets.Scene(first),
            *(datasets.Scene(first, r, g) for r in shapes.RELATIONS for g in groups),
        ):
            text = datasets.caption(scene)
            assert datasets.parse(text) == scene
            said.add(text)
    assert len(said) == 48 * (1 + 4 * 48)
    for wrong in ("two red square", "a red squares", "red square", "a pink cross", "a red cross "):
        with pytest.raises(ValueError, match="is no group"):
            datasets.parse(wrong.replace("cross ", "cross left of"))


def test_equivalent_captions():
    assert datasets.equivalent("a red cross left of two blue circles",
                               "two blue circles right of a red cross")  # fmt: skip
    assert not datasets.equivalent("a red cross left of a blue circle",
                                   "a blue circle left of a red cross")  # fmt: skip
    assert datasets.equivalent("a red cross", "a red cross")


def seen(x: np.ndarray) -> list[tuple[str, str, int, int]]:
    """Read a picture by its pixels: the colour, shape, row and column of every shape."""
    found = []
    for r, c in itertools.product(range(4), range(4)):
        cell = x[7 * r : 7 * r + 7, 7 * c : 7 * c + 7].astype(float)
        lit = cell.max(-1) > 60
        if lit.any():
            mean = cell[lit].mean(0)
            colour = max(
                shapes.COLOURS,
                key=lambda k: mean @ shapes.COLOURS[k] / np.linalg.norm(shapes.COLOURS[k]),
            )
            area = {25: "square", 21: "circle", 9: "cross"}.get(int(lit.sum()), "triangle")
            found.append((colour, area, r, c))
    return found


def test_pictures_show_what_the_captions_say():
    for part in scenes():
        for x, scene in list(zip(part.x, part.scenes, strict=True))[:200]:
            shown = seen(x)
            groups = [g for g in (scene.first, scene.second) if g]
            wanted = sorted((g.colour, g.shape) for g in groups for _ in range(g.count))
            assert sorted((colour, shape) for colour, shape, _, _ in shown) == wanted
            if scene.relation is None:
                continue
            one, two = (
                np.array([s[2:] for s in shown if s[:2] == (g.colour, g.shape)]) for g in groups
            )
            true = {
                "above": one[:, 0].max() < two[:, 0].min(),
                "below": one[:, 0].min() > two[:, 0].max(),
                "left of": one[:, 1].max() < two[:, 1].min(),
                "right of": one[:, 1].min() > two[:, 1].max(),
            }
            assert [name for name, holds in true.items() if holds] == [scene.relation]


def test_unseen_pairs_are_in_the_test_alone():
    for part, wanted in zip(scenes(), (False, False, True), strict=True):
        for scene in part.scenes:
            groups = [g for g in (scene.first, scene.second) if g]
            assert any((g.colour, g.shape) in shapes.UNSEEN for g in groups) == wanted
    seen_in_training = {g for s in scenes().train.scenes for g in (s.first, s.second) if g}
    for colour, shape in shapes.UNSEEN:
        assert any(g.colour == colour for g in seen_in_training)
        assert any(g.shape == shape for g in seen_in_training)


# Films.


def test_films_by_where_the_figure_is():
    part = films().validation
    lit = part.x > 0.4
    column = lit.sum(-2).argmax(-1)  # the body's column has most pixels
    top = lit.any(-1).argmax(-1)
    for t in range(1, len(part.x)):
        moved, risen = column[t] - column[t - 1], top[t - 1] - top[t]
        for n in range(part.x.shape[1]):
            doing = datasets.ACTIVITIES[part.y[t, n]]
            across = {"walk left": -1, "walk right": 1}.get(doing, 0)
            up = {"rise": 1, "fall": -1}.get(doing, 0)
            assert (moved[n], risen[n]) == (across, up), (t, n, doing)


def test_a_frame_alone_does_not_say_which_way():
    """Walking left and walking right draw the same pictures."""
    part = datasets.films((200, 1, 1)).train
    clean = [
        {tuple((frame > 0.4).ravel()) for frame in part.x[part.y == k]}
        for k in map(datasets.ACTIVITIES.index, ("walk left", "walk right"))
    ]
    assert len(clean[0] & clean[1]) > 0.8 * min(map(len, clean))


# Dates.


def test_dates_are_written_as_babel_writes_them():
    from babel.dates import format_date, format_skeleton

    days = [datetime.date(1999, month, 1 + 2 * month) for month in range(1, 13)]
    days += [datetime.date(2024, 2, day) for day in range(1, 8)]
    for code, known in calendar._written().items():
        for form in known["patterns"]:
            for day in days:
                if form == calendar.UNSEEN_FORM:
                    want = format_skeleton("yMMMEd", day, locale=code)
                else:
                    want = format_date(day, form, locale=code)
                assert datasets.write_date(day, code, form) == want
    with pytest.raises(KeyError, match="no form 'short'; has full, long"):
        datasets.write_date(days[0], "en", "short")


def test_a_day_is_in_one_part():
    assert disjoint(part.iso for part in dates())
    test = set(dates().test.iso)
    for what in ("form", "pair", "language"):
        for iso in datasets.unseen_dates(what, 200).iso:
            assert datasets.part_of(iso) == 2
    assert len(test) > 1500


def test_a_written_date_has_one_reading():
    readings: dict[str, set[str]] = {}
    others = [datasets.unseen_dates(what) for what in ("form", "pair", "language")]
    for part in (*dates(), *others):
        for text, iso in zip(part.texts, part.iso, strict=True):
            readings.setdefault(text, set()).add(iso)
            assert iso[:4] in text
            assert str(int(iso[8:])) in text
    assert max(map(len, readings.values())) == 1
    # Where a pattern has numbers only, the day stands before the month, or the year first.
    for known in calendar._written().values():
        for pattern in known["patterns"].values():
            if not re.search("MMM", pattern):
                order = re.sub(r"[^dMy]|(.)(?=\1)", "", pattern)
                assert order in ("dMy", "yMd"), pattern


def test_ways_of_writing_that_training_has_not():
    seen = {way for part in dates() for way in zip(part.languages, part.forms, strict=True)}
    pairs = datasets.unseen_dates("pair", 100)
    assert set(zip(pairs.languages, pairs.forms, strict=True)) == set(datasets.UNSEEN_PAIRS)
    assert not seen & set(datasets.UNSEEN_PAIRS)
    for language, form in datasets.UNSEEN_PAIRS:
        assert form in {f for code, f in seen if code != language}
        assert language in {code for code, _ in seen}
    assert set(datasets.unseen_dates("form", 200).forms) == {calendar.UNSEEN_FORM}
    assert set(datasets.unseen_dates("language", 50).languages) == set(datasets.UNSEEN_LANGUAGES)
    assert {code for code, _ in seen} == set(datasets.DATE_LANGUAGES)
    with pytest.raises(ValueError, match="want one of form, pair, language, range"):
        datasets.unseen_dates("year")


def test_longer_strings_of_dates():
    both = datasets.unseen_dates("range", 20)
    for text, iso in zip(both.texts, both.iso, strict=True):
        halves = text.split(" - ")
        assert len(halves) == 2
        for half, day in zip(halves, iso.split("/"), strict=True):
            assert day[:4] in half
    dotted = datasets.behind_dots(dates().test, 3)
    assert dotted.texts[0] == "... " + dates().test.texts[0]
    assert dotted.iso == dates().test.iso


# Phrases.


@pytest.mark.parametrize("language", datasets.TARGETS)
def test_phrases_have_one_answer_and_one_part(language):
    parts = phrases(language)
    english = [text.lower() for part in parts for text in part.english]
    assert len(set(english)) == len(english)
    assert disjoint([translations.family(text) for text in part.english] for part in parts)
    for part in parts:
        assert len(part.english) == len(part.other) == len(part.kinds)
        assert set(part.kinds) == set(translations.KINDS)
        for text in (*part.english, *part.other):
            assert text == text.strip()
            assert text


def test_phrases_are_what_cldr_says():
    from babel import Locale

    known = {}
    for part, german in zip(phrases(), phrases("de"), strict=True):
        assert part.english == german.english
        known |= dict(zip(part.english, zip(part.other, german.other, strict=True), strict=True))
    assert known["Good morning"] == ("Buongiorno", "Guten Morgen")
    assert known["Italian Lira"] == ("lira italiana", "Italienische Lira")
    for code, column in (("it", 0), ("de", 1)):
        locale, english = Locale(code), Locale("en")
        for key in ("CH", "CI", "NZ"):
            assert known[english.territories[key]][column] == locale.territories[key]
    with pytest.raises(KeyError, match="there are it, de"):
        datasets.phrases("fr")


def test_phrases_are_as_the_card_says():
    lines = translations.rows()
    assert sum(line[0] != "everyday" for line in lines) > 0.9 * len(lines)
    names = [(line[1].lower(), line[2].lower()) for line in lines if line[0] == "language"]
    assert 0.45 < np.mean([a == b for a, b in names]) < 0.55
    assert max(len(line[1].split()) for line in lines) == 7


# Cards.


def numbers() -> dict[str, dict[str, int]]:
    """Every number of the cards, counted from the data."""

    def sizes(parts) -> dict[str, int]:
        return dict(zip(parts._fields, map(len, parts), strict=True))

    n, c, s, f = names(), chorales(), scenes(), films()
    tunes = set(music._families([m for part in c for m in part]))
    return {
        "names": {
            "languages": len(languages.LANGUAGES),
            **sizes(datasets.Parts(*(part.texts for part in n))),
            "characters": len(set("".join(n.train.texts))),
        },
        "tagging": {
            "templates": len(people.TEMPLATES),
            "cities": len(people.CITIES),
            **sizes(datasets.Parts(*(part.words for part in tagging()))),
        },
        "sentiment": {
            **sizes(datasets.Parts(*(part.words for part in sentiment()))),
            "words": len({w for words in sentiment().train.words for w in words}),
        },
        "chorales": {
            "melodies": sum(map(len, c)),
            "tunes": len(tunes),
            **sizes(c),
            "notes": sum(int((m.pitch > 0).sum()) for part in c for m in part),
        },
        "digits": sizes(datasets.Parts(*(part.y for part in digits()))),
        "cluttered": {
            **sizes(datasets.Parts(*(part.y for part in cluttered()))),
            "side": cluttered().train.x.shape[1],
        },
        "scenes": {
            **sizes(datasets.Parts(*(part.captions for part in s))),
            "captions": len({text for part in s for text in part.captions}),
        },
        "films": {
            **sizes(datasets.Parts(*(part.y[0] for part in f))),
            "frames": len(f.train.x),
            "activities": len(datasets.ACTIVITIES),
        },
        "sunspots": {
            "years": len(datasets.sunspots()[0]),
            "train": int((datasets.sunspots()[0] <= 1920).sum()),
            "test": int((datasets.sunspots()[0] > 1920).sum()),
        },
        "dinosaurs": {
            "names": len(datasets.dinosaurs()),
            "train": sum(i % 10 not in (0, 5) for i in range(len(datasets.dinosaurs()))),
        },
        "dates": {
            "languages": len(datasets.DATE_LANGUAGES),
            "ways": len(set(zip(dates().train.languages, dates().train.forms, strict=True))),
            **sizes(datasets.Parts(*(part.texts for part in dates()))),
            "characters": len(set("".join(dates().train.texts))),
        },
        "phrases": {
            "pairs": len(translations.rows()),
            "everyday": sum(kind == "everyday" for kind, *_ in translations.rows()),
            **sizes(datasets.Parts(*(part.english for part in phrases()))),
        },
        "tale": {"characters": len(datasets.tale()), "letters": len(set(datasets.tale()))},
    }


def test_cards_say_the_numbers_of_the_data():
    assert {card.name: card.numbers for card in datasets.cards()} == numbers()


def test_cards_are_complete():
    for card in datasets.cards():
        assert all(card)
        assert datasets.card(card.name) is card
        assert callable(getattr(datasets, card.name))
    with pytest.raises(KeyError, match="there are names, tagging"):
        datasets.card("nothing")


# In the jail.


def test_data_is_there_in_the_jail():
    code = (
        "from course import datasets\n"
        "print(len(datasets.names().train.texts), datasets.digits().test.x.shape)\n"
        "print(datasets.card('films').licence)"
    )
    with Zygote(torch=False, isolate=False) as zygote, zygote.submission() as submission:
        outputs = submission.cell(code)
    text = "".join(output.get("text", "") for output in outputs)
    assert f"{len(names().train.texts)} {digits().test.x.shape}" in text
    assert "the course's own" in text


# The originals: from a server on this machine.


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes()
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def captions(name: str, count: int, german: int | None = None) -> bytes:
    """An archive as Multi30k packs them: two files, and what a Mac leaves beside them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for language, lines in (("en", count), ("de", count if german is None else german)):
            for at in (f"{name}.{language}", f"._{name}.{language}"):
                text = "".join(f"{language} {n} \n" for n in range(lines)).encode()
                info = tarfile.TarInfo(at)
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text))
    return packed.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Small files in the originals' formats, served on a free port: the address and the hashes."""
    folder = tmp_path_factory.mktemp("served")
    rng = np.random.default_rng(0)
    files = {}
    for name, shape in zip(originals.MNIST, ((6, 28, 28), (6,), (3, 28, 28), (3,)), strict=True):
        files[name] = idx(rng.integers(0, 10, shape))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for place in ("train/pos/0_9", "train/neg/0_1", "test/pos/0_8", "test/neg/0_2",
                      "train/unsup/0_0"):  # fmt: skip
            text = f"a review of {place}".encode()
            info = tarfile.TarInfo(f"aclImdb/{place}.txt")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    files["reviews.tar.gz"] = packed.getvalue()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("data/names/Czech.txt", "Abl\nŽid\n")
        archive.writestr("__MACOSX/data/names/._Czech.txt", b"\0\xff")
        archive.writestr("data/eng-fra.txt", "Go.\tVa !\n")
    files["data.zip"] = packed.getvalue()
    for name, count in zip(originals.MULTI30K, (3, 2, 1), strict=True):
        files[name] = captions(name, count)
    files["lame.tar.gz"] = captions("lame", 2, german=1)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        lines = [f"Say {n}.\tDi' {n}.\tCC-BY 2.0 (France) #{n}" for n in range(60)]
        archive.writestr("ita.txt", "\n".join([*lines, "Say 7.\tDica 7.\tCC-BY 2.0", "no tab"]))
        archive.writestr("_about.txt", "About\tthis file")
    files["ita-eng.zip"] = packed.getvalue()
    for name, data in files.items():
        (folder / name).write_bytes(data)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    serving = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}/", files
    serving.shutdown()
    serving.server_close()
    thread.join()


def sha(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


def test_mnist_from_a_server(server, tmp_path):
    url, files = server
    hashes = {name: "md5:" + md5(files[name]).hexdigest() for name in originals.MNIST}
    train, test = originals.mnist(url, hashes, tmp_path)
    assert train.x.shape == (6, 28, 28)
    assert test.y.shape == (3,)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(train.x, rng.integers(0, 10, (6, 28, 28)))
    np.testing.assert_array_equal(train.y, rng.integers(0, 10, 6))


def test_reviews_from_a_server(server, tmp_path):
    url, files = server
    known = sha(files["reviews.tar.gz"])
    train, test = originals.reviews(url + "reviews.tar.gz", known, tmp_path)
    assert train.texts == ("a review of train/neg/0_1", "a review of train/pos/0_9")
    assert list(train.y) == list(test.y) == [0, 1]


def test_surnames_from_a_server(server, tmp_path):
    url, files = server
    found = originals.surnames(sha(files["data.zip"]), url + "data.zip", tmp_path)
    assert found == {"Czech": ("Abl", "Žid")}


def test_multi30k_from_a_server(server, tmp_path):
    url, files = server
    hashes = {name: sha(files[name]) for name in originals.MULTI30K}
    parts = originals.multi30k(url, hashes, tmp_path)
    assert [len(part.english) for part in parts] == [3, 2, 1]
    assert parts.train == originals.Pairs(("en 0", "en 1", "en 2"), ("de 0", "de 1", "de 2"))
    lame = {"lame.tar.gz": sha(files["lame.tar.gz"])}
    with pytest.raises(originals.DownloadError, match="of the same length"):
        originals.multi30k(url, lame, tmp_path)
    for known in originals.MULTI30K.values():
        assert re.fullmatch("sha256:[0-9a-f]{64}", known)


def test_tatoeba_from_a_server(server, tmp_path):
    url, files = server
    parts = originals.tatoeba(sha(files["ita-eng.zip"]), url + "ita-eng.zip", tmp_path)
    pairs = [pair for part in parts for pair in zip(*part, strict=True)]
    assert len(pairs) == 61
    assert disjoint(part.english for part in parts)
    assert {other for english, other in pairs if english == "Say 7."} == {"Di' 7.", "Dica 7."}
    assert ("About", "this file") not in pairs
    other = sha(files["data.zip"])
    with pytest.raises(originals.DownloadError, match="too few lines"):
        originals.tatoeba(other, url + "data.zip", tmp_path)


def test_a_file_that_is_there_needs_no_server(server, tmp_path):
    _, files = server
    (tmp_path / "data.zip").write_bytes(files["data.zip"])
    nobody = "http://127.0.0.1:9/data.zip"
    assert originals.surnames(sha(files["data.zip"]), nobody, tmp_path)


def test_downloads_say_what_went_wrong(server, tmp_path, monkeypatch):
    url, files = server
    with pytest.raises(originals.DownloadError, match="another file than expected"):
        originals.fetch(url + "data.zip", sha(b"other"), tmp_path)
    assert not (tmp_path / "data.zip").exists()
    with pytest.raises(originals.DownloadError, match=r"no connection to .* bring data\.zip by"):
        originals.fetch("http://127.0.0.1:9/data.zip", sha(files["data.zip"]), tmp_path)
    with pytest.raises(originals.DownloadError, match=r"no connection .*404"):
        originals.fetch(url + "nothing.zip", sha(b""), tmp_path)
    with pytest.raises(ValueError, match=r"want 'md5:\.\.\.'"):
        originals.fetch(url, "crc32:12", tmp_path)
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"plain text"))
    with pytest.raises(originals.DownloadError, match="no IDX file"):
        originals._idx(tmp_path / "x.gz")
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(originals.DownloadError, match="pip install pooch"):
        originals.fetch(url + "data.zip", sha(files["data.zip"]), tmp_path)
