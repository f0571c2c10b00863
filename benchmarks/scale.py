"""How grading grows: with workers, with the class, and with the number of runs.

    python benchmarks/scale.py [workers] [writer] [export] [again] [--json FILE] [--size N]

``workers``: N submissions (1,000) on one worker and on two, in turn, so that a busy machine slows
both alike; ``writer``: 100 N results into SQLite while another process reads; ``export``: 11,000
students with ten exercises; ``again``: the same submission and seed, a hundred times.  All four, if
none is named.  Ratios are what to look at; seconds are this machine's.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import io
import json
import multiprocessing
import os
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from grading import new_class, sandbox_start, submissions
from machine import machine
from nbgrader.api import Comment, Grade, Student, SubmittedAssignment, SubmittedNotebook, new_uuid
from nbgrader.plugins import CsvExportPlugin
from rich.progress import Progress
from sqlalchemy import insert

from autograder import build, crew, demo, execute, grading, work
from autograder.export import lines, plain
from autograder.sandbox.jail import Limits
from autograder.work import Result, Task
from autograder.writer import Writer

Record = dict[str, Any]
Step = Callable[[], None]


def variants() -> list[str]:
    """Notebooks as a class hands them in: right, wrong, untouched; none trains."""
    right = submissions()["all right, no training"]
    wrong = build.nbformat.reads(right, as_version=4)
    slips = demo.written_by("dropped_terms")
    for cell in wrong.cells:
        cell.source = slips.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    untouched = build.as_json(build.student_notebook("bptt"))
    return [right, build.as_json(wrong), right, untouched]


def resident(processes: set[int]) -> int:
    """Bytes that these processes hold for themselves, and their share of what they share."""
    total = 0
    for process in processes:
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += 1024 * sum(int(line.split()[1]) for line in text.splitlines() if "Pss:" in line)
    return total


def below(process: int) -> set[int]:
    """The processes below one, at any depth."""
    found: set[int] = set()
    try:
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found |= {child} | below(child)
    except OSError:
        pass
    return found


# One worker and two.


def pin(pool: crew.Pool) -> None:
    """Give each worker a core of its own, and what it starts the same one.

    A worker and its jail work at the same time where they may, and one worker then fills more than
    one core: on two cores, two of them could not be twice as fast.
    """
    for core, member in zip(sorted(os.sched_getaffinity(0)), pool._members, strict=False):
        os.sched_setaffinity(member.process.pid or 0, {core})


def workers(folder: Path, size: int, progress: Progress) -> Record:
    """Grade the same submissions on one worker and on two, a chunk at a time, in turn.

    Each worker has a core.
    """
    chunk = max(size // 10, 10)
    bar = progress.add_task("workers", total=2 * size)
    texts = variants()
    names = [f"student-{n:05}" for n in range(size)]
    times: dict[int, list[float]] = {1: [], 2: []}
    writing: list[float] = []
    memory: list[dict[str, int]] = []
    courses = {count: new_class(folder / f"workers-{count}") for count in times}
    writers = {count: Writer(course, "bptt") for count, course in courses.items()}
    setting = writers[1].setting()
    with crew.Pool(setting, 1) as one, crew.Pool(setting, 2) as two:
        pools = {1: one, 2: two}
        for count in times:  # everything started before the clock
            pin(pools[count])
            warm = (Task(f"warm-{n}", "", texts[0].encode()) for n in range(2 * count))
            list(crew.results(setting, warm, pools[count]))
        for start in range(0, size, chunk):
            order = (1, 2) if start // chunk % 2 else (2, 1)
            for count in order:
                tasks = (
                    Task(name, name, texts[n % len(texts)].encode())
                    for n, name in enumerate(names[start : start + chunk], start)
                )
                began = time.perf_counter()
                for result in crew.results(setting, tasks, pools[count]):
                    before = time.perf_counter()
                    writers[count].write(result)
                    writing.append(time.perf_counter() - before)
                    progress.advance(bar)
                times[count].append(time.perf_counter() - began)
            memory.append(
                {
                    "grader": resident({os.getpid()}),
                    "workers and warm processes": resident(below(os.getpid())),
                }
            )
    for writer in writers.values():
        writer.close()
    with execute._zygote(True, True):
        starts = sandbox_start(20)
    total = {count: sum(each) for count, each in times.items()}
    settled = memory[len(memory) // 5 :]
    return {
        "submissions": size,
        "seconds a submission": {count: total[count] / size for count in total},
        "efficiency of two workers": total[1] / (2 * total[2]),
        "efficiency, median of chunks": statistics.median(
            a / (2 * b) for a, b in zip(times[1], times[2], strict=True)
        ),
        "writer, ms a submission": 1000 * statistics.median(writing),
        "memory, MB": {name: [round(each[name] / 1e6) for each in memory] for name in settled[0]},
        "memory grew after warm-up": {
            name: max(each[name] for each in settled) / settled[0][name] - 1 for name in settled[0]
        },
        "jail ready, ms": 1000 * statistics.median(starts),
    }


# The writer, while others read.


def _read_all_the_time(root: str, stop: Any, counts: Any) -> None:
    """What formgrader asks when it shows a class, and a grader's page, over and over."""
    course = grading.ClassFolder.open(Path(root))
    with course.gradebook() as gradebook:
        while not stop.is_set():
            gradebook.average_assignment_score("bptt")
            gradebook.submission_dicts("bptt")
            for each in gradebook.notebook_submissions("bptt", "bptt")[:20]:
                assert all(grade.max_score is not None for grade in each.grades)
            gradebook.db.rollback()
            gradebook.db.expunge_all()
            counts.value += 1


