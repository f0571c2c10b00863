"""The failure museum: each wrong version fails where the page says, each right one passes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from figures import museum

from autograder import verify
from course import CheckFailed, check, fixtures
from course.exercise import find
from course.ladder import Ladder

PAGE = (Path(__file__).resolve().parent.parent / "book" / "museum.md").read_text(encoding="utf-8")
EXHIBITS = list(museum.EXHIBITS.values())


def by_key(each) -> str:
    return each.key


def ladder(exhibit, which: str, seed: int) -> tuple[Ladder, str | None]:
    exercise, part = find(exhibit.check)
    on_file = fixtures.of_chapter(exercise.chapter)[exercise.name]
    return verify.ladder(exercise, museum.answer(exhibit, which), on_file, seed), part


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=by_key)
def test_the_wrong_version_is_stopped_where_the_page_says(exhibit):
    for seed in (1, 2):
        climbed, part = ladder(exhibit, "wrong", seed)
        report = climbed.climb(part)
        assert (report.outcome, report.rung) == ("wrong", exhibit.rung), report
        assert (report.slip.title if report.slip else None) == exhibit.slip


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=by_key)
def test_the_right_version_passes(exhibit):
    climbed, part = ladder(exhibit, "right", 1)
    assert climbed.climb(part).outcome == "right"


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=by_key)
def test_the_code_on_the_page_is_the_code_that_is_judged(exhibit):
    """One line apart, under the exercise's name, without what is only for a linter."""
    exercise, _ = find(exhibit.check)
    for which in ("wrong", "right"):
        lines = museum.source(exhibit, which)
        assert lines[0].startswith(f"def {exercise.symbol}(")
        assert len(lines) <= 12
        assert "noqa" not in "".join(lines)
        assert museum.answer(exhibit, which).__name__ == exercise.symbol
    fix = museum.fix(exhibit)
    assert [line[0] for line in fix] in (["-", "+"], ["-"]), fix


def test_a_report_names_the_line_that_the_page_shows(capsys):
    exhibit = museum.EXHIBITS["in-place"]
    with pytest.raises(CheckFailed):
        check(exhibit.check, museum.answer(exhibit, "wrong"))
    said = capsys.readouterr().out
    line = next(n for n, text in enumerate(museum.source(exhibit, "wrong"), 1) if "out=h" in text)
    assert f"in grad_h, line {line}:" in said


def test_the_state_that_outlives_the_call_is_named():
    climbed, part = ladder(museum.EXHIBITS["strangers-state"], "wrong", 1)
    said = " ".join(climbed.climb(part).lines)
    assert "called again with the same arguments, it differs" in said
    climbed, part = ladder(museum.EXHIBITS["softmax-twice"], "wrong", 1)
    assert "called again" not in " ".join(climbed.climb(part).lines)


# ------------------------------------------------------------------------------------- the page


def test_every_exhibit_has_its_place_on_the_page():
    shown = re.findall(
        r"\(museum-([\w-]+)\)=\n### (.*)\n\n((?:.+\n)+)\n```\{code-cell\} python\n"
        r':tags: \[remove-input\]\nmuseum\.show\("([\w-]+)"\)\n```',
        PAGE,
    )
    assert [key for key, *_ in shown] == list(museum.EXHIBITS)
    for key, title, prose, called in shown:
        assert called == key
        assert title == museum.title(museum.EXHIBITS[key])
        cited = "https://github.com/" in prose or "{ref}`the errata <errata>`" in prose
        assert cited, f"{key}: nobody is cited"


def test_exhibits_stand_under_their_chapters():
    number = "0"
    for line in PAGE.splitlines():
        if found := re.match(r"## Chapter (\d+):", line):
            number = found[1]
        if found := re.match(r"\(museum-([\w-]+)\)=", line):
            exercise, _ = find(museum.EXHIBITS[found[1]].check)
            assert exercise.number.split(".")[0] == number


def test_the_table_leads_to_every_exhibit():
    table = museum.contents().data
    assert re.findall(r'href="#museum-([\w-]+)"', table) == list(museum.EXHIBITS)
    assert table.count("<tr>") == len(EXHIBITS) + 1


