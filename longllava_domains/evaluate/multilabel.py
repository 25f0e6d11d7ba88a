"""Scores of several yes/no labels for each case, as sums over cases.

Averages as in scikit-learn with ``zero_division=0``; CRG as the VLM3D challenge computes it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longllava_domains.evaluate.statistic import Floats, Statistic, defined, mean_statistic

Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Confusion:
    """Counts for each label, (..., labels) each."""

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats

    @classmethod
    def of_sums(cls, sums: Floats) -> "Confusion":
        """Read the counts from sums (..., 4 * labels) of `contributions`."""
        tp, fp, fn, tn = np.split(sums, 4, axis=-1)
        return cls(tp, fp, fn, tn)

    def total(self) -> "Confusion":
        """Return the counts over all labels, (..., 1) each."""
        parts = (self.tp, self.fp, self.fn, self.tn)
        return Confusion(*(part.sum(axis=-1, keepdims=True) for part in parts))

    def precision(self) -> Floats:
        """Return precision, 0 where nothing was called positive."""
        return divide(self.tp, self.tp + self.fp)

    def recall(self) -> Floats:
        """Return recall, 0 where nothing is positive."""
        return divide(self.tp, self.tp + self.fn)

    def f1(self) -> Floats:
        """Return F1 of the positive class, 0 where nothing is or was called positive."""
        return divide(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def specificity(self) -> Floats:
        """Return the share of negatives called negative, 0 where there are none."""
        return divide(self.tn, self.tn + self.fp)

    def accuracy(self) -> Floats:
        """Return the share of right calls."""
        return divide(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)

    def f1_weighted(self) -> Floats:
        """Return F1 of both classes, weighted by their size: CT-CLIP's "F1"."""
        negative_f1 = divide(2 * self.tn, 2 * self.tn + self.fp + self.fn)
        negatives, positives = self.tn + self.fp, self.tp + self.fn
        return divide(negatives * negative_f1 + positives * self.f1(), negatives + positives)

    def crg(self) -> Floats:
        """Return the clinically weighted score of VLM3D, NaN where no label is positive.

        Of all X calls, A are truly positive; a missed one costs r = (X - A) / 2A false alarms.
        1 is perfect; calling everything, or nothing, gives 1/3.
        """
        all_labels = self.total()
        tp, fp, fn, tn = all_labels.tp, all_labels.fp, all_labels.fn, all_labels.tn
        positives = tp + fn
        negatives = fp + tn
        with np.errstate(invalid="ignore", divide="ignore"):
            r = negatives / (2 * positives)
            u = negatives / 2
            score = u / (2 * u - (r * tp - r * fn - fp))
        found: Floats = np.where(positives > 0, score, np.nan)[..., 0]
        return found


def contributions(truth: Booleans, called: Booleans) -> Floats:
    """Return what each case adds to the counts of `Confusion`.

    Args:
        truth: (cases, labels).
        called: (cases, labels).

    Returns:
        (cases, 4 * labels).
    """
    parts = (truth & called, ~truth & called, truth & ~called, ~truth & ~called)
    return np.concatenate([part.astype(np.float64) for part in parts], axis=1)


def statistics(truth: Booleans, called: Booleans, labels: Sequence[str]) -> dict[str, Statistic]:
    """Return every average and every label's own scores.

    Args:
        truth: (cases, labels).
        called: (cases, labels), what was called positive.
        labels: Names of the columns.

    Returns:
        Name -> statistic: ``micro/``, ``macro/``, ``weighted/``, ``samples/`` and ``class/NAME/``
        with precision, recall and f1; ``accuracy``, ``subset_accuracy`` and ``crg``.
    """
    added = contributions(truth, called)

    def statistic(combine: Callable[[Confusion], Floats]) -> Statistic:
        return Statistic(added, lambda sums: combine(Confusion.of_sums(sums)))

    found = {f"micro/{name}": statistic(_micro(of)) for name, of in _SCORES.items()}
    found |= {f"macro/{name}": statistic(_macro(of)) for name, of in _SCORES.items()}
    found |= {f"weighted/{name}": statistic(_weighted(of)) for name, of in _SCORES.items()}
    found["macro/f1_weighted"] = statistic(_macro(Confusion.f1_weighted))
    found["macro/accuracy"] = statistic(_macro(Confusion.accuracy))
    found["accuracy"] = statistic(_micro(Confusion.accuracy))
    found["subset_accuracy"] = mean_statistic((truth == called).all(axis=1))
    found["crg"] = statistic(Confusion.crg)
    found |= _samples(truth, called)
    for index, label in enumerate(labels):
        for name, of in (*_SCORES.items(), *_CLASS_SCORES.items()):
            found[f"class/{label}/{name}"] = statistic(_one(of, index))
    return defined(found.items())


def divide(above: Floats, below: Floats) -> Floats:
    """Divide, with 0 where the divisor is 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _samples(truth: Booleans, called: Booleans) -> dict[str, Statistic]:
    """Scores of each case over its labels, then the mean over cases."""
    tp = (truth & called).sum(axis=1).astype(np.float64)
    said, there = (part.sum(axis=1).astype(np.float64) for part in (called, truth))
    return {
        "samples/precision": mean_statistic(divide(tp, said)),
        "samples/recall": mean_statistic(divide(tp, there)),
        "samples/f1": mean_statistic(divide(2 * tp, said + there)),
    }


_Score = Callable[[Confusion], Floats]


def _micro(score: _Score) -> _Score:
    return lambda counts: score(counts.total())[..., 0]


def _macro(score: _Score) -> _Score:
    return lambda counts: score(counts).mean(axis=-1)


def _weighted(score: _Score) -> _Score:
    def combine(counts: Confusion) -> Floats:
        support = counts.tp + counts.fn
        return divide((score(counts) * support).sum(axis=-1), support.sum(axis=-1))

    return combine


def _one(score: _Score, index: int) -> _Score:
    return lambda counts: score(counts)[..., index]


_SCORES = {
    "precision": Confusion.precision,
    "recall": Confusion.recall,
    "f1": Confusion.f1,
}
_CLASS_SCORES = {
    "f1_weighted": Confusion.f1_weighted,
    "accuracy": Confusion.accuracy,
    "specificity": Confusion.specificity,
}
