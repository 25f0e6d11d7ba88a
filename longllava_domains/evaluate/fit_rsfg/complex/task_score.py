"""The score of one of the six complex tasks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from longllava_domains.evaluate.fit_rsfg.rows import Verdict
from longllava_domains.evaluate.statistic import Statistic

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TaskScore:
    """Metrics of one task and a verdict for each of its items.

    Attributes:
        metrics: Name without the task -> value; empty where nothing could be scored.
        verdicts: One for each item, in order.
        statistics: Metrics that can be resampled, over the items in order.
        notes: What must be read beside the numbers.
    """

    metrics: Mapping[str, float]
    verdicts: Sequence[Verdict]
    statistics: Mapping[str, Statistic] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def precision_recall_f1(counts: Floats, prefix: str = "") -> dict[str, Statistic]:
    """Return micro-averaged P, R and F1; 0 where a denominator is 0, as officially.

    Args:
        counts: (rows, 3): true positives, false positives, false negatives.
        prefix: What stands before the names.
    """
    shares: dict[str, Callable[[Floats], Floats]] = {
        "P": lambda sums: _share(sums[..., 0], sums[..., 0] + sums[..., 1]),
        "R": lambda sums: _share(sums[..., 0], sums[..., 0] + sums[..., 2]),
        "F1": lambda sums: _share(2 * sums[..., 0], 2 * sums[..., 0] + sums[..., 1] + sums[..., 2]),
    }
    return {f"{prefix}{name}": Statistic(counts, share) for name, share in shares.items()}


def _share(part: Floats, whole: Floats) -> Floats:
    found: Floats = np.where(whole > 0, part / np.maximum(whole, 1e-300), 0.0)
    return found
