"""The experiments of chapter 6, by their numbers: what the prose says is what the data says.

Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from figures import seq2seq as lab
from figures import seq2seq_corpus as corpora
from figures import seq2seq_films as films
from figures import seq2seq_lengths as lengths
from figures import seq2seq_phrases as phrases
from figures import seq2seq_scan as scans

from course import datasets
from course.datasets import Vocabulary, originals
from solutions.seq2seq import beam_search, bleu, greedy, masked_cross_entropy

ROOT = Path(__file__).resolve().parent.parent

# ------------------------------------------------------------------------------ what they share

TOY = ("ab", "b", "abba", "baa", "a", "bb")


@pytest.fixture(scope="module")
def toy():
    """A network that has hardly learnt to say a string twice."""
    return lab.train(TOY, [each * 2 for each in TOY], steps=30, hidden=8, embed=4)


def test_pairs_are_cut_to_their_batch(toy):
    pairs = lab.numbered(toy.source, toy.target, TOY, TOY, torch.device("cpu"))
    assert pairs.x.shape == (4, 6)
    assert pairs.y.shape == (5, 6)
    batch = pairs.batch(np.array([1, 0]))
    assert batch.lengths.tolist() == [1, 2]
    assert batch.x.shape == (2, 2)
    assert batch.y.shape == (3, 2)
    assert lab.texts(lab.said(pairs.y, toy.target)) == list(TOY)


def test_loss_is_the_mean_of_the_real_symbols(toy):
    """(6.17), by NumPy; padding more changes nothing."""
    pairs = lab.numbered(toy.source, toy.target, TOY, TOY, torch.device("cpu"))
    with torch.no_grad():
        o, _ = toy.model(pairs.x, pairs.lengths, torch.zeros_like(pairs.lengths), pairs.y)
        loss = float(lab.loss_of(toy.model, pairs))
        longer = pairs._replace(y=torch.cat([pairs.y, torch.zeros_like(pairs.y)]))
        assert float(lab.loss_of(toy.model, longer)) == pytest.approx(loss, rel=1e-6)
    y = pairs.y.numpy()
    want, _ = masked_cross_entropy(o.double().numpy(), y, (y > 0) * 1.0)
    assert loss == pytest.approx(want, rel=1e-5)


def test_a_batch_is_translated_as_each_alone_is(toy):
    """A batch with padding against greedy search over one sequence without, and a beam of 1."""
    found = lab.translate(toy, TOY, limit=9, size=4)
    for text, mine in zip(TOY, found, strict=True):
        x = torch.from_numpy(toy.source.encode([text])[0][:, 0])
        step, state = toy.model.starter(x)
        alone, _ = greedy(step, state, lab.BEGIN, toy.end, 9)
        assert beam_search(step, state, lab.BEGIN, toy.end, 1, 9, 0.0)[0] == alone
        assert tuple(s for s in toy.target.decode(np.array(alone)) if s != lab.END) == mine


def test_struck_symbols_are_unknown_ones():
    """With every symbol struck, a network can't tell its sources apart."""
    blind = lab.train("ab", ["x", "yy"], steps=60, hidden=8, embed=4, hidden_share=1.0)
    x = torch.full((1, 2), Vocabulary.UNKNOWN)
    one = torch.ones(2, dtype=torch.int64)
    y = torch.tensor([[3, 4]])
    with torch.no_grad():
        o, _ = blind.model(x, one, 0 * one, y)
    assert torch.equal(o[:, 0], o[:, 1])
    unseen = lab.numbered(blind.source, blind.target, "c", ["x"], torch.device("cpu"))
    assert unseen.x.tolist() == [[Vocabulary.UNKNOWN]]


def test_attention_is_kept_for_each_symbol_said(toy):
    looked = lab.look(toy, "abb")
    assert looked.alpha.shape == (len(looked.said) + 1, 3)
    np.testing.assert_allclose(looked.alpha.sum(1), 1, rtol=1e-5)
    lab.plt.close(lab.draw_maps([looked], (1, 1)))


def test_cards_are_shown_whole():
    shown = lab.table_card("phrases")
    assert [row[0] for row in shown.rows] == [
        "what", "source", "licence", "numbers", "split", "bad at",
    ]  # fmt: skip
    assert "1,375 train" in shown.rows[3][1]
    assert all(row[1] for row in shown.rows)


# ------------------------------------------------------------------------------------------ dates


def test_a_date_without_its_month():
    assert lab.but_month("1987-06-05") == "1987-05"
    assert lab.but_month("1987-06-05") == lab.but_month("1987-12-05")
    assert lab.but_month("1987-06-05") != lab.but_month("1987-06-15")


@pytest.fixture(scope="module")
def dates():
    return lab.dates()


def test_names_of_months_are_as_many_as_the_page_says():
    """Words of training that come in one month only, whatever their case, in some language."""
    part, months = datasets.dates().train, {}
    for text, iso, language in zip(part.texts, part.iso, part.languages, strict=True):
        for word in re.findall(r"[^\W\d_]+", text.lower()):
            months.setdefault((word, language), []).append(iso[5:7])
    names = {word for (word, _), each in months.items() if len(each) > 4 and len(set(each)) == 1}
    page = (ROOT / "book/06-seq2seq.md").read_text(encoding="utf-8")
    assert f"only digits and {len(names)} names of months" in page


def test_dates_are_right_on_days_held_out(dates):
    assert len(dates.languages) == 14
    assert min(dates.validation, dates.test) >= 0.995
    assert min(dates.languages.values()) > 0.97
    # The table's test share is that of the languages, by how often each occurs.
    codes = datasets.dates().test.languages
    assert dates.test == pytest.approx(np.mean([dates.languages[code] for code in codes]))
    assert len(lab.table_dates(dates).rows) == 9


def test_ways_that_training_has_not(dates):
    """What the page says of pairs, of a form, and of two languages."""
    for pair in (("it", "long"), ("nl", "long")):
        assert dates.pairs[pair][0] > 0.97
    polish = dates.pairs["pl", "medium"]
    assert polish[0] < 0.9
    assert polish[1] > 0.97
    assert 0.85 < dates.unseen["form"] < 0.995
    (catalan, catalan_rough), (basque, basque_rough) = dates.foreign.values()
    assert catalan_rough > 0.97
    assert 0.5 < catalan < 0.95
    assert basque < 0.3
    assert basque_rough < 0.85
    for whole, rough in (*dates.pairs.values(), *dates.foreign.values()):
        assert whole <= rough
    assert len(lab.table_ways(dates).rows) == 6


def test_catalan_fails_at_the_apostrophe_and_polish_at_four_months(dates):
    """What the page says of single months; all else in Catalan is right."""

    def answers(what, language):
        part = datasets.unseen_dates(what)
        mine = [i for i, each in enumerate(part.languages) if each == language]
        texts, iso = ([each[i] for i in mine] for each in (part.texts, part.iso))
        return texts, iso, lab.texts(lab.translate(dates.translator, texts, limit=30))

    assert not any("’" in text for text in datasets.dates().train.texts)
    texts, iso, found = answers("language", "ca")
    elided = np.array(["’" in text for text in texts])
    assert {day[5:7] for day, each in zip(iso, elided, strict=True) if each} == {"04", "08", "10"}
    good = lab.right(found, iso)
    assert good[~elided].mean() > 0.98
    assert good[elided].mean() < 0.05
    assert np.mean([found[i][5:7] == "12" for i in np.flatnonzero(elided)]) > 0.9

    texts, iso, found = answers("pair", "pl")
    months = {}
    for text, day, each in zip(texts, iso, found, strict=True):
        months.setdefault(text.split()[1], []).append((each == day, each[5:7]))
    never = {name for name, each in months.items() if not any(good for good, _ in each)}
    assert never == {"gru", "lis", "paź", "sty"}
    assert len(months) == 12
    assert all(good for name, each in months.items() if name not in never for good, _ in each)
    assert {month for _, month in months["lis"]} == {"07"}


def test_longer_strings_are_wrong_without_practice(dates):
    assert dates.unseen["range"] == 0
    assert dates.first < 0.5
    ten = lab.DOTS.index(lab.PRACTICE)
    assert dates.dots[0] == dates.test
    assert dates.dots[lab.DOTS.index(2)] < 0.8
    assert dates.dots[ten] < 0.3
    assert dates.practised[: ten + 1].min() > 0.98
    assert dates.practised[lab.DOTS.index(30)] > 0.95
    assert 0.7 < dates.practised[-1] < 0.95
    lab.plt.close(lab.draw_dots(dates))
    assert [row[0] for row in lab.table_wrong(dates).rows][::3] == [*dates.unseen]
    for _, _, found, true in lab.table_wrong(dates).rows:
        assert found != true


def test_attention_finds_the_year(dates):
    assert dates.looks > 0.6 > 2 * dates.chance
    assert {looked.said for looked in dates.maps} == {iso for _, _, iso in lab.MAPPED}
    for looked in dates.maps:
        assert looked.source not in datasets.dates().train.texts
    lab.plt.close(lab.draw_maps(dates.maps))


# ---------------------------------------------------------------------------------------- phrases


def test_bleu_is_the_chapters_where_there_is_enough_to_count():
    """sacrebleu's number against exercise 6.10, on sentences that need no smoothing."""
    found = ["the old man had a red boat and a dog", "the sea was cold and still today"]
    wanted = ["the old man had a red boat and a bird", "the sea was round and still today"]
    want = bleu([f.split() for f in found], [[w.split()] for w in wanted])
    assert phrases.score(found, wanted).bleu == pytest.approx(100 * want, rel=1e-9)
    perfect = phrases.score(wanted, wanted)
    assert perfect == pytest.approx((1.0, 100.0, 100.0))


def test_baselines_of_phrases():
    known = datasets.Phrases(
        ("Swiss Franc", "Italian", "Cuba"), ("franco svizzero", "italian", "cuba"), ("x",) * 3
    )
    assert phrases.trigrams("Ab") == {"  a", " ab", "ab "}
    assert phrases.nearest_phrases(["French Franc", "Italia"], known) == [
        "franco svizzero",
        "italian",
    ]
    assert phrases.copies(["Peru"], known) == ["peru"]
    assert phrases.copies(["Peru"], known._replace(other=("a", "Italian", "Cuba"))) == ["Peru"]


def test_a_step_that_remembers_is_the_same_step(toy):
    x = torch.from_numpy(toy.source.encode(["abba"])[0][:, 0])
    step, state = toy.model.starter(x)
    remembered = phrases.remembering(step, state)
    want, logp = greedy(step, state, lab.BEGIN, toy.end, 9)
    for _ in range(2):  # the second time from memory
        found = greedy(remembered, (), lab.BEGIN, toy.end, 9)
        assert found[0] == want
        assert found[1] == pytest.approx(logp, rel=1e-6)
    assert phrases.logp_of(remembered, want) == pytest.approx(logp, rel=1e-6)


def test_a_beam_of_one_is_greedy_search(toy):
    part = datasets.Phrases(TOY, tuple(each * 2 for each in TOY), ("toy",) * len(TOY))
    one, wide = phrases.beams(toy, part, widths=(1, 3), penalties=(0.0,), limit=9)
    assert (one.width, one.better, one.worse) == (1, 0, 0)
    assert one.score.exact == np.mean(
        lab.right(lab.texts(lab.translate(toy, TOY, limit=9)), part.other)
    )
    assert one.calls < wide.calls <= 3 * 9
    assert len(phrases.table_beams([one, wide]).rows) == 2


@pytest.fixture(scope="module")
def italian():
    return phrases.phrases("it")


@pytest.fixture(scope="module")
def german():
    return phrases.phrases("de")


@pytest.mark.parametrize("language", datasets.TARGETS)
def test_phrases_against_their_baselines(language, request):
    data = request.getfixturevalue(datasets.TARGETS[language].lower())
    assert data.test.chrf > max(data.copy.chrf, data.nearest.chrf)
    assert data.nearest.exact < 0.02
    assert data.train.exact > 1.8 * data.test.exact
    assert data.kinds["everyday"] == (0, 0)
    for kind in ("time zone", "unit"):
        assert data.kinds[kind][0] > data.kinds[kind][1] == 0
    assert data.kinds["territory"][0] < 0.5
    exact = np.mean([e.said == e.true for e in data.examples])
    assert exact == pytest.approx(data.test.exact)
    for kind, english, found, true in phrases.table_examples(data).rows:
        (example,) = [e for e in data.examples if e.english == english]
        assert (kind, found) == (example.kind, example.said)
        assert true == ("✓" if found == example.true else example.true)


def test_italian_and_german_differ_as_the_page_says(italian, german):
    assert italian.test.exact < italian.copy.exact
    assert italian.kinds["language"][0] < italian.kinds["language"][1]
    assert 0.4 < italian.kinds["language"][1] < 0.6
    assert german.test.exact > 1.5 * italian.test.exact
    assert german.test.chrf > italian.test.chrf
    assert german.kinds["time zone"][0] > 3 * italian.kinds["time zone"][0]
    known, _, test = datasets.phrases("it")
    assert len(known.english) == 1375
    assert (known.kinds.count("everyday"), test.kinds.count("everyday")) == (122, 15)
    assert dict(zip(*known[:2], strict=True))["Good evening"] == "Buonasera"
    assert dict(zip(*test[:2], strict=True))["Good night"] == "Buonanotte"
    assert not any("notte" in text.lower() for text in known.other)
    assert len(phrases.table_phrases([italian, german]).rows) == 10
    assert len(phrases.table_kinds([italian, german]).rows) == 6


def test_beams_find_likelier_ones_and_hardly_better_ones(italian):
    found = phrases.beams(italian.translator, datasets.phrases("it").test)
    by = {(b.width, b.penalty): b for b in found}
    for penalty in (0, 1):
        one, two, four = (by[width, penalty] for width in (1, 2, 4))
        assert one.logp < two.logp < four.logp
        assert (one.better, one.worse) == (0, 0)
        assert max(abs(b.score.exact - one.score.exact) for b in (two, four)) < 0.03
        assert 9 < four.calls / one.calls < 14
    assert by[4, 0].length < by[1, 0].length - 0.5
    assert abs(by[4, 1].length - by[1, 1].length) < 0.5
    assert by[4, 0].logp > by[4, 1].logp
    assert by[4, 1].worse > by[4, 0].worse
    assert by[4, 1].score.chrf > by[1, 1].score.chrf
    assert by[1, 0].score == italian.test
    assert len(phrases.table_beams(found).rows) == 6


# ---------------------------------------------------------------------------------------- lengths


def test_strings_and_their_reading():
    rng = np.random.default_rng(0)
    found = lengths.strings(rng, np.array([3, 1, 5]))
    assert list(map(len, found)) == [3, 1, 5]
    assert set("".join(found)) <= set(lengths.LETTERS)
    assert lengths.read(["abc"], True) == ["cba"]
    assert lengths.read(["abc"], False) == ["abc"]


@pytest.fixture(scope="module")
def copied():
    return lengths.measure()


def test_a_fixed_context_loses_with_length_and_attention_does_not(copied):
    at = {n: i for i, n in enumerate(copied.lengths)}
    errors = {way: found.mean(0) for way, found in copied.errors.items()}
    for way in ("last", "last, source reversed", "mean"):
        assert errors[way][at[4]] < 0.05
        assert errors[way][at[16]] > 0.4
        assert copied.exact[way].mean(0)[at[12]] < 0.05
    assert errors["last, source reversed"][at[8]] < 0.8 * errors["last"][at[8]]
    assert abs(errors["last, source reversed"][at[16]] - errors["last"][at[16]]) < 0.05
    assert (errors["mean"] < errors["last"] + 0.03).all()
    assert errors["additive"][: at[16] + 1].max() < 0.05
    assert errors["additive"][at[16]] < 0.5 * errors["dot"][at[16]] < 0.25
    assert errors["additive"][at[24]] > 0.2
    lengths.plt.close(lengths.draw(copied))
    assert len(lengths.table(copied).rows) == 5


# ------------------------------------------------------------------------------------------ films


