"""The answers as pages to read: a site for instructors, made as the book is, and linked nowhere.

Each chapter's notebook with its answers, which run while the pages are made, and under each
exercise its hints and known slips.  The pages are written as text notebooks into a folder, from
which book/build.py makes a site.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jupytext
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder import slip as slips
from autograder.build import BEGIN, END, HOUSE, BuildError, source_notebook
from autograder.slip import Slip
from course import hints
from course.exercise import CHAPTERS, Exercise, Question, chapter

BOOK = HOUSE / "book"
SITE = HOUSE / "build" / "solutions"
STUDENTS_SEE = [HOUSE / "build" / "book", HOUSE / "notebooks", HOUSE / "course", BOOK]
WARNING = "For instructors: these pages hold the answers. Keep them away from students."
TITLE = "Answers"
EXTENSIONS = ["inline_svg", "nobreak"]
"""Those of the book's own extensions that these pages need."""


def write(site: Path = SITE) -> Path:
    """Make the site in that folder, and return the path of its first page.

    Raises BuildError if the folder is one that students read, or holds anything but such a site,
    or if a page can't be made.
    """
    site = site.resolve()
    for folder in STUDENTS_SEE:
        if site.is_relative_to(folder):
            raise BuildError(
                f"{site} lies in {folder}, which students read: give another folder with --to"
            )
    pages = site / "pages"
    if site != SITE and site.is_dir() and any(site.iterdir()) and not _is_ours(pages):
        raise BuildError(
            f"{site} holds something else, which would be lost: give a new folder with --to"
        )
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    write_pages(pages)
    command = [sys.executable, str(BOOK / "build.py"), "--book", str(pages), "--out", str(site)]
    if subprocess.run(command, stdout=2).returncode:  # it says what it is at: on stderr
        raise BuildError("the pages were not made; what stopped them stands above")
    return site / "html" / "index.html"


def _is_ours(pages: Path) -> bool:
    """Whether pages of answers lie there, from an earlier time."""
    try:
        found = yaml.safe_load((pages / "_config.yml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(found, dict) and found.get("title") == TITLE


def write_pages(folder: Path) -> None:
    """Write what book/build.py wants: pages, their order, the look, and the configuration."""
    for part in ("_static", "_ext"):
        shutil.copytree(BOOK / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(BOOK / "favicon.svg", folder)
    toc = {"format": "jb-book", "root": "index", "chapters": [{"file": n} for n in CHAPTERS]}
    ours = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))
    for name, content in (("_toc.yml", toc), ("_config.yml", configuration(ours))):
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "index.md").write_text(index(), encoding="utf-8")
    for name in CHAPTERS:
        text = jupytext.writes(page(name), fmt="md:myst")
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def configuration(book: dict[str, Any]) -> dict[str, Any]:
    """The book's configuration, for pages without a bibliography that no search engine may list."""
    sphinx = book["sphinx"]["config"]
    own = set(book["sphinx"]["local_extensions"])
    unused = {"sphinx_exercise", "sphinx_proof", "sphinxcontrib.bibtex", *own} - set(EXTENSIONS)
    options = sphinx["html_theme_options"] | {
        "announcement": WARNING,
        "search_bar_text": "Search the answers",
    }
    kept = {name: value for name, value in sphinx.items() if not name.startswith("bibtex")}
    changed = {
        "extensions": [each for each in sphinx["extensions"] if each not in unused],
        "html_theme_options": options,
        "myst_html_meta": {"robots": "noindex"},
        "suppress_warnings": ["mystnb.unknown_mime_type"],  # what a check says to the grader
    }
    return {name: value for name, value in book.items() if name != "bibtex_bibfiles"} | {
        "title": TITLE,
        "sphinx": {
            "local_extensions": dict.fromkeys(EXTENSIONS, "_ext"),
            "config": kept | changed,
        },
    }


