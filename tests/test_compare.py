"""What is an array, what is the right one, and what is said of one that is not."""

from __future__ import annotations

import numpy as np
import pytest

from course.calls import Finding
from course.compare import (
    SINGLE,
    Difference,
    alike,
    as_array,
    check_shape,
    check_that_it_is_one,
    compare,
    describe,
    entry,
    in_single,
    likeness,
    places,
    runs_of,
    shape_of,
    slice_of,
    with_article,
)
from course.exercise import Output, Tolerance

TBH = Output("h", ("T", "B", "H"))
HD = Output("W", ("H", "D"))
LINE = Output("y", ("T",))
NUMBER = Output("L", ())
TIGHT = Tolerance(1e-9, "the reason")


def stopped(call, *args) -> tuple[str, tuple[str, ...]]:
    with pytest.raises(Finding) as caught:
        call(*args)
    assert caught.value.rung == "shapes"
    return caught.value.headline, caught.value.lines


# Arrays.


@pytest.mark.parametrize("value", [1, 2.5, np.int64(3), np.float32(2), [1.5, 2.0], (0.5,)])
def test_numbers_and_lists_of_them_are_arrays(value):
    array = as_array(value, NUMBER)
    assert np.array_equal(array, np.asarray(value))
    assert array.dtype.kind in "fiu"


class Torch:
    __module__ = "torch.nn"


class Raises:
    def __array__(self, *_, **__):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "headline", "lines"),
    [
        (None, "h is None", ("is there a `return` line, with this in it?",)),
        (
            (n for n in range(3)),
            "h is a generator",
            ("make it an array: np.array(list(h))",),
        ),
        (
            Torch(),
            "h is a torch.Torch, want a NumPy array",
            ("this exercise is in NumPy alone",),
        ),
        (
            [[1.0], [1.0, 2.0]],
            "h: a list can't be made an array",
            ("are all rows equally long? np.concatenate joins pieces of unequal length",),
        ),
        (
            ([1.0], [1.0, 2.0]),
            "h: a tuple can't be made an array",
            ("are all rows equally long? np.concatenate joins pieces of unequal length",),
        ),
        (Raises(), "h: a Raises can't be made an array", ("RuntimeError",)),
        (object(), "h is an object, want real numbers of shape (T, B, H)", ()),
        (
            [None, 1.0],
            "h is a list, want real numbers of shape (T, B, H)",
            ("are all rows equally long? np.concatenate joins pieces of unequal length",),
        ),
        (
            (None, 1.0),
            "h is a tuple, want real numbers of shape (T, B, H)",
            ("are all rows equally long? np.concatenate joins pieces of unequal length",),
        ),
        (np.ones(2, bool), "h is of dtype bool, want real numbers of shape (T, B, H)", ()),
        (1j, "h is of dtype complex128, want real numbers of shape (T, B, H)", ()),
        (
            np.ones(2, np.int32),
            "h has dtype int32, want float64",
            ("integers drop what is behind the point: make the array with floats",),
        ),
        (np.ones(2, np.uint8), "h has dtype uint8, want float64", None),
        (np.ones(2, np.float16), "h has dtype float16, want float64 or float32", ()),
    ],
)
def test_what_is_no_array_of_real_numbers_is_said(value, headline, lines):
    got, why = stopped(as_array, value, TBH)
    assert got == headline
    assert lines is None or why == lines


def test_names_get_their_article():
    assert [with_article(noun) for noun in ("list", "array", "Array", "ufunc")] == [
        "a list",
        "an array",
        "an Array",
        "an ufunc",
    ]


# Shapes.


def test_a_shape_is_described_by_its_letters():
    assert describe(NUMBER, ()) == "shape (), one number"
    assert describe(LINE, (5,)) == "shape (T,) = (5,)"
    assert describe(HD, None) == "shape (H, D)"
    assert describe(TBH, (5, 2, 4)) == "shape (T, B, H) = (5, 2, 4)"


