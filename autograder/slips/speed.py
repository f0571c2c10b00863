"""Chapter 8: the mistakes that people make when they predict a speed, or take a scan apart."""

from __future__ import annotations

import numpy as np

from autograder.slip import slip
from solutions import speed as right

# Counting operations.


@slip(
    "speed.operations",
    "a multiplication and its addition are counted as one",
    rung="probes",
    read="(8.1)",
)
def operations_fused(T, B, D, H, G):
    """Two operations for each entry of a row."""
    forward, backward = right.operations(T, B, D, H, G)
    return forward / 2, backward / 2


@slip("speed.operations", "the recurrent product is left out", rung="probes", read="(8.1)")
def operations_input_only(T, B, D, H, G):
    """W multiplies the old state at every step."""
    forward = 2.0 * T * B * G * H * D
    return forward, 2 * forward


@slip("speed.operations", "backward is counted like forward", rung="probes", read="(8.2)")
def operations_backward_once(T, B, D, H, G):
    """Each product has two gradients: at what went in, and at the weights."""
    forward, _ = right.operations(T, B, D, H, G)
    return forward, forward


@slip("speed.operations", "backward holds the forward pass, too", rung="probes", read="(8.2)")
def operations_backward_and_forward(T, B, D, H, G):
    """The second number is that of the backward pass alone."""
    forward, _ = right.operations(T, B, D, H, G)
    return forward, 3 * forward


@slip("speed.operations", "the blocks are forgotten", rung="values", read="(8.1)")
def operations_one_block(T, B, D, H, G):
    """Every gate has its own rows."""
    return right.operations(T, B, D, H, 1)


# Counting bytes.


@slip("speed.step_traffic", "numbers are counted, not bytes", rung="probes", read="(8.3)")
def traffic_numbers(B, H, G, size):
    """Each number has `size` bytes."""
    return right.step_traffic(B, H, G, 1)


@slip("speed.step_traffic", "W is read again for every sequence", rung="probes", read="(8.3)")
def traffic_weights_again(B, H, G, size):
    """One product serves the whole batch: W is read once."""
    Q = float(size * (B * G * H * H + (G + 2) * B * H))
    return Q, 2 * B * G * H * H / Q


@slip("speed.step_traffic", "the new state is not written", rung="probes", read="(8.3)")
def traffic_no_write(B, H, G, size):
    """A state is read, and a state is written."""
    Q = float(size * (G * H * H + (G + 1) * B * H))
    return Q, 2 * B * G * H * H / Q


@slip("speed.step_traffic", "bytes for each operation", rung="probes", read="(8.4)")
def traffic_inverted(B, H, G, size):
    """Intensity is operations for each byte."""
    Q, intensity = right.step_traffic(B, H, G, size)
    return Q, 1 / intensity


@slip("speed.step_traffic", "the limit for large H is returned", rung="probes", read="(8.4)")
def traffic_limit(B, H, G, size):
    """2 B / s is what the intensity tends to."""
    return right.step_traffic(B, H, G, size)[0], 2 * B / size


@slip(
    "speed.step_traffic", "every number is taken to have 4 bytes", rung="properties", read="(8.3)"
)
def traffic_single(B, H, G, size):
    """float64 has 8 bytes, half precision 2."""
    return right.step_traffic(B, H, G, 4)


# Predicting.


@slip("speed.predict", "computing and moving are added", rung="values", read="(8.6)")
def predict_sum(N, Q, calls, rate, bandwidth, latency):
    """They overlap: the slower of the two counts."""
    return calls * latency + N / rate + Q / bandwidth


@slip("speed.predict", "the faster of computing and moving", rung="probes", read="(8.6)")
def predict_min(N, Q, calls, rate, bandwidth, latency):
    """Work is done when both are."""
    return calls * latency + np.minimum(N / rate, Q / bandwidth)


@slip("speed.predict", "the calls are left out", rung="probes", read="(8.7)")
def predict_no_calls(N, Q, calls, rate, bandwidth, latency):
    """The roofline knows nothing of latency; a loop does."""
    return np.maximum(N / rate, Q / bandwidth)


@slip("speed.predict", "one call, whatever their number", rung="probes", read="(8.7)")
def predict_one_call(N, Q, calls, rate, bandwidth, latency):
    """Each call waits for the one before."""
    return latency + np.maximum(N / rate, Q / bandwidth)


@slip("speed.predict", "each call does all the work", rung="probes", read="(8.7)")
def predict_multiplied(N, Q, calls, rate, bandwidth, latency):
    """N and Q are those of all calls together."""
    return calls * (latency + np.maximum(N / rate, Q / bandwidth))


