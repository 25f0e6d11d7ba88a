"""The local engine: in this process, or in worker processes that are watched and replaced.

The watching process holds no model. A worker that dies, grows too large or stays at one item for
too long is replaced; what it held is tried again, alone, and set aside in the end.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

from longllava_domains.archive.engines.crew import LocalCrew
from longllava_domains.archive.engines.decoders import end_with_parent
from longllava_domains.archive.engines.settings import OnProgress, Progress, Settings
from longllava_domains.archive.engines.stopping import stop_on_request
from longllava_domains.archive.engines.worker import Items, work
from longllava_domains.archive.results.store import ResultStore
from longllava_domains.archive.scorer import Job
from longllava_domains.arguments import checked
from longllava_domains.errors import LongLlavaError, ModelError

_SPAWN: Final = multiprocessing.get_context("spawn")
_LOOK_SECONDS: Final = 0.2
_TELL_SECONDS: Final = 1.0
# A worker that dies this often without an item in hand cannot be helped by another one.
_IDLE_DEATHS: Final = 3
_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"


@checked
def run_local(
    job: Job,
    items: Items,
    settings: Settings,
    *,
    workers: int = 0,
    devices: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Progress:
    """Score a manifest on this machine.

    Args:
        job: What to do.
        items: Begins the manifest anew at each call; travels to the workers.
        settings: How to run.
        workers: Processes that each hold a scorer; 0 scores in this process.
        devices: Numbers of GPUs, one for each worker in turn; empty leaves the choice to the job.
        on_progress: Called once in a while, and at the end.

    Returns:
        Where the run stands at its end. SIGTERM and Ctrl-C end it early and cleanly.

    Raises:
        OutputError: The results cannot be written. What is done stays done.
        LongLlavaError: The scorer cannot be built.
    """
    with stop_on_request() as stop:
        if workers:
            return _Supervisor(job, items, settings, devices, stop, on_progress).run(workers)
        with open_store(job, settings) as store, LocalCrew(job, settings) as crew:
            return work(job, items, store, crew, settings, stop, on_progress)


def open_store(job: Job, settings: Settings) -> ResultStore:
    """Open the results of a job for one worker.

    Raises:
        OutputError: They cannot be written.
    """
    return ResultStore(
        settings.output,
        job.spec,
        shard=settings.shard,
        ledger=settings.ledger,
        part_rows=settings.part_rows,
    )


@dataclass
class _Watched:
    """A worker process, and since when it holds what it holds."""

    process: Any
    pipe: Connection
    device: str
    name: str = ""
    holds: frozenset[str] = frozenset()
    since: float = field(default_factory=time.monotonic)
    had_items: bool = False


class _Supervisor:
    def __init__(
        self,
        job: Job,
        items: Items,
        settings: Settings,
        devices: Sequence[str],
        stop: threading.Event,
        on_progress: OnProgress | None,
    ) -> None:
        self._job, self._items, self._settings = job, items, settings
        self._devices, self._stop, self._on_progress = devices, stop, on_progress
        self._watched: list[_Watched] = []
        self._error: LongLlavaError | None = None
        self._idle_deaths = 0

    def run(self, workers: int) -> Progress:
        """Start workers and see to them until all have ended."""
        total = sum(1 for item in self._items() if self._settings.shard.holds(item.item_id))
        with open_store(self._job, self._settings) as store:
            before = Progress(store.ledger.counts(), total, 0, 0.0).finished
            began = told = time.monotonic()
            for number in range(workers):
                self._start(self._devices[number % len(self._devices)] if self._devices else "")
            try:
                while self._watched:
                    self._look(store)
                    if time.monotonic() - told >= _TELL_SECONDS:
                        told = time.monotonic()
                        self._tell(store, total, before, told - began)
            finally:
                for each in self._watched:
                    each.process.kill()
                    each.process.join()
            if self._error is not None:
                raise self._error
            return self._tell(store, total, before, time.monotonic() - began)

    def _tell(self, store: ResultStore, total: int, before: int, seconds: float) -> Progress:
        counts = store.ledger.counts()
        finished = Progress(counts, total, 0, seconds).finished
        progress = Progress(counts, total, finished - before, seconds)
        if self._on_progress is not None:
            self._on_progress(progress)
        return progress

    def _start(self, device: str) -> None:
        ours, theirs = _SPAWN.Pipe(duplex=False)
        arguments = (theirs, self._job, self._items, self._settings, device)
        process = _SPAWN.Process(target=_serve, args=arguments)
        process.start()
        theirs.close()
        self._watched.append(_Watched(process, ours, device))

    def _look(self, store: ResultStore) -> None:
        """Wait a moment, then see to each worker once."""
        wait([each.process.sentinel for each in self._watched], timeout=_LOOK_SECONDS)
        leases = store.ledger.leases()
        for each in list(self._watched):
            self._hear(each)
            holds = frozenset(print_ for print_, worker in leases if worker == each.name)
            if holds != each.holds:
                each.holds, each.since = holds, time.monotonic()
            each.had_items |= bool(holds)
            if not each.process.is_alive():
                self._bury(each)
            elif self._is_beyond_limits(each):
                each.process.kill()
            elif self._stop.is_set() or self._error is not None:
                os.kill(each.process.pid, signal.SIGTERM)

    def _hear(self, each: _Watched) -> None:
        """Take what a worker says: its name, or the error that ends the run."""
        try:
            while each.pipe.poll():
                said = each.pipe.recv()
                if isinstance(said, str):
                    each.name = said
                else:
                    self._error = self._error or said
        except (EOFError, OSError):
            return

    def _bury(self, each: _Watched) -> None:
        """Let an ended worker go, and replace it where it did not end by itself."""
        each.process.join()
        self._hear(each)
        each.pipe.close()
        self._watched.remove(each)
        if each.process.exitcode == 0 or self._stop.is_set() or self._error is not None:
            return
        self._idle_deaths = 0 if each.had_items else self._idle_deaths + 1
        if self._idle_deaths >= _IDLE_DEATHS:
            self._error = ModelError(
                f"Workers die before they take an item (exit code {each.process.exitcode}).",
                remedy="Run one item without workers to see why; memory is the usual reason.",
                code="archive.workers",
            )
            return
        self._start(each.device)

    def _is_beyond_limits(self, each: _Watched) -> bool:
        if not each.holds:
            return False
        # Twice: to prepare and to score may take as long each, and decoders are timed by the worker.
        most_seconds = 2 * self._settings.item_seconds * self._settings.batch_items
        if time.monotonic() - each.since > most_seconds:
            return True
        most = self._settings.memory_bytes
        return most is not None and _resident_bytes(each.process.pid) > most


def _resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _serve(pipe: Connection, job: Job, items: Items, settings: Settings, device: str) -> None:
    """Be a worker: say the name, work, and say what went wrong."""
    if device:
        os.environ[_VISIBLE] = device  # read when the first CUDA call is made
    end_with_parent()
    with stop_on_request() as stop:
        try:
            with open_store(job, settings) as store, LocalCrew(job, settings) as crew:
                pipe.send(store.worker)
                work(job, items, store, crew, settings, stop)
        except LongLlavaError as error:
            pipe.send(error)
