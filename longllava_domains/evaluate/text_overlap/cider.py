"""CIDEr: cosine of rare runs of words, as pycocoevalcap computes it (CIDEr-D, sigma 6)."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from longllava_domains.evaluate.statistic import Floats
from longllava_domains.evaluate.text_overlap.ngrams import NgramPairs

_SIGMA: Final = 6.0


def pycocoevalcap_cider(counts: Sequence[NgramPairs], texts: int) -> Floats:
    """Return CIDEr of each text, from 0 to 10; the corpus score is the mean.

    Equals ``pycocoevalcap.cider.Cider().compute_score`` without its tokenizer, for one reference
    each. Rarity is counted in the references: a single pair always scores 0.

    Args:
        counts: Of candidates and references, for runs of 1 to 4 words.
        texts: Number of pairs.
    """
    bigrams = [
        np.bincount(part.text, part.count, texts)
        for part in (counts[1].candidate, counts[1].reference)
    ]
    closeness = np.exp(-((bigrams[0] - bigrams[1]) ** 2) / (2 * _SIGMA**2))
    total = np.zeros(texts)
    for runs in counts:
        candidate, reference = runs.candidate, runs.reference
        in_texts = np.bincount(reference.ngram, minlength=runs.kinds)
        rarity = math.log(texts) - np.log(np.maximum(in_texts, 1))
        ours = candidate.count * rarity[candidate.ngram]
        theirs = reference.count * rarity[reference.ngram]
        mine, other = runs.shared
        product = np.minimum(ours[mine], theirs[other]) * theirs[other]
        dot = np.bincount(candidate.text[mine], product, texts)
        norm = np.sqrt(
            np.bincount(candidate.text, ours**2, texts)
            * np.bincount(reference.text, theirs**2, texts)
        )
        total += np.divide(dot, norm, out=np.zeros(texts), where=norm > 0) * closeness
    found: Floats = 10 * total / len(counts)
    return found
