"""The ladder: in which order, how often, how strictly, and what it says where it stops."""

from __future__ import annotations

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
import toys
from toys import FRESH, PUBLIC, X, both, case, exercise, ladder, slip

from course.compare import SINGLE, SINGLE_FOR_DOUBLE
from course.exercise import Tolerance
from course.ladder import stop

PARTS = {"a": 2, "b": 1}


def wrong_b(x):
    return 2 * x, x + 1.5


# Points.


def test_a_right_answer_has_all_points():
    report = ladder(both).climb()
    assert (report.outcome, report.points, report.out_of) == ("right", 3.0, 3.0)
    assert (report.rung, report.case, report.headline, report.lines) == (None, None, "", ())
    assert (report.slip, report.difference) == (None, None)
    assert report.name == "toy.both"


def test_a_wrong_answer_has_none():
    report = ladder(wrong_b).climb()
    assert (report.outcome, report.points, report.out_of) == ("wrong", 0.0, 3.0)


def test_parts_have_points_of_their_own():
    climbing = ladder(wrong_b, exercise(points=PARTS))
    a, b, whole = (climbing.climb(part) for part in ("a", "b", None))
    assert [(each.outcome, each.points, each.out_of) for each in (a, b, whole)] == [
        ("right", 2.0, 2.0),
        ("wrong", 0.0, 1.0),
        ("wrong", 0.0, 3.0),
    ]
    assert [each.name for each in (a, b, whole)] == ["toy.both.a", "toy.both.b", "toy.both"]
    assert b.headline.startswith("b[0, 0]: yours 2.5, want 2 ")


def test_a_part_that_is_none_is_not_attempted_and_the_others_count():
    climbing = ladder(lambda x: (2 * x, None), exercise(points=PARTS))
    assert climbing.climb("a").points == 2
    report = climbing.climb("b")
    assert (report.outcome, report.rung, report.points) == ("not attempted", "attempted", 0)
    assert report.headline == "b is None: not attempted yet"
    assert climbing.climb().outcome == "wrong", "asked for as a whole, something is missing"


def test_what_is_not_begun_is_not_attempted():
    def begin(x):
        raise NotImplementedError

    report = ladder(begin).climb()
    assert (report.outcome, report.rung, report.case) == ("not attempted", "attempted", "probe")
    assert (report.points, report.headline) == (0.0, "not attempted yet")


# What is raised.


def raises_on(name):
    """A right answer, but on this case it raises."""
    (spoilt,) = (each.args["x"].tobytes() for each in PUBLIC if each.name == name)

    def answer(x):
        if x.tobytes() == spoilt:
            raise ValueError("no luck")
        return both(x)

    return answer


def test_what_is_raised_after_the_first_case_comes_with_its_name():
    first = ladder(raises_on("probe")).climb()
    assert (first.rung, first.case) == ("runs", "probe")
    assert first.lines[-1] == "it was called with x (1, 2)"
    for name, shape, where in (
        ("main", "(3, 2)", 'on "main": why'),
        ("last", "(3, 2)", 'on the property "last": why'),
    ):
        later = ladder(raises_on(name)).climb()
        assert (later.rung, later.case) == ("runs", name)
        assert later.lines == (first.lines[0], f"it was called with x {shape}", where)


def test_any_other_finding_names_its_case_once_or_not_at_all():
    def differs(x):
        return both(x) if len(x) == 1 else wrong_b(x)

    where = 'on "main": why'
    assert ladder(differs).climb().lines == (
        where,
        "yours is +0.5 off, everywhere",
        "here a is right",
    )
    report = ladder(lambda x: both(x) if len(x) == 1 else None).climb()
    assert (report.rung, report.case) == ("shapes", "main")
    assert where not in report.lines


def test_what_is_raised_only_at_the_call_that_is_repeated_belongs_to_no_case():
    count = itertools.count(1)

    def answer(x):
        if next(count) > len(PUBLIC) + len(FRESH):
            raise ValueError("once too often")
        return both(x)

    report = ladder(answer).climb()
    assert (report.outcome, report.rung, report.case) == ("wrong", "runs", None)
    assert report.headline == "it raised ValueError: once too often"
    assert report.lines[-2] == "the first call with the same arguments went well:"
    assert "what outlives the call" in report.lines[-1]


# Order and number of calls.


