"""Every numbered equation of chapter 3, proved by a second method.

The functions under test are those of `solutions.bptt`.  The second method is a complex step,
PyTorch's autograd or a count by hand; it never calls the function that it judges.  All in
float64.  `EXACT` bounds rounding alone: no method here has a truncation error above 1e-20.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from figures import bptt as lab

from solutions.bptt import (
    RNNFunction,
    clip,
    forward,
    grad_h,
    grad_o,
    grad_params,
    loss,
    rtrl,
    train,
    truncated,
)

EXACT = 1e-12  # a few hundred roundings of numbers around 1
STEP = 1e-30

# Unequal sizes above 1, a state that is not zero, and padding: nothing can hide.
NET = lab.network(0, T=6, B=2, D=3, H=4, K=5)
T, B, H = 6, 2, 4


def complex_step(f: Callable[[np.ndarray], complex], at: np.ndarray) -> np.ndarray:
    """Return the gradient of f at a point, by (3.21)."""
    gradient = np.empty(at.shape)
    for index in np.ndindex(at.shape):
        moved = at.astype(complex)
        moved[index] += 1j * STEP
        gradient[index] = np.imag(f(moved)) / STEP
    return gradient


def run(net: lab.Net = NET, **changes: np.ndarray) -> complex:
    """Return L of (3.5) by an independent forward pass, one column at a time, complex or real."""
    net = net._replace(**changes)
    total = 0.0
    for n in range(net.x.shape[1]):
        total = total + run_from(net.h0[n], 0, n, net)
    return total


def run_from(state: np.ndarray, t: int, n: int, net: lab.Net = NET) -> complex:
    """Return the sum of the losses after step t of sequence n, given h(t) = state."""
    total = 0.0
    for s in range(t, len(net.x)):
        state = np.tanh(net.b + net.W @ state + net.U @ net.x[s, n])
        total = total + net.mask[s, n] * step_loss(state, s, n, net)
    return total


def step_loss(state: np.ndarray, s: int, n: int, net: lab.Net = NET) -> complex:
    """Return L(s+1) of sequence n, given its state."""
    o = net.c + net.V @ state
    return np.log(np.exp(o).sum()) - o[net.y[s, n]]


@pytest.fixture(scope="module")
def passed() -> dict[str, np.ndarray]:
    """The reference's forward and backward pass over NET."""
    h, o = forward(*NET.arguments)
    do = grad_o(o, NET.y, NET.mask)
    dh = grad_h(do, h, NET.W, NET.V)
    dU, dW, db, dV, dc = grad_params(dh, do, NET.x, h, NET.h0)
    return {"h": h, "o": o, "do": do, "dh": dh, "U": dU, "W": dW, "b": db, "V": dV, "c": dc}


def close(one: np.ndarray, two: np.ndarray) -> None:
    np.testing.assert_allclose(one, two, rtol=EXACT, atol=EXACT)


# ---------------------------------------------------------------------------------------- forward


@pytest.mark.equation("3.1")
@pytest.mark.equation("3.2")
@pytest.mark.equation("3.3")
def test_forward_is_torch_rnn_and_linear(passed):
    rnn, head = lab.twin(NET)
    states, _ = rnn(torch.from_numpy(NET.x), torch.from_numpy(NET.h0)[None])
    close(passed["h"], states.detach().numpy())
    close(passed["o"], head(states).detach().numpy())


@pytest.mark.equation("3.1")
def test_pre_activation_entry_by_entry(passed):
    before = np.concatenate([NET.h0[None], passed["h"][:-1]])
    for t, n, i in np.ndindex(T, B, H):
        a = NET.b[i] + sum(NET.W[i, j] * before[t, n, j] for j in range(H))
        a += sum(NET.U[i, j] * NET.x[t, n, j] for j in range(NET.x.shape[-1]))
        assert np.arctanh(passed["h"][t, n, i]) == pytest.approx(a, abs=1e-10)  # arctanh amplifies


