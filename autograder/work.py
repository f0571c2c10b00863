"""The work on one submission: read it, repair it, run it in the jail, judge it.

Data in, data out: what is done here needs neither the class's folder nor its gradebook, so that it
runs in this process, in a process beside it, or on another machine.  It goes through the steps that
the class's configuration names for ``nbgrader autograde``; those that write to the gradebook are
left to ``autograder.writer``.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import importlib.metadata
import logging
import pickle
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nbconvert.exporters import Exporter
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from nbgrader import utils
from nbgrader.api import MissingEntry
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import (
    AssignLatePenalties,
    ClearOutput,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from traitlets.config import Config

from autograder import execute, repair
from autograder.build import HOUSE, below, digest
from autograder.execute import EVIDENCE
from autograder.folder import GradingError
from autograder.sandbox import frames
from course import fixtures
from course.calls import STILL_RAN
from course.exercise import CourseError, find
from course.ladder import NOT_ATTEMPTED, RIGHT, WRONG
from course.report import DATA

GRADED, STOPPED, DIED, DAMAGED, MISSING, FAILED = (
    "graded",
    "stopped: timeout",
    "stopped: process ended",
    "damaged",
    "no notebook",
    "could not be run",
)
"""How a submission can end.  All but the last are final; that one is tried again next time."""

TOO_LONG = (STILL_RAN, "it did not answer in time")
PROCESS_ENDED = "its process ended"
"""How the headline of a check begins that was stopped, or whose process was gone."""

NOWHERE = "the_gradebook_is_with_the_writer://"
"""In place of the gradebook's address: a step that asks for the gradebook fails, and says this."""


@dataclass(frozen=True)
class Check:
    """What one check cell found.  ``part`` is None where the exercise is scored as a whole.

    rung, case, headline: where it stopped and how that is said; seconds: of all its calls; sent,
    got: hashes of the arguments and of what came back (``autograder.evidence``).
    """

    exercise: str
    part: str | None
    outcome: str
    slip: str | None = None
    rung: str | None = None
    case: str | None = None
    headline: str = ""
    seconds: float | None = None
    sent: str = ""
    got: str = ""


@dataclass(frozen=True)
class Run:
    """One submission's run.  It is kept on disk, so that the same submission is not run again.

    key: hash of the submission and of all that decides its score; autograded: hash of the
    notebook that came out; seconds: how long it took; seed: of the inputs, to replay it; isolated:
    whether it ran in the jail.
    """

    key: str
    autograded: str
    seconds: float
    ending: str
    reason: str
    repairs: tuple[str, ...]
    checks: tuple[Check, ...]
    seed: int | None = None
    isolated: bool = True


@dataclass(frozen=True)
class Setting:
    """What the submissions of a class share.

    config: the class's configuration, pickled, without what is the writer's; known: the released
    notebook; house: the versions that must be the same wherever there is work.
    """

    chapter: str
    config: bytes
    known: repair.Known
    house: Mapping[str, str]
    isolate: bool = True


@dataclass(frozen=True)
class Task:
    """One submission to work on.

    key: see Run; notebook: the file as it was handed in, None if it was not; ending, reason: why
    it can't be run, where that is known already.
    """

    student: str
    key: str
    notebook: bytes | None
    ending: str = GRADED
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """What came out: the graded notebook, its cells' automatic scores and comments by name."""

    student: str
    run: Run
    notebook: str
    scores: dict[str, float | None]
    comments: dict[str, str | None]


class OtherVersionError(Exception):
    """This worker would judge by other checks than the class; the message says what differs."""


# What decides a score, wherever the work is done.


@functools.cache
def house() -> Mapping[str, str]:
    """The versions that decide a score: the house's own files, Python, and the libraries."""
    files = {
        **below(HOUSE / "course", "*.py", "*.npz"),
        **below(HOUSE / "solutions", "*.py"),
        **below(HOUSE / "autograder", "*.py"),
    }
    libraries = ("nbgrader", "numpy", "torch")
    return {
        "the course": digest(files)[:12],
        "Python": sys.version.split()[0],
        **{name: importlib.metadata.version(name) for name in libraries},
    }


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """What differs between two houses, in words; "" if nothing does."""
    return ", ".join(
        f"{name} is {there.get(name, 'missing')}, not {here[name]}"
        for name in here
        if there.get(name) != here[name]
    )


def for_workers(config: Config) -> bytes:
    """The configuration as bytes, without what is the writer's: the gradebook's address, hooks.

    Raises GradingError if it holds functions that can't be sent.
    """
    mine = copy.deepcopy(config)
    for section, traits in {
        "CourseDirectory": ("db_url",),
        "Autograde": ("pre_convert_hook", "post_convert_hook"),
        "BaseConverter": ("pre_convert_hook", "post_convert_hook"),
        "HTMLExporter": ("filters",),
    }.items():
        for trait in traits:
            mine.get(section, {}).pop(trait, None)
    try:
        return pickle.dumps(mine)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise GradingError(
            f"the configuration can't be sent to workers ({error}): put functions and classes"
            ' into a module, and name them as text, "module.name"'
        ) from None


