"""Attacks on who reads: scripts, addresses, pictures and texts in outputs and in Markdown."""

from __future__ import annotations

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from attacks import FULL, Attack, every, spoilt

EVIL = (
    "<script>alert('@MARK@')</script><img src=x onerror=alert('@MARK@')>"
    "<img src='//evil.example/@MARK@.png'><img src='/logout'><a href='javascript:alert(1)'>x</a>"
    "<a href='/hub/logout'>y</a><iframe src='http://evil.example'></iframe>"
    "<svg onload=alert('@MARK@')><script>alert(1)</script></svg><form action='/formgrader'>"
    "<input name=a></form><meta http-equiv=refresh content='0;url=http://evil.example'>"
    "<style>@import 'http://evil.example/@MARK@.css';body{display:none}</style>"
    "<div style='position:fixed;inset:0' onclick=alert('@MARK@')>z</div>"
    "<base href='http://evil.example'><link rel=stylesheet href='http://evil.example'>"
    "<math><mtext><table><mglyph><style><img src=x onerror=alert('@MARK@')></style></table>"
)

EVIL_LINKS = r"""

[x](javascript:alert(1)) [x](JAVASCRIPT&colon;alert(1)) [x](&#106;avascript:alert(1))
[x](/hub/logout) [x](data:text/html;base64,PHNjcmlwdD4=) [x][1] <javascript:alert(1)>
![](//evil.example/@MARK@.png) ![](http://evil.example/@MARK@.png) ![x](attachment:x.svg)
![a](x "onerror=alert(1)") $\href{javascript:alert(1)}{x}$ $\\href{javascript:alert(1)}{x}$
$$\mmlToken{mi}[href=javascript:alert(1)]{x} \require{html} \style{position:fixed}{x}$$
`<script>alert(1)</script>` &lt;script&gt;alert(1)&lt;/script&gt;

[1]: javascript:alert(1)
"""
TEX = r"$\\href{javascript:alert(1)}{x}$ $\href{javascript:alert(1)}{x}$ $\hr<!-- -->ef{x}{y}$"


def shown(mime: str, value: str) -> str:
    """A cell that shows something of a type."""
    return (
        "from IPython.display import publish_display_data\n"
        f"publish_display_data({{{mime!r}: {value!r}}})\n"
    )


def evil_markdown(nb: NotebookNode) -> None:
    """Scripts in a Markdown cell of one's own and in the written answer, and an attachment."""
    own = new_markdown_cell(EVIL)
    own["attachments"] = {"x.svg": {"image/svg+xml": "PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+"}}
    nb.cells.append(own)
    for cell in nb.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "bptt-explain":
            cell.source = EVIL + EVIL_LINKS


def backslashes(nb: NotebookNode) -> None:
    """A million in a row: a pattern that begins anew at each of them never comes to an end."""
    for cell in nb.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "bptt-explain":
            cell.source = "\\" * 1_000_000


ATTACKS = [
    Attack("a million backslashes", "holds up who makes Markdown harmless", edit=backslashes),
    Attack(
        "backslashes shown",
        "the same in what cells show as HTML, and where a check repeats what was printed",
        setup=(
            "from IPython.display import display, HTML\n"
            "for _ in range(20): display(HTML('\\\\' * 90_000))\n"
        ),
        answers=every("print('\\\\' * 2000)\nraise ValueError('\\\\' * 500)"),
    ),
    Attack(
        "HTML",
        "shows scripts, handlers, frames, forms and addresses as HTML",
        setup=shown("text/html", EVIL),
    ),
    *(
        Attack(f"shown as {mime}", "shows a type that a browser may run", setup=shown(mime, EVIL))
        for mime in (
            "image/svg+xml",
            "application/javascript",
            "text/markdown",
            "text/latex",
            "application/vnd.jupyter.widget-view+json",
            "image/png",
            "image/jpeg",
            "application/pdf",
        )
    ),
    Attack(
        "a picture that is none",
        "shows text, a polyglot, and a bomb of 60000 by 60000 pixels as PNG",
        setup=(
            "import base64, struct, zlib\n"
            "from IPython.display import publish_display_data\n"
            "head = b'\\x89PNG\\r\\n\\x1a\\n'\n"
            "def chunk(kind, data):\n"
            "    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I',"
            " zlib.crc32(kind + data))\n"
            "bomb = head + chunk(b'IHDR', struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0))\n"
            "for data in (head + b'<script>@MARK@</script>', bomb + b'@MARK@' * 20, b'GIF89a'):\n"
            "    publish_display_data({'image/png': base64.b64encode(data).decode()})\n"
            "publish_display_data({'image/png': '\\\"><script>alert(1)</script>'})\n"
            "publish_display_data({'image/png': 'iVBORw0KGgo\\xe9'})\n"
        ),
    ),
    Attack("TeX", "shows formulas that are links", setup=shown("text/html", TEX)),
    Attack(
        "TeX in a check's report",
        "prints and raises formulas that are links, where the check repeats them",
        answers=every(f"print({TEX!r})\nraise ValueError({TEX!r})"),
    ),
    Attack(
        "deep HTML",
        "shows HTML nested so deeply that a parser may give up",
        setup=(
            "from IPython.display import display, HTML\n"
            "for tag in ('<b>', '<a><b><p>', '<table>', '<font><p>', '<svg><g>'):\n"
            "    display(HTML(tag * 30_000))\n"
        ),
    ),
    Attack("Markdown", "has scripts in Markdown cells", edit=evil_markdown),
    Attack(
        "an error that is HTML",
        "raises errors whose names and texts are HTML",
        setup=f"raise type('<script>x</script>', (Exception,), {{}})({EVIL!r})\n",
    ),
    Attack(
        "ANSI and bidi",
        "prints control sequences, right-to-left marks, and half of a pair",
        setup=(
            "import sys\n"
            "print('\\x1b]0;title\\x07\\x1b[2J\\x1b]8;;http://evil.example\\x07link\\x1b]8;;\\x07')\n"
            "print('\\u202e' * 1000 + 'thgir' + '\\u2066' * 1000 + '\\0\\x08' * 100)\n"
            "print('\\ud800')\n"
            "print('\\ud800', file=sys.stderr)\n"
        ),
        honest=True,
        earns=FULL,
    ),
    Attack(
        "HTML in a check's report",
        "prints, warns and raises HTML where the check repeats it",
        answers={
            **every(
                "import warnings\n"
                f"print({EVIL!r})\n"
                f"warnings.warn({EVIL!r})\n"
                f"raise ValueError({EVIL!r})"
            )
        },
    ),
    Attack(
        "half a pair in a check's report",
        "the same with text that no encoder takes",
        answers=every("print('\\ud800')\nraise type('\\ud800', (ValueError,), {})('\\udfff')"),
    ),
    spoilt(
        "a false report",
        "prints a report of a right check inside one that is wrong",
        "print('✓ bptt.grad_h (exercise 3.4): right\\n999')\nreturn 0.0",
    ),
]
