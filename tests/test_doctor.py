"""What the grader promises of the machine, and how it says so where the promise can't be kept."""

from __future__ import annotations

import csv

import pytest
from small_class import answered, hand_in, new_class
from typer.testing import CliRunner

from autograder import cli, doctor, export, grading, work
from autograder.sandbox import client


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = new_class(tmp_path_factory.mktemp("class"))
    hand_in(course, "ada", answered(course))
    hand_in(course, "ben", answered(course, forward="def forward(*args):\n    return 1, 2"))
    grading.grade(course, "bptt")
    return course


def test_this_machine_holds_a_submission_in():
    trials = list(doctor.examine())
    assert {trial.name for trial in trials} >= {"network", "memory", "fork bomb", "the course"}
    assert [trial for trial in trials if not trial.held and trial.name not in doctor.OPTIONAL] == []


def test_the_doctor_says_what_escaped(monkeypatch):
    escaped = doctor.Trial("network", False, "it reached a server on this machine")
    monkeypatch.setattr(doctor, "examine", lambda: [escaped])
    done = CliRunner().invoke(cli.app, ["doctor"])
    assert done.exit_code == 1
    assert "does not hold a submission in: network" in done.output


def test_a_replay_gives_the_same_points_every_time(course):
    for student, points in {"ada": 8, "ben": 5}.items():
        run = grading.load_run(course, student, "bptt")
        assert run.seed is not None
        for _ in range(5):
            reports = grading.replay(course, "bptt", student)
            assert sum(report.points for report in reports) == points
    done = CliRunner().invoke(cli.app, ["replay", "ben", "bptt", "--course-dir", str(course.root)])
    assert done.exit_code == 0
    assert "✗ bptt.forward (exercise 3.1): wrong" in done.output
    assert f"5 of 8 points, with the inputs of seed {run.seed}" in done.output


def test_two_runs_draw_different_inputs(course):
    before = grading.load_run(course, "ada", "bptt").seed
    grading.grade(course, "bptt", student="ada", force=True)
    assert grading.load_run(course, "ada", "bptt").seed != before


def test_nothing_to_replay_is_said(course):
    with pytest.raises(grading.GradingError, match="first, autograder grade bptt --student zoe"):
        grading.replay(course, "bptt", "zoe")


def test_without_isolation_nothing_is_graded_unless_asked(course, monkeypatch, tmp_path):
    """No silent fallback: a machine without namespaces scores nobody."""
    refused = client.NotIsolatedError("this machine does not give the isolation: unshare")

    def refuse(self, files=None, limits=None):
        if self.isolate:
            raise refused
        return real(self, files, limits)

    real = client.Zygote.submission
    monkeypatch.setattr(client.Zygote, "submission", refuse)
    (row,) = grading.grade(course, "bptt", student="ada", force=True)
    assert row.run.ending == work.FAILED
    assert "does not give the isolation" in row.run.reason

    open_course = grading.ClassFolder.open(course.root, isolate=False)
    (row,) = grading.grade(open_course, "bptt", student="ada")
    assert (row.auto, row.run.isolated) == (8, False)
    from autograder.class_report import page
    from course.exercise import chapter

    assert "Not isolated." in page(chapter("bptt"), [row], {})
    monkeypatch.undo()
    (row,) = grading.grade(course, "bptt", student="ada")
    assert (row.auto, row.run.isolated) == (8, True)
    assert "Not isolated." not in page(chapter("bptt"), [row], {})


@pytest.mark.parametrize("form", export.FORMATS)
def test_every_format_has_every_student_and_score(course, form, tmp_path):
    path = grading.export(course, tmp_path / "grades.csv", form)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    key = {"plain": "student_id", "canvas": "SIS Login ID", "moodle": "username"}[form]
    score = "score" if form == "plain" else "bptt"
    found = {row[key]: float(row[score]) for row in rows if row[key]}
    assert found == {"ada": 8.0, "ben": 5.0}


def test_a_name_with_a_comma_stays_one_field(course, tmp_path):
    with course.gradebook() as gradebook:
        gradebook.update_or_create_student("ben", last_name='O\'Neil, "Jr"', first_name="Ben")
    with grading.export(course, tmp_path / "g.csv").open(newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert rows["ben"]["last_name"] == 'O\'Neil, "Jr"'


@pytest.mark.parametrize("form", export.FORMATS)
@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "x\n=1"])
def test_no_name_is_a_formula(course, form, name, tmp_path):
    """A spreadsheet would run it as the instructor; elsewhere in a text it is only a letter."""
    with course.gradebook() as gradebook:
        more = {"first_name": f"B {name}", "email": name}
        gradebook.update_or_create_student("ben", last_name=name, **more)
    with grading.export(course, tmp_path / "g.csv", form).open(newline="") as file:
        rows = list(csv.reader(file))
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert {len(row) for row in rows} == {len(rows[0])}
    wanted = f"'{name.strip()}" if name.strip()[0] in "=+-@" else "x =1"
    assert [cell for cell in cells if cell.startswith(wanted)]


def test_one_query_however_many_students(course):
    """The same lines as nbgrader's own export, from a single statement."""
    from sqlalchemy import event

    asked = []
    with course.gradebook() as gradebook:
        gradebook.update_or_create_student("nobody-handed-in")
        event.listen(
            gradebook.db.get_bind(), "before_cursor_execute", lambda *args: asked.append(args[2])
        )
        found = {line.student: line.score for line in export.lines(gradebook)}
    assert found == {"ada": 8.0, "ben": 5.0, "nobody-handed-in": 0.0}
    assert len(asked) == 1
