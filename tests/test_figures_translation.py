"""The numbers of chapter 6's derivations: what the prose says is what the data says."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from figures import translation as lab
from matplotlib.figure import Figure

from solutions.seq2seq import additive_attention, dot_attention

PAGE = (Path(__file__).resolve().parent.parent / "book/06-seq2seq.md").read_text(encoding="utf-8")


def test_the_puzzle_has_the_numbers_of_the_prose():
    tree = lab.puzzle()
    assert f"probability {tree.found['greedy'][1]:.3f}" in PAGE
    assert f"probability {tree.found['width 2'][1]:.3f}" in PAGE
    p = tree.probabilities
    assert (round(p["aa"], 3), round(p["ba"], 3), round(p["bb"], 4)) == (0.136, 0.175, 0.1575)
    for length in (1, 2, 3):
        assert sum(v for k, v in p.items() if len(k) == length) == pytest.approx(1)
    assert isinstance(lab.draw_tree(tree), Figure)


def test_scores_spread_with_the_root_of_the_width():
    for H in (4, 16, 64, 256):
        (raw, sharp), (even, soft) = lab.spread(H, False), lab.spread(H, True)
        assert raw == pytest.approx(math.sqrt(H), rel=0.05)
        assert even == pytest.approx(1, rel=0.05)
        assert soft < 0.3
    assert sharp > 0.85  # at 256
    assert len(lab.table_spread().rows) == 4


def test_roads_are_short_except_for_the_last_state():
    data = lab.roads()
    for kind in ("mean", "dot", "additive"):
        sizes = data.sizes[kind]
        assert sizes.max() < 5 * sizes.min()
        assert 0.003 < sizes.min() < sizes.max() < 0.03
    sizes = data.sizes["last"]
    assert sizes[-1] == pytest.approx(0.2, abs=0.05)
    assert 1e-10 < sizes[0] < 1e-8
    assert 3e7 < sizes[-1] / sizes[0] < 3e8  # "a factor of a hundred million"
    slope = np.polyfit(data.steps, np.log(sizes), 1)
    assert np.abs(np.polyval(slope, data.steps) - np.log(sizes)).max() < 2.5  # of about 19
    assert isinstance(lab.draw_roads(data), Figure)


def test_the_contest_is_as_told():
    rows = lab.contest()
    assert [r.width for r in rows] == [1, 2, 3, 5, 10, 4096]
    best = [r.best for r in rows]
    assert best == sorted(best)
    assert best[-1] == 1
    assert all(r.worse == 0 for r in rows)  # "in none of these networks"
    assert rows[-1].calls == sum(3**n for n in range(6))
    assert "200 random networks with 4 symbols and a limit of 6" in PAGE
    assert len(lab.table_contest(rows).rows) == 6


def test_scores_show_what_the_prose_says():
    found = {said: ours for said, ours, _ in lab.scores()}
    assert found["the cat sat on the mat"] == 1
    assert found["the the the the the the"] == found["on the mat sat the cat"] == 0
    assert found["the cat sat on"] == pytest.approx(math.exp(1 - 6 / 4))
    whole = found.pop("all five, as one corpus")
    assert abs(whole - np.mean(list(found.values()))) > 0.05
    assert len(lab.table_scores().rows) == 6


def test_the_quotient_breaks_near_step_1200():
    assert lab.divided(1000) < 1e-12
    assert math.isinf(lab.divided(1200))
    drawn = np.random.default_rng(0).uniform(0.2, 1, 100_000)
    assert np.log10(drawn).mean() == pytest.approx(-0.26, abs=0.005)
    assert [row[1] for row in lab.table_divided().rows].count("not a number") == 2


def test_the_tree_wants_a_power_of_two():
    one = np.ones((3, 1))
    with pytest.raises(ValueError, match="power of two"):
        lab.tree_scan(one, one, one[0])


def test_tables_of_proof_and_twin():
    assert [row[0] for row in lab.table_three_ways().rows] == [
        "query", "keys", "values", "Wq", "Wk", "v",
    ]  # fmt: skip
    assert [row[0] for row in lab.table_twin().rows] == list(lab.KINDS)
    assert len(lab.table_scans(lab.scans()).rows) == 3


def test_every_function_on_the_page_exists():
    for name in re.findall(r"\blab\.(\w+)", PAGE):
        assert hasattr(lab, name), name


class Tallied:
    """A number that counts multiplications, whoever makes them."""

    made = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def __mul__(self, other):
        Tallied.made += 1
        return Tallied(self.value * other.value)

    def __add__(self, other):
        return Tallied(self.value + getattr(other, "value", other))

    __radd__ = __add__

    def __sub__(self, other):
        return Tallied(self.value - other.value)

    def __truediv__(self, other):
        return Tallied(self.value / getattr(other, "value", other))

    def __ge__(self, other):
        return self.value >= other.value

    def exp(self):
        return Tallied(math.exp(self.value))

    def tanh(self):
        return Tallied(math.tanh(self.value))


def test_attention_multiplies_as_often_as_the_table_of_costs_says():
    T, B, G, H, C, A = 5, 2, 3, 4, 6, 7

    def numbers(*shape):
        drawn = np.random.default_rng(0).normal(size=shape)
        return np.array([Tallied(x) for x in drawn.ravel()], object).reshape(shape)

    def multiplications(attend, *given):
        Tallied.made = 0
        attend(*given)
        return Tallied.made / B  # of one sequence

    keys, values, mask = numbers(T, B, H), numbers(T, B, C), np.ones((T, B))
    assert multiplications(dot_attention, numbers(B, H), keys, values, mask) == T * (H + C)
    weights = numbers(A, G), numbers(A, H), numbers(A)
    found = multiplications(additive_attention, numbers(B, G), keys, values, mask, *weights)
    once = T * A * H
    assert found == once + A * G + T * (A + C)
    assert "| $T A H$ |" in PAGE
    assert "$T (H + C)$ for [(6.7)]; $A G + T (A + C)$ and a tanh of $TA$ for [(6.8)]" in PAGE
