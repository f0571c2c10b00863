"""The built book, read by a program and opened in a browser.

`pytest -m "not browser"` leaves the browser out.  Both need the book: it is built if it is not up
to date.
"""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import yaml

from course import yours

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
HTML = ROOT / "build/book/html"


def toc_pages() -> list[str]:
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))

    def walk(node):
        for key in ("parts", "chapters", "sections"):
            for child in node.get(key, ()):
                if "file" in child:
                    yield child["file"]
                yield from walk(child)

    return [toc["root"], *walk(toc)]


PAGES = toc_pages()


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book; built first if a source has changed."""
    done = subprocess.run(
        [sys.executable, BOOK / "build.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"python book/build.py failed:\n{done.stdout}\n{done.stderr}"
    return HTML


# ------------------------------------------------------------------------- read by a program


class Page(HTMLParser):
    """The links, anchors, and addresses of what a page loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("script", "img", "iframe", "source", "video", "audio") and given.get("src"):
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "modulepreload"):
            self.loads.append(given["href"])


parsed = functools.cache(Page)  # the built book stays as it is while it is tested


@functools.cache
def anchors(path: Path) -> set[str]:
    return set(parsed(path).ids)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(html, name):
    path = html / f"{name}.html"
    for link in parsed(path).links:
        url = urlsplit(link)
        if url.scheme or url.netloc:
            continue
        target = (path.parent / unquote(url.path)).resolve() if url.path else path
        assert target.is_file(), f"{name}: {link}"
        if url.fragment and target.suffix == ".html":
            assert unquote(url.fragment) in anchors(target), f"{name}: {link}"


@pytest.mark.parametrize("name", [*PAGES, "search", "genindex"])
def test_page_loads_nothing_from_elsewhere(html, name):
    path = html / f"{name}.html"
    page = parsed(path)
    for address in page.loads:
        url = urlsplit(address)
        assert not url.scheme, f"{name}: {address}"
        assert not url.netloc, f"{name}: {address}"
        assert (path.parent / url.path).is_file(), f"{name}: {address}"
    assert sum("tex-chtml" in address for address in page.loads) <= 1
    text = path.read_text(encoding="utf-8")
    links = () if yours.REPOSITORY else ("binder",)
    for other in ("unpkg.com", "jsdelivr", "cdnjs", "googleapis", *links):
        assert other not in text


@pytest.mark.parametrize("name", PAGES)
def test_ids_are_unique(html, name):
    ids = parsed(html / f"{name}.html").ids
    # sphinx-proof gives every proof the same ids, to which nothing links.
    twice = {one for one in ids if ids.count(one) > 1} - {"proof", "proof-content"}
    assert not twice


CHAPTERS = [name for name in PAGES if re.match(r"\d\d-", name)]


def loaded(html: Path, name: str) -> set[Path]:
    """The files that a page asks for, each once."""
    page = html / f"{name}.html"
    return {(html / unquote(urlsplit(each).path)).resolve() for each in parsed(page).loads}


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_is_light(html, name):
    """At most 1.5 MB: the page, its pictures inside, and its scripts, without animations.

    Apart are what all pages share and a browser keeps: MathJax and the theme's style sheets.
    """
    own, shared = [(html / f"{name}.html")], []
    for path in loaded(html, name):
        if path.suffix in (".gif", ".mp4", ".webm", ".webp"):
            continue
        (shared if path.suffix == ".css" or "mathjax" in path.parts else own).append(path)
    weights = {path.name: path.stat().st_size for path in own}
    assert sum(weights.values()) <= 1_500_000, weights
    assert sum(path.stat().st_size for path in shared) <= 1_800_000


def test_only_icons_that_are_shown_are_loaded(html):
    text = (html / "_static/scripts/fontawesome.js").read_text(encoding="utf-8")
    assert len(text) < 100_000
    shown = set()
    for page in html.glob("*.html"):
        for classes in re.findall(r'<i class="([^"]*)"', page.read_text(encoding="utf-8")):
            shown |= set(re.findall(r"fa-(?!solid|lg)([a-z-]+)", classes))
    assert "magnifying-glass" in shown
    for icon in shown:
        assert re.search(rf'"?{icon}"?:\[\d+,\d+,', text), icon