def test_cases_come_by_rung_the_public_ones_first():
    seen = []

    def answer(x):
        seen.append(x.tobytes())
        return both(x)

    ladder(answer).climb()
    names = {each.args["x"].tobytes(): each.name for each in (*PUBLIC, *FRESH)}
    assert [names[x] for x in seen] == ["probe", "main", "drawn", "last", "drawn last", "main"]


def test_parts_look_at_the_same_calls():
    count = itertools.count(1)

    def answer(x):
        next(count)
        return both(x)

    climbing = ladder(answer, exercise(points=PARTS))
    climbing.climb("a")
    climbing.climb("b")
    assert next(count) - 1 == len(PUBLIC) + len(FRESH) + 2, "each once, and once more for each part"


@pytest.mark.parametrize("broken", ["probe", "main", "drawn", "last", "drawn last"])
def test_it_stops_at_the_first_case_that_is_wrong_whichever_it_is(broken):
    order = ["probe", "main", "drawn", "last", "drawn last"]
    by_name = {each.name: each for each in (*PUBLIC, *FRESH)}
    spoilt = [by_name[name].args["x"].tobytes() for name in order[order.index(broken) :]]

    def answer(x):
        a, b = both(x)
        return a, b + (x.tobytes() in spoilt)

    report = ladder(answer).climb()
    assert (report.outcome, report.case, report.rung) == ("wrong", broken, by_name[broken].rung)


# Comparison.


@pytest.mark.parametrize(
    ("error", "dtype", "single", "own", "outcome"),
    [
        (5e-10, float, False, 1e-9, "right"),
        (5e-9, float, False, 1e-9, "wrong"),
        (5e-9, float, False, 1e-7, "right"),
        (5e-5, float, False, 1e-9, "wrong"),
        (5e-6, float, True, 1e-9, "right"),
        (5e-6, np.float32, False, 1e-9, "right"),
        (5e-5, np.float32, False, 1e-9, "wrong"),
        (5e-5, float, True, 1e-9, "wrong"),
        (5e-5, float, True, 1e-7, "right"),
        (5e-4, float, True, 1e-7, "wrong"),
        (5e-4, np.float32, True, 1e-2, "right"),
    ],
)
def test_the_tolerance_is_the_exercise_s_or_that_of_single_precision(
    error, dtype, single, own, outcome
):
    def answer(x):
        a, b = both(x)
        return a, (b + error * b.max()).astype(dtype)

    x = X.astype(np.float32) if single else X
    which = exercise(tolerance=Tolerance(own, "so it is"))
    report = ladder(answer, which, public=[case("main", x=x)], fresh=[]).climb()
    assert report.outcome == outcome, report
    if outcome == "wrong":
        in_single = dataclasses.replace(SINGLE, limit=min(SINGLE.limit, SINGLE_FOR_DOUBLE * own))
        want = in_single if single or dtype is np.float32 else which.tolerance
        assert report.difference.tolerance == want


def test_one_output_in_single_precision_excuses_what_is_computed_from_it():
    def answer(x):
        a, b = both(x)
        return a.astype(np.float32), b * (1 + 5e-6)

    which = exercise(points=PARTS)
    assert ladder(answer, which).climb().outcome == "right"
    assert ladder(answer, which).climb("b").outcome == "wrong", "looked at alone, it has no excuse"


def test_the_first_wrong_output_speaks_and_the_others_are_named():
    report = ladder(lambda x: (3 * x, x), public=[case("main", says="it says so")]).climb()
    assert report.headline == "a[2, 1]: yours 18, want 12 (relative error 5e-01)"
    assert report.lines == (
        'on "main": it says so',
        "yours is 1.5 times what is expected, everywhere",
        "here b is wrong too",
    )
    assert report.difference.output is toys.A
    report = ladder(wrong_b, public=[case("first", "probes", says="a probe")]).climb()
    assert report.lines[0] == 'on the probe "first": a probe'
    assert report.lines[-1] == "here a is right"
    report = ladder(wrong_b, public=[case("m", x=X * 0), case("p", "properties")], fresh=[]).climb()
    assert report.lines[0] == 'on "m": why'


def test_a_property_is_called_one():
    def answer(x):
        return both(x) if len(x) > 1 else wrong_b(x)

    public = [case("main"), case("T = 1", "properties", X[:1], "a short one")]
    assert ladder(answer, public=public).climb().lines[0] == 'on the property "T = 1": a short one'


