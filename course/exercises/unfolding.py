"""Chapter 2: inputs, probes, properties and oracles of its exercises.

Each oracle reaches the truth by another road than the chapter's: sweeps over all steps at once,
sequences one at a time, complex steps, arrays that are counted, ``torch.nn``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from course.adapters import run_sampler, run_step, run_torch_masked, run_unfold
from course.exercise import (
    Arrays,
    Case,
    Chapter,
    Exercise,
    Output,
    Question,
)
from course.exercises.common import (
    LONG,
    STEP,
    double,
    elsewhere,
    only,
    reorder,
    single,
    sweeps,
    usual,
    varied,
    with_integers,
)

T, B, D, H, K = 5, 3, 2, 4, 6

HIDDEN = ("T", "B", "H")


# Inputs.


def _weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """U, W, b with states well inside (-1, 1), so that tanh' is felt."""
    return {
        "U": rng.normal(0, 0.6, (H, D)),
        "W": rng.normal(0, 0.6, (H, H)),
        "b": rng.normal(0, 0.5, H),
    }


def _over_time(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, np.ndarray]:
    """x, h0, U, W, b."""
    return {
        "x": rng.normal(size=(steps, batch, D)),
        "h0": rng.uniform(-0.9, 0.9, (batch, H)),
        **_weights(rng),
    }


def _lengths(rng: np.random.Generator, steps: int, batch: int) -> np.ndarray:
    """Lengths that differ, the longest first in the array of steps, but not first in the batch."""
    lengths = np.maximum(1, steps - 2 * np.arange(batch))
    return np.roll(lengths, 1)


# 2.1, a step.


def _step_inputs(rng: np.random.Generator, batch: int = B) -> dict[str, np.ndarray]:
    return {
        **_weights(rng),
        "V": rng.normal(0, 0.6, (K, H)),
        "c": rng.normal(0, 0.5, K),
        "state": rng.uniform(-0.9, 0.9, (batch, H)),
        "x": rng.normal(size=(batch, D)),
    }


