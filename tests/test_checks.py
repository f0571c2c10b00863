"""What a student reads when something is wrong: each message says what, where, and what next."""

from __future__ import annotations

import contextlib
import re

import numpy as np
import pytest

import course
from course import CheckFailed, CourseError, check, hint, hints, progress, ready, standing
from course.compare import SINGLE, in_single, likeness, runs_of
from course.exercise import CHAPTERS, ROUNDING, Output, Tolerance
from solutions import bptt, gates


@pytest.fixture(autouse=True)
def forget():
    standing.forget()


def said(capsys, name, answer, **options) -> str:
    """The report of a check that must fail."""
    with pytest.raises(CheckFailed):
        check(name, answer, **options)
    return capsys.readouterr().out


def returns(value):
    return lambda *args: value


def raises(error):
    def answer(*args):
        raise error

    return answer


class Speechless(ValueError):
    def __str__(self):
        raise RuntimeError("no words")


def writes(o, y, mask):
    o -= o.max()
    return bptt.grad_o(o, y, mask)


def writes_mask(o, y, mask):
    mask[:] = 1.0  # on the first probe it is 1 already: nothing changes
    return bptt.grad_o(o, y, mask)


def writes_two(o, y, mask):
    y.sort()
    mask[0] = 0.0
    return bptt.grad_o(o, y, mask)


def writes_own(o, y, mask):
    own = np.broadcast_to(0.0, o.shape)
    own[0] = 1.0
    return own


def unlocks(o, y, mask):
    o.flags.writeable = True
    o *= 2
    return bptt.grad_o(o / 2, y, mask)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (returns(None), ["the function returned None", "want do", "return"]),
        (returns("text"), ["dtype <U4", "real numbers"]),
        (returns(object()), ["do is an object", "real numbers"]),
        (returns([[1.0], [1.0, 2.0]]), ["can't be made an array", "np.concatenate"]),
        (returns(np.zeros((5, 2, 6), int)), ["int64", "behind the point"]),
        (returns(np.zeros((5, 2, 6), complex)), ["complex128"]),
        (returns(np.zeros((2, 5, 6))), ["(2, 5, 6)", "(T, B, K)", "another order", "(B, T, K)"]),
        (returns(np.zeros((5, 6))), ["(5, 6)", "1 axis too few"]),
        (returns(np.zeros(6)), ["2 axes too few"]),
        (returns(np.zeros((5, 1, 2, 6))), ["too many axes", "np.concatenate"]),
        (returns(iter([1.0])), ["do is a list_iterator", "np.array(list(do))"]),
        (
            lambda o, y, mask: np.full(o.shape, np.nan),
            ["do[0, 0, 0]: yours nan, want", "60 of 60 entries are NaN"],
        ),
        (lambda o, y, mask: np.zeros(o.shape), ["yours is zero everywhere"]),
        (lambda o, y, mask: 3 * bptt.grad_o(o, y, mask), ["yours is 3 times"]),
        (lambda o, y, mask: bptt.grad_o(o, y, mask)[::-1], ["right at", "wrong at"]),
        (writes, ["writes into o\n", "o -= o.max()", "make a new array", "known slip"]),
        (writes_mask, ["writes into mask\n", "make a new array"]),
        (writes_two, ["writes into y, mask\n"]),
        (writes_own, ["it raised ValueError", "read-only", "is your own", "copy it"]),
        (unlocks, ["writes into o", "make a new array"]),
        (raises(ValueError("no luck")), ["it raised ValueError: no luck", "o (5, 2, 6)"]),
        (raises(SystemExit(0)), ["it raised SystemExit"]),
        (raises(Speechless()), ["it raised Speechless"]),
        (raises(RecursionError("deep")), ["it raised RecursionError"]),
        (lambda o: o, ["TypeError", "3 were given"]),
        (3, ["type int, want a function", "bptt.grad_o"]),
        (None, ["NoneType, want a function"]),
        (np.zeros(3), ["ndarray, want a function"]),
        (int, ["the class int, want a function", "begins with: def grad_o"]),
    ],
)
def test_bad_answers_get_a_message_that_helps(capsys, answer, words):
    text = said(capsys, "bptt.grad_o", answer)
    assert text.startswith("✗ bptt.grad_o (exercise 3.3): wrong")
    for word in words:
        assert word in text
    assert 'hint("bptt.grad_o"' in text


def test_prints_of_megabytes_are_cut(capsys):
    def loud(o, y, mask):
        print("spam " * 1_000_000)
        return bptt.grad_o(o, y, mask)

    check("bptt.grad_o", loud)
    out = capsys.readouterr().out
    assert len(out) < 5_000
    assert "more characters" in out


def test_a_missing_answer_is_looked_up_and_named(capsys):
    with pytest.raises(CheckFailed):
        check("bptt.grad_h")
    out = capsys.readouterr().out
    assert "there is no function named grad_h" in out
    assert "run the cell of exercise 3.4" in out


