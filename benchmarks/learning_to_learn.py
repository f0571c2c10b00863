"""What the learned optimizers of chapter 7 reach, as ratios to the best tuned rival.

    python benchmarks/learning_to_learn.py [--seeds 3] [--only quadratics] [--anew] [--json FILE]

A seed draws everything: the training of phi, the functions that rivals are tuned on, and those that
all are compared on.  Ratios are of medians, (7.21).  For quadratics phi is trained here; of the
others, `python book/retrain.py digits paintings mixed --seed S` has made one for each seed.

Every part is written into the file as soon as it is measured.  The same command goes on where it
was: what is there for this phi, these rivals and these numbers of functions is not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "book"))

from figures import learning as lab
from figures import learning_record as records
from figures.learning_tasks import TEST_STYLES, TRAIN_STYLE

WANTED = {
    "quadratics, step 100": (0.45, "ratio"),
    "quadratics, worst step": (1.0, "ratio"),
    "20 sigmoid units, mean of 100": (0.5, "ratio"),
    "20 sigmoid units, step 100": (1.0, "ratio"),
    "40 sigmoid units, mean of 100": (0.5, "ratio"),
    "paintings, new styles, 64 × 64": (1.0, "Adam"),
    "paintings, new styles, 128 × 128": (1.05, "Adam"),
}
"""The goals: at most so much, as a ratio to the best rival or to Adam."""

Found = dict[str, Any]


def compared(medians: Mapping[str, float]) -> Found:
    """Return the ratio to the best rival and to Adam, and the learned optimizer's own median."""
    mine, rivals = medians["learned"], {k: v for k, v in medians.items() if k != "learned"}
    best = min(rivals, key=rivals.__getitem__)
    return {
        "ratio": round(mine / rivals[best], 4),
        "best": best,
        "Adam": round(mine / rivals["Adam"], 4),
        "learned": mine,
    }


def quadratics(seed: int) -> Found:
    """Train and compare; the processor time of the training, too."""
    training = lab.train_quadratics(seed)
    data = lab.quadratics(training.optimizer, seed)
    worst = int(np.argmax(data.ratio[1:])) + 1
    return {
        "ratios": {
            "step 100": compared(data.medians(100, 100)),
            "worst step": compared(data.medians(worst, worst)),
        },
        "worst": worst,
        "rates": data.rate,
        "seconds": round(training.seconds, 1),
    }


def of_network(
    architecture: str,
    phi: str,
    seed: int,
    steps: int = 100,
    rate: Mapping[str, float] | None = None,
) -> Found:
    """One architecture under one of the kept phi; rivals are tuned, or have a rate."""
    optimizer = lab.read_trained(phi, seed).optimizer
    data = lab.digits(optimizer, architecture, seed, steps, rate=rate)
    spans = {"mean of 100": (1, 100)}
    for t in range(100, steps + 1, 100):
        spans |= {f"step {t}": (t, t), f"mean of steps {t - 9} to {t}": (t - 9, t)}
    return {
        "ratios": {name: compared(data.medians(*span)) for name, span in spans.items()},
        "rates": data.rate,
    }


def sigmoid(seed: int) -> Found:
    """The architecture of the training, for 200 steps; and against Adam with a falling rate."""
    found = of_network("20 sigmoid units", "digits", seed, 200)
    return found | {"slowing": slowing(found["ratios"]["step 100"], lab.slowing_digits(seed))}


def mixed(architecture: str, seed: int) -> Found:
    """The phi of mixed training, against the same rivals on the same functions as before it."""
    return of_network(architecture, "mixed", seed, rate=records.rates(architecture, seed))


def slowing(last: Found, falling: np.ndarray) -> dict[str, float]:
    """Return the ratio to Adam at step 100 with a steady rate, and with one that falls to 0."""
    ratio = last["learned"] / float(np.median(falling[100]))
    return {"steady": last["Adam"], "falling": round(ratio, 4)}


def paintings(seed: int) -> Found:
    """Training style, new styles, and twice the width; then style by style."""
    optimizer = lab.read_trained("paintings", seed).optimizer
    rates = {name: lab.tune_painting(name, seed) for name in lab.RIVALS}
    home = lab.paintings(64, (TRAIN_STYLE,), optimizer, seed, rate=rates)
    new = lab.paintings(64, TEST_STYLES, optimizer, seed, rate=rates)
    large = lab.paintings(128, TEST_STYLES, optimizer, seed, each=1, rate=rates)
    ratios = {
        name: compared(lab.together(list(runs.values())).medians(100, 100))
        for name, runs in (
            ("training style, 64 × 64", home),
            ("new styles, 64 × 64", new),
            ("new styles, 128 × 128", large),
        )
    }
    return {
        "ratios": ratios,
        "rates": rates,
        "styles": {name: of_style(name, runs, seed) for name, runs in (home | new).items()},
        "slowing": slowing(ratios["new styles, 64 × 64"], lab.slowing_paintings(seed)),
    }


def of_style(style: str, runs: lab.Curves, seed: int) -> Found:
    """One style by itself, and the ratio to Adam with the rate that is best for this very style."""
    steep, best = lab.in_hindsight(style, seed)
    found = compared(runs.medians(100, 100))
    best = min(best, float(np.median(runs.rivals["Adam"][100])))
    return found | {"steep": round(steep, 4), "hindsight": round(found["learned"] / best, 4)}


PARTS: Mapping[str, tuple[Callable[[int], Found], str | None]] = {
    "quadratics": (quadratics, None),
    "20 sigmoid units": (sigmoid, "digits"),
    "40 sigmoid units": (partial(of_network, "40 sigmoid units", "digits"), "digits"),
    "two layers of 20": (partial(of_network, "two layers of 20", "digits"), "digits"),
    "20 ReLU units": (partial(of_network, "20 ReLU units", "digits"), "digits"),
    "20 ReLU units, mixed training": (partial(mixed, "20 ReLU units"), "mixed"),
    "20 sigmoid units, mixed training": (partial(mixed, "20 sigmoid units"), "mixed"),
    "paintings": (paintings, "paintings"),
}
"""What measures a part, and the kept phi that it measures."""


def read(path: Path) -> Found:
    """Return what is in the file, every part named."""
    before = records.recorded(path)["parts"] if path.exists() else {}
    wanted = {name: {"at most": most, "of": of} for name, (most, of) in WANTED.items()}
    return {"wanted": wanted, "parts": {name: before.get(name, {}) for name in PARTS}}


def main() -> int:
    """Measure what is not in the file yet, and print each ratio with what is wanted of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--anew", action="store_true", help="measure again what is in the file")
    parser.add_argument("--json", type=Path, default=records.RECORD)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(given.seeds):
        for name in given.only:
            measure, phi = PARTS[name]
            of = {
                "made": lab.read_trained(phi, seed).made if phi else None,
                "rivals": list(lab.RIVALS),
            }
            there = read(given.json)["parts"][name].get(str(seed), {})
            if given.anew or any(there.get(key) != value for key, value in of.items()):
                where, began = machine(), time.process_time()
                there = measure(seed) | of | {"machine": where}
                there["took"] = round(time.process_time() - began)
                record = read(given.json)  # another process may have written meanwhile
                record["parts"][name][str(seed)] = there
                given.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            for key, each in there["ratios"].items():
                print(f"seed {seed}  {name + ', ' + key:50s} {each}", flush=True)
    print()
    for row in records.table_recorded(read(given.json)).rows:
        print(*row, sep="\t")
    return 0


if __name__ == "__main__":
    sys.exit(main())
