"""Chapter 5: the mistakes that people make with gates, and the other lectures' conventions."""

from __future__ import annotations

import numpy as np
import torch

from autograder.slip import slip
from solutions import gates as right
from solutions.gates import sigmoid


def _blocks(array, order):
    """The blocks of rows in another order."""
    pieces = np.split(array, len(order))
    return np.concatenate([pieces[i] for i in order])


# One step, and a whole sequence: each mistake of the step is one of the sequence.


def _step(x, h, c, U, W, b, order=(0, 1, 2, 3), **wrong):
    """A step with some of its pieces replaced: c(f, i, g, c), h(o, c)."""
    cell = wrong.get("cell", lambda f, i, g, before: f * before + i * g)
    out = wrong.get("out", lambda o, c: o * np.tanh(c))
    squash = wrong.get("squash", np.tanh)
    a = np.split(b + h @ W.T + x @ U.T, 4, axis=-1)
    i, f, o, g = (a[k] for k in order)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), squash(g)
    c = cell(f, i, g, c)
    return out(o, c), c, np.concatenate([i, f, o, g], axis=-1)


def _run(x, h0, c0, step):
    h, c, made = h0, c0, []
    for now in x:
        made.append(step(now, h, c))
        h, c = made[-1][:2]
    return tuple(np.stack(each) for each in zip(*made, strict=True))


def _linear_cell(o, c):
    return o * c


def _new_for_old(f, i, g, before):
    return f * g + i * g


def _coupled(f, i, g, before):
    return f * before + (1 - f) * g


@slip(
    "gates.lstm_step",
    "the candidate stands where the old cell belongs: c' for c",
    rung="probes",
    read="(5.3)",
)
def step_candidate_for_cell(x, h, c, U, W, b):
    """The lecture's misprint, f * c' for f * c(t-1): the past never enters."""
    return _step(x, h, c, U, W, b, cell=_new_for_old)[:2]


@slip("gates.lstm_step", "tanh is missing on c", rung="probes", read="(5.4)")
def step_no_tanh(x, h, c, U, W, b):
    """h = o * tanh(c)."""
    return _step(x, h, c, U, W, b, out=_linear_cell)[:2]


@slip(
    "gates.lstm_step",
    "the blocks are taken as i, f, g, o: PyTorch's order",
    rung="probes",
    read="(5.1)",
)
def step_torch_order(x, h, c, U, W, b):
    """The third block is o's, the last one g's."""
    return _step(x, h, c, U, W, b, order=(0, 1, 3, 2))[:2]


@slip("gates.lstm_step", "the blocks are taken as f, i, o, g", rung="probes", read="(5.1)")
def step_swapped(x, h, c, U, W, b):
    """The first block is i's."""
    return _step(x, h, c, U, W, b, order=(1, 0, 2, 3))[:2]


@slip("gates.lstm_step", "the candidate is logistic, not tanh", rung="probes", read="(5.2)")
def step_logistic_candidate(x, h, c, U, W, b):
    """g lies between -1 and 1."""
    return _step(x, h, c, U, W, b, squash=sigmoid)[:2]


@slip("gates.lstm_step", "the input gate is 1 - f", rung="probes", read="(5.3)")
def step_coupled(x, h, c, U, W, b):
    """An LSTM has an input gate of its own; in a GRU the two are coupled."""
    return _step(x, h, c, U, W, b, cell=_coupled)[:2]


@slip("gates.lstm_step", "h reads the old cell", rung="probes", read="(5.4)")
def step_old_cell(x, h, c, U, W, b):
    """h = o * tanh of the new c."""
    return _step(x, h, c, U, W, b, out=lambda o, new: o * np.tanh(c))[:2]


@slip("gates.lstm_step", "c and h come back in the other order", rung="probes", read="(5.4)")
def step_other_order(x, h, c, U, W, b):
    """h first."""
    return right.lstm_step(x, h, c, U, W, b)[::-1]


@slip("gates.lstm_step", "the gates see c instead of h", rung="probes", read="(5.1)")
def step_gates_of_c(x, h, c, U, W, b):
    """W multiplies the hidden state."""
    a = np.split(b + c @ W.T + x @ U.T, 4, axis=-1)
    i, f, o, g = sigmoid(a[0]), sigmoid(a[1]), sigmoid(a[2]), np.tanh(a[3])
    new = f * c + i * g
    return o * np.tanh(new), new


@slip("gates.lstm_step", "the blocks are taken as every fourth number", rung="probes", read="(5.1)")
def step_interleaved(x, h, c, U, W, b):
    """Blocks of H rows, one behind the other: columns 0 to H - 1 are i's."""
    H = h.shape[-1]
    order = np.arange(4 * H).reshape(H, 4).T.ravel()
    return _step(x, h, c, U[order], W[order], b[order])[:2]


@slip("gates.lstm_step", "the bias is left out", rung="probes", read="(5.1)")
def step_no_bias(x, h, c, U, W, b):
    """b is not used."""
    return _step(x, h, c, U, W, np.zeros_like(b))[:2]


@slip("gates.lstm_step", "the forget gate is 1 - i", rung="probes", read="(5.3)")
def step_coupled_forget(x, h, c, U, W, b):
    """An LSTM has a forget gate of its own."""
    return _step(x, h, c, U, W, b, cell=lambda f, i, g, before: (1 - i) * before + i * g)[:2]


@slip("gates.lstm_step", "the forget gate meets h, not c", rung="probes", read="(5.3)")
def step_forget_hidden(x, h, c, U, W, b):
    """What is kept is the cell state."""
    return _step(x, h, c, U, W, b, cell=lambda f, i, g, before: f * h + i * g)[:2]


@slip("gates.lstm_step", "the output gate is a tanh", rung="probes", read="(5.2)")
def step_tanh_output(x, h, c, U, W, b):
    """Three logistic functions, one tanh."""
    a = np.split(b + h @ W.T + x @ U.T, 4, axis=-1)
    new = right.lstm_step(x, h, c, U, W, b)[1]
    return np.tanh(a[2]) * np.tanh(new), new


@slip("gates.lstm_forward", "c and h come back in the other order", rung="probes", read="(5.4)")
def forward_other_order(x, h0, c0, U, W, b):
    """h first."""
    h, c, gates = right.lstm_forward(x, h0, c0, U, W, b)
    return c, h, gates


