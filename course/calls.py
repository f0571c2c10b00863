"""Call a student's function on one case, and bring back whatever happens."""

from __future__ import annotations

import ast
import contextlib
import dis
import io
import itertools
import os
import re
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType, FunctionType
from typing import Any

import numpy as np

SECONDS = 10.0
"""One call on arrays of a few dozen numbers takes milliseconds; a slow loop, well under this."""

STILL_RAN = "it still ran after"
"""How the message begins of what `limit` raises."""

BUSY = 3.0
"""How many times its limit a call may take by the clock, as long as it got less processor time.

A grade must not depend on what else the machine was doing.
"""

KEPT_AT_MOST = 1 << 24
"""Bytes of an array that is held against what it was; a view can claim any number."""

PRINTED_AT_MOST = 2_000
"""Characters of a student's prints that a report repeats."""

PYTHON, COURSE = (
    os.path.join(os.path.dirname(file), "") for file in (traceback.__file__, __file__)
)
"""Folders whose lines no student wrote: Python's own library, and the toolkit."""


@dataclass(eq=False)
class Finding(Exception):
    """Why an answer stopped on a rung: a headline, then lines that say where and what next."""

    rung: str
    headline: str
    lines: tuple[str, ...] = ()


@dataclass
class Call:
    """What one call brought: a value or a finding, and what was warned and printed on the way."""

    value: Any = None
    finding: Finding | None = None
    warnings: tuple[str, ...] = ()
    printed: str = ""


class OutOfTime(BaseException):
    """Raised inside a student's function, past any ``except Exception``."""


class _Capped(io.TextIOBase):
    """A text stream that keeps the first characters and counts the rest."""

    def __init__(self) -> None:
        self.kept = ""
        self.size = 0

    def writable(self) -> bool:
        """Say that prints may come."""
        return True

    def write(self, text: str) -> int:
        """Keep what still fits."""
        self.kept += text[: PRINTED_AT_MOST - len(self.kept)]
        self.size += len(text)
        return len(text)

    def text(self) -> str:
        """What was kept, and how much was not."""
        dropped = self.size - PRINTED_AT_MOST
        return self.kept + (f"\n... and {dropped:,} more characters" if dropped > 0 else "")


