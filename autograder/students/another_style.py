"""All right, in a style of its own: loops, einsum, other names."""
# ruff: noqa: D101, D102, D103

import numpy as np
import torch


def forward(inputs, state, U, W, b, V, c):
    hs, os = [], []
    for x_t in inputs:
        state = np.tanh(b + np.einsum("ij,bj->bi", W, state) + np.einsum("id,bd->bi", U, x_t))
        hs.append(state)
        os.append(c + np.einsum("kh,bh->bk", V, state))
    return np.array(hs), np.array(os)


def loss(scores, targets, weights):
    total = 0.0
    T, B = targets.shape
    for t in range(T):
        for i in range(B):
            s = scores[t, i] - scores[t, i].max()
            total += weights[t, i] * (np.log(sum(np.exp(s))) - s[targets[t, i]])
    return total


def grad_o(scores, targets, weights):
    p = np.exp(scores - np.max(scores, axis=2, keepdims=True))
    p = p / np.sum(p, axis=2, keepdims=True)
    for t in range(len(scores)):
        for i in range(scores.shape[1]):
            p[t, i, targets[t, i]] -= 1.0
    return np.einsum("tbk,tb->tbk", p, weights)


def grad_h(do, h, W, V):
    result = []
    later = None
    for t in range(len(h) - 1, -1, -1):
        total = np.einsum("kh,bk->bh", V, do[t])
        if later is not None:
            total = total + np.einsum("ij,bi->bj", W, (1 - h[t + 1] ** 2) * later)
        result.insert(0, total)
        later = total
    return np.stack(result)


def grad_params(dh, do, x, h, h0):
    slope = 1 - np.square(h)
    dU = dW = db = dV = dc = 0
    previous = h0
    for t in range(len(x)):
        da = slope[t] * dh[t]
        dU = dU + np.einsum("bi,bj->ij", da, x[t])
        dW = dW + np.einsum("bi,bj->ij", da, previous)
        db = db + da.sum(axis=0)
        dV = dV + np.einsum("bi,bj->ij", do[t], h[t])
        dc = dc + do[t].sum(axis=0)
        previous = h[t]
    return [dU, dW, db, dV, dc]


def clip(gradients, limit):
    length = np.linalg.norm(np.concatenate([g.ravel() for g in gradients]))
    if length <= limit:
        return list(gradients), length
    return [limit * g / length for g in gradients], length


def truncated(do, h, W, V, k):
    dh = np.zeros_like(h)
    for start in range(0, len(h), k):
        stop = min(start + k, len(h))
        for t in range(stop - 1, start - 1, -1):
            dh[t] = do[t] @ V
            if t + 1 < stop:
                dh[t] = dh[t] + ((1 - h[t + 1] ** 2) * dh[t + 1]) @ W
    return dh


def rtrl(g, x, h0, U, W, b):
    batch, n = h0.shape
    m = x.shape[2]
    theta = np.zeros((n, n + m + 1))
    for i in range(batch):
        h, P = h0[i], np.zeros((n, n, n + m + 1))
        for t in range(len(x)):
            z = np.hstack([h, x[t, i], 1.0])
            h = np.tanh(W @ h + U @ x[t, i] + b)
            P = np.tensordot(W, P, axes=1)
            for j in range(n):
                P[j, j] += z
            P = (1 - h**2)[:, None, None] * P
            theta = theta + np.tensordot(g[t, i], P, axes=1)
    return theta[:, n : n + m], theta[:, :n], theta[:, n + m]


class RNNFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, h0, U, W, b):
        h = [h0]
        for t in range(x.shape[0]):
            h.append(torch.tanh(torch.addmm(b, x[t], U.T) + h[-1].mm(W.T)))
        ctx.save_for_backward(x, U, W, *h)
        return torch.stack(h[1:])

    @staticmethod
    def backward(ctx, grad):
        x, U, W, *h = ctx.saved_tensors
        later = torch.zeros_like(h[0])
        dx, dU, dW, db = [], 0, 0, 0
        for t in range(len(x), 0, -1):
            da = (grad[t - 1] + later) * (1 - h[t].pow(2))
            dx.insert(0, da.mm(U))
            dU = dU + da.T.mm(x[t - 1])
            dW = dW + da.T.mm(h[t - 1])
            db = db + da.sum(0)
            later = da.mm(W)
        return torch.stack(dx), later, dU, dW, db
