"""Chapter 4: the wirings.  Each is a step of chapter 2's `unfold`, run and drawn from its run.

`WIRINGS` holds them in the order of the chapter.  A wiring is run on a `Graph` of `course.graphs`:
the arrays it hands out remember what they were computed from.  Nothing here is drawn by hand.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from course import graphs
from course.graphs import Graph, Node
from figures.tables import Table
from solutions.unfolding import unfold

B, D, H, K = 2, 3, 4, 5
SIZE = {"D": D, "H": H, "K": K}
SHAPES = {"U": "HD", "R": "HD", "F": "HK", "W": "HH", "b": "H", "V": "KH", "c": "K", "Q": "HH"}
"""Shapes by a parameter's first letter; what follows it, as in U_1, is only a name."""


def tanh(a: Any) -> Any:
    """Return tanh of an array of NumPy's, of a traced one, or of a tensor."""
    return a.tanh() if hasattr(a, "tanh") else np.tanh(a)


def chosen(o: Any) -> Any:
    """Return the most probable class, one-hot; for a tensor with the gradient of o itself.

    The class jumps where o moves: it has no gradient.  A tensor gets one that says that there is a
    dependence at all.
    """
    if hasattr(o, "detach"):
        hard = (o == o.max(-1, keepdim=True).values).to(o.dtype)
        return hard + o - o.detach()
    return (o == np.max(o, axis=-1, keepdims=True)) * 1.0


class Run:
    """What a wiring gets to run on: a graph, random arrays, and the number of steps.

    make : turns an array into what the graph works on (nothing for NumPy, a tensor for torch).
    """

    def __init__(self, graph: Any, T: int, make: Callable[[np.ndarray], Any] = np.asarray) -> None:
        self.graph, self.T, self.make = graph, T, make
        self.rng = np.random.default_rng(0)

    def parameters(self, letters: str) -> tuple[Any, ...]:
        """Return named random parameters; their letters are separated by spaces."""
        values = {}
        for name in letters.split():
            shape = [SIZE[axis] for axis in SHAPES[name[0]]]
            if name in ("U_2", "U_3"):
                shape = [H, H]
            values[name] = self.make(self.rng.normal(0, 0.7, shape))
        return self.graph.parameters(**values)

    def start(self, name: str = "h", time: int = 0) -> Any:
        """Return a named initial state."""
        return self.graph.start(name, self.make(self.rng.normal(0, 0.5, (B, H))), time)

    def inputs(self, name: str = "x", times: Sequence[int] | None = None) -> list[Any]:
        """Return named inputs of D features, or one-hot classes where the name is y."""
        times = range(1, self.T + 1) if times is None else times
        if name == "y":
            values = np.eye(K)[self.rng.integers(0, K, (len(times), B))]
        else:
            values = self.rng.normal(size=(len(times), B, D))
        return self.graph.inputs(name, [self.make(v) for v in values], times)


# The steps.  Each is a pure function: parameters, state, input in; state and output out.


def hidden_step(params: Any, h: Any, x: Any) -> tuple[Any, Any]:
    """Step (3.1)-(3.3): the state is handed on."""
    U, W, b, V, c = params
    h = tanh(x @ U.T + h @ W.T + b)
    return h, h @ V.T + c


def forced_step(params: Any, state: Any, given: Any) -> tuple[Any, Any]:
    """Step (4.4) under teacher forcing: nothing of its own is handed on."""
    U, F, b, V, c = params
    x, y = given
    h = tanh(x @ U.T + y @ F.T + b)
    return (h,), h @ V.T + c


def output_step(params: Any, state: Any, x: Any) -> tuple[Any, None]:
    """Step (4.7): the class that came out is handed on; the state is not."""
    U, F, b, V, c = params
    _, o = state
    h = tanh(x @ U.T + chosen(o) @ F.T + b)
    return (h, h @ V.T + c), None


