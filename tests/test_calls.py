"""One call of a student's function: whatever it does comes back as a finding, and nothing else."""

from __future__ import annotations

import random
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from course import calls
from course.adapters import call_in_order
from course.calls import Call, Caller, Finding, OutOfTime, call, changed, is_empty, limit, read_only

X = np.arange(3.0)


def made(answer, seconds: float = 10.0, **given) -> Call:
    return call(call_in_order, answer, given or {"x": X}, seconds)


def stopped(answer, **given) -> tuple[str, str, tuple[str, ...]]:
    finding = made(answer, **given).finding
    assert finding is not None
    return finding.rung, finding.headline, finding.lines


# Arguments.


def test_arguments_are_copies_that_refuse_to_be_written_to():
    given = {"x": X.copy(), "many": [X.copy(), X.copy()], "n": 3, "also": "text"}
    args = read_only(given)
    assert list(args) == list(given)
    assert (args["n"], args["also"]) == (3, "text")
    for mine, theirs in zip([given["x"], *given["many"]], [args["x"], *args["many"]], strict=True):
        assert np.array_equal(mine, theirs)
        assert not np.shares_memory(mine, theirs)
        assert mine.flags.writeable
        assert not theirs.flags.writeable
    args["many"].clear()
    assert len(given["many"]) == 2


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (X, X.copy(), True),
        (X, X + 1, False),
        (np.array([np.nan, 1]), np.array([np.nan, 1]), True),
        (np.array([np.nan, 1]), np.array([1, np.nan]), False),
        (np.array([1, 2]), np.array([1, 2]), True),
        ([X, X], [X, X.copy()], True),
        ([X, X], [X, X + 1], False),
        ([X, X], [X], False),
        ([X], [X, X], False),
        ([X], (X,), False),
        ([[X], X], [[X], X], True),
        ([[X], X], [[X + 1], X], False),
        ([X], [np.array(["a", "b", "c"])], False),
        ([X], [np.array(["a", None, X], object)], False),
        (3, 3, True),
        ("a", "a", True),
    ],
)
def test_a_change_of_an_argument_is_seen(before, after, same):
    kept = {"first": 0, "x": before, "last": 0}
    assert changed(kept, {**kept, "x": after}) == ([] if same else ["x"])


def test_all_changes_are_named_in_the_order_of_the_arguments():
    assert changed({"b": X, "a": X, "c": X}, {"a": X + 1, "b": X + 1, "c": X}) == ["b", "a"]


# What comes back.


def test_a_value_comes_back_as_it_is():
    value = object()
    got = made(lambda x: value)
    assert (got.value, got.finding, got.warnings, got.printed) == (value, None, (), "")


def test_a_finding_of_the_adapter_is_the_call_s():
    finding = Finding("shapes", "said", ("more",))

    def run(answer, args):
        raise finding

    assert call(run, None, {"x": X}).finding is finding


def test_nothing_begun_is_not_attempted():
    def begin(x):
        raise NotImplementedError("yet")

    def documented(x):
        """Do this."""

    for answer in (begin, documented):
        assert stopped(answer) == ("attempted", "not attempted yet", ())
    assert made(lambda x: None).finding is not None, "an empty lambda is one, too"
    assert made(print).finding is None, "what was written by others and gives None is no stub"


def ends_in_nothing(x):
    x + 1


def passes(x):
    pass
    ...
    pass


def test_lines_that_do_nothing_are_no_beginning():
    assert is_empty(passes)
    assert stopped(passes)[0] == "attempted"


def test_a_function_that_does_something_has_been_begun():
    assert made(ends_in_nothing).finding is None
    assert not is_empty(ends_in_nothing)
    assert not is_empty(lambda x: 0)
    assert not is_empty(int)
    assert not is_empty(3)


def raises_here(x):
    raise ValueError("of no use\nat all")


def test_an_exception_says_where_and_with_what_it_was_called():
    rung, headline, lines = call_of(raises_here)
    assert (rung, headline) == ("runs", "it raised ValueError: of no use")
    number = raises_here.__code__.co_firstlineno + 1
    assert lines == (
        f'in raises_here, line {number}: raise ValueError("of no use\\nat all")',
        "it was called with x (3,)",
    )


def refuses_them():
    raise TypeError("called with nothing")