@pytest.mark.equation("3.4")
@pytest.mark.equation("3.5")
def test_loss_is_masked_cross_entropy(passed):
    each = torch.nn.functional.cross_entropy(
        torch.from_numpy(passed["o"]).movedim(-1, 1), torch.from_numpy(NET.y), reduction="none"
    )
    close(loss(passed["o"], NET.y, NET.mask), (each.numpy() * NET.mask).sum())
    close(loss(passed["o"], NET.y, NET.mask), run())


@pytest.mark.equation("3.4")
def test_softmax_from_the_gradient_is_torch_softmax(passed):
    ones = np.ones((T, B))
    y_hat = grad_o(passed["o"], NET.y, ones) + np.eye(5)[NET.y]
    close(y_hat, torch.softmax(torch.from_numpy(passed["o"]), -1).numpy())


# -------------------------------------------------------------------------------- outputs, states


@pytest.mark.equation("3.6")
def test_loss_moves_with_each_step_loss_at_rate_mask(passed):
    """Add the same to all outputs but the target's: L(t) moves, and L by m(t) times as much."""
    mask = NET.mask * np.linspace(0.5, 1.5, T)[:, None]  # weights that are not just 0 and 1
    for t, n in np.ndindex(T, B):
        o = passed["o"].copy()
        others = np.arange(5) != NET.y[t, n]
        o[t, n, others] += 0.3
        row, before = o[t, n], passed["o"][t, n]
        moved = np.log(np.exp(row).sum()) - np.log(np.exp(before).sum())  # o at the target stays
        close(loss(o, NET.y, mask) - loss(passed["o"], NET.y, mask), mask[t, n] * moved)


@pytest.mark.equation("3.7")
def test_gradient_at_outputs(passed):
    def total(o: np.ndarray) -> complex:
        picked = np.take_along_axis(o, NET.y[..., None], -1)[..., 0]
        return ((np.log(np.exp(o).sum(-1)) - picked) * NET.mask).sum()

    close(passed["do"], complex_step(total, passed["o"]))
    close(passed["do"].sum(-1), np.zeros((T, B)))  # its entries sum to zero


@pytest.mark.equation("3.8")
def test_gradient_at_last_state(passed):
    mask = np.ones((T, B))  # NET's own mask hides the last step of a sequence
    net = NET._replace(mask=mask)
    dh = grad_h(grad_o(passed["o"], NET.y, mask), passed["h"], NET.W, NET.V)
    for n in range(B):
        close(
            dh[-1, n],
            complex_step(lambda s, n=n: step_loss(s, T - 1, n, net), passed["h"][-1, n]),
        )


@pytest.mark.equation("3.9")
def test_gradient_at_earlier_states(passed):
    for t, n in np.ndindex(T - 1, B):

        def onwards(state: np.ndarray, t: int = t, n: int = n) -> complex:
            own = NET.mask[t, n] * step_loss(state, t, n)
            return own + run_from(state, t + 1, n)

        close(passed["dh"][t, n], complex_step(onwards, passed["h"][t, n]))


def gradient_at_a(passed: dict[str, np.ndarray], t: int, n: int) -> np.ndarray:
    """Return the reference's gradient at a(t+1) of sequence n: db of that step alone."""
    cut = (slice(t, t + 1), slice(n, n + 1))
    return grad_params(
        passed["dh"][cut], passed["do"][cut], NET.x[cut], passed["h"][cut], NET.h0[n : n + 1]
    )[2]


@pytest.mark.equation("3.10")
def test_gradient_at_pre_activations(passed):
    for t, n in np.ndindex(T, B):

        def onwards(a: np.ndarray, t: int = t, n: int = n) -> complex:
            state = np.tanh(a)
            return NET.mask[t, n] * step_loss(state, t, n) + run_from(state, t + 1, n)

        a = np.arctanh(passed["h"][t, n])
        np.testing.assert_allclose(
            gradient_at_a(passed, t, n), complex_step(onwards, a), rtol=1e-9, atol=1e-12
        )  # arctanh loses digits where tanh is flat


# ------------------------------------------------------------------------------ parameters, inputs


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("c", marks=pytest.mark.equation("3.11")),
        pytest.param("b", marks=pytest.mark.equation("3.12")),
        pytest.param("V", marks=pytest.mark.equation("3.13")),
        pytest.param("W", marks=pytest.mark.equation("3.14")),
        pytest.param("U", marks=pytest.mark.equation("3.15")),
    ],
)
def test_gradient_of_parameter(passed, name):
    close(passed[name], complex_step(lambda v: run(**{name: v}), getattr(NET, name)))