def test_an_answer_is_found_in_the_caller_by_its_name(capsys):
    globals()["clip"] = bptt.clip
    try:
        check("bptt.clip")
    finally:
        del globals()["clip"]
    assert "right" in capsys.readouterr().out


def test_an_endless_loop_is_stopped(monkeypatch, capsys):
    monkeypatch.setattr(course.calls.call, "__defaults__", (0.3,))

    def endless(o, y, mask):
        while True:
            with contextlib.suppress(Exception):
                sum(range(100))

    text = said(capsys, "bptt.grad_o", endless)
    assert "was stopped" in text
    assert "does every loop come to its end?" in text


def test_an_answer_that_remembers_is_caught(capsys):
    calls = []

    def remembers(o, y, mask):
        calls.append(1)
        return bptt.grad_o(o, y, mask) * (1 if len(calls) < 15 else 2)

    text = said(capsys, "bptt.grad_o", remembers)
    assert "called twice with the same arguments" in text or "yours is 2 times" in text


def test_an_answer_that_knows_the_public_cases_is_caught(capsys):
    """Fresh inputs, drawn at each check: numbers copied from the fixtures are worth nothing."""
    from course import fixtures
    from course.exercise import PUBLIC_SEED, find

    exercise, _ = find("bptt.grad_o")
    truth = fixtures.of_chapter("bptt")["bptt.grad_o"].truth
    known = {
        case.args["o"].tobytes(): truth[case.name][0]
        for case in exercise.cases(np.random.default_rng(PUBLIC_SEED))
    }

    def parrot(o, y, mask):
        return known.get(o.tobytes(), np.zeros(o.shape))

    assert "random input" in said(capsys, "bptt.grad_o", parrot)


def test_the_first_wrong_time_step_is_named(capsys):
    def stops_early(do, h, W, V):
        dh = bptt.grad_h(do, h, W, V)
        dh[:2] = 0
        return dh

    text = said(capsys, "bptt.grad_h", stops_early)
    assert "right at t = 3 to 5, wrong at t = 1, 2 (in code: dh[0:2])" in text


def test_the_worst_entry_stands_beside_the_right_one(capsys):
    def off(do, h, W, V):
        dh = bptt.grad_h(do, h, W, V)
        dh[0, 1, 2] += 1.0
        return dh

    text = said(capsys, "bptt.grad_h", off)
    found = re.search(r"dh\[0, 1, 2\]: yours (\S+), want (\S+) \(relative error \S+\)\n", text)
    assert abs(float(found[1]) - float(found[2]) - 1.0) < 0.01
    assert "wrong only in dh[:, 1] (sequence)" in text
    assert "wrong only in dh[:, :, 2] (unit)" in text
    assert "limit" not in text, "a tolerance matters to small errors alone"


def test_a_small_error_shows_its_digits_and_the_tolerance(capsys):
    def in_single(x, h0, U, W, b, V, c):
        h, _ = bptt.forward(x, h0, U, W, b, V, c)
        h = h.astype(np.float32).astype(float)
        return h, h @ V.T + c

    text = said(capsys, "bptt.forward", in_single)
    found = re.search(r"yours (\S+), want (\S+) \(relative error .*, limit 1e-09: float64", text)
    assert found[1] != found[2]
    assert "float32" in text


def test_what_is_computed_from_an_output_in_single_precision_may_be_as_inexact():
    def mixed(x, h0, U, W, b, V, c):
        h, _ = bptt.forward(x, h0, U, W, b, V, c)
        h = h.astype(np.float32)
        return h, h @ V.T + c

    check("bptt.forward", mixed)


def test_of_one_number_both_are_shown_and_no_places(capsys):
    text = said(capsys, "bptt.loss", lambda o, y, mask: bptt.loss(o, y, mask) / 4)
    assert re.search(r"L: yours \d\S*, want \d\S* \(relative error 8e-01\)\n", text)
    assert "everywhere" not in text
    text = said(capsys, "bptt.loss", lambda o, y, mask: np.nan)
    assert "L: yours nan, want" in text
    assert "entries" not in text


def test_right_outputs_are_named_beside_the_wrong_ones(capsys):
    def one_wrong(*args):
        h, o = bptt.forward(*args)
        return h, o + 1.0

    assert "here h is right" in said(capsys, "bptt.forward", one_wrong)

    def two_wrong(*args):
        dU, dW, db = bptt.rtrl(*args)
        return dU, 2 * dW, db + 1.0

    text = said(capsys, "bptt.rtrl", two_wrong)
    assert "dW[" in text.splitlines()[1]
    assert "here db is wrong too" in text
    assert "here dU is right" in text


