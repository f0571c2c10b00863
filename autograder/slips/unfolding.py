"""Chapter 2: the mistakes that people make when they unfold, mask, and end a sequence."""

from __future__ import annotations

import numpy as np
import torch

from autograder.slip import slip
from solutions import unfolding as right

# A step.


@slip("unfolding.step", "W is transposed", rung="probes", read="(2.3)")
def step_transposed(params, state, x):
    """Batch rows need h @ W.T."""
    U, W, b, V, c = params
    return right.step((U, W.T, b, V, c), state, x)


@slip("unfolding.step", "the output reads the previous state", rung="probes", read="(2.3)")
def step_late_output(params, state, x):
    """The output at t reads h(t), not h(t-1)."""
    _, _, _, V, c = params
    return right.step(params, state, x)[0], state @ V.T + c


@slip("unfolding.step", "tanh is missing", rung="probes", read="(2.3)")
def step_linear(params, state, x):
    """The pre-activation is taken for the state."""
    U, W, b, V, c = params
    h = b + state @ W.T + x @ U.T
    return h, h @ V.T + c


@slip("unfolding.step", "tanh is applied to the output too", rung="probes", read="(2.3)")
def step_tanh_output(params, state, x):
    """The output is linear in the state."""
    h, o = right.step(params, state, x)
    return h, np.tanh(o)


@slip("unfolding.step", "the biases are left out", rung="probes", read="(2.3)")
def step_no_bias(params, state, x):
    """Neither b nor c is used."""
    U, W, b, V, c = params
    return right.step((U, W, np.zeros_like(b), V, np.zeros_like(c)), state, x)


@slip("unfolding.step", "the output comes before the state", rung="shapes", read="(2.3)")
def step_swapped(params, state, x):
    """The state comes first, then what the step gives."""
    return right.step(params, state, x)[::-1]


@slip("unfolding.step", "the output is a softmax", rung="probes", read="(2.3)")
def step_softmax(params, state, x):
    """o is what goes into a softmax, later."""
    h, o = right.step(params, state, x)
    return h, np.exp(right.log_softmax(o))


@slip("unfolding.step", "the output reads what goes into tanh", rung="probes", read="(2.3)")
def step_early_output(params, state, x):
    """The output reads h(t)."""
    _, _, _, V, c = params
    return right.step(params, state, x)[0], step_linear(params, state, x)[0] @ V.T + c


# Unfold.


@slip("unfolding.unfold", "every step starts from the initial state", rung="probes", read="(2.1)")
def unfold_stuck(step, params, state, xs):
    """The state is never handed on."""
    last, ys = state, []
    for x in xs:
        last, y = step(params, state, x)
        ys.append(y)
    return last, ys


@slip("unfolding.unfold", "the inputs are read from the end", rung="probes", read="(2.2)")
def unfold_backwards(step, params, state, xs):
    """The innermost f of (2.2) reads the first input."""
    return right.unfold(step, params, state, xs[::-1])


@slip("unfolding.unfold", "the outputs come in reverse order", rung="probes", read="(2.2)")
def unfold_reversed_outputs(step, params, state, xs):
    """They are collected at the front of the list."""
    state, ys = right.unfold(step, params, state, xs)
    return state, ys[::-1]


@slip("unfolding.unfold", "the initial state is returned as the last", rung="probes", read="(2.1)")
def unfold_first_state(step, params, state, xs):
    """The loop has its own variable for the state."""
    return state, right.unfold(step, params, state, xs)[1]


@slip("unfolding.unfold", "one step is missing", rung="runs", read="(2.2)")
def unfold_short(step, params, state, xs):
    """range(len(xs) - 1) has no room for the last step, xs[1:] none for the first."""
    return right.unfold(step, params, state, xs[:-1])


@slip("unfolding.unfold", "the outputs come first", rung="shapes", read="(2.1)")
def unfold_swapped(step, params, state, xs):
    """The last state comes first, then the list."""
    return right.unfold(step, params, state, xs)[::-1]


@slip("unfolding.unfold", "the state is taken for one array", rung="runs", read="(2.1)")
def unfold_looks_inside(step, params, state, xs):
    """unfold hands the state on as step made it."""
    state, ys = np.array(state), []
    for x in xs:
        state, y = step(params, state, x)
        ys.append(y)
    return state, ys


@slip(
    "unfolding.unfold",
    "the states are collected, not what the step gives",
    rung="shapes",
    read="(2.1)",
)
def unfold_states(step, params, state, xs):
    """A step gives two things: the state goes on, the other is kept."""
    states = []
    for x in xs:
        state, _ = step(params, state, x)
        states.append(state)
    return state, states


@slip("unfolding.unfold", "the state that you are given is not used", rung="probes", read="(2.1)")
def unfold_from_zero(step, params, state, xs):
    """The initial state is an argument."""
    zero = tuple(map(np.zeros_like, state)) if isinstance(state, tuple) else np.zeros_like(state)
    return right.unfold(step, params, zero, xs)


# The concatenated form.


@slip("unfolding.concatenated", "Wa is [U W], z is [h; x]", rung="probes", read="(2.4)")
def joined_wrong_blocks(U, W, b, h, x):
    """The columns of Wa belong to the entries of z: W's first."""
    Wa, z = np.concatenate([U, W], 1), np.concatenate([h, x], 1)
    return Wa, z, z @ Wa.T + b


@slip("unfolding.concatenated", "both are joined with the input first", rung="probes", read="(2.4)")
def joined_other_order(U, W, b, h, x):
    """[U W] and [x; h] give the same a, but in (2.4) the state comes first."""
    Wa, z = np.concatenate([U, W], 1), np.concatenate([x, h], 1)
    return Wa, z, z @ Wa.T + b


@slip("unfolding.concatenated", "the bias is left out", rung="probes", read="(2.4)")
def joined_no_bias(U, W, b, h, x):
    """a = b + ..."""
    return right.concatenated(U, W, np.zeros_like(b), h, x)


