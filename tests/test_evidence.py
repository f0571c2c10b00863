"""What a score rests on: hashes of what is sent and got, and what a replay makes of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from small_class import answered, cell_of, hand_in, new_class
from typer.testing import CliRunner

from autograder import cli, grading
from autograder.evidence import Witness
from course.calls import Call, Finding

A = np.arange(6.0).reshape(2, 3)


def evidence(args=({"x": A},), answer=Call):
    witness = Witness(lambda given: answer(given["x"] * 2))
    for each in args:
        witness(each)
    return witness.evidence


def test_the_same_gives_the_same_hashes():
    one, other = evidence(), evidence()
    assert (one.sent, one.got, one.calls) == (other.sent, other.got, other.calls)
    assert one.calls == 1
    assert one.seconds >= 0


@pytest.mark.parametrize(
    "args",
    [
        ({"x": A + 1e-15},),
        ({"x": A.T},),
        ({"x": A.astype("f4")},),
        ({"x": A}, {"x": A}),
        ({"x": A, "more": 1},),
    ],
)
def test_another_input_has_another_hash(args):
    assert evidence(args).sent != evidence().sent


def test_another_answer_has_another_hash():
    def failed(value):
        return Call(finding=Finding("runs", "it raised"))

    for answer in (lambda v: Call(v + 1e-15), lambda v: Call([v]), lambda v: Call(), failed):
        other = evidence(answer=answer)
        assert other.got != evidence().got
        assert other.sent == evidence().sent


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A class with one submission, one function of which leaves something to chance."""
    course = new_class(tmp_path_factory.mktemp("class"))
    notebook = answered(course)
    cell = cell_of(notebook, "bptt-forward")
    *lines, last = cell.source.rstrip().splitlines()
    assert last.strip().startswith("return ")
    spoilt = "    return h, o + 1e-13 * np.random.default_rng().random(o.shape)"
    cell.source = "\n".join([*lines, last.replace("return", "h, o ="), spoilt])
    hand_in(course, "ada", notebook)
    grading.grade(course, "bptt")
    return course


def replay(course):
    return CliRunner().invoke(cli.app, ["replay", "ada", "bptt", "--course-dir", str(course.root)])


def test_a_replay_says_what_is_the_same_and_what_is_left_to_chance(course):
    done = replay(course)
    assert done.exit_code == 0, done.output
    assert done.output.count("something in the code is left to chance") == 1
    assert done.output.count("the same inputs and answers as then, bit for bit") == 5


def test_a_replay_says_when_the_checks_have_changed(course, monkeypatch):
    load = grading.load_run

    def other_seed(*args):
        run = load(*args)
        return dataclasses.replace(run, seed=run.seed + 1)

    monkeypatch.setattr(grading, "load_run", other_seed)
    assert replay(course).output.count("not the inputs of then") == 6


def test_a_notebook_that_is_not_the_record_s_is_not_replayed(course):
    """nbgrader's own autograde has graded it since, with other inputs."""
    path = course.path("autograded", "ada", "bptt") / "bptt.ipynb"
    before = path.read_text()
    path.write_text(before + " ")
    with pytest.raises(grading.GradingError, match="is not the one of the record"):
        grading.replay(course, "bptt", "ada")
    path.write_text(before)


def test_a_replay_spells_out_what_would_command_the_terminal(tmp_path):
    """A function's prints could clear the screen, show other points, or fill the clipboard."""
    course = new_class(tmp_path)
    said = "\x1b]52;c;cm0gLXJm\x07\x1b[2J\x9b8m\u202e30 of 30 points\r"
    body = f"def forward(*args):\n    print({said!r})\n    raise ValueError({said!r})\n"
    hand_in(course, "ada", answered(course, forward=body))
    grading.grade(course, "bptt")
    shown = replay(course).output
    assert not [letter for letter in shown if letter != "\n" and not letter.isprintable()]
    assert "\\x1b]52;c;cm0gLXJm\\x07" in shown
    assert "\\u202e30 of 30 points" in shown
