"""`Int8Linear`: a linear layer whose weight is stored in 8 bits."""

from typing import Any, Self

from torch import Tensor, nn

from longllava_domains.model.kernels.int8_matmul import int8_linear, quantized_like
from longllava_domains.model.kernels.int8_scales import apply_but_keep_scales


class Int8Linear(nn.Module):
    """`nn.Linear` with int8 weights; inference only.

    Args:
        linear: The layer it stands for; one without memory yet (meta device) reserves the shape only.

    Attributes:
        weight: int8 (out, in).
        weight_scale: float32 (out,).
        bias: (out,), or None.
    """

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight, scale = quantized_like(linear.weight)
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Multiply; (..., in) to (..., out)."""
        return int8_linear(x, self.weight, self.weight_scale, self.bias)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move or convert, but leave the scales in float32."""
        convert: Any = super()._apply  # torch leaves it untyped
        apply_but_keep_scales(self, lambda: convert(fn, recurse))
        return self

    def extra_repr(self) -> str:
        """Say the size as `nn.Linear` does."""
        return f"in_features={self.in_features}, out_features={self.out_features}, int8"
