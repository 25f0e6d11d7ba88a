"""The loop of one worker: lease, hand to the crew, record. Every engine runs this.

First pass: items never tried, several in hand. Later passes: what was tried in vain, each alone,
so that it is known which item a process did not outlive.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from longllava_domains.archive.engines.crew import Attempt, Crew
from longllava_domains.archive.engines.settings import OnProgress, Progress, Settings
from longllava_domains.archive.fingerprint import fingerprint
from longllava_domains.archive.item import Item
from longllava_domains.archive.outcome import KILLED, Outcome
from longllava_domains.archive.results.ledger import Attempts
from longllava_domains.archive.results.schema import row_of
from longllava_domains.archive.results.store import ResultStore
from longllava_domains.archive.scorer import Job

Items = Callable[[], Iterator[Item]]

_CHUNK: Final = 256
_TELL_SECONDS: Final = 1.0


def work(
    job: Job,
    items: Items,
    store: ResultStore,
    crew: Crew,
    settings: Settings,
    stop: threading.Event,
    on_progress: OnProgress | None = None,
) -> Progress:
    """Score all items of a manifest that are missing, until none is left or `stop` is set.

    Args:
        job: What to do.
        items: Begins the manifest anew at each call.
        store: The results.
        crew: Prepares and scores.
        settings: How to run.
        stop: When set, the current item is finished and the rest is given back.
        on_progress: Called once in a while, and at the end.

    Raises:
        OutputError: The results cannot be written. What is done stays done.
        ModelError: The scorer cannot be built.
    """
    worker = _Worker(job, store, crew, settings, stop, on_progress)
    worker.total = sum(1 for item in items() if settings.shard.holds(item.item_id))
    again = False
    while not stop.is_set():
        store.recover()
        if again and not store.ledger.open_attempts():
            break
        taken = worker.one_pass(items(), again=again)
        if again and not taken:
            break  # what is left is under way elsewhere
        again = True
    store.commit()
    worker.tell(now=True)
    return worker.progress()


@dataclass(frozen=True)
class _Leased:
    fingerprint: str
    so_far: Attempts


class _Worker:
    def __init__(
        self,
        job: Job,
        store: ResultStore,
        crew: Crew,
        settings: Settings,
        stop: threading.Event,
        on_progress: OnProgress | None,
    ) -> None:
        self._spec, self._store, self._crew = job.spec, store, crew
        self._settings, self._stop, self._on_progress = settings, stop, on_progress
        self._leased: dict[str, _Leased] = {}
        self._finished = 0
        self._began = self._told = time.monotonic()
        self.total = 0

    def progress(self) -> Progress:
        """Return how far the run is, by the ledger."""
        counts = self._store.ledger.counts()
        return Progress(counts, self.total, self._finished, time.monotonic() - self._began)

    def tell(self, *, now: bool = False) -> None:
        """Say how far it is, now and then: counting takes time of its own."""
        if self._on_progress is None:
            return
        if now or time.monotonic() - self._told >= _TELL_SECONDS:
            self._told = time.monotonic()
            self._on_progress(self.progress())

    def one_pass(self, items: Iterator[Item], *, again: bool) -> int:
        """Go through the manifest once; return how many items were taken."""
        queue = self._missing(items)
        waiting = next(queue, None)
        taken = 0
        try:
            while not self._stop.is_set():
                if waiting is not None and self._may_begin(waiting, again=again):
                    taken += self._begin(waiting, again=again)
                    waiting = next(queue, None)
                elif self._leased:
                    for attempt in self._crew.next():
                        self._finish(attempt, self._leased[attempt.item.item_id])
                        del self._leased[attempt.item.item_id]
                else:
                    break
        finally:
            self._crew.drain()
            self._store.release(each.fingerprint for each in self._leased.values())
            self._leased.clear()
        return taken

    def _may_begin(self, item: Item, *, again: bool) -> bool:
        if again and self._leased:
            return False
        return self._crew.has_room_for(item)

    def _missing(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the items of this share that have no outcome yet."""
        mine = (item for item in items if self._settings.shard.holds(item.item_id))
        while chunk := list(islice(mine, _CHUNK)):
            prints = [fingerprint(item.item_id, self._spec.key) for item in chunk]
            missing = set(self._store.missing(prints))
            yield from (item for item, own in zip(chunk, prints, strict=True) if own in missing)

    def _begin(self, item: Item, *, again: bool) -> bool:
        """Lease an item and hand it on, or give it its end where it was tried often enough."""
        own = fingerprint(item.item_id, self._spec.key)
        so_far = self._store.lease(own, again=again)
        if so_far is None:
            return False
        if so_far.killed >= self._settings.max_kills:
            outcome = Outcome.failed(KILLED, so_far.failed + so_far.killed)
            self._record(Attempt(item, outcome), outcome)
            return False
        self._leased[item.item_id] = _Leased(own, so_far)
        self._crew.submit(item)
        return True

    def _finish(self, attempt: Attempt, leased: _Leased) -> None:
        """Record how an item ended, or that it is to be tried again."""
        so_far, outcome = leased.so_far, attempt.outcome
        is_last = so_far.failed + 1 >= self._settings.max_failures
        if attempt.killed or (outcome.status == "failed" and not is_last):
            self._store.tried_in_vain(leased.fingerprint, killed=attempt.killed, code=outcome.code)
            return
        tries = so_far.failed + so_far.killed + 1
        self._record(attempt, Outcome(outcome.status, outcome.code, tries))

    def _record(self, attempt: Attempt, outcome: Outcome) -> None:
        row = row_of(
            attempt.item,
            self._spec,
            outcome,
            attempt.scored,
            seconds=attempt.seconds,
            peak_memory_bytes=attempt.peak_memory_bytes,
        )
        self._store.record(row)
        self._finished += 1
        self.tell()
