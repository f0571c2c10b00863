"""Slips of axes and slopes: a transposed W, a state too late, tanh' forgotten."""
# ruff: noqa: D103

import numpy as np


def forward(x, h0, U, W, b, V, c):
    h, states = h0, []
    for t in range(len(x)):
        h = np.tanh(x[t] @ U.T + h @ W + b)
        states.append(h)
    states = np.stack(states)
    return states, states @ V.T + c


def grad_h(do, h, W, V):
    dh = do @ V
    for t in reversed(range(len(h) - 1)):
        dh[t] += dh[t + 1] @ W
    return dh


def grad_params(dh, do, x, h, h0):
    da = dh * (1 - h**2)
    dU = np.einsum("tbi,tbj->ij", da, x)
    dW = np.einsum("tbi,tbj->ij", da, h)
    dV = np.einsum("tbi,tbj->ij", do, h)
    return dU, dW, da.sum((0, 1)), dV, do.sum((0, 1))


def clip(grads, max_norm):
    clipped = []
    for g in grads:
        norm = np.linalg.norm(g)
        clipped.append(g * min(1.0, max_norm / norm) if norm > 0 else g)
    return clipped, np.sqrt(sum(np.linalg.norm(g) ** 2 for g in grads))
