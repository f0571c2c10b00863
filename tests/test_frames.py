"""The protocol between grader and jail takes nothing but frames."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import threading
import time

import numpy as np
import pytest

from autograder.sandbox import frames
from autograder.sandbox.frames import FrameError


def sent(data: bytes) -> tuple[dict, list[bytes]]:
    """What comes of these bytes, on a channel that is then closed."""
    here, there = socket.socketpair()
    with here, there:
        writer = threading.Thread(target=_write, args=(there, data))
        writer.start()
        try:
            return frames.receive(here, time.monotonic() + 5)
        finally:
            here.close()
            writer.join()


def _write(channel: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError), channel:
        channel.sendall(data)


def framed(text: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<II", len(text), len(body) if length is None else length) + text + body


def harmless(data: bytes) -> None:
    """Bytes of a stranger's give a frame and a value, or one of the two errors, in time."""
    began = time.monotonic()
    try:
        header, blobs = sent(data)
    except (FrameError, EOFError):
        return
    finally:
        assert time.monotonic() - began < 4
    with contextlib.suppress(FrameError):
        frames.unpack(header.get("value"), blobs)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -2.5,
        "text",
        [1, (2.0, None)],
        {"a": np.arange(6.0).reshape(2, 3), "b": [np.float32(1), np.int64(2)]},
        np.zeros((3, 0)),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12.0)[::3],
    ],
    ids=repr,
)
def test_what_is_packed_is_unpacked(value):
    tree, blobs = frames.pack(value)
    tree = json.loads(json.dumps(tree))
    back = frames.unpack(tree, blobs)
    again, more = frames.pack(back)
    assert (json.loads(json.dumps(again)), more) == (tree, blobs)


def test_floats_come_through_exactly():
    for value in (0.1, -0.0, 5e-324, 1e308, float("inf"), float("-inf"), float("nan")):
        tree, _ = frames.pack(value)
        assert struct.pack("d", frames.unpack(tree, [])) == struct.pack("d", value)


@pytest.mark.parametrize(
    "value",
    [object(), np.array([object()]), np.array(["a"]), np.array(1, "M8[s]"), lambda: 0, {1, 2}],
    ids=lambda v: type(v).__name__,
)
def test_what_is_no_number_stays_behind(value):
    tree, blobs = frames.pack(value)
    assert isinstance(frames.unpack(tree, blobs), frames.Foreign)
    assert blobs == []


@pytest.mark.parametrize(
    "data",
    {
        "nothing": b"",
        "half the lengths": b"\1\0\0",
        "a header that does not come": struct.pack("<II", 10, 0),
        "a header that ends early": struct.pack("<II", 10, 0) + b"{}",
        "a header too long": struct.pack("<II", frames.HEADER_LIMIT + 1, 0),
        "a body too long": struct.pack("<II", 2, frames.BYTES_LIMIT + 1),
        "a body that does not come": framed(b'{"blobs": [4]}', b"", 4),
        "no JSON": framed(b"x" * 20),
        "no text": framed(b"\xff\xfe\xfd"),
        "a list": framed(b"[]"),
        "a number": framed(b"5"),
        "null": framed(b"null"),
        "no blobs": framed(b"{}"),
        "blobs of another length": framed(b'{"blobs": [3]}', b"1234"),
        "blobs below zero": framed(b'{"blobs": [-1, 5]}', b"1234"),
        "blobs of NaN": framed(b'{"blobs": [NaN]}', b"1234"),
        "blobs of infinity": framed(b'{"blobs": [Infinity]}', b"1234"),
        "blobs of text": framed(b'{"blobs": ["4"]}', b"1234"),
        "blobs are a number": framed(b'{"blobs": 4}', b"1234"),
        "nested too deeply": framed(b"[" * 500_000),
        "objects nested too deeply": framed(b'{"a":' * 100_000),
        "a number of many digits": framed(b'{"blobs": [' + b"9" * 10_000 + b"]}"),
    }.items(),
    ids=lambda item: item[0],
)
def test_what_is_no_frame_is_refused(data):
    with pytest.raises((FrameError, EOFError)):
        sent(data[1])


def array(**changes: object) -> dict:
    return {"array": 0, "dtype": "<f8", "shape": [1], **changes}


