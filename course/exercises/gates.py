"""Chapter 5: inputs, probes, properties and oracles of its exercises.

The oracles write a step out unit by unit, with one matrix for each gate; gradients come from
complex steps through such a step, weights from what ``torch.nn.LSTM`` does with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from course.adapters import apply_lstm, in_torch_lstm
from course.calls import Finding
from course.exercise import (
    Arrays,
    Case,
    Chapter,
    Exercise,
    Output,
    Question,
    as_outputs,
)
from course.exercises.common import (
    STEP,
    double,
    draw_targets,
    elsewhere,
    gradcheck,
    single,
    usual,
    varied,
    zeroed,
)

T, B, D, H, K = 5, 2, 3, 4, 6

HIDDEN = ("T", "B", "H")
STATE = ("B", "H")


# Inputs.


def _lstm(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, np.ndarray]:
    """x, h0, c0, U, W, b; cell states go well beyond 1, so that tanh c is felt."""
    return {
        "x": rng.normal(size=(steps, batch, D)),
        "h0": rng.uniform(-0.9, 0.9, (batch, H)),
        "c0": rng.normal(0, 1.5, (batch, H)),
        "U": rng.normal(0, 0.6, (4 * H, D)),
        "W": rng.normal(0, 0.6, (4 * H, H)),
        "b": rng.normal(0, 0.5, 4 * H),
    }


def _step_inputs(rng: np.random.Generator, batch: int = B) -> dict[str, np.ndarray]:
    drawn = _lstm(rng, 1, batch)
    return {
        "x": drawn["x"][0],
        "h": drawn["h0"],
        "c": drawn["c0"],
        **{name: drawn[name] for name in ("U", "W", "b")},
    }


def _lstm_states(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, np.ndarray]:
    """What the backward pass gets; any states and gates will do, each by itself."""
    gates = rng.uniform(0.05, 0.95, (steps, batch, 4 * H))
    gates[..., 3 * H :] = rng.uniform(-0.95, 0.95, (steps, batch, H))
    drawn = _lstm(rng, steps, batch)
    return {
        "dh": rng.normal(size=(steps, batch, H)),
        "dc_last": rng.normal(size=(batch, H)),
        "x": drawn["x"],
        "h": rng.uniform(-0.95, 0.95, (steps, batch, H)),
        "c": rng.normal(0, 1.0, (steps, batch, H)),
        "gates": gates,
        **{name: drawn[name] for name in ("h0", "c0", "U", "W")},
    }


def _gru(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, np.ndarray]:
    return {
        "x": rng.normal(size=(steps, batch, D)),
        "h0": rng.uniform(-0.9, 0.9, (batch, H)),
        "U": rng.normal(0, 0.6, (3 * H, D)),
        "W": rng.normal(0, 0.6, (3 * H, H)),
        "b": rng.normal(0, 0.5, 3 * H),
    }


def _gru_after_inputs(
    rng: np.random.Generator, steps: int = T, batch: int = B
) -> dict[str, np.ndarray]:
    return {**_gru(rng, steps, batch), "d": rng.normal(0, 0.8, H)}


def _gru_states(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, np.ndarray]:
    gates = rng.uniform(0.05, 0.95, (steps, batch, 3 * H))
    gates[..., 2 * H :] = rng.uniform(-0.95, 0.95, (steps, batch, H))
    drawn = _gru(rng, steps, batch)
    return {
        "dh": rng.normal(size=(steps, batch, H)),
        "x": drawn["x"],
        "h": rng.uniform(-0.95, 0.95, (steps, batch, H)),
        "gates": gates,
        **{name: drawn[name] for name in ("h0", "U", "W")},
    }


def _block(args: Mapping[str, Any], names: Sequence[str], block: int, value: float) -> dict:
    """The same arguments, one block of H rows of some arrays set to a value."""
    changed = dict(args)
    for name in names:
        changed[name] = args[name].copy()
        changed[name][block * H : (block + 1) * H] = value
    return changed


def _gate(args: Mapping[str, Any], block: int, value: float) -> dict[str, Any]:
    """The same arguments, one gate at one value throughout."""
    gates = args["gates"].copy()
    gates[..., block * H : (block + 1) * H] = value
    return {**args, "gates": gates}


# Oracles.


def _logistic(a: float) -> float:
    return 1 / (1 + math.exp(-a)) if a > -700 else 0.0


def _affine(
    x: np.ndarray, h: np.ndarray, args: Mapping[str, np.ndarray], gate: int, j: int
) -> float:
    """One unit of one gate before its activation: a row of U, a row of W, and a bias."""
    row = gate * len(h) + j
    return float(args["b"][row] + args["W"][row] @ h + args["U"][row] @ x)


def _lstm_units(**args: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """h, c, gates, one sequence and one unit at a time."""
    x, h0, c0 = args["x"], args["h0"], args["c0"]
    steps, batch, width = len(x), *h0.shape
    hs, cs = np.empty((steps, batch, width)), np.empty((steps, batch, width))
    gates = np.empty((steps, batch, 4, width))
    for n in range(batch):
        h, c = h0[n], c0[n]
        for t in range(steps):
            for j in range(width):
                i, f, o = (_logistic(_affine(x[t, n], h, args, gate, j)) for gate in range(3))
                g = math.tanh(_affine(x[t, n], h, args, 3, j))
                cs[t, n, j] = f * c[j] + i * g
                hs[t, n, j] = o * math.tanh(cs[t, n, j])
                gates[t, n, :, j] = i, f, o, g
            h, c = hs[t, n], cs[t, n]
    return hs, cs, gates.reshape(steps, batch, 4 * width)


def _lstm_forward_truth(**args: np.ndarray) -> Arrays:
    return _lstm_units(**double(**args))


def _lstm_step_truth(x: np.ndarray, h: np.ndarray, c: np.ndarray, **weights: np.ndarray) -> Arrays:
    hs, cs, _ = _lstm_units(**double(x=x[None], h0=h, c0=c, **weights))
    return hs[0], cs[0]


def _gru_units(form: str, **args: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """h and gates of a GRU, one sequence and one unit at a time; form: "before" or "after"."""
    x, h0 = args["x"], args["h0"]
    steps, batch, width = len(x), *h0.shape
    hs, gates = np.empty((steps, batch, width)), np.empty((steps, batch, 3, width))
    W_n, U_n, b_n = (args[name][2 * width :] for name in ("W", "U", "b"))
    for n in range(batch):
        h = h0[n]
        for t in range(steps):
            r, u = (
                np.array([_logistic(_affine(x[t, n], h, args, gate, j)) for j in range(width)])
                for gate in range(2)
            )
            for j in range(width):
                if form == "before":
                    reset = sum(W_n[j, k] * r[k] * h[k] for k in range(width))
                else:
                    reset = r[j] * (sum(W_n[j, k] * h[k] for k in range(width)) + args["d"][j])
                new = math.tanh(b_n[j] + U_n[j] @ x[t, n] + reset)
                share = u[j] if form == "before" else 1 - u[j]  # of the new
                hs[t, n, j] = h[j] + share * (new - h[j])
                gates[t, n, :, j] = r[j], u[j], new
            h = hs[t, n]
    return hs, gates.reshape(steps, batch, 3 * width)


def _gru_truth(**args: np.ndarray) -> Arrays:
    return _gru_units("before", **double(**args))


def _gru_after_truth(**args: np.ndarray) -> Arrays:
    return _gru_units("after", **double(**args))[:1]


def _moved(real: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Numbers as given, with the movement of others in their imaginary part."""
    return real + 1j * np.imag(by)


