"""How answers are called: a plain function, or a class of PyTorch.

No truth is in this file and none is needed, so that it can run beside a student's code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from course.calls import Finding, is_empty


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
    made = function.apply(*leaves)
    if made is None and is_empty(function.forward):
        raise NotImplementedError
    made = (made,) if isinstance(made, torch.Tensor) else made
    want = ", ".join(form.outputs)
    if not isinstance(made, tuple) or len(made) != len(form.outputs):
        got = f"{len(made)} things" if isinstance(made, tuple) else f"a {type(made).__name__}"
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
        leaves = [torch.tensor(args[name]).requires_grad_() for name in form.inputs]
        try:
            torch.autograd.gradcheck(function.apply, leaves)
        except torch.autograd.gradcheck.GradcheckError as error:
            first = str(error).strip().splitlines()[0]
            raise Finding("properties", f"torch.autograd.gradcheck fails: {first}") from None
    if special == "another device":
        try:  # the meta device has shapes and no numbers: what is made elsewhere clashes
            _apply(function, args, "meta", form)
        except (RuntimeError, NotImplementedError, TypeError) as error:
            raise Finding(
                "properties",
                f"on another device it raised {type(error).__name__}:"
                f" {str(error).strip().splitlines()[0][:160]}",
                (
                    "new tensors go where the arguments are: torch.empty_like, x.new_zeros;",
                    "no .item(), .numpy() or .tolist() inside",
                ),
            ) from None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return tuple(value.detach().cpu().numpy() for value in _apply(function, args, device, form))


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
    if isinstance(made, Mapping) and set(names) <= set(made):
        made = [made[name] for name in names]
    if not isinstance(made, tuple | list) or len(made) != len(names):
        raise Finding("shapes", "want 4 arrays: " + ", ".join(names))
    lstm = torch.nn.LSTM(x.shape[-1], h0.shape[-1], dtype=x.dtype)
    for name, value in zip(names, made, strict=True):
        into = getattr(lstm, f"{name}_l0").data
        array = np.asarray(value)
        if array.shape != tuple(into.shape):
            want = f"want {tuple(into.shape)}"
            raise Finding("shapes", f"{name} has shape {array.shape}, {want}")
        into.copy_(torch.tensor(array))
    with torch.no_grad():
        h, (_, c) = lstm(x, (h0[None], c0[None]))
    return h.numpy(), c[0].numpy()
