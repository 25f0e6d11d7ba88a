"""Worker processes: watched, replaced, and stopped on request."""

import os
import signal
import threading
from pathlib import Path

import archive_stub as stub
import pytest

from longllava_domains.archive.engines.local import run_local
from longllava_domains.archive.engines.settings import Settings
from longllava_domains.archive.scorer import Job
from longllava_domains.errors import CheckpointError


def test_items_that_kill_a_worker_are_set_aside_and_all_others_done(tmp_path: Path) -> None:
    special = (
        (2, "kill"), (8, f"kill once:{tmp_path / 'once'}"), (11, "kill in decoder"),
    )  # fmt: skip
    settings = Settings(tmp_path / "results", decoders=2)
    progress = run_local(stub.job(), stub.Items(20, special), settings, workers=1)
    assert progress.counts == {"done": 15, "refused": 3, "failed": 2, "leased": 0}
    outcomes = stub.outcomes(tmp_path / "results")
    for number in (2, 11):
        assert outcomes[stub.item(number).item_id] == ("failed", "archive.killed")
    assert outcomes[stub.item(8).item_id] == ("done", "")


@pytest.mark.parametrize(("how", "decoders"), [("hang", 0), ("hang in decoder", 1)])
def test_an_item_that_never_ends_is_ended(how: str, decoders: int, tmp_path: Path) -> None:
    settings = Settings(tmp_path, decoders=decoders, item_seconds=2, max_kills=1)
    progress = run_local(stub.job(), stub.Items(6, ((5, how),)), settings, workers=1)
    assert progress.counts["failed"] == 1
    assert progress.finished == 6


def test_two_workers_share_the_items(tmp_path: Path) -> None:
    job = stub.job(score_seconds=0.02)
    progress = run_local(job, stub.Items(40), Settings(tmp_path, decoders=1), workers=2)
    assert progress.finished == 40
    assert len(stub.outcomes(tmp_path)) == 40


def test_a_worker_that_cannot_build_its_scorer_ends_the_run_with_its_error(
    tmp_path: Path,
) -> None:
    job = Job(stub.SPEC, stub.prepare, stub.no_weights)
    with pytest.raises(CheckpointError) as caught:
        run_local(job, stub.Items(5), Settings(tmp_path), workers=1)
    assert caught.value.code == "stub.weights"


def test_sigterm_stops_workers_after_their_current_items(tmp_path: Path) -> None:
    job = stub.job(score_seconds=0.1)
    timer = threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    progress = run_local(job, stub.Items(500), Settings(tmp_path), workers=1)
    timer.join()
    assert progress.counts["leased"] == 0
    assert progress.finished < 500
    assert len(stub.outcomes(tmp_path)) == progress.finished
