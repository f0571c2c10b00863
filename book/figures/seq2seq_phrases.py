"""Chapter 6: English into Italian and German by a small network of characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from sacrebleu.metrics import BLEU, CHRF

from course import datasets
from course.datasets import Phrases
from figures.kept import kept
from figures.seq2seq import (
    BEGIN,
    END,
    Translator,
    right,
    texts,
    train,
    translate,
)
from figures.tables import Table
from solutions.seq2seq import beam_search, greedy


class Score(NamedTuple):
    """How good some translations are: share exactly right; BLEU and chrF of sacrebleu, 0 to 100."""

    exact: float
    bleu: float
    chrf: float


def score(found: Sequence[str], wanted: Sequence[str]) -> Score:
    """Score translations against one reference each, capitals counted."""
    references = [list(wanted)]
    return Score(
        float(right(found, wanted).mean()),
        BLEU().corpus_score(list(found), references).score,
        CHRF().corpus_score(list(found), references).score,
    )


class Example(NamedTuple):
    """One phrase of the test: its kind, English, what the network says, what is right."""

    kind: str
    english: str
    said: str
    true: str


class Translated(NamedTuple):
    """One language: the network, its scores beside the baselines', and what it said.

    language; translator; validation, test :
    the network's; copy, nearest : the baselines', on the test; train : the network's on 200
    phrases that it learnt from; kinds : by kind, the share exactly right and that of copying;
    examples : every phrase of the test
    """

    language: str
    translator: Translator
    validation: Score
    test: Score
    copy: Score
    nearest: Score
    train: Score
    kinds: dict[str, tuple[float, float]]
    examples: list[Example]


def trigrams(text: str) -> set[str]:
    """Return the runs of three letters of a text, its ends marked."""
    marked = f"  {text.lower()} "
    return {marked[i : i + 3] for i in range(len(marked) - 2)}


def nearest_phrases(english: Sequence[str], known: Phrases) -> list[str]:
    """Return, for each text, the translation of the training phrase most alike in trigrams."""
    listed = [trigrams(text) for text in known.english]
    found = []
    for text in english:
        mine = trigrams(text)
        alike = [2 * len(mine & other) / (len(mine) + len(other)) for other in listed]
        found.append(known.other[int(np.argmax(alike))])
    return found


def copies(english: Sequence[str], known: Phrases) -> list[str]:
    """Return the texts themselves, in lower case if that is more often right in training."""
    small = right([text.lower() for text in known.english], known.other).mean()
    as_is = right(known.english, known.other).mean()
    return [text.lower() for text in english] if small > as_is else list(english)


def train_phrases(
    language: str, steps: int = 900, seed: int = 0, device: str | None = None
) -> Translator:
    """Train on phrases with additive attention and 96 units, some source letters struck out."""
    part = datasets.phrases(language).train
    return train(
        part.english, part.other, steps, seed, embed=48, hidden=96, lr=8e-3, size=32,
        decay=0.05, hidden_share=0.05, device=device,
    )  # fmt: skip


@kept
def phrases(language: str, translator: Translator | None = None) -> Translated:
    """Train on one language, and compare with copying and with the nearest phrase."""
    translator = translator or train_phrases(language)
    parts = datasets.phrases(language)

    def answers(english: Sequence[str]) -> list[str]:
        return texts(translate(translator, english))

    test, found = parts.test, answers(parts.test.english)
    kinds = np.array(test.kinds)
    copied = copies(test.english, parts.train)
    good, same = right(found, test.other), right(copied, test.other)
    return Translated(
        language,
        translator,
        score(answers(parts.validation.english), parts.validation.other),
        score(found, test.other),
        score(copied, test.other),
        score(nearest_phrases(test.english, parts.train), test.other),
        score(answers(parts.train.english[::7]), parts.train.other[::7]),
        {k: (float(good[kinds == k].mean()), float(same[kinds == k].mean()))
         for k in dict.fromkeys(test.kinds)},
        [Example(*each) for each in zip(test.kinds, test.english, found, test.other, strict=True)],
    )  # fmt: skip


def table_phrases(found: Sequence[Translated]) -> Table:
    """Return the scores of each language's network and of its baselines."""
    rows = []
    for data in found:
        into = datasets.TARGETS[data.language]
        rows += [
            [into, who, f"{s.exact:.0%}", f"{s.bleu:.0f}", f"{s.chrf:.0f}"]
            for who, s in (
                ("copy the English", data.copy),
                ("the nearest training phrase's", data.nearest),
                ("network, greedy", data.test),
                ("network, validation", data.validation),
                ("network, on phrases it learnt", data.train),
            )
        ]
    return Table(["into", "who", "exactly right", "BLEU", "chrF"], rows)


