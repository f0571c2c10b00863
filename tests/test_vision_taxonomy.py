"""Chapter 4's windows: NumPy against PyTorch, gradients against exact expectations, bounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from figures import taxonomy_vision as lab
from matplotlib.figure import Figure
from scipy import integrate, special

from course import datasets
from solutions import taxonomy as pure


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def tensors(*arrays):
    return [torch.from_numpy(np.asarray(each)) for each in arrays]


# Glimpses.


def slow_glimpse(x, centre, size, scales):
    """Pixel by pixel, as the sentence says it."""
    B, S, _ = x.shape
    out = np.zeros((B, scales, size, size))
    for b, k, i, j in np.ndindex(out.shape):
        block, values = 2**k, []
        for r, c in itertools.product(range(block), range(block)):
            row, column = (
                int(np.floor((centre[b, axis] + 1) / 2 * (S - 1) + 0.5))
                - size * block // 2
                + index * block
                + inner
                for axis, (index, inner) in enumerate(((i, r), (j, c)))
            )
            inside = 0 <= row < S and 0 <= column < S
            values.append(x[b, row, column] if inside else 0.0)
        out[b, k, i, j] = np.mean(values)
    return out


@pytest.mark.parametrize(("size", "scales"), [(4, 3), (3, 2), (6, 1)])
def test_glimpse_pixel_by_pixel(rng, size, scales):
    x = rng.random((5, 11, 11))
    centre = np.concatenate([rng.uniform(-1, 1, (3, 2)), [[-1.0, 1.0], [1.0, -1.0]]])
    wanted = slow_glimpse(x, centre, size, scales)
    np.testing.assert_allclose(pure.glimpse(x, centre, size, scales), wanted, rtol=1e-12)
    found = lab.glimpse(*tensors(x, centre), size, scales)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


def test_glimpse_at_a_known_place():
    x = np.zeros((1, 9, 9))
    x[0, 8, 0] = 1.0
    found = pure.glimpse(x, np.array([[1.0, -1.0]]), 4, 2)
    assert found[0, 0, 2, 2] == 1.0  # size * 2^0 // 2 = 2
    assert found[0, 1, 2, 2] == 0.25  # 8 // 2 = 4: the third block of two
    assert found.sum() == 1.25


def test_a_glimpse_moves_with_the_picture(rng):
    x = np.zeros((1, 17, 17))
    x[0, 5:9, 6:10] = rng.random((4, 4))
    moved = np.roll(x, (3, -2), (1, 2))
    one, two = (np.array([[r, c]]) / 8 - 1 for r, c in ((7, 8), (10, 6)))
    np.testing.assert_array_equal(pure.glimpse(x, one, 4, 2), pure.glimpse(moved, two, 4, 2))


# REINFORCE.


def expectation(mean, sigma, value, points=40):
    """E[value(place)] for one place of two coordinates: Gauss-Hermite, exact for polynomials."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2)
    w = np.outer(weights, weights).ravel() / (2 * np.pi)
    places = mean + sigma * grid
    return np.tensordot(w, value(places), (0, 0))


def reward_of(place):
    """A reward with a polynomial's shape, (M,), and not symmetric."""
    r, c = place[:, 0], place[:, 1]
    return 1 - (r - 0.3) ** 2 + 0.5 * r * c - 0.2 * c**3


@pytest.mark.parametrize("baseline", [0.0, 0.7, -3.0])
def test_reinforce_is_exact_on_average_whatever_the_baseline(baseline):
    """The estimate's exact mean is the derivative of the exact expected reward."""
    mean, sigma = np.array([0.1, -0.4]), 0.3

    def estimates(places):
        M = len(places)
        shape = (1, M, 2)
        full = np.broadcast_to(mean, shape)
        grad = pure.reinforce_grad(
            full, places[None], sigma, reward_of(places)[None], np.full((1, M), baseline)
        )
        return M * grad[0]  # a batch of one each

    found = expectation(mean, sigma, estimates)
    eps = 1e-5
    wanted = [
        (expectation(mean + step, sigma, reward_of) - expectation(mean - step, sigma, reward_of))
        / (2 * eps)
        for step in eps * np.eye(2)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-8)


