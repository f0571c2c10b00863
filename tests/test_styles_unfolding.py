"""Other correct ways to write the answers must pass: a check judges numbers, not style."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from course import standing
from course.checks import CheckFailed, check
from solutions import unfolding as ours


@pytest.fixture(autouse=True)
def forget():
    standing.forget()


def step_columns(params, state, x):
    """Columns, one sequence at a time; lists come back."""
    U, W, b, V, c = params
    h = [np.tanh(b + W @ s + U @ v) for s, v in zip(state, x, strict=True)]
    return h, [c + V @ each for each in h]


def step_dict(params, state, x):
    """Outputs by name."""
    h, o = ours.step(params, state, x)
    return {"o": o, "h": h}


def unfold_index(step, params, state, xs):
    """A tuple of outputs, an index for time."""
    ys = ()
    for t in range(len(xs)):
        state, y = step(params, state, xs[t])
        ys = (*ys, y)
    return [state, ys]


def unfold_recursive(step, params, state, xs):
    """(2.2) read from the inside."""
    if len(xs) == 0:
        return state, []
    state, y = step(params, state, xs[0])
    last, rest = unfold_recursive(step, params, state, xs[1:])
    return last, [y, *rest]


def unfold_reduce(step, params, state, xs):
    """A fold over the inputs."""

    def go(carried, x):
        state, ys = carried
        state, y = step(params, state, x)
        return state, [*ys, y]

    return functools.reduce(go, xs, (state, []))


def joined_block(U, W, b, h, x):
    """np.block and hstack."""
    Wa = np.block([[W, U]])
    z = np.hstack((h, x))
    return Wa, z, np.einsum("ij,bj->bi", Wa, z) + b


def count_arrays(D, H, K, tau):
    """Arrays that are made and measured; floats."""
    rnn = sum(math.prod(s) for s in ((H, D), (H, H), (H,), (K, H), (K,)))
    sizes = [H * t * D + H + K * H + K for t in range(1, 2 + 2 * (H + D))]
    return float(rnn), float(H * tau * D + H + K * H + K), 1 + sum(n <= rnn for n in sizes)


def copies_differences(x, h0, U, W, b, dW):
    """A complex step for each copy."""
    parts = []
    for s in range(len(x)):
        h = h0 + 0j
        for t in range(len(x)):
            h = np.tanh(b + h @ (W + 1e-20j * (s == t) * dW).T + x[t] @ U.T)
        parts.append(h.imag / 1e-20)
    return parts


def masked_alone(x, lengths, h0, U, W, b):
    """One sequence after the other."""
    h = np.zeros((len(x), *h0.shape))
    for n in range(len(h0)):
        state = h0[n]
        for t in range(len(x)):
            if t < lengths[n]:
                state = np.tanh(b + W @ state + U @ x[t, n])
            h[t, n] = state
    return h


def pack_loop(x, lengths):
    """Pieces, and counts as a list of integers."""
    counts = [int((lengths > t).sum()) for t in range(len(x))]
    return np.concatenate([x[t, :n] for t, n in enumerate(counts)]), counts


def log_end_loop(o, y, lengths):
    """One sequence at a time, with the own logarithm of the sum."""
    found = []
    for n, tau in enumerate(lengths):
        targets = [*y[:tau, n], o.shape[-1] - 1]
        found.append(sum(o[t, n, k] - np.logaddexp.reduce(o[t, n]) for t, k in enumerate(targets)))
    return found


def log_halt_where(o, s, y, lengths):
    """log sigma with a case distinction, instead of logaddexp."""
    small = np.exp(-np.abs(s))
    log_e = np.where(s > 0, 0.0, s) - np.log1p(small)
    t = np.arange(len(y))[:, None]
    symbols = np.take_along_axis(ours.log_softmax(o), y[..., None], -1)[..., 0]
    decisions = np.where(t == lengths - 1, log_e, log_e - s)
    return ((symbols + decisions) * (t < lengths)).sum(0)


def log_length_loop(q, o, y, lengths):
    """A Python loop over the batch."""
    return np.array(
        [
            ours.log_softmax(q)[n, tau - 1]
            + sum(ours.log_softmax(o[t, n])[y[t, n]] for t in range(tau))
            for n, tau in enumerate(lengths)
        ]
    )


def pick_search(o, u):
    """np.searchsorted, draw by draw."""
    p = np.exp(o - o.max(-1, keepdims=True))
    upto = np.cumsum(p, -1) / p.sum(-1, keepdims=True)
    flat = upto.reshape(-1, o.shape[-1])
    k = [
        min(np.searchsorted(row, v, side="right"), o.shape[-1] - 1)
        for row, v in zip(flat, np.ravel(u), strict=True)
    ]
    return np.reshape(k, np.shape(u))


def sample_end_while(step, params, state, K, u):
    """A while loop, an array at the end."""
    y, x, n = [], np.zeros(K), 0
    while n < len(u):
        state, o = step(params, state, x)
        k = ours.pick(o, u[n])
        n += 1
        if k == len(o) - 1:
            return np.array(y)
        x = (np.arange(K) == k).astype(float)
        y = [*y, k]
    return np.array(y)


def sample_halt_lists(step, params, state, K, u):
    """Lists for one-hot vectors."""
    one_hot = [[float(i == k) for i in range(K)] for k in range(K)]
    state, out = step(params, state, [0.0] * K)
    y = []
    for a, b in u:
        k = int(ours.pick(out[0], a))
        y.append(k)
        state, out = step(params, state, one_hot[k])
        if b < np.exp(-np.logaddexp(0, -out[1])):
            return y
    return tuple(y)


def sample_length_down(step, params, state, q, K, u):
    """Counting down."""
    left = 1 + ours.pick(q, u[0])
    y, x, rest = [], np.zeros(K + 1), iter(u[1:])
    while left:
        x[K] = left
        state, o = step(params, state, x)
        y.append(ours.pick(o, next(rest)))
        x = np.eye(K + 1)[y[-1]]
        left -= 1
    return y


def torch_product(x, lengths, h0, U, W, b):
    """(2.9) as it stands, with a product; the padding is zero here."""
    m = (torch.arange(len(x), device=x.device)[:, None] < lengths).to(x.dtype)[..., None]
    states, state = [], h0
    for x_t, m_t in zip(x, m, strict=True):
        state = m_t * torch.tanh(x_t @ U.T + state @ W.T + b) + (1 - m_t) * state
        states.append(state[None])
    return torch.cat(states)


def torch_unfold(x, lengths, h0, U, W, b):
    """By unfold itself, with pairs as inputs."""

    def step(params, h, x):
        U, W, b = params
        x, inside = x
        h = torch.where(inside[:, None], torch.tanh(x @ U.T + h @ W.T + b), h)
        return h, h

    inside = torch.arange(len(x), device=x.device)[:, None] < lengths
    _, states = ours.unfold(step, (U, W, b), h0, list(zip(x, inside, strict=True)))
    return torch.stack(states)


STYLES = [
    ("step", step_columns),
    ("step", step_dict),
    ("unfold", unfold_index),
    ("unfold", unfold_recursive),
    ("unfold", unfold_reduce),
    ("concatenated", joined_block),
    ("count", count_arrays),
    ("copies", copies_differences),
    ("masked", masked_alone),
    ("pack", pack_loop),
    ("log_end", log_end_loop),
    ("log_halt", log_halt_where),
    ("log_length", log_length_loop),
    ("pick", pick_search),
    ("sample_end", sample_end_while),
    ("sample_halt", sample_halt_lists),
    ("sample_length", sample_length_down),
    ("torch_masked", torch_product),
    ("torch_masked", torch_unfold),
]


@pytest.mark.parametrize(("name", "answer"), STYLES, ids=[f"{a.__name__}" for _, a in STYLES])
def test_another_style_is_right(name, answer, capsys):
    check(f"unfolding.{name}", answer)
    assert "right" in capsys.readouterr().out


def said(capsys, name, answer):
    with pytest.raises(CheckFailed):
        check(f"unfolding.{name}", answer)
    return capsys.readouterr().out


def extra_call(step, params, state, xs):
    step(params, state, xs[0]) if len(xs) else None
    return ours.unfold(step, params, state, xs)


def forgets(step, params, state, xs):
    ours.unfold(step, params, state, xs)


def by_batch(step, params, state, xs):
    return ours.unfold(step, params, state, xs.swapaxes(0, 1))


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("unfold", extra_call, ["step was called 2 times, for 1 inputs"]),
        ("unfold", by_batch, ["step got an x of shape", "one entry of xs for each step"]),
        ("unfold", lambda f, p, s, xs: ours.unfold(f, dict(p), s, xs), ["other parameters"]),
        ("unfold", lambda f, p, s, xs: ours.unfold(f, p, s, xs)[1], ["want two things"]),
        ("unfold", lambda f, p, s, xs: (s, (x for x in xs)), ["ys is a generator, want a list"]),
        ("unfold", forgets, ["the function returned None"]),
        ("pack", lambda x, n: (x[0], n / 2.5), ["data has shape"]),
        ("masked", lambda x, *a: ours.masked(np.nan_to_num(x), *a) * 2, ["2 times"]),
        (
            "sample_end",
            lambda f, p, s, K, u: [0] * (len(u) + 1),
            ["10 symbols, more than the 9 that can be drawn"],
        ),
        (
            "sample_end",
            lambda f, p, s, K, u: ours.sample_end(f, p, s, K + 1, u),
            ["step got an x of shape (4,), want (K,) = (3,)"],
        ),
        ("sample_halt", lambda f, p, s, K, u: 3, ["y is of type int, want a list of integers"]),
        ("torch_masked", lambda x, *a: x, ["h has shape (5, 3, 2), want (T, B, H) = (5, 3, 4)"]),
        (
            "torch_masked",
            lambda *a: ours.torch_masked(*a).detach(),
            ["h does not require a gradient", "no .detach()"],
        ),
        ("torch_masked", lambda *a: ours.torch_masked(*a).float(), ["h has dtype torch.float32"]),
        ("torch_masked", lambda *a: 1.0, ["h is a float, want one tensor"]),
        ("step", lambda p, s, x: (s.__iadd__(1), x), ["writes into state"]),
    ],
)
def test_bad_answers_get_a_message_that_helps(capsys, name, answer, words):
    text = said(capsys, name, answer)
    for word in words:
        assert word in text, text


def test_numpy_inside_the_torch_answer_is_told(capsys):
    def through(x, lengths, *rest):
        steps = lengths.tolist()
        return ours.torch_masked(x, lengths, *rest) + 0 * sum(steps)

    text = said(capsys, "torch_masked", through)
    assert "on another device it raised" in text
    assert "no .item(), .numpy(), .tolist() inside" in text


def test_torch_is_the_packed_network_on_its_own():
    """nn.RNN itself is a right answer, if what stands behind the end is filled."""

    def by_library(x, lengths, h0, U, W, b):
        parameters = {"weight_ih_l0": U, "weight_hh_l0": W, "bias_ih_l0": b}
        rnn = torch.nn.RNN(U.shape[1], len(W), device=x.device, dtype=x.dtype)
        parameters["bias_hh_l0"] = torch.zeros_like(b)
        if x.device.type == "meta":
            return ours.torch_masked(x, lengths, h0, U, W, b)
        packed = pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
        h, last = torch.func.functional_call(rnn, parameters, (packed, h0[None]))
        h, _ = torch.nn.utils.rnn.pad_packed_sequence(h, total_length=len(x))
        behind = torch.arange(len(x))[:, None] >= lengths
        return torch.where(behind[..., None], last, h)

    check("unfolding.torch_masked", by_library)
