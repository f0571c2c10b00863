"""solutions/*.py → nbgrader's source notebook, the students' notebook, and the fixtures.

One way only, and the same text always gives the same bytes.
"""

from __future__ import annotations

import ast
import glob
import hashlib
import importlib.metadata
import os
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import jupytext
import nbformat
import numpy as np
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.preprocessors import ClearOutput, ClearSolutions, ComputeChecksums, LockCells
from traitlets.config import Config

from autograder import verify
from course import fixtures, hints
from course.exercise import Chapter, Exercise, Question, chapter
from course.repository import TOOLKIT, Repository, of_this_class

HOUSE = Path(__file__).resolve().parent.parent
SOLUTIONS = HOUSE / "solutions"
NOTEBOOKS = HOUSE / "notebooks"
CONFIG = Path(__file__).parent / "nbgrader_config.py"

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
GUARD = 'if __name__ == "__main__":\n'
FIRST_CELL = """\
# Run this first: it finds the course's toolkit, and says what you work with.
import sys

sys.path.append("..")  # a folder course/ may stand beside this notebook, or one level up
{fetch}try:
    from course import about

    device = about()
except ImportError as error:
    lines = [
        f"The toolkit of the course can't be imported: {{error}}.",
        {advice!r},
        "Then run this cell again.",
    ]
    error._render_traceback_ = lambda: lines
    raise
"""
FETCH = """\
if "google.colab" in sys.modules:
    %pip install --quiet "{requirement}"
"""
STUB = "# YOUR CODE HERE\nraise NotImplementedError"
TEXT_STUB = "YOUR ANSWER HERE"

Declared = TypeVar("Declared", Exercise, Question)


class BuildError(Exception):
    """A cell breaks the rules; the message names the file, the line, and the way out."""


def source_notebook(name: str) -> NotebookNode:
    """Make nbgrader's source notebook of a chapter, answers included.

    Raises BuildError where a cell breaks the rules, CourseError on an unknown chapter.
    """
    found = chapter(name)
    path = SOLUTIONS / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    read = jupytext.reads(text, fmt="py:percent")
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith("# %%")]
    if len(lines) != len(read.cells):
        raise BuildError(f"{path}: every cell, the first too, starts with a line '# %%'")
    cells: list[NotebookNode] = []
    first = new_code_cell(first_cell(of_this_class()[0]))
    seen: set[str] = set()
    for line, cell in zip(lines, read.cells, strict=True):
        if _left_out(found, cell):
            continue
        if cell.cell_type == "code" and first not in cells:
            cells.append(first)
        cells += _cells(found, cell, _Place(path, line), seen)
    declared = [e.name for e in found.exercises] + [q.name for q in found.questions]
    missing = [each for each in declared if each not in seen]
    if missing:
        raise BuildError(f"{path}: no cell for {', '.join(missing)}: add one, or undeclare it")
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook = new_notebook(
        cells=_with_ids(cells), metadata={"kernelspec": kernel, "language_info": {"name": "python"}}
    )
    notebook.nbformat_minor = 5
    nbformat.validate(notebook)
    return notebook


def student_notebook(name: str) -> NotebookNode:
    """Make what students get: nbgrader's own steps take the answers out and lock the checks."""
    notebook = source_notebook(name)
    config = Config()
    config.ClearSolutions.code_stub = {"python": STUB}
    config.ClearSolutions.text_stub = TEXT_STUB
    resources: dict[str, Any] = {}
    for step in (LockCells, ClearSolutions, ClearOutput, ComputeChecksums):
        notebook, resources = step(config=config).preprocess(notebook, resources)
    return notebook


def first_cell(published: Repository | None) -> str:
    """Make the first code cell of every notebook: it finds the toolkit, or says how to get it.

    Where it can't be imported, the cell fails with one line; in Colab it is fetched first, if the
    class has published it.
    """
    if published is None:
        fetch = ""
        advice = (
            f"Get {TOOLKIT} from the book (top of each chapter), put it beside this notebook, and"
            f" run in a new cell:  %pip install {TOOLKIT}"
        )
    else:
        fetch = FETCH.format(requirement=published.requirement)
        advice = f'Run in a new cell:  %pip install "{published.requirement}"'
    return FIRST_CELL.format(fetch=fetch, advice=advice).rstrip()


def _left_out(found: Chapter, cell: NotebookNode) -> bool:
    """Whether a cell is the task, the answer, or the question of what the class leaves out."""
    name = cell.metadata.get("exercise", cell.metadata.get("question"))
    return any(
        name == each.name or cell.source.startswith(f"## Exercise {each.number}:")
        for each in found.left_out
    )


class _Place:
    """Where a cell stands, for messages."""

    def __init__(self, path: Path, line: int) -> None:
        self.path, self.line = path, line

    def refuse(self, why: str) -> BuildError:
        return BuildError(f"{self.path}:{self.line}: {why}")


