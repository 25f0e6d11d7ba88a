"""Refusal of numbers that are not finite: NaN would become an empty answer, without a word."""

import torch
from torch import Tensor

from longllava_domains.errors import ModelError


def require_finite(logits: Tensor) -> None:
    """Refuse logits with NaN or infinity.

    Raises:
        ModelError: A logit is not finite.
    """
    if not bool(torch.isfinite(logits).all()):
        raise ModelError(
            "The network's output is not a number.",
            remedy="Load the model with dtype='bfloat16' or 'float32': float16 overflows in this "
            "network; if it is loaded so already, an adapter or a weight is damaged.",
            code="model.not_finite",
            facts={"dtype": str(logits.dtype).removeprefix("torch.")},
        )
