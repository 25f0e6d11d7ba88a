"""`verify_model`: prove a model on a device, in numbers that can be sent to somebody.

Nothing in the result tells where the model lies or who ran it: device, versions, kernels, and
each check with its numbers.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from longllava_domains.errors import TokenizerError
from longllava_domains.model.budget.fit import require_fit
from longllava_domains.model.budget.plan import Request
from longllava_domains.model.checkpoint.load import load_checkpoint
from longllava_domains.model.checkpoint.source import locate
from longllava_domains.model.devices.throughput import measure_rate
from longllava_domains.model.kernels.report import kernel_report
from longllava_domains.model.load import LongLlava
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.network.processor import Processor
from longllava_domains.model.verify import checks
from longllava_domains.model.verify.checks import Check, CheckOutcome, run_check
from longllava_domains.prompt import PromptTokenizer
from longllava_domains.provenance import Provenance

_VERSIONS = ("longllava-domains", "torch", "transformers", "accelerate")


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Attributes:
        device: Kind and model of the device.
        precision: What the weights were in.
        checks: In the order in which they ran.
        kernels: Which ones were chosen, and why.
        versions: Of the packages that matter.
        limits: What the device can do at most, measured in the same run.
    """

    device: str
    precision: str
    checks: tuple[Check, ...]
    kernels: dict[str, Any]
    versions: dict[str, str]
    limits: dict[str, float]

    @property
    def passed(self) -> bool:
        """True where nothing failed; what was skipped or not compared does not count."""
        return all(check.status != "fail" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return the verification as JSON."""
        return {**vars(self), "passed": self.passed, "checks": [c.to_json() for c in self.checks]}


def verify_model(
    model: str | Path,
    device: torch.device,
    *,
    precision: str = "bfloat16",
    views: int = 20,
    answer_tokens: int = 32,
) -> Verification:
    """Run every check; under 15 minutes with real weights on one GPU.

    Args:
        model: ``"demo"``, a folder or a hub id.
        device: Where.
        precision: ``"bfloat16"``, ``"float32"``, ``"float16"`` or ``"int8"``.
        views: Views of the speed and memory check.
        answer_tokens: Tokens that it generates.

    Raises:
        CheckpointError: No model of that name, or one that is not complete.
        MemoryBudgetError: It does not fit on the device.
        QuantizationError: There is no such precision.
    """
    folder = locate(model).folder
    request = Request(views, answer_tokens=answer_tokens)
    require_fit(folder, request, precision=precision, device=device)
    quantization = precision if precision.startswith("int8") else None
    dtype = "bfloat16" if quantization else precision
    network = load_checkpoint(folder, dtype=dtype, device=device, quantization=quantization)
    checks = _checks(network, folder, device, request)
    rate = measure_rate(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    limits = {"flops_per_s": rate.flops_per_s, "bytes_per_s": rate.bytes_per_s}
    versions = {name: version(name) for name in _VERSIONS} | {"python": platform.python_version()}
    return Verification(
        _describe(device), precision, checks, dict(kernel_report(device)), versions, limits
    )


def _checks(
    network: LongLlavaForConditionalGeneration,
    folder: Path,
    device: torch.device,
    request: Request,
) -> tuple[Check, ...]:
    views, answer_tokens = request.views, request.answer_tokens
    works: dict[str, Callable[[], CheckOutcome]] = {
        "kernels against float64": lambda: checks.kernels(device),
        "one period of layers against CPU float32": (lambda: checks.layer_period(network, device)),
        "chunks against one forward": lambda: checks.chunks(network),
        "eight rows against one": lambda: checks.batches(network),
        "speed and memory against the plan": (
            lambda: checks.speed_and_memory(network, device, views, answer_tokens)
        ),
        "needle among views": lambda: _needle(network, folder),
        "8 bits against the precision loaded": (lambda: checks.eight_bits(network, folder, device)),
    }
    return tuple(run_check(name, work) for name, work in works.items())


def _needle(network: LongLlavaForConditionalGeneration, folder: Path) -> CheckOutcome:
    try:
        speller = PromptTokenizer.from_folder(folder)
    except TokenizerError as error:
        return error.message
    loaded = LongLlava(network, Processor(speller, network.config), Provenance())
    return checks.needle(loaded)


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"cpu {platform.machine()} {torch.get_num_threads()} threads"
