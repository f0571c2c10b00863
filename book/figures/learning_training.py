"""Chapter 7: the learned optimizer, its training, and its rivals.

Training treats the gradients that the optimizer reads as constants, (7.17).  Each coordinate is
then a sequence of its own, and the unrolled optimizer needs two passes: one without a graph, which
records the gradients, and one that runs the LSTM over the record, for a sample of coordinates.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from figures.learning_tasks import Family, Problem

State = tuple[torch.Tensor, torch.Tensor]


class LearnedOptimizer(torch.nn.Module):
    """A coordinatewise LSTM: reads a gradient, returns a step. Source: eqs (7.11)-(7.13).

    p : the constant of the preprocessing (7.12), or None for the bare gradient;
    scale : what the readout is multiplied by.
    """

    def __init__(
        self, p: float | None = 10.0, scale: float = 0.1, hidden: int = 20, layers: int = 2
    ):
        super().__init__()
        self.p, self.scale = p, scale
        self.lstm = torch.nn.LSTM(1 if p is None else 2, hidden, layers)
        self.readout = torch.nn.Linear(hidden, 1)

    def features(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return what the LSTM reads, (..., 1) or (..., 2). Source: eq (7.12)."""
        if self.p is None:
            return gradient[..., None]
        size = gradient.abs().clamp(min=float(np.exp(-self.p)))
        large = size > np.exp(-self.p)
        first = torch.where(large, size.log() / self.p, -torch.ones_like(gradient))
        second = torch.where(large, gradient.sign(), float(np.exp(self.p)) * gradient)
        return torch.stack([first, second], dim=-1)

    def start(self, coordinates: int) -> State:
        """Return the zero state of so many coordinates."""
        weight = self.readout.weight
        shape = self.lstm.num_layers, coordinates, self.lstm.hidden_size
        return weight.new_zeros(shape), weight.new_zeros(shape)

    def forward(self, gradients: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Return the steps (T, N) for gradients (T, N) of N coordinates, and the state after."""
        hidden, state = self.lstm(self.features(gradients), state)
        return self.scale * self.readout(hidden)[..., 0], state


class Run(NamedTuple):
    """What a run of an optimizer left behind.

    losses : (T+1, F); gradients : (T+1, F, n); theta : (F, n); state : the optimizer's
    """

    losses: torch.Tensor
    gradients: torch.Tensor | None
    theta: torch.Tensor
    state: State | None


@torch.no_grad()
def roll_out(
    optimizer: LearnedOptimizer,
    problem: Problem,
    steps: int,
    theta: torch.Tensor | None = None,
    state: State | None = None,
    first: int = 0,
    record: bool = False,
) -> Run:
    """Run the learned optimizer from theta and state, with mini-batches first ... first + steps."""
    theta = problem.theta0 if theta is None else theta
    state = optimizer.start(theta.numel()) if state is None else state
    losses, gradients = [], []
    for step in range(first, first + steps + 1):
        value, gradient = problem.value_and_gradient(theta, step)
        losses.append(value)
        if record:
            gradients.append(gradient)
        if step < first + steps:
            change, state = optimizer(gradient.reshape(1, -1), state)
            theta = theta + change.view_as(theta)
    kept = torch.stack(gradients) if record else None
    return Run(torch.stack(losses), kept, theta, state)


# ------------------------------------------------------------------------------------- training


@dataclass(frozen=True)
class Recipe:
    """How an optimizer is trained.

    steps : of the optimizee in one run; unroll : in one chunk, (7.19); functions : in a batch;
    coordinates : that each function lends to the second pass, at most; updates : runs in all;
    rate : of Adam on phi, brought down to a tenth by a cosine; log : whether the meta-loss is that
    of log f, (7.20); last : how many times the last step counts; clip : the largest norm of a
    meta-gradient; every : runs between two validations.
    """

    steps: int = 100
    unroll: int = 20
    functions: int = 8
    coordinates: int = 512
    updates: int = 200
    rate: float = 1e-3
    log: bool = False
    last: float = 1.0
    clip: float = 1.0
    every: int = 20
    seed: int = 0


class Training:
    """A training that can be interrupted anywhere and resumed bit by bit.

    `families` are drawn from in turn.  `score(optimizer)` says how good phi is on validation
    functions, lower is better; the best phi is kept, since runs drift back.
    """

    def __init__(
        self,
        optimizer: LearnedOptimizer,
        families: Sequence[Family],
        recipe: Recipe,
        score: Callable[[LearnedOptimizer], float],
    ):
        self.optimizer, self.families, self.recipe, self.score = optimizer, families, recipe, score
        self.adam = torch.optim.Adam(optimizer.parameters(), lr=recipe.rate)
        self.rng = np.random.default_rng(recipe.seed)
        self.done = 0
        self.seconds = 0.0
        self.best, self.best_phi = math.inf, phi_of(optimizer)
        self.history: list[tuple[int, float, float]] = []

    def run(
        self,
        until: int | None = None,
        checkpoint: Path | None = None,
        told: Callable[[str], None] | None = None,
        ticked: Callable[[int], None] | None = None,
    ) -> None:
        """Train until so many runs are done, all of the recipe's by default.

        checkpoint : where to `save` after every run; told : gets a line for each validation;
        ticked : gets the number of runs done
        """
        recipe = self.recipe
        until = recipe.updates if until is None else until
        began = time.process_time() - self.seconds
        while True:
            self.seconds = time.process_time() - began
            if self.done % recipe.every == 0 or self.done == recipe.updates:
                self._validate(told)
            if checkpoint:
                self.seconds = time.process_time() - began
                self.save(checkpoint)
            if self.done >= until:
                return
            share = self.done / recipe.updates
            for group in self.adam.param_groups:
                group["lr"] = recipe.rate * (0.55 + 0.45 * math.cos(math.pi * share))
            family = self.families[self.done % len(self.families)]
            self._one(family.sample(self.rng, recipe.functions))
            self.done += 1
            if ticked:
                ticked(self.done)

    def _one(self, problem: Problem) -> None:
        """One run of the optimizee, in chunks; phi changes after each of them."""
        recipe = self.recipe
        theta, state = problem.theta0, None
        for first in range(0, recipe.steps, recipe.unroll):
            before = state or self.optimizer.start(theta.numel())
            steps = min(recipe.unroll, recipe.steps - first)
            run = roll_out(self.optimizer, problem, steps, theta, before, first, record=True)
            if not torch.isfinite(run.losses).all():
                return  # a run that has left the numbers teaches nothing
            weights = torch.ones(steps, 1)
            if first + steps == recipe.steps:
                weights[-1] = recipe.last
            self._update(run, before, weights.to(run.losses))
            theta, state = run.theta, run.state

    def _update(self, run: Run, before: State, weights: torch.Tensor) -> None:
        """One step of Adam on the surrogate of (7.17); weights : (T, 1)."""
        recipe = self.recipe
        T, (F, n) = len(weights), run.theta.shape
        if recipe.log:
            weights = weights / run.losses[1:].clamp(min=1e-12)  # (7.20)
        pull = (weights[..., None] * run.gradients[1:]).flip(0).cumsum(0).flip(0)
        kept = min(recipe.coordinates, n)
        pick = np.stack([self.rng.permutation(n)[:kept] + f * n for f in range(F)]).ravel()
        pick = torch.from_numpy(pick).to(pull.device)
        start = tuple(part[:, pick].contiguous() for part in before)
        steps, _ = self.optimizer(run.gradients[:-1].reshape(T, -1)[:, pick], start)
        surrogate = (pull.reshape(T, -1)[:, pick] * steps).sum() * (n / kept) / (F * T)
        self.adam.zero_grad()
        surrogate.backward()
        torch.nn.utils.clip_grad_norm_(self.optimizer.parameters(), recipe.clip)
        self.adam.step()

    def _validate(self, told: Callable[[str], None] | None) -> None:
        if self.history and self.history[-1][0] == self.done:
            return  # it was resumed here
        score = self.score(self.optimizer)
        if score < self.best:
            self.best, self.best_phi = score, phi_of(self.optimizer)
        self.history.append((self.done, self.seconds, score))
        if told:
            told(f"{self.done}/{self.recipe.updates} {self.seconds:.0f} s: {score:.4f}")

    def save(self, path: Path) -> None:
        """Write everything that the rest of the training depends on; never half a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "phi": self.optimizer.state_dict(),
            "adam": self.adam.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "done": self.done,
            "seconds": self.seconds,
            "best": self.best,
            "best_phi": self.best_phi,
            "history": self.history,
            "recipe": asdict(self.recipe),
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def resume(self, path: Path) -> None:
        """Go back to where `save` was called; raises ValueError if it was another recipe."""
        state = torch.load(path, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            raise ValueError(
                f"{path} is of another recipe: {state['recipe']}. Delete it to start anew."
            )
        self.optimizer.load_state_dict(state["phi"])
        self.adam.load_state_dict(state["adam"])
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.done, self.seconds = state["done"], state["seconds"]
        self.best, self.best_phi = state["best"], state["best_phi"]
        self.history = [tuple(row) for row in state["history"]]


def phi_of(optimizer: LearnedOptimizer) -> dict[str, torch.Tensor]:
    """Return a copy of phi, by name."""
    return {name: value.detach().clone() for name, value in optimizer.state_dict().items()}


# --------------------------------------------------------------------------------------- rivals

Rule = Callable[[list[torch.Tensor], float], torch.optim.Optimizer]

RIVALS: Mapping[str, Rule] = {
    "SGD": lambda p, rate: torch.optim.SGD(p, lr=rate),
    "momentum": lambda p, rate: torch.optim.SGD(p, lr=rate, momentum=0.9),
    "RMSprop": lambda p, rate: torch.optim.RMSprop(p, lr=rate),
    "Adam": lambda p, rate: torch.optim.Adam(p, lr=rate),
    "Nesterov": lambda p, rate: torch.optim.SGD(p, lr=rate, momentum=0.9, nesterov=True),
}
"""The paper's rivals, and momentum, (7.2). mu is 0.9 there and in Nesterov's."""


@torch.no_grad()
def run_rival(
    rule: Rule, rate: float, problem: Problem, steps: int, slowing: bool = False
) -> torch.Tensor:
    """Return the losses (T+1, F) of a rule of torch.optim; each rule is elementwise.

    slowing : whether the rate falls to 0 over the steps, in a line
    """
    theta = problem.theta0.clone()
    theta.grad = torch.zeros_like(theta)
    optimizer = rule([theta], rate)
    losses = []
    for step in range(steps + 1):
        value, gradient = problem.value_and_gradient(theta, step)
        losses.append(value)
        theta.grad.copy_(gradient)
        if slowing:
            for group in optimizer.param_groups:
                group["lr"] = rate * (1 - step / steps)
        optimizer.step()
    return torch.stack(losses)


# ---------------------------------------------------------------------------- what was trained

TRAINED = Path(__file__).resolve().parent.parent / "trained"


class Trained(NamedTuple):
    """A phi that is kept, and how it was made: command, seed, processor time."""

    optimizer: LearnedOptimizer
    made: dict[str, object]


def trained_path(name: str, seed: int = 0) -> Path:
    """Return the file of a kept phi; seed 0 is the page's, the others are the benchmark's."""
    return TRAINED / f"learning_{name}{f'_{seed}' if seed else ''}.npz"


def write_trained(name: str, optimizer: LearnedOptimizer, made: Mapping[str, object]) -> Path:
    """Write phi and how it was made into book/trained/; float32, about 20 kB."""
    how = {"p": optimizer.p, "scale": optimizer.scale, **made}
    arrays = {key: value.cpu().numpy() for key, value in optimizer.state_dict().items()}
    path = trained_path(name, made["seed"])
    TRAINED.mkdir(exist_ok=True)
    np.savez_compressed(path, made=json.dumps(how), **arrays)
    return path


def read_trained(name: str, seed: int = 0) -> Trained:
    """Read a kept phi; raises FileNotFoundError, saying how to make it, if there is none."""
    path = trained_path(name, seed)
    if not path.exists():
        command = f"python book/retrain.py {name} --seed {seed}"
        raise FileNotFoundError(f"{path} is missing: `{command}` makes it")
    with np.load(path) as kept:
        made = json.loads(str(kept["made"]))
        optimizer = LearnedOptimizer(made["p"], made["scale"])
        optimizer.load_state_dict(
            {key: torch.from_numpy(kept[key]) for key in kept.files if key != "made"}
        )
    return Trained(optimizer.requires_grad_(False), made)
