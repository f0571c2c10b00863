"""The figures of chapter 2, by their numbers: what the prose says is what the data says.

Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from figures import unfolding as lab
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def sharing():
    return lab.sharing()


@pytest.fixture(scope="module")
def recall():
    return lab.recall()


@pytest.fixture(scope="module")
def ended():
    return [lab.endings(law) for law in (lab.brackets(), lab.two_lengths())]


def test_every_claim_of_the_table_holds_to_rounding():
    found = lab.agreements()
    assert len(found) == 7
    for each in found:
        assert each.difference < 1e-14, each.claim


def test_the_puzzle(sharing):
    """289 and 305 parameters, 128 sequences of ten bits; then an eleventh, and fifty."""
    assert sharing.parameters == (305, 289)
    assert (sharing.T, sharing.n[-1]) == (10, 128)
    at = {n: i for i, n in enumerate(sharing.lengths)}
    assert 0.4 < sharing.window_at[at[11]].min() <= sharing.window_at[at[11]].max() < 0.6
    assert 2 <= (sharing.rnn_at[at[50]] < 0.1).sum() <= 3  # about half; of other draws, 13 of 25
    assert sharing.rnn_at[at[50]].max() > 0.2  # and not all: look at the worst seed


def test_sharing_needs_fewer_examples(sharing):
    rnn, window = (np.median(e, axis=-1).min(1) for e in (sharing.rnn, sharing.window))
    n = np.array(sharing.n)
    assert (rnn[n >= 32] < window[n >= 32] - 0.1).all()
    assert rnn[n == 64] < 0.1
    assert window[n == 128] > 0.1
    assert rnn[n == 128] < 0.02
    assert (np.abs(np.array([rnn[0], window[0]]) - 0.5) < 0.1).all()


def test_both_networks_fit_what_they_see(sharing):
    assert min(sharing.fit) > 0.85


def test_windows_hold_the_last_inputs():
    x, _ = lab.parity(torch.Generator().manual_seed(0), 7, 2, 3)
    w = lab.windows(x, 4)
    assert w.shape == (7, 2, 3, 4)
    for t in range(7):
        for back in range(4):
            want = x[t - back, ..., 0] if t >= back else torch.zeros(2, 3)
            assert torch.equal(w[t, ..., 3 - back], want)


def test_parity_is_the_parity():
    x, y = lab.parity(torch.Generator().manual_seed(1), 9, 4)
    ones = (x[..., 0] > 0).numpy()
    np.testing.assert_array_equal(y.numpy(), ones.cumsum(0) % 2)


def test_many_networks_train_as_each_does_alone():
    """They stand in one tensor and never meet."""

    def losses_of(net, x, y):
        return lambda k: (lab.outputs(net, x)[..., 0] - y).square().mean((0, 2))

    rng = torch.Generator().manual_seed(0)
    net = lab.many(rng, 3, 2, 4, 1)
    x, y = torch.randn(5, 3, 6, 2, generator=rng), torch.randn(5, 3, 6, generator=rng)
    alone = [lab.Many(*(p[i : i + 1].clone() for p in net)) for i in range(3)]
    rate = torch.tensor([0.01, 0.02, 0.03])
    lab.train(net, losses_of(net, x, y), rate, 20)
    for i, one in enumerate(alone):
        lab.train(one, losses_of(one, x[:, i : i + 1], y[:, i : i + 1]), rate[i : i + 1], 20)
        for together, apart in zip(net, one, strict=True):
            assert torch.allclose(together[i], apart[0], atol=1e-5)


def test_training_is_adam():
    p = torch.ones(1, 2, 2)
    mine = [p.clone()]
    lab.train(mine, lambda k: (mine[0] ** 3).sum((1, 2)) / 20, torch.tensor([0.05]), 5)
    theirs = p.clone().requires_grad_()
    adam = torch.optim.Adam([theirs], lr=0.05)
    for _ in range(5):
        adam.zero_grad()
        ((theirs**3).sum() / 20).backward()
        adam.step()
    assert torch.allclose(mine[0], theirs.detach(), atol=1e-6)


def test_recall_falls_with_the_lag(recall):
    share = np.median(recall.share, axis=-1)
    lags = np.array(recall.lags)
    assert (share[lags <= 4] > 0.99).all()
    assert share[lags == 8] > 0.95
    assert share[lags >= 12] == pytest.approx(0.5, abs=0.1)
    assert share[lags == 16] > 1 / recall.K
    drawn = lab.draw_recall(recall)
    assert f"after {recall.updates} updates" in drawn.axes[0].get_legend_handles_labels()[1]
    lab.plt.close(drawn)


def test_the_future_is_out_of_reach_and_behind_it_is_not(recall):
    assert np.abs(recall.early - 1 / recall.K).max() < 0.03
    assert recall.reversed.min() > 0.99


def test_padding_is_three_quarters_of_a_batch_as_it_comes():
    d = lab.waste()
    assert sum(1 / k for k in range(1, 33)) == pytest.approx(4.1, abs=0.05)
    assert 1 - d.wanted / d.padded == pytest.approx(0.75, abs=0.03)
    assert d.wanted / d.sorted > 0.8
    assert d.packed == d.wanted


def test_the_longest_of_32_lengths():
    """By summing the tail: E max = sum over t of 1 - P(length <= t)^32."""
    assert sum(1 / k for k in range(1, 33)) == pytest.approx(4.1, abs=0.05)
    inside = 1 - 0.95 ** np.arange(10_000)
    longest = (1 - inside**32).sum() / 20
    assert longest == pytest.approx(4.0, abs=0.05)
    assert 1 - 1 / longest == pytest.approx(0.75, abs=0.01)


def test_three_units_with_a_clock_do_what_is_not_the_same_at_every_step():
    """Turn every second bit round: units are the clock, and two that meet clock and bit."""
    G = 20.0
    W = np.array([[-G, 0, 0], [G, 0, 0], [G, 0, 0]])
    U, V = np.array([[0.0], [G], [G]]), np.array([[0, 1, -1]])
    params = U, W, np.array([0, -G, G]), V, np.ones(1)
    x = np.random.default_rng(0).choice([-1.0, 1.0], (50, 30, 1))
    _, o = lab.unfold(lab.step, params, np.tile([1.0, 0, 0], (30, 1)), x)
    clock = (-1.0) ** np.arange(50)[:, None, None]
    np.testing.assert_allclose(np.stack(o), x * clock, atol=1e-6)


def test_brackets_drawn_to_a_length_that_the_network_does_not_know():
    """The next symbol's law given the symbols so far and that it goes on, multiplied out."""
    law = lab.brackets()
    rows = [(tuple(y[:tau]), p) for y, tau, p in zip(law.y, law.lengths, law.p, strict=True)]

    def mass(prefix: tuple[int, ...]) -> float:
        return sum(p for y, p in rows if y[: len(prefix)] == prefix and len(y) >= len(prefix))

    right = dict.fromkeys((2, 4, 6), 0.0)
    for y, _ in rows:
        if len(y) in right:
            steps = range(1, len(y) + 1)
            goes_on = [mass(y[:t]) / sum(mass((*y[: t - 1], k)) for k in (0, 1)) for t in steps]
            right[len(y)] += float(np.prod(goes_on))
    for tau, found in right.items():
        assert found == pytest.approx(law.of_length[tau], rel=1e-12)
    assert [round(right[tau], 2) for tau in (2, 4)] == [0.65, 0.15]
    assert (law.of_length**2).sum() < 0.5


