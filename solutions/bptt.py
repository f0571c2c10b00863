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
# # 3. Back-propagation through time
#
# You will write every gradient of a recurrent network by hand, and have each one checked. Equation
# numbers such as (3.9) are those of chapter 3 of the book, "Back-propagation through time": keep it
# open beside this notebook. Plan about six hours. The first cell finds the course's toolkit, or
# says how to get it.
#
# How to work:
#
# - Replace the lines under `YOUR CODE HERE`, run the cell, then run the locked cell below it.
# - `hint("bptt.grad_h", 1)` names the equation, level 2 the term, level 3 works a small case.
# - Your functions get read-only arrays. Make new arrays; never write into an argument.
#
# How to read a check: it climbs a ladder, from the bottom, which is the first line of this table,
# and stops at the first rung that breaks.
#
# | rung | what is asked |
# |---|---|
# | runs | it can be called, and comes to an end |
# | shapes | it returns as many arrays as it should, of the right shapes |
# | arguments | it has not written into what it was given |
# | probes | inputs for which all terms but one are switched off: a wrong one shows by itself |
# | values | random input, every term at work |
# | properties | one step, a longer sequence, the batch in another order, large numbers, float32 |
#
# The message shows the entry that is furthest off, yours and the right one; says on which input;
# and, if your numbers are those of a mistake that many make, names it as a known slip.
# `check("bptt.grad_h", plot=True)` also draws your array, the right one, and the difference.
#
# Axes come in one order everywhere: time, batch, feature. In the equations $t = 1 \dots \tau$;
# in the code the same step has index `t - 1`, and `T` is $\tau$.
#
# | letter | shape | meaning |
# |---|---|---|
# | `x` | `(T, B, D)` | inputs |
# | `h0`, `h` | `(B, H)`, `(T, B, H)` | initial state, states |
# | `o` | `(T, B, K)` | outputs before the softmax |
# | `y` | `(T, B)` | target classes, integers in `0 ... K-1` |
# | `mask` | `(T, B)` | 1 where the target counts, 0 where the sequence is padding |
# | `U`, `W`, `b` | `(H, D)`, `(H, H)`, `(H,)` | input, recurrent weights, bias |
# | `V`, `c` | `(K, H)`, `(K,)` | output weights, bias |

# %%
import matplotlib.pyplot as plt
import numpy as np

from course import check, datasets, figures, hint, progress, ready

# %% [markdown]
# ## Exercise 3.1: forward
#
# The network is
#
# $$
# a^{(t)} = b + W h^{(t-1)} + U x^{(t)}, \qquad h^{(t)} = \tanh a^{(t)}, \qquad
# o^{(t)} = c + V h^{(t)}. \tag{3.1–3.3}
# $$
#
# These equations are about column vectors, one sequence at a time. Your arrays hold one sequence
# in each row, so $W h$ becomes `h @ W.T`. One Python loop is enough, the one over time: what does
# not depend on the previous state can be computed for all steps at once.


# %% exercise="bptt.forward"
def forward(x, h0, U, W, b, V, c):
    """Run the network over a sequence.  Source: eqs (3.1)-(3.3).

    x : (T, B, D), h0 : (B, H), U : (H, D), W : (H, H), b : (H,), V : (K, H), c : (K,)

    Returns h : (T, B, H), the states after each step (h0 is not among them), and
    o : (T, B, K), the outputs before the softmax.
    """
    ### BEGIN SOLUTION
    driven = x @ U.T + b  # the input's share of (3.1), every step at once
    h = np.empty_like(driven)
    state = h0
    for t in range(len(x)):
        state = h[t] = np.tanh(driven[t] + state @ W.T)  # (3.2)
    return h, h @ V.T + c  # (3.3)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 3.2: the loss, with padding
#
# $$
# \hat y^{(t)} = \operatorname{softmax} o^{(t)}, \qquad
# L = \sum_t m^{(t)} L^{(t)}, \qquad L^{(t)} = -\log \hat y^{(t)}_{y^{(t)}}. \tag{3.4–3.5}
# $$
#
# Sum over time and over the batch. Do not divide: a mean would hide a factor in every gradient
# that follows. Sequences of unequal length are padded at the end; the mask $m$ is 0 there.
# `np.exp(1000.0)` is infinite, so subtract something from `o` before you exponentiate.


