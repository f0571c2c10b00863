"""The networks of chapters 3 and 5 once more, as fast as NumPy goes.  No exercise: chapter 8.

The answers in `bptt` and `gates` are there to be read.  These give the same numbers, to rounding,
from the same equations, in less time.  What they do differently, and chapter 8 measures:

- A gate is a slab of its own, (B, H) without a gap, and not a strided slice of (B, 4H).
- What does not wait for a state is one product outside the loop: U x, and every weight gradient.
- A step writes into arrays that are there already.
- One tanh makes all gates: sigmoid(a) = 1/2 + 1/2 tanh(a / 2), the half folded into the weights.
- Local derivatives are made for many steps at once, so that a step back is linear in what arrives.

Each forward pass returns the states and a trace, the backward pass takes that trace.  Arguments may
be of any layout, all of one floating-point type, and are never written to.  A trace that is no
longer needed can be given as `room` to a later forward pass of the same shapes, which writes over
it, the states that it returned included: asking the system for fresh memory takes time, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

CHUNK = 1 << 15
"""Entries of one slab for which local derivatives are made at once: few enough to stay cached."""


class RNNTrace(NamedTuple):
    """What `rnn_backward` needs; states : (T+1, B, H), h0 first; da : (T, B, H), room for it."""

    x: np.ndarray
    states: np.ndarray
    da: np.ndarray
    U: np.ndarray
    W: np.ndarray


class LSTMTrace(NamedTuple):
    """What `lstm_backward` needs.

    states : (T+1, B, H), h0 first; slabs : (T+1, 5, B, H), the gates i, f, o, g of a step and the
    cell before it, so that its last entry is the last cell, beside gates that mean nothing;
    tanh_c : (T, B, H); da : (T, 4, B, H), room for the backward pass
    """

    x: np.ndarray
    states: np.ndarray
    slabs: np.ndarray
    tanh_c: np.ndarray
    da: np.ndarray
    U: np.ndarray
    W: np.ndarray


class GRUTrace(NamedTuple):
    """What `gru_backward` needs.

    states : (T+1, B, H), h0 first; gates : (T, 3, B, H), slabs r, u, n;
    inner : (T, B, H), the bracket of (5.20) that the reset gate multiplies;
    da : (T, 4, B, H), room for the backward pass
    """

    x: np.ndarray
    states: np.ndarray
    gates: np.ndarray
    inner: np.ndarray
    da: np.ndarray
    U: np.ndarray
    W: np.ndarray


def rnn_forward(
    x: np.ndarray, h0: np.ndarray, U: np.ndarray, W: np.ndarray, b: np.ndarray,
    room: RNNTrace | None = None,
) -> tuple[np.ndarray, RNNTrace]:  # fmt: skip
    """Run a tanh network over a sequence.  Source: eqs (3.1)-(3.2).

    x : (T, B, D); h0 : (B, H); U : (H, D); W : (H, H); b : (H,); room : an earlier call's trace

    Returns h : (T, B, H), the states after each step, and the trace.
    """
    states, da = (room.states, room.da) if room else _room_for(h0, (len(x) + 1,), (len(x),))
    states[0] = h0
    np.matmul(_rows(x), U.T, out=_rows(states[1:]))  # U x(t) waits where h(t) will stand
    states[1:] += b
    WT, a = np.ascontiguousarray(W.T), np.empty_like(states[0])
    h = states[0]
    for now in states[1:]:
        np.dot(h, WT, out=a)
        np.add(a, now, out=a)  # (3.1)
        h = np.tanh(a, out=now)  # (3.2)
    return states[1:], RNNTrace(x, states, da, U, W)


def rnn_backward(dh: np.ndarray, trace: RNNTrace) -> tuple[np.ndarray, ...]:
    """Gradients of L through a tanh network.  Source: eqs (3.8)-(3.15).

    dh : (T, B, H), from outside at each h(t), not the total

    Returns dx : (T, B, D), dh0 : (B, H), and, summed over time and batch, dU : (H, D),
    dW : (H, H), db : (H,).
    """
    x, states, da, U, W = trace
    total, carry = np.empty_like(states[0]), np.zeros_like(states[0])
    for steps in _chunks_back(da):
        h, slope = states[1:][steps], da[steps]
        np.multiply(h, h, out=slope)
        np.subtract(1, slope, out=slope)
        for outside, now in zip(dh[steps][::-1], slope[::-1], strict=True):
            np.add(outside, carry, out=total)  # (3.9)
            np.multiply(now, total, out=now)  # (3.10)
            np.dot(now, W, out=carry)
    flat = _rows(da)
    dx = (flat @ U).reshape(x.shape)
    return dx, carry, flat.T @ _rows(x), flat.T @ _rows(states[:-1]), flat.sum(axis=0)


def lstm_forward(
    x: np.ndarray, h0: np.ndarray, c0: np.ndarray, U: np.ndarray, W: np.ndarray, b: np.ndarray,
    room: LSTMTrace | None = None,
) -> tuple[np.ndarray, LSTMTrace]:  # fmt: skip
    """Run an LSTM over a sequence.  Source: eqs (5.1)-(5.4).

    x : (T, B, D); h0, c0 : (B, H); U : (4H, D), W : (4H, H), b : (4H,), blocks i, f, o, g;
    room : an earlier call's trace

    Returns h : (T, B, H), the states after each step, and the trace; trace.slabs[-1, 4] is the
    last cell.
    """
    T = len(x)
    states, slabs, tanh_c, da = (
        room[1:5] if room else _room_for(h0, (T + 1,), (T + 1, 5), (T,), (T, 4))
    )
    gates = slabs[:-1, :4]
    states[0], slabs[0, 4] = h0, c0
    W_times, a = _prepare(x, U, W, b, logistic=3, driven=gates)
    half, share = np.array(0.5, h0.dtype), np.empty_like(slabs[0, :2])
    kept, written = share[1], share[0]
    h = states[0]
    for gate, soft, i_f, o, g_c, c_now, tanh_now, h_now in zip(
        gates, slabs[:-1, :3], slabs[:-1, :2], slabs[:-1, 2], slabs[:-1, 3:],
        slabs[1:, 4], tanh_c, states[1:], strict=True,
    ):  # fmt: skip
        W_times(h)
        np.add(a, gate, out=a)  # (5.1)
        np.tanh(a, out=gate)
        np.multiply(soft, half, out=soft)
        np.add(soft, half, out=soft)  # (5.2)
        np.multiply(i_f, g_c, out=share)
        np.add(kept, written, out=c_now)  # (5.3)
        np.tanh(c_now, out=tanh_now)
        h = np.multiply(o, tanh_now, out=h_now)  # (5.4)
    return states[1:], LSTMTrace(x, states, slabs, tanh_c, da, U, W)


def lstm_backward(dh: np.ndarray, dc_last: np.ndarray, trace: LSTMTrace) -> tuple[np.ndarray, ...]:
    """Gradients of L through an LSTM.  Source: eqs (5.10)-(5.15).

    dh : (T, B, H), from outside at each h(t), not the total; dc_last : (B, H), from outside at
    the last c

    Returns dx : (T, B, D), dh0 : (B, H), dc0 : (B, H), and, summed over time and batch,
    dU : (4H, D), dW : (4H, H), db : (4H,).
    """
    x, states, slabs, tanh_c, da, U, W = trace
    T, B, H = tanh_c.shape
    da = da.reshape(T, B, 4, H)  # side by side: (5.10) is then one product
    one, total, dc = np.ones((), slabs.dtype), np.empty_like(states[0]), np.empty_like(states[0])
    from_a, from_c = np.zeros_like(total), np.array(dc_last, slabs.dtype)
    for steps in _chunks_back(tanh_c):
        gates, shown = slabs[:-1][steps], tanh_c[steps]
        soft, i, f, o, g = gates[:, :3], *gates[:, :4].swapaxes(0, 1)
        local = np.empty_like(slabs, shape=(len(gates), 5, B, H))  # i, f, o, g; from h to c
        np.subtract(one, soft, out=local[:, :3])
        local[:, :3] *= soft  # (5.13)
        local[:, :2] *= gates[:, 3:]  # (5.12): the partners of i and f are g and the cell before
        local[:, 2] *= shown
        for value, partner, slope in ((g, i, local[:, 3]), (shown, o, local[:, 4])):
            np.multiply(value, value, out=slope)
            np.subtract(one, slope, out=slope)
            slope *= partner
        rows = da[steps]
        for outside, to_gates, to_o, to_c, f_now, da_now, da_o, row in zip(
            dh[steps][::-1], local[::-1, :4], local[::-1, 2], local[::-1, 4], f[::-1],
            rows[::-1].swapaxes(1, 2), rows[::-1, :, 2], rows[::-1].reshape(-1, B, 4 * H),
            strict=True,
        ):  # fmt: skip
            np.add(outside, from_a, out=total)  # (5.10)
            np.multiply(to_c, total, out=dc)
            np.add(dc, from_c, out=dc)  # (5.11)
            np.multiply(to_gates, dc, out=da_now)
            np.multiply(to_o, total, out=da_o)  # o's child is h, not c
            np.multiply(f_now, dc, out=from_c)
            np.dot(row, W, out=from_a)
    flat = da.reshape(T * B, 4 * H)
    dx = (flat @ U).reshape(x.shape)
    dU, dW = flat.T @ _rows(x), flat.T @ _rows(states[:-1])  # (5.14)
    return dx, from_a, from_c, dU, dW, flat.sum(axis=0)  # (5.15)


def gru_forward(
    x: np.ndarray, h0: np.ndarray, U: np.ndarray, W: np.ndarray, b: np.ndarray, d: np.ndarray,
    room: GRUTrace | None = None,
) -> tuple[np.ndarray, GRUTrace]:  # fmt: skip
    """Run a GRU over a sequence, reset after the product: the form that needs one product a step.

    Source: eqs (5.16) and (5.20).

    x : (T, B, D); h0 : (B, H); U : (3H, D), W : (3H, H), b : (3H,), blocks r, u, n; d : (H,);
    room : an earlier call's trace

    Returns h : (T, B, H), the states after each step, and the trace.
    """
    T = len(x)
    states, gates, inner, da = room[1:5] if room else _room_for(h0, (T + 1,), (T, 3), (T,), (T, 4))
    states[0] = h0
    W_times, a = _prepare(x, U, W, b, logistic=2, driven=gates)
    a_ru, a_n, half, d = a[:2], a[2], np.array(0.5, h0.dtype), np.tile(d, (len(h0), 1))
    h = states[0]
    for ru, r, u, n, bracket, now in zip(
        gates[:, :2], *gates.swapaxes(0, 1), inner, states[1:], strict=True
    ):
        W_times(h)
        np.add(a_ru, ru, out=a_ru)
        np.tanh(a_ru, out=ru)
        np.multiply(ru, half, out=ru)
        np.add(ru, half, out=ru)  # (5.16)
        np.add(a_n, d, out=bracket)
        np.multiply(r, bracket, out=a_n)
        np.add(a_n, n, out=a_n)
        np.tanh(a_n, out=n)
        np.subtract(h, n, out=now)
        np.multiply(u, now, out=now)
        h = np.add(now, n, out=now)  # (5.20), as n + u (h - n)
    return states[1:], GRUTrace(x, states, gates, inner, da, U, W)


def gru_backward(dh: np.ndarray, trace: GRUTrace) -> tuple[np.ndarray, ...]:
    """Gradients of L through the GRU of `gru_forward`.  Source: eq (8.9).

    dh : (T, B, H), from outside at each h(t), not the total

    Returns dx : (T, B, D), dh0 : (B, H), and, summed over time and batch, dU : (3H, D),
    dW : (3H, H), db : (3H,), dd : (H,).
    """
    x, states, gates, inner, da, U, W = trace
    T, B, H = inner.shape
    # Slabs n, r, u, and the bracket's: the input's weights meet the first three, W the last three.
    da = da.reshape(T, B, 4, H)
    one, total, kept = np.ones((), gates.dtype), np.empty_like(states[0]), np.empty_like(states[0])
    carry = np.zeros_like(total)
    for steps in _chunks_back(inner):
        r, u, n = gates[steps].swapaxes(0, 1)
        local = np.empty_like(gates, shape=(len(r), 4, B, H))  # each is a factor of the total at h
        at_n, at_r, at_u, at_bracket = local.swapaxes(0, 1)
        np.subtract(one, gates[steps][:, :2], out=local[:, 1:3])
        np.multiply(n, n, out=at_n)
        np.subtract(one, at_n, out=at_n)
        at_n *= at_u  # (1 - n²)(1 - u)
        np.multiply(at_n, r, out=at_bracket)
        at_r *= at_bracket
        at_r *= inner[steps]  # r (1 - r) times the bracket, times what arrives at a_n
        at_u *= u
        at_u *= states[:-1][steps] - n
        rows = da[steps]
        for outside, factors, u_now, da_now, row in zip(
            dh[steps][::-1], local[::-1], u[::-1], rows[::-1].swapaxes(1, 2),
            rows[::-1].reshape(-1, B, 4 * H)[:, :, H:], strict=True,
        ):  # fmt: skip
            np.add(outside, carry, out=total)
            np.multiply(factors, total, out=da_now)
            np.multiply(u_now, total, out=kept)
            np.dot(row, W, out=carry)
            np.add(carry, kept, out=carry)
    flat = da.reshape(T * B, 4 * H)
    order = np.r_[H : 3 * H, :H]  # from n, r, u to r, u, n
    sides, sums = flat[:, : 3 * H], flat.sum(axis=0)
    dx = (sides @ U[np.r_[2 * H : 3 * H, : 2 * H]]).reshape(x.shape)
    dU, dW = (sides.T @ _rows(x))[order], flat[:, H:].T @ _rows(states[:-1])
    return dx, carry, dU, dW, sums[order], sums[3 * H :]


def scan(a: np.ndarray, b: np.ndarray, h0: np.ndarray) -> np.ndarray:
    """Solve h(t) = a(t) h(t-1) + b(t) in about 2 log2 T sweeps instead of T steps.

    Two steps make one of the same kind; half as many of them are left.  Source: Blelloch (1990),
    eqs (8.10)-(8.11).

    a, b : (T, ...), of one shape; h0 : (...).  Returns h : (T, ...).
    """
    h = np.empty_like(b)
    h[0] = a[0] * h0 + b[0]
    if len(b) > 1:
        even, odd = a[:-1:2], a[1::2]
        h[1::2] = scan(odd * even, odd * b[:-1:2] + b[1::2], h0)
        np.multiply(a[2::2], h[1:-1:2], out=h[2::2])
        h[2::2] += b[2::2]
    return h


def _rows(array: np.ndarray) -> np.ndarray:
    """Lay time and batch out as the rows of one matrix; a view where the layout allows."""
    return array.reshape(-1, array.shape[-1])


def _room_for(h0: np.ndarray, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Make an array for each shape, of (B, H) each; no memory is touched before it is needed."""
    return [np.empty_like(h0, shape=(*shape, *h0.shape)) for shape in shapes]


