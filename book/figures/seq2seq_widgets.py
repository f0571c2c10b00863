"""Chapter 6: what a reader can touch: beam search on a small model, and where a decoder looks."""

from __future__ import annotations

import html
import itertools
import json
from collections.abc import Sequence

import numpy as np

from figures.seq2seq import Looked

WORDS = ("the", "a", "nice", "dog", "(end)", "(begin)")
BEGIN, END, LIMIT = 5, 4, 6
AFTER = np.array(
    [  # of each word, after the word of this row
        [0.05, 0.05, 0.45, 0.35, 0.10],
        [0.02, 0.02, 0.03, 0.90, 0.03],
        [0.01, 0.01, 0.02, 0.95, 0.01],
        [0.03, 0.03, 0.02, 0.02, 0.90],
        [0.20, 0.20, 0.20, 0.20, 0.20],  # never used: nothing follows the end
        [0.50, 0.40, 0.04, 0.05, 0.01],
    ]
)
"""The probabilities of a model that sees one word back, (6, 5).  The likeliest first word does not
begin the likeliest sentence."""


def step(state: None, symbol: int) -> tuple[None, np.ndarray]:
    """Return the log-probabilities after a word, as `solutions.seq2seq.beam_search` wants them."""
    return state, np.log(AFTER[symbol])


def most_probable() -> tuple[list[int], float]:
    """Return the most probable sequence of at most LIMIT words by trying all, and its logarithm."""

    def logp(y: Sequence[int]) -> float:
        return float(np.log(AFTER[[BEGIN, *y[:-1]], list(y)]).sum())

    every = (
        (*y, END) for length in range(LIMIT) for y in itertools.product(range(END), repeat=length)
    )
    best = max(every, key=logp)
    return list(best), logp(best)


def beam_html() -> str:
    """Return the element that `_static/beam.js` turns into sliders; it holds the model.

    Without scripts the sentence inside stays.
    """
    y, logp = most_probable()
    best = " ".join(WORDS[k] for k in y)
    model = {
        "words": WORDS, "begin": BEGIN, "end": END, "limit": LIMIT, "best": best,
        "logp": np.log(AFTER).round(6).tolist(),
    }  # fmt: skip
    numbers = json.dumps(model, separators=(",", ":"))
    return (
        f'<div class="rnn-beam"><script type="application/json">{numbers}</script>'
        f"<p>The most probable sequence of this model is {best}, with log-probability"
        f" {logp:.2f}; it does not begin with the most probable word.</p></div>"
    )


def attend_html(looked: Sequence[Looked]) -> str:
    """Return the element that `_static/attend.js` turns into a slider; it holds the weights.

    Without scripts the sentence inside stays.
    """
    examples = [
        {
            "source": list(each.source),
            "said": [*each.said, "(end)"],
            "weights": each.alpha.round(3).tolist(),
        }
        for each in looked
    ]
    numbers = json.dumps(examples, separators=(",", ":"), ensure_ascii=False).replace(
        "<", "\\u003c"
    )
    first = looked[0]
    most = first.source[int(first.alpha[0].argmax())]
    return (
        f'<div class="rnn-attend"><script type="application/json">{numbers}</script>'
        f"<p>Reading {html.escape(first.source)}, the decoder looks most at {html.escape(most)!r} "
        f"when it writes the first symbol of {html.escape(first.said)}.</p></div>"
    )
