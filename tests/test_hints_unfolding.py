"""The worked cases in the hints of chapter 2: what the reference gives stands in the text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course import hints
from solutions import unfolding as ours


def m(*values):
    """Arrays of one number each: matrices (1, 1)."""
    return [np.array([[float(v)]]) for v in values]


NONE = np.zeros(1)
TWO = np.array([2, 1])


def step():
    U, W, V, state, x = m(1, 2, 3, 0.5, 0.1)
    return ours.step((U, W, NONE, V, np.ones(1)), state, x)


def concatenated():
    U, W = np.array([[5.0], [6.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    return ours.concatenated(U, W, np.array([0.0, 1.0]), np.array([[1.0, 0.0]]), np.array([[2.0]]))


def copies():
    x, (h0, U, W, dW) = np.zeros((2, 1, 1)), m(0.5, 0, 2, 1)
    last = ours.copies(x, h0, U, W, NONE, dW)
    return [last, last.sum(0), ours.copies(x[:1], h0, U, W, NONE, dW)]


def masked():
    x = np.array([[[0.5], [0.5]], [[0.1], [9.0]]])
    return [ours.masked(x, TWO, np.zeros((2, 1)), *m(1, 2), NONE)]


def torch_masked():
    x = torch.full((2, 2, 1), 0.5, dtype=torch.float64)
    rest = (torch.tensor(a) for a in (TWO, np.zeros((2, 1)), *m(1, 2), NONE))
    return [ours.torch_masked(x, *rest).numpy()]


def one_symbol(params, state, x):
    """Scores always 0, of one symbol and the end."""
    return state, np.zeros(2)


def counting(params, state, x):
    """Keeps what it reads."""
    state.append(tuple(map(float, x)))
    return state, np.zeros(1)


def lengths_read():
    read = []
    ours.sample_length(counting, None, read, np.array([-99.0, 99.0, -99.0]), 1, np.full(4, 0.5))
    return read


NUMBERS = {
    "step": step,
    "unfold": lambda: [
        np.array(each) for each in ours.unfold(lambda p, s, x: (s + x, 10 * (s + x)), 0, 1, [2, 5])
    ],
    "concatenated": concatenated,
    "count": lambda: [
        *ours.count(1, 2, 1, 2),
        ours.count(1, 2, 1, 3)[1],
        ours.count(1, 2, 1, 4)[1],
    ],
    "copies": copies,
    "masked": masked,
    "pack": lambda: ours.pack(np.array([[[10.0], [20.0]], [[30.0], [99.0]]]), TWO),
    "log_end": lambda: [
        ours.log_end(
            np.array([[[0.0, 0]], [[0, 0]], [[5, 5]]]), np.zeros((2, 1), int), np.array([1])
        )
    ],
    "log_halt": lambda: [
        ours.log_halt(
            np.zeros((2, 1, 1)), np.array([[0.0], [1.0]]), np.zeros((2, 1), int), np.array([2])
        )
    ],
    "log_length": lambda: [
        ours.log_length(np.zeros((1, 2)), np.zeros((2, 1, 2)), np.zeros((2, 1), int), np.array([2]))
    ],
    "pick": lambda: [ours.pick(np.log([0.5, 0.25, 0.25]), np.float64(u)) for u in (0.3, 0.6, 0.5)],
    "sample_end": lambda: [np.array(ours.sample_end(one_symbol, None, 0, 1, np.array([0.2, 0.7])))],
    "sample_halt": lambda: [
        np.array(
            ours.sample_halt(
                lambda p, s, x: (s, (np.zeros(1), 0.0)),
                None,
                0,
                1,
                np.array([[0.5, 0.9], [0.5, 0.2]]),
            )
        )
    ],
    "sample_length": lambda: [np.array(lengths_read())],
    "torch_masked": torch_masked,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_worked_case_of_a_hint_is_right(name):
    """To four digits; a minus may be the text's own."""
    text = hints.of_chapter("unfolding")[f"unfolding.{name}"][3].replace("−", "-")
    for array in NUMBERS[name]():
        for value in np.ravel(array):
            said = f"{value:.4f}".rstrip("0").rstrip(".")
            assert said in text, (said, text)


def test_how_many_symbols_the_samplers_draw():
    assert NUMBERS["sample_end"]()[0].tolist() == [0]
    assert NUMBERS["sample_halt"]()[0].tolist() == [0, 0]
    assert lengths_read() == [(0, 2), (1, 1)]
    assert [int(k) for k in NUMBERS["pick"]()] == [0, 1, 1]


def test_no_hint_is_left_out():
    assert {f"unfolding.{name}" for name in NUMBERS} == set(hints.of_chapter("unfolding"))
