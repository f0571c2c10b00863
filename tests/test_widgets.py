"""What holds for every script of the book."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).resolve().parent.parent / "book/_static").glob("*.js"))
SHARED = ("access", "open", "widget")  # no widgets themselves


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_asks_for_nothing_from_outside(path):
    script = path.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\"'\s]+", script))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, not a request
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\b", script)


@pytest.mark.parametrize("path", [p for p in SCRIPTS if p.stem not in SHARED], ids=lambda p: p.stem)
def test_a_widget_registers_itself_under_its_own_name(path):
    """Then the order in which scripts come does not matter, and none starts another's element."""
    script = path.read_text(encoding="utf-8")
    assert f'rnnWidgets || []).push([".rnn-{path.stem}", ' in script
    assert "DOMContentLoaded" not in script
