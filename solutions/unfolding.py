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
# # 2. Unfolding
#
# You will write one function that owns time, `unfold`, and everything around it: the step that it
# repeats, what sharing the parameters means for a derivative, batches of unequal length, and three
# ways for a sequence to end. Equation numbers such as (2.3) are those of chapter 2 of the book,
# "Unfolding": keep it open beside this notebook. Plan about six hours. The first cell
# finds the course's toolkit, or says how to get it.
#
# How to work:
#
# - Replace the lines under `YOUR CODE HERE`, run the cell, then run the locked cell below it.
# - `hint("unfolding.unfold", 1)` names the equation, level 2 the term, level 3 works a small case.
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
# | properties | one step, a longer sequence, the batch in another order, padding, float32 |
#
# Axes come in one order everywhere: time, batch, feature. In the equations $t = 1 \dots \tau$;
# in the code the same step has index `t - 1`, and `T` is $\tau$, or the longest $\tau$ of a batch.
#
# | letter | shape | meaning |
# |---|---|---|
# | `x` | `(B, D)`, `(T, B, D)` | input of one step, of all steps |
# | `h`, `h0` | `(B, H)` | state, initial state |
# | `U`, `W`, `b` | `(H, D)`, `(H, H)`, `(H,)` | input, recurrent weights, bias |
# | `V`, `c` | `(K, H)`, `(K,)` | output weights, bias |
# | `lengths` | `(B,)` | $\tau$ of each sequence, integers |
# | `o`, `s`, `q` | see the exercise | outputs before the softmax, halting scores, length scores |
# | `y` | `(T, B)` | symbols, integers in `0 ... K-1` |
# | `u` | see the exercise | uniform random numbers in [0, 1), drawn for you |

# %%
import matplotlib.pyplot as plt
import numpy as np

from course import check, figures, graphs, hint, progress, ready

# %% [markdown]
# ## Exercise 2.1: one step
#
# A step takes the parameters, the state, and one input. It gives the next state and an output:
#
# $$
# h^{(t)} = \tanh\!\big(b + W h^{(t-1)} + U x^{(t)}\big), \qquad o^{(t)} = c + V h^{(t)}. \tag{2.3}
# $$
#
# The equation is about column vectors. Your arrays hold one sequence in each row, so $W h$ becomes
# `h @ W.T`. The step knows nothing of time: no loop, no index.


# %% exercise="unfolding.step"
def step(params, state, x):
    """One step of the network.  Source: eq (2.3).

    params : a tuple of U (H, D), W (H, H), b (H,), V (K, H), c (K,);
    state : (B, H), h(t-1); x : (B, D), x(t)

    Returns state : (B, H), h(t), and o : (B, K), o(t).
    """
    ### BEGIN SOLUTION
    U, W, b, V, c = params
    h = np.tanh(b + state @ W.T + x @ U.T)  # (2.3)
    return h, h @ V.T + c
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.2: unfold
#
# One function owns time. It hands the state from step to step and collects what each step gives:
#
# $$
# h^{(3)} = f\big(f\big(f\big(h^{(0)}, x^{(1)}\big), x^{(2)}\big), x^{(3)}\big) \tag{2.2}
# $$
#
# It must not look inside: the state may be an array or a tuple of arrays, the outputs may be
# anything. That is why it works for every network in this course, in NumPy and in PyTorch. The
# check calls it with steps of its own.


# %% exercise="unfolding.unfold"
def unfold(step, params, state, xs):
    """Run a step over a sequence.  Source: eqs (2.1)-(2.2).

    step : a function, step(params, state, x) -> (state, y); params, state : whatever it takes;
    xs : the inputs in order, one entry for each step

    Returns state : the state after the last step, as the step made it, and ys : a list of what
    each step gave beside it.
    """
    ### BEGIN SOLUTION
    ys = []
    for x in xs:
        state, y = step(params, state, x)  # (2.1)
        ys.append(y)
    return state, ys
    ### END SOLUTION


# %% [markdown]
# ## See what you have built
#
# The next cell runs your `unfold` over your `step` on arrays that remember what they were computed
# from, and draws what it finds: folded on the left, unfolded on the right. A black square is a
# delay of one step; a letter beside an arrow is a weight that multiplies on the way. Change `step`
# and run the cell again: let the output read the previous state, or feed the output back. The
# picture follows.

