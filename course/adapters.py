"""How answers are called: a plain function, or a class of PyTorch.

No truth is in this file and none is needed, so that it can run beside a student's code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from course.calls import Finding, is_empty


def call_in_order(answer: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Call a function with its arguments by position, so that renamed parameters are fine."""
    return answer(*args.values())


def _apply(function: Any, args: Mapping[str, np.ndarray], device: str) -> tuple[Any, ...]:
    """h and the gradients that a hand-written backward returns when dh comes from outside."""
    import torch

    dh, *given = (
        torch.tensor(args[name], device=device) for name in ("dh", "x", "h0", "U", "W", "b")
    )
    outside, *before = (value.clone() for value in (dh, *given))
    leaves = [value.requires_grad_() for value in given]
    h = function.apply(*leaves)
    if h is None and is_empty(function.forward):
        raise NotImplementedError
    if not isinstance(h, torch.Tensor):
        raise Finding("shapes", f"forward returned a {type(h).__name__}, want one tensor, h")
    if h.shape != dh.shape:
        raise Finding("shapes", f"h has shape {tuple(h.shape)}, want (T, B, H) = {tuple(dh.shape)}")
    if h.dtype != dh.dtype:
        raise Finding(
            "shapes",
            f"h has dtype {h.dtype} for arguments of {dh.dtype}",
            ("make new tensors from the ones you are given: torch.empty_like, x.new_zeros",),
        )
    if not h.requires_grad:
        raise Finding("runs", "h does not require a gradient", ("call it by RNNFunction.apply",))
    # backward gets this very tensor, so that a write into it shows.
    grads = torch.autograd.grad(h, leaves, dh, allow_unused=True)
    everything = zip(
        ("dh", "x", "h0", "U", "W", "b"), (dh, *leaves), (outside, *before), strict=True
    )
    for name, value, old in everything:
        if device != "meta" and not torch.equal(value.detach(), old):
            who = "backward writes into dh" if name == "dh" else f"your class writes into {name}"
            raise Finding(
                "arguments", who, ("make a new tensor: torch.empty_like, torch.zeros_like",)
            )
    for name, value in zip(("dx", "dh0", "dU", "dW", "db"), grads, strict=True):
        if value is None:
            raise Finding(
                "shapes",
                f"{name}: backward returned None for it",
                ("one gradient for each argument of forward: x, h0, U, W, b",),
            )
    return (h, *grads)


def apply_function(function: Any, args: Mapping[str, Any]) -> Any:
    """Run an autograd.Function, on the GPU if there is one; answer with NumPy arrays."""
    import torch

    if not issubclass(function, torch.autograd.Function):
        raise Finding(
            "runs", f"{function.__name__} is not a torch.autograd.Function: keep the class line"
        )
    args = dict(args)
    special = args.pop("also", "")
    if special == "gradcheck":
        leaves = [torch.tensor(args[name]).requires_grad_() for name in ("x", "h0", "U", "W", "b")]
        try:
            torch.autograd.gradcheck(function.apply, leaves)
        except torch.autograd.gradcheck.GradcheckError as error:
            first = str(error).strip().splitlines()[0]
            raise Finding("properties", f"torch.autograd.gradcheck fails: {first}") from None
    if special == "another device":
        try:  # the meta device has shapes and no numbers: what is made elsewhere clashes
            _apply(function, args, "meta")
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
    return tuple(value.detach().cpu().numpy() for value in _apply(function, args, device))


def call_with_tensors(function: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Call a function with tensors for arrays, on the GPU if there is one; answer in NumPy.

    Lists of arrays become lists of tensors, and lists of tensors come back as lists of arrays.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"

    def there(value: Any) -> Any:
        if isinstance(value, list):
            return [there(item) for item in value]
        return torch.tensor(value, device=device) if isinstance(value, np.ndarray) else value

    def back(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(back(item) for item in value)
        return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value

    given = [there(value) for value in args.values()]
    before = [there(value) for value in args.values()]
    answer = function(*given)

    def same(one: Any, other: Any) -> bool:
        if isinstance(one, list):
            return all(same(a, b) for a, b in zip(one, other, strict=True))
        return not isinstance(one, torch.Tensor) or torch.equal(one.detach(), other)

    for name, now, old in zip(args, given, before, strict=True):
        if not same(now, old):
            raise Finding(
                "arguments",
                f"your function writes into {name}",
                ("make a new tensor: theta = theta + step, not theta += step",),
            )
    return back(answer)
