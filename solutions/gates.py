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
# # 5. Gates: LSTM and GRU
#
# You will write both gated networks, forward and backward, turn the three forms of the GRU into one
# another, move weights in and out of PyTorch, and let your own LSTM invent dinosaurs. Equation
# numbers such as (5.10) are those of chapter 5 of the book, "Gates: LSTM and GRU": keep it open
# beside this notebook. Plan about six and a half hours. The first cell finds the course's toolkit,
# or says how to get it.
#
# How to work:
#
# - Replace the lines under `YOUR CODE HERE`, run the cell, then run the locked cell below it.
# - `hint("gates.lstm_step", 1)` names the equation, level 2 the term, level 3 works a small case.
# - Your functions get read-only arrays. Make new arrays; never write into an argument.
#
# A check climbs a ladder and stops at the first rung that breaks: it runs, shapes, arguments
# untouched, probes (all terms but one are switched off), values, properties. `plot=True` draws your
# array, the right one, and the difference.
#
# Axes come in one order everywhere: time, batch, feature. Blocks are stacked in one order
# everywhere, too, and it is not PyTorch's:
#
# | letter | shape | meaning |
# |---|---|---|
# | `x` | `(T, B, D)` | inputs |
# | `h0`, `h` | `(B, H)`, `(T, B, H)` | hidden state before the first step, and after each |
# | `c0`, `c` | `(B, H)`, `(T, B, H)` | cell state, the same |
# | `U`, `W`, `b` of an LSTM | `(4H, D)`, `(4H, H)`, `(4H,)` | blocks of rows: $i$, $f$, $o$, $g$ |
# | `gates` of an LSTM | `(T, B, 4H)` | $i$, $f$, $o$, $g$ side by side, activations applied |
# | `U`, `W`, `b` of a GRU | `(3H, D)`, `(3H, H)`, `(3H,)` | blocks of rows: $r$, $u$, $n$ |
# | `gates` of a GRU | `(T, B, 3H)` | $r$, $u$, $n$ side by side, activations applied |

# %%
import matplotlib.pyplot as plt
import numpy as np

from course import check, datasets, figures, hint, progress, ready

# %% [markdown]
# The logistic function is given. Written with tanh it never overflows, and it takes complex
# numbers, so that you may test your gradients by a complex step, (3.21).


# %%
def sigmoid(a):
    """The logistic function 1 / (1 + exp(-a)), entry by entry."""
    return 0.5 + 0.5 * np.tanh(0.5 * a)


# %% [markdown]
# ## Exercise 5.1: one step of an LSTM
#
# $$
# \begin{pmatrix} a_i \\ a_f \\ a_o \\ a_g \end{pmatrix} = b + W h^{(t-1)} + U x^{(t)}
# \quad (5.1) \qquad
# i = \sigma(a_i), \quad f = \sigma(a_f), \quad o = \sigma(a_o), \quad g = \tanh a_g
# \quad (5.2)
# $$
#
# $$
# c^{(t)} = f \odot c^{(t-1)} + i \odot g \quad (5.3) \qquad
# h^{(t)} = o \odot \tanh c^{(t)} \quad (5.4)
# $$
#
# One matrix product makes all four blocks at once. Rows of a batch, as in chapter 3: $W h$ is
# `h @ W.T`.


# %% exercise="gates.lstm_step"
def lstm_step(x, h, c, U, W, b):
    """One step of an LSTM.  Source: eqs (5.1)-(5.4).

    x : (B, D), input of this step; h, c : (B, H), hidden and cell state before it;
    U : (4H, D), W : (4H, H), b : (4H,), blocks of rows in the order i, f, o, g

    Returns h : (B, H) and c : (B, H), the states after the step.
    """
    ### BEGIN SOLUTION
    a_i, a_f, a_o, a_g = np.split(b + h @ W.T + x @ U.T, 4, axis=-1)  # (5.1)
    i, f, o, g = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o), np.tanh(a_g)  # (5.2)
    c = f * c + i * g  # (5.3)
    return o * np.tanh(c), c  # (5.4)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 5.2: over a sequence, keeping what the way back needs
#
# Return the four gates of every step as well: the backward pass needs them, and they are what one
# looks at to see what the network does.


