"""Chapter 3: inputs, probes, properties and oracles of its exercises.

Each oracle reaches the truth by another road than the chapter's: sweeps over all steps at once,
one linear system for all steps, complex steps, ``torch.nn``.  Sizes are unequal and above 1, so
that no wrong axis, transposition or mean can hide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from course import datasets
from course.adapters import apply_function, run_rtrl
from course.calls import Finding
from course.compare import with_article
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
    gradcheck,
    single,
    sweeps,
    usual,
    varied,
)

T, B, D, H, K = 5, 2, 3, 4, 6

HIDDEN = ("T", "B", "H")
OUTPUT = ("T", "B", "K")


# Inputs.


def _network(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, np.ndarray]:
    """x, h0, U, W, b, V, c, with states well inside (-1, 1), so that tanh' is felt."""
    return {
        "x": rng.normal(size=(steps, batch, D)),
        "h0": rng.uniform(-0.9, 0.9, (batch, H)),
        "U": rng.normal(0, 0.6, (H, D)),
        "W": rng.normal(0, 0.6, (H, H)),
        "b": rng.normal(0, 0.5, H),
        "V": rng.normal(0, 0.6, (K, H)),
        "c": rng.normal(0, 0.5, K),
    }


def _states(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, np.ndarray]:
    """do, h, W, V for the backward pass; any states in (-1, 1) will do, each by itself."""
    return {
        "do": rng.normal(size=(steps, batch, K)),
        "h": rng.uniform(-0.95, 0.95, (steps, batch, H)),
        "W": rng.normal(0, 0.6, (H, H)),
        "V": rng.normal(0, 0.6, (K, H)),
    }


# Oracles.


def _forward_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    h = sweeps(a["x"], a["h0"], a["U"], a["W"], a["b"])
    return h, np.einsum("kh,tbh->tbk", a["V"], h) + a["c"]


def _log_likelihood(o: np.ndarray, y: np.ndarray) -> np.ndarray:
    log_z = np.logaddexp.reduce(o, axis=-1)
    return np.einsum("tbk,tbk->tb", np.eye(o.shape[-1])[y], o) - log_z


def _loss_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    return (np.asarray(-np.sum(a["mask"] * _log_likelihood(a["o"], a["y"]))),)


def _grad_o_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    o, grad = a["o"], np.empty(a["o"].shape)
    for k in range(o.shape[-1]):  # every step and sequence at once: they don't touch one another
        moved = o.astype(complex)
        moved[..., k] += 1j * STEP
        top = o.max(-1, keepdims=True)
        log_z = np.log(np.exp(moved - top).sum(-1)) + top[..., 0]
        minus_log_p = log_z - np.take_along_axis(moved, a["y"][..., None], -1)[..., 0]
        grad[..., k] = a["mask"] * minus_log_p.imag / STEP
    return (grad,)


def _adjoint(do: np.ndarray, h: np.ndarray, W: np.ndarray, V: np.ndarray, cut: int) -> np.ndarray:
    """All of (3.8)-(3.9) as one linear system for each sequence, solved at once.

    cut: no gradient crosses from step t + 1 to step t where t is a multiple of it.
    """
    steps, batch, width = h.shape
    dh = np.empty(h.shape)
    for i in range(batch):
        system = np.eye(steps * width)
        for t in range(1, steps):
            if t % cut:
                here, next_ = slice((t - 1) * width, t * width), slice(t * width, (t + 1) * width)
                system[here, next_] = -W.T @ np.diag(1 - h[t, i] ** 2)
        dh[:, i] = np.linalg.solve(system, (do[:, i] @ V).ravel()).reshape(steps, width)
    return dh


def _grad_h_truth(**args: np.ndarray) -> Arrays:
    a = double(**args)
    return (_adjoint(a["do"], a["h"], a["W"], a["V"], cut=len(a["h"])),)


def _truncated_truth(**args: Any) -> Arrays:
    a = double(**args)
    return (_adjoint(a["do"], a["h"], a["W"], a["V"], cut=a["k"]),)


