"""Whoever prepares and scores items for the loop: here, decoder processes and a scorer in line.

The loop of `worker` hands items to a crew and takes attempts from it, in whatever order they end.
An engine is a crew.
"""

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from longllava_domains.archive.engines.decoders import Decoders, Prepared
from longllava_domains.archive.engines.settings import Settings
from longllava_domains.archive.item import Item
from longllava_domains.archive.outcome import KILLED, Outcome, outcome_of
from longllava_domains.archive.scorer import BatchScorer, Job, Scored, Scorer
from longllava_domains.errors import OutputError, PolicyError


@dataclass(frozen=True)
class Attempt:
    """Result of one try at an item.

    Attributes:
        item: The item.
        outcome: How it ended.
        scored: What the scorer said, if it got so far.
        seconds: Stage -> time.
        killed: A process did not outlive it.
        peak_memory_bytes: Highest resident memory of the scoring process so far.
    """

    item: Item
    outcome: Outcome
    scored: Scored | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    killed: bool = False
    peak_memory_bytes: int = 0


class Crew(Protocol):
    """Prepares and scores items."""

    def has_room_for(self, item: Item) -> bool:
        """Return whether an item may come in now; always where none is in hand."""

    def submit(self, item: Item) -> None:
        """Take an item in."""

    def next(self) -> Sequence[Attempt]:
        """Wait for an item to end, or several that are scored together.

        Raises:
            OutputError: Something cannot be written; the run has to stop.
            ModelError: The scorer cannot be built.
        """

    def drain(self) -> None:
        """Give up what is in hand."""


class Scoring:
    """Scores prepared items; builds the scorer when the first is there."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._scorer: Scorer | None = None

    def attempts(self, ready: Sequence[Prepared]) -> list[Attempt]:
        """Score prepared items together; see `attempt`.

        Where that goes wrong each is scored alone, so that none pays for another.

        Raises:
            OutputError: Something cannot be written; the run has to stop.
            ModelError: The scorer cannot be built.
            PolicyError: The scorer takes one item at a time.
        """
        well = [each for each in ready if each.outcome is None and not each.killed]
        if len(well) < 2:
            return [self.attempt(each) for each in ready]
        scorer = self._built()
        if not isinstance(scorer, BatchScorer):
            raise PolicyError(
                "This task scores its items one at a time.",
                remedy="Leave out --batch-items.",
                code="archive.batch",
            )
        start = time.perf_counter()
        try:
            scored = scorer.score_many([(each.item, each.content) for each in well])
        except OutputError:
            raise
        except Exception:  # whose it is shows when each is alone
            return [self.attempt(each) for each in ready]
        share = (time.perf_counter() - start) / len(well)
        by_item = {each.item.item_id: own for each, own in zip(well, scored, strict=True)}
        return [
            self._done(each, by_item[each.item.item_id], share)
            if each.item.item_id in by_item
            else self.attempt(each)
            for each in ready
        ]

    def _built(self) -> Scorer:
        self._scorer = self._scorer or self._job.build()
        return self._scorer

    def _done(self, ready: Prepared, scored: Scored, seconds: float) -> Attempt:
        times = {"prepare": ready.seconds, "score": seconds}
        return Attempt(
            ready.item, Outcome.done(), scored, times, peak_memory_bytes=_peak_memory_bytes()
        )

    def attempt(self, ready: Prepared) -> Attempt:
        """Score a prepared item, or pass on why it is not prepared.

        Raises:
            OutputError: Something cannot be written; the run has to stop.
            ModelError: The scorer cannot be built.
        """
        if ready.killed:
            return Attempt(ready.item, Outcome.failed(KILLED), killed=True)
        seconds = {"prepare": ready.seconds}
        outcome, scored = ready.outcome, None
        if outcome is None:
            scorer = self._built()
            start = time.perf_counter()
            outcome, scored = _score(scorer, ready.item, ready.content)
            seconds["score"] = time.perf_counter() - start
        return Attempt(ready.item, outcome, scored, seconds, peak_memory_bytes=_peak_memory_bytes())


class LocalCrew:
    """Decoder processes ahead, and a scorer in this process."""

    def __init__(self, job: Job, settings: Settings) -> None:
        self._scoring = Scoring(job)
        self._together = settings.batch_items
        self._decoders = Decoders(
            job.prepare,
            settings.decoders,
            settings.prefetch_bytes,
            settings.item_seconds,
            settings.batch_items,
        )

    def __enter__(self) -> "LocalCrew":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._decoders.end()

    def has_room_for(self, item: Item) -> bool:
        """See `Crew`."""
        return self._decoders.has_room_for(item)

    def submit(self, item: Item) -> None:
        """See `Crew`."""
        self._decoders.submit(item)

    def drain(self) -> None:
        """See `Crew`."""
        self._decoders.drain()

    def next(self) -> list[Attempt]:
        """Score the oldest items; see `Crew`."""
        count = min(self._together, len(self._decoders))
        return self._scoring.attempts([self._decoders.next() for _ in range(count)])


def _score(scorer: Scorer, item: Item, content: Any) -> tuple[Outcome, Scored | None]:
    try:
        return Outcome.done(), scorer.score(item, content)
    except Exception as error:
        return outcome_of(error), None


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
