"""Three slips of someone who is used to libraries: means, masks that are not there, np.clip."""
# ruff: noqa: D103

import numpy as np


def loss(o, y, mask):
    z = o - o.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_p, y[..., None], axis=-1).sum()


def grad_o(o, y, mask):
    z = np.exp(o - o.max(axis=-1, keepdims=True))
    p = z / z.sum(axis=-1, keepdims=True)
    p[np.arange(len(y))[:, None], np.arange(y.shape[1]), y] -= 1
    return p * mask[..., None] / o.shape[1]


def clip(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    return [np.clip(g, -max_norm, max_norm) for g in grads], norm
