"""Every numbered equation of chapter 6, proved by a second method.

The functions under test are those of `solutions.seq2seq`, or of `book/figures` where the equation
is not an exercise.  The second method is a complex step, PyTorch, sacrebleu, an enumeration, or a
loop over single sequences; it never calls the function that it judges.  All in float64.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from figures import translation as lab
from sacrebleu.metrics import BLEU

from solutions.seq2seq import (
    Seq2Seq,
    additive_attention,
    additive_attention_backward,
    beam_search,
    bleu,
    context,
    decode,
    dot_attention,
    encode,
    fixed_weights,
    greedy,
    last,
    masked_cross_entropy,
    mean,
    mingru,
    scan,
)

EXACT = 1e-12  # a few hundred roundings of numbers around 1
STEP = 1e-30

T, B, D, H, K = 6, 3, 2, 4, 5
LENGTHS = np.array([6, 4, 1])
MASK = (np.arange(T)[:, None] < LENGTHS) * 1.0
ARGS = lab.looked()


def close(one, two) -> None:
    np.testing.assert_allclose(one, two, rtol=EXACT, atol=EXACT)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --------------------------------------------------------------------------- encoder and contexts


@pytest.mark.equation("6.1")
@pytest.mark.equation("6.2")
def test_padded_states_are_those_of_each_sequence_alone():
    draw = rng()
    gru = torch.nn.GRU(D, H).double()
    x, h0 = draw.normal(size=(T, B, D)), draw.normal(size=(B, H))

    def step(params, h, x_t):
        assert params == "handed on"
        with torch.no_grad():
            return gru(torch.tensor(x_t)[None], torch.tensor(h)[None])[1][0].numpy()

    x[MASK == 0] = np.nan
    h = encode(step, "handed on", x, MASK, h0)
    for n, length in enumerate(LENGTHS):
        with torch.no_grad():
            alone, _ = gru(torch.tensor(x[:length, n : n + 1]), torch.tensor(h0[None, n : n + 1]))
        close(h[:length, n], alone[:, 0].numpy())
        close(h[length:, n], np.tile(alone[-1, 0].numpy(), (T - length, 1)))


@pytest.mark.equation("6.3")
@pytest.mark.equation("6.4")
@pytest.mark.equation("6.5")
def test_fixed_contexts_are_means_with_weights():
    h = rng(1).normal(size=(T, B, H))
    for alpha in fixed_weights(LENGTHS, T):
        close(alpha.sum(0), 1)
        assert not alpha[MASK == 0].any()
    for n, length in enumerate(LENGTHS):
        close(last(h, LENGTHS)[n], h[length - 1, n])
        close(mean(h, LENGTHS)[n], h[:length, n].mean(0))
    draw = rng(2).random((T, B))
    close(context(draw, h), sum(draw[t][:, None] * h[t] for t in range(T)))


# -------------------------------------------------------------------------------------- attention


@pytest.mark.equation("6.6")
@pytest.mark.equation("6.7")
def test_dot_attention_is_pytorchs():
    right, upside_down = lab.fused()
    assert right < EXACT
    assert upside_down > 0.1
    args = lab.looked(3, G=4)
    query = torch.tensor(args.query)
    keys = torch.tensor(args.keys)
    scores = torch.einsum("tbh,bh->tb", keys, query) / math.sqrt(keys.shape[-1])
    want = scores.masked_fill(torch.tensor(args.mask) == 0, -torch.inf).softmax(0)
    close(dot_attention(args.query, args.keys, args.values, args.mask)[1], want.numpy())


@pytest.mark.equation("6.6")
@pytest.mark.equation("6.8")
def test_additive_attention_pair_by_pair():
    made, alpha = additive_attention(*ARGS)
    for n, length in enumerate(ARGS.mask.sum(0).astype(int)):
        scores = [
            sum(
                ARGS.v[a] * math.tanh(ARGS.Wq[a] @ ARGS.query[n] + ARGS.Wk[a] @ ARGS.keys[t, n])
                for a in range(len(ARGS.v))
            )
            for t in range(length)
        ]
        total = math.fsum(map(math.exp, scores))
        close(alpha[:length, n], [math.exp(e) / total for e in scores])
        assert not alpha[length:, n].any()
    close(made, lab.plain(ARGS))


@pytest.mark.equation("6.8")
def test_without_tanh_the_query_is_not_asked():
    one = (ARGS.query @ ARGS.Wq.T + ARGS.keys @ ARGS.Wk.T) @ ARGS.v
    two = (7 * ARGS.query @ ARGS.Wq.T + ARGS.keys @ ARGS.Wk.T) @ ARGS.v
    close(np.ptp(one - two, axis=0), 0)


@pytest.mark.equation("6.9")
@pytest.mark.equation("6.12")
def test_gradient_of_additive_attention_three_ways():
    for name, methods in lab.three_ways().items():
        assert methods["complex step"] < EXACT, name
        assert methods["autograd"] < EXACT, name
        assert methods["central differences"] < 1e-8, name  # eps 1e-5: error of order eps squared


@pytest.mark.equation("6.10")
def test_gradient_of_the_softmax_by_complex_steps():
    draw = rng(4)
    scores, outside = draw.normal(size=5), draw.normal(size=5)
    alpha = np.exp(scores) / np.exp(scores).sum()
    hand = alpha * (outside - alpha @ outside)
    for t in range(5):
        moved = scores + 1j * STEP * np.eye(5)[t]
        weight = np.exp(moved)
        close((weight / weight.sum() @ outside).imag / STEP, hand[t])
    close(hand.sum(), 0)


@pytest.mark.equation("6.10")
@pytest.mark.equation("6.11")
def test_scores_and_preactivations_by_what_they_give_to_v_and_to_a_bias():
    """A bias on a_t is a change of k_t through an invertible Wk: that gradient is (6.11)'s."""
    args = lab.looked(5, H=7)  # as wide as A, so that Wk can be inverted
    outside = rng(6).normal(size=args.values.shape[1:])
    _, alpha = additive_attention(*args)
    _, dkeys, *_ = additive_attention_backward(outside, *args[:3], alpha, *args[4:])
    got = dkeys @ np.linalg.inv(args.Wk)
    for t, n, a in itertools.product(range(2), range(2), range(7)):
        shift = np.linalg.solve(args.Wk, 1j * STEP * np.eye(7)[a])
        keys = args.keys.astype(complex)
        keys[t, n] += shift
        want = (lab.plain(args._replace(keys=keys)) * outside).sum().imag / STEP
        np.testing.assert_allclose(got[t, n, a], want, rtol=1e-9, atol=1e-12)  # Wk inverted twice


