"""Drawn graphs are the graphs that run: their arrows against Jacobians found by autograd."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from figures import unfolding as lab
from matplotlib.figure import Figure

from course import figures, graphs
from course.graphs import Folded, Graph, Node
from solutions.unfolding import step, unfold

OPERATIONS = {
    np.add: torch.add,
    np.subtract: torch.sub,
    np.multiply: torch.mul,
    np.matmul: torch.matmul,
    np.tanh: torch.tanh,
}


class Duck(np.lib.mixins.NDArrayOperatorsMixin):
    """A tensor that NumPy's functions take, so that one step runs in both libraries.

    made: the results of all operations so far, in order; cut: the position of a result to the leaf
    that takes its place when the same step runs again.
    """

    made: ClassVar[list[Duck]] = []
    cut: ClassVar[dict[int, Duck]] = {}

    def __init__(self, tensor):
        self.tensor = tensor

    @classmethod
    def result(cls, tensor):
        found = cls.cut.get(len(cls.made)) or cls(tensor)
        cls.made.append(found)
        return found

    def __array_ufunc__(self, ufunc, method, *given, **options):
        return Duck.result(OPERATIONS[ufunc](*(g.tensor for g in given)))

    def __array_function__(self, function, types, given, options):
        assert function is np.concatenate
        parts, axis = given[0], options["axis"]
        return Duck.result(torch.cat([part.tensor for part in parts], dim=axis))

    @property
    def T(self):
        return Duck.result(self.tensor.T)


class Differentiated:
    """Takes a graph's place under a wiring, and finds dependencies by autograd.

    edges: what reaches what while every other named array is held where it is; tensors: every
    named array in the order of the run, one uncut graph.
    """

    def __init__(self):
        self.edges: set[tuple[Node, Node]] = set()
        self.tensors: dict[Node, torch.Tensor] = {}
        self.roles: dict[str, str] = {}

    def _leaf(self, node, array):
        self.tensors[node] = torch.tensor(array).requires_grad_()
        return Duck(self.tensors[node])

    def parameters(self, **arrays):
        return tuple(self._leaf(Node(name, None), a) for name, a in arrays.items())

    def start(self, name, value, time=0):
        return self._leaf(Node(name, time), value)

    def inputs(self, name, values):
        return [self._leaf(Node(name, t), v) for t, v in enumerate(values, 1)]

    def name(self, name, value, time):
        self.tensors[Node(name, time)] = value.tensor
        return value

    def watch(self, step, state, output=None, times=None):
        ticks = iter(times or range(1, 100))
        states = (state,) if isinstance(state, str) else state
        letters = [*states, *([] if output is None else [output])]

        def watched(params, before, x):
            t = next(ticks)

            def run(before, cut):
                Duck.made, Duck.cut = [], cut
                after, y = step(params, before, x)
                parts = [after] if isinstance(state, str) else list(after)
                return after, y, parts if output is None else [*parts, y]

            after, y, parts = run(before, {})
            places = [next(i for i, d in enumerate(Duck.made) if d is part) for part in parts]
            old = [before] if isinstance(state, str) else list(before)
            fresh = [Duck(o.tensor.detach().requires_grad_()) for o in old]
            for i, letter in enumerate(letters):  # all the other named ones held fixed
                held = {
                    place: Duck(part.tensor.detach().requires_grad_())
                    for j, (place, part) in enumerate(zip(places, parts, strict=True))
                    if j != i
                }
                _, _, again = run(fresh[0] if isinstance(state, str) else tuple(fresh), held)
                sources = {
                    **{self._node(p): p.tensor for p in (*params, x)},
                    **{self._node(o): f.tensor for o, f in zip(old, fresh, strict=True)},
                    **{Node(letters[places.index(p)], t): d.tensor for p, d in held.items()},
                }
                self._edges(Node(letter, t), again[i].tensor, sources)
            for letter, part in zip(letters, parts, strict=True):
                self.tensors[Node(letter, t)] = part.tensor
            Duck.cut = {}
            return after, y

        return watched

    def _node(self, duck):
        return next(node for node, tensor in self.tensors.items() if tensor is duck.tensor)

    def _edges(self, node, tensor, sources):
        weight = torch.randn_like(tensor)
        grads = torch.autograd.grad(
            (tensor * weight).sum(), list(sources.values()), allow_unused=True, retain_graph=True
        )
        for source, grad in zip(sources, grads, strict=True):
            if grad is not None and grad.any():
                self.edges.add((source, node))


@pytest.fixture(params=lab.WIRINGS)
def wiring(request):
    return lab.WIRINGS[request.param]


def both(wiring, T=4):
    x = np.random.default_rng(2).normal(size=(T, 2, 3))
    graph, found = Graph(), Differentiated()
    wiring(graph, x)
    wiring(found, x)
    return graph, found


def test_a_path_of_arrows_is_a_derivative_from_end_to_end(wiring):
    graph, found = both(wiring)
    assert set(graph.nodes) == set(found.tensors)
    for target, tensor in found.tensors.items():
        if tensor.is_leaf:
            continue
        others = [n for n in found.tensors if n != target]
        weight = torch.randn_like(tensor)
        grads = torch.autograd.grad(
            (tensor * weight).sum(),
            [found.tensors[n] for n in others],
            allow_unused=True,
            retain_graph=True,
        )
        for source, grad in zip(others, grads, strict=True):
            depends = grad is not None and bool(grad.any())
            assert graph.reaches(source, target) == depends, (source, target)


def test_arrows_are_the_blocks_of_each_steps_jacobian(wiring):
    """With every other named array held fixed, by running the step again on leaves."""
    graph, found = both(wiring)
    by_steps = {(s, t) for s, t in graph.edges if wiring is not lab.two_directions or t.name != "o"}
    assert by_steps == found.edges


def test_an_arrow_that_is_not_there_would_be_seen():
    """A step whose output reads the input as well has one arrow more, drawn and measured."""

    def skipping(graph, x):
        w = lab.weights()
        params = graph.parameters(**w, S=np.random.default_rng(0).normal(size=(5, 3)))

        def step(params, h, x):
            U, W, b, V, c, S = params
            h = np.tanh(b + h @ W.T + x @ U.T)
            return h, h @ V.T + c + x @ S.T

        start = graph.start("h", lab.initial(x))
        unfold(graph.watch(step, "h", "o"), params, start, graph.inputs("x", x))

    graph, found = both(skipping)
    edge = (Node("x", 2), Node("o", 2))
    assert graph.edges[edge] == ("S",)
    assert edge in found.edges
    plain, differentiated = both(lab.plain)
    assert edge not in plain.edges
    assert edge not in differentiated.edges


def test_weights_on_the_arrows():
    graph = lab.traced(lab.plain)
    assert graph.edges[Node("x", 1), Node("h", 1)] == ("U",)
    assert graph.edges[Node("h", 1), Node("h", 2)] == ("W",)
    assert graph.edges[Node("h", 2), Node("o", 2)] == ("V",)
    assert (Node("b", None), Node("h", 3)) in graph.edges
    assert graph.edges[Node("b", None), Node("h", 3)] == ()


def test_one_matrix_stands_on_both_arrows():
    graph = Graph()
    (Wa,) = graph.parameters(A=np.ones((4, 7)))

    def step(Wa, h, x):
        return np.tanh(np.concatenate([h, x], axis=1) @ Wa.T), None

    start, xs = graph.start("h", np.zeros((2, 4))), graph.inputs("x", np.ones((2, 2, 3)))
    unfold(graph.watch(step, "h"), Wa, start, xs)
    assert graph.edges[Node("x", 1), Node("h", 1)] == ("A",)
    assert graph.edges[Node("h", 1), Node("h", 2)] == ("A",)


def test_folding():
    assert set(lab.traced(lab.plain, T=5).fold()) == {
        Folded("x", "h", 0, ("U",)),
        Folded("h", "h", 1, ("W",)),
        Folded("h", "o", 0, ("V",)),
    }
    two = {(a.source, a.target): a.delay for a in lab.traced(lab.two_directions).fold()}
    assert two["g", "g"] == -1
    fed_back = {(a.source, a.target): a.delay for a in lab.traced(lab.from_output).fold()}
    assert fed_back == {("x", "h"): 0, ("o", "h"): 1, ("h", "o"): 0}


def test_unfolding_the_folded_graph_gives_the_graph_back(wiring):
    """What the page's slider does: every folded arrow at every step."""
    T = 4
    graph = lab.traced(wiring, T)
    made = {
        (Node(a.source, t - a.delay), Node(a.target, t))
        for a in graph.fold()
        for t in range(1, T + 1)
    }
    assert made == {(s, t) for s, t in graph.edges if s.time is not None}


