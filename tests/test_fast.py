"""The fast networks give what the clear ones, autograd, and torch.nn give, to rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from figures import textbook

from solutions import bptt, fast, fast_torch, gates

EXACT = 1e-12  # float64: the same sums in another order, a few hundred roundings of numbers near 1
SINGLE = 2e-5  # float32: eps is 1.2e-7, gradients are sums of a few hundred terms of either sign

T, B, D, H = 7, 3, 5, 4
BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}
MODULES = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
SIZES = [(T, B), (1, B), (T, 1), (1, 1), (40, 2)]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Local derivatives in chunks of three steps, so that borders between chunks are tested."""
    monkeypatch.setattr(fast, "CHUNK", 3 * B * H)


def close(one, other, limit=EXACT) -> None:
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape
    assert np.abs(one - other).max() <= limit * max(np.abs(other).max(), 1e-3)


def drawn(cell: str, steps: int = T, batch: int = B, dtype=np.float64) -> dict[str, np.ndarray]:
    """The arguments of a cell's forward pass, and what arrives from outside."""
    rng = np.random.default_rng(steps + 10 * batch)
    rows = BLOCKS[cell] * H
    shapes = {"x": (steps, batch, D), "h0": (batch, H)}
    if cell == "lstm":
        shapes["c0"] = (batch, H)
    shapes |= {"U": (rows, D), "W": (rows, H), "b": (rows,)}
    if cell == "gru":
        shapes["d"] = (H,)
    shapes["dh"] = (steps, batch, H)
    if cell == "lstm":
        shapes["dc_last"] = (batch, H)
    return {name: rng.normal(0, 0.8, shape).astype(dtype) for name, shape in shapes.items()}


def split(given):
    """Arguments of the forward pass, and what arrives from outside, apart."""
    outside = [given[name] for name in ("dh", "dc_last") if name in given]
    return [value for name, value in given.items() if name not in ("dh", "dc_last")], outside


def ran(cell: str, given) -> list[np.ndarray]:
    """States, and all gradients, of the fast network."""
    inputs, outside = split(given)
    h, trace = getattr(fast, f"{cell}_forward")(*inputs)
    last = [trace.slabs[-1, 4]] if cell == "lstm" else []
    return [h, *last, *getattr(fast, f"{cell}_backward")(*outside, trace)]


def by_torch_nn(cell: str, given, dtype=torch.float64) -> list[np.ndarray]:
    """The same from torch.nn, our blocks and biases put into its own."""
    t = {name: torch.tensor(value, dtype=dtype) for name, value in given.items()}
    order = np.arange(BLOCKS[cell] * H)
    if cell == "lstm":  # i, f, o, g and i, f, g, o: the same swap both ways
        order = np.r_[: 2 * H, 3 * H : 4 * H, 2 * H : 3 * H]
    module = MODULES[cell](D, H, dtype=dtype)
    values = [t["U"][order], t["W"][order], t["b"][order], torch.zeros(len(order), dtype=dtype)]
    if cell == "gru":
        values[3][2 * H :] = t["d"]
    with torch.no_grad():
        for into, value in zip(module.parameters(), values, strict=True):
            into.copy_(value)
    start = [t[name].requires_grad_() for name in ("h0", "c0") if name in t]
    x = t["x"].requires_grad_()
    state = tuple(s[None] for s in start) if cell == "lstm" else start[0][None]
    h, last = module(x, state)
    made = (h, last[1][0]) if cell == "lstm" else (h,)
    outside = split(t)[1]
    leaves = [x, *start, *module.parameters()]
    dx, *rest = torch.autograd.grad(made, leaves, outside)
    starts, (dU, dW, db, db_inner) = rest[: len(start)], rest[len(start) :]
    more = [db_inner[2 * H :]] if cell == "gru" else []
    found = [*made, dx, *starts, dU[order], dW[order], db[order], *more]
    return [value.detach().numpy() for value in found]


@pytest.mark.parametrize(("steps", "batch"), SIZES)
def test_rnn_is_the_answer_of_chapter_3(steps, batch):
    given = drawn("rnn", steps, batch)
    (x, h0, U, W, b), (dh,) = split(given)
    h, _ = bptt.forward(x, h0, U, W, b, np.eye(H), np.zeros(H))  # an output that shows the state
    total = bptt.grad_h(dh, h, W, np.eye(H))
    dU, dW, db, _, _ = bptt.grad_params(total, dh, x, h, h0)
    da = total * (1 - h * h)
    for one, other in zip(ran("rnn", given), [h, da @ U, da[0] @ W, dU, dW, db], strict=True):
        close(one, other)


