"""Chapter 6: contexts and their gradients, searches, scores and scans, each against another method.

The functions under test are those of `solutions.seq2seq`; equation numbers are those of the
chapter.  What is trained has modules of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course import figures
from figures.bptt import difference
from figures.tables import Table, power
from solutions.gates import gru_after
from solutions.seq2seq import (
    Seq2Seq,
    additive_attention,
    additive_attention_backward,
    beam_search,
    bleu,
    context,
    decode,
    dot_attention,
    encode,
    fixed_weights,
    greedy,
    scan,
)

BLUE, VERMILION, GREEN = (figures.PALETTE[name] for name in ("blue", "vermilion", "green"))
PURPLE = figures.PALETTE["purple"]

STEP = 1e-30
KINDS = ("last", "mean", "dot", "additive")


# ------------------------------------------------------------------------------------ attention


class Looked(NamedTuple):
    """The arguments of `additive_attention`, in order; float64."""

    query: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    mask: np.ndarray
    Wq: np.ndarray
    Wk: np.ndarray
    v: np.ndarray


def looked(seed: int = 0, T: int = 6, B: int = 3, G: int = 5, H: int = 4, C: int = 2) -> Looked:
    """Return a small random attention; sequence i has T - i steps."""
    rng = np.random.default_rng(seed)
    A = 7
    return Looked(
        rng.normal(size=(B, G)), rng.normal(size=(T, B, H)), rng.normal(size=(T, B, C)),
        (np.arange(T)[:, None] < T - np.arange(B)) * 1.0,
        rng.normal(0, 0.6, (A, G)), rng.normal(0, 0.6, (A, H)), rng.normal(size=A),
    )  # fmt: skip


def plain(args: Looked) -> np.ndarray:
    """The context, one sequence after the other, without its padding; takes complex numbers."""
    rows = []
    for n, length in enumerate(args.mask.sum(0).astype(int)):
        k, values = args.keys[:length, n], args.values[:length, n]
        weight = np.exp(np.tanh(args.query[n] @ args.Wq.T + k @ args.Wk.T) @ args.v)
        rows.append((weight / weight.sum()) @ values)
    return np.stack(rows)


def three_ways(args: Looked | None = None) -> dict[str, dict[str, float]]:
    """Return how far each method is from the hand-derived gradient, by argument and method."""
    args = looked() if args is None else args
    outside = np.random.default_rng(1).normal(size=args.values.shape[1:])
    names = ("query", "keys", "values", "Wq", "Wk", "v")
    _, alpha = additive_attention(*args)
    given = {name: getattr(args, name) for name in names}
    hand = additive_attention_backward(outside, *args[:3], alpha, *args[4:])

    def moved(name: str, index: tuple[int, ...], by: complex) -> complex:
        value = given[name].astype(type(by))
        value[index] += by
        return (plain(args._replace(**{name: value})) * outside).sum()

    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in given.items()}
    t = {**leaves, "mask": torch.tensor(args.mask)}
    scores = torch.tanh(t["query"] @ t["Wq"].T + t["keys"] @ t["Wk"].T) @ t["v"]
    weights = scores.masked_fill(t["mask"] == 0, -torch.inf).softmax(0)
    made = (weights[..., None] * t["values"]).sum(0)
    by_torch = torch.autograd.grad(made, list(leaves.values()), torch.tensor(outside))

    found = {}
    for name, mine, theirs in zip(names, hand, by_torch, strict=True):
        complex_step, central = np.empty_like(mine), np.empty_like(mine)
        for index in np.ndindex(mine.shape):
            complex_step[index] = moved(name, index, 1j * STEP).imag / STEP
            ends = [moved(name, index, e) for e in (1e-5, -1e-5)]
            central[index] = (ends[0] - ends[1]) / 2e-5
        found[name] = {
            "complex step": difference(complex_step, mine),
            "autograd": difference(theirs.numpy(), mine),
            "central differences": difference(central, mine),
        }
    return found


def table_three_ways() -> Table:
    """Show `three_ways`."""
    found = three_ways()
    methods = list(next(iter(found.values())))
    rows = [[name, *(power(each[m]) for m in methods)] for name, each in found.items()]
    return Table(["gradient at", *methods], rows)


def spread(H: int, scaled: bool, seed: int = 0, T: int = 20, B: int = 500) -> tuple[float, float]:
    """The scores' standard deviation, and the mean of the largest weight, for random vectors."""
    rng = np.random.default_rng(seed)
    query, keys = rng.normal(size=(B, H)), rng.normal(size=(T, B, H))
    scores = np.einsum("tbh,bh->tb", keys, query)
    if scaled:
        scores = scores / np.sqrt(H)
    factor = 1 if scaled else np.sqrt(H)  # dot_attention divides by it
    _, alpha = dot_attention(query * factor, keys, keys, np.ones((T, B)))
    return float(scores.std()), float(alpha.max(axis=0).mean())