def _cells(
    found: Chapter, cell: NotebookNode, place: _Place, seen: set[str]
) -> Iterator[NotebookNode]:
    """What one cell of the text becomes."""
    keys = set(cell.metadata) - {"exercise", "question", "lines_to_next_cell", "cell_marker"}
    if keys:
        raise place.refuse(
            f"unknown key {', '.join(sorted(keys))}: a cell may carry exercise= or question="
        )
    if "exercise" in cell.metadata:
        exercise = _declared(found.exercises, cell.metadata["exercise"], "exercise", place, seen)
        yield from _exercise(exercise, cell, place)
    elif "question" in cell.metadata:
        question = _declared(found.questions, cell.metadata["question"], "question", place, seen)
        yield from _question(question, cell, place)
    elif BEGIN in cell.source or END in cell.source:
        raise place.refuse("SOLUTION markers in a cell without exercise= or question=")
    elif cell.cell_type == "markdown":
        yield new_markdown_cell(cell.source)
    elif cell.source.startswith(GUARD):
        yield new_code_cell(textwrap.dedent(cell.source[len(GUARD) :]))
    else:
        yield new_code_cell(cell.source)


def _declared(
    known: Iterable[Declared], name: str, kind: str, place: _Place, seen: set[str]
) -> Declared:
    """The declared exercise or question of that name, not used before."""
    for each in known:
        if each.name == name:
            if name in seen:
                raise place.refuse(f'{kind} "{name}" stands twice: every name has one cell')
            seen.add(name)
            return each
    module = f"course/exercises/{place.path.stem}.py"
    raise place.refuse(f'unknown {kind} "{name}": declare it in {module}')


def _exercise(exercise: Exercise, cell: NotebookNode, place: _Place) -> Iterator[NotebookNode]:
    """A solution cell, and behind it one locked test cell for the whole or for each part."""
    name, source = exercise.name, cell.source
    if cell.cell_type != "code":
        raise place.refuse(f'exercise "{name}" is not a code cell')
    if not 0 < source.count(BEGIN) == source.count(END):
        raise place.refuse(f'exercise "{name}" wants {BEGIN!r} and {END!r} around the answer')
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise place.refuse(f'exercise "{name}": {error.msg} in its line {error.lineno}') from None
    node = next((n for n in tree.body if getattr(n, "name", None) == exercise.symbol), None)
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        raise place.refuse(f'exercise "{name}" does not define {exercise.symbol}')
    if not ast.get_docstring(node):
        raise place.refuse(f'exercise "{name}": {exercise.symbol} has no docstring')
    levels = hints.of_chapter(exercise.chapter).get(name, {})
    lacking = [str(level) for level in hints.LEVELS if not levels.get(level)]
    if lacking:
        file = f"course/hints/{exercise.chapter}.md"
        raise place.refuse(f'exercise "{name}" has no hint {", ".join(lacking)}: add it to {file}')
    yield _graded(new_code_cell(source), name, solution=True)
    for part in exercise.parts or (None,):
        full = f"{name}.{part}" if part else name
        test = new_code_cell(f'check("{full}")')
        yield _graded(test, f"test.{full}", points=exercise.points_of(part))


def _question(question: Question, cell: NotebookNode, place: _Place) -> Iterator[NotebookNode]:
    """The question, locked; then the cell of the answer, which a person grades."""
    if cell.cell_type != "markdown":
        raise place.refuse(f'question "{question.name}" is not a Markdown cell')
    asked, found, answer = cell.source.partition(BEGIN)
    if not found or END not in answer:
        raise place.refuse(f'question "{question.name}" wants {BEGIN!r} and {END!r}')
    yield _graded(new_markdown_cell(asked.strip()), f"ask.{question.name}", locked=True)
    model = new_markdown_cell(f"{BEGIN}{answer}".strip())
    yield _graded(model, question.name, solution=True, points=question.points)


def _graded(
    cell: NotebookNode,
    name: str,
    *,
    solution: bool = False,
    points: float | None = None,
    locked: bool = False,
) -> NotebookNode:
    """Give a cell nbgrader's metadata; the id is the name, in letters that nbgrader allows."""
    grade_id = name.replace(".", "-")
    cell.metadata["nbgrader"] = {
        "grade": points is not None,
        "grade_id": grade_id,
        "locked": locked or (points is not None and not solution),
        "schema_version": 3,
        "solution": solution,
        "task": False,
        **({} if points is None else {"points": int(points) if points % 1 == 0 else points}),
    }
    cell["id"] = grade_id[:64]
    return cell


