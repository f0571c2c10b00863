"""The answers as pages: what is on them, how they open, and that students do not get them."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_book import AXE, Opened, build_script, parsed

from autograder import answers, build, slip
from course import hints
from course.exercise import CHAPTERS, chapter

HOUSE = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the pages, made anew only where something has changed."""
    return answers.write().parent


def words(text: str) -> str:
    """The words of a page as a reader sees them, without mathematics."""
    text = re.sub(r"<(script|style|head)\b.*?</\1>", " ", text, flags=re.DOTALL)
    text = re.sub(r"\\\(.*?\\\)", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def letters(text: str) -> str:
    """Only the letters: quotes and dashes are not the same in a source and on a page."""
    return re.sub(r"[^a-z]", "", text.lower())


def marking(name: str) -> list[str]:
    """How each written answer of a chapter is marked: the longest stretch without mathematics."""
    found = []
    for cell in build.source_notebook(name).cells:
        about = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "markdown" and about.get("solution"):
            last = answers.without_marks(cell.source).strip().split("\n\n")[-1]
            found.append(max(map(letters, re.split(r"\$.*?\$", last, flags=re.DOTALL)), key=len))
    return found


# ------------------------------------------------------------------------- what is written


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_has_every_answer_hint_slip_and_marking(name):
    cells = answers.page(name).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    known = slip.of_chapter(name)
    found = chapter(name)
    for exercise in found.exercises:
        (answer,) = (
            each for each in code if re.search(rf"^(def|class) {exercise.symbol}\b", each, re.M)
        )
        assert "NotImplementedError" not in answer
        own = [each for each in known if each.exercise == exercise.name]
        assert len(own) >= 3
        begin = text.index(f"`{exercise.name}`: {exercise.total:g} point")
        end = text.find("\n## ", begin)
        here = text[begin : end if end > 0 else None]
        assert f"Known slips: {len(own)}" in here
        for each in own:
            assert answers.plain(each.title) in here, each.name
        for said in hints.of_chapter(name)[exercise.name].values():
            assert said in here
    for question in found.questions:
        assert f"Model answer and marking, {question.points:g} points" in text
    whole = "\n".join([*code, text])
    assert build.BEGIN not in whole
    assert build.END not in whole
    assert len(marking(name)) == len(found.questions)


def test_words_of_a_slip_are_not_taken_for_markdown():
    from markdown_it import MarkdownIt

    said = r"W*h_t <b> [x](y) $a_1$ `c` | #1 ~~z~~ {x}^2 \n"
    shown = MarkdownIt().render(answers.plain(said))
    assert html.unescape(shown) == f"<p>{said}</p>\n"


@pytest.mark.parametrize(
    "folder",
    ["build/book", "build/book/html", "build/book/html/answers", "notebooks", "course", "book/x"],
)
def test_what_students_read_is_refused(folder):
    before = set((HOUSE / folder).rglob("*")) if (HOUSE / folder).exists() else set()
    with pytest.raises(build.BuildError, match="students read"):
        answers.write(HOUSE / folder)
    assert set((HOUSE / folder).rglob("*")) == before if before else not (HOUSE / folder).exists()


def test_a_folder_that_holds_something_else_is_left_as_it_is(tmp_path):
    (tmp_path / "pages").mkdir()
    mine = tmp_path / "pages" / "_config.yml"
    mine.write_text("title: My own\n")
    with pytest.raises(build.BuildError, match="holds something else, which would be lost"):
        answers.write(tmp_path)
    assert mine.read_text() == "title: My own\n"


def test_pages_of_an_earlier_time_are_known(tmp_path):
    answers.write_pages(tmp_path)
    assert answers._is_ours(tmp_path)


def test_a_way_round_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(HOUSE / "notebooks")
    with pytest.raises(build.BuildError, match="students read"):
        answers.write(tmp_path / "link" / "answers")


# ------------------------------------------------------------------------- what is made


def test_every_check_has_said_right(site):
    """All answers have run on these pages, the checks behind them, and the training at the end."""
    for name in CHAPTERS:
        page = (site / f"{name}.html").read_text(encoding="utf-8")
        assert not re.search(r'class="[^"]*\b(stderr|traceback)\b', page)
        assert 'class="rnn-svg"' in page, "the training cell has drawn nothing"
        text = words(page)
        count = len(chapter(name).exercises)
        assert f"{count} of {count} right" in text
        for exercise in chapter(name).exercises:
            for part in exercise.parts or (None,):
                full = f"{exercise.name}.{part}" if part else exercise.name
                said = re.findall(rf"✓ {re.escape(full)} \(exercise [\d.]+\): (\w+)", text)
                assert said == ["right"], full
        assert "✗" not in text


def test_the_pages_are_for_instructors_alone(site):
    for name in ("index", *CHAPTERS):
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        assert answers.WARNING in text
        assert re.search(r'<meta\s[^>]*content="noindex"[^>]*name="robots"', text) or re.search(
            r'<meta\s[^>]*name="robots"[^>]*content="noindex"', text
        )


def test_nothing_of_it_is_in_the_book_or_in_the_notebooks(site):
    """How answers are marked stands on these pages, and in nothing that students get."""
    subprocess.run([sys.executable, HOUSE / "book" / "build.py"], check=True)
    book = HOUSE / "build" / "book"
    assert not site.is_relative_to(book)
    assert not (HOUSE / "notebooks").joinpath("html").exists()
    read = {
        path: letters(words(path.read_text(encoding="utf-8")))
        for path in (*(book / "html").rglob("*.html"), *(HOUSE / "notebooks").iterdir())
    }
    assert len(read) > len(CHAPTERS)
    for name in CHAPTERS:
        ours = letters(words((site / f"{name}.html").read_text(encoding="utf-8")))
        for said in marking(name):
            assert len(said) > 40
            assert said in ours, said
            for path, text in read.items():
                assert said not in text, path
    for path in (book / "html").glob("*.html"):
        for link in parsed(path).links:
            assert "solutions" not in link, f"{path.name} links to {link}"


def test_links_lead_somewhere_and_nothing_comes_from_elsewhere(site):
    for name in ("index", *CHAPTERS):
        page = parsed(site / f"{name}.html")
        for link in (*page.links, *page.loads):
            path = link.split("#")[0].split("?")[0]
            if not re.match(r"https?:", link):
                assert not path or (site / path).is_file(), f"{name}: {link}"
        assert not [each for each in page.loads if "://" in each]


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("name", ["index", *CHAPTERS])
def test_a_page_opens_well(chromium, site, name, width, theme):
    with Opened(chromium, site.as_uri(), width, theme) as opened:
        page = opened.go(f"{name}.html")
        assert not opened.elsewhere
        assert not opened.complaints
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        assert page.locator("mjx-merror, mjx-container [style*='color: red']").count() == 0
        assert page.locator("mjx-container").count() == page.locator(".math").count()
        page.add_script_tag(path=build_script().get_mathjax() / "axe.min.js")
        assert page.evaluate(AXE) == []
