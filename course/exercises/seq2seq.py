"""Chapter 6: inputs, probes, properties and oracles of its exercises.

The oracles go through one sequence at a time, without its padding; gradients come from complex
steps, searches from scores that are computed anew for every whole sequence.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from course.adapters import (
    run_bleu,
    run_decoder,
    run_encoder,
    run_scan,
    run_search,
)
from course.exercise import (
    Arrays,
    Case,
    Chapter,
    Exercise,
    Output,
    Question,
    Tolerance,
    as_outputs,
)
from course.exercises.common import (
    STEP,
    complex_steps,
    double,
    draw_targets,
    elsewhere,
    padding,
    usual,
    varied,
    with_integers,
    zeroed,
)
from course.translation import COMPARED, run_translation

T, B, D, H, K, C, A, S = 5, 2, 3, 4, 6, 3, 7, 4
END = 0


# Inputs.


def _encoder(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "x": rng.normal(size=(steps, batch, D)),
        "mask": padding(steps, batch),
        "h0": rng.uniform(-0.9, 0.9, (batch, H)),
        "U": rng.normal(0, 0.6, (H, D)),
        "W": rng.normal(0, 0.6, (H, H)),
        "b": rng.normal(0, 0.5, H),
    }


def _dot(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "query": rng.normal(0, 1.2, (batch, H)),
        "keys": rng.normal(0, 1.2, (steps, batch, H)),
        "values": rng.normal(size=(steps, batch, C)),
        "mask": padding(steps, batch),
    }


def _additive(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "query": rng.normal(size=(batch, K)),
        "keys": rng.normal(size=(steps, batch, H)),
        "values": rng.normal(size=(steps, batch, C)),
        "mask": padding(steps, batch),
        "Wq": rng.normal(0, 0.6, (A, K)),
        "Wk": rng.normal(0, 0.6, (A, H)),
        "v": rng.normal(0, 1.0, A),
    }


def _attended(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    """What the backward pass gets, with the alpha that goes with it."""
    drawn = _additive(rng, steps, batch)
    _, alpha = _additive_truth(**drawn)
    return {
        "dcontext": rng.normal(size=(batch, C)),
        **{name: drawn[name] for name in ("query", "keys", "values")},
        "alpha": alpha,
        **{name: drawn[name] for name in ("Wq", "Wk", "v")},
    }


def _decoder(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "s0": rng.uniform(-0.9, 0.9, (batch, H)),
        "y0": rng.integers(0, K, batch),
        "y": rng.integers(0, K, (steps, batch)),
        "E": rng.normal(size=(K, D)),
        "V": rng.normal(size=(K, H + A)),
        "b": rng.normal(size=K),
        "U": rng.normal(0, 0.6, (H, D + A)),
        "W": rng.normal(0, 0.6, (H, H)),
        "d": rng.normal(0, 0.5, H),
        "A": rng.normal(size=(A, H)),
    }


def _network(rng: np.random.Generator, limit: int = 6, classes: int = K) -> dict[str, Any]:
    """A step of the course's own for the searches; see run_search."""
    return {
        "h0": rng.uniform(-0.9, 0.9, H),
        "begin": classes - 1,
        "end": END,
        "limit": limit,
        "U": rng.normal(0, 1.0, (H, classes)),
        "W": rng.normal(0, 0.8, (H, H)),
        "b": rng.normal(0, 0.3, H),
        "V": rng.normal(0, 1.2, (classes, H)),
        "c": rng.normal(0, 0.3, classes),
    }


def _chain(table: Sequence[Sequence[float]], begin: int, limit: int) -> dict[str, Any]:
    """A step whose next symbol depends on the last one alone; table[i][k] is its probability."""
    classes, large = len(table), 5.0
    return {
        "h0": np.zeros(classes),
        "begin": begin,
        "end": END,
        "limit": limit,
        "U": large * np.eye(classes),
        "W": np.zeros((classes, classes)),
        "b": np.zeros(classes),
        "V": np.log(np.array(table)).T / np.tanh(large),
        "c": np.zeros(classes),
    }


def _translator(
    rng: np.random.Generator,
    steps: int = T,
    batch: int = B,
    kind: str = "additive",
    more: int = 0,
) -> dict[str, Any]:
    """Weights by PyTorch's names, two padded sources, and targets; more is added to all sizes."""
    d, h, k, sources = D + more, H + more, K + more, 7 + more
    gru = {"weight_ih": (3 * h, d), "weight_hh": (3 * h, h), "bias_ih": 3 * h, "bias_hh": 3 * h}
    shapes = {
        "embed_source.weight": (sources, d),
        "embed_target.weight": (k, d),
        **{f"encoder.{name}_l0": shape for name, shape in gru.items()},
        **{f"cell.{name}": shape for name, shape in gru.items()},
        "cell.weight_ih": (3 * h, d + h),
        "read_query.weight": (h, h),
        "read_key.weight": (h, h),
        "score.weight": (1, h),
        "output.weight": (k, 2 * h),
        "output.bias": k,
        "s0": h,
    }
    return {
        "context": kind,
        "x": rng.integers(0, sources, (steps, batch)),
        "lengths": padding(steps, batch).sum(0).astype(np.int64),
        "y0": rng.integers(0, k, batch),
        "y": rng.integers(0, k, (S + more, batch)),
        "do": rng.normal(size=(S + more, batch, k)),
        **{name: rng.normal(0, 0.8, shape) for name, shape in shapes.items()},
    }


def _scan_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "a": rng.uniform(0.2, 1.0, (steps, batch, H)),
        "b": rng.normal(size=(steps, batch, H)),
        "h0": rng.normal(size=(batch, H)),
    }


def _mingru_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "x": rng.normal(size=(steps, batch, D)),
        "h0": rng.normal(size=(batch, H)),
        "Uz": rng.normal(size=(H, D)),
        "bz": rng.normal(size=H),
        "Un": rng.normal(size=(H, D)),
        "bn": rng.normal(size=H),
    }


