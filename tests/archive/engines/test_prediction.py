"""A prediction is made from the sample's own times, whatever they are, and records nothing."""

import time

import archive_stub as stub
import pytest

from longllava_domains.archive.engines.prediction import Prediction, in_time, predict
from longllava_domains.archive.item import Item
from longllava_domains.archive.scorer import Job, Scored
from longllava_domains.errors import NotFoundError


class Clock:
    """Time passes only when someone works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def job(clock: Clock, prepare_seconds: float, stages: dict[str, float]) -> Job:
    def prepare(item: Item) -> Item:
        clock.now += prepare_seconds
        return item

    class Timed:
        def score(self, item: Item, prepared: Item) -> Scored:
            clock.now += sum(stages.values())
            return Scored(seconds=stages)

    return Job(stub.SPEC, prepare, Timed)


def test_the_slower_of_preparing_and_scoring_decides(clock: Clock) -> None:
    stages = {"vision": 2.0, "prefill": 5.0, "generation": 1.0}
    found = predict(job(clock, 4.0, stages), stub.Items(900), sample=10, workers=2)
    assert (found.items, found.sampled, found.outcomes) == (900, 10, {"done": 1.0})
    assert found.hours == pytest.approx(900 * 8 / 2 / 3600)
    assert found.items_per_hour == pytest.approx(900)
    assert found.bytes_per_second == pytest.approx(sum(range(900)) / 3600)
    assert found.bottleneck == "prefill"


def test_more_decoders_help_where_preparing_is_slower(clock: Clock) -> None:
    slow = job(clock, 12.0, {"vision": 4.0})
    one, three = (predict(slow, stub.Items(60), decoders=count) for count in (1, 3))
    assert one.bottleneck == "prepare"
    assert one.hours == pytest.approx(60 * 12 / 3600)
    assert three.hours == pytest.approx(60 * 4 / 3600)


def test_policies_that_meet_a_deadline_are_named_the_most_thorough_first(clock: Clock) -> None:
    predictions: dict[str, Prediction] = {
        name: predict(job(clock, 0.0, {"vision": seconds}), stub.Items(3600))
        for name, seconds in (("few", 1.0), ("some", 6.0), ("all", 20.0))
    }
    assert in_time(predictions, 12) == ["some", "few"]
    assert in_time(predictions, 0.5) == []


def test_the_sample_is_spread_over_sizes(clock: Clock) -> None:
    sizes = []

    def prepare(item: Item) -> Item:
        clock.now += 1.0
        sizes.append(item.bytes)
        return item

    base = job(clock, 1.0, {})
    predict(Job(stub.SPEC, prepare, base.build), stub.Items(100), sample=4)
    assert sorted(sizes[1:]) == [12, 37, 62, 87]  # the first one warms up


def test_what_is_paid_once_is_not_counted_also_where_the_first_items_are_refused(
    clock: Clock,
) -> None:
    def prepare(item: Item) -> Item:
        return stub.prepare(item) and item

    class PaysOnce:
        paid = False

        def score(self, item: Item, prepared: Item) -> Scored:
            clock.now += 2.0 if PaysOnce.paid else 1000.0
            PaysOnce.paid = True
            return Scored()

    refused_first = stub.Items(4, ((0, "refuse"), (1, "refuse")))
    found = predict(Job(stub.SPEC, prepare, PaysOnce), refused_first)
    assert found.outcomes == {"refused": 0.75, "done": 0.25}
    assert found.stage_seconds["score"] == pytest.approx(2.0 / 4)


def test_an_empty_manifest_is_refused(clock: Clock) -> None:
    with pytest.raises(NotFoundError):
        predict(job(clock, 1.0, {}), stub.Items(0))