def test_swapped_outputs_are_recognised(capsys):
    text = said(capsys, "bptt.forward", lambda *args: bptt.forward(*args)[::-1])
    assert "h has shape (5, 2, 6)" in text
    assert "the shape of o: are the two swapped?" in text


def doc_and_dots(*args):
    """Not begun."""
    ...


def only_pass(*args):
    pass


@pytest.mark.parametrize("answer", [doc_and_dots, only_pass])
def test_an_empty_body_is_not_attempted(capsys, answer):
    assert said(capsys, "bptt.grad_o", answer).startswith("○ bptt.grad_o (exercise 3.3): not att")
    assert said(capsys, "bptt.clip", answer).startswith("○")
    assert "○ bptt.grad_params" in said(capsys, "bptt.grad_params", answer)


def test_an_empty_class_is_not_attempted(capsys):
    import torch

    class Empty(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, h0, U, W, b): ...

    assert said(capsys, "bptt.RNNFunction", Empty).startswith("○")


def test_a_near_or_an_overwritten_name_is_found(capsys, monkeypatch):
    monkeypatch.setitem(globals(), "grad_hh", bptt.grad_h)
    with pytest.raises(CheckFailed):
        check("bptt.grad_h")
    out = capsys.readouterr().out
    assert "there is one named grad_hh" in out
    assert "hint(" not in out
    monkeypatch.setitem(globals(), "loss", 3.0)
    with pytest.raises(CheckFailed):
        check("bptt.loss")
    assert "loss is now of type float" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda grads, m: ((g for g in grads), 1.0), ["clipped is a generator", "make it a list"]),
        (lambda grads, m: (map(abs, grads), 1.0), ["clipped is a map", "make it a list"]),
        (lambda grads, m: bptt.clip(grads, m)[0], ["one list of 3 arrays", "norm is missing"]),
        (lambda grads, m: (1.0, 1.0), ["clipped is a float", "the list, and the norm"]),
        (lambda grads, m: np.array(grads), ["grads [(4, 3), (4, 4), (4,)], max_norm = "]),
        (lambda grads, m: grads.pop(), ["puts other things into the list grads", "a new list"]),
        (lambda grads, m: grads[0].sort(), ["writes into the arrays of grads", "make new arrays"]),
    ],
)
def test_clip_gets_advice_of_its_own(capsys, answer, words):
    text = said(capsys, "bptt.clip", answer)
    for word in words:
        assert word in text


def test_finding_out_what_is_written_to_repeats_no_print(capsys):
    def loud(o, y, mask):
        print("here")
        return writes(o, y, mask)

    assert said(capsys, "bptt.grad_o", loud).count("here") == 1


def test_prints_of_many_lines_are_cut_aloud(capsys):
    def loud(o, y, mask):
        print("\n".join(map(str, range(30))))
        return bptt.grad_o(o, y, mask)

    check("bptt.grad_o", loud)
    out = capsys.readouterr().out
    assert "... and 20 more lines" in out


def test_the_loss_may_be_large(capsys):
    """What 'of any size' in the docstring promises: none of these ways of writing keeps it."""

    def p(o, y, top):
        weight = np.exp(o - top)
        p = weight / weight.sum(axis=-1, keepdims=True)
        return np.take_along_axis(p, y[..., None], axis=-1)[..., 0]

    def guarded(o, y, mask):
        return -(np.log(p(o, y, o.max(-1, keepdims=True)) + 1e-12) * mask).sum()

    def rounded(o, y, mask):
        return -(np.log(p(o, y, o.max(-1, keepdims=True))) * mask).sum()

    def one_maximum(o, y, mask):
        return -(np.log(p(o, y, o.max())) * mask).sum()

    def skips_padding(o, y, mask):
        return -sum(np.log(p(o, y, o.max(-1, keepdims=True))[mask > 0]))

    for answer, words in (
        (guarded, "a guard inside the logarithm"),
        (rounded, "the logarithm of a softmax that is rounded to 0"),
        (one_maximum, "one maximum for the whole array"),
        (skips_padding, "the target far below"),
    ):
        assert words in said(capsys, "bptt.loss", answer)


def test_backward_may_not_write_over_what_comes_from_outside(capsys):
    import torch

    class Spoils(torch.autograd.Function):
        forward = bptt.RNNFunction.forward

        @staticmethod
        def backward(ctx, dh):
            grads = bptt.RNNFunction.backward(ctx, dh.clone())
            dh[0] = 0.0
            return grads

    assert "backward writes into dh" in said(capsys, "bptt.RNNFunction", Spoils)


def test_what_gradcheck_finds_is_said_in_its_words(capsys):
    import torch

    class Twice(torch.autograd.Function):
        forward = bptt.RNNFunction.forward

        @staticmethod
        def backward(ctx, dh):
            grads = bptt.RNNFunction.backward(ctx, dh)
            asked = len(dh) == 3  # by gradcheck; other sequences are shorter or longer
            return tuple(2 * grad for grad in grads) if asked else grads

    text = said(capsys, "bptt.RNNFunction", Twice)
    assert "torch.autograd.gradcheck fails: Jacobian mismatch" in text


