"""The figures of chapter 1, by their numbers: what the prose predicts is what the data says.

Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from figures import dynamics as lab
from matplotlib.figure import Figure

from course import datasets

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "book/01-dynamics.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def diagram():
    return lab.diagram()


@pytest.fixture(scope="module")
def chaos():
    return lab.chaos()


@pytest.fixture(scope="module")
def memories():
    return {found.name: found for found in lab.memories()}


@pytest.fixture(scope="module")
def sun():
    return lab.sunspots()


def test_the_puzzle_is_as_told():
    d = lab.puzzle()
    assert (d.w, d.b, d.apart) == (1.5, 0.05, 1e-3)
    same, other = d.pairs
    assert abs(same[0, -1] - same[1, -1]) < 1e-12
    np.testing.assert_allclose(other[:, -1], [-0.83, 0.88], atol=0.005)
    assert abs(np.diff(other[:, :10], axis=0)).max() < 0.06  # together for about ten steps
    assert d.middle == pytest.approx(-0.1007, abs=5e-5)
    assert d.slope == pytest.approx(1.48, abs=0.005)
    assert lab.of_unit(1.5, 0.05)[1][-1] == pytest.approx(0.34, abs=0.005)
    assert "from 0.05 to 0.25" in PAGE  # on the way two of the dots meet and vanish
    assert [len(lab.of_unit(1.5, b)[0]) for b in (0.05, 0.25)] == [3, 1]


def test_measured_slopes_are_the_predicted_ones():
    counts = []
    for d in lab.cobwebs():
        counts.append(len(d.points))
        for point, slope in zip(d.points, d.slopes, strict=True):
            near = lab.run_unit(point + 1e-4, d.w, d.b, 1) - point
            assert near[1] / near[0] == pytest.approx(slope, abs=3e-4)
    assert counts == [1, 3, 1, 1]
    assert abs(lab.cobwebs()[3].run[-1] - lab.cobwebs()[3].run[-2]) > 1  # a cycle of two


def test_models_compare_as_told():
    dense, convolved, last, recurrent = lab.models()
    assert [m.other for m in (dense, convolved, last, recurrent)] == [False, False, True, True]
    assert [m.reach for m in (dense, convolved, last, recurrent)] == [19, 19, 4, 19]
    assert len(set(recurrent.parameters)) == len(set(last.parameters)) == 1
    assert dense.parameters[0] / recurrent.parameters[0] == pytest.approx(2.6, abs=0.05)
    assert dense.parameters[-1] / recurrent.parameters[-1] == pytest.approx(125, abs=0.5)


def test_continuation_turns_where_the_formula_says(diagram):
    h, b = lab.saddle_node(np.array([2.0]))
    folds = diagram.loop.folds
    assert len(folds) == 2
    np.testing.assert_allclose(np.sort(folds[:, 1]), [b[0], -b[0]], rtol=1e-9)
    np.testing.assert_allclose(np.abs(folds[:, 2]), h[0], rtol=1e-6)
    ((w, _, _),) = diagram.tilted[1].folds
    assert -lab.saddle_node(np.array([w]))[1][0] == pytest.approx(0.05, rel=1e-9)
    assert w == pytest.approx(1.18, abs=0.005)
    for branch in (diagram.straight, diagram.loop, *diagram.fork, *diagram.tilted):
        # Every point of every branch lies on (1.9), which continuation never uses.
        np.testing.assert_allclose(branch.b, np.arctanh(branch.h) - branch.w * branch.h, atol=1e-9)
    assert len(diagram.tilted[0].folds) == len(diagram.straight.folds) == 0


def test_the_loop_is_traced_up_one_side_and_down_the_other(diagram):
    d = lab.bit()
    assert d.threshold == pytest.approx(d.predicted, abs=1e-6)
    assert (np.abs(d.steps - d.formula) < 3).all()
    assert (np.abs(d.steps - d.formula) > 2).all()
    between = np.abs(d.sweep) < 0.4
    assert (d.down[between] - d.up[between]).min() > 1.5
    assert d.sweep[d.up > 0].min() == pytest.approx(0.56, abs=0.005)
    assert d.sweep[d.down < 0].max() == pytest.approx(-0.56, abs=0.005)
    at = [26, 42, 66, 88, 109]  # after each pulse
    assert [bool(h > 0) for h in d.h[at]] == [False, False, True, True, False]


def test_two_units_turn_as_predicted_near_one_and_not_far_from_it():
    found = lab.turnings()
    near, far = found[0], found[-1]
    assert near.radius2 == pytest.approx(near.predicted2, rel=0.02)
    assert near.angle == pytest.approx(near.phi, rel=1e-3)
    assert far.radius2 > 1.5 * far.predicted2


@pytest.mark.parametrize("gain", [1.01, 1.05, 1.2, 1.5])
def test_a_turning_pair_forgets_its_size_and_keeps_its_phase(gain):
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    W = gain * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    ends = lab.orbit(np.concatenate([0.3 * circle, 0.05 * circle]), W, np.zeros(2), 4000)[-1]
    large, small = (ends @ [1, 1j]).reshape(2, -1)
    assert np.abs(np.angle(large / small)).max() < 0.15  # the same phase, whatever the size was
    gaps = np.diff(np.sort(np.angle(large)))  # 60 phases are still 60, all around the curve
    assert gaps.min() > 0.5 * gaps.mean()


def test_chaos_begins_near_one_and_nears_the_prediction_with_the_width(chaos):
    at = dict(zip(chaos.gains, range(len(chaos.gains)), strict=True))
    wide = chaos.measured[512]
    assert sum(values.shape[1] for values in chaos.measured.values()) == 9
    for values in chaos.measured.values():
        assert (values[at[1.1]] <= 0).all()
        assert (values[at[0.5]] < -0.5).all()
    for gain in (1.6, 2.0, 2.5, 3.0):
        assert np.abs(wide[at[gain]].mean() - chaos.predicted[at[gain]]) < 0.01
        gaps = [
            abs(v[at[gain]].mean() - chaos.predicted[at[gain]]) for v in chaos.measured.values()
        ]
        assert gaps[0] > gaps[1] > gaps[2]
        assert chaos.q_measured[at[gain]] == pytest.approx(chaos.q[at[gain]], rel=0.02)
    below = chaos.gains < 1  # the largest eigenvalue lies off the disc's edge, here outside
    for values in chaos.measured.values():
        assert (values[below].mean(axis=1) > chaos.predicted[below]).all()
    assert chaos.predicted[[0, -1]] == pytest.approx([-0.69, 0.31], abs=0.005)
    above = chaos.gains > 1
    lower = (chaos.predicted[:, None] - chaos.measured[32])[above]
    assert lower.mean(axis=1).max() == pytest.approx(0.1, abs=0.02)
    predicted, measured = lab.radius_below()
    assert measured == pytest.approx(predicted, abs=5e-4)


def test_twins_part_when_the_exponent_says():
    still, double, single = lab.twins()
    assert still.rate < 0
    assert still.distance.max() < 1e-14
    for d in (double, single):
        predicted, measured = lab.parting(d)
        assert 0.7 * predicted < measured < predicted
    assert lab.parting(double)[0] > 2 * lab.parting(single)[0]


def test_recall_follows_one_unit_until_it_is_overloaded():
    d = lab.recall()
    for flipped, m in d.overlap.items():
        np.testing.assert_allclose(m, d.predicted[flipped], atol=1e-12)
        assert m[0] == pytest.approx(1 - 2 * flipped, abs=0.02)
        assert m[-1] == pytest.approx(d.alone, abs=1e-4)
    assert (d.final[d.loads <= 0.1] > 0.99).all()
    assert d.final[d.loads == 0.2].item() == pytest.approx(0.7, abs=0.05)


def test_memories_are_as_told(memories):
    slow = memories["orthogonal, g = 0.95, tiny input"]
    assert 39 < slow.r2.sum() < 40 < slow.inside
    assert slow.inside == pytest.approx(40.3, abs=0.05)
    table = [n for m in memories.values() for n in (m.r2.sum(), m.noisy, m.inside, m.chance)]
    assert sum(number > slow.H for number in table) == 1  # one number above the bound
    fast = memories["orthogonal, g = 0.6, tiny input"]
    assert fast.noisy < fast.r2.sum() / 2
    assert slow.noisy > 0.98 * slow.r2.sum()
    size = [
        memories[f"orthogonal, g = 0.95, {s}"].r2.sum()
        for s in ("tiny input", "input 1", "input 5")
    ]
    assert size[0] > size[1] > size[2]
    assert memories["Gaussian, g = 2, tiny input"].r2.sum() < 0.1
    for found in memories.values():
        assert found.r2.sum() <= found.H
        assert found.chance == pytest.approx(100 * 40 / 7900, abs=0.15)


def test_sunspots_are_those_of_statsmodels():
    from statsmodels.datasets import sunspots

    theirs = sunspots.load_pandas().data
    years, spots = datasets.sunspots()
    np.testing.assert_array_equal(years, theirs["YEAR"])
    np.testing.assert_array_equal(spots, theirs["SUNACTIVITY"].astype(float))
    assert years.dtype == np.int64
    assert (years[0], years[-1], len(years)) == (1700, 2008, 309)


def test_autoregression_is_that_of_statsmodels():
    from statsmodels.tsa.ar_model import AutoReg

    _, spots = datasets.sunspots()
    root = np.sqrt(spots)
    fitted = AutoReg(root[: lab.FIT], 9).fit()
    mine = lab.autoregression(root, 9, lab.FIT)
    np.testing.assert_allclose(mine[9 : lab.FIT], fitted.fittedvalues, rtol=1e-8)


def test_the_honest_table(sun):
    found = lab.errors(sun)
    assert (sun.years[0], sun.years[-1], len(sun.years)) == (1921, 2008, 88)
    assert found["AR(9) on square roots"] == pytest.approx(15.4, abs=0.05)
    assert found["persistence"] == pytest.approx(30.4, abs=0.05)
    best = found["AR(9) on square roots"]
    assert best < found["network, by test"] < found["network, by blocks"] < found["AR(2)"]
    assert found["network, by blocks"] < found["AR(2) on square roots"]
    assert found["AR(9)"] < found["network, by blocks"]
    assert found["AR(2)"] < found["network, by recent"] < found["persistence"]
    assert sun.chosen["recent"][-1] == max(penalty for *_, penalty in lab.GRID)


def test_what_is_said_of_active_years(sun):
    years, spots = datasets.sunspots()
    fitted = spots[: lab.FIT]
    assert (fitted.max(), years[fitted.argmax()]) == (154.4, 1778)
    assert (sun.spots > fitted.max()).sum() == 6
    active = sun.spots > 110
    assert active.sum() == 18
    network, linear = sun.made["network, by blocks"], sun.made["AR(9) on square roots"]
    calm = [
        np.mean([lab.rms((m - sun.spots)[~active]) for m in np.atleast_2d(x)])
        for x in (network, linear)
    ]
    assert calm[0] < calm[1] + 1
    assert (network - sun.spots)[:, active].mean() < 2 * (linear - sun.spots)[active].mean() < 0
    assert fitted[171:].max() < np.percentile(sun.spots, 82)  # the last fifty years were quiet


def test_no_forecast_knows_its_year():
    """Change the last test years: no forecast of an earlier year may move."""
    _, spots = datasets.sunspots()
    changed = spots.copy()
    changed[-5:] = 0.0
    for p in (2, 9):
        one, other = (lab.autoregression(s, p, lab.FIT) for s in (spots, changed))
        np.testing.assert_array_equal(one[:-4], other[:-4])
    one, other = (lab.states_of(1, 20, 0.7, 0.3, np.sqrt(s)) for s in (spots, changed))
    np.testing.assert_array_equal(one[:-5], other[:-5])


def test_pitfalls_are_as_predicted():
    fresh, zero, iterated, chance = lab.pitfalls()
    assert fresh.measured == pytest.approx(fresh.predicted, rel=0.05)
    assert zero.measured == pytest.approx(zero.predicted, abs=0.005)
    assert abs(iterated.measured - iterated.predicted) > 0.02  # it does not settle
    assert chance.measured == pytest.approx(chance.predicted, rel=0.1)


def test_every_function_is_proved_and_every_proof_holds():
    found = lab.proofs()
    assert [p.name for p in found] == [
        "orbit", "driven", "jacobian", "newton", "saddle_node", "lyapunov", "memory", "ridge",
        "orbits",
    ]  # fmt: skip
    for p in found:
        assert p.error < 1e-12, p.name


def test_three_starts_have_one_exponent():
    rng = np.random.default_rng(0)
    W = rng.normal(0, 2 / np.sqrt(128), (128, 128))
    h0, v = rng.normal(size=(2, 3, 128))
    lam = lab.lyapunov(h0, v, W, np.zeros(128), 1000)
    assert np.ptp(lam.round(2)) == 0
    assert lam.mean() == pytest.approx(0.143, abs=0.008)  # of three networks of 128 units


def test_cost_is_counted_in_orbits():
    d = lab.cost(counts=(1, 8), T=5)
    assert (d.numpy > 0).all()
    assert (d.torch > 0).all()


@pytest.mark.parametrize(
    "name",
    ["puzzle", "cobwebs", "diagram", "turnings", "twins", "recall", "memories"],
)
def test_every_figure_draws(name):
    figure = getattr(lab, f"draw_{name}")(getattr(lab, name)())
    assert isinstance(figure, Figure)
    assert figure.axes
    lab.plt.close(figure)


def test_the_other_figures_draw(chaos, sun, diagram):
    for figure in (
        lab.draw_chaos(chaos), lab.draw_sunspots(sun), lab.draw_bit(lab.bit(), diagram.loop),
    ):  # fmt: skip
        assert figure.axes
        lab.plt.close(figure)


# ------------------------------------------------------------------------------ numbers in prose


def test_numbers_in_the_prose_are_the_computed_ones():
    def said(text: str) -> None:
        assert re.sub(r"\s+", " ", text) in re.sub(r"\s+", " ", PAGE), text

    point, slope = lab.of_unit(2.0, 0.0)[0][-1], lab.of_unit(2.0, 0.0)[1][-1]
    said(f"with $w = 2$ it is {slope:.3f}")
    question = (ROOT / "solutions/dynamics.py").read_text(encoding="utf-8")
    assert f"$h^* = {point:.4f}$" in question
    assert f"{point:.4f}^2) = {slope:.3f}$" in question
    assert f"{slope:.3f}^{{20}}" in question
    assert float(f"{slope:.3f}") ** 20 == pytest.approx(3e-16, rel=0.25)
    for w, b in ((2.0, "0.533"), (6.0, "3.93")):
        assert f"{-lab.saddle_node(np.array([w]))[1][0]:.3g}" == b
        assert b in question
    assert f"{lab.of_unit(6.0, 0.0)[1][-1]:.5f}" == "0.00015"
    said(f"1/\\sqrt 3 = {1 / np.sqrt(3):.3f}")
    assert f"{0.577**10:.3f}" == "0.004"
    for bits, steps in ((2.2e-16, 338), (1.2e-7, 136)):
        assert round(np.log(0.1 / bits) / 0.1) == steps
        said(f"= {steps}$")


# ------------------------------------------------------------------------------------ the sliders


def test_without_scripts_a_sentence_says_what_the_sliders_would():
    text = lab.phase_html()
    assert "has 3 fixed points: -0.8339 (slope 0.4569, attracts); -0.1007" in text


@pytest.fixture
def widget(open_widget):
    """The sliders alone on a page; the whole page is opened in tests/test_book.py."""
    page = open_widget("phase", lab.phase_html())
    yield page
    assert page.complaints == []
    page.close()


def put(page, **values: float) -> tuple[list[float], list[float], str]:
    """Move sliders; the fixed points and slopes that the page then says, and its whole text."""
    for name, value in values.items():
        page.locator(f"#rnn-phase-0-{name}").evaluate(
            "(slider, value) => {slider.value = value; slider.dispatchEvent(new Event('input'))}",
            value,
        )
    text = page.locator("p[aria-live]").inner_text().replace("−", "-")
    found = re.findall(r"(-?[\d.]+) \(slope (-?[\d.]+), \w+\)", text)
    return [float(h) for h, _ in found], [float(s) for _, s in found], text


@pytest.mark.browser
@pytest.mark.parametrize("w", [1.25, 1.5, 2.0, 2.5])
def test_sliders_cross_the_saddle_node_where_it_is_predicted(widget, w):
    edge = -lab.saddle_node(np.array([w]))[1][0]
    inside, outside = np.floor(edge * 100) / 100, np.ceil(edge * 100) / 100
    for side in (1, -1):
        for b, count in ((side * inside, 3), (side * outside, 1)):
            points, _, text = put(widget, w=w, b=float(b))
            assert len(points) == count, (w, b)
            assert text.startswith(f"{count} fixed point")
            assert widget.locator(".rnn-fixed-point").count() == 2 * count


@pytest.mark.browser
@pytest.mark.parametrize(
    ("w", "b"), [(1.5, 0.05), (-2.0, 0.3), (0.7, 0.2), (3.0, -0.4), (1.0, 0.0)]
)
def test_sliders_say_the_fixed_points_of_python(widget, w, b):
    points, slopes, text = put(widget, w=w, b=b)
    if (w, b) == (1.0, 0.0):  # the pitchfork itself: one fixed point, slope 1
        assert points == [0.0]
        assert slopes == [1.0]
        return
    theirs, steep = lab.of_unit(w, b)
    assert [f"{h:.4f}" for h in points] == [f"{h:.4f}" for h in theirs]
    assert [f"{s:.4f}" for s in slopes] == [f"{s:.4f}" for s in steep]
    for h, slope in zip(points, slopes, strict=True):
        verdict = "attracts" if abs(slope) < 1 else "repels"
        assert f"{h:.4f} (slope {slope:.4f}, {verdict})" in text


@pytest.mark.browser
def test_dots_lie_where_the_sentence_says(widget):
    points, _, _ = put(widget, w=1.5, b=0.05)
    box = widget.locator("svg rect").first.evaluate("r => [r.x, r.width].map(v => v.baseVal.value)")
    drawn = widget.locator(".rnn-fixed-point").evaluate_all(
        "all => all.map(c => c.cx.baseVal.value)"
    )
    heights = [(x - box[0]) / box[1] * 2 - 1 for x in drawn[::2]]
    np.testing.assert_allclose(heights, points, atol=1e-3)


@pytest.mark.browser
def test_a_run_ends_where_orbits_end(widget):
    for start in (-0.5, 0.0):
        _, _, text = put(widget, w=1.5, b=0.05, h=start)
        end = lab.run_unit(start, 1.5, 0.05, 1000)[-1]
        assert f"After 1000 steps the run is at {end:.4f}." in text
    _, _, text = put(widget, w=-2.0, b=0.0, h=0.3)
    low, high = sorted(lab.run_unit(0.3, -2.0, 0.0, 1000)[-2:])
    assert {f"{low:.4f}", f"{high:.4f}"} == set(
        re.findall(r"from (-?[\d.]+) to (-?[\d.]+)\.", text)[0]
    )


@pytest.mark.browser
def test_sliders_are_labelled_and_moved_by_keys(widget):
    for name, label in (("w", "Weight w"), ("b", "Bias b"), ("h", "Start h(0)")):
        slider = widget.get_by_label(label)
        before = slider.input_value()
        slider.focus()
        widget.keyboard.press("ArrowRight")
        assert slider.input_value() != before
        assert slider.get_attribute("aria-valuetext")
        assert widget.locator(f"output[for='rnn-phase-0-{name}']").inner_text()
    assert widget.evaluate("document.documentElement.scrollWidth") <= 390