def test_three_names_are_listed_with_commas():
    outputs = tuple(toys.Output(name, ("T", "B")) for name in "abcd")
    which = exercise(outputs=outputs, oracle=lambda x: (x, x, x, x))
    report = ladder(lambda x: (x, x + 1, x + 1, x + 1), which).climb()
    assert report.lines[-2:] == ("here c and d are wrong too", "here a is right")
    report = ladder(lambda x: (x, x, x, x + 1), which).climb()
    assert report.lines[-1] == "here a, b and c are right"


# Shapes.


def test_a_shape_of_another_output_asks_whether_they_are_swapped():
    which = exercise(
        oracle=lambda x: (np.zeros((3, 2)), np.zeros((3, 3))), outputs=(toys.A, toys.B)
    )
    report = ladder(lambda x: (np.zeros((3, 3)), np.zeros((3, 2))), which).climb()
    assert (report.outcome, report.rung, report.case) == ("wrong", "shapes", "probe")
    assert report.headline == "a has shape (3, 3), want shape (T, B) = (3, 2)"
    assert report.lines == ("that is the shape of b: are the two swapped?",)
    report = ladder(lambda x: (np.zeros((3, 7)), np.zeros((3, 2))), which).climb()
    assert report.lines == (), "it is no other's shape"


def test_an_output_is_not_swapped_with_itself():
    which = exercise(outputs=(toys.A,), oracle=lambda x: (np.zeros((2, 2)),))
    report = ladder(lambda x: np.zeros((4,)), which).climb()
    assert report.headline == "a has shape (4,), want shape (T, B) = (2, 2)"
    assert "swapped" not in " ".join(report.lines)


def test_only_the_part_that_is_asked_for_has_to_be_fit():
    climbing = ladder(lambda x: ("text", x + 1), exercise(points=PARTS))
    assert climbing.climb("b").outcome == "right"
    assert climbing.climb("a").rung == "shapes"


def test_an_exercise_that_loses_an_output_is_not_scored():
    """It is the author's mistake, and as loud as one."""
    which = exercise(unpack=lambda value, names: value[:1])
    with pytest.raises(ValueError, match=r"zip\(\)"):
        ladder(both, which).climb()


# What outlives a call.


def test_the_same_arguments_must_give_the_same_answer():
    count = itertools.count()

    def drifts(x):
        return both(x)[0], x + 1 + 1e-14 * next(count)

    report = ladder(drifts).climb()
    assert (report.outcome, report.rung, report.case) == ("wrong", "properties", None)
    assert report.headline == "b: called twice with the same arguments, it answers differently"
    assert report.lines == ("what outlives the call: a global, a default argument, a random draw?",)
    assert ladder(drifts, exercise(points=PARTS)).climb("a").outcome == "right"


def test_a_wrong_answer_that_wavers_is_told_so():
    count = itertools.count(1)
    report = ladder(lambda x: (2 * x, x + 1 + next(count)), fresh=[]).climb()
    assert report.lines == (
        'on the probe "probe": why',
        "yours is +1 off, everywhere",
        "here a is right",
        "called again with the same arguments, it differs:",
        "what outlives the call: a global, a default argument, a random draw?",
    )


@pytest.mark.parametrize("steady", [wrong_b, lambda x: (2 * x, x * np.nan)])
def test_a_wrong_answer_that_does_not_waver_is_not(steady):
    assert "called again" not in " ".join(ladder(steady).climb().lines)


def test_a_part_that_is_steady_does_not_waver_because_another_does():
    count = itertools.count(1)
    climbing = ladder(lambda x: (2 * x + next(count), x + 1.5), exercise(points=PARTS))
    assert "called again" in " ".join(climbing.climb("a").lines)
    assert "called again" not in " ".join(climbing.climb("b").lines)


def test_a_part_may_waver_beside_one_that_is_not_begun():
    count = itertools.count(1)
    climbing = ladder(lambda x: (2 * x + next(count), None), exercise(points=PARTS))
    assert "called again" in " ".join(climbing.climb("a").lines)


