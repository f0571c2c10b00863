"""Call a student's function on one case, and bring back whatever happens."""

from __future__ import annotations

import contextlib
import io
import linecache
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SECONDS = 10.0
"""One call on arrays of a few dozen numbers takes milliseconds; a slow loop, well under this."""

PRINTED_AT_MOST = 2_000
"""Characters of a student's prints that a report repeats."""


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
        self.kept: list[str] = []
        self.size = 0

    def writable(self) -> bool:
        """Say that prints may come."""
        return True

    def write(self, text: str) -> int:
        """Keep what still fits."""
        if self.size < PRINTED_AT_MOST:
            self.kept.append(text[: PRINTED_AT_MOST - self.size])
        self.size += len(text)
        return len(text)

    def text(self) -> str:
        """What was kept, and how much was not."""
        dropped = self.size - PRINTED_AT_MOST
        return "".join(self.kept) + (
            f"\n... and {dropped:,} more characters" if dropped > 0 else ""
        )


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Interrupt the main thread after some seconds, where the platform has alarms."""
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not usable:
        yield
        return

    def interrupt(signum: int, frame: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, interrupt)
    # The interval repeats the alarm for a function that swallows the first one.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def read_only(args: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a case's arguments; the copies refuse to be written to."""

    def lock(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = value.copy()
            value.flags.writeable = False
        elif isinstance(value, list):
            value = [lock(item) for item in value]
        return value

    return {name: lock(value) for name, value in args.items()}


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Name the arguments that are no longer what they were."""

    def differs(a: Any, b: Any) -> bool:
        if isinstance(a, list):
            return (
                not isinstance(b, list)
                or len(a) != len(b)
                or any(differs(x, y) for x, y in zip(a, b, strict=True))
            )
        return not np.array_equal(a, b)

    return [name for name in before if differs(before[name], after[name])]


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
            with _limit(seconds):
                result.value = run(answer, args)
        except NotImplementedError:
            result.finding = Finding("attempted", "not attempted yet")
        except Finding as finding:
            result.finding = finding
        except OutOfTime:
            result.finding = Finding(
                "runs",
                f"it still ran after {seconds:.0f} s, and was stopped",
                ("does every loop come to its end?",),
            )
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a student's code may also raise SystemExit
            result.finding = _raised(error, given)
    if result.finding is None:
        names = changed(given, args)
        if names:
            result.finding = _wrote(names, None)
    seen = dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught)
    result.warnings = tuple(seen)[:5]
    result.printed = prints.text()
    return result


def _wrote(names: list[str], line: str | None) -> Finding:
    which = ", ".join(names) if names else "an argument"
    lines = ["make a new array instead: total = a + b, not a += b"]
    if line:
        lines.insert(0, line)
    return Finding("arguments", f"your function writes into {which}", tuple(lines))


def _raised(error: BaseException, given: Mapping[str, Any]) -> Finding:
    """Report an exception with the last line of the student's own that it passed through."""
    where = None
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        outside = "site-packages" in frame.filename or "/course/" in frame.filename
        if not outside and not frame.filename.startswith("<frozen"):
            code = frame.line or linecache.getline(frame.filename, frame.lineno or 0).strip()
            where = f"in {frame.name}, line {frame.lineno}: {code}"
            break
    text = str(error).strip()
    if isinstance(error, ValueError) and "read-only" in text:
        return _wrote([], where)
    sizes = ", ".join(
        f"{name} {value.shape}" for name, value in given.items() if isinstance(value, np.ndarray)
    )
    lines = [where] if where else []
    lines.append(f"it was called with {sizes or 'plain numbers'}")
    first = text.splitlines()[0][:200] if text else ""
    return Finding("runs", f"it raised {type(error).__name__}: {first}", tuple(lines))