@slip("unfolding.concatenated", "tanh is applied", rung="probes", read="(2.4)")
def joined_tanh(U, W, b, h, x):
    """The pre-activation is asked for, not the state."""
    Wa, z, a = right.concatenated(U, W, b, h, x)
    return Wa, z, np.tanh(a)


@slip("unfolding.concatenated", "Wa is returned transposed", rung="shapes", read="(2.4)")
def joined_transposed(U, W, b, h, x):
    """W and U stand side by side: H rows."""
    Wa, z, a = right.concatenated(U, W, b, h, x)
    return Wa.T, z, a


@slip("unfolding.concatenated", "Wa is [W U], z is [x; h]", rung="probes", read="(2.4)")
def joined_wrong_entries(U, W, b, h, x):
    """The state comes first in both."""
    Wa, z = np.concatenate([W, U], 1), np.concatenate([x, h], 1)
    return Wa, z, z @ Wa.T + b


# Counting.


@slip("unfolding.count", "the state's bias is not counted", rung="probes", read="(2.5)", part="rnn")
def count_no_bias(D, H, K, tau):
    """b has H entries."""
    rnn, mlp, longer = right.count(D, H, K, tau)
    return rnn - H, mlp, longer


@slip("unfolding.count", "tau copies are counted", rung="probes", read="(2.5)", part="rnn")
def count_copies(D, H, K, tau):
    """One set of parameters is used at every step."""
    _, mlp, longer = right.count(D, H, K, tau)
    return tau * H * (D + H + 1) + K * (H + 1), mlp, longer


@slip("unfolding.count", "W is taken to be H by D", rung="probes", read="(2.5)", part="rnn")
def count_narrow(D, H, K, tau):
    """W is square."""
    _, mlp, longer = right.count(D, H, K, tau)
    return H * (2 * D + 1) + K * (H + 1), mlp, longer


@slip("unfolding.count", "the window has one bias a step", rung="probes", read="(2.6)", part="mlp")
def count_many_biases(D, H, K, tau):
    """One hidden layer has one bias, however wide its window."""
    rnn, _, longer = right.count(D, H, K, tau)
    return rnn, H * tau * (D + 1) + K * (H + 1), longer


@slip("unfolding.count", "the window is one step wide", rung="probes", read="(2.6)", part="mlp")
def count_one_step(D, H, K, tau):
    """The hidden layer reads tau D numbers."""
    rnn, _, longer = right.count(D, H, K, tau)
    return rnn, H * (D + 1) + K * (H + 1), longer


@slip("unfolding.count", "equal is not more", rung="probes", read="(2.6)", part="longer")
def count_equal(D, H, K, tau):
    """At tau = 1 + H / D the two are equal."""
    rnn, mlp, _ = right.count(D, H, K, tau)
    return rnn, mlp, int(np.ceil(1 + H / D))


@slip("unfolding.count", "H over D, without the 1", rung="probes", read="(2.6)", part="longer")
def count_off(D, H, K, tau):
    """tau D must exceed D + H."""
    rnn, mlp, longer = right.count(D, H, K, tau)
    return rnn, mlp, longer - 1


@slip(
    "unfolding.count",
    "the output layer is counted as H (K + 1)",
    rung="probes",
    read="(2.5)",
    part="rnn",
)
def count_output_bias(D, H, K, tau):
    """V has K H entries, c has K."""
    rnn, mlp, longer = right.count(D, H, K, tau)
    wrong = H * (K + 1) - K * (H + 1)
    return rnn + wrong, mlp + wrong, longer


# Copies.


def _copies(x, h0, U, W, b, dW, move, slope=lambda h: 1 - h * h):
    """(2.8) with a source that may be wrong: move(moved, before, h, t)."""
    h, parts = h0, np.zeros((len(x), *h0.shape))
    for t in range(len(x)):
        before, h = h, np.tanh(b + h @ W.T + x[t] @ U.T)
        moved = parts @ W.T
        move(moved, before, h, t)
        parts = slope(h) * moved
    return parts


def _own(moved, before, h, t, dW):
    moved[t] += before @ dW.T


@slip("unfolding.copies", "tanh' is missing", rung="probes", read="(2.8)")
def copies_no_slope(x, h0, U, W, b, dW):
    """As if the network were linear."""
    return _copies(x, h0, U, W, b, dW, lambda m, p, h, t: _own(m, p, h, t, dW), np.ones_like)


@slip("unfolding.copies", "the copy meets h(t), not h(t-1)", rung="probes", read="(2.8)")
def copies_late(x, h0, U, W, b, dW):
    """W(t) multiplies the state before the step."""
    return _copies(x, h0, U, W, b, dW, lambda m, p, h, t: _own(m, h, h, t, dW))


@slip("unfolding.copies", "each copy moves all later ones with it", rung="probes", read="(2.7)")
def copies_cumulative(x, h0, U, W, b, dW):
    """Only copy s moves, the others stay."""

    def move(moved, before, h, t):
        moved[: t + 1] += before @ dW.T

    return _copies(x, h0, U, W, b, dW, move)


@slip("unfolding.copies", "every part is the sum of all copies", rung="probes", read="(2.7)")
def copies_total(x, h0, U, W, b, dW):
    """The terms of the sum are asked for, not their sum."""
    parts = right.copies(x, h0, U, W, b, dW)
    return np.broadcast_to(parts.sum(0), parts.shape).copy()


@slip("unfolding.copies", "only the effect at once is counted", rung="probes", read="(2.8)")
def copies_immediate(x, h0, U, W, b, dW):
    """What a copy does to its own state goes on through W."""
    parts, h = np.zeros((len(x), *h0.shape)), h0
    for t in range(len(x)):
        before, h = h, np.tanh(b + h @ W.T + x[t] @ U.T)
        parts[t] = (1 - h * h) * (before @ dW.T)
    return parts


@slip("unfolding.copies", "dW is transposed", rung="probes", read="(2.8)")
def copies_transposed(x, h0, U, W, b, dW):
    """Batch rows need h @ dW.T."""
    return right.copies(x, h0, U, W, b, dW.T)


