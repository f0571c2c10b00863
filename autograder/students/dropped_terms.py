"""Slips on the way back through time: terms that were dropped."""
# ruff: noqa: D101, D102, D103

import numpy as np
import torch


def grad_h(do, h, W, V):
    return do @ V


def grad_params(dh, do, x, h, h0):
    da = dh * (1 - h**2)
    dU = np.tensordot(da, x, axes=([0, 1], [0, 1]))
    dW = np.tensordot(da[1:], h[:-1], axes=([0, 1], [0, 1]))
    db = da.sum(axis=(0, 1))
    dV = np.tensordot(do, h, axes=([0, 1], [0, 1]))
    return dU, dW, db, dV, do.sum(axis=(0, 1))


def truncated(do, h, W, V, k):
    dh = do @ V
    for t in reversed(range(len(h) - 1)):
        if (t + 2) % k != 0:
            dh[t] += ((1 - h[t + 1] ** 2) * dh[t + 1]) @ W
    return dh


def rtrl(g, x, h0, U, W, b):
    n, m = W.shape[0], x.shape[-1]
    total = np.zeros((n, n + m + 1))
    h = h0
    for t in range(len(x)):
        z = np.concatenate([h, x[t], np.ones((len(h), 1))], axis=1)
        h = np.tanh(x[t] @ U.T + h @ W.T + b)
        total += np.einsum("bj,bk->jk", g[t] * (1 - h**2), z)
    return total[:, n : n + m], total[:, :n], total[:, -1]


class RNNFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, h0, U, W, b):
        states, h = [], h0
        for step in x:
            h = torch.tanh(step @ U.T + h @ W.T + b)
            states.append(h)
        h = torch.stack(states)
        ctx.save_for_backward(x, h0, U, W, h)
        return h

    @staticmethod
    def backward(ctx, dh):
        x, h0, U, W, h = ctx.saved_tensors
        da = dh * (1 - h**2)
        before = torch.cat([h0[None], h[:-1]])
        flat = da.flatten(0, 1)
        return (
            da @ U,
            da[0] @ W,
            flat.T @ x.flatten(0, 1),
            flat.T @ before.flatten(0, 1),
            flat.sum(0),
        )
