"""Change the scoring in small ways, and see whether its tests notice: `make mutants`.

mutmut makes the changes, in a copy of the house below build/mutants; each module is tried with its
own quick tests.  The report names every change that no test noticed.  survivors.toml says which of
them are no mistakes, and why; one that it does not know makes this fail.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
OUT = HOUSE / "build" / "mutants"
TREE = OUT / "tree"
MUTMUT = Path(sys.executable).with_name("mutmut")

TESTS = {
    "course/ladder.py": ["tests/test_ladder.py"],
    "course/compare.py": ["tests/test_compare.py"],
    "course/calls.py": ["tests/test_calls.py"],
    "course/report.py": ["tests/test_report.py"],
    "course/standing.py": ["tests/test_report.py"],
    "autograder/sandbox/frames.py": ["tests/test_frames.py"],
    "autograder/repair.py": ["tests/test_repair.py"],
    "autograder/execute.py": ["tests/test_execute.py"],
}
"""What decides on points, and the tests that must notice a change of it."""

SETTINGS = """\
[tool.pytest.ini_options]
addopts = "-q -p no:cacheprovider"

[tool.mutmut]
source_paths = ["course", "autograder"]
also_copy = ["solutions"]
only_mutate = [{module}]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
"""

SURVIVED, NO_TESTS = 0, (5, 33)


def copy() -> None:
    """Bring the copy up to date."""
    TREE.mkdir(parents=True, exist_ok=True)
    for name in ("course", "autograder", "solutions", "tests"):
        shutil.rmtree(TREE / name, ignore_errors=True)
        shutil.copytree(HOUSE / name, TREE / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(TREE / "mutants", ignore_errors=True)


def changes(name: str) -> list[str]:
    """The lines that a mutant takes away and puts in."""
    done = subprocess.run(
        [MUTMUT, "show", name], cwd=TREE, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    return [
        re.sub(r"^([-+])\s*", r"\1 ", line) for line in lines if re.match(r"[-+](?![-+]{2} )", line)
    ]


def explained(module: str, lines: list[str], known: list[dict]) -> bool:
    """Whether a survivor is one of those that survivors.toml explains."""
    text = "\n".join(lines)
    return any(
        each["module"] in (module, "any") and re.search(each["change"], text) for each in known
    )


def try_out(module: str, known: list[dict]) -> tuple[str, list[str]]:
    """Try one module: a line with its numbers, and what has to be looked at."""
    settings = SETTINGS.format(module=json.dumps(module), tests=json.dumps(TESTS[module]))
    (TREE / "pyproject.toml").write_text(settings, encoding="utf-8")
    shutil.rmtree(TREE / "mutants", ignore_errors=True)
    began = time.monotonic()
    done = subprocess.run(
        [MUTMUT, "run"],
        cwd=TREE,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise SystemExit(f"{module}: mutmut stopped:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    codes = json.loads((TREE / "mutants" / f"{module}.meta").read_text())["exit_code_by_key"]
    survivors = [name for name, code in codes.items() if code == SURVIVED or code in NO_TESTS]
    new = []
    for name in survivors:
        lines = changes(name)
        if not explained(module, lines, known):
            new += [f"{module}: {name.rpartition('.')[2]}", *(f"    {line}" for line in lines)]
    open_ones = sum(not line.startswith(" ") for line in new)
    minutes = (time.monotonic() - began) / 60
    return (
        f"{module:30} {len(codes):5} mutants, {len(codes) - len(survivors):5} noticed,"
        f" {len(survivors) - open_ones:3} explained, {open_ones:3} open   ({minutes:.1f} min)"
    ), new


def main() -> int:
    """Try the modules named, or all; 1 if a change went unnoticed that is not explained."""
    known = tomllib.loads((HOUSE / "tests" / "survivors.toml").read_text(encoding="utf-8"))["of"]
    copy()
    table, new = [], []
    for module in sys.argv[1:] or TESTS:
        line, found = try_out(module, known)
        print(line, flush=True)
        table.append(line)
        new += found
    report = OUT / "report.txt"
    report.write_text("\n".join([*table, "", *new]) + "\n", encoding="utf-8")
    print("\n".join(new))
    print(f"mutants: {report.relative_to(HOUSE)}")
    return int(bool(new))


if __name__ == "__main__":
    sys.exit(main())