# %%
if __name__ == "__main__":
    if ready("unfolding.step", "unfolding.unfold"):
        rng = np.random.default_rng(0)
        T, B, D, H, K = 3, 2, 3, 4, 5
        shapes = {"U": (H, D), "W": (H, H), "b": (H,), "V": (K, H), "c": (K,)}
        graph = graphs.Graph()
        params = graph.parameters(**{n: rng.normal(size=s) for n, s in shapes.items()})
        xs = graph.inputs("x", rng.normal(size=(T, B, D)))
        unfold(graph.watch(step, "h", "o"), params, graph.start("h", np.zeros((B, H))), xs)
        figures.show(graphs.draw(graph))

# %% [markdown]
# ## Exercise 2.3: the concatenated form
#
# Many texts write one matrix for both products. With $W_a = [\,W \; U\,]$, side by side, and
# $z = [\,h^{(t-1)};\, x^{(t)}\,]$, one above the other,
#
# $$
# b + W h^{(t-1)} + U x^{(t)} = b + W_a \begin{bmatrix} h^{(t-1)} \\ x^{(t)} \end{bmatrix} .
# \tag{2.4}
# $$
#
# In rows, $z$ becomes one array with $h$ and $x$ side by side.


# %% exercise="unfolding.concatenated"
def concatenated(U, W, b, h, x):
    """The pre-activation of a step with one matrix.  Source: eq (2.4).

    U : (H, D), W : (H, H), b : (H,); h : (B, H), h(t-1); x : (B, D), x(t)

    Returns Wa : (H, H + D); z : (B, H + D), one row for each sequence, in the order of Wa's
    columns; a : (B, H), the pre-activation.
    """
    ### BEGIN SOLUTION
    Wa = np.concatenate([W, U], axis=1)
    z = np.concatenate([h, x], axis=1)
    return Wa, z, z @ Wa.T + b  # (2.4)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.4: count the parameters
#
# The network of (2.3) has
#
# $$
# n_{\text{RNN}} = H (D + H + 1) + K (H + 1) \tag{2.5}
# $$
#
# numbers to learn, however long the sequence. A network with one hidden layer that reads a window
# of $\tau$ inputs at once has
#
# $$
# n_{\text{MLP}}(\tau) = H (\tau D + 1) + K (H + 1). \tag{2.6}
# $$
#
# Count both, and find the shortest window for which the second has *more* than the first.


# %% exercise="unfolding.count"
def count(D, H, K, tau):
    """Parameters with and without sharing over time.  Source: eqs (2.5)-(2.6).

    D, H, K : features, units and classes; tau : steps in the window

    Returns rnn, mlp : the two counts, and longer : the smallest number of steps for which the
    window network has more parameters than the recurrent one.
    """
    ### BEGIN SOLUTION
    rnn = H * (D + H + 1) + K * (H + 1)  # (2.5)
    mlp = H * (tau * D + 1) + K * (H + 1)  # (2.6)
    return rnn, mlp, 1 + H // D + 1  # tau D > D + H
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.5: one matrix, many copies
#
# Give each step its own copy $W^{(t)}$ of the recurrent matrix, all equal. Move the shared matrix
# in the direction $\dot W$, and every copy moves with it. So
#
# $$
# \frac{\mathrm d h^{(\tau)}}{\mathrm d W}[\dot W] =
# \sum_{s=1}^{\tau} \frac{\partial h^{(\tau)}}{\partial W^{(s)}}[\dot W] . \tag{2.7}
# $$
#
# A term of this sum can be computed forward in time. Let $\delta_s^{(t)}$ be the change of
# $h^{(t)}$ when only copy $s$ moves. Then $\delta_s^{(0)} = 0$ and
#
# $$
# \delta_s^{(t)} = \operatorname{diag}\!\Big(1 - \big(h^{(t)}\big)^2\Big)
# \Big( W \delta_s^{(t-1)} + \mathbb 1_{s=t}\, \dot W h^{(t-1)} \Big). \tag{2.8}
# $$
#
# Return all $\tau$ terms. Their sum is the derivative for the shared matrix.