def test_counts_of_the_five_minute_question():
    table = repr(lab.counts())
    line = next(line for line in table.splitlines() if line.startswith("28, 64, 28"))
    assert line.split()[-1] == "4"


def test_the_laws():
    brackets, lengths = lab.brackets(), lab.two_lengths()
    assert brackets.p.sum() == pytest.approx(1)
    assert np.flatnonzero(lengths.of_length).tolist() == [3, 10]
    assert lengths.of_length[[3, 10]] == pytest.approx([0.5, 0.5])
    assert lengths.entropy == pytest.approx(np.log(2) * (1 + 6.5))  # the length, and 6.5 coins


def test_models_are_judged_by_the_references_likelihoods():
    """log_p of many models in torch, against log_end, log_halt and log_length."""
    from solutions import unfolding as ours

    law = lab.brackets(most=8)
    rng = torch.Generator().manual_seed(2)
    kind = torch.arange(3)
    net = lab.many(rng, 3, lab.INPUTS, 5, lab.OUTPUTS)
    q = torch.randn(3, 1, 8, generator=rng)
    y, tau = torch.from_numpy(law.y), torch.from_numpy(law.lengths)
    y, tau = y.expand(3, -1, -1), tau.expand(3, -1)
    found = lab.log_p(net, q, kind, y, tau).numpy()
    o = lab.outputs(net, lab._inputs(y, tau, kind)).double().numpy()
    symbols, lengths = law.y.T, law.lengths
    scores = np.tile(q[2, 0].double().numpy(), (len(lengths), 1))
    want = [
        ours.log_end(o[:, 0, :, :3], symbols, lengths),
        ours.log_halt(o[:-1, 1, :, :2], o[1:, 1, :, 3], symbols, lengths),
        ours.log_length(scores, o[:-1, 2, :, :2], symbols, lengths),
    ]
    np.testing.assert_allclose(found, want, atol=1e-4)  # float32


