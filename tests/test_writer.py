"""The one writer: the gradebook that nbgrader would write, whole or not at all, whatever ends."""

from __future__ import annotations

import datetime
import shutil
import sqlite3
import threading
import time
from contextlib import closing

import nbformat
import pytest
import sqlalchemy
from gradebooks import plugin, tables
from small_class import IMPATIENT, answered, cell_of, hand_in, new_class, scores
from test_nbgrader import nbgrader

from autograder import crew, demo, grading, work, writer
from autograder.grading import ClassFolder, GradingError
from autograder.writer import Writer

DUE = datetime.datetime(2026, 11, 1, 12)


def configure(course: ClassFolder, text: str) -> ClassFolder:
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text() + text)
    return ClassFolder.open(course.root)


def past(course: ClassFolder) -> None:
    """What a class has before it is graded: a due date, days of grace, and a person's work."""
    with course.gradebook() as gradebook:
        gradebook.update_or_create_assignment("bptt", duedate=DUE)
        for student in ("aylin-demir", "farah-haddad", "luca-moretti"):
            gradebook.add_submission("bptt", student)
        gradebook.grant_extension("bptt", "luca-moretti", days=2)
        found = gradebook.find_submission_notebook("bptt", "bptt", "farah-haddad")
        for grade in found.grades:
            grade.auto_score, grade.needs_manual_grade = 1, False
        for comment in found.comments:
            comment.auto_comment = "No response."
        found.flagged = True
        by_name = {grade.name: grade for grade in found.grades}
        by_name["bptt-explain"].manual_score = 1.5
        by_name["test-bptt-loss"].manual_score = 0
        by_name["test-bptt-forward"].extra_credit = 0.5
        gradebook.find_comment("bptt-explain", "bptt", "bptt", "farah-haddad").manual_comment = "!"
        gradebook.db.commit()
    for student, when in {
        "aylin-demir": "2026-11-01 11:00:00 UTC",
        "bruno-castellani": "2026-11-03 13:00:00 UTC",
        "emil-novotny": "2026-11-30 13:00:00 UTC",
        "farah-haddad": "2026-11-02 11:00:00 UTC",
        "luca-moretti": "2026-11-03 13:00:00 CET",
        "noah-okonkwo": "2026-11-02 11:00:00 UTC",
    }.items():
        folder = course.path("submitted", student, "bptt")
        (folder / "timestamp.txt").write_text(when)
    (folder / "data").mkdir()
    (folder / "data" / "mine.csv").write_text("1,2\n")
    (course.path("source", ".", "bptt") / "given.csv").write_text("3,4\n")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The demo class, graded by our command and, in a copy, by nbgrader's."""
    root = tmp_path_factory.mktemp("both")
    course = demo.make(root / "ours")
    penalty = plugin(course.root, "a_point_a_day", "math.ceil(total_seconds_late / 86400)")
    course = configure(course, f"{penalty}{IMPATIENT}")
    past(course)
    shutil.copytree(root / "ours", root / "theirs")
    theirs = ClassFolder.open(root / "theirs")
    grading.grade(course, "bptt", jobs=2)
    done = nbgrader("autograde", "bptt", cwd=theirs.root)
    assert done.returncode == 0, done.stderr
    return course, theirs


def test_the_gradebook_is_the_one_that_nbgrader_writes(both):
    ours, theirs = map(tables, both)
    assert ours.keys() == theirs.keys()
    for name, rows in ours.items():
        assert rows == theirs[name], name
    assert len(ours["submitted_notebook"]) == len(demo.CLASS)


def test_the_comparison_holds_what_it_is_to_compare(both):
    """Late penalties with and without grace, a person's points, extra credit, all kept."""
    ours = tables(both[0])
    penalties = {row[0]: row[3] for row in ours["submitted_notebook"]}
    assert penalties["aylin-demir"] is None
    assert penalties["bruno-castellani"] == 3
    assert penalties["emil-novotny"] == 0, "no more than there are points"
    assert penalties["luca-moretti"] is None, "with two days of grace"
    grades = {row[2]: row[5:9] for row in ours["grade"] if row[0] == "farah-haddad"}
    assert grades["bptt-explain"] == (None, 1.5, None, True)
    assert grades["test-bptt-loss"][1:] == (0, None, True)
    assert grades["test-bptt-forward"] == (3, None, 0.5, False)
    assert sum(len(rows) for rows in ours.values()) > 350


