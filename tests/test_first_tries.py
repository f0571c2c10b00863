"""What students write first, in their own words, is called by its name, and by no other.

The slips are written once, by one hand; here the same mistakes stand as somebody else makes them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from autograder import verify
from course import CheckFailed, check
from course.compare import places
from course.exercise import Output, find
from solutions import bptt, dynamics, gates, unfolding


def said(capsys, name, answer) -> str:
    """The report of a check that must fail."""
    with pytest.raises(CheckFailed):
        check(name, answer)
    return capsys.readouterr().out


# Chapter 1.


def newton_of_f(h, W, b, steps):
    """f(h) = 0 is solved, with whatever comes out after 30 steps."""
    for _ in range(steps):
        J = np.stack([np.diag(1 - np.tanh(W @ each + b) ** 2) @ W for each in h])
        gap = np.tanh(h @ W.T + b) - h
        h = h - np.linalg.solve(J, gap[..., None])[..., 0]
    return h, dynamics.newton(h, W, b, 0)[1]


def newton_of_values(h, W, b, steps):
    eye = np.eye(len(b))
    for _ in range(steps):
        ahead = np.tanh(h @ W.T + b)
        h = h - np.array(
            [
                np.linalg.inv(J - eye) @ f
                for J, f in zip(dynamics.jacobian(h, W, b), ahead, strict=True)
            ]
        )
    return h, dynamics.newton(h, W, b, 0)[1]


def lyapunov_state_first(h0, v, W, b, T):
    v, total, h = v / np.linalg.norm(v, axis=1, keepdims=True), 0.0, h0
    for _ in range(T):
        h = np.tanh(h @ W.T + b)
        v = np.einsum("bij,bj->bi", dynamics.jacobian(h, W, b), v)
        length = np.linalg.norm(v, axis=1)
        total, v = total + np.log(length), v / length[:, None]
    return total / T


def lyapunov_only_added(h0, v, W, b, T):
    start, total, h = np.linalg.norm(v, axis=1), 0.0, h0
    for _ in range(T):
        v, h = np.einsum("bij,bj->bi", dynamics.jacobian(h, W, b), v), np.tanh(h @ W.T + b)
        total = total + np.log(np.linalg.norm(v, axis=1) / start)
    return total / T


def memory_from_index_K(h, x, K):
    features, found = np.c_[h[K:], np.ones(len(h) - K)], []
    for k in range(K):
        past = x[K - k : len(x) - k]
        left = past - features @ (np.linalg.pinv(features) @ past)
        found.append(1 - left @ left / ((past - past.mean()) ** 2).sum())
    return found


def ridge_least_squares(h, y, penalty):
    rows = np.c_[h, np.ones(len(h))]
    weights = np.linalg.lstsq(rows, y, rcond=None)[0]
    return weights[:-1].T, weights[-1]


def ridge_added_number(h, y, penalty):
    centred = h - h.mean(0)
    V = (np.linalg.inv(centred.T @ centred + penalty) @ centred.T @ (y - y.mean(0))).T
    return V, y.mean(0) - V @ h.mean(0)


def newton_modulus_last(h, W, b, steps):
    h, _ = dynamics.newton(h, W, b, steps)
    found = [abs(max(np.linalg.eigvals(J), key=np.real)) for J in dynamics.jacobian(h, W, b)]
    return h, np.array(found)


def lyapunov_norm_without_axis(h0, v, W, b, T):
    v, total, h = v / np.linalg.norm(v, axis=1, keepdims=True), np.zeros(len(h0)), h0
    for _ in range(T):
        v = np.einsum("bij,bj->bi", dynamics.jacobian(h, W, b), v)
        h = np.tanh(h @ W.T + b)
        total += np.log(np.linalg.norm(v))
        v = v / np.linalg.norm(v)
    return total / T


# Chapter 2.


def copies_forgetting_which(x, h0, U, W, b, dW):
    h, change, found = h0, 0 * h0, []
    for now in x:
        new = np.tanh(b + h @ W.T + now @ U.T)
        change = (1 - new**2) * (change @ W.T + h @ dW.T)
        found.append(change)
        h = new
    return np.array(found)


def _log_end(o, y, lengths, first=0, pad=False):
    log_p, found = unfolding.log_softmax(o), []
    for n, tau in enumerate(lengths):
        last = len(y) if pad else tau
        symbols = sum(log_p[t + first, n, y[t, n]] for t in range(last))
        found.append(symbols + log_p[tau, n, -1])
    return np.array(found)


def log_end_shifted(o, y, lengths):
    return _log_end(o, y, lengths, first=1)


def log_end_padded(o, y, lengths):
    return _log_end(o, y, lengths, pad=True)


def log_halt_of_longest(o, s, y, lengths):
    log_p, found = unfolding.log_softmax(o), []
    for n, tau in enumerate(lengths):
        symbols = sum(log_p[t, n, y[t, n]] for t in range(tau))
        going_on = -np.logaddexp(0, s[: tau - 1, n]).sum()
        found.append(symbols + going_on - np.logaddexp(0, -s[-1, n]))
    return np.array(found)


def sample_halt_wrong_side(step, params, state, K, u):
    state, (o, s) = step(params, state, np.zeros(K))
    y = []
    for draw, halt in u:
        y.append(int(unfolding.pick(o, draw)))
        state, (o, s) = step(params, state, np.eye(K)[y[-1]])
        if halt > 1 / (1 + np.exp(-s)):
            break
    return y


def torch_rows(x, lengths, h0, U, W, b):
    h, found = h0, []
    for t in range(len(x)):
        h = h.clone()
        alive = lengths > t
        h[alive] = (x[t][alive] @ U.T + h[alive] @ W.T + b).tanh()
        found.append(h)
    return torch.stack(found)


# Chapter 3.


def log_softmax(o):
    o = o - o.max(-1, keepdims=True)
    return o - np.log(np.exp(o).sum(-1, keepdims=True))


def loss_with_colons(o, y, mask):
    return -np.sum(log_softmax(o)[:, :, y] * mask)


def grad_o_with_colons(o, y, mask):
    one_hot = np.zeros_like(o)
    one_hot[:, :, y] = 1
    return (np.exp(log_softmax(o)) - one_hot) * mask[:, :, None]


def grad_h_all_sloped(do, h, W, V):
    dh, later = [], 0.0
    for now, g in zip(h[::-1], do[::-1], strict=True):
        total = (g @ V) * (1 - now**2) + later
        later = (total * (1 - now**2)) @ W
        dh.insert(0, total)
    return np.array(dh)


def clip_added(grads, max_norm):
    norm = np.sum([np.sqrt((g**2).sum()) for g in grads])
    return [g / max(1.0, norm / max_norm) for g in grads], norm


def rtrl_with_matmul(g, x, h0, U, W, b):
    (B, H), D = h0.shape, x.shape[-1]
    P, total, h = np.zeros((B, H, H, H + D + 1)), 0.0, h0
    for t in range(len(x)):
        z = np.hstack([h, x[t], np.ones((B, 1))])
        h = np.tanh(x[t] @ U.T + h @ W.T + b)
        P = (W @ P + np.eye(H)[..., None] * z[:, None, None]) * (1 - h * h)[..., None, None]
        total = total + np.einsum("bi,bijk->jk", g[t], P)
    return total[:, H:-1], total[:, :H], total[:, -1]


def _trained(params, x, y, mask, rate, momentum, max_norm, clip, size=False, carry=False):
    v, curve, h0 = [0.0] * 5, [], np.zeros((x.shape[2], len(params[1])))
    for x_n, y_n, mask_n in zip(x, y, mask, strict=True):
        count = mask_n.size if size else mask_n.sum()
        h, o = bptt.forward(x_n, h0, *params)
        curve.append(bptt.loss(o, y_n, mask_n) / count)
        do = bptt.grad_o(o, y_n, mask_n)
        dh = bptt.grad_h(do, h, params[1], params[3])
        grads = bptt.grad_params(dh, do, x_n, h, h0)
        v = [momentum * old + g for old, g in zip(v, clip(grads, count, max_norm), strict=True)]
        params = [p - rate * each for p, each in zip(params, v, strict=True)]
        h0 = h[-1] if carry else h0
    return params, curve


def _as_it_should_be(grads, count, theta):
    return bptt.clip([g / count for g in grads], theta)[0]


def train_clips_sums(*args):
    return _trained(*args, lambda grads, n, top: [g / n for g in bptt.clip(list(grads), top)[0]])


def train_over_padding(*args):
    return _trained(*args, _as_it_should_be, size=True)


def train_on_and_on(*args):
    return _trained(*args, _as_it_should_be, carry=True)


def train_clips_each(*args):
    return _trained(*args, lambda grads, n, top: [bptt.clip([g / n], top)[0][0] for g in grads])


# Chapter 5.


def swapped_views(U, W, b):
    made = [each.copy() for each in (U, W, b)]
    for a in made:
        H = len(a) // 4
        a[2 * H : 3 * H], a[3 * H :] = a[3 * H :], a[2 * H : 3 * H]
    return *made, np.zeros_like(b)


def swapped_views_back(weight_ih, weight_hh, bias_ih, bias_hh):
    return swapped_views(weight_ih, weight_hh, bias_ih + bias_hh)[:3]


def bits_with_colons(o, y, mask):
    return -(log_softmax(o)[:, :, y] * mask).sum() / np.log(2) / mask.sum()


def gates_unit_by_unit(x, h0, c0, U, W, b):
    h, c, kept = gates.lstm_forward(x, h0, c0, U, W, b)
    i, f, o, g = np.split(kept, 4, -1)
    return h, c, np.stack([i, f, o, g], axis=-1).reshape(*h.shape[:2], -1)


def carries_exchanged(*args):
    dx, through_W, through_f, *rest = gates.lstm_backward(*args)
    return dx, through_f, through_W, *rest


def lstm_reshaped(x, h, c, U, W, b):
    i, f, o, g = np.moveaxis((x @ U.T + h @ W.T + b).reshape(len(x), -1, 4), -1, 0)
    c = gates.sigmoid(f) * c + gates.sigmoid(i) * np.tanh(g)
    return gates.sigmoid(o) * np.tanh(c), c


def gru_update_first(x, h0, U, W, b):
    (U_u, U_r, U_n), (W_u, W_r, W_n), (b_u, b_r, b_n) = (np.split(a, 3) for a in (U, W, b))
    h, hs, kept = h0, [], []
    for now in x:
        r = gates.sigmoid(now @ U_r.T + h @ W_r.T + b_r)
        u = gates.sigmoid(now @ U_u.T + h @ W_u.T + b_u)
        n = np.tanh(now @ U_n.T + (r * h) @ W_n.T + b_n)
        h = u * n + (1 - u) * h
        hs.append(h)
        kept.append(np.concatenate([r, u, n], 1))
    return hs, kept


def bits_guarded(o, y, mask):
    p = np.exp(o - o.max(-1, keepdims=True))
    p = np.take_along_axis(p / p.sum(-1, keepdims=True), y[..., None], -1)[..., 0]
    return -(mask * np.log2(p + 1e-15)).sum() / mask.sum()


def bits_rounded(o, y, mask):
    p = np.exp(o - o.max(-1, keepdims=True))
    p = np.take_along_axis(p / p.sum(-1, keepdims=True), y[..., None], -1)[..., 0]
    with np.errstate(divide="ignore"):
        return -(mask * np.log2(p)).sum() / mask.sum()


# Chapter 4.


def deep_untransposed(x, h0, U, W, b):
    found = []
    for j, s in enumerate(h0):
        rows, below = [], found[-1] if found else x
        for t in range(len(x)):
            s = np.tanh(below[t] @ U[j].T + s @ W[j] + b[j])
            rows.append(s)
        found.append(np.stack(rows))
    return np.stack(found)


def spans_not_closed(y, y_hat, mask):
    def spans(tags):
        found = []
        for n, column in enumerate(tags.T):
            begin, length = None, int(mask[:, n].sum())
            for t in range(length):
                if column[t] == 1 or (column[t] == 2 and begin is None):
                    begin = t
                elif column[t] == 0 and begin is not None:
                    found.append((n, begin, t - 1))
                    begin = None
            if begin is not None:
                found.append((n, begin, length - 1))
        return found

    true, made = spans(y), spans(y_hat)
    both = sum(span in made for span in true)
    total = len(true) + len(made)
    return (mask * (y == y_hat)).sum() / mask.sum(), 2 * both / total if total else 1.0


# Chapter 6.


def _softmax(scores, axis):
    e = np.exp(scores - scores.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def dot_masked_after(query, keys, values, mask):
    alpha = _softmax((keys * query).sum(-1) / np.sqrt(keys.shape[-1]), 0) * mask
    return (alpha[..., None] * values).sum(0), alpha


def additive_masked_after(query, keys, values, mask, Wq, Wk, v):
    alpha = _softmax(np.tanh(query @ Wq.T + keys @ Wk.T) @ v, 0) * mask
    return (alpha[..., None] * values).sum(0), alpha


def loss_softmax_axis_0(o, y, mask):
    shifted = o - o.max(0)
    log_p = shifted - np.log(np.exp(shifted).sum(0))
    onehot = np.eye(o.shape[-1])[y]
    loss = -((log_p * onehot).sum(-1) * mask).sum() / mask.sum()
    return loss, (np.exp(log_p) - onehot) * mask[..., None] / mask.sum()


def _beam(choose, step, state, begin, end, width, limit, penalty):
    live, done = [([], state, 0.0)], []
    for _ in range(limit):
        ext = []
        for y, s, p in live:
            after, log_p = step(s, y[-1] if y else begin)
            ext += [([*y, k], after, p + log_p[k]) for k in range(len(log_p))]
        live = choose(sorted(ext, key=lambda e: -e[2]), done, width, end)
        if not live:
            break
    best = max(done + live, key=lambda e: e[2] / len(e[0]) ** penalty)
    return best[0], best[2] / len(best[0]) ** penalty


def beam_replaced(*args):
    def choose(ext, done, width, end):
        done += [e for e in ext[:width] if e[0][-1] == end]
        return [e for e in ext if e[0][-1] != end][:width]

    return _beam(choose, *args)


def beam_live_counted(*args):
    def choose(ext, done, width, end):
        live = []
        for e in ext:
            if e[0][-1] == end:
                done.append(e)
            elif len(live) < width:
                live.append(e)
        return live

    return _beam(choose, *args)


NAMED = [
    ("seq2seq.dot_attention", dot_masked_after, "the weights no longer add up to 1"),
    ("seq2seq.additive_attention", additive_masked_after, "the weights no longer add up to 1"),
    ("seq2seq.masked_cross_entropy.loss", loss_softmax_axis_0, "the softmax goes over time"),
    ("seq2seq.masked_cross_entropy.do", loss_softmax_axis_0, "the softmax goes over time"),
    ("seq2seq.beam_search", beam_replaced, "the beam is filled up again"),
    ("seq2seq.beam_search", beam_live_counted, "only live beginnings count"),
    ("taxonomy.deep", deep_untransposed, "W is transposed"),
    ("taxonomy.span_scores.f1", spans_not_closed, "a new 1 does not close"),
    ("dynamics.newton.h", newton_of_f, "the identity is missing"),
    ("dynamics.newton.h", newton_of_values, "f(h) stands where the gap"),
    ("dynamics.lyapunov", lyapunov_state_first, "one step late, at the new state"),
    ("dynamics.lyapunov", lyapunov_only_added, "v is not brought back to 1"),
    ("dynamics.newton.radius", newton_modulus_last, "take the moduli first"),
    ("dynamics.lyapunov", lyapunov_norm_without_axis, "one length for all orbits"),
    ("dynamics.memory", memory_from_index_K, "the first step that has all lags is left out"),
    ("dynamics.ridge", ridge_least_squares, "the penalty is ignored"),
    ("dynamics.ridge", ridge_added_number, "added to every entry"),
    ("unfolding.copies", copies_forgetting_which, "the sum of all copies so far"),
    ("unfolding.log_end", log_end_shifted, "judged one output late"),
    ("unfolding.log_end", log_end_padded, "the padding counts as symbols"),
    ("unfolding.log_halt", log_halt_of_longest, "the halt of the longest sequence"),
    ("unfolding.sample_halt", sample_halt_wrong_side, "it halts where u is above e"),
    ("unfolding.torch_masked", torch_rows, "a mask chooses rows"),
    ("bptt.loss", loss_with_colons, "use np.take_along_axis"),
    ("bptt.grad_o", grad_o_with_colons, "subtract np.eye(K)[y]"),
    ("bptt.grad_h", grad_h_all_sloped, "on the road through o(t), too"),
    ("bptt.clip", clip_added, "add their squares"),
    ("bptt.rtrl", rtrl_with_matmul, "W @ P sums over j"),
    ("bptt.train", train_clips_sums, "clipped before it is divided"),
    ("bptt.train", train_over_padding, "gradient and curve are divided by mask.size"),
    ("bptt.train", train_on_and_on, "the state goes on from batch to batch"),
    ("bptt.train", train_clips_each, "each array is clipped by itself"),
    ("gates.to_torch", swapped_views, "you swapped views"),
    ("gates.from_torch", swapped_views_back, "you swapped views"),
    ("gates.bits_per_character", bits_with_colons, "use np.take_along_axis"),
    ("gates.lstm_forward", gates_unit_by_unit, "join whole blocks"),
    ("gates.lstm_backward.dh0", carries_exchanged, "dh0 and dc0 have changed places"),
    ("gates.lstm_backward.dc0", carries_exchanged, "dh0 and dc0 have changed places"),
    ("gates.lstm_step", lstm_reshaped, "every fourth number"),
    ("gates.gru_forward", gru_update_first, "the blocks are taken as u, r, n"),
    ("gates.bits_per_character", bits_guarded, "a small number guards the logarithm"),
    ("gates.bits_per_character", bits_rounded, "a softmax that is rounded to 0"),
]


@pytest.mark.parametrize(("name", "answer", "words"), NAMED, ids=[a.__name__ for _, a, _ in NAMED])
def test_a_first_try_is_called_by_its_name(capsys, name, answer, words):
    text = said(capsys, name, answer)
    slip = next((line for line in text.splitlines() if "known slip" in line), text)
    assert words in slip


def counts_cut(x, lengths):
    """The counts end where the last sequence does; the lengths have the same shape."""
    data, counts = unfolding.pack(x, lengths)
    return data, counts[counts > 0][: len(lengths)]


def one_step_more(h0, W, b, T):
    """T + 1 states, none of which is h(0)."""
    return dynamics.orbit(h0, W, b, T + 1)


def mean_over_time(h0, W, b, T):
    """One state, which is not the last."""
    return dynamics.orbit(h0, W, b, T).mean(0)


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("unfolding.pack", counts_cut, "counts has shape (3,)"),
        ("dynamics.orbit", one_step_more, "h has shape (6, 2, 4)"),
        ("dynamics.orbit", mean_over_time, "h has shape (2, 4)"),
    ],
)
def test_a_slip_of_the_same_shape_gives_no_name_to_other_numbers(capsys, name, answer, words):
    text = said(capsys, name, answer)
    assert words in text
    assert "known slip" not in text


@pytest.mark.parametrize(
    ("collect", "words"),
    [
        (lambda state, ys: (state, np.array(ys)), "np.array(ys)"),
        (lambda state, ys: (state, [np.concatenate([y[0]]) for y in ys]), "as it gave it"),
    ],
)
def test_unfold_must_not_look_into_what_a_step_gives(capsys, collect, words):
    def answer(step, params, state, xs):
        state, ys = unfolding.unfold(step, params, state, xs)
        return collect(state, ys) if ys and isinstance(ys[0], tuple) else (state, ys)

    assert words in said(capsys, "unfolding.unfold", answer)


def test_unfold_takes_any_sequence_of_inputs(capsys):
    def answer(step, params, state, xs):
        ys = []
        for t in range(xs.shape[0]):
            state, y = step(params, state, xs[t])
            ys.append(y)
        return state, ys

    assert "'list' object has no attribute 'shape'" in said(capsys, "unfolding.unfold", answer)


# What is said of blocks, and of other devices.


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        ([1], "wrong in the block f, right in the blocks i, o and g"),
        ([0, 2, 3], "wrong in the blocks i, o and g, right in the block f"),
        ([0, 1], "wrong in the blocks i and f, right in the blocks o and g"),
    ],
)
def test_blocks_are_told_apart(bad, line):
    wrong = np.zeros((8, 3), bool)
    for block in bad:
        wrong[2 * block] = True
    assert line in places(wrong, Output("dW", ("4H", "H"), ("i", "f", "o", "g")))


def test_where_every_block_is_wrong_none_is_named():
    wrong = np.zeros((6, 3), bool)
    wrong[::2, 1] = True
    assert not [
        line
        for line in places(wrong, Output("dW", ("3H", "H"), ("r", "u", "n")))
        if "block" in line
    ]


def test_one_gate_without_its_slope_is_found(capsys):
    def answer(dh, x, h, kept, h0, U, W):
        dx, dh0, dU, dW, db = gates.gru_backward(dh, x, h, kept, h0, U, W)
        H = h0.shape[1]
        return dx, dh0, dU, dW, np.concatenate([db[:H], 2 * db[H : 2 * H], db[2 * H :]])

    text = said(capsys, "gates.gru_backward.db", answer)
    assert "wrong in the block u, right in the blocks r and n" in text


def test_rows_by_a_mask_are_called_by_what_the_student_wrote(capsys):
    text = said(capsys, "unfolding.torch_masked", torch_rows)
    assert "h[mask]" in text
    assert "torch.where" in text
    assert "nonzero()" not in text


# What makes a slip recognisable.


def test_where_rounding_decides_a_slip_its_numbers_are_not_kept():
    """Newton's method for f(h) = 0 wanders; after 30 steps two ways to write it are far apart."""
    from autograder.slips import dynamics as slips

    exercise, _ = find("dynamics.newton")
    wrong = [s for s in verify.slips.of_chapter("dynamics") if s.answer is slips.newton_no_identity]
    kept = verify.fixture(exercise, wrong).slips[0].outputs
    public = {c.name: c for c in exercise.cases(np.random.default_rng(verify.PUBLIC_SEED))}
    assert {"no step", "two steps"} <= set(kept)
    dropped = [name for name in public if name not in kept and not public[name].single]
    assert dropped
    for name in dropped:
        args = public[name].args
        moved = dataclasses.replace(public[name]).args | {"h": args["h"] * (1 + 1e-12)}
        a, b = (slips.newton_no_identity(**each)[0] for each in (args, moved))
        assert not np.allclose(a, b, rtol=0, atol=1e-9 * np.abs(a).max())
