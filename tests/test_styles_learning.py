"""Other correct ways to write the answers of chapter 7 must pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from course.checks import CheckFailed, check
from solutions import learning


def momentum_loop(x, g, velocity, lr, decay):
    """Python numbers, lists back."""
    new = [decay * float(v) + float(d) for v, d in zip(velocity, g, strict=True)]
    return [float(a) - lr * v for a, v in zip(x, new, strict=True)], new


def nesterov_expanded(theta, grad, v, rate, mu):
    """The bracket multiplied out."""
    return theta - rate * (1 + mu) * grad - rate * mu**2 * v, mu * v + grad


def adagrad_hypot(theta, grad, s, rate, eps):
    """The root first, the sum from it."""
    root = np.hypot(np.sqrt(s), grad)
    with np.errstate(invalid="ignore"):
        step = np.where(grad == 0, 0.0, rate * grad / (root + eps))
    return theta - step, np.square(root)


def rmsprop_lerp(theta, grad, s, rate, rho, eps):
    """As a step towards the new square."""
    s = s + (1 - rho) * (grad**2 - s)
    return theta - rate * grad / (s**0.5 + eps), s


def adam_folded(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """The corrections in the rate, eps moved along."""
    m, s = m + (1 - beta1) * (grad - m), s + (1 - beta2) * (grad**2 - s)
    root = math.sqrt(1 - beta2**t)
    return theta - rate * root / (1 - beta1**t) * m / (np.sqrt(s) + eps * root), m, s


def adamw_by_adam(theta, grad, m, s, t, rate, beta1, beta2, eps, decay):
    """Adam's step, then the decay of the old theta."""
    moved, m, s = learning.adam(theta, grad, m, s, t, rate, beta1, beta2, eps)
    return moved - rate * decay * theta, m, s


def adabound_minmax(theta, grad, m, s, t, rate, final, gamma, beta1, beta2, eps):
    """np.minimum and np.maximum in the place of np.clip."""
    m, s = beta1 * m + (1 - beta1) * grad, beta2 * s + (1 - beta2) * grad**2
    high = final * (1 + 1 / (gamma * t))
    low = final * (1 - 1 / (gamma * t + 1))
    each = np.maximum(np.minimum(rate / (np.sqrt(s) + eps), high), low)
    return theta - each * m / t**0.5, m, s


def chebyshev_list(low, high, T):
    """A list of rates, and the factor by the exponential form of cosh."""
    middle, half = (high + low) / 2, (high - low) / 2
    rates = [1 / (middle - half * math.cos((k + 0.5) * math.pi / T)) for k in range(T)]
    q = (math.sqrt(high) - math.sqrt(low)) / (math.sqrt(high) + math.sqrt(low))
    return rates, 2 / (q**T + q**-T)


def preprocess_masks(grad, p):
    """Boolean indexing into an array of zeros."""
    x = np.zeros((len(grad), 2))
    large = np.abs(grad) >= np.exp(-p)
    x[large] = np.stack([np.log(np.abs(grad[large])) / p, np.sign(grad[large])], axis=1)
    x[~large, 0] = -1
    x[~large, 1] = np.exp(p) * grad[~large]
    return x


def coordinatewise_torch(x, h, c, phi, scale):
    """By PyTorch's cell, one layer after the other."""
    x, h, c = (torch.from_numpy(np.array(a)) for a in (x, h, c))
    step, h, c = learning.learned_step(x, h, c, [torch.from_numpy(np.array(p)) for p in phi], scale)
    return step.numpy(), h.numpy(), c.numpy()


def meta_loss_one_by_one(W, y, theta, v, rate, mu, w):
    """A loop over functions outside, over steps inside, by columns."""
    total = 0.0
    for i in range(len(W)):
        x, u = theta[i], v[i]
        for weight in w:
            u = mu * u + 2 * W[i].T @ (W[i] @ x - y[i])
            x = x - rate * u
            total += weight / len(W) * np.sum((W[i] @ x - y[i]) ** 2)
    return np.array(total)


def meta_gradient_autograd(W, y, theta, v, rate, mu, w, second):
    """Autograd in the place of (7.18)."""
    W, y, x, u = (torch.tensor(a) for a in (W, y, theta, v))
    point = torch.tensor([rate, mu], dtype=W.dtype).requires_grad_()
    L = 0.0
    for weight in w:
        d = 2 * (((W @ x[..., None])[..., 0] - y)[:, None] @ W)[:, 0]
        u = point[1] * u + (d if second else d.detach())
        x = x - point[0] * u
        L = L + float(weight) * ((W @ x[..., None])[..., 0] - y).square().sum(-1).mean()
    (grad,) = torch.autograd.grad(L, point)
    return grad[0].numpy(), grad[1].numpy()


