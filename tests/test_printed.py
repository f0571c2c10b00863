"""The book as a PDF: the whole of it, and what must stop it from being printed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import printed
import pypdfium2
import pytest
import yaml
from build import BuildError
from filelock import FileLock
from pypdf import PdfReader

ROOT = Path(__file__).resolve().parent.parent
BOOK, BUILD = ROOT / "book", ROOT / "build"
MILLIMETRE = 72 / 25.4
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def path(chromium) -> Path:
    """The printed book; built and printed first if a source has changed."""
    done = subprocess.run(
        [sys.executable, BOOK / "build.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"python book/build.py failed:\n{done.stdout}\n{done.stderr}"
    with FileLock(BUILD / "book.lock"):
        printed.bring_up_to_date(BUILD / "book", lambda: nullcontext(chromium))
    return BUILD / "book/book.pdf"


@pytest.fixture(scope="module")
def pdf(path) -> PdfReader:
    return PdfReader(path)


@pytest.fixture(scope="module")
def texts(path) -> list[str]:
    """The words of each sheet, with single spaces."""
    document = pypdfium2.PdfDocument(path)  # many times as fast as pypdf
    return [" ".join(page.get_textpage().get_text_range().split()) for page in document]


def titles() -> list[str]:
    """The first heading of each page of the table of contents, from its source."""
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    names = [toc["root"], *(each["file"] for each in toc["chapters"])]
    pages = [(BOOK / f"{name}.md").read_text(encoding="utf-8") for name in names]
    return [re.search(r"^# (.*)$", page, flags=re.MULTILINE)[1] for page in pages]


def annotations(pdf: PdfReader):
    for page in pdf.pages:
        for each in page.get("/Annots", []):
            yield each.get_object()


def test_the_outline_has_every_page_of_the_contents(pdf):
    chapters = [each for each in pdf.outline if not isinstance(each, list)]
    assert [each.title for each in chapters] == titles()
    below = [len(each) for each in pdf.outline if isinstance(each, list)]
    assert sum(below) > 100, "sections"
    numbers = [pdf.get_destination_page_number(each) for each in chapters]
    assert numbers == sorted(set(numbers)), "each begins a new sheet"


def test_a_heading_stands_where_its_bookmark_leads(pdf, path):
    """Chapters and sections: the bookmark's height is just above the letters, on that sheet."""
    document = pypdfium2.PdfDocument(path)
    entries = [
        each for some in pdf.outline for each in (some if isinstance(some, list) else [some])
    ]
    assert len(entries) > 100
    for entry in entries:
        number = pdf.get_destination_page_number(entry)
        words = document[number].get_textpage()
        below = document[number].get_height() - 22 * MILLIMETRE  # of the page's running head
        found = words.search(entry.title[:12], match_case=True)
        tops = []
        while place := found.get_next():
            tops.append(words.get_charbox(place[0])[3])
        near = [float(entry.top) - top for top in tops if top < below]
        assert any(-2 < each < 30 for each in near), (entry.title, number, near)


def test_the_contents_give_the_numbers_of_sheets(pdf, texts):
    chapters = [each for each in pdf.outline if not isinstance(each, list)]
    first = pdf.get_destination_page_number(chapters[0])
    contents = " ".join(texts[1:first])
    at = 0
    for each in chapters:
        number = pdf.get_destination_page_number(each) + 1
        wanted = re.compile(rf"{re.escape(each.title)} ?{number}\b")
        found = wanted.search(contents, at)
        assert found, f"{each.title} {number}"
        at = found.end()
        assert texts[number - 1].startswith(f"{each.title} {number} {each.title}")


def test_links_lead_to_places_in_the_pdf_or_to_addresses(pdf):
    places = set(pdf.named_destinations)
    inside = outside = 0
    for link in annotations(pdf):
        if "/Dest" in link:
            assert str(link["/Dest"]) in places
            inside += 1
        else:
            assert link["/A"]["/S"] == "/URI"
            assert re.match(r"https?://", link["/A"]["/URI"]), link["/A"]["/URI"]
            assert "book.invalid" not in link["/A"]["/URI"]
            outside += 1
    assert inside > 500
    assert outside > 50
    for place in pdf.named_destinations.values():
        assert place.typ == "/XYZ"
        number = pdf.get_destination_page_number(place)
        assert 0 <= number < len(pdf.pages)
        assert 0 <= float(place.top) <= float(pdf.pages[number].mediabox.height)


def test_it_says_what_it_is_and_nothing_of_the_machine(pdf, path):
    config = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))
    assert pdf.metadata.title == config["title"]
    assert pdf.metadata.author == config["author"]
    assert pdf.pdf_header == "%PDF-1.4", "the form that Chromium writes"
    assert pdf.root_object["/Lang"] == "en"
    assert pdf.root_object["/MarkInfo"]["/Marked"], "tagged, for screen readers"
    said = path.read_bytes()
    for word in (b"file://", str(ROOT).encode(), b"book.invalid"):
        assert word not in said
    for number in range(1, pdf.trailer["/Size"]):
        written = repr(pdf.get_object(number))
        assert "file://" not in written
        assert str(ROOT) not in written
        assert "book.invalid" not in written


