"""A class with a short notebook: two exercises and the question, no torch, quick to run."""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder import demo
from autograder.build import as_json, put, put_class, source_notebook
from autograder.grading import ClassFolder, release

IMPATIENT = """
c.TrustedExecute.cell_seconds = 5.0
c.TrustedExecute.call_seconds = 3.0
"""
"""For a class's configuration: what never ends need not be waited for as long as in a real class.
Both are processor time, of which no honest cell of chapter 3 takes a second."""

KEPT = ("bptt-forward", "bptt-grad_params", "bptt-explain")


def short_source() -> NotebookNode:
    notebook = source_notebook("bptt")

    def belongs(cell: NotebookNode) -> bool:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        return name.removeprefix("test-").removeprefix("ask-").startswith(KEPT)

    first = [cell for cell in notebook.cells if "from course import" in cell.source]
    notebook.cells = [*first, *filter(belongs, notebook.cells)]
    return notebook


def new_class(root: Path) -> ClassFolder:
    """A released class without submissions."""
    put_class(root, "bptt", as_json(short_source()))
    course = ClassFolder.open(root)
    release(course, "bptt")
    return course


def released(course: ClassFolder) -> NotebookNode:
    path = course.path("release", ".", "bptt") / "bptt.ipynb"
    return nbformat.read(path, as_version=4)


def cell_of(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    return next(
        cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    )


def answered(course: ClassFolder, **changes: str) -> NotebookNode:
    """The released notebook with the right answers, or with these, by function name."""
    notebook = copy.deepcopy(released(course))
    right = demo.answers()
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in right:
            cell.source = right[name]
        if name.removeprefix("bptt-") in changes:
            cell.source = changes[name.removeprefix("bptt-")]
    return notebook


def hand_in(course: ClassFolder, student: str, notebook: NotebookNode | str) -> None:
    text = notebook if isinstance(notebook, str) else as_json(notebook)
    put(course.path("submitted", student, "bptt") / "bptt.ipynb", text)


def scores(course: ClassFolder, student: str) -> dict[str, tuple[float | None, float | None]]:
    """Automatic and manual score by cell."""
    with course.gradebook() as gradebook:
        submission = gradebook.find_submission_notebook("bptt", "bptt", student)
        return {grade.name: (grade.auto_score, grade.manual_score) for grade in submission.grades}