@pytest.mark.equation("6.13")
def test_the_short_road():
    assert lab.short_road() < EXACT


# ---------------------------------------------------------------------------------------- decoder


@pytest.mark.equation("6.14")
@pytest.mark.equation("6.15")
@pytest.mark.equation("6.16")
def test_decoder_one_sequence_after_the_other():
    draw = rng(7)
    C = 3
    s0, y0, y = draw.normal(size=(B, H)), draw.integers(0, K, B), draw.integers(0, K, (T, B))
    E, V, b = draw.normal(size=(K, D)), draw.normal(size=(K, H + C)), draw.normal(size=K)
    W, M = draw.normal(0, 0.4, (H, H + D + C)), draw.normal(size=(C, H))

    def step(params, s, x):
        return np.tanh(np.concatenate([s, x], axis=-1) @ params.T)

    s, o = decode(step, lambda s: np.sin(s @ M.T), W, s0, y0, y, E, V, b)
    for n in range(B):
        state = s0[n]
        for t in range(T):
            before = y0[n] if t == 0 else y[t - 1, n]
            c = np.sin(M @ state)
            state = np.tanh(W @ np.concatenate([state, E[before], c]))
            close(s[t, n], state)
            close(o[t, n], V[:, :H] @ state + V[:, H:] @ c + b)


@pytest.mark.equation("6.14")
@pytest.mark.equation("6.16")
@pytest.mark.parametrize("kind", lab.KINDS)
def test_numpy_and_pytorch_are_one_network(kind):
    network, given = lab.small(kind), lab._batch()
    with torch.no_grad():
        o, alpha = network(*given)
    close(o.numpy(), lab.in_numpy(network, *(each.numpy() for each in given)))
    close(alpha.sum(1).numpy(), 1)
    other, longer, blind = lab.padding(kind)
    assert max(other, longer) < EXACT
    assert blind > 0.01


