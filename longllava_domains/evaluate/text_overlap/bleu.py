"""BLEU as two libraries compute it; their numbers are not comparable."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from longllava_domains.evaluate.statistic import Floats, Statistic
from longllava_domains.evaluate.text_overlap.ngrams import NgramPairs

_SMALL: Final = 1e-9
_TINY: Final = 1e-15


def pycocoevalcap_bleu(
    counts: Sequence[NgramPairs], lengths: Floats, reference_lengths: Floats
) -> list[Statistic]:
    """Return BLEU-1 to BLEU-n of the whole corpus, one reference for each text.

    Equals ``pycocoevalcap.bleu.Bleu(n).compute_score`` without its tokenizer.

    Args:
        counts: Of candidates and references, for each length of run.
        lengths: (texts,) words of each candidate.
        reference_lengths: (texts,) words of each reference.

    Returns:
        One statistic over texts for each length of run.
    """
    correct = []
    for runs in counts:
        mine, theirs = runs.shared
        matches = np.minimum(runs.candidate.count[mine], runs.reference.count[theirs])
        correct.append(np.bincount(runs.candidate.text[mine], matches, len(lengths)))
    guessed = [np.maximum(lengths - size, 0) for size in range(len(counts))]
    added = np.stack([lengths, reference_lengths, *correct, *guessed], axis=1)
    return [Statistic(added, partial(_bleu, size)) for size in range(1, len(counts) + 1)]


def _bleu(size: int, sums: Floats) -> Floats:
    """Combine sums of lengths, reference lengths, correct runs and guessed runs."""
    longest = (sums.shape[-1] - 2) // 2
    correct, guessed = sums[..., 2 : 2 + size], sums[..., 2 + longest : 2 + longest + size]
    product = np.prod((correct + _TINY) / (guessed + _SMALL), axis=-1)
    ratio = (sums[..., 0] + _TINY) / (sums[..., 1] + _SMALL)
    penalty = np.exp(np.minimum(0, 1 - 1 / ratio))
    found: Floats = product ** (1 / size) * penalty
    return found


def nltk_bleu(
    candidate: Sequence[str], reference: Sequence[str], weightings: Sequence[Sequence[float]]
) -> list[float]:
    """Return BLEU of one sentence with one reference, under several weightings of run lengths.

    Equals ``nltk.translate.bleu_score.sentence_bleu`` without smoothing: a run length without a
    match counts as the smallest positive float, and no shared word at all gives 0.

    Args:
        candidate: Words.
        reference: Words.
        weightings: Weights of run lengths 1, 2, ..., for each score asked for.
    """
    if not set(candidate) & set(reference):
        return [0.0] * len(weightings)
    logs = []
    for size in range(1, max(map(len, weightings)) + 1):
        runs, others = _runs(candidate, size), _runs(reference, size)
        correct = sum(min(count, others[run]) for run, count in runs.items() if run in others)
        precision = correct / max(len(candidate) - size + 1, 1) or sys.float_info.min
        logs.append(math.log(precision))
    brevity = 1.0
    if len(candidate) <= len(reference):
        brevity = math.exp(1 - len(reference) / len(candidate))
    return [
        brevity * math.exp(math.fsum(w * log for w, log in zip(weights, logs, strict=False)))
        for weights in weightings
    ]


def _runs(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))
