"""The command ``autograder``."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from course.exercise import CHAPTERS, CourseError, chapter

if TYPE_CHECKING:  # what takes a second to import comes with the command that needs it
    from autograder.evidence import Evidence
    from autograder.grading import Check, ClassFolder, Standing

app = typer.Typer(
    name="autograder",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="""Build the course's notebooks, grade a class, and prove the checks.

    A class, from the start:

    \b
    1. autograder new-course class          makes the class's folder; the rest happens in it
    2. nbgrader generate_assignment bptt    makes what students get, release/bptt/
    3. submitted/STUDENT/bptt/bptt.ipynb    is where to put what they hand in
    4. autograder grade bptt                runs the checks and shows the class
    5. formgrader, in JupyterLab's menu     for the answers that a person reads
    6. autograder feedback bptt             makes a page for each student
    7. autograder export                    makes a table of all grades

    To see all of it on an invented class: autograder demo
    """,
)

ChapterName = Annotated[str, typer.Argument(metavar="CHAPTER", help="For example: bptt.")]
Chapters = Annotated[
    list[str] | None, typer.Argument(metavar="CHAPTER", help="All, if none is named.")
]
CourseDir = Annotated[
    Path | None,
    typer.Option(
        "--course-dir",
        metavar="PATH",
        help="The folder of the class; where you are, or class/ there, if left out.",
    ),
]
Jobs = Annotated[int, typer.Option(min=1, help="Submissions to run at a time.")]
DEFAULT_JOBS = min(2, os.cpu_count() or 1)

# Where nobody looks, nothing has to be folded to the width of a window.
out = Console(width=None if sys.stdout.isatty() else 140)


class Format(StrEnum):
    """What ``autograder export`` writes: a line a student and chapter, or an LMS's own form."""

    plain = "plain"
    canvas = "canvas"
    moodle = "moodle"


def _stderr() -> Console:
    return Console(stderr=True)


@contextmanager
def _progress(title: str, total: int | None = None) -> Iterator[Progress]:
    """A bar on stderr, and only where someone looks at it."""
    console = _stderr()
    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[last]}", markup=False),
    ]
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    progress.add_task(title, total=total, last="")
    with progress:
        yield progress


def _chapters(names: list[str]) -> list[str]:
    """The chapters that are meant, all if none is named; raises CourseError on an unknown one."""
    for name in names:
        chapter(name)
    return names or list(CHAPTERS)


def _class(course_dir: Path | None, isolate: bool = True) -> ClassFolder:
    """Open the class that is meant: the one named, the one that we are in, or class/ here."""
    from autograder.folder import ClassFolder

    return ClassFolder.open(course_dir or _here() or Path("class"), isolate=isolate)


def _here() -> Path | None:
    """The folder that we are in, if it is a class."""
    from autograder.build import CONFIG

    return Path() if Path(CONFIG.name).is_file() else None


@app.command()
def build(
    chapters: Chapters = None,
    course_dir: Annotated[
        Path | None,
        typer.Option(
            "--course-dir",
            metavar="PATH",
            help="Also the source of this class; where you are, if that is one.",
        ),
    ] = None,
) -> None:
    """Build the notebooks: the students' one and, for a class, its source.

    Writes notebooks/CHAPTER.ipynb, course/fixtures/CHAPTER.npz and, in the folder of a class,
    source/CHAPTER/CHAPTER.ipynb.  Building twice changes nothing.
    """
    if course_dir is not None:
        _class(course_dir)  # refuses what is none: a name misspelt would be a class more
    _build(chapters, course_dir or _here())


@app.command()
def new_course(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Made, if it is new.")],
    chapters: Chapters = None,
) -> None:
    """Make the folder of a class, which nbgrader's own commands work in, too.

    Writes nbgrader_config.py, which is yours to change, and source/CHAPTER/CHAPTER.ipynb, which
    holds the answers.  Other files in the folder stay; what is a class already is refused.
    """
    from autograder.folder import CONFIG, GradingError

    if (to / CONFIG.name).exists():
        raise GradingError(
            f"{to} is a class already (it has {CONFIG.name}): bring its notebooks up to date with"
            f" 'autograder build --course-dir {to}', or name a new folder"
        )
    if (to / "source").exists():
        raise GradingError(f"{to} has source already, which is left as it is: name a new folder")
    _build(chapters, to)