def _tangent(gates: np.ndarray, a: np.ndarray, logistic: int) -> np.ndarray:
    """Gates as given, moved as their activations move with a; the first ones are logistic."""
    part = slice(None, logistic), slice(logistic, None)
    low, high = gates[..., part[0]], gates[..., part[1]]
    soft = 1 / (1 + np.exp(-(np.log(low / (1 - low)) + 1j * a[..., part[0]].imag)))
    hard = np.tanh(np.arctanh(high) + 1j * a[..., part[1]].imag)
    return _moved(gates, np.concatenate([soft, hard], axis=-1))


def _by_complex_steps(
    weighted: Callable[..., Any], args: Mapping[str, np.ndarray], names: Sequence[str]
) -> Arrays:
    """Derivatives of weighted(**moving) for some arguments, all entries of one at once.

    weighted takes each with a leading axis of moved copies, and gives one number for each copy.
    """
    found = []
    for name in names:
        value = args[name]
        copies = np.tile(value.astype(complex), (value.size, *[1] * value.ndim))
        copies.reshape(value.size, -1)[np.diag_indices(value.size)] += 1j * STEP
        moving = {other: args[other].astype(complex)[None] for other in names}
        found.append((weighted(**{**moving, name: copies}).imag / STEP).reshape(value.shape))
    return tuple(found)


