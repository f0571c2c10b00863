"""Grade a class: nbgrader's own steps, one submission at a time, none of which can stop the rest.

How a submission is executed is nbgrader's business (``Autograde.autograde_preprocessors`` in the
class's configuration).  This module decides what has to be graded again, sees to it that every
submission ends with a score and a reason, and reads what the checks have found.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import glob
import hashlib
import importlib.metadata
import io
import json
import logging
import os
import re
import signal
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import sqlalchemy.exc
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde, BaseConverter, GenerateAssignment, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties, SaveAutoGrades
from nbgrader.utils import rmtree
from traitlets.config import Config, PyFileConfigLoader

from autograder import execute, repair
from autograder.build import CONFIG, HOUSE, put
from autograder.evidence import Evidence
from autograder.execute import EVIDENCE, TrustedExecute
from autograder.export import FORMATS, lines
from autograder.sandbox.frames import text
from course import fixtures
from course.exercise import CourseError, did_you_mean, find
from course.ladder import NOT_ATTEMPTED, RIGHT, WRONG, Report
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

TOO_LONG = ("it still ran after", "it did not answer in time")
PROCESS_ENDED = "its process ended"
"""How the headline of a check begins that was stopped, or whose process was gone."""

PATTERN = "nbgrader can't tell * ? [ in a folder's name from a pattern: rename it"


class GradingError(Exception):
    """Something that a person has to put right first; the message says what and how."""


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
class Standing:
    """One student's line in the class table.

    auto, auto_max: points of the checks; written, written_max: points of the written answers;
    to_read: points of those that a person has still to grade; fresh: whether it was run now.
    """

    student: str
    name: str
    auto: float
    auto_max: float
    written: float
    written_max: float
    to_read: float
    run: Run
    fresh: bool = False

    @property
    def slips(self) -> list[str]:
        """Titles of the slips that the checks recognised, each with its exercise's number."""
        return [f"{find(check.exercise)[0].number} {title}" for check, title in met(self.run)]


def met(run: Run) -> Iterator[tuple[Check, str]]:
    """The slips of a run with their titles; one that spoils several parts counts once."""
    seen = set()
    for check in run.checks:
        if check.slip and (check.exercise, check.slip) not in seen:
            seen.add((check.exercise, check.slip))
            known = fixtures.of_chapter(check.exercise.split(".")[0])[check.exercise].slips
            yield check, next(slip.title for slip in known if slip.name == check.slip)


