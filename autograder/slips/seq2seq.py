"""Chapter 6: the mistakes that people make with padding, attention, searches and scores."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from autograder.slip import slip
from solutions import seq2seq as right

# The encoder.


@slip("seq2seq.encode", "the padding is run over, too", rung="probes", read="(6.2)")
def encode_no_mask(step, params, x, mask, h0):
    """In the padding a state stays as it was."""
    return right.encode(step, params, x, np.ones_like(mask), h0)


@slip("seq2seq.encode", "the state is set to 0 in the padding", rung="probes", read="(6.2)")
def encode_zeroed(step, params, x, mask, h0):
    """They stay; so that the last row holds each sequence's own last state."""
    return right.encode(step, params, x, mask, h0) * mask[..., None]


@slip(
    "seq2seq.encode",
    "the state is multiplied by the mask: it is 0 in the padding",
    rung="probes",
    read="(6.2)",
)
def encode_times_mask(step, params, x, mask, h0):
    """It stays as it was."""
    return right.encode(step, params, x, np.ones_like(mask), h0) * mask[..., None]


@slip("seq2seq.encode", "h(0) is taken as zero", rung="probes", read="(6.1)")
def encode_no_h0(step, params, x, mask, h0):
    """The initial state is an argument."""
    return right.encode(step, params, x, mask, np.zeros_like(h0))


@slip("seq2seq.encode", "every step starts at h(0)", rung="probes", read="(6.1)")
def encode_not_carried(step, params, x, mask, h0):
    """A step gets the state that the step before has made."""
    made = [right.encode(step, params, x[t : t + 1], mask[t : t + 1], h0) for t in range(len(x))]
    return np.concatenate(made)


@slip("seq2seq.encode", "h(0) stands among the states", rung="shapes", read="(6.1)")
def encode_with_h0(step, params, x, mask, h0):
    """T states, the first of them h(1)."""
    return np.concatenate([h0[None], right.encode(step, params, x, mask, h0)])


@slip(
    "seq2seq.encode",
    "the mask multiplies what the padding has made: 0 times NaN is NaN",
    rung="properties",
    read="(6.2)",
)
def encode_multiplied(step, params, x, mask, h0):
    """Choose, with np.where; do not multiply."""
    h, states = h0, []
    for now, m in zip(x, mask[..., None], strict=True):
        h = m * step(params, h, now) + (1 - m) * h
        states.append(h)
    return np.stack(states)


# Contexts that do not look.


@slip(
    "seq2seq.fixed_weights",
    '"last" is the last step of the array, which may be padding',
    rung="probes",
    read="(6.4)",
)
def weights_last_row(lengths, T):
    """Each sequence has its own last step."""
    last = np.zeros((T, len(lengths)))
    last[-1] = 1.0
    return last, right.fixed_weights(lengths, T)[1]


@slip("seq2seq.fixed_weights", '"last" is one step late', rung="probes", read="(6.4)")
def weights_late(lengths, T):
    """Step t has index t - 1."""
    last = np.zeros((T, len(lengths)))
    last[lengths % T, np.arange(len(lengths))] = 1.0
    return last, right.fixed_weights(lengths, T)[1]


@slip("seq2seq.fixed_weights", '"mean" divides by T', rung="probes", read="(6.5)")
def weights_mean_over_all(lengths, T):
    """Divide by each sequence's own length."""
    last, mean = right.fixed_weights(lengths, T)
    return last, mean * lengths / T


@slip("seq2seq.fixed_weights", '"mean" goes over the padding, too', rung="probes", read="(6.5)")
def weights_mean_of_padding(lengths, T):
    """Only the steps of the sequence have a weight."""
    last, mean = right.fixed_weights(lengths, T)
    return last, np.full_like(mean, 1 / T)


# Attention: each mistake of the weights is one of both kinds.


def _normalized(scores, mask, values, kind=""):
    """Weights and context with one thing wrong."""
    inside = mask > 0
    if kind == "no mask":
        inside = np.ones_like(inside)
    axis = 1 if kind == "over the batch" else 0
    if kind == "zero":
        scores = scores * inside
        inside = np.ones_like(inside)
    kept = np.where(inside, scores, -1000.0 if kind == "finite" else -np.inf)
    if kind == "after":
        kept = scores
    top = 0.0 if kind == "no max" else kept.max(axis=axis, keepdims=True)
    if kind == "top of all":
        top = scores.max(axis=0)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        weight = np.exp(kept - top)
        alpha = weight / weight.sum(axis=axis, keepdims=True)
    if kind == "after":
        alpha = alpha * mask
    context = np.einsum("tb,tbc->bc", alpha, values)
    return (context / len(mask) if kind == "mean" else context), alpha


def _dot_scores(query, keys):
    return np.einsum("tbh,bh->tb", keys, query)


@slip("seq2seq.dot_attention", "the root of H is missing", rung="probes", read="(6.7)")
def dot_not_scaled(query, keys, values, mask):
    """The score is divided by the root of the width."""
    return _normalized(_dot_scores(query, keys), mask, values)


@slip("seq2seq.dot_attention", "divided by H, not by its root", rung="probes", read="(6.7)")
def dot_scaled_twice(query, keys, values, mask):
    """The root of the width."""
    return _normalized(_dot_scores(query, keys) / query.shape[-1], mask, values)


def _dot_wrong(query, keys, values, mask, kind):
    return _normalized(_dot_scores(query, keys) / np.sqrt(query.shape[-1]), mask, values, kind)


@slip("seq2seq.dot_attention", "the padding is looked at, too", rung="probes", read="(6.6)")
def dot_no_mask(query, keys, values, mask):
    """The padding has weight 0."""
    return _dot_wrong(query, keys, values, mask, "no mask")


@slip(
    "seq2seq.dot_attention",
    "scores in the padding are 0 instead of minus infinity: exp(0) is 1",
    rung="probes",
    read="(6.6)",
)
def dot_zero_scores(query, keys, values, mask):
    """Minus infinity, before the softmax."""
    return _dot_wrong(query, keys, values, mask, "zero")


