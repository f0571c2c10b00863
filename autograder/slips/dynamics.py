"""Chapter 1: the mistakes that people make when they follow, linearise and read orbits."""

from __future__ import annotations

import numpy as np
import torch

from autograder.slip import slip
from solutions import dynamics as right

# An orbit.


def _follow(h0, T, step):
    """T states by a step that may be wrong: step(previous state)."""
    states = []
    for _ in range(T):
        states.append(step(states[-1] if states else h0))
    return np.stack(states)


@slip("dynamics.orbit", "W is transposed", rung="probes", read="(1.3)")
def orbit_transposed(h0, W, b, T):
    """Batch rows need h @ W.T."""
    return _follow(h0, T, lambda h: np.tanh(h @ W + b))


@slip("dynamics.orbit", "every step starts from h(0)", rung="probes", read="(1.1)")
def orbit_stuck(h0, W, b, T):
    """The state is never handed on."""
    return np.stack([np.tanh(h0 @ W.T + b)] * T)


@slip("dynamics.orbit", "h(0) is returned among the states", rung="shapes", read="(1.1)")
def orbit_one_too_many(h0, W, b, T):
    """T steps give T states."""
    return np.concatenate([h0[None], right.orbit(h0, W, b, T)])


@slip("dynamics.orbit", "h(0) is returned, and the last state is not", rung="probes", read="(1.1)")
def orbit_early(h0, W, b, T):
    """The first state returned is h(1)."""
    return np.concatenate([h0[None], right.orbit(h0, W, b, T)[:-1]])


@slip("dynamics.orbit", "tanh is missing", rung="probes", read="(1.3)")
def orbit_linear(h0, W, b, T):
    """What goes into tanh is taken for the state."""
    return _follow(h0, T, lambda h: h @ W.T + b)


@slip("dynamics.orbit", "b is outside the tanh", rung="probes", read="(1.3)")
def orbit_bias_outside(h0, W, b, T):
    """The bias goes into tanh."""
    return _follow(h0, T, lambda h: np.tanh(h @ W.T) + b)


@slip("dynamics.orbit", "only the last state is returned", rung="shapes", read="(1.1)")
def orbit_last(h0, W, b, T):
    """An orbit is all its states."""
    return right.orbit(h0, W, b, T)[-1]


@slip(
    "dynamics.orbit",
    "all your steps are equal: one array was appended again and again",
    rung="probes",
    read="(1.1)",
)
def orbit_one_array(h0, W, b, T):
    """A list of T references to one array: append a copy."""
    h = right.orbit(h0, W, b, T)
    return np.broadcast_to(h[-1], h.shape)


@slip(
    "dynamics.orbit",
    "tanh is applied to what is returned, not to what goes on",
    rung="probes",
    read="(1.1)",
)
def orbit_squashed_late(h0, W, b, T):
    """What goes on is the state, and the state is a tanh."""
    return np.tanh(_follow(h0, T, lambda h: h @ W.T + b))


@slip("dynamics.orbit", "the bias is left out", rung="probes", read="(1.3)")
def orbit_no_bias(h0, W, b, T):
    """b is not used."""
    return right.orbit(h0, W, np.zeros_like(b), T)


# An orbit with a signal.


def _driven(x, h0, U, W, b, step):
    """States by a step that may be wrong: step(input's share, previous state, t)."""
    states = []
    for t in range(len(x)):
        states.append(step(x[t] @ U.T, states[-1] if states else h0, t))
    return np.stack(states)


@slip("dynamics.driven", "W is transposed", rung="probes", read="(1.3)")
def driven_transposed(x, h0, U, W, b):
    """Batch rows need h @ W.T."""
    return _driven(x, h0, U, W, b, lambda push, h, t: np.tanh(push + h @ W + b))


@slip("dynamics.driven", "h(0) is taken as zero", rung="probes", read="(1.2)")
def driven_from_zero(x, h0, U, W, b):
    """The initial state is an argument."""
    return right.driven(x, np.zeros_like(h0), U, W, b)


@slip("dynamics.driven", "the first input is used at every step", rung="probes", read="(1.2)")
def driven_constant(x, h0, U, W, b):
    """x(t) belongs to step t."""
    return right.driven(np.broadcast_to(x[:1], x.shape), h0, U, W, b)


