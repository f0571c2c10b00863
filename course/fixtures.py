"""The reference's and the slips' outputs on the public cases: all of them that ships.

The file is an ``.npz`` of plain arrays (never pickled objects) plus one JSON text, ``index``.
"""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course.exercise import Arrays, CourseError

FOLDER = Path(__file__).parent / "fixtures"


@dataclass(frozen=True)
class KnownSlip:
    """A misconception that has a name, and what it gives on each public case.

    read: the equation to read again; hint: the level of the hint that helps; stops: the headline
    with which a check stops it before any number is compared, if it does.
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


def write(path: Path, fixtures: Mapping[str, Fixture]) -> None:
    """Write fixtures by exercise; the same content gives the same bytes."""
    arrays: dict[str, np.ndarray] = {}
    index: dict[str, dict] = {}

    def put(prefix: str, outputs: Mapping[str, Arrays]) -> dict[str, list[str]]:
        keys: dict[str, list[str]] = {}
        for case, values in outputs.items():
            keys[case] = []
            for value in values:
                key = f"{len(arrays):04d}"
                arrays[key] = np.ascontiguousarray(value)
                keys[case].append(key)
        return keys

    for name in sorted(fixtures):
        fixture = fixtures[name]
        index[name] = {
            "truth": put(name, fixture.truth),
            "slips": [
                {
                    "name": slip.name,
                    "title": slip.title,
                    "read": slip.read,
                    "hint": slip.hint,
                    "stops": slip.stops,
                    "outputs": put(f"{name}/{slip.name}", slip.outputs),
                }
                for slip in fixture.slips
            ],
        }
    text = json.dumps(index, indent=1, ensure_ascii=False).encode()
    arrays["index"] = np.frombuffer(text, np.uint8)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            # A fixed date: numpy.savez would write the clock's.
            entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())


def read(path: Path) -> dict[str, Fixture]:
    """Read fixtures by exercise; raises OSError or ValueError if there is no such file."""
    with np.load(path, allow_pickle=False) as archive:
        index = json.loads(archive["index"].tobytes().decode())
        arrays = {key: archive[key] for key in archive.files if key != "index"}
    for array in arrays.values():
        array.flags.writeable = False

    def get(keys: Mapping[str, list[str]]) -> dict[str, Arrays]:
        return {case: tuple(arrays[key] for key in names) for case, names in keys.items()}

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
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CourseError(
            f"{path} can't be read ({type(error).__name__}): get the folder course/ again"
            " from your instructor."
        ) from None
