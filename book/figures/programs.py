"""Chapter 4: the small programs of `taxonomy_types` and `taxonomy_vision`, as the page runs them.

The page trains fewer steps than the programs do by themselves, in two processes side by side, so
that it is built in minutes.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import torch

from figures import taxonomy_types as types
from figures import taxonomy_vision as vision
from figures.tables import Table

STEPS = {
    "language": 2000,
    "music": 300,
    "sentiment": 500,
    "tagger": 300,
    "activity": 1000,
    "digit": 800,
}
"""The programs by shape and their steps on the page, the longest first."""

VISION = {"glimpses": 2000, "drawing": 2000}
"""The programs on pictures."""


class ByShape(NamedTuple):
    """What each program by shape returned."""

    language: types.Languages
    music: types.Music
    sentiment: types.Result
    tagger: types.Tagging
    activity: types.Activity
    digit: types.Result


class OnPictures(NamedTuple):
    """What each program on pictures returned."""

    glimpses: vision.Glimpses
    drawing: vision.Drawing


def train(name: str, steps: int) -> Any:
    """Run one program by its name."""
    torch.set_num_threads(1)  # the processes share the machine
    module = vision if name in VISION else types
    return getattr(module, f"train_{name}")(steps=steps)


def together(steps: dict[str, int], workers: int = 2) -> dict[str, Any]:
    """Run programs, so many at a time; return what each returned."""
    context = multiprocessing.get_context("spawn")  # a fork would copy threads that are running
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = {name: pool.submit(train, name, count) for name, count in steps.items()}
        return {name: each.result() for name, each in waiting.items()}


def by_shape() -> ByShape:
    """Run the programs by shape."""
    return ByShape(**together(STEPS))


def on_pictures() -> OnPictures:
    """Run the programs on pictures."""
    return OnPictures(**together(VISION))


def result_of(found: Any) -> types.Result:
    """Return the result that a program's answer is, or holds."""
    return getattr(found, "result", found)


def table_results(ran: ByShape) -> Table:
    """Return score, baseline and margin of the programs by shape."""
    order = (ran.digit, ran.music, ran.sentiment, ran.language, ran.tagger, ran.activity)
    return types.table_results([result_of(each) for each in order])


def table_tagging(ran: ByShape) -> Table:
    """Return how the three taggers agree with the true tags."""
    named = {
        "each word's most frequent tag": ran.tagger.frequent,
        "one direction": ran.tagger.forward,
        "two directions": ran.tagger.both,
    }
    rows = [
        [name, *(f"{v:.3f}" for v in (a.tokens, a.precision, a.recall, a.f1))]
        for name, a in named.items()
    ]
    return Table(["tagger", "accuracy", "precision", "recall", "F1"], rows)


def table_glimpses(ran: OnPictures) -> Table:
    """Return accuracies with the window and without."""
    found = ran.glimpses
    rows = [[f"after look {t}", f"{a:.3f}"] for t, a in enumerate(found.after, 1)]
    rows += [
        ["four looks, at random places", f"{found.result.baseline:.3f}"],
        ["convolutions, the whole scene", f"{found.convolutions:.3f}"],
        ["a perceptron, the whole scene", f"{found.perceptron:.3f}"],
        ["a look within 4 pixels of the digit's middle", f"{found.found:.3f}"],
        ["the same, at random places", f"{found.found_random:.3f}"],
    ]
    return Table(["", "share of the test scenes"], rows)


def table_drawing(ran: OnPictures) -> Table:
    """Return the bound on the test digits, of DRAW and of an autoencoder."""
    r, (own, other) = ran.drawing.result, ran.drawing.training
    rows = [
        ["DRAW, eight steps", f"{r.score:.1f}", f"{own:.1f}"],
        ["an autoencoder with as many parameters", f"{r.baseline:.1f}", f"{other:.1f}"],
    ]
    return Table(["network", "nats a picture, held out", "on training's pictures"], rows)
