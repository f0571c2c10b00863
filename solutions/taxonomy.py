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
# # 4. A taxonomy of recurrent networks, executable
#
# You will write each family of recurrent networks as a wiring of one mechanism, a step that is
# repeated over time. Equation numbers such as (4.4) are those of chapter 4 of the book: keep it
# open beside this notebook. Plan about eight hours, after you have read the chapter. The first cell
# finds the course's toolkit, or says how to get it.
#
# How to work, as in chapter 3: replace the lines under `YOUR CODE HERE`, run the cell, then run the
# locked cell below it. `hint("taxonomy.closed_loop", 1)` names the equation, level 2 the term,
# level 3 works a small case. Your functions get read-only arrays. A check climbs its ladder (runs,
# shapes, arguments, probes, values, properties) and stops at the first rung that breaks.
#
# Axes come in one order everywhere: time, batch, feature. In the equations $t = 1 \dots \tau$;
# in the code the same step has index `t - 1`, and `T` is $\tau$.
#
# | letter | shape | meaning |
# |---|---|---|
# | `x` | `(T, B, D)`, in 4.6 `(B, D)` | inputs, or one vector for the whole sequence |
# | `y0`, `y` | `(B,)`, `(T, B)` | the class before the first step, the targets; integers |
# | `h0`, `h` | `(B, H)`, `(T, B, H)` | initial state, states |
# | `o` | `(T, B, K)` | outputs before the softmax |
# | `U`, `W`, `b` | `(H, D)`, `(H, H)`, `(H,)` | input, recurrent weights, bias |
# | `F` | `(H, K)` | feedback: weights from the previous output to the state |
# | `R` | `(H, D)` | weights from the one vector to the state |
# | `V`, `c` | `(K, H)`, `(K,)` | output weights, bias |

# %%
import matplotlib.pyplot as plt
import numpy as np

from course import check, figures, hint, progress, ready

# %% [markdown]
# ## Exercise 4.1: recurrence from the output only, all steps at once
#
# In this network the only thing that one step hands to the next is the output. While it is
# trained, the true output is handed on instead of the network's own: *teacher forcing*. With
# $e_k$ the one-hot vector of class $k$,
#
# $$
# a^{(t)} = b + U x^{(t)} + F e_{y^{(t-1)}}, \qquad h^{(t)} = \tanh a^{(t)}, \qquad
# o^{(t)} = c + V h^{(t)}. \tag{4.4}
# $$
#
# $y^{(0)}$ is given, as `y0`: often a class that says "start". Everything on the right is known
# before the first step is computed, so you need no loop over time. A matrix times a one-hot vector
# is one of its columns; for an array `k` of classes, of any shape, `F.T[k]` holds those columns as
# rows.


# %% exercise="taxonomy.teacher_forced"
def teacher_forced(x, y0, y, U, F, b, V, c):
    """Run the output-recurrent network on the true previous outputs.  Source: eq (4.4).

    x : (T, B, D); y0 : (B,) and y : (T, B), integers in 0 ... K-1; U : (H, D), F : (H, K),
    b : (H,), V : (K, H), c : (K,)

    Returns h : (T, B, H) and o : (T, B, K), the outputs before the softmax.
    """
    ### BEGIN SOLUTION
    before = np.concatenate([y0[None], y[:-1]])  # what step t gets is y(t-1)
    h = np.tanh(x @ U.T + F.T[before] + b)  # F e_k is column k of F
    return h, h @ V.T + c
    ### END SOLUTION


# %% [markdown]
# ## Exercise 4.2: closed loop
#
# When the network is used, nobody knows the true outputs. It gets its own instead:
#
# $$
# \hat y^{(t)} = \arg\max_k o^{(t)}_k, \qquad
# a^{(t)} = b + U x^{(t)} + F e_{\hat y^{(t-1)}}, \qquad \hat y^{(0)} = y^{(0)}. \tag{4.7}
# $$
#
# Now a step has to wait for the one before.


# %% exercise="taxonomy.closed_loop"
def closed_loop(x, y0, U, F, b, V, c):
    """Run the output-recurrent network on its own outputs.  Source: eq (4.7).

    x : (T, B, D); y0 : (B,), integers in 0 ... K-1; U : (H, D), F : (H, K), b : (H,),
    V : (K, H), c : (K,)

    Returns o : (T, B, K), the outputs before the softmax.
    """
    ### BEGIN SOLUTION
    driven = x @ U.T + b
    o, previous = [], y0
    for step in driven:
        o.append(np.tanh(step + F.T[previous]) @ V.T + c)
        previous = o[-1].argmax(axis=-1)  # (4.7)
    return np.stack(o)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 4.3: scheduled sampling
#
# Between the two: at each step and for each sequence, a coin decides whether the network gets the
# true previous output or its own.
#
# $$
# \tilde y^{(t-1)} = \begin{cases} y^{(t-1)} & \text{if } t = 1 \text{ or } u^{(t)} < \varepsilon\\
# \hat y^{(t-1)} & \text{else} \end{cases} \qquad
# a^{(t)} = b + U x^{(t)} + F e_{\tilde y^{(t-1)}} \tag{4.9}
# $$
#
# $\hat y^{(t-1)}$ is the class that *this* run has just put out. The draws $u$ are an argument, so
# that the function is pure. With $\varepsilon = 1$ it is exercise 4.1, with $\varepsilon = 0$
# exercise 4.2.


