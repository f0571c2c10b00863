"""Starts the command, kills it, and finds what it leaves running."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = Path(sys.executable).parent
PR_SET_CHILD_SUBREAPER = 36


def start(
    *command: str | Path, cwd: Path | None = None, said: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Start a program of the environment in a process group of its own; said: where it writes.

    From here on, this process is the new parent of whatever loses its own.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return subprocess.Popen(
        [str(PROGRAMS / command[0]), *map(str, command[1:])],
        env={**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(started: subprocess.Popen[str]) -> None:
    """Kill a program with the whole of its process group, as a machine that goes down would."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def below(process: int) -> set[int]:
    """The processes that run below one, at any depth."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
                found |= below(child) | (set() if state == "Z" else {child})
    return found


def left_behind(known: set[int], seconds: float = 10.0) -> set[int]:
    """The processes below this one that still run after a moment, but for those known before."""
    until = time.monotonic() + seconds
    while (left := below(os.getpid()) - known) and time.monotonic() < until:
        time.sleep(0.05)
    return left
