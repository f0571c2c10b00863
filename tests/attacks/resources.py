"""Attacks on the machine's patience: time, processes, memory, disk, output."""

from __future__ import annotations

from attacks import FULL, Attack, spoilt

# Not "while True: pass": CPython 3.11 lets a signal's exception escape from that try.
LOOP = (
    "while True:\n"
    "    try:\n"
    "        for _ in iter(int, 1): len('')\n"
    "    except BaseException: pass\n"
)

ATTACKS = [
    spoilt("a loop", "never comes to its end", "while True: pass"),
    spoilt(
        "a loop that catches everything",
        "swallows the alarm, and every exception with it",
        LOOP,
        seconds=40,
    ),
    spoilt(
        "a loop without alarm",
        "ignores and blocks every signal, then sleeps",
        "import signal, time\n"
        "for n in range(1, 65):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "while True: time.sleep(1000)",
        seconds=40,
    ),
    Attack(
        "a cell's loop that catches everything",
        "the same in a cell of the notebook",
        last=LOOP,
        honest=True,
        earns=FULL,
        seconds=40,
        cell_seconds=1.0,
    ),
    Attack(
        "a cell's loop at the top",
        "holds up the notebook before anything is defined",
        first=LOOP,
        honest=True,
        seconds=40,
        cell_seconds=1.0,
    ),
    Attack("a long sleep", "sleeps, and is woken", setup="import time\ntime.sleep(10**6)\n"),
    spoilt("os._exit", "ends the process with success", "import os\nos._exit(0)"),
    spoilt(
        "kill",
        "kills itself and all that it may",
        "import os, signal\nos.kill(-1, 9)\nos.kill(os.getpid(), 9)\nreturn 0.0",
    ),
    spoilt(
        "a crash",
        "reads address zero",
        "import ctypes\nctypes.string_at(0)",
    ),
    spoilt(
        "fork bomb",
        "forks until nothing more can be forked, and stays",
        "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(30)",
        seconds=40,
    ),
    Attack(
        "fork bomb in a cell",
        "the same in a cell, with an escape into sessions of their own",
        setup=(
            "import os, time\n"
            "for _ in range(200):\n"
            "    try:\n"
            "        if os.fork() == 0:\n"
            "            os.setsid()\n"
            "            time.sleep(1000)\n"
            "    except OSError: pass\n"
        ),
    ),
    spoilt(
        "thread bomb",
        "starts threads until none can be started",
        "import threading, time\n"
        "while True:\n"
        "    threading.Thread(target=time.sleep, args=(1000,)).start()",
    ),
    spoilt(
        "memory by numpy",
        "fills arrays until there is no memory",
        "import numpy as np\nkept = []\nwhile True: kept.append(np.ones(10**7))",
    ),
    spoilt(
        "memory by bytes",
        "doubles a string for ever",
        "text = b'x'\nwhile True: text += text",
    ),
    Attack(
        "memory by many",
        "every child takes as much as one process may",
        setup=(
            "import os, time\n"
            "import numpy as np\n"
            "for _ in range(12):\n"
            "    if os.fork() == 0:\n"
            "        kept = []\n"
            "        while True:\n"
            "            try: kept.append(np.ones(10**6))\n"
            "            except MemoryError: time.sleep(100)\n"
            "time.sleep(100)\n"
        ),
    ),
    Attack(
        "memory that no process holds",
        "puts bytes into memory files, shared segments, message queues, pipes and sockets",
        setup=(
            "import ctypes, os, socket\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "try: fd = os.memfd_create('x'); print('GOT a memory file')\n"
            "except OSError: pass\n"
            "for name, call in (('shm', lambda: libc.shmget(0, 1 << 28, 0o1600)),"
            " ('msg', lambda: libc.msgget(0, 0o1600)),"
            " ('sem', lambda: libc.semget(0, 9, 0o1600))):\n"
            "    if call() >= 0: print('GOT', name)\n"
            "kept = []\n"
            "try:\n"
            "    while True:\n"
            "        a, b = socket.socketpair()\n"
            "        a.setblocking(False)\n"
            "        kept += [a, b]\n"
            "        a.send(b'x' * 200_000)\n"
            "except OSError: pass\n"
        ),
    ),
    Attack(
        "100 MB on stdout",
        "prints, writes to descriptor 1, and shows more than anyone reads",
        setup=(
            "import os, sys\n"
            "from IPython.display import display, HTML\n"
            "for _ in range(100): print('x' * 10**6)\n"
            "for _ in range(100): os.write(1, b'x' * 10**6)\n"
            "for _ in range(50): display(HTML('y' * 10**5))\n"
        ),
        honest=True,
        earns=FULL,
    ),
    spoilt(
        "prints in a function",
        "prints without end, to both streams",
        "import sys\nwhile True:\n    print('x' * 10**5)\n    print('x', file=sys.stderr)",
    ),
    spoilt(
        "a million warnings",
        "warns of something else each time",
        "import warnings\nfor i in range(10**6): warnings.warn(f'{i}' * 100)\nreturn 0.0",
    ),
    Attack(
        "a full disk",
        "fills /tmp with bytes and with empty files",
        setup=(
            "import os\n"
            "try:\n"
            "    for n in range(100):\n"
            "        with open(f'/tmp/home/@MARK@{n}', 'wb') as file: file.write(bytes(1 << 24))\n"
            "except OSError: pass\n"
            "try:\n"
            "    for n in range(10**5): open(f'/tmp/@MARK@{n}', 'w').close()\n"
            "except OSError: pass\n"
        ),
        honest=True,
        earns=FULL,
    ),
    spoilt(
        "recursion",
        "calls itself past the end of the stack",
        "import sys\n"
        "sys.setrecursionlimit(10**9)\n"
        "f = lambda n: repr(f(n + 1)) + str(n)\n"
        "return f(0)",
    ),
    spoilt("regex", "lets a pattern backtrack", "import re\nre.match('(a+)+$', 'a' * 60 + 'b')"),
    spoilt("a huge number", "raises integers to powers", "return str(9 ** 9 ** 9)"),
    Attack(
        "a source of 5 MB",
        "hands in a cell longer than a frame may be",
        last="x = '" + "y" * 5_000_000 + "'\n",
        honest=True,
        earns=FULL,
    ),
    Attack(
        "2000 cells",
        "hands in many cells, each with much to show",
        edit=lambda nb: nb.cells.extend(_many(2000)),
        honest=True,
        earns=FULL,
        seconds=60,
    ),
]


def _many(count: int) -> list:
    from nbformat.v4 import new_code_cell

    return [new_code_cell("print('x' * 20_000)") for _ in range(count)]
