"""The book as one PDF: `python book/printed.py`, from anywhere, then open build/book/book.pdf.

The pages are those of the built book, laid into one document, which Chromium prints twice: the
first print says on which sheet each heading falls, the second has these numbers in its contents.
No cell runs, and nothing is fetched: every request is answered from the book's own folder.
"""

from __future__ import annotations

import argparse
import io
import logging
import mimetypes
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import unquote, urlsplit

import yaml
from build import BOOK, BUILD, BuildError, build, digest, say, sources, toc_pages
from filelock import FileLock
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, BooleanObject, DictionaryObject, Fit, FloatObject, NameObject

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

PARTS = BOOK / "_print"
ORIGIN = "https://book.invalid"  # no machine has this name: answer() speaks for it
LEFT, TOP = 20.0, 22.0  # the margins in print.css, in millimetres
POINTS = 72 / 25.4
WIDTH = round((210 - 2 * LEFT) * 96 / 25.4)  # of the text, in the browser's pixels
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FRONT = """\
<p class="title">{title}</p>
<p class="author">{author}</p>
<p class="about">This file is made of the book's web pages, with everything open that is folded
there. On the web pages you can also search, copy code, and move what moves.</p>
<p class="copyright">© {copyright}.</p>
"""
DOCUMENT = """\
<!doctype html>
<html lang="en" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{title}</title>{styles}<style>{css}</style></head>
<body><main class="bd-content"></main><script>{mathjax}</script><script>{js}</script></body>
</html>
"""


class Heading(TypedDict):
    """A heading of the book: its level, the id of its place, its words, and its page."""

    level: int
    id: str
    title: str
    page: str


def configuration() -> dict[str, str]:
    """Return the book's title, author and copyright."""
    found = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))
    return {key: str(found[key]) for key in ("title", "author", "copyright")}