def test_endings_are_as_the_page_says(ended):
    brackets, lengths = ended
    for found in ended:
        assert found.kl.min() > 0
        assert (found.mass <= 1 + 1e-4).all()
        assert found.share.sum(1) == pytest.approx(1)
        assert np.median(found.kl, axis=1).max() < 0.3  # all three have learned
    end, halting, first = np.median(brackets.kl, axis=1)
    assert first > max(end, halting)  # it has to steer
    assert np.median(brackets.length_kl[2]) < 0.5 * first  # and that is in the content
    assert np.isnan(brackets.length_kl[:2]).all()  # strings of a length that are no brackets
    content = np.median(lengths.kl - lengths.length_kl, axis=1)
    assert np.abs(content).max() < 0.02  # all three have learned it
    in_lengths = np.median(lengths.length_kl, axis=1)
    assert in_lengths.argmax() == 2  # its scores have to move apart
    assert in_lengths[2] > content[2]
    assert np.median(lengths.kl, axis=1).argmin() == 1  # but not for the sum: halting is below
    assert np.flatnonzero(lengths.law.of_length[1:] == 0).size == 8  # lengths to be shut out
    assert brackets.kl[2].min() < brackets.kl[:2].max()  # the ranges overlap
    law = brackets.law.of_length
    for share in brackets.share:
        assert np.abs(share[: len(law)] - law).max() < 0.15


def test_how_many_steps_an_ending_costs():
    """tau + 1 with an end symbol and with halting, tau with the length first."""
    from solutions import unfolding as ours

    def steps(sample, outputs, *more):
        read = []

        def step(params, state, x):
            read.append(x)
            return state + 1, outputs(state)

        y = sample(step, None, 0, *more)
        return len(read), len(y)

    ends = np.array([0.0, -99.0])  # symbol 0, until five of them were read
    drawn = steps(ours.sample_end, lambda n: ends if n < 5 else -ends - 99, 1, np.full(9, 0.5))
    assert drawn == (6, 5)
    halts = steps(
        ours.sample_halt,
        lambda n: (np.zeros(1), 99.0 if n == 5 else -99.0),
        1,
        np.full((9, 2), 0.5),
    )
    assert halts == (6, 5)
    q = np.array([0.0, 0, 0, 0, 99])
    assert steps(ours.sample_length, lambda n: np.zeros(1), q, 1, np.full(6, 0.5)) == (5, 5)


def test_drawn_strings_have_the_models_own_probabilities():
    """The sampler of many models against their likelihoods, on the sequences of one symbol."""
    rng = torch.Generator().manual_seed(3)
    kind, net = torch.arange(3), lab.many(rng, 3, lab.INPUTS, 5, lab.OUTPUTS)
    q = torch.randn(3, 1, 4, generator=rng)
    share, _ = lab._drawn(net, q, kind, 4, rng, count=20_000)
    y = torch.tensor([[0], [1]]).expand(3, -1, -1)
    p = lab.log_p(net, q, kind, y, torch.ones(3, 2, dtype=torch.long)).exp().sum(1).numpy()
    np.testing.assert_allclose(share[:, 1], p, atol=0.015)


def test_the_page_holds_the_arrows_that_were_traced():
    data = lab.foldings()
    page = lab.unfold_html(data)
    assert json.loads(re.search(r'json">(.*?)</script>', page)[1]) == data
    assert [each["name"] for each in data["wirings"]] == list(lab.WIRINGS)
    assert ["h", "h", 1, "W"] in data["wirings"][0]["arrows"]
    assert "h to h one step later" in html.unescape(page)
    for each in data["wirings"]:
        letters = [letter for letter, _ in each["rows"]]
        assert all(a[0] in letters and a[1] in letters for a in each["arrows"])


def test_the_script_has_the_palette():
    from course import figures, graphs

    script = (ROOT / "book/_static/unfold.js").read_text(encoding="utf-8")
    for role, colour in graphs.COLOURS.items():
        assert f'{role}: "{figures.PALETTE[colour]}"' in script


def test_every_figure_draws(sharing, recall, ended):
    timed = lab.steps(T=(2, 4, 8))
    for figure in (
        lab.draw_sharing(sharing),
        lab.draw_recall(recall),
        lab.draw_endings(ended),
        lab.draw_steps(timed),
        lab.draw_traced(lab.traced()),
    ):
        assert isinstance(figure, Figure)
        lab.plt.close(figure)
    assert (timed.recurrent > 0).all()
    assert "128" in repr(lab.table_sharing(sharing))
    assert "from the end" in repr(lab.table_recall(recall))
    assert repr(lab.table_endings(ended)).count("halting") == 2
    assert "packed" in repr(lab.table_waste(lab.waste()))
    assert "nn.RNN" in repr(lab.table_agreements(lab.agreements()))
