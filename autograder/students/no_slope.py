"""One slip: tanh' is forgotten on the way back."""
# ruff: noqa: D103


def grad_h(do, h, W, V):
    dh = do @ V
    for t in reversed(range(len(h) - 1)):
        dh[t] += dh[t + 1] @ W
    return dh
