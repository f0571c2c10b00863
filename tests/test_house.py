"""The house: who may import whom, and what every folder may not hold."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePath

import pytest
from figures.house import imported, sources

from course.machine import VERSION

HOUSE = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "course": {"course"},
    "solutions": {"course", "solutions"},
    "autograder": {"course", "solutions", "autograder"},
    "book": {"course", "solutions", "figures"},
    "notebooks": {"course"},
}
ROOMS = {"course", "solutions", "autograder", "notebooks", "tests", "book"}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_one_way(room):
    found = sources(room)
    assert found
    for where, text in found:
        wrong = (imported(text) & (ROOMS | {"figures"})) - MAY_IMPORT[room]
        assert not wrong, f"{where} imports {wrong}"


def test_course_never_needs_torch_until_an_exercise_does():
    """A NumPy exercise is checked without PyTorch being imported: that takes seconds."""
    code = (
        "import sys; from course import check; from course.exercises import bptt;"
        "from course.calls import call; e = bptt.CHAPTER['bptt.loss'];"
        "import numpy as np; c = e.cases(np.random.default_rng(0));"
        "call(e.run, lambda *a: 0.0, c[0].args); e.oracle(**c[0].args);"
        "print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_requirements_are_pinned_and_each_has_a_reason():
    lines = (HOUSE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert len(wanted) > 15
    for line in wanted:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[^\s#]+ +# .{10,}", line), line


def test_whatever_is_imported_is_pinned():
    """What comes along with another package today may come in another version tomorrow."""
    pinned = {
        line.split("==")[0].lower()
        for line in (HOUSE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    }
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout.split()
    own = {part for path in listed for part in PurePath(path).with_suffix("").parts}
    known = importlib.metadata.packages_distributions()
    loose = {}
    for path in listed:
        for name in imported((HOUSE / path).read_text(encoding="utf-8")) - own:
            if name not in sys.stdlib_module_names:
                brought = {each.lower() for each in known.get(name, ["nothing installed"])}
                if not brought & pinned:
                    loose.setdefault(name, path)
    assert loose == {}
    assert {"numpy", "sqlalchemy", "filelock"} <= pinned


def test_no_process_of_jupyter_loads_a_grammar_of_addresses():
    """A later jsonschema takes a second to build one, in every process that reads a notebook."""
    code = "import nbformat, sys; print({'rfc3987_syntax', 'lark'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def packaging(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def test_both_packages_say_the_same_of_pythons_and_files():
    whole, students = packaging(HOUSE), packaging(HOUSE / "course")
    assert whole["project"]["version"] == students["project"]["version"] == VERSION
    assert whole["project"]["requires-python"] == students["project"]["requires-python"]
    files = whole["tool"]["setuptools"]["package-data"]
    assert {name: files[name] for name in files if name.startswith("course")} == (
        students["tool"]["setuptools"]["package-data"]
    )
    packages = whole["tool"]["setuptools"]["packages"]
    assert [name for name in packages if name.startswith("course")] == (
        students["tool"]["setuptools"]["packages"]
    )


def test_every_file_of_a_package_is_packed():
    """A module lies in a package that is named, any other file is named by a pattern."""
    setting = packaging(HOUSE)["tool"]["setuptools"]
    known = {f"{name.replace('.', '/')}/*.py" for name in setting["packages"]}
    for name, patterns in setting["package-data"].items():
        known |= {f"{name.replace('.', '/')}/{pattern}" for pattern in patterns}
    there = subprocess.run(
        ["git", "ls-files", "course", "solutions", "autograder"],
        cwd=HOUSE, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert len(there) > 80
    lost = {path for path in there if not any(PurePath(path).match(each) for each in known)}
    assert lost == {"course/pyproject.toml"}
    for pattern in known:
        assert any(PurePath(path).match(pattern) for path in there), f"{pattern} matches no file"


def test_make_help_lists_every_target():
    text = (HOUSE / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"(?m)^\.PHONY: ((?:.*\\\n)*.*)$", text)[1].replace("\\", "").split())
    assert targets == set(re.findall(r"(?m)^(\w+):(?!=)", text))
    said = subprocess.run(
        ["make", "help"], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"(?m)^make (\w+) +\S", said)) == targets


def test_the_picture_in_the_readme_is_the_front_page_s():
    import front

    from course import figures

    drawn = figures.as_svg(front.draw(front.data()))
    kept = (HOUSE / "book" / "_static" / "front.svg").read_text(encoding="utf-8")
    # Numbers may differ in their last digits on another processor; words and elements may not.
    words = re.compile(r"[A-Za-z]{3,}")
    assert words.findall(kept) == words.findall(drawn), "run: python book/front.py"
