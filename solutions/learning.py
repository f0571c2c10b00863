# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7. Learning to learn by gradient descent by gradient descent
#
# You will write seven optimizers by hand, then one that is learned: its step, its loss, the
# gradient of that loss, and a fair comparison with the other seven. Equation numbers such as (7.6)
# are those of chapter 7 of the book: keep it open beside this notebook. Plan about six and a half
# hours, after you have read the chapter. The first cell finds the course's toolkit, or says how to
# get it.
#
# How to work:
#
# - Replace the lines under `YOUR CODE HERE`, run the cell, then run the locked cell below it.
# - `hint("learning.adam", 1)` names the equation, level 2 the term, level 3 works a small case.
# - Your functions get read-only arrays. A step is *pure*: state in, new state out. Make new arrays;
#   never write into an argument.
#
# In the equations, step $t$ leads from $\theta^{(t-1)}$ to $\theta^{(t)}$ and reads
# $d^{(t)} = \nabla f(\theta^{(t-1)})$, for $t = 1, \dots, T$. In code, everything without a name
# of its own acts entry by entry: squares, roots, quotients.
#
# | letter | shape | meaning |
# |---|---|---|
# | `theta`, `grad` | `(n,)` | the numbers that are optimized, and the gradient there |
# | `v`, `m`, `s` | `(n,)` | state of a rule: velocity, mean of gradients, sum or mean of squares |
# | `rate`, `mu`, `eps` | numbers | $\alpha$, $\mu$, $\varepsilon$ |
# | `W`, `y` | `(F, M, n)`, `(F, M)` | F functions $\lVert W \theta - y \rVert^2$ |
# | `h`, `c` | `(2, n, H)` | state of the learned rule, two layers, for each coordinate |

# %%
import matplotlib.pyplot as plt
import numpy as np

from course import check, figures, hint, progress, ready

# %% [markdown]
# ## Exercise 7.1: momentum
#
# Plain gradient descent takes the step $-\alpha\, d^{(t)}$, (7.1). With momentum the step follows a
# velocity that forgets slowly:
#
# $$
# v^{(t)} = \mu\, v^{(t-1)} + d^{(t)}, \qquad \theta^{(t)} = \theta^{(t-1)} - \alpha\, v^{(t)}.
# \tag{7.2}
# $$
#
# With $\mu = 0$ it is (7.1).


# %% exercise="learning.momentum"
def momentum(theta, grad, v, rate, mu):
    """One step of gradient descent with momentum.  Source: eqs (7.1)-(7.2).

    theta, grad, v : (n,); rate, mu : numbers

    Returns theta : (n,) and v : (n,), both after the step.
    """
    ### BEGIN SOLUTION
    v = mu * v + grad  # (7.2)
    return theta - rate * v, v
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.2: Nesterov's momentum
#
# Look ahead: step with the velocity that the *next* step would have if the gradient stayed.
#
# $$
# v^{(t)} = \mu\, v^{(t-1)} + d^{(t)}, \qquad
# \theta^{(t)} = \theta^{(t-1)} - \alpha \big(d^{(t)} + \mu\, v^{(t)}\big). \tag{7.3}
# $$


# %% exercise="learning.nesterov"
def nesterov(theta, grad, v, rate, mu):
    """One step of Nesterov's accelerated gradient.  Source: eq (7.3).

    theta, grad, v : (n,); rate, mu : numbers

    Returns theta : (n,) and v : (n,), both after the step.
    """
    ### BEGIN SOLUTION
    v = mu * v + grad
    return theta - rate * (grad + mu * v), v  # (7.3)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.3: AdaGrad
#
# Divide each coordinate's gradient by the root of all its squares so far:
#
# $$
# s^{(t)} = s^{(t-1)} + \big(d^{(t)}\big)^2, \qquad
# \theta^{(t)} = \theta^{(t-1)} - \alpha\, \frac{d^{(t)}}{\sqrt{s^{(t)}} + \varepsilon}. \tag{7.4}
# $$


# %% exercise="learning.adagrad"
def adagrad(theta, grad, s, rate, eps):
    """One step of AdaGrad.  Source: eq (7.4).

    theta, grad, s : (n,), s the sum of squares so far; rate, eps : numbers

    Returns theta : (n,) and s : (n,), both after the step.
    """
    ### BEGIN SOLUTION
    s = s + grad * grad
    return theta - rate * grad / (np.sqrt(s) + eps), s  # (7.4)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.4: RMSprop
#
# A sum never forgets, and AdaGrad's steps only get shorter. A moving mean forgets:
#
# $$
# s^{(t)} = \rho\, s^{(t-1)} + (1 - \rho) \big(d^{(t)}\big)^2, \qquad
# \theta^{(t)} = \theta^{(t-1)} - \alpha\, \frac{d^{(t)}}{\sqrt{s^{(t)}} + \varepsilon}. \tag{7.5}
# $$


