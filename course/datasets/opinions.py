"""Is the writer pleased: sentences in which negation and contrast turn the words around.

"The food was not good, but cheap." counts for what it says last, "although the food was good, the
room was dirty" for its main clause.  Which words are there does not decide; their order does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from course.datasets.parts import Parts, part_of

SUBJECTS = ("food", "room", "service", "film", "story", "music", "book", "trip", "staff", "view")
GOOD = (
    "good", "great", "lovely", "cheap", "friendly", "clean", "clever", "charming", "fresh",
    "funny", "brilliant", "pleasant", "helpful", "delicious", "exciting",
)  # fmt: skip
BAD = (
    "bad", "awful", "dull", "dirty", "rude", "noisy", "stale", "silly", "boring", "slow",
    "terrible", "unpleasant", "expensive", "cold", "disappointing",
)  # fmt: skip
NEGATIONS = ("not", "never", "hardly", "anything but")
DEGREES = ("", "", "very", "really", "quite")

UNSEEN = 0.2
"""Share of the pairs (negation, adjective) that no sentence of training or validation has."""


class Sentences(NamedTuple):
    """Sentences in words, and whether they praise.

    words : N tuples of strings, lower case, the comma a word of its own
    y : (N,), int64, 1 for praise, 0 for blame
    """

    words: tuple[tuple[str, ...], ...]
    y: np.ndarray


def sentiment(sizes: tuple[int, int, int] = (4000, 500, 1000), seed: int = 0) -> Parts[Sentences]:
    """Return sentences with negation and contrast, half of each part praise.

    Training and validation share no sentence.  Every sentence of the test has a negation before an
    adjective that it stood before in neither, though both words were seen: "hardly" and "dull",
    never "hardly dull".  Source: a grammar of our own.
    """
    return Parts(
        *(_part(np.random.default_rng((seed, k)), size, k) for k, size in enumerate(sizes))
    )


def _part(rng: np.random.Generator, size: int, part: int) -> Sentences:
    found: tuple[dict[str, None], ...] = ({}, {})
    while min(map(len, found)) < size // 2:
        label = int(len(found[0]) > len(found[1]))
        text = _sentence(rng, label)
        if _wanted(text, part):
            found[label][text] = None
    texts = [(text, y) for y in (0, 1) for text in list(found[y])[: size // 2]]
    order = rng.permutation(len(texts))
    return Sentences(
        tuple(tuple(texts[i][0].split()) for i in order), np.array([texts[i][1] for i in order])
    )


def _wanted(text: str, part: int) -> bool:
    """Say whether a sentence may stand in a part."""
    unseen = any(pair in text for pair in _UNSEEN_PAIRS)
    if unseen or part == 2:
        return unseen and part == 2
    return part_of(text, (0.85, 0.15)) == part


_UNSEEN_PAIRS = tuple(
    f" {negation} {adjective}"
    for negation in NEGATIONS
    for adjective in (*GOOD, *BAD)
    if part_of(f"{negation} {adjective}", (1 - UNSEEN, 0)) == 2
)


def _said(rng: np.random.Generator, praise: int) -> str:
    """Return a judgement without its subject: "very good", "not dull"."""
    if rng.random() < 0.5:
        return f"{rng.choice(NEGATIONS)} {rng.choice(BAD if praise else GOOD)}"
    return f"{rng.choice(DEGREES)} {rng.choice(GOOD if praise else BAD)}".strip()


def _sentence(rng: np.random.Generator, praise: int) -> str:
    """Return a sentence of one of seven forms; where there is a contrast, one clause opposes."""
    a, b = (str(each) for each in rng.choice(SUBJECTS, 2, replace=False))
    main, same, other = _said(rng, praise), _said(rng, praise), _said(rng, 1 - praise)
    forms = (
        f"the {a} was {main}",
        f"the {a} was {same} and the {b} was {main}",
        f"the {a} was {other} , but {main}",
        f"the {a} was {other} , but the {b} was {main}",
        f"although the {a} was {other} , the {b} was {main}",
        f"the {a} was {main} , although the {b} was {other}",
        f"i was told that the {a} was {other} , and it was {main}",
    )
    return forms[rng.integers(len(forms))]
