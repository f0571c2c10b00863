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
# # 1. Dynamical systems
#
# A recurrent network is a dynamical system with an input. You will follow its orbits, find where
# they can rest and whether they stay there, measure how fast two of them part, and how much of the
# past a state still knows. At the end your functions forecast the sunspots. Equation numbers such
# as (1.9) are those of chapter 1 of the book, "Dynamical systems": keep it open beside this
# notebook. Plan about five hours. The first cell finds the course's toolkit, or says how to get it.
#
# How to work:
#
# - Replace the lines under `YOUR CODE HERE`, run the cell, then run the locked cell below it.
# - `hint("dynamics.orbit", 1)` names the equation, level 2 the term, level 3 works a small case.
# - Your functions get read-only arrays. Make new arrays; never write into an argument.
#
# A check climbs a ladder and stops at the first rung that breaks: **runs** (it can be called, and
# comes to an end), **shapes**, **arguments** (it has not written into them), **probes** (inputs for
# which all terms but one are switched off), **values** (random input, every term at work) and
# **properties** (one step, a batch of one, the batch in another order, float32, and so on).
# `check("dynamics.orbit", plot=True)` also draws your array, the right one, and the difference.
#
# Axes come in one order everywhere: time, batch, feature. In the equations $t = 1 \dots \tau$;
# in the code the same step has index `t - 1`, and `T` is $\tau$.
#
# | letter | shape | meaning |
# |---|---|---|
# | `x` | `(T, B, D)` | inputs |
# | `h0`, `h` | `(B, H)`, `(T, B, H)` | initial states, states |
# | `U`, `W`, `b` | `(H, D)`, `(H, H)`, `(H,)` | input weights, recurrent weights, bias |
# | `v` | `(B, H)` | a small displacement of each state |
# | `y` | `(N, K)` | targets of a read-out, one row for each of `N` examples |
# | `V`, `c` | `(K, H)`, `(K,)` | weights and bias of a read-out |

# %%
import matplotlib.pyplot as plt
import numpy as np

from course import check, datasets, figures, hint, progress, ready

# %% [markdown]
# ## Exercise 1.1: an orbit
#
# $$
# h^{(t)} = f(h^{(t-1)}) = \tanh\big(W h^{(t-1)} + b\big), \qquad t = 1, \dots, \tau.
# \tag{1.1, 1.3}
# $$
#
# There is no input: the same map, again and again. The equation is about one column; your array
# holds one orbit in each row, so $W h$ becomes `h @ W.T`.


# %% exercise="dynamics.orbit"
def orbit(h0, W, b, T):
    """Follow a network without input for T steps.  Source: eqs (1.1), (1.3).

    h0 : (B, H), where the orbits start; W : (H, H); b : (H,); T : int, at least 1

    Returns h : (T, B, H), the states after each step (h0 is not among them).
    """
    ### BEGIN SOLUTION
    h = np.empty((T, *h0.shape), dtype=h0.dtype)
    state = h0
    for t in range(T):
        state = h[t] = np.tanh(state @ W.T + b)  # (1.3), with x = 0
    return h
    ### END SOLUTION


# %% [markdown]
# ## Exercise 1.2: an orbit with a signal
#
# $$
# h^{(t)} = f(h^{(t-1)}, x^{(t)}) = \tanh\big(W h^{(t-1)} + U x^{(t)} + b\big). \tag{1.2, 1.3}
# $$
#
# The signal is the one thing that differs from step to step. $f$ and its parameters do not.


# %% exercise="dynamics.driven"
def driven(x, h0, U, W, b):
    """Follow a network that a signal drives.  Source: eqs (1.2), (1.3).

    x : (T, B, D); h0 : (B, H); U : (H, D); W : (H, H); b : (H,)

    Returns h : (T, B, H), the states after each step.
    """
    ### BEGIN SOLUTION
    pushed = x @ U.T + b  # what does not depend on the state, every step at once
    h = np.empty_like(pushed)
    state = h0
    for t in range(len(x)):
        state = h[t] = np.tanh(state @ W.T + pushed[t])  # (1.3)
    return h
    ### END SOLUTION


