"""Numbers in 8 bits: what rounding may cost, and products that equal the dequantised ones."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_network import small_network

from longllava_domains.errors import QuantizationError
from longllava_domains.model.int8.linear import Int8Linear
from longllava_domains.model.int8.quantize import quantize_network
from longllava_domains.model.kernels import int8_matmul
from longllava_domains.model.kernels.int8_matmul import int8_linear, quantize_rows


@given(
    rows=st.integers(1, 9),
    columns=st.sampled_from([1, 7, 64, 1100]),
    seed=st.integers(0, 2**31),
    size=st.sampled_from([1e-6, 1.0, 300.0]),
)
@settings(deadline=None, max_examples=40)
def test_a_weight_comes_back_within_half_a_step(rows, columns, seed, size) -> None:
    weight = size * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    codes, scale = quantize_rows(weight)
    back = codes.float() * scale[:, None]
    assert codes.dtype == torch.int8
    assert codes.abs().max() <= 127
    assert ((back - weight).abs() <= scale[:, None] / 2 * 1.0001).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_scales_stay_in_float32_whatever_a_network_is_moved_to(dtype) -> None:
    network = small_network(64, 4, "float32")
    quantize_network(network, "int8+lm_head")
    before = {name: held.clone() for name, held in network.named_buffers() if "_scale" in name}
    assert len(before) > 20
    for move in (lambda n: n.to(dtype), lambda n: n.half(), lambda n: n.bfloat16()):
        moved = move(copy.deepcopy(network))
        assert moved.model.language_model.embed_tokens.weight.dtype != torch.float32
        for name, held in moved.named_buffers():
            if "_scale" in name:
                torch.testing.assert_close(held, before[name], rtol=0, atol=0)
    emptied = copy.deepcopy(network).to("meta").bfloat16()
    assert {b.dtype for n, b in emptied.named_buffers() if "_scale" in n} == {torch.float32}


def test_zeros_stay_zero_and_fused_weights_keep_their_shape(monkeypatch) -> None:
    monkeypatch.setattr(int8_matmul, "_QUANTISED_AT_ONCE", 40)  # several blocks
    weight = torch.randn(3, 5, 8)
    weight[1, 2] = 0
    codes, scale = quantize_rows(weight)
    assert codes.shape == (3, 5, 8)
    assert scale.shape == (3, 5)
    assert not codes[1, 2].any()
    assert scale[1, 2] == 1
    whole, whole_scale = quantize_rows(weight[0])
    assert torch.equal(codes[0], whole)
    assert torch.equal(scale[0], whole_scale)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused(bad: float) -> None:
    weight = torch.randn(4, 16)
    weight[2, 3] = bad
    with pytest.raises(QuantizationError) as caught:
        quantize_rows(weight)
    assert caught.value.code == "quantization.not_finite"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, int8_matmul.PACKED_ROWS, int8_matmul.PACKED_ROWS + 1, 60])
def test_products_equal_those_of_the_dequantised_weight(dtype, rows, monkeypatch) -> None:
    monkeypatch.setitem(
        int8_matmul.BLOCK_BYTES, "cpu", 4 * 64 * 10
    )  # blocks of ten rows, and a rest
    x = torch.randn(2, rows, 64).to(dtype)
    linear = torch.nn.Linear(64, 48)
    layer = Int8Linear(linear)
    exact = x.double() @ (layer.weight.double() * layer.weight_scale.double()[:, None]).t()
    exact += linear.bias.detach().double()
    found = layer(x.float()) if dtype == torch.float32 else layer.to(dtype)(x)
    assert found.dtype == dtype
    assert found.shape == (2, rows, 48)
    assert (found.double() - exact).abs().max() < 8 * torch.finfo(dtype).eps * exact.abs().max()


def test_one_row_gives_the_same_alone_and_among_others() -> None:
    """Up to float32 rounding: no activation is quantised, so nothing depends on the company."""
    x = torch.randn(40, 64)
    codes, scale = quantize_rows(torch.randn(32, 64))
    together = int8_linear(x, codes, scale)
    alone = torch.cat([int8_linear(row[None], codes, scale) for row in x])
    assert (together - alone).abs().max() < 1e-4


def test_a_wrong_packed_kernel_is_not_used(monkeypatch) -> None:
    int8_matmul.packed_kernel_works.cache_clear()
    monkeypatch.setattr(
        int8_matmul, "_packed", lambda x, weight, scale: x.new_zeros(len(x), len(weight))
    )
    assert not int8_matmul.packed_kernel_works("cpu", torch.bfloat16)
    int8_matmul.packed_kernel_works.cache_clear()


def test_an_absent_packed_kernel_is_not_used(monkeypatch) -> None:
    def absent(*_) -> Any:
        raise NotImplementedError

    int8_matmul.packed_kernel_works.cache_clear()
    monkeypatch.setattr(int8_matmul, "_packed", absent)
    assert not int8_matmul.packed_kernel_works("cpu", torch.bfloat16)
    int8_matmul.packed_kernel_works.cache_clear()


def test_a_product_reads_no_byte_beyond_its_weights() -> None:
    program = Path(__file__).parents[2] / "builders/int8_guarded.py"
    widths = ["24", "32", "104", "200"]
    ran = subprocess.run(
        [sys.executable, str(program), *widths], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, (ran.stdout, ran.stderr[-500:])
    worst = [float(line) for line in ran.stdout.split()]
    assert len(worst) == len(widths)
    assert max(worst) < 0.02
