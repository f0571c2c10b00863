"""RNN, GRU and LSTM as textbooks print them: one gate, one step, one product at a time.

Nothing is taken out of the loop over time.  Chapter 8 measures what that costs; everywhere else the
book uses `solutions`.  Blocks and shapes are those of `solutions.fast`.
"""

from __future__ import annotations

import numpy as np


def sigmoid(a: np.ndarray) -> np.ndarray:
    """The logistic function by its definition."""
    return 1 / (1 + np.exp(-a))


def _gate(z: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return z @ weights.T + bias


def _by_block(U: np.ndarray, W: np.ndarray, b: np.ndarray, count: int) -> list[tuple]:
    """One matrix [W U] and one bias for each gate: the concatenated form, (5.5)."""
    theta = np.concatenate([W, U], axis=1)
    return list(zip(np.split(theta, count), np.split(b, count), strict=True))


def rnn(
    x: np.ndarray, h0: np.ndarray, U: np.ndarray, W: np.ndarray, b: np.ndarray,
    dh: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Return h : (T, B, H); with dh also dx, dh0, dU, dW, db.  Source: eqs (3.1)-(3.15)."""
    h, states = h0, []
    for t in range(len(x)):
        h = np.tanh(x[t] @ U.T + h @ W.T + b)
        states.append(h)
    if dh is None:
        return (np.array(states),)
    dx, dU, dW, db = [None] * len(x), np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    carry = np.zeros_like(h0)
    for t in reversed(range(len(x))):
        da = (dh[t] + carry) * (1 - states[t] ** 2)
        before = states[t - 1] if t else h0
        dU += da.T @ x[t]
        dW += da.T @ before
        db += da.sum(axis=0)
        dx[t] = da @ U
        carry = da @ W
    return np.array(states), np.array(dx), carry, dU, dW, db


def lstm(
    x: np.ndarray, h0: np.ndarray, c0: np.ndarray, U: np.ndarray, W: np.ndarray, b: np.ndarray,
    dh: np.ndarray | None = None, dc_last: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Return h : (T, B, H); with dh and dc_last also dx, dh0, dc0, dU, dW, db.

    Source: eqs (5.1)-(5.4) and (5.10)-(5.15).
    """
    (W_i, b_i), (W_f, b_f), (W_o, b_o), (W_g, b_g) = _by_block(U, W, b, 4)
    h, c, kept = h0, c0, []
    for t in range(len(x)):
        z = np.concatenate([h, x[t]], axis=1)
        i, f = sigmoid(_gate(z, W_i, b_i)), sigmoid(_gate(z, W_f, b_f))
        o, g = sigmoid(_gate(z, W_o, b_o)), np.tanh(_gate(z, W_g, b_g))
        before, c = c, f * c + i * g
        h = o * np.tanh(c)
        kept.append((z, i, f, o, g, before, c, h))
    states = np.array([each[-1] for each in kept])
    if dh is None:
        return (states,)
    H = h0.shape[1]
    dx, dtheta, db = np.zeros_like(x), np.zeros((4 * H, H + x.shape[2]), x.dtype), np.zeros_like(b)
    theta = np.concatenate([W, U], axis=1)
    from_a, dc = np.zeros_like(h0), dc_last
    for t in reversed(range(len(x))):
        z, i, f, o, g, before, c, _ = kept[t]
        total = dh[t] + from_a
        dc = dc + total * o * (1 - np.tanh(c) ** 2)
        da_i, da_f = dc * g * i * (1 - i), dc * before * f * (1 - f)
        da_o, da_g = total * np.tanh(c) * o * (1 - o), dc * i * (1 - g**2)
        da = np.concatenate([da_i, da_f, da_o, da_g], axis=1)
        dtheta += da.T @ z
        db += da.sum(axis=0)
        dz = da @ theta
        from_a, dx[t] = dz[:, :H], dz[:, H:]
        dc = dc * f
    return states, dx, from_a, dc, dtheta[:, H:], dtheta[:, :H], db


def gru(
    x: np.ndarray, h0: np.ndarray, U: np.ndarray, W: np.ndarray, b: np.ndarray, d: np.ndarray,
    dh: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Return h : (T, B, H); with dh also dx, dh0, dU, dW, db, dd.  Source: eqs (5.16), (5.20)."""
    (U_r, U_u, U_n), (W_r, W_u, W_n), (b_r, b_u, b_n) = (np.split(a, 3) for a in (U, W, b))
    h, kept = h0, []
    for t in range(len(x)):
        r = sigmoid(x[t] @ U_r.T + h @ W_r.T + b_r)
        u = sigmoid(x[t] @ U_u.T + h @ W_u.T + b_u)
        inner = h @ W_n.T + d
        n = np.tanh(x[t] @ U_n.T + b_n + r * inner)
        before, h = h, (1 - u) * n + u * h
        kept.append((before, r, u, n, inner, h))
    states = np.array([each[-1] for each in kept])
    if dh is None:
        return (states,)
    dx, carry, dd = np.zeros_like(x), np.zeros_like(h0), np.zeros_like(d)
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    for t in reversed(range(len(x))):
        before, r, u, n, inner, _ = kept[t]
        total = dh[t] + carry
        da_n = total * (1 - u) * (1 - n**2)
        da_r, da_u = da_n * inner * r * (1 - r), total * (before - n) * u * (1 - u)
        da = np.concatenate([da_r, da_u, da_n], axis=1)
        back = np.concatenate([da_r, da_u, da_n * r], axis=1)
        dU += da.T @ x[t]
        dW += back.T @ before
        db += da.sum(axis=0)
        dd += (da_n * r).sum(axis=0)
        dx[t] = da @ U
        carry = back @ W + total * u
    return states, dx, carry, dU, dW, db, dd