@contextlib.contextmanager
def limit(seconds: float, error: type[BaseException] = OutOfTime) -> Iterator[None]:
    """Raise an error in the main thread after some seconds, where the platform has alarms.

    seconds: of processor time; by the clock never less, and at most `BUSY` times as much.
    """
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not usable:
        yield
        return
    began, used = time.monotonic(), time.process_time()

    def interrupt(signum: int, frame: Any) -> None:
        waited = time.monotonic() - began
        if time.process_time() - used >= seconds or waited >= BUSY * seconds:
            raise error(f"{STILL_RAN} {waited:.0f} s, and was stopped")

    before = signal.signal(signal.SIGALRM, interrupt)
    # The interval asks again, also of a function that swallowed the first error.
    signal.setitimer(signal.ITIMER_REAL, seconds, min(seconds / 4, 1.0))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def read_only(args: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a case's arguments; the copies refuse to be written to."""
    return {name: _copy(value, writeable=False) for name, value in args.items()}


def _copy(value: Any, writeable: bool) -> Any:
    """Copy an array, or a list of arrays; anything else is handed on."""
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = writeable
    elif isinstance(value, list):
        value = [_copy(item, writeable) for item in value]
    return value


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Name the arguments that are no longer what they were."""
    return [name for name in before if not _same(before[name], after[name])]


def _same(a: Any, b: Any) -> bool:
    """Whether two arguments hold the same; NaN is the same as NaN, since padding may hold it.

    b: what a student left there.  What is no array was handed over itself: it must still be that.
    """
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(_same, a, b))
    if not isinstance(a, np.ndarray):
        return a is b
    if not isinstance(b, np.ndarray) or a.dtype != b.dtype:
        return False
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def call(
    run: Callable[[Any, Mapping[str, Any]], Any],
    answer: Any,
    given: Mapping[str, Any],
    seconds: float = SECONDS,
) -> Call:
    """Run an answer on copies of some arguments, by an adapter: run(answer, args).

    Never raises on account of the answer, except when the student interrupts it.
    """
    args = read_only(given)
    prints = _Capped()
    result = Call()
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(prints),
        contextlib.redirect_stderr(prints),
    ):
        warnings.simplefilter("always")
        try:
            with limit(seconds):
                result.value = run(answer, args)
                if result.value is None and is_empty(answer):
                    raise NotImplementedError
        except NotImplementedError:
            result.finding = Finding("attempted", "not attempted yet")
        except Finding as finding:
            result.finding = finding
        except OutOfTime:
            result.finding = Finding(
                "runs",
                f"{STILL_RAN} {seconds:.0f} s, and was stopped",
                ("does every loop come to its end?",),
            )
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a student's code may also raise SystemExit
            names = _written(run, answer, given, seconds) if _refused(error) else []
            result.finding = _wrote(names, given, error) if names else _raised(error, answer, given)
    if result.finding is None:
        names = changed(given, args)
        if names:
            result.finding = _wrote(names, given, None)
    seen = dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught)
    result.warnings = tuple(seen)[:5]
    result.printed = prints.text()
    return result


class Caller:
    """Calls one answer, on one case after another, and sees to it that its values stay.

    An answer that writes every time into the same array changes what it returned before: right as
    long as nobody keeps it.
    """

    def __init__(
        self,
        run: Callable[[Any, Mapping[str, Any]], Any],
        answer: Any,
        seconds: float = SECONDS,
    ) -> None:
        self._run, self._answer, self._seconds = run, answer, seconds
        self._before: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, given: Mapping[str, Any]) -> Call:
        """Call it once, as ``call`` does."""
        made = call(self._run, self._answer, given, self._seconds)
        kept = all(_same(before, now) for now, before in self._before)
        if made.finding is None and not kept:
            made.finding = Finding(
                "properties",
                "what it returned at the last call has changed: it writes into that array again",
                ("make a new array at every call: np.empty, np.zeros_like",),
            )
        self._before = [(array, array.copy()) for array in _arrays_in(made.value)]
        return made


def _arrays_in(value: Any, depth: int = 3) -> Iterator[np.ndarray]:
    """The arrays of numbers in a value, and in its lists, tuples and dicts."""
    if isinstance(value, np.ndarray):
        array = np.asarray(value)  # a subclass may have methods of its own
        if array.dtype.kind in "fiub" and array.nbytes <= KEPT_AT_MOST:
            yield array
    elif depth and type(value) in (list, tuple, dict):
        parts = value.values() if isinstance(value, dict) else value
        for part in itertools.islice(parts, 64):
            yield from _arrays_in(part, depth - 1)


def is_empty(function: Any) -> bool:
    """Whether a function's body is a docstring, ``...`` or ``pass``: all of them return None."""
    return type(function) is FunctionType and all(
        step.opname in ("RESUME", "NOP", "RETURN_VALUE")
        or (step.opname in ("LOAD_CONST", "RETURN_CONST") and step.argval is None)
        for step in dis.get_instructions(function)
    )


def _refused(error: BaseException) -> bool:
    """Whether an exception is NumPy's refusal to write into a read-only array."""
    return isinstance(error, ValueError) and "read-only" in _words_of(error)


def _words_of(error: BaseException) -> str:
    """An exception's text; a student's own exception may fail even at that."""
    try:
        return str(error).strip()
    except Exception:
        return ""


def _written(
    run: Callable[[Any, Mapping[str, Any]], Any],
    answer: Any,
    given: Mapping[str, Any],
    seconds: float,
) -> list[str]:
    """Name the arguments that a function writes into: locked alone, each of them stops it.

    Empty if it stops with none locked: then the array that refuses is one of its own.
    """

    def stops(locked: str | None) -> bool:
        args = {name: _copy(value, writeable=name != locked) for name, value in given.items()}
        again = _Capped()  # what it prints and warns was heard the first time
        try:
            with (
                warnings.catch_warnings(),
                contextlib.redirect_stdout(again),
                contextlib.redirect_stderr(again),
            ):
                warnings.simplefilter("ignore")
                run(answer, args)
        except (KeyboardInterrupt, OutOfTime):
            raise
        except BaseException as error:
            return _refused(error)
        return False

    try:
        with limit(seconds):
            return [] if stops(None) else [name for name in given if stops(name)]
    except OutOfTime:
        return []


def _wrote(names: list[str], given: Mapping[str, Any], error: BaseException | None) -> Finding:
    """Report arguments that were written to; ``error`` is the refusal, if there was one."""
    where = line_of(error) if error else None
    lists = [name for name in names if isinstance(given[name], list)]
    if lists and error is None:  # its arrays are locked, so it is the list that was changed
        what, advice = f"puts other things into the list {lists[0]}", "return a new list instead"
    elif lists:
        what = f"writes into the arrays of {lists[0]}"
        advice = "make new arrays instead: a * b, not a *= b"
    else:
        what = f"writes into {', '.join(names)}"
        advice = "make a new array instead: total = a + b, not a += b; or copy it first: a.copy()"
    return Finding("arguments", f"your function {what}", (where, advice) if where else (advice,))


def line_of(error: BaseException) -> str | None:
    """The last line of the student's own that an exception passed through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_own(frame.filename):
            return f"in {frame.name}, line {frame.lineno}: {frame.line}"
    return None


def _called_in(error: BaseException, answer: Any) -> list[str]:
    """Where the answer called what raised, if that was another function of the notebook."""
    own = [line for line in traceback.extract_tb(error.__traceback__) if _is_own(line.filename)]
    name = getattr(answer, "__name__", None)
    mine = [line for line in own if line.name == name]
    if not mine or mine[-1] is own[-1]:
        return []
    return [f"called in {name}, line {mine[-1].lineno}: {mine[-1].line}"]


def _own_frame(error: BaseException) -> tuple[FrameType, str] | None:
    """The frame of that line, and the line."""
    walked = traceback.walk_tb(error.__traceback__)
    lines = traceback.extract_tb(error.__traceback__)
    both = [(frame, line) for (frame, _), line in zip(walked, lines, strict=True)]
    return next(((f, line.line or "") for f, line in both[::-1] if _is_own(line.filename)), None)


def _is_own(file: str) -> bool:
    """Whether a file may be the student's: not Python's, not a package's, not the toolkit's."""
    if file.startswith((PYTHON, COURSE, "<frozen")) or file.endswith(".pyx"):
        return False  # as a .pyx: numpy/random/mtrand.pyx, compiled
    return "site-packages" not in file and "dist-packages" not in file  # the latter: Debian, Colab


def _raised(error: BaseException, answer: Any, given: Mapping[str, Any]) -> Finding:
    """Report an exception: where it was raised, and what the function was called with."""
    where, text = line_of(error), _words_of(error)
    lines = [where, *_called_in(error, answer)] if where else []
    if _refused(error):
        lines.append("that array is your own, such as np.broadcast_to gives: copy it first")
    lines += _of_shapes(text, _own_frame(error))
    told = [_told(name, value) for name, value in _arguments(error, answer, given).items()]
    if told:
        lines.append(f"it was called with {', '.join(told)}")
    first = text.splitlines()[0][:200] if text else ""
    return Finding("runs", f"it raised {type(error).__name__}: {first}", tuple(lines))


def _arguments(error: BaseException, answer: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer was called with, by the names of its own signature.

    An adapter may hand over other things than a case gives: a step, a tuple of weights.  So they
    are read from the answer's frame; only arrays come from the case, since a name may have been
    used again since.  Without such a frame (the arguments did not fit): the case's names.
    """
    held = vars(answer).values() if isinstance(answer, type) else [answer]
    codes = {getattr(getattr(each, "__func__", each), "__code__", None) for each in held}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if code in codes:
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            values = {**frame.f_locals, **{n: a for n, a in given.items() if _is_arrays(a)}}
            found = {n: values.get(n, ...) for n in names if n not in ("self", "ctx")}
            if found:
                return found
    # Weights by PyTorch's names are in the network: they are no arguments.
    return {n: value for n, value in given.items() if n != "also" and "." not in n}


def _is_arrays(value: Any) -> bool:
    return isinstance(value, np.ndarray | list)


def _told(name: str, value: Any) -> str:
    """An argument and its value in a few letters; the name alone of what is no data."""
    try:
        said = _said(value)
    except Exception:  # an object of the student's, under an argument's name
        return name
    return f"{name} {said}".strip()


def _of_shapes(text: str, at: tuple[FrameType, str] | None) -> list[str]:
    """What NumPy means where it speaks of core dimensions, of broadcasting, and of equations.

    at : the frame of the student's own that failed, and its line
    """
    if re.search(r"matmul: .*\(size (\d+) is different from (\d+)\)", text):
        return [_of_product(text, at)]
    shapes = re.search(r"broadcast together with shapes \((\d+),\) \((\d+),", text)
    if shapes and shapes[1] == shapes[2]:
        return ["axes are matched from the last: one number for each row wants v[:, None]"]
    if at and re.search("ncompatible dimensions|mismatch in its core dimension", text):
        named = [node.id for node in ast.walk(_parsed(at[1])) if isinstance(node, ast.Name)]
        there = {name: at[0].f_locals.get(name) for name in named}
        sizes = [f"{n} {v.shape}" for n, v in there.items() if isinstance(v, np.ndarray)]
        return [f"there {', '.join(sizes)}"] if sizes else []
    return []


def _of_product(text: str, at: tuple[FrameType, str] | None) -> str:
    """What a product with @ wants, and what would make this one fit, if that can be seen."""
    found = re.search(r"\(size (\d+) is different from (\d+)\)", text)
    assert found
    below, across = found.groups()
    said = (
        "@ sums over the columns of its left factor and the rows of its right one,"
        f" here {across} and {below}"
    )
    if at and "np.diag(" in at[1]:
        return f"{said}; np.diag takes the diagonal out of a matrix: s[:, None] * W scales its rows"
    for node in ast.walk(_parsed(at[1])) if at else ():
        if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)):
            continue
        assert at
        left, right = (_value_of(each, at[0]) for each in (node.left, node.right))
        if left is not None and right is not None and left.shape[-1:] == (int(across),):
            return "; ".join(filter(None, [said, _to_fit(left, right, node)]))
    return said