@slip(
    "seq2seq.dot_attention",
    "the mask comes after the softmax: the weights no longer add up to 1",
    rung="probes",
    read="(6.6)",
)
def dot_mask_after(query, keys, values, mask):
    """Leave the padding out before you normalize."""
    return _dot_wrong(query, keys, values, mask, "after")


@slip("seq2seq.dot_attention", "the softmax goes over the batch", rung="probes", read="(6.6)")
def dot_over_batch(query, keys, values, mask):
    """The weights of one sequence add up to 1 over time."""
    return _dot_wrong(query, keys, values, mask, "over the batch")


@slip(
    "seq2seq.dot_attention",
    "the largest score is not taken out before exp: it overflows",
    rung="properties",
    read="(6.6)",
)
def dot_no_max(query, keys, values, mask):
    """softmax(s) = softmax(s - max s)."""
    return _dot_wrong(query, keys, values, mask, "no max")


@slip(
    "seq2seq.dot_attention",
    "the largest score is looked for in the padding, too: all others are 0 after exp",
    rung="properties",
    read="(6.6)",
)
def dot_top_of_all(query, keys, values, mask):
    """Minus infinity first, then the maximum."""
    return _dot_wrong(query, keys, values, mask, "top of all")


@slip(
    "seq2seq.dot_attention",
    "a finite number instead of minus infinity: scores may be lower still",
    rung="properties",
    read="(6.6)",
)
def dot_finite(query, keys, values, mask):
    """exp(-inf) is 0, and nothing is lower."""
    return _dot_wrong(query, keys, values, mask, "finite")


@slip("seq2seq.dot_attention", "the keys are mixed, not the values", rung="shapes", read="(6.3)")
def dot_of_keys(query, keys, values, mask):
    """Keys say where to look, values what is there."""
    return right.dot_attention(query, keys, keys, mask)


def _additive_wrong(query, keys, values, mask, Wq, Wk, v, kind="", squash=np.tanh):
    return _normalized(squash(query @ Wq.T + keys @ Wk.T) @ v, mask, values, kind)


@slip("seq2seq.additive_attention", "tanh is missing", rung="probes", read="(6.8)")
def additive_linear(*args):
    """Without tanh the query falls out of the softmax: the same for all keys."""
    return _additive_wrong(*args, squash=lambda a: a)


@slip("seq2seq.additive_attention", "tanh is taken of the score", rung="probes", read="(6.8)")
def additive_squashed_score(query, keys, values, mask, Wq, Wk, v):
    """tanh first, unit by unit, then v."""
    return _normalized(np.tanh((query @ Wq.T + keys @ Wk.T) @ v), mask, values)


@slip(
    "seq2seq.additive_attention",
    "the query does not count: it must be added to the key inside tanh",
    rung="probes",
    read="(6.8)",
)
def additive_no_query(query, keys, values, mask, Wq, Wk, v):
    """The score needs both."""
    return _additive_wrong(np.zeros_like(query), keys, values, mask, Wq, Wk, v)


@slip("seq2seq.additive_attention", "the padding is looked at, too", rung="probes", read="(6.6)")
def additive_no_mask(*args):
    """The padding has weight 0."""
    return _additive_wrong(*args, kind="no mask")


@slip(
    "seq2seq.additive_attention",
    "the mask comes after the softmax: the weights no longer add up to 1",
    rung="probes",
    read="(6.6)",
)
def additive_mask_after(*args):
    """Leave the padding out before you normalize."""
    return _additive_wrong(*args, kind="after")


@slip("seq2seq.additive_attention", "the softmax goes over the batch", rung="probes", read="(6.6)")
def additive_over_batch(*args):
    """The weights of one sequence add up to 1 over time."""
    return _additive_wrong(*args, kind="over the batch")


@slip(
    "seq2seq.additive_attention",
    "the largest score is looked for in the padding, too: all others are 0 after exp",
    rung="properties",
    read="(6.6)",
)
def additive_top_of_all(*args):
    """Minus infinity first, then the maximum."""
    return _additive_wrong(*args, kind="top of all")


@slip(
    "seq2seq.additive_attention",
    "a finite number instead of minus infinity: scores may be lower still",
    rung="properties",
    read="(6.6)",
)
def additive_finite(*args):
    """exp(-inf) is 0, and nothing is lower."""
    return _additive_wrong(*args, kind="finite")


# The gradient of additive attention.


def _backward(dcontext, query, keys, values, alpha, Wq, Wk, v, **wrong):
    """The right gradient, with pieces that may be replaced."""
    dalpha = np.einsum("tbc,bc->tb", values, dcontext)
    softmax = wrong.get("softmax", lambda a, d: a * (d - (a * d).sum(axis=0)))
    dscores = softmax(alpha, dalpha)
    pre = query @ Wq.T + keys @ Wk.T
    z = np.tanh(pre)
    da = dscores[..., None] * v * wrong.get("slope", 1 - z * z)
    dv = np.einsum("tb,tba->a", dscores, wrong.get("at_v", z))
    return [
        da.sum(axis=0) @ Wq,
        da @ Wk,
        alpha[..., None] * dcontext,
        np.einsum("tba,bg->ag", da, query),
        np.einsum("tba,tbh->ah", da, keys),
        dv,
    ]


BACKWARD = "seq2seq.additive_attention_backward"


@slip(
    BACKWARD,
    "the softmax is taken entry by entry: alpha dalpha, nothing subtracted",
    rung="probes",
    read="(6.10)",
    part="dkeys",
)
def backward_no_mean(*args):
    """All weights share one sum: the mean of dalpha is taken off."""
    return _backward(*args, softmax=lambda a, d: a * d)


@slip(
    BACKWARD,
    "the slope of a logistic function, alpha (1 - alpha), for that of the softmax",
    rung="probes",
    read="(6.10)",
    part="dkeys",
)
def backward_logistic(*args):
    """That is the diagonal of the Jacobian alone."""
    return _backward(*args, softmax=lambda a, d: a * (1 - a) * d)


