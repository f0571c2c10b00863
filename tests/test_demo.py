"""The demo class: every invented student ends as planned, with nbgrader's own execution."""

from __future__ import annotations

import fcntl
import os
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import nbformat
import pytest
from small_class import IMPATIENT

from autograder import class_report, demo, grading, work
from autograder.build import CONFIG
from autograder.evidence import LETTERS
from autograder.grading import GradingError
from course import report

BY_ID = {student.id: student for student in demo.CLASS}


@pytest.fixture(scope="session")
def graded(tmp_path_factory):
    """The class, graded once, also where tests run in several processes."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    with pytest.MonkeyPatch.context() as patch, open(base / "demo.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        config = base / CONFIG.name
        config.write_text(f"{CONFIG.read_text()}{IMPATIENT}")
        patch.setattr(demo, "CONFIG", config)
        course = demo.make(base / "demo")
        table = grading.grade(course, demo.CHAPTER, jobs=2)
        grading.feedback(course, demo.CHAPTER, [each.student for each in table])
        class_report.write(course, demo.CHAPTER, table)
        fcntl.flock(lock, fcntl.LOCK_UN)
        yield course, {each.student: each for each in table}


@pytest.mark.parametrize("student", BY_ID)
def test_everyone_has_the_points_that_were_planned(graded, student):
    _, table = graded
    planned, found = BY_ID[student], table[student]
    assert found.auto == planned.points
    assert found.auto_max == 30
    assert found.run.ending == planned.ending
    assert found.name == f"{planned.first} {planned.last}"
    assert found.to_read == (3 if planned.written else 0)


@pytest.mark.parametrize("student", BY_ID)
def test_the_slips_are_named(graded, student):
    _, table = graded
    met = {check.slip for check in table[student].run.checks if check.slip}
    assert met == set(BY_ID[student].slips)
    assert len(table[student].slips) == len(BY_ID[student].slips)


def test_the_endings_say_why(graded):
    _, table = graded
    assert "bptt.rtrl" in table["jakob-lindqvist"].run.reason
    assert "bptt-truncated" in table["keira-brennan"].run.reason
    assert "not a notebook" in table["noah-okonkwo"].run.reason


def test_what_was_tampered_with_is_noted(graded):
    _, table = graded
    assert table["mina-rahimi"].run.repairs == (
        "test-bptt-forward: its points were changed, from 3 to 100",
        "test-bptt-truncated: its locked text was changed",
        "test-bptt-truncated: had tags",
        "test-bptt-loss: stood twice; the copy does not count",
        "test-bptt-grad_h: was deleted; it is back",
        "test-bptt-clip: was deleted; it is back",
    )
    others = [each for each in table.values() if each.student != "mina-rahimi"]
    assert not any(each.run.repairs for each in others)


def test_warnings_and_prints_are_shown_and_cost_nothing(graded):
    course, _ = graded
    path = course.path("autograded", "dagny-solberg", "bptt") / "bptt.ipynb"
    text = path.read_text()
    assert "your code warned: RuntimeWarning" in text
    assert "your code printed:" in text
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.metadata.get("nbgrader", {}).get("grade") and cell.cell_type == "code":
            assert cell.outputs
            assert not any(
                output.output_type == "error" or output.get("name") == "stderr"
                for output in cell.outputs
            )


def test_a_second_run_executes_nothing_and_changes_nothing(graded, monkeypatch):
    course, table = graded

    def state():
        return {
            path.relative_to(course.root): path.stat().st_mtime_ns
            for path in course.root.rglob("*")
            if path.is_file() and path.name != "gradebook.db"
        }

    before = state()
    demo.make(course.root)
    monkeypatch.setattr(work, "grade_one", lambda *_: pytest.fail("ran again"))
    again = grading.grade(course, demo.CHAPTER)
    assert grading.feedback(course, demo.CHAPTER, list(table)) == []
    class_report.write(course, demo.CHAPTER, again)
    assert state() == before


def test_the_written_answers_wait_for_a_person(graded):
    course, _ = graded
    with course.gradebook() as gradebook:
        waiting = {
            grade.student.id
            for submission in gradebook.assignment_submissions("bptt")
            for notebook in submission.notebooks
            for grade in notebook.grades
            if grade.needs_manual_grade
        }
    assert waiting == {student.id for student in demo.CLASS if student.written}


class Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("href", "src", "srcset")]


def test_the_report_links_to_feedback_and_needs_nothing_else(graded):
    course, table = graded
    path = course.report("bptt")
    text = path.read_text()
    found = Links(text)
    pages = [link for link in found.links if not link.startswith("#")]
    assert len(pages) == len(table)
    assert {link for link in found.links if link.startswith("#")} == {f"#of-{s}" for s in table}
    for page in pages:
        assert (path.parent / unquote(page)).is_file()
    assert "script" not in found.tags
    assert not re.search(r"https?://", text)
    assert "prefers-color-scheme: dark" in text


QUICK = [
    *("dagny-solberg", "emil-novotny", "farah-haddad", "goran-petrovic", "hana-sato"),
    *("isabel-ferraz", "jakob-lindqvist", "luca-moretti", "mina-rahimi"),
]


@pytest.mark.parametrize("student", QUICK)
def test_a_replay_gives_the_very_same_reports(graded, student):
    """Words, data, and hashes of all that was sent and got: also of what was wrong or stopped."""
    course, table = graded
    seen = []
    reports = grading.replay(course, "bptt", student, seen)
    path = course.path("autograded", student, "bptt") / "bptt.ipynb"
    shown = [
        output.data
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", ())
        if report.DATA in output.get("data", {})
    ]
    assert [report.as_text(each) for each in reports] == [data["text/plain"] for data in shown]
    assert [report.as_data(each) for each in reports] == [data[report.DATA] for data in shown]
    kept = table[student].run.checks
    assert len(kept) == len(reports) == 14
    for check, each, now in zip(kept, reports, seen, strict=True):
        assert (check.exercise, check.part) == (each.exercise.name, each.part)
        assert (check.outcome, check.rung, check.case) == (each.outcome, each.rung, each.case)
        assert (check.sent, check.got) == (now.sent, now.got)
        assert len(check.sent) == len(check.got) == LETTERS
        assert check.seconds > 0


def test_the_reference_is_right_in_other_words():
    """No student's file is the reference's text."""
    right = demo.answers()
    for path in demo.STUDENTS.glob("*.py"):
        for grade_id, source in demo.written_by(path.stem).items():
            assert grade_id in right
            assert source not in right.values()


def test_another_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(GradingError, match="not a demo class"):
        demo.make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
