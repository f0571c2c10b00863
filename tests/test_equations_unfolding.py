"""Every numbered equation of chapter 2, proved by a second method.

The functions under test are those of `solutions.unfolding`.  The second method is PyTorch, a
complex step, a list of all sequences, or a count; it never calls the function that it judges.  All
in float64.  `EXACT` bounds rounding alone.
"""

from __future__ import annotations

import itertools
import re
from math import comb

import numpy as np
import pytest
import torch
from figures import unfolding as lab
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course import hints
from solutions import unfolding as ours
from solutions.unfolding import step, unfold

EXACT = 1e-12
STEP = 1e-30

T, B, D, H, K = 6, 3, 2, 4, 5
RNG = np.random.default_rng(0)
W = lab.weights(0, D, H, K)
PARAMS = tuple(W.values())
X, H0 = RNG.normal(size=(T, B, D)), RNG.normal(0, 0.5, (B, H))
LENGTHS = np.array([3, 6, 1])


def close(one, two) -> None:
    np.testing.assert_allclose(one, two, rtol=EXACT, atol=EXACT)


def f(h, x):
    """One step in columns, complex or real."""
    return np.tanh(W["b"] + W["W"] @ h + W["U"] @ x)


# ------------------------------------------------------------------------------- the recurrence


@pytest.mark.equation("2.1")
def test_each_state_is_f_of_the_one_before():
    def both(params, state, x):
        after, _ = step(params, state, x)
        return after, (state, after)

    _, pairs = unfold(both, PARAMS, H0, X)
    assert len(pairs) == T
    close(pairs[0][0], H0)
    for t, (before, after) in enumerate(pairs):
        if t:
            close(before, pairs[t - 1][1])
        close(after, np.stack([f(before[n], X[t, n]) for n in range(B)]))


@pytest.mark.equation("2.2")
def test_three_steps_are_f_of_f_of_f():
    last, _ = unfold(step, PARAMS, H0, X[:3])
    close(last, np.stack([f(f(f(H0[n], X[0, n]), X[1, n]), X[2, n]) for n in range(B)]))


@pytest.mark.equation("2.3")
def test_a_step_is_torch_rnn_and_linear():
    rnn = lab.twin(W)
    states, last = rnn(torch.from_numpy(X), torch.from_numpy(H0)[None])
    o = states.detach().numpy() @ W["V"].T + W["c"]
    found, outputs = unfold(step, PARAMS, H0, X)
    close(np.stack(outputs), o)
    close(found, last[0].detach().numpy())


@pytest.mark.equation("2.4")
def test_one_matrix_is_two():
    Wa, z, a = ours.concatenated(W["U"], W["W"], W["b"], H0, X[0])
    assert Wa.shape == (H, H + D)
    for n in range(B):
        close(a[n], W["b"] + W["W"] @ H0[n] + W["U"] @ X[0, n])
        close(a[n], W["b"] + np.hstack([W["W"], W["U"]]) @ np.hstack([H0[n], X[0, n]]))
    close(z @ Wa.T + W["b"], a)


# ---------------------------------------------------------------------------------- parameters


@pytest.mark.equation("2.5")
def test_parameters_of_torch_modules():
    for d, h, k in ((3, 4, 5), (1, 16, 1), (28, 64, 28)):
        rnn = torch.nn.RNN(d, h, bias=False)
        modules = (rnn, torch.nn.Linear(h, k))
        counted = sum(p.numel() for m in modules for p in m.parameters()) + h  # one bias, not two
        assert ours.count(d, h, k, 7)[0] == counted


@pytest.mark.equation("2.6")
def test_parameters_of_a_window_and_where_it_has_more():
    for d, h, k in ((3, 4, 5), (1, 16, 1), (4, 4, 2), (7, 3, 2)):
        rnn, _, longer = ours.count(d, h, k, 1)
        for tau in range(1, 30):
            net = torch.nn.Sequential(torch.nn.Linear(tau * d, h), torch.nn.Linear(h, k))
            mlp = sum(p.numel() for p in net.parameters())
            assert ours.count(d, h, k, tau)[1] == mlp
            assert (mlp > rnn) == (tau >= longer) == (tau > 1 + h / d)


DIRECTION = RNG.normal(size=(H, H))


def own_matrices(n, matrices):
    h = H0[n].astype(complex)
    for t in range(T):
        h = np.tanh(W["b"] + matrices[t] @ h + W["U"] @ X[t, n])
    return h