def _build(chapters: list[str] | None, course_dir: Path | None) -> None:
    """Build with a progress bar, and say what was written and what comes next."""
    from autograder.build import build as build_chapter

    names = _chapters(chapters or [])
    changed = []
    with _progress("building", len(names)) as progress:
        for name in names:
            changed += build_chapter(name, course_dir)
            progress.advance(progress.task_ids[0])
    for path in changed:
        out.print(f"wrote {_short(path)}", highlight=False, soft_wrap=True)
    if not changed:
        out.print("nothing has changed")
    if course_dir is not None and any(course_dir in path.parents for path in changed):
        also = f", and so on for {', '.join(names[1:])}" if len(names) > 1 else ""
        out.print(
            f"next, in {_short(course_dir)}: nbgrader generate_assignment {names[0]}{also}",
            highlight=False,
            soft_wrap=True,
        )


@app.command()
def publish(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Made, if it is new.")],
) -> None:
    """Write what students get, and nothing else: for a repository of their own.

    That is notebooks/, course/, a README, and binder/, from which Binder sets itself up.  Other
    files in the folder stay.  Name the repository's address in course/yours.py and build first:
    then the book's chapters and the notebooks lead there.
    """
    from autograder.publish import publish as write

    changed = write(to)
    said = f"{len(changed)} files written in {_short(to)}" if changed else "nothing has changed"
    out.print(said, highlight=False, soft_wrap=True)


@app.command()
def solutions(
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="PATH", help="Where to; build/solutions, if left out."),
    ] = None,
) -> None:
    """Make pages with the answers, for instructors to read.

    The notebooks with the answers and what they give, and under each exercise its hints and its
    known slips; for written questions the model answer, and how to mark it.  Refuses a folder
    that students read.  Made again, only what has changed is run.
    """
    from autograder.answers import SITE, write

    first = write(to or SITE)
    out.print(f"the answers: {_short(first)}", highlight=False, soft_wrap=True)


@app.command()
def grade(
    name: ChapterName,
    student: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this one's submission.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Run submissions again that have not changed.")
    ] = False,
    jobs: Jobs = DEFAULT_JOBS,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run them on the workers of this dask scheduler, instead of here;"
            " for example tcp://grader:8786.",
        ),
    ] = None,
    unsafe_no_sandbox: Annotated[
        bool,
        typer.Option(
            "--unsafe-no-sandbox",
            help="Run students' code without a jail, where the machine gives none.",
        ),
    ] = False,
    course_dir: CourseDir = None,
) -> None:
    """Grade what was handed in, and show the class table.

    Only what has changed is run: a submission, or the checks.  Points that a person gave stay.
    An interrupted run goes on where it stopped.  With --scheduler the submissions run on other
    machines, on which the same version of the course is installed; the gradebook and the
    notebooks are written here all the same.  Afterwards the class report stands in
    reports/CHAPTER.html, in the folder of the class.
    """
    from autograder import forks

    _chapters([name])
    if scheduler is None:
        forks.context(name)  # it takes seconds to be ready, and so does what comes next

    course = _class(course_dir, isolate=not unsafe_no_sandbox)
    if unsafe_no_sandbox:
        _say("not isolated: students' code can read and change whatever you can")
    complete = _grade(course, name, student, force, jobs, scheduler)
    _report(course, name)
    if not complete:
        raise typer.Exit(1)


def _grade(
    course: ClassFolder,
    name: str,
    student: str | None = None,
    force: bool = False,
    jobs: int = DEFAULT_JOBS,
    scheduler: str | None = None,
) -> bool:
    """Grade with a progress bar, then the table; says whether everything could be run."""
    from autograder import grading

    ran: list[str] = []
    with _progress(f"grading {name}") as progress:

        def done(who: str, run: grading.Run | None, total: int) -> None:
            last = f"{_inert(who)}: unchanged"
            if run is not None:
                ran.append(who)
                last = f"{_inert(who)}: {run.ending}, {run.seconds:.1f} s"
            progress.update(progress.task_ids[0], advance=1, total=total, last=last)

        standings = grading.grade(
            course,
            name,
            student=student,
            force=force,
            jobs=jobs,
            scheduler=scheduler,
            done=done,
        )
    out.print(class_table(name, standings))
    out.print(f"{len(ran)} run, {len(standings) - len(ran)} unchanged")
    failed = [each for each in standings if each.run.ending == grading.FAILED]
    for each in failed:
        _say(f"{each.student} could not be run, and has 0 points for now: {each.run.reason}")
    if failed:
        _say(f"put that right, then again: autograder grade {name}")
    return not failed


