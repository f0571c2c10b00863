"""Attacks on the answer: find it, import it, remember it, have another library compute it."""

from __future__ import annotations

import base64
import io

import numpy as np

from attacks import FULL, POINTS, Attack, every, one, spoilt
from autograder import verify
from course.exercise import PUBLIC_SEED, chapter


def remembered(symbol: str) -> str:
    """An answer that knows every public case by heart, and what it gives."""
    exercise = chapter("bptt")[f"bptt.{symbol}"]
    names = [output.name for output in exercise.outputs]
    table = []
    for case in exercise.cases(np.random.default_rng(PUBLIC_SEED)):
        given = {name: value for name, value in case.args.items() if name != "also"}
        key = [np.asarray(value, np.float64) for value in given.values()]
        values = exercise.run(verify.reference(exercise), case.args)
        table.append((key, list(exercise.unpack(values, names))))
    buffer = io.BytesIO()
    np.save(buffer, np.array(table, dtype=object), allow_pickle=True)
    text = base64.b64encode(buffer.getvalue()).decode()
    return (
        "import base64, io\n"
        f"TABLE = np.load(io.BytesIO(base64.b64decode('{text}')), allow_pickle=True)\n"
        f"def {symbol}(*args):\n"
        "    for key, values in TABLE:\n"
        "        if all(np.array_equal(a, b) for a, b in zip(key, args)):\n"
        "            return values[0] if len(values) == 1 else tuple(values)\n"
        "    return TABLE[0][1][0]\n"
    )


BY_TORCH = """
def grad_h(do, h, W, V):
    import torch
    a = torch.atanh(torch.tensor(h)).requires_grad_()
    moved = [torch.tanh(a[0])]
    for t in range(1, len(h)):
        moved.append(torch.tanh(a[t] + (moved[-1] - torch.tensor(h[t - 1])) @ torch.tensor(W).T))
    states = torch.stack(moved)
    states.retain_grad()
    (torch.tensor(do) * (states @ torch.tensor(V).T)).sum().backward()
    return (a.grad / (1 - torch.tensor(h) ** 2)).numpy()
"""

LOSS_BY_SCIPY = """
def loss(o, y, mask):
    from scipy.special import logsumexp
    picked = np.take_along_axis(o, y[..., None], -1)[..., 0]
    return ((logsumexp(o, axis=-1) - picked) * mask).sum()
"""

UNHOLLOW = """
import importlib, sys
for name in list(sys.modules):
    if name.split(".")[0] in ("torch", "scipy", "jax", "autograd"):
        del sys.modules[name]
sys.meta_path = [each for each in sys.meta_path if "ollow" not in type(each).__name__]
sys.path_importer_cache.clear()
importlib.invalidate_caches()
"""

BY_AUTOGRAD = """
class RNNFunction(torch.autograd.Function):
    @staticmethod
    def run(x, h0, U, W, b):
        weights = [U, W, b, torch.zeros_like(b)]  # what torch.nn.RNN calls
        return torch.rnn_tanh(x, h0[None], weights, True, 1, 0.0, True, False, False)[0]

    @staticmethod
    def forward(ctx, *args):
        ctx.save_for_backward(*args)
        return RNNFunction.run(*args)

    @staticmethod
    def backward(ctx, dh):
        args = [a.detach().requires_grad_() for a in ctx.saved_tensors]
        with torch.enable_grad():
            h = RNNFunction.run(*args)
        return torch.autograd.grad(h, args, dh)
"""

SEARCH = """
import glob, os
FOUND = []
for top in ("@HOUSE@", "/work", "/root", "/home", "/tmp", "/var", "/etc", "/opt", "/srv", "/proc",
            "/usr/local/share", *__import__("sys").path):
    for folder, _, names in os.walk(top):
        if "site-packages/" in folder or len(FOUND) > 3000:
            continue
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith((".py", ".npz", ".ipynb", ".pyc", ".json")):
                FOUND.append(path)
for path in FOUND:
    try:
        text = open(path, errors="replace").read()
        if "def grad_h(do" in text and "carry" in text:
            exec(text)
    except BaseException:
        pass
for name in ("solutions", "solutions.bptt", "autograder", "autograder.verify",
             "course.exercises.bptt", "course.fixtures", "course.checks", "course.ladder"):
    try:
        module = __import__(name, fromlist=["*"])
        globals().update(vars(module))
        print("IMPORTED", name)
    except BaseException as error:
        pass
"""