# %% exercise="learning.rmsprop"
def rmsprop(theta, grad, s, rate, rho, eps):
    """One step of RMSprop.  Source: eq (7.5).

    theta, grad, s : (n,), s the moving mean of squares; rate, rho, eps : numbers

    Returns theta : (n,) and s : (n,), both after the step.
    """
    ### BEGIN SOLUTION
    s = rho * s + (1 - rho) * grad * grad
    return theta - rate * grad / (np.sqrt(s) + eps), s  # (7.5)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.5: Adam
#
# Two moving means, both started at 0 and therefore too small at first. Dividing by the sum of the
# weights that they have seen, $1 - \beta^t$, puts that right:
#
# $$
# \begin{aligned}
# m^{(t)} &= \beta_1 m^{(t-1)} + (1 - \beta_1)\, d^{(t)}, &
# s^{(t)} &= \beta_2 s^{(t-1)} + (1 - \beta_2) \big(d^{(t)}\big)^2, \\
# \hat m &= \frac{m^{(t)}}{1 - \beta_1^t}, \quad \hat s = \frac{s^{(t)}}{1 - \beta_2^t}, &
# \theta^{(t)} &= \theta^{(t-1)} - \alpha\, \frac{\hat m}{\sqrt{\hat s} + \varepsilon}.
# \end{aligned} \tag{7.6}
# $$
#
# The first step has $t = 1$. The state that goes on is $m$ and $s$, without hats.


# %% exercise="learning.adam"
def adam(theta, grad, m, s, t, rate, beta1, beta2, eps):
    """One step of Adam.  Source: eq (7.6).

    theta, grad, m, s : (n,); t : int, 1 for the first step; rate, beta1, beta2, eps : numbers

    Returns theta, m, s : (n,) each, after the step.
    """
    ### BEGIN SOLUTION
    m = beta1 * m + (1 - beta1) * grad
    s = beta2 * s + (1 - beta2) * grad * grad
    m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
    return theta - rate * m_hat / (np.sqrt(s_hat) + eps), m, s  # (7.6)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.6: AdamW
#
# Weight decay added to the gradient would be divided by $\sqrt{\hat s}$ like everything else.
# AdamW shrinks the numbers themselves, beside Adam's step:
#
# $$
# \theta^{(t)} = (1 - \alpha \lambda)\, \theta^{(t-1)} -
# \alpha\, \frac{\hat m}{\sqrt{\hat s} + \varepsilon}, \tag{7.7}
# $$
#
# with $m$, $s$, $\hat m$, $\hat s$ as in (7.6).


# %% exercise="learning.adamw"
def adamw(theta, grad, m, s, t, rate, beta1, beta2, eps, decay):
    """One step of AdamW.  Source: eq (7.7).

    theta, grad, m, s : (n,); t : int, 1 for the first step; the rest are numbers, decay is lambda

    Returns theta, m, s : (n,) each, after the step.
    """
    ### BEGIN SOLUTION
    m = beta1 * m + (1 - beta1) * grad
    s = beta2 * s + (1 - beta2) * grad * grad
    m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
    return (1 - rate * decay) * theta - rate * m_hat / (np.sqrt(s_hat) + eps), m, s  # (7.7)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.7: AdaBound
#
# Begin as Adam, end as gradient descent: keep each coordinate's rate between two bounds that close
# in on one number $\alpha_\infty$.
#
# $$
# \begin{aligned}
# \ell^{(t)} &= \alpha_\infty \Big(1 - \frac{1}{\gamma t + 1}\Big), \qquad
# u^{(t)} = \alpha_\infty \Big(1 + \frac{1}{\gamma t}\Big), \\
# \theta^{(t)} &= \theta^{(t-1)} - \frac{1}{\sqrt t}\,
# \operatorname{clip}\!\Big(\frac{\alpha}{\sqrt{s^{(t)}} + \varepsilon},\,
# \ell^{(t)},\, u^{(t)}\Big)\, m^{(t)},
# \end{aligned} \tag{7.8}
# $$
#
# with $m$ and $s$ as in (7.6). There are no hats here.


# %% exercise="learning.adabound"
def adabound(theta, grad, m, s, t, rate, final, gamma, beta1, beta2, eps):
    """One step of AdaBound, as its paper states it.  Source: eq (7.8).

    theta, grad, m, s : (n,); t : int, 1 for the first step; final : the rate in the end; the rest
    are numbers

    Returns theta, m, s : (n,) each, after the step.
    """
    ### BEGIN SOLUTION
    m = beta1 * m + (1 - beta1) * grad
    s = beta2 * s + (1 - beta2) * grad * grad
    low, high = final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
    each = np.clip(rate / (np.sqrt(s) + eps), low, high) / np.sqrt(t)
    return theta - each * m, m, s  # (7.8)
    ### END SOLUTION