# %% exercise="unfolding.copies"
def copies(x, h0, U, W, b, dW):
    """What each step's copy of W does to the last state.  Source: eqs (2.7)-(2.8).

    x : (T, B, D); h0 : (B, H); U : (H, D); W : (H, H); b : (H,);
    dW : (H, H), the direction in which a copy moves

    Returns parts : (T, B, H); parts[s - 1] is the derivative of h(T) when only the copy of step s
    moves.
    """
    ### BEGIN SOLUTION
    h, parts = h0, np.zeros((len(x), *h0.shape))
    for t in range(len(x)):
        before, h = h, np.tanh(b + h @ W.T + x[t] @ U.T)
        moved = parts @ W.T
        moved[t] += before @ dW.T  # the copy of this step alone
        parts = (1 - h * h) * moved  # (2.8)
    return parts
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.6: a batch of unequal lengths
#
# Sequences of unequal length share one array; the shorter ones are padded at the end. What stands
# in the padding must not matter. Let $m^{(t)} = 1$ for $t \le \tau$ and 0 after, and hold the state
# where it is 0:
#
# $$
# h^{(t)} = m^{(t)} f\big(h^{(t-1)}, x^{(t)}\big) + \big(1 - m^{(t)}\big)\, h^{(t-1)} . \tag{2.9}
# $$
#
# Then the last entry in time is each sequence's own last state. Beware: the padding may hold
# anything, even NaN, and 0 times NaN is NaN.


# %% exercise="unfolding.masked"
def masked(x, lengths, h0, U, W, b):
    """States of a padded batch, each sequence as if it were alone.  Source: eq (2.9).

    x : (T, B, D), padded at the end with anything; lengths : (B,), integers from 0 to T;
    h0 : (B, H); U : (H, D); W : (H, H); b : (H,)

    Returns h : (T, B, H); from its last step on, a sequence's state stays what it is.
    """
    ### BEGIN SOLUTION
    states, state = [], h0
    for t in range(len(x)):
        inside = (t < lengths)[:, None]
        read = np.where(inside, x[t], 0.0)  # NaN in the padding goes no further
        new = np.tanh(b + state @ W.T + read @ U.T)
        state = np.where(inside, new, state)  # (2.9)
        states.append(state)
    return np.stack(states)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.7: packing
#
# Padding is computed and thrown away. Packing leaves it out. Sort the sequences from long to short;
# then the first
#
# $$
# N^{(t)} = \#\{\, i : \tau_i \ge t \,\}, \qquad \sum_t N^{(t)} = \sum_i \tau_i \tag{2.10}
# $$
#
# of them are alive at step $t$. The packed array holds these rows, step after step, with no row of
# padding. It is what `torch.nn.utils.rnn.pack_padded_sequence` makes.


# %% exercise="unfolding.pack"
def pack(x, lengths):
    """The rows of a padded batch that are not padding, step by step.  Source: eq (2.10).

    x : (T, B, D), padded at the end; lengths : (B,), integers from 1 to T, in descending order

    Returns data : (N, D), N the sum of all lengths: the rows alive at step 1, then those of
    step 2, and so on; counts : (T,), how many are alive at each step.
    """
    ### BEGIN SOLUTION
    alive = np.arange(len(x))[:, None] < lengths
    return x[alive], alive.sum(axis=1)  # (2.10)
    ### END SOLUTION


# %% [markdown]
# ## Given: the logarithm of a softmax
#
# The next four exercises use it. Chapter 3 asks you to write it yourself.

# %%


def log_softmax(o):
    """Logarithm of the softmax over the last axis, safe for outputs of any size.

    o : (..., K) -> (..., K)
    """
    o = o - o.max(axis=-1, keepdims=True)
    return o - np.log(np.exp(o).sum(axis=-1, keepdims=True))


# %% [markdown]
# ## Exercise 2.8: the end as a symbol
#
# From here on the network predicts a sequence $x^{(1)}, \dots, x^{(\tau)}$ of symbols, and $\tau$
# is random too. It reads a start signal, then the symbols one after the other; $o^{(t)}$ is its
# output after it has read $t$ of them, with $\hat y^{(t)} = \operatorname{softmax} o^{(t)}$. The
# first way to end: one class more, number $K$, that means *end*.
#
# $$
# \log P(x, \tau) = \sum_{t=1}^{\tau} \log \hat y^{(t-1)}_{x^{(t)}} + \log \hat y^{(\tau)}_{K}
# \tag{2.11}
# $$
#
# The sum has $\tau + 1$ terms, and the last of them stands where a shorter sequence has its
# padding.


# %% exercise="unfolding.log_end"
def log_end(o, y, lengths):
    """Log-likelihood with an end symbol.  Source: eq (2.11).

    o : (T + 1, B, K + 1), o[t] is the output after t symbols, class K means the end, of any size;
    y : (T, B), integers in 0 ... K-1, y[t - 1] is x(t), padded with 0; lengths : (B,), from 0 to T

    Returns log_p : (B,), one number for each sequence.
    """
    ### BEGIN SOLUTION
    T, end = len(y), o.shape[-1] - 1
    t = np.arange(T + 1)[:, None]
    target = np.where(t < lengths, np.pad(y, ((0, 1), (0, 0))), end)
    each = np.take_along_axis(log_softmax(o), target[..., None], axis=-1)[..., 0]
    return np.where(t <= lengths, each, 0.0).sum(axis=0)  # (2.11)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.9: a decision at every step