@varied(D=D, H=H, K=K)
def _step_cases(rng: np.random.Generator) -> list[Case]:
    def drawn(*kept: str) -> dict[str, Any]:
        return only(_step_inputs(rng), *kept)

    main = _step_inputs(rng)
    return [
        Case("U x alone", "probes", drawn("U", "x", "V"), "no state, no biases: h = tanh(U x)"),
        Case("b alone", "probes", drawn("b", "V"), "h = tanh(b), o = V h"),
        Case("W h alone", "probes", drawn("W", "state", "V"), "no input: h(t) = tanh(W h(t-1))"),
        Case("c alone", "probes", drawn("c"), "h is zero, so o = c"),
        Case("random input", "values", main, "every term counts"),
        Case("B = 1", "properties", _step_inputs(rng, 1), "a batch of one keeps its axis"),
        Case(
            "batch order",
            "properties",
            reorder(main, {"state": 0, "x": 0}),
            "the sequences in reverse order; they must not influence one another",
        ),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def _step_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    h = np.empty(a["state"].shape)
    o = np.empty((len(h), len(a["c"])))
    for n in range(len(h)):  # columns, as in the book
        h[n] = np.tanh(a["b"] + a["W"] @ a["state"][n] + a["U"] @ a["x"][n])
        o[n] = a["c"] + a["V"] @ h[n]
    return h, o


# 2.2, unfold.


def _unfold_inputs(
    rng: np.random.Generator, steps: int = T, batch: int = B, pair: bool = False
) -> dict[str, Any]:
    A = rng.normal(0, 0.6, (H, H))
    return {
        "U": rng.normal(0, 0.6, (H, D)),
        "W": rng.normal(0, 0.6, (H, H)),
        "A": A if pair else np.zeros_like(A),
        "V": rng.normal(0, 0.6, (K, H)),
        "h0": rng.uniform(-0.9, 0.9, (batch, H)),
        "x": rng.normal(size=(steps, batch, D)),
        "state": "a pair" if pair else "one array",
    }


@varied(D=D, H=H, K=K)
def _unfold_cases(rng: np.random.Generator) -> list[Case]:
    still = _unfold_inputs(rng)
    still["x"] = np.zeros_like(still["x"])
    loose = _unfold_inputs(rng)
    loose["W"] = np.zeros_like(loose["W"])
    main = _unfold_inputs(rng, pair=True)
    return [
        Case("one step", "probes", _unfold_inputs(rng, 1), "T = 1: step is called once"),
        Case(
            "no recurrence", "probes", loose, "W = 0: what a step gives depends on its x(t) alone"
        ),
        Case("no input", "probes", still, "x = 0: only the state goes from step to step"),
        Case("one array", "probes", _unfold_inputs(rng), "the state is one array"),
        Case("random input", "values", main, "the state is a pair of arrays"),
        Case(
            "unseen length",
            "properties",
            _unfold_inputs(rng, LONG, pair=True),
            f"T = {LONG}, the same step",
        ),
        Case("no step at all", "properties", _unfold_inputs(rng, 0), "T = 0: the state comes back"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def _unfold_truth(state: str, **args: np.ndarray) -> Arrays:
    """Sweeps over all steps at once; the pair is the state of two steps."""
    a = double(**args)
    start = [a["h0"][::-1], a["h0"]]  # h(-1), h(0)
    h = np.zeros((len(a["x"]), *a["h0"].shape))
    for _ in range(len(h)):
        before = np.stack([*start, *h])
        h = np.tanh(a["x"] @ a["U"].T + before[1:-1] @ a["W"].T + before[:-2] @ a["A"].T)
    known = [*start, *h]
    last = np.concatenate(known[:-3:-1], axis=-1) if state == "a pair" else known[-1]
    return last, np.einsum("kh,tbh->tbk", a["V"], h)


# 2.3, the concatenated form.


def _joined_inputs(rng: np.random.Generator, batch: int = B) -> dict[str, np.ndarray]:
    return {
        **_weights(rng),
        "h": rng.uniform(-0.9, 0.9, (batch, H)),
        "x": rng.normal(size=(batch, D)),
    }


@varied(D=D, H=H)
def _joined_cases(rng: np.random.Generator) -> list[Case]:
    main = _joined_inputs(rng)
    return [
        Case("h alone", "probes", only(_joined_inputs(rng), "W", "h"), "a = W h; x, U, b are 0"),
        Case("x alone", "probes", only(_joined_inputs(rng), "U", "x"), "a = U x; h, W, b are 0"),
        Case("b alone", "probes", only(_joined_inputs(rng), "b"), "a = b, for each sequence"),
        Case("random input", "values", main, "every term counts"),
        Case("B = 1", "properties", _joined_inputs(rng, 1), "a batch of one keeps its axis"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def _joined_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    width, batch = len(a["W"]), len(a["h"])
    Wa = np.empty((width, width + a["U"].shape[1]))
    z = np.empty((batch, Wa.shape[1]))
    for j in range(Wa.shape[1]):  # column by column
        Wa[:, j] = a["W"][:, j] if j < width else a["U"][:, j - width]
        z[:, j] = a["h"][:, j] if j < width else a["x"][:, j - width]
    pre = np.einsum("ij,bj->bi", a["W"], a["h"]) + np.einsum("id,bd->bi", a["U"], a["x"])
    return Wa, z, pre + a["b"]


# 2.4, counting.


def _count_cases(rng: np.random.Generator) -> list[Case]:
    def some(high: int) -> dict[str, int]:
        return {name: int(rng.integers(2, high)) for name in ("D", "H", "K", "tau")}

    return [
        Case("all 1", "probes", {"D": 1, "H": 1, "K": 1, "tau": 1}, "every array has one entry"),
        Case("one unit", "probes", {"D": 5, "H": 1, "K": 1, "tau": 3}, "H = K = 1"),
        Case(
            "as many units as features",
            "probes",
            {"D": 3, "H": 3, "K": 2, "tau": 2},
            "H = D: equal counts at tau = 2, and more is wanted",
        ),
        Case("random sizes", "values", some(9), "small sizes"),
        Case("H below D", "properties", {**some(9), "D": 11, "H": 4}, "D = 11, H = 4"),
        Case("large sizes", "properties", some(600), "nothing may depend on the sizes being small"),
    ]


def _count_truth(D: int, H: int, K: int, tau: int) -> Arrays:
    """Count the entries of arrays that are really made; try one length after the other."""

    def window(steps: int) -> int:
        shapes = ((H, steps * D), (H,), (K, H), (K,))
        return sum(np.broadcast_to(0.0, shape).size for shape in shapes)

    shapes = ((H, D), (H, H), (H,), (K, H), (K,))
    rnn = sum(np.broadcast_to(0.0, shape).size for shape in shapes)
    longer = 1
    while window(longer) <= rnn:
        longer += 1
    return np.asarray(float(rnn)), np.asarray(float(window(tau))), np.asarray(float(longer))


# 2.5, copies.


def _copies_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {**_over_time(rng, steps, batch), "dW": rng.normal(size=(H, H))}


@varied(D=D, H=H)
def _copies_cases(rng: np.random.Generator) -> list[Case]:
    loose = _copies_inputs(rng)
    loose["W"] = np.zeros_like(loose["W"])
    straight = _copies_inputs(rng)
    for name in ("x", "U", "b"):
        straight[name] = np.zeros_like(straight[name])
    straight["h0"] = 1e-6 * straight["h0"]
    return [
        Case(
            "one step",
            "probes",
            _copies_inputs(rng, steps=1),
            "T = 1: one copy, (1 - h(1)²) times dW h(0), which is not zero",
        ),
        Case(
            "W = 0",
            "probes",
            loose,
            "nothing goes from state to state: only the last step's copy has an effect",
        ),
        Case(
            "nearly linear",
            "probes",
            straight,
            "states near 0, so tanh' is 1: part s is W^(T-s) dW W^(s-1) h(0)",
        ),
        Case(
            "two steps",
            "probes",
            _copies_inputs(rng, steps=2),
            "T = 2: the first copy acts through W, the second at once",
        ),
        *usual(_copies_inputs, rng, {"x": 1, "h0": 0}),
    ]


def _copies_truth(**args: np.ndarray) -> Arrays:
    """A network whose steps have their own matrices; one at a time takes a complex step."""
    a = double(**args)
    steps = len(a["x"])
    parts = np.empty((steps, *a["h0"].shape))
    for s in range(steps):
        state = a["h0"].astype(complex)
        for t in range(steps):
            W = a["W"] + 1j * STEP * a["dW"] if t == s else a["W"]
            state = np.tanh(a["b"] + np.einsum("ij,bj->bi", W, state) + a["x"][t] @ a["U"].T)
        parts[s] = state.imag / STEP
    return (parts,)


# 2.6 and 2.15, masks; 2.7, packing.


def _masked_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    drawn = _over_time(rng, steps, batch)
    x = drawn.pop("x")
    return {"x": x, "lengths": _lengths(rng, steps, batch), **drawn}


@varied(D=D, H=H)
def _masked_cases(rng: np.random.Generator) -> list[Case]:
    whole = _masked_inputs(rng)
    whole["lengths"] = np.full(B, T)
    drift = _masked_inputs(rng)
    drift["x"] = np.where(_inside(drift), drift["x"], 0.0)
    loud = _masked_inputs(rng)
    loud["x"] = np.where(_inside(loud), loud["x"], 1e6)
    unset = _masked_inputs(rng)
    unset["x"] = np.where(_inside(unset), unset["x"], np.nan)
    endless = _masked_inputs(rng)
    endless["x"] = np.where(_inside(endless), endless["x"], np.inf)
    none = _masked_inputs(rng)
    none["lengths"] = np.array([T, 0, 2])
    return [
        Case("no padding", "probes", whole, "all sequences have T steps"),
        Case("padded with zeros", "probes", drift, "an input of 0 still moves a state: hold it"),
        *usual(_masked_inputs, rng, {"x": 1, "lengths": 0, "h0": 0}),
        Case("padded with a million", "properties", loud, "what is in the padding must not matter"),
        Case("padded with NaN", "properties", unset, "what is in the padding must not matter"),
        Case(
            "padded with infinity",
            "properties",
            endless,
            "what is in the padding must not matter",
        ),
        Case("length 0", "properties", none, "a sequence without a step stays at its h0"),
    ]


def _inside(args: Mapping[str, Any]) -> np.ndarray:
    """Where a padded batch is no padding, (T, B, 1)."""
    return (np.arange(len(args["x"]))[:, None] < args["lengths"])[..., None]


def _masked_truth(**args: Any) -> Arrays:
    """Each sequence alone, at its own length; then its last state, as often as it takes."""
    a = double(**args)
    steps = len(a["x"])
    h = np.empty((steps, *a["h0"].shape))
    for n, length in enumerate(a["lengths"]):
        start = a["h0"][n : n + 1]
        own = sweeps(a["x"][:length, n : n + 1], start, a["U"], a["W"], a["b"])
        held = np.concatenate([start, own[:, 0]])[-1]
        h[:, n] = np.concatenate([own[:, 0], np.tile(held, (steps - length, 1))])
    return (h,)


def _pack_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    lengths = np.sort(_lengths(rng, steps, batch))[::-1].copy()
    return {"x": rng.normal(size=(steps, batch, D)), "lengths": lengths}


@varied(D=D)
def _pack_cases(rng: np.random.Generator) -> list[Case]:
    whole = _pack_inputs(rng)
    whole["lengths"] = np.full(B, T)
    shorter = _pack_inputs(rng)
    shorter["lengths"] = np.array([3, 2, 2])
    main = _pack_inputs(rng)
    return [
        Case("no padding", "probes", whole, "all rows are alive: N = T B"),
        Case(
            "one sequence", "probes", _pack_inputs(rng, batch=1), "N = T, one row alive at a time"
        ),
        Case("random input", "values", main, "lengths 5, 3, 1"),
        Case("unseen length", "properties", _pack_inputs(rng, steps=LONG), f"T = {LONG}"),
        Case(
            "all shorter than T", "properties", shorter, "lengths 3, 2, 2: at last no row is alive"
        ),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def _pack_truth(x: np.ndarray, lengths: np.ndarray) -> Arrays:
    rows, counts = [], []
    for t in range(len(x)):
        alive = [x[t, n] for n in range(len(lengths)) if t < lengths[n]]
        rows += alive
        counts.append(float(len(alive)))
    return np.array(rows, np.float64), np.array(counts)


# 2.8 to 2.10, log-likelihoods.


def _symbols(rng: np.random.Generator, steps: int, batch: int) -> dict[str, np.ndarray]:
    """y, padded with 0, and lengths."""
    lengths = _lengths(rng, steps, batch)
    y = rng.integers(0, K, (steps, batch))
    return {"y": np.where(np.arange(steps)[:, None] < lengths, y, 0), "lengths": lengths}


def _end_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "o": rng.normal(0, 2.0, (steps + 1, batch, K + 1)),
        **_symbols(rng, steps, batch),
    }


def _halt_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "o": rng.normal(0, 2.0, (steps, batch, K)),
        "s": rng.normal(0, 2.0, (steps, batch)),
        **_symbols(rng, steps, batch),
    }


def _length_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "q": rng.normal(0, 2.0, (batch, steps + 2)),
        "o": rng.normal(0, 2.0, (steps, batch, K)),
        **_symbols(rng, steps, batch),
    }


def _flat(drawn: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**drawn, **{name: np.zeros_like(drawn[name]) for name in names}}


def _far(drawn: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**drawn, **{name: 500.0 * drawn[name] for name in names}}


@varied(O=K + 1)
def _end_cases(rng: np.random.Generator) -> list[Case]:
    sure = _flat(_end_inputs(rng), "o")
    sure["o"][..., :K] = -1000.0
    empty = _end_inputs(rng)
    empty["y"], empty["lengths"] = np.zeros_like(empty["y"]), np.zeros_like(empty["lengths"])
    return [
        Case(
            "no symbol",
            "probes",
            empty,
            "lengths 0: the end at once, log P = log softmax(o[0]) at class K",
        ),
        Case(
            "equal outputs",
            "probes",
            _flat(_end_inputs(rng), "o"),
            f"every class has 1/{K + 1}, tau + 1 times: log P = -(tau + 1) log {K + 1}",
        ),
        Case(
            "one symbol",
            "probes",
            _end_inputs(rng, steps=1),
            "T = 1: two terms, the symbol's at o[0] and the end's at o[1]",
        ),
        *usual(_end_inputs, rng, {"o": 1, "y": 1, "lengths": 0}),
        Case("large outputs", "properties", _far(_end_inputs(rng), "o"), "outputs of size 1000"),
        Case("an end too likely", "properties", sure, "each symbol costs about 1000"),
    ]


@varied(K=K)
def _halt_cases(rng: np.random.Generator) -> list[Case]:
    go_on = _halt_inputs(rng)
    go_on["s"] = np.full_like(go_on["s"], -800.0)
    stop = _halt_inputs(rng)
    stop["s"] = np.full_like(stop["s"], 800.0)
    return [
        Case(
            "even odds",
            "probes",
            _flat(_halt_inputs(rng), "o", "s"),
            f"e = 1/2 and every class has 1/{K}: log P = -tau (log 2 + log {K})",
        ),
        Case(
            "one symbol",
            "probes",
            _halt_inputs(rng, steps=1),
            "T = 1: the symbol, then log e(1); nothing goes on",
        ),
        Case(
            "decisions alone",
            "probes",
            _flat(_halt_inputs(rng), "o"),
            f"each symbol gives -log {K}; the rest is log(1 - e) before the last, log e at it",
        ),
        *usual(_halt_inputs, rng, {"o": 1, "s": 1, "y": 1, "lengths": 0}),
        Case(
            "never halts",
            "properties",
            go_on,
            "s = -800: the last decision costs 800, the others nothing",
        ),
        Case("always halts", "properties", stop, "s = 800: each step that goes on costs 800"),
    ]


@varied(K=K)
def _length_cases(rng: np.random.Generator) -> list[Case]:
    return [
        Case(
            "equal scores",
            "probes",
            _flat(_length_inputs(rng), "q", "o"),
            f"P(tau) = 1/{T + 2}, every class has 1/{K}: log P = -log {T + 2} - tau log {K}",
        ),
        Case(
            "lengths alone",
            "probes",
            _flat(_length_inputs(rng), "o"),
            f"each symbol gives -log {K}; the rest is log P(tau), and q[:, 0] is tau = 1",
        ),
        Case(
            "symbols alone",
            "probes",
            _flat(_length_inputs(rng), "q"),
            f"log P(tau) = -log {T + 2}; the rest is one term for each symbol",
        ),
        *usual(_length_inputs, rng, {"q": 0, "o": 1, "y": 1, "lengths": 0}),
        Case("large scores", "properties", _far(_length_inputs(rng), "q", "o"), "size 1000"),
    ]


def _log_p(o: np.ndarray, k: int) -> float:
    """The logarithm of one class's probability, by pairwise sums in the logarithm."""
    return float(o[k] - np.logaddexp.reduce(o))


def _each(lengths: np.ndarray, log_p: Callable[[int, int], float]) -> Arrays:
    """One number for each sequence: log_p(n, tau)."""
    return (np.array([log_p(n, int(tau)) for n, tau in enumerate(lengths)]),)


def _end_truth(**args: Any) -> Arrays:
    a = double(**args)
    o, y, end = a["o"], a["y"], a["o"].shape[-1] - 1

    def log_p(n: int, tau: int) -> float:
        return sum(_log_p(o[t, n], y[t, n]) for t in range(tau)) + _log_p(o[tau, n], end)

    return _each(a["lengths"], log_p)


def _halt_truth(**args: Any) -> Arrays:
    """A decision is a softmax over two classes: go on with score 0, halt with score s."""
    a = double(**args)
    o, s, y = a["o"], a["s"], a["y"]

    def log_p(n: int, tau: int) -> float:
        decisions = sum(_log_p(np.array([0.0, s[t, n]]), int(t == tau - 1)) for t in range(tau))
        return decisions + sum(_log_p(o[t, n], y[t, n]) for t in range(tau))

    return _each(a["lengths"], log_p)


def _length_truth(**args: Any) -> Arrays:
    a = double(**args)
    q, o, y = a["q"], a["o"], a["y"]

    def log_p(n: int, tau: int) -> float:
        return _log_p(q[n], tau - 1) + sum(_log_p(o[t, n], y[t, n]) for t in range(tau))

    return _each(a["lengths"], log_p)


# 2.11 to 2.14, sampling.


def _pick_inputs(rng: np.random.Generator, batch: int = B) -> dict[str, Any]:
    return {"o": rng.normal(0, 1.5, (batch, K)), "u": rng.random(batch)}


def _pick_cases(rng: np.random.Generator) -> list[Case]:
    spread = {"o": np.zeros((K, K)), "u": (np.arange(K) + 0.5) / K}
    sure = {"o": np.where(np.eye(K) > 0, 0.0, -200.0), "u": rng.random(K)}
    return [
        Case("equal outputs", "probes", spread, "class i owns [i/K, (i + 1)/K): one u in each"),
        Case("sure", "probes", sure, "one class has all the probability, each class once"),
        Case("random input", "values", _pick_inputs(rng, 40), "forty draws"),
        Case(
            "u = 0",
            "properties",
            {**_pick_inputs(rng, 8), "u": np.zeros(8)},
            "the first class with a probability above 0: here class 0",
        ),
        Case(
            "u on a border",
            "properties",
            {"o": np.array([[-2000.0, 0.0, 0.0], [-2000.0, -2000.0, 0.0]]), "u": np.zeros(2)},
            "u = 0 where the first classes have probability 0: their sum, 0, is at most u",
        ),
        Case(
            "u near 1",
            "properties",
            {**_pick_inputs(rng, 200), "u": np.full(200, np.nextafter(1.0, 0.0))},
            f"never a class {K}, which there is not, though a sum may be rounded below 1",
        ),
        Case(
            "one draw", "properties", {"o": rng.normal(size=K), "u": 0.5}, "o is (K,), u a number"
        ),
        Case(
            "large outputs",
            "properties",
            {**_pick_inputs(rng), "o": 1000.0 + rng.normal(size=(B, K))},
            "o + 1000 has the same softmax as o",
        ),
    ]


def _choose(o: np.ndarray, u: float) -> int:
    """Walk along the classes and take away their probabilities until u is used up."""
    left = float(u)
    for k in range(len(o) - 1):
        left -= np.exp(_log_p(o, k))
        if left < 0:
            return k
    return len(o) - 1


def _pick_truth(o: np.ndarray, u: Any) -> Arrays:
    u = np.asarray(u)
    found = [_choose(o[i], u[i]) for i in np.ndindex(u.shape)]
    return (np.array(found, np.float64).reshape(u.shape),)


def _sampler_inputs(
    rng: np.random.Generator,
    ending: str,
    draws: int = 9,
    ends: float = 0.0,
    symbols: int = 3,
    width: int = H,
) -> dict[str, Any]:
    """A step's weights, h0 and u; ``ends`` is added to the score of ending."""
    outputs = symbols + (ending != "length")
    c = rng.normal(0, 0.5, outputs)
    if ending != "length":
        c[symbols] += ends
    drawn = {
        "ending": ending,
        "U": rng.normal(0, 1.0, (width, symbols + (ending == "length"))),
        "W": rng.normal(0, 0.6, (width, width)),
        "b": rng.normal(0, 0.5, width),
        "V": rng.normal(0, 1.5, (outputs, width)),
        "c": c,
        "h0": rng.uniform(-0.9, 0.9, width),
        "K": symbols,
        "u": rng.random({"end": draws, "halt": (draws, 2), "length": draws + 1}[ending]),
    }
    if ending == "length":
        drawn["q"] = np.where(np.arange(draws) < 2, -4.0, rng.normal(size=draws))
    return drawn


def _sampler_probes(ending: str) -> list[Case]:
    """Probes in which one thing alone decides what is drawn next, nearly whatever u is."""
    symbols, counts = 3, ending == "length"
    outputs = symbols + (not counts)

    def still() -> dict[str, Any]:
        drawn = {
            "ending": ending,
            "U": np.zeros((H, symbols + counts)),
            "W": np.zeros((H, H)),
            "b": np.zeros(H),
            "V": np.zeros((outputs, H)),
            "c": np.where(np.arange(outputs) < symbols, 0.0, -90.0),
            "h0": np.zeros(H),
            "K": symbols,
            "u": np.full({"end": 9, "halt": (9, 2), "length": 10}[ending], 0.5),
        }
        return {**drawn, "q": np.where(np.arange(9) == 8, 90.0, 0.0)} if counts else drawn

    fed = still()
    fed["U"][:symbols, :symbols] = 3.0 * np.eye(symbols)
    fed["V"][:symbols, :symbols] = 30.0 * np.roll(np.eye(symbols), 1, axis=0)
    fed["u"][:] = 0.9  # the first symbol is 2: zeros are read first, which favour none
    if not counts:
        fed["V"][symbols, 1] = 180.0
    turn = still()
    turn["h0"] = np.array([0.9, -0.9, -0.9, -0.9])
    turn["W"] = 3.0 * np.roll(np.eye(H), 1, axis=0)
    turn["V"][[0, 1, 2, 0], range(H)] = 30.0
    says = "what was read decides: after 0 comes 1, after 1 comes 2, after 2 comes 0"
    found = [
        Case("fed back", "probes", fed, says if counts else f"{says}; 1 is the last"),
        Case("handed on", "probes", turn, "the state alone decides: 1, 2, 0, 0, and so on"),
    ]
    if counts:
        left = still()
        left["U"][:2, symbols] = 2.0
        left["b"][:2] = -7.0, -13.0  # unit 0 is high above 3.5 to come, unit 1 above 6.5
        left["V"][:, :2] = np.array([[-30.0, 0.0], [30.0, -30.0], [0.0, 30.0]])
        says = "how many are to come decides: 2 while it is above 6, then 1, and 0 from 3 on"
        found.append(Case("countdown", "probes", left, says))
    return found


def _sampler_cases(ending: str) -> Callable[[np.random.Generator], list[Case]]:
    def cases(rng: np.random.Generator) -> list[Case]:
        def inputs(draws: int = 9, ends: float = -2.0) -> dict[str, Any]:
            return _sampler_inputs(rng, ending, draws, ends)

        loose, at_once, endless = inputs(ends=0.0), inputs(ends=90.0), inputs(ends=-90.0)
        loose["U"], loose["W"] = np.zeros_like(loose["U"]), np.zeros_like(loose["W"])
        if ending == "end":
            loose["u"] = np.where(np.arange(9) == 4, 0.999, 0.5 * loose["u"])
        elif ending == "halt":
            loose["u"][:, 1] = np.where(np.arange(9) == 4, 0.001, 0.999)
        found = [
            Case(
                "no memory",
                "probes",
                loose,
                "every step gives the same scores, u alone decides; -1 stands where y has ended",
            ),
            *_sampler_probes(ending),
        ]
        if ending == "length":
            short, long = inputs(), inputs()
            short["q"] = np.where(np.arange(9) == 0, 90.0, short["q"])
            long["q"] = np.where(np.arange(9) == 8, 90.0, long["q"])
            found += [
                Case("tau = 1", "probes", short, "q is sure of 1: one symbol"),
                Case("tau = M", "probes", long, "q is sure of M = 9: nine symbols"),
            ]
        else:
            first = "nothing is drawn" if ending == "end" else "one symbol is drawn"
            found += [
                Case("ends at once", "probes", at_once, f"the score of ending is 90: {first}"),
                Case("never ends", "probes", endless, "the score is -90: as many symbols as u has"),
            ]
        found += [Case("random input", "values", inputs(), "nine draws at most; -1 behind the end")]
        found += [
            Case(f"random input {i}", "properties", inputs(14), "fourteen draws at most")
            for i in range(2, 6)
        ]
        (mine,) = rng.spawn(1)  # what is drawn from the other stays as it was
        symbols, width = (int(mine.integers(n + 1, n + 4)) for n in (3, H))
        other = _sampler_inputs(mine, ending, 14, -2.0, symbols, width)
        says = f"K = {symbols}, H = {width}: take the sizes from the arguments"
        return [*found, Case("other sizes", "properties", other, says)]

    return cases


def _sampler_truth(ending: str, **args: Any) -> Arrays:
    """The whole prefix is run again for every symbol; classes are found by walking."""
    K, u = args["K"], args["u"]

    def outputs(inputs: list[np.ndarray]) -> np.ndarray:
        x = np.array(inputs, np.float64)[:, None]
        h = sweeps(x, args["h0"][None], args["U"], args["W"], args["b"])[-1, 0]
        return np.einsum("kh,h->k", args["V"], h) + args["c"]

    most = len(args["q"]) if ending == "length" else len(u)
    tau = _choose(args["q"], u[0]) + 1 if ending == "length" else most
    y: list[int] = []
    while len(y) < tau:
        t = len(y)
        symbols = [np.zeros(K), *(np.eye(K)[k] for k in y)]
        if ending == "length":
            symbols = [np.append(x, tau - i) for i, x in enumerate(symbols)]
        o = outputs(symbols)
        number = u[t, 0] if ending == "halt" else u[t + (ending == "length")]
        k = _choose(o if ending == "end" else o[:K], number)
        if ending == "end" and k == K:
            break
        y.append(k)
        if ending == "halt":
            after = outputs([*symbols, np.eye(K)[k]])
            if u[t, 1] < 1 - np.exp(_log_p(np.array([0.0, after[K]]), 0)):
                break
    return np.asarray(float(len(y))), np.array(y + [-1] * (most - len(y)), np.float64)


# 2.15, in PyTorch.


def _torch_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    drawn = _masked_inputs(rng, steps, batch)
    drawn["x"] = np.where(_inside(drawn), drawn["x"], 0.0)
    return {**drawn, "dh": rng.normal(size=(steps, batch, H))}


@varied(D=D, H=H)
def _torch_cases(rng: np.random.Generator) -> list[Case]:
    whole = _torch_inputs(rng)
    whole["lengths"] = np.full(B, T)
    end = _torch_inputs(rng)
    end["dh"][:-1] = 0.0
    return [
        Case("no padding", "probes", whole, "all sequences have T steps"),
        Case(
            "loss at the last entry alone",
            "probes",
            end,
            "the gradient reaches each sequence at its own last step",
        ),
        *usual(_torch_inputs, rng, {"x": 1, "lengths": 0, "h0": 0, "dh": 1}),
        elsewhere(_torch_inputs(rng)),
    ]


def _torch_truth(**args: Any) -> Arrays:
    """torch.nn.RNN on a packed sequence; behind its end, a sequence's last state."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    args.pop("also", None)
    lengths = torch.tensor(args.pop("lengths"))
    a = {name: torch.tensor(value, dtype=torch.float64) for name, value in args.items()}
    rnn = torch.nn.RNN(a["U"].shape[1], a["W"].shape[0], dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(a["U"])
        rnn.weight_hh_l0.copy_(a["W"])
        rnn.bias_ih_l0.copy_(a["b"])
        rnn.bias_hh_l0.zero_()
    x, h0 = a["x"].requires_grad_(), a["h0"].requires_grad_()
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    h, last = rnn(packed, h0[None])
    h, _ = pad_packed_sequence(h, total_length=len(x))
    behind = torch.arange(len(x))[:, None] >= lengths
    h = torch.where(behind[..., None], last, h)
    wanted = [x, h0, rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0]
    grads = torch.autograd.grad((h * a["dh"]).sum(), wanted)
    return tuple(value.detach().numpy() for value in (h, *grads))


PER_SEQUENCE = (Output("log_p", ("B",)),)
SEQUENCE = (Output("len(y)", ()), Output("y", ("T",)))


def _sampler(ending: str, number: str, title: str, read: str) -> Exercise:
    return Exercise(
        f"unfolding.sample_{ending}",
        number,
        title,
        read,
        2,
        SEQUENCE,
        _sampler_cases(ending),
        _sampler_truth,
        run=run_sampler,
    )


CHAPTER = Chapter(
    name="unfolding",
    number=2,
    title="Unfolding",
    page="02-unfolding",
    exercises=(
        Exercise(
            "unfolding.step",
            "2.1",
            "One step",
            "(2.3)",
            2,
            (Output("h", ("B", "H")), Output("o", ("B", "K"))),
            _step_cases,
            _step_truth,
            run=run_step,
        ),
        Exercise(
            "unfolding.unfold",
            "2.2",
            "Unfold",
            "(2.1)-(2.2)",
            3,
            (Output("state", ("B", "H")), Output("ys", ("T", "B", "K"))),
            _unfold_cases,
            _unfold_truth,
            run=run_unfold,
        ),
        Exercise(
            "unfolding.concatenated",
            "2.3",
            "The concatenated form",
            "(2.4)",
            2,
            (Output("Wa", ("H", "H + D")), Output("z", ("B", "H + D")), Output("a", ("B", "H"))),
            _joined_cases,
            _joined_truth,
        ),
        Exercise(
            "unfolding.count",
            "2.4",
            "Count the parameters",
            "(2.5)-(2.6)",
            {"rnn": 1, "mlp": 1, "longer": 1},
            (Output("rnn", ()), Output("mlp", ()), Output("longer", ())),
            _count_cases,
            _count_truth,
        ),
        Exercise(
            "unfolding.copies",
            "2.5",
            "One matrix, many copies",
            "(2.7)-(2.8)",
            3,
            (Output("parts", HIDDEN),),
            _copies_cases,
            _copies_truth,
        ),
        Exercise(
            "unfolding.masked",
            "2.6",
            "A batch of unequal lengths",
            "(2.9)",
            3,
            (Output("h", HIDDEN),),
            _masked_cases,
            _masked_truth,
        ),
        Exercise(
            "unfolding.pack",
            "2.7",
            "Packing",
            "(2.10)",
            2,
            (Output("data", ("N", "D")), Output("counts", ("T",))),
            _pack_cases,
            _pack_truth,
            unpack=with_integers("counts"),
        ),
        Exercise(
            "unfolding.log_end",
            "2.8",
            "The end as a symbol",
            "(2.11)",
            2,
            PER_SEQUENCE,
            _end_cases,
            _end_truth,
        ),
        Exercise(
            "unfolding.log_halt",
            "2.9",
            "A decision at every step",
            "(2.12)",
            2,
            PER_SEQUENCE,
            _halt_cases,
            _halt_truth,
        ),
        Exercise(
            "unfolding.log_length",
            "2.10",
            "The length first",
            "(2.15)",
            2,
            PER_SEQUENCE,
            _length_cases,
            _length_truth,
        ),
        Exercise(
            "unfolding.pick",
            "2.11",
            "Draw a symbol",
            "(2.16)",
            1,
            (Output("k", ("B",)),),
            _pick_cases,
            _pick_truth,
            unpack=with_integers("k"),
        ),
        _sampler("end", "2.12", "Sample until the end symbol", "(2.11), (2.16)"),
        _sampler("halt", "2.13", "Sample with a halting decision", "(2.12), (2.16)"),
        _sampler("length", "2.14", "Sample the length first", "(2.15), (2.16)"),
        Exercise(
            "unfolding.torch_masked",
            "2.15",
            "The same in PyTorch",
            "(2.9)",
            3,
            tuple(
                Output(name, axes)
                for name, axes in {
                    "h": HIDDEN,
                    "dx": ("T", "B", "D"),
                    "dh0": ("B", "H"),
                    "dU": ("H", "D"),
                    "dW": ("H", "H"),
                    "db": ("H",),
                }.items()
            ),
            _torch_cases,
            _torch_truth,
            run=run_torch_masked,
            uses_torch=True,
        ),
    ),
    questions=(Question("unfolding.explain", "2.16", "How should it end?", 3),),
)
