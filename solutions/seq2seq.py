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
# # 6. Sequence to sequence
#
# You will write an encoder and a decoder, let the decoder look at the source by attention and send
# its gradient back, search for the likeliest translation, score translations, and run a recurrence
# without a loop over time. Equation numbers such as (6.8) are those of chapter 6 of the book,
# "Sequence to sequence": keep it open beside this notebook. Plan about seven hours, after you have
# read the chapter. The first cell finds the course's toolkit, or says how to get it.
#
# How to work, as before: replace the lines under `YOUR CODE HERE`, run the cell, then run the
# locked cell below it. `hint("seq2seq.encode", 1)` names the equation, level 2 the term, level 3
# works a small case. Your functions get read-only arrays. A check climbs its ladder (runs, shapes,
# arguments, probes, values, properties) and stops at the first rung that breaks.
#
# Axes come in one order everywhere: time, batch, feature.
#
# | letter | shape | meaning |
# |---|---|---|
# | `x`, `mask` | `(T, B, D)`, `(T, B)` | source, padded behind; its mask, 1.0 and 0.0 |
# | `h0`, `h` | `(B, H)`, `(T, B, H)` | initial state and states of the encoder |
# | `query`, `keys`, `values` | `(B, G)`, `(T, B, H)`, `(T, B, C)` | to ask with, to ask, to tell |
# | `alpha`, `context` | `(T, B)`, `(B, C)` | weights, and the weighted sum of the values |
# | `Wq`, `Wk`, `v` | `(A, G)`, `(A, H)`, `(A,)` | weights of additive attention |
# | `y0`, `y` | `(B,)`, `(T, B)` | the symbol before the first, the targets; integers |
# | `s0`, `s` | `(B, H)`, `(T, B, H)` | initial state and states of the decoder |
# | `E`, `V`, `b` | `(K, D)`, `(K, H + C)`, `(K,)` | a row for each symbol; output weights, bias |
# | `o` | `(T, B, K)` | outputs before the softmax |
#
# The decoder has a time of its own: in exercises 6.6 and 6.7, `T` counts *its* steps.

# %%
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np

from course import check, earlier, figures, hint, progress, ready

# %% [markdown]
# ## Exercise 6.1: the encoder, with padding
#
# Sources of a batch have different lengths. Behind the end of a short one stands padding, and there
# the state is to stay as it was:
#
# $$
# \tilde h^{(t)} = f\big(x^{(t)}, h^{(t-1)}\big) \quad (6.1) \qquad
# h^{(t)} = \begin{cases} \tilde h^{(t)} & \text{if } m^{(t)} = 1 \\
# h^{(t-1)} & \text{if } m^{(t)} = 0 \end{cases} \quad (6.2)
# $$
#
# Then `h[-1]` is each sequence's own last state. What $f$ is, does not matter: it is an argument,
# `step`, as in chapter 2. The check brings a step of its own; further down you will plug in your
# GRU of chapter 5. The padding may hold anything, NaN too, and 0 times NaN is NaN: choose between
# the two with `np.where`, instead of adding shares of both.


# %% exercise="seq2seq.encode"
def encode(step, params, x, mask, h0):
    """States of the encoder; in the padding a state stays as it was.  Source: eqs (6.1)-(6.2).

    step : a function, step(params, h, x_t) -> h, with h : (B, H) and x_t : (B, D); params : what
    step wants, handed on as it is; x : (T, B, D), padded behind; mask : (T, B), 1.0 for the steps
    of a sequence and 0.0 for the padding; h0 : (B, H)

    Returns h : (T, B, H), the states after each step; so h[-1] is each sequence's own last state.
    """
    ### BEGIN SOLUTION
    h, states = h0, []
    for x_t, m in zip(x, mask, strict=True):
        h = np.where(m[:, None] > 0, step(params, h, x_t), h)  # (6.2)
        states.append(h)
    return np.stack(states)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.2: two contexts that do not look
#
# The decoder gets a *context*: one vector, made of all states of the encoder. Every context of this
# chapter is a weighted mean,
#
# $$
# c = \sum_t \alpha_t\, h^{(t)}, \qquad \sum_t \alpha_t = 1, \tag{6.3}
# $$
#
# and they differ in the weights alone. Two kinds depend on nothing but the length $\ell$:
#
# $$
# \alpha_t = \mathbb 1_{t = \ell} \quad \text{("last", 6.4)} \qquad
# \alpha_t = \frac{\mathbb 1_{t \le \ell}}{\ell} \quad \text{("mean", 6.5)}
# $$


# %% exercise="seq2seq.fixed_weights"
def fixed_weights(lengths, T):
    """Weights of the states in the contexts "last" and "mean".  Source: eqs (6.4)-(6.5).

    lengths : (B,), integers in 1 ... T; T : the number of steps of the padded array

    Returns last : (T, B), whole numbers, and mean : (T, B), floats; each column is a sequence's
    weights, with sum 1.
    """
    ### BEGIN SOLUTION
    t = np.arange(1, T + 1)[:, None]
    return (t == lengths) * 1.0, (t <= lengths) / lengths
    ### END SOLUTION


# %% [markdown]
# Every context of this chapter is such a weighted sum. These three are given.


# %%
def context(alpha, values):
    """The weighted sum of the states.  Source: eq (6.3).

    alpha : (T, B); values : (T, B, H); returns (B, H)
    """
    return np.einsum("tb,tbh->bh", alpha, values)


def last(states, lengths):
    """Context "last": the state at each sequence's own end, (B, H).  Source: eq (6.4)."""
    return context(fixed_weights(lengths, len(states))[0], states)


