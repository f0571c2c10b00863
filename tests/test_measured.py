"""The tables of what was measured: counted from what the benchmark wrote, escaped, complete."""

from __future__ import annotations

import json
import re

import measured
import pytest
from attacks import oddities
from test_attacks import GROUPS as ATTACKED


def row(group="kernel", name="<b>", **sides):
    side = {"score": 0.0, "seconds": 1.5, "verdict": "held", "harm": [], "stopped": ""}
    made = {each: {**side, **sides.get(each, {})} for each in measured.SIDES}
    return {"group": group, "name": name, "tries": "a & b", "earned": 0.0, **made}


RECORD = {
    "date": "2026-11-21",
    "notebooks": 6,
    "limits": {"seconds": 100.0},
    "machine": {"processor": "x", "cores": 2, "python": "3.11", "nbgrader": "0.9.6"},
    "attacks": [
        row(stock={"verdict": "unearned points", "score": 9.0, "harm": ["<i>read</i>"]}),
        row(stock={"verdict": "harm", "harm": ["left"]}),
        row(stock={"verdict": "hung", "score": None, "stopped": "hung: still ran"}),
        row("honest", "plots", stock={"verdict": "points lost"}),
        row("honest", "magics"),
    ],
}


def test_what_is_said_of_size_is_what_was_measured(tmp_path):
    about = {"machine": {"date": "2026-11-21 12:00 UTC", "cores": 2}}
    record = {
        "workers": {
            "submissions": 1000,
            "seconds a submission": {"1": 0.5, "2": 0.26},
            "efficiency of two workers": 0.96,
            "memory grew after warm-up": {"grader": 0.004},
            **about,
        },
        "writer": {
            "results": 100_000,
            "rows wrong": 2,
            "rows checked": 9,
            **about,
        },
        "again": {"rounds": 7, "different scores": {"one seed": 1, "other seeds": 2}, **about},
        "export": {
            "students": 500,
            "ours, s, 500 students": 0.52,
            "ours, s, 220 students": 0.02,
            "nbgrader's, s, 220 students": 0.8,
            "machine": {"date": "2026-11-20 12:00 UTC"},
        },
    }
    path = tmp_path / "scale.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    said = measured.at_size(path)
    assert "each worker with one core to itself: 0.50 s each with `--jobs 1`" in said
    assert "0.26 s with `--jobs 2`, which is 96% of twice the speed" in said
    assert "from the first 200 to the last, the grader's memory grew by 0.4%" in said
    assert "100,000 results" in said
    assert "2 of 9 rows were wrong" in said
    assert "graded 7 times had several scores" in said
    assert "500 students took 0.5 s; of 220 students, nbgrader's own took 40 times" in said
    assert said.endswith("2026-11-20 and 2026-11-21.")
    record["again"]["different scores"]["other seeds"] = 1
    path.write_text(json.dumps(record), encoding="utf-8")
    assert "graded 7 times had one score." in measured.at_size(path)


def test_what_is_counted():
    stock = measured.counts(RECORD, "stock")
    assert (stock["all"], stock["harm"], stock["held"]) == (3, 2, 1)
    assert (stock["unearned points"], stock["hung"], stock["no score"]) == (1, 1, 0)
    assert measured.counts(RECORD, "ours") == {"all": 3, "held": 3, "harm": 0}
    said = measured.summary(RECORD)
    assert "Of 3 attacks, 1 scored more with stock nbgrader 0.9.6" in said
    assert "1 still ran after 100 seconds, and 2 reached or showed" in said
    assert "these numbers are 0, 0, 0, 0 and 0." in said
    assert "Of 2 honest notebooks that look odd, stock nbgrader gave 1 all" in said
    assert "1 more notebooks have not been measured" in said


def test_the_tables_hold_every_row_and_escape():
    groups, every = measured.by_group(RECORD), measured.every_attack(RECORD)
    assert groups.count("<tr>") == 1 + 2 * 2
    assert every.count("<tr>") == 1 + len(RECORD["attacks"])
    assert "<b>" not in every
    assert "<i>" not in every
    assert "a &amp; b" in every
    assert "<strong>9</strong>" in every
    assert "<strong>none</strong>" in every
    for text in (groups, every):
        assert text.count("<table") == text.count("<caption>") == 1
        assert not re.search(r"<th(?! scope)", text.replace("<thead>", ""))


def test_the_seconds_are_those_of_the_record():
    record = json.loads((measured.BENCHMARKS / "otter_grader.json").read_text())
    said = measured.seconds()
    for name in ("ours", "stock nbgrader", "otter run", "otter in one process"):
        assert f"{record['seconds'][name]:.2f} s" in said
    assert record["rounds"] >= 5


@pytest.fixture(scope="module")
def committed():
    return measured.attacks()


def test_the_committed_record_is_of_these_attacks(committed):
    known = {(group, each.name): each for group, all_ in ATTACKED.items() for each in all_}
    known |= {("honest", each.name): each for each in oddities.ODDITIES}
    names = [(each["group"], each["name"]) for each in committed["attacks"]]
    assert len(names) == len(set(names))
    assert set(names) <= set(known)
    for each in committed["attacks"]:  # its points are those of the notebook of its date
        assert each["earned"] == each["ours"]["most"] or each["group"] != "honest"
        assert set(measured.SIDES) <= set(each)


def test_with_this_grader_all_of_them_were_held(committed):
    bad = [each["name"] for each in committed["attacks"] if each["ours"]["verdict"] != "held"]
    assert bad == []
