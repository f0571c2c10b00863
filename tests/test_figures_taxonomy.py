"""Chapter 4's programs: baselines by a second method, networks that learn, figures that draw.

The full trainings run when the book is built; here each runs for a few steps.
"""

from __future__ import annotations

import io
import wave
from functools import partial

import numpy as np
import pytest
import torch
from figures import taxonomy_baselines as baselines
from figures import taxonomy_types as lab
from matplotlib.figure import Figure

from course import datasets
from course.datasets import Melody, Names, Parts, Sentences, Tagged


@pytest.fixture(scope="module")
def few() -> Parts[Names]:
    """Names of six languages, a few hundred."""
    codes = list(range(6))
    found = []
    for part, most in zip(datasets.names(), (600, 150, 150), strict=True):
        own = [i for i in range(len(part.y)) if part.y[i] in codes]
        own = own[:: max(1, len(own) // most)]
        found.append(Names(tuple(part.texts[i] for i in own), part.y[own]))
    return Parts(*found)


# Baselines.


def test_naive_bayes_is_scikit_learns(few):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    vectorizer = CountVectorizer(analyzer=partial(baselines.ngrams, longest=3))
    x = vectorizer.fit_transform(few.train.texts)
    theirs = MultinomialNB(alpha=0.2).fit(x, few.train.y)
    mine = baselines.NaiveBayes([baselines.ngrams(t, 3) for t in few.train.texts], few.train.y, 6)
    scores = mine.scores([baselines.ngrams(t, 3) for t in few.test.texts], 0.2)
    wanted = theirs.predict_joint_log_proba(vectorizer.transform(few.test.texts))
    np.testing.assert_allclose(scores, wanted, rtol=1e-10)


def test_naive_bayes_is_chosen_on_validation(few):
    chosen = baselines.naive_bayes(few, 6, longest=(1, 3), alphas=(0.1, 1000.0))
    assert chosen.setting == {"n": 3, "alpha": 0.1}
    assert chosen.score > 0.5
    # The test's labels play no part in the choice.
    other = few._replace(test=few.test._replace(y=np.roll(few.test.y, 1)))
    again = baselines.naive_bayes(other, 6, longest=(1, 3), alphas=(0.1, 1000.0))
    assert again.setting == chosen.setting
    assert again.score < chosen.score


def test_ngrams():
    assert baselines.ngrams("ab", 2) == ["^", "a", "b", "$", "^a", "ab", "b$"]


def test_logistic_regression_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    parts = datasets.sentiment((200, 50, 50))
    index = {w: i for i, w in enumerate(sorted({w for ws in parts.train.words for w in ws}))}
    x = [baselines.bags(part.words, index).double() for part in parts]
    model = baselines.logistic(x[0], torch.from_numpy(parts.train.y), 2, decay=1.0)
    # Two classes with a weight each, or one with their difference: its square counts half.
    theirs = LogisticRegression(C=2.0, tol=1e-10, max_iter=5000).fit(x[0].numpy(), parts.train.y)
    o = model(x[2])
    np.testing.assert_allclose(
        o[:, 1] - o[:, 0], theirs.decision_function(x[2].numpy()), atol=2e-4
    )  # both stop where the gradient is small, not zero


def test_no_weights_solve_two_sentences_of_the_same_words():
    words = (("although", "good", ",", "bad"), ("although", "bad", ",", "good"))
    part = Sentences(words, np.array([0, 1]))
    assert baselines.bag_of_words(Parts(part, part, part)).score == 0.5


def test_most_frequent_tag_by_hand():
    words = (("I", "met", "May"), ("May", "is", "May"), ("in", "May"), ("Rose", "left"))
    tags = tuple(map(np.array, ([0, 0, 1], [1, 0, 1], [0, 0], [1, 0])))
    train = Tagged(words, tags)
    test = Tagged((("in", "May", "Lyon"),), (np.array([0, 0, 0]),))
    (said,) = baselines.most_frequent_tag(Parts(train, train, test))
    # Once seen: I, met, is, in, left are outside, Rose is a name; so an unseen word is outside.
    np.testing.assert_array_equal(said, [0, 1, 0])


def test_bigram_bits_by_hand():
    train = [np.array([0, 1, 2, 1, 2])]
    test = [np.array([0, 1, 0])]
    chosen = baselines.bigram_bits(train, train, test, K=3, shares=(0.5,), alphas=(1.0,))
    single = np.array([0 + 1, 2 + 1, 2 + 1]) / (4 + 3)
    p = [0.5 * 1 + 0.5 * single[1], 0.5 * 0 + 0.5 * single[0]]  # 0 -> 1 always; 1 -> 0 never
    assert chosen.score == pytest.approx(-np.mean(np.log2(p)))


def test_bigram_is_a_distribution():
    """Over all next symbols the probabilities sum to 1, whatever came before."""
    train, K = [np.array([0, 1, 2, 1, 3])], 5
    for before in range(K):
        total = sum(
            2
            ** -baselines.bigram_bits(
                train, train, [np.array([before, after])], K, (0.7,), (0.1,)
            ).score
            for after in range(K)
        )
        assert total == pytest.approx(1)


def test_nearest_by_every_distance():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(20, 5)), rng.normal(size=(7, 5))
    wanted = [np.argmin([np.sum((a - b) ** 2) for b in train]) for a in test]
    np.testing.assert_array_equal(baselines.nearest(train, test), wanted)


# The machinery.


def test_batches_see_each_before_any_again():
    seen = list(lab.batches(np.random.default_rng(0), 10, 4, 5))
    assert [len(each) for each in seen] == [4] * 5
    flat = np.concatenate(seen)
    np.testing.assert_array_equal(np.sort(flat[:10]), np.arange(10))
    assert [len(each) for each in lab.batches(np.random.default_rng(0), 3, 8, 2)] == [3, 3]


def test_reader_does_not_see_padding():
    torch.manual_seed(0)
    for both in (False, True):
        reader = lab.Reader(9, 4, 5, both=both).double().eval()
        x = torch.tensor([[3, 4], [5, 6], [7, 0], [8, 0]])
        h, last = reader(x, torch.tensor([4, 2]))
        alone, last_alone = reader(x[:2, 1:], torch.tensor([2]))
        torch.testing.assert_close(h[:2, 1:], alone)
        torch.testing.assert_close(last[1:], last_alone)
        assert h.shape == (4, 2, reader.features)
        assert not h[2:, 1].any()


def test_batch_is_cut_to_its_longest():
    data = lab.Coded(torch.ones(9, 3, dtype=int), torch.tensor([9, 2, 3]), torch.arange(3))
    batch = data.batch(np.array([1, 2]))
    assert batch.x.shape == (3, 2)
    assert batch.y.tolist() == [1, 2]


def test_margin_knows_which_way_is_better():
    result = lab.Result("", "", "", 2.0, 3.0, "", "lower", 0, 0.0, 0, 0)
    assert result.margin == 1.0
    assert result._replace(better="higher").margin == -1.0


def test_agreement_by_hand():
    said = [np.array([1, 2, 0, 1]), np.array([0, 1])]
    true = [np.array([1, 2, 0, 0]), np.array([1, 1])]
    found = lab.agreement(said, true)
    assert found.tokens == pytest.approx(4 / 6)
    assert found.precision == pytest.approx(2 / 3)  # (0, 2) and (1, 2) of three
    assert found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 / 3)


