"""Other correct ways to write chapter 4's answers must pass: a check judges numbers, not style."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course import exercise as exercises
from course.checks import CheckFailed, check
from solutions import taxonomy


def forced_one_hot(inputs, start, targets, W_in, W_back, bias, W_out, bias_out):
    """One-hot vectors, a loop over time, lists."""
    identity = np.eye(W_back.shape[1])
    states, outputs, fed = [], [], start
    for x, y in zip(inputs, targets, strict=True):
        states.append(np.tanh(x @ W_in.T + identity[fed] @ W_back.T + bias))
        outputs.append(states[-1] @ W_out.T + bias_out)
        fed = y
    return states, outputs


def loop_columns(x, y0, U, F, b, V, c):
    """One sequence at a time, column vectors as in the book."""
    o = np.zeros((*x.shape[:2], len(c)))
    for n in range(x.shape[1]):
        k = y0[n]
        for t in range(len(x)):
            o[t, n] = c + V @ np.tanh(b + U @ x[t, n] + F[:, k])
            k = max(range(len(c)), key=lambda i, row=o[t, n]: row[i])
    return o


def scheduled_padded(x, y0, y, u, epsilon, U, F, b, V, c):
    """The coin at every step, the first as well: there both choices are y(0)."""
    true, own, o = np.concatenate([y0[None], y]), y0, []
    for t in range(len(x)):
        heads = u[t] < epsilon
        fed = true[t] * heads + (own if t else y0) * ~heads
        o.append(np.tanh(x[t] @ U.T + np.take(F, fed, axis=1).T + b) @ V.T + c)
        own = np.argmax(o[-1], axis=1)
    return np.array(o)


def readout_loops(h, mask):
    """One sequence at a time."""
    last, mean = [], []
    for n in range(h.shape[1]):
        own = h[mask[:, n] == 1, n]
        last.append(own[-1])
        mean.append(own.mean(0))
    return np.array(last), np.array(mean)


def readout_dict(h, mask):
    """By name; the last state as a difference of masks."""
    ends = mask - np.vstack([mask[1:], np.zeros(mask.shape[1])])
    return {
        "mean": np.einsum("tb,tbh->bh", mask, h) / mask.sum(0)[:, None],
        "last": np.einsum("tb,tbh->bh", ends, h),
    }


def readout_grad_broadcast(dlast, dmean, mask):
    """Both terms by broadcasting, no index at all."""
    ends = mask - np.vstack([mask[1:], np.zeros(mask.shape[1])])
    return ends[..., None] * dlast + (mask / mask.sum(0))[..., None] * dmean


def vector_beside(x, h0, y0, y, R, F, W, b, V, c):
    """One big matrix for all that goes in."""
    joined = np.concatenate([R, F, W, b[:, None]], axis=1)
    ones, states, h, fed = np.ones((len(x), 1)), [], h0, y0
    for t in range(len(y)):
        z = np.concatenate([x, np.eye(F.shape[1])[fed], h, ones], axis=1)
        h = np.tanh(z @ joined.T)
        states.append(h)
        fed = y[t]
    return np.array(states), np.array([h @ V.T + c for h in states])


def likelihood_logaddexp(x, h0, y0, y, mask, U, F, W, b, V, c):
    """One sequence at a time, logaddexp."""
    found = []
    for n in range(len(y0)):
        h, k, total = h0[n], y0[n], 0.0
        for t in range(len(x)):
            h = np.tanh(b + U @ x[t, n] + F[:, k] + W @ h)
            o = c + V @ h
            if mask[t, n]:
                total += o[y[t, n]] - np.logaddexp.reduce(o)
            k = y[t, n]
        found.append(total)
    return found


def two_way_alone(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """Each sequence alone, without its padding."""
    T, B, _ = x.shape
    H = len(bf)
    s = np.zeros((T, B, 2 * H))
    for n in range(B):
        h, g = h0[n], g0[n]
        for t in range(lengths[n]):
            h = s[t, n, :H] = np.tanh(bf + Uf @ x[t, n] + Wf @ h)
        for t in reversed(range(lengths[n])):
            g = s[t, n, H:] = np.tanh(bg + Ug @ x[t, n] + Wg @ g)
    return s


def deep_by_steps(x, h0, U, W, b):
    """Step by step, all layers of a step at once."""
    before, steps = list(h0), []
    for below in x:
        now = []
        for j in range(len(U)):
            below = np.tanh(below @ U[j].T + before[j] @ W[j].T + b[j])
            now.append(below)
        steps.append(now)
        before = now
    return np.array(steps).swapaxes(0, 1)


def scores_by_words(y, y_hat, mask):
    """Spans from the places where they begin and end."""

    def spans(tags):
        found = []
        for n in range(tags.shape[1]):
            own = tags[mask[:, n] > 0, n]
            before = np.concatenate([[0], own[:-1]])
            after = np.concatenate([own[1:], [0]])
            begins = np.flatnonzero((own == 1) | ((own == 2) & (before == 0)))
            ends = np.flatnonzero((own > 0) & (after != 2))
            found += [(n, a, b) for a, b in zip(begins, ends, strict=True)]
        return found

    true, said = spans(y), spans(y_hat)
    hits = sum(each in true for each in said)
    accuracy = np.average(y == y_hat, weights=mask)
    return accuracy, 2 * hits / (len(true) + len(said)) if true or said else 1


def packed_by_layers(x, lengths, U, W, b):
    """Two RNNs, one for each layer, batch first."""
    s = x.transpose(0, 1)
    for i in (0, 2):
        rnn = torch.nn.RNN(s.shape[-1], len(b[i]), batch_first=True, bidirectional=True).to(x)
        state = rnn.state_dict()
        for j, end in ((i, ""), (i + 1, "_reverse")):
            state[f"weight_ih_l0{end}"], state[f"weight_hh_l0{end}"] = U[j], W[j]
            state[f"bias_ih_l0{end}"], state[f"bias_hh_l0{end}"] = 0 * b[j], b[j]
        rnn.load_state_dict(state)
        rows = torch.nn.utils.rnn.pack_padded_sequence(s, lengths, True, False)
        s, _ = torch.nn.utils.rnn.pad_packed_sequence(rnn(rows)[0], True, total_length=len(x))
    return s.transpose(0, 1)


def glimpse_windows(x, centre, size, scales):
    """Pixel by pixel, with a test for the edge."""
    found = np.zeros((len(x), scales, size, size))
    for n, k in np.ndindex(len(x), scales):
        rows, columns = (
            int(np.floor((c + 1) / 2 * (s - 1) + 0.5)) - size * 2**k // 2 + np.arange(size * 2**k)
            for c, s in zip(centre[n], x.shape[1:], strict=True)
        )
        wide = np.array(
            [
                [
                    x[n, r, c] if 0 <= r < x.shape[1] and 0 <= c < x.shape[2] else 0.0
                    for c in columns
                ]
                for r in rows
            ]
        )
        for i, j in np.ndindex(size, size):
            found[n, k, i, j] = wide[i * 2**k : (i + 1) * 2**k, j * 2**k : (j + 1) * 2**k].mean()
    return found


def reinforce_loops(mean, place, sigma, reward, baseline):
    """One draw at a time."""
    grad = np.zeros_like(mean)
    for t, n in np.ndindex(reward.shape):
        grad[t, n] = (reward[t, n] - baseline[t, n]) * (place[t, n] - mean[t, n]) / sigma / sigma
    return grad / reward.shape[1]


def window_einsum(params, A, B, N):
    """Logarithms first; points counted from the middle of the grid."""
    banks = []
    for way, pixels in ((0, A), (1, B)):
        stride = (max(A, B) - 1) / (N - 1) * np.exp(params[:, 3])
        mu = np.add.outer((pixels + 1) * (params[:, way] + 1) / 2, np.zeros(N))
        mu = mu + np.einsum("m,n->mn", stride, np.arange(N) - (N - 1) / 2)
        logs = -((np.arange(1, pixels + 1) - mu[:, :, None]) ** 2) / 2
        F = np.exp(logs * np.exp(-params[:, 2])[:, None, None])
        total = F.sum(2)
        banks.append(F / np.where(total > 1e-8, total, 1e-8)[:, :, None])
    return banks[0], banks[1], np.exp(params[:, 4])


def latent_terms(mu, sigma):
    """Term by term, the logarithm of sigma doubled."""
    return np.sum(mu**2 / 2 + sigma**2 / 2 - np.log(sigma) - 0.5, axis=2).sum(axis=0)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("teacher_forced", forced_one_hot),
        ("closed_loop", loop_columns),
        ("scheduled", scheduled_padded),
        ("readout", readout_loops),
        ("readout", readout_dict),
        ("readout_grad", readout_grad_broadcast),
        ("vector_to_sequence", vector_beside),
        ("log_likelihood", likelihood_logaddexp),
        ("bidirectional", two_way_alone),
        ("deep", deep_by_steps),
        ("span_scores", scores_by_words),
        ("packed", packed_by_layers),
        ("glimpse", glimpse_windows),
        ("reinforce_grad", reinforce_loops),
        ("gaussian_window", window_einsum),
        ("latent_cost", latent_terms),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_another_style_is_right(name, answer, capsys):
    check(f"taxonomy.{name}", answer)
    assert "right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "spoiled", "words"),
    [
        (
            "teacher_forced",
            lambda x, y0, y, U, F, b, V, c: taxonomy.teacher_forced(
                x, y0, y + 0 * y0, U, 2 * F, b, V, c
            ),
            'on the probe "F alone',
        ),
        (
            "closed_loop",
            lambda x, y0, *p: taxonomy.closed_loop(x, y0, *p).argmax(-1),
            "int64",
        ),
        (
            "scheduled",
            lambda x, y0, y, u, e, *p: taxonomy.scheduled(x, y0, y, u, 1 - e, *p),
            "the probe",
        ),
        (
            "bidirectional",
            lambda x, n, h, g, *p: taxonomy.bidirectional(x, n, h, 0 * g, *p),
            'on the probe "backward alone, no padding"',
        ),
        (
            "packed",
            lambda x, n, U, W, b: taxonomy.packed(x.float(), n, U, W, b),
            "dtype",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_five_ways_to_be_wrong_are_told_apart(name, spoiled, words, capsys):
    with pytest.raises(CheckFailed):
        check(f"taxonomy.{name}", spoiled)
    assert words in capsys.readouterr().out


# What a student tried: wrong answers that once passed, or were called something that they are not.


def scheduled_at_the_limit(x, y0, y, u, epsilon, U, F, b, V, c):
    """The coin with <= in the place of <."""
    o = np.zeros((*x.shape[:2], len(c)))
    for t in range(len(x)):
        fed = np.where(u[t] <= epsilon, y[t - 1], o[t - 1].argmax(-1)) if t else y0
        o[t] = np.tanh(b + x[t] @ U.T + F.T[fed]) @ V.T + c
    return o


def scheduled_without_start(x, y0, y, u, epsilon, U, F, b, V, c):
    """y(0) forgotten: index -1 at the first step."""
    o = np.zeros((*x.shape[:2], len(c)))
    for t in range(len(x)):
        fed = np.where(u[t] < epsilon, y[t - 1], o[t - 1].argmax(-1))
        o[t] = np.tanh(b + x[t] @ U.T + F.T[fed]) @ V.T + c
    return o


def forced_by_roll(x, y0, y, U, F, b, V, c):
    h = np.tanh(b + x @ U.T + F.T[np.roll(y, 1, axis=0)])
    return h, h @ V.T + c


def forced_to_the_softmax(*args):
    h, o = taxonomy.teacher_forced(*args)
    e = np.exp(o)
    return h, e / e.sum(-1, keepdims=True)


def caption_without_b(x, h0, y0, y, R, F, W, b, V, c):
    return taxonomy.vector_to_sequence(x, h0, y0, y, R, F, W, 0 * b, V, c)


def likelihood(x, h0, y0, y, mask, U, F, W, b, V, c, largest=None, stopped=False):
    """A loop over time; `largest` is what is taken away before the exponential."""
    h, fed, logp = h0, y0, np.zeros(len(y0))
    for t in range(len(x)):
        h = np.tanh(b + x[t] @ U.T + F.T[fed] + h @ W.T) * (mask[t][:, None] if stopped else 1)
        o = h @ V.T + c
        m = o.max(1, keepdims=True) if largest is None else largest(o)
        log_z = m[:, 0] + np.log(np.exp(o - m).sum(1))
        logp += mask[t] * (o[np.arange(len(o)), y[t]] - log_z)
        fed = y[t]
    return logp


def likelihood_of_the_batch(*args):
    return likelihood(*args, largest=lambda o: np.full((len(o), 1), o.max()))


def likelihood_stopped(*args):
    return likelihood(*args, stopped=True)


def backward_from_zero(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """A scan that multiplies the state by the mask: g0 is gone when the sentence begins."""
    mask = (np.arange(len(x))[:, None] < lengths)[..., None]
    h, g, forward, backward = h0, g0, [], []
    for t in range(len(x)):
        h = mask[t] * np.tanh(bf + x[t] @ Uf.T + h @ Wf.T)
        forward.append(h)
    for t in reversed(range(len(x))):
        g = mask[t] * np.tanh(bg + x[t] @ Ug.T + g @ Wg.T)
        backward.insert(0, g)
    return np.concatenate([np.stack(forward), np.stack(backward)], -1)


def f1_of_no_targets(y, y_hat, mask):
    accuracy, f1 = taxonomy.span_scores(y, y_hat, mask)
    return accuracy, f1 if (mask * y).any() else 1.0


def f1_across_sentences(y, y_hat, mask):
    """All sentences as one long string of tags."""
    accuracy, _ = taxonomy.span_scores(y, y_hat, mask)
    columns = [(each * mask.astype(int)).T.reshape(-1, 1) for each in (y, y_hat)]
    return accuracy, taxonomy.span_scores(*columns, np.ones_like(columns[0], dtype=float))[1]


def window_from_pixel_0(params, A, B, N):
    def bank(centre, pixels):
        stride = (max(A, B) - 1) / (N - 1) * np.exp(params[:, 3])
        mu = (pixels + 1) / 2 * (centre + 1)
        mu = mu[:, None] + (np.arange(1, N + 1) - N / 2 - 0.5) * stride[:, None]
        away = np.arange(pixels) - mu[..., None]
        F = np.exp(-(away**2) / (2 * np.exp(params[:, 2])[:, None, None]))
        return F / np.maximum(F.sum(-1, keepdims=True), 1e-8)

    return bank(params[:, 0], A), bank(params[:, 1], B), np.exp(params[:, 4])


def window_zero_outside(params, A, B, N):
    F_x, F_y, gamma = taxonomy.gaussian_window(params, A, B, N)
    own = F_x.sum(-1, keepdims=True) > 0.999
    return F_x * own, F_y, gamma


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("scheduled", scheduled_at_the_limit, '"u = epsilon gets the true output, too"'),
        ("scheduled", scheduled_without_start, '"the first step gets the last target, or a class'),
        ("teacher_forced", forced_by_roll, '"the last target is fed to the first step"'),
        ("teacher_forced", forced_to_the_softmax, '"o is the softmax already"'),
        ("vector_to_sequence", caption_without_b, '"b is left out: R x is added to it'),
        ("log_likelihood", likelihood_of_the_batch, '"the largest output of the whole batch'),
        ("log_likelihood", likelihood_stopped, '"the mask is on the states, too"'),
        ("bidirectional", backward_from_zero, '"behind the padding g starts from zero, not from'),
        ("span_scores", f1_of_no_targets, '"no names in the targets count as all found"'),
        ("span_scores", f1_across_sentences, 'on the probe "a name at the end"'),
        ("gaussian_window", window_from_pixel_0, '"pixels are counted from 0"'),
        ("gaussian_window", window_zero_outside, 'on the property "beyond the edge"'),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_a_student_tried_is_stopped_and_called_what_it_is(name, answer, words, capsys):
    with pytest.raises(CheckFailed):
        check(f"taxonomy.{name}", answer)
    assert words in capsys.readouterr().out


def test_a_window_in_single_precision_is_right_far_outside_too():
    check(
        "taxonomy.gaussian_window",
        lambda params, *sizes: taxonomy.gaussian_window(params.astype(np.float32), *sizes),
    )


def test_the_data_sets_do_not_hand_out_an_answer():
    from course import datasets

    answers = {each.symbol for each in exercises.chapter("taxonomy").exercises}
    assert not answers & set(dir(datasets))
    assert not [name for name in dir(datasets) if "span" in name], "half of exercise 4.10"
