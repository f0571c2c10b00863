"""A gradebook in PostgreSQL, by nbgrader's own ``db_url``: the same rows as in SQLite."""

from __future__ import annotations

import contextlib
import csv
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradebooks import tables
from small_class import answered, hand_in, new_class, scores, short_source

from autograder import grading
from autograder.build import HOUSE, as_json, put_class
from autograder.grading import ClassFolder, GradingError

PAGE = (HOUSE / "book" / "instructors.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


def programs() -> Path | None:
    """Where the server's programs are; Debian puts them out of the way."""
    found = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in found if (each / "initdb").exists()), None)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A PostgreSQL of its own in a folder; yields the address of the page's database in it.

    It listens on a socket in that folder, not on the network, and runs as an ordinary user.
    """
    bin = programs()
    assert bin is not None
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    as_user = ["runuser", "-u", user, "--"] if os.getuid() == 0 else []
    # Not in pytest's own folder: that one is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="rnn-postgresql-"))
    if as_user:
        shutil.chown(folder, user)
    data = folder / "data"
    options = ["-A", "trust", "-U", user, "-E", "UTF8", "--locale", "C", "--no-sync"]
    said = subprocess.run(
        [*as_user, bin / "initdb", "-D", data, *options], cwd="/", capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    listen = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
    running = subprocess.Popen(
        [*as_user, bin / "postgres", "-D", data, *listen, "-c", "fsync=off"],
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready = [bin / "pg_isready", "-q", "-h", folder, "-U", user]
        for _ in range(600):
            if subprocess.run(ready, check=False).returncode == 0:
                break
            time.sleep(0.1)
        (command,) = re.findall(r"```sh\n(createdb \w+)\n```", PAGE)
        environment = {**os.environ, "PGHOST": str(folder), "PGUSER": user}
        subprocess.run([bin / "createdb", command.split()[1]], env=environment, check=True)
        (url,) = re.findall(r'db_url = "(postgresql.*)"', PAGE)
        yield f"{url.replace('/var/run/postgresql', str(folder))}&user={user}"
    finally:
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        running.wait(60)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def address():
    if programs() is None:
        pytest.skip(
            "PostgreSQL IS NOT TESTED: it is not installed (apt-get install postgresql);"
            " a gradebook in SQLite needs none"
        )
    with server() as address:
        yield address


@pytest.fixture(scope="module")
def both(address, tmp_path_factory):
    """The same class twice, one with its gradebook in each database."""
    root = tmp_path_factory.mktemp("classes")
    lite = new_class(root / "lite")
    post = ClassFolder.open(shutil.copytree(lite.root, root / "post"))
    (post.root / "gradebook.db").unlink()
    config = post.root / "nbgrader_config.py"
    config.write_text(config.read_text() + f'c.CourseDirectory.db_url = "{address}"\n')
    post = ClassFolder.open(post.root)
    grading.release(post, "bptt")
    for course in (lite, post):
        with course.gradebook() as gradebook:
            gradebook.add_student("ada", first_name="Ada", last_name="Novák")
        hand_in(course, "ada", answered(course, explain="It is necessary."))
        hand_in(course, "ben", answered(course, forward="def forward(*_):\n    return 1, 2\n"))
        hand_in(course, "dan", "{")
        grading.grade(course, "bptt", jobs=2)
    return lite, post


def same(both):
    lite, post = map(tables, both)
    for name, rows in lite.items():
        assert post[name] == rows, name


def test_the_same_rows(both):
    same(both)
    assert not (both[1].root / "gradebook.db").exists()
    assert scores(both[1], "ada")["test-bptt-forward"] == (3, None)


def test_a_second_run_has_nothing_to_do(both):
    assert not any(each.fresh for each in grading.grade(both[1], "bptt"))


def test_a_person_s_grade_stays_when_it_is_graded_again(both):
    for course in both:
        with course.gradebook() as gradebook:
            gradebook.find_grade("bptt-explain", "bptt", "bptt", "ada").manual_score = 2
            gradebook.find_comment("bptt-explain", "bptt", "bptt", "ada").manual_comment = "so"
            gradebook.db.commit()
        hand_in(course, "ada", answered(course, explain="It is not."))
        grading.grade(course, "bptt")
    same(both)
    assert scores(both[1], "ada")["bptt-explain"] == (None, 2)


def test_feedback_and_export(both):
    exported = []
    for course in both:
        assert grading.feedback(course, "bptt", ["ada", "ben", "dan"]) == ["ada", "ben", "dan"]
        path = grading.export(course, course.root / "grades.csv")
        with path.open(newline="") as file:
            exported.append(list(csv.DictReader(file)))
    assert exported[0] == exported[1]
    assert [float(row["score"]) for row in exported[1]] == [10, 5, 0]


def test_nbgrader_s_own_autograde_works_there_too(both):
    from nbgrader.apps.api import NbGraderAPI

    for course in both:
        result = NbGraderAPI(config=course.config).autograde("bptt", "ben")
        assert result["success"], result.get("error")
    same(both)


def test_a_server_that_is_down_is_said(tmp_path):
    put_class(tmp_path, "bptt", as_json(short_source()))
    config = tmp_path / "nbgrader_config.py"
    url = f"postgresql://grader:s3cret@/none?host={tmp_path}"
    config.write_text(config.read_text() + f'c.CourseDirectory.db_url = "{url}"\n')
    course = ClassFolder.open(tmp_path)
    with pytest.raises(GradingError, match=r"the gradebook can't be reached .*db_url") as refused:
        grading.grade(course, "bptt")
    assert "s3cret" not in str(refused.value)
