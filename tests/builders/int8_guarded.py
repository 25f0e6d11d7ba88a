"""Multiply by int8 weights that end where readable memory ends; prints the largest error of each width.

A program of its own: reading one byte too far ends the process.
"""

import ctypes
import mmap
import sys

import torch
from torch import Tensor

from longllava_domains.model.kernels.int8_matmul import int8_linear, quantize_rows

PAGE = mmap.PAGESIZE
_KEPT: list[mmap.mmap] = []


def at_the_end_of_memory(values: Tensor) -> Tensor:
    """Return a copy whose last byte is the last one before a page that nobody may read."""
    size = values.numel() * values.element_size()
    readable = -(-size // PAGE) * PAGE
    memory = mmap.mmap(-1, readable + PAGE)
    _KEPT.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + readable), PAGE, 0) == 0
    copy = torch.frombuffer(
        memory, dtype=values.dtype, count=values.numel(), offset=readable - size
    ).view(values.shape)
    return copy.copy_(values)


def largest_error(width: int) -> float:
    """Return the largest error of products of one width, over the largest exact value."""
    torch.manual_seed(0)
    worst = 0.0
    for rows in (1, 3):
        x = torch.randn(rows, width).to(torch.bfloat16)
        weight, scale = quantize_rows(torch.randn(33, width))
        exact = x.double() @ (weight.double() * scale.double()[:, None]).t()
        found = int8_linear(*map(at_the_end_of_memory, (x, weight, scale)))
        worst = max(worst, float((found.double() - exact).abs().max() / exact.abs().max()))
    return worst


if __name__ == "__main__":
    for width in sys.argv[1:]:
        print(largest_error(int(width)), flush=True)
