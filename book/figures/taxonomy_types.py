"""Chapter 4: one small program for each type of network, on data that means something.

`train_x(seed, steps)` trains a network, scores it on the test part and scores a baseline on the
same; it returns a `Result`, or a named tuple that holds one.  `draw_x` draws it.  Networks stand on
PyTorch's cells and run on any device.
"""

from __future__ import annotations

import io
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from course import datasets, figures
from course.datasets import Melody, Vocabulary
from figures import taxonomy_baselines as baselines
from figures.tables import Table

BLUE, VERMILION, GREEN = (figures.PALETTE[name] for name in ("blue", "vermilion", "green"))
PURPLE, OCHRE = figures.PALETTE["purple"], figures.PALETTE["ochre"]

FRESH = 1
"""The seed of test data that were drawn after all sizes and rates had been chosen."""


# ----------------------------------------------------------------------------- what all programs do


class Result(NamedTuple):
    """A network's score on the test part beside a baseline's.

    task; type: "many to one" and so on; measure: what the scores are; score; baseline; against: the
    baseline's name; better: "higher" or "lower"; parameters, of the network; seconds, of training
    it; seed; steps
    """

    task: str
    type: str
    measure: str
    score: float
    baseline: float
    against: str
    better: str
    parameters: int
    seconds: float
    seed: int
    steps: int

    @property
    def margin(self) -> float:
        """How much better the network is than the baseline; negative if it is worse."""
        return (self.score - self.baseline) * (1 if self.better == "higher" else -1)


def count(model: nn.Module) -> int:
    """Return how many numbers a model learns."""
    return sum(p.numel() for p in model.parameters())


def batches(rng: np.random.Generator, N: int, size: int, steps: int) -> Iterator[np.ndarray]:
    """Yield `steps` batches of indices below N; each is seen once before any is seen again."""
    size = min(size, N)
    order = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(order) < size:
            order = np.concatenate([order, rng.permutation(N)])
        yield order[:size]
        order = order[size:]


def fit(
    model: nn.Module,
    loss: Callable[[np.ndarray], Tensor],
    N: int,
    steps: int,
    seed: int,
    lr: float = 3e-3,
    size: int = 64,
    decay: float = 1e-4,
    clip: float = 1.0,
) -> float:
    """Train a model on `loss(indices of a batch)` with AdamW; return the processor's seconds.

    The step size rises over a twentieth of the steps and falls to zero over the others.
    """
    began = time.process_time()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, max(2, steps), pct_start=0.05)
    model.train()
    for chosen in batches(np.random.default_rng(seed), N, size, steps):
        optimizer.zero_grad()
        loss(chosen).backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        schedule.step()
    model.eval()
    return time.process_time() - began


def device_of(device: str | None) -> torch.device:
    """Return the device asked for, or the machine's accelerator, or the CPU."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def accuracy(said: np.ndarray, y: np.ndarray) -> float:
    """Return the share of equal entries."""
    return float(np.mean(said == y))


class Reader(nn.Module):
    """Symbols to states: an embedding and a GRU, in one direction or two.

    x : (T, B), int64, 0 is padding; lengths : (B,)
    Returns h : (T, B, F), and last : (B, F), each sequence's last state (each direction's, where
    there are two); F is H or 2 H.
    """

    def __init__(self, V: int, E: int, H: int, both: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, E, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(E, H, bidirectional=both)
        self.features = H * (2 if both else 1)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read; see the class."""
        e = self.dropout(self.embedding(x))
        packed = nn.utils.rnn.pack_padded_sequence(e, lengths.cpu(), enforce_sorted=False)
        h, last = self.gru(packed)
        h, _ = nn.utils.rnn.pad_packed_sequence(h, total_length=len(x))
        return h, last.transpose(0, 1).flatten(1)


