"""Every numbered equation of chapter 4, proved by a second method.

The functions under test are those of `solutions.taxonomy`.  The second method is enumeration of
all sequences, PyTorch's modules and autograd, columns one at a time, or a count; it never calls the
function that it judges.  All in float64.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from figures import taxonomy as lab

from solutions import bptt
from solutions.taxonomy import (
    bidirectional,
    closed_loop,
    deep,
    gaussian_window,
    glimpse,
    latent_cost,
    log_likelihood,
    packed,
    picture_cost,
    read,
    readout,
    readout_grad,
    reinforce_grad,
    scheduled,
    span_scores,
    teacher_forced,
    vector_to_sequence,
    write,
)

EXACT = 1e-12  # a few hundred roundings of numbers around 1
T, B, D, H, K = 4, 3, 2, 5, 3


def close(one: np.ndarray, two: np.ndarray) -> None:
    np.testing.assert_allclose(one, two, rtol=EXACT, atol=EXACT)


@pytest.fixture(scope="module")
def net() -> dict[str, np.ndarray]:
    """Weights by their letters, inputs, and a state that is not zero."""
    rng = np.random.default_rng(0)
    shapes = {"U": (H, D), "R": (H, D), "F": (H, K), "W": (H, H), "b": (H,), "V": (K, H)}
    made = {name: rng.normal(0, 0.8, shape) for name, shape in shapes.items()}
    made |= {"c": rng.normal(size=K), "x": rng.normal(size=(T, B, D))}
    made |= {"h0": rng.uniform(-0.9, 0.9, (B, H)), "y0": rng.integers(0, K, B)}
    return made | {"y": rng.integers(0, K, (T, B))}


def weights(net: dict[str, np.ndarray], letters: str) -> list[np.ndarray]:
    return [net[name] for name in letters]


def log_softmax(o: np.ndarray) -> np.ndarray:
    return torch.log_softmax(torch.from_numpy(o), -1).numpy()


def every_sequence(net: dict[str, np.ndarray], steps: int = T, **changes: np.ndarray):
    """Return all K^steps sequences, (steps, N), and their log-probabilities for one x."""
    all_y = np.array(list(itertools.product(range(K), repeat=steps))).T
    N = all_y.shape[1]
    net = {**net, **changes}
    x = np.repeat(net["x"][:steps, :1], N, axis=1)
    h0, y0 = np.repeat(net["h0"][:1], N, axis=0), np.repeat(net["y0"][:1], N)
    return all_y, log_likelihood(x, h0, y0, all_y, np.ones((steps, N)), *weights(net, "UFWbVc"))


# ------------------------------------------------------------------------- output at every step


@pytest.mark.equation("4.1")
def test_without_feedback_the_joint_is_a_product(net):
    all_y, logp = every_sequence(net, F=np.zeros((H, K)))
    _, o = bptt.forward(net["x"], net["h0"], *weights(net, "UWbVc"))
    each = log_softmax(o[:, 0])
    close(logp, each[np.arange(T)[:, None], all_y].sum(0))
    # With feedback it is none: the marginals' product is not the joint.
    _, fed = every_sequence(net)
    p = np.exp(fed)
    marginal = np.array([[p[all_y[t] == k].sum() for k in range(K)] for t in range(T)])
    product = marginal[np.arange(T)[:, None], all_y].prod(0)
    assert np.abs(product - p).max() > 1e-3


@pytest.mark.equation("4.2")
def test_loss_is_the_negative_logarithm(net):
    _, o = bptt.forward(net["x"], net["h0"], *weights(net, "UWbVc"))
    ones = np.ones((T, B))
    logp = log_likelihood(
        net["x"], net["h0"], net["y0"], net["y"], ones, net["U"], np.zeros((H, K)),
        *weights(net, "WbVc"),
    )  # fmt: skip
    close(bptt.loss(o, net["y"], ones), -logp.sum())


def ring(steps: int, places: int = 4, slip: float = 0.1) -> np.ndarray:
    """Return the joint distribution of `lab.walk` for inputs that all say "forward"."""
    p = np.zeros((places,) * steps)
    for path in np.ndindex(p.shape):
        p[path] = 1 / places
        for a, b in itertools.pairwise(path):
            p[path] *= 1 - slip if (b - a) % places == 1 else slip / (places - 1)
    return p


def information(p: np.ndarray, t: int) -> float:
    """Return I(y(t); y(1) ... y(t-1)) of a joint distribution, t from 1, by its definition."""
    joint = p.sum(tuple(range(t, p.ndim))).reshape(-1, p.shape[t - 1])
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    return float((joint * np.log(joint / product)).sum())


@pytest.mark.equation("4.3")
def test_marginals_less_information_is_the_joint():
    p = ring(4)
    joint = lab.entropy(p.ravel())
    marginals = [p.sum(tuple(s for s in range(4) if s != t)) for t in range(4)]
    total = sum(lab.entropy(m) for m in marginals)
    assert total == pytest.approx(joint + sum(information(p, t) for t in (2, 3, 4)), rel=EXACT)
    assert total == pytest.approx(4 * np.log(4), rel=EXACT)
    assert joint == pytest.approx(np.log(4) + 3 * lab.entropy([0.9, *[0.1 / 3] * 3]), rel=EXACT)


@pytest.mark.equation("4.3")
def test_no_product_does_better_than_the_marginals():
    p, rng = ring(3), np.random.default_rng(1)
    best = sum(lab.entropy(p.sum(tuple(s for s in range(3) if s != t))) for t in range(3))
    for _ in range(50):
        q = rng.dirichlet(np.ones(4), 3)
        product = q[0][:, None, None] * q[1][:, None] * q[2]
        assert -(p * np.log(product)).sum() >= best - EXACT


# -------------------------------------------------------------------- recurrence from the output


def column(net, x: np.ndarray, fed: int) -> tuple[np.ndarray, np.ndarray]:
    """One step of (4.4) for one sequence, columns, the one-hot vector written out."""
    e = np.zeros(K)
    e[fed] = 1.0
    h = np.tanh(net["b"] + net["U"] @ x + net["F"] @ e)
    return h, net["c"] + net["V"] @ h


@pytest.mark.equation("4.4")
def test_teacher_forced_column_by_column(net):
    h, o = teacher_forced(net["x"], net["y0"], net["y"], *weights(net, "UFbVc"))
    for t, n in np.ndindex(T, B):
        fed = net["y"][t - 1, n] if t else net["y0"][n]
        one, two = column(net, net["x"][t, n], fed)
        close(h[t, n], one)
        close(o[t, n], two)


@pytest.mark.equation("4.5")
def test_two_steps_by_conditional_probability(net):
    """The conditional is computed from the joint, not by the network."""
    all_y, logp = every_sequence(net, 2, W=np.zeros((H, H)))
    table = np.empty((K, K))
    table[all_y[0], all_y[1]] = np.exp(logp)
    first = table.sum(1)
    conditional = table / first[:, None]
    close(table.sum(), 1)
    close(np.log(table), np.log(conditional) + np.log(first)[:, None])
    _, o = teacher_forced(
        np.repeat(net["x"][:2, :1], K, 1), np.repeat(net["y0"][:1], K),
        np.repeat(np.arange(K)[None], 2, 0), *weights(net, "UFbVc"),
    )  # fmt: skip
    close(np.log(first), log_softmax(o[0])[0])
    close(np.log(conditional), log_softmax(o[1]))  # row k: y(1) = k was fed


@pytest.mark.equation("4.6")
def test_gradient_without_time(net):
    p = {name: net[name] for name in "UFbVc"}
    found = lab.forced_gradient(net["x"], net["y0"], net["y"], p)
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in p.items()}
    x, fed = torch.from_numpy(net["x"]), np.eye(K)[lab.before(net["y0"], net["y"])]
    h = torch.tanh(x @ leaves["U"].T + torch.from_numpy(fed) @ leaves["F"].T + leaves["b"])
    h.retain_grad()
    o = h @ leaves["V"].T + leaves["c"]
    o.retain_grad()
    lab.nll(o, net["y"]).sum().backward()
    for name, leaf in leaves.items():
        close(found[name], leaf.grad.numpy())
    close(h.grad.numpy(), (o.grad @ leaves["V"]).detach().numpy())


@pytest.mark.equation("4.7")
def test_closed_loop_column_by_column(net):
    p = {**net, "F": 4 * net["F"], "V": 3 * net["V"]}
    o = closed_loop(net["x"], net["y0"], *weights(p, "UFbVc"))
    changes = 0
    for n in range(B):
        fed = net["y0"][n]
        for t in range(T):
            _, out = column(p, net["x"][t, n], fed)
            close(o[t, n], out)
            changes += int(np.argmax(out)) != fed
            fed = int(np.argmax(out))
    assert changes >= 2  # the feedback matters


@pytest.mark.equation("4.8")
def test_error_of_a_run_that_repeats_itself():
    """The truth is a Markov chain, and what is said is where it began: a matrix power."""
    steps = np.arange(1, 30)
    stay = lab.STAY
    move = np.full((4, 4), (1 - stay) / 3) + np.eye(4) * (stay - (1 - stay) / 3)
    wrong = [1 - np.linalg.matrix_power(move, int(t))[0, 0] for t in steps]
    close(lab.drift(steps), np.array(wrong))


@pytest.mark.equation("4.8")
def test_teacher_forced_optimum_says_what_it_was_told():
    """By Bayes, with every pair of previous class and input; else (4.8) would not apply."""
    stay, right = lab.STAY, lab.RIGHT
    for before, seen in itertools.product(range(4), repeat=2):
        weight = [
            (stay if k == before else (1 - stay) / 3) * (right if k == seen else (1 - right) / 3)
            for k in range(4)
        ]
        assert int(np.argmax(weight)) == before


@pytest.mark.equation("4.9")
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 0.7, 1.0])
def test_scheduled_column_by_column(net, epsilon):
    p = {**net, "F": 4 * net["F"], "V": 3 * net["V"]}
    u = np.random.default_rng(2).random((T, B))
    o = scheduled(net["x"], net["y0"], net["y"], u, epsilon, *weights(p, "UFbVc"))
    for n in range(B):
        fed = net["y0"][n]
        for t in range(T):
            if t and u[t, n] < epsilon:
                fed = net["y"][t - 1, n]
            _, out = column(p, net["x"][t, n], fed)
            close(o[t, n], out)
            fed = int(np.argmax(out))


@pytest.mark.equation("4.10")
def test_curriculum_falls_from_one_to_zero():
    updates = 1000
    epsilon = np.array([lab.curriculum("scheduled", i, updates) for i in range(updates)])
    assert (np.diff(epsilon) < 0).all()
    assert epsilon[0] == pytest.approx(1, abs=0.01)
    k = updates / 10
    assert np.interp(k * np.log(k), np.arange(updates), epsilon) == pytest.approx(0.5, abs=1e-4)
    assert epsilon[-1] < 0.01


@pytest.mark.equation("4.11")
def test_what_is_fed_and_what_is_wanted():
    """The joint distribution of (fed, target), summed over the coin and the network's own draw."""
    for epsilon in (0.0, 0.25, 1.0):
        joint = np.zeros((2, 2))
        for target, own in itertools.product(range(2), repeat=2):
            joint[target, target] += 0.25 * epsilon
            joint[own, target] += 0.25 * (1 - epsilon)
        given = joint / joint.sum(1, keepdims=True)
        close(np.diag(given), np.full(2, (1 + epsilon) / 2))


