"""A report of the kernels that run on a device and why, in values that provenance can record."""

import torch

from longllava_domains.arguments import checked
from longllava_domains.model.kernels.conv.choice import convolution_choice
from longllava_domains.model.kernels.int8_experts.choice import experts_choice
from longllava_domains.model.kernels.scan.choice import scan_choice


@checked
def kernel_report(device: torch.device) -> dict[str, dict[str, object]]:
    """Say which kernels run on a device and why, in values that provenance can record.

    Returns:
        For ``"scan"``, ``"convolution"`` and ``"int8_experts"`` (with activations in bfloat16,
        used where a model has such experts): ``chosen``, ``verdicts`` and ``milliseconds``.
    """
    return {
        "scan": scan_choice(device).report(),
        "convolution": convolution_choice(device).report(),
        "int8_experts": experts_choice(device, torch.bfloat16).report(),
    }
