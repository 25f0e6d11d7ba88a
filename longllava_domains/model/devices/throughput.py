"""What a device can do at most, measured in a second: matrix products and reading of memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

_REPETITIONS = 3


@dataclass(frozen=True)
class Rate:
    """How fast a device is, measured or given.

    Attributes:
        flops_per_s: Matrix products.
        bytes_per_s: Reading of memory.
        source: ``"measured"`` or ``"given"``.
    """

    flops_per_s: float
    bytes_per_s: float
    source: str


def measure_rate(device: str | torch.device, dtype: torch.dtype = torch.float32) -> Rate:
    """Measure a device; best of three.

    Args:
        device: A torch device.
        dtype: Precision of the products.
    """
    where = torch.device(device)
    side = 1024 if where.type == "cpu" else 8192
    left, right = (torch.randn(side, side, device=where).to(dtype) for _ in range(2))
    words = torch.zeros((32 if where.type == "cpu" else 512) * 1024**2, device=where)
    products = 2 * side**3 / _best_seconds(lambda: torch.mm(left, right), where)
    reading = words.numel() * words.element_size() / _best_seconds(lambda: words.sum(), where)
    return Rate(products, reading, "measured")


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(_REPETITIONS + 1):  # the first one warms up
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])