def test_a_baseline_lowers_the_variance():
    mean, sigma = np.array([0.1, -0.4]), 0.3
    expected = expectation(mean, sigma, reward_of)

    def second_moment(baseline):
        def squares(places):
            score = (places - mean) / sigma**2
            return ((reward_of(places) - baseline) ** 2)[:, None] * score**2

        return expectation(mean, sigma, squares).sum()

    assert second_moment(expected) < 0.5 * second_moment(0.0)


def test_reinforce_is_autograds(rng):
    """The loss that trains the network has this gradient, from the second look on, negated."""
    T, B, sigma = 4, 3, 0.15
    mean, place = rng.normal(size=(2, T, B, 2))
    reward, expected = rng.normal(size=(2, T, B))
    m = torch.from_numpy(mean).requires_grad_()
    looks = lab.Looks(torch.zeros(1), m, *tensors(place, expected))
    lab.reinforce_loss(looks, torch.from_numpy(reward - expected), sigma).backward()
    wanted = -pure.reinforce_grad(mean, place, sigma, reward, expected)
    wanted[0] = 0
    np.testing.assert_allclose(m.grad.numpy(), wanted, rtol=1e-12, atol=1e-15)


def test_expectations_do_not_shape_the_state():
    """The learned baseline reads the state; its own loss moves nothing else."""
    torch.manual_seed(0)
    model = lab.Glimpser(H=8, T=3, size=4, scales=2)
    model(torch.rand(5, 16, 16)).expected.sum().backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"expect.weight", "expect.bias"}


def test_moved_scenes_keep_their_digit():
    part = datasets.cluttered((40, 1, 1), side=24).train
    x = torch.from_numpy(part.x)
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    found = lab.moved(x, part.place, rng).numpy()
    to = same.integers(0, 17, (40, 2))
    for n, ((r, c), (r0, c0)) in enumerate(zip(to, part.place, strict=True)):
        np.testing.assert_array_equal(
            found[n, r : r + 8, c : c + 8], part.x[n, r0 : r0 + 8, c0 : c0 + 8]
        )
    np.testing.assert_allclose(found.sum((1, 2)), part.x.sum((1, 2)))


def test_looked_at_by_hand():
    places = np.zeros((3, 2, 2))  # the middle of 24 pixels is 11.5
    corner = np.array([[8, 8], [0, 0]])  # the digits' middles are 11.5 and 3.5
    assert lab.looked_at(places, corner, side=24) == 0.5
    places[2, 1] = -1  # pixel 0: within 4 of 3.5
    assert lab.looked_at(places, corner, side=24) == 1.0
    places[0], places[1:] = 0, 1  # the first look does not count
    assert lab.looked_at(places, corner, side=24) == 0.0


def test_glimpser_draws_only_when_told(rng):
    torch.manual_seed(0)
    model = lab.Glimpser(H=8, T=3, size=4, scales=2)
    x = torch.rand(5, 16, 16)
    still = model(x)
    torch.testing.assert_close(still.mean, still.place)
    assert not still.place[0].any()
    moved = model(x, torch.Generator().manual_seed(1))
    assert (moved.mean[1:] != moved.place[1:]).all()
    anywhere = lab.Glimpser(H=8, policy="random", size=4, scales=2)
    places = anywhere(x, torch.Generator().manual_seed(1)).place[1:]
    assert places.abs().max() <= 1


def test_rivals_have_as_many_parameters():
    wanted = lab.count(lab.Glimpser())
    for make in (lab.convolutional, lab.perceptron):
        assert wanted <= lab.count(make(wanted)) < 1.05 * wanted
    draws = lab.count(lab.Drawer())
    assert draws <= lab.count(lab.autoencoder(draws)) < 1.02 * draws


# DRAW.


def params_of(rng, M=4):
    centre = rng.uniform(-0.8, 0.8, (M, 2))
    return np.concatenate([centre, rng.normal(0, 0.4, (M, 3))], 1)