def _with_ids(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Give the other cells ids from their text, so that a new cell changes no other's."""
    used: set[str] = set()
    for cell in cells:
        if "nbgrader" not in cell.metadata:
            digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
            while digest in used:
                digest = hashlib.sha256(digest.encode()).hexdigest()[:8]
            cell["id"] = digest
        used.add(cell["id"])
    return cells


def as_json(notebook: NotebookNode) -> str:
    """The bytes of a notebook file."""
    return nbformat.writes(notebook, version=4) + "\n"


def put(path: Path, content: str | bytes) -> bool:
    """Write a file in one step, whole or not at all; says whether its content changed."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and path.read_bytes() == data:
        return False
    with beside(path) as temporary:
        temporary.write_bytes(data)
        temporary.chmod(0o644)
    return True


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name to write under; takes the place of the file at the end, if all went well.

    Who is killed while writing leaves such a file behind: the next to write takes it away.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if left.suffix[1:].isdecimal() and not _runs(int(left.suffix[1:])):
            left.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def digest(files: Mapping[str, Path], *more: str) -> str:
    """Hash of named files, and of texts; where the files lie does not matter."""
    total = hashlib.sha256("\0".join(more).encode())
    for name in sorted(files):
        total.update(f"\0{name}\0".encode("utf-8", "surrogateescape"))
        total.update(hashlib.sha256(files[name].read_bytes()).digest())
    return total.hexdigest()


def below(folder: Path, *patterns: str) -> dict[str, Path]:
    """The files below a folder, by their names from there."""
    found = (path for pattern in patterns for path in folder.rglob(pattern) if path.is_file())
    return {f"{folder.name}/{path.relative_to(folder).as_posix()}": path for path in found}


def build_fixtures(name: str) -> bool:
    """Write a chapter's fixtures if they have changed by more than rounding; says if so.

    They are computed where anything that they are made of has changed since the last time, or they
    themselves.
    """
    path, remembered = fixtures.FOLDER / f"{name}.npz", HOUSE / "build" / "fixtures" / name
    sources = _made_of()
    known = remembered.read_text() if path.is_file() and remembered.is_file() else ""
    if known and known == digest({path.name: path}, sources):
        return False
    changed = _put_fixtures(path, verify.fixtures(chapter(name)))
    with suppress(OSError):  # a house that can't be written to remembers nothing
        put(remembered, digest({path.name: path}, sources))
    return changed


def _made_of() -> str:
    """Hash of all that decides what fixtures hold."""
    files = {
        **below(HOUSE / "course", "*.py", "*.md", "data/*"),
        **below(HOUSE / "solutions", "*.py"),
        **below(HOUSE / "autograder", "*.py"),
    }
    return digest(files, sys.version, *(importlib.metadata.version(n) for n in ("numpy", "torch")))


def _put_fixtures(path: Path, made: dict[str, fixtures.Fixture]) -> bool:
    """Write fixtures if they differ by more than rounding from those on file; says if so."""
    if path.exists():
        try:
            if same_fixtures(fixtures.read(path), made):
                return False
        except (OSError, ValueError, KeyError):
            pass  # an unreadable file is replaced
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fixtures.write(Path(folder) / path.name, made)
        os.replace(Path(folder) / path.name, path)
    fixtures.of_chapter.cache_clear()
    return True


def same_fixtures(old: dict[str, fixtures.Fixture], new: dict[str, fixtures.Fixture]) -> bool:
    """Whether two sets of fixtures are the same but for the last digits of another processor."""

    def same(a: Mapping[str, fixtures.Arrays], b: Mapping[str, fixtures.Arrays]) -> bool:
        return a.keys() == b.keys() and all(
            len(a[case]) == len(b[case])
            and all(
                x.shape == y.shape and np.allclose(x, y, rtol=1e-11, atol=1e-12, equal_nan=True)
                for x, y in zip(a[case], b[case], strict=True)
            )
            for case in a
        )

    def said(each: fixtures.KnownSlip) -> tuple[object, ...]:
        return each.name, each.title, each.read, each.hint, each.stops

    return old.keys() == new.keys() and all(
        same(old[name].truth, new[name].truth)
        and [said(s) for s in old[name].slips] == [said(s) for s in new[name].slips]
        and all(
            same(a.outputs, b.outputs)
            for a, b in zip(old[name].slips, new[name].slips, strict=True)
        )
        for name in old
    )


def build(name: str, course_dir: Path | None = None) -> list[Path]:
    """Build a chapter: fixtures, notebooks/, and the source of a class; returns what changed.

    Everything is made before anything is written, so that a refused cell leaves all as it was.
    """
    source, student = as_json(source_notebook(name)), as_json(student_notebook(name))
    changed = []
    if build_fixtures(name):
        changed.append(fixtures.FOLDER / f"{name}.npz")
    if put(NOTEBOOKS / f"{name}.ipynb", student):
        changed.append(NOTEBOOKS / f"{name}.ipynb")
    if course_dir is not None:
        changed += put_class(course_dir, name, source)
    return changed


def put_class(course_dir: Path, name: str, source: str) -> list[Path]:
    """Put a chapter's source, and the configuration if there is none, into a class folder."""
    changed = []
    config = course_dir / CONFIG.name
    if not config.exists() and put(config, CONFIG.read_bytes()):  # an instructor's own one stays
        changed.append(config)
    path = course_dir / "source" / name / f"{name}.ipynb"
    if put(path, source):
        changed.append(path)
    return changed
