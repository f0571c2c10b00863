"""Other correct ways to write the answers must pass: a check judges numbers, not style."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course.checks import CheckFailed, check
from course.exercise import chapter
from solutions import dynamics


def orbit_loops(start, weights, bias, steps):
    """Every sum written out, lists for arrays, other names."""
    B, H = start.shape
    states = []
    for t in range(steps):
        before = states[t - 1] if t else start
        states.append(
            [
                [
                    float(np.tanh(bias[i] + sum(weights[i, j] * before[n][j] for j in range(H))))
                    for i in range(H)
                ]
                for n in range(B)
            ]
        )
    return states


def orbit_columns(h0, W, b, T):
    """States as columns, as in the book, turned round at the end."""
    states, h = [], h0.T
    for _ in range(T):
        h = np.tanh(W @ h + b[:, None])
        states.append(h.T)
    return np.array(states)


def orbit_recursive(h0, W, b, T):
    """The definition, word for word."""
    first = np.tanh(h0 @ W.T + b)[None]
    return first if T == 1 else np.concatenate([first, orbit_recursive(first[0], W, b, T - 1)])


def driven_stacked(x, h0, U, W, b):
    """One product of the joined matrix [W U b] with the joined vector."""
    joined, states = np.column_stack([W, U, b]), []
    for step in x:
        before = states[-1] if states else h0
        z = np.concatenate([before, step, np.ones((len(before), 1))], axis=1)
        states.append(np.tanh(np.einsum("ij,bj->bi", joined, z)))
    return np.stack(states)


def driven_by_sequence(x, h0, U, W, b):
    """One sequence at a time."""
    h = np.zeros((len(x), *h0.shape))
    for n in range(len(h0)):
        state = h0[n]
        for t in range(len(x)):
            h[t, n] = state = np.tanh(W @ state + U @ x[t, n] + b)
    return h


def jacobian_diag(h, W, b):
    """diag(...) W, one state at a time."""
    return np.array([np.diag(1 - np.tanh(W @ state + b) ** 2) @ W for state in h])


def jacobian_cosh(h, W, b):
    """tanh' as 1 / cosh²."""
    return np.einsum("bi,ij->bij", np.cosh(h @ W.T + b) ** -2, W)


def newton_inverse(h, W, b, steps):
    """An explicit inverse, one start at a time, I - J with a plus."""
    identity, found, radii = np.eye(len(b)), [], []
    for state in h:
        for _ in range(steps):
            J = np.diag(1 - np.tanh(W @ state + b) ** 2) @ W
            state = state + np.linalg.inv(identity - J) @ (np.tanh(W @ state + b) - state)
        J = np.diag(1 - np.tanh(W @ state + b) ** 2) @ W
        found.append(state)
        radii.append(max(abs(np.linalg.eigvals(J))))
    return np.array(found), radii


def newton_dict(h, W, b, steps):
    """Outputs by name."""
    h, radius = dynamics.newton(h, W, b, steps)
    return {"radius": radius, "h": h}


def saddle_node_formula(w):
    """The closed form, with the logarithm."""
    h = np.sqrt((w - 1) / w)
    return h, 0.5 * np.log((1 + h) / (1 - h)) - np.sqrt(w * (w - 1))


def lyapunov_late(h0, v, W, b, T):
    """Brought back to length 1 now and then, by the Jacobian of exercise 1.3."""
    h, total = h0, -np.log(np.sqrt((v**2).sum(axis=1)))
    for t in range(T):
        v = np.einsum("bij,bj->bi", dynamics.jacobian(h, W, b), v)
        h = np.tanh(h @ W.T + b)
        if t % 10 == 9 or t == T - 1:
            length = np.sqrt((v**2).sum(axis=1))
            total = total + np.log(length)
            v = v / length[:, None]
    return total / T


def lyapunov_qr(h0, v, W, b, T):
    """A QR factorization of one column, one orbit at a time, and a list."""
    rates = []
    for h, direction in zip(h0, v, strict=True):
        q, total = np.linalg.qr(direction[:, None])[0], 0.0
        for _ in range(T):
            h = np.tanh(W @ h + b)
            q, r = np.linalg.qr(np.diag(1 - h**2) @ W @ q)
            total += np.log(abs(r[0, 0]))
        rates.append(total / T)
    return rates


def memory_correlations(h, x, K):
    """The multiple correlation, by the matrix of correlations."""
    found = []
    states = h[K - 1 :]
    for k in range(K):
        past = x[K - 1 - k : len(x) - k]
        R = np.corrcoef(states.T, past)
        found.append(R[-1, :-1] @ np.linalg.solve(R[:-1, :-1], R[:-1, -1]))
    return found


