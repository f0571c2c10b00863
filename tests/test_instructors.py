"""The page for instructors, as an instructor would follow it: every command, in order."""

from __future__ import annotations

import csv
import os
import re
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from autograder import build, demo

HOUSE = Path(__file__).resolve().parent.parent
PAGE = (HOUSE / "book" / "instructors.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", PAGE, flags=re.S)
    for line in block.splitlines()
]


def archive(path: Path) -> None:
    """What a learning management system gives: one archive, with a submission of each student."""
    right = build.student_notebook("bptt")
    answers = demo.answers()
    for cell in right.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("lovelace_101_202_bptt.ipynb", build.as_json(right))
        file.writestr("babbage_102_203_bptt.ipynb", build.as_json(build.student_notebook("bptt")))


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def background():
    """What the page starts with "&"; ended after the tests."""
    running: list[subprocess.Popen] = []
    yield running
    for each in reversed(running):
        os.killpg(each.pid, signal.SIGTERM)
        each.wait(30)


@pytest.fixture(scope="module")
def followed(tmp_path_factory, background) -> tuple[Path, list[subprocess.CompletedProcess]]:
    """Follow the page in a new folder."""
    folder = tmp_path_factory.mktemp("instructor")
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([programs, os.environ["PATH"]])}
    done = []
    port = str(free_port())
    for command in (each.replace("8786", port) for each in COMMANDS):
        if command.endswith(" &"):
            started = subprocess.Popen(
                ["bash", "-c", f"exec {command.removesuffix(' &')}"],
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            background.append(started)
            continue
        if command.startswith("cd "):
            folder = folder / command.removeprefix("cd ")
            archive(folder / "downloaded" / "bptt" / "archive" / "all.zip")
            continue
        run = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True
        )
        done.append(run)
        assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
    return folder, done


def test_every_command_of_the_page_works(followed):
    _, done = followed
    assert len(done) == len(COMMANDS) - 3, "all but cd, and two that stay in the background"
    assert len(done) >= 13


def test_the_answers_can_be_read(followed):
    _, done = followed
    (said,) = [run.stdout for run in done if run.args.startswith("autograder solutions")]
    first = Path(said.removeprefix("the answers: ").strip())
    assert first == HOUSE / "build/solutions/html/index.html"
    assert "Model answer and marking" in (first.parent / "bptt.html").read_text(encoding="utf-8")


def test_the_cluster_grades_the_class(followed):
    _, done = followed
    (said,) = [run.stdout for run in done if "--scheduler" in run.args]
    assert "2 run, 0 unchanged" in said
    assert "could not be run" not in said


def test_both_submissions_have_arrived_and_have_their_scores(followed):
    folder, _ = followed
    with (folder / "grades.csv").open(newline="") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {"lovelace": 30.0, "babbage": 0.0}
    for student in scores:
        assert (folder / "feedback" / student / "bptt" / "bptt.html").is_file()
        graded = folder / "autograded" / student / "bptt" / "bptt.ipynb"
        nbformat.validate(nbformat.read(graded, as_version=4))
    assert (folder / "reports" / "bptt.html").is_file()
    assert (folder / "canvas.csv").read_text().startswith("Student,ID,")
    assert (folder / "moodle.csv").read_text().startswith("username,")


def test_what_is_published_holds_no_answers(followed):
    folder, _ = followed
    there = {path.name for path in (folder.parent / "students").iterdir()}
    assert there == {"LICENSE", "README.md", "binder", "course", "notebooks"}


def test_the_replay_shows_the_reports(followed):
    _, done = followed
    (said,) = [run.stdout for run in done if run.args.startswith("autograder replay")]
    assert "30 of 30 points" in said