@pytest.mark.parametrize(
    ("have", "want", "output", "advice"),
    [
        ((2, 5, 4), (5, 2, 4), TBH, "the axes are in another order: yours look like (B, T, H)"),
        ((4, 2, 2), (2, 2, 4), TBH, "the axes are in another order"),
        ((4, 3), (3, 4), HD, "the axes are in another order: yours look like (D, H)"),
        ((3,), (), NUMBER, "sum over every axis"),
        (
            (6, 2, 4),
            (5, 2, 4),
            TBH,
            "one step too many: the initial state is not among the outputs",
        ),
        (
            (5, 1, 2, 4),
            (5, 2, 4),
            TBH,
            "the right number of entries in too many axes: np.concatenate joins pieces,"
            " keepdims keeps an axis",
        ),
        (
            (4, 1, 3),
            (4, 3),
            HD,
            "the right number of entries in too many axes: sum over time and over the batch;"
            " .T turns all axes around: join the two first, a.reshape(-1, n)",
        ),
        (
            (1, 4),
            (4,),
            Output("b", ("H",)),
            "the right number of entries in too many axes: sum over time and over the batch",
        ),
        (
            (1, 5),
            (5,),
            LINE,
            "the right number of entries in too many axes: np.concatenate joins pieces,"
            " keepdims keeps an axis",
        ),
        (
            (1, 2),
            (2,),
            Output("q", ("B",)),
            "the right number of entries in too many axes: np.concatenate joins pieces,"
            " keepdims keeps an axis",
        ),
        ((5, 2, 4, 3), (5, 2, 4), TBH, "1 axis too many: is a sum missing?"),
        ((5, 2, 4, 3, 3), (5, 2, 4), TBH, "2 axes too many: is a sum missing?"),
        ((5, 4), (5, 2, 4), TBH, "1 axis too few: was one summed over, or indexed away?"),
        ((4,), (5, 2, 4), TBH, "2 axes too few: was one summed over, or indexed away?"),
        ((4, 2, 4), (5, 2, 4), TBH, None),
        ((7, 2, 4), (5, 2, 4), TBH, None),
        ((4, 4), (3, 4), HD, None),
        ((2, 6), (3, 4), HD, None),
        ((6, 4), (5, 2, 4), TBH, "1 axis too few: was one summed over, or indexed away?"),
        ((5, 3, 4), (5, 2, 4), TBH, None),
    ],
)
def test_a_wrong_shape_is_said_with_what_it_suggests(have, want, output, advice):
    got, lines = stopped(check_shape, np.zeros(have), np.zeros(want), output)
    assert got == f"{output.name} has shape {have}, want {describe(output, want)}"
    assert lines == (() if advice is None else (advice,))


def test_the_right_shape_is():
    for shape in ((), (0,), (5, 2, 4)):
        check_shape(np.zeros(shape), np.ones(shape), TBH)


# Equal or not.


def found(answer, truth, output=LINE, tolerance=TIGHT) -> Difference | None:
    return compare(np.asarray(answer, float), np.asarray(truth, float), output, tolerance)


def test_the_error_is_relative_to_the_largest_entry():
    truth = np.array([1e-3, 0.0, -2.0])
    off = Tolerance(0.25, "so")
    assert found(np.add(truth, [0.5, 0, 0]), truth, tolerance=off) is None, (
        "the limit itself is allowed"
    )
    assert found(np.add(truth, [0, 0, -0.5]), truth, tolerance=off) is None
    assert found(np.add(truth, [0, 0.51, 0]), truth, tolerance=off).error == pytest.approx(0.255)


def test_a_small_truth_is_no_excuse():
    truth = np.array([1e-3, -5e-4])
    assert found(truth + 2e-10, truth).error == pytest.approx(2e-7)
    assert found(truth + 0.9e-12, truth) is None
    assert not alike(truth + 2e-12, truth)
    assert alike(truth + 0.9e-12, truth)


