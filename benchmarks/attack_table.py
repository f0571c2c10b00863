"""What every attack of tests/attacks earns: with stock nbgrader, and with this project's grader.

    python benchmarks/attack_table.py [--only GROUP] [--json benchmarks/attack_table.json]

Both grade the same notebooks with the same checks, from the submitted file to the gradebook, each
in a class folder of its own.  Stock nbgrader runs inside a container that is made here: namespaces
without a network, everything read-only but a /tmp of its own, no capabilities, limits on processes
and memory, and a limit of time after which all of it is killed.  So attacks that would harm the
machine can be tried, and what they did is counted inside.

Each result is written at once; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOUSE / "tests"))

import nbformat  # noqa: E402
from attacking import Bait, dangers, handed_in, page, strangers  # noqa: E402
from attacks import (  # noqa: E402
    Attack,
    answer,
    checker,
    grade,
    instructor,
    kernel,
    machine,
    oddities,
    resources,
)
from nbconvert.exporters import HTMLExporter  # noqa: E402
from nbgrader.api import MissingEntry  # noqa: E402
from nbgrader.converters import Autograde  # noqa: E402
from nbgrader.converters.base import NbGraderException  # noqa: E402

from autograder import build, execute, grading  # noqa: E402
from autograder.sandbox import jail  # noqa: E402

GROUPS: dict[str, list[Attack]] = {
    "checker": checker.ATTACKS,
    "kernel": kernel.ATTACKS,
    "answer": answer.ATTACKS,
    "grade": grade.ATTACKS,
    "resources": resources.ATTACKS,
    "machine": machine.ATTACKS,
    "instructor": instructor.ATTACKS,
    "honest": oddities.ODDITIES,
}

STOCK = """
c = get_config()
c.CourseDirectory.root = {root!r}
c.CourseDirectory.course_id = "stock"
c.ClearSolutions.code_stub = {{"python": "# YOUR CODE HERE\\nraise NotImplementedError"}}
c.ClearSolutions.text_stub = "YOUR ANSWER HERE"
"""
"""nbgrader as it comes; the stubs are the notebook's own."""

LIMIT = 100.0
"""Seconds for one notebook with stock nbgrader; its own limit is 30 s a cell."""

MEMORY = 5 << 30
"""Bytes that all processes of a container may hold, before it is killed."""

PROCESSES = 400
PICTURE = "<img src=data:image/svg+xml;base64,"


def new_class(root: Path, config: str | None) -> grading.ClassFolder:
    """A released class, with stock nbgrader's configuration or the project's."""
    build.build("bptt", root)
    if config is not None:
        (root / build.CONFIG.name).write_text(config.format(root=str(root)))
    course = grading.ClassFolder.open(root)
    grading.release(course, "bptt")
    return course


def judged(root: Path, attack: Attack, render: Any) -> dict[str, Any]:
    """Hand in, autograde, and say what came of it.  render makes the page that a person opens."""
    course = grading.ClassFolder.open(root)
    bait = Bait(root.parent / f"canary-{os.getpid()}.txt")
    text = nbformat.writes(handed_in(attack, bait))
    build.put(course.path("submitted", "mallory", "bptt") / "bptt.ipynb", text)
    converter = Autograde(
        coursedir=course.coursedir(assignment_id="bptt", student_id="mallory"),
        config=course.config,
    )
    converter.force = True
    began = time.perf_counter()
    try:
        grading._start(converter)
    except (NbGraderException, grading._Refused, SystemExit) as error:
        refused = str(error)[:200]
    else:
        refused = ""
    seconds = time.perf_counter() - began
    harm = bait.harm()
    bait.close()
    if left := strangers(1.0):
        harm.append(f"{len(left)} processes were left")
    scores, most = _scores(course)
    path = course.path("autograded", "mallory", "bptt") / "bptt.ipynb"
    if path.is_file():
        notebook = nbformat.read(path, as_version=4)
        shown = "\n".join(
            str(output.get("text", output.get("data", "")))
            for cell in notebook.cells
            if cell.cell_type == "code" and not cell.metadata.get("nbgrader", {}).get("grade")
            for output in cell.outputs
        )
        got = re.findall(r"^(?:GOT|READ|IMPORTED) ?.*", shown, re.MULTILINE)
        if got:
            harm.append(f"reached {len(got)} things that it should not, such as {got[0][:60]}")
        # In an <img>, a browser runs and loads nothing of an SVG: the toolkit's own figures.
        found = [each for each in dangers(render(notebook)) if not each.startswith(PICTURE)]
        if found:
            harm.append(f"a browser would run or load {len(found)} things, such as {found[0][:60]}")
    return {
        "score": None if None in scores or not scores else sum(scores),
        "most": most,
        "unscored": scores.count(None),
        "seconds": round(seconds, 2),
        "refused": refused,
        "harm": harm,
    }


