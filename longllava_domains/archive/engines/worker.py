"""The loop of one worker: lease, prepare ahead, score, record. Every engine runs this.

First pass: items never tried, several in flight. Later passes: what was tried in vain, each alone
in this process, so that it is known which item a process did not outlive.
"""

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from longllava_domains.archive.engines.decoders import Decoders, Prepared
from longllava_domains.archive.engines.settings import OnProgress, Progress, Settings
from longllava_domains.archive.fingerprint import fingerprint
from longllava_domains.archive.item import Item
from longllava_domains.archive.outcome import KILLED, Outcome, outcome_of
from longllava_domains.archive.results.ledger import Attempts
from longllava_domains.archive.results.schema import row_of
from longllava_domains.archive.results.store import ResultStore
from longllava_domains.archive.scorer import Job, Scored, Scorer

Items = Callable[[], Iterator[Item]]

_CHUNK: Final = 256
_TELL_SECONDS: Final = 1.0


def work(
    job: Job,
    items: Items,
    store: ResultStore,
    settings: Settings,
    stop: threading.Event,
    on_progress: OnProgress | None = None,
) -> Progress:
    """Score all items of a manifest that are missing, until none is left or `stop` is set.

    Args:
        job: What to do.
        items: Begins the manifest anew at each call.
        store: The results.
        settings: How to run.
        stop: When set, the current item is finished and the rest is given back.
        on_progress: Called once in a while, and at the end.

    Raises:
        OutputError: The results cannot be written. What is done stays done.
        ModelError: The scorer cannot be built.
    """
    worker = _Worker(job, store, settings, stop, on_progress)
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


@dataclass
class _Leased:
    item: Item
    fingerprint: str
    so_far: Attempts


class _Worker:
    def __init__(
        self,
        job: Job,
        store: ResultStore,
        settings: Settings,
        stop: threading.Event,
        on_progress: OnProgress | None,
    ) -> None:
        self._job, self._store, self._settings, self._stop = job, store, settings, stop
        self._on_progress = on_progress
        self._scorer: Scorer | None = None
        self._finished = 0
        self._began = self._told = time.monotonic()
        self.total = 0

    def progress(self) -> Progress:
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
        leased: dict[str, _Leased] = {}
        waiting: Item | None = None
        taken = 0
        settings = self._settings
        with Decoders(
            self._job.prepare, settings.decoders, settings.prefetch_bytes, settings.item_seconds
        ) as decoders:
            try:
                while not self._stop.is_set():
                    waiting = waiting or next(queue, None)
                    room = decoders.has_room_for(waiting) if waiting else False
                    if waiting is not None and room and not (again and leased):
                        mine = self._lease(waiting, again=again)
                        waiting = None
                        if mine is not None:
                            taken += 1
                            leased[mine.item.item_id] = mine
                            decoders.submit(mine.item)
                        continue
                    if not leased:
                        break
                    ready = decoders.next()
                    self._finish(leased[ready.item.item_id], ready)
                    del leased[ready.item.item_id]
            finally:
                decoders.drain()
                self._store.release(each.fingerprint for each in leased.values())
        return taken

    def _missing(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the items of this share that have no outcome yet."""
        mine = (item for item in items if self._settings.shard.holds(item.item_id))
        while chunk := list(islice(mine, _CHUNK)):
            prints = [fingerprint(item.item_id, self._job.spec.key) for item in chunk]
            missing = set(self._store.missing(prints))
            yield from (item for item, own in zip(chunk, prints, strict=True) if own in missing)

    def _lease(self, item: Item, *, again: bool) -> _Leased | None:
        """Take an item, or give it its end where it was tried often enough."""
        own = fingerprint(item.item_id, self._job.spec.key)
        so_far = self._store.lease(own, again=again)
        if so_far is None:
            return None
        if so_far.killed >= self._settings.max_kills:
            self._record(item, Outcome.failed(KILLED, so_far.failed + so_far.killed))
            return None
        return _Leased(item, own, so_far)

    def _finish(self, leased: _Leased, ready: Prepared) -> None:
        """Score a prepared item and record how it ended."""
        if ready.killed:
            self._store.tried_in_vain(leased.fingerprint, killed=True, code=KILLED)
            return
        seconds = {"prepare": ready.seconds}
        outcome, scored = ready.outcome, None
        if outcome is None:
            start = time.perf_counter()
            outcome, scored = self._score(leased.item, ready.content)
            seconds["score"] = time.perf_counter() - start
        attempts = leased.so_far.failed + leased.so_far.killed + 1
        final = Outcome(outcome.status, outcome.code, attempts)
        if outcome.status == "failed" and leased.so_far.failed + 1 < self._settings.max_failures:
            self._store.tried_in_vain(leased.fingerprint, killed=False, code=outcome.code)
            return
        self._record(leased.item, final, scored, seconds)

    def _score(self, item: Item, content: Any) -> tuple[Outcome, Scored | None]:
        if self._scorer is None:
            self._scorer = self._job.build()
        try:
            return Outcome.done(), self._scorer.score(item, content)
        except Exception as error:
            return outcome_of(error), None

    def _record(
        self,
        item: Item,
        outcome: Outcome,
        scored: Scored | None = None,
        seconds: dict[str, float] | None = None,
    ) -> None:
        self._store.record(
            row_of(
                item,
                self._job.spec,
                outcome,
                scored,
                seconds=seconds,
                peak_memory_bytes=_peak_memory_bytes(),
            )
        )
        self._finished += 1
        self.tell()


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