#
# The second way: an extra output $s^{(t)}$ decides after each symbol whether it was the last. It
# halts with probability $e^{(t)} = \sigma(s^{(t)})$, where $\sigma(s) = 1 / (1 + \exp(-s))$.
#
# $$
# \log P(x, \tau) = \sum_{t=1}^{\tau} \log \hat y^{(t-1)}_{x^{(t)}} +
# \sum_{t=1}^{\tau-1} \log\!\big(1 - e^{(t)}\big) + \log e^{(\tau)} \tag{2.12}
# $$
#
# Here the symbols have their $K$ classes and no more. `np.log(1 - e)` fails where `e` is rounded to
# 1: write both logarithms as functions of `s`; `np.logaddexp` is safe.


# %% exercise="unfolding.log_halt"
def log_halt(o, s, y, lengths):
    """Log-likelihood with a halting decision after each symbol.  Source: eq (2.12).

    o : (T, B, K), o[t] is the output after t symbols, so that o[t - 1] predicts x(t);
    s : (T, B), s[t - 1] is s(t), of any size; y : (T, B), integers in 0 ... K-1, y[t - 1] is x(t),
    padded with 0; lengths : (B,), from 1 to T

    Returns log_p : (B,).
    """
    ### BEGIN SOLUTION
    t = np.arange(1, len(y) + 1)[:, None]
    log_p = np.take_along_axis(log_softmax(o), y[..., None], axis=-1)[..., 0]
    symbols = np.where(t <= lengths, log_p, 0.0)
    goes_on = np.where(t < lengths, -np.logaddexp(0, s), 0.0)  # log(1 - e)
    halts = np.where(t == lengths, -np.logaddexp(0, -s), 0.0)  # log e
    return (symbols + goes_on + halts).sum(axis=0)  # (2.12)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.10: the length first
#
# The third way: draw $\tau$ before anything else, then a sequence of that length. Scores
# $q_1, \dots, q_M$ give $P(\tau) = \operatorname{softmax}(q)_\tau$; the network is told how many
# symbols are still to come.
#
# $$
# \log P(x, \tau) = \log P(\tau) + \sum_{t=1}^{\tau} \log \hat y^{(t-1)}_{x^{(t)}} \tag{2.15}
# $$


# %% exercise="unfolding.log_length"
def log_length(q, o, y, lengths):
    """Log-likelihood with the length drawn first.  Source: eq (2.15).

    q : (B, M), scores of tau = 1 ... M; o : (T, B, K), o[t - 1] predicts x(t);
    y : (T, B), integers in 0 ... K-1, padded with 0; lengths : (B,), from 1 to T

    Returns log_p : (B,).
    """
    ### BEGIN SOLUTION
    t = np.arange(1, len(y) + 1)[:, None]
    picked = np.take_along_axis(log_softmax(o), y[..., None], axis=-1)[..., 0]
    of_length = log_softmax(q)[np.arange(len(q)), lengths - 1]
    return of_length + np.where(t <= lengths, picked, 0.0).sum(axis=0)  # (2.15)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.11: draw a symbol
#
# To draw a class with probabilities $p_0, p_1, \dots$ from one uniform number $u \in [0, 1)$, lay
# the probabilities end to end and see where $u$ falls:
#
# $$
# k = \#\Big\{\, i : \textstyle\sum_{j \le i} p_j \le u \,\Big\} . \tag{2.16}
# $$
#
# All random numbers come as an argument, so your sampler is a plain function: the same `u` gives
# the same symbol, and it can be checked. Beware: a sum of rounded $p_j$ may end a little below 1,
# and $u$ may lie above it.


# %% exercise="unfolding.pick"
def pick(o, u):
    """The class that a uniform number stands for.  Source: eq (2.16).

    o : (..., K), outputs before the softmax; u : (...), numbers in [0, 1)

    Returns k : (...), integers in 0 ... K-1.
    """
    ### BEGIN SOLUTION
    upto = np.cumsum(np.exp(log_softmax(o)), axis=-1)
    k = (upto <= np.asarray(u)[..., None]).sum(axis=-1)  # (2.16)
    return np.minimum(k, o.shape[-1] - 1)  # the sum of all may be rounded to less than 1
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.12: sample until the end symbol
#
# The three samplers are about *one* sequence: a state is `(H,)`, an input `(D,)`. They get the step
# as an argument and use your `pick`. The network reads zeros first, then each symbol that you have
# drawn, as a one-hot vector of `K` entries.
#
# `u[0]` decides the first symbol, `u[1]` the second. Stop at the end symbol, class `K`; it is not
# returned. If it has not come when all of `u` is used, return what there is.