def _padded_with(args: Mapping[str, Any], value: float, *names: str) -> dict[str, Any]:
    """The same arguments, with a number in the padding of some."""
    inside = args["mask"][..., None] > 0
    return {n: np.where(inside, v, value) if n in names else v for n, v in args.items()}


# Oracles.


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Of complex numbers, too; the largest real part is taken out."""
    weight = np.exp(scores - scores.real.max())
    return weight / weight.sum()


def _lengths(mask: np.ndarray) -> list[int]:
    return [int(column.sum()) for column in mask.T]


def _encode_truth(**args: np.ndarray) -> Arrays:
    """One sequence after the other, without padding, its last state repeated behind."""
    a = double(**args)
    out = np.empty((*a["mask"].shape, a["h0"].shape[1]))
    for n, length in enumerate(_lengths(a["mask"])):
        h = a["h0"][n]
        for t in range(length):
            h = np.tanh(a["b"] + a["U"] @ a["x"][t, n] + a["W"] @ h)
            out[t, n] = h
        out[length:, n] = h
    return (out,)


def _weights_truth(lengths: np.ndarray, T: int) -> Arrays:
    last, mean = np.zeros((T, len(lengths))), np.zeros((T, len(lengths)))
    for n, length in enumerate(map(int, lengths)):
        last[length - 1, n] = 1.0
        mean[:length, n] = 1.0 / length
    return last, mean


def _mixed(scores: Callable[[int, int], Any], values: np.ndarray, mask: np.ndarray) -> Arrays:
    """Context and weights of one sequence after the other; scores(n, length) gives its scores."""
    alpha = np.zeros(mask.shape)
    context = np.zeros(values.shape[1:])
    for n, length in enumerate(_lengths(mask)):
        alpha[:length, n] = _softmax(scores(n, length))
        context[n] = sum(alpha[t, n] * values[t, n] for t in range(length))
    return context, alpha


def _dot_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    keys, query = a["keys"], a["query"]

    def scores(n: int, length: int) -> np.ndarray:
        root = math.sqrt(len(query[n]))
        return np.array([math.fsum(keys[t, n] * query[n]) / root for t in range(length)])

    return _mixed(scores, a["values"], a["mask"])


def _additive_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)

    def scores(n: int, length: int) -> np.ndarray:
        return np.array(
            [
                a["v"] @ np.tanh(a["Wq"] @ a["query"][n] + a["Wk"] @ a["keys"][t, n])
                for t in range(length)
            ]
        )

    return _mixed(scores, a["values"], a["mask"])


def _attention_backward_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    inside = a["alpha"] > 0

    def weighted(query: Any, keys: Any, values: Any, Wq: Any, Wk: Any, v: Any, **_: Any) -> Any:
        total = 0.0
        for n in range(inside.shape[1]):
            rows = np.flatnonzero(inside[:, n])
            alpha = _softmax(np.tanh(Wq @ query[n] + keys[rows, n] @ Wk.T) @ v)
            total = total + alpha @ values[rows, n] @ a["dcontext"][n]
        return total

    return complex_steps(weighted, a, ("query", "keys", "values", "Wq", "Wk", "v"))


def _decode_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    steps, batch = a["y"].shape
    s_all, o_all = np.empty((steps, *a["s0"].shape)), np.empty((steps, batch, len(a["b"])))
    for n in range(batch):
        s, before = a["s0"][n], int(a["y0"][n])
        for t in range(steps):
            c = np.tanh(a["A"] @ s)
            x = [*a["E"][before], *c]
            s = np.tanh(a["U"] @ x + a["W"] @ s + a["d"])
            s_all[t, n], o_all[t, n] = s, a["V"] @ [*s, *c] + a["b"]
            before = int(a["y"][t, n])
    return s_all, o_all


def _cross_entropy_truth(o: np.ndarray, y: np.ndarray, mask: np.ndarray) -> Arrays:
    o, mask = np.asarray(o, np.float64), np.asarray(mask, np.float64)
    counted = [(t, n) for t, n in np.ndindex(y.shape) if mask[t, n] > 0]

    def surprise(row: np.ndarray, target: int) -> Any:
        top = row.real.max()
        return np.log(np.exp(row - top).sum()) + top - row[target]

    loss = math.fsum(float(surprise(o[t, n], y[t, n])) for t, n in counted) / len(counted)
    do = np.zeros(o.shape)
    for t, n in counted:
        for k in range(o.shape[-1]):
            moved = o[t, n].astype(complex)
            moved[k] += 1j * STEP
            do[t, n, k] = surprise(moved, y[t, n]).imag / STEP / len(counted)
    return np.array(loss), do


def _log_p(args: Mapping[str, Any], y: Sequence[int]) -> np.ndarray:
    """Log-probabilities of what may come after the symbols y; run from the beginning."""
    h = args["h0"]
    for symbol in (args["begin"], *y):
        h = np.tanh(args["W"] @ h + args["U"][:, symbol] + args["b"])
    o = args["V"] @ h + args["c"]
    return o - np.logaddexp.reduce(o)


def _whole(after: Callable[[Sequence[int]], np.ndarray], y: Sequence[int]) -> float:
    """Log-probability of all of y, by those of what may come after each of its beginnings."""
    return math.fsum(after(y[:n])[symbol] for n, symbol in enumerate(y))


def _found(args: Mapping[str, Any], y: Sequence[int], score: float) -> Arrays:
    filled = np.full(args["limit"], -1.0)
    filled[: len(y)] = y
    return np.array(float(len(y))), filled, np.array(score)


def _greedy_truth(**args: Any) -> Arrays:
    y: list[int] = []
    while len(y) < args["limit"] and args["end"] not in y:
        y.append(int(np.argmax(_log_p(args, y))))
    return _found(args, y, _whole(functools.partial(_log_p, args), y))


def _complete(args: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """Every sequence that ends, and every one that the limit cuts off."""
    symbols = range(len(args["c"]))
    others = [k for k in symbols if k != args["end"]]
    found: list[tuple[int, ...]] = []
    for length in range(args["limit"]):
        found += [(*y, args["end"]) for y in itertools.product(others, repeat=length)]
    return found + list(itertools.product(others, repeat=args["limit"]))


def _beam_truth(**args: Any) -> Arrays:
    """All complete sequences, if the beam is wide enough for them; else level by level."""
    classes = len(args["c"])
    after = functools.cache(functools.partial(_log_p, args))  # many begin in the same way
    if args["width"] >= classes ** args["limit"]:
        pool = _complete(args)
    else:
        level: list[tuple[int, ...]] = [()]
        pool = []
        for _ in range(args["limit"]):
            longer = [(*y, k) for y in level for k in range(classes)]
            order = np.argsort([-_whole(after, y) for y in longer], kind="stable")
            kept = [longer[i] for i in order[: args["width"]]]
            pool += [y for y in kept if y[-1] == args["end"]]
            level = [y for y in kept if y[-1] != args["end"]]
        pool += level
    scores = [_whole(after, y) / len(y) ** args["length_penalty"] for y in pool]
    best = int(np.argmax(scores))
    return _found(args, pool[best], scores[best])


def _bleu_truth(candidates: list, references: list, counts: np.ndarray) -> Arrays:
    """Every n-gram looked up one by one."""
    ends = np.cumsum(counts)
    groups = [references[end - n : end] for n, end in zip(counts, ends, strict=True)]
    logs = []
    for n in range(1, 5):
        right = made = 0
        for candidate, answers in zip(candidates, groups, strict=True):
            grams = [tuple(candidate[i : i + n]) for i in range(len(candidate) - n + 1)]
            made += len(grams)
            for gram in set(grams):
                there = [
                    sum(tuple(answer[i : i + n]) == gram for i in range(len(answer) - n + 1))
                    for answer in answers
                ]
                right += min(grams.count(gram), max(there))
        if right == 0:
            return (np.array(0.0),)
        logs.append(math.log(right) - math.log(made))
    c = sum(map(len, candidates))
    r = sum(
        min(map(len, answers), key=lambda length: (abs(length - len(candidate)), length))
        for candidate, answers in zip(candidates, groups, strict=True)
    )
    brevity = 0.0 if c >= r else 1 - r / c
    return (np.array(math.exp(brevity + math.fsum(logs) / 4)),)


def _recurrence(a: np.ndarray, b: np.ndarray, h0: np.ndarray) -> np.ndarray:
    h, states = h0, []
    for now, new in zip(a, b, strict=True):
        h = now * h + new
        states.append(h)
    return np.stack(states)


def _scan_truth(**args: Any) -> Arrays:
    args.pop("also", None)
    return (_recurrence(**double(**args)),)


def _mingru_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    states, h = [], a["h0"]
    for x in a["x"]:
        z = np.exp(-np.logaddexp(0, -(x @ a["Uz"].T + a["bz"])))
        h = h + z * (x @ a["Un"].T + a["bn"] - h)
        states.append(h)
    return (np.stack(states),)


def _cell(a: Mapping[str, Any], prefix: str, suffix: str, x: Any, h: Any) -> Any:
    """PyTorch's GRU, one sequence, one step; on complex numbers, too."""

    def weight(name: str) -> np.ndarray:
        return a[f"{prefix}.{name}{suffix}"]

    from_x = np.split(weight("weight_ih") @ x + weight("bias_ih"), 3)
    from_h = np.split(weight("weight_hh") @ h + weight("bias_hh"), 3)
    r, keep = (1 / (1 + np.exp(-(from_x[i] + from_h[i]))) for i in (0, 1))
    new = np.tanh(from_x[2] + r * from_h[2])
    return new + keep * (h - new)