@slip(
    BACKWARD,
    "the plain mean of dalpha is taken off, not the one weighted by alpha",
    rung="probes",
    read="(6.10)",
    part="dv",
)
def backward_plain_mean(*args):
    """Weighted by alpha."""

    def softmax(a, d):
        inside = a > 0
        return a * (d - (d * inside).sum(axis=0) / inside.sum(axis=0))

    return _backward(*args, softmax=softmax)


@slip(BACKWARD, "the slope of tanh is missing", rung="probes", read="(6.11)", part="dquery")
def backward_no_slope(*args):
    """1 minus the square of tanh."""
    return _backward(*args, slope=1.0)


@slip(BACKWARD, "v meets the sum before tanh", rung="probes", read="(6.12)", part="dv")
def backward_v_before_tanh(dcontext, query, keys, values, alpha, Wq, Wk, v):
    """The score is v times tanh of the sum."""
    pre = query @ Wq.T + keys @ Wk.T
    return _backward(dcontext, query, keys, values, alpha, Wq, Wk, v, at_v=pre)


@slip(BACKWARD, "dvalues is dcontext, without alpha", rung="probes", read="(6.9)", part="dvalues")
def backward_no_alpha(*args):
    """Each value has its share alpha of the context."""
    made = _backward(*args)
    made[2] = np.broadcast_to(args[0], args[3].shape).copy()
    return made


@slip(
    BACKWARD,
    "the query's gradient is not summed over time",
    rung="shapes",
    read="(6.12)",
    part="dquery",
)
def backward_query_per_step(*args):
    """One query meets every key."""
    made = _backward(*args)
    keys, Wq, Wk = args[2], args[5], args[6]
    made[0] = (made[1] @ np.linalg.pinv(Wk)) @ Wq + 0.0 * keys[..., :1]
    return made


@slip(
    BACKWARD,
    "the mean over the batch, not the sum",
    rung="values",
    read="(6.12)",
    part="dWk",
)
def backward_batch_mean(*args):
    """Sums, as in chapter 3."""
    made = _backward(*args)
    return [*made[:3], *(each / len(args[0]) for each in made[3:])]


# The decoder.


def _decode(step, attend, params, s0, y0, y, E, V, b, kind):
    s, states, outputs = s0, [], []
    fed = np.concatenate([y0[None], y[:-1]])
    if kind == "peek":
        fed = y
    for t in range(len(y)):
        previous = fed[t]
        if kind == "own" and t:
            previous = outputs[-1].argmax(axis=-1)
        c = attend(s)
        embedded = E[previous]
        if kind == "zero first" and t == 0:
            embedded = np.zeros_like(embedded)
        before = s
        s = step(params, s, np.concatenate([embedded, c], axis=-1))
        if kind == "late query":
            c = attend(s)
        if kind == "blind output":
            c = np.zeros_like(c)
        read = [before if kind == "old state" else s, c]
        if kind == "output turned":
            read.reverse()
        outputs.append(np.concatenate(read, axis=-1) @ V.T + b)
        states.append(s)
        if kind == "not carried":
            s = s0
    return np.stack(states), np.stack(outputs)


@slip(
    "seq2seq.decode",
    "each step gets its own target: the answer goes in",
    rung="probes",
    read="(6.15)",
)
def decode_peeks(*args):
    """Step t gets y(t-1)."""
    return _decode(*args, "peek")


@slip(
    "seq2seq.decode",
    "the network's own symbols go in, not the true ones",
    rung="probes",
    read="(6.15)",
)
def decode_own(*args):
    """Teacher forcing: the true previous symbol."""
    return _decode(*args, "own")


@slip(
    "seq2seq.decode",
    "the output has a context of its own, made with the new state",
    rung="probes",
    read="(6.14), (6.16)",
)
def decode_late_query(*args):
    """One context for a step, from the state before it."""
    return _decode(*args, "late query")


@slip("seq2seq.decode", "the output does not see the context", rung="probes", read="(6.16)")
def decode_blind_output(*args):
    """V reads the state and the context."""
    return _decode(*args, "blind output")


@slip(
    "seq2seq.decode",
    "the output reads context and state in the other order",
    rung="probes",
    read="(6.16)",
)
def decode_output_turned(*args):
    """The state first, then the context."""
    return _decode(*args, "output turned")


@slip("seq2seq.decode", "the output reads the state before the step", rung="probes", read="(6.16)")
def decode_old_state(*args):
    """The one that this step has made."""
    return _decode(*args, "old state")


@slip("seq2seq.decode", "nothing goes into the first step", rung="probes", read="(6.15)")
def decode_zero_first(*args):
    """y(0) has a row in E like every symbol."""
    return _decode(*args, "zero first")


@slip("seq2seq.decode", "every step starts at s(0)", rung="probes", read="(6.15)")
def decode_not_carried(*args):
    """A step gets the state that the step before has made."""
    return _decode(*args, "not carried")


@slip(
    "seq2seq.decode",
    "context and symbol go in in the other order",
    rung="probes",
    read="(6.15)",
)
def decode_context_first(step, attend, params, s0, y0, y, E, V, b):
    """The symbol first."""
    s, states, outputs = s0, [], []
    for previous in np.concatenate([y0[None], y[:-1]]):
        c = attend(s)
        s = step(params, s, np.concatenate([c, E[previous]], axis=-1))
        states.append(s)
        outputs.append(np.concatenate([s, c], axis=-1) @ V.T + b)
    return np.stack(states), np.stack(outputs)


# Cross-entropy.

LOSS = "seq2seq.masked_cross_entropy"


@slip(LOSS, "the sum, not the mean", rung="probes", read="(6.17)", part="loss")
def loss_sum(o, y, mask):
    """Divided by the number of symbols that count."""
    loss, do = right.masked_cross_entropy(o, y, mask)
    return loss * mask.sum(), do


@slip(LOSS, "divided by all T B entries, padding too", rung="probes", read="(6.17)", part="loss")
def loss_over_padding(o, y, mask):
    """Divided by the number of symbols that count."""
    loss, do = right.masked_cross_entropy(o, y, mask)
    return loss * mask.mean(), do


