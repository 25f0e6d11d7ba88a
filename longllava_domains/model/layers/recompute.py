"""Training on long rows: a layer's activations are formed again a chunk of tokens at a time.

What a chunk hands to the next is the state of the mixer, so the gradients are those of the whole
row. Beside it a layer then holds the activations of one chunk, and not of 176,000 tokens.
"""

from typing import Any

import torch
from torch import Tensor, nn


class CarriedOn:
    """The state of one mixer between chunks, in the shape of a transformers cache.

    Nothing is written in place, so gradients pass through it.

    Args:
        *tensors: Inputs of the convolution (rows, channels, d_conv) and the state of the scan
            (rows, channels, states); none before the first chunk.
    """

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors

    def get_conv_state(self, layer_idx: int) -> Tensor | None:
        """Return the last inputs of the convolution."""
        return self.tensors[0] if self.tensors else None

    def get_recurrent_state(self, layer_idx: int) -> Tensor | None:
        """Return the state of the scan."""
        return self.tensors[1] if self.tensors else None

    def update_conv_state(self, inputs: Tensor, layer_idx: int, **_: Any) -> None:
        """Keep the last inputs of the convolution."""
        self.tensors = (inputs, *self.tensors[1:])

    def update_recurrent_state(self, ssm: Tensor, layer_idx: int) -> None:
        """Keep the state of the scan; the convolution's inputs come first."""
        self.tensors = (self.tensors[0], ssm)


def recompute_in_chunks(network: nn.Module, tokens: int) -> None:
    """Let every layer of a network recompute in chunks while it trains.

    Args:
        network: A network made exact by `use_exact_state`, or what wraps it.
        tokens: Tokens of a chunk; 0 for whole rows.
    """
    for module in network.modules():
        if hasattr(type(module), "recompute_tokens"):
            setattr(module, "recompute_tokens", tokens)  # noqa: B010 - a class of ours


def recomputes(layer: Any, hidden_states: Tensor) -> bool:
    """Say whether a layer works in chunks now: in training, on a row longer than one."""
    limit: int = layer.recompute_tokens
    needed = layer.training and torch.is_grad_enabled()
    return bool(needed and limit and hidden_states.shape[1] > limit)


def spans_of(tokens: int, limit: int) -> list[slice]:
    """Cut a number of tokens into spans of at most `limit`."""
    return [slice(start, min(start + limit, tokens)) for start in range(0, tokens, limit)]
