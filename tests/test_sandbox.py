"""The jail keeps in what is inside."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from attacking import children, strangers
from attacks.answer import BY_TORCH, UNHOLLOW

import course
from autograder import build, execute
from autograder.build import HOUSE
from autograder.sandbox import client, jail
from autograder.sandbox.client import Gone, NotIsolatedError, Zygote
from autograder.sandbox.jail import Limits
from course import figures
from course.exercise import chapter
from course.repository import Repository
from solutions import bptt

QUICK = Limits(cell_seconds=2.0, call_seconds=1.0, wall_seconds=20.0, extra_memory=400 << 20)


@pytest.fixture(scope="module")
def numpy_only():
    return execute._zygote(False, True)


@pytest.fixture(scope="module")
def with_torch():
    return execute._zygote(True, True)


@pytest.fixture
def inside(numpy_only):
    """Runs a cell's code in a fresh jail without torch, and gives back what it printed."""

    def run(code: str, zygote: Zygote = numpy_only) -> str:
        with zygote.submission(limits=QUICK) as submission:
            outputs = submission.cell(textwrap.dedent(code))
        errors = [o for o in outputs if o["output_type"] == "error"]
        assert not errors, errors
        return "".join(o.get("text", "") for o in outputs).strip()

    return run


def test_it_says_what_it_got(numpy_only):
    with numpy_only.submission() as submission:
        want = {"namespaces", "root", "limits", "capabilities", "no_new_privs", "seccomp"}
        assert want <= set(submission.got)


def test_the_toolkits_figures_are_called_as_outside(inside):
    """What a student may write in a notebook runs here, too: arguments have the same names."""
    (name,) = inspect.signature(figures.show).parameters
    code = "import matplotlib.pyplot as plt\nfrom course import figures\n"
    assert inside(f"{code}figures.show({name}=plt.figure())\nprint('shown')") == "shown"


def test_all_that_a_notebook_can_import_is_there(inside):
    names = ", ".join(course.__all__)
    assert inside(f"from course import {names}\nprint(about(), ready('bptt.loss'))") == "cpu False"


@pytest.mark.parametrize("published", [None, Repository("github.com", "ada/rnn")])
def test_the_first_cell_runs(inside, published):
    assert inside(f"{build.first_cell(published)}\nprint(device)") == "cpu"


def test_lines_are_counted_inside(inside):
    """A scan is told from a loop by the lines that it runs."""
    code = """
        from course.adapters import _lines_run

        def loop(n):
            return [k * k for k in range(n)]

        print(*(_lines_run(lambda: loop(n))[1] for n in (100, 400)))
    """
    few, many = map(int, inside(code).split())
    assert few >= 100
    assert many - few == 300


def test_memory_is_measured_inside(inside):
    """Real-time recurrent learning is told from what keeps the past by its peak of memory."""
    code = """
        import numpy as np
        from course.adapters import _peak

        def kept(n):
            return [np.zeros(100) for _ in range(n)]

        def latest(n):
            for _ in range(n):
                state = np.zeros(100)

        for run in (kept, latest):
            print(_peak(lambda: run(110)) - _peak(lambda: run(10)))
    """
    kept, latest = map(int, inside(code).split())
    assert kept >= 80_000
    assert abs(latest) < 1_000


def test_it_is_nobody_and_alone(inside):
    assert inside("import os; print(os.getuid(), os.getgid(), os.getpid(), os.getppid())") == (
        "1000 1000 1 0"
    )
    assert inside("import os; print(*sorted(os.environ))") == "HOME LANG MPLBACKEND PATH"
    assert inside("import socket; print(socket.gethostname())") == "jail"


def test_nothing_of_the_machine_is_there(inside, tmp_path):
    (tmp_path / "secret").write_text("secret")
    places = [
        *(HOUSE / each for each in ("solutions", "autograder", "course", "tests", ".git")),
        *map(
            Path, ("/etc/passwd", "/root/.bashrc", "/home", "/proc/self", "/proc/1", "/sys/kernel")
        ),
        *map(Path, ("/var", "/run", "/old", "/dev/shm", "/dev/ptmx", "/dev/mem", "/boot")),
        *map(Path, ("/usr/local/share/nbgrader", "/usr/src", tmp_path / "secret")),
    ]
    found = inside(f"""
        import os
        print([p for p in {list(map(str, places))!r} if os.path.exists(p)])
    """)
    assert found == "[]"


