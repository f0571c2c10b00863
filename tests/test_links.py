"""Every address in the repository has the right form.  Whether it answers: make links."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import links
import pytest

HOUSE = Path(__file__).resolve().parent.parent
BIBLIOGRAPHY = (HOUSE / "book" / "references.bib").read_text(encoding="utf-8")

ADDRESS = re.compile(r"\bhttps?:[^\s\"'`<>(){}|@\\]*[^\s\"'`<>(){}|@.,:;*\]\\]")

# Names, which nobody fetches, and an address that an attack would send something to.
NEED_NOT_BE_SAFE = {"www.w3.org", "evil.example"}

FORMS = {
    "arxiv.org": r"/abs/\d{4}\.\d{4,5}",
    "doi.org": r"/10\.\d{4,9}/\S+",
    "github.com": r"/[\w.-]+/[\w.-]+(/(issues|pull)/[1-9]\d*)?",
    "proceedings.mlr.press": r"/v\d+/\w+\.html",
}


def addresses() -> list[tuple[str, str]]:
    """Where, and what: in every file that Git knows and that is a text of ours."""
    names = subprocess.run(
        ["git", "ls-files"], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = []
    for name in names:
        path = HOUSE / name
        if path.name == "package-lock.json" or not path.is_file() or path.is_symlink():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [(name, each) for each in ADDRESS.findall(text)]
    return found


def test_every_address_is_well_formed():
    found = addresses()
    assert len(found) > 150
    for where, address in found:
        if where in ("tests/test_launch.py", "tests/test_printed.py"):  # what is to be refused
            continue
        try:
            parts = urlsplit(address)
        except ValueError as error:
            raise AssertionError(f"{where}: {address}: {error}") from None
        host = parts.hostname or ""
        if not host or host.startswith("127"):  # put together by code; this machine
            continue
        assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z0-9]+", host), f"{where}: {address}"
        safe = parts.scheme == "https" or host in NEED_NOT_BE_SAFE
        assert safe, f"{where}: {address} is not https"
        assert "//" not in parts.path, f"{where}: {address}"
        if host in FORMS and where.endswith((".md", ".bib", ".txt")):
            assert re.fullmatch(FORMS[host], parts.path), f"{where}: {address}"


def test_every_doi_has_its_form():
    """The identifier alone, as the style wants it, and each source once."""
    said = re.findall(r"(?m)^\s*doi\s*=\s*(.*?),?$", BIBLIOGRAPHY)
    assert len(said) > 30
    for each in said:
        assert re.fullmatch(r"\{10\.\d{4,9}/[^\s{}]*[^\s{}.,;]\}", each), each
    assert len({each.lower() for each in said}) == len(said)


def test_an_arxiv_number_and_its_address_agree():
    entries = re.findall(r"(?ms)^@\w+\{([\w:-]+),\n(.*?)^\}", BIBLIOGRAPHY)
    assert len(entries) == len(re.findall(r"(?m)^@", BIBLIOGRAPHY))
    both = 0
    for key, body in entries:
        number = re.search(r"arXiv[: ](\d{4}\.\d{4,5})", body)
        address = re.search(r"arxiv\.org/abs/([\d.]+)", body)
        if number and address:
            both += 1
            assert number[1] == address[1], key
        assert not number or address, f"{key} names an arXiv number, and gives no address"
    assert both > 10


def found(uri: str, status: str, code: int = 0) -> dict:
    return {
        "filename": "03-bptt.md", "lineno": 7, "uri": uri, "status": status,
        "code": code, "info": f"said {code}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "status", "words"),
    [
        ([("working", 200), ("redirected", 301)], 0, "2 addresses, 0 without"),
        ([("working", 200), ("broken", 404)], 1, "03-bptt.md:7: https://a.org/1: said 404"),
        ([("working", 200), ("timeout", 0)], 1, "2 addresses, 1 without"),
        ([("working", 200), ("broken", 403)], 0, "refused (403), look by hand"),
        ([("broken", 0), ("timeout", 0)], 2, "NOT CHECKED: none of 2 addresses answers"),
        ([], 0, "0 addresses"),
    ],
)
def test_what_is_said_of_addresses(answers, status, words):
    seen = [found(f"https://a.org/{n}", *each) for n, each in enumerate(answers)]
    seen.append(found("03-bptt.html", "working"))
    got, said = links.verdict(seen)
    assert got == status
    assert words in "\n".join(said)