def test_numpy_inside_is_told_from_a_wrong_device(capsys):
    import torch

    class Through(torch.autograd.Function):
        backward = bptt.RNNFunction.backward

        @staticmethod
        def forward(ctx, x, h0, U, W, b):
            no_more = np.eye(4), np.zeros(4)
            arrays = (value.detach().numpy() for value in (x, h0, U, W, b))
            h = torch.tensor(bptt.forward(*arrays, *no_more)[0])
            ctx.save_for_backward(x, h0, U, W, h)
            return h

    text = said(capsys, "bptt.RNNFunction", Through)
    assert "on another device it raised TypeError" in text
    assert "no .item(), .numpy(), .tolist() inside" in text


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("dynamics.orbit", lambda h0, W, b, T: np.tanh(W @ h0 + b), "here 4 and 2; a batch"),
        ("dynamics.driven", lambda x, h0, U, W, b: x @ U, "here 3 and 4; a batch"),
        (
            "unfolding.masked",
            lambda x, lengths, h0, U, W, b: np.where(lengths > 0, h0, 0 * h0),
            "one number for each row wants v[:, None]",
        ),
    ],
)
def test_what_numpy_says_of_shapes_is_said_again_in_words(capsys, name, answer, words):
    text = said(capsys, name, answer)
    assert "it raised ValueError" in text
    assert words in text


def test_the_line_shown_is_the_students_own_not_the_librarys(capsys):
    def drawn(o, u):
        return np.random.choice(o.shape[-1], p=o)

    text = said(capsys, "unfolding.pick", drawn)
    assert "in drawn, line" in text
    assert "mtrand" not in text


def test_parts_are_reported_and_scored_by_themselves(capsys):
    def half(dh, do, x, h, h0):
        dU, dW, db, _, dc = bptt.grad_params(dh, do, x, h, h0)
        return dU, dW.T, db, None, dc

    text = said(capsys, "bptt.grad_params", half)
    assert "✓ bptt.grad_params.dU" in text
    assert "✗ bptt.grad_params.dW" in text
    assert '"W\'s gradient is transposed"' in text
    assert "○ bptt.grad_params.dV" in text
    check("bptt.grad_params.db", half)
    progress("bptt")
    assert "wrong (3 of 5 points)" in capsys.readouterr().out


def test_parts_checked_together_score_what_they_score_alone(capsys):
    check("bptt.grad_params", bptt.grad_params)
    progress("bptt")
    out = capsys.readouterr().out
    assert out.startswith("✓ bptt.grad_params (exercise 3.5): right")
    assert "right (5 of 5 points)" in out
    assert "1 of 10 right, 5 of 30 points" in out


def test_one_wrong_exercise_does_not_stop_another(capsys):
    said(capsys, "bptt.loss", raises(OSError("x")))
    check("bptt.forward", bptt.forward)
    progress("bptt")
    out = capsys.readouterr().out
    assert "✓✗○○○○○○○○  1 of 10 right, 3 of 30 points" in out
    assert "3.11  Must it explode?: read by your instructor" in out


