"""How answers are called: a function, a function that takes a function, something of PyTorch.

No truth is in this file and none is needed, so that it can run beside a student's code.
"""

from __future__ import annotations

import re
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from course.calls import Finding, is_empty, line_of


def call_in_order(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Call a function with its arguments by position, so that renamed parameters are fine."""
    return answer(*args.values())


class _Form(NamedTuple):
    """What an autograd.Function takes and gives, by name.

    outputs : what forward returns, with the letters of its axes; incoming : the gradients that
    backward gets, one for each of them; inputs : forward's arguments
    """

    outputs: Mapping[str, str]
    incoming: tuple[str, ...]
    inputs: tuple[str, ...]


_RNN = _Form({"h": "(T, B, H)"}, ("dh",), ("x", "h0", "U", "W", "b"))
_LSTM = _Form(
    {"h": "(T, B, H)", "c_last": "(B, H)"}, ("dh", "dc_last"), ("x", "h0", "c0", "U", "W", "b")
)


def _apply(
    function: Any, args: Mapping[str, np.ndarray], device: str, form: _Form
) -> tuple[Any, ...]:
    """Outputs, and the gradients that a hand-written backward returns for some from outside."""
    import torch

    names = (*form.incoming, *form.inputs)
    everything = [torch.tensor(args[name], device=device) for name in names]
    before = [value.clone() for value in everything]
    incoming = everything[: len(form.incoming)]
    leaves = [value.requires_grad_() for value in everything[len(form.incoming) :]]
    made = _watched(function, form, leaves).apply(*leaves)
    if made is None and is_empty(function.forward):
        raise NotImplementedError
    made = (made,) if isinstance(made, torch.Tensor) else made
    want = ", ".join(form.outputs)
    if not isinstance(made, tuple) or len(made) != len(form.outputs):
        count = (
            f"{len(made)} thing{'' if len(made) == 1 else 's'}" if isinstance(made, tuple) else ""
        )
        got = count or f"a {type(made).__name__}"
        wanted = "one tensor, " + want if len(form.outputs) == 1 else want
        raise Finding("shapes", f"forward returned {got}, want {wanted}")
    for (name, axes), value, outside in zip(form.outputs.items(), made, incoming, strict=True):
        _fits(name, axes, value, outside, function.__name__)
    # backward gets these very tensors, so that a write into one shows.
    grads = torch.autograd.grad(made, leaves, incoming, allow_unused=True)
    for name, value, old in zip(names, everything, before, strict=True):
        if device != "meta" and not torch.equal(value.detach(), old):
            mine = name in form.incoming
            who = f"{'backward' if mine else 'your class'} writes into {name}"
            raise Finding(
                "arguments", who, ("make a new tensor: torch.empty_like, torch.zeros_like",)
            )
    for name, value in zip(form.inputs, grads, strict=True):
        if value is None:
            raise Finding(
                "shapes",
                f"d{name}: backward returned None for it",
                (f"one gradient for each argument of forward: {', '.join(form.inputs)}",),
            )
    return (*made, *grads)


def _watched(function: Any, form: _Form, leaves: Sequence[Any]) -> Any:
    """The same function, whose backward is seen before autograd gets what it returns.

    Autograd sums a gradient that has too many axes, and says nothing.  And it takes a gradient
    that it was asked for inside: there recording is off, so whoever does so turns it on, and what
    is saved for that shows.
    """
    import torch

    hooks = torch.autograd.graph.saved_tensors_hooks
    recorded: list[int] = []

    def pack(tensor: Any) -> Any:
        recorded.append(1)
        return tensor

    def forward(*given: Any) -> Any:
        with hooks(pack, lambda tensor: tensor):
            return function.forward(*given)

    def backward(ctx: Any, *outside: Any) -> Any:
        with hooks(pack, lambda tensor: tensor):
            grads = function.backward(ctx, *outside)
        if recorded:
            raise Finding(
                "runs",
                "autograd records a graph inside your class, to find the gradient by itself",
                (
                    "write the walk yourself: no torch.enable_grad, torch.autograd.grad or"
                    " .backward() inside",
                ),
            )
        found = grads if isinstance(grads, tuple) else (grads,)
        for name, leaf, grad in zip(form.inputs, leaves, found, strict=False):
            if isinstance(grad, torch.Tensor) and grad.shape != leaf.shape:
                have, want = tuple(grad.shape), tuple(leaf.shape)
                raise Finding(
                    "shapes",
                    f"backward returns d{name} of shape {have}, want {want}, that of {name}",
                    _of_gradient(
                        have,
                        want,
                        [
                            i
                            for i, v in zip(form.inputs, leaves, strict=True)
                            if tuple(v.shape) == have
                        ],
                    ),
                )
        return grads

    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(function)(function.__name__, (function,), members)


def _of_gradient(
    have: tuple[int, ...], want: tuple[int, ...], like: Sequence[str]
) -> tuple[str, ...]:
    """What the wrong shape of a gradient suggests."""
    if like:
        return (f"that is the shape of {like[0]}: one gradient for each argument, in their order",)
    if len(have) > len(want):
        return ("sum over time and over the batch: autograd would do it here without a word",)
    return ()


def _fits(name: str, axes: str, value: Any, like: Any, function: str) -> None:
    """Raise Finding unless an output is a tensor of the shape and dtype of its gradient."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise Finding("shapes", f"{name} is a {type(value).__name__}, want a tensor")
    if value.shape != like.shape:
        want = f"{axes} = {tuple(like.shape)}"
        raise Finding("shapes", f"{name} has shape {tuple(value.shape)}, want {want}")
    if value.dtype != like.dtype:
        raise Finding(
            "shapes",
            f"{name} has dtype {value.dtype} for arguments of {like.dtype}",
            ("make new tensors from the ones you are given: torch.empty_like, x.new_zeros",),
        )
    if not value.requires_grad:
        raise Finding(
            "runs", f"{name} does not require a gradient", (f"call it by {function}.apply",)
        )


def _elsewhere(run: Callable[[], Any]) -> None:
    """Run something on the meta device; raises Finding if it can't be run there."""
    try:  # the meta device has shapes and no numbers: what is made elsewhere clashes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is warned of on the way to an error misleads
            run()
    except (RuntimeError, TypeError, ValueError) as error:
        if "nonzero" in str(error):  # what PyTorch says of it here is about this device
            raise Finding(
                "properties",
                "h[mask] with a mask, or torch.nonzero, has a shape that depends on numbers",
                ("a GPU has to wait for the CPU there: choose with torch.where(mask, a, b)",),
            ) from None
        said = (str(error).strip() or "no message").splitlines()[0]
        said = re.sub(r"\. Use Tensor\.cpu\(\).*", "", said)[:160]  # of no help on this device
        where = line_of(error)
        raise Finding(
            "properties",
            f"on another device it raised {type(error).__name__}: {said}",
            (
                *([where] if where else []),
                "new tensors go where the arguments are: torch.empty_like, x.new_zeros;",
                "no .item(), .numpy(), .tolist() inside, and no function of NumPy's;",
                "int() of a tensor is an .item(), too, and so is a tensor as the bound of a slice",
            ),
        ) from None


def apply_function(function: Any, args: Mapping[str, Any]) -> Any:
    """Run an RNN's autograd.Function, on the GPU if there is one; answer with NumPy arrays."""
    return _run_function(function, args, _RNN)


def apply_lstm(function: Any, args: Mapping[str, Any]) -> Any:
    """The same for an LSTM, which has a cell state as well."""
    return _run_function(function, args, _LSTM)


def _run_function(function: Any, args: Mapping[str, Any], form: _Form) -> Any:
    """Run it, with gradcheck or on another device first where the case says so."""
    import torch

    if not issubclass(function, torch.autograd.Function):
        raise Finding(
            "runs", f"{function.__name__} is not a torch.autograd.Function: keep the class line"
        )
    args = dict(args)
    special = args.pop("also", "")
    if special == "gradcheck":
        from torch.autograd.gradcheck import GradcheckError

        leaves = [torch.tensor(args[name]).requires_grad_() for name in form.inputs]
        try:
            # fast: along random directions instead of number by number; values are compared anyway
            torch.autograd.gradcheck(function.apply, leaves, fast_mode=True)
        except GradcheckError as error:
            first = str(error).strip().splitlines()[0]
            raise Finding("properties", f"torch.autograd.gradcheck fails: {first}") from None
    if special == "another device":
        _elsewhere(lambda: _apply(function, args, "meta", form))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return tuple(value.detach().cpu().numpy() for value in _apply(function, args, device, form))


WEIGHTS = ("U", "W", "b", "V", "c")


def run_step(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Call a step: step(params, state, x) with params = (U, W, b, V, c)."""
    return answer(tuple(args[name] for name in WEIGHTS), args["state"], args["x"])


def run_unfold(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Run an ``unfold`` over a step of the course's own, whose state is an array or a pair of them.

    The step is h(t) = tanh(U x(t) + W h(t-1) + A h(t-2)), y(t) = V h(t); ``args["state"]`` says
    "one array" or "a pair".  With a pair, what a step gives is a pair, too (y and a number), and
    the inputs are a list: nothing but handing on is then possible.
    """
    params = {name: args[name] for name in ("U", "W", "A", "V")}
    h0, x, pair = args["h0"], args["x"], args["state"] == "a pair"
    calls = 0

    def step(given: Any, state: Any, x_t: Any) -> tuple[Any, Any]:
        nonlocal calls
        calls += 1
        if given is not params:
            raise Finding("runs", "step got other parameters than unfold did", ("hand params on",))
        if isinstance(state, tuple) != pair or (pair and len(state) != 2):
            was = "a pair of arrays" if pair else "one array"
            raise Finding(
                "runs",
                f"at call {calls} step got a {type(state).__name__} for its state, which is {was}",
                ("hand the state on as step gave it, without looking inside",),
            )
        h, before = state if pair else (state, np.zeros_like(state))
        if np.shape(x_t) != x.shape[1:]:
            raise Finding(
                "runs",
                f"at call {calls} step got an x of shape {np.shape(x_t)}, want {x.shape[1:]}",
                ("one entry of xs for each step",),
            )
        new = np.tanh(x_t @ given["U"].T + h @ given["W"].T + before @ given["A"].T)
        y = new @ given["V"].T
        return ((new, h), (y, calls)) if pair else (new, y)

    raw = answer(step, params, (h0, h0[::-1]) if pair else h0, list(x) if pair else x)
    if raw is None:
        return None
    if not isinstance(raw, tuple | list) or len(raw) != 2:
        raise Finding(
            "shapes", "want two things: the last state, and the list of what each step gave"
        )
    state, ys = raw
    if not isinstance(ys, list | tuple | np.ndarray):
        raise Finding("shapes", f"ys is a {type(ys).__name__}, want a list")
    if calls != len(x):
        steps = f"{calls} time{'' if calls == 1 else 's'}"
        raise Finding("runs", f"step was called {steps}, for {len(x)} inputs")
    if pair:
        if not isinstance(state, tuple) or len(state) != 2:
            raise Finding(
                "shapes", f"the last state is a {type(state).__name__}, and was a pair of arrays"
            )
        state = np.concatenate([np.atleast_2d(part) for part in state], axis=-1)
        if not all(isinstance(y, tuple) and len(y) == 2 for y in ys):
            raise Finding(
                "shapes",
                "ys must hold what each step gave, as it gave it; this step gives pairs",
                ("collect it in a list, without looking inside",),
            )
        ys = [y for y, _ in ys]
    if len(ys) == 0:
        ys = np.zeros((0, len(h0), len(args["V"])))
    return state, ys


def run_sampler(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Run a sampler over a step of the course's own: how many symbols, and which.

    The symbols are filled up with -1; a wrong number is told first, so that no one meets a -1.
    ``args["ending"]`` says "end", "halt" or "length"; see exercises 2.12 to 2.14.
    """
    params = tuple(args[name] for name in WEIGHTS)
    ending, K, u = args["ending"], args["K"], args["u"]
    size = args["U"].shape[1]

    def step(given: Any, state: Any, x: Any) -> tuple[Any, Any]:
        U, W, b, V, c = given
        if np.shape(x) != (size,):
            want = "(K + 1,)" if ending == "length" else "(K,)"
            raise Finding("runs", f"step got an x of shape {np.shape(x)}, want {want} = ({size},)")
        h = np.tanh(b + W @ state + U @ np.asarray(x))
        o = V @ h + c
        return h, (o[:K], o[K]) if ending == "halt" else o

    more = (args["q"],) if ending == "length" else ()
    raw = answer(step, params, args["h0"], *more, K, u)
    if raw is None:
        return None
    try:
        y = np.asarray(list(raw), np.float64)
    except (TypeError, ValueError):
        y = np.zeros((0, 0))
    if y.ndim != 1:
        raise Finding("shapes", f"y is of type {type(raw).__name__}, want a list of integers")
    most = len(args["q"]) if ending == "length" else len(u)
    if len(y) > most:
        raise Finding("shapes", f"y has {len(y)} symbols, more than the {most} that can be drawn")
    return float(len(y)), np.concatenate([y, np.full(most - len(y), -1.0)])


def _masked(answer: Callable[..., Any], args: Mapping[str, Any], device: str) -> tuple[Any, ...]:
    """h, and what autograd finds for each argument when dh comes from outside."""
    import torch

    names = ("x", "lengths", "h0", "U", "W", "b")
    given = {name: torch.tensor(args[name], device=device) for name in names}
    leaves = [given[name].requires_grad_() for name in names if name != "lengths"]
    h = answer(*given.values())
    if h is None:
        return (None,)
    if not isinstance(h, torch.Tensor):
        raise Finding("shapes", f"h is a {type(h).__name__}, want one tensor")
    dh = torch.tensor(args["dh"], device=device)
    if h.shape != dh.shape:
        raise Finding("shapes", f"h has shape {tuple(h.shape)}, want (T, B, H) = {tuple(dh.shape)}")
    if h.dtype != dh.dtype:
        raise Finding(
            "shapes",
            f"h has dtype {h.dtype} for arguments of {dh.dtype}",
            ("make new tensors from the ones you are given: torch.zeros_like, x.new_zeros",),
        )
    if not h.requires_grad:
        raise Finding(
            "runs",
            "h does not require a gradient: something has cut the graph",
            ("no .detach(), .data or NumPy inside, and no torch.no_grad()",),
        )
    return (h, *torch.autograd.grad(h, leaves, dh, allow_unused=True, materialize_grads=True))


def run_torch_masked(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Run exercise 2.15, on the GPU if there is one; answer with NumPy arrays."""
    import torch

    args = dict(args)
    if args.pop("also", "") == "another device":
        _elsewhere(lambda: _masked(answer, args, "meta"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = _masked(answer, args, device)
    if found == (None,):
        return None
    return tuple(value.detach().cpu().numpy() for value in found)


def call_with_tensors(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Call a function of tensors, on the GPU if there is one; answer with a NumPy array.

    With "another device" under ``also``, it is first run where there are shapes and no numbers.
    """
    return _with_tensors(answer, args, one=True)


def call_with_many_tensors(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """The same for an answer of several tensors, in tuples and lists, which become arrays there."""
    return _with_tensors(answer, args, one=False)


def _with_tensors(answer: Callable[..., Any], args: Mapping[str, Any], one: bool) -> Any:
    """One call, or two; `one` says that the answer must be a tensor itself."""
    import torch

    args = dict(args)
    if args.pop("also", "") == "another device":
        _elsewhere(lambda: _on_device(answer, args, "meta", one))
    value = _on_device(answer, args, "cuda" if torch.cuda.is_available() else "cpu", one)
    return _each_tensor(lambda tensor: tensor.detach().cpu().numpy(), value)


def _each_tensor(do: Callable[[Any], Any], value: Any) -> Any:
    """The same tuples and lists, with something done to each tensor in them."""
    import torch

    if isinstance(value, list | tuple):
        return [_each_tensor(do, item) for item in value]
    return do(value) if isinstance(value, torch.Tensor) else value


def _on_device(answer: Callable[..., Any], args: Mapping[str, Any], device: str, one: bool) -> Any:
    """One call with tensors on a device; tensors in the answer must be there, of their dtype."""
    import torch

    def tensor(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [tensor(name, each) for each in value]
        where = "cpu" if name == "lengths" else device  # packing wants lengths there
        return torch.tensor(value, device=where) if isinstance(value, np.ndarray) else value

    given = {name: tensor(name, value) for name, value in args.items()}
    before = _each_tensor(torch.clone, list(given.values()))
    value = answer(*given.values())
    if one and value is not None and not isinstance(value, torch.Tensor):
        raise Finding("shapes", f"the function returned a {type(value).__name__}, want one tensor")
    like = next(each for each in given.values() if isinstance(each, torch.Tensor))

    def fits(made: torch.Tensor) -> None:
        if made.dtype != like.dtype:
            raise Finding(
                "shapes",
                f"the answer has dtype {made.dtype} for arguments of {like.dtype}",
                ("make new tensors from the ones you are given: torch.empty_like, h0.new_zeros",),
            )
        if made.device != like.device:
            raise RuntimeError(
                f"the answer is on {made.device}, the arguments are on {like.device}"
            )

    def same(now: Any, old: Any) -> bool:
        if isinstance(now, list):
            return len(now) == len(old) and all(map(same, now, old))
        return not isinstance(now, torch.Tensor) or torch.equal(now.detach(), old)

    _each_tensor(fits, value)
    if device != "meta":
        for (name, now), old in zip(given.items(), before, strict=True):
            if not same(now, old):
                raise Finding(
                    "arguments",
                    f"your function writes into {name}",
                    ("make a new tensor: a * b, not a *= b",),
                )
    return value


def in_torch_lstm(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Put the arrays that an answer makes of U, W, b into torch.nn.LSTM, and run it."""
    import torch

    x, h0, c0 = (torch.tensor(args[name]) for name in ("x", "h0", "c0"))
    made = answer(args["U"], args["W"], args["b"])
    if made is None:
        if is_empty(answer):
            raise NotImplementedError
        raise Finding("shapes", "the function returned None", ("is there a `return` line?",))
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    if isinstance(made, Mapping):
        made = {str(name).removesuffix("_l0"): value for name, value in made.items()}
        made = [made[name] for name in names if name in made]
    if not isinstance(made, tuple | list) or len(made) != len(names):
        raise Finding("shapes", "want 4 arrays: " + ", ".join(names))
    lstm = torch.nn.LSTM(x.shape[-1], h0.shape[-1], dtype=x.dtype)
    for name, value in zip(names, made, strict=True):
        into = getattr(lstm, f"{name}_l0").data
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise Finding("shapes", f"{name} has dtype {array.dtype}, want real numbers")
        if array.shape != tuple(into.shape):
            want = f"want {tuple(into.shape)}"
            raise Finding("shapes", f"{name} has shape {array.shape}, {want}")
        into.copy_(torch.tensor(array))
    with torch.no_grad():
        h, (_, c) = lstm(x, (h0[None], c0[None]))
    states = h.numpy(), c[0].numpy()
    # Weights in float32 make states that are no more exact, whatever they are computed in.
    single = any(getattr(value, "dtype", None) == np.float32 for value in made)
    return tuple(state.astype(np.float32) for state in states) if single else states


def _cell(width: int, what: str) -> tuple[list[Any], Callable[..., Any]]:
    """A step of the course's own, step(params, h, x) -> h, and the list of the states it gave."""
    made: list[Any] = []

    def step(params: Any, h: Any, x: Any) -> Any:
        if not isinstance(params, tuple) or len(params) != 3:
            raise Finding("runs", "step got other parameters than you were given")
        U, W, b = params
        if np.ndim(x) != 2 or np.shape(x)[-1] != width:
            got = np.shape(x)
            raise Finding("runs", f"step got an x of shape {got}, want {what} = (.., {width})")
        if np.shape(h) != (len(x), len(W)):
            want = f"({len(x)}, {len(W)}), a row for each row of x"
            raise Finding("runs", f"step got a state of shape {np.shape(h)}, want {want}")
        made.append(np.tanh(x @ U.T + h @ W.T + b))
        return made[-1].copy()

    return made, step


def run_encoder(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Run an encoder over a step of the course's own, h = tanh(U x + W h + b)."""
    _, step = _cell(args["x"].shape[-1], "(B, D)")
    params = tuple(args[name] for name in ("U", "W", "b"))
    return answer(step, params, args["x"], args["mask"], args["h0"])


def run_decoder(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Run a decoder over a step and a context of the course's own.

    The step is s = tanh(U x + W s + d), the context attend(s) = tanh(A s).
    """
    A, width = args["A"], args["U"].shape[-1]
    made, step = _cell(width, "(B, D + C)")

    def attend(s: Any) -> Any:
        if np.ndim(s) != 2 or np.shape(s)[-1] != A.shape[-1]:
            raise Finding(
                "runs", f"attend got {_what(s)}, want the state, (B, H) = (.., {A.shape[-1]})"
            )
        return np.tanh(s @ A.T)

    params = tuple(args[name] for name in ("U", "W", "d"))
    names = ("s0", "y0", "y", "E", "V", "b")
    raw = answer(step, attend, params, *(args[name] for name in names))
    if raw is not None and len(made) != len(args["y"]):
        targets = f"{len(args['y'])} target{'' if len(args['y']) == 1 else 's'}"
        raise Finding("runs", f"step was called {len(made)} times, for {targets}")
    return raw


def _what(value: Any) -> str:
    """An array by its shape, anything else by its type."""
    return f"shape {np.shape(value)}" if isinstance(value, np.ndarray) else type(value).__name__


def run_search(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Run greedy or beam search over a network of the course's own.

    The step is h = tanh(W h + U[:, symbol] + b), log p = log softmax(V h + c).  The symbols come
    back filled up with -1; their number stands first, so that no one meets a -1.
    """
    U, W, b, V, c = (args[name] for name in WEIGHTS)
    known, K, calls = {args["h0"].tobytes()}, len(c), 0

    def step(state: Any, symbol: Any) -> tuple[Any, Any]:
        nonlocal calls
        calls += 1
        if not isinstance(state, np.ndarray) or state.tobytes() not in known:
            raise Finding(
                "runs",
                "step got a state that it has not given out",
                ("hand a state on as step gave it, together with the symbol it goes with",),
            )
        if np.ndim(symbol) or not isinstance(symbol, int | np.integer) or not 0 <= symbol < K:
            raise Finding(
                "runs", f"step got {symbol!r} for a symbol, want one integer in 0 ... {K - 1}"
            )
        if calls > 20_000:
            more = ("are there ever more beginnings?",) if "width" in args else ()
            raise Finding("runs", "step was called 20,000 times: does the limit end it?", more)
        h = np.tanh(W @ state + U[:, symbol] + b)
        known.add(h.tobytes())
        o = V @ h + c
        o = o - o.max()
        return h, o - np.log(np.exp(o).sum())

    limit = args["limit"]
    given = ("begin", "end", "width", "limit", "length_penalty")
    raw = answer(step, args["h0"], *(args[name] for name in given if name in args))
    if raw is None:
        return None
    if not isinstance(raw, tuple | list) or len(raw) != 2:
        raise Finding("shapes", "want two things: a list of symbols, and a number")
    try:
        y = np.asarray(list(raw[0]), np.float64)
    except (TypeError, ValueError):
        y = np.zeros((0, 0))
    if y.ndim != 1:
        raise Finding("shapes", f"y is of type {type(raw[0]).__name__}, want a list of integers")
    if len(y) > limit:
        raise Finding("shapes", f"y has {len(y)} symbols, and the limit is {limit}")
    return float(len(y)), np.concatenate([y, np.full(limit - len(y), -1.0)]), raw[1]


def run_bleu(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Call with sentences as lists of words; ``counts`` says how many references each has."""

    def words(sentence: np.ndarray) -> list[str]:
        return [f"w{code}" for code in sentence]

    ends = np.cumsum(args["counts"])
    references = [
        [words(each) for each in args["references"][end - count : end]]
        for count, end in zip(args["counts"], ends, strict=True)
    ]
    return answer([words(each) for each in args["candidates"]], references)


def _lines_run(run: Callable[[], Any]) -> tuple[Any, int]:
    """What a call returns, and how many lines of Python it ran; in a loop each round counts."""
    lines = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        made = run()
    finally:
        sys.settrace(before)
    return made, lines


def run_scan(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Run a scan; with "count the lines" under ``also``, on a quarter of the steps, too.

    For four times the steps a loop over time runs four times the lines, a scan two sweeps more.
    """
    args = dict(args)
    if not args.pop("also", ""):
        return call_in_order(answer, args)
    a, b, h0 = args.values()
    short = len(a) // 4
    first, few = _lines_run(lambda: answer(a[:short], b[:short], h0))
    h, many = _lines_run(lambda: answer(a, b, h0))
    if first is None or h is None:
        return h
    if many - few >= len(a) - short or many > 3 * few:
        raise Finding(
            "properties",
            "it runs the more lines the longer the sequence is: a loop over time",
            (
                f"T = {short}: {few:,} lines of Python; T = {len(a):,}: {many:,}",
                "join pieces of doubling length, all at once: two sweeps more for four times the T",
            ),
        )
    return h


def run_orbits(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Run exercise 1.9; with "count the lines" under ``also``, on a sixteenth of the orbits, too.

    All at once, sixteen times the orbits run the same lines; one after the other, sixteen times
    as many.
    """
    if args.get("also") != "count the lines":
        return call_with_tensors(answer, args)
    args = {name: value for name, value in args.items() if name != "also"}
    batch = len(args["h0"])
    few = {**args, "h0": args["h0"][: batch // 16], "gain": args["gain"][: batch // 16]}
    call_with_tensors(answer, few)  # what runs at a first call alone is not counted
    first, short = _lines_run(lambda: call_with_tensors(answer, few))
    h, long = _lines_run(lambda: call_with_tensors(answer, args))
    if first is not None and h is not None and long > 4 * short:
        raise Finding(
            "properties",
            "it runs the more lines the more orbits there are: a loop over orbits",
            (
                f"B = {batch // 16}: {short:,} lines of Python; B = {batch}: {long:,}",
                "one step takes all orbits at once: state @ W.T is (B, H), gain[:, None] is (B, 1)",
            ),
        )
    return h


def _peak(run: Callable[[], Any]) -> int:
    """Bytes that a call has in use at once, at most, beyond what there was before it."""
    mine = not tracemalloc.is_tracing()
    if mine:
        tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kept warnings are memory that grows, too
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            run()
            return tracemalloc.get_traced_memory()[1] - before
    finally:
        if mine:
            tracemalloc.stop()


def run_rtrl(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Run exercise 3.8; with "measure the memory" under ``also``, on long sequences before.

    The sequence is repeated 4 times, and 32 times, the batch 4 times.  RTRL needs as much for both.
    It may copy its inputs, to float32 for example, or take x @ U.T for all steps at once: for that
    there is room, three arrays (T, B, H).  Back-propagation by the functions of 3.1 to 3.5 needs
    five, and whoever keeps every derivative many.
    """
    args = dict(args)
    if args.pop("also", "") != "measure the memory":
        return call_in_order(answer, args)

    def longer(times: int) -> dict[str, Any]:
        over = {"g": (times, 4, 1), "x": (times, 4, 1), "h0": (4, 1)}
        return {n: np.tile(a, over[n]) if n in over else a for n, a in args.items()}

    short, long = longer(4), longer(32)
    if call_in_order(answer, short) is None:  # the first call, too, which may import something
        return call_in_order(answer, args)
    kept = long["g"].nbytes - short["g"].nbytes
    for _ in range(2):  # something else may need memory just then, but hardly twice
        few = _peak(lambda: call_in_order(answer, short))
        many = _peak(lambda: call_in_order(answer, long))
        if many - few <= 3 * kept:
            return call_in_order(answer, args)
    raise Finding(
        "properties",
        "it needs the more memory the longer the sequence is: something of every step is kept",
        (
            f"T = {len(short['g'])}: {few:,} bytes at most; T = {len(long['g'])}: {many:,}",
            "carry the state and its derivative from one step to the next, and keep no others",
        ),
    )


def run_seq2seq(answer: Any, args: Mapping[str, Any]) -> Any:
    """Run exercise 6.13 with given weights, on the GPU if there is one.

    Outputs, weights of attention, and the gradient that arrives at the source's embedding.
    """
    import torch

    args = dict(args)
    if args.pop("also", "") == "another device":
        _elsewhere(lambda: _translate(answer, args, "meta"))
    made = _translate(answer, args, "cuda" if torch.cuda.is_available() else "cpu")
    return None if made is None else tuple(each.detach().cpu().numpy() for each in made)


def _translate(answer: Any, args: Mapping[str, Any], device: str) -> Any:
    import torch

    if not issubclass(answer, torch.nn.Module):
        raise Finding("runs", f"{answer.__name__} is not a torch.nn.Module: keep the class line")
    weights = {
        name: torch.tensor(value, device=device) for name, value in args.items() if "." in name
    }
    weights["s0"] = torch.tensor(args["s0"], device=device)
    sources, embed = weights["embed_source.weight"].shape
    targets, hidden = len(weights["output.bias"]), len(args["s0"])
    model = answer(sources, targets, embed, hidden, args["context"])
    model = model.to(device=device, dtype=weights["s0"].dtype)
    has = model.state_dict()
    lacks = [name for name in weights if name not in has and not _is_of_attention(name)]
    if lacks:
        advice = "the layers that __init__ makes keep their names"
        raise Finding("runs", f"the network has no {lacks[0]}", (advice,))
    kept = {name: value for name, value in weights.items() if name in has}
    model.load_state_dict(kept, strict=False)
    given = [torch.tensor(args[name], device=device) for name in ("x", "lengths", "y0", "y")]
    made = model(*given)
    if made is None:
        return None
    if not isinstance(made, tuple) or len(made) != 2:
        raise Finding("shapes", f"forward returned {_said_of(made)}, want two tensors: o, alpha")
    outside = torch.tensor(args["do"], device=device)
    for name, value, like in (("o", made[0], outside), ("alpha", made[1], None)):
        if not isinstance(value, torch.Tensor):
            raise Finding("shapes", f"{name} is a {type(value).__name__}, want a tensor")
        if value.dtype != outside.dtype:
            raise Finding(
                "shapes",
                f"{name} has dtype {value.dtype} in a network of {outside.dtype}",
                ("make new tensors in the dtype of the states: mask.to(states.dtype)",),
            )
        if like is not None and value.shape != like.shape:
            want = f"(S, B, K) = {tuple(like.shape)}"
            raise Finding("shapes", f"{name} has shape {tuple(value.shape)}, want {want}")
    if not made[0].requires_grad:
        raise Finding(
            "runs",
            "o does not require a gradient: something has cut the graph",
            ("no .detach(), .data or NumPy inside, and no torch.no_grad()",),
        )
    leaf = model.embed_source.weight
    (grad,) = torch.autograd.grad(made[0], [leaf], outside, allow_unused=True)
    return (*made, torch.zeros_like(leaf) if grad is None else grad)


def _is_of_attention(name: str) -> bool:
    """Whether only additive attention has this weight."""
    return name.startswith(("read_", "score"))


def _said_of(value: Any) -> str:
    return f"{len(value)} things" if isinstance(value, tuple) else f"a {type(value).__name__}"
