"""A long experiment runs once for the same code and arguments, and is never served stale."""

from __future__ import annotations

import pytest
from figures import kept as module
from figures.kept import kept

CALLS: list[tuple] = []


@kept
def experiment(size: int, name: str = "a") -> dict[str, object]:
    CALLS.append((size, name))
    return {"size": size, "name": name}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLDER", tmp_path / "kept")
    CALLS.clear()


def test_it_runs_once_for_the_same_arguments():
    first, again = experiment(2), experiment(2)
    assert first == again == {"size": 2, "name": "a"}
    assert first is not again, "whoever changes a result changes nobody else's"
    assert experiment(3)["size"] == 3
    assert experiment(2, name="b")["name"] == "b"
    assert CALLS == [(2, "a"), (3, "a"), (2, "b")]


def test_other_code_runs_it_again_and_leaves_nothing_of_the_old(monkeypatch):
    experiment(2)
    monkeypatch.setattr(module, "_made_by", lambda: "another")
    experiment(2)
    assert len(CALLS) == 2
    assert [path.name for path in module.FOLDER.iterdir()] == ["another"]


@pytest.mark.parametrize("place", ["book/figures/x.py", "course/data/x.csv", "requirements.txt"])
def test_a_source_that_changes_is_another_code(tmp_path, monkeypatch, place):
    monkeypatch.setattr(module, "ROOT", tmp_path)
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    seen = set()
    (tmp_path / "requirements.txt").touch()
    for text in ("1", "2"):
        path.write_text(text)
        seen.add(module._made_by.__wrapped__())
    assert len(seen) == 2


def test_what_two_objects_could_share_is_not_kept():
    """A network's repr is its address, or its layers: another one may have the same."""

    class Network:
        def __repr__(self) -> str:
            return "a network"

    for name in (Network(), (1, Network())):
        for _ in range(2):
            experiment(2, name=name)
    experiment((2, 3.0, None), name="a")
    assert len(CALLS) == 5
    assert len(list(module.FOLDER.rglob("*.pickle"))) == 1


def test_what_fails_is_not_kept():
    @kept
    def failing() -> None:
        CALLS.append(())
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            failing()
    assert len(CALLS) == 2
    assert not list(module.FOLDER.rglob("*.pickle"))