@pytest.mark.parametrize(
    "tree",
    [
        5,
        "text",
        [],
        {},
        None,
        {"plain": [1]},
        {"plain": 1.5},
        {"float": "no number"},
        {"float": [[]]},
        {"list": 5},
        {"list": [5]},
        {"tuple": "abc"},
        {"dict": [[1]]},
        {"dict": {"a": 1}},
        {"dict": 5},
        array(shape=[-1]),
        array(shape=[2]),
        array(shape=[1.0]),
        array(shape=[True]),
        array(shape=["1"]),
        array(shape=5),
        array(shape="1"),
        array(shape={}),
        array(shape=[1] * 100),
        array(shape=[1 << 62, 1 << 62]),
        array(shape=[1 << 41, 0]),
        array(shape=[float("nan")]),
        array(dtype="|O"),
        array(dtype="O"),
        array(dtype="V8"),
        array(dtype=[["a", "f8"]]),
        array(dtype={}),
        array(dtype=None),
        array(array=1),
        array(array=-1),
        array(array="0"),
        array(array=None),
        {"array": 0},
    ],
    ids=lambda tree: json.dumps(tree)[:40],
)
def test_what_is_no_value_is_refused(tree):
    with pytest.raises(FrameError):
        frames.unpack(tree, [b"12345678"])


def test_a_shape_of_nothing_takes_nothing():
    tree = {"array": 0, "dtype": "<f8", "shape": [1 << 39, 0, 1 << 39]}
    with contextlib.suppress(FrameError):
        assert frames.unpack(tree, [b""]).nbytes == 0


def test_deep_and_wide_values_are_refused():
    deep: dict = {"plain": None}
    for _ in range(500):
        deep = {"list": [deep]}
    for tree in (deep, {"list": [{"plain": 1}] * (3 * frames.NODES_LIMIT)}):
        with pytest.raises(FrameError):
            frames.unpack(tree, [])


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_are_harmless(seed):
    rng = random.Random(seed)
    tree, blobs = frames.pack({"a": np.arange(4.0), "b": [1, 2.5, "x", (None, True)]})
    header = json.dumps({"value": tree, "blobs": [len(b) for b in blobs]}).encode()
    whole = framed(header, b"".join(blobs))
    for _ in range(150):
        kind = rng.randrange(4)
        if kind == 0:
            data = rng.randbytes(rng.randrange(60))
        elif kind == 1:
            data = whole[: rng.randrange(len(whole))]
        elif kind == 2:  # some bytes of a sound frame changed
            changed = bytearray(whole)
            for _ in range(rng.randrange(1, 6)):
                changed[rng.randrange(8, len(changed))] = rng.randrange(256)
            data = bytes(changed)
        else:  # sound JSON with odd values in it
            odd = rng.choice(["NaN", "-1", "1e99", "[]", "{}", '"x"', "null", "true", "9" * 50])
            text = header.decode().split(" ")
            text[rng.randrange(len(text))] = odd + rng.choice([",", "}", "]", ""])
            data = framed(" ".join(text).encode(), b"".join(blobs))
        harmless(data)


def test_one_that_sends_slowly_is_not_waited_for():
    here, there = socket.socketpair()
    with here, there:
        there.sendall(struct.pack("<II", 100, 0) + b"{")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            frames.receive(here, time.monotonic() + 0.2)
        assert time.monotonic() - began < 3


def test_a_frame_too_long_is_not_sent():
    here, there = socket.socketpair()
    with here, there, pytest.raises(FrameError):
        frames.send(here, {"text": "x" * (frames.HEADER_LIMIT + 1)})


def test_a_text_can_always_be_written():
    assert frames.text("\ud800a\udfff", 10).encode()
    assert frames.text("abcdef", 3) == "abc"
    for none in (None, 5, ["a"], {"a": 1}):
        assert frames.text(none, 10) == ""


def test_a_foreign_value_goes_by_the_name_of_the_students_type():
    import torch

    tree, blobs = frames.pack(torch.zeros(2))
    value = frames.unpack(tree, blobs)
    assert isinstance(value, frames.Foreign)
    assert (type(value).__module__, type(value).__name__) == ("torch", "Tensor")
    assert type(frames.Foreign.named("")).__name__ == "object"