@pytest.mark.parametrize(
    ("name", "position"),
    [
        pytest.param("x", 0, marks=pytest.mark.equation("3.17")),
        pytest.param("h0", 1, marks=pytest.mark.equation("3.16")),
    ],
)
def test_gradient_of_what_goes_in(passed, name, position):
    leaves = [torch.from_numpy(a).requires_grad_() for a in NET.arguments[:5]]
    RNNFunction.apply(*leaves).backward(torch.from_numpy(passed["do"] @ NET.V))
    close(
        leaves[position].grad.numpy(), complex_step(lambda v: run(**{name: v}), getattr(NET, name))
    )


@pytest.mark.equation("3.9")
@pytest.mark.equation("3.14")
def test_rnn_function_against_finite_differences():
    leaves = [torch.from_numpy(a).requires_grad_() for a in NET.arguments[:5]]
    assert torch.autograd.gradcheck(RNNFunction.apply, leaves)


def copies_by_autograd(mask: np.ndarray) -> np.ndarray:
    """Return dL/dW(t) for every t, (T, H, H): each step has a leaf of its own."""
    leaves = [torch.from_numpy(NET.W.copy()).requires_grad_() for _ in range(T)]
    U, b, V, c = (torch.from_numpy(getattr(NET, name)) for name in "UbVc")
    state, total = torch.from_numpy(NET.h0), torch.zeros((), dtype=torch.float64)
    for t, W in enumerate(leaves):
        state = torch.tanh(torch.from_numpy(NET.x[t]) @ U.T + state @ W.T + b)
        each = torch.nn.functional.cross_entropy(
            state @ V.T + c, torch.from_numpy(NET.y[t]), reduction="none"
        )
        total = total + (each * torch.from_numpy(mask[t])).sum()
    total.backward()
    return np.stack([np.zeros((H, H)) if W.grad is None else W.grad.numpy() for W in leaves])


@pytest.mark.equation("3.18")
def test_total_derivative_is_the_sum_over_copies(passed):
    copies = copies_by_autograd(NET.mask)
    close(passed["W"], copies.sum(0))
    for t in range(T):  # and each copy is (grad at a(t)) h(t-1)'
        before = NET.h0 if t == 0 else passed["h"][t - 1]
        own = sum(np.outer(gradient_at_a(passed, t, n), before[n]) for n in range(B))
        close(own, copies[t])


@pytest.mark.equation("3.18")
def test_immediate_derivative_is_not_the_total_one(passed):
    """With every h(t-1) held fixed, each loss sees the copy of its own step alone."""
    before = np.concatenate([NET.h0[None], passed["h"][:-1]])
    da = (passed["do"] @ NET.V) * (1 - passed["h"] ** 2)
    immediate = np.einsum("tbi,tbj->ij", da, before)

    def held(W: np.ndarray) -> complex:
        states = np.tanh(NET.b + before @ W.T + NET.x @ NET.U.T)
        return sum(NET.mask[t, n] * step_loss(states[t, n], t, n) for t, n in np.ndindex(T, B))

    close(immediate, complex_step(held, NET.W))
    assert lab.difference(passed["W"], immediate) > 0.1


@pytest.mark.equation("3.19")
def test_ledger_entry_by_entry():
    norms, error = lab.ledger_of(NET)
    assert error < EXACT
    for s in range(T):
        only = np.zeros((T, B))
        only[s] = NET.mask[s]
        close(norms[s], np.linalg.norm(copies_by_autograd(only), axis=(1, 2)))
        assert (norms[s, s + 1 :] == 0).all()  # a later copy cannot change an earlier loss


