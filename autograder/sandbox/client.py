"""The trusted side: starts warm processes, runs a submission's cells, asks its functions.

Whatever comes back is data from a stranger: arrays and short texts, never code.  A submission that
does not answer in time is killed with everything that it started.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from autograder.sandbox import frames
from autograder.sandbox.jail import Limits
from course.calls import BUSY, Call, Finding
from course.exercise import RUNGS, Exercise

COURSE = Path(__file__).resolve().parent.parent.parent / "course"

# What of course/ goes into the jail: no exercise, so no oracle that could answer for a student.
ALLOWED = ("adapters.py", "calls.py", "datasets", "figures.py", "graphs.py", "translation.py")
_COMPILED = shutil.ignore_patterns("__pycache__")

# Packages that would do the work of a NumPy exercise.  Without torch, a hollow stands for each,
# and the folder of the real one is covered up.
REPLACED = (
    "torch", "functorch", "torchgen", "torchvision", "scipy", "jax", "jaxlib", "flax", "autograd",
    "tensorflow", "keras", "mxnet", "cupy", "sklearn", "numba", "sympy", "pytensor", "tinygrad",
    "casadi", "onnxruntime", "statsmodels",
)  # fmt: skip
HOUSE = ("course", "solutions", "autograder")

GRACE = 5.0
"""Seconds beyond a limit that the jail keeps by itself, before the grader kills it."""

AHEAD_BYTES = 1 << 16
"""Arguments of at most so many bytes are sent ahead: a channel holds three times as many."""


class NotIsolatedError(RuntimeError):
    """This machine gives no isolation; the message says which step failed and what to do."""


FOLDER = "rnn-grader-"
"""How the name of a warm process's temporary folder begins."""


class Zygote:
    """A warm process, with torch or without, that forks a jailed process for each submission."""

    def __init__(self, torch: bool, isolate: bool = True) -> None:
        self.isolate = isolate
        self._replaced = () if torch else REPLACED
        _sweep()
        self._folder = tempfile.mkdtemp(prefix=FOLDER)
        self._lock = _locked(self._folder)
        course = Path(self._folder) / "lib" / "course"
        course.mkdir(parents=True)
        for name in ALLOWED:
            if (COURSE / name).is_dir():
                shutil.copytree(COURSE / name, course / name, ignore=_COMPILED)
            else:
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
            # Each jail and each question is a fork: 2 ms, not 5, where the heap lies in huge pages.
            "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "autograder.sandbox.inside", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt is the grader's to handle, who then closes it
        )
        theirs.close()
        self._control = mine
        frames.send(
            mine, {"torch": torch, "replaced": self._replaced, "course": str(course.parent)}
        )
        try:
            frames.receive(mine, time.monotonic() + 120)
        except (EOFError, OSError, frames.FrameError):
            self.close()
            raise RuntimeError("the sandbox's warm process did not start") from None

    def submission(
        self, files: Mapping[str, bytes] | None = None, limits: Limits | None = None
    ) -> Submission:
        """Fork a jailed process, to be entered; files (name to content) lie in its working folder.

        Raises ValueError if a name leads outside.
        """
        for name in files or {}:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
                raise ValueError(f"{name!r} is not the name of a file beside the notebook")
        return Submission(self, files or {}, limits or Limits())

    @functools.cached_property
    def view(self) -> dict[str, list[str]]:
        """The folders that a submission sees, and what of them is covered up."""
        folders = self.folders()
        return {"folders": folders, "hidden": self.hidden(folders)}

    def folders(self) -> list[str]:
        """What a submission may read: Python, its libraries, and the allowed part of course/."""
        # Not all of /usr: nbgrader's exchange may lie there, with other students' work.
        parts = ("lib", "lib64", "bin", "share/fonts", "share/zoneinfo")
        roots = dict.fromkeys((sys.prefix, sys.base_prefix, "/usr"))
        wanted = [f"{root}/{part}" for root in roots for part in parts]
        wanted += ["/lib", "/lib64", "/bin"]
        wanted.append(str(Path(self._folder) / "lib"))
        real = dict.fromkeys(os.path.realpath(each) for each in wanted if os.path.isdir(each))
        named = [each for each in wanted if os.path.isdir(each) and os.path.realpath(each) != each]
        kept: list[str] = []
        for each in sorted([*real, *named]):
            if not any(each.startswith(f"{parent}/") for parent in kept):
                kept.append(each)
        return kept

    def hidden(self, folders: list[str]) -> list[str]:
        """What of these folders is covered up: the house itself, and what must not help."""
        sites = {path for path in map(os.path.realpath, sys.path) if os.path.isdir(path)}
        for folder in folders:
            for pattern in ("*-packages", "python3*/*-packages", "lib/python3*/*-packages"):
                sites.update(os.path.realpath(each) for each in Path(folder).glob(pattern))
        found = [str(COURSE.parent)]
        for site in sites:
            for name in (*HOUSE, *self._replaced):
                found += [f"{site}/{name}", f"{site}/{name}.libs", f"{site}/{name}.py"]
        return sorted(
            path
            for path in set(found)
            if os.path.exists(path) and any(path.startswith(f"{each}/") for each in folders)
        )

    def close(self) -> None:
        """End the warm process; its submissions end with it."""
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _locked(folder: str | Path) -> int | None:
    """Hold a folder; None if another process does."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held


def _sweep() -> None:
    """Remove what killed graders left; a folder of this minute may not have its lock yet."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime < 60:
                continue
            held = _locked(folder)
            if held is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


