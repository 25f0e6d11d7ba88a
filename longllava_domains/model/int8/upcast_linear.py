"""bfloat16 products on processors that have no bfloat16 instructions.

There torch multiplies bfloat16 matrices five to ten times slower than float32 ones. So products
of many rows convert a block of weights at a time and run in float32: faster and more precise,
with the weights held in bfloat16 as before. Products of few rows are bound by reading weights
and stay as they are.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from longllava_domains.model.kernels.int8_matmul import PACKED_ROWS, blocked_product, compute_dtype


class UpcastLinear(nn.Linear):
    """`nn.Linear` whose products of many rows run in float32; the parameters are the same."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in nn.Linear
        """Multiply; (..., in) to (..., out)."""
        rows = input.reshape(-1, self.in_features)
        if len(rows) <= PACKED_ROWS or torch.is_grad_enabled() or input.device.type != "cpu":
            return functional.linear(input, self.weight, self.bias)
        product = blocked_product(rows, self.weight)
        if self.bias is not None:
            product += self.bias
        return product.reshape(*input.shape[:-1], self.out_features)


def upcast_products(network: nn.Module) -> None:
    """Let a network on the CPU use them, where this processor gains; only classes change.

    The time step's projection is left out: its mixer multiplies with the weight itself.
    """
    for name, module in network.named_modules():
        if type(module) is nn.Linear and not name.endswith("dt_proj"):
            dtype = module.weight.dtype
            if module.weight.device.type == "cpu" and compute_dtype("cpu", dtype) != dtype:
                module.__class__ = UpcastLinear
