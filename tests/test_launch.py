"""How people get in: a chapter's notebook, to download, and to open where it can run."""

from __future__ import annotations

import base64
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
from urllib.parse import quote
from zipfile import ZipFile

import pytest

from course import CourseError, yours
from course.repository import Repository, hub, of_this_class, repository

HOUSE = Path(__file__).resolve().parent.parent
GITHUB = "https://github.com/ada/rnn"


# ------------------------------------------------------------------------------- the addresses


@pytest.mark.parametrize(
    ("setting", "want"),
    [
        ("", None),
        (GITHUB, Repository("github.com", "ada/rnn", "main")),
        (GITHUB + ".git", Repository("github.com", "ada/rnn", "main")),
        (GITHUB + "/", Repository("github.com", "ada/rnn", "main")),
        (GITHUB + "/tree/2027/spring", Repository("github.com", "ada/rnn", "2027/spring")),
        (
            "https://gitlab.com/school/maths/rnn/-/tree/v1.2",
            Repository("gitlab.com", "school/maths/rnn", "v1.2"),
        ),
        ("https://git.example.org/ada/rnn", Repository("git.example.org", "ada/rnn", "main")),
    ],
)
def test_a_repository_is_read(setting, want):
    assert repository(setting) == want


@pytest.mark.parametrize(
    "setting",
    [
        "github.com/ada/rnn",
        "http://github.com/ada/rnn",
        "git@github.com:ada/rnn.git",
        "ssh://git@github.com/ada/rnn",
        "https://ada:secret@github.com/ada/rnn",
        "https://github.com/ada",
        "https://github.com",
        "https://github.com/ada/rnn/blob/main/notebooks/bptt.ipynb",
        "https://github.com/ada/rnn/tree/",
        "https://github.com/ada/rnn?tab=readme",
        "https://github.com/ada/r n",
        'https://github.com/ada/rnn/tree/main" onclick="x',
        "https://github.com/ada/rnn\nimport os",
        "https://[github.com/ada/rnn",
        "https://localhost/ada/rnn",
        7,
    ],
)
def test_a_bad_repository_is_refused_with_what_is_wanted(setting):
    with pytest.raises(CourseError, match=r"course/yours\.py: REPOSITORY is .* want \"https://gi"):
        repository(setting)


@pytest.mark.parametrize("setting", ["hub.example.org", "http://hub.example.org", "https://a.b/?x"])
def test_a_bad_hub_is_refused(setting):
    with pytest.raises(CourseError, match=r"JUPYTERHUB is .*, want \"https://hub\.example\.org\""):
        hub(setting)


def test_the_addresses_of_the_three_services():
    """As the services' own documentation writes them."""
    found = repository(GITHUB + "/tree/2027/spring")
    assert found.colab("bptt.ipynb") == (
        "https://colab.research.google.com/github/ada/rnn/blob/2027/spring/notebooks/bptt.ipynb"
    )
    assert found.binder("bptt.ipynb") == (
        "https://mybinder.org/v2/gh/ada/rnn/2027%2Fspring?urlpath=lab/tree/notebooks/bptt.ipynb"
    )
    assert found.jupyterhub(hub("https://hub.example.org/jupyter/"), "bptt.ipynb") == (
        "https://hub.example.org/jupyter/hub/user-redirect/git-pull?repo=https%3A//github.com"
        "/ada/rnn&branch=2027/spring&urlpath=lab/tree/rnn/notebooks/bptt.ipynb"
    )
    assert found.requirement == "git+https://github.com/ada/rnn@2027/spring#subdirectory=course"


def test_other_hosts_have_a_binder_and_no_colab():
    inside = repository("https://gitlab.com/school/maths/rnn")
    assert inside.colab("bptt.ipynb") is None
    assert inside.binder("bptt.ipynb").startswith(
        "https://mybinder.org/v2/gl/school%2Fmaths%2Frnn/main?"
    )
    assert (
        repository("https://git.example.org/ada/rnn")
        .binder("bptt.ipynb")
        .startswith("https://mybinder.org/v2/git/https%3A%2F%2Fgit.example.org%2Fada%2Frnn/main?")
    )


# ------------------------------------------------------------------- a small book, built for real


