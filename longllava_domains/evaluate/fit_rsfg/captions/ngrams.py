"""The n-grams of many captions and their references, counted at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

LONGEST: Final = 4
"""Words of an n-gram, at most."""


@dataclass(frozen=True, slots=True)
class GramCounts:
    """The n-grams of one length: an entry for each n-gram of each pair of captions.

    Attributes:
        captions: How many pairs there are.
        rows: (entries,); the pair.
        grams: (entries,); the n-gram, as a number from 0.
        answered: (entries,); how often the answer holds it.
        true: (entries,); how often the truth holds it.
        answer_length: (captions,); n-grams of the answer, repeated ones counted.
        truth_length: (captions,); the same of the truth.
    """

    captions: int
    rows: Integers
    grams: Integers
    answered: Integers
    true: Integers
    answer_length: Integers
    truth_length: Integers

    def over_rows(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Add up a value of each entry, by pair."""
        return np.bincount(self.rows, weights=values, minlength=self.captions).astype(np.float64)

    def documents(self) -> Integers:
        """Return for each entry how many truths hold its n-gram."""
        held = np.bincount(self.grams, weights=self.true > 0)
        return held[self.grams].astype(np.int64)


def count_ngrams(
    answers: Sequence[Sequence[str]], truths: Sequence[Sequence[str]]
) -> list[GramCounts]:
    """Count the n-grams of captions beside those of their references, for n from 1 to 4.

    Args:
        answers: Tokenized captions.
        truths: As many tokenized references, in the same order.
    """
    captions = len(answers)
    lengths = np.array([len(tokens) for tokens in chain(answers, truths)], np.int64)
    words = _numbered([*chain.from_iterable(chain(answers, truths))])
    place = np.repeat(np.arange(2 * captions), lengths)  # the caption of each word
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(words))  # words to its end
    found, grams, first = [], words, np.arange(len(words))
    for n in range(1, LONGEST + 1):
        if n > 1:
            longer = left[first] >= n
            first, grams = first[longer], grams[longer]
            pairs = grams * (words.max(initial=0) + 1) + words[first + n - 1]
            grams = np.unique(pairs, return_inverse=True)[1].reshape(-1)
        found.append(_beside(captions, place[first], grams))
    return found


def _beside(captions: int, place: Integers, grams: Integers) -> GramCounts:
    """Count n-grams by pair; the first half of the places are answers, the second truths."""
    is_truth = place >= captions
    different = int(grams.max(initial=0)) + 1
    keys, entry = np.unique((place % captions) * different + grams, return_inverse=True)
    entry = entry.reshape(-1)
    return GramCounts(
        captions,
        rows=keys // different,
        grams=keys % different,
        answered=np.bincount(entry[~is_truth], minlength=len(keys)),
        true=np.bincount(entry[is_truth], minlength=len(keys)),
        answer_length=np.bincount(place[~is_truth], minlength=captions),
        truth_length=np.bincount(place[is_truth] - captions, minlength=captions),
    )


def _numbered(words: Sequence[str]) -> Integers:
    """Return a number from 0 for each word, the same for the same word."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return np.array([numbers[word] for word in words], np.int64)
