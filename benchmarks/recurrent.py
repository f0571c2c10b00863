"""How fast the recurrent networks of `solutions.fast` are, beside torch.nn and textbook NumPy.

    python benchmarks/recurrent.py [rnn] [gru] [lstm] [growth] [scan] [kernels] [device]
                                   [--json FILE] [--plot FILE] [--budget SECONDS] [--rounds N]

``rnn``, ``gru``, ``lstm``: forward, and forward with backward, at four shapes, two precisions;
``growth``: time and peak memory against the length; ``scan``: a linear recurrence by its loop and
by a scan, and the eager loop with a compiled step; ``kernels``: a step's product with each of
OpenBLAS's sets of kernels; ``device``: with a GPU only, nn.LSTM on cuDNN,
the loop and the hand-written backward over B and T, and the GPU's roofline.  All, if none is named.

All ways take turns, in rounds, and one thread is used, so that a busy machine slows all alike.
Ratios are medians over the rounds; seconds are this machine's.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from machine import machine
from threadpoolctl import threadpool_info, threadpool_limits

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book"))

from figures import textbook  # noqa: E402
from figures.bptt import exponent, peak_bytes  # noqa: E402

from autograder import build  # noqa: E402
from course import figures as style  # noqa: E402
from solutions import fast, fast_torch  # noqa: E402

Record = dict[str, Any]
Run = Callable[[], object]
Clock = Callable[[], float]

SHAPES = ((32, 100, 128), (64, 200, 256), (1, 1000, 64), (128, 50, 512))
"""B, T, H; as many inputs as units."""

BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}
MODULES = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
STEPS = {"rnn": fast_torch.rnn_step, "gru": fast_torch.gru_step, "lstm": fast_torch.lstm_step}
FUNCTIONS = {
    "rnn": fast_torch.RNNFunction,
    "gru": fast_torch.GRUFunction,
    "lstm": fast_torch.LSTMFunction,
}


# Timing.


def rounds_of(
    runs: dict[str, Run], budget: float, least: int, clock: Clock = time.process_time
) -> dict[str, list[float]]:
    """Seconds of each call; the calls take turns until the budget, in seconds, is spent.

    The clock is the processor's, which stands still while others have the core: with one thread it
    shows what an idle machine would, but for caches that others have emptied.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # the first call does not count
    end = time.perf_counter() + budget
    gc.disable()  # else one way pays for what another has left behind
    try:
        while len(next(iter(times.values()))) < least or time.perf_counter() < end:
            for name, run in runs.items():
                start = clock()
                run()
                times[name].append(clock() - start)
            gc.collect()
    finally:
        gc.enable()
    return times


def summary(times: dict[str, list[float]], ours: str) -> Record:
    """Medians, spread between quartiles, and each way's time for one of ours."""
    found: Record = {"rounds": len(times[ours]), "seconds": {}, "spread": {}, "ratio": {}}
    for name, each in times.items():
        low, middle, high = statistics.quantiles(each, n=4)
        found["seconds"][name] = middle
        found["spread"][name] = (high - low) / middle
        pairs = zip(each, times[ours], strict=True)
        found["ratio"][name] = statistics.median(other / own for other, own in pairs)
    return found


# One network, in all ways.


def drawn(cell: str, B: int, T: int, H: int, D: int, dtype: Any) -> tuple[list, list]:
    """Arguments of the forward pass, and what arrives from outside."""
    rng = np.random.default_rng(8)
    rows, scale = BLOCKS[cell] * H, 1 / np.sqrt(H)
    made = [rng.normal(size=(T, B, D)), np.zeros((B, H))]
    made += [np.zeros((B, H))] * (cell == "lstm")
    made += [rng.uniform(-scale, scale, shape) for shape in ((rows, D), (rows, H), (rows,))]
    made += [rng.uniform(-scale, scale, H)] * (cell == "gru")
    outside = [rng.normal(size=(T, B, H))] + [np.zeros((B, H))] * (cell == "lstm")
    return [a.astype(dtype) for a in made], [a.astype(dtype) for a in outside]


