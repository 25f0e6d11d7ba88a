"""Weights that do not fit are refused before one of them is read, with what would fit."""

import pytest
import torch

from longllava_domains import load_model
from longllava_domains.errors import MemoryBudgetError
from longllava_domains.model.budget.known_models import shape_of
from longllava_domains.model.checkpoint import load as checkpoint
from longllava_domains.model.devices import load_check


@pytest.fixture
def nothing_is_read(monkeypatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(checkpoint, "_stream", read)


def _free(monkeypatch, available: float) -> None:
    monkeypatch.setattr(load_check, "free_bytes", lambda _: available)


def test_too_little_memory_is_refused_with_the_numbers(monkeypatch, nothing_is_read) -> None:
    _free(monkeypatch, 1e6)
    with pytest.raises(MemoryBudgetError, match="weights take") as refused:
        load_model("demo", device="cpu")
    facts = refused.value.facts
    assert facts["available_bytes"] == 970_000
    assert facts["needed_bytes"] > facts["int8_bytes"] > 970_000
    assert "int8" not in refused.value.remedy


def test_the_setting_that_the_refusal_names_does_load(monkeypatch) -> None:
    loaded = load_model("demo", device="cpu", dtype="float32")
    held = sum(weight.nbytes for weight in loaded.network.parameters())
    _free(monkeypatch, held * 0.9)
    with pytest.raises(MemoryBudgetError) as refused:
        load_model("demo", device="cpu", dtype="float32")
    assert refused.value.facts["needed_bytes"] == pytest.approx(held, rel=0.01)
    assert 'quantization="int8"' in refused.value.remedy
    eight = load_model("demo", device="cpu", dtype="float32", quantization="int8").network
    kept = sum(weight.nbytes for weight in (*eight.parameters(), *eight.buffers()))
    assert kept == pytest.approx(refused.value.facts["int8_bytes"], rel=0.01)


def test_a_network_spread_over_devices_is_left_to_what_spreads_it(monkeypatch) -> None:
    _free(monkeypatch, 0)
    network = checkpoint.empty_network(shape_of("demo"))
    devices = {"model": "cuda:0", "lm_head": "cpu"}
    load_check.require_weights_fit(network, torch.bfloat16, devices)