def _lstm_backward_truth(**args: np.ndarray) -> Arrays:
    """Every gradient by complex steps, with all states and gates where they are given."""
    a = double(**args)
    steps = len(a["x"])
    a["b"] = np.zeros(len(a["W"]))  # only its movement counts

    def weighted(x: Any, h0: Any, c0: Any, U: Any, W: Any, b: Any) -> Any:
        h, c, total = h0, c0, 0.0
        for t in range(steps):
            now = b[:, None] + h @ W.swapaxes(-1, -2) + x[:, t] @ U.swapaxes(-1, -2)
            i, f, o, g = np.split(_tangent(a["gates"][t], now, 3 * h.shape[-1]), 4, axis=-1)
            c = _moved(a["c"][t], f * c + i * g)
            h = _moved(a["h"][t], o * np.tanh(c))
            total = total + (a["dh"][t] * h).sum((-2, -1))
        return total + (a["dc_last"] * c).sum((-2, -1))

    return _by_complex_steps(weighted, a, ("x", "h0", "c0", "U", "W", "b"))


def _gru_backward_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    steps = len(a["x"])
    a["b"] = np.zeros(len(a["W"]))

    def weighted(x: Any, h0: Any, U: Any, W: Any, b: Any) -> Any:
        h, total, width = h0, 0.0, h0.shape[-1]
        for t in range(steps):
            outside = b[:, None] + x[:, t] @ U.swapaxes(-1, -2)
            low = outside[..., : 2 * width] + h @ W[:, : 2 * width].swapaxes(-1, -2)
            given = a["gates"][t]
            ru = _tangent(given[..., : 2 * width], low, 2 * width)
            r, u = ru[..., :width], ru[..., width:]
            high = outside[..., 2 * width :] + (r * h) @ W[:, 2 * width :].swapaxes(-1, -2)
            n = _tangent(given[..., 2 * width :], high, 0)
            h = _moved(a["h"][t], h + u * (n - h))
            total = total + (a["dh"][t] * h).sum((-2, -1))
        return total

    return _by_complex_steps(weighted, a, ("x", "h0", "U", "W", "b"))


def _take_to_keep_truth(**args: np.ndarray) -> Arrays:
    """Found, not derived: the affine map whose logistic is one less the update gate's."""
    a = double(**args)
    U, W, b = (a[name].copy() for name in ("U", "W", "b"))
    width = W.shape[1]
    rows = slice(width, 2 * width)

    def one_less(pre: np.ndarray) -> np.ndarray:
        """What the new gate must be before its logistic."""
        other = 1 - 1 / (1 + np.exp(-pre))
        return np.log(other / (1 - other))

    new_b = one_less(b[rows])
    for M in (W, U):
        for column in range(M.shape[1]):
            M[rows, column] = one_less(b[rows] + M[rows, column]) - new_b
    b[rows] = new_b
    return U, W, b


def _to_torch_truth(**args: np.ndarray) -> Arrays:
    h, c, _ = _lstm_units(**double(**args))
    return h, c[-1]


def _from_torch_truth(**args: np.ndarray) -> Arrays:
    """One permutation matrix for all."""
    a = double(**args)
    width = a["weight_hh"].shape[1]
    order = np.kron(np.eye(4)[[0, 1, 3, 2]], np.eye(width))
    return (
        order @ a["weight_ih"],
        order @ a["weight_hh"],
        order @ a["bias_ih"] + order @ a["bias_hh"],
    )


def _probabilities(o: np.ndarray, temperature: float) -> np.ndarray:
    scaled = np.asarray(o, np.float64) / temperature
    return np.exp(scaled - np.logaddexp.reduce(scaled, axis=-1, keepdims=True))


