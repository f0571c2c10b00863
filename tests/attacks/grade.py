"""Attacks on the grade: metadata, cells, outputs, frames, descriptors."""

from __future__ import annotations

import copy
from collections.abc import Callable

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output

from attacks import FORGE, FULL, Attack, every, spoilt

DATA = "application/vnd.rnn-course.check+json"


def tests_of(nb: NotebookNode) -> list[NotebookNode]:
    """The check cells."""
    return [
        c
        for c in nb.cells
        if str(c.metadata.get("nbgrader", {}).get("grade_id")).startswith("test-")
    ]


def mark(**marks: object) -> Callable[[NotebookNode], None]:
    """Change the marks of every check."""

    def edit(nb: NotebookNode) -> None:
        for cell in tests_of(nb):
            cell.metadata.nbgrader.update(marks)

    return edit


def forged_outputs(nb: NotebookNode) -> None:
    """Outputs of a right check, and points, in the notebook that is handed in."""
    for cell in nb.cells:
        if cell.cell_type == "code":
            report = {"exercise": "bptt.forward", "outcome": "right", "points": 999, "out_of": 1}
            cell.outputs = [
                new_output("display_data", data={DATA: report}),
                new_output("execute_result", data={"text/plain": "999"}, execution_count=1),
            ]


def renamed(nb: NotebookNode) -> None:
    """The checks of hard exercises get the names of ones that nobody knows."""
    for n, cell in enumerate(tests_of(nb)):
        cell.metadata.nbgrader.grade_id = f"mine-{n}"
        cell.id = f"mine-{n}"
        cell.source = "999"


def retyped(nb: NotebookNode) -> None:
    """Checks become Markdown and raw cells, so that a person has to grade them, or nobody."""
    for n, cell in enumerate(tests_of(nb)):
        cell.cell_type = ("markdown", "raw")[n % 2]
        del cell["outputs"], cell["execution_count"]


def repointed(nb: NotebookNode) -> None:
    """Every check checks something else, and shows points."""
    for cell in tests_of(nb):
        cell.source = "print('right')\n999"


def doubled(nb: NotebookNode) -> None:
    """Every check stands twice; the second copy has points of its own and a silent source."""
    for cell in tests_of(nb):
        other = copy.deepcopy(cell)
        other.id = f"{cell.id}-2"
        other.source = "None"
        other.metadata.nbgrader.points = 100
        nb.cells.append(other)


def deleted(nb: NotebookNode) -> None:
    """No checks at all."""
    gone = {cell.id for cell in tests_of(nb)}
    nb.cells = [cell for cell in nb.cells if cell.id not in gone]


def moved(nb: NotebookNode) -> None:
    """All checks stand at the top, before anything is defined."""
    checks = tests_of(nb)
    nb.cells = [*checks, *(c for c in nb.cells if c not in checks)]


def swapped(nb: NotebookNode) -> None:
    """Checks carry one another's names."""
    checks = tests_of(nb)
    names = [cell.metadata.nbgrader.grade_id for cell in checks]
    for cell, name in zip(checks, reversed(names), strict=True):
        cell.metadata.nbgrader.grade_id = name


def own_check(nb: NotebookNode) -> None:
    """A graded cell of one's own, silent, with points, and a process that is dead by then."""
    cell = new_code_cell("pass")
    cell.metadata["nbgrader"] = {
        "grade": True, "grade_id": "bonus", "locked": True, "points": 50, "schema_version": 3,
        "solution": False, "task": False,
    }  # fmt: skip
    nb.cells += [new_code_cell("import os\nos._exit(0)"), cell]


def metadata_bomb(nb: NotebookNode) -> None:
    """Metadata of the notebook claims a finished, isolated, right run."""
    nb.metadata["rnn-course-run"] = {"seed": 0, "isolated": True, "points": 999}
    nb.metadata["rnn-course"] = {"damaged": "", "repairs": ["all right"]}
    nb.metadata["nbgrader"] = {"score": 999}
    for cell in nb.cells:
        cell.metadata["tags"] = ["skip-execution", "remove_cell", "raises-exception"]
        cell.metadata["execution"] = {"status": "ok"}


