"""Scores against thresholds: area under the ROC curve, and where a threshold is best."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.evaluate.multilabel import Booleans, divide
from longllava_domains.evaluate.statistic import Floats


def auroc(truth: Booleans, scores: Floats) -> float | None:
    """Return the chance that a positive case scores above a negative one; ties count half.

    Args:
        truth: (cases,).
        scores: (cases,).

    Returns:
        None where all cases are of one kind.
    """
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    above = mean_rank[inverse][truth].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def roc_curve(truth: Booleans, scores: Floats) -> tuple[Floats, Floats]:
    """Return false and true positive rates, from the strictest threshold to the laxest."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    tp = np.cumsum(truth[order])[last]
    fp = last + 1 - tp
    ends = np.concatenate([[0], tp]), np.concatenate([[0], fp])
    rates = (part / max(part[-1], 1) for part in ends)
    tpr, fpr = rates
    return fpr, tpr


def calls_above(truth: Booleans, scores: Floats, grid: Floats) -> tuple[Floats, Floats]:
    """Return how many negatives and how many positives score above each threshold (strictly)."""
    by_kind = []
    for kind in (False, True):
        ranked = np.sort(scores[truth == kind])
        by_kind.append((len(ranked) - np.searchsorted(ranked, grid, side="right")).astype(float))
    return by_kind[0], by_kind[1]


def _roc_distance(fp: Floats, tp: Floats, negatives: int, positives: int) -> Floats:
    return -np.sqrt((fp / negatives) ** 2 + (1 - tp / positives) ** 2)


def _youden(fp: Floats, tp: Floats, negatives: int, positives: int) -> Floats:
    return tp / positives - fp / negatives


def _f1(fp: Floats, tp: Floats, negatives: int, positives: int) -> Floats:
    return divide(2 * tp, tp + fp + positives)


RULES: Final[Mapping[str, Callable[[Floats, Floats, int, int], Floats]]] = {
    "roc-distance": _roc_distance,
    "youden": _youden,
    "f1": _f1,
}
"""How good a threshold is, the more the better: nearest to the corner (0, 1) of the ROC plot,
sensitivity + specificity - 1, or F1."""


def best_threshold(
    truth: Booleans, scores: Floats, rule: str, grid: NDArray[np.float64] | None = None
) -> float | None:
    """Return the threshold above which to call a case positive.

    Args:
        truth: (cases,).
        scores: (cases,).
        rule: One of `RULES`.
        grid: Thresholds to choose from, by default 100 from 0 to 1 as CT-CLIP does. Of equally
            good ones the largest is taken.

    Returns:
        None where all cases are of one kind.
    """
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    thresholds = np.linspace(0, 1, 100) if grid is None else grid
    fp, tp = calls_above(truth, scores, thresholds)
    goodness = RULES[rule](fp, tp, negatives, positives)
    return float(thresholds[len(goodness) - 1 - int(np.argmax(goodness[::-1]))])
