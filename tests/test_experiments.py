"""The experiments of the written questions: they run, and the marking guides say what they show."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest

from autograder import build
from course import figures
from course.exercise import CHAPTERS, chapter

EARLIER = {"taxonomy": "def sticky(", "speed": "def scan("}
"""A line of the cell whose functions the experiment takes over, where there is one."""


def after_the_start(name: str) -> tuple[int, list]:
    """Where the experiment's text stands, and all cells of the notebook with answers."""
    cells = build.source_notebook(name).cells
    number = chapter(name).questions[-1].number
    (at,) = (
        n
        for n, cell in enumerate(cells)
        if cell.source.startswith(f"## A start for question {number}\n")
    )
    return at, cells


@pytest.fixture(scope="module")
def experiments():
    """Names that the cells of a chapter's experiment leave behind; each runs once."""
    done: dict[str, dict] = {}

    def run(name: str) -> dict:
        if name not in done:
            at, cells = after_the_start(name)
            solutions = importlib.import_module(f"solutions.{name}")
            space = {**vars(solutions), "ready": lambda *names, quiet=False: True}
            before = [c.source for c in cells[:at] if EARLIER.get(name, "def no(") in c.source]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(figures, "show", lambda figure: None)
                patch.setattr(figures, "style", lambda: None)
                for source in (*before, cells[at + 1].source):
                    exec(compile(source, f"<experiment of {name}>", "exec"), space)
                solutions.plt.close("all")
            done[name] = space
        return done[name]

    return run


def guide(name: str) -> str:
    """The model answer and the marking guide, in one line."""
    cells = build.source_notebook(name).cells
    grade_id = chapter(name).questions[-1].name.replace(".", "-")
    (cell,) = (c for c in cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)
    return " ".join(cell.source.split())


def power_of_ten(value: float) -> str:
    """As the guides write it: one digit and a power."""
    digit, power = f"{value:.0e}".split("e")
    short = f"{int(power)}" if 0 <= int(power) < 10 else f"{{{int(power)}}}"  # as TeX wants it
    return f"{digit} \\cdot 10^{short}"


# ------------------------------------------------------------------------------------- their form


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_question_asks_for_a_measurement_and_says_how_it_is_judged(name):
    at, cells = after_the_start(name)
    assert cells[at + 1].cell_type == "code"
    assert cells[at + 1].source.startswith("if ready(")
    asked = cells[at + 2].source
    assert cells[at + 2].metadata["nbgrader"]["grade_id"].startswith("ask-")
    (part,) = re.findall(r"^(\d)\. \*Measure\.\* (.*?)(?=^\S)", asked, flags=re.M | re.S)
    assert re.search(r"\b(19|20)\d\d\b", part[1]), "no paper is named"
    assert f"Plan half an hour for part {part[0]}." in asked
    assert "A good answer says what you expected" in asked
    said = guide(name)
    assert f" {part[0]}. " in said
    assert "Not shown" in said
    marks = said[said.index("Three points.") :]
    assert marks.count("1 for part") == 3
    assert f"1 for part {part[0]}:" in marks


# ------------------------------------------------------------- what is seen, and what guides say


def test_no_unit_holds_its_bit_and_lets_a_gradient_through(experiments):
    hold, said = experiments("dynamics")["hold"], guide("dynamics")
    for noise in (0.1, 0.3, 0.5, 1.0):
        for w in np.linspace(0.5, 6, 23):
            held, slope = hold(w, noise)
            assert noise < 0.3 or held < 0.95 or np.median(slope) < 1e-6, (noise, w)
    for steps in (20, 50):
        held, slope = hold(1.2, 0.1, steps)
        assert power_of_ten(np.median(slope)) in said
        assert ("holds every bit" if held == 1 else f"still holds {100 * held:.1f} %") in said
    for w in (1.2, 1.5, 2.0):
        held, slope = hold(w, 0.5)
        assert f"{100 * held:.1f} %" in said
        assert power_of_ten(np.median(slope)) in said
    held, slope = hold(1.5, 0.3)
    assert f"$w = 1.5$ holds {100 * held:.1f} %, with ${power_of_ten(np.median(slope))}$" in said


