"""Other correct ways to write the answers of chapter 6 must pass, and odd ones get their words."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from course.checks import CheckFailed, check
from solutions import seq2seq


def encode_rows_that_are_left(step, params, x, mask, h0):
    """Only the rows that still have steps go through the cell."""
    T = len(mask)
    out = np.zeros((T, *h0.shape), dtype=h0.dtype)
    h = h0.copy()
    for t in range(T):
        rows = mask[t] == 1
        if rows.any():
            h[rows] = step(params, h[rows], x[t][rows])
        out[t] = h
    return out


def encode_one_by_one(step, params, x, mask, h0):
    """One sequence after the other, batches of one, lists."""
    columns = []
    for n in range(x.shape[1]):
        h, column = h0[n : n + 1], []
        for t in range(len(x)):
            if mask[t, n]:
                h = step(params, h, x[t, n : n + 1])
            column.append(h[0])
        columns.append(column)
    return np.array(columns).swapaxes(0, 1)


def weights_by_index(lengths, T):
    """Fancy indices, and a loop."""
    B = len(lengths)
    last = np.zeros((T, B))
    last[lengths - 1, range(B)] = 1
    mean = np.array([[1 / n if t < n else 0.0 for n in lengths] for t in range(T)])
    return [last, mean]


def dot_batch_first(query, keys, values, mask):
    """Batch first with matmul; a very negative number for minus infinity."""
    k, v = keys.transpose(1, 0, 2), values.transpose(1, 0, 2)
    scores = (k @ query[..., None])[..., 0] / math.sqrt(query.shape[1])
    scores[mask.T == 0] = -1e30
    scores -= scores.max(1, keepdims=True)
    alpha = np.exp(scores)
    alpha /= alpha.sum(1, keepdims=True)
    return (alpha[:, None] @ v)[:, 0], alpha.T


def dot_masked_exponentials(query, keys, values, mask):
    """The mask multiplies the exponentials; the largest of all scores is taken out."""
    scores = (keys * query).sum(-1) / query.shape[-1] ** 0.5
    weight = mask * np.exp(
        np.where(mask > 0, scores - np.max(np.where(mask, scores, -1e300), 0), 0)
    )
    alpha = weight / weight.sum(0, keepdims=True)
    return (alpha[:, :, None] * values).sum(0), alpha


def additive_by_loop(query, keys, values, mask, Wq, Wk, v):
    """One sequence after the other, cut to its length."""
    T, B = mask.shape
    alpha, context = np.zeros((T, B)), np.zeros((B, values.shape[2]))
    for n in range(B):
        m = int(mask[:, n].sum())
        e = np.array([v @ np.tanh(Wq @ query[n] + Wk @ keys[t, n]) for t in range(m)])
        p = np.exp(e - e.max())
        alpha[:m, n] = p / p.sum()
        context[n] = alpha[:m, n] @ values[:m, n]
    return {"alpha": alpha, "context": context}


def backward_by_jacobians(dcontext, query, keys, values, alpha, Wq, Wk, v):
    """Whole Jacobians of the softmax, sums inside the loop."""
    grads = [np.zeros_like(each) for each in (query, keys, values, Wq, Wk, v)]
    dquery, dkeys, dvalues, dWq, dWk, dv = grads
    for n in range(len(query)):
        a = alpha[:, n]
        de = (np.diag(a) - np.outer(a, a)) @ (values[:, n] @ dcontext[n])
        for t in range(len(keys)):
            z = np.tanh(Wq @ query[n] + Wk @ keys[t, n])
            g = de[t] * v / np.cosh(np.arctanh(z)) ** 2
            dquery[n] += Wq.T @ g
            dkeys[t, n] += Wk.T @ g
            dvalues[t, n] += a[t] * dcontext[n]
            dWq += np.outer(g, query[n])
            dWk += np.outer(g, keys[t, n])
            dv += de[t] * z
    return grads


def decode_one_hot(step, attend, params, s0, y0, y, E, V, b):
    """One-hot vectors for rows of E, V cut in two, arrays made before."""
    T, B = y.shape
    H = s0.shape[1]
    s, o = np.empty((T, B, H)), np.empty((T, B, len(b)))
    state, before = s0, y0
    for t in range(T):
        c = attend(state)
        state = step(params, state, np.hstack((np.eye(len(E))[before] @ E, c)))
        s[t], o[t] = state, state @ V[:, :H].T + c @ V[:, H:].T + b
        before = y[t]
    return s, o


def loss_by_loop(o, y, mask):
    """One symbol after the other."""
    loss, do, N = 0.0, np.zeros_like(o), mask.sum()
    for t, n in np.argwhere(mask > 0):
        log_p = o[t, n] - np.logaddexp.reduce(o[t, n])
        loss -= log_p[y[t, n]] / N
        do[t, n] = np.exp(log_p) / N
        do[t, n, y[t, n]] -= 1 / N
    return loss, do


def greedy_by_break(step, state, begin, end, limit):
    """A for loop with a break; NumPy integers; an array of symbols."""
    y, total, before = [], 0, begin
    for _ in range(limit):
        state, log_p = step(state, before)
        before = np.argmax(log_p)
        total = total + np.max(log_p)
        y += [before]
        if before == end:
            break
    return np.array(y), total


def beam_by_heap(step, state, begin, end, width, limit, length_penalty):
    """heapq, tuples, and negative scores."""
    beams, done = [(0.0, (), state)], []
    for _ in range(limit):
        pool = []
        for cost, y, s in beams:
            new, log_p = step(s, y[-1] if y else begin)
            pool.extend((cost - log_p[k], (*y, k), new) for k in range(len(log_p)))
        best = heapq.nsmallest(width, pool, key=lambda entry: entry[0])
        done += [entry for entry in best if entry[1][-1] == end]
        beams = [entry for entry in best if entry[1][-1] != end]
        if not beams:
            break
    cost, y, _ = min(done + beams, key=lambda e: e[0] / len(e[1]) ** length_penalty)
    return list(y), -cost / len(y) ** length_penalty


def beam_that_stops_early(step, state, begin, end, width, limit, length_penalty):
    """Without a penalty nothing that is alive can overtake what has ended and is likelier."""
    live, done = [([], 0.0, state)], []
    for _ in range(limit):
        longer = []
        for y, p, s in live:
            after, log_p = step(s, y[-1] if y else begin)
            longer += [([*y, k], p + log_p[k], after) for k in range(len(log_p))]
        order = np.argsort([-p for _, p, _ in longer], kind="stable")[:width]
        done += [longer[i] for i in order if longer[i][0][-1] == end]
        live = [longer[i] for i in order if longer[i][0][-1] != end]
        best = max((p for _, p, _ in done), default=-math.inf)
        if not live or (length_penalty == 0 and best >= max(p for _, p, _ in live)):
            break
    y, p, _ = max(done + live, key=lambda e: e[1] / len(e[0]) ** length_penalty)
    return y, p / len(y) ** length_penalty


def bleu_by_strings(candidates, references):
    """n-grams as strings, counts by hand."""

    def grams(words, n):
        found = {}
        for i in range(len(words) - n + 1):
            key = " ".join(words[i : i + n])
            found[key] = found.get(key, 0) + 1
        return found

    total = 0.0
    for n in (1, 2, 3, 4):
        top = bottom = 0
        for words, answers in zip(candidates, references, strict=True):
            counts = [grams(answer, n) for answer in answers]
            for gram, number in grams(words, n).items():
                top += min(number, max(c.get(gram, 0) for c in counts))
                bottom += number
        if not top:
            return 0
        total += math.log(top / bottom) / 4
    c = sum(len(words) for words in candidates)
    r = 0
    for words, answers in zip(candidates, references, strict=True):
        r += sorted((abs(len(a) - len(words)), len(a)) for a in answers)[0][1]
    return math.exp(total + min(0, 1 - r / c))


def scan_by_halves(a, b, h0):
    """Recursive: join neighbours, scan the pairs, fill the gaps."""
    b = np.concatenate([a[:1] * h0 + b[:1], b[1:]])

    def go(a, b):
        if len(a) == 1:
            return b
        even = len(a) // 2 * 2
        pairs = go(a[1:even:2] * a[:even:2], a[1:even:2] * b[:even:2] + b[1:even:2])
        out = np.empty_like(b)
        out[0], out[1:even:2] = b[0], pairs
        gaps = (len(a) - 1) // 2
        out[2::2] = a[2::2] * pairs[:gaps] + b[2::2]
        return out

    return go(a, b)


def scan_in_place(a, b, h0):
    """Copies made once, written into sweep by sweep."""
    a, b = a.copy(), b.copy()
    b[0] += a[0] * h0
    r = 1
    while r < len(a):
        b[r:] = a[r:] * b[:-r] + b[r:]
        a[r:] = a[r:] * a[:-r]
        r = 2 * r
    return b


def scan_of_copies(a, b, h0):
    """Arrays of one's own, of NumPy's plain type."""
    return seq2seq.scan(np.array(a), np.array(b), np.array(h0))


def scan_by_stretches(a, b, h0):
    """About root T stretches at once, then one after the other: 2 root T rounds, not T."""
    T, n = len(a), math.isqrt(len(a) - 1) + 1
    none = np.zeros((-T % n, *h0.shape), h0.dtype)
    a = np.concatenate([a, none]).reshape(-1, n, *h0.shape)
    b = np.concatenate([b, none]).reshape(-1, n, *h0.shape)
    for j in range(1, n):
        b[:, j] += a[:, j] * b[:, j - 1]
        a[:, j] *= a[:, j - 1]
    h, out = h0, []
    for product, total in zip(a, b, strict=True):
        out.append(product * h + total)
        h = out[-1][-1]
    return np.concatenate(out)[:T]


def mingru_by_loop(x, h0, Uz, bz, Un, bn):
    """A loop, and the logistic function written so that nothing overflows."""
    h, out = h0, []
    for step in x:
        pre = np.einsum("bd,hd->bh", step, Uz) + bz
        z = np.where(
            pre > 0, 1 / (1 + np.exp(-abs(pre))), np.exp(-abs(pre)) / (1 + np.exp(-abs(pre)))
        )
        h = h + z * (np.einsum("bd,hd->bh", step, Un) + bn - h)
        out.append(h)
    return out


class TwinByHand(seq2seq.Seq2Seq):
    """Masks by index, bmm, outputs at the end, a list of symbols."""

    def attend(self, s, states, lengths):
        T = states.shape[0]
        mask = torch.arange(T, device=states.device).unsqueeze(1) < lengths.unsqueeze(0)
        if self.kind == "last":
            alpha = torch.nn.functional.one_hot(lengths - 1, T).to(states).T
        elif self.kind == "mean":
            alpha = mask.to(states) / mask.sum(0)
        else:
            if self.kind == "dot":
                scores = torch.einsum("tbh,bh->tb", states, s) / s.size(1) ** 0.5
            else:
                both = self.read_query(s).unsqueeze(0) + self.read_key(states)
                scores = self.score(both.tanh()).squeeze(-1)
            weight = (scores - scores.masked_fill(~mask, -1e30).amax(0)).exp() * mask
            alpha = weight / weight.sum(0)
        context = torch.bmm(alpha.T.unsqueeze(1), states.transpose(0, 1)).squeeze(1)
        return context, alpha

    def advance(self, s, symbol, states, lengths):
        context, alpha = self.attend(s, states, lengths)
        s = self.cell(torch.hstack((self.embed_target(symbol), context)), s)
        return s, self.output(torch.hstack((s, context))), alpha

    def forward(self, x, lengths, y0, y):
        states, s = self.encode(x), self.s0.repeat(x.size(1), 1)
        made, before = [], y0
        for t in range(len(y)):
            s, o, alpha = self.advance(s, before, states, lengths)
            made.append((o, alpha))
            before = y[t]
        return tuple(torch.stack(each) for each in zip(*made, strict=True))


STYLES = [
    ("encode", encode_rows_that_are_left),
    ("encode", encode_one_by_one),
    ("fixed_weights", weights_by_index),
    ("dot_attention", dot_batch_first),
    ("dot_attention", dot_masked_exponentials),
    ("additive_attention", additive_by_loop),
    ("additive_attention_backward", backward_by_jacobians),
    ("decode", decode_one_hot),
    ("masked_cross_entropy", loss_by_loop),
    ("greedy", greedy_by_break),
    ("beam_search", beam_by_heap),
    ("beam_search", beam_that_stops_early),
    ("bleu", bleu_by_strings),
    ("scan", scan_by_halves),
    ("scan", scan_in_place),
    ("scan", scan_of_copies),
    ("scan", scan_by_stretches),
    ("mingru", mingru_by_loop),
    ("Seq2Seq", TwinByHand),
]


@pytest.mark.parametrize(("name", "answer"), STYLES, ids=[answer.__name__ for _, answer in STYLES])
def test_another_style_is_right(name, answer, capsys):
    check(f"seq2seq.{name}", answer)
    assert "right" in capsys.readouterr().out


NUMPY = ["dot_attention", "additive_attention", "additive_attention_backward", "scan", "mingru"]


@pytest.mark.parametrize("name", NUMPY)
def test_float32_out_is_right(name):
    answer = getattr(seq2seq, name)

    def narrowed(*args):
        made = answer(*args)
        if isinstance(made, tuple):
            return tuple(np.asarray(array).astype(np.float32) for array in made)
        return np.asarray(made).astype(np.float32)

    check(f"seq2seq.{name}", narrowed)


def loop_on_copies(a, b, h0):
    a, b, h = np.array(a), np.array(b), np.array(h0)
    out = np.empty_like(b)
    for t in range(len(a)):
        out[t] = h = a[t] * h + b[t]
    return out


def loop_in_one_line(a, b, h0):
    h = h0
    return np.array([h := p * h + q for p, q in zip(a, b, strict=True)])


def loop_by_accumulate(a, b, h0):
    pairs = zip(a, b, strict=True)
    made = itertools.accumulate(pairs, lambda h, ab: ab[0] * h + ab[1], initial=h0)
    return np.array(list(made)[1:])


def loop_by_vectorize(a, b, h0):
    h = np.concatenate([h0[None], b])
    add = np.vectorize(lambda t: h[t + 1].__iadd__(a[t] * h[t]).sum(), otypes=[float])
    add(np.arange(len(a)))
    return h[1:]


LOOPS = [loop_on_copies, loop_in_one_line, loop_by_accumulate, loop_by_vectorize]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_over_time_is_no_scan(loop, capsys):
    with pytest.raises(CheckFailed):
        check("seq2seq.scan", loop)
    out = capsys.readouterr().out
    assert "the more lines the longer" in out
    assert "T = 256" in out
    assert "T = 1,024" in out
    assert "known slip" in out


def _weights_over_axis_1(scores, values):
    weight = np.exp(scores - scores.max(axis=1, keepdims=True))
    alpha = weight / weight.sum(axis=1, keepdims=True)
    return np.einsum("tb,tbc->bc", alpha, values), alpha


def dot_axis_1(query, keys, values, mask):
    scores = (keys * query).sum(-1) / np.sqrt(query.shape[-1])
    return _weights_over_axis_1(np.where(mask > 0, scores, -np.inf), values)


def additive_axis_1(query, keys, values, mask, Wq, Wk, v):
    scores = np.tanh(query @ Wq.T + keys @ Wk.T) @ v
    return _weights_over_axis_1(np.where(mask > 0, scores, -np.inf), values)


def dot_softmax_then_mask(query, keys, values, mask):
    scores = (keys * query).sum(-1) / np.sqrt(query.shape[-1])
    weight = np.exp(scores - scores.max(axis=0))
    alpha = weight / weight.sum(axis=0) * mask
    alpha = alpha / alpha.sum(axis=0)
    return (alpha[..., None] * values).sum(axis=0), alpha


def additive_hundred(query, keys, values, mask, Wq, Wk, v):
    scores = np.where(mask > 0, np.tanh(query @ Wq.T + keys @ Wk.T) @ v, -1000.0)
    weight = np.exp(scores - scores.max(axis=0))
    alpha = weight / weight.sum(axis=0)
    return (alpha[..., None] * values).sum(axis=0), alpha


def encode_unmasked(step, params, x, mask, h0):
    h, out = h0, []
    for now in x:
        h = step(params, h, now)
        out.append(h)
    return np.stack(out)


def loss_with_log_of_p(o, y, mask):
    p = np.exp(o - o.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    rows, columns = np.indices(y.shape)
    loss = -(np.log(p[rows, columns, y]) * mask).sum() / mask.sum()
    p[rows, columns, y] -= 1
    return loss, p * mask[..., None] / mask.sum()


def beam_with_all_in_one_list(step, state, begin, end, width, limit, length_penalty):
    beam = [(0.0, [], state)]
    for _ in range(limit):
        longer = []
        for logp, y, s in beam:
            if y and y[-1] == end:
                longer.append((logp, y, s))
                continue
            after, log_p = step(s, y[-1] if y else begin)
            longer += [(logp + log_p[k], [*y, k], after) for k in range(len(log_p))]
        beam = sorted(longer, key=lambda each: each[0], reverse=True)[:width]
    score, y = max((logp / len(y) ** length_penalty, y) for logp, y, _ in beam)
    return y, score


AS_WRITTEN = [
    ("dot_attention", dot_axis_1, "the softmax goes over the batch"),
    ("additive_attention", additive_axis_1, "the softmax goes over the batch"),
    ("dot_attention", dot_softmax_then_mask, "the largest score is looked for in the padding"),
    ("additive_attention", additive_hundred, "a finite number instead of minus infinity"),
    ("encode", encode_unmasked, "the padding is run over"),
    ("masked_cross_entropy.loss", loss_with_log_of_p, "the logarithm of the softmax"),
    ("beam_search", beam_with_all_in_one_list, "still takes a place in the beam"),
]


@pytest.mark.parametrize(("name", "answer", "words"), AS_WRITTEN)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_slip_is_known_however_it_is_written(name, answer, words, capsys):
    with pytest.raises(CheckFailed):
        check(f"seq2seq.{name}", answer)
    out = capsys.readouterr().out
    assert "known slip" in out
    assert words in out


WRONG = [
    ("dot_attention", "dot_mask_after", "the mask comes after the softmax"),
    ("dot_attention", "dot_zero_scores", "exp(0) is 1"),
    ("additive_attention", "additive_over_batch", "the softmax goes over the batch"),
    ("additive_attention_backward.dkeys", "backward_no_mean", "entry by entry"),
    ("decode", "decode_peeks", "the answer goes in"),
    ("masked_cross_entropy.loss", "loss_mean_of_means", "short sequences weigh more"),
    ("beam_search", "beam_one_state", "from the state of the last one"),
    ("bleu", "bleu_by_sentence", "not one score of the corpus"),
    ("scan", "scan_loop", "a loop over time"),
    ("scan", "scan_divided", "which may be 0"),
    ("Seq2Seq", "TwinPeeks", "the answer goes in"),
]


@pytest.mark.parametrize(("name", "slip", "words"), WRONG, ids=[each[1] for each in WRONG])
def test_what_people_do_is_called_by_its_name(name, slip, words, capsys):
    from autograder.slips import seq2seq as slips

    with pytest.raises(CheckFailed):
        check(f"seq2seq.{name}", getattr(slips, slip))
    out = capsys.readouterr().out
    assert "known slip" in out
    assert words in out


def wrong_x(step, params, x, mask, h0):
    return step(params, h0, x[0].T)


def wrong_params(step, params, x, mask, h0):
    return step(None, h0, x[0])


def wrong_state(step, params, x, mask, h0):
    return step(params, h0[0], x[0])


def query_by_symbol(step, attend, params, s0, y0, y, *rest):
    return attend(y0)


def steps_too_many(step, attend, params, s0, y0, y, E, V, b):
    c = attend(s0)
    for k in (y0, *y, y[-1]):
        step(params, s0, np.concatenate([E[k], c], -1))
    return seq2seq.decode(step, attend, params, s0, y0, y, E, V, b)


def state_made_up(step, state, begin, end, limit):
    return step(state + 1, begin)


def symbol_as_vector(step, state, begin, end, limit):
    return step(state, np.eye(6)[1])


def too_long(step, state, begin, end, limit):
    return [1] * (limit + 1), 0.0


def one_thing(step, state, begin, end, limit):
    return [1]


def no_list(step, state, begin, end, limit):
    return 5, 0.0


def never_ends(step, state, *rest):
    while True:
        step(state, 0)


def plain_lists(a, b, h0):
    h, states = h0.tolist(), []
    for now, new in zip(a.tolist(), b.tolist(), strict=True):
        h = [
            [p * q + r for p, q, r in zip(*rows, strict=True)]
            for rows in zip(now, h, new, strict=True)
        ]
        states.append(h)
    return np.array(states)


class Detached(seq2seq.Seq2Seq):
    def forward(self, *args):
        o, alpha = super().forward(*args)
        return o.detach(), alpha


class ReturnsNothing(seq2seq.Seq2Seq):
    def forward(self, *args):
        super().forward(*args)


class OutputsAlone(seq2seq.Seq2Seq):
    def forward(self, *args):
        return super().forward(*args)[0]


class Doubled(seq2seq.Seq2Seq):
    def forward(self, *args):
        o, alpha = super().forward(*args)
        return o.float(), alpha


class BatchFirst(seq2seq.Seq2Seq):
    def forward(self, *args):
        o, alpha = super().forward(*args)
        return o.transpose(0, 1), alpha


class OnTheCPU(seq2seq.Seq2Seq):
    def attend(self, s, states, lengths):
        mask = torch.arange(len(states), device="cpu")[:, None] < lengths
        c, alpha = super().attend(s, states, lengths)
        return c, alpha * mask


class FirstStateCut(seq2seq.Seq2Seq):
    """Right numbers; but one row of s0 is made a leaf of its own."""

    def forward(self, x, lengths, y0, y):
        states, outputs, alphas = self.encode(x), [], []
        s = torch.stack([self.s0.data] * len(y0))
        for symbol in (y0, *y[:-1]):
            s, o, alpha = self.advance(s, symbol, states, lengths)
            outputs.append(o)
            alphas.append(alpha)
        return torch.stack(outputs), torch.stack(alphas)


class BiasCut(seq2seq.Seq2Seq):
    """The output layer by hand, its bias without its graph."""

    def advance(self, s, symbol, states, lengths):
        c, alpha = self.attend(s, states, lengths)
        s = self.cell(torch.cat([self.embed_target(symbol), c], -1), s)
        o = torch.cat([s, c], -1) @ self.output.weight.T + self.output.bias.detach()
        return s, o, alpha


class CellCut(seq2seq.Seq2Seq):
    """The cell, called with copies of its weights."""

    def advance(self, s, symbol, states, lengths):
        c, alpha = self.attend(s, states, lengths)
        copies = {name: value.detach() for name, value in self.cell.named_parameters()}
        inside = torch.cat([self.embed_target(symbol), c], -1), s
        s = torch.func.functional_call(self.cell, copies, inside)
        return s, self.output(torch.cat([s, c], -1)), alpha


class Renamed(seq2seq.Seq2Seq):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.last_layer = self.output
        del self.output


class NoModule:
    pass


SAID = [
    ("encode", wrong_x, "step got an x of shape"),
    ("encode", wrong_params, "step got other parameters"),
    ("encode", wrong_state, "step got a state of shape"),
    ("decode", query_by_symbol, "attend got shape"),
    ("decode", steps_too_many, "step was called 4 times, for 1 target"),
    ("greedy", state_made_up, "a state that it has not given out"),
    ("greedy", symbol_as_vector, "want one integer"),
    ("greedy", too_long, "and the limit is"),
    ("greedy", one_thing, "want two things"),
    ("greedy", no_list, "want a list of integers"),
    ("beam_search", never_ends, "20,000 times"),
    ("scan", plain_lists, "a loop over time"),
    ("Seq2Seq", Detached, "does not require a gradient"),
    ("Seq2Seq", ReturnsNothing, "want 2 things: o, alpha"),
    ("Seq2Seq", OutputsAlone, "want two tensors"),
    ("Seq2Seq", Doubled, "o has dtype torch.float32"),
    ("Seq2Seq", BatchFirst, "want (S, B, K)"),
    ("Seq2Seq", OnTheCPU, "on another device"),
    ("Seq2Seq", FirstStateCut, "the gradient at s0: it has been cut"),
    ("Seq2Seq", BiasCut, "doutput_bias["),
    ("Seq2Seq", CellCut, "the gradient at cell.weight_ih: none arrives"),
    ("Seq2Seq", Renamed, "the network has no output.weight"),
    ("Seq2Seq", NoModule, "is not a torch.nn.Module"),
]


@pytest.mark.parametrize(("name", "answer", "words"), SAID, ids=[a.__name__ for _, a, _ in SAID])
def test_what_does_not_fit_is_said(name, answer, words, capsys):
    with pytest.raises(CheckFailed):
        check(f"seq2seq.{name}", answer)
    assert words in capsys.readouterr().out


def test_counters_and_counting_agree():
    """The helper that the notebook gives, by hand."""
    said = ["a", "b", "a", "b"]
    assert seq2seq.ngrams(said, 2) == Counter({("a", "b"): 2, ("b", "a"): 1})
    assert not seq2seq.ngrams(said, 5)


def weights_guarded(lengths, T):
    """In float32, with a small number beside the length."""
    t = np.arange(1, T + 1)[:, None]
    mean = (t <= lengths) / (lengths + 1e-6)
    return (t == lengths) * 1.0, mean.astype(np.float32)


def test_fixed_weights_may_be_whole_numbers_where_they_are(capsys):
    def integers(lengths, T):
        t = np.arange(1, T + 1)[:, None]
        return (t == lengths).astype(int), ((t <= lengths) / lengths).astype(np.float32)

    check("seq2seq.fixed_weights", integers)
    capsys.readouterr()
    with pytest.raises(CheckFailed):
        check("seq2seq.fixed_weights", lambda n, T: [each.astype(int) for each in integers(n, T)])
    assert "mean has dtype int64" in capsys.readouterr().out


def test_one_division_in_single_precision_loses_no_more_than_rounding(capsys):
    with pytest.raises(CheckFailed):
        check("seq2seq.fixed_weights", weights_guarded)
    assert "limit 3e-07: float32" in capsys.readouterr().out
