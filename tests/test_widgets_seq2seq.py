"""What a reader can touch on the page of chapter 6: the browser finds what Python finds."""

from __future__ import annotations

import numpy as np
import pytest
from figures import seq2seq_widgets as lab
from figures.seq2seq import Looked

from solutions.seq2seq import beam_search, greedy


def move(page, selector: str, value: float) -> None:
    page.eval_on_selector(
        selector,
        "(input, value) => { input.value = value;"
        " input.dispatchEvent(new Event('input', { bubbles: true })); }",
        value,
    )


def found(width: int, power: float) -> tuple[str, float]:
    y, score = beam_search(lab.step, None, lab.BEGIN, lab.END, width, lab.LIMIT, power)
    return " ".join(lab.WORDS[k] for k in y), float(score)


def test_probabilities_are_probabilities_and_greedy_search_is_misled():
    np.testing.assert_allclose(lab.AFTER.sum(1), 1)
    y, logp = lab.most_probable()
    greedily, less = greedy(lab.step, None, lab.BEGIN, lab.END, lab.LIMIT)
    assert less < logp
    assert greedily[0] != y[0]
    assert found(2, 0.0)[0] == " ".join(lab.WORDS[k] for k in y)
    assert len(found(2, 1.5)[0].split()) > len(y)  # the penalty prefers a longer one


@pytest.mark.browser
def test_the_browsers_search_is_pythons(open_widget):
    page = open_widget("beam", lab.beam_html())
    best = " ".join(lab.WORDS[k] for k in lab.most_probable()[0])
    for width in range(1, 6):
        for power in (0.0, 0.7, 1.5):
            move(page, "#rnn-beam-0-width", width)
            move(page, "#rnn-beam-0-power", power)
            said = page.inner_text(".rnn-beam-said").replace("−", "-")
            y, score = found(width, power)
            assert f"Found: {y}, " in said
            assert f"score {score:.2f}." in said
            assert ("No sequence is more probable" in said) == (y == best)
            assert page.locator(".rnn-beam-steps ol").count() >= 3
    page.close()


@pytest.mark.browser
def test_beam_search_can_be_used_with_keys(open_widget):
    page = open_widget("beam", lab.beam_html())
    page.focus("#rnn-beam-0-width")
    page.keyboard.press("ArrowRight")
    assert "Found: a dog (end)" in page.inner_text(".rnn-beam-said")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


@pytest.mark.browser
def test_where_it_looks_is_what_the_weights_say(open_widget):
    rng = np.random.default_rng(0)
    looked = []
    for source, said in (("3 mai 2019", "2019"), ("<b>&", "1")):
        alpha = rng.dirichlet(np.ones(len(source)) / 3, len(said) + 1)
        looked.append(Looked(source, said, alpha))
    page = open_widget("attend", lab.attend_html(looked))
    for n, each in enumerate(looked):
        page.select_option("#rnn-attend-0-example", str(n))
        for t, symbol in enumerate([*each.said, "(end)"]):
            move(page, "#rnn-attend-0-symbol", t + 1)
            said = page.inner_text(".rnn-attend-said")
            most = int(each.alpha[t].argmax())
            name = each.source[most].replace(" ", "␣")
            assert said.startswith(f"To write {symbol}, it looks at {name} (")
            assert f"({each.alpha[t, most]:.2f})" in said
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
