"""Items are prepared ahead in order, within a budget, and a bad one costs only itself."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import archive_stub as stub
import pytest

from longllava_domains.archive.engines.decoders import Decoders
from longllava_domains.errors import OutputError


@contextmanager
def closing(decoders: Decoders) -> Iterator[Decoders]:
    try:
        yield decoders
    finally:
        decoders.end()


def test_items_come_out_in_the_order_in_which_they_went_in() -> None:
    items = [stub.item(n) for n in range(6)]
    out = []
    with closing(Decoders(stub.prepare, 2, 1000, 30)) as decoders:
        while len(out) < len(items):
            while len(out) + len(decoders) < 6 and decoders.has_room_for(items[0]):
                decoders.submit(items[len(out) + len(decoders)])
            ready = decoders.next()
            assert ready.content == ready.item.item_id[::-1]
            out.append(ready.item)
    assert out == items


def test_decoded_bytes_ahead_stay_within_the_budget_but_one_item_always_comes_in() -> None:
    huge = stub.item(0, decoded_bytes=5000)
    small = stub.item(1, decoded_bytes=10)
    with closing(Decoders(stub.prepare, 2, 1000, 30)) as decoders:
        assert decoders.has_room_for(huge)
        decoders.submit(huge)
        assert not decoders.has_room_for(small)
        decoders.next()
        assert decoders.has_room_for(small)


@pytest.mark.parametrize(("how", "seconds"), [("kill in decoder", 30.0), ("hang in decoder", 1.5)])
def test_an_item_that_kills_or_holds_its_decoder_is_named_and_the_next_one_is_served(
    how: str, seconds: float
) -> None:
    begin = time.monotonic()
    with closing(Decoders(stub.prepare, 1, 1000, seconds)) as decoders:
        decoders.submit(stub.item(0, how))
        assert decoders.next().killed
        decoders.submit(stub.item(1))
        ready = decoders.next()
    assert ready.content == stub.item(1).item_id[::-1]
    assert time.monotonic() - begin < 30


def test_refusals_come_out_as_outcomes() -> None:
    with closing(Decoders(stub.prepare, 1, 1000, 30)) as decoders:
        decoders.submit(stub.item(0, "refuse"))
        outcome = decoders.next().outcome
    assert outcome is not None
    assert (outcome.status, outcome.code) == ("refused", "stub.cut")


def test_an_output_that_cannot_be_written_is_an_error_not_an_outcome() -> None:
    with closing(Decoders(stub.cannot_write, 1, 1000, 30)) as decoders:
        decoders.submit(stub.item(0))
        with pytest.raises(OutputError):
            decoders.next()


def test_the_next_item_is_prepared_while_the_last_one_is_scored() -> None:
    with closing(Decoders(partial(stub.prepare, seconds=0.3), 1, 1000, 30)) as decoders:
        for number in range(2):
            assert decoders.has_room_for(stub.item(number))
            decoders.submit(stub.item(number))
        assert not decoders.has_room_for(stub.item(2))
        decoders.next()
        time.sleep(0.6)  # the scorer's time
        begin = time.monotonic()
        decoders.next()
        assert time.monotonic() - begin < 0.3
