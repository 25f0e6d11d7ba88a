"""BLEU, ROUGE-L and CIDEr of tokenized captions, as pycocoevalcap 1.2 computes them.

One reference for each caption. The values equal those of pycocoevalcap on the same tokens.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.evaluate.statistic import Statistic

Floats = NDArray[np.float64]
Tokens = Sequence[str]
NGrams = list[Counter[tuple[str, ...]]]

LONGEST: Final = 4  # words of an n-gram
_TINY: Final = 1e-15
_SMALL: Final = 1e-9
_ROUGE_BETA: Final = 1.2
_CIDER_SIGMA: Final = 6.0


def ngrams(tokens: Tokens) -> NGrams:
    """Count the n-grams of one caption, for n from 1 to 4."""
    return [
        Counter(zip(*(tokens[start:] for start in range(n)), strict=False))
        for n in range(1, LONGEST + 1)
    ]


def bleu(answers: Sequence[NGrams], truths: Sequence[NGrams]) -> dict[str, Statistic]:
    """Return corpus BLEU for n-grams up to 1, 2, 3 and 4 words, named ``Bleu_1`` to ``Bleu_4``."""
    sums = np.zeros((len(answers), 2 * LONGEST + 2))
    for row, (answer, truth) in enumerate(zip(answers, truths, strict=True)):
        for n in range(LONGEST):
            sums[row, n] = (answer[n] & truth[n]).total()
            sums[row, LONGEST + n] = answer[n].total()
        sums[row, -2], sums[row, -1] = answer[0].total(), truth[0].total()
    return {f"Bleu_{n}": Statistic(sums, _BleuOf(n)) for n in range(1, LONGEST + 1)}


class _BleuOf:
    """BLEU up to n words from the sums over rows."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, sums: Floats) -> Floats:
        correct = sums[..., : self.n] + _TINY
        guessed = sums[..., LONGEST : LONGEST + self.n] + _SMALL
        mean = (correct / guessed).prod(axis=-1) ** (1 / self.n)
        ratio = (sums[..., -2] + _TINY) / (sums[..., -1] + _SMALL)
        with np.errstate(over="ignore", under="ignore"):
            brevity = np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)
        score: Floats = mean * brevity
        return score


def rouge_l(answer: Tokens, truth: Tokens) -> float:
    """Return the F measure of the longest common subsequence, with a beta of 1.2.

    An empty caption is one empty word, as officially: two empty captions are equal.
    """
    answer, truth = answer or [""], truth or [""]
    common = _common_subsequence(answer, truth)
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(truth)
    weight = _ROUGE_BETA**2
    return (1 + weight) * precision * recall / (recall + weight * precision)


def _common_subsequence(first: Tokens, second: Tokens) -> int:
    """Return the length of the longest common subsequence, a bit for each word of the shorter.

    The bit-parallel method of Crochemore and others (2001).
    """
    short, long = sorted((first, second), key=len)
    places: dict[str, int] = {}
    for position, token in enumerate(short):
        places[token] = places.get(token, 0) | 1 << position
    every = (1 << len(short)) - 1
    free = every
    for token in long:
        met = free & places.get(token, 0)
        if met:
            free = ((free + met) | (free - met)) & every
    return len(short) - free.bit_count()


def cider(answers: Sequence[NGrams], truths: Sequence[NGrams]) -> Floats:
    """Return CIDEr-D of each caption, from 0 to 10.

    Words are weighted by how few of the truths hold them, so a score depends on all truths: of
    a single caption it is always 0.
    """
    documents: Counter[tuple[str, ...]] = Counter()
    for truth in truths:
        for counts in truth:
            documents.update(counts.keys())
    logarithm = math.log(len(truths))
    weights = {gram: logarithm - math.log(count) for gram, count in documents.items()}
    return np.array(
        [
            _similarity(answer, truth, weights, logarithm)
            for answer, truth in zip(answers, truths, strict=True)
        ]
    )


def _similarity(
    answer: NGrams, truth: NGrams, weights: dict[tuple[str, ...], float], unseen: float
) -> float:
    total = 0.0
    for said, meant in zip(answer, truth, strict=True):
        vector = {gram: count * weights.get(gram, unseen) for gram, count in said.items()}
        target = {gram: count * weights[gram] for gram, count in meant.items()}
        shared = sum(
            min(vector[gram], target[gram]) * target[gram] for gram in vector if gram in target
        )
        length = _length(vector.values()) * _length(target.values())
        total += shared / length if length else shared
    delta = answer[1].total() - truth[1].total()  # pairs of words, as officially
    return 10 * math.exp(-(delta**2) / (2 * _CIDER_SIGMA**2)) * total / LONGEST


def _length(values: Iterable[float]) -> float:
    return math.sqrt(sum(value * value for value in values))
