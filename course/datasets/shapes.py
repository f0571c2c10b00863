"""Scenes of coloured shapes and what they show, said in a small formal language.

    caption  = group, [relation, group]
    group    = ("a" | "two" | "three"), colour, shape
    relation = "left of" | "right of" | "above" | "below"

Every caption is spoken by `caption` and understood by `parse`; `render` draws it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from course.datasets.parts import Parts

COUNTS = ("a", "two", "three")
COLOURS = {
    "red": (214, 40, 40),
    "green": (40, 160, 70),
    "blue": (40, 90, 214),
    "yellow": (230, 200, 40),
}
SHAPES = ("square", "circle", "triangle", "cross")
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

UNSEEN = (("red", "circle"), ("green", "cross"), ("blue", "triangle"), ("yellow", "square"))
"""Pairs of colour and shape that only the test shows; each colour and each shape is in training."""

SIDE, CELL = 28, 7  # pixels; a grid of 4 x 4 cells, one shape a cell


class Group(NamedTuple):
    """Shapes of one kind: how many (1 to 3), their colour, their shape."""

    count: int  # type: ignore[assignment]  # a tuple's count() is not used here
    colour: str
    shape: str


class Scene(NamedTuple):
    """One group, or two and how the first lies to the second."""

    first: Group
    relation: str | None = None
    second: Group | None = None


class Scenes(NamedTuple):
    """Pictures with captions.

    x : (N, 28, 28, 3), uint8, red green blue; captions : N strings; scenes : N scenes
    """

    x: np.ndarray
    captions: tuple[str, ...]
    scenes: tuple[Scene, ...]


def caption(scene: Scene) -> str:
    """Say a scene: "two red squares left of a blue circle"."""
    if scene.relation is None or scene.second is None:
        return _say(scene.first)
    return f"{_say(scene.first)} {scene.relation} {_say(scene.second)}"


def parse(text: str) -> Scene:
    """Understand a caption; the inverse of `caption`.

    Raises ValueError if the grammar has no such caption.
    """
    for relation in RELATIONS:
        first, found, second = text.partition(f" {relation} ")
        if found:
            return Scene(_group(first), relation, _group(second))
    return Scene(_group(text))


def equivalent(one: str, other: str) -> bool:
    """Say whether two captions say the same: "A left of B" and "B right of A" do.

    Raises ValueError if one of them is no caption.
    """
    a, b = parse(one), parse(other)
    if a.relation is not None and a.second is not None and a.relation != b.relation:
        a = Scene(a.second, OPPOSITE[a.relation], a.first)
    return a == b


def render(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Draw a scene: (28, 28, 3), uint8, on black; places and brightness are random.

    Every shape of the first group stands as the relation says to every one of the second, and no
    other relation holds between them: what the picture shows has one caption and its mirror image.
    """
    grid = np.zeros((SIDE, SIDE, 3))
    for group, cells in _places(scene, rng):
        for r, c in cells * CELL:
            colour = np.array(COLOURS[group.colour]) * rng.uniform(0.75, 1.0)
            grid[r : r + CELL, c : c + CELL] += _MASKS[group.shape][..., None] * colour
    return np.clip(grid + rng.normal(0, 6, grid.shape), 0, 255).astype(np.uint8)


def _places(scene: Scene, rng: np.random.Generator) -> list[tuple[Group, np.ndarray]]:
    """Return each group with the rows and columns of its cells, (count, 2)."""
    cells = np.array([(r, c) for r in range(4) for c in range(4)])
    if scene.relation is None or scene.second is None:
        return [(scene.first, rng.permutation(cells)[: scene.first.count])]
    axis = int(scene.relation in ("left of", "right of"))
    while True:
        border = rng.integers(1, 4)  # the first row or column on its far side
        near, far = cells[cells[:, axis] < border], cells[cells[:, axis] >= border]
        if scene.relation in ("right of", "below"):
            near, far = far, near
        one = rng.permutation(near)[: scene.first.count]
        two = rng.permutation(far)[: scene.second.count]
        across, along = one[:, 1 - axis], two[:, 1 - axis]
        if across.max() >= along.min() and along.max() >= across.min():
            return [(scene.first, one), (scene.second, two)]


def scenes(sizes: tuple[int, int, int] = (8000, 500, 500), seed: int = 0) -> Parts[Scenes]:
    """Return pictures with captions, three in four of them with two groups.

    Every test scene holds a pair of UNSEEN, and no other part does: to say "red circle", a model
    has to put "red" and "circle" together itself.  Validation is drawn as training is.
    Source: drawn by `render`.
    """
    return Parts(*(_part(np.random.default_rng((seed, k)), n, k) for k, n in enumerate(sizes)))


def _part(rng: np.random.Generator, size: int, part: int) -> Scenes:
    found: list[Scene] = []
    while len(found) < size:
        first, second = _draw(rng), _draw(rng)
        two = rng.random() < 0.75
        if two and first[1:] == second[1:]:
            continue  # "a red square left of two red squares" could be said in another way
        scene = Scene(first, str(rng.choice(RELATIONS)), second) if two else Scene(first)
        groups = (first, second) if two else (first,)
        if any((g.colour, g.shape) in UNSEEN for g in groups) == (part == 2):
            found.append(scene)
    x = np.stack([render(scene, rng) for scene in found])
    return Scenes(x, tuple(map(caption, found)), tuple(found))


def _draw(rng: np.random.Generator) -> Group:
    return Group(int(rng.integers(1, 4)), str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES)))


def _plural(shape: str) -> str:
    return shape + ("es" if shape.endswith("s") else "s")


def _say(group: Group) -> str:
    shape = group.shape if group.count == 1 else _plural(group.shape)
    return f"{COUNTS[group.count - 1]} {group.colour} {shape}"


def _group(text: str) -> Group:
    words = text.split()
    for shape in SHAPES:
        for count, said in enumerate(COUNTS, 1):
            if words[:1] == [said] and words[2:] == [shape if count == 1 else _plural(shape)]:
                if words[1] in COLOURS:
                    return Group(count, words[1], shape)
                break
    raise ValueError(f"parse: {text!r} is no group: want a count, a colour and a shape")


def _masks() -> dict[str, np.ndarray]:
    """Which pixels of a cell (7, 7) a shape covers; one pixel stays free all round."""
    r, c = np.mgrid[:CELL, :CELL] - CELL // 2
    inside = (np.abs(r) <= 2) & (np.abs(c) <= 2)
    return {
        "square": inside,
        "circle": inside & (r * r + c * c <= 5),
        "triangle": inside & (2 * np.abs(c) <= r + 2),
        "cross": inside & ((r == 0) | (c == 0)),
    }


_MASKS = _masks()