def table_spread(widths: Sequence[int] = (4, 16, 64, 256)) -> Table:
    """Show what the root of H is for."""
    rows = []
    for H in widths:
        (raw, sharp), (even, soft) = spread(H, False), spread(H, True)
        rows.append([H, f"{raw:.1f}", f"{sharp:.2f}", f"{even:.1f}", f"{soft:.2f}"])
    head = ["H", "scores, not divided", "largest weight", "scores, divided", "largest weight"]
    return Table(head, rows)


# ---------------------------------------------------------------------- the twin, and padding


def small(kind: str, seed: int = 0) -> Seq2Seq:
    """A small network with random weights, float64."""
    torch.manual_seed(seed)
    network = Seq2Seq(7, 5, embed=6, hidden=8, context=kind).double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.5)
    return network


def _batch(T: int = 7, S: int = 4) -> tuple[torch.Tensor, ...]:
    made = torch.Generator().manual_seed(1)
    x = torch.randint(0, 7, (T, 3), generator=made)
    y = torch.randint(0, 5, (S, 3), generator=made)
    return x, torch.tensor([T, T - 2, 3]), torch.zeros(3, dtype=torch.long), y


def in_numpy(network: Seq2Seq, x: np.ndarray, lengths: np.ndarray, y0: np.ndarray, y: np.ndarray):
    """The same network out of the chapter's NumPy functions: o, (S, B, K)."""
    weights = {name: value.numpy() for name, value in network.state_dict().items()}

    def cell(prefix: str, suffix: str = "") -> tuple[np.ndarray, ...]:
        U, W, b, d = (
            weights[f"{prefix}.{name}{suffix}"]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        cut = 2 * W.shape[1]
        return U, W, np.concatenate([b[:cut] + d[:cut], b[cut:]]), d[cut:]

    def step(params: tuple[np.ndarray, ...], state: np.ndarray, x_t: np.ndarray) -> np.ndarray:
        return gru_after(x_t[None], state, *params)[0]

    T, B = x.shape
    H = len(weights["s0"])
    mask = (np.arange(T)[:, None] < lengths) * 1.0
    h = encode(
        step, cell("encoder", "_l0"), weights["embed_source.weight"][x], mask, np.zeros((B, H))
    )

    def attend(s: np.ndarray) -> np.ndarray:
        if network.kind == "dot":
            return dot_attention(s, h, h, mask)[0]
        if network.kind == "additive":
            names = ("read_query.weight", "read_key.weight", "score.weight")
            Wq, Wk, v = (weights[name] for name in names)
            return additive_attention(s, h, h, mask, Wq, Wk, v[0])[0]
        return context(fixed_weights(lengths, T)[("last", "mean").index(network.kind)], h)

    E, V, b = (weights[n] for n in ("embed_target.weight", "output.weight", "output.bias"))
    return decode(step, attend, cell("cell"), np.tile(weights["s0"], (B, 1)), y0, y, E, V, b)[1]


def padding(kind: str) -> tuple[float, float, float]:
    """What padding changes in the outputs: other symbols in it, more of it, and without a mask."""
    network, (x, lengths, y0, y) = small(kind), _batch()
    T = len(x)
    behind = torch.arange(T)[:, None] >= lengths
    with torch.no_grad():
        o, _ = network(x, lengths, y0, y)
        other, _ = network(torch.where(behind, (x + 3) % 7, x), lengths, y0, y)
        longer, _ = network(torch.cat([x, x]), lengths, y0, y)
        blind, _ = network(x, torch.full_like(lengths, T), y0, y)
    return tuple(float((each - o).abs().max()) for each in (other, longer, blind))


def table_twin() -> Table:
    """For each context: NumPy against the twin, and what padding changes."""
    rows = []
    for kind in KINDS:
        network, given = small(kind), _batch()
        with torch.no_grad():
            o, _ = network(*given)
        numpy = in_numpy(network, *(each.numpy() for each in given))
        other, longer, blind = padding(kind)
        found = difference(o.numpy(), numpy)
        rows.append([kind, power(found), power(other), power(longer), f"{blind:.2f}"])
    head = ["context", "NumPy against PyTorch", "other symbols", "twice as long", "mask left out"]
    return Table(head, rows)


def fused(seed: int = 0) -> tuple[float, float]:
    """PyTorch's fused attention against ours: with the right mask, and with it upside down."""
    args = looked(seed, G=4)
    want, _ = dot_attention(args.query, args.keys, args.values, args.mask)
    # (B, 1, H), (B, T, H), (B, T, C): batch first, and a row of queries
    q, k, v = (
        torch.tensor(np.swapaxes(each, 0, 1)) for each in (args.query[None], args.keys, args.values)
    )
    allowed = torch.tensor(args.mask.T > 0)[:, None]
    attention = torch.nn.functional.scaled_dot_product_attention
    right = attention(q, k, v, attn_mask=allowed)[:, 0].numpy()
    # Of a sequence without padding nothing is left then; leave it out.
    wrong = attention(q[1:], k[1:], v[1:], attn_mask=~allowed[1:])[:, 0].numpy()
    return difference(right, want), difference(wrong, want[1:])


# ---------------------------------------------------------------------------------------- roads


class Roads(NamedTuple):
    """How far a gradient reaches from one context back into the source, before training.

    sizes : context to (T,), the mean length of the gradient at each symbol's embedding
    """

    steps: np.ndarray
    sizes: dict[str, np.ndarray]


def roads(T: int = 40, H: int = 48, B: int = 32, seed: int = 0) -> Roads:
    """Send a random gradient of length 1 from one context of an untrained decoder back."""
    sizes = {}
    for kind in KINDS:
        torch.manual_seed(seed)
        network = Seq2Seq(20, 5, embed=32, hidden=H, context=kind).double()
        embedded = torch.randn(T, B, 32, dtype=torch.float64, requires_grad=True)
        states, _ = network.encoder(embedded)
        outside = torch.randn(B, H, dtype=torch.float64)
        outside = outside / outside.norm(dim=1, keepdim=True)
        query = 0.5 * torch.randn(B, H, dtype=torch.float64)
        c, _ = network.attend(query, states, torch.full((B,), T))
        (grad,) = torch.autograd.grad(c, [embedded], outside)
        sizes[kind] = grad.norm(dim=2).mean(1).numpy()
    return Roads(np.arange(1, T + 1), sizes)


def draw_roads(data: Roads) -> Figure:
    """Draw the size of the gradient over the source, on a logarithmic axis."""
    with figures.style():
        figure, axis = plt.subplots()
        marks = zip(KINDS, (VERMILION, GREEN, PURPLE, BLUE), ("-", "--", ":", "-."), strict=True)
        for kind, colour, line in marks:
            axis.semilogy(data.steps, data.sizes[kind], line, color=colour, label=kind)
        axis.set(xlabel="symbol of the source", ylabel="gradient")
        axis.legend(title="context")
        axis.grid(True)
    return figure


def short_road(seed: int = 0) -> float:
    """(6.13) against autograd: the immediate Jacobian of the context for each state."""
    args = looked(seed)
    _, alpha = additive_attention(*args)
    values = torch.tensor(args.values, requires_grad=True)
    c = (torch.tensor(alpha)[..., None] * values).sum(0)
    worst = 0.0
    for i in range(c.shape[1]):
        (grad,) = torch.autograd.grad(c[:, i].sum(), [values], retain_graph=True)
        want = alpha[..., None] * np.eye(c.shape[1])[i]
        worst = max(worst, float(np.abs(grad.numpy() - want).max()))
    return worst


# --------------------------------------------------------------------------------------- search


Step = Callable[[tuple[int, ...], int], tuple[tuple[int, ...], np.ndarray]]

GARDEN: dict[str, tuple[float, float, float]] = {
    "": (0.40, 0.35, 0.25),
    "a": (0.34, 0.33, 0.33),
    "b": (0.50, 0.45, 0.05),
    "c": (0.34, 0.33, 0.33),
    "aa": (0.98, 0.01, 0.01),
}
"""What comes next after a beginning: a, b, c.  After all others, a third each."""

LETTERS = "abc"
NO_END = -1


def garden(state: tuple[int, ...], symbol: int) -> tuple[tuple[int, ...], np.ndarray]:
    """A step over the table above; its state is the beginning itself."""
    state = state if symbol == NO_END else (*state, symbol)
    row = GARDEN.get("".join(LETTERS[k] for k in state), (1 / 3, 1 / 3, 1 / 3))
    return state, np.log(row)


class Tree(NamedTuple):
    """Every beginning of the puzzle, its probability, and what each search finds.

    found : name of the search to (symbols, probability); kept : the beginnings that width 2 keeps
    """

    probabilities: dict[str, float]
    found: dict[str, tuple[str, float]]
    kept: set[str]


def puzzle() -> Tree:
    """Three symbols, three steps: greedy, width 2, and everything."""
    probabilities = {"": 1.0}
    for length in (1, 2, 3):
        for letters in itertools.product(LETTERS, repeat=length):
            before = "".join(letters[:-1])
            state = tuple(map(LETTERS.index, before))
            _, log_p = garden(state, NO_END)
            probabilities["".join(letters)] = probabilities[before] * float(
                np.exp(log_p[LETTERS.index(letters[-1])])
            )
    found = {"greedy": greedy(garden, (), NO_END, -2, 3)}
    for width in (2, 27):
        found[f"width {width}"] = beam_search(garden, (), NO_END, -2, width, 3, 0.0)
    named = {
        name: ("".join(LETTERS[k] for k in y), float(np.exp(p))) for name, (y, p) in found.items()
    }
    kept: set[str] = set()
    level = [""]
    for _ in range(3):
        longer = [y + k for y in level for k in LETTERS]
        level = sorted(longer, key=lambda y: -probabilities[y])[:2]
        kept |= set(level)
    return Tree(probabilities, named, kept)


def draw_tree(tree: Tree) -> Figure:
    """Draw all beginnings; a dot's area is its probability."""
    place = {"": (0.0, 13.0)}
    for length in (1, 2, 3):
        block = 27 / 3**length
        for i, letters in enumerate(itertools.product(LETTERS, repeat=length)):
            place["".join(letters)] = (float(length), 26 - (i * block + block / 2 - 0.5))
    path = tree.found["greedy"][0]
    on_path = {path[:n] for n in range(1, 4)}
    with figures.style():
        figure, axis = plt.subplots(figsize=(5.6, 4.2))
        for name, (x, y) in place.items():
            if not name:
                continue
            x0, y0 = place[name[:-1]]
            colour, width = figures.FOREGROUND, 0.4
            if name in tree.kept:
                colour, width = VERMILION, 2.0
            if name in on_path:
                colour, width = BLUE, 2.6
            axis.plot([x0, x], [y0, y], color=colour, linewidth=width, zorder=1)
            axis.scatter([x], [y], s=900 * tree.probabilities[name], color=colour, zorder=2)
            found = name in {y for y, _ in tree.found.values()}
            if (len(name) < 3 and tree.probabilities[name] > 0.05) or found:
                at = {1: (0, 15), 2: (0, 8), 3: (42, -4)}[len(name)]
                axis.annotate(
                    f"{name} {tree.probabilities[name]:.3f}",
                    (x, y),
                    xytext=at,
                    textcoords="offset points",
                    ha="center",
                )
        axis.plot([], [], color=BLUE, label="greedy")
        axis.plot([], [], color=VERMILION, label="kept by width 2")
        axis.set(xlim=(-0.1, 3.7), xticks=[0, 1, 2, 3], xlabel="symbols so far", yticks=[])
        axis.spines["left"].set_visible(False)
        axis.legend(loc="lower left")
    return figure


def decoder(seed: int, K: int = 4, H: int = 8) -> tuple[Step, np.ndarray]:
    """A random network as a step for the searches; symbol 0 ends, symbol K - 1 begins."""
    rng = np.random.default_rng(seed)
    U, W, V = rng.normal(size=(H, K)), rng.normal(0, 1.5, (H, H)), rng.normal(0, 1.0, (K, H))

    def step(state: np.ndarray, symbol: int) -> tuple[np.ndarray, np.ndarray]:
        state = np.tanh(W @ state + U[:, symbol])
        o = V @ state
        return state, o - np.logaddexp.reduce(o)

    return step, rng.normal(0, 0.5, H)


def complete(step: Step, state: object, begin: int, end: int, limit: int) -> dict:
    """Every sequence that ends, or that the limit cuts off, with its log-probability."""
    found: dict[tuple[int, ...], float] = {}

    def go(y: tuple[int, ...], logp: float, before: object) -> None:
        if len(y) == limit or (y and y[-1] == end):
            found[y] = logp
            return
        after, log_p = step(before, y[-1] if y else begin)
        for k, value in enumerate(log_p):
            go((*y, k), logp + float(value), after)

    go((), 0.0, state)
    return found


class Searched(NamedTuple):
    """Of many random networks: how often a width finds the best, and something below greedy's."""

    width: int
    best: float
    worse: float
    calls: float


def contest(
    widths: Sequence[int] = (1, 2, 3, 5, 10, 4**6), networks: int = 200, limit: int = 6
) -> list[Searched]:
    """Beam search of several widths against all complete sequences, and against greedy search."""
    rows: dict[int, list[tuple[bool, bool, int]]] = {width: [] for width in widths}
    for seed in range(networks):
        step, state = decoder(seed)
        K = 4
        best = max(complete(step, state, K - 1, 0, limit).values())
        _, plain_score = greedy(step, state, K - 1, 0, limit)
        for width in widths:
            calls = 0

            def counted(*args: object, step: Step = step) -> tuple[np.ndarray, np.ndarray]:
                nonlocal calls
                calls += 1
                return step(*args)

            _, score = beam_search(counted, state, K - 1, 0, width, limit, 0.0)
            rows[width].append((score > best - 1e-12, score < plain_score - 1e-12, calls))
    return [Searched(width, *np.mean(each, axis=0).tolist()) for width, each in rows.items()]


def table_contest(rows: Sequence[Searched]) -> Table:
    """Show `contest`."""
    return Table(
        ["width", "finds the likeliest", "finds less than greedy search", "steps taken"],
        [[r.width, f"{r.best:.1%}", f"{r.worse:.1%}", f"{r.calls:.0f}"] for r in rows],
    )


# ----------------------------------------------------------------------------------------- BLEU

SAID = (
    ("the cat sat on the mat", ("the cat sat on the mat",)),
    ("the the the the the the", ("the cat sat on the mat",)),
    ("the cat sat on", ("the cat sat on the mat",)),
    ("on the mat sat the cat", ("the cat sat on the mat",)),
    ("a cat sat on the mat today", ("the cat sat on the mat", "today a cat is on the mat")),
)


def scores() -> list[tuple[str, float, float]]:
    """A candidate, our BLEU of it alone, and sacrebleu's; the last row is the whole corpus."""
    from sacrebleu.metrics import BLEU

    oracle = BLEU(tokenize="none", smooth_method="none", effective_order=False)
    rows = []
    for said, answers in SAID:
        ours = bleu([said.split()], [[each.split() for each in answers]])
        theirs = oracle.corpus_score([said], [[each] for each in answers]).score / 100
        rows.append((said, ours, theirs))
    most = max(len(answers) for _, answers in SAID)
    streams = [[(*a, *[None] * most)[i] for _, a in SAID] for i in range(most)]
    ours = bleu([s.split() for s, _ in SAID], [[e.split() for e in a] for _, a in SAID])
    theirs = oracle.corpus_score([said for said, _ in SAID], streams).score / 100
    return [*rows, ("all five, as one corpus", ours, theirs)]


def table_scores() -> Table:
    """Show `scores`."""
    rows = [[said, f"{ours:.4f}", f"{theirs:.4f}"] for said, ours, theirs in scores()]
    return Table(["candidate", "ours", "sacrebleu"], rows)


# ---------------------------------------------------------------------------------------- scans


def loop(a: np.ndarray, b: np.ndarray, h0: np.ndarray) -> np.ndarray:
    """(6.26), step by step."""
    h, states = h0, []
    for now, new in zip(a, b, strict=True):
        h = now * h + new
        states.append(h)
    return np.stack(states)


class Counts(NamedTuple):
    """Joins (6.27) of single steps that a method makes, and how many must wait for another."""

    work: int
    depth: int


def tree_scan(a: np.ndarray, b: np.ndarray, h0: np.ndarray) -> tuple[np.ndarray, Counts]:
    """Blelloch's scan: pairs are joined upwards, and prefixes are handed down.  T a power of two.

    Returns h : (T, ...), the states after each step, and what it cost.
    """
    T = len(a)
    if T & (T - 1):
        raise ValueError(f"T is {T}, want a power of two")
    levels = [(a, b)]
    work = depth = 0
    while len(levels[-1][0]) > 1:  # up: neighbours become one
        A, B = levels[-1]
        levels.append((A[1::2] * A[::2], A[1::2] * B[::2] + B[1::2]))  # (6.27)
        work, depth = work + len(A) // 2, depth + 1
    h = np.stack([h0])  # the state before each piece of the level
    for A, B in reversed(levels[:-1]):  # down: the right half begins where the left half ends
        h = np.stack([h, A[::2] * h + B[::2]], axis=1).reshape(len(A), *h0.shape)
        work, depth = work + len(A) // 2, depth + 1
    return a * h + b, Counts(work + T, depth + 1)  # each step, from the state before it


def doubling_counts(T: int) -> Counts:
    """What (6.28) costs: T - r joins for r = 1, 2, 4, ..., and the first step."""
    reaches = [2**k for k in range(math.ceil(math.log2(T)))] if T > 1 else []
    return Counts(1 + sum(T - r for r in reaches), 1 + len(reaches))


class Scanned(NamedTuple):
    """One length: cost of three methods, and how far two of them are from the loop."""

    T: int
    loop: Counts
    doubling: Counts
    tree: Counts
    errors: tuple[float, float]


def scans(lengths: Sequence[int] = (16, 256, 4096)) -> list[Scanned]:
    """Loop, doubling and tree on random numbers."""
    rows = []
    for T in lengths:
        rng = np.random.default_rng(T)
        a, b = rng.uniform(0.2, 1.0, (T, 3, 4)), rng.normal(size=(T, 3, 4))
        h0 = rng.normal(size=(3, 4))
        want = loop(a, b, h0)
        by_tree, counts = tree_scan(a, b, h0)
        errors = (difference(want, scan(a, b, h0)), difference(want, by_tree))
        rows.append(Scanned(T, Counts(T, T), doubling_counts(T), counts, errors))
    return rows


def table_scans(rows: Sequence[Scanned]) -> Table:
    """Show `scans`."""
    head = ["T"]
    for name in ("loop", "doubling", "tree"):
        head += [f"{name}: work", "depth"]
    return Table(
        [*head, "doubling − loop", "tree − loop"],
        [
            [r.T, *r.loop, *r.doubling, *r.tree, power(r.errors[0]), power(r.errors[1])]
            for r in rows
        ],
    )


def divided(T: int, seed: int = 0) -> float:
    """How far the quotient form is from the loop after T steps; infinite where it is no number."""
    rng = np.random.default_rng(seed)
    a, b, h0 = rng.uniform(0.2, 1.0, (T, 4)), rng.normal(size=(T, 4)), rng.normal(size=4)
    with np.errstate(all="ignore"):
        product = np.cumprod(a, axis=0)
        h = product * (h0 + np.cumsum(b / product, axis=0))
    error = difference(loop(a, b, h0), h)
    return error if np.isfinite(error) else math.inf


def table_divided(lengths: Sequence[int] = (10, 100, 1000, 1200, 2000)) -> Table:
    """Show `divided`."""
    rows = []
    for T in lengths:
        error = divided(T)
        rows.append([T, "not a number" if math.isinf(error) else power(error)])
    return Table(["T", "quotient − loop"], rows)
