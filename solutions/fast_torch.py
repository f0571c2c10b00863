"""PyTorch twins of `fast`, for any device and floating-point type.  No exercise: chapter 8.

- `unroll` is the eager loop: the input's share is one product before it, a *step* is a pure
  function.  `torch.compile(step)` is a step as well: compile that, never the loop, whose graph
  grows with T and is compiled again for each new length.  `Recorded` makes a CUDA graph of a step.
- `RNNFunction`, `LSTMFunction`, `GRUFunction` bring a backward pass written by hand: what `fast`
  does, without a tape of T steps.
- `scan` solves a recurrence that is linear in its state in about 2 log2 T sweeps, and `MinGRU` is
  the network that has such a recurrence.

Weights are stacked as in `gates`; blocks i, f, o, g for an LSTM and r, u, n for a GRU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

State = Any
Step = Callable[..., State]


def rnn_step(driven: Tensor, h: Tensor, W: Tensor) -> Tensor:
    """One step of a tanh network.  Source: eqs (3.1)-(3.2).

    driven : (B, H), b + U x(t); h : (B, H); W : (H, H).  Returns h : (B, H).
    """
    return torch.tanh(driven + h @ W.T)


def lstm_step(driven: Tensor, state: tuple[Tensor, Tensor], W: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM.  Source: eqs (5.1)-(5.4).

    driven : (B, 4H), b + U x(t); state : h and c, (B, H) each; W : (4H, H).  Returns h and c.
    """
    h, c = state
    i, f, o, g = (driven + h @ W.T).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_step(driven: Tensor, h: Tensor, W: Tensor, d: Tensor) -> Tensor:
    """One step of a GRU, reset after the product.  Source: eqs (5.16) and (5.20).

    driven : (B, 3H), b + U x(t); h : (B, H); W : (3H, H); d : (H,).  Returns h : (B, H).
    """
    width = h.shape[-1]
    recurrent = h @ W.T
    r, u = torch.sigmoid(driven[:, : 2 * width] + recurrent[:, : 2 * width]).chunk(2, -1)
    n = torch.tanh(driven[:, 2 * width :] + r * (recurrent[:, 2 * width :] + d))
    return n + u * (h - n)


def unroll(
    step: Step, x: Tensor, state: State, U: Tensor, b: Tensor, *weights: Tensor
) -> tuple[Tensor, State]:
    """Run a step over a sequence, the input's product once for all steps.

    x : (T, B, D); state : what step takes and returns; U : (G H, D), b : (G H,); weights : the rest
    of step's arguments

    Returns h : (T, B, H), and the last state.
    """
    states = []
    for driven in torch.nn.functional.linear(x, U, b):
        state = step(driven, state, *weights)
        states.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(states), state


class Recorded:
    """A step recorded once, and replayed: on a GPU as a CUDA graph, elsewhere by running it again.

    `unroll` starts the kernels of a step one by one, a replay starts them together.  So nothing may
    change from step to step but what is in memory that stays: the input, the state, and a counter
    that says which step it is.  For sequences of one shape, and without gradients.
    """

    @torch.no_grad()
    def __init__(self, step: Step, driven: Tensor, state: State, *weights: Tensor) -> None:
        """Record it, with arguments like those to come.

        driven : (T, B, G H), the input's share of every step; state : what step takes and returns;
        weights : the rest of step's arguments, which are read anew at every replay
        """
        self._alone = not isinstance(state, tuple)
        states = (state,) if self._alone else state
        self._driven, self._state = torch.zeros_like(driven), [torch.zeros_like(s) for s in states]
        self._h = driven.new_zeros(len(driven), *states[0].shape)
        t = self._t = torch.zeros(1, dtype=torch.long, device=driven.device)

        def once() -> None:
            now = step(self._driven.index_select(0, t)[0], self._packed(self._state), *weights)
            for into, value in zip(self._state, (now,) if self._alone else now, strict=True):
                into.copy_(value)
            self._h.index_copy_(0, t, self._state[0][None])
            t.add_(1).remainder_(len(driven))

        self._replay = _recorded(once) if driven.is_cuda else once

    def _packed(self, states: list[Tensor]) -> State:
        return states[0] if self._alone else tuple(states)

    @torch.no_grad()
    def __call__(self, driven: Tensor, state: State) -> tuple[Tensor, State]:
        """Run it over a sequence: driven and state as before.

        Returns h : (T, B, H), and the last state.
        """
        self._driven.copy_(driven)
        for into, value in zip(self._state, (state,) if self._alone else state, strict=True):
            into.copy_(value)
        self._t.zero_()
        for _ in range(len(driven)):
            self._replay()
        return self._h.clone(), self._packed([each.clone() for each in self._state])