# %% exercise="unfolding.sample_end"
def sample_end(step, params, state, K, u):
    """Draw a sequence that ends with an end symbol.  Source: eqs (2.11), (2.16).

    step : step(params, state, x) -> (state, o), with x : (K,) and o : (K + 1,); K : symbols;
    u : (N,), one number for each draw

    Returns y : the symbols drawn, a list of at most N integers.
    """
    ### BEGIN SOLUTION
    y, x = [], np.zeros(K)
    for number in u:
        state, o = step(params, state, x)
        symbol = int(pick(o, number))
        if symbol == K:
            break
        y.append(symbol)
        x = np.eye(K)[symbol]
    return y
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.13: sample with a halting decision
#
# Now a step gives two things, the scores of the next symbol and the halting score $s^{(t)}$ of the
# symbol that it has just read. `u[0, 0]` draws the first symbol; the network reads it; the sequence
# ends if `u[0, 1]` is below $e^{(1)} = \sigma(s^{(1)})$. Then comes `u[1, 0]`. The halting score
# after the start signal is not used: every sequence has at least one symbol.


# %% exercise="unfolding.sample_halt"
def sample_halt(step, params, state, K, u):
    """Draw a sequence that a halting decision ends.  Source: eqs (2.12), (2.16).

    step : step(params, state, x) -> (state, (o, s)), with x : (K,), o : (K,) and s one number;
    K : symbols; u : (N, 2), for each symbol one number to draw it and one to halt

    Returns y : the symbols drawn, a list of at most N integers.
    """
    ### BEGIN SOLUTION
    state, (o, _) = step(params, state, np.zeros(K))
    y = []
    for to_draw, to_halt in u:
        y.append(int(pick(o, to_draw)))
        state, (o, s) = step(params, state, np.eye(K)[y[-1]])
        if to_halt < 1 / (1 + np.exp(-s)):
            break
    return y
    ### END SOLUTION


# %% [markdown]
# ## Exercise 2.14: sample the length first
#
# `u[0]` draws $\tau$ from the scores `q`, then `u[1]`, `u[2]`, … draw the symbols. The input has
# one entry more than there are symbols: how many are still to come. So the first input is zeros and
# $\tau$, the second is the first symbol's one-hot vector and $\tau - 1$.


# %% exercise="unfolding.sample_length"
def sample_length(step, params, state, q, K, u):
    """Draw a length, then a sequence of that length.  Source: eqs (2.15), (2.16).

    step : step(params, state, x) -> (state, o), with x : (K + 1,) and o : (K,);
    q : (M,), scores of tau = 1 ... M; K : symbols; u : (M + 1,)

    Returns y : the symbols drawn, a list of tau integers.
    """
    ### BEGIN SOLUTION
    tau = int(pick(q, u[0])) + 1
    y, symbol = [], np.zeros(K)
    for t in range(tau):
        state, o = step(params, state, np.append(symbol, tau - t))
        y.append(int(pick(o, u[t + 1])))
        symbol = np.eye(K)[y[-1]]
    return y
    ### END SOLUTION


# %% [markdown]
# ## Put it together
#
# Brackets: open one, then open another with probability $p$ or close one with $1 - p$, until all
# are closed. Below stand three exact networks for this law, one for each ending; their state is the
# number of open brackets. Your samplers draw from each, and your log-likelihoods judge what the
# others drew. By (2.18) all three curves must lie on the law, and the mean of $-\log P$ must be the
# entropy, whoever judges, up to chance: a thousand strings have a standard error, which is printed.
# A string that is not over after 40 symbols is cut. It is counted, and not judged: what would two
# of them do to the mean?

# %%
from math import comb, log


def read(state, x):
    """How many brackets are open, and how many symbols were read, after one more."""
    depth, n = state
    return depth + int(x[0] - x[1]), n + int(x[0] + x[1])


def bracket_scores(n, p):
    """Scores of "(" and ")" after n symbols: the first one opens."""
    return np.array([0.0, -99.0]) if n == 0 else np.log([p, 1 - p])


