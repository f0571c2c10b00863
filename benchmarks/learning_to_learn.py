"""What the learned optimizers of chapter 7 reach, as ratios to the best tuned rival.

    python benchmarks/learning_to_learn.py [--seeds 3] [--only quadratics] [--json FILE]

Ratios are of medians over held-out functions, (7.19); rivals are tuned on other functions, anew for
every seed and every family.  A seed draws the functions; for quadratics it also draws the training,
which is made here, from nothing.  Digits and paintings use the phi in book/trained/.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import torch
from machine import machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "book"))

from figures import learning as lab

WANTED = {
    "quadratics, step 100": 0.45,
    "quadratics, worst step": 1.0,
    "20 sigmoid units, mean of 100": 0.5,
    "20 sigmoid units, step 100": 1.0,
    "40 sigmoid units, mean of 100": 0.5,
    "paintings, new styles, 64": 1.0,
    "paintings, new styles, 128": 1.05,
}


TOOK = "quadratics, training seconds"


def quadratics(seed: int) -> dict[str, float]:
    """Train and compare; ratios, and the processor time of the training."""
    training = lab.train_quadratics(seed)
    ratio = lab.quadratics(training.optimizer, seed).ratio
    return {
        "quadratics, step 100": float(ratio[100]),
        "quadratics, worst step": float(ratio[1:].max()),
        TOOK: training.seconds,
    }


def digits(seed: int) -> dict[str, float]:
    """Every architecture under the kept phi, and ReLU under the one trained on a mixture."""
    found: dict[str, float] = {}
    cases = [(name, "digits") for name in lab.ARCHITECTURES]
    cases += [("20 ReLU units", "mixed"), ("20 sigmoid units", "mixed")]
    for name, phi in cases:
        longer = 200 if (name, phi) == ("20 sigmoid units", "digits") else 100
        data = lab.digits(lab.read_trained(phi).optimizer, name, seed, longer, tuning=16, held=64)
        label = name if phi == "digits" else f"{name}, mixed training"
        found[f"{label}, mean of 100"] = data.of_mean(100)
        found[f"{label}, step 100"] = float(data.ratio[100])
        if longer == 200:
            found[f"{label}, step 200"] = float(data.ratio[200])
    return found


def paintings(seed: int) -> dict[str, float]:
    """Adam is the rival; its rate is tuned on training pictures at 64 x 64."""
    rate = lab.tune_adam(seed)
    runs = {
        "paintings, training style, 64": lab.paintings(64, held_out=False, seed=seed, rate=rate),
        "paintings, new styles, 64": lab.paintings(64, seed=seed, rate=rate, functions=8),
        "paintings, new styles, 128": lab.paintings(128, seed=seed, rate=rate, functions=4),
    }
    return {name: float(data.ratio[100]) for name, data in runs.items()}


def write(path: Path, found: dict[str, list[float]], where: dict[str, object]) -> None:
    """Write what has been found so far, with the kept phi that it was found with."""
    took = found.get(TOOK, [])
    ratios = {key: values for key, values in found.items() if key != TOOK}
    made = {name: lab.read_trained(name).made for name in ("digits", "mixed", "paintings")}
    record = {"ratios": ratios, "wanted": WANTED, TOOK: took, "made": made, "machine": where}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Measure, print each ratio with what is wanted of it, and write JSON after every seed."""
    parts = {"quadratics": quadratics, "digits": digits, "paintings": paintings}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    where = machine()
    found: dict[str, list[float]] = {}
    for seed in range(given.seeds):
        for name in given.only:
            for key, value in parts[name](seed).items():
                found.setdefault(key, []).append(round(value, 4))
                print(f"seed {seed}  {key:45s} {value:.3f}", flush=True)
        if given.json:
            write(given.json, found, where)
    print()
    for key, values in found.items():
        middle = statistics.median(values)
        wanted = f"   wanted: at most {WANTED[key]}" if key in WANTED else ""
        print(f"{key:45s} {middle:8.3f}  ({min(values):.3f} to {max(values):.3f}){wanted}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
