"""Scales of 8-bit weights stay in float32, whatever precision a network is moved to."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def apply_but_keep_scales(module: nn.Module, apply: Callable[[], Any]) -> None:
    """Move or convert a module, and put its scales back as they were, on its device.

    A scale rounded to bfloat16 would move all numbers of its row by up to 0.4 %.

    Args:
        module: One whose scales are buffers of its own, named ``..._scale``.
        apply: What moves or converts it (`nn.Module._apply` of its parent).
    """
    before = {name: held for name, held in module._buffers.items() if name.endswith("_scale")}
    apply()
    for name, held in before.items():
        now = module._buffers[name]
        if held is None or now is None or now.dtype == held.dtype:
            continue
        kept = torch.empty_like(now, dtype=held.dtype) if held.is_meta else held.to(now.device)
        module._buffers[name] = kept
