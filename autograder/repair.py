"""Make a submitted notebook whole again before it is graded.

What counts is what the gradebook says of a cell: its type, points, marks, and, where it is locked,
its text.  Of the student's notebook only the text of the answers is kept, and the cells that were
added.  Two classes plug into nbgrader by name, in the class's ``nbgrader_config.py``:
``SubmissionExporter`` reads whatever was handed in, ``Repair`` puts the graded cells right.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Gradebook, Notebook
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Unicode

KEY = "rnn-course"
"""Where a notebook's metadata, and a conversion's resources, say what was repaired or damaged."""

KINDS = ("code", "markdown", "raw")
"""Of cells; of any other kind nbformat can't even say what is wrong."""

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

CELLS, VALUES, BYTES = 5000, 1_000_000, 50 << 20
"""More than any honest notebook has: looking through it takes the grader's time, not the jail's."""


@dataclass(frozen=True)
class Trusted:
    """A cell as the class released it; ``source`` is the stub where it is the student's to fill."""

    name: str
    cell_type: str
    source: str
    checksum: str
    grade: bool = False
    solution: bool = False
    task: bool = False
    locked: bool = False
    points: float | None = None

    @property
    def cell_id(self) -> str:
        """The notebook format's own id of the cell."""
        return self.name[:64]

    @property
    def marks(self) -> dict[str, Any]:
        """What nbgrader must read in the cell's metadata."""
        marks: dict[str, Any] = {
            "cell_type": self.cell_type,
            "checksum": self.checksum,
            "grade": self.grade,
            "grade_id": self.name,
            "locked": self.locked,
            "schema_version": 3,
            "solution": self.solution,
            "task": self.task,
        }
        return marks if self.points is None else {**marks, "points": self.points}

    def cell(self, source: str) -> NotebookNode:
        """Make the cell anew, with this text.

        No other metadata survives: a tag "skip-execution", for one, would keep a check from
        running, and nbgrader takes a check without outputs for passed.
        """
        metadata = {"deletable": False, "nbgrader": self.marks}
        if self.locked:
            metadata["editable"] = False
        run: dict[str, Any] = (
            {"execution_count": None, "outputs": []} if self.cell_type == "code" else {}
        )
        return nbformat.from_dict(
            {
                "id": self.cell_id,
                "cell_type": self.cell_type,
                "metadata": metadata,
                "source": source,
                **run,
            }
        )


@dataclass(frozen=True)
class Known:
    """What a class knows of a notebook: its trusted cells in order, and the kernel it wants."""

    cells: tuple[Trusted, ...]
    kernelspec: str = "{}"


def known_notebook(gradebook: Gradebook, name: str, assignment: str, source: Path) -> Known:
    """What the gradebook knows of a notebook, in the order of the class's source.

    The gradebook keeps no order that can be relied on.  Raises nbgrader's MissingEntry if the
    class has no such notebook.
    """
    found = gradebook.find_notebook(name, assignment)
    cells = read_file(source)[0].cells if source.is_file() else []
    order = [_marks(cell).get("grade_id") for cell in cells]
    return Known(tuple(trusted_cells(found, order)), found.kernelspec or "{}")


def trusted_cells(notebook: Notebook, order: Sequence[str | None] = ()) -> list[Trusted]:
    """The graded and locked cells that the gradebook knows, in the order of these names."""
    graded = {cell.name: cell for cell in (*notebook.grade_cells, *notebook.task_cells)}
    tasks = {cell.name for cell in notebook.task_cells}
    solutions = {cell.name for cell in notebook.solution_cells}
    place = {name: n for n, name in enumerate(order)}
    found = [
        Trusted(
            name=cell.name,
            cell_type=cell.cell_type,
            source=cell.source,
            checksum=cell.checksum,
            grade=cell.name in graded and cell.name not in tasks,
            solution=cell.name in solutions,
            task=cell.name in tasks,
            locked=cell.locked,
            points=graded[cell.name].max_score if cell.name in graded else None,
        )
        for cell in notebook.source_cells
    ]
    return sorted(found, key=lambda each: place.get(each.name, len(place)))