@slip("unfolding.copies", "h(0) is taken as zero", rung="probes", read="(2.8)")
def copies_no_initial_state(x, h0, U, W, b, dW):
    """The initial state is an argument."""
    return right.copies(x, np.zeros_like(h0), U, W, b, dW)


@slip(
    "unfolding.copies", "the sum of all copies so far, at every step", rung="probes", read="(2.7)"
)
def copies_running(x, h0, U, W, b, dW):
    """What each copy does to the last state is asked for, not what all do to each state."""
    h, moved, parts = h0, np.zeros_like(h0), []
    for t in range(len(x)):
        before, h = h, np.tanh(b + h @ W.T + x[t] @ U.T)
        moved = (1 - h * h) * (moved @ W.T + before @ dW.T)
        parts.append(moved)
    return np.stack(parts)


@slip("unfolding.copies", "the slope is that of the state before", rung="probes", read="(2.8)")
def copies_early_slope(x, h0, U, W, b, dW):
    """1 - h² with the new h."""
    h, parts = h0, np.zeros((len(x), *h0.shape))
    for t in range(len(x)):
        before, h = h, np.tanh(b + h @ W.T + x[t] @ U.T)
        parts = parts @ W.T
        parts[t] += before @ dW.T
        parts *= 1 - before * before
    return parts


@slip("unfolding.copies", "the copies come in reverse order", rung="probes", read="(2.7)")
def copies_reversed(x, h0, U, W, b, dW):
    """parts[0] is the first copy."""
    return right.copies(x, h0, U, W, b, dW)[::-1]


@slip("unfolding.copies", "every copy meets h(0)", rung="probes", read="(2.8)")
def copies_of_start(x, h0, U, W, b, dW):
    """W(t) multiplies h(t-1)."""
    return _copies(x, h0, U, W, b, dW, lambda m, p, h, t: _own(m, h0, h, t, dW))


@slip("unfolding.copies", "W is transposed where a change goes on", rung="probes", read="(2.8)")
def copies_carry_transposed(x, h0, U, W, b, dW):
    """Batch rows need h @ W.T."""
    h, parts = h0, np.zeros((len(x), *h0.shape))
    for t in range(len(x)):
        before, h = h, np.tanh(b + h @ W.T + x[t] @ U.T)
        moved = parts @ W
        moved[t] += before @ dW.T
        parts = (1 - h * h) * moved
    return parts


# Masks and packing.


def _scan(x, lengths, h0, U, W, b, keep):
    """States with a rule for the padding: keep(inside, new, state)."""
    states, state = [], h0
    for t in range(len(x)):
        new = np.tanh(b + state @ W.T + x[t] @ U.T)
        state = keep((t < lengths)[:, None], new, state)
        states.append(state)
    return np.stack(states)


@slip("unfolding.masked", "the mask is ignored", rung="probes", read="(2.9)")
def masked_not(x, lengths, h0, U, W, b):
    """The state drifts through the padding."""
    return _scan(x, lengths, h0, U, W, b, lambda m, new, old: new)


@slip("unfolding.masked", "the state is set to 0 behind the end", rung="probes", read="(2.9)")
def masked_zero(x, lengths, h0, U, W, b):
    """The second term of (2.9) holds the state."""
    return _scan(x, lengths, h0, U, W, b, lambda m, new, old: np.where(m, new, 0.0))


@slip("unfolding.masked", "the input is masked, not the state", rung="probes", read="(2.9)")
def masked_input(x, lengths, h0, U, W, b):
    """An input of 0 still moves the state, through W and b."""
    inside = (np.arange(len(x))[:, None] < lengths)[..., None]
    return _scan(np.where(inside, x, 0.0), lengths, h0, U, W, b, lambda m, new, old: new)


@slip("unfolding.masked", "h(0) comes back behind the end", rung="probes", read="(2.9)")
def masked_back(x, lengths, h0, U, W, b):
    """The second term of (2.9) is the state before this step, not the first."""
    inside = (np.arange(len(x))[:, None] < lengths)[..., None]
    return np.where(inside, right.masked(x, lengths, h0, U, W, b), h0)


@slip("unfolding.masked", "one step too few", rung="probes", read="(2.9)")
def masked_early(x, lengths, h0, U, W, b):
    """Index t is step t + 1: it is inside if t < tau."""
    return right.masked(x, np.maximum(lengths - 1, 0), h0, U, W, b)


@slip("unfolding.masked", "one step too many", rung="probes", read="(2.9)")
def masked_late(x, lengths, h0, U, W, b):
    """Index t is step t + 1: it is inside if t < tau, not if t <= tau."""
    return right.masked(x, lengths + 1, h0, U, W, b)


@slip("unfolding.masked", "0 times NaN is NaN", rung="properties", read="(2.9)")
def masked_product(x, lengths, h0, U, W, b):
    """m * new + (1 - m) * old is not safe: choose, do not multiply."""
    return _scan(x, lengths, h0, U, W, b, lambda m, new, old: m * new + (1 - m) * old)


@slip("unfolding.masked", "NaN is cleaned away, infinity is not", rung="properties", read="(2.9)")
def masked_only_nan(x, lengths, h0, U, W, b):
    """Infinity less infinity is NaN again: clean by the mask, or choose."""
    with np.errstate(invalid="ignore"):
        return masked_product(np.where(np.isnan(x), 0.0, x), lengths, h0, U, W, b)


@slip("unfolding.pack", "sequence after sequence", rung="probes", read="(2.10)")
def pack_by_sequence(x, lengths):
    """A packed array holds the rows of step 1 first, of all sequences."""
    rows = [x[:n, i] for i, n in enumerate(lengths)]
    return np.concatenate(rows), right.pack(x, lengths)[1]


@slip("unfolding.pack", "the padding is packed too", rung="shapes", read="(2.10)")
def pack_everything(x, lengths):
    """Only rows that are alive."""
    return x.reshape(-1, x.shape[-1]), right.pack(x, lengths)[1]


@slip("unfolding.pack", "the lengths are returned for the counts", rung="shapes", read="(2.10)")
def pack_lengths(x, lengths):
    """One number for each step, not for each sequence."""
    return right.pack(x, lengths)[0], lengths


