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
# # 4. A taxonomy of recurrent networks
#
# A fixed input read step by step (glimpses), and a fixed output written step by step (DRAW).

# %%
import numpy as np

# %% [markdown]
# ## Looking at a picture through a small window
#
# A glimpse is sharp in the middle and blurred around it: patches about the same place, each twice
# as wide as the one before, all brought to the same few pixels.


# %%
def glimpse(x, centre, size, scales):
    """Look at pictures through a window.  Source: Mnih et al. (2014), section 3.1.

    x : (B, S, S), pictures; centre : (B, 2), row and column, from -1 (the first pixel) to 1 (the
    last); size, scales : integers

    Returns (B, scales, size, size): patch k is size * 2^k pixels wide, its mean over blocks of
    2^k by 2^k pixels is kept; beyond the picture's edge all is 0.  The window's pixel number
    size * 2^k // 2 (counting from 0) lies on the pixel nearest to the centre.
    """
    B, S, _ = x.shape
    widest = size * 2 ** (scales - 1)
    padded = np.zeros((B, S + 2 * widest, S + 2 * widest), dtype=x.dtype)
    padded[:, widest : widest + S, widest : widest + S] = x
    pixel = np.floor((centre + 1) / 2 * (S - 1) + 0.5).astype(int)  # (B, 2)
    patches = []
    for k in range(scales):
        block, width = 2**k, size * 2**k
        steps = np.arange(width) - width // 2 + widest
        rows, columns = (pixel[:, i, None] + steps for i in (0, 1))
        patch = padded[np.arange(B)[:, None, None], rows[:, :, None], columns[:, None, :]]
        patches.append(patch.reshape(B, size, block, size, block).mean((2, 4)))
    return np.stack(patches, 1)


# %% [markdown]
# ## Learning where to look
#
# The window's place is drawn from a normal distribution around a mean that the network chooses.
# A drawn number has no derivative, the expected reward has one:
# $\nabla_\mu E[R] = E[(R - b) \nabla_\mu \log p(\ell \mid \mu)]$ for every $b$ that does not depend
# on $\ell$.


# %%
def reinforce_grad(mean, place, sigma, reward, baseline):
    """Estimate the gradient of the expected reward for the means of the places looked at.

    Source: Williams (1992), as in Mnih et al. (2014), section 3.2.

    mean, place : (T, B, 2), what was chosen, and what was drawn from N(mean, sigma² I)
    reward : (T, B), what was earned from step t on; baseline : (T, B), what was expected

    Returns (T, B, 2): the gradient of the batch's mean reward; its own mean over draws is exact.
    """
    B = mean.shape[1]
    advantage = (reward - baseline)[..., None]
    return advantage * (place - mean) / sigma**2 / B


# %% [markdown]
# ## Drawing a picture through a window that has a gradient
#
# DRAW's window is a grid of N by N Gaussians.  Its centre, stride, width and strength are numbers
# that the network puts out, and everything is differentiable in them.


# %%
def gaussian_window(params, A, B, N):
    """Place a grid of Gaussians.  Source: Gregor et al. (2015), section 3.2.

    params : (M, 5): centre in x and in y (-1 to 1 spans the picture), log variance, log stride,
    log strength; the picture is B high and A wide; the grid has N by N points, N > 1

    Returns F_x : (M, N, A) and F_y : (M, N, B), each row a Gaussian over the pixels that sums to 1,
    and gamma : (M,), the strength.
    """
    centre_x, centre_y, log_variance, log_stride, log_gamma = params.T
    stride = (max(A, B) - 1) / (N - 1) * np.exp(log_stride)
    offset = np.arange(1, N + 1) - N / 2 - 0.5

    def bank(centre, pixels):
        middle = (pixels + 1) / 2 * (centre + 1)  # pixels are counted from 1
        mu = middle[:, None] + offset * stride[:, None]  # (M, N)
        away = np.arange(1, pixels + 1) - mu[..., None]
        F = np.exp(-(away**2) / (2 * np.exp(log_variance)[:, None, None]))
        return F / np.maximum(F.sum(-1, keepdims=True), 1e-8)  # a row may lie beyond the picture

    return bank(centre_x, A), bank(centre_y, B), np.exp(log_gamma)


# %%
def read(x, F_x, F_y, gamma):
    """Read a patch through a window.  Source: Gregor et al. (2015), section 3.2.

    x : (M, B, A), F_x : (M, N, A), F_y : (M, N, B), gamma : (M,); returns gamma F_y x F_xᵀ,
    (M, N, N)
    """
    return gamma[:, None, None] * (F_y @ x @ F_x.transpose(0, 2, 1))


# %%
def write(patch, F_x, F_y, gamma):
    """Write a patch through a window.  Source: Gregor et al. (2015), section 3.2.

    patch : (M, N, N); returns F_yᵀ patch F_x / gamma, (M, B, A)
    """
    return F_y.transpose(0, 2, 1) @ patch @ F_x / gamma[:, None, None]


# %% [markdown]
# ## What a drawing costs
#
# The bound is what it costs to send the latents, a divergence at every step, and then the picture.


# %%
def latent_cost(mu, sigma):
    """Return the nats that the latents cost.  Source: Gregor et al. (2015), section 2.2.

    mu, sigma : (T, M, Z), of the normal distributions that the latents are drawn from; the prior
    is N(0, I).  Returns (M,): KL(q || prior), summed over steps and latents.
    """
    return 0.5 * (mu**2 + sigma**2 - np.log(sigma**2) - 1).sum((0, 2))


# %%
def picture_cost(x, canvas):
    """Return the nats that the pictures cost, given the canvas.

    x : (M, D), 0 or 1; canvas : (M, D), the logits.  Returns (M,): -log p(x), pixels independent.
    """
    # log(1 + e^c) - x c, with an exponent that is never positive
    return (np.maximum(canvas, 0) + np.log1p(np.exp(-np.abs(canvas))) - x * canvas).sum(1)
