"""The trusted side: starts warm processes, runs a submission's cells, asks its functions.

Whatever comes back is data from a stranger: arrays and short texts, never code.  A submission that
does not answer in time is killed with everything that it started.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autograder.sandbox import frames
from autograder.sandbox.jail import Limits
from course.calls import Call, Finding
from course.exercise import RUNGS, Exercise

COURSE = Path(__file__).resolve().parent.parent.parent / "course"

# What of course/ goes into the jail: no exercise, so no oracle that could answer for a student.
ALLOWED = ("adapters.py", "calls.py", "datasets.py", "figures.py")

GRACE = 5.0
"""Seconds beyond a limit that the jail keeps by itself, before the grader kills it."""


class NotIsolatedError(RuntimeError):
    """This machine gives no isolation; the message says which step failed and what to do."""


class Zygote:
    """A warm process, with torch or without, that forks a jailed process for each submission."""

    def __init__(self, torch: bool, isolate: bool = True) -> None:
        self.isolate = isolate
        self._folder = tempfile.mkdtemp(prefix="rnn-jail-")
        course = Path(self._folder) / "lib" / "course"
        course.mkdir(parents=True)
        for name in ALLOWED:
            shutil.copy(COURSE / name, course / name)
        (course / "__init__.py").write_text('"""The toolkit, without the checks."""\n')
        self.root = Path(self._folder) / "root"
        self.root.mkdir()
        mine, theirs = socket.socketpair()
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": self._folder,
            "LANG": "C.UTF-8",
            "MPLBACKEND": "agg",
            "MPLCONFIGDIR": self._folder,
            "IPYTHONDIR": self._folder,
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "autograder.sandbox.inside", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._control = mine
        frames.send(mine, {"torch": torch, "course": str(course.parent)})
        try:
            frames.receive(mine, time.monotonic() + 120)
        except (EOFError, OSError, frames.FrameError):
            self.close()
            raise RuntimeError("the sandbox's warm process did not start") from None

    def submission(
        self, files: Mapping[str, bytes] | None = None, limits: Limits | None = None
    ) -> Submission:
        """Fork a jailed process; files (name to content) lie in its working folder.

        Raises NotIsolatedError where the jail can't be built.
        """
        return Submission(self, files or {}, limits or Limits())

    def folders(self) -> list[str]:
        """What a submission may read: Python, its libraries, and the allowed part of course/."""
        wanted = [sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/bin"]
        wanted.append(str(Path(self._folder) / "lib"))
        real = dict.fromkeys(os.path.realpath(each) for each in wanted if os.path.isdir(each))
        named = [each for each in wanted if os.path.isdir(each) and os.path.islink(each)]
        kept: list[str] = []
        for each in sorted([*real, *named]):
            if not any(each.startswith(f"{parent}/") for parent in kept):
                kept.append(each)
        return kept

    def close(self) -> None:
        """End the warm process; its submissions end with it."""
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Gone(Exception):
    """The submission's process ended, was killed, or sent what is no frame."""


