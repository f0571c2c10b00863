"""Chapter 7: the mistakes that people make when they write optimizers, and when they learn one."""

from __future__ import annotations

import numpy as np
import torch

from autograder.slip import slip
from solutions import learning as right

# Momentum and Nesterov.


@slip("learning.momentum", "the rate is inside the velocity", rung="probes", read="(7.2)")
def momentum_rate_inside(theta, grad, v, rate, mu):
    """The rate multiplies the velocity when theta moves."""
    v = mu * v + rate * grad
    return theta - v, v


@slip("learning.momentum", "the gradient is damped by 1 - mu", rung="probes", read="(7.2)")
def momentum_damped(theta, grad, v, rate, mu):
    """The velocity is a sum, not a mean."""
    v = mu * v + (1 - mu) * grad
    return theta - rate * v, v


@slip("learning.momentum", "the step follows the old velocity", rung="probes", read="(7.2)")
def momentum_old_velocity(theta, grad, v, rate, mu):
    """The new velocity moves theta."""
    return theta - rate * v, mu * v + grad


@slip("learning.momentum", "the step goes uphill", rung="probes", read="(7.2)")
def momentum_uphill(theta, grad, v, rate, mu):
    """Descent has a minus."""
    v = mu * v + grad
    return theta + rate * v, v


@slip("learning.momentum", "the step follows the gradient alone", rung="probes", read="(7.2)")
def momentum_gradient_step(theta, grad, v, rate, mu):
    """The velocity moves theta: what (7.2) has in the place of the gradient."""
    return theta - rate * grad, mu * v + grad


@slip("learning.momentum", "mu is left out", rung="probes", read="(7.2)")
def momentum_no_decay(theta, grad, v, rate, mu):
    """The old velocity shrinks by mu."""
    v = v + grad
    return theta - rate * v, v


@slip(
    "learning.nesterov",
    "plain momentum: so it is, too, with the old velocity in the bracket",
    rung="probes",
    read="(7.3)",
)
def nesterov_plain(theta, grad, v, rate, mu):
    """The gradient plus mu times the old velocity is the new velocity."""
    return right.momentum(theta, grad, v, rate, mu)


@slip("learning.nesterov", "the new velocity is not damped", rung="probes", read="(7.3)")
def nesterov_undamped(theta, grad, v, rate, mu):
    """In the bracket, mu multiplies the new velocity."""
    v = mu * v + grad
    return theta - rate * (grad + v), v


@slip("learning.nesterov", "the gradient is left out of the step", rung="probes", read="(7.3)")
def nesterov_velocity_only(theta, grad, v, rate, mu):
    """Two terms stand in the bracket."""
    v = mu * v + grad
    return theta - rate * mu * v, v


# AdaGrad and RMSprop.


@slip("learning.adagrad", "the root is missing", rung="probes", read="(7.4)")
def adagrad_no_root(theta, grad, s, rate, eps):
    """Squares, then their root."""
    s = s + grad * grad
    return theta - rate * grad / (s + eps), s


@slip("learning.adagrad", "eps is under the root", rung="probes", read="(7.4)")
def adagrad_eps_inside(theta, grad, s, rate, eps):
    """It is added to the root."""
    s = s + grad * grad
    return theta - rate * grad / np.sqrt(np.maximum(s + eps, 1e-300)), s


@slip("learning.adagrad", "the step is divided by the old sum", rung="probes", read="(7.4)")
def adagrad_old_sum(theta, grad, s, rate, eps):
    """This step's square counts already."""
    return theta - rate * grad / (np.sqrt(s) + max(eps, 1e-12)), s + grad * grad


@slip("learning.adagrad", "one sum for all coordinates", rung="probes", read="(7.4)")
def adagrad_norm(theta, grad, s, rate, eps):
    """Each coordinate has its own."""
    s = s + (grad * grad).sum()
    return theta - rate * grad / (np.sqrt(s) + eps), s


@slip("learning.rmsprop", "a sum instead of a mean", rung="probes", read="(7.5)")
def rmsprop_sum(theta, grad, s, rate, rho, eps):
    """The new square counts with 1 - rho."""
    s = rho * s + grad * grad
    return theta - rate * grad / (np.sqrt(s) + eps), s


