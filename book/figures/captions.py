"""Chapter 4, a vector in and a sequence out: captions of small scenes, (4.15).

A small convolution makes one vector of each picture; the network of (4.15) makes a caption of it.
Both are trained together, on the scenes of `datasets.scenes`.
"""

from __future__ import annotations

import functools
import time
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course import datasets, figures
from figures.bptt import orthogonal
from figures.tables import Table
from figures.taxonomy_types import FRESH

START, END = "<start>", "<end>"
CHANNELS, H = 32, 128


class Words(NamedTuple):
    """Captions as classes: y : (T, N), int64; mask : (T, N); words by their class."""

    y: np.ndarray
    mask: np.ndarray
    words: tuple[str, ...]


def classes(captions: tuple[str, ...], words: tuple[str, ...]) -> Words:
    """Return captions as classes, each with END behind it, padded with END."""
    index = {word: i for i, word in enumerate(words)}
    y, mask = datasets.pad(
        [[*(index[word] for word in each.split()), index[END]] for each in captions], index[END]
    )
    return Words(y, mask, words)


class Captioner(torch.nn.Module):
    """Picture to vector, vector to caption; `where` says how the vector enters.

    "every step": R x is a bias, (4.15); "first step": R x is there at step 1 alone;
    "nowhere": the pictures are not looked at.
    """

    def __init__(self, words: int, where: str, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.where = where
        # A window for each of the 16 cells, then sums over rows and over columns of cells.
        self.see = torch.nn.Sequential(
            torch.nn.Conv2d(3, CHANNELS, 7, stride=7),
            torch.nn.ReLU(),
            torch.nn.Conv2d(CHANNELS, CHANNELS, 1),
            torch.nn.ReLU(),
        )
        self.join = torch.nn.Sequential(torch.nn.Linear(9 * CHANNELS, 128), torch.nn.ReLU())
        self.R = torch.nn.Linear(128, H)  # its bias is b
        self.F = torch.nn.Embedding(words, H)
        self.V = torch.nn.Linear(H, words)
        rng = np.random.default_rng(seed)
        self.W = torch.nn.Parameter(torch.tensor(0.9 * orthogonal(rng, H), dtype=torch.float32))

    def vector(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return R x + b, (B, H), for pictures (B, 28, 28, 3) from 0 to 1."""
        cells = self.see(pictures.movedim(-1, 1))  # (B, CHANNELS, 4, 4)
        sums = cells.sum(2), cells.sum(3), cells.sum((2, 3))[..., None]
        x = self.join(torch.cat(sums, -1).flatten(1))
        return self.R(torch.zeros_like(x) if self.where == "nowhere" else x)

    def step(self, bias: torch.Tensor, t: int, fed: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """Return h(t+1) for the classes fed, (B,): (4.15)."""
        if self.where == "first step" and t:
            bias = self.R.bias
        return torch.tanh(bias + self.F(fed) + h @ self.W.T)

    def forward(self, pictures: torch.Tensor, y: torch.Tensor, start: int) -> torch.Tensor:
        """Return o, (T, B, K), with the true words fed."""
        bias, states = self.vector(pictures), []
        h = torch.zeros(len(bias), H)
        fed = torch.full_like(y[0], start)
        for t in range(len(y)):
            h = self.step(bias, t, fed, h)
            states.append(h)
            fed = y[t]
        return self.V(torch.stack(states))

    @torch.no_grad()
    def say(self, pictures: torch.Tensor, start: int, end: int, longest: int) -> np.ndarray:
        """Return the classes of a free run, (T, B), END after END."""
        bias, said = self.vector(pictures), []
        h = torch.zeros(len(bias), H)
        fed = torch.full((len(bias),), start)
        ended = torch.zeros(len(bias), dtype=torch.bool)
        for t in range(longest):
            h = self.step(bias, t, fed, h)
            fed = torch.where(ended, end, self.V(h).argmax(-1))
            ended |= fed == end
            said.append(fed)
        return torch.stack(said).numpy()


class Captioned(NamedTuple):
    """What a captioner says of scenes it has not seen.

    where; exact, unseen : share of captions that say the same as the true one, on held-out scenes
    and on scenes with a pair of colour and shape that training never showed; seconds; said : its
    captions of both
    """

    where: str
    exact: float
    unseen: float
    seconds: float
    said: tuple[tuple[str, ...], tuple[str, ...]]


WAYS = ("every step", "first step", "nowhere")


@functools.cache
def scenes() -> datasets.Parts:
    """Return the scenes to learn from, and others drawn after the network's size was chosen."""
    fresh = datasets.scenes((1, 500, 500), seed=FRESH)
    return datasets.Parts(datasets.scenes().train, fresh.validation, fresh.test)


def same(one: str, other: str) -> bool:
    """Return whether two captions say the same; what is no caption says nothing."""
    try:
        return datasets.equivalent(one, other)
    except ValueError:
        return False


def train(where: str, updates: int = 2200, batch: int = 64, rate: float = 4e-3) -> Captioned:
    """Train a captioner and let it speak about validation and test scenes."""
    begun = time.process_time()
    parts = scenes()
    vocabulary = sorted({word for text in parts.train.captions for word in text.split()})
    words = (START, END, *vocabulary)
    given = classes(parts.train.captions, words)
    pictures = torch.from_numpy(parts.train.x).float() / 255
    y, mask = torch.from_numpy(given.y), torch.from_numpy(given.mask).float()
    model = Captioner(len(words), where)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 - i / updates)
    rng = np.random.default_rng(0)
    for _ in range(updates):
        pick = torch.from_numpy(rng.integers(0, len(pictures), batch))
        o = model(pictures[pick], y[:, pick], 0)
        each = torch.nn.functional.cross_entropy(o.movedim(-1, 1), y[:, pick], reduction="none")
        loss = (each * mask[:, pick]).sum() / mask[:, pick].sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    found = [speak(model, part, words, len(y)) for part in (parts.validation, parts.test)]
    right = [
        float(np.mean([same(*pair) for pair in zip(texts, part.captions, strict=True)]))
        for texts, part in zip(found, (parts.validation, parts.test), strict=True)
    ]
    return Captioned(where, *right, time.process_time() - begun, tuple(found))


def speak(
    model: Captioner, part: datasets.Scenes, words: tuple[str, ...], longest: int
) -> tuple[str, ...]:
    """Return the captions that a model gives to pictures."""
    said = model.say(torch.from_numpy(part.x).float() / 255, 0, 1, longest)
    return tuple(" ".join(words[k] for k in column if k > 1) for column in said.T)


def captions() -> list[Captioned]:
    """Train the three ways in which the vector may enter."""
    return [*map(train, WAYS[:2]), train(WAYS[2], updates=300)]  # it has little to learn


def table_captions(found: list[Captioned]) -> Table:
    """Return the table of `captions`."""
    rows = [
        [each.where, f"{each.exact:.2f}", f"{each.unseen:.2f}", f"{each.seconds:.0f}"]
        for each in found
    ]
    head = ["R x is there at", "exact, held out", "exact, unseen pairs", "seconds"]
    return Table(head, rows)


def draw_captions(found: Captioned, shown: int = 3) -> Figure:
    """Draw pictures with what the network says: held-out ones above, unseen pairs below."""
    figures.style()
    fig, axes = plt.subplots(2, shown, figsize=(6.2, 5.6))
    parts = scenes().validation, scenes().test
    for row, part, said in zip(axes, parts, found.said, strict=True):
        for ax, x, true, words in zip(row, part.x, part.captions, said, strict=False):
            ax.imshow(x)
            ax.set(xticks=(), yticks=())
            half = words.split()
            lines = " ".join(half[:3]), " ".join(half[3:6]), " ".join(half[6:])
            ax.set_title("\n".join(lines).strip(), fontsize=9)
            ax.set_xlabel("right" if same(words, true) else "wrong", fontsize=9)
    axes[0, 0].set_ylabel("held out")
    axes[1, 0].set_ylabel("unseen pairs")
    return fig
