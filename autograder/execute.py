"""TrustedExecute takes the place of nbgrader's Execute: the student's process never makes a score.

The student's cells run in a jail.  Where a check stands, their function is called there with
arrays that the grader draws from a secret seed; what comes back is compared here, with the
reference.  The graded cell's outputs are written here as well: the report, and the points as the
cell's result, which nbgrader's SaveAutoGrades reads.
"""

from __future__ import annotations

import atexit
import base64
import binascii
import functools
import secrets
import zlib
from collections.abc import Mapping
from typing import Any

import nh3
import numpy as np
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import utils
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Float, Integer

from autograder import verify
from autograder.sandbox.client import Gone, Submission, Zygote
from autograder.sandbox.jail import Limits
from course import fixtures, report
from course.exercise import PUBLIC_SEED, Arrays, Case, Exercise, chapter
from course.ladder import RIGHT, WRONG, Ladder, Report, Truth

EVIDENCE = "rnn_course"
"""Key of the notebook's metadata under which the seed of a run is kept, to replay it."""

DEFAULT = Limits()

Checks = Mapping[int, tuple[Exercise, str | None]]
"""The check cells of a notebook: position, and what is checked there."""


class TrustedExecute(NbGraderPreprocessor):
    """Run a submission in the jail, and score it here.

    Every budget is a trait, to be set in ``nbgrader_config.py``; its default and the reason for it
    stand in ``autograder.sandbox.jail.Limits``.
    """

    extra_memory = Integer(DEFAULT.extra_memory, help="bytes a process may map").tag(config=True)
    file_bytes = Integer(DEFAULT.file_bytes, help="bytes that may be written").tag(config=True)
    processes = Integer(DEFAULT.processes, help="processes and threads").tag(config=True)
    cpu_seconds = Integer(DEFAULT.cpu_seconds, help="CPU time of a process").tag(config=True)
    wall_seconds = Float(DEFAULT.wall_seconds, help="time of a submission").tag(config=True)
    cell_seconds = Float(DEFAULT.cell_seconds, help="time of a cell").tag(config=True)
    call_seconds = Float(DEFAULT.call_seconds, help="time of one call").tag(config=True)
    output_bytes = Integer(DEFAULT.output_bytes, help="output kept of a cell").tag(config=True)
    isolate = Bool(True, help="False: no jail, on a machine that gives none").tag(config=True)

    @property
    def limits(self) -> Limits:
        """The budgets, as the jail wants them."""
        return Limits(
            **{name: getattr(self, name) for name in DEFAULT.as_dict() if self.has_trait(name)}
        )

    def preprocess(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Execute and score a submitted notebook; raises NotIsolatedError or CourseError."""
        checks = check_cells(nb, resources["nbgrader"]["assignment"])
        seed = secrets.randbits(64)
        reports = run(nb, checks, seed, self.limits, self.isolate)
        for index, found in reports.items():
            nb.cells[index].outputs = outputs_of(found)
        nb.metadata[EVIDENCE] = {"seed": seed, "isolated": self.isolate}
        return nb, resources


def check_cells(nb: NotebookNode, name: str) -> Checks:
    """Find the check cells by their ids; raises CourseError if there is no such chapter."""
    known: dict[str, tuple[Exercise, str | None]] = {}
    for exercise in chapter(name).exercises:
        for part in exercise.parts or (None,):
            full = f"test.{exercise.name}.{part}" if part else f"test.{exercise.name}"
            known[full.replace(".", "-")] = (exercise, part)
    return {
        index: known[cell.metadata.nbgrader["grade_id"]]
        for index, cell in enumerate(nb.cells)
        if utils.is_grade(cell) and cell.metadata.nbgrader["grade_id"] in known
    }


def run(
    nb: NotebookNode, checks: Checks, seed: int, limits: Limits, isolate: bool
) -> dict[int, Report]:
    """Run a notebook in the jail, once without torch and once with it; a report for every check.

    Exercises in NumPy are judged in the first run, where there is no torch to do their work.  The
    outputs of the last run go into the notebook's other cells.
    """
    reports: dict[int, Report] = {}
    passes = sorted({exercise.uses_torch for exercise, _ in checks.values()}) or [True]
    for with_torch in passes:
        mine = {i: each for i, each in checks.items() if each[0].uses_torch == with_torch}
        keep = with_torch == passes[-1]
        end = len(nb.cells) if keep else max(mine) + 1
        with _zygote(with_torch, isolate).submission(limits=limits) as submission:
            for index, cell in enumerate(nb.cells[:end]):
                if cell.cell_type != "code":
                    continue
                if index in checks:
                    if index in mine and index not in reports:
                        reports.update(_climb(submission, mine, mine[index][0], seed))
                    _tell(submission, checks, index, reports)
                else:
                    outputs = _run_cell(submission, cell.source)
                    if keep:
                        cell.outputs, cell.execution_count = outputs, index + 1
    return reports


def _climb(
    submission: Submission, checks: Checks, exercise: Exercise, seed: int
) -> dict[int, Report]:
    """Climb the ladder for every part of an exercise, with one fork of the submission."""
    parts = {index: part for index, (each, part) in checks.items() if each is exercise}
    try:
        with submission.question(exercise) as question:
            ladder = trusted_ladder(exercise, question, seed)
            return {index: ladder.climb(part) for index, part in parts.items()}
    except Gone as gone:
        return {
            index: Report(exercise, part, WRONG, rung="runs", headline=str(gone))
            for index, part in parts.items()
        }


def trusted_ladder(exercise: Exercise, question: Any, seed: int) -> Ladder:
    """The grader's ladder: calls in the jail, truth from the reference, inputs from the seed."""
    on_file = fixtures.of_chapter(exercise.chapter)[exercise.name]
    public = exercise.cases(np.random.default_rng(PUBLIC_SEED))
    drawn = exercise.cases(np.random.default_rng([seed, zlib.crc32(exercise.name.encode())]))
    return Ladder(
        exercise,
        call=lambda case: question(case.args),
        truth=_reference(exercise, public, on_file.truth),
        public=public,
        fresh=drawn,
        slips=on_file.slips,
    )


def _reference(exercise: Exercise, public: list[Case], on_file: Mapping[str, Arrays]) -> Truth:
    answer = verify.reference(exercise)
    names = [output.name for output in exercise.outputs]
    known = {id(case): on_file[case.name] for case in public}

    def truth(case: Case) -> Arrays:
        if id(case) not in known:
            values = exercise.unpack(exercise.run(answer, dict(case.args)), names)
            known[id(case)] = tuple(np.asarray(value, np.float64) for value in values)
        return known[id(case)]

    return truth


def _tell(
    submission: Submission, checks: Checks, index: int, reports: Mapping[int, Report]
) -> None:
    """Let ``ready`` in the notebook know of an exercise once its last check has found it right."""
    exercise = checks[index][0]
    indices = [i for i, (each, _) in checks.items() if each is exercise]
    if index == max(indices) and all(i in reports and reports[i].outcome == RIGHT for i in indices):
        try:
            submission.tell_right(exercise.name)
        except Gone:
            return  # the cells that follow say so


def _run_cell(submission: Submission, source: str) -> list[NotebookNode]:
    try:
        return [clean for each in submission.cell(source) if (clean := _clean(each))]
    except Gone as gone:
        return [new_output("stream", name="stdout", text=f"This cell was not run: {gone}.\n")]


def outputs_of(found: Report) -> list[NotebookNode]:
    """What a check cell shows: the report, and the points as the cell's result."""
    shown = {
        "text/plain": report.as_text(found),
        "text/html": report.as_html(found),
        report.DATA: report.as_data(found),
    }
    return [
        new_output("display_data", data=shown),
        new_output("execute_result", data={"text/plain": f"{found.points:g}"}, execution_count=1),
    ]


def _clean(output: Any) -> NotebookNode | None:
    """One output of a student's cell, made harmless; None if it is none.

    Kept are text, HTML without anything that runs or loads, and pictures that are PNG.
    """
    if not isinstance(output, dict):
        return None
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return new_output("stream", name=name, text=str(output.get("text", "")))
    if kind == "error":
        lines = output.get("traceback")
        return new_output(
            "error",
            ename=str(output.get("ename", "")),
            evalue=str(output.get("evalue", "")),
            traceback=[str(line) for line in lines] if isinstance(lines, list) else [],
        )
    if kind == "display_data" and isinstance(output.get("data"), dict):
        data = {}
        for mime, value in output["data"].items():
            if mime == "text/plain":
                data[mime] = str(value)
            elif mime == "text/html":
                data[mime] = nh3.clean(str(value), url_schemes=set())
            elif mime == "image/png" and _is_png(value):
                data[mime] = value
        return new_output("display_data", data=data) if data else None
    return None


def _is_png(value: Any) -> bool:
    try:
        return base64.b64decode(str(value), validate=True).startswith(b"\x89PNG\r\n\x1a\n")
    except binascii.Error:
        return False


@functools.cache
def _zygote(torch: bool, isolate: bool) -> Zygote:
    """The warm process of this grader; started when first needed, ended with the grader."""
    zygote = Zygote(torch, isolate)
    atexit.register(zygote.close)
    return zygote
