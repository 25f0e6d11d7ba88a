"""Which kernel runs experts in 8 bits on a device."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor

from longllava_domains.model.kernels.int8_experts.accuracy import (
    TOLERANCE_EPS,
    experts_case,
    experts_error,
)
from longllava_domains.model.kernels.int8_experts.blocked import blocked_experts
from longllava_domains.model.kernels.selection import Choice, choose

Experts = Callable[[Any, Tensor, Tensor, Tensor], Tensor]

GROUPED_DTYPES: Final = (torch.bfloat16, torch.float16)


def chosen_experts(device: torch.device, dtype: torch.dtype) -> Experts:
    """Return how experts in 8 bits run; the first call on a GPU proves and times."""
    return experts_choice(device, dtype).kernel


@cache
def experts_choice(device: torch.device, dtype: torch.dtype) -> Choice[Experts]:
    """Return the kernel to use on a device, and why; proved and timed once."""
    if device.type == "cpu":
        return Choice("blocked", blocked_experts)
    timed = experts_case(device, dtype, 8, 512, 1024)
    return choose(
        {"triton": _load_triton_experts},
        blocked_experts,
        proof=lambda kernel: experts_error(kernel, device, dtype),
        work=lambda kernel: kernel(*timed),
        device=device,
        tolerance=TOLERANCE_EPS * torch.finfo(dtype).eps,
    )


def _load_triton_experts() -> Experts:
    from longllava_domains.model.kernels.int8_experts.triton import grouped_experts

    return grouped_experts