@slip("learning.rmsprop", "AdaGrad: nothing is forgotten", rung="probes", read="(7.5)")
def rmsprop_adagrad(theta, grad, s, rate, rho, eps):
    """The old mean counts with rho."""
    return right.adagrad(theta, grad, s, rate, eps)


@slip("learning.rmsprop", "rho and 1 - rho have changed places", rung="probes", read="(7.5)")
def rmsprop_swapped(theta, grad, s, rate, rho, eps):
    """rho keeps the old."""
    s = (1 - rho) * s + rho * grad * grad
    return theta - rate * grad / (np.sqrt(s) + eps), s


@slip("learning.rmsprop", "eps is under the root", rung="probes", read="(7.5)")
def rmsprop_eps_inside(theta, grad, s, rate, rho, eps):
    """It is added to the root."""
    s = rho * s + (1 - rho) * grad * grad
    return theta - rate * grad / np.sqrt(np.maximum(s + eps, 1e-300)), s


@slip("learning.rmsprop", "a mean of the gradient, not of its square", rung="probes", read="(7.5)")
def rmsprop_absolute(theta, grad, s, rate, rho, eps):
    """Squares are averaged."""
    s = rho * s + (1 - rho) * np.abs(grad)
    return theta - rate * grad / (np.sqrt(s) + eps), s


# Adam and its children.


def _means(grad, m, s, beta1, beta2):
    return beta1 * m + (1 - beta1) * grad, beta2 * s + (1 - beta2) * grad * grad


