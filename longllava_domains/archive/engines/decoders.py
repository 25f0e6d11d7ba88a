"""Prepare items ahead of the model, in processes of their own, within a budget of bytes.

Each process holds one item at a time, so a codec that crashes or never ends costs its own item and
nothing else. Items come out in the order in which they went in.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from longllava_domains.archive.item import Item
from longllava_domains.archive.outcome import Outcome, outcome_of
from longllava_domains.errors import OutputError

_SPAWN: Final = multiprocessing.get_context("spawn")  # a fork would copy the model's threads


@dataclass(frozen=True)
class Prepared:
    """An item that is ready, or why it is not.

    Attributes:
        item: The item.
        content: What `prepare` returned.
        outcome: Why there is no content.
        killed: The process did not outlive the item, or had to be ended.
        seconds: Time to prepare.
    """

    item: Item
    content: Any = None
    outcome: Outcome | None = None
    killed: bool = False
    seconds: float = 0.0


def prepare_inline(prepare: Callable[[Item], Any], item: Item) -> Prepared:
    """Prepare an item in this process.

    Raises:
        OutputError: Something cannot be written; the run has to stop.
    """
    start = time.perf_counter()
    try:
        content = prepare(item)
    except Exception as error:
        return Prepared(item, outcome=outcome_of(error), seconds=time.perf_counter() - start)
    return Prepared(item, content, seconds=time.perf_counter() - start)


class Decoders:
    """Processes that prepare items.

    Args:
        prepare: The job's function.
        count: Processes; 0 prepares when an item is asked for.
        budget_bytes: Decoded bytes in flight and waiting; one item is always let in.
        item_seconds: Longest time for one item.
        together: Items that are taken out at once.
    """

    def __init__(
        self,
        prepare: Callable[[Item], Any],
        count: int,
        budget_bytes: int,
        item_seconds: float,
        together: int = 1,
    ) -> None:
        self._prepare = prepare
        self._together = together
        self._budget_bytes = budget_bytes
        self._item_seconds = item_seconds
        self._waiting: deque[_Place] = deque()
        self._idle: list[_Decoder | None] = [None] * count
        self._count = count

    def end(self) -> None:
        """End all processes."""
        self.drain()
        for decoder in self._idle:
            if decoder is not None:
                decoder.end()

    def __len__(self) -> int:
        return len(self._waiting)

    def has_room_for(self, item: Item) -> bool:
        """Return whether an item may come in now."""
        if not self._waiting:
            return True
        taken = sum(place.item.decoded_bytes for place in self._waiting)
        # As many more than are taken out at once as there are processes: those begin when the
        # oldest ones leave to be scored.
        few = len(self._waiting) < self._count + self._together
        return few and taken + item.decoded_bytes <= self._budget_bytes

    def submit(self, item: Item) -> None:
        """Take in an item that fits in the memory kept for it."""
        self._waiting.append(_Place(item))
        self._begin_next()

    def _begin_next(self) -> None:
        """Give the oldest item that waits for a process to an idle one."""
        unbegun = next((place for place in self._waiting if place.decoder is None), None)
        if unbegun is not None and self._idle:
            unbegun.decoder = self._idle.pop() or _Decoder(self._prepare)
            unbegun.decoder.begin(unbegun.item)

    def next(self) -> Prepared:
        """Wait for the oldest item.

        Raises:
            OutputError: Something cannot be written; the run has to stop.
        """
        place = self._waiting.popleft()
        if place.decoder is None:
            return prepare_inline(self._prepare, place.item)
        result = place.decoder.result(self._item_seconds)
        if result is None:
            place.decoder.end()
            result = Prepared(place.item, killed=True)
            self._idle.append(None)
        else:
            self._idle.append(place.decoder)
        if isinstance(result, OutputError):
            raise result
        self._begin_next()
        return result

    def drain(self) -> None:
        """Give up what waits."""
        for place in self._waiting:
            if place.decoder is not None:
                place.decoder.end()
                self._idle.append(None)
        self._waiting.clear()


@dataclass
class _Place:
    """An item, and the process that prepares it, once there is one."""

    item: Item
    decoder: "_Decoder | None" = None


class _Decoder:
    """One process and the pipe to it."""

    def __init__(self, prepare: Callable[[Item], Any]) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, prepare), daemon=True)
        self._process.start()
        theirs.close()
        self._is_ready = False
        self._began = 0.0

    def begin(self, item: Item) -> None:
        """Send the item to the process; the time starts now."""
        self._began = time.monotonic()
        try:
            self._pipe.send(item)
        except OSError:  # it has died meanwhile; `result` sees that
            return

    def result(self, most_seconds: float) -> Prepared | OutputError | None:
        """Return what came of the item, None where the process died or took too long."""
        if not self._is_ready:  # the time that the process needs to start is not the item's
            wait([self._pipe, self._process.sentinel])
            if self._received() is None:
                return None
            self._is_ready, self._began = True, time.monotonic()
        left = self._began + most_seconds - time.monotonic()
        if not wait([self._pipe, self._process.sentinel], timeout=max(0.0, left)):
            return None
        result: Prepared | OutputError | None = self._received()
        return result

    def _received(self) -> Any:
        """Return what comes through the pipe, None where the process has died."""
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        """Kill the process and close the pipe."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, prepare: Callable[[Item], Any]) -> None:
    """Prepare what comes through the pipe until it closes."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the worker decides
    pipe.send("ready")
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            result: Prepared | OutputError = prepare_inline(prepare, item)
        except OutputError as error:
            result = error
        pipe.send(result)


def end_with_parent() -> None:
    """End this process when its parent ends, however that happens."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