@dataclass(frozen=True)
class ClassFolder:
    """A class: the folder that nbgrader's commands and formgrader work on.

    isolate: whether students' code runs in a jail; without one it can read and change whatever
    the grader can.
    """

    root: Path
    config: Config
    isolate: bool = True

    @classmethod
    def open(cls, root: Path, isolate: bool = True) -> ClassFolder:
        """Read a class's configuration; raises GradingError if it is missing or broken."""
        root = root.resolve()
        path = root / CONFIG.name
        if not path.is_file():
            raise GradingError(
                f"{root} is not a class folder (it has no {CONFIG.name}): make one with"
                " 'autograder build', or name another with --course-dir"
            )
        # nbgrader makes a new gradebook by calling a program that lies beside the interpreter.
        programs = str(Path(sys.executable).parent)
        if programs not in os.environ.get("PATH", "").split(os.pathsep):
            os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", "")])
        # nbgrader adds a submission in an order that SQLAlchemy wonders at.
        warnings.simplefilter("ignore", sqlalchemy.exc.SAWarning)
        try:
            config = PyFileConfigLoader(CONFIG.name, path=str(root)).load_config()
        except Exception as error:  # the file is Python: anything can go wrong in it
            raise GradingError(f"{path}: {type(error).__name__}: {error}") from None
        if not isolate:
            config.TrustedExecute.isolate = False
        return cls(root, config, isolate)

    def coursedir(self, **ids: str) -> CourseDirectory:
        """nbgrader's view of the folder, set to an assignment and a student."""
        return CourseDirectory(config=self.config, **ids)

    def path(self, step: str, student: str, chapter: str) -> Path:
        """The folder of a step ("submitted", "autograded", "feedback") of one submission."""
        coursedir = self.coursedir()
        return Path(
            coursedir.format_path(getattr(coursedir, f"{step}_directory"), student, chapter)
        )

    def record(self, student: str, chapter: str) -> Path:
        """Where a submission's run is kept."""
        return self.root / "grading" / chapter / f"{student}.json"

    def report(self, chapter: str) -> Path:
        """Where the class report stands."""
        return self.root / "reports" / f"{chapter}.html"

    def gradebook(self) -> Gradebook:
        """Open the gradebook; close it after use, or take it in a ``with``."""
        coursedir = self.coursedir()
        return Gradebook(coursedir.db_url, coursedir.course_id)

    def check_gradebook(self) -> None:
        """Raise GradingError if the gradebook can't be written to just now."""
        url = sqlalchemy.engine.make_url(self.coursedir().db_url)
        if url.get_backend_name() != "sqlite" or not url.database:
            return
        if not os.path.exists(url.database):
            raise GradingError(
                f"{url.database} does not exist: nothing has been released yet;"
                " first, in the class folder: nbgrader generate_assignment CHAPTER"
            )
        try:
            with contextlib.closing(sqlite3.connect(url.database, timeout=2)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
        except sqlite3.Error as error:
            raise _gradebook_error(url.database, str(error)) from None

    def students(self, chapter: str) -> list[str]:
        """Who has handed in something."""
        pattern = self.path("submitted", "*", glob.escape(chapter))
        regexp = re.compile(
            self.coursedir().format_path(
                self.coursedir().submitted_directory, "(?P<student>.+)", re.escape(chapter), True
            )
        )
        found = (regexp.fullmatch(path) for path in glob.glob(str(pattern)) if os.path.isdir(path))
        return sorted(match["student"] for match in found if match)


def _gradebook_error(database: str, said: str) -> GradingError:
    if "locked" in said:
        why = "another program holds it: close formgrader or other grading, then again"
    elif "readonly" in said or "unable to open" in said:
        why = "no permission to write it: ask its owner, or chmod u+w"
    elif "not a database" in said or "malformed" in said:
        why = "it is damaged: put a backup in its place"
    else:
        why = said
    return GradingError(f"{database}: {why}")


# Running nbgrader's steps.


class _Refused(Exception):
    """nbgrader gave up on a submission; the text is the last line of its traceback."""


def _start(converter: BaseConverter) -> str:
    """Run one of nbgrader's steps quietly; returns its log.

    Raises GradingError if the gradebook is locked, else _Refused with the reason.
    """
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    converter.log.addHandler(handler)
    converter.log.setLevel(logging.INFO)
    converter.log.propagate = False
    try:
        converter.start()
    except NbGraderException as error:
        said = log.getvalue()
        raised = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|Kernel|Entry)\b.*", said, re.M)
        database = [line for line in raised if "OperationalError" in line]
        if database:
            raise _gradebook_error(converter.coursedir.db_url, database[-1]) from None
        raise _Refused(raised[-1] if raised else str(error)) from None
    except sqlalchemy.exc.OperationalError as error:
        raise _gradebook_error(converter.coursedir.db_url, str(error.orig)) from None
    finally:
        converter.log.removeHandler(handler)
    return log.getvalue()


def release(course: ClassFolder, chapter: str) -> None:
    """Make the students' version: ``nbgrader generate_assignment``.

    Raises GradingError if nbgrader refuses, for one because cells came or went after submissions.
    """
    converter = GenerateAssignment(
        coursedir=course.coursedir(assignment_id=chapter), config=course.config
    )
    converter.force = True
    try:
        _start(converter)
    except _Refused as refused:
        raise GradingError(f"{chapter} can't be released: {refused}") from None


# What has to be run again.


def _digest(files: Mapping[str, Path], *more: str) -> str:
    """Hash of named files, and of texts; where the files lie does not matter."""
    total = hashlib.sha256("\0".join(more).encode())
    for name in sorted(files):
        total.update(f"\0{name}\0".encode("utf-8", "surrogateescape"))
        total.update(hashlib.sha256(files[name].read_bytes()).digest())
    return total.hexdigest()


