"""The one writer: of graded notebooks, of the gradebook, and of the records of runs."""

from __future__ import annotations

import dataclasses
import datetime
import glob
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import sqlalchemy
import sqlalchemy.exc
from nbgrader.api import (
    Comment,
    Grade,
    GradeCell,
    MissingEntry,
    SolutionCell,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
    new_uuid,
)
from nbgrader.converters import Autograde
from nbgrader.preprocessors import AssignLatePenalties
from nbgrader.utils import parse_utc
from sqlalchemy import Boolean, bindparam, func, insert, or_, select, update
from traitlets.utils.importstring import import_item

from autograder import repair, work
from autograder.build import put
from autograder.folder import ClassFolder, GradingError, gradebook_error
from autograder.work import FAILED, GRADED, MISSING, Result, Run, Setting, Task

PATIENCE = 60.0
"""Seconds that the writer waits for another program that is writing to SQLite."""

PATTERN = "nbgrader can't tell * ? [ in a folder's name from a pattern: rename it"

GRADES, COMMENTS = Grade.__table__, Comment.__table__
UNSCORED = or_(GRADES.c.manual_score.is_not(None), bindparam("unscored", type_=Boolean))
"""nbgrader's rule for what a person has to look at.  The database applies it, so that a score
that formgrader enters at the same moment is not overlooked."""

SAVE_GRADE = (
    update(GRADES)
    .where(GRADES.c.notebook_id == bindparam("of"), GRADES.c.cell_id == bindparam("cell"))
    .values(auto_score=bindparam("auto"), needs_manual_grade=UNSCORED)
)
SAVE_COMMENT = (
    update(COMMENTS)
    .where(COMMENTS.c.notebook_id == bindparam("of"), COMMENTS.c.cell_id == bindparam("cell"))
    .values(auto_comment=bindparam("auto"))
)


