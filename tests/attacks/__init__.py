"""Attacks on the grader, as data: what a hostile notebook holds, and what it may honestly earn.

Each module is a group.  In the code ``@HOUSE@``, ``@CANARY@``, ``@PORT@``, ``@ABSTRACT@``,
``@MARK@`` and ``@PID@`` stand for the repository, a file to be destroyed, a port on which the test
listens, an abstract socket's name, a name for files that must appear nowhere, and the grader's
process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nbformat import NotebookNode

from course.exercise import chapter

POINTS = {exercise.symbol: exercise.total for exercise in chapter("bptt").exercises}
FUNCTIONS = tuple(e.symbol for e in chapter("bptt").exercises if e.kind == "function")
TRAINED_WITH = ("forward", "loss", "grad_o", "grad_h", "grad_params", "clip")
"""What a right ``train`` calls: if one of them is spoilt, it fails too."""
FULL = sum(POINTS.values())


@dataclass(frozen=True)
class Attack:
    """One hostile notebook, made from the released one.

    tries: what it is after; first, setup, last: cells to add at the top, behind the imports and at
    the end; answers: by symbol, what stands in the answer's cell; honest: whether the other answers
    are right ones, else they are stubs; earns: points; seconds: more than it may take; edit: any
    other change; needs_repair: whether the notebook goes through the repair first; cell_seconds: of
    processor time, which a cell may take.
    """

    name: str
    tries: str
    first: str = ""
    setup: str = ""
    last: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    honest: bool = False
    earns: float = 0.0
    seconds: float = 30.0
    edit: Callable[[NotebookNode], None] | None = None
    needs_repair: bool = True
    cell_seconds: float = 2.0


def every(body: str) -> dict[str, str]:
    """The same hostile body in every NumPy answer."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return {symbol: f"def {symbol}(*args):\n{lines}\n" for symbol in FUNCTIONS}


def one(symbol: str, body: str) -> dict[str, str]:
    """A hostile body in one answer."""
    return {symbol: every(body)[symbol]}


def spoilt(name: str, tries: str, body: str, symbol: str = "grad_h", **more: object) -> Attack:
    """An attack inside one function: it costs that function's points, and those of its callers."""
    lost = POINTS[symbol] + (POINTS["train"] if symbol in TRAINED_WITH else 0)
    return Attack(
        name,
        tries,
        answers=one(symbol, body),
        honest=True,
        earns=FULL - lost,
        **more,  # type: ignore[arg-type]
    )


FORGE = """
import json, os, stat, struct

def _sockets():
    found = []
    for fd in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                found.append(fd)
        except OSError:
            pass
    return found

def _frame(header, body=b"", text=None, total=None):
    text = json.dumps({**header, "blobs": [len(body)]}).encode() if text is None else text
    return struct.pack("<II", len(text), len(body) if total is None else total) + text + body

def _forge(data):
    for fd in _sockets():
        try:
            os.set_blocking(fd, False)
            os.write(fd, data)
            os.set_blocking(fd, True)
        except OSError:
            pass
"""
