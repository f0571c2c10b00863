"""What hunspell does not know in the prose: pages, hints, text notebooks, docstrings, comments.

`make spell` runs it.  A word that is right goes into words.txt, below its kind.  Code,
mathematics and addresses are not prose; nor is a name that the same file has in its code.
"""

from __future__ import annotations

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

HOUSE = Path(__file__).resolve().parent.parent
WORDS = Path(__file__).with_name("words.txt")
PROSE = ("*.md", "book/*.md", "course/hints/*.md")
CODE = ("solutions/*.py", "course/**/*.py", "autograder/**/*.py", "book/**/*.py", "tests/**/*.py")
VERBATIM = {"code-cell", "math", "raw", "bibliography", "toctree", "mermaid"}
"""Directives whose body is no prose."""

MARKDOWN = (
    MarkdownIt()
    .enable("table")
    .use(front_matter_plugin)
    .use(amsmath_plugin)
    .use(dollarmath_plugin)
    .use(colon_fence_plugin)
    .use(myst_role_plugin)
)

NO_PROSE = re.compile(r"https?:\S+|\\[a-z]+|\w+(?:[./_-]\w+)*[./_]\w+")
"""Addresses, TeX, and names with a dot, a slash or an underscore."""

WORD = re.compile(r"(?<!\w)[A-Za-zÀ-ɏ]+(?:['’][A-Za-zÀ-ɏ]+)*(?!\w)")
IN_CODE = re.compile(r"`[^`\n]+`|^```\{code-cell\}[^`]*", re.MULTILINE)

Line = tuple[int, str]


def of_markdown(text: str, first: int = 1) -> Iterator[Line]:
    """The lines of prose in Markdown, with their numbers."""
    for token in MARKDOWN.parse(text):
        line = first + (token.map[0] if token.map else 0)
        if token.type == "inline":
            for child in token.children or ():
                if child.type == "text" or child.type == "image":
                    yield line, child.content
                line += child.type in ("softbreak", "hardbreak")
        elif token.type in ("fence", "colon_fence"):
            directive = re.match(r"\{([\w:-]+)\}(.*)", token.info.strip())
            if directive and directive[1] not in VERBATIM:
                options = re.match(r"(?::[\w-]+:.*\n|\s*\n)*", token.content)[0]
                body = token.content[len(options) :]
                yield from of_markdown(directive[2], line)
                yield from of_markdown(body, line + 1 + options.count("\n"))


def of_python(text: str) -> Iterator[Line]:
    """Docstrings, and comments; comments in a row are one text, as a text notebook has it."""
    for node in ast.walk(ast.parse(text)):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node):
            yield from of_markdown(ast.get_docstring(node), node.body[0].lineno)
    block, first, last = [], 0, -1
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or token.string.startswith(("# %%", "# type:", "# fmt")):
            continue
        if block and token.start[0] != last + 1:
            yield from of_markdown("\n".join(block), first)
            block = []
        if not block:
            first = token.start[0]
        last = token.start[0]
        block.append(re.sub(r"^#+ ?|\bnoqa\b.*", "", token.string))
    yield from of_markdown("\n".join(block), first)


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """The words of a file's prose, but for names that stand in its own code."""
    text = path.read_text(encoding="utf-8")
    names = set(re.findall(r"[^\W\d]\w*", " ".join(IN_CODE.findall(text))))
    if path.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        names |= {token.string for token in tokens if token.type == tokenize.NAME}
    for line, said in of_python(text) if path.suffix == ".py" else of_markdown(text):
        for word in WORD.findall(NO_PROSE.sub(" ", said)):
            word = word.replace("’", "'").removesuffix("'s")
            if len(word) > 2 and word not in names and not re.search(r"[a-z][A-Z]", word):
                yield line, word


def main() -> int:
    """Print path, line and word for each word that is not known; 1 if there is one."""
    hunspell = shutil.which("hunspell")
    if hunspell is None:
        print("make spell needs hunspell: sudo apt-get install hunspell hunspell-en-gb")
        return 2
    listed = re.findall(r"(?m)^[^#\s].*", WORDS.read_text(encoding="utf-8"))
    places: dict[str, list[str]] = {}
    for pattern in (*PROSE, *CODE):
        for path in sorted(HOUSE.glob(pattern)):
            for line, word in words_of(path):
                places.setdefault(word, []).append(f"{path.relative_to(HOUSE)}:{line}")
    known = {each.lower() for each in listed}
    asked = [word for word in sorted(places) if word.lower() not in known]
    said = subprocess.run(
        [hunspell, "-l", "-d", "en_GB", "-i", "utf-8"],
        input="\n".join(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    unknown = sorted(set(said.stdout.split()))
    for word in unknown:
        for place in places.get(word, ["?"])[:3]:
            print(f"{place}: {word}")
    print(f"spell: {len(places)} words, {len(unknown)} not known")
    if unknown:
        print(f"Mend them; what is right goes into {WORDS.relative_to(HOUSE)}.")
    return int(bool(unknown))


if __name__ == "__main__":
    sys.exit(main())
