"""All right, in float32 throughout, as one writes for a GPU."""
# ruff: noqa: D103

import numpy as np


def forward(x, h0, U, W, b, V, c):
    F = np.float32
    x, h, U, W, b, V, c = (a.astype(F) for a in (x, h0, U, W, b, V, c))
    states = np.empty((len(x), *h.shape), F)
    for t in range(len(x)):
        h = np.tanh(x[t] @ U.T + h @ W.T + b)
        states[t] = h
    return states, states @ V.T + c


def loss(o, y, mask):
    o = (o - o.max(axis=-1, keepdims=True)).astype(np.float32)
    log_p = o - np.log(np.exp(o).sum(axis=-1, keepdims=True))
    return -(np.take_along_axis(log_p, y[..., None], -1)[..., 0] * mask.astype(np.float32)).sum()


def grad_o(o, y, mask):
    p = np.exp((o - o.max(axis=-1, keepdims=True)).astype(np.float32))
    p /= p.sum(axis=-1, keepdims=True)
    return (p - np.eye(o.shape[-1], dtype=np.float32)[y]) * mask[..., None].astype(np.float32)


def grad_h(do, h, W, V):
    do, h, W, V = (a.astype(np.float32) for a in (do, h, W, V))
    dh = do @ V
    for t in range(len(h) - 2, -1, -1):
        dh[t] += ((1 - h[t + 1] ** 2) * dh[t + 1]) @ W
    return dh


def grad_params(dh, do, x, h, h0):
    dh, do, x, h, h0 = (a.astype(np.float32) for a in (dh, do, x, h, h0))
    da = dh * (1 - h**2)
    before = np.concatenate([h0[None], h[:-1]])
    return (
        np.einsum("tbi,tbj->ij", da, x),
        np.einsum("tbi,tbj->ij", da, before),
        da.sum((0, 1)),
        np.einsum("tbi,tbj->ij", do, h),
        do.sum((0, 1)),
    )


def clip(grads, max_norm):
    grads = [g.astype(np.float32) for g in grads]
    norm = np.sqrt(sum((g**2).sum() for g in grads))
    scale = np.float32(min(1.0, max_norm / norm)) if norm else np.float32(1)
    return [g * scale for g in grads], norm


def truncated(do, h, W, V, k):
    do, h, W, V = (a.astype(np.float32) for a in (do, h, W, V))
    dh = do @ V
    for t in range(len(h) - 2, -1, -1):
        if (t + 1) % k:
            dh[t] += ((1 - h[t + 1] ** 2) * dh[t + 1]) @ W
    return dh


def rtrl(g, x, h0, U, W, b):
    g, x, h, U, W, b = (a.astype(np.float32) for a in (g, x, h0, U, W, b))
    (B, H), D = h.shape, x.shape[-1]
    P = np.zeros((B, H, H, H + D + 1), np.float32)
    total = np.zeros((H, H + D + 1), np.float32)
    one = np.ones((B, 1), np.float32)
    for t in range(len(x)):
        z = np.concatenate([h, x[t], one], axis=1)
        h = np.tanh(x[t] @ U.T + h @ W.T + b)
        copy = np.einsum("ij,bk->bijk", np.eye(H, dtype=np.float32), z)
        P = (1 - h**2)[:, :, None, None] * (np.einsum("il,bljk->bijk", W, P) + copy)
        total += np.einsum("bi,bijk->jk", g[t], P)
    return total[:, H : H + D], total[:, :H], total[:, -1]
