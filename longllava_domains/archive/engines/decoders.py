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
    """

    def __init__(
        self,
        prepare: Callable[[Item], Any],
        count: int,
        budget_bytes: int,
        item_seconds: float,
    ) -> None:
        self._prepare = prepare
        self._budget_bytes = budget_bytes
        self._item_seconds = item_seconds
        self._waiting: deque[tuple[Item, _Decoder | None]] = deque()
        self._idle: list[_Decoder | None] = [None] * count
        self._ahead = count

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
        taken = sum(other.decoded_bytes for other, _ in self._waiting)
        return bool(self._idle) and taken + item.decoded_bytes <= self._budget_bytes

    def submit(self, item: Item) -> None:
        """Begin to prepare an item that there is room for."""
        if not self._ahead:
            self._waiting.append((item, None))
            return
        decoder = self._idle.pop() or _Decoder(self._prepare)
        decoder.begin(item)
        self._waiting.append((item, decoder))

    def next(self) -> Prepared:
        """Wait for the oldest item.

        Raises:
            OutputError: Something cannot be written; the run has to stop.
        """
        item, decoder = self._waiting.popleft()
        if decoder is None:
            return prepare_inline(self._prepare, item)
        result = decoder.result(self._item_seconds)
        if result is None:
            decoder.end()
            self._idle.append(None)
            return Prepared(item, killed=True)
        self._idle.append(decoder)
        if isinstance(result, OutputError):
            raise result
        return result

    def drain(self) -> None:
        """Give up what waits."""
        for _, decoder in self._waiting:
            if decoder is not None:
                decoder.end()
                self._idle.append(None)
        self._waiting.clear()


class _Decoder:
    """One process and the pipe to it."""

    def __init__(self, prepare: Callable[[Item], Any]) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, prepare), daemon=True)
        self._process.start()
        theirs.close()
        self._began = 0.0

    def begin(self, item: Item) -> None:
        self._began = time.monotonic()
        try:
            self._pipe.send(item)
        except OSError:  # it has died meanwhile; `result` sees that
            return

    def result(self, most_seconds: float) -> Prepared | OutputError | None:
        """Return what came of the item, None where the process died or took too long."""
        left = self._began + most_seconds - time.monotonic()
        if not wait([self._pipe, self._process.sentinel], timeout=max(0.0, left)):
            return None
        try:
            result: Prepared | OutputError = self._pipe.recv()
        except (EOFError, OSError):
            return None
        return result

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, prepare: Callable[[Item], Any]) -> None:
    """Prepare what comes through the pipe until it closes."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the worker decides
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