# %% [markdown]
# ## Exercise 1.3: the Jacobian
#
# A small displacement $\delta$ of the state becomes $J \delta$ after one step, with
#
# $$
# J(h) = \frac{\partial f}{\partial h}(h) = \operatorname{diag}\big(1 - f(h)^2\big)\, W, \qquad
# f(h) = \tanh(W h + b). \tag{1.6}
# $$
#
# The slope is that of the state *after* the step. Only at a fixed point are the two the same.


# %% exercise="dynamics.jacobian"
def jacobian(h, W, b):
    """Jacobian of one step, at each of B states.  Source: eq (1.6).

    h : (B, H), the states before the step; W : (H, H); b : (H,)

    Returns J : (B, H, H); J[n, i, j] is the derivative of unit i after the step for unit j before.
    """
    ### BEGIN SOLUTION
    after = np.tanh(h @ W.T + b)
    return (1 - after**2)[:, :, None] * W  # (1.6)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 1.4: fixed points, and whether they hold
#
# A fixed point solves $f(h^*) = h^*$. Newton's method goes to where the linearised equation has its
# solution:
#
# $$
# h \leftarrow h - \big(J(h) - I\big)^{-1} \big(f(h) - h\big). \tag{1.8}
# $$
#
# It finds repelling fixed points too, from which orbits run away. Whether a fixed point attracts is
# said by the spectral radius of its Jacobian: below 1 it does, above 1 it does not (1.7). Many
# starts are handled at once: `np.linalg.solve` takes a stack of matrices.


# %% exercise="dynamics.newton"
def newton(h, W, b, steps):
    """Newton's method for f(h) = h, from each of B starts.  Source: eqs (1.7), (1.8).

    h : (B, H), the starts; W : (H, H); b : (H,); steps : int

    Returns h : (B, H), what is reached after that many steps, and radius : (B,), the spectral
    radius of the Jacobian there.
    """
    ### BEGIN SOLUTION
    identity = np.eye(len(b), dtype=h.dtype)
    for _ in range(steps):
        gap = np.tanh(h @ W.T + b) - h
        h = h - np.linalg.solve(jacobian(h, W, b) - identity, gap[:, :, None])[:, :, 0]  # (1.8)
    radius = np.abs(np.linalg.eigvals(jacobian(h, W, b))).max(axis=1)  # (1.7)
    return h, radius
    ### END SOLUTION


# %% [markdown]
# ## Exercise 1.5: where fixed points are born
#
# For one unit, each $h$ in $(-1, 1)$ is a fixed point of exactly one bias,
#
# $$
# b(h) = \operatorname{artanh} h - w h. \tag{1.9}
# $$
#
# If $w > 1$, this curve turns round at $h = \pm h_c$. There two fixed points meet and vanish: a
# saddle-node bifurcation. Find $h_c > 0$ and the bias $b(h_c)$. Solve
# $\mathrm d b / \mathrm d h = 0$ on paper first: the answer is a formula in $w$, and a numerical
# search for the turn gets only half of the digits right. Mind the bias's sign: it is the bias at
# which the *upper* rest position ceases to exist.


# %% exercise="dynamics.saddle_node"
def saddle_node(w):
    """Where the upper fixed point of one unit is lost.  Source: eqs (1.9), (1.11).

    w : (N,), each above 1

    Returns h : (N,), the fixed point there, positive, and b : (N,), the bias at which it is lost.
    """
    ### BEGIN SOLUTION
    h = np.sqrt(1 - 1 / w)
    return h, np.arctanh(h) - w * h  # (1.11)
    ### END SOLUTION


# %% [markdown]
# ## A picture: three fixed points, and the cusp
#
# Runs once 1.4 and 1.5 are right. Your `newton` starts from 40 places for each pair $(w, b)$; the
# colour is the number of different fixed points it finds, the line your `saddle_node`. Why do they
# agree, and what happens at the tip?