def mean(states, lengths):
    """Context "mean": the mean of the states without the padding, (B, H).  Source: eq (6.5)."""
    return context(fixed_weights(lengths, len(states))[1], states)


# %% [markdown]
# ## Exercise 6.3: dot-product attention
#
# Attention asks before it weighs. The query $q$ is what the decoder wants to know, for example its
# state; a score says how well each key $k_t$ answers it; a softmax over the steps that are there
# makes weights of scores:
#
# $$
# e_t = \frac{k_t^\top q}{\sqrt H} \quad (6.7) \qquad
# \alpha_t = \frac{m^{(t)} \exp e_t}{\sum_j m^{(j)} \exp e_j} \quad (6.6) \qquad
# c = \sum_t \alpha_t v_t \quad (6.3)
# $$
#
# What is summed are the values $v_t$. In this chapter keys and values are both the states of the
# encoder, but they need not be. Scores may be as large as they like.


# %% exercise="seq2seq.dot_attention"
def dot_attention(query, keys, values, mask):
    """Look where the keys point the same way as the query.  Source: eqs (6.3), (6.6)-(6.7).

    query : (B, H); keys : (T, B, H); values : (T, B, C); mask : (T, B), 1.0 for the steps of a
    sequence, at least one of them, and 0.0 for the padding

    Returns context : (B, C) and alpha : (T, B), which is 0 in the padding.
    """
    ### BEGIN SOLUTION
    scores = np.einsum("tbh,bh->tb", keys, query) / np.sqrt(query.shape[-1])  # (6.7)
    scores = np.where(mask > 0, scores, -np.inf)
    weight = np.exp(scores - scores.max(axis=0))  # exp(-inf) is 0
    alpha = weight / weight.sum(axis=0)  # (6.6)
    return np.einsum("tb,tbc->bc", alpha, values), alpha  # (6.3)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.4: additive attention
#
# A small network scores each pair of query and key. Query and key may have different widths:
#
# $$
# e_t = v^\top \tanh\big(W_q q + W_k k_t\big) \tag{6.8}
# $$
#
# The rest is as before. In the equations $v_t$ is a value and $v$, without an index, this vector.


# %% exercise="seq2seq.additive_attention"
def additive_attention(query, keys, values, mask, Wq, Wk, v):
    """Score query and key with a small network.  Source: eqs (6.3), (6.6), (6.8).

    query : (B, G); keys : (T, B, H); values : (T, B, C); mask : (T, B), as in exercise 6.3;
    Wq : (A, G); Wk : (A, H); v : (A,)

    Returns context : (B, C) and alpha : (T, B), which is 0 in the padding.
    """
    ### BEGIN SOLUTION
    scores = np.tanh(query @ Wq.T + keys @ Wk.T) @ v  # (6.8)
    scores = np.where(mask > 0, scores, -np.inf)
    weight = np.exp(scores - scores.max(axis=0))
    alpha = weight / weight.sum(axis=0)  # (6.6)
    return np.einsum("tb,tbc->bc", alpha, values), alpha  # (6.3)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.5: the gradient of additive attention
#
# From the context back to everything that made it. With $z_t = \tanh(W_q q + W_k k_t)$:
#
# $$
# \nabla_{v_t} L = \alpha_t \nabla_c L, \qquad
# \frac{\partial L}{\partial \alpha_t} = v_t^\top \nabla_c L \quad (6.9) \qquad
# \frac{\partial L}{\partial e_t} = \alpha_t \Big( \frac{\partial L}{\partial \alpha_t} -
# \sum_j \alpha_j \frac{\partial L}{\partial \alpha_j} \Big) \quad (6.10)
# $$
#
# $$
# \nabla_{a_t} L = \frac{\partial L}{\partial e_t}\; v \odot (1 - z_t^2) \quad (6.11)
# $$
#
# $$
# \nabla_q L = W_q^\top \sum_t \nabla_{a_t} L, \quad
# \nabla_{k_t} L = W_k^\top \nabla_{a_t} L, \quad
# \nabla_{W_q} L = \sum_t (\nabla_{a_t} L)\, q^\top, \quad
# \nabla_{W_k} L = \sum_t (\nabla_{a_t} L)\, k_t^\top, \quad
# \nabla_v L = \sum_t \frac{\partial L}{\partial e_t} z_t \quad (6.12)
# $$
#
# You need no mask: in the padding $\alpha_t = 0$, and all else follows. Each of the six is checked
# and scored by itself; for one that you have not done yet, return `None`.


# %% exercise="seq2seq.additive_attention_backward"
def additive_attention_backward(dcontext, query, keys, values, alpha, Wq, Wk, v):
    """Gradients of L through additive attention.  Source: eqs (6.9)-(6.12).

    dcontext : (B, C), from outside at the context; query : (B, G); keys : (T, B, H);
    values : (T, B, C); alpha : (T, B), as additive_attention returns it; Wq : (A, G);
    Wk : (A, H); v : (A,)

    Returns dquery : (B, G), dkeys : (T, B, H), dvalues : (T, B, C), and, summed over time and
    batch, dWq : (A, G), dWk : (A, H), dv : (A,).
    """
    ### BEGIN SOLUTION
    dvalues = alpha[..., None] * dcontext  # (6.9)
    dalpha = np.einsum("tbc,bc->tb", values, dcontext)  # (6.9)
    dscores = alpha * (dalpha - (alpha * dalpha).sum(axis=0))  # (6.10)
    z = np.tanh(query @ Wq.T + keys @ Wk.T)
    da = dscores[..., None] * v * (1 - z * z)  # (6.11)
    dv = np.einsum("tb,tba->a", dscores, z)  # (6.12), and the rest
    dWq, dWk = np.einsum("tba,bg->ag", da, query), np.einsum("tba,tbh->ah", da, keys)
    return da.sum(axis=0) @ Wq, da @ Wk, dvalues, dWq, dWk, dv
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.6: the decoder, teacher-forced
#
# A step of the decoder asks with the state that it has, and reads the symbol before, and the
# context:
#
# $$
# c^{(t)} = q\big(h^{(1)}, \dots, h^{(\ell)};\; s^{(t-1)}\big) \quad (6.14) \qquad
# s^{(t)} = g\big([E_{y^{(t-1)}};\, c^{(t)}],\; s^{(t-1)}\big) \quad (6.15) \qquad
# o^{(t)} = V [\,s^{(t)};\, c^{(t)}\,] + b \quad (6.16)
# $$
#
# $[\,\cdot\,;\,\cdot\,]$ puts two vectors behind each other, in that order; $E_k$ is row $k$ of
# `E`. $q$ is the argument `attend`, which gets a state and knows the source by itself; $g$ is the
# argument `step`. The symbols that go in are the true ones, one step late.