@pytest.mark.parametrize(("steps", "batch"), SIZES)
def test_lstm_is_the_answer_of_chapter_5(steps, batch):
    given = drawn("lstm", steps, batch)
    (x, h0, c0, U, W, b), (dh, dc_last) = split(given)
    h, c, kept = gates.lstm_forward(x, h0, c0, U, W, b)
    grads = gates.lstm_backward(dh, dc_last, x, h, c, kept, h0, c0, U, W)
    for one, other in zip(ran("lstm", given), [h, c[-1], *grads], strict=True):
        close(one, other)
    _, trace = fast.lstm_forward(x, h0, c0, U, W, b)
    close(trace.slabs[1:, 4], c)
    close(trace.slabs[:-1, :4].swapaxes(1, 2).reshape(kept.shape), kept)


@pytest.mark.parametrize(("steps", "batch"), SIZES)
def test_gru_is_the_answer_of_chapter_5_and_its_gradient_is_autograd_s(steps, batch):
    given = drawn("gru", steps, batch)
    inputs, (dh,) = split(given)
    found = ran("gru", given)
    close(found[0], gates.gru_after(*inputs))
    leaves = [torch.tensor(value).requires_grad_() for value in inputs]
    x, h0, U, W, b, d = leaves
    h, _ = fast_torch.unroll(fast_torch.gru_step, x, h0, U, b, W, d)
    for one, other in zip(found[1:], torch.autograd.grad(h, leaves, torch.tensor(dh)), strict=True):
        close(one, other.numpy())


@pytest.mark.parametrize("cell", BLOCKS)
@pytest.mark.parametrize(("steps", "batch"), SIZES)
def test_numpy_is_torch_nn(cell, steps, batch):
    given = drawn(cell, steps, batch)
    for one, other in zip(ran(cell, given), by_torch_nn(cell, given), strict=True):
        close(one, other)


@pytest.mark.parametrize("cell", BLOCKS)
def test_a_derivative_of_each_gradient_by_finite_differences(cell):
    """Neither autograd nor the clear code: L moved along a random direction of each argument."""
    given = drawn(cell)
    inputs, outside = split(given)
    grads = ran(cell, given)[2 if cell == "lstm" else 1 :]
    rng, eps = np.random.default_rng(1), 1e-6

    def loss(arguments):
        h, trace = getattr(fast, f"{cell}_forward")(*arguments)
        last = [trace.slabs[-1, 4]] if cell == "lstm" else []
        return sum((e * s).sum() for e, s in zip(outside, [h, *last], strict=True))

    for i, grad in enumerate(grads):
        along = rng.normal(size=grad.shape)
        moved = [
            loss([value + s * along if j == i else value for j, value in enumerate(inputs)])
            for s in (eps, -eps)
        ]
        # central differences, eps 1e-6: error eps² from the curve, 1e-16 / eps from rounding
        close((moved[0] - moved[1]) / (2 * eps), (grad * along).sum(), 1e-7)


@pytest.mark.parametrize("cell", BLOCKS)
def test_layout_does_not_matter_and_arguments_stay(cell):
    given = drawn(cell)
    strided = {}
    for name, value in given.items():
        room = np.full([2 * n for n in value.shape[::-1]], np.nan)
        view = room[tuple(slice(None, None, 2) for _ in value.shape)].T  # gaps, and the last first
        view[...] = value
        view.flags.writeable = False
        strided[name] = view
    for one, other in zip(ran(cell, strided), ran(cell, given), strict=True):
        close(one, other)


@pytest.mark.parametrize("cell", BLOCKS)
def test_a_trace_can_be_written_over(cell):
    forward, backward = getattr(fast, f"{cell}_forward"), getattr(fast, f"{cell}_backward")
    first, second = drawn(cell), {name: 0.7 * value for name, value in drawn(cell).items()}
    inputs, outside = split(first)
    _, room = forward(*inputs)
    backward(*outside, room)
    inputs, outside = split(second)
    h, trace = forward(*inputs, room=room)
    assert np.shares_memory(h, room.states)
    assert trace.da is room.da
    want = ran(cell, second)
    for one, other in zip(backward(*outside, trace), want[-len(inputs) :], strict=True):
        close(one, other)