def print_book(browser: Browser, html: Path, pages: list[str], out: Path) -> list[Heading]:
    """Print these pages of the built book in `html` as one PDF; returns chapters and sections.

    Raises BuildError where a formula is broken, something is cut off, or a link leads nowhere.
    """
    from playwright.sync_api import Error

    context = browser.new_context(
        viewport={"width": WIDTH, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    try:
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        page.route("**/*", lambda route: answer(route, html, wrong))
        page.emulate_media(media="print")
        page.goto(f"{ORIGIN}/")
        front = FRONT.format(**{key: escape(value) for key, value in configuration().items()})
        headings: list[Heading] = page.evaluate(
            "given => layOut(given)", {"pages": pages, "book": toc_pages(), "front": front}
        )
        for script in (*widgets(html), "mathjax/tex-chtml.js"):
            page.add_script_tag(url=f"{ORIGIN}/{script}")
        page.evaluate("MathJax.startup.promise")
        wrong += [f"broken formula: {each}" for each in page.evaluate("settle()")]
        wrong += [f"cut off at the margin: {each}" for each in page.evaluate("cutOff()")]
        if wrong:
            raise BuildError("the book can't be printed as it is:\n  " + "\n  ".join(wrong))
        numbers = sheets(PdfReader(printed(page)), headings)
        page.evaluate("numbers => writeNumbers(numbers)", numbers)
        last = PdfReader(printed(page))
    except Error as error:
        raise BuildError(f"the book can't be printed as it is: {error.message}") from None
    finally:
        context.close()
    if sheets(last, headings) != numbers:
        raise BuildError("the numbers in the contents have moved what they number")
    finish(last, headings, out)
    return headings


def document(html: Path) -> str:
    """Return the empty document that the pages are laid into, with the book's own style."""
    index = (html / f"{toc_pages()[0]}.html").read_text(encoding="utf-8")
    mathjax = re.search(r"<script>(window\.MathJax = .*?)</script>", index, flags=re.DOTALL)
    return DOCUMENT.format(
        title=escape(configuration()["title"]),
        styles="".join(re.findall(r'<link[^>]*rel="stylesheet"[^>]*>', index)),
        css=(PARTS / "print.css").read_text(encoding="utf-8"),
        mathjax=mathjax[1] if mathjax else "",
        js=(PARTS / "print.js").read_text(encoding="utf-8"),
    )


def widgets(html: Path) -> list[str]:
    """Return the scripts of the book's widgets; the one that starts them comes last."""
    scripts = (BOOK / "_static").glob("*.js")
    ours = [path.name for path in scripts if "rnnWidgets" in path.read_text(encoding="utf-8")]
    there = [name for name in ours if (html / "_static" / name).is_file()]
    return [
        f"_static/{name}" for name in sorted(there, key=lambda name: (name == "widget.js", name))
    ]


def answer(route: Route, html: Path, wrong: list[str]) -> None:
    """Answer a request from the built book's folder; whatever else is asked for is refused."""
    url = urlsplit(route.request.url)
    path = (html / unquote(url.path).lstrip("/")).resolve()
    if f"{url.scheme}://{url.netloc}" != ORIGIN or not path.is_relative_to(html.resolve()):
        wrong.append(f"asks for {route.request.url}")
        route.abort()
    elif path == html.resolve():
        route.fulfill(body=document(html), content_type="text/html; charset=utf-8")
    elif path.is_file():
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        route.fulfill(body=path.read_bytes(), content_type=kind)
    else:
        wrong.append(f"asks for {url.path}, which the book does not hold")
        route.fulfill(status=404)


def printed(page: Page) -> io.BytesIO:
    """Return the document as Chromium prints it."""
    return io.BytesIO(page.pdf(prefer_css_page_size=True, print_background=True, tagged=True))


def sheets(pdf: PdfReader, headings: Iterable[Heading]) -> dict[str, int]:
    """Return the number of the sheet that each heading stands on, by the heading's id."""
    places = {name.lstrip("/"): place for name, place in pdf.named_destinations.items()}
    lost = [each["id"] for each in headings if each["id"] not in places]
    if lost:
        raise BuildError(f"no place in the PDF for {', '.join(lost)}")
    number = {each["id"]: pdf.get_destination_page_number(places[each["id"]]) for each in headings}
    return {name: int(at) + 1 for name, at in number.items() if at is not None}


def finish(pdf: PdfReader, headings: list[Heading], out: Path) -> None:
    """Write the PDF with an outline, and with data about it."""
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of objects that it copied twice
    writer = PdfWriter(clone_from=pdf)
    writer.pdf_header = pdf.pdf_header
    places: dict[str, Any] = writer.root_object["/Dests"].get_object()
    for place in places.values():
        array: ArrayObject = place.get_object()
        # Chromium counts from the corner of the text, a reader from the corner of the sheet.
        array[2] = FloatObject(float(array[2]) + LEFT * POINTS)
        array[3] = FloatObject(float(array[3]) - TOP * POINTS)
    numbers = sheets(pdf, headings)
    chapter = None
    for heading in headings:
        place = places[f"/{heading['id']}"].get_object()
        item = writer.add_outline_item(
            title=heading["title"],
            page_number=numbers[heading["id"]] - 1,
            parent=chapter if heading["level"] > 1 else None,
            fit=Fit.xyz(left=0, top=float(place[3])),
            is_open=False,
        )
        if heading["level"] == 1:
            chapter = item
    facts = configuration()
    writer.add_metadata(
        {
            "/Title": facts["title"],
            "/Author": facts["author"],
            "/Creator": "Sphinx, MyST-NB and MathJax, printed by Chromium",
        }
    )
    writer.root_object[NameObject("/PageMode")] = NameObject("/UseOutlines")
    writer.root_object[NameObject("/ViewerPreferences")] = DictionaryObject(
        {NameObject("/DisplayDocTitle"): BooleanObject(True)}
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    half = out.with_suffix(".part")
    writer.write(half)
    half.replace(out)


def bring_up_to_date(folder: Path, browser: Callable[[], AbstractContextManager[Browser]]) -> bool:
    """Print the built book in `folder` unless it is printed already; says whether it was not."""
    out, stamp, wanted = folder / "book.pdf", folder / "printed", digest(sources())
    if out.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return False
    stamp.unlink(missing_ok=True)
    with browser() as opened:
        print_book(opened, folder / "html", toc_pages(), out)
    stamp.write_text(wanted)
    return True


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the machine's Chromium; raises BuildError if there is none."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise BuildError(
            "Chromium prints the book: install it first (sudo apt-get install chromium)"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def main() -> int:
    """Build and print from the command line."""
    parser = argparse.ArgumentParser(description="Print the book as one PDF.")
    parser.add_argument("--out", type=Path, default=BUILD / "book", help="default: build/book")
    folder = parser.parse_args().out.resolve()
    BUILD.mkdir(exist_ok=True)
    start = time.monotonic()
    try:
        with FileLock(BUILD / "book.lock"):  # as in build.py
            build(folder)
            say("printing, unless that is done")
            new = bring_up_to_date(folder, chromium)
    except BuildError as error:
        print(f"book: {error}", file=sys.stderr)
        return 1
    said = f"done in {time.monotonic() - start:.0f} s" if new else "up to date"
    say(f"{said}: {folder / 'book.pdf'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
