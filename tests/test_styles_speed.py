"""Other correct ways to write the answers of chapter 8 must pass."""

from __future__ import annotations

import numpy as np
import pytest

from course.checks import CheckFailed, check


def operations_by_products(T, B, D, H, G):
    """Integers, product by product, as a list."""
    product = 2 * B * G * H * D + 2 * B * G * H * H
    return [T * product, T * product + T * product]


def operations_as_arrays(T, B, D, H, G):
    """NumPy numbers, by name."""
    forward = np.float64(2 * T * B) * G * H * np.sum([D, H])
    return {"backward": 2 * forward, "forward": forward}


def traffic_by_arrays(B, H, G, size):
    """Numbers counted first."""
    numbers = G * H**2 + B * G * H + B * H + B * H
    return np.array(size * numbers, float), np.array(2.0 * B * G * H**2 / (size * numbers))


def predict_in_a_loop(N, Q, calls, rate, bandwidth, latency):
    """At the speed of (8.5), piece by piece."""
    found = []
    for n, q, k in zip(N, Q, calls, strict=True):
        found.append(k * latency + (n / rate if n / rate > q / bandwidth else q / bandwidth))
    return found


def predict_with_where(N, Q, calls, rate, bandwidth, latency):
    """np.where, and a stack."""
    computing, moving = N / rate, Q / bandwidth
    return np.where(computing < moving, moving, computing) + latency * calls


def pair_in_a_loop(a, b):
    """Pair by pair."""
    A, B = [], []
    for k in range(len(a) // 2):
        A.append(a[2 * k] * a[2 * k + 1])
        B.append(b[2 * k + 1] + a[2 * k + 1] * b[2 * k])
    return np.array(A), np.array(B)


def pair_by_reshaping(a, b):
    """An axis for the pairs."""
    n = len(a) // 2
    a, b = (each[: 2 * n].reshape(n, 2, *each.shape[1:]) for each in (a, b))
    return a.prod(axis=1), np.einsum("nbh,nbh->nbh", a[:, 1], b[:, 0]) + b[:, 1]


def backward_by_matrix(dh, a, h):
    """All roads at once: a triangular matrix of products for each entry."""
    T = len(dh)
    roads = np.zeros((T, T, *dh.shape[1:]))
    for t in range(T):
        roads[t, t] = 1
        for s in range(t - 1, -1, -1):
            roads[s, t] = roads[s + 1, t] * a[s + 1]
    db = (roads * dh).sum(axis=1)
    return np.vstack([np.zeros_like(h[:1]), h[:-1]]) * db, db


def backward_by_scan(dh, a, h):
    """The recurrence turned round, with the loop of the forward pass."""
    later = np.concatenate([a[1:], 0 * a[:1]])[::-1]
    total, found = np.zeros_like(dh[0]), []
    for factor, outside in zip(later, dh[::-1], strict=True):
        total = outside + factor * total
        found.append(total)
    db = np.array(found[::-1])
    da = db.copy()
    da[0] = 0
    da[1:] *= h[:-1]
    return [da, db]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("speed.operations", operations_by_products),
        ("speed.operations", operations_as_arrays),
        ("speed.step_traffic", traffic_by_arrays),
        ("speed.predict", predict_in_a_loop),
        ("speed.predict", predict_with_where),
        ("speed.pair", pair_in_a_loop),
        ("speed.pair", pair_by_reshaping),
        ("speed.scan_backward", backward_by_matrix),
        ("speed.scan_backward", backward_by_scan),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_another_correct_way_passes(name, answer):
    check(name, answer)


def test_this_test_can_fail():
    with pytest.raises(CheckFailed):
        check("speed.pair", lambda a, b: (a[1::2], b[1::2]))


# What a student tried: right by the book's own formula, and wrong in ways that once crashed.


def predict_by_the_roof(N, Q, calls, rate, bandwidth, latency):
    """(8.6) as it stands: N over what the roof allows at N / Q."""
    return calls * latency + N / np.minimum(rate, bandwidth * N / Q)


def test_the_roof_divides_by_nothing():
    check("speed.predict", predict_by_the_roof)


def traffic_with_w_again(B, H, G, size):
    Q = size * (B * G * H**2 + (G + 2) * B * H)
    return Q, 2 * B * G * H**2 / Q


def traffic_upside_down(B, H, G, size):
    Q = size * (G * H**2 + (G + 2) * B * H)
    return Q, Q / (2 * B * G * H**2)


def backward_swapped(dh, a, h):
    db = np.zeros_like(dh)
    for t in reversed(range(len(dh))):
        db[t] = dh[t] + (a[t + 1] * db[t + 1] if t + 1 < len(dh) else 0)
    return db, np.concatenate([0 * h[:1], h[:-1]]) * db


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("step_traffic", traffic_with_w_again, '"W is read again for every sequence"'),
        ("step_traffic", traffic_upside_down, '"bytes for each operation"'),
        (
            "predict",
            lambda N, Q, k, rate, bandwidth, each: k * (each + np.maximum(N / rate, Q / bandwidth)),
            '"each call does all the work"',
        ),
        ("scan_backward.da", backward_swapped, '"da and db are swapped"'),
        ("scan_backward.db", backward_swapped, '"da and db are swapped"'),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_a_student_tried_is_called_what_it_is(name, answer, words, capsys):
    with pytest.raises(CheckFailed):
        check(f"speed.{name}", answer)
    assert words in capsys.readouterr().out