# %%
if __name__ == "__main__":
    if ready("dynamics.newton", "dynamics.saddle_node"):
        gains, biases = np.linspace(0.5, 2.5, 40), np.linspace(-0.8, 0.8, 41)  # w = 1 is left out
        count = np.zeros((len(biases), len(gains)))
        starts = np.linspace(-0.99, 0.99, 40)[:, None]
        for i, j in np.ndindex(count.shape):
            with np.errstate(over="ignore", invalid="ignore"):
                found, _ = newton(starts, np.array([[gains[j]]]), biases[i : i + 1], 30)
            found = np.asarray(found)
            kept = found[np.abs(np.tanh(gains[j] * found + biases[i]) - found) < 1e-10]
            count[i, j] = len(np.unique(np.round(kept, 6)))
        figures.style()
        figure, ax = plt.subplots(figsize=(5.6, 3.6))
        colours = ax.pcolormesh(gains, biases, count, vmin=1, vmax=3, rasterized=True)
        figure.colorbar(colours, ax=ax, label="fixed points found", ticks=[1, 2, 3])
        w = np.linspace(1.0001, 2.5, 200)
        for side in (1, -1):
            ax.plot(w, side * np.asarray(saddle_node(w)[1]), color=figures.PALETTE["vermilion"])
        ax.set(xlabel="w", ylabel="b", ylim=(-0.8, 0.8))
        figures.show(figure)

# %% [markdown]
# ## Exercise 1.6: the Lyapunov exponent
#
# Carry a displacement $v$ along an orbit, and take the mean rate at which its length grows:
#
# $$
# \lambda = \frac 1\tau \log
# \frac{\lVert J^{(\tau)} \cdots J^{(1)} v \rVert}{\lVert v \rVert}, \qquad
# J^{(t)} = J\big(h^{(t-1)}\big). \tag{1.16}
# $$
#
# Over a thousand steps the length leaves the range of floating-point numbers. So bring it back to 1
# after every step, and add up the logarithms of what you divide by.


# %% exercise="dynamics.lyapunov"
def lyapunov(h0, v, W, b, T):
    """Mean rate of growth of a displacement along each of B orbits.  Source: eq (1.16).

    h0 : (B, H), the starts; v : (B, H), the displacements, of any length but 0; W : (H, H);
    b : (H,); T : int, may be thousands

    Returns lam : (B,), per step, with the natural logarithm.
    """
    ### BEGIN SOLUTION
    v = v / np.linalg.norm(v, axis=1, keepdims=True)
    total = np.zeros(len(h0))
    h = h0
    for _ in range(T):
        h = np.tanh(h @ W.T + b)
        v = (1 - h**2) * (v @ W.T)  # J v, (1.6)
        length = np.linalg.norm(v, axis=1, keepdims=True)
        total += np.log(length[:, 0])
        v = v / length
    return total / T  # (1.16)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 1.7: what a state remembers
#
# Drive a network with noise $x$ and ask: how well can $x^{(t-k)}$ be read from $h^{(t)}$ by the
# best linear function with a constant? The squared correlation between the two is
#
# $$
# r_k^2 = 1 - \frac{\min_{v, c} \sum_t \big(x^{(t-k)} - v^\top h^{(t)} - c\big)^2}
# {\sum_t \big(x^{(t-k)} - \bar x_k\big)^2}, \qquad k = 0, \dots, K - 1. \tag{1.23}
# $$
#
# Use the same steps for every $k$, those that have all $K$ lags: $t = K, \dots, \tau$. The mean
# $\bar x_k$ is over the $x^{(t-k)}$ that are used.


# %% exercise="dynamics.memory"
def memory(h, x, K):
    """How well the input of k steps ago is read from the state, for k = 0 ... K-1.

    Source: eq (1.23).  h : (T, H), the states of one long run; x : (T,), its input; K : int

    Returns r2 : (K,), squared correlations between 0 and 1, over the steps t = K ... T.
    """
    ### BEGIN SOLUTION
    T = len(x)
    past = np.stack([x[K - 1 - k : T - k] for k in range(K)], axis=1)  # row t: x(t), x(t-1), ...
    features = np.column_stack([h[K - 1 :], np.ones(T - K + 1)])
    weights = np.linalg.lstsq(features, past, rcond=None)[0]
    left = ((past - features @ weights) ** 2).sum(axis=0)
    return 1 - left / ((past - past.mean(axis=0)) ** 2).sum(axis=0)  # (1.23)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 1.8: a read-out