def test_ready_names_what_is_missing(capsys):
    check("bptt.clip", bptt.clip)
    assert ready("bptt.clip")
    capsys.readouterr()
    assert not ready("bptt.clip", "bptt.loss")
    assert "3.2 (bptt.loss)" in capsys.readouterr().out
    assert not ready("bptt.loss", quiet=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: check("bptt.grads_h", None), ['Did you mean "bptt.grad_h"?']),
        (lambda: check("bpt.forward", None), ['no chapter "bpt"', 'Did you mean "bptt"?']),
        (lambda: check(bptt.forward), ["name in quotes"]),
        (lambda: hint("bptt.forward", 4), ["no hint of level 4", "3 (a small case"]),
        (lambda: hint("bptt.forwards", 1), ['Did you mean "bptt.forward"?']),
        (lambda: check("grad_h"), ['"bptt.grad_h"']),
        (lambda: check("grad_params.dW"), ['"bptt.grad_params.dW"']),
        (lambda: check("bptt"), ["is a chapter", 'progress("bptt")']),
        (lambda: hint("bptt"), ["is a chapter", 'progress("bptt")']),
        (lambda: check("bptt.explain"), ["3.11 is a written question", "instructor reads"]),
        (lambda: check("bptt.grad_params.dZ"), ['no part "dZ"', "dU, dW, db, dV, dc"]),
        (lambda: check("bptt.clip.norm"), ["It has no parts"]),
        (lambda: progress("lstm"), ['no chapter "lstm"', f"Chapters: {', '.join(CHAPTERS)}"]),
    ],
)
def test_a_wrong_call_says_what_to_write(call, words):
    with pytest.raises(CourseError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_hints_in_a_terminal(capsys):
    hint("bptt.grad_h", 2)
    out = capsys.readouterr().out
    assert out.startswith("Hint 2 of 3 for bptt.grad_h: which term")
    assert 'More: hint("bptt.grad_h", 3)' in out


def test_the_card_escapes_and_the_error_is_one_line():
    from course import report
    from course.checks import ladder_for
    from course.exercise import find

    exercise, _ = find("bptt.loss")
    found = ladder_for(exercise, raises(ValueError("<script>alert(1)</script>"))).climb()
    card = report.as_html(found)
    assert "<script>" not in card
    assert "&lt;script&gt;" in card
    assert CheckFailed("bptt.loss: wrong")._render_traceback_() == ["CheckFailed: bptt.loss: wrong"]


def test_a_picture_on_request(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = said(capsys, "bptt.grad_h", lambda do, h, W, V: do @ V, plot=True)
    assert "check-bptt-grad-h.png" in text
    assert (tmp_path / "check-bptt-grad-h.png").stat().st_size > 5_000


def test_there_is_no_picture_of_one_number(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said(capsys, "bptt.loss", lambda o, y, mask: 0.0, plot=True)
    assert list(tmp_path.iterdir()) == []


def test_the_picture_shows_yours_expected_and_difference():
    from course.checks import ladder_for
    from course.exercise import find
    from course.pictures import planes

    exercise, _ = find("bptt.grad_h")
    found = ladder_for(exercise, lambda do, h, W, V: do @ V).climb()
    data = planes(found.difference)
    assert data["yours"].shape == data["expected"].shape == (5, 4)
    assert np.allclose(data["difference"], data["yours"] - data["expected"])
    assert (data["rows"], data["columns"]) == ("time t", "unit")
    assert not data["difference"][-1].any()
    assert data["difference"][0].any()


TBH = Output("h", ("T", "B", "H"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: -h, "opposite sign"),
        (lambda h: 2 * h, "2 times"),
        (lambda h: h[::-1], "reversed in time"),
        (lambda h: np.concatenate([h[:1] * 0, h[:-1]]), "one step late"),
        (lambda h: np.concatenate([h[1:], h[:1] * 0]), "one step early"),
        (lambda h: np.broadcast_to(h.sum(1, keepdims=True), h.shape), "summed over the batch"),
        (lambda h: h + 0.5, "+0.5 off"),
    ],
)
def test_simple_relations_are_recognised(change, words):
    h = np.random.default_rng(0).normal(size=(5, 2, 4))
    assert words in " ".join(likeness(change(h), h, TBH, 1e-9))


def test_a_likeness_is_not_claimed_where_there_is_none():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(5, 2, 4))
    assert likeness(h + rng.normal(size=h.shape), h, TBH, 1e-9) == []

    # Symbols that are right but for one are not late, though a shift of them looks alike.
    drawn = np.array([2.0, 2.0, 2.0, 2.0])
    assert likeness(np.array([0.0, 2.0, 2.0, 2.0]), drawn, Output("y", ("T",)), 1e-9) == []


def test_runs_of_numbers():
    assert runs_of([1, 2, 3, 6, 8, 9]) == "1 to 3, 6, 8, 9"


HINT_NUMBERS = {
    "bptt.forward": lambda: [
        *bptt.forward(np.array([[[0.1]], [[-0.2]]]), np.array([[0.5]]), *_ones(1, 2, 0, 3, 1))
    ],
    "bptt.loss": lambda: [
        bptt.loss(*_two(), np.array([[1.0], [1.0]])),
        bptt.loss(*_two(), np.array([[1.0], [0.0]])),
    ],
    "bptt.grad_o": lambda: [np.abs(bptt.grad_o(*_two(), np.ones((2, 1))))],
    "bptt.grad_h": lambda: [bptt.grad_h(*_pair(), *_ones(2, 1)[:2])],
    "bptt.truncated": lambda: [bptt.truncated(*_pair(), *_ones(2, 1)[:2], 1)],
    "bptt.grad_params": lambda: list(
        bptt.grad_params(_time(2, 10), _time(1, 10), _time(3, 5), _time(0, 0.8), np.array([[0.5]]))
    ),
    "bptt.rtrl": lambda: [
        bptt.rtrl(_time(1, 1), _time(0.5, 0.5), np.zeros((1, 1)), *_ones(1, 2, 0)[:3])[0]
    ],
}


def _ones(*values):
    """Weights and biases of one number each, in the order that the functions take them."""
    shapes = [(1, 1), (1, 1), (1,), (1, 1), (1,)]
    return [np.full(shape, float(v)) for shape, v in zip(shapes, values, strict=False)]


def _time(*values):
    return np.array(values, float)[:, None, None]


def _two():
    return np.array([[[1.0, 0.0]], [[0.0, 0.0]]]), np.array([[0], [1]])


def _pair():
    return _time(1, 10), _time(0.5, 0.8)


@pytest.mark.parametrize("name", HINT_NUMBERS)
def test_the_worked_case_of_a_hint_is_right(name):
    """Every number that the reference gives stands in the text, to four digits."""
    text = hints.of_chapter("bptt")[name][3]
    for array in HINT_NUMBERS[name]():
        for value in np.ravel(array):
            assert f"{value:.4f}".rstrip("0").rstrip(".") in text, (value, text)


def nearly(by):
    """Outputs in float32 that are off by so much of their size, all of them."""

    def answer(*args):
        return tuple((out * (1 + by)).astype(np.float32) for out in bptt.forward(*args))

    return answer


def test_single_precision_is_no_licence(capsys):
    check("bptt.forward", nearly(1e-6))
    text = said(capsys, "bptt.forward", nearly(5e-5))
    assert "limit 3e-05: float32" in text


def test_a_sum_that_cancels_may_lose_more_digits_in_single_precision_too():
    loose = Tolerance(1e-8, "cancels")
    assert in_single(ROUNDING).limit == pytest.approx(3e-5)
    assert in_single(loose).limit == pytest.approx(SINGLE.limit)
    assert in_single(Tolerance(1e-2, "noise")).limit == 1e-2


def test_a_warning_is_told_only_of_the_cases_that_were_climbed(capsys):
    def overflows_later(o, y, mask):
        shares = np.exp(o) / np.exp(o).sum(-1, keepdims=True)  # inf / inf on the large outputs
        return 2 * shares * mask[..., None]

    text = said(capsys, "bptt.grad_o", overflows_later)
    assert "on the probe" in text
    assert "warned" not in text


def test_what_is_raised_on_a_later_case_comes_with_its_name(capsys):
    def needs_two_steps(x, h0, U, W, b, V, c):
        x[1]
        return bptt.forward(x, h0, U, W, b, V, c)

    text = said(capsys, "bptt.forward", needs_two_steps)
    assert "it raised IndexError" in text
    assert 'on the property "T = 1"' in text

    text = said(capsys, "bptt.forward", raises(ValueError("at once")))
    assert "on the probe" not in text, "the first case has nothing to do with it"


def test_likeness_of_tiny_numbers_warns_of_nothing(recwarn):
    truth = np.array([[1e-278, 2e-300], [0.0, 3e-290]])
    one = Output("F", ("N", "A"))
    assert likeness(2 * truth, truth, one, 1e-9) == [
        "yours is 2 times what is expected, everywhere"
    ]
    assert not recwarn.list


# --------------------------------------------------------------- what students really hand over


def test_two_things_where_one_is_wanted_are_counted(capsys):
    text = said(capsys, "bptt.loss", lambda o, y, mask: (bptt.loss(o, y, mask), o))
    assert "the function returned 2 things, want one: L" in text
    text = said(capsys, "bptt.grad_h", lambda *args: (bptt.grad_h(*args), args[1]))
    assert "the function returned 2 things, want one: dh" in text


def test_a_stray_comma_is_named(capsys):
    text = said(capsys, "bptt.loss", lambda o, y, mask: (bptt.loss(o, y, mask),))
    assert "L is in a tuple of one" in text
    assert "a comma stands behind what is returned" in text


def test_steps_in_a_tuple_are_an_array(capsys):
    check("bptt.grad_h", lambda *args: tuple(bptt.grad_h(*args)))
    assert "right" in capsys.readouterr().out


def test_a_gradient_with_transposed_batches_is_told_to_join_axes(capsys):
    def transposed(dh, do, x, h, h0):
        right = bptt.grad_params(dh, do, x, h, h0)
        return ((dh * (1 - h * h)).T @ x, *right[1:])

    text = said(capsys, "bptt.grad_params.dU", transposed)
    assert "a.reshape(-1, n)" in text


def test_outputs_of_one_shape_that_are_swapped_are_recognised(capsys):
    from solutions import learning

    text = said(capsys, "learning.momentum", lambda *args: learning.momentum(*args)[::-1])
    assert "yours is what v should be: the two are swapped" in text


def test_one_array_appended_again_and_again_is_recognised(capsys):
    from solutions import unfolding

    def appended(x, lengths, h0, U, W, b):
        right = unfolding.masked(x, lengths, h0, U, W, b)
        return np.stack([right[-1]] * len(x))

    assert "append a copy" in said(capsys, "unfolding.masked", appended)


def test_a_layer_under_a_functions_name_is_not_taken_for_it(capsys):
    import torch

    space = {"forward": torch.nn.Linear(2, 3), "check": check}
    with pytest.raises(CheckFailed):
        exec('check("bptt.forward")', space)
    text = capsys.readouterr().out
    assert "forward is now of type Linear, want a function" in text


def test_what_fails_on_another_device_comes_with_its_line(capsys):
    import torch

    class Slices(torch.autograd.Function):
        backward = bptt.RNNFunction.backward

        @staticmethod
        def forward(ctx, x, h0, U, W, b):
            if float(b.sum()) > 1e9:
                raise AssertionError
            return bptt.RNNFunction.forward(ctx, x, h0, U, W, b)

    text = said(capsys, "bptt.RNNFunction", Slices)
    assert "on another device it raised" in text
    assert "if float(b.sum()) > 1e9:" in text
    assert "Use Tensor.cpu()" not in text


def test_a_wrong_function_that_an_answer_calls_is_named(capsys):
    space = {
        "check": check,
        "np": np,
        "loss": lambda o, y, mask: bptt.loss(o, y, mask) / 2,
        "right": bptt.train,
    }
    exec("def train(*args):\n    loss\n    p, c = right(*args)\n    return p, c / 2", space)
    with pytest.raises(CheckFailed):
        exec('check("bptt.loss")', space)
    with pytest.raises(CheckFailed):
        exec('check("bptt.train")', space)
    said = "it calls loss (exercise 3.2), which was wrong at its own last check: mend that first"
    assert said in capsys.readouterr().out
    space["loss"] = bptt.loss
    exec('check("bptt.loss")', space)
    with pytest.raises(CheckFailed):
        exec('check("bptt.train")', space)
    assert "mend that first" not in capsys.readouterr().out


# Wrong answers that were once right.


def with_backward(function, backward):
    """The same forward with another backward: backward(ctx, *gradients)."""
    import torch

    members = {"forward": function.forward, "backward": staticmethod(backward)}
    return type("Mine", (torch.autograd.Function,), members)


def da_for_db(ctx, dh):
    """Autograd would sum da over time and batch."""
    import torch

    _, h0, _, W, h = ctx.saved_tensors
    da, carry = torch.empty_like(h), torch.zeros_like(h0)
    for t in reversed(range(len(h))):
        da[t] = (dh[t] + carry) * (1 - h[t] ** 2)
        carry = da[t] @ W
    dx, dh0, dU, dW, _ = bptt.RNNFunction.backward(ctx, dh)
    return dx, dh0, dU, dW, da


def outer_products(ctx, dh):
    import torch

    dx, dh0, _, dW, db = bptt.RNNFunction.backward(ctx, dh)
    return dx, dh0, torch.stack([torch.zeros_like(ctx.saved_tensors[2])] * 2), dW, db


def forward_again(ctx, dh):
    """PyTorch is asked for the gradient of a second run."""
    import torch

    x, h0, U, W, _ = ctx.saved_tensors
    with torch.enable_grad():
        leaves = [each.detach().requires_grad_() for each in (x, h0, U, W, U.new_zeros(len(U)))]
        h = torch.stack(
            [leaves[0][t] @ leaves[2].T + leaves[1] @ leaves[3].T for t in range(len(x))]
        )
        return torch.autograd.grad((h + leaves[4]).tanh(), leaves, dh)


@pytest.mark.parametrize(
    ("backward", "words"),
    [
        (da_for_db, ["backward returns db of shape (1, 2, 4), want (4,)", "sum over time"]),
        (outer_products, ["backward returns dU of shape (2, 4, 3), want (4, 3)"]),
        (forward_again, ["autograd records a graph", "write the walk yourself"]),
    ],
)
def test_what_backward_itself_does_counts(capsys, backward, words):
    text = said(capsys, "bptt.RNNFunction", with_backward(bptt.RNNFunction, backward))
    assert all(word in text for word in words), text


def test_a_graph_recorded_in_forward_is_no_walk_either(capsys):
    import torch

    class Recorded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *given):
            with torch.enable_grad():
                ctx.leaves = [each.detach().requires_grad_() for each in given]
                x, state, U, W, b = ctx.leaves
                steps = []
                for each in x:
                    state = torch.tanh(each @ U.T + state @ W.T + b)
                    steps.append(state)
                ctx.h = torch.stack(steps)
            return ctx.h.detach()

        @staticmethod
        def backward(ctx, dh):
            return torch.autograd.grad(ctx.h, ctx.leaves, dh, retain_graph=True)

    assert "autograd records a graph" in said(capsys, "bptt.RNNFunction", Recorded)


