"""Chapter 6: what the networks of `solutions.seq2seq` do with dates.

What the chapter's other experiments share stands here, too: texts as numbers, training, and
translating.  Phrases, lengths, films, and the cost of attention have modules of their own.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.functional import cross_entropy

from course import datasets, figures
from course.datasets import Vocabulary
from figures.kept import kept
from figures.tables import Table
from figures.taxonomy_types import device_of, fit
from solutions.seq2seq import Seq2Seq

BLUE, VERMILION, GREEN = (figures.PALETTE[name] for name in ("blue", "vermilion", "green"))
PURPLE, OCHRE, SKY = (figures.PALETTE[name] for name in ("purple", "ochre", "sky"))

BEGIN = Vocabulary.PAD
"""What goes into the decoder first; a target never has it before its end."""

END = "\n"
"""The symbol that ends a target."""

Symbols = Sequence[str]


# ----------------------------------------------------------------------- what all experiments do


class Pairs(NamedTuple):
    """Sources and targets as numbers, on a device.

    x : (T, N), int64, or (T, N, D), floats; lengths : (N,), int64; y : (S, N), int64, each
    target with its end, then padding
    """

    x: torch.Tensor
    lengths: torch.Tensor
    y: torch.Tensor

    def batch(self, chosen: np.ndarray) -> Pairs:
        """Take some of the pairs, as long as the longest of them."""
        i = torch.from_numpy(chosen).to(self.y.device)
        lengths, y = self.lengths[i], self.y[:, i]
        return Pairs(self.x[: int(lengths.max()), i], lengths, y[: int((y != 0).sum(0).max())])


class Translator(NamedTuple):
    """A trained network, the vocabularies of both sides, and the processor's seconds it took."""

    model: Seq2Seq
    source: Vocabulary
    target: Vocabulary
    seconds: float

    @property
    def end(self) -> int:
        """The number of the symbol that ends a target."""
        return self.target.index[END]


def ended(targets: Sequence[Symbols]) -> list[tuple[str, ...]]:
    """Put the end behind each target."""
    return [(*target, END) for target in targets]


def numbered(
    source: Vocabulary,
    target: Vocabulary,
    sources: Sequence[Symbols],
    targets: Sequence[Symbols],
    device: torch.device,
) -> Pairs:
    """Encode sources and targets; the targets get their end."""
    x, mask = source.encode(sources)
    y, _ = target.encode(ended(targets))
    arrays = (x, mask.sum(0).astype(np.int64), y)
    return Pairs(*(torch.from_numpy(array).to(device) for array in arrays))


def loss_of(model: Seq2Seq, pairs: Pairs) -> torch.Tensor:
    """Return the mean cross-entropy of the targets' symbols, (6.17), teacher-forced."""
    begin = torch.full_like(pairs.lengths, BEGIN)
    o, _ = model(pairs.x, pairs.lengths, begin, pairs.y)
    return cross_entropy(o.flatten(0, 1), pairs.y.flatten(), ignore_index=Vocabulary.PAD)


