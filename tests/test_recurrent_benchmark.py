"""What `benchmarks/recurrent.py` runs, on small sizes and on the CPU: it measures what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import recurrent


@pytest.mark.parametrize("cell", recurrent.BLOCKS)
def test_all_ways_give_the_same_states_and_gradients(cell):
    inputs, outside = recurrent.drawn(cell, 2, 5, 4, 3, "float64")
    tensors = [[torch.from_numpy(a) for a in each] for each in (inputs, outside)]
    ways = {
        **recurrent.numpy_ways(cell, inputs, outside),
        **recurrent.torch_ways(cell, *tensors),
    }
    recurrent.check_agreement(cell, inputs, ways)
    for _, both in ways.values():
        dx = next(np.asarray(a) for a in both() if tuple(a.shape) == (5, 2, 3))
        want = next(a for a in ways["fast, fresh memory"][1]() if a.shape == (5, 2, 3))
        np.testing.assert_allclose(dx, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", recurrent.BLOCKS)
def test_the_bound_does_no_more_than_the_network(cell, monkeypatch):
    """Counted in multiplications, entries and calls: what is measured as a bound must be one."""
    T, B, H, D = 5, 2, 4, 3
    blocks = recurrent.BLOCKS[cell]
    inputs, outside = recurrent.drawn(cell, B, T, H, D, "float64")
    ours = recurrent.numpy_ways(cell, inputs, outside)["fast"]
    count = {"products": 0, "tanh": 0, "calls": 0}

    def dot(a, b, out=None, real=np.dot):
        count["products"] += a.shape[0] * a.shape[1] * b.shape[1]
        return real(a, b, out=out)

    def matmul(a, b, out=None, real=np.matmul):
        count["products"] += a.shape[0] * b.size
        return real(a, b, out=out)

    def counted(name, real):
        def call(*given, out):
            count["calls"] += 1
            count[name] = count.get(name, 0) + out.size
            return real(*given, out=out)

        return call

    monkeypatch.setattr(np, "dot", dot)
    monkeypatch.setattr(np, "matmul", matmul)
    for name in ("tanh", "square", "multiply", "add", "subtract"):
        monkeypatch.setattr(np, name, counted(name, getattr(np, name)))
    run = recurrent.bare(cell, inputs, outside)
    count.update(products=0)  # both ways to make W h have been tried
    run[0]()
    forward = T * B * blocks * H * (D + H)
    assert count["products"] == forward
    assert count["tanh"] == T * B * H * (blocks + (cell == "lstm"))
    assert count["calls"] == T * {"rnn": 1, "gru": 7, "lstm": 6}[cell]
    least = count.copy()
    run[1]()
    assert count["products"] == 2 * forward + T * B * blocks * H * (D + H + D + H)
    both = {name: number - least.get(name, 0) for name, number in count.items()}
    for turn, bound in ((0, least), (1, both)):
        count.clear()
        count.update(products=0, tanh=0, calls=0)
        ours[turn]()
        assert bound["tanh"] <= count["tanh"]
        assert bound["calls"] < count["calls"]
        entries = sum(count[name] for name in ("multiply", "add", "subtract") if name in count)
        assert bound.get("square", 0) + bound.get("add", 0) < entries


def test_summary_is_of_pairs_of_one_round():
    found = recurrent.summary({"fast": [1.0, 2.0, 4.0], "other": [3.0, 4.0, 4.0]}, "fast")
    assert found["rounds"] == 3
    assert found["seconds"] == {"fast": 2.0, "other": 4.0}
    assert found["ratio"] == {"fast": 1.0, "other": 2.0}


def test_what_a_gpu_would_be_asked_runs_on_the_cpu():
    found = recurrent.on_device("cpu", (2,), (3,), 4, 0.0, 2)
    assert {point["pass"] for point in found["points"]} == {"forward", "with backward"}
    forward, backward = (set(point["ratio"]) for point in found["points"])
    assert backward == {"torch.nn", "torch loop", "torch by hand"}
    assert forward == {*backward, "torch loop, step recorded"}


def test_plot_has_a_mark_for_each_point():
    point = {"cell": "gru", "dtype": "float64", "B": 1, "T": 2, "H": 3, "ratio": {"torch.nn": 1.5}}
    figure = recurrent.draw([{**point, "pass": turn} for turn in ("forward", "with backward")])
    assert [len(ax.get_yticks()) for ax in figure.axes] == [1, 1]
    recurrent.plt.close(figure)
