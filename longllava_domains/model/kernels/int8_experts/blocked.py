"""Experts in plain torch: one active expert after the other, its weights in blocks.

Right on every device and frugal: besides one expert's activations only a block of dequantised
weights is alive. On a GPU it launches many small kernels and waits for the counts.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from longllava_domains.model.kernels.int8_matmul import PACKED_ROWS, blocked_product, int8_linear


def blocked_experts(
    experts: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor
) -> Tensor:
    """Run each token through its experts; arguments and result as in `int8_experts`.

    Weights may be in 8 bits, or in a precision that is widened to be multiplied.
    """
    output = torch.zeros_like(hidden_states)
    chosen = top_k_index.flatten()
    order = torch.argsort(chosen, stable=True)
    counts = torch.bincount(chosen, minlength=experts.num_experts).tolist()
    for expert, pairs in enumerate(torch.split(order, counts)):
        if not len(pairs):
            continue
        tokens = pairs // top_k_index.shape[1]
        gate, up = _product(experts, "gate_up_proj", expert, hidden_states[tokens]).chunk(2, -1)
        down = _product(experts, "down_proj", expert, experts.act_fn(gate).mul_(up))
        weighted = down * top_k_weights.flatten()[pairs, None]
        output.index_add_(0, tokens, weighted.to(output.dtype))
    return output


def _product(experts: Any, name: str, expert: int, x: Tensor) -> Tensor:
    weight, scale = getattr(experts, name)[expert], getattr(experts, f"{name}_scale", None)
    if scale is not None:
        return int8_linear(x, weight, scale[expert])
    # Few rows are bound by reading weights, and stay as they are.
    return linear(x, weight) if len(x) <= PACKED_ROWS else blocked_product(x, weight)