# %% exercise="bptt.loss"
def loss(o, y, mask):
    """Negative log-likelihood, summed over the steps that count.  Source: eqs (3.4)-(3.5).

    o : (T, B, K), outputs before the softmax, of any size; y : (T, B), integers in 0 ... K-1;
    mask : (T, B), 1.0 where the target counts and 0.0 where it is padding

    Returns L, one number.
    """
    ### BEGIN SOLUTION
    top = o.max(axis=-1, keepdims=True)  # exp() then never sees a positive number
    log_z = top[..., 0] + np.log(np.exp(o - top).sum(axis=-1))
    picked = np.take_along_axis(o, y[..., None], axis=-1)[..., 0]
    return ((log_z - picked) * mask).sum()  # (3.5)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 3.3: the gradient at the outputs
#
# $$
# \left(\nabla_{o^{(t)}} L\right)_i = m^{(t)} \left(\hat y^{(t)}_i - \mathbb 1_{i = y^{(t)}}\right).
# \tag{3.7}
# $$


# %% exercise="bptt.grad_o"
def grad_o(o, y, mask):
    """Gradient of L for the outputs.  Source: eq (3.7).

    o : (T, B, K); y : (T, B), integers in 0 ... K-1; mask : (T, B)

    Returns do : (T, B, K).
    """
    ### BEGIN SOLUTION
    weight = np.exp(o - o.max(axis=-1, keepdims=True))
    y_hat = weight / weight.sum(axis=-1, keepdims=True)  # (3.4)
    one_hot = np.eye(o.shape[-1])[y]
    return (y_hat - one_hot) * mask[..., None]  # (3.7)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 3.4: the gradient flows back
#
# A state reaches the loss along two roads: through its own output, and through the next state.
# At the last step only the first road is there.
#
# $$
# \nabla_{h^{(\tau)}} L = V^\top \nabla_{o^{(\tau)}} L \tag{3.8}
# $$
#
# $$
# \nabla_{h^{(t)}} L = W^\top \operatorname{diag}\!\left(1 - (h^{(t+1)})^2\right)
# \nabla_{h^{(t+1)}} L + V^\top \nabla_{o^{(t)}} L \tag{3.9}
# $$
#
# Once more columns become rows, and this time the transposes go away: where $g$ is a column, the
# row of $W^\top g$ is `g @ W`.


# %% exercise="bptt.grad_h"
def grad_h(do, h, W, V):
    """Total gradient of L for every state.  Source: eqs (3.8)-(3.9).

    do : (T, B, K), the gradient at the outputs, (3.7); h : (T, B, H); W : (H, H); V : (K, H)

    Returns dh : (T, B, H), by both roads: through o(t), and through h(t+1).
    """
    ### BEGIN SOLUTION
    dh = do @ V  # the road through o(t), every step at once
    carry = np.zeros_like(h[0])  # after the last step there is nothing: (3.8)
    for t in reversed(range(len(h))):
        dh[t] += carry  # (3.9)
        carry = (dh[t] * (1 - h[t] * h[t])) @ W
    return dh
    ### END SOLUTION


# %% [markdown]
# ## Exercise 3.5: the gradients of the parameters
#
# Give each step its own copy of the parameters, differentiate for the copy, and sum over time
# (and over the batch). With
#
# $$
# \nabla_{a^{(t)}} L = \operatorname{diag}\!\left(1 - (h^{(t)})^2\right) \nabla_{h^{(t)}} L
# \tag{3.10}
# $$
#
# the five are
#
# $$
# \nabla_c L = \sum_t \nabla_{o^{(t)}} L \quad (3.11) \qquad
# \nabla_b L = \sum_t \nabla_{a^{(t)}} L \quad (3.12) \qquad
# \nabla_V L = \sum_t (\nabla_{o^{(t)}} L)\, h^{(t)\top} \quad (3.13)
# $$
#
# $$
# \nabla_W L = \sum_t (\nabla_{a^{(t)}} L)\, h^{(t-1)\top} \quad (3.14) \qquad
# \nabla_U L = \sum_t (\nabla_{a^{(t)}} L)\, x^{(t)\top} \quad (3.15)
# $$
#
# Each of the five is checked and scored by itself. No loop is needed: a sum over time and batch
# of outer products is one matrix product. For one that you have not done yet, return `None`.


