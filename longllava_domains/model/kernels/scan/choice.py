"""Which scan runs on a device."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from longllava_domains.model.kernels.scan.blocked import ScanInputs, blocked_scan
from longllava_domains.model.kernels.scan.mamba_ssm import load_stock_scan
from longllava_domains.model.kernels.scan.reference import selective_scan_reference
from longllava_domains.model.kernels.selection import Choice, choose, relative_error

Scan = Callable[[ScanInputs], tuple[Tensor, Tensor]]


def chosen_scan(device: torch.device) -> Scan:
    """Return the scan to use on a device; the first call on a GPU proves and times."""
    return scan_choice(device).kernel


@cache
def scan_choice(device: torch.device) -> Choice[Scan]:
    """Return the scan to use on a device, and why; proved and timed once."""
    if device.type == "cpu":
        return Choice("blocked", blocked_scan)
    case, timed = _scan_case(device, 1, 40, 16), _scan_case(device, 1, 2048, 2048)
    loaders = {"triton": _load_triton_scan, "mamba_ssm": load_stock_scan}
    return choose(
        loaders,
        blocked_scan,
        proof=lambda kernel: scan_error(kernel, case),
        work=lambda kernel: kernel(timed),
        device=device,
    )


def scan_error(kernel: Scan, inputs: ScanInputs) -> float:
    """Return the largest relative error of a scan against the reference on the CPU."""
    on_cpu = ScanInputs._make(None if value is None else value.cpu() for value in inputs)
    expected = selective_scan_reference(
        *on_cpu[:6], initial_state=on_cpu.initial_state, resets=on_cpu.resets
    )
    return relative_error(kernel(inputs), expected)


def _scan_case(device: torch.device, rows: int, tokens: int, channels: int) -> ScanInputs:
    generator = torch.Generator().manual_seed(0)
    states = 16
    dt = torch.rand(rows, tokens, channels, generator=generator) * 0.1 + 1e-3
    A = -torch.arange(1.0, states + 1).expand(channels, states)
    x, B, C, D, state = (
        torch.randn(*shape, generator=generator)
        for shape in (
            (rows, tokens, channels),
            (rows, tokens, states),
            (rows, tokens, states),
            (channels,),
            (rows, channels, states),
        )
    )
    resets = (torch.arange(tokens) == tokens // 2).expand(rows, tokens)
    values = (x, dt, A, B, C, D, state, resets)
    return ScanInputs._make(value.to(device) for value in values)


def _load_triton_scan() -> Scan:
    from longllava_domains.model.kernels.scan.triton import triton_scan

    return triton_scan
