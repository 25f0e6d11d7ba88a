"""Runs of words in many pairs of texts at once, as sorted arrays instead of dictionaries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class NgramCounts:
    """Count of each run of n words in each text.

    Attributes:
        text: (entries,) index of the text, ascending.
        ngram: (entries,) number of the run, the same in both lists; ascending within a text.
        count: (entries,).
    """

    text: Integers
    ngram: Integers
    count: Integers


@dataclass(frozen=True)
class NgramPairs:
    """Runs of one length in candidates and in their references.

    Attributes:
        candidate: Counts in the candidates.
        reference: Counts in the references.
        shared: Entries of candidate and of reference, (common,) each, that are the same run in
            the same pair.
        kinds: Number of different runs.
    """

    candidate: NgramCounts
    reference: NgramCounts
    shared: tuple[Integers, Integers]
    kinds: int


def count_ngrams(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]], longest: int
) -> list[NgramPairs]:
    """Count the runs of 1 to `longest` words.

    Args:
        candidates: Words of each text.
        references: Words of each reference, in the same order.
        longest: Words in the longest run.

    Returns:
        One for each length.
    """
    texts = [*candidates, *references]
    numbers: dict[str, int] = {}
    words = np.fromiter(
        (numbers.setdefault(word, len(numbers)) for text in texts for word in text), np.int64
    )
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    found = []
    runs = words
    for size in range(1, longest + 1):
        if size > 1:
            # A run is the shorter run that begins it, and the word after that.
            runs = runs[:-1] * max(len(numbers), 1) + words[size - 1 :]
            _, runs = np.unique(runs, return_inverse=True)
        inside = owner[: len(runs)] == owner[size - 1 :]
        kinds = int(runs.max(initial=0)) + 1
        keys, counts = np.unique(
            owner[: len(runs)][inside] * kinds + runs[inside], return_counts=True
        )
        found.append(_pairs(keys, counts, kinds, len(candidates)))
    return found


def _pairs(keys: Integers, counts: Integers, kinds: int, pairs: int) -> NgramPairs:
    """Part the entries of candidates and references, and find the common ones."""
    split = int(np.searchsorted(keys, pairs * kinds))
    mine, theirs = keys[:split], keys[split:] - pairs * kinds
    # Both are sorted, so that each search starts where the last one ended in the cache.
    place = np.searchsorted(theirs, mine)
    common = np.zeros(len(mine), bool)
    reachable = place < len(theirs)
    common[reachable] = theirs[place[reachable]] == mine[reachable]
    return NgramPairs(
        NgramCounts(mine // kinds, mine % kinds, counts[:split]),
        NgramCounts(theirs // kinds, theirs % kinds, counts[split:]),
        (np.flatnonzero(common), place[common]),
        kinds,
    )
