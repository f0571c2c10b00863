"""Every numbered equation of chapter 7, by a second method in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from figures import learning as lab
from figures import learning_tasks as tasks
from figures import learning_training as train

from solutions import learning as rules

N = 5
STEP = 1e-30


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def vectors(rng, count):
    return [rng.normal(size=N) for _ in range(count)]


@pytest.mark.equation("7.1")
def test_gradient_descent_solves_a_quadratic_as_its_matrix_power_says(rng):
    H = np.diag(rng.uniform(0.1, 1, N))
    theta = start = rng.normal(size=N)
    for _ in range(9):
        theta, _ = rules.momentum(theta, H @ theta, np.zeros(N), 0.3, 0.0)
    np.testing.assert_allclose(
        theta, np.linalg.matrix_power(np.eye(N) - 0.3 * H, 9) @ start, rtol=1e-12
    )


@pytest.mark.equation("7.2")
def test_velocity_is_a_sum_with_powers_of_mu(rng):
    gradients = rng.normal(size=(6, N))
    theta, v = np.zeros(N), np.zeros(N)
    for d in gradients:
        theta, v = rules.momentum(theta, d, v, 0.1, 0.7)
    powers = 0.7 ** np.arange(5, -1, -1)
    np.testing.assert_allclose(v, powers @ gradients, rtol=1e-12)
    # theta collects every gradient with the sum of the powers that it has lived through
    lived = (1 - 0.7 ** np.arange(6, 0, -1)) / 0.3
    np.testing.assert_allclose(theta, -0.1 * lived @ gradients, rtol=1e-12)


@pytest.mark.equation("7.3")
def test_nesterov_is_momentum_whose_gradient_is_taken_ahead(rng):
    H = np.diag(rng.uniform(0.1, 2, N))
    here, u = rng.normal(size=N), np.zeros(N)
    ahead, v = here.copy(), np.zeros(N)
    for _ in range(12):
        u = 0.8 * u + H @ (here - 0.1 * 0.8 * u)  # the gradient where the velocity leads
        here = here - 0.1 * u
        ahead, v = rules.nesterov(ahead, H @ ahead, v, 0.1, 0.8)
        np.testing.assert_allclose(ahead, here - 0.1 * 0.8 * u, rtol=1e-12)


@pytest.mark.equation("7.4")
def test_adagrad_steps_with_steady_gradients_fall_like_one_over_root_t(rng):
    d, s, theta = rng.normal(size=N), np.zeros(N), np.zeros(N)
    for t in range(1, 8):
        before = theta
        theta, s = rules.adagrad(theta, d, s, 0.3, 0.0)
        np.testing.assert_allclose(theta - before, -0.3 * np.sign(d) / np.sqrt(t), rtol=1e-12)


@pytest.mark.equation("7.5")
def test_rmsprop_has_a_weighted_mean_of_squares(rng):
    gradients = rng.normal(size=(7, N))
    theta, s = np.zeros(N), np.zeros(N)
    for d in gradients:
        before = theta
        theta, s = rules.rmsprop(theta, d, s, 0.3, 0.8, 0.01)
    weights = 0.2 * 0.8 ** np.arange(6, -1, -1)
    mean = weights @ gradients**2
    np.testing.assert_allclose(s, mean, rtol=1e-12)
    np.testing.assert_allclose(
        theta - before, -0.3 * gradients[-1] / (np.sqrt(mean) + 0.01), rtol=1e-12
    )


@pytest.mark.equation("7.6")
def test_adam_divides_true_weighted_means(rng):
    gradients = rng.normal(size=(7, N))
    theta, m, s = np.zeros(N), np.zeros(N), np.zeros(N)
    for t, d in enumerate(gradients, 1):
        before = theta
        theta, m, s = rules.adam(theta, d, m, s, t, 0.3, 0.6, 0.9, 1e-3)
    age = np.arange(6, -1, -1)
    first = np.average(gradients, axis=0, weights=0.6**age)
    second = np.average(gradients**2, axis=0, weights=0.9**age)
    np.testing.assert_allclose(theta - before, -0.3 * first / (np.sqrt(second) + 1e-3), rtol=1e-12)


@pytest.mark.equation("7.7")
def test_adamw_without_gradient_shrinks_geometrically(rng):
    theta, m, s = rng.normal(size=N), np.zeros(N), np.zeros(N)
    start = theta
    for t in range(1, 9):
        theta, m, s = rules.adamw(theta, np.zeros(N), m, s, t, 0.1, 0.9, 0.99, 1e-8, 0.5)
    np.testing.assert_allclose(theta, 0.95**8 * start, rtol=1e-12)


@pytest.mark.equation("7.8")
def test_adabound_has_two_limits(rng):
    theta, d, m = vectors(rng, 3)
    s = rng.uniform(0.5, 2, N)
    # Closed bounds: momentum with the final rate over root t.
    moved, new, _ = rules.adabound(theta, d, m, s, 4, 0.3, 0.02, 1e12, 0.9, 0.99, 0.0)
    np.testing.assert_allclose(moved, theta - 0.02 / 2 * new, rtol=1e-9)
    # Open bounds: Adam without corrections.
    moved, new, root = rules.adabound(theta, d, m, s, 4, 0.3, 0.02, 1e-12, 0.9, 0.99, 0.0)
    np.testing.assert_allclose(moved, theta - 0.3 / 2 * new / np.sqrt(root), rtol=1e-9)


@pytest.mark.equation("7.10")
def test_no_other_rates_beat_chebyshev_s(rng):
    low, high, T = 0.3, 4.0, 6
    rates, factor = rules.chebyshev(low, high, T)
    curvature = np.linspace(low, high, 20_001)

    def worst(rates):
        return np.abs(np.prod(1 - rates[:, None] * curvature, axis=0)).max()

    assert worst(rates) == pytest.approx(factor, rel=1e-6)
    for _ in range(200):
        assert worst(rates * np.exp(0.05 * rng.normal(size=T))) > factor


@pytest.mark.equation("7.14")
def test_meta_loss_of_no_movement_is_the_loss_times_the_weights(rng):
    W, y, theta = rng.normal(size=(3, 4, N)), rng.normal(size=(3, 4)), rng.normal(size=(3, N))
    w = rng.uniform(size=6)
    found = rules.meta_loss(W, y, theta, np.zeros((3, N)), 0.0, 0.5, w)
    each = [np.linalg.norm(W[i] @ theta[i] - y[i]) ** 2 for i in range(3)]
    assert found == pytest.approx(w.sum() * np.mean(each), rel=1e-12)


def random_phi(rng, features, H=3):
    shapes = (4 * H, features), (4 * H, H), (4 * H,), (4 * H, H), (4 * H, H), (4 * H,), (H,), (1,)
    return [rng.normal(size=shape) for shape in shapes]


def torch_lstm(phi, features, H=3):
    lstm = torch.nn.LSTM(features, H, 2, dtype=torch.float64)
    with torch.no_grad():
        for layer in (0, 1):
            U, W, b = (torch.from_numpy(p) for p in phi[3 * layer : 3 * layer + 3])
            getattr(lstm, f"weight_ih_l{layer}").copy_(U)
            getattr(lstm, f"weight_hh_l{layer}").copy_(W)
            getattr(lstm, f"bias_ih_l{layer}").copy_(b)
            getattr(lstm, f"bias_hh_l{layer}").zero_()
    return lstm


@pytest.mark.equation("7.11")
@pytest.mark.equation("7.13")
def test_rule_is_torch_s_lstm_with_coordinates_as_batch(rng):
    phi = random_phi(rng, 2)
    lstm = torch_lstm(phi, 2)
    x = rng.normal(size=(6, N, 2))
    h, c = np.zeros((2, N, 3)), np.zeros((2, N, 3))
    steps = []
    for each in x:
        g, h, c = rules.coordinatewise(each, h, c, phi, 0.1)
        steps.append(g)
    hidden, (h_torch, c_torch) = lstm(torch.from_numpy(x))
    np.testing.assert_allclose(h, h_torch.detach(), atol=1e-12)
    np.testing.assert_allclose(c, c_torch.detach(), atol=1e-12)
    readout = 0.1 * (hidden.detach().numpy() @ phi[6] + phi[7])
    np.testing.assert_allclose(steps, readout, atol=1e-12)


@pytest.mark.equation("7.12")
def test_features_are_continuous_at_the_border_and_the_same_in_torch():
    border = np.exp(-10.0)
    near = np.array([border * (1 - 1e-9), border * (1 + 1e-9)])
    for sign in (1, -1):
        below, above = rules.preprocess(sign * near, 10.0)
        np.testing.assert_allclose(below, above, atol=1e-8)
    gradient = np.concatenate([[0.0], 10.0 ** np.arange(-8, 3), -(10.0 ** np.arange(-8, 3))])
    twin = train.LearnedOptimizer(p=10.0).features(torch.from_numpy(gradient))
    np.testing.assert_allclose(rules.preprocess(gradient, 10.0), twin, atol=1e-12)


def scalar_problem(rng):
    """One quadratic of one number, and a rule with two parameters and one number of state."""
    return rng.uniform(0.5, 1.5), rng.normal(), rng.normal(size=5), np.array([-0.2, 0.4])


@pytest.mark.equation("7.15")
@pytest.mark.equation("7.16")
def test_adjoints_give_the_meta_gradient_of_a_rule_with_its_own_jacobians(rng):
    """s' = tanh(d + b s), g = a s', on f = k (theta - y)^2 / 2: all Jacobians are numbers."""
    k, y, w, phi = scalar_problem(rng)

    def run(phi):
        a, b = phi
        theta, s, kept, L = 0.7, 0.3, [], 0.0
        for weight in w:
            d = k * (theta - y)
            new = np.tanh(d + b * s)
            kept.append((s, new))
            s, theta = new, theta + a * new
            L = L + weight * k * (theta - y) ** 2 / 2
            kept[-1] += (k * (theta - y),)
        return L, kept

    truth = [run(phi.astype(complex) + 1j * STEP * unit)[0].imag / STEP for unit in np.eye(2)]
    (a, b), (_, kept) = phi, run(phi)
    lam = nu = da = db = slope = 0.0  # after the last step; slope is that of the next step's tanh
    for weight, (s, new, slope_f) in zip(w[::-1], kept[::-1], strict=True):
        # The next step's Jacobians: dg/dd, ds'/dd, dg/ds, ds'/ds.
        g_d, s_d, g_s, s_s = a * slope, slope, a * b * slope, b * slope
        lam, nu = (
            weight * slope_f + lam + k * (g_d * lam + s_d * nu),  # (7.15)
            g_s * lam + s_s * nu,
        )
        slope = 1 - new**2
        da += new * lam  # (7.16): dg/da, and ds'/da = 0
        db += a * slope * s * lam + slope * s * nu
    np.testing.assert_allclose([da, db], truth, rtol=1e-10)


@pytest.mark.equation("7.17")
def test_surrogate_is_what_detaching_the_gradient_gives():
    W, y, theta, phi = lab.small_problem()
    T = 6
    _, dropped = rules.learned_meta_gradient(W, y, theta, phi, T, False)
    # The recorded run, then the LSTM over the record with the sums of later gradients.
    F, n = theta.shape
    h = torch.zeros(2, F * n, len(phi[6]), dtype=theta.dtype)
    c, path = torch.zeros_like(h), [theta]

    def gradient(theta):
        return 2 * (((W @ theta[..., None])[..., 0] - y)[:, None] @ W)[:, 0]

    for _ in range(T):
        step, h, c = rules.learned_step(gradient(path[-1]).reshape(-1, 1), h, c, phi)
        path.append(path[-1] + step.view(F, n))
    gradients = torch.stack([gradient(x) for x in path])
    leaves = [p.clone().requires_grad_() for p in phi]
    h, c = torch.zeros_like(h), torch.zeros_like(c)
    surrogate = torch.zeros((), dtype=theta.dtype)
    for t in range(T):
        step, h, c = rules.learned_step(gradients[t].reshape(-1, 1), h, c, leaves)
        surrogate = surrogate + (gradients[t + 1 :].sum(0) / F * step.view(F, n)).sum()
    for one, other in zip(torch.autograd.grad(surrogate, leaves), dropped, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.equation("7.20")
def test_logarithm_divides_each_gradient_by_its_value(rng):
    W, y, theta = rng.normal(size=(4, N)), rng.normal(size=4), rng.normal(size=N)
    value = ((W @ theta - y) ** 2).sum()
    formula = 2 * W.T @ (W @ theta - y) / value

    def log_f(theta):
        return np.log(((W @ theta - y) ** 2).sum())

    steps = [log_f(theta + 1j * STEP * unit).imag / STEP for unit in np.eye(N)]
    np.testing.assert_allclose(formula, steps, rtol=1e-10)


@pytest.mark.equation("7.19")
def test_one_chunk_is_gradient_descent_on_the_whole_meta_loss(rng):
    W, y, theta = rng.normal(size=(3, 4, N)), rng.normal(size=(3, 4)), rng.normal(size=(3, N))
    phis, _ = rules.train_in_chunks(W, y, theta, 0.01, 0.5, 6, 6, 1e-4)
    whole = [
        rules.meta_loss(W, y, theta, np.zeros((3, N)), *point, np.ones(6)).imag / STEP
        for point in ((0.01 + 1j * STEP, 0.5), (0.01, 0.5 + 1j * STEP))
    ]
    np.testing.assert_allclose(phis[0], np.array([0.01, 0.5]) - 1e-4 * np.array(whole), rtol=1e-10)
    # With two chunks the first update is that of the first half alone.
    halves, _ = rules.train_in_chunks(W, y, theta, 0.01, 0.5, 3, 6, 1e-4)
    first, _ = rules.train_in_chunks(W, y, theta, 0.01, 0.5, 3, 3, 1e-4)
    np.testing.assert_allclose(halves[0], first[0], rtol=1e-12)


@pytest.mark.equation("7.21")
def test_ratio_takes_the_best_rival_at_each_step():
    learned = np.array([[4.0, 4.0, 9.0], [1.0, 1.0, 8.0]])
    rivals = {
        "A": np.array([[8.0, 8.0, 8.0], [1.0, 2.0, 2.0]]),
        "B": np.array([[2.0, 2.0, 99.0], [5.0, 5.0, 5.0]]),
    }
    best = np.min([np.median(r, axis=1) for r in rivals.values()], axis=0)
    data = lab.Curves(learned, rivals, {}, best)
    np.testing.assert_allclose(data.ratio, [4 / 2, 1 / 2])


@pytest.mark.equation("7.9")
def test_quadratic_gradients_are_those_of_torch_func(rng):
    problem = tasks.QuadraticFamily(N).sample(rng, 3)
    value, gradient = problem.value_and_gradient(problem.theta0, 0)

    def f(theta, W, y):
        return (W @ theta - y).square().sum()

    both = torch.func.vmap(torch.func.grad_and_value(f))(problem.theta0, problem.W, problem.y)
    torch.testing.assert_close((gradient, value), both, rtol=1e-4, atol=1e-4)


@pytest.mark.equation("7.22")
def test_painting_s_loss_written_out_and_its_gradient(rng):
    size, n = 16, 3 * 16 * 16
    features = tasks.Features()
    content, style, x = (torch.from_numpy(rng.random((1, 3, size, size))) for _ in range(3))
    problem = tasks.Paintings(content, style, x.reshape(1, -1), features, 0.05, 0.3)
    total = 0.0
    for k, (mine, theirs, wanted) in enumerate(
        zip(features(x), features(style), features(content), strict=True)
    ):
        mine, theirs, wanted = (f[0].numpy().reshape(32, -1) for f in (mine, theirs, wanted))
        G, S = mine @ mine.T / mine.shape[1], theirs @ theirs.T / mine.shape[1]
        total += n / 3 * ((G - S) ** 2).sum() / (S**2).sum()
        if k:
            total += 0.05 * n / 2 * ((mine - wanted) ** 2).sum() / (wanted**2).sum()
    pixels = x[0].numpy()
    total += 0.3 * sum((np.diff(pixels, axis=axis) ** 2).sum() for axis in (1, 2))
    value, gradient = problem.value_and_gradient(problem.theta0, 0)
    assert float(value) == pytest.approx(total, rel=1e-10)
    direction = torch.from_numpy(rng.normal(size=(1, n)))
    ends = [problem.losses(problem.theta0 + s * 1e-6 * direction) for s in (1, -1)]
    slope = float(ends[0] - ends[1]) / 2e-6
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5)


@pytest.mark.equation("7.18")
def test_momentum_s_adjoint_of_the_velocity_is_that_of_the_state_less_its_own_step(rng):
    """(7.15) as printed, with g = -alpha v', gives (7.18) with nu less alpha lambda."""
    H, rate, mu = np.diag(rng.uniform(0.1, 2, N)), 0.1, 0.7
    slopes = rng.normal(size=(6, N))  # w_t grad f, whatever they are
    lam, nu, mine, ours = (np.zeros(N) for _ in range(4))
    for slope in slopes:
        lam, nu = (
            slope + lam + H @ (-rate * lam + nu),
            -rate * mu * lam + mu * nu,
        )
        mine = slope + mine + H @ ours
        ours = -rate * mine + mu * ours
        np.testing.assert_allclose(mine, lam, rtol=1e-12)
        np.testing.assert_allclose(ours, nu - rate * lam, rtol=1e-12)


