"""Honest notebooks that look odd, and must earn all their points."""

from __future__ import annotations

import textwrap

from attacks import FULL, Attack

FORWARD = (
    "    hs, state = [], h0\n"
    "    for t in range(len(x)):\n"
    "        state = np.tanh(x[t] @ U.T + state @ W.T + b)\n"
    "        hs.append(state)\n"
    "    h = np.stack(hs)\n"
)
GRAD_H = (
    "    dh = do @ V\n"
    "    carry = np.zeros_like(h[0])\n"
    "    for t in reversed(range(len(h))):\n"
    "        dh[t] += carry\n"
    "        carry = (dh[t] * (1 - h[t] * h[t])) @ W\n"
)
CHUNK = "        dh[t] += carry if (t + 1) % k else 0.0\n"
RTRL = """
def rtrl(g, x, h0, U, W, b):
    H, D = U.shape
    dU, dW, db = np.zeros(U.shape), np.zeros(W.shape), np.zeros(b.shape)
    for i in range(g.shape[1]):
        h = h0[i]
        P = np.zeros((H, H, H + D + 1))  # of unit i's state in each weight of row j
        for t in range(len(x)):
            z = np.concatenate([h, x[t, i], [1.0]])
            h = np.tanh(x[t, i] @ U.T + h @ W.T + b)
            now = np.einsum("ij,k->ijk", np.eye(H), z)
            P = (1 - h * h)[:, None, None] * (now + np.einsum("ij,jkl->ikl", W, P))
            total = np.einsum("i,ijk->jk", g[t, i], P)
            dW += total[:, :H]
            dU += total[:, H : H + D]
            db += total[:, -1]
    return MappingProxyType({"dW": dW, "db": db, "dU": dU})
"""


def odd(name: str, why: str, **cells: object) -> Attack:
    """An honest notebook."""
    return Attack(name, why, honest=True, earns=FULL, **cells)  # type: ignore[arg-type]


def answer(symbol: str, source: str) -> dict[str, dict[str, str]]:
    """One answer, written in another way."""
    return {"answers": {symbol: source}}


