"""Grading a class: every ending has a score, old scores go, a person's stay; repairs."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from small_class import answered, cell_of, hand_in, new_class, released, scores

from autograder import grading, repair, work
from autograder.class_report import overview, page
from autograder.grading import Check, GradingError, Run, Standing
from course.exercise import chapter

ALL_RIGHT = {
    "test-bptt-forward": 3,
    **{f"test-bptt-grad_params-{part}": 1 for part in ("dU", "dW", "db", "dV", "dc")},
}
DEADLY = "import os\nos._exit(1)\ndef forward(x, h0, U, W, b, V, c):\n    return None\n"


def automatic(course, student):
    return {name: auto for name, (auto, _) in scores(course, student).items()}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return new_class(tmp_path_factory.mktemp("class"))


@pytest.fixture(scope="module")
def first_round(course):
    """Five submissions, each of which ends in its own way."""
    good = answered(course, explain="It is <b>necessary</b>.")
    hand_in(course, "ada", good)
    hand_in(course, "ben", answered(course))
    hand_in(course, "cleo", answered(course, forward=DEADLY, explain="It need not."))
    hand_in(course, "dan", '{"cells": [')
    other = course.path("submitted", "eve", "bptt") / "bptt (1).ipynb"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    table = grading.grade(course, "bptt", jobs=2)
    return {each.student: each for each in table}


def test_all_right_is_full_marks_and_the_written_answer_waits(course, first_round):
    assert automatic(course, "ada") == {**ALL_RIGHT, "bptt-explain": None}
    ada = first_round["ada"]
    assert (ada.auto, ada.auto_max, ada.to_read, ada.run.ending) == (8, 8, 3, work.GRADED)
    assert {check.outcome for check in ada.run.checks} == {"right"}
    with course.gradebook() as gradebook:
        grade = gradebook.find_grade("bptt-explain", "bptt", "bptt", "ada")
        assert grade.needs_manual_grade


def test_an_untouched_written_answer_has_no_points_and_nothing_to_read(course, first_round):
    assert automatic(course, "ben")["bptt-explain"] == 0
    assert first_round["ben"].to_read == 0


def test_a_dead_kernel_leaves_no_score_open(course, first_round):
    assert first_round["cleo"].run.ending == work.DIED
    found = automatic(course, "cleo")
    assert {found[name] for name in ALL_RIGHT} == {0}
    assert first_round["cleo"].to_read == 3, "the written answer can still be read"


@pytest.mark.parametrize(
    ("student", "ending", "says"),
    [
        ("dan", work.DAMAGED, "line 1"),
        ("eve", work.MISSING, "bptt (1).ipynb"),
    ],
)
def test_what_cannot_be_read_has_no_points_and_a_reason(course, first_round, student, ending, says):
    assert set(automatic(course, student).values()) == {0}
    assert first_round[student].run.ending == ending
    assert says in first_round[student].run.reason
    path = course.path("autograded", student, "bptt") / "bptt.ipynb"
    assert says in nbformat.read(path, as_version=4).cells[0].source


def test_a_timestamp_that_is_none_stops_nobody(tmp_path):
    course = new_class(tmp_path)
    for student, text in {"a": "yesterday", "b": "9" * 400, "c": "2026-11-21 10:00:00 UTC"}.items():
        hand_in(course, student, answered(course) if student != "c" else "{")
        (course.path("submitted", student, "bptt") / "timestamp.txt").write_text(text)
    a, b, c = grading.grade(course, "bptt")
    assert (a.run.ending, b.run.ending) == (work.FAILED, work.FAILED)
    assert a.auto == b.auto == 0
    assert "timestamp.txt" in a.run.reason
    assert c.run.ending == work.DAMAGED
    with course.gradebook() as gradebook:
        assert gradebook.find_submission("bptt", "c").timestamp.year == 2026
    again = {each.student: each.fresh for each in grading.grade(course, "bptt")}
    assert again == {"a": True, "b": True, "c": False}, "what could not be run is tried again"


def test_odd_names_are_graded_and_patterns_are_refused(tmp_path):
    course = new_class(tmp_path / "a class")
    for student in ("zoë o'hara", "-rf", "z*"):
        hand_in(course, student, answered(course, forward="1 / 0"))
    table = {each.student: each for each in grading.grade(course, "bptt", jobs=2)}
    assert table["zoë o'hara"].auto == table["-rf"].auto == 5
    assert (table["z*"].auto, table["z*"].run.ending) == (0, work.FAILED)
    with pytest.raises(GradingError, match=r"z\* \(nbgrader can't tell"):
        grading.feedback(course, "bptt", list(table))
    assert (course.path("feedback", "zoë o'hara", "bptt") / "bptt.html").is_file()
    (course.root / "gradebook.db").unlink()
    grading.release(course, "bptt")
    assert grading.standings(course, "bptt", list(table)) == []
    assert grading.feedback(course, "bptt", list(table)) == []


def test_feedback_is_written_once_and_again_after_a_grade(course, first_round):
    students = list(first_round)
    assert grading.feedback(course, "bptt", students) == students
    assert grading.feedback(course, "bptt", students) == []
    page = course.path("feedback", "dan", "bptt") / "bptt.html"
    assert "it is not a notebook" in page.read_text()
    with course.gradebook() as gradebook:
        gradebook.find_grade("bptt-explain", "bptt", "bptt", "ben").manual_score = 1
        gradebook.db.commit()
    assert grading.feedback(course, "bptt", students) == ["ben"]


def test_what_has_not_changed_is_not_run_again(course, first_round, monkeypatch):
    monkeypatch.setattr(work, "grade_one", lambda *_: pytest.fail("ran again"))
    seen = []
    table = grading.grade(
        course, "bptt", done=lambda student, run, total: seen.append((student, run, total))
    )
    assert seen == [(student, None, 5) for student in first_round]
    assert not any(each.fresh for each in table)
    assert [each.run for each in table] == [each.run for each in first_round.values()]


@pytest.mark.parametrize("damage", ["no record", "half a record", "another notebook", "forced"])
def test_it_is_run_again_if_its_record_does_not_stand(course, first_round, monkeypatch, damage):
    record = course.record("ben", "bptt")
    notebook = course.path("autograded", "ben", "bptt") / "bptt.ipynb"
    if damage == "no record":
        record.unlink()
    elif damage == "half a record":
        record.write_text(record.read_text()[:100])
    elif damage == "another notebook":
        notebook.chmod(0o644)
        notebook.write_text(notebook.read_text() + "\n")
    ran = []
    really = work.grade_one

    def run(setting, task):
        ran.append(task.student)
        return really(setting, task)

    monkeypatch.setattr(work, "grade_one", run)
    grading.grade(course, "bptt", student="ben", force=damage == "forced")
    assert ran == ["ben"]


def test_a_resubmission_without_its_tests_does_not_keep_the_old_score(course, first_round):
    worse = answered(course, forward="def forward(*_):\n    return 1, 2\n")
    worse.cells = [c for c in worse.cells if not c.source.startswith("check(")]
    hand_in(course, "ben", worse)
    (ben,) = grading.grade(course, "bptt", student="ben")
    assert automatic(course, "ben")["test-bptt-forward"] == 0
    assert ben.auto == 5
    assert sum("was deleted" in note for note in ben.run.repairs) == 6
    assert ben.fresh


def test_a_person_s_scores_and_comments_stay(course, first_round):
    with course.gradebook() as gradebook:
        gradebook.find_grade("bptt-explain", "bptt", "bptt", "ada").manual_score = 2
        gradebook.find_grade("test-bptt-forward", "bptt", "bptt", "ada").manual_score = 1.5
        gradebook.find_comment("bptt-explain", "bptt", "bptt", "ada").manual_comment = "well seen"
        gradebook.db.commit()
    changed = answered(course, explain="It is necessary, not sufficient.")
    cell_of(changed, "bptt-grad_params").source += "\n# said better\n"
    hand_in(course, "ada", changed)
    (ada,) = grading.grade(course, "bptt", student="ada")
    assert ada.fresh
    assert scores(course, "ada")["bptt-explain"] == (None, 2)
    assert scores(course, "ada")["test-bptt-forward"] == (3, 1.5)
    assert (ada.auto, ada.written, ada.to_read) == (6.5, 2, 0)
    with course.gradebook() as gradebook:
        assert (
            gradebook.find_comment("bptt-explain", "bptt", "bptt", "ada").manual_comment
            == "well seen"
        )


def test_a_locked_gradebook_is_said_and_nothing_is_lost(course, first_round):
    before = {student: scores(course, student) for student in first_round}
    records = {s: course.record(s, "bptt").read_text() for s in first_round}
    with closing(sqlite3.connect(course.root / "gradebook.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        for action in (
            lambda: grading.grade(course, "bptt", force=True),
            lambda: grading.feedback(course, "bptt", ["ada"]),
            lambda: grading.export(course, course.root / "locked.csv"),
        ):
            with pytest.raises(GradingError, match="close formgrader or other grading, then again"):
                action()
    assert {student: scores(course, student) for student in first_round} == before
    assert {s: course.record(s, "bptt").read_text() for s in first_round} == records
    assert not list(course.root.glob("*locked.csv*"))


def test_a_gradebook_locked_half_way_is_said_too(course, first_round, monkeypatch):
    """The lock comes after the first look, when nbgrader itself is at work."""
    monkeypatch.setattr(grading.ClassFolder, "check_gradebook", lambda self: None)
    with closing(sqlite3.connect(course.root / "gradebook.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises((GradingError, grading.sqlalchemy.exc.OperationalError), match="lock"):
            grading.feedback(course, "bptt", ["ada"])


@pytest.mark.parametrize(
    ("student", "says"), [("adda", 'Did you mean "ada"'), ("zzz", "has not handed in bptt")]
)
def test_an_unknown_student_is_said(course, first_round, student, says):
    with pytest.raises(GradingError, match=says):
        grading.grade(course, "bptt", student=student)


def test_a_broken_configuration_is_said(tmp_path):
    (tmp_path / "nbgrader_config.py").write_text("c = get_config(\n")
    with pytest.raises(GradingError, match=r"nbgrader_config.py: SyntaxError"):
        grading.ClassFolder.open(tmp_path)


# The class report.


def standing(name="Ada", reason="", slips=()):
    checks = tuple(Check("bptt.grad_h", None, "wrong", slip) for slip in slips)
    run = Run("k", "a", 1.0, work.GRADED, reason, (), checks)
    return Standing("ada", name, 1, 27, 0, 3, 3, run)


def test_the_report_counts_and_escapes():
    found = chapter("bptt")
    evil = standing("<script>Ada</script>", "</td><img src=x>", ["grad_h_immediate"])
    data = overview(found, [evil, standing()])
    counts = {label: count for label, count, *_ in data.exercises}
    assert counts["3.4  The gradient flows back"] == {"right": 0, "wrong": 1, "not attempted": 1}
    assert [(each.title, each.students) for each in data.slips] == [
        ("the gradient from h(t+1) was dropped", 1)
    ]
    text = page(found, [evil, standing()], {"ada": 'x"><script>'})
    assert "<script>" not in text
    assert "<img src=x>" not in text
    assert text == page(found, [evil, standing()], {"ada": 'x"><script>'})


def test_findings_believe_only_what_a_check_can_say():
    marks = {"grade": True, "grade_id": "test-bptt-loss"}

    def outcome(said):
        output = new_output("display_data", {repair_data: said})
        cell = new_code_cell('check("bptt.loss")', metadata={"nbgrader": marks}, outputs=[output])
        (check,), *_ = work.findings(new_notebook(cells=[cell]))
        return check

    repair_data = work.DATA
    assert outcome({"outcome": "wrong", "slip": "loss_mean"}).slip == "loss_mean"
    for said in ({"outcome": "<b>"}, {"outcome": ["right"]}, "right", ["right"], None):
        assert outcome(said).outcome == "wrong"
    assert outcome({"outcome": "wrong", "slip": "grad_h_immediate"}).slip is None


def test_the_gradebook_s_cells_are_the_released_ones(course):
    with course.gradebook() as gradebook:
        found = repair.trusted_cells(gradebook.find_notebook("bptt", "bptt"), ["q"])
    by_name = {each.name: each for each in found}
    for cell in released(course).cells:
        if "nbgrader" in cell.metadata:
            marks = cell.metadata.nbgrader
            assert by_name.pop(marks.grade_id).marks == dict(marks)
    assert not by_name
