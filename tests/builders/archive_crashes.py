"""Kill a run at a chosen moment, resume it, and compare what it left with an undisturbed run.

Children are forked from a server that has everything imported, so that a run takes a tenth of a
second. `python archive_crashes.py` is not how this is used: see tests and benchmarks.
"""

import multiprocessing
import os
import random
import signal
import sqlite3
import threading
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest.mock import patch

import archive_stub as stub
import pyarrow as pa

from longllava_domains.archive.engines.local import run_local
from longllava_domains.archive.engines.settings import Settings
from longllava_domains.archive.results import ledger, parts

pa.array([0])  # loads what pyarrow loads at its first array, once for all children

# A kill from outside says nothing about the item: many are allowed before one is set aside.
MANY = 1_000_000
_ITEM_SECONDS = 0.005


def server() -> Any:
    """Return the context whose children start quickly."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "archive_crashes"])
    with patch.dict(os.environ, PYTHONPATH=str(Path(__file__).parent)):
        forkserver.ensure_running()
    return context


class _Steps:
    """Counts steps from a part's first byte to the end of its transaction, and dies at one."""

    def __init__(self, last: int) -> None:
        self._left = last
        self._committed = False
        self._over = False
        self.counting = False

    def begin(self) -> None:
        self.counting = not self._over

    def step(self) -> None:
        if self.counting:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, sql: str) -> None:
        self.step()
        if self._committed:  # this is the first statement after the transaction
            self._over, self.counting = True, False
        self._committed = self.counting and sql == "COMMIT"


class _System:
    """`os`, with a step after each call that touches a part."""

    def __init__(self, steps: _Steps) -> None:
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, *how: Any) -> int:
        if Path(path).name.startswith(f".tmp-{stub.SPEC.key}"):
            self._steps.begin()
        return self._then_step(os.open, path, *how)

    def write(self, handle: int, data: memoryview) -> int:
        return self._then_step(os.write, handle, data[: max(1, len(data) // 2)])

    def fsync(self, handle: int) -> None:
        self._steps.step()  # a kill is no power cut: nothing needs to reach the disk

    def replace(self, source: Path, target: Path) -> None:
        self._then_step(os.replace, source, target)

    def close(self, handle: int) -> None:
        self._then_step(os.close, handle)

    def _then_step(self, call: Any, *arguments: Any) -> Any:
        result = call(*arguments)
        self._steps.step()
        return result


def run_until(output: Path, items: stub.Items, part_rows: int, last_step: int | None) -> None:
    """Run the stub job; die at a step of the first part that is written."""
    steps = _Steps(MANY if last_step is None else last_step)
    parts.os = _System(steps)  # type: ignore[attr-defined]
    if last_step is not None:
        connect = ledger._open

        def traced(path: Path) -> sqlite3.Connection:
            database = connect(path)
            database.set_trace_callback(steps.statement)
            return database

        ledger._open = traced
    settings = Settings(output, part_rows=part_rows, max_kills=MANY)
    run_local(stub.job(score_seconds=_ITEM_SECONDS), items, settings)


def start(output: Path, items: stub.Items, part_rows: int, last_step: int | None = None) -> Any:
    """Start a child that runs, and return it."""
    arguments = (output, items, part_rows, last_step)
    child = server().Process(target=run_until, args=arguments, daemon=True)
    child.start()
    return child


def wait_until_paused(child: Any) -> None:
    """Wait until the system shows a child as stopped (Linux)."""
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        threading.Event().wait(0.01)


def kill_at_every_step(output: Path, count: int, part_rows: int, most: int) -> int:
    """Resume a run again and again, each time killed one step later; return the steps there are.

    Ends at the first step that the first part of a run does not have, with the run complete.
    """
    for last_step in range(most):
        child = start(output, stub.Items(count), part_rows, last_step)
        child.join()
        if child.exitcode == 0:
            return last_step
        stub.outcomes(output)  # never twice, not even before recovery
    raise AssertionError("the items did not last for all steps")


def kill_at_random(output: Path, count: int, part_rows: int, kills: int, seed: int) -> int:
    """Kill a run at random instants, then let it end; return how many kills hit it.

    An item takes so long that no run can end before the last kill.
    """
    moments = random.Random(seed)
    hit = 0
    longest = 0.8 * _ITEM_SECONDS * count / (kills + 1)
    for _ in range(kills):
        child = start(output, stub.Items(count), part_rows)
        threading.Event().wait(moments.uniform(0.01, longest))
        child.kill()
        child.join()
        stub.outcomes(output)
        hit += child.exitcode == -signal.SIGKILL
    child = start(output, stub.Items(count), part_rows)
    child.join(60)
    assert child.exitcode == 0
    return hit


def undisturbed(output: Path, count: int) -> list[dict[str, object]]:
    """Return the rows of a run that nothing disturbs."""
    stub.run(output, count)
    return stub.rows(output)