def _translation(a: Mapping[str, Any], n: int) -> tuple[list[Any], list[Any]]:
    """o and alpha of every step, for sequence n without its padding."""
    h, states = np.zeros(len(a["s0"])), []
    for symbol in a["x"][: a["lengths"][n], n]:
        h = _cell(a, "encoder", "_l0", a["embed_source.weight"][symbol], h)
        states.append(h)
    states = np.stack(states)
    length, s = len(states), a["s0"]
    outputs, alphas = [], []
    for before in (a["y0"][n], *a["y"][:-1, n]):
        if a["context"] == "last":
            alpha = np.eye(length)[-1]
        elif a["context"] == "mean":
            alpha = np.full(length, 1 / length)
        elif a["context"] == "dot":
            alpha = _softmax(states @ s / math.sqrt(len(s)))
        else:
            at_query = a["read_query.weight"] @ s
            z = np.tanh(at_query + states @ a["read_key.weight"].T)
            alpha = _softmax(z @ a["score.weight"][0])
        c = alpha @ states
        s = _cell(a, "cell", "", np.concatenate([a["embed_target.weight"][before], c]), s)
        outputs.append(a["output.weight"] @ np.concatenate([s, c]) + a["output.bias"])
        alphas.append(alpha)
    return outputs, alphas


def _translator_truth(**args: Any) -> Arrays:
    args.pop("also", None)
    a = double(**args)
    o, alpha = np.zeros(a["do"].shape), np.zeros((len(a["y"]), *a["x"].shape))
    for n, length in enumerate(a["lengths"]):
        outputs, alphas = _translation(a, n)
        o[:, n], alpha[:, :length, n] = outputs, alphas

    def weighted(**moved: Any) -> Any:
        made = (_translation(moved, n)[0] for n in range(o.shape[1]))
        return sum((np.stack(rows) * a["do"][:, n]).sum() for n, rows in enumerate(made))

    return o, alpha, *complex_steps(weighted, a, ("embed_source.weight", *COMPARED))