# %% exercise="taxonomy.scheduled"
def scheduled(x, y0, y, u, epsilon, U, F, b, V, c):
    """Run the output-recurrent network on a mixture of true and own outputs.  Source: eq (4.9).

    x : (T, B, D); y0 : (B,) and y : (T, B), integers in 0 ... K-1; u : (T, B), numbers in [0, 1);
    epsilon : a number, the true output is used where u(t) < epsilon; U : (H, D), F : (H, K),
    b : (H,), V : (K, H), c : (K,)

    Returns o : (T, B, K), the outputs before the softmax.
    """
    ### BEGIN SOLUTION
    driven = x @ U.T + b
    o, previous = [], y0
    for t in range(len(x)):
        if t > 0:
            previous = np.where(u[t] < epsilon, y[t - 1], o[-1].argmax(axis=-1))  # (4.9)
        o.append(np.tanh(driven[t] + F.T[previous]) @ V.T + c)
    return np.stack(o)
    ### END SOLUTION


# %% [markdown]
# ## Put it together: the loop opens, the error grows
#
# A symbol of four stays as it is with probability 0.9 from step to step. The network sees it
# through noise: what `x` shows is right with probability 0.8. The next cell trains your network in
# three ways and lets it run in closed loop on sequences that it has not seen. There is no
# back-propagation through time in it: with given classes as inputs, the gradient of a step stays in
# that step, (4.6). The dashed line is (4.8), what the best possible teacher-forced network must do
# in closed loop. The dotted line is what you get if you believe `x` alone. It takes 5 to 20
# seconds, and shows nothing before it is done.

# %%
if __name__ == "__main__":
    if ready("taxonomy.teacher_forced", "taxonomy.closed_loop", "taxonomy.scheduled"):
        K, H, T, B = 4, 16, 20, 64

        def sticky(rng, T, B, stay=0.9, right=0.8):
            """x : (T, B, K), one-hot and noisy; y0 : (B,); y : (T, B)."""
            y = np.empty((T + 1, B), dtype=int)
            y[0] = rng.integers(0, K, B)
            for t in range(T):
                other = (y[t] + rng.integers(1, K, B)) % K
                y[t + 1] = np.where(rng.random(B) < stay, y[t], other)
            wrong = (y[1:] + rng.integers(1, K, (T, B))) % K
            seen = np.where(rng.random((T, B)) < right, y[1:], wrong)
            return np.eye(K)[seen], y[0], y[1:]

        def train_sticky(kind, updates=1500, rate=4.0):
            """Gradient descent; kind says how often the true class goes in."""
            rng = np.random.default_rng(0)
            U, F, V = (rng.normal(0, 0.3, shape) for shape in ((H, K), (H, K), (K, H)))
            b, c = np.zeros(H), np.zeros(K)
            for i in range(updates):
                x, y0, y = sticky(rng, T, B)
                done = i / updates
                epsilon = {"forced": 1.0, "half": 0.5, "scheduled": max(0.0, 1 - 1.5 * done)}[kind]
                # Which classes went in: those of the mixed run, found by running it.
                own = scheduled(x, y0, y, u := rng.random((T, B)), epsilon, U, F, b, V, c)
                fed = np.where(u[1:] < epsilon, y[:-1], own[:-1].argmax(-1))
                shifted = np.concatenate([fed, y[-1:]])  # teacher_forced shifts by one step
                h, o = teacher_forced(x, y0, shifted, U, F, b, V, c)
                p = np.exp(o - o.max(-1, keepdims=True))
                do = (p / p.sum(-1, keepdims=True) - np.eye(K)[y]) / (T * B)
                da = (do @ V) * (1 - h * h)  # (4.6): no road from a later step
                onehot = np.eye(K)[np.concatenate([y0[None], fed])]
                U = U - rate * np.einsum("tbh,tbd->hd", da, x)
                F = F - rate * np.einsum("tbh,tbk->hk", da, onehot)
                V = V - rate * np.einsum("tbk,tbh->kh", do, h)
                b, c = b - rate * da.sum((0, 1)), c - rate * do.sum((0, 1))
            return U, F, b, V, c

        x, y0, y = sticky(np.random.default_rng(1), 40, 2000)
        steps, networks = np.arange(1, 41), {}
        figures.style()
        figure, axis = plt.subplots(figsize=(6, 3.4))
        for kind in ("forced", "half", "scheduled"):
            networks[kind] = train_sticky(kind)
            wrong = closed_loop(x, y0, *networks[kind]).argmax(-1) != y
            axis.plot(steps, wrong.mean(1), label=kind)
        axis.plot(steps, 0.75 * (1 - (1 - 0.1 * 4 / 3) ** steps), "--", color="gray", label="(4.8)")
        axis.axhline(0.2, linestyle=":", color="gray", label="believe x alone")
        axis.set(xlabel="step of the free run", ylabel="share of wrong symbols", ylim=(0, 0.8))
        axis.legend()
        figures.show(figure)

# %% [markdown]
# ## Exercise 4.4: a sequence in, one vector out
#
# Two ways to make one vector of all states: the last one that is not padding, and the mean of those
# that are not padding. With $\ell = \sum_t m^{(t)}$ the length of the sequence,
#
# $$
# q_{\text{last}} = h^{(\ell)}, \qquad
# q_{\text{mean}} = \frac 1 \ell \sum_{t=1}^{\tau} m^{(t)} h^{(t)}. \tag{4.12}
# $$
#
# Each of the two is checked and scored by itself. For one that you have not done yet, return
# `None`.