def unnamed(nb: NotebookNode) -> None:
    """Marks are of kinds that nothing expects."""
    marks = {"grade_id": {"a": 1}, "grade": [1], "points": "1e999", "locked": "no"}
    for cell in nb.cells:
        cell.metadata["nbgrader"] = copy.deepcopy(marks)


def crowd(count: int) -> list[NotebookNode]:
    """Many small cells; one is made and looked at, the others are like it."""
    one = new_code_cell("1")
    return [NotebookNode({**one, "id": f"n{n}"}) for n in range(count)]


def stubs_as_tests(nb: NotebookNode) -> None:
    """Answers claim to be checks with points, and checks claim to be answers."""
    for cell in nb.cells:
        marks = cell.metadata.get("nbgrader")
        if marks and cell.cell_type == "code":
            marks.update(grade=True, points=99, solution=marks["grade"], locked=False)


FORGERIES = {
    "no JSON": "_frame({}, text=b'x' * 100)",
    "a long header": "struct.pack('<II', 1 << 31, 0)",
    "a long body": "struct.pack('<II', 2, (1 << 32) - 1) + b'{}'",
    "half a frame": "struct.pack('<II', 1000, 1000) + b'{'",
    "a list": "_frame({}, text=b'[1, 2]')",
    "deep nesting": "_frame({}, text=b'[' * 200_000)",
    "deep text": "_frame({}, text=b'{\"printed\":' + b'[' * 900 + b']' * 900 + b',\"blobs\":[]}')",
    "lengths that lie": "_frame({}, text=b'{\"blobs\": [1e9, -1, NaN, true]}')",
    "huge shape": (
        "_frame({'value': {'array': 0, 'dtype': '<f8', 'shape': [1 << 39, 1 << 39, 0]}})"
    ),
    "negative shape": "_frame({'value': {'array': -1, 'dtype': '<f8', 'shape': [-1]}}, b'x' * 8)",
    "object dtype": "_frame({'value': {'array': 0, 'dtype': '|O', 'shape': [1]}}, b'x' * 8)",
    "half a pair": (
        "_frame({'value': None, 'finding': ['runs', '\\ud800', ['\\udfff']],"
        " 'printed': '\\ud800', 'warnings': ['\\ud800']})"
    ),
    "odd finding": "_frame({'value': None, 'finding': {'a': 1}, 'warnings': 5, 'printed': []})",
    "points": "_frame({'points': 999, 'outcome': 'right', 'value': {'float': 'inf'}})",
}