@slip(
    "gates.lstm_forward",
    "h(0) and c(0) are returned, and the last states are not",
    rung="probes",
    read="(5.1)",
)
def forward_early(x, h0, c0, U, W, b):
    """The first states returned are h(1) and c(1)."""
    h, c, gates = right.lstm_forward(x, h0, c0, U, W, b)
    return np.concatenate([h0[None], h[:-1]]), np.concatenate([c0[None], c[:-1]]), gates


@slip("gates.lstm_forward", "h(0) and c(0) are taken as zero", rung="probes", read="(5.1)")
def forward_from_zero(x, h0, c0, U, W, b):
    """The initial states are arguments."""
    return right.lstm_forward(x, np.zeros_like(h0), np.zeros_like(c0), U, W, b)


@slip("gates.lstm_forward", "the cell state starts anew at every step", rung="probes", read="(5.3)")
def forward_cell_not_carried(x, h0, c0, U, W, b):
    """The cell state is handed on, like h."""
    return _run(x, h0, c0, lambda now, h, c: _step(now, h, c0, U, W, b))


@slip("gates.lstm_forward", "h(0) is taken as zero", rung="probes", read="(5.1)")
def forward_no_h0(x, h0, c0, U, W, b):
    """The initial states are arguments."""
    return right.lstm_forward(x, np.zeros_like(h0), c0, U, W, b)


@slip("gates.lstm_forward", "c(0) is taken as zero", rung="probes", read="(5.3)")
def forward_no_c0(x, h0, c0, U, W, b):
    """The initial states are arguments."""
    return right.lstm_forward(x, h0, np.zeros_like(c0), U, W, b)


@slip(
    "gates.lstm_forward",
    "the candidate stands where the old cell belongs: c' for c",
    rung="probes",
    read="(5.3)",
)
def forward_candidate_for_cell(x, h0, c0, U, W, b):
    """The lecture's misprint."""
    return _run(x, h0, c0, lambda now, h, c: _step(now, h, c, U, W, b, cell=_new_for_old))


@slip("gates.lstm_forward", "tanh is missing on c", rung="probes", read="(5.4)")
def forward_no_tanh(x, h0, c0, U, W, b):
    """h = o * tanh(c)."""
    return _run(x, h0, c0, lambda now, h, c: _step(now, h, c, U, W, b, out=_linear_cell))


@slip(
    "gates.lstm_forward",
    "the blocks are taken as i, f, g, o: PyTorch's order",
    rung="probes",
    read="(5.1)",
)
def forward_torch_order(x, h0, c0, U, W, b):
    """The third block is o's, the last one g's."""
    h, c, gates = _run(x, h0, c0, lambda now, h, c: _step(now, h, c, U, W, b, order=(0, 1, 3, 2)))
    i, f, o, g = np.split(gates, 4, axis=-1)
    return h, c, np.concatenate([i, f, g, o], axis=-1)


@slip(
    "gates.lstm_forward",
    "the gates are returned as i, f, g, o, though computed as i, f, o, g",
    rung="probes",
    read="(5.2)",
)
def forward_gates_in_torch_order(x, h0, c0, U, W, b):
    """One order everywhere."""
    h, c, gates = right.lstm_forward(x, h0, c0, U, W, b)
    i, f, o, g = np.split(gates, 4, axis=-1)
    return h, c, np.concatenate([i, f, g, o], axis=-1)


@slip(
    "gates.lstm_forward",
    "the gates of one unit stand side by side; join whole blocks: np.concatenate([i, f, o, g], -1)",
    rung="probes",
    read="(5.2)",
)
def forward_interleaved(x, h0, c0, U, W, b):
    """np.stack(..., -1) and a reshape put i, f, o, g of one unit together."""
    h, c, gates = right.lstm_forward(x, h0, c0, U, W, b)
    return h, c, np.stack(np.split(gates, 4, axis=-1), axis=-1).reshape(gates.shape)


@slip(
    "gates.lstm_forward",
    "the blocks are taken as every fourth number",
    rung="probes",
    read="(5.1)",
)
def forward_every_fourth(x, h0, c0, U, W, b):
    """Blocks of H rows, one behind the other: columns 0 to H - 1 are i's."""
    order = np.arange(4 * h0.shape[-1]).reshape(-1, 4).T.ravel()
    return right.lstm_forward(x, h0, c0, U[order], W[order], b[order])


@slip(
    "gates.lstm_forward",
    "the gates are returned before their activation",
    rung="probes",
    read="(5.2)",
)
def forward_preactivations(x, h0, c0, U, W, b):
    """sigmoid(a) and tanh(a), not a."""
    h, c, _ = right.lstm_forward(x, h0, c0, U, W, b)
    return h, c, x @ U.T + b + np.concatenate([h0[None], h[:-1]]) @ W.T


# Backward through an LSTM.


def _backward(dh, dc_last, x, h, c, gates, h0, c0, U, W, **wrong):
    """The walk back with pieces that may be wrong; each is a function of step t's numbers."""
    into_cell = wrong.get("into_cell", lambda o, tanh_c: o * (1 - tanh_c**2))
    back = wrong.get("back", lambda f, t: f[t])
    product = wrong.get("product", lambda da: da @ W)
    slopes = wrong.get(
        "slopes", lambda i, f, o, g: (i * (1 - i), f * (1 - f), o * (1 - o), 1 - g * g)
    )
    at_gates = wrong.get(
        "at_gates",
        lambda total, dc, i, g, before, tanh_c: (g * dc, before * dc, tanh_c * total, i * dc),
    )
    i, f, o, g = np.split(gates, 4, axis=-1)
    h_before, c_before = np.concatenate([h0[None], h[:-1]]), np.concatenate([c0[None], c[:-1]])
    h_before, c_before = wrong.get("h_before", h_before), wrong.get("c_before", c_before)
    tanh_c = np.tanh(c)
    da = np.empty_like(gates)
    from_a, from_c = np.zeros_like(h0), dc_last
    for t in reversed(range(len(x))):
        total = dh[t] + from_a
        dc = into_cell(o[t], tanh_c[t]) * total + from_c
        gate = np.concatenate(at_gates(total, dc, i[t], g[t], c_before[t], tanh_c[t]), axis=-1)
        da[t] = gate * np.concatenate(slopes(i[t], f[t], o[t], g[t]), axis=-1)
        from_a, from_c = product(da[t]), back(f, t) * dc
    flat = da.reshape(-1, da.shape[-1])
    dU, dW = flat.T @ x.reshape(-1, x.shape[-1]), flat.T @ h_before.reshape(-1, h.shape[-1])
    return da @ U, from_a, from_c, dU, dW, flat.sum(axis=0)