# ----------------------------------------------------------------------- a sequence in, a vector


MASK = (np.arange(T)[:, None] < np.array([2, 4, 1])).astype(float)


@pytest.mark.equation("4.12")
def test_summaries_sequence_by_sequence():
    h = np.random.default_rng(3).normal(size=(T, B, H))
    last, mean = readout(h, MASK)
    for n in range(B):
        own = h[: int(MASK[:, n].sum()), n]
        close(last[n], own[-1])
        close(mean[n], np.mean(own, axis=0))


@pytest.mark.equation("4.13")
def test_gradient_at_the_states_is_autograds():
    rng = np.random.default_rng(4)
    h = torch.tensor(rng.normal(size=(T, B, H)), requires_grad=True)
    dlast, dmean = rng.normal(size=(2, B, H))
    total = 0.0
    for n in range(B):
        own = h[: int(MASK[:, n].sum()), n]
        total = total + own[-1] @ torch.from_numpy(dlast[n])
        total = total + own.mean(0) @ torch.from_numpy(dmean[n])
    total.backward()
    close(readout_grad(dlast, dmean, MASK), h.grad.numpy())


@pytest.mark.equation("4.14")
def test_all_that_the_network_hears_is_the_gradient_at_q(net):
    """Through a network downstream, by hand, against autograd through everything."""
    rng = np.random.default_rng(5)
    A, target = rng.normal(size=(2, H)), rng.normal(size=(B, 2))
    W = torch.tensor(net["W"], requires_grad=True)
    x, U, b = (torch.from_numpy(net[name]) for name in ("x", "U", "b"))
    state, states = torch.from_numpy(net["h0"]), []
    for t in range(T):
        state = torch.tanh(x[t] @ U.T + state @ W.T + b)
        states.append(state)
    share = torch.from_numpy(MASK / MASK.sum(0))
    q = (share[..., None] * torch.stack(states)).sum(0)
    z = torch.tanh(q @ torch.from_numpy(A).T)
    ((z - torch.from_numpy(target)) ** 2).sum().backward()

    h, _ = bptt.forward(net["x"], net["h0"], *weights(net, "UWbVc"))
    _, mean = readout(h, MASK)
    z = np.tanh(mean @ A.T)
    dq = (2 * (z - target) * (1 - z * z)) @ A  # (4.14): f(q) = tanh(A q)
    direct = readout_grad(np.zeros_like(dq), dq, MASK)
    dh = bptt.grad_h(direct, h, net["W"], np.eye(H))
    dW = bptt.grad_params(dh, direct, net["x"], h, net["h0"])[1]
    close(dW, W.grad.numpy())