# %% exercise="seq2seq.decode"
def decode(step, attend, params, s0, y0, y, E, V, b):
    """Run the decoder on the true previous symbols.  Source: eqs (6.14)-(6.16).

    step : a function, step(params, s, x_t) -> s, with s : (B, H) and x_t : (B, D + C);
    attend : a function, attend(s) -> context (B, C), called once a step with the states of the
    whole batch, s : (B, H); params : what step wants; s0 : (B, H);
    y0 : (B,) and y : (T, B), integers in 0 ... K-1; E : (K, D), a row for each symbol;
    V : (K, H + C); b : (K,)

    Returns s : (T, B, H) and o : (T, B, K), the outputs before the softmax.
    """
    ### BEGIN SOLUTION
    s, states, outputs = s0, [], []
    for previous in np.concatenate([y0[None], y[:-1]]):
        c = attend(s)  # (6.14): the query is the state before this step
        s = step(params, s, np.concatenate([E[previous], c], axis=-1))  # (6.15)
        states.append(s)
        outputs.append(np.concatenate([s, c], axis=-1) @ V.T + b)  # (6.16)
    return np.stack(states), np.stack(outputs)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.7: cross-entropy that leaves the padding out
#
# Targets have different lengths, too. Every symbol that counts weighs the same, in whichever
# sequence it stands: with $N = \sum m^{(t)}$, over all steps and sequences,
#
# $$
# L = -\frac 1 N \sum m^{(t)} \log \operatorname{softmax}\big(o^{(t)}\big)_{y^{(t)}} \quad (6.17)
# \qquad
# \nabla_{o^{(t)}} L = \frac{m^{(t)}}{N} \Big( \operatorname{softmax}\big(o^{(t)}\big) -
# e_{y^{(t)}} \Big) \quad (6.18)
# $$
#
# Loss and gradient are checked and scored by themselves; for one that you have not done yet, return
# `None`.


# %% exercise="seq2seq.masked_cross_entropy"
def masked_cross_entropy(o, y, mask):
    """Mean of -log p over the symbols that count, and its gradient.  Source: eqs (6.17)-(6.18).

    o : (T, B, K), outputs before the softmax; y : (T, B), integers in 0 ... K-1; mask : (T, B),
    1.0 where the target counts and 0.0 where it is padding

    Returns loss, one number, and do : (T, B, K).
    """
    ### BEGIN SOLUTION
    shifted = o - o.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    weight = mask / mask.sum()
    loss = -(weight * np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0]).sum()  # (6.17)
    do = weight[..., None] * (np.exp(log_p) - np.eye(o.shape[-1], dtype=o.dtype)[y])  # (6.18)
    return loss, do
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.8: greedy search
#
# A trained decoder says how likely a whole sequence is,
#
# $$
# \log P(y \mid x) = \sum_t \log P\big(y^{(t)} \mid y^{(1)}, \dots, y^{(t-1)}, x\big), \tag{6.19}
# $$
#
# but there are too many sequences to try them all. Greedy search takes the likeliest symbol at each
# step, and feeds it back:
#
# $$
# y^{(t)} = \arg\max_k \log P\big(k \mid y^{(1)}, \dots, y^{(t-1)}, x\big), \tag{6.20}
# $$
#
# until the end symbol has come out, or `limit` symbols. One source at a time; `step` hides the
# decoder, and what a state is, is its own affair: hand it on as you got it. The begin symbol goes
# in first. It may be the same as the end symbol.


# %% exercise="seq2seq.greedy"
def greedy(step, state, begin, end, limit):
    """Take the likeliest symbol at each step.  Source: eq (6.20).

    step : a function, step(state, symbol) -> (state, log_p), with log_p : (K,), the
    log-probabilities of the next symbol; state : before the first step; begin : the symbol that
    goes in first; end : the symbol that ends a sequence; limit : the most symbols it may have

    Returns y, a list of integers, begin not among them, end its last one unless limit came first;
    and logp, one number, the sum of their log-probabilities.
    """
    ### BEGIN SOLUTION
    y, logp, symbol = [], 0.0, begin
    while len(y) < limit and (not y or symbol != end):
        state, log_p = step(state, symbol)
        symbol = int(np.argmax(log_p))  # (6.20)
        y.append(symbol)
        logp += log_p[symbol]
    return y, logp
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.9: beam search
#
# Beam search keeps several beginnings alive. Extend each live beginning by each symbol; of all
# these extensions *together* keep the `width` likeliest,
#
# $$
# \mathcal B_n = \underset{\text{width}}{\operatorname{best}}
# \big\{ [y; k] : y \in \mathcal B_{n-1} \text{ not ended}, \ k = 0, \dots, K - 1 \big\}
# \text{ by } \log P, \qquad \mathcal B_0 = \{ [\,] \}, \tag{6.21}
# $$
#
# and set aside those that have ended. Go on until none is alive or they have `limit` symbols. Of
# all that were set aside, and of those that the limit has cut off, take the one with the best score
#
# $$
# \frac{\log P(y \mid x)}{|y|^{\gamma}} , \tag{6.22}
# $$
#
# where $|y|$ counts all symbols, the end too, and $\gamma$ is `length_penalty`: 0 for the sum, 1
# for the mean.