def twin(cell: str, given: Sequence[torch.Tensor]) -> torch.nn.RNNBase:
    """torch.nn's network with our weights."""
    U, W, b = given[-4:-1] if cell == "gru" else given[-3:]
    H = W.shape[1]
    order = np.arange(len(W))
    if cell == "lstm":  # PyTorch's blocks are i, f, g, o
        order = np.r_[: 2 * H, 3 * H : 4 * H, 2 * H : 3 * H]
    inner = torch.zeros_like(b)
    if cell == "gru":
        inner[2 * H :] = given[-1]
    module = MODULES[cell](U.shape[1], H, dtype=U.dtype, device=U.device)
    with torch.no_grad():
        for into, value in zip(
            module.parameters(), (U[order], W[order], b[order], inner), strict=True
        ):
            into.copy_(value)
    return module


def torch_ways(
    cell: str, inputs: Sequence[torch.Tensor], outside: Sequence[torch.Tensor], step: Any = None
) -> dict[str, tuple[Run, Run]]:
    """Forward, and that with backward, by torch.nn, the loop, and the hand-written backward."""
    leaves = [each.clone().requires_grad_() for each in inputs]
    module, x = twin(cell, inputs), leaves[0]
    states = leaves[1 : 3 if cell == "lstm" else 2]
    start = tuple(s[None] for s in states) if cell == "lstm" else states[0][None]
    weights = leaves[1 + len(states) :]

    def whole() -> tuple[torch.Tensor, ...]:
        h, last = module(x, tuple(s.detach() for s in start) if cell == "lstm" else start)
        return (h, last[1][0]) if cell == "lstm" else (h,)

    def loop() -> tuple[torch.Tensor, ...]:
        U, W, b, *rest = weights
        state = tuple(states) if cell == "lstm" else states[0]
        h, last = fast_torch.unroll(step or STEPS[cell], x, state, U, b, W, *rest)
        return (h, last[1]) if cell == "lstm" else (h,)

    def by_hand() -> tuple[torch.Tensor, ...]:
        made = FUNCTIONS[cell].apply(*leaves)
        return made if cell == "lstm" else (made,)

    def pair(run: Callable[[], tuple], into: Sequence[torch.Tensor]) -> tuple[Run, Run]:
        def forward() -> object:
            with torch.no_grad():
                return run()

        return forward, lambda: torch.autograd.grad(run(), into, outside, allow_unused=True)

    return {
        "torch.nn": pair(whole, [x, *module.parameters()]),
        "torch loop": pair(loop, leaves),
        "torch by hand": pair(by_hand, leaves),
    }


def numpy_ways(cell: str, inputs: list, outside: list) -> dict[str, tuple[Run, Run]]:
    """By `solutions.fast`, in memory of the call before and in fresh memory; as in textbooks."""
    forward, backward = getattr(fast, f"{cell}_forward"), getattr(fast, f"{cell}_backward")
    plain, room = getattr(textbook, cell), forward(*inputs)[1]
    return {
        "fast": (
            lambda: forward(*inputs, room=room),
            lambda: backward(*outside, forward(*inputs, room=room)[1]),
        ),
        "fast, fresh memory": (
            lambda: forward(*inputs),
            lambda: backward(*outside, forward(*inputs)[1]),
        ),
        "textbook": (lambda: plain(*inputs), lambda: plain(*inputs, *outside)),
    }


BARE = "products, tanh, fewest calls"


