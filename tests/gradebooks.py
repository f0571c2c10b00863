"""What a gradebook holds, as rows that can be compared with another one's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autograder.grading import ClassFolder


def tables(course: ClassFolder, chapter: str = "bptt") -> dict[str, list[tuple[Any, ...]]]:
    """Every row that a submission has in the gradebook, but for the ids, in one order."""
    with course.gradebook() as gradebook:
        submissions = gradebook.assignment_submissions(chapter)
        notebooks = [(each, n) for each in submissions for n in each.notebooks]
        found = {
            "student": [
                (s.id, s.first_name, s.last_name, s.email, s.lms_user_id)
                for s in gradebook.students
            ],
            "submitted_assignment": [
                (s.student_id, s.timestamp, s.extension, s.score, s.max_score, s.needs_manual_grade)
                for s in submissions
            ],
            "submitted_notebook": [
                (s.student_id, n.name, n.flagged, n.late_submission_penalty, n.score)
                for s, n in notebooks
            ],
            "grade": [
                (
                    *(s.student_id, n.name, g.name, g.cell.type, g.cell_type),
                    *(g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade),
                    *(g.score, g.max_score, g.failed_tests),
                )
                for s, n in notebooks
                for g in n.grades
            ],
            "comment": [
                (s.student_id, n.name, c.name, c.cell.type, c.auto_comment, c.manual_comment)
                for s, n in notebooks
                for c in n.comments
            ],
        }
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def plugin(root: Path, name: str, penalty: str) -> str:
    """Give a class a late plugin of its own; returns what to add to its configuration."""
    (root / f"{name}.py").write_text(
        "import math\n"
        "from nbgrader.plugins import BasePlugin\n\n\n"
        "class Late(BasePlugin):\n"
        "    def late_submission_penalty(self, student_id, score, total_seconds_late):\n"
        f"        return {penalty}\n"
    )
    return (
        "import sys\n"
        "sys.path.insert(0, str(Path(__file__).resolve().parent))\n"
        f'c.AssignLatePenalties.plugin_class = "{name}.Late"\n'
    )
