"""Chapter 4: the mistakes that people make when they wire recurrent networks."""

from __future__ import annotations

import numpy as np
import torch

from autograder.slip import slip
from solutions import taxonomy as right

# Recurrence from the output.


def _forced(x, before, U, F, b, V, c):
    """States and outputs for the classes that go in, (T, B)."""
    h = np.tanh(x @ U.T + F.T[before] + b)
    return h, h @ V.T + c


@slip("taxonomy.teacher_forced", "y(t) goes into its own step", rung="probes", read="(4.4)")
def forced_leak(x, y0, y, U, F, b, V, c):
    """Step t gets y(t-1): with y(t) the network reads its target from its input."""
    return _forced(x, y, U, F, b, V, c)


@slip("taxonomy.teacher_forced", "y(t+1) goes into step t", rung="probes", read="(4.4)")
def forced_wrong_way(x, y0, y, U, F, b, V, c):
    """The targets are shifted to the left."""
    return _forced(x, np.concatenate([y[1:], y0[None]]), U, F, b, V, c)


@slip("taxonomy.teacher_forced", "nothing is fed to the first step", rung="probes", read="(4.4)")
def forced_no_start(x, y0, y, U, F, b, V, c):
    """y(0) is an argument."""
    fed = np.concatenate([np.zeros((1, *F.T[y0].shape)), F.T[y[:-1]]])
    h = np.tanh(x @ U.T + fed + b)
    return h, h @ V.T + c


@slip("taxonomy.teacher_forced", "class 0 is fed to the first step", rung="probes", read="(4.4)")
def forced_start_zero(x, y0, y, U, F, b, V, c):
    """y(0) is an argument, and not always class 0."""
    return right.teacher_forced(x, np.zeros_like(y0), y, U, F, b, V, c)


@slip(
    "taxonomy.teacher_forced",
    "the network's own outputs are fed back: that is closed loop",
    rung="probes",
    read="(4.4)",
)
def forced_own(x, y0, y, U, F, b, V, c):
    """While the teacher forces, the true output goes in."""
    o = right.closed_loop(x, y0, U, F, b, V, c)
    return _forced(x, np.concatenate([y0[None], o[:-1].argmax(-1)]), U, F, b, V, c)


@slip("taxonomy.teacher_forced", "every step is fed y(0)", rung="probes", read="(4.4)")
def forced_stuck(x, y0, y, U, F, b, V, c):
    """Step t gets the output of the step before."""
    return _forced(x, np.broadcast_to(y0, y.shape), U, F, b, V, c)


@slip(
    "taxonomy.teacher_forced", "the last target is fed to the first step", rung="probes",
    read="(4.4)",
)  # fmt: skip
def forced_rolled(x, y0, y, U, F, b, V, c):
    """np.roll brings the end to the front; before the first step there is y(0)."""
    return _forced(x, np.roll(y, 1, axis=0), U, F, b, V, c)


@slip("taxonomy.teacher_forced", "o is the softmax already", rung="probes", read="(4.4)")
def forced_softmax(x, y0, y, U, F, b, V, c):
    """The outputs before the softmax are wanted."""
    h, o = right.teacher_forced(x, y0, y, U, F, b, V, c)
    return h, _softmax(o)


@slip("taxonomy.teacher_forced", "the biases are left out", rung="probes", read="(4.4)")
def forced_no_bias(x, y0, y, U, F, b, V, c):
    """Neither b nor c is used."""
    return right.teacher_forced(x, y0, y, U, F, np.zeros_like(b), V, np.zeros_like(c))


def _loop(x, y0, U, F, b, V, c, feed):
    """A free run; feed(o) is what meets F at the next step, (B, K)."""
    onehot, fed, outputs = np.eye(F.shape[1]), None, []
    for driven in x @ U.T + b:
        fed = onehot[y0] if fed is None else feed(outputs[-1])
        outputs.append(np.tanh(driven + fed @ F.T) @ V.T + c)
    return np.stack(outputs)


def _softmax(o, axis=-1):
    weight = np.exp(o - o.max(axis=axis, keepdims=True))
    return weight / weight.sum(axis=axis, keepdims=True)


@slip("taxonomy.closed_loop", "the softmax is fed back, not the class", rung="probes", read="(4.7)")
def loop_soft(x, y0, U, F, b, V, c):
    """What goes in is the one-hot vector of the most probable class."""
    return _loop(x, y0, U, F, b, V, c, _softmax)


@slip("taxonomy.closed_loop", "o is fed back, not the class", rung="probes", read="(4.7)")
def loop_raw(x, y0, U, F, b, V, c):
    """The network was trained on one-hot inputs."""
    return _loop(x, y0, U, F, b, V, c, lambda o: o)


@slip("taxonomy.closed_loop", "every step is fed y(0)", rung="probes", read="(4.7)")
def loop_stuck(x, y0, U, F, b, V, c):
    """The class that comes out is never handed on."""
    return _forced(x, np.broadcast_to(y0, x.shape[:2]), U, F, b, V, c)[1]


@slip("taxonomy.closed_loop", "the class of two steps ago is fed back", rung="probes", read="(4.7)")
def loop_late(x, y0, U, F, b, V, c):
    """The class is put aside before the new one is known."""
    driven, outputs = x @ U.T + b, []
    previous = following = y0
    for step in driven:
        outputs.append(np.tanh(step + F.T[previous]) @ V.T + c)
        previous, following = following, outputs[-1].argmax(-1)
    return np.stack(outputs)


@slip("taxonomy.closed_loop", "one class for the whole batch", rung="probes", read="(4.7)")
def loop_one_class(x, y0, U, F, b, V, c):
    """Each sequence has an arg max of its own."""

    def feed(o):
        return np.broadcast_to(np.eye(o.shape[1])[o.sum(0).argmax()], o.shape)

    return _loop(x, y0, U, F, b, V, c, feed)


@slip("taxonomy.closed_loop", "o is the softmax already", rung="probes", read="(4.7)")
def loop_returns_softmax(x, y0, U, F, b, V, c):
    """The outputs before the softmax are wanted."""
    return _softmax(right.closed_loop(x, y0, U, F, b, V, c))