def _grad_params_truth(**args: np.ndarray) -> Arrays:
    """Each step's own copy of the parameters, moved by complex steps."""
    a = double(**args)
    before = np.concatenate([a["h0"][None], a["h"][:-1]])
    pre = np.arctanh(a["h"])
    width, outputs = a["h"].shape[-1], a["do"].shape[-1]
    zero = {
        "U": np.zeros((width, a["x"].shape[-1])),
        "W": np.zeros((width, width)),
        "b": np.zeros(width),
        "V": np.zeros((outputs, width)),
        "c": np.zeros(outputs),
    }

    def immediate(U: Any, W: Any, b: Any, V: Any, c: Any) -> Any:
        """The loss's first order in the movements, with every h(t-1) held where it is."""
        h = np.tanh(pre + a["x"] @ U.T + before @ W.T + b)
        return (a["dh"] * h).sum() + (a["do"] * (a["h"] @ V.T + c)).sum()

    return complex_steps(immediate, zero, "UWbVc")


def _clip_truth(grads: list[np.ndarray], max_norm: float) -> Arrays:
    grads = [np.asarray(g, np.float64) for g in grads]
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in grads]))
    factor = max(norm / max_norm, 1.0)
    return (*(g / factor for g in grads), np.asarray(norm))


def _rtrl_truth(**args: np.ndarray) -> Arrays:
    args.pop("also", None)
    a = double(**args)
    g = a.pop("g")

    def weighted(**moved: np.ndarray) -> Any:
        return (g * sweeps(**moved)).sum()

    return complex_steps(weighted, a, "UWb")