def _report(course: ClassFolder, name: str) -> None:
    """Write the class report, of all who have been graded."""
    from autograder import class_report, grading

    everyone = grading.standings(course, name, course.students(name))
    path = class_report.write(course, name, everyone)
    out.print(f"class report: {_short(path)}", highlight=False, soft_wrap=True)


def class_table(name: str, standings: Sequence[Standing]) -> Table:
    """The class as a table for the terminal."""
    table = _table(name)
    table.add_column("student", no_wrap=True)
    table.add_column("checks", justify="right", no_wrap=True)
    table.add_column("written", justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("ending")
    table.add_column("slips met")
    for each in standings:
        ending = each.run.ending
        if not each.run.isolated:
            ending += ", not isolated"
        if each.run.repairs:
            count = len(each.run.repairs)
            ending += f", {count} repair{'' if count == 1 else 's'}"
        table.add_row(
            Text(_inert(each.name)),
            f"{each.auto:g}/{each.auto_max:g}",
            f"+{each.to_read:g} to read"
            if each.to_read
            else f"{each.written:g}/{each.written_max:g}",
            f"{each.run.seconds:.1f}" if each.fresh else "-",
            Text(ending),
            Text("\n".join(each.slips)),
        )
    return table


def _table(name: str) -> Table:
    return Table(
        title=f"{name}: {chapter(name).title}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


@app.command()
def feedback(name: ChapterName, course_dir: CourseDir = None) -> None:
    """Write the feedback pages that are out of date.

    The pages stand in feedback/STUDENT/CHAPTER/CHAPTER.html, in the folder of the class.
    """
    _chapters([name])
    course = _class(course_dir)
    _feedback(course, name)
    _report(course, name)


def _feedback(course: ClassFolder, name: str) -> None:
    from autograder import grading

    students = grading.chosen(course, name, None)
    with _progress("writing feedback", len(students)) as progress:

        def done(who: str) -> None:
            progress.update(progress.task_ids[0], advance=1, last=_inert(who))

        made = grading.feedback(course, name, students, done)
    where = _short(course.root / "feedback")
    pages = f"{len(made)} feedback page{'' if len(made) == 1 else 's'}"
    out.print(f"{pages} written in {where}", highlight=False, soft_wrap=True)


@app.command()
def export(
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to; grades.csv in the class, if left out."),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="For a spreadsheet, or for an LMS to read in.")
    ] = Format.plain,
    course_dir: CourseDir = None,
) -> None:
    """Write all grades to a CSV file."""
    from autograder import grading

    course = _class(course_dir)
    written = grading.export(course, to or course.root / "grades.csv", form.value)
    out.print(f"wrote {_short(written)}", highlight=False, soft_wrap=True)


@app.command()
def demo(
    course_dir: Annotated[
        Path, typer.Option("--course-dir", metavar="PATH", help="The folder to make.")
    ] = Path("build/demo"),
    jobs: Jobs = DEFAULT_JOBS,
) -> None:
    """Make a class of invented students, and do all of it.

    Its folder then holds reports/bptt.html, feedback/, and grades.csv; nbgrader and formgrader
    work on it too.  Run again, it does only what has changed.
    """
    from autograder import grading
    from autograder.demo import CHAPTER, make

    with _progress("making the class"):
        course = make(course_dir)
    complete = _grade(course, CHAPTER, jobs=jobs)
    _feedback(course, CHAPTER)
    _report(course, CHAPTER)
    grades = grading.export(course, course.root / "grades.csv")
    out.print(f"wrote {_short(grades)}", highlight=False, soft_wrap=True)
    if not complete:
        raise typer.Exit(1)


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(metavar="CHAPTER", help="All, if none is named.")
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="In how many draws of inputs an answer must be right.")
    ] = 1,
) -> None:
    """Prove the checks, with answers, stubs and known slips.

    Every answer must be right, every stub not attempted, every slip found and named.  Exits with
    1 if a single row is not as it must be.
    """
    from autograder.verify import rows

    bad = 0
    for each in _chapters([name] if name else []):
        table = _table(each)
        for column in ("", "exercise", "kind", "name", "must stop at", "stops at", "named"):
            table.add_column(column, no_wrap=True)
        count = 0
        with _progress(f"verifying {each}") as progress:
            for row in rows(each, draws=draws):
                count += 1
                bad += not row.ok
                table.add_row(
                    "✓" if row.ok else "✗",
                    row.exercise.name,
                    row.kind,
                    row.name,
                    row.want,
                    row.found,
                    "yes" if row.named else "no",
                    style=None if row.ok else "bold red",
                )
                progress.update(progress.task_ids[0], advance=1, last=row.name)
        out.print(table)
        out.print(f"{count} rows")
    if bad:
        _say(f"{bad} row{'' if bad == 1 else 's'} not as it must be")
        raise typer.Exit(1)