def summary_step(params: Any, h: Any, x: Any) -> tuple[Any, None]:
    """A step without an output."""
    U, W, b = params
    return tanh(x @ U.T + h @ W.T + b), None


def vector_step(params: Any, state: Any, given: Any) -> tuple[Any, Any]:
    """Step (4.15) under teacher forcing."""
    R, F, W, b, V, c = params
    (h,), (x, y) = state, given
    h = tanh(x @ R.T + y @ F.T + h @ W.T + b)
    return (h,), h @ V.T + c


def vector_loop_step(params: Any, state: Any, x: Any) -> tuple[Any, None]:
    """Step (4.15) on its own outputs."""
    R, F, W, b, V, c = params
    h, o = state
    h = tanh(x @ R.T + chosen(o) @ F.T + h @ W.T + b)
    return (h, h @ V.T + c), None


def deep_step(params: Any, state: Any, x: Any) -> tuple[Any, Any]:
    """Step (4.20) for two layers."""
    U_1, W_1, b_1, U_2, W_2, b_2, V, c = params
    lower, upper = state
    lower = tanh(x @ U_1.T + lower @ W_1.T + b_1)
    upper = tanh(lower @ U_2.T + upper @ W_2.T + b_2)
    return (lower, upper), upper @ V.T + c


# The wirings, run.


def run_hidden(run: Run) -> None:
    """Output at every step, recurrence from the state."""
    params = run.parameters("U W b V c")
    unfold(run.graph.watch(hidden_step, "h", "o"), params, run.start(), run.inputs())


def run_forced(run: Run) -> None:
    """Recurrence from the output, the true outputs fed."""
    params = run.parameters("U F b V c")
    xs, ys = run.inputs(), run.inputs("y", range(run.T))
    step = run.graph.watch(forced_step, ("h",), "o")
    unfold(step, params, (), list(zip(xs, ys, strict=True)))


def run_output(run: Run) -> None:
    """Recurrence from the output, its own outputs fed."""
    params = run.parameters("U F b V c")
    xs, (start,) = run.inputs(), run.inputs("y", [0])
    unfold(run.graph.watch(output_step, ("h", "o")), params, (None, start), xs)
    run.graph.roles["o"] = "output"


def run_summary(run: Run) -> None:
    """A sequence in, one output after its end."""
    U, W, b, V, c = run.parameters("U W b V c")
    h, _ = unfold(run.graph.watch(summary_step, "h"), (U, W, b), run.start(), run.inputs())
    run.graph.name("o", h @ V.T + c, run.T)


def run_vector_forced(run: Run) -> None:
    """A vector in, a sequence out, the true outputs fed."""
    params = run.parameters("R F W b V c")
    (x,), ys = run.inputs("x", [1]), run.inputs("y", range(run.T))
    step = run.graph.watch(vector_step, ("h",), "o")
    unfold(step, params, (run.start(),), [(x, y) for y in ys])


def run_vector(run: Run) -> None:
    """A vector in, a sequence out, its own outputs fed."""
    params = run.parameters("R F W b V c")
    (x,), (start,) = run.inputs("x", [1]), run.inputs("y", [0])
    step = run.graph.watch(vector_loop_step, ("h", "o"))
    unfold(step, params, (run.start(), start), [x] * run.T)
    run.graph.roles["o"] = "output"


def run_conditional_forced(run: Run) -> None:
    """Inputs, state and the true previous outputs."""
    params = run.parameters("U F W b V c")  # the step is (4.15)'s with another x at each step
    xs, ys = run.inputs(), run.inputs("y", range(run.T))
    step = run.graph.watch(vector_step, ("h",), "o")
    unfold(step, params, (run.start(),), list(zip(xs, ys, strict=True)))


def run_conditional(run: Run) -> None:
    """Inputs, state and its own previous outputs."""
    params = run.parameters("U F W b V c")
    xs, (start,) = run.inputs(), run.inputs("y", [0])
    step = run.graph.watch(vector_loop_step, ("h", "o"))
    unfold(step, params, (run.start(), start), xs)
    run.graph.roles["o"] = "output"


