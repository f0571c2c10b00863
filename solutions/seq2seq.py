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

# %%
from collections import Counter

import numpy as np

# %% [markdown]
# ## Exercise 6.1: the encoder, with padding


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


# %% exercise="seq2seq.fixed_weights"
def fixed_weights(lengths, T):
    """Weights of the states in the contexts "last" and "mean".  Source: eqs (6.4)-(6.5).

    lengths : (B,), integers in 1 ... T; T : the number of steps of the padded array

    Returns last : (T, B) and mean : (T, B); each column is a sequence's weights, with sum 1.
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


# %% exercise="seq2seq.decode"
def decode(step, attend, params, s0, y0, y, E, V, b):
    """Run the decoder on the true previous symbols.  Source: eqs (6.13)-(6.15).

    step : a function, step(params, s, x_t) -> s, with s : (B, H) and x_t : (B, D + C);
    attend : a function, attend(s) -> context (B, C); params : what step wants; s0 : (B, H);
    y0 : (B,) and y : (T, B), integers in 0 ... K-1; E : (K, D), a row for each symbol;
    V : (K, H + C); b : (K,)

    Returns s : (T, B, H) and o : (T, B, K), the outputs before the softmax.
    """
    ### BEGIN SOLUTION
    s, states, outputs = s0, [], []
    for previous in np.concatenate([y0[None], y[:-1]]):
        c = attend(s)  # (6.13): the query is the state before this step
        s = step(params, s, np.concatenate([E[previous], c], axis=-1))  # (6.14)
        states.append(s)
        outputs.append(np.concatenate([s, c], axis=-1) @ V.T + b)  # (6.15)
    return np.stack(states), np.stack(outputs)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.7: cross-entropy that leaves the padding out


# %% exercise="seq2seq.masked_cross_entropy"
def masked_cross_entropy(o, y, mask):
    """Mean of -log p over the symbols that count, and its gradient.  Source: eqs (6.16)-(6.17).

    o : (T, B, K), outputs before the softmax; y : (T, B), integers in 0 ... K-1; mask : (T, B),
    1.0 where the target counts and 0.0 where it is padding

    Returns loss, one number, and do : (T, B, K).
    """
    ### BEGIN SOLUTION
    shifted = o - o.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    weight = mask / mask.sum()
    loss = -(weight * np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0]).sum()  # (6.16)
    do = weight[..., None] * (np.exp(log_p) - np.eye(o.shape[-1], dtype=o.dtype)[y])  # (6.17)
    return loss, do
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.8: greedy search


# %% exercise="seq2seq.greedy"
def greedy(step, state, begin, end, limit):
    """Take the likeliest symbol at each step.  Source: eq (6.19).

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
        symbol = int(np.argmax(log_p))  # (6.19)
        y.append(symbol)
        logp += log_p[symbol]
    return y, logp
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.9: beam search


# %% exercise="seq2seq.beam_search"
def beam_search(step, state, begin, end, width, limit, length_penalty):
    """Keep the best few beginnings at each step.  Source: eqs (6.20)-(6.21).

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
        kept = longer[:width]  # (6.20), by log-probability: all have the same length
        finished += [each for each in kept if each[0][-1] == end]
        live = [each for each in kept if each[0][-1] != end]
        if not live:
            break
    scored = [(logp / len(y) ** length_penalty, y) for y, logp, _ in finished + live]  # (6.21)
    score, y = max(scored, key=lambda each: each[0])
    return y, score
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.10: BLEU
#
# Counting n-grams is given.


# %%
def ngrams(sentence, n):
    """How often each n-gram occurs in a sentence: a Counter of tuples."""
    return Counter(tuple(sentence[i : i + n]) for i in range(len(sentence) - n + 1))


# %% exercise="seq2seq.bleu"
def bleu(candidates, references):
    """BLEU of a corpus, between 0 and 1, not smoothed.  Source: eqs (6.22)-(6.24).

    candidates : a list of sentences, each a list of words; references : a list with, for each
    candidate, a list of one or more sentences

    Returns one number; 0 if no n-gram of some length 1 ... 4 is right.
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
            right[n - 1] += (mine & allowed).total()  # (6.22): the smaller count of each
            made[n - 1] += mine.total()
    if not right.all():
        return 0.0
    brevity = min(1.0, np.exp(1 - wanted / length))  # (6.23)
    return brevity * np.exp(np.log(right / made).mean())  # (6.24)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.11: a scan


# %% exercise="seq2seq.scan"
def scan(a, b, h0):
    """h(t) = a(t) h(t-1) + b(t) for all t, in about log2 T sweeps.  Source: eqs (6.25)-(6.27).

    a, b : (T, B, H); h0 : (B, H)

    Returns h : (T, B, H), the states after each step; no loop over time.
    """
    ### BEGIN SOLUTION
    b = np.concatenate([(a[0] * h0 + b[0])[None], b[1:]])  # then h(0) may count as 0
    reach = 1
    while reach < len(a):
        # (6.26) joins what ends at t with what ends at t - reach.
        b = np.concatenate([b[:reach], a[reach:] * b[:-reach] + b[reach:]])
        a = np.concatenate([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return b
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.12: minGRU


# %% exercise="seq2seq.mingru"
def mingru(x, h0, Uz, bz, Un, bn):
    """A GRU whose gate and candidate do not see the state, by a scan.  Source: eq (6.28).

    x : (T, B, D); h0 : (B, H); Uz, Un : (H, D); bz, bn : (H,)

    Returns h : (T, B, H), the states after each step.
    """
    ### BEGIN SOLUTION
    z = 0.5 + 0.5 * np.tanh(0.5 * (x @ Uz.T + bz))
    n = x @ Un.T + bn
    return scan(1 - z, z * n, h0)  # (6.28)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 6.13: the whole network in PyTorch

# %%
import torch


# %% exercise="seq2seq.Seq2Seq"
class Seq2Seq(torch.nn.Module):
    """GRU encoder, context, GRU decoder.  Source: eqs (6.1)-(6.8), (6.13)-(6.15).

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
        """One step of the decoder.  Source: eqs (6.13)-(6.15).

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
        """Translate a batch, each sequence by its likeliest next symbol.  Source: eq (6.19).

        x : (T, B); lengths : (B,); begin, end, limit : integers.  Returns y : (S, B), integers,
        S <= limit; behind a sequence's end there is nothing but end.
        """
        states = self.encode(x)
        s = self.s0.expand(x.shape[1], -1)
        symbol = torch.full_like(lengths, begin)
        over, y = torch.zeros_like(lengths, dtype=torch.bool), []
        for _ in range(limit):
            s, o, _ = self.advance(s, symbol, states, lengths)
            symbol = o.argmax(-1).masked_fill(over, end)
            y.append(symbol)
            over = over | (symbol == end)
            if over.all():
                break
        return torch.stack(y)

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
            return s, o[0].log_softmax(-1).cpu().numpy()

        return step, self.s0[None]
