"""What a computation asks of a machine: calls, operations, bytes, counted while it runs.

An array that counts is an ordinary array that writes down what is done with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass
class Count:
    """calls : of the library; products : multiplications and additions in matrix products;
    entries : that all other calls wrote; moved : bytes that these read and wrote.
    """

    calls: int = 0
    products: int = 0
    entries: int = 0
    moved: int = 0


class CountingArray(np.ndarray):
    """An array that counts into `CountingArray.count`; results of calls are such arrays, too."""

    count = Count()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [_plain(each) for each in inputs]
        out = options.get("out")
        if out is not None:
            options["out"] = tuple(_plain(each) for each in out)
        made = getattr(ufunc, method)(*plain, **options)
        _note(ufunc is np.matmul, plain, made)
        return out[0] if out is not None else _counting(made)

    def __array_function__(self, func: Any, types: Any, args: Any, options: Any) -> Any:
        arrays = list(_arrays(args))
        out = options.get("out")
        if out is not None:
            options = {**options, "out": _plain(out)}
        made = func(*_deep_plain(args), **{name: _plain(v) for name, v in options.items()})
        views = ("split", "empty_like", "reshape", "swapaxes", "transpose")
        if func.__name__ not in views:  # these look at numbers or make room, and move nothing
            arrays += list(_arrays(list(options.values())))
            _note(func is np.dot, [_plain(a) for a in arrays], made)
        if out is not None:
            return out
        if isinstance(made, list | tuple):
            return type(made)(_counting(each) for each in made)
        return _counting(made)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, CountingArray) else value


def _counting(value: Any) -> Any:
    return value.view(CountingArray) if isinstance(value, np.ndarray) else value


def _deep_plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_deep_plain(each) for each in value)
    return _plain(value)


def _arrays(value: Any) -> Iterator[np.ndarray | np.generic]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _arrays(each)
    elif isinstance(value, np.ndarray | np.generic):
        yield value


def _note(product: bool, inputs: list[Any], made: Any) -> None:
    count = CountingArray.count
    count.calls += 1
    if product:
        count.products += 2 * made.size * inputs[0].shape[-1]
    else:
        read = sum(each.nbytes for each in _arrays(inputs))
        written = sum(each.nbytes for each in _arrays([made]))
        count.entries += sum(each.size for each in _arrays([made]))
        count.moved += read + written


def counted(run: Callable[..., Any], *arguments: np.ndarray) -> Count:
    """Run a NumPy function on arrays that count; return what it did."""
    CountingArray.count = Count()
    run(*(np.asarray(each).view(CountingArray) for each in arguments))
    return CountingArray.count


class _Calls(TorchDispatchMode):
    """Counts the operations that PyTorch dispatches, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


@contextmanager
def torch_calls() -> Iterator[_Calls]:
    """Count PyTorch's operations inside the block, those of a backward pass too."""
    with torch.no_grad(), _Calls() as calls:
        yield calls
