"""Every numbered equation has a test that carries its number, and can be linked to.

The proofs themselves stand in `test_equations_<chapter>.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PAGES = sorted((HERE.parent / "book").glob("[0-9][0-9]-*.md"))
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_there_are_pages():
    assert "03-bptt" in {page.stem for page in PAGES}


@every_page
def test_every_numbered_equation_is_proved(page):
    """Each \\tag{n.m} is carried by a test, and what tests carry stands on the page."""
    text = page.read_text(encoding="utf-8")
    chapter = page.stem.split("-", 1)[1]
    tags = re.findall(r"\\tag\{(\d+\.\d+)\}", text)
    proofs = (HERE / f"test_equations_{chapter}.py").read_text(encoding="utf-8")
    proved = set(re.findall(r'mark\.equation\("(\d+\.\d+)"\)', proofs))
    assert not set(tags) - proved, "equations without a test"
    assert not proved - set(tags), "tests for equations that the chapter does not have"


@every_page
def test_equations_are_numbered_in_the_order_of_the_page(page):
    """n.1, n.2, ..., none left out and none twice, each below the target that bears its number."""
    text = page.read_text(encoding="utf-8")
    chapter = int(page.stem.split("-", 1)[0])
    tags = re.findall(r"\\tag\{(\d+\.\d+)\}", text)
    assert len(tags) >= 10
    assert tags == [f"{chapter}.{n}" for n in range(1, len(tags) + 1)]
    marks = re.findall(r"^\(eq-(\d+-\d+)\)=$|\\tag\{(\d+\.\d+)\}", text, flags=re.MULTILINE)
    found = [target.replace("-", ".") or tag for target, tag in marks]
    assert found == [tag for tag in tags for _ in range(2)]


@every_page
def test_links_to_equations_lead_to_their_number(page):
    text = page.read_text(encoding="utf-8")
    places = dict(re.findall(r"^\[\((\d+\.\d+)\)\]: #(\S+)$", text, flags=re.MULTILINE))
    assert places == {number: "eq-" + number.replace(".", "-") for number in places}
    assert set(re.findall(r"\[\((\d+\.\d+)\)\]", text)) == set(places)