@slip(
    "gates.lstm_backward",
    "the gradient from c(t+1) was dropped: dc is not carried",
    rung="probes",
    read="(5.11)",
    part="dc0",
)
def backward_no_cell_carry(*args):
    """The cell has two children: h(t) and c(t+1)."""
    return _backward(*args, back=lambda f, t: np.zeros_like(f[t]) if t else f[t])


@slip(
    "gates.lstm_backward",
    "dc is carried without the forget gate",
    rung="probes",
    read="(5.11)",
    part="dc0",
)
def backward_no_forget(*args):
    """The direct road multiplies by f."""
    return _backward(*args, back=lambda f, t: np.ones_like(f[t]))


@slip(
    "gates.lstm_backward",
    "f is taken at t+1 where dc leaves step t",
    rung="probes",
    read="(5.11)",
    part="dc0",
)
def backward_late_forget(*args):
    """What goes from c(t) to c(t-1) passes the forget gate of step t."""
    return _backward(*args, back=lambda f, t: f[min(t + 1, len(f) - 1)])


@slip("gates.lstm_backward", "dc_last is ignored", rung="probes", read="(5.11)", part="dc0")
def backward_no_dc_last(dh, dc_last, *rest):
    """Somebody goes on from the last cell."""
    return _backward(dh, np.zeros_like(dc_last), *rest)


@slip(
    "gates.lstm_backward",
    "the slope of tanh c is missing",
    rung="probes",
    read="(5.11)",
    part="dc0",
)
def backward_no_cell_slope(*args):
    """h = o tanh(c), so c gets o (1 - tanh^2 c) of h's gradient."""
    return _backward(*args, into_cell=lambda o, tanh_c: o)


@slip("gates.lstm_backward", "1 - c^2 for 1 - tanh^2 c", rung="probes", read="(5.11)", part="dc0")
def backward_square_of_cell(*args):
    """c is not yet squashed."""
    return _backward(*args, into_cell=lambda o, tanh_c: o * (1 - np.arctanh(tanh_c) ** 2))


@slip(
    "gates.lstm_backward",
    "the gradient from a(t+1), through W, was dropped",
    rung="probes",
    read="(5.10)",
    part="dU",
)
def backward_no_hidden_carry(dh, dc_last, x, h, c, gates, h0, c0, U, W):
    """Each hidden state also feeds the next step's gates."""
    return _backward(
        dh, dc_last, x, h, c, gates, h0, c0, U, W, product=lambda da: np.zeros_like(h0)
    )


@slip(
    "gates.lstm_backward",
    "the forget gate's gradient meets c(t), not c(t-1)",
    rung="probes",
    read="(5.12)",
    part="db",
)
def backward_late_cell(dh, dc_last, x, h, c, gates, h0, c0, U, W):
    """f multiplied the cell before."""
    return _backward(dh, dc_last, x, h, c, gates, h0, c0, U, W, c_before=c)


@slip(
    "gates.lstm_backward",
    "the output gate's gradient meets c, not tanh c",
    rung="probes",
    read="(5.12)",
    part="db",
)
def backward_output_gate(*args):
    """h = o tanh(c)."""
    return _backward(
        *args,
        at_gates=lambda total, dc, i, g, before, tanh_c: (
            g * dc,
            before * dc,
            np.arctanh(tanh_c) * total,
            i * dc,
        ),
    )


@slip(
    "gates.lstm_backward",
    "the slopes of the gates are missing",
    rung="probes",
    read="(5.13)",
    part="db",
)
def backward_no_slopes(*args):
    """From the gate to what goes into it there is an activation."""
    return _backward(*args, slopes=lambda i, f, o, g: tuple(map(np.ones_like, (i, f, o, g))))


@slip(
    "gates.lstm_backward",
    "the slopes of the logistic gates are missing",
    rung="probes",
    read="(5.13)",
    part="db",
)
def backward_no_logistic_slopes(*args):
    """s (1 - s), three times."""
    return _backward(*args, slopes=lambda i, f, o, g: (*map(np.ones_like, (i, f, o)), 1 - g * g))


@slip("gates.lstm_backward", "the slope of g is missing", rung="probes", read="(5.13)", part="db")
def backward_no_candidate_slope(*args):
    """g is a tanh: 1 - g^2."""
    return _backward(
        *args, slopes=lambda i, f, o, g: (i * (1 - i), f * (1 - f), o * (1 - o), np.ones_like(g))
    )


@slip(
    "gates.lstm_backward",
    "the output gate is missing between h and c",
    rung="probes",
    read="(5.11)",
    part="dc0",
)
def backward_no_output_gate(*args):
    """h = o tanh(c), so c gets o (1 - tanh^2 c) of h's gradient."""
    return _backward(*args, into_cell=lambda o, tanh_c: 1 - tanh_c**2)


@slip(
    "gates.lstm_backward",
    "f is taken at t-1 where dc leaves step t",
    rung="probes",
    read="(5.11)",
    part="dU",
)
def backward_early_forget(*args):
    """What goes from c(t) to c(t-1) passes the forget gate of step t."""
    return _backward(*args, back=lambda f, t: f[t - 1])


@slip(
    "gates.lstm_backward",
    "a mean over the batch, not a sum",
    rung="probes",
    read="(5.14)",
    part="dW",
)
def backward_mean(*args):
    """The loss is the sum over the batch."""
    made = right.lstm_backward(*args)
    batch = made[1].shape[0]
    return (*made[:3], *(grad / batch for grad in made[3:]))


@slip(
    "gates.lstm_backward",
    "the slope of g is that of a logistic function",
    rung="probes",
    read="(5.13)",
    part="db",
)
def backward_candidate_slope(*args):
    """g is a tanh: 1 - g^2."""
    return _backward(
        *args, slopes=lambda i, f, o, g: (i * (1 - i), f * (1 - f), o * (1 - o), g * (1 - g))
    )


@slip(
    "gates.lstm_backward",
    "W's gradient meets h(t), not h(t-1)",
    rung="probes",
    read="(5.14)",
    part="dW",
)
def backward_late_state(dh, dc_last, x, h, c, gates, h0, c0, U, W):
    """W acts on the previous state."""
    return _backward(dh, dc_last, x, h, c, gates, h0, c0, U, W, h_before=h)