def _to_fit(left: np.ndarray, right: np.ndarray, node: ast.BinOp) -> str:
    """What would make a product of two arrays fit, in the book's words; "" if nothing is seen."""
    turned = [isinstance(each, ast.Attribute) for each in (node.left, node.right)]  # by .T
    if any(each and a.ndim > 2 for each, a in zip(turned, (left, right), strict=True)):
        return ".T turns all axes around: join time and batch first, a.reshape(-1, n)"
    if left.ndim == 3 and right.ndim == 2 and left.shape[0] == right.shape[0]:
        return "a stack of matrices wants a stack of columns: v[:, :, None]"
    if turned[1] and right.ndim == 2 and left.shape[-1] == right.shape[1]:
        return "without .T it fits: on the way back, W^T g becomes g @ W"
    if 2 in (left.ndim, right.ndim) and not any(turned) and left.shape[-1] == right.shape[-1]:
        return "a batch has its sequences in rows, so W h becomes h @ W.T"
    return ""


def _parsed(line: str) -> ast.AST:
    """A line of code as a tree; an empty one if it is only a part of a statement."""
    with contextlib.suppress(SyntaxError, ValueError):
        return ast.parse(line.strip())
    return ast.Module([], [])


def _value_of(node: ast.AST, frame: FrameType) -> np.ndarray | None:
    """The array that a name, a name[t] or either's .T stands for; nothing else is looked up."""
    if isinstance(node, ast.Name):
        value = frame.f_locals.get(node.id, frame.f_globals.get(node.id))
        return value if type(value) is np.ndarray else None
    if isinstance(node, ast.Attribute) and node.attr == "T":
        value = _value_of(node.value, frame)
        return None if value is None else value.T
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name | ast.Constant):
        value = _value_of(node.value, frame)
        return value[0] if value is not None and value.ndim and len(value) else None
    return None


def _said(value: Any) -> str:
    """Arrays and tensors by their shapes, in tuples, lists and dicts too; plain values by =."""
    if isinstance(value, list | tuple):
        left, right = "[]" if isinstance(value, list) else "()"
        return f"{left}{', '.join(map(_said, value))}{right}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_said(each)}' for key, each in value.items())}}}"
    if isinstance(getattr(value, "shape", None), tuple):
        return str(tuple(value.shape))
    if isinstance(value, float):
        return f"= {value:.4g}"
    return f"= {value!r}" if isinstance(value, bool | int | str | None) else ""