class Submission:
    """One student's notebook, running in the jail."""

    def __init__(self, zygote: Zygote, files: Mapping[str, bytes], limits: Limits) -> None:
        self.limits = limits
        self.dead: str | None = None
        self._channel, theirs = socket.socketpair()
        self._status, status = socket.socketpair()
        order = {
            "limits": limits.as_dict(),
            "isolate": zygote.isolate,
            "root": str(zygote.root),
            "folders": zygote.folders(),
            "files": {name: base64.b64encode(data).decode() for name, data in files.items()},
        }
        socket.send_fds(zygote._control, [b"s"], [theirs.fileno(), status.fileno()])
        frames.send(zygote._control, order)
        theirs.close()
        status.close()
        try:
            begun, _ = frames.receive(self._status, time.monotonic() + 30)
        except (EOFError, OSError, frames.FrameError):
            begun = {"failed": "its process did not start"}
        if "failed" in begun:
            self.close()
            raise NotIsolatedError(f"this machine does not give the isolation: {begun['failed']}")
        self.got: list[str] = begun["got"]

    def _ask(
        self, request: dict[str, Any], seconds: float, descriptors: list[int] | None = None
    ) -> dict[str, Any]:
        if self.dead:
            raise Gone(self.dead)
        try:
            socket.send_fds(self._channel, [b"r"], descriptors or [self._channel.fileno()])
            frames.send(self._channel, request)
            return frames.receive(self._channel, time.monotonic() + seconds)[0]
        except TimeoutError:
            self.dead = "it did not answer in time, and was stopped"
        except (EOFError, OSError):
            self.dead = "its process ended before the notebook did"
        except frames.FrameError as error:
            self.dead = f"it sent what is no answer: {error}"
        self.close()
        raise Gone(self.dead)

    def cell(self, source: str) -> list[dict[str, Any]]:
        """Run one cell; returns its outputs, unsanitised.  Raises Gone."""
        reply = self._ask({"do": "cell", "source": source}, self.limits.cell_seconds + GRACE)
        outputs = reply.get("outputs")
        return outputs if isinstance(outputs, list) else []

    def tell_right(self, name: str) -> None:
        """Let ``ready(name)`` be true from here on.  Raises Gone."""
        self._ask({"do": "right", "name": name}, GRACE)

    @contextlib.contextmanager
    def question(self, exercise: Exercise) -> Iterator[Question]:
        """Fork a process that answers one exercise's calls.  Raises Gone."""
        seconds = 3 * self.limits.call_seconds
        mine, theirs = socket.socketpair()
        if self.dead:
            raise Gone(self.dead)
        request = {
            "do": "question",
            "symbol": exercise.symbol,
            "adapter": exercise.run.__name__,
            "kind": exercise.kind,
            "seconds": seconds,
        }
        try:
            socket.send_fds(self._channel, [b"r"], [theirs.fileno()])
            frames.send(self._channel, request)
        except OSError:
            self.dead = "its process ended before the notebook did"
            raise Gone(self.dead) from None
        finally:
            theirs.close()
        try:
            yield Question(exercise, mine, time.monotonic() + seconds)
        finally:
            mine.close()
            self._over(seconds)

    def _over(self, seconds: float) -> None:
        try:
            frames.receive(self._channel, time.monotonic() + seconds + GRACE)
        except (EOFError, OSError, frames.FrameError):
            self.dead = "its process ended before the notebook did"
            self.close()

    def close(self) -> None:
        """End the submission with everything that it started."""
        self._channel.close()
        self._status.close()

    def __enter__(self) -> Submission:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Question:
    """One function of the student's, to be called with arrays."""

    def __init__(self, exercise: Exercise, channel: socket.socket, deadline: float) -> None:
        self.exercise, self._channel, self._deadline = exercise, channel, deadline
        self._broken: Finding | None = None
        try:
            unfit = frames.receive(channel, deadline)[0].get("unfit")
        except (EOFError, OSError, frames.FrameError):
            self._broken = _ENDED
            return
        if unfit == "missing":
            self._broken = Finding(
                "runs",
                f"there is no {exercise.kind} named {exercise.symbol}",
                (f"the cell of exercise {exercise.number} defines it; its name must stay",),
            )
        elif unfit:
            want = f"want a {exercise.kind}"
            self._broken = Finding("runs", f"the answer is of type {str(unfit)[:60]}, {want}")

    def __call__(self, args: Mapping[str, Any]) -> Call:
        """Call it once; whatever goes wrong comes back as a finding."""
        if self._broken:
            return Call(finding=self._broken)
        tree, blobs = frames.pack(dict(args))
        try:
            frames.send(self._channel, {"args": tree}, blobs)
            reply, blobs = frames.receive(self._channel, self._deadline)
            return self._call(reply, blobs)
        except TimeoutError:
            self._broken = _LATE
        except frames.FrameError as error:
            self._broken = Finding("runs", f"it sent what is no answer: {error}")
        except (EOFError, OSError):
            self._broken = _ENDED
        return Call(finding=self._broken)

    def _call(self, reply: dict[str, Any], blobs: list[bytes]) -> Call:
        finding = None
        if reply.get("finding"):
            try:
                rung, headline, lines = reply["finding"]
                finding = Finding(
                    rung if rung in RUNGS else "runs",
                    str(headline)[:500],
                    tuple(str(line)[:500] for line in lines[:8]),
                )
            except (TypeError, ValueError):
                raise frames.FrameError("a finding of no known form") from None
        warned = reply.get("warnings")
        return Call(
            value=frames.unpack(reply.get("value"), blobs),
            finding=finding,
            warnings=tuple(str(w)[:300] for w in warned[:5]) if isinstance(warned, list) else (),
            printed=str(reply.get("printed", ""))[:2500],
        )


_ENDED = Finding(
    "runs",
    "its process ended while your function ran",
    ("does it call exit, or take more memory than there is?",),
)
_LATE = Finding(
    "runs", "it did not answer in time, and was stopped", ("does every loop come to its end?",)
)