def bare(cell: str, inputs: list, outside: list) -> tuple[Run, Run]:
    """What no NumPy program of a network's equations is known to leave out, and nothing else.

    U x as one product; for each step the calls of `least`, and W h as one product or as one for
    each block, whichever takes less time.  Backward: for each step the sum of both ways to h, one
    call that makes the gates' gradients, and a product; dx, dU, dW as one product each.  Nothing is
    handed on, so the numbers mean nothing.
    """
    x, (U, W) = inputs[0], inputs[-4:-2] if cell == "gru" else inputs[-3:-1]
    T, B, H = outside[0].shape
    flat, states = (each.reshape(T * B, -1) for each in (x, outside[0]))
    UT, WT = np.ascontiguousarray(U.T), np.ascontiguousarray(W.T)
    blocks = np.ascontiguousarray(W.reshape(-1, H, H).swapaxes(1, 2))
    h, driven = states[:B], np.empty_like(W, shape=(T * B, len(W)))
    a, back = np.empty_like(driven[:B]), np.empty_like(h)
    gates = driven.reshape(T, -1, B, H)  # U x waits where the gates will stand
    steps, slabs = least(cell, gates), np.empty_like(gates[0])
    product = fastest(lambda: np.dot(h, WT, out=a), lambda: np.matmul(h, blocks, out=slabs))

    def forward() -> None:
        np.dot(flat, UT, out=driven)
        for calls in steps:
            product()
            for call, given, out in calls:
                call(given, out=out)

    def both() -> None:
        forward()
        for gate in gates[::-1]:
            np.add(h, h, out=back)
            np.square(gate, out=gate)
            np.dot(a, W, out=back)
        for left, right in ((driven, U), (driven.T, flat), (driven.T, states)):
            np.dot(left, right)

    return forward, both


def fastest(*runs: Run) -> Run:
    """The one that takes least time at its best."""
    return min(runs, key=lambda run: min(timeit.repeat(run, number=3, repeat=20)))


def least(cell: str, gates: np.ndarray) -> list[list[tuple[Any, np.ndarray, np.ndarray]]]:
    """For each step the calls that no order of NumPy's calls is known to save: what, of what, to.

    Each tanh, which waits for the one before.  GRU: r and u from their tanh; r times its bracket;
    the input's share added to that; a product and a sum that mix old and new.  LSTM: i, f, o from
    their tanh; both products of the cell in one; their sum; o tanh(c).  What the backward pass
    needs is written to memory.  The input's share of all other gates could come with W h, from a
    longer product.  gates : (T, G, B, H)
    """
    T, _, B, H = gates.shape
    tanh, other = np.tanh, np.square  # it reads one array; what it stands for reads two
    states, cells, shown = (np.empty_like(gates, shape=(T, B, H)) for _ in range(3))
    one, some = np.ones_like(gates[0, :1]), np.ones_like(gates[0])
    if cell == "rnn":
        return [[(tanh, one[0], h)] for h in states]
    if cell == "gru":
        return [
            [
                (tanh, some[:2], gate[:2]),
                (other, gate[:2], gate[:2]),
                (other, one, one),
                (other, one, one),
                (tanh, some[2], gate[2]),
                (other, one, one),
                (other, one[0], h),
            ]
            for gate, h in zip(gates, states, strict=True)
        ]
    return [
        [
            (tanh, some, gate),
            (other, gate[:3], gate[:3]),
            (other, some[:2], some[:2]),
            (other, one[0], c),
            (tanh, c, tanh_c),
            (other, one[0], h),
        ]
        for gate, c, tanh_c, h in zip(gates, cells, shown, states, strict=True)
    ]


def check_agreement(cell: str, inputs: list, ways: dict[str, tuple[Run, Run]]) -> None:
    """All ways give the same states: otherwise their times mean nothing."""
    truth = np.asarray(ways["fast"][0]()[0])
    limit = 1e-10 if truth.dtype == np.float64 else 1e-4  # float32: T steps of rounding
    for name, (run, _) in ways.items():
        assert np.abs(np.asarray(run()[0]) - truth).max() < limit, (cell, name)


# The parts.


def network(cell: str, budget: float, least: int) -> Record:
    """One network in every precision, shape, and pass."""
    points = []
    for dtype in ("float64", "float32"):
        for B, T, H in SHAPES:
            inputs, outside = drawn(cell, B, T, H, H, dtype)
            tensors = [[torch.from_numpy(a) for a in each] for each in (inputs, outside)]
            ways = {**numpy_ways(cell, inputs, outside), **torch_ways(cell, *tensors)}
            check_agreement(cell, inputs, ways)
            ways[BARE] = bare(cell, inputs, outside)
            for turn, name in enumerate(("forward", "with backward")):
                runs = {way: pair[turn] for way, pair in ways.items() if way != "torch by hand"}
                found = summary(rounds_of(runs, budget, least), "fast")
                where = {"cell": cell, "dtype": dtype, "B": B, "T": T, "H": H}
                points.append({**where, "pass": name, **found})
                print(line(points[-1]), flush=True)
    return {"points": points}


