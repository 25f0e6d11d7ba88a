"""Put weights into 8 bits, and prove that all of them are.

In int8: the projections of Mamba, of attention and of dense MLPs, and all experts. In the
checkpoint's precision, because they are small or their errors spread: router, norms,
convolution, A, D, the time step, x_proj, embeddings and the vision tower. ``lm_head`` and
``projector`` are quantised only where the name asks for them.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers.models.jamba.modeling_jamba import JambaExperts

from longllava_domains.arguments import checked
from longllava_domains.errors import QuantizationError
from longllava_domains.model.int8.experts import (
    EXPERTS_IMPLEMENTATION,
    FUSED_WEIGHTS,
    quantize_experts,
)
from longllava_domains.model.int8.linear import Int8Linear
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.network.parameter_groups import PARAMETER_GROUPS, group_of

OPTIONS: Final = ("lm_head", "projector")

_LAYER_WEIGHTS: Final = re.compile(
    r"model\.language_model\.layers\.\d+\.(mamba\.(in|out)_proj|self_attn\.[qkvo]_proj"
    r"|feed_forward\.(gate|up|down)_proj|feed_forward\.experts)\Z"
)
_OPTIONAL: Final = {
    "lm_head": re.compile(r"lm_head\Z"),
    "projector": re.compile(r"model\.multi_modal_projector\.linear_[12]\Z"),
}


@dataclass(frozen=True)
class Coverage:
    """The share of one part that is in 8 bits.

    Attributes:
        part: One of `parts.PARAMETER_GROUPS`.
        int8: Parameters stored as int8.
        kept: Parameters in the network's own precision. Scales are not counted.
    """

    part: str
    int8: int
    kept: int

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON."""
        return asdict(self)


def resolve_quantization(quantization: str | None, stored: str | None = None) -> str | None:
    """Return the quantization to load a checkpoint with, in one spelling.

    Args:
        quantization: What was asked for: ``"int8"``, optionally with ``+lm_head`` and
            ``+projector`` (``"int8+lm_head"``); ``"none"``; or None for what is stored.
        stored: What the checkpoint is stored in.

    Returns:
        Such as ``"int8"`` or ``"int8+lm_head+projector"``; None for no quantization.

    Raises:
        QuantizationError: There is no such precision, or the checkpoint is stored in another
            one: what was rounded to 8 bits is not to be had in more.
    """
    wanted = stored if quantization is None else _spelled(quantization)
    if stored is not None and wanted != stored:
        raise QuantizationError(
            f"The checkpoint is stored in {stored} and cannot be loaded as {wanted or 'no quantization'}.",
            remedy="Load it as it is stored, or load the checkpoint that it was made from.",
            code="quantization.stored",
        )
    return wanted


def _spelled(quantization: str) -> str | None:
    precision, *options = str(quantization).split("+")
    if precision == "none" and not options:
        return None
    if precision != "int8" or set(options) - set(OPTIONS) or len(set(options)) < len(options):
        raise QuantizationError(
            f"There is no quantization {quantization!r}.",
            remedy=f"Use 'int8', with any of {', '.join(f'+{o}' for o in OPTIONS)}, or 'none'.",
            code="quantization.unknown",
        )
    return "+".join([precision, *sorted(options)])


def quantize_network(network: LongLlavaForConditionalGeneration, quantization: str) -> None:
    """Put a network's weights into 8 bits, in place.

    On the meta device only shapes are reserved, which `load_checkpoint` fills tensor by tensor, so that
    the network never exists in more.

    Args:
        network: A network that is not quantised yet.
        quantization: As `resolve_quantization` spells it; recorded in the configuration.

    Raises:
        QuantizationError: The head shares its weights with the embeddings and cannot be int8, or
            a weight is not finite.
    """
    if "lm_head" in quantization and network.config.tie_word_embeddings:
        raise QuantizationError(
            "The output head shares its weights with the embeddings, which stay as they are.",
            remedy="Leave out +lm_head.",
            code="quantization.tied",
        )
    for name, module in list(_to_quantise(network, quantization)):
        if isinstance(module, JambaExperts):
            quantize_experts(module)
        elif isinstance(module, nn.Linear):
            network.set_submodule(name, Int8Linear(module))
    network.set_experts_implementation({"text_config": EXPERTS_IMPLEMENTATION})
    network.config.quantization = quantization
    require_int8(network)


def require_int8(network: LongLlavaForConditionalGeneration) -> None:
    """Raise where a module that the network's quantization covers is not in 8 bits.

    Raises:
        QuantizationError: Names the first few modules and counts all.
    """
    quantization = network.config.quantization
    if quantization is None:
        return
    left = [name for name, module in _to_quantise(network, quantization) if not _is_int8(module)]
    if left:
        raise QuantizationError(
            f"{len(left)} modules of the network are not in int8 ({', '.join(left[:3])}).",
            remedy="Load the model again with quantization='int8'; merge adapters before that.",
            code="quantization.coverage",
            facts={"modules": len(left)},
        )


@checked
def coverage(network: nn.Module) -> tuple[Coverage, ...]:
    """Count the parameters of each part that are in 8 bits and that are not."""
    counts = {part: [0, 0] for part in PARAMETER_GROUPS}
    for name, tensor in stored_tensors(network):
        if not name.endswith("_scale"):
            counts[group_of(name)][tensor.dtype != torch.int8] += tensor.numel()
    return tuple(Coverage(part, *found) for part, found in counts.items() if any(found))


def stored_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what a checkpoint of the network holds: parameters, int8 weights and their scales."""
    yield from network.named_parameters(remove_duplicate=True)
    buffers = dict(network.named_buffers())
    for name, buffer in buffers.items():
        if buffer.dtype == torch.int8:
            yield name, buffer
            yield f"{name}_scale", buffers[f"{name}_scale"]


def _to_quantise(network: nn.Module, quantization: str) -> Iterator[tuple[str, nn.Module]]:
    asked = [_OPTIONAL[option] for option in quantization.split("+")[1:]]
    for name, module in network.named_modules():
        if any(pattern.match(name) for pattern in (_LAYER_WEIGHTS, *asked)):
            yield name, module


def _is_int8(module: nn.Module) -> bool:
    if isinstance(module, JambaExperts):
        runs_int8 = module.config._experts_implementation == EXPERTS_IMPLEMENTATION
        return runs_int8 and all(getattr(module, n).dtype == torch.int8 for n in FUSED_WEIGHTS)
    return isinstance(module, Int8Linear) and module.weight.dtype == torch.int8
