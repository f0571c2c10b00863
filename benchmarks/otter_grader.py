"""Seconds a submission takes with Otter, with stock nbgrader, and with this project's grader.

    python3 -m venv build/otter && build/otter/bin/pip install otter-grader
    python benchmarks/otter_grader.py --otter build/otter/bin/python [--rounds 5] [--json FILE]

All three judge the same notebook, everything right, with the same checks, in turn, so that a busy
machine slows all alike.  Otter gets them as exception-based tests and runs without its container
(``otter run``), once as a command and once within a process that lasts; it takes NumPy, torch and
the course from this environment.  The cell that trains is left out: nothing but the checks is
compared.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sysconfig
import tempfile
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

import nbformat
from attack_table import STOCK, new_class
from nbgrader.converters import Autograde

from autograder import build, demo, grading
from course.exercise import chapter

HOUSE = Path(__file__).resolve().parent.parent

TEST = """
from otter.test_files import test_case
OK_FORMAT = False
name = {label!r}
points = {points}

@test_case()
def test_it(env):
    from course import check
    check({name!r}, env[{symbol!r}])
"""

WORKER = """
import contextlib, io, sys, time
from otter.api import grade_submission
for line in sys.stdin:
    notebook, autograder = line.rstrip("\\n").split("\\t")
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        results = grade_submission(notebook, autograder)
    print(time.perf_counter() - began, results.total, results.possible, flush=True)
"""


POINTS = sum(exercise.points_of(None) for exercise in chapter("bptt").exercises)
"""What the checks give for a notebook that is right in everything."""


def submission() -> nbformat.NotebookNode:
    """Everything right, and no training."""
    answers = demo.answers()
    notebook = build.student_notebook("bptt")
    for cell in notebook.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    notebook.cells = [cell for cell in notebook.cells if not cell.source.startswith("if ready(")]
    return notebook


def for_otter(notebook: nbformat.NotebookNode, folder: Path) -> tuple[Path, Path]:
    """The same notebook without the check cells, and an autograder with those checks as tests."""
    tests, kept = {}, []
    for cell in notebook.cells:
        called = re.fullmatch(r'check\("([\w.]+)"\)', cell.source.strip())
        if called:
            label = called[1].replace(".", "_")
            tests[label] = TEST.format(
                label=label,
                name=called[1],
                symbol=called[1].split(".")[1],
                points=cell.metadata.nbgrader.points,
            )
        else:
            kept.append(cell)
    path, archive = folder / "bptt.ipynb", folder / "autograder.zip"
    build.put(path, build.as_json(nbformat.v4.new_notebook(cells=kept, metadata=notebook.metadata)))
    with zipfile.ZipFile(archive, "w") as file:
        for label, text in tests.items():
            file.writestr(f"tests/{label}.py", text)
        file.writestr("otter_config.json", "{}")
    return path, archive


def autograde(course: grading.ClassFolder) -> float:
    """Seconds of nbgrader's autograde, from the submitted file to the gradebook."""
    converter = Autograde(
        coursedir=course.coursedir(assignment_id="bptt", student_id="ada"), config=course.config
    )
    converter.force = True
    began = time.perf_counter()
    grading._start(converter)
    seconds = time.perf_counter() - began
    with course.gradebook() as gradebook:
        found = gradebook.find_submission_notebook("bptt", "bptt", "ada")
        assert sum(g.auto_score for g in found.grades if g.cell.cell_type == "code") == POINTS
    return seconds


def main() -> None:
    """Measure in turn, print medians, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--otter", type=Path, required=True, help="the Python that has Otter")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    python = options.otter.absolute()
    path = os.pathsep.join([str(HOUSE), sysconfig.get_paths()["purelib"]])
    environment = {**os.environ, "PYTHONPATH": path}
    times: dict[str, list[float]] = {
        each: [] for each in ("ours", "stock nbgrader", "otter run", "otter in one process")
    }
    with tempfile.TemporaryDirectory(prefix="otter-") as folder:
        ours = new_class(Path(folder) / "ours", None)
        stock = new_class(Path(folder) / "stock", STOCK)
        notebook = submission()
        for course in (ours, stock):
            text = build.as_json(notebook)
            build.put(course.path("submitted", "ada", "bptt") / "bptt.ipynb", text)
        handed_in, archive = for_otter(notebook, Path(folder))
        worker = subprocess.Popen(
            [python, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            cwd=folder,
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        autograde(ours)  # warm: a class has many submissions, and one first
        for _ in range(options.rounds):
            times["ours"].append(autograde(ours))
            times["stock nbgrader"].append(autograde(stock))
            worker.stdin.write(f"{handed_in}\t{archive}\n")
            worker.stdin.flush()
            took, *points = worker.stdout.readline().split()
            assert [float(each) for each in points] == [POINTS, POINTS], points
            times["otter in one process"].append(float(took))
            command = [python.with_name("otter"), "run", "--no-logo", "-a", archive, handed_in]
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment, cwd=folder)
            times["otter run"].append(time.perf_counter() - began)
        worker.stdin.close()
        worker.wait()
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, seconds in medians.items():
        print(f"{name:<24}{seconds:>8.2f} s{seconds / medians['ours']:>8.1f}")
    if options.json:
        asked = "from importlib.metadata import version as v; print(v('otter-grader'))"
        otter = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
        record = {
            "date": datetime.date.today().isoformat(),
            "seconds": medians,
            "rounds": options.rounds,
            "machine": {
                "processor": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                **{name: version(name) for name in ("numpy", "torch", "nbgrader")},
                "otter-grader": otter.stdout.strip(),
            },
        }
        build.put(options.json, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
