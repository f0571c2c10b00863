"""Every numbered equation of chapter 8, proved by a second method.

What is counted is counted again: by PyTorch, by arrays that count, or by going through all entries.
Gradients are compared with complex steps or autograd.  All in float64; nothing depends on time.
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from figures import speed as lab
from figures.counting import counted
from torch.utils.flop_counter import FlopCounterMode

from solutions import fast, fast_torch
from solutions.speed import operations, pair, predict, scan_backward, step_traffic

EXACT = 1e-12  # a few dozen roundings of numbers around 1
STEP = 1e-30
ROOT = Path(__file__).resolve().parent.parent

T, B, D, H = 6, 2, 3, 4
SHAPES = list(itertools.product((1, 5), (1, 3), (2, 7), (1, 4)))


def close(one, two) -> None:
    np.testing.assert_allclose(one, two, rtol=EXACT, atol=EXACT)


# ----------------------------------------------------------------------------------- counts


@pytest.mark.equation("8.1")
@pytest.mark.equation("8.2")
@pytest.mark.parametrize(("steps", "batch", "inputs", "units"), SHAPES)
def test_pytorch_counts_as_many_operations(steps, batch, inputs, units):
    rows = 4 * units
    shapes = ((steps, batch, inputs), (batch, units), (batch, units), (rows, inputs))
    shapes += ((rows, units), (rows,))
    leaves = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    x, h0, c0, U, W, b = leaves
    want_forward, want_backward = operations(steps, batch, inputs, units, 4)
    with FlopCounterMode(display=False) as forward:
        h, _ = fast_torch.unroll(fast_torch.lstm_step, x, (h0, c0), U, b, W)
    with FlopCounterMode(display=False) as backward:
        torch.autograd.grad(h.sum(), leaves)
    assert forward.get_total_flops() == want_forward
    assert backward.get_total_flops() == want_backward


@pytest.mark.equation("8.1")
@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_numpy_does_as_many_operations(blocks):
    given = lab.lstm_arguments(T, B, H)
    run = {1: fast.rnn_forward, 3: fast.gru_forward, 4: fast.lstm_forward}[blocks]
    x, h0, c0, U, W, b = given
    rows = blocks * H
    weights = (U[:rows], W[:rows], b[:rows])
    more = {1: (h0, *weights), 3: (h0, *weights, b[:H]), 4: (h0, c0, *weights)}[blocks]
    assert counted(run, x, *more).products == operations(T, B, H, H, blocks)[0]


@pytest.mark.equation("8.2")
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_fast_backward_pass_does_two_products_for_each(cell):
    """Counted through both passes, the trace being made of arrays that count."""
    x, h0, c0, U, W, b = lab.lstm_arguments(T, B, H)
    rows = {"rnn": 1, "gru": 3, "lstm": 4}[cell] * H
    weights = [U[:rows], W[:rows], b[:rows], *([b[:H]] if cell == "gru" else [])]
    start = [h0, c0] if cell == "lstm" else [h0]
    outside = [np.ones_like(x), *([c0] if cell == "lstm" else [])]

    def both(*given):
        *inputs, dh = given[: len(given) - len(outside) + 1]
        _, trace = getattr(fast, f"{cell}_forward")(*inputs)
        getattr(fast, f"{cell}_backward")(dh, *given[len(inputs) + 1 :], trace)

    count = counted(both, x, *start, *weights, *outside)
    assert count.products == sum(operations(T, B, H, H, rows // H))


@pytest.mark.equation("8.3")
@pytest.mark.equation("8.4")
@pytest.mark.parametrize("size", [2, 4, 8])
def test_bytes_of_a_step_are_those_of_its_arrays(size):
    kind = f"f{size}"
    for batch, units, blocks in itertools.product((1, 3), (1, 8), (1, 3, 4)):
        W, state = np.ones((blocks * units, units), kind), np.ones((batch, units), kind)
        share = np.ones((batch, blocks * units), kind)
        made = share + state @ W.T
        Q, intensity = step_traffic(batch, units, blocks, size)
        assert W.nbytes + share.nbytes + 2 * state.nbytes == Q
        count = counted(np.matmul, state, W.T)
        assert count.products == 2 * made.size * units
        close(intensity, count.products / Q)


@pytest.mark.equation("8.4")
def test_intensity_tends_to_two_b_over_s():
    for size, batch in itertools.product((2, 4, 8), (1, 16)):
        near = [abs(step_traffic(batch, H, 4, size)[1] * size / (2 * batch) - 1)
                for H in (10**3, 10**4, 10**5)]  # fmt: skip
        assert near[0] > near[1] > near[2]
        assert near[2] < 1e-3


# ------------------------------------------------------------------------------- the prediction


@pytest.mark.equation("8.5")
@pytest.mark.equation("8.6")
@pytest.mark.equation("8.7")
def test_the_roof_in_two_forms():
    """Work at the speed that (8.5) allows takes the time of (8.6); calls come on top."""
    rng = np.random.default_rng(0)
    N, Q, calls = rng.uniform(1, 100, (3, 50))
    rate, bandwidth, latency = 7.0, 3.0, 0.5
    speed = np.array([min(rate, bandwidth * n / q) for n, q in zip(N, Q, strict=True)])
    close(predict(N, Q, 0 * calls, rate, bandwidth, latency), N / speed)
    assert (N / speed >= N / rate - EXACT).all()
    assert (N / speed >= Q / bandwidth - EXACT).all()
    close(predict(N, Q, calls, rate, bandwidth, latency), N / speed + calls * latency)


@pytest.mark.equation("8.7")
def test_calls_in_a_row_simulated():
    """A clock that is moved on, call by call: first the wait, then the slower of two workers."""
    clock, rate, bandwidth, latency, k = 0.0, 50.0, 20.0, 0.25, 8
    N, Q = 1000.0, 700.0
    for _ in range(k):
        started = clock + latency
        clock = max(started + N / k / rate, started + Q / k / bandwidth)
    close(clock, predict(np.array([N]), np.array([Q]), np.array([k]), rate, bandwidth, latency)[0])


@pytest.mark.equation("8.8")
def test_logistic_is_a_tanh():
    for a in (-30.0, -1.0, 0.0, 0.3, 5.0):
        assert math.isclose(0.5 + 0.5 * math.tanh(a / 2), 1 / (1 + math.exp(-a)), rel_tol=1e-3)
    a = np.linspace(-20, 20, 101) + 1j * STEP  # its slope, too
    close((0.5 + 0.5 * np.tanh(a / 2)).imag / STEP, (1 / (1 + np.exp(-a))).imag / STEP)
    close(0.5 + 0.5 * np.tanh(a.real / 2), 1 / (1 + np.exp(-a.real)))


# ------------------------------------------------------------------------------------- the scan


def recurrence(steps: int = T, seed: int = 0):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1.2, 1.2, (2, steps, B, H))
    return a, b, rng.normal(size=(B, H))


@pytest.mark.equation("8.10")
def test_composition_is_one_after_the_other_and_associative():
    a, b, h0 = recurrence(3)

    def join(later, earlier):
        A, B_ = pair(np.stack([earlier[0], later[0]]), np.stack([earlier[1], later[1]]))
        return A[0], B_[0]

    steps = list(zip(a, b, strict=True))
    A, B_ = join(steps[1], steps[0])
    close(A * h0 + B_, a[1] * (a[0] * h0 + b[0]) + b[1])
    left = join(steps[2], join(steps[1], steps[0]))
    right = join(join(steps[2], steps[1]), steps[0])
    close(left, right)


@pytest.mark.equation("8.11")
@pytest.mark.parametrize("steps", [2, 3, 6, 7, 16, 21])
def test_one_level_of_halving(steps):
    a, b, _ = recurrence(steps)
    h, states = np.zeros((B, H)), []
    for t in range(steps):  # step by step, from h(0) = 0
        h = a[t] * h + b[t]
        states.append(h)
    close(fast.scan(a, b, np.zeros((B, H))), states)
    A, B_ = pair(a, b)
    h = np.zeros((B, H))
    for k in range(len(A)):  # h(2k+2) from h(2k), then h(2k+3), which is index 2k + 2
        h = A[k] * h + B_[k]
        close(h, states[2 * k + 1])
        if 2 * k + 2 < steps:
            close(a[2 * k + 2] * h + b[2 * k + 2], states[2 * k + 2])


class Joined:
    """A number that counts how often two steps were joined, or one was filled in."""

    def __init__(self) -> None:
        self.sweeps = self.work = 0

    def solve(self, steps: list[tuple[float, float]]) -> list[float]:
        """(8.11), entry by entry, in Python."""
        if len(steps) == 1:
            return [steps[0][1]]
        pairs = []
        self.sweeps += 1
        for (a1, b1), (a2, b2) in zip(steps[::2], steps[1::2], strict=False):
            pairs.append((a2 * a1, a2 * b1 + b2))
            self.work += 1
        even = self.solve(pairs)
        self.sweeps += 1
        found = [steps[0][1]]
        for t in range(1, len(steps)):
            if t % 2:
                found.append(even[t // 2])
            else:
                found.append(steps[t][0] * even[t // 2 - 1] + steps[t][1])
                self.work += 1
        return found


@pytest.mark.equation("8.12")
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 100, 1000, 1024])
def test_sweeps_and_work_counted_entry_by_entry(steps):
    rng = np.random.default_rng(0)
    counting, series = Joined(), list(zip(*rng.uniform(-1, 1, (2, steps)), strict=True))
    solved = counting.solve(series)
    h = 0.0
    for (a, b), state in zip(series, solved, strict=True):
        h = a * h + b
        assert math.isclose(h, state, rel_tol=1e-9, abs_tol=1e-12)
    assert (counting.sweeps, counting.work) == lab.sweeps(steps)
    assert counting.sweeps == 2 * math.floor(math.log2(steps))
    formula = sum(max(steps // 2**j - 1, 0) for j in range(20))
    assert counting.work == formula < 2 * steps


@pytest.mark.equation("8.13")
def test_gradient_of_a_recurrence_by_complex_steps():
    a, b, _ = recurrence()
    outside = np.random.default_rng(1).normal(size=a.shape)

    def states(a, b):
        h, found = np.zeros((B, H)), []
        for now in range(T):
            h = a[now] * h + b[now]
            found.append(h)
        return np.array(found)

    da, db = scan_backward(outside, a, states(a, b).real)
    for index in itertools.product(range(T), range(B), range(H)):
        moved = np.zeros(a.shape, complex)
        moved[index] = 1j * STEP
        close((outside * states(a + moved, b)).sum().imag / STEP, da[index])
        close((outside * states(a, b + moved)).sum().imag / STEP, db[index])


@pytest.mark.equation("8.14")
def test_min_gru_unit_by_unit():
    torch.manual_seed(0)
    net = fast_torch.MinGRU(D, H).double()
    x, h0 = torch.randn(T, B, D, dtype=torch.float64), torch.randn(B, H, dtype=torch.float64)
    found = net(x, h0).detach().numpy()
    weights, bias = (p.detach().numpy() for p in net.parameters())
    for n, j in itertools.product(range(B), range(H)):
        h = float(h0[n, j])
        for t in range(T):
            a_u = float(weights[j] @ x[t, n].numpy() + bias[j])
            new = float(weights[H + j] @ x[t, n].numpy() + bias[H + j])
            u = 1 / (1 + math.exp(-a_u))
            h = (1 - u) * h + u * new
            close(h, found[t, n, j])


@pytest.mark.equation("8.9")
def test_local_derivatives_of_the_gru_by_complex_steps():
    """Each pre-activation of one step moved by itself, under the total gradient at its state."""
    rng = np.random.default_rng(2)
    h, delta, a_r, a_u, a_n, q = rng.normal(size=(6, H))
    W = rng.normal(size=(3, H, H))

    def after(a_r=a_r, a_u=a_u, a_n=a_n, q=q, h=h):
        r, u = 1 / (1 + np.exp(-a_r)), 1 / (1 + np.exp(-a_u))
        n = np.tanh(a_n + r * q)
        return (1 - u) * n + u * h

    r, u = 1 / (1 + np.exp(-a_r)), 1 / (1 + np.exp(-a_u))
    n = np.tanh(a_n + r * q)
    at_n = (1 - n**2) * (1 - u) * delta
    want = {
        "a_n": at_n, "q": r * at_n, "a_u": u * (1 - u) * (h - n) * delta,
        "a_r": r * (1 - r) * q * at_n,
    }  # fmt: skip
    given = {"a_r": a_r, "a_u": a_u, "a_n": a_n, "q": q}
    for name, grad in want.items():
        for j in range(H):
            moved = given[name] + 1j * STEP * np.eye(H)[j]
            close((delta * after(**{name: moved})).sum().imag / STEP, grad[j])

    def through(h):
        return after(a_r + W[0] @ h, a_u + W[1] @ h, a_n, q + W[2] @ h, h)

    a_r, a_u, q = a_r + W[0] @ h, a_u + W[1] @ h, q + W[2] @ h
    r, u = 1 / (1 + np.exp(-a_r)), 1 / (1 + np.exp(-a_u))
    n = np.tanh(a_n + r * q)
    at_n = (1 - n**2) * (1 - u) * delta
    roads = u * delta + W[0].T @ (r * (1 - r) * q * at_n) + W[2].T @ (r * at_n)
    roads = roads + W[1].T @ (u * (1 - u) * (h - n) * delta)
    a_r, a_u, q = a_r - W[0] @ h, a_u - W[1] @ h, q - W[2] @ h
    for j in range(H):
        close((delta * through(h + 1j * STEP * np.eye(H)[j])).sum().imag / STEP, roads[j])


# ------------------------------------------------------------------- numbers that the prose says


def test_numbers_of_the_written_answer():
    text = re.sub(r"\s+#?\s*", " ", (ROOT / "solutions/speed.py").read_text(encoding="utf-8"))
    F, beta, start = 50e12, 3e12, 5e-6

    def step(batch: int, kernels: int) -> float:
        N, Q = operations(1, batch, 0, 512, 4)[0], step_traffic(batch, 512, 4, 4)[0]
        return float(predict(np.array([N]), np.array([Q]), np.array([kernels]), F, beta, start)[0])

    N = operations(1, 16, 0, 512, 4)[0]
    assert f"= {N / 1e6:.1f}$ million" in text
    assert f"$N / F = {N / F * 1e6:.2f}$ µs. By" in text
    Q = step_traffic(16, 512, 4, 4)[0]
    assert f"= {Q / 1e6:.1f}$ MB, so $Q / \\beta = {Q / beta * 1e6:.1f}$ µs" in text
    assert f"a step takes $45 + 1.5 = {step(16, 9) * 1e6:.0f}$ µs" in text
    assert f"the sequence {step(16, 9) * 1e6:.0f} ms" in text
    assert f"= {operations(1000, 16, 512, 512, 4)[0] / 2 / F * 1e3:.2f}$ ms and does" in text
    assert f"= {step(160, 9) * 1e6:.0f}$ µs a step" in text
    assert f"sequences: {10 * step(16, 9) / step(160, 9):.1f} times less for each" in text
    assert f"= {step(16, 1) * 1e6:.1f}$ µs, {step(16, 1) * 1e6:.1f} ms" in text
    assert f"{step(16, 9) / step(16, 1):.1f} times less. Both" in text
    assert lab.sweeps(1000)[0] == 18
    assert "$2 \\cdot 9 = 18$ sweeps" in text


def test_numbers_of_the_page():
    text = re.sub(r"\s+", " ", (ROOT / "book/08-speed.md").read_text(encoding="utf-8"))
    forward, backward = operations(100, 64, 256, 256, 4)
    assert f"= {forward / 1e9:.1f} \\cdot 10^9$ forward" in text
    assert f"{(forward + backward) / 1e10:.1f} \\cdot 10^{{10}}$" in text
    assert 2 * 4 / 4 == 1e11 / 5e10
    assert f"$1000 \\cdot 10 \\cdot 5$ µs = {1000 * 10 * 5e-3:.0f} ms" in text
    assert f"$18 \\cdot 4 \\cdot 5$ µs = {18 * 4 * 5e-3:.2f} ms" in text
    assert f"For 1000 steps: {lab.sweeps(1000)[0]} sweeps" in text
    assert lab.sweeps(1000)[1] < 2000
