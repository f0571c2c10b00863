"""Ask every address in the book whether it answers: `make links`, where there is a network.

Sphinx's linkcheck asks; cells are not run.  What does not answer is listed with page and line.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from build import BOOK, BUILD, ROOT

REFUSES = (401, 403, 405, 429, 503)
"""Answers of sites, publishers' above all, that do not talk to programs: look by hand."""


def check(out: Path) -> list[dict]:
    """Write Sphinx's findings below `out`, and return them: one for each address and place."""
    from jupyter_book.sphinx import build_sphinx

    shutil.rmtree(out, ignore_errors=True)
    sys.path.insert(0, str(ROOT))
    build_sphinx(
        BOOK,
        out,
        path_config=BOOK / "_config.yml",
        noconfig=True,
        doctreedir=out / "doctrees",
        confoverrides={
            "latex_individualpages": False,  # Jupyter Book asks for it
            "external_toc_path": str(BOOK / "_toc.yml"),
            "nb_execution_mode": "off",
            "linkcheck_anchors": False,
            "linkcheck_timeout": 20,
            "linkcheck_retries": 2,
        },
        builder="linkcheck",
        really_quiet=True,  # what is broken is said below, once
    )
    lines = (out / "output.json").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def verdict(found: list[dict]) -> tuple[int, list[str]]:
    """The exit status, and what to say: 0, all answer; 1, some do not; 2, there is no network.

    The last is when not one address on another machine has answered with anything.
    """
    outside = [each for each in found if each["uri"].startswith("http")]
    silent = [each for each in outside if each["status"] in ("broken", "timeout")]
    if outside and all(each["code"] == 0 for each in silent) and len(silent) == len(outside):
        return 2, [
            f"NOT CHECKED: none of {len(outside)} addresses answers; there seems to be no network",
            f"here ({outside[0]['uri']}: {outside[0]['info'][:100]}).",
        ]
    refused = [each for each in silent if each["code"] in REFUSES]
    said = [
        f"{each['filename']}:{each['lineno']}: {each['uri']}: "
        + (f"refused ({each['code']}), look by hand" if each in refused else each["info"][:200])
        for each in silent
    ]
    said.append(f"links: {len(outside)} addresses, {len(silent)} without an answer")
    return int(len(silent) > len(refused)), said


def main() -> int:
    """Check, and say what was found."""
    status, said = verdict(check(BUILD / "links"))
    print("\n".join(said))
    return status


if __name__ == "__main__":
    sys.exit(main())