def test_what_overflows_is_wrong_and_warns_nobody():
    with np.errstate(all="raise"):
        assert found([1e308, 1.0], [-1e308, 1.0]).error == np.inf
        assert found([np.inf, 1.0], [np.inf, 1.0]).error == np.inf
        assert found([1e308, 1.0], [-1e308, 1.0]).headline == "y[0]: yours 1e+308, want -1e+308"


def test_where_the_truth_is_zero_the_error_is_absolute():
    off = Tolerance(0.25, "so")
    assert found([0.2, 0], [0, 0], tolerance=off) is None
    assert found([0.3, 0], [0, 0], tolerance=off).error == pytest.approx(0.3)
    assert found(0.3, 0.0, NUMBER, off).error == pytest.approx(0.3)


def test_an_empty_array_of_the_right_shape_is_right():
    assert found(np.zeros(0), np.zeros(0)) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_wrong_and_its_error_infinite(bad):
    difference = found([1.0, bad], [1.0, 2.0])
    assert difference.error == np.inf
    assert difference.headline == f"y[1]: yours {bad}, want 2"
    assert "1 of 2 entries are NaN or infinite" in difference.lines


def test_the_headline_shows_the_worst_entry():
    difference = found([1.0, 2.5, 3.1], [1.0, 2.0, 4.0])
    assert difference.headline == "y[2]: yours 3.1, want 4 (relative error 2e-01)"
    assert found([[1.0, 7.0]], [[1.0, 2.0]], HD).headline.startswith("W[0, 1]: yours 7, want 2 ")
    assert found(3.0, 2.0, NUMBER).headline == "L: yours 3, want 2 (relative error 5e-01)"
    assert found([1.0, 0.0], [0.0, 0.0]).headline == "y[0]: yours 1, want 0", "of zero, no relation"


def test_a_small_error_shows_the_digits_in_which_the_two_part():
    difference = found([1.0, 2.00001], [1.0, 2.0])
    assert difference.headline == (
        "y[1]: yours 2.00001, want 2 (relative error 5e-06, limit 1e-09: the reason)"
    )
    assert found([1.0, 2.0021], [1.0, 2.0]).headline == (
        "y[1]: yours 2.002, want 2 (relative error 1e-03)"
    )
    assert found([0.0, 1e-5], [0.0, 0.0]).headline == (
        "y[1]: yours 1e-05, want 0 (limit 1e-09: the reason)"
    )


ROUNDED = (
    "an error this small comes from an array in float32, from a small number that guards"
    " a division or a logarithm, or from a difference in the place of a derivative"
)


@pytest.mark.parametrize(
    ("error", "limit", "said"),
    [(5e-7, 1e-9, True), (5e-6, 1e-9, False), (5e-7, 1e-8, True), (0.5, 1e-9, False)],
)
def test_where_float32_may_be_the_reason_it_is_said(error, limit, said):
    difference = found([1.0, 1 + error, -1], [1.0, 1.0, -1], tolerance=Tolerance(limit, "so"))
    assert (ROUNDED in difference.lines) == said


def test_at_the_very_limit_of_float32_nothing_is_said_of_it():
    assert ROUNDED in found([0.9e-6, 0.0], [0.0, 0.0]).lines
    assert ROUNDED not in found([1e-6, 0.0], [0.0, 0.0]).lines


def test_single_precision_is_no_excuse_where_it_is_expected():
    difference = found([1.0, 1 + 2e-7], [1.0, 1.0], tolerance=Tolerance(1e-7, "so"))
    assert ROUNDED in difference.lines
    assert found([1, 1 + 2e-4], [1, 1], tolerance=Tolerance(1e-4, "so")).lines[-1] != ROUNDED


