"""The worked cases of chapter 6's hints, computed: each number stands in the hint."""

from __future__ import annotations

import numpy as np
import pytest

from course import hints
from solutions import seq2seq as s


def one(*numbers: float) -> np.ndarray:
    """Numbers over time as (T, 1, 1), a batch of one and a feature of one."""
    return np.array(numbers, dtype=float)[:, None, None]


ONE = np.ones((1, 1))
TWO = np.ones((2, 1))


def chain(table):
    """A step whose next symbol depends on the last one; its state is the symbol before that."""
    return lambda state, symbol: (symbol, np.log(table[(state, symbol)]))


def encoded():
    x = np.array([[[2.0], [3.0]], [[4.0], [9.0]]])
    h = s.encode(lambda p, h, x: h + x, None, x, np.array([[1.0, 1], [1, 0]]), np.ones((2, 1)))
    assert h[:, :, 0].tolist() == [[3, 4], [7, 4]]
    return ["((3, 4), (7, 4))"]


def weighted():
    last, mean = s.fixed_weights(np.array([1, 2]), 2)
    assert last.T.tolist() == [[1, 0], [0, 1]]
    assert mean.T.tolist() == [[1, 0], [0.5, 0.5]]
    return ["column 2 is (1/2, 1/2)"]


def dotted():
    context, alpha = s.dot_attention(
        2 * ONE, one(0, 0.5, 9), one(10, 20, 70), np.array([[1.0], [1], [0]])
    )
    return [f"({alpha[0, 0]:.4f}, {alpha[1, 0]:.4f}, 0)", f"= {context[0, 0]:.2f}"]


def added():
    context, alpha = s.additive_attention(
        0.5 * ONE, one(0, -0.5), one(10, 20), TWO, ONE, ONE, np.array([2.0])
    )
    return [f"({alpha[0, 0]:.4f}, {alpha[1, 0]:.4f})", f"= {context[0, 0]:.2f}", "0.9242"]


def sent_back():
    args = (0 * ONE, one(0, 1), one(1, 3))
    weights = (ONE, ONE, np.array([2.0]))
    _, alpha = s.additive_attention(*args, TWO, *weights)
    dquery, dkeys, _, _, _, dv = s.additive_attention_backward(ONE, *args, alpha, *weights)
    return [
        f"alpha = ({alpha[0, 0]:.4f}, {alpha[1, 0]:.4f})",
        f"dkeys = ({dkeys[0, 0, 0]:.4f}, {dkeys[1, 0, 0]:.4f})",
        f"dquery = {dquery[0, 0]:.4f}",
        f"= {dv[0]:.4f}",
    ]


def decoded():
    states, o = s.decode(
        lambda p, state, x: state + x[:, :1] + x[:, 1:],
        lambda state: 10 * state,
        None,
        ONE,
        np.array([0]),
        np.array([[2], [1]]),
        np.array([[1.0], [2], [3]]),
        np.ones((1, 2)),
        np.zeros(1),
    )
    return [f"= {states[0, 0, 0]:.0f}, o", f"= {o[0, 0, 0]:.0f}", f"= {o[1, 0, 0]:.0f}"]


def cost():
    o = np.array([[[0.0, 0]], [[3, 0]]])
    loss, do = s.masked_cross_entropy(o, np.zeros((2, 1), dtype=int), np.array([[1.0], [0]]))
    assert do[:, 0].tolist() == [[-0.5, 0.5], [0, 0]]
    return [f"{loss:.4f}"]


def followed():
    step = chain({(None, 2): [0.3, 0.6, 0.1], (2, 1): [0.8, 0.1, 0.1]})
    y, logp = s.greedy(step, None, 2, 0, 5)
    return [f"y = {y}", f"{logp:.4f}"]


def beamed():
    first, one_, two = [0.1, 0.5, 0.4], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]
    step = chain({(None, 2): first, (2, 1): one_, (2, 2): two})
    y, score = s.beam_search(step, None, 2, 0, 2, 2, 0.0)
    plain, _ = s.greedy(step, None, 2, 0, 2)
    return [f"the answer is {y}", f"{score:.3f}", f"greedy search finds {plain}"]


def scored():
    return [f"{s.bleu([list('abcd')], [[list('abcde')]]):.4f}"]


def scanned():
    h = s.scan(one(0.5, 0.1), one(1, 2), 4 * ONE)
    return [f"({h[0, 0, 0]:.0f}, 0.1 · 3 + 2) = (3, {h[1, 0, 0]:.1f})"]


def gated():
    h = s.mingru(one(2, 4), ONE, 0 * ONE, np.zeros(1), ONE, np.zeros(1))
    return [f"({h[0, 0, 0]:.1f}, {h[1, 0, 0]:.2f})"]


CASES = {
    "encode": encoded,
    "fixed_weights": weighted,
    "dot_attention": dotted,
    "additive_attention": added,
    "additive_attention_backward": sent_back,
    "decode": decoded,
    "masked_cross_entropy": cost,
    "greedy": followed,
    "beam_search": beamed,
    "bleu": scored,
    "scan": scanned,
    "mingru": gated,
}


@pytest.mark.parametrize("name", CASES)
def test_the_worked_case_is_what_the_answer_computes(name):
    text = hints.of_chapter("seq2seq")[f"seq2seq.{name}"][3]
    for number in CASES[name]():
        assert number in text, number