@slip("dynamics.driven", "the input arrives one step late", rung="probes", read="(1.2)")
def driven_late(x, h0, U, W, b):
    """h(t) already knows x(t)."""
    return right.driven(np.concatenate([0 * x[:1], x[:-1]]), h0, U, W, b)


@slip("dynamics.driven", "the state is not handed on", rung="probes", read="(1.2)")
def driven_memoryless(x, h0, U, W, b):
    """Every step starts from h(0)."""
    return _driven(x, h0, U, W, b, lambda push, h, t: np.tanh(push + h0 @ W.T + b))


@slip("dynamics.driven", "the input is outside the tanh", rung="probes", read="(1.3)")
def driven_input_outside(x, h0, U, W, b):
    """U x goes into tanh."""
    return _driven(x, h0, U, W, b, lambda push, h, t: push + np.tanh(h @ W.T + b))


@slip("dynamics.driven", "the bias is left out", rung="probes", read="(1.3)")
def driven_no_bias(x, h0, U, W, b):
    """b is not used."""
    return right.driven(x, h0, U, W, np.zeros_like(b))


@slip("dynamics.driven", "h(0) is returned, and the last state is not", rung="probes", read="(1.2)")
def driven_early(x, h0, U, W, b):
    """The first state returned is h(1); it has read x(1)."""
    states = [h0]
    for t in range(1, len(x)):
        states.append(np.tanh(states[-1] @ W.T + x[t] @ U.T + b))
    return np.stack(states)


@slip("dynamics.driven", "the signal is read from the end", rung="probes", read="(1.2)")
def driven_backwards(x, h0, U, W, b):
    """Step t reads x(t)."""
    return right.driven(x[::-1], h0, U, W, b)


# The Jacobian.


@slip("dynamics.jacobian", "the slope is taken before the step", rung="probes", read="(1.6)")
def jacobian_before(h, W, b):
    """The slope belongs to f(h), not to h: they are the same at a fixed point only."""
    return (1 - h**2)[:, :, None] * W


@slip("dynamics.jacobian", "the slope multiplies columns, not rows", rung="probes", read="(1.6)")
def jacobian_columns(h, W, b):
    """W diag(...) in place of diag(...) W."""
    return W * (1 - np.tanh(h @ W.T + b) ** 2)[:, None, :]


@slip("dynamics.jacobian", "the Jacobian is transposed", rung="probes", read="(1.6)")
def jacobian_transposed(h, W, b):
    """Rows belong to what comes out."""
    return np.swapaxes(right.jacobian(h, W, b), 1, 2)


@slip("dynamics.jacobian", "W is transposed inside the tanh", rung="values", read="(1.6)")
def jacobian_slope_of_transposed(h, W, b):
    """Batch rows need h @ W.T."""
    return (1 - np.tanh(h @ W + b) ** 2)[:, :, None] * W


@slip("dynamics.jacobian", "tanh' was dropped", rung="probes", read="(1.6)")
def jacobian_linear(h, W, b):
    """As if the network were linear."""
    return np.broadcast_to(W, (len(h), *W.shape))


@slip("dynamics.jacobian", "the bias is left out of the slope", rung="probes", read="(1.6)")
def jacobian_no_bias(h, W, b):
    """The slope is taken where the state comes out, bias included."""
    return right.jacobian(h, W, np.zeros_like(b))


@slip("dynamics.jacobian", "tanh' as 1 - tanh", rung="probes", read="(1.6)")
def jacobian_no_square(h, W, b):
    """The square is missing."""
    return (1 - np.tanh(h @ W.T + b))[:, :, None] * W


@slip(
    "dynamics.jacobian", "the slope at the argument, not at the state", rung="probes", read="(1.6)"
)
def jacobian_argument(h, W, b):
    """1 - a² in place of 1 - tanh²(a)."""
    return (1 - (h @ W.T + b) ** 2)[:, :, None] * W


@slip(
    "dynamics.jacobian",
    "W is transposed where the slope multiplies it",
    rung="probes",
    read="(1.6)",
)
def jacobian_of_transposed(h, W, b):
    """Row i of J is row i of W, times a slope; W.T belongs to batch rows only."""
    return (1 - np.tanh(h @ W.T + b) ** 2)[:, :, None] * W.T