ODDITIES = [
    odd(
        "warnings and prints",
        "a function that warns of a logarithm and prints what it does",
        **answer(
            "loss",
            "def loss(o, y, mask):\n"
            "    print('loss of', o.shape)\n"
            "    np.log(np.zeros(1))\n"
            "    import warnings; warnings.warn('be careful', DeprecationWarning)\n"
            "    z = np.logaddexp.reduce(o, axis=-1)\n"
            "    return ((z - np.take_along_axis(o, y[..., None], -1)[..., 0]) * mask).sum()\n",
        ),
    ),
    odd(
        "imports of everything",
        "torch, its modules and scipy between the first imports",
        first=(
            "import torch\n"
            "import torch.nn as nn\n"
            "import torch.nn.functional as F\n"
            "from torch import optim\n"
            "from torch.utils.data import DataLoader\n"
            "from scipy import special, linalg\n"
            "import scipy.stats as st\n"
            "torch.manual_seed(0)\n"
            "torch.set_default_dtype(torch.float32)\n"
            "device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')\n"
            "@torch.no_grad()\n"
            "def unused(model): return model\n"
            "import math, random, sys, os, collections, dataclasses, typing, itertools\n"
        ),
    ),
    odd("pandas absent", "imports a library that is not there", setup="import pandas as pd\n"),
    odd(
        "magics",
        "%timeit, %matplotlib inline, %config, %%time, shell commands",
        first=(
            "%matplotlib inline\n"
            "%config InlineBackend.figure_format = 'retina'\n"
            "%load_ext autoreload\n"
            "%autoreload 2\n"
            "import numpy as np\n"
        ),
        setup="%timeit -n 1 -r 1 sum(range(10))\n!ls\nfiles = !ls\n%pwd\n%who\nx = 1\n",
        last="%%time\nsum(range(1000))\n",
    ),
    odd(
        "own plots",
        "draws and shows figures, with and without the toolkit",
        setup=(
            "import matplotlib.pyplot as plt\n"
            "fig, ax = plt.subplots()\nax.plot([1, 2, 3])\nplt.show()\n"
            "from IPython.display import display, HTML, Markdown\n"
            "display(fig); display(HTML('<b>x</b>')); display(Markdown('*x*')); fig\n"
        ),
    ),
    odd(
        "top-level await",
        "uses asyncio as one does in a notebook",
        setup="import asyncio\nawait asyncio.sleep(0.01)\n",
    ),
    odd(
        "an error at the end",
        "raises after the function is defined",
        **answer(
            "grad_h",
            "def grad_h(do, h, W, V):\n" + GRAD_H + "    return dh\n\ngrad_h(1, 2, 3, 4)\n",
        ),
    ),
    odd(
        "a cell with a syntax error",
        "has one, in a cell of its own",
        setup="def broken(:\n    pass\n",
    ),
    odd(
        "helpers, constants and seeds",
        "computes with functions and numbers from other cells",
        setup=(
            "np.random.seed(0)\nimport random; random.seed(1)\n"
            "ONE = 1.0\n"
            "def slope(h): return ONE - h * h\n"
        ),
        **answer(
            "grad_h",
            "def grad_h(do, h, W, V):\n"
            + GRAD_H.replace("(1 - h[t] * h[t])", "slope(h[t])")
            + "    return dh\n",
        ),
    ),
    odd(
        "renamed arguments and a lambda",
        "calls things by other names",
        **answer(
            "grad_o",
            "grad_o = lambda out, target, weights: ((lambda e: e / e.sum(-1, keepdims=True))"
            "(np.exp(out - out.max(-1, keepdims=True))) - np.eye(out.shape[-1])[target])"
            " * weights[..., None]\n",
        ),
    ),
    odd(
        "functools.partial",
        "is a partial of a more general function",
        **answer(
            "grad_h",
            "import functools\n"
            "def general(do, h, W, V, scale):\n" + GRAD_H + "    return dh * scale\n"
            "grad_h = functools.partial(general, scale=1.0)\n",
        ),
    ),
    odd(
        "a decorator",
        "wraps its answer to count and time the calls",
        setup=(
            "import functools, time\n"
            "def timed(f):\n"
            "    @functools.wraps(f)\n"
            "    def g(*a, **k):\n"
            "        g.calls = getattr(g, 'calls', 0) + 1\n"
            "        return f(*a, **k)\n"
            "    return g\n"
        ),
        **answer("grad_h", "@timed\ndef grad_h(do, h, W, V):\n" + GRAD_H + "    return dh\n"),
    ),
    odd(
        "recursion",
        "walks back through time by calling itself",
        **answer(
            "grad_h",
            "def grad_h(do, h, W, V):\n"
            "    def back(t):\n"
            "        if t == len(h) - 1:\n"
            "            return [do[t] @ V]\n"
            "        later = back(t + 1)\n"
            "        through = (later[0] * (1 - h[t + 1] ** 2)) @ W\n"
            "        return [do[t] @ V + through, *later]\n"
            "    return np.stack(back(0))\n",
        ),
    ),
    odd(
        "lists and scalars",
        "returns lists of lists for arrays, and a Python float",
        **{
            "answers": {
                "grad_h": "def grad_h(do, h, W, V):\n" + GRAD_H + "    return dh.tolist()\n",
                "loss": "def loss(o, y, mask):\n"
                "    z = np.logaddexp.reduce(o, axis=-1)\n"
                "    picked = np.take_along_axis(o, y[..., None], -1)[..., 0]\n"
                "    return float(((z - picked) * mask).sum())\n",
            }
        },
    ),
    odd(
        "float32",
        "computes in single precision throughout",
        **answer(
            "forward",
            "def forward(x, h0, U, W, b, V, c):\n"
            "    x, h0, U, W, b, V, c = (a.astype('f4') for a in (x, h0, U, W, b, V, c))\n"
            + FORWARD
            + "    return h, h @ V.T + c\n",
        ),
    ),
    odd(
        "Fortran order and views",
        "returns arrays in the other order, and not contiguous",
        **answer(
            "forward",
            "def forward(x, h0, U, W, b, V, c):\n"
            + FORWARD
            + "    return np.asfortranarray(h), np.repeat(h @ V.T + c, 2, axis=1)[:, ::2]\n",
        ),
    ),
    *(
        odd(
            f"an array as {name}",
            "returns what NumPy reads as an array",
            setup=(
                "from collections import deque\n"
                "class Frame:\n"
                "    def __init__(self, values): self.values = values\n"
                "    def __array__(self, dtype=None, copy=None): return self.values\n"
                "    def __getitem__(self, key): return self.values[key]\n"
            ),
            **answer(
                "truncated",
                "def truncated(do, h, W, V, k):\n"
                + GRAD_H.replace("        dh[t] += carry\n", CHUNK)
                + f"    return {made}\n",
            ),
        )
        for name, made in {
            "a deque": "deque(dh)",
            "a memoryview": "memoryview(dh)",
            "an object with __array__": "Frame(dh)",
            "long doubles": "dh.astype(np.longdouble)",
            "a list of arrays": "list(dh)",
            "a view that may not be written": "np.broadcast_to(dh, dh.shape)",
            "the other byte order": "dh.astype('>f8')",
        }.items()
    ),
    odd(
        "a mapping that is no dict",
        "returns its gradients by name, in a mapping of its own",
        **answer(
            "rtrl",
            "from types import MappingProxyType\n" + RTRL,
        ),
    ),
    odd(
        "np.matrix and a subclass",
        "computes with matrices, and returns a subclass of ndarray",
        **answer(
            "grad_params",
            "def grad_params(dh, do, x, h, h0):\n"
            "    class Array(np.ndarray): pass\n"
            "    da = dh * (1 - h * h)\n"
            "    flat = lambda a: np.matrix(a.reshape(-1, a.shape[-1]))\n"
            "    before = np.concatenate([h0[None], h[:-1]])\n"
            "    outer = lambda a, b: (flat(a).T @ flat(b)).view(Array)\n"
            "    dU, dW, dV = outer(da, x), outer(da, before), outer(do, h)\n"
            "    return [dU, dW, da.sum((0, 1)).view(Array), dV, do.sum((0, 1)).view(Array)]\n",
        ),
    ),
    odd(
        "a dataclass and a generator",
        "keeps its state in a class of its own",
        setup=(
            "import dataclasses\n"
            "@dataclasses.dataclass\n"
            "class State:\n"
            "    value: object\n"
            "    def step(self, driven, W):\n"
            "        self.value = np.tanh(driven + self.value @ W.T)\n"
            "        return self.value\n"
        ),
        **answer(
            "forward",
            "def forward(x, h0, U, W, b, V, c):\n"
            "    state = State(h0)\n"
            "    h = np.array([state.step(driven, W) for driven in x @ U.T + b])\n"
            "    return h, h @ V.T + c\n",
        ),
    ),
    odd(
        "defined twice",
        "is wrong first and right in a second definition",
        **answer(
            "grad_h",
            "def grad_h(*a): return None\n\ndef grad_h(do, h, W, V):\n"
            + GRAD_H
            + "    return dh\n",
        ),
    ),
    odd(
        "a callable object",
        "is an instance with __call__",
        **answer(
            "grad_h",
            "class GradH:\n"
            "    def __call__(self, do, h, W, V):\n"
            + textwrap.indent(GRAD_H, "    ")
            + "        return dh\n"
            "grad_h = GradH()\n",
        ),
    ),
    odd(
        "closed streams and changed settings",
        "closes stdout, changes NumPy's settings and the working folder",
        setup=(
            "import os, sys\n"
            "np.set_printoptions(precision=2); np.seterr(all='raise', under='ignore')\n"
            "os.makedirs('figures'); os.chdir('figures'); open('x.txt', 'w').write('x')\n"
            "sys.setrecursionlimit(5000)\n"
        ),
        last="import sys\nsys.stdout.close()\n",
    ),
]
