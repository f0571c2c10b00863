"""Where a class's notebooks are published, and the addresses that open one from there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from course import yours
from course.exercise import CourseError

NOTEBOOKS = "notebooks"
"""The repository's folder with the students' notebooks; course/ stands beside it."""

TOOLKIT = "course.zip"
"""The folder course/ as one file, which pip can install.  The built book carries it."""

_HERE = Path(__file__).resolve().parent

_WANT = 'want "https://github.com/OWNER/NAME", or another branch: ".../OWNER/NAME/tree/BRANCH"'


def toolkit() -> dict[str, Path]:
    """The files of the folder course/ by their names from above it, without what Python leaves."""
    found = {
        f"course/{path.relative_to(_HERE).as_posix()}": path
        for path in sorted(_HERE.rglob("*"))
        if path.is_file()
    }
    made = re.compile(r"/(__pycache__|\.[^/]*|[^/]*\.egg-info|build)(/|$)")
    return {name: path for name, path in found.items() if not made.search(name)}


@dataclass(frozen=True)
class Repository:
    """A repository that git can fetch over https, and the branch that is meant."""

    host: str
    path: str
    branch: str = "main"

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://{self.host}/{self.path}"

    @property
    def requirement(self) -> str:
        """What ``pip install`` takes for the toolkit."""
        return f"git+{self.url}@{self.branch}#subdirectory=course"

    def colab(self, notebook: str) -> str | None:
        """Open a notebook ("bptt.ipynb") in Colab, which knows GitHub alone."""
        if self.host != "github.com":
            return None
        at = f"{self.path}/blob/{self.branch}/{NOTEBOOKS}/{notebook}"
        return f"https://colab.research.google.com/github/{at}"

    def binder(self, notebook: str) -> str:
        """Open a notebook in JupyterLab on mybinder.org."""
        where = {
            "github.com": f"gh/{self.path}",
            "gitlab.com": f"gl/{quote(self.path, safe='')}",
        }.get(self.host, f"git/{quote(self.url, safe='')}")
        at = urlencode({"urlpath": f"lab/tree/{NOTEBOOKS}/{notebook}"}, safe="/")
        return f"https://mybinder.org/v2/{where}/{quote(self.branch, safe='')}?{at}"

    def jupyterhub(self, hub: str, notebook: str) -> str:
        """Fetch the repository into one's home on a JupyterHub, and open a notebook there.

        The hub's servers need nbgitpuller, which fetches again without touching one's own work.
        """
        name = self.path.rpartition("/")[2]
        asked = {
            "repo": self.url,
            "branch": self.branch,
            "urlpath": f"lab/tree/{name}/{NOTEBOOKS}/{notebook}",
        }
        return f"{hub}/hub/user-redirect/git-pull?{urlencode(asked, safe='/')}"


def of_this_class() -> tuple[Repository | None, str]:
    """What course/yours.py says of the repository, and of the hub ("" for none)."""
    said = vars(yours)  # a class's own file may leave a setting out
    return repository(said.get("REPOSITORY", "")), hub(said.get("JUPYTERHUB", ""))


def repository(setting: str) -> Repository | None:
    """Read the setting REPOSITORY of course/yours.py; None where it is empty.

    Raises CourseError, which says what is wanted, on anything that git could not fetch from.
    """
    if not setting:
        return None
    parts = _parts("REPOSITORY", setting, _WANT)
    path, _, branch = parts.path.strip("/").partition("/tree/")
    path = path.removesuffix("/-").removesuffix(".git")  # GitLab writes /-/tree/BRANCH
    names = path.split("/")
    known = all(re.fullmatch(r"[\w.-]+", name) for name in names)
    if not known or len(names) < 2 or (parts.netloc == "github.com" and len(names) > 2):
        raise _bad("REPOSITORY", setting, _WANT)
    if not re.fullmatch(r"[\w./-]*", branch) or (not branch and "/tree" in path):
        raise _bad("REPOSITORY", setting, _WANT)
    return Repository(parts.netloc, path, branch or "main")


def hub(setting: str) -> str:
    """Read the setting JUPYTERHUB of course/yours.py; raises CourseError as ``repository`` does."""
    if not setting:
        return ""
    parts = _parts("JUPYTERHUB", setting, 'want "https://hub.example.org"')
    return f"https://{parts.netloc}{parts.path.rstrip('/')}".removesuffix("/hub")


def _parts(name: str, setting: str, want: str) -> SplitResult:
    """An address that begins with https:// and has nothing but a host and a path."""
    try:
        parts = urlsplit(setting)
    except (ValueError, AttributeError, TypeError):  # no text, or not an address at all
        raise _bad(name, setting, want) from None
    plain = re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?", parts.netloc)
    if parts.scheme != "https" or not plain or parts.query or parts.fragment:
        raise _bad(name, setting, want)
    return parts


def _bad(name: str, setting: str, want: str) -> CourseError:
    return CourseError(f"course/yours.py: {name} is {setting!r}, {want}.")