@slip(
    LOSS,
    "the mean of the sequences' means: short sequences weigh more",
    rung="probes",
    read="(6.17)",
    part="loss",
)
def loss_mean_of_means(o, y, mask):
    """Every symbol weighs the same."""
    one = [
        right.masked_cross_entropy(o[:, n : n + 1], y[:, n : n + 1], mask[:, n : n + 1])
        for n in range(o.shape[1])
    ]
    loss = np.mean([each for each, _ in one])
    return loss, np.concatenate([do for _, do in one], axis=1) / o.shape[1]


@slip(LOSS, "the padding counts", rung="probes", read="(6.17)", part="loss")
def loss_with_padding(o, y, mask):
    """The mask takes it out."""
    return right.masked_cross_entropy(o, y, np.ones_like(mask))


@slip(LOSS, "the gradient is not masked", rung="probes", read="(6.18)", part="do")
def loss_gradient_in_padding(o, y, mask):
    """What does not count has gradient 0."""
    loss, _ = right.masked_cross_entropy(o, y, mask)
    _, do = right.masked_cross_entropy(o, y, np.ones_like(mask))
    return loss, do * mask.size / mask.sum()


@slip(
    LOSS,
    "the gradient is that of the sum: it is not divided by N",
    rung="probes",
    read="(6.18)",
    part="do",
)
def loss_gradient_of_sum(o, y, mask):
    """Divide the gradient, too."""
    loss, do = right.masked_cross_entropy(o, y, mask)
    return loss, do * mask.sum()


@slip(LOSS, "the softmax goes over time", rung="probes", read="(6.17)", part="loss")
def loss_over_time(o, y, mask):
    """Each step and sequence has a distribution over the K symbols: the last axis."""
    _, do = right.masked_cross_entropy(o, y, mask)
    shifted = o - o.max(axis=0, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=0, keepdims=True))
    picked = np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0]
    return -(mask * picked).sum() / mask.sum(), do


@slip(LOSS, "the softmax goes over time", rung="probes", read="(6.18)", part="do")
def loss_gradient_over_time(o, y, mask):
    """Each step and sequence has a distribution over the K symbols: the last axis."""
    loss, _ = right.masked_cross_entropy(o, y, mask)
    weight = np.exp(o - o.max(axis=0, keepdims=True))
    p = weight / weight.sum(axis=0, keepdims=True)
    return loss, (p - np.eye(o.shape[-1])[y]) * (mask / mask.sum())[..., None]