def test_without_a_frame_of_the_answer_the_names_are_the_case_s():
    given = {"x": X, "grads": [X, X[:2]], "n": 0.123456, "m": 7, "how": "so", "also": "this"}
    given["cell.W"] = X
    finding = call(lambda function, args: function(**args), refuses_them, given).finding
    assert finding.lines[-1] == (
        "it was called with x (3,), grads [(3,), (2,)], n = 0.1235, m = 7, how = 'so'"
    )


def call_of(answer) -> tuple[str, str, tuple[str, ...]]:
    """What comes of a call with every kind of argument, handed over as one mapping."""
    given = {"x": X, "grads": [X, X[:2]], "n": 0.123456, "m": 7, "how": "so", "also": "this"}
    given["cell.W"] = X
    finding = call(lambda function, args: function(args), answer, given).finding
    return finding.rung, finding.headline, finding.lines


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "headline"),
    [
        (ValueError(), "it raised ValueError: "),
        (ValueError("  spaces  "), "it raised ValueError: spaces"),
        (KeyError("name"), "it raised KeyError: 'name'"),
        (Mute(), "it raised Mute: "),
        (SystemExit(3), "it raised SystemExit: 3"),
        (GeneratorExit(), "it raised GeneratorExit: "),
        (ValueError("x" * 300), "it raised ValueError: " + "x" * 200),
    ],
)
def test_every_exception_is_reported(error, headline):
    def answer(x):
        raise error

    assert stopped(answer)[:2] == ("runs", headline)


def test_an_interrupt_is_the_student_s_own():
    def answer(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(answer)


def raises_in(file: str):
    """An answer of the student's, in line 1 of mine.py, that fails in line 1 of another file."""
    names = {}
    exec(compile("def inner(x): raise OSError", file, "exec"), names)
    exec(compile("def outer(x): inner(x)", "/home/me/mine.py", "exec"), names)
    return names["outer"]


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("<string>", True),
        ("/home/me/course/answers.py", True),
        (calls.COURSE[:-1] + "_work/answers.py", True),
        (calls.COURSE + "adapters.py", False),
        (calls.PYTHON + "random.py", False),
        ("/usr/lib/python3.11/site-packages/scipy/linalg.py", False),
        ("/usr/lib/python3/dist-packages/scipy/linalg.py", False),
        ("<frozen posixpath>", False),
        ("numpy/random/mtrand.pyx", False),
    ],
)
def test_the_last_line_of_the_student_s_own_is_told(file, own):
    where = "in inner, line 1: " if own else "in outer, line 1: "
    assert stopped(raises_in(file))[2][0] == where


def test_lines_of_the_course_and_of_packages_are_not_the_student_s():
    def answer(x):
        np.linalg.inv(np.zeros((2, 3)))

    lines = stopped(answer)[2]
    assert lines[0].startswith("in answer, line ")
    assert lines[0].endswith(": np.linalg.inv(np.zeros((2, 3)))")

    def run(answer, args):
        calls.read_only(3)

    assert call(run, answer, {"x": X}).finding.lines[0].startswith("in run, line ")

    def draws(x):
        random.choice([])

    assert stopped(draws)[2][0].endswith(": random.choice([])")
    assert stopped(len, n=3) == (
        "runs",
        "it raised TypeError: object of type 'int' has no len()",
        ("it was called with n = 3",),
    )


def test_it_is_told_by_the_answer_s_own_names_what_it_was_called_with():
    def step(params, state, *, rate, forgotten):
        del forgotten
        params = None
        raise ValueError(params)

    def run(answer, args):
        answer((X, [X]), {"h": X, "t": 3}, rate=True, forgotten=1)

    assert call(run, step, {"x": X}).finding.lines[1] == (
        "it was called with params = None, state {h: (3,), t: = 3}, rate = True, forgotten"
    )

    class Layer:
        @staticmethod
        def forward(ctx, pair, how):
            raise ValueError

        def step(self, text):
            raise ValueError

    def forward(answer, args):
        answer.forward(object(), (X, [X]), object())

    def one_step(answer, args):
        answer().step("so")

    assert call(forward, Layer, {"x": X}).finding.lines[1] == (
        "it was called with pair ((3,), [(3,)]), how"
    )
    assert call(one_step, Layer, {"x": X}).finding.lines[1] == "it was called with text = 'so'"


