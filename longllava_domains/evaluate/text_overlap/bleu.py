"""BLEU as two libraries compute it; their numbers are not comparable."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from longllava_domains.evaluate.statistic import Floats
from longllava_domains.evaluate.text_overlap.ngrams import NgramCounts, shared

_SMALL: Final = 1e-9
_TINY: Final = 1e-15


def pycocoevalcap_bleu(
    counts: Sequence[tuple[NgramCounts, NgramCounts]], lengths: Floats, reference_lengths: Floats
) -> list[float]:
    """Return BLEU-1 to BLEU-n of the whole corpus, one reference for each text.

    Equals ``pycocoevalcap.bleu.Bleu(n).compute_score`` without its tokenizer.

    Args:
        counts: Of candidates and references, for each length of run.
        lengths: (texts,) words of each candidate.
        reference_lengths: (texts,) words of each reference.
    """
    product, found = 1.0, []
    ratio = (lengths.sum() + _TINY) / (reference_lengths.sum() + _SMALL)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    for size, (candidate, reference) in enumerate(counts, 1):
        mine, theirs = shared(candidate, reference)
        correct = np.minimum(candidate.count[mine], reference.count[theirs]).sum()
        guessed = np.maximum(lengths - size + 1, 0).sum()
        product *= (correct + _TINY) / (guessed + _SMALL)
        found.append(product ** (1 / size) * penalty)
    return found


def nltk_bleu(
    candidate: Sequence[str], reference: Sequence[str], weights: Sequence[float]
) -> float:
    """Return BLEU of one sentence with one reference.

    Equals ``nltk.translate.bleu_score.sentence_bleu`` without smoothing: a run length without a
    match counts as the smallest positive float, and no shared word at all gives 0.

    Args:
        candidate: Words.
        reference: Words.
        weights: Of run lengths 1, 2, ...
    """
    precisions = []
    for size in range(1, len(weights) + 1):
        runs, others = _runs(candidate, size), _runs(reference, size)
        correct = sum(min(count, others[run]) for run, count in runs.items())
        if size == 1 and correct == 0:
            return 0.0
        precisions.append(correct / max(sum(runs.values()), 1) or sys.float_info.min)
    brevity = 1.0
    if len(candidate) <= len(reference):
        brevity = math.exp(1 - len(reference) / len(candidate))
    logs = (weight * math.log(p) for weight, p in zip(weights, precisions, strict=True))
    return brevity * math.exp(math.fsum(logs))


def _runs(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))
