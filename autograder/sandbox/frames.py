"""The protocol between the grader and the jail: a JSON header of limited length, and raw bytes.

Nothing here is trusted when it is received: no pickle, only the dtypes below, every length capped.
A forged frame can do no more than give a wrong answer.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

HEADER_LIMIT = 1 << 20
BYTES_LIMIT = 64 << 20
NODES_LIMIT = 20_000
DTYPES = {
    f"{order}{kind}"
    for order in "<>|="
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "c16")
}

_LENGTHS = struct.Struct("<II")


class FrameError(Exception):
    """What came is no frame: too long, cut off, late, or not of the form."""


class Foreign:
    """Stands for something that a student returned and that is neither array nor number.

    Its type has the name of the student's, so that a report says "a Tensor", not "a Foreign".
    """

    @classmethod
    def named(cls, kind: str) -> Foreign:
        """Make one, of a type with this dotted name."""
        module, _, name = kind.rpartition(".")
        return type(name or "object", (cls,), {"__module__": module})()


def pack(value: Any) -> tuple[Any, list[bytes]]:
    """Turn arrays, numbers, texts, and lists, tuples and dicts of them into JSON and bytes."""
    blobs: list[bytes] = []
    count = 0

    def go(item: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if depth > 8 or count > NODES_LIMIT:
            return {"foreign": "structure too deep or too large"}
        if item is None or isinstance(item, bool | str):
            return {"plain": item if not isinstance(item, str) else item[:1000]}
        if isinstance(item, int) and not isinstance(item, np.generic):
            return {"plain": int(item)} if abs(item) < 1 << 60 else {"float": "inf"}
        if isinstance(item, float) and not isinstance(item, np.generic):
            return {"float": repr(float(item))}
        if isinstance(item, np.ndarray | np.generic):
            array = np.asarray(item)
            return keep(array) or {"foreign": f"ndarray of dtype {array.dtype}"}
        if isinstance(item, Mapping):
            return {"dict": [[str(k)[:100], go(v, depth + 1)] for k, v in list(item.items())[:64]]}
        if isinstance(item, tuple):
            return {"tuple": [go(each, depth + 1) for each in item]}
        if isinstance(item, list):
            return {"list": [go(each, depth + 1) for each in item]}
        name = f"{type(item).__module__}.{type(item).__name__}"[:100]
        return keep(_read_as_array(item)) or {"foreign": name}

    def keep(array: np.ndarray | None) -> dict[str, Any] | None:
        """An array of plain numbers, long doubles as doubles; None if it is none, or too large."""
        if array is None or array.nbytes > BYTES_LIMIT:
            return None
        if array.dtype.type is np.longdouble:
            array = np.asarray(array, np.float64)
        if array.dtype.str not in DTYPES:
            return None
        blobs.append(array.tobytes())
        return {"array": len(blobs) - 1, "dtype": array.dtype.str, "shape": array.shape}

    return go(value, 0), blobs


def _read_as_array(item: Any) -> np.ndarray | None:
    """What NumPy reads as an array (a deque, a memoryview, an object with ``__array__``), or None.

    A check in a student's notebook reads it so; there, too, PyTorch's tensors and iterators are
    told apart.
    """
    if isinstance(item, Iterator) or str(type(item).__module__).split(".")[0] == "torch":
        return None
    try:
        return np.asarray(item)
    except Exception:  # an object of the student's may raise anything
        return None


def unpack(tree: Any, blobs: list[bytes]) -> Any:
    """Undo ``pack``; raises FrameError on anything that ``pack`` would not have made."""
    count = 0

    def go(node: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if depth > 9 or count > 2 * NODES_LIMIT or not isinstance(node, dict):
            raise FrameError("a value of no known form")
        if "plain" in node:
            if node["plain"] is not None and not isinstance(node["plain"], bool | int | str):
                raise FrameError("a plain value that is none")
            return node["plain"]
        if "float" in node:
            return float(str(node["float"])[:40])
        if "array" in node:
            shape, dtype = node["shape"], node["dtype"]
            if (
                not isinstance(node["array"], int)
                or node["array"] < 0
                or dtype not in DTYPES
                or not isinstance(shape, list)
                or len(shape) > 16
                or not all(
                    isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 40
                    for n in shape
                )
            ):
                raise FrameError("an array of no allowed form")
            blob = blobs[node["array"]]
            if math.prod(shape) * np.dtype(dtype).itemsize != len(blob):
                raise FrameError("an array of another length than it says")
            return np.frombuffer(blob, dtype).reshape(shape)
        if "dict" in node:
            return {str(k): go(v, depth + 1) for k, v in node["dict"]}
        if "tuple" in node:
            return tuple(go(each, depth + 1) for each in node["tuple"])
        if "list" in node:
            return [go(each, depth + 1) for each in node["list"]]
        if "foreign" in node:
            return Foreign.named(text(node["foreign"], 200))
        raise FrameError("a value of no known form")

    try:
        return go(tree, 0)
    except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise FrameError(f"a value of no known form ({type(error).__name__})") from None


def text(value: Any, limit: int) -> str:
    """A text of limited length that can be written to a file; empty if it is none."""
    # Half of a surrogate pair comes through JSON, and no encoder takes it.
    return value[:limit].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def send(channel: socket.socket, header: dict[str, Any], blobs: list[bytes] | None = None) -> None:
    """Send one frame; raises OSError if the other side is gone."""
    blobs = blobs or []
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}).encode()
    total = sum(map(len, blobs))
    if len(text) > HEADER_LIMIT or total > BYTES_LIMIT:
        raise FrameError(f"a frame of {len(text)} + {total} bytes is too long")
    channel.sendall(_LENGTHS.pack(len(text), total) + text + b"".join(blobs))


def receive(
    channel: socket.socket, deadline: float | None = None
) -> tuple[dict[str, Any], list[bytes]]:
    """Receive one frame, by a time of ``time.monotonic()``; raises FrameError, or EOFError."""
    lengths = _read(channel, _LENGTHS.size, deadline)
    header_length, total = _LENGTHS.unpack(lengths)
    if header_length > HEADER_LIMIT or total > BYTES_LIMIT:
        raise FrameError(f"a frame of {header_length} + {total} bytes is too long")
    try:
        header = json.loads(_read(channel, header_length, deadline))
        sizes = header.pop("blobs")
        if not all(isinstance(n, int) and n >= 0 for n in sizes) or sum(sizes) != total:
            raise FrameError("lengths that do not add up")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FrameError(f"a header of no known form ({type(error).__name__})") from None
    body = _read(channel, total, deadline)
    blobs, start = [], 0
    for size in sizes:
        blobs.append(body[start : start + size])
        start += size
    return header, blobs


def _read(channel: socket.socket, length: int, deadline: float | None) -> bytes:
    parts, missing = [], length
    while missing:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer in time")
            channel.settimeout(left)
        else:
            channel.settimeout(None)
        part = channel.recv(min(missing, 1 << 20))
        if not part:
            raise EOFError("the other side is gone")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
