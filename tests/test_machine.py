"""``about``, and what a check says that a function was called with."""

from __future__ import annotations

import importlib
import inspect
import platform
import re
import sys

import numpy as np
import pytest

from course import about, machine
from course.calls import call
from course.exercise import CHAPTERS, chapter

FUNCTIONS = [
    exercise
    for name in CHAPTERS
    for exercise in chapter(name).exercises
    if exercise.kind != "class"
]


def test_about_names_versions_and_device(capsys):
    import torch

    device = about()
    said = capsys.readouterr().out
    assert device == ("cuda" if torch.cuda.is_available() else "cpu")
    for each in (platform.python_version(), np.__version__, torch.__version__, f'"{device}"'):
        assert each in said
    assert said.count("\n") == 1


def test_about_does_without_torch(capsys, monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would fail
    assert about() == "cpu"
    assert "no PyTorch" in capsys.readouterr().out


def test_about_finds_a_gpu(capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a large one")
    assert about() == "cuda"
    assert 'device "cuda" (a large one)' in capsys.readouterr().out


def stopped(exercise, answer) -> str:
    """What is said of the arguments when an answer raises on the first public case."""
    case = exercise.cases(np.random.default_rng(0))[0]
    return call(exercise.run, answer, case.args).finding.lines[-1]


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda each: each.name)
def test_an_exception_lists_the_arguments_of_the_signature(exercise):
    """Whatever an adapter makes of a case: the names that the student has written, in order."""
    right = getattr(importlib.import_module(f"solutions.{exercise.chapter}"), exercise.symbol)
    signature = inspect.signature(right)
    space: dict = {}
    exec(f"def wrong{signature}:\n    raise ValueError('no')", space)
    said = stopped(exercise, space["wrong"])
    if said.startswith("it was called with "):
        told = said.removeprefix("it was called with ")
        at = [re.search(rf"(^|, ){name}([ ,]|$)", told).start() for name in names(right)]
        assert at == sorted(at)
    else:  # it stopped where there are shapes and no numbers
        assert exercise.uses_torch


def names(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_what_an_adapter_makes_is_told_as_it_is():
    encode = chapter("seq2seq")["seq2seq.encode"]

    def wrong(step, params, x, mask, h0):
        raise ValueError("no")

    assert stopped(encode, wrong) == (
        "it was called with step, params ((4, 3), (4, 4), (4,)), x (5, 2, 3), mask (5, 2),"
        " h0 (2, 4)"
    )


def test_names_are_the_students_own_and_values_the_cases():
    """An array's name that has been used again since does not change what is told."""
    forward = chapter("bptt")["bptt.forward"]

    def wrong(x, h_0, U, W, b, V, c):
        x = x.T
        raise ValueError("no")

    assert "x (5, 2, 3), h_0 (2, 4), U (4, 3)" in stopped(forward, wrong)


def test_a_network_is_told_by_what_forward_gets():
    network = chapter("seq2seq")["seq2seq.Seq2Seq"]
    from solutions.seq2seq import Seq2Seq

    class Wrong(Seq2Seq):
        def forward(self, x, lengths, y0, y):
            raise ValueError("no")

    case = next(each for each in network.cases(np.random.default_rng(0)) if "also" not in each.args)
    said = call(network.run, Wrong, case.args).finding.lines[-1]
    assert said == "it was called with x (5, 2), lengths (2,), y0 (2,), y (4, 2)"


def test_arguments_that_do_not_fit_are_told_by_the_cases_names():
    clip = chapter("bptt")["bptt.clip"]
    assert "grads [" in stopped(clip, lambda: None)
    assert "grads [" in stopped(clip, lambda *given: given[5])


class Evil:
    """An object that fails at whatever is asked of it."""

    def __getattribute__(self, name):
        raise RuntimeError("no")


def test_an_object_that_fails_at_everything_stops_nothing():
    clip = chapter("bptt")["bptt.clip"]

    def wrong(grads, max_norm):
        max_norm = Evil()
        raise ValueError(max_norm is None)

    assert stopped(clip, wrong).endswith(", max_norm")
