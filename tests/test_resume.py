"""A grading run that is killed again and again ends where an undisturbed one does."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time

import pytest
from gradebooks import tables
from processes import below, kill, left_behind, start
from small_class import answered, hand_in, new_class, scores

from autograder import grading
from autograder.grading import ClassFolder

STUDENTS = [f"student-{n:02}" for n in range(15)]
KILLS = 5


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A class of twelve, three of whom handed in again after a person had read the first."""
    course = new_class(tmp_path_factory.mktemp("resume") / "class")
    for student in STUDENTS[:3]:
        hand_in(course, student, answered(course, explain="It is necessary."))
    grading.grade(course, "bptt")
    with course.gradebook() as gradebook:
        for student in STUDENTS[:3]:
            gradebook.find_grade("bptt-explain", "bptt", "bptt", student).manual_score = 2
            gradebook.find_comment("bptt-explain", "bptt", "bptt", student).manual_comment = "so"
        gradebook.db.commit()
    for n, student in enumerate(STUDENTS):
        changes = {"forward": "def forward(*_):\n    return 1, 2\n"} if n % 3 == 1 else {}
        text = "{" if n == 5 else answered(course, explain=f"It is not, says {n}.", **changes)
        hand_in(course, student, text)
    shutil.copytree(course.root, course.root.with_name("killed"))
    grading.grade(course, "bptt")
    return course


def test_killed_five_times_it_ends_with_the_same_gradebook(undisturbed):
    course = ClassFolder.open(undisturbed.root.with_name("killed"))
    chance = random.Random(20261121)
    before = below(os.getpid())
    first = {path.name: path.read_text() for path in records(course)}

    def done() -> int:
        """How many submissions have a record that is not the one of the first round."""
        return sum(read(path) not in (None, first.get(path.name)) for path in records(course))

    command = ("autograder", "grade", "bptt", "--jobs", "2", "--course-dir", course.root)
    finished = []
    for n in range(KILLS):
        running = start(*command)
        # The first submission is slow to come; after it, a kill anywhere in the next few.
        while running.poll() is None and done() <= max(finished, default=0):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.12))
        assert running.poll() is None, f"it was over before the kill {n}"
        assert len(below(os.getpid()) - before) >= 4, "at work, with warm processes"
        kill(running)
        assert left_behind(before) == set()
        finished.append(done())
    assert finished == sorted(finished), "what was done stays done"
    assert finished[-1] < len(STUDENTS)
    running = start(*command, said=subprocess.PIPE)
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert left_behind(before) == set()
    assert f"{finished[-1]} unchanged" in said
    want, found = tables(undisturbed), tables(course)
    for name, rows in want.items():
        assert found[name] == rows, name
    for student in STUDENTS[:3]:
        assert scores(course, student)["bptt-explain"] == (None, 2)
    assert not [path for path in course.root.rglob(".*") if path.name != ".demo-class"]
    assert not any(each.fresh for each in grading.grade(course, "bptt"))


def records(course):
    return list((course.root / "grading" / "bptt").glob("student-*.json"))


def read(path):
    """The text of a record; None if it was removed just now."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
