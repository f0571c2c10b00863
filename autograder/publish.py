"""What students get, and nothing else: a folder that can be a repository of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autograder.build import (
    CONFIG,
    HOUSE,
    NOTEBOOKS,
    BuildError,
    as_json,
    put,
    student_notebook,
)
from course.exercise import CHAPTERS, chapter
from course.repository import toolkit

README = """\
# Recurrent Neural Networks, derived and built: the exercises

`notebooks/` has a notebook for each chapter:

{chapters}

`course/` is what they import: it checks your answers, and gives hints. On your own machine, with
Python 3.11 to 3.13:

```
python3 -m venv env
env/bin/pip install ./course jupyterlab
env/bin/jupyter lab notebooks/
```

Binder needs nothing: it reads `binder/`. Code is under the MIT License, text under CC BY 4.0.
"""


NOT_FOR_STUDENTS = ("solutions", "autograder", "source", CONFIG.name)


def publish(to: Path) -> list[Path]:
    """Write the notebooks, the toolkit and what Binder reads into a folder; returns what changed.

    Other files stay, so that the folder may be a repository.  Raises BuildError where it holds
    what is not for students, as the house and a class's folder do.
    """
    for name in NOT_FOR_STUDENTS:
        if (to / name).exists():
            raise BuildError(f"{to} holds {name}, which is not for students: name another folder")
    return [to / name for name, data in _files() if put(to / name, data)]


def _files() -> Iterator[tuple[str, bytes | str]]:
    """The name and content of each."""
    for name in CHAPTERS:
        yield f"{NOTEBOOKS.name}/{name}.ipynb", as_json(student_notebook(name))
    for name, path in toolkit().items():
        yield name, path.read_bytes()
    for path in sorted((HOUSE / "binder").iterdir()):
        yield f"binder/{path.name}", path.read_bytes()
    yield "LICENSE", (HOUSE / "LICENSE").read_bytes()
    chapters = (f"- `{name}.ipynb`: {chapter(name).title}" for name in CHAPTERS)
    yield "README.md", README.format(chapters="\n".join(chapters))
