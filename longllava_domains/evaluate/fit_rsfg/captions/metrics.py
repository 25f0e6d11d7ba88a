"""BLEU, ROUGE-L and CIDEr of tokenized captions, as pycocoevalcap 1.2 computes them.

One reference for each caption. The values equal those of pycocoevalcap on the same tokens.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.evaluate.fit_rsfg.captions.ngrams import LONGEST, GramCounts
from longllava_domains.evaluate.statistic import Statistic

Floats = NDArray[np.float64]
Tokens = Sequence[str]

_TINY: Final = 1e-15
_SMALL: Final = 1e-9
_ROUGE_BETA: Final = 1.2
_CIDER_SIGMA: Final = 6.0


def bleu(grams: Sequence[GramCounts]) -> dict[str, Statistic]:
    """Return corpus BLEU for n-grams up to 1, 2, 3 and 4 words, named ``Bleu_1`` to ``Bleu_4``.

    Args:
        grams: From `count_ngrams`.
    """
    correct = [counts.over_rows(np.minimum(counts.answered, counts.true)) for counts in grams]
    guessed = [counts.answer_length for counts in grams]
    lengths = [grams[0].answer_length, grams[0].truth_length]
    sums = np.stack([*correct, *guessed, *lengths], axis=1).astype(np.float64)
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


def cider(grams: Sequence[GramCounts]) -> Floats:
    """Return CIDEr-D of each caption, from 0 to 10.

    Words are weighted by how few of the truths hold them, so a score depends on all truths: of
    a single caption it is always 0.

    Args:
        grams: From `count_ngrams`.
    """
    total = np.zeros(grams[0].captions)
    for counts in grams:
        weight = math.log(counts.captions) - np.log(np.maximum(counts.documents(), 1))
        said, meant = counts.answered * weight, counts.true * weight
        shared = counts.over_rows(np.minimum(said, meant) * meant)
        norms = [np.sqrt(counts.over_rows(each**2)) for each in (said, meant)]
        length = norms[0] * norms[1]
        total += np.where(length > 0, shared / np.where(length > 0, length, 1), shared)
    delta = grams[1].answer_length - grams[1].truth_length  # pairs of words, as officially
    penalty = np.exp(-(delta.astype(np.float64) ** 2) / (2 * _CIDER_SIGMA**2))
    score: Floats = 10 * penalty * total / LONGEST
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