class Prose(HTMLParser):
    """The pieces of a page's text but for code, mathematics, and what programs print.

    without : further tags and classes to leave out
    """

    SKIPPED = frozenset(("code", "pre", "script", "style", "svg", "title", "math", "stream"))

    def __init__(self, path: Path, *without: str) -> None:
        super().__init__()
        self.skipped = self.SKIPPED.union(without)
        self.inside: list[str] = []  # tags from the outermost skipped one on
        self.pieces: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        known = {tag, *(dict(attrs).get("class") or "").split()}
        empty = tag in ("br", "img", "link", "meta", "input", "hr")
        if (self.inside or known & self.skipped) and not empty:
            self.inside.append(tag)

    def handle_endtag(self, tag):
        while tag in self.inside and self.inside.pop() != tag:
            pass  # one that HTML lets end by itself

    def handle_data(self, data):
        if not self.inside:
            self.pieces.append(data)


@pytest.mark.parametrize("name", PAGES)
def test_equation_numbers_are_links(html, name):
    targets = set().union(*(anchors(html / f"{each}.html") for each in PAGES))
    pieces = Prose(html / f"{name}.html", "a", "text_html").pieces
    found = [each for piece in pieces for each in re.findall(r"\((\d+\.\d+)\)", piece)]
    assert [each for each in found if f"eq-{each.replace('.', '-')}" in targets] == []


@pytest.mark.parametrize("name", PAGES)
def test_no_markup_is_left_in_the_text(html, name):
    """Mathematics, stress, links and roles, which a cell's output or a caption may not get made."""
    pieces = Prose(html / f"{name}.html").pieces
    assert sum(map(len, pieces)) > 500
    left = r".{0,30}(?:\$|\*\*|`|\]\(|\{(?:cite|doc|eq|numref|ref|term)[:}]).{0,30}"
    assert [each for piece in pieces for each in re.findall(left, piece)] == []


def test_every_page_is_in_the_table_of_contents():
    assert {path.stem for path in BOOK.glob("*.md")} == set(PAGES)