def memory_normal_equations(h, x, K):
    """Centred, then the normal equations."""
    states = h[K - 1 :] - h[K - 1 :].mean(axis=0)
    found = np.zeros(K)
    for k in range(K):
        past = x[K - 1 - k : len(x) - k]
        past = past - past.mean()
        weights = np.linalg.solve(states.T @ states, states.T @ past)
        found[k] = (weights @ states.T @ past) / (past @ past)
    return found


def ridge_column_of_ones(h, y, penalty):
    """A constant feature, not penalised."""
    rows = np.column_stack([h, np.ones(len(h))])
    mask = np.diag([1.0] * h.shape[1] + [0.0])
    weights = np.linalg.solve(rows.T @ rows + penalty * mask, rows.T @ y)
    return weights[:-1].T, weights[-1]


def ridge_svd(h, y, penalty):
    """By the singular values of the centred states."""
    u, s, vt = np.linalg.svd(h - h.mean(axis=0), full_matrices=False)
    V = (vt.T * (s / (s**2 + penalty))) @ u.T @ (y - y.mean(axis=0))
    return V.T, y.mean(axis=0) - h.mean(axis=0) @ V


def orbits_scaled_matrices(h0, gain, W, b, T):
    """A matrix for each orbit, and one tensor filled in place."""
    each = gain[:, None, None] * W
    h = h0.new_empty(T, *h0.shape)
    for t in range(T):
        before = h[t - 1] if t else h0
        h[t] = torch.tanh(torch.bmm(each, before[:, :, None])[:, :, 0] + b)
    return h


def orbits_scaled_states(h0, gain, W, b, T):
    """The gain on the state: W (g h) = g W h."""
    states = [h0]
    for _ in range(T):
        states.append(torch.tanh(torch.nn.functional.linear(states[-1] * gain.unsqueeze(1), W, b)))
    return torch.stack(states[1:])


STYLES = [
    ("dynamics.orbit", orbit_loops),
    ("dynamics.orbit", orbit_columns),
    ("dynamics.orbit", orbit_recursive),
    ("dynamics.driven", driven_stacked),
    ("dynamics.driven", driven_by_sequence),
    ("dynamics.jacobian", jacobian_diag),
    ("dynamics.jacobian", jacobian_cosh),
    ("dynamics.newton", newton_inverse),
    ("dynamics.newton", newton_dict),
    ("dynamics.saddle_node", saddle_node_formula),
    ("dynamics.lyapunov", lyapunov_late),
    ("dynamics.lyapunov", lyapunov_qr),
    ("dynamics.memory", memory_correlations),
    ("dynamics.memory", memory_normal_equations),
    ("dynamics.ridge", ridge_column_of_ones),
    ("dynamics.ridge", ridge_svd),
    ("dynamics.orbits", orbits_scaled_matrices),
    ("dynamics.orbits", orbits_scaled_states),
]


@pytest.mark.parametrize(("name", "answer"), STYLES, ids=[f"{a.__name__}" for _, a in STYLES])
def test_another_style_is_right(name, answer, capsys):
    check(name, answer)
    assert "right" in capsys.readouterr().out


def test_memory_in_single_precision_does_not_hang_on_the_draw():
    """Normal equations square a condition number: in float32 it has to be small."""
    exercise = chapter("dynamics")["dynamics.memory"]
    for seed in range(30):
        (case,) = (each for each in exercise.cases(np.random.default_rng(seed)) if each.single)
        got, (want,) = memory_normal_equations(**case.args), exercise.oracle(**case.args)
        assert np.abs(got - want).max() < 1e-5


def single(answer):
    """The same answer, but everything it returns in float32."""

    def narrowed(value):
        if isinstance(value, tuple):
            return tuple(map(narrowed, value))
        return np.float32(value)

    return lambda *args: narrowed(answer(*args))


@pytest.mark.parametrize(
    "name", ["orbit", "driven", "jacobian", "newton", "saddle_node", "lyapunov", "memory", "ridge"]
)
def test_float32_out_is_right(name):
    check(f"dynamics.{name}", single(getattr(dynamics, name)))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            lambda h0, gain, W, b, T: h0.new_zeros(T, *h0.shape).numpy(),
            "a ndarray, want one tensor",
        ),
        (lambda h0, gain, W, b, T: h0.float().new_zeros(T, *h0.shape), "dtype torch.float32"),
        (lambda h0, gain, W, b, T: h0.add_(1).expand(T, *h0.shape), "writes into h0"),
    ],
)
def test_what_is_said_of_tensors(answer, words, capsys):
    with pytest.raises(CheckFailed):
        check("dynamics.orbits", answer)
    assert words in capsys.readouterr().out


def test_an_answer_that_leaves_its_device_is_told_so(capsys):
    def counted(h0, gain, W, b, T):
        float(gain.sum())  # a number on the meta device has no value
        return dynamics.orbits(h0, gain, W, b, T)

    with pytest.raises(CheckFailed):
        check("dynamics.orbits", counted)
    out = capsys.readouterr().out
    assert "on another device it raised" in out
    assert "new tensors go where the arguments are" in out