def line(point: Record) -> str:
    """One point as a line of the table."""
    ratios = "  ".join(f"{name} {value:5.2f}" for name, value in point["ratio"].items())
    return (
        f"{point['cell']:<5}{point['dtype']:<8} B{point['B']:<4}T{point['T']:<5}H{point['H']:<4}"
        f"{point['pass']:<14}{1e3 * point['seconds']['fast']:9.2f} ms   {ratios}"
    )


def growth(budget: float, least: int) -> Record:
    """Time and peak memory of forward and backward against T, with the exponents fitted."""
    steps, (B, H) = (100, 200, 400, 800, 1600), (8, 64)
    found: Record = {"T": steps, "B": B, "H": H}
    for cell in BLOCKS:
        runs, peaks = {}, {"fast, fresh memory": [], "textbook": []}
        for T in steps:
            ways = numpy_ways(cell, *drawn(cell, B, T, H, H, "float64"))
            runs |= {f"{way} {T}": ways[way][1] for way in peaks}
            for way, peak in peaks.items():
                peak.append(peak_bytes(ways[way][1]))
        medians = {n: statistics.median(t) for n, t in rounds_of(runs, budget, least).items()}
        for way, peak in peaks.items():
            seconds = [medians[f"{way} {T}"] for T in steps]
            found[f"{cell} {way}"] = {
                "seconds": seconds,
                "bytes at the peak": peak,
                "exponent of time": exponent(np.array(steps, float), np.array(seconds)),
                "exponent of memory": exponent(np.array(steps, float), np.array(peak, float)),
            }
    return found


def scan(budget: float, least: int) -> Record:
    """minGRU and its recurrence at (T, B, H) = (1000, 8, 64); and a compiled LSTM step."""
    torch.manual_seed(8)
    T, B, H = 1000, 8, 64
    found: Record = {"T": T, "B": B, "H": H}
    for dtype in (torch.float32, torch.float64):
        a, b = torch.rand(T, B, H, dtype=dtype), torch.randn(T, B, H, dtype=dtype)
        net, x, h0 = fast_torch.MinGRU(H, H).to(dtype), torch.randn_like(b), torch.zeros_like(a[0])
        plain, into = (a.numpy(), b.numpy(), h0.numpy()), torch.empty_like(b)

        def stepped(net: Any = net, x: torch.Tensor = x, h0: torch.Tensor = h0) -> torch.Tensor:
            h, states = h0, []
            for now in x:
                h = net.step(now, h)
                states.append(h)
            return torch.stack(states)

        def by_loop(a: np.ndarray = plain[0], b: np.ndarray = plain[1]) -> np.ndarray:
            states = np.empty_like(b)
            h = np.zeros_like(b[0])
            for factor, come, into in zip(a, b, states, strict=True):
                np.multiply(factor, h, out=into)
                h = np.add(into, come, out=into)
            return states

        with torch.no_grad():
            runs = {
                "minGRU, scan": lambda net=net, x=x, h0=h0: net(x, h0),
                "minGRU, loop over steps": stepped,
                "minGRU, loop over the recurrence": lambda net=net, x=x, h0=h0: net(
                    x, h0, fast_torch.blend_by_loop
                ),
                **{
                    f"recurrence, {name}": lambda a=a, b=b, h0=h0, solve=solve: solve(a, b, h0)
                    for name, solve in (
                        ("scan", fast_torch.scan_by_blocks),
                        ("scan by pairs", fast_torch.scan_by_pairs),
                        ("loop", fast_torch.scan_by_loop),
                    )
                },
                # What any way to solve it must do: make the gates; read a and b, and write h.
                "minGRU, its gates alone": lambda net=net, x=x: net.both(x)[..., :H].sigmoid_(),
                "recurrence, one sweep alone": lambda a=a, b=b, h=into: torch.add(a, b, out=h),
                "recurrence, NumPy scan by pairs": lambda p=plain: fast.scan(*p),
                "recurrence, NumPy loop in place": by_loop,
            }
            assert torch.allclose(runs["minGRU, scan"](), stepped(), atol=1e-4)
            found[str(dtype)[6:]] = summary(rounds_of(runs, budget, least), "minGRU, scan")
    inputs, outside = drawn("lstm", 16, 200, 128, 128, "float32")
    tensors = [[torch.from_numpy(a) for a in each] for each in (inputs, outside)]
    eager, compiled = (
        torch_ways("lstm", *tensors, step=step)
        for step in (None, torch.compile(fast_torch.lstm_step))
    )
    runs = {
        "fast": lambda: fast.lstm_forward(*inputs),
        "torch loop": eager["torch loop"][0],
        "torch loop, compiled step": compiled["torch loop"][0],
        "torch.nn": eager["torch.nn"][0],
    }
    found["compiled"] = {
        "B": 16, "T": 200, "H": 128, **summary(rounds_of(runs, budget, least), "torch loop")
    }  # fmt: skip
    return found