# Newton's method.


def _newton(h, W, b, steps, move):
    """Newton's method with a step that may be wrong: move(gap, J)."""
    with np.errstate(all="ignore"):
        for _ in range(steps):
            gap = np.tanh(h @ W.T + b) - h
            h = h + move(gap[:, :, None], right.jacobian(h, W, b))[:, :, 0]
    return h, _radius(h, W, b)


def _radius(h, W, b):
    J = right.jacobian(h, W, b)
    J = np.where(np.isfinite(J), J, 0.0)
    return np.abs(np.linalg.eigvals(J)).max(axis=1)


@slip("dynamics.newton", "the map is iterated: no Newton", rung="probes", read="(1.8)", part="h")
def newton_iterates(h, W, b, steps):
    """An orbit goes to attracting fixed points only."""
    return _newton(h, W, b, steps, lambda gap, J: gap)


@slip("dynamics.newton", "the step has the wrong sign", rung="probes", read="(1.8)", part="h")
def newton_sign(h, W, b, steps):
    """J - I, or I - J with a plus."""
    return _newton(h, W, b, steps, lambda gap, J: np.linalg.solve(J - np.eye(len(b)), gap))


@slip(
    "dynamics.newton", "the identity is missing: f(h) = 0 is solved", rung="probes", read="(1.8)",
    part="h",
)  # fmt: skip
def newton_no_identity(h, W, b, steps):
    """The function whose zero is sought is f(h) - h."""
    return _newton(h, W, b, steps, lambda gap, J: -np.linalg.pinv(J) @ gap)


@slip("dynamics.newton", "only one step is made", rung="probes", read="(1.8)", part="h")
def newton_once(h, W, b, steps):
    """steps says how many."""
    return right.newton(h, W, b, min(steps, 1))


@slip("dynamics.newton", "the Jacobian of the start is kept", rung="probes", read="(1.8)", part="h")
def newton_chord(h, W, b, steps):
    """J is taken anew at each step; else it converges slowly, or not."""
    J = right.jacobian(h, W, b)
    return _newton(h, W, b, steps, lambda gap, _: -np.linalg.solve(J - np.eye(len(b)), gap))


@slip(
    "dynamics.newton", "the largest eigenvalue, not the largest modulus", rung="probes",
    read="(1.7)", part="radius",
)  # fmt: skip
def newton_signed(h, W, b, steps):
    """A negative or complex eigenvalue counts by its modulus."""
    h, _ = right.newton(h, W, b, steps)
    return h, np.linalg.eigvals(right.jacobian(h, W, b)).real.max(axis=1)


@slip(
    "dynamics.newton",
    "the modulus of the largest eigenvalue: take the moduli first, then the max",
    rung="probes",
    read="(1.7)",
    part="radius",
)
def newton_modulus_late(h, W, b, steps):
    """-1.6 is less than 0.7, and its modulus is larger."""
    h, _ = right.newton(h, W, b, steps)
    return h, np.abs(np.linalg.eigvals(right.jacobian(h, W, b)).max(axis=1))


@slip(
    "dynamics.newton", "a norm in place of the spectral radius", rung="probes", read="(1.7)",
    part="radius",
)  # fmt: skip
def newton_norm(h, W, b, steps):
    """The largest singular value bounds one step; the eigenvalues decide in the end."""
    h, _ = right.newton(h, W, b, steps)
    return h, np.linalg.norm(right.jacobian(h, W, b), 2, axis=(1, 2))


@slip(
    "dynamics.newton", "the spectral radius of W, not of J", rung="probes", read="(1.7)",
    part="radius",
)  # fmt: skip
def newton_radius_of_w(h, W, b, steps):
    """The slopes at the fixed point belong to it."""
    h, _ = right.newton(h, W, b, steps)
    return h, np.full(len(h), np.abs(np.linalg.eigvals(W)).max())


@slip("dynamics.newton", "the spectral radius of J - I", rung="probes", read="(1.7)", part="radius")
def newton_radius_shifted(h, W, b, steps):
    """J - I is for Newton's step; J says what an orbit does."""
    h, _ = right.newton(h, W, b, steps)
    return h, np.abs(np.linalg.eigvals(right.jacobian(h, W, b) - np.eye(len(b)))).max(axis=1)


