"""Takes submissions out of the archives of a learning management system, and trusts none of them.

``nbgrader zip_collect`` calls ``Extractor`` by name, in the class's ``nbgrader_config.py``.  What
comes out are notebooks alone, each below the folder for extracted files, at most one for each
student.  Everything that is left out is named, with the reason; nothing stops the rest.

nbgrader's own opens archives inside archives, where a student can write anyone's name on a file,
unpacks whatever size, lets the last of two files of one name win, and stops for everyone when one
student has two.
"""

from __future__ import annotations

import datetime
import gzip
import lzma
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from nbgrader.plugins.zipcollect import ExtractorPlugin
from traitlets import Integer

BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, RuntimeError, NotImplementedError, ValueError),
)
"""What reading an archive can raise; a password is a RuntimeError."""

STUDENT = re.compile(r"[^\W_](?:[\w.@+ -]{0,98}[\w+-])?")
"""What a student's id may be: a folder's name anywhere, a pattern nowhere, no HTML."""


@dataclass(frozen=True)
class Entry:
    """A file of an archive, or one that lies beside the archives.

    name: as the archive gives it; refused: why it can't be taken, for its kind alone; when: what
    tells the newer of two.
    """

    name: str
    refused: str
    when: float
    read: IO[bytes] | None


class RefusedError(Exception):
    """Why a file is left out."""


class Extractor(ExtractorPlugin):
    """Extracts notebooks from ``.zip`` and ``.tar.gz`` archives, and copies the ones beside."""

    file_bytes = Integer(50 << 20, help="bytes of one notebook").tag(config=True)
    total_bytes = Integer(4 << 30, help="bytes of all that is extracted").tag(config=True)
    entries = Integer(20_000, help="files in one archive").tag(config=True)

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Extract all archives of a folder; what is left out is said in the log."""
        self._left = self.total_bytes
        self._taken: dict[tuple[str, str], tuple[float, Path]] = {}
        source, target = Path(archive_path), Path(extracted_path)
        found = sorted(path for path in source.rglob("*") if not path.is_dir())
        if not found:
            self.log.warning("No files found in directory: %s", archive_path)
        for path in found:
            said = _shown(str(path.relative_to(source)))
            if path.is_symlink() or not path.is_file():
                self._leave(said, "it is no file of its own")
            elif path.suffix in self.zip_ext:
                self.log.info("Extracting from: %s", said)
                try:
                    for entry in _entries(path, self.entries):
                        folder = path.relative_to(source).with_suffix("")
                        self._take(entry, target, folder, said)
                except (*BROKEN, RefusedError) as error:
                    self._leave(said, f"it can't be read: {error}")
            else:
                with path.open("rb") as file:
                    name = str(path.relative_to(source))
                    entry = Entry(name, "", path.stat().st_mtime, file)
                    self._take(entry, target, Path(), "")

    def _leave(self, what: str, why: str) -> None:
        self.log.warning("Left out %s: %s", what, why)

    def _take(self, entry: Entry, target: Path, folder: Path, archive: str) -> None:
        """Write one file, or say why not."""
        said = f"{archive}: {_shown(entry.name)}" if archive else _shown(entry.name)
        written = None
        try:
            if entry.refused or entry.read is None:
                raise RefusedError(entry.refused)
            inner = _safe(entry.name)
            if inner.suffix in self.zip_ext:
                raise RefusedError(
                    "archives inside archives are not opened, for a student could write anyone's"
                    " name on what is in them; ask for the notebook itself"
                )
            if inner.suffix not in self.parent.collector_plugin_inst.valid_ext:
                raise RefusedError("it is no notebook")
            path = target / folder / inner
            key, older = self._owner(path), None
            if key in self._taken:
                when, older = self._taken[key]
                if entry.when == when:
                    raise RefusedError(f"{_shown(older.name)} has the same date and the same owner")
                if entry.when < when:
                    raise RefusedError(f"the same student's {_shown(older.name)} is newer")
            if path.exists() and path != older:
                raise RefusedError("another file has its name")
            written = path.with_name(f".{path.name[:100]}.part")
            self._write(entry.read, written)
            if older is not None:
                older.unlink()
                self._leave(_shown(older.name), f"the same student's {said} is newer")
            os.replace(written, path)
            self._taken[key] = entry.when, path
        except (*BROKEN, RefusedError) as error:
            if written is not None:
                written.unlink(missing_ok=True)
            self._leave(said, str(error))

    def _owner(self, path: Path) -> tuple[str, str]:
        """The student and the notebook that a name stands for, by the class's own rule."""
        info = self.parent.collector_plugin_inst.collect(str(path))
        if not info:
            raise RefusedError(
                "its name does not say whose it is: see FileNameCollectorPlugin.named_regexp in"
                " nbgrader_config.py"
            )
        student = info["student_id"]
        if not STUDENT.fullmatch(student):
            raise RefusedError(f"{_shown(student)!r} can't be a student's id")
        return student, info["file_id"]

    def _write(self, file: IO[bytes], path: Path) -> None:
        """Copy what is there, not what an archive says that there is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        room = min(self.file_bytes, self._left)
        with path.open("xb") as out:
            while part := file.read(1 << 16):
                room -= len(part)
                self._left -= len(part)
                if room < 0:
                    raise RefusedError(
                        f"it is longer than {self.file_bytes >> 20} MB (Extractor.file_bytes), or"
                        f" all together than {self.total_bytes >> 20} MB (Extractor.total_bytes)"
                    )
                out.write(part)


def _entries(path: Path, most: int) -> Iterator[Entry]:
    """The files of an archive, none of them read yet; raises one of BROKEN if it is none."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > most:
                raise RefusedError(f"more than {most} files (Extractor.entries)")
            for info in archive.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if info.is_dir():
                    continue
                if kind not in (0, stat.S_IFREG):
                    yield Entry(info.filename, "it is a link, not a file", 0.0, None)
                    continue
                try:
                    file = archive.open(info)
                except BROKEN as error:
                    yield Entry(info.filename, f"it can't be read: {error}", 0.0, None)
                    continue
                with file:
                    yield Entry(info.filename, "", _date(info), file)
        return
    with tarfile.open(path, "r:gz") as archive:
        for count, member in enumerate(archive):
            if count >= most:
                raise RefusedError(f"more than {most} files (Extractor.entries)")
            if member.isdir():
                continue
            if not member.isreg():
                yield Entry(member.name, "it is a link, not a file", 0.0, None)
                continue
            yield Entry(member.name, "", float(member.mtime), archive.extractfile(member))


def _date(info: zipfile.ZipInfo) -> float:
    try:
        return datetime.datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _safe(name: str) -> PurePosixPath:
    """The path that a name of an archive stands for, below it; raises RefusedError."""
    if any(unicodedata.category(letter).startswith("C") for letter in name):
        raise RefusedError("its name holds characters that can't be seen")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise RefusedError("its name leads out of the archive")
    if not path.name or any(len(part.encode()) > 200 for part in path.parts):
        raise RefusedError("its name is too long")
    return path


def _shown(name: str) -> str:
    """A name for the log: what can't be seen is spelt out, and it is not too long."""
    return ascii(name[:120])[1:-1] if not name.isprintable() else name[:120]
