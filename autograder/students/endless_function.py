"""An endless loop inside a function."""
# ruff: noqa: D103

import numpy as np


def rtrl(g, x, h0, U, W, b):
    t, h = 0, h0
    while t < len(x):
        h = np.tanh(x[t] @ U.T + h @ W.T + b)
    return U, W, b
