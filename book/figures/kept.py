"""Keep what a long experiment has returned: the page that shows it and its test ask for the same.

What is kept holds for the code and the data that made it.  Any change in `book/figures`, `course`,
`solutions` or requirements.txt, or another Python or device, and it is made anew.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "kept"
MADE_OF = ("book/figures", "course", "solutions", "requirements.txt")
PLAIN = (bool, int, float, str, range, type(None))
"""What says in its repr all that it is: of anything else, two may have the same."""

Experiment = TypeVar("Experiment", bound=Callable)


def kept(experiment: Experiment) -> Experiment:
    """Let an experiment run once for the same arguments, whoever asks, in whatever process.

    Its result must be what `pickle` can write, and must depend on nothing but the sources and the
    arguments: a test that replaces one of the module's constants calls
    ``experiment.__wrapped__``.  With arguments that are not `PLAIN`, such as a network, it runs
    each time.
    """

    @functools.wraps(experiment)
    def asked(*args: object, **options: object) -> object:
        if not _plain((*args, *options.values())):
            return experiment(*args, **options)
        folder = FOLDER / _made_by()
        name = f"{experiment.__module__}.{experiment.__name__}"
        asked_for = hashlib.sha256(repr((args, sorted(options.items()))).encode()).hexdigest()[:8]
        path = folder / f"{name}-{asked_for}.pickle"
        if not folder.exists():
            for old in FOLDER.glob("*"):
                shutil.rmtree(old, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                half = path.with_suffix(".half")
                half.write_bytes(pickle.dumps(experiment(*args, **options)))
                os.replace(half, path)
        return pickle.loads(path.read_bytes())

    return asked  # type: ignore[return-value]


def _plain(value: object) -> bool:
    """Say whether a value, or each of a tuple or list, is one of `PLAIN`."""
    return all(map(_plain, value)) if isinstance(value, tuple | list) else type(value) in PLAIN


@functools.cache
def _made_by() -> str:
    """Return a hash of all that a result depends on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    total = hashlib.sha256(f"{sys.version} {device}".encode())
    for place in MADE_OF:
        path = ROOT / place
        for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if each.is_file() and each.suffix != ".pyc":
                total.update(f"{each.relative_to(ROOT)}\0{each.stat().st_size}\0".encode())
                total.update(each.read_bytes())
    return total.hexdigest()[:16]