# Cases.


@varied(D=D, H=H)
def _encoder_cases(rng: np.random.Generator) -> list[Case]:
    whole = _encoder(rng)
    whole["mask"] = np.ones_like(whole["mask"])
    still = zeroed(whole, "x", "U", "b")
    short = _encoder(rng)
    short["mask"] = np.zeros_like(short["mask"])
    short["mask"][0] = 1.0
    rubbish = _padded_with(_encoder(rng), np.nan, "x")
    return [
        Case("no padding", "probes", whole, "every step counts: one step after the other"),
        Case("h(0) alone", "probes", still, "no input: the states come from h(0) alone"),
        Case(
            "padding behind",
            "probes",
            _encoder(rng),
            "the second sequence ends before the first: from there on its state stays as it was",
        ),
        Case(
            "all but the first step is padding",
            "probes",
            short,
            "h(1) is made from h(0), and stays to the end",
        ),
        *usual(_encoder, rng, {"x": 1, "mask": 1, "h0": 0}),
        Case("NaN in the padding", "properties", rubbish, "no number of the padding may count"),
    ]


def _weights_cases(rng: np.random.Generator) -> list[Case]:
    def drawn(count: int, steps: int) -> dict[str, Any]:
        return {"lengths": rng.integers(1, steps + 1, count), "T": steps}

    return [
        Case(
            "one full sequence",
            "probes",
            {"lengths": np.array([4]), "T": 4},
            "no padding: the last of four, and a quarter each",
        ),
        Case(
            "padding behind",
            "probes",
            {"lengths": np.array([2, 4]), "T": 6},
            "two and four of six steps are there; the padding has no weight",
        ),
        Case("random input", "values", drawn(7, 9), "seven sequences, nine steps"),
        Case("T = 1", "properties", drawn(3, 1), "all there is has weight 1"),
        Case("B = 1", "properties", drawn(1, 5), "a batch of one keeps its axis"),
    ]


def _attention_cases(
    draw: Callable[..., dict[str, Any]],
    rng: np.random.Generator,
    flat: tuple[str, str],
    probes: Sequence[Case],
    extremes: tuple[dict[str, Any], dict[str, Any]],
) -> list[Case]:
    """Probes and properties that any attention has; flat names what makes the weights equal."""
    whole = draw(rng)
    whole["mask"] = np.ones_like(whole["mask"])
    large = _padded_with(draw(rng), 50.0, "keys", "values")
    sharp = draw(rng)
    sharp["query"], sharp["keys"] = sharp["query"] * 40, sharp["keys"] * 40
    if "v" in sharp:
        sharp["v"] = sharp["v"] * 2000
    return [
        Case("equal scores", "probes", zeroed(whole, flat[0]), flat[1]),
        Case("no padding", "probes", whole, "every step may be looked at"),
        *probes,
        Case(
            "large numbers in the padding",
            "probes",
            large,
            "50 stands where the padding is, in keys and values: it has weight 0",
        ),
        *usual(draw, rng, {"query": 0, "keys": 1, "values": 1, "mask": 1}),
        Case(
            "the largest score in the padding",
            "properties",
            extremes[0],
            "the padding's score is larger by thousands than all that count",
        ),
        Case(
            "low scores",
            "properties",
            extremes[1],
            "all that counts has a score of some thousands below 0; the padding has not",
        ),
        Case("large scores", "properties", sharp, "scores in the thousands: the largest wins"),
    ]


@varied(H=H, C=C)
def _dot_cases(rng: np.random.Generator) -> list[Case]:
    high, low = _dot(rng), _dot(rng)
    for args, inside, score in ((high, 0.0, 2000.0), (low, 1.0, -5000.0)):
        along = args["query"] / (args["query"] ** 2).sum(axis=1, keepdims=True)
        there = (args["mask"] == inside)[..., None]
        args["keys"] = args["keys"] + there * score * math.sqrt(H) * along
    flat = ("query", "a query of 0: each weight is 1/T")
    return _attention_cases(_dot, rng, flat, (), (high, low))


@varied(H=H, C=C, A=A, Q=6)
def _additive_cases(rng: np.random.Generator) -> list[Case]:
    keys, query = _additive(rng), _additive(rng)
    keys["mask"] = query["mask"] = np.ones_like(keys["mask"])
    keys, query = zeroed(keys, "Wq"), zeroed(query, "Wk")
    high, low = _additive(rng), _additive(rng)
    for args, inside, first in ((high, 0.0, 50.0), (low, 1.0, -2.0)):
        # The first unit of a key moves the score up and down; the others hardly do.
        args["Wk"][:, 0] = np.sign(args["v"])
        args["v"] = args["v"] * 5000 / np.abs(args["v"]).sum()
        args["Wq"] = args["Wq"] * 0.2
        args["keys"] = args["keys"] * 0.3
        args["keys"][..., 0] = np.where(args["mask"] == inside, first, 0.0)
    return _attention_cases(
        _additive,
        rng,
        ("v", "v = 0: each weight is 1/T"),
        (
            Case("the keys alone", "probes", keys, "Wq = 0: the score is v · tanh(Wk k)"),
            Case("the query alone", "probes", query, "Wk = 0: all scores of a sequence are equal"),
        ),
        (high, low),
    )


def _two_keys(rng: np.random.Generator) -> dict[str, Any]:
    """Both steps count, so that the two derivatives of the scores are opposite."""
    args = _attended(rng, 3, 1)  # the third is padding
    return {name: v[:2] if name in ("keys", "values", "alpha") else v for name, v in args.items()}


def _with_its_weights(args: dict[str, Any]) -> dict[str, Any]:
    """The same arguments, with the alpha that goes with the others and is 0 where it was."""
    forward = {name: args[name] for name in ("query", "keys", "values", "Wq", "Wk", "v")}
    _, alpha = _additive_truth(mask=(args["alpha"] > 0).astype(float), **forward)
    return {**args, "alpha": alpha}