def test_lstm_gradients_are_summed_by_backward(capsys):
    def backward(ctx, dh, dc_last):
        made = gates.LSTMFunction.backward(ctx, dh, dc_last)
        return *made[:-1], made[-1][None]

    text = said(capsys, "gates.LSTMFunction", with_backward(gates.LSTMFunction, backward))
    assert "backward returns db of shape (1, 16), want (16,), that of b" in text


def by_walking_back(g, x, h0, U, W, b):
    """Back-propagation in the place of real-time recurrent learning."""
    H = len(W)
    h, _ = bptt.forward(x, h0, U, W, b, np.eye(H), np.zeros(H))
    dh = bptt.grad_h(g, h, W, np.eye(H))
    return bptt.grad_params(dh, g, x, h, h0)[:3]


def test_walking_back_is_not_real_time(capsys):
    text = said(capsys, "bptt.rtrl", by_walking_back)
    assert "it needs the more memory the longer the sequence is" in text
    assert "T = 12" in text
    assert "T = 96" in text


def on_copies(g, x, h0, U, W, b):
    """Copies of what it is given grow with T, and are nobody's past."""
    return bptt.rtrl(g.copy(), np.ascontiguousarray(x[::-1])[::-1], h0, U, W, b)


def inputs_first(g, x, h0, U, W, b):
    """The input's share for all steps at once, as in exercise 3.1."""
    (B, H), D = h0.shape, x.shape[-1]
    P, total, h, driven = np.zeros((B, H, H, H + D + 1)), 0.0, h0, x @ U.T + b
    for t in range(len(x)):
        z = np.concatenate([h, x[t], np.ones((B, 1))], 1)
        h = np.tanh(driven[t] + h @ W.T)
        P = np.einsum("il,bljk->bijk", W, P) + np.einsum("ij,bk->bijk", np.eye(H), z)
        P = P * (1 - h * h)[..., None, None]
        total = total + np.einsum("bi,bijk->jk", g[t], P)
    return total[:, H:-1], total[:, :H], total[:, -1]