def table_kinds(found: Sequence[Translated]) -> Table:
    """Return the shares exactly right by kind, the network's beside those of copying."""
    rows = [
        [kind, *(f"{share:.0%}" for data in found for share in data.kinds[kind])]
        for kind in found[0].kinds
    ]
    head = [
        f"{datasets.TARGETS[data.language]}, {who}" for data in found for who in ("network", "copy")
    ]
    return Table(["kind", *head], rows)


def table_examples(data: Translated, each: int = 6) -> Table:
    """Return test phrases: new ones that are right, though copying is wrong, and wrong ones.

    The first of each kind in turn, in the order of the test, so nobody has picked them.
    """
    rows = []
    for wanted in (True, False):
        chosen = [e for e in data.examples if (e.said == e.true) == wanted and e.english != e.true]
        turn: list[tuple[int, Example]] = []
        for kind in dict.fromkeys(e.kind for e in chosen):
            turn += enumerate(e for e in chosen if e.kind == kind)
        turn.sort(key=lambda pair: pair[0])
        rows += [[e.kind, e.english, e.said, "✓" if wanted else e.true] for _, e in turn[:each]]
    return Table(["kind", "English", "the network says", "right"], rows)


# ------------------------------------------------------------------------------------------- beams


class Beam(NamedTuple):
    """What a beam finds on some phrases.

    width; penalty; logp : mean log-probability of its translations; better, worse : how many have
    a higher and a lower one than greedy search's; score; length : mean, in characters; calls : of
    the decoder, for one phrase
    """

    width: int
    penalty: float
    logp: float
    better: int
    worse: int
    score: Score
    length: float
    calls: float


Step = Callable[[tuple[int, ...], int], tuple[tuple[int, ...], np.ndarray]]


def remembering(step: Callable, start: object) -> Step:
    """Return the same step, with the symbols so far as its state; none is computed twice."""
    known: dict[tuple[int, ...], tuple[object, np.ndarray]] = {}

    def remembered(before: tuple[int, ...], symbol: int) -> tuple[tuple[int, ...], np.ndarray]:
        now = (*before, symbol)
        if now not in known:
            known[now] = step(known[before][0] if before else start, symbol)
        return now, known[now][1]

    return remembered


def logp_of(step: Step, y: Sequence[int]) -> float:
    """Return the log-probability of a sequence, symbol by symbol."""
    total, state = 0.0, ()
    for before, symbol in zip([BEGIN, *y[:-1]], y, strict=True):
        state, log_p = step(state, before)
        total += float(log_p[symbol])
    return total


def beams(
    translator: Translator,
    part: Phrases,
    widths: Sequence[int] = (1, 2, 4),
    penalties: Sequence[float] = (0.0, 1.0),
    limit: int = 60,
) -> list[Beam]:
    """Translate a part with beams of several widths and length penalties, and greedily."""
    translator.model.eval()
    steps = []
    for english in part.english:
        x = torch.from_numpy(translator.source.encode([english])[0][:, 0])
        steps.append(remembering(*translator.model.starter(x)))
    plain = np.array([greedy(step, (), BEGIN, translator.end, limit)[1] for step in steps])
    return [
        _beam(translator, part, steps, plain, width, penalty, limit)
        for penalty in penalties
        for width in widths
    ]


def _beam(
    translator: Translator,
    part: Phrases,
    steps: Sequence[Step],
    plain: np.ndarray,
    width: int,
    penalty: float,
    limit: int,
) -> Beam:
    calls, logp, found = 0, [], []
    for step in steps:

        def counted(state: tuple[int, ...], symbol: int, step: Step = step) -> tuple:
            nonlocal calls
            calls += 1
            return step(state, symbol)

        y, _ = beam_search(counted, (), BEGIN, translator.end, width, limit, penalty)
        logp.append(logp_of(step, y))
        found.append("".join(translator.target.decode(np.array(y))).removesuffix(END))
    gain = np.array(logp) - plain
    return Beam(
        width, penalty, float(np.mean(logp)), int((gain > 1e-4).sum()), int((gain < -1e-4).sum()),
        score(found, part.other), float(np.mean([len(text) for text in found])), calls / len(steps),
    )  # fmt: skip


def table_beams(found: Sequence[Beam]) -> Table:
    """Return the table of `beams`."""
    rows = [
        [b.width, f"{b.penalty:g}", f"{b.logp:.2f}".replace("-", "−"), f"{b.better} / {b.worse}",
         f"{b.score.exact:.1%}", f"{b.score.chrf:.1f}", f"{b.length:.1f}", f"{b.calls:.0f}"]
        for b in found
    ]  # fmt: skip
    return Table(
        ["width", "penalty γ", "mean log p", "likelier / less likely than greedy", "exactly right",
         "chrF", "characters", "decoder steps a phrase"],
        rows,
    )  # fmt: skip