# %% exercise="gates.lstm_forward"
def lstm_forward(x, h0, c0, U, W, b):
    """Run an LSTM over a sequence.  Source: eqs (5.1)-(5.4).

    x : (T, B, D); h0, c0 : (B, H); U : (4H, D), W : (4H, H), b : (4H,), blocks i, f, o, g

    Returns h : (T, B, H) and c : (T, B, H), the states after each step (h0 and c0 are not among
    them), and gates : (T, B, 4H), the values of i, f, o, g side by side, activations applied.
    """
    ### BEGIN SOLUTION
    driven = x @ U.T + b  # the input's share of (5.1), every step at once
    width = h0.shape[-1]
    hs, cs, gates = [], [], []
    h, c = h0, c0
    for step in driven:
        a = step + h @ W.T
        gate = np.concatenate([sigmoid(a[:, : 3 * width]), np.tanh(a[:, 3 * width :])], axis=-1)
        i, f, o, g = np.split(gate, 4, axis=-1)
        c = f * c + i * g  # (5.3)
        h = o * np.tanh(c)  # (5.4)
        hs.append(h)
        cs.append(c)
        gates.append(gate)
    return np.stack(hs), np.stack(cs), np.stack(gates)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 5.3: the gradient flows back, along two lines
#
# With $e^{(t)}$ for the gradient that reaches $h^{(t)}$ from outside (through its own output), and
# $\nabla_{a^{(\tau+1)}} L = 0$:
#
# $$
# \nabla_{h^{(t)}} L = e^{(t)} + W^\top \nabla_{a^{(t+1)}} L \quad (5.10) \qquad
# \nabla_{c^{(t)}} L = o^{(t)} \odot \big(1 - \tanh^2 c^{(t)}\big) \odot \nabla_{h^{(t)}} L +
# f^{(t+1)} \odot \nabla_{c^{(t+1)}} L \quad (5.11)
# $$
#
# $$
# \nabla_{i} L = g \odot \nabla_{c} L, \quad
# \nabla_{f} L = c^{(t-1)} \odot \nabla_{c} L, \quad
# \nabla_{o} L = \tanh c^{(t)} \odot \nabla_{h} L, \quad
# \nabla_{g} L = i \odot \nabla_{c} L \quad (5.12)
# $$
#
# all at step $t$; each times the slope of its activation gives the four blocks of
# $\nabla_{a^{(t)}} L$, (5.13). The parameters and inputs follow as in chapter 3:
#
# $$
# \nabla_W L = \sum_t (\nabla_{a^{(t)}} L)\, h^{(t-1)\top}, \quad
# \nabla_U L = \sum_t (\nabla_{a^{(t)}} L)\, x^{(t)\top}, \quad
# \nabla_b L = \sum_t \nabla_{a^{(t)}} L \quad (5.14)
# $$
#
# $$
# \nabla_{x^{(t)}} L = U^\top \nabla_{a^{(t)}} L, \quad
# \nabla_{h^{(0)}} L = W^\top \nabla_{a^{(1)}} L, \quad
# \nabla_{c^{(0)}} L = f^{(1)} \odot \nabla_{c^{(1)}} L \quad (5.15)
# $$
#
# At the last step nothing comes from a later one. What reaches $c^{(\tau)}$ from outside, because
# somebody else goes on from there, is `dc_last`: it stands where
# $f^{(\tau+1)} \odot \nabla_{c^{(\tau+1)}} L$ would. Each of the six is checked and scored by
# itself; for one that you have not done yet, return `None`.


# %% exercise="gates.lstm_backward"
def lstm_backward(dh, dc_last, x, h, c, gates, h0, c0, U, W):
    """Gradients of L through an LSTM.  Source: eqs (5.10)-(5.15).

    dh : (T, B, H), from outside at each h(t), not the total; dc_last : (B, H), from outside at
    the last c; x : (T, B, D); h, c : (T, B, H) and gates : (T, B, 4H), as lstm_forward returns
    them; h0, c0 : (B, H); U : (4H, D); W : (4H, H)

    Returns dx : (T, B, D), dh0 : (B, H), dc0 : (B, H), and, summed over time and batch,
    dU : (4H, D), dW : (4H, H), db : (4H,).
    """
    ### BEGIN SOLUTION
    i, f, o, g = np.split(gates, 4, axis=-1)
    tanh_c = np.tanh(c)
    h_before, c_before = np.concatenate([h0[None], h[:-1]]), np.concatenate([c0[None], c[:-1]])
    slope = np.concatenate([i * (1 - i), f * (1 - f), o * (1 - o), 1 - g * g], axis=-1)
    da = np.empty_like(gates)
    from_a, from_c = np.zeros_like(h0), dc_last
    for t in reversed(range(len(x))):
        total = dh[t] + from_a  # (5.10)
        dc = o[t] * (1 - tanh_c[t] ** 2) * total + from_c  # (5.11)
        at_gates = [g[t] * dc, c_before[t] * dc, tanh_c[t] * total, i[t] * dc]  # (5.12)
        da[t] = np.concatenate(at_gates, axis=-1) * slope[t]  # (5.13)
        from_a, from_c = da[t] @ W, f[t] * dc
    flat = da.reshape(-1, da.shape[-1])
    dU = flat.T @ x.reshape(-1, x.shape[-1])  # (5.14)
    dW = flat.T @ h_before.reshape(-1, h.shape[-1])
    return da @ U, from_a, from_c, dU, dW, flat.sum(axis=0)  # (5.15): what is left over
    ### END SOLUTION