def test_a_wrong_answer_that_fails_the_second_time_does_not_waver():
    count = itertools.count()

    def fails(x):
        if next(count):
            raise ValueError
        return wrong_b(x)

    assert "called again" not in " ".join(ladder(fails).climb().lines)


def test_a_slip_that_is_known_needs_no_other_reason():
    count = itertools.count(1)
    known = slip(lambda x: (2 * x, x + 1.5))
    report = ladder(lambda x: (2 * x, x + 1.5 + 1e-14 * next(count)), slips=(known,)).climb()
    assert report.slip is known
    assert "called again" not in " ".join(report.lines)


# Slips.


def test_a_slip_is_known_by_its_outputs_on_every_public_case():
    other = slip(lambda x: (2 * x, x + 2), name="other")
    known = slip(lambda x: (2 * x, x + 1.5))
    assert ladder(wrong_b, slips=(other, known)).climb().slip is known
    assert ladder(wrong_b, slips=(other,)).climb().slip is None


def test_a_slip_may_be_silent_on_some_cases():
    outputs = {"main": wrong_b(X)}
    assert ladder(wrong_b, slips=(slip(outputs),)).climb().slip is not None
    assert ladder(wrong_b, slips=(slip({}),)).climb().slip is None, "of nothing, nothing is known"


def test_what_is_right_on_all_public_cases_is_no_slip():
    def at_large(x):
        return both(x) if x.tobytes() in {c.args["x"].tobytes() for c in PUBLIC} else wrong_b(x)

    report = ladder(at_large, slips=(slip(both),)).climb()
    assert (report.case, report.slip) == ("drawn", None)


def test_a_slip_in_one_part_is_not_looked_for_in_another():
    known = slip(lambda x: (2 * x, x + 1.5))
    climbing = ladder(lambda x: (3 * x, x + 1.5), exercise(points=PARTS), slips=(known,))
    assert climbing.climb("b").slip is known
    assert climbing.climb("a").slip is None
    assert climbing.climb().slip is None


def test_outputs_of_another_shape_are_another_thing():
    wrong_shape = slip({"main": (2 * X, X[:1] + 1.5)})
    assert ladder(wrong_b, slips=(wrong_shape,)).climb().slip is None


def test_a_public_case_on_which_the_answer_fails_makes_it_no_slip():
    def fails(x):
        if x.max() > 10:
            raise ValueError
        return wrong_b(x)

    assert ladder(fails, slips=(slip(lambda x: wrong_b(x)),)).climb().slip is None


def test_a_slip_is_known_by_the_words_with_which_it_stops():
    def raises(x):
        raise ValueError("no luck")

    other = slip({}, stops=stop("shapes", "it raised ValueError: no luck"))
    known = slip({}, stops=stop("runs", "it raised ValueError: no luck"))
    report = ladder(raises, slips=(other, known)).climb()
    assert (report.rung, report.slip) == ("runs", known)
    assert known.stops == "runs: it raised ValueError: no luck"
    assert ladder(raises, slips=(other,)).climb().slip is None


def summed(x):
    """Sums where it should not, and is stopped by the shape."""
    return (2 * x).sum(0), x + 1


SUMMED = stop("shapes", "a has shape (2,), want shape (T, B) = (1, 2)")


@pytest.mark.parametrize(
    ("outputs", "whole", "a"),
    [
        (summed, True, True),
        ({"main": summed(X)}, True, True),
        ({}, True, True),  # nothing is on file of a slip that is stopped on every case
        (lambda x: ((3 * x).sum(0), x + 1), False, False),
        ({"main": summed(X), "last": summed(X)}, False, False),  # the last is another one
        (lambda x: ((2 * x).sum(0, keepdims=True), x + 1), False, False),
        (lambda x: (summed(x)[0], x + 1.5), False, True),
    ],
)
def test_among_answers_of_one_wrong_shape_a_slip_is_known_by_its_numbers(outputs, whole, a):
    other = slip(lambda x: (x.sum(0), x + 1), stops=SUMMED, name="other")
    known = slip(outputs, stops=SUMMED)
    climbing = ladder(summed, exercise(points=PARTS), slips=(other, known))
    assert climbing.climb().slip is (known if whole else None)
    assert climbing.climb("a").slip is (known if a else None)


