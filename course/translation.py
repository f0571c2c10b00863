"""How exercise 6.13 is called: with given weights, and what arrives at each of them by gradient.

Like the other adapters it has no truth in it, so that it can run beside a student's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from course.adapters import run_seq2seq
from course.calls import Finding

COMPARED = (
    "s0", "embed_target.weight", "read_query.weight", "read_key.weight", "score.weight",
    "output.weight", "output.bias",
)  # fmt: skip
"""Parameters whose gradients are compared, number by number, beside that of the source."""


def run_translation(answer: Any, args: Mapping[str, Any]) -> Any:
    """Outputs, weights of attention, and gradients: at the source's embedding, then COMPARED.

    A parameter that this kind of context does without has a gradient of 0, and so has one that no
    gradient reaches: beside outputs that are right, that says where the road is cut.
    """
    import torch

    if not issubclass(answer, torch.nn.Module):
        return run_seq2seq(answer, args)  # which says so
    seen: list[tuple[Any, tuple[Any, ...]]] = []

    def forward(model: Any, *given: Any) -> Any:
        seen.append((model, given))
        return answer.forward(model, *given)

    watched = type(answer.__name__, (answer,), {"forward": forward})
    found = run_seq2seq(watched, args)
    if found is None:
        return None
    model, given = seen[-1]
    o = answer.forward(model, *given)[0]  # once more: the first graph has been used up
    has = dict(model.named_parameters())
    names = [name for name in (*COMPARED, *args) if name in has and name in args]
    leaves = [has[name] for name in names]
    outside = torch.tensor(args["do"], device=o.device)
    arrived = torch.autograd.grad(o, leaves, outside, allow_unused=True)
    numbers = {}
    for name, grad in zip(names, arrived, strict=True):
        if grad is not None:
            numbers[name] = grad.cpu().numpy()
        elif name.startswith("cell."):
            raise Finding(
                "runs",
                f"the gradient at {name}: none arrives",
                (
                    "is the layer used? Or it has been cut on its way: .detach(), .data,"
                    " torch.tensor, torch.no_grad()",
                ),
            )
    return (*found, *(numbers.get(name, np.zeros_like(args[name])) for name in COMPARED))
