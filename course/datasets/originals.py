"""The larger originals: downloaded once, checked against a hash, kept in a folder.

    from course.datasets import originals

    train, test = originals.mnist()
    folder = originals.CACHE  # or any other: mnist(folder="...")

Nothing in the course needs them.  A file that is in the folder already, with the right hash, is
used without a network; so you may also bring it there by hand.
"""

from __future__ import annotations

import gzip
import os
import random
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from course.datasets.parts import Parts, part_of

CACHE = Path(os.environ.get("RNN_COURSE_DATA", Path.home() / ".cache" / "rnn-course"))
"""Where files are kept unless you say otherwise; the variable RNN_COURSE_DATA moves it."""

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST = {
    "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}
"""Published MD5s, as torchvision has them."""

REVIEWS_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
REVIEWS_HASH = "md5:7c2ac02c03563afcf9b574c7e56c153a"
"""The published MD5, as torchtext has it."""

SURNAMES_URL = "https://download.pytorch.org/tutorial/data.zip"
"""No hash of this archive is published, so `surnames` asks you for one."""

MULTI30K_URL = "https://raw.githubusercontent.com/neychev/small_DL_repo/master/datasets/Multi30k/"
MULTI30K = {
    "training.tar.gz": "sha256:20140d013d05dd9a72dfde46478663ba05737ce983f478f960c1123c6671be5e",
    "validation.tar.gz": "sha256:a7aa20e9ebd5ba5adce7909498b94410996040857154dab029851af3a866da8c",
    "mmt16_task1_test.tar.gz": (
        "sha256:6d1ca1dba99e2c5dd54cae1226ff11c2551e6ce63527ebb072a1f70f72a5cd36"
    ),
}
"""The copy and the hashes that torchtext has used since the first server went away."""

TATOEBA_URL = "https://www.manythings.org/anki/ita-eng.zip"
"""It grows from month to month, so no hash of it lasts, and `tatoeba` asks you for one."""


class DownloadError(RuntimeError):
    """A file could not be had; the message says which, why, and how to bring it by hand."""


def fetch(url: str, known_hash: str, folder: str | Path | None = None) -> Path:
    """Return the local copy of a file, downloaded if need be.

    `known_hash` is "md5:..." or "sha256:...".  Raises DownloadError without a network, on another
    hash, or without the package pooch; ValueError if the hash names no method.
    """
    method, _, digits = known_hash.partition(":")
    if method not in ("md5", "sha256") or not digits:
        raise ValueError(f"fetch: the hash is {known_hash!r}, want 'md5:...' or 'sha256:...'")
    target, name = Path(folder or CACHE), url.rsplit("/", 1)[-1]
    by_hand = f"bring {name} by hand from {url} into {target}"
    try:
        import pooch
    except ImportError as error:
        raise DownloadError(f"fetch: pip install pooch, or {by_hand}") from error
    try:
        return Path(pooch.retrieve(url, known_hash, fname=name, path=target))
    except ValueError as error:  # pooch has removed what it downloaded
        raise DownloadError(f"fetch: {url} is another file than expected: {error}") from error
    except OSError as error:  # requests' errors are OSErrors
        reason = f"{type(error).__name__}: {error}"
        raise DownloadError(f"fetch: no connection to {url} ({reason}); {by_hand}") from error


class Pictures(NamedTuple):
    """Handwritten digits: x : (N, 28, 28), uint8; y : (N,), int64."""

    x: np.ndarray
    y: np.ndarray


def mnist(
    url: str = MNIST_URL, hashes: dict[str, str] = MNIST, folder: str | Path | None = None
) -> tuple[Pictures, Pictures]:
    """Return MNIST's 60 000 training and 10 000 test images (LeCun, Cortes and Burges).

    `hashes` maps the four names to their hashes, in the order of MNIST.  Raises as `fetch` does.
    """
    arrays = [_idx(fetch(url + name, known, folder)) for name, known in hashes.items()]
    x_train, y_train, x_test, y_test = arrays
    return (
        Pictures(x_train, y_train.astype(np.int64)),
        Pictures(x_test, y_test.astype(np.int64)),
    )


def _idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of bytes: two zeros, the type, the number of axes, their lengths."""
    data = gzip.decompress(path.read_bytes())
    if data[:3] != b"\0\0\x08":
        raise DownloadError(f"mnist: {path} is no IDX file of bytes: it begins with {data[:4]!r}")
    end = 4 + 4 * data[3]
    shape = np.frombuffer(data[4:end], dtype=">i4")
    return np.frombuffer(data[end:], dtype=np.uint8).reshape(shape)


class Reviews(NamedTuple):
    """Film reviews: texts, N strings; y : (N,), int64, 1 for praise."""

    texts: tuple[str, ...]
    y: np.ndarray


def reviews(
    url: str = REVIEWS_URL, known_hash: str = REVIEWS_HASH, folder: str | Path | None = None
) -> tuple[Reviews, Reviews]:
    """Return 25 000 training and 25 000 test reviews of films (Maas et al., 2011), 84 MB.

    No film is in both parts.  Raises as `fetch` does.
    """
    found: dict[tuple[str, str], list[str]] = {}
    with tarfile.open(fetch(url, known_hash, folder)) as archive:
        for member in archive:
            place = PurePosixPath(member.name).parts[1:3]  # aclImdb/train/pos/0_9.txt
            if (
                member.isfile()
                and member.name.endswith(".txt")
                and place[1:] in (("pos",), ("neg",))
            ):
                file = archive.extractfile(member)
                assert file is not None, "a member that is a file can be read"
                part, opinion = place
                found.setdefault((part, opinion), []).append(file.read().decode("utf-8"))
    train, test = (
        Reviews(
            (*found[part, "neg"], *found[part, "pos"]),
            np.repeat([0, 1], [len(found[part, "neg"]), len(found[part, "pos"])]),
        )
        for part in ("train", "test")
    )
    return train, test


def surnames(
    known_hash: str, url: str = SURNAMES_URL, folder: str | Path | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the surnames of PyTorch's tutorial, by language: {"Czech": ("Abl", ...), ...}.

    Raises as `fetch` does.
    """
    with zipfile.ZipFile(fetch(url, known_hash, folder)) as archive:
        return dict(_name_files(archive))


def _name_files(archive: zipfile.ZipFile) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name in sorted(archive.namelist()):
        path = PurePosixPath(name)
        # Macs leave a second file, "__MACOSX/data/names/._Czech.txt", beside each.
        if path.parts[:2] == ("data", "names") and path.suffix == ".txt":
            yield path.stem, tuple(archive.read(name).decode("utf-8").splitlines())


class Pairs(NamedTuple):
    """Sentences and their translations: english and other, N strings each."""

    english: tuple[str, ...]
    other: tuple[str, ...]


def multi30k(
    url: str = MULTI30K_URL, hashes: dict[str, str] = MULTI30K, folder: str | Path | None = None
) -> Parts[Pairs]:
    """Return 29 000, 1014 and 1000 captions of photos, English and German (Elliott et al., 2016).

    `hashes` maps the three names to their hashes, in the order of MULTI30K.  Raises as `fetch`
    does, and DownloadError if an archive has no pair of files of the same length.
    """
    return Parts(*(_tar_pairs(fetch(url + name, known, folder)) for name, known in hashes.items()))


def _tar_pairs(path: Path) -> Pairs:
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            language = PurePosixPath(member.name).suffix
            # Macs leave a second file, "._train.en", beside each.
            hidden = PurePosixPath(member.name).name.startswith(".")
            file = archive.extractfile(member)  # None if it is a folder
            if file is not None and not hidden and language in (".en", ".de"):
                text = file.read().decode("utf-8")
                found[language] = tuple(line.strip() for line in text.strip().split("\n"))
    if len(found.get(".en", ())) != len(found.get(".de", " ")):
        raise DownloadError(f"multi30k: {path} has no two files .en and .de of the same length")
    return Pairs(found[".en"], found[".de"])


def tatoeba(
    known_hash: str, url: str = TATOEBA_URL, folder: str | Path | None = None, seed: int = 0
) -> Parts[Pairs]:
    """Return sentences of the Tatoeba project with their translations, 80 : 10 : 10.

    The archive has a text file whose lines are English, a tab, the translation, a tab, and who
    wrote them, as ManyThings packs it for many languages.  An English sentence with several
    translations is in one part with all of them.  Raises as `fetch` does, and DownloadError if
    the archive holds no such lines.
    """
    path = fetch(url, known_hash, folder)
    dealt: tuple[list[tuple[str, str]], ...] = ([], [], [])
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.endswith(".txt") and not n.startswith("_")]
        for name in sorted(names):
            for line in archive.read(name).decode("utf-8").splitlines():
                english, tab, rest = line.partition("\t")
                if tab:
                    dealt[part_of(english.lower())].append((english, rest.partition("\t")[0]))
    if not all(dealt):
        raise DownloadError(f"tatoeba: {path} holds too few lines with an English text and a tab")
    for part in dealt:  # the archive is sorted by length
        random.Random(seed).shuffle(part)
    return Parts(*(Pairs(*zip(*part, strict=True)) for part in dealt))
