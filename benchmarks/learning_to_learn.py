"""What the learned optimizers of chapter 7 reach, as ratios to the best tuned rival.

    python benchmarks/learning_to_learn.py [--seeds 3] [--only quadratics] [--json FILE]

Ratios are of medians over held-out functions, (7.19); rivals are tuned on other functions, anew for
every seed and every family.  A seed draws the functions; for quadratics it also draws the training,
which is made here, from nothing.  The others use the phi in book/trained/, and a part that is
measured again replaces what is in the file of it.
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


def of_network(name: str, phi: str, seed: int, steps: int = 100) -> dict[str, float]:
    """One architecture under one of the kept phi; tuned on 12 networks, compared on 32 others."""
    optimizer = lab.read_trained(phi).optimizer
    data = lab.digits(optimizer, name, seed, steps, tuning=12, held=32)
    label = name if phi == "digits" else f"{name}, mixed training"
    found = {f"{label}, mean of 100": data.of_mean(100)}
    return found | {f"{label}, step {t}": float(data.ratio[t]) for t in range(100, steps + 1, 100)}


def digits(seed: int) -> dict[str, float]:
    """Every architecture under the phi of sigmoid networks, the trained one for 200 steps."""
    found: dict[str, float] = {}
    for name in lab.ARCHITECTURES:
        found |= of_network(name, "digits", seed, 200 if name == "20 sigmoid units" else 100)
    return found


def mixed(seed: int) -> dict[str, float]:
    """ReLU and sigmoid networks under the phi that was trained on a mixture."""
    relu = of_network("20 ReLU units", "mixed", seed)
    return relu | of_network("20 sigmoid units", "mixed", seed)


def paintings(seed: int) -> dict[str, float]:
    """Adam is the rival; its rate is tuned on training pictures at 64 x 64."""
    rate = lab.tune_adam(seed)
    runs = {
        "paintings, training style, 64": lab.paintings(64, held_out=False, seed=seed, rate=rate),
        "paintings, new styles, 64": lab.paintings(64, seed=seed, rate=rate, functions=8),
        "paintings, new styles, 128": lab.paintings(128, seed=seed, rate=rate, functions=4),
    }
    return {name: float(data.ratio[100]) for name, data in runs.items()}


def write(
    path: Path, found: dict[str, list[float]], parts: list[str], where: dict[str, object]
) -> None:
    """Write what has been found so far; what other parts have written before stays."""
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = [name for name in parts if name != "quadratics"]
    new = {
        "ratios": {key: values for key, values in found.items() if key != TOOK},
        "made": {name: lab.read_trained(name).made for name in kept},
        "machine": dict.fromkeys(parts, where),
        "rivals": {name: ["Adam"] if name == "paintings" else list(lab.RIVALS) for name in parts},
    }
    record = {key: {**record.get(key, {}), **each} for key, each in new.items()} | {
        "wanted": WANTED,
        TOOK: found.get(TOOK, record.get(TOOK, [])),
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Measure, print each ratio with what is wanted of it, and write JSON after every seed."""
    parts = {"quadratics": quadratics, "digits": digits, "mixed": mixed, "paintings": paintings}
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
            write(given.json, found, given.only, where)
    print()
    for key, values in found.items():
        middle = statistics.median(values)
        wanted = f"   wanted: at most {WANTED[key]}" if key in WANTED else ""
        print(f"{key:45s} {middle:8.3f}  ({min(values):.3f} to {max(values):.3f}){wanted}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
