"""The shapes of the released models, and the network that a name stands for, without weights."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from transformers import CLIPVisionConfig

from longllava_domains.errors import CheckpointError, QuantizationError
from longllava_domains.model.checkpoint.load import empty_network, open_checkpoint
from longllava_domains.model.checkpoint.source import DEMO, locate
from longllava_domains.model.devices.placement import resolve_dtype
from longllava_domains.model.int8.quantize import resolve_quantization
from longllava_domains.model.network.config import CLIP_LARGE_336, LongLlavaConfig, from_released
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.units import did_you_mean

KNOWN_SHAPES: Final = ("9b", "53b")


def shape_of(model: str | Path) -> LongLlavaConfig:
    """Return the configuration that a name stands for.

    Args:
        model: ``"9b"`` (LongLLaVA-9B, LongLLaVAMed-9B), ``"53b"`` (LongLLaVA-53B-A13B), or what
            `load_model` takes: ``"demo"``, a folder or a hub id.

    Raises:
        CheckpointError: No model of that name.
        NetworkError: A hub id that could not be fetched.
    """
    if str(model) not in KNOWN_SHAPES:
        return open_checkpoint(_folder(model)).config
    packaged = files("longllava_domains.model") / "shapes" / f"{model}.json"
    return from_released(
        json.loads(packaged.read_text("utf-8")), CLIPVisionConfig(**CLIP_LARGE_336)
    )


def _folder(model: str | Path) -> Path:
    """Return the folder of a model that has no shape here, or name the shapes that are known."""
    try:
        return locate(model).folder
    except CheckpointError as error:
        if error.code != "checkpoint.absent":
            raise
        known = " or ".join(f'"{name}"' for name in KNOWN_SHAPES)
        raise CheckpointError(
            error.message,
            remedy=f'{did_you_mean(model, (*KNOWN_SHAPES, DEMO))}Use {known} (known here without their weights), "demo", a folder with '
            "config.json and weights, or a hub id like owner/name.",
            code=error.code,
        ) from None


def network_of(model: str | Path, precision: str) -> LongLlavaForConditionalGeneration:
    """Return the network without weights (on the meta device), in a precision.

    Args:
        model: As in `shape_of`.
        precision: ``"bfloat16"``, ``"float16"`` or ``"float32"`` (also bf16, fp16, fp32), or
            ``"int8"`` with any of ``+lm_head`` and ``+projector``; the rest is then bfloat16.

    Raises:
        CheckpointError: No model of that name.
        QuantizationError: There is no such precision.
    """
    return _network(str(model), precision)


@cache
def _network(model: str, precision: str) -> LongLlavaForConditionalGeneration:
    config = shape_of(model)
    quantization = None
    if precision.startswith("int8"):
        quantization, precision = resolve_quantization(precision), "bfloat16"
    elif precision not in ("bfloat16", "float16", "float32", "bf16", "fp16", "fp32"):
        raise QuantizationError(
            f"There is no precision {precision!r}.",
            remedy="Use bfloat16, float16, float32, or int8 with any of +lm_head and +projector.",
            code="quantization.unknown",
        )
    dtype = resolve_dtype(precision, config.dtype)
    config.dtype = dtype
    network = empty_network(config, quantization)
    for weight in network.parameters():  # what is loaded in 8 bits keeps its float32 scales
        weight.data = weight.data.to(dtype)
    return network