@pytest.mark.equation("6.17")
@pytest.mark.equation("6.18")
def test_masked_cross_entropy_is_pytorchs():
    draw = rng(8)
    o, y = draw.normal(size=(T, B, K)), draw.integers(0, K, (T, B))
    loss, do = masked_cross_entropy(o, y, MASK)
    logits = torch.tensor(o, requires_grad=True)
    targets = torch.tensor(np.where(MASK > 0, y, -100))
    want = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    (grad,) = torch.autograd.grad(want, [logits])
    close(loss, want.item())
    close(do, grad.numpy())


# ----------------------------------------------------------------------------------------- search


def by_hand(step, state, begin, y):
    """Log-probability of a sequence, symbol by symbol."""
    total = 0.0
    for before, symbol in zip([begin, *y[:-1]], y, strict=True):
        state, log_p = step(state, before)
        total += log_p[symbol]
    return total


@pytest.mark.equation("6.19")
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_probabilities_of_complete_sequences_add_up_to_one(limit):
    step, state = lab.decoder(0)
    found = lab.complete(step, state, 3, 0, limit)
    close(math.fsum(np.exp(list(found.values()))), 1)
    assert len(found) == sum(3**n for n in range(limit)) + 3**limit
    for y, logp in found.items():
        close(logp, by_hand(step, state, 3, y))


@pytest.mark.equation("6.20")
def test_greedy_takes_the_likeliest_symbol_every_time():
    for seed in range(20):
        step, state = lab.decoder(seed)
        y, logp = greedy(step, state, 3, 0, 6)
        close(logp, by_hand(step, state, 3, y))
        assert len(y) == 6 or y[-1] == 0
        assert 0 not in y[:-1]
        for n in range(len(y)):
            others = [by_hand(step, state, 3, [*y[:n], k]) for k in range(4)]
            assert int(np.argmax(others)) == y[n]


@pytest.mark.equation("6.21")
@pytest.mark.equation("6.22")
@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
def test_a_beam_that_drops_nothing_is_exhaustive(gamma):
    for seed in range(20):
        step, state = lab.decoder(seed)
        scores = {
            y: logp / len(y) ** gamma for y, logp in lab.complete(step, state, 3, 0, 4).items()
        }
        for width in (4**4, 4**3):  # the second drops nothing before the last round: question 4
            y, score = beam_search(step, state, 3, 0, width, 4, gamma)
            assert tuple(y) == max(scores, key=scores.get)
            close(score, scores[tuple(y)])


@pytest.mark.equation("6.21")
def test_width_one_is_greedy_and_two_symbols_are_safe():
    for seed in range(40):
        step, state = lab.decoder(seed)
        y, logp = greedy(step, state, 3, 0, 6)
        found, score = beam_search(step, state, 3, 0, 1, 6, 0.0)
        assert found == y
        close(score, logp)
        _, least = greedy(step, state, 3, 0, 2)
        for width in (1, 2, 3, 7):
            assert beam_search(step, state, 3, 0, width, 2, 0.0)[1] >= least - EXACT


@pytest.mark.equation("6.21")
def test_width_two_can_lose():
    tree = lab.puzzle()
    best = max((p, y) for y, p in tree.probabilities.items() if len(y) == 3)
    assert tree.found["greedy"][0] == tree.found["width 27"][0] == best[1] == "aaa"
    close(tree.found["greedy"][1], best[0])
    assert tree.found["width 2"][0][0] == "b"
    assert tree.found["width 2"][1] < best[0] / 2


@pytest.mark.equation("6.22")
def test_the_penalty_changes_the_choice_and_not_the_beam():
    """The calls of step, and so what is kept, are the same for every gamma."""
    for seed in range(20):
        step, state = lab.decoder(seed)
        seen = []
        for gamma in (0.0, 1.0):
            calls = []

            def noted(before, symbol, step=step, calls=calls):
                calls.append((before.tobytes(), symbol))
                return step(before, symbol)

            beam_search(noted, state, 3, 0, 3, 5, gamma)
            seen.append(calls)
        assert seen[0] == seen[1]


# ------------------------------------------------------------------------------------------- BLEU


