"""Items that are scored together: in the manifest's order, and none pays for another."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import archive_stub as stub
import pytest

from longllava_domains.archive.engines.local import run_local
from longllava_domains.archive.engines.ray import run_ray
from longllava_domains.archive.engines.settings import Settings
from longllava_domains.archive.item import Item
from longllava_domains.archive.scorer import Job, Scored
from longllava_domains.errors import PolicyError


def job(tmp_path: Path) -> Job:
    return stub.job_in_batches(tmp_path / "notes")


def batches(tmp_path: Path) -> list[list[int]]:
    lines = (tmp_path / "notes").read_text().splitlines()
    return [[int(number) for number in line.split()] for line in lines]


@pytest.mark.parametrize("decoders", [0, 2])
def test_batches_follow_the_manifest_and_give_the_rows_of_single_items(
    decoders: int, tmp_path: Path
) -> None:
    stub.run(tmp_path / "alone", 14)
    settings = Settings(tmp_path / "together", decoders=decoders, batch_items=4)
    progress = run_local(job(tmp_path), stub.Items(14), settings)
    assert progress.finished_here == 14
    assert stub.rows(tmp_path / "together") == stub.rows(tmp_path / "alone")
    # Every seventh item is refused before it comes to the scorer.
    assert batches(tmp_path) == [[0, 1, 2], [4, 5, 6, 7], [8, 9, 11], [12, 13]]


def test_an_item_that_raises_in_a_batch_fails_alone(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "results", batch_items=4)
    progress = run_local(job(tmp_path), stub.Items(8, ((5, "raise"),)), settings)
    assert progress.counts == {"done": 6, "refused": 1, "failed": 1, "leased": 0}
    assert stub.outcomes(settings.output)[stub.item(5).item_id][1] == "failed.ZeroDivisionError"


def test_an_item_that_kills_its_process_in_a_batch_is_set_aside_alone(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "results", batch_items=4)
    progress = run_local(job(tmp_path), stub.Items(8, ((5, "kill"),)), settings, workers=1)
    assert progress.counts == {"done": 6, "refused": 1, "failed": 1, "leased": 0}
    assert stub.outcomes(settings.output)[stub.item(5).item_id] == ("failed", "archive.killed")


def test_a_run_that_was_stopped_goes_on_in_batches_and_loses_nothing(tmp_path: Path) -> None:
    class Stopping(stub.TogetherScorer):
        def score_many(self, pairs: Sequence[tuple[Item, str]]) -> list[Scored]:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().score_many(pairs)

    settings = Settings(tmp_path / "results", batch_items=4)
    stopping = Job(stub.SPEC, stub.prepare, lambda: Stopping(tmp_path / "notes"))
    first = run_local(stopping, stub.Items(14), settings)
    assert (first.finished_here, first.counts["leased"]) == (4, 0)  # the batch in hand is kept
    run_local(job(tmp_path), stub.Items(14), settings)
    stub.run(tmp_path / "alone", 14)
    assert stub.rows(settings.output) == stub.rows(tmp_path / "alone")
    assert batches(tmp_path)[1] == [4, 5, 6, 7]


def test_batches_are_refused_where_there_are_none(tmp_path: Path) -> None:
    settings = Settings(tmp_path, batch_items=2)
    for run in (run_local, run_ray):
        with pytest.raises(PolicyError) as caught:
            run(stub.job(), stub.Items(4), settings)
        assert caught.value.code == "archive.batch"
    with pytest.raises(PolicyError):
        Settings(tmp_path, batch_items=0)