# The steps.


LEFT = (AssignLatePenalties, OverwriteCells, OverwriteKernelspec)
"""Steps left out here: the late penalty is the writer's; Repair has done the work of the others."""


class _Collect(SaveAutoGrades):
    """Takes the place of SaveAutoGrades: what that one writes to the gradebook is kept here."""

    def __init__(self, known: repair.Known, **options: Any) -> None:
        super().__init__(**options)
        self._names = {each.name for each in known.cells}
        self.scores: dict[str, float | None] = {}
        self.comments: dict[str, str | None] = {}

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        return NbGraderPreprocessor.preprocess(self, nb, resources)

    def _add_score(self, cell: NotebookNode, resources: dict[str, Any]) -> None:
        self.scores[self._name(cell)] = utils.determine_grade(cell, self.log)[0]

    def _add_comment(self, cell: NotebookNode, resources: dict[str, Any]) -> None:
        untouched = cell.metadata.nbgrader.get("checksum") == utils.compute_checksum(cell)
        silent = untouched and not utils.is_task(cell)
        self.comments[self._name(cell)] = "No response." if silent else None

    def _name(self, cell: NotebookNode) -> str:
        name = cell.metadata.nbgrader["grade_id"]
        if name not in self._names:
            raise MissingEntry(f"No such grade: {name}")
        return name


class _Disarm(NbGraderPreprocessor):
    """Makes harmless what was not run, which TrustedExecute does for what was."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        execute.disarm(nb)
        return nb, resources


class _Steps:
    """The class's own steps, as ``nbgrader autograde`` would go through them."""

    def __init__(self, setting: Setting, student: str) -> None:
        config = pickle.loads(setting.config)
        if not setting.isolate:
            config.TrustedExecute.isolate = False
        coursedir = CourseDirectory(
            config=config, db_url=NOWHERE, assignment_id=setting.chapter, student_id=student
        )
        log = logging.Logger("autograder.work", logging.CRITICAL)
        self._converter = Autograde(coursedir=coursedir, config=config, log=log)
        self._known = setting.known
        self._named = {
            "student": student,
            "assignment": setting.chapter,
            "notebook": setting.chapter,
            "db_url": NOWHERE,
        }

    def graded(self, notebook: NotebookNode) -> tuple[str, _Collect]:
        """Sanitize, then run and score; raises whatever a step raises."""
        text, _ = self._through(self._converter.sanitize_preprocessors, notebook)
        with utils.setenv(NBGRADER_EXECUTION="autograde"):
            steps = self._converter.autograde_preprocessors
            return self._through(steps, repair.read(text)[0])

    def written_off(self, notebook: NotebookNode, damage: str, reason: str) -> tuple[str, _Collect]:
        """Score what can't be run: every check fails, and says why."""
        # Not the class's own steps: it may be one of them that can't be gone through.
        write_off = repair.WriteOff(reason=reason)
        steps = [repair.Repair, ClearOutput, write_off, _Disarm, SaveAutoGrades]
        return self._through(steps, notebook, damage)

    def _through(
        self, steps: Iterable[Any], notebook: NotebookNode, damage: str = ""
    ) -> tuple[str, _Collect]:
        exporter = self._converter.exporter_class(
            parent=self._converter, config=self._converter.config
        )
        collect = self._register(exporter, steps)
        resources = {
            "unique_key": self._named["notebook"],
            "nbgrader": dict(self._named),
            repair.KEY: {"damaged": damage},
        }
        text, _ = exporter.from_notebook_node(notebook, resources=resources)
        return text, collect

    def _register(self, exporter: Exporter, steps: Iterable[Any]) -> _Collect:
        """Give the exporter its steps, those for the gradebook replaced."""
        exporter._preprocessors = []
        for step in steps:
            exporter.register_preprocessor(step)
        collect = _Collect(self._known, parent=exporter)
        kept = []
        for step in exporter._preprocessors:
            if isinstance(step, repair.Repair):
                step.known = self._known
            if type(step) is SaveAutoGrades:
                kept.append(collect)
            elif isinstance(step, SaveAutoGrades | AssignLatePenalties) and type(step) not in LEFT:
                raise TypeError(
                    f"{type(step).__name__} writes to the gradebook in its own way, and here"
                    " nobody but the writer does: such a class is for nbgrader autograde"
                )
            elif type(step) not in LEFT:
                kept.append(step)
        exporter._preprocessors = kept
        return collect