def run_both_ways(run: Run) -> None:
    """Two directions; the second one is the same `unfold` over the inputs in reverse order."""
    U, W, b, U_g, W_g, b_g, V, V_g, c = run.parameters("U W b U_g W_g b_g V V_g c")
    T, xs = run.T, run.inputs()
    forward_states, backward_states = [], []
    keep = run.graph.watch(summary_step, "h")
    unfold(_kept(keep, forward_states), (U, W, b), run.start(), xs)
    keep = run.graph.watch(summary_step, "g", times=range(T, 0, -1))
    start = run.start("g", T + 1)
    unfold(_kept(keep, backward_states), (U_g, W_g, b_g), start, xs[::-1])
    both = zip(forward_states, reversed(backward_states), strict=True)
    for t, (h, g) in enumerate(both, 1):
        run.graph.name("o", h @ V.T + g @ V_g.T + c, t)


def _kept(step: Callable[..., Any], states: list[Any]) -> Callable[..., Any]:
    """Return the step, putting each state aside as well."""

    def keeping(params: Any, state: Any, x: Any) -> tuple[Any, Any]:
        state, y = step(params, state, x)
        states.append(state)
        return state, y

    return keeping


def run_deep(run: Run) -> None:
    """Two layers."""
    params = run.parameters("U_1 W_1 b_1 U_2 W_2 b_2 V c")
    state = run.start("h_1"), run.start("h_2")
    unfold(run.graph.watch(deep_step, ("h_1", "h_2"), "o"), params, state, run.inputs())


class Wiring(NamedTuple):
    """One family of networks.

    key, title; equations : TeX; says : what it can represent; parallel : what can be computed at
    once; forced, used : run while it is trained and while it is used (the same where no output is
    fed back); rows : the letters of the drawing from bottom to top; section : where it is treated
    """

    key: str
    title: str
    equations: tuple[str, ...]
    says: str
    parallel: str
    forced: Callable[[Run], None]
    used: Callable[[Run], None]
    rows: tuple[str, ...]

    @property
    def feeds_back(self) -> bool:
        """Whether it is trained on other inputs than it is used on."""
        return self.forced is not self.used


OUT = r"o^{(t)} = c + V h^{(t)}"