# ------------------------------------------------- what was measured, by another way, and prose


def shown(key: str) -> list[str]:
    return [str(value) for value in museum.EXHIBITS[key].shows().values()]


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=by_key)
def test_what_is_shown_is_the_same_each_time_and_not_all_alike(exhibit):
    found = exhibit.shows()
    assert found == exhibit.shows()
    assert len(found) == 1 or len(set(map(str, found.values()))) > 1


def test_two_softmaxes_have_a_floor_and_no_slope():
    floor, zero, flat, slope = shown("softmax-twice")
    assert floor == f"{np.log(1 + 3 / np.e):.2f}" == "0.74"
    assert "0.74, which is what four classes give" in PAGE.replace("\n", " ")
    assert (zero, flat) == ("0.00", "0.00")
    assert slope == f"{np.sqrt(2):.2f}"  # -1 at the target, 1 at the wrong class


def test_where_exp_overflows():
    limits = [
        int(np.floor(np.log(float(np.finfo(kind).max)))) + 1
        for kind in (np.float16, np.float32, np.float64)
    ]
    assert shown("overflow") == [str(n) for n in limits] == ["12", "89", "710"]
    assert "378 was enough. In half precision 12 is." in PAGE.replace("\n", " ")
    assert "`exp(89)` is infinite" in PAGE


def test_the_dropped_road_has_the_report_s_numbers():
    """h(2) = u x(2) + w (u x(1) + w h(0)), differentiated by differences."""

    def last(u, w):
        return u * 3 + w * (u * 2 + w * 7)

    du = (last(5 + 1e-4, 4) - last(5 - 1e-4, 4)) / 2e-4
    dw = (last(5, 4 + 1e-4) - last(5, 4 - 1e-4)) / 2e-4
    assert shown("dropped-road") == ["3", f"{du:.0f}", "38", f"{dw:.0f}"]
    assert "It got 3 and 38." in PAGE


def test_the_die_can_not_be_predicted():
    wrong, right, least = (float(value) for value in shown("not-shifted"))
    assert wrong < 0.01 < least < right
    assert least == round(np.log(4), 2)


def test_open_loop_flatters():
    wrong, right = (float(value) for value in shown("open-loop"))
    # In closed loop the start is repeated.  It is still right with 1/4 + 3/4 (1 - 0.1 · 4/3)^t.
    steps = np.arange(1, 41)
    expected = np.mean(0.75 - 0.75 * (1 - 0.1 * 4 / 3) ** steps)
    assert right == pytest.approx(expected, abs=0.03)
    assert wrong < right / 3


def test_clipping_by_value_turns_and_by_norm_does_not():
    assert shown("by-value") == [
        f"{np.sqrt(2):.2f}, {45 - np.degrees(np.arctan(0.01)):.0f}°",
        "1.00, 0°",
    ]


def test_gates_of_a_bias_set_once_and_twice():
    twice, once = shown("bias-twice")[:2]
    assert (twice, once) == (f"{1 / (1 + np.exp(-2)):.2f}", f"{1 / (1 + np.exp(-1)):.2f}")
    assert f"start the gate at {once}. Set in both, it starts at {twice}" in PAGE


def test_nats_flatter_by_a_third():
    wrong, right = shown("nats-for-bits")
    assert (wrong, right) == (f"{np.log(27):.2f}", f"{np.log2(27):.2f}")
    assert f"by {100 * (1 - np.log(2)):.0f} %" in PAGE


def test_what_each_half_of_the_last_output_has_read():
    _, forward, backward = shown("last-output")
    assert (forward, backward) == ("5 of 5", "1 of 5")


def test_padding_with_a_score_of_zero_has_its_share():
    assert shown("scores-times-mask") == [f"{1 - 5 / T:.2f}, 0.00" for T in (5, 10, 50)]


def test_a_mean_of_means_in_fractions():
    short, long = -np.log(0.1), -np.log(0.9)
    assert shown("mean-of-means") == [
        f"{(short + long) / 2:.2f}",
        f"{(short + long) / 2:.2f}",
        f"{(short + 9 * long) / 10:.2f}",
        "9 times",
    ]