# %% [markdown]
# ## Exercise 5.4: the GRU in which $u$ means "take the new"
#
# $$
# \begin{pmatrix} r \\ u \end{pmatrix} = \sigma\!\left( \begin{pmatrix} b_r \\ b_u \end{pmatrix} +
# \begin{pmatrix} W_r \\ W_u \end{pmatrix} h^{(t-1)} +
# \begin{pmatrix} U_r \\ U_u \end{pmatrix} x^{(t)} \right) \quad (5.16) \qquad
# n = \tanh\!\big( b_n + W_n (r \odot h^{(t-1)}) + U_n x^{(t)} \big) \quad (5.17)
# $$
#
# $$
# h^{(t)} = u \odot n + (1 - u) \odot h^{(t-1)} \quad (5.18)
# $$
#
# The reset gate acts on the state, *before* $W_n$ multiplies it.


# %% exercise="gates.gru_forward"
def gru_forward(x, h0, U, W, b):
    """Run a GRU over a sequence: reset before the product, u takes the new.

    Source: eqs (5.16)-(5.18).

    x : (T, B, D); h0 : (B, H); U : (3H, D), W : (3H, H), b : (3H,), blocks r, u, n

    Returns h : (T, B, H), the states after each step, and gates : (T, B, 3H), the values of
    r, u, n side by side, activations applied.
    """
    ### BEGIN SOLUTION
    width = h0.shape[-1]
    driven = x @ U.T + b
    W_gates, W_n = W[: 2 * width], W[2 * width :]
    h, hs, gates = h0, [], []
    for step in driven:
        ru = sigmoid(step[:, : 2 * width] + h @ W_gates.T)  # (5.16)
        r, u = np.split(ru, 2, axis=-1)
        n = np.tanh(step[:, 2 * width :] + (r * h) @ W_n.T)  # (5.17)
        h = u * n + (1 - u) * h  # (5.18)
        hs.append(h)
        gates.append(np.concatenate([ru, n], axis=-1))
    return np.stack(hs), np.stack(gates)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 5.5: the GRU's gradient
#
# A state reaches the next step by four roads: straight through $1 - u$; through $r \odot h$ and
# $W_n$; and through the two gates. With $\nabla_{h^{(t)}} L$ total, and everything on the right at
# step $t$:
#
# $$
# \begin{aligned}
# \nabla_{a_u} L &= u (1 - u) \odot (n - h^{(t-1)}) \odot \nabla_{h} L, &
# \nabla_{a_n} L &= (1 - n^2) \odot u \odot \nabla_{h} L, \\
# q &= W_n^\top \nabla_{a_n} L, &
# \nabla_{a_r} L &= r (1 - r) \odot h^{(t-1)} \odot q, \\
# \nabla_{h^{(t-1)}} L &= e^{(t-1)} + (1 - u) \odot \nabla_{h} L + r \odot q +
# W_r^\top \nabla_{a_r} L + W_u^\top \nabla_{a_u} L .
# \end{aligned} \tag{5.21}
# $$
#
# The gradients of $U$ and $b$ are as in (5.14). In that of $W$ the block of $n$ meets what it
# multiplied, $r \odot h^{(t-1)}$.