def test_a_difference_keeps_what_it_is_about():
    answer, truth = np.array([1.0, 3.0]), np.array([1.0, 2.0])
    difference = compare(answer.astype(np.float32), truth, LINE, TIGHT)
    assert difference.answer.dtype == np.float32
    assert difference.truth is truth
    assert (difference.output, difference.tolerance) == (LINE, TIGHT)
    assert difference.error == 0.5


def test_numbers_in_single_precision_may_be_less_exact_and_never_must_be_more():
    tight = in_single(TIGHT)
    assert tight.limit == pytest.approx(3e-5)
    assert tight.reason == SINGLE.reason
    assert in_single(Tolerance(1e-7, "so")) == SINGLE
    noise = Tolerance(1e-2, "noise")
    assert in_single(noise) == noise


# The same but for rounding.


def test_alike_means_but_for_rounding():
    a = np.array([1.0, -4.0])
    assert alike(a + 3e-9, a)
    assert not alike(a + 5e-9, a)
    assert alike((a + 3e-4).astype(np.float32), a)
    assert alike(a + 3e-4, a.astype(np.float32))
    assert not alike((a + 5e-4).astype(np.float32), a)
    assert alike(np.array([5e-10, 0]), np.zeros(2))
    assert not alike(np.array([2e-9, 0]), np.zeros(2)), "of zero the limit is absolute"
    assert alike(np.zeros(0), np.zeros(0))


def test_nan_and_infinity_are_alike_and_nothing_else_is_like_them():
    assert alike(np.array([np.nan, 1.0]), np.array([np.inf, 1.0]))
    assert alike(np.array([np.nan]), np.array([-np.inf]))
    assert not alike(np.array([np.nan, 1.0]), np.array([1.0, 1.0]))
    assert not alike(np.array([1.0, 1.0]), np.array([np.nan, 1.0]))
    assert not alike(np.array([np.nan, 1.0]), np.array([np.nan, 2.0]))


# Where.


def where(shape, *index, output=TBH) -> list[str]:
    wrong = np.zeros(shape, bool)
    for each in index:
        wrong[each] = True
    return places(wrong, output)


def test_time_is_always_said():
    assert where((5, 2, 4), np.s_[:3]) == [
        "right at t = 4, 5, wrong at t = 1 to 3 (in code: h[0:3])"
    ]
    assert where((5, 2, 4), np.s_[1], np.s_[3]) == [
        "right at t = 1, 3, 5, wrong at t = 2, 4 (in code: h[[1, 3]])"
    ]


def test_another_axis_is_said_where_half_or_less_is_wrong():
    assert where((5, 2, 4), np.s_[:, 1]) == ["wrong only in h[:, 1] (sequence)"]
    assert where((5, 2, 4), np.s_[:, :, 1:3]) == ["wrong only in h[:, :, 1:3] (unit)"]
    assert where((5, 2, 4), np.s_[:, :, 1:4]) == ["wrong in 30 of 40 entries"]
    assert where((3, 4), np.s_[:, 0], output=HD) == ["wrong only in W[:, 0] (input)"]
    assert where((5, 2, 4), np.s_[4, 0, 3]) == [
        "right at t = 1 to 4, wrong at t = 5 (in code: h[4])",
        "wrong only in h[:, 0] (sequence)",
        "wrong only in h[:, :, 3] (unit)",
    ]


def test_many_places_are_counted():
    scattered = [np.s_[:, n] for n in range(0, 60, 3)]
    assert where((2, 60), *scattered, output=Output("W", ("H", "D"))) == [
        "wrong only in 20 of 60 (input)"
    ]


def test_a_place_is_written_out_up_to_forty_letters():
    for length, said in ((29, "[:, [0, 2]] (input)"), (30, "2 of 60 (input)")):
        name = "W" * length
        lines = where((2, 60), np.s_[:, 0], np.s_[:, 2], output=Output(name, ("H", "D")))
        assert lines == [f"wrong only in {name if '[' in said else ''}{said}"]