ATTACKS = [
    Attack("points", "raises the points of every check", edit=mark(points=1000)),
    Attack("NaN points", "makes the points no number", edit=mark(points=float("nan"))),
    Attack("endless points", "makes the points infinite", edit=mark(points=float("inf"))),
    Attack("negative points", "makes the points negative", edit=mark(points=-5)),
    Attack("solution too", "has a person grade what the machine does", edit=mark(solution=True)),
    Attack("ungraded", "takes the checks out of grading", edit=mark(grade=False)),
    Attack("tasks", "makes manual tasks of the checks", edit=mark(task=True, schema_version=2)),
    Attack("forged outputs", "hands in outputs with points", edit=forged_outputs),
    Attack("renamed", "gives checks names that the grader does not know", edit=renamed),
    Attack("re-typed", "makes text of the checks", edit=retyped),
    Attack("re-pointed", "lets the checks check something else", edit=repointed),
    Attack("doubled", "has every check twice", edit=doubled),
    Attack("deleted", "has no checks", edit=deleted),
    Attack("moved", "has the checks first", edit=moved, honest=True, earns=FULL),
    Attack("swapped", "has the checks under one another's names", edit=swapped),
    Attack("a check of one's own", "adds a graded cell that passes", edit=own_check),
    Attack(
        "a check of one's own, unrepaired",
        "the same where nothing repairs the notebook first",
        edit=own_check,
        needs_repair=False,
    ),
    Attack("doubled, unrepaired", "the same", edit=doubled, needs_repair=False),
    Attack("forged outputs, unrepaired", "the same", edit=forged_outputs, needs_repair=False),
    Attack("renamed, unrepaired", "the same", edit=renamed, needs_repair=False),
    Attack("metadata", "claims a right run in the metadata", edit=metadata_bomb),
    Attack("answers as checks", "swaps the marks of answers and checks", edit=stubs_as_tests),
    Attack(
        "a thread that forges",
        "writes right answers into the channel while the grader asks",
        setup=(
            FORGE
            + "import threading, time\n"
            + "def work():\n"
            + "    for _ in range(300):\n"
            + "        _forge(_frame({'outputs': [], 'over': 'ended', 'points': 999}))\n"
            + "        time.sleep(0.01)\n"
            + "threading.Thread(target=work, daemon=True).start()\n"
        ),
        answers=every("return 0.0"),
    ),
    Attack(
        "closed descriptors",
        "closes and doubles every descriptor",
        setup=(
            "import os\n"
            "for n in range(3, 64):\n"
            "    try: os.dup2(n, n + 64); os.close(n)\n"
            "    except OSError: pass\n"
        ),
    ),
    Attack(
        "outputs of the wrong kind",
        "answers a cell's request with what is no list of outputs",
        setup=(
            FORGE
            + "_forge(_frame({'outputs': [1, None, {'output_type': 5}, {'output_type': 'stream',"
            " 'text': ['\\ud800']}, {'output_type': 'display_data', 'data': {'image/png': '\\xe9',"
            " 'text/html': {'a': 1}, 'text/plain': None}}, {'output_type': 'display_data', 'data':"
            " {'text/html': '\\ud800<b>', 'image/png': ['x']}}, {'output_type': 'error',"
            " 'ename': [], 'evalue': '\\udfff', 'traceback': ['\\ud800', 5]},"
            " {'output_type': 'execute_result', 'data': {'text/plain': '999'}}]}))\n"
        ),
    ),
    *(
        spoilt(
            f"forged frame: {name}",
            "one function answers by itself, in a frame that no honest process sends",
            FORGE + f"_forge({code})\nos._exit(0)",
        )
        for name, code in FORGERIES.items()
    ),
    Attack(
        "too many bytes",
        "every answer is right, and brings 50 MB that nobody asked for",
        answers={
            "grad_params": "def grad_params(dh, do, x, h, h0):\n"
            "    return {'dU': None, 'dW': None, 'db': None, 'dV': None,"
            " 'dc': do.sum((0, 1)), 'more': np.zeros(6_000_000)}\n"
        },
    ),
    spoilt(
        "frames within frames",
        "sends an answer whose bytes are frames, then fifty answers at once",
        FORGE
        + """
inner = _frame({'points': 999, 'value': {'plain': 1}})
inner += b'x' * (-len(inner) % 8)
shape = [len(inner) // 8]
_forge(_frame({'value': {'array': 0, 'dtype': '<f8', 'shape': shape}}, inner))
_forge(_frame({'value': {'plain': True}}) * 50)
return 0.0""",
    ),
    spoilt(
        "a frame in drops",
        "sends a frame byte by byte, so slowly that each wait is short and all are endless",
        FORGE
        + """
import time
drops = _frame({'value': {'plain': 1}, 'finding': None, 'warnings': [], 'printed': ''})
while True:
    for byte in drops:
        _forge(bytes([byte]))
        time.sleep(0.3)""",
        seconds=40,
    ),
    Attack("marks that are no names", "has dicts for names and lists for flags", edit=unnamed),
    Attack(
        "points beyond floats", "has integers of 400 digits for points", edit=mark(points=10**400)
    ),
    Attack(
        "100 000 cells",
        "takes the grader's time before anything runs: nothing of it is looked at",
        edit=lambda nb: nb.cells.extend(crowd(100_000)),
    ),
]