def test_window_by_its_definition(rng):
    A, B, N = 9, 7, 3
    params = params_of(rng)
    F_x, F_y, gamma = pure.gaussian_window(params, A, B, N)
    for m, (x, y, log_variance, log_stride, log_gamma) in enumerate(params):
        stride = (max(A, B) - 1) / (N - 1) * np.exp(log_stride)
        for F, pixels, centre in ((F_x[m], A, x), (F_y[m], B, y)):
            for i in range(1, N + 1):
                mu = (pixels + 1) / 2 * (centre + 1) + (i - N / 2 - 0.5) * stride
                row = [np.exp(-((a - mu) ** 2) / (2 * np.exp(log_variance))) for a in
                       range(1, pixels + 1)]  # fmt: skip
                np.testing.assert_allclose(F[i - 1], np.array(row) / sum(row), rtol=1e-9)
        assert gamma[m] == np.exp(log_gamma)


def test_window_twins(rng):
    params, x = params_of(rng), rng.random((4, 7, 9))
    window = pure.gaussian_window(params, 9, 7, 3)
    twin = lab.gaussian_window(*tensors(params), 9, 7, 3)
    for one, other in zip(window, twin, strict=True):
        np.testing.assert_allclose(other.numpy(), one, rtol=1e-10)
    patch = pure.read(x, *window)
    assert patch.shape == (4, 3, 3)
    np.testing.assert_allclose(lab.read(*tensors(x), *twin).numpy(), patch, rtol=1e-10)
    written = pure.write(patch, *window)
    assert written.shape == x.shape
    np.testing.assert_allclose(lab.write(*tensors(patch), *twin).numpy(), written, rtol=1e-10)


def test_window_over_the_whole_picture_reads_and_writes_it(rng):
    """Stride one, hardly any width, centred: F is the identity, so write undoes read."""
    x = rng.random((1, 6, 6))
    window = pure.gaussian_window(np.array([[0.0, 0.0, -8.0, 0.0, 0.5]]), 6, 6, 6)
    np.testing.assert_allclose(window[0][0], np.eye(6), atol=1e-12)
    np.testing.assert_allclose(pure.read(x, *window), np.exp(0.5) * x, rtol=1e-9)
    np.testing.assert_allclose(pure.write(pure.read(x, *window), *window), x, rtol=1e-9)


def test_write_is_reads_adjoint(rng):
    """<read(x), p> = gamma² <x, write(p)>, for any x and p."""
    window = pure.gaussian_window(params_of(rng, 1), 9, 7, 3)
    x, p = rng.normal(size=(1, 7, 9)), rng.normal(size=(1, 3, 3))
    left = np.sum(pure.read(x, *window) * p)
    right = window[2][0] ** 2 * np.sum(x * pure.write(p, *window))
    assert left == pytest.approx(right, rel=1e-12)


def test_window_has_a_gradient_in_all_its_numbers(rng):
    params = torch.from_numpy(params_of(rng)).requires_grad_()
    x = torch.from_numpy(rng.random((4, 7, 9)))
    assert torch.autograd.gradcheck(lambda p: lab.read(x, *lab.gaussian_window(p, 9, 7, 3)), params)
    lab.read(x, *lab.gaussian_window(params, 9, 7, 3)).sum().backward()
    assert params.grad.ne(0).all()


