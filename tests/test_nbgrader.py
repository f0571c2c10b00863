"""nbgrader's own commands and API do the whole work on the same class folder."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.apps.api import NbGraderAPI
from small_class import answered, hand_in, new_class, released, scores

from autograder import grading
from autograder.build import as_json, put_class, source_notebook
from autograder.grading import ClassFolder

# nbgrader adds a submission in an order that SQLAlchemy wonders at.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
PROGRAMS = Path(sys.executable).parent


def nbgrader(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [PROGRAMS / "nbgrader", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The whole chapter, released by nbgrader's command; one right submission, one untouched."""
    root = tmp_path_factory.mktemp("class")
    put_class(root, "bptt", as_json(source_notebook("bptt")))
    done = nbgrader("generate_assignment", "bptt", cwd=root)
    assert done.returncode == 0, done.stderr
    course = ClassFolder.open(root)
    hand_in(course, "right", answered(course, explain="It is necessary, not sufficient."))
    hand_in(course, "stub", released(course))
    return course


@pytest.fixture(scope="module")
def graded(course):
    done = nbgrader("autograde", "bptt", cwd=course.root)
    assert done.returncode == 0, done.stderr
    return course


def test_the_release_holds_no_answer(course):
    text = as_json(released(course))
    assert "BEGIN SOLUTION" not in text
    assert "carry" not in text


@pytest.mark.parametrize(
    ("student", "says"),
    [("right", "Success! Your notebook passes all the tests."), ("stub", "not attempted")],
)
def test_validate_says_what_the_check_says(course, student, says):
    folder = course.path("submitted", student, "bptt")
    done = nbgrader("validate", "bptt.ipynb", cwd=folder)
    assert says in done.stdout, done.stderr
    if student == "stub":
        assert "VALIDATION FAILED ON 15 CELL(S)" in done.stdout
        assert "CheckFailed: bptt.forward: not attempted" in done.stdout


def test_autograde_gives_full_marks_and_none(graded):
    right, stub = scores(graded, "right"), scores(graded, "stub")
    assert sum(auto or 0 for auto, _ in right.values()) == 30
    assert right["bptt-explain"] == (None, None)
    assert {auto for auto, _ in stub.values()} == {0}


def test_our_grade_goes_on_from_nbgrader_s(graded, monkeypatch):
    """What nbgrader graded is not yet known to have been graded by these checks."""
    ran = []
    monkeypatch.setattr(
        grading, "grade_one", lambda root, chapter, student, key: ran.append(student)
    )
    grading.grade(graded, "bptt")
    assert ran == ["right", "stub"]


def test_feedback_and_export(graded):
    done = nbgrader("generate_feedback", "bptt", cwd=graded.root)
    assert done.returncode == 0, done.stderr
    page = graded.path("feedback", "right", "bptt") / "bptt.html"
    assert "bptt.forward (exercise 3.1): right" in page.read_text()
    done = nbgrader("export", cwd=graded.root)
    assert done.returncode == 0, done.stderr
    with open(graded.root / "grades.csv", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert (float(rows["right"]["score"]), float(rows["stub"]["score"])) == (30, 0)
    assert float(rows["right"]["max_score"]) == 33
    ours = grading.export(graded, graded.root / "ours.csv")
    assert ours.read_text() == (graded.root / "grades.csv").read_text()


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A short class, and nbgrader's API on it: what formgrader calls."""
    course = new_class(tmp_path_factory.mktemp("api"))
    hand_in(course, "ada", answered(course, explain="It is necessary."))
    hand_in(course, "dan", "{")
    return course, NbGraderAPI(config=course.config)


def test_the_api_grades_what_our_command_grades(api):
    course, nbgrader_api = api
    for student in ("ada", "dan"):
        result = nbgrader_api.autograde("bptt", student)
        assert result["success"], result.get("error")
    theirs = {student: scores(course, student) for student in ("ada", "dan")}
    assert {auto for auto, _ in theirs["dan"].values()} == {0}, "a damaged notebook, too, is scored"
    grading.grade(course, "bptt", jobs=2)
    assert {student: scores(course, student) for student in ("ada", "dan")} == theirs
    rows = {row["student"]: row for row in nbgrader_api.get_submissions("bptt")}
    assert rows["ada"]["autograded"]
    assert rows["ada"]["needs_manual_grade"]
    assert rows["ada"]["code_score"] == 8
    assert rows["dan"]["autograded"]
    assert rows["dan"]["score"] == 0
    notebooks = nbgrader_api.get_notebook_submissions("bptt", "bptt")
    assert {each["student"] for each in notebooks} == {"ada", "dan"}
    result = nbgrader_api.generate_feedback("bptt", "ada")
    assert result["success"], result.get("error")


def test_a_tampered_notebook_is_repaired_by_nbgrader_s_own_autograde(api):
    course, nbgrader_api = api
    notebook = answered(course, forward="def forward(*_):\n    return 1, 2\n")
    notebook.cells = [c for c in notebook.cells if c.source != 'check("bptt.forward")']
    hand_in(course, "mal", notebook)
    assert nbgrader_api.autograde("bptt", "mal")["success"]
    assert scores(course, "mal")["test-bptt-forward"] == (0, None)
    path = course.path("autograded", "mal", "bptt") / "bptt.ipynb"
    assert "was deleted; it is back" in nbformat.read(path, as_version=4).cells[0].source