def _below(folder: Path, *patterns: str) -> dict[str, Path]:
    """The files below a folder, by their names from there."""
    found = (path for pattern in patterns for path in folder.rglob(pattern) if path.is_file())
    return {f"{folder.name}/{path.relative_to(folder).as_posix()}": path for path in found}


def checks_key(course: ClassFolder, chapter: str) -> str:
    """Hash of all that decides a score but the submission: the checks, and the class's settings."""
    files = {
        **_below(HOUSE / "course", "*.py", "*.npz"),
        **_below(HOUSE / "autograder", "*.py"),
        **_below(course.path("source", ".", chapter), "*"),
        CONFIG.name: course.root / CONFIG.name,
    }
    version = importlib.metadata.version
    versions = map(version, ("nbgrader", "numpy", "torch"))
    return _digest(files, sys.version, *versions, "" if course.isolate else "not isolated")


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def load_run(course: ClassFolder, student: str, chapter: str) -> Run | None:
    """The kept run of a submission, if there is one."""
    try:
        kept = json.loads(course.record(student, chapter).read_text(encoding="utf-8"))
        checks = tuple(Check(**check) for check in kept.pop("checks"))
        return Run(**{**kept, "repairs": tuple(kept["repairs"])}, checks=checks)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _unchanged(
    course: ClassFolder, gradebook: Gradebook, student: str, chapter: str, key: str
) -> bool:
    """Whether a submission was graded as it is, by the checks as they are, and still stands so."""
    run = load_run(course, student, chapter)
    if run is None or run.key != key or run.ending == FAILED:
        return False
    notebook = course.path("autograded", student, chapter) / f"{chapter}.ipynb"
    if run.autograded != _file_hash(notebook):
        return False
    try:
        submission = gradebook.find_submission_notebook(chapter, chapter, student)
    except MissingEntry:
        return False
    return all(g.auto_score is not None for g in submission.grades if g.cell.cell_type == "code")


# One submission.


def grade_one(root: Path, chapter: str, student: str, key: str, isolate: bool = True) -> Run:
    """Grade one submission, whatever is in it; called in a process of its own.

    Its old automatic scores go first, so that none can outlive it; what a person has graded stays.
    Raises GradingError if the gradebook is locked, OSError if nothing can be written.
    """
    course = ClassFolder.open(root, isolate)
    with contextlib.suppress(RuntimeError):  # said again where it matters
        execute.warm(isolate)  # the first submission's time is not to hold it
    began = time.perf_counter()
    course.record(student, chapter).unlink(missing_ok=True)
    _forget_scores(course, student, chapter)
    submitted = course.path("submitted", student, chapter) / f"{chapter}.ipynb"
    ending, reason = GRADED, ""
    if glob.has_magic(str(submitted)):
        ending, reason = FAILED, PATTERN
    elif not submitted.is_file():
        others = sorted(path.name for path in submitted.parent.glob("*.ipynb"))
        ending = MISSING
        reason = f"{chapter}.ipynb was not handed in" + (
            f" (but {', '.join(others)} was)" if others else ""
        )
    elif damage := repair.read_file(submitted)[1]:
        ending, reason = DAMAGED, damage
    else:
        try:
            _timestamp(course, student, chapter)
        except ValueError as error:
            ending, reason = FAILED, str(error)
    if ending == GRADED:
        converter = Autograde(
            coursedir=course.coursedir(assignment_id=chapter, student_id=student),
            config=course.config,
        )
        converter.force = True
        try:
            _start(converter)
        except _Refused as refused:
            ending, reason = FAILED, str(refused)
    if ending != GRADED:
        _write_off(course, student, chapter, reason)
    path = course.path("autograded", student, chapter) / f"{chapter}.ipynb"
    notebook, _ = repair.read_file(path)
    checks, ended, why = _findings(notebook)
    if ending == GRADED:
        ending, reason = ended, why
    run = Run(
        key=key,
        autograded=_file_hash(path),
        seconds=round(time.perf_counter() - began, 2),
        ending=ending,
        reason=reason,
        repairs=tuple(notebook.metadata.get(repair.KEY, {}).get("repairs", ())),
        checks=checks,
        seed=notebook.metadata.get(EVIDENCE, {}).get("seed"),
        isolated=notebook.metadata.get(EVIDENCE, {}).get("isolated", True),
    )
    put(course.record(student, chapter), json.dumps(dataclasses.asdict(run), indent=1) + "\n")
    return run


