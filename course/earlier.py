"""``earlier``: a function that the student wrote in another chapter's notebook."""

from __future__ import annotations

import ast
import contextlib
import io
import json
from pathlib import Path
from typing import Any

from course.checks import ladder_for
from course.exercise import find
from course.ladder import NOT_ATTEMPTED, RIGHT
from course.show import show


def earlier(name: str, otherwise: Any, folder: str | Path = ".") -> Any:
    """Take an exercise's answer from its own chapter's notebook, and say whose it is.

    name: "chapter.exercise"; otherwise: what to take if the notebook is not in the folder, or if
    its answer does not pass its check.  Of that notebook only imports, functions and classes are
    run, and no cell that trains or draws.  Says in a line what was taken.

    Returns the student's own function or class, or ``otherwise``.  Raises CourseError on an
    unknown name.
    """
    exercise, _ = find(name)
    path = Path(folder) / f"{exercise.chapter}.ipynb"
    answer, why = _look(path, exercise.symbol)
    if answer is not None:
        reports = [ladder_for(exercise, answer).climb(part) for part in exercise.parts or (None,)]
        outcomes = {each.outcome for each in reports}
        if outcomes == {RIGHT}:
            show(text=f"{name}: yours, from {path.name}; it passes its check.")
            return answer
        blank = outcomes == {NOT_ATTEMPTED}
        why = f"yours in {path.name} {'is not written yet' if blank else 'does not pass its check'}"
    show(text=f"{name}: the course's stand-in, since {why}.")
    return otherwise


def _look(path: Path, symbol: str) -> tuple[Any, str]:
    """The definition in a notebook, or None and the reason why there is none."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except OSError:
        return None, f"there is no {path.name} beside this notebook"
    except (ValueError, KeyError, TypeError):
        return None, f"{path.name} can't be read as a notebook"
    space: dict[str, Any] = {"__name__": path.stem}
    for node in _definitions(texts):
        # What a cell lacks may be a name that only a cell not run here would have made.
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(ast.Module([node], []), str(path), "exec"), space)
    if symbol not in space:
        return None, f"{path.name} has no {symbol}"
    return space[symbol], ""


def _definitions(texts: list[str]) -> list[ast.stmt]:
    """The imports, functions and classes at the top level of some cells."""
    wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    found: list[ast.stmt] = []
    for text in texts:
        with contextlib.suppress(SyntaxError):  # a cell with a %magic, or one half written
            found += [node for node in ast.parse(text).body if isinstance(node, wanted)]
    return found
