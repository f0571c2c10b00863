"""Who does the work: this process, processes beside it, or a cluster; one rule for all of them.

A member works on one submission at a time.  If it ends in the middle, its submission goes to
another; one that has cost two members is not tried a third time.  Tasks are read when there is
someone to take them, so that memory does not grow with the class.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from autograder import forks, work
from autograder.folder import GradingError
from autograder.work import OtherVersionError, Result, Setting, Task

if TYPE_CHECKING:
    from distributed import Future

MOST_DEATHS = 2
"""How many members a submission may cost, before it counts as one that could not be run."""


class Crew(Protocol):
    """Members that work, for as long as the ``with`` lasts."""

    def give(self, task: Task) -> bool:
        """Give a task to a free member; False if there is none."""

    def wait(self) -> list[tuple[Task, Result | None]]:
        """Wait for what is done next; a result of None means that the member was lost."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None:
        """End the work of all members."""


def results(setting: Setting, tasks: Iterable[Task], crew: Crew) -> Iterator[Result]:
    """Have tasks worked on; each result as it comes.

    Raises GradingError if there is nobody left to do the work.
    """
    fresh, again = iter(tasks), deque[Task]()
    deaths: Counter[str] = Counter()
    busy = 0
    task = next(fresh, None)
    while task or busy:
        while task and crew.give(task):
            busy += 1
            task = again.popleft() if again else next(fresh, None)
        done = []
        for finished, result in crew.wait():
            busy -= 1
            if result is None:
                deaths[finished.student] += 1
                if deaths[finished.student] < MOST_DEATHS:
                    again.append(finished)
                    continue
                said = f"the process that worked on it ended {MOST_DEATHS} times (out of memory?)"
                result = work.write_off(setting, finished, said)
            done.append(result)
        if task is None:
            task = again.popleft() if again else next(fresh, None)
        while task and crew.give(task):  # before the writer takes its time
            busy += 1
            task = again.popleft() if again else next(fresh, None)
        yield from done


# Processes of this machine.


@dataclass
class _Member:
    process: BaseProcess
    connection: Connection
    task: Task | None = None


class Pool:
    """Processes of this machine.

    Processes, not threads: a step of nbgrader's may change the working directory or the
    environment.  They are forked from a server that has loaded what they need, where the machine
    has that, and end with this process, however it ends.
    """

    def __init__(self, setting: Setting, count: int) -> None:
        self._setting = setting
        self._context: Any = forks.context(setting.chapter)  # Any: none of its kinds' base has Pipe
        self._members = [self._start() for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> _Member:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._setting), daemon=True)
        process.start()
        theirs.close()
        return _Member(process, mine)

    def give(self, task: Task) -> bool:
        """Give a task to a free process; False if there is none."""
        member = next((each for each in self._members if each.task is None), None)
        if member is None:
            return False
        member.task = task
        with contextlib.suppress(OSError):  # it has ended: said by wait
            member.connection.send(task)
        return True

    def wait(self) -> list[tuple[Task, Result | None]]:
        """Wait for what is done next; None for what a process that has ended was working on."""
        busy: dict[Any, tuple[_Member, Task]]  # Any: wait could give sockets and numbers back, too
        busy = {each.connection: (each, each.task) for each in self._members if each.task}
        done: list[tuple[Task, Result | None]] = []
        for connection in wait(list(busy)):
            member, task = busy[connection]
            member.task = None
            try:
                result = member.connection.recv()
            except (EOFError, OSError):
                result = None
                member.process.join()
                member.connection.close()
                self._members[self._members.index(member)] = self._start()
            if isinstance(result, str):
                raise GradingError(f"{task.student}: {result}")
            done.append((task, result))
        return done

    def close(self) -> None:
        """End the processes, at once if they are at work."""
        for each in self._members:
            each.connection.close()
            if each.task is not None:
                each.process.terminate()
        for each in self._members:
            each.process.join(10)
            each.process.kill()


def _serve(connection: Connection, setting: Setting) -> None:
    """A process of the pool: work on one task after the other, until there are no more."""
    # nbgrader would take an interrupt for the death of a student's kernel.  What is left undone
    # is graded next time, and the jail's processes go when they see that they have no parent.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    threading.Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer: Result | str = work.grade_one(setting, task)
        except Exception as error:  # what concerns the class, not the submission
            answer = f"{type(error).__name__}: {error}"
        connection.send(answer)


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