def train_in_chunks_complex(W, y, theta, rate, mu, k, T, eta):
    """Complex steps for the gradient of each chunk, a list of tuples back."""
    v, phis = np.zeros_like(theta), []
    for _ in range(0, T, k):
        W2, y2, x2, v2 = (a.astype(complex) for a in (W, y, theta, v))
        grads = [
            learning.meta_loss(W2, y2, x2, v2, a, b, np.ones(k)).imag / 1e-20
            for a, b in ((rate + 1e-20j, mu), (rate, mu + 1e-20j))
        ]
        for _ in range(k):
            d = 2 * np.einsum("fmn,fm->fn", W, np.einsum("fmn,fn->fm", W, theta) - y)
            v = mu * v + d
            theta = theta - rate * v
        rate, mu = rate - eta * grads[0], mu - eta * grads[1]
        phis.append((rate, mu))
    return phis, theta


def learned_meta_gradient_backward(W, y, theta, phi, T, second):
    """Leaves and backward(), gradients of f by hand, a tuple of gradients back."""
    leaves = [p.clone().requires_grad_() for p in phi]
    F, n = theta.shape
    h = torch.zeros((2, F * n, len(leaves[6])), dtype=theta.dtype, device=theta.device)
    c, total = h, theta.new_zeros(())
    for _ in range(T):
        residual = torch.einsum("fmn,fn->fm", W, theta) - y
        d = 2 * torch.einsum("fmn,fm->fn", W, residual)
        with torch.set_grad_enabled(True):
            step, h, c = learning.learned_step(
                (d if second else d.detach()).reshape(F * n, 1), h, c, leaves
            )
        theta = theta + step.reshape(F, n)
        total = total + (torch.einsum("fmn,fn->fm", W, theta) - y).pow(2).sum() / F
    total.backward()
    return total.detach(), tuple(leaf.grad for leaf in leaves)


def tuned_loops(train, test):
    """Sorting by hand, percentiles in the place of quantiles."""
    train, test = (np.nan_to_num(a, nan=np.inf, posinf=np.inf) for a in (train, test))
    lasts = [float(np.median(rate[:, -1])) for rate in train]
    best = lasts.index(min(lasts))
    low, middle, high = (np.percentile(test[best], q, axis=0) for q in (25, 50, 75))
    return np.int64(best), low, middle, high


STYLES = {
    "momentum": [momentum_loop],
    "nesterov": [nesterov_expanded],
    "adagrad": [adagrad_hypot],
    "rmsprop": [rmsprop_lerp],
    "adam": [adam_folded],
    "adamw": [adamw_by_adam],
    "adabound": [adabound_minmax],
    "chebyshev": [chebyshev_list],
    "preprocess": [preprocess_masks],
    "coordinatewise": [coordinatewise_torch],
    "meta_loss": [meta_loss_one_by_one],
    "meta_gradient": [meta_gradient_autograd],
    "train_in_chunks": [train_in_chunks_complex],
    "learned_meta_gradient": [learned_meta_gradient_backward],
    "tuned": [tuned_loops],
}