#
# A fixed random network becomes a model when something reads its states. Ridge regression does:
#
# $$
# \min_{V, c} \; \sum_n \big\lVert y_n - V h_n - c \big\rVert^2 + \mu \lVert V \rVert_F^2 ,
# \tag{1.25}
# $$
#
# a linear system for $V$ and $c$. The penalty $\mu$ is on $V$ alone: a constant is never shrunk.


# %% exercise="dynamics.ridge"
def ridge(h, y, penalty):
    """Linear read-out with a penalty on its weights.  Source: eq (1.25).

    h : (N, H), one example in each row; y : (N, K), its targets; penalty : a number, at least 0

    Returns V : (K, H) and c : (K,), so that y is about h @ V.T + c.
    """
    ### BEGIN SOLUTION
    middle_h, middle_y = h.mean(axis=0), y.mean(axis=0)
    centred = h - middle_h  # so that the best c has dropped out of the problem
    gram = centred.T @ centred + penalty * np.eye(h.shape[1], dtype=h.dtype)
    V = np.linalg.solve(gram, centred.T @ (y - middle_y)).T  # (1.25)
    return V, middle_y - V @ middle_h
    ### END SOLUTION


# %% [markdown]
# ## Put it together: the sunspots
#
# Runs once 1.2 and 1.8 are right. A random network that nobody trains reads the yearly sunspot
# numbers, and your `ridge` reads the network. It learns from 1700 to 1920 and forecasts each year
# from 1921 to 2008 from the years before. Persistence says: next year will be like this year.
# Change the gain and the width, and watch the error. Then ask yourself what you have just
# done to the test years; the last section of the chapter has an answer.

# %%
if __name__ == "__main__":
    if ready("dynamics.driven", "dynamics.ridge"):
        years, spots = datasets.sunspots()
        root = np.sqrt(spots)
        scaled = (root - root[:221].mean()) / root[:221].std()
        rng = np.random.default_rng(1)
        H, gain = 100, 0.8
        U, b = rng.uniform(-0.5, 0.5, (H, 1)), rng.uniform(-0.5, 0.5, H)
        W = rng.normal(0, gain / np.sqrt(H), (H, H))
        h = np.asarray(driven(scaled[:-1, None, None], np.zeros((1, H)), U, W, b))[:, 0]
        first, split = 20, 220  # states 20 ... 219 know the years up to 1919, and are told 1920
        V, c = map(np.asarray, ridge(h[first:split], scaled[first + 1 : split + 1, None], 1.0))
        read = (h[split:] @ V.T + c)[:, 0] * root[:221].std() + root[:221].mean()
        forecast = np.clip(read, 0, None) ** 2
        figures.style()
        figure, ax = plt.subplots(figsize=(8, 3))
        ax.plot(years[221:], spots[221:], color=figures.FOREGROUND, label="observed")
        ax.plot(years[221:], forecast, color=figures.PALETTE["blue"], label="one year ahead")
        for label, said in (("network", forecast), ("persistence", spots[220:-1])):
            error = np.sqrt(np.mean((said - spots[221:]) ** 2))
            print(f"{label:12} root mean squared error {error:.1f}")
        ax.set(xlabel="year", ylabel="sunspot number")
        ax.legend(ncols=2)
        figures.show(figure)

