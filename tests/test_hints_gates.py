"""The worked cases in the hints of chapter 5: what the reference gives stands in the text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course import hints
from solutions import gates

H1 = np.ones((1, 1))
X2 = np.zeros((2, 1, 1))
NO_U, NO_W = np.zeros((4, 1)), np.zeros((4, 1))
CANDIDATE = np.array([0.0, 0.0, 0.0, 0.5])
SAME = np.tile([0.5, 0.5, 0.5, 0.0], (2, 1, 1))
"""Gates (i, f, o, g) at both steps, of one unit."""


def lstm_backward(dh, dc_last):
    c = np.array([[[0.5]], [[0.25]]])
    h = 0.5 * np.tanh(c)
    dh = np.array(dh, float)[:, None, None]
    return gates.lstm_backward(dh, dc_last * H1, X2, h, c, SAME, 0 * H1, H1, NO_U, NO_W)


def gru_backward():
    h, dh = np.array([[[0.5]], [[0.25]]]), np.array([[[0.0]], [[1.0]]])
    kept = np.tile([0.5, 0.5, 0.0], (2, 1, 1))
    return gates.gru_backward(dh, X2, h, kept, H1, np.zeros((3, 1)), np.zeros((3, 1)))


def update_only(sign):
    """h(1), h(2) of a GRU whose update gate sees 2 h; n is 0."""
    W, b = np.array([[0.0], [2.0], [0.0]]), np.zeros(3)
    U = np.zeros((3, 1))
    if sign > 0:
        return gates.gru_forward(X2, 0.5 * H1, U, W, b)[0]
    return gates.gru_after(X2, 0.5 * H1, *gates.take_to_keep(U, W, b), np.zeros(1))


def function():
    leaves = (X2, 0 * H1, H1, NO_U, NO_W, np.zeros(4))
    leaves = [torch.tensor(each, requires_grad=True) for each in leaves]
    _, c = gates.LSTMFunction.apply(*leaves)
    dx, dh0, dc0, *_, db = torch.autograd.grad(c.sum(), leaves)
    assert not dx.any()
    assert not dh0.any()
    return [dc0.numpy(), db.numpy()[1]]


WN = np.array([[0.0], [0.0], [1.0]])
PAIR = np.log([[1.0, 3.0]])
NUMBERS = {
    "lstm_step": lambda: gates.lstm_forward(X2, 0 * H1, H1, NO_U, NO_W, CANDIDATE)[:2],
    "lstm_forward": lambda: gates.lstm_forward(X2, 0 * H1, H1, NO_U, NO_W, CANDIDATE),
    "lstm_backward": lambda: [lstm_backward([0, 1], 0)[2], lstm_backward([0, 1], 0)[5][1]],
    "gru_forward": lambda: [gates.gru_forward(X2, H1, 0 * WN, WN, np.zeros(3))[0]],
    "gru_backward": lambda: [gru_backward()[1], gru_backward()[4]],
    "take_to_keep": lambda: [update_only(1), update_only(-1)],
    "gru_after": lambda: [gates.gru_after(X2, H1, 0 * WN, WN, np.zeros(3), np.ones(1))],
    "to_torch": lambda: gates.to_torch(NO_U, NO_W, np.array([1.0, 2.0, 3.0, 4.0]))[2:],
    "from_torch": lambda: [
        gates.from_torch(NO_U, NO_W, np.array([1.0, 2, 4, 3]), np.array([10.0, 20, 40, 30]))[2]
    ],
    "sample": lambda: [
        *(gates.sample(PAIR, 1.0, np.array([v])) for v in (0.2, 0.3)),
        gates.sample(PAIR, 2.0, np.array([0.3])),
    ],
    "bits_per_character": lambda: [
        gates.bits_per_character(np.zeros((2, 1, 4)), np.zeros((2, 1), int), np.array([[1.0], [m]]))
        for m in (1.0, 0.0)
    ],
    "LSTMFunction": function,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_worked_case_of_a_hint_is_right(name):
    """To four digits."""
    text = hints.of_chapter("gates")[f"gates.{name}"][3]
    for array in NUMBERS[name]():
        for value in np.ravel(array):
            said = f"{value:.4f}".rstrip("0").rstrip(".")
            assert said in text, (said, text)


def test_the_cases_of_the_last_two_hints():
    assert [int(each[0]) for each in NUMBERS["sample"]()] == [0, 1, 0]
    assert NUMBERS["bits_per_character"]() == [2.0, 2.0]
    hidden = gates.LSTMFunction.apply(
        *(torch.tensor(each) for each in (X2, 0 * H1, H1, NO_U, NO_W, np.zeros(4)))
    )
    assert hidden[1].item() == 0.25  # c(2) = f f c(0), as in the case


def test_no_hint_is_left_out():
    assert {f"gates.{name}" for name in NUMBERS} == set(hints.of_chapter("gates"))