def test_nothing_is_said_where_all_is_wrong_or_there_is_one_number():
    assert where((5, 2, 4), np.s_[:]) == []
    assert where((), np.s_[()], output=NUMBER) == []


def test_axes_without_a_name_are_passed_over():
    other = Output("m", ("anything", "T"))
    assert where((5, 3), np.s_[0, 0], output=other) == [
        "right at t = 2, 3, wrong at t = 1 (in code: m[:, 0])"
    ]
    assert where((5, 3), np.s_[0], output=other) == ["wrong in 3 of 15 entries"]


IFOG = ("i", "f", "o", "g")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.s_[2:4], "wrong in the block f, right in the blocks i, o and g"),
        (np.s_[3:5], "wrong in the blocks f and o, right in the blocks i and g"),
        (np.s_[1:6], "wrong in the blocks i, f and o, right in the block g"),
        (np.s_[::2], "wrong in 4 of 8 entries"),
    ],
)
def test_blocks_are_named_where_one_of_them_is_right(wrong, said):
    assert where((8,), wrong, output=Output("b", ("4H",), IFOG)) == [said]


def test_blocks_are_named_along_their_own_axis_alone_and_beside_the_others():
    assert where((5, 2, 8), np.s_[4, 0, 6:], output=Output("a", ("T", "B", "4H"), IFOG)) == [
        "right at t = 1 to 4, wrong at t = 5 (in code: a[4])",
        "wrong only in a[:, 0] (sequence)",
        "wrong in the block g, right in the blocks i, f and o",
    ]
    W = Output("W", ("4H", "D"), IFOG)
    assert where((8, 3), np.s_[:, 1], output=W) == ["wrong only in W[:, 1] (input)"]
    assert where((8, 4), np.s_[:2, 1:], output=W) == [
        "wrong in the block i, right in the blocks f, o and g"
    ]


def test_numbers_and_slices_are_written_briefly():
    assert runs_of([]) == ""
    assert runs_of([4]) == "4"
    assert runs_of([1, 2]) == "1, 2"
    assert runs_of(np.array([1, 2, 3, 5, 7, 8])) == "1 to 3, 5, 7, 8"
    assert slice_of(np.array([3])) == "3"
    assert slice_of(np.array([2, 3, 4])) == "2:5"
    assert slice_of(np.array([0, 2])) == "[0, 2]"
    assert entry("L", ()) == "L"
    assert entry("dh", (0, 2)) == "dh[0, 2]"


# Likeness.

H = np.random.default_rng(0).normal(size=(5, 2, 4))


def like(answer, truth=H, output=TBH, limit=1e-9) -> list[str]:
    return likeness(np.asarray(answer, float), np.asarray(truth, float), output, limit)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (-H, "yours has the opposite sign"),
        (1.5 * H, "yours is 1.5 times what is expected, everywhere"),
        (-2 * H, "yours is -2 times what is expected, everywhere"),
        (H[::-1], "yours is reversed in time"),
        (np.concatenate([H[:1] * 0, H[:-1]]), "yours is one step late"),
        (np.concatenate([H[1:], H[:1] * 0]), "yours is one step early"),
        (H.sum(1, keepdims=True).repeat(2, 1), "yours is summed over the batch"),
        (H + 0.25, "yours is +0.25 off, everywhere"),
        (H - 0.25, "yours is -0.25 off, everywhere"),
        (0 * H, "yours is zero everywhere"),
        (np.where(H > 1, np.nan, H), f"{(H > 1).sum()} of 40 entries are NaN or infinite"),
        (np.where(H > 1, -np.inf, H), f"{(H > 1).sum()} of 40 entries are NaN or infinite"),
    ],
)
def test_a_simple_relation_is_named(answer, said):
    assert like(answer) == [said]
    assert 0 < (H > 1).sum() < 40


