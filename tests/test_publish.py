"""What students get as a repository of their own, and what Binder would make of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from test_build import answer_lines

from autograder.build import HOUSE, BuildError
from autograder.publish import NOT_FOR_STUDENTS, publish
from course.exercise import CHAPTERS


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("publish") / "students"
    assert publish(folder)
    return folder


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_it_is_what_git_knows_of_three_folders_and_two_files(published):
    wanted = ["course", "notebooks", "binder", "LICENSE"]
    there = subprocess.run(
        ["git", "ls-files", *wanted], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout.split()
    assert names(published) == {*there, "README.md"}
    for name in there:
        assert (published / name).read_bytes() == (HOUSE / name).read_bytes()


def test_no_answer_is_in_it(published):
    for name in CHAPTERS:
        cells = nbformat.read(published / f"notebooks/{name}.ipynb", as_version=4).cells
        text = "\n".join(cell.source for cell in cells)
        assert [line for line in answer_lines(name) if line in text] == []
    assert not [name for name in names(published) if "slips" in name or "solutions" in name]


def test_again_it_changes_nothing_and_leaves_other_files(published):
    (published / "syllabus.md").write_text("mine")
    assert publish(published) == []
    (published / "notebooks/bptt.ipynb").unlink()
    assert publish(published) == [published / "notebooks/bptt.ipynb"]
    assert (published / "syllabus.md").read_text() == "mine"


@pytest.mark.parametrize("name", NOT_FOR_STUDENTS)
def test_a_folder_with_answers_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(BuildError, match=rf"holds {re.escape(name)}, which is not for students"):
        publish(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_house_is_refused():
    with pytest.raises(BuildError, match="not for students"):
        publish(HOUSE)


def test_binder_installs_the_toolkit_and_nothing_of_the_trusted_side():
    """A folder binder/ takes the place of every other file that Binder would look for."""
    assert {path.name for path in (HOUSE / "binder").iterdir()} == {
        "requirements.txt",
        "runtime.txt",
    }
    lines = (HOUSE / "binder/requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line.split(" #")[0].strip() for line in lines if not line.startswith("#")]
    assert wanted == ["--extra-index-url https://download.pytorch.org/whl/cpu", "./course"]
    version = re.fullmatch(r"python-3\.(\d+)\n", (HOUSE / "binder/runtime.txt").read_text())
    limits = re.search(r'>=3\.(\d+),<3\.(\d+)"', (HOUSE / "course/pyproject.toml").read_text())
    assert int(limits[1]) <= int(version[1]) < int(limits[2])


def test_pip_takes_what_binder_gives_it(published, tmp_path):
    """As Binder does, from the repository's root; without what course depends on."""
    wanted = tmp_path / "requirements.txt"
    text = (published / "binder/requirements.txt").read_text(encoding="utf-8")
    # The other index holds PyTorch alone, which is left out here.
    wanted.write_text(re.sub(r"(?m)^--extra-index-url.*\n", "", text), encoding="utf-8")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site]
    done = subprocess.run(
        [*install, "-r", wanted], cwd=published, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    code = "import course, sys; print(course.__file__); course.about()"
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.startswith(str(site))
    assert 'device "' in said.stdout
