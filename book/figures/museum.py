"""The failure museum: wrong code that people publish, what it shows, and the line that mends it.

Each exhibit is a class: `wrong` and `right` are two answers to the same exercise, one line apart,
and `shows` measures what the wrong one does.  The page shows their sources; a test proves that the
exercise's check stops the wrong one where `rung` says and lets the right one pass.
"""

# ruff: noqa: D102
# `wrong`, `right` and `shows` are described once, in Exhibit.

from __future__ import annotations

import contextlib
import difflib
import html
import inspect
import linecache
import re
import textwrap
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from IPython.display import HTML, Markdown, display
from IPython.utils.capture import capture_output
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.flop_counter import FlopCounterMode

from course import CheckFailed, check
from course.exercise import find
from figures.tables import power
from solutions import bptt, dynamics, gates, taxonomy
from solutions.gates import sigmoid
from solutions.learning import learned_step
from solutions.seq2seq import ngrams
from solutions.taxonomy import teacher_forced
from solutions.unfolding import log_softmax

EXHIBITS: dict[str, type[Exhibit]] = {}
"""All exhibits by key, in the order of the course."""


class Exhibit:
    """A mistake on show.

    key : the page's anchor is "museum-" and this; symptom : what people report, for the table;
    check : name of the exercise, with its part; rung : where its check stops `wrong`;
    slip : the title of the known slip that the check names, None if it names none.
    """

    key: str
    symptom: str
    check: str
    rung: str
    slip: str | None

    def __init_subclass__(cls) -> None:
        EXHIBITS[cls.key] = cls

    @staticmethod
    def wrong(*args):
        """Return what the exercise asks for, wrongly."""
        raise NotImplementedError

    @staticmethod
    def right(*args):
        """Return what the exercise asks for."""
        raise NotImplementedError

    @staticmethod
    def shows() -> dict[str, object]:
        """Return what was measured, by what it is."""
        raise NotImplementedError


def largest(a: np.ndarray, b: np.ndarray) -> float:
    """Largest absolute difference between two arrays."""
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def run(x, state, U, W, b):
    """States of the network of chapter 3 over a sequence: x (T, B, D) -> (T, B, H)."""
    states = []
    for driven in x @ U.T + b:
        state = np.tanh(driven + state @ W.T)
        states.append(state)
    return np.stack(states)


def small(seed: int, T: int = 5, B: int = 2, D: int = 3, H: int = 4, K: int = 6) -> dict:
    """Arguments of `bptt.forward`, drawn at random; the initial state is not zero."""
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(T, B, D)),
        "h0": rng.uniform(-0.9, 0.9, (B, H)),
        "U": rng.normal(0, 0.6, (H, D)),
        "W": rng.normal(0, 0.6, (H, H)),
        "b": rng.normal(0, 0.5, H),
        "V": rng.normal(0, 0.6, (K, H)),
        "c": rng.normal(0, 0.5, K),
    }


# ------------------------------------------------------------------ chapter 1: dynamical systems


class Radius(Exhibit):
    """The largest eigenvalue is taken for the largest modulus."""

    key = "radius"
    symptom = "A reservoir that was scaled to be stable explodes"
    check = "dynamics.newton.radius"
    rung = "probes"
    slip = "the largest eigenvalue, not the largest modulus"

    @staticmethod
    def wrong(h, W, b, steps):
        h = dynamics.newton(h, W, b, steps)[0]  # this part is right
        J = dynamics.jacobian(h, W, b)
        return h, np.linalg.eigvals(J).real.max(axis=-1)

    @staticmethod
    def right(h, W, b, steps):
        h = dynamics.newton(h, W, b, steps)[0]  # this part is right
        J = dynamics.jacobian(h, W, b)
        return h, np.abs(np.linalg.eigvals(J)).max(axis=-1)

    @staticmethod
    def shows():
        W, b, origin = 1.1 * np.array([[0.0, -1.0], [1.0, 0.0]]), np.zeros(2), np.zeros((1, 2))
        orbit = dynamics.orbit(np.full((1, 2), 1e-6), W, b, 100)
        return {
            "a turn by 90 degrees, times 1.1: radius, wrong": f"{_radius(Radius.wrong, W):.2f}",
            "right": f"{_radius(Radius.right, W):.2f}",
            "a state of 10⁻⁶ after 100 steps is": f"{np.abs(orbit[-1] - origin).max():.2f}",
        }


def _radius(newton, W: np.ndarray) -> float:
    """The radius that an answer finds at the origin, which is a fixed point."""
    found = newton(np.zeros((1, len(W))), W, np.zeros(len(W)), 1)[1]
    return float(found[0]) + 0.0  # no minus zero


class ZeroState(Exhibit):
    """The initial state is an argument that nobody reads."""

    key = "zero-state"
    symptom = "All tests pass; the model is wrong when it is given an initial state"
    check = "dynamics.driven"
    rung = "probes"
    slip = "h(0) is taken as zero"

    @staticmethod
    def wrong(x, h0, U, W, b):
        states, h = [], np.zeros_like(h0)
        for driven in x @ U.T + b:
            h = np.tanh(driven + h @ W.T)
            states.append(h)
        return np.stack(states)

    @staticmethod
    def right(x, h0, U, W, b):
        states, h = [], h0
        for driven in x @ U.T + b:
            h = np.tanh(driven + h @ W.T)
            states.append(h)
        return np.stack(states)

    @staticmethod
    def shows():
        a = small(1)
        x, h0, U, W, b = (a[name] for name in ("x", "h0", "U", "W", "b"))
        zero, other = (
            largest(ZeroState.wrong(x, start, U, W, b), ZeroState.right(x, start, U, W, b))
            for start in (0 * h0, h0)
        )
        return {"error if h(0) = 0": f"{zero:.2f}", "error if h(0) is not 0": f"{other:.2f}"}


# -------------------------------------------------------------------------- chapter 2: unfolding


class MaskTimesNaN(Exhibit):
    """0 times NaN is NaN."""

    key = "mask-times-nan"
    symptom = "NaN, though everything that could be NaN is masked"
    check = "unfolding.masked"
    rung = "properties"
    slip = "0 times NaN is NaN"

    @staticmethod
    def wrong(x, lengths, h0, U, W, b):
        states, state = [], h0
        for t in range(len(x)):
            m = (t < lengths)[:, None]
            new = np.tanh(b + state @ W.T + x[t] @ U.T)
            state = m * new + (1 - m) * state
            states.append(state)
        return np.stack(states)

    @staticmethod
    def right(x, lengths, h0, U, W, b):
        states, state = [], h0
        for t in range(len(x)):
            m = (t < lengths)[:, None]
            new = np.tanh(b + state @ W.T + x[t] @ U.T)
            state = np.where(m, new, state)
            states.append(state)
        return np.stack(states)

    @staticmethod
    def shows():
        a, lengths = small(2), np.array([5, 3])
        x = a["x"].copy()
        x[3:, 1] = np.nan  # the padding of the second sequence
        rest = [a[name] for name in ("h0", "U", "W", "b")]
        last = [each(x, lengths, *rest)[-1, 1] for each in (MaskTimesNaN.wrong, MaskTimesNaN.right)]
        return {
            "last state, padding NaN, multiplied": " ".join(f"{v:.2f}" for v in last[0]),
            "chosen": " ".join(f"{v:.2f}" for v in last[1]),
        }


class NoEnd(Exhibit):
    """The loss stops one step before the end symbol."""

    key = "no-end"
    symptom = "Generation never stops"
    check = "unfolding.log_end"
    rung = "probes"
    slip = "the end is not counted"

    @staticmethod
    def wrong(o, y, lengths):
        t, end = np.arange(len(o))[:, None], o.shape[-1] - 1
        target = np.where(t < lengths, np.pad(y, ((0, 1), (0, 0))), end)
        log_p = np.take_along_axis(log_softmax(o), target[..., None], axis=-1)[..., 0]
        return np.where(t < lengths, log_p, 0.0).sum(axis=0)

    @staticmethod
    def right(o, y, lengths):
        t, end = np.arange(len(o))[:, None], o.shape[-1] - 1
        target = np.where(t < lengths, np.pad(y, ((0, 1), (0, 0))), end)
        log_p = np.take_along_axis(log_softmax(o), target[..., None], axis=-1)[..., 0]
        return np.where(t <= lengths, log_p, 0.0).sum(axis=0)

    @staticmethod
    def shows():
        o, y, lengths = np.zeros((4, 1, 3)), np.array([[0], [1], [0]]), np.array([3])

        def pull(log_end):
            """Derivative of log P for the end's output at the step where the sequence ends."""
            moved = o.copy()
            moved[3, :, -1] += 1e-6
            return float((log_end(moved, y, lengths) - log_end(o, y, lengths))[0] / 1e-6)

        return {
            "pull on the end's output, at the end: wrong": f"{pull(NoEnd.wrong):.2f}",
            "right": f"{pull(NoEnd.right):.2f}",
        }


