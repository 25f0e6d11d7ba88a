"""Are experts in 8 bits right on a device? A small case against dequantised products in float64."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import torch
from torch import Tensor

from longllava_domains.model.kernels.int8_experts.blocked import blocked_experts
from longllava_domains.model.kernels.int8_matmul import quantize_rows

# Of the largest value: gate, up, their product and down are each rounded to the precision of the
# activations, and so is the sum.
TOLERANCE_EPS: Final = 4


def experts_error(
    kernel: Callable[[Any, Tensor, Tensor, Tensor], Tensor],
    device: torch.device,
    dtype: torch.dtype,
) -> float:
    """Return the largest error of experts, relative to the largest value.

    Two cases: few tokens and many, in blocks that no tile divides; one expert is idle.

    Args:
        kernel: As `int8_experts`.
        device: Where it runs.
        dtype: Precision of the activations.
    """
    errors = []
    for tokens in (3, 130):
        experts, *values = experts_case(device, dtype, 5, tokens, 104)
        on_cpu = {
            name: value.cpu() if isinstance(value, Tensor) else value
            for name, value in vars(experts).items()
        }
        x, index, weights = (value.cpu() for value in values)
        expected = blocked_experts(SimpleNamespace(**on_cpu), x.double(), index, weights.double())
        difference = kernel(experts, *values).cpu().double() - expected
        errors.append(float(difference.abs().max() / expected.abs().max()))
    return max(errors)


def experts_case(
    device: torch.device, dtype: torch.dtype, experts: int, tokens: int, hidden: int
) -> tuple[Any, Tensor, Tensor, Tensor]:
    """Return experts in 8 bits and the arguments that go with them; two a token, the last idle.

    Args:
        device: Where the tensors lie.
        dtype: Precision of the activations.
        experts: How many.
        tokens: Rows of activations.
        hidden: Their width; the experts' own is twice that, less 8.
    """
    generator = torch.Generator().manual_seed(0)
    inner = 2 * hidden - 8
    made = SimpleNamespace(num_experts=experts, act_fn=torch.nn.functional.silu)
    shapes = {"gate_up_proj": (2 * inner, hidden), "down_proj": (hidden, inner)}
    for name, shape in shapes.items():
        weight = torch.randn(experts, *shape, generator=generator) * shape[1] ** -0.5
        codes, scale = quantize_rows(weight)
        setattr(made, name, codes.to(device))
        setattr(made, f"{name}_scale", scale.to(device))
    scores = torch.randn(tokens, experts - 1, generator=generator).softmax(1)
    weights, index = scores.topk(2, dim=1)
    x = torch.randn(tokens, hidden, generator=generator)
    return made, x.to(device, dtype), index.to(device), weights.to(device, dtype)