# %% [markdown]
# ## Exercise 1.9: ten thousand orbits at once
#
# One orbit is a loop that cannot be parallel. Many orbits are one loop over arrays, the one over
# time: a second loop, over the orbits, would be run three million times for the picture below, and
# the check refuses it. Give each orbit $n$ a gain of its own:
#
# $$
# h_n^{(t)} = \tanh\big(g_n W h_n^{(t-1)} + b\big). \tag{1.26}
# $$
#
# Use PyTorch operations only and make new tensors from the ones you are given
# (`h0.new_empty`, `torch.stack`), so that the code runs on any device and in any floating-point
# type. With $H = 1$ and $W = 1$ the gains are the $w$ of one unit, and ten thousand orbits draw
# its bifurcation diagram.
#
# From NumPy to PyTorch: `np.tanh`, `np.stack`, `np.einsum` and `@` keep their names, in `torch`;
# `np.concatenate` is `torch.cat`, `axis=` is `dim=`, `keepdims=` is `keepdim=`, and `a.copy()` is
# `a.clone()`.

# %%
import torch


# %% exercise="dynamics.orbits"
def orbits(h0, gain, W, b, T):
    """Follow many orbits at once, each with a gain of its own, in PyTorch.  Source: eq (1.26).

    h0 : (B, H), gain : (B,), W : (H, H), b : (H,), tensors of one device and dtype; T : int

    Returns h : (T, B, H), a tensor of that device and dtype.
    """
    ### BEGIN SOLUTION
    states, state = [], h0
    for _ in range(T):
        state = torch.tanh(gain[:, None] * (state @ W.T) + b)  # (1.26)
        states.append(state)
    return torch.stack(states)
    ### END SOLUTION


# %% [markdown]
# The diagram, by your `orbits`: ten thousand gains from $-3$ to $3$, 300 steps, the last 16 shown.
# What are the two branches for $w < -1$, and why does each gain above 1 show one of its two rest
# positions only?

# %%
if __name__ == "__main__":
    if ready("dynamics.orbits"):
        w = torch.linspace(-3, 3, 10_000, dtype=torch.float64)
        start = torch.full((len(w), 1), 0.3, dtype=torch.float64)
        one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        last = orbits(start, w, one, zero, 300)[-16:, :, 0]
        figures.style()
        figure, ax = plt.subplots(figsize=(6.4, 3.2))
        points = {"ms": 1.2, "color": figures.PALETTE["blue"], "rasterized": True}
        ax.plot(w[::5].numpy(), last[:, ::5].numpy().T, ".", **points)
        ax.set(xlabel="w", ylabel="h after 300 steps")
        figures.show(figure)

# %% [markdown]
# ## A start for question 1.10
#
# One unit, $h^{(t)} = \tanh(w h^{(t-1)} + x^{(t)})$, holds a bit: it begins at 0.9, and its input
# is noise. The next cell counts the runs of your `driven` that are still above 0 after 20 steps,
# and multiplies the slopes (1.10) along each run: what a gradient at the end would be at the
# beginning.

# %%
if __name__ == "__main__":
    if ready("dynamics.driven"):

        def hold(w, noise, steps=20, runs=1000):
            """Share of runs that still hold the bit; and (runs,), the slope through all steps."""
            x = np.random.default_rng(1).normal(0, noise, (steps, runs, 1))
            one, zero = np.ones((1, 1)), np.zeros(1)
            h = np.asarray(driven(x, np.full((runs, 1), 0.9), one, w * one, zero))[..., 0]
            return (h[-1] > 0).mean(), np.prod(w * (1 - h * h), axis=0)

        print("  w   held   median slope   mean slope")
        for w in (0.9, 1.2, 1.5, 2.0, 3.0, 6.0):
            held, slope = hold(w, noise=0.5)
            print(f"{w:3.1f}  {held:5.1%}  {np.median(slope):13.0e}  {slope.mean():11.0e}")