# %% exercise="bptt.grad_params"
def grad_params(dh, do, x, h, h0):
    """Gradients of L for the five parameters.  Source: eqs (3.10)-(3.15).

    dh : (T, B, H), total gradients at the states, (3.9); do : (T, B, K); x : (T, B, D);
    h : (T, B, H), states after each step; h0 : (B, H)

    Returns dU : (H, D), dW : (H, H), db : (H,), dV : (K, H), dc : (K,), summed over time
    and batch.
    """

    ### BEGIN SOLUTION
    def outer(left, right):
        """Sum of outer products over time and batch, as one matrix product."""
        return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])

    da = dh * (1 - h * h)  # (3.10)
    before = np.concatenate([h0[None], h[:-1]])  # h(t-1) for every t
    dU = outer(da, x)  # (3.15)
    dW = outer(da, before)  # (3.14)
    db = da.sum(axis=(0, 1))  # (3.12)
    dV = outer(do, h)  # (3.13)
    dc = do.sum(axis=(0, 1))  # (3.11)
    return dU, dW, db, dV, dc
    ### END SOLUTION


# %% [markdown]
# ## Exercise 3.6: clip by the global norm
#
# Near a cliff of the loss one step along the gradient can undo an hour of training. Clipping
# keeps the direction and limits the length, all parameters together:
#
# $$
# g \leftarrow g \cdot \min\!\left(1, \frac{\theta}{\lVert g \rVert}\right), \qquad
# \lVert g \rVert = \sqrt{\textstyle\sum_i \lVert g_i \rVert_2^2}. \tag{3.26}
# $$


# %% exercise="bptt.clip"
def clip(grads, max_norm):
    """Scale gradients so that their global norm is at most max_norm.  Source: eq (3.26).

    grads : a list of arrays of any shapes; max_norm : a positive number

    Returns clipped : a list of new arrays, same shapes, and norm : the global norm before
    clipping. All-zero gradients come back as they are.
    """
    ### BEGIN SOLUTION
    norm = np.sqrt(sum((g * g).sum() for g in grads))
    scale = min(1.0, max_norm / norm) if norm > 0 else 1.0
    return [g * scale for g in grads], norm  # (3.26)
    ### END SOLUTION


# %% [markdown]
# ## Put it together
#
# Once exercises 3.1 to 3.5 are right, the next cell trains a network with your gradients; with 3.6
# it clips them, too. The task: say the symbol that was shown four steps ago. The left picture is
# the loss per symbol, with the loss of guessing as a dashed line.
#
# The right picture is the last row of the ledger, (3.19), before training: how much each step's
# copy of $W$ adds to the gradient of the last step's loss, over a batch of 1024. Which copies stand
# out, and why those? The section "The ledger, measured" of the chapter has the answer.

# %%
if __name__ == "__main__":
    if ready("bptt.forward", "bptt.loss", "bptt.grad_o", "bptt.grad_h", "bptt.grad_params"):
        rng = np.random.default_rng(3)
        H, K, T, B, LAG = 32, 4, 16, 32, 4
        params = [
            rng.normal(0, 0.3, (H, K)),  # U
            np.linalg.qr(rng.normal(size=(H, H)))[0],  # W, orthogonal
            np.zeros(H),  # b
            rng.normal(0, 0.3, (K, H)),  # V
            np.zeros(K),  # c
        ]

        def ledger_row(params, batch):
            """Size of what each step's copy of W adds to the gradient of the last step's loss."""
            x, y, mask = datasets.echo(rng, T, batch, K, LAG)
            h0 = np.zeros((batch, H))
            h, o = map(np.asarray, forward(x, h0, *params))
            last = mask * (np.arange(T) == T - 1)[:, None]  # the last loss alone
            do = np.asarray(grad_o(o, y, last))
            dh = np.asarray(grad_h(do, h, params[1], params[3]))
            shares = []
            for t in range(T):  # the copy of step t + 1 alone
                alone = dh * (np.arange(T) == t)[:, None, None]
                shares.append(np.linalg.norm(grad_params(alone, do, x, h, h0)[1]))
            return shares

        shares = ledger_row(params, 1024)

        h0 = np.zeros((B, H))
        curve = []
        for _ in range(400):
            x, y, mask = datasets.echo(rng, T, B, K, LAG)
            h, o = map(np.asarray, forward(x, h0, *params))
            curve.append(loss(o, y, mask) / mask.sum())
            do = np.asarray(grad_o(o, y, mask))
            dh = np.asarray(grad_h(do, h, params[1], params[3]))
            grads = list(map(np.asarray, grad_params(dh, do, x, h, h0)))
            if ready("bptt.clip", quiet=True):
                grads = list(map(np.asarray, clip(grads, 100.0)[0]))
            params = [p - 0.5 / mask.sum() * g for p, g in zip(params, grads, strict=True)]

        figures.style()
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
        left.plot(curve)
        left.axhline(np.log(K), linestyle="--", color=figures.FOREGROUND, label="guessing")
        left.set(xlabel="update", ylabel="loss per symbol", ylim=(0, None))
        left.legend()
        right.bar(np.arange(1, T + 1), shares, color=figures.PALETTE["vermilion"])
        right.set(xlabel="copy of step t", ylabel="size of its share of the gradient")
        right.set_xticks(range(1, T + 1, 3))
        figures.show(figure)