def grouped(rng: np.random.Generator, lengths: np.ndarray, size: int, steps: int) -> list:
    """Return the indices of `steps` batches of sequences of similar lengths.

    Each sequence is in one batch before any is in a second, but for the few left over; who
    shares a batch changes each time.
    """
    size, plan = min(size, len(lengths)), []
    while len(plan) < steps:
        order = np.argsort(lengths + rng.uniform(0, 4, len(lengths)))
        starts = rng.integers(len(order) % size + 1) + size * np.arange(len(order) // size)
        plan += [order[start : start + size] for start in rng.permutation(starts)]
    return plan[:steps]


def train(
    sources: Sequence[Symbols],
    targets: Sequence[Symbols],
    steps: int,
    seed: int = 0,
    context: str = "additive",
    embed: int = 32,
    hidden: int = 64,
    lr: float = 4e-3,
    size: int = 64,
    decay: float = 1e-4,
    hidden_share: float = 0.0,
    least: int = 1,
    device: str | None = None,
) -> Translator:
    """Train a `Seq2Seq` on pairs of sequences of symbols.

    hidden_share : in training, so many of the source's symbols are replaced by the unknown one;
    least : a symbol that occurs less often in training has no number of its own
    """
    torch.manual_seed(seed)
    where = device_of(device)
    source, target = Vocabulary(sources, least), Vocabulary(ended(targets), least)
    pairs = numbered(source, target, sources, targets, where)
    model = Seq2Seq(len(source), len(target), embed, hidden, context).to(where)

    lengths = np.array([len(x) + len(y) for x, y in zip(sources, targets, strict=True)])
    plan = grouped(np.random.default_rng(seed), lengths, size, steps)

    def loss(chosen: np.ndarray) -> torch.Tensor:
        batch = pairs.batch(plan[chosen[0]])
        if hidden_share:
            struck = torch.rand(batch.x.shape, device=where) < hidden_share
            batch = batch._replace(x=batch.x.masked_fill(struck, Vocabulary.UNKNOWN))
        return loss_of(model, batch)

    seconds = fit(model, loss, steps, steps, seed, lr=lr, size=1, decay=decay)
    return Translator(model, source, target, seconds)


def said(y: torch.Tensor, target: Vocabulary) -> list[tuple[str, ...]]:
    """Return the symbols of each column of y : (S, N), up to its end."""
    rows = (target.decode(row) for row in y.T.cpu().numpy())
    return [tuple(row[: row.index(END)] if END in row else row) for row in rows]


def translate(
    translator: Translator, sources: Sequence[Symbols], limit: int = 60, size: int = 500
) -> list[tuple[str, ...]]:
    """Translate greedily; return the symbols of each translation."""
    where = next(translator.model.parameters()).device
    found: list[tuple[str, ...]] = []
    for start in range(0, len(sources), size):
        x, mask = translator.source.encode(sources[start : start + size])
        lengths = torch.from_numpy(mask.sum(0).astype(np.int64)).to(where)
        x = torch.from_numpy(x).to(where)
        y = translator.model.greedy(x, lengths, BEGIN, translator.end, limit)
        found += said(y, translator.target)
    return found


def texts(translated: Sequence[Symbols]) -> list[str]:
    """Join the characters of each translation."""
    return ["".join(each) for each in translated]


def right(found: Sequence[object], wanted: Sequence[object]) -> np.ndarray:
    """Return where two lists agree, (N,), booleans."""
    return np.array([a == b for a, b in zip(found, wanted, strict=True)])


def table_card(name: str) -> Table:
    """Return the card of a data set, a row for each thing to know."""
    card = datasets.card(name)
    numbers = ", ".join(f"{n:,} {of}" for of, n in card.numbers.items())
    rows = [["what", card.what], ["source", card.source], ["licence", card.licence],
            ["numbers", numbers], ["split", card.split], ["bad at", card.bad_at]]  # fmt: skip
    plain = [[what, said.replace("`", "")] for what, said in rows]
    return Table(["data card", f"datasets.{name}()"], plain)


# ------------------------------------------------------------------------------------------ dates

DOTS = (0, 2, 5, 10, 15, 20, 30, 40, 60)
PRACTICE = 10


class Looked(NamedTuple):
    """What attention did in one date: source, said; alpha : (len(said) + 1, len(source))."""

    source: str
    said: str
    alpha: np.ndarray


class DateResults(NamedTuple):
    """How a network does on dates; every score is the share of dates that are wholly right.

    translator; validation, test; languages : by code, on the test; unseen : by kind, see
    `datasets.unseen_dates`; pairs : by (language, form) of the unseen pairs, with the share that
    has day and year right; foreign : the same, by unseen language; first : of ranges, the share
    whose first date is right; dots : shares behind so many DOTS, and practised : of a network that
    was trained behind 0 to PRACTICE dots; looks : mean attention of the year's symbols on the
    year's characters, and chance : if it looked at all characters alike, both on the test;
    wrong : some wrong ones, (kind, text, said, true); maps : attention
    """

    translator: Translator
    validation: float
    test: float
    languages: dict[str, float]
    unseen: dict[str, float]
    pairs: dict[tuple[str, str], tuple[float, float]]
    foreign: dict[str, tuple[float, float]]
    first: float
    dots: np.ndarray
    practised: np.ndarray
    looks: float
    chance: float
    wrong: list[tuple[str, str, str, str]]
    maps: list[Looked]


def but_month(iso: str) -> str:
    """Return an ISO date without its month."""
    return iso[:4] + iso[7:]


def look(translator: Translator, text: str) -> Looked:
    """Translate one text and keep where the decoder looked, the end included."""
    (answer,) = translate(translator, [text])
    where = next(translator.model.parameters()).device
    pairs = numbered(translator.source, translator.target, [text], [answer], where)
    with torch.no_grad():
        _, alpha = translator.model(
            pairs.x, pairs.lengths, torch.full_like(pairs.lengths, BEGIN), pairs.y
        )
    return Looked(text, "".join(answer), alpha[..., 0].double().cpu().numpy())


def train_dates(
    steps: int = 600, seed: int = 0, dotted: int = 0, device: str | None = None
) -> Translator:
    """Train on dates with dot-product attention and 64 units.

    dotted : each date has up to so many dots in front of it, and a space
    """
    part = datasets.dates().train
    counts = np.random.default_rng(seed).integers(dotted + 1, size=len(part.texts))
    fronts = ["." * n + " " if n else "" for n in counts]
    sources = [front + text for front, text in zip(fronts, part.texts, strict=True)]
    return train(sources, part.iso, steps, seed, "dot", lr=6e-3, device=device)


MAPPED = (
    ("it", "full", "1987-03-06"), ("en", "full", "1987-03-06"), ("fi", "long", "2043-10-27"),
    ("fr", "short", "2043-10-27"),
)  # fmt: skip
"""Dates of which the attention is drawn: language, form, day."""


@kept
def dates(translator: Translator | None = None) -> DateResults:
    """Train on dates, and score what was held out: days, ways of writing, languages, lengths."""
    translator = translator or train_dates()
    parts = datasets.dates()

    def answers(part: datasets.Dates, by: Translator = translator) -> tuple[list[str], np.ndarray]:
        found = texts(translate(by, part.texts, limit=30))
        return found, right(found, part.iso)

    scores = [answers(part)[1] for part in parts[1:]]
    of = np.array(parts.test.languages)
    languages = {code: float(scores[1][of == code].mean()) for code in datasets.DATE_LANGUAGES}
    unseen, pairs, foreign, wrong, first = {}, {}, {}, [], 0.0
    for what in ("pair", "form", "language", "range"):
        part = datasets.unseen_dates(what)
        found, good = answers(part)
        unseen[what] = float(good.mean())
        rough = right([but_month(f) for f in found], [but_month(w) for w in part.iso])
        ways = list(zip(part.languages, part.forms, strict=True))
        if what == "pair":
            pairs = {pair: shares(right(ways, [pair] * len(ways)), good, rough)
                     for pair in datasets.UNSEEN_PAIRS}  # fmt: skip
        elif what == "language":
            codes = np.array(part.languages)
            foreign = {code: shares(codes == code, good, rough)
                       for code in datasets.UNSEEN_LANGUAGES}  # fmt: skip
        elif what == "range":
            first = float(right([f[:10] for f in found], [w[:10] for w in part.iso]).mean())
        wrong += [(what, part.texts[i], found[i], part.iso[i]) for i in np.flatnonzero(~good)[:3]]
    dots, practised = (
        np.array([answers(_behind(parts.test, n), network)[1].mean() for n in DOTS])
        for network in (translator, train_dates(dotted=PRACTICE))
    )
    days = [(code, form, datetime.date.fromisoformat(iso)) for code, form, iso in MAPPED]
    maps = [look(translator, datasets.write_date(day, code, form)) for code, form, day in days]
    return DateResults(
        translator, float(scores[0].mean()), float(scores[1].mean()), languages, unseen, pairs,
        foreign, first, dots, practised, *_looks(translator, parts.test), wrong, maps,
    )  # fmt: skip


def _behind(part: datasets.Dates, count: int) -> datasets.Dates:
    return datasets.behind_dots(part, count) if count else part


@torch.no_grad()
def _looks(translator: Translator, part: datasets.Dates) -> tuple[float, float]:
    """Return the mean attention of a year's four symbols on its four characters, and by chance."""
    where = next(translator.model.parameters()).device
    pairs = numbered(translator.source, translator.target, part.texts, part.iso, where)
    alpha = translator.model(*pairs[:2], torch.full_like(pairs.lengths, BEGIN), pairs.y)[1]
    starts = [text.index(iso[:4]) for text, iso in zip(part.texts, part.iso, strict=True)]
    on = [float(alpha[:4, t : t + 4, n].sum()) / 4 for n, t in enumerate(starts)]
    return float(np.mean(on)), float(np.mean([4 / len(text) for text in part.texts]))


def shares(mine: np.ndarray, good: np.ndarray, rough: np.ndarray) -> tuple[float, float]:
    """Return the shares of some dates that are right, and right but for the month."""
    return float(good[mine].mean()), float(rough[mine].mean())


def table_dates(data: DateResults) -> Table:
    """Return the shares that are wholly right, by what was held out."""
    unseen = data.unseen
    rows = [
        ["days", "validation, by which the steps were chosen", f"{data.validation:.1%}"],
        ["days", "test, fourteen languages", f"{data.test:.1%}"],
        ["days", f"test, the worst language: {worst(data)}",
         f"{min(data.languages.values()):.1%}"],
        ["pairs of language and form", "in other languages the form is known",
         f"{unseen['pair']:.1%}"],
        ["a form", "weekday abbreviated, in all languages", f"{unseen['form']:.1%}"],
        ["languages", "Catalan and Basque", f"{unseen['language']:.1%}"],
        ["length", "ten dots before the date", f"{data.dots[DOTS.index(10)]:.1%}"],
        ["length", "two dates, both wanted", f"{unseen['range']:.1%}"],
        ["length", "two dates, the first alone scored", f"{data.first:.1%}"],
    ]  # fmt: skip
    return Table(["held out", "which", "wholly right"], rows)


def worst(data: DateResults) -> str:
    """Return the name of the language with most mistakes."""
    return datasets.DATE_LANGUAGES[min(data.languages, key=data.languages.__getitem__)]


def table_ways(data: DateResults) -> Table:
    """Return what is right in each unseen pair and each unseen language, with and without month."""
    known = datasets.DATE_LANGUAGES | datasets.UNSEEN_LANGUAGES
    named = [(f"{known[code]}, {form}", both) for (code, form), both in data.pairs.items()]
    named += [(known[code], both) for code, both in data.foreign.items()]
    return Table(
        ["unseen way", "wholly right", "year and day right"],
        [[name, f"{whole:.0%}", f"{rough:.0%}"] for name, (whole, rough) in named],
    )


def table_wrong(data: DateResults) -> Table:
    """Return some wrong answers, next to the right ones."""
    return Table(["held out", "written", "the network says", "right"], data.wrong)


def draw_maps(data: Sequence[Looked], shape: tuple[int, int] = (4, 1)) -> Figure:
    """Draw attention: a row for each symbol said, a column for each symbol read."""
    figures.style()
    fig, axes = plt.subplots(*shape, figsize=(5.6, 2.3 * shape[0]), squeeze=False)
    for ax, looked in zip(axes.flat, data, strict=True):
        ax.imshow(looked.alpha, cmap=figures.SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(len(looked.source)), looked.source.replace(" ", "␣"))
        ax.set_yticks(range(len(looked.said) + 1), [*looked.said, "end"])
        ax.tick_params(labelsize=9, length=0)
        ax.set_ylabel("said")
    axes[-1, 0].set_xlabel("character read")
    return fig


def draw_dots(data: DateResults) -> Figure:
    """Draw the share of right dates against the number of dots before them."""
    figures.style()
    fig, ax = plt.subplots(figsize=(5.6, 2.8))
    ax.plot(DOTS, data.dots, "o-", color=BLUE, label="trained without dots")
    ax.plot(DOTS, data.practised, "o-", color=VERMILION, label=f"trained behind 0 to {PRACTICE}")
    ax.legend()
    ax.set(xlabel="dots before the date", ylabel="wholly right", ylim=(-0.03, 1.03))
    ax.grid(True)
    return fig