@app.command()
def replay(
    student: Annotated[str, typer.Argument(metavar="STUDENT")],
    name: ChapterName,
    course_dir: CourseDir = None,
) -> None:
    """Judge a graded submission again, with the very inputs that it was judged with.

    For a score that is in dispute: shows every check's report in full, and changes no score.
    """
    from autograder import grading
    from course.report import as_text

    _chapters([name])
    course = _class(course_dir)
    seen: list[Evidence | None] = []
    reports = grading.replay(course, name, student, seen)
    run = grading.load_run(course, student, name)
    assert run is not None  # else replay would have refused
    kept = {(check.exercise, check.part): check for check in run.checks}
    for report, now in zip(reports, seen, strict=True):
        out.print(_inert(as_text(report)), highlight=False, markup=False, soft_wrap=True)
        then = kept.get((report.exercise.name, report.part))
        if then and then.sent and now:
            out.print(f"  {_compared(then, now)}", highlight=False)
    earned, most = sum(r.points for r in reports), sum(r.out_of for r in reports)
    out.print(f"{earned:g} of {most:g} points, with the inputs of seed {run.seed}", highlight=False)


def _compared(then: Check, now: Evidence) -> str:
    """Whether a replay sent and got what was sent and got when the score was made."""
    if then.sent != now.sent:
        return "! not the inputs of then: the checks have changed since"
    if then.got != now.got:
        return (
            "! the same inputs as then, and other answers: something in the code is left to chance"
        )
    return f"the same inputs and answers as then, bit for bit ({now.sent} → {now.got})"


@app.command()
def doctor() -> None:
    """Say what isolation this machine gives, and prove it by trying to get out.

    Exits with 1 if anything got out that the grading rests on.
    """
    from autograder.doctor import OPTIONAL, examine

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "layer or attempt", "seen"):
        table.add_column(column)
    escaped = []
    with _progress("trying") as progress:
        for trial in examine():
            table.add_row("✓" if trial.held else "✗", trial.name, Text(trial.seen))
            progress.update(progress.task_ids[0], advance=1, last=trial.name)
            if not trial.held and trial.name not in OPTIONAL:
                escaped.append(trial.name)
    out.print(table)
    if escaped:
        _say(f"this machine does not hold a submission in: {', '.join(escaped)}")
        _say("grade on Linux with user namespaces; --unsafe-no-sandbox grades without protection")
        raise typer.Exit(1)


def _short(path: Path) -> str:
    """A path as one would type it from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _say(message: str) -> None:
    """One line on stderr."""
    print(f"autograder: {_inert(message)}", file=sys.stderr)


def _inert(text: str) -> str:
    """A text, its control characters spelt out: some tell a terminal to do things.

    What a student's function prints or raises is repeated here, and could clear the screen, show
    another score, or fill the clipboard.
    """
    return _CONTROLS.sub(lambda letter: letter[0].encode("unicode_escape").decode(), text)


# All but line feeds and tabs; and those that turn the direction of what is read.
_CONTROLS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def main() -> None:
    """Run the command; what goes wrong is said in one line, with the way out."""
    try:
        app(prog_name="autograder")
    except Exception as error:
        said = _way_out(error)
        if said is None:
            raise
        _say(said)
        sys.exit(1)


def _way_out(error: Exception) -> str | None:
    """What to say of an error; None of one that nobody has foreseen."""
    if isinstance(error, CourseError):
        return str(error)
    if isinstance(error, PermissionError):
        whose = "ask its owner, or run as one who may write there"
        return f"no permission for {error.filename}: {whose}"
    if isinstance(error, OSError):
        return f"{error.filename or 'system'}: {error.strerror or error}"
    # Loaded only now: --help should not have to wait for them.
    from sqlalchemy.exc import SQLAlchemyError

    from autograder.build import BuildError
    from autograder.folder import GradingError

    if isinstance(error, BuildError | GradingError):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        return f"the gradebook can't be used: {getattr(error, 'orig', error)}"
    return None
