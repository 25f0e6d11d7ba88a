"""A packed row trains exactly as its samples do one by one, images included."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from training_rows import network_of, samples

from longllava_domains.adapters.data.batch import Batch, pack, without_learning
from longllava_domains.adapters.recipes.lora_settings import LoraSettings
from longllava_domains.adapters.training import loss
from longllava_domains.adapters.training.lora import attach_lora
from longllava_domains.adapters.training.loss import learned_tokens, prepare_loss, summed_loss
from longllava_domains.model import LongLlavaForConditionalGeneration
from longllava_domains.prompt.training import IGNORED


def gradients(
    network: LongLlavaForConditionalGeneration, rows: list[Batch]
) -> tuple[float, dict[str, Tensor]]:
    """The token-weighted loss of all rows, and every parameter's gradient."""
    network.zero_grad(set_to_none=True)
    head = prepare_loss(network)
    learned = sum(map(learned_tokens, rows))
    total = 0.0
    for row in rows:
        part = summed_loss(network, head, row) / learned
        part.backward()
        total += float(part.detach())
    return total, {
        name: parameter.grad.clone()
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 5e-6), (torch.float64, 1e-11)])
@pytest.mark.parametrize("seed", [0, 1])
def test_packed_gradients_equal_unpacked_ones(dtype: torch.dtype, limit: float, seed: int) -> None:
    network = network_of(dtype, seed)
    every = samples(network, dtype)
    alone_loss, alone = gradients(network, [pack([sample]) for sample in every])
    packed_loss, packed = gradients(network, [pack(every[:3]), pack(every[3:])])
    assert packed_loss == pytest.approx(alone_loss, rel=limit)
    assert packed.keys() == alone.keys()
    for part in (".experts.", ".router.", "multi_modal_projector", "vision_tower", ".mamba."):
        assert any(part in name for name in alone)
    whole = torch.stack([gradient.norm() for gradient in alone.values()]).norm()
    for name, expected in alone.items():
        scale = max(expected.norm(), 1e-4 * whole)
        assert (packed[name] - expected).norm() <= limit * scale, name


def test_the_paper_s_packing_is_not_isolated() -> None:
    network = network_of(torch.float64)
    every = samples(network, torch.float64)
    apart, _ = gradients(network, [pack(every)])
    together, _ = gradients(network, [pack(every, isolated=False)])
    assert abs(apart - together) > 1e-6


def test_the_loss_is_that_of_the_whole_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "LOSS_POSITIONS", 4)
    network = network_of(torch.float64)
    row = pack(samples(network, torch.float64))
    head = prepare_loss(network)
    inputs = {name: value for name, value in row.items() if name != "labels"}
    logits = network(**inputs).logits
    expected = functional.cross_entropy(
        logits[0, :-1], row["labels"][0, 1:], ignore_index=IGNORED, reduction="sum"
    )
    torch.testing.assert_close(summed_loss(network, head, row), expected, rtol=1e-12, atol=0)
    assert learned_tokens(row) == int((row["labels"] != IGNORED).sum())


def test_a_row_of_which_nothing_is_learned_has_zero_gradients() -> None:
    network = network_of(torch.float32)
    row = without_learning(pack(samples(network, torch.float32)))
    summed = summed_loss(network, prepare_loss(network), row)
    summed.backward()
    assert float(summed.detach()) == 0.0
    assert not any(p.grad.any() for p in network.parameters() if p.grad is not None)


def test_a_head_that_an_adapter_trains_computes_the_loss_and_learns() -> None:
    network = network_of(torch.float64)
    row = pack(samples(network, torch.float64))
    expected = float(summed_loss(network, prepare_loss(network), row).detach())
    adapted, _ = attach_lora(network, LoraSettings(4, 8, targets=("attention",), head=True))
    summed = summed_loss(adapted, prepare_loss(network), row)
    assert float(summed.detach()) == pytest.approx(expected, rel=1e-9)
    summed.backward()
    learned = {name for name, p in adapted.named_parameters() if p.grad is not None}
    assert any("lm_head.modules_to_save" in name for name in learned)
    assert not any("lm_head.original_module" in name for name in learned)