@pytest.mark.equation("3.19")
def test_ledger_formula_of_one_pair(passed):
    """diag(1 - h(t)^2) (dh(s)/dh(t))' V' grad_o(s) h(t-1)', written out as in the book."""
    s, t, n = 4, 1, 0
    only = np.zeros((T, B))
    only[s, n] = 1.0
    jacobian = np.linalg.multi_dot(
        [np.diag(1 - passed["h"][k, n] ** 2) @ NET.W for k in range(s, t, -1)]
    )
    y_hat = torch.softmax(torch.from_numpy(passed["o"][s, n]), -1).numpy()
    left = np.diag(1 - passed["h"][t, n] ** 2) @ jacobian.T @ NET.V.T
    entry = np.outer(left @ (y_hat - np.eye(5)[NET.y[s, n]]), passed["h"][t - 1, n])
    close(entry, copies_by_autograd(only)[t])
    # A loss reaches its own step's copy with the Jacobian I.
    own = np.diag(1 - passed["h"][s, n] ** 2) @ NET.V.T @ (y_hat - np.eye(5)[NET.y[s, n]])
    close(np.outer(own, passed["h"][s - 1, n]), copies_by_autograd(only)[s])


# ------------------------------------------------------------------------------ forward in time


@pytest.mark.equation("3.20")
def test_rtrl_against_complex_step(passed):
    found = rtrl(passed["do"] @ NET.V, NET.x, NET.h0, NET.U, NET.W, NET.b)
    for name, gradient in zip(("U", "W", "b"), found, strict=True):
        close(gradient, complex_step(lambda v, name=name: run(**{name: v}), getattr(NET, name)))


@pytest.mark.equation("3.20")
def test_rtrl_recursion_of_one_state():
    """A gradient at one entry of one state alone brings out d h(t)_i / d Theta itself."""
    for t, i in ((0, 1), (3, 2)):
        g = np.zeros((T, B, H))
        g[t, 0, i] = 1.0
        dW = rtrl(g, NET.x, NET.h0, NET.U, NET.W, NET.b)[1]

        def entry(W: np.ndarray, t: int = t, i: int = i) -> complex:
            state = NET.h0[0]
            for s in range(t + 1):
                state = np.tanh(NET.b + W @ state + NET.U @ NET.x[s, 0])
            return state[i]

        close(dW, complex_step(entry, NET.W))


# ---------------------------------------------------------------------------------- many steps


def jacobian_by_complex_step(net: lab.Net, t: int, until: int) -> np.ndarray:
    """Return d h(until) / d h(t) of sequence 0, (H, H), indices as in the code: h(1) is 0."""

    def state_at(state: np.ndarray) -> np.ndarray:
        for s in range(t + 1, until + 1):
            state = np.tanh(net.b + net.W @ state + net.U @ net.x[s, 0])
        return state

    h, _ = forward(*net.arguments)
    columns = [state_at(h[t, 0] + 1j * STEP * unit).imag / STEP for unit in np.eye(net.W.shape[0])]
    return np.stack(columns, axis=1)


@pytest.mark.equation("3.23")
def test_product_of_jacobians(passed):
    t, until = 1, 5
    truth = jacobian_by_complex_step(NET, t, until)
    by_product = lab.products(passed["h"][: until + 1, 0], NET.W)[until - t]
    close(by_product, truth)
    # The backward pass with V = I and a one at the last state brings out a row of it.
    for i in range(H):
        do = np.zeros((until + 1, 1, H))
        do[-1, 0, i] = 1.0
        dh = grad_h(do, passed["h"][: until + 1, :1], NET.W, np.eye(H))
        close(dh[t, 0], truth[i])


@pytest.mark.equation("3.23")
def test_order_of_the_factors_matters(passed):
    slopes = [np.diag(1 - passed["h"][k, 0] ** 2) for k in (3, 2)]
    truth = jacobian_by_complex_step(NET, 1, 3)
    close(slopes[0] @ NET.W @ slopes[1] @ NET.W, truth)
    assert lab.difference(truth, slopes[0] @ slopes[1] @ NET.W @ NET.W) > 1e-2


@pytest.mark.equation("3.22")
def test_scalar_linear_case():
    for row in lab.scalar_case():
        assert row.formula == pytest.approx(row.complex_step, rel=EXACT), row.name