@pytest.mark.parametrize("answer", [on_copies, inputs_first])
def test_copies_of_the_inputs_are_no_past(answer):
    check("bptt.rtrl", answer)


def test_who_measures_memory_already_is_left_alone():
    import tracemalloc

    tracemalloc.start()
    try:
        check("bptt.rtrl", bptt.rtrl)
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


def loop_over_orbits(h0, gain, W, b, T):
    import torch

    found = torch.empty(T, *h0.shape, dtype=h0.dtype, device=h0.device)
    for n in range(len(h0)):
        state = h0[n]
        for t in range(T):
            state = found[t, n] = torch.tanh(gain[n] * (W @ state) + b)
    return found


def loop_in_a_list(h0, gain, W, b, T):
    import torch

    found, state = [], h0
    for _ in range(T):
        state = torch.stack(
            [torch.tanh(g * (W @ each) + b) for g, each in zip(gain, state, strict=True)]
        )
        found.append(state)
    return torch.stack(found)


@pytest.mark.parametrize("answer", [loop_over_orbits, loop_in_a_list])
def test_a_loop_over_orbits_is_told_from_all_at_once(capsys, answer):
    text = said(capsys, "dynamics.orbits", answer)
    assert "a loop over orbits" in text
    assert "B = 16" in text
    assert "B = 257" in text


