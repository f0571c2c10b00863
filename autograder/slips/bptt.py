"""Chapter 3: the mistakes that people make when they derive and code BPTT."""

from __future__ import annotations

import numpy as np
import torch

from autograder.slip import slip
from solutions import bptt as right

# Forward.


def _run(x, h0, U, W, b, step):
    """All states by a step that may be wrong: step(input's share, previous state, t)."""
    driven = x @ U.T + b
    states = []
    for t in range(len(x)):
        states.append(step(driven[t], states[-1] if states else h0, t))
    return np.stack(states)


@slip("bptt.forward", "W is transposed", rung="probes", read="(3.1)")
def forward_transposed(x, h0, U, W, b, V, c):
    """Batch rows need h @ W.T."""
    h = _run(x, h0, U, W, b, lambda a, before, t: np.tanh(a + before @ W))
    return h, h @ V.T + c


@slip("bptt.forward", "h(0) is taken as zero", rung="probes", read="(3.1)")
def forward_no_initial_state(x, h0, U, W, b, V, c):
    """The initial state is an argument."""
    h = _run(x, np.zeros_like(h0), U, W, b, lambda a, before, t: np.tanh(a + before @ W.T))
    return h, h @ V.T + c


@slip("bptt.forward", "every step starts from h(0)", rung="probes", read="(3.1)")
def forward_stuck(x, h0, U, W, b, V, c):
    """The state is never handed on."""
    h = np.tanh(x @ U.T + b + h0 @ W.T)
    return h, h @ V.T + c


@slip("bptt.forward", "the output reads the previous state", rung="probes", read="(3.3)")
def forward_late_output(x, h0, U, W, b, V, c):
    """The output at t reads h(t), not h(t-1)."""
    h, _ = right.forward(x, h0, U, W, b, V, c)
    return h, np.concatenate([h0[None], h[:-1]]) @ V.T + c


@slip("bptt.forward", "h(0) is returned among the states", rung="shapes", read="(3.2)")
def forward_one_too_many(x, h0, U, W, b, V, c):
    """T inputs give T states."""
    h, o = right.forward(x, h0, U, W, b, V, c)
    return np.concatenate([h0[None], h]), o


@slip("bptt.forward", "tanh is applied to the outputs too", rung="probes", read="(3.3)")
def forward_tanh_output(x, h0, U, W, b, V, c):
    """The outputs are linear in the state."""
    h, o = right.forward(x, h0, U, W, b, V, c)
    return h, np.tanh(o)


@slip("bptt.forward", "tanh is missing", rung="probes", read="(3.2)")
def forward_linear(x, h0, U, W, b, V, c):
    """a(t) is taken for h(t)."""
    h = _run(x, h0, U, W, b, lambda a, before, t: a + before @ W.T)
    return h, h @ V.T + c


@slip("bptt.forward", "a(t) is handed on instead of h(t)", rung="probes", read="(3.1)")
def forward_before_tanh(x, h0, U, W, b, V, c):
    """tanh is applied to what is returned, not to what the next step gets."""
    a = _run(x, h0, U, W, b, lambda a, before, t: a + before @ W.T)
    h = np.tanh(a)
    return h, h @ V.T + c


@slip("bptt.forward", "the logistic function instead of tanh", rung="probes", read="(3.2)")
def forward_logistic(x, h0, U, W, b, V, c):
    """States between 0 and 1."""
    h = _run(x, h0, U, W, b, lambda a, before, t: 1 / (1 + np.exp(-(a + before @ W.T))))
    return h, h @ V.T + c


@slip(
    "bptt.forward",
    "all your steps are equal: one array was appended again and again",
    rung="probes",
    read="(3.2)",
)
def forward_one_array(x, h0, U, W, b, V, c):
    """A list of T references to one array, overwritten at each step: append a copy."""
    h, _ = right.forward(x, h0, U, W, b, V, c)
    h = np.broadcast_to(h[-1], h.shape)
    return h, h @ V.T + c


@slip("bptt.forward", "the biases are left out", rung="probes", read="(3.1), (3.3)")
def forward_no_bias(x, h0, U, W, b, V, c):
    """Neither b nor c is used."""
    return right.forward(x, h0, U, W, np.zeros_like(b), V, np.zeros_like(c))


# Loss.


def _minus_log_p(o, y):
    o = o - o.max(axis=-1, keepdims=True)
    log_p = o - np.log(np.exp(o).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0]


@slip("bptt.loss", "the mask is ignored", rung="probes", read="(3.5)")
def loss_unmasked(o, y, mask):
    """Padding counts as if it were data."""
    return _minus_log_p(o, y).sum()


@slip("bptt.loss", "a mean over the steps instead of a sum", rung="probes", read="(3.5)")
def loss_mean(o, y, mask):
    """The usual default of libraries."""
    return (_minus_log_p(o, y) * mask).sum() / max(mask.sum(), 1)


@slip("bptt.loss", "a mean over the batch instead of a sum", rung="probes", read="(3.5)")
def loss_batch_mean(o, y, mask):
    """Divides by B."""
    return (_minus_log_p(o, y) * mask).sum() / o.shape[1]


@slip("bptt.loss", "a mean over time and batch instead of a sum", rung="probes", read="(3.5)")
def loss_mean_all(o, y, mask):
    """np.mean instead of np.sum: padding is counted in the divisor, too."""
    return (_minus_log_p(o, y) * mask).mean()


@slip("bptt.loss", "the softmax runs over the batch", rung="probes", read="(3.4)")
def loss_wrong_axis(o, y, mask):
    """axis=1 in an array of shape (T, B, K)."""
    weight = np.exp(o - o.max())
    p = weight / weight.sum(axis=1, keepdims=True)
    return -(np.log(np.take_along_axis(p, y[..., None], axis=-1)[..., 0]) * mask).sum()