# %% [markdown]
# ## Put them to work
#
# Your rules on one long valley, $f = \tfrac12 (x^2 + 30\, y^2)$. Change the rates. Which rule
# suffers most from a rate that is twice too large?

# %%
if __name__ == "__main__":
    if ready("learning.momentum", "learning.nesterov", "learning.rmsprop"):
        curvature = np.array([1.0, 30.0])
        figures.style()
        figure, ax = plt.subplots(figsize=(6, 3.4))
        for name, rule in (
            ("gradient descent", lambda *now: momentum(*now, 0.03, 0.0)),
            ("momentum", lambda *now: momentum(*now, 0.02, 0.8)),
            ("Nesterov", lambda *now: nesterov(*now, 0.02, 0.8)),
            ("RMSprop", lambda *now: rmsprop(*now, 0.05, 0.9, 1e-8)),
        ):
            theta, state, path = np.array([-2.0, 0.6]), np.zeros(2), []
            for _ in range(40):
                path.append(theta)
                theta, state = rule(theta, curvature * theta, state)
            ax.plot(*np.array(path).T, "o-", markersize=3, linewidth=1, label=name)
        ax.set(xlabel="x", ylabel="y")
        ax.legend()
        figures.show(figure)

# %% [markdown]
# ## Exercise 7.8: the best fixed rule for a quadratic
#
# For a quadratic whose Hessian has eigenvalues between $\ell$ and $L$, $T$ steps of gradient
# descent with rates $\alpha_1, \dots, \alpha_T$ multiply the error along each eigenvector by
# $p(\lambda) = \prod_t (1 - \alpha_t \lambda)$. The rates that make the largest $|p|$ on
# $[\ell, L]$ as small as it can be put the zeros of $p$ at those of a Chebyshev polynomial:
#
# $$
# \alpha_t = \frac{2}{L + \ell - (L - \ell) \cos \frac{(2t - 1)\pi}{2T}}, \qquad
# \max_{[\ell, L]} |p| =
# \frac{1}{\cosh\!\big(T \operatorname{arcosh} \frac{L + \ell}{L - \ell}\big)}. \tag{7.10}
# $$
#
# Nothing that is fixed in advance and knows only $\ell$, $L$ and $T$ can do better on the worst
# such quadratic. That makes it a yardstick for a rule that was learned.


# %% exercise="learning.chebyshev"
def chebyshev(low, high, T):
    """The best T rates for quadratics with curvatures from low to high.  Source: eq (7.10).

    low, high : numbers, 0 < low < high; T : int, at least 1

    Returns rates : (T,), in the order t = 1 ... T, and factor, a number: what is left of the error
    in the worst case.
    """
    ### BEGIN SOLUTION
    t = np.arange(1, T + 1)
    rates = 2 / (high + low - (high - low) * np.cos((2 * t - 1) * np.pi / (2 * T)))
    return rates, 1 / np.cosh(T * np.arccosh((high + low) / (high - low)))  # (7.10)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.9: what the learned rule reads
#
# Gradients of different coordinates differ by powers of ten, and a network likes inputs near 1. The
# paper gives it two numbers for each gradient, its logarithm and its sign:
#
# $$
# x = \begin{cases}
# \big(\tfrac1p \log |d|,\; \operatorname{sign} d\big) & \text{if } |d| \ge e^{-p}, \\
# \big({-1},\; e^p d\big) & \text{otherwise.}
# \end{cases} \tag{7.12}
# $$


# %% exercise="learning.preprocess"
def preprocess(grad, p):
    """Two features for each entry of a gradient.  Source: eq (7.12).

    grad : (n,), some entries may be 0; p : a positive number

    Returns x : (n, 2).
    """
    ### BEGIN SOLUTION
    size = np.maximum(np.abs(grad), np.exp(-p))  # log never sees 0
    large = np.abs(grad) >= np.exp(-p)
    second = np.where(large, np.sign(grad), np.exp(p) * grad)
    return np.stack([np.log(size) / p, second], axis=-1)  # (7.12)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.10: the coordinatewise LSTM
