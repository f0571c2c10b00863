"""Melodies: the sopranos of Bach's chorales, read from the scores that music21 brings.

The scores may be used but not passed on, so the course does not bring them itself.  Their files
are zipped XML, read here without importing music21, which would take seconds.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from course.datasets.parts import Parts, part_of

VOICES = ["Soprano", "Alto", "Tenor", "Bass"]
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
REST = 0


class Melody(NamedTuple):
    """A melody, moved to the key without sharps and flats.

    name : the score's, such as "bwv66.6"; final : the chorale's last bass note, 0 (C) to 11 (B):
    mostly 0, major, and 9, minor; pitch : (T,), int64, MIDI numbers (60 is the middle C), or
    REST; duration : (T,), float64, in quarter notes
    """

    name: str
    final: int
    pitch: np.ndarray
    duration: np.ndarray


Melodies = tuple[Melody, ...]


class NoScoresError(RuntimeError):
    """The chorales' scores are not on this machine; the message says how to get them."""


@cache
def chorales(folder: str | None = None) -> Parts[Melodies]:
    """Return the soprano melodies of Bach's four-part chorales.

    Bach set many tunes several times.  All settings of a tune are in one part: two melodies belong
    together if they share a third of their intervals, taken eight at a time.

    `folder` holds the scores (bwv*.mxl); by default it is that of the installed package music21,
    whose corpus this is (encoded by Margaret Greentree).  Raises NoScoresError without scores.
    """
    files = sorted((_corpus() if folder is None else Path(folder)).glob("bwv*.mxl"))
    if not files:
        raise NoScoresError(f"chorales: no bwv*.mxl in {folder}: is music21's corpus installed?")
    found = [melody for melody in map(_melody, files) if melody is not None]
    dealt: tuple[list[Melody], ...] = ([], [], [])
    for melody, family in zip(found, _families(found), strict=True):
        dealt[part_of(family, (0.7, 0.15))].append(melody)
    return Parts(*map(tuple, dealt))


def _corpus() -> Path:
    """Find the scores without importing music21."""
    spec = importlib.util.find_spec("music21")
    if spec is None or spec.origin is None:
        raise NoScoresError(
            "chorales: the scores come with the package music21, which is not installed here; "
            "install it (pip install music21), or give a folder of bwv*.mxl"
        )
    return Path(spec.origin).parent / "corpus" / "bach"


def _melody(path: Path) -> Melody | None:
    """Read a score; None if it has not the four voices."""
    with zipfile.ZipFile(path) as file:
        container = ElementTree.fromstring(file.read("META-INF/container.xml"))
        rootfile = container.find(".//{*}rootfile")
        assert rootfile is not None, f"{path} names no score"
        score = ElementTree.fromstring(file.read(rootfile.attrib["full-path"]))
    voices = {part.findtext("part-name"): part.get("id") for part in score.iter("score-part")}
    if not set(VOICES) <= set(voices):
        return None
    parts = {part.get("id"): part for part in score.iter("part")}
    soprano = parts[voices["Soprano"]]
    # Seven semitones for each sharp lead away from C; back the short way round.
    shift = -7 * int(_text(soprano, ".//fifths")) % 12
    shift -= 12 if shift > 6 else 0
    notes = list(_notes(soprano))
    bass = [pitch for pitch, _ in _notes(parts[voices["Bass"]]) if pitch != REST]
    pitch = np.array([pitch and pitch + shift for pitch, _ in notes], dtype=np.int64)
    duration = np.array([duration for _, duration in notes])
    for array in (pitch, duration):
        array.setflags(write=False)  # they are cached
    return Melody(path.stem, (bass[-1] + shift) % 12, pitch, duration)


def _notes(part: ElementTree.Element) -> Iterator[tuple[int, float]]:
    """Yield (pitch, quarters) of a part's first voice; tied notes are one."""
    divisions, voice = 1, None
    held: tuple[int, float] | None = None
    for measure in part.iter("measure"):
        for element in measure:
            if element.tag == "attributes":
                divisions = int(element.findtext("divisions") or divisions)
            if element.tag != "note" or element.find("grace") is not None:
                continue
            voice = voice or element.findtext("voice")
            if element.find("chord") is not None or element.findtext("voice") != voice:
                continue
            pitch, quarters = _pitch(element), int(_text(element, "duration")) / divisions
            if held and any(tie.get("type") == "stop" for tie in element.iter("tie")):
                held = (held[0], held[1] + quarters)
                continue
            if held:
                yield held
            held = (pitch, quarters)
    if held:
        yield held


def _text(element: ElementTree.Element, path: str) -> str:
    """Return a text that every score of the corpus has there."""
    found = element.findtext(path)
    assert found is not None, f"a {element.tag} of the score has no {path}"
    return found


def _pitch(note: ElementTree.Element) -> int:
    """Return a note's MIDI number, or REST."""
    if note.find("rest") is not None:
        return REST
    alter = int(note.findtext("pitch/alter") or 0)
    return 12 * (int(_text(note, "pitch/octave")) + 1) + STEPS[_text(note, "pitch/step")] + alter


def _families(melodies: list[Melody], length: int = 8, share: float = 1 / 3) -> list[str]:
    """Return, for each melody, the name of the first one of its tune."""
    pieces = []
    for melody in melodies:
        steps = np.diff(melody.pitch[melody.pitch != REST])
        steps = steps[steps != 0]
        pieces.append({tuple(steps[i : i + length]) for i in range(len(steps) - length + 1)})
    first = list(range(len(melodies)))

    def root(i: int) -> int:
        while first[i] != i:
            i = first[i]
        return i

    for i, mine in enumerate(pieces):
        for j in range(i):
            if len(mine & pieces[j]) >= share * max(1, min(len(mine), len(pieces[j]))):
                low, high = sorted((root(i), root(j)))
                first[high] = low
    return [melodies[root(i)].name for i in range(len(melodies))]