@slip(
    LOSS,
    "the largest output is not taken out before exp: it overflows",
    rung="properties",
    read="(6.17)",
    part="loss",
)
def loss_overflows(o, y, mask):
    """softmax(o) = softmax(o - max o)."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        p = np.exp(o) / np.exp(o).sum(axis=-1, keepdims=True)
        picked = np.take_along_axis(p, y[..., None], axis=-1)[..., 0]
        loss = -(mask * np.log(picked)).sum() / mask.sum()
        do = (p - np.eye(o.shape[-1])[y]) * (mask / mask.sum())[..., None]
    return loss, do


def _by_softmax(o, y, mask, guard=0.0, axis=-1):
    """The softmax first, then its logarithm."""
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.exp(o - o.max(axis=axis, keepdims=True))
        p = weight / weight.sum(axis=-1, keepdims=True)
        picked = np.take_along_axis(p, y[..., None], axis=-1)[..., 0]
        loss = -(mask * np.log(picked + guard)).sum() / mask.sum()
    return loss, (p - np.eye(o.shape[-1])[y]) * (mask / mask.sum())[..., None]


@slip(
    LOSS,
    "the logarithm of the softmax: of a probability that has become 0 it is infinite",
    rung="properties",
    read="(6.17)",
    part="loss",
)
def loss_log_of_softmax(*args):
    """log softmax(o) = o - max o - log sum exp(o - max o)."""
    return _by_softmax(*args)


@slip(
    LOSS,
    "a small number guards the logarithm of the softmax: it makes unlikely targets cheap",
    rung="properties",
    read="(6.17)",
    part="loss",
)
def loss_guarded(*args):
    """log softmax(o) = o - max o - log sum exp(o - max o) needs no guard."""
    return _by_softmax(*args, guard=1e-12)


@slip(
    LOSS,
    "one maximum for everything: where the outputs are lower, exp gives 0",
    rung="properties",
    read="(6.17)",
    part="loss",
)
def loss_one_maximum(*args):
    """Each step and sequence has its own."""
    return _by_softmax(*args, axis=None)


# Greedy search.


def _greedy(step, state, begin, end, limit, kind=""):
    y, logp, symbol, first = [], 0.0, begin, state
    while len(y) < limit and (not y or symbol != end or kind == "on"):
        state, log_p = step(first if kind == "not carried" else state, symbol)
        symbol = int(np.argmin(log_p) if kind == "least" else np.argmax(log_p))
        y.append(symbol)
        logp += log_p[symbol]
        if kind == "same input":
            symbol = begin if symbol != end else end
    return y, logp


@slip("seq2seq.greedy", "the search goes on behind the end", rung="probes", read="(6.19)")
def greedy_goes_on(*args):
    """The end symbol ends it."""
    return _greedy(*args, kind="on")


@slip(
    "seq2seq.greedy", "every step gets the begin symbol, not what came out", rung="probes",
    read="(6.20)",
)  # fmt: skip
def greedy_same_input(*args):
    """What has come out goes in."""
    return _greedy(*args, kind="same input")


@slip("seq2seq.greedy", "every step gets the first state", rung="probes", read="(6.20)")
def greedy_not_carried(*args):
    """A step gets the state that the step before has made."""
    return _greedy(*args, kind="not carried")


@slip("seq2seq.greedy", "the end is not among the symbols", rung="probes", read="(6.19)")
def greedy_without_end(step, state, begin, end, limit):
    """It is the last one."""
    y, logp = right.greedy(step, state, begin, end, limit)
    return (y[:-1] if y[-1] == end else y), logp


@slip(
    "seq2seq.greedy",
    "the end counts neither as a symbol nor in log P",
    rung="probes",
    read="(6.19)",
)
def greedy_end_dropped(step, state, begin, end, limit):
    """It is the last one."""
    y, logp, symbol = [], 0.0, begin
    while len(y) < limit:
        state, log_p = step(state, symbol)
        symbol = int(np.argmax(log_p))
        if symbol == end:
            break
        y.append(symbol)
        logp += log_p[symbol]
    return y, logp


@slip("seq2seq.greedy", "the begin symbol stands among the symbols", rung="probes", read="(6.20)")
def greedy_with_begin(step, state, begin, end, limit):
    """It went in, it did not come out."""
    y, logp = right.greedy(step, state, begin, end, limit - 1)
    return [begin, *y], logp


@slip("seq2seq.greedy", "probabilities come back, not logarithms", rung="probes", read="(6.19)")
def greedy_probability(*args):
    """The sum of the logarithms."""
    y, logp = right.greedy(*args)
    return y, np.exp(logp)


@slip(
    "seq2seq.greedy",
    "it stops before the first step if begin and end are one symbol",
    rung="properties",
    read="(6.20)",
)
def greedy_begin_ends(step, state, begin, end, limit):
    """Only what has come out can end it."""
    if begin == end:
        return [], 0.0
    return right.greedy(step, state, begin, end, limit)


# Beam search.


def _beam(step, state, begin, end, width, limit, length_penalty, kind=""):
    live, finished = [([], 0.0, state)], []
    for _ in range(limit):
        longer = []
        for y, logp, before in live:
            after, log_p = step(before, y[-1] if y else begin)
            own = [([*y, k], logp + value, after) for k, value in enumerate(log_p)]
            if kind == "each its own":
                own = sorted(own, key=lambda each: -each[1])[:width]
            longer += own
        if kind == "state of the last":
            longer = [(y, logp, after) for y, logp, _ in longer]
        if kind == "keeps its place":
            longer += finished
            finished = []
        longer.sort(key=lambda each: -each[1])
        kept = longer if kind == "each its own" else longer[:width]
        finished += [
            each for each in (longer if kind == "all ends" else kept) if each[0][-1] == end
        ]
        live = [each for each in kept if each[0][-1] != end]
        if kind in ("filled up", "all ends"):
            live = [each for each in longer if each[0][-1] != end][:width]
        if not live or (kind == "first finished" and finished):
            break
        if kind == "enough" and len(finished) >= width:
            live = []
            break
        if kind == "narrowing":
            width = max(1, width - len(kept) + len(live))
    pool = finished if kind in ("first finished", "finished only") and finished else finished + live
    size = {"without end": lambda y: max(1, len(y) - (y[-1] == end))}.get(kind, len)
    scored = [(logp / size(y) ** length_penalty, y) for y, logp, _ in pool]
    if kind == "log P":
        best = max(range(len(pool)), key=lambda i: pool[i][1])
        return pool[best][0], scored[best][0]
    score, y = max(scored, key=lambda each: each[0])
    return y, score


@slip("seq2seq.beam_search", "the width is not used: greedy search", rung="probes", read="(6.21)")
def beam_greedy(step, state, begin, end, width, limit, length_penalty):
    """The best `width` beginnings are kept."""
    return right.beam_search(step, state, begin, end, 1, limit, length_penalty)


@slip("seq2seq.beam_search", "the length penalty is not used", rung="probes", read="(6.22)")
def beam_no_penalty(step, state, begin, end, width, limit, length_penalty):
    """log P divided by a power of the length."""
    return right.beam_search(step, state, begin, end, width, limit, 0.0)


@slip(
    "seq2seq.beam_search",
    "the score is divided by the length, but the choice goes by log P",
    rung="probes",
    read="(6.22)",
)
def beam_chosen_by_logp(*args):
    """The best score wins."""
    return _beam(*args, kind="log P")


@slip(
    "seq2seq.beam_search",
    "the search stops at the first sequence that ends",
    rung="probes",
    read="(6.21)",
)
def beam_first_finished(*args):
    """Others may still become better."""
    return _beam(*args, kind="first finished")


@slip("seq2seq.beam_search", "the end does not count for the length", rung="probes", read="(6.22)")
def beam_length_without_end(*args):
    """It is a symbol like the others."""
    return _beam(*args, kind="without end")


@slip(
    "seq2seq.beam_search",
    "all beginnings go on from the state of the last one",
    rung="values",
    read="(6.21)",
)
def beam_one_state(*args):
    """Each beginning has a state of its own."""
    return _beam(*args, kind="state of the last")


@slip(
    "seq2seq.beam_search",
    "each beginning keeps `width` of its own: they multiply",
    rung="probes",
    read="(6.21)",
)
def beam_each_its_own(*args):
    """All extensions compete for the `width` places."""
    return _beam(*args, kind="each its own")


@slip(
    "seq2seq.beam_search",
    "what the limit cuts off is left out",
    rung="properties",
    read="(6.22)",
)
def beam_finished_only(*args):
    """What is still alive at the limit competes, too."""
    return _beam(*args, kind="finished only")


@slip(
    "seq2seq.beam_search",
    "what has ended still takes a place in the beam",
    rung="probes",
    read="(6.21)",
)
def beam_keeps_its_place(*args):
    """It is set aside, and `width` of the extensions are kept."""
    return _beam(*args, kind="keeps its place")


@slip(
    "seq2seq.beam_search",
    "the beam is narrower by one for each that has ended",
    rung="probes",
    read="(6.21)",
)
def beam_narrowing(*args):
    """At each step `width` of the extensions are kept."""
    return _beam(*args, kind="narrowing")


@slip(
    "seq2seq.beam_search",
    "what has ended is replaced: the beam is filled up again",
    rung="probes",
    read="(6.21)",
)
def beam_filled_up(*args):
    """`width` extensions are kept; those that have ended leave their places empty."""
    return _beam(*args, kind="filled up")


@slip(
    "seq2seq.beam_search",
    "only live beginnings count for `width`: every end is set aside, however unlikely",
    rung="probes",
    read="(6.21)",
)
def beam_all_ends(*args):
    """Of all extensions together, ended or not, `width` are kept."""
    return _beam(*args, kind="all ends")


@slip(
    "seq2seq.beam_search",
    "the search stops before all have ended",
    rung="probes",
    read="(6.21)",
)
def beam_enough(*args):
    """`width` finished ones are not enough: one that is alive may become better."""
    return _beam(*args, kind="enough")


@slip(
    "seq2seq.beam_search",
    "it stops before the first step if begin and end are one symbol",
    rung="properties",
    read="(6.21)",
)
def beam_begin_ends(step, state, begin, end, width, limit, length_penalty):
    """Only what has come out can end it."""
    if begin == end:
        return [], 0.0
    return right.beam_search(step, state, begin, end, width, limit, length_penalty)


# BLEU.


def _bleu(candidates, references, kind=""):
    most = 2 if kind == "bigrams" else 4
    right_, made = np.zeros(most), np.zeros(most)
    length = wanted = 0
    for candidate, answers in zip(candidates, references, strict=True):
        length += len(candidate)
        sizes = [len(answer) for answer in answers]
        near = min((abs(size - len(candidate)), size) for size in sizes)[1]
        far = max(
            size for size in sizes if abs(size - len(candidate)) == abs(near - len(candidate))
        )
        wanted += {"first": sizes[0], "longest": max(sizes), "farther": far}.get(kind, near)
        for n in range(1, most + 1):
            mine = right.ngrams(candidate, n)
            allowed = Counter()
            for answer in answers:
                each = right.ngrams(answer, n)
                allowed = allowed + each if kind == "added" else allowed | each
            if kind == "not clipped":
                right_[n - 1] += sum(count for gram, count in mine.items() if gram in allowed)
            else:
                right_[n - 1] += (mine & allowed).total()
            made[n - 1] += mine.total()
    if not right_.all() and kind != "smoothed":
        return 0.0
    brevity = 1.0 if kind == "no brevity" else min(1.0, np.exp(1 - wanted / max(length, 1)))
    if kind == "bonus":
        brevity = np.exp(1 - wanted / length)
    if kind == "arithmetic":
        return brevity * (right_ / made).mean()
    if kind == "smoothed":
        return brevity * np.exp(np.log((right_ + 1) / (made + 1)).mean())
    return brevity * np.exp(np.log(right_ / made).mean())


@slip("seq2seq.bleu", "the counts are not clipped", rung="probes", read="(6.23)")
def bleu_not_clipped(candidates, references):
    """An n-gram counts no more often than it stands in a reference."""
    return _bleu(candidates, references, "not clipped")


@slip("seq2seq.bleu", "the brevity penalty is missing", rung="probes", read="(6.24)")
def bleu_no_brevity(candidates, references):
    """Too short is too good."""
    return _bleu(candidates, references, "no brevity")


@slip("seq2seq.bleu", "the counts of several references are added", rung="probes", read="(6.23)")
def bleu_added(candidates, references):
    """The largest of them."""
    return _bleu(candidates, references, "added")


@slip("seq2seq.bleu", "the arithmetic mean, not the geometric", rung="probes", read="(6.25)")
def bleu_arithmetic(candidates, references):
    """The mean of the logarithms."""
    return _bleu(candidates, references, "arithmetic")


@slip("seq2seq.bleu", "n-grams up to 2 only", rung="probes", read="(6.25)")
def bleu_bigrams(candidates, references):
    """1 to 4."""
    return _bleu(candidates, references, "bigrams")


@slip(
    "seq2seq.bleu",
    "the mean of the sentences' scores, not one score of the corpus",
    rung="probes",
    read="(6.23)",
)
def bleu_by_sentence(candidates, references):
    """Add the counts of all sentences, then divide."""
    pairs = zip(candidates, references, strict=True)
    return float(np.mean([right.bleu([one], [answers]) for one, answers in pairs]))


@slip("seq2seq.bleu", "the longest reference counts for the length", rung="probes", read="(6.24)")
def bleu_longest(candidates, references):
    """The nearest in length."""
    return _bleu(candidates, references, "longest")


@slip(
    "seq2seq.bleu",
    "of two references as far away, the longer one counts for the length",
    rung="properties",
    read="(6.24)",
)
def bleu_farther(candidates, references):
    """The shorter one, by convention."""
    return _bleu(candidates, references, "farther")


@slip("seq2seq.bleu", "the counts are smoothed by 1", rung="probes", read="(6.25)")
def bleu_smoothed(candidates, references):
    """BLEU of a corpus has no smoothing."""
    return _bleu(candidates, references, "smoothed")


@slip("seq2seq.bleu", "no min: what is too long gets more than 1", rung="probes", read="(6.24)")
def bleu_bonus(candidates, references):
    """At most 1."""
    return _bleu(candidates, references, "bonus")


@slip(
    "seq2seq.bleu",
    "0 as soon as one sentence has no n-gram right, not the whole corpus",
    rung="probes",
    read="(6.23)",
)
def bleu_any_zero(candidates, references):
    """Add the counts of all sentences; then look for 0."""
    pairs = zip(candidates, references, strict=True)
    if not all(right.bleu([one], [answers]) for one, answers in pairs):
        return 0.0
    return right.bleu(candidates, references)


# Scans.


@slip("seq2seq.scan", "h(0) is left out", rung="probes", read="(6.26)")
def scan_no_h0(a, b, h0):
    """It enters at the first step."""
    return right.scan(a, b, np.zeros_like(h0))


@slip("seq2seq.scan", "each state is that before its step", rung="probes", read="(6.26)")
def scan_exclusive(a, b, h0):
    """h(t) has step t in it."""
    return np.concatenate([h0[None], right.scan(a, b, h0)[:-1]])


@slip("seq2seq.scan", "a is taken at the step before", rung="probes", read="(6.26)")
def scan_late_a(a, b, h0):
    """a(t) multiplies h(t-1)."""
    return right.scan(np.concatenate([np.ones_like(a[:1]), a[:-1]]), b, h0)


@slip(
    "seq2seq.scan",
    "the a are not joined: only those of neighbours count",
    rung="probes",
    read="(6.27)",
)
def scan_a_not_joined(a, b, h0):
    """Two pieces make one piece: a2 a1, and a2 b1 + b2."""
    b = np.concatenate([(a[0] * h0 + b[0])[None], b[1:]])
    reach = 1
    while reach < len(a):
        b = np.concatenate([b[:reach], a[reach:] * b[:-reach] + b[reach:]])
        reach *= 2
    return b


@slip(
    "seq2seq.scan",
    "everything is divided by the product of the a, which may be 0",
    rung="properties",
    read="(6.28)",
)
def scan_divided(a, b, h0):
    """True on paper; in floating point the product of many a is 0."""
    with np.errstate(all="ignore"):
        product = np.cumprod(a, axis=0)
        return product * (h0 + np.cumsum(b / product, axis=0))


@slip("seq2seq.scan", "a loop over time", rung="properties", read="(6.28)")
def scan_loop(a, b, h0):
    """About log2 T sweeps over whole arrays."""
    h, states = h0, []
    for t in range(len(a)):
        h = a[t] * h + b[t]
        states.append(h)
    return np.stack(states)


def _mingru(x, h0, Uz, bz, Un, bn, take=lambda z, n: (1 - z, z * n), squash=lambda n: n):
    z = 0.5 + 0.5 * np.tanh(0.5 * (x @ Uz.T + bz))
    return right.scan(*take(z, squash(x @ Un.T + bn)), h0)


@slip("seq2seq.mingru", "z keeps the old instead of taking the new", rung="probes", read="(6.31)")
def mingru_keeps(*args):
    """z is the share of the candidate."""
    return _mingru(*args, take=lambda z, n: (z, (1 - z) * n))


@slip("seq2seq.mingru", "the candidate goes through tanh", rung="probes", read="(6.31)")
def mingru_tanh(*args):
    """It is linear in x."""
    return _mingru(*args, squash=np.tanh)


@slip("seq2seq.mingru", "the candidate is added whole", rung="probes", read="(6.31)")
def mingru_whole(*args):
    """z times the candidate."""
    return _mingru(*args, take=lambda z, n: (1 - z, n))


@slip("seq2seq.mingru", "nothing is forgotten: h + z n", rung="probes", read="(6.31)")
def mingru_adds(*args):
    """The old state is multiplied by 1 - z."""
    return _mingru(*args, take=lambda z, n: (np.ones_like(z), z * n))


@slip("seq2seq.mingru", "h(0) is taken as zero", rung="probes", read="(6.31)")
def mingru_no_h0(x, h0, *weights):
    """The initial state is an argument."""
    return _mingru(x, np.zeros_like(h0), *weights)


# PyTorch.

TWIN = "seq2seq.Seq2Seq"
CUT = "it has been cut on its way (detach, torch.tensor, no_grad)"


@slip(TWIN, "the padding is looked at, too", rung="probes", read="(6.6)")
class TwinNoMask(right.Seq2Seq):
    """Minus infinity where t is beyond the length."""

    def attend(self, s, states, lengths):
        """All states, those of the padding too."""
        return super().attend(s, states, torch.full_like(lengths, len(states)))


@slip(TWIN, "each step gets its own target: the answer goes in", rung="probes", read="(6.15)")
class TwinPeeks(right.Seq2Seq):
    """Step t gets y(t-1)."""

    def forward(self, x, lengths, y0, y):
        """Without the shift."""
        return super().forward(x, lengths, y[0], torch.cat([y[1:], y[-1:]]))


@slip(TWIN, "the network's own symbols go in, not the true ones", rung="probes", read="(6.15)")
class TwinOwn(right.Seq2Seq):
    """Teacher forcing: the true previous symbol."""

    def forward(self, x, lengths, y0, y):
        """Closed loop."""
        states = self.encode(x)
        s, symbol = self.s0.expand(x.shape[1], -1), y0
        outputs, alphas = [], []
        for _ in y:
            s, o, alpha = self.advance(s, symbol, states, lengths)
            symbol = o.argmax(-1)
            outputs.append(o)
            alphas.append(alpha)
        return torch.stack(outputs), torch.stack(alphas)


@slip(TWIN, "the root of H is missing in the dot product", rung="probes", read="(6.7)")
class TwinNotScaled(right.Seq2Seq):
    """The score is divided by the root of the width."""

    def attend(self, s, states, lengths):
        """A query that is larger by the root."""
        return super().attend(s * s.shape[-1] ** 0.5 if self.kind == "dot" else s, states, lengths)


@slip(TWIN, "the softmax goes over the batch", rung="probes", read="(6.6)")
class TwinOverBatch(right.Seq2Seq):
    """The weights of one source add up to 1 over time."""

    def attend(self, s, states, lengths):
        """Axis 1 for axis 0."""
        context, alpha = super().attend(s, states, lengths)
        if self.kind in ("additive", "dot"):
            # Up to a factor for each source the weights are exp(score).
            alpha = alpha / alpha.sum(1, keepdim=True).clamp_min(1e-12)
            context = (alpha[..., None] * states).sum(0)
        return context, alpha


@slip(TWIN, "the output does not see the context", rung="probes", read="(6.16)")
class TwinBlindOutput(right.Seq2Seq):
    """The output reads the state and the context."""

    def advance(self, s, symbol, states, lengths):
        """A zero for the context."""
        c, alpha = self.attend(s, states, lengths)
        s = self.cell(torch.cat([self.embed_target(symbol), c], -1), s)
        return s, self.output(torch.cat([s, torch.zeros_like(c)], -1)), alpha


@slip(
    TWIN,
    "the output has a context of its own, asked for with the new state",
    rung="probes",
    read="(6.14), (6.16)",
)
class TwinAsksAgain(right.Seq2Seq):
    """One context for a step, from the state before it."""

    def advance(self, s, symbol, states, lengths):
        """Asked twice."""
        c, _ = self.attend(s, states, lengths)
        s = self.cell(torch.cat([self.embed_target(symbol), c], -1), s)
        c, alpha = self.attend(s, states, lengths)
        return s, self.output(torch.cat([s, c], -1)), alpha


@slip(
    TWIN,
    f"the gradient at the source: {CUT}",
    rung="probes",
    read="(6.14)",
)
class TwinDetached(right.Seq2Seq):
    """The encoder learns through the context."""

    def encode(self, x):
        """Cut off."""
        return super().encode(x).detach()


class _Changed(right.Seq2Seq):
    """Right, with pieces that may be replaced."""

    def first(self, batch):
        """The first state of the decoder."""
        return self.s0.expand(batch, -1)

    def embedded(self, symbol):
        """The rows of what came out before."""
        return self.embed_target(symbol)

    def read(self, before, s, c):
        """The output, from the state before the step, the one behind it, and the context."""
        return self.output(torch.cat([s, c], -1))

    def advance(self, s, symbol, states, lengths):
        """One step."""
        before = s
        c, alpha = self.attend(s, states, lengths)
        s = self.cell(torch.cat([self.embedded(symbol), c], -1), s)
        return s, self.read(before, s, c), alpha

    def carried(self, s):
        """What the next step gets."""
        return s

    def forward(self, x, lengths, y0, y):
        """Teacher forcing."""
        states = self.encode(x)
        s = self.first(x.shape[1])
        outputs, alphas = [], []
        for symbol in torch.cat([y0[None], y[:-1]]):
            s, o, alpha = self.advance(self.carried(s), symbol, states, lengths)
            outputs.append(o)
            alphas.append(alpha)
        return torch.stack(outputs), torch.stack(alphas)


@slip(
    TWIN,
    f"the gradient at s0: {CUT}",
    rung="probes",
    read="(6.15)",
)
class TwinFirstStateCut(_Changed):
    """self.s0 itself, expanded."""

    def first(self, batch):
        """Detached."""
        return self.s0.detach().expand(batch, -1)


@slip(
    TWIN,
    f"the gradient at the target's embedding: {CUT}",
    rung="probes",
    read="(6.15)",
)
class TwinTargetCut(_Changed):
    """The embedding of the targets learns, too."""

    def embedded(self, symbol):
        """Under no_grad."""
        with torch.no_grad():
            return self.embed_target(symbol)


@slip(
    TWIN,
    f"the gradient at the output layer: {CUT}",
    rung="probes",
    read="(6.16)",
)
class TwinOutputCut(_Changed):
    """self.output, called as a layer."""

    def read(self, before, s, c):
        """By detached weights."""
        W, b = self.output.weight.detach(), self.output.bias.detach()
        return torch.nn.functional.linear(torch.cat([s, c], -1), W, b)


@slip(
    TWIN,
    f"the gradient at read_query: {CUT}",
    rung="probes",
    read="(6.8)",
)
class TwinQueryWeightsCut(right.Seq2Seq):
    """self.read_query, called as a layer."""

    def attend(self, s, states, lengths):
        """By a detached weight."""
        if self.kind != "additive":
            return super().attend(s, states, lengths)
        inside = torch.arange(1, len(states) + 1, device=states.device)[:, None] <= lengths
        query = torch.nn.functional.linear(s, self.read_query.weight.detach())
        scores = self.score(torch.tanh(query + self.read_key(states)))[..., 0]
        alpha = scores.masked_fill(~inside, -torch.inf).softmax(0)
        return (alpha[..., None] * states).sum(0), alpha


@slip(TWIN, "the state is detached between two steps", rung="probes", read="(6.15)")
class TwinTruncated(_Changed):
    """The gradient goes back through all steps."""

    def carried(self, s):
        """Cut, but for the first."""
        return s if s._base is self.s0 else s.detach()


@slip(
    TWIN, "the query is detached: no gradient through what is asked", rung="probes", read="(6.14)"
)
class TwinQueryCut(right.Seq2Seq):
    """The state learns what to ask."""

    def attend(self, s, states, lengths):
        """Asked by a copy."""
        return super().attend(s.detach(), states, lengths)


@slip(TWIN, "the output reads the state before the step", rung="probes", read="(6.16)")
class TwinOldState(_Changed):
    """The one that this step has made."""

    def read(self, before, s, c):
        """The old one."""
        return self.output(torch.cat([before, c], -1))


@slip(TWIN, "the output reads context and state in the other order", rung="probes", read="(6.16)")
class TwinOutputTurned(_Changed):
    """The state first, then the context."""

    def read(self, before, s, c):
        """Turned round."""
        return self.output(torch.cat([c, s], -1))


@slip(TWIN, "context and symbol go in in the other order", rung="probes", read="(6.15)")
class TwinContextFirst(right.Seq2Seq):
    """The symbol first, then the context."""

    def advance(self, s, symbol, states, lengths):
        """Turned round."""
        c, alpha = self.attend(s, states, lengths)
        s = self.cell(torch.cat([c, self.embed_target(symbol)], -1), s)
        return s, self.output(torch.cat([s, c], -1)), alpha


@slip(TWIN, "the first state is zero: s0 is not used", rung="probes", read="(6.15)")
class TwinZeroStart(_Changed):
    """self.s0, expanded to the batch."""

    def first(self, batch):
        """Zeros."""
        return torch.zeros_like(self.s0).expand(batch, -1)


@slip(TWIN, "the first state is the encoder's last one", rung="probes", read="(6.15)")
class TwinEncoderStart(right.Seq2Seq):
    """self.s0: what is known of the source comes through the context."""

    def forward(self, x, lengths, y0, y):
        """From each source's own end."""
        states = self.encode(x)
        s = states[lengths - 1, torch.arange(x.shape[1], device=x.device)]
        outputs, alphas = [], []
        for symbol in torch.cat([y0[None], y[:-1]]):
            s, o, alpha = self.advance(s, symbol, states, lengths)
            outputs.append(o)
            alphas.append(alpha)
        return torch.stack(outputs), torch.stack(alphas)