def _timestamp(course: ClassFolder, student: str, chapter: str) -> datetime.datetime | None:
    """When a submission was handed in, if that is known; raises ValueError if it can't be read."""
    folder = course.path("submitted", student, chapter)
    try:
        return course.coursedir().get_existing_timestamp(str(folder))
    except (ValueError, OverflowError, AttributeError):  # the last: nbgrader's own message fails
        raise ValueError("its timestamp.txt holds no date: correct it, or delete it") from None


def _forget_scores(course: ClassFolder, student: str, chapter: str) -> None:
    """Take back the automatic scores of an earlier submission."""
    with course.gradebook() as gradebook, contextlib.suppress(MissingEntry):
        for notebook in gradebook.find_submission(chapter, student).notebooks:
            for grade in notebook.grades:
                grade.auto_score = None
                grade.needs_manual_grade = True
        gradebook.db.commit()


def _write_off(course: ClassFolder, student: str, chapter: str, reason: str) -> None:
    """Score a submission that can't be run: every check fails, with the reason.

    Written answers that can be read stay for a person to grade.
    """
    coursedir = course.coursedir(assignment_id=chapter, student_id=student)
    submitted = course.path("submitted", student, chapter)
    with course.gradebook() as gradebook:
        gradebook.update_or_create_student(student)
        gradebook.update_or_create_submission(chapter, student)
        with contextlib.suppress(ValueError):
            if when := _timestamp(course, student, chapter):
                gradebook.update_or_create_submission(chapter, student, timestamp=when)
    converter = Autograde(coursedir=coursedir, config=course.config)
    converter.log.setLevel(logging.CRITICAL)
    exporter = repair.SubmissionExporter(parent=converter, config=course.config)
    for step in (
        *converter.sanitize_preprocessors,
        repair.WriteOff(reason=reason),
        SaveAutoGrades,
        AssignLatePenalties,
    ):
        exporter.register_preprocessor(step)
    names = {"student": student, "assignment": chapter, "notebook": chapter}
    path = submitted / f"{chapter}.ipynb"
    notebook, damage = repair.read_file(path) if path.is_file() else (new_notebook(), reason)
    output, _ = exporter.from_notebook_node(
        notebook,
        resources={
            repair.KEY: {"damaged": damage},
            "nbgrader": {**names, "db_url": coursedir.db_url},
        },
    )
    folder = course.path("autograded", student, chapter)
    if folder.exists():
        rmtree(str(folder))
    put(folder / path.name, output)


def _findings(notebook: NotebookNode) -> tuple[tuple[Check, ...], str, str]:
    """What the checks of a graded notebook found, how it ended, and why not well if it did not.

    Only what the check of a cell can say is believed: this exercise, one of these outcomes, one
    of its slips.
    """
    checks, slow, died = [], [], ""
    evidence = notebook.metadata.get(EVIDENCE, {}).get("checks", {})
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader", {})
        outputs = cell.get("outputs", [])
        if any(output.get("ename") == "TimeoutError" for output in outputs):
            slow.append(f"the cell {marks.get('grade_id', 'without a name')} ran too long")
        called = re.fullmatch(r'check\("([\w.]+)"\)', cell.source.strip())
        if not (marks.get("grade") and called):
            continue
        try:
            exercise, part = find(called[1])
        except CourseError:
            continue
        outcome, slip, headline, where = WRONG, None, "", {}
        for output in outputs:
            said = output.get("data", {}).get(DATA)
            if isinstance(said, dict) and said.get("outcome") in (RIGHT, WRONG, NOT_ATTEMPTED):
                outcome, headline = said["outcome"], str(said.get("headline"))
                where = {key: text(said.get(key), 100) or None for key in ("rung", "case")}
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


# A class.


