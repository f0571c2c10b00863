"""Other correct ways to write the answers of chapter 5 must pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from course.checks import CheckFailed, check
from solutions import gates


def logistic(a):
    return 1 / (1 + np.exp(-a))


def step_split(x, h, c, U, W, b):
    """One matrix for each gate, the logistic function written out, a list for the result."""
    H = h.shape[1]
    a = []
    for k in range(4):
        rows = slice(k * H, (k + 1) * H)
        a.append(np.einsum("bd,hd->bh", x, U[rows]) + np.einsum("bk,hk->bh", h, W[rows]) + b[rows])
    new = logistic(a[1]) * c + logistic(a[0]) * np.tanh(a[3])
    return [logistic(a[2]) * np.tanh(new), new]


def step_columns(x, h, c, U, W, b):
    """Column vectors, concatenated form, one sequence at a time."""
    theta = np.hstack([W, U])
    hs, cs = [], []
    for n in range(len(x)):
        a = b[:, None] + theta @ np.concatenate([h[n], x[n]])[:, None]
        i, f, o, g = a.reshape(4, -1)
        new = logistic(f) * c[n] + logistic(i) * np.tanh(g)
        hs.append(logistic(o) * np.tanh(new))
        cs.append(new)
    return np.array(hs), np.array(cs)


def forward_by_steps(x, h0, c0, U, W, b):
    """Exercise 5.1 in a loop; the gates once more beside it, into arrays made before."""
    T, B, _ = x.shape
    H = h0.shape[1]
    h, c, gates = np.zeros((T, B, H)), np.zeros((T, B, H)), np.zeros((T, B, 4 * H))
    for t in range(T):
        before = h[t - 1] if t else h0
        a = x[t] @ U.T + before @ W.T + b
        gates[t] = np.where(np.arange(4 * H) < 3 * H, logistic(a), np.tanh(a))
        h[t], c[t] = gates_step(x[t], before, c[t - 1] if t else c0, U, W, b)
    return {"gates": gates, "h": h, "c": c}


def gates_step(*args):
    return gates.lstm_step(*args)


def backward_sums_inside(dh, dc_last, x, h, c, gates_, h0, c0, U, W):
    """Sums of outer products inside the loop, one gate after the other."""
    T, B, H = h.shape
    dx, dU, dW = np.zeros_like(x), np.zeros_like(U), np.zeros_like(W)
    db = np.zeros(4 * H)
    dh_next, dc_next = np.zeros((B, H)), dc_last.copy()
    for t in range(T - 1, -1, -1):
        i, f, o, g = (gates_[t, :, k * H : (k + 1) * H] for k in range(4))
        h_before, c_before = (h[t - 1], c[t - 1]) if t else (h0, c0)
        dh_t = dh[t] + dh_next
        dc_t = dc_next + dh_t * o / np.cosh(c[t]) ** 2
        da = np.hstack(
            [
                dc_t * g * i * (1 - i),
                dc_t * c_before * f * (1 - f),
                dh_t * np.tanh(c[t]) * o * (1 - o),
                dc_t * i * (1 - g**2),
            ]
        )
        dx[t] = da @ U
        dU += da.T @ x[t]
        dW += da.T @ h_before
        db += da.sum(0)
        dh_next, dc_next = da @ W, dc_t * f
    return dx, dh_next, dc_next, dU, dW, db


def gru_as_a_step_towards(x, h0, U, W, b):
    """h + u (n - h), and the products one by one."""
    H = h0.shape[1]
    U_r, U_u, U_n = U[:H], U[H : 2 * H], U[2 * H :]
    W_r, W_u, W_n = W[:H], W[H : 2 * H], W[2 * H :]
    h, out, kept = h0, [], []
    for now in x:
        r = logistic(now @ U_r.T + h @ W_r.T + b[:H])
        u = logistic(now @ U_u.T + h @ W_u.T + b[H : 2 * H])
        n = np.tanh(now @ U_n.T + np.dot(r * h, W_n.T) + b[2 * H :])
        h = h + u * (n - h)
        out.append(h)
        kept.append(np.hstack([r, u, n]))
    return out, kept


def gru_backward_jacobians(dh, x, h, gates_, h0, U, W):
    """One sequence at a time, with whole Jacobians and transposes."""
    T, B, H = h.shape
    W_r, W_u, W_n = np.split(W, 3)
    dx, dh0 = np.zeros_like(x), np.zeros_like(h0)
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros(3 * H)
    for j in range(B):
        later = np.zeros(H)
        for t in reversed(range(T)):
            r, u, n = np.split(gates_[t, j], 3)
            before = h[t - 1, j] if t else h0[j]
            g = dh[t, j] + later
            to_n = np.diag(u * (1 - n**2))
            to_u = np.diag((n - before) * u * (1 - u))
            to_r = to_n @ W_n @ np.diag(before * r * (1 - r))
            da = np.concatenate([to_r.T @ g, to_u.T @ g, to_n.T @ g])
            jacobian = np.diag(1 - u) + to_u @ W_u + to_r @ W_r + to_n @ W_n @ np.diag(r)
            later = jacobian.T @ g
            dx[t, j] = U.T @ da
            dU += np.outer(da, x[t, j])
            dW[: 2 * H] += np.outer(da[: 2 * H], before)
            dW[2 * H :] += np.outer(da[2 * H :], r * before)
            db += da
        dh0[j] = later
    return dx, dh0, dU, dW, db


def convert_by_blocks(U, W, b):
    """Copies, then one block turned."""
    made = [array.copy() for array in (U, W, b)]
    H = len(b) // 3
    for array in made:
        array[H : 2 * H] *= -1
    return made


def after_in_columns(x, h0, U, W, b, d):
    """Split form, column vectors."""
    hs = np.zeros((*x.shape[:2], h0.shape[1]))
    (U_r, U_u, U_n), (W_r, W_u, W_n), (b_r, b_u, b_n) = (np.split(a, 3) for a in (U, W, b))
    for j, state in enumerate(h0):
        h = state
        for t in range(len(x)):
            r = logistic(b_r + U_r @ x[t, j] + W_r @ h)
            z = logistic(b_u + U_u @ x[t, j] + W_u @ h)
            n = np.tanh(b_n + U_n @ x[t, j] + r * (W_n @ h + d))
            h = hs[t, j] = n + z * (h - n)
    return hs


def to_torch_other_bias(U, W, b):
    """The bias in the second place, by index."""
    H = W.shape[1]
    order = np.r_[0 : 2 * H, 3 * H : 4 * H, 2 * H : 3 * H]
    return U[order], W[order], np.zeros(4 * H), b[order]


def to_torch_half(U, W, b):
    """Half of the bias in each, by name."""
    weight_ih, weight_hh, bias, _ = gates.to_torch(U, W, b)
    halves = {"bias_ih": bias / 2, "bias_hh": bias / 2}
    return {"weight_ih": weight_ih, "weight_hh": weight_hh, **halves}


def from_torch_by_index(weight_ih, weight_hh, bias_ih, bias_hh):
    """One index for all."""
    H = weight_hh.shape[1]
    order = [*range(2 * H), *range(3 * H, 4 * H), *range(2 * H, 3 * H)]
    return weight_ih[order], weight_hh[order], (bias_ih + bias_hh)[order]


def sample_searchsorted(o, temperature, v):
    """A loop over the rows, searchsorted, and a lid on the last class."""
    found = []
    for row, value in zip(o.astype(float) / temperature, v, strict=True):
        p = np.exp(row - row.max())
        k = int(np.searchsorted(np.cumsum(p / p.sum()), value, side="right"))
        found.append(min(k, len(row) - 1))
    return found


def sample_argmax(o, temperature, v):
    """argmax finds the first True; the last sum is set to 1."""
    p = np.exp((o - o.max(1, keepdims=True)) / temperature)
    sums = (p / p.sum(1, keepdims=True)).cumsum(1)
    sums[:, -1] = 1.0
    return np.argmax(sums > v[:, None], axis=1)


def bits_by_loop(o, y, mask):
    """One character after the other."""
    total = count = 0.0
    for t, n in np.ndindex(y.shape):
        if mask[t, n]:
            total += (np.logaddexp.reduce(o[t, n]) - o[t, n, y[t, n]]) / math.log(2)
            count += 1
    return total / count


class FunctionSplit(torch.autograd.Function):
    """Setup apart from forward, four gates kept apart, sums inside the loop."""

    @staticmethod
    def forward(x, h0, c0, U, W, b):
        h, c = h0, c0
        hs = []
        for step in x:
            i, f, o, g = (step @ U.t() + h @ W.t() + b).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            hs.append(h)
        return torch.stack(hs), c

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dh, dc_last):
        """Runs forward once more: time for memory."""
        x, h0, c0, U, W, b = ctx.saved_tensors
        h, c, kept = h0, c0, []
        for step in x:
            i, f, o, g = (step @ U.t() + h @ W.t() + b).chunk(4, 1)
            i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), g.tanh()
            new = f * c + i * g
            kept.append((h, c, i, f, o, g, new))
            h, c = o * new.tanh(), new
        dx, dU, dW = torch.zeros_like(x), torch.zeros_like(U), torch.zeros_like(W)
        db, dh_next, dc_next = torch.zeros_like(b), torch.zeros_like(h0), dc_last.clone()
        for t in range(len(x) - 1, -1, -1):
            before, c_before, i, f, o, g, new = kept[t]
            total = dh[t] + dh_next
            dc = dc_next + total * o * (1 - new.tanh() ** 2)
            da = torch.cat(
                [
                    dc * g * i * (1 - i),
                    dc * c_before * f * (1 - f),
                    total * new.tanh() * o * (1 - o),
                    dc * i * (1 - g * g),
                ],
                1,
            )
            dx[t] = da @ U
            dU += da.t() @ x[t]
            dW += da.t() @ before
            db += da.sum(0)
            dh_next, dc_next = da @ W, dc * f
        return dx, dh_next, dc_next, dU, dW, db


STYLES = [
    ("lstm_step", step_split),
    ("lstm_step", step_columns),
    ("lstm_forward", forward_by_steps),
    ("lstm_backward", backward_sums_inside),
    ("gru_forward", gru_as_a_step_towards),
    ("gru_backward", gru_backward_jacobians),
    ("take_to_keep", convert_by_blocks),
    ("gru_after", after_in_columns),
    ("to_torch", to_torch_other_bias),
    ("to_torch", to_torch_half),
    ("from_torch", from_torch_by_index),
    ("sample", sample_searchsorted),
    ("sample", sample_argmax),
    ("bits_per_character", bits_by_loop),
    ("LSTMFunction", FunctionSplit),
]


@pytest.mark.parametrize(("name", "answer"), STYLES, ids=[answer.__name__ for _, answer in STYLES])
def test_another_style_is_right(name, answer, capsys):
    check(f"gates.{name}", answer)
    assert "right" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    ["lstm_step", "lstm_forward", "lstm_backward", "gru_forward", "gru_backward", "gru_after"],
)
def test_float32_out_is_right(name):
    answer = getattr(gates, name)

    def narrowed(*args):
        made = answer(*args)
        if isinstance(made, tuple):
            return tuple(array.astype(np.float32) for array in made)
        return made.astype(np.float32)

    check(f"gates.{name}", narrowed)


WRONG = [
    ("gru_forward", "gru_keep", "the other lecture's convention"),
    ("gru_forward", "gru_reset_after", "the reset gate acts after W_n"),
    ("gru_after", "after_take", "u takes the new"),
    ("gru_after", "after_before", "the reset gate acts before W_n"),
    ("lstm_step", "step_candidate_for_cell", "c' for c"),
    ("lstm_step", "step_torch_order", "PyTorch's order"),
    ("lstm_step", "step_no_tanh", "tanh is missing on c"),
    ("lstm_backward.dc0", "backward_no_cell_carry", "dc is not carried"),
]


@pytest.mark.parametrize(("name", "slip", "words"), WRONG)
def test_the_other_conventions_are_called_by_their_name(name, slip, words, capsys):
    from autograder.slips import gates as slips

    with pytest.raises(CheckFailed):
        check(f"gates.{name}", getattr(slips, slip))
    out = capsys.readouterr().out
    assert "known slip" in out
    assert words in out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda U, W, b: print(), "returned None"),
        (lambda U, W, b: (U, W, b), "want 4 arrays"),
        (lambda U, W, b: (U.T, W, b, b), "weight_ih has shape"),
    ],
)
def test_what_goes_into_torch_must_fit(answer, words, capsys):
    with pytest.raises(CheckFailed):
        check("gates.to_torch", answer)
    assert words in capsys.readouterr().out
