"""The worked cases in the hints of chapter 1: what the reference gives stands in the text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course import hints
from solutions import dynamics


def one(*values):
    """Arrays of one number each: matrices (1, 1)."""
    return [np.array([[float(v)]]) for v in values]


def tensors(*values):
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def ridges(penalty):
    return dynamics.ridge(np.array([[1.0], [3.0]]), np.array([[2.0], [8.0]]), penalty)


NONE, HALF = np.zeros(1), np.array([0.5])
NUMBERS = {
    "orbit": lambda: [dynamics.orbit(*one(0.1, 2), HALF, 2)],
    "driven": lambda: [
        dynamics.driven(np.array([0.5, -1.0])[:, None, None], *one(0.1, 1, 2), NONE)
    ],
    "jacobian": lambda: [
        dynamics.jacobian(
            np.array([[0.1, 0.0]]), np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0.5, 0.0])
        )
    ],
    "newton": lambda: [
        *dynamics.newton(*one(0.9, 2), NONE, 30),
        dynamics.newton(*one(0.9, 2), NONE, 1)[0],
        dynamics.jacobian(*one(0.9, 2), NONE),
    ],
    "saddle_node": lambda: list(dynamics.saddle_node(np.array([2.0]))),
    "lyapunov": lambda: [
        dynamics.lyapunov(*one(0.3, 5, 2), NONE, 2),
        dynamics.lyapunov(*one(0.3, 5, 2), NONE, 1),
        dynamics.orbit(*one(0.3, 2), NONE, 2),
    ],
    "memory": lambda: [
        dynamics.memory(np.array([[0.0], [1.0], [3.0]]), np.array([0.0, 1.0, 3.0]), 2)
    ],
    "ridge": lambda: [*ridges(2.0), *ridges(0.0)],
    "orbits": lambda: [dynamics.orbits(*tensors([[0.5], [0.5]], [1, 2], [[1]], [0.1]), 2).numpy()],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_worked_case_of_a_hint_is_right(name):
    """To four digits."""
    text = hints.of_chapter("dynamics")[f"dynamics.{name}"][3]
    for array in NUMBERS[name]():
        for value in np.ravel(array):
            said = f"{value:.4f}".rstrip("0").rstrip(".")
            assert said in text, (said, text)


def test_no_hint_is_left_out():
    assert {f"dynamics.{name}" for name in NUMBERS} == set(hints.of_chapter("dynamics"))
