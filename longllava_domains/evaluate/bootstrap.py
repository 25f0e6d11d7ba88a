"""Intervals by drawing patients or images again, and of the difference of two results.

What belongs together (all questions on an image, all scans of a patient) is drawn together. The
ends of an interval are bias-corrected and accelerated (BCa, Efron 1987), because F1 of rare
findings is skewed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.result import Interval, Result
from longllava_domains.evaluate.statistic import Floats, Statistic

DRAWS: Final = 2000
LEVEL: Final = 0.95
_CELLS_AT_ONCE: Final = 20_000_000
_NORMAL: Final = NormalDist()


@dataclass(frozen=True)
class Difference:
    """One result less another on the same rows.

    Attributes:
        metric: Name.
        value: The first less the second.
        interval: Of that difference; it includes 0 where the data do not tell the two apart.
        clusters: Patients, images or rows that were drawn.
    """

    metric: str
    value: float
    interval: Interval
    clusters: int

    @property
    def includes_zero(self) -> bool:
        """True if 0 lies in the interval."""
        return self.interval.low <= 0 <= self.interval.high


@checked
def with_intervals(
    result: Result,
    metrics: Sequence[str] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Result:
    """Return a result with an interval for each of its metrics that can be resampled.

    Args:
        result: Drawn again by ``result.cluster``, or by row where that is None.
        metrics: Names, by default all that have a statistic.
        draws: How many times.
        seed: Of the draws; stamped into the settings with the rest.
        level: Share of intervals that should hold the true value.

    Raises:
        PolicyError: There are fewer than two clusters, or the level is no share.
    """
    names = [name for name in metrics or result.statistics if name in result.statistics]
    index, clusters = _clusters(result)
    drawn = _draws(clusters, draws, seed, level)
    sums: dict[int, Floats] = {}
    intervals = {}
    for name in names:
        statistic = result.statistics[name]
        key = id(statistic.contributions)
        if key not in sums:
            sums[key] = _by_cluster(statistic.contributions, index, clusters)
        intervals[name] = _interval(sums[key], statistic, drawn, level)
    stamped = {"draws": draws, "seed": seed, "level": level, "clusters": clusters, "ends": "BCa"}
    return result.with_interval_values(intervals, stamped)


@checked
def difference(
    first: Result,
    second: Result,
    metric: str,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """Return by how much two results differ, with the interval of a paired bootstrap.

    Both are drawn with the same clusters at each draw. Only rows that both have are compared.

    Raises:
        PolicyError: A result has no such metric to resample, or they share fewer than two clusters.
    """
    for result in (first, second):
        if metric not in result.statistics:
            raise PolicyError(
                f"{result.protocol} of {result.benchmark} has no {metric} that can be resampled.",
                remedy=f"Choose one of {', '.join(list(result.statistics)[:12])}.",
                code="evaluate.resample",
            )
    rows = _common_rows(first, second)
    index, clusters = _clusters(first, rows[0])
    drawn = _draws(clusters, draws, seed, level)
    parts = [
        _by_cluster(result.statistics[metric].contributions[picked], index, clusters)
        for result, picked in zip((first, second), rows, strict=True)
    ]
    split = parts[0].shape[1]
    combines = [result.statistics[metric].combine for result in (first, second)]
    both = Statistic(
        np.concatenate(parts, axis=1),
        lambda sums: combines[0](sums[..., :split]) - combines[1](sums[..., split:]),
    )
    interval = _interval(both.contributions, both, drawn, level)
    return Difference(metric, both.value, interval, clusters)


def can_be_drawn(result: Result) -> bool:
    """Return whether there are two patients, images or rows at least, so that drawing says anything."""
    return _clusters(result)[1] >= 2


def main_metric(result: Result) -> str:
    """Return the first metric of the headline that can be resampled, or else any that can.

    Raises:
        PolicyError: None can.
    """
    names = (*result.headline, *result.statistics)
    found = next((name for name in names if name in result.statistics), None)
    if found is None:
        raise PolicyError(
            f"{result.protocol} of {result.benchmark} has no metric that can be resampled.",
            remedy="Score with a protocol whose metrics are means or counts.",
            code="evaluate.resample",
        )
    return found


def _clusters(
    result: Result, picked: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], int]:
    """Return the number of the cluster of each row, and how many there are."""
    rows = result.rows if picked is None else [result.rows[row] for row in picked]
    names = [row["id"] if result.cluster is None else row[result.cluster] for row in rows]
    numbers: dict[object, int] = {}
    if result.cluster is None:
        return np.arange(len(rows)), len(rows)
    index = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    return index, len(numbers)


def _draws(clusters: int, draws: int, seed: int, level: float) -> NDArray[np.uint16]:
    """Return how often each cluster is drawn, (draws, clusters)."""
    if clusters < 2 or draws < 2 or not 0 < level < 1:
        raise PolicyError(
            f"An interval cannot be drawn from {clusters} clusters, {draws} draws, level {level}.",
            remedy="Score more patients or images, draw often, and give a level such as 0.95.",
            code="evaluate.bootstrap",
        )
    generator = np.random.default_rng(seed)
    counts = np.empty((draws, clusters), np.uint16)
    for draw in range(draws):
        counts[draw] = np.bincount(generator.integers(0, clusters, clusters), minlength=clusters)
    return counts


def _by_cluster(contributions: Floats, index: NDArray[np.int64], clusters: int) -> Floats:
    sums = np.zeros((clusters, contributions.shape[1]))
    np.add.at(sums, index, contributions)
    return sums


def _interval(
    sums: Floats, statistic: Statistic, drawn: NDArray[np.uint16], level: float
) -> Interval:
    """Return the BCa interval; its ends are plain percentiles where nothing varies."""
    step = max(1, _CELLS_AT_ONCE // max(drawn.shape[1], 1))
    parts = [
        statistic.combine(drawn[start : start + step].astype(np.float64) @ sums)
        for start in range(0, len(drawn), step)
    ]
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    total = sums.sum(axis=0)
    value = float(statistic.combine(total))
    if not len(values) or values.min() == values.max():
        return Interval(value, value)
    below = ((values < value).sum() + 0.5 * (values == value).sum()) / len(values)
    shift = _NORMAL.inv_cdf(float(np.clip(below, 1e-6, 1 - 1e-6)))
    bend = _acceleration(statistic.combine(total - sums))
    tail = (1 - level) / 2
    ends = (_NORMAL.inv_cdf(tail), _NORMAL.inv_cdf(1 - tail))
    shares = [_NORMAL.cdf(shift + (shift + end) / (1 - bend * (shift + end))) for end in ends]
    low, high = np.quantile(values, shares)
    return Interval(float(low), float(high))


def _acceleration(without_one: Floats) -> float:
    """Return how the spread changes with the value, from leaving out one cluster at a time."""
    finite = without_one[np.isfinite(without_one)]
    away = finite.mean() - finite if len(finite) else np.zeros(1)
    # The bend does not depend on the scale, and the cube of a tiny number would be none at all.
    largest = float(np.abs(away).max())
    if largest == 0:
        return 0.0
    away = away / largest
    return float((away**3).sum() / (6 * float((away**2).sum()) ** 1.5))


def _common_rows(first: Result, second: Result) -> list[NDArray[np.int64]]:
    """Return the places of the rows that both have, in the order of the first."""
    ids = [[str(row["id"]) for row in result.rows] for result in (first, second)]
    if ids[0] == ids[1]:  # ids may repeat where rows are their own references
        return [np.arange(len(ids[0]))] * 2
    places = [{name: place for place, name in enumerate(each)} for each in ids]
    common = [name for name in places[0] if name in places[1]]
    return [np.array([place[name] for name in common], np.int64) for place in places]