# %% [markdown]
# ## Exercise 3.7: truncated back-propagation
#
# Cut the sequence into chunks of `k` steps. The state goes on from chunk to chunk, but no
# gradient crosses a border:
#
# $$
# \nabla_{h^{(t)}} L \approx V^\top \nabla_{o^{(t)}} L \;+\;
# \begin{cases}
# 0 & \text{if } t = \tau, \text{ or } t \text{ is a multiple of } k\\
# W^\top \operatorname{diag}(1 - (h^{(t+1)})^2)\, \nabla_{h^{(t+1)}} L & \text{otherwise.}
# \end{cases} \tag{3.27}
# $$
#
# The chunks start at the beginning of the sequence; the last one may be shorter. With
# $k \ge \tau$ this is exercise 3.4 again.


# %% exercise="bptt.truncated"
def truncated(do, h, W, V, k):
    """Gradients for the states when none crosses a border between chunks.  Source: eq (3.27).

    do : (T, B, K); h : (T, B, H); W : (H, H); V : (K, H); k : int, steps in a chunk, at least 1

    Returns dh : (T, B, H).
    """
    ### BEGIN SOLUTION
    dh = do @ V
    carry = np.zeros_like(h[0])
    for t in reversed(range(len(h))):  # index t is step t + 1 of the equation
        dh[t] += carry
        carry = (dh[t] * (1 - h[t] * h[t])) @ W if t % k else np.zeros_like(carry)  # (3.27)
    return dh
    ### END SOLUTION


# %% [markdown]
# ## Exercise 3.8: real-time recurrent learning
#
# The same gradients, forward in time. Write $\Theta = [\,W \; U \; b\,]$, a matrix of shape
# `(H, H + D + 1)`, and $z^{(t)} = [\,h^{(t-1)};\, x^{(t)};\, 1\,]$, so that
# $a^{(t)} = \Theta z^{(t)}$. Carry along how every state depends on every parameter:
#
# $$
# \frac{\mathrm d h^{(t)}_i}{\mathrm d \Theta_{jk}} = \left(1 - (h^{(t)}_i)^2\right)
# \Big( \sum_l W_{il} \frac{\mathrm d h^{(t-1)}_l}{\mathrm d \Theta_{jk}} +
# \mathbb 1_{i=j}\, z^{(t)}_k \Big), \qquad
# \nabla_\Theta L = \sum_t \sum_i g^{(t)}_i \frac{\mathrm d h^{(t)}_i}{\mathrm d \Theta}. \tag{3.20}
# $$
#
# Here $g^{(t)} = V^\top \nabla_{o^{(t)}} L$ is only the road through the step's own output. What
# travelled backward in exercise 3.4 is now carried forward; nothing of the past is stored. It
# starts from $\mathrm d h^{(0)} / \mathrm d \Theta = 0$, since $h^{(0)}$ is a constant. Each
# sequence of a batch carries its own derivative, an array `(H, H, H + D + 1)`; only
# $\nabla_\Theta L$ is summed over the batch.
#
# For the whole batch that is one array `P` with four axes: `P[n, i, j, k]` is the derivative of
# unit $i$ of sequence $n$ for $\Theta_{jk}$. `np.einsum` takes a product by the letters of its
# axes: those that do not stand on the right of the arrow are summed over. So
# `np.einsum("ij,nj->ni", W, h)` is `h @ W.T`. In `W @ P` the sum would run over $j$, not over the
# units.