def test_one_context_for_all_steps_folds_to_a_fixed_source():
    graph = Graph()
    params = graph.parameters(**lab.weights())
    xs = graph.inputs("x", np.ones((3, 2, 3)))
    last, _ = unfold(graph.watch(step, "h"), params, graph.start("h", np.zeros((2, 4))), xs)
    (R,) = graph.parameters(R=np.ones((4, 4)))

    def decode(params, s, _):
        return np.tanh(s @ params.T + last), s

    unfold(graph.watch(decode, "s"), R, graph.start("s", np.zeros((2, 4))), range(2))
    assert Folded("h", "s", None, (), 3) in graph.fold()
    assert isinstance(graphs.draw(graph), Figure)
    graphs.plt.close("all")


def test_a_network_that_changes_from_step_to_step_cannot_be_folded():
    graph = Graph()
    (U, W) = graph.parameters(U=np.ones((4, 3)), W=np.ones((4, 3)))
    ticks = iter(range(9))

    def step(_, h, x):
        return np.tanh(h + x @ (U if next(ticks) % 2 else W).T), None

    xs = graph.inputs("x", np.ones((3, 2, 3)))
    unfold(graph.watch(step, "h"), None, graph.start("h", np.zeros((2, 4))), xs)
    with pytest.raises(ValueError, match="differ from step to step"):
        graph.fold()


