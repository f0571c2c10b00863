"""Small data sets, drawn on the spot or read from `data/`: what the chapters work on."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def echo(
    rng: np.random.Generator, T: int, B: int, K: int, lag: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random symbols, to be repeated ``lag`` steps later.

    Returns x : (T, B, K), one-hot float64; y : (T, B), int64, the symbol shown ``lag`` steps
    before (0 where there is none); mask : (T, B), float64, 0 for the first ``lag`` steps.

    Raises ValueError unless 0 <= lag < T.
    """
    if not 0 <= lag < T:
        raise ValueError(f"echo: lag is {lag}, want 0 <= lag < T = {T}")
    symbols = rng.integers(0, K, (T, B))
    x = np.eye(K)[symbols]
    y = np.zeros((T, B), dtype=np.int64)
    y[lag:] = symbols[: T - lag]
    mask = np.ones((T, B))
    mask[:lag] = 0.0
    return x, y, mask


def sunspots() -> tuple[np.ndarray, np.ndarray]:
    """Yearly mean sunspot numbers, 1700 to 2008.

    Returns years : (309,), int64, and numbers : (309,), float64.

    Source: the file that statsmodels carries, from NOAA's National Geophysical Data Center; public
    domain, says statsmodels.  It is the older of two scales, in use until 2015: do not append
    newer numbers.  The chapter on dynamical systems uses 1700-1920 to fit and 1921-2008 to test.
    Bad at: 28 cycles are few, the years before 1749 are pieced together from scattered reports,
    and the test years are known to every textbook.
    """
    table = np.loadtxt(Path(__file__).parent / "data" / "sunspots.csv", delimiter=",", skiprows=1)
    return table[:, 0].astype(np.int64), table[:, 1]