# --------------------------------------------------------- a vector in; outputs beside inputs


@pytest.mark.equation("4.15")
def test_vector_to_sequence_is_a_network_with_another_bias(net):
    """For each example, torch.nn.RNN on one-hot words, with b + R x for its bias."""
    x = net["x"][0]
    h, o = vector_to_sequence(x, net["h0"], net["y0"], net["y"], *weights(net, "RFWbVc"))
    fed = np.eye(K)[lab.before(net["y0"], net["y"])]
    for n in range(B):
        rnn = torch.nn.RNN(K, H, dtype=torch.float64)
        lab.put(rnn, "l0", net["F"], net["W"], net["b"] + net["R"] @ x[n])
        start = torch.from_numpy(net["h0"][n])[None]
        states = rnn(torch.from_numpy(fed[:, n]), start)[0].detach().numpy()
        close(h[:, n], states)
        close(o[:, n], states @ net["V"].T + net["c"])


@pytest.mark.equation("4.16")
@pytest.mark.equation("4.17")
def test_probabilities_of_all_sequences_sum_to_one(net):
    _, logp = every_sequence(net)
    assert len(logp) == K**T
    close(np.exp(logp).sum(), 1)


@pytest.mark.equation("4.16")
@pytest.mark.equation("4.17")
def test_log_likelihood_is_torch_rnn_and_cross_entropy(net):
    mask = np.ones((T, B))
    mask[2:, 1] = 0.0
    found = {f.function: f.difference for f in lab.agreement()}
    assert found["log_likelihood"] < EXACT
    rnn = torch.nn.RNN(D + K, H, dtype=torch.float64)
    lab.put(rnn, "l0", np.hstack([net["U"], net["F"]]), net["W"], net["b"])
    fed = np.eye(K)[lab.before(net["y0"], net["y"])]
    given = torch.from_numpy(np.concatenate([net["x"], fed], -1))
    h = rnn(given, torch.from_numpy(net["h0"])[None])[0].detach().numpy()
    each = log_softmax(h @ net["V"].T + net["c"])
    picked = np.take_along_axis(each, net["y"][..., None], -1)[..., 0]
    logp = log_likelihood(
        *(net[name] for name in ("x", "h0", "y0", "y")), mask, *weights(net, "UFWbVc")
    )
    close(logp, (mask * picked).sum(0))


