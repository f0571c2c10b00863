"""The figures of chapter 5, by their numbers: what the prose says is what the data says.

Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from figures import gates as lab
from figures import gates_cells as reading
from figures import gates_names as names
from figures import gates_speed as speed
from matplotlib.figure import Figure

from course import datasets

ROOT = Path(__file__).resolve().parent.parent


# ------------------------------------------------------------------------------ proofs and forms


def test_three_ways_agree():
    for found in (lab.lstm_three_ways(), lab.gru_three_ways()):
        for methods in found.values():
            assert max(methods.values()) < 1e-12
    assert len(lab.table_three_ways().rows) == 11


def test_the_printed_line_has_no_memory():
    data = lab.misprint()
    assert (data.printed == 0).all()
    assert (data.correct > 0.01).all()


def test_one_matrix_in_two_places_does_not_fit():
    assert lab.printed_twice().refused
    assert lab.printed_twice(D=4, H=4).refused == ""


def test_gates_are_blind_without_peepholes():
    without, with_them = lab.blind_gates()
    assert without == pytest.approx(0, abs=1e-12)
    assert 0.05 < with_them <= 0.25


def test_roads():
    data = lab.roads()
    assert [d.bias for d in data] == [0, 1, 3]
    for d in data:
        assert d.error < 1e-12
    for seed in (2, 3, 4):  # what the page says holds for other weights, too
        zero, _, three = found = lab.roads(seed=seed)
        for d in found:
            np.testing.assert_allclose(d.direct, d.predicted, rtol=0.2)
            np.testing.assert_allclose(d.whole[0], d.direct[0], rtol=0.07)
        assert zero.whole[-1] > 20 * zero.direct[-1]
        assert zero.whole[-1] < 1e-3
        assert three.whole[-1] > 1
    assert [round(lab.half_life(b), 1) for b in (0, 1, 3)] == [1.0, 2.2, 14.3]


def test_conversions_are_exact_where_they_are_said_to_be():
    found = lab.conversions()
    assert [c.exact for c in found].count(False) == 1
    for c in found:
        assert (c.error < 1e-12) == c.exact, c.what


def test_ranks_prove_that_before_is_not_after():
    data = lab.ranks()
    assert data.before[-1] > 0.01
    assert data.after[:, 4:].max() < 1e-12
    assert data.after[:, 3].max() > 1e-3


def test_five_directions_at_the_states_of_the_proof():
    """The states that the proof names: zero, and each unit alone at 1."""
    H = 5
    W = np.concatenate([2 * np.eye(H), np.zeros((H, H)), 0.5 * np.ones((H, H))])
    states = np.concatenate([np.zeros((1, H)), np.eye(H)])
    rows = []
    for state in states:
        moved = state + 1e-30j * np.eye(H)
        h = lab.gru_forward(np.zeros((1, H, 1)), moved, np.zeros((3 * H, 1)), W, np.zeros(3 * H))[0]
        rows.append(h[0, :, 0].imag / 1e-30)
    assert np.linalg.matrix_rank(np.array(rows), tol=1e-6) == H


def test_reach_learns_and_the_untrained_gru_does_not_reach():
    data = lab.reach()
    for name in ("tanh", "GRU"):  # the puzzle
        assert data.before[name][20] < 1e-3
    factors = {name: share[20] ** (1 / 20) for name, share in data.before.items()}
    for name in ("GRU", "LSTM, bias 0"):
        assert 0.6 < factors[name] < 0.7
    assert factors["LSTM, bias 1"] == pytest.approx(0.8, abs=0.05)
    assert 0.4 < factors["tanh"] < factors["GRU"]
    assert data.loss["tanh"][-50:].mean() > 0.12
    assert data.loss["GRU"][-50:].mean() < 1e-3
    for name in ("GRU", "LSTM, bias 0", "LSTM, bias 1"):
        assert data.loss[name][-50:].mean() < 0.02
        assert data.after[name].min() > 0.03
    assert data.after["tanh"].min() < 1e-2
    first = {name: np.argmax(loss < 0.02) for name, loss in data.loss.items() if name != "tanh"}
    assert first["GRU"] < first["LSTM, bias 0"] < first["LSTM, bias 1"]
    lab.plt.close(lab.draw_reach(data))
    assert len(lab.table_reach(data).rows) == 4


def test_factors_over_several_steps_do_not_multiply():
    """The output gate of a later step reads h: a road past the cell that (5.8) starts from."""
    net = lab.lstm(5, T=4, B=1)
    h, c, gates = lab.lstm_forward(*net)
    product = np.eye(net.h0.shape[1])
    for n in (1, 2, 3):
        product = lab.cell_jacobian(net, gates, c, n) @ product
        off = lab.difference(lab.total_jacobian(net, h, c, n), product)
        assert off < 1e-12 if n == 1 else off > 1e-3


def test_seven_starts_do_not_settle_which_bias_is_first():
    data = lab.starts()
    zero, one = data.learnt.values()
    assert len(zero) == len(one) == 7
    assert 2 <= (zero < one).sum() <= 5
    middle = [np.median(n) for n in (zero, one)]
    assert abs(middle[0] - middle[1]) < min(np.ptp(n[n < np.inf]) for n in (zero, one))
    assert zero[0] < one[0]  # the start that the figure shows
    no_reach, reach = data.reach.values()
    assert np.median(reach / no_reach) > 100
    assert (reach > no_reach).all()
    table = lab.table_starts(data)
    assert sum(int(row[-1].split()[0]) for row in table.rows) == 7


def test_adding_task():
    x, y = lab.adding(np.random.default_rng(0), 10, 50)
    assert x.shape == (10, 50, 2)
    assert (x[:, :, 1].sum(0) == 2).all()
    np.testing.assert_allclose((x[..., 0] * x[..., 1]).sum(0), y, rtol=1e-6)


def test_pitfalls_are_as_predicted():
    for p in lab.pitfalls():
        if np.isnan(p.predicted):
            assert p.measured > 0.1, p.what
        else:
            assert p.measured == p.predicted, p.what


# ------------------------------------------------------------------------------------ the names


def test_the_list_of_names():
    found = datasets.dinosaurs()
    assert len(found) == 1320
    assert list(found) == sorted(set(found))
    assert all(re.fullmatch(r"[A-Z][a-z]{1,22}", name) for name in found)
    assert (min(map(len, found)), max(map(len, found))) == (2, 23)
    assert {"Tyrannosaurus", "Velociraptor", "Triceratops"} <= set(found)
    # Taken for dinosaurs once; they are something else.
    assert not {"Teratosaurus", "Dravidosaurus", "Pteranodon", "Dimetrodon"} & set(found)


def test_the_split_covers_the_list_once():
    data = names.split()
    assert list(map(len, data)) == [1056, 132, 132]
    assert sorted(sum(data, ())) == sorted(name.lower() for name in datasets.dinosaurs())


def test_half_of_the_names_end_alike():
    found = datasets.dinosaurs()
    assert 0.4 < np.mean([name.endswith("saurus") for name in found]) < 0.6


def test_arrays_begin_and_end_with_zero():
    x, y, mask = names.arrays(["mei", "yi"])
    assert (x[0] == 0).all()
    assert y[:, 0].tolist() == [13, 5, 9, 0]
    assert x[:, 0].tolist() == [0, 13, 5, 9]
    assert mask.sum(0).tolist() == [4, 3]


@pytest.fixture(scope="module")
def contest():
    return names.contest()


def test_contest_ends_as_the_page_says(contest):
    g = contest.grams
    assert g.tune.min() == g.tune[g.orders.index(g.order), g.discounts.index(g.discount)]
    assert g.test < contest.torch.test < contest.numpy.test < 2.7
    assert contest.mixture[1] < g.test - 0.03
    assert 0.03 < g.test - contest.mixture[1] < 0.1
    assert len(names.table_contest(contest).rows) == 5
    made = contest.numpy.seen
    assert list(made) == [1, 30, 100, 400]
    assert all(len(five) == 5 for five in made.values())
    names.plt.close(names.draw_learning(contest))


def test_inventions():
    found = names.inventions()
    cold, *_, hot, counting = found
    assert (cold.temperature, hot.temperature, counting.who) == (0.4, 1.4, "Kneser-Ney")
    assert cold.plausible > 0.9 > 0.75 > hot.plausible
    assert cold.distance < hot.distance
    assert hot.new >= cold.new > 0.8
    whole = {name.lower() for name in datasets.dinosaurs()}
    for i in found:
        assert i.new == np.mean([name.lower() not in whole for name in i.names])
    for _, name, real, distance in names.table_samples(found).rows:
        assert name.lower() not in whole
        assert real.lower() in whole
        assert names.edit_distance(name.lower(), real.lower()) == distance
    assert names.edit_distance("kitten", "sitting") == 3


def test_spelt_name(contest):
    data = names.spell(contest.numpy)
    assert data.letters == ".tyrannosaurus"
    for name, values in data.gates.items():
        assert values.shape == (14, 64)
        low = -1 if name in ("h", "tanh c") else 0
        assert low <= values.min() <= values.max() <= 1
    names.plt.close(names.draw_spelt(data))


# ------------------------------------------------------------------------------------ the cells


def test_generated_text_is_well_formed():
    text = reading.written(5, 5_000)
    assert set(text) <= set(reading.SYMBOLS)
    known = reading.properties(text)
    assert known["depth of brackets"].min() == 0
    assert known["depth of brackets"].max() == reading.DEEPEST
    assert set(known["inside a quote"]) == {0, 1}
    open_, pairs = [], {")": "(", "]": "["}
    for letter in text:
        if letter in "([":
            open_.append(letter)
        elif letter in ")]":
            assert open_.pop() == pairs[letter]
    assert reading.written(1, 300) == reading.written(1, 300) != reading.written(2, 300)


def test_correlations_are_pearsons():
    rng = np.random.default_rng(0)
    cells, values = rng.normal(size=(50, 3)), rng.normal(size=50)
    want = [np.corrcoef(cells[:, j], values)[0, 1] for j in range(3)]
    np.testing.assert_allclose(reading.correlations(cells, values), want, rtol=1e-12)


def test_run_is_torch_lstm_and_can_hold_a_cell():
    import torch

    torch.manual_seed(0)
    twin, head = torch.nn.LSTM(reading.K, 6), torch.nn.Linear(6, reading.K)
    arrays = [p.detach().double().numpy() for p in (*twin.parameters(), *head.parameters())]
    net = reading.Weights(*reading.from_torch(*arrays[:4]), *arrays[4:])
    x = np.random.default_rng(0).integers(0, reading.K, (9, 3))
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(x), reading.K).double()
    states, _ = twin.double()(one_hot)
    want = torch.log_softmax(head.double()(states), -1).detach().numpy() / np.log(2)
    np.testing.assert_allclose(reading.run(net, x)[1], want, rtol=1e-9, atol=1e-9)
    held = reading.run(net, x, {4: 0.25})[0]
    assert (held[..., 4] == 0.25).all()
    assert held[..., 3].std() > 0


@pytest.fixture(scope="module")
def readable():
    return reading.experiment()


def test_cells_are_found_and_their_loss_is_felt(readable):
    assert readable.grams - readable.bits >= 0.15
    quote, depth, column = readable.found
    assert [f.what for f in readable.found] == list(reading.TOUCHES)
    assert min(quote.correlation, column.correlation) > 0.8 > depth.correlation
    assert quote.where > 0.5
    assert column.where > max(7, 3 * column.others.max())
    assert abs(depth.correlation - depth.second) < 0.1  # two follow it equally well
    assert depth.others.max() > depth.where  # and a third one hurts more
    for found in readable.found:
        assert np.median(found.others) < 0.01  # a random cell costs nothing
    assert len(quote.others) == 63
    html = reading.coloured(readable, "inside a quote")
    assert html.count("<span") == len(readable.text) == len(readable.cells)
    reading.plt.close(reading.draw_cells(readable))


# ------------------------------------------------------------------------- speed, and the slider


def test_all_ways_give_the_same_states():
    where, found = speed.measure("cpu", T=7, B=3, D=4, H=5, rounds=1)
    assert where.startswith("CPU")
    assert [t.way for t in found][1:] == ["loop over nn.LSTMCell", "nn.LSTM"]
    for t in found:
        assert t.forward > 0
        assert t.error < 1e-5
    assert len(speed.table(found).rows) == 3


def test_unit_is_the_reference():
    found = lab.unit("lstm", 0.5, -0.2, 1.5, 1.0)
    assert found["c"] == pytest.approx(found["f"] * 1.5 + found["i"] * found["g"], rel=1e-12)
    take, keep = (lab.unit(kind, 0.5, 0.3, 0.0, 0.2) for kind in ("take", "keep"))
    assert take["h"] + keep["h"] == pytest.approx(take["n"] + 0.3, rel=1e-12)
    embedded = re.search(r'json">(.*?)</script>', lab.unit_html())[1]
    assert json.loads(embedded) == lab.UNIT


def test_what_the_page_says_of_the_unit():
    full = 1.0
    for _ in range(20):
        full = lab.unit("lstm", 1.0, 0.0, full, 5.0)["c"]
    assert full > 5
    assert abs(lab.unit("lstm", 0.0, 0.0, 1.0, -5.0)["c"]) < 0.01
    assert 1 - lab.unit("lstm", 0.0, 0.0, 1.0, 1.0)["c"] == pytest.approx(0.27, abs=0.005)


def test_no_figure_is_empty():
    figure = names.draw_spelt(
        names.Spelt(".ab", {k: np.zeros((3, 20)) for k in ("f", "i", "o", "tanh c", "h")})
    )
    assert isinstance(figure, Figure)
    names.plt.close(figure)