def _recorded(run: Callable[[], None]) -> Callable[[], None]:
    """Record what a function does on the GPU; returns what does it again."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # libraries get ready in their first calls, which can't be recorded
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def _shifted(h0: Tensor, h: Tensor) -> Tensor:
    """Return the state before each step."""
    return torch.cat([h0[None], h[:-1]])


def _parameters(da: Tensor, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return dU, dW, db: sums over time and batch of outer products, (5.14)."""
    flat = da.flatten(0, 1)
    return flat.T @ x.flatten(0, 1), flat.T @ before.flatten(0, 1), flat.sum(0)


class RNNFunction(torch.autograd.Function):
    """h = RNN(x, h0, U, W, b), with a backward pass written by hand.  Source: eqs (3.1)-(3.15).

    x : (T, B, D), h0 : (B, H), U : (H, D), W : (H, H), b : (H,) -> h : (T, B, H)
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, h0: Tensor, U: Tensor, W: Tensor, b: Tensor) -> Tensor:
        """Run `unroll` without a tape."""
        h, _ = unroll(rnn_step, x, h0, U, b, W)
        ctx.save_for_backward(x, h0, U, W, h)
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor, ...]:
        """Walk back; the slopes of all steps are there before it starts."""
        x, h0, U, W, h = ctx.saved_tensors
        da, carry = 1 - h * h, torch.zeros_like(h0)
        for t in reversed(range(len(h))):
            da[t] *= dh[t] + carry  # (3.9), (3.10)
            carry = da[t] @ W
        return da @ U, carry, *_parameters(da, x, _shifted(h0, h))


class LSTMFunction(torch.autograd.Function):
    """h, c_last = LSTM(x, h0, c0, U, W, b), with a backward pass written by hand.

    Source: eqs (5.1)-(5.4) and (5.10)-(5.15).

    x : (T, B, D), h0, c0 : (B, H), U : (4H, D), W : (4H, H), b : (4H,)
    -> h : (T, B, H), c_last : (B, H)
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, h0: Tensor, c0: Tensor, U: Tensor, W: Tensor, b: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keep gates and cells, side by side."""
        T, (B, H) = len(x), h0.shape
        gates = torch.nn.functional.linear(x, U, b).view(T, B, 4, H)
        cells, states = x.new_empty(T + 1, B, H), x.new_empty(T + 1, B, H)
        states[0], cells[0] = h0, c0
        for t in range(T):
            a = gates[t]
            a += (states[t] @ W.T).view(B, 4, H)  # (5.1)
            a[:, :3].sigmoid_()
            i, f, o, g = a.unbind(1)
            g.tanh_()  # (5.2)
            torch.addcmul(i * g, f, cells[t], out=cells[t + 1])  # (5.3)
            torch.mul(o, torch.tanh(cells[t + 1]), out=states[t + 1])  # (5.4)
        ctx.save_for_backward(x, U, W, states, cells, gates)
        return states[1:], cells[-1].clone()

    @staticmethod
    def backward(ctx: Any, dh: Tensor, dc_last: Tensor) -> tuple[Tensor, ...]:
        """Walk back; every factor but what arrives is there before it starts."""
        x, U, W, states, cells, gates = ctx.saved_tensors
        i, f, o, g = gates.unbind(2)
        shown = torch.tanh(cells[1:])
        to_c = o * (1 - shown * shown)
        da = torch.stack(
            [
                i * (1 - i) * g,
                f * (1 - f) * cells[:-1],
                o * (1 - o) * shown,
                (1 - g * g) * i,
            ],
            2,
        )  # (5.12), (5.13), but for what arrives
        from_a, from_c = torch.zeros_like(states[0]), dc_last
        for t in reversed(range(len(x))):
            total = dh[t] + from_a  # (5.10)
            dc = torch.addcmul(from_c, to_c[t], total)  # (5.11)
            da[t] *= torch.stack([dc, dc, total, dc], 1)
            from_a, from_c = da[t].flatten(1) @ W, f[t] * dc
        da = da.flatten(2)
        return da @ U, from_a, from_c, *_parameters(da, x, states[:-1])


class GRUFunction(torch.autograd.Function):
    """h = GRU(x, h0, U, W, b, d), reset after the product, with a backward pass written by hand.

    Source: eqs (5.16), (5.20) and (8.9).

    x : (T, B, D), h0 : (B, H), U : (3H, D), W : (3H, H), b : (3H,), d : (H,) -> h : (T, B, H)
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, h0: Tensor, U: Tensor, W: Tensor, b: Tensor, d: Tensor
    ) -> Tensor:
        """Keep gates, and the bracket that the reset gate multiplies."""
        T, (B, H) = len(x), h0.shape
        gates = torch.nn.functional.linear(x, U, b).view(T, B, 3, H)
        inner, states = x.new_empty(T, B, H), x.new_empty(T + 1, B, H)
        states[0] = h0
        for t in range(T):
            recurrent = (states[t] @ W.T).view(B, 3, H)
            r, u, n = gates[t].unbind(1)
            gates[t, :, :2] += recurrent[:, :2]
            gates[t, :, :2].sigmoid_()  # (5.16)
            torch.add(recurrent[:, 2], d, out=inner[t])
            n.addcmul_(r, inner[t]).tanh_()
            torch.lerp(n, states[t], u, out=states[t + 1])  # (5.20)
        ctx.save_for_backward(x, U, W, states, gates, inner)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor, ...]:
        """Walk back; all that a step makes is a factor times the total at h."""
        x, U, W, states, gates, inner = ctx.saved_tensors
        r, u, n = gates.unbind(2)
        at_n = (1 - n * n) * (1 - u)
        at_bracket = at_n * r
        at_r = at_bracket * (1 - r) * inner
        at_u = u * (1 - u) * (states[:-1] - n)
        da = torch.stack([at_n, at_r, at_u, at_bracket], 2)
        carry = torch.zeros_like(states[0])
        for t in reversed(range(len(x))):
            total = dh[t] + carry
            da[t] *= total[:, None]
            carry = torch.addcmul(da[t, :, 1:].flatten(1) @ W, u[t], total)
        into = torch.cat([da[:, :, 1:3], da[:, :, :1]], 2).flatten(2)  # r, u, n
        back = da[:, :, 1:].flatten(2)  # r, u, and the bracket
        dU, dW, db = _parameters(into, x, states[:-1])[0], *_parameters(back, x, states[:-1])[1:]
        H = states.shape[-1]
        db_n, dd = da[:, :, 0].sum((0, 1)), db[2 * H :]
        return into @ U, carry, dU, dW, torch.cat([db[: 2 * H], db_n]), dd


