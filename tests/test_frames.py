"""The protocol between grader and jail takes nothing but frames."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import threading
import time
from collections import deque

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


def nested(depth: int, kind=list):
    value = None
    for _ in range(depth):
        value = kind([value])
    return value


def through(value):
    """What comes of a value on the other side."""
    tree, blobs = frames.pack(value)
    return frames.unpack(json.loads(json.dumps(tree)), blobs)


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (None, None),
        (True, True),
        (3, 3),
        ((1 << 60) - 1, (1 << 60) - 1),
        (1 << 60, float("inf")),
        (-(1 << 60), float("inf")),
        (-2.5, -2.5),
        ("a" * 1001, "a" * 1000),
        ([1, (2, [3.5])], [1, (2, [3.5])]),
        ({"a": 1, 2: "b"}, {"a": 1, "2": "b"}),
        ({"k" * 101: 1}, {"k" * 100: 1}),
        ({n: n for n in range(65)}, {str(n): n for n in range(64)}),
        (nested(8), nested(8)),
        (nested(8, tuple), nested(8, tuple)),
    ],
)
def test_what_goes_through_stays_what_it_is(value, back):
    got = through(value)
    assert got == back
    assert type(got) is type(back)


@pytest.mark.parametrize("value", [np.int64(3), np.float64(2.5), np.float32(1), np.bool_(True)])
def test_numpy_s_numbers_arrive_as_arrays_of_their_dtype(value):
    got = through(value)
    assert (got.dtype, got.shape, got[()]) == (np.asarray(value).dtype, (), value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.arange(3, dtype=">f4"),
        np.arange(3, dtype=">f8"),
        np.zeros((2, 0, 3)),
        np.array([1 + 2j]),
        np.array([True, False]),
        np.arange(4, dtype=np.float16),
    ],
)
def test_arrays_arrive_as_they_were(array):
    got = through([array, array + array])
    for back, sent_one in zip(got, (array, array + array), strict=True):
        assert back.dtype == sent_one.dtype
        assert np.array_equal(back, sent_one)


def under(value: list) -> dict:
    return {"a": value[0]}


@pytest.mark.parametrize("kind", [list, tuple, under])
def test_what_is_too_deep_is_left_behind(kind):
    deep = through(nested(8, kind))
    for _ in range(8):
        (deep,) = deep.values() if kind is under else deep
    assert deep is None
    deep = through(nested(9, kind))
    for _ in range(9):
        (deep,) = deep.values() if kind is under else deep
    assert isinstance(deep, frames.Foreign)
    assert type(deep).__name__ == "structure too deep or too large"


@pytest.mark.parametrize("wrap", ["list", "tuple", "dict"])
def test_what_arrives_may_be_as_deep_and_no_deeper(wrap):
    def deep(depth):
        tree: dict = {"plain": 1}
        for _ in range(depth):
            tree = {wrap: [["a", tree]] if wrap == "dict" else [tree]}
        return tree

    frames.unpack(deep(9), [])
    with pytest.raises(FrameError, match=r"^a value of no known form$"):
        frames.unpack(deep(10), [])


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"plain": [1]}, "a plain value that is none"),
        ({"other": 1}, "a value of no known form"),
        (5, "a value of no known form"),
        (array(dtype="O"), "an array of no allowed form"),
        (array(shape=[2]), "an array of another length than it says"),
        (array(array=1), "a value of no known form (IndexError)"),
        ({"array": 0}, "a value of no known form (KeyError)"),
        ({"list": 5}, "a value of no known form (TypeError)"),
        ({"float": "x"}, "a value of no known form (ValueError)"),
    ],
)
def test_what_is_wrong_with_a_value_is_said(tree, words):
    with pytest.raises(FrameError) as caught:
        frames.unpack(tree, [b"12345678"])
    assert str(caught.value) == words


def test_what_is_too_much_is_left_behind():
    many = through([1] * (frames.NODES_LIMIT + 5))
    assert many[: frames.NODES_LIMIT - 1] == [1] * (frames.NODES_LIMIT - 1)
    assert all(isinstance(each, frames.Foreign) for each in many[frames.NODES_LIMIT - 1 :])


def test_an_array_that_is_too_large_is_left_behind(monkeypatch):
    monkeypatch.setattr(frames, "BYTES_LIMIT", 80)
    assert through(np.zeros(10)).shape == (10,)
    left = through(np.zeros(11))
    assert isinstance(left, frames.Foreign)
    assert type(left).__name__ == "ndarray of dtype float64"


def test_names_of_what_is_left_behind_are_short():
    kind = type("K" * 300, (), {"__module__": "m"})
    left = type(through(kind()))
    assert (left.__module__, left.__name__) == ("m", "K" * 98)
    assert type(frames.unpack({"foreign": "x" * 300}, [])).__name__ == "x" * 200
    assert type(frames.unpack({"foreign": 5}, [])).__name__ == "object"


def test_unpacking_has_limits_of_its_own():
    wide = [{"plain": 1}] * (2 * frames.NODES_LIMIT - 1)
    assert len(frames.unpack({"list": wide}, [])) == len(wide)
    with pytest.raises(FrameError):
        frames.unpack({"list": [*wide, {"plain": 1}]}, [])
    with pytest.raises(FrameError, match="no known form"):
        frames.unpack({"float": "1" * 39 + "x"}, [])
    assert frames.unpack({"float": "1" * 50}, []) == float("1" * 40)
    assert frames.unpack({**array(), "shape": [1] * 16}, [b"12345678"]).ndim == 16
    with pytest.raises(FrameError, match="no allowed form"):
        frames.unpack({**array(), "shape": [1] * 17}, [b"12345678"])
    with pytest.raises(FrameError, match="another length"):
        frames.unpack(array(shape=[2]), [b"12345678"])
    empty = frames.unpack({**array(), "shape": [(1 << 40) - 1, 0]}, [b""])
    assert empty.shape == ((1 << 40) - 1, 0)
    with pytest.raises(FrameError, match="no allowed form"):
        frames.unpack({**array(), "shape": [1 << 40, 0]}, [b""])


def over(header, blobs=None):
    """A frame sent and received."""
    here, there = socket.socketpair()
    with here, there:
        frames.send(there, header, blobs)
        return frames.receive(here, time.monotonic() + 5)


def test_frames_arrive_whole_and_in_order():
    assert over({"do": "x", "n": 1}) == ({"do": "x", "n": 1}, [])
    assert over({}, [b"ab", b"", b"cde"]) == ({}, [b"ab", b"", b"cde"])
    here, there = socket.socketpair()
    with here, there:
        frames.send(there, {"n": 1}, [b"1"])
        frames.send(there, {"n": 2}, [b"22"])
        assert frames.receive(here) == ({"n": 1}, [b"1"])
        assert frames.receive(here) == ({"n": 2}, [b"22"])
        there.close()
        with pytest.raises(EOFError, match=r"^the other side is gone$"):
            frames.receive(here)


def test_the_limits_of_a_frame_are_allowed_and_no_more(monkeypatch):
    monkeypatch.setattr(frames, "BYTES_LIMIT", 10)
    assert over({}, [b"12345", b"67890"])[1] == [b"12345", b"67890"]
    with pytest.raises(FrameError, match=r"a frame of 17 \+ 11 bytes is too long"):
        over({}, [b"12345", b"678901"])
    header = {"text": "x" * 20}
    length = len(json.dumps({**header, "blobs": []}))
    monkeypatch.setattr(frames, "HEADER_LIMIT", length)
    assert over(header) == (header, [])
    monkeypatch.setattr(frames, "HEADER_LIMIT", length - 1)
    with pytest.raises(FrameError, match=rf"a frame of {length} \+ 0 bytes is too long"):
        over(header)
    for lengths in ((length, 0), (2, 11)):
        with pytest.raises(FrameError, match="is too long"):
            sent(struct.pack("<II", *lengths) + b"{}")


def test_a_frame_in_many_pieces_is_one():
    data = framed(b'{"a": 1, "blobs": [3]}', b"xyz")
    here, there = socket.socketpair()
    with here, there:

        def drops():
            for n in range(len(data)):
                there.sendall(data[n : n + 1])

        writer = threading.Thread(target=drops)
        writer.start()
        assert frames.receive(here, time.monotonic() + 10) == ({"a": 1}, [b"xyz"])
        writer.join()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (framed(b'{"blobs": [3]}', b"1234"), "lengths that do not add up"),
        (framed(b'{"blobs": [true, 3.0]}', b"1234"), "lengths that do not add up"),
        (framed(b"{}"), "a header of no known form (KeyError)"),
        (framed(b"5"), "a header of no known form (AttributeError)"),
        (framed(b"x"), "a header of no known form (JSONDecodeError)"),
    ],
)
def test_what_is_wrong_with_a_frame_is_said(data, words):
    with pytest.raises(FrameError) as caught:
        sent(data)
    assert str(caught.value) == words


def test_a_large_body_comes_in_many_reads():
    body = bytes(range(256)) * (3 << 12)
    assert sent(framed(json.dumps({"blobs": [len(body)]}).encode(), body)) == ({}, [body])


def test_a_frame_that_is_there_is_taken_at_the_last_moment():
    here, there = socket.socketpair()
    with here, there:
        frames.send(there, {"n": 1}, [b"x"])
        assert frames.receive(here, time.monotonic() + 0.9) == ({"n": 1}, [b"x"])


def test_who_is_late_is_not_waited_for():
    here, there = socket.socketpair()
    with here, there:
        there.sendall(framed(b'{"blobs": [4]}', b"", 4))
        with pytest.raises(TimeoutError):
            frames.receive(here, time.monotonic() + 0.1)
    here, there = socket.socketpair()
    with here, there:
        with pytest.raises(TimeoutError):
            frames.receive(here, time.monotonic() + 0.05)
        with pytest.raises(TimeoutError, match=r"^no answer in time$"):
            frames.receive(here, time.monotonic() - 1)
        frames.send(there, {"n": 1})
        assert frames.receive(here)[0] == {"n": 1}, "without a time, there is no limit"
        assert here.gettimeout() is None


def test_a_class_of_no_named_module_is_packed_all_the_same():
    tree, blobs = frames.pack(type("Odd", (), {"__module__": 5})())
    assert tree == {"foreign": "5.Odd"}
    assert blobs == []


class Wrapped:
    """An object that NumPy reads as an array."""

    def __array__(self, dtype=None, copy=None):
        return np.arange(3.0)


@pytest.mark.parametrize(
    "value",
    [
        deque([0.0, 1.0, 2.0]),
        memoryview(np.arange(3.0)),
        Wrapped(),
        np.arange(3, dtype=np.longdouble),
        np.arange(3, dtype=np.longdouble).astype(np.dtype(np.longdouble).newbyteorder()),
    ],
    ids=["deque", "memoryview", "__array__", "long doubles", "swapped long doubles"],
)
def test_what_numpy_reads_as_numbers_arrives_as_doubles(value):
    got = through(value)
    assert (got.dtype, got.tolist()) == (np.float64, [0, 1, 2])


def test_neither_an_iterator_nor_pytorch_s_values_arrive_as_arrays():
    import torch

    for value in (
        iter([1.0]),
        torch.zeros(2),
        torch.nn.Parameter(torch.zeros(2), requires_grad=False),
    ):
        got = through(value)
        assert isinstance(got, frames.Foreign)
        assert type(got).__name__ == type(value).__name__