# ----------------------------------------------------------------------- directions and layers


def directions() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(6)
    shapes = ((B, H), (B, H), (H, D), (H, H), (H,), (H, D), (H, H), (H,))
    return tuple(rng.normal(0, 0.6, shape) for shape in shapes)


@pytest.mark.equation("4.18")
@pytest.mark.equation("4.19")
def test_bidirectional_is_torch_rnn_packed(net):
    lengths = np.array([2, 4, 3])
    h0, g0, *six = directions()
    s = bidirectional(net["x"], lengths, h0, g0, *six)
    rnn = torch.nn.RNN(D, H, bidirectional=True, dtype=torch.float64)
    lab.put(rnn, "l0", *six[:3])
    lab.put(rnn, "l0_reverse", *six[3:])
    rows = torch.nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(net["x"]), torch.from_numpy(lengths), enforce_sorted=False
    )
    out, _ = rnn(rows, torch.from_numpy(np.stack([h0, g0])))
    theirs, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=T)
    close(s, theirs.detach().numpy())


@pytest.mark.equation("4.19")
def test_reversal_is_its_own_inverse_and_leaves_the_padding():
    lengths = np.arange(1, 8)
    turned = lab.reversed_by_length(7, lengths)
    for n, length in enumerate(lengths):
        assert list(turned[:length, n]) == list(range(length))[::-1]
        assert list(turned[length:, n]) == list(range(length, 7))
        assert list(turned[turned[:, n], n]) == list(range(7))