@pytest.mark.equation("2.7")
def test_the_shared_derivative_is_the_sum_over_copies():
    parts = ours.copies(X, H0, W["U"], W["W"], W["b"], DIRECTION)
    moved = W["W"] + 1j * STEP * DIRECTION
    for n in range(B):
        close(parts.sum(0)[n], own_matrices(n, [moved] * T).imag / STEP)


@pytest.mark.equation("2.8")
def test_each_copys_part():
    parts = ours.copies(X, H0, W["U"], W["W"], W["b"], DIRECTION)
    moved = W["W"] + 1j * STEP * DIRECTION
    for s, n in np.ndindex(T, B):
        matrices = [moved if t == s else W["W"] for t in range(T)]
        close(parts[s, n], own_matrices(n, matrices).imag / STEP)


# -------------------------------------------------------------------------------------- batches


@pytest.mark.equation("2.9")
def test_a_masked_batch_is_each_sequence_alone():
    x = np.where((np.arange(T)[:, None] < LENGTHS)[..., None], X, np.nan)
    h = ours.masked(x, LENGTHS, H0, W["U"], W["W"], W["b"])
    for n, tau in enumerate(LENGTHS):
        state = H0[n]
        for t in range(T):
            state = f(state, X[t, n]) if t < tau else state
            close(h[t, n], state)


@pytest.mark.equation("2.9")
def test_the_torch_form_has_the_gradients_of_a_packed_rnn():
    rnn = lab.twin(W)
    x = torch.from_numpy(X).requires_grad_()
    packed = pack_padded_sequence(x, torch.from_numpy(LENGTHS), enforce_sorted=False)
    h, _ = pad_packed_sequence(rnn(packed, torch.from_numpy(H0)[None])[0])
    U, R, b = rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0
    mine = ours.torch_masked(x, torch.from_numpy(LENGTHS), torch.from_numpy(H0), U, R, b)
    weight = torch.randn(T, B, H, dtype=torch.float64)
    inside = (torch.arange(T)[:, None] < torch.from_numpy(LENGTHS))[..., None]
    for one, two in zip(
        torch.autograd.grad((h * weight).sum(), (x, U, R, b)),
        torch.autograd.grad((mine * inside * weight).sum(), (x, U, R, b)),
        strict=True,
    ):
        close(one.numpy(), two.numpy())


@pytest.mark.equation("2.10")
def test_packed_rows_are_torchs_and_are_as_many_as_there_are_steps():
    down = np.sort(LENGTHS)[::-1].copy()
    data, counts = ours.pack(X, down)
    packed = pack_padded_sequence(torch.from_numpy(X), torch.from_numpy(down))
    close(data, packed.data.numpy())
    assert counts.tolist() == packed.batch_sizes.tolist()
    assert counts.sum() == len(data) == LENGTHS.sum()
    assert counts.tolist() == [sum(tau >= t for tau in LENGTHS) for t in range(1, T + 1)]


# -------------------------------------------------------------------------------------- endings

# A network of two symbols that reads them; the tree of all sequences up to a length is small.
SYMBOLS = 2
NET = lab.weights(3, SYMBOLS, H, SYMBOLS + 1)


def after(symbols, net=NET, told=None):
    """The output after a start signal and some symbols, in columns."""
    h = np.zeros(H)
    inputs = [np.zeros(SYMBOLS), *(np.eye(SYMBOLS)[k] for k in symbols)]
    for t, x in enumerate(inputs):
        x = x if told is None else np.append(x, told - t)
        h = np.tanh(net["b"] + net["W"] @ h + net["U"] @ x)
    return net["c"] + net["V"] @ h


def softmax(o):
    p = np.exp(o)
    return p / p.sum()


def every(longest, shortest=0):
    return [
        s for n in range(shortest, longest + 1) for s in itertools.product(range(SYMBOLS), repeat=n)
    ]


def arrays(sequences, told=False, net=NET):
    """o (T + 1, S, K), y (T, S), lengths (S,) for some sequences."""
    longest = max(len(s) for s in sequences)
    o = np.zeros((longest + 1, len(sequences), len(net["c"])))
    y = np.zeros((longest, len(sequences)), dtype=int)
    for i, s in enumerate(sequences):
        y[: len(s), i] = s
        for t in range(len(s) + 1):
            o[t, i] = after(s[:t], net, len(s) if told else None)
    return o, y, np.array([len(s) for s in sequences])