#
# One small network is used for every coordinate: *coordinates are its batch*. Each of its two
# layers $l$ is an LSTM,
#
# $$
# \begin{aligned}
# {}[\,i;\, f;\, u;\, o\,] &= U_l\, z + W_l\, h_l + b_l, \\
# c_l' &= \sigma(f)\, c_l + \sigma(i) \tanh(u), \qquad h_l' = \sigma(o) \tanh(c_l'),
# \end{aligned} \tag{7.11}
# $$
#
# where $z$ is the features $x$ for the first layer and $h_1'$ for the second, and the four gates
# lie in this order, $H$ rows each. The second layer's state becomes the step:
#
# $$
# g = \kappa\, \big(a^\top h_2' + k\big). \tag{7.13}
# $$
#
# `phi` is a list of eight arrays: `U1 (4H, I)`, `W1 (4H, H)`, `b1 (4H,)`, `U2 (4H, H)`,
# `W2 (4H, H)`, `b2 (4H,)`, `a (H,)`, `k (1,)`. No coordinate sees another. The check has inputs of
# 1000, too. `1 / (1 + np.exp(-a))` gives 0 or 1 there, as it should; that NumPy warns of an
# overflow on the way does no harm.


# %% exercise="learning.coordinatewise"
def coordinatewise(x, h, c, phi, scale):
    """One step of the learned rule, for every coordinate.  Source: eqs (7.11), (7.13).

    x : (n, I), features; h, c : (2, n, H), states of both layers; phi : list of eight arrays;
    scale : a number, kappa

    Returns g : (n,), h : (2, n, H) and c : (2, n, H), the states after the step.
    """

    ### BEGIN SOLUTION
    def sigmoid(a):
        return 0.5 * (1 + np.tanh(a / 2))  # never overflows

    U1, W1, b1, U2, W2, b2, a, k = phi
    z, hs, cs = x, [], []
    for layer, (U, W, b) in enumerate(((U1, W1, b1), (U2, W2, b2))):
        i, f, u, o = np.split(z @ U.T + h[layer] @ W.T + b, 4, axis=-1)
        cs.append(sigmoid(f) * c[layer] + sigmoid(i) * np.tanh(u))  # (7.11)
        z = sigmoid(o) * np.tanh(cs[-1])
        hs.append(z)
    return scale * (z @ a + k), np.stack(hs), np.stack(cs)  # (7.13)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.11: the meta-loss
#
# How good is a rule? Run it on functions, and add up what it finds on its way:
#
# $$
# L(\phi) = \mathbb E_f \sum_{t=1}^{T} w_t\, f\big(\theta^{(t)}\big). \tag{7.14}
# $$
#
# Before the LSTM, take a rule with two parameters, $\phi = (\alpha, \mu)$: momentum, (7.2). The
# functions are F quadratics of (7.9),
#
# $$
# f(\theta) = \lVert W \theta - y \rVert^2, \qquad \nabla f(\theta) = 2\, W^\top (W \theta - y),
# \tag{7.9}
# $$
#
# and $\mathbb E_f$ is their mean. The first term of the sum is the loss *after* the first step.


# %% exercise="learning.meta_loss"
def meta_loss(W, y, theta, v, rate, mu, w):
    """The meta-loss of momentum on F quadratics.  Source: eqs (7.2), (7.9), (7.14).

    W : (F, M, n), y : (F, M), theta : (F, n), where each starts; v : (F, n), its first velocity;
    rate, mu : numbers; w : (T,), the weight of each step

    Returns L, one number.
    """
    ### BEGIN SOLUTION
    total = 0.0
    for weight in w:
        residual = np.einsum("fmn,fn->fm", W, theta) - y
        v = mu * v + 2 * np.einsum("fmn,fm->fn", W, residual)  # (7.2), (7.9)
        theta = theta - rate * v
        residual = np.einsum("fmn,fn->fm", W, theta) - y
        total += weight * (residual * residual).sum(-1).mean()  # (7.14)
    return total
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.12: the meta-gradient, with and without second derivatives
#
# The unrolled optimizer is a recurrent network: state $(\theta, v)$, parameters $\phi$ that are the
# same at every step. So chapter 3 applies. With $\lambda^{(t)} = \nabla_{\theta^{(t)}} L$ and
# $\nu^{(t)} = \nabla_{v^{(t)}} L$, for each function, from $t = T$ down to 1. The loss is a mean
# over the functions: divide `w` by F first.
#
# $$
# \begin{aligned}
# \lambda^{(t)} &= w_t \nabla f\big(\theta^{(t)}\big) + \lambda^{(t+1)} + H\, \nu^{(t+1)}, &
# \nu^{(t)} &= -\alpha\, \lambda^{(t)} + \mu\, \nu^{(t+1)}, \\
# \frac{\partial L}{\partial \alpha} &= -\sum_f \sum_{t=1}^{T} v^{(t)\top} \lambda^{(t)}, &
# \frac{\partial L}{\partial \mu} &= \sum_f \sum_{t=1}^{T} v^{(t-1)\top} \nu^{(t)},
# \end{aligned} \tag{7.18}
# $$
#
# with $\lambda^{(T+1)} = \nu^{(T+1)} = 0$ and the Hessian $H = 2\, W^\top W$. It is the second
# derivative in question: the gradient that the rule reads depends on $\theta^{(t)}$. The paper
# leaves $H \nu$ out. With `second=False`, so do you.


