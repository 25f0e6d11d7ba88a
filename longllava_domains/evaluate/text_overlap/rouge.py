"""ROUGE as two libraries compute it: words in common, and the longest common subsequence."""

from collections.abc import Iterable, Sequence
from typing import Final

_BETA: Final = 1.2
_EPSILON: Final = 1e-8


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Return its length, with one machine operation for a whole row of the usual table.

    Hyyrö, "Bit-parallel LCS-length computation revisited" (2004).
    """
    places: dict[str, int] = {}
    for index, word in enumerate(one):
        places[word] = places.get(word, 0) | (1 << index)
    everything = (1 << len(one)) - 1
    row = everything
    for word in other:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & everything
    return len(one) - row.bit_count()


def pycocoevalcap_rouge_l(candidate: str, reference: str) -> float:
    """Return ROUGE-L with beta 1.2 of two texts whose words are parted by single spaces.

    Equals ``pycocoevalcap.rouge.Rouge`` for one reference.
    """
    words, others = candidate.split(" "), reference.split(" ")
    common = longest_common_subsequence(words, others)
    if not common:
        return 0.0
    precision, recall = common / len(words), common / len(others)
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def rouge_package_f(candidate: str, reference: str) -> tuple[float, float, float]:
    """Return the F of rouge-1, rouge-2 and rouge-l of two texts.

    Equals ``rouge.Rouge().get_scores`` (the package ``rouge``): sentences end at periods, repeated
    words count once. An empty text scores 0, where the package raises.
    """
    ours, theirs = _sentences(candidate), _sentences(reference)
    if not ours or not theirs:
        return 0.0, 0.0, 0.0
    scores = []
    for size in (1, 2):
        runs, others = _runs(ours, size), _runs(theirs, size)
        scores.append(_f(len(runs & others), len(runs), len(others)))
    words, other_words = ({w for s in part for w in s} for part in (ours, theirs))
    union: set[str] = set()
    for sentence in theirs:
        for said in ours:
            union |= set(_common_words(sentence, said))
    return scores[0], scores[1], _f(len(union), len(words), len(other_words))


def _sentences(text: str) -> list[list[str]]:
    return [" ".join(part.split()).split(" ") for part in text.split(".") if part]


def _runs(sentences: Iterable[Sequence[str]], size: int) -> set[tuple[str, ...]]:
    words = [word for sentence in sentences for word in sentence]
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


def _f(common: int, said: int, there: int) -> float:
    precision, recall = common / said if said else 0.0, common / there if there else 0.0
    return 2 * precision * recall / (precision + recall + _EPSILON)


def _common_words(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Return a longest common subsequence, the way back taken as the package does."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, word in enumerate(one, 1):
        for j, said in enumerate(other, 1):
            longer = max(table[i - 1][j], table[i][j - 1])
            table[i][j] = table[i - 1][j - 1] + 1 if word == said else longer
    found, i, j = [], len(one), len(other)
    while i and j:
        if one[i - 1] == other[j - 1]:
            found.append(one[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found[::-1]
