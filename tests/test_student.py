"""A student's machine: the folder course/ and a notebook, and nothing else of the house."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograder import build

HOUSE = Path(__file__).resolve().parent.parent

WORK_THROUGH = """
import json, sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, allow_errors=True, kernel_name="python3").execute()
found = [
    [cell.source, output.get("ename"), output.get("data", {}).get("text/plain", "")]
    for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    if output.output_type in ("error", "display_data")
]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    """A new environment with course/ and its dependencies, installed as a student would."""
    root = tmp_path_factory.mktemp("student")
    shutil.copytree(HOUSE / "course", root / "course", ignore=shutil.ignore_patterns("*.egg-info"))
    subprocess.run([sys.executable, "-m", "venv", root / "env"], check=True)
    python = root / "env" / "bin" / "python"
    pins = [
        line.split("#")[0].strip()
        for line in (HOUSE / "requirements.txt").read_text().splitlines()
        if line.startswith(("numpy", "torch", "matplotlib", "ipython", "ipykernel", "nbclient"))
    ]
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*install, *pins, root / "course"], capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(root / "course")  # what is installed must be enough
    return root


def work_through(clean: Path, notebook) -> list:
    """Run a notebook in the clean environment; what it displayed and what it raised."""
    import json

    path = clean / "work" / "bptt.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    # The kernel named python3 must be the clean environment's own.
    environment["JUPYTER_PREFER_ENV_PATH"] = "1"
    environment["PATH"] = f"{clean / 'env' / 'bin'}:{environment['PATH']}"
    environment["VIRTUAL_ENV"] = str(clean / "env")
    out = subprocess.run(
        [clean / "env" / "bin" / "python", "-c", WORK_THROUGH, path],
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
    assert ['check("bptt.forward")', None, "✓ bptt.forward (exercise 3.1): right"] in begun
    failed = [source for source, error, _ in begun if error]
    assert len(failed) == 13
    assert all(source.startswith("check(") for source in failed)
    assert any("Hint 1 of 3" in text for _, _, text in begun)
    assert not any("solutions" in text for _, _, text in begun)

    for name in ("loss", "grad_o", "grad_h", "grad_params", "clip", "truncated", "rtrl", "train"):
        fill(released, f"bptt.{name}")
    finished = work_through(clean, fill(released, "bptt.RNNFunction"))
    assert [source for source, error, _ in finished if error] == []
    assert any("10 of 10 right, 30 of 30 points" in text for _, _, text in finished)