def step_end(p, state, x):
    """An exact network with an end symbol: it ends when nothing is open."""
    depth, n = state = read(state, x)
    over = n > 0 and depth == 0
    return state, np.append(bracket_scores(n, p), 99.0 if over else -99.0)


def step_halt(p, state, x):
    """An exact network with a halting decision."""
    depth, n = state = read(state, x)
    return state, (bracket_scores(n, p), 99.0 if depth == 0 else -99.0)


def ways(depth, steps):
    """In how many ways the last of so many open brackets closes at exactly that step."""
    if depth < 1 or steps < depth or (steps - depth) % 2:
        return 0
    return depth * comb(steps, (steps + depth) // 2) // steps


def step_length(p, state, x):
    """An exact network that is told how many symbols are still to come."""
    depth, n = state = read(state, x[:2])
    left = int(x[2]) - 1  # after this symbol
    up, down = ways(depth + 1, left), ways(depth - 1, left) + (depth == 1 and left == 0)
    if n == 0:
        up, down = 1, 0
    return state, np.log(np.maximum([up, down], 1e-40))


# %%
if __name__ == "__main__":
    if ready(*(f"unfolding.sample_{how}" for how in ("end", "halt", "length"))):
        rng, p, K, longest = np.random.default_rng(2), 0.3, 2, 40
        lengths = np.arange(2, longest + 1, 2)
        law = [ways(1, t - 1) * p ** (t // 2 - 1) * (1 - p) ** (t // 2) for t in lengths]
        q = np.full(longest, -99.0)
        q[lengths - 1] = np.log(law)
        start = (0, 0)
        drawn = {
            "end symbol": [
                sample_end(step_end, p, start, K, rng.random(longest)) for _ in range(1000)
            ],
            "halting": [
                sample_halt(step_halt, p, start, K, rng.random((longest, 2))) for _ in range(1000)
            ],
            "length first": [
                sample_length(step_length, p, start, q, K, rng.random(longest + 1))
                for _ in range(1000)
            ],
        }
        for name, some in drawn.items():
            print(f"{name:>13}:", "  ".join("".join("()"[k] for k in y) for y in some[:6]))

        figures.style()
        figure, ax = plt.subplots()
        ax.plot(lengths, law, "o", mfc="none", color=figures.FOREGROUND, label="the law (2.18)")
        for name, some in drawn.items():
            share = np.bincount([len(y) for y in some], minlength=longest + 1) / len(some)
            ax.plot(lengths, share[lengths], lw=1.2, label=name)
        ax.set(xlabel="length τ", ylabel="probability", xlim=(0, 20))
        ax.legend()
        figures.show(figure)

# %%
if __name__ == "__main__":
    if ready("unfolding.unfold", *(f"unfolding.log_{how}" for how in ("end", "halt", "length"))):

        def one(y):
            """A sequence as arrays (T, 1), and its inputs, the start signal first."""
            inputs = np.concatenate([np.zeros((1, K)), np.eye(K)[y]])
            return np.array(y)[:, None], np.array([len(y)]), inputs

        def judged_end(y):
            """-log P by the network with an end symbol."""
            y, tau, inputs = one(y)
            _, o = unfold(step_end, p, start, inputs)
            return -log_end(np.stack(o)[:, None], y, tau)[0]

        def judged_halt(y):
            """-log P by the network with a halting decision."""
            y, tau, inputs = one(y)
            _, outputs = unfold(step_halt, p, start, inputs)
            o, s = (np.stack(part) for part in zip(*outputs, strict=True))
            return -log_halt(o[:-1, None], s[1:, None], y, tau)[0]

        def judged_length(y):
            """-log P by the network that draws the length first."""
            y, tau, inputs = one(y)
            to_come = np.arange(tau[0], -1, -1.0)[:, None]
            _, o = unfold(step_length, p, start, np.concatenate([inputs, to_come], 1)[:-1])
            return -log_length(q[None], np.stack(o)[:, None], y, tau)[0]

        if ready(*(f"unfolding.sample_{how}" for how in ("end", "halt", "length")), quiet=True):
            entropy = -sum(P * log(P / ways(1, t - 1)) for P, t in zip(law, lengths, strict=True))
            print(f"entropy {entropy:.3f} nats; mean of -log P, judged by each of the three:")
            for name, some in drawn.items():
                whole = [y for y in some if 2 * sum(y) == len(y)]  # as many closed as opened
                judges = judged_end, judged_halt, judged_length
                said = np.array([[judge(y) for y in whole] for judge in judges])
                means = "  ".join(f"{value:.3f}" for value in said.mean(1))
                error = said[0].std() / np.sqrt(len(whole))
                cut = len(some) - len(whole)
                print(f"  drawn by {name:>12}: {means}  ± {error:.3f}, {cut} cut")

# %% [markdown]
# ## Exercise 2.15: the same in PyTorch
#
# Exercise 2.6 in PyTorch operations, so that it runs on any device, in any floating-point type, and
# so that autograd can walk back through it. `torch.nn.RNN` on a packed sequence must give the same
# states and the same gradients; the check compares with it. Make new tensors from the ones you are
# given, and use no `.item()` or `.tolist()`: a GPU would have to wait for the CPU.

# %%
import torch


# %% exercise="unfolding.torch_masked"
def torch_masked(x, lengths, h0, U, W, b):
    """States of a padded batch, in PyTorch.  Source: eq (2.9).

    x : (T, B, D), padded at the end with zeros; lengths : (B,), integers from 1 to T;
    h0 : (B, H); U : (H, D); W : (H, H); b : (H,); tensors on one device

    Returns h : (T, B, H), a tensor; from its last step on, a sequence's state stays what it is.
    """
    ### BEGIN SOLUTION
    driven = x @ U.T + b
    states, state = [], h0
    for t in range(len(x)):
        inside = (lengths > t)[:, None]
        state = torch.where(inside, torch.tanh(driven[t] + state @ W.T), state)  # (2.9)
        states.append(state)
    return torch.stack(states)
    ### END SOLUTION


# %% [markdown]
# `pack_padded_sequence` does what your `pack` does. The next cell shows both.

# %%
if __name__ == "__main__":
    if ready("unfolding.pack", "unfolding.torch_masked"):
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

        torch.manual_seed(0)
        T, B, D, H = 7, 3, 2, 4
        lengths = torch.tensor([7, 4, 1])
        rnn = torch.nn.RNN(D, H, dtype=torch.float64)
        x = torch.randn(T, B, D, dtype=torch.float64)
        packed = pack_padded_sequence(x, lengths)
        data, counts = pack(x.numpy(), lengths.numpy())
        print("data equal:  ", np.array_equal(data, packed.data.numpy()))
        print("counts equal:", np.array_equal(counts, packed.batch_sizes.numpy()))

        with torch.no_grad():
            packed_h, last = rnn(packed)
            h_packed, _ = pad_packed_sequence(packed_h)  # zeros after the end
            U, W, b = rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0 + rnn.bias_hh_l0
            h = torch_masked(x, lengths, x.new_zeros(B, H), U, W, b)
        inside = torch.arange(T)[:, None] < lengths
        print("states, inside the sequences:", float((h - h_packed)[inside].abs().max()))
        print("last states:                 ", float((h[-1] - last[0]).abs().max()))
        print(f"rows computed: {T * B} padded, {len(data)} packed")

# %% [markdown]
# ## A start for question 2.16
#
# What must be known to say that a sequence ends *here*? The next cell draws bracket strings, fits
# three halting decisions to a thousand short ones ($p = 0.3$), and has your `log_halt` judge the
# decisions alone, on new strings: short ones, and longer ones ($p = 0.45$) such as were never seen.
# The three know nothing; how many symbols there were; or how many brackets are open.

# %%
if __name__ == "__main__":
    if ready("unfolding.sample_halt", "unfolding.log_halt"):

        def strings(p, seed, longest=200):
            """About a thousand balanced strings."""
            rng = np.random.default_rng(seed)
            u = rng.random((1000, longest, 2))
            drawn = [sample_halt(step_halt, p, (0, 0), 2, each) for each in u]
            return [y for y in drawn if 2 * sum(y) == len(y)]  # the rest was cut

        def halting(decide, y):
            """-log P of the decisions along a string: no, no, ..., yes."""
            s = decide(np.cumsum(1 - 2 * np.array(y)))[:, None]
            zero = np.zeros((len(y), 1))
            return -log_halt(zero[..., None], s, zero.astype(int), np.array([len(y)]))[0]

        short = strings(0.3, seed=0)
        taus = np.array([len(y) for y in short])
        n = np.arange(1, 201)[:, None]
        hazard = ((taus == n).sum(1) + 0.5) / ((taus >= n).sum(1) + 1)  # of those that got so far
        knows = {  # open brackets after each symbol -> the score s of halting there
            "nothing": lambda opened: np.full(len(opened), -np.log(taus.mean() - 1)),
            "the count": lambda opened: np.log(hazard / (1 - hazard))[: len(opened)],
            "what is open": lambda opened: np.where(opened == 0, 6.0, -6.0),
        }
        for p in (0.3, 0.45):
            new = strings(p, seed=1)
            print(f"p = {p}: mean length {np.mean([len(y) for y in new]):.1f}; nats for the end:")
            for name, decide in knows.items():
                print(f"  knows {name:12}: {np.mean([halting(decide, y) for y in new]):.3f}")

# %% [markdown] question="unfolding.explain"
# ## Question 2.16: how should it end?
#
# You are to build a generator for three kinds of sequence:
#
# (a) sentences, as words;
# (b) pen strokes of a signature: at each step a displacement $(\Delta x, \Delta y)$, two real
# numbers;
# (c) poems of exactly 14 lines, one line at each step, where the first line should already be
# written with the last in view.
#
# A colleague proposes the same for all three: "halt with a constant probability $e$ after each
# step, tuned so that the mean length is right."
#
# In at most 400 words:
#
# 1. Which of the three endings of this chapter do you choose for (a), (b) and (c), and why?
# 2. Which length law does the colleague's proposal give, as a formula? With mean 14, how probable
#    is a sequence of exactly 14 steps?
# 3. Your network with an end symbol has to be turned into one with a halting decision, without
#    training it again. How? Say which sequences it cannot draw any more.
# 4. *Measure.* Newman, Hewitt, Liang and Manning (2020, "The EOS decision and length
#    extrapolation") find that networks trained to end their sequences learn *where* they are
#    instead of what is needed, and fail on longer ones. Which of the three decisions of the cell
#    above would look best in an experiment with short strings only, and which is right? Judge the
#    strings that are longer than any that was fitted by themselves. What would you have to add to
#    "knows the count" so that it does less harm there, and why can't that make it right?
#
# Name the equations you use.
#
# Plan half an hour for part 4. A good answer says what you expected before you ran it, what you
# changed, and what came out, in a few numbers; explains it by an equation; and says what your
# experiment can't show.
#
# ### BEGIN SOLUTION
# 1. (a) An end symbol (2.11): words are symbols already, one class more costs $H + 1$ numbers, and
# whether a sentence is over depends on what was said. (b) A halting decision (2.12): there is no
# class to add to two real numbers; the decision is an output of its own. (c) The length first
# (2.15): here $\tau$ is known, $P(14) = 1$, and the countdown tells each step what is still to
# come. Both others could learn to count to 14, but nothing tells the first line where it stands.
# 2. With constant $e$, (2.14): $P(\tau) = e (1 - e)^{\tau - 1}$, geometric, with mean $1/e$. For
# mean 14, $e = 1/14$ and $P(14) = (1/14)(13/14)^{13} \approx 0.027$. The most probable length is 1.
# 3. By (2.13): after each symbol, $s^{(t)} = o^{(t)}_K - \log \sum_{k<K} \exp o^{(t)}_k$, and the
# softmax over the $K$ symbols alone draws the next one. The probabilities are the same, except at
# $t = 0$: no decision is taken before the first symbol, so the empty sequence is lost and its
# probability goes to the others.
# 4. On short strings, mean length 3.5: 2.095 nats for "nothing", 1.131 for "the count", 0.009 for
# "what is open". On longer ones, mean length 8.2: 3.688, 2.977 and 0.020. Knowing the count looks
# like half of the solution, since most short strings end at 2 and no string at an odd place. But on
# the strings longer than 48, the longest that was fitted, it costs 39.8 nats, more than the 30.6 of
# "nothing": where no string was seen, its hazard is what the 0.5 and the 1 made it, one half at
# each step, odd ones too. What is open costs 0.2 there, and that only because its scores are 6 and
# not infinite. Smoothing towards the constant, or a hazard that stays as it was last, does less
# harm; but whether it ends is a matter of what is open, and the same count has both answers. Not
# shown: what a *trained* state knows. Here the depth was given, and the paper's point is that
# training for the end may teach the count because on short strings it pays.
#
# Three points. 1 for part 1: three sound choices with a reason each; 1 for parts 2 and 3: the
# geometric law and about 0.027, and (2.13) with the empty sequence named; 1 for part 4: the long
# strings by themselves, with numbers, and why a count can't be right there. A table without an
# explanation gets half.
# ### END SOLUTION

# %% [markdown]
# ## Where you stand
#
# Before you hand in: restart the kernel and run all cells, so that no cell uses what an older
# version of another has left behind.

# %%
if __name__ == "__main__":
    progress("unfolding")