AXES = "axes are matched from the last: one number for each row wants v[:, None]"
PRODUCT = "@ sums over the columns of its left factor and the rows of its right one, here {} and {}"
W, G = np.ones((4, 3)), np.ones((5, 2, 4))


def rows(x):
    h = np.ones((2, 3))
    return h @ W


def left(x):
    h = np.ones((2, 3))
    return W @ h


def back(x):
    t = 1
    return G[t] @ W.T


def stacked(x):
    J, v = np.ones((2, 3, 3)), np.ones((2, 3))
    return J @ v


def turned(x):
    h = np.ones((5, 2, 3))
    return G.T @ h


ROWS = "; a batch has its sequences in rows, so W h becomes h @ W.T"


def steps(x):
    M = np.ones((3, 4))
    return G @ M


def made_there(x):
    return np.ones((3, 2)).T.copy().T @ np.ones((2, 3)).T


def back_from_steps(x):
    return G @ W.T


def heads(x):
    a, b = np.ones((2, 2, 2)), np.ones((2, 3, 2))
    return a @ b


def cut(x):
    h = np.ones((2, 3))
    # fmt: off
    return np.tanh(h @ W
                   + 0)
    # fmt: on


def numbers(x):
    h = [np.ones((2, 3))]
    return h[0] @ W[0:4]


def loose(x):
    h, b = np.ones((2, 3)), np.ones((4, 5))
    return h @ b


def diagonal(x):
    return np.diag(np.ones((2, 3))) @ np.ones((3, 3))


def fitted(x):
    A, y = np.ones((5, 2)), np.ones(4)
    return np.linalg.lstsq(A, y)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda x: np.ones((2, 3)) @ np.ones((4, 3)), PRODUCT.format(3, 4)),
        (
            rows,
            PRODUCT.format(3, 4) + "; a batch has its sequences in rows, so W h becomes h @ W.T",
        ),
        (
            left,
            PRODUCT.format(3, 2) + "; a batch has its sequences in rows, so W h becomes h @ W.T",
        ),
        (back, PRODUCT.format(4, 3) + "; without .T it fits: on the way back, W^T g becomes g @ W"),
        (
            stacked,
            PRODUCT.format(3, 2) + "; a stack of matrices wants a stack of columns: v[:, :, None]",
        ),
        (
            turned,
            PRODUCT.format(5, 2)
            + "; .T turns all axes around: join time and batch first, a.reshape(-1, n)",
        ),
        (loose, PRODUCT.format(3, 4)),
        (steps, PRODUCT.format(4, 3) + ROWS),
        (made_there, PRODUCT.format(2, 3)),
        (
            back_from_steps,
            PRODUCT.format(4, 3) + "; without .T it fits: on the way back, W^T g becomes g @ W",
        ),
        (heads, PRODUCT.format(2, 3)),
        (cut, PRODUCT.format(3, 4)),
        (numbers, PRODUCT.format(3, 4)),
        (
            diagonal,
            PRODUCT.format(2, 3) + "; np.diag takes the diagonal out of a matrix:"
            " s[:, None] * W scales its rows",
        ),
        (fitted, "there A (5, 2), y (4,)"),
        (lambda x: x + np.ones((3, 2)), AXES),
        (lambda x: x + np.ones((2, 2)), None),
    ],
)
def test_what_numpy_says_of_shapes_is_put_in_the_book_s_words(answer, advice):
    between = stopped(answer)[2][1:-1]
    assert between == ((advice,) if advice else ())


# Writing.


def adds(x):
    x += 1
    return x


def adds_to_both(x, y):
    y[0] = 1
    x[0] = 1


def adds_to_the_second(x, y):
    y[0] = 1


NEW = "make a new array instead: total = a + b, not a += b; or copy it first: a.copy()"


def test_writing_into_an_argument_is_named_with_its_line():
    line = adds.__code__.co_firstlineno + 1
    assert stopped(adds) == (
        "arguments",
        "your function writes into x",
        (f"in adds, line {line}: x += 1", NEW),
    )
    assert stopped(adds_to_both, x=X, y=X)[1] == "your function writes into x, y"
    assert stopped(adds_to_the_second, x=X, y=X)[1] == "your function writes into y"


