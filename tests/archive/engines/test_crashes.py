"""A run that is killed at any instant and resumed ends like one that nothing disturbed."""

import os
import signal
from pathlib import Path

import archive_crashes as crashes
import archive_stub as stub
import pytest

from longllava_domains.archive.engines.local import open_store, run_local
from longllava_domains.archive.engines.settings import Settings

COUNT = 200


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    rows = crashes.undisturbed(tmp_path_factory.mktemp("undisturbed"), COUNT)
    assert len(rows) == COUNT
    return rows


def test_killed_at_every_instant_between_a_parts_first_byte_and_its_ledger_row(
    tmp_path: Path, expected: list[dict[str, object]]
) -> None:
    steps = crashes.kill_at_every_step(tmp_path, COUNT, part_rows=2, most=COUNT // 2)
    assert steps > 20  # open, half-written bytes, syncs, rename, and each statement
    assert stub.rows(tmp_path) == expected


def test_killed_at_twenty_random_instants(
    tmp_path: Path, expected: list[dict[str, object]]
) -> None:
    assert crashes.kill_at_random(tmp_path, COUNT, part_rows=7, kills=20, seed=18) == 20
    assert stub.rows(tmp_path) == expected


def test_two_processes_at_once_one_of_them_killed(
    tmp_path: Path, expected: list[dict[str, object]]
) -> None:
    first = crashes.start(tmp_path, stub.Items(COUNT), part_rows=5)
    second = crashes.start(tmp_path, stub.Items(COUNT), part_rows=5)
    first.join(0.3)
    first.kill()
    first.join()
    second.join(20)
    assert second.exitcode == 0
    stub.run(tmp_path, COUNT)
    assert stub.rows(tmp_path) == expected


def test_a_process_that_pauses_keeps_its_item(tmp_path: Path) -> None:
    items = stub.Items(COUNT, ((20, "pause"),))
    paused = crashes.start(tmp_path, items, part_rows=5)
    try:
        crashes.wait_until_paused(paused)
        progress = run_local(stub.job(), items, Settings(tmp_path))
        assert progress.counts["leased"] == 1
        assert progress.finished == COUNT - 1
        os.kill(paused.pid, signal.SIGCONT)
        paused.join(20)
        assert paused.exitcode == 0
    finally:
        paused.kill()
    assert len(stub.outcomes(tmp_path)) == COUNT
    with open_store(stub.job(), Settings(tmp_path)) as store:
        assert "row.twice" not in store.codes
