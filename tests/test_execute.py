"""From a notebook to points: which cell is judged when, on what, and what is kept of the rest.

A stand-in runs the cells in this process.  What the jail itself keeps in is in test_sandbox.py.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import struct
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import toys
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from autograder import execute, repair, verify
from autograder.execute import TrustedExecute, check_cells, disarm, outputs_of, run
from autograder.sandbox.client import Gone
from autograder.sandbox.jail import Limits
from course import CourseError, fixtures
from course.calls import call
from course.exercise import PUBLIC_SEED, chapter
from course.fixtures import Fixture
from course.ladder import Report

RIGHT = "def both(x):\n    return 2 * x, x + 1"
WRONG = "def both(x):\n    return 2 * x, x + 2"


class Here:
    """A submission that runs in this process."""

    def __init__(self, torch: bool) -> None:
        self.torch = torch
        self.names: dict = {"torch": torch}
        self.ran: list[str] = []
        self.right: list[str] = []
        self.sent: list = []
        self.expected: list = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def cell(self, source):
        if "die" in self.names:
            raise Gone("it has died")
        self.ran.append(source)
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                exec(source, self.names)
        except Exception as error:
            return [{"output_type": "error", "ename": type(error).__name__, "evalue": str(error)}]
        return [{"output_type": "stream", "name": "stdout", "text": said.getvalue()}]

    def tell_right(self, name):
        if "die" in self.names:
            raise Gone("it has died")
        self.right.append(name)

    @contextlib.contextmanager
    def question(self, exercise):
        if "die" in self.names:
            raise Gone("it has died")

        def ask(args):
            self.sent.append(args["x"].copy())
            return call(exercise.run, self.names.get(exercise.symbol), args)

        ask.expect = self.expected.append
        yield ask


@pytest.fixture
def jails(monkeypatch):
    """The stand-ins that a run opened, in order; toys are exercises like any other."""
    opened = []

    def zygote(torch, isolate):
        def submission(limits):
            before = [(len(each.ran), len(each.sent)) for each in opened]
            opened.append(Here(torch))
            opened[-1].limits, opened[-1].isolate = limits, isolate
            opened[-1].found = before
            return opened[-1]

        return SimpleNamespace(submission=submission)

    monkeypatch.setattr(execute, "_zygote", zygote)
    truth = {each.name: toys.both(each.args["x"]) for each in toys.PUBLIC}
    names = ("toy.both", "toy.twin")
    on_file = {name: Fixture(truth, ()) for name in names}
    references = dict.fromkeys(names, toys.both)
    monkeypatch.setattr(fixtures, "of_chapter", {"toy": on_file}.__getitem__)
    monkeypatch.setattr(verify, "reference", lambda exercise: references[exercise.name])
    return opened


def drawn(rng):
    x = toys.X if rng.bit_generator.seed_seq.entropy == PUBLIC_SEED else rng.normal(size=(3, 2))
    return [
        toys.case("probe", "probes", x[:1]),
        toys.case("main", x=x),
        toys.case("last", "properties", 10 * x),
    ]


TOY = toys.exercise(cases=drawn)
PARTED = toys.exercise(cases=drawn, points={"a": 2, "b": 1})
TWIN = toys.exercise(cases=drawn, name="toy.twin", uses_torch=True)


def notebook(*sources):
    return new_notebook(cells=[new_code_cell(source) for source in sources])


def scored(nb, checks, seed=5, seen=None):
    return run(nb, checks, seed, Limits(), True, seen)


# Which cell is judged when.


def test_a_check_judges_what_is_defined_above_it(jails):
    nb = notebook("check", RIGHT, "check", WRONG, "check")
    reports = scored(nb, {0: (TOY, None), 2: (toys.exercise(cases=drawn), None)})
    assert [reports[n].points for n in (0, 2)] == [0, 3]
    assert reports[0].outcome == "wrong"
    (jail,) = jails
    assert jail.ran == [RIGHT, WRONG, "check"], "a check's own cell is not run"
    assert jail.limits == Limits()
    assert jail.isolate is True


def test_all_parts_are_judged_at_the_first_check(jails):
    nb = notebook(RIGHT, "a", WRONG, "b")
    seen = {}
    reports = scored(nb, {1: (PARTED, "a"), 3: (PARTED, "b")}, seen=seen)
    assert [(reports[n].part, reports[n].points) for n in (1, 3)] == [("a", 2), ("b", 1)]
    assert seen.keys() == {1, 3}
    assert seen[1] is seen[3]
    assert seen[1].calls == len(jails[0].sent) == 6 + 2


def test_ready_is_told_behind_the_last_check_of_what_is_right(jails, monkeypatch):
    tells = "seen = list(right)"
    nb = notebook(RIGHT, "a", tells, "b", tells)
    here = {}

    def zygote(torch, isolate):
        jail = here["jail"] = Here(torch)
        jail.names["right"] = jail.right
        return SimpleNamespace(submission=lambda limits: jail)

    monkeypatch.setattr(execute, "_zygote", zygote)
    scored(nb, {1: (PARTED, "a"), 3: (PARTED, "b")})
    assert here["jail"].right == ["toy.both"]
    assert here["jail"].names["seen"] == ["toy.both"]
    scored(notebook(RIGHT, "a", tells, "b"), {1: (PARTED, "a"), 3: (PARTED, "b")})
    assert here["jail"].names["seen"] == [], "one part is not all of it"


def test_ready_is_not_told_of_what_is_partly_right(jails):
    scored(notebook(WRONG, "a", "b"), {1: (PARTED, "a"), 2: (PARTED, "b")})
    assert jails[0].right == []


def test_numpy_is_judged_where_there_is_no_torch(jails):
    by_torch = "def both(x):\n    return (2 * x, x + 1) if torch else (x, x)"
    nb = notebook(by_torch, by_torch.replace("both", "twin"), "both", "twin", "print(torch)")
    reports = scored(nb, {2: (TOY, None), 3: (TWIN, None)})
    assert [jail.torch for jail in jails] == [False, True]
    assert [reports[n].outcome for n in (2, 3)] == ["wrong", "right"]
    assert len(jails[0].ran) == 2, "the first run ends at its last check"
    assert len(jails[1].ran) == 3
    assert nb.cells[4].outputs[0].text == "True\n", "the last run's outputs are kept"
    assert jails[1].found == [(2, 0)], "it gets ready during the first one's last check"
    assert jails[0].sent, "asked in the first"
    assert jails[1].right == ["toy.twin"]


def test_ready_holds_in_the_second_run_for_what_the_first_has_judged(jails):
    twin = RIGHT.replace("both", "twin")
    scored(notebook(RIGHT, "both", twin, "twin"), {1: (TOY, None), 3: (TWIN, None)})
    assert [jail.right for jail in jails] == [["toy.both"], ["toy.both", "toy.twin"]]
    assert jails[0].ran == [RIGHT], "nothing behind its last check"
    assert len(jails[0].sent) == len(jails[1].sent), "each is judged once"


def test_without_checks_the_cells_are_run_with_torch(jails):
    nb = notebook("print(1)", "print(2)")
    assert scored(nb, {}) == {}
    assert [jail.torch for jail in jails] == [True]
    assert [cell.outputs[0].text for cell in nb.cells] == ["1\n", "2\n"]
    assert [cell.execution_count for cell in nb.cells] == [1, 2]


def test_only_code_is_run(jails):
    nb = new_notebook(cells=[new_markdown_cell("print(1)"), new_raw_cell("print(2)")])
    nb.cells.append(new_code_cell("print(3)"))
    scored(nb, {})
    assert jails[0].ran == ["print(3)"]
    assert nb.cells[2].execution_count == 3
    assert "outputs" not in nb.cells[0]


def test_what_ran_too_long_is_not_run_a_second_time(jails):
    slow = "raise TimeoutError('it still ran after 20 s, and was stopped')"
    other = "raise TimeoutError('the server does not answer')"
    twin = RIGHT.replace("both", "twin")
    nb = notebook(slow, other, RIGHT, "both", twin, "twin")
    scored(nb, {3: (TOY, None), 5: (TWIN, None)})
    assert [slow in jail.ran for jail in jails] == [True, False]
    assert [other in jail.ran for jail in jails] == [True, True]
    assert nb.cells[0].outputs[0].ename == "TimeoutError"


# Endings.


def test_a_submission_that_dies_has_no_points_from_then_on(jails):
    nb = notebook(RIGHT, "both", "print(1)", "die = 1", "print(2)", "a", "b")
    reports = scored(nb, {1: (TOY, None), 5: (PARTED, "a"), 6: (PARTED, "b")})
    assert reports[1].points == 3
    for n, part in ((5, "a"), (6, "b")):
        assert (reports[n].outcome, reports[n].rung, reports[n].part) == ("wrong", "runs", part)
        assert (reports[n].headline, reports[n].points) == ("it has died", 0)
        assert reports[n].exercise is PARTED
    assert nb.cells[2].outputs[0].text == "1\n"
    assert nb.cells[4].outputs == [
        nbformat.v4.new_output("stream", text="This cell was not run: it has died.\n")
    ]


def test_one_that_dies_behind_a_right_answer_keeps_its_points(jails, monkeypatch):
    nb = notebook(RIGHT, "both", "print(1)")
    tell = Here.tell_right

    def dies(self, name):
        self.names["die"] = 1
        tell(self, name)

    monkeypatch.setattr(Here, "tell_right", dies)
    reports = scored(nb, {1: (TOY, None)})
    assert reports[1].points == 3
    assert "was not run" in nb.cells[2].outputs[0].text


# Inputs.


def inputs(jails, seed, which=TOY):
    name = which.symbol
    scored(notebook(RIGHT.replace("both", name), name), {1: (which, None)}, seed)
    return jails[-1].sent


def test_inputs_come_from_the_seed_and_the_exercise(jails):
    first, again, other = (inputs(jails, seed) for seed in (5, 5, 6))
    assert all(map(np.array_equal, first, again))
    public = [0, 2, 4, 6]  # probe, main and last, and main once more at the end
    for n, (one, two) in enumerate(zip(first, other, strict=True)):
        assert np.array_equal(one, two) == (n in public), n
    assert np.array_equal(first[2], toys.X)
    twin = inputs(jails, 5, TWIN)
    assert not np.array_equal(first[3], twin[3]), "another exercise draws other numbers"
    assert inputs(jails, 2**64 - 1)[3].shape == (3, 2)


def test_it_says_beforehand_which_calls_it_will_make(jails):
    inputs(jails, 5)
    (here,) = jails
    (expected,) = here.expected
    assert [args["x"].tolist() for args in expected] == [x.tolist() for x in here.sent[:-1]]


def test_public_truth_is_on_file_and_fresh_truth_is_the_reference_s(jails, monkeypatch):
    asked = []

    def reference(x):
        asked.append(x)
        return toys.both(x)

    monkeypatch.setattr(verify, "reference", lambda exercise: reference)
    inputs(jails, 5)
    assert len(asked) == 3, "each fresh case once"
    assert not any(np.array_equal(x, toys.X) for x in asked)


def test_the_reference_is_not_judged_by_its_own_dtype(jails, monkeypatch):
    monkeypatch.setattr(verify, "reference", lambda exercise: lambda x: [2 * x, (x + 1).tolist()])
    nb = notebook(RIGHT, "both")
    assert scored(nb, {1: (TOY, None)})[1].points == 3


def test_the_reference_need_not_do_what_is_demanded_of_answers(monkeypatch):
    asked = []
    which = toys.exercise(run=lambda answer, args: asked.append(dict(args)) or answer(args["x"]))
    monkeypatch.setattr(verify, "reference", lambda exercise: toys.both)
    case = dataclasses.replace(toys.case("main"), args={"x": toys.X, "also": "gradcheck"})
    a, b = execute._reference(which, [], {})(case)
    assert [args.keys() for args in asked] == [{"x"}]
    assert np.array_equal(a, 2 * toys.X)
    assert np.array_equal(b, toys.X + 1)


def test_slips_on_file_are_named(jails, monkeypatch):
    known = toys.slip(lambda x: (2 * x, x + 2))
    truth = fixtures.of_chapter("toy")["toy.both"].truth
    monkeypatch.setattr(fixtures, "of_chapter", lambda name: {"toy.both": Fixture(truth, (known,))})
    assert scored(notebook(WRONG, "both"), {1: (TOY, None)})[1].slip is known


# Which cells are checks.


def graded(source, name, **marks):
    marks = {"grade": True, "solution": False, "locked": True, "grade_id": name, **marks}
    return new_code_cell(source, metadata={"nbgrader": marks})


def test_checks_are_known_by_their_ids():
    nb = new_notebook(
        cells=[
            graded("x", "test-bptt-loss"),
            graded("x", "test-bptt-grad_params-dW"),
            graded("x", "test-bptt-grad_params"),
            graded("x", "bptt-loss"),
            graded("x", "test-bptt-forward", grade=False),
            graded("x", "test-gates-lstm"),
            new_code_cell("y"),
        ]
    )
    found = check_cells(nb, "bptt")
    assert {n: (each.name, part) for n, (each, part) in found.items()} == {
        0: ("bptt.loss", None),
        1: ("bptt.grad_params", "dW"),
    }
    with pytest.raises(CourseError):
        check_cells(nb, "nowhere")


def test_every_check_of_every_exercise_has_its_cell():
    names = execute._checks_of("bptt")
    want = {
        f"test-{each.name}{'-' + part if part else ''}".replace(".", "-")
        for each in chapter("bptt").exercises
        for part in each.parts or (None,)
    }
    assert set(names) == want


def test_a_graded_cell_that_is_no_check_has_an_error():
    nb = new_notebook(
        cells=[
            graded("x", "test-bptt-loss"),
            graded("x", "mine"),
            graded("x", "written", solution=True),
            new_markdown_cell("x", metadata=graded("x", "asked").metadata),
            new_code_cell("x"),
        ]
    )
    execute._refuse_unknown(nb, {0: None})
    assert nb.cells[1].outputs == [
        nbformat.v4.new_output(
            "error",
            ename="NotGraded",
            evalue="only the chapter's own checks are graded here",
            traceback=["NotGraded: only the chapter's own checks are graded here"],
        )
    ]
    assert all(not cell.get("outputs") for n, cell in enumerate(nb.cells) if n != 1)


# What a check's cell shows.


def test_a_check_s_cell_shows_the_report_and_has_the_points_as_its_result():
    report = Report(PARTED, "a", "right", printed=r"\href{javascript:1}{x} <b>")
    shown, result = outputs_of(report)
    assert shown.output_type == "display_data"
    assert set(shown.data) == {"text/plain", "text/html", "application/vnd.rnn-course.check+json"}
    assert shown.data["text/plain"].startswith("✓ toy.both.a (exercise 0.1): right")
    assert ">  href{javascript:1}{x} &lt;b&gt;" in shown.data["text/html"]
    assert "\\href" not in shown.data["text/html"]
    assert shown.data["application/vnd.rnn-course.check+json"]["points"] == 2
    assert result == nbformat.v4.new_output(
        "execute_result", data={"text/plain": "2"}, execution_count=1
    )
    halves = toys.exercise(points=2.5)
    assert outputs_of(Report(halves, None, "right"))[1].data["text/plain"] == "2.5"
    assert outputs_of(Report(halves, None, "wrong"))[1].data["text/plain"] == "0"


# What is kept of a student's outputs.


def clean(**output):
    return execute._clean(output)


def png(width=2, height=3, more=b"\0" * 9) -> str:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + more
    return base64.b64encode(head).decode()


def test_text_is_kept_and_cut():
    assert clean(output_type="stream", name="stdout", text="a") == nbformat.v4.new_output(
        "stream", name="stdout", text="a"
    )
    assert clean(output_type="stream", name="stderr", text="a").name == "stderr"
    assert clean(output_type="stream", name="evil", text="a").name == "stdout"
    assert len(clean(output_type="stream", text="a" * 200_000).text) == 100_000
    assert clean(output_type="stream", text=["a"]).text == ""


def test_an_error_is_kept_and_cut():
    kept = clean(
        output_type="error", ename="E" * 300, evalue="v" * 3000, traceback=["t" * 3000] * 60
    )
    assert (len(kept.ename), len(kept.evalue)) == (200, 2000)
    assert (len(kept.traceback), len(kept.traceback[0])) == (50, 2000)
    assert kept.output_type == "error"
    bare = clean(output_type="error", ename=3, traceback="text")
    assert (bare.ename, bare.evalue, bare.traceback) == ("", "", [])


def test_of_what_is_displayed_text_clean_html_and_pictures_are_kept():
    data = {
        "text/plain": "t" * 200_000,
        "text/html": '<b onclick="x">b</b><script>1</script><a href="/logout">c</a>'
        '<img src="/x"><q cite="/y">d</q> \\href{x}{y}<i title="t">z</i>' + "h" * 200_000,
        "image/png": png(),
        "image/svg+xml": "<svg>",
        "text/markdown": "x",
        "application/javascript": "x",
    }
    kept = clean(output_type="display_data", data=data)
    assert kept.output_type == "display_data"
    assert set(kept.data) == {"text/plain", "text/html", "image/png"}
    assert len(kept.data["text/plain"]) == 100_000
    html = kept.data["text/html"]
    assert html.startswith("<b>b</b><a")
    assert all(each not in html for each in ("script", "onclick", "/logout", "/x", "/y", "\\href"))
    assert "</q> href{x}{y}<i" in html
    assert '<i title="t">z</i>' in html
    assert len(html) < 101_000
    assert kept.data["image/png"] == png()


@pytest.mark.parametrize(
    "output",
    [
        None,
        "text",
        {},
        {"output_type": "update_display_data", "data": {"text/plain": "x"}},
        {"output_type": "execute_result", "data": {"text/plain": "100"}},
        {"output_type": "display_data", "data": "x"},
        {"output_type": "display_data"},
        {"output_type": "display_data", "data": {}},
        {"output_type": "display_data", "data": {"image/png": "no picture"}},
        {"output_type": ["stream"]},
    ],
)
def test_all_else_is_dropped(output):
    assert execute._clean(output) is None


@pytest.mark.parametrize(
    ("picture", "fits"),
    [
        (png(), True),
        (png(1, 1), True),
        (png(5000, 5000), True),
        (png(5001, 5000), False),
        (png(2**31, 2**31), False),
        (png(2**32 - 1, 2**32 - 1), False),
        (png(0, 5), False),
        (png(5, 0), False),
        (png(more=b"\0" * 8), False),
        (base64.b64encode(b"GIF89a" + b"\0" * 60).decode(), False),
        (base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 60).decode(), False),
        ("*" + png(), False),
        (5, False),
        (None, False),
        ([png()], False),
    ],
)
def test_a_picture_is_a_png_that_a_browser_can_unfold(picture, fits):
    assert execute._is_png(picture) is fits


def test_outputs_have_room_for_a_notebook_in_all(jails, monkeypatch):
    one = len(str([execute._clean({"output_type": "stream", "text": "a" * 50 + "\n"})]))
    monkeypatch.setattr(execute, "OUTPUTS_TOTAL", 2 * one + 10)
    nb = notebook("print('a' * 50)", "print('a' * 50)", "print('a' * 50)", "print('a' * 50)")
    scored(nb, {})
    texts = [cell.outputs[0].text for cell in nb.cells]
    assert texts == ["a" * 50 + "\n"] * 2 + ["... and more than is kept\n"] * 2


def test_of_one_cell_the_outputs_that_fit_are_kept():
    outputs = [{"output_type": "stream", "text": "a" * 50}] * 3 + [{"no": "output"}]
    one = len(str(execute._clean(outputs[0])))
    submission = SimpleNamespace(cell=lambda source: outputs)
    *kept, last = execute._run_cell(submission, "", 2 * one)
    assert [each.text for each in kept] == ["a" * 50, "a" * 50]
    said = "... and more than is kept\n"
    assert last == nbformat.v4.new_output("stream", name="stdout", text=said)
    assert len(execute._run_cell(submission, "", 3 * one)) == 3, "what is none takes no room"


# The warm processes.


@pytest.fixture
def warmed(monkeypatch):
    """What is started, and what is loaded meanwhile."""
    seen = SimpleNamespace(started=[], loaded=[])
    monkeypatch.setattr(execute, "_zygote", lambda *kind: seen.started.append(kind))
    monkeypatch.setattr(verify, "reference", lambda exercise: seen.loaded.append(exercise.name))
    modules = SimpleNamespace(import_module=seen.loaded.append)
    monkeypatch.setattr(execute, "importlib", modules)
    return seen


def test_only_what_the_cells_need_is_started(warmed):
    references = [each.name for each in chapter("bptt").exercises]
    torch = next(each for each in chapter("bptt").exercises if each.uses_torch)
    with_torch = next(n for n, (e, _) in execute._checks_of("bptt").items() if e is torch)
    execute.warm(True, "bptt", ["test-bptt-loss", "a cell of one's own"])
    assert (warmed.started, warmed.loaded) == ([(False, True)], references)
    warmed.loaded.clear()
    execute.warm(False, "bptt", ["test-bptt-loss", with_torch])
    assert set(warmed.started[1:]) == {(False, False), (True, False)}
    assert warmed.loaded == [*references, "torch._dynamo"]
    execute.warm(True, "bptt", [])
    assert warmed.started[3:] == [(True, True)], "cells without a check may import torch"


def test_one_that_does_not_start_is_said(warmed, monkeypatch):
    def fails(torch, isolate):
        raise RuntimeError("the sandbox's warm process did not start")

    monkeypatch.setattr(execute, "_zygote", fails)
    with pytest.raises(RuntimeError, match="did not start"):
        execute.warm(True, "bptt", [])


def test_a_warm_process_serves_until_it_dies(monkeypatch):
    class Warm:
        def __init__(self, torch, isolate):
            self.kind, self.ended = (torch, isolate), None
            self.process = SimpleNamespace(poll=lambda: self.ended)

        def close(self):
            pass

    at_the_end = []
    monkeypatch.setattr(execute, "_WARM", {})
    monkeypatch.setattr(execute, "Zygote", Warm)
    monkeypatch.setattr(execute, "atexit", SimpleNamespace(register=at_the_end.append))
    first = execute._zygote(True, False)
    assert first.kind == (True, False)
    assert execute._zygote(True, False) is first
    assert execute._zygote(False, False) is not first
    first.ended = 0
    second = execute._zygote(True, False)
    assert second is not first
    assert execute._zygote(True, False) is second
    assert at_the_end[0] == first.close
    assert at_the_end[2] == second.close


# What a student wrote around the code.


def test_of_too_much_markdown_the_beginning_is_kept(monkeypatch):
    monkeypatch.setattr(execute, "MARKDOWN_TOTAL", 10)
    locked = new_markdown_cell("l" * 50, metadata={"nbgrader": {"locked": True}})
    texts = ["a" * 6, "b" * 6, "c"]
    nb = new_notebook(cells=[locked, *map(new_markdown_cell, texts)])
    disarm(nb)
    said = "\n\n... and more than is kept\n"
    assert [cell.source for cell in nb.cells] == ["l" * 50, "a" * 6, "b" * 4 + said, said]
    fits = new_notebook(cells=[new_markdown_cell("a" * 10)])
    disarm(fits)
    assert fits.cells[0].source == "a" * 10


def test_text_is_disarmed_and_mathematics_is_left():
    cells = [
        new_markdown_cell("<b>x</b> a<b $x<1$ </p><!-- --><?x?>", attachments={"a.png": {}}),
        new_markdown_cell(r"$\href{x}{y} \\url{z} \alpha \\class{a}$ \datum"),
        new_markdown_cell("![x](attachment:a.png) Attachment&colon;b, my attachment"),
        new_raw_cell("<script>"),
        new_markdown_cell("<b>kept</b>", metadata={"nbgrader": {"locked": True}}),
        new_code_cell("a <b"),
    ]
    nb = new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python"},
            "language_info": {"name": "python"},
            repair.KEY: {"repairs": []},
            "widgets": {"x": 1},
        },
    )
    disarm(nb)
    assert [cell.source for cell in nb.cells] == [
        "< b>x< /b> a< b $x<1$ < /p>< !-- -->< ?x?>",
        r"$href{x}{y} url{z} \alpha class{a}$ \datum",
        "![x](attachment :a.png) attachment &colon;b, my attachment",
        "< script>",
        "<b>kept</b>",
        "a <b",
    ]
    assert "attachments" not in nb.cells[0]
    assert [cell.cell_type for cell in nb.cells] == ["markdown"] * 5 + ["code"]
    assert set(nb.metadata) == {"kernelspec", "language_info", repair.KEY}
    bare = new_notebook()
    disarm(bare)
    assert bare.metadata == {}


# The step that nbgrader calls.


def test_the_step_scores_a_notebook_and_keeps_the_evidence(jails, monkeypatch):
    known = {"toy": {"test-toy": (TOY, None)}}
    monkeypatch.setattr(execute, "_checks_of", known.__getitem__)
    step = TrustedExecute(cell_seconds=3.0, isolate=False, cpu_seconds=7)
    cells = [new_code_cell(RIGHT), graded("check", "test-toy"), graded("y", "mine")]
    nb = new_notebook(cells=[*cells, new_raw_cell("<script>")], metadata={"widgets": {}})
    given = {"nbgrader": {"assignment": "toy"}}
    back, resources = step.preprocess(nb, given)
    assert back is nb
    assert resources is given
    assert nb.cells[1].outputs[1].data["text/plain"] == "3"
    assert nb.cells[2].outputs[0].ename == "NotGraded"
    assert nb.cells[3].source == "< script>"
    kept = nb.metadata[execute.EVIDENCE]
    assert kept["isolated"] is False
    assert set(kept["checks"]) == {"test-toy"}
    assert set(kept["checks"]["test-toy"]) == {"seconds", "calls", "sent", "got"}
    assert 0 <= kept["seed"] < 2**64
    (jail,) = jails
    assert (jail.limits.cell_seconds, jail.limits.cpu_seconds) == (3.0, 7)
    assert jail.limits.wall_seconds == Limits().wall_seconds
    assert jail.isolate is False
    again = new_notebook(cells=cells[:2])
    step.preprocess(again, given)
    assert again.metadata[execute.EVIDENCE]["seed"] != kept["seed"], "no two runs have one seed"


def test_its_budgets_are_the_jail_s():
    step = TrustedExecute()
    assert step.limits == Limits()
    assert step.isolate is True