@slip("unfolding.pack", "a row is alive one step too long", rung="shapes", read="(2.10)")
def pack_late(x, lengths):
    """Index t is step t + 1: a row is alive if its length is above t, not if it reaches t."""
    counts = np.array([(lengths >= t).sum() for t in range(len(x))])
    return np.concatenate([x[t, :n] for t, n in enumerate(counts)]), counts


@slip("unfolding.pack", "the counts are summed up", rung="probes", read="(2.10)")
def pack_cumulative(x, lengths):
    """N(t) is how many are alive at step t, not up to it."""
    data, counts = right.pack(x, lengths)
    return data, np.cumsum(counts)


# Log-likelihoods.


def _picked(o, y):
    return np.take_along_axis(right.log_softmax(o), y[..., None], axis=-1)[..., 0]


@slip("unfolding.log_end", "the end is not counted", rung="probes", read="(2.11)")
def end_forgotten(o, y, lengths):
    """tau symbols, and the end: tau + 1 terms."""
    t = np.arange(len(y))[:, None]
    return np.where(t < lengths, _picked(o[:-1], y), 0.0).sum(0)


@slip(
    "unfolding.log_end", "the end counts behind the longest sequence", rung="probes", read="(2.11)"
)
def end_last_row(o, y, lengths):
    """Each sequence's end stands at its own o[tau]."""
    return end_forgotten(o, y, lengths) + right.log_softmax(o)[-1, :, -1]


@slip("unfolding.log_end", "the padding counts as symbols", rung="probes", read="(2.11)")
def end_unmasked(o, y, lengths):
    """Behind its end a sequence has no terms."""
    is_end = np.arange(len(o))[:, None] == lengths
    target = np.where(is_end, o.shape[-1] - 1, np.pad(y, ((0, 1), (0, 0))))
    return _picked(o, target).sum(0)


@slip("unfolding.log_end", "the outputs are one step late", rung="probes", read="(2.11)")
def end_late(o, y, lengths):
    """o[t - 1] predicts x(t): the first symbol is judged by o[0]."""
    return right.log_end(np.roll(o, -1, axis=0), y, lengths)


@slip(
    "unfolding.log_end",
    "the padding counts as symbols, beside the end",
    rung="probes",
    read="(2.11)",
)
def end_and_padding(o, y, lengths):
    """Behind its end a sequence has no terms."""
    end = right.log_softmax(o)[lengths, np.arange(len(lengths)), -1]
    return _picked(o[:-1], y).sum(0) + end


@slip("unfolding.log_end", "the symbols are judged one output late", rung="probes", read="(2.11)")
def end_late_symbols(o, y, lengths):
    """o[t - 1] predicts x(t): the first symbol is judged by o[0]."""
    t = np.arange(len(y))[:, None]
    end = right.log_softmax(o)[lengths, np.arange(len(lengths)), -1]
    return np.where(t < lengths, _picked(o[1:], y), 0.0).sum(0) + end


@slip("unfolding.log_end", "the end is looked for one output early", rung="probes", read="(2.11)")
def end_early(o, y, lengths):
    """The network has read all tau symbols before it says the end: o[tau]."""
    end = right.log_softmax(o)[lengths - 1, np.arange(len(lengths)), -1]
    return end_forgotten(o, y, lengths) + end


@slip("unfolding.log_end", "the outputs are taken for logarithms", rung="probes", read="(2.11)")
def end_not_normalised(o, y, lengths):
    """log_softmax first."""
    t = np.arange(len(o))[:, None]
    target = np.where(t < lengths, np.pad(y, ((0, 1), (0, 0))), o.shape[-1] - 1)
    return np.where(t <= lengths, np.take_along_axis(o, target[..., None], -1)[..., 0], 0.0).sum(0)


@slip("unfolding.log_end", "class 0 is taken for the end", rung="probes", read="(2.11)")
def end_class_zero(o, y, lengths):
    """The end is the class more, the last one."""
    end = right.log_softmax(o)[lengths, np.arange(len(lengths)), 0]
    return end_forgotten(o, y, lengths) + end


@slip(
    "unfolding.log_end", "the symbols get a softmax without the end", rung="probes", read="(2.11)"
)
def end_two_softmaxes(o, y, lengths):
    """One softmax over K + 1 classes: that a symbol comes at all has its probability, too."""
    t = np.arange(len(y))[:, None]
    end = right.log_softmax(o)[lengths, np.arange(len(lengths)), -1]
    return np.where(t < lengths, _picked(o[:-1, :, :-1], y), 0.0).sum(0) + end


@slip("unfolding.log_end", "the sign is that of a loss", rung="probes", read="(2.11)")
def end_loss(o, y, lengths):
    """log P, not -log P."""
    return -right.log_end(o, y, lengths)


@slip("unfolding.log_end", "a mean instead of a sum", rung="probes", read="(2.11)")
def end_mean(o, y, lengths):
    """The logarithm of a product is a sum."""
    return right.log_end(o, y, lengths) / (lengths + 1)


@slip("unfolding.log_end", "the exponential overflows", rung="properties", read="(2.11)")
def end_overflow(o, y, lengths):
    """The logarithm of a rounded softmax; log_softmax is given."""
    p = np.exp(o) / np.exp(o).sum(-1, keepdims=True)
    t = np.arange(len(o))[:, None]
    target = np.where(t < lengths, np.pad(y, ((0, 1), (0, 0))), o.shape[-1] - 1)
    log_p = np.log(np.take_along_axis(p, target[..., None], axis=-1)[..., 0])
    return np.where(t <= lengths, log_p, 0.0).sum(0)


def _halt(o, s, y, lengths, before, at):
    """(2.12) with decisions that may be wrong: before(s), at(s)."""
    t = np.arange(1, len(y) + 1)[:, None]
    total = np.where(t <= lengths, _picked(o, y), 0.0)
    total = total + np.where(t < lengths, before(s), 0.0) + np.where(t == lengths, at(s), 0.0)
    return total.sum(0)