def scan_by_blocks(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Solve h(t) = a(t) h(t-1) + b(t): all blocks of about sqrt(T / 2) steps at once, twice.

    a, b : (T, ...), of one shape; h0 : (...).  Returns h : (T, ...).
    """

    def step(h: Tensor, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        return torch.addcmul(b, a, h, out=out)

    return _by_blocks(a, b, h0, step, torch.Tensor.mul_)


def _by_blocks(
    a: Tensor, b: Tensor, h0: Tensor, step: Callable[..., Tensor], keep: Callable[..., Tensor]
) -> Tensor:
    """Walk a linear recurrence: step makes h(t) of h(t-1), a(t), b(t); keep, what is left of h(0).

    First from zero, for what each block adds and how much it keeps; then one block hands its end to
    the next; then again, each from its right start.  Every number is read twice and written once.
    """
    T = len(b)
    length = max(1, round((T / 2) ** 0.5))
    whole = T // length * length
    h = torch.empty_like(b)
    # All views at once: to index takes as long as to compute.
    A, B, into = (each[:whole].unflatten(0, (-1, length)).unbind(1) for each in (a, b, h))
    added, kept = torch.zeros_like(B[0]), torch.ones_like(B[0])
    for a_t, b_t in zip(A, B, strict=True):
        step(added, a_t, b_t, out=added)
        keep(kept, a_t)
    starts = torch.empty_like(added)
    starts[0] = h0
    handed = starts.unbind()
    for add, factor, start, end in zip(added, kept, handed, handed[1:], strict=False):
        torch.addcmul(add, factor, start, out=end)  # (8.10)
    before = starts
    for a_t, b_t, out in zip(A, B, into, strict=True):
        before = step(before, a_t, b_t, out=out)
    for t in range(whole, T):  # what fills no block
        step(h[t - 1], a[t], b[t], out=h[t])
    return h


def scan_by_pairs(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Solve the same by halving the number of steps: about 2 log2 T sweeps.  Source: eq (8.11)."""
    h = torch.empty_like(b)
    torch.addcmul(b[0], a[0], h0, out=h[0])
    if len(b) > 1:
        even, odd = a[:-1:2], a[1::2]
        h[1::2] = scan_by_pairs(odd * even, torch.addcmul(b[1::2], odd, b[:-1:2]), h0)
        torch.addcmul(b[2::2], a[2::2], h[1:-1:2], out=h[2::2])
    return h


def _scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """On a CPU bytes decide, and blocks move the fewest; elsewhere calls do, and pairs need few."""
    return (scan_by_blocks if b.device.type == "cpu" else scan_by_pairs)(a, b, h0)


class Scan(torch.autograd.Function):
    """h(t) = a(t) h(t-1) + b(t) from h0; the gradient is a scan, too, from the other end."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        """Source: eqs (8.10)-(8.11)."""
        h = _scan(a, b, h0)
        ctx.save_for_backward(a, h, h0)
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Source: eq (8.13)."""
        a, h, h0 = ctx.saved_tensors
        later = torch.cat([a[1:], torch.zeros_like(a[:1])])
        db = _scan(later.flip(0), dh.flip(0), torch.zeros_like(h0)).flip(0)
        return db * _shifted(h0, h), db, a[0] * db[0]


def scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Solve h(t) = a(t) h(t-1) + b(t) without a step for each t.  Source: eqs (8.10)-(8.13).

    No logarithm is taken and nothing is divided, so that a(t) may be 0 or of either sign.

    a, b : (T, ...), of one shape; h0 : (...).  Returns h : (T, ...).
    """
    return Scan.apply(a, b, h0)


def blend(u: Tensor, c: Tensor, h0: Tensor) -> Tensor:
    """Solve h(t) = (1 - u(t)) h(t-1) + u(t) c(t), the recurrence of (8.14).

    Where no gradient is wanted, a CPU writes down neither 1 - u nor u c.

    u, c : (T, ...), of one shape; h0 : (...).  Returns h : (T, ...).
    """
    if c.device.type != "cpu" or torch.is_grad_enabled():
        return scan(1 - u, u * c, h0)

    def step(h: Tensor, u: Tensor, c: Tensor, out: Tensor) -> Tensor:
        return torch.lerp(h, c, u, out=out)

    def keep(kept: Tensor, u: Tensor) -> Tensor:
        return kept.addcmul_(kept, u, value=-1)

    return _by_blocks(u, c, h0, step, keep)


def blend_by_loop(u: Tensor, c: Tensor, h0: Tensor) -> Tensor:
    """Solve the same step by step: what `blend` is compared with."""
    return scan_by_loop(1 - u, u * c, h0)


def scan_by_loop(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Solve the same step by step: what `scan` is compared with."""
    h, states = h0, []
    for a_t, b_t in zip(a, b, strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states)


class MinGRU(torch.nn.Module):
    """A GRU whose gate and candidate see the input only, so that its recurrence is linear.

    Source: eq (8.14); Feng et al. (2024), "Were RNNs all we needed?".
    """

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.both = torch.nn.Linear(inputs, 2 * units)  # rows of the gate, then of the candidate

    def forward(self, x: Tensor, h0: Tensor, solve: Callable[..., Tensor] = blend) -> Tensor:
        """Run it over a sequence.

        x : (T, B, D); h0 : (B, H); solve : `blend` or `blend_by_loop`.  Returns h : (T, B, H).
        """
        halves = zip(self.both.weight.chunk(2), self.both.bias.chunk(2), strict=True)
        gate, candidate = (torch.nn.functional.linear(x, W, b) for W, b in halves)
        return solve(gate.sigmoid_(), candidate, h0)

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        """One step: x : (B, D), h : (B, H).  Returns h : (B, H)."""
        gate, candidate = self.both(x).chunk(2, -1)
        u = torch.sigmoid(gate)
        return (1 - u) * h + u * candidate