def logistic(a):
    """The logistic function, as it stands in books."""
    return 1 / (1 + np.exp(-a))


class LogSigmoid(Exhibit):
    """The logarithm of a probability that was rounded to 0."""

    key = "log-sigmoid"
    symptom = "The loss is inf or NaN as soon as the model is very sure"
    check = "unfolding.log_halt"
    rung = "properties"
    slip = "the logarithm of 1 - e that is rounded to 0"

    @staticmethod
    def wrong(o, s, y, lengths):
        t = np.arange(1, len(y) + 1)[:, None]
        log_p = np.take_along_axis(log_softmax(o), y[..., None], axis=-1)[..., 0]
        on, end = np.log(1 - logistic(s)), np.log(logistic(s))
        logs = (t <= lengths, log_p), (t < lengths, on), (t == lengths, end)
        return sum(np.where(where, log, 0.0).sum(axis=0) for where, log in logs)

    @staticmethod
    def right(o, s, y, lengths):
        t = np.arange(1, len(y) + 1)[:, None]
        log_p = np.take_along_axis(log_softmax(o), y[..., None], axis=-1)[..., 0]
        on, end = -np.logaddexp(0, s), -np.logaddexp(0, -s)
        logs = (t <= lengths, log_p), (t < lengths, on), (t == lengths, end)
        return sum(np.where(where, log, 0.0).sum(axis=0) for where, log in logs)

    @staticmethod
    def shows():
        found = {}
        for kind, s in (("float32", np.float32(-90)), ("float64", np.float64(-750))):
            with np.errstate(over="ignore", divide="ignore"):
                wrong = np.log(logistic(s))
            found[f"{kind}: log σ({s:g}), wrong"] = f"{wrong:g}"
            found[f"{kind}: right"] = f"{-np.logaddexp(s * 0, -s):g}"
        return found


# ------------------------------------------------------- chapter 3: back-propagation through time


def minus_log_p(o, y):
    """-log softmax(o) at the targets: o (T, B, K), y (T, B) -> (T, B)."""
    return -np.take_along_axis(log_softmax(o), y[..., None], axis=-1)[..., 0]


def softmax(o):
    """Softmax over the last axis."""
    return np.exp(log_softmax(o))


class SoftmaxTwice(Exhibit):
    """The loss has a softmax inside, and gets one."""

    key = "softmax-twice"
    symptom = "The loss falls a little, then stays far above zero"
    check = "bptt.loss"
    rung = "probes"
    slip = "the softmax is applied twice"

    @staticmethod
    def wrong(o, y, mask):
        return (minus_log_p(softmax(o), y) * mask).sum()

    @staticmethod
    def right(o, y, mask):
        return (minus_log_p(o, y) * mask).sum()

    @staticmethod
    def shows():
        y, mask = np.zeros((1, 1), int), np.ones((1, 1))
        sure = 50.0 * np.eye(4)
        gradient = [_slope(each, sure[1], y, mask) for each in _both(SoftmaxTwice)]
        loss = [each(sure[0].reshape(1, 1, 4), y, mask) for each in _both(SoftmaxTwice)]
        return {
            "4 classes, sure of the right one: loss, wrong": f"{loss[0]:.2f}",
            "right": f"{loss[1]:.2f}",
            "sure of a wrong one: length of the gradient, wrong": f"{gradient[0]:.2f}",
            "right ": f"{gradient[1]:.2f}",
        }


def _both(exhibit: type[Exhibit]) -> tuple:
    return exhibit.wrong, exhibit.right


def _slope(loss, o: np.ndarray, y: np.ndarray, mask: np.ndarray) -> float:
    """Length of the loss's gradient at o, by central differences."""
    step = 1e-5 * np.eye(len(o))
    shape = (1, 1, len(o))
    up, down = ([loss((o + s * d).reshape(shape), y, mask) for d in step] for s in (1, -1))
    return float(np.linalg.norm((np.array(up) - np.array(down)) / 2e-5))


class LossOverPadding(Exhibit):
    """A mean that counts what is not there."""

    key = "loss-over-padding"
    symptom = "The loss depends on how much padding is in the batch"
    check = "bptt.loss"
    rung = "probes"
    slip = "a mean over time and batch instead of a sum"

    @staticmethod
    def wrong(o, y, mask):
        return (minus_log_p(o, y) * mask).mean()

    @staticmethod
    def right(o, y, mask):
        return (minus_log_p(o, y) * mask).sum()

    @staticmethod
    def shows():
        rng = np.random.default_rng(3)
        o, y, mask = rng.normal(size=(4, 1, 6)), np.zeros((4, 1), int), np.ones((4, 1))
        found = {}
        for steps in (4, 8, 16):
            more = steps - 4
            padded = (np.pad(a, ((0, more), (0, 0), (0, 0))[: a.ndim]) for a in (o, y, mask))
            o_, y_, mask_ = padded
            wrong, right = (each(o_, y_, mask_) for each in _both(LossOverPadding))
            found[f"4 steps padded to {steps}: mean, and sum / sum of the mask"] = (
                f"{wrong:.2f}, {right / mask_.sum():.2f}"
            )
        return found


class Overflow(Exhibit):
    """The exponential of a large number."""

    key = "overflow"
    symptom = "The loss becomes NaN in the middle of training"
    check = "bptt.loss"
    rung = "properties"
    slip = "the exponential overflows"

    @staticmethod
    def wrong(o, y, mask):
        log_p = np.log(np.exp(o) / np.exp(o).sum(axis=-1, keepdims=True))
        return -(np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0] * mask).sum()

    @staticmethod
    def right(o, y, mask):
        log_p = o - np.logaddexp.reduce(o, axis=-1, keepdims=True)
        return -(np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0] * mask).sum()

    @staticmethod
    def shows():
        with np.errstate(over="ignore"):
            limits = {
                kind.__name__: next(n for n in range(1000) if np.isinf(np.exp(kind(n))))
                for kind in (np.float16, np.float32, np.float64)
            }
        return {f"first whole number with an infinite exp, {k}": n for k, n in limits.items()}


class BatchFirst(Exhibit):
    """Time and batch are exchanged."""

    key = "batch-first"
    symptom = "The network learns, but badly; an answer depends on its neighbours in the batch"
    check = "bptt.forward"
    rung = "runs"
    slip = None

    @staticmethod
    def wrong(x, h0, U, W, b, V, c):
        x = x.swapaxes(0, 1)  # "the batch comes first"
        states, state = [], h0
        for driven in x @ U.T + b:
            state = np.tanh(driven + state @ W.T)
            states.append(state)
        h = np.stack(states)
        return h, h @ V.T + c

    @staticmethod
    def right(x, h0, U, W, b, V, c):
        states, state = [], h0
        for driven in x @ U.T + b:
            state = np.tanh(driven + state @ W.T)
            states.append(state)
        h = np.stack(states)
        return h, h @ V.T + c

    @staticmethod
    def shows():
        a = small(4, T=4, B=4)
        moved = {**a, "x": a["x"].copy()}
        moved["x"][:, 0] += 1.0  # the first sequence of the batch
        found = {}
        for name, each, others in (
            ("wrong", BatchFirst.wrong, np.s_[1:]),  # its first axis is what it takes for time
            ("right", BatchFirst.right, np.s_[:, 1:]),
        ):
            difference = largest(each(**a)[0][others], each(**moved)[0][others])
            found[f"T = B = 4, sequence 1 changed: the others move by, {name}"] = (
                f"{difference:.2f}"
            )
        return found


class StrangersState(Exhibit):
    """The state of the last batch begins the next one."""

    key = "strangers-state"
    symptom = "The same input gives another output the second time"
    check = "bptt.forward"
    rung = "probes"
    slip = None

    @staticmethod
    def wrong(x, h0, U, W, b, V, c, kept={}):  # noqa: B006
        start = kept.get("state", h0)
        h = run(x, start, U, W, b)
        kept["state"] = h[-1]
        return h, h @ V.T + c

    @staticmethod
    def right(x, h0, U, W, b, V, c, kept={}):  # noqa: B006
        start = h0
        h = run(x, start, U, W, b)
        kept["state"] = h[-1]
        return h, h @ V.T + c

    @staticmethod
    def shows():
        a, found = small(17), {}
        for name, each in zip(("wrong", "right"), _both(StrangersState), strict=True):
            kept = {}
            first, second = (each(**a, kept=kept)[0] for _ in range(2))
            found[f"one batch, twice: states differ by, {name}"] = f"{largest(first, second):.2f}"
        return found