def read(text: str) -> tuple[NotebookNode, str]:
    """Read a notebook however badly it is made; the second value says why nothing was readable."""
    try:
        # The copy is what nbconvert makes of it next: one nested too deeply fails here, not there.
        return copy.deepcopy(_read(text)), ""
    except json.JSONDecodeError as error:
        why = "the file is empty" if not text.strip() else f"line {error.lineno}: {error.msg}"
    except RecursionError:
        why = "it is nested too deeply"
    except TooLargeError as error:
        why = str(error)
    except Exception:  # what converts the old formats fails in its own ways
        why = "it has no list of cells"
    return new_notebook(), f"it is not a notebook ({why})"


class TooLargeError(ValueError):
    """A notebook that would hold the grader up; the message says by how much."""


def _read(text: str) -> NotebookNode:
    if text.count(",") > VALUES:
        raise TooLargeError(f"it holds more than {VALUES} values")
    data = json.loads(text)
    if data.get("nbformat") in (1, 2, 3):
        sheets = data.get("worksheets") or [data]
        _count(sum(len(sheet["cells"]) for sheet in sheets))
        data = nbformat.reads(text, as_version=4)
        for cell in data["cells"]:
            del cell["id"]  # at random: the next time, it would be another
    _count(len(data["cells"]))
    notebook = new_notebook()
    notebook.nbformat_minor = 5
    if isinstance(data.get("metadata"), dict):
        notebook.metadata = nbformat.from_dict(data["metadata"])
        if not _is_sound(notebook):
            notebook.metadata = NotebookNode()
    if not isinstance(data["cells"], list):
        raise TypeError  # what is wrong, read says
    used: set[str] = set()
    notebook.cells = [_cell(raw, used) for raw in data["cells"] if isinstance(raw, Mapping)]
    # The schema of a whole notebook is compiled: one by one, sound cells take thirty times as long.
    kinds = [cell.get("cell_type") in KINDS for cell in notebook.cells]
    if not (all(kinds) and _is_sound(notebook)):
        notebook.cells = [
            cell if known and _is_sound(cell, f"{cell.cell_type}_cell") else _sound(cell)
            for known, cell in zip(kinds, notebook.cells, strict=True)
        ]
    return notebook


def _count(cells: int) -> None:
    if cells > CELLS:
        raise TooLargeError(f"it has {cells} cells, and no more than {CELLS} are looked at")


def read_bytes(data: bytes) -> tuple[NotebookNode, str]:
    """Read a notebook's bytes as ``read`` does its text."""
    if len(data) > BYTES:
        return new_notebook(), f"it is not a notebook (more than {BYTES >> 20} MB)"
    try:
        return read(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return new_notebook(), "it is not a notebook (not a text in UTF-8)"


def read_file(path: Path) -> tuple[NotebookNode, str]:
    """Read a notebook's file as ``read`` does; raises OSError if the file can't be opened."""
    return read_bytes(beginning(path))


LINKED = "is a link, and lies elsewhere: only what was handed in itself is graded"


def is_linked(path: Path) -> bool:
    """Whether a submitted file, or its folder, is a link.

    A repository or an archive keeps links: one that a student made could lead to the answers in
    ``source/``, or to someone else's submission.
    """
    return path.is_symlink() or path.parent.is_symlink()


def beginning(path: Path) -> bytes:
    """The bytes of a file, one more at most than a notebook may have."""
    with path.open("rb") as file:
        return file.read(BYTES + 1)


def _cell(raw: Mapping[str, Any], used: set[str]) -> NotebookNode:
    """The cell as it came, with an id of its own and its text in one piece."""
    cell = nbformat.from_dict({**raw, "id": _unused(raw.get("id"), used)})
    if isinstance(cell.get("source"), list):
        cell.source = "".join(part for part in cell.source if isinstance(part, str))
    return cell


def _is_sound(node: NotebookNode, ref: str | None = None) -> bool:
    """Whether the notebook format allows a notebook, or a cell, and it can be written to a file."""
    try:
        # Half of a surrogate pair is valid JSON, and no encoder takes it.
        json.dumps(node, ensure_ascii=False).encode()
        nbformat.validate(node, ref=ref, version=4, version_minor=5)
    except (nbformat.ValidationError, ValueError, KeyError, AttributeError):
        return False
    return True


def _sound(cell: NotebookNode) -> NotebookNode:
    """An unsound cell's text, in a sound one."""
    text = cell.get("source")
    text = text.encode("utf-8", "replace").decode() if isinstance(text, str) else ""
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, Mapping) else None
    # Only plain values, so that nothing unsound comes in again.
    kept = {
        key: value
        for key, value in (marks.items() if isinstance(marks, Mapping) else ())
        if isinstance(value, bool | int) or (isinstance(value, str) and value.isascii())
    }
    make = new_code_cell if cell.get("cell_type") == "code" else new_markdown_cell
    return make(text, id=cell.id, metadata={"nbgrader": kept} if kept else {})


