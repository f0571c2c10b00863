"""Runs one attack as a class would: hand in, repair, run in the jail, score; looks for harm."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import re
import secrets
import socket
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from attacks import Attack
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbgrader import utils

from autograder import demo, execute, harmless
from autograder.build import HOUSE, student_notebook
from autograder.repair import Trusted, read, repaired

BUDGETS = {
    "call_seconds": 1.0,
    "wall_seconds": 15.0,
    "extra_memory": 400 << 20,
    "file_bytes": 16 << 20,
    "cpu_seconds": 10,
}


LONG = ('if ready("bptt.forward", "bptt.loss"', 'if ready("bptt.forward", "bptt.grad_h"')
"""How the chapter's two long demonstrations begin: where all is right, they would take more time
than everything else.  The short one stays, which trains a network and draws; the demo class, in
another test, runs all three in the jail."""


@functools.cache
def released() -> NotebookNode:
    """What students get, without the long demonstrations."""
    notebook = student_notebook("bptt")
    kept = [cell for cell in notebook.cells if not cell.source.startswith(LONG)]
    assert len(notebook.cells) - len(kept) == len(LONG), "the chapter's demonstrations have changed"
    assert any(cell.source.startswith('if ready("bptt.train")') for cell in kept)
    notebook.cells = kept
    return notebook


@functools.cache
def trusted() -> list[Trusted]:
    """What the gradebook would know of the notebook."""
    known = []
    for cell in released().cells:
        marks = cell.metadata.get("nbgrader")
        if marks:
            kept = {k: marks[k] for k in ("grade", "solution", "task", "locked")}
            kept["points"] = marks.get("points")
            checksum = marks.get("checksum", "")
            known.append(Trusted(marks["grade_id"], cell.cell_type, cell.source, checksum, **kept))
    return known


@dataclass
class Bait:
    """What an attack may try to reach, and must not."""

    canary: Path
    mark: str = field(default_factory=lambda: f"mark{secrets.token_hex(6)}")

    def __post_init__(self) -> None:
        self.canary.write_text("alive")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0{self.mark}")
        self.abstract.listen()
        for each in (self.listener, self.abstract):
            each.setblocking(False)

    def put_into(self, code: str) -> str:
        for name, value in (
            ("HOUSE", HOUSE),
            ("CANARY", self.canary),
            ("PORT", self.listener.getsockname()[1]),
            ("ABSTRACT", self.mark),
            ("MARK", self.mark),
            ("PID", os.getpid()),
        ):
            code = code.replace(f"@{name}@", str(value))
        return code

    def harm(self) -> list[str]:
        """Everything that came through, in words."""
        found = []
        try:
            kept = (
                self.canary.read_text() == "alive" and self.canary.stat().st_mode & 0o777 == 0o644
            )
        except FileNotFoundError:
            kept = False
        if not kept:
            found.append("the canary was changed")
        for name in ("listener", "abstract"):
            with contextlib.suppress(BlockingIOError):
                getattr(self, name).accept()
                found.append(f"something connected to the {name}")
        places = {Path("/"), Path("/tmp"), Path.home(), HOUSE, Path.cwd(), self.canary.parent}
        places |= {Path("/etc"), Path("/dev/shm"), Path("/usr/lib"), Path("/usr/bin")}
        for place in places:
            with contextlib.suppress(OSError):
                found += [str(path) for path in place.iterdir() if self.mark in path.name]
        return found

    def close(self) -> None:
        self.listener.close()
        self.abstract.close()


def children(process: int) -> set[int]:
    """The processes below one, at any depth."""
    below: set[int] = set()
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                below |= {child} | children(child)
    return below


def strangers(seconds: float = 5.0) -> set[int]:
    """The processes that are left when a submission is over; gives them a moment to end.

    This process must be a subreaper, so that no orphan gets away.
    """
    deadline = time.monotonic() + seconds
    while True:
        warm = {zygote.process.pid for zygote in execute._WARM.values()}
        left = {pid for pid in children(os.getpid()) - warm if _is_ours(pid)}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _is_ours(process: int) -> bool:
    """Whether it is a fork of a warm process."""
    with contextlib.suppress(OSError):
        return b"autograder.sandbox.inside" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def handed_in(attack: Attack, bait: Bait) -> NotebookNode:
    """The notebook of an attack."""
    nb = copy.deepcopy(released())
    right = demo.answers()
    imports = max(n for n, cell in enumerate(nb.cells) if "from course import" in cell.source)
    for cell in nb.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        symbol = name.removeprefix("bptt-")
        if attack.honest and name in right and cell.cell_type == "code":
            cell.source = right[name]
        if symbol in attack.answers:
            cell.source = attack.answers[symbol]
    if attack.setup:
        nb.cells.insert(imports + 1, new_code_cell(attack.setup))
    if attack.first:
        nb.cells.insert(0, new_code_cell(attack.first))
    if attack.last:
        nb.cells.append(new_code_cell(attack.last))
    if attack.edit:
        attack.edit(nb)
    for cell in nb.cells:
        cell.source = bait.put_into(cell.source)
    return nb


@dataclass
class Outcome:
    """What an attack came to."""

    score: float
    by_check: dict[str, float]
    notebook: NotebookNode
    seconds: float

    @property
    def said(self) -> str:
        """All that the student's own cells showed as text."""
        own = (c for c in self.notebook.cells if c.cell_type == "code" and not utils.is_grade(c))
        return "\n".join(str(o.get("text", o.get("data", ""))) for c in own for o in c.outputs)


