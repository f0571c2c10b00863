"""Chapter 8: this machine's roofline, what it predicts, and what is then measured.

Times are processor time of one thread.  What was measured elsewhere, for longer, is read from
`benchmarks/recurrent.json`.
"""

from __future__ import annotations

import datetime
import json
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from course import figures
from figures import textbook
from figures.bptt import median_seconds
from figures.counting import counted, torch_calls
from figures.tables import Table
from solutions import fast, fast_torch, gates
from solutions.gates import to_torch
from solutions.speed import operations, predict, step_traffic

BLUE, VERMILION, GREEN = (figures.PALETTE[name] for name in ("blue", "vermilion", "green"))
PURPLE = figures.PALETTE["purple"]

RECORD = Path(__file__).resolve().parents[2] / "benchmarks" / "recurrent.json"
LSTM_BLOCKS = 4
NO_BREAK = "\u00a0"


# ------------------------------------------------------------------------------------- the machine


class Rates(NamedTuple):
    """What a machine can do with one thread, float32.

    product : operations a second in a large matrix product; cache, memory : bytes a second, read
    and written, of arrays that fit into a cache, and that do not; call, torch_call : seconds of a
    call of NumPy, and of PyTorch, that has next to nothing to do
    """

    product: float
    cache: float
    memory: float
    call: float
    torch_call: float


