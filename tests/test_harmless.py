"""What a student writes never runs in the instructor's browser: outputs, Markdown, raw cells."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell
from small_class import answered, hand_in, new_class

from autograder import grading, harmless
from autograder.harmless import markdown
from autograder.work import FAILED

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt&colon;alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "<javascript:alert(1)>",
    "![seen](http://127.0.0.1:9/pixel.png)",
    "[a]: vbscript:alert(1)\n\n[click][a]",
    '<svg onload="alert(1)"></svg>',
    '<a href="/logout">next</a>',
    '<form action="http://127.0.0.1:9/"><input></form>',
    "<iframe src=http://127.0.0.1:9/></iframe>",
    '<style>body { background: url("http://127.0.0.1:9/") }</style>',
]
RUNS = {"script", "iframe", "object", "embed", "form", "svg", "style", "link", "meta", "base"}


class Elements(HTMLParser):
    """What a browser would see: the elements, and the addresses in them; text is no danger."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        if tag in RUNS:
            self.found[tag] += 1
        for name, value in attrs:
            if name.startswith("on"):
                self.found[name] += 1
            # A link to a web page does nothing until a person follows it.
            harmless = ("#", "http:", "https:") if name == "href" else ("#",)
            if name in ("href", "src", "action") and not (value or "").startswith(harmless):
                self.found[f"{name} to {(value or '')[:30]}"] += 1


@pytest.mark.parametrize("text", HOSTILE)
def test_the_filter_takes_out_what_runs_or_loads(text):
    assert not Elements(markdown(text)).found


def test_the_filter_keeps_what_is_meant():
    shown = markdown(
        "**bold**, `code`, [book](https://www.deeplearningbook.org), $a < b$, x<sup>2</sup>"
    )
    for kept in ("<strong>bold</strong>", "<code>code</code>", "https://www.deeplearningbook.org"):
        assert kept in shown
    assert "$a &lt; b$" in shown
    assert "<sup>2</sup>" in shown


def test_what_cannot_be_turned_is_shown_as_written():
    assert markdown("![x](&#97;ttachment:x.svg)") == "<pre>![x](&amp;#97;ttachment:x.svg)</pre>"


def test_a_feedback_page_holds_nothing_of_it(tmp_path):
    course = new_class(tmp_path)
    text = "\n\n".join(HOSTILE)
    notebook = answered(course, explain=text)
    shown = (
        f"from IPython.display import HTML, SVG, display\ndisplay(HTML({text!r}))\nprint({text!r})"
    )
    notebook.cells += [
        new_markdown_cell(text),
        new_raw_cell(text, metadata={"raw_mimetype": "text/html", "format": "text/html"}),
        new_code_cell(shown),
        new_markdown_cell(r"$\href{javascript:alert(1)}{x}$"),
    ]
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": text}}
    hand_in(course, "mallory", notebook)
    (row,) = grading.grade(course, "bptt")
    assert row.auto == 8
    grading.feedback(course, "bptt", ["mallory"])
    clean = new_class(tmp_path / "other")
    hand_in(clean, "ada", answered(clean, explain="It need not."))
    grading.grade(clean, "bptt")
    grading.feedback(clean, "bptt", ["ada"])

    def elements(course, student) -> Counter:
        page = course.path("feedback", student, "bptt") / "bptt.html"
        return Elements(page.read_text(encoding="utf-8")).found

    assert elements(clean, "ada")["script"] > 0, "the page's own, which must be all there is"
    assert elements(course, "mallory") == elements(clean, "ada")
    kept = nbformat.read(course.path("autograded", "mallory", "bptt") / "bptt.ipynb", as_version=4)
    assert not any(cell.cell_type == "raw" for cell in kept.cells)
    assert "widgets" not in kept.metadata
    assert not any("\\href" in cell.source for cell in kept.cells)


@pytest.mark.parametrize("text", ["\\begin{a}" * 20_000, "![a](" * 20_000])
def test_a_text_that_the_renderer_would_be_at_for_hours_is_shown_as_written(text, monkeypatch):
    monkeypatch.setattr(harmless, "SECONDS", 0.2)
    assert markdown(text).startswith("<pre>")
    assert "<em>" in markdown("*and the next one is turned*")


def test_what_could_not_be_run_is_made_harmless_too(tmp_path):
    """Its date can't be read, so nothing was run; an instructor opens it all the same."""
    course = new_class(tmp_path)
    notebook = answered(course)
    notebook.cells += [new_raw_cell("<script>alert(1)</script>"), new_markdown_cell("<b>x</b>")]
    notebook.metadata["widgets"] = {"x": {"state": {}}}
    hand_in(course, "eve", notebook)
    (course.path("submitted", "eve", "bptt") / "timestamp.txt").write_text("never")
    (eve,) = grading.grade(course, "bptt")
    assert eve.run.ending == FAILED
    kept = nbformat.read(course.path("autograded", "eve", "bptt") / "bptt.ipynb", as_version=4)
    assert {cell.cell_type for cell in kept.cells} == {"code", "markdown"}
    assert kept.cells[-2].source == "< script>alert(1)< /script>"
    assert "widgets" not in kept.metadata
    grading.feedback(course, "bptt", ["eve"])
    page = course.path("feedback", "eve", "bptt") / "bptt.html"
    assert "<script>alert(1)" not in page.read_text()