@pytest.mark.equation("6.23")
@pytest.mark.equation("6.24")
@pytest.mark.equation("6.25")
def test_bleu_is_sacrebleus():
    oracle = BLEU(tokenize="none", smooth_method="none")
    draw = rng(9)
    for _ in range(30):
        count, several = int(draw.integers(1, 6)), int(draw.integers(1, 4))
        words = [
            [list(map(str, draw.integers(0, 3, draw.integers(4, 12)))) for _ in range(several + 1)]
            for _ in range(count)
        ]
        candidates, references = [each[0] for each in words], [each[1:] for each in words]
        streams = [[" ".join(each[i]) for each in references] for i in range(several)]
        want = oracle.corpus_score([" ".join(each) for each in candidates], streams).score / 100
        close(bleu(candidates, references), want)
    for _, ours, theirs in lab.scores():
        close(ours, theirs)


# ------------------------------------------------------------------------------------------ scans


@pytest.mark.equation("6.26")
@pytest.mark.equation("6.28")
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 100, 257])
def test_the_scan_is_its_loop(steps):
    draw = rng(steps)
    a, b = draw.uniform(-1, 1, (steps, 2, 3)), draw.normal(size=(steps, 2, 3))
    a[steps // 2] = 0
    h0 = draw.normal(size=(2, 3))
    close(scan(a, b, h0), lab.loop(a, b, h0))


@pytest.mark.equation("6.27")
def test_joining_is_composition_and_associative():
    draw = rng(10)
    one, two, three = (tuple(draw.normal(size=2)) for _ in range(3))

    def join(second, first):
        return second[0] * first[0], second[0] * first[1] + second[1]

    h = draw.normal()
    a, b = join(two, one)
    close(a * h + b, two[0] * (one[0] * h + one[1]) + two[1])
    close(join(three, join(two, one)), join(join(three, two), one))


@pytest.mark.equation("6.29")
@pytest.mark.equation("6.30")
def test_work_and_depth_are_counted(monkeypatch):
    for row in lab.scans((2, 16, 256)):
        k = int(math.log2(row.T))
        assert row.doubling == (row.T * k - row.T + 2, 1 + k)
        assert row.tree == (3 * row.T - 2, 1 + 2 * k)
        assert max(row.errors) < EXACT
    # The sweeps that really run: each makes two joins of whole arrays.
    sizes = []
    concatenate = np.concatenate

    def counted(parts, *rest, **options):
        sizes.append(len(parts[-1]))
        return concatenate(parts, *rest, **options)

    monkeypatch.setattr(np, "concatenate", counted)
    scan(np.ones((16, 1, 1)), np.ones((16, 1, 1)), np.zeros((1, 1)))
    sweeps = sizes[1::2]  # the first call puts h0 in; then b and a, in turn
    assert sweeps == [15, 14, 12, 8]
    assert 1 + sum(sweeps) == lab.doubling_counts(16).work


@pytest.mark.equation("6.31")
def test_mingru_is_its_loop_with_pytorchs_sigmoid():
    draw = rng(11)
    x, h0 = draw.normal(size=(9, B, D)), draw.normal(size=(B, H))
    Uz, Un = draw.normal(size=(H, D)), draw.normal(size=(H, D))
    bz, bn = draw.normal(size=H), draw.normal(size=H)
    h = torch.tensor(h0)
    want = []
    for x_t in torch.tensor(x):
        z = torch.sigmoid(x_t @ torch.tensor(Uz).T + torch.tensor(bz))
        h = torch.lerp(h, x_t @ torch.tensor(Un).T + torch.tensor(bn), z)
        want.append(h.numpy())
    close(mingru(x, h0, Uz, bz, Un, bn), np.stack(want))


# ----------------------------------------------------------------------------------------- the twin


@pytest.mark.parametrize("kind", lab.KINDS)
def test_batches_and_single_sequences_translate_alike(kind):
    network = lab.small(kind)
    x, lengths, *_ = lab._batch()
    together = network.greedy(x, lengths, 0, 1, 6).T.tolist()
    for n, length in enumerate(lengths):
        step, state = network.starter(x[:length, n])
        y, _ = greedy(step, state, 0, 1, 6)
        assert together[n][: len(y)] == y
        assert set(together[n][len(y) :]) <= {1}


def test_the_twin_refuses_an_unknown_context():
    with pytest.raises(ValueError, match='want "last"'):
        Seq2Seq(3, 3, context="first")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_twin_keeps_its_dtype_and_has_gradients(dtype):
    network = lab.small("additive").to(dtype)
    o, alpha = network(*lab._batch())
    assert o.dtype == alpha.dtype == dtype
    o.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
