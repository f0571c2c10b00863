"""Tables of what was measured elsewhere and committed: benchmarks/*.json."""

from __future__ import annotations

import json
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

GROUPS = {
    "checker": "to change the checks, or what they compare with",
    "kernel": "to hook into IPython, Python, or the loop that runs cells",
    "answer": "to get the answer from somewhere else",
    "grade": "to change marks, cells, outputs, or forge what is sent",
    "resources": "to take time, memory, processes, disk, or end themselves",
    "machine": "to reach the network, files, and other processes",
    "instructor": "to run something in the browser of whoever reads",
    "honest": "nothing: honest notebooks that look odd",
}
"""What the notebooks of a group try."""

VERDICTS = ("unearned points", "points lost", "no score", "hung", "held")
SIDES = {"stock": "stock nbgrader", "ours": "this grader"}

PLAIN = 'style="font-weight: 400"'


def seconds(path: Path = BENCHMARKS / "otter_grader.json") -> str:
    """What ``benchmarks/otter_grader.py`` has written, as a sentence in Markdown."""
    record = json.loads(path.read_text(encoding="utf-8"))
    took, machine = record["seconds"], record["machine"]
    ours = took["ours"]
    others = [
        f"{name} {took[each]:.2f} s ({took[each] / ours:.1f} times as long)"
        for each, name in (
            ("stock nbgrader", f"stock nbgrader ({machine['nbgrader']})"),
            ("otter in one process", f"Otter ({machine['otter-grader']}) in one process"),
            ("otter run", "Otter as a command"),
        )
    ]
    return (
        f"A submission that is right in everything, without its training: here {ours:.2f} s,"
        f" {', '.join(others)}. Medians of {record['rounds']} rounds in turn, on {record['date']},"
        f" on {machine['cores']} cores of a shared machine: look at the ratios."
    )


def at_size(path: Path = BENCHMARKS / "scale.json") -> str:
    """What ``benchmarks/scale.py`` has written, as sentences in Markdown."""
    record = json.loads(path.read_text(encoding="utf-8"))
    workers, written, export = (record[part] for part in ("workers", "writer", "export"))
    one, two = (workers["seconds a submission"][count] for count in ("1", "2"))
    grew = workers["memory grew after warm-up"]["grader"]
    stock = export["nbgrader's, s, 220 students"] / export["ours, s, 220 students"]
    students = export["students"]
    parts = (workers, written, export, record["again"])
    dates = sorted({part["machine"]["date"].split()[0] for part in parts})
    return (
        f"{workers['submissions']:,} submissions that train nothing, each worker with one core to"
        f" itself: {one:.2f} s each with `--jobs 1`, {two:.2f} s with `--jobs 2`, which is"
        f" {workers['efficiency of two workers']:.0%} of twice the speed; from the first"
        f" {workers['submissions'] // 5:,} to the last, the grader's memory grew by {grew:.1%}."
        f" {written['results']:,} results went into one SQLite gradebook while another process"
        " read it all the time, without a lock error, which would have ended the measurement;"
        f" afterwards {written['rows wrong']} of {written['rows checked']:,} rows were wrong."
        f" A submission graded {record['again']['rounds']} times had"
        f" {_count(record['again']['different scores'])}. The export of {students:,} students took"
        f" {export[f'ours, s, {students} students']:.1f} s; of 220 students, nbgrader's"
        f" own took {stock:.0f} times as long. `benchmarks/scale.py`, {' and '.join(dates)}."
    )


def _count(scores: dict[str, int]) -> str:
    """How many scores the same submission had, whatever the secret seed."""
    return "one score" if set(scores.values()) == {1} else f"several scores ({scores})"


def attacks(path: Path = BENCHMARKS / "attack_table.json") -> dict[str, Any]:
    """What ``benchmarks/attack_table.py`` has written."""
    return json.loads(path.read_text(encoding="utf-8"))