def test_runs_are_what_itertools_groups():
    part = datasets.films((1, 1, 40)).test
    for y, done in zip(part.y.T, films.told(part), strict=True):
        grouped = [(datasets.ACTIVITIES[k], len(list(g))) for k, g in itertools.groupby(y)]
        assert done == tuple(name for name, _ in grouped)
        spans = films.runs(y)[1]
        assert [b - a for a, b in spans] == [n for _, n in grouped]
        assert (spans[0][0], spans[-1][1]) == (0, len(y))


def test_films_are_told_and_looked_at():
    data = films.measure()
    assert data.lengths == (4, 8)
    assert data.exact["network"] > 0.35 > 0.05 > max(
        share for who, share in data.exact.items() if who != "network"
    )  # fmt: skip
    assert data.errors["network"] < 0.2 < 0.5 < min(
        share for who, share in data.errors.items() if who != "network"
    )  # fmt: skip
    assert data.looks > 3 * data.chance
    np.testing.assert_allclose(data.alpha.sum(1), 1, rtol=1e-5)
    assert data.spans[-1][1] == len(data.film) == 24
    films.plt.close(films.draw(data))
    assert len(films.table(data).rows) == 3


# ------------------------------------------------------------------------------------ cost, scan


def test_multiply_adds_are_the_weights():
    """What a step without attention multiplies are the weights of its cell and its output."""
    (step,) = scans.attention_cost((5,), B=2, H=6, K=7, rounds=1)
    model = scans.Seq2Seq(7, 7, 6, 6, "dot")
    matrices = (model.cell.weight_ih, model.cell.weight_hh, model.output.weight)
    assert step.products[1] == 2 * sum(w.numel() for w in matrices)
    assert step.products[0] == 2 * (5 * 2 * 6)  # keys by query, weights by values
    assert len(scans.table_attention([step]).rows) == 1


def test_attention_costs_more_than_the_rest_from_some_length_on():
    found = scans.attention_cost((256, 1024), rounds=1)
    assert found[0].products[0] < found[0].products[1]
    assert found[1].products[0] > 3 * found[1].products[1]


def test_scan_and_loop_are_the_same_layer():
    found = scans.scan_cost((3, 64, 100), B=2, H=4, rounds=1)
    assert max(s.error for s in found) < 1e-13
    assert [s.sweeps for s in found] == [2, 6, 7]
    assert len(scans.table_scan(found).rows) == 3


def test_a_gru_turns_its_state_around_and_a_mingru_does_not():
    data = scans.flips()
    assert data.right == data.scanned == 1
    assert data.gru < -0.5
    assert 0 < data.mingru[0] < data.mingru[1] < 1


# ----------------------------------------------------------------------------------------- corpus


def small_corpus(*_, **__) -> datasets.Parts[originals.Pairs]:
    lines = [
        f"the {a} sees the {b} ." for a, b in itertools.permutations(["cat", "dog", "bird"], 2)
    ]
    german = [line.replace("the", "das").replace("sees", "sieht") for line in lines]
    part = originals.Pairs(tuple(lines), tuple(german))
    return datasets.Parts(part, part, part)


def test_words_and_short_pairs():
    assert corpora.words("Hello, World!") == ("hello", ",", "world", "!")
    part = originals.Pairs(("one two three", "one", ""), ("eins", "eins", "x"))
    assert corpora.shorter(part, 2) == originals.Pairs(("one",), ("eins",))


def test_training_on_a_corpus_from_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(originals, "multi30k", small_corpus)
    sizes = ["--hidden", "32", "--least", "1", "--device", "cpu"]
    begun = corpora.main(["multi30k", "--steps", "2", *sizes])
    learnt = corpora.main(["multi30k", "--steps", "300", *sizes])
    assert learnt.test == learnt.validation > 90 > 50 > begun.test
    assert "BLEU: validation" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        corpora.main(["tatoeba"])
    assert "--hash sha256:" in capsys.readouterr().err
    monkeypatch.setattr(originals, "tatoeba", small_corpus)
    assert corpora.main(["tatoeba", "--hash", "sha256:1", "--steps", "2", *sizes]).examples