@slip("taxonomy.closed_loop", "class 0 is fed to the first step", rung="probes", read="(4.7)")
def loop_start_zero(x, y0, U, F, b, V, c):
    """y(0) is an argument, and not always class 0."""
    return right.closed_loop(x, np.zeros_like(y0), U, F, b, V, c)


def _mixed(x, y0, y, u, epsilon, U, F, b, V, c, choose):
    """A mixed run: choose(t, true, own) are the classes that go into step t, (B,)."""
    outputs, previous = [], y0
    for t, driven in enumerate(x @ U.T + b):
        if t:
            previous = choose(t, y[t - 1], outputs[-1].argmax(-1))
        outputs.append(np.tanh(driven + F.T[previous]) @ V.T + c)
    return np.stack(outputs)


@slip("taxonomy.scheduled", "the coin is turned round", rung="probes", read="(4.9)")
def scheduled_turned(x, y0, y, u, epsilon, U, F, b, V, c):
    """The true output goes in where u is below epsilon."""

    def choose(t, true, own):
        return np.where(u[t] < epsilon, own, true)

    return _mixed(x, y0, y, u, epsilon, U, F, b, V, c, choose)


@slip("taxonomy.scheduled", "one coin for the whole batch", rung="probes", read="(4.9)")
def scheduled_one_coin(x, y0, y, u, epsilon, U, F, b, V, c):
    """Each sequence has a coin of its own."""

    def choose(t, true, own):
        return true if u[t, 0] < epsilon else own

    return _mixed(x, y0, y, u, epsilon, U, F, b, V, c, choose)


@slip("taxonomy.scheduled", "one coin for the whole sequence", rung="probes", read="(4.9)")
def scheduled_one_toss(x, y0, y, u, epsilon, U, F, b, V, c):
    """The coin is thrown at every step."""

    def choose(t, true, own):
        return np.where(u[0] < epsilon, true, own)

    return _mixed(x, y0, y, u, epsilon, U, F, b, V, c, choose)


@slip("taxonomy.scheduled", "the coin of the step before is used", rung="probes", read="(4.9)")
def scheduled_early_coin(x, y0, y, u, epsilon, U, F, b, V, c):
    """u(t) decides what goes into step t."""

    def choose(t, true, own):
        return np.where(u[t - 1] < epsilon, true, own)

    return _mixed(x, y0, y, u, epsilon, U, F, b, V, c, choose)


@slip("taxonomy.scheduled", "y(t) goes in instead of y(t-1)", rung="probes", read="(4.9)")
def scheduled_leak(x, y0, y, u, epsilon, U, F, b, V, c):
    """The network reads its target."""

    def choose(t, true, own):
        return np.where(u[t] < epsilon, y[t], own)

    return _mixed(x, y0, y, u, epsilon, U, F, b, V, c, choose)


@slip("taxonomy.scheduled", "u = epsilon gets the true output, too", rung="probes", read="(4.9)")
def scheduled_or_equal(x, y0, y, u, epsilon, U, F, b, V, c):
    """u < epsilon: a draw of 0 at epsilon = 0 is the network's own."""

    def choose(t, true, own):
        return np.where(u[t] <= epsilon, true, own)

    return _mixed(x, y0, y, u, epsilon, U, F, b, V, c, choose)


@slip(
    "taxonomy.scheduled",
    "the first step gets the last target, or a class that came out at the end",
    rung="probes",
    read="(4.9)",
)
def scheduled_no_start(x, y0, y, u, epsilon, U, F, b, V, c):
    """Index t - 1 is -1 at the first step: that is the end of the array."""
    before = np.where(u[0] < epsilon, y[-1], 0)
    return right.scheduled(x, before, y, u, epsilon, U, F, b, V, c)


@slip(
    "taxonomy.scheduled",
    "the own outputs are those of the closed loop",
    rung="probes",
    read="(4.9)",
)
def scheduled_other_loop(x, y0, y, u, epsilon, U, F, b, V, c):
    """They must be those of the mixed run itself."""
    own = right.closed_loop(x, y0, U, F, b, V, c).argmax(-1)
    before = np.where(u[1:] < epsilon, y[:-1], own[:-1])
    return _forced(x, np.concatenate([y0[None], before]), U, F, b, V, c)[1]


@slip(
    "taxonomy.scheduled",
    "the own outputs are those of the teacher-forced run",
    rung="probes",
    read="(4.9)",
)
def scheduled_two_passes(x, y0, y, u, epsilon, U, F, b, V, c):
    """They must be those of the mixed run itself."""
    own = right.teacher_forced(x, y0, y, U, F, b, V, c)[1].argmax(-1)
    before = np.where(u[1:] < epsilon, y[:-1], own[:-1])
    return _forced(x, np.concatenate([y0[None], before]), U, F, b, V, c)[1]


# Read-outs.


def _lengths(mask):
    return mask.sum(0).astype(int)


@slip(
    "taxonomy.readout",
    "the state of the last padded step",
    rung="probes",
    read="(4.12)",
    part="last",
)
def readout_padding(h, mask):
    """h[-1] lies in the padding of every sequence but the longest."""
    return h[-1], right.readout(h, mask)[1]


@slip(
    "taxonomy.readout",
    "the state one step before the last",
    rung="probes",
    read="(4.12)",
    part="last",
)
def readout_too_early(h, mask):
    """Step l has index l - 1, not l - 2."""
    return h[_lengths(mask) - 2, np.arange(h.shape[1])], right.readout(h, mask)[1]


@slip(
    "taxonomy.readout",
    "the last state times the mask of the last step",
    rung="probes",
    read="(4.12)",
    part="last",
)
def readout_masked_last(h, mask):
    """Masking makes the padding zero; the last state stands elsewhere."""
    return (h * mask[..., None])[-1], right.readout(h, mask)[1]


@slip(
    "taxonomy.readout",
    "a mean over the padding, too",
    rung="probes",
    read="(4.12)",
    part="mean",
)
def readout_mean_all(h, mask):
    """h.mean(0) counts states of steps that are not there."""
    return right.readout(h, mask)[0], h.mean(0)