def test_latent_cost_by_integration(rng):
    mu, sigma = 0.7, 0.4

    def integrand(z):
        q = np.exp(-((z - mu) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
        return q * (-((z - mu) ** 2) / (2 * sigma**2) - np.log(sigma) + z**2 / 2)

    wanted, _ = integrate.quad(integrand, mu - 12 * sigma, mu + 12 * sigma)
    shape = (3, 2, 5)
    found = pure.latent_cost(np.full(shape, mu), np.full(shape, sigma))
    np.testing.assert_allclose(found, [15 * wanted] * 2, rtol=1e-9)
    twin = lab.latent_cost(*tensors(np.full(shape, mu), np.full(shape, np.log(sigma))))
    np.testing.assert_allclose(twin.numpy(), found, rtol=1e-9)
    assert not pure.latent_cost(np.zeros(shape), np.ones(shape)).any()


def test_picture_cost_is_the_bernoullis(rng):
    canvas, x = rng.normal(0, 3, (4, 6)), rng.integers(0, 2, (4, 6)).astype(float)
    p = special.expit(canvas)
    wanted = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1)
    np.testing.assert_allclose(pure.picture_cost(x, canvas), wanted, rtol=1e-12)
    np.testing.assert_allclose(lab.picture_cost(*tensors(x, canvas)).numpy(), wanted, rtol=1e-12)
    assert pure.picture_cost(np.ones((1, 1)), np.array([[-1000.0]])) == 1000.0


def test_the_bound_is_a_bound():
    """-log p(x) of a tiny model by integration over its one latent is below the mean bound."""
    torch.manual_seed(0)
    model = lab.Autoencoder(H=3, S=2, Z=1).double()
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]).double()

    def joint(z):
        canvas = model.decode(torch.tensor([[z]]).double()).view(1, 2, 2)
        p = torch.exp(-lab.picture_cost(x, canvas))
        return float(p) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    with torch.no_grad():
        exact = -np.log(integrate.quad(joint, -8, 8)[0])
        draw = torch.Generator().manual_seed(0)
        bounds = torch.cat([model(x.expand(500, 2, 2), draw)[0] for _ in range(8)])
    assert bounds.mean() > exact
    assert bounds.mean() < exact + 5


def test_drawer_s_bound_is_made_of_its_two_costs():
    """With latents that say nothing, only the picture costs."""
    torch.manual_seed(0)
    model = lab.Drawer(S=6, T=3, N=2, H=4, Z=2).double()
    nn_init = torch.nn.init
    nn_init.zeros_(model.latent.weight)
    nn_init.zeros_(model.latent.bias)
    x = (torch.rand(5, 6, 6) > 0.5).double()
    with torch.no_grad():
        bound, canvases = model(x, torch.Generator().manual_seed(0))
    assert canvases.shape == (3, 5, 6, 6)
    torch.testing.assert_close(bound, lab.picture_cost(x, canvases[-1]))


def test_enlarged_digits_keep_their_shape():
    x = datasets.digits().validation.x[:20]
    big = lab.enlarged(x)
    assert big.shape == (20, 16, 16)
    assert set(np.unique(big)) == {0.0, 1.0}
    blocks = big.reshape(20, 8, 2, 8, 2).mean((2, 4))
    assert (blocks[x == 1] >= 0.5).mean() > 0.9
    assert (blocks[x == 0] <= 0.5).mean() > 0.95


# A little training, and the drawings.


def test_glimpser_learns_to_read(monkeypatch):
    """On scenes that are all alike: one digit for each class, in one place."""
    few = datasets.digits()

    def easy(sizes, side, pieces, seed=0):
        own = [int(np.flatnonzero(few.train.y == k)[0]) for k in range(10)] * 6
        x = np.zeros((60, side, side))
        x[:, 8:16, 8:16] = few.train.x[own]
        part = datasets.Images(x, few.train.y[own], np.full((60, 2), 8), few.train.source[own])
        return datasets.Parts(part, part, part)

    monkeypatch.setattr(datasets, "cluttered", easy)
    monkeypatch.setattr(lab, "moved", lambda x, place, rng: x)
    data = lab.train_glimpses(steps=40)
    assert data.result.score > 0.8
    assert data.after.shape == (4,)
    assert 0 <= data.found <= 1
    assert isinstance(lab.draw_glimpses(data), Figure)
    lab.plt.close("all")


def test_drawer_learns_to_draw():
    one, two = (lab.train_drawing(steps=steps, draws=1) for steps in (2, 25))
    assert two.result.score < one.result.score - 30
    assert two.canvases.shape == (8, 6, 16, 16)
    assert two.windows.shape == (8, 6, 4)
    assert isinstance(lab.draw_drawing(two), Figure)
    lab.plt.close("all")
