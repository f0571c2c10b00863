"""Train the learned optimizers of chapter 7 anew: `python book/retrain.py digits paintings mixed`.

Minutes each, on one core, with a bar that says how many.  Digits come first: the others start from
what they have learned.  Interrupt it whenever you like: the same command goes on where it was, bit
by bit.  What comes out lies in book/trained/, with the command, the seed and the processor time
that made it; book, tests and benchmark read it from there.  The page shows seed 0; the others are
for the benchmark, which asks what another training would have given.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from figures.learning_tasks import DigitFamily, Family, PaintingFamily
from figures.learning_training import (
    LearnedOptimizer,
    Recipe,
    Training,
    read_trained,
    roll_out,
    write_trained,
)
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

BUILD = Path(__file__).resolve().parent.parent / "build" / "retrain"

MIXED = ("sigmoid", "relu", "tanh")
STRONGEST, PALEST = 30.0, 0.1
"""How much more than in (7.22) the style may count in training, and how pale it may become: one
style as it is would be too tame."""


class Phase(NamedTuple):
    """One phase of a training: it starts from the best phi of the phase before.

    families : drawn from in turn; recipe : how; held : validation functions of each family
    """

    families: Sequence[Family]
    recipe: Recipe
    held: int


def recipe(seed: int, updates: int, **more: int | float) -> Recipe:
    """Return a recipe on the logarithm of the loss."""
    return Recipe(**{"rate": 1e-3, "log": True, **more}, updates=updates, seed=seed)


def plan(name: str, seed: int) -> list[Phase]:
    """Return how an optimizer is trained; raises KeyError for a name that is not known."""
    if name == "digits":
        short = Recipe(functions=4, coordinates=256, updates=240, rate=3e-3, seed=seed)
        digits = [DigitFamily()]
        long = recipe(seed + 1, 80, unroll=100, functions=4, coordinates=384)
        return [Phase(digits, short, 16), Phase(digits, long, 16)]
    if name == "mixed":
        mixed = [DigitFamily(activations=(activation,)) for activation in MIXED]
        return [Phase(mixed, recipe(seed, 60, functions=4, coordinates=256), 12)]
    if name == "paintings":
        small = PaintingFamily(32, strongest=STRONGEST, palest=PALEST)
        return [Phase([small], recipe(seed, 200, rate=2e-3, functions=3, coordinates=512), 8)]
    raise KeyError(f"no training is called {name!r}: digits, mixed or paintings")


def start(name: str, seed: int) -> LearnedOptimizer:
    """Return where a training starts: from nothing, or from the seed's kept phi for digits.

    Pixels want shorter steps than weights do, so for paintings the readout is a tenth.
    """
    if name == "digits":
        return LearnedOptimizer()
    optimizer = read_trained("digits", seed).optimizer.requires_grad_(True)
    if name == "paintings":
        optimizer.scale /= 10
    return optimizer


def scorer(phase: Phase, steps: int = 100) -> Callable[[LearnedOptimizer], float]:
    """Return what judges phi: mean log-loss over the run and at its end, on held functions."""
    rng = np.random.default_rng(10_000)
    held = [family.sample(rng, phase.held) for family in phase.families]

    def score(optimizer: LearnedOptimizer) -> float:
        runs = [roll_out(optimizer, problem, steps).losses for problem in held]
        logs = [losses[1:].clamp(min=1e-12).log() for losses in runs]
        found = [float((log.mean(0) + log[-1]).median()) for log in logs]
        return float(np.mean(found)) if np.isfinite(found).all() else float("inf")

    return score


def train(
    name: str, progress: Progress, seed: int = 0, effort: float = 1.0, keep: bool = False
) -> None:
    """Train, from a checkpoint if there is one, and write phi; raises KeyError as `plan` does.

    effort : a share of the plan's updates; keep : write the best phi so far, and train no further
    """
    phases = plan(name, seed)
    torch.manual_seed(seed)
    optimizer = start(name, seed)
    command = f"python book/retrain.py {name} --seed {seed}"
    command += f" --effort {effort:g}" if effort != 1 else ""
    seconds, runs = 0.0, []
    for number, phase in enumerate(phases, 1):
        updates = max(1, round(effort * phase.recipe.updates))
        shared = replace(phase.recipe, updates=updates)
        training = Training(optimizer, phase.families, shared, scorer(phase))
        checkpoint = BUILD / f"{name}-{seed}-{effort:g}-{number}.pt"
        if checkpoint.exists():
            training.resume(checkpoint)
        elif keep:
            break
        if not keep:
            follow(training, progress, f"{name}, phase {number} of {len(phases)}", checkpoint)
        optimizer.load_state_dict(training.best_phi)
        seconds += training.seconds
        runs.append(training.done)
        made = {
            "command": command,
            "seed": seed,
            "starts_from": "nothing" if name == "digits" else "digits",
            "runs": runs,
            "planned": [part.recipe.updates for part in phases],
            "processor_seconds": round(seconds),
            "score": training.best,
            "torch": torch.__version__,
        }
        path = write_trained(name, optimizer, made)
        progress.console.print(f"written: {path}", highlight=False, soft_wrap=True)


def follow(training: Training, progress: Progress, title: str, checkpoint: Path) -> None:
    """Run a training to its end under a bar of its own."""
    bar = progress.add_task(title, total=training.recipe.updates, completed=training.done)
    training.run(
        checkpoint=checkpoint,
        told=lambda text: progress.console.print(f"{title}: {text}", highlight=False),
        ticked=lambda done: progress.update(bar, completed=done),
    )


def main() -> int:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=("digits", "mixed", "paintings"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--effort", type=float, default=1.0, help="a share of the plan's updates")
    parser.add_argument("--keep", action="store_true", help="write the best so far, do not train")
    given = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order, so that a resumed training is the same
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        for name in given.names:
            train(name, progress, given.seed, given.effort, given.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