def _scores(course: grading.ClassFolder) -> tuple[list[float | None], float]:
    """The automatic scores of the code cells, and their possible sum."""
    with course.gradebook() as gradebook:
        try:
            submission = gradebook.find_submission_notebook("bptt", "bptt", "mallory")
        except MissingEntry:
            return [], 0.0
        grades = [each for each in submission.grades if each.cell.cell_type == "code"]
        return [each.auto_score for each in grades], sum(each.max_score for each in grades)


def stock_page(nb: nbformat.NotebookNode) -> str:
    """What students' cells bring to a browser, by nbconvert's own filters."""
    shown = nbformat.from_dict(nb)
    shown.cells = [
        cell
        for cell in shown.cells
        if not (cell.cell_type != "code" and cell.metadata.get("nbgrader", {}).get("locked"))
    ]
    for cell in shown.cells:
        if cell.cell_type == "code":
            cell.source = ""
    return HTMLExporter(template_name="basic").from_notebook_node(shown)[0]


# The container of stock nbgrader.


def contain(template: Path) -> Path:
    """Lock this process in, in new namespaces; returns a copy of the class in the new /tmp.

    Raises OSError if any step fails: nothing runs then.
    """
    held = Path("/run")
    jail._mount("none", "/", None, jail.MS_REC | jail.MS_PRIVATE)
    jail._mount("proc", "/proc", "proc", jail.MS_NOSUID | jail.MS_NODEV)
    jail._mount("tmpfs", str(held), "tmpfs", jail.MS_NOSUID | jail.MS_NODEV, "size=64m")
    shutil.copytree(template, held / "class")
    jail._check(  # everything there is, read-only
        jail.libc.syscall(442, -100, b"/", 0x8000, (ctypes.c_uint64 * 4)(1 | 2, 0, 0, 0), 32),
        "mount_setattr",
    )
    devices = ("null", "zero", "urandom", "random")
    jail._mount("tmpfs", "/tmp", "tmpfs", jail.MS_NOSUID, "size=1g,mode=1777")
    for name in devices:
        Path(f"/tmp/{name}").touch()
        jail._mount(f"/dev/{name}", f"/tmp/{name}", None, jail.MS_BIND)
    jail._mount("tmpfs", "/dev", "tmpfs", jail.MS_NOSUID, "size=512m,mode=755")
    for name in devices:
        Path(f"/dev/{name}").touch()
        jail._mount(f"/tmp/{name}", f"/dev/{name}", None, jail.MS_BIND)
        jail._check(jail.libc.umount2(f"/tmp/{name}".encode(), jail.MNT_DETACH), "umount")
        os.unlink(f"/tmp/{name}")
    os.mkdir("/dev/shm")
    Path("/dev/fd").symlink_to("/proc/self/fd")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # the kernel's channels
    root = Path("/tmp/work/class")
    shutil.copytree(held / "class", root)
    os.makedirs("/tmp/home")
    os.environ.update(HOME="/tmp/home", TMPDIR="/tmp", JUPYTER_PLATFORM_DIRS="0")
    os.chdir(root)
    for kind, value in (
        (resource.RLIMIT_NPROC, PROCESSES),
        (resource.RLIMIT_FSIZE, 1 << 30),
        (resource.RLIMIT_AS, 3 * MEMORY),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))
    jail.drop_capabilities()
    jail.no_new_privileges()
    for path in ("/etc/benchmark", str(HOUSE / "benchmark"), "/root/benchmark"):
        try:
            open(path, "ab").close()
        except OSError:
            continue
        raise OSError(f"not contained: {path} can be written")
    return root


def inside(attack: Attack, template: Path, report: int) -> None:
    """The part that runs in the container: grade one attack, and write the result."""
    root = contain(template)
    config = root / build.CONFIG.name
    config.write_text(STOCK.format(root=str(root)))
    found = judged(root, attack, stock_page)
    os.write(report, json.dumps(found).encode())


