"""TrustedExecute takes the place of nbgrader's Execute: the student's process never makes a score.

The student's cells run in a jail.  Where a check stands, their function is called there with
arrays that the grader draws from a secret seed; what comes back is compared here, with the
reference.  The graded cell's outputs are written here as well: the report, and the points as the
cell's result, which nbgrader's SaveAutoGrades reads.
"""

from __future__ import annotations

import atexit
import base64
import importlib
import re
import secrets
import struct
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import nh3
import numpy as np
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Float, Integer

from autograder import repair, verify
from autograder.evidence import Evidence, Witness
from autograder.sandbox.client import Gone, Submission, Zygote
from autograder.sandbox.frames import text
from autograder.sandbox.jail import Limits
from course import fixtures, report
from course.calls import STILL_RAN
from course.exercise import PUBLIC_SEED, Arrays, Case, Exercise, chapter
from course.ladder import RIGHT, WRONG, Ladder, Report, Truth

EVIDENCE = "rnn-course-run"
"""Key of the notebook's metadata under which the seed of a run and its evidence are kept."""

DEFAULT = Limits()

LONGEST = 100_000
"""Characters of one output; the jail keeps fewer, but what comes from there may be forged."""

OUTPUTS_TOTAL = 10_000_000
"""Characters of all outputs of a notebook: a browser still opens it."""

MARKDOWN_TOTAL = 500_000
"""Characters of Markdown that a student may change, ten times a chapter's: who makes a page of it
has patterns that take their time."""

PIXELS = 25_000_000
"""A figure of 50 by 50 inches: a few bytes of PNG can unfold to gigabytes."""

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
        seen: dict[int, Evidence] = {}
        reports = run(nb, checks, seed, self.limits, self.isolate, seen)
        for index, found in reports.items():
            nb.cells[index].outputs = outputs_of(found)
        _refuse_unknown(nb, reports)
        disarm(nb)
        nb.metadata[EVIDENCE] = {
            "seed": seed,
            "isolated": self.isolate,
            "checks": {
                nb.cells[index].metadata.nbgrader["grade_id"]: each.as_dict()
                for index, each in seen.items()
            },
        }
        return nb, resources


def check_cells(nb: NotebookNode, name: str) -> Checks:
    """Find the check cells by their ids; raises CourseError if there is no such chapter."""
    known = _checks_of(name)
    return {
        index: known[cell.metadata.nbgrader["grade_id"]]
        for index, cell in enumerate(nb.cells)
        if utils.is_grade(cell) and cell.metadata.nbgrader["grade_id"] in known
    }


def _checks_of(name: str) -> dict[str, tuple[Exercise, str | None]]:
    """All that a chapter can check, by the names of its cells."""
    known: dict[str, tuple[Exercise, str | None]] = {}
    for exercise in chapter(name).exercises:
        for part in exercise.parts or (None,):
            full = f"test.{exercise.name}.{part}" if part else f"test.{exercise.name}"
            known[full.replace(".", "-")] = (exercise, part)
    return known


def _refuse_unknown(nb: NotebookNode, reports: Mapping[int, Report]) -> None:
    """Give graded cells that are no check of the chapter an error, and so no points.

    The student's process would decide their score: nbgrader gives a silent cell full marks.
    """
    said = "only the chapter's own checks are graded here"
    for index, cell in enumerate(nb.cells):
        scored = cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell)
        if scored and index not in reports:
            error = {"ename": "NotGraded", "evalue": said, "traceback": [f"NotGraded: {said}"]}
            cell.outputs = [repair.output("error", **error)]


_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_TEX = re.compile(r"(?<!\\)\\+(?=(?:href|url|class|cssId|style|data|require|mmlToken)\b)")
_ATTACHED = re.compile(r"attachment(?=:|&)", re.IGNORECASE)