@slip(
    "dynamics.newton", "the spectral radius at the start, not where Newton ends", rung="probes",
    read="(1.7)", part="radius",
)  # fmt: skip
def newton_radius_at_start(h, W, b, steps):
    """The Jacobian is that of the fixed point."""
    return right.newton(h, W, b, steps)[0], _radius(h, W, b)


@slip(
    "dynamics.newton",
    "f(h) stands where the gap f(h) - h belongs",
    rung="probes",
    read="(1.8)",
    part="h",
)
def newton_no_gap(h, W, b, steps):
    """The gap says how far h is from being a fixed point."""
    with np.errstate(all="ignore"):
        for _ in range(steps):
            J = right.jacobian(h, W, b)
            h = h - np.linalg.solve(J - np.eye(len(b)), np.tanh(h @ W.T + b)[:, :, None])[:, :, 0]
    return h, _radius(h, W, b)


@slip(
    "dynamics.newton", "J is transposed in the linear system", rung="probes", read="(1.8)", part="h"
)
def newton_transposed(h, W, b, steps):
    """J - I multiplies a column: solve with it as it is."""
    return _newton(
        h,
        W,
        b,
        steps,
        lambda gap, J: -np.linalg.solve(np.swapaxes(J, 1, 2) - np.eye(len(b)), gap),
    )


# Saddle-nodes.


@slip("dynamics.saddle_node", "b has the other sign", rung="probes", read="(1.11)")
def saddle_sign(w):
    """At h > 0 the bias of the turn is negative."""
    h, b = right.saddle_node(w)
    return h, -b


@slip("dynamics.saddle_node", "h² is returned", rung="probes", read="(1.11)")
def saddle_no_root(w):
    """1 - h² = 1/w."""
    h = 1 - 1 / w
    return h, np.arctanh(h) - w * h


@slip("dynamics.saddle_node", "tanh in place of artanh", rung="probes", read="(1.9)")
def saddle_tanh(w):
    """b + w h is artanh h."""
    h = np.sqrt(1 - 1 / w)
    return h, np.tanh(h) - w * h


@slip("dynamics.saddle_node", "w h is forgotten", rung="probes", read="(1.9)")
def saddle_no_wh(w):
    """b is artanh h less what the unit gives to itself."""
    h = np.sqrt(1 - 1 / w)
    return h, np.arctanh(h)


@slip("dynamics.saddle_node", "the lower of the two turns", rung="probes", read="(1.11)")
def saddle_lower(w):
    """The positive one was asked for."""
    h, b = right.saddle_node(w)
    return -h, -b


@slip(
    "dynamics.saddle_node", "the slope w h² = 1, not w (1 - h²) = 1", rung="probes", read="(1.11)"
)
def saddle_slope(w):
    """tanh' is 1 - h²."""
    h = np.sqrt(1 / w)
    return h, np.arctanh(h) - w * h


@slip("dynamics.saddle_node", "arctan in place of artanh", rung="probes", read="(1.9)")
def saddle_arctan(w):
    """artanh is the inverse of tanh: np.arctanh."""
    h = np.sqrt(1 - 1 / w)
    return h, np.arctan(h) - w * h


@slip("dynamics.saddle_node", "h and b come back in the other order", rung="probes", read="(1.11)")
def saddle_swapped(w):
    """h first."""
    return right.saddle_node(w)[::-1]


# The Lyapunov exponent.


def _carry(h0, v, W, b, T, step, unit=True):
    """Growth by a step that may be wrong: step(state before, state after, v)."""
    v = v / np.linalg.norm(v, axis=1, keepdims=True) if unit else v
    h, total = h0, np.zeros(len(h0))
    with np.errstate(all="ignore"):
        for _ in range(T):
            before, h = h, np.tanh(h @ W.T + b)
            v = step(before, h, v)
            length = np.linalg.norm(v, axis=1, keepdims=True)
            total += np.log(length[:, 0])
            v = v / length
    return total / T


