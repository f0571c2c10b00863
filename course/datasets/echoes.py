"""Echo: say again what was shown some steps ago."""

from __future__ import annotations

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