def test_nothing_but_its_own_tmp_can_be_written(inside):
    found = inside("""
        import os, sys, numpy
        for folder in ("/", "/usr", "/usr/lib", "/usr/bin", "/dev", "/tmp", "/tmp/home", sys.prefix,
                       os.path.dirname(os.__file__), os.path.dirname(numpy.__file__)):
            try:
                open(os.path.join(folder, "written"), "w").close()
                print(folder)
            except OSError:
                pass
    """)
    assert found.split() == ["/tmp", "/tmp/home"]


def test_what_a_submission_writes_ends_with_it(inside):
    """The working folder is on the path of import: what lies there must not reach the next."""
    code = """
        import os, sys
        sys.path.append("..")
        for folder in ("/tmp", "/tmp/home"):
            left = os.path.join(folder, "left_behind.py")
            print(os.path.exists(left))
            open(left, "w").write("here = True")
        import left_behind
        print(left_behind.here)
    """
    for _ in range(2):
        assert inside(code).split() == ["False", "False", "True"]


def test_it_holds_one_channel_and_no_other_descriptor(inside):
    found = inside("""
        import os, stat
        kinds = []
        for n in range(0, 1000):
            try:
                status = os.fstat(n)
            except OSError:
                continue
            kinds.append("socket" if stat.S_ISSOCK(status.st_mode) else status.st_rdev)
        print(sorted(map(str, kinds)))
    """)
    null = os.stat("/dev/null").st_rdev
    kinds = [kind.strip(" '") for kind in found.strip("[]").split(",")]
    assert kinds.count("socket") == 1
    assert set(kinds) == {"socket", str(null)}


@pytest.mark.parametrize("name", ["torch", "scipy", "jax", "autograd", "tensorflow", "sympy"])
def test_without_torch_nothing_that_differentiates_can_be_imported(inside, name):
    assert "/" in inside(f"import {name}.nn as x; print('/', getattr(x, '__file__', None))")
    found = inside(
        UNHOLLOW
        + textwrap.dedent(f"""
            import os
            names = []
            for folder in sys.path:
                path = os.path.join(folder, {name!r})
                names += os.listdir(path) if os.path.isdir(path) else []
            try:
                import {name} as module
                names += [module.__file__] if getattr(module, "__file__", None) else []
            except ImportError:
                pass
            print(names)
        """)
    )
    assert found == "[]"


def test_the_attack_by_torch_would_be_right_if_there_were_torch():
    """Else its failure would say nothing."""
    space: dict = {}
    exec(BY_TORCH, space)
    case = chapter("bptt")["bptt.grad_h"].cases(np.random.default_rng(1))[4]
    np.testing.assert_allclose(space["grad_h"](**case.args), bptt.grad_h(**case.args), rtol=1e-9)


def test_with_torch_there_is_torch_and_still_no_house(inside, with_torch):
    found = inside(
        """
        import importlib, torch
        print(float(torch.ones(2).sum()))
        for name in ("solutions.bptt", "autograder.verify", "course.exercises", "course.fixtures"):
            try:
                importlib.import_module(name)
                print(name)
            except ImportError:
                pass
        """,
        with_torch,
    )
    assert found == "2.0"


@pytest.mark.parametrize(
    "where", ["solutions", "course", "autograder", "a house inside the libraries"]
)
def test_the_house_is_covered_up_where_it_is_installed(numpy_only, tmp_path, monkeypatch, where):
    """An installation that is not editable puts the solutions among the libraries."""
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    if "house" in where:
        house = site / "house" / "course"
        house.mkdir(parents=True)
        monkeypatch.setattr(client, "COURSE", house)
        assert str(house.parent) in numpy_only.hidden([str(tmp_path / "lib")])
    else:
        (site / where).mkdir()
        assert numpy_only.hidden([str(tmp_path / "lib")]) == [str(site / where)]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import socket; socket.socket()", "PermissionError"),
        ("import os; os.memfd_create('x')", "PermissionError"),
        ("import os; os.setuid(0)", "PermissionError"),
        ("import os; os.mkdir('/x')", "PermissionError|Read-only"),
        ("import os; os.mknod('/tmp/x', 0o60666, 0x800)", "PermissionError"),
        ("import os; os.listdir('/proc')", "FileNotFoundError|PermissionError"),
        ("import os; os.chroot('/tmp')", "PermissionError"),
        ("x = bytes(1 << 30)", "MemoryError"),
        ("x = b'x' * (40 << 20); open('/tmp/a', 'wb').write(x + x)", "OSError"),
        ("import time; time.sleep(60)", "TimeoutError"),
        ("while True: pass", "TimeoutError"),
        ("import threading, time\nfor _ in range(99):"
         " threading.Thread(target=time.sleep, args=(9,), daemon=True).start()", "RuntimeError"),
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_what_is_forbidden_or_too_much_is_an_error_in_its_cell(numpy_only, code, error):
    with numpy_only.submission(limits=QUICK) as submission:
        outputs = submission.cell(code)
        found = [o["ename"] + o["evalue"] for o in outputs if o["output_type"] == "error"]
        assert found
        assert any(name in found[0] for name in error.split("|"))
        assert submission.cell("print(1)")[0]["text"] == "1\n"