@varied(fit=_with_its_weights, H=H, C=C, A=A, Q=6)
def _attention_backward_cases(rng: np.random.Generator) -> list[Case]:
    flat = _attended(rng, 1, 1)
    return [
        Case(
            "one key",
            "probes",
            flat,
            "T = 1: the weight is 1 whatever the score, so only dvalues is not zero",
        ),
        Case("two keys", "probes", _two_keys(rng), "T = 2: what one weight gains the other loses"),
        *usual(_attended, rng, {"dcontext": 0, "query": 0, "keys": 1, "values": 1, "alpha": 1}),
    ]


@varied(sums=("DA", "HA"), D=D, H=H, K=K, A=A)
def _decoder_cases(rng: np.random.Generator) -> list[Case]:
    one = _decoder(rng, steps=1)
    symbols = zeroed(_decoder(rng), "W", "A", "s0")
    context = zeroed(_decoder(rng), "E")
    blind = _decoder(rng)
    blind["V"] = np.concatenate([np.zeros((K, H)), blind["V"][:, H:]], axis=1)
    return [
        Case(
            "one step", "probes", one, "T = 1: y(0) and c(1) go in; the output reads [s(1); c(1)]"
        ),
        Case(
            "the symbols alone",
            "probes",
            symbols,
            "no context, no recurrence: each output comes from the symbol before it",
        ),
        Case("the context alone", "probes", context, "E = 0: the symbols do not count"),
        Case(
            "the context in the output",
            "probes",
            blind,
            "V reads the context alone: the one that this step's state was made with",
        ),
        *usual(_decoder, rng, {"s0": 0, "y0": 0, "y": 1}),
    ]


@varied(K=K)
def _cross_entropy_cases(rng: np.random.Generator) -> list[Case]:
    whole = draw_targets(rng)
    whole["mask"] = np.ones_like(whole["mask"])
    flat = {**draw_targets(rng), "o": np.zeros((T, B, K))}
    large = draw_targets(rng)
    large["o"][::2] += 1000.0
    raised = draw_targets(rng)
    raised["o"] += 1000.0
    far = draw_targets(rng)
    far["o"][0, 0] = 0.0
    far["o"][0, 0, 0], far["y"][0, 0] = 1000.0, 1
    uneven = draw_targets(rng)
    uneven["mask"][1:, 1] = 0.0
    return [
        Case("no padding", "probes", whole, f"the mean over all T B = {T * B} symbols"),
        Case("equal outputs", "probes", flat, f"each symbol costs log {K}, with padding, too"),
        Case(
            "unequal lengths",
            "probes",
            uneven,
            "four symbols and one: each of the five has the same weight",
        ),
        Case("large outputs", "properties", raised, "1000 more for each output changes nothing"),
        Case(
            "large and small outputs",
            "properties",
            large,
            "each step and sequence has its own softmax",
        ),
        Case(
            "an unlikely target",
            "properties",
            far,
            "one target is 1000 below the largest output: it costs 1000, and exp(-1000) is 0",
        ),
        *usual(draw_targets, rng, {"o": 1, "y": 1, "mask": 1}),
    ]


COUNTS_UP = (
    (0.2, 0.2, 0.2, 0.2, 0.2),
    (0.1, 0.1, 0.6, 0.1, 0.1),
    (0.1, 0.1, 0.1, 0.6, 0.1),
    (0.6, 0.1, 0.1, 0.1, 0.1),
    (0.1, 0.6, 0.1, 0.1, 0.1),
)
"""After symbol 4 comes 1, then 2, 3, and the end, which is 0."""

GARDEN = (
    (0.25, 0.25, 0.25, 0.25),
    (0.26, 0.37, 0.36, 0.01),
    (0.97, 0.01, 0.01, 0.01),
    (0.02, 0.55, 0.42, 0.01),
)
"""After 3 symbol 1 is likelier than 2, but after 2 the end is nearly sure, after 1 nothing is."""

STUBBORN = (
    (0.25, 0.25, 0.25, 0.25),
    (0.2, 0.01, 0.78, 0.01),
    (0.98, 0.01, 0.005, 0.005),
    (0.62, 0.36, 0.01, 0.01),
)
"""The shortest sequence is the likeliest; per symbol a longer one is better."""


LOST = (
    (0.1, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15),
    (0.008, 0.008, 0.008, 0.49, 0.47, 0.008, 0.008),
    (0.08, 0.08, 0.08, 0.08, 0.08, 0.52, 0.08),
    (0.25, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125),
    (0.25, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125),
    (0.94, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01),
    (0.01, 0.5, 0.45, 0.01, 0.01, 0.01, 0.01),
)
"""After 6, symbols 1, 3 and 1, 4 are likelier than 2, 5; but only 2, 5 leads to a sure end."""


CROWDED = (
    (0.2, 0.2, 0.2, 0.2, 0.2),
    (0.02, 0.02, 0.5, 0.44, 0.02),
    (0.3, 0.1, 0.25, 0.2, 0.15),
    (0.97, 0.01, 0.01, 0.006, 0.004),
    (0.36, 0.6, 0.02, 0.015, 0.005),
)
"""After 4 the end is second: if it keeps its place, 1, 3 finds none in a beam of width 2."""

PATIENT = (
    (0.2, 0.2, 0.2, 0.2, 0.2),
    (0.3, 0.02, 0.65, 0.02, 0.01),
    (0.02, 0.01, 0.01, 0.95, 0.01),
    (0.95, 0.02, 0.01, 0.01, 0.01),
    (0.5, 0.45, 0.03, 0.01, 0.01),
)
"""0 and 1, 0 have ended after two steps; 1, 2, 3, 0 has the better mean."""


