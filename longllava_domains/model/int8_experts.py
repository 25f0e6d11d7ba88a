"""Experts in 8 bits, registered with transformers as ``experts_implementation="int8_rows"``.

Generic quantisers reach `nn.Linear` only, and 45 of the 53B's 52 billion parameters are fused
expert tensors. Here each active expert is multiplied from its int8 rows; idle ones are not read.
"""

from typing import Any, Final

import torch
from torch import Tensor
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.models.jamba.modeling_jamba import JambaExperts

from longllava_domains.model.int8 import int8_linear, quantized_like

EXPERTS_IMPLEMENTATION: Final = "int8_rows"
FUSED_WEIGHTS: Final = ("gate_up_proj", "down_proj")


def quantize_experts(experts: JambaExperts) -> None:
    """Replace fused expert weights by int8 buffers of the same names, with their scales beside.

    ``gate_up_proj`` (E, 2I, H) and ``down_proj`` (E, H, I) become int8; ``gate_up_proj_scale``
    (E, 2I) and ``down_proj_scale`` (E, H) are float32. Works on the meta device too.
    """
    for name in FUSED_WEIGHTS:
        weight, scale = quantized_like(getattr(experts, name))
        delattr(experts, name)
        experts.register_buffer(name, weight)
        experts.register_buffer(f"{name}_scale", scale)


def int8_experts(
    experts: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor
) -> Tensor:
    """Run each token through its experts, the tokens of one expert together.

    Args:
        experts: A module that `quantize_experts` prepared.
        hidden_states: (tokens, hidden).
        top_k_index: (tokens, k), which experts.
        top_k_weights: (tokens, k), their weights; not renormalised, as Jamba has it.

    Returns:
        (tokens, hidden).
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
    weight, scale = getattr(experts, name), getattr(experts, f"{name}_scale")
    return int8_linear(x, weight[expert], scale[expert])


ALL_EXPERTS_FUNCTIONS.register(EXPERTS_IMPLEMENTATION, int8_experts)