def container(attack: Attack, template: Path, report: int, errors: int) -> None:
    """Leave the machine's namespaces, and be what waits for process 1 of the new ones."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for standard, target in ((0, null), (1, null), (2, errors)):
        os.dup2(target, standard)
    jail.unshare()
    first = os.fork()
    if first == 0:
        jail.die_with_parent()
        inside(attack, template, report)
        os._exit(0)
    os.waitpid(first, 0)


def _held(process: int) -> int:
    """Bytes that a process and all below it hold in memory."""
    total, waiting = 0, [process]
    while waiting:
        each = waiting.pop()
        try:
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
            waiting += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
        except OSError:
            continue
        total += sum(
            int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon", "RssShmem"))
        )
    return total


def stock(attack: Attack, template: Path) -> dict[str, Any]:
    """Grade one attack with stock nbgrader, in a container of its own."""
    read, write = os.pipe()
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            try:
                os.close(read)
                container(attack, template, write, errors.fileno())
            except BaseException:
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(0)
        os.close(write)
        began, stopped = time.monotonic(), ""
        while not os.waitpid(child, os.WNOHANG)[0]:
            if time.monotonic() - began > LIMIT:
                stopped = f"hung: still ran after {LIMIT:.0f} s"
            elif _held(child) > MEMORY:
                stopped = f"held more than {MEMORY >> 30} GB"
            if stopped:
                os.kill(child, signal.SIGKILL)  # process 1 dies with it, and all else with that
                os.waitpid(child, 0)
                break
            time.sleep(0.05)
        with os.fdopen(read, "rb") as file:
            text = file.read()
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if text:
        return {**json.loads(text), "stopped": ""}
    if "JailError" in said or "not contained" in said:
        raise SystemExit(said)
    return {
        "score": None,
        "seconds": round(time.monotonic() - began, 2),
        "stopped": stopped or "nbgrader itself was ended",
        "refused": "",
        "harm": [],
    }


def verdict(attack: Attack, found: dict[str, Any]) -> str:
    """In a word: what an attack came to."""
    if found.get("stopped", "").startswith("hung"):
        return "hung"
    if found["score"] is None:
        return "no score"
    if found["score"] > attack.earns:
        return "unearned points"
    if found["score"] < attack.earns:
        return "points lost"
    return "harm" if found["harm"] else "held"


def main() -> None:
    """Run what has no result yet, print a summary, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--only", choices=GROUPS)
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: no orphan gets away
    rows = json.loads(options.json.read_text())["attacks"] if options.json.exists() else []
    done = {(row["group"], row["name"]) for row in rows}
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        template = Path(folder) / "stock"
        new_class(template, STOCK)
        ours = Path(folder) / "ours"
        new_class(ours, None)
        execute.warm(True, "bptt", execute._checks_of("bptt"))
        for group, attacks in GROUPS.items():
            for attack in attacks:
                if (group, attack.name) in done or (options.only and options.only != group):
                    continue
                row = {"group": group, "name": attack.name, "tries": attack.tries}
                row["earned"] = attack.earns
                row["ours"] = judged(ours, attack, page)
                row["stock"] = stock(attack, template)
                for side in ("ours", "stock"):
                    row[side]["verdict"] = verdict(attack, row[side])
                rows.append(row)
                print(
                    f"{group}: {attack.name}: stock {row['stock']['verdict']}"
                    f" ({row['stock']['score']}, {row['stock']['seconds']} s),"
                    f" ours {row['ours']['verdict']} ({row['ours']['score']},"
                    f" {row['ours']['seconds']} s), earned {attack.earns:g}",
                    flush=True,
                )
                record = {
                    "date": datetime.date.today().isoformat(),
                    "notebooks": sum(map(len, GROUPS.values())),
                    "limits": {"seconds": LIMIT, "bytes": MEMORY, "processes": PROCESSES},
                    "machine": {
                        "processor": platform.processor() or platform.machine(),
                        "cores": os.cpu_count(),
                        "python": platform.python_version(),
                        **{name: version(name) for name in ("numpy", "torch", "nbgrader")},
                    },
                    "attacks": rows,
                }
                build.put(options.json, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