# %% [markdown] question="dynamics.explain"
# ## Question 1.10: when is a saturated unit a memory, and what does it cost?
#
# One unit, $h^{(t)} = \tanh\big(w h^{(t-1)} + u x^{(t)}\big)$ with $w = 2$ and $u = 1$. It rests
# at $h^* = 0.9575$, or at $-0.9575$, and so keeps one bit. A colleague says: "Then I take $w = 6$:
# the more saturated, the better the memory." In at most 400 words:
#
# 1. When is the unit a memory at all? Give the condition on $w$, and for $w = 2$ the input that a
#    constant signal must exceed to flip it, as a number.
# 2. What gets better with $w = 6$, and what worse? Give the slope of the map at the rest
#    position for $w = 2$, and say what has become of a gradient after 20 steps. What does that
#    mean for learning *when* to store a bit?
# 3. A contracting unit ($|w| < 1$) also has a memory of its inputs. What can it do that the
#    saturated unit cannot, and the other way round?
# 4. *Measure.* Bengio, Simard and Frasconi (1994, "Learning long-term dependencies with gradient
#    descent is difficult") hold that a state which keeps a bit safe from noise must let gradients
#    vanish. Is there a $w$ that holds the bit in 95 % of the runs of the cell above, with a median
#    slope above $10^{-6}$? Change the noise, or the steps. The mean slope is far larger than the
#    median: which runs make it so, and could one learn from them?
#
# Name the equations you use.
#
# Plan half an hour for part 4. A good answer says what you expected before you ran it, what you
# changed, and what came out, in a few numbers; explains it by an equation; and says what your
# experiment can't show.
#
# ### BEGIN SOLUTION
# 1. There must be two attracting fixed points for the same input. By (1.11) that needs $w > 1$ and
# a constant drive below $b_c(w) = \sqrt{w(w-1)} - \operatorname{artanh}\sqrt{1 - 1/w}$. For $w = 2$
# it is $1.4142 - 0.8814 = 0.533$ (1.14): weaker signals never flip the bit, however long; stronger
# ones do, if they last.
# 2. With $w = 6$ the threshold is 3.93: the bit survives more noise, and errors are corrected
# faster. But by (1.10) the slope at rest is $w (1 - h^{*2})$: for $w = 2$ it is
# $2 (1 - 0.9575^2) = 0.166$, and after 20 steps a gradient has shrunk to $0.166^{20}$, about
# $3 \cdot 10^{-16}$. For $w = 6$ it is 0.00015 a step. An attracting rest position has
# slope below 1: what makes the bit robust makes the gradient vanish, (1.7). So
# whether an input many steps ago should have flipped the bit cannot be learned from its gradient.
# Writing also becomes harder: inputs must be larger.
# 3. The contracting unit keeps a fading, graded trace of every recent input, from which it can be
# read back (1.23), but for some steps only, (1.22). The saturated unit keeps one bit, for any
# time, and forgets the size and time of what set it.
# 4. With noise 0.5 there is none. $w = 1.2$ holds 49.1 % of the bits, no better than a coin, with a
# median slope of $6 \cdot 10^{-5}$; $w = 1.5$ holds 69.9 %, with $3 \cdot 10^{-7}$; $w = 2$ holds
# 97.9 %, with $3 \cdot 10^{-15}$. With noise 0.3 $w = 1.5$ holds 97.5 %, with $4 \cdot 10^{-8}$.
# With noise 0.1 the answer is yes: $w = 1.2$ holds every bit, with $2 \cdot 10^{-4}$. But over 50
# steps, where it still holds 99.8 %, that has become $5 \cdot 10^{-9}$: a bit can be held for any
# time, while the slope is a power. Where the bit is safe, $1 - h^2$ is small at each step, (1.10).
# For $w = 1.5$ the mean slope is 0.21, made by the few runs that pass near 0, where the slope is
# $w > 1$: for runs that lost the bit it is 0.57, for those that never left their side 0.0005. So
# the gradient speaks of runs that are about to fail, loudly and rarely, and is silent about those
# that hold. Not shown: several units, gates, noise of another kind; and the paper's theorem is
# about attractors, not about every memory.
#
# Three points. 1 for parts 1 and 3: two attracting fixed points with 0.533, and fading and graded
# against permanent and binary; 1 for part 2, with the slope 0.166 and its power; 1 for part 4:
# "none", with numbers of the student's own, the trade-off explained by (1.10), and the runs near 0
# named. Any change of the experiment counts; a table without an explanation gets half.
# ### END SOLUTION

# %% [markdown]
# ## Where you stand
#
# Before you hand in: restart the kernel and run all cells, so that no cell uses what an older
# version of another has left behind.

# %%
if __name__ == "__main__":
    progress("dynamics")