def disarm(nb: NotebookNode) -> None:
    """Make what a student wrote around the code harmless to whoever opens the graded notebook.

    A space behind "<" leaves mathematics as it is, and no HTML can begin; without its backslash,
    no TeX command makes a link.  nbconvert shows raw cells as they are, and metadata can carry
    widgets: both would run in a browser.
    """
    room = MARKDOWN_TOTAL
    for cell in nb.cells:
        if cell.cell_type == "raw":
            cell.cell_type = "markdown"
        if cell.cell_type == "markdown":
            cell.pop("attachments", None)
            if not utils.is_locked(cell):
                if len(cell.source) > room:
                    cell.source = f"{cell.source[:room]}\n\n... and more than is kept\n"
                room = max(0, room - len(cell.source))
                source = _TEX.sub("", _TAG.sub("< ", cell.source))
                # nbconvert makes no page of a notebook with a picture that is not attached.
                cell.source = _ATTACHED.sub("attachment ", source)
    kept = ("kernelspec", "language_info", repair.KEY)
    nb.metadata = NotebookNode({key: nb.metadata[key] for key in kept if key in nb.metadata})


def run(
    nb: NotebookNode,
    checks: Checks,
    seed: int,
    limits: Limits,
    isolate: bool,
    seen: dict[int, Evidence] | None = None,
) -> dict[int, Report]:
    """Run a notebook in the jail, once without torch and once with it; a report for every check.

    seen: takes up the evidence of each check, by its cell's position.

    Exercises in NumPy are judged in the first run, where there is no torch to do their work.  The
    outputs of the last run go into the notebook's other cells.
    """
    reports: dict[int, Report] = {}
    too_long: dict[int, list[NotebookNode]] = {}
    room = OUTPUTS_TOTAL
    passes = sorted({exercise.uses_torch for exercise, _ in checks.values()}) or [True]
    with ExitStack() as begun:

        def begin(with_torch: bool) -> Submission:
            return begun.push(_zygote(with_torch, isolate).submission(limits=limits))

        waiting = begin(passes[0])
        for with_torch in passes:
            mine = {i: each for i, each in checks.items() if each[0].uses_torch == with_torch}
            keep = with_torch == passes[-1]
            end = len(nb.cells) if keep else max(mine) + 1
            with waiting as submission:
                for index, cell in enumerate(nb.cells[:end]):
                    if cell.cell_type != "code":
                        continue
                    if index + 1 == end and not keep:
                        waiting = begin(True)  # it is ready by the time that this one is done
                    if index in checks:
                        if index in mine and index not in reports:
                            reports.update(_climb(submission, mine, mine[index][0], seed, seen))
                        _tell(submission, checks, index, reports)
                    else:
                        # What ran too long once is not run a second time.
                        outputs = too_long.get(index) or _run_cell(submission, cell.source, room)
                        if any(map(ran_too_long, outputs)):
                            too_long[index] = outputs
                        if keep:
                            room -= len(str(outputs))
                            cell.outputs, cell.execution_count = outputs, index + 1
    return reports


def ran_too_long(output: Mapping[str, Any]) -> bool:
    """Whether a cell was stopped; a TimeoutError of the student's own is an error like others."""
    said = str(output.get("evalue"))
    return output.get("ename") == "TimeoutError" and said.startswith(STILL_RAN)


def _climb(
    submission: Submission,
    checks: Checks,
    exercise: Exercise,
    seed: int,
    seen: dict[int, Evidence] | None,
) -> dict[int, Report]:
    """Climb the ladder for every part of an exercise, with one fork of the submission."""
    parts = {index: part for index, (each, part) in checks.items() if each is exercise}
    try:
        with submission.question(exercise) as question:
            witness = Witness(question)
            ladder = trusted_ladder(exercise, witness, seed)
            question.expect([case.args for case in ladder.order()])
            reports = {index: ladder.climb(part) for index, part in parts.items()}
            if seen is not None:
                seen.update(dict.fromkeys(parts, witness.evidence))
            return reports
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
            # What is demanded also, such as torch's gradcheck, is of the answer, not of its truth.
            args = {name: value for name, value in case.args.items() if name != "also"}
            values = exercise.unpack(exercise.run(answer, args), names)
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