class Here:
    """This process itself."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._task: Task | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def give(self, task: Task) -> bool:
        """Take a task, if there is none."""
        if self._task is not None:
            return False
        self._task = task
        return True

    def wait(self) -> list[tuple[Task, Result | None]]:
        """Do what was taken."""
        task, self._task = self._task, None
        return [(task, work.grade_one(self._setting, task))] if task else []

    def close(self) -> None:
        """Nothing to end."""


# Other machines.


@dataclass
class Cluster:
    """The workers of a ``dask.distributed`` scheduler, who may come and go.

    Each has at most one submission, whatever its number of threads, and gets with it all that it
    needs; only the house itself must be installed there, in the same version.  The submission is
    bound to its worker, so that it is known here, and not only to the scheduler, which submission
    a lost worker was at.

    Raises GradingError if there is no scheduler, or a worker of another version.
    """

    setting: Setting
    address: str
    patience: ClassVar[float] = 60.0
    """Seconds to wait for a worker, where there is none."""
    answer_within: ClassVar[float] = 20.0
    """Seconds that the scheduler has to answer."""
    _busy: dict[str, tuple[Task, Future[Result]]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        from distributed import Client  # takes a second, and only clusters need it

        for name in ("distributed.client", "distributed.comm", "distributed.core"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is said here
        try:
            self._client = Client(self.address, timeout=self.answer_within, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise GradingError(
                f"no scheduler answers at {self.address} ({str(error).splitlines()[0]}):"
                " start one with 'dask scheduler', and give the address that it prints"
            ) from None
        self._finished: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._alone_since: float | None = None
        try:
            self._look_at(self._workers())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _workers(self) -> set[str]:
        try:
            return set(self._client.nthreads())
        except (OSError, ValueError, RuntimeError) as error:
            raise self._gone(error) from None

    def _gone(self, error: BaseException) -> GradingError:
        said = str(error).splitlines()[:1] or [type(error).__name__]
        return GradingError(
            f"the scheduler at {self.address} has gone ({said[0]}): what was graded stays;"
            " start it anew, then the same command again"
        )

    def _look_at(self, workers: set[str]) -> None:
        """Ask workers for their version; raises GradingError on one that would judge otherwise."""
        if not workers:
            return
        answers = self._client.run(work.house, workers=list(workers), on_error="return")
        for worker, answer in answers.items():
            if isinstance(answer, BaseException):
                differing = f"{type(answer).__name__}: {answer}"
            else:
                differing = work.differences(answer, self.setting.house)
            if differing:
                raise self._other_version(worker, differing)

    def _other_version(self, worker: str, differing: str) -> GradingError:
        return GradingError(
            f"the worker {worker} would judge otherwise than this machine ({differing}):"
            " install the same version of the course and of requirements.txt there, and restart it"
        )

    def give(self, task: Task) -> bool:
        """Send a task to a free worker; False if there is none."""
        worker = min(self._workers() - set(self._busy), default=None)
        if worker is None:
            return False
        future = self._client.submit(
            work.grade_one,
            self.setting,
            task,
            key=f"{self.setting.chapter}-{uuid.uuid4().hex}",  # never the answer of another run
            workers=[worker],
            allow_other_workers=False,
            pure=False,
        )
        self._busy[worker] = task, future
        future.add_done_callback(lambda _: self._finished.put(worker))
        return True

    def wait(self) -> list[tuple[Task, Result | None]]:
        """Wait for what is done next; None for what a lost worker was at."""
        while True:
            done = []
            with contextlib.suppress(queue.Empty):
                worker = self._finished.get(timeout=0.5)
                while True:
                    done += self._answer(worker)
                    worker = self._finished.get_nowait()
            there = self._workers()
            for worker in set(self._busy) - there:
                task, future = self._busy.pop(worker)
                future.cancel()
                done.append((task, None))
            self._mind_nobody(there)
            if done or (there - set(self._busy)):
                return done

    def _answer(self, worker: str) -> list[tuple[Task, Result | None]]:
        """What a worker's future holds."""
        if worker not in self._busy or not self._busy[worker][1].done():
            return []  # of a worker that was given up
        task, future = self._busy.pop(worker)
        if future.status == "finished":
            return [(task, future.result())]
        if future.status == "error":
            error = future.exception()
            if isinstance(error, OtherVersionError | ImportError):
                raise self._other_version(worker, str(error))
            if type(error).__name__ == "KilledWorker":
                return [(task, None)]
            raise GradingError(f"{task.student}: {type(error).__name__}: {error}")
        raise self._gone(RuntimeError(f"its answer was {future.status}"))

    def _mind_nobody(self, workers: set[str]) -> None:
        """Raises GradingError if there has been no worker for a while."""
        if workers:
            self._alone_since = None
            return
        now = time.monotonic()
        self._alone_since = self._alone_since or now
        if now - self._alone_since >= self.patience:
            raise GradingError(
                f"the scheduler at {self.address} has no workers: start some, each with"
                f" 'dask worker {self.address} --nthreads 1'; what was graded stays"
            )

    def close(self) -> None:
        """Take back what is not done, and leave the cluster as it is."""
        with contextlib.suppress(OSError, RuntimeError):
            self._client.cancel([future for _, future in self._busy.values()])
        self._client.close()