def rates(size: int = 768, small: int = 1 << 15, large: int = 1 << 24) -> Rates:
    """Measure this machine; size : rows of the product; small, large : entries copied."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(8)
    square, out = rng.normal(size=(size, size)).astype(np.float32), np.empty((size, size), "f4")
    few, many = np.ones(small, np.float32), np.ones(large, np.float32)
    to_few, to_many = np.empty_like(few), np.empty_like(many)
    one, into, tensor = np.ones(1, np.float32), np.empty(1, np.float32), torch.ones(1)

    def often(run: Callable[[], object], times: int = 500) -> Callable[[], None]:
        def repeated() -> None:
            for _ in range(times):
                run()

        return repeated

    product, cache, memory, call, torch_call = median_seconds(
        [
            lambda: np.dot(square, square, out=out),
            often(lambda: np.copyto(to_few, few)),
            lambda: np.copyto(to_many, many),
            often(lambda: np.add(one, one, out=into)),
            often(lambda: torch.add(tensor, tensor)),
        ]
    )
    return Rates(
        2 * size**3 / product, 2 * few.nbytes * 500 / cache, 2 * many.nbytes / memory,
        call / 500, torch_call / 500,
    )  # fmt: skip


def where() -> str:
    """Return what the numbers of this page were measured on, and when."""
    return (
        f"{platform.machine()} processor, one thread, {datetime.date.today().isoformat()},"
        f" NumPy {np.__version__}, PyTorch {torch.__version__}"
    )


def table_rates(found: Rates) -> Table:
    """Return the table of `rates`."""
    return Table(
        ["what", "measured"],
        [
            ["a large product, F", f"{found.product / 1e9:.0f} billion operations a second"],
            ["copying in a cache, β", f"{found.cache / 1e9:.0f} billion bytes a second"],
            ["copying in memory", f"{found.memory / 1e9:.0f} billion bytes a second"],
            ["a call of NumPy, ℓ", f"{found.call * 1e6:.2f} µs"],
            ["a call of PyTorch", f"{found.torch_call * 1e6:.2f} µs"],
        ],
    )


# ------------------------------------------------------------------------------------ the roofline


class Roofline(NamedTuple):
    """The recurrent product of an LSTM step under the roof.

    rates : of the machine; batch : (n,); intensity : (n,), operations a byte; allowed, reached :
    (n,), operations a second
    """

    rates: Rates
    batch: np.ndarray
    intensity: np.ndarray
    allowed: np.ndarray
    reached: np.ndarray


def roofline(
    machine: Rates, batches: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256), H: int = 256
) -> Roofline:
    """Predict and measure W h for several batches, float32."""
    rng = np.random.default_rng(8)
    W = rng.normal(size=(H, LSTM_BLOCKS * H)).astype(np.float32)
    N = np.array([operations(1, B, 0, H, LSTM_BLOCKS)[0] for B in batches])
    intensity = np.array([step_traffic(B, H, LSTM_BLOCKS, 4)[1] for B in batches])

    def product(B: int) -> Callable[[], object]:
        h, out = rng.normal(size=(B, H)).astype(np.float32), np.empty((B, LSTM_BLOCKS * H), "f4")
        return lambda: np.dot(h, W, out=out)

    seconds = median_seconds([product(B) for B in batches], rounds=25)
    allowed = np.minimum(machine.product, machine.cache * intensity)  # (8.5)
    return Roofline(machine, np.array(batches), intensity, allowed, N / seconds)


def more_sequences(machine: Rates, many: int = 16, H: int = 128) -> tuple[float, float]:
    """How many times longer W h takes for a batch of `many` than of 1: by (8.7), and measured."""
    data = roofline(machine, (1, many), H)
    N = np.array([operations(1, int(B), 0, H, LSTM_BLOCKS)[0] for B in data.batch])
    predicted, measured = machine.call + N / data.allowed, N / data.reached
    return float(predicted[1] / predicted[0]), float(measured[1] / measured[0])


def draw_roofline(data: Roofline) -> Figure:
    """Draw what the roof allows, and what was reached, against the intensity."""
    figures.style()
    fig, ax = plt.subplots()
    span = np.geomspace(data.intensity[0] / 2, data.intensity[-1] * 2, 200)
    roof = np.minimum(data.rates.product, data.rates.cache * span) / 1e9
    ax.loglog(span, roof, color=BLUE, label="the roof, (8.5)")
    ax.loglog(data.intensity, data.reached / 1e9, "o", color=VERMILION, label="measured")
    for batch, x, y in zip(data.batch, data.intensity, data.reached / 1e9, strict=True):
        if batch in (1, 16, 256):
            ax.annotate(f"B = {batch}", (x, y), (7, -4), textcoords="offset points")
    ax.set(xlabel="operations a byte", ylabel="billion operations a second")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend()
    return fig


# -------------------------------------------------------------------- predicted, and then measured


class Way(NamedTuple):
    """One way to run an LSTM forward.

    calls : a step; moved : bytes that all but its products read and write, for the sequence, None
    where they can't be counted; predicted, measured : seconds for the sequence
    """

    name: str
    calls: float
    moved: int | None
    predicted: float
    measured: float


def lstm_arguments(T: int, B: int, H: int) -> list[np.ndarray]:
    """Return x, h0, c0, U, W, b in float32, as many inputs as units."""
    rng = np.random.default_rng(8)
    shapes = [(T, B, H), (B, H), (B, H), (4 * H, H), (4 * H, H), (4 * H,)]
    return [(rng.normal(size=shape) / np.sqrt(H)).astype(np.float32) for shape in shapes]


def calls_a_step(run: Callable[..., Any], B: int = 2, H: int = 8) -> int:
    """Return how many calls one step more takes, counted at two lengths."""
    long, short = (counted(run, *lstm_arguments(T, B, H)).calls for T in (12, 11))
    return long - short


def ways(machine: Rates, T: int = 200, B: int = 16, H: int = 128) -> list[Way]:
    """Predict and measure an LSTM's forward pass in several ways, the same weights in all."""
    given = lstm_arguments(T, B, H)
    x, h0, c0, U, W, b = (torch.from_numpy(each) for each in given)
    whole = torch.nn.LSTM(H, H)
    with torch.no_grad():
        for into, value in zip(whole.parameters(), to_torch(*given[3:]), strict=True):
            into.copy_(torch.from_numpy(value))

    def loop() -> torch.Tensor:
        return fast_torch.unroll(fast_torch.lstm_step, x, (h0, c0), U, b, W)[0]

    in_numpy = {
        "textbook": textbook.lstm,
        "input's product outside the loop": gates.lstm_forward,
        "and slabs": fast.lstm_forward,
    }
    runs: dict[str, Callable[[], Any]] = {
        name: (lambda run=run: run(*given)[0]) for name, run in in_numpy.items()
    }
    runs["PyTorch, the loop"] = loop
    runs["nn.LSTM"] = lambda: whole(x, (h0[None], c0[None]))[0]
    N, _ = operations(T, B, H, H, LSTM_BLOCKS)
    predicted, calls, moved = [], [], []
    for run in in_numpy.values():
        count = counted(run, *given)
        pieces = predict(
            np.array([N, 0]), np.array([0, count.moved]), np.array([0, count.calls]),
            machine.product, machine.cache, machine.call,
        )  # fmt: skip
        predicted.append(pieces.sum())
        calls.append(calls_a_step(run))
        moved.append(count.moved)
    with torch_calls() as counting:
        loop()
    predicted += [N / machine.product + counting.count * machine.torch_call, N / machine.product]
    calls += [counting.count / T, 0]
    moved += [None, None]
    with torch.no_grad():
        states = [np.asarray(run()) for run in runs.values()]
        seconds = median_seconds(list(runs.values()), rounds=5)
    for each in states[:3]:
        np.testing.assert_allclose(each, states[3], atol=1e-4)
    return [Way(*each) for each in zip(runs, calls, moved, predicted, seconds, strict=True)]