def test_writing_into_a_list_is_named():
    def scales(grads):
        grads[0] *= 2

    rung, headline, lines = stopped(scales, grads=[X, X])
    assert (rung, headline) == ("arguments", "your function writes into the arrays of grads")
    assert lines[1:] == ("make new arrays instead: a * b, not a *= b",)

    def replaces(n, grads):
        grads[0] = grads[0] * 2

    assert stopped(replaces, n=1, grads=[X, X]) == (
        "arguments",
        "your function puts other things into the list grads",
        ("return a new list instead",),
    )


def unlocks(x):
    x.flags.writeable = True
    x += 1


def test_unlocking_does_not_help():
    assert stopped(unlocks)[:2] == ("arguments", "your function writes into x")
    assert made(unlocks).finding.lines == (NEW,)


def test_an_array_of_one_s_own_that_is_locked_is_told_from_an_argument():
    def answer(x):
        own = np.broadcast_to(0.0, 3)
        own += x

    rung, headline, lines = stopped(answer)
    assert rung == "runs"
    assert headline.startswith("it raised ValueError: output array is read-only")
    assert lines[1:] == (
        "that array is your own, such as np.broadcast_to gives: copy it first",
        "it was called with x (3,)",
    )


def test_another_value_error_is_not_taken_for_writing():
    count = []

    def answer(x):
        count.append(1)
        raise ValueError("no")

    rung, _, lines = stopped(answer)
    assert rung == "runs"
    assert "your own" not in " ".join(lines)
    assert len(count) == 1, "nothing to try out"

    def other(x):
        raise TypeError("read-only")

    assert stopped(other)[0] == "runs"


def test_what_is_tried_out_is_tried_quietly_and_not_for_long(capsys):
    count = []

    def loud(x):
        count.append(1)
        sys.stdout.write(f"out {len(count)}\n")
        sys.stderr.write(f"err {len(count)}\n")
        x += 1
        warnings.warn("it never came here", stacklevel=1)

    got = made(loud)
    assert got.finding.headline == "your function writes into x"
    assert got.printed == "out 1\nerr 1\n"
    assert got.warnings == ()
    assert len(count) == 3, "as it is, with nothing locked, with x locked"
    assert capsys.readouterr() == ("", "")

    def hangs_when_unlocked(x):
        while x.flags.writeable:
            pass
        x += 1

    rung, headline, _ = made(hangs_when_unlocked, seconds=0.2).finding.__dict__.values()
    assert (rung, headline[:27]) == ("runs", "it raised ValueError: outpu")


# Time.


def test_what_takes_too_long_is_stopped_whatever_it_catches():
    def endless(x):
        while True:
            try:
                while True:
                    pass
            except Exception:
                pass

    finding = made(endless, seconds=0.2).finding
    assert (finding.rung, finding.headline) == (
        "runs",
        "it still ran after 0 s, and was stopped",
    )
    assert finding.lines == ("does every loop come to its end?",)


def spin():
    while True:
        pass


def test_the_limit_is_of_processor_time_and_a_few_times_that_by_the_clock():
    began = time.monotonic()
    with pytest.raises(OutOfTime, match=r"it still ran after \d s, and was stopped"), limit(0.2):
        time.sleep(20)
    assert time.monotonic() - began >= 0.2 * calls.BUSY
    with pytest.raises(LookupError), limit(0.1, LookupError):
        spin()


def test_a_limit_ends_with_its_block_and_restores_what_was_before():
    import signal

    def mine(*_):
        raise AssertionError

    before = signal.signal(signal.SIGALRM, mine)
    try:
        with limit(5.0):
            assert signal.getsignal(signal.SIGALRM) is not mine
            left, again = signal.getitimer(signal.ITIMER_REAL)
            assert 4 < left <= 5
            assert again == 1.0
        assert signal.getsignal(signal.SIGALRM) is mine
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
        with limit(2.0):
            assert signal.getitimer(signal.ITIMER_REAL)[1] == 0.5
    finally:
        signal.signal(signal.SIGALRM, before)


def test_in_another_thread_there_is_no_limit_and_no_error():
    found = []
    thread = threading.Thread(target=lambda: found.append(made(lambda x: x + 1)))
    thread.start()
    thread.join()
    assert np.array_equal(found[0].value, X + 1)


# What it says meanwhile.


def test_warnings_are_caught_said_once_and_five_at_most(recwarn):
    def warns(x):
        for n in (1, 1, 2, 3, 4, 5, 6):
            warnings.warn(f"number {n}", RuntimeWarning, stacklevel=2)

    assert made(warns).warnings == tuple(f"RuntimeWarning: number {n}" for n in range(1, 6))
    assert not recwarn