# %% exercise="bptt.rtrl"
def rtrl(g, x, h0, U, W, b):
    """Gradients of the recurrent parameters, forward in time.  Source: eq (3.20).

    g : (T, B, H), the gradient at each state through its own output only, do @ V;
    x : (T, B, D); h0 : (B, H), a constant; U : (H, D); W : (H, H); b : (H,)

    Returns dU : (H, D), dW : (H, H), db : (H,), summed over time and batch. Uses memory that
    does not grow with T; the check measures it.
    """
    ### BEGIN SOLUTION
    B, H = h0.shape
    D = x.shape[-1]
    identity = np.eye(H)[None, :, :, None]
    dh_dtheta = np.zeros((B, H, H, H + D + 1))  # axes: batch, i, j, k
    dtheta = np.zeros((H, H + D + 1))
    h = h0
    for t in range(len(x)):
        z = np.concatenate([h, x[t], np.ones((B, 1))], axis=1)
        h = np.tanh(x[t] @ U.T + h @ W.T + b)
        through_state = np.einsum("il,bljk->bijk", W, dh_dtheta)
        through_copy = identity * z[:, None, None, :]
        dh_dtheta = (1 - h * h)[:, :, None, None] * (through_state + through_copy)  # (3.20)
        dtheta += np.einsum("bi,bijk->jk", g[t], dh_dtheta)
    return dtheta[:, H : H + D], dtheta[:, :H], dtheta[:, -1]
    ### END SOLUTION


# %% [markdown]
# ## Exercise 3.9: the same backward pass in PyTorch
#
# `torch.nn.RNN` records a graph and walks it back. Here you write the walk yourself, as a
# `torch.autograd.Function`: `forward` saves what `backward` will need, with
# `ctx.save_for_backward(a, b)`, and `backward` finds it again, `a, b = ctx.saved_tensors`.
# `backward` gets the gradient that arrives at every `h` from outside and returns one gradient for
# each argument of `forward`, in the same order. Autograd sums over axes that are too many and says
# nothing; the check looks at what `backward` itself returns, and whether it walks by itself. Two
# of the gradients are new:
#
# $$
# \nabla_{h^{(0)}} L = W^\top \nabla_{a^{(1)}} L \quad (3.16) \qquad
# \nabla_{x^{(t)}} L = U^\top \nabla_{a^{(t)}} L \quad (3.17)
# $$
#
# Use PyTorch operations only and make new tensors from the ones you
# are given (`torch.empty_like`, `x.new_zeros`), so that the code runs on any device and in any
# floating-point type.

# %%
import torch


# %% exercise="bptt.RNNFunction"
class RNNFunction(torch.autograd.Function):
    """h = RNN(x, h0, U, W, b) with a backward pass written by hand.

    Source: eqs (3.1)-(3.2) and (3.9)-(3.17).

    forward : x (T, B, D), h0 (B, H), U (H, D), W (H, H), b (H,) -> h (T, B, H)
    backward : dh (T, B, H), from outside, at every step -> dx, dh0, dU, dW, db
    """

    @staticmethod
    def forward(ctx, x, h0, U, W, b):
        """Equations (3.1)-(3.2); ctx.save_for_backward keeps what backward needs."""
        ### BEGIN SOLUTION
        driven = x @ U.T + b
        states, state = [], h0
        for step in driven:
            state = torch.tanh(step + state @ W.T)
            states.append(state)
        h = torch.stack(states)
        ctx.save_for_backward(x, h0, U, W, h)
        return h
        ### END SOLUTION

    @staticmethod
    def backward(ctx, dh):
        """Equation (3.9) with dh in the place of do @ V, then (3.12) and (3.14)-(3.17).

        ctx.saved_tensors has what forward kept. Each gradient has the shape of its argument.
        """
        ### BEGIN SOLUTION
        x, h0, U, W, h = ctx.saved_tensors
        slope = 1 - h * h
        da = torch.empty_like(h)
        carry = torch.zeros_like(h0)
        for t in reversed(range(len(h))):
            da[t] = (dh[t] + carry) * slope[t]  # (3.9), (3.10)
            carry = da[t] @ W
        before = torch.cat([h0[None], h[:-1]])
        dx = da @ U  # (3.17)
        dU = da.flatten(0, 1).T @ x.flatten(0, 1)  # (3.15)
        dW = da.flatten(0, 1).T @ before.flatten(0, 1)  # (3.14)
        return dx, carry, dU, dW, da.sum((0, 1))  # carry has become (3.16)
        ### END SOLUTION


