"""Runs of words in many texts at once, as sorted arrays instead of dictionaries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class NgramCounts:
    """How often each run of n words stands in each text.

    Attributes:
        text: (entries,) index of the text, ascending.
        ngram: (entries,) number of the run, the same in all texts counted together; ascending
            within a text.
        count: (entries,).
        kinds: Number of different runs.
    """

    text: Integers
    ngram: Integers
    count: Integers
    kinds: int

    def keys(self) -> Integers:
        """Return one number for each text and run; ascending."""
        return self.text * self.kinds + self.ngram


def count_ngrams(
    first: Sequence[Sequence[str]], second: Sequence[Sequence[str]], longest: int
) -> list[tuple[NgramCounts, NgramCounts]]:
    """Count the runs of 1 to `longest` words in two lists of texts, with common numbers.

    Args:
        first: Words of each text.
        second: Words of each text of the other list.
        longest: Words in the longest run.

    Returns:
        For each length the counts in the first and in the second list.
    """
    texts = [*first, *second]
    numbers: dict[str, int] = {}
    words = np.fromiter(
        (numbers.setdefault(word, len(numbers)) for text in texts for word in text), np.int64
    )
    lengths = np.array([len(text) for text in texts], np.int64)
    owner = np.repeat(np.arange(len(texts)), lengths)
    found = []
    runs = words
    for size in range(1, longest + 1):
        if size > 1:
            # A run is the shorter run that begins it, and the word after that.
            runs = runs[:-1] * max(len(numbers), 1) + words[size - 1 :]
        _, runs = np.unique(runs, return_inverse=True)
        inside = owner[: len(runs)] == owner[size - 1 :] if len(runs) else np.zeros(0, bool)
        kinds = int(runs.max()) + 1 if len(runs) else 1
        keys, counts = np.unique(
            owner[: len(runs)][inside] * kinds + runs[inside], return_counts=True
        )
        text, ngram = keys // kinds, keys % kinds
        split = int(np.searchsorted(text, len(first)))
        found.append(
            (
                NgramCounts(text[:split], ngram[:split], counts[:split], kinds),
                NgramCounts(text[split:] - len(first), ngram[split:], counts[split:], kinds),
            )
        )
    return found


def shared(one: NgramCounts, other: NgramCounts) -> tuple[Integers, Integers]:
    """Return the entries of both for the runs that stand in the same text of both lists."""
    _, mine, theirs = np.intersect1d(
        one.keys(), other.keys(), assume_unique=True, return_indices=True
    )
    return mine, theirs