def test_equation_numbers_are_unique_and_have_their_targets():
    seen: dict[str, str] = {}
    for name in PAGES:
        text = (BOOK / f"{name}.md").read_text(encoding="utf-8")
        text = re.sub(r"^(`{3,}|~{3,}).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
        for tag in re.findall(r"\\tag\{([^}]*)\}", text):
            assert tag not in seen, f"({tag}) is in {name} and in {seen[tag]}"
            seen[tag] = name
        for text_number, target in re.findall(r"\[\((\d+\.\d+)\)\]\(#(eq-[\w-]+)\)", text):
            assert target == "eq-" + text_number.replace(".", "-"), f"{name}: {text_number}"


# ------------------------------------------------------------------------- the build itself


def build_script():
    spec = importlib.util.spec_from_file_location("book_build", BOOK / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_built_book_is_not_built_again(html):
    done = subprocess.run(
        [sys.executable, BOOK / "build.py"], capture_output=True, text=True, check=True, cwd="/"
    )
    assert "up to date" in done.stdout


def test_what_cells_depend_on():
    build = build_script()
    behind = build.all_but(*build.UNREAD, own=False)
    assert BOOK / "front.py" in behind
    assert ROOT / "course/figures.py" in behind
    assert ROOT / "requirements.txt" in behind
    assert ROOT / "course/datasets/data/dates.json" in behind
    assert not {BOOK / "build.py", BOOK / "index.md", BOOK / "_config.yml"} & set(behind)


@pytest.fixture
def small_book(html, tmp_path) -> Path:
    """A copy of the book's machinery with one page; MathJax is already fetched."""
    for folder in ("book", "course"):
        ignored = shutil.ignore_patterns("*.md", "figures", "__pycache__", "exercises")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    shutil.copytree(ROOT / "build/mathjax", tmp_path / "build/mathjax")
    (tmp_path / "book/_toc.yml").write_text("format: jb-book\nroot: 07-small\n")
    return tmp_path


FRONT_MATTER = """\
---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {name: python3, display_name: Python 3}
---
# Small

"""


def run_build(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, root / "book/build.py"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_forms_that_pages_use(small_book):
    page, other = (small_book / "book" / name for name in ("07-small.md", "other.md"))
    (small_book / "book/_toc.yml").write_text(
        "format: jb-book\nroot: 07-small\nchapters: [{file: other}]\n"
    )
    other.write_text("# Words\n\n```{glossary}\none\n  The first.\n```\n")
    page.write_text(
        FRONT_MATTER
        + r"""
(eq-7-1)=
\begin{equation}
a = b \tag{7.1}
\end{equation}

See [(7.1)](#eq-7-1), {numref}`fig-wave` and {numref}`fig-file`. A stop stays ($a$), with $b$.

Lists: [one](#eq-7-1), [two](#eq-7-1), $a$, $b$, $c$.

```{code-cell} python
---
mystnb:
  figure: {caption: "A wave, $a$.", name: fig-wave}
  image: {alt: a wave}
---
import matplotlib.pyplot as plt
from course import figures
figures.style()
fig, ax = plt.subplots()
ax.plot([0, 1, 0])
figures.show(fig)
```

```{figure} favicon.svg
:name: fig-file
:alt: a file
:width: 50px

From a file.
```

![two words](favicon.svg)
"""
    )
    done = run_build(small_book)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "running 07-small.md" in done.stdout
    text = (small_book / "build/book/html/07-small.html").read_text(encoding="utf-8")
    assert re.search(r'<div class="amsmath math[^"]*" id="eq-7-1">', text)
    assert '<a class="reference internal" href="#eq-7-1">(7.1)</a>' in text
    assert "eqno" not in text
    assert text.count('class="nobreak"') == 6
    assert r"Lists: one, two, \(a\), \(b\), \(c\)." in re.sub("<[^>]+>", "", text)
    for label in ("a wave", "a file", "two words"):
        assert f'aria-label="{label}"' in text
    assert "width: 50px" in text
    assert text.count('class="rnn-svg"') == 3
    assert "Figure 7.1" in text
    assert "Figure 7.2" in text

    for changed in (page, other):
        changed.write_text(changed.read_text() + "\nOne sentence more.\n")
        done = run_build(small_book)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "running" not in done.stdout  # its code is as it was
        index = (small_book / "build/book/html/searchindex.js").read_text(encoding="utf-8")
        found = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
        assert set(found["indexentries"]) == {"(7.1)", "one"}

    code = small_book / "course/figures.py"
    code.write_text(code.read_text().replace("#006ac0", "#006ac1"))
    done = run_build(small_book)
    assert "running 07-small.md" in done.stdout
    assert "#006ac1" in (small_book / "build/book/html/07-small.html").read_text(encoding="utf-8")


def test_a_cell_that_fails_stops_the_build_and_is_named(small_book):
    page = small_book / "book/07-small.md"
    page.write_text(FRONT_MATTER + "```{code-cell} python\nprint(1 / 0)\n```\n")
    done = run_build(small_book)
    assert done.returncode == 1
    assert "07-small.md" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_a_picture_without_alt_text_stops_the_build(small_book):
    (small_book / "book/07-small.md").write_text("# Small\n\n![](favicon.svg)\n")
    for _attempt in (1, 2):  # a second run must not take the page for good
        done = run_build(small_book)
        assert done.returncode == 1
        assert "no alt text" in done.stderr


# ------------------------------------------------------------------------- opened in a browser


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def served(html):
    """The book on a web server of this machine, under a sub-path."""
    handler = functools.partial(QuietHandler, directory=html.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{html.name}"
        server.shutdown()


class Opened:
    """A page in the browser, with what it asked for and complained about."""

    def __init__(self, browser, base: str, width: int = 1280, theme: str = "light") -> None:
        size = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=size, color_scheme=theme)
        self.page = self.context.new_page()
        self.base = base
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda asked: self.complaints.append(f"failed {asked.url}"))
        self.page.on("request", self._request)

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def go(self, name: str):
        self.page.goto(f"{self.base}/{name}")
        self.page.wait_for_load_state("load")
        self.page.evaluate("window.MathJax?.startup?.promise")
        return self.page

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


def base_of(scheme: str, html: Path, served: str) -> str:
    return html.as_uri() if scheme == "file" else served


def check_that_equation_numbers_are_in_sight(page) -> None:
    """At the end of a wide equation, or, on a phone, under it."""
    page.wait_for_selector(".rnn-wide-equation", state="attached")  # every chapter has one
    numbers = page.evaluate(
        """[...document.querySelectorAll("div.math[id^='eq-']")].map(div => {
             const under = div.querySelector('.rnn-number');
             const shown = div.matches('.rnn-wide-equation') ? under
               : div.querySelector('mjx-labels mjx-mtd');
             div.scrollLeft = div.scrollWidth;
             const {left, right} = shown.getBoundingClientRect();
             return [div.id, under?.textContent, left >= 0 && right <= innerWidth];
           })"""
    )
    assert len(numbers) > 10
    assert [each for each in numbers if not each[2]] == []
    under = {one: said for one, said, _ in numbers if said}
    assert under == {one: f"({one[3:].replace('-', '.')})" for one in under}


# Left out: that a name must hold the text in sight.  It is an experiment of axe's, and takes
# the letters inside a picture for the picture's name.
#
# The glyphs of a formula are hidden from screen readers, who have its MathML beside them.  axe
# passes over what is so hidden, if nothing in it takes the focus, but measures each glyph first: an
# empty box of the same size stands in for them meanwhile.  Not where a formula scrolls, since axe
# asks whether it does.
AXE = """async () => {
  const glyphs = [...document.querySelectorAll("mjx-math[aria-hidden='true']")].filter(math => {
    const around = math.closest('div.math');
    return !math.querySelector('a, [href], [tabindex], [contenteditable]') && !math.matches('a *')
      && !(around && around.scrollWidth > around.clientWidth);
  }).map(math => [math, [...math.childNodes], math.style.cssText, math.getBoundingClientRect()]);
  for (const [math, , , {width, height}] of glyphs) {
    math.replaceChildren();
    math.style.cssText += `; display: inline-block; width: ${width}px; height: ${height}px`;
  }
  const {violations} = await axe.run(document, {
    resultTypes: ['violations'], rules: {'label-content-name-mismatch': {enabled: false}},
  });
  for (const [math, inside, style] of glyphs) {
    math.replaceChildren(...inside);
    math.style.cssText = style;
  }
  return violations.filter(found => ['serious', 'critical'].includes(found.impact))
    .map(found => `${found.id}: ${found.help}: ${found.nodes[0].html.slice(0, 300)}`);
}"""


def check_that_it_shuts_nobody_out(page) -> None:
    """Nothing serious that axe finds."""
    page.add_script_tag(path=build_script().get_mathjax() / "axe.min.js")
    assert page.evaluate(AXE) == []


@pytest.mark.browser
@pytest.mark.parametrize(
    ("scheme", "width", "theme"),
    [
        ("file", 1280, "light"),
        ("file", 1280, "dark"),
        ("file", 390, "light"),
        ("file", 390, "dark"),
        ("http", 1280, "light"),
        ("http", 390, "dark"),
    ],
)
@pytest.mark.parametrize("name", PAGES)
def test_page_opens_well(chromium, html, served, name, scheme, width, theme):
    with Opened(chromium, base_of(scheme, html, served), width, theme) as opened:
        page = opened.go(f"{name}.html")
        assert not opened.elsewhere
        assert not opened.complaints
        assert page.evaluate("document.documentElement.dataset.theme") == theme

        math = page.locator(".math").count()
        assert page.locator("mjx-container").count() == math
        assert page.locator("mjx-merror").count() == 0
        # A command that MathJax doesn't know is no error to it: it prints its name in red.
        assert page.locator("mjx-container [style*='color: red']").count() == 0
        assert page.locator("article img:not([alt]), article img[alt='']").count() == 0
        unlabelled = "article svg:not(button svg, [aria-hidden='true'], [aria-label])"
        assert page.locator(unlabelled).count() == 0

        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"the page is {wide} pixels wide"
        # A wide equation starts in sight and scrolls to its end.
        out_of_reach = page.evaluate(
            """[...document.querySelectorAll('div.math')].filter(div => {
                 const math = div.querySelector('mjx-container');
                 return math.getBoundingClientRect().left < div.getBoundingClientRect().left - 1;
               }).length"""
        )
        assert out_of_reach == 0
        if width >= 1280:  # and there none is wider than its column
            overfull = page.evaluate(
                """[...document.querySelectorAll('div.math')].filter(
                     div => div.scrollWidth > div.clientWidth + 1).map(div => div.id)"""
            )
            assert overfull == []
        for letters in page.evaluate(
            """[...document.querySelectorAll('.rnn-svg')].map(
                 svg => [getComputedStyle(svg).color, getComputedStyle(document.body).color])"""
        ):
            assert letters[0] == letters[1]

        if page.locator(".highlight-ipython3").count():
            assert page.locator("button.copybtn").count() > 0
        # Opening it takes longest: what else is to be seen in this theme and width is seen here.
        if scheme == "file" and width >= 1280:
            check_that_it_shuts_nobody_out(page)
        if scheme == "file" and width < 1280 and theme == "light" and name in CHAPTERS:
            check_that_equation_numbers_are_in_sight(page)
        # Last, since it scrolls: a link to an equation brings it into view.
        targets = [one for one in parsed(html / f"{name}.html").ids if re.match(r"eq-\d", one)]
        for target in targets[-1:]:
            page.evaluate("id => { location.hash = id }", target)
            page.wait_for_timeout(100)
            box = page.locator(f"#{target}").bounding_box()
            assert box is not None
            assert 0 <= box["y"] < 900


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_search_page_shuts_nobody_out(chromium, html, theme):
    with Opened(chromium, html.as_uri(), theme=theme) as opened:
        check_that_it_shuts_nobody_out(opened.go("search.html"))


@pytest.mark.browser
def test_theme_switch(chromium, html):
    with Opened(chromium, html.as_uri()) as opened:
        page = opened.go("index.html")
        colours = set()
        for _ in range(3):  # light, dark, as the machine is set
            page.locator("button.theme-switch-button:visible").first.click()
            colours.add(page.evaluate("getComputedStyle(document.querySelector('.rnn-svg')).color"))
        assert len(colours) == 2


@pytest.mark.browser
@pytest.mark.parametrize(
    ("scheme", "asked", "leads"),
    [
        ("file", "truncated", "03-bptt.html"),
        ("http", "truncated", "03-bptt.html"),
        ("file", "BPTT", "glossary.html#term-BPTT"),
        ("file", "teacher forcing", "04-taxonomy.html#teacher-forcing"),
        ("file", "grad_h", "03-bptt.html"),
        ("file", "lstm_backward", "05-gates.html"),
        ("file", "3.9", "03-bptt.html#eq-3-9"),
    ],
)
def test_search_finds(chromium, html, served, scheme, asked, leads):
    with Opened(chromium, base_of(scheme, html, served)) as opened:
        page = opened.go(f"search.html?q={quote(asked)}")
        page.locator(f'#search-results li > a[href="{leads}"]').first.wait_for(timeout=20_000)
        assert not opened.elsewhere
        if scheme == "http":  # a browser lets no script read the text of file:// pages
            assert not opened.complaints


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_chooser_of_wirings_by_keyboard(chromium, html, width):
    with Opened(chromium, html.as_uri(), width) as opened:
        page = opened.go("04-taxonomy.html")
        root = page.locator(".rnn-wirings.rnn-widget")
        said = root.locator("[aria-live]")
        assert said.inner_text() == "o(3) depends on h(0), x(1), x(2), x(3)."
        assert root.locator(".rnn-wiring:visible").count() == 1

        first = root.locator("input[type=radio]").first
        first.focus()
        page.keyboard.press("ArrowDown")  # recurrence from the output, while it is trained
        assert said.inner_text() == "o(3) depends on x(3), y(2)."
        assert "2 while it is trained, 2τ in use" in root.inner_text()
        assert root.locator(".rnn-wiring:visible").count() == 1
        root.get_by_label("in use").check()
        assert said.inner_text() == "o(3) depends on x(1), x(2), x(3), y(0)."

        root.get_by_label("Both directions").check()
        root.get_by_label("What does this depend on?").select_option(label="g(2)")
        assert said.inner_text() == "g(2) depends on g(5), x(2), x(3), x(4)."
        drawn = root.locator("svg").first
        assert drawn.locator("circle").count() == 4 * 4 + 2
        drawn.locator("circle").last.click()  # a picture of an output: the same as the list
        assert said.inner_text().startswith("o(4) depends on ")
        shown = root.locator(".rnn-wiring:visible mjx-container")
        assert shown.count() == 3
        assert all(box.bounding_box()["width"] > 50 for box in shown.all())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not opened.complaints


@pytest.mark.browser
def test_without_scripts_every_wiring_can_be_read(chromium, html):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{html.as_uri()}/04-taxonomy.html")
    panels = page.locator(".rnn-wiring")
    assert panels.count() == 7
    assert all(panel.is_visible() for panel in panels.all())
    context.close()
