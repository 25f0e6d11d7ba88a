"""The causal depthwise convolution as Triton kernels of our own, forward and backward.

Every output reads width inputs and nothing else, so programs are independent; packed samples are
kept apart by the earliest token that each token may read. Proved against `conv_blocked.torch_convolution`
in Triton's interpreter; compiled for sm_80 and sm_90 in the tests.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

TOKENS_PER_PROGRAM = 32
CHANNELS_PER_PROGRAM = 64


@triton.jit  # type: ignore[untyped-decorator]
def convolution_forward_kernel(  # type: ignore[no-untyped-def]
    extended_ptr, weight_ptr, bias_ptr, visible_ptr, y_ptr,
    tokens, channels,
    HAS_BIAS: tl.constexpr, HAS_VISIBLE: tl.constexpr, WIDTH: tl.constexpr,
    TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Filter TOKENS tokens of CHANNELS channels; grid (rows, blocks of tokens, strips)."""
    row = tl.program_id(0).to(tl.int64)
    t = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    c = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    wide = (t < tokens)[:, None] & (c < channels)[None, :]
    y = tl.zeros((TOKENS, CHANNELS), dtype=tl.float32)
    if HAS_BIAS:
        y += tl.load(bias_ptr + c, mask=c < channels, other=0.0)[None, :].to(tl.float32)
    if HAS_VISIBLE:
        visible = tl.load(visible_ptr + row * tokens + t, mask=t < tokens, other=0)
    for tap in tl.static_range(WIDTH):
        taken = wide
        if HAS_VISIBLE:
            taken = taken & (t - (WIDTH - 1) + tap >= visible)[:, None]
        at = (row * (tokens + WIDTH - 1) + t + tap)[:, None] * channels + c[None, :]
        x = tl.load(extended_ptr + at, mask=taken, other=0.0).to(tl.float32)
        weight = tl.load(weight_ptr + c * WIDTH + tap, mask=c < channels, other=0.0)
        y += x * weight.to(tl.float32)[None, :]
    tl.store(y_ptr + (row * tokens + t)[:, None] * channels + c[None, :], y, mask=wide)


@triton.jit  # type: ignore[untyped-decorator]
def convolution_backward_kernel(  # type: ignore[no-untyped-def]
    extended_ptr, weight_ptr, visible_ptr, grad_y_ptr, grad_extended_ptr, grad_weight_ptr,
    tokens, channels,
    HAS_VISIBLE: tl.constexpr, WIDTH: tl.constexpr,
    TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Gradient of TOKENS inputs, and the part of the weights' gradient from TOKENS outputs."""
    row = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1)
    p = block * TOKENS + tl.arange(0, TOKENS)
    c = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    length = tokens + WIDTH - 1
    grad = tl.zeros((TOKENS, CHANNELS), dtype=tl.float32)
    for tap in tl.static_range(WIDTH):
        weight = tl.load(weight_ptr + c * WIDTH + tap, mask=c < channels, other=0.0)
        # Input p of `extended` meets this tap at output p - tap.
        t = p - tap
        reads = (t >= 0) & (t < tokens)
        if HAS_VISIBLE:
            visible = tl.load(visible_ptr + row * tokens + t, mask=reads, other=0)
            reads = reads & (p - (WIDTH - 1) >= visible)
        at = (row * tokens + t)[:, None] * channels + c[None, :]
        grad_y = tl.load(grad_y_ptr + at, mask=reads[:, None] & (c < channels)[None, :], other=0.0)
        grad += grad_y.to(tl.float32) * weight.to(tl.float32)[None, :]
        input_at = (row * length + p)[:, None] * channels + c[None, :]
        taken = reads[:, None] & (c < channels)[None, :]
        x = tl.load(extended_ptr + input_at, mask=taken, other=0.0).to(tl.float32)
        part_at = ((row * tl.num_programs(1) + block) * channels + c) * WIDTH + tap
        part = tl.sum(x * grad_y.to(tl.float32), axis=0)
        tl.store(grad_weight_ptr + part_at, part, mask=c < channels)
    out_at = (row * length + p)[:, None] * channels + c[None, :]
    tl.store(grad_extended_ptr + out_at, grad, mask=(p < length)[:, None] & (c < channels)[None, :])


def triton_convolution(
    extended: Tensor, weight: Tensor, bias: Tensor | None, visible: Tensor | None
) -> Tensor:
    """Filter on a GPU; arguments and result as in `conv_blocked.torch_convolution`."""
    # Triton launches on the current device.
    with torch.cuda.device_of(extended):  # type: ignore[no-untyped-call]
        y: Tensor = _TritonConvolution.apply(  # type: ignore[no-untyped-call]
            extended, weight, bias, visible
        )
    return y


class _TritonConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, extended: Tensor, weight: Tensor, bias: Tensor | None, visible: Tensor | None
    ) -> Tensor:
        """Convolve on the device; keeps the inputs for the backward."""
        extended, weight = extended.contiguous(), weight.contiguous()
        rows, length, channels = extended.shape
        width = weight.shape[1]
        tokens = length - width + 1
        y = extended.new_empty(rows, tokens, channels)
        convolution_forward_kernel[_grid(rows, tokens, channels)](
            extended, weight, weight if bias is None else bias.contiguous(),
            extended if visible is None else visible, y, tokens, channels,
            HAS_BIAS=bias is not None, HAS_VISIBLE=visible is not None, WIDTH=width,
            TOKENS=TOKENS_PER_PROGRAM, CHANNELS=CHANNELS_PER_PROGRAM,
        )  # fmt: skip
        ctx.save_for_backward(extended, weight, bias, visible)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of what `forward` took; None for the visibility."""
        extended, weight, bias, visible = ctx.saved_tensors
        grad_y = grad_y.contiguous()
        rows, length, channels = extended.shape
        width = weight.shape[1]
        tokens = length - width + 1
        grid = _grid(rows, length, channels)
        grad_extended = torch.empty_like(extended)
        parts = weight.new_empty(rows, grid[1], channels, width, dtype=torch.float32)
        convolution_backward_kernel[grid](
            extended, weight, extended if visible is None else visible, grad_y,
            grad_extended, parts, tokens, channels,
            HAS_VISIBLE=visible is not None, WIDTH=width,
            TOKENS=TOKENS_PER_PROGRAM, CHANNELS=CHANNELS_PER_PROGRAM,
        )  # fmt: skip
        grad_weight = parts.sum(dim=(0, 1)).to(weight.dtype)
        grad_bias = None if bias is None else grad_y.sum(dim=(0, 1)).to(bias.dtype)
        return grad_extended, grad_weight, grad_bias, None


def _grid(rows: int, tokens: int, channels: int) -> tuple[int, int, int]:
    blocks = triton.cdiv(tokens, TOKENS_PER_PROGRAM)
    return rows, blocks, triton.cdiv(channels, CHANNELS_PER_PROGRAM)