class NotDetached(Exhibit):
    """The gradient goes back past the border of the chunk."""

    key = "not-detached"
    symptom = "“Trying to backward through the graph a second time”, or memory that only grows"
    check = "bptt.truncated"
    rung = "probes"
    slip = "nothing is truncated"

    @staticmethod
    def wrong(do, h, W, V, k):
        dh, carry = do @ V, np.zeros_like(h[0])
        for t in reversed(range(len(h))):
            dh[t] += carry
            carry = (dh[t] * (1 - h[t] ** 2)) @ W
        return dh

    @staticmethod
    def right(do, h, W, V, k):
        dh, carry = do @ V, np.zeros_like(h[0])
        for t in reversed(range(len(h))):
            dh[t] += carry
            carry = (dh[t] * (1 - h[t] ** 2)) @ W if t % k else np.zeros_like(carry)
        return dh

    @staticmethod
    def shows():
        a = small(5, T=12)
        h, o = bptt.forward(**a)
        do = np.zeros_like(o)
        do[-1] = 1.0
        found = {}
        for name, each in zip(("wrong", "right"), _both(NotDetached), strict=True):
            reached = int((np.abs(each(do, h, a["W"], a["V"], 4)).max((1, 2)) > 0).sum())
            found[f"chunks of 4 steps; the last loss reaches back, {name}"] = f"{reached} steps"
        rnn = torch.nn.RNN(3, 4)
        state = None
        try:
            for x in torch.ones(2, 4, 1, 3):
                states, state = rnn(x, state)
                states.sum().backward()
        except RuntimeError as error:
            found["torch, second chunk"] = str(error).split("(")[0].strip()
        return found


class DroppedRoad(Exhibit):
    """The gradient does not come back through the next state."""

    key = "dropped-road"
    symptom = "A gradient that is right for one step and wrong for two; nothing long is learned"
    check = "bptt.grad_h"
    rung = "probes"
    slip = "the gradient from h(t+1) was dropped"

    @staticmethod
    def wrong(do, h, W, V):
        dh, carry = np.empty_like(h), np.zeros_like(h[0])
        for t in reversed(range(len(h))):
            dh[t] = do[t] @ V
            carry = (dh[t] * (1 - h[t] ** 2)) @ W  # noqa: F841
        return dh

    @staticmethod
    def right(do, h, W, V):
        dh, carry = np.empty_like(h), np.zeros_like(h[0])
        for t in reversed(range(len(h))):
            dh[t] = do[t] @ V + carry
            carry = (dh[t] * (1 - h[t] ** 2)) @ W
        return dh

    @staticmethod
    def shows():
        u, w, h0, x = 5.0, 4.0, 7.0, (2.0, 3.0)
        before = u * x[0] + w * h0
        return {
            "∂h(2)/∂u, dropped": f"{x[1]:g}",
            "right": f"{x[1] + w * x[0]:g}",
            "∂h(2)/∂w, dropped": f"{before:g}",
            "right ": f"{before + w * h0:g}",
        }


class ByValue(Exhibit):
    """Each entry is clipped, and the direction is lost."""

    key = "by-value"
    symptom = "Clipping tames the loss, but training goes in odd directions"
    check = "bptt.clip"
    rung = "probes"
    slip = "entries are clipped, not the norm"

    @staticmethod
    def wrong(grads, max_norm):
        norm = np.sqrt(sum((g * g).sum() for g in grads))
        return [np.clip(g, -max_norm, max_norm) for g in grads], norm

    @staticmethod
    def right(grads, max_norm):
        norm = np.sqrt(sum((g * g).sum() for g in grads))
        return [g * max_norm / max(norm, max_norm) for g in grads], norm

    @staticmethod
    def shows():
        g = np.array([100.0, 1.0])
        found = {}
        for name, each in zip(("by value", "by norm"), _both(ByValue), strict=True):
            ((clipped,), _) = each([g], 1.0)
            cosine = clipped @ g / np.linalg.norm(clipped) / np.linalg.norm(g)
            turned = np.degrees(np.arccos(min(cosine, 1.0)))
            found[f"(100, 1) clipped to 1 {name}: length, turned by"] = (
                f"{np.linalg.norm(clipped):.2f}, {turned:.0f}°"
            )
        return found


class InPlace(Exhibit):
    """The backward pass overwrites what the forward pass kept."""

    key = "in-place"
    symptom = "“modified by an inplace operation”; in NumPy, a second call that answers otherwise"
    check = "bptt.grad_h"
    rung = "arguments"
    slip = "the slopes are written over h"

    @staticmethod
    def wrong(do, h, W, V):
        dh = do @ V
        slope = np.subtract(1, np.square(h, out=h), out=h)
        for t in reversed(range(len(h) - 1)):
            dh[t] += (dh[t + 1] * slope[t + 1]) @ W
        return dh

    @staticmethod
    def right(do, h, W, V):
        dh = do @ V
        slope = 1 - h**2
        for t in reversed(range(len(h) - 1)):
            dh[t] += (dh[t + 1] * slope[t + 1]) @ W
        return dh

    @staticmethod
    def shows():
        found = {}
        for name, each in zip(("wrong", "right"), _both(InPlace), strict=True):
            a = small(6)
            h, o = bptt.forward(**a)
            first, second = (each(o, h, a["W"], a["V"]) for _ in range(2))
            found[f"first call against second, {name}"] = f"{largest(first, second):.2f}"
        return found


# -------------------------------------------------------------------------- chapter 4: a taxonomy


class NotShifted(Exhibit):
    """The target is fed to the step that has to predict it."""

    key = "not-shifted"
    symptom = "A loss near zero within minutes; nonsense when the model is used"
    check = "taxonomy.teacher_forced"
    rung = "probes"
    slip = "y(t) goes into its own step"

    @staticmethod
    def wrong(x, y0, y, U, F, b, V, c):
        fed = y
        h = np.tanh(x @ U.T + F.T[fed] + b)
        return h, h @ V.T + c

    @staticmethod
    def right(x, y0, y, U, F, b, V, c):
        fed = np.concatenate([y0[None], y[:-1]])
        h = np.tanh(x @ U.T + F.T[fed] + b)
        return h, h @ V.T + c

    @staticmethod
    def shows():
        K, T, B = 4, 50, 40
        y = np.random.default_rng(7).integers(K, size=(T, B))  # throws of a die with four sides
        a = _repeats(K, 9.0)
        wrong, right = (
            minus_log_p(each(np.zeros((T, B, 1)), y[0], y, **a)[1], y).mean()
            for each in _both(NotShifted)
        )
        return {
            "loss on throws of a fair die with 4 sides, wrong": f"{wrong:.2f}",
            "right, with the same weights": f"{right:.2f}",
            "the least that is possible, log 4": f"{np.log(K):.2f}",
        }


def _repeats(K: int, sure: float) -> dict[str, np.ndarray]:
    """Parameters of an output-recurrent network that says again what it is fed."""
    return {
        "U": np.zeros((K, 1)),
        "F": 3.0 * np.eye(K),
        "b": np.zeros(K),
        "V": sure * np.eye(K),
        "c": np.zeros(K),
    }


class OpenLoop(Exhibit):
    """The model's "own" outputs come from a run that was fed the truth."""

    key = "open-loop"
    symptom = "Validation is excellent; in use the output soon drifts away"
    check = "taxonomy.scheduled"
    rung = "probes"
    slip = "the own outputs are those of the teacher-forced run"

    @staticmethod
    def wrong(x, y0, y, u, epsilon, U, F, b, V, c):
        outputs, fed = [], y0
        for t in range(len(x)):
            outputs.append(np.tanh(x[t] @ U.T + F.T[fed] + b) @ V.T + c)
            own = teacher_forced(x, y0, y, U, F, b, V, c)[1][t].argmax(axis=-1)
            if t + 1 < len(x):
                fed = np.where(u[t + 1] < epsilon, y[t], own)
        return np.stack(outputs)

    @staticmethod
    def right(x, y0, y, u, epsilon, U, F, b, V, c):
        outputs, fed = [], y0
        for t in range(len(x)):
            outputs.append(np.tanh(x[t] @ U.T + F.T[fed] + b) @ V.T + c)
            own = outputs[-1].argmax(axis=-1)
            if t + 1 < len(x):
                fed = np.where(u[t + 1] < epsilon, y[t], own)
        return np.stack(outputs)

    @staticmethod
    def shows():
        K, T, B = 4, 40, 500
        rng = np.random.default_rng(8)
        jumps = (rng.random((T, B)) < 0.1) * rng.integers(1, K, (T, B))
        y0 = np.zeros(B, int)
        y = np.cumsum(jumps, axis=0) % K  # stays, or jumps with probability 0.1
        a = _repeats(K, 9.0)
        x, never = np.zeros((T, B, 1)), 0.0
        found = {}
        for name, each in zip(("wrong", "right"), _both(OpenLoop), strict=True):
            said = each(x, y0, y, rng.random((T, B)), never, **a).argmax(-1)
            found[f"“closed loop”: share of wrong symbols, {name}"] = f"{(said != y).mean():.2f}"
        return found