def test_a_beam_with_one_state_reports_what_it_has_not_written():
    said, true, both = shown("state-of-the-last")
    assert float(said) - float(true) > 1
    assert len(set(both.split(", "))) == 1, "each sequence's score is its log P"
    assert float(true) < float(both.split(", ")[0])


def test_only_the_sentence_of_five_words_has_four_in_a_row():
    assert shown("mean-of-bleus") == [f"{1 / 3:.2f}", "1.00"]


def test_uncorrected_steps_in_closed_form():
    """Under a constant gradient the means are 1 - beta^t."""

    def step(t):
        return (1 - 0.9**t) / np.sqrt(1 - 0.999**t)

    assert shown("uncorrected") == [f"{step(t):.2f}, 1.00" for t in (1, 10, 100)]
    assert step(1000) > 1.2, "too large for more than a thousand steps"


def test_decoupled_decay_is_a_power():
    wrong, right = shown("decay-in-gradient")
    assert right == ", ".join([f"{(1 - 0.01 * 0.1) ** 1000:.2f}"] * 2)
    assert float(wrong.split(", ")[1]) > 0.95 > 0.4 > float(wrong.split(", ")[0])


def test_differences_tell_the_second_order_from_the_first():
    wrong, right, differences, first = shown("no-second-graph")
    assert right == differences != wrong
    assert first == f"{wrong}, {wrong}", "what is wrong is the first order, whatever was asked for"


def test_the_best_of_many_that_are_alike():
    """The smallest of n medians of 11 logarithms, drawn anew."""
    rng = np.random.default_rng(0)
    for line, n in zip(shown("tuned-on-test"), (1, 5, 25), strict=True):
        wrong, right = (float(each) for each in line.split(", "))
        best = np.sort(rng.normal(size=(2000, n, 11)), axis=-1)[..., 5].min(axis=-1).mean()
        assert wrong == pytest.approx(np.exp(best), abs=0.04)
        assert right == pytest.approx(1, abs=0.06)
    assert wrong < 0.5, "25 that are all alike halve the loss"


def test_operations_are_counted_by_a_second_counter():
    wrong, right, counted = (int(each) for each in shown("one-for-two"))
    B, D, H, G = 2, 3, 4, 4
    multiplications = sum(1 for _ in np.ndindex(B, G * H, D + H))
    assert (wrong, right) == (multiplications, 2 * multiplications)
    assert counted == right


def test_a_clock_that_does_not_wait_says_the_latency():
    *times, impossible = shown("not-waited-for")
    assert all(each.startswith("5 µs; ") for each in times)
    assert times[-1].endswith(f"{(5e-6 + 2 * 16384**3 / 50e12) * 1e6:,.0f} µs")
    assert impossible == f"{2 * 16384**3 / 5e-6 / 50e12:,.0f}"


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("radius", ["0.00", "1.10", f"{1e-6 * 1.1**100:.2f}"]),
        ("no-end", ["0.00", f"{2 / 3:.2f}"]),  # 1 less the softmax of three equal outputs
        ("log-sigmoid", ["-inf", "-90", "-inf", "-750"]),
        ("not-detached", ["12 steps", "4 steps"]),
        ("take-or-keep", ["0.95", "0.05"]),
        ("left-sorted", ["3 of 4"]),
        ("four-bytes", ["8", "200 %", "100 %", "50 %"]),
        ("steps-exchanged", ["1", f"{0.5**3:g}", "4, 4"]),
    ],
)
def test_closed_forms(key, values):
    assert shown(key)[: len(values)] == values


@pytest.mark.parametrize(
    ("key", "silent"),
    [
        ("zero-state", 0),
        ("batch-first", 1),
        ("strangers-state", 1),
        ("in-place", 1),
        ("padding-first", 1),
        ("not-turned-back", 1),
        ("forward-twice", 0),
        ("candidate-for-cell", 0),
        ("reset-before", 0),
    ],
)
def test_one_of_two_numbers_is_zero(key, silent):
    """An effect that must not be there, or one that must; the other number is far from 0."""
    numbers = [float(value) for value in shown(key)]
    assert numbers[silent] == 0
    assert numbers[1 - silent] > 0.05