def test_a_sequence_goes_on_in_the_same_room():
    """The last state, which lies in the room, is the first of the next part."""
    (x, h0, c0, U, W, b), _ = split(drawn("lstm", 12))
    whole, _ = fast.lstm_forward(x, h0, c0, U, W, b)
    h, room = fast.lstm_forward(x[:6], h0, c0, U, W, b)
    h, _ = fast.lstm_forward(x[6:], h[-1], room.slabs[-1, 4], U, W, b, room=room)
    close(h, whole[6:])


@pytest.mark.parametrize("cell", BLOCKS)
def test_float32_stays_float32(cell):
    given = drawn(cell, 40, 2, np.float32)
    double = ran(cell, {name: value.astype(np.float64) for name, value in given.items()})
    for one, other in zip(ran(cell, given), double, strict=True):
        assert one.dtype == np.float32
        close(one, other, SINGLE)


@pytest.mark.parametrize("cell", BLOCKS)
def test_large_arguments_do_not_overflow(cell):
    given = drawn(cell)
    given["x"] = given["x"] * 1e4
    with np.errstate(all="raise"):
        assert all(np.isfinite(value).all() for value in ran(cell, given))


STEPS = {"rnn": fast_torch.rnn_step, "gru": fast_torch.gru_step, "lstm": fast_torch.lstm_step}
FUNCTIONS = {
    "rnn": fast_torch.RNNFunction,
    "gru": fast_torch.GRUFunction,
    "lstm": fast_torch.LSTMFunction,
}
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def looped(cell: str, step, leaves):
    """h, and an LSTM's last cell, by the eager loop over a step."""
    if cell == "lstm":
        x, h0, c0, U, W, b = leaves
        h, (_, c) = fast_torch.unroll(step, x, (h0, c0), U, b, W)
        return h, c
    x, h0, U, W, b, *d = leaves
    return (fast_torch.unroll(step, x, h0, U, b, W, *d)[0],)


def both(cell: str, run, given, dtype, device) -> list[np.ndarray]:
    """States and gradients of a PyTorch twin."""
    inputs, outside = split(given)
    leaves = [torch.tensor(v, dtype=dtype, device=device).requires_grad_() for v in inputs]
    made = run(leaves)
    made = made if isinstance(made, tuple) else (made,)
    outside = [torch.tensor(v, dtype=dtype, device=device) for v in outside]
    found = [*made, *torch.autograd.grad(made, leaves, outside)]
    assert all(v.dtype == dtype and v.device.type == device for v in found)
    return [v.detach().cpu().numpy() for v in found]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cell", BLOCKS)