def build_script():
    spec = importlib.util.spec_from_file_location("book_build", HOUSE / "book/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGE = r"""# 3. Back-propagation through time

(eq-3-9)=
$$
a = b \tag{3.9}
$$

See [(3.9)](#eq-3-9). The gradient is `grad_h`; *BPTT* is teacher forcing's friend.

```python
def lstm_backward(dh):
    return np.tanh(dh)
```
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A copy of the house with two short pages: one is a chapter with a notebook, one is not."""
    root = tmp_path_factory.mktemp("small")
    for folder in ("book", "course"):
        ignored = shutil.ignore_patterns("*.md", "figures", "trained", "__pycache__")
        shutil.copytree(HOUSE / folder, root / folder, ignore=ignored)
    (root / "notebooks").mkdir()
    for name in ("bptt", "gates"):
        shutil.copy(HOUSE / f"notebooks/{name}.ipynb", root / "notebooks")
    shutil.copy(HOUSE / "requirements.txt", root)
    shutil.copytree(build_script().get_mathjax().parent, root / "build/mathjax")
    (root / "book/_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters: [{file: 03-bptt}, {file: 09-later}]\n"
    )
    (root / "book/index.md").write_text("# Small\n")
    (root / "book/03-bptt.md").write_text(PAGE, encoding="utf-8")
    (root / "book/09-later.md").write_text("# 9. A chapter without exercises\n\nText.\n")
    return root


def build(root: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Set course/yours.py and build."""
    yours = (HOUSE / "course/yours.py").read_text(encoding="utf-8")
    for name, value in settings.items():
        assert f'{name} = ""' in yours
        yours = yours.replace(f'{name} = ""', f'{name} = "{value}"')
    (root / "course/yours.py").write_text(yours, encoding="utf-8")
    command = [sys.executable, root / "book/build.py"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def plain(small):
    """The book without a repository."""
    done = build(small)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(small / "build/book/html", small / "plain")
    return small / "plain"


@pytest.fixture(scope="module")
def published(small, plain):
    """The same with a repository and a hub, built over the other."""
    done = build(small, REPOSITORY=GITHUB, JUPYTERHUB="https://hub.example.org")
    assert done.returncode == 0, done.stdout + done.stderr
    return small / "build/book/html"


class Links(HTMLParser):
    """What the bar under the title links to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.inside, self.links = False, []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.inside |= tag == "nav" and given.get("class") == "rnn-open"
        if self.inside and tag == "a":
            self.links.append(given["href"])

    def handle_endtag(self, tag):
        self.inside &= tag != "nav"


def test_without_a_repository_there_is_the_download_and_no_other_link(plain):
    assert Links(plain / "03-bptt.html").links == ["notebooks/bptt.ipynb", "notebooks/course.zip"]
    text = "".join(path.read_text(encoding="utf-8") for path in plain.glob("*.html"))
    for other in ("colab", "binder", "jupyterhub"):
        assert other not in text.lower()


def test_with_a_repository_the_links_lead_there(published):
    found = repository(GITHUB)
    assert Links(published / "03-bptt.html").links == [
        "notebooks/bptt.ipynb",
        found.colab("bptt.ipynb"),
        found.binder("bptt.ipynb"),
        found.jupyterhub("https://hub.example.org", "bptt.ipynb"),
        "notebooks/course.zip",
    ]


def test_only_chapters_with_a_notebook_have_the_bar(plain):
    for name in ("index", "09-later"):
        assert 'class="rnn-open"' not in (plain / f"{name}.html").read_text(encoding="utf-8")
    text = (plain / "03-bptt.html").read_text(encoding="utf-8")
    assert re.search(r"</h1>\s*<nav class=\"rnn-open\"", text), "right under the title"


def test_the_book_carries_the_notebooks_as_released(plain):
    for name in ("bptt", "gates"):
        assert (plain / f"notebooks/{name}.ipynb").read_bytes() == (
            HOUSE / f"notebooks/{name}.ipynb"
        ).read_bytes()


def test_the_toolkit_is_what_git_knows_of_course(plain, tmp_path):
    there = subprocess.run(
        ["git", "ls-files", "course"], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout.split()
    with ZipFile(plain / "notebooks/course.zip") as file:
        left_out = {name for name in there if name.startswith("course/hints/")}
        assert set(file.namelist()) == set(there) - left_out, "the small book has no .md"
    # The second time, from files that are older or newer, the same bytes.
    launch = importlib.util.spec_from_file_location("launch", HOUSE / "book/_ext/launch.py")
    module = importlib.util.module_from_spec(launch)
    launch.loader.exec_module(module)
    for folder in ("one", "two"):
        module.pack(tmp_path / folder)
    one, two = ((tmp_path / each / "course.zip").read_bytes() for each in ("one", "two"))
    assert one == two
    assert set(there) == set(ZipFile(tmp_path / "one/course.zip").namelist())


def test_pip_takes_the_toolkit(plain, tmp_path):
    """The file alone, without what it depends on: that is installed here already."""
    shutil.copy(plain / "notebooks/course.zip", tmp_path)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", "site"]
    done = subprocess.run(
        [*install, "course.zip"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    code = "import course; print(course.__file__); course.about(); course.progress('bptt')"
    alone = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "site")}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=alone, capture_output=True, text=True
    )
    assert said.stdout.startswith(str(tmp_path / "site")), said.stderr
    assert "0 of 10 right" in said.stdout


def test_a_new_notebook_comes_into_the_book(small, published):
    path = small / "notebooks/bptt.ipynb"
    book = json.loads(path.read_text(encoding="utf-8"))
    book["metadata"]["title"] = "changed"
    path.write_text(json.dumps(book), encoding="utf-8")
    carried = base64.b64encode(path.read_bytes()).decode()
    assert carried not in (published / "03-bptt.html").read_text(encoding="utf-8")
    done = build(small, REPOSITORY=GITHUB, JUPYTERHUB="https://hub.example.org")
    assert done.returncode == 0, done.stderr
    assert "done in" in done.stdout
    assert (published / "notebooks/bptt.ipynb").read_bytes() == path.read_bytes()
    assert carried in (published / "03-bptt.html").read_text(encoding="utf-8")


def test_a_file_of_settings_without_these_has_no_links(monkeypatch):
    monkeypatch.delattr(yours, "REPOSITORY")
    monkeypatch.delattr(yours, "JUPYTERHUB")
    assert of_this_class() == (None, "")


def test_a_bad_setting_stops_the_build_at_once(small, published):
    done = build(small, REPOSITORY="github.com/ada/rnn")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "book: course/yours.py: REPOSITORY is 'github.com/ada/rnn', want "
        '"https://github.com/OWNER/NAME", or another branch: ".../OWNER/NAME/tree/BRANCH".'
    ]
    assert "running" not in done.stdout


# ------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def served(plain):
    """The small book on a web server of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=plain)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["file", "http"])
@pytest.mark.parametrize("name", ["bptt.ipynb", "course.zip"])
def test_a_click_downloads(chromium, plain, served, scheme, name):
    page = chromium.new_page()
    page.goto(f"{plain.as_uri() if scheme == 'file' else served}/03-bptt.html")
    if name == "course.zip":
        page.locator(".rnn-open summary").click()
    with page.expect_download() as started:
        page.locator(f".rnn-open a[download='{name}']").click()
    assert started.value.suggested_filename == name
    got = Path(started.value.path()).read_bytes()
    assert got == (plain / "notebooks" / name).read_bytes()
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_bar_fits_and_opens_with_the_keyboard(chromium, published, width):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.goto(f"{published.as_uri()}/03-bptt.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    bar = page.locator(".rnn-open")
    box = bar.bounding_box()
    assert box["y"] + box["height"] < 900
    assert [link.inner_text() for link in bar.locator("li a").all()] == [
        "Download",
        "Open in Colab",
        "Open in Binder",
        "Open in JupyterHub",
    ]
    page.add_script_tag(path=build_script().get_mathjax() / "axe.min.js")
    found = page.evaluate("async () => (await axe.run('.rnn-open')).violations.map(v => v.help)")
    assert found == []
    bar.locator("summary").focus()
    page.keyboard.press("Enter")
    assert "pip install course.zip" in bar.locator("details p").inner_text()
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("asked", "leads"),
    [
        ("3.9", "03-bptt.html#eq-3-9"),
        ("(3.9)", "03-bptt.html#eq-3-9"),
        ("BPTT", "03-bptt.html"),
        ("teacher forcing", "03-bptt.html"),
        ("grad_h", "03-bptt.html"),
        ("lstm_backward", "03-bptt.html"),
        ("np.tanh", "03-bptt.html"),
    ],
)
def test_the_search_finds_numbers_names_and_code(chromium, plain, asked, leads):
    page = chromium.new_page()
    page.goto(f"{plain.as_uri()}/search.html?q={quote(asked)}")
    page.locator("#search-results li > a").first.wait_for(timeout=10_000)
    found = [each.get_attribute("href") for each in page.locator("#search-results li > a").all()]
    assert leads in found
    page.close()


@pytest.mark.browser
def test_code_can_be_copied(chromium, plain):
    """The button copies the code, and nothing else."""
    page = chromium.new_page()
    page.goto(f"{plain.as_uri()}/03-bptt.html")
    page.evaluate(
        """document.addEventListener('copy', (event) => {
             window.copied = event.target.value ?? String(getSelection()); }, true)"""
    )
    page.locator("div.highlight-python").hover()
    page.locator("div.highlight-python button.copybtn").click()
    page.wait_for_function("window.copied !== undefined")
    copied = page.evaluate("window.copied")
    assert copied.strip() == "def lstm_backward(dh):\n    return np.tanh(dh)"
    page.close()