@slip(
    "taxonomy.readout",
    "the sum is right, but divided by T",
    rung="probes",
    read="(4.12)",
    part="mean",
)
def readout_divide_by_steps(h, mask):
    """Divide by the sequence's own length."""
    return right.readout(h, mask)[0], (h * mask[..., None]).mean(0)


@slip(
    "taxonomy.readout",
    "a sum instead of a mean",
    rung="probes",
    read="(4.12)",
    part="mean",
)
def readout_sum(h, mask):
    """The division is missing."""
    return right.readout(h, mask)[0], (h * mask[..., None]).sum(0)


@slip(
    "taxonomy.readout",
    "one length for the whole batch",
    rung="values",
    read="(4.12)",
    part="mean",
)
def readout_one_length(h, mask):
    """Each sequence has a length of its own."""
    return right.readout(h, mask)[0], (h * mask[..., None]).sum(0) * h.shape[1] / mask.sum()


@slip(
    "taxonomy.readout_grad",
    "the last state's share goes to the padding's end",
    rung="probes",
    read="(4.13)",
)
def readout_grad_padding(dlast, dmean, mask):
    """dh[-1] is padding for all sequences but the longest."""
    dh = right.readout_grad(np.zeros_like(dlast), dmean, mask)
    dh[-1] += dlast
    return dh


@slip("taxonomy.readout_grad", "the padding gets a share, too", rung="probes", read="(4.13)")
def readout_grad_unmasked(dlast, dmean, mask):
    """A state that is not in the mean has no gradient from it."""
    dh = right.readout_grad(dlast, np.zeros_like(dmean), mask)
    return dh + dmean / mask.sum(0)[:, None]


@slip("taxonomy.readout_grad", "the mean's share is divided by T", rung="probes", read="(4.13)")
def readout_grad_by_steps(dlast, dmean, mask):
    """The mean was taken over l states."""
    return right.readout_grad(dlast, dmean * mask.sum(0)[:, None] / len(mask), mask)


@slip("taxonomy.readout_grad", "the mean's share is not divided", rung="probes", read="(4.13)")
def readout_grad_undivided(dlast, dmean, mask):
    """That is the gradient of a sum."""
    return right.readout_grad(dlast, dmean * mask.sum(0)[:, None], mask)


@slip("taxonomy.readout_grad", "every state gets dlast", rung="probes", read="(4.13)")
def readout_grad_everywhere(dlast, dmean, mask):
    """Only one state of each sequence is its last."""
    return right.readout_grad(np.zeros_like(dlast), dmean, mask) + dlast * mask[..., None]


@slip(
    "taxonomy.readout_grad",
    "every sequence's last step gets the whole batch's gradient",
    rung="probes",
    read="(4.13)",
)
def readout_grad_mixed(dlast, dmean, mask):
    """The batch index is missing beside the step's."""
    return right.readout_grad(np.broadcast_to(dlast.sum(0), dlast.shape), dmean, mask)


# A vector in.


def _captioned(bias, h0, before, F, W, V, c):
    """The captioning network with a bias (T, B, H) that may be wrong."""
    states, h = [], h0
    for here, fed in zip(bias, F.T[before], strict=True):
        h = np.tanh(here + fed + h @ W.T)
        states.append(h)
    h = np.stack(states)
    return h, h @ V.T + c


def _shifted(y0, y):
    return np.concatenate([y0[None], y[:-1]])


def _everywhere(value, y):
    return np.broadcast_to(value, (len(y), *value.shape))


@slip("taxonomy.vector_to_sequence", "x enters at step 1 only", rung="probes", read="(4.15)")
def vector_once(x, h0, y0, y, R, F, W, b, V, c):
    """R x is a bias: it is there at every step."""
    bias = _everywhere(np.broadcast_to(b, h0.shape), y).copy()
    bias[0] += x @ R.T
    return _captioned(bias, h0, _shifted(y0, y), F, W, V, c)


@slip("taxonomy.vector_to_sequence", "R x takes the place of h(0)", rung="probes", read="(4.15)")
def vector_as_state(x, h0, y0, y, R, F, W, b, V, c):
    """That is another network: x then has to be remembered."""
    bias = _everywhere(np.broadcast_to(b, h0.shape), y)
    return _captioned(bias, x @ R.T, _shifted(y0, y), F, W, V, c)


@slip("taxonomy.vector_to_sequence", "y(t) goes into its own step", rung="probes", read="(4.15)")
def vector_leak(x, h0, y0, y, R, F, W, b, V, c):
    """Target for the step before, input for this one."""
    return _captioned(_everywhere(b + x @ R.T, y), h0, y, F, W, V, c)


@slip("taxonomy.vector_to_sequence", "h(0) is taken as zero", rung="probes", read="(4.15)")
def vector_no_initial_state(x, h0, y0, y, R, F, W, b, V, c):
    """The initial state is an argument."""
    return right.vector_to_sequence(x, np.zeros_like(h0), y0, y, R, F, W, b, V, c)


@slip(
    "taxonomy.vector_to_sequence",
    "b is left out: R x is added to it, and does not replace it",
    rung="probes",
    read="(4.15)",
)
def vector_no_bias(x, h0, y0, y, R, F, W, b, V, c):
    """Two biases: one for all, one for each sequence."""
    return right.vector_to_sequence(x, h0, y0, y, R, F, W, np.zeros_like(b), V, c)


@slip("taxonomy.vector_to_sequence", "W is transposed", rung="probes", read="(4.15)")
def vector_transposed(x, h0, y0, y, R, F, W, b, V, c):
    """Batch rows need h @ W.T."""
    return right.vector_to_sequence(x, h0, y0, y, R, F, W.T, b, V, c)


# The probability of a sequence.


@slip("taxonomy.log_likelihood", "the mask is ignored", rung="probes", read="(4.17)")
def likelihood_unmasked(x, h0, y0, y, mask, U, F, W, b, V, c):
    """Padding counts as if it were data."""
    return right.log_likelihood(x, h0, y0, y, np.ones_like(mask), U, F, W, b, V, c)