def test_a_slip_of_a_wrong_shape_is_known_in_single_precision_too():
    def single(x):
        rounded = np.float32(1 + 1e-6)
        return tuple(rounded * each.astype(np.float32) for each in summed(x))

    known = slip(summed, stops=SUMMED)
    assert ladder(single, exercise(), slips=(known,)).climb().slip is known


@pytest.mark.parametrize(
    ("odd", "stopped"),
    [
        (lambda x: np.floor(x).astype(np.int64), "a has dtype int64, want float64"),
        (lambda x: x > 2, "a is of dtype bool, want real numbers of shape (T, B)"),
    ],
)
def test_a_slip_of_a_wrong_type_is_known_by_its_numbers_too(odd, stopped):
    """They are on file as floats."""

    def known_as(outputs):
        known = slip(lambda x: (outputs(x).astype(float), x + 1), stops=stop("shapes", stopped))
        return ladder(lambda x: (odd(x), x + 1), slips=(known,)).climb().slip is known

    assert known_as(odd)
    assert not known_as(lambda x: odd(x) + 1)


def breaks(x):
    raise ValueError


class Unwilling:
    """A student's object, of which no array can be made."""

    def __array__(self, *args, **kwargs):
        raise RuntimeError


@pytest.mark.parametrize(
    "then",
    [
        breaks,
        lambda x: None,
        lambda x: (np.array(["one", "two"]), x + 1),
        lambda x: (Unwilling(), x + 1),
    ],
)
def test_a_wrong_shape_is_no_slip_if_a_later_case_gives_no_numbers(then):
    report = ladder(
        lambda x: summed(x) if x.max() < 10 else then(x), slips=(slip(summed, stops=SUMMED),)
    ).climb()
    assert (report.rung, report.case, report.slip) == ("shapes", "probe", None)


def test_a_slip_that_cancels_is_known_though_its_rounding_is_another():
    known = slip(lambda x: (2 * x, 1e-17 * x))
    assert ladder(lambda x: (2 * x, -1e-17 * x), slips=(known,)).climb().slip is known


# What the answer says meanwhile.


def test_warnings_are_said_once_and_five_at_most():
    def warns(x):
        for n in range(4):
            warnings.warn(f"number {n + len(x)}", stacklevel=1)
        return both(x)

    report = ladder(warns, fresh=[]).climb()
    assert report.warnings == tuple(f"UserWarning: number {n}" for n in range(1, 6))


def test_the_first_print_is_repeated():
    def prints(x):
        if len(x) > 1:
            print("largest", x.max())
        return both(x)

    assert ladder(prints).climb().printed == "largest 6.0\n"
    assert ladder(both).climb().printed == ""


# Outputs of one shape.


def test_numbers_of_another_output_are_named():
    report = ladder(lambda x: both(x)[::-1]).climb()
    said = "yours is what b should be: the two are swapped"
    assert report.lines == ('on the probe "probe": why', said, "here b is wrong too")
    report = ladder(lambda x: (x + 1, x + 1)).climb()
    assert report.lines == (
        'on the probe "probe": why', "yours is what b should be", "here b is right",
    )  # fmt: skip
    assert ladder(lambda x: (x + 5, x + 1)).climb().lines[1] != "yours is what b should be"


def test_zeros_are_not_taken_for_other_zeros_unless_they_are_swapped():
    def with_zeros(x):
        return 2 * x, 0 * x

    which = exercise(oracle=with_zeros)
    report = ladder(lambda x: (0 * x, 0 * x), which).climb()
    assert report.lines[1] == "yours is zero everywhere"
    report = ladder(lambda x: (0 * x, 2 * x), which).climb()
    assert report.lines[1] == "yours is what b should be: the two are swapped"


def test_an_output_of_the_wrong_kind_may_be_the_other_one():
    which = exercise(oracle=lambda x: (x / 2, np.round(x)))
    report = ladder(lambda x: (np.round(x).astype(int), x / 2), which).climb()
    assert report.lines == ("that is b: are the two swapped?",)
    report = ladder(lambda x: (np.round(x).astype(int) + 1, x / 2), which).climb()
    assert "swapped" not in " ".join(report.lines)


def test_one_output_in_a_tuple_is_told_by_its_name():
    which = exercise(outputs=(toys.A,), oracle=lambda x: (2 * x,))
    assert ladder(lambda x: (2 * x, x), which).climb().headline == (
        "the function returned 2 things, want one: a"
    )