# %% exercise="gates.gru_backward"
def gru_backward(dh, x, h, gates, h0, U, W):
    """Gradients of L through the GRU of exercise 5.4.  Source: eq (5.21).

    dh : (T, B, H), from outside at each h(t), not the total; x : (T, B, D); h : (T, B, H) and
    gates : (T, B, 3H), as gru_forward returns them; h0 : (B, H); U : (3H, D); W : (3H, H)

    Returns dx : (T, B, D), dh0 : (B, H), and, summed over time and batch, dU : (3H, D),
    dW : (3H, H), db : (3H,).
    """
    ### BEGIN SOLUTION
    width = h0.shape[-1]
    r, u, n = np.split(gates, 3, axis=-1)
    before = np.concatenate([h0[None], h[:-1]])
    W_gates, W_n = W[: 2 * width], W[2 * width :]
    da = np.empty_like(gates)
    carry = np.zeros_like(h0)
    for t in reversed(range(len(x))):
        total = dh[t] + carry
        da_u = u[t] * (1 - u[t]) * (n[t] - before[t]) * total
        da_n = (1 - n[t] ** 2) * u[t] * total
        q = da_n @ W_n
        da_r = r[t] * (1 - r[t]) * before[t] * q
        da[t] = np.concatenate([da_r, da_u, da_n], axis=-1)
        carry = (1 - u[t]) * total + r[t] * q + da[t, :, : 2 * width] @ W_gates  # (5.21)
    flat, met = da.reshape(-1, 3 * width), before.reshape(-1, width)
    met_by_n = (r * before).reshape(-1, width)
    dW = np.concatenate([flat[:, : 2 * width].T @ met, flat[:, 2 * width :].T @ met_by_n])
    return da @ U, carry, flat.T @ x.reshape(-1, x.shape[-1]), dW, flat.sum(axis=0)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 5.6: from "take" to "keep"
#
# Others write $h^{(t)} = (1 - u) \odot n + u \odot h^{(t-1)}$, (5.19): there $u = 1$ *keeps* the
# old state. Turn the weights of a GRU of the one kind into weights with which the other kind
# computes the same states. You need one fact about the logistic function.


# %% exercise="gates.take_to_keep"
def take_to_keep(U, W, b):
    """Weights of a GRU of form (5.18) to those of the same GRU in form (5.19).

    Source: eq (5.19).

    U : (3H, D), W : (3H, H), b : (3H,), blocks r, u, n

    Returns U : (3H, D), W : (3H, H), b : (3H,), new arrays, blocks r, u, n.
    """
    ### BEGIN SOLUTION
    width = W.shape[-1]
    sign = np.repeat(np.array([1, -1, 1], dtype=W.dtype), width)  # 1 - sigmoid(a) = sigmoid(-a)
    return U * sign[:, None], W * sign[:, None], b * sign
    ### END SOLUTION


# %% [markdown]
# ## Exercise 5.7: PyTorch's GRU, reset after the product
#
# `torch.nn.GRU` keeps with its update gate, and lets the reset gate act *after* $W_n$, on a sum
# that has a bias $d$ of its own:
#
# $$
# n = \tanh\!\big( b_n + U_n x^{(t)} + r \odot (W_n h^{(t-1)} + d) \big), \qquad
# h^{(t)} = (1 - u) \odot n + u \odot h^{(t-1)} \tag{5.20}
# $$
#
# The gates $r$ and $u$ are those of (5.16). This form needs one product with $W$ for each step,
# that of exercise 5.4 needs two, one after the other.


# %% exercise="gates.gru_after"
def gru_after(x, h0, U, W, b, d):
    """Run a GRU over a sequence: reset after the product, u keeps the old.

    Source: eqs (5.16) and (5.20).

    x : (T, B, D); h0 : (B, H); U : (3H, D), W : (3H, H), b : (3H,), blocks r, u, n; d : (H,),
    the bias inside the bracket

    Returns h : (T, B, H), the states after each step.
    """
    ### BEGIN SOLUTION
    width = h0.shape[-1]
    driven = x @ U.T + b
    h, hs = h0, []
    for step in driven:
        recurrent = h @ W.T  # all three blocks in one product
        r, u = np.split(sigmoid((step + recurrent)[:, : 2 * width]), 2, axis=-1)  # (5.16)
        n = np.tanh(step[:, 2 * width :] + r * (recurrent[:, 2 * width :] + d))
        h = (1 - u) * n + u * h  # (5.20)
        hs.append(h)
    return np.stack(hs)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 5.8: into `torch.nn.LSTM`
#
# PyTorch stacks the blocks as $i, f, g, o$, and has two biases that it only ever adds. Return the
# four arrays that `torch.nn.LSTM` wants as `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`,
# `bias_hh_l0`, in this order or as a dict with these names. The check puts them into
# `torch.nn.LSTM` and looks at the states that come out, so any way to split the bias is right.

# %%
import torch


# %% exercise="gates.to_torch"
def to_torch(U, W, b):
    """Our LSTM's parameters as torch.nn.LSTM wants them.  Source: the table of blocks in chapter 5.

    U : (4H, D), W : (4H, H), b : (4H,), blocks i, f, o, g

    Returns weight_ih : (4H, D), weight_hh : (4H, H), bias_ih : (4H,), bias_hh : (4H,), NumPy
    arrays with blocks i, f, g, o.
    """

    ### BEGIN SOLUTION
    def reorder(array):
        i, f, o, g = np.split(array, 4)
        return np.concatenate([i, f, g, o])

    return reorder(U), reorder(W), reorder(b), np.zeros_like(b)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 5.9: and back