REPLACED = (
    (0.4, 0.3, 0.3),
    (0.98, 0.01, 0.01),
    (0.55, 0.43, 0.02),
)
"""The end is likeliest at once; what lies behind it would have the better mean."""

BELOW = (
    (0.4, 0.3, 0.3),
    (0.34, 0.33, 0.33),
    (0.43, 0.55, 0.02),
)
"""The end is second at once, and likelier than all that begins with the first."""


def _greedy_cases(rng: np.random.Generator) -> list[Case]:
    endless = _network(rng)
    endless["c"] = endless["c"].copy()
    endless["c"][END] = -50.0
    shared = _network(rng)
    shared["begin"] = END
    return [
        Case(
            "counting up",
            "probes",
            _chain(COUNTS_UP, 4, 9),
            "after 4 comes 1, then 2, 3, and the end, 0; each with probability 0.6",
        ),
        Case(
            "another end",
            "probes",
            {**_chain(COUNTS_UP, 4, 9), "end": 3},
            "the same, and 3 is the end symbol: 1, 2, 3",
        ),
        Case("no end in sight", "probes", endless, "the end is never likeliest: the limit ends it"),
        Case("random input", "values", _network(rng, 9), f"{K} symbols, at most 9 steps"),
        Case("limit 1", "properties", _network(rng, 1), "one symbol, and no more"),
        Case(
            "begin is end",
            "properties",
            shared,
            "one symbol begins and ends, as with the dinosaurs: going in it ends nothing",
        ),
    ]


def _searched(
    network: Mapping[str, Any], width: int, length_penalty: float = 0.0
) -> dict[str, Any]:
    return {**network, "width": width, "length_penalty": length_penalty}


def _contested(
    rng: np.random.Generator,
    width: int,
    length_penalty: float,
    limit: int = 6,
    classes: int = K,
) -> dict[str, Any]:
    """A network for which greedy search, and another penalty, find something else."""
    while True:
        args = _searched(_network(rng, limit, classes), width, length_penalty)
        found = _beam_truth(**args)[1]
        if np.array_equal(found, _beam_truth(**{**args, "width": 1})[1]):
            continue
        if np.array_equal(found, _beam_truth(**{**args, "length_penalty": 1 - length_penalty})[1]):
            continue
        if _beam_truth(**{**args, "length_penalty": 0.0})[0] > 1:  # of one, the mean is the sum
            return args


def _beam_cases(rng: np.random.Generator) -> list[Case]:
    few = _contested(rng, 3**4, 0.0, 4, 3)
    shared = _network(rng)
    shared["begin"] = END
    return [
        Case("width 1", "probes", _searched(_chain(COUNTS_UP, 4, 9), 1), "greedy search"),
        Case(
            "a garden path",
            "probes",
            _searched(_chain(GARDEN, 3, 4), 2),
            "1 is likelier than 2 at first; 2, 0 is likelier than anything that begins with 1",
        ),
        Case(
            "a lost path",
            "probes",
            _searched(_chain(LOST, 6, 4), 2),
            "2, 5 would have been best, and is third after two steps: a beam of width 2 drops it",
        ),
        Case(
            "short or likely",
            "probes",
            _searched(_chain(STUBBORN, 3, 5), 3, 1.0),
            "0 at once is likeliest; 1, 2, 0 has the better mean",
        ),
        Case(
            "two places",
            "probes",
            _searched(_chain(CROWDED, 4, 4), 2, 1.0),
            "0 has ended and is set aside: both 1, 2 and 1, 3 are kept, and 1, 3, 0 is best",
        ),
        Case(
            "the third to end",
            "probes",
            _searched(_chain(PATIENT, 4, 6), 2, 1.0),
            "0 and 1, 0 have ended after two steps; 1, 2, 3, 0 is alive, and better",
        ),
        Case(
            "one place, and the end takes it",
            "probes",
            _searched(_chain(REPLACED, 2, 4), 1, 1.0),
            "width 1, and 0 is likeliest: it has ended, none is alive; 1 was below the width",
        ),
        Case(
            "the end below the width",
            "probes",
            _searched(_chain(BELOW, 2, 4), 1),
            "width 1, and 0 is second at first: it is dropped like any other, not set aside",
        ),
        Case(
            "random input",
            "values",
            _contested(rng, 3, 0.0),
            f"{K} symbols, at most 6 steps, width 3, no length penalty",
        ),
        Case(
            "length penalty",
            "properties",
            _contested(rng, 4, 0.7),
            "width 4, log P divided by the length to the power 0.7",
        ),
        Case(
            "wide enough for everything",
            "properties",
            few,
            "3 symbols, 4 steps: nothing is dropped, so the best of all sequences is found",
        ),
        Case(
            "wide enough, with a penalty",
            "properties",
            {**few, "length_penalty": 1.0},
            "the best of all sequences, by its mean log-probability",
        ),
        Case("limit 1", "properties", _searched(_network(rng, 1), 2), "one symbol, and no more"),
        Case(
            "begin is end",
            "properties",
            _searched(shared, 3),
            "one symbol begins and ends: going in it ends nothing",
        ),
        Case(
            "another symbol ends",
            "properties",
            _relabelled(_contested(rng, 3, 0.7)),
            f"symbol 1 ends, not 0; every symbol k is now (k + 1) mod {K}",
        ),
    ]


def _relabelled(args: Mapping[str, Any]) -> dict[str, Any]:
    """The same network, its symbols counted on by one."""
    size = len(args["c"])
    U = args["U"].copy()
    U[:, :size] = np.roll(U[:, :size], 1, axis=1)
    begin = args["begin"]
    return {
        **args,
        "U": U,
        "V": np.roll(args["V"], 1, axis=0),
        "c": np.roll(args["c"], 1),
        "begin": (begin + 1) % size if begin < size else begin,
        "end": (args["end"] + 1) % size,
    }


