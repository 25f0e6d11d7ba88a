"""Experts that run in every precision, and fast in bfloat16 where a processor has no such products."""

from functools import partial
from typing import Any, Self

import torch
from torch import Tensor
from transformers.models.jamba.modeling_jamba import JambaExperts

from longllava_domains.model.kernels.int8_experts.blocked import blocked_experts
from longllava_domains.model.kernels.int8_matmul import compute_dtype
from longllava_domains.model.kernels.int8_scales import apply_but_keep_scales


class ExactExperts(JambaExperts):
    """`JambaExperts` that does not leave it to a grouped product what it cannot do, or does slowly.

    The grouped product takes no float64; and without bfloat16 instructions it multiplies bfloat16
    several times slower than float32. There a block of weights at a time is widened, as in
    `UpcastLinear`.
    """

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """Run each token through its experts; as `JambaExperts.forward`."""
        dtype = self.gate_up_proj.dtype
        run = super().forward
        if dtype == torch.float64:
            run = partial(JambaExperts.forward.__wrapped__, self)
        elif self._is_widened(hidden_states):
            run = partial(blocked_experts, self)
        result: Tensor = run(hidden_states, top_k_index, top_k_weights)
        return result

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move or convert, but leave the scales of 8-bit weights in float32."""
        convert: Any = super()._apply  # torch leaves it untyped
        apply_but_keep_scales(self, lambda: convert(fn, recurse))
        return self

    def _is_widened(self, hidden_states: Tensor) -> bool:
        if hidden_states.device.type != "cpu" or torch.is_grad_enabled():
            return False
        held: torch.dtype = self.gate_up_proj.dtype
        return compute_dtype("cpu", held) != held
