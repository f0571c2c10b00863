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
    """Each \\tag{n.m} is carried by a test, and no number is left out or stands twice."""
    text = page.read_text(encoding="utf-8")
    number, chapter = page.stem.split("-", 1)
    tags = re.findall(r"\\tag\{(\d+\.\d+)\}", text)
    assert set(tags) == {f"{int(number)}.{n}" for n in range(1, len(tags) + 1)}
    assert len(tags) >= 10
    proofs = (HERE / f"test_equations_{chapter}.py").read_text(encoding="utf-8")
    proved = set(re.findall(r'mark\.equation\("(\d+\.\d+)"\)', proofs))
    assert not set(tags) - proved, "equations without a test"
    assert not proved - set(tags), "tests for equations that the chapter does not have"
    for tag in tags:
        assert f"(eq-{tag.replace('.', '-')})=" in text


@every_page
def test_links_to_equations_lead_to_their_number(page):
    text = page.read_text(encoding="utf-8")
    places = dict(re.findall(r"^\[\((\d+\.\d+)\)\]: #(\S+)$", text, flags=re.MULTILINE))
    assert places == {number: "eq-" + number.replace(".", "-") for number in places}
    assert set(re.findall(r"\[\((\d+\.\d+)\)\]", text)) == set(places)


@every_page
def test_numbers_that_stand_out_of_order_are_announced(page):
    """A page whose equations are not in the order of their numbers says so; others do not."""
    text = page.read_text(encoding="utf-8")
    numbers = [int(n) for n in re.findall(r"\\tag\{\d+\.(\d+)\}", text)]
    assert (numbers != sorted(numbers)) == ("so some appear out of order" in text)