def grade(
    course: ClassFolder,
    chapter: str,
    *,
    student: str | None = None,
    force: bool = False,
    jobs: int = 0,
    done: Callable[[str, Run | None, int], None] = lambda student, run, total: None,
) -> list[Standing]:
    """Grade what has changed since last time, and return the standing of all.

    student: only this one; force: even if nothing has changed; jobs: processes at a time, 0
    for none but this one; done(student, run, total): called after each submission, with run None
    if it was unchanged.

    Raises GradingError: not released, no such student, a locked gradebook.
    """
    course.check_gradebook()
    students = chosen(course, chapter, student)
    checks = checks_key(course, chapter)
    keys = {
        each: _digest(_below(course.path("submitted", each, chapter), "*"), checks)
        for each in students
    }
    with course.gradebook() as gradebook:
        try:
            gradebook.find_notebook(chapter, chapter)
        except MissingEntry:
            raise GradingError(
                f"{chapter} has not been released in {course.root}: first, in that folder:"
                f" nbgrader generate_assignment {chapter}"
            ) from None
        same = {
            each
            for each in students
            if not force and _unchanged(course, gradebook, each, chapter, keys[each])
        }
    for each in sorted(same):
        done(each, None, len(students))
    todo = [each for each in students if each not in same]
    for each, run in _runs(course, chapter, todo, keys, jobs):
        done(each, run, len(students))
    return standings(course, chapter, students, fresh=set(todo))