def grade(
    nb: NotebookNode, repair: bool = True, cell_seconds: float = Attack.cell_seconds
) -> Outcome:
    """Score a notebook as nbgrader does with this project's preprocessors."""
    if repair:
        nb, _ = read(nbformat.writes(nb))
        nb.cells, _ = repaired(nb.cells, trusted())
        nb.metadata = nbformat.from_dict({})
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs = []
    step = execute.TrustedExecute(cell_seconds=cell_seconds, **BUDGETS)
    began = time.monotonic()
    nb, _ = step.preprocess(nb, {"nbgrader": {"assignment": "bptt"}})
    seconds = time.monotonic() - began
    by_check: dict[str, float] = {}
    for cell in nb.cells:
        if utils.is_grade(cell) and cell.cell_type == "code" and not utils.is_solution(cell):
            score, most = utils.determine_grade(cell)
            assert score is not None
            assert 0 <= score <= most
            name = cell.metadata.nbgrader.grade_id
            by_check[name] = max(score, by_check.get(name, 0.0))
    text = nbformat.writes(nb)
    text.encode()  # what can't be encoded can't be stored
    nbformat.validate(nb)
    return Outcome(sum(by_check.values()), by_check, nb, seconds)


def page(nb: NotebookNode) -> str:
    """All that students' cells bring to a browser: outputs, and Markdown as feedback shows it."""
    shown = copy.deepcopy(nb)
    shown.cells = [cell for cell in shown.cells if not (_is_text(cell) and utils.is_locked(cell))]
    for cell in shown.cells:
        if not _is_text(cell):
            cell.source = ""
    return _exporter().from_notebook_node(shown)[0]


@functools.cache
def _exporter() -> HTMLExporter:
    """One for all pages: each would compile its templates anew."""
    return HTMLExporter(template_name="basic", filters={"markdown2html": harmless.markdown})


def _is_text(cell: NotebookNode) -> bool:
    return cell.cell_type != "code"


class _Dangers(HTMLParser):
    """Collects what a page would run, load, or lead to."""

    FORBIDDEN = (
        *("script", "iframe", "object", "embed", "form", "input", "button", "meta", "link"),
        *("base", "svg", "style", "math", "audio", "video"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        # MathJax looks into all text but <pre> and <code>, and makes links of these.
        if self.get_starttag_text() not in ("<pre>", "<code>"):
            self.found += re.findall(r"\\(?:href|mmlToken|style|require)\b", data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.FORBIDDEN:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            address = (value or "").strip()
            if name.startswith("on") or name in ("srcdoc", "srcset", "formaction", "ping"):
                self.found.append(f"<{tag} {name}={address[:60]}>")
            elif name in ("href", "src", "action", "data", "cite", "background", "xlink:href"):
                link = tag == "a" and address.startswith("http")  # says where it goes, and waits
                if not link and not address.startswith(("data:image/png;base64,", "#")):
                    self.found.append(f"<{tag} {name}={address[:60]}>")
            elif name == "style" and any(w in address for w in ("position", "url(", "@import")):
                self.found.append(f"<{tag} {name}={address[:60]}>")


def dangers(html: str) -> list[str]:
    """What a page would run or load, as tags; empty if nothing."""
    parser = _Dangers()
    parser.feed(html)
    parser.close()
    return parser.found
