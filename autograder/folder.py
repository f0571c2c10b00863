"""A class's folder: its configuration, its paths, its gradebook."""

from __future__ import annotations

import contextlib
import datetime
import functools
import glob
import os
import re
import sqlite3
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy
import sqlalchemy.exc
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from autograder.build import CONFIG


class GradingError(Exception):
    """Something that a person has to put right first; the message says what and how."""


@dataclass(frozen=True)
class ClassFolder:
    """A class: the folder that nbgrader's commands and formgrader work on.

    isolate: whether students' code runs in a jail; without one it can read and change whatever
    the grader can.
    """

    root: Path
    config: Config
    isolate: bool = True

    @classmethod
    def open(cls, root: Path, isolate: bool = True) -> ClassFolder:
        """Read a class's configuration; raises GradingError if it is missing or broken."""
        root = root.resolve()
        path = root / CONFIG.name
        if not path.is_file():
            raise GradingError(
                f"{root} is not a class folder (it has no {CONFIG.name}): make one with"
                " 'autograder new-course', or name another with --course-dir"
            )
        # nbgrader makes a new gradebook by calling a program that lies beside the interpreter.
        programs = str(Path(sys.executable).parent)
        if programs not in os.environ.get("PATH", "").split(os.pathsep):
            os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", "")])
        # nbgrader adds a submission in an order that SQLAlchemy wonders at.
        warnings.simplefilter("ignore", sqlalchemy.exc.SAWarning)
        try:
            config = PyFileConfigLoader(CONFIG.name, path=str(root)).load_config()
        except Exception as error:  # the file is Python: anything can go wrong in it
            raise GradingError(f"{path}: {type(error).__name__}: {error}") from None
        if not isolate:
            config.TrustedExecute.isolate = False
        return cls(root, config, isolate)

    def coursedir(self, **ids: str) -> CourseDirectory:
        """nbgrader's view of the folder, set to an assignment and a student."""
        return CourseDirectory(config=self.config, **ids)

    @functools.cached_property
    def _layout(self) -> CourseDirectory:
        return self.coursedir()

    def path(self, step: str, student: str, chapter: str) -> Path:
        """The folder of a step ("submitted", "autograded", "feedback") of one submission."""
        coursedir = self._layout
        return Path(
            coursedir.format_path(getattr(coursedir, f"{step}_directory"), student, chapter)
        )

    def record(self, student: str, chapter: str) -> Path:
        """Where a submission's run is kept."""
        return self.root / "grading" / chapter / f"{student}.json"

    def report(self, chapter: str) -> Path:
        """Where the class report stands."""
        return self.root / "reports" / f"{chapter}.html"

    def gradebook(self, patience: float = 5) -> Gradebook:
        """Open the gradebook; close it after use, or take it in a ``with``.

        patience: seconds to wait for another program that is writing to SQLite.
        """
        coursedir = self.coursedir()
        url = sqlalchemy.engine.make_url(coursedir.db_url)
        if url.get_backend_name() == "sqlite":
            url = url.update_query_dict({"timeout": f"{patience:g}"})
        return Gradebook(url.render_as_string(hide_password=False), coursedir.course_id)

    def timestamp(self, student: str, chapter: str) -> datetime.datetime | None:
        """When a submission was handed in, if that is known; ValueError if it can't be read."""
        folder = self.path("submitted", student, chapter)
        try:
            return self._layout.get_existing_timestamp(str(folder))
        except (ValueError, OverflowError, AttributeError, OSError):
            # AttributeError: nbgrader's own message fails; OSError: a folder of that name.
            raise ValueError("its timestamp.txt holds no date: correct it, or delete it") from None

    def check_gradebook(self) -> None:
        """Raise GradingError if the gradebook can't be written to just now."""
        url = sqlalchemy.engine.make_url(self.coursedir().db_url)
        if url.get_backend_name() != "sqlite":
            _check_server(url)
            return
        if not url.database:
            return
        if not os.path.exists(url.database):
            raise GradingError(
                f"{url.database} does not exist: nothing has been released yet;"
                " first, in the class folder: nbgrader generate_assignment CHAPTER"
            )
        try:
            with contextlib.closing(sqlite3.connect(url.database, timeout=2)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
        except sqlite3.Error as error:
            raise gradebook_error(url.database, str(error)) from None

    def students(self, chapter: str) -> list[str]:
        """Who has handed in something."""
        pattern = self.path("submitted", "*", glob.escape(chapter))
        regexp = re.compile(
            self.coursedir().format_path(
                self.coursedir().submitted_directory, "(?P<student>.+)", re.escape(chapter), True
            )
        )
        found = (regexp.fullmatch(path) for path in glob.glob(str(pattern)) if os.path.isdir(path))
        return sorted(match["student"] for match in found if match)


def _check_server(url: sqlalchemy.engine.URL) -> None:
    """Raise GradingError if the database server can't be reached."""
    try:
        engine = sqlalchemy.create_engine(url)
        with engine.connect():
            pass
        engine.dispose()
    except ModuleNotFoundError as error:
        raise GradingError(f"{url}: its driver is missing: pip install {error.name}") from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        said = " ".join(str(getattr(error, "orig", error)).split())
        raise GradingError(
            f"{url}: the gradebook can't be reached ({said}):"
            f" see to CourseDirectory.db_url in {CONFIG.name}, and that the server runs"
        ) from None


def gradebook_error(database: str, said: str) -> GradingError:
    """What to tell a person when the database says this."""
    if "locked" in said:
        why = "another program holds it: close formgrader or other grading, then again"
    elif "readonly" in said or "unable to open" in said:
        why = "no permission to write it: ask its owner, or chmod u+w"
    elif "not a database" in said or "malformed" in said:
        why = "it is damaged: put a backup in its place"
    else:
        why = said
    return GradingError(f"{database}: {why}")
