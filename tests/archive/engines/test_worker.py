"""The worker's loop in one process: outcomes, reruns, attempts, and stopping."""

import os
import signal
from pathlib import Path
from typing import Any, Never

import archive_stub as stub
import pytest

from longllava_domains.archive.engines.local import open_store, run_local
from longllava_domains.archive.engines.settings import Settings
from longllava_domains.archive.fingerprint import ScoringSpec
from longllava_domains.archive.item import Shard
from longllava_domains.archive.scorer import Job
from longllava_domains.errors import CheckpointError, OutputError, PolicyError


def test_every_item_ends_as_done_refused_or_failed(tmp_path: Path) -> None:
    items = stub.Items(10, ((1, "raise"),))
    progress = run_local(stub.job(), items, Settings(tmp_path))
    assert progress.counts == {"done": 8, "refused": 1, "failed": 1, "leased": 0}
    outcomes = stub.outcomes(tmp_path)
    assert outcomes[stub.item(1).item_id] == ("failed", "failed.ZeroDivisionError")
    assert outcomes[stub.item(3).item_id] == ("refused", "stub.cut")
    assert outcomes[stub.item(0).item_id] == ("done", "")


def test_a_rerun_scores_only_what_is_missing(tmp_path: Path) -> None:
    stub.run(tmp_path, 10)
    before = stub.rows(tmp_path)
    scored = []

    class Counting(stub.StubScorer):
        def score(self, item, prepared) -> Any:
            scored.append(item.item_id)
            return super().score(item, prepared)

    job = Job(stub.SPEC, stub.prepare, lambda: Counting(0.0))
    progress = run_local(job, stub.Items(12), Settings(tmp_path))
    assert scored == [stub.item(11).item_id]  # 10 is refused
    assert progress.finished == 12
    assert progress.finished_here == 2
    ids = {row["item_id"] for row in before}
    assert [row for row in stub.rows(tmp_path) if row["item_id"] in ids] == before


def test_a_changed_prompt_gives_results_of_its_own(tmp_path: Path) -> None:
    stub.run(tmp_path, 5)
    other = ScoringSpec("stub", "stub", prompt_sha256="1" * 64)
    job = Job(other, stub.prepare, stub.job().build)
    run_local(job, stub.Items(5), Settings(tmp_path))
    assert len(stub.rows(tmp_path)) == len(stub.rows(tmp_path, other.key)) == 5
    prints = {row["fingerprint"] for row in stub.rows(tmp_path)}
    assert prints.isdisjoint(row["fingerprint"] for row in stub.rows(tmp_path, other.key))


def test_an_item_that_raises_is_tried_again_before_it_has_failed(tmp_path: Path) -> None:
    tries = []

    def sometimes(item) -> Any:
        tries.append(item.item_id)
        if len(tries) == 1:
            raise ConnectionError
        return stub.prepare(item)

    progress = run_local(
        Job(stub.SPEC, sometimes, stub.job().build), stub.Items(3), Settings(tmp_path)
    )
    assert progress.counts["done"] == 3
    assert tries == [stub.item(n).item_id for n in (0, 1, 2, 0)]


def test_shards_part_the_items_between_them(tmp_path: Path) -> None:
    seen = []
    for index in (1, 2, 3):
        progress = run_local(stub.job(), stub.Items(40), Settings(tmp_path, shard=Shard(index, 3)))
        seen.append(progress.finished)
    assert sum(seen) == 40
    assert min(seen) > 0
    assert len(stub.outcomes(tmp_path)) == 40


def test_there_is_no_shard_beyond_the_last(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no share 4 of 3"):
        Settings(tmp_path, shard=Shard(4, 3))


def test_sigterm_finishes_the_current_item_and_gives_the_rest_back(tmp_path: Path) -> None:
    class Terminated(stub.StubScorer):
        def score(self, item, prepared) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().score(item, prepared)

    job = Job(stub.SPEC, stub.prepare, lambda: Terminated(0.0))
    handler = signal.getsignal(signal.SIGTERM)
    progress = run_local(job, stub.Items(20), Settings(tmp_path))
    assert progress.counts == {"done": 1, "leased": 0}
    assert len(stub.rows(tmp_path)) == 1
    assert signal.getsignal(signal.SIGTERM) is handler
    assert stub.run(tmp_path, 20).finished == 20


def test_a_scorer_that_cannot_be_built_ends_the_run_and_marks_no_item(tmp_path: Path) -> None:
    def build() -> Never:
        raise CheckpointError("No weights.", remedy="Give a model.", code="stub.weights")

    with pytest.raises(CheckpointError):
        run_local(Job(stub.SPEC, stub.prepare, build), stub.Items(5), Settings(tmp_path))
    with open_store(stub.job(), Settings(tmp_path)) as store:
        assert store.ledger.counts() == {"leased": 0}
        assert not store.ledger.open_attempts()


def test_an_output_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    def full(item) -> Never:
        raise OutputError("The disk is full.", remedy="Make room.", code="archive.disk_full")

    with pytest.raises(OutputError):
        run_local(Job(stub.SPEC, full, stub.job().build), stub.Items(5), Settings(tmp_path))
    assert stub.rows(tmp_path) == []


def test_progress_counts_what_earlier_runs_did_but_rates_only_this_one(tmp_path: Path) -> None:
    stub.run(tmp_path, 10)
    told = []
    run_local(stub.job(), stub.Items(15), Settings(tmp_path), on_progress=told.append)
    assert told[-1].finished == 15
    assert told[-1].finished_here == 5
    assert told[-1].seconds_left == 0
    assert str(told[-1]).startswith("15 of 15 items (13 done, 2 refused, 0 failed)")