# Only one submission of a process is in the jail at a time: they share its warm processes.
_TURN = threading.Lock()


def grade_one(setting: Setting, task: Task) -> Result:
    """Work on one submission, whatever is in it.

    Raises OtherVersionError if the work would be done by other checks than the class's.
    """
    if differing := differences(house(), setting.house):
        raise OtherVersionError(differing)
    with _TURN:
        # Before the clock starts.  What does not start now is said again where it matters.
        with contextlib.suppress(RuntimeError):
            cells = [each.name for each in setting.known.cells]
            execute.warm(setting.isolate, setting.chapter, cells)
        began = time.perf_counter()
        ending, reason = task.ending, task.reason
        notebook, damage = new_notebook(), ""
        if task.notebook is not None:
            notebook, damage = repair.read_bytes(task.notebook)
        if damage:
            ending, reason = DAMAGED, damage
        if ending == GRADED:
            try:
                text, collect = _Steps(setting, task.student).graded(notebook)
                return _result(task, text, collect, began)
            except Exception as error:  # whatever a step raises, it stops no other submission
                ending, reason = FAILED, f"{type(error).__name__}: {error}"
        return _written_off(setting, task, notebook, damage, ending, reason, began)


def write_off(setting: Setting, task: Task, reason: str) -> Result:
    """A result for what can't even be read without harm: no answer in it counts, for now."""
    began = time.perf_counter()
    return _written_off(setting, task, new_notebook(), reason, FAILED, reason, began)


def _written_off(
    setting: Setting,
    task: Task,
    notebook: NotebookNode,
    damage: str,
    ending: str,
    reason: str,
    began: float,
) -> Result:
    damage = damage or (reason if task.notebook is None else "")
    text, collect = _Steps(setting, task.student).written_off(notebook, damage, reason)
    return _result(task, text, collect, began, ending, reason)


def _result(
    task: Task,
    text: str,
    collect: _Collect,
    began: float,
    ending: str = GRADED,
    reason: str = "",
) -> Result:
    notebook, _ = repair.read(text)
    checks, ended, why = findings(notebook)
    if ending == GRADED:
        ending, reason = ended, why
    evidence = notebook.metadata.get(EVIDENCE, {})
    run = Run(
        key=task.key,
        autograded=hashlib.sha256(text.encode()).hexdigest(),
        seconds=round(time.perf_counter() - began, 2),
        ending=ending,
        reason=reason,
        repairs=tuple(notebook.metadata.get(repair.KEY, {}).get("repairs", ())),
        checks=checks,
        seed=evidence.get("seed"),
        isolated=evidence.get("isolated", True),
    )
    return Result(task.student, run, text, collect.scores, collect.comments)


def findings(notebook: NotebookNode) -> tuple[tuple[Check, ...], str, str]:
    """What the checks of a graded notebook found, how it ended, and why not well if it did not.

    Only what the check of a cell can say is believed: this exercise, one of these outcomes, one
    of its slips.
    """
    checks, slow, died = [], [], ""
    evidence = notebook.metadata.get(EVIDENCE, {}).get("checks", {})
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader", {})
        outputs = cell.get("outputs", [])
        if any(map(execute.ran_too_long, outputs)):
            slow.append(f"the cell {marks.get('grade_id', 'without a name')} ran too long")
        called = re.fullmatch(r'check\("([\w.]+)"\)', cell.source.strip())
        if not (marks.get("grade") and called):
            continue
        try:
            exercise, part = find(called[1])
        except CourseError:
            continue
        outcome, slip, headline = WRONG, None, ""
        where: dict[str, Any] = {}
        for output in outputs:
            said = output.get("data", {}).get(DATA)
            if isinstance(said, dict) and said.get("outcome") in (RIGHT, WRONG, NOT_ATTEMPTED):
                outcome, headline = said["outcome"], str(said.get("headline"))
                where = {key: frames.text(said.get(key), 100) or None for key in ("rung", "case")}
                known = fixtures.of_chapter(exercise.chapter)[exercise.name].slips
                slip = next((each.name for each in known if each.name == said.get("slip")), None)
        if any(output.get("ename") == "NotGraded" for output in outputs):
            outcome = NOT_ATTEMPTED
        if headline.startswith(TOO_LONG):
            slow.append(f"{called[1]} ran too long")
        elif headline.startswith(PROCESS_ENDED):
            died = headline
        seen = evidence.get(marks["grade_id"], {})
        where |= {key: seen[key] for key in ("seconds", "sent", "got") if key in seen}
        checks.append(Check(exercise.name, part, outcome, slip, headline=headline[:300], **where))
    if died:
        return tuple(checks), DIED, died
    return tuple(checks), STOPPED if slow else GRADED, "; ".join(dict.fromkeys(slow))
