"""Held-out rows that cannot be read are counted, and nothing is measured on none."""

from types import SimpleNamespace
from typing import Any

import pytest

from longllava_domains.adapters.training import card, held_out
from longllava_domains.errors import DamagedInputError


def test_rows_that_cannot_be_read_are_told_and_give_no_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loss of 0 over no row would look like a perfect model."""

    def refuse(*_: Any) -> None:
        raise DamagedInputError("A picture is damaged.", remedy="Copy it again.", code="x.damaged")

    monkeypatch.setattr(held_out, "_samples", lambda _: iter(("one", "two")))
    monkeypatch.setattr(held_out, "_loaded", refuse)
    network: Any = SimpleNamespace(training=False, eval=lambda: None, train=lambda _: None)
    data: Any = SimpleNamespace(name="VQA-RAD")
    nothing: Any = None
    measured = held_out.HeldOutRows(network, nothing, nothing, [data]).measure()
    assert measured == [held_out.Measured("VQA-RAD", "", 0, {}, unread=2)]
    told = "\n".join(card._quality_lines(measured))
    assert "0 rows" in told
    assert "2 further rows could not be read" in told
