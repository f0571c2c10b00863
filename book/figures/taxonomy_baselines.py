"""What the networks of chapter 4 are measured against: the best simple answer to each task.

Each baseline has its own free numbers chosen on the validation part, as the network has.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from course.datasets import Names, Parts, Sentences, Tagged


class Chosen(NamedTuple):
    """A baseline as chosen: what its score is on the test, and which setting won on validation."""

    score: float
    setting: dict[str, float]
    parameters: int


# Names: which n-grams of characters does a language like?


def ngrams(text: str, longest: int) -> list[str]:
    """Return all pieces of 1 to `longest` characters, "^" and "$" for the ends included."""
    whole = f"^{text}$"
    return [whole[i : i + n] for n in range(1, longest + 1) for i in range(len(whole) - n + 1)]


class NaiveBayes:
    """Multinomial naive Bayes on counted features: P(y) prod P(feature | y), add-alpha.

    Takes the documents' features, their labels (N,), and the number of classes K.
    """

    def __init__(self, documents: Sequence[Iterable[str]], y: np.ndarray, K: int) -> None:
        self.index: dict[str, int] = {}
        pairs = [
            (self.index.setdefault(feature, len(self.index)), label)
            for document, label in zip(documents, y, strict=True)
            for feature in document
        ]
        self.counts = np.zeros((len(self.index), K))
        np.add.at(self.counts, tuple(np.array(pairs).T), 1.0)
        with np.errstate(divide="ignore"):  # a class without documents: never chosen
            self.prior = np.log(np.bincount(y, minlength=K) / len(y))

    def scores(self, documents: Sequence[Iterable[str]], alpha: float) -> np.ndarray:
        """Return log P(document, y) up to a constant, (N, K); unseen features count for nothing."""
        smooth = self.counts + alpha
        log_p = np.log(smooth) - np.log(smooth.sum(0))
        known = [[self.index[f] for f in each if f in self.index] for each in documents]
        return np.array([self.prior + log_p[rows].sum(0) for rows in known])


def naive_bayes(
    parts: Parts[Names],
    K: int,
    longest: Sequence[int] = (2, 3, 4, 5),
    alphas: Sequence[float] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
) -> Chosen:
    """Return the accuracy of n-gram naive Bayes; longest n and alpha chosen on validation."""
    best = (-1.0, 0, 0.0)
    models = {}
    for n in longest:
        train, validation = ([ngrams(t, n) for t in part.texts] for part in parts[:2])
        models[n] = NaiveBayes(train, parts.train.y, K)
        for alpha in alphas:
            said = models[n].scores(validation, alpha).argmax(1)
            best = max(best, (float((said == parts.validation.y).mean()), n, alpha))
    _, n, alpha = best
    said = models[n].scores([ngrams(t, n) for t in parts.test.texts], alpha).argmax(1)
    score = float((said == parts.test.y).mean())
    return Chosen(score, {"n": n, "alpha": alpha}, models[n].counts.size)


# Sentiment: a weight for each word.


def bags(words: Sequence[tuple[str, ...]], index: dict[str, int]) -> torch.Tensor:
    """Return how often each word stands in each sentence, (N, V); unknown words are left out."""
    x = torch.zeros(len(words), len(index))
    for row, sentence in zip(x, words, strict=True):
        for word in sentence:
            if word in index:
                row[index[word]] += 1
    return x


def logistic(x: torch.Tensor, y: torch.Tensor, K: int, decay: float) -> Callable:
    """Fit o = x V + c to the classes by L-BFGS; the loss is sum(-log p) + decay ||V||² / 2.

    Returns the function from x (N, V) to o (N, K).
    """
    V = torch.zeros(x.shape[1], K, dtype=x.dtype, requires_grad=True)
    c = torch.zeros(K, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([V, c], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(x @ V + c, y, reduction="sum") + decay * V.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return lambda x: (x @ V + c).detach()


def bag_of_words(
    parts: Parts[Sentences], decays: Sequence[float] = (0.01, 0.1, 1.0, 10.0, 100.0)
) -> Chosen:
    """Return the accuracy of logistic regression on words; its decay chosen on validation."""
    index = {w: i for i, w in enumerate(sorted({w for ws in parts.train.words for w in ws}))}
    x = [bags(part.words, index).double() for part in parts]
    y = [torch.from_numpy(part.y) for part in parts]
    best = (-1.0, 0.0)
    for decay in decays:
        model = logistic(x[0], y[0], 2, decay)
        best = max(best, (float((model(x[1]).argmax(1) == y[1]).double().mean()), decay))
    model = logistic(x[0], y[0], 2, best[1])
    score = float((model(x[2]).argmax(1) == y[2]).double().mean())
    return Chosen(score, {"decay": best[1]}, 2 * len(index) + 2)


# Tagging: what a word was most often.


def most_frequent_tag(parts: Parts[Tagged]) -> list[np.ndarray]:
    """Tag every test word as it was most often tagged in training.

    A word that training never saw gets what words that it saw once were most often.
    """
    counts: dict[str, Counter[int]] = {}
    for words, tags in zip(parts.train.words, parts.train.tags, strict=True):
        for word, tag in zip(words, tags, strict=True):
            counts.setdefault(word, Counter())[int(tag)] += 1
    rare: Counter[int] = Counter()
    for tags in counts.values():
        if tags.total() == 1:
            rare += tags
    usual = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    unseen = rare.most_common(1)[0][0] if rare else 0
    return [np.array([usual.get(word, unseen) for word in words]) for words in parts.test.words]


# Music: which note follows which.


def bigram_bits(
    train: Sequence[np.ndarray],
    validation: Sequence[np.ndarray],
    test: Sequence[np.ndarray],
    K: int,
    shares: Sequence[float] = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99),
    alphas: Sequence[float] = (0.01, 0.1, 1.0, 10.0),
) -> Chosen:
    """Return the bits a symbol of an interpolated bigram: s P(b | a) + (1 - s) P(b).

    Each sequence is (T,), its first symbol only a condition; P(b) is add-alpha.  Both numbers are
    chosen on validation.
    """
    pair = np.zeros((K, K))
    for each in train:
        np.add.at(pair, (each[:-1], each[1:]), 1.0)

    def bits(sequences: Sequence[np.ndarray], share: float, alpha: float) -> float:
        single = (pair.sum(0) + alpha) / (pair.sum() + alpha * K)
        rows = pair.sum(1, keepdims=True)
        after = np.where(rows > 0, pair / np.maximum(rows, 1), single)
        p = share * after + (1 - share) * single
        return float(np.mean(np.concatenate([-np.log2(p[s[:-1], s[1:]]) for s in sequences])))

    settings = itertools.product(shares, alphas)
    _, share, alpha = min((bits(validation, *each), *each) for each in settings)
    return Chosen(bits(test, share, alpha), {"share": share, "alpha": alpha}, K * K + K)


# Captions: what was said of the most similar picture.


def nearest(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return, for each row of test (M, D), the row of train (N, D) at the least distance: (M,)."""
    squares = np.einsum("nd,nd->n", train, train)
    return (squares - 2 * test @ train.T).argmin(1)
