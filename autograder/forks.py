"""The process that the members of a pool are forked from: it loads what all of them need, once.

To start it is cheap for who starts it, and it loads while others load: so before anything else.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, get_all_start_methods, get_context
from multiprocessing.context import BaseContext


def context(chapter: str) -> BaseContext:
    """Where to make processes that grade a chapter; the process for it runs afterwards.

    Where the machine has no such thing, each of them loads everything for itself.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    forks = get_context("forkserver")
    forks.set_forkserver_preload(["autograder.work", f"solutions.{chapter}"])
    with _uninterrupted():
        forkserver.ensure_running()
    return forks


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """What starts here ignores an interrupt: it would show where it was in its loading, and why.

    It ends all the same, with the process that has started it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no other may change what a signal does
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