@pytest.mark.equation("2.11")
def test_end_symbol_probabilities_are_products_and_add_up():
    sequences = every(9)
    log_p = ours.log_end(*arrays(sequences))
    total, alive = 0.0, {}
    for s, found in zip(sequences, log_p, strict=True):
        product = np.prod([softmax(after(s[:t]))[k] for t, k in enumerate(s)] or [1.0])
        close(np.exp(found), product * softmax(after(s))[SYMBOLS])
        total += np.exp(found)
        if len(s) == 9:  # what has not ended by then
            alive[s] = product * (1 - softmax(after(s))[SYMBOLS])
    assert total + sum(alive.values()) == pytest.approx(1, abs=EXACT)


@pytest.mark.equation("2.12")
def test_halting_probabilities_are_products_and_add_up():
    sequences = every(9, shortest=1)
    o, y, lengths = arrays(sequences)
    log_p = ours.log_halt(o[:-1, :, :SYMBOLS], o[1:, :, SYMBOLS], y, lengths)
    total = alive = 0.0
    for s, found in zip(sequences, log_p, strict=True):
        symbols = np.prod([softmax(after(s[:t])[:SYMBOLS])[k] for t, k in enumerate(s)])
        e = [1 / (1 + np.exp(-after(s[:t])[SYMBOLS])) for t in range(1, len(s) + 1)]
        going = np.prod([1 - each for each in e[:-1]] or [1.0])
        close(np.exp(found), symbols * going * e[-1])
        total += np.exp(found)
        if len(s) == 9:
            alive += symbols * going * (1 - e[-1])
    assert total + alive == pytest.approx(1, abs=EXACT)


@pytest.mark.equation("2.13")
def test_an_end_symbol_is_a_halting_decision():
    sequences = every(6, shortest=1)
    o, y, lengths = arrays(sequences)
    s = o[1:, :, SYMBOLS] - np.log(np.exp(o[1:, :, :SYMBOLS]).sum(-1))
    begins = np.log(1 - softmax(after(()))[SYMBOLS])
    halts = ours.log_halt(o[:-1, :, :SYMBOLS], s, y, lengths)
    close(ours.log_end(o, y, lengths), halts + begins)


@pytest.mark.equation("2.14")
def test_a_constant_decision_gives_a_geometric_law():
    e, K1 = 0.2, 1  # one symbol, so that a length is a sequence
    lengths = np.arange(1, 400)
    score = np.log(e / (1 - e))
    o, s = np.zeros((399, 399, K1)), np.full((399, 399), score)
    p = np.exp(ours.log_halt(o, s, np.zeros((399, 399), int), lengths))
    close(p, e * (1 - e) ** (lengths - 1.0))
    assert (p * lengths).sum() == pytest.approx(1 / e, rel=1e-9)
    assert p.argmax() == 0
    assert pytest.approx(0.027, abs=5e-4) == (1 / 14) * (13 / 14) ** 13  # question 2.16
    assert pytest.approx(0.019, abs=5e-4) == 0.05 * 0.95**19  # five-minute question 4
    u = np.random.default_rng(0).random((4000, 60, 2))
    drawn = [
        len(ours.sample_halt(lambda p, h, x: (h, (np.zeros(1), score)), None, 0, 1, each))
        for each in u
    ]
    assert np.mean(drawn) == pytest.approx(1 / e, rel=0.05)  # 4000 draws: 1.5 % is one sigma


@pytest.mark.equation("2.15")
def test_length_first_probabilities_add_up_length_by_length():
    net = lab.weights(4, SYMBOLS + 1, H, SYMBOLS)
    sequences = every(6, shortest=1)
    o, y, lengths = arrays(sequences, told=True, net=net)
    q = np.random.default_rng(1).normal(size=6)
    log_p = ours.log_length(np.tile(q, (len(sequences), 1)), o[:-1], y, lengths)
    for tau in range(1, 7):
        assert np.exp(log_p[lengths == tau]).sum() == pytest.approx(softmax(q)[tau - 1], abs=EXACT)
    i = sequences.index((1, 0, 1))
    told = [after((1, 0, 1)[:t], net, told=3) for t in range(3)]
    close(
        np.exp(log_p[i]),
        softmax(q)[2] * np.prod([softmax(o)[k] for o, k in zip(told, (1, 0, 1), strict=True)]),
    )


@pytest.mark.equation("2.16")
def test_a_class_owns_an_interval_of_its_probability():
    o = np.random.default_rng(2).normal(size=4)
    p = softmax(o)
    borders = np.concatenate([[0], np.cumsum(p)])
    for k in range(4):
        inside = np.linspace(borders[k], borders[k + 1], 7)[1:-1]
        assert (ours.pick(np.tile(o, (5, 1)), inside) == k).all()
    grid = (np.arange(100_000) + 0.5) / 100_000
    shares = np.bincount(ours.pick(np.tile(o, (len(grid), 1)), grid)) / len(grid)
    np.testing.assert_allclose(shares, p, atol=1e-5)


@pytest.mark.equation("2.16")
@pytest.mark.parametrize("ending", ["end", "length"])
def test_samplers_draw_what_the_likelihoods_say(ending):
    """Shares of all short sequences against their probabilities."""
    rng, n = np.random.default_rng(5), 6000
    net = NET if ending == "end" else lab.weights(4, SYMBOLS + 1, H, SYMBOLS)
    q = np.array([0.3, 1.0, -0.5])
    if ending == "end":
        drawn = [
            ours.sample_end(step, tuple(net.values()), np.zeros(H), SYMBOLS, rng.random(12))
            for _ in range(n)
        ]
        sequences = every(2)
        p = np.exp(ours.log_end(*arrays(sequences)))
    else:
        drawn = [
            ours.sample_length(step, tuple(net.values()), np.zeros(H), q, SYMBOLS, rng.random(4))
            for _ in range(n)
        ]
        sequences = every(3, shortest=1)
        o, y, lengths = arrays(sequences, told=True, net=net)
        p = np.exp(ours.log_length(np.tile(q, (len(sequences), 1)), o[:-1], y, lengths))
    for s, probability in zip(sequences, p, strict=True):
        share = sum(tuple(y) == s for y in drawn) / n
        sigma = np.sqrt(probability * (1 - probability) / n)
        assert abs(share - probability) < 4.5 * sigma, s


@pytest.mark.equation("2.17")
def test_the_divergence_splits_into_length_and_content():
    sequences = every(5, shortest=1)
    o, y, lengths = arrays(sequences)
    rng = np.random.default_rng(3)
    p = rng.random(len(sequences))
    p /= p.sum()
    q = np.exp(ours.log_halt(o[:-1, :, :SYMBOLS], o[1:, :, SYMBOLS], y, lengths))
    q /= q.sum()
    whole = (p * np.log(p / q)).sum()
    assert -(p * np.log(q)).sum() == pytest.approx(-(p * np.log(p)).sum() + whole, rel=EXACT)
    of_length = content = 0.0
    for tau in range(1, 6):
        mine = lengths == tau
        a, b = p[mine].sum(), q[mine].sum()
        of_length += a * np.log(a / b)
        content += a * (p[mine] / a * np.log((p[mine] / a) / (q[mine] / b))).sum()
    assert whole == pytest.approx(of_length + content, rel=1e-10)
    assert of_length >= 0
    assert content >= 0