def test_melodies_are_written_and_understood():
    melody = datasets.chorales().test[0]
    again = lab.understood(lab.written(melody), melody.name, melody.final)
    np.testing.assert_array_equal(again.pitch, melody.pitch)
    np.testing.assert_array_equal(again.duration, melody.duration)


def test_audio_has_the_right_length_and_pitch():
    melody = Melody("a", 9, np.array([69, 0]), np.array([2.0, 1.0]))  # A for 1 s, rest for 1/2 s
    with wave.open(io.BytesIO(lab.audio(melody, rate=8000, tempo=120))) as file:
        assert file.getframerate() == 8000
        signal = np.frombuffer(file.readframes(file.getnframes()), dtype=np.uint8) - 128.0
    assert len(signal) == 12_000
    spectrum = np.abs(np.fft.rfft(signal[:8000]))
    assert spectrum.argmax() == 440
    assert np.abs(signal[8000:]).max() <= 1


def test_composer_composes_the_same_and_stops():
    torch.manual_seed(0)
    composer = lab.Composer(20, E=4, H=6).eval()
    one, two = (composer.sample(0, seed=5, longest=30) for _ in range(2))
    assert torch.equal(one, two)
    assert len(one) <= 30
    assert (one > 1).all()  # no padding, nothing unknown
    if len(one) < 30:
        assert one[-1] == 2


