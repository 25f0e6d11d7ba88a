"""Experts in 8 bits, registered with transformers as ``experts_implementation="int8_rows"``.

Generic quantisers reach `nn.Linear` only, and 45 of the 53B's 52 billion parameters are fused
expert tensors. Here each active expert is multiplied from its int8 rows; idle ones are not read.
On CUDA all experts share one launch where our kernel is proved; elsewhere they take turns.
"""

from typing import Any, Final

from torch import Tensor
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.models.jamba.modeling_jamba import JambaExperts

from longllava_domains.model.kernels.int8_experts.blocked import blocked_experts
from longllava_domains.model.kernels.int8_experts.choice import GROUPED_DTYPES, chosen_experts
from longllava_domains.model.kernels.int8_matmul import quantized_like

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
    device, dtype = hidden_states.device, hidden_states.dtype
    grouped = device.type == "cuda" and dtype in GROUPED_DTYPES
    run = chosen_experts(device, dtype) if grouped else blocked_experts
    return run(experts, hidden_states, top_k_index, top_k_weights)


ALL_EXPERTS_FUNCTIONS.register(EXPERTS_IMPLEMENTATION, int8_experts)