# %% exercise="taxonomy.readout"
def readout(h, mask):
    """Summarize the states of padded sequences, in two ways.  Source: eq (4.12).

    h : (T, B, H); mask : (T, B), 1.0 for the first steps of a sequence, at least one of them, and
    0.0 for the padding behind

    Returns last : (B, H) and mean : (B, H).
    """
    ### BEGIN SOLUTION
    length = mask.sum(axis=0)
    last = h[length.astype(int) - 1, np.arange(h.shape[1])]
    mean = (h * mask[..., None]).sum(axis=0) / length[:, None]
    return last, mean  # (4.12)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 4.5: the gradient that comes back from downstream
#
# What reads $q$ need not be a loss. It may be another network, which hands back $\nabla_q L$. For a
# module that uses both summaries,
#
# $$
# \nabla_{h^{(t)}} L = \mathbb 1_{t = \ell}\, \nabla_{q_{\text{last}}} L +
# \frac{m^{(t)}}{\ell}\, \nabla_{q_{\text{mean}}} L \tag{4.13}
# $$
#
# is the share of each state that comes straight from the summaries; exercise 3.4 carries it on
# through time.


# %% exercise="taxonomy.readout_grad"
def readout_grad(dlast, dmean, mask):
    """Gradient at the states for given gradients at their two summaries.  Source: eq (4.13).

    dlast, dmean : (B, H), the gradients at last and mean; mask : (T, B), as in exercise 4.4

    Returns dh : (T, B, H), straight from the summaries, without the roads through later states.
    """
    ### BEGIN SOLUTION
    length = mask.sum(axis=0)
    dh = mask[..., None] * (dmean / length[:, None])
    dh[length.astype(int) - 1, np.arange(len(length))] += dlast  # one entry for each sequence
    return dh
    ### END SOLUTION


# %% [markdown]
# ## Exercise 4.6: a vector in, a sequence out
#
# One vector $x$, an image for example, starts a sequence: a caption. Every step gets it, so $R x$
# acts as a bias that differs from example to example. The previous output goes in at each step,
# and the same array is the target one step earlier:
#
# $$
# a^{(t)} = b + R x + F e_{y^{(t-1)}} + W h^{(t-1)}, \qquad h^{(t)} = \tanh a^{(t)}, \qquad
# o^{(t)} = c + V h^{(t)}. \tag{4.15}
# $$


# %% exercise="taxonomy.vector_to_sequence"
def vector_to_sequence(x, h0, y0, y, R, F, W, b, V, c):
    """Run the captioning network on the true previous outputs.  Source: eq (4.15).

    x : (B, D), one vector for a sequence; h0 : (B, H); y0 : (B,) and y : (T, B), integers in
    0 ... K-1; R : (H, D), F : (H, K), W : (H, H), b : (H,), V : (K, H), c : (K,)

    Returns h : (T, B, H) and o : (T, B, K), the outputs before the softmax.
    """
    ### BEGIN SOLUTION
    bias = b + x @ R.T  # (B, H): another bias for each example
    before = np.concatenate([y0[None], y[:-1]])
    states, h = [], h0
    for fed in F.T[before]:
        h = np.tanh(bias + fed + h @ W.T)  # (4.15)
        states.append(h)
    h = np.stack(states)
    return h, h @ V.T + c
    ### END SOLUTION


# %% [markdown]
# ## Exercise 4.7: the probability of a whole sequence
#
# Give the network all three: an input at each step, its previous output, and a state.
#
# $$
# a^{(t)} = b + U x^{(t)} + F e_{y^{(t-1)}} + W h^{(t-1)} \tag{4.16}
# $$
#
# Then each output depends on those before, and the product of the steps' probabilities is a
# probability of the whole sequence:
#
# $$
# \log P(y \mid x) = \sum_{t=1}^{\tau} m^{(t)} \log
# \operatorname{softmax}\big(o^{(t)}\big)_{y^{(t)}}. \tag{4.17}
# $$
#
# As in exercise 3.2, outputs may be as large as they like. Here there is one sum for each sequence.
# The mask leaves steps out of the sum; the states go through them all the same.


# %% exercise="taxonomy.log_likelihood"
def log_likelihood(x, h0, y0, y, mask, U, F, W, b, V, c):
    """Log-probability of each sequence under the conditional network.  Source: eqs (4.16)-(4.17).

    x : (T, B, D); h0 : (B, H); y0 : (B,) and y : (T, B), integers in 0 ... K-1; mask : (T, B),
    1.0 for the steps that count, else 0.0; U : (H, D), F : (H, K), W : (H, H), b : (H,),
    V : (K, H), c : (K,)

    Returns logp : (B,), summed over the steps that count.
    """
    ### BEGIN SOLUTION
    driven = x @ U.T + F.T[np.concatenate([y0[None], y[:-1]])] + b
    h, logp = h0, np.zeros(len(y0))
    for t in range(len(x)):
        h = np.tanh(driven[t] + h @ W.T)  # (4.16)
        o = h @ V.T + c
        o = o - o.max(axis=-1, keepdims=True)
        picked = o[np.arange(len(y0)), y[t]]
        logp = logp + mask[t] * (picked - np.log(np.exp(o).sum(axis=-1)))  # (4.17)
    return logp
    ### END SOLUTION