def test_the_mean_slope_is_made_by_runs_that_lost_the_bit(experiments):
    """The same runs with a loop of our own, so that the states are there."""
    _, slope = experiments("dynamics")["hold"](1.5, 0.5)
    x = np.random.default_rng(1).normal(0, 0.5, (20, 1000))
    h, path = np.full(1000, 0.9), []
    for now in x:
        h = np.tanh(1.5 * h + now)
        path.append(h)
    states = np.array(path)
    np.testing.assert_allclose(slope, np.prod(1.5 * (1 - states**2), axis=0), rtol=1e-9)
    said = guide("dynamics")
    assert f"the mean slope is {slope.mean():.2f}," in said
    lost, never = states[-1] <= 0, (states > 0).all(axis=0)
    assert f"lost the bit it is {slope[lost].mean():.2f}," in said
    assert f"never left their side {slope[never].mean():.4f}" in said


def test_the_count_is_good_on_short_strings_and_worst_on_long_ones(experiments):
    space, said = experiments("unfolding"), guide("unfolding")
    knows, halting = space["knows"], space["halting"]
    longest = max(space["taus"])
    assert f"strings longer than {longest}" in said
    costs = {}
    for p in (0.3, 0.45):
        new = space["strings"](p, seed=1)
        assert f"mean length {np.mean([len(y) for y in new]):.1f}" in said
        for name, decide in knows.items():
            costs[p, name] = np.array([halting(decide, y) for y in new])
            assert f"{costs[p, name].mean():.3f}" in said
    beyond = np.array([len(y) > longest for y in new])
    for name, form in (("nothing", ".1f"), ("the count", ".1f"), ("what is open", ".1f")):
        assert format(costs[0.45, name][beyond].mean(), form) in said
    # By hand: a geometric law costs -log e - (tau - 1) log(1 - e) for the decisions.
    e = 1 / np.mean(space["taus"])
    tau = np.array([len(y) for y in new])
    np.testing.assert_allclose(
        costs[0.45, "nothing"], -np.log(e) - (tau - 1) * np.log(1 - e), rtol=1e-9
    )


def test_estimates_from_sigma_err_on_both_sides(experiments):
    space, said = experiments("bptt"), guide("bptt")
    H, K = space["H"], space["K"]
    found = {}
    for gain in (0.5, 1.5):  # as in the cell
        rng = np.random.default_rng(3)
        params = [
            rng.normal(0, 0.5, (H, K)),
            gain * np.linalg.qr(rng.normal(size=(H, H)))[0],
            np.zeros(H),
            rng.normal(0, 0.3, (K, H)),
            np.zeros(K),
        ]
        x, _, _ = space["datasets"].echo(rng, space["T"], 64, K, space["LAG"])
        found[gain, "before"] = params, x
        batches = (space["datasets"].echo(rng, space["T"], 32, K, space["LAG"]) for _ in range(300))
        stacked = [np.stack(arrays) for arrays in zip(*batches, strict=True)]
        found[gain, "after"] = space["train"](params, *stacked, 0.5, 0.9, 1.0)[0], x
    params, x = found[1.5, "before"]
    norms, slopes = space["jacobians"](params, x, (1, 20))
    sigma = np.linalg.norm(params[1], 2)
    assert f"$\\sigma_{{\\max}}^{{20}}$ is ${power_of_ten(sigma**20)}$" in said
    assert f"the second estimate {(sigma * slopes.mean()) ** 20:.2f}" in said
    one, twenty = np.median(norms, axis=1)
    assert f"from {one:.1f} over one step to {twenty:.1f} over 20" in said
    for gain in (0.5, 1.5):
        params, x = found[gain, "after"]
        norms, slopes = space["jacobians"](params, x, (1, 20))
        assert 5 < np.linalg.norm(params[1], 2) < 9
        assert np.linalg.norm(params[1], 2) ** 20 > 1e13
        assert slopes.mean() < 0.25
        assert np.median(norms[0]) > 1 > 1e-6 > np.median(norms[1])