WIRINGS = (
    Wiring(
        "hidden",
        "Output at every step",
        (r"h^{(t)} = \tanh(b + W h^{(t-1)} + U x^{(t)})", OUT),
        "Any function of the inputs so far; outputs that are independent of one another, given x.",
        "Nothing along time: each state waits for the one before.",
        run_hidden,
        run_hidden,
        ("x", "h", "o"),
    ),
    Wiring(
        "output",
        "Recurrence from the output only",
        (r"h^{(t)} = \tanh(b + F e_{y^{(t-1)}} + U x^{(t)})", OUT),
        "Outputs that depend on the one before. It remembers what it has said, and no more.",
        "While it is trained, all steps at once. In use, nothing along time.",
        run_forced,
        run_output,
        ("x", "h", "o"),
    ),
    Wiring(
        "summary",
        "A sequence in, one output",
        (r"h^{(t)} = \tanh(b + W h^{(t-1)} + U x^{(t)})", r"o = c + V h^{(\tau)}"),
        "One answer about the whole sequence, or a vector that another network reads.",
        "Nothing along time.",
        run_summary,
        run_summary,
        ("x", "h", "o"),
    ),
    Wiring(
        "vector",
        "A vector in, a sequence out",
        (r"h^{(t)} = \tanh(b + R x + F e_{y^{(t-1)}} + W h^{(t-1)})", OUT),
        "A distribution over sequences for each x: each output depends on x and all before it.",
        "R x once for all steps; the states wait for one another, even under teacher forcing.",
        run_vector_forced,
        run_vector,
        ("x", "h", "o"),
    ),
    Wiring(
        "conditional",
        "Outputs fed back beside inputs",
        (r"h^{(t)} = \tanh(b + U x^{(t)} + F e_{y^{(t-1)}} + W h^{(t-1)})", OUT),
        "Each output may depend on all outputs before it and the inputs so far, not on later ones.",
        "Nothing along time, even under teacher forcing.",
        run_conditional_forced,
        run_conditional,
        ("x", "h", "o"),
    ),
    Wiring(
        "both",
        "Both directions",
        (
            r"h^{(t)} = \tanh(b_f + W_f h^{(t-1)} + U_f x^{(t)})",
            r"g^{(t)} = \tanh(b_g + W_g g^{(t+1)} + U_g x^{(t)})",
            r"o^{(t)} = c + V [\,h^{(t)};\, g^{(t)}\,]",
        ),
        "Outputs that depend on all inputs, those to come as well. It needs the whole sequence.",
        "The two directions beside each other; nothing along time.",
        run_both_ways,
        run_both_ways,
        ("x", "h", "g", "o"),
    ),
    Wiring(
        "deep",
        "Two layers",
        (
            r"h_1^{(t)} = \tanh(b_1 + W_1 h_1^{(t-1)} + U_1 x^{(t)})",
            r"h_2^{(t)} = \tanh(b_2 + W_2 h_2^{(t-1)} + U_2 h_1^{(t)})",
            r"o^{(t)} = c + V h_2^{(t)}",
        ),
        "As the first, with more processing between an input and an output of the same step.",
        "Layer 2 at step t beside layer 1 at step t + 1; nothing else along time.",
        run_deep,
        run_deep,
        ("x", "h_1", "h_2", "o"),
    ),
)


def wiring(key: str) -> Wiring:
    """Return a wiring by its key; raises KeyError on an unknown one."""
    return {each.key: each for each in WIRINGS}[key]


def graph_of(run: Callable[[Run], None], T: int = 3) -> Graph:
    """Return the graph of a run."""
    graph = Graph()
    run(Run(graph, T))
    return graph


def draw(key: str, used: bool = True, T: int = 3) -> Figure:
    """Draw a wiring folded and unfolded, in use or while it is trained.

    One x for all steps has no place in a folded drawing, and no step.
    """
    each = wiring(key)
    run = each.used if used else each.forced
    fig = graphs.draw(graph_of(run, T), _rows(each), folded=key != "vector")
    if key == "vector":
        for text in fig.axes[0].texts:
            if text.get_text() == "$x^{(1)}$":
                text.set_text("$x$")
    return fig


# What follows from the graph alone.


def rounds(graph: Graph) -> int:
    """Return how many rounds a machine with a processor for every array needs at least.

    An array can be computed one round after the last of those it is computed from; what is given
    is there in round 0.
    """
    level: dict[Node, int] = {}
    before: dict[Node, list[Node]] = {}
    for source, target in graph.edges:
        before.setdefault(target, []).append(source)

    def of(node: Node) -> int:
        if node not in level:
            level[node] = 1 + max(map(of, before[node])) if node in before else 0
        return level[node]

    return max(map(of, graph.nodes))


def linear(values: Sequence[int], at: Sequence[int]) -> str:
    """Return "a τ + b" for values at some lengths; raises ValueError if they are on no line."""
    slope = (values[1] - values[0]) // (at[1] - at[0])
    rest = values[0] - slope * at[0]
    if any(v != slope * t + rest for v, t in zip(values, at, strict=True)):
        raise ValueError(f"{values} at {at} are on no line")
    if slope == 0:
        return str(rest)
    times = "τ" if slope == 1 else f"{slope}τ"
    return times if rest == 0 else f"{times} {'+' if rest > 0 else '−'} {abs(rest)}"