@pytest.mark.equation("7.18")
def test_momentum_s_meta_gradient_by_complex_steps_and_by_autograd(rng):
    W, y, theta = rng.normal(size=(3, 4, N)), rng.normal(size=(3, 4)), rng.normal(size=(3, N))
    v, w = rng.normal(size=(3, N)), rng.uniform(size=6)
    found = rules.meta_gradient(W, y, theta, v, 0.01, 0.6, w, True)
    steps = [
        rules.meta_loss(W, y, theta, v, *point, w).imag / STEP
        for point in ((0.01 + 1j * STEP, 0.6), (0.01, 0.6 + 1j * STEP))
    ]
    np.testing.assert_allclose(found, steps, rtol=1e-10)

    for second in (True, False):
        rate, mu = (
            torch.tensor(value, dtype=torch.float64).requires_grad_() for value in (0.01, 0.6)
        )
        x, u, L = torch.from_numpy(theta), torch.from_numpy(v), 0.0
        matrix, target = torch.from_numpy(W), torch.from_numpy(y)
        for weight in w:
            d = 2 * (((matrix @ x[..., None])[..., 0] - target)[:, None] @ matrix)[:, 0]
            u = mu * u + (d if second else d.detach())
            x = x - rate * u
            L = L + weight * ((matrix @ x[..., None])[..., 0] - target).square().sum(-1).mean()
        grads = [float(g) for g in torch.autograd.grad(L, (rate, mu))]
        hand = rules.meta_gradient(W, y, theta, v, 0.01, 0.6, w, second)
        np.testing.assert_allclose(hand, grads, rtol=1e-10)
