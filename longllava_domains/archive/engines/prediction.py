"""Predict a run from a sample: hours, bytes a second, the bottleneck, and who meets a deadline.

The sample is spread over the sizes of the manifest's items, each is prepared and scored once in
this process, and nothing is recorded.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from longllava_domains.archive.engines.crew import Scoring
from longllava_domains.archive.engines.decoders import prepare_inline
from longllava_domains.archive.engines.worker import Items
from longllava_domains.archive.item import Item
from longllava_domains.archive.scorer import Job
from longllava_domains.arguments import checked
from longllava_domains.errors import LongLlavaError, NotFoundError

SAMPLE: Final = 50
# What the scorer does not name is counted under "score".
_PREPARE, _SCORE = "prepare", "score"
_DISK, _DECODING = "disk", "decoding"
_OURS: Final = (_PREPARE, _SCORE, _DISK, _DECODING)

Read = Callable[[Item], object]


@dataclass(frozen=True)
class Prediction:
    """Estimate of what a run over a manifest would take.

    Attributes:
        items: In the manifest.
        sampled: Items that were tried.
        outcomes: Status -> share of the sample.
        hours: Of the run; the slowest of reading, preparing and scoring, which overlap.
        items_per_hour: Of all workers.
        bytes_per_second: That the archive has to give.
        stage_seconds: Stage -> mean time for an item.
        bottleneck: The stage that decides: ``"disk"``, ``"decoding"``, ``"prepare"`` (both, where
            they were not told apart), or the longest of the scorer's own stages, such as
            ``"vision"``, ``"prefill"`` or ``"generation"``.
    """

    items: int
    sampled: int
    outcomes: Mapping[str, float]
    hours: float
    items_per_hour: float
    bytes_per_second: float
    stage_seconds: Mapping[str, float]
    bottleneck: str

    def meets(self, deadline_hours: float) -> bool:
        """Return whether the run would end in time."""
        return self.hours <= deadline_hours


@checked
def predict(
    job: Job,
    items: Items,
    *,
    sample: int = SAMPLE,
    workers: int = 1,
    decoders: int = 1,
    read: Read | None = None,
) -> Prediction:
    """Predict a run.

    Args:
        job: What to do. Its scorer is built here; the time for that is not counted.
        items: Begins the manifest anew at each call.
        sample: Items to try.
        workers: Scorers that would run at once.
        decoders: Processes of each worker that would prepare ahead.
        read: Reads an item's bytes, to time the disk or line apart from decoding. All workers
            share it, at the rate of this one reader; files that the system still holds in memory
            seem faster than they will be.

    Raises:
        NotFoundError: The manifest is empty.
        ModelError: The scorer cannot be built.
    """
    sizes = np.fromiter((item.bytes for item in items()), np.int64)
    if not len(sizes):
        raise NotFoundError(
            "The manifest holds no item.",
            remedy="Scan a source that holds items of its domain.",
            code="archive.empty",
        )
    scoring = Scoring(job)
    stages: dict[str, list[float]] = {}
    outcomes: dict[str, int] = {}
    wanted = _spread(sizes, sample)
    tried = [item for number, item in enumerate(items()) if number in wanted]
    disk = [_seconds_to_read(item, read) for item in tried] if read else []
    _warm_up(job, scoring, tried)
    for item in tried:
        status, seconds = _try(job, scoring, item)
        outcomes[status] = outcomes.get(status, 0) + 1
        for stage, value in seconds.items():
            stages.setdefault(stage, []).append(value)
    means = {stage: float(np.sum(values)) / len(tried) for stage, values in stages.items()}
    if read:
        means = {_DISK: float(np.mean(disk)), _DECODING: means.pop(_PREPARE), **means}
    each = _seconds_of_one(means, workers, decoders)
    slowest = max(each, key=each.__getitem__)
    hours = len(sizes) * each[slowest] / 3600
    return Prediction(
        items=len(sizes),
        sampled=len(tried),
        outcomes={status: count / len(tried) for status, count in outcomes.items()},
        hours=hours,
        items_per_hour=len(sizes) / hours,
        bytes_per_second=float(sizes.sum()) / (hours * 3600),
        stage_seconds=means,
        bottleneck=_longest(means) if slowest == _SCORE else slowest,
    )


def _warm_up(job: Job, scoring: Scoring, items: list[Item]) -> None:
    """Score one item uncounted: the first pays for what is imported, built and filled once.

    An item that is refused never comes to the scorer, so it warms nothing up.
    """
    for item in items:
        if _SCORE in scoring.attempt(prepare_inline(job.prepare, item)).seconds:
            return


def _seconds_of_one(means: Mapping[str, float], workers: int, decoders: int) -> dict[str, float]:
    """Return how long the run waits for each part of an item, where that part decides."""
    side_by_side = workers * max(1, decoders)
    each = {stage: means[stage] / side_by_side for stage in (_PREPARE, _DECODING) if stage in means}
    each[_SCORE] = means.get(_SCORE, 0.0) / workers
    if _DISK in means:
        each[_DISK] = means[_DISK]
    return each


def _seconds_to_read(item: Item, read: Read) -> float:
    begin = time.perf_counter()
    with suppress(LongLlavaError):  # trying the item will count that
        read(item)
    return time.perf_counter() - begin


@checked
def in_time(predictions: Mapping[str, Prediction], deadline_hours: float) -> list[str]:
    """Return the names of the policies that meet a deadline, the slowest (most thorough) first."""
    meeting = [name for name, each in predictions.items() if each.meets(deadline_hours)]
    return sorted(meeting, key=lambda name: -predictions[name].hours)


def _spread(sizes: np.ndarray, sample: int) -> set[int]:
    """Return the numbers of items whose sizes are evenly spread over all."""
    order = np.argsort(sizes, kind="stable")
    count = min(sample, len(sizes))
    places = ((np.arange(count) + 0.5) * len(sizes) / count).astype(int)
    return set(order[places].tolist())


def _try(job: Job, scoring: Scoring, item: Item) -> tuple[str, dict[str, float]]:
    """Prepare and score an item; return its status and the time of each stage."""
    attempt = scoring.attempt(prepare_inline(job.prepare, item))
    own = attempt.scored.seconds if attempt.scored else {}
    return attempt.outcome.status, {**attempt.seconds, **own}


def _longest(means: Mapping[str, float]) -> str:
    """Return the scorer's longest stage, or ``"score"`` where it names none."""
    own = {stage: value for stage, value in means.items() if stage not in _OURS}
    return max(own, key=own.__getitem__) if own else _SCORE
