"""The syllabus: its tables against the lists, and "make it yours" as somebody would follow it."""

from __future__ import annotations

import csv
import itertools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
from figures import syllabus

from autograder import build
from course import CourseError, check, ready
from course import exercise as exercises
from course.exercise import CHAPTERS, adapted, chapter, find
from course.standing import forget

HOUSE = Path(__file__).resolve().parent.parent
PAGE = (HOUSE / "book" / "syllabus.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, flags=re.S)


# ----------------------------------------------------------------------- tables and the picture


def test_the_overview_counts_what_is_declared():
    table = syllabus.overview()
    assert len(table.rows) == len(CHAPTERS) + 1
    for name, row in zip(CHAPTERS, table.rows, strict=False):
        cells = build.student_notebook(name).cells
        graded = [c.metadata.nbgrader for c in cells if c.metadata.get("nbgrader", {}).get("grade")]
        written = sum(each.solution for each in graded)
        answers = sum(
            c.metadata.get("nbgrader", {}).get("solution", False) for c in cells
        )  # written ones, too
        points = sum(each.points for each in graded)
        assert [float(cell) for cell in row[3:]] == [answers - written, written, points]
    for column in range(1, 6):
        numbers = [float(row[column]) for row in table.rows]
        assert numbers[-1] == sum(numbers[:-1])


@pytest.mark.parametrize(
    ("said", "hours"),
    [
        ("# Plan about four hours.", 4),
        ("# keep it. Plan about\n# five hours", 5),
        ("# Plan about three and a half hours", 3.5),
        ("# Plan about 2 hours", 2),
        ("# notebook. Plan about an hour and a half. You", 1.5),
    ],
)
def test_hours_are_read_from_the_notebook(monkeypatch, said, hours):
    monkeypatch.setattr(syllabus, "notebook", lambda name: said)
    assert syllabus.hours("any") == hours


def test_a_notebook_without_hours_is_named(monkeypatch):
    monkeypatch.setattr(syllabus, "notebook", lambda name: "# nothing")
    with pytest.raises(ValueError, match=r"solutions/bptt\.py"):
        syllabus.hours("bptt")


def test_reading_is_counted_in_words_that_are_prose(monkeypatch, tmp_path):
    (tmp_path / "book").mkdir()
    page = "---\nfront: matter\n---\n" + "word " * 10_000
    page += "\n```{code-cell} python\nx = 1\n```\n\\begin{equation}\na = b\n\\end{equation}\n"
    (tmp_path / "book" / "any.md").write_text(page)
    monkeypatch.setattr(syllabus, "ROOT", tmp_path)
    assert syllabus.words("any") == 10_000
    assert syllabus.reading("any") == 1.5, "80 minutes, in half hours"
    assert f"{syllabus.WORDS_A_MINUTE} words a minute" in PAGE.replace("\n", " ")


@pytest.mark.parametrize("pace", [1, 2, 4, 6, 100])
def test_every_week_has_its_hours(pace):
    plan = list(syllabus.weeks(pace).values())
    total = sum(syllabus.hours(c.name) + syllabus.reading(c.page) for c in syllabus.chapters())
    assert plan[0][0] == 1
    assert (plan[-1][1] - 1) * pace < total <= plan[-1][1] * pace
    for (_, end), (begin, _) in itertools.pairwise(plan):
        assert begin in (end, end + 1)


def test_what_waits_is_what_the_notebooks_ask_for():
    waits = syllabus.wanted("bptt")
    asked = {"forward", "loss", "grad_o", "grad_h", "grad_params", "train"}
    assert waits == {f"bptt.{each}" for each in asked | {"clip"}}, "train calls clip"
    assert syllabus.wanted("dynamics") >= {"dynamics.newton", "dynamics.jacobian"}
    for name in CHAPTERS:
        assert all(find(each)[0].chapter == name for each in syllabus.wanted(name))


def test_every_exercise_is_on_one_side():
    for found, row in zip(syllabus.chapters(), syllabus.skippable().rows, strict=True):
        numbers = [n for cell in row[1:] for n in cell.split(", ") if n != "–"]
        assert sorted(numbers) == sorted(each.number for each in found.exercises)


def test_chapters_lean_on_earlier_ones():
    counts = syllabus.leans()
    assert all(later > earlier for later, earlier in counts)
    text = re.sub(r"\\tag\{.*?\}", "", syllabus.notebook("gates"))
    assert counts[5, 3] == sum(
        len(re.findall(named, text))
        for named in (r"[Cc]hapter 3\b", r"[Ee]xercise 3\.\d", r"\(3\.\d+\)")
    )
    assert min(counts[4, 3], counts[5, 3]) > 2, "the page says that they need it"
    assert (4, 2) not in counts, "the page says that chapter 2 can be given as reading"


def test_the_picture_and_its_table_have_every_chapter_and_every_count():
    counts = syllabus.leans()
    (ax,) = syllabus.draw_leans(counts).axes
    words = [text.get_text() for text in ax.texts]
    assert all(each.title in words for each in syllabus.chapters())
    widths = [patch.get_linewidth() for patch in ax.patches]
    assert np.argsort(widths).tolist() == np.argsort(list(counts.values())).tolist()
    said = {row[0]: row[1] for row in syllabus.table_leans(counts).rows}
    for (later, earlier), count in counts.items():
        assert f"chapter {earlier} ({count})" in said[later]


# ------------------------------------------------------------------------------- course/yours.py


def test_points_and_what_is_left_out():
    declared = chapter("bptt")
    mine = adapted(
        declared,
        {"bptt.clip": 4, "bptt.explain": 5, "gates.sample": 9, "bptt.grad_params": dict.fromkeys(
            ("dU", "dW", "db", "dV", "dc"), 2)},
        {"bptt.rtrl", "gates.lstm_step"},
    )  # fmt: skip
    names = [each.name for each in declared.exercises if each.name != "bptt.rtrl"]
    assert [each.name for each in mine.exercises] == names
    assert mine["bptt.clip"].total == 4
    assert mine["bptt.grad_params"].total == 10
    assert mine.questions[0].points == 5
    assert [each.name for each in mine.left_out] == ["bptt.rtrl"]
    assert adapted(declared, {}, ()) == declared


@pytest.mark.parametrize(
    ("points", "left_out", "said"),
    [
        ({"bptt.clop": 4}, (), 'no "bptt.clop". Did you mean "bptt.clip"?'),
        ({}, ("btpp.clip",), 'no "btpp.clip"'),
        ({"bptt.clip": 0}, (), "are 0, want a number above 0"),
        ({"bptt.clip": {"a": 1}}, (), "want a number above 0"),
        ({"bptt.grad_params": 5}, (), "for each of dU, dW, db, dV, dc"),
        ({"bptt.grad_params": {"dU": 5}}, (), "for each of dU, dW, db, dV, dc"),
        ({}, [each.name for each in chapter("bptt").exercises], "leaves out all of bptt"),
    ],
)
def test_what_does_not_fit_is_refused(points, left_out, said):
    with pytest.raises(CourseError, match=re.escape(said)):
        adapted(chapter("bptt"), points, left_out)


@pytest.fixture
def without_rtrl(monkeypatch):
    """The course as a class has it that leaves out 3.8 and the written question."""
    monkeypatch.setattr(exercises.yours, "LEFT_OUT", {"bptt.rtrl", "bptt.explain"})
    exercises._of_this_class.cache_clear()
    yield
    exercises._of_this_class.cache_clear()


@pytest.mark.usefixtures("without_rtrl")
def test_what_is_left_out_is_in_no_notebook(capsys):
    text = build.as_json(build.student_notebook("bptt"))
    assert "rtrl" not in text
    assert "Must it explode" not in text
    assert "Exercise 3.8" not in text
    assert "Exercise 3.9" in text
    with pytest.raises(CourseError, match=r"3\.8 \(bptt\.rtrl\) is left out in this class"):
        check("bptt.rtrl", print)
    forget()
    assert not ready("bptt.rtrl")
    assert "3.8 (left out in this class)" in capsys.readouterr().out


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_exercise_has_a_task_that_can_be_left_out(name):
    declared = chapter(name)
    cells = [c.source for c in build.source_notebook(name).cells if c.cell_type == "markdown"]
    for each in declared.exercises:
        assert sum(c.startswith(f"## Exercise {each.number}:") for c in cells) == 1, each.number


def test_more_exercises_come_last():
    one = replace(chapter("bptt")["bptt.clip"], name="bptt.other", number="3.99")
    longer = chapter("bptt").with_exercises(one)
    assert longer.exercises[-1] is one is longer["bptt.other"]
    assert len(chapter("bptt").exercises) + 1 == len(longer.exercises)


# ----------------------------------------------------------------- the page, command by command


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A copy of the house in which every block of the page has been run; and what each said."""
    house = tmp_path_factory.mktemp("yours") / "house"
    kept = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "autograder",
         "course", "solutions", "notebooks"],
        cwd=HOUSE, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, kept):
        if (HOUSE / name).is_file():
            (house / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HOUSE / name, house / name)
    programs = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([programs, os.environ["PATH"]]),
        "PYTHONPATH": str(house),  # what an installation in the copy would do
        "OMP_NUM_THREADS": "1",
    }
    said = {}
    for block in BLOCKS:
        run = subprocess.run(
            ["bash", "-e", "-c", block], cwd=house, env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{block}\n{run.stdout}\n{run.stderr}"
        said[block] = run.stdout
    return house, said


def points_of(house: Path, which: str) -> dict[str, float]:
    notebook = nbformat.read(house / which, as_version=4)
    found = (cell.metadata.get("nbgrader", {}) for cell in notebook.cells)
    return {each["grade_id"]: each["points"] for each in found if each.get("grade")}


def test_the_page_changes_points_leaves_out_and_adds(followed):
    house, _ = followed
    before = points_of(HOUSE, "notebooks/bptt.ipynb")
    after = points_of(house, "class/release/bptt/bptt.ipynb")
    before["test-bptt-clip"], before["bptt-explain"] = 4, 5
    del before["test-bptt-rtrl"]
    assert after == {**before, "test-bptt-perplexity": 2}
    text = (house / "class/release/bptt/bptt.ipynb").read_text(encoding="utf-8")
    assert "perplexity" in text
    assert "np.exp(loss(o, y, mask) / mask.sum())" not in text
    assert "real-time recurrent" not in text


def test_verify_shows_the_new_exercise(followed):
    _, said = followed
    (shown,) = [out for block, out in said.items() if "autograder verify" in block]
    assert "the exponential of the sum" in shown or "perplexity_of_the_sum" in shown
    assert "bptt.rtrl" not in shown


def test_the_answers_get_all_points_and_the_stubs_none(followed):
    house, _ = followed
    points = points_of(house, "class/release/bptt/bptt.ipynb")
    with (house / "class" / "grades.csv").open(newline="") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {"lovelace": sum(points.values()) - points["bptt-explain"], "babbage": 0}
