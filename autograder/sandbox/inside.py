"""The side that runs students' code: a warm process, its jailed forks, and a fork a question.

Started by ``client.Zygote`` as ``python -P -m autograder.sandbox.inside``.  It holds nothing worth
stealing: no reference, no tolerance, no seed, no path of the class.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import importlib
import io
import os
import select
import signal
import socket
import sys
import time
import traceback
import types
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

from autograder.sandbox import frames, jail

# The warm process.


def main() -> None:
    """Serve forks until the grader closes the control channel."""
    control = socket.socket(fileno=int(sys.argv[1]))
    start, _ = frames.receive(control)
    shell = _warm_up(start["torch"], start["replaced"], start["course"])
    frames.send(control, {"ready": True})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the supervisors
    gc.collect()
    gc.freeze()
    while True:
        try:
            order, descriptors = _receive_with_descriptors(control)
        except EOFError:
            return
        channel, status = descriptors
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _supervise(order, channel, status, shell)
            os._exit(0)
        os.close(channel)
        os.close(status)


def _receive_with_descriptors(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A frame announced by one byte that carries the descriptors."""
    announced, descriptors, _, _ = socket.recv_fds(control, 1, 4)
    if not announced:
        raise EOFError
    order, _ = frames.receive(control)
    return order, list(descriptors)


def _warm_up(with_torch: bool, replaced: list[str], course: str) -> Any:
    """Import what students' notebooks import, once for all; hollows take some packages' places."""
    sys.path.insert(0, course)
    if with_torch:
        import torch

        torch.set_num_threads(1)
        weight = torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.Adam([weight])  # the first step imports half of torch
        weight.sum().backward()
        optimizer.step()
        torch.ones(1, device="meta").tanh()  # and so does the first step on another device
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    _toolkit()
    # Whatever is not imported by now, each question's fork imports anew; and a copy of course/ has
    # no bytecode.
    for name in ("adapters", "datasets", "graphs", "translation"):
        importlib.import_module(f"course.{name}")
    importlib.import_module("numpy.random")
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    config.InteractiveShell.cache_size = 0
    shell: Any = InteractiveShell.instance(config=config)  # Any: methods of it are replaced
    shell.system = shell.system_raw  # the other kind wants a terminal
    shell.enable_gui = lambda *_, **__: None  # else "%matplotlib inline" stops its cell
    sys.meta_path.insert(0, Hollows(replaced))
    shell.showtraceback = shell.showsyntaxerror = lambda *_, **__: None  # it goes into the outputs
    return shell