@pytest.mark.parametrize(("steps", "batch"), SIZES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_twins_are_torch_nn(cell, steps, batch, dtype, device):
    given = drawn(cell, steps, batch)
    want = by_torch_nn(cell, given)
    limit = EXACT if dtype == torch.float64 else SINGLE
    for run in (
        lambda leaves: looped(cell, STEPS[cell], leaves),
        lambda v: FUNCTIONS[cell].apply(*v),
    ):
        for one, other in zip(both(cell, run, given, dtype, device), want, strict=True):
            close(one, other, limit)


@pytest.mark.parametrize("cell", BLOCKS)
def test_hand_written_backward_passes_gradcheck(cell):
    leaves = [torch.tensor(v).requires_grad_() for v in split(drawn(cell, 3, 2))[0]]
    assert torch.autograd.gradcheck(FUNCTIONS[cell].apply, leaves)


@pytest.mark.parametrize("cell", BLOCKS)
def test_twins_run_in_bfloat16_autocast(cell):
    given = drawn(cell)
    leaves = [torch.tensor(v, dtype=torch.float32) for v in split(given)[0]]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = looped(cell, STEPS[cell], leaves)[0]
    # 8 bits of mantissa: each product is off by 2^-9, over seven steps that do not contract
    close(h.float().numpy(), ran(cell, given)[0], 0.05)


def test_a_compiled_step_is_a_step():
    """The step is compiled, not the loop: another length compiles nothing again."""
    compiles = []

    def backend(graph, _):
        compiles.append(graph)
        return graph.forward

    torch._dynamo.reset()
    step = torch.compile(fast_torch.lstm_step, backend=backend)
    for steps in (7, 40):
        given = drawn("lstm", steps)
        leaves = [torch.tensor(v) for v in split(given)[0]]
        close(looped("lstm", step, leaves)[0].numpy(), ran("lstm", given)[0])
    assert len(compiles) == 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("cell", BLOCKS)
def test_a_recorded_step_is_the_loop(cell, steps, device):
    given = {name: torch.tensor(v, device=device) for name, v in drawn(cell, steps).items()}
    weights = [given[name] for name in ("W", "d") if name in given]
    recorded = None
    for scale in (1.0, -0.5, 1.0):  # its memory holds what the sequence before has left
        state = tuple(scale * given[name] for name in ("h0", "c0") if name in given)
        state = state if cell == "lstm" else state[0]
        x = scale * given["x"]
        driven = torch.nn.functional.linear(x, given["U"], given["b"])
        if recorded is None:
            recorded = fast_torch.Recorded(STEPS[cell], driven, state, *weights)
        found, last = recorded(driven, state)
        want, end = fast_torch.unroll(STEPS[cell], x, state, given["U"], given["b"], *weights)
        close(found.cpu().numpy(), want.cpu().numpy())
        for one, other in zip(last, end, strict=True):
            close(one.cpu().numpy(), other.cpu().numpy())
        weights[0].mul_(0.9)  # read anew by each replay


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 9, 64, 100])
def test_every_scan_is_the_loop(steps):
    rng = np.random.default_rng(steps)
    a, b = rng.uniform(-1.2, 1.2, (2, steps, 3, 2))
    h0 = rng.normal(size=(3, 2))
    a[:, 0, 0] = 0  # nothing of the past is kept: a logarithm would fail here
    tensors = [torch.tensor(each) for each in (a, b, h0)]
    truth = fast_torch.scan_by_loop(*tensors).numpy()
    close(fast.scan(a, b, h0), truth)
    for solve in (fast_torch.scan, fast_torch.scan_by_blocks, fast_torch.scan_by_pairs):
        close(solve(*tensors).numpy(), truth)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 9, 64, 100])
def test_blend_is_its_loop_with_and_without_a_gradient(steps):
    rng = np.random.default_rng(steps)
    u, c = torch.tensor(rng.uniform(0, 1, (2, steps, 3, 2)))
    u[:, 0, 0], u[:, 0, 1] = 0, 1  # nothing new, and nothing old
    h0 = torch.tensor(rng.normal(size=(3, 2)))
    truth = fast_torch.blend_by_loop(u, c, h0).numpy()
    close(fast_torch.blend(u, c, h0).numpy(), truth)
    with torch.no_grad():
        close(fast_torch.blend(u, c, h0).numpy(), truth)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_gradient_of_scan(steps):
    rng = np.random.default_rng(0)
    shapes = ((steps, 2), (steps, 2), (2,))
    leaves = [torch.tensor(rng.uniform(-1, 1, shape)).requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(fast_torch.scan, leaves)


def test_min_gru_three_ways():
    torch.manual_seed(0)
    net = fast_torch.MinGRU(D, H).double()
    x, h0 = torch.randn(13, B, D, dtype=torch.float64), torch.randn(B, H, dtype=torch.float64)
    h, stepped = h0, []
    for now in x:
        h = net.step(now, h)
        stepped.append(h)
    truth = torch.stack(stepped)
    leaves = list(net.parameters())
    want = torch.autograd.grad(truth.square().sum(), leaves)
    for solve in (fast_torch.blend, fast_torch.blend_by_loop):
        found = net(x, h0, solve)
        close(found.detach().numpy(), truth.detach().numpy())
        for one, other in zip(torch.autograd.grad(found.square().sum(), leaves), want, strict=True):
            close(one.numpy(), other.numpy())
    with torch.no_grad():
        close(net(x, h0).numpy(), truth.numpy())


@pytest.mark.parametrize("cell", BLOCKS)
def test_textbook_forms_that_are_timed_beside_them_are_the_same_networks(cell):
    given = drawn(cell)
    inputs, outside = split(given)
    run = getattr(textbook, cell)
    found, want = run(*inputs, *outside), ran(cell, given)
    close(run(*inputs)[0], want[0])
    if cell == "lstm":
        del want[1]
    for one, other in zip(found, want, strict=True):
        close(one, other)