# %% exercise="learning.meta_gradient"
def meta_gradient(W, y, theta, v, rate, mu, w, second):
    """Gradient of the meta-loss of momentum for its two parameters.  Source: eq (7.18).

    W : (F, M, n), y : (F, M), theta, v : (F, n), at the start; rate, mu : numbers; w : (T,);
    second : bool, whether the term with the Hessian is kept

    Returns drate and dmu, one number each.
    """
    ### BEGIN SOLUTION
    T, F = len(w), len(W)
    H = 2 * np.einsum("fmi,fmj->fij", W, W)
    gradients, vs = [], [v]
    for t in range(T + 1):
        gradients.append(2 * np.einsum("fmn,fm->fn", W, np.einsum("fmn,fn->fm", W, theta) - y))
        if t < T:
            vs.append(mu * vs[-1] + gradients[-1])
            theta = theta - rate * vs[-1]
    lam, nu = np.zeros_like(v), np.zeros_like(v)
    drate = dmu = 0.0
    for t in range(T, 0, -1):
        lam = w[t - 1] / F * gradients[t] + lam  # (7.18)
        if second:
            lam = lam + np.einsum("fij,fj->fi", H, nu)
        nu = -rate * lam + mu * nu
        drate = drate - (vs[t] * lam).sum()
        dmu = dmu + (vs[t - 1] * nu).sum()
    return drate, dmu
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.13: training in chunks
#
# Long runs are cut into chunks of `k` steps. Parameters change after each chunk, by gradient
# descent on its own meta-loss; the state of the optimizee and of the rule goes on, but no gradient
# crosses the border:
#
# $$
# \phi \leftarrow \phi - \eta\, \nabla_\phi \sum_{t = jk + 1}^{(j+1)k} f\big(\theta^{(t)}\big)
# \bigg|_{\theta^{(jk)},\, v^{(jk)} \text{ held fixed}}, \qquad j = 0, 1, \dots \tag{7.19}
# $$
#
# All $w_t$ are 1, the loss is the mean over the functions, second derivatives are kept, and `T` is
# a multiple of `k`. The first velocity is 0. You may call your function of exercise 7.12.


