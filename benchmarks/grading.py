"""How long a submission takes: in the jail, and as stock nbgrader runs it.

    python benchmarks/grading.py [--rounds 5] [--json FILE]

Both grade the same notebooks in turn, in one process, so that a busy machine slows both alike.
Ratios of medians are what to look at; seconds are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from nbgrader.converters import Autograde

from autograder import build, demo, execute, grading
from autograder.sandbox.jail import Limits

STOCK = """
from nbgrader import preprocessors as p
c.Autograde.sanitize_preprocessors = [
    p.ClearOutput, p.DeduplicateIds, p.OverwriteKernelspec, p.OverwriteCells, p.CheckCellMetadata
]
c.Autograde.autograde_preprocessors = [
    p.Execute, p.LimitOutput, p.SaveAutoGrades, p.AssignLatePenalties, p.CheckCellMetadata
]
c.Autograde.exporter_class = "nbconvert.exporters.NotebookExporter"
"""


def new_class(root: Path, extra: str = "") -> grading.ClassFolder:
    """A released class; extra is added to its configuration."""
    build.build("bptt", root)
    config = root / build.CONFIG.name
    config.write_text(config.read_text() + extra)
    course = grading.ClassFolder.open(root)
    grading.release(course, "bptt")
    return course


def hand_in(course: grading.ClassFolder, student: str, text: str) -> None:
    """Put a submission in its place."""
    build.put(course.path("submitted", student, "bptt") / "bptt.ipynb", text)


def autograde(course: grading.ClassFolder, student: str) -> float:
    """Seconds of nbgrader's autograde, from the submitted file to the gradebook."""
    converter = Autograde(
        coursedir=course.coursedir(assignment_id="bptt", student_id=student), config=course.config
    )
    converter.force = True
    began = time.perf_counter()
    grading._start(converter)
    return time.perf_counter() - began


def submissions() -> dict[str, str]:
    """The notebooks: everything right, with and without the cell that trains, and untouched."""
    answers = demo.answers()
    right = build.student_notebook("bptt")
    for cell in right.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    checks = right.copy()
    checks.cells = [cell for cell in right.cells if not cell.source.startswith("if ready(")]
    return {
        "all right, no training": build.as_json(checks),
        "all right, with training": build.as_json(right),
        "untouched": build.as_json(build.student_notebook("bptt")),
    }


def sandbox_start(rounds: int) -> list[float]:
    """Seconds from the request of a jailed process to its being ready."""
    zygote = execute._zygote(True, True)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        with zygote.submission(limits=Limits()):
            times.append(time.perf_counter() - began)
    return times


def main() -> None:
    """Measure, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ours = new_class(Path(folder) / "ours")
        stock = new_class(Path(folder) / "stock", STOCK)
        for name, text in submissions().items():
            for course in (ours, stock):
                hand_in(course, "ada", text)
            autograde(ours, "ada")  # warm: a class has many submissions, and one first
            times: dict[str, list[float]] = {"ours": [], "stock": [], "jail": []}
            for _ in range(options.rounds):
                notebook = build.nbformat.reads(text, as_version=4)
                checks = execute.check_cells(notebook, "bptt")
                began = time.perf_counter()
                execute.run(notebook, checks, 1, Limits(), True)
                times["jail"].append(time.perf_counter() - began)
                times["ours"].append(autograde(ours, "ada"))
                times["stock"].append(autograde(stock, "ada"))
            found[name] = {key: statistics.median(each) for key, each in times.items()}
    starts = sandbox_start(20)
    print(f"{'submission':<26}{'in the jail':>12}{'end to end':>12}{'stock':>9}{'ratio':>8}")
    for name, each in found.items():
        print(
            f"{name:<26}{each['jail']:>10.2f} s{each['ours']:>10.2f} s{each['stock']:>7.2f} s"
            f"{each['stock'] / each['ours']:>8.1f}"
        )
    print(f"a jail is ready in {1000 * statistics.median(starts):.0f} ms (median of {len(starts)})")
    if options.json:
        machine = {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "torch", "nbgrader")},
        }
        record = {"medians": found, "jail_start": statistics.median(starts), "machine": machine}
        build.put(options.json, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