@slip(
    "gates.lstm_backward",
    "dh0 and dc0 have changed places: return dx, dh0, dc0, ...",
    rung="probes",
    read="(5.15)",
    part="dh0",
)
def backward_swapped(*args):
    """What came through W is dh0, what came through f is dc0."""
    dx, dh0, dc0, *rest = right.lstm_backward(*args)
    return dx, dc0, dh0, *rest


@slip(
    "gates.lstm_backward",
    "dh0 is the last step's carry without W",
    rung="probes",
    read="(5.15)",
    part="dh0",
)
def backward_h0_of_first(dh, dc_last, x, h, c, gates, h0, c0, U, W):
    """The gradient at h(1) is not that at h(0)."""
    made = right.lstm_backward(dh, dc_last, x, h, c, gates, h0, c0, U, W)
    later = (
        right.lstm_backward(dh[1:], dc_last, x[1:], h[1:], c[1:], gates[1:], h[0], c[0], U, W)[1]
        if len(x) > 1
        else 0.0
    )
    return (made[0], dh[0] + later, *made[2:])


@slip("gates.lstm_backward", "dx goes through W, not U", rung="shapes", read="(5.15)", part="dx")
def backward_dx_by_W(*args):
    """x meets U."""
    made = right.lstm_backward(*args)
    U, W = args[-2:]
    da = made[0] @ np.linalg.pinv(U)
    return (da @ W, *made[1:])


@slip(
    "gates.lstm_backward",
    "the total gradients are written over dh",
    rung="arguments",
    read="(5.10)",
    part="db",
)
def backward_in_place(dh, dc_last, *rest):
    """dh belongs to whoever calls."""
    dh[-1] += 0.0
    return right.lstm_backward(dh, dc_last, *rest)


# The GRU, and the two that it is mistaken for.


def _gru(x, h0, U, W, b, form="before", keep=False, d=0.0, **wrong):
    """A GRU of any of the forms."""
    width = h0.shape[-1]
    swap = wrong.get("swap", False)
    h, hs, gates = h0, [], []
    for now in x:
        driven, recurrent = now @ U.T + b, h @ W.T
        r, u = np.split(sigmoid((driven + recurrent)[:, : 2 * width]), 2, axis=-1)
        r, u = (u, r) if swap else (r, u)
        W_n, a_n = W[2 * width :], driven[:, 2 * width :]
        if form == "before":
            n = np.tanh(a_n + (r * h) @ W_n.T)
        elif form == "after":
            n = np.tanh(a_n + r * (h @ W_n.T + d))
        elif form == "none":
            n = np.tanh(a_n + h @ W_n.T)
        elif form == "d outside":
            n = np.tanh(a_n + d + r * (h @ W_n.T))
        else:  # "all": the bias and the input are reset, too
            n = np.tanh(r * (a_n + h @ W_n.T + d))
        h = (1 - u) * n + u * h if keep else u * n + (1 - u) * h
        hs.append(h)
        gates.append(np.concatenate([r, u, n], axis=-1))
    return np.stack(hs), np.stack(gates)


@slip(
    "gates.gru_forward",
    "the other lecture's convention: u keeps the old instead of taking the new",
    rung="probes",
    read="(5.18), (5.19)",
)
def gru_keep(x, h0, U, W, b):
    """Here u = 1 takes the new."""
    return _gru(x, h0, U, W, b, keep=True)


@slip(
    "gates.gru_forward",
    "PyTorch's convention: the reset gate acts after W_n, and u keeps the old",
    rung="probes",
    read="(5.17), (5.20)",
)
def gru_as_torch(x, h0, U, W, b):
    """Both are the other way round here."""
    return _gru(x, h0, U, W, b, "after", keep=True)


@slip(
    "gates.gru_forward",
    "the reset gate acts after W_n, as in PyTorch",
    rung="probes",
    read="(5.17)",
)
def gru_reset_after(x, h0, U, W, b):
    """W_n (r * h), not r * (W_n h)."""
    return _gru(x, h0, U, W, b, "after")


@slip("gates.gru_forward", "the reset gate is not used", rung="probes", read="(5.17)")
def gru_no_reset(x, h0, U, W, b):
    """n sees r * h."""
    return _gru(x, h0, U, W, b, "none")


@slip("gates.gru_forward", "r and u are swapped", rung="probes", read="(5.16)")
def gru_swapped(x, h0, U, W, b):
    """The first block is r's."""
    h, gates = _gru(x, h0, U, W, b, swap=True)
    r, u, n = np.split(gates, 3, axis=-1)
    return h, np.concatenate([u, r, n], axis=-1)


@slip("gates.gru_forward", "the blocks are taken as u, r, n", rung="probes", read="(5.16)")
def gru_other_blocks(x, h0, U, W, b):
    """The first block is r's."""
    return _gru(x, h0, U, W, b, swap=True)


@slip("gates.gru_forward", "the input and the bias are reset, too", rung="probes", read="(5.17)")
def gru_all_reset(x, h0, U, W, b):
    """Only the old state meets the reset gate, before W_n."""
    return _gru(x, h0, U, W, b, "all")


@slip("gates.gru_forward", "the candidate is logistic, not tanh", rung="probes", read="(5.17)")
def gru_logistic_candidate(x, h0, U, W, b):
    """n lies between -1 and 1."""
    W_n, width = W[2 * h0.shape[-1] :], h0.shape[-1]
    h, hs, gates = h0, [], []
    for now in x:
        pre = b + now @ U.T
        r, u = np.split(sigmoid((pre + h @ W.T)[:, : 2 * width]), 2, axis=-1)
        n = sigmoid(pre[:, 2 * width :] + (r * h) @ W_n.T)
        h = u * n + (1 - u) * h
        hs.append(h)
        gates.append(np.concatenate([r, u, n], axis=-1))
    return np.stack(hs), np.stack(gates)


@slip("gates.gru_forward", "h(0) is taken as zero", rung="probes", read="(5.18)")
def gru_no_h0(x, h0, U, W, b):
    """The initial state is an argument."""
    return right.gru_forward(x, np.zeros_like(h0), U, W, b)


