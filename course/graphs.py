"""Draw a recurrent network from a run of it: the graph is traced, never drawn by hand.

    graph = Graph()
    params = graph.parameters(U=U, W=W, b=b, V=V, c=c)
    unfold(graph.watch(step, "h", "o"), params, graph.start("h", h0), graph.inputs("x", x))
    figures.show(draw(graph))

The arrays that a graph hands out remember what they were computed from.  ``watch`` names what a
step returns; an arrow is drawn wherever the computation of one named array used another, with no
named array between.  So any wiring that is a function can be drawn: more states, more layers, two
directions, outputs that are fed back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, PathPatch, Rectangle
from matplotlib.path import Path

from course import figures

COLOURS = {"input": "blue", "state": "vermilion", "output": "green"}
"""The colour of each role, by its name in the palette."""

_PRODUCTS = (np.matmul, np.multiply, np.dot, np.einsum, np.tensordot, np.inner, np.vdot)
_NO_NUMBERS = (np.empty_like, np.zeros_like, np.ones_like, np.full_like, np.shape, np.ndim, np.size)


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that remembers what it was computed from; NumPy's functions take it as an array."""

    def __init__(self, value: Any, made_from: Sequence[Traced] = (), product: bool = False) -> None:
        self.value = np.asarray(value)
        self.made_from = tuple(made_from)
        self.product = product

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any, **options: Any) -> Any:
        if options.get("out") is not None:
            raise TypeError(_NO_WRITING)
        made = getattr(ufunc, method)(*map(_plain, given), **_plain(options))
        return _wrapped(made, _traced_in((given, options)), ufunc in _PRODUCTS)

    def __array_function__(self, function: Any, types: Any, given: Any, options: Any) -> Any:
        made = function(*_plain(given), **_plain(options))
        if function in _NO_NUMBERS:
            return made
        return _wrapped(made, _traced_in((given, options)), function in _PRODUCTS)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self.value, name)
        if not callable(found):
            return _wrapped(found, (self,))

        def method(*given: Any, **options: Any) -> Any:
            made = found(*_plain(given), **_plain(options))
            return _wrapped(made, (self, *_traced_in((given, options))), name == "dot")

        return method

    def __getitem__(self, key: Any) -> Traced:
        return Traced(self.value[_plain(key)], (self, *_traced_in(key)))

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Traced]:
        return (self[i] for i in range(len(self)))

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(_NO_WRITING)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "np.array() would forget what a traced array was made from: use np.stack or"
            " np.concatenate to join arrays"
        )

    def __bool__(self) -> bool:
        raise TypeError("a wiring is drawn for all numbers at once: it may not hang on one")

    __float__ = __int__ = __bool__


_NO_WRITING = (
    "a traced array can't be written into, its past would be lost: collect arrays in a list, and"
    " np.stack them"
)


def _plain(item: Any) -> Any:
    """The same without traces: arrays, and lists, tuples and dicts of them."""
    if isinstance(item, Traced):
        return item.value
    if isinstance(item, list | tuple):
        return type(item)(map(_plain, item))
    if isinstance(item, dict):
        return {key: _plain(value) for key, value in item.items()}
    return item


def _traced_in(item: Any) -> tuple[Traced, ...]:
    """Every traced array among some arguments."""
    if isinstance(item, Traced):
        return (item,)
    if isinstance(item, dict):
        item = list(item.values())
    if isinstance(item, list | tuple):
        return tuple(found for each in item for found in _traced_in(each))
    return ()


def _wrapped(made: Any, made_from: Sequence[Traced], product: bool = False) -> Any:
    """Arrays with their past; shapes and the like as they are."""
    if isinstance(made, np.ndarray | np.floating):
        return Traced(made, made_from, product)
    if isinstance(made, list | tuple) and any(isinstance(each, np.ndarray) for each in made):
        return type(made)(_wrapped(each, made_from, product) for each in made)
    return made


class Node(NamedTuple):
    """A named array: its letter, and its step (None for a parameter)."""

    name: str
    time: int | None


Sources = dict[Node, frozenset[str]]
"""What an array was made from, and the parameters that multiply on the way."""


class Folded(NamedTuple):
    """Arrows that are the same at every step, as one.

    delay: steps between source and target; weights: the parameters that multiply on the way;
    fixed: the source's step, where it is always the same one (then there is no delay)
    """

    source: str
    target: str
    delay: int | None
    weights: tuple[str, ...]
    fixed: int | None = None