def test_the_notebooks_are_nbgrader_s_too(both):
    for student in demo.CLASS:
        folders = [course.path("autograded", student.id, "bptt") for course in both]
        listed = [
            {path.relative_to(f).as_posix(): path.stat().st_mode for path in f.rglob("*")}
            for f in folders
        ]
        assert listed[0] == listed[1]
        assert "given.csv" in listed[0]
        notebooks = [nbformat.read(folder / "bptt.ipynb", as_version=4) for folder in folders]
        seen = [[(c.cell_type, c.source, c.metadata) for c in n.cells] for n in notebooks]
        if student.ending != work.DAMAGED:  # what a damaged one's cell says differs in form
            assert seen[0] == seen[1]
    assert "data/mine.csv" in listed[0]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Three submissions, one with a person's grade, and their results, not yet written."""
    course = new_class(tmp_path_factory.mktemp("small"))
    hand_in(course, "ada", answered(course, explain="It is necessary."))
    hand_in(course, "ben", answered(course, forward="def forward(*_):\n    return 1, 2\n"))
    hand_in(course, "dan", "{")
    grading.grade(course, "bptt")
    with course.gradebook() as gradebook:
        gradebook.find_grade("bptt-explain", "bptt", "bptt", "ada").manual_score = 2
        gradebook.db.commit()
    for student in ("ada", "ben"):
        hand_in(course, student, answered(course, explain="It is not."))
    with Writer(course, "bptt") as opened:
        setting = opened.setting()
        tasks = [opened.task(student, f"key of {student}") for student in ("ada", "ben", "dan")]
    with crew.Here(setting) as here:
        return course, list(crew.results(setting, tasks, here))


@pytest.fixture
def fresh(small, tmp_path):
    """A copy of that class, and its results."""
    course, results = small
    shutil.copytree(course.root, tmp_path / "class")
    return ClassFolder.open(tmp_path / "class"), results


def test_one_commit_a_submission(fresh):
    course, results = fresh
    with Writer(course, "bptt") as opened:
        commits = []
        sqlalchemy.event.listen(opened.gradebook.engine, "commit", commits.append)
        for n, result in enumerate(results, 1):
            opened.write(result)
            assert len(commits) == n


def test_writing_twice_changes_nothing(fresh):
    course, results = fresh

    def everything():
        with closing(sqlite3.connect(course.root / "gradebook.db")) as database:
            names = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
            known = [name for name in names if "autoindex" not in name]
            rows = {name: sorted(database.execute(f"SELECT * FROM {name}")) for name in known}
        kept = (p for p in course.root.rglob("*") if p.is_file() and p.suffix != ".db")
        return rows, {path: path.read_bytes() for path in kept}

    with Writer(course, "bptt") as opened:
        for result in results:
            opened.write(result)
    first = everything()
    with Writer(course, "bptt") as opened:
        for result in reversed(results):
            opened.write(result)
    assert everything() == first


class Crash(BaseException):
    """The end of the process, as near as a test comes to it."""


@pytest.mark.parametrize("point", ["notebook", "half a notebook", "gradebook", "commit", "record"])
def test_after_an_end_in_the_middle_the_next_run_puts_it_right(fresh, monkeypatch, point):
    course, results = fresh
    whole = shutil.copytree(course.root, course.root.with_name("whole"))
    grading.grade(ClassFolder.open(whole), "bptt")
    want = tables(ClassFolder.open(whole))

    def crash(*_):
        raise Crash

    with Writer(course, "bptt") as opened, monkeypatch.context() as patch:
        where, what = {
            "notebook": (opened, "_put_notebook"),
            "half a notebook": (opened._converter, "set_permissions"),
            "gradebook": (opened, "_save_comments"),
            "commit": (opened.gradebook.db, "commit"),
            "record": (writer, "put"),
        }[point]
        patch.setattr(where, what, crash)
        with pytest.raises(Crash):
            opened.write(results[0])
    after = tables(course)
    assert after == tables(course), "the gradebook opens"
    assert grading.load_run(course, "ada", "bptt") is None
    ada = {row[2]: row[5] for row in after["grade"] if row[0] == "ada"}
    assert None not in {score for name, score in ada.items() if name != "bptt-explain"}
    table = grading.grade(course, "bptt")
    assert tables(course) == want
    assert next(each for each in table if each.student == "ada").fresh
    assert not list(course.root.rglob(".bptt*")), "nothing half done is left"
    assert scores(course, "ada")["bptt-explain"] == (None, 2)
    assert not any(each.fresh for each in grading.grade(course, "bptt"))