@slip("bptt.loss", "the softmax is applied twice", rung="probes", read="(3.4)")
def loss_softmax_twice(o, y, mask):
    """The loss is given probabilities, and takes them for outputs before the softmax."""
    return (_minus_log_p(_softmax(o), y) * mask).sum()


@slip("bptt.loss", "the exponential overflows", rung="properties", read="(3.4)")
def loss_overflow(o, y, mask):
    """exp(1000) is infinite."""
    p = np.exp(o) / np.exp(o).sum(axis=-1, keepdims=True)
    return -(np.log(np.take_along_axis(p, y[..., None], axis=-1)[..., 0]) * mask).sum()


def _softmax(o):
    weight = np.exp(o - o.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


@slip(
    "bptt.loss", "the logarithm of a softmax that is rounded to 0", rung="properties", read="(3.4)"
)
def loss_log_softmax(o, y, mask):
    """log(softmax(o)) is -inf where log(sum) - o is 1000."""
    p = np.take_along_axis(_softmax(o), y[..., None], axis=-1)[..., 0]
    return -(np.log(p) * mask).sum()


@slip("bptt.loss", "a guard inside the logarithm", rung="properties", read="(3.4)")
def loss_guarded(o, y, mask):
    """log(p + 1e-12) never goes below -27.63, which is -1000 in truth."""
    p = np.take_along_axis(_softmax(o), y[..., None], axis=-1)[..., 0]
    return -(np.log(p + 1e-12) * mask).sum()


@slip("bptt.loss", "one maximum for the whole array", rung="properties", read="(3.4)")
def loss_one_maximum(o, y, mask):
    """The maximum is wanted over the classes, for each step and sequence."""
    o = o - o.max()
    log_z = np.log(np.exp(o).sum(axis=-1))
    return ((log_z - np.take_along_axis(o, y[..., None], axis=-1)[..., 0]) * mask).sum()


@slip(
    "bptt.loss",
    "one maximum for the whole array, and the logarithm of the rounded softmax",
    rung="properties",
    read="(3.4)",
)
def loss_one_maximum_log(o, y, mask):
    """The two slips above at once."""
    return loss_overflow(o - o.max(), y, mask)


EVERY = "[:, :, y] takes every target at every step; use np.take_along_axis(..., y[..., None], -1)"


@slip("bptt.loss", EVERY, rung="probes", read="(3.5)")
def loss_every_target(o, y, mask):
    """log_p[:, :, y] has shape (T, B, T, B)."""
    o = o - o.max(axis=-1, keepdims=True)
    log_p = o - np.log(np.exp(o).sum(axis=-1, keepdims=True))
    return -(log_p[:, :, y] * mask).sum()


@slip("bptt.loss", "the minus sign is missing", rung="probes", read="(3.5)")
def loss_sign(o, y, mask):
    """A log-likelihood, not a loss."""
    return -(_minus_log_p(o, y) * mask).sum()


# Gradient at the outputs.


@slip("bptt.grad_o", "the mask is ignored", rung="values", read="(3.7)")
def grad_o_unmasked(o, y, mask):
    """Padding pulls at the weights."""
    return right.grad_o(o, y, np.ones_like(mask))


@slip("bptt.grad_o", "a mean over the batch instead of a sum", rung="probes", read="(3.7)")
def grad_o_batch_mean(o, y, mask):
    """Divides by B."""
    return right.grad_o(o, y, mask) / o.shape[1]


@slip("bptt.grad_o", "a mean over time and batch instead of a sum", rung="probes", read="(3.7)")
def grad_o_mean(o, y, mask):
    """Divides by T times B."""
    return right.grad_o(o, y, mask) / mask.size


@slip("bptt.grad_o", "a mean over the steps instead of a sum", rung="probes", read="(3.7)")
def grad_o_mean_steps(o, y, mask):
    """Divides by the number of steps that count."""
    return right.grad_o(o, y, mask) / mask.sum()


@slip("bptt.grad_o", "the exponential overflows", rung="properties", read="(3.4)")
def grad_o_overflow(o, y, mask):
    """exp(1000) is infinite."""
    p = np.exp(o) / np.exp(o).sum(axis=-1, keepdims=True)
    return (p - np.eye(o.shape[-1])[y]) * mask[..., None]


@slip("bptt.grad_o", "one maximum for the whole array", rung="properties", read="(3.4)")
def grad_o_one_maximum(o, y, mask):
    """The maximum is wanted over the classes, for each step and sequence."""
    return grad_o_overflow(o - o.max(), y, mask)


@slip("bptt.grad_o", "the sign is turned", rung="probes", read="(3.7)")
def grad_o_sign(o, y, mask):
    """Target minus prediction."""
    return -right.grad_o(o, y, mask)


@slip("bptt.grad_o", "the softmax runs over the batch", rung="probes", read="(3.4)")
def grad_o_wrong_axis(o, y, mask):
    """axis=1 in an array of shape (T, B, K)."""
    weight = np.exp(o - o.max())
    p = weight / weight.sum(axis=1, keepdims=True)
    return (p - np.eye(o.shape[-1])[y]) * mask[..., None]


@slip(
    "bptt.grad_o",
    "[:, :, y] takes every target at every step; subtract np.eye(K)[y], which is (T, B, K)",
    rung="probes",
    read="(3.7)",
)
def grad_o_every_target(o, y, mask):
    """Each class that is a target anywhere loses 1 at every step and in every sequence."""
    p = _softmax(o)
    p[:, :, y] -= 1
    return p * mask[..., None]


@slip("bptt.grad_o", "the 1 at the target is not subtracted", rung="probes", read="(3.7)")
def grad_o_no_target(o, y, mask):
    """The softmax alone."""
    return right.grad_o(o, y, mask) + np.eye(o.shape[-1])[y] * mask[..., None]


@slip("bptt.grad_o", "the maximum is subtracted in place", rung="arguments", read="(3.4)")
def grad_o_in_place(o, y, mask):
    """o -= ... changes the caller's outputs."""
    o -= o.max(axis=-1, keepdims=True)
    return right.grad_o(o, y, mask)


# Gradient at the states.


def _walk(do, h, V, back):
    """Walk back through time with a step that may be wrong: back(dh[t], t) is the carry."""
    dh = do @ V
    carry = np.zeros_like(h[0])
    for t in reversed(range(len(h))):
        dh[t] += carry
        carry = back(dh[t], t)
    return dh


@slip("bptt.grad_h", "the gradient from h(t+1) was dropped", rung="probes", read="(3.9)")
def grad_h_immediate(do, h, W, V):
    """The immediate gradient is taken for the total one."""
    return do @ V


@slip("bptt.grad_h", "W is transposed", rung="probes", read="(3.9)")
def grad_h_transposed(do, h, W, V):
    """W' on a column is @ W on a row."""
    return _walk(do, h, V, lambda total, t: ((1 - h[t] ** 2) * total) @ W.T)


@slip("bptt.grad_h", "tanh' was dropped", rung="probes", read="(3.9)")
def grad_h_no_slope(do, h, W, V):
    """As if the network were linear."""
    return _walk(do, h, V, lambda total, t: total @ W)


@slip("bptt.grad_h", "tanh' is taken at h(t) instead of h(t+1)", rung="probes", read="(3.9)")
def grad_h_early_slope(do, h, W, V):
    """The factor belongs to the step that the gradient comes from."""
    return _walk(do, h, V, lambda total, t: (1 - h[max(t - 1, 0)] ** 2) * (total @ W))


@slip("bptt.grad_h", "tanh' is taken at h(t), and before W meets it", rung="probes", read="(3.9)")
def grad_h_wrong_slope(do, h, W, V):
    """((1 - h[t]**2) * dh[t + 1]) @ W: the index of the receiving step."""
    return _walk(do, h, V, lambda total, t: ((1 - h[max(t - 1, 0)] ** 2) * total) @ W)


@slip("bptt.grad_h", "tanh' comes after W instead of before", rung="probes", read="(3.9)")
def grad_h_late_slope(do, h, W, V):
    """(1 - h[t + 1]**2) * (dh[t + 1] @ W): diag and W' do not commute."""
    return _walk(do, h, V, lambda total, t: (1 - h[t] ** 2) * (total @ W))


@slip("bptt.grad_h", "h is put through tanh a second time", rung="probes", read="(3.9)")
def grad_h_tanh_twice(do, h, W, V):
    """tanh'(a) is 1 - h^2: h is tanh a already."""
    return _walk(do, h, V, lambda total, t: ((1 - np.tanh(h[t]) ** 2) * total) @ W)


@slip("bptt.grad_h", "the square is missing in 1 - h^2", rung="probes", read="(3.9)")
def grad_h_no_square(do, h, W, V):
    """1 - h."""
    return _walk(do, h, V, lambda total, t: ((1 - h[t]) * total) @ W)


@slip("bptt.grad_h", "only the last step's loss is followed", rung="probes", read="(3.9)")
def grad_h_last_loss(do, h, W, V):
    """V' do(t) belongs to every step."""
    last = np.zeros_like(do)
    last[-1] = do[-1]
    return right.grad_h(last, h, W, V)


@slip("bptt.grad_h", "the gradient goes back one step only", rung="probes", read="(3.9)")
def grad_h_one_step(do, h, W, V):
    """What is carried on must be the total, not the immediate gradient."""
    immediate = do @ V
    dh = immediate.copy()
    dh[:-1] += ((1 - h[1:] ** 2) * immediate[1:]) @ W
    return dh


@slip("bptt.grad_h", "this is the gradient at a(t), not at h(t)", rung="probes", read="(3.9)")
def grad_h_at_a(do, h, W, V):
    """tanh' of the step itself comes only in (3.10)."""
    return right.grad_h(do, h, W, V) * (1 - h**2)


@slip(
    "bptt.grad_h",
    "tanh' is on the road through o(t), too: o(t) is linear in h(t), do @ V has no slope",
    rung="probes",
    read="(3.9)",
)
def grad_h_slope_on_output(do, h, W, V):
    """Only the road through h(t+1) passes a tanh."""
    return right.grad_h((1 - h**2) * (do @ V), h, W, np.eye(h.shape[-1]))


@slip(
    "bptt.grad_h",
    "tanh' of step t is on both roads: h(t) is already behind its own tanh",
    rung="probes",
    read="(3.9)",
)
def grad_h_slope_on_both(do, h, W, V):
    """The slope of the step itself comes only in (3.10)."""
    dh, carry = np.zeros_like(h), 0.0
    for t in reversed(range(len(h))):
        dh[t] = (1 - h[t] ** 2) * (do[t] @ V + carry)
        carry = ((1 - h[t] ** 2) * dh[t]) @ W
    return dh


@slip("bptt.grad_h", "the slopes are written over h", rung="arguments", read="(3.9)")
def grad_h_in_place(do, h, W, V):
    """The forward pass's states are lost."""
    np.subtract(1, h * h, out=h)
    return _walk(do, h, V, lambda total, t: (h[t] * total) @ W)


# Gradients of the parameters.


def _five(dh, do, x, h, h0, **wrong):
    """All five, with some replaced."""
    names = ("dU", "dW", "db", "dV", "dc")
    good = dict(zip(names, right.grad_params(dh, do, x, h, h0), strict=True))
    return tuple({**good, **wrong}.values())


@slip("bptt.grad_params", "tanh' was dropped", rung="probes", read="(3.10)", part="dW")
def params_no_slope(dh, do, x, h, h0):
    """dh is used where da belongs: spoils dU, dW and db."""
    before = np.concatenate([h0[None], h[:-1]])
    return _five(
        dh,
        do,
        x,
        h,
        h0,
        dU=np.einsum("tbh,tbd->hd", dh, x),
        dW=np.einsum("tbh,tbj->hj", dh, before),
        db=dh.sum((0, 1)),
    )


@slip(
    "bptt.grad_params",
    "W's gradient meets h(t), not h(t-1)",
    rung="probes",
    read="(3.14)",
    part="dW",
)
def params_late_state(dh, do, x, h, h0):
    """W acts on the previous state."""
    return _five(dh, do, x, h, h0, dW=np.einsum("tbh,tbj->hj", dh * (1 - h * h), h))


@slip(
    "bptt.grad_params",
    "the first step, with h(0), is left out",
    rung="probes",
    read="(3.14)",
    part="dW",
)
def params_no_initial_state(dh, do, x, h, h0):
    """h(0) need not be zero."""
    da = dh * (1 - h * h)
    return _five(dh, do, x, h, h0, dW=np.einsum("tbh,tbj->hj", da[1:], h[:-1]))


@slip("bptt.grad_params", "W's gradient is transposed", rung="probes", read="(3.14)", part="dW")
def params_transposed(dh, do, x, h, h0):
    """The outer product is da h', not h da'."""
    return _five(dh, do, x, h, h0, dW=right.grad_params(dh, do, x, h, h0)[1].T)


@slip(
    "bptt.grad_params",
    "only the last step's copy of W counts",
    rung="probes",
    read="(3.18)",
    part="dW",
)
def params_last_copy(dh, do, x, h, h0):
    """The immediate derivative is taken for the total one."""
    before = np.concatenate([h0[None], h[:-1]])
    da = dh * (1 - h * h)
    return _five(dh, do, x, h, h0, dW=da[-1].T @ before[-1])


@slip(
    "bptt.grad_params",
    "only the last step's copy of U counts",
    rung="probes",
    read="(3.15)",
    part="dU",
)
def params_last_input(dh, do, x, h, h0):
    """The sum over time is missing."""
    return _five(dh, do, x, h, h0, dU=(dh * (1 - h * h))[-1].T @ x[-1])


@slip(
    "bptt.grad_params",
    "a mean over the batch instead of a sum",
    rung="probes",
    read="(3.11)-(3.15)",
    part="db",
)
def params_batch_mean(dh, do, x, h, h0):
    """Divides all five by B."""
    return tuple(grad / x.shape[1] for grad in right.grad_params(dh, do, x, h, h0))


@slip(
    "bptt.grad_params",
    "a mean over time and batch instead of a sum",
    rung="probes",
    read="(3.11)-(3.15)",
    part="db",
)
def params_mean(dh, do, x, h, h0):
    """Divides all five by T times B."""
    return tuple(grad / x[..., 0].size for grad in right.grad_params(dh, do, x, h, h0))


@slip("bptt.grad_params", "the batch is not summed over", rung="shapes", read="(3.12)", part="db")
def params_batch_left(dh, do, x, h, h0):
    """One gradient for each sequence."""
    return _five(dh, do, x, h, h0, db=(dh * (1 - h * h)).sum(0), dc=do.sum(0))


@slip(
    "bptt.grad_params",
    "V's gradient meets h(t-1), not h(t)",
    rung="probes",
    read="(3.13)",
    part="dV",
)
def params_early_state(dh, do, x, h, h0):
    """V acts on the state of the same step."""
    before = np.concatenate([h0[None], h[:-1]])
    return _five(dh, do, x, h, h0, dV=np.einsum("tbk,tbh->kh", do, before))


@slip("bptt.grad_params", "V's gradient is transposed", rung="shapes", read="(3.13)", part="dV")
def params_transposed_v(dh, do, x, h, h0):
    """The outer product is do h', not h do'."""
    return _five(dh, do, x, h, h0, dV=right.grad_params(dh, do, x, h, h0)[3].T)


@slip(
    "bptt.grad_params",
    "only the last step's output counts",
    rung="probes",
    read="(3.11)",
    part="dc",
)
def params_last_output(dh, do, x, h, h0):
    """The sum over time is missing."""
    return _five(dh, do, x, h, h0, dc=do[-1].sum(0))


# Clipping.


@slip("bptt.clip", "each array is clipped by its own norm", rung="probes", read="(3.26)")
def clip_each(grads, max_norm):
    """The direction changes."""
    norms = [np.linalg.norm(g) for g in grads]
    clipped = [g * min(1.0, max_norm / max(n, 1e-300)) for g, n in zip(grads, norms, strict=True)]
    return clipped, np.sqrt(sum(n * n for n in norms))


@slip("bptt.clip", "entries are clipped, not the norm", rung="probes", read="(3.26)")
def clip_by_value(grads, max_norm):
    """np.clip changes the direction."""
    return [np.clip(g, -max_norm, max_norm) for g in grads], right.clip(grads, max_norm)[1]


@slip("bptt.clip", "short gradients are stretched", rung="probes", read="(3.26)")
def clip_always(grads, max_norm):
    """min(1, ...) is missing."""
    norm = right.clip(grads, max_norm)[1]
    return [g * (max_norm / norm if norm else 1.0) for g in grads], norm


@slip(
    "bptt.clip",
    "the norms of the arrays are added: add their squares, then take one root",
    rung="probes",
    read="(3.26)",
)
def clip_sum_of_norms(grads, max_norm):
    """sqrt of the sum of all squares."""
    norm = sum(np.linalg.norm(g) for g in grads)
    return [g * (min(1.0, max_norm / norm) if norm else 1.0) for g in grads], norm


@slip("bptt.clip", "the root is missing in the norm", rung="probes", read="(3.26)")
def clip_square(grads, max_norm):
    """The squared norm is compared with max_norm."""
    norm = sum((g * g).sum() for g in grads)
    return [g * (min(1.0, max_norm / norm) if norm else 1.0) for g in grads], norm


@slip("bptt.clip", "the norm after clipping is returned", rung="probes", read="(3.26)")
def clip_norm_after(grads, max_norm):
    """The norm before clipping is what one watches."""
    clipped, norm = right.clip(grads, max_norm)
    return clipped, min(norm, max_norm)


@slip("bptt.clip", "the gradients are scaled in place", rung="arguments", read="(3.26)")
def clip_in_place(grads, max_norm):
    """The caller's arrays change."""
    norm = right.clip(grads, max_norm)[1]
    for g in grads:
        g *= min(1.0, max_norm / norm)
    return grads, norm


# Truncation.


@slip("bptt.truncated", "the cut is one step too early", rung="probes", read="(3.27)")
def truncated_early(do, h, W, V, k):
    """Cuts between t and t - 1 where t, not t - 1, is a multiple of k."""
    return _walk(
        do,
        h,
        V,
        lambda total, t: ((1 - h[t] ** 2) * total) @ W * ((t + 1) % k != 0),
    )


@slip(
    "bptt.truncated",
    "t counts from 1 in (3.27), from 0 in your loop",
    rung="probes",
    read="(3.27)",
)
def truncated_zero_based(do, h, W, V, k):
    """Cuts where the index of the receiving step, not its number, is a multiple of k."""
    return _walk(do, h, V, lambda total, t: ((1 - h[t] ** 2) * total) @ W * ((t - 1) % k != 0))


@slip("bptt.truncated", "the chunks are counted from the end", rung="values", read="(3.27)")
def truncated_from_end(do, h, W, V, k):
    """Only the last chunk may be shorter."""
    steps = len(h)
    return _walk(
        do,
        h,
        V,
        lambda total, t: ((1 - h[t] ** 2) * total) @ W * ((steps - t) % k != 0),
    )


@slip("bptt.truncated", "nothing is truncated", rung="probes", read="(3.27)")
def truncated_not(do, h, W, V, k):
    """k is not used."""
    return right.grad_h(do, h, W, V)


@slip("bptt.truncated", "only the last chunk has gradients", rung="probes", read="(3.27)")
def truncated_last_chunk(do, h, W, V, k):
    """Every chunk has its own losses."""
    dh = right.truncated(do, h, W, V, k)
    dh[: (len(h) - 1) // k * k] = 0.0
    return dh


@slip("bptt.truncated", "a sliding window instead of chunks", rung="probes", read="(3.27)")
def truncated_window(do, h, W, V, k):
    """Each loss goes back k steps, wherever it stands."""
    dh = np.zeros_like(h)
    for t in range(len(h)):
        carry = do[t] @ V
        for s in range(t, max(t - k, -1), -1):
            dh[s] += carry
            carry = ((1 - h[s] ** 2) * carry) @ W
    return dh


# Real-time recurrent learning.


def _every_term(slope, W, P, copy):
    return slope * (np.einsum("il,bljk->bijk", W, P) + copy)


def _rtrl(g, x, h0, U, W, b, recursion=_every_term, late=False):
    """RTRL with a recursion that may be wrong: recursion(slope, W, before, copy)."""
    (B, H), D = h0.shape, x.shape[-1]
    P, total, h = np.zeros((B, H, H, H + D + 1)), np.zeros((H, H + D + 1)), h0
    for t in range(len(x)):
        before, h = h, np.tanh(x[t] @ U.T + h @ W.T + b)
        z = np.concatenate([h if late else before, x[t], np.ones((B, 1))], axis=1)
        copy = np.eye(H)[None, :, :, None] * z[:, None, None, :]
        P = recursion((1 - h * h)[:, :, None, None], W, P, copy)
        total += np.einsum("bi,bijk->jk", g[t], P)
    return total[:, H : H + D], total[:, :H], total[:, -1]


@slip("bptt.rtrl", "the influence of the past is dropped", rung="probes", read="(3.20)")
def rtrl_immediate(g, x, h0, U, W, b):
    """Only each step's own copy of the parameters counts."""
    return _rtrl(g, x, h0, U, W, b, lambda slope, W, P, copy: slope * copy)


@slip("bptt.rtrl", "tanh' was dropped", rung="probes", read="(3.20)")
def rtrl_no_slope(g, x, h0, U, W, b):
    """As if the network were linear."""
    return _rtrl(
        g,
        x,
        h0,
        U,
        W,
        b,
        lambda slope, W, P, copy: np.einsum("il,bljk->bijk", W, P) + copy,
    )


@slip("bptt.rtrl", "tanh' does not multiply the past", rung="probes", read="(3.20)")
def rtrl_half_slope(g, x, h0, U, W, b):
    """The brackets are missing."""
    return _rtrl(
        g,
        x,
        h0,
        U,
        W,
        b,
        lambda slope, W, P, copy: np.einsum("il,bljk->bijk", W, P) + slope * copy,
    )


@slip("bptt.rtrl", "W is transposed", rung="probes", read="(3.20)")
def rtrl_transposed(g, x, h0, U, W, b):
    """Forward in time it is W, not W'."""
    return _rtrl(
        g,
        x,
        h0,
        U,
        W,
        b,
        lambda slope, W, P, copy: slope * (np.einsum("li,bljk->bijk", W, P) + copy),
    )


@slip("bptt.rtrl", "W's copy meets h(t), not h(t-1)", rung="probes", read="(3.20)")
def rtrl_late_state(g, x, h0, U, W, b):
    """z(t) holds the previous state."""
    return _rtrl(
        g,
        x,
        h0,
        U,
        W,
        b,
        lambda slope, W, P, copy: slope * (np.einsum("il,bljk->bijk", W, P) + copy),
        late=True,
    )


@slip("bptt.rtrl", "the own copy reaches every row, not only i = j", rung="probes", read="(3.20)")
def rtrl_every_row(g, x, h0, U, W, b):
    """The 1 of i = j is missing."""

    def recursion(slope, W, P, copy):
        z = copy.sum(axis=1, keepdims=True)  # each row of copy has z at one i
        return slope * (np.einsum("il,bljk->bijk", W, P) + np.broadcast_to(z, P.shape))

    return _rtrl(g, x, h0, U, W, b, recursion)


@slip("bptt.rtrl", "the blocks of Theta are taken in another order", rung="probes", read="(3.20)")
def rtrl_blocks(g, x, h0, U, W, b):
    """Theta is [W U b]: its first H columns are W's, not U's."""
    dU, dW, db = _rtrl(g, x, h0, U, W, b)
    dtheta = np.concatenate([dW, dU, db[:, None]], axis=1)
    D, H = x.shape[-1], len(W)
    return dtheta[:, :D], dtheta[:, D : D + H], db


@slip("bptt.rtrl", "tanh' does not multiply the own copy", rung="probes", read="(3.20)")
def rtrl_past_slope(g, x, h0, U, W, b):
    """The brackets are missing."""
    return _rtrl(
        g,
        x,
        h0,
        U,
        W,
        b,
        lambda slope, W, P, copy: slope * np.einsum("il,bljk->bijk", W, P) + copy,
    )


@slip("bptt.rtrl", "tanh' is taken at the previous state", rung="probes", read="(3.20)")
def rtrl_early_slope(g, x, h0, U, W, b):
    """The slope belongs to the new state, h(t)."""
    states = [h0, *right.forward(x, h0, U, W, b, np.zeros_like(W), np.zeros_like(b))[0]]
    slopes = iter([(1 - h * h)[:, :, None, None] for h in states])
    return _rtrl(g, x, h0, U, W, b, lambda slope, W, P, copy: _every_term(next(slopes), W, P, copy))


@slip("bptt.rtrl", "only the last step's loss counts", rung="probes", read="(3.20)")
def rtrl_last_loss(g, x, h0, U, W, b):
    """= where += is wanted: the sum over time is missing."""
    last = np.zeros_like(g)
    last[-1] = g[-1]
    return _rtrl(last, x, h0, U, W, b)


@slip("bptt.rtrl", "h(0) is taken as zero", rung="probes", read="(3.20)")
def rtrl_no_initial_state(g, x, h0, U, W, b):
    """The initial state is an argument."""
    return _rtrl(g, x, np.zeros_like(h0), U, W, b)


@slip("bptt.rtrl", "only the first sequence counts", rung="probes", read="(3.20)")
def rtrl_first_sequence(g, x, h0, U, W, b):
    """The sum over the batch is missing."""
    return _rtrl(g[:, :1], x[:, :1], h0[:1], U, W, b)


@slip("bptt.rtrl", "a mean over the batch instead of a sum", rung="probes", read="(3.20)")
def rtrl_batch_mean(g, x, h0, U, W, b):
    """Divides by B."""
    return tuple(grad / len(h0) for grad in _rtrl(g, x, h0, U, W, b))


@slip("bptt.rtrl", "the batch is summed before it meets g", rung="probes", read="(3.20)")
def rtrl_mixed(g, x, h0, U, W, b):
    """Each sequence has a derivative of its own."""

    def recursion(slope, W, P, copy):
        P = _every_term(slope, W, P, copy)
        return np.broadcast_to(P.sum(axis=0), P.shape) if len(P) > 1 else P

    return _rtrl(g, x, h0, U, W, b, recursion)


@slip(
    "bptt.rtrl",
    "W @ P sums over j: einsum('il,bljk->bijk', W, P) sums over the state, l",
    rung="probes",
    read="(3.20)",
)
def rtrl_matmul(g, x, h0, U, W, b):
    """@ sums over the last axis but one of P, which is j."""
    return _rtrl(g, x, h0, U, W, b, lambda slope, W, P, copy: slope * (W @ P + copy))


@slip(
    "bptt.rtrl",
    "the past of all sequences is added up: b must stay on the right of the einsum",
    rung="probes",
    read="(3.20)",
)
def rtrl_past_of_all(g, x, h0, U, W, b):
    """'il,bljk->ijk' sums over the batch."""

    def recursion(slope, W, P, copy):
        return slope * (np.einsum("il,bljk->ijk", W, P) + copy)

    return _rtrl(g, x, h0, U, W, b, recursion)


@slip(
    "bptt.rtrl",
    "something of every step is kept: carry the latest derivative alone",
    rung="properties",
    read="(3.20)",
)
def rtrl_all_kept(g, x, h0, U, W, b):
    """What the equation needs of the past is in the derivative of the step before."""
    kept = []

    def recursion(slope, W, P, copy):
        kept.append(_every_term(slope, W, P, copy))
        return kept[-1]

    return _rtrl(g, x, h0, U, W, b, recursion)


# PyTorch.


def _function(name, title, rung, read, wrong):
    """A slip of RNNFunction: ``wrong(da, carry, ...)`` is the backward pass, in torch."""

    class Spoiled(torch.autograd.Function):
        forward = right.RNNFunction.forward

        @staticmethod
        def backward(ctx, dh):
            x, h0, U, W, h = ctx.saved_tensors
            before = torch.cat([h0[None], h[:-1]])
            return wrong(dh, x, h0, U, W, h, before)

    Spoiled.__name__ = Spoiled.__qualname__ = name
    return slip("bptt.RNNFunction", title, rung=rung, read=read)(Spoiled)


def _torch_back(dh, h0, W, slope, carry_on):
    da, carry = torch.empty_like(dh), torch.zeros_like(h0)
    for t in reversed(range(len(dh))):
        da[t] = (dh[t] + carry) * slope[t]
        carry = carry_on(da[t], dh[t], slope[t])
    return da, carry


def _torch_five(da, dh0, x, U, before):
    flat = da.flatten(0, 1)
    return da @ U, dh0, flat.T @ x.flatten(0, 1), flat.T @ before.flatten(0, 1), flat.sum(0)


def _torch_immediate(dh, x, h0, U, W, h, before):
    da, _ = _torch_back(dh, h0, W, 1 - h * h, lambda da, dh, slope: torch.zeros_like(h0))
    return _torch_five(da, da[0] @ W, x, U, before)


def _torch_transposed(dh, x, h0, U, W, h, before):
    da, carry = _torch_back(dh, h0, W, 1 - h * h, lambda da, dh, slope: da @ W.T)
    return _torch_five(da, carry, x, U, before)


def _torch_no_slope(dh, x, h0, U, W, h, before):
    da, carry = _torch_back(dh, h0, W, torch.ones_like(h), lambda da, dh, slope: da @ W)
    return _torch_five(da, carry, x, U, before)


def _torch_no_dh0(dh, x, h0, U, W, h, before):
    da, _ = _torch_back(dh, h0, W, 1 - h * h, lambda da, dh, slope: da @ W)
    return _torch_five(da, torch.zeros_like(h0), x, U, before)


def _torch_late(dh, x, h0, U, W, h, before):
    da, carry = _torch_back(dh, h0, W, 1 - h * h, lambda da, dh, slope: da @ W)
    return _torch_five(da, carry, x, U, h)


def _torch_none(dh, x, h0, U, W, h, before):
    dx, _, dU, dW, db = right.RNNFunction.backward(_Saved(x, h0, U, W, h), dh)
    return dx, None, dU, dW, db


def _torch_swapped(dh, x, h0, U, W, h, before):
    dx, dh0, dU, dW, db = right.RNNFunction.backward(_Saved(x, h0, U, W, h), dh)
    return dx, dh0, dW, dU, db


def _torch_in_place(dh, x, h0, U, W, h, before):
    carry = torch.zeros_like(h0)
    for t in reversed(range(len(h))):
        dh[t] = (dh[t] + carry) * (1 - h[t] * h[t])
        carry = dh[t] @ W
    return _torch_five(dh, carry, x, U, before)


def _torch_cpu(dh, x, h0, U, W, h, before):
    carry = torch.zeros(h0.shape, dtype=h0.dtype)
    da = torch.zeros(h.shape, dtype=h.dtype)
    for t in reversed(range(len(h))):
        da[t] = (dh[t] + carry) * (1 - h[t] * h[t])
        carry = da[t] @ W
    return _torch_five(da, carry, x, U, before)


def _torch_unsummed(dh, x, h0, U, W, h, before):
    da, carry = _torch_back(dh, h0, W, 1 - h * h, lambda da, dh, slope: da @ W)
    dU, dW = (torch.einsum("tbh,tbd->tbhd", da, each) for each in (x, before))
    return da @ U, carry, dU, dW, da


def _torch_recorded(dh, x, h0, U, W, h, before):
    with torch.enable_grad():
        leaves = [a.detach().requires_grad_() for a in (x, h0, U, W, U.new_zeros(len(U)))]
        steps, state = [], leaves[1]
        for t in range(len(x)):
            at = h[t].atanh() - x[t] @ U.T - before[t] @ W.T
            at = at.detach() + leaves[0][t] @ leaves[2].T + state @ leaves[3].T + leaves[4]
            state = torch.tanh(at)
            steps.append(state)
        return torch.autograd.grad(torch.stack(steps), leaves, dh)


class _Saved:
    """What a context offers to backward."""

    def __init__(self, *tensors):
        self.saved_tensors = tensors


_function(
    "torch_immediate", "the gradient from h(t+1) was dropped", "probes", "(3.9)", _torch_immediate
)
_function("torch_transposed", "W is transposed", "probes", "(3.9)", _torch_transposed)
_function("torch_no_slope", "tanh' was dropped", "probes", "(3.10)", _torch_no_slope)
_function("torch_no_dh0", "h(0) gets a zero gradient", "probes", "(3.16)", _torch_no_dh0)
_function(
    "torch_late_state", "W's gradient meets h(t), not h(t-1)", "probes", "(3.14)", _torch_late
)
_function("torch_none", "h(0) gets no gradient", "shapes", "(3.16)", _torch_none)
_function(
    "torch_swapped", "the gradients are in another order", "shapes", "(3.9)-(3.17)", _torch_swapped
)
_function(
    "torch_unsummed",
    "the gradients are not summed over time and batch",
    "shapes",
    "(3.12), (3.14), (3.15)",
    _torch_unsummed,
)
_function(
    "torch_recorded",
    "autograd is asked inside backward: write the loop of (3.9)",
    "runs",
    "(3.9)",
    _torch_recorded,
)
_function(
    "torch_in_place", "the gradient is written over dh", "arguments", "(3.10)", _torch_in_place
)
_function("torch_cpu", "new tensors are made on the CPU", "properties", "(3.9)", _torch_cpu)


# Training.


def _clipped(grads, max_norm, count):
    return right.clip(grads, max_norm)[0]


def _counted(mask):
    return mask.sum()


def _train(
    params,
    x,
    y,
    mask,
    rate,
    momentum,
    max_norm,
    *,
    mean=True,
    update=None,
    late=False,
    shorten=_clipped,
    divisor=_counted,
    told=_counted,
    carried=False,
):
    """(3.29) with pieces that may be wrong.

    update(velocity, clipped) for each parameter; shorten(gradients, max_norm, steps that count);
    divisor(mask) of the gradient, told(mask) of the curve; carried : the state, between batches
    """
    update = update or (lambda v, g: momentum * v + g)
    velocity, curve, h0 = [np.zeros_like(p) for p in params], [], None
    for x_n, y_n, mask_n in zip(x, y, mask, strict=True):
        if h0 is None or not carried:
            h0 = np.zeros((x_n.shape[1], len(params[1])))
        h, o = right.forward(x_n, h0, *params)
        do = right.grad_o(o, y_n, mask_n) / (divisor(mask_n) if mean else 1.0)
        dh = right.grad_h(do, h, params[1], params[3])
        grads = list(right.grad_params(dh, do, x_n, h, h0))
        grads = shorten(grads, max_norm, mask_n.sum())
        velocity = [update(v, g) for v, g in zip(velocity, grads, strict=True)]
        params = [p - rate * v for p, v in zip(params, velocity, strict=True)]
        if late:
            o = right.forward(x_n, h0, *params)[1]
        curve.append(right.loss(o, y_n, mask_n) / told(mask_n))
        h0 = h[-1]
    return params, np.array(curve)


@slip("bptt.train", "the gradient is not divided", rung="probes", read="(3.29)")
def train_sum(*args):
    """By the sum of the mask, before it is clipped."""
    return _train(*args, mean=False)


@slip("bptt.train", "it climbs instead of descending", rung="probes", read="(3.29)")
def train_ascent(params, x, y, mask, rate, momentum, max_norm):
    """The parameters lose the rate times the velocity."""
    return _train(params, x, y, mask, -rate, momentum, max_norm)


@slip("bptt.train", "the velocity is forgotten", rung="probes", read="(3.29)")
def train_no_momentum(params, x, y, mask, rate, momentum, max_norm):
    """v keeps a share of what it was."""
    return _train(params, x, y, mask, rate, 0.0, max_norm)


@slip("bptt.train", "the gradient enters with 1 - momentum", rung="probes", read="(3.29)")
def train_average(params, x, y, mask, rate, momentum, max_norm):
    """That is a running mean, as in Adam; here the gradient enters whole."""
    args = (params, x, y, mask, rate, momentum, max_norm)
    return _train(*args, update=lambda v, g: momentum * v + (1 - momentum) * g)


@slip("bptt.train", "nothing is clipped", rung="probes", read="(3.26)")
def train_not_clipped(params, x, y, mask, rate, momentum, max_norm):
    """The norm of all five together is at most max_norm."""
    return _train(params, x, y, mask, rate, momentum, np.inf)


@slip("bptt.train", "the loss is taken after the update", rung="probes", read="(3.29)")
def train_late_curve(*args):
    """The curve has each batch's loss before its update."""
    return _train(*args, late=True)


@slip("bptt.train", "every batch meets the first parameters", rung="probes", read="(3.29)")
def train_stuck(params, x, y, mask, rate, momentum, max_norm):
    """Only the last update is returned."""
    one = [
        _train(params, x[n : n + 1], y[n : n + 1], mask[n : n + 1], rate, momentum, max_norm)
        for n in range(len(x))
    ]
    return one[-1][0], np.concatenate([curve for _, curve in one])


@slip(
    "bptt.train",
    "clipped before it is divided: divide by the sum of the mask first",
    rung="probes",
    read="(3.29)",
)
def train_clipped_early(*args):
    """max_norm is meant for the gradient of the mean."""

    def shorten(grads, max_norm, count):
        return [g / count for g in right.clip(grads, max_norm)[0]]

    return _train(*args, mean=False, shorten=shorten)


@slip(
    "bptt.train",
    "the gradient is divided by mask.size: padding is no step, divide by mask.sum()",
    rung="probes",
    read="(3.29)",
)
def train_over_all(*args):
    """The curve is divided as it should be."""
    return _train(*args, divisor=np.size)


@slip(
    "bptt.train",
    "gradient and curve are divided by mask.size: padding is no step, divide by mask.sum()",
    rung="probes",
    read="(3.29)",
)
def train_all_over_all(*args):
    """Both have the same divisor."""
    return _train(*args, divisor=np.size, told=np.size)


@slip(
    "bptt.train",
    "the state goes on from batch to batch: each starts from zeros, shape (B, H)",
    rung="probes",
    read="(3.29)",
)
def train_carried(*args):
    """Every batch starts from states of zero."""
    return _train(*args, carried=True)


@slip(
    "bptt.train",
    "each array is clipped by itself: give clip all five in one list",
    rung="probes",
    read="(3.26)",
)
def train_clipped_alone(*args):
    """One norm, one factor."""

    def shorten(grads, max_norm, count):
        return [right.clip([g], max_norm)[0][0] for g in grads]

    return _train(*args, shorten=shorten)