def output(kind: str, **fields: Any) -> NotebookNode:
    """An output in nbformat's terms.

    nbformat's ``new_output`` would hold each against the schema, which takes longer than most
    cells; the notebook as a whole is held against it when it is written.
    """
    rest: dict[str, Any] = {} if kind in ("stream", "error") else {"metadata": {}}
    return nbformat.from_dict({"output_type": kind, **rest, **fields})


def _unused(wanted: Any, used: set[str]) -> str:
    """A valid id that no other cell has: the wanted one if possible."""
    name = wanted if isinstance(wanted, str) and _ID.fullmatch(wanted) else "cell"
    # Counted from how many are used: from one on, thousands of cells with one id would take long.
    others = (hashlib.sha256(f"{name}{n}".encode()).hexdigest()[:12] for n in count(len(used)))
    free = next(each for each in chain([name], others) if each not in used)
    used.add(free)
    return free


def repaired(
    cells: Sequence[NotebookNode], trusted: Sequence[Trusted]
) -> tuple[list[NotebookNode], list[str]]:
    """Put the trusted cells right among the submitted ones; says in words what was changed.

    An answer keeps the student's text; if its cell is gone it comes back as the stub.  Cells that
    were added stay where they are, without any metadata.  The words hold no text of the student's.
    """
    chosen = _chosen(cells, trusted)
    notes: list[str] = []
    used = {each.cell_id for each in trusted}
    whose = {n: each for each in trusted if (n := chosen.get(each.name)) is not None}
    result: list[NotebookNode] = []
    for n, cell in enumerate(cells):
        if n in whose:
            each = whose[n]
            notes += _differences(cell, each)
            result.append(each.cell(each.source if each.locked else cell.source))
            continue
        marks = _marks(cell)
        name = marks.get("grade_id")
        if isinstance(name, str) and name in chosen:
            notes.append(f"{name}: stood twice; the copy does not count")
        elif any(marks.get(flag) for flag in ("grade", "solution", "locked", "task")):
            notes.append("a cell claimed to be graded, and is not one of this notebook's")
        cell.metadata = {}
        cell.id = _unused(cell.get("id"), used)
        result.append(cell)
    _place(result, trusted, notes)
    return result, notes


def _marks(cell: NotebookNode) -> Mapping[str, Any]:
    marks = cell.metadata.get("nbgrader")
    return marks if isinstance(marks, Mapping) else {}


def _chosen(cells: Sequence[NotebookNode], trusted: Sequence[Trusted]) -> dict[str, int]:
    """Which submitted cell stands for which trusted one: by grade_id, else by the cell's id."""
    chosen: dict[str, int] = {}
    for each in trusted:
        claim = [n for n, cell in enumerate(cells) if _marks(cell).get("grade_id") == each.name]
        if claim:
            # Of two copies, the one that was worked on; of two such, the original.
            chosen[each.name] = max(
                claim,
                key=lambda n: (
                    cells[n].source.strip() != each.source.strip(),
                    cells[n].get("id") == each.cell_id,
                    n,
                ),
            )
    for each in trusted:
        if each.name not in chosen:
            taken = set(chosen.values())
            for n, cell in enumerate(cells):
                if cell.get("id") == each.cell_id and n not in taken:
                    chosen[each.name] = n
    return chosen


def _differences(cell: NotebookNode, each: Trusted) -> Iterator[str]:
    """What is put right in one cell."""
    marks = _marks(cell)
    if cell.cell_type != each.cell_type:
        yield f"{each.name}: was made a {cell.cell_type} cell"
    if each.locked and cell.source.strip() != each.source.strip():
        yield f"{each.name}: its locked text was changed"
    if marks.get("points") != each.points:
        had = marks.get("points")
        number = isinstance(had, float) or (isinstance(had, int) and abs(had) < 10**9)
        got = f"{had:g}" if number else "none" if had is None else "what is no number"
        want = "none" if each.points is None else f"{each.points:g}"
        yield f"{each.name}: its points were changed, from {want} to {got}"
    kept = ("grade_id", "grade", "solution", "locked", "task")
    if any(marks.get(key, False) != each.marks[key] for key in kept):
        yield f"{each.name}: its nbgrader marks were changed"
    if cell.metadata.get("tags"):
        yield f"{each.name}: had tags"