# %% [markdown]
# ## Exercise 4.8: both directions, with padding
#
# One network reads forward, another with weights of its own reads backward, and each step has the
# states of both side by side:
#
# $$
# h^{(t)} = \tanh\big(b_f + U_f x^{(t)} + W_f h^{(t-1)}\big), \quad
# g^{(t)} = \tanh\big(b_g + U_g x^{(t)} + W_g g^{(t+1)}\big), \quad
# s^{(t)} = [\,h^{(t)};\, g^{(t)}\,]. \tag{4.18}
# $$
#
# The backward network starts at the *last step of each sequence*, $g^{(\ell + 1)} = g_0$, not in
# the padding behind it. Where there is padding, $s^{(t)} = 0$.


# %% exercise="taxonomy.bidirectional"
def bidirectional(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
    """States of both directions, side by side.  Source: eqs (4.18)-(4.19).

    x : (T, B, D), padded behind; lengths : (B,), integers in 1 ... T; h0, g0 : (B, H), the states
    before the first step and behind the last one; Uf, Ug : (H, D); Wf, Wg : (H, H); bf, bg : (H,)

    Returns s : (T, B, 2 H), forward states first; zero in the padding.
    """

    ### BEGIN SOLUTION
    def run(x, state, U, W, b):
        states = []
        for driven in x @ U.T + b:
            state = np.tanh(driven + state @ W.T)
            states.append(state)
        return np.stack(states)

    T, B, _ = x.shape
    t = np.arange(T)[:, None]
    inside = t < lengths
    turned = np.where(inside, lengths - 1 - t, t)  # (4.19): its own inverse
    sequence = np.arange(B)
    forward = run(x, h0, Uf, Wf, bf)
    backward = run(x[turned, sequence], g0, Ug, Wg, bg)[turned, sequence]
    return np.concatenate([forward, backward], axis=-1) * inside[..., None]
    ### END SOLUTION


# %% [markdown]
# ## Exercise 4.9: several layers
#
# Layer $j$ reads the layer below it *at the same step* and itself at the step before. With
# $h^{(t)}_0 = x^{(t)}$, for $j = 1, \dots, N$:
#
# $$
# h^{(t)}_j = \tanh\big(b_j + U_j h^{(t)}_{j-1} + W_j h^{(t-1)}_j\big). \tag{4.20}
# $$
#
# Each layer has weights of its own.


# %% exercise="taxonomy.deep"
def deep(x, h0, U, W, b):
    """States of a deep recurrent network, every layer's.  Source: eq (4.20).

    x : (T, B, D); h0 : (N, B, H), an initial state for each of N layers; U, W, b : lists of N
    arrays, U[0] : (H, D), other U[j] : (H, H), W[j] : (H, H), b[j] : (H,)

    Returns h : (N, T, B, H).
    """
    ### BEGIN SOLUTION
    layers, below = [], x
    for state, Uj, Wj, bj in zip(h0, U, W, b, strict=True):
        states = []
        for driven in below @ Uj.T + bj:
            state = np.tanh(driven + state @ Wj.T)  # (4.20)
            states.append(state)
        below = np.stack(states)
        layers.append(below)
    return np.stack(layers)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 4.10: how good is a tagger?
#
# Tags of words: 0 outside a name, 1 the first word of a name, 2 another word of it. A *span* is a
# name with its first and its last word. A 2 that follows neither a 1 nor a 2 begins a span as well:
# what a network says need not be well formed. With $S$ the spans of the targets and $\hat S$ those
# of the predictions, over all sentences together,
#
# $$
# \text{accuracy} = \frac{\sum_t m^{(t)} \mathbb 1_{\hat y^{(t)} = y^{(t)}}}{\sum_t m^{(t)}}, \qquad
# F_1 = \frac{2\, |S \cap \hat S|}{|S| + |\hat S|}. \tag{4.21}
# $$
#
# A span counts as found only if both its ends are right. If there is no span in either, $F_1 = 1$.
# Nothing in the padding counts. The two are scored separately; return `None` for one that you
# have not done yet.


# %% exercise="taxonomy.span_scores"
def span_scores(y, y_hat, mask):
    """Accuracy of the tags and F1 over spans.  Source: eq (4.21).

    y, y_hat : (T, B), integers 0, 1, 2, targets and predictions; mask : (T, B), 1.0 for the first
    steps of a sentence, 0.0 for the padding behind

    Returns accuracy and f1, two numbers, over the whole batch.
    """

    ### BEGIN SOLUTION
    def spans(tags):
        found, start = set(), None
        for n in range(tags.shape[1]):
            length = int(mask[:, n].sum())
            for t, tag in enumerate([*tags[:length, n], 0]):  # the end of a sentence ends a span
                if start is not None and tag != 2:
                    found.add((n, start, t))
                    start = None
                if tag == 1 or (tag == 2 and start is None):
                    start = t
        return found

    accuracy = (mask * (y == y_hat)).sum() / mask.sum()
    true, said = spans(y), spans(y_hat)
    both = len(true) + len(said)
    return accuracy, 2 * len(true & said) / both if both else 1.0  # (4.21)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 4.11: the twin in PyTorch
#
# `torch.nn.RNN` has both wirings in one: `num_layers=2`, `bidirectional=True`. Layer 2 reads the
# states of both directions of layer 1, side by side. Build it, copy the weights you are given into
# it, and run it on padded sequences so that the backward network never reads padding: pack them
# before, pad them again after.
#
# - PyTorch has two biases for each network; here there is one.
# - Initial states are zero. The lengths come in any order, and the longest sequence may be shorter
#   than the array.
# - Make the network in the floating-point type and on the device of `x`.

# %%
import torch


# %% exercise="taxonomy.packed"
def packed(x, lengths, U, W, b):
    """Two layers, both directions, by torch.nn.RNN.  Source: eqs (4.18)-(4.20).

    x : (T, B, D), a tensor, padded behind; lengths : (B,), int64, on the CPU, as torch wants it;
    U, W, b : lists of four tensors, for layer 1 forward, layer 1 backward, layer 2 forward, layer 2
    backward: U[0], U[1] : (H, D), U[2], U[3] : (H, 2 H), W[i] : (H, H), b[i] : (H,)

    Returns s : (T, B, 2 H), a tensor: the states of layer 2, forward states first; zero in the
    padding.
    """
    ### BEGIN SOLUTION
    rnn = torch.nn.RNN(
        x.shape[-1], len(b[0]), num_layers=2, bidirectional=True, device=x.device, dtype=x.dtype
    )
    names = ("l0", "l0_reverse", "l1", "l1_reverse")
    with torch.no_grad():
        for name, *values in zip(names, U, W, b, strict=True):
            for kind, value in zip(("weight_ih", "weight_hh", "bias_ih"), values, strict=True):
                getattr(rnn, f"{kind}_{name}").copy_(value)
            getattr(rnn, f"bias_hh_{name}").zero_()
    rows = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    s, _ = torch.nn.utils.rnn.pad_packed_sequence(rnn(rows)[0], total_length=len(x))
    return s
    ### END SOLUTION


# %% [markdown]
# ## Put it together: who is named?
#
# Sentences with persons' names, tagged as in exercise 4.10. Names and cities are unknown words to
# the network, and in the test part they are others than in training. The next cell trains a
# network in one direction and one in both, in some ten seconds; a batch holds sentences of one
# length, so that nothing has to be packed. Your scores judge them. The last row says "no name" of
# every word. Write down first: how good is its accuracy, and its $F_1$?

# %%
if __name__ == "__main__":
    if ready("taxonomy.span_scores"):
        from course import datasets

        torch.set_num_threads(1)
        train, _, test = datasets.tagging()
        vocabulary = datasets.Vocabulary(train.words, least=80)  # rare words: one number for all
        lengths = np.array([len(words) for words in train.words])
        x, y = vocabulary.encode(train.words)[0], datasets.pad(train.tags)[0]
        y_test, mask = datasets.pad(test.tags)

        def scores(said):
            """Accuracy and F1 on the test part; said : a list of arrays (T,)."""
            return "accuracy {:.3f}, F1 {:.3f}".format(
                *span_scores(y_test, datasets.pad(said)[0], mask)
            )

        for both in (False, True):
            torch.manual_seed(0)
            rng = np.random.default_rng(0)
            embedding = torch.nn.Embedding(len(vocabulary), 16)
            network = torch.nn.RNN(16, 32, bidirectional=both)
            head = torch.nn.Linear(64 if both else 32, 3)
            layers = torch.nn.ModuleList([embedding, network, head])
            adam = torch.optim.Adam(layers.parameters(), lr=1e-2)
            for _ in range(200):
                length = rng.choice(lengths)
                batch = rng.choice(np.flatnonzero(lengths == length), 64)
                words, tags = (torch.from_numpy(a[:length, batch]) for a in (x, y))
                o = head(network(embedding(words))[0])
                loss = torch.nn.functional.cross_entropy(o.flatten(0, 1), tags.flatten())
                adam.zero_grad()
                loss.backward()
                adam.step()
            with torch.inference_mode():
                said = [
                    head(network(embedding(torch.from_numpy(vocabulary.encode([words])[0])))[0])
                    .argmax(-1)[:, 0]
                    .numpy()
                    for words in test.words
                ]
            print(f"{'both directions' if both else 'one direction':16}", scores(said))
        print(f"{'no names at all':16}", scores([0 * tags for tags in test.tags]))

# %% [markdown]
# ## Exercise 4.12: looking through a small window
#
# A network can read a picture in several looks. A glimpse is sharp in the middle and coarse around
# it: patch $k$ is $s\, 2^k$ pixels wide, and each of its $s \times s$ numbers is the mean of a
# block of $2^k \times 2^k$ pixels. Beyond the edge of the picture all is 0. The centre is given in
# coordinates from $-1$ (the first pixel) to 1 (the last); the pixel nearest to it is
#
# $$
# p = \Big\lfloor \frac{c + 1}{2} (S - 1) + \frac 1 2 \Big\rfloor, \qquad
# \text{and patch } k \text{ begins at pixel } p - \Big\lfloor \frac{s\, 2^k}{2} \Big\rfloor ,
# \tag{4.22}
# $$
#
# in each of the two directions, $S$ being the number of pixels that way, and $k = 0, 1, \dots$ the
# number of the patch.


# %% exercise="taxonomy.glimpse"
def glimpse(x, centre, size, scales):
    """Look at pictures through a window.  Source: eq (4.22).

    x : (M, R, C), pictures of R rows and C columns; centre : (M, 2), row and column, from -1 to 1;
    size, scales : integers

    Returns patches : (M, scales, size, size).
    """
    ### BEGIN SOLUTION
    M, R, C = x.shape
    widest = size * 2 ** (scales - 1)
    padded = np.zeros((M, R + 2 * widest, C + 2 * widest), dtype=x.dtype)
    padded[:, widest : widest + R, widest : widest + C] = x
    pixel = np.floor((centre + 1) / 2 * (np.array([R, C]) - 1) + 0.5).astype(int)
    patches = []
    for k in range(scales):
        block, width = 2**k, size * 2**k
        steps = np.arange(width) - width // 2 + widest
        rows, columns = (pixel[:, i, None] + steps for i in (0, 1))
        patch = padded[np.arange(M)[:, None, None], rows[:, :, None], columns[:, None, :]]
        patches.append(patch.reshape(M, size, block, size, block).mean((2, 4)))  # (4.22)
    return np.stack(patches, 1)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 4.13: the gradient of a choice
#
# Where to look next is drawn from a normal distribution around a mean $\mu$ that the network
# chooses. A drawn place $\ell$ has no derivative for $\mu$; the expected reward has one:
#
# $$
# \nabla_{\mu^{(t)}} \mathbb E[R] = \mathbb E\!\left[ \big(R^{(t)} - \beta^{(t)}\big)\,
# \nabla_{\mu^{(t)}} \log p\big(\ell^{(t)} \mid \mu^{(t)}\big) \right] = \mathbb E\!\left[
# \big(R^{(t)} - \beta^{(t)}\big)\, \frac{\ell^{(t)} - \mu^{(t)}}{\sigma^2} \right] ,
# \tag{4.23–4.25}
# $$
#
# for every baseline $\beta$ that does not depend on the draw. $R^{(t)}$ is what was earned from
# step $t$ on. Estimate it with one draw for each sequence: the gradient of the *mean* reward of the
# batch.


# %% exercise="taxonomy.reinforce_grad"
def reinforce_grad(mean, place, sigma, reward, baseline):
    """Estimate the gradient of the batch's mean expected reward.  Source: eqs (4.23)-(4.25).

    mean, place : (T, B, 2), what was chosen, and what was drawn from N(mean, sigma^2 I);
    sigma : a number; reward : (T, B), what was earned from step t on; baseline : (T, B)

    Returns dmean : (T, B, 2).
    """
    ### BEGIN SOLUTION
    advantage = (reward - baseline)[..., None]
    return advantage * (place - mean) / sigma**2 / mean.shape[1]
    ### END SOLUTION


# %% [markdown]
# ## Put it together: learning where to look
#
# A scene with one digit, a window of 8 by 8 pixels, and a mean $\mu$ that starts in the middle. The
# reward is the share of the digit's ink that a look has caught, and a constant on top. Nobody
# differentiates the picture. There are three baselines: none, the constant, and the mean of the
# *other* draws' rewards, which does not depend on the draw. Before you run the cell: which of them
# will lose the digit again, and why does (4.25) allow the third?

# %%
if __name__ == "__main__":
    if ready("taxonomy.glimpse", "taxonomy.reinforce_grad"):
        from course import datasets

        scene, constant = np.zeros((24, 24)), 1.0
        scene[14:22, 3:11] = datasets.digits().train.x[4]

        def ink(place):
            """Share of the digit that windows at place : (B, 2) catch, (B,)."""
            inside = np.clip(place, -1, 1)
            scenes = np.broadcast_to(scene, (len(place), *scene.shape))
            return glimpse(scenes, inside, 8, 1).sum((1, 2, 3)) / scene.sum()

        baselines = {
            "none": np.zeros_like,
            "the constant": lambda reward: np.full_like(reward, constant),
            "mean of the others": lambda reward: (reward.sum() - reward) / (reward.size - 1),
        }
        sigma, draws, runs = 0.3, 16, 10
        figures.style()
        figure, axis = plt.subplots(figsize=(6, 3.4))
        for name, baseline in baselines.items():
            caught = np.zeros((runs, 150))
            for run in range(runs):
                rng, mu = np.random.default_rng(run), np.zeros(2)
                for update in range(150):
                    mean = np.broadcast_to(mu, (1, draws, 2))
                    place = mean + sigma * rng.normal(size=mean.shape)
                    reward = constant + ink(place[0])[None]
                    # One mu for all draws: its gradient is the sum of theirs.
                    change = reinforce_grad(mean, place, sigma, reward, baseline(reward))
                    mu = mu + 0.1 * change.sum((0, 1))
                    caught[run, update] = ink(mu[None])[0]
            axis.plot(caught.mean(0), label=name)
        axis.set(xlabel="update", ylabel="ink in the window at the mean", ylim=(0, 1))
        axis.legend(title="baseline")
        figures.show(figure)

# %% [markdown]
# ## Exercise 4.14: a window that has a gradient
#
# DRAW reads and writes through a grid of $N \times N$ Gaussians. Five numbers place it: centre
# $(c_x, c_y)$, from $-1$ to 1, and the logarithms of variance, stride and strength. For a picture
# of $A$ columns and $B$ rows, with pixels $a = 1, \dots, A$ and points $i = 1, \dots, N$,
#
# $$
# \begin{aligned}
# \delta &= \frac{\max(A, B) - 1}{N - 1}\, e^{\log \delta'}, \qquad
# \mu^{(i)}_x = \frac{A + 1}{2} (c_x + 1) + \Big(i - \frac N 2 - \frac 1 2\Big)\, \delta, \\
# F_x[i, a] &= \frac{1}{Z_i} \exp\!\Big({-\frac{(a - \mu^{(i)}_x)^2}{2 \sigma^2}}\Big),
# \qquad \sum_a F_x[i, a] = 1,
# \end{aligned} \tag{4.27}
# $$
#
# and the same for rows, with $B$ and $c_y$. A row whose point is so far outside that its sum is
# below $10^{-8}$ is divided by $10^{-8}$ instead.


# %% exercise="taxonomy.gaussian_window"
def gaussian_window(params, A, B, N):
    """Place a grid of Gaussians.  Source: eq (4.27).

    params : (M, 5): centre in x and in y, log variance, log stride, log strength; the picture has
    A columns and B rows; the grid has N by N points, N > 1

    Returns F_x : (M, N, A), F_y : (M, N, B), and gamma : (M,), the strength.
    """
    ### BEGIN SOLUTION
    centre_x, centre_y, log_variance, log_stride, log_gamma = params.T
    stride = (max(A, B) - 1) / (N - 1) * np.exp(log_stride)
    offset = np.arange(1, N + 1) - N / 2 - 0.5

    def bank(centre, pixels):
        middle = (pixels + 1) / 2 * (centre + 1)  # pixels are counted from 1
        mu = middle[:, None] + offset * stride[:, None]  # (M, N)
        away = np.arange(1, pixels + 1) - mu[..., None]
        F = np.exp(-(away**2) / (2 * np.exp(log_variance)[:, None, None]))
        return F / np.maximum(F.sum(-1, keepdims=True), 1e-8)  # (4.27)

    return bank(centre_x, A), bank(centre_y, B), np.exp(log_gamma)
    ### END SOLUTION


# %% [markdown]
# With a window you can read a patch and write one. These three are given. The last one is what the
# picture itself costs in the bound of the next exercise. Below, a digit is read through three
# windows of 5 by 5 points and written again; move them.


# %%
def read(x, F_x, F_y, gamma):
    """Read a patch through a window.  Source: Gregor et al. (2015).

    x : (M, B, A), F_x : (M, N, A), F_y : (M, N, B), gamma : (M,); returns gamma F_y x F_x',
    (M, N, N)
    """
    return gamma[:, None, None] * (F_y @ x @ F_x.transpose(0, 2, 1))


def write(patch, F_x, F_y, gamma):
    """Write a patch through a window.  Source: Gregor et al. (2015).

    patch : (M, N, N); returns F_y' patch F_x / gamma, (M, B, A)
    """
    return F_y.transpose(0, 2, 1) @ patch @ F_x / gamma[:, None, None]


def picture_cost(x, canvas):
    """Return the nats that the pictures cost, given the canvas.

    x : (M, D), 0 or 1; canvas : (M, D), the logits.  Returns (M,): -log p(x), pixels independent.
    """
    # log(1 + e^c) - x c, with an exponent that is never positive
    return (np.maximum(canvas, 0) + np.log1p(np.exp(-np.abs(canvas))) - x * canvas).sum(1)


# %%
if __name__ == "__main__":
    if ready("taxonomy.gaussian_window"):
        from course import datasets

        digit = datasets.digits().train.x[[4] * 3]
        windows = np.array(  # centre in x and in y, log variance, log stride, log strength
            [[0, 0, -1, 0, 0], [0, 0, -1, -1, 0], [0.4, -0.3, -2, -1, 0]]
        )
        F_x, F_y, gamma = gaussian_window(windows, A=8, B=8, N=5)
        patches = read(digit, F_x, F_y, gamma)
        figures.style()
        figure, axes = plt.subplots(3, 3, figsize=(5, 5))
        for row, pictures in zip(
            axes, (digit, patches, write(patches, F_x, F_y, gamma)), strict=True
        ):
            for axis, picture in zip(row, pictures, strict=True):
                axis.imshow(picture, cmap="gray_r")
                axis.set(xticks=[], yticks=[])
        for axis, title in zip(axes[:, 0], ("the digit", "read", "written"), strict=True):
            axis.set_ylabel(title)
        figures.show(figure)

# %% [markdown]
# ## Exercise 4.15: what a drawing costs
#
# The bound on $-\log p(x)$ is a price in two parts: the latents of all steps, then the picture.
# The latents are drawn from $q = \mathcal N(\mu, \operatorname{diag} \sigma^2)$, the prior is
# $\mathcal N(0, I)$, and the first part is
#
# $$
# \sum_{t=1}^{\tau} \operatorname{KL}\big(q^{(t)} \,\|\, \mathcal N(0, I)\big) =
# \frac 1 2 \sum_{t=1}^{\tau} \sum_i \Big( \big(\mu^{(t)}_i\big)^2 + \big(\sigma^{(t)}_i\big)^2 -
# \log \big(\sigma^{(t)}_i\big)^2 - 1 \Big) . \tag{4.28}
# $$


# %% exercise="taxonomy.latent_cost"
def latent_cost(mu, sigma):
    """The nats that the latents of a drawing cost.  Source: eq (4.28).

    mu, sigma : (T, B, Z), means and standard deviations of the latents

    Returns cost : (B,), summed over steps and latents.
    """
    ### BEGIN SOLUTION
    return 0.5 * (mu**2 + sigma**2 - np.log(sigma**2) - 1).sum((0, 2))  # (4.28)
    ### END SOLUTION


# %% [markdown]
# ## A start for question 4.16
#
# The three networks of "the loop opens, the error grows" once more, on new sequences. Beside the
# error in open loop, and in closed loop at steps 31 to 40, the next cell counts how often an output
# differs from the one before it (the truth changes with probability 0.1), and how often the
# network's output changes if it is fed another class in open loop: how much it *listens* to what it
# is fed.

# %%
if __name__ == "__main__":
    if ready("taxonomy.teacher_forced", "taxonomy.closed_loop", "taxonomy.scheduled"):
        x, y0, y = sticky(np.random.default_rng(2), 40, 2000)
        another_y0, another_y = (y0 + 1) % 4, (y + 1) % 4
        print("           open   closed   changes   listens")
        for kind, found in networks.items():
            fed = teacher_forced(x, y0, y, *found)[1].argmax(-1)
            fed_another = teacher_forced(x, another_y0, another_y, *found)[1].argmax(-1)
            own = closed_loop(x, y0, *found).argmax(-1)
            shares = fed != y, (own != y)[30:], own[1:] != own[:-1], fed != fed_another
            print(f"{kind:9}", "".join(f"{share.mean():9.3f}" for share in shares))

# %% [markdown] question="taxonomy.explain"
# ## Question 4.16: which wiring?
#
# A team wants to write down, for each minute of a night, in which of five stages of sleep a
# patient is. There is one vector of measurements for each minute. Stages last for many minutes;
# from some stages one never passes directly to some others. It will be used in two ways: (A) the
# next morning, on the whole night; (B) live, minute by minute. In the first trial, someone trains
# the network of (4.16) with teacher forcing for both. Validation loss under teacher forcing is
# excellent. Live, the display gets stuck in one stage for hours.
#
# In at most 450 words:
#
# 1. Say what went wrong live, with the section's reasoning: what did the network learn to believe,
#    and why was that right in training?
# 2. Propose a wiring and a way to train it for (A), and one for (B). For each, say which of your
#    outputs can depend on which inputs and on which outputs.
# 3. Which one number would you have measured in the trial, to see the failure before it went live?
# 4. *Measure.* Scheduled sampling (Bengio, Vinyals, Jaitly and Shazeer, 2015) is meant to repair
#    this. Huszár (2015, "How (not) to train your generative model") objects that it asks for the
#    wrong thing: in the limit, a network that ignores what it was fed. Do the numbers of the cell
#    above bear him out? Who believes `x` alone errs in a share of 0.2: what has feedback gained?
#    Change the schedule, or how good `x` is (`sticky` has `stay` and `right`), train again with
#    `train_sticky`, and find a case in which feedback pays in closed loop, or show why you find
#    none.
#
# Name the equations you use.
#
# Plan half an hour for part 4. A good answer says what you expected before you ran it, what you
# changed, and what came out, in a few numbers; explains it by an equation; and says what your
# experiment can't show.
#
# ### BEGIN SOLUTION
# 1. Stages rarely change, so under teacher forcing the true previous stage is nearly always the
# best guess. The network learned to repeat it, which minimizes (4.2) in open loop. In closed loop
# (4.7) the class that goes in is its own, so it repeats itself; its inputs are hardly looked at,
# and one wrong stage stays, as in (4.8).
# 2. (A): the whole night is there, so both directions, (4.18): each output depends on all inputs.
# Outputs are independent given the inputs, (4.1), so forbidden passages may occur. Feeding
# outputs back, or scoring pairs of stages and searching for the best path, removes that. (B): no
# future. A state without feedback, chapter 3's network: output t depends on the inputs up to t, not
# on other outputs; nothing to get stuck in. Or (4.16) trained with mixed or scheduled inputs,
# (4.9), so that it learns how far its own last output can be trusted; then outputs depend on
# earlier outputs too.
# 3. The error (or F1) of the free run, in closed loop on nights held out, against the length
# of the run, beside a network that sees the inputs alone.
# 4. Forced: an error of 0.101 in open loop, the rate at which the truth changes, and 0.746 in
# closed loop, where chance is 0.75. It listens always (1.000) and its own outputs never change
# (0.000): part 1 in four numbers. Half: 0.159, 0.446, listens 0.495. Scheduled: 0.192, 0.250,
# listens 0.200, and its outputs change at 0.352 of the steps, as noise does. So Huszár is borne out
# in direction: the more a network was fed its own outputs, the less it listens, and the best of the
# three comes close to believing `x`, without reaching its 0.2. Feedback has gained nothing in
# closed loop here. It could: with `stay` at 0.9, an observer who weighs the past against `x` would
# err less than 0.2. It takes a network that knows how sure it was, and a fed class is not sure or
# unsure: one reason why a hidden state does better. With a worse `x`, right at 0.5, half forcing
# ends stuck, too (0.746 in closed loop), and the scheduled network errs in 0.589 where `x` alone
# errs in 0.5. Not shown: other seeds, more units, a schedule that ends above 0.
#
# Three points. 1 for part 1: repeating oneself is right in open loop and fatal in closed loop; 1
# for parts 2 and 3: two wirings that fit, with correct dependencies, and a measurement in closed
# loop on held-out data; 1 for part 4: listening compared across the three, the 0.2 as the mark to
# beat, and an experiment of the student's own. A table without an explanation gets half.
# ### END SOLUTION

# %% [markdown]
# ## Where you stand
#
# Before you hand in: restart the kernel and run all cells, so that no cell uses what an older
# version of another has left behind.

# %%
if __name__ == "__main__":
    progress("taxonomy")
