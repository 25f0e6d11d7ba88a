"""Products with weights in 8 bits: one scale for each output row, dequantised where it is used.

A weight W (out, in) is stored as round(W / s), with one s for each row, in float32. Activations
stay in their own precision, so batch composition, chunking and forks change nothing more than
they do without quantisation (dynamic activation scales would).

Letters: M rows of activations, K inputs, N outputs.
"""

from functools import cache
from typing import Final

import torch
from torch import Tensor

from longllava_domains.errors import QuantizationError

# Up to this many rows the weights' bandwidth decides and the packed kernel wins; beyond it the
# arithmetic does, and a dequantised block feeds the ordinary matrix product.
PACKED_ROWS: Final = 16
# torch's packed kernel reads whole vectors: with AVX-512 and bfloat16 it reads beyond a row whose
# length 16 does not divide, and ends the process where that memory is not its own (torch 2.13).
_PACKED_WIDTH: Final = 32
# Bytes of one dequantised block of weights and its product: fits a processor's cache, fills a GPU.
BLOCK_BYTES: Final = {"cpu": 8 * 1024**2, "cuda": 256 * 1024**2}

# Numbers that are quantised at once, and what that takes: values and quotients in float32, codes.
_QUANTISED_AT_ONCE: Final = 4 * 1024**2
QUANTISING_BYTES: Final = _QUANTISED_AT_ONCE * (4 + 4 + 1)


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a weight to int8 with one scale a row, never further off than its format allows.

    The scale is max|row| / 127. A search for the scale of least squared error gained nothing that
    checkpoints made fresh could show (benchmarks/int8_agreement.py).

    Args:
        weight: (..., N, K), floating.

    Returns:
        int8 (..., N, K) in -127..127 and float32 scales (..., N); a row of zeros has scale 1.

    Raises:
        QuantizationError: The weight holds NaN or infinity.
    """
    rows = weight.detach().reshape(-1, weight.shape[-1])
    codes = torch.empty(rows.shape, dtype=torch.int8, device=rows.device)
    scale = torch.empty(len(rows), dtype=torch.float32, device=rows.device)
    step = max(1, _QUANTISED_AT_ONCE // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        codes[part], scale[part] = _quantize_block(rows[part].float())
    if not bool(torch.isfinite(scale).all()):
        raise QuantizationError(
            "A weight holds NaN or infinity and has no 8-bit form.",
            remedy="Use a sound checkpoint; this one is damaged or its training diverged.",
            code="quantization.not_finite",
        )
    return codes.view(weight.shape), scale.view(weight.shape[:-1])


def _quantize_block(values: Tensor) -> tuple[Tensor, Tensor]:
    largest = values.abs().amax(1, keepdim=True)
    largest = torch.where(largest == 0, torch.full_like(largest, 127), largest)
    scale = largest / 127
    return (values / scale).round_().clamp_(-127, 127).to(torch.int8), scale[:, 0]


def int8_linear(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply activations by an int8 weight: ``x @ (weight * scale).T + bias``.

    Args:
        x: (..., K), floating.
        weight: int8 (N, K).
        scale: float32 (N,).
        bias: (N,), or None.

    Returns:
        (..., N) in the precision of `x`.
    """
    rows = x.reshape(-1, x.shape[-1])
    packed = (
        len(rows) <= PACKED_ROWS
        and rows.shape[1] % _PACKED_WIDTH == 0
        and packed_kernel_works(x.device.type, x.dtype)
    )
    product = _packed(rows, weight, scale) if packed else blocked_product(rows, weight, scale)
    if bias is not None:
        product += bias
    return product.reshape(*x.shape[:-1], len(weight))


def _packed(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Multiply by torch's packed kernel, with the scales in the precision of `x`.

    The kernel takes no others. Applied afterwards in float32 they gain nothing: the product is
    rounded once before them and once after (measured in bfloat16: the same error within 2 %).
    """
    product: Tensor = torch.ops.aten._weight_int8pack_mm(x.contiguous(), weight, scale.to(x.dtype))
    return product


def blocked_product(x: Tensor, weight: Tensor, scale: Tensor | None = None) -> Tensor:
    """Multiply in the fastest precision of the device, converting a block of weights at a time.

    Args:
        x: (M, K), floating.
        weight: (N, K), int8 or floating.
        scale: float32 (N,), factor of each row of the weight; None for 1.

    Returns:
        (M, N) in the precision of `x`.
    """
    precision = compute_dtype(x.device.type, x.dtype)
    activations = x.to(precision)
    product = torch.empty(len(x), len(weight), dtype=x.dtype, device=x.device)
    at_once = BLOCK_BYTES.get(x.device.type, BLOCK_BYTES["cuda"])
    block = max(1, at_once // ((weight.shape[1] + len(x)) * precision.itemsize))
    # One buffer for all blocks: fresh memory for each would cost a third of the product's own time.
    buffer = torch.empty(min(block, len(weight)), weight.shape[1], dtype=precision, device=x.device)
    for start in range(0, len(weight), block):
        part = slice(start, start + block)
        converted = buffer[: len(weight[part])].copy_(weight[part])
        exact = torch.mm(activations, converted.t())
        product[:, part] = exact if scale is None else exact.mul_(scale[part].to(precision))
    return product


@cache
def compute_dtype(device: str, dtype: torch.dtype) -> torch.dtype:
    """Return the precision that matrix products of this dtype are fastest in, never a lower one.

    A processor without bfloat16 instructions multiplies bfloat16 ten times slower than float32.
    """
    if device != "cpu" or dtype != torch.bfloat16:
        return dtype
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


@cache
def packed_kernel_works(device: str, dtype: torch.dtype) -> bool:
    """Prove torch's packed int8 product on a small case; False where it is absent, slow or wrong."""
    if device == "meta" or (device == "cpu" and dtype not in (torch.bfloat16, torch.float16)):
        return False  # the processor's float32 variant is slower than dequantising
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 64, generator=generator).to(dtype)
    weight, scale = quantize_rows(torch.randn(32, 64, generator=generator))
    exact = x.double() @ (weight.double() * scale.double()[:, None]).t()
    try:
        found = _packed(x.to(device), weight.to(device), scale.to(device)).cpu().double()
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    tolerance = 8 * torch.finfo(dtype).eps * exact.abs().max()
    return bool((found - exact).abs().max() <= tolerance)


def quantized_like(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise, or only reserve the shapes where the weight has no memory yet (meta device)."""
    if weight.device.type != "meta":
        return quantize_rows(weight)
    return (
        torch.empty(weight.shape, dtype=torch.int8, device="meta"),
        torch.empty(weight.shape[:-1], dtype=torch.float32, device="meta"),
    )