def test_a_grade_entered_meanwhile_is_not_overlooked(fresh):
    """While the writer is at a submission a person's score waits; one from before is seen."""
    course, results = fresh
    with Writer(course, "bptt") as opened:
        really = opened._save_comments

        def meanwhile(*args):
            other = sqlite3.connect(course.root / "gradebook.db", timeout=0.1)
            with pytest.raises(sqlite3.OperationalError, match="locked"), closing(other):
                other.execute("UPDATE grade SET manual_score = 1")
            really(*args)

        opened._save_comments = meanwhile
        opened.write(results[0])
    with course.gradebook() as gradebook:
        gradebook.find_grade("test-bptt-forward", "bptt", "bptt", "ada").manual_score = 1
        gradebook.db.commit()
    with Writer(course, "bptt") as opened:
        opened.write(results[0])
    with course.gradebook() as gradebook:
        grade = gradebook.find_grade("test-bptt-forward", "bptt", "bptt", "ada")
        assert (grade.auto_score, grade.manual_score, grade.needs_manual_grade) == (3, 1, True)


def test_the_writer_waits_for_another_one(fresh):
    course, results = fresh
    other = sqlite3.connect(course.root / "gradebook.db", check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")

    def let_go():
        time.sleep(1.5)
        other.rollback()
        other.close()

    thread = threading.Thread(target=let_go)
    thread.start()
    with Writer(course, "bptt") as opened:
        opened.write(results[0])
    thread.join()
    assert grading.load_run(course, "ada", "bptt").key == "key of ada"


def test_a_late_plugin_that_fails_is_named(fresh):
    course, results = fresh
    course = configure(course, plugin(course.root, "no_day", "total_seconds_late / 0"))
    with course.gradebook() as gradebook:
        gradebook.update_or_create_assignment("bptt", duedate=DUE)
    (course.path("submitted", "ada", "bptt") / "timestamp.txt").write_text("2026-12-01 10:00 UTC")
    before = tables(course)
    with (
        pytest.raises(GradingError, match=r"Late.*failed for ada \(ZeroDivisionError"),
        Writer(course, "bptt") as opened,
    ):
        opened.write(results[0])
    assert tables(course) == before


def test_a_step_that_writes_to_the_gradebook_itself_is_refused(fresh):
    course, _ = fresh
    course = configure(
        course,
        "from nbgrader.preprocessors import SaveAutoGrades\n"
        "Own = type('Own', (SaveAutoGrades,), {'__module__': 'nbgrader.preprocessors'})\n"
        "import nbgrader.preprocessors\n"
        "nbgrader.preprocessors.Own = Own\n"
        "c.Autograde.autograde_preprocessors.append(Own)\n",
    )
    (row,) = grading.grade(course, "bptt", student="ada")
    assert row.run.ending == work.FAILED
    assert "Own writes to the gradebook in its own way" in row.run.reason


def test_the_gradebook_s_address_and_hooks_stay_with_the_writer(fresh):
    course, _ = fresh
    course = configure(
        course,
        "c.Autograde.pre_convert_hook = lambda **named: Path(named['student']).touch()\n"
        "c.Autograde.post_convert_hook = lambda **named: Path(named['student']).unlink()\n"
        "c.CourseDirectory.db_url = 'postgresql://grader:3cret@localhost/rnn'\n",
    )
    assert b"3cret" not in work.for_workers(course.config)
    course = configure(course, "c.TrustedExecute.cell_seconds = lambda: 3\n")
    with pytest.raises(GradingError, match="can't be sent to workers"):
        work.for_workers(course.config)


def test_a_step_that_asks_for_the_gradebook_is_told_where_it_is(fresh):
    course, _ = fresh
    (course.root / "nosy.py").write_text(
        "from nbgrader.api import Gradebook\n"
        "from nbgrader.preprocessors import NbGraderPreprocessor\n\n\n"
        "class Nosy(NbGraderPreprocessor):\n"
        "    def preprocess(self, nb, resources):\n"
        "        Gradebook(resources['nbgrader']['db_url'])\n"
    )
    here = "import sys\nsys.path.insert(0, str(Path(__file__).resolve().parent))\n"
    course = configure(course, here + "c.Autograde.sanitize_preprocessors.append('nosy.Nosy')\n")
    (row,) = grading.grade(course, "bptt", student="ada")
    assert (row.run.ending, row.auto) == (work.FAILED, 0)
    assert "the_gradebook_is_with_the_writer" in row.run.reason


def test_two_notebooks_are_nbgrader_s_business(fresh):
    course, _ = fresh
    with course.gradebook() as gradebook:
        gradebook.add_notebook("more", "bptt")
    with pytest.raises(GradingError, match=r"more than one notebook \(bptt.ipynb, more.ipynb\)"):
        grading.grade(course, "bptt")


def test_a_hand_changed_answer_counts_again(fresh):
    course, _ = fresh
    grading.grade(course, "bptt")
    changed = answered(course)
    cell_of(changed, "bptt-forward").source = "raise NotImplementedError"
    hand_in(course, "ben", changed)
    fresh_ones = [each.student for each in grading.grade(course, "bptt") if each.fresh]
    assert fresh_ones == ["ben"]
    assert scores(course, "ben")["test-bptt-forward"] == (0, None)
