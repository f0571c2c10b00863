"""The reference's and the slips' outputs on the public cases: all of them that ships.

The file is an ``.npz`` of two plain arrays, never pickled objects: ``numbers``, and ``index``, a
JSON text that says which numbers are whose.
"""

from __future__ import annotations

import functools
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course.exercise import Arrays, CourseError

FOLDER = Path(__file__).parent / "fixtures"


@dataclass(frozen=True)
class KnownSlip:
    """A misconception that has a name, and what it gives on each public case.

    read: the equation to read again; hint: the level of the hint that helps; stops: the rung and
    headline with which a check stops it before any number is compared, if it does.
    """

    name: str
    title: str
    read: str
    hint: int
    stops: str
    outputs: Mapping[str, Arrays]


@dataclass(frozen=True)
class Fixture:
    """One exercise's truth on each public case, and its slips."""

    truth: Mapping[str, Arrays]
    slips: tuple[KnownSlip, ...]


Stored = list[Any]
"""Where an array begins in the file, and its shape: a pair, as JSON has it."""


def write(path: Path, fixtures: Mapping[str, Fixture]) -> None:
    """Write fixtures by exercise; the same content gives the same bytes."""
    numbers: list[np.ndarray] = []
    places: dict[tuple[tuple[int, ...], bytes], Stored] = {}
    end = 0

    def place_of(value: np.ndarray) -> Stored:
        """Where an array begins, and its shape; what a slip leaves right is stored only once."""
        nonlocal end
        value = np.asarray(value, np.float64)
        content = (value.shape, value.tobytes())
        if content not in places:
            places[content] = [end, list(value.shape)]
            numbers.append(value.ravel())
            end += value.size
        return places[content]

    def put(outputs: Mapping[str, Arrays]) -> dict[str, list[Stored]]:
        return {case: [place_of(value) for value in values] for case, values in outputs.items()}

    index = {
        name: {
            "truth": put(fixtures[name].truth),
            "slips": [
                {
                    "name": slip.name,
                    "title": slip.title,
                    "read": slip.read,
                    "hint": slip.hint,
                    "stops": slip.stops,
                    "outputs": put(slip.outputs),
                }
                for slip in fixtures[name].slips
            ],
        }
        for name in sorted(fixtures)
    }
    text = json.dumps(index, ensure_ascii=False).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in (
            ("index", np.frombuffer(text, np.uint8)),
            ("numbers", np.concatenate([np.zeros(0), *numbers])),
        ):
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            # A fixed date: numpy.savez would write the clock's.
            entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())


def read(path: Path) -> dict[str, Fixture]:
    """Read fixtures by exercise.

    Raises OSError, ValueError, KeyError, EOFError or BadZipFile.
    """
    with np.load(path, allow_pickle=False) as archive:
        index = json.loads(archive["index"].tobytes().decode())
        numbers = archive["numbers"]
    numbers.flags.writeable = False

    def get(stored: Mapping[str, list[Stored]]) -> dict[str, Arrays]:
        return {
            case: tuple(
                numbers[start : start + math.prod(shape)].reshape(shape) for start, shape in values
            )
            for case, values in stored.items()
        }

    return {
        name: Fixture(
            truth=get(entry["truth"]),
            slips=tuple(
                KnownSlip(
                    s["name"], s["title"], s["read"], s["hint"], s["stops"], get(s["outputs"])
                )
                for s in entry["slips"]
            ),
        )
        for name, entry in index.items()
    }


@functools.cache
def of_chapter(chapter: str) -> dict[str, Fixture]:
    """The fixtures that ship with a chapter; raises CourseError if they are missing or damaged."""
    path = FOLDER / f"{chapter}.npz"
    try:
        return read(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CourseError(
            f"{path} can't be read ({type(error).__name__}): get the folder course/ again"
            " from your instructor."
        ) from None
