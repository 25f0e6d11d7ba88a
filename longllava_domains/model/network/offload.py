"""The device that a module computes on, also where its weights wait elsewhere."""

import torch
from torch import nn


def device_of(module: nn.Module, weight: torch.Tensor) -> torch.device:
    """Return the device on which a module runs.

    Weights that accelerate has moved to the processor's memory or to a disk are without memory
    (meta device) until the module is called; its hook knows where that will be.

    Args:
        module: The module that is called.
        weight: One of its weights.
    """
    if weight.device.type != "meta":
        return weight.device
    hook = getattr(module, "_hf_hook", None)
    for each in getattr(hook, "hooks", (hook,)):
        where = getattr(each, "execution_device", None)
        if where is not None:
            return torch.device(where)
    return weight.device
