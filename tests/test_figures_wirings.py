"""The figures of chapter 4, by their numbers: what the prose predicts is what the data says.

Nothing here depends on how fast the machine is.  Trainings are those of the page where they take a
second or two, and shorter ones elsewhere.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from figures import captions, wirings
from figures import taxonomy as lab
from matplotlib.figure import Figure

from course import graphs
from course.graphs import Graph, Node

PAGE = Path(__file__).resolve().parent.parent / "book/04-taxonomy.md"
RUNS = {
    f"{each.key}, {name}": run
    for each in wirings.WIRINGS
    for name, run in (("training", each.forced), ("use", each.used))
}


# ------------------------------------------------------------ the drawings, against autograd


class Autograd:
    """Takes a graph's place: names tensors, and finds edges by walking autograd's own graph."""

    def __init__(self) -> None:
        self.edges: set[tuple[Node, Node]] = set()
        self.roles: dict[str, str] = {}
        self._named: dict[object, Node] = {}

    def _given(self, name: str, time: int | None, value: torch.Tensor) -> torch.Tensor:
        made = value.clone().requires_grad_() * 1.0  # a product has a grad_fn to be known by
        self._named[made.grad_fn] = Node(name, time)
        return made

    def parameters(self, **values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self._given(name, None, value) for name, value in values.items())

    def start(self, name: str, value: torch.Tensor, time: int = 0) -> torch.Tensor:
        return self._given(name, time, value)

    def inputs(self, name: str, values: list, times) -> list[torch.Tensor]:
        return [self._given(name, t, v) for t, v in zip(times, values, strict=True)]

    def name(self, name: str, value: torch.Tensor, time: int) -> torch.Tensor:
        self._found([(name, value)], time)
        return value

    def _found(self, arrays: list[tuple[str, torch.Tensor]], time: int) -> None:
        """Name all, then walk back from each to the nearest named ones."""
        for name, value in arrays:
            self._named[value.grad_fn] = Node(name, time)
        for name, value in arrays:
            seen, waiting = set(), [fn for fn, _ in value.grad_fn.next_functions]
            while waiting:
                fn = waiting.pop()
                if fn in self._named:
                    self.edges.add((self._named[fn], Node(name, time)))
                elif fn is not None and fn not in seen:
                    seen.add(fn)
                    waiting += [before for before, _ in fn.next_functions]

    def watch(self, step, state, output=None, times=None):
        ticks = iter(times if times is not None else range(1, 100))

        def watched(params, before, x):
            after, y = step(params, before, x)
            parts = [(state, after)] if isinstance(state, str) else zip(state, after, strict=True)
            self._found([*parts, *([(output, y)] if output else [])], next(ticks))
            return after, y

        return watched


@pytest.mark.parametrize("name", RUNS)
def test_the_arrows_are_those_of_autograd(name):
    """Rebuilt in PyTorch, with the same steps: the same arrows, weights and biases among them."""
    graph, other = Graph(), Autograd()
    RUNS[name](wirings.Run(graph, 4))
    RUNS[name](wirings.Run(other, 4, make=torch.tensor))
    assert set(graph.edges) == other.edges
    assert len(other.edges) > 20


@pytest.mark.parametrize("name", ["hidden, use", "output, training", "both, use", "deep, use"])
def test_what_an_arrow_does_not_reach_does_not_move(name):
    """Change one given array at a time: just what the drawing says moves."""
    T = 4

    def run(changed: Node | None) -> dict[Node, np.ndarray]:
        graph = Graph()
        add = graph._add

        def moved(value, letter, time, role):
            if Node(letter, time) == changed:
                value.value = value.value + 0.3
            return add(value, letter, time, role)

        graph._add = moved
        RUNS[name](wirings.Run(graph, T))
        found[0] = graph
        return {graph._node_of[id(kept)]: kept.value for kept in graph._kept}

    found: list[Graph] = [Graph()]
    before = run(None)
    graph = found[0]
    made = {target for _, target in graph.edges}
    for given in set(graph.nodes) - made:
        after = run(given)
        for node in made:
            moves = not np.array_equal(before[node], after[node])
            assert moves == graph.reaches(given, node), (given, node)


def test_outputs_depend_on_what_the_chapter_says():
    def depends(key: str, used: bool = True) -> dict[str, set[int]]:
        each = wirings.wiring(key)
        graph = wirings.graph_of(each.used if used else each.forced, 4)
        target = Node("o", 3) if key != "summary" else Node("o", 4)
        return {
            name: {n.time for n in graph.nodes if n.name == name and graph.reaches(n, target)}
            for name in ("x", "y", "o")
        }

    assert depends("hidden") == {"x": {1, 2, 3}, "y": set(), "o": {3}}
    assert depends("output") == {"x": {1, 2, 3}, "y": {0}, "o": {1, 2, 3}}
    assert depends("output", used=False) == {"x": {3}, "y": {2}, "o": {3}}  # nothing else
    assert depends("summary")["x"] == {1, 2, 3, 4}
    assert depends("vector", used=False) == {"x": {1}, "y": {0, 1, 2}, "o": {3}}
    assert depends("conditional") == {"x": {1, 2, 3}, "y": {0}, "o": {1, 2, 3}}
    assert depends("both") == {"x": {1, 2, 3, 4}, "y": set(), "o": {3}}
    assert depends("deep")["x"] == {1, 2, 3}


def test_rounds_are_counted():
    found = {
        each.key: (wirings.counts(each.forced).rounds, wirings.counts(each.used).rounds)
        for each in wirings.WIRINGS
    }
    assert found == {
        "hidden": ("τ + 1", "τ + 1"),
        "output": ("2", "2τ"),
        "summary": ("τ + 1", "τ + 1"),
        "vector": ("τ + 1", "2τ"),
        "conditional": ("τ + 1", "2τ"),
        "both": ("τ + 1", "τ + 1"),
        "deep": ("τ + 2", "τ + 2"),
    }
    with pytest.raises(ValueError, match="no line"):
        wirings.linear([1, 4, 9], [1, 2, 3])


def test_chooser_holds_every_wiring_and_stands_without_a_script():
    text = wirings.chooser_html()
    data = json.loads(re.search(r'json">(.*?)</script>', text).group(1))
    assert [each["title"] for each in data] == [each.title for each in wirings.WIRINGS]
    for each, shown in zip(wirings.WIRINGS, data, strict=True):
        assert len(shown["modes"]) == 1 + each.feeds_back
        for mode in shown["modes"]:
            ends = {i for edge in mode["edges"] for i in edge[:2]}
            assert ends == set(range(len(mode["nodes"])))
            assert {node[0] for node in mode["nodes"]} <= set(shown["rows"])
    assert text.count('class="rnn-wiring"') == len(wirings.WIRINGS)
    assert text.count('class="math"') == sum(len(each.equations) for each in wirings.WIRINGS)


# ------------------------------------------------------------------------- the experiments


@pytest.fixture(scope="module")
def independence():
    return lab.independence()


def test_independent_outputs_stop_at_the_marginals(independence):
    d = independence
    assert d.marginals == pytest.approx(8.32, abs=0.005)  # the page's numbers
    assert d.joint == pytest.approx(3.56, abs=0.005)
    assert d.held_out[0] == pytest.approx(d.marginals, abs=0.05)
    assert (d.held_out[1:] < d.joint + 0.2).all()
    assert (d.held_out[1:] > d.joint - 0.1).all()
    np.testing.assert_allclose(d.follows, [0.25, 0.9, 0.9], atol=0.02)
    assert lab.entropy([0.9, *[0.1 / 3] * 3]) == pytest.approx(0.435, abs=5e-4)


def test_output_recurrence_forgets():
    d = lab.memory()
    assert d.accuracy[0] == pytest.approx(0.25, abs=0.03)
    assert d.loss[0] == pytest.approx(np.log(4), abs=0.05)
    assert d.accuracy[1] > 0.99


def test_all_steps_at_once_is_step_by_step():
    """Both ways to the gradient that the page times give the same numbers."""
    p = lab.small(1)
    rng = np.random.default_rng(0)
    x, y, y0 = rng.normal(size=(6, 2, 3)), rng.integers(0, 5, (6, 2)), np.array([1, 4])
    whole = lab.forced_gradient(x, y0, y, p)
    parts = [
        lab.forced_gradient(x[t : t + 1], y[t - 1] if t else y0, y[t : t + 1], p) for t in range(6)
    ]
    for name in whole:
        np.testing.assert_allclose(whole[name], sum(part[name] for part in parts), atol=1e-12)


def test_free_run_walks_away_as_predicted():
    d = lab.free_run(seeds=(0,))
    assert d.open_[0] == pytest.approx(0.1, abs=0.01)
    assert np.abs(d.closed[0] - d.predicted).max() < 0.05
    assert d.closed[0, -1] == pytest.approx(0.75, abs=0.03)  # the puzzle
    assert (d.closed[1:].mean(1) < 0.3).all()  # both remedies
    assert (d.closed[1:, 10:].mean(1) > 1 - lab.RIGHT - 0.03).all()  # and no filter
    assert d.filter.mean() < 0.16


def test_two_coins_learn_the_mixture():
    d = lab.two_coins()
    np.testing.assert_allclose(d.learned, d.predicted, atol=0.03)
    assert d.predicted[-1] == 1


def test_gradients_through_two_summaries():
    d = lab.roads()
    t = d.steps[-1] - d.steps
    assert (d.last <= 0.9**t * (1 + 1e-12)).all()
    assert d.last[0] < 1e-4
    assert d.mean.max() < 1.5 / d.steps[-1]
    assert d.mean.min() > (1 - 1e-9) / d.steps[-1]


@pytest.fixture(scope="module")
def summaries():
    return lab.summaries()


def test_summaries_and_the_padding(summaries):
    often, first = summaries.accuracy.T
    assert often[0] > 0.85
    assert often[2] > 0.8
    assert often[1] < often[0] - 0.3
    assert first[2] > 0.95
    assert first[2] > first[0] + 0.1


def test_directions_and_where_the_flip_goes_wrong():
    d = lab.directions()
    assert d.best[0] == 0.75
    assert d.best[1] == pytest.approx(0.562, abs=5e-4)
    assert d.accuracy[0] == pytest.approx(0.75, abs=0.02)
    assert d.loss[0] == pytest.approx(d.best[1], abs=0.02)
    assert d.accuracy[1] > 0.98
    assert d.by_end[1, 0] > 0.98
    assert d.by_end[2, 0] == pytest.approx(1 - 8 / 9 / 4, abs=0.03)
    assert d.by_end[2, 1] > 0.98


def test_parameters_at_equal_cost():
    assert [lab.size_of(n, h, 2, 3) for n, h in ((1, 14), (2, 8), (3, 6))] == [283, 251, 231]
    one, two = (
        lab.stacked(layers, H, T=12, updates=400, seed=0) for layers, H in ((1, 14), (2, 8))
    )
    assert one > 0.95  # the prediction of the page was wrong, and the page says so
    assert two < one - 0.1


def test_agreement_to_rounding():
    found = lab.agreement()
    assert len(found) == 9
    assert max(each.difference for each in found) < 1e-12


def test_a_baseline_saves_draws():
    d = lab.choice(draws=50_000)
    assert d.needed[0] > 30 * d.needed[1]
    assert d.needed[2] <= d.needed[1] * (1 + 1e-6)
    np.testing.assert_allclose(d.mean, d.exact, atol=4 * d.deviation.max() / np.sqrt(50_000))


def test_captions_have_words_and_are_judged_by_meaning():
    words = ("<start>", "<end>", "a", "cross", "red", "square")
    given = captions.classes(("a red square", "a cross"), words)
    assert given.y.T.tolist() == [[2, 4, 5, 1], [2, 3, 1, 1]]
    assert given.mask.T.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert captions.same("a red cross left of a blue circle", "a blue circle right of a red cross")
    assert not captions.same("a red cross", "a blue cross")
    assert not captions.same("a a red", "a red cross")


def test_captioner_shows_the_vector_where_it_should():
    """Change the picture: at step 2 the state moves, or only through the step before."""
    for where, moves in (("every step", True), ("first step", False), ("nowhere", False)):
        model = captions.Captioner(5, where)
        one, two = torch.rand(2, 1, 28, 28, 3)
        h, fed = torch.zeros(1, captions.H), torch.zeros(1, dtype=torch.long)
        states = [model.step(model.vector(x), 1, fed, h) for x in (one, two)]
        assert (not torch.equal(*states)) == moves, where


def test_captioner_learns():
    found = captions.train("every step", updates=60)
    assert [len(each) for each in found.said] == [500, 500]
    assert 0 <= found.unseen <= found.exact + 0.1


# ------------------------------------------------------------------------- figures and prose


@pytest.mark.parametrize("key", [each.key for each in wirings.WIRINGS])
def test_wirings_draw(key):
    fig = wirings.draw(key)
    assert isinstance(fig, Figure)
    letters = {text.get_text() for text in fig.axes[0].texts}
    assert "$o^{(3)}$" in letters
    assert ("$x$" if key == "vector" else "$x^{(1)}$") in letters
    graphs.plt.close(fig)


def test_figures_draw(independence):
    figures = [
        lab.draw_independence(independence),
        lab.draw_roads(lab.roads()),
        lab.draw_two_coins(lab.Copies(*np.ones((3, 4)))),
        lab.draw_parallel(lab.Parallel(np.array([1, 2]), np.ones(2), 2 * np.ones(2))),
        lab.draw_free_run(
            lab.FreeRun(np.arange(3), np.ones((3, 3)), np.ones(3), np.ones(3), np.ones(3))
        ),
    ]
    for fig in figures:
        assert isinstance(fig, Figure)
        assert fig.axes[0].get_xlabel()
        graphs.plt.close(fig)


def test_every_experiment_on_the_page_exists():
    text = PAGE.read_text(encoding="utf-8")
    for module, space in (("lab", lab), ("wirings", wirings), ("captions", captions)):
        for name in set(re.findall(rf"\b{module}\.(\w+)\(", text)) - {"show"}:
            assert callable(getattr(space, name)), f"{module}.{name}"
