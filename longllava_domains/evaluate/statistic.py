"""A metric as a function of sums over rows, so that resampling it costs one matrix product."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Statistic:
    """A metric that depends on its rows only through sums.

    Attributes:
        contributions: (rows, terms); what each row adds to each sum.
        combine: From sums (..., terms) to the metric (...); NaN where it is not defined.
    """

    contributions: Floats
    combine: Callable[[Floats], Floats]

    @property
    def value(self) -> float:
        """The metric over all rows."""
        return float(self.combine(self.contributions.sum(axis=0)))


def mean_statistic(scores: ArrayLike, counted: ArrayLike | None = None) -> Statistic:
    """Return the mean of scores.

    Args:
        scores: (rows,), such as 0 and 1 for wrong and right.
        counted: (rows,) booleans; False leaves a row out of sum and denominator.
    """
    values = np.asarray(scores, np.float64)
    weights = np.ones_like(values) if counted is None else np.asarray(counted, np.float64)
    return Statistic(np.stack([values * weights, weights], axis=1), ratio)


def ratio(sums: Floats) -> Floats:
    """Divide the first sum by the second; NaN where that is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient: Floats = np.where(sums[..., 1] == 0, np.nan, sums[..., 0] / sums[..., 1])
    return quotient


def defined(statistics: Iterable[tuple[str, Statistic]]) -> dict[str, Statistic]:
    """Keep the statistics that have a value: a metric of no rows is left out, never 0."""
    return {name: found for name, found in statistics if np.isfinite(found.value)}