def writer(folder: Path, size: int, progress: Progress) -> Record:
    """Write 100 results for each of N students, inserts and updates, while a process reads."""
    course = new_class(folder / "writer")
    rounds, students = 100, [f"student-{n:05}" for n in range(size)]
    bar = progress.add_task("writer", total=rounds * size)
    with Writer(course, "bptt") as opened:
        setting = opened.setting()
        text = submissions()["untouched"]
        model = work.grade_one(setting, Task("model", "model", text.encode()))
    checks = [name for name in model.scores if name.startswith("test-")]
    context = multiprocessing.get_context("spawn")
    stop, counts = context.Event(), context.Value("i", 0)
    reader = context.Process(target=_read_all_the_time, args=(str(course.root), stop, counts))
    times = []
    with Writer(course, "bptt") as opened:
        opened.write(_invented(model, students[0], 0, checks))
        reader.start()
        while not counts.value:
            time.sleep(0.1)
        for turn in range(rounds):
            for n, student in enumerate(students):
                result = _invented(model, student, n + turn, checks)
                began = time.perf_counter()
                opened.write(result)
                times.append(time.perf_counter() - began)
                progress.advance(bar)
    stop.set()
    reader.join()
    wrong, rows = _compare(course, students, rounds - 1, checks)
    return {
        "results": len(times),
        "students": size,
        "ms a result": 1000 * statistics.median(times),
        "ms, the slowest of a hundred": 1000 * sorted(times)[-len(times) // 100],
        "seconds": sum(times),
        "rounds of the reader meanwhile": counts.value,
        "the reader ended with": reader.exitcode,
        "rows checked": rows,
        "rows wrong": wrong,
    }


def _invented(model: Result, student: str, n: int, checks: Sequence[str]) -> Result:
    """A result with scores that tell which one it was; its notebook is short, to spare the disk."""
    scores = {**model.scores, **{name: float((n + k) % 2) for k, name in enumerate(checks)}}
    run = dataclasses.replace(model.run, key=f"{student} {n}")
    return Result(student, run, f'{{"cells": [], "n": {n}}}\n', scores, model.comments)


def _compare(course: Any, students: Sequence[str], turn: int, checks: Sequence[str]) -> Any:
    """Every score in the gradebook against the one of the last round."""
    wrong = rows = 0
    place = {name: k for k, name in enumerate(checks)}
    number = {student: n for n, student in enumerate(students)}
    with closing(sqlite3.connect(course.root / "gradebook.db")) as database:
        found = database.execute(
            "SELECT a.student_id, c.name, g.auto_score FROM grade g"
            " JOIN base_cell c ON c.id = g.cell_id"
            " JOIN submitted_notebook n ON n.id = g.notebook_id"
            " JOIN submitted_assignment a ON a.id = n.assignment_id"
        )
        for student, name, score in found:
            if name in place:
                rows += 1
                wrong += score != (number[student] + turn + place[name]) % 2
    return wrong, rows


# Export.


def export(folder: Path, size: int, progress: Progress) -> Record:
    """Export 11,000 students with ten exercises; nbgrader's own export of a slice of them."""
    students, exercises = 11 * size, 10
    bar = progress.add_task("export", total=4)
    found: Record = {"students": students, "exercises": exercises}
    for name, count in (("whole", students), ("slice", max(students // 50, 20))):
        course = _filled(folder / f"export-{name}", count, exercises)
        progress.advance(bar)
        with course.gradebook() as gradebook:
            began = time.perf_counter()
            text = io.StringIO()
            plain(lines(gradebook), text)
            found[f"ours, s, {count} students"] = time.perf_counter() - began
        assert text.getvalue().count("\n") == count + 1
        if name == "slice":
            with course.gradebook() as gradebook:
                began = time.perf_counter()
                CsvExportPlugin(to=str(folder / "stock.csv")).export(gradebook)
                stock = time.perf_counter() - began
            assert (folder / "stock.csv").read_text() == text.getvalue()
            found[f"nbgrader's, s, {count} students"] = stock
            found["nbgrader's, s, extrapolated in proportion"] = stock * students / count
        progress.advance(bar)
    return found


def _filled(root: Path, students: int, exercises: int) -> Any:
    """A class whose gradebook was filled without grading, a notebook of ten cells each."""
    course = new_class(root)
    with course.gradebook() as gradebook:
        assignment = gradebook.find_assignment("bptt")
        (notebook,) = assignment.notebooks
        cells = notebook.grade_cells[:exercises]
        comments = notebook.solution_cells
        names = [f"student-{n:05}" for n in range(students)]
        ids = [(new_uuid(), new_uuid()) for _ in names]
        for kind, rows in (
            (Student, [{"id": name, "first_name": "A", "last_name": name} for name in names]),
            (
                SubmittedAssignment,
                [
                    {"id": a, "assignment_id": assignment.id, "student_id": name}
                    for name, (a, _) in zip(names, ids, strict=True)
                ],
            ),
            (
                SubmittedNotebook,
                [{"id": b, "assignment_id": a, "notebook_id": notebook.id} for a, b in ids],
            ),
            (
                Grade,
                [
                    {"notebook_id": b, "cell_id": cell.id, "auto_score": (n + k) % 3}
                    for n, (_, b) in enumerate(ids)
                    for k, cell in enumerate(cells)
                ],
            ),
            (Comment, [{"notebook_id": b, "cell_id": c.id} for _, b in ids for c in comments]),
        ):
            gradebook.db.execute(insert(kind.__table__), rows)
        gradebook.db.commit()
    return course


# The same again.


def again(folder: Path, size: int, progress: Progress) -> Record:
    """Judge one wrong submission a hundred times with one seed, and with a hundred seeds."""
    rounds = max(size // 10, 5)
    bar = progress.add_task("again", total=2 * rounds)
    notebook = build.nbformat.reads(variants()[1], as_version=4)
    seen: dict[str, set[tuple[float, ...]]] = {"one seed": set(), "other seeds": set()}
    for n in range(rounds):
        for name, seed in (("one seed", 7), ("other seeds", n)):
            tried = copy.deepcopy(notebook)
            reports = execute.run(
                tried, execute.check_cells(tried, "bptt"), seed, Limits(), isolate=True
            )
            seen[name].add(tuple(reports[index].points for index in sorted(reports)))
            progress.advance(bar)
    return {"rounds": rounds, "different scores": {name: len(each) for name, each in seen.items()}}


PARTS = {"workers": workers, "writer": writer, "export": export, "again": again}


def shown(record: Record, indent: str = "  ") -> Iterator[str]:
    """A record, a line for each number."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield f"{indent}{name}"
            yield from shown(value, indent + "  ")
        else:
            yield f"{indent}{name:<46} {f'{value:.3g}' if isinstance(value, float) else value}"


def main() -> None:
    """Measure, print, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all, if none is named")
    parser.add_argument("--size", type=int, default=1000, help="for a try: 20")
    parser.add_argument("--json", type=Path, help="numbers of other parts in it are kept")
    options = parser.parse_args()
    kept = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for name in options.parts or PARTS:
        about = machine()
        with tempfile.TemporaryDirectory() as folder, Progress() as progress:
            found = PARTS[name](Path(folder), options.size, progress)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        kept[name] = {**found, "peak memory of the grader, MB": used, "machine": about}
        print(name, *shown(found), sep="\n")
        if options.json:
            build.put(options.json, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