def test_relations_hold_to_the_limit():
    size = np.abs(H).max()
    for off, said in ((0.9e-3, ["yours has the opposite sign"]), (1.1e-3, [])):
        answer = -H
        answer[0, 0, 0] += off * size
        assert like(answer, limit=1e-3) == said
    for shift, said in ((0.9e-3, ["yours is +0.25 off, everywhere"]), (1.1e-3, [])):
        answer = H + 0.25
        answer[1, 0, 0] += shift * size
        assert like(answer, limit=1e-3) == said
    for off, late in ((0.9e-3, True), (1.1e-3, False)):
        answer = np.concatenate([H[:1] * 0, H[:-1]])
        answer[2, 0, 0] += off * size
        assert (like(answer, limit=1e-3) == ["yours is one step late"]) == late
        early = np.concatenate([H[1:], H[:1] * 0])
        early[2, 0, 0] += off * size
        assert (like(early, limit=1e-3) == ["yours is one step early"]) == late


def test_the_limit_itself_is_allowed():
    """In numbers that add up exactly: a quarter of 4, an eighth of 8."""
    assert like([-4.0, -1.0], [4.0, 2.0], LINE, 0.25) == ["yours has the opposite sign"]
    wave = [8.0, -8.0, 8.0, -8.0]
    assert like([0.0, 9.0, -8.0, 8.0], wave, LINE, 0.125) == ["yours is one step late"]
    assert like([-7.0, 8.0, -8.0, 0.0], wave, LINE, 0.125) == ["yours is one step early"]
    assert like([7.0, 6.0, 5.0], [4.0, 2.0, 1.0], LINE, 0.25) == ["yours is +3 off, everywhere"]
    assert like([0.0, 8.0, 7.0, 6.0], [8.0, 7.0, 6.0, 0.0], LINE, 0.125) == [], "half is right"


def test_small_numbers_move_in_time_too():
    late = np.concatenate([H[:1] * 0, H[:-1]])
    assert like(late / 100, H / 100, limit=1e-3) == ["yours is one step late"]


def test_two_steps_can_move_and_one_cannot():
    assert like([0.0, 8.0], [8.0, -3.0], LINE) == ["yours is one step late"]
    assert like(H[:1] + H[1:2], H[:1]) == []


def test_where_zero_is_expected_that_is_said():
    assert like(H, 0 * H) == ["it should be zero everywhere"]
    assert like(0 * H, 0 * H) == ["yours is zero everywhere"]


def test_a_transpose_is_named():
    W = np.arange(9.0).reshape(3, 3) ** 2
    assert like(W.T, W, HD) == ["yours is the transpose of what is expected"]
    assert like(np.arange(6.0).reshape(3, 2), np.arange(1.0, 7.0).reshape(3, 2), HD) == [
        "yours is -1 off, everywhere"
    ]


def test_of_one_number_only_the_sign_is_named():
    assert like(-2.0, 2.0, NUMBER) == ["yours has the opposite sign"]
    assert like(-2.5, 2.0, NUMBER, 0.25) == ["yours has the opposite sign"], "just near enough"
    assert like(-2.6, 2.0, NUMBER, 0.25) == []
    assert like(4.0, 2.0, NUMBER) == []
    assert like(0.0, 0.0, NUMBER) == []
    assert like(np.nan, 2.0, NUMBER) == []
    assert like(-np.inf, np.inf, NUMBER) == like(-2.0, np.inf, NUMBER) == []


def test_a_factor_of_nearly_one_is_not_one():
    assert like(H * (1 + 1e-7), limit=1e-9) == []
    assert like(H * 1.001, limit=1e-9) == ["yours is 1.001 times what is expected, everywhere"]


def test_moves_in_time_are_named_only_where_most_is_wrong():
    y = np.array([2.0, 2.0, 2.0, 3.0])
    assert like([0.0, 2.0, 2.0, 2.0], y, LINE) == []
    assert like([0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.5], LINE) == ["yours is one step late"]