#
# A network that was trained by `torch.nn.LSTM` has its four arrays, blocks $i, f, g, o$, and both
# biases at work. Turn them into our three, blocks $i, f, o, g$, so that `lstm_forward` computes the
# same states. What you are given is read-only: make new arrays.


# %% exercise="gates.from_torch"
def from_torch(weight_ih, weight_hh, bias_ih, bias_hh):
    """The parameters of torch.nn.LSTM as ours.  Source: the table of blocks in chapter 5.

    weight_ih : (4H, D), weight_hh : (4H, H), bias_ih, bias_hh : (4H,), NumPy arrays with blocks
    i, f, g, o

    Returns U : (4H, D), W : (4H, H), b : (4H,), blocks i, f, o, g.
    """

    ### BEGIN SOLUTION
    def restore(array):
        i, f, g, o = np.split(array, 4)
        return np.concatenate([i, f, o, g])

    return restore(weight_ih), restore(weight_hh), restore(bias_ih + bias_hh)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 5.10: draw a character
#
# A *temperature* $\theta$ divides the outputs before the softmax, and a number $v$ from
# $[0, 1)$ picks the character:
#
# $$
# p_k = \frac{\exp(o_k / \theta)}{\sum_j \exp(o_j / \theta)} \quad (5.24) \qquad
# k = \min \Big\{ k : \sum_{j \le k} p_j > v \Big\} \quad (5.25)
# $$
#
# With uniform random $v$, class $k$ comes up with probability $p_k$. The random numbers are an
# argument, so that the function itself is not random. Beware: a sum of rounded $p_j$ may end a
# little below 1.


# %% exercise="gates.sample"
def sample(o, temperature, v):
    """Draw one class for each row.  Source: eqs (5.24)-(5.25).

    o : (B, K), outputs before the softmax; temperature : a positive number; v : (B,), numbers
    in [0, 1)

    Returns choice : (B,), integers in 0 ... K-1.
    """
    ### BEGIN SOLUTION
    scaled = o / temperature
    weight = np.exp(scaled - scaled.max(axis=-1, keepdims=True))  # (5.24), not yet divided
    below = np.cumsum(weight, axis=-1)
    # Not divided: the last sum is the whole, however it was rounded, and v is below 1.
    return (below <= v[:, None] * below[:, -1:]).sum(axis=-1)  # (5.25)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 5.11: bits per character
#
# $$
# \text{bits} = \frac{\sum_t m^{(t)} \left(-\log_2 \hat y^{(t)}_{y^{(t)}}\right)}{\sum_t m^{(t)}},
# \tag{5.26}
# $$
#
# both sums over time and batch: how many yes-or-no questions a character costs on average, if the
# network does the asking. Guessing among 27 symbols costs $\log_2 27 = 4.75$.


# %% exercise="gates.bits_per_character"
def bits_per_character(o, y, mask):
    """Mean of -log2 of the target's probability, over the steps that count.  Source: eq (5.26).

    o : (T, B, K), outputs before the softmax, of any size; y : (T, B), integers in 0 ... K-1;
    mask : (T, B), 1.0 where the target counts and 0.0 where it is padding

    Returns bits, one number.
    """
    ### BEGIN SOLUTION
    top = o.max(axis=-1, keepdims=True)
    log_z = top[..., 0] + np.log(np.exp(o - top).sum(axis=-1))
    nats = log_z - np.take_along_axis(o, y[..., None], axis=-1)[..., 0]
    return (nats * mask).sum() / mask.sum() / np.log(2)  # (5.26)
    ### END SOLUTION


# %% [markdown]
# ## Put it together: names of dinosaurs that never were
#
# Once exercises 5.2, 5.3, 5.10 and 5.11 are right, the next cell trains your LSTM on names of
# dinosaurs, letter by letter. Symbol 0 stands for "no letter": it goes in before the first letter
# and is to come out after the last. Every tenth name is held out. The cell writes down some names
# while it learns, and takes about half a minute at most.