def table_ways(found: list[Way]) -> Table:
    """Return the table of `ways`."""
    rows = [
        [
            way.name,
            f"{way.calls:.0f}" if way.calls else "—",
            f"{way.moved / 1e6:.0f}" if way.moved else "—",
            f"{way.predicted * 1e3:.1f}",
            f"{way.measured * 1e3:.1f}",
            f"{way.measured / way.predicted:.1f}",
        ]
        for way in found
    ]
    head = ["way", "calls a step", "MB moved", "predicted, ms", "measured, ms", "ratio"]
    return Table(head, rows)


# --------------------------------------------------------------------------------------- the scan


class Scans(NamedTuple):
    """Seconds to solve a linear recurrence of T steps: T : (n,), each way's : (n,)."""

    T: np.ndarray
    seconds: dict[str, np.ndarray]


def scans(steps: Sequence[int] = (64, 256, 1024, 4096), B: int = 8, H: int = 64) -> Scans:
    """Measure the loop, the scan by pairs and the scan by blocks, float32, in PyTorch."""
    torch.manual_seed(8)
    ways_to_solve = {
        "loop": fast_torch.scan_by_loop,
        "pairs": fast_torch.scan_by_pairs,
        "blocks": fast_torch.scan_by_blocks,
    }
    runs = []
    for T in steps:
        a, b, h0 = torch.rand(T, B, H), torch.randn(T, B, H), torch.randn(B, H)
        runs += [lambda s=s, a=a, b=b, h0=h0: s(a, b, h0) for s in ways_to_solve.values()]
    with torch.no_grad():
        seconds = median_seconds(runs).reshape(len(steps), len(ways_to_solve))
    return Scans(np.array(steps), dict(zip(ways_to_solve, seconds.T, strict=True)))


def draw_scans(data: Scans) -> Figure:
    """Draw the time of each way against the number of steps."""
    figures.style()
    fig, ax = plt.subplots()
    styles = {"loop": (VERMILION, "o-"), "pairs": (BLUE, "s-"), "blocks": (GREEN, "^-")}
    for name, seconds in data.seconds.items():
        colour, mark = styles[name]
        ax.loglog(data.T, seconds * 1e3, mark, color=colour, label=name)
    ax.set(xlabel="steps τ", ylabel="time, ms")
    ax.legend()
    return fig


def sweeps(T: int) -> tuple[int, int]:
    """Sweeps of a scan by pairs, and steps put together or applied in them.  Source: eq (8.12)."""
    count = work = 0
    while T > 1:
        count, work, T = count + 2, work + T - 1, T // 2
    return count, work


# -------------------------------------------------------------------------- what has been recorded


def record(path: Path = RECORD) -> dict[str, Any]:
    """Return what `benchmarks/recurrent.py` has written."""
    return json.loads(path.read_text(encoding="utf-8"))


def said_of(part: dict[str, Any]) -> str:
    """Return the machine and the day of a part of the record, as a sentence."""
    m = part["machine"]
    return (
        f"Recorded on {m['date']}: {m['processor']}, {m['cores']} cores, load {m['load_before']} to"
        f" {m['load_after']}, {m['threads']} thread, NumPy {m['numpy']} with OpenBLAS kernels"
        f" {m['OpenBLAS kernels']}, PyTorch {m['torch']}."
    )


NETWORKS = ("rnn", "gru", "lstm")
BARE = "products, tanh, fewest calls"


def said_of_networks(found: dict[str, Any]) -> str:
    """Return where and when each network was measured, as a list in Markdown."""
    return "\n".join(
        f"- {cell.upper()}: {said_of(found[cell])}" for cell in NETWORKS if cell in found
    )


