"""A class's folder: what is said when its configuration or its gradebook is not as it must be."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
from traitlets.config import Config

from autograder import folder
from autograder.build import CONFIG
from autograder.folder import ClassFolder, GradingError, gradebook_error


def opened(root: Path, text: str = "") -> ClassFolder:
    (root / CONFIG.name).write_text(f"c.CourseDirectory.root = {str(root)!r}\n{text}")
    return ClassFolder.open(root)


def test_a_folder_without_a_configuration_is_no_class(tmp_path):
    with pytest.raises(GradingError, match=r"is not a class folder \(it has no nbgrader_config"):
        ClassFolder.open(tmp_path)


def test_an_error_in_the_configuration_is_said(tmp_path):
    with pytest.raises(GradingError, match=r"nbgrader_config\.py: ZeroDivisionError: division"):
        opened(tmp_path, "1 / 0\n")


def test_without_isolation_the_configuration_says_so(tmp_path):
    opened(tmp_path)
    assert "isolate" not in ClassFolder.open(tmp_path).config.TrustedExecute
    bare = ClassFolder.open(tmp_path, isolate=False)
    assert bare.config.TrustedExecute.isolate is False
    assert not bare.isolate


def test_nbgrader_s_programs_are_found(tmp_path, monkeypatch):
    import sys

    monkeypatch.setenv("PATH", "/somewhere")
    opened(tmp_path)
    opened(tmp_path)
    programs = str(Path(sys.executable).parent)
    assert os.environ["PATH"].split(os.pathsep) == [programs, "/somewhere"]


def with_database(root: Path, url: str) -> ClassFolder:
    config = Config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.db_url = url
    return ClassFolder(root, config)


def test_a_gradebook_that_is_not_there_is_said(tmp_path):
    course = with_database(tmp_path, f"sqlite:///{tmp_path}/gradebook.db")
    with pytest.raises(GradingError, match="nothing has been released yet"):
        course.check_gradebook()
    assert not (tmp_path / "gradebook.db").exists()


def test_a_gradebook_in_memory_needs_no_file(tmp_path):
    with_database(tmp_path, "sqlite://").check_gradebook()


def test_a_gradebook_that_somebody_writes_to_is_locked(tmp_path, monkeypatch):
    path = tmp_path / "gradebook.db"
    connect = sqlite3.connect
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(sqlite3, "connect", lambda name, timeout: connect(name, timeout=0))
    course = with_database(tmp_path, f"sqlite:///{path}")
    with pytest.raises(GradingError, match="another program holds it"):
        course.check_gradebook()
    other.rollback()
    other.close()
    course.check_gradebook()


def test_a_gradebook_that_is_no_database_is_damaged(tmp_path):
    path = tmp_path / "gradebook.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(GradingError, match="it is damaged: put a backup in its place"):
        with_database(tmp_path, f"sqlite:///{path}").check_gradebook()


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("database is locked", "close formgrader or other grading"),
        ("attempt to write a readonly database", "chmod u+w"),
        ("unable to open database file", "chmod u+w"),
        ("file is not a database", "put a backup in its place"),
        ("database disk image is malformed", "put a backup in its place"),
        ("disk I/O error", "disk I/O error"),
    ],
)
def test_what_the_database_says_is_followed_by_what_to_do(said, advice):
    error = gradebook_error("class/gradebook.db", said)
    assert str(error).startswith("class/gradebook.db: ")
    assert advice in str(error)


def test_a_server_without_a_driver_names_the_package(tmp_path, monkeypatch):
    def missing(url):
        raise ModuleNotFoundError(name="psycopg2")

    monkeypatch.setattr(folder.sqlalchemy, "create_engine", missing)
    course = with_database(tmp_path, "postgresql://grader:3cret@localhost/rnn")
    with pytest.raises(GradingError, match="pip install psycopg2") as caught:
        course.check_gradebook()
    assert "3cret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_said(tmp_path, monkeypatch):
    class Engine:
        def connect(self):
            raise sqlalchemy.exc.OperationalError("SELECT 1", {}, OSError("nobody\n  listens"))

    monkeypatch.setattr(folder.sqlalchemy, "create_engine", lambda url: Engine())
    course = with_database(tmp_path, "postgresql://grader:3cret@localhost/rnn")
    with pytest.raises(GradingError, match=r"can't be reached \(nobody listens\)") as caught:
        course.check_gradebook()
    assert "3cret" not in str(caught.value)
    assert "CourseDirectory.db_url" in str(caught.value)


def test_a_server_that_answers_is_left_alone(tmp_path, monkeypatch):
    engine = sqlalchemy.create_engine("sqlite://")
    monkeypatch.setattr(folder.sqlalchemy, "create_engine", lambda url: engine)
    with_database(tmp_path, "postgresql://localhost/rnn").check_gradebook()


def test_who_has_handed_in_something(tmp_path):
    course = opened(tmp_path)
    for name in ("ben", "ada", "odd.name"):
        course.path("submitted", name, "bptt").mkdir(parents=True)
    course.path("submitted", "zoe", "gates").mkdir(parents=True)
    (tmp_path / "submitted" / "carl").mkdir()
    (tmp_path / "submitted" / "carl" / "bptt").write_text("a file")
    assert course.students("bptt") == ["ada", "ben", "odd.name"]
    assert course.students("b?tt") == []


def test_a_timestamp_that_is_none_says_what_to_do(tmp_path):
    course = opened(tmp_path)
    folder_of = course.path("submitted", "ada", "bptt")
    folder_of.mkdir(parents=True)
    assert course.timestamp("ada", "bptt") is None
    for text in ("next week", "99999999999999999999", "2026-02-30"):
        (folder_of / "timestamp.txt").write_text(text)
        with pytest.raises(ValueError, match=r"its timestamp\.txt holds no date"):
            course.timestamp("ada", "bptt")
    (folder_of / "timestamp.txt").write_text("2026-03-01 10:00 UTC")
    assert course.timestamp("ada", "bptt").isoformat() == "2026-03-01T10:00:00"