@pytest.mark.equation("2.18")
def test_brackets_are_as_many_and_as_probable_as_the_formula_says():
    p, most = 0.4, 16
    law = lab.brackets(p, most)
    k = np.arange(1, most // 2 + 1)
    catalan = np.array([comb(2 * i - 2, i - 1) // i for i in k])
    assert np.bincount(law.lengths)[2::2].tolist() == catalan.tolist()
    weight = catalan * p ** (k - 1.0) * (1 - p) ** k
    close(law.of_length[2::2], weight / weight.sum())
    share = weight / weight.sum()
    entropy = np.log(weight.sum()) - (share * ((k - 1) * np.log(p) + k * np.log(1 - p))).sum()
    assert law.entropy == pytest.approx(entropy, rel=EXACT)
    for y, tau in zip(law.y, law.lengths, strict=True):
        depth = np.cumsum(1 - 2 * y[:tau])
        assert depth[-1] == 0
        assert (depth[:-1] > 0).all()
    given = law.p[law.lengths == 8]
    assert np.ptp(given) < 1e-15  # given the length, all are equally probable


@pytest.mark.equation("2.18")
def test_the_notebooks_exact_networks_have_that_law():
    """Each of the three gives every string its probability, without the cut at a longest one."""
    p = 0.3
    q = np.full(12, -99.0)
    q[1::2] = [
        np.log(ours.ways(1, t - 1) * p ** (t // 2 - 1) * (1 - p) ** (t // 2))
        for t in range(2, 13, 2)
    ]
    missing = 1 - np.exp(q[1::2]).sum()
    law = lab.brackets(p, 12)
    for y, tau in zip(law.y, law.lengths, strict=True):
        want = p ** (tau // 2 - 1) * (1 - p) ** (tau // 2)
        y = y[:tau]
        inputs = np.concatenate([np.zeros((1, 2)), np.eye(2)[y]])
        _, o = unfold(ours.step_end, p, (0, 0), inputs)
        end = ours.log_end(np.stack(o)[:, None], y[:, None], np.array([tau]))[0]
        _, outputs = unfold(ours.step_halt, p, (0, 0), inputs)
        o, s = (np.stack(part) for part in zip(*outputs, strict=True))
        halt = ours.log_halt(o[:-1, None], s[1:, None], y[:, None], np.array([tau]))[0]
        told = np.concatenate([inputs, np.arange(tau, -1, -1.0)[:, None]], 1)[:-1]
        _, o = unfold(ours.step_length, p, (0, 0), told)
        first = ours.log_length(q[None], np.stack(o)[:, None], y[:, None], np.array([tau]))[0]
        assert np.exp([end, halt]) == pytest.approx(want, rel=1e-9)
        assert np.exp(first) * (1 - missing) == pytest.approx(want, rel=1e-9)


# ---------------------------------------------------------------------------------- the hints


def _time(*values):
    return np.array(values, float)[:, None, None]


def _one(value):
    return np.array([[float(value)]])


HINT_NUMBERS = {
    "step": lambda: step(
        (_one(1), _one(2), np.zeros(1), _one(3), np.ones(1)), _one(0.5), _one(0.1)
    ),
    "unfold": lambda: unfold(lambda p, s, x: (s + x, 10 * (s + x)), None, 1, (2, 5)),
    "concatenated": lambda: ours.concatenated(
        np.array([[5.0], [6.0]]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.0, 1.0]),
        np.array([[1.0, 0.0]]), np.array([[2.0]]),
    ),
    "count": lambda: ours.count(1, 2, 1, 2),
    "copies": lambda: [
        parts := ours.copies(_time(0, 0), _one(0.5), _one(0), _one(2), np.zeros(1), _one(1)),
        parts.sum(),
    ],
    "masked": lambda: [
        ours.masked(
            np.array([[[0.5], [0.5]], [[0.1], [9.0]]]), np.array([2, 1]), np.zeros((2, 1)),
            _one(1), _one(2), np.zeros(1),
        )
    ],
    "pack": lambda: ours.pack(np.array([[[10.0], [20.0]], [[30.0], [99.0]]]), np.array([2, 1])),
    "log_end": lambda: [
        ours.log_end(
            np.array([[[0.0, 0.0]], [[0.0, 0.0]], [[5.0, 5.0]]]),
            np.array([[0], [0]]), np.array([1]),
        )
    ],
    "log_halt": lambda: [
        ours.log_halt(
            np.zeros((2, 1, 1)), np.array([[0.0], [1.0]]), np.zeros((2, 1), int), np.array([2])
        )
    ],
    "log_length": lambda: [
        ours.log_length(np.zeros((1, 2)), np.zeros((2, 1, 2)), np.zeros((2, 1), int), np.array([2]))
    ],
    "torch_masked": lambda: [
        ours.masked(
            np.full((2, 2, 1), 0.5), np.array([2, 1]), np.zeros((2, 1)),
            _one(1), _one(2), np.zeros(1),
        )
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", HINT_NUMBERS)
def test_the_worked_case_of_a_hint_is_right(name):
    """Every number that the reference gives stands in the text, to four digits."""
    text = hints.of_chapter("unfolding")[f"unfolding.{name}"][3]
    for value in np.concatenate([np.ravel(each) for each in HINT_NUMBERS[name]()]):
        said = f"{value:.4f}".rstrip("0").rstrip(".")
        assert re.search(rf"(?<![\d.]){re.escape(said)}(?!\d)", text), (said, text)
