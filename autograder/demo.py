"""A class to look at: invented students whose notebooks show what a grader meets.

Each student starts from the released notebook and fills in cells, as one does: with the answers,
or with code from ``students/``.  Names are invented.
"""

from __future__ import annotations

import ast
import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.build import BEGIN, CONFIG, END, as_json, put, put_class, source_notebook
from autograder.folder import ClassFolder, GradingError
from autograder.grading import release
from autograder.work import DAMAGED, GRADED, STOPPED
from course.exercise import chapter

CHAPTER = "bptt"
STUDENTS = Path(__file__).parent / "students"
MARK = ".demo-class"
"""A file that says that everything in the folder was made here and may be made again."""

ALL = tuple(exercise.symbol for exercise in chapter(CHAPTER).exercises)


@dataclass(frozen=True)
class Student:
    """An invented student.

    answers: the exercises with the reference's answer; file: of ``students/``, whose functions
    then take their cells; written: the answer to the question; spoil: what else happened to the
    notebook, which may also turn it into a text that is none.  points, ending and slips are what
    grading must find.
    """

    id: str
    first: str
    last: str
    points: float
    answers: tuple[str, ...] = ALL
    file: str | None = None
    written: str | None = None
    spoil: Callable[[NotebookNode], str | None] | None = None
    ending: str = GRADED
    slips: tuple[str, ...] = ()