@pytest.mark.parametrize(
    ("name", "answer"),
    [(name, answer) for name, answers in STYLES.items() for answer in answers],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_another_style_is_right(name, answer):
    check(f"learning.{name}", answer)


def test_every_exercise_has_another_style():
    from course.exercise import chapter

    assert set(STYLES) == {exercise.symbol for exercise in chapter("learning").exercises}


def test_a_step_in_place_is_stopped(capsys):
    def momentum(theta, grad, v, rate, mu):
        v *= mu
        v += grad
        return theta - rate * v, v

    with pytest.raises(CheckFailed):
        check("learning.momentum", momentum)
    assert "writes into v" in capsys.readouterr().out


def test_a_tensor_changed_in_place_is_stopped(capsys):
    def learned_meta_gradient(W, y, theta, phi, T, second):
        found = learning.learned_meta_gradient(W, y, theta, phi, T, second)
        theta += 1.0
        return found

    torch.func.vmap(torch.func.grad(torch.sum))(torch.ones(2, 2))  # the first call is slow
    with pytest.raises(CheckFailed):
        check("learning.learned_meta_gradient", learned_meta_gradient)
    assert "writes into theta" in capsys.readouterr().out


# What a student tried: wrong answers that once passed, or were called something that they are not.


def tuned(train, test, choose, quartiles):
    best = int(choose(train[:, :, -1]))
    return best, *quartiles(test[best])


def worst(losses):
    return np.where(np.isnan(losses), np.inf, losses)


def by_median(losses):
    return np.argmin(np.median(worst(losses), axis=1))


def of_all(runs):
    return np.quantile(worst(runs), [0.25, 0.5, 0.75], axis=0)


def tuned_without_the_lost(train, test):
    """The held-out runs that diverged are dropped."""
    return tuned(
        train, test, by_median, lambda runs: np.nanquantile(runs, [0.25, 0.5, 0.75], axis=0)
    )


def tuned_with_nan(train, test):
    """Nothing is done about nan."""

    def choose(lasts):
        return np.argmin(np.median(lasts, axis=1))

    return tuned(train, test, choose, lambda runs: np.quantile(runs, [0.25, 0.5, 0.75], axis=0))


def tuned_with_nan_held_out(train, test):
    """nan is seen to in training, and not in the held-out runs."""
    return tuned(train, test, by_median, lambda r: np.quantile(r, [0.25, 0.5, 0.75], axis=0))


def tuned_among_survivors(train, test):
    return tuned(train, test, lambda lasts: np.nanargmin(np.nanmedian(lasts, axis=1)), of_all)


def learned_before_the_step(W, y, theta, phi, T, second):
    """The loss is added up before theta moves."""
    phi = [each.detach().clone().requires_grad_() for each in phi]
    h = theta.new_zeros(2, theta.numel(), len(phi[6]))
    c, L = torch.zeros_like(h), 0.0
    for _ in range(T):
        residual = torch.einsum("fmn,fn->fm", W, theta) - y
        L = L + residual.square().sum(-1).mean()
        d = 2 * torch.einsum("fmn,fm->fn", W, residual)
        step, h, c = learning.learned_step((d if second else d.detach()).reshape(-1, 1), h, c, phi)
        theta = theta + step.reshape(theta.shape)
    return L.detach(), list(torch.autograd.grad(L, phi))


def adam_one_power_less(theta, grad, m, s, t, rate, beta1, beta2, eps):
    m, s = beta1 * m + (1 - beta1) * grad, beta2 * s + (1 - beta2) * grad**2
    m_hat, s_hat = m / (1 - beta1 ** (t - 1)), s / (1 - beta2 ** (t - 1))
    return theta - rate * m_hat / (np.sqrt(s_hat) + eps), m, s


def nesterov_with_the_old(theta, grad, v, rate, mu):
    return theta - rate * (grad + mu * v), mu * v + grad


def loss_from_rest(W, y, theta, v, rate, mu, w):
    return learning.meta_loss(W, y, theta, 0 * v, rate, mu, w)


def features_of_sizes(grad, p):
    x = learning.preprocess(grad, p)
    x[:, 1] = np.where(np.abs(grad) < np.exp(-p), np.abs(x[:, 1]), x[:, 1])
    return x


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("tuned", tuned_without_the_lost, '"held-out runs that diverged are left out"'),
        ("tuned", tuned_with_nan, '"nan is left in: it is no number to sort by"'),
        ("tuned", tuned_with_nan_held_out, 'on the property "diverged"'),
        ("tuned", tuned_among_survivors, '"runs that diverged are left out"'),
        (
            "learned_meta_gradient",
            learned_before_the_step,
            '"the loss before each step is taken"',
        ),
        ("adam", adam_one_power_less, '"the power is t - 1"'),
        ("nesterov", nesterov_with_the_old, "with the old velocity in the bracket"),
        ("meta_loss", loss_from_rest, '"the first velocity is taken as zero"'),
        ("preprocess", features_of_sizes, 'on the probe "small and negative"'),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_a_student_tried_is_stopped_and_called_what_it_is(name, answer, words, capsys):
    with pytest.raises(CheckFailed):
        check(f"learning.{name}", answer)
    assert words in capsys.readouterr().out


def test_a_mean_over_entries_is_seen_before_anything_moves(capsys):
    def entries(W, y, theta, v, rate, mu, w):
        return learning.meta_loss(W, y, theta, v, rate, mu, w) / y.shape[1]

    with pytest.raises(CheckFailed):
        check("learning.meta_loss", entries)
    told = capsys.readouterr().out
    assert 'on the probe "nothing moves"' in told
    assert '"a mean over the entries, too"' in told