class Gone(Exception):
    """The submission's process ended, was killed, or sent what is no frame."""


class Submission:
    """One student's notebook, running in the jail; ``with`` waits for the jail, and ends it."""

    def __init__(self, zygote: Zygote, files: Mapping[str, bytes], limits: Limits) -> None:
        self.limits = limits
        self.dead: str | None = None
        self.got: list[str] = []
        """What keeps it in."""
        self._owed: list[float] = []
        """Of answers that nobody has waited for yet: how many seconds each may take."""
        self._channel, theirs = socket.socketpair()
        self._status, status = socket.socketpair()
        order = {
            "limits": limits.as_dict(),
            "isolate": zygote.isolate,
            "root": str(zygote.root),
            **zygote.view,
            "files": {name: base64.b64encode(data).decode() for name, data in files.items()},
        }
        socket.send_fds(zygote._control, [b"s"], [theirs.fileno(), status.fileno()])
        frames.send(zygote._control, order)
        theirs.close()
        status.close()

    def __enter__(self) -> Submission:
        """Wait until it is locked in; raises NotIsolatedError where the jail can't be built."""
        try:
            begun, _ = frames.receive(self._status, time.monotonic() + 30)
        except (EOFError, OSError, frames.FrameError):
            begun = {"failed": "its process did not start"}
        if "failed" in begun:
            self.close()
            raise NotIsolatedError(f"this machine does not give the isolation: {begun['failed']}")
        self.got = begun["got"]
        return self

    def cell(self, source: str) -> list[dict[str, Any]]:
        """Run one cell; returns its outputs, unsanitised.  Raises Gone."""
        self._send({"do": "cell", "source": source})
        self._settle()
        with self._alive():
            seconds = BUSY * self.limits.cell_seconds + GRACE
            outputs = frames.receive(self._channel, time.monotonic() + seconds)[0].get("outputs")
        return outputs if isinstance(outputs, list) else []

    def tell_right(self, name: str) -> None:
        """Let ``ready(name)`` be true from here on.  Raises Gone."""
        self._send({"do": "right", "name": name})
        self._owed.append(GRACE)

    @contextlib.contextmanager
    def question(self, exercise: Exercise) -> Iterator[Question]:
        """Fork a process that answers one exercise's calls.  Raises Gone."""
        seconds = 3 * BUSY * self.limits.call_seconds
        request = {
            "do": "question",
            "symbol": exercise.symbol,
            "adapter": [exercise.run.__module__, exercise.run.__name__],
            "kind": exercise.kind,
            "seconds": seconds,
        }
        self._settle()
        mine, theirs = socket.socketpair()
        with mine:
            with theirs:
                self._send(request, [theirs.fileno()])
            self._owed.append(seconds + GRACE)
            yield Question(exercise, mine, time.monotonic() + seconds)

    def _send(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        with self._alive():
            socket.send_fds(self._channel, [b"r"], list(descriptors))
            frames.send(self._channel, request)

    def _settle(self) -> None:
        """Take the answers that nobody has waited for: what was done meanwhile cost no time."""
        with self._alive():
            while self._owed:
                frames.receive(self._channel, time.monotonic() + self._owed.pop(0))

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        """Raise Gone if it has ended, and end it if it does not answer, or not in frames."""
        if self.dead:
            raise Gone(self.dead)
        try:
            yield
            return
        except TimeoutError:
            self.dead = "it did not answer in time, and was stopped"
        except (EOFError, OSError):
            self.dead = "its process ended before the notebook did"
        except frames.FrameError as error:
            self.dead = f"it sent what is no answer: {error}"
        self.close()
        raise Gone(self.dead)

    def close(self) -> None:
        """End the submission with everything that it started."""
        self._channel.close()
        self._status.close()

    def __exit__(self, *_: object) -> None:
        self.close()


class Question:
    """One function of the student's, to be called with arrays."""

    def __init__(self, exercise: Exercise, channel: socket.socket, deadline: float) -> None:
        self.exercise, self._channel, self._deadline = exercise, channel, deadline
        self._broken: Finding | None = None
        self._received = 0
        self._coming: Sequence[Mapping[str, Any]] = ()
        self._sent: list[Mapping[str, Any]] = []
        self._heard = False

    def __call__(self, args: Mapping[str, Any]) -> Call:
        """Call it once; whatever goes wrong comes back as a finding."""
        if self._broken:
            return Call(finding=self._broken)
        try:
            while self._sent and self._sent[0] is not args:
                self._receive()  # an answer to what was sent ahead, and nobody asks for
            with contextlib.suppress(OSError):  # it has ended: perhaps behind its last answer
                if not self._sent:
                    self._send(args, *frames.pack(dict(args)))
                self._send_ahead(args)
            self._broken = self._unfit() or (None if self._sent else _ENDED)
            return Call(finding=self._broken) if self._broken else self._call(*self._receive())
        except TimeoutError:
            self._broken = _LATE
        except frames.FrameError as error:
            self._broken = Finding("runs", f"it sent what is no answer: {error}")
        except (EOFError, OSError):
            self._broken = _ENDED
        return Call(finding=self._broken)

    def _unfit(self) -> Finding | None:
        """Why there is nothing to call: the first thing that it says."""
        if self._heard:
            return None
        self._heard = True
        unfit = frames.receive(self._channel, self._deadline)[0].get("unfit")
        if unfit == "missing":
            return Finding(
                "runs",
                f"there is no {self.exercise.kind} named {self.exercise.symbol}",
                (f"the cell of exercise {self.exercise.number} defines it; its name must stay",),
            )
        kind, want = frames.text(unfit, 60), f"want a {self.exercise.kind}"
        return Finding("runs", f"the answer is of type {kind}, {want}") if unfit else None

    def expect(self, coming: Sequence[Mapping[str, Any]]) -> None:
        """Say which calls will be made, in order: while one is judged, the next is at work."""
        self._coming = coming

    def _send_ahead(self, args: Mapping[str, Any]) -> None:
        """Send what comes after some arguments, if it fits into the channel without waiting."""
        made = next((n for n, each in enumerate(self._coming, 1) if each is args), None)
        if made is None:
            return
        self._coming = self._coming[made:]
        if not self._coming:
            return
        tree, blobs = frames.pack(dict(self._coming[0]))
        if len(repr(tree)) + sum(map(len, blobs)) <= AHEAD_BYTES:
            self._send(self._coming[0], tree, blobs)

    def _send(self, args: Mapping[str, Any], tree: Any, blobs: list[bytes]) -> None:
        frames.send(self._channel, {"args": tree}, blobs)
        self._sent.append(args)

    def _receive(self) -> tuple[dict[str, Any], list[bytes]]:
        reply, blobs = frames.receive(self._channel, self._deadline)
        self._sent.pop(0)
        self._received += sum(map(len, blobs))
        if self._received > frames.BYTES_LIMIT:  # every call's answer is kept for a while
            raise frames.FrameError("more bytes than all answers together may have")
        return reply, blobs

    def _call(self, reply: dict[str, Any], blobs: list[bytes]) -> Call:
        finding, found = None, reply.get("finding")
        if found:
            if not isinstance(found, list) or len(found) != 3 or not isinstance(found[2], list):
                raise frames.FrameError("a finding of no known form")
            finding = Finding(
                found[0] if found[0] in RUNGS else "runs",
                frames.text(found[1], 500),
                tuple(frames.text(line, 500) for line in found[2][:8]),
            )
        warned = reply.get("warnings")
        return Call(
            value=frames.unpack(reply.get("value"), blobs),
            finding=finding,
            warnings=tuple(frames.text(w, 300) for w in warned[:5])
            if isinstance(warned, list)
            else (),
            printed=frames.text(reply.get("printed"), 2500),
        )


_ENDED = Finding(
    "runs",
    "its process ended while your function ran",
    ("does it call exit, or take more memory than there is?",),
)
_LATE = Finding(
    "runs", "it did not answer in time, and was stopped", ("does every loop come to its end?",)
)
