"""Signs that reports have collapsed: fluent, alike, and silent about rare findings."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from longllava_domains.evaluate.multilabel import Booleans, divide

_TERCILES = ("rare", "middling", "common")


def template_shares(reports: Sequence[str]) -> dict[str, float]:
    """Return the share of different reports, and of the one that is written most often.

    Case and blanks do not count as differences.

    Args:
        reports: At least one.
    """
    counts = Counter(" ".join(report.lower().split()) for report in reports)
    return {
        "collapse/distinct": len(counts) / len(reports),
        "collapse/most_common": max(counts.values()) / len(reports),
    }


def recall_by_prevalence(truth: Booleans, called: Booleans) -> dict[str, float]:
    """Return the mean recall of the rarest, the middling and the commonest third of the labels.

    Args:
        truth: (reports, labels).
        called: (reports, labels).

    Returns:
        A third whose labels never occur is left out.
    """
    positives = truth.sum(axis=0).astype(np.float64)
    recall = divide((truth & called).sum(axis=0).astype(np.float64), positives)
    order = [label for label in np.argsort(positives, kind="stable") if positives[label] > 0]
    thirds = np.array_split(np.array(order, int), len(_TERCILES))
    return {
        f"collapse/recall_{name}": float(recall[third].mean())
        for name, third in zip(_TERCILES, thirds, strict=True)
        if len(third)
    }
