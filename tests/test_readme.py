"""What README.md and CONTRIBUTING.md claim: numbers, commands, files, and the sample of a check."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer

from autograder import cli, demo
from autograder.slip import of_chapter
from course import CheckFailed, check
from course.exercise import CHAPTERS

HOUSE = Path(__file__).resolve().parent.parent
README = (HOUSE / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (HOUSE / "CONTRIBUTING.md").read_text(encoding="utf-8")
WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
]


def test_the_sample_of_a_check_is_what_a_check_prints(capsys):
    (sample,) = re.findall(r"```\n(✗.*?)\n```", README, flags=re.S)
    dropped = [
        each
        for each in of_chapter("bptt")
        if each.exercise == "bptt.grad_h" and f'"{each.title}"' in sample
    ]
    with pytest.raises(CheckFailed):
        check("bptt.grad_h", dropped[0].answer)
    assert capsys.readouterr().out.strip() == sample


def test_chapters_and_students_are_counted():
    assert f"All {WORDS[len(CHAPTERS)]} chapters are there" in README
    listed = re.search(r"chapters are there: (.*?)\.\n", README, flags=re.S)[1]
    assert len(re.split(r", and |, ", " ".join(listed.split()))) == len(CHAPTERS)
    assert f"makes a class of {WORDS[len(demo.CLASS)]} students" in " ".join(README.split())


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["readme", "contributing"])
def test_commands_exist(text):
    targets = re.findall(r"(?m)^([a-z]+):.*## ", (HOUSE / "Makefile").read_text(encoding="utf-8"))
    asked = set(re.findall(r"(?m)(?:`|^)make ([a-z]+)", text))
    assert asked
    assert asked <= set(targets)
    known = set(typer.main.get_command(cli.app).commands)
    asked = set(re.findall(r"(?m)(?:`|^|bin/)autograder ([a-z][a-z-]*)", text))
    assert asked
    assert asked <= known


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["readme", "contributing"])
def test_files_that_are_named_are_there(text):
    """With a chapter in the place of <chapter>; what is built or made up is not looked for."""
    there = subprocess.run(
        ["git", "ls-files"], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout.split()
    rooms = {name.split("/")[0] for name in there if "/" in name}
    named = re.findall(r"`((?:[\w.<>-]+/)+[\w.<>-]*)`", text)
    named += re.findall(r"(?m)^(\w+/) {2,}\w", text)
    wanted = [name for name in named if name.split("/")[0] in rooms]
    assert len(wanted) > 2
    for name in wanted:
        pattern = re.escape(name).replace("<chapter>", "bptt").replace(r"NN\-", r"\d\d-")
        assert [each for each in there if re.match(pattern, each)], name