def _run_cell(submission: Submission, source: str, room: int) -> list[NotebookNode]:
    """Run a cell; its outputs made harmless, as many as there is room for."""
    try:
        shown = submission.cell(source)
    except Gone as gone:
        return [repair.output("stream", name="stdout", text=f"This cell was not run: {gone}.\n")]
    kept: list[NotebookNode] = []
    for each in shown:
        clean = _clean(each)
        room -= len(str(clean)) if clean else 0
        if room < 0:
            said = "... and more than is kept\n"
            return [*kept, repair.output("stream", name="stdout", text=said)]
        if clean:
            kept.append(clean)
    return kept


def outputs_of(found: Report) -> list[NotebookNode]:
    """What a check cell shows: the report, and the points as the cell's result."""
    shown = {
        "text/plain": report.as_text(found),
        "text/html": _TEX.sub("", report.as_html(found)),  # it may repeat what was printed
        report.DATA: report.as_data(found),
    }
    return [
        repair.output("display_data", data=shown),
        repair.output(
            "execute_result", data={"text/plain": f"{found.points:g}"}, execution_count=1
        ),
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
        return repair.output("stream", name=name, text=text(output.get("text"), LONGEST))
    if kind == "error":
        lines = output.get("traceback")
        return repair.output(
            "error",
            ename=text(output.get("ename"), 200),
            evalue=text(output.get("evalue"), 2000),
            traceback=[text(line, 2000) for line in lines[:50]] if isinstance(lines, list) else [],
        )
    if kind == "display_data" and isinstance(output.get("data"), dict):
        data = {}
        for mime, value in output["data"].items():
            if mime == "text/plain":
                data[mime] = text(value, LONGEST)
            elif mime == "text/html":
                clean = nh3.clean(text(value, LONGEST), attribute_filter=_no_address)
                data[mime] = _TEX.sub("", clean)
            elif mime == "image/png" and _is_png(value):
                data[mime] = value
        return repair.output("display_data", data=data) if data else None
    return None


def _no_address(tag: str, attribute: str, value: str) -> str | None:
    """Nothing that a browser would load or go to: "/logout" is an address too."""
    return None if attribute in ("href", "src", "cite") else value


def _is_png(value: Any) -> bool:
    """Whether it is a picture, and of a size that a browser can unfold."""
    try:
        data = base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        return False
    if not data.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") or len(data) < 33:
        return False
    width, height = struct.unpack(">II", data[16:24])
    return 0 < width * height <= PIXELS


_WARM: dict[tuple[bool, bool], Zygote] = {}


def warm(isolate: bool, name: str, cells: Iterable[str]) -> None:
    """Start the warm processes that a notebook with these cells needs; meanwhile load references.

    Raises RuntimeError if a process does not start.
    """
    checks = _checks_of(name)
    kinds = {checks[cell][0].uses_torch for cell in cells if cell in checks} or {True}
    with ThreadPoolExecutor() as threads:
        started = [threads.submit(_zygote, with_torch, isolate) for with_torch in kinds]
        for exercise in chapter(name).exercises:
            verify.reference(exercise)
        if True in kinds:
            importlib.import_module("torch._dynamo")  # 1.5 s; the first check with torch needs it
    for each in started:
        each.result()


def _zygote(torch: bool, isolate: bool) -> Zygote:
    """The warm process of this grader; started when first needed, ended with the grader.

    Another one takes its place if it has died, for one because the machine ran out of memory.
    """
    zygote = _WARM.get((torch, isolate))
    if zygote is None or zygote.process.poll() is not None:
        zygote = _WARM[torch, isolate] = Zygote(torch, isolate)
        atexit.register(zygote.close)
    return zygote