def _sample_truth(o: np.ndarray, temperature: float, v: np.ndarray) -> Arrays:
    """Take from v what each class may take, until it is below zero."""
    found = []
    for row, left in zip(_probabilities(o, temperature), np.asarray(v, np.float64), strict=True):
        k = 0
        while k < len(row) - 1 and left >= row[k]:
            left -= row[k]
            k += 1
        found.append(float(k))
    return (np.array(found),)


def _bits_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    log_z = np.logaddexp2.reduce(a["o"] / math.log(2), axis=-1)  # base 2 from the start
    one_hot = a["y"][..., None] == np.arange(a["o"].shape[-1])
    bits = log_z - a["o"][one_hot].reshape(a["y"].shape) / math.log(2)
    return (np.asarray(np.average(bits, weights=a["mask"])),)


def _torch_truth(**args: np.ndarray) -> Arrays:
    """torch.nn.LSTM with its blocks in its own order, and one bias of zero."""
    import torch

    a = {name: torch.tensor(value, dtype=torch.float64) for name, value in args.items()}
    width = a["W"].shape[1]
    lstm = torch.nn.LSTM(a["U"].shape[1], width, dtype=torch.float64)
    order = [*range(2 * width), *range(3 * width, 4 * width), *range(2 * width, 3 * width)]
    pairs = (("weight_ih_l0", "U"), ("weight_hh_l0", "W"), ("bias_ih_l0", "b"))
    for into, name in pairs:
        getattr(lstm, into).data.copy_(a[name][order])
    lstm.bias_hh_l0.data.zero_()
    x, h0, c0 = (a[name].requires_grad_() for name in ("x", "h0", "c0"))
    h, (_, c) = lstm(x, (h0[None], c0[None]))
    weights = [getattr(lstm, into) for into, _ in pairs]
    grads = torch.autograd.grad(
        (h * a["dh"]).sum() + (c[0] * a["dc_last"]).sum(), [x, h0, c0, *weights]
    )
    # The order is its own inverse: it swaps the last two blocks.
    grads = (*grads[:3], *(grad[order] for grad in grads[3:]))
    return tuple(value.detach().numpy() for value in (h, c[0], *grads))


def _torch_oracle(**args: Any) -> Arrays:
    return _torch_truth(**{name: value for name, value in args.items() if name != "also"})


# How unusual answers are taken apart.