@slip("speed.predict", "the largest of all three", rung="values", read="(8.7)")
def predict_largest(N, Q, calls, rate, bandwidth, latency):
    """Calls come on top."""
    return np.maximum(calls * latency, np.maximum(N / rate, Q / bandwidth))


@slip(
    "speed.predict",
    "the calls alone: what they start is not waited for",
    rung="probes",
    read="(8.7)",
)
def predict_not_waited(N, Q, calls, rate, bandwidth, latency):
    """The calls come on top of the work; a clock that does not wait sees them alone."""
    return calls * latency


# Two steps as one.


def _halves(array):
    return array[: len(array) // 2 * 2 : 2], array[1::2]


@slip("speed.pair", "the two steps are in the other order", rung="probes", read="(8.10)")
def pair_other_order(a, b):
    """What came in first passes the second step's factor."""
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return a2 * a1, a1 * b2 + b1


@slip(
    "speed.pair",
    "a of the second step does not multiply b of the first",
    rung="probes",
    read="(8.10)",
)
def pair_sum(a, b):
    """a(2) multiplies b(1)."""
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return a2 * a1, b1 + b2


@slip("speed.pair", "the factors are added", rung="probes", read="(8.10)")
def pair_factors_added(a, b):
    """They multiply: each shrinks what is left."""
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return a1 + a2, a2 * b1 + b2


@slip("speed.pair", "the factor is that of the second step alone", rung="probes", read="(8.10)")
def pair_last_factor(a, b):
    """The old state passes both steps."""
    (_, a2), (b1, b2) = _halves(a), _halves(b)
    return a2.copy(), a2 * b1 + b2


@slip("speed.pair", "the first half is paired with the second half", rung="probes", read="(8.11)")
def pair_far_apart(a, b):
    """Neighbours in time make a step; steps far apart do not."""
    n = len(a) // 2
    return a[n : 2 * n] * a[:n], a[n : 2 * n] * b[:n] + b[n : 2 * n]


# The gradient of a scan.


def _walk_back(dh, factor):
    db, carry = np.empty_like(dh), np.zeros_like(dh[0])
    for t in reversed(range(len(dh))):
        db[t] = dh[t] + carry
        carry = factor(t) * db[t]
    return db


def _before(h):
    return np.concatenate([np.zeros_like(h[:1]), h[:-1]])


@slip(
    "speed.scan_backward",
    "the gradient from h(t+1) was dropped",
    rung="probes",
    read="(8.13)",
    part="db",
)
def scan_no_carry(dh, a, h):
    """A state reaches the loss through the later states, too."""
    return _before(h) * dh, dh.copy()


@slip(
    "speed.scan_backward",
    "a(t) stands where a(t+1) belongs",
    rung="probes",
    read="(8.13)",
    part="db",
)
def scan_factor_early(dh, a, h):
    """The factor is that of the step between the two states."""
    db = _walk_back(dh, lambda t: a[max(t - 1, 0)])
    return _before(h) * db, db


@slip(
    "speed.scan_backward",
    "it runs from the first step to the last",
    rung="probes",
    read="(8.13)",
    part="db",
)
def scan_forward(dh, a, h):
    """The later states are children of the earlier ones."""
    db, carry = np.empty_like(dh), np.zeros_like(dh[0])
    for t in range(len(dh)):
        db[t] = carry = dh[t] + a[t] * carry
    return _before(h) * db, db


@slip(
    "speed.scan_backward",
    "h(t) stands where h(t-1) belongs",
    rung="probes",
    read="(8.13)",
    part="da",
)
def scan_state_after(dh, a, h):
    """The factor multiplied the state before the step."""
    db = _walk_back(dh, lambda t: a[t])
    return h * db, db


@slip(
    "speed.scan_backward",
    "the factor a is left out on the way back",
    rung="probes",
    read="(8.13)",
    part="db",
)
def scan_no_factor(dh, a, h):
    """h(t) reaches h(t+1) times a(t+1)."""
    db = _walk_back(dh, lambda t: 1.0)
    return _before(h) * db, db


@slip(
    "speed.scan_backward",
    "da and db are swapped",
    rung="probes",
    read="(8.13)",
    part="da",
)
def scan_swapped(dh, a, h):
    """da comes first."""
    db = _walk_back(dh, lambda t: a[t])
    return db, _before(h) * db


@slip(
    "speed.scan_backward",
    "before the first step h is the last state",
    rung="probes",
    read="(8.13)",
    part="da",
)
def scan_rolled(dh, a, h):
    """np.roll brings the end to the front; h(0) is zero."""
    db = _walk_back(dh, lambda t: a[t])
    return np.roll(h, 1, axis=0) * db, db