class LastOutput(Exhibit):
    """The last entry in time is not the last state."""

    key = "last-output"
    symptom = "A classifier gets worse the more its batch is padded"
    check = "taxonomy.readout.last"
    rung = "probes"
    slip = "the state of the last padded step"

    @staticmethod
    def wrong(h, mask):
        length = mask.sum(axis=0)
        mean = (h * mask[..., None]).sum(axis=0) / length[:, None]
        return h[-1], mean

    @staticmethod
    def right(h, mask):
        length = mask.sum(axis=0)
        mean = (h * mask[..., None]).sum(axis=0) / length[:, None]
        return h[length.astype(int) - 1, np.arange(h.shape[1])], mean

    @staticmethod
    def shows():
        a = _two_ways(9)
        lengths = np.array([5, 3])
        s = taxonomy.bidirectional(lengths=np.array([5, 5]), **a)
        T, H = len(s), s.shape[-1] // 2
        read = {}
        for t in range(T):
            moved = {**a, "x": a["x"].copy()}
            moved["x"][t] += 1.0
            read[t] = taxonomy.bidirectional(lengths=np.array([5, 5]), **moved)
        seen = [
            sum(largest(read[t][-1, :, half], s[-1, :, half]) > 1e-12 for t in range(T))
            for half in (np.s_[:H], np.s_[H:])
        ]
        forward = run(a["x"], a["h0"], a["Uf"], a["Wf"], a["bf"])
        mask = (np.arange(T)[:, None] < lengths).astype(float)
        wrong, right = (each(forward, mask)[0][1] for each in _both(LastOutput))
        return {
            "a sequence of 3 padded to 5: h[-1] is off by": f"{largest(wrong, right):.2f}",
            "both directions, no padding: inputs that s[-1]'s forward half has read": (
                f"{seen[0]} of {T}"
            ),
            "and its backward half": f"{seen[1]} of {T}",
        }


def _two_ways(seed: int, T: int = 5, B: int = 2, D: int = 3, H: int = 4) -> dict:
    """Arguments of `taxonomy.bidirectional` but for the lengths."""
    one, two = small(seed, T, B, D, H), small(seed + 100, T, B, D, H)
    return {
        "x": one["x"],
        "h0": one["h0"],
        "g0": two["h0"],
        **{f"{name}f": one[name] for name in "UWb"},
        **{f"{name}g": two[name] for name in "UWb"},
    }


class MeanOverPadding(Exhibit):
    """A mean of states that counts padding."""

    key = "mean-over-padding"
    symptom = "The same sentence has another vector in another batch"
    check = "taxonomy.readout.mean"
    rung = "probes"
    slip = "a mean over the padding, too"

    @staticmethod
    def wrong(h, mask):
        length = mask.sum(axis=0)
        last = h[length.astype(int) - 1, np.arange(h.shape[1])]
        return last, h.mean(axis=0)

    @staticmethod
    def right(h, mask):
        length = mask.sum(axis=0)
        last = h[length.astype(int) - 1, np.arange(h.shape[1])]
        return last, (h * mask[..., None]).sum(axis=0) / length[:, None]

    @staticmethod
    def shows():
        h = run(**{k: v for k, v in small(10, T=4, B=1).items() if k in "xUWb"}, state=np.zeros(4))
        found = {}
        for steps in (4, 8, 16):
            padded, mask = np.pad(h, ((0, steps - 4), (0, 0), (0, 0))), np.zeros((steps, 1))
            mask[:4] = 1.0
            wrong, right = (np.linalg.norm(e(padded, mask)[1]) for e in _both(MeanOverPadding))
            found[f"4 states padded to {steps} with zeros: length of the mean, wrong and right"] = (
                f"{wrong:.2f}, {right:.2f}"
            )
        return found


def _moved_by(exhibit: type[Exhibit], lengths: list[int], what: tuple, see: tuple) -> dict:
    """How far part of the states moves when part of the input does, wrong and right."""
    a, found = _two_ways(11), {}
    for name, each in zip(("wrong", "right"), _both(exhibit), strict=True):
        moved = {**a, "x": a["x"].copy()}
        moved["x"][what] += 1.0
        both = [
            each(given["x"], np.array(lengths), *list(given.values())[1:]) for given in (a, moved)
        ]
        found[name] = f"{largest(both[0][see], both[1][see]):.2f}"
    return found