# %%
if __name__ == "__main__":
    if ready("gates.lstm_forward", "gates.lstm_backward", "gates.sample"):
        LETTERS = ".abcdefghijklmnopqrstuvwxyz"
        names = [name.lower() for name in datasets.dinosaurs()]
        K, H, B = len(LETTERS), 64, 32
        rng = np.random.default_rng(5)

        def arrays(some):
            """x : (T, B, K), y and mask : (T, B), of some names; T is the longest one's, plus 1."""
            T = max(map(len, some)) + 1
            x, y = np.zeros((T, len(some), K)), np.zeros((T, len(some)), dtype=int)
            mask = np.zeros((T, len(some)))
            for j, name in enumerate(some):
                codes = [LETTERS.index(letter) for letter in name]
                x[np.arange(len(name) + 1), j, [0, *codes]] = 1
                y[: len(name), j] = codes
                mask[: len(name) + 1, j] = 1
            return x, y, mask

        held_out = arrays(names[::10])
        training = [name for n, name in enumerate(names) if n % 10]

        shapes = [(4 * H, K), (4 * H, H), (4 * H,), (K, H), (K,)]
        params = [rng.normal(0, 1 / np.sqrt(H), shape) for shape in shapes]
        params[2][:] = 0
        params[2][H : 2 * H] = 1  # the forget gate's bias
        params[4][:] = 0
        mean, square = ([np.zeros(shape) for shape in shapes] for _ in range(2))

        def outputs(x, h0, c0):
            """h, c, gates, and the outputs before the softmax, for the parameters as they are."""
            U, W, b, V, bias = params
            h, c, gates = map(np.asarray, lstm_forward(x, h0, c0, U, W, b))
            return h, c, gates, h @ V.T + bias

        def invent(count, temperature):
            """Some names, one letter at a time; each ends with symbol 0."""
            h, c, symbol = np.zeros((count, H)), np.zeros((count, H)), np.zeros(count, dtype=int)
            made = [""] * count
            for _ in range(20):
                h, c, _, o = outputs(np.eye(K)[symbol][None], h, c)
                h, c = h[-1], c[-1]
                symbol = np.asarray(sample(o[-1], temperature, rng.random(count)))
                made = [
                    m + LETTERS[s] if not m.endswith(".") else m
                    for m, s in zip(made, symbol, strict=True)
                ]
            return [m.rstrip(".").capitalize() for m in made]

        curve = []
        for update in range(1, 401):
            x, y, mask = arrays(rng.choice(training, B, replace=False))
            zero = np.zeros((B, H))
            h, c, gates, o = outputs(x, zero, zero)
            weight = np.exp(o - o.max(axis=-1, keepdims=True))
            do = weight / weight.sum(axis=-1, keepdims=True)
            do = (do - np.eye(K)[y]) * (mask / mask.sum())[..., None]  # (3.7), and a mean
            U, W, b, V, bias = params
            back = lstm_backward(do @ V, zero, x, h, c, gates, zero, zero, U, W)
            dU, dW, db = map(np.asarray, back[3:])
            dV, dbias = np.einsum("tbk,tbh->kh", do, h), do.sum((0, 1))
            for j, grad in enumerate((dU, dW, db, dV, dbias)):  # Adam
                mean[j] += 0.1 * (grad - mean[j])
                square[j] += 0.01 * (grad * grad - square[j])
                step = mean[j] / (1 - 0.9**update)
                params[j] -= 0.01 * step / (np.sqrt(square[j] / (1 - 0.99**update)) + 1e-8)
            if update in (1, 30, 150, 400):
                print(f"after {update:3d} updates:", ", ".join(invent(5, 0.8)))
            if update % 25 == 0 and ready("gates.bits_per_character", quiet=True):
                x, y, mask = held_out
                zero = np.zeros((x.shape[1], H))
                curve.append((update, bits_per_character(outputs(x, zero, zero)[3], y, mask)))

        new = [name for name in invent(200, 0.8) if name.lower() not in set(names)]
        print(f"{len(new)} of 200 names are new, for example", ", ".join(new[:8]))
        if curve:
            figures.style()
            figure, ax = plt.subplots()
            ax.plot(*zip(*curve, strict=True))
            ax.axhline(np.log2(K), linestyle="--", color=figures.FOREGROUND, label="guessing")
            ax.set(xlabel="update", ylabel="bits per character, held out", ylim=(0, None))
            ax.legend()
            figures.show(figure)

# %% [markdown]
# ## Exercise 5.12: your LSTM inside PyTorch
#
# Write forward and backward as a `torch.autograd.Function`, as in exercise 3.9: what `forward`
# keeps with `ctx.save_for_backward`, `backward` finds in `ctx.saved_tensors`. It hands on two
# things, the hidden states and the last cell state; so its backward pass gets two gradients. Use
# PyTorch operations only, and make new tensors from the ones you are given (`torch.empty_like`,
# `x.new_zeros`), so that the code runs on any device and in any floating-point type.