def _log_e(s):
    return -np.logaddexp(0, -s)


@slip("unfolding.log_halt", "going on costs nothing", rung="probes", read="(2.12)")
def halt_free(o, s, y, lengths):
    """log(1 - e) for each symbol but the last."""
    return _halt(o, s, y, lengths, np.zeros_like, _log_e)


@slip("unfolding.log_halt", "halting costs nothing", rung="probes", read="(2.12)")
def halt_missing(o, s, y, lengths):
    """log e at the last symbol."""
    return _halt(o, s, y, lengths, lambda s: _log_e(-s), np.zeros_like)


@slip("unfolding.log_halt", "e and 1 - e are swapped", rung="probes", read="(2.12)")
def halt_swapped(o, s, y, lengths):
    """e is the probability to halt, not to go on."""
    return right.log_halt(o, -s, y, lengths)


@slip("unfolding.log_halt", "the last symbol both goes on and halts", rung="probes", read="(2.12)")
def halt_both(o, s, y, lengths):
    """log(1 - e) is summed to tau - 1."""
    return _halt(o, s, y, lengths, lambda s: _log_e(-s), lambda s: _log_e(-s) + _log_e(s))


@slip("unfolding.log_halt", "the halt is looked for one step late", rung="probes", read="(2.12)")
def halt_late(o, s, y, lengths):
    """Index t is step t + 1: the last symbol has index tau - 1."""
    t = np.arange(len(y))[:, None]
    going = right.log_halt(o, s, y, lengths) - np.where(t == lengths - 1, _log_e(s), 0.0).sum(0)
    at = np.where(t == lengths - 1, _log_e(-s), 0.0) + np.where(t == lengths, _log_e(s), 0.0)
    return going + at.sum(0)


@slip("unfolding.log_halt", "the padding counts as symbols", rung="probes", read="(2.12)")
def halt_padding(o, s, y, lengths):
    """Behind its end a sequence has no terms."""
    behind = np.arange(len(y))[:, None] >= lengths
    padding = np.take_along_axis(right.log_softmax(o), y[..., None], axis=-1)[..., 0]
    return right.log_halt(o, s, y, lengths) + np.where(behind, padding, 0.0).sum(0)


@slip(
    "unfolding.log_halt",
    "the halt of the longest sequence is taken for all",
    rung="probes",
    read="(2.12)",
)
def halt_last_row(o, s, y, lengths):
    """Each sequence halts at its own tau."""
    none = _halt(o, s, y, lengths, lambda s: _log_e(-s), np.zeros_like)
    return none + _log_e(s)[-1]


@slip("unfolding.log_halt", "the outputs are taken for logarithms", rung="probes", read="(2.12)")
def halt_not_normalised(o, s, y, lengths):
    """log_softmax first."""
    t = np.arange(len(y))[:, None]
    said = np.take_along_axis(o, y[..., None], axis=-1)[..., 0] - _picked(o, y)
    return right.log_halt(o, s, y, lengths) + np.where(t < lengths, said, 0.0).sum(0)


@slip("unfolding.log_halt", "the score is taken for log e", rung="probes", read="(2.12)")
def halt_score_as_logarithm(o, s, y, lengths):
    """log e = -log(1 + exp(-s)), and log(1 - e) = -log(1 + exp s)."""
    return _halt(o, s, y, lengths, lambda s: -s, lambda s: s)


@slip("unfolding.log_halt", "the first decision is left out", rung="probes", read="(2.12)")
def halt_from_two(o, s, y, lengths):
    """There is a decision after each symbol, the first included."""
    t = np.arange(1, len(y) + 1)[:, None]
    first = np.where((t == 1) & (t < lengths), _log_e(-s), 0.0)
    return right.log_halt(o, s, y, lengths) - first.sum(0)


@slip("unfolding.log_halt", "the last decision to go on is left out", rung="probes", read="(2.12)")
def halt_one_short(o, s, y, lengths):
    """log(1 - e) is summed up to tau - 1."""
    t = np.arange(1, len(y) + 1)[:, None]
    last = np.where(t == lengths - 1, _log_e(-s), 0.0)
    return right.log_halt(o, s, y, lengths) - last.sum(0)


@slip("unfolding.log_halt", "the score is taken for a probability", rung="probes", read="(2.12)")
def halt_no_sigma(o, s, y, lengths):
    """e = sigma(s)."""

    def safe(p):
        return np.log(np.where(p > 0, p, np.nan))

    return _halt(o, s, y, lengths, lambda s: safe(1 - s), safe)


@slip(
    "unfolding.log_halt",
    "the logarithm of 1 - e that is rounded to 0",
    rung="properties",
    read="(2.12)",
)
def halt_rounded(o, s, y, lengths):
    """np.log(1 - e) is -inf where s is 800; write it as a function of s."""
    e = np.exp(np.minimum(s, 0)) / (1 + np.exp(-np.abs(s)))
    return _halt(o, s, y, lengths, lambda s: np.log(1 - e), lambda s: np.log(e))


@slip("unfolding.log_length", "the length is off by one", rung="probes", read="(2.15)")
def length_off(q, o, y, lengths):
    """q[:, 0] is the score of tau = 1."""
    t = np.arange(1, len(y) + 1)[:, None]
    symbols = np.where(t <= lengths, _picked(o, y), 0.0).sum(0)
    return right.log_softmax(q)[np.arange(len(q)), lengths] + symbols


@slip("unfolding.log_length", "P(tau) is not counted", rung="probes", read="(2.15)")
def length_missing(q, o, y, lengths):
    """The length is random, too."""
    t = np.arange(1, len(y) + 1)[:, None]
    return np.where(t <= lengths, _picked(o, y), 0.0).sum(0)


@slip("unfolding.log_length", "the scores are taken for logarithms", rung="probes", read="(2.15)")
def length_not_normalised(q, o, y, lengths):
    """P(tau) is a softmax over all lengths."""
    return length_missing(q, o, y, lengths) + q[np.arange(len(q)), lengths - 1]


