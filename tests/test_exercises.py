"""The checks, proved: answers right, stubs not attempted, slips dead on the rung they name."""

from __future__ import annotations

import collections
import re

import numpy as np
import pytest

from autograder import build, slip, verify
from course import fixtures, hints
from course.compare import compare
from course.exercise import CHAPTERS, PUBLIC_SEED, Case, chapter, find
from course.exercises.common import varied

EXERCISES = [exercise for name in CHAPTERS for exercise in chapter(name).exercises]
SLIPS = [each for name in CHAPTERS for each in slip.of_chapter(name)]


def by_name(each) -> str:
    return each.name


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_name)
def test_answer_is_right_and_stub_is_not_attempted(exercise):
    on_file = fixtures.of_chapter(exercise.chapter)[exercise.name]
    answer = verify.ladder(exercise, verify.reference(exercise), on_file, seed=7)
    stub = verify.ladder(exercise, verify.stub(exercise), on_file, seed=7)
    for part in exercise.parts or (None,):
        report = answer.climb(part)
        assert report.outcome == "right", report
        assert report.points == report.out_of > 0
        assert stub.climb(part).outcome == "not attempted"
        assert stub.climb(part).points == 0


@pytest.mark.parametrize("wrong", SLIPS, ids=by_name)
def test_slip_dies_on_its_rung_and_is_named(wrong):
    exercise, _ = find(wrong.exercise)
    on_file = fixtures.of_chapter(exercise.chapter)[exercise.name]
    for seed in (1, 2):
        report = verify.ladder(exercise, wrong.answer, on_file, seed).climb(wrong.part)
        assert (report.outcome, report.rung) == ("wrong", wrong.rung), report
        assert report.slip is not None
        assert report.slip.name == wrong.name


def test_every_exercise_has_three_slips_and_every_slip_a_title_of_its_own():
    count = collections.Counter(each.exercise for each in SLIPS)
    assert all(count[exercise.name] >= 3 for exercise in EXERCISES), count
    for exercise in EXERCISES:
        titles = [(s.title, s.part) for s in SLIPS if s.exercise == exercise.name]
        assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_books_table_lists_every_exercise_and_question(name):
    """The chapter's promises: number and name of each, one row each or a row for several."""
    found = chapter(name)
    page = (build.HOUSE / f"book/{found.page}.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(f"| {found.number}.")]
    listed = {each for row in rows for each in re.findall(r"`([\w.]+)`", row.split("|")[2])}
    numbers = {n for row in rows for n in numbered(row.split("|")[1])}
    every = [*found.exercises, *found.questions]
    assert {each.name.split(".")[1] for each in every} == {each.split(".")[-1] for each in listed}
    assert {each.number for each in every} == numbers


def numbered(cell: str) -> list[str]:
    """The numbers of a cell: "2.12–2.14" are three."""
    ends = re.findall(r"(\d+)\.(\d+)", cell)
    first, last = int(ends[0][1]), int(ends[-1][1])
    return [f"{ends[0][0]}.{n}" for n in range(first, last + 1)]


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_name)
def test_fixture_agrees_with_the_oracle(exercise):
    """Two methods, one truth: the reference wrote the fixture, the oracle never saw it."""
    truth = fixtures.of_chapter(exercise.chapter)[exercise.name].truth
    cases = exercise.cases(np.random.default_rng(PUBLIC_SEED))
    assert [case.name for case in cases] == list(truth)
    for case in cases:
        for a, b in zip(truth[case.name], exercise.oracle(**case.args), strict=True):
            limit = 1e-6 if case.single else 1e-12
            assert a.shape == b.shape
            size = max(np.abs(b).max(initial=0.0), 1e-3)  # an empty array agrees
            assert np.abs(a - b).max(initial=0.0) <= limit * size, case.name


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_name)
def test_cases_have_unequal_sizes_and_every_kind(exercise):
    """T = 1, a state that is not zero, an unseen length: what hides mistakes is among the cases."""
    cases = exercise.cases(np.random.default_rng(0))
    assert {case.rung for case in cases} == {"probes", "values", "properties"}
    main = next(case for case in cases if case.rung == "values")
    for value in main.args.values():
        if getattr(value, "ndim", 0) == 3:
            assert len(set(value.shape)) == 3
            assert min(value.shape) > 1
        if getattr(value, "dtype", None) == np.float64 and value.ndim:
            assert value.any()


@pytest.mark.parametrize("name", CHAPTERS)
def test_fixtures_on_disk_are_up_to_date(name):
    from autograder import build

    made = verify.fixtures(chapter(name))
    assert build.same_fixtures(fixtures.of_chapter(name), made), "run: autograder build"


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_name)
def test_every_exercise_has_three_hints(exercise):
    levels = hints.of_chapter(exercise.chapter)[exercise.name]
    assert sorted(levels) == [1, 2, 3]
    assert all(levels.values())
    main = next(c for c in exercise.cases(np.random.default_rng(0)) if c.rung == "values").args
    over_time = "T" in main or any(getattr(value, "ndim", 0) == 3 for value in main.values())
    steps = any(case.name == "T = 1" for case in exercise.cases(np.random.default_rng(0)))
    assert "T = 2" in levels[3] or not (over_time and steps)


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_name)
def test_a_hint_says_terms_in_words_and_never_a_line_of_code(exercise):
    """A known slip sends students to level 2: that may not be the answer."""
    levels = hints.of_chapter(exercise.chapter)[exercise.name]
    for code in re.findall(r"`([^`]*)`", levels[1] + levels[2]):
        assert re.fullmatch(r"\w+", code), code