# %% exercise="learning.train_in_chunks"
def train_in_chunks(W, y, theta, rate, mu, k, T, eta):
    """Train momentum's two parameters while it runs.  Source: eq (7.19).

    W : (F, M, n), y : (F, M), theta : (F, n); rate, mu : numbers, at the start; k : int, steps in
    a chunk; T : int, a multiple of k; eta : the rate of the training

    Returns phis : (T/k, 2), rate and mu after each chunk, and theta : (F, n) at the end.
    """
    ### BEGIN SOLUTION
    v, phis = np.zeros_like(theta), []
    for _ in range(T // k):
        drate, dmu = meta_gradient(W, y, theta, v, rate, mu, np.ones(k), True)
        for _ in range(k):  # the run itself, with the parameters of this chunk
            residual = np.einsum("fmn,fn->fm", W, theta) - y
            v = mu * v + 2 * np.einsum("fmn,fm->fn", W, residual)
            theta = theta - rate * v
        rate, mu = rate - eta * drate, mu - eta * dmu  # (7.19)
        phis.append([rate, mu])
    return np.array(phis), theta
    ### END SOLUTION


# %% [markdown]
# ## Put it together: momentum tunes itself
#
# Momentum starts with a rate that is much too small, and trains its two numbers on 30 batches of
# quadratics, in chunks of 1, of 5 and of 20 steps. A chunk of 1 step sees only what a larger rate
# gains at once; a longer one sees what comes of it. Which will raise the rate fastest? Then make
# `eta` five times as large, and say what happened in terms of chapter 3.

# %%
if __name__ == "__main__":
    if ready("learning.train_in_chunks"):
        eta, steps = 2e-5, 60
        figures.style()
        figure, ax = plt.subplots(figsize=(6, 3.4))
        for k in (1, 5, 20):
            rate, mu, path = 0.02, 0.5, [[0, 0.02]]
            for batch in range(30):
                rng = np.random.default_rng(batch)
                W = rng.normal(0, 10**-0.5, (32, 10, 10))
                y, theta = rng.normal(size=(2, 32, 10))
                phis, _ = train_in_chunks(W, y, theta, rate, mu, k, steps, eta)
                ends = batch * steps + k * np.arange(1, len(phis) + 1)
                path += np.column_stack([ends, phis[:, 0]]).tolist()
                rate, mu = phis[-1]
            ax.plot(*np.array(path).T, label=f"k = {k}")
            print(f"k = {k:2}: rate {rate:.3f}, mu {mu:.3f}")
        ax.set(xlabel="steps of the optimizees", ylabel="rate")
        ax.legend()
        figures.show(figure)

# %% [markdown]
# ## Exercise 7.14: the learned rule's meta-gradient, in PyTorch
#
# Eight arrays of parameters are too many to differentiate by hand. The cell below runs (7.11) and
# (7.13) with PyTorch's own LSTM cell. Unroll it over `T` steps on F quadratics at once, from a zero
# state, with the bare gradient as its only feature, all $w_t = 1$; and return the meta-loss (7.14)
# and its gradients. The step $g$ is *added*, $\theta \leftarrow \theta + g$: which way is down, the
# rule has to learn. `torch.func.vmap(torch.func.grad(f))` gives all F gradients in one call.
#
# With `second=False` the gradients that the rule reads count as constants, (7.17).
#
# Make new tensors from the ones you are given, so that the code runs on any device and in any
# floating-point type.

# %%
import torch


def learned_step(x, h, c, phi, scale=0.1):
    """One step of the learned rule in PyTorch; arguments and results as in exercise 7.10."""
    none = torch.zeros_like(phi[2])  # PyTorch's second bias
    h1, c1 = torch.lstm_cell(x, (h[0], c[0]), *phi[:3], none)
    h2, c2 = torch.lstm_cell(h1, (h[1], c[1]), *phi[3:6], none)
    return scale * (h2 @ phi[6] + phi[7]), torch.stack([h1, h2]), torch.stack([c1, c2])


# %% exercise="learning.learned_meta_gradient"
def learned_meta_gradient(W, y, theta, phi, T, second):
    """Meta-loss and meta-gradient of the learned rule.  Source: eqs (7.14)-(7.17).

    W : (F, M, n), y : (F, M), theta : (F, n), tensors; phi : list of eight tensors, I = 1;
    T : int; second : bool, whether gradients go through the gradients that the rule reads

    Returns L, a tensor without axes, and a list of eight tensors, its gradients for phi.
    """

    ### BEGIN SOLUTION
    def f(theta, W, y):
        return (W @ theta - y).square().sum()

    gradients = torch.func.vmap(torch.func.grad(f))
    phi = [each.detach().clone().requires_grad_() for each in phi]
    F, n = theta.shape
    h = theta.new_zeros(2, F * n, len(phi[6]))
    c, L = torch.zeros_like(h), 0.0
    for _ in range(T):
        d = gradients(theta, W, y)
        if not second:
            d = d.detach()  # (7.17)
        step, h, c = learned_step(d.reshape(-1, 1), h, c, phi)
        theta = theta + step.view(F, n)
        L = L + torch.func.vmap(f)(theta, W, y).mean()  # (7.14)
    return L.detach(), list(torch.autograd.grad(L, phi))
    ### END SOLUTION


# %% [markdown]
# ## Exercise 7.15: a fair comparison
#
# A rival deserves a tuned rate, and the test functions must not choose it. `train` and `test` hold
# the losses of one rule on functions to tune on and on held-out ones, for R rates, F functions and
# T+1 steps. A run that diverged may hold `inf` or `nan`; it counts as infinitely bad.
#
# Choose the rate with the smallest median over the training functions of the last loss. Return its
# index, and of the held-out runs with that rate the median and both quartiles at every step
# (`np.quantile` with its usual interpolation, at 0.25, 0.5, 0.75). Then the ratio of a learned
# rule to its rivals is one of medians:
#
# $$
# r^{(t)} = \frac{\operatorname{median}_f f\big(\theta^{(t)}_{\text{learned}}\big)}
# {\min_{\text{rivals}} \operatorname{median}_f f\big(\theta^{(t)}_{\text{rival}}\big)}. \tag{7.21}
# $$


# %% exercise="learning.tuned"
def tuned(train, test):
    """Choose a rate on training functions, judge it on others.  Source: eq (7.21).

    train : (R, F, T+1), test : (R, G, T+1), losses, maybe with inf and nan

    Returns best : int, the index of the rate; low, median, high : (T+1,), quartiles of `test`.
    """

    ### BEGIN SOLUTION
    def no_nan(losses):
        return np.where(np.isnan(losses), np.inf, losses)

    best = int(np.argmin(np.median(no_nan(train)[:, :, -1], axis=1)))
    low, median, high = np.quantile(no_nan(test)[best], [0.25, 0.5, 0.75], axis=0)
    return best, low, median, high
    ### END SOLUTION


# %% [markdown]
# ## Train one
#
# Once exercise 7.14 is right, this cell trains a learned optimizer of 20 units with your
# meta-gradient, without second derivatives, in about a minute, and runs it on 200 functions that it
# has never seen. Where is it ahead, and by how much? The chapter trains one for longer.

# %%
if __name__ == "__main__":
    if ready("learning.learned_meta_gradient", "learning.momentum"):
        torch.manual_seed(0)
        torch.set_num_threads(1)

        def quadratics(F, n=10):
            """W, y and starting points of F functions."""
            return torch.randn(F, n, n), torch.randn(F, n), torch.randn(F, n)

        def run(theta, W, y, phi, T):
            """Losses (T+1, F) of the learned rule."""
            h = theta.new_zeros(2, theta.numel(), 20)
            c, losses = torch.zeros_like(h), []
            with torch.no_grad():
                for _ in range(T + 1):
                    residual = (W @ theta[..., None])[..., 0] - y
                    losses.append(residual.square().sum(-1))
                    d = 2 * (residual[:, None] @ W)[:, 0]
                    change, h, c = learned_step(d.reshape(-1, 1), h, c, phi)
                    theta = theta + change.view_as(theta)
            return torch.stack(losses)

        shapes = (80, 1), (80, 20), (80,), (80, 20), (80, 20), (80,), (20,), (1,)
        phi = [(0.2 * torch.randn(*shape)).requires_grad_() for shape in shapes]
        adam_of_phi = torch.optim.Adam(phi, lr=1e-2)
        for _update in range(300):
            W, y, theta = quadratics(32)
            _, grads = learned_meta_gradient(W, y, theta, phi, 20, False)
            for each, grad in zip(phi, grads, strict=True):
                each.grad = grad
            torch.nn.utils.clip_grad_norm_(phi, 1.0)
            adam_of_phi.step()

        W, y, theta = quadratics(200)
        learned = run(theta, W, y, [p.detach() for p in phi], 40).median(1).values
        figures.style()
        figure, ax = plt.subplots(figsize=(5.6, 3.3))
        ax.semilogy(learned, label="learned")
        for rate in (0.005, 0.01, 0.02):
            x, v, losses = theta.numpy(), np.zeros(theta.shape), []
            for _ in range(41):
                residual = np.einsum("fmn,fn->fm", W.numpy(), x) - y.numpy()
                losses.append(np.median((residual**2).sum(-1)))
                x, v = momentum(x, 2 * np.einsum("fmn,fm->fn", W.numpy(), residual), v, rate, 0.8)
            ax.semilogy(losses, "--", linewidth=1, label=f"momentum, rate {rate:g}")
        ax.set(xlabel="step", ylabel="median loss")
        ax.legend()
        figures.show(figure)

# %% [markdown]
# ## A start for question 7.16
#
# Three rules, 64 settings each, drawn at random: rates from $10^{-4}$ to 1, and $\mu$, $\rho$ or
# $\beta_1$ below 0.99. All run on 30 quadratics to tune on and 100 held-out ones, 50 steps. The
# next cell then plays the paper 200 times for each *budget*: so many of its settings are tried for
# each rule, your `tuned` chooses one, and the rule with the lowest held-out median has won.

# %%
if __name__ == "__main__":
    if ready("learning.momentum", "learning.rmsprop", "learning.adam", "learning.tuned"):

        def last_losses(rule, settings, F, seed, n=10, T=50):
            """Losses (S, F, 1) after T steps on F quadratics, for each of S settings."""
            rng = np.random.default_rng(seed)
            W, y, start = (rng.normal(size=size) for size in ((F, n, n), (F, n), (F, n)))
            ends = []
            for rate, memory in settings:
                theta, state = start, [np.zeros_like(start)] * (2 if rule is adam else 1)
                for t in range(1, T + 1):
                    off = (W @ theta[..., None])[..., 0] - y
                    grad = 2 * (off[:, None] @ W)[:, 0]
                    rest = {momentum: (memory,), rmsprop: (memory, 1e-8)}.get(
                        rule, (memory, 0.999, 1e-8)
                    )
                    count = (t,) if rule is adam else ()
                    theta, *state = rule(theta, grad, *state, *count, rate, *rest)
                ends.append((((W @ theta[..., None])[..., 0] - y) ** 2).sum(-1))
            return np.array(ends)[..., None]

        rng = np.random.default_rng(7)
        settings = np.stack([10 ** rng.uniform(-4, 0, 64), rng.uniform(0, 0.99, 64)], axis=-1)
        runs, wins = {}, {}
        with np.errstate(all="ignore"):  # runs that diverge are part of it
            for rule in (momentum, rmsprop, adam):
                to_tune_on = last_losses(rule, settings, F=30, seed=1)
                held_out = last_losses(rule, settings, F=100, seed=2)
                runs[rule.__name__] = to_tune_on, held_out
            for budget in (1, 2, 4, 8, 16, 32, 64):
                reported = {name: [] for name in runs}
                for _ in range(200):
                    for name, (to_tune_on, held_out) in runs.items():
                        tried = rng.choice(64, budget, replace=False)
                        _, _, median, _ = tuned(to_tune_on[tried], held_out[tried])
                        reported[name].append(np.nan_to_num(median[-1], nan=np.inf))  # inf - inf
                best = np.argmin(list(reported.values()), axis=0)
                wins[budget] = np.bincount(best, minlength=3) / 200
                said = zip(runs, wins[budget], strict=True)
                shares = ", ".join(f"{name} wins {share:4.0%}" for name, share in said)
                print(f"{budget:2} settings tried: {shares}")

# %% [markdown] question="learning.explain"
# ## Question 7.16: what would convince you?
#
# A paper trains a learned optimizer on networks with 20 sigmoid units for 100 steps, and reports
# that it "outperforms Adam". You are its reviewer.
#
# In at most 450 words:
#
# 1. Name three things that the authors must have done, or must report, before you believe the
#    claim on the functions it was trained for. Say what could go wrong with each.
# 2. The authors add that the optimizer "generalises to other networks". Design the experiment that
#    could refute this: which functions, how many steps, which measure, which comparison?
# 3. Training it cost as much as 2,000 runs of Adam. When does that pay, and what should be counted
#    on the other side?
# 4. *Measure.* Choi et al. (2019, "On empirical comparisons of optimizers for deep learning") show
#    that who wins depends on how rivals are tuned. In the cell above, with how many settings tried
#    would you print "momentum outperforms Adam", and how often would another paper, as honest,
#    print the opposite? Find a search space, or a number of steps, that makes Adam or RMSprop win,
#    and say what of your change would stand in a paper's text. What follows for a comparison with a
#    learned rule, which has no rate left to tune?
#
# Plan half an hour for part 4. A good answer says what you expected before you ran it, what you
# changed, and what came out, in a few numbers; explains it by an equation; and says what your
# experiment can't show.
#
# ### BEGIN SOLUTION
# 1. The rivals' rates were tuned on training functions by a grid wide enough that the best one is
# not at its edge; else Adam loses to its default rate. Training, validation and test functions are
# disjoint draws, and the phi that was kept was chosen on validation functions; else the best of
# many checkpoints flatters. Medians with quartiles over many functions and several seeds, at every
# step and not only at one, since losses have heavy tails and a curve may be ahead early and behind
# at the end. (Also: the same mini-batches and starts for all; a schedule for the rivals.)
# 2. Change one thing at a time and far enough: activation (ReLU), width, depth, loss scale, number
# of steps (10 times the trained horizon), data. Compare by the ratio of medians with rivals that
# are tuned again on each new family, and with rivals whose rate is carried over, as phi is. The
# claim is refuted where the ratio is above 1, or where the loss diverges, for a family that the
# claim covers.
# 3. It pays if the optimizer is used on more than 2,000 runs divided by the share of a run that it
# saves. On the other side stand the cost of a step (an LSTM for each coordinate, and its state in
# memory), the tuning of the rivals' rates, which is also several runs, and the risk outside the
# training distribution.
# 4. With one setting each, momentum wins 46 % of the comparisons, Adam 30 % and RMSprop 24 %: more
# than half of the papers print something else. With 8 settings it is 74, 26 and 1 %, with 32, 90
# and 10 %. At 64 all papers try the same settings and agree, which is no more certainty than
# before: it is one paper, 200 times. Rates from 0.1 to 1 turn it round: momentum diverges on nearly
# all, and Adam wins 90 % with one setting, and every comparison with 4. Such a space would stand in
# a paper as "tuned on a grid", if at all. So a claim needs its search space and its budget, a best
# rate that is not at the edge, and the ranking as a function of the budget. A learned rule has
# spent its budget before: on the training of phi, and on choosing among checkpoints. One may
# compare it with rivals at budget 1, for a user who does not tune, and with rivals tuned as long as
# its training took; both are fair, and they are different claims. Not shown: other functions,
# mini-batches, schedules; 100 quadratics are one family.
#
# Three points. 1 for part 1: three distinct safeguards with what each prevents; 1 for parts 2 and
# 3: an experiment that can fail, with re-tuned rivals, and both sides of the account; 1 for part 4:
# the budget as part of the claim, with numbers, and a change of the student's own that turns the
# ranking, or an argument why none was found. A table without an explanation gets half.
# ### END SOLUTION

# %% [markdown]
# ## Where you stand
#
# Before you hand in: restart the kernel and run all cells, so that no cell uses what an older
# version of another has left behind.

# %%
if __name__ == "__main__":
    progress("learning")