# %% exercise="seq2seq.beam_search"
def beam_search(step, state, begin, end, width, limit, length_penalty):
    """Keep the best few beginnings at each step.  Source: eqs (6.21)-(6.22).

    step, state, begin, end, limit : as in exercise 6.8; width : how many beginnings are kept;
    length_penalty : the power gamma of the length by which a finished sequence's log-probability
    is divided

    Returns y, a list of integers, the finished sequence with the best score, and score, one
    number.
    """
    ### BEGIN SOLUTION
    live, finished = [([], 0.0, state)], []
    for _ in range(limit):
        longer = []
        for y, logp, before in live:
            after, log_p = step(before, y[-1] if y else begin)
            longer += [([*y, k], logp + value, after) for k, value in enumerate(log_p)]
        longer.sort(key=lambda each: -each[1])
        kept = longer[:width]  # (6.21), by log-probability: all have the same length
        finished += [each for each in kept if each[0][-1] == end]
        live = [each for each in kept if each[0][-1] != end]
        if not live:
            break
    scored = [(logp / len(y) ** length_penalty, y) for y, logp, _ in finished + live]  # (6.22)
    score, y = max(scored, key=lambda each: each[0])
    return y, score
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.10: BLEU
#
# How good is a translation? BLEU looks at how many of its n-grams also stand in a reference. Count
# each n-gram $g$ in a candidate, but no more often than in the reference that has it most often;
# add over all sentences of the corpus, *then* divide:
#
# $$
# p_n = \frac{\sum_{\text{sentences}} \sum_g \min\big(N_{\text{cand}}(g),\,
# \max_{\text{ref}} N_{\text{ref}}(g)\big)}
# {\sum_{\text{sentences}} \sum_g N_{\text{cand}}(g)} \quad (6.23) \qquad
# \beta = \min\big(1, e^{1 - r/c}\big) \quad (6.24) \qquad
# \text{BLEU} = \beta \exp\Big(\frac 1 4 \sum_{n=1}^{4} \log p_n\Big) \quad (6.25)
# $$
#
# $c$ is the number of words in all candidates, $r$ that in their references; if a sentence has
# several, take the one nearest in length, and of two as near the shorter one. If in the whole
# corpus no n-gram of some length is right, BLEU is 0. A sentence is a list of words. Counting
# n-grams is given; two counters have `&` for the smaller and `|` for the larger count of each.


# %%
def ngrams(sentence, n):
    """How often each n-gram occurs in a sentence: a Counter of tuples."""
    return Counter(tuple(sentence[i : i + n]) for i in range(len(sentence) - n + 1))


# %% exercise="seq2seq.bleu"
def bleu(candidates, references):
    """BLEU of a corpus, between 0 and 1, not smoothed.  Source: eqs (6.23)-(6.25).

    candidates : a list of sentences, each a list of words; references : a list with, for each
    candidate, a list of one or more sentences

    Returns one number; 0 if in the whole corpus no n-gram of some length 1 ... 4 is right.
    """
    ### BEGIN SOLUTION
    right, made = np.zeros(4), np.zeros(4)
    length = wanted = 0
    for candidate, answers in zip(candidates, references, strict=True):
        length += len(candidate)
        wanted += min((abs(len(answer) - len(candidate)), len(answer)) for answer in answers)[1]
        for n in range(1, 5):
            mine = ngrams(candidate, n)
            allowed = Counter()
            for answer in answers:
                allowed |= ngrams(answer, n)  # the larger count of each
            right[n - 1] += (mine & allowed).total()  # (6.23): the smaller count of each
            made[n - 1] += mine.total()
    if not right.all():
        return 0.0
    brevity = min(1.0, np.exp(1 - wanted / length))  # (6.24)
    return brevity * np.exp(np.log(right / made).mean())  # (6.25)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.11: a scan
#
# Much of the time an encoder takes is waiting: step $t$ needs step $t - 1$. It need not be so where
# the state enters linearly, entry by entry:
#
# $$
# h^{(t)} = a^{(t)} \odot h^{(t-1)} + b^{(t)} \tag{6.26}
# $$
#
# Two such steps, one after the other, are one step of the same kind, and so are any two stretches:
#
# $$
# (a_2, b_2) \circ (a_1, b_1) = (a_2 a_1,\; a_2 b_1 + b_2) \tag{6.27}
# $$
#
# Joining is associative, so it does not matter where one begins. Let each step $t$ hold what the
# last $r$ steps up to $t$ do together. Join that with what step $t - r$ holds, and it is the last
# $2r$ steps:
#
# $$
# (a, b)_t^{2r} = (a, b)_t^{r} \circ (a, b)_{t - r}^{r} \quad \text{for } t > r, \qquad r = 1, 2, 4,
# \dots \tag{6.28}
# $$
#
# All $t$ at once, so there are about $\log_2 T$ sweeps and no loop over time. The check counts
# the lines that run. Do not divide by a product of $a$'s: it can be 0 after a few hundred steps.


