"""Chapter 6: a film of 24 frames in, what the figure did one after the other out."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course import datasets, figures
from course.datasets import ACTIVITIES, Films, Vocabulary
from figures.gates_names import edit_distance
from figures.kept import kept
from figures.seq2seq import BEGIN, Pairs, ended, loss_of, right, said
from figures.tables import Table
from figures.taxonomy_baselines import nearest
from figures.taxonomy_types import device_of, fit
from solutions.seq2seq import Seq2Seq

Done = tuple[str, ...]


class Watched(NamedTuple):
    """How a network tells films, T frames each, as sequences of activities.

    lengths : (shortest, longest) sequence of the test; exact : share wholly right, by who;
    errors : wrong activities per activity, by who, by edit distance; looks : of what is said
    rightly, the mean attention on the frames in which it happens; chance : the same if it looked
    at all frames alike; film : (T, 16, 16), alpha : (S + 1, T), done and spans of one test film;
    seconds : the processor's, of training
    """

    lengths: tuple[int, int]
    exact: dict[str, float]
    errors: dict[str, float]
    looks: float
    chance: float
    film: np.ndarray
    alpha: np.ndarray
    done: Done
    spans: list[tuple[int, int]]
    seconds: float


def runs(y: np.ndarray) -> tuple[Done, list[tuple[int, int]]]:
    """Return what is done in a film, and in which frames each: labels (T,) without repetitions."""
    starts = np.flatnonzero(np.diff(y, prepend=-1))
    ends = [*starts[1:], len(y)]
    done = tuple(ACTIVITIES[y[t]] for t in starts)
    return done, [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def told(part: Films) -> list[Done]:
    """Return what is done in each film of a part."""
    return [runs(y)[0] for y in part.y.T]


def pixels(part: Films, device: torch.device) -> torch.Tensor:
    """Return each frame, and what has changed since the one before, (T, N, 512), float32."""
    x = torch.from_numpy(part.x).flatten(2).float().to(device)
    return torch.cat([x, x - torch.cat([x[:1], x[:-1]])], -1)


class Viewer(Seq2Seq):
    """The same network; a layer that sees the pixels stands where the embedding was."""

    def __init__(self, features: int, targets: int, **sizes: int) -> None:
        super().__init__(1, targets, **sizes)
        seen = torch.nn.Linear(features, self.encoder.input_size)
        self.embed_source = torch.nn.Sequential(seen, torch.nn.ReLU())


@kept
def measure(steps: int = 700, seed: int = 0, device: str | None = None) -> Watched:
    """Train on films without a word about frames; compare with the nearest film's sequence."""
    torch.manual_seed(seed)
    where, parts = device_of(device), datasets.films()
    target = Vocabulary(ended(told(parts.train)))
    frames = [pixels(part, where) for part in parts]
    T, N, D = frames[0].shape
    model = Viewer(D, len(target), embed=64, hidden=64, context="additive").to(where)

    def pairs(part: int) -> Pairs:
        y, _ = target.encode(ended(told(parts[part])))
        lengths = torch.full((frames[part].shape[1],), T, device=where)
        return Pairs(frames[part], lengths, torch.from_numpy(y).to(where))

    known, test = pairs(0), pairs(2)
    seconds = fit(
        model, lambda chosen: loss_of(model, known.batch(chosen)), N, steps, seed, lr=4e-3
    )
    done, wanted = told(parts.train), told(parts.test)
    close = nearest(*(f.transpose(0, 1).flatten(1).cpu().numpy() for f in frames[::2]))
    commonest = Counter(done).most_common(1)[0][0]
    found = {
        "network": said(
            model.greedy(test.x, test.lengths, BEGIN, target.index["\n"], limit=T), target
        ),
        "the most similar film's": [done[i] for i in close],
        "the commonest": [commonest] * len(wanted),
    }
    looks, chance, alpha = _looks(model, test, parts.test, found["network"])
    good = right(found["network"], wanted)
    shown = int(np.argmax(good * [len(each) >= 5 for each in wanted]))
    done, spans = runs(parts.test.y[:, shown])
    sizes = [len(each) for each in wanted]
    return Watched(
        (min(sizes), max(sizes)),
        {who: float(right(each, wanted).mean()) for who, each in found.items()},
        {who: float(sum(map(edit_distance, each, wanted)) / sum(sizes))
         for who, each in found.items()},
        looks, chance, parts.test.x[:, shown], alpha[: len(done) + 1, :, shown], done, spans,
        seconds,
    )  # fmt: skip


@torch.no_grad()
def _looks(
    model: Seq2Seq, test: Pairs, part: Films, found: list[Done]
) -> tuple[float, float, np.ndarray]:
    """Return attention on the frames of what is being said, the same by chance, and all alpha."""
    begin = torch.full_like(test.lengths, BEGIN)
    alpha = model(test.x, test.lengths, begin, test.y)[1].double().cpu().numpy()
    on, by_chance = [], []
    for n, y in enumerate(part.y.T):
        done, spans = runs(y)
        if found[n] == done:
            on += [alpha[k, a:b, n].sum() for k, (a, b) in enumerate(spans)]
            by_chance += [(b - a) / len(y) for a, b in spans]
    return float(np.mean(on)), float(np.mean(by_chance)), alpha


def draw(data: Watched) -> Figure:
    """Draw a film's frames in a strip, and below where the network looked; boxes are the truth."""
    figures.style()
    T = len(data.film)
    fig, (strip, ax) = plt.subplots(
        2, 1, figsize=(5.8, 3.9), height_ratios=(1, 2.2), gridspec_kw={"hspace": 0.02}
    )
    shown = data.film[::3]
    strip.imshow(np.concatenate(list(shown), axis=1), cmap="gray", vmin=0, vmax=1)
    strip.set(xticks=[16 * k + 7.5 for k in range(len(shown))], yticks=())
    strip.set_xticklabels([str(t + 1) for t in range(0, T, 3)])
    strip.tick_params(length=0)
    ax.imshow(data.alpha, cmap=figures.SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    for k, (a, b) in enumerate(data.spans):
        ax.add_patch(plt.Rectangle((a - 0.5, k - 0.5), b - a, 1, fill=False, ec="white", lw=1.2))
    ax.set_yticks(range(len(data.done) + 1), [*data.done, "end"])
    ax.set_xticks(range(0, T, 3), [str(t + 1) for t in range(0, T, 3)])
    ax.set_xlabel("frame")
    return fig


def table(data: Watched) -> Table:
    """Return the scores of the network and of its baselines."""
    rows = [[who, f"{data.exact[who]:.1%}", f"{data.errors[who]:.2f}"] for who in data.exact]
    return Table(["who", "wholly right", "wrong activities per activity"], rows)