@pytest.mark.equation("4.20")
def test_deep_is_torch_rnn(net):
    rng = np.random.default_rng(7)
    U = [rng.normal(0, 0.5, (H, D)), rng.normal(0, 0.5, (H, H)), rng.normal(0, 0.5, (H, H))]
    W, b = [rng.normal(0, 0.5, (H, H)) for _ in U], [rng.normal(0, 0.5, H) for _ in U]
    h0 = rng.normal(0, 0.5, (3, B, H))
    rnn = torch.nn.RNN(D, H, num_layers=3, dtype=torch.float64)
    for j, three in enumerate(zip(U, W, b, strict=True)):
        lab.put(rnn, f"l{j}", *three)
    top, last = rnn(torch.from_numpy(net["x"]), torch.from_numpy(h0))
    h = deep(net["x"], h0, U, W, b)
    close(h[-1], top.detach().numpy())
    close(h[:, -1], last.detach().numpy())


@pytest.mark.equation("4.20")
def test_the_lectures_indices_make_every_layer_late():
    found = lab.deep_errata()
    assert [each.ours for each in found[:3]] == ["1", "1", "1"]
    assert [each.theirs for each in found[:3]] == ["2", "3", "4"]
    assert found[3].theirs.startswith("no")


@pytest.mark.equation("4.18")
@pytest.mark.equation("4.20")
def test_packed_is_bidirectional_twice():
    rng = np.random.default_rng(8)
    x, lengths = rng.normal(size=(T, B, D)), np.array([2, 1, 3])  # none as long as the array
    U = [rng.normal(0, 0.5, (H, n)) for n in (D, D, 2 * H, 2 * H)]
    W, b = [rng.normal(0, 0.5, (H, H)) for _ in U], [rng.normal(0, 0.5, H) for _ in U]
    tensors = [[torch.from_numpy(v) for v in values] for values in (U, W, b)]
    s = packed(torch.from_numpy(x), torch.from_numpy(lengths), *tensors)
    mine, zero = x, np.zeros((B, H))
    for i in (0, 2):
        mine = bidirectional(
            mine, lengths, zero, zero, U[i], W[i], b[i], U[i + 1], W[i + 1], b[i + 1]
        )
    close(s.detach().numpy(), mine)


@pytest.mark.equation("4.21")
def test_f1_is_the_harmonic_mean_over_spans():
    from figures.taxonomy_types import spans

    rng = np.random.default_rng(9)
    y, y_hat = rng.choice(3, (2, 9, 5), p=(0.4, 0.35, 0.25))
    y_hat = np.where(rng.random(y.shape) < 0.6, y, y_hat)
    lengths = np.array([9, 3, 6, 1, 8])
    mask = (np.arange(9)[:, None] < lengths).astype(float)
    accuracy, f1 = span_scores(y, y_hat, mask)
    true, said = (
        {(n, *span) for n in range(5) for span in spans(tags[: lengths[n], n])}
        for tags in (y, y_hat)
    )
    precision, recall = len(true & said) / len(said), len(true & said) / len(true)
    assert f1 == pytest.approx(2 / (1 / precision + 1 / recall), rel=EXACT)
    assert accuracy == pytest.approx((y == y_hat)[mask > 0].mean(), rel=EXACT)


# ------------------------------------------------------------------- looks, choices, drawings


