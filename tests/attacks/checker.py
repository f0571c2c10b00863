"""Attacks on what compares: comparison, arrays, the toolkit, the protocol's own code."""

from __future__ import annotations

from attacks import Attack, every

LIAR = """
import numpy as np
class Liar(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return np.zeros(self.shape) if ufunc is not np.less_equal else np.ones(self.shape, bool)
    def __array_function__(self, func, types, args, kwargs):
        return True
    def __eq__(self, other):
        return np.True_
    __le__ = __ge__ = __eq__
    def __sub__(self, other):
        return np.zeros(self.shape)
    __rsub__ = __sub__
    def __reduce__(self):
        return (print, ("unpickled",))
"""
BY_SHAPES = "a = [x for x in args if hasattr(x, 'shape')]\n"

ATTACKS = [
    Attack(
        "numpy.testing",
        "makes every comparison of NumPy say yes",
        first=(
            "import numpy as np, numpy.testing\n"
            "for name in dir(numpy.testing):\n"
            "    if name.startswith('assert'):\n"
            "        setattr(numpy.testing, name, lambda *a, **k: None)\n"
            "np.allclose = np.array_equal = np.isclose = lambda *a, **k: True\n"
            "np.abs = np.absolute = lambda x: np.zeros_like(x)\n"
        ),
        answers=every("return 0.0"),
    ),
    Attack(
        "builtins",
        "replaces isinstance, all, any, max, float and len",
        first=(
            "import builtins\n"
            "builtins.all = builtins.any = lambda *a: True\n"
            "builtins.max = lambda *a, **k: 0\n"
            "builtins.float = lambda *a: 0.0\n"
        ),
        answers=every("return 0.0"),
    ),
    Attack(
        "lying subclass",
        "returns arrays whose operators and functions all agree with the truth",
        setup=LIAR,
        answers=every(BY_SHAPES + "return tuple(np.zeros_like(x).view(Liar) for x in a)"),
    ),
    Attack(
        "lying __array__",
        "returns objects that are another array each time they are asked",
        setup=(
            "import numpy as np\n"
            "class Any:\n"
            "    __array_priority__ = 1e9\n"
            "    def __array__(self, dtype=None, copy=None): return np.random.rand(5, 2, 4)\n"
            "    def __getattr__(self, name): return Any()\n"
            "    def __call__(self, *a, **k): return Any()\n"
            "    def __eq__(self, other): return True\n"
            "    def __bool__(self): return True\n"
            "    def __iter__(self): return iter([Any()] * 5)\n"
            "    def __len__(self): return 5\n"
            "    def __float__(self): return 0.0\n"
        ),
        answers=every("return Any()"),
    ),
    Attack(
        "course.calls.call",
        "replaces the function that calls the answer, and the class of what it brings",
        first=(
            "import course.calls as calls\n"
            "class Right(calls.Call):\n"
            "    outcome = 'right'; points = 999.0; finding = None; value = 0.0\n"
            "    warnings = (); printed = 'right'\n"
            "calls.call = lambda *a, **k: Right()\n"
            "calls.Finding.__init__ = lambda self, *a: None\n"
        ),
        answers=every("return 0.0"),
    ),
    Attack(
        "course.adapters",
        "replaces the adapters, and gives the answer the caller's own arguments back",
        first=(
            "import course.adapters as adapters\n"
            "adapters.call_in_order = lambda answer, args: tuple(args.values())\n"
            "adapters.apply_function = lambda answer, args: tuple(args.values())\n"
        ),
        answers=every("return 0.0"),
    ),
    Attack(
        "frames.send",
        "patches the protocol found among the caller's globals, to send points and an outcome",
        first=(
            "import sys\n"
            "frame = sys._getframe()\n"
            "while frame:\n"
            "    frames = frame.f_globals.get('frames')\n"
            "    if frames is not None and hasattr(frames, 'send'):\n"
            "        old = frames.send\n"
            "        def send(channel, header, blobs=None):\n"
            "            header.update(finding=None, outcome='right', points=999, out_of=1)\n"
            "            return old(channel, header, blobs)\n"
            "        frames.send = send\n"
            "        frames.pack = lambda value: ({'right': True}, [])\n"
            "    frame = frame.f_back\n"
        ),
        answers=every("return 0.0"),
    ),
    Attack(
        "socket and fork",
        "replaces sockets and os.fork, so that the question is answered by other code",
        first=(
            "import os, socket\n"
            "class Fake:\n"
            "    def __init__(self, *a, **k): pass\n"
            "    def __getattr__(self, name): return lambda *a, **k: b''\n"
            "socket.socket = Fake\n"
            "os.fork = lambda: 0\n"
        ),
        answers=every("return 0.0"),
    ),
    Attack(
        "json",
        "makes json.dumps write a right report, whatever it is given",
        first=(
            "import json\n"
            'json.dumps = lambda *a, **k: \'{"outcome": "right", "points": 999,\''
            ' \'"value": true, "blobs": []}\'\n'
        ),
        answers=every("return 0.0"),
    ),
    Attack(
        "fake numpy",
        "puts a class in the place of numpy in sys.modules",
        first=(
            "import sys, types\n"
            "fake = types.ModuleType('numpy')\n"
            "fake.__getattr__ = lambda name: (lambda *a, **k: 0)\n"
            "sys.modules['numpy'] = fake\n"
        ),
        answers=every("return 0.0"),
    ),
    Attack(
        "course.ready",
        "marks every exercise as right in the toolkit of the notebook",
        first=(
            "import course\n"
            "course._right.update('bptt.' + s for s in ('forward', 'loss', 'grad_o'))\n"
            "course.check = lambda *a, **k: print('right, 999 points')\n"
            "course.ready = lambda *a, **k: True\n"
        ),
        answers=every("return 0.0"),
    ),
    Attack(
        "Finding without a rung",
        "raises the ladder's own exception, with rungs that no ladder has",
        setup=(
            "from course.calls import Finding\n"
            "class Nothing(Finding):\n"
            "    def __bool__(self): return False\n"
        ),
        answers={
            **every("raise Finding('right', 'right', ())"),
            "loss": "def loss(*a):\n    raise Nothing(None, None, None)\n",
            "clip": "def clip(*a):\n    raise Finding([], {}, 5)\n",
            "grad_h": "def grad_h(*a):\n"
            "    raise Finding('attempted', 'x' * 10**6, ('y',) * 10**5)\n",
        },
    ),
    Attack(
        "NaN and infinity",
        "returns what no comparison calls larger",
        answers=every("import numpy as np\n" + BY_SHAPES + "return a[0] * np.nan, a[0] + np.inf"),
    ),
    Attack(
        "odd dtypes",
        "returns complex, half, text, bytes, dates and records for numbers",
        answers={
            "forward": "def forward(x, h0, *a):\n    h = np.zeros((len(x), *h0.shape), complex)\n"
            "    return h, h\n",
            "loss": "def loss(*a):\n    return '0.0'\n",
            "grad_o": "def grad_o(o, y, mask):\n    return o.astype('f2')\n",
            "grad_h": "def grad_h(do, h, W, V):\n    return h.astype('M8[s]')\n",
            "truncated": "def truncated(do, h, W, V, k):\n    return h.astype('V8')\n",
            "clip": "def clip(g, m):\n    return [a.astype(object) for a in g], 10**4000\n",
            "rtrl": "def rtrl(g, x, h0, U, W, b):\n"
            "    return U.astype('U9'), W > 0, b.astype('S9')\n",
        },
    ),
    Attack(
        "strides of nothing",
        "returns terabytes that take no memory: broadcast views, and shapes with a zero",
        answers=every(
            "import numpy as np\n"
            "big = np.broadcast_to(np.float64(0), (1 << 20, 1 << 20))\n"
            "none = np.empty((1 << 39, 0, 1 << 20))\n"
            "return none, big"
        ),
    ),
    Attack(
        "minus zero and subnormals",
        "returns the smallest numbers there are, so that a relative error divides by nothing",
        answers=every(
            "import numpy as np\n" + BY_SHAPES + "return -0.0 * a[0], a[0] * 5e-324, 5e-324"
        ),
    ),
    Attack(
        "deep structures",
        "returns lists in lists, a list that holds itself, and a million items",
        answers={
            "forward": "def forward(*a):\n    x = []\n"
            "    for _ in range(10**5): x = [x]\n    return x\n",
            "loss": "def loss(*a):\n    x = []\n    x.append(x)\n    return x\n",
            "grad_o": "def grad_o(*a):\n    return [0.0] * 10**6\n",
            "grad_h": "def grad_h(*a):\n    return {i: {} for i in range(10**5)}\n",
        },
    ),
]
