"""Chapter 5: how fast the same LSTM runs, in several ways, on the machine at hand.

    cd book; python -m figures.gates_speed

prints the table for this machine, and for its GPU if there is one.
"""

from __future__ import annotations

import datetime
import platform
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from figures.tables import Table
from solutions.gates import lstm_forward, to_torch


class Timing(NamedTuple):
    """One way to run an LSTM over a sequence: seconds of each, and how far its states are off.

    forward, both : seconds, the median of several runs, forward alone and with backward (None
    where there is none); error : of the states, against the first way; sizes : T, B, H
    """

    way: str
    forward: float
    both: float | None
    error: float


def device_name(device: str) -> str:
    """Return what the device calls itself, and today's date."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {platform.machine()}"
    return f"{name}, {datetime.date.today().isoformat()}, PyTorch {torch.__version__}"


def seconds(run: Callable[[], object], device: str, rounds: int) -> float:
    """Return the median time of a call; on a GPU the clock stops when its work is done."""
    times = []
    for n in range(rounds + 2):
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        if n >= 2:  # the first two warm up
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def loop(cell: torch.nn.LSTMCell, x: torch.Tensor) -> torch.Tensor:
    """Run a cell over x : (T, B, D) from zero, one call for each step; return h : (T, B, H)."""
    h = c = x.new_zeros(x.shape[1], cell.hidden_size)
    states = []
    for step in x:
        h, c = cell(step, (h, c))
        states.append(h)
    return torch.stack(states)


def graphed(run: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Callable[[], object]:
    """Record the kernels that a call starts into a CUDA graph, and return what replays them."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), torch.no_grad():  # warm up off the main stream, as CUDA asks
        for _ in range(3):
            run(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.no_grad():
        out = run(x)

    def replay() -> torch.Tensor:
        graph.replay()
        return out

    return replay


def measure(
    device: str | None = None, T: int = 100, B: int = 16, D: int = 64, H: int = 128, rounds: int = 5
) -> tuple[str, list[Timing]]:
    """Time every way that the device has; float32, the same weights in all of them."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    U, W, b = (rng.normal(0, 0.1, shape) for shape in ((4 * H, D), (4 * H, H), (4 * H,)))
    x64 = rng.normal(size=(T, B, D))
    zero = np.zeros((B, H))
    truth = lstm_forward(x64, zero, zero, U, W, b)[0]
    x = torch.tensor(x64, dtype=torch.float32, device=device)

    whole, cell = torch.nn.LSTM(D, H).to(device), torch.nn.LSTMCell(D, H).to(device)
    with torch.no_grad():
        for one, many, value in zip(
            cell.parameters(), whole.parameters(), to_torch(U, W, b), strict=True
        ):
            one.copy_(torch.from_numpy(value))
            many.copy_(torch.from_numpy(value))

    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "loop over nn.LSTMCell": lambda x: loop(cell, x),
        "nn.LSTM" + (" (cuDNN)" if device == "cuda" else ""): lambda x: whole(x)[0],
    }
    if device == "cuda":  # on a CPU it would need a C++ compiler, and minutes
        ways["torch.compile of the loop"] = torch.compile(lambda x: loop(cell, x))

    def both(run: Callable[[torch.Tensor], torch.Tensor]) -> None:
        run(x).sum().backward()

    def error(h: torch.Tensor) -> float:
        return float(np.abs(h.detach().cpu().double().numpy() - truth).max())

    plain = x64.astype(np.float32), *(a.astype(np.float32) for a in (zero, zero, U, W, b))
    found = [
        Timing(
            "NumPy, exercise 5.2 (on the CPU)",
            seconds(lambda: lstm_forward(*plain), "cpu", rounds),
            None,
            float(np.abs(lstm_forward(*plain)[0] - truth).max()),
        )
    ]
    for way, run in ways.items():
        with torch.no_grad():
            forward = seconds(lambda run=run: run(x), device, rounds)
        training = seconds(lambda run=run: both(run), device, rounds)
        found.append(Timing(way, forward, training, error(run(x))))
    if device == "cuda":
        replay = graphed(lambda x: loop(cell, x), x)
        forward = seconds(replay, device, rounds)
        found.append(Timing("CUDA graph of the loop", forward, None, error(replay())))
    return device_name(device), found


def table(found: list[Timing]) -> Table:
    """Return the table of `measure`."""
    rows = [
        [
            t.way,
            f"{t.forward * 1e3:.2f}",
            "—" if t.both is None else f"{t.both * 1e3:.2f}",
            f"{t.error:.0e}",
        ]
        for t in found
    ]
    return Table(["way", "forward, ms", "and backward, ms", "states off by"], rows)


if __name__ == "__main__":
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        name, timings = measure(device, rounds=20)
        print(name)
        print(table(timings))