@pytest.mark.equation("4.22")
def test_glimpse_by_slices():
    """One picture with a wide border of zeros, cut by slices, pooled by PyTorch."""
    rng = np.random.default_rng(10)
    x, centre = rng.normal(size=(2, 12, 9)), np.array([[0.2, -0.7], [1.0, -1.0]])
    patches = glimpse(x, centre, size=4, scales=3)
    for n in range(2):
        wide = np.pad(x[n], 40)
        row, column = (
            int(np.floor((c + 1) / 2 * (S - 1) + 0.5))
            for c, S in zip(centre[n], (12, 9), strict=True)
        )
        for k in range(3):
            r, c = row - 4 * 2**k // 2 + 40, column - 4 * 2**k // 2 + 40
            cut = torch.from_numpy(wide[r : r + 4 * 2**k, c : c + 4 * 2**k])
            close(patches[n, k], torch.nn.functional.avg_pool2d(cut[None], 2**k)[0].numpy())


def expectation(f, mu: float, sigma: float) -> float:
    """Return E f(l) for l ~ N(mu, sigma^2), by Gauss-Hermite quadrature."""
    points, shares = np.polynomial.hermite_e.hermegauss(80)
    return float((shares / shares.sum()) @ f(mu + sigma * points))


def reward(place: np.ndarray) -> np.ndarray:
    return 2 + np.exp(-((place - 1) ** 2))


@pytest.mark.equation("4.23")
def test_gradient_of_an_expectation():
    mu, sigma, h = 0.3, 0.6, 1e-5
    by_difference = (expectation(reward, mu + h, sigma) - expectation(reward, mu - h, sigma)) / 2
    score = expectation(lambda p: reward(p) * (p - mu) / sigma**2, mu, sigma)
    assert score == pytest.approx(by_difference / h, abs=1e-8)  # central differences, h = 1e-5
    assert score == pytest.approx(lab.expected_reward(mu, sigma)[1], abs=1e-10)
    assert expectation(reward, mu, sigma) == pytest.approx(
        lab.expected_reward(mu, sigma)[0], abs=1e-10
    )


@pytest.mark.equation("4.24")
def test_score_of_a_normal_distribution():
    mean = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)
    place = torch.tensor([0.7, 0.4], dtype=torch.float64)
    torch.distributions.Normal(mean, 0.4).log_prob(place).sum().backward()
    close(mean.grad.numpy(), ((place - mean) / 0.4**2).detach().numpy())


@pytest.mark.equation("4.25")
def test_a_baseline_leaves_the_mean_and_changes_the_variance():
    mu, sigma = 0.0, 0.5

    def second_moment(beta: float) -> float:
        return expectation(lambda p: ((reward(p) - beta) * (p - mu) / sigma**2) ** 2, mu, sigma)

    for beta in (0.0, 2.3, -5.0):
        mean = expectation(lambda p, b=beta: (reward(p) - b) * (p - mu) / sigma**2, mu, sigma)
        assert mean == pytest.approx(lab.expected_reward(mu, sigma)[1], abs=1e-10)
    weight = expectation(lambda p: (p - mu) ** 2, mu, sigma)
    best = expectation(lambda p: reward(p) * (p - mu) ** 2, mu, sigma) / weight
    assert second_moment(best) < min(second_moment(best - 0.1), second_moment(best + 0.1))
    assert second_moment(best) < second_moment(0.0) / 30


@pytest.mark.equation("4.25")
def test_reinforce_grad_is_right_on_average():
    """Many draws of one choice in two directions, against the exact gradient; four deviations."""
    rng, n, sigma = np.random.default_rng(11), 400_000, 0.5
    mean = np.zeros((1, n, 2))
    place = mean + sigma * rng.normal(size=mean.shape)
    earned = reward(place[..., 0]) + place[..., 1]  # E[R] has the derivative 1 for the second
    found = reinforce_grad(mean, place, sigma, earned, np.full((1, n), 2.3)) * n
    exact = np.array([lab.expected_reward(0.0, sigma)[1], 1.0])
    error = np.abs(found.mean((0, 1)) - exact)
    assert (error < 4 * found.std((0, 1)) / np.sqrt(n)).all()


