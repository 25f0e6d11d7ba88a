"""Causal depthwise convolution with carried inputs: the short filter in front of the scan.

y_t = bias + sum_k weight_k x_{t - (width - 1) + k}: each channel alone, looking back width - 1
tokens. What lies before the first token is the *state*: the last width - 1 inputs of what came
before, zeros at the start of a sample.
"""

import torch
from torch import Tensor

from longllava_domains.model.kernels.conv.blocked import torch_convolution
from longllava_domains.model.kernels.conv.choice import chosen_convolution
from longllava_domains.model.kernels.packing import first_visible


def causal_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    initial_state: Tensor | None = None,
    resets: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Filter a batch of rows from carried inputs.

    Args:
        x: (rows, tokens, channels), one token at least.
        weight: (channels, width); the last tap meets the present token.
        bias: (channels,) or None.
        initial_state: (rows, width - 1, channels), the inputs before the first token; None is
            zeros.
        resets: bool (rows, tokens); where true a new sample begins and sees zeros before it.

    Returns:
        y (rows, tokens, channels) before any activation, and the last width - 1 inputs,
        (rows, width - 1, channels); those before a reset are zeros.
    """
    reach = weight.shape[1] - 1
    if initial_state is None:
        initial_state = x.new_zeros(x.shape[0], reach, x.shape[2])
    extended = torch.cat([initial_state.to(x.dtype), x], dim=1)
    visible = None if resets is None else first_visible(resets, reach)
    convolve = torch_convolution if x.device.type == "cpu" else chosen_convolution(x.device)
    y = convolve(extended, weight, bias, visible)
    return y, _last_inputs(extended, reach, visible)


def convolution_step(
    x: Tensor, weight: Tensor, bias: Tensor | None, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Filter one token of every row.

    Args:
        x: (rows, channels).
        weight: (channels, width).
        bias: (channels,) or None.
        state: (rows, width - 1, channels).

    Returns:
        y (rows, channels) before any activation, and the new state.
    """
    window = torch.cat([state, x.unsqueeze(1)], dim=1)
    y = (window * weight.t()).sum(dim=1)
    return y if bias is None else y + bias, window[:, 1:]


def _last_inputs(extended: Tensor, reach: int, visible: Tensor | None) -> Tensor:
    last = extended[:, extended.shape[1] - reach :]
    if visible is None:
        return last.clone()
    # Position p of `extended` holds token p - reach; the last token says where its sample began.
    tokens = extended.shape[1] - reach
    positions = torch.arange(tokens - reach, tokens, device=extended.device)
    return last * (positions >= visible[:, -1:]).unsqueeze(2)