@slip("taxonomy.log_likelihood", "a mean over the steps", rung="probes", read="(4.17)")
def likelihood_mean(x, h0, y0, y, mask, U, F, W, b, V, c):
    """A product of probabilities has a sum as its logarithm."""
    return right.log_likelihood(x, h0, y0, y, mask, U, F, W, b, V, c) / mask.sum(0)


@slip("taxonomy.log_likelihood", "the sign is that of a loss", rung="probes", read="(4.17)")
def likelihood_sign(x, h0, y0, y, mask, U, F, W, b, V, c):
    """A log-probability is never positive."""
    return -right.log_likelihood(x, h0, y0, y, mask, U, F, W, b, V, c)


def _likelihood(x, h0, before, y, mask, U, F, W, b, V, c, log_p=None):
    """The log-likelihood with other classes going in, or another logarithm."""
    h, states = h0, []
    for driven in x @ U.T + F.T[before] + b:
        h = np.tanh(driven + h @ W.T)
        states.append(h)
    o = np.stack(states) @ V.T + c
    if log_p is None:
        shifted = o - o.max(-1, keepdims=True)
        each = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    else:
        each = log_p(o)
    return (mask * np.take_along_axis(each, y[..., None], -1)[..., 0]).sum(0)


@slip("taxonomy.log_likelihood", "y(t) goes into its own step", rung="probes", read="(4.16)")
def likelihood_leak(x, h0, y0, y, mask, U, F, W, b, V, c):
    """The network reads its target."""
    return _likelihood(x, h0, y, y, mask, U, F, W, b, V, c)


@slip(
    "taxonomy.log_likelihood",
    "its own classes are fed back, not the sequence's",
    rung="probes",
    read="(4.16)",
)
def likelihood_own(x, h0, y0, y, mask, U, F, W, b, V, c):
    """The probability of y needs y as the past."""
    h, before, own = h0, y0, []
    for driven in x @ U.T + b:
        own.append(before)
        h = np.tanh(driven + F.T[before] + h @ W.T)
        before = (h @ V.T + c).argmax(-1)
    return _likelihood(x, h0, np.stack(own), y, mask, U, F, W, b, V, c)


@slip(
    "taxonomy.log_likelihood", "the softmax is left out: o itself is summed", rung="probes",
    read="(4.17)",
)  # fmt: skip
def likelihood_no_softmax(x, h0, y0, y, mask, U, F, W, b, V, c):
    """An output is not a log-probability before it is normalized."""
    return _likelihood(x, h0, _shifted(y0, y), y, mask, U, F, W, b, V, c, lambda o: o)


@slip("taxonomy.log_likelihood", "the softmax goes over time", rung="probes", read="(4.17)")
def likelihood_over_time(x, h0, y0, y, mask, U, F, W, b, V, c):
    """Each step has a distribution over the K classes: the last axis."""

    def log_p(o):
        return np.log(_softmax(o, axis=0))

    return _likelihood(x, h0, _shifted(y0, y), y, mask, U, F, W, b, V, c, log_p)


@slip("taxonomy.log_likelihood", "the exponential overflows", rung="properties", read="(4.17)")
def likelihood_overflow(x, h0, y0, y, mask, U, F, W, b, V, c):
    """exp(1000) is infinite."""

    def log_p(o):
        return np.log(np.exp(o) / np.exp(o).sum(-1, keepdims=True))

    return _likelihood(x, h0, _shifted(y0, y), y, mask, U, F, W, b, V, c, log_p)


@slip(
    "taxonomy.log_likelihood",
    "the logarithm of a softmax that is rounded to 0",
    rung="properties",
    read="(4.17)",
)
def likelihood_log_softmax(x, h0, y0, y, mask, U, F, W, b, V, c):
    """log(softmax(o)) is -inf where log(sum) - o is 1000."""

    def log_p(o):
        return np.log(_softmax(o))

    return _likelihood(x, h0, _shifted(y0, y), y, mask, U, F, W, b, V, c, log_p)


@slip(
    "taxonomy.log_likelihood",
    "the largest output of the whole batch is taken away",
    rung="properties",
    read="(4.17)",
)
def likelihood_one_largest(x, h0, y0, y, mask, U, F, W, b, V, c):
    """Far below it, a sequence's exponentials are all 0: take away each step's own."""

    def log_p(o):
        shifted = o - o.max((1, 2), keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))

    return _likelihood(x, h0, _shifted(y0, y), y, mask, U, F, W, b, V, c, log_p)


@slip(
    "taxonomy.log_likelihood", "the mask is on the states, too", rung="probes", read="(4.16)-(4.17)"
)
def likelihood_masked_states(x, h0, y0, y, mask, U, F, W, b, V, c):
    """A step that does not count in the sum still has a state, which goes on."""
    h, states = h0, []
    for driven, here in zip(x @ U.T + F.T[_shifted(y0, y)] + b, mask, strict=True):
        h = here[:, None] * np.tanh(driven + h @ W.T)
        states.append(h)
    o = np.stack(states) @ V.T + c
    shifted = o - o.max(-1, keepdims=True)
    each = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return (mask * np.take_along_axis(each, y[..., None], -1)[..., 0]).sum(0)


# Both directions.


def _run(x, state, U, W, b):
    states = []
    for driven in x @ U.T + b:
        state = np.tanh(driven + state @ W.T)
        states.append(state)
    return np.stack(states)


def _inside(x, lengths):
    return (np.arange(len(x))[:, None] < lengths)[..., None]


