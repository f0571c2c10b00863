"""Grading on a dask cluster: the pool's gradebook, whoever is lost on the way."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time

import pytest
from gradebooks import tables
from processes import below, kill, left_behind, start
from small_class import answered, hand_in, new_class

from autograder import crew, grading, work
from autograder.grading import ClassFolder, GradingError
from autograder.work import Run

WRONG = "def forward(*_):\n    return 1, 2\n"


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of eight, as the pool grades it; and a copy in which nothing is graded."""
    course = new_class(tmp_path_factory.mktemp("cluster") / "class")
    for n in range(7):
        changes = {"forward": WRONG} if n % 3 == 1 else {}
        hand_in(course, f"student-{n}", answered(course, explain=f"So says {n}.", **changes))
    hand_in(course, "student-7", "{")
    shutil.copytree(course.root, course.root.with_name("new"))
    grading.grade(course, "bptt", jobs=2)
    return course


@pytest.fixture
def fresh(graded, tmp_path):
    shutil.copytree(graded.root.with_name("new"), tmp_path / "class")
    return ClassFolder.open(tmp_path / "class")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a scheduler without workers."""
    folder = tmp_path_factory.mktemp("scheduler")
    file = folder / "scheduler.json"
    command = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
    running = start("dask", "scheduler", *command, cwd=folder)
    for _ in range(600):
        if file.exists() and (found := re.search(r"tcp://[\d.:]+", file.read_text())):
            break
        time.sleep(0.1)
    yield found[0]
    kill(running)


@pytest.fixture
def workers(scheduler, tmp_path):
    """Two workers in processes of their own, with no nanny, and gone after the test."""
    before = below(os.getpid())
    running = [worker(scheduler, tmp_path / str(n)) for n in range(2)]
    until = time.monotonic() + 60
    from distributed import Client

    with Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=until - time.monotonic())
    yield running
    for each in running:
        kill(each)
    assert left_behind(before) == set()


def worker(scheduler, folder):
    folder.mkdir()
    options = ("--nthreads", "1", "--no-dashboard", "--no-nanny", "--local-directory", folder)
    return start("dask", "worker", scheduler, *options, cwd=folder)


def test_the_gradebook_is_the_pool_s(graded, fresh, scheduler, workers):
    table = grading.grade(fresh, "bptt", scheduler=scheduler)
    assert len(table) == 8
    want, found = tables(graded), tables(fresh)
    for name, rows in want.items():
        assert found[name] == rows, name
    runs = {each.student: each.run for each in table}
    assert runs["student-7"].ending == work.DAMAGED
    assert all(run.isolated for run in runs.values())
    again = grading.grade(fresh, "bptt")
    assert not any(each.fresh for each in again), "a local run goes on from the cluster's"


def test_a_lost_worker_s_submission_is_graded_by_another(graded, fresh, scheduler, workers):
    seen: list[str] = []

    def done(student: str, run: Run | None, total: int) -> None:
        seen.append(student)
        if len(seen) == 2:
            kill(workers[0])

    grading.grade(fresh, "bptt", scheduler=scheduler, done=done)
    assert sorted(seen) == [f"student-{n}" for n in range(8)], "each once"
    want, found = tables(graded), tables(fresh)
    for name, rows in want.items():
        assert found[name] == rows, name


def test_what_costs_two_workers_could_not_be_run(fresh, scheduler, workers):
    """A submission that stands for one that brings its worker down: the worker is killed at it."""
    slow = answered(fresh)
    slow.cells[0].source = f"import time\ntime.sleep(10)\n{slow.cells[0].source}"
    hand_in(fresh, "student-0", slow)
    victims = {each.pid: each for each in workers}
    killed: dict[str, int] = {}
    really = crew.Cluster.give

    def give(self, task):
        given = really(self, task)
        if given and task.student == "student-0":
            (address,) = (a for a, (t, _) in self._busy.items() if t is task)
            pid = self._client.run(os.getpid, workers=[address])[address]
            killed[address] = pid
            os.kill(pid, signal.SIGKILL)
            victims[pid].wait()
        return given

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crew.Cluster, "give", give)
        patch.setattr(crew.Cluster, "patience", 5.0)
        with pytest.raises(GradingError, match="has no workers: start some, each with 'dask wor"):
            grading.grade(fresh, "bptt", scheduler=scheduler)
    assert len(killed) == 2
    run = grading.load_run(fresh, "student-0", "bptt")
    assert run.ending == work.FAILED
    assert "ended 2 times" in run.reason
    assert ("student-0", "bptt", False, None, 0.0) in tables(fresh)["submitted_notebook"]


def test_a_worker_of_another_version_is_refused(fresh, scheduler, workers, monkeypatch):
    other = {**work.house(), "numpy": "1.0"}
    monkeypatch.setattr(work, "house", lambda: other)
    with pytest.raises(GradingError, match=r"would judge otherwise .*numpy is .*, not 1\.0"):
        grading.grade(fresh, "bptt", scheduler=scheduler)


def test_a_worker_that_comes_later_is_looked_at_too(fresh):
    with grading.Writer(fresh, "bptt") as writer:
        setting, task = writer.setting(), writer.task("student-7", "key")
    other = work.Setting(**{**vars(setting), "house": {**setting.house, "torch": "0.1"}})
    with pytest.raises(work.OtherVersionError, match=r"torch is .*, not 0\.1"):
        work.grade_one(other, task)


def test_no_scheduler_is_said(fresh, monkeypatch):
    monkeypatch.setattr(crew.Cluster, "answer_within", 2.0)
    with pytest.raises(GradingError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9 "):
        grading.grade(fresh, "bptt", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(GradingError, match="no scheduler answers at nonsense"):
        grading.grade(fresh, "bptt", scheduler="nonsense://x")


# The pool keeps the same rule.


def test_a_process_of_the_pool_may_die_once(graded, fresh, monkeypatch):
    """The one that works on the third submission is killed, and so is nobody else."""
    really = crew.Pool.give
    killed = []

    def give(self, task):
        given = really(self, task)
        if given and task.student == "student-2" and not killed:
            (member,) = (each for each in self._members if each.task is task)
            killed.append(member.process.pid)
            member.process.kill()
        return given

    monkeypatch.setattr(crew.Pool, "give", give)
    table = grading.grade(fresh, "bptt", jobs=2)
    assert len(killed) == 1
    assert len(table) == 8
    want, found = tables(graded), tables(fresh)
    for name, rows in want.items():
        assert found[name] == rows, name


def test_what_costs_two_processes_could_not_be_run(fresh, monkeypatch):
    really = crew.Pool.give

    def give(self, task):
        given = really(self, task)
        if given and task.student == "student-2":
            (member,) = (each for each in self._members if each.task is task)
            member.process.kill()
        return given

    monkeypatch.setattr(crew.Pool, "give", give)
    table = {each.student: each for each in grading.grade(fresh, "bptt", jobs=2)}
    assert table["student-2"].run.ending == work.FAILED
    assert (table["student-2"].auto, table["student-3"].auto) == (0, 8)
    monkeypatch.undo()
    table = {each.student: each for each in grading.grade(fresh, "bptt")}
    assert [name for name, each in table.items() if each.fresh] == ["student-2"], "tried again"
    assert table["student-2"].auto == 8