class Graph:
    """What depends on what in one run of a network.

    nodes: every named array, in the order of the run; edges: (source, target) to the parameters
    that multiply the source on its way, in alphabetical order; roles: a name to "input", "state",
    "output" or "parameter".
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.edges: dict[tuple[Node, Node], tuple[str, ...]] = {}
        self.roles: dict[str, str] = {}
        self._node_of: dict[int, Node] = {}
        self._kept: list[Traced] = []  # while an array lives, no other has its id

    def parameters(self, **arrays: Any) -> tuple[Traced, ...]:
        """Name parameters, which belong to no step; returns them in the order given."""
        return tuple(self._add(Traced(a), name, None, "parameter") for name, a in arrays.items())

    def start(self, name: str, value: Any, time: int = 0) -> Traced:
        """Name the state before the first step."""
        return self._add(Traced(value), name, time, "state")

    def inputs(
        self, name: str, values: Iterable[Any], times: Iterable[int] | None = None
    ) -> list[Traced]:
        """Name one array for each step, 1, 2, ... unless ``times`` says otherwise."""
        ticks = itertools.count(1) if times is None else times
        return [self._add(Traced(v), name, t, "input") for v, t in zip(values, ticks, strict=False)]

    def name(self, name: str, value: Traced, time: int | None, role: str = "output") -> Traced:
        """Name an array that was computed; returns it."""
        return self._named([(name, value, role)], time)[0]

    def watch(
        self,
        step: Callable[..., tuple[Any, Any]],
        state: str | Sequence[str],
        output: str | None = None,
        times: Iterable[int] | None = None,
    ) -> Callable[..., tuple[Any, Any]]:
        """Wrap a step, so that what it returns is named at each call.

        state: the state's letter, or one for each part of a state that is a tuple; output: the
        output's letter, left out where a step gives nothing else; times: the steps in the order of
        the calls, 1, 2, ... unless given: for a run from the end, range(T, 0, -1).
        """
        ticks = iter(itertools.count(1) if times is None else times)

        several = not isinstance(state, str)
        letters = (state,) if isinstance(state, str) else state

        def watched(params: Any, before: Any, x: Any) -> tuple[Any, Any]:
            t = next(ticks)
            after, y = step(params, before, x)
            parts = after if several else (after,)
            if len(letters) != len(parts):
                raise ValueError(f"the state has {len(parts)} parts, and {len(letters)} letters")
            named = [(n, part, "state") for n, part in zip(letters, parts, strict=True)]
            if output is not None:
                named.append((output, y, "output"))
            kept = self._named(named, t)
            after = tuple(kept[: len(parts)]) if several else kept[0]
            return after, y if output is None else kept[-1]

        return watched

    def fold(self) -> list[Folded]:
        """Put the arrows of all steps on top of each other; parameters are left out.

        Raises ValueError where arrows between two names follow no rule that holds at every step.
        """
        found: list[Folded] = []
        pairs: dict[tuple[str, str], dict[tuple[Node, Node], tuple[int, tuple[str, ...]]]] = {}
        for (s, t), weights in self.edges.items():
            if s.time is not None and t.time is not None:
                pairs.setdefault((s.name, t.name), {})[s, t] = t.time - s.time, weights
        for (source, target), arrows in pairs.items():
            delays = sorted({delay for delay, _ in arrows.values()})
            if all(self._regular(source, target, d, arrows) for d in delays):
                for delay in delays:
                    all_weights = {weights for d, weights in arrows.values() if d == delay}
                    found.append(Folded(source, target, delay, _one(all_weights, source, target)))
                continue
            fixed = {s.time for s, _ in arrows}
            if len(fixed) > 1:
                raise ValueError(f"the arrows from {source} to {target} differ from step to step")
            weights = _one({weights for _, weights in arrows.values()}, source, target)
            found.append(Folded(source, target, None, weights, fixed.pop()))
        return found

    def reaches(self, source: Node, target: Node) -> bool:
        """Whether a change of one array can change another, along any number of arrows."""
        before: dict[Node, set[Node]] = {}
        for s, t in self.edges:
            before.setdefault(t, set()).add(s)
        seen: set[Node] = set()
        waiting = [target]
        while waiting:
            node = waiting.pop()
            if node == source:
                return True
            fresh = before.get(node, set()) - seen
            seen |= fresh
            waiting += fresh
        return False

    def _regular(
        self, source: str, target: str, delay: int, arrows: Mapping[tuple[Node, Node], object]
    ) -> bool:
        """Whether every target has this arrow that could have it."""
        nodes = set(self.nodes)
        could = [
            (Node(source, n.time - delay), n)
            for n in self.nodes
            if n.name == target and n.time is not None and self._made(n)
        ]
        return all(pair in arrows for pair in could if pair[0] in nodes)

    def _made(self, node: Node) -> bool:
        return any(target == node for _, target in self.edges)

    def _add(self, value: Traced, name: str, time: int | None, role: str) -> Traced:
        node = Node(name, time)
        if node in self.nodes:
            raise ValueError(f"{name} at step {time} stands in the graph already: another letter?")
        if self.roles.setdefault(name, role) != role:
            raise ValueError(f"{name} is a letter for the {self.roles[name]} already")
        self.nodes.append(node)
        self._node_of[id(value)] = node
        self._kept.append(value)
        return value

    def _named(self, arrays: Sequence[tuple[str, Any, str]], time: int | None) -> list[Traced]:
        """Name all arrays, then find what each was made from: one may depend on another."""
        kept = []
        for name, value, role in arrays:
            if not isinstance(value, Traced):
                raise TypeError(
                    f"{name} at step {time} is a {type(value).__name__} without a past: it does not"
                    " depend on anything that the graph knows"
                )
            # Handed on as it is, or returned twice: the name wants an array of its own.
            own = value if id(value) not in self._node_of else Traced(value.value, (value,))
            kept.append(self._add(own, name, time, role))
        for value in kept:
            node = self._node_of[id(value)]
            for source, weights in self._sources_of_parts(value, {}).items():
                self.edges[source, node] = tuple(sorted(weights))
        return kept

    def _sources(self, value: Traced, known: dict[int, Sources]) -> Sources:
        """The nearest named arrays behind one, with the parameters that multiply on the way."""
        if id(value) in self._node_of:
            return {self._node_of[id(value)]: frozenset()}
        if id(value) not in known:
            known[id(value)] = self._sources_of_parts(value, known)
        return known[id(value)]

    def _sources_of_parts(self, value: Traced, known: dict[int, Sources]) -> Sources:
        parts = [self._sources(part, known) for part in value.made_from]
        found: Sources = {}
        for i, part in enumerate(parts):
            others = (node for j, other in enumerate(parts) if j != i for node in other)
            met = frozenset(n.name for n in others if n.time is None and value.product)
            for node, weights in part.items():
                gained = weights if node.time is None else weights | met
                found[node] = found.get(node, frozenset()) | gained
        return found


def _one(weights: set[tuple[str, ...]], source: str, target: str) -> tuple[str, ...]:
    if len(weights) > 1:
        raise ValueError(f"the weights from {source} to {target} differ from step to step")
    return next(iter(weights))


# Drawing.

RADIUS, COLUMN, ROW = 0.3, 1.3, 1.2
SCALE = 0.56  # inches for one unit: letters of 10 points then fit into a circle

Place = tuple[float, float]


def draw(graph: Graph, rows: Sequence[str] | None = None, folded: bool = True) -> Figure:
    """Draw a graph folded, with a black square for each delay, and unfolded beside it.

    rows: the letters from bottom to top; left out, inputs, then states, then outputs.
    """
    figures.style()
    height = {name: ROW * i for i, name in enumerate(_rows(graph, rows))}
    steps = {n.time for n in graph.nodes if n.name in height and n.time is not None}
    fig, ax = plt.subplots()
    left = COLUMN * min(steps) - 0.5
    if folded:
        left = _draw_folded(ax, graph, height, left)
    _draw_unfolded(ax, graph, height)
    ax.set(xlim=(left, COLUMN * max(steps) + 0.5), ylim=(-0.5, max(height.values()) + 0.5))
    fig.set_size_inches(SCALE * np.ptp(ax.get_xlim()), SCALE * np.ptp(ax.get_ylim()))
    ax.set_aspect("equal")
    ax.axis("off")
    return fig


def _rows(graph: Graph, rows: Sequence[str] | None) -> list[str]:
    """The letters to draw, from bottom to top."""
    if rows is not None:
        return list(rows)
    order = tuple(COLOURS)
    named = [name for name, role in graph.roles.items() if role in order]
    return sorted(named, key=lambda name: order.index(graph.roles[name]))


def _draw_unfolded(ax: Axes, graph: Graph, height: Mapping[str, float]) -> None:
    """Draw every node at its step, and every arrow."""
    at = {
        n: (COLUMN * n.time, height[n.name])
        for n in graph.nodes
        if n.name in height and n.time is not None
    }
    for (source, target), weights in graph.edges.items():
        if source in at and target in at:
            _arrow(ax, at[source], at[target], weights, at.values())
    for node, place in at.items():
        _circle(ax, place, f"{node.name}^{{({node.time})}}", graph.roles[node.name])


def _draw_folded(ax: Axes, graph: Graph, height: Mapping[str, float], end: float) -> float:
    """Draw every letter once, left of ``end``; returns where the drawing begins.

    An arrow over a black square takes a step.
    """
    arrows = [a for a in graph.fold() if a.source in height and a.target in height]
    late = [a for a in arrows if a.delay != 0]
    room = 1.2 + 0.45 * len(late)
    x = end - room
    for arrow in arrows:
        if arrow.delay == 0:
            ends = (x, height[arrow.source]), (x, height[arrow.target])
            _arrow(ax, *ends, arrow.weights, [(x, y) for y in height.values()])
    for i, arrow in enumerate(late):
        _loop(ax, x, 0.7 + 0.45 * i, height, arrow)
    for name, y in height.items():
        _circle(ax, (x, y), name, graph.roles[name])
    return x - 0.6


def _circle(ax: Axes, place: Place, label: str, role: str) -> None:
    colour = figures.PALETTE[COLOURS[role]]
    ax.add_patch(Circle(place, RADIUS, fc=f"{colour}22", ec=colour, lw=1.5, zorder=3))
    ax.text(*place, f"${label}$", ha="center", va="center", zorder=4, size=10)


def _arrow(
    ax: Axes, start: Place, end: Place, weights: Sequence[str], places: Iterable[Place]
) -> None:
    """An arrow from rim to rim, with the letters of its weights; curved around other nodes."""
    here, there = np.array(start), np.array(end)
    span = there - here
    way = span / np.hypot(*span)
    side = np.array([way[1], -way[0]])  # right of the arrow
    bend = 0.35 if _in_the_way(here, span, side, set(places) - {start, end}) else 0.0
    turned = 0.9 * bend  # the angle at which a curved arrow leaves its circle
    leave = here + RADIUS * (np.cos(turned) * way + np.sin(turned) * side)
    enter = there - RADIUS * (np.cos(turned) * way - np.sin(turned) * side)
    _tip(ax, leave, enter, f"arc3,rad={bend}")
    if bend:  # near its beginning, where it meets no other
        away = 0.19 + 0.34 * bend * np.hypot(*(enter - leave))
        label = leave + 0.22 * (enter - leave) + away * side
    else:  # above, or to the left
        up = side if (side[1], -side[0]) > (0, 0) else -side
        label = (leave + enter) / 2 + 0.16 * up
    if weights:
        said = " ".join(f"${name}$" for name in weights)
        ax.text(label[0], label[1], said, ha="center", va="center", size=9)


def _in_the_way(here: np.ndarray, span: np.ndarray, side: np.ndarray, others: set[Place]) -> bool:
    """Whether a straight arrow would pass through another node."""
    for other in others:
        gap = np.array(other) - here
        if 0 < gap @ span < span @ span and abs(gap @ side) < RADIUS:
            return True
    return False


def _tip(ax: Axes, leave: np.ndarray, enter: np.ndarray, curve: str) -> None:
    ax.add_patch(
        FancyArrowPatch(
            tuple(leave), tuple(enter), connectionstyle=curve, arrowstyle="-|>",
            mutation_scale=9, color=figures.FOREGROUND, lw=1, shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def _loop(ax: Axes, x: float, out: float, height: Mapping[str, float], arrow: Folded) -> None:
    """An arrow that leaves to the right and comes back from there, over a black square."""
    y, v = height[arrow.source], height[arrow.target]
    lift = 0.18 if y == v else 0.0
    first, last = np.array([x + 0.24, y + lift]), np.array([x + 0.24, v - lift])
    if y != v:
        first[0] = last[0] = x + RADIUS
    middle, right = (y + v) / 2, x + out
    turns = (right, y + 1.3 * lift), (right, middle), (right, v - 1.3 * lift)
    codes = [Path.MOVETO, *[Path.CURVE3] * 4]
    ax.add_patch(
        PathPatch(
            Path(np.array([first, *turns, last]), codes), fc="none", ec=figures.FOREGROUND, lw=1
        )
    )
    _tip(ax, last + np.array([0.14, -0.15 * lift]), last, "arc3")
    words = [f"${name}$" for name in arrow.weights]
    if arrow.fixed is None:
        ax.add_patch(
            Rectangle((right - 0.09, middle - 0.09), 0.18, 0.18, fc=figures.FOREGROUND, zorder=3)
        )
        words += [f"${arrow.delay}$"] if arrow.delay != 1 else []
    else:
        words.append(f"$({arrow.fixed})$")
    ax.text(right + 0.17, middle, " ".join(words), ha="left", va="center", size=9)
