"""The class report: what it counts, who it points at, and how it looks in a browser."""

from __future__ import annotations

import dataclasses

import pytest
from nbformat.v4 import new_code_cell, new_notebook
from small_class import answered, hand_in, new_class

from autograder import class_report, grading, work
from autograder.build import as_json
from autograder.grading import Check, Run, Standing
from course.exercise import chapter

FOUND = chapter("bptt")


def standing(student="ada", auto=27.0, checks=(), **run):
    made = Run("k", "a", 1.0, work.GRADED, "", (), tuple(checks), seed=7)
    made = dataclasses.replace(made, **run)
    return Standing(student, student.title(), auto, 27.0, 0.0, 3.0, 3.0, made)


WRONG = Check(
    *("bptt.grad_h", None, "wrong", "grad_h_immediate", "probes", "linear", "dh is wrong", 0.25),
    *("aaaa", "bbbb"),
)
FORGED = "it sent what is no answer: a list"
MANY = [standing(f"s{n}", auto) for n, auto in enumerate((20, 21, 22, 23, 24, 25, 27))]


def test_scores_are_put_into_tenths_and_the_full_one_apart():
    data = class_report.overview(FOUND, [standing("a", 0), standing("b", 26.9), standing("c", 27)])
    assert data.bins == (1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1)
    said = class_report.histogram(data.bins, 27)
    assert "0 to under 2.7: 1 student; 24.3 to under 27: 1 student; 27 (all): 1 student" in said


def test_points_by_exercise_are_means():
    right = Check("bptt.grad_h", None, "right")
    data = class_report.overview(FOUND, [standing(checks=[right]), standing("b", checks=[WRONG])])
    rows = {label.split()[0]: (mean, most) for label, _, mean, most in data.exercises}
    assert rows["3.4"] == (2, 4)


def test_who_is_unusual_and_why():
    rows = [
        *MANY,
        standing("slow", ending=work.STOPPED, reason="clip ran too long"),
        standing("open", isolated=False),
        standing("low", 3),
        standing(
            "forger", checks=[dataclasses.replace(WRONG, headline="it sent what is no answer: x")]
        ),
        standing("fixed", repairs=("test-bptt-loss: was deleted; it is back",)),
        standing("odd"),
    ]
    found = class_report.unusual(rows, {"odd": ("ctypes",)})
    assert set(found) == {"slow", "open", "low", "forger", "fixed", "odd"}
    for student, word in {
        "slow": "clip ran too long",
        "open": "not isolated",
        "low": "3 of 27",
        "forger": "spoke to the grader",
        "fixed": "1 thing of the notebook put right",
        "odd": "ctypes",
    }.items():
        assert word in found[student][0]
    assert class_report.unusual(MANY, {}) == {}


def test_odd_names_come_from_a_list_and_never_from_the_student(tmp_path):
    path = tmp_path / "x.ipynb"
    cells = [
        new_code_cell("import ctypes, numpy\nfrom os import fork as harmless\nos.kill(1, 9)"),
        new_code_cell("%matplotlib inline\nimport gc"),
        new_code_cell("import evil_module_of_mine\nx = 'subprocess'"),
        new_code_cell("def broken(:"),
        new_code_cell("import socket", metadata={"nbgrader": {"locked": True}}),
    ]
    path.write_text(as_json(new_notebook(cells=cells)))
    assert class_report.odd_names(path) == ("ctypes", "fork", "gc", "kill")


def test_code_that_would_hold_the_report_up_is_passed_over(tmp_path):
    """Line feeds by the hundred thousand, and more code than a parser has memory for."""
    path = tmp_path / "x.ipynb"
    cells = [
        new_code_cell("\n" * 300_000 + "import gc"),
        new_code_cell("import socket\n" + "1;" * 400_000),
        new_code_cell("import ctypes", metadata={"nbgrader": ["locked"]}),
        new_code_cell("x = '\\d'"),
    ]
    path.write_text(as_json(new_notebook(cells=cells)))
    assert class_report.odd_names(path) == ("ctypes", "gc")


def test_a_mark_of_the_students_hides_nothing(tmp_path):
    """Whoever says that a cell of theirs is locked is looked at all the same."""
    course = new_class(tmp_path)
    notebook = answered(course)
    own = new_code_cell("import ctypes", metadata={"nbgrader": {"locked": True, "grade_id": "x"}})
    notebook.cells.append(own)
    hand_in(course, "eve", notebook)
    found = grading.grade(course, "bptt")
    path = class_report.write(course, "bptt", found)
    assert "its code names what no exercise needs: ctypes" in path.read_text()


@pytest.mark.parametrize(
    ("book", "want"),
    [
        ("https://example.org/rnn/", 'href="https://example.org/rnn/03-bptt.html#eq-3-9"'),
        ("../book", 'href="../book/03-bptt.html#eq-3-9"'),
        ("", "<td>(3.9)</td>"),
        ("javascript:alert(1)//", "<td>(3.9)</td>"),
    ],
)
def test_a_slip_leads_to_its_equation_if_the_book_s_address_is_known(book, want):
    assert want in class_report.page(FOUND, [standing(checks=[WRONG])], {}, book=book)


def test_the_evidence_of_each_submission_and_the_command_to_replay_it():
    text = class_report.page(FOUND, [standing("o'neil ada", checks=[WRONG])], {})
    assert "autograder replay &#x27;o&#x27;\\&#x27;&#x27;neil ada&#x27; bptt" in text
    for word in ("<code>7</code>", "linear", "dh is wrong", "0.25", "aaaa", "bbbb"):
        assert word in text
    damaged = standing("b", ending=work.DAMAGED, reason="it is not a notebook", seed=None)
    assert "nothing can be replayed" in class_report.page(FOUND, [damaged], {})


def test_an_empty_class_has_a_page_too():
    assert "0 submissions" in class_report.page(FOUND, [], {})


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_well(chromium, tmp_path, width, theme):
    path = tmp_path / "report.html"
    rows = [*MANY, standing("slow", 9, [WRONG], ending=work.STOPPED, reason="x" * 200)]
    path.write_text(class_report.page(FOUND, rows, {"s1": "x.html"}, book="../book"))
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=True
    )
    page, asked, complaints = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ink, back = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    light = "rgb(255, 255, 255)" in back
    assert light == (theme == "light")
    assert ink != back
    assert page.locator("[role=img]:not([aria-label])").count() == 0
    assert page.locator("th:not([scope])").count() == 0
    # A link to a submission opens what its score rests on.
    page.locator(".looks a").first.click()
    assert page.locator("details[open]").count() == 1
    assert "dh is wrong" in page.locator("details[open]").inner_text()
    assert complaints == []
    context.close()