@slip("learning.adam", "the means are not corrected", rung="probes", read="(7.6)")
def adam_uncorrected(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """Both start at zero, and are too small at first."""
    m, s = _means(grad, m, s, beta1, beta2)
    return theta - rate * m / (np.sqrt(s) + eps), m, s


@slip("learning.adam", "the corrected means are handed on", rung="probes", read="(7.6)")
def adam_hats_kept(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """The state has no hats."""
    m, s = _means(grad, m, s, beta1, beta2)
    m, s = m / (1 - beta1**t), s / (1 - beta2**t)
    return theta - rate * m / (np.sqrt(s) + eps), m, s


@slip("learning.adam", "the power is t + 1, as if t counted from 0", rung="probes", read="(7.6)")
def adam_late(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """The first step has t = 1; someone has added 1 once more."""
    return right.adam(theta, grad, m, s, t + 1, rate, beta1, beta2, eps)


@slip("learning.adam", "the power is t - 1", rung="probes", read="(7.6)")
def adam_early(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """In the first step that divides by zero."""
    return right.adam(theta, grad, m, s, t - 1, rate, beta1, beta2, eps)


@slip("learning.adam", "the betas are not raised to the power t", rung="probes", read="(7.6)")
def adam_no_power(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """1 - beta^t: the weights that the mean has seen so far."""
    m, s = _means(grad, m, s, beta1, beta2)
    m_hat, s_hat = m / (1 - beta1), s / (1 - beta2)
    return theta - rate * m_hat / (np.sqrt(s_hat) + eps), m, s


@slip("learning.adam", "the betas have changed places", rung="probes", read="(7.6)")
def adam_swapped(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """beta1 is of the mean of gradients, beta2 of that of their squares."""
    return right.adam(theta, grad, m, s, t, rate, beta2, beta1, eps)


@slip("learning.adam", "eps is under the root", rung="probes", read="(7.6)")
def adam_eps_inside(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """It is added to the root."""
    m, s = _means(grad, m, s, beta1, beta2)
    m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
    return theta - rate * m_hat / np.sqrt(s_hat + eps), m, s


@slip("learning.adam", "eps is added before the correction", rung="probes", read="(7.6)")
def adam_eps_early(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """The root of the corrected mean gets it."""
    m, s = _means(grad, m, s, beta1, beta2)
    factor = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return theta - factor * m / (np.sqrt(s) + eps), m, s


@slip("learning.adam", "the mean of squares is the square of the mean", rung="probes", read="(7.6)")
def adam_square_of_mean(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """s averages squared gradients, not the squared average."""
    m = beta1 * m + (1 - beta1) * grad
    s = beta2 * s + (1 - beta2) * m * m
    m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
    return theta - rate * m_hat / (np.sqrt(s_hat) + eps), m, s


@slip("learning.adamw", "the decay is added to the gradient", rung="probes", read="(7.7)")
def adamw_l2(theta, grad, m, s, t, rate, beta1, beta2, eps, decay):
    """That is Adam with an L2 penalty: the decay is divided by the root, too."""
    return right.adam(theta, grad + decay * theta, m, s, t, rate, beta1, beta2, eps)


@slip("learning.adamw", "the decay is not multiplied by the rate", rung="probes", read="(7.7)")
def adamw_no_rate(theta, grad, m, s, t, rate, beta1, beta2, eps, decay):
    """The factor is 1 - rate * decay."""
    moved, m, s = right.adam(theta, grad, m, s, t, rate, beta1, beta2, eps)
    return moved - decay * theta, m, s


@slip("learning.adamw", "the decay is left out", rung="probes", read="(7.7)")
def adamw_no_decay(theta, grad, m, s, t, rate, beta1, beta2, eps, decay):
    """That is Adam."""
    return right.adam(theta, grad, m, s, t, rate, beta1, beta2, eps)


@slip("learning.adamw", "the decay shrinks theta after the step", rung="values", read="(7.7)")
def adamw_after(theta, grad, m, s, t, rate, beta1, beta2, eps, decay):
    """It acts on the old theta; the difference is of the order of rate squared."""
    moved, m, s = right.adam(theta, grad, m, s, t, rate, beta1, beta2, eps)
    return (1 - rate * decay) * moved, m, s


@slip("learning.adabound", "the means are corrected as in Adam", rung="probes", read="(7.8)")
def adabound_corrected(theta, grad, m, s, t, rate, final, gamma, beta1, beta2, eps):
    """The paper's rule has no hats; its published code does."""
    m, s = _means(grad, m, s, beta1, beta2)
    low, high = final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
    corrected = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    each = np.clip(corrected / (np.sqrt(s) + eps), low, high) / np.sqrt(t)
    return theta - each * m, m, s


@slip("learning.adabound", "the root of t is left out", rung="probes", read="(7.8)")
def adabound_no_root(theta, grad, m, s, t, rate, final, gamma, beta1, beta2, eps):
    """Rates fall with the root of t."""
    moved, m, s = right.adabound(theta, grad, m, s, t, rate, final, gamma, beta1, beta2, eps)
    return theta + (moved - theta) * np.sqrt(t), m, s


@slip("learning.adabound", "the whole step is clipped, not the rate", rung="probes", read="(7.8)")
def adabound_clips_step(theta, grad, m, s, t, rate, final, gamma, beta1, beta2, eps):
    """m multiplies the clipped rate."""
    m, s = _means(grad, m, s, beta1, beta2)
    low, high = final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
    return theta - np.clip(rate * m / (np.sqrt(s) + eps), low, high) / np.sqrt(t), m, s


@slip("learning.adabound", "the bounds have changed places", rung="probes", read="(7.8)")
def adabound_swapped(theta, grad, m, s, t, rate, final, gamma, beta1, beta2, eps):
    """np.clip wants the lower bound first; swapped, it returns the lower bound everywhere."""
    m, s = _means(grad, m, s, beta1, beta2)
    low, high = final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
    return theta - np.clip(rate / (np.sqrt(s) + eps), high, low) / np.sqrt(t) * m, m, s


# Chebyshev.


@slip("learning.chebyshev", "even multiples instead of odd ones", rung="probes", read="(7.10)")
def chebyshev_even(low, high, T):
    """The zeros have 2t - 1; 2t gives the places of the extremes."""
    t = np.arange(1, T + 1)
    rates = 2 / (high + low - (high - low) * np.cos(2 * t * np.pi / (2 * T)))
    return rates, right.chebyshev(low, high, T)[1]


@slip("learning.chebyshev", "the same rate at every step", rung="probes", read="(7.10)")
def chebyshev_constant(low, high, T):
    """2 / (low + high) is the best single rate."""
    return np.full(T, 2 / (high + low)), ((high - low) / (high + low)) ** T


@slip("learning.chebyshev", "the zeros instead of their inverses", rung="probes", read="(7.10)")
def chebyshev_zeros(low, high, T):
    """A rate is one over a curvature."""
    rates, factor = right.chebyshev(low, high, T)
    return 1 / rates, factor


@slip("learning.chebyshev", "the steps are in the opposite order", rung="probes", read="(7.10)")
def chebyshev_backwards(low, high, T):
    """With a plus before the cosine; as a set the rates are right."""
    rates, factor = right.chebyshev(low, high, T)
    return rates[::-1], factor


@slip("learning.chebyshev", "T multiplies outside of cosh", rung="probes", read="(7.10)")
def chebyshev_outside(low, high, T):
    """T belongs inside: cosh(T arcosh ...)."""
    rates, _ = right.chebyshev(low, high, T)
    return rates, 1 / (T * (high + low) / (high - low))


# Preprocessing.


@slip("learning.preprocess", "the logarithm is not divided by p", rung="probes", read="(7.12)")
def preprocess_undivided(grad, p):
    """log |d| / p."""
    x = right.preprocess(grad, p)
    x[:, 0] = np.where(np.abs(grad) >= np.exp(-p), x[:, 0] * p, -1)
    return x


@slip("learning.preprocess", "the sign is left out", rung="probes", read="(7.12)")
def preprocess_no_sign(grad, p):
    """The second feature tells up from down."""
    return np.abs(right.preprocess(grad, p)) * np.sign(right.preprocess(np.abs(grad), p))


@slip(
    "learning.preprocess",
    "small gradients are treated like large ones",
    rung="probes",
    read="(7.12)",
)
def preprocess_one_case(grad, p):
    """Below exp(-p) both features change."""
    size = np.maximum(np.abs(grad), 1e-30)
    return np.stack([np.log(size) / p, np.sign(grad)], axis=-1)


@slip("learning.preprocess", "signed numbers are compared, not sizes", rung="probes", read="(7.12)")
def preprocess_signed(grad, p):
    """A large negative gradient is large."""
    large = grad >= np.exp(-p)
    size = np.where(large, grad, 1.0)
    first = np.where(large, np.log(size) / p, -1.0)
    return np.stack([first, np.where(large, 1.0, np.exp(p) * grad)], axis=-1)


@slip("learning.preprocess", "features and coordinates are swapped", rung="shapes", read="(7.12)")
def preprocess_swapped(grad, p):
    """Features are the last axis."""
    return right.preprocess(grad, p).T


# The coordinatewise LSTM.


def _sigmoid(a):
    return 0.5 * (1 + np.tanh(a / 2))


def _cells(x, h, c, phi, scale, order="ifuo", stale=False, squash=np.tanh, old=False):
    """The reference with one thing changed."""
    z, hs, cs = x, [], []
    for layer in (0, 1):
        U, W, b = phi[3 * layer : 3 * layer + 3]
        parts = np.split(z @ U.T + h[layer] @ W.T + b, 4, axis=-1)
        gate = dict(zip(order, parts, strict=True))
        i, f, o = (_sigmoid(gate[name]) for name in "ifo")
        cs.append(f * c[layer] + i * np.tanh(gate["u"]))
        new = o * squash(cs[-1])
        hs.append(new)
        z = h[0] if stale else new
    top = h[1] if old else hs[1]
    return scale * (top @ phi[6] + phi[7]), np.stack(hs), np.stack(cs)


@slip("learning.coordinatewise", "gates in the order i, f, o, u", rung="probes", read="(7.11)")
def coordinatewise_order(x, h, c, phi, scale):
    """The order is i, f, u, o, as in PyTorch."""
    return _cells(x, h, c, phi, scale, order="ifou")


@slip("learning.coordinatewise", "gates in the order f, i, u, o", rung="probes", read="(7.11)")
def coordinatewise_forget_first(x, h, c, phi, scale):
    """The input gate comes first."""
    return _cells(x, h, c, phi, scale, order="fiuo")


@slip(
    "learning.coordinatewise",
    "the second layer reads the first's old state",
    rung="probes",
    read="(7.11)",
)
def coordinatewise_stale(x, h, c, phi, scale):
    """It reads h1 after the step."""
    return _cells(x, h, c, phi, scale, stale=True)


@slip("learning.coordinatewise", "h is the cell itself, without tanh", rung="probes", read="(7.11)")
def coordinatewise_no_tanh(x, h, c, phi, scale):
    """h = sigma(o) tanh(c)."""
    return _cells(x, h, c, phi, scale, squash=lambda cell: cell)


@slip("learning.coordinatewise", "the readout reads the old state", rung="probes", read="(7.13)")
def coordinatewise_old_readout(x, h, c, phi, scale):
    """g comes from h2 after the step."""
    return _cells(x, h, c, phi, scale, old=True)


@slip("learning.coordinatewise", "the scale is left out", rung="probes", read="(7.13)")
def coordinatewise_no_scale(x, h, c, phi, scale):
    """kappa multiplies weights and bias of the readout."""
    return _cells(x, h, c, phi, 1.0)


# Meta-loss and meta-gradient.


def _gradient(W, y, theta):
    return 2 * np.einsum("fmn,fm->fn", W, np.einsum("fmn,fn->fm", W, theta) - y)


def _values(W, y, theta):
    return ((np.einsum("fmn,fn->fm", W, theta) - y) ** 2).sum(-1)


def _meta_loss(W, y, theta, v, rate, mu, w, before=False, factor=2, total=np.mean):
    found = 0.0
    for weight in w:
        value = _values(W, y, theta)
        v = mu * v + factor / 2 * _gradient(W, y, theta)
        theta = theta - rate * v
        found += weight * total(value if before else _values(W, y, theta))
    return found


@slip("learning.meta_loss", "the loss before each step is taken", rung="probes", read="(7.14)")
def meta_loss_before(W, y, theta, v, rate, mu, w):
    """The sum begins after the first step."""
    return _meta_loss(W, y, theta, v, rate, mu, w, before=True)


@slip("learning.meta_loss", "the gradient lacks its factor 2", rung="probes", read="(7.9)")
def meta_loss_half(W, y, theta, v, rate, mu, w):
    """f is a square, without one half."""
    return _meta_loss(W, y, theta, v, rate, mu, w, factor=1)


@slip("learning.meta_loss", "the first velocity is taken as zero", rung="probes", read="(7.2)")
def meta_loss_no_velocity(W, y, theta, v, rate, mu, w):
    """v is an argument."""
    return _meta_loss(W, y, theta, np.zeros_like(v), rate, mu, w)


@slip("learning.meta_loss", "a mean over the entries, too", rung="probes", read="(7.9)")
def meta_loss_entries(W, y, theta, v, rate, mu, w):
    """The norm's square is a sum over the M entries."""
    return _meta_loss(W, y, theta, v, rate, mu, w) / y.shape[1]


@slip("learning.meta_loss", "a sum over the functions", rung="probes", read="(7.14)")
def meta_loss_sum(W, y, theta, v, rate, mu, w):
    """The expectation is a mean."""
    return _meta_loss(W, y, theta, v, rate, mu, w, total=np.sum)


@slip("learning.meta_loss", "a mean over the steps", rung="probes", read="(7.14)")
def meta_loss_steps(W, y, theta, v, rate, mu, w):
    """Steps are summed with their weights."""
    return _meta_loss(W, y, theta, v, rate, mu, w) / len(w)


@slip("learning.meta_loss", "the last loss alone", rung="values", read="(7.14)")
def meta_loss_last(W, y, theta, v, rate, mu, w):
    """Every step counts."""
    return _meta_loss(W, y, theta, v, rate, mu, np.concatenate([0 * w[:-1], w[-1:]]))


def _meta_gradient(W, y, theta, v, rate, mu, w, second, mean=True, whole=True, shift=0, carry=1.0):
    T = len(w)
    H = 2 * np.einsum("fmi,fmj->fij", W, W)
    gradients, vs = [_gradient(W, y, theta)], [v]
    for _ in range(T):
        vs.append(mu * vs[-1] + gradients[-1])
        theta = theta - rate * vs[-1]
        gradients.append(_gradient(W, y, theta))
    lam, nu = np.zeros_like(v), np.zeros_like(v)
    drate = dmu = 0.0
    for t in range(T, 0, -1):
        own = w[t - 1] / (len(W) if mean else 1) * gradients[t]
        lam = own + (lam if whole else 0) + (np.einsum("fij,fj->fi", H, nu) if second else 0)
        nu = -rate * lam + carry * mu * nu
        drate = drate - (vs[t] * lam).sum()
        dmu = dmu + (vs[t - 1 + shift] * nu).sum()
    return drate, dmu


@slip("learning.meta_gradient", "second derivatives are always kept", rung="probes", read="(7.18)")
def meta_gradient_always(W, y, theta, v, rate, mu, w, second):
    """With second=False the term with H is left out."""
    return _meta_gradient(W, y, theta, v, rate, mu, w, True)


@slip("learning.meta_gradient", "second derivatives are never kept", rung="probes", read="(7.18)")
def meta_gradient_never(W, y, theta, v, rate, mu, w, second):
    """With second=True H nu belongs to lambda."""
    return _meta_gradient(W, y, theta, v, rate, mu, w, False)


@slip("learning.meta_gradient", "the functions are not averaged", rung="probes", read="(7.18)")
def meta_gradient_sum(W, y, theta, v, rate, mu, w, second):
    """Weights are divided by F."""
    return _meta_gradient(W, y, theta, v, rate, mu, w, second, mean=False)


@slip("learning.meta_gradient", "later losses are forgotten", rung="probes", read="(7.18)")
def meta_gradient_greedy(W, y, theta, v, rate, mu, w, second):
    """lambda(t) also holds lambda(t+1)."""
    return _meta_gradient(W, y, theta, v, rate, mu, w, second, whole=False)


@slip("learning.meta_gradient", "dmu meets the new velocity", rung="probes", read="(7.18)")
def meta_gradient_new_velocity(W, y, theta, v, rate, mu, w, second):
    """mu multiplies v(t-1)."""
    return _meta_gradient(W, y, theta, v, rate, mu, w, second, shift=1)


@slip("learning.meta_gradient", "the velocity's own road is left out", rung="probes", read="(7.18)")
def meta_gradient_no_carry(W, y, theta, v, rate, mu, w, second):
    """nu(t) also holds mu nu(t+1)."""
    return _meta_gradient(W, y, theta, v, rate, mu, w, second, carry=0.0)


def _chunks(
    W, y, theta, rate, mu, k, T, eta, forget=False, late=False, restart=False, sign=-1,
    second=True, mean=False,
):  # fmt: skip
    v, start, phis = np.zeros_like(theta), theta, []
    for _ in range(T // k):
        w = np.full(k, 1 / k if mean else 1.0)
        drate, dmu = right.meta_gradient(W, y, theta, v, rate, mu, w, second)
        changed = rate + sign * eta * drate, mu + sign * eta * dmu
        if late:
            rate, mu = changed
        for _ in range(k):
            v = mu * v + _gradient(W, y, theta)
            theta = theta - rate * v
        rate, mu = changed
        phis.append([rate, mu])
        if forget:
            v = np.zeros_like(v)
        if restart and len(phis) < T // k:
            theta, v = start, np.zeros_like(v)
    return np.array(phis), theta


@slip("learning.train_in_chunks", "the velocity is forgotten", rung="probes", read="(7.19)")
def chunks_forget(W, y, theta, rate, mu, k, T, eta):
    """theta and v go on across the border."""
    return _chunks(W, y, theta, rate, mu, k, T, eta, forget=True)


@slip("learning.train_in_chunks", "every chunk starts anew", rung="probes", read="(7.19)")
def chunks_restart(W, y, theta, rate, mu, k, T, eta):
    """A chunk begins where the last one ended."""
    return _chunks(W, y, theta, rate, mu, k, T, eta, restart=True)


@slip(
    "learning.train_in_chunks", "phi changes before the chunk is run", rung="probes", read="(7.19)"
)
def chunks_early(W, y, theta, rate, mu, k, T, eta):
    """A chunk's steps use the parameters that it began with."""
    return _chunks(W, y, theta, rate, mu, k, T, eta, late=True)


@slip("learning.train_in_chunks", "the training goes uphill", rung="probes", read="(7.19)")
def chunks_uphill(W, y, theta, rate, mu, k, T, eta):
    """Descent has a minus."""
    return _chunks(W, y, theta, rate, mu, k, T, eta, sign=1)


@slip("learning.train_in_chunks", "second derivatives are left out", rung="probes", read="(7.19)")
def chunks_first_order(W, y, theta, rate, mu, k, T, eta):
    """Here they are kept."""
    return _chunks(W, y, theta, rate, mu, k, T, eta, second=False)


@slip("learning.train_in_chunks", "a mean over the steps of a chunk", rung="probes", read="(7.19)")
def chunks_mean(W, y, theta, rate, mu, k, T, eta):
    """All weights are 1: a sum over the steps."""
    return _chunks(W, y, theta, rate, mu, k, T, eta, mean=True)


# The learned rule.


def _learned(
    W, y, theta, phi, T, second, cut=False, total="mean", before_step=False, loose=False,
    sign=1, carried=True,
):  # fmt: skip
    phi = [each.detach().clone().requires_grad_() for each in phi]
    F, n = theta.shape
    h = theta.new_zeros(2, F * n, len(phi[6]))
    c, L = torch.zeros_like(h), 0.0
    for _ in range(T):
        residual = (W @ theta[..., None])[..., 0] - y
        d = 2 * (residual[:, None] @ W)[:, 0]
        before = residual.square().sum(-1)
        if loose:
            h, c = h.detach(), c.detach()
        step, h, c = right.learned_step((d if second else d.detach()).reshape(-1, 1), h, c, phi)
        if not carried:
            h, c = torch.zeros_like(h), torch.zeros_like(c)
        theta = (theta.detach() if cut else theta) + sign * step.view(F, n)
        after = ((W @ theta[..., None])[..., 0] - y).square().sum(-1)
        L = L + getattr(before if before_step else after, total)()
    return L.detach(), [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(phi, torch.autograd.grad(L, phi, allow_unused=True), strict=True)
    ]


@slip(
    "learning.learned_meta_gradient",
    "theta is detached, not the gradient",
    rung="probes",
    read="(7.17)",
)
def learned_greedy(W, y, theta, phi, T, second):
    """Each step is then judged by its own loss alone."""
    return _learned(W, y, theta, phi, T, second, cut=not second)


@slip(
    "learning.learned_meta_gradient",
    "second derivatives are always kept",
    rung="probes",
    read="(7.17)",
)
def learned_always(W, y, theta, phi, T, second):
    """With second=False the gradients that the rule reads are constants."""
    return _learned(W, y, theta, phi, T, True)


@slip(
    "learning.learned_meta_gradient",
    "second derivatives are never kept",
    rung="probes",
    read="(7.15)",
)
def learned_never(W, y, theta, phi, T, second):
    """With second=True nothing is detached."""
    return _learned(W, y, theta, phi, T, False)


@slip(
    "learning.learned_meta_gradient",
    "the loss before each step is taken",
    rung="probes",
    read="(7.14)",
)
def learned_before(W, y, theta, phi, T, second):
    """The sum begins after the first step; before it nothing depends on phi."""
    return _learned(W, y, theta, phi, T, second, before_step=True)


@slip(
    "learning.learned_meta_gradient",
    "the rule's state is detached",
    rung="probes",
    read="(7.16)",
)
def learned_loose(W, y, theta, phi, T, second):
    """The state hands the gradient on to earlier steps."""
    return _learned(W, y, theta, phi, T, second, loose=True)


@slip("learning.learned_meta_gradient", "a sum over the functions", rung="probes", read="(7.14)")
def learned_sum(W, y, theta, phi, T, second):
    """The expectation is a mean."""
    return _learned(W, y, theta, phi, T, second, total="sum")


@slip("learning.learned_meta_gradient", "the step is subtracted", rung="probes", read="(7.13)")
def learned_subtracted(W, y, theta, phi, T, second):
    """theta + g: the rule has learned the sign, too."""
    return _learned(W, y, theta, phi, T, second, sign=-1)


@slip(
    "learning.learned_meta_gradient",
    "the rule's state (h, c) is not carried on",
    rung="probes",
    read="(7.11)",
)
def learned_not_carried(W, y, theta, phi, T, second):
    """A step of the rule gets the state that the step before has made."""
    return _learned(W, y, theta, phi, T, second, carried=False)


# A fair comparison.


def _tuned(train, test, choose=None, column=-1, middle=np.median):
    train, test = (np.where(np.isnan(a), np.inf, a) for a in (train, test))
    from_ = train if choose is None else test
    best = int(np.argmin(middle(from_[:, :, column], axis=1)))
    return best, *np.quantile(test[best], [0.25, 0.5, 0.75], axis=0)


@slip(
    "learning.tuned", "the rate is chosen on the held-out functions", rung="probes", read="(7.21)"
)
def tuned_on_test(train, test):
    """The training functions choose."""
    return _tuned(train, test, choose="test")


@slip("learning.tuned", "a mean chooses the rate, not a median", rung="probes", read="(7.21)")
def tuned_mean(train, test):
    """One outlier decides a mean."""
    return _tuned(train, test, middle=np.mean)


@slip("learning.tuned", "the whole curve chooses the rate", rung="probes", read="(7.21)")
def tuned_curve(train, test):
    """The last loss is what the text asks for."""
    train, test = (np.where(np.isnan(a), np.inf, a) for a in (train, test))
    best = int(np.argmin(np.median(train.mean(axis=2), axis=1)))
    return best, *np.quantile(test[best], [0.25, 0.5, 0.75], axis=0)


def _quartiles(runs, quantile=np.quantile):
    return quantile(runs, [0.25, 0.5, 0.75], axis=0)


@slip("learning.tuned", "runs that diverged are left out", rung="properties", read="(7.21)")
def tuned_survivors(train, test):
    """A run that has left the numbers is the worst, not no run."""
    best = int(np.nanargmin(np.nanmedian(train[:, :, -1], axis=1)))
    return best, *_quartiles(np.where(np.isnan(test), np.inf, test)[best])


@slip(
    "learning.tuned", "held-out runs that diverged are left out", rung="properties", read="(7.21)"
)
def tuned_held_out_survivors(train, test):
    """They count as the worst: the quartiles are those of all runs."""
    best, *_ = _tuned(train, test)
    return best, *_quartiles(test[best], np.nanquantile)


@slip(
    "learning.tuned", "nan is left in: it is no number to sort by", rung="properties", read="(7.21)"
)
def tuned_left_in(train, test):
    """A median with nan is nan, and np.argmin takes the first nan for the smallest."""
    best = int(np.argmin(np.median(train[:, :, -1], axis=1)))
    return best, *_quartiles(test[best])


@slip(
    "learning.tuned",
    "a run that diverged counts as a large number, not as infinity",
    rung="properties",
    read="(7.21)",
)
def tuned_as_large(train, test):
    """Whatever number it is, a loss may be larger; nothing is larger than infinity."""
    train, test = (np.where(np.isfinite(a), a, 1e300) for a in (train, test))
    return _tuned(train, test)


@slip("learning.tuned", "a run that diverged counts as 0", rung="properties", read="(7.21)")
def tuned_as_zero(train, test):
    """np.nan_to_num makes 0 of nan: the best of all losses."""
    train, test = (np.nan_to_num(a, nan=0.0, posinf=np.inf) for a in (train, test))
    return _tuned(train, test)