def test_composer_feeds_its_own_notes_back():
    """The step-by-step states of `sample` are those of one run over the whole melody."""
    torch.manual_seed(1)
    composer = lab.Composer(12, E=4, H=6).double().eval()
    notes = composer.sample(9, seed=2, longest=8)
    before = torch.cat([torch.ones(1, dtype=torch.long), notes[:-1]])[:, None]
    whole, _ = composer(torch.tensor([9]), before)
    h, steps = None, []
    for note in before:
        o, h = composer(torch.tensor([9]), note[None], h)
        steps.append(o)
    torch.testing.assert_close(whole, torch.cat(steps))


# A little training.


def small(name: str, *sizes: int):
    return partial(getattr(datasets, name), sizes)


def test_digit_network_learns():
    untrained, trained = (lab.train_digit(steps=steps) for steps in (2, 200))
    assert untrained.score < 0.5 < 0.85 < trained.score
    assert 0.85 < trained.baseline < 0.95
    assert trained.parameters == 64 * 64 + 64 + 640 + 10


def test_language_network_learns(few, monkeypatch):
    monkeypatch.setattr(datasets, "names", lambda: few)
    data = lab.train_language(steps=60)
    assert data.result.score > 0.35  # by chance 1 in 6
    assert data.confusion.sum() == len(few.test.y)
    assert np.trace(data.confusion) / data.confusion.sum() == pytest.approx(data.result.score)


def test_sentiment_network_learns_what_bags_cannot(monkeypatch):
    monkeypatch.setattr(datasets, "sentiment", small("sentiment", 1500, 100, 200))
    result = lab.train_sentiment(steps=250)
    assert result.score > 0.85
    assert result.baseline < 0.65


def test_tagger_needs_both_directions(monkeypatch):
    monkeypatch.setattr(datasets, "tagging", small("tagging", 4000, 50, 300))
    data = lab.train_tagger(steps=150)
    assert data.both.f1 > 0.97
    assert data.forward.f1 < 0.93
    assert data.frequent.f1 < 0.8


def test_activity_network_learns_more_than_frames_show(monkeypatch):
    monkeypatch.setattr(datasets, "films", small("films", 300, 5, 50))
    data = lab.train_activity(steps=150)
    assert data.result.score > data.result.baseline + 0.1
    assert data.result.parameters < lab.count(lab.framewise(256, 6, 112))


def test_music_network_learns(monkeypatch):
    parts = datasets.chorales()
    few = Parts(parts.train[:40], parts.validation[:8], parts.test[:8])
    monkeypatch.setattr(datasets, "chorales", lambda: few)
    one, two = (lab.train_music(steps=steps) for steps in (2, 80))
    assert two.result.score < one.result.score - 1
    assert two.result.baseline == one.result.baseline
    for melody in two.composed:
        assert (melody.duration > 0).all()


def test_every_figure_draws(monkeypatch, few):
    monkeypatch.setattr(datasets, "films", small("films", 4, 2, 2))
    rng = np.random.default_rng(0)
    result = lab.Result("", "", "", 0.0, 0.0, "", "higher", 1, 0.0, 0, 1)
    tunes = datasets.chorales().test[:3]
    drawn = [
        lab.draw_language(lab.Languages(result, rng.integers(1, 9, (30, 30)))),
        lab.draw_music(lab.Music(result, tunes[0], tunes[1:])),
        lab.draw_activity(lab.train_activity(steps=2)),
    ]
    for figure in drawn:
        assert isinstance(figure, Figure)
        assert figure.axes
        lab.plt.close(figure)


def test_tables():
    result = lab.Result("t", "u", "v", 0.5, 0.25, "w", "higher", 1234, 2.0, 0, 1)
    (row,) = lab.table_results([result]).rows
    assert row == ["t", "u", "v", "0.500", "0.250", "w", "+0.250", "1,234", "2 s"]
    cards = lab.table_cards()
    assert [row[0] for row in cards.rows] == [card.name for card in datasets.cards()]
    assert "16,412 train" in cards.rows[0][4]