def _prepare(
    x: np.ndarray, U: np.ndarray, W: np.ndarray, b: np.ndarray, logistic: int, driven: np.ndarray
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Write the input's share of every gate into driven : (T, G, B, H), slabs for each step.

    Returns a function that writes W h into slabs, and the slabs it writes to : (G, B, H). In the
    first `logistic` blocks everything is halved, so that tanh can stand for the logistic function.
    """
    _, G, B, H = driven.shape
    half = np.where(np.arange(G) < logistic, 0.5, 1).astype(W.dtype)[:, None, None]
    UT = np.ascontiguousarray((U.reshape(G, H, -1) * half).swapaxes(1, 2))
    WT = np.ascontiguousarray((W.reshape(G, H, H) * half).swapaxes(1, 2))
    a = np.empty_like(W, shape=(G, B, H))
    if B == 1:  # slabs of one row stand side by side: one product makes them all
        UT, WT = np.concatenate(UT, axis=1), np.concatenate(WT, axis=1)
        driven[:] = (_rows(x) @ UT).reshape(driven.shape)
        out = a.reshape(1, G * H)
        W_times = partial(np.dot, b=WT, out=out)
    else:
        np.matmul(x[:, None], UT, out=driven)
        W_times = partial(_into_slabs, WT, a)
    driven += b.reshape(G, 1, H) * half
    return W_times, a


def _into_slabs(WT: np.ndarray, a: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Write the product of each block of W with h into a slab of its own."""
    return np.matmul(h, WT, out=a)


def _chunks_back(like: np.ndarray) -> Iterator[slice]:
    """Yield slices of time, from the end to the start, that together are (T, B, H)."""
    size = max(1, CHUNK // max(1, like[0].size))
    for stop in range(len(like), 0, -size):
        yield slice(max(0, stop - size), stop)