def _sentences(rng: np.random.Generator, count: int, references: int = 1) -> dict[str, Any]:
    """Sentences of four words, and candidates that are like them for a stretch."""
    candidates, answers = [], []
    for _ in range(count):
        truth = rng.integers(0, 4, rng.integers(7, 12))
        made = truth.copy()
        made[rng.integers(0, len(made))] = rng.integers(0, 4)
        candidates.append(made[rng.integers(0, 2) : len(made) - rng.integers(0, 2)].copy())
        answers.append(truth)
        for _ in range(references - 1):
            other = rng.permutation(truth)[: rng.integers(5, 12)]
            answers.append(np.concatenate([other, rng.integers(0, 4, 2)]))
    return {
        "candidates": candidates,
        "references": answers,
        "counts": np.full(count, references),
    }


def _bleu_case(pairs: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]]) -> dict[str, Any]:
    return {
        "candidates": [np.array(candidate) for candidate, _ in pairs],
        "references": [np.array(each) for _, answers in pairs for each in answers],
        "counts": np.array([len(answers) for _, answers in pairs]),
    }


def _bleu_cases(rng: np.random.Generator) -> list[Case]:
    same = [0, 1, 2, 3, 4, 5]
    twice = _bleu_case([([0, 1, 2, 3, 0, 1, 2, 3], [[0, 1, 2, 3, 4, 5, 6, 7]])])
    short = _bleu_case([([0, 1, 2, 3, 4], [[0, 1, 2, 3, 4, 5, 6, 7]])])
    several = _bleu_case(
        [([0, 1, 2, 3, 4, 1, 6], [[0, 1, 2, 3, 9], [3, 4, 1, 6, 7, 7, 7, 7, 7, 7]])]
    )
    tie = _bleu_case([(same, [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3]]), (same[:5], [same])])
    beside = _bleu_case([(same[:3], [same[:3]]), (same, [same])])
    longer = _bleu_case([([*same, 7, 8], [same])])
    none = _bleu_case([([0, 1, 2], [[0, 1, 2]]), ([0, 1, 2, 9, 4, 5], [same])])
    return [
        Case("word for word", "probes", _bleu_case([(same, [same])]), "the same sentence: 1"),
        Case(
            "the same twice",
            "probes",
            twice,
            "4 of 8 words, 3 of 7 pairs, 2 of 6, 1 of 5: no more than the reference has",
        ),
        Case("too short", "probes", short, "all is right, but 5 words for 8: exp(1 - 8/5)"),
        Case("too long", "probes", longer, "8 words for 6: (6.24) is 1, nothing is gained by it"),
        Case(
            "beside a short sentence",
            "probes",
            beside,
            "a sentence of three words has no 4-gram, but the corpus has: all is right, so 1",
        ),
        Case("two references", "probes", several, "an n-gram may be in either, not in both added"),
        Case("random input", "values", _sentences(rng, 6), "six sentences, one reference each"),
        Case(
            "three references",
            "properties",
            _sentences(rng, 5, 3),
            "the reference that is nearest in length counts for the length",
        ),
        Case(
            "as far from two references",
            "properties",
            tie,
            "6 words, references of 8 and 4: the shorter one counts",
        ),
        Case("no 4-gram right", "properties", none, "then the product is 0"),
    ]


@varied(H=H)
def _scan_cases(rng: np.random.Generator) -> list[Case]:
    ones = _scan_inputs(rng)
    ones["a"] = np.ones_like(ones["a"])
    closing = _scan_inputs(rng)
    closing["a"][2] = 0.0
    fading = _scan_inputs(rng, 400)
    fading["a"] = fading["a"] * 0.1
    counted = {name: v[..., :1] for name, v in _scan_inputs(rng, 1024, 1).items()}
    return [
        Case("a = 1", "probes", ones, "h(0) plus the running sum of b"),
        Case("b = 0", "probes", zeroed(_scan_inputs(rng), "b"), "h(0) times the running product"),
        Case("h(0) = 0", "probes", zeroed(_scan_inputs(rng), "h0"), "h(1) = b(1)"),
        *usual(_scan_inputs, rng, {"a": 1, "b": 1, "h0": 0}),
        Case("a zero", "properties", closing, "a(3) = 0: all before is forgotten, and no 0/0"),
        Case("400 steps, small a", "properties", fading, "the product of all a is 0 in float64"),
        Case(
            "few sweeps",
            "properties",
            {**counted, "also": "count the lines"},
            "T = 256 and T = 1024: whole arrays at once, no loop over time",
        ),
    ]


LARGE = (
    "pre-activations in the hundreds: exp may overflow on the way, a gate is 0 or 1 all the same"
)


@varied(D=D, H=H)
def _mingru_cases(rng: np.random.Generator) -> list[Case]:
    still = zeroed(_mingru_inputs(rng), "Uz", "Un", "bn")
    shut = zeroed(_mingru_inputs(rng), "Uz", "h0")
    large = _mingru_inputs(rng)
    large["Uz"] = large["Uz"] * 300
    return [
        Case("h(0) alone", "probes", still, "n = 0: each step multiplies h by 1 - sigmoid(bz)"),
        Case("a constant gate", "probes", shut, "z = sigmoid(bz), and h(0) = 0"),
        *usual(_mingru_inputs, rng, {"x": 1, "h0": 0}),
        Case("gates fully open or shut", "properties", large, LARGE),
    ]


