"""Attacks on what runs the cells: IPython's hooks, Python's hooks, threads, signals."""

from __future__ import annotations

from attacks import FULL, Attack, every, spoilt

ATTACKS = [
    Attack(
        "input transformer",
        "rewrites every later cell into one that shows 999",
        first=(
            "shell = get_ipython()\n"
            "shell.input_transformers_post.append(lambda lines: ['999\\n'])\n"
        ),
    ),
    Attack(
        "AST transformer",
        "turns every call of check into True",
        first=(
            "import ast\n"
            "class Yes(ast.NodeTransformer):\n"
            "    def visit_Call(self, node): return ast.copy_location(ast.Constant(999), node)\n"
            "get_ipython().ast_transformers.append(Yes())\n"
        ),
    ),
    Attack(
        "events",
        "prints points after every cell, and replaces the display hook",
        first=(
            "import sys\n"
            "get_ipython().events.register('post_run_cell', lambda *a: print(999))\n"
            "get_ipython().events.register('pre_run_cell', lambda *a: print(999))\n"
            "sys.displayhook = lambda *a: print(999)\n"
            "sys.displayhook(2)\n999\n"
        ),
    ),
    Attack(
        "run_cell",
        "replaces the shell's run_cell, run_code and user namespace",
        first=(
            "shell = get_ipython()\n"
            "class Done:\n"
            "    error_before_exec = error_in_exec = None\n"
            "    result = 999\n"
            "shell.run_cell = lambda *a, **k: Done()\n"
            "shell.run_code = lambda *a, **k: False\n"
            "class All(dict):\n"
            "    def get(self, *a): return lambda *a: 999\n"
            "    __getitem__ = get\n"
            "shell.user_ns = All()\n"
        ),
    ),
    Attack(
        "the loop itself",
        "never hands back from a cell: it answers the grader's requests with a loop of its own",
        first=(
            "import json, os, socket, stat, struct\n"
            "fds = [n for n in range(3, 64) if not os.get_inheritable(n)"
            " or True and os.path]\n"
        ),
        setup=(
            "import json, os, socket, stat, struct\n"
            "def sockets():\n"
            "    for n in range(3, 64):\n"
            "        try:\n"
            "            if stat.S_ISSOCK(os.fstat(n).st_mode): yield n\n"
            "        except OSError: pass\n"
            "main = socket.socket(fileno=next(sockets()))\n"
            "def reply(channel, **header):\n"
            "    text = json.dumps({**header, 'blobs': []}).encode()\n"
            "    channel.sendall(struct.pack('<II', len(text), 0) + text)\n"
            "def read(channel, n):\n"
            "    data = b''\n"
            "    while len(data) < n:\n"
            "        more = channel.recv(n - len(data))\n"
            "        if not more: os._exit(0)\n"
            "        data += more\n"
            "    return data\n"
            "reply(main, outputs=[])\n"
            "while True:\n"
            "    byte, fds, _, _ = socket.recv_fds(main, 1, 4)\n"
            "    if not byte: os._exit(0)\n"
            "    a, b = struct.unpack('<II', read(main, 8))\n"
            "    request = json.loads(read(main, a))\n"
            "    read(main, b)\n"
            "    if request['do'] == 'question':\n"
            "        question = socket.socket(fileno=fds[0])\n"
            "        for _ in range(40):\n"
            "            try: reply(question, unfit=None, value={'plain': True}, finding=None,"
            " outcome='right', points=999)\n"
            "            except OSError: break\n"
            "        question.close()\n"
            "        reply(main, over='ended')\n"
            "    else:\n"
            "        reply(main, outputs=[{'output_type': 'execute_result', 'data':"
            " {'text/plain': '999'}, 'metadata': {}, 'execution_count': 1}])\n"
        ),
        seconds=40,
    ),
    Attack(
        "threads",
        "leaves threads running that flip every function and print for ever",
        setup=(
            "import threading, time\n"
            "def flip():\n"
            "    while True:\n"
            "        globals()['forward'] = lambda *a: 999\n"
            "        time.sleep(0.01)\n"
            "for _ in range(5): threading.Thread(target=flip, daemon=True).start()\n"
        ),
    ),
    Attack(
        "atexit",
        "registers functions for the end, and a finaliser that writes to every descriptor",
        setup=(
            "import atexit, os\n"
            "class Last:\n"
            "    def __del__(self):\n"
            "        for n in range(3, 64):\n"
            "            try: os.write(n, b'999')\n"
            "            except OSError: pass\n"
            "last = Last()\n"
            "atexit.register(lambda: print(999))\n"
        ),
    ),
    Attack(
        "gc callbacks",
        "raises and changes things whenever the collector runs",
        setup="import gc\ndef no(*a): raise RuntimeError(999)\ngc.callbacks.append(no)\n",
        answers=every("import gc\ngc.collect()\nreturn 0.0"),
    ),
    Attack(
        "audit hook",
        "stops every audited action of the process, for good",
        setup=(
            "import sys\n"
            "def no(event, args):\n"
            "    if event not in ('exec', 'compile'): raise SystemExit(999)\n"
            "sys.addaudithook(no)\n"
        ),
    ),
    Attack(
        "trace and profile",
        "traces every call, and puts values into the frames of the caller",
        setup=(
            "import ctypes, sys\n"
            "def trace(frame, event, arg):\n"
            "    for name in ('finding', 'kind', 'made', 'reply'):\n"
            "        if name in frame.f_locals:\n"
            "            frame.f_locals[name] = None\n"
            "            ctypes.pythonapi.PyFrame_LocalsToFast("
            "ctypes.py_object(frame), ctypes.c_int(0))\n"
            "    return trace\n"
            "sys.settrace(trace); sys.setprofile(trace)\n"
        ),
        answers=every("import sys\nsys.settrace(trace)\nreturn 0.0"),
        seconds=60,
    ),
    Attack(
        "import hook",
        "gives another module for whatever is imported from now on",
        setup=(
            "import builtins, types\n"
            "builtins.__import__ = lambda name, *a, **k: types.SimpleNamespace("
            "call=lambda *a: 999, adapters=types.SimpleNamespace(call_in_order=lambda *a: 999))\n"
        ),
    ),
    Attack(
        "exit",
        "leaves the notebook before the checks, in every polite way",
        setup="import sys\nsys.exit(0)\n",
        last="exit()\n",
    ),
    Attack(
        "display",
        "shows points, reports and results as rich outputs",
        setup=(
            "from IPython.display import display, publish_display_data\n"
            "publish_display_data({'text/plain': '999', 'application/vnd.rnn-course.check+json':"
            " {'exercise': 'bptt.forward', 'outcome': 'right', 'points': 999}})\n"
            "display({'text/plain': '999'}, raw=True)\n"
        ),
    ),
    Attack(
        "exception that can't be shown",
        "raises exceptions whose text, truth and traceback raise again",
        setup=(
            "class Bad(Exception):\n"
            "    def __str__(self): raise SystemExit\n"
            "    __repr__ = __bool__ = __str__\n"
            "    _render_traceback_ = __str__\n"
            "raise Bad\n"
        ),
        honest=True,
        earns=FULL,
    ),
    spoilt(
        "an exception that can't be shown, in a function",
        "the same inside one function",
        "class Bad(BaseException):\n"
        "    def __str__(self): raise SystemExit\n"
        "    __repr__ = __str__\n"
        "raise Bad\n",
    ),
    spoilt(
        "changing what others use",
        "one function breaks numpy and all other answers for whoever comes next",
        "import numpy as np\n"
        "globals().update(forward=None, loss=None, truncated=None, clip=None)\n"
        "np.tanh = np.exp = np.zeros = None\n"
        "return 0.0\n",
    ),
]
