"""The checks, proved: answers right, stubs not attempted, slips dead on the rung they name."""

from __future__ import annotations

import collections
import re

import numpy as np
import pytest

from autograder import build, slip, verify
from course import fixtures, hints
from course.exercise import CHAPTERS, PUBLIC_SEED, chapter, find

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
