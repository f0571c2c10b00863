"""The command `autograder`: what it prints, what it refuses, and with what exit code."""

from __future__ import annotations

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from small_class import answered, hand_in, new_class

from autograder import build, cli, grading, verify, work
from course.exercise import CHAPTERS, chapter


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process: exit code, and what it printed on both streams."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["autograder", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A graded class of two; nobody opens it for writing but a test that puts it right again."""
    course = new_class(tmp_path_factory.mktemp("class"))
    with course.gradebook() as gradebook:
        gradebook.add_student("ada", first_name="Ada", last_name="Novák")
    hand_in(course, "ada", answered(course, explain="It is necessary."))
    hand_in(course, "dan", "{")
    grading.grade(course, "bptt")
    return course


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def refused(result, *says):
    """One line on stderr, nothing on stdout, and an exit code that says so."""
    code, out, err = result
    assert code == 1
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("autograder: ")
    assert "Traceback" not in err
    for each in says:
        assert each in err


def test_help_names_the_commands_and_the_way(run):
    code, out, _ = run("--help")
    assert code == 0
    for word in (
        "build",
        "new-course",
        "grade",
        "feedback",
        "export",
        "demo",
        "verify",
        "generate_assignment",
        "publish",
    ):
        assert word in out


@pytest.mark.parametrize(
    "command", ["build", "new-course", "publish", "grade", "feedback", "export", "demo", "verify"]
)
def test_every_command_has_help(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Usage: autograder" in out


def test_a_wrong_option_is_said(run):
    code, _, err = run("grade", "bptt", "--students", "ada")
    assert code == 2
    assert "--student" in err


@pytest.mark.parametrize("command", ["build", "grade", "feedback", "verify"])
def test_an_unknown_chapter_is_said(run, command):
    refused(run(command, "btt"), 'no chapter "btt"', 'Did you mean "bptt"?')


@pytest.mark.parametrize("command", [("grade", "bptt"), ("feedback", "bptt"), ("export",)])
def test_a_missing_class_is_said(run, tmp_path, command):
    result = run(*command, "--course-dir", tmp_path / "nowhere")
    refused(result, "is not a class folder", "autograder new-course", "--course-dir")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Building writes to a temporary folder, not into the house."""
    monkeypatch.setattr(build, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(build, "build_fixtures", lambda name: False)
    return tmp_path


def test_new_course_says_what_it_wrote_and_what_comes_next(run, elsewhere):
    target = elsewhere / "class"
    code, out, err = run("new-course", target)
    assert (code, err) == (0, "")
    assert f"{target}/source/bptt/bptt.ipynb" in out
    assert f"nbgrader generate_assignment {CHAPTERS[0]}, and so on for {CHAPTERS[1]}" in out
    assert (target / "nbgrader_config.py").is_file()
    assert {path.name for path in (target / "source").iterdir()} == set(CHAPTERS)
    before = tree(elsewhere)
    refused(run("new-course", target), "is a class already", f"build --course-dir {target}")
    assert run("build", "bptt", "--course-dir", target) == (0, "nothing has changed\n", "")
    assert tree(elsewhere) == before
    result = run("grade", "bptt", "--course-dir", target)
    refused(result, "nothing has been released yet", "nbgrader generate_assignment")


def test_new_course_touches_no_sources_that_are_there(run, elsewhere):
    mine = elsewhere / "class" / "source" / "bptt" / "bptt.ipynb"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    refused(
        run("new-course", elsewhere / "class", "bptt"), "has source already", "name a new folder"
    )
    assert [path for path in elsewhere.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_in_the_folder_of_a_class_that_class_is_meant(run, elsewhere, monkeypatch):
    target = elsewhere / "class"
    assert run("new-course", target, "bptt")[0] == 0
    source = target / "source" / "bptt" / "bptt.ipynb"
    for folder in (target, elsewhere):  # in it, and where it is class/
        monkeypatch.chdir(folder)
        refused(run("grade", "bptt"), "nothing has been released yet")
    source.unlink()
    assert run("build", "bptt") == (0, "nothing has changed\n", "")
    monkeypatch.chdir(target)
    code, out, _ = run("build", "bptt")
    assert code == 0
    assert "wrote source/bptt/bptt.ipynb" in out
    assert source.is_file()


def test_build_makes_no_class_of_a_name_misspelt(run, elsewhere):
    result = run("build", "bptt", "--course-dir", elsewhere / "clas")
    refused(result, "is not a class folder", "autograder new-course")
    assert list(elsewhere.iterdir()) == []


def test_a_refused_cell_is_said_with_its_line_and_nothing_is_written(run, elsewhere, monkeypatch):
    text = (build.SOLUTIONS / "bptt.py").read_text()
    spoiled = text.replace('# %% exercise="bptt.loss"', '# %% exercise="bptt.los"')
    (elsewhere / "bptt.py").write_text(spoiled)
    monkeypatch.setattr(build, "SOLUTIONS", elsewhere)
    line = spoiled.splitlines().index('# %% exercise="bptt.los"') + 1
    result = run("new-course", elsewhere / "class", "bptt")
    refused(result, f"bptt.py:{line}: ", 'unknown exercise "bptt.los"')
    assert not (elsewhere / "class").exists()


def test_no_permission_is_said(run, elsewhere, monkeypatch):
    def put(path, content):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(build, "put", put)
    result = run("new-course", elsewhere / "class", "bptt")
    refused(result, "no permission for ", "bptt.ipynb")


def test_grade_prints_the_class_table(run, course):
    code, out, err = run("grade", "bptt", "--course-dir", course.root)
    assert (code, err) == (0, "")
    ada = next(line for line in out.splitlines() if "Ada Novák" in line)
    dan = next(line for line in out.splitlines() if "dan" in line)
    assert ada.split() == ["Ada", "Novák", "8/8", "+3", "to", "read", "-", "graded"]
    assert dan.split() == ["dan", "0/8", "0/3", "-", "damaged"]
    assert "0 run, 2 unchanged" in out
    assert course.report("bptt").is_file()


def test_grade_of_one_student_runs_that_one(run, course):
    code, out, _ = run("grade", "bptt", "--student", "dan", "--force", "--course-dir", course.root)
    assert code == 0
    assert "1 run, 0 unchanged" in out
    assert "Ada" not in out
    assert "Ada" in course.report("bptt").read_text(), "the report is of all"


def test_what_could_not_be_run_is_said_and_tried_again(run, tmp_path):
    course = new_class(tmp_path)
    hand_in(course, "eve", answered(course))
    config = course.root / "nbgrader_config.py"
    good = config.read_text()
    config.write_text(f'{good}\nc.Autograde.autograde_preprocessors = ["autograder.no.Execute"]\n')
    code, out, err = run("grade", "bptt", "--course-dir", course.root)
    assert code == 1
    assert "0/8" in out
    assert "eve could not be run, and has 0 points for now: ModuleNotFoundError" in err
    assert "autograder grade bptt" in err
    config.write_text(good)
    (eve,) = grading.grade(grading.ClassFolder.open(course.root), "bptt")
    assert (eve.fresh, eve.auto) == (True, 8)


def test_an_interrupt_ends_it_at_once_and_records_nothing(tmp_path):
    course = new_class(tmp_path)
    hand_in(course, "ada", answered(course))
    hand_in(course, "zoe", answered(course, forward="while True:\n    pass\n"))
    program = Path(sys.executable).parent / "autograder"
    command = [program, "grade", "bptt", "--jobs", "1", "--course-dir", course.root]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for _ in range(1200):
        if course.record("ada", "bptt").exists():
            break
        time.sleep(0.1)
    time.sleep(1)  # zoe's is next
    os.killpg(started.pid, signal.SIGINT)
    _, err = started.communicate(timeout=30)
    assert started.returncode != 0
    assert "Traceback" not in err
    assert grading.load_run(course, "zoe", "bptt") is None
    hand_in(course, "zoe", answered(course))
    ada, zoe = grading.grade(course, "bptt")
    assert (zoe.auto, zoe.run.ending) == (8, work.GRADED)
    assert not ada.fresh, "what was done before the interrupt stays"


def test_nobody_and_nobody_of_that_name(run, course, tmp_path):
    result = run("grade", "bptt", "--student", "adda", "--course-dir", course.root)
    refused(result, '"adda" has not handed in bptt', 'Did you mean "ada"?')
    empty = new_class(tmp_path / "class")
    result = run("grade", "bptt", "--course-dir", empty.root)
    refused(result, "nobody has handed in bptt", "submitted/STUDENT/bptt/bptt.ipynb")


def test_feedback_and_export(run, course, tmp_path):
    code, out, _ = run("feedback", "bptt", "--course-dir", course.root)
    assert code == 0
    assert "feedback pages written" in out
    assert (course.path("feedback", "dan", "bptt") / "bptt.html").is_file()
    target = tmp_path / "new" / "grades.csv"
    code, out, _ = run("export", "--to", target, "--course-dir", course.root)
    assert code == 0
    assert str(target) in out
    with open(target, newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    ada, dan = rows["ada"], rows["dan"]
    assert (ada["assignment"], ada["first_name"], ada["last_name"]) == ("bptt", "Ada", "Novák")
    assert (float(ada["score"]), float(ada["max_score"])) == (8, 11)
    assert float(dan["score"]) == 0
    assert [path.name for path in target.parent.iterdir()] == ["grades.csv"]


@pytest.mark.parametrize("command", [("grade", "bptt"), ("feedback", "bptt"), ("export",)])
def test_a_locked_gradebook_is_said(run, course, command):
    before = tree(course.root)
    with closing(sqlite3.connect(course.root / "gradebook.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        result = run(*command, "--course-dir", course.root)
    refused(result, "gradebook.db", "another program holds it", "close formgrader", "then again")
    assert tree(course.root) == before


def test_a_damaged_gradebook_is_said(run, course, tmp_path):
    for path in ("nbgrader_config.py", "gradebook.db"):
        (tmp_path / path).write_bytes((course.root / path).read_bytes())
    (tmp_path / "gradebook.db").write_text("no database" * 100)
    refused(run("export", "--course-dir", tmp_path), "it is damaged", "backup")


def test_verify_prints_the_table(run):
    code, out, err = run("verify", "bptt")
    assert (code, err) == (0, "")
    assert "grad_h_immediate" in out
    assert "✗" not in out


def test_verify_fails_if_a_single_row_does(run, monkeypatch):
    exercise = chapter("bptt").exercises[0]
    good = verify.Row(exercise, "answer", "forward", "right", "right", True, None)
    bad = verify.Row(exercise, "slip", "forward_stuck", "probes", "right", False, None)
    monkeypatch.setattr(verify, "rows", lambda name, draws: iter([good, bad]))
    code, out, err = run("verify", "bptt")
    assert code == 1
    assert out.count("✗") == 1
    assert "1 row not as it must be" in err
