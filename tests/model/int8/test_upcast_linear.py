"""bfloat16 layers on processors without bfloat16 instructions: the same layer, better products."""

import pytest
import torch
from tiny_jamba import tiny_jamba
from torch import nn

from longllava_domains.model.int8 import upcast_linear
from longllava_domains.model.int8.upcast_linear import UpcastLinear, upcast_products
from longllava_domains.model.kernels import int8_matmul
from longllava_domains.model.layers import experts as layers
from longllava_domains.model.layers.carried_state import use_exact_state


@pytest.fixture(autouse=True)
def processor_without_bfloat16(monkeypatch) -> None:
    def in_float32(device: str, dtype: torch.dtype) -> torch.dtype:
        return torch.float32 if dtype == torch.bfloat16 else dtype

    monkeypatch.setattr(int8_matmul, "compute_dtype", in_float32)
    monkeypatch.setattr(upcast_linear, "compute_dtype", in_float32)


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(48, 96), nn.Linear(96, 20, bias=False)).bfloat16()


@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 40])
def test_products_are_at_least_as_precise_as_before(rows: int) -> None:
    network = two_layers()
    x = torch.randn(3, rows, 48).bfloat16()
    plain = network(x).double()
    exact = network.double()(x.double())
    network.bfloat16()
    upcast_products(network)
    found = network(x)
    assert found.dtype == torch.bfloat16
    assert found.shape == (3, rows, 20)
    assert (found - exact).abs().max() <= 1.5 * (plain - exact).abs().max()


def test_only_classes_change() -> None:
    network = two_layers()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    upcast_products(network)
    assert [type(layer) for layer in network] == [UpcastLinear, UpcastLinear]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_float32_layers_and_time_steps_are_left_alone() -> None:
    network = nn.ModuleDict({"dt_proj": nn.Linear(4, 4).bfloat16(), "other": nn.Linear(4, 4)})
    upcast_products(network)
    assert [type(layer) for layer in network.values()] == [nn.Linear, nn.Linear]


def test_gradients_flow_as_before() -> None:
    network = two_layers()
    upcast_products(network)
    network(torch.randn(60, 48).bfloat16()).float().sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@torch.no_grad()
@pytest.mark.parametrize("tokens", [5, 300])
def test_experts_are_widened_as_linear_layers_are(monkeypatch, tokens: int) -> None:
    network = tiny_jamba()
    use_exact_state(network)
    experts = network.model.layers[1].feed_forward.experts
    x = torch.randn(tokens, 32).bfloat16()
    chosen = torch.stack([torch.randperm(4)[:2] for _ in range(tokens)])
    weights = torch.rand(tokens, 2)
    exact = experts.double()(x.double(), chosen, weights.double())
    experts.bfloat16()
    plain = experts(x, chosen, weights.bfloat16())  # this processor's own products
    used = []
    honest = layers.blocked_experts
    monkeypatch.setattr(layers, "compute_dtype", int8_matmul.compute_dtype)
    monkeypatch.setattr(layers, "blocked_experts", lambda *a: used.append(1) or honest(*a))
    found = experts(x, chosen, weights.bfloat16())
    assert used == [1]
    assert found.dtype == torch.bfloat16
    assert (found - exact).abs().max() <= 1.5 * (plain - exact).abs().max()
