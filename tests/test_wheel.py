"""The student's toolkit as one file: it holds what it needs, and nothing of the trusted side."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest

HOUSE = Path(__file__).resolve().parent.parent

# No .pth file is read, so that the house itself, which is installed editable, can't be found.
ALONE = """
import sys
target, packages = sys.argv[1:]
sys.path[:0] = [target]
sys.path.append(packages)
import importlib.util
assert [n for n in ("solutions", "autograder") if importlib.util.find_spec(n)] == []
import course
from course import CheckFailed, check, datasets, fixtures, hint
from course.exercise import CHAPTERS, chapter
assert course.__file__.startswith(target), course.__file__
for name in CHAPTERS:
    known = fixtures.of_chapter(name)
    assert set(known) == {e.name for e in chapter(name).exercises}
hint("bptt.grad_h", 1)
print(len(datasets.names().train.texts), "names")
try:
    check("bptt.grad_o", lambda o, y, mask: o)
except CheckFailed:
    print("a wrong answer fails")
"""


@pytest.fixture(scope="module")
def wheel() -> Path:
    """What `make wheel` makes of the house as it is."""
    made = ["make", "--assume-old=.venv/installed", "wheel"]
    done = subprocess.run(made, cwd=HOUSE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    (found,) = (HOUSE / "build" / "dist").iterdir()
    return found


def test_it_holds_every_file_of_course_and_no_other(wheel):
    there = subprocess.run(
        ["git", "ls-files", "course"], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout.split()
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == set(there) - {"course/pyproject.toml"}


def test_it_is_enough_without_the_house(wheel, tmp_path):
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*install, target, wheel], check=True, cwd=tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE, target, sysconfig.get_path("purelib")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "names" in done.stdout
    assert "Hint 1 of 3" in done.stdout
    assert "a wrong answer fails" in done.stdout