@slip("dynamics.lyapunov", "nothing is rescaled: it overflows", rung="properties", read="(1.16)")
def lyapunov_overflows(h0, v, W, b, T):
    """Divide by the length at every step, and add its logarithm."""
    h, w = h0, v
    with np.errstate(all="ignore"):
        for _ in range(T):
            h = np.tanh(h @ W.T + b)
            w = (1 - h**2) * (w @ W.T)
        growth = np.linalg.norm(w, axis=1) / np.linalg.norm(v, axis=1)
        return np.log(growth) / T


@slip("dynamics.lyapunov", "the length of v at the start counts", rung="probes", read="(1.16)")
def lyapunov_not_unit(h0, v, W, b, T):
    """Only the growth counts: divide by the length of v first."""
    step = _carry(h0, v, W, b, T, lambda _, h, v: (1 - h**2) * (v @ W.T))
    return step + np.log(np.linalg.norm(v, axis=1)) / T


@slip("dynamics.lyapunov", "W is transposed in J v", rung="probes", read="(1.6)")
def lyapunov_transposed(h0, v, W, b, T):
    """Forward in time it is W, not W'."""
    return _carry(h0, v, W, b, T, lambda _, h, v: ((1 - h**2) * v) @ W)


@slip("dynamics.lyapunov", "the slope is taken before the step", rung="probes", read="(1.6)")
def lyapunov_before(h0, v, W, b, T):
    """J(h(t-1)) has the slopes of h(t)."""
    return _carry(h0, v, W, b, T, lambda before, h, v: (1 - before**2) * (v @ W.T))


@slip("dynamics.lyapunov", "tanh' was dropped", rung="probes", read="(1.6)")
def lyapunov_linear(h0, v, W, b, T):
    """As if the network were linear."""
    return _carry(h0, v, W, b, T, lambda _, h, v: v @ W.T)


@slip("dynamics.lyapunov", "a sum, not a mean over time", rung="probes", read="(1.16)")
def lyapunov_sum(h0, v, W, b, T):
    """Divide by T."""
    return T * right.lyapunov(h0, v, W, b, T)


@slip("dynamics.lyapunov", "the logarithm to base 2", rung="probes", read="(1.16)")
def lyapunov_bits(h0, v, W, b, T):
    """The natural logarithm was asked for."""
    return right.lyapunov(h0, v, W, b, T) / np.log(2)


@slip("dynamics.lyapunov", "one length for the whole batch", rung="probes", read="(1.16)")
def lyapunov_whole_batch(h0, v, W, b, T):
    """Each orbit has its own displacement."""
    h, total = h0, 0.0
    v = v / np.linalg.norm(v)
    for _ in range(T):
        h = np.tanh(h @ W.T + b)
        v = (1 - h**2) * (v @ W.T)
        length = np.linalg.norm(v)
        total, v = total + np.log(length), v / length
    return np.full(len(h0), total / T)


@slip(
    "dynamics.lyapunov",
    "one length for all orbits: np.linalg.norm(v, axis=1, keepdims=True) has one for each",
    rung="probes",
    read="(1.16)",
)
def lyapunov_one_length(h0, v, W, b, T):
    """np.linalg.norm(v) without an axis is that of the whole array."""
    h, total = h0, 0.0
    v = v / np.linalg.norm(v, axis=1, keepdims=True)
    for _ in range(T):
        h = np.tanh(h @ W.T + b)
        v = (1 - h**2) * (v @ W.T)
        length = np.linalg.norm(v)
        total, v = total + np.log(length), v / length
    return np.full(len(h0), total / T)


@slip(
    "dynamics.lyapunov",
    "the Jacobian is taken one step late, at the new state",
    rung="probes",
    read="(1.16)",
)
def lyapunov_late(h0, v, W, b, T):
    """J(t) is the Jacobian at h(t-1): carry v before the state goes on."""
    return _carry(h0, v, W, b, T, lambda _, h, v: (1 - np.tanh(h @ W.T + b) ** 2) * (v @ W.T))


@slip("dynamics.lyapunov", "the Jacobian of the start is kept", rung="probes", read="(1.16)")
def lyapunov_stuck(h0, v, W, b, T):
    """Each step has its own Jacobian."""
    slope = 1 - np.tanh(h0 @ W.T + b) ** 2
    return _carry(h0, v, W, b, T, lambda _, h, v: slope * (v @ W.T))


