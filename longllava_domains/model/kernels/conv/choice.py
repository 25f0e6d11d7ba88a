"""Which convolution runs on a device."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from longllava_domains.model.kernels.conv.blocked import torch_convolution
from longllava_domains.model.kernels.packing import first_visible
from longllava_domains.model.kernels.scan.mamba_ssm import load_stock_convolution
from longllava_domains.model.kernels.selection import Choice, choose, relative_error

Convolution = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]


def chosen_convolution(device: torch.device) -> Convolution:
    """Return the convolution to use on a device; the first call on a GPU proves and times."""
    return convolution_choice(device).kernel


@cache
def convolution_choice(device: torch.device) -> Choice[Convolution]:
    """Return the convolution to use on a device, and why; proved and timed once."""
    if device.type == "cpu":
        return Choice("blocked", torch_convolution)
    timed = (torch.randn(1, 2051, 2048), torch.randn(2048, 4), torch.randn(2048))
    extended, weight, bias = (value.to(device) for value in timed)
    loaders = {"triton": _load_triton_convolution, "causal_conv1d": load_stock_convolution}
    return choose(
        loaders,
        torch_convolution,
        proof=lambda kernel: convolution_error(kernel, device),
        work=lambda kernel: kernel(extended, weight, bias, None),
        device=device,
    )


def convolution_error(kernel: Convolution, device: torch.device) -> float:
    """Return the largest relative error of a convolution across a reset."""
    generator = torch.Generator().manual_seed(0)
    extended = torch.randn(1, 43, 16, generator=generator)
    weight, bias = (torch.randn(16, *shape, generator=generator) for shape in ((4,), ()))
    visible = first_visible(torch.arange(40).unsqueeze(0) == 21, 3)
    expected = torch_convolution(extended.double(), weight.double(), bias.double(), visible)
    y = kernel(*(value.to(device) for value in (extended, weight, bias, visible)))
    return relative_error((y,), (expected,))


def _load_triton_convolution() -> Convolution:
    from longllava_domains.model.kernels.conv.triton import triton_convolution

    return triton_convolution
