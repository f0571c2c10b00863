"""The worked cases in the hints of chapter 7: what the reference gives stands in the text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course import hints
from solutions import learning


def run(step, theta, states, gradients):
    """Every array that comes back, step after step; step(theta, d, t, *states)."""
    found, theta = [], np.array([float(theta)])
    states = [np.zeros(1)] * states
    for t, d in enumerate(gradients, 1):
        theta, *states = step(theta, np.array([float(d)]), t, *states)
        found += [theta, *states]
    return found


def square(theta, v, *more):
    """f = theta² of one number, as arrays of exercises 7.11 to 7.13."""
    one = np.ones((1, 1))
    return (one[None], np.zeros((1, 1)), theta * one, *([] if v is None else [v * one]), *more)


def cells():
    phi = [np.zeros(s) for s in ((4, 1), (4, 1), 4, (4, 1), (4, 1), 4)]
    phi += [np.array([2.0]), np.array([0.5])]
    h, c, found = np.zeros((2, 1, 1)), np.ones((2, 1, 1)), []
    for _ in range(2):
        g, h, c = learning.coordinatewise(np.zeros((1, 1)), h, c, phi, 0.1)
        found += [g, h[1], c[1]]
    return found


def learned(second):
    phi = [torch.zeros(s) for s in ((4, 1), (4, 1), 4, (4, 1), (4, 1), 4, 1)]
    phi.append(torch.tensor([-1.0]))
    W, y, theta = (torch.tensor(a, dtype=torch.float32) for a in square(1.0, None))
    L, grads = learning.learned_meta_gradient(W, y, theta, phi, 2, second)
    return [np.float32(L), grads[7].numpy()]


def tuned():
    last = np.array([[1.0, 2.0, 90.0], [3.0, 3.0, 3.0]])
    losses = np.stack([np.full((2, 3), 9.0), np.full((2, 3), 9.0), last], axis=-1)
    assert learning.tuned(losses, losses)[0] == 0
    losses[0, :2, -1] = np.nan
    assert learning.tuned(losses, losses)[0] == 1
    return [np.median(last, axis=1), last[0].mean()]


NUMBERS = {
    "momentum": lambda: run(
        lambda x, d, t, v: learning.momentum(x, d, v, 0.1, 0.5), 1, 1, (2, 1.6)
    ),
    "nesterov": lambda: run(
        lambda x, d, t, v: learning.nesterov(x, d, v, 0.1, 0.5), 1, 1, (2, 1.4)
    ),
    "adagrad": lambda: run(lambda x, d, t, s: learning.adagrad(x, d, s, 0.1, 0.0), 1, 1, (3, 4)),
    "rmsprop": lambda: run(
        lambda x, d, t, s: learning.rmsprop(x, d, s, 0.1, 0.75, 0.0), 1, 1, (2, 0)
    ),
    "adam": lambda: run(
        lambda x, d, t, m, s: learning.adam(x, d, m, s, t, 0.1, 0.5, 0.75, 0.0), 1, 2, (2, 2)
    ),
    "adamw": lambda: run(
        lambda x, d, t, m, s: learning.adamw(x, d, m, s, t, 0.1, 0.5, 0.5, 0.0, 0.5), 2, 2, (3, 3)
    )[::3],
    "adabound": lambda: run(
        lambda x, d, t, m, s: learning.adabound(x, d, m, s, t, 1.0, 0.2, 1.0, 0.0, 0.0, 0.0),
        1,
        2,
        (2, 0.5),
    )[::3],
    "chebyshev": lambda: list(learning.chebyshev(1.0, 3.0, 2)),
    "preprocess": lambda: [
        learning.preprocess(np.array([-0.1]), 10.0),
        learning.preprocess(np.array([1e-5]), 10.0),
    ],
    "coordinatewise": cells,
    "meta_loss": lambda: [learning.meta_loss(*square(1.0, 0.0), 0.25, 0.0, np.ones(2))],
    "meta_gradient": lambda: [
        learning.meta_gradient(*square(1.0, 0.0), 0.25, 0.0, np.ones(2), second)
        for second in (True, False)
    ],
    "train_in_chunks": lambda: list(
        learning.train_in_chunks(*square(1.0, None), 0.25, 0.0, 1, 2, 0.1)
    ),
    "learned_meta_gradient": lambda: [*learned(True), *learned(False)],
    "tuned": tuned,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_worked_case_of_a_hint_is_right(name):
    """To four digits."""
    text = hints.of_chapter("learning")[f"learning.{name}"][3]
    for array in NUMBERS[name]():
        for value in np.ravel(array):
            said = f"{value:.4f}".rstrip("0").rstrip(".")
            assert said in text, (said, text)


def test_no_hint_is_left_out():
    assert {f"learning.{name}" for name in NUMBERS} == set(hints.of_chapter("learning"))