@slip(
    "dynamics.lyapunov",
    "lengths are added up, but v is not brought back to 1",
    rung="probes",
    read="(1.16)",
)
def lyapunov_not_rescaled(h0, v, W, b, T):
    """The logarithm of this step's growth is asked for, not of the growth since the start."""
    h, total = h0, np.zeros(len(h0))
    v = v / np.linalg.norm(v, axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        for _ in range(T):
            h = np.tanh(h @ W.T + b)
            v = (1 - h**2) * (v @ W.T)
            total = total + np.log(np.linalg.norm(v, axis=1))
    return total / T


@slip(
    "dynamics.lyapunov", "the sum of absolute values for the length", rung="probes", read="(1.16)"
)
def lyapunov_sum_norm(h0, v, W, b, T):
    """The length is the root of the sum of squares."""
    h, total = h0, np.zeros(len(h0))
    v = v / np.linalg.norm(v, axis=1, keepdims=True)
    for _ in range(T):
        h = np.tanh(h @ W.T + b)
        v = (1 - h**2) * (v @ W.T)
        length = np.abs(v).sum(axis=1, keepdims=True)
        total, v = total + np.log(length[:, 0]), v / length
    return total / T


# Memory.


def _recall(h, x, K, lagged, constant=True):
    """Squared correlations with pasts that may be wrong."""
    features = np.column_stack([h, np.ones(len(h))]) if constant else h
    left = lagged - features @ np.linalg.lstsq(features, lagged, rcond=None)[0]
    return 1 - (left**2).sum(axis=0) / ((lagged - lagged.mean(axis=0)) ** 2).sum(axis=0)


def _lags(x, K):
    return np.stack([x[K - 1 - k : len(x) - k] for k in range(K)], axis=1)


@slip("dynamics.memory", "the future in place of the past", rung="probes", read="(1.23)")
def memory_future(h, x, K):
    """x(t-k), not x(t+k)."""
    ahead = np.stack([x[k : len(x) - K + 1 + k] for k in range(K)], axis=1)
    return _recall(h[: len(x) - K + 1], x, K, ahead)


@slip("dynamics.memory", "the lags begin at 1", rung="probes", read="(1.23)")
def memory_from_one(h, x, K):
    """k = 0 is the current input."""
    lagged = np.stack([x[K - k : len(x) - k] for k in range(1, K + 1)], axis=1)
    return _recall(h[K:], x, K, lagged)


@slip("dynamics.memory", "no constant in the linear function", rung="probes", read="(1.23)")
def memory_no_constant(h, x, K):
    """h and x need not have mean 0."""
    return _recall(h[K - 1 :], x, K, _lags(x, K), constant=False)


@slip(
    "dynamics.memory", "the spread is taken around 0, not around the mean", rung="probes",
    read="(1.23)",
)  # fmt: skip
def memory_around_zero(h, x, K):
    """The denominator has x(t-k) less its mean."""
    past = _lags(x, K)
    size = ((past - past.mean(axis=0)) ** 2).sum(axis=0) / (past**2).sum(axis=0)
    return 1 - (1 - right.memory(h, x, K)) * size


@slip("dynamics.memory", "the correlation, not its square", rung="probes", read="(1.23)")
def memory_root(h, x, K):
    """r² is what adds up to at most H."""
    return np.sqrt(right.memory(h, x, K))


@slip("dynamics.memory", "what is not read: 1 - r²", rung="probes", read="(1.23)")
def memory_error(h, x, K):
    """The relative error, from which r² is one subtraction away."""
    return 1 - right.memory(h, x, K)


@slip(
    "dynamics.memory", "each unit alone: the best single correlation", rung="probes", read="(1.23)"
)
def memory_single_unit(h, x, K):
    """All units together make the linear function."""
    lagged = _lags(x, K)
    each = np.corrcoef(h[K - 1 :].T, lagged.T)[: h.shape[1], h.shape[1] :]
    return (each**2).max(axis=0)


@slip("dynamics.memory", "each lag uses as many steps as it can", rung="probes", read="(1.23)")
def memory_all_steps(h, x, K):
    """The same steps for every lag, t = K ... T."""
    return np.array([_recall(h[k:], x, K, x[: len(x) - k, None])[0] for k in range(K)])


@slip("dynamics.memory", "the past wraps round", rung="probes", read="(1.23)")
def memory_wraps(h, x, K):
    """np.roll puts the last inputs before the first."""
    return _recall(h, x, K, np.stack([np.roll(x, k) for k in range(K)], axis=1))


@slip(
    "dynamics.memory", "the first step that has all lags is left out", rung="probes", read="(1.23)"
)
def memory_one_short(h, x, K):
    """t = K is index K - 1."""
    return right.memory(h[1:], x[1:], K)


@slip("dynamics.memory", "the mean is over all of x", rung="probes", read="(1.23)")
def memory_one_mean(h, x, K):
    """Each lag has its own mean, over the inputs that are used."""
    past = _lags(x, K)
    size = ((past - past.mean(axis=0)) ** 2).sum(axis=0) / ((past - x.mean()) ** 2).sum(axis=0)
    return 1 - (1 - right.memory(h, x, K)) * size


@slip("dynamics.memory", "the lags come in reverse order", rung="probes", read="(1.23)")
def memory_reversed(h, x, K):
    """r2[0] is lag 0."""
    return right.memory(h, x, K)[::-1]


# Ridge.


@slip("dynamics.ridge", "the constant is penalised too", rung="probes", read="(1.25)")
def ridge_penalised_constant(h, y, penalty):
    """mu is on V alone."""
    rows = np.column_stack([h, np.ones(len(h))])
    gram = rows.T @ rows + penalty * np.eye(rows.shape[1])
    weights = np.linalg.pinv(gram) @ rows.T @ y
    return weights[:-1].T, weights[-1]


@slip("dynamics.ridge", "there is no constant", rung="probes", read="(1.25)")
def ridge_no_constant(h, y, penalty):
    """c = 0 is not the best c."""
    gram = h.T @ h + penalty * np.eye(h.shape[1])
    return (np.linalg.pinv(gram) @ h.T @ y).T, np.zeros(y.shape[1])


@slip("dynamics.ridge", "V is fitted as if c were 0", rung="probes", read="(1.25)")
def ridge_late_constant(h, y, penalty):
    """Put the best c back before V is sought: states and targets are centred then."""
    gram = h.T @ h + penalty * np.eye(h.shape[1])
    V = (np.linalg.pinv(gram) @ h.T @ y).T
    return V, y.mean(axis=0) - V @ h.mean(axis=0)


@slip("dynamics.ridge", "the penalty is multiplied by N", rung="probes", read="(1.25)")
def ridge_mean(h, y, penalty):
    """(1.25) has a sum over examples, not a mean."""
    return right.ridge(h, y, penalty * len(h))


@slip("dynamics.ridge", "the penalty counts twice", rung="probes", read="(1.25)")
def ridge_twice(h, y, penalty):
    """No half stands before the squared error in (1.25), so no two beside the penalty."""
    return right.ridge(h, y, 2 * penalty)


@slip("dynamics.ridge", "the penalty counts half", rung="probes", read="(1.25)")
def ridge_half(h, y, penalty):
    """Both terms of (1.25) have the derivative's factor 2."""
    return right.ridge(h, y, penalty / 2)


@slip("dynamics.ridge", "the penalty is squared", rung="probes", read="(1.25)")
def ridge_squared(h, y, penalty):
    """mu itself stands on the diagonal."""
    return right.ridge(h, y, penalty**2)


@slip("dynamics.ridge", "the penalty is ignored", rung="probes", read="(1.25)")
def ridge_plain(h, y, penalty):
    """Plain least squares."""
    states, targets = h - h.mean(axis=0), y - y.mean(axis=0)
    V = np.linalg.solve(states.T @ states, states.T @ targets).T
    return V, y.mean(axis=0) - V @ h.mean(axis=0)


@slip("dynamics.ridge", "V is transposed", rung="shapes", read="(1.25)")
def ridge_transposed(h, y, penalty):
    """V is (K, H)."""
    V, c = right.ridge(h, y, penalty)
    return V.T, c


@slip("dynamics.ridge", "c is the mean of y, whatever the mean of h", rung="probes", read="(1.25)")
def ridge_mean_of_y(h, y, penalty):
    """c = mean of y less V times the mean of h."""
    return right.ridge(h, y, penalty)[0], y.mean(axis=0)


@slip(
    "dynamics.ridge",
    "the penalty is added to every entry, not to the diagonal",
    rung="probes",
    read="(1.25)",
)
def ridge_everywhere(h, y, penalty):
    """mu times the identity."""
    states, targets = h - h.mean(axis=0), y - y.mean(axis=0)
    V = (np.linalg.solve(states.T @ states + penalty, states.T @ targets)).T
    return V, y.mean(axis=0) - V @ h.mean(axis=0)


@slip("dynamics.ridge", "one mean for all units", rung="probes", read="(1.25)")
def ridge_one_mean(h, y, penalty):
    """Each column has its own mean: axis=0."""
    states, targets = h - h.mean(), y - y.mean()
    gram = states.T @ states + penalty * np.eye(h.shape[1])
    V = (np.linalg.pinv(gram) @ states.T @ targets).T
    return V, y.mean(axis=0) - V @ h.mean(axis=0)


# PyTorch.


def _many(h0, T, step):
    states = []
    for _ in range(T):
        states.append(step(states[-1] if states else h0))
    return torch.stack(states)


@slip("dynamics.orbits", "the gain multiplies b too", rung="probes", read="(1.26)")
def orbits_gain_on_bias(h0, gain, W, b, T):
    """g W h + b."""
    return _many(h0, T, lambda h: torch.tanh(gain[:, None] * (h @ W.T + b)))


@slip("dynamics.orbits", "W is transposed", rung="probes", read="(1.26)")
def orbits_transposed(h0, gain, W, b, T):
    """Batch rows need h @ W.T."""
    return _many(h0, T, lambda h: torch.tanh(gain[:, None] * (h @ W) + b))


@slip("dynamics.orbits", "every orbit has the first one's gain", rung="probes", read="(1.26)")
def orbits_one_gain(h0, gain, W, b, T):
    """gain[n] belongs to orbit n."""
    return _many(h0, T, lambda h: torch.tanh(gain[0] * (h @ W.T) + b))


@slip("dynamics.orbits", "the gain is outside the tanh", rung="probes", read="(1.26)")
def orbits_gain_outside(h0, gain, W, b, T):
    """A state is between -1 and 1."""
    return _many(h0, T, lambda h: gain[:, None] * torch.tanh(h @ W.T + b))


@slip(
    "dynamics.orbits",
    "one orbit after the other: give the product all rows of the state at once",
    rung="properties",
    read="(1.26)",
)
def orbits_one_by_one(h0, gain, W, b, T):
    """Ten thousand orbits of 300 steps are three million passes of a Python loop."""
    rows = [right.orbits(h0[[n]], gain[[n]], W, b, T) for n in range(len(h0))]
    return torch.cat(rows, dim=1)


@slip("dynamics.orbits", "only the last states are returned", rung="shapes", read="(1.26)")
def orbits_last(h0, gain, W, b, T):
    """All T of them."""
    return right.orbits(h0, gain, W, b, T)[-1]


@slip("dynamics.orbits", "new tensors are made on the CPU", rung="properties", read="(1.26)")
def orbits_cpu(h0, gain, W, b, T):
    """Make them from the ones you are given: h0.new_empty."""
    h, state = torch.zeros(T, *h0.shape, dtype=h0.dtype), h0
    for t in range(T):
        state = torch.tanh(gain[:, None] * (state @ W.T) + b)
        h[t] = state
    return h


@slip("dynamics.orbits", "everything is made float32", rung="shapes", read="(1.26)")
def orbits_single(h0, gain, W, b, T):
    """The dtype of the arguments is that of the answer."""
    return right.orbits(*(a.float() for a in (h0, gain, W, b)), T)


@slip("dynamics.orbits", "an array instead of a tensor is returned", rung="shapes", read="(1.26)")
def orbits_numpy(h0, gain, W, b, T):
    """The answer stays on its device."""
    return right.orbits(h0, gain, W, b, T).cpu().numpy()


@slip("dynamics.orbits", "the states are written over h0", rung="arguments", read="(1.26)")
def orbits_in_place(h0, gain, W, b, T):
    """h0 is not yours: make a new tensor."""
    states = []
    for _ in range(T):
        h0[:] = torch.tanh(gain[:, None] * (h0 @ W.T) + b)
        states.append(h0.clone())
    return torch.stack(states)