def test_the_rows_are_the_product_of_jacobians(experiments):
    space = experiments("bptt")
    params, x = space["params"], space["x"]
    norms, _ = space["jacobians"](params, x[:, :3], (1, 5))
    h, _ = space["forward"](x[:, :3], np.zeros((3, space["H"])), *params)
    for row, n in zip(norms, (1, 5), strict=True):
        for b in range(3):
            product = np.eye(space["H"])
            for t in range(len(x) - n, len(x)):
                product = np.diag(1 - h[t, b] ** 2) @ params[1] @ product  # (3.23)
            assert row[b] == pytest.approx(np.linalg.norm(product, 2), rel=1e-9)


def test_who_was_fed_its_own_outputs_listens_less(experiments):
    space, said = experiments("taxonomy"), guide("taxonomy")
    x, y0, y = space["x"], space["y0"], space["y"]
    before = np.concatenate([y0[None], y[:-1]])
    listens = {}
    for kind, (U, F, b, V, c) in space["networks"].items():

        def says(fed, U=U, F=F, b=b, V=V, c=c):
            """Steps of the network by themselves: all of its past is the class that is fed."""
            return (np.tanh(x @ U.T + np.eye(4)[fed] @ F.T + b) @ V.T + c).argmax(-1)

        own, fed = [], y0
        for t in range(len(x)):
            fed = (np.tanh(x[t] @ U.T + F.T[fed] + b) @ V.T + c).argmax(-1)
            own.append(fed)
        own = np.array(own)
        opened = (says(before) != y).mean()
        closed = (own != y)[30:].mean()
        listens[kind] = (says(before) != says((before + 1) % 4)).mean()
        changes = (own[1:] != own[:-1]).mean()
        for value in (opened, closed, listens[kind]):
            assert f"{value:.3f}" in said, (kind, value)
        assert kind == "half" or f"{changes:.3f}" in said
    assert listens["forced"] > 2 * listens["half"] * 0.9 > listens["scheduled"]
    assert closed > 0.2, "scheduled: worse than to believe x alone"


def test_with_a_worse_x_nothing_is_gained_either(experiments):
    space, said = dict(experiments("taxonomy")), guide("taxonomy")
    at, cells = after_the_start("taxonomy")
    (source,) = (c.source for c in cells[:at] if EARLIER["taxonomy"] in c.source)
    changed = source.replace("right=0.8", "right=0.5").replace('("forced", "half", ', '("half", ')
    assert changed.count("right=0.5") == changed.count('in ("half", "scheduled")') == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "show", lambda figure: None)
        exec(compile(changed, "<a worse x>", "exec"), space)
        space["plt"].close("all")
    x, y0, y = space["sticky"](np.random.default_rng(2), 40, 2000)
    for kind, found in space["networks"].items():
        error = (space["closed_loop"](x, y0, *found).argmax(-1) != y)[30:].mean()
        assert f"{error:.3f}" in said, kind
        assert error > 0.5, "x alone"


def test_a_past_and_an_x_together_err_less_than_x_alone(experiments):
    """An observer who knows both laws: Bayes' rule, step by step."""
    x, y0, y = (experiments("taxonomy")[name] for name in ("x", "y0", "y"))
    moves = np.full((4, 4), 0.1 / 3) + (0.9 - 0.1 / 3) * np.eye(4)
    belief, wrong = np.eye(4)[y0], []
    for t in range(len(x)):
        belief = (belief @ moves) * np.where(x[t] > 0, 0.8, 0.2 / 3)
        belief /= belief.sum(-1, keepdims=True)
        wrong.append((belief.argmax(-1) != y[t]).mean())
    assert np.mean(wrong[30:]) < 0.15 < 0.2


def test_with_usual_weights_the_second_road_is_most_of_it(experiments):
    shares, said = experiments("gates")["shares"], guide("gates")
    small, usual = ([shares(bias, scale) for bias in (0.0, 1.0, 5.0)] for scale in (0.1, 1.0))
    ratios = [every / direct for every, direct, _ in small]
    assert "{:.1f}, {:.1f} and {:.1f} times as much".format(*ratios) in said
    for (_, direct, _), bias in zip(small, (0.0, 1.0, 5.0), strict=True):
        assert direct == pytest.approx((1 / (1 + np.exp(-bias))) ** 20, rel=0.06)
    first, second, third = (every / direct for every, direct, _ in usual)
    assert f"{first:.0f} times what the direct one does" in said
    assert f"for bias 1 {second:.1f} times, for bias 5 {third:.1f} times" in said
    assert usual[2][0] > 1, "more comes back than was sent"
    assert f"from {small[0][2]:.2f} (scale 0.1, bias 0) to {usual[0][2]:.2f} (scale 1)" in said


