"""Grades as CSV, for a spreadsheet, Canvas or Moodle: one query, whatever the size."""

from __future__ import annotations

import csv
import datetime
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TextIO

from nbgrader.api import (
    Assignment,
    Grade,
    Gradebook,
    GradeCell,
    Notebook,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
)
from sqlalchemy import func, select, true

FORMULA = ("=", "+", "-", "@")
"""What a text begins with that a spreadsheet computes."""


@dataclass(frozen=True)
class Line:
    """One student and one assignment.  Points; raw_score is what was earned, before lateness."""

    student: str
    last_name: str
    first_name: str
    email: str
    lms_id: str
    assignment: str
    due: datetime.datetime | None
    submitted: datetime.datetime | None
    raw_score: float
    penalty: float
    max_score: float

    @property
    def score(self) -> float:
        """What counts: never below zero, however late."""
        return max(0.0, self.raw_score - self.penalty)


def lines(gradebook: Gradebook) -> Iterator[Line]:
    """Every student with every assignment, by student; zero where nothing was handed in.

    One query: the score of a cell is the manual one where there is one, as nbgrader has it.
    """
    highest = [
        select(Notebook.assignment_id, func.sum(kind.max_score).label("points"))
        .join(kind, kind.notebook_id == Notebook.id)
        .group_by(Notebook.assignment_id)
        .subquery()
        for kind in (GradeCell, TaskCell)
    ]
    earned = (
        select(SubmittedNotebook.assignment_id, func.sum(Grade.score).label("points"))
        .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
        .group_by(SubmittedNotebook.assignment_id)
        .subquery()
    )
    late = (
        select(
            SubmittedNotebook.assignment_id,
            func.sum(SubmittedNotebook.late_submission_penalty).label("points"),
        )
        .group_by(SubmittedNotebook.assignment_id)
        .subquery()
    )
    query = (
        select(
            Student.id,
            Student.last_name,
            Student.first_name,
            Student.email,
            Student.lms_user_id,
            Assignment.name,
            Assignment.duedate,
            SubmittedAssignment.timestamp,
            func.coalesce(earned.c.points, 0.0),
            func.coalesce(late.c.points, 0.0),
            func.coalesce(highest[0].c.points, 0.0) + func.coalesce(highest[1].c.points, 0.0),
        )
        .select_from(Student)
        .join(Assignment, true())
        .outerjoin(
            SubmittedAssignment,
            (SubmittedAssignment.student_id == Student.id)
            & (SubmittedAssignment.assignment_id == Assignment.id),
        )
        .outerjoin(earned, earned.c.assignment_id == SubmittedAssignment.id)
        .outerjoin(late, late.c.assignment_id == SubmittedAssignment.id)
        .outerjoin(highest[0], highest[0].c.assignment_id == Assignment.id)
        .outerjoin(highest[1], highest[1].c.assignment_id == Assignment.id)
        .order_by(Student.id, Assignment.name)
    )
    for row in gradebook.db.execute(query):
        texts: list[Any] = ["" if value is None else value for value in row[1:5]]
        yield Line(row[0], *texts, *row[5:])


class _Sheet:
    """Writes rows, none of whose texts a spreadsheet takes for a formula.

    Names and addresses come from where students may choose them: ``=HYPERLINK(...)`` as a last
    name would run when the file is opened.  An apostrophe before it makes it text.
    """

    def __init__(self, file: TextIO) -> None:
        self._out = csv.writer(file, lineterminator="\n")

    def writerow(self, cells: Iterable[Any]) -> None:
        """Write one row; numbers stay numbers."""
        self._out.writerow(_harmless(cell) if isinstance(cell, str) else cell for cell in cells)


def _harmless(text: str) -> str:
    """A text on one line, for a line of its own could begin with a formula again."""
    text = re.sub(r"[\t\r\n]+", " ", text).strip() if re.search(r"[\t\r\n]", text) else text
    return f"'{text}" if text.startswith(FORMULA) else text


def plain(found: Iterable[Line], file: TextIO) -> None:
    """nbgrader's own columns, one line a student and assignment."""
    out = _Sheet(file)
    out.writerow(
        [
            "assignment",
            "duedate",
            "timestamp",
            "student_id",
            "last_name",
            "first_name",
            "email",
            "raw_score",
            "late_submission_penalty",
            "score",
            "max_score",
        ]
    )
    for line in found:
        out.writerow(
            [
                line.assignment,
                line.due or "",
                line.submitted or "",
                line.student,
                line.last_name,
                line.first_name,
                line.email,
                line.raw_score,
                line.penalty,
                line.score,
                line.max_score,
            ]
        )


def canvas(found: Iterable[Line], file: TextIO) -> None:
    """Canvas's gradebook import: a column an assignment, a second row with the points possible."""
    table = _by_student(found)
    out = _Sheet(file)
    first = table[0] if table else []
    heads = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    out.writerow([*heads, *(line.assignment for line in first)])
    out.writerow(["    Points Possible", "", "", "", "", *(line.max_score for line in first)])
    for row in table:
        person = row[0]
        name = ", ".join(part for part in (person.last_name, person.first_name) if part)
        ids = [person.lms_id, "", person.student, ""]
        out.writerow([name or person.student, *ids, *(line.score for line in row)])


def moodle(found: Iterable[Line], file: TextIO) -> None:
    """Moodle's grade import: users by username, a column an assignment."""
    table = _by_student(found)
    out = _Sheet(file)
    first = table[0] if table else []
    out.writerow(
        ["username", "firstname", "lastname", "email", *(line.assignment for line in first)]
    )
    for row in table:
        person = row[0]
        names = [person.student, person.first_name, person.last_name, person.email]
        out.writerow([*names, *(line.score for line in row)])


def _by_student(found: Iterable[Line]) -> list[list[Line]]:
    return [list(group) for _, group in groupby(found, key=lambda line: line.student)]


FORMATS: dict[str, Callable[[Iterable[Line], TextIO], None]] = {
    "plain": plain,
    "canvas": canvas,
    "moodle": moodle,
}
