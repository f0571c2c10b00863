"""Chapter 6: the same network on a real corpus, word by word.  It wants a GPU.

    cd book
    python -m figures.seq2seq_corpus multi30k
    python -m figures.seq2seq_corpus tatoeba --hash sha256:... --limit 20

downloads the corpus once (`course.datasets.originals` says where to), trains, and prints BLEU on
the validation and the test part, and some translations.  The page does not run it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NamedTuple

from sacrebleu.metrics import BLEU

from course.datasets import Parts, originals
from course.datasets.originals import Pairs
from figures.seq2seq import Translator, train, translate
from figures.tables import Table


class Corpus(NamedTuple):
    """A network on a corpus: BLEU of sacrebleu, 0 to 100, and (English, said, true) of the test.

    BLEU counts words and punctuation in lower case, as `words` takes them apart.
    """

    translator: Translator
    validation: float
    test: float
    examples: list[tuple[str, str, str]]


def words(text: str) -> tuple[str, ...]:
    """Return the words and the punctuation of a text, in lower case."""
    return tuple(re.findall(r"\w+|[^\w\s]", text.lower()))


def shorter(part: Pairs, limit: int) -> Pairs:
    """Return the pairs with at most `limit` words on each side."""
    kept = [
        pair
        for pair in zip(*part, strict=True)
        if all(0 < len(words(text)) <= limit for text in pair)
    ]
    return Pairs(*zip(*kept, strict=True))


def bleu(translator: Translator, part: Pairs, limit: int) -> tuple[float, list[str]]:
    """Return the BLEU of greedy translations, and the translations."""
    found = [
        " ".join(each)
        for each in translate(translator, [words(text) for text in part.english], limit, 200)
    ]
    wanted = [" ".join(words(text)) for text in part.other]
    return BLEU(tokenize="none", force=True).corpus_score(found, [wanted]).score, found


def corpus(
    parts: Parts[Pairs],
    steps: int = 8000,
    limit: int = 40,
    hidden: int = 384,
    size: int = 128,
    least: int = 2,
    seed: int = 0,
    device: str | None = None,
) -> Corpus:
    """Train on the training part, and score the other two.

    Training pairs with more than `limit` words on a side are left out; of the others none.
    """
    known = shorter(parts.train, limit)
    sides = [[words(text) for text in side] for side in known]
    translator = train(
        *sides, steps, seed, embed=hidden // 2, hidden=hidden, lr=2e-3, size=size, decay=0.01,
        hidden_share=0.1, least=least, device=device,
    )  # fmt: skip
    validation, _ = bleu(translator, parts.validation, 2 * limit)
    test, found = bleu(translator, parts.test, 2 * limit)
    examples = list(zip(parts.test.english, found, parts.test.other, strict=True))
    return Corpus(translator, validation, test, examples[:10])


def main(arguments: Sequence[str] | None = None) -> Corpus:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", choices=("multi30k", "tatoeba"))
    parser.add_argument("--hash", help="of Tatoeba's archive: sha256:...")
    parser.add_argument("--url", help="another address of the corpus")
    parser.add_argument("--folder", help="where the corpus is kept")
    parser.add_argument("--device", help="cuda, cpu; the accelerator if there is one")
    for name, value in (("steps", 8000), ("limit", 40), ("hidden", 384), ("least", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args(arguments)
    where = {"folder": given.folder} | ({"url": given.url} if given.url else {})
    if given.corpus == "multi30k":
        parts = originals.multi30k(**where)
    elif given.hash:
        parts = originals.tatoeba(given.hash, **where)
    else:
        parser.error("tatoeba grows, so its hash is not known here: --hash sha256:...")
    found = corpus(
        parts, given.steps, given.limit, given.hidden, least=given.least, device=given.device
    )
    print(Table(["English", "said", "true"], found.examples))
    print(f"BLEU: validation {found.validation:.1f}, test {found.test:.1f}; ", end="")
    print(f"{found.translator.seconds:.0f} s of the processor for training")
    return found


if __name__ == "__main__":
    main()