def _translator_cases(rng: np.random.Generator) -> list[Case]:
    batched = {"x": 1, "lengths": 0, "y0": 0, "y": 1, "do": 1}
    whole = _translator(rng, kind="mean")
    whole["lengths"] = np.full(B, T)
    (mine,) = rng.spawn(1)
    other = _translator(mine, more=int(mine.integers(1, 4)))
    return [
        Case("the mean, no padding", "probes", whole, "each weight is 1/T: the decoder alone"),
        *(
            Case(f'context "{kind}"', "probes", _translator(rng, kind=kind), said)
            for kind, said in (
                ("last", "weight 1 at each source's own last state"),
                ("mean", "1 over each source's own length, 0 in its padding"),
                ("dot", "key times query over the root of H, softmax over time"),
                ("additive", "v · tanh(Wq s + Wk h), softmax over time"),
            )
        ),
        *usual(_translator, rng, batched),
        elsewhere(_translator(rng), "the same code where the network is not on the CPU"),
        Case(
            "other sizes",
            "properties",
            other,
            f"H = {len(other['s0'])}, and every other size: take them from __init__'s arguments",
        ),
    ]


def _unpack_translation(raw: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """The outputs; who returns nothing is told of the two that are theirs to return."""
    return as_outputs(raw, names if raw is not None else ("o", "alpha"))


def _outputs(shapes: Mapping[str, tuple[str, ...]]) -> tuple[Output, ...]:
    return tuple(Output(name, axes) for name, axes in shapes.items())


ATTENTION = {"context": ("B", "C"), "alpha": ("T", "B")}
GRADIENTS = {
    "dquery": ("B", "G"),
    "dkeys": ("T", "B", "H"),
    "dvalues": ("T", "B", "C"),
    "dWq": ("A", "G"),
    "dWk": ("A", "H"),
    "dv": ("A",),
}

CHAPTER = Chapter(
    name="seq2seq",
    number=6,
    title="Sequence to sequence",
    page="06-seq2seq",
    exercises=(
        Exercise(
            "seq2seq.encode",
            "6.1",
            "The encoder, with padding",
            "(6.1)-(6.2)",
            2,
            _outputs({"h": ("T", "B", "H")}),
            _encoder_cases,
            _encode_truth,
            run=run_encoder,
        ),
        Exercise(
            "seq2seq.fixed_weights",
            "6.2",
            "Two contexts that do not look",
            "(6.4)-(6.5)",
            1,
            _outputs({"last": ("T", "B"), "mean": ("T", "B")}),
            _weights_cases,
            _weights_truth,
            tolerance=Tolerance(1e-11, "float64, one division"),
            unpack=with_integers("last"),
        ),
        Exercise(
            "seq2seq.dot_attention",
            "6.3",
            "Dot-product attention",
            "(6.3), (6.6)-(6.7)",
            3,
            _outputs(ATTENTION),
            _dot_cases,
            _dot_truth,
        ),
        Exercise(
            "seq2seq.additive_attention",
            "6.4",
            "Additive attention",
            "(6.3), (6.6), (6.8)",
            2,
            _outputs(ATTENTION),
            _additive_cases,
            _additive_truth,
        ),
        Exercise(
            "seq2seq.additive_attention_backward",
            "6.5",
            "The gradient of additive attention",
            "(6.9)-(6.12)",
            dict.fromkeys(GRADIENTS, 1),
            _outputs(GRADIENTS),
            _attention_backward_cases,
            _attention_backward_truth,
        ),
        Exercise(
            "seq2seq.decode",
            "6.6",
            "The decoder, teacher-forced",
            "(6.14)-(6.16)",
            3,
            _outputs({"s": ("T", "B", "H"), "o": ("T", "B", "K")}),
            _decoder_cases,
            _decode_truth,
            run=run_decoder,
        ),
        Exercise(
            "seq2seq.masked_cross_entropy",
            "6.7",
            "Cross-entropy that leaves the padding out",
            "(6.17)-(6.18)",
            {"loss": 1, "do": 1},
            _outputs({"loss": (), "do": ("T", "B", "K")}),
            _cross_entropy_cases,
            _cross_entropy_truth,
        ),
        Exercise(
            "seq2seq.greedy",
            "6.8",
            "Greedy search",
            "(6.19)-(6.20)",
            2,
            _outputs({"length": (), "y": ("T",), "logp": ()}),
            _greedy_cases,
            _greedy_truth,
            run=run_search,
        ),
        Exercise(
            "seq2seq.beam_search",
            "6.9",
            "Beam search",
            "(6.21)-(6.22)",
            4,
            _outputs({"length": (), "y": ("T",), "score": ()}),
            _beam_cases,
            _beam_truth,
            run=run_search,
        ),
        Exercise(
            "seq2seq.bleu",
            "6.10",
            "BLEU",
            "(6.23)-(6.25)",
            3,
            _outputs({"score": ()}),
            _bleu_cases,
            _bleu_truth,
            run=run_bleu,
        ),
        Exercise(
            "seq2seq.scan",
            "6.11",
            "A scan",
            "(6.26)-(6.28)",
            3,
            _outputs({"h": ("T", "B", "H")}),
            _scan_cases,
            _scan_truth,
            run=run_scan,
        ),
        Exercise(
            "seq2seq.mingru",
            "6.12",
            "A GRU that a scan can run",
            "(6.31)",
            1,
            _outputs({"h": ("T", "B", "H")}),
            _mingru_cases,
            _mingru_truth,
        ),
        Exercise(
            "seq2seq.Seq2Seq",
            "6.13",
            "The whole network in PyTorch",
            "(6.1)-(6.8), (6.14)-(6.16)",
            4,
            _outputs(
                {
                    "o": ("S", "B", "K"),
                    "alpha": ("S", "T", "B"),
                    "dembed_source": ("sources", "D"),
                    "ds0": ("H",),
                    "dembed_target": ("K", "D"),
                    "dread_query": ("H", "H"),
                    "dread_key": ("H", "H"),
                    "dscore": ("1", "H"),
                    "doutput": ("K", "2H"),
                    "doutput_bias": ("K",),
                }
            ),
            _translator_cases,
            _translator_truth,
            run=run_translation,
            unpack=_unpack_translation,
            kind="class",
            uses_torch=True,
        ),
    ),
    questions=(Question("seq2seq.explain", "6.14", "Why does a wider beam write less?", 3),),
)