class Classifier(nn.Module):
    """Many to one: read, then say one class.  Returns o : (B, K)."""

    def __init__(
        self, V: int, K: int, E: int = 32, H: int = 64, both: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.reader = Reader(V, E, H, both, dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.reader.features, K)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x : (T, B)."""
        return self.head(self.dropout(self.reader(x, lengths)[1]))


class Coded(NamedTuple):
    """Sequences as numbers on a device: x : (T, N), int64; lengths : (N,); y : (N,)."""

    x: Tensor
    lengths: Tensor
    y: Tensor

    def batch(self, chosen: np.ndarray) -> Coded:
        """Take some of the sequences, as long as the longest of them."""
        i = torch.from_numpy(chosen)
        lengths = self.lengths[i]
        return Coded(self.x[: int(lengths.max()), i], lengths, self.y[i])


def coded(
    vocabulary: Vocabulary, sequences: Sequence, y: np.ndarray, device: torch.device
) -> Coded:
    """Encode sequences for a `Reader`."""
    x, mask = vocabulary.encode(sequences)
    tensors = (torch.from_numpy(each) for each in (x, mask.sum(0).astype(np.int64), y))
    return Coded(*(each.to(device) for each in tensors))


@torch.no_grad()
def classes(model: nn.Module, data: Coded, size: int = 500) -> np.ndarray:
    """Return the class that a `Classifier` says of each sequence, (N,)."""
    N = len(data.lengths)
    said = []
    for start in range(0, N, size):
        batch = data.batch(np.arange(start, min(N, start + size)))
        said.append(model(batch.x, batch.lengths).argmax(-1).cpu().numpy())
    return np.concatenate(said)


# -------------------------------------------------------------------------------- names to language


class Languages(NamedTuple):
    """Names to language: the result, and confusion : (K, K), counts of (true, said) on the test."""

    result: Result
    confusion: np.ndarray


def train_language(seed: int = 0, steps: int = 2000, device: str | None = None) -> Languages:
    """Many to one: a name's characters in, its language out.  Baseline: n-gram naive Bayes."""
    torch.manual_seed(seed)
    where, parts, K = device_of(device), datasets.names(), len(datasets.LANGUAGES)
    vocabulary = Vocabulary(parts.train.texts, least=2)
    train, _, test = (coded(vocabulary, part.texts, part.y, where) for part in parts)
    model = Classifier(len(vocabulary), K, E=48, H=128, both=True, dropout=0.3).to(where)

    def loss(chosen: np.ndarray) -> Tensor:
        batch = train.batch(chosen)
        return cross_entropy(model(batch.x, batch.lengths), batch.y)

    seconds = fit(model, loss, len(parts.train.y), steps, seed, lr=4e-3, size=128, decay=0.01)
    said = classes(model, test)
    confusion = np.zeros((K, K), dtype=np.int64)
    np.add.at(confusion, (parts.test.y, said), 1)
    baseline = baselines.naive_bayes(parts, K)
    result = Result(
        "names to language", "many to one", "accuracy", accuracy(said, parts.test.y),
        baseline.score, "n-gram naive Bayes", "higher", count(model), seconds, seed, steps,
    )  # fmt: skip
    return Languages(result, confusion)


def draw_language(data: Languages, most: int = 12) -> Figure:
    """Draw the pairs of languages that are most often confused."""
    figures.style()
    off = data.confusion * (1 - np.eye(len(data.confusion), dtype=int))
    listed = list(datasets.LANGUAGES.values())
    pairs = np.argsort(-off, axis=None)[:most]
    true, said = np.unravel_index(pairs, off.shape)
    share = off[true, said] / data.confusion.sum(1)[true]
    fig, ax = plt.subplots(figsize=(5.4, 3.4))
    ax.barh(range(most), share, color=BLUE)
    ax.set_yticks(
        range(most), [f"{listed[i]}, read as {listed[j]}" for i, j in zip(true, said, strict=True)]
    )
    ax.invert_yaxis()
    ax.set_xlabel("share of that language's test names")
    return fig


# ----------------------------------------------------------------------------- a digit to its class


def train_digit(seed: int = 0, steps: int = 1500, device: str | None = None) -> Result:
    """One to one: a picture in, its class out, no recurrence.  Baseline: the nearest class mean."""
    torch.manual_seed(seed)
    where, parts = device_of(device), datasets.digits()
    x, y = (torch.from_numpy(each).to(where) for each in (parts.train.x, parts.train.y))
    x = x.float().flatten(1)
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10)).to(where)

    def loss(chosen: np.ndarray) -> Tensor:
        return cross_entropy(model(x[chosen]), y[chosen])

    seconds = fit(model, loss, len(y), steps, seed)
    pixels = [part.x.reshape(len(part.y), -1) for part in parts]
    with torch.no_grad():
        test = torch.from_numpy(pixels[2]).float().to(where)
        said = model(test).argmax(1).cpu().numpy()
    means = np.stack([pixels[0][parts.train.y == k].mean(0) for k in range(10)])
    baseline = accuracy(baselines.nearest(means, pixels[2]), parts.test.y)
    return Result(
        "digits", "one to one", "accuracy", accuracy(said, parts.test.y),
        baseline, "nearest class mean", "higher", count(model), seconds, seed, steps,
    )  # fmt: skip


