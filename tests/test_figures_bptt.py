"""The figures of chapter 3, by their numbers: what the prose predicts is what the data says.

Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from figures import bptt as lab
from figures.tables import Table, typeset
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def decays():
    return lab.decays()


@pytest.fixture(scope="module")
def truncation():
    return lab.truncation()


def test_four_ways_agree():
    found = lab.four_ways()
    assert set(found) == set(lab.PARAMETERS)
    for name, methods in found.items():
        assert methods["complex step"] <= 1e-9
        assert methods["autograd"] <= 1e-9
        assert (methods["RTRL"] is None) == (name not in ("U", "W", "b"))
        assert methods["RTRL"] is None or methods["RTRL"] <= 1e-9


def test_complex_step_reaches_rounding_and_differences_do_not():
    data = lab.step_sizes()
    assert data["complex"][data["eps"] < 1e-8].max() < 1e-14
    assert data["central"].min() > 1e-11
    assert data["central"][-1] == 1.0
    early = (data["eps"] <= 1e-2) & (data["eps"] >= 1e-4)  # truncation error alone: slope 2
    for name in ("complex", "central"):
        slope = lab.exponent(data["eps"][early], data[name][early])
        assert slope == pytest.approx(2, abs=0.02)


def test_scalar_case_by_three_formulas():
    for row in lab.scalar_case():
        assert row.formula == pytest.approx(row.complex_step, rel=1e-12)


def test_a_sum_is_not_a_product():
    found = lab.sum_or_product()
    assert found.product == pytest.approx(found.complex_step, rel=1e-12)
    assert found.printed - found.product == pytest.approx(0.415, abs=5e-4)
    assert abs(found.printed - found.complex_step) > 0.1
    collected, ordered = lab.order_of_factors()
    assert ordered < 1e-12
    assert collected > 0.1


def test_ledger_is_what_the_chapter_predicts():
    data = lab.ledger()
    facts = lab.ledger_facts(data)
    assert data.error < 1e-12  # rows sum to the gradient of their loss
    assert facts["above"] == 0
    assert facts["outside"] < 0.2
    assert facts["ratio"] == pytest.approx(0.5**3, rel=0.1)  # sampling and tanh
    few = lab.ledger_facts(lab.ledger(B=256))
    assert few["ratio"] > facts["ratio"] + 0.005  # less sampling noise with a larger batch
    last = data.norms[0, -1]
    assert last[-4:].min() > 3 * last[:-4].max()  # the band is as wide as the delay
    assert not data.norms[:, :4].any()  # no target, no gradient


def test_linear_slopes_are_the_spectrums(decays):
    for d in decays:
        if d.kind == "linear" and d.name.startswith("orthogonal"):
            np.testing.assert_allclose(d.norm, d.predicted, rtol=1e-9)
        elif d.kind == "linear":
            half = slice(len(d.n) // 2, None)
            slope = np.exp(np.polyfit(d.n[half], np.log(d.norm[half]), 1)[0])
            assert slope == pytest.approx(d.predicted[1], rel=0.01)
            assert d.norm[1] > 1.5 * d.predicted[1]  # and a norm well above: not normal


def test_tanh_stays_below_its_bound(decays):
    tanh = [d for d in decays if d.kind == "tanh"]
    assert len(tanh) == 3
    for d in tanh:
        assert (d.norm <= d.predicted * (1 + 1e-12)).all()
    assert tanh[-1].norm[-1] == pytest.approx(0.39, abs=0.02)  # the puzzle: 1.25, and it shrinks


def test_input_decides_whether_it_explodes():
    d = lab.draws()
    assert d.scale[0] == 0
    np.testing.assert_allclose(d.norm[0], 1.25**40, rtol=1e-9)
    median = np.median(d.norm, axis=1)
    assert (np.diff(median) < 0).all()
    assert d.norm[1].min() > 1  # small inputs: every draw grows
    assert median[3] < 1
    assert (d.norm[3] > 0.4).any()  # 0.4 in the puzzle is one draw's, not the network's
    assert d.norm[4].max() < 0.01


def test_scalar_case_grows_with_the_modulus_and_its_square():
    for g in lab.growth():
        assert abs(g.output) == pytest.approx(2**10, rel=1e-9)
        assert g.squared == pytest.approx(2**20, rel=0.01)


def test_non_normal_grows_then_decays():
    d = lab.non_normal()
    assert d.radius == 0.7
    assert d.sigma == pytest.approx(1.47, abs=0.01)
    assert (round(d.peak), d.peak_at) == (196, 22)  # as the puzzle says
    assert (np.diff(d.norm[: d.peak_at + 1]) > 0).all()
    assert (np.diff(d.norm[d.peak_at :]) < 0).all()
    assert d.norm[-1] < 0.01
    assert (d.radius_power <= d.norm * (1 + 1e-9)).all()
    assert (d.norm <= d.norm_power * (1 + 1e-9)).all()
    np.testing.assert_allclose(d.norm[:9], d.norm_power[:9], rtol=0.3)  # along the upper curve
    far = lab.non_normal(N=1001).norm
    for n in (80, 200, 1000):  # as the largest entry, binomial(n, 7) 0.8^7 0.7^(n-7)
        assert far[n + 1] / far[n] == pytest.approx(0.7 * (n + 1) / (n - 6), abs=5e-4)


def test_cliff_throws_and_clipping_holds():
    d = lab.cliff()
    steps = np.linalg.norm(np.diff(d.clipped, axis=0), axis=1)
    assert steps.max() <= 0.05 * d.threshold * (1 + 1e-12)
    jump = np.linalg.norm(np.diff(d.free, axis=0), axis=1).max()
    assert jump == pytest.approx(0.05 * d.steepest, rel=1e-12)
    assert jump > 1
    assert d.free_loss[-1] > 0.2
    assert np.median(d.clipped_loss[-10:]) < 0.03  # the last one alone is a lucky 0.0005
    assert 0.05 < d.clipped_loss[-10:].max() < 0.1
    last = np.linalg.norm(np.diff(d.free[-5:], axis=0), axis=1)
    assert last.max() < 1e-6  # stuck on the plain


def test_cliff_units_do_not_meet():
    """Many one-unit networks in one diagonal W give what each gives alone."""
    w, b = np.array([0.8, 1.5, 2.0]), np.array([0.1, -0.1, -0.2])
    together = lab.units(w, b, 9, 0.5, 0.4)
    for i in range(3):
        alone = lab.units(w[i : i + 1], b[i : i + 1], 9, 0.5, 0.4)
        np.testing.assert_allclose([t[i] for t in together], [a[0] for a in alone], rtol=1e-12)


def test_truncation_is_exact_at_the_whole_length(truncation):
    for d in truncation:
        assert d.k[-1] == 64
        assert d.error[-1] < 1e-12
        assert d.cosine[-1] == pytest.approx(1, abs=1e-12)


def test_truncated_gradient_is_shorter_and_turned(truncation):
    for d, low, high in zip(truncation, (0.25, 0.43), (0.35, 0.61), strict=True):
        some = (d.k >= 4) & (d.k <= 16)
        assert np.degrees(np.arccos(d.cosine[some])).max() < 30
        short = (d.along[some] / d.error[some]) ** 2
        assert low < short.min() <= short.max() < high


def test_truncation_follows_the_count_of_pairs(truncation):
    for d in truncation:
        few = d.k <= 12  # above, few borders are left and each is one draw
        np.testing.assert_allclose(d.error[few], d.predicted[few], rtol=0.2)
        # At k = 1 both kinds of horizon keep the same pairs.
        assert d.error[0] == pytest.approx(d.window[0], rel=1e-9)
    contracting = truncation[0]
    middle = (contracting.k >= 4) & (contracting.k <= 16)
    assert lab.exponent(contracting.k[middle], contracting.error[middle]) == pytest.approx(
        -1, abs=0.15
    )
    fall = (contracting.window[7] / contracting.window[3]) ** (1 / 12)  # from k = 4 to k = 16
    assert fall < 0.7


def test_truncation_forgets_what_is_older_than_a_chunk():
    d = lab.signal()
    assert np.abs(d.U[d.k <= d.lag]).max() < 0.01
    assert (d.U_predicted[d.k <= d.lag] == 0).all()
    np.testing.assert_allclose(d.U, d.U_predicted, atol=0.06)
    np.testing.assert_allclose(d.W, d.W_predicted, atol=0.06)
    assert d.W[d.k == 8] > 0.5


def test_cost_counts_without_a_clock():
    """Memory is counted, not timed; the times only have to be there."""
    d = lab.cost(steps=(32, 64, 128), sizes=(8, 16, 32), H=8)
    assert d.slopes["bptt_memory"] == pytest.approx(1, abs=0.2)
    assert d.slopes["rtrl_memory"] == pytest.approx(0, abs=0.05)
    assert 1.8 < d.slopes["rtrl_memory_h"] < 3.2
    for name in ("bptt_time", "rtrl_time", "rtrl_time_h"):
        assert (getattr(d, name) > 0).all()


def test_pitfalls_are_as_predicted():
    for p in lab.pitfalls():
        if np.isnan(p.predicted):
            assert p.measured > 0.1, p.what
        else:
            assert p.measured == pytest.approx(p.predicted, rel=1e-12), p.what


def test_a_network_trained_by_these_functions_beats_counting():
    d = lab.text()
    assert d.held[1] < d.unigram < d.held[0]  # within the first pass
    passes = int(np.argmax(d.held < d.bigram))
    assert 2 <= passes <= 8  # several
    assert d.held[-1] < d.bigram - 0.2
    learned = d.curve[-13:].mean()
    assert learned < d.held[-1] - 0.5  # it goes on learning what it sees by heart
    assert d.held[-1] > d.held[len(d.held) // 2] - 0.3
    assert (d.parameters // 1000, d.characters // 100) == (7, 16)
    assert len(d.written) == 4
    assert all(len(text) == 60 for _, text in d.written)


def test_the_tale_is_cut_so_that_each_character_predicts_the_next():
    from course import datasets

    codes, alphabet = datasets.letters(datasets.tale())
    assert "".join(alphabet[k] for k in codes) == datasets.tale()
    x, y, mask = datasets.next_letter(codes, len(alphabet), T=7, B=3)
    assert x.shape == (*y.shape, len(alphabet))
    assert (mask == 1).all()
    assert (x.argmax(-1)[:, 1:] == y[:, :-1]).all()
    piece = x.argmax(-1)[0, :, 1]
    np.testing.assert_array_equal(piece, codes[7:14])
    assert y[0, -1, 1] == codes[14]
    with pytest.raises(ValueError, match="want at least B T"):
        datasets.next_letter(codes[:20], len(alphabet), 7, 3)


def test_flow_numbers_are_finite_and_linear_ones_exact():
    data = lab.flow()
    embedded = re.search(r'json">(.*?)</script>', lab.flow_html(data))[1]
    assert json.loads(embedded) == data
    T, gains = data["steps"], data["gains"]
    assert len(gains) == 15
    assert 1.2 in gains  # where the slider starts
    for kind in ("tanh", "linear"):
        norms = np.array(data[kind])
        assert norms.shape == (15, T)
        assert np.isfinite(norms).all()
        assert (norms > 0).all()
        assert (norms[:, -1] == 1).all()
    back = np.arange(T - 1, -1, -1)
    np.testing.assert_allclose(data["linear"], np.array(gains)[:, None] ** back, rtol=1e-3)


@pytest.mark.parametrize(
    "name",
    ["step_sizes", "ledger", "decays", "non_normal", "cliff", "truncation", "signal", "text"],
)
def test_every_figure_draws(name):
    figure = getattr(lab, f"draw_{name}")(getattr(lab, name)())
    assert isinstance(figure, Figure)
    assert figure.axes
    lab.plt.close(figure)


def test_tables_show_in_a_notebook_and_in_a_terminal():
    table = lab.table_four_ways(lab.four_ways())
    assert "(T, B, D)" in repr(table)
    assert "<td>" in table._repr_html_()
    assert table._repr_html_().count("<tr>") == 1 + len(lab.PARAMETERS)
    assert lab.power(3.2e-16) == "3.2·10⁻¹⁶"
    assert lab.power(0) == "0"


def test_a_table_is_typeset():
    said = {
        -0.25: "−0.25",
        "h[-1], 2019-03-03": "h[-1], 2019-03-03",
        "7.5e+03": "7.5·10³",
        1.5e-05: "1.5·10⁻⁵",
        12288: "12,288",
        4096: "4096",
        "-0.6 ± 0.1": "−0.6\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.1",
        "0.1 to 0.2": "0.1\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}0.2",
        "two words": "two words",
        "1.1, 1.2, 1.3, 1.4, 1.5, 1.6": "1.1, 1.2, 1.3, 1.4, 1.5, 1.6",
    }
    assert {cell: typeset(cell) for cell in said} == said
    assert "<td>−1</td>" in Table(["a"], [[-1]])._repr_html_()