# %% exercise="gates.LSTMFunction"
class LSTMFunction(torch.autograd.Function):
    """h, c_last = LSTM(x, h0, c0, U, W, b) with a backward pass written by hand.

    Source: eqs (5.1)-(5.4) and (5.10)-(5.15).

    forward : x (T, B, D), h0 (B, H), c0 (B, H), U (4H, D), W (4H, H), b (4H,), blocks i, f, o, g
    -> h (T, B, H), c_last (B, H)
    backward : dh (T, B, H), dc_last (B, H) -> dx, dh0, dc0, dU, dW, db
    """

    @staticmethod
    def forward(ctx, x, h0, c0, U, W, b):
        """Equations (5.1)-(5.4); ctx.save_for_backward keeps what backward needs."""
        ### BEGIN SOLUTION
        width = h0.shape[-1]
        h, c = h0, c0
        hs, cs, gates = [], [], []
        for step in x @ U.T + b:
            a = step + h @ W.T
            gate = torch.cat([torch.sigmoid(a[:, : 3 * width]), torch.tanh(a[:, 3 * width :])], -1)
            i, f, o, g = gate.chunk(4, -1)
            c = f * c + i * g
            h = o * torch.tanh(c)
            hs.append(h)
            cs.append(c)
            gates.append(gate)
        hs = torch.stack(hs)
        ctx.save_for_backward(x, h0, c0, U, W, hs, torch.stack(cs), torch.stack(gates))
        return hs, c
        ### END SOLUTION

    @staticmethod
    def backward(ctx, dh, dc_last):
        """Equations (5.10)-(5.15), with dh in the place of e.

        ctx.saved_tensors has what forward kept. Each gradient has the shape of its argument.
        """
        ### BEGIN SOLUTION
        x, h0, c0, U, W, h, c, gates = ctx.saved_tensors
        i, f, o, g = gates.chunk(4, -1)
        slope = torch.cat([i * (1 - i), f * (1 - f), o * (1 - o), 1 - g * g], -1)
        tanh_c = torch.tanh(c)
        h_before, c_before = torch.cat([h0[None], h[:-1]]), torch.cat([c0[None], c[:-1]])
        da = torch.empty_like(gates)
        from_a, from_c = torch.zeros_like(h0), dc_last
        for t in reversed(range(len(x))):
            total = dh[t] + from_a  # (5.10)
            dc = o[t] * (1 - tanh_c[t] ** 2) * total + from_c  # (5.11)
            da[t] = torch.cat([g[t] * dc, c_before[t] * dc, tanh_c[t] * total, i[t] * dc], -1)
            da[t] *= slope[t]  # (5.13)
            from_a, from_c = da[t] @ W, f[t] * dc
        flat = da.flatten(0, 1)
        dU, dW = flat.T @ x.flatten(0, 1), flat.T @ h_before.flatten(0, 1)  # (5.14)
        return da @ U, from_a, from_c, dU, dW, flat.sum(0)
        ### END SOLUTION


# %% [markdown]
# ## A start for question 5.13
#
# What share of a gradient at the last cell state comes back to $c^{(0)}$ through your
# `lstm_backward`, by all roads, and what share by the direct road alone, (5.7)? Random weights
# whose rows have length `scale`, 20 steps, nothing from outside at any $h^{(t)}$.

# %%
if __name__ == "__main__":
    if ready("gates.lstm_forward", "gates.lstm_backward"):

        def shares(bias, scale, T=20, B=50, D=8, H=32):
            """Share of a gradient that comes back: by all roads, by the direct one; the cosine."""
            rng = np.random.default_rng(5)
            U = rng.normal(0, scale / np.sqrt(D), (4 * H, D))
            W = rng.normal(0, scale / np.sqrt(H), (4 * H, H))
            b = np.repeat([0.0, bias, 0.0, 0.0], H)  # i, f, o, g
            x, zero = rng.normal(size=(T, B, D)), np.zeros((B, H))
            h, c, made = map(np.asarray, lstm_forward(x, zero, zero, U, W, b))
            sent = rng.normal(size=(B, H))
            back = lstm_backward(np.zeros_like(h), sent, x, h, c, made, zero, zero, U, W)
            back = np.asarray(back[2])  # dc0
            direct = made[..., H : 2 * H].prod(axis=0) * sent
            size = np.linalg.norm
            cosine = (back * direct).sum() / (size(back) * size(direct))
            return size(back) / size(sent), size(direct) / size(sent), cosine

        print("scale   bias   all roads     direct   cosine")
        for scale in (0.1, 0.5, 1.0, 2.0):
            for bias in (0.0, 1.0, 5.0):
                every, direct, cosine = shares(bias, scale)
                print(f"{scale:5.1f}  {bias:5.0f}  {every:10.1e} {direct:10.1e}  {cosine:7.2f}")