# %% [markdown]
# ## Exercise 3.10: train it on a text
#
# By now you have written everything between a recurrence and a trained network. Put it together:
# for each batch, forward, loss, the gradients, clipping, and one step of gradient descent with
# momentum:
#
# $$
# g \leftarrow \operatorname{clip}\!\left(\frac{1}{\sum_t m^{(t)}} \nabla_\theta L\right), \qquad
# v \leftarrow \mu v + g, \qquad \theta \leftarrow \theta - \eta v . \tag{3.29}
# $$
#
# $\theta$ is all five parameters, $\eta$ the rate, and $v$ starts at 0. The sum of the mask runs
# over time and batch: this is the one place where the chapter divides, so that the rate need not
# know how large a batch is. Use your own functions of exercises 3.1 to 3.6; their checks must be
# right first.


# %% exercise="bptt.train"
def train(params, x, y, mask, rate, momentum, max_norm):
    """Gradient descent with momentum and clipping, one update for each batch.  Source: eq (3.29).

    params : a list of U (H, D), W (H, H), b (H,), V (K, H), c (K,); x : (N, T, B, D), N batches;
    y, mask : (N, T, B); rate, momentum : numbers; max_norm : the threshold of (3.26).
    Every batch starts from states of zero.

    Returns params : a list of five new arrays, and curve : (N,), the loss of each batch before its
    update, divided by how many of its steps count.
    """
    ### BEGIN SOLUTION
    velocity, curve = [np.zeros_like(p) for p in params], []
    for x_n, y_n, mask_n in zip(x, y, mask, strict=True):
        _, W, _, V, _ = params
        h0 = np.zeros((x_n.shape[1], len(W)))
        h, o = forward(x_n, h0, *params)
        curve.append(loss(o, y_n, mask_n) / mask_n.sum())
        do = grad_o(o, y_n, mask_n) / mask_n.sum()
        dh = grad_h(do, h, W, V)
        grads, _ = clip(list(grad_params(dh, do, x_n, h, h0)), max_norm)
        velocity = [momentum * v + g for v, g in zip(velocity, grads, strict=True)]
        params = [p - rate * v for p, v in zip(params, velocity, strict=True)]  # (3.29)
    return params, np.array(curve)
    ### END SOLUTION


# %% [markdown]
# The next cell trains a network of 64 units on a short tale, to predict each character from those
# before it. The last 15 % of the tale are held out. What the loss must beat there: the *unigram*,
# which knows how often each character comes, and the *bigram*, which also knows the character
# before. While it trains, the network writes: each character that it draws is its next input. The
# book's figure cuts the tale at other places at every pass, so its numbers differ a little from
# yours.

# %%
if __name__ == "__main__":
    if ready("bptt.train"):
        codes, alphabet = datasets.letters(datasets.tale())
        K, H, T, B = len(alphabet), 64, 16, 8
        split = int(0.85 * len(codes))
        learned, held = codes[:split], codes[split:]

        pairs = np.full((K, K), 0.1)  # a little for pairs that were never seen
        np.add.at(pairs, (learned[:-1], learned[1:]), 1.0)
        letter = np.bincount(learned, minlength=K) + 0.1
        unigram = -np.log2(letter[held[1:]] / letter.sum()).mean()
        bigram = -np.log2((pairs / pairs.sum(1, keepdims=True))[held[:-1], held[1:]]).mean()

        def bits(params):
            """Bits for each character of the held-out text."""
            x, y = np.eye(K)[held[:-1], None], held[1:, None]
            _, o = map(np.asarray, forward(x, np.zeros((1, H)), *params))
            return loss(o, y, np.ones(y.shape)) / len(y) / np.log(2)

        def write(params, rng, count=60):
            """Let the network write, one character after the other."""
            state, text = np.zeros((1, H)), " "
            while len(text) <= count:
                x = np.eye(K)[alphabet.index(text[-1])][None, None]
                h, o = map(np.asarray, forward(x, state, *params))
                state, weight = h[-1], np.exp(o[0, 0] - o.max())
                text += alphabet[rng.choice(K, p=weight / weight.sum())]
            return text[1:]

        rng = np.random.default_rng(0)
        params = [
            rng.normal(0, 0.1, (H, K)),  # U
            0.9 * np.linalg.qr(rng.normal(size=(H, H)))[0],  # W
            np.zeros(H),  # b
            rng.normal(0, 0.1, (K, H)),  # V
            np.zeros(K),  # c
        ]
        updates, losses, tested = 0, [], []
        for turn in range(20):
            tested.append((updates, bits(params)))
            if turn in (0, 1, 4, 19):
                print(f"{updates:3d} updates, {tested[-1][1]:.2f} bits: {write(params, rng)}")
            start = rng.integers(T)  # other cuts at every pass
            x, y, mask = datasets.next_letter(learned[start:], K, T, B)
            params, curve = train(params, x, y, mask, rate=0.2, momentum=0.9, max_norm=1.0)
            params = list(map(np.asarray, params))
            losses += list(np.asarray(curve) / np.log(2))
            updates += len(curve)

        figures.style()
        figure, ax = plt.subplots()
        ax.plot(losses, lw=0.8, alpha=0.6, label="batches it learns from")
        ax.plot(*zip(*tested, strict=True), "o-", ms=4, label="held-out text")
        for name, value in (("unigram", unigram), ("bigram", bigram)):
            ax.axhline(value, lw=1, linestyle="--", color=figures.FOREGROUND)
            ax.text(updates, value, name, ha="right", va="bottom")
        ax.set(xlabel="update", ylabel="bits per character", ylim=(0, None))
        ax.legend()
        figures.show(figure)

