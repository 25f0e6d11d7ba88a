"""Which of several kernels runs on a device: present, proved on it, and fastest.

On a GPU there may be several kernels for the same thing, and an import that succeeds says little:
a build for another torch, or one that left the Mamba-1 kernel out, fails when it is called. So
each candidate is run once against the float64 reference, from a state and across resets, and
timed once; the fastest that is right is used. The plain torch path is always right; falling back
to it on a GPU is said aloud, once. On the CPU there is nothing to choose. The `choice` module
beside each kernel names its candidates.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import torch
from torch import Tensor

Candidate = TypeVar("Candidate", bound=Callable[..., Any])

TOLERANCE: Final = 1e-4  # relative to the largest value; float32 kernels reach 1e-6


@dataclass(frozen=True)
class Choice(Generic[Candidate]):
    """A kernel and why it was chosen.

    Attributes:
        name: The candidate's name; ``"blocked"`` is plain torch.
        kernel: The function.
        verdicts: For each candidate ``"absent"``, ``"failed:<error class>"``, ``"wrong"`` or
            ``"proved"``.
        milliseconds: Best time of each proved candidate on a small case.
    """

    name: str
    kernel: Candidate
    verdicts: Mapping[str, str] = field(default_factory=dict)
    milliseconds: Mapping[str, float] = field(default_factory=dict)

    def report(self) -> dict[str, object]:
        """Return the name and the reasons as plain values."""
        return {
            "chosen": self.name,
            "verdicts": dict(self.verdicts),
            "milliseconds": {name: round(value, 3) for name, value in self.milliseconds.items()},
        }


def choose(
    loaders: Mapping[str, Callable[[], Candidate]],
    fallback: Candidate,
    *,
    proof: Callable[[Candidate], float],
    work: Callable[[Candidate], object],
    device: torch.device,
    tolerance: float = TOLERANCE,
) -> Choice[Candidate]:
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
    proved: dict[str, Candidate] = {}
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


def relative_error(results: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """Return the largest difference of any result, relative to its largest expected value."""
    return max(
        float((ours.cpu().double() - theirs).abs().max() / theirs.abs().max())
        for ours, theirs in zip(results, expected, strict=True)
    )


def _best_milliseconds(
    kernel: Candidate, work: Callable[[Candidate], object], device: torch.device
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