KERNELS = ("", "Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids")
"""Values of OPENBLAS_CORETYPE that are tried; the first is OpenBLAS's own choice."""

PRODUCT = """
import statistics, time
import numpy as np
from threadpoolctl import threadpool_info
for kind in ("float32", "float64"):
    h, W = np.ones((64, 256), kind), np.ones((256, 1024), kind)
    times = []
    for _ in range(300):
        start = time.process_time()
        h @ W
        times.append(time.process_time() - start)
    print(2 * 64 * 256 * 1024 / statistics.median(times))
print(next(each["architecture"] for each in threadpool_info() if each["user_api"] == "blas"))
"""


def kernels(budget: float, least: int) -> Record:
    """Operations a second of a step's product with each set of OpenBLAS's kernels."""
    found: Record = {}
    for name in KERNELS:
        if name in ("SkylakeX", "Cooperlake", "SapphireRapids") and not has_avx512():
            continue  # such kernels would end the process
        setting = {"OPENBLAS_NUM_THREADS": "1", **({"OPENBLAS_CORETYPE": name} if name else {})}
        done = subprocess.run(
            [sys.executable, "-c", PRODUCT],
            env={**os.environ, **setting},
            capture_output=True,
            text=True,
            check=True,
        )
        single, double, used = done.stdout.split()
        found[name or "not set"] = {
            "float32": float(single),
            "float64": float(double),
            "used": used,
        }
    return found


def has_avx512() -> bool:
    """Whether the processor has the instructions that the newest kernels are made of."""
    about = Path("/proc/cpuinfo")
    return about.exists() and "avx512bw" in about.read_text()


def device(budget: float, least: int) -> Record:
    """On a GPU: its roofline, and the LSTM over B and T; nothing without one."""
    if not torch.cuda.is_available():
        return {"none": "no GPU was there when this was measured"}
    return on_device("cuda", (1, 16, 64, 256), (50, 200, 800), 512, budget, least)