@slip("gates.gru_forward", "the old state is not kept: h = u n", rung="probes", read="(5.18)")
def gru_no_old(x, h0, U, W, b):
    """What is not taken anew stays."""
    h, hs, gates = h0, [], []
    for now in x:
        one = right.gru_forward(now[None], h, U, W, b)[1][0]
        _, u, n = np.split(one, 3, axis=-1)
        h = u * n
        hs.append(h)
        gates.append(one)
    return np.stack(hs), np.stack(gates)


@slip(
    "gates.gru_after",
    "u takes the new, as in exercise 5.4",
    rung="probes",
    read="(5.20)",
)
def after_take(x, h0, U, W, b, d):
    """PyTorch's update gate keeps."""
    return _gru(x, h0, U, W, b, "after", d=d)[0]


@slip(
    "gates.gru_after",
    "the reset gate acts before W_n, as in exercise 5.4",
    rung="probes",
    read="(5.20)",
)
def after_before(x, h0, U, W, b, d):
    """r * (W_n h + d), not W_n (r * h) + d."""
    return _gru(x, h0, U, W, b + _inner(d, b), "before", keep=True)[0]


def _inner(d, b):
    """d added to the block of n."""
    return np.concatenate([np.zeros(len(b) - len(d), dtype=b.dtype), d])


@slip("gates.gru_after", "this is exercise 5.4's network", rung="probes", read="(5.20)")
def after_not(x, h0, U, W, b, d):
    """Both the reset and the update are the other way round here."""
    return _gru(x, h0, U, W, b + _inner(d, b))[0]


@slip("gates.gru_after", "d stands outside the bracket", rung="probes", read="(5.20)")
def after_d_outside(x, h0, U, W, b, d):
    """The inner bias is reset with the product."""
    return _gru(x, h0, U, W, b, "d outside", keep=True, d=d)[0]


@slip("gates.gru_after", "d is left out", rung="probes", read="(5.20)")
def after_no_d(x, h0, U, W, b, d):
    """The inner bias is an argument."""
    return _gru(x, h0, U, W, b, "after", keep=True)[0]


@slip("gates.gru_after", "the input is reset, too", rung="probes", read="(5.20)")
def after_all(x, h0, U, W, b, d):
    """b_n and U_n x stand outside the bracket."""
    return _gru(x, h0, U, W, b, "all", keep=True, d=d)[0]


@slip("gates.gru_after", "b_n is reset, too", rung="probes", read="(5.20)")
def after_bias_reset(x, h0, U, W, b, d):
    """b_n stands outside the bracket."""
    width = len(d)
    outside = np.concatenate([b[: 2 * width], np.zeros_like(d)])
    return _gru(x, h0, U, W, outside, "after", keep=True, d=d + b[2 * width :])[0]


@slip("gates.gru_after", "the blocks are taken as u, r, n", rung="probes", read="(5.16)")
def after_other_blocks(x, h0, U, W, b, d):
    """The first block is r's."""
    return _gru(x, h0, U, W, b, "after", keep=True, d=d, swap=True)[0]


# Backward through a GRU.


def _gru_backward(dh, x, h, gates, h0, U, W, **wrong):
    """The walk back with some of its four roads closed or changed."""
    width = h0.shape[-1]
    r, u, n = np.split(gates, 3, axis=-1)
    before = wrong.get("before", np.concatenate([h0[None], h[:-1]]))
    W_gates, W_n = W[: 2 * width], W[2 * width :]
    da, carry = np.empty_like(gates), np.zeros_like(h0)
    sign = wrong.get("sign", 1.0)
    gate, candidate = wrong.get("slopes", (lambda s: s * (1 - s), lambda n: 1 - n**2))
    roads = np.repeat(wrong.get("roads", (1.0, 1.0)), width) * wrong.get("through_gates", 1.0)
    for t in reversed(range(len(x))):
        total = dh[t] + carry
        da_u = gate(u[t]) * sign * (n[t] - before[t]) * total
        new = wrong.get("new", lambda u: u)(u[t])  # the share of the new state
        da_n = candidate(n[t]) * (np.ones_like(new) if "whole" in wrong else new) * total
        q = da_n @ (W_n.T if "transposed" in wrong else W_n)
        da_r = gate(r[t]) * before[t] * q
        da[t] = np.concatenate([da_r, da_u, da_n], axis=-1)
        kept = wrong.get("kept", lambda u: 1 - u)(new)
        carry = wrong.get("through_u", 1.0) * kept * total
        carry = carry + (q if "no_reset" in wrong else r[t] * q)
        carry = carry + (roads * da[t, :, : 2 * width]) @ W_gates
    flat, met = da.reshape(-1, 3 * width), before.reshape(-1, width)
    met_by_n = met if "unreset" in wrong else (r * before).reshape(-1, width)
    dW = np.concatenate([flat[:, : 2 * width].T @ met, flat[:, 2 * width :].T @ met_by_n])
    return da @ U, carry, flat.T @ x.reshape(-1, x.shape[-1]), dW, flat.sum(axis=0)


@slip(
    "gates.gru_backward",
    "the straight road, through 1 - u, was dropped",
    rung="probes",
    read="(5.21)",
    part="dh0",
)
def gru_back_no_straight(*args):
    """The old state goes into the new one directly."""
    return _gru_backward(*args, through_u=0.0)


@slip(
    "gates.gru_backward",
    "the roads through the two gates were dropped",
    rung="probes",
    read="(5.21)",
    part="dh0",
)
def gru_back_no_gates(*args):
    """The gates see the old state, too."""
    return _gru_backward(*args, through_gates=0.0)


@slip(
    "gates.gru_backward",
    "the road through the reset gate was dropped",
    rung="probes",
    read="(5.21)",
    part="dh0",
)
def gru_back_no_reset_road(*args):
    """The reset gate sees the old state, too."""
    return _gru_backward(*args, roads=(0.0, 1.0))


@slip(
    "gates.gru_backward",
    "the road through the update gate was dropped",
    rung="probes",
    read="(5.21)",
    part="dh0",
)
def gru_back_no_update_road(*args):
    """The update gate sees the old state, too."""
    return _gru_backward(*args, roads=(1.0, 0.0))


@slip(
    "gates.gru_backward",
    "nothing is carried from step to step",
    rung="probes",
    read="(5.21)",
    part="dh0",
)
def gru_back_not_carried(dh, x, h, gates, h0, U, W):
    """The total at h(t) has what comes from step t + 1."""
    before = [h0, *h]
    one = [
        right.gru_backward(dh[[t]], x[[t]], h[[t]], gates[[t]], before[t], U, W)
        for t in range(len(x))
    ]
    dx, dh0, *params = (list(each) for each in zip(*one, strict=True))
    return (np.concatenate(dx), dh0[0], *map(sum, params))