@slip("unfolding.log_length", "P(tau) counts at every step", rung="probes", read="(2.15)")
def length_repeated(q, o, y, lengths):
    """The length is drawn once."""
    symbols = length_missing(q, o, y, lengths)
    return symbols + lengths * (right.log_length(q, o, y, lengths) - symbols)


@slip("unfolding.log_length", "the padding counts as symbols", rung="probes", read="(2.15)")
def length_padding(q, o, y, lengths):
    """Behind its end a sequence has no terms."""
    return right.log_softmax(q)[np.arange(len(q)), lengths - 1] + _picked(o, y).sum(0)


@slip(
    "unfolding.log_length",
    "one softmax over the scores of all sequences",
    rung="probes",
    read="(2.15)",
)
def length_one_softmax(q, o, y, lengths):
    """Each row of q has its own."""
    symbols = length_missing(q, o, y, lengths)
    everything = right.log_softmax(q.ravel()).reshape(q.shape)
    return symbols + everything[np.arange(len(q)), lengths - 1]


@slip("unfolding.log_length", "P(tau) is added, not its logarithm", rung="probes", read="(2.15)")
def length_no_logarithm(q, o, y, lengths):
    """Every factor of the product becomes a logarithm."""
    p = np.exp(right.log_softmax(q))[np.arange(len(q)), lengths - 1]
    return length_missing(q, o, y, lengths) + p


@slip("unfolding.log_length", "the exponential overflows", rung="properties", read="(2.15)")
def length_overflow(q, o, y, lengths):
    """The logarithm of a rounded softmax; log_softmax is given."""
    with np.errstate(all="ignore"):
        p = np.exp(q) / np.exp(q).sum(-1, keepdims=True)
        log_p = np.log(p[np.arange(len(q)), lengths - 1])
    return length_missing(q, o, y, lengths) + log_p


# Sampling.


@slip("unfolding.pick", "the most probable class is taken", rung="probes", read="(2.16)")
def pick_greedy(o, u):
    """u decides."""
    return np.argmax(o, axis=-1)


@slip("unfolding.pick", "the class before", rung="probes", read="(2.16)")
def pick_before(o, u):
    """Count the sums that u has reached; the first class is 0 where there are none."""
    return np.maximum(right.pick(o, u) - 1, 0)


@slip("unfolding.pick", "a border counts as not yet passed", rung="properties", read="(2.16)")
def pick_border(o, u):
    """The sum is at most u, not below u: class i owns its left border."""
    borders = np.cumsum(np.exp(right.log_softmax(o)), axis=-1)
    return np.minimum((borders < np.asarray(u)[..., None]).sum(-1), o.shape[-1] - 1)


@slip("unfolding.pick", "the outputs are taken for probabilities", rung="probes", read="(2.16)")
def pick_no_softmax(o, u):
    """Exponentiate and divide first."""
    return np.minimum((np.cumsum(o, -1) <= np.asarray(u)[..., None]).sum(-1), o.shape[-1] - 1)


@slip("unfolding.pick", "the classes are laid out from the last", rung="probes", read="(2.16)")
def pick_from_the_end(o, u):
    """Class 0 owns the smallest u."""
    return o.shape[-1] - 1 - right.pick(o[..., ::-1], u)


@slip("unfolding.pick", "the probabilities are not summed up", rung="probes", read="(2.16)")
def pick_no_sum(o, u):
    """u falls between two running sums."""
    return (np.exp(right.log_softmax(o)) <= np.asarray(u)[..., None]).sum(-1)


@slip("unfolding.pick", "the sums above u are counted", rung="probes", read="(2.16)")
def pick_above(o, u):
    """Those at most u have been passed."""
    return (np.cumsum(np.exp(right.log_softmax(o)), -1) > np.asarray(u)[..., None]).sum(-1)


def _sample_end(step, params, state, K, u, feed, stop_late=False):
    y, x = [], np.zeros(K)
    for number in u:
        state, o = step(params, state, x)
        symbol = int(right.pick(o, number))
        if stop_late:
            y.append(symbol)
        if symbol == K:
            break
        if not stop_late:
            y.append(symbol)
        x = feed(symbol)
    return y


@slip("unfolding.sample_end", "the end symbol is returned", rung="probes", read="(2.11)")
def sample_end_shown(step, params, state, K, u):
    """The end is not a symbol of the sequence."""
    return _sample_end(step, params, state, K, u, lambda k: np.eye(K)[k], stop_late=True)


@slip("unfolding.sample_end", "the symbols are not fed back", rung="probes", read="(2.11)")
def sample_end_deaf(step, params, state, K, u):
    """The network reads each symbol that was drawn."""
    return _sample_end(step, params, state, K, u, lambda k: np.zeros(K))


@slip("unfolding.sample_end", "the state is not handed on", rung="probes", read="(2.1)")
def sample_end_stuck(step, params, state, K, u):
    """Every step starts from the first state."""
    return _sample_end(
        lambda p, s, x: (s, step(p, state, x)[1]), params, state, K, u, lambda k: np.eye(K)[k]
    )


@slip("unfolding.sample_end", "symbol 0 is read first", rung="probes", read="(2.11)")
def sample_end_start(step, params, state, K, u):
    """Before the first symbol there is none: zeros."""

    def from_symbol(p, s, x):
        return step(p, s, x if x.any() else np.eye(K)[0])

    return right.sample_end(from_symbol, params, state, K, u)


@slip("unfolding.sample_end", "the most probable symbol is taken", rung="probes", read="(2.16)")
def sample_end_greedy(step, params, state, K, u):
    """Draw, with pick."""

    def sure(p, s, x):
        s, o = step(p, s, x)
        return s, np.where(np.arange(K + 1) == np.argmax(o), 99.0, -99.0)

    return right.sample_end(sure, params, state, K, u)


@slip(
    "unfolding.sample_end",
    "one random number is used for every symbol",
    rung="probes",
    read="(2.16)",
)
def sample_end_one_number(step, params, state, K, u):
    """u[0] decides the first symbol, u[1] the second."""
    return right.sample_end(step, params, state, K, np.full_like(u, u[0]))