class Writer:
    """Writes the results of a class's chapter, one commit a submission, through one connection.

    Each submission is written in an order that lets the next run put right whatever an end in
    the middle leaves behind:

    1. its record is removed.  Without one, the submission counts as never graded, and the next
       run grades it again, so all that follows may be cut short anywhere;
    2. the graded notebook takes the place of the old one;
    3. the gradebook is changed, in one transaction.  After the notebook, so that a score never
       stands without the notebook that shows how it came about; and all at once, so that
       nobody ever sees old and new scores side by side;
    4. the record is written.  Last, because it says that the other two belong together: it holds
       the hash of the notebook and the key of submission and checks.

    Writing the same result twice changes nothing.
    """

    def __init__(self, course: ClassFolder, chapter: str) -> None:
        """Open the gradebook; raises GradingError if the chapter can't be graded."""
        self.course, self.chapter = course, chapter
        self._converter = Autograde(
            coursedir=course.coursedir(assignment_id=chapter),
            config=course.config,
            log=logging.Logger("autograder.writer", logging.CRITICAL),
        )
        self.gradebook = course.gradebook(PATIENCE)
        try:
            self._learn()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the gradebook."""
        self.gradebook.close()

    def _learn(self) -> None:
        """Look up, once, what all submissions share."""
        chapter, course = self.chapter, self.course
        source = course.path("source", ".", chapter) / f"{chapter}.ipynb"
        try:
            self._known = repair.known_notebook(self.gradebook, chapter, chapter, source)
        except MissingEntry:
            raise GradingError(
                f"{chapter} has not been released in {course.root}: first, in that folder:"
                f" nbgrader generate_assignment {chapter}"
            ) from None
        assignment = self.gradebook.find_assignment(chapter)
        if len(assignment.notebooks) > 1:
            names = ", ".join(sorted(f"{each.name}.ipynb" for each in assignment.notebooks))
            raise GradingError(
                f"{chapter} has more than one notebook ({names}): nbgrader autograde grades such"
            )
        (notebook,) = assignment.notebooks
        self._assignment, self._notebook = assignment.id, notebook.id
        self._due = assignment.duedate
        cells = {
            kind: {each.name: each.id for each in notebook._base_cells if isinstance(each, kind)}
            for kind in (GradeCell, SolutionCell, TaskCell)
        }
        self._graded, self._tasks = cells[GradeCell], cells[TaskCell]
        self._commented = {**cells[SolutionCell], **self._tasks}
        self._late = self._late_penalties()
        self.gradebook.db.rollback()

    def _late_penalties(self) -> AssignLatePenalties | None:
        """The class's step that gives late penalties, if it has one."""
        steps = (
            import_item(step) if isinstance(step, str) else step
            for step in self._converter.autograde_preprocessors
            if step is AssignLatePenalties or str(step).endswith(".AssignLatePenalties")
        )
        for step in steps:
            late = step(parent=self._converter)
            if late.enabled:
                return late
        return None

    # What is to be done.

    def setting(self) -> Setting:
        """What workers need to know of the class; raises GradingError if it can't be sent."""
        config = work.for_workers(self.course.config)
        return Setting(self.chapter, config, self._known, work.house(), self.course.isolate)

    def task(self, student: str, key: str) -> Task:
        """A submission, read from its folder."""
        path = self.course.path("submitted", student, self.chapter) / f"{self.chapter}.ipynb"
        self._hook(student, "pre")
        linked = repair.is_linked(path)
        notebook = repair.beginning(path) if path.is_file() and not linked else None
        ending, reason = GRADED, ""
        if glob.has_magic(str(path)):
            ending, reason = FAILED, PATTERN
        elif linked:
            ending, reason = MISSING, f"{path.name} {repair.LINKED}"
        elif notebook is None:
            others = sorted(each.name for each in path.parent.glob("*.ipynb") if each.is_file())
            ending = MISSING
            reason = f"{path.name} was not handed in" + (
                f" (but {', '.join(others)} was)"
                if others
                else " (but a folder of that name was)"
                if path.is_dir()
                else ""
            )
        else:
            try:
                self.course.timestamp(student, self.chapter)
            except ValueError as error:
                ending, reason = FAILED, str(error)
        return Task(student, key, notebook, ending, reason)

    def _hook(self, student: str, when: str) -> None:
        """Run nbgrader's hook, if the class has set one."""
        if getattr(self._converter, f"{when}_convert_hook"):
            path = self.course.path("submitted", student, self.chapter) / f"{self.chapter}.ipynb"
            self._converter.coursedir.student_id = student
            self._converter.notebooks = [str(path)]
            getattr(self._converter, f"run_{when}_convert_hook")()

    # What was done.

    def write(self, result: Result) -> Run:
        """Write one submission's result; raises GradingError if the gradebook is locked."""
        student, run = result.student, result.run
        record = self.course.record(student, self.chapter)
        record.unlink(missing_ok=True)
        self._put_notebook(result)
        try:
            self._save(result)
            self.gradebook.db.commit()
        except sqlalchemy.exc.OperationalError as error:
            self.gradebook.db.rollback()
            url = sqlalchemy.engine.make_url(self.course.coursedir().db_url)
            raise gradebook_error(url.render_as_string(), str(error.orig)) from None
        except BaseException:
            self.gradebook.db.rollback()
            raise
        put(record, json.dumps(dataclasses.asdict(run), indent=1) + "\n")
        self._hook(student, "post")
        return run

    def _put_notebook(self, result: Result) -> None:
        """Put the graded notebook, and the files beside it, in the place of the old ones.

        Each file is replaced in one step, and none of the old ones stays.
        """
        folder = self.course.path("autograded", result.student, self.chapter)
        beside = self._beside(result.student)
        wanted = {folder / name for name in (*beside, f"{self.chapter}.ipynb")}
        for path in wanted:
            _make_room(path, folder)
        for name, source in beside.items():
            put(folder / name, source.read_bytes())
        put(folder / f"{self.chapter}.ipynb", result.notebook)
        for path in folder.rglob("*"):
            if path not in wanted and not path.is_dir():
                path.unlink()
        self._converter.set_permissions(self.chapter, result.student)

    def _beside(self, student: str) -> dict[str, Path]:
        """The files that belong beside the notebook: the student's, and over them the class's.

        A student's file that stands where the class has a folder, or the other way round, is left
        out; so are links, which could lead to any file of the machine.
        """
        converter = self._converter
        ignored = [*converter.coursedir.ignore, "*.ipynb"]
        folder = self.course.path("source", ".", self.chapter)
        kept = set(converter.exclude_overwriting.get(self.chapter, []))
        ours = {name: path for name, path in _files(folder, ignored) if name not in kept}
        folders = {parent.as_posix() for name in ours for parent in PurePosixPath(name).parents}
        folder = self.course.path("submitted", student, self.chapter)
        theirs = {
            name: path
            for name, path in _files(folder, ignored)
            if not folder.is_symlink()
            and name not in folders
            and not path.is_symlink()
            and ours.keys().isdisjoint(parent.as_posix() for parent in PurePosixPath(name).parents)
        }
        return {**theirs, **ours}

    def _save(self, result: Result) -> None:
        """Change the gradebook as nbgrader's SaveAutoGrades and AssignLatePenalties do."""
        db = self.gradebook.db
        if db.connection().dialect.name == "sqlite":
            # Wait for the right to write now, not in the middle, where SQLite may refuse at once.
            db.connection().exec_driver_sql("BEGIN IMMEDIATE")
        notebook, seconds_late = self._submission(result.student)
        self._save_grades(notebook, result.scores)
        self._save_comments(notebook, result.comments)
        if self._late is not None:
            penalty = self._penalty(result.student, notebook, seconds_late)
            db.execute(
                update(SubmittedNotebook.__table__)
                .where(SubmittedNotebook.__table__.c.id == notebook)
                .values(late_submission_penalty=penalty)
            )

    def _submission(self, student: str) -> tuple[str, float]:
        """The id of a student's notebook, which is made if need be, and how late it is."""
        db = self.gradebook.db
        row = db.execute(
            select(
                SubmittedAssignment.id,
                SubmittedNotebook.id,
                SubmittedAssignment.timestamp,
                SubmittedAssignment.extension,
            )
            .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
            .where(
                SubmittedAssignment.assignment_id == self._assignment,
                SubmittedAssignment.student_id == student,
                SubmittedNotebook.notebook_id == self._notebook,
            )
        ).first()
        try:
            when = parse_utc(self.course.timestamp(student, self.chapter))
        except ValueError:
            when = None
        if row is None:
            return self._new_submission(student, when), self._seconds_late(when, None)
        submission, notebook, before, extension = row
        if when and when != before:
            rows = SubmittedAssignment.__table__
            db.execute(update(rows).where(rows.c.id == submission).values(timestamp=when))
        return notebook, self._seconds_late(when or before, extension)

    def _new_submission(self, student: str, when: datetime.datetime | None) -> str:
        db = self.gradebook.db
        if not db.scalar(select(Student.id).where(Student.id == student)):
            db.execute(insert(Student.__table__).values(id=student))
        submission, notebook = new_uuid(), new_uuid()
        of = {"assignment_id": self._assignment, "student_id": student, "timestamp": when}
        db.execute(insert(SubmittedAssignment.__table__).values(id=submission, **of))
        of = {"assignment_id": submission, "notebook_id": self._notebook}
        db.execute(insert(SubmittedNotebook.__table__).values(id=notebook, **of))
        return notebook

    def _seconds_late(
        self, when: datetime.datetime | None, extension: datetime.timedelta | None
    ) -> float:
        if when is None or self._due is None:
            return 0.0
        return (when - self._due - (extension or datetime.timedelta())).total_seconds()

    def _save_grades(self, notebook: str, scores: Mapping[str, float | None]) -> None:
        """Save automatic scores.  No old one stays, even where the notebook has lost the cell."""
        db = self.gradebook.db
        there = set(db.scalars(select(GRADES.c.cell_id).where(GRADES.c.notebook_id == notebook)))
        old, new = [], []
        for name, cell in self._graded.items():
            auto = scores.get(name)
            if cell in there:
                of = {"of": notebook, "cell": cell}
                old.append({**of, "auto": auto, "unscored": auto is None})
            else:
                new.append((cell, auto))
        new += [(cell, None) for cell in self._tasks.values() if cell not in there]
        if old:
            db.execute(SAVE_GRADE, old, execution_options={"synchronize_session": False})
        if new:
            rows = [
                {
                    "id": new_uuid(),
                    "cell_id": cell,
                    "notebook_id": notebook,
                    "auto_score": auto,
                    "needs_manual_grade": auto is None,
                }
                for cell, auto in new
            ]
            db.execute(insert(GRADES), rows)

    def _save_comments(self, notebook: str, comments: Mapping[str, str | None]) -> None:
        db = self.gradebook.db
        rows = select(COMMENTS.c.cell_id).where(COMMENTS.c.notebook_id == notebook)
        there = set(db.scalars(rows))
        old = [
            {"of": notebook, "cell": cell, "auto": comments[name]}
            for name, cell in self._commented.items()
            if cell in there and name in comments
        ]
        new = [
            {
                "id": new_uuid(),
                "cell_id": cell,
                "notebook_id": notebook,
                "auto_comment": comments.get(name),
            }
            for name, cell in self._commented.items()
            if cell not in there
        ]
        if old:
            db.execute(SAVE_COMMENT, old, execution_options={"synchronize_session": False})
        if new:
            db.execute(insert(COMMENTS), new)

    def _penalty(self, student: str, notebook: str, seconds_late: float) -> float | None:
        """What nbgrader's step and the class's plugin take off for lateness."""
        if seconds_late <= 0:
            return None
        late = self._late
        assert late is not None  # asked only where the class has penalties
        score = self.gradebook.db.scalar(
            select(func.coalesce(func.sum(Grade.score), 0.0)).where(Grade.notebook_id == notebook)
        )
        late.student_id, late.assignment_id, late.notebook_id = student, self.chapter, self.chapter
        late.gradebook, late.db_url = self.gradebook, self.course.coursedir().db_url
        try:
            late.init_plugin()
            penalty = late.plugin_inst.late_submission_penalty(student, score, seconds_late)
        except Exception as error:  # the plugin is the class's own code
            raise GradingError(
                f"{late.plugin_class.__name__}, which gives late penalties, failed for {student}"
                f" ({type(error).__name__}: {error}): correct it, then again"
            ) from None
        return (
            None
            if penalty is None
            else late._check_late_penalty(SimpleNamespace(score=score), penalty)
        )


def _files(folder: Path, ignored: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The files below a folder with their names from there, but for what nbgrader ignores.

    nbgrader's own search takes a time that grows as the square of the number of files.
    """
    for where, folders, names in os.walk(folder):
        left_out = {
            path for pattern in ignored for path in glob.glob(f"{glob.escape(where)}/{pattern}")
        }
        folders[:] = [name for name in folders if f"{where}/{name}" not in left_out]
        for name in names:
            path = Path(where, name)
            if str(path) not in left_out and path.is_file():
                yield path.relative_to(folder).as_posix(), path


def _make_room(path: Path, below: Path) -> None:
    """Remove what an earlier submission left in the way of a file: a folder, or a file above it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    for parent in path.relative_to(below).parents:
        if (below / parent).is_symlink() or (below / parent).is_file():
            (below / parent).unlink()