class PaddingFirst(Exhibit):
    """The backward network begins in the padding."""

    key = "padding-first"
    symptom = "A bidirectional network seems to ignore the mask"
    check = "taxonomy.bidirectional"
    rung = "probes"
    slip = "the backward network starts in the padding"

    @staticmethod
    def wrong(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
        t, n = np.arange(len(x))[:, None], np.arange(x.shape[1])
        turned = len(x) - 1 - t
        forward = run(x, h0, Uf, Wf, bf)
        backward = run(x[turned, n], g0, Ug, Wg, bg)[turned, n]
        return np.concatenate([forward, backward], axis=-1) * (t < lengths)[..., None]

    @staticmethod
    def right(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
        t, n = np.arange(len(x))[:, None], np.arange(x.shape[1])
        turned = np.where(t < lengths, lengths - 1 - t, t)
        forward = run(x, h0, Uf, Wf, bf)
        backward = run(x[turned, n], g0, Ug, Wg, bg)[turned, n]
        return np.concatenate([forward, backward], axis=-1) * (t < lengths)[..., None]

    @staticmethod
    def shows():
        moved = _moved_by(PaddingFirst, [5, 3], np.s_[3:, 1], np.s_[:3, 1])
        return {f"padding changed: states before it move by, {k}": v for k, v in moved.items()}


class NotTurnedBack(Exhibit):
    """The backward states stay in the order in which they were made."""

    key = "not-turned-back"
    symptom = "Two directions are no better than one, or worse"
    check = "taxonomy.bidirectional"
    rung = "probes"
    slip = "the backward states are not turned back"

    @staticmethod
    def wrong(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
        t, n = np.arange(len(x))[:, None], np.arange(x.shape[1])
        turned = np.where(t < lengths, lengths - 1 - t, t)
        forward = run(x, h0, Uf, Wf, bf)
        backward = run(x[turned, n], g0, Ug, Wg, bg)
        return np.concatenate([forward, backward], axis=-1) * (t < lengths)[..., None]

    right = PaddingFirst.right

    @staticmethod
    def shows():
        # The last step's backward state has read the last input and no other.
        moved = _moved_by(NotTurnedBack, [5, 5], np.s_[0], np.s_[-1, :, 4:])
        return {
            f"first input changed: g at the last step moves by, {k}": v for k, v in moved.items()
        }


class ForwardTwice(Exhibit):
    """Both networks read from the beginning."""

    key = "forward-twice"
    symptom = "The network does not see what comes after a word"
    check = "taxonomy.bidirectional"
    rung = "probes"
    slip = "the input is not turned"

    @staticmethod
    def wrong(x, lengths, h0, g0, Uf, Wf, bf, Ug, Wg, bg):
        t, n = np.arange(len(x))[:, None], np.arange(x.shape[1])
        turned = t
        forward = run(x, h0, Uf, Wf, bf)
        backward = run(x[turned, n], g0, Ug, Wg, bg)[turned, n]
        return np.concatenate([forward, backward], axis=-1) * (t < lengths)[..., None]

    right = PaddingFirst.right

    @staticmethod
    def shows():
        moved = _moved_by(ForwardTwice, [5, 5], np.s_[-1], np.s_[0])
        return {f"last input changed: the first output moves by, {k}": v for k, v in moved.items()}


def network(x, U, W, b):
    """torch.nn.RNN with two layers and both directions, with these weights in it."""
    rnn = torch.nn.RNN(x.shape[-1], len(b[0]), 2, bidirectional=True, dtype=x.dtype)
    rnn = rnn.to(x.device)
    names = ("l0", "l0_reverse", "l1", "l1_reverse")
    with torch.no_grad():
        for name, *values in zip(names, U, W, b, strict=True):
            for kind, value in zip(("weight_ih", "weight_hh", "bias_ih"), values, strict=True):
                getattr(rnn, f"{kind}_{name}").copy_(value)
            getattr(rnn, f"bias_hh_{name}").zero_()
    return rnn


class LeftSorted(Exhibit):
    """Sorted by length for packing, and never put back."""

    key = "left-sorted"
    symptom = "Accuracy is good with batches of one, and poor with larger ones"
    check = "taxonomy.packed"
    rung = "probes"
    slip = "sorted by length, and not put back"

    @staticmethod
    def wrong(x, lengths, U, W, b):
        order = lengths.argsort(descending=True)
        rows = pack_padded_sequence(x[:, order], lengths[order])
        s, _ = pad_packed_sequence(network(x, U, W, b)(rows)[0], total_length=len(x))
        return s

    @staticmethod
    def right(x, lengths, U, W, b):
        order = lengths.argsort(descending=True)
        rows = pack_padded_sequence(x[:, order], lengths[order])
        s, _ = pad_packed_sequence(network(x, U, W, b)(rows)[0], total_length=len(x))
        return s[:, order.argsort()]

    @staticmethod
    def shows():
        lengths = torch.tensor([2, 5, 3, 4])
        order = lengths.argsort(descending=True)
        strangers = int((order != torch.arange(4)).sum())
        return {"lengths 2, 5, 3, 4: sequences that get another's states": f"{strangers} of 4"}


# ------------------------------------------------------------------------------ chapter 5: gates


class CandidateForCell(Exhibit):
    """The candidate stands where the old cell belongs."""

    key = "candidate-for-cell"
    symptom = "An LSTM that remembers no more than a plain network"
    check = "gates.lstm_step"
    rung = "probes"
    slip = "the candidate stands where the old cell belongs: c' for c"

    @staticmethod
    def wrong(x, h, c, U, W, b):
        i, f, o, g = np.split(b + h @ W.T + x @ U.T, 4, axis=-1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        c = f * g + i * g
        return o * np.tanh(c), c

    @staticmethod
    def right(x, h, c, U, W, b):
        i, f, o, g = np.split(b + h @ W.T + x @ U.T, 4, axis=-1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        c = f * c + i * g
        return o * np.tanh(c), c

    @staticmethod
    def shows():
        x, h, c, U, W, b = _lstm(12)
        found = {}
        for name, each in zip(("wrong", "right"), _both(CandidateForCell), strict=True):
            moved = largest(each(x, h, c, U, W, b)[1], each(x, h, c + 1, U, W, b)[1])
            found[f"old cell moved by 1: new cell moves by, {name}"] = f"{moved:.2f}"
        return found


def _lstm(seed: int, B: int = 2, D: int = 3, H: int = 4) -> tuple[np.ndarray, ...]:
    """Arguments of `gates.lstm_step`."""
    rng = np.random.default_rng(seed)
    sizes = (B, D), (B, H), (B, H), (4 * H, D), (4 * H, H), (4 * H,)
    return tuple(rng.normal(0, 0.7, size) for size in sizes)


class SwappedStates(Exhibit):
    """The cell is returned where the hidden state belongs."""

    key = "swapped-states"
    symptom = "An LSTM taken from one library to another is wrong from the second step on"
    check = "gates.lstm_step"
    rung = "probes"
    slip = "c and h come back in the other order"

    @staticmethod
    def wrong(x, h, c, U, W, b):
        h, c = gates.lstm_step(x, h, c, U, W, b)
        return c, h

    @staticmethod
    def right(x, h, c, U, W, b):
        h, c = gates.lstm_step(x, h, c, U, W, b)
        return h, c

    @staticmethod
    def shows():
        x, h, c, U, W, b = _lstm(13)
        b = b + 1  # gates mostly open: the cell grows
        found = {}
        for name, each in zip(("wrong", "right"), _both(SwappedStates), strict=True):
            state = (h, c)
            for _ in range(20):
                state = each(x, *state, U, W, b)
            found[f"largest “hidden state” in 20 steps, {name}"] = f"{np.abs(state[0]).max():.2f}"
        return found


class GateOrder(Exhibit):
    """Weights are copied block by block, in the wrong order."""

    key = "gate-order"
    symptom = "Converted weights load without a complaint; the outputs are wrong"
    check = "gates.to_torch"
    rung = "probes"
    slip = "the blocks stay as i, f, o, g"

    @staticmethod
    def wrong(U, W, b):
        order = [0, 1, 2, 3]  # i, f, o, g as they are
        blocks = [np.concatenate([np.split(a, 4)[k] for k in order]) for a in (U, W, b)]
        return *blocks, np.zeros_like(b)

    @staticmethod
    def right(U, W, b):
        order = [0, 1, 3, 2]  # i, f, g, o as PyTorch wants them
        blocks = [np.concatenate([np.split(a, 4)[k] for k in order]) for a in (U, W, b)]
        return *blocks, np.zeros_like(b)

    @staticmethod
    def shows():
        return _against_torch(GateOrder, 14)


def _against_torch(exhibit: type[Exhibit], seed: int) -> dict[str, str]:
    """Largest difference of states, our LSTM against torch.nn.LSTM with the weights copied."""
    *_, U, W, b = _lstm(seed)
    x = np.random.default_rng(seed).normal(size=(6, 2, 3))
    zero, found = np.zeros((2, 4)), {}
    ours = gates.lstm_forward(x, zero, zero, U, W, b)[0]
    for name, each in zip(("wrong", "right"), _both(exhibit), strict=True):
        lstm = torch.nn.LSTM(3, 4, dtype=torch.float64)
        with torch.no_grad():
            for parameter, value in zip(lstm.parameters(), each(U, W, b), strict=True):
                parameter.copy_(torch.from_numpy(value))
            states = lstm(torch.from_numpy(x))[0].numpy()
        found[f"states against torch.nn.LSTM, 6 steps, {name}"] = power(largest(ours, states))
    return found


class BiasTwice(Exhibit):
    """Two biases are added, and both are set."""

    key = "bias-twice"
    symptom = "A forget bias of 1 acts like 2; converted biases count double"
    check = "gates.to_torch"
    rung = "probes"
    slip = "the bias is given twice"

    @staticmethod
    def wrong(U, W, b):
        order = [0, 1, 3, 2]
        U, W, b = (np.concatenate([np.split(a, 4)[k] for k in order]) for a in (U, W, b))
        return U, W, b, b

    @staticmethod
    def right(U, W, b):
        order = [0, 1, 3, 2]
        U, W, b = (np.concatenate([np.split(a, 4)[k] for k in order]) for a in (U, W, b))
        return U, W, b, np.zeros_like(b)

    @staticmethod
    def shows():
        return {
            "forget gate, all else 0, bias 1 in both": f"{sigmoid(1.0 + 1.0):.2f}",
            "in one": f"{sigmoid(1.0):.2f}",
            **_against_torch(BiasTwice, 15),
        }


class TakeOrKeep(Exhibit):
    """The update gate of the other convention."""

    key = "take-or-keep"
    symptom = "A GRU written from one paper and weights from another do not agree"
    check = "gates.gru_forward"
    rung = "probes"
    slip = "the other lecture's convention: u keeps the old instead of taking the new"

    @staticmethod
    def wrong(x, h0, U, W, b):
        H, h, hs, kept = h0.shape[-1], h0, [], []
        for now in x @ U.T + b:
            r, u = np.split(sigmoid(now[:, : 2 * H] + h @ W[: 2 * H].T), 2, axis=-1)
            n = np.tanh(now[:, 2 * H :] + (r * h) @ W[2 * H :].T)
            h = (1 - u) * n + u * h
            hs.append(h)
            kept.append(np.concatenate([r, u, n], axis=-1))
        return np.stack(hs), np.stack(kept)

    @staticmethod
    def right(x, h0, U, W, b):
        H, h, hs, kept = h0.shape[-1], h0, [], []
        for now in x @ U.T + b:
            r, u = np.split(sigmoid(now[:, : 2 * H] + h @ W[: 2 * H].T), 2, axis=-1)
            n = np.tanh(now[:, 2 * H :] + (r * h) @ W[2 * H :].T)
            h = u * n + (1 - u) * h
            hs.append(h)
            kept.append(np.concatenate([r, u, n], axis=-1))
        return np.stack(hs), np.stack(kept)

    @staticmethod
    def shows():
        h0, zero = np.ones((1, 1)), np.zeros((1, 1, 1))
        U, W, b = np.zeros((3, 1)), np.zeros((3, 1)), np.array([0.0, 3.0, 0.0])
        wrong, right = (each(zero, h0, U, W, b)[0].item() for each in _both(TakeOrKeep))
        return {
            f"u = {sigmoid(3.0):.2f}, a state of 1 and a candidate of 0: keep": f"{wrong:.2f}",
            "take": f"{right:.2f}",
        }


class ResetBefore(Exhibit):
    """The reset gate acts on the other side of the product."""

    key = "reset-before"
    symptom = "A converted GRU is close, but not equal"
    check = "gates.gru_after"
    rung = "probes"
    slip = "the reset gate acts before W_n, as in exercise 5.4"

    @staticmethod
    def wrong(x, h0, U, W, b, d):
        H, h, hs = h0.shape[-1], h0, []
        for now in x @ U.T + b:
            r, u = np.split(sigmoid(now[:, : 2 * H] + h @ W[: 2 * H].T), 2, axis=-1)
            n = np.tanh(now[:, 2 * H :] + (r * h) @ W[2 * H :].T + d)
            h = (1 - u) * n + u * h
            hs.append(h)
        return np.stack(hs)

    @staticmethod
    def right(x, h0, U, W, b, d):
        H, h, hs = h0.shape[-1], h0, []
        for now in x @ U.T + b:
            r, u = np.split(sigmoid(now[:, : 2 * H] + h @ W[: 2 * H].T), 2, axis=-1)
            n = np.tanh(now[:, 2 * H :] + r * (h @ W[2 * H :].T + d))
            h = (1 - u) * n + u * h
            hs.append(h)
        return np.stack(hs)

    @staticmethod
    def shows():
        rng = np.random.default_rng(16)
        x, h0 = rng.normal(size=(5, 2, 3)), rng.normal(size=(2, 4))
        U, W, b = (rng.normal(0, 0.7, size) for size in ((12, 3), (12, 4), (12,)))
        d = rng.normal(size=4)

        def apart(steps, h0, d):
            wrong, right = (each(x[:steps], h0, U, W, b, d) for each in _both(ResetBefore))
            return f"{largest(wrong, right):.2f}"

        return {
            "one step from h = 0, d = 0: apart by": apart(1, 0 * h0, 0 * d),
            "five steps from another state": apart(5, h0, d),
        }


class NatsForBits(Exhibit):
    """The natural logarithm, reported as bits."""

    key = "nats-for-bits"
    symptom = "Fewer bits per character than anybody else's model"
    check = "gates.bits_per_character"
    rung = "probes"
    slip = "nats, not bits"

    @staticmethod
    def wrong(o, y, mask):
        nats = (minus_log_p(o, y) * mask).sum() / mask.sum()
        return nats

    @staticmethod
    def right(o, y, mask):
        nats = (minus_log_p(o, y) * mask).sum() / mask.sum()
        return nats / np.log(2)

    @staticmethod
    def shows():
        o, y, mask = np.zeros((1, 1, 27)), np.zeros((1, 1), int), np.ones((1, 1))
        wrong, right = (each(o, y, mask) for each in _both(NatsForBits))
        return {
            "“bits” for guessing among 27 letters": f"{wrong:.2f}",
            "right, log₂ 27": f"{right:.2f}",
        }


# ---------------------------------------------------------------- chapter 6: sequence to sequence


class ScoresTimesMask(Exhibit):
    """A masked score is 0, and exp(0) is 1."""

    key = "scores-times-mask"
    symptom = "A translation changes with the batch that its source is padded in"
    check = "seq2seq.dot_attention"
    rung = "probes"
    slip = "scores in the padding are 0 instead of minus infinity: exp(0) is 1"

    @staticmethod
    def wrong(query, keys, values, mask):
        scores = np.einsum("tbh,bh->tb", keys, query) / np.sqrt(query.shape[-1])
        scores = scores * mask
        weight = np.exp(scores - scores.max(axis=0))
        alpha = weight / weight.sum(axis=0)
        return np.einsum("tb,tbc->bc", alpha, values), alpha

    @staticmethod
    def right(query, keys, values, mask):
        scores = np.einsum("tbh,bh->tb", keys, query) / np.sqrt(query.shape[-1])
        scores = np.where(mask > 0, scores, -np.inf)
        weight = np.exp(scores - scores.max(axis=0))
        alpha = weight / weight.sum(axis=0)
        return np.einsum("tb,tbc->bc", alpha, values), alpha

    @staticmethod
    def shows():
        found = {}
        for steps in (5, 10, 50):
            keys, mask = np.zeros((steps, 1, 4)), (np.arange(steps) < 5)[:, None] * 1.0
            wrong, right = (
                each(np.zeros((1, 4)), keys, keys, mask)[1][5:].sum()
                for each in _both(ScoresTimesMask)
            )
            found[f"5 steps padded to {steps}, equal scores: weight of the padding, and right"] = (
                f"{wrong:.2f}, {right:.2f}"
            )
        return found


class MeanOfMeans(Exhibit):
    """A mean of means weighs the symbols of short sequences more."""

    key = "mean-of-means"
    symptom = "Two small batches, one after the other, don't train like one large batch"
    check = "seq2seq.masked_cross_entropy.loss"
    rung = "probes"
    slip = "the mean of the sequences' means: short sequences weigh more"

    @staticmethod
    def wrong(o, y, mask):
        weight = mask / mask.sum(axis=0) / mask.shape[1]
        loss = (weight * minus_log_p(o, y)).sum()
        return loss, weight[..., None] * (softmax(o) - np.eye(o.shape[-1], dtype=o.dtype)[y])

    @staticmethod
    def right(o, y, mask):
        weight = mask / mask.sum()
        loss = (weight * minus_log_p(o, y)).sum()
        return loss, weight[..., None] * (softmax(o) - np.eye(o.shape[-1], dtype=o.dtype)[y])

    @staticmethod
    def shows():
        mask = np.array([[1.0, 1.0], *[[0.0, 1.0]] * 8])  # lengths 1 and 9
        y = np.zeros((9, 2), int)
        p = np.array([0.1, 0.9])  # of the target, in the short and in the long sequence
        o = np.log(np.stack([p, 1 - p], axis=-1))[None].repeat(9, axis=0)
        (loss, do), (true, _) = (each(o, y, mask) for each in _both(MeanOfMeans))
        alone = [MeanOfMeans.right(*(a[:, n : n + 1] for a in (o, y, mask)))[0] for n in range(2)]
        share = np.abs(do[0] / (softmax(o) - np.array([1.0, 0.0]))[0])[:, 0]
        return {
            "sequences of 1 and of 9 symbols: loss a symbol, wrong": f"{loss:.2f}",
            "mean of two batches of one sequence each": f"{np.mean(alone):.2f}",
            "right": f"{true:.2f}",
            "a symbol of the short one counts, against one of the long one": (
                f"{share[0] / share[1]:.0f} times"
            ),
        }


class StateOfTheLast(Exhibit):
    """All beginnings go on from one state."""

    key = "state-of-the-last"
    symptom = "Beam search writes worse than greedy search, and its score is not the sentence's"
    check = "seq2seq.beam_search"
    rung = "values"
    slip = "all beginnings go on from the state of the last one"

    @staticmethod
    def wrong(step, state, begin, end, width, limit, length_penalty):
        live, done = [(0.0, [], state)], []
        while live and len(live[0][1]) < limit:
            longer = []
            for p, y, before in live:
                after, log_p = step(before, y[-1] if y else begin)
                longer += [(p + log_p[k], [*y, k], after) for k in range(len(log_p))]
            best = sorted(longer, key=lambda each: -each[0])[:width]
            done += [each for each in best if each[1][-1] == end]
            live = [(p, y, after) for p, y, own in best if y[-1] != end]
        scored = [(y, p / len(y) ** length_penalty) for p, y, _ in done + live]
        return max(scored, key=lambda each: each[1])

    @staticmethod
    def right(step, state, begin, end, width, limit, length_penalty):
        live, done = [(0.0, [], state)], []
        while live and len(live[0][1]) < limit:
            longer = []
            for p, y, before in live:
                after, log_p = step(before, y[-1] if y else begin)
                longer += [(p + log_p[k], [*y, k], after) for k in range(len(log_p))]
            best = sorted(longer, key=lambda each: -each[0])[:width]
            done += [each for each in best if each[1][-1] == end]
            live = [(p, y, own) for p, y, own in best if y[-1] != end]
        scored = [(y, p / len(y) ** length_penalty) for p, y, _ in done + live]
        return max(scored, key=lambda each: each[1])

    @staticmethod
    def shows():
        rng, found = np.random.default_rng(18), []
        for _ in range(100):  # decoders drawn at random, with six symbols; the last one ends
            W, E, V = (rng.normal(0, 1.5, size) for size in ((4, 4), (6, 4), (6, 4)))

            def step(s, k, W=W, E=E, V=V):
                s = np.tanh(W @ s + E[k])
                return s, log_softmax(V @ s)

            ways = [each(step, np.zeros(4), 5, 5, 4, 8, 0) for each in _both(StateOfTheLast)]
            found.append([number for y, score in ways for number in (score, _log_p(step, y))])
        said, true, right_said, right_true = np.mean(found, axis=0)
        return {
            "100 decoders, width 4: mean score that it reports, wrong": f"{said:.2f}",
            "log P of what it wrote": f"{true:.2f}",
            "the two, right": f"{right_said:.2f}, {right_true:.2f}",
        }


def _log_p(step, y: list[int]) -> float:
    """The log-probability of symbols, by the decoder itself, from a zero state."""
    total, state = 0.0, np.zeros(4)
    for before, now in zip([5, *y[:-1]], y, strict=True):
        state, log_p = step(state, before)
        total += log_p[now]
    return total


def matches(candidate, answers):
    """BLEU's ten counts for a sentence: n-grams right (4), n-grams made (4), length, wanted."""
    allowed = [Counter() for _ in range(4)]
    for n in range(4):
        for answer in answers:
            allowed[n] |= ngrams(answer, n + 1)
    made = [ngrams(candidate, n + 1) for n in range(4)]
    hits = [(m & a).total() for m, a in zip(made, allowed, strict=True)]
    wanted = min((abs(len(answer) - len(candidate)), len(answer)) for answer in answers)[1]
    return [*hits, *(m.total() for m in made), len(candidate), wanted]


def from_matches(counts):
    """BLEU from those ten counts; 0 if no n-gram of some length is right."""
    hits, made, length, wanted = counts[:4], counts[4:8], counts[8], counts[9]
    if not hits.all():
        return 0.0
    return min(1.0, np.exp(1 - wanted / length)) * np.exp(np.log(hits / made).mean())


class MeanOfBleus(Exhibit):
    """The mean of the sentences' scores is reported as BLEU."""

    key = "mean-of-bleus"
    symptom = "Your BLEU is not that of a paper, with the same outputs"
    check = "seq2seq.bleu"
    rung = "probes"
    slip = "the mean of the sentences' scores, not one score of the corpus"

    @staticmethod
    def wrong(candidates, references):
        pairs = zip(candidates, references, strict=True)
        counts = np.array([matches(candidate, answers) for candidate, answers in pairs])
        return np.mean([from_matches(sentence) for sentence in counts])

    @staticmethod
    def right(candidates, references):
        pairs = zip(candidates, references, strict=True)
        counts = np.array([matches(candidate, answers) for candidate, answers in pairs])
        return from_matches(counts.sum(axis=0))

    @staticmethod
    def shows():
        said = [s.split() for s in ("good morning", "how are you", "where is the next station")]
        wrong, right = (each(said, [[s] for s in said]) for each in _both(MeanOfBleus))
        return {
            "three translations, all as the references: wrong": f"{wrong:.2f}",
            "right": f"{right:.2f}",
        }


# ---------------------------------------------------------------- chapter 7: learning to learn


class Uncorrected(Exhibit):
    """Adam's means begin at zero, and nobody corrects them."""

    key = "uncorrected"
    symptom = "The first updates are too large; training needs a warm-up, or fails without one"
    check = "learning.adam"
    rung = "probes"
    slip = "the means are not corrected"

    @staticmethod
    def wrong(theta, grad, m, s, t, rate, beta1, beta2, eps):
        m = beta1 * m + (1 - beta1) * grad
        s = beta2 * s + (1 - beta2) * grad * grad
        m_hat, s_hat = m, s
        return theta - rate * m_hat / (np.sqrt(s_hat) + eps), m, s

    @staticmethod
    def right(theta, grad, m, s, t, rate, beta1, beta2, eps):
        m = beta1 * m + (1 - beta1) * grad
        s = beta2 * s + (1 - beta2) * grad * grad
        m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
        return theta - rate * m_hat / (np.sqrt(s_hat) + eps), m, s

    @staticmethod
    def shows():
        steps = {}
        for name, each in zip(("wrong", "right"), _both(Uncorrected), strict=True):
            theta = m = s = np.zeros(1)
            path = [0.0]
            for t in range(1, 101):
                theta, m, s = each(theta, np.ones(1), m, s, t, 1.0, 0.9, 0.999, 1e-8)
                path.append(float(theta[0]))
            steps[name] = -np.diff(path)
        return {
            f"step {t}, as a multiple of the rate: wrong, right": (
                f"{steps['wrong'][t - 1]:.2f}, {steps['right'][t - 1]:.2f}"
            )
            for t in (1, 10, 100)
        }


class DecayInGradient(Exhibit):
    """Weight decay goes into the gradient, and is divided like it."""

    key = "decay-in-gradient"
    symptom = "Weight decay does next to nothing to some weights, whatever its size"
    check = "learning.adamw"
    rung = "probes"
    slip = "the decay is added to the gradient"

    @staticmethod
    def wrong(theta, grad, m, s, t, rate, beta1, beta2, eps, decay):
        grad = grad + decay * theta
        m = beta1 * m + (1 - beta1) * grad
        s = beta2 * s + (1 - beta2) * grad * grad
        m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
        return theta - rate * m_hat / (np.sqrt(s_hat) + eps), m, s

    @staticmethod
    def right(theta, grad, m, s, t, rate, beta1, beta2, eps, decay):
        theta = (1 - rate * decay) * theta
        m = beta1 * m + (1 - beta1) * grad
        s = beta2 * s + (1 - beta2) * grad * grad
        m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
        return theta - rate * m_hat / (np.sqrt(s_hat) + eps), m, s

    @staticmethod
    def shows():
        found = {}
        size = np.array([1.0, 100.0])
        for name, each in zip(("wrong", "right"), _both(DecayInGradient), strict=True):
            theta, m, s = np.ones(2), np.zeros(2), np.zeros(2)
            for t in range(1, 1001):  # gradients that only swing, so that decay is all that lasts
                args = theta, size * (-1) ** t, m, s, t, 0.01, 0.9, 0.999, 1e-8, 0.1
                theta, m, s = each(*args)
            left = ", ".join(f"{value:.2f}" for value in theta)
            found[f"gradients ±1 and ±100: left of two weights of 1, after 1000 steps, {name}"] = (
                left
            )
        return found


def squares(theta, W, y):
    """The functions of (7.9), with tensors: (F, n), (F, M, n), (F, M) -> (F,)."""
    return ((W @ theta[..., None])[..., 0] - y).square().sum(-1)


class NoSecondGraph(Exhibit):
    """The gradient that the rule reads has no graph of its own."""

    key = "no-second-graph"
    symptom = "“Second order” costs no more than first order, and gives the same numbers"
    check = "learning.learned_meta_gradient"
    rung = "probes"
    slip = "second derivatives are never kept"

    @staticmethod
    def wrong(W, y, theta, phi, T, second):
        phi = [each.detach().clone().requires_grad_() for each in phi]
        h = c = theta.new_zeros(2, theta.numel(), len(phi[6]))
        theta, L = theta.detach().clone().requires_grad_(), 0.0
        for _ in range(T):
            (d,) = torch.autograd.grad(squares(theta, W, y).sum(), theta)
            step, h, c = learned_step(d.reshape(-1, 1), h, c, phi)
            theta = theta + step.view_as(theta)
            L = L + squares(theta, W, y).mean()
        return L.detach(), list(torch.autograd.grad(L, phi))

    @staticmethod
    def right(W, y, theta, phi, T, second):
        phi = [each.detach().clone().requires_grad_() for each in phi]
        h = c = theta.new_zeros(2, theta.numel(), len(phi[6]))
        theta, L = theta.detach().clone().requires_grad_(), 0.0
        for _ in range(T):
            (d,) = torch.autograd.grad(squares(theta, W, y).sum(), theta, create_graph=second)
            step, h, c = learned_step(d.reshape(-1, 1), h, c, phi)
            theta = theta + step.view_as(theta)
            L = L + squares(theta, W, y).mean()
        return L.detach(), list(torch.autograd.grad(L, phi))

    @staticmethod
    def shows():
        rng = np.random.default_rng(19)
        shapes = (12, 1), (12, 3), (12,), (12, 3), (12, 3), (12,), (3,), (1,)
        phi = [torch.tensor(rng.normal(0, 0.5, shape)) for shape in shapes]
        W, y, theta = (torch.tensor(rng.normal(size=size)) for size in ((2, 4, 4), (2, 4), (2, 4)))

        def slope(answer, second):
            return float(answer(W, y, theta, phi, 10, second)[1][-1])

        def loss(k):
            return float(NoSecondGraph.right(W, y, theta, [*phi[:-1], phi[-1] + k], 10, False)[0])

        wrong, right = _both(NoSecondGraph)
        return {
            "∂L/∂k of a rule over 10 steps, second=True: wrong": f"{slope(wrong, True):.3f}",
            "right": f"{slope(right, True):.3f}",
            "by differences": f"{(loss(1e-5) - loss(-1e-5)) / 2e-5:.3f}",
            "second=False, both": f"{slope(wrong, False):.3f}, {slope(right, False):.3f}",
        }


class TunedOnTest(Exhibit):
    """The test functions choose the rate, and then judge it."""

    key = "tuned-on-test"
    symptom = "A result that nobody else reaches; the more was tried, the better it is"
    check = "learning.tuned"
    rung = "probes"
    slip = "the rate is chosen on the held-out functions"

    @staticmethod
    def wrong(train, test):
        train, test = (np.where(np.isnan(a), np.inf, a) for a in (train, test))
        last = np.median(test[:, :, -1], axis=1)
        best = int(np.argmin(last))
        return best, *np.quantile(test[best], [0.25, 0.5, 0.75], axis=0)

    @staticmethod
    def right(train, test):
        train, test = (np.where(np.isnan(a), np.inf, a) for a in (train, test))
        last = np.median(train[:, :, -1], axis=1)
        best = int(np.argmin(last))
        return best, *np.quantile(test[best], [0.25, 0.5, 0.75], axis=0)

    @staticmethod
    def shows():
        found = {}
        for rates in (1, 5, 25):
            rng = np.random.default_rng(20)
            draws = np.exp(rng.normal(size=(500, 2, rates, 11, 1)))  # no rate is better
            said = [
                np.mean([np.log(each(*draw)[2][0]) for draw in draws])
                for each in _both(TunedOnTest)
            ]
            wrong, right = np.exp(said)
            found[f"rates tried, all alike: {rates}; median loss reported, wrong, right"] = (
                f"{wrong:.2f}, {right:.2f}"
            )
        return found


# -------------------------------------------------------------------------- chapter 8: how fast


class OneForTwo(Exhibit):
    """A multiplication and its addition are counted as one."""

    key = "one-for-two"
    symptom = "A program uses a quarter of the machine, and its authors say an eighth"
    check = "speed.operations"
    rung = "probes"
    slip = "a multiplication and its addition are counted as one"

    @staticmethod
    def wrong(T, B, D, H, G):
        forward = T * B * G * H * (D + H)
        return float(forward), float(2 * forward)

    @staticmethod
    def right(T, B, D, H, G):
        forward = 2 * T * B * G * H * (D + H)
        return float(forward), float(2 * forward)

    @staticmethod
    def shows():
        T, B, D, H, G = 1, 2, 3, 4, 4
        with FlopCounterMode(display=False) as counter:
            torch.ones(T * B, D + H) @ torch.ones(D + H, G * H)
        wrong, right = (each(T, B, D, H, G)[0] for each in _both(OneForTwo))
        return {
            "a step of a small LSTM, wrong": f"{wrong:.0f}",
            "right": f"{right:.0f}",
            "PyTorch's own counter": f"{counter.get_total_flops()}",
        }


class FourBytes(Exhibit):
    """Every number is taken to have 4 bytes."""

    key = "four-bytes"
    symptom = "A program moves twice what the memory can; or NumPy is half as fast as it should be"
    check = "speed.step_traffic"
    rung = "properties"
    slip = "every number is taken to have 4 bytes"

    @staticmethod
    def wrong(B, H, G, size):
        Q = 4 * (G * H * H + (G + 2) * B * H)
        return float(Q), 2 * B * G * H * H / Q

    @staticmethod
    def right(B, H, G, size):
        Q = size * (G * H * H + (G + 2) * B * H)
        return float(Q), 2 * B * G * H * H / Q

    @staticmethod
    def shows():
        found = {"bytes of a number that NumPy makes by itself": f"{np.ones(1).itemsize}"}
        for kind in (np.float16, np.float32, np.float64):
            size = np.dtype(kind).itemsize
            wrong, right = (each(16, 512, 4, size)[0] for each in _both(FourBytes))
            found[f"a step at the memory's full speed, {kind.__name__}: reported as"] = (
                f"{100 * wrong / right:.0f} %"
            )
        return found


class NotWaitedFor(Exhibit):
    """The clock stops when the work has been asked for, not when it is done."""

    key = "not-waited-for"
    symptom = "A product of any size takes the same few microseconds on the GPU"
    check = "speed.predict"
    rung = "probes"
    slip = "the calls alone: what they start is not waited for"

    @staticmethod
    def wrong(N, Q, calls, rate, bandwidth, latency):
        return calls * latency

    @staticmethod
    def right(N, Q, calls, rate, bandwidth, latency):
        return calls * latency + np.maximum(N / rate, Q / bandwidth)

    @staticmethod
    def shows():
        n = np.array([256.0, 2048.0, 16384.0])
        machine = 50e12, 3e12, 5e-6  # operations, bytes a second; seconds a call
        work = 2 * n**3, 4 * 3 * n**2, np.ones(3)
        wrong, right = (each(*work, *machine) for each in _both(NotWaitedFor))
        found = {
            f"{n[i]:.0f} × {n[i]:.0f}: the clock says; predicted": (
                f"{wrong[i] * 1e6:.0f} µs; {right[i] * 1e6:,.0f} µs"
            )
            for i in range(3)
        }
        times = work[0][-1] / wrong[-1] / machine[0]
        return {**found, "the last, as a multiple of what the machine can do": f"{times:,.0f}"}


class StepsExchanged(Exhibit):
    """The later step is joined as if it were the earlier one."""

    key = "steps-exchanged"
    symptom = "A parallel scan is right for sums and products, and wrong for a recurrence"
    check = "speed.pair"
    rung = "probes"
    slip = "the two steps are in the other order"

    @staticmethod
    def wrong(a, b):
        (a1, a2), (b1, b2) = ((x[: len(x) // 2 * 2 : 2], x[1::2]) for x in (a, b))
        return a2 * a1, a1 * b2 + b1

    @staticmethod
    def right(a, b):
        (a1, a2), (b1, b2) = ((x[: len(x) // 2 * 2 : 2], x[1::2]) for x in (a, b))
        return a2 * a1, a2 * b1 + b2

    @staticmethod
    def shows():
        def last(pair, a, b):
            """The state after four steps, by pairs of pairs."""
            return float(pair(*pair(a, b))[1].item())

        impulse = np.array([1.0, 0.0, 0.0, 0.0])[:, None, None]
        half, one = np.full_like(impulse, 0.5), np.ones_like(impulse)
        wrong, right = _both(StepsExchanged)
        return {
            "an impulse, halved at each step, after four: wrong": f"{last(wrong, half, impulse):g}",
            "right": f"{last(right, half, impulse):g}",
            "a sum, wrong and right": f"{last(wrong, one, one):g}, {last(right, one, one):g}",
        }


# ---------------------------------------------------------------------------- how they are shown


def source(exhibit: type[Exhibit], which: str) -> list[str]:
    """Lines of `wrong` or `right`, under the name that the exercise gives it."""
    exercise, _ = find(exhibit.check)
    text = textwrap.dedent(inspect.getsource(getattr(exhibit, which)))
    text = re.sub(r"  # noqa: \w+", "", text.removeprefix("@staticmethod\n"))
    return re.sub(rf"def {which}\b", f"def {exercise.symbol}", text, count=1).splitlines()


def fix(exhibit: type[Exhibit]) -> list[str]:
    """The lines that change, first those that go ("- ") then those that come ("+ ")."""
    changed = difflib.ndiff(source(exhibit, "wrong"), source(exhibit, "right"))
    return sorted((line for line in changed if line[:2] in ("- ", "+ ")), reverse=True)


def answer(exhibit: type[Exhibit], which: str) -> Callable:
    """The code as the page shows it, defined as a notebook would: reports name its own lines."""
    file, lines = f"<{exhibit.key}, {which}>", source(exhibit, which)
    text = "\n".join(lines) + "\n"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    names = dict(globals())
    exec(compile(text, file, "exec"), names)
    return names[find(exhibit.check)[0].symbol]


def judge(exhibit: type[Exhibit], which: str) -> None:
    """Run the course's check, which shows its report."""
    with capture_output() as shown, contextlib.suppress(CheckFailed):  # the report says it
        check(exhibit.check, answer(exhibit, which))
    for each in shown.outputs:  # without the data, which is for graders
        display({kind: each.data[kind] for kind in ("text/plain", "text/html")}, raw=True)


def show(key: str) -> None:
    """Show an exhibit: the wrong code, what it does, its check, the fix, the check again."""
    exhibit = EXHIBITS[key]
    _fenced("python", source(exhibit, "wrong"))
    display(Markdown("\n".join(f"- {k.strip()}: **{v}**" for k, v in exhibit.shows().items())))
    judge(exhibit, "wrong")
    _fenced("diff", fix(exhibit))
    judge(exhibit, "right")


def _fenced(language: str, lines: list[str]) -> None:
    display(Markdown("\n".join([f"```{language}", *lines, "```"])))


def title(exhibit: type[Exhibit]) -> str:
    """The exhibit's heading on the page: the first line of its docstring."""
    return inspect.cleandoc(exhibit.__doc__).splitlines()[0].rstrip(".")


def contents() -> HTML:
    """The table at the top: symptom, exhibit, exercise, and where the check stops."""
    rows = []
    for key, exhibit in EXHIBITS.items():
        link = f'<a href="#museum-{key}">{html.escape(title(exhibit))}</a>'
        number = find(exhibit.check)[0].number
        cells = html.escape(exhibit.symptom), link, f"{number}<br>{exhibit.rung}"
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in ("symptom", "exhibit", "exercise, rung"))
    return HTML(
        '<div class="pst-scrollable-table-container rnn-wide-table"><table class="table"><thead>'
        f"<tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