def test_where_the_empty_sequence_wins(experiments):
    words, said = experiments("seq2seq")["words"], guide("seq2seq")
    border = np.log(0.01) / np.log(0.7)
    assert f"= {border:.1f}$, so from {int(np.ceil(border - 1))} words on" in said
    for n in range(1, 20):
        assert words(n, 8) == n
        assert words(n, 9) == words(n, 20) == (0 if n + 1 > border else n)
        assert words(n, 20, 1.0) == n
    for early, n in ((0.1, 10), (0.001, 10)):
        gone = (n + 1) * np.log(0.7) < np.log(early)
        assert words(n, 20, early=early) == (0 if gone else n)
    assert f"moves the border by {-np.log(10) / np.log(0.7):.1f} words" in said


def test_who_wins_depends_on_how_many_settings_were_tried(experiments):
    space, said = experiments("learning"), guide("learning")
    wins = {budget: np.round(100 * share) for budget, share in space["wins"].items()}
    one = wins[1]
    assert (
        f"momentum wins {one[0]:.0f} % of the comparisons, Adam {one[2]:.0f} % and RMSprop" in said
    )
    assert f"RMSprop {one[1]:.0f} %" in said
    momentum, rmsprop, adam = wins[8]
    assert f"With 8 settings it is {momentum:.0f}, {adam:.0f} and {rmsprop:.0f} %" in said
    assert f"with 32, {wins[32][0]:.0f} and {wins[32][2]:.0f} %" in said
    assert wins[64].tolist() == [100, 0, 0]
    at, cells = after_the_start("learning")
    source = cells[at + 1].source
    assert source.count("rng.uniform(-4, 0, 64)") == 1
    narrow = dict(space)
    exec(source.replace("rng.uniform(-4, 0, 64)", "rng.uniform(-1, 0, 64)"), narrow)
    assert narrow["wins"][1][2] == pytest.approx(0.9, abs=0.01), "Adam wins 90 % with one setting"
    assert narrow["wins"][4][2] == 1


def test_products_lose_the_range_and_logarithms_the_digits(experiments):
    space, said = experiments("speed"), guide("speed")
    errors: dict[tuple[str, int, float], float] = {}
    for T in (100, 400, 1600, 4000):
        for size in (0.5, 0.9, 0.99):
            rng = np.random.default_rng(8)
            a = size * rng.uniform(0.95, 1, (T, 1, 16))
            b = rng.uniform(0.1, 1, (T, 1, 16))
            true = b.copy()
            for t in range(1, T):
                true[t] += a[t] * true[t - 1]
            for way in space["ways"]:
                with np.errstate(all="ignore"):
                    h = way(a.astype(np.float32), b.astype(np.float32))
                errors[way.__name__, T, size] = np.abs(h / true - 1).max()
    fails = {}
    for size, first in ((0.5, 400), (0.9, 1600), (0.99, 4000)):
        mean = -np.log(size) - np.log(np.random.default_rng(0).uniform(0.95, 1, 10**5)).mean()
        fails[size] = np.log(float(np.finfo(np.float32).max)) / mean
        for T in (100, 400, 1600, 4000):
            assert np.isfinite(errors["by_products", T, size]) == (first > T) == (fails[size] > T)
    assert f"after about {round(fails[0.5], -1):.0f}, {round(fails[0.9], -1):.0f} and" in said
    assert round(fails[0.99], -2) == 2500
    exact = [e for (way, _, _), e in errors.items() if way in ("loop", "scan")]
    assert max(exact) < 1e-6
    for T, size in ((400, 0.5), (4000, 0.5), (4000, 0.99)):
        assert power_of_ten(errors["by_logarithms", T, size]) in said
    smallest = np.float32(1.4e-45)
    assert smallest * np.float32(0.9) == smallest > 0 == smallest * np.float32(0.49)
    assert np.isinf(errors["by_products", 4000, 0.9])
    assert np.isnan(errors["by_products", 4000, 0.5])
