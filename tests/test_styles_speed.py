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