# %% [markdown] question="gates.explain"
# ## Question 5.13: when does the additive path still forget?
#
# "An LSTM adds to its cell state instead of multiplying it, so its gradient can't vanish." Three
# LSTMs have just been initialised with small weights, so that $f^{(t)} \approx \sigma(b_f)$ at
# every step; their forget biases are 0, 1 and 5.
#
# In at most 400 words:
#
# 1. By the direct road alone, what share of $\nabla_{c^{(t+20)}} L$ reaches $c^{(t)}$ in each of
#    the three, as a number? After how many steps is half of it left?
# 2. Judge the sentence above. Name what is multiplied on the additive path, and one thing that can
#    make it small after training, too.
# 3. Why not start every LSTM with $b_f = 5$? Name two things that one pays for it.
# 4. *Measure.* Jozefowicz, Zaremba and Sutskever (2015, "An empirical exploration of recurrent
#    network architectures") advise $b_f = 1$ for every LSTM; Tallec and Ollivier (2018,
#    "Can recurrent neural networks warp time?") derive biases from the lengths that are to be
#    remembered. Both think of the direct road. How much of the gradient does it carry in the cell
#    above, and for which weights is your answer to 1 the whole story? Is what comes by the other
#    roads as useful? Change the number of steps, the scale, or start one gate differently.
#
# Name the equations you use.
#
# Plan half an hour for part 4. A good answer says what you expected before you ran it, what you
# changed, and what came out, in a few numbers; explains it by an equation; and says what your
# experiment can't show.
#
# ### BEGIN SOLUTION
# 1. By (5.7) the direct road multiplies by $f$ at each step. With constant $f = \sigma(b_f)$ the
# share is $f^{20}$: $0.5^{20} = 9.5 \cdot 10^{-7}$ for bias 0, $0.7311^{20} = 0.0019$ for 1,
# $0.9933^{20} = 0.87$ for 5. By (5.9) half is left after 1 step, 2.2 steps and 103 steps.
# 2. It is wrong as it stands. On the path $c^{(t)} = f \odot c^{(t-1)} + \dots$ the gradient is
# multiplied by $f < 1$ at every step, so it shrinks exponentially unless $f$ is close to 1. What is
# gained over the plain network: the factor is a gate of the unit's own, without a matrix and
# without a slope of tanh, and the network can learn to hold it near 1. After training it is small
# wherever the network has learned to forget, which is meant. And a gradient that enters at $h$ must
# pass $o\,(1 - \tanh^2 c)$, (5.11), which is small where the output gate is shut or $|c|$ is large.
# 3. The slope of the forget gate is $f(1-f) = 0.0066$ there, (5.13), against 0.25 at bias 0:
# learning to forget is slow at first. And little is forgotten: $c$ adds up what comes in, (5.3),
# grows, and saturates $\tanh c$, so that old input drowns the new.
# 4. With scale 0.1 the direct road carries what part 1 says, $9.9 \cdot 10^{-7}$, 0.0019 and 0.87,
# and all roads together 1.6, 1.3 and 1.1 times as much: even here the second road, through $h$ and
# the gates, (5.10), is not nothing. With scale 1, which is common, it is most of it: for bias 0 all
# roads bring 37 times what the direct one does, for bias 1 8.5 times, for bias 5 3.2 times, and
# there more comes back than was sent. So the forget bias still decides by orders of magnitude, but
# the share is no longer $f^{20}$. The cosine between the two falls from 0.70 (scale 0.1, bias 0) to
# 0.05 (scale 1): what the other roads bring points elsewhere. The direct road gives each cell its
# own error back; the others mix all cells through $W$, as in a plain network, and with larger
# weights they may explode as there. Whether that is useful, only training can show. Not shown:
# trained weights, gradients that enter at $h^{(t)}$, inputs that are not noise.
#
# Three points. 1 for part 1: the three shares, with (5.7); 1 for parts 2 and 3: "the factor is $f$,
# a gate", with one sound reason why it may be small, and two prices; 1 for part 4: small weights
# against usual ones, with numbers, and the second road named. A table without an explanation gets
# half.
# ### END SOLUTION

# %% [markdown]
# ## Where you stand
#
# Before you hand in: restart the kernel and run all cells, so that no cell uses what an older
# version of another has left behind.

# %%
if __name__ == "__main__":
    progress("gates")