class Hollows(MetaPathFinder, Loader):
    """Finds a hollow for each of some packages, and for whatever is imported from below it."""

    def __init__(self, names: list[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """A module that does nothing, for those names alone."""
        if fullname.partition(".")[0] not in self.names:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        """The module, empty."""
        return Hollow(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to be run."""


class Hollow(types.ModuleType):
    """Stands for a package that would do an exercise's work; a notebook may import it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent


class _AbsentType(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent


class _Absent(metaclass=_AbsentType):
    """Whatever is in a hollow package: can be called, subclassed, entered; has no numbers.

    So that ``torch.manual_seed(0)`` between a notebook's imports stops nothing.
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return _Absent()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __bool__(self) -> bool:
        return False

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("this package is not available to the NumPy exercises")


def _toolkit() -> None:
    """``course`` as a student's notebook uses it; the checks themselves are made outside."""
    import course
    from course import figures

    toolkit: Any = course  # Any: what follows puts other things in the places of its own
    drawing: Any = figures
    right: set[str] = set()

    def told(*_: Any, **__: Any) -> None:
        print("(this is not run while grading)")

    def ready(*names: str, quiet: bool = False) -> bool:
        return right.issuperset(names)

    def show(fig: Any) -> None:
        """A figure as PNG: an SVG may carry scripts, so none leaves the jail."""
        from IPython.display import display

        buffer = io.BytesIO()
        fig.savefig(buffer, format="png", dpi=110)
        display({"image/png": base64.b64encode(buffer.getvalue()).decode()}, raw=True)

    def earlier(name: str, otherwise: Any, folder: Any = ".") -> Any:
        return otherwise  # a submission is one notebook

    toolkit.check = toolkit.hint = toolkit.progress = told
    toolkit.about = lambda: "cpu"
    toolkit.earlier = earlier
    toolkit.ready = ready
    toolkit.CheckFailed = toolkit.CourseError = type("CourseError", (Exception,), {})
    toolkit._right = right
    drawing.show = show


# The supervisor: outside the jail's process namespace, so that one kill ends all that is inside.


def _supervise(order: dict[str, Any], channel: int, status: int, shell: Any) -> None:
    """Fork the jailed process, wait for it or for the time, and say how it ended."""
    report = socket.socket(fileno=status)
    limits = jail.Limits(**order["limits"])
    os.setsid()
    jail.die_with_parent()
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)  # soon this process sees it no more
    try:
        jail.unshare() if order["isolate"] else None
    except OSError as error:
        frames.send(report, {"failed": str(error)})
        return
    child = os.fork()
    if child == 0:
        try:
            os.close(proc)
            _submission(order, limits, channel, report, shell)
        except BaseException:
            with contextlib.suppress(OSError):
                frames.send(report, {"failed": traceback.format_exc(limit=-3)[-1000:]})
        finally:
            os._exit(0)
    os.close(channel)
    deadline = time.monotonic() + limits.wall_seconds
    ended = None
    rounds, base = 0, sum(_memory(proc, os.getpid()))
    while time.monotonic() < deadline:
        rounds += 1
        # The limit that the kernel keeps is of one process; this is of all together.
        if rounds % 5 == 0 and _used(proc, child, base) > 2 * limits.extra_memory:
            break
        done, result = os.waitpid(child, os.WNOHANG)
        if done:
            ended = result
            break
        # The grader closes its end to say: enough.
        if select.select([report], [], [], 0.02)[0] and not report.recv(1):
            break
    if ended is None:
        os.kill(child, signal.SIGKILL)
        _, ended = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        frames.send(report, {"ended": os.waitstatus_to_exitcode(ended)})


def _memory(proc: int, process: int) -> tuple[int, int]:
    """Bytes that a process holds of its own, and shares without a file; 0 if it can't be said."""
    try:
        file = os.open(f"{process}/status", os.O_RDONLY, dir_fd=proc)
        with open(file, encoding="ascii", errors="replace") as lines:
            found = dict(line.split(":", 1) for line in lines if line.startswith("Rss"))
        own, shared = (int(found[key].split()[0]) << 10 for key in ("RssAnon", "RssShmem"))
        return own, shared
    except (OSError, KeyError, ValueError, IndexError):
        return 0, 0


def _used(proc: int, process: int, base: int) -> int:
    """Bytes that a process and all its children hold, beyond what each began with."""
    total, waiting = 0, [process]
    while waiting:
        process = waiting.pop()
        own, shared = _memory(proc, process)
        total += max(0, own - base) + shared
        with contextlib.suppress(OSError, ValueError):
            folder = os.open(f"{process}/task", os.O_RDONLY, dir_fd=proc)
            try:
                threads = os.listdir(folder)
            finally:
                os.close(folder)
            for thread in threads:
                file = os.open(f"{process}/task/{thread}/children", os.O_RDONLY, dir_fd=proc)
                with open(file, encoding="ascii") as children:
                    waiting += map(int, children.read().split())
    return total


# The submission: jailed; runs cells in order, and forks for each question.


def _submission(
    order: dict[str, Any], limits: jail.Limits, channel: int, report: socket.socket, shell: Any
) -> None:
    got = []
    if order["isolate"]:
        got = jail.enter(order["root"], order["folders"], order["hidden"], limits)
    os.environ.clear()
    os.environ.update(HOME="/tmp/home", PATH="/usr/bin:/bin", LANG="C.UTF-8", MPLBACKEND="agg")
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for name in order["files"]:
        path = os.path.join("/tmp/home", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(order["files"][name]))
    for name in [each for each in sys.modules if each.startswith("autograder")]:
        del sys.modules[name]
    frames.send(report, {"got": got})
    report.close()
    control = socket.socket(fileno=channel)
    while True:
        try:
            request, descriptors = _receive_with_descriptors(control)
        except (EOFError, OSError):
            return
        if request["do"] == "cell":
            frames.send(control, {"outputs": _outputs(shell, request["source"], limits)})
        elif request["do"] == "right":
            sys.modules["course"]._right.add(request["name"])
            frames.send(control, {})
        elif request["do"] == "question":
            over = _question_in_fork(shell, request, descriptors, limits, control)
            frames.send(control, {"over": over})
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _outputs(shell: Any, source: str, limits: jail.Limits) -> list[dict[str, Any]]:
    """Run one cell; what breaks the capturing of its outputs becomes its output."""
    try:
        return _cell(shell, source, limits)
    except BaseException as error:  # a closed sys.stdout, an exception that can't be printed
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        said = "this cell was run, and what it showed could not be kept"
        return [
            {
                "output_type": "error",
                "ename": type(error).__name__,
                "evalue": said,
                "traceback": [f"{type(error).__name__}: {said}"],
            }
        ]


def _cell(shell: Any, source: str, limits: jail.Limits) -> list[dict[str, Any]]:
    """Run one cell as a notebook would; its outputs in nbformat's terms, limited in size."""
    from IPython.utils.capture import capture_output

    from course.calls import limit

    outputs: list[dict[str, Any]] = []
    with capture_output() as captured, contextlib.suppress(SystemExit):
        try:
            with limit(limits.cell_seconds, TimeoutError):
                result = shell.run_cell(source, store_history=False, silent=False)
        except TimeoutError as late:
            result = types.SimpleNamespace(error_before_exec=None, error_in_exec=late, result=None)
    for name in ("stdout", "stderr"):
        text = getattr(captured, name)
        if text:
            outputs.append({"output_type": "stream", "name": name, "text": text[:20_000]})
    for shown in captured.outputs[:20]:
        data = {
            kind: value
            for kind, value in shown.data.items()
            if kind in ("text/plain", "text/html", "image/png") and isinstance(value, str)
        }
        outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        lines = shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)
        outputs.append(
            {
                "output_type": "error",
                "ename": type(error).__name__,
                "evalue": str(error)[:500],
                "traceback": [line[:2000] for line in lines[-12:]],
            }
        )
    kept, size = [], 0
    for output in outputs:
        size += len(str(output))
        if size > limits.output_bytes and output["output_type"] != "error":
            kept.append(
                {
                    "output_type": "stream",
                    "name": "stdout",
                    "text": "... this cell's output was longer than is kept\n",
                }
            )
            break
        kept.append(output)
    return kept


def _question_in_fork(
    shell: Any,
    request: dict[str, Any],
    descriptors: list[int],
    limits: jail.Limits,
    control: socket.socket,
) -> str:
    """Answer a question's calls in a fork, so that no crash or change reaches the next one."""
    try:
        child = os.fork()
    except OSError as error:  # the notebook holds all the processes or memory that there are
        return f"not started ({error.strerror})"
    if child == 0:
        control.close()  # a function has no business with the other questions' channel
        try:
            _question(shell, request, socket.socket(fileno=descriptors[0]), limits)
        finally:
            os._exit(0)
    os.close(descriptors.pop(0))
    result = _end_of(child, time.monotonic() + request["seconds"])
    if result is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    _bury()
    if result is None:
        return "stopped"
    return "ended" if result == 0 else f"died ({os.waitstatus_to_exitcode(result)})"


def _end_of(child: int, deadline: float) -> int | None:
    """Wait for a child; its status, or None if it still runs at the deadline."""
    watch = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None  # Linux wakes us at once
    try:
        while True:
            done, result = os.waitpid(child, os.WNOHANG)
            left = deadline - time.monotonic()
            if done or left <= 0:
                return result if done else None
            if watch is None:
                time.sleep(min(left, 0.005))
            else:
                select.select([watch], [], [], left)
    finally:
        if watch is not None:
            os.close(watch)


def _bury() -> None:
    """End what a question has left running: it would take time and processes from the next."""
    if os.getpid() != 1:  # without a jail, "all processes" would be the machine's
        return
    with contextlib.suppress(OSError):
        os.kill(-1, signal.SIGKILL)
        while True:
            os.waitpid(-1, 0)


def _question(
    shell: Any, request: dict[str, Any], channel: socket.socket, limits: jail.Limits
) -> None:
    """Call one function of the student's as often as the grader asks."""
    from course.calls import STILL_RAN, Caller

    missing = object()
    answer = shell.user_ns.get(request["symbol"], missing)
    module, name = request["adapter"]
    run = getattr(importlib.import_module(module), name)
    kind = None
    if answer is missing:
        kind = "missing"
    elif isinstance(answer, type) != (request["kind"] == "class") or not callable(answer):
        kind = type(answer).__name__
    frames.send(channel, {"unfit": kind})
    if kind:
        return
    ask = Caller(run, answer, limits.call_seconds)
    while True:
        try:
            order, blobs = frames.receive(channel)
        except EOFError:
            return
        made = ask(frames.unpack(order["args"], blobs))
        finding = made.finding
        tree, blobs = frames.pack(None if finding else made.value)
        reply = {
            "value": tree,
            "finding": finding and [finding.rung, finding.headline, list(finding.lines)],
            "warnings": made.warnings,
            "printed": made.printed,
        }
        frames.send(channel, reply, blobs)
        if finding and finding.headline.startswith(STILL_RAN):
            return  # it would on what was sent ahead, too


if __name__ == "__main__":
    with contextlib.suppress(EOFError, ConnectionError):  # the grader has gone
        main()
    os._exit(0)  # nothing is kept: half a second that the grader would wait for
