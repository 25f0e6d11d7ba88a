"""Which kernels run on a device: those that are present, proved on it, and fastest.

On a GPU there may be several kernels for the same thing, and an import that succeeds says little:
a build for another torch, or one that left the Mamba-1 kernel out, fails when it is called. So
each candidate is run once against the float64 reference, from a state and across resets, and
timed once; the fastest that is right is used. The plain torch path is always right; falling back
to it on a GPU is said aloud, once. On the CPU there is nothing to choose.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from longllava_domains.model.kernels.conv.blocked import torch_convolution
from longllava_domains.model.kernels.int8_experts.accuracy import (
    TOLERANCE_EPS,
    experts_case,
    experts_error,
)
from longllava_domains.model.kernels.int8_experts.blocked import blocked_experts
from longllava_domains.model.kernels.packing import first_visible
from longllava_domains.model.kernels.scan.blocked import ScanInputs, blocked_scan
from longllava_domains.model.kernels.scan.mamba_ssm import load_stock_convolution, load_stock_scan
from longllava_domains.model.kernels.scan.reference import selective_scan_reference

Scan = Callable[[ScanInputs], tuple[Tensor, Tensor]]
Convolution = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
Experts = Callable[[Any, Tensor, Tensor, Tensor], Tensor]
Kernel = TypeVar("Kernel", Scan, Convolution, Experts)

TOLERANCE = 1e-4  # relative to the largest value; float32 kernels reach 1e-6
GROUPED_DTYPES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Choice(Generic[Kernel]):
    """A kernel and why it was chosen.

    Attributes:
        name: The candidate's name; ``"blocked"`` is plain torch.
        kernel: The function.
        verdicts: For each candidate ``"absent"``, ``"failed:<error class>"``, ``"wrong"`` or
            ``"proved"``.
        milliseconds: Best time of each proved candidate on a small case.
    """

    name: str
    kernel: Kernel
    verdicts: Mapping[str, str] = field(default_factory=dict)
    milliseconds: Mapping[str, float] = field(default_factory=dict)

    def report(self) -> dict[str, object]:
        """Return the name and the reasons as plain values."""
        return {
            "chosen": self.name,
            "verdicts": dict(self.verdicts),
            "milliseconds": {name: round(value, 3) for name, value in self.milliseconds.items()},
        }


def chosen_scan(device: torch.device) -> Scan:
    """Return the scan to use on a device; the first call on a GPU proves and times."""
    return _scan_choice(device).kernel


def chosen_convolution(device: torch.device) -> Convolution:
    """Return the convolution to use on a device; the first call on a GPU proves and times."""
    return _convolution_choice(device).kernel


def chosen_experts(device: torch.device, dtype: torch.dtype) -> Experts:
    """Return how experts in 8 bits run; the first call on a GPU proves and times."""
    return _experts_choice(device, dtype).kernel


def kernel_report(device: torch.device) -> dict[str, dict[str, object]]:
    """Say which kernels run on a device and why, in values that provenance can record.

    Returns:
        For ``"scan"``, ``"convolution"`` and ``"int8_experts"`` (with activations in bfloat16,
        used where a model has such experts): ``chosen``, ``verdicts`` and ``milliseconds``.
    """
    return {
        "scan": _scan_choice(device).report(),
        "convolution": _convolution_choice(device).report(),
        "int8_experts": _experts_choice(device, torch.bfloat16).report(),
    }


@cache
def _scan_choice(device: torch.device) -> Choice[Scan]:
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


@cache
def _convolution_choice(device: torch.device) -> Choice[Convolution]:
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


@cache
def _experts_choice(device: torch.device, dtype: torch.dtype) -> Choice[Experts]:
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


def choose(
    loaders: Mapping[str, Callable[[], Kernel]],
    fallback: Kernel,
    *,
    proof: Callable[[Kernel], float],
    work: Callable[[Kernel], object],
    device: torch.device,
    tolerance: float = TOLERANCE,
) -> Choice[Kernel]:
    """Prove and time candidates, and return the fastest that is right.

    Args:
        loaders: For each candidate a function that imports and returns it.
        fallback: Plain torch, right by definition.
        proof: Runs a kernel on a small case and returns its relative error.
        work: Runs a kernel on a case worth timing.
        device: Where; named in the warning.
        tolerance: The largest error of a kernel that is right.

    Returns:
        The choice. Where no candidate is left it is the fallback, and a warning says so.
    """
    verdicts: dict[str, str] = {}
    milliseconds: dict[str, float] = {}
    proved: dict[str, Kernel] = {}
    for name, load in loaders.items():
        try:
            kernel = load()
            right = proof(kernel) <= tolerance
            milliseconds[name] = _best_milliseconds(kernel, work, device) if right else 0.0
        except ImportError:
            verdicts[name] = "absent"
        except Exception as error:  # a foreign kernel can fail in any way; the report says how
            verdicts[name] = f"failed:{type(error).__name__}"
        else:
            verdicts[name] = "proved" if right else "wrong"
        if verdicts[name] == "proved":
            proved[name] = kernel
    milliseconds = {name: milliseconds[name] for name in proved}
    if proved:
        name = min(proved, key=milliseconds.__getitem__)
        return Choice(name, proved[name], verdicts, milliseconds)
    reasons = ", ".join(f"{name} {verdict}" for name, verdict in verdicts.items())
    warnings.warn(
        f"No fast kernel can be used on {device.type} ({reasons}); the plain torch path runs "
        "instead, which is right but slow there. `longllava doctor` says what to install.",
        stacklevel=2,
    )
    return Choice("blocked", fallback, verdicts, milliseconds)


def scan_error(kernel: Scan, inputs: ScanInputs) -> float:
    """Return the largest relative error of a scan against the reference on the CPU."""
    on_cpu = ScanInputs._make(None if value is None else value.cpu() for value in inputs)
    expected = selective_scan_reference(
        *on_cpu[:6], initial_state=on_cpu.initial_state, resets=on_cpu.resets
    )
    return _relative_error(kernel(inputs), expected)


def convolution_error(kernel: Convolution, device: torch.device) -> float:
    """Return the largest relative error of a convolution across a reset."""
    generator = torch.Generator().manual_seed(0)
    extended = torch.randn(1, 43, 16, generator=generator)
    weight, bias = (torch.randn(16, *shape, generator=generator) for shape in ((4,), ()))
    visible = first_visible(torch.arange(40).unsqueeze(0) == 21, 3)
    expected = torch_convolution(extended.double(), weight.double(), bias.double(), visible)
    y = kernel(*(value.to(device) for value in (extended, weight, bias, visible)))
    return _relative_error((y,), (expected,))


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


def _relative_error(results: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    return max(
        float((ours.cpu().double() - theirs).abs().max() / theirs.abs().max())
        for ours, theirs in zip(results, expected, strict=True)
    )


def _best_milliseconds(
    kernel: Kernel, work: Callable[[Kernel], object], device: torch.device
) -> float:
    times = []
    with torch.no_grad():
        for _ in range(3):  # the first one compiles
            _wait(device)
            start = time.perf_counter()
            work(kernel)
            _wait(device)
            times.append(time.perf_counter() - start)
    return 1000 * min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _load_triton_scan() -> Scan:
    from longllava_domains.model.kernels.scan.triton import triton_scan

    return triton_scan


def _load_triton_experts() -> Experts:
    from longllava_domains.model.kernels.int8_experts.triton import grouped_experts

    return grouped_experts


def _load_triton_convolution() -> Convolution:
    from longllava_domains.model.kernels.conv.triton import triton_convolution

    return triton_convolution