def test_a_submission_has_no_more_than_its_time(numpy_only):
    began = time.monotonic()
    with numpy_only.submission(limits=Limits(wall_seconds=1.0)) as submission:
        with pytest.raises(Gone):
            submission.cell("import time\ntime.sleep(30)")
        with pytest.raises(Gone):
            submission.cell("1")
    assert time.monotonic() - began < 10
    assert strangers() == set()


def test_all_processes_together_have_no_more_than_their_memory(numpy_only):
    code = """
        import os, time
        for _ in range(10):
            if os.fork() == 0:
                kept = bytearray(os.urandom(1) * (60 << 20))
                time.sleep(30)
        time.sleep(30)
    """
    limits = Limits(extra_memory=100 << 20, cell_seconds=15.0)
    began = time.monotonic()
    with numpy_only.submission(limits=limits) as submission, pytest.raises(Gone):
        submission.cell(textwrap.dedent(code))
    assert time.monotonic() - began < 12
    assert strangers() == set()


def test_what_a_question_leaves_running_ends_with_it(numpy_only):
    exercise = chapter("bptt")["bptt.loss"]
    case = exercise.cases(np.random.default_rng(1))[0]
    with numpy_only.submission(limits=QUICK) as submission:
        submission.cell(
            "import os, time\n"
            "def loss(*args):\n"
            "    if os.fork() == 0:\n"
            "        os.setsid(); time.sleep(60)\n"
            "    return 1.0\n"
        )
        for _ in range(2 * QUICK.processes):
            with submission.question(exercise) as question:
                assert question(case.args).value == 1.0
        submission.cell("")  # it comes behind the last question's end
        assert len(children(numpy_only.process.pid)) <= 2


@pytest.mark.parametrize("calls", [[0, 1, 2, 3], [0, 2, 3], [1, 0, 3], [3, 3, 0, 0, 1]])
def test_whatever_is_sent_ahead_each_call_gets_its_own_answer(numpy_only, calls):
    exercise = chapter("bptt")["bptt.loss"]
    coming = [
        {"o": np.full((2, 1, size), n), "y": np.zeros((2, 1), int), "mask": np.ones((2, 1))}
        for n, size in enumerate((3, 3, 40_000, 3))  # the third is too long to be sent ahead
    ]
    with numpy_only.submission(limits=QUICK) as submission:
        submission.cell("def loss(o, y, mask): return float(o[0, 0, 0])")
        with submission.question(exercise) as question:
            question.expect(coming)
            assert [question(coming[n]).value for n in calls] == calls
        with submission.question(exercise) as question:
            question.expect(coming)
            assert question(coming[0]).value == 0  # the next is sent, and never asked for
        assert submission.cell("print(1)")[0]["text"] == "1\n"


def test_what_was_sent_ahead_of_an_endless_loop_costs_no_time(numpy_only):
    exercise = chapter("bptt")["bptt.loss"]
    cases = exercise.cases(np.random.default_rng(1))[:3]
    with numpy_only.submission(limits=QUICK) as submission:
        submission.cell("def loss(*args):\n    while True: pass")
        with submission.question(exercise) as question:
            question.expect([case.args for case in cases])
            made = question(cases[0].args)
            assert "still ran" in made.finding.headline
            assert "its process ended" in question(cases[1].args).finding.headline


def test_an_answer_counts_though_its_process_has_ended_meanwhile(numpy_only):
    exercise = chapter("bptt")["bptt.loss"]
    cases = exercise.cases(np.random.default_rng(1))[:3]
    with numpy_only.submission(limits=QUICK) as submission:
        submission.cell(
            "import os, threading\n"
            "made = []\n"
            "def loss(*args):\n"
            "    made.append(1)\n"
            "    if len(made) == 2:\n"
            "        threading.Timer(0.5, os._exit, [0]).start()\n"
            "    return float(len(made))\n"
        )
        with submission.question(exercise) as question:
            question.expect([case.args for case in cases])
            assert question(cases[0].args).value == 1
            time.sleep(1.5)  # the second is answered, and nobody is there to take the third
            assert question(cases[1].args).value == 2
            assert "its process ended" in question(cases[2].args).finding.headline