# Right answers that were once refused.


def _as_dict(suffix, cast=np.float64):
    def answer(U, W, b):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        made = zip(names, gates.to_torch(U, W, b), strict=True)
        return {name + suffix: cast(value) for name, value in made}

    return answer


@pytest.mark.parametrize("suffix", ["", "_l0"])
@pytest.mark.parametrize("cast", [np.float64, np.float32, np.ndarray.tolist])
def test_the_names_of_torch_and_single_precision_are_right(suffix, cast):
    check("gates.to_torch", _as_dict(suffix, cast))


def test_a_dict_that_lacks_one_is_told_what_is_wanted(capsys):
    def answer(U, W, b):
        made = _as_dict("_l0")(U, W, b)
        del made["bias_hh_l0"]
        return made

    assert "want 4 arrays: weight_ih, weight_hh" in said(capsys, "gates.to_torch", answer)


def test_letters_are_no_weights(capsys):
    def answer(U, W, b):
        return *gates.to_torch(U, W, b)[:3], np.full(b.shape, "0")

    assert "bias_hh has dtype <U1, want real numbers" in said(capsys, "gates.to_torch", answer)


@pytest.mark.parametrize("make", [np.float64, np.float32, list, tuple])
def test_classes_are_integers(capsys, make):
    def answer(o, temperature, v):
        return make(gates.sample(o, temperature, v).astype(float))

    text = said(capsys, "gates.sample", answer)
    assert "choice holds floats, want integers" in text
    assert ".astype(int)" in text


@pytest.mark.parametrize("seed", range(5))
def test_no_probe_of_the_lstm_s_way_back_has_a_truth_of_rounding_size(seed):
    """A gradient of 1e-15 beside others of 1 would have a relative error nobody understands."""
    from course.exercise import find

    exercise, _ = find("gates.lstm_backward")
    for case in exercise.cases(np.random.default_rng(seed)):
        if case.rung == "probes":
            for each in gates.lstm_backward(*case.args.values()):
                assert not each.any() or np.abs(each).max() > 1e-9, case.name
