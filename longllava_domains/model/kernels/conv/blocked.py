"""The causal depthwise convolution in plain torch, the judge and the fallback of the kernels."""

import torch
from torch import Tensor

_TOKENS_PER_BLOCK = 64  # without gradients: a block of inputs stays in the processor's cache


def torch_convolution(
    extended: Tensor, weight: Tensor, bias: Tensor | None, visible: Tensor | None
) -> Tensor:
    """Add up the taps one after another; plain torch, differentiable.

    Args:
        extended: (rows, width - 1 + tokens, channels): carried inputs, then the row.
        weight: (channels, width).
        bias: (channels,) or None.
        visible: int64 (rows, tokens), the earliest token each token may read, or None.

    Returns:
        (rows, tokens, channels).
    """
    reach = weight.shape[1] - 1
    tokens = extended.shape[1] - reach
    if torch.is_grad_enabled():
        return _sum_taps(extended, weight, bias, visible, start=0)
    y = extended.new_empty(extended.shape[0], tokens, extended.shape[2])
    for start in range(0, tokens, _TOKENS_PER_BLOCK):
        end = min(start + _TOKENS_PER_BLOCK, tokens)
        seen = None if visible is None else visible[:, start:end]
        y[:, start:end] = _sum_taps(extended[:, start : end + reach], weight, bias, seen, start)
    return y


def _sum_taps(
    extended: Tensor, weight: Tensor, bias: Tensor | None, visible: Tensor | None, start: int
) -> Tensor:
    """Filter the tokens from `start` on, given the inputs from ``start - reach`` on."""
    reach = weight.shape[1] - 1
    tokens = extended.shape[1] - reach
    positions = torch.arange(start, start + tokens, device=extended.device)
    y = extended[:, reach:] * weight[:, reach]
    if bias is not None:
        y = y + bias
    for tap in range(reach):
        taken = extended[:, tap : tap + tokens]
        if visible is not None:
            taken = taken * (positions - (reach - tap) >= visible).unsqueeze(2)
        y = torch.addcmul(y, taken, weight[:, tap])
    return y