def _unpack_choice(raw: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """Classes are integers; they are compared as numbers."""
    (choice,) = as_outputs(raw, names)
    each = choice if isinstance(choice, list | tuple) else np.ravel(_array_of(choice))
    if any(isinstance(k, float | np.floating) for k in each):
        raise Finding(
            "shapes",
            "choice holds floats, want integers",
            ("they are indices, and no list takes a float for one: .astype(int) at the end",),
        )
    if isinstance(choice, list | tuple) and all(isinstance(k, int | np.integer) for k in choice):
        choice = np.array(choice)
    if isinstance(choice, np.ndarray) and choice.dtype.kind in "iu":
        choice = choice.astype(np.float64)
    return (choice,)


def _array_of(value: Any) -> np.ndarray:
    """An array as it is; of anything else none, to be judged by its type."""
    return value if isinstance(value, np.ndarray) else np.empty(0)


# Cases.


def _lstm_probes(
    draw: Callable[[], dict[str, np.ndarray]], before: Sequence[str]
) -> list[tuple[str, dict, str]]:
    """Probes that a step and a sequence share; before: the names of h(0) and c(0)."""
    h, c = before
    cell = zeroed(draw(), "x", "U", "W", "b")
    b_only = zeroed(draw(), "x", "U", "W", h, c)
    W_only = zeroed(draw(), "x", "U", "b")
    U_only = zeroed(draw(), "W", "b")
    return [
        (
            "c alone",
            zeroed(cell, h),
            "no weights: every gate is 1/2 and g is 0, so c is halved and h = tanh(c) / 2",
        ),
        ("b alone", b_only, "no input, no states: each block of b makes its own gate"),
        ("W h alone", W_only, "no input, no bias: the gates come from the hidden state"),
        ("U x alone", U_only, "no bias, W is 0: the gates come from the input"),
    ]


@varied(sums=("HHHH",), D=D, H=H)
def _lstm_step_cases(rng: np.random.Generator) -> list[Case]:
    main = _step_inputs(rng)
    probes = _lstm_probes(lambda: _step_inputs(rng), ("h", "c"))
    flipped = {n: v[::-1].copy() if n in ("x", "h", "c") else v for n, v in main.items()}
    wide = _step_inputs(rng)
    wide["b"] = np.where(np.arange(4 * H) % 3, 200.0, -200.0)  # every block has some of both
    return [
        *(Case(name, "probes", args, says) for name, args, says in probes),
        Case("random input", "values", main, f"every term counts, B = {B}"),
        Case("B = 1", "properties", _step_inputs(rng, 1), "a batch of one keeps its axis"),
        Case("batch order", "properties", flipped, "the sequences in reverse order"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
        Case("large numbers", "properties", wide, "gates that are fully open or shut"),
    ]


@varied(sums=("HHHH",), D=D, H=H)
def _lstm_forward_cases(rng: np.random.Generator) -> list[Case]:
    probes = _lstm_probes(lambda: _lstm(rng), ("h0", "c0"))
    return [
        *(Case(name, "probes", args, says) for name, args, says in probes),
        *usual(_lstm, rng, {"x": 1, "h0": 0, "c0": 0}),
    ]


@varied(sums=("HHHH",), D=D, H=H)
def _lstm_backward_cases(rng: np.random.Generator) -> list[Case]:
    one = _lstm_states(rng, 1, 1)
    direct = zeroed(_lstm_states(rng), "dh", "W")
    at_end = zeroed(_lstm_states(rng), "W", "dc_last")
    at_end["dh"][:-1] = 0.0
    shut = _gate(zeroed(_lstm_states(rng), "dc_last"), 1, 0.01)
    shut["dh"][:-1] = 0.0
    return [
        Case(
            "one step, one sequence",
            "probes",
            one,
            "T = 1, B = 1: no step before or behind; dc_last, h(0), c(0) are not zero",
        ),
        Case(
            "the direct road alone",
            "probes",
            direct,
            "W = 0, and only c(T) has a gradient: each step back multiplies it by f",
        ),
        Case(
            "loss at h(T) alone, W = 0",
            "probes",
            at_end,
            "it enters the cell at T through o (1 - tanh² c), and goes back by f",
        ),
        Case(
            "the road through W alone",
            "probes",
            shut,
            "loss at h(T), every f is 0.01: what comes earlier came through the gates and W, and"
            " hardly through f",
        ),
        *usual(
            _lstm_states,
            rng,
            {"dh": 1, "dc_last": 0, "x": 1, "h": 1, "c": 1, "gates": 1, "h0": 0, "c0": 0},
        ),
    ]


def _gru_probes(draw: Callable[[], dict[str, np.ndarray]], keeps: bool) -> list[Case]:
    biased = zeroed(draw(), "x", "U", "W", "h0")
    still = zeroed(draw(), "x", "U", "W", "b")
    update = _block(zeroed(draw(), "x", "U", "W"), ("b",), 2, 0.0)
    reset = draw()
    reset = _block(_block(zeroed(reset, "x", "U"), ("W",), 0, 0.0), ("W",), 1, 0.0)
    kept, new = ("u", "(1 - u)") if keeps else ("1 - u", "u")
    if keeps:
        still, update = zeroed(still, "d"), zeroed(update, "d")
    return [
        Case("h alone", "probes", still, "no weights: u is 1/2, n is 0, so h is halved each step"),
        Case(
            "the update gate alone",
            "probes",
            update,
            f"n is 0: each step multiplies h by {kept}, and u = sigmoid(b_u)",
        ),
        Case("b alone", "probes", biased, f"no input, h(0) = 0: h(1) = {new} n"),
        Case(
            "the reset gate alone",
            "probes",
            reset,
            "the gates are constants, r = sigmoid(b_r); only W_n sees the state",
        ),
    ]


@varied(sums=("HHH",), D=D, H=H)
def _gru_cases(rng: np.random.Generator) -> list[Case]:
    return [*_gru_probes(lambda: _gru(rng), False), *usual(_gru, rng, {"x": 1, "h0": 0})]


@varied(sums=("HHH",), D=D, H=H)
def _gru_after_cases(rng: np.random.Generator) -> list[Case]:
    inner = _block(zeroed(_gru_after_inputs(rng), "x", "U", "W", "h0"), ("b",), 2, 0.0)
    return [
        *_gru_probes(lambda: _gru_after_inputs(rng), True),
        Case("d alone", "probes", inner, "n = tanh(r d): the inner bias is reset, too"),
        *usual(_gru_after_inputs, rng, {"x": 1, "h0": 0}),
    ]


@varied(sums=("HHH",), D=D, H=H)
def _gru_backward_cases(rng: np.random.Generator) -> list[Case]:
    one = _gru_states(rng, 1, 1)
    direct = zeroed(_gru_states(rng), "W")
    direct["dh"][:-1] = 0.0
    reset = _block(_block(_gru_states(rng), ("W",), 0, 0.0), ("W",), 1, 0.0)
    reset = _gate(reset, 1, 1 - 1e-9)
    reset["dh"][:-1] = 0.0
    through = _block(_gru_states(rng), ("W",), 2, 0.0)
    through["dh"][:-1] = 0.0
    return [
        Case("one step, one sequence", "probes", one, "no past and no future; h(0) is not zero"),
        Case(
            "the direct road alone",
            "probes",
            direct,
            "W = 0, loss at the last step: each step back multiplies by 1 - u",
        ),
        Case(
            "the road through the new state alone",
            "probes",
            reset,
            "u = 1, and the gates do not see the state: back through W_n and r",
        ),
        Case(
            "the roads through the gates",
            "probes",
            through,
            "W_n = 0, loss at the last step: back through 1 - u, and through u's weights",
        ),
        *usual(_gru_states, rng, {"dh": 1, "x": 1, "h": 1, "gates": 1, "h0": 0}),
    ]


def _weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    drawn = _gru(rng)
    return {name: drawn[name] for name in ("U", "W", "b")}


@varied(sums=("HHH",), D=D, H=H)
def _take_to_keep_cases(rng: np.random.Generator) -> list[Case]:
    main = _weights(rng)
    update = _block(_block(_weights(rng), ("U", "W", "b"), 0, 0.0), ("U", "W", "b"), 2, 0.0)
    others = _block(_weights(rng), ("U", "W", "b"), 1, 0.0)
    return [
        Case("the update gate alone", "probes", update, "the other blocks are zero"),
        Case("the other blocks alone", "probes", others, "u's block is zero"),
        Case("random input", "values", main, "three blocks"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


@varied(sums=("HHHH",), D=D, H=H)
def _to_torch_cases(rng: np.random.Generator) -> list[Case]:
    only_b = zeroed(_lstm(rng), "U", "W")
    only_U = zeroed(_lstm(rng), "W", "b")
    only_W = zeroed(_lstm(rng), "U", "b")
    return [
        Case("b alone", "probes", only_b, "U and W are 0: torch.nn.LSTM has its gates from b"),
        Case("U alone", "probes", only_U, "W and b are 0"),
        Case("W alone", "probes", only_W, "U and b are 0"),
        *usual(_lstm, rng, {"x": 1, "h0": 0, "c0": 0}),
    ]


def _torch_weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "weight_ih": rng.normal(size=(4 * H, D)),
        "weight_hh": rng.normal(size=(4 * H, H)),
        "bias_ih": rng.normal(size=4 * H),
        "bias_hh": rng.normal(size=4 * H),
    }


@varied(sums=("HHHH",), D=D, H=H)
def _from_torch_cases(rng: np.random.Generator) -> list[Case]:
    main = _torch_weights(rng)
    one = zeroed(_torch_weights(rng), "bias_hh")
    output = {name: np.zeros_like(value) for name, value in main.items()}
    for name, value in main.items():
        output[name][3 * H :] = value[3 * H :]
    return [
        Case("one bias", "probes", one, "bias_hh is zero"),
        Case("the output gate alone", "probes", output, "PyTorch's last block is o's; ours is g's"),
        Case("random input", "values", main, "four blocks, two biases"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def _draws(
    rng: np.random.Generator, temperature: float, batch: int = 40, apart: float = 1e-3
) -> dict[str, Any]:
    """Outputs and numbers v that are not too near the borders between two classes."""
    o = rng.normal(0, 1.5, (batch, K))
    borders = np.cumsum(_probabilities(o, temperature), axis=-1)[:, :-1]
    v = rng.random(batch)
    while (near := (np.abs(borders - v[:, None]) < apart).any(-1)).any():
        v[near] = rng.random(near.sum())
    return {"o": o, "temperature": temperature, "v": v}


def _sample_cases(rng: np.random.Generator) -> list[Case]:
    flat = {"o": np.zeros((K, K)), "temperature": 1.0, "v": (np.arange(K) + 0.5) / K}
    main = _draws(rng, 0.7)
    cold = _draws(rng, 1e-3)
    top = _draws(rng, 1.0)
    top["v"] = np.full(40, np.nextafter(1.0, 0.0))
    large = _draws(rng, 1.0)
    large["o"] = large["o"] + 1000.0
    ends = {"o": np.zeros((2, 4)), "temperature": 1.0, "v": np.array([0.0, 0.25])}
    first = _draws(rng, 1.0)
    return [
        Case("equal outputs", "probes", flat, f"v in the middle of each of {K} equal shares"),
        Case("temperature 1", "probes", first, "the softmax of the outputs as they are"),
        Case("temperature 3", "probes", _draws(rng, 3.0), "hot: nearer to equal shares"),
        Case("random input", "values", main, "temperature 0.7, 40 rows"),
        Case(
            "on a border",
            "properties",
            ends,
            "p = 1/4 each: the first sum above v, so v = 0 is class 0 and v = 1/4 is class 1",
        ),
        Case("cold", "properties", cold, "temperature 0.001: the largest output always wins"),
        Case("v just below 1", "properties", top, "the last class, never one beyond it"),
        Case("large outputs", "properties", large, "o + 1000 has the same softmax as o"),
        Case("one row", "properties", _draws(rng, 0.7, 1), "a batch of one keeps its axis"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def _bits_cases(rng: np.random.Generator) -> list[Case]:
    whole = draw_targets(rng)
    whole["mask"] = np.ones_like(whole["mask"])
    flat = {**draw_targets(rng), "o": np.zeros((T, B, 8)), "mask": np.ones((T, B))}
    large = draw_targets(rng)
    large["o"][::2] += 1000.0
    surprise = draw_targets(rng)
    surprise["o"][0, 0, surprise["y"][0, 0]] -= 1000.0
    return [
        Case("eight equal outputs", "probes", flat, "eight classes, all alike: 3 bits"),
        Case("no padding", "probes", whole, "every step counts"),
        Case("large outputs", "properties", large, "each step and sequence has its own softmax"),
        Case(
            "a surprise",
            "properties",
            surprise,
            "one target is 1000 below the other outputs: its probability is rounded to 0",
        ),
        *usual(draw_targets, rng, {"o": 1, "y": 1, "mask": 1}),
    ]


def _torch_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "dh": rng.normal(size=(steps, batch, H)),
        "dc_last": rng.normal(size=(batch, H)),
        **_lstm(rng, steps, batch),
    }


@varied(sums=("HHHH",), D=D, H=H)
def _torch_cases(rng: np.random.Generator) -> list[Case]:
    tiny = _torch_inputs(rng, steps=3)
    at_h = zeroed(_torch_inputs(rng), "dc_last")
    at_c = zeroed(_torch_inputs(rng), "dh")
    return [
        Case("one step", "probes", _torch_inputs(rng, steps=1), "T = 1: one step, two states"),
        Case("loss at the hidden states alone", "probes", at_h, "nothing arrives at c_last"),
        Case("loss at the last cell alone", "probes", at_c, "nothing arrives at any h"),
        *usual(_torch_inputs, rng, {"dh": 1, "dc_last": 0, "x": 1, "h0": 0, "c0": 0}),
        gradcheck(tiny),
        elsewhere(tiny),
    ]


FOUR = {"dU": ("4H", "D"), "dW": ("4H", "H"), "db": ("4H",)}
THREE = {"dU": ("3H", "D"), "dW": ("3H", "H"), "db": ("3H",)}
INTO = {"dx": ("T", "B", "D"), "dh0": STATE, "dc0": STATE}


BLOCKS = {"4H": ("i", "f", "o", "g"), "3H": ("r", "u", "n")}


def _outputs(shapes: Mapping[str, tuple[str, ...]]) -> tuple[Output, ...]:
    def blocks(axes: tuple[str, ...]) -> tuple[str, ...]:
        return next((BLOCKS[letter] for letter in axes if letter in BLOCKS), ())

    return tuple(Output(name, axes, blocks(axes)) for name, axes in shapes.items())


CHAPTER = Chapter(
    name="gates",
    number=5,
    title="Gates: LSTM and GRU",
    page="05-gates",
    exercises=(
        Exercise(
            "gates.lstm_step",
            "5.1",
            "One step of an LSTM",
            "(5.1)-(5.4)",
            3,
            _outputs({"h": STATE, "c": STATE}),
            _lstm_step_cases,
            _lstm_step_truth,
        ),
        Exercise(
            "gates.lstm_forward",
            "5.2",
            "Over a sequence",
            "(5.1)-(5.4)",
            2,
            _outputs({"h": HIDDEN, "c": HIDDEN, "gates": ("T", "B", "4H")}),
            _lstm_forward_cases,
            _lstm_forward_truth,
        ),
        Exercise(
            "gates.lstm_backward",
            "5.3",
            "The gradient flows back, along two lines",
            "(5.10)-(5.15)",
            {"dx": 1, "dh0": 1, "dc0": 1, "dU": 1, "dW": 1, "db": 1},
            _outputs({**INTO, **FOUR}),
            _lstm_backward_cases,
            _lstm_backward_truth,
        ),
        Exercise(
            "gates.gru_forward",
            "5.4",
            'The GRU in which u means "take the new"',
            "(5.16)-(5.18)",
            3,
            _outputs({"h": HIDDEN, "gates": ("T", "B", "3H")}),
            _gru_cases,
            _gru_truth,
        ),
        Exercise(
            "gates.gru_backward",
            "5.5",
            "The GRU's gradient",
            "(5.21)",
            {"dx": 1, "dh0": 1, "dU": 1, "dW": 1, "db": 1},
            _outputs({"dx": INTO["dx"], "dh0": STATE, **THREE}),
            _gru_backward_cases,
            _gru_backward_truth,
        ),
        Exercise(
            "gates.take_to_keep",
            "5.6",
            'From "take" to "keep"',
            "(5.19)",
            1,
            _outputs({"U": ("3H", "D"), "W": ("3H", "H"), "b": ("3H",)}),
            _take_to_keep_cases,
            _take_to_keep_truth,
        ),
        Exercise(
            "gates.gru_after",
            "5.7",
            "PyTorch's GRU, reset after the product",
            "(5.16), (5.20)",
            2,
            _outputs({"h": HIDDEN}),
            _gru_after_cases,
            _gru_after_truth,
        ),
        Exercise(
            "gates.to_torch",
            "5.8",
            "Into torch.nn.LSTM",
            "the table of blocks",
            2,
            _outputs({"h": HIDDEN, "c_last": STATE}),
            _to_torch_cases,
            _to_torch_truth,
            run=in_torch_lstm,
            uses_torch=True,
        ),
        Exercise(
            "gates.from_torch",
            "5.9",
            "And back",
            "the table of blocks",
            1,
            _outputs({"U": ("4H", "D"), "W": ("4H", "H"), "b": ("4H",)}),
            _from_torch_cases,
            _from_torch_truth,
        ),
        Exercise(
            "gates.sample",
            "5.10",
            "Draw a character",
            "(5.24)-(5.25)",
            2,
            _outputs({"choice": ("B",)}),
            _sample_cases,
            _sample_truth,
            unpack=_unpack_choice,
        ),
        Exercise(
            "gates.bits_per_character",
            "5.11",
            "Bits per character",
            "(5.26)",
            1,
            _outputs({"bits": ()}),
            _bits_cases,
            _bits_truth,
        ),
        Exercise(
            "gates.LSTMFunction",
            "5.12",
            "Your LSTM inside PyTorch",
            "(5.10)-(5.15)",
            3,
            _outputs({"h": HIDDEN, "c_last": STATE, **INTO, **FOUR}),
            _torch_cases,
            _torch_oracle,
            run=apply_lstm,
            kind="class",
            uses_torch=True,
        ),
    ),
    questions=(Question("gates.explain", "5.13", "When does the additive path still forget?", 3),),
)
