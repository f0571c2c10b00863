"""The process that the members of a pool are forked from: it loads what all of them need, once.

To start it is cheap for who starts it, and it loads while others load: so before anything else.
"""

from __future__ import annotations

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
    forkserver.ensure_running()
    return forks
