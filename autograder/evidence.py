"""What a score rests on, kept with it: how long a check took, and hashes of all sent and got.

With the seed of its inputs, a submission can be judged again (``autograder replay``); the hashes
say whether what was sent and what came back are the same, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autograder.sandbox import frames
from course.calls import Call

LETTERS = 16
"""Letters of a hash that are kept: nobody can choose inputs here, so none are needed against it."""


@dataclass(frozen=True)
class Evidence:
    """Of one exercise: seconds of all its calls, how many, and hashes of arguments and answers."""

    seconds: float
    calls: int
    sent: str
    got: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a notebook's metadata and a submission's record."""
        return asdict(self)


class Witness:
    """Stands between a check and the function that it asks, and hashes what passes."""

    def __init__(self, question: Callable[[Mapping[str, Any]], Call]) -> None:
        self._question = question
        self._began = time.perf_counter()
        self._calls = 0
        self._sent, self._got = hashlib.sha256(), hashlib.sha256()

    def __call__(self, args: Mapping[str, Any]) -> Call:
        """Call the function once."""
        _update(self._sent, dict(args))
        made = self._question(args)
        self._calls += 1
        _update(self._got, made.value)
        self._got.update(made.finding.rung.encode() if made.finding else b"")
        return made

    @property
    def evidence(self) -> Evidence:
        """All that has passed so far."""
        return Evidence(
            round(time.perf_counter() - self._began, 3),
            self._calls,
            self._sent.hexdigest()[:LETTERS],
            self._got.hexdigest()[:LETTERS],
        )


def _update(total: Any, value: Any) -> None:
    tree, blobs = frames.pack(value)
    total.update(json.dumps(tree).encode())
    for blob in blobs:
        total.update(blob)