def test_time_is_not_always_the_first_axis():
    output, swapped = Output("h", ("B", "T", "H")), H.swapaxes(0, 1)
    assert like(swapped[:, ::-1], swapped, output) == ["yours is reversed in time"]
    late = np.concatenate([swapped[:, :1] * 0, swapped[:, :-1]], axis=1)
    assert like(late, swapped, output) == ["yours is one step late"]
    early = np.concatenate([swapped[:, 1:], swapped[:, :1] * 0], axis=1)
    assert like(early, swapped, output) == ["yours is one step early"]
    assert like(swapped.sum(0, keepdims=True).repeat(2, 0), swapped, output) == [
        "yours is summed over the batch"
    ]


def test_without_time_nothing_moves_in_it():
    W = np.arange(12.0).reshape(4, 3) ** 2
    assert like(W[::-1], W, HD) == []


def test_a_batch_of_one_has_no_sum():
    one = H[:, :1]
    assert like(np.add(one, [1, 2, 3, 4]), one) == []


# One thing, or several.


def test_several_things_or_a_tuple_of_one_are_not_one():
    truth, number = np.zeros((2, 4)), np.zeros(())
    comma = ("a comma stands behind what is returned: leave it out",)
    assert stopped(check_that_it_is_one, (truth,), truth, "h") == ("h is in a tuple of one", comma)
    assert stopped(check_that_it_is_one, (0.5,), number, "L") == ("L is in a tuple of one", comma)
    two = ("the function returned 2 things, want one: h", ("return h alone",))
    assert stopped(check_that_it_is_one, (truth, 1.0), truth, "h") == two
    assert stopped(check_that_it_is_one, ([[1.0], [1.0, 2.0]], truth), truth, "h") == two


@pytest.mark.parametrize("value", [np.zeros((2, 4)), [np.zeros((2, 4))], (4 * (0.0,),) * 2, ((),)])
def test_arrays_lists_rows_and_what_is_nothing_like_it_pass_on(value):
    check_that_it_is_one(value, np.zeros((2, 4)), "h")


def test_what_can_be_no_array_has_no_shape():
    assert shape_of([1.0, 2.0]) == (2,)
    assert shape_of([[1.0], [1.0, 2.0]]) == (-1,)


# What is the same at every step, and what is one number everywhere.

AGAIN = ["yours is the same at every step: one array, appended again? append a copy"]


def test_one_array_at_every_step_is_seen_if_its_first_or_last_step_is_right():
    for step in (0, -1):
        assert like(np.broadcast_to(H[step], H.shape)) == AGAIN
    assert like(np.broadcast_to(H[1], (2, 2, 4)), H[:2]) == AGAIN
    assert like(np.broadcast_to(H[2], H.shape)) == []
    assert like(np.full(H.shape, 0.25)) == []
    assert like(H[:1] * 0 + 0.5, H[:1]) == [], "one step is no repetition"
    right_at_last = H.copy()
    right_at_last[:-1] += 1.5
    assert AGAIN[0] not in like(right_at_last)


def test_of_a_truth_that_is_one_number_only_a_count_is_told():
    ones = np.full((5, 2, 4), 0.5)
    assert like(3 * ones, ones) == ["yours is 3 times what is expected, everywhere"]
    assert like(ones / 4, ones) == ["yours is 0.25 times what is expected, everywhere"]
    assert like(0.9 * ones, ones) == []
    assert like(-1.3 * ones, ones) == []
    assert like(0.9 * H) == ["yours is 0.9 times what is expected, everywhere"]


def test_beside_a_tiny_truth_nothing_is_told_and_nothing_warns(recwarn):
    assert like(np.full(H.shape, 1e300), np.full(H.shape, 1e-300)) == []
    assert like(np.full(H.shape, 5e-324), np.full(H.shape, 1.0)) == []
    assert not recwarn.list
