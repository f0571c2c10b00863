"""The figures of chapter 8, by their numbers.  No test here depends on how fast the machine is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from figures import speed as lab
from figures import textbook
from figures.counting import counted, torch_calls

from solutions import fast, gates

ROOT = Path(__file__).resolve().parent.parent
MACHINE = lab.Rates(product=1e11, cache=8e10, memory=2e10, call=5e-7, torch_call=1.5e-6)


def test_calls_a_step_are_those_of_the_prose():
    counts = [
        lab.calls_a_step(run) for run in (textbook.lstm, gates.lstm_forward, fast.lstm_forward)
    ]
    text = re.sub(r"\s+", " ", (ROOT / "book/08-speed.md").read_text(encoding="utf-8"))
    said = re.search(
        r"(\d+) in the textbook's LSTM, (\d+) where the input's product is outside,"
        r" (\d+) with slabs",
        text,
    )
    assert said
    assert [int(number) for number in said.groups()] == counts


def test_arrays_count_what_is_done_with_them():
    a, b = np.ones((2, 3)), np.ones((3, 4))

    def run(a, b):
        product = a @ b
        np.tanh(product, out=product)
        np.dot(a, b)
        return np.concatenate([product, product]).sum()

    count = counted(run, a, b)
    assert count.calls == 5
    assert count.products == 2 * (2 * 2 * 4 * 3)
    assert count.entries == 8 + 16 + 1
    assert count.moved == 8 * (2 * 8 + 2 * 16 + 16 + 1)


def test_counting_changes_no_result():
    given = lab.lstm_arguments(7, 2, 3)
    results = []
    for run in (textbook.lstm, gates.lstm_forward, fast.lstm_forward):
        plain = run(*given)[0]
        counted(lambda *args, run=run: results.append(np.asarray(run(*args)[0])), *given)
        np.testing.assert_array_equal(results[-1], plain)


def test_pytorch_calls_are_counted_without_views():
    import torch

    a = torch.ones(4, 4)
    with torch_calls() as calls:
        (a @ a.T).tanh()[0].view(2, 2)
    assert calls.count == 2


def test_roofline_data_and_drawing():
    data = lab.roofline(MACHINE, (1, 8), H=16)
    assert data.allowed[0] == pytest.approx(MACHINE.cache * data.intensity[0])
    assert (data.reached > 0).all()
    lab.plt.close(lab.draw_roofline(data))


def test_a_larger_batch_by_hand():
    """The second question of the page, (8.7) with one call: bytes decide at 1, operations at 16."""
    one = 5e-7 + 4 * (4 * 128**2 + 6 * 128) / 8e10
    many = 5e-7 + 2 * 16 * 4 * 128**2 / 1e11
    predicted, measured = lab.more_sequences(MACHINE)
    assert predicted == pytest.approx(many / one)
    assert measured > 0


def test_ways_agree_and_are_all_there():
    found = lab.ways(MACHINE, T=6, B=2, H=8)
    assert [way.calls for way in found[:3]] == [27, 13, 9]
    assert all(way.predicted > 0 < way.measured for way in found)
    textbooks, outside, slabs = (way.moved for way in found[:3])
    assert outside > textbooks  # what the prose says of the second row
    assert outside > slabs
    table = lab.table_ways(found)
    assert len(table.rows) == 5
    assert all(len(row) == len(table.head) for row in table.rows)


def test_scans_data_and_drawing():
    data = lab.scans((2, 9), B=1, H=2)
    assert set(data.seconds) == {"loop", "pairs", "blocks"}
    assert all(len(each) == 2 for each in data.seconds.values())
    lab.plt.close(lab.draw_scans(data))


def test_rates_are_measured():
    found = lab.rates(size=16, small=64, large=256)
    assert all(value > 0 for value in found)
    assert len(lab.table_rates(found).rows) == 5


# ------------------------------------------------------------------------- what was recorded


@pytest.fixture(scope="module")
def recorded():
    return lab.record()


def test_the_record_has_every_point_and_says_where(recorded):
    points = lab.points_of(recorded)
    networks = [cell for cell in lab.NETWORKS if cell in recorded]
    keys = {(p["cell"], p["dtype"], p["B"], p["T"], p["H"], p["pass"]) for p in points}
    assert len(keys) == len(points) == len(networks) * 2 * 4 * 2
    for p in points:
        assert p["rounds"] >= 3
        assert p["ratio"]["fast"] == 1
        assert {"torch.nn", "torch loop", "textbook", lab.BARE} <= set(p["ratio"])
    for part in (*networks, "growth", "scan", "kernels", "device"):
        assert recorded[part]["machine"]["threads"] == 1
        assert recorded[part]["machine"]["date"] in lab.said_of(recorded[part])
    assert lab.said_of_networks(recorded).count("Recorded on") == len(networks)


def test_tables_of_the_record(recorded):
    for turn in ("forward", "with backward"):
        rows = lab.table_recorded(recorded, turn).rows
        assert len(rows) == len(lab.points_of(recorded)) / 2
        for row in rows:
            ours, most = map(float, row[3].split(f"{lab.NO_BREAK}of{lab.NO_BREAK}"))
            assert ours < 1.03 * most, "ours do more than what they can't leave out"
    assert len(lab.table_growth(recorded).rows) == 6
    for part in re.findall(r"(\d+) %", lab.bound_of_networks(recorded)):
        assert 30 < int(part) <= 103
    said = lab.bound_of_scan(recorded)
    bound, ours = map(float, re.findall(r"([\d.]+) times as fast", said))
    assert 1 < ours < bound
    assert "$" not in said, "what a cell writes has no mathematics"
    assert len(lab.table_scan(recorded).rows) == len(recorded["scan"]["float32"]["seconds"])
    assert len(lab.table_compiled(recorded).rows) == 4
    assert recorded["device"]["machine"]["date"] in lab.said_of_device(recorded)


def test_what_the_prose_says_of_the_record(recorded):
    """Growth is linear; the fused kernel is ahead; the scan's numbers are as told."""
    for name, each in recorded["growth"].items():
        if isinstance(each, dict) and "exponent of time" in each:
            assert 0.9 < each["exponent of time"] < 1.1, name
            # below 1: the factors of one chunk's steps take the same room at every length
            assert 0.85 < each["exponent of memory"] < 1.05, name
    for kind in ("float32", "float64"):
        took = recorded["scan"][kind]["seconds"]
        assert took["recurrence, NumPy loop in place"] < 1.5 * took["recurrence, scan"]
        whole = [took[f"minGRU, {way}"] for way in ("scan", "loop over the recurrence")]
        assert whole[0] < whole[1] < took["minGRU, loop over steps"]
    fused = [
        p["ratio"]
        for p in lab.points_of(recorded)
        if (p["cell"], p["dtype"], p["pass"]) == ("lstm", "float32", "forward")
    ]
    assert len(fused) == 4
    assert all(each["torch.nn"] < each[lab.BARE] for each in fused)
    assert all(each["torch.nn"] < 1 for each in fused)
    assert "at the worst" in lab.spread_of(recorded)
    rates = {name: each for name, each in recorded["kernels"].items() if name != "machine"}
    assert len(lab.table_kernels(recorded).rows) == len(rates)
    best = {kind: max(each[kind] for each in rates.values()) for kind in ("float32", "float64")}
    chosen = rates["not set"]
    assert recorded["kernels"]["machine"]["processor"].startswith("AMD")
    assert chosen["used"] == "SkylakeX"  # Intel's
    assert best["float32"] > 1.1 * chosen["float32"]
    assert best["float64"] < 1.1 * chosen["float64"]