# %% exercise="seq2seq.scan"
def scan(a, b, h0):
    """h(t) = a(t) h(t-1) + b(t) for all t, in about log2 T sweeps.  Source: eqs (6.26)-(6.28).

    a, b : (T, B, H); h0 : (B, H)

    Returns h : (T, B, H), the states after each step; no loop over time.
    """
    ### BEGIN SOLUTION
    b = np.concatenate([(a[0] * h0 + b[0])[None], b[1:]])  # then h(0) may count as 0
    reach = 1
    while reach < len(a):
        # (6.27) joins what ends at t with what ends at t - reach.
        b = np.concatenate([b[:reach], a[reach:] * b[:-reach] + b[reach:]])
        a = np.concatenate([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return b
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.12: a GRU that a scan can run
#
# Take the GRU of exercise 5.4 and let neither gate nor candidate see the state. What is left is a
# *minGRU*:
#
# $$
# z^{(t)} = \sigma\big(U_z x^{(t)} + b_z\big), \qquad n^{(t)} = U_n x^{(t)} + b_n, \qquad
# h^{(t)} = \big(1 - z^{(t)}\big) \odot h^{(t-1)} + z^{(t)} \odot n^{(t)} \tag{6.31}
# $$
#
# Which $a$ and $b$ of (6.26) are these? Use your `scan`, or a loop as long as it is not right. The
# check has pre-activations in the hundreds, too. `1 / (1 + np.exp(-a))` gives 0 or 1 there, as it
# should; that NumPy warns of an overflow on the way does no harm.


# %% exercise="seq2seq.mingru"
def mingru(x, h0, Uz, bz, Un, bn):
    """A GRU whose gate and candidate do not see the state, by a scan.  Source: eq (6.31).

    x : (T, B, D); h0 : (B, H); Uz, Un : (H, D); bz, bn : (H,)

    Returns h : (T, B, H), the states after each step.
    """
    ### BEGIN SOLUTION
    z = 0.5 + 0.5 * np.tanh(0.5 * (x @ Uz.T + bz))
    n = x @ Un.T + bn
    return scan(1 - z, z * n, h0)  # (6.31)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.13: the whole network in PyTorch
#
# Three methods are yours: `attend` with the four kinds of context, `advance` for one step of the
# decoder, and `forward` for teacher forcing. The layers are there. Symbols are integers here, and
# `torch.nn.Embedding` looks up their rows.
#
# - `torch.nn.GRU` is run over the padding, too. It runs forward and the padding stands behind, so
#   no state before it changes; and `attend` gives it weight 0.
# - The first state of the decoder, `self.s0`, is learned and the same for all sources. What the
#   decoder knows of its source has come through the context.
# - Make new tensors on the device and in the floating-point type of `states`.
# - No loop over `lengths`: compare positions with them. A slice that ends at an entry of a tensor
#   has to wait for the GPU, and on a device without numbers it cannot end at all.
# - The network is there to learn: a gradient must come back to every parameter. So the check also
#   sends one into `o` from outside and compares what arrives: `ds0` at `s0`, `dembed_source` at
#   `embed_source.weight`, `dread_query` at `read_query.weight`, and so on. `.detach()`, `.data`,
#   `torch.tensor(...)` of a tensor and `torch.no_grad()` cut its way.

# %%
import torch


# %% exercise="seq2seq.Seq2Seq"
class Seq2Seq(torch.nn.Module):
    """GRU encoder, context, GRU decoder.  Source: eqs (6.1)-(6.8), (6.14)-(6.16).

    sources, targets : numbers of symbols; embed, hidden : widths D and H; context : "last",
    "mean", "additive" or "dot".  All that the decoder learns of its source is the context.
    """

    def __init__(self, sources, targets, embed=32, hidden=64, context="additive"):
        super().__init__()
        if context not in ("last", "mean", "additive", "dot"):
            raise ValueError(f'context is {context!r}, want "last", "mean", "additive" or "dot"')
        self.kind = context
        self.embed_source = torch.nn.Embedding(sources, embed)
        self.embed_target = torch.nn.Embedding(targets, embed)
        self.encoder = torch.nn.GRU(embed, hidden)
        self.cell = torch.nn.GRUCell(embed + hidden, hidden)
        self.s0 = torch.nn.Parameter(torch.zeros(hidden))
        if context == "additive":
            self.read_query = torch.nn.Linear(hidden, hidden, bias=False)  # Wq
            self.read_key = torch.nn.Linear(hidden, hidden, bias=False)  # Wk
            self.score = torch.nn.Linear(hidden, 1, bias=False)  # v
        self.output = torch.nn.Linear(2 * hidden, targets)

    def encode(self, x):
        """States of the encoder, (T, B, H), of x : (T, B), integers.

        Padding stands behind and the network runs forward, so it can't reach an earlier state.
        """
        return self.encoder(self.embed_source(x))[0]

    def attend(self, s, states, lengths):
        """context : (B, H) and alpha : (T, B), for s : (B, H), states : (T, B, H), lengths : (B,).

        alpha is 0 in the padding, whatever stands there.
        """
        ### BEGIN SOLUTION
        t = torch.arange(1, len(states) + 1, device=states.device)[:, None]
        inside = t <= lengths
        if self.kind == "last":
            alpha = (t == lengths).to(states.dtype)
        elif self.kind == "mean":
            alpha = inside.to(states.dtype) / lengths
        else:
            if self.kind == "additive":
                scores = self.score(torch.tanh(self.read_query(s) + self.read_key(states)))[..., 0]
            else:
                scores = (states * s).sum(-1) / s.shape[-1] ** 0.5
            alpha = scores.masked_fill(~inside, -torch.inf).softmax(0)
        return (alpha[..., None] * states).sum(0), alpha
        ### END SOLUTION

    def advance(self, s, symbol, states, lengths):
        """One step of the decoder.  Source: eqs (6.14)-(6.16).

        s : (B, H); symbol : (B,), integers, what came out before; states : (T, B, H);
        lengths : (B,).  Returns s : (B, H), o : (B, K), alpha : (T, B).
        """
        ### BEGIN SOLUTION
        c, alpha = self.attend(s, states, lengths)
        s = self.cell(torch.cat([self.embed_target(symbol), c], -1), s)
        return s, self.output(torch.cat([s, c], -1)), alpha
        ### END SOLUTION

    def forward(self, x, lengths, y0, y):
        """Teacher forcing: the true previous symbol goes in at each step.

        x : (T, B), integers; lengths : (B,), integers, on the device of x; y0 : (B,) and
        y : (S, B), integers.  Returns o : (S, B, K) and alpha : (S, T, B).
        """
        ### BEGIN SOLUTION
        states = self.encode(x)
        s = self.s0.expand(x.shape[1], -1)
        outputs, alphas = [], []
        for symbol in torch.cat([y0[None], y[:-1]]):
            s, o, alpha = self.advance(s, symbol, states, lengths)
            outputs.append(o)
            alphas.append(alpha)
        return torch.stack(outputs), torch.stack(alphas)
        ### END SOLUTION

    @torch.no_grad()
    def greedy(self, x, lengths, begin, end, limit):
        """Translate a batch, each sequence by its likeliest next symbol.  Source: eq (6.20).

        x : (T, B); lengths : (B,); begin, end, limit : integers.  Returns y : (S, B), integers,
        S <= limit; behind a sequence's end there is nothing but end.
        """
        states, s = self.encode(x), self.s0.expand(len(lengths), -1)
        symbol = torch.full_like(lengths, begin)
        over, made = torch.zeros_like(lengths, dtype=torch.bool), []
        while len(made) < limit and not over.all():
            s, o, _ = self.advance(s, symbol, states, lengths)
            symbol = o.argmax(-1).masked_fill(over, end)
            made.append(symbol)
            over = over | (symbol == end)
        return torch.stack(made)

    @torch.no_grad()
    def starter(self, x):
        """What greedy and beam search want, for one sequence x : (T,) without padding.

        Returns step, a function, step(state, symbol) -> (state, log_p), with log_p a NumPy array
        (K,), and the state before the first step.
        """
        states, lengths = self.encode(x[:, None]), x.new_tensor([len(x)])

        @torch.no_grad()
        def step(s, symbol):
            s, o, _ = self.advance(s, x.new_tensor([symbol]), states, lengths)
            return s, o[0].double().log_softmax(-1).cpu().numpy()

        return step, self.s0[None]


# %% [markdown]
# ## Put it together: numbers in words
#
# "four thousand and two" is what people say; here without the "and": `four thousand two` becomes
# `4002`. The zeros are not in the source, and the digits of the target do not stand one to one
# under the words. The next cells train your network twice, once with the context "last" and once
# with additive attention, on numbers below 100,000 of which some are held out. It takes some
# seconds.

# %%
if __name__ == "__main__":
    if ready("seq2seq.Seq2Seq"):
        ONES = [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
        ]
        ONES += ["eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"]
        ONES += ["eighteen", "nineteen"]
        TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
        WORDS = [*ONES, *TENS, "hundred", "thousand"]
        BEGIN, END = 10, 11  # behind the ten digits

        def spell(n):
            """A number below a million in words."""
            if n < 20:
                return [ONES[n]]
            if n < 100:
                rest = n % 10
                return [TENS[n // 10 - 2], *(spell(rest) if rest else [])]
            unit, name = (1000, "thousand") if n >= 1000 else (100, "hundred")
            rest = n % unit
            return [*spell(n // unit), name, *(spell(rest) if rest else [])]

        def arrays(numbers):
            """x : (T, B), lengths : (B,), y : (S, B) with -100 in the padding."""
            said = [torch.tensor([WORDS.index(word) for word in spell(n)]) for n in numbers]
            wrote = [torch.tensor([*map(int, str(n)), END]) for n in numbers]
            x = torch.nn.utils.rnn.pad_sequence(said)
            y = torch.nn.utils.rnn.pad_sequence(wrote, padding_value=-100)
            return x, torch.tensor([len(each) for each in said]), y

        def read(symbols):
            """The digits before the end, as text."""
            digits = [int(k) for k in symbols]
            return "".join(map(str, digits[: digits.index(END)] if END in digits else digits))

        def train(kind, updates=200, batch=64):
            """Adam with a falling rate, and clipping."""
            torch.manual_seed(0)
            rng = np.random.default_rng(6)
            network = Seq2Seq(len(WORDS), 12, embed=24, hidden=48, context=kind)
            optimizer = torch.optim.Adam(network.parameters())
            for update in range(updates):
                x, lengths, y = arrays(rng.choice(training, batch, replace=False))
                begin = torch.full((batch,), BEGIN)
                o, _ = network(x, lengths, begin, y.clamp_min(0))
                loss = torch.nn.functional.cross_entropy(o.flatten(0, 1), y.flatten())
                optimizer.param_groups[0]["lr"] = 0.008 * min(1, 2 * (1 - update / updates))
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            return network

        order = np.random.default_rng(0).permutation(np.arange(1, 100_000))
        held_out, training = order[:500], order[500:]
        x, lengths, _ = arrays(held_out)
        networks = {}

        def report(kind):
            """Train one network, and count the held-out numbers that it gets right."""
            networks[kind] = train(kind)
            made = networks[kind].greedy(x, lengths, BEGIN, END, 7)
            right = sum(read(y) == str(n) for y, n in zip(made.T, held_out, strict=True))
            print(f'context "{kind}": {right} of {len(held_out)} held-out numbers right')

        report("last")

# %% [markdown]
# The same with attention, and where it looks while it writes a number.

# %%
if __name__ == "__main__":
    if ready("seq2seq.Seq2Seq"):
        report("additive")
        shown = 70_512
        source, length, y = arrays([shown])
        _, alpha = networks["additive"](source, length, torch.tensor([BEGIN]), y)
        figures.style()
        figure, axis = plt.subplots(figsize=(5, 3.2))
        axis.imshow(alpha[:, :, 0].detach(), cmap="Blues", vmin=0, vmax=1)
        axis.set_xticks(range(len(source)), spell(shown), rotation=30)
        axis.set_yticks(range(len(y)), [*str(shown), "end"])
        axis.set(xlabel="looked at", ylabel="written")
        figures.show(figure)

# %% [markdown]
# Is the likeliest number the one that greedy search finds? The network with the context "last" is
# unsure often enough to show a difference. Both searches are yours, and run on its
# log-probabilities; see whether the beam ever finds something *less* likely.

# %%
if __name__ == "__main__":
    if ready("seq2seq.Seq2Seq", "seq2seq.greedy", "seq2seq.beam_search"):
        found = {"greedy": [], "beam": []}
        for n in held_out[:100]:
            source, _, _ = arrays([n])
            step, state = networks["last"].starter(source[:, 0])
            found["greedy"].append(greedy(step, state, BEGIN, END, 7))
            found["beam"].append(beam_search(step, state, BEGIN, END, 4, 7, 0.0))
        for name, made in found.items():
            right = sum(read(y) == str(n) for (y, _), n in zip(made, held_out[:100], strict=True))
            print(f"{name}: {right} of 100 right, mean log P {np.mean([p for _, p in made]):.4f}")
        pairs = list(zip(found["greedy"], found["beam"], strict=True))
        gain = np.array([b - a for (_, a), (_, b) in pairs])
        print(f"the beam's is likelier {(gain > 1e-6).sum()} times,", end=" ")
        print(f"less likely {(gain < -1e-6).sum()} times")

# %% [markdown]
# Last, the trained network once more, out of your own NumPy pieces: `encode`, `decode`,
# `additive_attention`, and for the two cells the GRU that you wrote in chapter 5. The next cell
# looks for `gru_after` in a notebook `gates.ipynb` beside this one, tells you what it found, and
# takes PyTorch's cell where there is none that passes. PyTorch computes in float64 here, so the
# numbers must be the same to about 13 digits.

# %%
if __name__ == "__main__":
    if ready("seq2seq.Seq2Seq", "seq2seq.encode", "seq2seq.decode", "seq2seq.additive_attention"):

        def torch_gru(x, h0, U, W, b, d):
            """PyTorch's GRU for NumPy arrays, with the arguments of exercise 5.7."""
            cell = torch.nn.GRU(x.shape[-1], h0.shape[-1], dtype=torch.float64)
            inside = np.concatenate([np.zeros(len(b) - len(d)), d])  # n's second bias, alone
            with torch.no_grad():
                for weight, value in zip(cell.parameters(), (U, W, b, inside), strict=True):
                    weight.copy_(torch.tensor(value))
                return cell(torch.tensor(x), torch.tensor(h0)[None])[0].numpy()

        gru = earlier("gates.gru_after", otherwise=torch_gru)

        def step(params, state, x):
            """One step of a GRU: a sequence of one step."""
            return gru(x[None], state, *params)[0]

        def numpy_of(tensor):
            """Its numbers, without the graph."""
            return tensor.detach().numpy()

        def parameters(module, suffix=""):
            """U, W, b, d of exercise 5.7; for r and u PyTorch's two biases are only added."""
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            U, W, b, d = (
                getattr(module, name + suffix).detach().double().numpy() for name in names
            )
            cut = 2 * W.shape[1]
            return U, W, np.concatenate([b[:cut] + d[:cut], b[cut:]]), d[cut:]

        network = networks["additive"].double()
        x, lengths, y = arrays(held_out[:20])
        begin = torch.full((20,), BEGIN)
        want, _ = network(x, lengths, begin, y.clamp_min(0))

        mask = (np.arange(len(x))[:, None] < lengths.numpy()) * 1.0
        width = network.s0.shape[0]
        embedded = numpy_of(network.embed_source.weight)[x.numpy()]
        h = encode(step, parameters(network.encoder, "_l0"), embedded, mask, np.zeros((20, width)))
        read_with = [numpy_of(network.read_query.weight), numpy_of(network.read_key.weight)]
        read_with.append(numpy_of(network.score.weight)[0])
        _, o = decode(
            step,
            lambda s: additive_attention(s, h, h, mask, *read_with)[0],
            parameters(network.cell),
            np.tile(numpy_of(network.s0), (20, 1)),
            begin.numpy(),
            y.clamp_min(0).numpy(),
            numpy_of(network.embed_target.weight),
            numpy_of(network.output.weight),
            numpy_of(network.output.bias),
        )
        print(f"largest difference from PyTorch: {np.abs(o - numpy_of(want)).max():.1e}")

# %% [markdown]
# ## A start for question 6.14
#
# A decoder of which everything is known: at each step the right word has probability `sure`, the
# end, as long as it is too early, has probability `early`, and the other words share the rest;
# behind the last word the end has probability `sure`. The next cell prints how long the sequences
# are that your `beam_search` finds, for several widths; the last column is width 20 with
# $\gamma = 1$.

# %%
if __name__ == "__main__":
    if ready("seq2seq.beam_search"):

        def decoder(n, sure, early, K=8):
            """step, for `beam_search`, of a decoder that wants to write n words; the end is K."""
            right = np.random.default_rng(n).integers(0, K, n)

            def step(t, symbol):
                p = np.full(K + 1, (1 - sure - early) / (K - 1))
                if t < n:
                    p[right[t]], p[K] = sure, early
                else:
                    p[:K], p[K] = (1 - sure) / K, sure
                return t + 1, np.log(p)

            return step

        def words(n, width, length_penalty=0.0, sure=0.7, early=0.01):
            """How many words beam search writes where n would be right."""
            step = decoder(n, sure, early)
            y, _ = beam_search(step, 0, 8, 8, width, 2 * n, length_penalty)
            return len(y) - (y[-1] == 8)

        widths = (1, 5, 8, 9, 20)
        print("words  ", *(f"width {width:2}  " for width in widths), "gamma = 1")
        for n in (2, 5, 10, 11, 12, 13, 20, 40):
            found = [words(n, width) for width in widths]
            print(f"{n:5}  ", *(f"{each:8}  " for each in found), f"{words(n, 20, 1.0):9}")

# %% [markdown] question="seq2seq.explain"
# ## Question 6.14: why does a wider beam write less?
#
# A team has trained a translator. With greedy search its BLEU on held-out sentences is 0.31. They
# try wider beams, with $\gamma = 0$:
#
# | width | mean $\log P$ of what is found | mean length of what is found | BLEU |
# |---|---|---|---|
# | 1 | −9.8 | 17.9 | 0.31 |
# | 5 | −8.9 | 17.1 | 0.33 |
# | 50 | −8.1 | 13.2 | 0.27 |
# | 500 | −7.7 | 7.6 | 0.12 |
#
# The references have 18.0 words on average. "So the search is broken", says one. "No, the network
# is", says another.
#
# In at most 450 words:
#
# 1. Who is right? Use the second column, and say what it shows about the search and about the
#    network.
# 2. Why are the likeliest sequences short? Name the equation. Which part of BLEU punishes it?
# 3. They set $\gamma = 1$ and take width 500. Lengths are right again. What does $\gamma$ change
#    and what doesn't it: in the scores, and in which beginnings are kept?
# 4. On a sentence of 60 words every width fails alike, and the context is "last". Would you look
#    for the fault in the search? Name an experiment that decides it.
# 5. *Measure.* Stahlberg and Byrne (2019, "On NMT search errors and model errors: cat got your
#    tongue?") searched a translator exactly: for more than half of the sentences, the likeliest
#    translation was the empty one. When does that happen to the decoder of the cell above? Predict
#    from `sure` and `early` the length from which on, and the width from which on, then check it
#    with other values. Does $\gamma = 1$ cure the decoder, or hide the illness? What does this
#    decoder lack that a real one has, and would it make things better or worse?
#
# Plan half an hour for part 5. A good answer says what you expected before you ran it, what you
# changed, and what came out, in a few numbers; explains it by an equation; and says what your
# experiment can't show.
#
# ### BEGIN SOLUTION
# 1. The second. The search does what it is asked for: with the width, the $\log P$ of what it finds
# rises, (6.21), so it searches better and better. What it finds is worse by BLEU, so the network
# gives bad sequences a higher probability than good ones. (That wider is likelier is no law for a
# single sentence, but it holds here on average.)
# 2. By (6.19) every symbol adds a number below 0, so a sequence is the less likely the longer it
# is, unless each symbol is nearly sure. Ending at once costs one unlikely end symbol and saves all
# the rest. A narrow beam never sees those sequences, because the end is unlikely at the first
# steps. BLEU's brevity penalty, (6.24), punishes it; the precisions (6.23) may even rise.
# 3. (6.22) divides at the end, when sequences of different lengths are compared. Within (6.21) all
# extensions have the same length, so dividing changes no order: the same beginnings are kept, and
# the same sequences are set aside. Only the choice among them changes.
# 4. No. If every width fails, greedy included, then compare the reference's $\log P$ with that of
# what was found. If the reference is likelier, the search failed; if not, the network did. Here the
# context is suspected: one vector for 60 words. Train with attention, and plot the error against
# the length of the source.
# 5. By (6.19) the right sequence has $\log P = (n + 1) \log 0.7$, the empty one $\log 0.01$: the
# empty one is likelier as soon as $n + 1 > \log 0.01 / \log 0.7 = 12.9$, so from 12 words on. The
# end is the least likely of the nine symbols, so it is kept at the first step from width 9 on. Both
# are seen at once: with width 8 every length is right, with width 9 and more 11 words are written
# whole, and of 12 or more none at all. Between all and nothing there is nothing: the end is as
# likely at each step, so the earliest is the best. With $\gamma = 1$ all lengths are right here:
# per symbol, $\log 0.7$ is more than $\log 0.01$. That hides it: the probabilities are the same,
# and the choice only goes by another number. It fails if the empty sequence's one symbol is more
# probable than the others' mean, (6.22). A real decoder's `early` depends on the source and on what
# was written, and labels that were smoothed put a floor under it, which makes things worse; where
# it has learned lengths well, `early` is far below 0.01, and each factor of ten moves the border by
# 6.5 words. Its words are also unsure by spreading over many right translations, which `sure`
# stands for. Not shown: a trained decoder.
#
# Three points. 1 for parts 1 and 2: "the search works, the model is at fault", by the column,
# (6.19) and (6.24); 1 for parts 3 and 4: $\gamma$ acting on the choice alone, and an experiment
# that tells search from model; 1 for part 5: both borders predicted and checked with other values,
# and one way in which a real decoder differs. A table without an explanation gets half.
# ### END SOLUTION

# %% [markdown]
# ## Where you stand
#
# Before you hand in: restart the kernel and run all cells, so that no cell uses what an older
# version of another has left behind.

# %%
if __name__ == "__main__":
    progress("seq2seq")
