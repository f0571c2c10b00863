"""Chapter 7: inputs, probes, properties and oracles of its exercises.

Each oracle reaches the truth by another road than the chapter's: one matrix for a step, sums with
weights written out, numbers one at a time, the roots of a polynomial, complex steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from course.adapters import call_with_many_tensors
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
from course.exercises.common import STEP, double, elsewhere, single, varied

N, F, M, H, T, R = 4, 3, 5, 2, 6, 4
LONG = 9

VECTOR = ("n",)


def _flat(value: Any) -> np.ndarray:
    return np.asarray(value, np.float64)


# Hand-made rules: inputs.


def _state(rng: np.random.Generator, *squares: str, n: int = N) -> dict[str, np.ndarray]:
    """theta, grad and a state that is not zero; names in `squares` hold what can't be negative."""
    drawn = {"theta": rng.normal(size=n), "grad": rng.normal(size=n)}
    for name in squares:
        drawn[name] = rng.uniform(0.1, 2.0, n) if name == "s" else rng.normal(size=n)
    return drawn


def _rule_cases(
    rng: np.random.Generator,
    names: tuple[str, ...],
    numbers: Mapping[str, Any],
    probes: Sequence[Case],
) -> list[Case]:
    """The probes, then what every rule has in common."""

    def draw(n: int = N) -> dict[str, Any]:
        return {**_state(rng, *names, n=n), **numbers}

    main = draw()
    still = {**draw(), "grad": np.zeros(N)}
    first = {**draw(), **{name: np.zeros(N) for name in names}}
    if "t" in first:
        first["t"] = 1
    order = {
        name: value[::-1].copy() if isinstance(value, np.ndarray) else value
        for name, value in main.items()
    }
    return [
        *probes,
        Case("random input", "values", main, "every term counts, the state is not zero"),
        Case("the first step", "properties", first, "the state is zero"),
        Case("no gradient", "properties", still, "the gradient is zero, the state is not"),
        Case("one coordinate", "properties", draw(1), "n = 1"),
        Case("coordinates in another order", "properties", order, "each is treated alone"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def _probe(name: str, args: Mapping[str, Any], says: str) -> Case:
    return Case(name, "probes", args, says)


@varied(numbers={"rate": (0.1, 0.9), "mu": (0.1, 0.9)})
def _momentum_cases(rng: np.random.Generator) -> list[Case]:
    numbers = {"rate": 0.3, "mu": 0.8}

    def only(**kept: Any) -> dict[str, Any]:
        zero = {"theta": np.zeros(N), "grad": np.zeros(N), "v": np.zeros(N)}
        return {**zero, **numbers, **kept}

    some = _state(rng, "v")
    return _rule_cases(
        rng,
        ("v",),
        numbers,
        [
            _probe("theta alone", only(theta=some["theta"]), "nothing moves it"),
            _probe(
                "gradient alone",
                only(grad=some["grad"], mu=0.0),
                "theta and v are zero, mu = 0: the step is -rate times the gradient",
            ),
            _probe("velocity alone", only(v=some["v"]), "the gradient is zero: v shrinks by mu"),
            _probe(
                "gradient and mu",
                only(grad=some["grad"]),
                "v and theta are zero, mu is not",
            ),
        ],
    )


@varied(numbers={"rate": (0.1, 0.9)})
def _adagrad_cases(rng: np.random.Generator) -> list[Case]:
    numbers = {"rate": 0.3, "eps": 0.05}
    some = _state(rng, "s")
    zero = np.zeros(N)
    return _rule_cases(
        rng,
        ("s",),
        numbers,
        [
            _probe(
                "first step, no eps",
                {**some, "theta": zero, "s": zero, "rate": 0.3, "eps": 0.0},
                "s = 0 before and eps = 0: the step is -rate times the gradient's sign",
            ),
            _probe(
                "eps alone",
                {**some, "s": zero, "rate": 0.3, "eps": 2.0},
                "s = 0 before: the root of s is the gradient's size; eps is added to it",
            ),
            _probe("no eps", {**some, "rate": 0.3, "eps": 0.0}, "eps = 0, s is not zero before"),
        ],
    )


@varied(numbers={"rate": (0.1, 0.9), "rho": (0.1, 0.6)})
def _rmsprop_cases(rng: np.random.Generator) -> list[Case]:
    numbers = {"rate": 0.3, "rho": 0.7, "eps": 0.05}
    some = _state(rng, "s")
    zero = np.zeros(N)
    return _rule_cases(
        rng,
        ("s",),
        numbers,
        [
            _probe(
                "s alone",
                {**some, "grad": zero, **numbers},
                "the gradient is zero: s shrinks by rho, theta stays",
            ),
            _probe(
                "first step, no eps",
                {**some, "s": zero, **numbers, "eps": 0.0},
                "s = 0 before and eps = 0: s = (1 - rho) grad²",
            ),
            _probe(
                "eps alone",
                {**some, "s": zero, **numbers, "eps": 2.0},
                "s = 0 before: eps is added to the root of s",
            ),
        ],
    )


ADAM = {"t": 3, "rate": 0.3, "beta1": 0.6, "beta2": 0.9, "eps": 0.05}


def _adam_probes(rng: np.random.Generator, numbers: Mapping[str, Any]) -> list[Case]:
    some = _state(rng, "m", "s")
    zero = np.zeros(N)
    return [
        _probe(
            "gradient alone, first step",
            {**some, "m": zero, "s": zero, **numbers, "t": 1, "eps": 0.0},
            "m = s = 0 before, t = 1, eps = 0: the hats are the gradient and its square, and the"
            " step is -rate times the gradient's sign",
        ),
        _probe(
            "gradient alone, later",
            {**some, "m": zero, "s": zero, **numbers, "t": 4, "eps": 0.0},
            "m = s = 0 before, t = 4, eps = 0: m is divided by 1 - beta1⁴, s by 1 - beta2⁴",
        ),
        _probe(
            "m and s alone",
            {**some, "grad": zero, **numbers, "eps": 0.0},
            f"the gradient is zero, eps = 0, t = {numbers['t']}: m shrinks by beta1, s by beta2",
        ),
        _probe("eps", {**some, **numbers, "t": 1, "eps": 2.0}, "eps = 2 stands beside a root"),
    ]


@varied(numbers={"rate": (0.1, 0.9), "beta1": (0.1, 0.5), "beta2": (0.3, 0.8)})
def _adam_cases(rng: np.random.Generator) -> list[Case]:
    return _rule_cases(rng, ("m", "s"), ADAM, _adam_probes(rng, ADAM))


@varied(numbers={"rate": (0.1, 0.9), "beta1": (0.1, 0.5), "beta2": (0.3, 0.8)})
def _adamw_cases(rng: np.random.Generator) -> list[Case]:
    numbers = {**ADAM, "decay": 0.2}
    plain = _adam_probes(rng, {**numbers, "decay": 0.0})
    some = _state(rng, "m", "s")
    alone = {**some, "grad": np.zeros(N), "m": np.zeros(N), **numbers}
    decay = _probe("decay alone", alone, "gradient and m are zero: only the decay moves theta")
    return _rule_cases(rng, ("m", "s"), numbers, [*plain, decay])


@varied(numbers=dict.fromkeys(("rate", "final", "beta1", "beta2", "eps"), (0.1, 0.8)))
def _adabound_cases(rng: np.random.Generator) -> list[Case]:
    numbers = {
        "t": 3, "rate": 0.3, "final": 0.2, "gamma": 0.5, "beta1": 0.6, "beta2": 0.9, "eps": 0.05,
    }  # fmt: skip
    some = _state(rng, "m", "s")
    zero = np.zeros(N)
    middle = {**some, "s": rng.uniform(1.5, 3.0, N), **numbers, "t": 1}
    return _rule_cases(
        rng,
        ("m", "s"),
        numbers,
        [
            _probe(
                "between the bounds",
                {**middle, "grad": zero},
                "t = 1, the gradient is zero, and every coordinate's rate is within its bounds",
            ),
            _probe(
                "m and s",
                {**middle, "gamma": 1e-3},
                "t = 1 and bounds so wide that none is met",
            ),
            _probe("root of t", {**middle, "t": 4, "gamma": 1e-3}, "t = 4, wide bounds"),
            _probe(
                "the upper bound",
                {**some, "s": np.full(N, 1e-6), "grad": zero, **numbers},
                "s is tiny: every coordinate meets the upper bound",
            ),
            _probe(
                "the lower bound",
                {**some, "s": np.full(N, 1e6), **numbers},
                "s is huge: every coordinate meets the lower bound",
            ),
        ],
    )


# Hand-made rules: oracles, each one coordinate at a time or by one matrix.


def _momentum_truth(theta: Any, grad: Any, v: Any, rate: float, mu: float) -> Arrays:
    """The step as a matrix that acts on (theta, v, grad)."""
    step = np.array([[1, -rate * mu, -rate], [0, mu, 1]])
    moved = step @ np.stack([_flat(theta), _flat(v), _flat(grad)])
    return tuple(moved)


def _nesterov_truth(theta: Any, grad: Any, v: Any, rate: float, mu: float) -> Arrays:
    """Likewise: theta moves by -rate (mu² v + (1 + mu) grad)."""
    step = np.array([[1, -rate * mu**2, -rate * (1 + mu)], [0, mu, 1]])
    moved = step @ np.stack([_flat(theta), _flat(v), _flat(grad)])
    return tuple(moved)


def _one_by_one(one: Callable[..., tuple[float, ...]], *vectors: Any) -> Arrays:
    """A rule for one coordinate, in Python's own numbers, on each of them."""
    rows = [one(*map(float, values)) for values in zip(*vectors, strict=True)]
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def _towards(theta: float, grad: float, root: float, eps: float, rate: float) -> float:
    """theta less a scaled gradient; a zero gradient moves nothing, even over zero."""
    return theta - (rate * grad / (root + eps) if grad else 0.0)


def _adagrad_truth(theta: Any, grad: Any, s: Any, rate: float, eps: float) -> Arrays:
    def one(theta: float, grad: float, s: float) -> tuple[float, ...]:
        root = math.hypot(math.sqrt(s), grad)
        return _towards(theta, grad, root, eps, rate), s + grad**2

    return _one_by_one(one, theta, grad, s)


def _rmsprop_truth(theta: Any, grad: Any, s: Any, rate: float, rho: float, eps: float) -> Arrays:
    def one(theta: float, grad: float, s: float) -> tuple[float, ...]:
        root = math.hypot(math.sqrt(rho * s), math.sqrt(1 - rho) * grad)
        return _towards(theta, grad, root, eps, rate), s - (1 - rho) * (s - grad**2)

    return _one_by_one(one, theta, grad, s)


def _adamw_truth(
    theta: Any,
    grad: Any,
    m: Any,
    s: Any,
    t: int,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float = 0.0,
) -> Arrays:
    """Adam with both corrections in the rate, as its authors' second form; eps moves along."""
    seen1 = (1 - beta1) * sum(beta1**k for k in range(t))  # 1 - beta1^t, summed
    seen2 = math.sqrt((1 - beta2) * sum(beta2**k for k in range(t)))

    def one(theta: float, grad: float, m: float, s: float) -> tuple[float, ...]:
        m = m + (1 - beta1) * (grad - m)
        s = s + (1 - beta2) * (grad**2 - s)
        moved = _towards(theta, m, math.sqrt(s), eps * seen2, rate * seen2 / seen1)
        return moved - rate * decay * theta, m, s

    return _one_by_one(one, theta, grad, m, s)


def _adabound_truth(
    theta: Any,
    grad: Any,
    m: Any,
    s: Any,
    t: int,
    rate: float,
    final: float,
    gamma: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> Arrays:
    low = final * gamma * t / (gamma * t + 1)
    high = final * (gamma * t + 1) / (gamma * t)

    def one(theta: float, grad: float, m: float, s: float) -> tuple[float, ...]:
        m = m + (1 - beta1) * (grad - m)
        s = s + (1 - beta2) * (grad**2 - s)
        each = sorted((low, rate / (math.sqrt(s) + eps), high))[1]
        return theta - each * m * t**-0.5, m, s

    return _one_by_one(one, theta, grad, m, s)


# Chebyshev.


def _chebyshev_truth(low: float, high: float, T: int) -> Arrays:
    """The roots of T_T, found as eigenvalues, and |p| at the left end of the interval."""
    roots = np.sort(np.polynomial.chebyshev.chebroots([0.0] * T + [1.0]).real)[::-1]
    rates = 1 / ((high + low) / 2 - (high - low) / 2 * roots)
    return rates, np.asarray(abs(np.prod(1 - rates * low)))


def _chebyshev_cases(rng: np.random.Generator) -> list[Case]:
    return [
        _probe(
            "one step",
            {"low": 1.0, "high": 3.0, "T": 1},
            "T = 1: the one rate is 2 / (low + high)",
        ),
        _probe("two steps", {"low": 1.0, "high": 3.0, "T": 2}, "T = 2"),
        Case(
            "random input",
            "values",
            {"low": float(rng.uniform(0.2, 1)), "high": float(rng.uniform(3, 9)), "T": 5},
            "every term counts",
        ),
        Case("many steps", "properties", {"low": 0.5, "high": 20.0, "T": 12}, "T = 12"),
        Case("a narrow interval", "properties", {"low": 2.0, "high": 2.1, "T": 3}, "nearly round"),
    ]


# Preprocessing.


def _preprocess_truth(grad: Any, p: float) -> Arrays:
    def one(d: float) -> tuple[float, float]:
        if abs(d) < math.exp(-p):
            return -1.0, math.exp(p) * d
        return math.log(abs(d)) / p, math.copysign(1.0, d)

    return (np.array([one(float(d)) for d in grad]),)


def _preprocess_cases(rng: np.random.Generator) -> list[Case]:
    p = 4.0
    large = rng.uniform(0.5, 3.0, N)
    mixed = rng.choice([-1, 1], 8) * 10.0 ** rng.uniform(-4, 2, 8)
    main = {"grad": mixed, "p": p}
    return [
        _probe("large and positive", {"grad": large, "p": p}, "all above exp(-p): log d / p and 1"),
        _probe("large and negative", {"grad": -large, "p": p}, "log |d| / p and -1"),
        _probe("small", {"grad": large * 1e-3, "p": p}, "all below exp(-p): -1 and exp(p) d"),
        _probe("small and negative", {"grad": large * -1e-3, "p": p}, "-1 and exp(p) d, below 0"),
        _probe("zero", {"grad": np.zeros(3), "p": p}, "a gradient of 0 has no logarithm: -1 and 0"),
        Case("random input", "values", main, "gradients from 1e-4 to 100"),
        Case("another p", "properties", {"grad": mixed, "p": 10.0}, "p = 10, as in the paper"),
        Case("one coordinate", "properties", {"grad": mixed[:1], "p": p}, "n = 1"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


# The coordinatewise LSTM.


def _phi(rng: np.random.Generator, features: int, hidden: int = H) -> list[np.ndarray]:
    shapes = (
        (4 * hidden, features), (4 * hidden, hidden), (4 * hidden,),
        (4 * hidden, hidden), (4 * hidden, hidden), (4 * hidden,),
        (hidden,), (1,),
    )  # fmt: skip
    return [rng.normal(0, 0.7, shape) for shape in shapes]


def _rule_inputs(rng: np.random.Generator, n: int = N, hidden: int = 3) -> dict[str, Any]:
    return {
        "x": rng.normal(size=(n, 2)),
        "h": rng.uniform(-0.9, 0.9, (2, n, hidden)),
        "c": rng.normal(size=(2, n, hidden)),
        "phi": _phi(rng, 2, hidden),
        "scale": 0.1,
    }


def _lstm(z: Any, h: Any, c: Any, phi: Sequence[Any]) -> tuple[Any, Any]:
    """Both layers by einsum, gates as an axis of their own; works on complex numbers."""
    hs, cs = [], []
    for layer in (0, 1):
        U, W, b = phi[3 * layer : 3 * layer + 3]
        width = W.shape[1]
        gates = np.einsum("ghd,nd->gnh", U.reshape(4, width, -1), z)
        gates = gates + np.einsum("ghk,nk->gnh", W.reshape(4, width, width), h[layer])
        i, f, u, o = gates + b.reshape(4, 1, width)
        i, f, o = (0.5 + 0.5 * np.tanh(gate / 2) for gate in (i, f, o))
        cs.append(f * c[layer] + i * np.tanh(u))
        z = o * np.tanh(cs[-1])
        hs.append(z)
    return np.stack(hs), np.stack(cs)


def _coordinatewise_truth(**args: Any) -> Arrays:
    a = double(**args)
    phi = a["phi"]
    h, c = _lstm(a["x"], a["h"], a["c"], phi)
    return a["scale"] * (np.einsum("nh,h->n", h[1], phi[6]) + phi[7][0]), h, c


@varied(numbers={"scale": (0.2, 0.9)})
def _coordinatewise_cases(rng: np.random.Generator) -> list[Case]:
    def changed(**kept: Any) -> dict[str, Any]:
        return {**_rule_inputs(rng), **kept}

    def zeroed(*kept: int) -> list[np.ndarray]:
        return [p if i in kept else np.zeros_like(p) for i, p in enumerate(_phi(rng, 2, 3))]

    nothing = np.zeros((2, N, 3))
    main = _rule_inputs(rng)
    order = {
        **main,
        **{"x": main["x"][::-1].copy()},
        **{name: main[name][:, ::-1].copy() for name in ("h", "c")},
    }
    return [
        _probe(
            "the cell alone",
            changed(x=np.zeros((N, 2)), h=nothing, phi=zeroed()),
            "all weights are zero: every gate is 1/2, the candidate is 0, so c' = c / 2",
        ),
        _probe(
            "biases alone",
            changed(x=np.zeros((N, 2)), h=nothing, phi=zeroed(2, 5)),
            "the order of the gates shows: i, f, u, o",
        ),
        _probe("first layer's input", changed(h=nothing, c=nothing, phi=zeroed(0)), "U1 x alone"),
        _probe("states", changed(x=np.zeros((N, 2)), phi=zeroed(1, 4)), "W1 h1 and W2 h2"),
        _probe(
            "second layer's input",
            changed(h=nothing, c=nothing, phi=zeroed(0, 3)),
            "the second layer reads the new state of the first",
        ),
        _probe(
            "readout",
            changed(phi=zeroed(2, 5, 6, 7)),
            "g = scale (a · h2' + k), h2' after the step",
        ),
        Case("random input", "values", main, "every term counts"),
        Case("one coordinate", "properties", _rule_inputs(rng, n=1), "n = 1"),
        Case("more units", "properties", _rule_inputs(rng, hidden=5), "H = 5"),
        Case("coordinates in another order", "properties", order, "none sees another"),
        Case(
            "large inputs",
            "properties",
            changed(x=1000 * rng.normal(size=(N, 2))),
            "inputs of 1000: exp may overflow on the way, a gate is 0 or 1 all the same",
        ),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


# Meta-loss and meta-gradients of momentum.


def _functions(rng: np.random.Generator, functions: int = F) -> dict[str, Any]:
    return {
        "W": rng.normal(0, 0.5, (functions, M, N)),
        "y": rng.normal(size=(functions, M)),
        "theta": rng.normal(size=(functions, N)),
    }


def _meta_inputs(rng: np.random.Generator, steps: int = T, functions: int = F) -> dict[str, Any]:
    drawn = _functions(rng, functions)
    drawn["v"] = rng.normal(size=(functions, N))
    return {**drawn, "rate": 0.06, "mu": 0.7, "w": rng.uniform(0.5, 1.5, steps)}


def _run(
    W: Any, y: Any, theta: Any, v: Any, rate: Any, mu: Any, steps: int, told: Any = None
) -> tuple[Any, Any, list[Any]]:
    """theta, v and all losses (F,), one function at a time, from H and b; complex numbers too.

    told : gradients (steps, F, n) that the rule reads in the place of its own.
    """
    losses: list[Any] = []
    ends, speeds = [], []
    for i in range(len(W)):
        hessian, slope = 2 * W[i].T @ W[i], -2 * W[i].T @ y[i]
        x, u, mine = theta[i], v[i], []
        for t in range(steps):
            u = mu * u + (hessian @ x + slope if told is None else told[t][i])
            x = x - rate * u
            mine.append(x @ hessian @ x / 2 + slope @ x + y[i] @ y[i])
        losses.append(mine)
        ends.append(x)
        speeds.append(u)
    return np.stack(ends), np.stack(speeds), list(np.array(losses).T)


def _meta_loss_truth(**args: Any) -> Arrays:
    a = double(**args)
    w = a.pop("w")
    losses = np.array(_run(**a, steps=len(w))[2])
    return (np.asarray(np.average(losses, axis=1) @ w),)


def _complex_in_phi(loss: Callable[[Any, Any], Any], rate: float, mu: float) -> Arrays:
    """Derivatives of loss(rate, mu) by complex steps."""
    return (
        np.asarray(np.imag(loss(rate + 1j * STEP, mu)) / STEP),
        np.asarray(np.imag(loss(rate, mu + 1j * STEP)) / STEP),
    )


def _meta_gradient_truth(**args: Any) -> Arrays:
    a = double(**args)
    W, y, theta, v, w, second = (a[n] for n in ("W", "y", "theta", "v", "w", "second"))

    def whole(rate: Any, mu: Any) -> Any:
        return np.mean(_run(W, y, theta, v, rate, mu, len(w))[2], axis=1) @ w

    if second:
        return _complex_in_phi(whole, a["rate"], a["mu"])
    # The gradients of the run, held fixed, both where the rule reads them and in the loss.
    path, x, u = [theta], theta, v
    for _ in range(len(w)):
        x, u, _ = _run(W, y, x, u, a["rate"], a["mu"], 1)
        path.append(x)
    gradients = [np.stack([2 * W[i].T @ (W[i] @ x[i] - y[i]) for i in range(len(W))]) for x in path]

    def surrogate(rate: Any, mu: Any) -> Any:
        total, x, u = 0.0, theta, v
        for t in range(len(w)):
            x, u, _ = _run(W, y, x, u, rate, mu, 1, told=gradients[t : t + 1])
            total = total + w[t] / len(W) * (gradients[t + 1] * x).sum()
        return total

    return _complex_in_phi(surrogate, a["rate"], a["mu"])


@varied(numbers={"rate": (0.01, 0.05), "mu": (0.1, 0.6)}, N=N, M=M)
def _meta_loss_cases(rng: np.random.Generator) -> list[Case]:
    one = _meta_inputs(rng, 1, 1)
    pushed = {**one, "v": np.zeros_like(one["v"])}
    two = _meta_inputs(rng, 2, 1)
    two["w"] = np.array([0.0, 1.0])
    main = _meta_inputs(rng)
    order = {**main, **{name: main[name][::-1].copy() for name in ("W", "y", "theta", "v")}}
    return [
        _probe("nothing moves", {**one, "rate": 0.0}, "rate = 0, T = F = 1: L = w f(theta)"),
        _probe("no velocity", pushed, "v = 0 before: L = w f(theta - rate grad f(theta))"),
        _probe("one step, one function", one, "L = w f(theta after the step)"),
        _probe("the second step alone", two, "w = (0, 1): only f after the second step counts"),
        _probe("one step", _meta_inputs(rng, 1), "a mean over F functions"),
        Case("random input", "values", main, f"every term counts, T = {T}, F = {F}"),
        Case("more steps", "properties", _meta_inputs(rng, LONG), f"T = {LONG}"),
        Case("functions in another order", "properties", order, "their mean is the same"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


@varied(numbers={"rate": (0.01, 0.05), "mu": (0.1, 0.6)}, N=N, M=M)
def _meta_gradient_cases(rng: np.random.Generator) -> list[Case]:
    def draw(second: bool, steps: int = T, functions: int = F) -> dict[str, Any]:
        return {**_meta_inputs(rng, steps, functions), "second": second}

    main = draw(True)
    order = {**main, **{name: main[name][::-1].copy() for name in ("W", "y", "theta", "v")}}
    return [
        _probe(
            "one step, one function",
            draw(True, 1, 1),
            "no later step: lambda = w grad f, and v(0) is not zero",
        ),
        _probe("one step", draw(True, 1), "w is divided by F, and the functions are summed"),
        _probe("without second derivatives", draw(False, 3, 1), "T = 3, H nu is left out"),
        _probe("with second derivatives", draw(True, 3, 1), "T = 3, H nu is kept"),
        Case("random input", "values", main, f"every term counts, T = {T}, F = {F}"),
        Case("without, random input", "properties", draw(False), "second=False"),
        Case("more steps", "properties", draw(True, LONG), f"T = {LONG}"),
        Case("functions in another order", "properties", order, "they are summed"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def _chunk_inputs(rng: np.random.Generator, k: int, steps: int) -> dict[str, Any]:
    numbers = {"rate": 0.05, "mu": 0.6, "k": k, "T": steps, "eta": 1e-4}
    return {**_functions(rng), **numbers}


def _chunks_truth(**args: Any) -> Arrays:
    a = double(**args)
    W, y, theta, rate, mu, k = (a[n] for n in ("W", "y", "theta", "rate", "mu", "k"))
    v, phis = np.zeros_like(theta), []
    for _ in range(a["T"] // k):

        def chunk(rate: Any, mu: Any, theta: Any = theta, v: Any = v) -> Any:
            return np.sum(_run(W, y, theta, v, rate, mu, k)[2]) / len(W)

        drate, dmu = _complex_in_phi(chunk, rate, mu)
        theta, v, _ = _run(W, y, theta, v, rate, mu, k)
        rate, mu = float(rate - a["eta"] * drate), float(mu - a["eta"] * dmu)
        phis.append([rate, mu])
    return np.array(phis), theta


# A larger eta throws phi where the run no longer converges, and the truth overflows.
@varied(numbers={"rate": (0.01, 0.04), "mu": (0.1, 0.5), "eta": (5e-6, 2e-5)}, F=F, N=N, M=M)
def _chunks_cases(rng: np.random.Generator) -> list[Case]:
    main = _chunk_inputs(rng, 3, 12)
    return [
        _probe("one chunk", _chunk_inputs(rng, 3, 3), "k = T: one update"),
        _probe("two chunks of one step", _chunk_inputs(rng, 1, 2), "k = 1, T = 2"),
        _probe("two chunks", _chunk_inputs(rng, 3, 6), "theta and v go on, phi changes between"),
        Case("random input", "values", main, "k = 3, T = 12"),
        Case("longer chunks", "properties", _chunk_inputs(rng, 5, 10), "k = 5, T = 10"),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


# The learned rule's meta-gradient.


def _learned_inputs(
    rng: np.random.Generator, second: bool, steps: int = 3, functions: int = F
) -> dict[str, Any]:
    return {**_functions(rng, functions), "phi": _phi(rng, 1), "T": steps, "second": second}


def _learned_truth(**args: Any) -> tuple[np.ndarray, ...]:
    """By complex steps in each of phi's numbers."""
    args.pop("also", None)
    a = double(**args)
    W, y, theta, phi, T, second = (a[name] for name in ("W", "y", "theta", "phi", "T", "second"))
    functions, n = theta.shape

    def gradient(theta: Any) -> Any:
        return 2 * np.einsum("fmn,fm->fn", W, np.einsum("fmn,fn->fm", W, theta) - y)

    def run(phi: list[Any], told: list[Any] | None) -> tuple[Any, list[Any]]:
        x, path = theta, [theta]
        h = c = np.zeros((2, functions * n, len(phi[6])))
        for t in range(T):
            d = gradient(x) if told is None else told[t]
            h, c = _lstm(d.reshape(-1, 1), h, c, phi)
            x = x + 0.1 * (h[1] @ phi[6] + phi[7]).reshape(functions, n)
            path.append(x)
        return sum(
            ((np.einsum("fmn,fn->fm", W, x) - y) ** 2).sum() / functions for x in path[1:]
        ), path

    value, path = run(phi, None)
    gradients = [gradient(x) for x in path]

    def moved(phi: list[Any]) -> Any:
        if second:
            return run(phi, None)[0]
        along = run(phi, gradients)[1]
        return sum((g * x).sum() / functions for g, x in zip(gradients[1:], along[1:], strict=True))

    grads = []
    for which, each in enumerate(phi):
        grad = np.empty(each.shape)
        for index in np.ndindex(each.shape):
            other = each.astype(complex)
            other[index] += 1j * STEP
            grad[index] = np.imag(moved([*phi[:which], other, *phi[which + 1 :]])) / STEP
        grads.append(grad)
    return (np.asarray(value), *grads)


@varied(sums=("HHHH",), N=N, M=M, H=H)
def _learned_cases(rng: np.random.Generator) -> list[Case]:
    main = _learned_inputs(rng, True)
    return [
        _probe(
            "two steps, one function",
            _learned_inputs(rng, True, 2, 1),
            "T = 2, F = 1: L = f(theta(1)) + f(theta(2)), after the first and the second step",
        ),
        _probe("one step, one function", _learned_inputs(rng, True, 1, 1), "T = 1, F = 1"),
        _probe("one step", _learned_inputs(rng, True, 1), "a mean over F functions"),
        _probe("without second derivatives", _learned_inputs(rng, False), "second=False, T = 3"),
        _probe("with second derivatives", _learned_inputs(rng, True), "second=True, T = 3"),
        Case("random input", "values", main, "T = 3, F = 3"),
        Case("more steps", "properties", _learned_inputs(rng, False, 5), "T = 5"),
        elsewhere(
            _learned_inputs(rng, False, 2),
            "second=False; it must run where the tensors are, whatever device that is",
        ),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


GRADIENTS = ("dU1", "dW1", "db1", "dU2", "dW2", "db2", "da", "dk")
GRADIENT_AXES = (
    ("4H", "1"), ("4H", "H"), ("4H",), ("4H", "H"), ("4H", "H"), ("4H",), ("H",), ("1",)
)  # fmt: skip


def _unpack_learned(raw: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """A pair of a number and a list of eight arrays, laid out flat."""
    value, grads = as_outputs(raw, ("L", "grads"))
    if isinstance(grads, Iterator) or not isinstance(grads, list | tuple):
        raise Finding(
            "shapes",
            f"the gradients are {with_article(type(grads).__name__)}, want a list of eight tensors",
            ("one for each array of phi, in its order",),
        )
    if len(grads) != len(GRADIENTS):
        raise Finding("shapes", f"there are {len(grads)} gradients, want {len(GRADIENTS)}")
    for name, grad in zip(GRADIENTS, grads, strict=True):
        if grad is None:
            raise Finding("shapes", f"{name} is None", ("does L depend on every array of phi?",))
    return (value, *grads)


# A fair comparison.


def _losses(rng: np.random.Generator, functions: int, steps: int = 6) -> np.ndarray:
    """Losses (R, functions, steps + 1) with heavy tails, the rates clearly apart."""
    levels = rng.permutation(np.array([0.2, 1.0, 4.0, 9.0]))[:, None, None]
    return levels * np.exp(1.5 * rng.normal(size=(R, functions, steps + 1)))


def _tuned_truth(train: Any, test: Any) -> Arrays:
    """Sorted lists; quartiles between neighbours, by hand."""

    def sorted_losses(values: Any) -> list[float]:
        return sorted(math.inf if math.isnan(v) else float(v) for v in values)

    def quantile(values: list[float], share: float) -> float:
        place = share * (len(values) - 1)
        below = int(place)
        rest = place - below
        return (
            values[below]
            if rest == 0
            else values[below] + rest * (values[below + 1] - values[below])
        )

    lasts = [quantile(sorted_losses(rate[:, -1]), 0.5) for rate in _flat(train)]
    best = lasts.index(min(lasts))
    columns = [sorted_losses(column) for column in _flat(test)[best].T]
    quartiles = [np.array([quantile(c, q) for c in columns]) for q in (0.25, 0.5, 0.75)]
    return np.asarray(float(best)), *quartiles


@varied(R=R, S=7)
def _tuned_cases(rng: np.random.Generator) -> list[Case]:
    def draw() -> dict[str, Any]:
        return {"train": _losses(rng, 5), "test": _losses(rng, 9)}

    main = draw()
    trap = {"train": _losses(rng, 5), "test": _losses(rng, 9)}
    order = np.argsort(np.median(trap["train"][:, :, -1], axis=1))
    back = np.argsort(np.median(trap["test"][:, :, -1], axis=1))[::-1]
    trap["test"][order] = trap["test"][back]  # what is best on one is worst on the other
    early = draw()
    early["train"] = early["train"] + 0.0
    early["train"][:, :, :-1] *= np.array([9.0, 1.0, 0.1, 0.01])[
        np.argsort(np.argsort(np.median(early["train"][:, :, -1], axis=1)))
    ][:, None, None]
    outlier = draw()
    best = int(np.argmin(np.median(outlier["train"][:, :, -1], axis=1)))
    outlier["train"][best, 0, -1] = 1e6
    gone = draw()
    best = int(np.argmin(np.median(gone["train"][:, :, -1], axis=1)))
    # What each mistake would choose: nan left in, nan as 0, and such runs left out.
    left_in, as_zero, left_out = (rate for rate in range(R) if rate != best)
    gone["train"][left_in, 0, -1] = np.nan
    gone["train"][as_zero, :3, -1], gone["train"][as_zero, 3:, -1] = np.nan, 1e6
    gone["train"][left_out, :3, -1], gone["train"][left_out, 3:, -1] = np.nan, 1e-9
    gone["test"][best, 0, 2:4], gone["test"][best, 0, 4:] = np.inf, np.nan
    (mine,) = rng.spawn(1)
    huge = {"train": _losses(mine, 5), "test": _losses(mine, 9)}
    survivor = int(mine.integers(R))
    huge["train"][:, :3, -1] = np.nan
    huge["train"][survivor, :, -1] = mine.uniform(1e302, 9e302, 5)
    return [
        _probe("the last step decides", early, "another rate is ahead before the last step"),
        _probe("test says otherwise", trap, "the held-out functions would choose another rate"),
        _probe("one outlier", outlier, "the best rate has one run of 1,000,000: a median stays"),
        Case("random input", "values", main, "five functions to tune on, nine held out"),
        Case(
            "diverged",
            "properties",
            gone,
            "inf and nan are infinitely bad: never best, and above all others in the quartiles",
        ),
        Case(
            "diverged, all but one",
            "properties",
            huge,
            "losses of 1e302 are numbers: any is better than inf and nan",
        ),
        Case(
            "one function",
            "properties",
            {"train": main["train"][:, :1], "test": main["test"][:, :1]},
            "F = 1: all quartiles are its losses",
        ),
        Case("float32 in", "properties", single(main), "the same arguments in single precision"),
    ]


def _outputs(*names: str) -> tuple[Output, ...]:
    return tuple(Output(name, VECTOR) for name in names)


NUMBER = Tolerance(1e-8, "float64, a sum over steps that may cancel")

CHAPTER = Chapter(
    name="learning",
    number=7,
    title="Learning to learn by gradient descent by gradient descent",
    page="07-learning",
    exercises=(
        Exercise(
            "learning.momentum",
            "7.1",
            "Momentum",
            "(7.1)-(7.2)",
            1,
            _outputs("theta", "v"),
            _momentum_cases,
            _momentum_truth,
        ),
        Exercise(
            "learning.nesterov",
            "7.2",
            "Nesterov's momentum",
            "(7.3)",
            1,
            _outputs("theta", "v"),
            _momentum_cases,
            _nesterov_truth,
        ),
        Exercise(
            "learning.adagrad",
            "7.3",
            "AdaGrad",
            "(7.4)",
            1,
            _outputs("theta", "s"),
            _adagrad_cases,
            _adagrad_truth,
        ),
        Exercise(
            "learning.rmsprop",
            "7.4",
            "RMSprop",
            "(7.5)",
            1,
            _outputs("theta", "s"),
            _rmsprop_cases,
            _rmsprop_truth,
        ),
        Exercise(
            "learning.adam",
            "7.5",
            "Adam",
            "(7.6)",
            2,
            _outputs("theta", "m", "s"),
            _adam_cases,
            _adamw_truth,
        ),
        Exercise(
            "learning.adamw",
            "7.6",
            "AdamW",
            "(7.7)",
            1,
            _outputs("theta", "m", "s"),
            _adamw_cases,
            _adamw_truth,
        ),
        Exercise(
            "learning.adabound",
            "7.7",
            "AdaBound",
            "(7.8)",
            2,
            _outputs("theta", "m", "s"),
            _adabound_cases,
            _adabound_truth,
        ),
        Exercise(
            "learning.chebyshev",
            "7.8",
            "The best fixed rule for a quadratic",
            "(7.10)",
            2,
            (Output("rates", ("T",)), Output("factor", ())),
            _chebyshev_cases,
            _chebyshev_truth,
        ),
        Exercise(
            "learning.preprocess",
            "7.9",
            "What the learned rule reads",
            "(7.12)",
            2,
            (Output("x", ("n", "2")),),
            _preprocess_cases,
            _preprocess_truth,
        ),
        Exercise(
            "learning.coordinatewise",
            "7.10",
            "The coordinatewise LSTM",
            "(7.11), (7.13)",
            4,
            (Output("g", VECTOR), Output("h", ("2", "n", "H")), Output("c", ("2", "n", "H"))),
            _coordinatewise_cases,
            _coordinatewise_truth,
        ),
        Exercise(
            "learning.meta_loss",
            "7.11",
            "The meta-loss",
            "(7.9), (7.14)",
            2,
            (Output("L", ()),),
            _meta_loss_cases,
            _meta_loss_truth,
        ),
        Exercise(
            "learning.meta_gradient",
            "7.12",
            "The meta-gradient, with and without second derivatives",
            "(7.18)",
            4,
            (Output("drate", ()), Output("dmu", ())),
            _meta_gradient_cases,
            _meta_gradient_truth,
            tolerance=NUMBER,
        ),
        Exercise(
            "learning.train_in_chunks",
            "7.13",
            "Training in chunks",
            "(7.19)",
            3,
            (Output("phis", ("T/k", "2")), Output("theta", ("F", "n"))),
            _chunks_cases,
            _chunks_truth,
            tolerance=NUMBER,
        ),
        Exercise(
            "learning.learned_meta_gradient",
            "7.14",
            "The learned rule's meta-gradient, in PyTorch",
            "(7.14)-(7.17)",
            4,
            (
                Output("L", ()),
                *(
                    Output(name, axes, ("i", "f", "u", "o"))
                    for name, axes in zip(GRADIENTS, GRADIENT_AXES, strict=True)
                ),
            ),
            _learned_cases,
            _learned_truth,
            tolerance=NUMBER,
            run=call_with_many_tensors,
            unpack=_unpack_learned,
            uses_torch=True,
        ),
        Exercise(
            "learning.tuned",
            "7.15",
            "A fair comparison",
            "(7.21)",
            2,
            (
                Output("best", ()),
                Output("low", ("T+1",)),
                Output("median", ("T+1",)),
                Output("high", ("T+1",)),
            ),
            _tuned_cases,
            _tuned_truth,
        ),
    ),
    questions=(Question("learning.explain", "7.16", "What would convince you?", 3),),
)