@slip(
    "gates.gru_backward",
    "the slopes of the two gates are missing",
    rung="probes",
    read="(5.21)",
    part="db",
)
def gru_back_no_slopes(*args):
    """s (1 - s), twice."""
    return _gru_backward(*args, slopes=(np.ones_like, lambda n: 1 - n**2))


@slip("gates.gru_backward", "the slope of n is missing", rung="probes", read="(5.21)", part="db")
def gru_back_no_candidate_slope(*args):
    """n is a tanh: 1 - n^2."""
    return _gru_backward(*args, slopes=(lambda s: s * (1 - s), np.ones_like))


@slip(
    "gates.gru_backward",
    "u is missing in the gradient of n",
    rung="probes",
    read="(5.21)",
    part="db",
)
def gru_back_no_share(*args):
    """n's share of h is u."""
    return _gru_backward(*args, whole=True)


@slip(
    "gates.gru_backward",
    "the state after the step stands for the one before",
    rung="probes",
    read="(5.21)",
    part="dW",
)
def gru_back_late_state(dh, x, h, gates, h0, U, W):
    """What the step met is h(t-1)."""
    return _gru_backward(dh, x, h, gates, h0, U, W, before=h)


@slip(
    "gates.gru_backward",
    "the straight road goes through 1 - u, not u",
    rung="probes",
    read="(5.21)",
    part="dh0",
)
def gru_back_through_u(*args):
    """Here u = 1 takes the new: 1 - u is what is kept."""
    return _gru_backward(*args, kept=lambda u: u)


@slip(
    "gates.gru_backward",
    "the reset gate is missing on the way back",
    rung="probes",
    read="(5.21)",
    part="dh0",
)
def gru_back_no_reset(*args):
    """W_n met r * h: what comes back meets r."""
    return _gru_backward(*args, no_reset=True)


@slip(
    "gates.gru_backward",
    "W_n is transposed in q: a column's W_n^T is a row's @ W_n",
    rung="probes",
    read="(5.21)",
    part="dh0",
)
def gru_back_transposed(*args):
    """Rows of a batch meet W_n as it is."""
    return _gru_backward(*args, transposed=True)


@slip(
    "gates.gru_backward",
    "W_n's gradient meets h(t-1), not r * h(t-1)",
    rung="probes",
    read="(5.14), (5.17)",
    part="dW",
)
def gru_back_unreset(*args):
    """What W_n multiplied was reset."""
    return _gru_backward(*args, unreset=True)


@slip(
    "gates.gru_backward",
    "the sign of the update gate's gradient: u keeps in the other convention",
    rung="probes",
    read="(5.18), (5.21)",
    part="db",
)
def gru_back_sign(*args):
    """n - h, since u = 1 takes n."""
    return _gru_backward(*args, sign=-1.0)


@slip(
    "gates.gru_backward",
    "the other convention: u and 1 - u have changed places",
    rung="probes",
    read="(5.18), (5.21)",
    part="dh0",
)
def gru_back_keep(*args):
    """Here u = 1 takes the new."""
    return _gru_backward(*args, sign=-1.0, new=lambda u: 1 - u)


@slip(
    "gates.gru_backward", "dh(0) is the gradient at h(1)", rung="probes", read="(5.21)", part="dh0"
)
def gru_back_h1(dh, x, h, gates, h0, U, W):
    """One step more."""
    made = right.gru_backward(dh, x, h, gates, h0, U, W)
    later = right.gru_backward(dh[1:], x[1:], h[1:], gates[1:], h[0], U, W)[1] if len(x) > 1 else 0
    return (made[0], dh[0] + later, *made[2:])


# Converters.


@slip("gates.take_to_keep", "only the bias is turned", rung="probes", read="(5.19)")
def convert_bias(U, W, b):
    """All that goes into the gate changes its sign."""
    return U.copy(), W.copy(), right.take_to_keep(U, W, b)[2]


@slip("gates.take_to_keep", "1 - weights instead of -weights", rung="probes", read="(5.19)")
def convert_one_less(U, W, b):
    """1 - sigmoid(a) = sigmoid(-a): it is a that is turned."""
    width = W.shape[-1]
    made = tuple(array.copy() for array in (U, W, b))
    for array in made:
        array[width : 2 * width] = 1 - array[width : 2 * width]
    return made


@slip("gates.take_to_keep", "every block is turned", rung="probes", read="(5.19)")
def convert_all(U, W, b):
    """Only the update gate has changed its meaning."""
    return -U, -W, -b


@slip(
    "gates.take_to_keep",
    "the reset gate is turned, not the update gate",
    rung="probes",
    read="(5.19)",
)
def convert_reset(U, W, b):
    """The blocks are r, u, n."""
    width = W.shape[-1]
    sign = np.repeat(np.array([-1, 1, 1], dtype=W.dtype), width)
    return U * sign[:, None], W * sign[:, None], b * sign


@slip("gates.take_to_keep", "the bias is not turned", rung="probes", read="(5.19)")
def convert_no_bias(U, W, b):
    """All that goes into the gate changes its sign."""
    return (*right.take_to_keep(U, W, b)[:2], b.copy())


@slip("gates.take_to_keep", "nothing is changed", rung="probes", read="(5.19)")
def convert_not(U, W, b):
    """u and 1 - u are not the same."""
    return U.copy(), W.copy(), b.copy()


@slip("gates.to_torch", "the blocks stay as i, f, o, g", rung="probes", read="the table of blocks")
def to_torch_same_order(U, W, b):
    """PyTorch has g before o."""
    return U, W, b, np.zeros_like(b)


@slip("gates.to_torch", "the bias is given twice", rung="probes", read="the table of blocks")
def to_torch_two_biases(U, W, b):
    """PyTorch adds its two biases."""
    weight_ih, weight_hh, bias, _ = right.to_torch(U, W, b)
    return weight_ih, weight_hh, bias, bias


@slip("gates.to_torch", "the bias is left in our order", rung="probes", read="the table of blocks")
def to_torch_bias_order(U, W, b):
    """All three are reordered."""
    weight_ih, weight_hh, _, zero = right.to_torch(U, W, b)
    return weight_ih, weight_hh, b, zero