@pytest.mark.equation("3.22")
def test_scalar_case_is_the_network_itself():
    """One unit whose state stays tiny is linear: the reference must give (3.22)."""
    w, v, start, L = 0.9, 1.3, 1e-6, 20  # tanh(z) = z - z^3/3: relative error 1e-12
    h, _ = forward(
        np.zeros((L, 1, 1)), np.array([[start]]), np.zeros((1, 1)), np.array([[w]]), np.zeros(1),
        np.array([[v]]), np.zeros(1),
    )  # fmt: skip
    do = np.zeros((L, 1, 1))
    do[-1] = 1.0
    dh = grad_h(do, h, np.array([[w]]), np.array([[v]]))
    dW = grad_params(dh, do, np.zeros((L, 1, 1)), h, np.array([[start]]))[1]
    assert dW[0, 0] == pytest.approx(v * L * w ** (L - 1) * start, rel=1e-9)
    assert dh[0, 0, 0] == pytest.approx(v * w ** (L - 1), rel=1e-9)


@pytest.mark.equation("3.22")
@pytest.mark.parametrize(("w", "grows"), [(-2.0, True), (-0.5, False), (0.5, False), (2.0, True)])
def test_modulus_decides(w, grows):
    short, long = (abs(lab.scalar_case(w=w, L=L)[1].complex_step) for L in (10, 30))
    assert (long > short) is grows


@pytest.mark.equation("3.24")
def test_bound_of_the_product():
    for seed in range(20):
        net = lab.network(seed, T=9, B=1, H=5, gain=0.5 + 0.1 * seed)
        h, _ = forward(*net.arguments)
        sigma = np.linalg.norm(net.W, 2)
        for t in range(8):
            gamma = (1 - h[t + 1 :, 0] ** 2).max()
            assert gamma <= 1
            norm = np.linalg.norm(jacobian_by_complex_step(net, t, 8), 2)
            assert norm <= (gamma * sigma) ** (8 - t) * (1 + EXACT)


@pytest.mark.equation("3.24")
def test_norm_above_one_is_not_sufficient():
    W = np.array([[0.0, 2.0], [0.0, 0.0]])
    assert np.linalg.norm(W, 2) == 2
    assert not (W @ W).any()


@pytest.mark.equation("3.25")
def test_powers_of_a_matrix():
    rng = np.random.default_rng(2)
    for W in (rng.normal(size=(5, 5)) / 2, 0.7 * np.eye(8) + 0.8 * np.eye(8, k=1)):
        radius, sigma = np.abs(np.linalg.eigvals(W)).max(), np.linalg.norm(W, 2)
        for n in (1, 2, 5, 20):
            norm = np.linalg.norm(np.linalg.matrix_power(W, n), 2)
            assert radius**n * (1 - 1e-9) <= norm <= sigma**n * (1 + 1e-9)
        # The limit: from one power to the next the norm changes by rho, up to n/(n+1) for a
        # Jordan block of size 8, hence the tolerance of 7/1000.
        W = W / radius
        logs = [np.log(np.linalg.norm(np.linalg.matrix_power(W, n), 2)) for n in (1000, 2000)]
        assert logs[1] / 2000 == pytest.approx(0, abs=0.03)
        assert (logs[1] - logs[0]) / 1000 == pytest.approx(0, abs=0.007)
    normal = lab.orthogonal(rng, 5) * 0.9
    for n in (1, 7, 30):
        norm = np.linalg.norm(np.linalg.matrix_power(normal, n), 2)
        assert norm == pytest.approx(0.9**n, rel=EXACT)


# ------------------------------------------------------------------------- clipping, truncation


@pytest.mark.equation("3.26")
@pytest.mark.parametrize("theta", [0.5, 1e3])
def test_clip_is_torch_clip(passed, theta):
    gradients = [passed[name] for name in "UWbVc"]
    clipped, norm = clip(gradients, theta)
    leaves = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in gradients]
    for leaf, g in zip(leaves, gradients, strict=True):
        leaf.grad = torch.from_numpy(g.copy())
    said = torch.nn.utils.clip_grad_norm_(leaves, theta)
    assert norm == pytest.approx(float(said), rel=EXACT)
    for mine, leaf in zip(clipped, leaves, strict=True):
        # PyTorch divides by the norm plus 1e-6
        np.testing.assert_allclose(mine, leaf.grad.numpy(), rtol=2e-6 / norm)