def _cell(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    return next(
        cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    )


def _endless_cell(notebook: NotebookNode) -> None:
    cell = _cell(notebook, f"{CHAPTER}-truncated")
    cell.source = f"error = 1.0\nwhile error > 1e-3:\n    error = abs(error)\n\n\n{cell.source}"


def _lost_colon(notebook: NotebookNode) -> None:
    cell = _cell(notebook, f"{CHAPTER}-clip")
    cell.source = cell.source.replace("def clip(grads, max_norm):", "def clip(grads, max_norm)")


def _tampered(notebook: NotebookNode) -> None:
    notebook.cells.remove(_cell(notebook, f"test-{CHAPTER}-grad_h"))
    notebook.cells.remove(_cell(notebook, f"test-{CHAPTER}-clip"))
    _cell(notebook, f"test-{CHAPTER}-forward").metadata.nbgrader.points = 100
    test = _cell(notebook, f"test-{CHAPTER}-truncated")
    test.source = "print('all right')"
    test.metadata.tags = ["skip-execution"]
    twice = copy.deepcopy(_cell(notebook, f"test-{CHAPTER}-loss"))
    twice.id = "twice"
    notebook.cells.append(twice)


def _cut_off(notebook: NotebookNode) -> str:
    text = as_json(notebook)
    return text[: 2 * len(text) // 3]


GOOD = """\
Necessary, not sufficient. By (3.24) the product of n Jacobians is at most (gamma * sigma)^n with
gamma = max(1 - h^2) <= 1, so with sigma <= 1 it can't grow. With sigma = 1.3 it *may* grow: but
tanh' makes each factor smaller when units saturate, and W need not hit its worst direction each
time. I would run the network on the data and plot log ||dh(T)/dh(t)|| from (3.23) against T - t:
a rising line explodes, a falling one vanishes."""

HALF = """\
It is necessary because otherwise the bound (3.24) shrinks. It is not sufficient since tanh' is
less than one. To be sure one should train it and see."""

SHORT = "If the singular value is bigger than 1 then it explodes, that is what the theorem says."

MARKUP = "It depends on **tanh'** & on <i>the data</i>: a norm > 1 is necessary by (3.24), no more."

CLASS = (
    Student("aylin-demir", "Aylin", "Demir", 30, written=GOOD),
    Student("bruno-castellani", "Bruno", "Castellani", 30, file="another_style", written=HALF),
    Student("chidi-eze", "Chidi", "Eze", 30, file="single_precision", written=GOOD),
    Student("dagny-solberg", "Dagny", "Solberg", 30, file="noisy", written=MARKUP),
    Student("emil-novotny", "Emil", "Novotný", 0, answers=()),
    Student(
        "farah-haddad",
        "Farah",
        "Haddad",
        14,
        answers=("forward", "loss", "grad_o", "grad_h"),
        file="half_done",
        written=SHORT,
    ),
    Student(
        "goran-petrovic",
        "Goran",
        "Petrović",
        21,
        file="libraries_habits",
        written=HALF,
        slips=("loss_unmasked", "grad_o_batch_mean", "clip_by_value"),
    ),
    Student(
        "hana-sato",
        "Hana",
        "Sato",
        13,
        file="dropped_terms",
        written=SHORT,
        slips=(
            "grad_h_immediate",
            "params_no_initial_state",
            "truncated_early",
            "rtrl_immediate",
            "torch_immediate",
        ),
    ),
    Student(
        "isabel-ferraz",
        "Isabel",
        "Ferraz",
        17,
        file="transposed",
        slips=("forward_transposed", "grad_h_no_slope", "params_late_state", "clip_each"),
    ),
    Student(
        "jakob-lindqvist",
        "Jakob",
        "Lindqvist",
        27,
        file="endless_function",
        written=HALF,
        ending=STOPPED,
    ),
    Student(
        "keira-brennan",
        "Keira",
        "Brennan",
        27,
        spoil=_endless_cell,
        written=GOOD,
        ending=STOPPED,
    ),
    Student("luca-moretti", "Luca", "Moretti", 25, spoil=_lost_colon, written=HALF),
    Student(
        "mina-rahimi",
        "Mina",
        "Rahimi",
        23,
        file="no_slope",
        spoil=_tampered,
        slips=("grad_h_no_slope",),
    ),
    Student("noah-okonkwo", "Noah", "Okonkwo", 0, spoil=_cut_off, ending=DAMAGED),
)


def answers() -> dict[str, str]:
    """The reference's answers by grade_id, as a student would have written them."""
    found = {}
    for cell in source_notebook(CHAPTER).cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("solution") and cell.cell_type == "code":
            lines = cell.source.splitlines()
            found[marks["grade_id"]] = "\n".join(
                line for line in lines if line.strip() not in (BEGIN, END)
            )
    return found


def written_by(file: str) -> dict[str, str]:
    """The functions and classes of a file of ``students/``, by grade_id."""
    text = (STUDENTS / f"{file}.py").read_text(encoding="utf-8")
    return {
        f"{CHAPTER}-{node.name}": ast.get_source_segment(text, node) or ""
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def notebook_of(student: Student, released: NotebookNode, right: dict[str, str]) -> str:
    """What a student hands in."""
    notebook = copy.deepcopy(released)
    code = {f"{CHAPTER}-{name}": right[f"{CHAPTER}-{name}"] for name in student.answers}
    if student.file:
        code |= written_by(student.file)
        if "warnings." in "".join(code.values()):
            notebook.cells[1].source += "\nimport warnings"
    for grade_id, source in code.items():
        _cell(notebook, grade_id).source = source
    if student.written:
        _cell(notebook, f"{CHAPTER}-explain").source = student.written
    text = student.spoil(notebook) if student.spoil else None
    return as_json(notebook) if text is None else text


def make(root: Path) -> ClassFolder:
    """Make the class, or bring it up to date: source, release, and what each student hands in.

    Raises GradingError if the folder holds something else.
    """
    if root.exists() and any(root.iterdir()) and not (root / MARK).exists():
        raise GradingError(f"{root} is not a demo class: name an empty or a new folder")
    source = as_json(source_notebook(CHAPTER))
    path = root / "source" / CHAPTER / f"{CHAPTER}.ipynb"
    if path.exists() and path.read_text(encoding="utf-8") != source:
        shutil.rmtree(root)  # nbgrader keeps a gradebook from following changes of the source
    put(root / MARK, "")
    put(root / CONFIG.name, CONFIG.read_bytes())
    put_class(root, CHAPTER, source)
    course = ClassFolder.open(root)
    released = course.path("release", ".", CHAPTER) / f"{CHAPTER}.ipynb"
    if not released.exists():
        release(course, CHAPTER)
    with course.gradebook() as gradebook:
        known = {student.id for student in gradebook.students}
        for each in CLASS:
            if each.id not in known:
                gradebook.add_student(each.id, first_name=each.first, last_name=each.last)
    notebook, right = nbformat.read(released, as_version=4), answers()
    for each in CLASS:
        handed_in = course.path("submitted", each.id, CHAPTER) / f"{CHAPTER}.ipynb"
        put(handed_in, notebook_of(each, notebook, right))
    return course