def counts(record: dict[str, Any], side: str, group: str | None = None) -> Counter[str]:
    """How many notebooks of a group, or of all attacks, came to what; "harm" counts beside."""
    found: Counter[str] = Counter()
    for row in record["attacks"]:
        if row["group"] == group or (group is None and row["group"] != "honest"):
            verdict = row[side]["verdict"]
            found["held" if verdict == "harm" else verdict] += 1
            found["harm"] += bool(row[side]["harm"])
            found["all"] += 1
    return found


def summary(record: dict[str, Any]) -> str:
    """Two sentences, as Markdown."""
    stock, ours = (counts(record, side) for side in SIDES)
    honest = counts(record, "stock", "honest"), counts(record, "ours", "honest")
    machine = record["machine"]
    said = [
        f"Of {stock['all']} attacks, {stock['unearned points']} scored more with stock nbgrader"
        f" {machine['nbgrader']} than they had honestly earned, {stock['points lost']} cost points"
        f" that had been earned, {stock['no score']} left no score, {stock['hung']} still ran after"
        f" {record['limits']['seconds']:.0f} seconds, and {stock['harm']} reached or showed"
        f" something that they should not. With this grader these numbers are"
        f" {ours['unearned points']}, {ours['points lost']}, {ours['no score']}, {ours['hung']} and"
        f" {ours['harm']}."
    ]
    if honest[0]["all"]:
        kept = [each["held"] for each in honest]
        said.append(
            f"Of {honest[0]['all']} honest notebooks that look odd, stock nbgrader gave {kept[0]}"
            f" all that they had earned, this grader {kept[1]}."
        )
    rest = record["notebooks"] - len(record["attacks"])
    said.append(
        f"{rest} more notebooks have not been measured so far. "
        * bool(rest)
        + f"Measured on {record['date']}, on {machine['cores']} cores ({machine['processor']},"
        f" Python {machine['python']}) that had other work to do."
    )
    return " ".join(said)


def by_group(record: dict[str, Any]) -> str:
    """The table of groups, as HTML."""
    heads = "".join(f'<th scope="col">{each}</th>' for each in (*VERDICTS, "harm"))
    rows = []
    for group, tries in GROUPS.items():
        for side, name in SIDES.items():
            found = counts(record, side, group)
            if found["all"]:
                cells = "".join(f"<td>{found[each] or ''}</td>" for each in (*VERDICTS, "harm"))
                what = f"{found['all']} that try {tries}"
                first = (
                    f'<th scope="rowgroup" rowspan="2" {PLAIN}>{what}</th>'
                    if side == "stock"
                    else ""
                )
                rows.append(f'<tr>{first}<th scope="row" {PLAIN}>{name}</th>{cells}</tr>')
    return (
        '<div class="rnn-scroll"><table class="table"><caption>What attacks came to</caption>'
        f'<thead><tr><th scope="col">notebooks</th><th scope="col">graded by</th>{heads}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def every_attack(record: dict[str, Any]) -> str:
    """The table of all attacks, folded, as HTML."""
    rows = []
    for row in record["attacks"]:
        cells, seen = [], []
        for side in SIDES:
            found = row[side]
            score = "none" if found["score"] is None else f"{found['score']:g}"
            bad = found["score"] != row["earned"]
            said = f"<strong>{score}</strong>" if bad else score
            refused = found.get("refused", "").splitlines()[:1]
            why = [found["stopped"]] if found.get("stopped") else refused
            seen += [f"{SIDES[side]}: {each}" for each in (*why, *found["harm"])]
            cells.append(f"<td>{said}</td><td>{found['seconds']:.1f}</td>")
        rows.append(
            f'<tr><td>{escape(row["group"])}</td><th scope="row" {PLAIN}>{escape(row["name"])}'
            f"<br><small>{escape(row['tries'])}</small></th><td>{row['earned']:g}</td>"
            f"{''.join(cells)}<td><small>{escape('; '.join(seen))}</small></td></tr>"
        )
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in ("group", "attack", "earned", "stock", "s", "ours", "s", "seen")
    )
    return (
        f"<details><summary>All {len(rows)} notebooks, one by one</summary>"
        '<div class="rnn-scroll"><table class="table"><caption>Points with each grader, and'
        " seconds; bold where they are not what was earned</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )
