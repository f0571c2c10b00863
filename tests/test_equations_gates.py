"""Every numbered equation of chapter 5, proved by a second method.

The functions under test are those of `solutions.gates`, or of `book/figures` where the equation is
not an exercise.  The second method is a complex step, PyTorch, or a loop over single units; it
never calls the function that it judges.  All in float64.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from figures import gates as lab
from figures import gates_names as names

from solutions.gates import (
    LSTMFunction,
    bits_per_character,
    gru_after,
    gru_backward,
    gru_forward,
    lstm_backward,
    lstm_forward,
    lstm_step,
    sample,
    sigmoid,
    take_to_keep,
)

EXACT = 1e-12  # a few hundred roundings of numbers around 1
STEP = 1e-30

T, B, D, H = 6, 2, 3, 4
NET = lab.lstm(0, T, B, D, H)
GRU = lab.gru(0, T, B, D, H)
DH, DC = lab.weights_of(NET)


def close(one, two) -> None:
    np.testing.assert_allclose(one, two, rtol=EXACT, atol=EXACT)


def logistic(a):
    return 1 / (1 + np.exp(-a))


def split_lstm(net: lab.Lstm = NET, n: int = 0, **moved):
    """One sequence in split form, one matrix a gate; moved[name, t] is added to that quantity."""
    U, W, b = (np.split(a, 4) for a in (net.U, net.W, net.b))
    h, c, rows = net.h0[n], net.c0[n], []
    for t in range(len(net.x)):
        a = [b[k] + W[k] @ h + U[k] @ net.x[t, n] for k in range(4)]
        a = [value + moved.get(f"a{'ifog'[k]}{t}", 0) for k, value in enumerate(a)]
        i, f, o, g = logistic(a[0]), logistic(a[1]), logistic(a[2]), np.tanh(a[3])
        i, f = i + moved.get(f"i{t}", 0), f + moved.get(f"f{t}", 0)
        o, g = o + moved.get(f"o{t}", 0), g + moved.get(f"g{t}", 0)
        c = f * c + i * g + moved.get(f"c{t}", 0)
        h = o * np.tanh(c) + moved.get(f"h{t}", 0)
        rows.append({"i": i, "f": f, "o": o, "g": g, "c": c, "h": h})
    return rows


def split_loss(n: int = 0, **moved):
    rows = split_lstm(NET, n, **moved)
    return sum(DH[t, n] @ row["h"] for t, row in enumerate(rows)) + DC[n] @ rows[-1]["c"]


def total(name: str, t: int, n: int) -> np.ndarray:
    """The total gradient at a quantity of step t + 1, by complex steps."""
    units = 1j * STEP * np.eye(H)
    return np.array([split_loss(n, **{f"{name}{t}": unit}).imag / STEP for unit in units])


@pytest.fixture(scope="module")
def passed():
    h, c, gates = lstm_forward(*NET)
    args = (DH, DC, NET.x, h, c, gates, NET.h0, NET.c0, NET.U, NET.W)
    return {"h": h, "c": c, "gates": gates, "grads": lstm_backward(*args)}


def at_a(passed, t: int, n: int) -> np.ndarray:
    """The reference's gradient at a of one step and sequence: what it gives to b alone.

    Its loss is replaced by the total gradients at h and c of that step.
    """
    h_before = passed["h"][t - 1] if t else NET.h0
    c_before = passed["c"][t - 1] if t else NET.c0
    cut = slice(n, n + 1)
    arguments = (passed[k][t : t + 1, cut] for k in ("h", "c", "gates"))
    o, at_h = passed["gates"][t, n, 2 * H : 3 * H], total("h", t, n)
    from_c = total("c", t, n) - o * (1 - np.tanh(passed["c"][t, n]) ** 2) * at_h
    made = lstm_backward(
        at_h[None, None], from_c[None], NET.x[t : t + 1, cut], *arguments,
        h_before[cut], c_before[cut], NET.U, NET.W,
    )  # fmt: skip
    return made[5]


# ---------------------------------------------------------------------------------------- forward


@pytest.mark.equation("5.1")
@pytest.mark.equation("5.2")
@pytest.mark.equation("5.3")
@pytest.mark.equation("5.4")
@pytest.mark.equation("5.5")
def test_stacked_form_is_the_split_form_and_torch(passed):
    for n in range(B):
        for t, row in enumerate(split_lstm(n=n)):
            close(passed["h"][t, n], row["h"])
            close(passed["c"][t, n], row["c"])
            close(passed["gates"][t, n], np.concatenate([row[k] for k in "ifog"]))
    twin = lab.torch_lstm(NET)
    x, h0, c0 = (torch.from_numpy(a) for a in NET[:3])
    states, (_, last) = twin(x, (h0[None], c0[None]))
    close(passed["h"], states.detach().numpy())
    close(passed["c"][-1], last[0].detach().numpy())
    h, c = lstm_step(NET.x[0], NET.h0, NET.c0, NET.U, NET.W, NET.b)
    close((h, c), (passed["h"][0], passed["c"][0]))


@pytest.mark.equation("5.5")
def test_concatenated_form():
    theta = np.concatenate([NET.W, NET.U], axis=1)
    z = np.concatenate([NET.h0, NET.x[0]], axis=1)
    close(z @ theta.T, NET.h0 @ NET.W.T + NET.x[0] @ NET.U.T)


@pytest.mark.equation("5.6")
def test_peepholes_unit_by_unit():
    p = np.random.default_rng(0).normal(size=(3, H))
    h, c, f = lab.peephole_step(NET.x[0], NET.h0, NET.c0, NET.U, NET.W, NET.b, p)
    for n, j in itertools.product(range(B), range(H)):
        rows = [k * H + j for k in range(4)]
        a = [NET.b[r] + NET.W[r] @ NET.h0[n] + NET.U[r] @ NET.x[0, n] for r in rows]
        before = NET.c0[n, j]
        forget = logistic(a[1] + p[1, j] * before)
        cell = forget * before + logistic(a[0] + p[0, j] * before) * np.tanh(a[3])
        close((f[n, j], c[n, j]), (forget, cell))
        close(h[n, j], logistic(a[2] + p[2, j] * cell) * np.tanh(cell))
    without = lab.peephole_step(NET.x[0], NET.h0, NET.c0, NET.U, NET.W, NET.b, 0 * p)
    close(without[:2], lstm_step(NET.x[0], NET.h0, NET.c0, NET.U, NET.W, NET.b))


# ---------------------------------------------------------------------------------- the direct road


@pytest.mark.equation("5.7")
def test_direct_road_by_complex_steps_with_gates_held(passed):
    i, f, _, g = np.split(passed["gates"], 4, axis=-1)
    moved = passed["c"][0].astype(complex) + 1j * STEP
    for t in range(1, T):
        moved = f[t] * moved + i[t] * g[t]
    close(moved.imag / STEP, np.prod(f[1:], axis=0))
    # The reference's own direct road: no weights on the state, a gradient at the last cell only.
    made = lstm_backward(
        0 * DH, np.ones((B, H)), NET.x, passed["h"], passed["c"], passed["gates"],
        NET.h0, NET.c0, NET.U, 0 * NET.W,
    )  # fmt: skip
    close(made[2], np.prod(f, axis=0))


@pytest.mark.equation("5.8")
def test_total_jacobian_of_the_cell():
    for seed in range(3):
        net = lab.lstm(seed, T, 1, D, H)
        h, c, gates = lstm_forward(*net)
        close(lab.cell_jacobian(net, gates, c, 1), lab.total_jacobian(net, h, c, 1))


@pytest.mark.equation("5.9")
@pytest.mark.parametrize("bias", [0.0, 1.0, 2.2, 3.0, 5.0])
def test_half_life(bias):
    f, left, steps = logistic(bias), 1.0, lab.half_life(bias)
    for _ in range(int(steps)):
        left *= f
    close(left * f ** (steps - int(steps)), 0.5)


# --------------------------------------------------------------------------------------- backward


@pytest.mark.equation("5.10")
@pytest.mark.equation("5.11")
@pytest.mark.equation("5.15")
def test_total_gradients_at_the_states(passed):
    """What is left over after the first step is the total at h(0), c(0); cut off, at h(t), c(t)."""
    for t, n in itertools.product(range(T - 1), range(B)):
        cut = (slice(t + 1, T), slice(n, n + 1))
        made = lstm_backward(
            DH[cut], DC[n : n + 1], NET.x[cut], passed["h"][cut], passed["c"][cut],
            passed["gates"][cut], passed["h"][t, n : n + 1], passed["c"][t, n : n + 1],
            NET.U, NET.W,
        )  # fmt: skip
        at_h = DH[t, n] + made[1][0]  # (5.10): from outside, and through a(t+1)
        close(at_h, total("h", t, n))
        o = passed["gates"][t, n, 2 * H : 3 * H]
        at_c = o * (1 - np.tanh(passed["c"][t, n]) ** 2) * at_h + made[2][0]  # (5.11)
        close(at_c, total("c", t, n))


@pytest.mark.equation("5.12")
def test_gradients_at_the_gates(passed):
    for t, n in itertools.product(range(T), range(B)):
        at_h, at_c = total("h", t, n), total("c", t, n)
        i, _, _, g = np.split(passed["gates"][t, n], 4)
        before = passed["c"][t - 1, n] if t else NET.c0[n]
        close(total("i", t, n), g * at_c)
        close(total("f", t, n), before * at_c)
        close(total("o", t, n), np.tanh(passed["c"][t, n]) * at_h)
        close(total("g", t, n), i * at_c)


@pytest.mark.equation("5.13")
def test_gradients_before_the_activations(passed):
    for t, n in itertools.product(range(T), range(B)):
        want = np.concatenate([total(f"a{gate}", t, n) for gate in "ifog"])
        close(at_a(passed, t, n), want)


def loss_of(**args) -> complex:
    h, c, _ = lstm_forward(**args)
    return (DH * h).sum() + (DC * c[-1]).sum()


@pytest.mark.equation("5.14")
@pytest.mark.equation("5.15")
def test_gradients_of_all_arguments(passed):
    found = lab.by_complex_step(loss_of, NET, NET._fields)
    for name, made in zip(NET._fields, passed["grads"], strict=True):
        close(made, found[name])


@pytest.mark.equation("5.14")
def test_function_against_finite_differences():
    leaves = [torch.from_numpy(a).requires_grad_() for a in NET]
    assert torch.autograd.gradcheck(LSTMFunction.apply, leaves)


# -------------------------------------------------------------------------------------------- GRU


def split_gru(form: str, keep: bool, d=None, net: lab.Gru = GRU) -> np.ndarray:
    """Every unit by itself."""
    U, W, b = (np.split(a, 3) for a in (net.U, net.W, net.b))
    hs = np.empty((len(net.x), *net.h0.shape))
    for n in range(net.h0.shape[0]):
        h = net.h0[n]
        for t, x in enumerate(net.x[:, n]):
            r, u = (logistic(b[k] + W[k] @ h + U[k] @ x) for k in range(2))
            inner = W[2] @ (r * h) if form == "before" else r * (W[2] @ h + d)
            new = np.tanh(b[2] + U[2] @ x + inner)
            h = (1 - u) * new + u * h if keep else u * new + (1 - u) * h
            hs[t, n] = h
    return hs


@pytest.mark.equation("5.16")
@pytest.mark.equation("5.17")
@pytest.mark.equation("5.18")
def test_gru_that_takes():
    close(gru_forward(*GRU)[0], split_gru("before", keep=False))


@pytest.mark.equation("5.19")
def test_gru_that_keeps_and_the_way_between():
    close(lab.gru_keep(*GRU), split_gru("before", keep=True))
    turned = lab.Gru(GRU.x, GRU.h0, *take_to_keep(GRU.U, GRU.W, GRU.b))
    close(split_gru("before", keep=True, net=turned), gru_forward(*GRU)[0])
    for same, back in zip(GRU[2:], take_to_keep(*turned[2:]), strict=True):
        close(same, back)
    a = np.linspace(-5, 5, 11)
    close(1 - sigmoid(a), sigmoid(-a))


@pytest.mark.equation("5.20")
def test_gru_after_is_torch_gru():
    d = np.random.default_rng(1).normal(size=H)
    states = gru_after(*GRU, d)
    close(states, split_gru("after", keep=True, d=d))
    twin = lab.torch_gru(GRU.U, GRU.W, GRU.b, d)
    close(states, twin(torch.from_numpy(GRU.x), torch.from_numpy(GRU.h0)[None])[0].detach().numpy())


@pytest.mark.equation("5.21")
def test_gru_gradients():
    h, gates = gru_forward(*GRU)
    made = gru_backward(DH, GRU.x, h, gates, GRU.h0, GRU.U, GRU.W)
    found = lab.by_complex_step(lambda **a: (DH * gru_forward(**a)[0]).sum(), GRU, GRU._fields)
    for name, grad in zip(GRU._fields, made, strict=True):
        close(grad, found[name])


@pytest.mark.equation("5.22")
def test_gru_direct_road():
    h, gates = gru_forward(*GRU)
    _, u, n = np.split(gates, 3, axis=-1)
    moved = GRU.h0.astype(complex) + 1j * STEP
    for t in range(T):  # u and n held where they are
        moved = u[t] * n[t] + (1 - u[t]) * moved
    direct = gru_backward(
        np.concatenate([0 * DH[:-1], np.ones((1, B, H))]), GRU.x, h, gates, GRU.h0, GRU.U, 0 * GRU.W
    )[1]
    close(moved.imag / STEP, direct)
    close(direct, np.prod(1 - u, axis=0))


@pytest.mark.equation("5.23")
def test_parameters_are_counted():
    for row in lab.counts(D=7, H=5).rows:
        assert row[3] == row[4]  # the formula and a second bias, against PyTorch's own count
    assert lab.counts(D=27, H=64).rows[2][2] == 23552
    assert lab.counts(D=27, H=64).rows[1][2] == 17664


# ------------------------------------------------------------------------------ drawing and scoring


@pytest.mark.equation("5.24")
@pytest.mark.equation("5.25")
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_shares_of_draws_are_the_softmax(temperature):
    """Every share of the unit interval is as long as its probability: counted on a fine grid."""
    o = np.array([0.3, -1.0, 2.0, 0.0])
    v = (np.arange(20_000) + 0.5) / 20_000
    choice = sample(np.tile(o, (len(v), 1)), temperature, v)
    want = torch.softmax(torch.from_numpy(o) / temperature, 0).numpy()
    shares = np.bincount(choice, minlength=4) / len(v)
    np.testing.assert_allclose(shares, want, atol=1.01 / 20_000)
    assert (np.diff(choice) >= 0).all()
    assert sample(o[None], temperature, np.array([np.nextafter(1, 0)]))[0] == 3


@pytest.mark.equation("5.26")
def test_bits_are_cross_entropy_in_base_two():
    rng = np.random.default_rng(2)
    o, y = rng.normal(size=(T, B, 7)), rng.integers(0, 7, (T, B))
    mask = np.ones((T, B))
    mask[4:, 0] = 0
    nats = torch.nn.functional.cross_entropy(
        torch.from_numpy(o[mask > 0]), torch.from_numpy(y[mask > 0])
    )
    close(bits_per_character(o, y, mask), float(nats) / math.log(2))
    assert bits_per_character(np.zeros((3, 1, 8)), np.zeros((3, 1), int), np.ones((3, 1))) == 3


@pytest.mark.equation("5.27")
def test_kneser_ney_by_recursion_over_strings():
    words = [names.codes(word) for word in ("abab", "aba", "bca", "cab")]
    order, delta = 3, 0.6
    model = names.KneserNey(words, order, delta)
    padded = [[0] * (order - 1) + word for word in words]
    grams = {
        n: [tuple(line[e - n + 1 : e + 1]) for line in padded for e in range(order - 1, len(line))]
        for n in range(1, order + 1)
    }

    def count(n: int) -> Counter:
        """How often at the top; below, in how many contexts of one symbol more."""
        if n == order:
            return Counter(grams[n])
        return Counter(gram[1:] for gram in count(n + 1))

    def p(k: int, s: tuple, n: int) -> float:
        if n == 0:
            return 1 / 27
        N = count(n)
        following = [gram[-1] for gram in N if gram[:-1] == s]
        if not following:
            return p(k, s[1:], n - 1)
        whole = sum(N[(*s, j)] for j in following)
        kept = max(N[(*s, k)] - delta, 0)
        return (kept + delta * len(following) * p(k, s[1:], n - 1)) / whole

    for context in ((0, 0), (0, 1), (1, 2), (2, 1), (3, 3), (26, 1)):
        close(model.probabilities(context), [p(k, context, order) for k in range(27)])
        close(model.probabilities(context).sum(), 1)