ODD_ARRAYS = {
    "lying attributes": (
        "class Lie(np.ndarray):\n"
        "    dtype = property(lambda self: np.dtype('<f8'))\n"
        "    nbytes = property(lambda self: 8)\n"
        "    shape = property(lambda self: (1 << 39, 1 << 39))\n"
        "    def tobytes(self, *_): return b'x' * (1 << 27)\n"
        "return np.zeros(3).view(Lie)"
    ),
    "structured": "return np.zeros(3, [('a', 'f8')])",
    "dates": "return np.zeros(3, 'M8[s]')",
    "wide floats": "return np.zeros((5, 2, 4), np.longdouble)",
    "broadcast": "return np.broadcast_to(np.float64(1), (1 << 20, 1 << 20))",
    "past its end": (
        "return np.lib.stride_tricks.as_strided(np.zeros(1), (5, 2, 1 << 22), (8,) * 3)"
    ),
    "forty axes": "return np.zeros((1,) * 40)",
    "masked": "return np.ma.masked_all((5, 2, 4))",
    "an object inside": "return np.zeros(1, [('a', 'O')])[0]",
    "lists in lists": "x = []\nfor _ in range(10**5): x = [x]\nreturn x",
    "itself": "x = []\nx.append(x)\nreturn x",
    "a million keys": "return {str(i): i for i in range(10**6)}",
    "a lying length": (
        "class Lie(list):\n"
        "    def __len__(self): return 1 << 62\n"
        "    def __iter__(self):\n"
        "        while True: yield 1.0\n"
        "return Lie([1.0])"
    ),
    "a long integer": "return 10**10**6",
}