@pytest.mark.equation("3.27")
@pytest.mark.parametrize("k", [1, 2, 3, 4, 6, 9])
def test_truncated_is_detach_at_the_borders(passed, k):
    U, W, b, V, c = (torch.from_numpy(getattr(NET, name).copy()) for name in "UWbVc")
    W.requires_grad_()
    state = torch.from_numpy(NET.h0)
    for t in range(T):
        if t % k == 0:
            state = state.detach()
        state = torch.tanh(torch.from_numpy(NET.x[t]) @ U.T + state @ W.T + b)
        each = torch.nn.functional.cross_entropy(
            state @ V.T + c, torch.from_numpy(NET.y[t]), reduction="none"
        )
        (each * torch.from_numpy(NET.mask[t])).sum().backward(retain_graph=True)
    dh = truncated(passed["do"], passed["h"], NET.W, NET.V, k)
    close(grad_params(dh, passed["do"], NET.x, passed["h"], NET.h0)[1], W.grad.numpy())


@pytest.mark.equation("3.28")
@pytest.mark.parametrize(("length", "k"), [(12, 1), (12, 3), (12, 4), (12, 12), (60, 5)])
def test_share_of_pairs_inside_a_chunk(length, k):
    chunk = [t // k for t in range(length)]
    for d in range(length):
        inside = sum(chunk[t] == chunk[t + d] for t in range(length - d))
        share = length / (length - d) * max(0.0, 1 - d / k)
        assert inside / (length - d) == pytest.approx(share, abs=EXACT)
    assert lab.kept_share(length, k) == pytest.approx(
        [length / (length - d) * max(0.0, 1 - d / k) for d in range(length)], abs=EXACT
    )


@pytest.mark.equation("3.21")
def test_complex_step_and_its_error():
    """For f = exp(sin x): f' by hand, and the error -eps^2 f'''/6 of the first term."""
    x = 0.7
    sin, cos = np.sin(x), np.cos(x)
    f = np.exp(sin)
    first = cos * f
    third = f * (cos**3 - 3 * sin * cos - cos)
    for eps in (1e-2, 1e-3):
        found = np.exp(np.sin(x + 1j * eps)).imag / eps
        assert (first - found) / eps**2 == pytest.approx(third / 6, rel=20 * eps**2 + 1e-8)
    assert np.exp(np.sin(x + 1e-30j)).imag / 1e-30 == pytest.approx(first, rel=1e-15)


@pytest.mark.equation("3.29")
def test_training_is_torchs_descent_with_momentum():
    """Four batches of NET's shapes; clipping is on at some of them and off at others."""
    rng = np.random.default_rng(9)
    N, eta, mu, theta = 4, 0.2, 0.7, 0.25
    x, y = rng.normal(size=(N, *NET.x.shape)), rng.integers(0, 5, (N, T, B))
    mask = np.tile(NET.mask, (N, 1, 1))
    start = [NET.U, NET.W, NET.b, NET.V, NET.c]
    params, curve = train(start, x, y, mask, eta, mu, theta)
    rnn, head = lab.twin(NET)
    learned = [rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, head.weight, head.bias]
    descent = torch.optim.SGD(learned, lr=eta, momentum=mu)
    norms = []
    for n in range(N):
        o = head(rnn(torch.from_numpy(x[n]))[0])
        each = torch.nn.functional.cross_entropy(
            o.movedim(-1, 1), torch.from_numpy(y[n]), reduction="none"
        )
        mean = (each * torch.from_numpy(mask[n])).sum() / mask[n].sum()
        assert curve[n] == pytest.approx(mean.item(), rel=EXACT)
        descent.zero_grad()
        mean.backward()
        norms.append(torch.cat([p.grad.flatten() for p in learned]).norm().item())
        for p in learned:
            p.grad *= min(1.0, theta / norms[-1])
        descent.step()
    for mine, theirs in zip(params, learned, strict=True):
        close(mine, theirs.detach().numpy())
    assert max(norms) > theta  # clipping has acted