@slip("gates.to_torch", "only U and b are reordered", rung="probes", read="the table of blocks")
def to_torch_W_order(U, W, b):
    """All three are reordered."""
    weight_ih, _, bias, zero = right.to_torch(U, W, b)
    return weight_ih, W, bias, zero


@slip("gates.from_torch", "the second bias is dropped", rung="probes", read="the table of blocks")
def from_torch_one_bias(weight_ih, weight_hh, bias_ih, bias_hh):
    """PyTorch adds its two biases."""
    return right.from_torch(weight_ih, weight_hh, bias_ih, np.zeros_like(bias_hh))


@slip(
    "gates.from_torch", "the blocks stay as i, f, g, o", rung="probes", read="the table of blocks"
)
def from_torch_same_order(weight_ih, weight_hh, bias_ih, bias_hh):
    """Ours has o before g."""
    return weight_ih.copy(), weight_hh.copy(), bias_ih + bias_hh


@slip(
    "gates.from_torch", "only the weights are reordered", rung="probes", read="the table of blocks"
)
def from_torch_bias_order(weight_ih, weight_hh, bias_ih, bias_hh):
    """All three are reordered."""
    U, W, _ = right.from_torch(weight_ih, weight_hh, bias_ih, bias_hh)
    return U, W, bias_ih + bias_hh


def _twice(array):
    """What a[2 * H : 3 * H], a[3 * H :] = a[3 * H :], a[2 * H : 3 * H] leaves of a copy."""
    i, f, _, last = np.split(array, 4)
    return np.concatenate([i, f, last, last])


TWICE = "two blocks are equal: you swapped views, and one was overwritten; use np.concatenate"


@slip("gates.to_torch", TWICE, rung="probes", read="the table of blocks")
def to_torch_views(U, W, b):
    """The right side of the swap holds views of the array that the left side writes into."""
    return _twice(U), _twice(W), _twice(b), np.zeros_like(b)


@slip("gates.from_torch", TWICE, rung="probes", read="the table of blocks")
def from_torch_views(weight_ih, weight_hh, bias_ih, bias_hh):
    """The right side of the swap holds views of the array that the left side writes into."""
    return _twice(weight_ih), _twice(weight_hh), _twice(bias_ih + bias_hh)


# Drawing and counting.