def _torch_truth(**args: np.ndarray) -> Arrays:
    """torch.nn.RNN with copied weights: b goes to its first bias, its second is zero."""
    import torch

    a = {name: torch.tensor(value, dtype=torch.float64) for name, value in args.items()}
    rnn = torch.nn.RNN(a["U"].shape[1], a["W"].shape[0], dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(a["U"])
        rnn.weight_hh_l0.copy_(a["W"])
        rnn.bias_ih_l0.copy_(a["b"])
        rnn.bias_hh_l0.zero_()
    x, h0 = a["x"].requires_grad_(), a["h0"].requires_grad_()
    h, _ = rnn(x, h0[None])
    wanted = [x, h0, rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0]
    grads = torch.autograd.grad((h * a["dh"]).sum(), wanted)
    return tuple(value.detach().numpy() for value in (h, *grads))


# How unusual answers are called and taken apart.


def _unpack_clip(raw: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """A pair of a list of arrays and a norm, laid out flat."""
    if isinstance(raw, list) and len(raw) == len(names) - 1:
        raise Finding(
            "shapes",
            f"the function returned one list of {len(raw)} arrays",
            ("want 2 things: clipped, norm; the norm is missing",),
        )
    clipped, norm = as_outputs(raw, ("clipped", "norm"))
    if clipped is None:
        raise Finding("shapes", "clipped is None", ("return a list of new arrays, then the norm",))
    if isinstance(clipped, Iterator):
        raise Finding(
            "shapes",
            f"clipped is {with_article(type(clipped).__name__)}, want a list of arrays",
            ("its arrays can be taken out only once: make it a list",),
        )
    if not isinstance(clipped, list | tuple):
        raise Finding(
            "shapes",
            f"clipped is {with_article(type(clipped).__name__)}, want a list of arrays",
            ("two things come back, in this order: the list, and the norm",),
        )
    if len(clipped) != len(names) - 1:
        raise Finding(
            "shapes", f"clipped has {len(clipped)} arrays, want {len(names) - 1}, one for each in"
        )
    return (*clipped, norm)


def _unpack_train(raw: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """A pair of a list of five arrays and a curve, laid out flat."""
    params, curve = as_outputs(raw, ("params", "curve"))
    if not isinstance(params, list | tuple):
        raise Finding(
            "shapes",
            f"params is {with_article(type(params).__name__)}, want a list of five arrays",
            ("two things come back, in this order: the list, and the curve",),
        )
    if len(params) != 5:
        raise Finding("shapes", f"params has {len(params)} arrays, want 5: U, W, b, V, c")
    return (*params, curve)


# Cases.


@varied(D=D, H=H, K=K)
def _forward_cases(rng: np.random.Generator) -> list[Case]:
    def only(**kept: np.ndarray) -> dict[str, np.ndarray]:
        drawn = _network(rng)
        return {name: kept.get(name, np.zeros_like(value)) for name, value in drawn.items()}

    some = _network(rng)
    visible = {"V": some["V"]}
    return [
        Case(
            "U x alone",
            "probes",
            only(x=some["x"], U=some["U"], **visible),
            "no state, no biases: h(t) = tanh(U x(t))",
        ),
        Case("b alone", "probes", only(b=some["b"], **visible), "h(t) = tanh(b), at every step"),
        Case(
            "W h alone",
            "probes",
            only(h0=some["h0"], W=some["W"], **visible),
            "no input, no biases: h(1) = tanh(W h(0)), and so on",
        ),
        Case("c alone", "probes", only(c=some["c"]), "h is zero, so o(t) = c"),
        *usual(_network, rng, {"x": 1, "h0": 0}),
    ]


@varied(K=K)
def _loss_cases(rng: np.random.Generator) -> list[Case]:
    def whole(steps: int = T, batch: int = B) -> dict[str, np.ndarray]:
        drawn = draw_targets(rng, steps, batch)
        return {**drawn, "mask": np.ones_like(drawn["mask"])}

    flat = {**whole(), "o": np.zeros((T, B, K))}
    small = draw_targets(rng)
    small["o"] = small["o"] - 1000.0
    padding = draw_targets(rng)
    padding["mask"] = np.zeros_like(padding["mask"])
    return [
        Case("one prediction", "probes", whole(1, 1), "T = B = 1: L = -log softmax(o)[y]"),
        Case("equal outputs", "probes", flat, f"every class has 1/{K}: L = T B log {K}, a sum"),
        Case("no padding", "probes", whole(), "every step counts"),
        Case("padding alone", "probes", padding, "no step counts: L = 0"),
        # Before the usual ones: here a wrong logarithm is off by hundreds, there by rounding.
        *_large(rng),
        Case("very negative outputs", "properties", small, "o - 1000 has the same softmax as o"),
        Case(
            "the target far below",
            "properties",
            _far_below(rng),
            "at the first step the target's output is 1000 below the largest: L is about 1000 for"
            " each sequence; its softmax is rounded to 0, which has no logarithm",
        ),
        Case(
            "the target far below, in the padding",
            "properties",
            _far_below(rng, counts=0.0),
            "the same, but that step does not count; 0 times infinity is not 0",
        ),
        *usual(draw_targets, rng, {"o": 1, "y": 1, "mask": 1}),
    ]


def _large(rng: np.random.Generator) -> list[Case]:
    """Outputs for which a softmax that is not shifted, or shifted by one number, overflows."""
    large, apart = draw_targets(rng), draw_targets(rng)
    large["o"] = large["o"] + 1000.0
    apart["o"][::2] += 1000.0
    return [
        Case("large outputs", "properties", large, "o + 1000 has the same softmax as o"),
        Case(
            "steps far apart",
            "properties",
            apart,
            "outputs near 1000 at every other step, near 0 between: each step and sequence has its"
            " own softmax",
        ),
    ]


def _far_below(rng: np.random.Generator, counts: float = 1.0) -> dict[str, np.ndarray]:
    """Targets whose outputs are 1000 below the largest, at the first step."""
    drawn = draw_targets(rng)
    np.put_along_axis(drawn["o"][0], drawn["y"][0][:, None], -1000.0, axis=-1)
    drawn["mask"][0] = counts
    return drawn


@varied(K=K)
def _grad_o_cases(rng: np.random.Generator) -> list[Case]:
    flat = draw_targets(rng)
    flat.update(o=np.zeros((T, B, K)), mask=np.ones((T, B)))
    whole = draw_targets(rng)
    whole["mask"] = np.ones_like(whole["mask"])
    return [
        Case(
            "equal outputs",
            "probes",
            flat,
            f"1/{K} everywhere, less 1 at the target; no padding",
        ),
        Case("no padding", "probes", whole, "every step counts"),
        *usual(draw_targets, rng, {"o": 1, "y": 1, "mask": 1}),
        *_large(rng),
    ]


def _backward_probes(rng: np.random.Generator) -> list[Case]:
    through_o = _states(rng)
    through_o["W"] = np.zeros((H, H))
    through_h = _states(rng)
    through_h["do"][:-1] = 0.0
    still = _states(rng)
    still["h"] = np.zeros_like(still["h"])
    slope = _states(rng)
    slope.update(W=np.eye(H))
    slope["do"][:-1] = 0.0
    return [
        Case(
            "the road through o(t) alone",
            "probes",
            through_o,
            "W = 0: each step has its own output's gradient, do[t] @ V, and no other",
        ),
        Case(
            "linear",
            "probes",
            still,
            "every h is 0, so tanh' = 1 - h² is 1: dh(t) = Wᵀ dh(t+1) + Vᵀ do(t)",
        ),
        Case(
            "tanh' alone",
            "probes",
            slope,
            "W = I, loss at the last step only: each step back multiplies by 1 - h(t+1)²",
        ),
        Case(
            "the road through h(t+1) alone",
            "probes",
            through_h,
            "loss at the last step only: all that comes earlier came through W",
        ),
    ]


@varied(H=H, K=K)
def _grad_h_cases(rng: np.random.Generator) -> list[Case]:
    return [*_backward_probes(rng), *usual(_states, rng, {"do": 1, "h": 1})]


@varied(H=H, K=K)
def _truncated_cases(rng: np.random.Generator) -> list[Case]:
    def chunks(
        rng: np.random.Generator, steps: int = T, batch: int = B, k: int = 2
    ) -> dict[str, Any]:
        return {**_states(rng, steps, batch), "k": k}

    return [
        Case("k = 1", "probes", chunks(rng, k=1), "no gradient goes back at all: dh(t) = Vᵀ do(t)"),
        Case("k = T", "probes", chunks(rng, k=T), "one chunk: this is exercise 3.4"),
        Case(
            "two even chunks",
            "probes",
            chunks(rng, steps=6, k=3),
            "T = 6, k = 3: nothing crosses from step 4 to step 3",
        ),
        *usual(chunks, rng, {"do": 1, "h": 1}),
        Case(
            "k above T", "properties", chunks(rng, k=T + 3), "the chunk is longer than the sequence"
        ),
    ]


def _param_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    return {
        "dh": rng.normal(size=(steps, batch, H)),
        "do": rng.normal(size=(steps, batch, K)),
        "x": rng.normal(size=(steps, batch, D)),
        "h": rng.uniform(-0.95, 0.95, (steps, batch, H)),
        "h0": rng.uniform(-0.9, 0.9, (batch, H)),
    }


@varied(D=D, H=H, K=K)
def _grad_params_cases(rng: np.random.Generator) -> list[Case]:
    one = _param_inputs(rng, 1, 1)
    still = _param_inputs(rng)
    still["h"] = np.zeros_like(still["h"])
    start = _param_inputs(rng)
    start["dh"][1:] = 0.0
    return [
        Case("one step, one sequence", "probes", one, "a single outer product; h(0) is not zero"),
        Case("tanh' is 1", "probes", still, "every h(t) is 0, h(0) is not"),
        Case(
            "the first step's copy alone",
            "probes",
            start,
            "dh is zero after step 1, so W's gradient meets h(0), and tanh' belongs to h(1)",
        ),
        *usual(_param_inputs, rng, {"dh": 1, "do": 1, "x": 1, "h": 1, "h0": 0}),
    ]


@varied(D=D, H=H)
def _clip_cases(rng: np.random.Generator) -> list[Case]:
    def grads() -> list[np.ndarray]:
        return [rng.normal(size=shape) for shape in ((H, D), (H, H), (H,))]

    def norm(arrays: list[np.ndarray]) -> float:
        return float(np.sqrt(sum((a**2).sum() for a in arrays)))

    unequal = grads()
    unequal[0] *= 100.0
    short, main = grads(), grads()
    return [
        Case(
            "long",
            "probes",
            {"grads": (long := grads()), "max_norm": norm(long) / 3},
            "the norm is 3 max_norm: every array is divided by 3",
        ),
        Case(
            "short enough",
            "probes",
            {"grads": short, "max_norm": 2 * norm(short)},
            "the norm is below max_norm: nothing changes",
        ),
        Case(
            "one long array",
            "probes",
            {"grads": unequal, "max_norm": 1.0},
            "all arrays are scaled by one factor, whichever of them is long",
        ),
        Case(
            "random input", "values", {"grads": main, "max_norm": 0.7 * norm(main)}, "three arrays"
        ),
        Case(
            "all zero",
            "properties",
            {"grads": [np.zeros_like(g) for g in main], "max_norm": 1.0},
            "norm 0: nothing is divided by it",
        ),
        Case(
            "float32 in",
            "properties",
            {"grads": [g.astype(np.float32) for g in main], "max_norm": 0.5},
            "the same arrays in single precision",
        ),
    ]


def _rtrl_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    drawn = _network(rng, steps, batch)
    g = rng.normal(size=(steps, batch, H))
    return {"g": g, **{name: drawn[name] for name in ("x", "h0", "U", "W", "b")}}


@varied(D=D, H=H)
def _rtrl_cases(rng: np.random.Generator) -> list[Case]:
    loose = _rtrl_inputs(rng, steps=3)
    loose["W"] = np.zeros((H, H))
    end = _rtrl_inputs(rng)
    end["g"][:-1] = 0.0
    return [
        Case(
            "one step, one sequence",
            "probes",
            _rtrl_inputs(rng, 1, 1),
            "no past: dΘ = (g(1) (1 - h(1)²)) z(1)ᵀ, where z(1) holds h(0), which is not zero",
        ),
        Case(
            "one step, two sequences",
            "probes",
            _rtrl_inputs(rng, 1),
            "no past: the sum of two such products; the sequences do not mix",
        ),
        Case(
            "no recurrence",
            "probes",
            loose,
            "T = 3, W = 0: only each step's own copy counts; the three are summed",
        ),
        Case("loss at the last step alone", "probes", end, "all that is earlier comes through W"),
        *usual(_rtrl_inputs, rng, {"g": 1, "x": 1, "h0": 0}),
        Case(
            "a long sequence",
            "properties",
            {**loose, "W": end["W"] / 2, "also": "measure the memory"},
            "T = 12 against T = 96: it needs the same memory",
        ),
    ]


def _torch_inputs(rng: np.random.Generator, steps: int = T, batch: int = B) -> dict[str, Any]:
    drawn = _rtrl_inputs(rng, steps, batch)
    return {"dh": drawn.pop("g"), **drawn}


@varied(D=D, H=H)
def _torch_cases(rng: np.random.Generator) -> list[Case]:
    tiny = _torch_inputs(rng, steps=3)
    end = _torch_inputs(rng)
    end["dh"][:-1] = 0.0
    return [
        Case("one step", "probes", _torch_inputs(rng, steps=1), "T = 1: one step, one road"),
        Case("loss at the last step alone", "probes", end, "what comes earlier came through W"),
        *usual(_torch_inputs, rng, {"dh": 1, "x": 1, "h0": 0}),
        gradcheck(tiny),
        elsewhere(tiny),
    ]


def _torch_oracle(**args: Any) -> Arrays:
    return _torch_truth(**{name: value for name, value in args.items() if name != "also"})


def _train_inputs(rng: np.random.Generator, batches: int = 3) -> dict[str, Any]:
    drawn = _network(rng)
    targets = [draw_targets(rng) for _ in range(batches)]
    return {
        "params": [drawn[name] for name in "UWbVc"],
        "x": rng.normal(size=(batches, T, B, D)),
        "y": np.stack([each["y"] for each in targets]),
        "mask": np.stack([each["mask"] for each in targets]),
        "rate": 0.3,
        "momentum": 0.8,
        "max_norm": 0.4,
    }


def _tale_inputs(rng: np.random.Generator) -> dict[str, Any]:
    """Two passes over the first part of the tale, 26 updates."""
    codes, alphabet = datasets.letters(datasets.tale())
    size, width = len(alphabet), 32
    passes = [
        datasets.next_letter(codes[start : int(0.85 * len(codes))], size, 16, 8) for start in (0, 7)
    ]
    x, y, mask = (np.concatenate(each) for each in zip(*passes, strict=True))
    params = [
        rng.normal(0, 0.1, (width, size)),
        0.9 * np.linalg.qr(rng.normal(size=(width, width)))[0],
        np.zeros(width),
        rng.normal(0, 0.1, (size, width)),
        np.zeros(size),
    ]
    how = {"rate": 0.2, "momentum": 0.9, "max_norm": 1.0}
    return {"params": params, "x": x, "y": y, "mask": mask, **how}


def _train_cases(rng: np.random.Generator) -> list[Case]:
    one = {**_train_inputs(rng, 1), "max_norm": 100.0}
    short = _train_inputs(rng, 1)
    still = {**_train_inputs(rng, 2), "max_norm": 100.0, "momentum": 0.0}
    rolling = {**_train_inputs(rng, 2), "max_norm": 100.0}
    main = _train_inputs(rng)
    single_main = {**single(main), "params": [p.astype(np.float32) for p in main["params"]]}
    return [
        Case(
            "one update",
            "probes",
            one,
            "N = 1, no clipping: θ less η times the gradient, divided by how many steps count",
        ),
        Case("clipped", "probes", short, "N = 1: the gradient, divided, is longer than max_norm"),
        Case("no momentum", "probes", still, "N = 2, μ = 0: each batch meets the new parameters"),
        Case("momentum", "probes", rolling, "N = 2: the second step keeps 0.8 of the first"),
        Case("random input", "values", main, "N = 3, every term counts"),
        Case("float32 in", "properties", single_main, "the same arguments in single precision"),
        Case(
            "a tale",
            "properties",
            _tale_inputs(rng),
            "26 updates on a text: about 3 bits a character on what was held out, where the"
            " frequencies of letters alone give 4.1",
        ),
    ]


def _train_truth(**args: Any) -> Arrays:
    """torch.nn.RNN, cross_entropy, autograd, and torch.optim.SGD with momentum."""
    import torch

    U, W, b, V, c = (torch.tensor(p, dtype=torch.float64) for p in args["params"])
    rnn = torch.nn.RNN(U.shape[1], len(W), dtype=torch.float64)
    head = torch.nn.Linear(len(W), len(V), dtype=torch.float64)
    learned = {
        rnn.weight_ih_l0: U,
        rnn.weight_hh_l0: W,
        rnn.bias_ih_l0: b,
        head.weight: V,
        head.bias: c,
    }
    with torch.no_grad():
        rnn.bias_hh_l0.zero_()
        for parameter, value in learned.items():
            parameter.copy_(value)
    descent = torch.optim.SGD(list(learned), lr=args["rate"], momentum=args["momentum"])
    curve = []
    for x, y, mask in zip(args["x"], args["y"], args["mask"], strict=True):
        o = head(rnn(torch.tensor(x, dtype=torch.float64))[0])
        each = torch.nn.functional.cross_entropy(
            o.flatten(0, 1), torch.tensor(y).flatten(), reduction="none"
        )
        weight = torch.tensor(mask, dtype=torch.float64).flatten()
        mean = (each * weight).sum() / weight.sum()
        curve.append(mean.item())
        descent.zero_grad()
        mean.backward()
        norm = torch.cat([p.grad.flatten() for p in learned]).norm()
        for parameter in learned:
            parameter.grad *= min(1.0, args["max_norm"] / float(norm))
        descent.step()
    return (*(p.detach().numpy() for p in learned), np.array(curve))


SHAPES = {
    "dU": ("H", "D"),
    "dW": ("H", "H"),
    "db": ("H",),
    "dV": ("K", "H"),
    "dc": ("K",),
    "dx": ("T", "B", "D"),
    "dh0": ("B", "H"),
    "h": HIDDEN,
}


def _outputs(*names: str) -> tuple[Output, ...]:
    return tuple(Output(name, SHAPES[name]) for name in names)


CHAPTER = Chapter(
    name="bptt",
    number=3,
    title="Back-propagation through time",
    page="03-bptt",
    exercises=(
        Exercise(
            "bptt.forward",
            "3.1",
            "Forward",
            "(3.1)-(3.3)",
            3,
            (Output("h", HIDDEN), Output("o", OUTPUT)),
            _forward_cases,
            _forward_truth,
        ),
        Exercise(
            "bptt.loss",
            "3.2",
            "The loss, with padding",
            "(3.4)-(3.5)",
            2,
            (Output("L", ()),),
            _loss_cases,
            _loss_truth,
        ),
        Exercise(
            "bptt.grad_o",
            "3.3",
            "The gradient at the outputs",
            "(3.7)",
            2,
            (Output("do", OUTPUT),),
            _grad_o_cases,
            _grad_o_truth,
        ),
        Exercise(
            "bptt.grad_h",
            "3.4",
            "The gradient flows back",
            "(3.8)-(3.9)",
            4,
            (Output("dh", HIDDEN),),
            _grad_h_cases,
            _grad_h_truth,
        ),
        Exercise(
            "bptt.grad_params",
            "3.5",
            "The gradients of the parameters",
            "(3.10)-(3.15)",
            {"dU": 1, "dW": 1, "db": 1, "dV": 1, "dc": 1},
            _outputs("dU", "dW", "db", "dV", "dc"),
            _grad_params_cases,
            _grad_params_truth,
        ),
        Exercise(
            "bptt.clip",
            "3.6",
            "Clip by the global norm",
            "(3.26)",
            2,
            (
                Output("clipped[0]", ("H", "D")),
                Output("clipped[1]", ("H", "H")),
                Output("clipped[2]", ("H",)),
                Output("norm", ()),
            ),
            _clip_cases,
            _clip_truth,
            tolerance=Tolerance(1e-5, "a guard of up to 1e-6 against dividing by zero is fine"),
            unpack=_unpack_clip,
        ),
        Exercise(
            "bptt.truncated",
            "3.7",
            "Truncated back-propagation",
            "(3.27)",
            3,
            (Output("dh", HIDDEN),),
            _truncated_cases,
            _truncated_truth,
        ),
        Exercise(
            "bptt.rtrl",
            "3.8",
            "Real-time recurrent learning",
            "(3.20)",
            3,
            _outputs("dU", "dW", "db"),
            _rtrl_cases,
            _rtrl_truth,
            run=run_rtrl,
        ),
        Exercise(
            "bptt.RNNFunction",
            "3.9",
            "The backward pass in PyTorch",
            "(3.9)-(3.17)",
            3,
            _outputs("h", "dx", "dh0", "dU", "dW", "db"),
            _torch_cases,
            _torch_oracle,
            run=apply_function,
            kind="class",
            uses_torch=True,
        ),
        Exercise(
            "bptt.train",
            "3.10",
            "Train it on a text",
            "(3.29)",
            3,
            (
                Output("U", ("H", "D")),
                Output("W", ("H", "H")),
                Output("b", ("H",)),
                Output("V", ("K", "H")),
                Output("c", ("K",)),
                Output("curve", ("N",)),
            ),
            _train_cases,
            _train_truth,
            tolerance=Tolerance(1e-5, "gradients in single precision are fine, over 26 updates"),
            unpack=_unpack_train,
        ),
    ),
    questions=(Question("bptt.explain", "3.11", "Must it explode?", 3),),
)