# %% [markdown]
# ## A start for question 3.11
#
# The product of Jacobians (3.23), measured: with a gradient of 1 at one unit of the last state,
# your `grad_h` gives a row of it. The next cell prints its norm over 1 to 20 steps, for two
# networks before and after your `train` has taught them to say the symbol of four steps ago, beside
# what can be read off $W$ and off the slopes.

# %%
if __name__ == "__main__":
    if ready("bptt.forward", "bptt.grad_h", "bptt.train"):
        H, K, T, LAG = 16, 4, 24, 4

        def jacobians(params, x, distances):
            """Norms (N, B) of the derivative of the last state for the one N steps before."""
            U, W, b, V, c = params
            h, _ = map(np.asarray, forward(x, np.zeros((x.shape[1], H)), U, W, b, V, c))
            rows = []
            for unit in np.eye(H):
                at_states = np.zeros_like(h)
                at_states[-1] = unit
                back = np.asarray(grad_h(at_states, h, W, np.eye(H)))
                rows.append(back[-1 - np.array(distances)])
            return np.linalg.norm(np.stack(rows, axis=-2), 2, axis=(-2, -1)), 1 - h * h

        def line(name, params, x):
            """What W and the slopes promise, and what the product does."""
            W, distances = params[1], (1, 5, 10, 20)
            norms, slopes = jacobians(params, x, distances)
            sigma, radius = np.linalg.norm(W, 2), np.abs(np.linalg.eigvals(W)).max()
            print(
                f"{name}: sigma {sigma:.2f}, radius {radius:.2f}, mean slope {slopes.mean():.2f};"
                f" sigma^20 {sigma**20:.0e}, (sigma slope)^20 {(sigma * slopes.mean()) ** 20:.0e}"
            )
            for n, norm in zip(distances, norms, strict=True):
                print(f"  {n:2} steps: median {np.median(norm):.1e}, largest {norm.max():.1e}")

        for gain in (0.5, 1.5):
            rng = np.random.default_rng(3)
            params = [
                rng.normal(0, 0.5, (H, K)),
                gain * np.linalg.qr(rng.normal(size=(H, H)))[0],
                np.zeros(H),
                rng.normal(0, 0.3, (K, H)),
                np.zeros(K),
            ]
            x, _, _ = datasets.echo(rng, T, 64, K, LAG)
            line(f"gain {gain}, before", params, x)
            batches = (datasets.echo(rng, T, 32, K, LAG) for _ in range(300))
            stacked = [np.stack(arrays) for arrays in zip(*batches, strict=True)]
            params, curve = train(params, *stacked, rate=0.5, momentum=0.9, max_norm=1.0)
            params = list(map(np.asarray, params))
            line(f"gain {gain}, after, loss {curve[-1]:.2f}", params, x)

