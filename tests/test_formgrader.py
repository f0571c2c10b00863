"""An instructor's and a student's day in JupyterLab, in a browser: menus, buttons, fields.

The server runs in folders of its own: no configuration, kernel or workspace of the machine's user
is read or written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from attacking import Bait, handed_in
from attacks import instructor
from filelock import FileLock
from test_book import build_script

from autograder import demo
from autograder.build import HOUSE, put
from autograder.grading import ClassFolder

pytestmark = pytest.mark.browser

PATIENCE = 30_000
"""Milliseconds for a state to come; a kernel on a busy machine takes a while."""

PROGRAMS = Path(sys.executable).parent


@contextlib.contextmanager
def jupyter(folder: Path, home: Path) -> Iterator[str]:
    """JupyterLab as a fresh installation gives it, on a folder; yields its address with token."""
    settings = home / "settings" / "@jupyterlab/apputils-extension"
    put(settings / "notification.jupyterlab-settings", '{"fetchNews": "false"}')
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON"))}
    environment = {
        **kept,
        "HOME": str(home),
        "PATH": os.pathsep.join([str(PROGRAMS), kept["PATH"]]),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        **{f"JUPYTER_{n}_DIR": str(home / n.lower()) for n in ("CONFIG", "DATA", "RUNTIME")},
    }
    token = secrets.token_hex(16)
    options = ("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0")
    private = (f"--IdentityProvider.token={token}", "--LabApp.extension_manager=readonly")
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options, *private],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                break
        else:
            pytest.fail(f"JupyterLab did not start:\n{said}")
        threading.Thread(target=process.stderr.read, daemon=True).start()  # else its pipe fills
        yield f"{found[0]}lab?token={token}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Day:
    """A page in the browser, and what must not happen in it."""

    def __init__(self, browser, address: str, **look) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **look)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.address, self.server = address, address.split("lab?")[0]
        self.elsewhere: list[str] = []
        self.alerts: list[str] = []
        self.context.on("request", self._request)
        self.context.on("dialog", self._dialog)

    def _request(self, request) -> None:
        if not request.url.startswith((self.server, "data:", "blob:", "file:", "about:")):
            self.elsewhere.append(request.url)

    def _dialog(self, dialog) -> None:
        self.alerts.append(dialog.message)
        dialog.dismiss()

    def __enter__(self) -> Day:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@dataclass
class Seen:
    """What the instructor saw, and where the class is."""

    course: ClassFolder
    day: Day
    statuses: dict[str, str]
    formulas: dict[str, tuple[int, int]]
    menus: list[str]


def typeset(frame) -> tuple[int, int]:
    """How many formulas a page shows, and how many of them MathJax could not read."""
    frame.evaluate("window.MathJax.startup.promise.then(() => null)")
    return (
        frame.locator("mjx-container").count(),
        frame.locator("[data-mml-node=merror]").count(),
    )


RIGHT, HOSTILE = "bruno-castellani", "dagny-solberg"
COMMENT = "Right about $\\tanh'$; say what $\\rho(W) < 1$ adds. <b>See</b> (3.24)."


@pytest.fixture(scope="module")
def instructor_seen(chromium, tmp_path_factory):
    """The day: autograde two submissions, read one answer, make both feedback pages."""
    (HOUSE / "build").mkdir(exist_ok=True)
    with FileLock(HOUSE / "build" / "book.lock"):
        build_script().get_mathjax()
    root = tmp_path_factory.mktemp("formgrader")
    course = demo.make(root / "class")
    config = root / "class" / "nbgrader_config.py"
    config.write_text(f"{config.read_text()}\nc.Exchange.root = {str(root / 'exchange')!r}\n")
    hostile = next(each for each in instructor.ATTACKS if each.name == "HTML")
    bait = Bait(root / "canary")
    hostile = dataclasses.replace(hostile, edit=instructor.evil_markdown)
    path = course.path("submitted", HOSTILE, "bptt") / "bptt.ipynb"
    path.write_text(nbformat.writes(handed_in(hostile, bait)))
    with jupyter(root / "class", root / "home") as address, Day(chromium, address) as day:
        page = day.page
        page.goto(address)
        page.get_by_role("menuitem", name="Nbgrader").click()
        menus = page.locator(".lm-Menu-itemLabel:visible").all_inner_texts()
        page.get_by_role("menuitem", name="Formgrader", exact=True).click()
        form = page.frame_locator("iframe")

        form.get_by_role("link", name=str(len(demo.CLASS)), exact=True).click()
        statuses = {}
        for student in (RIGHT, HOSTILE):
            row = form.locator("tr", has=form.get_by_text(student, exact=True))
            row.locator("td.autograde a").click()
            _close_success(form)
            row.locator("td.status .label").wait_for()
            statuses[student] = row.locator("td.status, td.score").all_inner_texts()

        frame = next(each for each in page.frames if each.parent_frame)
        form.get_by_role("link", name="Manual Grading").click()
        for place in ("**/gradebook", "**/gradebook/bptt"):
            frame.wait_for_url(place)
            form.locator("td.name a", has_text="bptt").click()
        formulas = {}
        for student in (HOSTILE, RIGHT):
            frame.wait_for_url("**/gradebook/bptt/bptt")
            last_name = next(each.last for each in demo.CLASS if each.id == student)
            form.locator("tr", has_text=last_name).locator("a.name-hidden").click()
            frame.wait_for_url("**/submissions/*/")
            form.locator("#bptt-explain").wait_for()
            formulas[student] = typeset(frame)
            if student != RIGHT:
                form.get_by_role("link", name="bptt", exact=True).last.click()
        points, comment = form.locator("#bptt-explain"), form.locator("#bptt-explain-comment")
        for field, value in ((points, "2.5"), (comment, COMMENT)):
            field.fill(value)
            with page.expect_response(lambda r: r.request.method == "PUT") as saved:
                field.press("Tab")
            assert saved.value.ok

        form.get_by_role("link", name="Manual Grading").click()
        form.get_by_role("link", name="Manage Assignments").click()
        form.get_by_role("link", name=str(len(demo.CLASS)), exact=True).click()
        for student in (RIGHT, HOSTILE):
            row = form.locator("tr", has=form.get_by_text(student, exact=True))
            row.locator("td.generate-feedback a").click()
            _close_success(form)
            row.locator("td.status .label").wait_for()
            statuses[student] += row.locator("td.status").all_inner_texts()
        yield Seen(course, day, statuses, formulas, menus)
        assert bait.harm() == []
        bait.close()


def _close_success(form) -> None:
    """The window that nbgrader opens when a button's work is done."""
    form.locator("#success-modal, #error-modal").wait_for()
    assert form.locator("#error-modal").count() == 0, form.locator(".modal-body").inner_text()
    form.locator("#success-modal .modal-footer button").click()
    form.locator("#success-modal").wait_for(state="detached")


