"""Grade a class: what has to be graded again, the class table, feedback, export, replay.

The work on a submission is done by ``autograder.work``, by whom says ``autograder.crew``, and what
comes out is written by ``autograder.writer``.  Every submission ends with a score and a reason, and
none can stop the rest.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy
import sqlalchemy.exc
from nbgrader.api import (
    Assignment,
    Grade,
    Gradebook,
    MissingEntry,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.converters import BaseConverter, GenerateAssignment, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from sqlalchemy import select

from autograder import crew, execute, repair
from autograder.build import CONFIG, below, beside, digest, put
from autograder.evidence import Evidence
from autograder.execute import TrustedExecute
from autograder.export import FORMATS, lines
from autograder.folder import ClassFolder, GradingError, gradebook_error
from autograder.work import FAILED, Check, Run, Setting, house
from autograder.writer import PATTERN, Writer
from course import fixtures
from course.exercise import did_you_mean, find
from course.ladder import Report


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
            raise gradebook_error(converter.coursedir.db_url, database[-1]) from None
        raise _Refused(raised[-1] if raised else str(error)) from None
    except sqlalchemy.exc.OperationalError as error:
        raise gradebook_error(converter.coursedir.db_url, str(error.orig)) from None
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


def checks_key(course: ClassFolder, chapter: str) -> str:
    """Hash of all that decides a score but the submission: the checks, and the class's settings."""
    files = {
        **below(course.path("source", ".", chapter), "*"),
        CONFIG.name: course.root / CONFIG.name,
    }
    versions = (f"{name} {version}" for name, version in sorted(house().items()))
    return digest(files, *versions, "" if course.isolate else "not isolated")


def _key(course: ClassFolder, student: str, chapter: str, checks: str) -> str:
    """Hash of a submission and of the checks."""
    return digest(below(course.path("submitted", student, chapter), "*"), checks)


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


def _unchanged(course: ClassFolder, student: str, chapter: str, key: str) -> bool:
    """Whether a submission was graded as it is, by the checks as they are, and its notebook stands.

    What the gradebook says of it is another question.
    """
    run = load_run(course, student, chapter)
    if run is None or run.key != key or run.ending == FAILED:
        return False
    notebook = course.path("autograded", student, chapter) / f"{chapter}.ipynb"
    return run.autograded == _file_hash(notebook)


# A class.


def grade(
    course: ClassFolder,
    chapter: str,
    *,
    student: str | None = None,
    force: bool = False,
    jobs: int = 0,
    scheduler: str | None = None,
    done: Callable[[str, Run | None, int], None] = lambda student, run, total: None,
) -> list[Standing]:
    """Grade what has changed since last time, and return the standing of all.

    student: only this one; force: even if nothing has changed; jobs: processes at a time, 0
    for none but this one; scheduler: address of a dask scheduler, whose workers then do the work;
    done(student, run, total): called after each submission, with run None if it was unchanged.

    Raises GradingError: not released, no such student, a locked gradebook, no cluster.
    """
    course.check_gradebook()
    students = chosen(course, chapter, student)
    checks = checks_key(course, chapter)
    with Writer(course, chapter) as writer:
        scored = set() if force else _scored(writer.gradebook, chapter)
        same = {
            each
            for each in scored.intersection(students)
            if _unchanged(course, each, chapter, _key(course, each, chapter, checks))
        }
        for each in sorted(same):
            done(each, None, len(students))
        todo = [each for each in students if each not in same]
        if todo:
            setting = writer.setting()
            with _crew(setting, jobs, scheduler, len(todo)) as workers:
                tasks = (writer.task(each, _key(course, each, chapter, checks)) for each in todo)
                for result in crew.results(setting, tasks, workers):
                    done(result.student, writer.write(result), len(students))
    return standings(course, chapter, students, fresh=set(todo))


def _crew(setting: Setting, jobs: int, scheduler: str | None, most: int) -> crew.Crew:
    if scheduler is not None:
        return crew.Cluster(setting, scheduler)
    return crew.Pool(setting, min(jobs, most)) if jobs else crew.Here(setting)


def _scored(gradebook: Gradebook, chapter: str) -> set[str]:
    """The students whose submission has a score for every check in the gradebook."""
    scored: dict[str, bool] = defaultdict(lambda: True)
    for row in _grades(gradebook, chapter):
        scored[row.student] &= row.cell_type != "code" or row.auto_score is not None
    gradebook.db.rollback()  # nothing is to wait for this reader
    return {student for student, whole in scored.items() if whole}


def _grades(gradebook: Gradebook, chapter: str) -> sqlalchemy.Result[Any]:
    """All grades of a chapter, by student: one query, whatever the size of the class."""
    return gradebook.db.execute(
        select(
            Student.id.label("student"),
            Student.first_name,
            Student.last_name,
            Grade.cell_type,
            Grade.auto_score,
            Grade.manual_score,
            Grade.score,
            Grade.max_score,
        )
        .select_from(Grade)
        .join(SubmittedNotebook, SubmittedNotebook.id == Grade.notebook_id)
        .join(SubmittedAssignment, SubmittedAssignment.id == SubmittedNotebook.assignment_id)
        .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
        .join(Student, Student.id == SubmittedAssignment.student_id)
        .where(Assignment.name == chapter)
        .order_by(Student.id)
    )


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
    grades = defaultdict(list)
    with course.gradebook() as gradebook:
        for row in _grades(gradebook, chapter):
            grades[row.student].append(row)
    table = []
    for student in students:
        run = load_run(course, student, chapter)
        if run is None or student not in grades:
            continue  # a new gradebook knows nothing of an old run
        checks = [row for row in grades[student] if row.cell_type == "code"]
        written = [row for row in grades[student] if row.cell_type != "code"]
        unread = [row for row in written if row.manual_score is None and row.auto_score is None]
        person = grades[student][0]
        full = f"{person.first_name or ''} {person.last_name or ''}".strip()
        table.append(
            Standing(
                student=student,
                name=full or student,
                auto=sum(row.score for row in checks),
                auto_max=sum(row.max_score for row in checks),
                written=sum(row.score for row in written),
                written_max=sum(row.max_score for row in written),
                to_read=sum(row.max_score for row in unread),
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


def export(course: ClassFolder, to: Path, form: str = "plain") -> Path:
    """Write every grade of a class to a CSV file, in one of ``autograder.export.FORMATS``."""
    course.check_gradebook()
    with (
        beside(to) as temporary,
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