def points_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the points of all networks of the record."""
    return [point for cell in NETWORKS if cell in found for point in found[cell]["points"]]


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def table_recorded(found: dict[str, Any], turn: str) -> Table:
    """Return how long other ways take for one of ours; turn : "forward" or "with backward".

    After "of" stands the same for one of what can't be left out: the most one can gain.
    """
    others = {"torch.nn": "torch.nn", "torch loop": "PyTorch loop", "textbook": "textbook NumPy"}
    rows = []
    for p in points_of(found):
        if p["pass"] == turn:
            ours = f"{1e3 * p['seconds']['fast']:.1f}"
            least = p["ratio"][BARE]
            ratios = [
                f"{_times(ratio)} of {_times(ratio / least)}".replace(" ", NO_BREAK)
                for ratio in (p["ratio"][name] for name in others)
            ]
            ratios.append(f"{p['ratio']['fast, fresh memory']:.2f}")
            network = f"{p['cell'].upper()} {p['dtype']}".replace(" ", NO_BREAK)
            rows.append(
                [network, f"({p['B']},{NO_BREAK}{p['T']},{NO_BREAK}{p['H']})", ours, *ratios]
            )
    heads = ["network", "(B, T, H)", "ours, ms", *others.values(), "fresh memory"]
    return Table(heads, rows)


def spread_of(found: dict[str, Any]) -> str:
    """Return how far the quartiles of our times lie apart, over all points, as a sentence."""
    spreads = [100 * p["spread"]["fast"] for p in points_of(found)]
    return (
        "The quartiles of our times lie apart by"
        f" {np.median(spreads):.0f} % of the median at half of the points, and by"
        f" {max(spreads):.0f} % at the worst."
    )


def bound_of_networks(found: dict[str, Any]) -> str:
    """Return what part of our times can't be left out, over all points, as a sentence."""
    turns = []
    for turn in ("forward", "with backward"):
        parts = [100 * p["ratio"][BARE] for p in points_of(found) if p["pass"] == turn]
        turns.append((np.median(parts), min(parts), max(parts)))
    forward, both = (f"{middle:.0f} % ({low:.0f} to {high:.0f} %)" for middle, low, high in turns)
    return f"It takes {forward} of our time forward, {both} with backward: median and range."


def table_growth(found: dict[str, Any]) -> Table:
    """Return the exponents of T, fitted to time and to peak memory."""
    kept = found["growth"]
    rows = [
        [
            re.sub(r"^\w+", lambda network: network[0].upper(), name),
            f"{each['exponent of time']:.2f}",
            f"{each['exponent of memory']:.2f}",
            f"{each['bytes at the peak'][-1] / 1e6:.0f}",
        ]
        for name, each in kept.items()
        if isinstance(each, dict) and "exponent of time" in each
    ]
    return Table(
        ["network and way", "time ∝ T to the", "memory ∝ T to the", f"MB at T = {kept['T'][-1]}"],
        rows,
    )


def table_scan(found: dict[str, Any]) -> Table:
    """Return the recorded times of minGRU and of its recurrence."""
    part = found["scan"]
    rows = [
        [name, *(f"{part[kind]['seconds'][name] * 1e3:.2f}" for kind in ("float32", "float64"))]
        for name in part["float32"]["seconds"]
    ]
    return Table(
        [f"T = {part['T']}, B = {part['B']}, H = {part['H']}", "float32, ms", "float64, ms"], rows
    )


def bound_of_scan(found: dict[str, Any], kind: str = "float32") -> str:
    """Return how much any scan can gain over the loop, and how much ours does, as a sentence."""
    part = found["scan"][kind]
    gates, sweep, loop = (
        1e3 * part["seconds"][name]
        for name in (
            "minGRU, its gates alone",
            "recurrence, one sweep alone",
            "minGRU, loop over steps",
        )
    )
    bound, ours = loop / (gates + sweep), part["ratio"]["minGRU, loop over steps"]
    return (
        f"In {kind} the gates take {gates:.1f} ms by themselves, and to read the factors and the"
        f" inputs of the recurrence once and write its states takes {sweep:.1f} ms. No way to solve"
        f" it needs less, so none makes the network more than {bound:.1f} times as fast as its loop"
        f" here. The scan makes it {ours:.1f} times as fast."
    )


def table_kernels(found: dict[str, Any]) -> Table:
    """Return the recorded rate of a step's product with each set of OpenBLAS's kernels."""
    part = found["kernels"]
    rows = [
        [name, each["used"], *(f"{each[kind] / 1e9:.0f}" for kind in ("float32", "float64"))]
        for name, each in part.items()
        if name != "machine"
    ]
    head = ["OPENBLAS_CORETYPE", "kernels used", "float32, 10⁹ operations/s", "float64"]
    return Table(head, rows)


def table_compiled(found: dict[str, Any]) -> Table:
    """Return the recorded times of the loop, of the loop over a compiled step, and of nn.LSTM."""
    part = found["scan"]["compiled"]
    rows = [[name, f"{1e3 * seconds:.1f}"] for name, seconds in part["seconds"].items()]
    return Table([f"LSTM forward, T = {part['T']}, B = {part['B']}, H = {part['H']}", "ms"], rows)


def said_of_device(found: dict[str, Any]) -> str:
    """Return what was recorded of a GPU, or that nothing was."""
    part = found["device"]
    if "none" in part:
        return f"The record of {part['machine']['date']} says: {part['none']}."
    return (
        f"{said_of(part)} {part['name']}: {part['operations a second'] / 1e12:.1f}·10¹² operations"
        f" and {part['bytes a second'] / 1e12:.2f}·10¹² bytes a second."
    )