def _place(cells: list[NotebookNode], trusted: Sequence[Trusted], notes: list[str]) -> None:
    """Put missing cells back, and locked ones behind what they check."""

    def find(each: Trusted) -> int | None:
        return next((n for n, cell in enumerate(cells) if cell.id == each.cell_id), None)

    before = -1
    for each in trusted:
        at = find(each)
        if at is None:
            stub = "" if each.locked else ", as not attempted"
            notes.append(f"{each.name}: was deleted; it is back{stub}")
            at = before + 1
            cells.insert(at, each.cell(each.source))
        elif each.locked and at < before:
            notes.append(f"{each.name}: stood too early; it is back in its place")
            cells.insert(before, cells.pop(at))
            at = before
        before = at


class SubmissionExporter(NotebookExporter):
    """Reads what was handed in, however badly it is made, and goes on with what it can read."""

    optimistic_validation = Bool(True).tag(config=True)
    """Whether the notebook is validated at the end alone, and not after each step."""

    def from_file(
        self, file_stream: Any, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Convert a notebook; one that can't be read at all counts as one without cells."""
        path = Path(file_stream.name)
        if is_linked(path):
            notebook, damage = new_notebook(), f"{path.name} {LINKED}"
        else:
            notebook, damage = read_file(path)
        # nbconvert takes it for a text unseen; Repair writes all of these metadata anew.
        notebook.metadata.pop("language", None)
        resources = {} if resources is None else resources
        resources[KEY] = {"damaged": damage}
        return self.from_notebook_node(notebook, resources=resources, **kw)


class Repair(NbGraderPreprocessor):
    """The first of ``Autograde.sanitize_preprocessors``: puts the graded cells right.

    It does the work of DeduplicateIds and OverwriteCells, and what they leave undone.  What it
    changed stands in the notebook's metadata, and for the student in a cell at the top.
    """

    known: Known | None = None
    """What the class knows of the notebook; None: look it up in the gradebook."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Repair one notebook; raises nbgrader's MissingEntry if the class has no such notebook."""
        named = resources["nbgrader"]
        known = self.known or self._look_up(named)
        nb.cells, notes = repaired(nb.cells, known.cells)
        damage = resources.get(KEY, {}).get("damaged", "")
        said = [damage] if damage else notes
        for note in said:
            self.log.warning("%s: %s", named["student"], note)
        nb.metadata = nbformat.from_dict(
            {
                "kernelspec": json.loads(known.kernelspec),
                "language_info": {"name": "python"},
                KEY: {"damaged": damage, "repairs": [] if damage else notes},
            }
        )
        if said:
            head = (
                "This notebook could not be read, and nothing of it was graded:"
                if damage
                else "Before it was graded, this notebook was repaired:"
            )
            text = "\n".join([f"**{head}**", "", *(f"- {note}" for note in said)])
            nb.cells.insert(0, new_markdown_cell(text, id=_unused("repairs", _ids(nb))))
        return nb, resources

    def _look_up(self, named: Mapping[str, str]) -> Known:
        coursedir = getattr(getattr(self.parent, "parent", None), "coursedir", None)
        source = Path()
        if coursedir is not None:
            folder = coursedir.format_path(coursedir.source_directory, ".", named["assignment"])
            source = Path(folder) / f"{named['notebook']}.ipynb"
        with Gradebook(named["db_url"]) as gradebook:
            return known_notebook(gradebook, named["notebook"], named["assignment"], source)


def _ids(notebook: NotebookNode) -> set[str]:
    return {cell.id for cell in notebook.cells}


class WriteOff(NbGraderPreprocessor):
    """Takes the place of running a notebook that can't be run: every check fails, and says why."""

    reason = Unicode(help="what the student is told").tag(config=True)

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Give a graded code cell an error instead of a result."""
        if cell.cell_type == "code" and _marks(cell).get("grade"):
            line = f"NotGraded: {self.reason}"
            error = {"ename": "NotGraded", "evalue": self.reason, "traceback": [line]}
            cell.outputs = [output("error", **error)]
        return cell, resources