@pytest.mark.equation("4.26")
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.9, 0.5**0.5), (0.4, 0.3)])
def test_bound_is_above_and_touches_at_the_posterior(mean, deviation):
    """z ~ N(0, 1), x | z ~ N(z, 1): then x ~ N(0, 2), and z | x ~ N(x/2, 1/2)."""
    x = 1.8
    exact = 0.5 * np.log(2 * np.pi * 2) + x**2 / 4
    picture = expectation(lambda z: 0.5 * np.log(2 * np.pi) + (x - z) ** 2 / 2, mean, deviation)
    bound = picture + latent_cost(np.full((1, 1, 1), mean), np.full((1, 1, 1), deviation))[0]
    assert bound >= exact - 1e-12
    posterior = torch.distributions.Normal(x / 2, 0.5**0.5)
    gap = torch.distributions.kl_divergence(torch.distributions.Normal(mean, deviation), posterior)
    assert bound - exact == pytest.approx(float(gap), abs=1e-6)  # torch's defaults are float32


@pytest.mark.equation("4.27")
def test_window_point_by_point():
    rng = np.random.default_rng(12)
    params, A, B_, N = rng.normal(0, 0.4, (3, 5)), 8, 6, 4
    F_x, F_y, gamma = gaussian_window(params, A, B_, N)
    close(F_x.sum(-1), np.ones((3, N)))
    close(gamma, np.exp(params[:, 4]))
    for m in range(3):
        delta = (A - 1) / (N - 1) * np.exp(params[m, 3])
        for F, pixels, c in ((F_x[m], A, params[m, 0]), (F_y[m], B_, params[m, 1])):
            for i in range(1, N + 1):
                mu = (pixels + 1) / 2 * (c + 1) + (i - N / 2 - 0.5) * delta
                variance = torch.tensor(np.exp(params[m, 2]))
                normal = torch.distributions.Normal(torch.tensor(mu), variance.sqrt())
                p = normal.log_prob(torch.arange(1, pixels + 1)).exp()
                close(F[i - 1], (p / p.sum()).numpy())


@pytest.mark.equation("4.27")
def test_what_is_written_is_read_again_where_the_window_is_narrow():
    """With one point a pixel, and nearly no width, reading undoes writing."""
    params = np.array([[0.0, 0.0, -8.0, 0.0, 0.7]])
    window = gaussian_window(params, 5, 5, 5)
    patch = np.random.default_rng(13).normal(size=(1, 5, 5))
    np.testing.assert_allclose(read(write(patch, *window), *window), patch, atol=1e-9)


@pytest.mark.equation("4.28")
def test_latent_cost_is_torchs_divergence():
    rng = np.random.default_rng(14)
    mu, sigma = rng.normal(size=(3, 2, 4)), rng.uniform(0.3, 2, (3, 2, 4))
    q = torch.distributions.Normal(torch.from_numpy(mu), torch.from_numpy(sigma))
    prior = torch.distributions.Normal(
        torch.zeros(3, 2, 4, dtype=torch.float64), torch.ones(3, 2, 4, dtype=torch.float64)
    )
    close(latent_cost(mu, sigma), torch.distributions.kl_divergence(q, prior).sum((0, 2)).numpy())


@pytest.mark.equation("4.28")
def test_latents_that_depend_on_earlier_ones_cost_the_mean_over_draws():
    """Two steps, mu(2) = a z(1): both latents are one normal vector, with a closed divergence."""
    m, s1, a, s2 = 0.7, 0.5, 1.3, 0.8
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)  # exact: the cost is a polynomial in z
    z = m + s1 * nodes
    mu = np.stack([np.full(20, m), a * z])[..., None]
    sigma = np.stack([np.full(20, s1), np.full(20, s2)])[..., None]
    mean = (weights * latent_cost(mu, sigma)).sum() / weights.sum()
    centre = torch.tensor([m, a * m], dtype=torch.float64)
    spread = [[s1**2, a * s1**2], [a * s1**2, a**2 * s1**2 + s2**2]]
    normal = torch.distributions.MultivariateNormal
    q = normal(centre, torch.tensor(spread, dtype=torch.float64))
    prior = normal(torch.zeros_like(centre), torch.eye(2, dtype=torch.float64))
    assert mean == pytest.approx(float(torch.distributions.kl_divergence(q, prior)), rel=1e-12)


def test_picture_cost_is_binary_cross_entropy():
    rng = np.random.default_rng(15)
    x, canvas = rng.integers(0, 2, (2, 9)).astype(float), 20 * rng.normal(size=(2, 9))
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(canvas), torch.from_numpy(x), reduction="none"
    )
    close(picture_cost(x, canvas), theirs.sum(1).numpy())