def index() -> str:
    """The first page: what there is, and what it is worth."""
    rows = []
    for name in CHAPTERS:
        found = chapter(name)
        known = slips.of_chapter(name)
        points = sum(each.total for each in found.exercises)
        written = sum(each.points for each in found.questions)
        rows.append(
            f"| {{doc}}`{found.number}. {found.title} <{name}>` | {len(found.exercises)} |"
            f" {points:g} + {written:g} | {len(_of(known, found.exercises))} |"
        )
    return "\n".join(
        [
            "# Answers\n",
            "The notebooks as students get them, with the reference answers filled in, and under",
            "each exercise what its check knows: three hints, and the slips that it calls by name.",
            "A written question has its model answer, and how to mark it. What stands under the",
            "code came out when these pages were made: every check says what it found.\n",
            "Equation numbers are the book's. Points are those of the checks, and those that you",
            "give to the written answer.\n",
            "| chapter | exercises | points | known slips |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def page(name: str) -> NotebookNode:
    """A chapter's page as a notebook: its cells, and after each exercise what its check knows."""
    found = chapter(name)
    known = slips.of_chapter(name)
    exercises = {each.name.replace(".", "-"): each for each in found.exercises}
    questions = {each.name.replace(".", "-"): each for each in found.questions}
    cells: list[NotebookNode] = []
    waiting: list[NotebookNode] = []  # goes behind the checks of the exercise
    for cell in source_notebook(name).cells:
        about = cell.metadata.get("nbgrader", {})
        grade_id = about.get("grade_id", "")
        if not grade_id.startswith("test-"):
            cells += waiting
            waiting = []
        if grade_id in exercises:
            exercise = exercises[grade_id]
            cells.append(_text(facts(exercise)))
            cells.append(_code(without_marks(cell.source), exercise.title))
            waiting = [_text(knows(exercise, _of(known, [exercise])))]
        elif grade_id in questions:
            cells.append(_text(model_answer(questions[grade_id], cell.source)))
        elif cell.cell_type == "code":
            cells.append(_code(cell.source, _heading(cells) or found.title))
        else:
            cells.append(_text(cell.source))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=[*cells, *waiting], metadata={"kernelspec": kernel})


def _text(source: str) -> NotebookNode:
    """A Markdown cell.

    Sphinx lays several lines between $$ into a ``split``, where MathJax takes no ``\\tag``.
    """
    display = r"^\$\$[ \t]*\n(.*?)\n\$\$[ \t]*$"
    whole = r"\\begin{equation*}\n\1\n\\end{equation*}"
    return new_markdown_cell(re.sub(display, whole, source, flags=re.DOTALL | re.MULTILINE))


def _code(source: str, draws: str) -> NotebookNode:
    """A code cell; a picture that it draws is described by what it belongs to."""
    alt = f"What the code above draws: {draws}."
    return new_code_cell(source, metadata={"mystnb": {"image": {"alt": alt}}})


def _heading(cells: Iterable[NotebookNode]) -> str:
    """The last heading in these cells, without its marks."""
    text = "\n".join(each.source for each in cells if each.cell_type == "markdown")
    found = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return found[-1] if found else ""


def _of(known: Iterable[Slip], exercises: Iterable[Exercise]) -> list[Slip]:
    """The slips of these exercises."""
    names = {each.name for each in exercises}
    return [each for each in known if each.exercise in names]


def without_marks(source: str) -> str:
    """An answer without the lines that say where it begins and ends."""
    return "\n".join(line for line in source.splitlines() if line.strip() not in (BEGIN, END))


def facts(exercise: Exercise) -> str:
    """What the answer is worth, and how near the truth it has to come."""
    parts = [f"{exercise.points_of(part):g} for `{part}`" for part in exercise.parts]
    worth = _points(exercise.total) + (f" ({', '.join(parts)})" if parts else "")
    limit = exercise.tolerance
    return (
        f"`{exercise.name}`: {worth}. The largest relative error allowed is {limit.limit:g}"
        f" ({plain(limit.reason)})."
    )


def _points(number: float) -> str:
    return f"{number:g} point{'' if number == 1 else 's'}"


def knows(exercise: Exercise, known: list[Slip]) -> str:
    """The hints and the slips of an exercise, folded."""
    levels = hints.of_chapter(exercise.chapter)[exercise.name]
    lines = ["::::{dropdown} Hints"]
    for level, what in hints.LEVELS.items():
        lines += [f"**{level}: {what}.**", "", levels[level], ""]
    lines += ["::::", "", f"::::{{dropdown}} Known slips: {len(known)}"]
    for each in known:
        lines += [*_slip(each), ""]
    return "\n".join([*lines, "::::"])


def _slip(each: Slip) -> Iterator[str]:
    """A slip in the words in which a check names it, with what is right."""
    spoils = f" of {each.part}" if each.part else ""
    yield (
        f"- **{plain(each.title)}**{spoils}. Stopped at *{each.rung}*; the student is sent to"
        f" {plain(each.read)} and hint {each.hint}."
    )
    if said := (each.answer.__doc__ or "").strip():
        yield f"  {plain(' '.join(said.split()))}"


def model_answer(question: Question, source: str) -> str:
    """The answer to a written question, with how to mark it, as the source has both."""
    answer = without_marks(source).strip()
    title = f"Model answer and marking, {_points(question.points)}"
    return f"::::{{admonition}} {title}\n:class: tip\n{answer}\n::::"


def plain(text: str) -> str:
    """Text for Markdown in which nothing is a mark."""
    return re.sub(r"([\\`*_{}\[\]<>$#|~^])", r"\\\1", text)
