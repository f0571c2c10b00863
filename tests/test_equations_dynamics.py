"""Every numbered equation of chapter 1, proved by a second method.

The functions under test are those of `solutions.dynamics`.  The second method is a complex step,
PyTorch, bisection, an exhaustive sum or a count; it never calls the function that it judges.
`EXACT` bounds rounding alone.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from figures import dynamics as lab

from solutions.dynamics import (
    driven,
    jacobian,
    lyapunov,
    memory,
    newton,
    orbit,
    orbits,
    ridge,
    saddle_node,
)

EXACT = 1e-12
T, B, D, H = 6, 2, 3, 4


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(T, B, D)),
        "h0": rng.uniform(-0.9, 0.9, (B, H)),
        "U": rng.normal(0, 0.6, (H, D)),
        "W": rng.normal(0, 0.7, (H, H)),
        "b": rng.normal(0, 0.4, H),
    }


def close(one, two, limit: float = EXACT) -> None:
    np.testing.assert_allclose(one, two, rtol=limit, atol=limit)


def f(h, w, b):
    """One unit, as a plain formula."""
    return np.tanh(w * h + b)


# ------------------------------------------------------------------------------ state and signal


@pytest.mark.equation("1.1")
def test_an_orbit_is_one_rule_applied_again_and_again(net):
    h = orbit(net["h0"], net["W"], net["b"], T)
    for n in range(B):
        state = net["h0"][n]
        for t in range(T):
            state = np.tanh(net["W"] @ state + net["b"])
            close(h[t, n], state)
    # The state is all that counts: started again in the middle, it goes the same way.
    close(orbit(h[2], net["W"], net["b"], T - 3), h[3:])


@pytest.mark.equation("1.2")
def test_a_driven_orbit_depends_on_all_signals_so_far_and_on_no_later_one(net):
    arguments = [net[name] for name in ("h0", "U", "W", "b")]
    h = driven(net["x"], *arguments)
    for t in range(T):
        moved = net["x"].copy()
        moved[t] += 0.1
        change = np.abs(driven(moved, *arguments) - h).max(axis=(1, 2))
        assert (change[:t] == 0).all()
        assert (change[t:] > 0).all()


@pytest.mark.equation("1.3")
def test_the_network_is_torch_rnn(net):
    rnn = torch.nn.RNN(D, H, dtype=torch.float64)
    with torch.no_grad():
        values = (net["U"], net["W"], net["b"], 0 * net["b"])
        for parameter, value in zip(rnn.parameters(), values, strict=True):
            parameter.copy_(torch.from_numpy(value))
        theirs, _ = rnn(torch.from_numpy(net["x"]), torch.from_numpy(net["h0"])[None])
    close(driven(*net.values()), theirs.numpy())


@pytest.mark.equation("1.4")
def test_parameters_are_as_many_as_the_formulas_say():
    for model in lab.models():
        assert model.parameters == model.formula


# ------------------------------------------------------------------------------------ fixed points


@pytest.mark.equation("1.5")
def test_fixed_points_reproduce_themselves(net):
    starts = np.random.default_rng(1).uniform(-1, 1, (200, H))
    found, _ = lab.fixed_points(2 * net["W"], net["b"], starts)
    assert len(found) >= 1  # Brouwer
    for h in found:
        close(h, np.tanh(2 * net["W"] @ h + net["b"]), 1e-9)
    for w in (0.5, 1.5, -2.0):
        points, _ = lab.of_unit(w, 0.1)
        close(points, f(points, w, 0.1))


@pytest.mark.equation("1.6")
def test_the_jacobian_is_the_derivative_of_a_step(net):
    J = jacobian(net["h0"], net["W"], net["b"])
    for j in range(H):
        moved = net["h0"].astype(complex)
        moved[:, j] += 1e-30j
        close(J[:, :, j], np.tanh(moved @ net["W"].T + net["b"]).imag / 1e-30)
    # The rest is of second order: a tenth of the displacement, a hundredth of the rest.
    delta = np.random.default_rng(2).normal(size=(B, H))

    def rest(size):
        step = np.tanh((net["h0"] + size * delta) @ net["W"].T + net["b"])
        step -= np.tanh(net["h0"] @ net["W"].T + net["b"])
        return np.abs(step - size * np.einsum("bij,bj->bi", J, delta)).max()

    assert rest(1e-3) / rest(1e-4) == pytest.approx(100, rel=0.05)


@pytest.mark.equation("1.7")
def test_the_spectral_radius_says_whether_an_orbit_stays():
    rng = np.random.default_rng(3)
    seen = set()
    for seed in range(12):
        W, b = 2.2 * lab.gaussian(seed, H), rng.normal(0, 0.1, H)
        points, radii = lab.fixed_points(W, b, rng.uniform(-1, 1, (300, H)))
        for point, radius in zip(points, radii, strict=True):
            if 0.95 < radius < 1.05:
                continue
            near = point + 1e-6 * rng.normal(size=(5, H))
            far = np.linalg.norm(orbit(near, W, b, 400) - point, axis=2)
            seen.add(bool(radius < 1))
            if radius < 1:
                assert (far[-1] < 1e-8).all()
            else:
                assert (far.max(axis=0) > 1e-2).all()
    assert seen == {True, False}


@pytest.mark.equation("1.7")
def test_distances_fall_like_any_rate_above_the_radius():
    W, b = 0.9 * lab.gaussian(1, 8), np.full(8, 0.1)
    point, radius = newton(np.zeros((1, 8)), W, b, 50)
    far = np.linalg.norm(orbit(point + 1e-3, W, b, 60)[:, 0] - point, axis=1)
    rate = (far[50] / far[10]) ** (1 / 40)
    assert rate == pytest.approx(radius[0], rel=0.02)


@pytest.mark.equation("1.8")
def test_newton_finds_what_bisection_finds_and_doubles_its_digits():
    for w, b in ((1.5, 0.05), (-2.0, 0.3), (0.5, 1.0)):
        grid = np.linspace(-0.9999, 0.9999, 2001)
        gap = f(grid, w, b) - grid
        for i in np.flatnonzero(np.sign(gap[1:]) != np.sign(gap[:-1])):
            by_halves = lab.bisect(lambda h, w=w, b=b: f(h, w, b) - h, grid[i], grid[i + 1])
            close(newton(grid[i : i + 1, None], *lab.unit(w, b), 30)[0], by_halves, 1e-10)
    errors = [
        abs(
            newton(np.array([[0.5]]), *lab.unit(0.7, 0.2), n)[0][0, 0] - lab.of_unit(0.7, 0.2)[0][0]
        )
        for n in range(4)
    ]
    for before, after in itertools.pairwise(errors[1:]):
        assert after < 10 * before**2 + 1e-15


@pytest.mark.equation("1.8")
def test_newton_halves_the_error_at_a_saddle_node():
    for w in (1.5, 2.0, 4.0):
        (h,), (b,) = saddle_node(np.array([w]))
        errors = [
            newton(np.array([[h + 0.05]]), *lab.unit(w, b), n)[0][0, 0] - h for n in range(3, 10)
        ]
        ratios = [after / before for before, after in itertools.pairwise(errors)]
        np.testing.assert_allclose(ratios, 0.5, atol=0.02)


# -------------------------------------------------------------------------------------- one unit


@pytest.mark.equation("1.9")
def test_every_state_is_the_fixed_point_of_one_bias():
    for w in (-3.0, 0.5, 2.0):
        h = np.linspace(-0.99, 0.99, 99)
        close(f(h, w, np.arctanh(h) - w * h), h)


@pytest.mark.equation("1.10")
def test_slope_of_the_map_and_of_the_curve_of_biases():
    for w in (-2.0, 0.7, 1.8):
        h = np.linspace(-0.95, 0.95, 39)
        b = np.arctanh(h) - w * h
        slope = f(h + 1e-30j, w, b).imag / 1e-30
        close(slope, w * (1 - h * h))
        moved = h + 1e-30j
        close((np.arctanh(moved) - w * moved).imag / 1e-30, (1 - slope) / (1 - h * h))


@pytest.mark.equation("1.11")
def test_fixed_points_are_counted_by_the_saddle_nodes():
    """Counted by the changes of sign on a fine grid, for biases just inside and outside."""
    for w in (1.05, 1.5, 2.0, 4.0):
        (h,), (b,) = saddle_node(np.array([w]))
        close(b, -(np.sqrt(w * (w - 1)) - np.arctanh(np.sqrt(1 - 1 / w))), 1e-13)
        close(w * (1 - h * h), 1)
        close(f(h, w, b), h)
        grid = np.tanh(np.linspace(-8, 8, 400_001))
        for factor, count in ((0.999, 3), (1.001, 1)):
            for side in (1, -1):
                gap = f(grid, w, side * factor * b) - grid
                assert (np.sign(gap[1:]) != np.sign(gap[:-1])).sum() == count


@pytest.mark.equation("1.12")
def test_near_the_pitchfork():
    for small in (1e-2, 1e-3, 1e-4):
        top = lab.of_unit(1 + small, 0.0)[0][-1]
        assert top**2 == pytest.approx(3 * small, rel=3 * small)
        (b,) = saddle_node(np.array([1 + small]))[1]
        assert -b == pytest.approx(2 / 3 * small**1.5, rel=3 * small)


@pytest.mark.equation("1.13")
def test_a_cycle_of_two_begins_at_the_flip():
    for w in (-1.2, -2.0, -4.0):
        h, b = np.sqrt(1 + 1 / w), lab.flip(w)
        close(f(h, w, b), h)
        close(w * (1 - h * h), -1)
        for factor, cycles in ((0.9, True), (1.1, False)):  # more bias, less slope
            run = lab.run_unit(0.0, w, factor * b, 3000)
            assert (abs(run[-1] - run[-2]) > 1e-3) == cycles
            close(run[-1], run[-3], 1e-6)
    formula, found = lab.first_cycle()
    assert found == pytest.approx(formula, abs=2e-6)


@pytest.mark.equation("1.14")
def test_a_bit_flips_above_its_threshold_and_takes_its_time():
    for w in (1.5, 2.0, 3.0):
        h, b = (float(v[0]) for v in saddle_node(np.array([w])))
        assert lab.flips(np.full(20_000, -b - 1e-5), w)[-1] < 0
        assert lab.flips(np.full(20_000, -b + 1e-5), w)[-1] > 0
        long, longer = (lab.steps_to_flip(-b + e, w, 10_000) for e in (1e-4, 1e-6))
        assert long == pytest.approx(np.pi / np.sqrt(1e-4 * h), rel=0.02)
        assert longer == pytest.approx(np.pi / np.sqrt(1e-6 * h), rel=0.002)


@pytest.mark.equation("1.15")
def test_a_turning_pair_has_the_predicted_size_and_period():
    for phi in (0.5, 0.3):
        W = 1.01 * np.array([[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]])
        close(np.abs(np.linalg.eigvals(W)), 1.01)
        close(np.abs(np.angle(np.linalg.eigvals(W))), phi)
    errors = []
    for gain in (1.04, 1.02, 1.01):
        found = lab.turning(gain)
        assert found.angle == pytest.approx(found.phi, rel=0.1 * (gain - 1))
        errors.append(abs(found.radius2 / found.predicted2 - 1))
    assert errors[0] > 1.8 * errors[1] > 3 * errors[2]  # the error is of the order of g - 1
    assert errors[-1] < 0.02


@pytest.mark.equation("1.15")
def test_a_quarter_turn_is_left_out_since_its_size_depends_on_the_start():
    """Four directions are no mean over all: on the axes r is h*, on the diagonals sqrt 2 times."""
    W = 1.05 * np.array([[0.0, -1.0], [1.0, 0.0]])
    rest = lab.of_unit(1.05, 0.0)[0][-1]
    ends = orbit(np.array([[0.3, 0.0], [0.3, 0.3]]), W, np.zeros(2), 2000)[-1]
    close((ends**2).sum(axis=1), [rest**2, 2 * rest**2])
    formula = 4 * 0.05 / 1.05**3
    assert rest**2 < 0.85 * formula < 1.15 * formula < 2 * rest**2
    for phi in (np.pi / 3, 2 * np.pi / 3, 1.0):  # six, three, many directions: the mean is 3/4
        t = np.arange(6000)
        assert (np.cos(phi * t + 0.1) ** 4 + np.sin(phi * t + 0.1) ** 4).mean() == pytest.approx(
            0.75, abs=1e-3
        )
        assert lab.turning(1.01, phi).radius2 == pytest.approx(4 * 0.01 / 1.01**3, rel=0.02)


# ------------------------------------------------------------------------------------------ chaos


@pytest.mark.equation("1.16")
def test_exponent_by_a_complex_step_through_the_orbit(net):
    v = np.random.default_rng(4).normal(size=(B, H))
    moved = net["h0"] + 1e-60j * v
    for _ in range(25):
        moved = np.tanh(moved @ net["W"].T + net["b"])
    growth = np.linalg.norm(moved.imag, axis=1) / 1e-60 / np.linalg.norm(v, axis=1)
    close(lyapunov(net["h0"], v, net["W"], net["b"], 25), np.log(growth) / 25, 1e-11)


@pytest.mark.equation("1.16")
def test_exponent_at_a_fixed_point_is_the_log_of_its_radius():
    W, b = 0.9 * lab.gaussian(1, 8), np.full(8, 0.1)
    point, radius = newton(np.zeros((1, 8)), W, b, 50)
    found = lyapunov(point, np.ones((1, 8)), W, b, 20_000)
    assert found[0] == pytest.approx(np.log(radius[0]), abs=5e-4)


@pytest.mark.equation("1.17")
@pytest.mark.equation("1.18")
def test_mean_field_by_drawing_at_random():
    z = np.random.default_rng(5).normal(size=2_000_000)
    for gain in (1.5, 2.5):
        q, exponent = lab.mean_field(gain)
        h = np.tanh(gain * np.sqrt(q) * z)
        assert (h**2).mean() == pytest.approx(q, rel=2e-3)  # about three standard errors
        rate = 0.5 * np.log(gain**2 * ((1 - h**2) ** 2).mean())
        assert rate == pytest.approx(exponent, abs=2e-3)


@pytest.mark.equation("1.17")
@pytest.mark.equation("1.18")
def test_mean_field_against_a_wide_network():
    W, rng = 2.0 * lab.gaussian(9, 600), np.random.default_rng(6)
    start = orbit(rng.normal(0, 0.5, (4, 600)), W, np.zeros(600), 100)[-1]
    q, exponent = lab.mean_field(2.0)
    assert (orbit(start, W, np.zeros(600), 50) ** 2).mean() == pytest.approx(q, rel=0.03)
    found = lyapunov(start, rng.normal(size=(4, 600)), W, np.zeros(600), 150).mean()
    assert found == pytest.approx(exponent, abs=0.02)


# ----------------------------------------------------------------------------------------- memory


@pytest.mark.equation("1.19")
def test_hebbs_matrix_entry_by_entry():
    patterns = np.random.default_rng(7).choice([-1.0, 1.0], (3, 10))
    W = lab.hebb(patterns, 1.5)
    for i, j in np.ndindex(10, 10):
        assert W[i, j] == pytest.approx(1.5 / 10 * sum(p[i] * p[j] for p in patterns))
    assert np.linalg.eigvalsh(W).min() > -1e-12  # positive semidefinite, as (1.21) asks


@pytest.mark.equation("1.20")
def test_overlap_is_one_unit():
    found = lab.recall(H=64, T=8)
    for flipped, m in found.overlap.items():
        close(m, lab.run_unit(m[0], 2.0, 0.0, 8))
        close(m, found.predicted[flipped])


@pytest.mark.equation("1.21")
def test_energy_never_rises_and_its_integral_is_right():
    rng = np.random.default_rng(8)
    for _ in range(20):
        root = rng.normal(size=(6, 5))
        W, b = root @ root.T / 10, rng.normal(0, 0.3, 6)  # no state within rounding of 1
        h = orbit(rng.uniform(-0.9, 0.9, (4, 6)), W, b, 40)
        change = np.diff(lab.energy(h, W, b), axis=0)
        assert (change <= 1e-12).all()
        assert (change[0] < -1e-4).all()
    # The integral of artanh, by the midpoint rule.
    u = (np.arange(200_000) + 0.5) / 200_000 * 0.8
    integral = np.arctanh(u).mean() * 0.8
    found = lab.energy(np.array([0.8]), np.zeros((1, 1)), np.zeros(1))
    assert float(found) == pytest.approx(integral, rel=1e-8)


@pytest.mark.equation("1.22")
def test_two_runs_under_one_signal_come_together_within_the_bound(net):
    for gain in (0.3, 0.9, 1.5):
        W = gain * net["W"] / np.linalg.norm(net["W"], 2)
        h = driven(net["x"][:, :1].repeat(2, axis=1), net["h0"], net["U"], W, net["b"])
        far = np.linalg.norm(h[:, 0] - h[:, 1], axis=1)
        first = np.linalg.norm(net["h0"][0] - net["h0"][1])
        assert (far <= first * gain ** np.arange(1, T + 1) * (1 + EXACT)).all()
    assert (lab.forgetting().distance <= np.maximum(lab.forgetting().bound, 1e-14)).all()


@pytest.mark.equation("1.23")
def test_squared_correlation_with_the_best_reading():
    rng = np.random.default_rng(9)
    x = rng.normal(size=80)
    h = driven(
        x[:, None, None],
        np.zeros((1, H)),
        rng.normal(size=(H, 1)),
        np.eye(H) / 2,
        0.1 + np.zeros(H),
    )
    found = memory(h[:, 0] + rng.normal(0, 0.1, (80, H)), x, 5)
    assert (found <= 1).all()
    rng = np.random.default_rng(9)  # the same draws, by the correlation of fit and target
    x, U = rng.normal(size=80), rng.normal(size=(H, 1))
    h = driven(x[:, None, None], np.zeros((1, H)), U, np.eye(H) / 2, 0.1 + np.zeros(H))
    rows = np.column_stack([h[:, 0] + rng.normal(0, 0.1, (80, H)), np.ones(80)])[4:]
    for k in range(5):
        past = x[4 - k : 80 - k]
        fit = rows @ np.linalg.pinv(rows) @ past
        assert np.corrcoef(fit, past)[0, 1] ** 2 == pytest.approx(found[k], rel=1e-9)


@pytest.mark.equation("1.24")
def test_capacity_is_at_most_the_width():
    """A delay line reaches the bound; a network with redundant units stays below."""
    x = np.random.default_rng(10).normal(size=60_000)
    line = np.stack([np.roll(x, k) for k in range(H)], axis=1)[50:]
    assert memory(line, x[50:], 30).sum() == pytest.approx(H, abs=0.02)
    twice = np.column_stack([line[:, 0], line[:, 0] ** 3, line[:, 1], line[:, 1] ** 3])
    assert memory(twice, x[50:], 30).sum() < 2.02
    for found in lab.memories(H=10, T=6000, K=40):
        assert found.r2.sum() <= 10 * 1.01  # 3000 steps are not infinitely many


@pytest.mark.equation("1.25")
def test_ridge_is_the_minimum():
    rng = np.random.default_rng(11)
    h, y = rng.normal(size=(30, H)) + 1, rng.normal(size=(30, 2)) - 2
    V, c = ridge(h, y, 0.8)

    def loss(V, c):
        return ((y - h @ V.T - c) ** 2).sum() + 0.8 * (V**2).sum()

    for i, j in np.ndindex(2, H):
        moved = V.astype(complex)
        moved[i, j] += 1e-30j
        assert abs(loss(moved, c).imag / 1e-30) < 1e-10
    for i in range(2):
        moved = c.astype(complex)
        moved[i] += 1e-30j
        assert abs(loss(V, moved).imag / 1e-30) < 1e-10
    hc, yc = h - h.mean(axis=0), y - y.mean(axis=0)
    close(V, (yc.T @ hc) @ np.linalg.inv(hc.T @ hc + 0.8 * np.eye(H)), 1e-11)
    close(c, y.mean(axis=0) - V @ h.mean(axis=0))


@pytest.mark.equation("1.26")
def test_many_orbits_in_torch_are_each_alone_in_numpy(net):
    gain = np.array([0.4, 1.3])
    tensors = [torch.from_numpy(a) for a in (net["h0"], gain, net["W"], net["b"])]
    h = orbits(*tensors, T).numpy()
    for n in range(B):
        state = net["h0"][n]
        for t in range(T):
            state = np.tanh(gain[n] * (net["W"] @ state) + net["b"])
            close(h[t, n], state)


@pytest.mark.equation("1.26")
@pytest.mark.parametrize("device", ["cpu", "meta", "cuda"])
def test_ten_thousand_orbits_on_any_device(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")
    w = torch.linspace(-3, 3, 10_000, dtype=torch.float64, device=device)
    start = torch.full((10_000, 1), 0.3, dtype=torch.float64, device=device)
    one, zero = start.new_ones(1, 1), start.new_zeros(1)
    h = orbits(start, w, one, zero, 50)
    assert h.shape == (50, 10_000, 1)
    assert h.device == w.device
    if device != "meta":
        state = np.full(10_000, 0.3)
        for _ in range(50):
            state = np.tanh(w.cpu().numpy() * state)
        close(h[-1, :, 0].cpu().numpy(), state, 1e-11)  # the slopes near w = -3 let rounding grow
