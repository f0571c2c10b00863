"""Echo: say again what was shown some steps ago."""

from __future__ import annotations

import numpy as np


def tale() -> str:
    """Return a short tale, in lower-case letters, full stops, commas and spaces."""
    return " ".join(_TALE.split())


def letters(text: str) -> tuple[np.ndarray, str]:
    """Number the characters of a text.

    Returns codes : (len(text),), int64, and alphabet, a text: character k is ``alphabet[k]``.
    """
    alphabet = "".join(sorted(set(text)))
    return np.array([alphabet.index(each) for each in text]), alphabet


def next_letter(
    codes: np.ndarray, K: int, T: int, B: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a text into pieces of T + 1 characters; each character is to predict the one after it.

    codes : (n,), integers in 0 ... K-1; B : pieces in a batch; what is left over is dropped

    Returns x : (N, T, B, K), one-hot float64; y : (N, T, B), int64, the next character;
    mask : (N, T, B), ones. Raises ValueError if the text is too short for one batch.
    """
    pieces = (len(codes) - 1) // T // B * B
    if pieces < 1:
        raise ValueError(
            f"next_letter: {len(codes)} characters, want at least B T + 1 = {B * T + 1}"
        )
    shape = (-1, B, T)
    x = codes[: pieces * T].reshape(shape).swapaxes(1, 2)
    y = codes[1 : pieces * T + 1].reshape(shape).swapaxes(1, 2)
    return np.eye(K)[x], y, np.ones(y.shape)


_TALE = """
the boat was old. the boat was red. the old man had a red boat, and the boat had an old man.
every day the old man took the boat out to sea, and every night the sea brought the boat back.
one day the wind came. the wind was cold, and the wind said, old man, do not take the boat out to
sea. the old man said, the sea has brought me back every night, and the sea will bring me back
tonight. so the old man took the red boat out to sea, and the wind came with the boat.
the bird saw the boat. the bird was white, and the bird said, old man, the wind is cold, and the
night is long. take the boat back to the land. the old man said, the sea has brought me back every
night, and the sea will bring me back tonight. so the bird came with the boat, and the wind came
with the bird.
the moon saw the bird. the moon was round and white, and the moon said, old man, the wind is cold,
and the bird is tired, and the night is long. take the boat back to the land. the old man said, the
sea has brought me back every night, and the sea will bring me back tonight. so the moon came with
the boat, and the bird came with the moon, and the wind came with the bird.
then the wind was tired, and the wind sat down in the boat. the bird was tired, and the bird sat
down in the boat. the moon was tired, and the moon sat down in the boat. now the boat was full, and
the old man said, there is no room for me, and the night is long, and the sea is cold.
so the old man took the boat back to the land, and the wind and the bird and the moon came back
with the old man. the wind went to sleep in the tree. the bird went to sleep in the wind. the moon
went to sleep in the sea, and the sea was round and white and still.
every night the old man said to the sea, you brought me back. and every night the sea said, no, old
man, not the sea. it was the bird who was tired, and it was the moon who was round, and it was the
wind who was cold. the boat was full, and you came back to the land to make room for the night.
"""


def echo(
    rng: np.random.Generator, T: int, B: int, K: int, lag: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random symbols, to be repeated ``lag`` steps later.

    Returns x : (T, B, K), one-hot float64; y : (T, B), int64, the symbol shown ``lag`` steps
    before (0 where there is none); mask : (T, B), float64, 0 for the first ``lag`` steps.

    Raises ValueError unless 0 <= lag < T.
    """
    if not 0 <= lag < T:
        raise ValueError(f"echo: lag is {lag}, want 0 <= lag < T = {T}")
    symbols = rng.integers(0, K, (T, B))
    x = np.eye(K)[symbols]
    y = np.zeros((T, B), dtype=np.int64)
    y[lag:] = symbols[: T - lag]
    mask = np.ones((T, B))
    mask[:lag] = 0.0
    return x, y, mask