def _runs(
    course: ClassFolder, chapter: str, todo: Sequence[str], keys: dict[str, str], jobs: int
) -> Iterator[tuple[str, Run]]:
    """Grade submissions, several at a time if asked, and yield each as it is done."""
    one = grade_one if course.isolate else functools.partial(grade_one, isolate=False)
    if jobs == 0:
        for each in todo:
            yield each, one(course.root, chapter, each, keys[each])
    elif todo:
        # Processes, not threads: nbgrader changes the working directory.  Each submission's few
        # writes are short, and SQLite lets the other wait.
        count = min(jobs, len(todo))
        with ProcessPoolExecutor(count, get_context("spawn"), _stop_at_once) as pool:
            futures = {
                pool.submit(one, course.root, chapter, each, keys[each]): each for each in todo
            }
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _stop_at_once() -> None:
    """Let an interrupt end a worker without more ado.

    nbgrader would take it for the death of a student's kernel.  What a worker leaves behind is
    graded anew next time, and its kernel goes when it sees that it has no parent.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))


def chosen(course: ClassFolder, chapter: str, student: str | None) -> list[str]:
    """The submissions that are meant; raises GradingError if there are none."""
    students = course.students(chapter)
    folder = course.path("submitted", "STUDENT", chapter)
    if not students:
        raise GradingError(
            f"nobody has handed in {chapter}: a submission is {folder}/{chapter}.ipynb"
        )
    if student is None:
        return students
    if student not in students:
        raise GradingError(
            f'"{student}" has not handed in {chapter}.{did_you_mean(student, students)}'
            f" A submission is {folder}/{chapter}.ipynb"
        )
    return [student]


def standings(
    course: ClassFolder, chapter: str, students: Sequence[str], fresh: set[str] | None = None
) -> list[Standing]:
    """The class table: scores from the gradebook, the rest from the kept runs."""
    table = []
    with course.gradebook() as gradebook:
        for student in students:
            run = load_run(course, student, chapter)
            try:
                submission = gradebook.find_submission_notebook(chapter, chapter, student)
            except MissingEntry:
                continue  # a new gradebook knows nothing of an old run
            if run is None:
                continue
            checks = [grade for grade in submission.grades if grade.cell.cell_type == "code"]
            written = [grade for grade in submission.grades if grade.cell.cell_type != "code"]
            unread = [g for g in written if g.manual_score is None and g.auto_score is None]
            person = gradebook.find_student(student)
            full = f"{person.first_name or ''} {person.last_name or ''}".strip()
            table.append(
                Standing(
                    student=student,
                    name=full or student,
                    auto=sum(grade.score for grade in checks),
                    auto_max=sum(grade.max_score for grade in checks),
                    written=sum(grade.score for grade in written),
                    written_max=sum(grade.max_score for grade in written),
                    to_read=sum(grade.max_score for grade in unread),
                    run=run,
                    fresh=student in (fresh or ()),
                )
            )
    return table


# Feedback and export.


def feedback(
    course: ClassFolder,
    chapter: str,
    students: Sequence[str],
    done: Callable[[str], None] = lambda student: None,
) -> list[str]:
    """Write the feedback pages that are out of date; returns whose were.

    Raises GradingError if the gradebook is locked, or, after all the others, if a page can't be
    made.
    """
    course.check_gradebook()
    kept = course.root / "grading" / chapter / ".feedback.json"
    try:
        keys = dict(json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        keys = {}
    made, refusals = [], []
    for student in students:
        notebook = course.path("autograded", student, chapter) / f"{chapter}.ipynb"
        shown = _shown(course, student, chapter)
        if notebook.is_file() and shown:
            key = _file_hash(notebook) + shown
            page = course.path("feedback", student, chapter) / f"{chapter}.html"
            if keys.get(student) != key or not page.is_file():
                try:
                    _feedback_page(course, student, chapter)
                except _Refused as refused:
                    refusals.append(f"{student} ({refused})")
                else:
                    keys[student] = key
                    put(kept, json.dumps(keys, indent=1, sort_keys=True) + "\n")
                    made.append(student)
        done(student)
    if refusals:
        raise GradingError(f"no feedback page could be made for {', '.join(refusals)}")
    return made


def _shown(course: ClassFolder, student: str, chapter: str) -> str:
    """Hash of what a feedback page shows from the gradebook: scores, comments; "" if nothing."""
    with course.gradebook() as gradebook:
        try:
            submission = gradebook.find_submission_notebook(chapter, chapter, student)
        except MissingEntry:
            return ""
        shown = [
            *((grade.name, grade.score, grade.max_score) for grade in submission.grades),
            *((comment.name, comment.comment) for comment in submission.comments),
            submission.late_submission_penalty,
        ]
    return hashlib.sha256(repr(sorted(map(repr, shown))).encode()).hexdigest()


def _feedback_page(course: ClassFolder, student: str, chapter: str) -> None:
    if glob.has_magic(student):
        raise _Refused(PATTERN)
    converter = GenerateFeedback(
        coursedir=course.coursedir(assignment_id=chapter, student_id=student),
        config=course.config,
    )
    converter.force = True
    _start(converter)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name to write under; takes the place of the file at the end, if all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def export(course: ClassFolder, to: Path, form: str = "plain") -> Path:
    """Write every grade of a class to a CSV file, in one of ``autograder.export.FORMATS``."""
    course.check_gradebook()
    with (
        _beside(to) as temporary,
        course.gradebook() as gradebook,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        FORMATS[form](lines(gradebook), file)
    return to


def replay(
    course: ClassFolder, chapter: str, student: str, seen: list[Evidence | None] | None = None
) -> list[Report]:
    """Judge a graded submission once more, with the inputs that it was judged with.

    The reports come in the notebook's order; no score is changed.  seen: takes up the evidence of
    each that ran, to compare with the record's.  Raises GradingError if there is nothing to replay.
    """
    run = load_run(course, student, chapter)
    path = course.path("autograded", student, chapter) / f"{chapter}.ipynb"
    if run is None or not path.is_file():
        raise GradingError(
            f'"{student}" has not been graded:'
            f" first, autograder grade {chapter} --student {student}"
        )
    if run.seed is None:
        raise GradingError(f"{student}: nothing was run, so nothing can be replayed: {run.reason}")
    if run.autograded != _file_hash(path):
        raise GradingError(
            f"{student}: {path} is not the one of the record, whose inputs would be used:"
            f" first, autograder grade {chapter} --student {student}"
        )
    notebook, _ = repair.read_file(path)
    execution = TrustedExecute(config=course.config)
    witnessed: dict[int, Evidence] = {}
    found = execute.run(
        notebook,
        execute.check_cells(notebook, chapter),
        run.seed,
        execution.limits,
        execution.isolate,
        witnessed,
    )
    if seen is not None:
        seen += [witnessed.get(index) for index in sorted(found)]
    return [found[index] for index in sorted(found)]