def on_device(
    where: str, batches: Sequence[int], steps: Sequence[int], H: int, budget: float, least: int
) -> Record:
    """Roofline of a device, and three ways to run an LSTM over batches and lengths, float32."""
    cuda = where == "cuda"
    wait = torch.cuda.synchronize if cuda else (lambda: None)
    clock = time.perf_counter if cuda else time.process_time

    def done(run: Run) -> Run:
        def both() -> None:
            run()
            wait()

        return both

    n, entries = (8192, 2**28) if cuda else (512, 2**22)
    square, line_of = torch.randn(n, n, device=where), torch.randn(entries, device=where)
    goal, one = torch.empty_like(line_of), torch.ones(1, device=where)
    roof = {
        name: statistics.median(each)
        for name, each in rounds_of(
            {
                "product": done(lambda: square @ square),
                "copy": done(lambda: goal.copy_(line_of)),
                "call": lambda: one + one,
            },
            budget,
            least,
            clock,
        ).items()
    }
    found: Record = {
        "name": torch.cuda.get_device_name() if cuda else "CPU",
        "operations a second": 2 * n**3 / roof["product"],
        "bytes a second": 2 * 4 * entries / roof["copy"],
        "seconds a call": roof["call"],
        "H": H,
        "points": [],
    }
    for B in batches:
        for T in steps:
            made = drawn("lstm", B, T, H, H, "float32")
            tensors = [[torch.from_numpy(a).to(where) for a in each] for each in made]
            ways = torch_ways("lstm", *tensors)
            x, h0, c0, U, W, b = tensors[0]
            driven = torch.nn.functional.linear(x, U, b)
            replayed = fast_torch.Recorded(fast_torch.lstm_step, driven, (h0, c0), W)
            for turn, name in enumerate(("forward", "with backward")):
                runs = {way: done(pair[turn]) for way, pair in ways.items()}
                if name == "forward":
                    runs["torch loop, step recorded"] = done(
                        lambda g=replayed, x=x, U=U, b=b, s=(h0, c0): g(
                            torch.nn.functional.linear(x, U, b), s
                        )
                    )
                found["points"].append(
                    {
                        "B": B,
                        "T": T,
                        "pass": name,
                        **summary(rounds_of(runs, budget, least), "torch.nn"),
                    }
                )
    return found


PARTS = {
    **{cell: partial(network, cell) for cell in BLOCKS},
    "growth": growth,
    "scan": scan,
    "kernels": kernels,
    "device": device,
}


def draw(points: list[Record]) -> Any:
    """A mark for each point: torch.nn's time for one of ours; right of 1 ours is faster."""
    style.style()
    figure, axes = plt.subplots(1, 2, figsize=(8, 5), sharey=True, sharex=True)
    colours = {"rnn": "blue", "gru": "green", "lstm": "vermilion"}
    for ax, name in zip(axes, ("forward", "with backward"), strict=True):
        some = [point for point in points if point["pass"] == name]
        labels = [f"{p['cell']} {p['dtype']} ({p['B']}, {p['T']}, {p['H']})" for p in some]
        for y, point in enumerate(some):
            colour = style.PALETTE[colours[point["cell"]]]
            ax.plot(point["ratio"]["torch.nn"], y, "o", color=colour)
        ax.axvline(1, color=style.FOREGROUND, linewidth=1)
        ax.set(xscale="log", xlabel="time of torch.nn for one of ours", title=name)
        ax.set_yticks(range(len(labels)), labels)
    axes[0].invert_yaxis()
    return figure


def main() -> None:
    """Measure, print, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all, if none is named")
    parser.add_argument("--budget", type=float, default=4.0, help="seconds for each point")
    parser.add_argument("--rounds", type=int, default=5, help="for each point at least")
    parser.add_argument("--json", type=Path, help="numbers of other parts in it are kept")
    parser.add_argument("--plot", type=Path, help="an SVG of the networks measured")
    options = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)
    kept = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for name in options.parts or PARTS:
        about = machine()
        found = PARTS[name](options.budget, options.rounds)
        blas = [each["architecture"] for each in threadpool_info() if each["user_api"] == "blas"]
        about |= {
            "threads": torch.get_num_threads(),
            "load_after": round(os.getloadavg()[0], 1),
            "OpenBLAS kernels": blas[0] if blas else "none",
            "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE", "not set"),
        }
        kept[name] = {**found, "machine": about}
        if name not in BLOCKS:
            print(name, json.dumps(found, indent=1))
        if options.json:
            build.put(options.json, json.dumps(kept, indent=1) + "\n")
    points = [point for cell in BLOCKS if cell in kept for point in kept[cell]["points"]]
    if options.plot and points:
        build.put(options.plot, style.as_svg(draw(points)))


if __name__ == "__main__":
    main()
