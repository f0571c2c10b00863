"""Chapter 6: what attention costs by length, and what a scan saves.

    cd book; python -m figures.seq2seq_scan

prints both tables for this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from figures.gates_speed import device_name, seconds
from figures.tables import Table
from figures.translation import loop
from solutions.gates import gru_forward
from solutions.seq2seq import Seq2Seq, mingru, scan

STEP = 1e-30
"""Of the complex step, (3.21)."""


class Step(NamedTuple):
    """One step of a decoder whose source has T symbols.

    attend : seconds of looking at the source; cell : seconds of the rest; products : multiply-adds
    of looking, of the rest
    """

    T: int
    attend: float
    cell: float
    products: tuple[int, int]


def attention_cost(
    lengths: Sequence[int] = (16, 64, 256, 1024, 4096),
    B: int = 16,
    H: int = 64,
    K: int = 40,
    rounds: int = 7,
    device: str = "cpu",
) -> list[Step]:
    """Time one step of a decoder with dot-product attention, by the length of its source."""
    torch.manual_seed(0)
    model = Seq2Seq(K, K, H, H, "dot").to(device).eval()
    s, symbol = torch.randn(B, H, device=device), torch.zeros(B, dtype=torch.int64, device=device)
    found = []
    for T in lengths:
        states = torch.randn(T, B, H, device=device)
        size = torch.full((B,), T, device=device)

        @torch.no_grad()
        def attend(states: torch.Tensor = states, size: torch.Tensor = size) -> None:
            model.attend(s, states, size)

        @torch.no_grad()
        def rest() -> None:
            model.output(
                torch.cat([model.cell(torch.cat([model.embed_target(symbol), s], -1), s), s], -1)
            )

        found.append(
            Step(T, seconds(attend, device, rounds), seconds(rest, device, rounds),
                 (2 * T * B * H, B * (9 * H * H + 2 * H * K)))
        )  # fmt: skip
    return found


def table_attention(found: Sequence[Step]) -> Table:
    """Return the table of `attention_cost`: time as a multiple of the rest of the step."""
    rows = [
        [s.T, f"{s.products[0] / s.products[1]:.2f}", f"{s.attend / s.cell:.1f}", f"{s.T * s.T:,}"]
        for s in found
    ]
    return Table(
        ["source symbols T", "multiply-adds, of the rest", "time, of the rest",
         "weights, for an answer as long"],
        rows,
    )  # fmt: skip


class Scan(NamedTuple):
    """The same layer by a loop and by a scan, T steps.

    loop, scan, gru : seconds of minGRU by a loop, by a scan, and of the GRU of chapter 5; error :
    the scan's, relative to the loop; sweeps : of the scan
    """

    T: int
    loop: float
    scan: float
    gru: float
    error: float
    sweeps: int


def looped(x: np.ndarray, h0: np.ndarray, Uz: np.ndarray, Un: np.ndarray) -> np.ndarray:
    """Run a minGRU without biases step by step: what `mingru` does by a scan; (T, B, H)."""
    z = 1 / (1 + np.exp(-(x @ Uz.T)))
    return loop(1 - z, z * (x @ Un.T), h0)


def scan_cost(
    lengths: Sequence[int] = (16, 64, 256, 1024, 4096), B: int = 1, H: int = 16, rounds: int = 7
) -> list[Scan]:
    """Time a minGRU by a loop and by a scan, and a GRU of the same width, on the same input."""
    rng = np.random.default_rng(0)
    Uz, Un = (rng.normal(0, 0.3, (H, H)) for _ in range(2))
    gru = [rng.normal(0, 0.3, shape) for shape in ((3 * H, H), (3 * H, H), (3 * H,))]
    zero, no_bias = np.zeros((B, H)), np.zeros(H)
    found = []
    for T in lengths:
        x = rng.normal(size=(T, B, H))
        runs = (
            lambda x=x: looped(x, zero, Uz, Un),
            lambda x=x: mingru(x, zero, Uz, no_bias, Un, no_bias),
            lambda x=x: gru_forward(x, zero, *gru),
        )
        slow, fast = runs[0](), runs[1]()
        error = float(np.abs(fast - slow).max() / np.abs(slow).max())
        times = [seconds(run, "cpu", rounds) for run in runs]
        found.append(Scan(T, *times, error, int(np.ceil(np.log2(T)))))
    return found


def table_scan(found: Sequence[Scan]) -> Table:
    """Return the table of `scan_cost`: times as multiples of the scan's."""
    rows = [
        [s.T, s.sweeps, f"{s.loop / s.scan:.1f}", f"{s.gru / s.scan:.1f}", f"{s.error:.0e}"]
        for s in found
    ]
    return Table(
        ["steps T", "sweeps", "minGRU by a loop / scan", "GRU / scan", "states differ by"], rows
    )


class Flips(NamedTuple):
    """Whether one unit can turn its state around, as the parity of a string of bits wants it.

    steps; right : share of the steps at which the sign of a one-unit GRU, its weights chosen by
    hand, is the parity so far; scanned : the same for a scan whose a is -1 where the bit is 1;
    gru : the GRU's dh(t)/dh(t-1) where the bit is 1; mingru : the smallest and the largest of
    random minGRUs
    """

    steps: int
    right: float
    scanned: float
    gru: float
    mingru: tuple[float, float]


def flips(steps: int = 1000, units: int = 500) -> Flips:
    """Let a hand-made GRU follow the parity of random bits, and look for a minGRU that could."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (steps, 1, 1)).astype(float)
    # r is always 1, u is the bit, n is -h with its size restored; blocks of rows r, u, n.
    U, W, b = np.array([[0.0], [40], [0]]), np.array([[0.0], [0], [-3]]), np.array([20.0, -20, 0])
    h, _ = gru_forward(bits, np.ones((1, 1)), U, W, b)
    parity = np.cumsum(bits[:, 0, 0]) % 2
    signs = scan(1 - 2 * bits, np.zeros_like(bits), np.ones((1, 1)))
    moved, _ = gru_forward(np.ones((1, 1, 1)), np.array([[0.5 + STEP * 1j]]), U, W, b)
    Uz, Un = (rng.normal(0, 3, (units, 1)) for _ in range(2))
    bz, bn = (rng.normal(0, 3, units) for _ in range(2))
    # One step of each, from any state.
    before = rng.normal(size=(1, units)) + STEP * 1j
    slopes = mingru(rng.normal(size=(1, 1, 1)), before, Uz, bz, Un, bn).imag / STEP
    return Flips(
        steps,
        float(np.mean((h[:, 0, 0] < 0) == (parity == 1))),
        float(np.mean((signs[:, 0, 0] < 0) == (parity == 1))),
        float(moved.imag[0, 0, 0] / STEP),
        (float(slopes.min()), float(slopes.max())),
    )


if __name__ == "__main__":
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        print(device_name(device))
        print(table_attention(attention_cost(rounds=20, device=device)))
    print(table_scan(scan_cost(rounds=20)))
