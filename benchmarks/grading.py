"""How long a submission takes: in the jail, and as stock nbgrader runs it.

    python benchmarks/grading.py [--rounds 5] [--class-size 20] [--json FILE]

All grade the same notebooks in turn, so that a busy machine slows them alike.  First one at a
time, in one process that is warm; then a class, by the two commands as one types them, from their
start to their end.  Ratios of medians are what to look at; seconds are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from machine import machine
from nbgrader.converters import Autograde
from rich.progress import Progress

from autograder import build, demo, execute, grading, work
from autograder.sandbox.jail import Limits
from autograder.writer import Writer

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


def grade(writer: Writer, setting: work.Setting, student: str) -> float:
    """Seconds of the grader's own way, from the submitted file to the gradebook."""
    began = time.perf_counter()
    writer.write(work.grade_one(setting, writer.task(student, "")))
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


def one_at_a_time(folder: Path, rounds: int, progress: Progress) -> dict[str, dict[str, float]]:
    """Median seconds of each submission, each way."""
    ours, stock = new_class(folder / "ours"), new_class(folder / "stock", STOCK)
    found = {}
    bar = progress.add_task("one at a time", total=3 * rounds)
    for name, text in submissions().items():
        for course in (ours, stock):
            hand_in(course, "ada", text)
        with Writer(ours, "bptt") as writer:
            setting = writer.setting()
            grade(writer, setting, "ada")  # warm: a class has many submissions, and one first
            times: dict[str, list[float]] = {key: [] for key in ("jail", "ours", "nbgrader's way")}
            times["stock"] = []
            for _ in range(rounds):
                notebook = build.nbformat.reads(text, as_version=4)
                checks = execute.check_cells(notebook, "bptt")
                began = time.perf_counter()
                execute.run(notebook, checks, 1, Limits(), True)
                times["jail"].append(time.perf_counter() - began)
                times["ours"].append(grade(writer, setting, "ada"))
                times["nbgrader's way"].append(autograde(ours, "ada"))
                times["stock"].append(autograde(stock, "ada"))
                progress.advance(bar)
        found[name] = {key: statistics.median(each) for key, each in times.items()}
    return found


def a_class(folder: Path, size: int, rounds: int, progress: Progress) -> dict[str, float]:
    """Median seconds a submission of a whole class, from the start of the command to its end."""
    texts = submissions()
    mixed = [texts["all right, no training"], texts["untouched"]]
    ours, stock = new_class(folder / "our-class"), new_class(folder / "stock-class", STOCK)
    for course in (ours, stock):
        for n, text in enumerate(islice(cycle(mixed), size)):
            hand_in(course, f"student-{n:02}", text)
    commands = {
        f"ours, --jobs {jobs}": (ours, ("autograder", "grade", "bptt", "--jobs", str(jobs)))
        for jobs in (1, 2)
    } | {"stock": (stock, ("nbgrader", "autograde", "bptt"))}
    programs = Path(sys.executable).parent
    paths = os.pathsep.join([str(programs), os.environ.get("PATH", "")])
    times: dict[str, list[float]] = {name: [] for name in commands}
    bar = progress.add_task("a class", total=rounds * len(commands))
    for _ in range(rounds):
        for name, (course, (program, *arguments)) in commands.items():
            fresh = folder / "fresh"
            shutil.copytree(course.root, fresh)
            where = ["--course-dir", "."] if program == "autograder" else []
            began = time.perf_counter()
            subprocess.run(
                [programs / program, *arguments, *where],
                cwd=fresh,
                env={**os.environ, "PATH": paths},
                capture_output=True,
                check=True,
            )
            times[name].append((time.perf_counter() - began) / size)
            shutil.rmtree(fresh)
            progress.advance(bar)
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    """Measure, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--class-size", type=int, default=20)
    parser.add_argument("--class-rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as name, Progress() as progress:
        found = one_at_a_time(Path(name), options.rounds, progress)
        whole = a_class(Path(name), options.class_size, options.class_rounds, progress)
    starts = sandbox_start(20)
    print(f"{'submission':<26}{'in the jail':>12}{'end to end':>12}{'stock':>9}{'ratio':>8}")
    for name, each in found.items():
        print(
            f"{name:<26}{each['jail']:>10.2f} s{each['ours']:>10.2f} s{each['stock']:>7.2f} s"
            f"{each['stock'] / each['ours']:>8.1f}"
        )
    print(f"a class of {options.class_size}, s a submission, with the start of the command:")
    for name, seconds in whole.items():
        print(f"  {name:<24}{seconds:>7.2f} s{whole['stock'] / seconds:>8.1f}")
    print(f"a jail is ready in {1000 * statistics.median(starts):.0f} ms (median of {len(starts)})")
    if options.json:
        record = {
            "medians": found,
            "class": {"size": options.class_size, "seconds a submission": whole},
            "jail_start": statistics.median(starts),
            "machine": about,
        }
        build.put(options.json, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