# %% [markdown] question="bptt.explain"
# ## Question 3.11: must it explode?
#
# A colleague has trained a tanh network of this chapter and measured three numbers: the largest
# singular value of $W$ is $\sigma_{\max} = 1.3$; its spectral radius is $\rho = 0.9$; and the mean
# of $1 - (h^{(t)}_i)^2$ over all steps and units of the data is 0.6. Two conclusions are on the
# table:
#
# - "$\sigma_{\max} > 1$, so over 20 steps the gradient explodes."
# - "$1.3 \cdot 0.6 = 0.78 < 1$, so it can't."
#
# In at most 400 words:
#
# 1. Which bound on $\lVert \partial h^{(t+20)} / \partial h^{(t)} \rVert_2$ do these numbers prove,
#    as a number? Which do they not prove, and why not?
# 2. May the gradient explode on this data, or must it, or can it not? Judge both conclusions, and
#    say what $\rho = 0.9$ adds.
# 3. What would you measure to settle it, and how would you read the result?
# 4. *Measure.* Pascanu, Mikolov and Bengio (2013, "On the difficulty of training recurrent neural
#    networks") make $\gamma \sigma_{\max} < 1$ sufficient for vanishing and
#    $\gamma \sigma_{\max} > 1$ necessary for exploding. In the cell above, where do the two
#    estimates of the colleague go wrong, and in which direction? What did training do to $W$, and
#    what to the product? Change the lag, the gain, or the clipping, and say what would make you
#    expect an explosion in training.
#
# Name the equations you use.
#
# Plan half an hour for part 4. A good answer says what you expected before you ran it, what you
# changed, and what came out, in a few numbers; explains it by an equation; and says what your
# experiment can't show.
#
# ### BEGIN SOLUTION
# 1. By (3.23) the Jacobian over 20 steps is a product of 20 factors
# $\operatorname{diag}(1 - h^2) W$. By (3.24) its norm is at most $(\gamma \sigma_{\max})^{20}$,
# where $\gamma$ bounds the *largest* slope. Of that we only know $\gamma \le 1$, so the proved
# bound is $1.3^{20} \approx 190$. With the mean in its place, $0.78^{20} \approx 0.007$ is no
# bound: a mean says nothing of the largest slope, and the units with slopes near 1 may be the ones
# that $W$ stretches.
# 2. It may, but it need not. The first conclusion takes an upper bound for the value: growth is
# possible, but a direction that $W$ stretches need not be stretched again, and each tanh shrinks.
# The second takes a typical slope for the largest one. $\rho = 0.9$ says that without tanh $W^n$
# decays in the end, perhaps after growing first, since $W$ is not normal ($\rho < \sigma_{\max}$).
# With changing slopes between the factors even that is no proof.
# 3. Run it on the data and measure the norm of the product (3.23) against the distance $n$, over
# many sequences and starting steps. On a logarithmic axis a rising line means exploding, a falling
# one vanishing. Look at the worst sequences as well as the mean: one of them is enough for a bad
# update.
# 4. Before training, with gain 1.5: $\sigma_{\max}^{20}$ is $3 \cdot 10^3$ and the second estimate
# 0.06, and the median of the product goes from 1.5 over one step to 2.4 over 20. So the first is
# far too large and the second too small, each for the reason of part 2: one estimate leaves the
# slopes out, the other takes their mean. After training $\sigma_{\max}$ is between 5 and 9 in both
# networks, and $\sigma_{\max}^{20}$ above $10^{13}$; but the units saturate, the mean slope falls
# below 0.25, and over 20 steps the median is below $10^{-6}$: the network needs 4 steps, and
# forgets the rest. Over one step the median is above 1: a gradient grows first and then vanishes,
# which no single number of $W$ can say. One expects an explosion where the lag asks for a state
# that is kept and not yet saturated, early in training and with large gains; the largest of the
# product, not its median, shows it. Not shown: more than 16 units, another task; clipping hides the
# consequence, not the product.
#
# Three points. 1 for parts 1 and 2: the bound, about 190, why the mean slope gives none, and "may,
# need not"; 1 for part 3: measuring the product of Jacobians on the data, and how to read it; 1 for
# part 4: both directions of the error with numbers, and saturation after training. A table without
# an explanation gets half.
# ### END SOLUTION

# %% [markdown]
# ## Where you stand
#
# Before you hand in: restart the kernel and run all cells, so that no cell uses what an older
# version of another has left behind.

# %%
if __name__ == "__main__":
    progress("bptt")