def test_a_warning_that_was_switched_off_is_heard_all_the_same():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert made(lambda x: np.log(x)).warnings == (
            "RuntimeWarning: divide by zero encountered in log",
        )


def test_what_is_printed_is_kept_up_to_a_length(capsys):
    def prints(n):
        sys.stdout.write("a" * 1500)
        sys.stderr.write("b" * n)

    assert made(prints, n=500).printed == "a" * 1500 + "b" * 500
    assert made(prints, n=501).printed == "a" * 1500 + "b" * 500 + "\n... and 1 more characters"
    long = made(prints, n=5000).printed
    assert long == "a" * 1500 + "b" * 500 + "\n... and 4,500 more characters"
    assert capsys.readouterr() == ("", "")


def test_a_print_behind_the_last_that_fits_is_counted():
    def prints(x):
        for _ in range(4):
            assert sys.stdout.write("c" * 1000) == 1000
        assert sys.stdout.writable()

    got = made(prints)
    assert got.finding is None
    assert got.printed == "c" * 2000 + "\n... and 2,000 more characters"


def test_bytes_can_not_be_printed():
    def prints(x):
        sys.stdout.write(b"text")

    assert stopped(prints)[1].startswith("it raised TypeError")


# What was returned before.


ROOM = np.zeros(3)


def in_one_array(x):
    ROOM[:] = 2 * x
    return ROOM


def in_a_list_of_its_own(x):
    ROOM[:] = 2 * x
    return [1.0, {"a": (ROOM,)}]


def its_negative(x):
    ROOM[:] = -x
    return ROOM[::-1]


@pytest.mark.parametrize("answer", [in_one_array, in_a_list_of_its_own, its_negative])
def test_an_answer_that_writes_into_the_same_array_again_is_told_so(answer):
    ask = Caller(call_in_order, answer)
    assert ask({"x": X}).finding is None
    finding = ask({"x": X + 1}).finding
    assert (finding.rung, finding.headline, finding.lines) == (
        "properties",
        "what it returned at the last call has changed: it writes into that array again",
        ("make a new array at every call: np.empty, np.zeros_like",),
    )


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: 2 * x,
        lambda x: x,
        lambda x: ROOM * 0,
        lambda x: CONSTANT,
        lambda x: np.full(3, np.nan),
        lambda x: np.array(["a", None], object),
        lambda x: np.broadcast_to(1.0, (1 << 30, 1 << 20)),
        lambda x: [{}, "text", 1.0],
    ],
)
def test_arrays_that_stay_as_they_are_may_be_anyones(answer):
    """The argument itself, or a constant: nothing of it has changed."""
    ask = Caller(call_in_order, answer)
    assert [ask({"x": X + n}).finding for n in range(3)] == [None] * 3


CONSTANT = np.ones(3)


def test_a_finding_of_the_call_itself_comes_first():
    def first_right(x):
        ROOM[:] = x
        if x[0]:
            raise ValueError("mine")
        return ROOM

    ask = Caller(call_in_order, first_right)
    assert ask({"x": X}).finding is None
    assert "mine" in ask({"x": X + 1}).finding.headline


def test_a_value_without_end_is_not_gone_through():
    ring = [X]
    ring.append(ring)
    ask = Caller(call_in_order, lambda x: ring)
    assert [ask({"x": X}).finding for _ in range(2)] == [None] * 2
    wide = [[X] * 1000] * 10_000
    assert 1000 < sum(1 for _ in calls._arrays_in(wide)) < 5000


def test_every_call_has_the_limit():
    ask = Caller(call_in_order, lambda x: spin(), 0.02)
    assert ask({"x": X}).finding.headline == "it still ran after 0 s, and was stopped"


def given_helper(rows):
    return dict.fromkeys(map(tuple, rows), len(rows[2]))


def calls_a_helper(x):
    return given_helper([[1], [2]])


def test_what_a_helper_raises_comes_with_the_line_that_called_it():
    lines = stopped(calls_a_helper)[2]
    number = calls_a_helper.__code__.co_firstlineno + 1
    assert lines[0].startswith("in given_helper, line ")
    assert lines[1] == (f"called in calls_a_helper, line {number}: return given_helper([[1], [2]])")