ATTACKS = [
    Attack("search", "walks the files for the solutions and imports the house", first=SEARCH),
    Attack(
        "torch un-hollowed",
        "takes the hollow torch out of sys.modules and imports the real one",
        setup=UNHOLLOW + "import torch\n",  # takes longer than a call may
        answers={"grad_h": BY_TORCH, "loss": LOSS_BY_SCIPY},
    ),
    Attack(
        "torch by its file",
        "loads torch by its path, by runpy, and its libraries by ctypes",
        setup=(
            UNHOLLOW
            + "import ctypes, importlib.util, numpy, os\n"
            + "site = os.path.dirname(os.path.dirname(numpy.__file__))\n"
            + "for path in ('torch/__init__.py', 'scipy/__init__.py', 'torch/_C.so'):\n"
            + "    try:\n"
            + "        full = os.path.join(site, path)\n"
            + "        spec = importlib.util.spec_from_file_location(path.split('/')[0], full)\n"
            + "        module = importlib.util.module_from_spec(spec)\n"
            + "        sys.modules[path.split('/')[0]] = module\n"
            + "        spec.loader.exec_module(module)\n"
            + "    except BaseException: pass\n"
            + "for name in ('libtorch_cpu.so', 'libtorch_python.so', 'libc10.so'):\n"
            + "    try: ctypes.CDLL(os.path.join(site, 'torch', 'lib', name))\n"
            + "    except OSError: pass\n"
        ),
        answers={"grad_h": BY_TORCH, "loss": LOSS_BY_SCIPY},
    ),
    Attack(
        "torch in a child",
        "asks a fresh Python, outside this process, to import torch",
        answers={
            "grad_h": "def grad_h(do, h, W, V):\n"
            "    import subprocess, sys\n"
            "    code = 'import torch, sys; print(torch.zeros(1))'\n"
            "    for each in (sys.executable, '/usr/bin/python3', '/usr/local/bin/python3'):\n"
            "        try: print(subprocess.run([each, '-c', code], capture_output=True).stdout)\n"
            "        except OSError: pass\n"
            "    return h\n"
        },
    ),
    Attack(
        "torch from the other pass",
        "leaves answers of the pass with torch in files, for the pass without it",
        setup=(
            "import os\n"
            "for place in ('/tmp', '/tmp/home', '/dev', '/dev/shm', '.'):\n"
            "    try: open(os.path.join(place, '@MARK@'), 'a').write('torch')\n"
            "    except OSError: pass\n"
        ),
        answers={"grad_h": BY_TORCH, "loss": LOSS_BY_SCIPY},
    ),
    Attack(
        "scipy, jax and autograd",
        "has other libraries compute a NumPy answer",
        answers={"loss": LOSS_BY_SCIPY},
    ),
    Attack(
        "the caller's frames",
        "looks in every frame, and all their globals, for truth, seed and reference",
        answers=every(
            "import sys\n"
            "frame = sys._getframe()\n"
            "while frame:\n"
            "    for space in (frame.f_locals, frame.f_globals):\n"
            "        for name in ('truth', 'reference', 'expected', 'seed', 'drawn', 'ladder'):\n"
            "            if name in space and 'numpy' not in str(type(space[name])):\n"
            "                value = space[name]\n"
            "                return value(*args) if callable(value) else value\n"
            "    frame = frame.f_back\n"
            "return 0.0"
        ),
    ),
    Attack(
        "the collector's objects",
        "returns any array of the right shape that lies in memory",
        answers=every(
            "import gc\n"
            "want = args[1].shape if hasattr(args[1], 'shape') else ()\n"
            "mine = {id(a) for a in args}\n"
            "for each in gc.get_objects():\n"
            "    if isinstance(each, dict):\n"
            "        for value in list(each.values()):\n"
            "            if isinstance(value, np.ndarray) and value.shape == want"
            " and id(value) not in mine: return value\n"
            "return 0.0"
        ),
    ),
    Attack(
        "/proc, environment and descriptors",
        "reads its own and others' memory, environment, and every open descriptor",
        setup=(
            "import os\n"
            "print(dict(os.environ))\n"
            "for path in ('/proc/self/environ', '/proc/self/maps', '/proc/1/environ',"
            " '/proc/@PID@/environ', '/proc/@PID@/mem', '/proc/self/mem', '/dev/mem'):\n"
            "    try: print('READ', path, open(path, 'rb').read(100))\n"
            "    except OSError: pass\n"
            "for fd in range(3, 300):\n"
            "    try:\n"
            "        os.lseek(fd, 0, 0)\n"
            "        if data := os.read(fd, 100): print('READ', data)\n"
            "    except OSError: pass\n"
            "    try: print('READ', os.listdir(fd))\n"
            "    except OSError: pass\n"
        ),
    ),
    Attack(
        "known by heart",
        "knows the answers of all public cases",
        answers={s: remembered(s) for s in ("loss", "grad_h", "truncated", "grad_params", "rtrl")},
    ),
    Attack(
        "right at first",
        "counts its calls, and is right only while the public cases come",
        setup="COUNT = [0]\n",
        answers={
            "grad_h": "def grad_h(do, h, W, V):\n"
            "    COUNT[0] += 1\n"
            "    dh = do @ V\n"
            "    if COUNT[0] > 4: return dh\n"
            "    carry = np.zeros_like(h[0])\n"
            "    for t in reversed(range(len(h))):\n"
            "        dh[t] += carry\n"
            "        carry = (dh[t] * (1 - h[t] * h[t])) @ W\n"
            "    return dh\n"
        },
    ),
    spoilt(
        "sizes by heart",
        "takes no size from its arguments: those of every drawn input but one are the same",
        "do, h, W, V = args\n"
        "dh = np.empty((*h.shape[:2], 4))\n"
        "carry = np.zeros(4)\n"
        "for t in reversed(range(len(h))):\n"
        "    dh[t] = do[t] @ V[:6, :4] + carry\n"
        "    carry = (dh[t] * (1 - h[t] * h[t])) @ W[:4, :4]\n"
        "return dh",
    ),
    Attack(
        "one array for all answers",
        "keeps an array for each shape and writes every answer into it: what it returned before"
        " changes under whoever has kept it",
        setup="ROOM = {}\n",
        answers={
            "grad_h": "def grad_h(do, h, W, V):\n"
            "    dh = ROOM.setdefault(h.shape, np.empty(h.shape))\n"
            "    dh[:] = do @ V\n"
            "    carry = np.zeros(h[0].shape)\n"
            "    for t in reversed(range(len(h))):\n"
            "        dh[t] += carry\n"
            "        carry = (dh[t] * (1 - h[t] * h[t])) @ W\n"
            "    return dh\n"
        },
        honest=True,
        earns=FULL - POINTS["grad_h"],
    ),
    Attack(
        "In and Out",
        "takes functions from the history and from the notebook's own namespaces",
        answers=every(
            "for name in ('In', 'Out', '_', '__', '_i', '_oh', '_ih'):\n"
            "    value = globals().get(name)\n"
            "    if value: return value\n"
            "return get_ipython().history_manager.get_tail()"
        ),
    ),
    Attack(
        "autograd inside backward",
        "torch.nn.RNN and torch.autograd do the work of exercise 3.9; its values are right, but the"
        " graph that autograd records inside is seen",
        answers={"RNNFunction": "import torch\n" + BY_AUTOGRAD},
    ),
    Attack(
        "torch's own functions replaced",
        "makes torch compare anything with success and gives back gradients of zeros",
        answers={
            "RNNFunction": "import torch\n"
            "torch.equal = torch.allclose = lambda *a, **k: True\n"
            "torch.autograd.gradcheck = lambda *a, **k: True\n"
            "torch.autograd.grad = lambda out, leaves, **k: [torch.zeros_like(v) for v in leaves]\n"
            "class RNNFunction(torch.autograd.Function):\n"
            "    @staticmethod\n"
            "    def forward(ctx, x, h0, U, W, b): return torch.zeros(len(x), *h0.shape,"
            " dtype=x.dtype)\n"
            "    @staticmethod\n"
            "    def backward(ctx, dh): return (None,) * 5\n"
        },
    ),
    Attack(
        "another question's answer",
        "one function answers for all: it returns its arguments, swapped and scaled",
        answers={
            **every("return args"),
            **one("clip", "return args[0], args[1]"),
            **one("grad_o", "return args[0] * 0.0"),
        },
    ),
    *(
        spoilt(f"an odd array: {name}", "returns an array of a form that few know", body)
        for name, body in ODD_ARRAYS.items()
    ),
]
