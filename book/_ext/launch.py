"""The chapter's notebook, under the chapter's title: to download, and to open where it can run.

A page `NN-name` is a chapter where notebooks/ has `name.ipynb`.  Notebook and toolkit become part
of the book; the links to Colab, Binder and a JupyterHub lead to the repository that
course/yours.py names, and without one there are none.
"""

from __future__ import annotations

import base64
import re
import shutil
import zipfile
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from course.repository import NOTEBOOKS, TOOLKIT, Repository, of_this_class, toolkit

ROOT = Path(__file__).resolve().parent.parent.parent


def notebook(page: str) -> Path | None:
    """The released notebook of a page, if it is a chapter that has one."""
    chapter = re.fullmatch(r"\d\d-(\w+)", page)
    path = ROOT / NOTEBOOKS / f"{chapter[1]}.ipynb" if chapter else None
    return path if path and path.is_file() else None


def bar(path: Path, published: Repository | None, jupyterhub: str = "") -> str:
    """The links to a notebook, as HTML.

    The first one carries the notebook itself, too, for pages opened from a disk: _static/open.js.
    """
    file = path.name
    carried = base64.b64encode(path.read_bytes()).decode()
    links = [(f"{NOTEBOOKS}/{file}", "Download", f' download="{file}" data-file="{carried}"')]
    if published:
        links += [
            (address, f"Open in {name}", "")
            for name, address in (
                ("Colab", published.colab(file)),
                ("Binder", published.binder(file)),
                ("JupyterHub", published.jupyterhub(jupyterhub, file) if jupyterhub else None),
            )
            if address
        ]
    made = "".join(
        f'<li><a href="{escape(address)}"{more}>{said}</a></li>' for address, said, more in links
    )
    packed = f'<a href="{NOTEBOOKS}/{TOOLKIT}" download="{TOOLKIT}">{TOOLKIT}</a>'
    return (
        '<nav class="rnn-open" aria-label="The notebook of this chapter">'
        f"<p><strong>Open the notebook</strong> <code>{file}</code></p><ul>{made}</ul>"
        "<details><summary>What it needs on your own machine</summary>"
        f"<p>Python 3.11 to 3.13 and the course's toolkit. Put {packed} beside the notebook, run"
        f" <code>pip install {TOOLKIT} jupyterlab</code> there, and open it with"
        f" <code>jupyter lab {file}</code>.</p></details></nav>"
    )


def pack(out: Path) -> None:
    """Lay the notebooks into the book, and the toolkit as one file; the same bytes every time."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / NOTEBOOKS).glob("*.ipynb")):
        shutil.copyfile(path, out / path.name)
    with zipfile.ZipFile(out / TOOLKIT, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in toolkit().items():
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)


class OpenTheNotebook(SphinxPostTransform):
    """Put the links under the title of each chapter."""

    default_priority = 220
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Find the page's title; its notebook is beside the house's others."""
        path = notebook(self.env.docname)
        title = next(self.document.findall(nodes.title), None)
        if path is None or title is None:
            return
        links = bar(path, *of_this_class())
        title.parent.insert(title.parent.index(title) + 1, nodes.raw("", links, format="html"))


def lay_out(app: Sphinx, exception: Exception | None) -> None:
    """Bring the files that the links lead to."""
    if exception is None and (ROOT / NOTEBOOKS).is_dir():
        pack(Path(app.outdir) / NOTEBOOKS)


def setup(app: Sphinx) -> dict[str, object]:
    """Register the links, and the files that they lead to."""
    app.connect("build-finished", lay_out)
    app.add_post_transform(OpenTheNotebook)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