# -------------------------------------------------------------------------------- a key to a melody

END = "end"


class Composer(nn.Module):
    """One to many: a key, and a melody in that key, note by note.

    The key's row of R is added at every step, like a bias of its own; each note said is the next
    step's input.
    """

    def __init__(self, V: int, E: int = 48, H: int = 128, dropout: float = 0.3) -> None:
        super().__init__()
        self.R = nn.Embedding(12, E)
        self.notes = nn.Embedding(V, E)
        self.gru = nn.GRU(E, H)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(H, V)

    def forward(
        self, key: Tensor, before: Tensor, h: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return o : (T, B, V) and the last state, for key : (B,) and notes before : (T, B)."""
        states, h = self.gru(self.dropout(self.notes(before) + self.R(key)), h)
        return self.head(self.dropout(states)), h

    @torch.no_grad()
    def sample(self, key: int, seed: int, temperature: float = 0.8, longest: int = 120) -> Tensor:
        """Compose: (T,), without an end.  `temperature` divides o before the softmax."""
        where = self.head.weight.device
        draw = torch.Generator().manual_seed(seed)
        said, h = [torch.ones(1, 1, dtype=torch.long, device=where)], None
        while len(said) <= longest:
            o, h = self(torch.tensor([key], device=where), said[-1], h)
            p = torch.softmax(o[0, 0].double().cpu() / temperature, 0)
            p[:2] = 0  # neither padding nor an unknown note
            said.append(torch.multinomial(p, 1, generator=draw).to(where)[None])
            if said[-1].item() == 2:
                break
        return torch.cat(said[1:]).flatten()


class Music(NamedTuple):
    """A key to a melody: the result; `real` of the test part; `composed`, one in C, one in a."""

    result: Result
    real: Melody
    composed: tuple[Melody, ...]


def written(melody: Melody) -> list[str]:
    """Write a melody in symbols: "67/1.0" is the G above the middle C for a quarter."""
    notes = zip(melody.pitch, melody.duration, strict=True)
    return [*(f"{pitch}/{duration:g}" for pitch, duration in notes), END]


def understood(symbols: Sequence[str], name: str, final: int) -> Melody:
    """Read symbols back into a melody; the inverse of `written`, the end may be missing."""
    notes = [symbol.split("/") for symbol in symbols if symbol != END]
    pitch = np.array([int(pitch) for pitch, _ in notes], dtype=np.int64)
    return Melody(name, final, pitch, np.array([float(duration) for _, duration in notes]))


def train_music(seed: int = 0, steps: int = 900, device: str | None = None) -> Music:
    """One to many: a key in, a melody out.  Baseline: an interpolated bigram of notes.

    Both see the key, and are scored in bits a note on tunes they never saw, the end included.
    """
    torch.manual_seed(seed)
    where, parts = device_of(device), datasets.chorales()
    texts = [[written(m) for m in part] for part in parts]
    # END is given the number 2, after padding and unknown: "!" sorts before all digits.
    vocabulary = Vocabulary(
        [["!end" if s == END else s for s in text] for text in texts[0]], least=2
    )
    V = len(vocabulary)
    codes = [
        vocabulary.encode([["!end" if s == END else s for s in text] for text in part])
        for part in texts
    ]
    keys = [torch.tensor([m.final for m in part], device=where) for part in parts]
    model = Composer(V).to(where)

    def nll(part: int, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        x, mask = (torch.from_numpy(each[:, chosen]).to(where) for each in codes[part])
        longest = int(mask.sum(0).max())
        x, mask = x[:longest], mask[:longest]
        before = torch.cat([torch.ones_like(x[:1]), x[:-1]])  # 1, "unknown", begins
        o, _ = model(keys[part][chosen], before)
        each = cross_entropy(o.flatten(0, 1), x.flatten(), reduction="none")
        return (each * mask.flatten()).sum(), mask.sum()

    def loss(chosen: np.ndarray) -> Tensor:
        total, notes = nll(0, chosen)
        return total / notes

    seconds = fit(model, loss, len(texts[0]), steps, seed, lr=4e-3, size=32, decay=0.05)
    with torch.no_grad():
        total, notes = nll(2, np.arange(len(texts[2])))
    bits = float(total / notes / np.log(2))
    # To the bigram, a melody begins with a symbol of its key.
    rows = [
        [np.array([V + m.final, *x[: len(written(m)), i]]) for i, m in enumerate(part)]
        for part, (x, _) in zip(parts, codes, strict=True)
    ]
    baseline = baselines.bigram_bits(*rows, K=V + 12)
    result = Result(
        "melodies", "one to many", "bits a note", bits, baseline.score, "interpolated bigram",
        "lower", count(model), seconds, seed, steps,
    )  # fmt: skip
    composed = tuple(
        understood(
            [s for s in vocabulary.decode(model.sample(final, seed).cpu().numpy()) if s != "!end"],
            name, final,
        )
        for name, final in (("composed, major", 0), ("composed, minor", 9))
    )  # fmt: skip
    return Music(result, parts.test[0], composed)


def draw_music(data: Music) -> Figure:
    """Draw the melodies as piano rolls: time to the right, pitch upwards."""
    figures.style()
    shown = (data.real, *data.composed)
    fig, axes = plt.subplots(len(shown), 1, figsize=(5.6, 4.2), sharex=True, sharey=True)
    for ax, melody, colour in zip(axes, shown, (GREEN, BLUE, PURPLE), strict=False):
        starts = np.cumsum(melody.duration) - melody.duration
        heard = melody.pitch > 0
        ax.barh(
            melody.pitch[heard], melody.duration[heard] - 0.08, left=starts[heard], height=0.9,
            color=colour,
        )  # fmt: skip
        ax.set_title(melody.name, loc="left")
        ax.set(yticks=(60, 67, 72, 79), yticklabels=("C", "G", "C", "G"))
        ax.set_ylabel("pitch")
        ax.grid(True, axis="y")
    axes[-1].set_xlabel("time, quarter notes")
    axes[-1].set_xlim(0, 48)
    return fig


def audio(melody: Melody, rate: int = 8000, tempo: float = 160.0) -> bytes:
    """Return the melody as a WAV file, 8 bits, mono; `tempo` is in quarter notes a minute."""
    pieces = []
    for pitch, duration in zip(melody.pitch, melody.duration, strict=True):
        t = np.arange(round(rate * duration * 60 / tempo)) / rate
        tone = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * t) * np.exp(-3 * t)
        attack = np.minimum(1, t / 0.01)  # without it each note would click
        pieces.append(tone * attack * (pitch > 0))
    signal = np.round(127.5 + 110 * np.concatenate(pieces)).astype(np.uint8)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(rate)
        out.writeframes(signal.tobytes())
    return file.getvalue()


# ------------------------------------------------------------------------------------ is it praise?


def train_sentiment(seed: int = 0, steps: int = 1200, device: str | None = None) -> Result:
    """Many to one: a sentence in, praise or blame out.  Baseline: a weight for each word."""
    torch.manual_seed(seed)
    where, parts = device_of(device), datasets.sentiment()
    vocabulary = Vocabulary(parts.train.words)
    train, _, test = (coded(vocabulary, part.words, part.y, where) for part in parts)
    model = Classifier(len(vocabulary), 2, dropout=0.2).to(where)

    def loss(chosen: np.ndarray) -> Tensor:
        batch = train.batch(chosen)
        return cross_entropy(model(batch.x, batch.lengths), batch.y)

    seconds = fit(model, loss, len(parts.train.y), steps, seed)
    return Result(
        "sentiment", "many to one", "accuracy", accuracy(classes(model, test), parts.test.y),
        baselines.bag_of_words(parts).score, "bag of words", "higher", count(model), seconds,
        seed, steps,
    )  # fmt: skip


# -------------------------------------------------------------------------- which words are a name?


class Tagger(nn.Module):
    """Many to many, aligned: a class for every word.  Returns o : (T, B, K)."""

    def __init__(self, V: int, K: int, E: int = 32, H: int = 48, both: bool = True) -> None:
        super().__init__()
        self.reader = Reader(V, E, H, both)
        self.head = nn.Linear(self.reader.features, K)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Tag x : (T, B)."""
        return self.head(self.reader(x, lengths)[0])


class Agreement(NamedTuple):
    """How tags agree with the true ones: share of equal tags, precision, recall and F1 of spans."""

    tokens: float
    precision: float
    recall: float
    f1: float


def spans(tags: np.ndarray) -> set[tuple[int, int]]:
    """Return the names as (first word, one after the last), of tags (T,).

    An I that follows no B or I begins a name: what a network says need not be well formed.
    """
    found, start = set(), None
    for t, tag in enumerate([*map(int, tags), 0]):
        if start is not None and tag != 2:
            found.add((start, t))
            start = None
        if tag == 1 or (tag == 2 and start is None):
            start = t
    return found


def agreement(said: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> Agreement:
    """Compare tags sentence by sentence; a span counts if both its ends are right."""
    hits = found = wanted = 0
    for one, other in zip(said, true, strict=True):
        a, b = spans(one), spans(other)
        hits, found, wanted = hits + len(a & b), found + len(a), wanted + len(b)
    precision, recall = hits / max(1, found), hits / max(1, wanted)
    f1 = 2 * hits / max(1, found + wanted)
    return Agreement(accuracy(np.concatenate(said), np.concatenate(true)), precision, recall, f1)


class Tagging(NamedTuple):
    """Tagging: the result of the network in two directions, and how each of three agrees."""

    result: Result
    both: Agreement
    forward: Agreement
    frequent: Agreement


def train_tagger(seed: int = 0, steps: int = 600, device: str | None = None) -> Tagging:
    """Many to many: a tag for every word, in one direction and in two.

    Baseline: the tag a word had most often.  All names and cities of the test are new.
    """
    where, parts = device_of(device), datasets.tagging()
    vocabulary = Vocabulary(parts.train.words, least=80)  # names and cities are rarer: all unknown
    codes = [vocabulary.encode(part.words) for part in parts]
    x, mask = (torch.from_numpy(each).to(where) for each in codes[0])
    y = torch.from_numpy(datasets.pad(parts.train.tags, fill=-100)[0]).to(where)
    lengths = mask.sum(0).long()

    def trained(both: bool) -> tuple[Agreement, float, int]:
        torch.manual_seed(seed)
        model = Tagger(len(vocabulary), len(datasets.TAGS), both=both).to(where)

        def loss(chosen: np.ndarray) -> Tensor:
            o = model(x[:, chosen], lengths[chosen])
            return cross_entropy(o.flatten(0, 1), y[:, chosen].flatten())  # skips -100

        seconds = fit(model, loss, x.shape[1], steps, seed)
        with torch.no_grad():
            xs, masks = (torch.from_numpy(each).to(where) for each in codes[2])
            o = model(xs, masks.sum(0).long()).argmax(-1).cpu().numpy()
        said = [o[: len(tags), n] for n, tags in enumerate(parts.test.tags)]
        return agreement(said, parts.test.tags), seconds, count(model)

    forward, _, _ = trained(False)
    both, seconds, parameters = trained(True)
    frequent = agreement(baselines.most_frequent_tag(parts), parts.test.tags)
    result = Result(
        "names in sentences", "many to many", "F1 of spans", both.f1, frequent.f1,
        "most frequent tag", "higher", parameters, seconds, seed, steps,
    )  # fmt: skip
    return Tagging(result, both, forward, frequent)


# ------------------------------------------------------------------------ what is the figure doing?


class Watcher(nn.Module):
    """Many to many: a class for every frame, from this frame's features and a state.

    x : (T, B, D); returns o : (T, B, K)
    """

    def __init__(self, D: int, K: int, F: int = 64, H: int = 64) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(D, F), nn.ReLU())
        self.gru = nn.GRU(F, H)
        self.head = nn.Linear(H, K)

    def forward(self, x: Tensor) -> Tensor:
        """Watch; see the class."""
        return self.head(self.gru(self.features(x))[0])


def framewise(D: int, K: int, F: int) -> nn.Sequential:
    """Return a network of two hidden layers that sees each frame by itself."""
    return nn.Sequential(nn.Linear(D, F), nn.ReLU(), nn.Linear(F, F), nn.ReLU(), nn.Linear(F, K))


class Activity(NamedTuple):
    """Films: the result; `pairs`, the accuracy of the baseline if it sees two frames at a time;
    and for one film of the test its frames (T, 16, 16), what it does, what was said: (T,) each.
    """

    result: Result
    pairs: float
    frames: np.ndarray
    true: np.ndarray
    recurrent: np.ndarray
    single: np.ndarray


def train_activity(seed: int = 0, steps: int = 1500, device: str | None = None) -> Activity:
    """Many to many: what is done, frame by frame.  Baseline: a network that sees single frames.

    The baselines have as many parameters as the network or more.
    """
    where, parts, K = device_of(device), datasets.films(), len(datasets.ACTIVITIES)
    test = datasets.films(seed=FRESH).test
    frames = [torch.from_numpy(x).float().flatten(2).to(where) for x in (parts.train.x, test.x)]
    y = torch.from_numpy(parts.train.y).to(where)
    twice = [torch.cat([torch.cat([x[:1], x[:-1]]), x], -1) for x in frames]

    def trained(model: nn.Module, x: list[Tensor]) -> tuple[np.ndarray, float]:
        def loss(chosen: np.ndarray) -> Tensor:
            o = model(x[0][:, chosen])
            return cross_entropy(o.flatten(0, 1), y[:, chosen].flatten())

        seconds = fit(model, loss, y.shape[1], steps, seed, size=32)
        with torch.no_grad():
            return model(x[1]).argmax(-1).cpu().numpy(), seconds

    torch.manual_seed(seed)
    model = Watcher(256, K).to(where)
    said, seconds = trained(model, frames)
    single, _ = trained(framewise(256, K, 112).to(where), frames)
    pairs, _ = trained(framewise(512, K, 112).to(where), twice)
    result = Result(
        "films", "many to many", "accuracy of frames", accuracy(said, test.y),
        accuracy(single, test.y), "single frames", "higher", count(model), seconds, seed,
        steps,
    )  # fmt: skip
    return Activity(
        result, accuracy(pairs, test.y), test.x[:, 0], test.y[:, 0],
        said[:, 0], single[:, 0],
    )  # fmt: skip


def draw_activity(data: Activity, shown: int = 12) -> Figure:
    """Draw the first frames of a film, and below each what is done and what two networks say."""
    figures.style()
    fig, (above, below) = plt.subplots(
        2, 1, figsize=(5.6, 3.2), height_ratios=(1, 2.2), sharex=True
    )
    above.imshow(np.concatenate(list(data.frames[:shown]), 1), extent=(-0.5, shown - 0.5, 0, 1),
                 aspect="auto", cmap="gray")  # fmt: skip
    above.set(yticks=())
    t = np.arange(shown)
    below.plot(t, data.true[:shown], "s", ms=11, mfc="none", color=GREEN, label="true")
    below.plot(t, data.recurrent[:shown], "o", ms=6, color=BLUE, label="recurrent")
    below.plot(t, data.single[:shown], "x", ms=7, mew=2, color=VERMILION, label="single frames")
    below.set_yticks(range(len(datasets.ACTIVITIES)), datasets.ACTIVITIES)
    below.set(xlabel="frame", xticks=t, ylim=(-0.6, len(datasets.ACTIVITIES) + 0.9))
    below.legend(ncols=3, loc="upper center")
    return fig


# ----------------------------------------------------------------------------------------- together


def table_results(results: Sequence[Result]) -> Table:
    """Return the table of some results: the network, its baseline, and what training took."""
    head = [
        "task",
        "type",
        "measure",
        "network",
        "baseline",
        "",
        "margin",
        "parameters",
        "processor",
    ]
    rows = [
        [r.task, r.type, r.measure, f"{r.score:.3f}", f"{r.baseline:.3f}", r.against,
         f"{r.margin:+.3f}".replace("-", "−"), f"{r.parameters:,}", f"{r.seconds:.0f} s"]
        for r in results
    ]  # fmt: skip
    return Table(head, rows)


def table_cards() -> Table:
    """Return the table of all data sets' cards."""
    head = ["data", "what", "source", "licence", "numbers", "split", "bad at"]
    rows = [
        [c.name, c.what, c.source, c.licence,
         ", ".join(f"{n:,} {of}" for of, n in c.numbers.items()), c.split, c.bad_at]
        for c in datasets.cards()
    ]  # fmt: skip
    return Table(head, rows)
