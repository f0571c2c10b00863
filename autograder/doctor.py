"""What isolation this machine gives, proved by trying to get out."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from autograder.sandbox.client import NotIsolatedError, Submission, Zygote
from autograder.sandbox.jail import Limits
from course.calls import BUSY


@dataclass(frozen=True)
class Trial:
    """One attempt from inside: whether the jail held, and what was seen."""

    name: str
    held: bool
    seen: str


OPTIONAL = ("landlock", "seccomp")
"""Second fences: the grading holds without them, on kernels that lack them."""

LAYERS = ("namespaces", "root", "limits", "capabilities", "no_new_privs", "landlock", "seccomp")

LIMITS = replace(Limits(), wall_seconds=60.0, cell_seconds=2.0, processes=16)


def examine() -> Iterator[Trial]:
    """Try each way out; yields a Trial for each, the layers first."""
    try:
        zygote = Zygote(torch=False)
    except RuntimeError as error:
        yield Trial("warm process", False, str(error))
        return
    with zygote:
        try:
            with zygote.submission(limits=LIMITS) as submission:
                for layer in LAYERS:
                    there = layer in submission.got
                    yield Trial(layer, there, "in force" if there else "this kernel has none")
                yield from _trials(submission)
        except NotIsolatedError as error:
            yield Trial("namespaces", False, str(error))


def _trials(submission: Submission) -> Iterator[Trial]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        tempfile.TemporaryDirectory() as folder,
    ):
        listener.setblocking(False)
        port = listener.getsockname()[1]
        canary = Path(folder) / "canary"
        canary.write_text("a neighbour's submission")
        os.chmod(folder, 0o755)
        for name, code in _ATTEMPTS.items():
            source = code.format(port=port, canary=str(canary), pid=os.getpid())
            said = _said(submission, source)
            held = said.startswith("held")
            if name == "network":
                held = held and not _connected(listener)
            yield Trial(name, held, said.removeprefix("held: "))
        began = time.monotonic()
        stopped = _said(submission, "while True: pass")
        held = time.monotonic() - began < BUSY * LIMITS.cell_seconds + 3 and "stopped" in stopped
        yield Trial("endless loop", held, stopped)


def _said(submission: Submission, source: str) -> str:
    """The last line that a cell printed, or its error."""
    outputs = submission.cell(source)
    for output in reversed(outputs):
        text = output.get("evalue") or output.get("text") or ""
        if text.strip():
            return text.strip().splitlines()[-1][:100]
    return "nothing was printed"


def _connected(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


_ATTEMPTS = {
    "network": """
import socket
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=1).send(b"x")
    print("it reached a server on this machine")
except OSError as error:
    print("held:", error)
""",
    "files outside": """
try:
    print("it read", open({canary!r}).read())
except OSError as error:
    print("held:", error.strerror)
""",
    "writing to Python": """
import numpy
try:
    open(numpy.__file__, "a").close()
    print("it can write to", numpy.__file__)
except OSError as error:
    print("held:", error.strerror)
""",
    "the course": """
import importlib
found = []
for name in ("solutions", "solutions.bptt", "autograder.verify", "course.exercises.bptt"):
    try:
        importlib.import_module(name)
        found.append(name)
    except ImportError:
        pass
print("it imported " + ", ".join(found) if found else "held: no reference, no oracle")
""",
    "other processes": """
import os, signal
try:
    os.kill({pid}, 0)
    print("it can send signals to the grader")
except OSError as error:
    print("held:", error.strerror)
""",
    "fork bomb": """
import os, time
children = []
try:
    while len(children) < 100:
        pid = os.fork()
        if pid == 0:
            time.sleep(5)
            os._exit(0)
        children.append(pid)
    print("it started 100 processes")
except OSError as error:
    print("held: after", len(children), "processes:", error.strerror)
finally:
    for pid in children:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
""",
    "memory": """
import numpy as np
try:
    kept = [np.empty(1 << 27) for _ in range(8)]
    print("it took 8 GB")
except MemoryError:
    print("held: MemoryError")
""",
    "disk": """
import os
try:
    with open("/tmp/big", "wb") as file:
        for _ in range(1000):
            file.write(bytes(1 << 20))
    print("it wrote 1 GB")
except OSError as error:
    print("held:", error.strerror)
finally:
    os.remove("/tmp/big")
""",
}