@slip("unfolding.sample_end", "class K - 1 is taken for the end", rung="probes", read="(2.11)")
def sample_end_early_class(step, params, state, K, u):
    """Symbols are 0 ... K-1; the end is class K."""
    y = []
    for symbol in right.sample_end(step, params, state, K, u):
        if symbol == K - 1:
            break
        y.append(symbol)
    return y


@slip("unfolding.sample_end", "it goes on behind the end", rung="probes", read="(2.11)")
def sample_end_endless(step, params, state, K, u):
    """Stop at the end symbol; do not only leave it out."""
    y, x = [], np.zeros(K)
    for number in u:
        state, o = step(params, state, x)
        symbol = int(right.pick(o, number))
        if symbol < K:
            y.append(symbol)
            x = np.eye(K)[symbol]
    return y


@slip(
    "unfolding.sample_halt",
    "the decision is taken before the symbol is read",
    rung="probes",
    read="(2.12)",
)
def sample_halt_early(step, params, state, K, u):
    """s(t) comes from the step that has read x(t)."""
    y, x = [], np.zeros(K)
    for to_draw, to_halt in u:
        state, (o, s) = step(params, state, x)
        y.append(int(right.pick(o, to_draw)))
        if to_halt < 1 / (1 + np.exp(-s)):
            break
        x = np.eye(K)[y[-1]]
    return y


@slip("unfolding.sample_halt", "the symbols are not fed back", rung="probes", read="(2.12)")
def sample_halt_deaf(step, params, state, K, u):
    """The network reads each symbol that was drawn."""
    return right.sample_halt(lambda p, s, x: step(p, s, 0 * x), params, state, K, u)


@slip("unfolding.sample_halt", "the state is not handed on", rung="probes", read="(2.1)")
def sample_halt_stuck(step, params, state, K, u):
    """Every step starts from the first state."""
    return right.sample_halt(lambda p, s, x: (s, step(p, state, x)[1]), params, state, K, u)


@slip("unfolding.sample_halt", "it halts where it should go on", rung="probes", read="(2.12)")
def sample_halt_inverted(step, params, state, K, u):
    """Halt if u is below e."""

    def opposite(p, state, x):
        state, (o, s) = step(p, state, x)
        return state, (o, -s)

    return right.sample_halt(opposite, params, state, K, u)


@slip("unfolding.sample_halt", "it halts where e is above 1/2", rung="probes", read="(2.12)")
def sample_halt_certain(step, params, state, K, u):
    """u decides, with probability e."""
    return right.sample_halt(step, params, state, K, np.stack([u[:, 0], 0.5 + 0 * u[:, 1]], 1))


@slip("unfolding.sample_halt", "the two random numbers are swapped", rung="probes", read="(2.16)")
def sample_halt_numbers(step, params, state, K, u):
    """u[t, 0] draws the symbol, u[t, 1] decides."""
    return right.sample_halt(step, params, state, K, u[:, ::-1])


@slip("unfolding.sample_halt", "it halts where u is above e", rung="probes", read="(2.12)")
def sample_halt_above(step, params, state, K, u):
    """With probability e, that is where u is below it."""
    return right.sample_halt(step, params, state, K, _opposite(step, params, state, K, u))


def _opposite(step, params, state, K, u):
    """Numbers with which (2.12) halts where it would go on with these, and the other way round."""
    u, x = u.copy(), np.zeros(K)
    state, (o, s) = step(params, state, x)
    for now in u:
        state, (o, s) = step(params, state, np.eye(K)[int(right.pick(o, now[0]))])
        now[1] = 1.0 if now[1] <= 1 / (1 + np.exp(-s)) else 0.0
    return u


@slip("unfolding.sample_halt", "the score is taken for a probability", rung="probes", read="(2.12)")
def sample_halt_no_sigma(step, params, state, K, u):
    """e = sigma(s)."""

    def as_it_is(p, s, x):
        s, (o, score) = step(p, s, x)
        e = np.clip(score, 1e-12, 1 - 1e-12)
        return s, (o, np.log(e / (1 - e)))

    return right.sample_halt(as_it_is, params, state, K, u)


@slip("unfolding.sample_halt", "the last symbol is not returned", rung="probes", read="(2.12)")
def sample_halt_without_last(step, params, state, K, u):
    """The decision is whether the symbol just read was the last: it belongs to the sequence."""
    y, x = [], np.zeros(K)
    state, (o, s) = step(params, state, x)
    for to_draw, to_halt in u:
        symbol = int(right.pick(o, to_draw))
        state, (o, s) = step(params, state, np.eye(K)[symbol])
        if to_halt < 1 / (1 + np.exp(-s)):
            break
        y.append(symbol)
    return y


@slip("unfolding.sample_halt", "each symbol is read twice", rung="probes", read="(2.12)")
def sample_halt_twice(step, params, state, K, u):
    """One step gives both: the halting score of the symbol, and the scores of the next one."""
    y, x = [], np.zeros(K)
    for to_draw, to_halt in u:
        state, (o, _) = step(params, state, x)
        y.append(int(right.pick(o, to_draw)))
        x = np.eye(K)[y[-1]]
        state, (_, s) = step(params, state, x)
        if to_halt < 1 / (1 + np.exp(-s)):
            break
    return y


@slip("unfolding.sample_length", "tau is one too small", rung="probes", read="(2.15)")
def sample_length_short(step, params, state, q, K, u):
    """q[0] is the score of tau = 1."""
    tau = int(right.pick(q, u[0]))
    return _sample_length(step, params, state, tau, K, u, lambda t: tau - t)


def _sample_length(step, params, state, tau, K, u, to_come):
    y, symbol = [], np.zeros(K)
    for t in range(tau):
        state, o = step(params, state, np.append(symbol, to_come(t)))
        y.append(int(right.pick(o, u[t + 1])))
        symbol = np.eye(K)[y[-1]]
    return y


@slip("unfolding.sample_length", "the symbols are not fed back", rung="probes", read="(2.15)")
def sample_length_deaf(step, params, state, q, K, u):
    """The network reads each symbol that was drawn, and how many are to come."""
    told = np.append(np.zeros(K), 1.0)
    return right.sample_length(lambda p, s, x: step(p, s, told * x), params, state, q, K, u)