def test_no_ink_lies_in_the_margins(path):
    """Each sheet is A4, and is drawn: left, right, and at its edges there is paper only."""
    dots = 2 * MILLIMETRE  # for a millimetre
    document = pypdfium2.PdfDocument(path)
    for number, page in enumerate(document, start=1):
        width, height = (side / MILLIMETRE for side in page.get_size())
        assert (round(width), round(height)) == (210, 297)
        sheet = page.render(scale=2, grayscale=True).to_numpy().squeeze()
        side, edge = int(19 * dots), int(6 * dots)
        for where, strip in {
            "left": sheet[:, :side],
            "right": sheet[:, -side:],
            "top": sheet[:edge],
            "bottom": sheet[-edge:],
        }.items():
            assert strip.min() > 250, f"sheet {number}: ink in the {where} margin"
        if number > 1:
            assert sheet.min() < 100, f"sheet {number} is empty"


def test_what_is_folded_on_the_web_is_open(texts):
    """Every answer to a five-minute question, and code that draws a figure."""
    whole = " ".join(texts)
    pages = [path.read_text(encoding="utf-8") for path in BOOK.glob("*.md")]
    answers = sum(page.count(":::{dropdown} Answer") for page in pages)
    assert answers > 20
    assert len(re.findall(r"\bAnswer\b", whole)) >= answers
    assert "lab.figures.show(" in whole
    assert whole.count("Show code cell") == sum(page.count("Show code cell") for page in pages)
    assert "Copy to clipboard" not in whole


def test_every_widget_stands_still_and_says_where_it_moves(texts):
    said = " ".join(texts)
    scripts = {
        path.stem: path.read_text(encoding="utf-8") for path in (BOOK / "_static").glob("*.js")
    }
    widgets = [name for name, text in scripts.items() if f'push([".rnn-{name}"' in text]
    assert len(widgets) > 5
    assert said.count("A still picture: on the web page") >= len(widgets)


# ------------------------------------------------------------------------- a book of one page


@pytest.fixture
def small(path, tmp_path):
    """A function that makes a built book of one page with this article."""

    def make(article: str) -> Path:
        html = tmp_path / "html"
        shutil.copytree(BUILD / "book/html/_static", html / "_static")
        shutil.copytree(BUILD / "book/html/mathjax", html / "mathjax")
        page = (BUILD / "book/html/index.html").read_text(encoding="utf-8")
        start, end = page.index('<article class="bd-article">'), page.index("</article>")
        section = f'<section id="one"><h1>One</h1>{article}</section>'
        (html / "index.html").write_text(
            f'{page[:start]}<article class="bd-article">{section}{page[end:]}', encoding="utf-8"
        )
        return html

    return make


def test_a_page_alone(small, chromium, tmp_path):
    html = small(
        '<p id="here">A <a href="03-bptt.html">chapter</a>, <a href="#one">this one</a>.</p>'
        '<section id="two"><h2>Two of <span class="math">\\(k\\)</span></h2>'
        "<details><summary>Answer</summary><p>Forty-two.</p></details></section>"
    )
    out = tmp_path / "one.pdf"
    found = printed.print_book(chromium, html, ["index"], out)
    assert [(each["level"], each["title"]) for each in found] == [(1, "One"), (2, "Two of k")]
    pdf = PdfReader(out)
    assert len(pdf.pages) == 3
    assert "Forty-two" in pdf.pages[2].extract_text()
    leads = [str(each["/Dest"]) for each in annotations(pdf)]
    assert sorted(leads) == ["/index", "/index--one", "/index--two"]  # no chapter 3: not a link


@pytest.mark.parametrize(
    ("article", "complaint"),
    [
        (r'<div class="math">\[ \frac{1 \]</div>', "broken formula"),
        (r'<p><span class="math">\( \nosuch{x} \)</span></p>', "broken formula"),
        (r'<p><span class="math">\( \left( x \)</span></p>', "broken formula"),
        ('<p style="white-space: nowrap">' + 40 * "as wide as this " + "</p>", "cut off"),
        ('<div style="overflow: hidden; width: 50px"><p style="width: 90px">x</p></div>', "cut"),
        ('<p><img src="gone.png" alt="gone"></p>', "gone.png"),
        ('<p><img src="http://example.invalid/a.png" alt="away"></p>', "example.invalid"),
    ],
)
def test_what_is_broken_is_not_printed(small, chromium, tmp_path, article, complaint):
    html = small(f"<p>Before.</p>{article}")
    with pytest.raises(BuildError, match=complaint):
        printed.print_book(chromium, html, ["index"], tmp_path / "one.pdf")
    assert not (tmp_path / "one.pdf").exists()


def test_a_link_to_a_page_that_the_book_has_not(small, chromium, tmp_path):
    html = small('<p><a href="nowhere.html">nowhere</a></p>')
    with pytest.raises(BuildError, match=r"nowhere\.html"):
        printed.print_book(chromium, html, ["index"], tmp_path / "one.pdf")