def test_the_menu_has_what_nbgrader_adds(instructor_seen):
    assert {"Formgrader", "Assignment List", "Course List"} <= set(instructor_seen.menus)


def test_autograding_from_the_button_shows_the_scores(instructor_seen):
    assert instructor_seen.statuses[RIGHT][:2] == ["needs manual grading", "30 / 33"]
    assert instructor_seen.statuses[HOSTILE][:2] == ["needs manual grading", "0 / 33"]


def test_what_is_typed_in_manual_grading_is_in_the_gradebook(instructor_seen):
    assert instructor_seen.statuses[RIGHT][2] == "graded"
    with instructor_seen.course.gradebook() as gradebook:
        submission = gradebook.find_submission_notebook("bptt", "bptt", RIGHT)
        grade = next(each for each in submission.grades if each.name == "bptt-explain")
        assert grade.manual_score == 2.5
        assert not grade.needs_manual_grade
        said = {each.name: each.manual_comment for each in submission.comments}
        assert said["bptt-explain"] == COMMENT
        assert submission.score == 32.5


def test_mathematics_is_typeset_without_a_network(instructor_seen):
    for count, errors in instructor_seen.formulas.values():
        assert count >= 30
        assert errors == 0
    assert instructor_seen.day.elsewhere == []


def feedback(seen: Seen, student: str):
    page = seen.day.context.new_page()
    page.goto((seen.course.path("feedback", student, "bptt") / "bptt.html").as_uri())
    return page


