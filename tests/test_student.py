"""A student's machine: the folder course/ and a notebook, and nothing else of the house."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import nbformat
import pytest

from autograder import build
from course.repository import repository

HOUSE = Path(__file__).resolve().parent.parent

WORK_THROUGH = """
import json, sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, allow_errors=True, kernel_name="python3").execute()
found = [
    [
        cell.source,
        output.get("ename"),
        output.get("data", {}).get("text/plain", "") or output.get("text", ""),
        output.get("traceback", []),
    ]
    for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
]
print(json.dumps(found))
"""


PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def pip(root: Path, *words: object) -> None:
    """Run the environment's pip."""
    done = subprocess.run(
        [root / "env" / "bin" / "python", *PIP, *words], capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stderr


def installed(*names: str) -> list[metadata.Distribution]:
    """These packages as this Python has them, and all that they need; extras are not needed."""
    found: dict[str, metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        try:
            found[name] = found.get(name) or metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another system; if not, `pip check` says so
        needs = (each for each in found[name].requires or () if "extra ==" not in each)
        named = {re.match(r"[\w.-]+", each)[0] for each in needs}
        waiting += [each for each in named if re.sub(r"[-_.]+", "-", each).lower() not in found]
    return list(found.values())


def give(root: Path, packages: list[metadata.Distribution]) -> None:
    """Put packages of this environment into the new one, but for their commands.

    As pip would, except that nothing is unpacked: PyTorch alone takes half a minute.
    """
    for package in packages:
        for path in package.files:
            old = Path(os.path.abspath(package.locate_file(path)))
            place = old.relative_to(sys.prefix)
            if place.parts[0] == "bin" or not old.exists():  # what pip compiles may be gone
                continue
            new = root / "env" / place
            new.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(old, new)
            except OSError:  # another file system
                shutil.copy2(old, new)


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A new environment with what a hosted notebook brings, and without the toolkit."""
    root = tmp_path_factory.mktemp("student")
    subprocess.run([sys.executable, "-m", "venv", root / "env"], check=True)
    give(root, installed("numpy", "torch", "matplotlib", "ipython", "ipykernel", "nbclient"))
    pip(root, "check")
    return root


@pytest.fixture(scope="module")
def without(bare) -> list:
    """What the notebook shows where there is no toolkit."""
    return work_through(bare, nbformat.read(HOUSE / "notebooks" / "bptt.ipynb", as_version=4))


@pytest.fixture(scope="module")
def fetched(bare, without) -> dict[str, list]:
    """What the notebook of a published class shows, in Colab and elsewhere."""
    source = bare / "repository"
    shutil.copytree(
        HOUSE / "course", source / "course", ignore=shutil.ignore_patterns("*.egg-info", "__py*")
    )
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "toolkit"]):
        subprocess.run([*git, *words], cwd=source, check=True)
    notebook = build.student_notebook("bptt")
    (first, *_) = (cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = build.first_cell(repository("https://github.com/ada/rnn")).replace(
        "https://github.com/ada/rnn", source.as_uri()
    )
    elsewhere = work_through(bare, notebook)
    colab = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(colab))
    shown = {"elsewhere": elsewhere, "colab": work_through(bare, notebook)}
    pip(bare, "uninstall", "--yes", "rnn-course")
    return shown


@pytest.fixture(scope="module")
def clean(bare, fetched) -> Path:
    """The same with course/ and its dependencies, installed as a student would."""
    shutil.copytree(HOUSE / "course", bare / "course", ignore=shutil.ignore_patterns("*.egg-info"))
    pip(bare, "install", bare / "course")
    shutil.rmtree(bare / "course")  # what is installed must be enough
    return bare


def work_through(root: Path, notebook) -> list:
    """Run a notebook in the new environment; what it showed and what it raised."""
    import json

    path = root / "work" / "bptt.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    # The kernel named python3 must be the clean environment's own.
    environment["JUPYTER_PREFER_ENV_PATH"] = "1"
    environment["PATH"] = f"{root / 'env' / 'bin'}:{environment['PATH']}"
    environment["VIRTUAL_ENV"] = str(root / "env")
    out = subprocess.run(
        [root / "env" / "bin" / "python", "-c", WORK_THROUGH, path],
        capture_output=True,
        text=True,
        cwd=path.parent,
        env=environment,
    )
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout.splitlines()[-1])


def fill(notebook, name: str):
    """Put an answer into the student's notebook, as a student would."""
    grade_id = name.replace(".", "-")
    answer = next(
        cell.source
        for cell in build.source_notebook("bptt").cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    )
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id:
            cell.source = answer
    return notebook


VERSIONS = r'course \d+\.\d+\.\d+, Python 3\.\S+, NumPy 2\.\S+, PyTorch 2\.\S+, device "\w+".*\n'


def test_without_the_toolkit_the_first_cell_says_how_to_get_it(without):
    source, error, _, lines = without[0]
    assert source.startswith("# Run this first")
    assert error == "ModuleNotFoundError"
    assert lines == [
        "The toolkit of the course can't be imported: No module named 'course'.",
        "Get course.zip from the book (top of each chapter), put it beside this notebook, and run"
        " in a new cell:  %pip install course.zip",
        "Then run this cell again.",
    ]


def test_a_published_toolkit_is_fetched_in_colab_and_named_elsewhere(fetched):
    _, error, _, lines = fetched["elsewhere"][0]
    assert error == "ModuleNotFoundError"
    assert len(lines) == 3
    assert re.search(
        r'run in a new cell:  %pip install "git\+\S+@main#subdirectory=course"', lines[1], re.I
    )
    first = [each for each in fetched["colab"] if "google.colab" in each[0] and "pip" in each[0]]
    assert not any(error for _, error, *_ in first)
    assert re.fullmatch(VERSIONS, first[-1][2])
    raised = {source for source, error, *_ in fetched["colab"] if error}
    assert raised
    assert all(source.startswith("check(") for source in raised)


def test_course_alone_is_enough(clean):
    """From stubs to full marks, with hints, in an environment without the rest of the house."""
    released = nbformat.read(HOUSE / "notebooks" / "bptt.ipynb", as_version=4)
    probe = (
        "import importlib.util as u\n"
        "print([n for n in ('solutions', 'autograder') if u.find_spec(n)])\n"
        "hint('bptt.grad_h', 1)"
    )
    released.cells.append(nbformat.v4.new_code_cell(probe))
    begun = work_through(clean, fill(released, "bptt.forward"))
    assert ['check("bptt.forward")', None, "✓ bptt.forward (exercise 3.1): right", []] in begun
    assert re.fullmatch(VERSIONS, begun[0][2])
    failed = [source for source, error, *_ in begun if error]
    assert len(failed) == 13
    assert all(source.startswith("check(") for source in failed)
    assert any("Hint 1 of 3" in text for _, _, text, _ in begun)
    assert not any("solutions" in text for _, _, text, _ in begun)

    for name in ("loss", "grad_o", "grad_h", "grad_params", "clip", "truncated", "rtrl", "train"):
        fill(released, f"bptt.{name}")
    finished = work_through(clean, fill(released, "bptt.RNNFunction"))
    assert [source for source, error, *_ in finished if error] == []
    assert any("10 of 10 right, 30 of 30 points" in text for _, _, text, _ in finished)
