"""Layers that recompute in chunks have the gradients of layers that do not."""

import pytest
import torch
from live_memory import LiveMemory
from training_rows import network_of, samples

from longllava_domains.adapters.data.batch import pack
from longllava_domains.adapters.training.loss import prepare_loss, summed_loss
from longllava_domains.model.layers.recompute import recompute_in_chunks


def gradients(tokens: int, dtype: torch.dtype, *, whole_layers: bool) -> dict[str, torch.Tensor]:
    network = network_of(dtype)
    recompute_in_chunks(network, tokens)
    if whole_layers:
        network.activation_checkpointing_enable(
            activation_checkpointing_kwargs={"use_reentrant": False}
        )
    summed_loss(network, prepare_loss(network), pack(samples(network, dtype))).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("tokens", [1, 16, 50])
def test_chunks_have_the_gradients_of_the_whole_row(tokens: int) -> None:
    expected = gradients(0, torch.float64, whole_layers=False)
    found = gradients(tokens, torch.float64, whole_layers=True)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= 1e-11 * max(float(gradient.norm()), 1e-8), name


def test_a_long_row_needs_the_memory_of_a_chunk() -> None:
    network = network_of(torch.float32)
    network.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": False}
    )
    head = prepare_loss(network)
    ids = torch.randint(20, 200, (1, 1200), generator=torch.Generator().manual_seed(0))
    row = {"input_ids": ids, "labels": torch.where(torch.arange(1200) < 1190, -100, ids)}
    most = {}
    for tokens in (0, 64):
        recompute_in_chunks(network, tokens)
        network.zero_grad(set_to_none=True)
        with LiveMemory(network) as memory:
            summed_loss(network, head, row).backward()
        most[tokens] = memory.peak
    assert most[64] < 0.4 * most[0]