@slip(
    "taxonomy.bidirectional", "the backward network starts in the padding", rung="probes",
    read="(4.19)",
)  # fmt: skip
def two_way_padding(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """Reverse each sequence by its own length, not the whole array."""
    both = [_run(x, h0, Uf, Wf, bf), _run(x[::-1], g0, Ug, Wg, bg)[::-1]]
    return np.concatenate(both, -1) * _inside(x, lengths)


@slip(
    "taxonomy.bidirectional", "the backward states are not turned back", rung="probes",
    read="(4.19)",
)  # fmt: skip
def two_way_not_back(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """What was read last belongs to the first step."""
    t = np.arange(len(x))[:, None]
    turned = np.where(t < lengths, lengths - 1 - t, t)
    g = _run(x[turned, np.arange(x.shape[1])], g0, Ug, Wg, bg)
    return np.concatenate([_run(x, h0, Uf, Wf, bf), g], -1) * _inside(x, lengths)


@slip("taxonomy.bidirectional", "the input is not turned", rung="probes", read="(4.18)")
def two_way_forward_twice(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """Both networks read forward."""
    both = [_run(x, h0, Uf, Wf, bf), _run(x, g0, Ug, Wg, bg)]
    return np.concatenate(both, -1) * _inside(x, lengths)


@slip("taxonomy.bidirectional", "both directions share one network", rung="probes", read="(4.18)")
def two_way_shared(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """The backward network has weights of its own."""
    return right.bidirectional(x, lengths, h0, g0, Uf, Wf, bf, Uf, Wf, bf)


@slip("taxonomy.bidirectional", "the backward half comes first", rung="probes", read="(4.18)")
def two_way_swapped(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """Forward states first."""
    s = right.bidirectional(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg)
    return np.roll(s, h0.shape[1], axis=-1)


@slip("taxonomy.bidirectional", "the padding is not zero", rung="probes", read="(4.18)")
def two_way_unmasked(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """Behind the last step there are no states."""
    t = np.arange(len(x))[:, None]
    turned = np.where(t < lengths, lengths - 1 - t, t), np.arange(x.shape[1])
    return np.concatenate([_run(x, h0, Uf, Wf, bf), _run(x[turned], g0, Ug, Wg, bg)[turned]], -1)


@slip(
    "taxonomy.bidirectional", "behind the padding g starts from zero, not from g0", rung="probes",
    read="(4.18)",
)  # fmt: skip
def two_way_zeroed(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """A backward scan that sets the state to zero in the padding loses g0 on its way."""
    inside, g, states = _inside(x, lengths), g0, []
    for driven, here in zip((x @ Ug.T + bg)[::-1], inside[::-1], strict=True):
        g = here * np.tanh(driven + g @ Wg.T)
        states.append(g)
    h = _run(x, h0, Uf, Wf, bf) * inside
    return np.concatenate([h, np.stack(states)[::-1]], -1)


@slip("taxonomy.bidirectional", "the states are added", rung="shapes", read="(4.18)")
def two_way_sum(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """Side by side: 2 H numbers for each step."""
    s = right.bidirectional(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg)
    return s[..., : h0.shape[1]] + s[..., h0.shape[1] :]


# Several layers.


def _layers(x, h0, U, W, b, step):
    """All layers step by step: step(j, below, previous states) is layer j's new state."""
    states, before = [], list(h0)
    for xt in x:
        now = []
        for j in range(len(U)):
            now.append(step(j, now[j - 1] if j else xt, before, xt))
        states.append(now)
        before = now
    return np.stack([np.stack(one) for one in zip(*states, strict=True)])


@slip(
    "taxonomy.deep",
    "a layer reads the layer below one step late",
    rung="probes",
    read="(4.20)",
)
def deep_late(x, h0, U, W, b):
    """h(t) of layer j reads h(t), not h(t-1), of layer j - 1."""

    def step(j, below, before, xt):
        return np.tanh((before[j - 1] if j else xt) @ U[j].T + before[j] @ W[j].T + b[j])

    return _layers(x, h0, U, W, b, step)


@slip("taxonomy.deep", "all layers share one W", rung="probes", read="(4.20)")
def deep_shared(x, h0, U, W, b):
    """Each layer has weights of its own."""
    return right.deep(x, h0, U, [W[0]] * len(W), b)


@slip("taxonomy.deep", "every layer starts from layer 1's h(0)", rung="probes", read="(4.20)")
def deep_one_start(x, h0, U, W, b):
    """h0 holds a state for each layer."""
    return right.deep(x, np.broadcast_to(h0[0], h0.shape), U, W, b)


@slip(
    "taxonomy.deep", "a layer goes on from the last state of the layer below", rung="probes",
    read="(4.20)",
)  # fmt: skip
def deep_handed_up(x, h0, U, W, b):
    """The state variable is not set back when the next layer begins."""
    layers, below, state = [], x, h0[0]
    for Uj, Wj, bj in zip(U, W, b, strict=True):
        below = _run(below, state, Uj, Wj, bj)
        layers.append(below)
        state = below[-1]
    return np.stack(layers)


@slip("taxonomy.deep", "upper layers have no memory", rung="probes", read="(4.20)")
def deep_no_memory(x, h0, U, W, b):
    """Each layer also reads itself at the step before."""
    return right.deep(x, h0, U, [W[0], *(np.zeros_like(w) for w in W[1:])], b)


@slip("taxonomy.deep", "W is transposed", rung="probes", read="(4.20)")
def deep_transposed(x, h0, U, W, b):
    """Batch rows need state @ W[j].T."""
    return right.deep(x, h0, U, [w.T for w in W], b)


@slip("taxonomy.deep", "only the top layer is returned", rung="shapes", read="(4.20)")
def deep_top(x, h0, U, W, b):
    """All N layers are wanted."""
    return right.deep(x, h0, U, W, b)[-1]


# Scores of a tagger.


def _f1(true, said):
    both = len(true) + len(said)
    return 2 * len(true & said) / both if both else 1.0


def _spans(y, mask, begins=lambda tag, inside: tag == 1 or not inside):
    """Spans of every sentence; begins(tag, inside a span) decides for tags above 0."""
    found, lengths = set(), _lengths(mask)
    for n in range(y.shape[1]):
        start = None
        for t, tag in enumerate([*y[: lengths[n], n], 0]):
            if start is not None and (tag == 0 or begins(tag, True)):
                found.add((n, start, t))
                start = None
            if tag and start is None and begins(tag, False):
                start = t
    return found


@slip("taxonomy.span_scores", "the padding counts", rung="probes", read="(4.21)", part="accuracy")
def scores_unmasked(y, y_hat, mask):
    """Accuracy over all steps."""
    return (y == y_hat).mean(), right.span_scores(y, y_hat, mask)[1]


@slip(
    "taxonomy.span_scores",
    "a mean over sentences of each one's accuracy",
    rung="values",
    read="(4.21)",
    part="accuracy",
)
def scores_by_sentence(y, y_hat, mask):
    """Long sentences have more words, and weigh more."""
    each = (mask * (y == y_hat)).sum(0) / mask.sum(0)
    return each.mean(), right.span_scores(y, y_hat, mask)[1]


def _scored(y, y_hat, mask, f1):
    return right.span_scores(y, y_hat, mask)[0], f1


@slip("taxonomy.span_scores", "F1 over words, not spans", rung="probes", read="(4.21)", part="f1")
def scores_tokens(y, y_hat, mask):
    """A name counts as found only as a whole."""
    true, said = ({*map(tuple, np.argwhere((mask > 0) & (tags > 0)))} for tags in (y, y_hat))
    return _scored(y, y_hat, mask, _f1(true, said))


@slip(
    "taxonomy.span_scores",
    "neighbouring names are one span",
    rung="probes",
    read="(4.21)",
    part="f1",
)
def scores_merged(y, y_hat, mask):
    """A 1 always begins a new span."""
    true, said = (_spans(tags, mask, lambda tag, inside: not inside) for tags in (y, y_hat))
    return _scored(y, y_hat, mask, _f1(true, said))


@slip(
    "taxonomy.span_scores",
    "a new 1 does not close the name before it: that one is lost",
    rung="probes",
    read="(4.21)",
    part="f1",
)
def scores_not_closed(y, y_hat, mask):
    """A 1 ends an open span, and begins the next."""

    def spans(tags):
        found, lengths = set(), _lengths(mask)
        for n in range(tags.shape[1]):
            start = None
            for t, tag in enumerate([*tags[: lengths[n], n], 0]):
                if start is not None and tag == 0:
                    found.add((n, start, t))
                    start = None
                if tag == 1 or (tag == 2 and start is None):
                    start = t
        return found

    return _scored(y, y_hat, mask, _f1(spans(y), spans(y_hat)))


@slip(
    "taxonomy.span_scores",
    "a 2 that follows nothing is left out",
    rung="probes",
    read="(4.21)",
    part="f1",
)
def scores_strict(y, y_hat, mask):
    """It begins a span."""
    true, said = (_spans(tags, mask, lambda tag, inside: tag == 1) for tags in (y, y_hat))
    return _scored(y, y_hat, mask, _f1(true, said))


@slip(
    "taxonomy.span_scores",
    "spans in the padding count",
    rung="probes",
    read="(4.21)",
    part="f1",
)
def scores_padding(y, y_hat, mask):
    """Behind the end of a sentence there is nothing."""
    true, said = (_spans(tags, np.ones_like(mask)) for tags in (y, y_hat))
    return _scored(y, y_hat, mask, _f1(true, said))


@slip(
    "taxonomy.span_scores",
    "a mean over sentences of each one's F1",
    rung="probes",
    read="(4.21)",
    part="f1",
)
def scores_macro(y, y_hat, mask):
    """All sentences together have one F1."""
    each = [right.span_scores(y[:, [n]], y_hat[:, [n]], mask[:, [n]])[1] for n in range(y.shape[1])]
    return _scored(y, y_hat, mask, float(np.mean(each)))


@slip(
    "taxonomy.span_scores",
    "precision alone",
    rung="probes",
    read="(4.21)",
    part="f1",
)
def scores_precision(y, y_hat, mask):
    """What was not found must count as well."""
    true, said = _spans(y, mask), _spans(y_hat, mask)
    f1 = len(true & said) / max(1, len(said)) if true or said else 1.0
    return _scored(y, y_hat, mask, f1)


@slip(
    "taxonomy.span_scores",
    "no names in the targets count as all found",
    rung="properties",
    read="(4.21)",
    part="f1",
)
def scores_no_targets(y, y_hat, mask):
    """F1 = 1 only if the predictions have none either."""
    f1 = right.span_scores(y, y_hat, mask)[1] if _spans(y, mask) else 1.0
    return _scored(y, y_hat, mask, f1)


@slip(
    "taxonomy.span_scores",
    "a span counts as found if it begins in the right place",
    rung="probes",
    read="(4.21)",
    part="f1",
)
def scores_beginnings(y, y_hat, mask):
    """Both its ends must be right."""
    true, said = ({span[:2] for span in _spans(tags, mask)} for tags in (y, y_hat))
    return _scored(y, y_hat, mask, _f1(true, said))


@slip(
    "taxonomy.span_scores",
    "the sentence is no part of a span",
    rung="probes",
    read="(4.21)",
    part="f1",
)
def scores_any_sentence(y, y_hat, mask):
    """Words 1 to 2 of one sentence are not words 1 to 2 of another."""
    true, said = ({span[1:] for span in _spans(tags, mask)} for tags in (y, y_hat))
    return _scored(y, y_hat, mask, _f1(true, said))


# The twin.


def _twin(x, lengths, U, W, b, second_bias=False, order=(0, 1, 2, 3)):
    rnn = torch.nn.RNN(
        x.shape[-1], len(b[0]), num_layers=2, bidirectional=True, device=x.device, dtype=x.dtype
    )
    with torch.no_grad():
        for i, name in zip(order, ("l0", "l0_reverse", "l1", "l1_reverse"), strict=True):
            getattr(rnn, f"weight_ih_{name}").copy_(U[i])
            getattr(rnn, f"weight_hh_{name}").copy_(W[i])
            getattr(rnn, f"bias_ih_{name}").copy_(b[i])
            getattr(rnn, f"bias_hh_{name}").copy_(b[i] if second_bias else 0 * b[i])
    return rnn


def _padded_again(rnn, x, lengths, **options):
    rows = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    return torch.nn.utils.rnn.pad_packed_sequence(rnn(rows)[0], **options)[0]


@slip("taxonomy.packed", "the padding is read", rung="probes", read="(4.19)")
def packed_not(x, lengths, U, W, b):
    """Pack before, so that the backward networks start where each sequence ends."""
    s, _ = _twin(x, lengths, U, W, b)(x)
    inside = torch.arange(len(x), device=x.device)[:, None] < lengths.to(x.device)
    return s * inside[..., None]


@slip("taxonomy.packed", "both biases are set to b", rung="probes", read="(4.18)")
def packed_two_biases(x, lengths, U, W, b):
    """PyTorch adds its two biases: one of them is zero."""
    return _padded_again(
        _twin(x, lengths, U, W, b, second_bias=True), x, lengths, total_length=len(x)
    )


@slip("taxonomy.packed", "the directions are swapped", rung="probes", read="(4.18)")
def packed_directions(x, lengths, U, W, b):
    """Forward comes before backward, in each layer."""
    rnn = _twin(x, lengths, U, W, b, order=(1, 0, 3, 2))
    return _padded_again(rnn, x, lengths, total_length=len(x))


@slip(
    "taxonomy.packed", "the padding that all sequences have is cut off", rung="shapes",
    read="(4.19)",
)  # fmt: skip
def packed_shorter(x, lengths, U, W, b):
    """total_length brings it back."""
    return _padded_again(_twin(x, lengths, U, W, b), x, lengths)


@slip("taxonomy.packed", "the lengths are not sorted", rung="runs", read="(4.19)")
def packed_unsorted(x, lengths, U, W, b):
    """enforce_sorted=False sorts, and puts back."""
    rows = torch.nn.utils.rnn.pack_padded_sequence(x, lengths)
    s = _twin(x, lengths, U, W, b)(rows)[0]
    return torch.nn.utils.rnn.pad_packed_sequence(s, total_length=len(x))[0]


@slip("taxonomy.packed", "sorted by length, and not put back", rung="probes", read="(4.19)")
def packed_left_sorted(x, lengths, U, W, b):
    """Sequence 1 of the result is sequence 1 of the input."""
    order = torch.argsort(lengths, descending=True)
    return _padded_again(
        _twin(x, lengths, U, W, b), x[:, order.to(x.device)], lengths[order], total_length=len(x)
    )


# Looks, choices and windows.


def _patches(x, pixel, size, scales, pool, border=None):
    """Patches about given pixels; pool(wide, block) makes the small ones."""
    widest = border or size * 2 ** (scales - 1)
    padded = np.pad(x, ((0, 0), (widest, widest), (widest, widest)))
    found = []
    for k in range(scales):
        steps = np.arange(size * 2**k) - size * 2**k // 2 + widest
        rows, columns = (pixel[:, i, None] + steps for i in (0, 1))
        wide = padded[np.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]]
        found.append(pool(wide, 2**k))
    return np.stack(found, 1)


def _means(wide, block):
    n, width, _ = wide.shape
    return wide.reshape(n, width // block, block, width // block, block).mean((2, 4))


def _nearest(x, centre, add=0.5):
    return np.floor((centre + 1) / 2 * (np.array(x.shape[1:]) - 1) + add).astype(int)


@slip("taxonomy.glimpse", "the centre is rounded down", rung="probes", read="(4.22)")
def glimpse_floor(x, centre, size, scales):
    """The nearest pixel: add a half before."""
    return _patches(x, _nearest(x, centre, 0.0), size, scales, _means)


@slip("taxonomy.glimpse", "row and column are swapped", rung="probes", read="(4.22)")
def glimpse_swapped(x, centre, size, scales):
    """The first coordinate is the row."""
    return _patches(x, _nearest(x, centre[:, ::-1]), size, scales, _means)


@slip("taxonomy.glimpse", "every second pixel instead of means", rung="probes", read="(4.22)")
def glimpse_skipped(x, centre, size, scales):
    """A coarse patch holds means of blocks."""
    return _patches(x, _nearest(x, centre), size, scales, lambda w, block: w[:, ::block, ::block])


@slip("taxonomy.glimpse", "sums instead of means", rung="probes", read="(4.22)")
def glimpse_sums(x, centre, size, scales):
    """Divide by the number of pixels in a block."""
    return _patches(x, _nearest(x, centre), size, scales, lambda w, k: _means(w, k) * k * k)


@slip("taxonomy.glimpse", "the window is held inside the picture", rung="probes", read="(4.22)")
def glimpse_clamped(x, centre, size, scales):
    """Beyond the edge all is 0; the window is not moved."""
    widest = size * 2 ** (scales - 1)
    shape = np.array(x.shape[1:])
    pixel = _nearest(x, centre)
    found = []
    for k in range(scales):
        half = np.minimum(size * 2**k, widest) // 2
        inside = np.clip(pixel, half, np.maximum(shape - size * 2**k + half, half))
        found.append(_patches(x, inside, size, scales, _means)[:, k])
    return np.stack(found, 1)


@slip(
    "taxonomy.glimpse",
    "the border of zeros is too narrow for the widest patch",
    rung="runs",
    read="(4.22)",
)
def glimpse_narrow_border(x, centre, size, scales):
    """The widest patch reaches half of size 2^(scales - 1) beyond a corner, not size."""
    return _patches(x, _nearest(x, centre), size, scales, _means, border=size)


@slip("taxonomy.reinforce_grad", "the baseline is left out", rung="probes", read="(4.25)")
def reinforce_no_baseline(mean, place, sigma, reward, baseline):
    """Right on average, and much noisier."""
    return right.reinforce_grad(mean, place, sigma, reward, np.zeros_like(baseline))


@slip("taxonomy.reinforce_grad", "the sign is turned", rung="probes", read="(4.24)")
def reinforce_sign(mean, place, sigma, reward, baseline):
    """Towards what was rewarded: place less mean."""
    return -right.reinforce_grad(mean, place, sigma, reward, baseline)


@slip("taxonomy.reinforce_grad", "divided by sigma, not by sigma²", rung="probes", read="(4.24)")
def reinforce_sigma(mean, place, sigma, reward, baseline):
    """The derivative of -(p - mu)²/(2 sigma²) for mu."""
    return right.reinforce_grad(mean, place, sigma, reward, baseline) * sigma


@slip("taxonomy.reinforce_grad", "a sum over the batch", rung="probes", read="(4.25)")
def reinforce_sum(mean, place, sigma, reward, baseline):
    """The mean reward of the batch is wanted."""
    return right.reinforce_grad(mean, place, sigma, reward, baseline) * mean.shape[1]


@slip("taxonomy.reinforce_grad", "a mean over time, too", rung="probes", read="(4.25)")
def reinforce_mean_over_time(mean, place, sigma, reward, baseline):
    """Each step's choice has a gradient of its own."""
    return right.reinforce_grad(mean, place, sigma, reward, baseline) / len(mean)


def _window(
    params, A, B, N, middle=None, stride=None, norm=None, spread=None, first_point=1, first_pixel=1
):
    """The window with some of its parts replaced."""
    cx, cy, log_variance, log_stride, log_gamma = params.T
    stride = stride or (lambda: (max(A, B) - 1) / (N - 1) * np.exp(log_stride))
    middle = middle or (lambda centre, pixels: (pixels + 1) / 2 * (centre + 1))
    norm = norm or (lambda F: F / np.maximum(F.sum(-1, keepdims=True), 1e-8))
    spread = spread or (lambda: np.exp(log_variance))

    def bank(centre, pixels):
        offset = np.arange(N) + first_point - N / 2 - 0.5
        mu = middle(centre, pixels)[:, None] + offset * stride()[:, None]
        away = np.arange(pixels) + first_pixel - mu[..., None]
        return norm(np.exp(-(away**2) / (2 * spread()[:, None, None])))

    return bank(cx, A), bank(cy, B), np.exp(log_gamma)


@slip("taxonomy.gaussian_window", "pixels are counted from 0", rung="probes", read="(4.27)")
def window_from_zero(params, A, B, N):
    """a = 1 ... A: an index of the array is one less."""
    return _window(params, A, B, N, first_pixel=0)


@slip("taxonomy.gaussian_window", "points are counted from 0", rung="probes", read="(4.27)")
def window_points_from_zero(params, A, B, N):
    """i = 1 ... N, so that the offsets sum to 0."""
    return _window(params, A, B, N, first_point=0)


@slip(
    "taxonomy.gaussian_window", "points and pixels are counted from 0", rung="probes", read="(4.27)"
)
def window_all_from_zero(params, A, B, N):
    """Both begin at 1, in (4.27)."""
    return _window(params, A, B, N, first_point=0, first_pixel=0)


@slip("taxonomy.gaussian_window", "the middle is (A - 1)/2", rung="probes", read="(4.27)")
def window_middle(params, A, B, N):
    """Pixels are 1 ... A, so the middle is (A + 1)/2."""
    return _window(params, A, B, N, middle=lambda c, pixels: (pixels - 1) / 2 * (c + 1))


@slip("taxonomy.gaussian_window", "the rows do not sum to 1", rung="probes", read="(4.27)")
def window_unnormed(params, A, B, N):
    """Each row is divided by its sum."""
    return _window(params, A, B, N, norm=lambda F: F)


@slip("taxonomy.gaussian_window", "the sum runs over the points", rung="probes", read="(4.27)")
def window_other_axis(params, A, B, N):
    """Each row, over the pixels, sums to 1."""
    return _window(params, A, B, N, norm=lambda F: F / np.maximum(F.sum(1, keepdims=True), 1e-8))


@slip("taxonomy.gaussian_window", "the variance is taken for sigma", rung="probes", read="(4.27)")
def window_sigma(params, A, B, N):
    """exp of the third parameter is the variance, sigma squared."""
    return _window(params, A, B, N, spread=lambda: np.exp(2 * params[:, 2]))


@slip(
    "taxonomy.gaussian_window",
    "the stride's logarithm is taken as it is",
    rung="probes",
    read="(4.27)",
)
def window_log_stride(params, A, B, N):
    """exp is missing."""
    return _window(params, A, B, N, stride=lambda: (max(A, B) - 1) / (N - 1) * params[:, 3])


@slip("taxonomy.gaussian_window", "x and y are swapped", rung="shapes", read="(4.27)")
def window_swapped(params, A, B, N):
    """F_x has A columns."""
    F_x, F_y, gamma = right.gaussian_window(params, A, B, N)
    return F_y, F_x, gamma


@slip(
    "taxonomy.gaussian_window", "each direction has a stride of its own", rung="probes",
    read="(4.27)",
)  # fmt: skip
def window_two_strides(params, A, B, N):
    """max(A, B): the grid is square."""
    stride = np.exp(params[:, 3]) / (N - 1)
    F_x, _, gamma = _window(params, A, B, N, stride=lambda: (A - 1) * stride)
    return F_x, _window(params, A, B, N, stride=lambda: (B - 1) * stride)[1], gamma


@slip("taxonomy.gaussian_window", "a division by 0 far outside", rung="properties", read="(4.27)")
def window_no_guard(params, A, B, N):
    """A row may lie so far outside that its sum is 0."""
    return _window(params, A, B, N, norm=lambda F: F / F.sum(-1, keepdims=True))


@slip("taxonomy.latent_cost", "the 1 is not subtracted", rung="probes", read="(4.28)")
def latent_no_one(mu, sigma):
    """The prior itself costs nothing."""
    return 0.5 * (mu**2 + sigma**2 - np.log(sigma**2)).sum((0, 2))


@slip("taxonomy.latent_cost", "log sigma instead of log sigma²", rung="probes", read="(4.28)")
def latent_log_sigma(mu, sigma):
    """The logarithm of the variance."""
    return 0.5 * (mu**2 + sigma**2 - np.log(sigma) - 1).sum((0, 2))


@slip("taxonomy.latent_cost", "the half is missing", rung="probes", read="(4.28)")
def latent_no_half(mu, sigma):
    """Half the sum."""
    return 2 * right.latent_cost(mu, sigma)


@slip("taxonomy.latent_cost", "a mean over the steps", rung="probes", read="(4.28)")
def latent_mean(mu, sigma):
    """Every step's latents are paid for."""
    return right.latent_cost(mu, sigma) / len(mu)


@slip("taxonomy.latent_cost", "the divergence the other way round", rung="probes", read="(4.28)")
def latent_reversed(mu, sigma):
    """KL(q || prior), not KL(prior || q)."""
    return 0.5 * ((1 + mu**2) / sigma**2 + np.log(sigma**2) - 1).sum((0, 2))
