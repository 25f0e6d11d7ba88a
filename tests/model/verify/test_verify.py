"""The verification is rehearsed on the CPU: it passes on sound networks and fails on broken ones."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_released
import torch

from longllava_domains.errors import MemoryBudgetError, QuantizationError
from longllava_domains.model import load_checkpoint
from longllava_domains.model.kernels.int8_experts.blocked import blocked_experts
from longllava_domains.model.verify import checks as verify_checks
from longllava_domains.model.verify import verify
from longllava_domains.model.verify.verify import verify_model
from longllava_domains.visual import VisualSequence

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released") / "model"
    tiny_released.write_released(folder, experts=4)
    return folder


@pytest.fixture(autouse=True)
def quick_limits(monkeypatch) -> None:
    from longllava_domains.model.devices.throughput import Rate

    monkeypatch.setattr(verify, "measure_rate", lambda *_: Rate(1e11, 1e10, "given"))


def test_a_released_checkpoint_passes_and_the_result_names_nobody(released: Path) -> None:
    found = verify_model(released, CPU, precision="float32", views=3, answer_tokens=2)
    status = {check.name: check.status for check in found.checks}
    assert status.pop("needle among views") == "skipped"  # it has no tokenizer
    # On a processor in float32 there is nothing else to compare these two with.
    for name in ("one period of layers against CPU float32", "speed and memory against the plan"):
        assert status.pop(name) == "not compared on a processor"
    assert set(status.values()) == {"pass"}, found.to_json()
    assert len(status) == 4
    assert found.passed
    text = json.dumps(found.to_json())
    assert str(released) not in text
    assert released.parent.name not in text
    assert json.loads(text)["kernels"]["scan"]["chosen"] == "blocked"


def test_8_bits_are_verified_too(released: Path) -> None:
    found = verify_model(released, CPU, precision="int8", views=2, answer_tokens=2)
    status = {check.name: check.status for check in found.checks}
    assert status["8 bits against the precision loaded"] == "skipped"
    assert status["one period of layers against CPU float32"] == "pass"
    assert found.passed


def test_the_needle_is_not_asked_of_a_demo_that_learned_no_colours() -> None:
    from longllava_domains.model import load_model

    demo = load_model("demo", device="cpu")
    found = verify_checks.needle(demo, views=3)
    assert found == "the demonstration model has learned no colours"


class Reader:
    """Stands in for a trained model: it sees the last so many views, and names the colour among them."""

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self.network = SimpleNamespace(config=SimpleNamespace(trained=True, demo=False, view_px=4))

    def open(self, sequence: VisualSequence) -> "Reader":
        self.pixels = [view.pixels[0, 0].astype(int) for view in sequence][-self.seen :]
        return self

    def score(self, question: str, choices: list[str]) -> list[SimpleNamespace]:
        marked = [pixel for pixel in self.pixels if np.ptp(pixel) > 0]
        strongest = int(marked[0].argmax()) if marked else 0
        told = ("red", "green", "blue")[strongest]
        return [SimpleNamespace(text=text, mean_logprob=float(text == told)) for text in choices]


@pytest.mark.parametrize(("seen", "status"), [(40, "pass"), (10, "fail")])
def test_the_needle_passes_a_model_that_reads_all_views_and_no_other(
    seen: int, status: str
) -> None:
    assert verify_checks.needle(Reader(seen))[0] == status


def test_a_kernel_that_restarts_its_state_fails(monkeypatch) -> None:
    carried = verify_checks.selective_scan

    def restarted(*args, initial_state, **kwargs) -> Any:
        return carried(*args, initial_state=None, **kwargs)

    assert verify_checks.kernels(CPU)[0] == "pass"
    monkeypatch.setattr(verify_checks, "selective_scan", restarted)
    status, numbers = verify_checks.kernels(CPU)
    assert status == "fail"
    assert numbers["scan_error"] > numbers["limit"]


def test_a_device_with_wrong_experts_does_not_pass(monkeypatch) -> None:
    numbers = verify_checks.kernels(CPU)[1]
    assert numbers["int8_experts_error"] < numbers["int8_experts_limit"]

    def without_router_weights(experts, x, index, weights) -> Any:
        return blocked_experts(experts, x, index, torch.ones_like(weights))

    monkeypatch.setattr(verify_checks, "chosen_experts", lambda *_: without_router_weights)
    status, numbers = verify_checks.kernels(CPU)
    assert status == "fail"
    assert numbers["int8_experts_error"] > numbers["int8_experts_limit"]


@torch.no_grad()
def test_layers_that_compute_something_else_on_the_device_fail(released: Path, monkeypatch) -> None:
    network = load_checkpoint(released, dtype="float32")
    assert verify_checks.layer_period(network, CPU)[0] == "not compared on a processor"
    first = network.model.language_model.layers[0]
    plain = first.forward
    first.forward = lambda hidden, **kwargs: plain(hidden, **kwargs) * 1.01
    monkeypatch.setattr(verify_checks.copy, "deepcopy", lambda layer: _without_patch(layer))
    status, numbers = verify_checks.layer_period(network, CPU)
    assert status == "fail"
    assert numbers["largest_error"] == pytest.approx(0.01, rel=0.1)


def _without_patch(layer) -> Any:
    import types

    layer.__dict__.pop("forward", None)
    return types.SimpleNamespace(to=lambda _: types.SimpleNamespace(float=lambda: layer))


def test_chunks_that_lose_their_state_fail(released: Path, monkeypatch) -> None:
    network = load_checkpoint(released, dtype="float32")
    assert verify_checks.chunks(network)[0] == "pass"
    honest = verify_checks.prefill

    def forgetful(network, cache, ids, views, steps, watch) -> Any:
        return honest(network, cache, ids[-steps.chunk_tokens :], views, steps, watch)

    monkeypatch.setattr(verify_checks, "prefill", forgetful)
    assert verify_checks.chunks(network)[0] == "fail"


def test_rows_that_disturb_each_other_fail(released: Path, monkeypatch) -> None:
    network = load_checkpoint(released, dtype="float32")
    assert verify_checks.batches(network)[0] == "pass"
    honest = verify_checks.decode

    def mixed(network, caches, hidden, **kwargs) -> Any:
        return honest(network, caches, hidden.roll(1, 0) if len(hidden) > 1 else hidden, **kwargs)

    monkeypatch.setattr(verify_checks, "decode", mixed)
    assert verify_checks.batches(network)[0] == "fail"


def test_what_cannot_fit_is_refused_before_it_is_loaded(released: Path, monkeypatch) -> None:
    monkeypatch.setattr("longllava_domains.model.budget.fit.free_bytes", lambda _: 10**6)
    with pytest.raises(MemoryBudgetError):
        verify_model(released, CPU, precision="float32")


def test_an_unknown_precision_is_refused(released: Path) -> None:
    with pytest.raises(QuantizationError):
        verify_model(released, CPU, precision="fp3")