def test_the_feedback_page_shows_score_and_comment(instructor_seen):
    page = feedback(instructor_seen, RIGHT)
    text = page.locator("body").inner_text()
    assert "(Score: 32.5 / 33.0)" in text
    assert "Written response (Score: 2.5 / 3.0)" in text
    assert "<b>See</b> (3.24)" in text or "See (3.24)" in text
    assert "say what" in text
    count, errors = typeset(page)
    assert count >= 30
    assert errors == 0


def test_what_a_student_wrote_never_runs(instructor_seen):
    page = feedback(instructor_seen, HOSTILE)
    count, errors = typeset(page)
    assert count >= 30
    assert errors == 0
    assert "< script>alert('mark" in page.locator("body").inner_text()  # as text, and whole
    assert page.locator("iframe, form, object, embed, base").count() == 0
    hrefs = page.eval_on_selector_all("a[href]", "all => all.map(a => a.getAttribute('href'))")
    assert not [href for href in hrefs if not href.startswith(("#", "http"))]
    assert instructor_seen.day.alerts == []
    assert instructor_seen.day.elsewhere == []


def test_the_same_markup_runs_where_nothing_keeps_it_from_running(chromium):
    """Else the test above would see nothing, whatever ran."""
    with Day(chromium, "http://127.0.0.1:1/lab?") as day:
        with day.page.expect_event("dialog"):
            day.page.set_content(instructor.EVIL, wait_until="commit")
        day.page.locator("img").first.wait_for(state="attached")
        assert day.alerts
        assert [url for url in day.elsewhere if "evil.example" in url]


def test_a_student_opens_the_notebook_runs_cells_and_validates(chromium, tmp_path):
    folder = tmp_path / "student"
    folder.mkdir()
    text = (HOUSE / "notebooks" / "bptt.ipynb").read_text(encoding="utf-8")
    (folder / "bptt.ipynb").write_text(text, encoding="utf-8")
    first = next(c for c in json.loads(text)["cells"] if c["cell_type"] == "code")
    with jupyter(folder, tmp_path / "home") as address, Day(chromium, address) as day:
        page = day.page
        page.goto(address.replace("lab?", "lab/tree/bptt.ipynb?"))
        notebook = page.locator(".jp-NotebookPanel")
        cells = notebook.locator(".jp-Cell")
        cells.first.wait_for()
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
        heading = notebook.locator(".jp-CodeCell").first
        assert "from course import" in "".join(first["source"])
        begun = heading.locator(".jp-InputPrompt", has_text=re.compile(r"\[(\*|\d+)\]"))
        # JupyterLab drops what comes before its kernel listens, or asks which kernel is meant.
        asked = page.locator(".jp-Dialog", has_text="Select Kernel")
        page.add_locator_handler(asked, lambda dialog: dialog.locator(".jp-mod-accept").click())
        for _ in range(8):
            heading.locator(".cm-content").click(position={"x": 5, "y": 5})
            page.keyboard.press("Shift+Enter")
            page.wait_for_timeout(3000)
            if begun.count():
                break
        heading.locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]")).wait_for()
        page.remove_locator_handler(asked)
        assert heading.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0

        page.get_by_role("button", name="Validate").click()
        dialog = page.locator(".jp-Dialog", has_text="Validation Results")
        dialog.wait_for()
        assert "failed" in dialog.inner_text()
        assert "bptt.forward" in dialog.inner_text()
        assert day.elsewhere == []
