"""Run our Triton kernels in the interpreter and print the largest differences as JSON.

A program of its own: Triton reads TRITON_INTERPRET when it is imported. Tiny shapes, because
the interpreter walks through a scan element by element.
"""

import json

import torch
from torch import Tensor

from longllava_domains.model.kernels.conv import triton as conv_triton
from longllava_domains.model.kernels.conv.blocked import torch_convolution
from longllava_domains.model.kernels.packing import first_visible
from longllava_domains.model.kernels.scan import triton as scan_triton
from longllava_domains.model.kernels.scan.blocked import ScanInputs
from longllava_domains.model.kernels.scan.reference import selective_scan_reference

scan_triton.TOKENS_PER_TILE = 4
scan_triton.CHANNELS_PER_PROGRAM = 2
conv_triton.TOKENS_PER_PROGRAM = 4
conv_triton.CHANNELS_PER_PROGRAM = 2


def difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    return max(
        ((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=1.0)).item()
        for a, b in zip(ours, theirs, strict=True)
    )


def scan_case(tokens: int, channels: int, states: int, resets: Tensor | None) -> dict[str, float]:
    rows = 2
    leaves = [
        torch.randn(rows, tokens, channels),
        torch.rand(rows, tokens, channels) * 0.5 + 1e-3,
        -torch.rand(channels, states) * 4 - 0.1,
        torch.randn(rows, tokens, states),
        torch.randn(rows, tokens, states),
        torch.randn(channels),
        torch.randn(rows, channels, states),
    ]
    ours = [leaf.clone().requires_grad_() for leaf in leaves]
    theirs = [leaf.double().requires_grad_() for leaf in leaves]
    result = scan_triton.triton_scan(ScanInputs(*ours, resets))
    expected = selective_scan_reference(*theirs[:6], initial_state=theirs[6], resets=resets)
    seeds = [torch.randn_like(part) for part in result]
    grads = torch.autograd.grad(result, ours, seeds)
    expected_grads = torch.autograd.grad(expected, theirs, [seed.double() for seed in seeds])
    return {
        "forward": difference(list(result), list(expected)),
        "backward": difference(list(grads), list(expected_grads)),
    }


def convolution_case(
    tokens: int, channels: int, width: int, resets: Tensor | None, with_bias: bool
) -> dict[str, float]:
    leaves = [torch.randn(2, tokens + width - 1, channels), torch.randn(channels, width)]
    if with_bias:
        leaves.append(torch.randn(channels))
    visible = None if resets is None else first_visible(resets, width - 1)
    ours = [leaf.clone().requires_grad_() for leaf in leaves]
    theirs = [leaf.double().requires_grad_() for leaf in leaves]
    result = conv_triton.triton_convolution(*ours[:2], ours[2] if with_bias else None, visible)
    expected = torch_convolution(*theirs[:2], theirs[2] if with_bias else None, visible)
    seed = torch.randn_like(result)
    grads = torch.autograd.grad(result, ours, seed)
    expected_grads = torch.autograd.grad(expected, theirs, seed.double())
    return {
        "forward": difference([result], [expected]),
        "backward": difference(list(grads), list(expected_grads)),
    }


def main() -> None:
    torch.manual_seed(0)
    resets = torch.zeros(2, 7, dtype=torch.bool)
    resets[0, [0, 4]] = True
    resets[1, [3, 6]] = True
    cases = {
        "scan": scan_case(7, 3, 4, None),
        "scan, whole tiles": scan_case(8, 2, 3, None),
        "scan with resets": scan_case(7, 3, 4, resets),
        "convolution": convolution_case(7, 3, 4, None, True),
        "convolution without bias": convolution_case(5, 2, 3, None, False),
        "convolution with resets": convolution_case(7, 3, 4, resets, True),
    }
    print(json.dumps(cases))


if __name__ == "__main__":
    main()