def test_a_killed_graders_folder_is_removed_by_the_next_and_a_living_ones_stays():
    code = f"""
        import os, sys
        sys.path[:0] = [{str(HOUSE)!r}]
        from autograder.sandbox.client import Zygote
        print(Zygote(False)._folder, flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    left = Path(done.stdout.strip())
    assert left.is_dir()
    with Zygote(False) as living:
        assert left.is_dir()  # it might have been made a moment ago, and not be locked yet
        for folder in (left, Path(living._folder)):
            os.utime(folder, (time.time() - 100, time.time() - 100))
        with Zygote(False):
            assert not left.exists()
            assert Path(living._folder).is_dir()


def test_a_cell_that_waits_for_the_processor_is_given_time(numpy_only):
    slow = (
        "import time\nend = time.monotonic() + 2.5\nwhile time.monotonic() < end: time.sleep(0.01)"
    )
    with numpy_only.submission(limits=QUICK) as submission:
        assert submission.cell(slow + "\nprint('done')")[0]["text"] == "done\n"
        (stopped,) = submission.cell("while True: pass")
        assert "and was stopped" in stopped["evalue"]


def test_it_ends_with_its_grader():
    """Even if the grader is killed, and the submission does all it can to stay."""
    code = f"""
        import sys, time
        sys.path[:0] = [{str(HOUSE)!r}]
        from autograder.sandbox.client import Zygote
        zygote = Zygote(False)
        submission = zygote.submission().__enter__()
        submission.cell('''
        import ctypes, os, signal, time
        ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
        for n in range(1, 32):
            try: signal.signal(n, signal.SIG_IGN)
            except (OSError, ValueError): pass
        if os.fork() == 0:
            os.setsid(); time.sleep(600)
        ''')
        print("ready", flush=True)
        time.sleep(600)
    """
    code = textwrap.dedent(code).replace("'''\n        ", "'''\n")
    grader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert grader.stdout.readline() == "ready\n"
    below = children(grader.pid)
    assert len(below) >= 3
    grader.kill()
    grader.wait()
    deadline = time.monotonic() + 10
    while any(map(_lives, below)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in below if _lives(pid)] == []


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# Files beside the notebook.


def test_files_lie_beside_the_notebook(numpy_only):
    files = {"data.csv": b"1,2", "deep/er/x.bin": bytes(range(256))}
    with numpy_only.submission(files) as submission:
        shown = submission.cell(
            "print(open('data.csv').read(), len(open('deep/er/x.bin', 'rb').read()))"
        )
        assert shown[0]["text"] == "1,2 256\n"


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "..", "", ".", "a\0b", "/tmp/home/../../x"]
)
def test_a_name_that_leads_outside_is_refused(numpy_only, name):
    with pytest.raises(ValueError, match="not the name of a file"):
        numpy_only.submission({name: b"x"})


# Where there is no isolation.


@pytest.mark.parametrize("step", ["unshare", "pivot_root", "mount"])
def test_where_a_step_fails_it_is_said_and_nothing_is_run(monkeypatch, step):
    """The warm process is a fork of this one here, so that the failure reaches it."""

    class Lacking:
        def __getattr__(self, name: str):
            if name == step or (step == "pivot_root" and name == "syscall"):
                return lambda *args: -1
            return getattr(real, name)

    real = jail.libc
    monkeypatch.setattr(jail, "libc", Lacking())
    child = os.fork()
    if child == 0:
        try:
            jail.unshare()
            inner = os.fork()
            if inner == 0:
                try:
                    jail.enter("/mnt", [], [], Limits())
                except jail.JailError:
                    os._exit(7)
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
        except jail.JailError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_jail_that_fails_stops_the_grading(numpy_only, monkeypatch):
    monkeypatch.setattr(numpy_only, "root", Path("/nowhere"))
    with (
        pytest.raises(NotIsolatedError, match="does not give the isolation"),
        numpy_only.submission(),
    ):
        pass
    assert strangers() == set()


def test_without_isolation_it_says_so():
    with Zygote(torch=False, isolate=False) as zygote, zygote.submission(limits=QUICK) as open_one:
        assert open_one.got == []
        assert open_one.cell("import os; print(os.getpid() != 1)")[0]["text"] == "True\n"
        exercise = chapter("bptt")["bptt.loss"]
        open_one.cell("def loss(*a): return 1.0")
        with open_one.question(exercise) as question:
            case = exercise.cases(np.random.default_rng(1))[0]
            assert question(case.args).value == 1.0


def test_a_warm_process_that_died_is_replaced():
    first = execute._zygote(False, True)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    second = execute._zygote(False, True)
    assert second is not first
    with second.submission() as submission:
        assert submission.cell("print(1)")[0]["text"] == "1\n"