BY_DEFINITION = {
    "unfolding.pick": {"u": "one draw alone has a number for u; all others an array"},
    "unfolding.sample_halt": {"u[1]": "two draws a step: what, and whether to go on"},
    "unfolding.unfold": {
        "h0[0]": "unfold looks into no state",
        "x[1]": "nor into an input",
    },
    "taxonomy.deep": {"x[2]": "D = 3, as many as layers: those vary", "U.0[1]": "the same"},
    "taxonomy.glimpse": {"centre[1]": "two coordinates"},
    "taxonomy.reinforce_grad": {"mean[2]": "two coordinates", "place[2]": "two coordinates"},
    "taxonomy.gaussian_window": {"params[1]": "five numbers place a window"},
    "seq2seq.Seq2Seq": {"score.weight[0]": "one score"},
    "learning.coordinatewise": {
        **dict.fromkeys(("x[1]", "phi.0[1]"), "a gradient is preprocessed into two"),
        **dict.fromkeys(("h[0]", "c[0]"), "two layers"),
        "phi.7[0]": "one bias",
    },
    "learning.learned_meta_gradient": {"phi.0[1]": "one gradient", "phi.7[0]": "one bias"},
}
"""Lengths and numbers that may be the same in every input, and why."""


def lengths_and_numbers(args):
    """Every axis of every array and every number among some arguments, by name."""
    for name, value in args.items():
        if isinstance(value, list):
            yield from lengths_and_numbers({f"{name}.{i}": each for i, each in enumerate(value)})
        elif isinstance(value, np.ndarray):
            yield from ((f"{name}[{axis}]", length) for axis, length in enumerate(value.shape))
        elif isinstance(value, int | float):
            yield name, value


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_name)
def test_no_size_and_no_number_is_the_same_in_every_input(exercise):
    """Else an answer that has it by heart, and does not take it from its arguments, is right."""
    if exercise.name == "seq2seq.bleu":
        return  # sentences of every length
    seen = collections.defaultdict(set)
    for case in exercise.cases(np.random.default_rng(3)):
        for name, value in lengths_and_numbers(case.args):
            seen[name].add(value)
    same = {name for name, values in seen.items() if len(values) == 1}
    assert same == set(BY_DEFINITION.get(exercise.name, {}))


@pytest.mark.parametrize("exercise", EXERCISES, ids=by_name)
def test_other_sizes_and_numbers_are_drawn_anew_and_the_truth_stands(exercise):
    """The oracle and the reference agree there, whatever is drawn; and no two draws are alike.

    Nothing overflows: of a run that diverges, rounding alone decides what comes out.
    """
    told = set()
    for seed in range(20):
        found = exercise.cases(np.random.default_rng(seed))
        for case in (case for case in found if case.name.startswith("other ")):
            told.add(case.says)
            args = {name: value for name, value in case.args.items() if name != "also"}
            names = [output.name for output in exercise.outputs]
            with np.errstate(over="raise", invalid="raise"):
                raw = exercise.run(verify.reference(exercise), args)
                truths = exercise.oracle(**case.args)
            pairs = zip(exercise.unpack(raw, names), truths, strict=True)
            for (answer, truth), output in zip(pairs, exercise.outputs, strict=True):
                array = np.asarray(answer, np.float64)
                assert compare(array, np.asarray(truth), output, exercise.tolerance) is None
    assert len(told) != 1


def test_a_draw_that_refuses_the_answer_has_a_row_of_its_own(monkeypatch):
    ladder = verify.ladder

    def unlucky(exercise, answer, on_file, seed):
        return ladder(exercise, answer if seed != 3 else verify.stub(exercise), on_file, seed)

    monkeypatch.setattr(verify, "ladder", unlucky)
    answers = [row for row in verify.rows("speed", draws=4) if row.kind == "answer"]
    bad = [row for row in answers if not row.ok]
    assert len(answers) == 2 * len(bad)
    assert all(row.name.endswith(", draw 3") for row in bad)


def test_what_is_varied_keeps_to_its_blocks():
    """An entry of a grown axis comes from its own block, wherever the other axes are."""

    @varied(sums=("HHH",), numbers={"rate": (0.5, 0.6)}, D=3, H=4)
    def cases(rng):
        gates = np.repeat([1.0, 2.0, 3.0], 4) + rng.uniform(0, 0.5, (5, 2, 12))
        args = {"gates": gates, "W": [rng.normal(size=(12, 3))], "y": np.arange(5), "rate": 0.3}
        return [Case("random input", "values", args, "")]

    before, case = cases(np.random.default_rng(5))
    gates, width = case.args["gates"], case.args["gates"].shape[-1] // 3
    assert 4 < width < 8
    assert gates.shape == (5, 2, 3 * width)
    assert np.array_equal(
        np.floor(gates), np.broadcast_to(np.repeat([1, 2, 3], width), gates.shape)
    )
    assert case.args["W"][0].shape[0] == 3 * width
    assert case.args["W"][0].shape[1] > 3
    assert case.args["y"] is before.args["y"]
    assert 0.5 <= case.args["rate"] <= 0.6
    assert list(case.args) == list(before.args)
    assert (case.name, case.rung) == ("other sizes and numbers", "properties")
    assert f"H = {width}" in case.says


def test_two_axes_of_one_length_can_not_be_varied():
    with pytest.raises(ValueError, match="one length"):
        varied(sums=("HHH",), D=12, H=4)
