"""Faster float32 matrix products on processors whose oneDNN beats torch's default library.

With ``torch.backends.mkldnn.matmul.fp32_precision = "bf16"`` torch hands float32 products to
oneDNN, which *may* round to bfloat16. On some processors it does not: it runs its own float32
kernel, twice as fast as the default. On others (AMX) it really rounds, which would cost three
digits. So the setting is never made blindly: speed and error are measured once, here, and it is
made only where the products stay float32, and only while a model of ours runs.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

LARGEST_ERROR = 3e-6  # relative; float32 reaches 2e-7 to 1e-6, bfloat16 rounding 3e-3
LEAST_SPEEDUP = 1.1

# Rows, inner size, columns: a chunk of tokens, a token, a low rank, an odd shape.
_SHAPES = ((1024, 512, 1024), (1, 1024, 2048), (256, 32, 512), (37, 113, 61))


@dataclass(frozen=True)
class ProductProbe:
    """The speed and accuracy of oneDNN's products on this machine.

    Attributes:
        speedup: Times faster than torch's default, on a chunk of tokens.
        error: Largest relative error over several shapes, against float64.
    """

    speedup: float
    error: float

    @property
    def worth_it(self) -> bool:
        """True if the products are still float32, and faster."""
        return self.error <= LARGEST_ERROR and self.speedup >= LEAST_SPEEDUP


@contextmanager
def fast_products(network: nn.Module) -> Iterator[None]:
    """Use oneDNN's float32 products for a network on the CPU where that is proved to be right."""
    weight = next(network.parameters())
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    if not (on_cpu and _has_onednn() and probe_products().worth_it):
        yield
        return
    with _through_onednn():
        yield


@cache
def probe_products() -> ProductProbe:
    """Measure once per process; takes a fraction of a second."""
    error = max(_error(*shape) for shape in _SHAPES)
    if error > LARGEST_ERROR:
        return ProductProbe(speedup=0.0, error=error)
    left, right = _factors(*_SHAPES[0])
    stock, ours = [], []
    for _ in range(5):  # by turns, so that a busy moment meets both
        stock.append(_seconds(left, right))
        with _through_onednn():
            ours.append(_seconds(left, right))
    return ProductProbe(speedup=min(stock) / min(ours), error=error)


@contextmanager
def _through_onednn() -> Iterator[None]:
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _factors(rows: int, inner: int, columns: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, inner, generator=generator)
    return left, torch.randn(columns, inner, generator=generator)


def _error(rows: int, inner: int, columns: int) -> float:
    left, right = _factors(rows, inner, columns)
    exact = left.double() @ right.double().t()
    with _through_onednn():
        found = nn.functional.linear(left, right)
    return float((found.double() - exact).norm() / exact.norm())


def _seconds(left: Tensor, right: Tensor) -> float:
    start = time.perf_counter()
    nn.functional.linear(left, right)
    return time.perf_counter() - start