@slip("unfolding.sample_length", "the state is not handed on", rung="probes", read="(2.1)")
def sample_length_stuck(step, params, state, q, K, u):
    """Every step starts from the first state."""
    return right.sample_length(lambda p, s, x: (s, step(p, state, x)[1]), params, state, q, K, u)


@slip("unfolding.sample_length", "symbol 0 is read first", rung="probes", read="(2.15)")
def sample_length_start(step, params, state, q, K, u):
    """Before the first symbol there is none: zeros, and how many are to come."""

    def from_symbol(p, s, x):
        start = np.append(np.eye(K)[0], 0.0)
        return step(p, s, x if x[:K].any() else x + start)

    return right.sample_length(from_symbol, params, state, q, K, u)


@slip("unfolding.sample_length", "it counts up, not down", rung="probes", read="(2.15)")
def sample_length_up(step, params, state, q, K, u):
    """What is still to come gets less: tau, then tau - 1."""
    tau = int(right.pick(q, u[0])) + 1
    return _sample_length(step, params, state, tau, K, u, lambda t: t + 1)


@slip("unfolding.sample_length", "tau is fed at every step", rung="probes", read="(2.15)")
def sample_length_no_countdown(step, params, state, q, K, u):
    """The entry counts how many symbols are still to come."""
    tau = int(right.pick(q, u[0])) + 1
    return _sample_length(step, params, state, tau, K, u, lambda t: tau)


@slip("unfolding.sample_length", "the countdown ends at 0", rung="probes", read="(2.15)")
def sample_length_early_countdown(step, params, state, q, K, u):
    """Before the last symbol one is still to come."""
    tau = int(right.pick(q, u[0])) + 1
    return _sample_length(step, params, state, tau, K, u, lambda t: tau - t - 1)


@slip("unfolding.sample_length", "the countdown begins one step late", rung="probes", read="(2.15)")
def sample_length_late_countdown(step, params, state, q, K, u):
    """The second input says tau - 1."""
    tau = int(right.pick(q, u[0])) + 1
    return _sample_length(step, params, state, tau, K, u, lambda t: tau - max(t - 1, 0))


@slip("unfolding.sample_length", "the first input does not say tau", rung="probes", read="(2.15)")
def sample_length_untold(step, params, state, q, K, u):
    """Zeros for the symbol, and tau."""
    tau = int(right.pick(q, u[0])) + 1
    return _sample_length(step, params, state, tau, K, u, lambda t: tau - t if t else 0)


@slip("unfolding.sample_length", "the most probable length is taken", rung="values", read="(2.15)")
def sample_length_greedy(step, params, state, q, K, u):
    """u[0] draws it."""
    tau = int(np.argmax(q)) + 1
    return _sample_length(step, params, state, tau, K, u, lambda t: tau - t)


@slip(
    "unfolding.sample_length",
    "the number that drew tau is used again",
    rung="probes",
    read="(2.16)",
)
def sample_length_reused(step, params, state, q, K, u):
    """u[0] draws tau, u[1] the first symbol."""
    tau = int(right.pick(q, u[0])) + 1
    return _sample_length(step, params, state, tau, K, np.append(u[:1], u), lambda t: tau - t)


# PyTorch.


def _torch_scan(x, lengths, h0, U, W, b, keep):
    states, state = [], h0
    for t in range(len(x)):
        new = torch.tanh(x[t] @ U.T + state @ W.T + b)
        state = keep((lengths > t)[:, None], new, state)
        states.append(state)
    return torch.stack(states)


@slip("unfolding.torch_masked", "the mask is ignored", rung="probes", read="(2.9)")
def torch_unmasked(x, lengths, h0, U, W, b):
    """The state drifts through the padding."""
    return _torch_scan(x, lengths, h0, U, W, b, lambda m, new, old: new)


@slip("unfolding.torch_masked", "the graph is cut at every step", rung="probes", read="(2.9)")
def torch_detached(x, lengths, h0, U, W, b):
    """No gradient reaches an earlier step: leave out .detach()."""
    states, state = [], h0
    for t in range(len(x)):
        before = state.detach()
        new = torch.tanh(x[t] @ U.T + before @ W.T + b)
        state = torch.where((lengths > t)[:, None], new, before)
        states.append(state)
    return torch.stack(states)


@slip("unfolding.torch_masked", "states are 0 behind the end", rung="probes", read="(2.9)")
def torch_zeroed(x, lengths, h0, U, W, b):
    """As pad_packed_sequence leaves them; here the last state stays."""
    h = right.torch_masked(x, lengths, h0, U, W, b)
    inside = torch.arange(len(x), device=x.device)[:, None] < lengths
    return torch.where(inside[..., None], h, torch.zeros_like(h))


@slip("unfolding.torch_masked", "one step too many", rung="probes", read="(2.9)")
def torch_late(x, lengths, h0, U, W, b):
    """Index t is step t + 1: it is inside if t < tau, not if t <= tau."""
    return right.torch_masked(x, lengths + 1, h0, U, W, b)


@slip("unfolding.torch_masked", "a mask chooses rows: h[mask]", rung="properties", read="(2.9)")
def torch_rows(x, lengths, h0, U, W, b):
    """How many rows that are only the numbers say, and a GPU waits: torch.where."""
    states, state = [], h0
    for t in range(len(x)):
        inside, state = t < lengths, state.clone()
        state[inside] = torch.tanh(b + state[inside] @ W.T + x[t][inside] @ U.T)
        states.append(state)
    return torch.stack(states)


@slip("unfolding.torch_masked", "new tensors are made on the CPU", rung="properties", read="(2.9)")
def torch_cpu(x, lengths, h0, U, W, b):
    """torch.zeros without a device: x.new_zeros, or a list and torch.stack."""
    zeros = torch.zeros(len(x), *h0.shape, dtype=h0.dtype)
    return zeros + right.torch_masked(x, lengths, h0, U, W, b)
