"""All right, with prints left in and NumPy's warnings on the way."""
# ruff: noqa: D103

import warnings

import numpy as np


def loss(o, y, mask):
    print("o is", o.shape, "mask sums to", mask.sum())
    shifted = o - o.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    mean = (log_p.sum() * 0 + 1) / np.float64(mask.sum())  # warns where nothing counts
    print("one step weighs", mean)
    return -(np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0] * mask).sum()


def clip(grads, max_norm):
    norm = np.sqrt(sum((g * g).sum() for g in grads))
    scale = np.minimum(1.0, np.float64(max_norm) / norm)  # divides by zero where all is zero
    print("norm", norm, "scale", scale)
    return [g * scale for g in grads], norm


def truncated(do, h, W, V, k):
    warnings.warn("chunks of %d" % k, stacklevel=2)  # noqa: UP031
    dh = do @ V
    for t in range(len(h) - 2, -1, -1):
        if (t + 1) % k != 0:
            dh[t] += ((1 - h[t + 1] ** 2) * dh[t + 1]) @ W
    return dh