def _softmax(o):
    weight = np.exp(o - o.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def _pick(p, v):
    return np.minimum((np.cumsum(p, axis=-1) <= v[:, None]).sum(axis=-1), p.shape[-1] - 1)


@slip("gates.sample", "v is not used: always the likeliest class", rung="probes", read="(5.25)")
def sample_argmax(o, temperature, v):
    """That is temperature 0."""
    return o.argmax(axis=-1)


@slip("gates.sample", "multiplied by the temperature", rung="probes", read="(5.24)")
def sample_multiplied(o, temperature, v):
    """Divided: hot is flat."""
    return _pick(_softmax(o * temperature), v)


@slip("gates.sample", "the temperature is not used", rung="probes", read="(5.24)")
def sample_no_temperature(o, temperature, v):
    """It divides the outputs."""
    return _pick(_softmax(o), v)


@slip(
    "gates.sample",
    "the temperature divides the probabilities, which changes nothing",
    rung="probes",
    read="(5.24)",
)
def sample_divided_late(o, temperature, v):
    """It divides the outputs, before the exponential."""
    p = _softmax(o) / temperature
    return _pick(p, v)


@slip("gates.sample", "one class too far", rung="probes", read="(5.25)")
def sample_one_too_far(o, temperature, v):
    """The first class whose sum is above v, not the one after it."""
    return np.minimum(right.sample(o, temperature, v) + 1, o.shape[-1] - 1)


@slip("gates.sample", "one class short", rung="probes", read="(5.25)")
def sample_one_short(o, temperature, v):
    """The first class whose sum is above v."""
    return np.maximum(right.sample(o, temperature, v) - 1, 0)


@slip(
    "gates.sample",
    "the first sum that reaches v, not the first above it",
    rung="properties",
    read="(5.25)",
)
def sample_at_v(o, temperature, v):
    """Greater, not greater or equal: v = 0 would take a class of probability 0."""
    sums = np.cumsum(_softmax(o / temperature), axis=-1)
    return np.minimum((sums < v[:, None]).sum(axis=-1), o.shape[-1] - 1)


@slip("gates.sample", "a class beyond the last", rung="properties", read="(5.25)")
def sample_beyond(o, temperature, v):
    """The rounded sum of all p may stay below v."""
    return (np.cumsum(_softmax(o / temperature), axis=-1) <= v[:, None]).sum(axis=-1)


@slip("gates.sample", "the exponential overflows", rung="properties", read="(5.24)")
def sample_overflow(o, temperature, v):
    """exp(1000) is infinite."""
    weight = np.exp(o / temperature)
    return _pick(weight / weight.sum(axis=-1, keepdims=True), v)


@slip("gates.bits_per_character", "nats, not bits", rung="probes", read="(5.26)")
def bits_nats(o, y, mask):
    """Divide by log 2."""
    return right.bits_per_character(o, y, mask) * np.log(2)


@slip("gates.bits_per_character", "multiplied by log 2", rung="probes", read="(5.26)")
def bits_multiplied(o, y, mask):
    """log2 x = log x / log 2."""
    return right.bits_per_character(o, y, mask) * np.log(2) ** 2


@slip("gates.bits_per_character", "a sum instead of a mean", rung="probes", read="(5.26)")
def bits_sum(o, y, mask):
    """Per character."""
    return right.bits_per_character(o, y, mask) * mask.sum()


@slip("gates.bits_per_character", "the mask is ignored", rung="values", read="(5.26)")
def bits_unmasked(o, y, mask):
    """Padding is no character."""
    return right.bits_per_character(o, y, np.ones_like(mask))


@slip(
    "gates.bits_per_character",
    "masked above, but not below the line",
    rung="values",
    read="(5.26)",
)
def bits_over_all(o, y, mask):
    """Divide by the number of steps that count."""
    return right.bits_per_character(o, y, mask) * mask.mean()


@slip(
    "gates.bits_per_character",
    "a mean over each sequence first, then over sequences",
    rung="values",
    read="(5.26)",
)
def bits_mean_of_means(o, y, mask):
    """Short names would weigh as much as long ones."""
    each = [
        right.bits_per_character(o[:, j : j + 1], y[:, j : j + 1], mask[:, j : j + 1])
        for j in range(o.shape[1])
    ]
    return np.mean(each)


@slip(
    "gates.bits_per_character",
    "[:, :, y] takes every target at every step; use np.take_along_axis(..., y[..., None], -1)",
    rung="probes",
    read="(5.26)",
)
def bits_every_target(o, y, mask):
    """log_p[:, :, y] has shape (T, B, T, B)."""
    o = o - o.max(axis=-1, keepdims=True)
    log_p = (o - np.log(np.exp(o).sum(axis=-1, keepdims=True))) / np.log(2)
    return -(log_p[:, :, y] * mask).sum() / mask.sum()


@slip("gates.bits_per_character", "the sign is that of a likelihood", rung="probes", read="(5.26)")
def bits_negative(o, y, mask):
    """A logarithm of a probability is negative; a cost is not."""
    return -right.bits_per_character(o, y, mask)


@slip(
    "gates.bits_per_character",
    "the logarithm of a softmax that is rounded to 0",
    rung="properties",
    read="(5.26), (3.4)",
)
def bits_rounded(o, y, mask):
    """Exponent and logarithm cancel before anything is rounded: shift, then subtract."""
    with np.errstate(divide="ignore"):
        bits = -np.log2(np.take_along_axis(_softmax(o), y[..., None], axis=-1)[..., 0])
    return (mask * bits).sum() / mask.sum()


@slip(
    "gates.bits_per_character",
    "a small number guards the logarithm: it makes unlikely targets cheap",
    rung="properties",
    read="(5.26), (3.4)",
)
def bits_guarded(o, y, mask):
    """A target that the network holds for impossible costs more than any guard says."""
    bits = -np.log2(np.take_along_axis(_softmax(o), y[..., None], axis=-1)[..., 0] + 1e-15)
    return (mask * bits).sum() / mask.sum()


@slip(
    "gates.bits_per_character", "the exponential overflows", rung="properties", read="(5.26), (3.4)"
)
def bits_overflow(o, y, mask):
    """exp(1000) is infinite."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        p = np.exp(o) / np.exp(o).sum(axis=-1, keepdims=True)
        bits = -np.log2(np.take_along_axis(p, y[..., None], axis=-1)[..., 0])
        return (mask * bits).sum() / mask.sum()


# In PyTorch.


class _Function(torch.autograd.Function):
    """The right forward; slips change the backward."""

    @staticmethod
    def forward(ctx, x, h0, c0, U, W, b):
        """As it should be."""
        return right.LSTMFunction.forward(ctx, x, h0, c0, U, W, b)


@slip("gates.LSTMFunction", "dc_last is ignored", rung="probes", read="(5.11)")
class FunctionNoLastCell(_Function):
    """backward gets two gradients."""

    @staticmethod
    def backward(ctx, dh, dc_last):
        """Only dh is used."""
        return right.LSTMFunction.backward(ctx, dh, torch.zeros_like(dc_last))


@slip("gates.LSTMFunction", "dh is used at the last step only", rung="probes", read="(5.10)")
class FunctionLastStep(_Function):
    """A gradient may arrive at every step."""

    @staticmethod
    def backward(ctx, dh, dc_last):
        """Only dh[-1] is used."""
        last = torch.zeros_like(dh)
        last[-1] = dh[-1]
        return right.LSTMFunction.backward(ctx, last, dc_last)


@slip(
    "gates.LSTMFunction",
    "the gradients of h0 and c0 have changed places",
    rung="probes",
    read="(5.15)",
)
class FunctionSwapped(_Function):
    """In the order of forward's arguments."""

    @staticmethod
    def backward(ctx, dh, dc_last):
        """dc0 before dh0."""
        dx, dh0, dc0, *rest = right.LSTMFunction.backward(ctx, dh, dc_last)
        return dx, dc0, dh0, *rest


@slip("gates.LSTMFunction", "dh is written to", rung="arguments", read="(5.10)")
class FunctionInPlace(_Function):
    """dh belongs to autograd."""

    @staticmethod
    def backward(ctx, dh, dc_last):
        """The totals are collected in dh."""
        made = right.LSTMFunction.backward(ctx, dh, dc_last)
        dh.mul_(2)
        return made


@slip(
    "gates.LSTMFunction",
    "the gradients are not summed over time and batch",
    rung="shapes",
    read="(5.14)",
)
class FunctionUnsummed(_Function):
    """db is one number for each of the 4H rows."""

    @staticmethod
    def backward(ctx, dh, dc_last):
        """db for each sequence, of which the sum is right."""
        made = right.LSTMFunction.backward(ctx, dh, dc_last)
        return *made[:-1], torch.stack([made[-1] / dh.shape[1]] * dh.shape[1])


@slip("gates.LSTMFunction", "h0 and c0 get no gradient", rung="shapes", read="(5.15)")
class FunctionNoInitial(_Function):
    """An encoder may lie in front."""

    @staticmethod
    def backward(ctx, dh, dc_last):
        """None for two of them."""
        dx, _, _, *rest = right.LSTMFunction.backward(ctx, dh, dc_last)
        return dx, None, None, *rest


@slip("gates.LSTMFunction", "the gradient is made on the CPU", rung="properties", read="(5.10)")
class FunctionOnCpu(_Function):
    """torch.zeros without a device is on the CPU, whatever the arguments are."""

    @staticmethod
    def backward(ctx, dh, dc_last):
        """One array is made in the wrong place."""
        made = right.LSTMFunction.backward(ctx, dh, dc_last)
        return tuple(grad + torch.zeros(grad.shape, dtype=grad.dtype) for grad in made)


@slip("gates.LSTMFunction", "dc is not carried from step to step", rung="probes", read="(5.11)")
class FunctionNoCellCarry(_Function):
    """The cell has two children: h(t) and c(t+1)."""

    @staticmethod
    def backward(ctx, dh, dc_last):
        """Every step gets the gradient of its own h, and the last one dc_last."""
        x, h0, c0, U, W, h, c, gates = ctx.saved_tensors
        arrays = (dh, dc_last, x, h, c, gates, h0, c0, U, W)
        made = backward_no_cell_carry(*(array.detach().cpu().numpy() for array in arrays))
        return tuple(torch.from_numpy(np.array(grad)).to(dh) for grad in made)