class Counts(NamedTuple):
    """What a run costs, as formulas in τ: rounds in a row, arrays computed, numbers kept."""

    rounds: str
    arrays: str
    kept: str  # in units of H: states alone


def counts(run: Callable[[Run], None], lengths: Sequence[int] = (3, 4, 6)) -> Counts:
    """Count rounds, computed arrays, and the numbers of a sequence that backward will need."""
    found = [graph_of(run, T) for T in lengths]
    made = [{target for _, target in g.edges} for g in found]
    states = [[n for n in nodes if n.name != "o"] for nodes in made]
    return Counts(
        linear([rounds(g) for g in found], lengths),
        linear([len(nodes) for nodes in made], lengths),
        linear([len(nodes) for nodes in states], lengths),
    )


def _kept_numbers(found: Counts) -> str:
    return f"{found.kept} H".replace("τ H", "τH")


def table_counts() -> Table:
    """Return rounds and arrays of every wiring, while it is trained and in use."""
    rows = []
    for each in WIRINGS:
        trained, used = counts(each.forced), counts(each.used)
        rows.append(
            [each.title, trained.arrays, _kept_numbers(trained), trained.rounds, used.rounds]
        )
    head = ["wiring", "arrays", "numbers kept", "rounds, training", "rounds, in use"]
    return Table(head, rows)


# --------------------------------------------------------------------------- the page's chooser


def _listed(graph: Graph) -> dict[str, Any]:
    """Return a graph's nodes and arrows for the script, parameters left out."""
    nodes = [node for node in graph.nodes if node.time is not None]
    at = {node: i for i, node in enumerate(nodes)}
    return {
        "nodes": [[node.name, node.time, graph.roles[node.name]] for node in nodes],
        "edges": [
            [at[s], at[t], list(weights)]
            for (s, t), weights in graph.edges.items()
            if s in at and t in at
        ],
    }


def chooser(T: int = 4) -> list[dict[str, Any]]:
    """Return the graphs that the chooser shows, of each wiring in training and in use."""
    found = []
    for each in WIRINGS:
        modes = [("in use", each.used)]
        if each.feeds_back:
            modes.insert(0, ("while it is trained", each.forced))
        shown = [{"name": name, **_listed(graph_of(run, T))} for name, run in modes]
        found.append({"title": each.title, "rows": _rows(each), "modes": shown})
    return found


def _rows(each: Wiring) -> list[str]:
    """Return the letters from bottom to top, the classes that are fed among them."""
    return ["x", "y", *each.rows[1:]] if each.feeds_back else list(each.rows)


def _panel(each: Wiring) -> str:
    """Return a wiring in words and equations."""
    trained, used = counts(each.forced), counts(each.used)
    rounds = (
        f"{trained.rounds} while it is trained, {used.rounds} in use"
        if each.feeds_back
        else trained.rounds
    )
    facts = (
        ("It can represent", each.says),
        ("In parallel", each.parallel),
        ("Rounds in a row", f"{rounds}, of {trained.arrays} arrays in all."),
        ("Kept for the backward pass", f"{_kept_numbers(trained)} numbers a sequence."),
    )
    return (
        f'<div class="rnn-wiring"><p><strong>{html.escape(each.title)}</strong></p>'
        + "".join(f'<p><span class="math">\\({tex}\\)</span></p>' for tex in each.equations)
        + "<dl>"
        + "".join(f"<dt>{name}</dt><dd>{html.escape(said)}</dd>" for name, said in facts)
        + "</dl></div>"
    )


def chooser_html() -> str:
    """Return the element that `_static/wirings.js` turns into the chooser; it holds the graphs.

    Without scripts every wiring stands there in words and equations.
    """
    numbers = json.dumps(chooser(), separators=(",", ":"), ensure_ascii=False)
    return (
        f'<div class="rnn-wirings"><script type="application/json">{numbers}</script>'
        f"{''.join(map(_panel, WIRINGS))}</div>"
    )
