"""Other correct ways to write the answers must pass: a check judges numbers, not style."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch

from course.checks import CheckFailed, check
from solutions import bptt


def forward_loops(inputs, start, W_in, W_rec, bias, W_out, bias_out):
    """Every sum written out, lists for arrays, other names."""
    T, B, D = inputs.shape
    H, K = len(bias), len(bias_out)
    states, outputs = [], []
    for t in range(T):
        states.append([])
        outputs.append([])
        for n in range(B):
            before = states[t - 1][n] if t else start[n]
            now = []
            for i in range(H):
                a = float(bias[i])
                for j in range(H):
                    a += W_rec[i, j] * before[j]
                for j in range(D):
                    a += W_in[i, j] * inputs[t, n, j]
                now.append(np.tanh(a))
            states[t].append(now)
            outputs[t].append(
                [bias_out[k] + sum(W_out[k, i] * now[i] for i in range(H)) for k in range(K)]
            )
    return states, outputs


def forward_columns(x, h0, U, W, b, V, c):
    """One sequence at a time, column vectors as in the book."""
    h = np.zeros((*x.shape[:2], len(b)), order="F")
    o = np.zeros((*x.shape[:2], len(c)))
    for n in range(x.shape[1]):
        state = h0[n]
        for t in range(x.shape[0]):
            state = np.tanh(b + W @ state + U @ x[t, n])
            h[t, n], o[t, n] = state, c + V @ state
    return h, o


def forward_float32(x, h0, U, W, b, V, c):
    """Single precision throughout."""
    x, h0, U, W, b, V, c = (a.astype(np.float32) for a in (x, h0, U, W, b, V, c))
    return bptt.forward(x, h0, U, W, b, V, c)


def forward_einsum_recursive(x, h0, U, W, b, V, c):
    """Recursion over time, einsum for the products, views of a longer array."""

    def go(t, state):
        if t == len(x):
            return []
        state = np.tanh(b + np.einsum("bj,ij->bi", state, W) + np.einsum("bj,ij->bi", x[t], U))
        return [state, *go(t + 1, state)]

    h = np.concatenate([h0[None], np.array(go(0, h0))])[1:]
    return h, np.einsum("tbi,ki->tbk", h, V) + c


def loss_loops(o, y, mask):
    """One number at a time, a Python float."""
    total = 0.0
    for t, n in np.ndindex(y.shape):
        if mask[t, n]:
            total += np.logaddexp.reduce(o[t, n]) - o[t, n, y[t, n]]
    return total


def loss_zero_dimensional(o, y, mask):
    """An array without axes is a number."""
    return np.array(loss_loops(o, y, mask))


def loss_log_softmax(o, y, mask):
    """The logarithm of the softmax, but never of a number that was rounded to 0."""
    shifted = o - np.max(o, axis=2)[:, :, None]
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=2))[:, :, None]
    return -np.sum(mask[..., None] * np.eye(o.shape[2])[y] * log_p)


def grad_o_in_own_copy(o, y, mask):
    """In-place work on one's own array."""
    p = np.exp(o - o.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    p[np.arange(len(y))[:, None], np.arange(y.shape[1]), y] -= 1
    p *= mask[:, :, None]
    return p


def grad_h_columns(grad_outputs, states, recurrent, readout):
    """(3.9) as it stands in the book, with diag and transposes."""
    T, B, _ = states.shape
    answer = np.zeros_like(states)
    for n in range(B):
        for t in range(T - 1, -1, -1):
            answer[t, n] = readout.T @ grad_outputs[t, n]
            if t + 1 < T:
                jacobian = np.diag(1 - states[t + 1, n] ** 2) @ recurrent
                answer[t, n] += jacobian.T @ answer[t + 1, n]
    return answer


def grad_h_list(do, h, W, V):
    """A list of arrays, put in order at the end."""
    backward = [do[-1] @ V]
    for t in range(len(h) - 2, -1, -1):
        backward.append(do[t] @ V + (backward[-1] * (1 - h[t + 1] ** 2)) @ W)
    return backward[::-1]


class Gradients(NamedTuple):
    dU: np.ndarray
    dW: np.ndarray
    db: np.ndarray
    dV: np.ndarray
    dc: np.ndarray


def grad_params_loop(dh, do, x, h, h0):
    """A loop over time and a named tuple."""
    T, B, H = h.shape
    dU, dW, db = np.zeros((H, x.shape[2])), np.zeros((H, H)), np.zeros(H)
    dV, dc = np.zeros((do.shape[2], H)), np.zeros(do.shape[2])
    for t in range(T):
        before = h[t - 1] if t else h0
        da = (1 - h[t] ** 2) * dh[t]
        for n in range(B):
            dU += np.outer(da[n], x[t, n])
            dW += np.outer(da[n], before[n])
            db += da[n]
            dV += np.outer(do[t, n], h[t, n])
            dc += do[t, n]
    return Gradients(dU, dW, db, dV, dc)


def grad_params_dict(dh, do, x, h, h0):
    """By name, in another order."""
    dU, dW, db, dV, dc = bptt.grad_params(dh, do, x, h, h0)
    return {"dc": dc, "db": db, "dU": dU, "dV": dV, "dW": dW}


def clip_guarded(grads, max_norm):
    """A small number instead of a test for zero, a tuple instead of a list."""
    norm = np.linalg.norm([np.linalg.norm(g) for g in grads])
    return tuple(g * min(1, max_norm / (norm + 1e-6)) for g in grads), float(norm)


def truncated_chunks(do, h, W, V, k):
    """grad_h on every chunk by itself."""
    starts = range(0, len(h), k)
    return np.concatenate([bptt.grad_h(do[s : s + k], h[s : s + k], W, V) for s in starts])


def rtrl_separate(g, x, h0, U, W, b):
    """Three influence arrays instead of one."""
    (B, H), D = h0.shape, x.shape[2]
    P_U, P_W, P_b = np.zeros((B, H, H, D)), np.zeros((B, H, H, H)), np.zeros((B, H, H))
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    h = h0
    for t in range(len(x)):
        before, h = h, np.tanh(x[t] @ U.T + h @ W.T + b)
        for n in range(B):
            J = (1 - h[n] ** 2)[:, None] * W
            P_U[n], P_W[n] = np.tensordot(J, P_U[n], 1), np.tensordot(J, P_W[n], 1)
            P_b[n] = J @ P_b[n]
            for i in range(H):
                slope = 1 - h[n, i] ** 2
                P_U[n, i, i] += slope * x[t, n]
                P_W[n, i, i] += slope * before[n]
                P_b[n, i, i] += slope
            dU += np.tensordot(g[t, n], P_U[n], 1)
            dW += np.tensordot(g[t, n], P_W[n], 1)
            db += g[t, n] @ P_b[n]
    return dU, dW, db


class FunctionByParts(torch.autograd.Function):
    """Setup apart from forward, a dictionary on the context, sums inside the loop."""

    @staticmethod
    def forward(x, h0, U, W, b):
        h = x.new_zeros(x.shape[0], *h0.shape)
        state = h0
        for t in range(x.shape[0]):
            state = torch.tanh(torch.addmm(b, x[t], U.t()) + state.mm(W.t()))
            h[t] = state
        return h

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, h0, U, W, _ = inputs
        ctx.save_for_backward(x, h0, U, W, output)

    @staticmethod
    def backward(ctx, grad):
        x, h0, U, W, h = ctx.saved_tensors
        dx, dU, dW = torch.zeros_like(x), torch.zeros_like(U), torch.zeros_like(W)
        db, later = U.new_zeros(len(U)), torch.zeros_like(h0)
        for t in range(len(x) - 1, -1, -1):
            da = (grad[t] + later) * (1 - h[t] ** 2)
            dx[t] = da @ U
            dU += da.t() @ x[t]
            dW += da.t() @ (h[t - 1] if t else h0)
            db += da.sum(0)
            later = da @ W
        return dx, later, dU, dW, db


class FunctionOnACopy(torch.autograd.Function):
    """Writes over dh, but over a copy of its own."""

    @staticmethod
    def forward(ctx, x, h0, U, W, b):
        h = FunctionByParts.forward(x, h0, U, W, b)
        ctx.save_for_backward(x, h0, U, W, h)
        return h

    @staticmethod
    def backward(ctx, dh):
        x, h0, U, W, h = ctx.saved_tensors
        da = dh.clone()
        for t in range(len(h) - 1, -1, -1):
            da[t] *= 1 - h[t] ** 2
            if t:
                da[t - 1] += da[t] @ W
        before = torch.cat([h0[None], h[:-1]])
        sums = (torch.einsum("tbh,tbj->hj", da, right) for right in (x, before))
        return da @ U, da[0] @ W, *sums, da.sum((0, 1))


STYLES = [
    ("bptt.forward", forward_loops),
    ("bptt.forward", forward_columns),
    ("bptt.forward", forward_float32),
    ("bptt.forward", forward_einsum_recursive),
    ("bptt.loss", loss_loops),
    ("bptt.loss", loss_zero_dimensional),
    ("bptt.loss", loss_log_softmax),
    ("bptt.grad_o", grad_o_in_own_copy),
    ("bptt.grad_h", grad_h_columns),
    ("bptt.grad_h", grad_h_list),
    ("bptt.grad_params", grad_params_loop),
    ("bptt.grad_params", grad_params_dict),
    ("bptt.clip", clip_guarded),
    ("bptt.truncated", truncated_chunks),
    ("bptt.rtrl", rtrl_separate),
    ("bptt.RNNFunction", FunctionByParts),
    ("bptt.RNNFunction", FunctionOnACopy),
]


@pytest.mark.parametrize(("name", "answer"), STYLES, ids=[f"{a.__name__}" for _, a in STYLES])
def test_another_style_is_right(name, answer, capsys):
    check(name, answer)
    assert "right" in capsys.readouterr().out


def single(answer):
    """The same answer, but everything it returns in float32."""

    def narrowed(value):
        if isinstance(value, tuple | list):
            return type(value)(map(narrowed, value))
        return np.float32(value)

    return lambda *args: narrowed(answer(*args))


@pytest.mark.parametrize("name", ["forward", "loss", "grad_o", "grad_h", "grad_params", "rtrl"])
def test_float32_out_is_right(name):
    check(f"bptt.{name}", single(getattr(bptt, name)))


def test_warnings_and_prints_cost_nothing(capsys):
    def noisy(o, y, mask):
        np.log(np.zeros(1))
        print("shape", o.shape)
        return bptt.loss(o, y, mask)

    check("bptt.loss", noisy)
    out, err = capsys.readouterr()
    assert "your code warned: RuntimeWarning: divide by zero" in out
    assert "your code printed:" in out
    assert err == ""


def test_decorated_and_partial_answers_pass():
    import functools

    @functools.lru_cache(maxsize=0)
    def nothing():
        return 0

    @functools.wraps(bptt.clip)
    def wrapped(*args):
        nothing()
        return bptt.clip(*args)

    check("bptt.clip", wrapped)
    check("bptt.truncated", functools.partial(bptt.truncated))
    with pytest.raises(CheckFailed):
        check("bptt.truncated", functools.partial(bptt.truncated, k=2))
