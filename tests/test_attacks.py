"""Every attack earns what it has honestly earned, harms nothing, and ends in time."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest
from attacking import Bait, dangers, grade, handed_in, page, strangers
from attacks import FULL, Attack, answer, checker, instructor, kernel, machine, oddities, resources
from attacks import grade as grade_attacks

from autograder import execute
from autograder.sandbox import client

GROUPS = {
    "checker": checker.ATTACKS,
    "kernel": kernel.ATTACKS,
    "answer": answer.ATTACKS,
    "grade": grade_attacks.ATTACKS,
    "resources": resources.ATTACKS,
    "machine": machine.ATTACKS,
    "instructor": instructor.ATTACKS,
}
ATTACKS = [
    pytest.param(attack, id=f"{group}: {attack.name}")
    for group, attacks in GROUPS.items()
    for attack in attacks
]


@pytest.fixture(scope="module", autouse=True)
def _machine():
    """Keeps every orphan below this process, shortens the last resort, ends the warm processes."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    before, client.GRACE = client.GRACE, 1.5
    yield
    client.GRACE = before
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@pytest.fixture
def bait(tmp_path):
    found = Bait(tmp_path / "canary.txt")
    yield found
    found.close()


@pytest.fixture(scope="module")
def warm():
    """Starts both warm processes, so that no attack's time counts for it."""
    return [execute._zygote(torch, True) for torch in (False, True)]


def check(attack: Attack, bait: Bait) -> None:
    outcome = grade(handed_in(attack, bait), attack.needs_repair, attack.cell_seconds)
    assert outcome.score == attack.earns, outcome.by_check
    assert outcome.seconds < attack.seconds
    assert bait.harm() == []
    assert strangers() == set()
    assert not re.findall(r"^(?:GOT|READ|IMPORTED).*", outcome.said, re.MULTILINE)
    assert dangers(page(outcome.notebook)) == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_earns_what_it_has_earned_and_harms_nothing(attack, bait, warm):
    check(attack, bait)


@pytest.mark.parametrize("attack", [pytest.param(each, id=each.name) for each in oddities.ODDITIES])
def test_an_honest_oddity_has_full_marks(attack, bait, warm):
    check(attack, bait)


def test_there_are_enough_of_them_and_no_name_stands_twice():
    names = [attack.id for attack in ATTACKS]
    assert len(names) == len(set(names)) >= 60
    assert len(oddities.ODDITIES) >= 15
    assert all(attack.values[0].tries for attack in ATTACKS)


def test_the_warm_processes_are_the_same_as_before(warm):
    """No attack has cost the grader a warm process: it would take seconds to start another."""
    assert [execute._zygote(torch, True) for torch in (False, True)] == warm
    assert all(zygote.process.poll() is None for zygote in warm)
    assert [p for p in Path("/tmp").iterdir() if p.name.startswith("mark")] == []
    assert FULL == 30