@pytest.mark.parametrize(
    ("use", "error", "words"),
    [
        (lambda a: np.array(a), TypeError, "np.stack"),
        (lambda a: a.__setitem__(0, 1.0), TypeError, "collect arrays in a list"),
        (lambda a: 1 if a else 0, TypeError, "may not hang on one"),
        (lambda a: float(a[0, 0]), TypeError, "may not hang on one"),
        (lambda a: np.add(a, 1.0, out=np.zeros((2, 3))), TypeError, "collect arrays in a list"),
    ],
)
def test_what_would_lose_the_past_is_refused(use, error, words):
    with pytest.raises(error, match=words):
        use(Graph().start("h", np.ones((2, 3))))


def test_a_name_stands_once_and_what_has_no_past_is_refused():
    graph = Graph()
    graph.start("h", np.ones(2))
    with pytest.raises(ValueError, match="h at step 0 stands in the graph already"):
        graph.start("h", np.ones(2))
    with pytest.raises(TypeError, match="without a past"):
        graph.name("o", np.ones(2), 1)
    with pytest.raises(ValueError, match="h is a letter for the state already"):
        graph.inputs("h", [np.ones(2)])
    watched = graph.watch(lambda p, s, x: ((s,), s), ("a", "b"))
    start = graph.start("a", np.ones(2))
    with pytest.raises(ValueError, match="the state has 1 parts, and 2 letters"):
        watched(None, start, None)


def test_traced_arrays_compute_what_arrays_do():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    graph = Graph()
    one, two = graph.start("a", a), graph.start("b", b)
    for f in (
        lambda a, b: a @ b,
        lambda a, b: np.einsum("ij,jk->ik", a, b),
        lambda a, b: np.concatenate([a, a[:, :1]], axis=1),
        lambda a, b: np.stack([a, 2 * a])[1].T,
        lambda a, b: np.where(a > 0, a, 0.0),
        lambda a, b: a.sum(axis=0, keepdims=True) - b.mean(),
        lambda a, b: a.reshape(3, 2).swapaxes(0, 1),
        lambda a, b: np.zeros_like(a) + a,
        lambda a, b: np.split(a, 3, axis=1)[2],
    ):
        np.testing.assert_array_equal(f(one, two).value, f(a, b))
    assert one.shape == (2, 3)
    assert len(one) == 2


def test_the_same_run_gives_the_same_drawing(wiring):
    one, other = (figures.as_svg(lab.draw_traced(lab.traced(wiring))) for _ in range(2))
    assert one == other
    assert one.count("<path") > 10
    graphs.plt.close("all")
