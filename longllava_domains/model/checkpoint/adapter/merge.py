"""A PEFT adapter, merged into the network it was trained on, or put beside weights in 8 bits."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from longllava_domains.errors import CheckpointError
from longllava_domains.formats.regular_file import open_regular, read_json
from longllava_domains.model.checkpoint.adapter.config import read_adapter_config
from longllava_domains.model.checkpoint.adapter.packaged import DOMAIN_ADAPTERS, packaged_folder
from longllava_domains.model.checkpoint.adapter.updates import (
    apply_updates,
    beyond_8_bits,
    is_the_originals,
    read_updates,
)
from longllava_domains.model.checkpoint.pickled import load_pickled
from longllava_domains.model.checkpoint.source import download_adapter, is_hub_id
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.privacy import silenced
from longllava_domains.units import content_hash, did_you_mean

_CONFIG: Final = "adapter_config.json"
_WEIGHTS: Final = ("adapter_model.safetensors", "adapter_model.bin")
# What the original's training script wrote beside an adapter: weights trained as a whole.
_WHOLE: Final = "non_lora_trainables.bin"
# What peft raises where configuration, weights and network do not fit.
_MISFITS: Final = (
    ArithmeticError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError,
    ValueError, SafetensorError, re.error,
)  # fmt: skip


def adapter_folder(adapter: str | Path) -> Path:
    """Return the folder of an adapter; only a hub id that is no folder here reaches the network.

    Raises:
        NetworkError: A hub id that could not be fetched.
        CheckpointError: No folder of an adapter.
    """
    folder = adapter_here(adapter) or download_adapter(str(adapter))
    return _with_config(folder)


def adapter_here(adapter: str | Path) -> Path | None:
    """Return the folder of an adapter on this machine; None for a hub id, which has to be fetched.

    A folder here comes before a packaged adapter of the same name.

    Raises:
        CheckpointError: No folder of an adapter, and no hub id.
    """
    folder = Path(adapter).expanduser()
    if not folder.is_dir():
        packaged = packaged_folder(adapter)
        if packaged is None and isinstance(adapter, str) and is_hub_id(adapter):
            return None
        folder = packaged or folder
    if not folder.is_dir():
        raise CheckpointError(
            "There is no adapter of that name: neither a folder, nor a packaged one, nor a hub id.",
            remedy=f"{did_you_mean(adapter, DOMAIN_ADAPTERS.values())}Name a folder that peft's save_pretrained "
            f"wrote, a hub id like owner/name, or one of {', '.join(DOMAIN_ADAPTERS.values())}.",
            code="adapter.absent",
        )
    return _with_config(folder)


def _with_config(folder: Path) -> Path:
    if not (folder / _CONFIG).is_file():
        raise _unreadable()
    return folder


def merge_adapter(
    network: LongLlavaForConditionalGeneration, folder: str | Path
) -> LongLlavaForConditionalGeneration:
    """Load a PEFT adapter strictly and fold it into the weights.

    Args:
        network: The network that the adapter was trained on; it is changed in place. Beside weights
            in 8 bits a LoRA of linear layers stays in the network's own precision.
        folder: ``adapter_config.json`` and ``adapter_model.safetensors`` or ``.bin``, under our
            tensor names or those of the original code, whose ``non_lora_trainables.bin`` is read
            too.

    Returns:
        The network, without a trace of peft around it.

    Raises:
        CheckpointError: No adapter, a damaged one, or one that was trained on another network.
            Tensors that would stay unused are an error, not a warning.
        QuantizationError: It changes experts, or weights as a whole, that are in 8 bits.
    """
    source = Path(folder)
    settings, weights = _read(source)
    if network.config.quantization is not None and any(map(_is_of_experts, weights)):
        raise beyond_8_bits()
    if network.config.quantization is not None or is_the_originals(list(weights)):
        apply_updates(network, read_updates(network, settings, weights))
        return network
    return _merge_by_peft(network, source, _config(source), weights)


def changes_experts(folder: str | Path) -> bool:
    """Return whether an adapter sits on fused experts, so that it cannot stand beside 8 bits.

    Raises:
        CheckpointError: No adapter, or a damaged one.
    """
    return any(map(_is_of_experts, _read(Path(folder))[1]))


def _is_of_experts(name: str) -> bool:
    return ".feed_forward.experts." in name and ".lora_" in name


def adapter_sha256(folder: str | Path) -> str:
    """Return the SHA-256 of an adapter's configuration and weights."""
    files = [Path(folder) / name for name in (_CONFIG, *_WEIGHTS, _WHOLE)]
    return content_hash(file.read_bytes() for file in files if file.is_file())


def _merge_by_peft(
    network: LongLlavaForConditionalGeneration,
    source: Path,
    config: LoraConfig,
    weights: Mapping[str, Tensor],
) -> LongLlavaForConditionalGeneration:
    try:
        with silenced():
            adapted = PeftModel.from_pretrained(
                network, str(source), is_trainable=False, config=config
            )
    except _MISFITS as error:
        raise CheckpointError(
            "The adapter does not fit this network.",
            remedy="Load it with the base model that it was trained on.",
            code="adapter.mismatch",
            facts={"error": type(error).__name__},
        ) from None  # it may quote the path
    stored = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    loaded = {name: tuple(t.shape) for name, t in get_peft_model_state_dict(adapted).items()}
    unused = sorted(name for name, shape in stored.items() if loaded.get(name) != shape)
    absent = sorted(loaded.keys() - stored.keys())
    if unused or absent:
        raise CheckpointError(
            f"{len(unused)} tensors of the adapter have no place in this network and {len(absent)} "
            f"are missing (such as {(unused + absent)[0]}).",
            remedy="Load it with the base model that it was trained on.",
            code="adapter.mismatch",
            facts={"unused": len(unused), "missing": len(absent)},
        )
    merged: LongLlavaForConditionalGeneration = adapted.merge_and_unload()
    return merged


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return settings and tensors of an adapter folder."""
    plain, pickled = (folder / name for name in _WEIGHTS)
    try:
        settings = read_json(folder / _CONFIG)
        if plain.exists():
            open_regular(plain).close()
            weights: dict[str, Tensor] = load_file(plain)
        elif pickled.is_file():
            weights = load_pickled(pickled, "The adapter's weight file")
        else:
            raise _unreadable()
    except (OSError, ValueError, SafetensorError):
        raise _unreadable() from None
    if not isinstance(settings, dict):
        raise _unreadable()
    if (folder / _WHOLE).is_file():
        weights |= load_pickled(folder / _WHOLE, "The adapter's file of whole weights")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise CheckpointError(
            "The adapter holds NaN or infinity.",
            remedy="Use a sound adapter; the training of this one diverged.",
            code="checkpoint.not_finite",
        )
    return settings, weights


def _config(folder: Path) -> LoraConfig:
    try:
        return read_adapter_config(folder / _CONFIG)
    except (OSError, ValueError, TypeError, AttributeError):
        raise _unreadable() from None


def _unreadable() -> CheckpointError:
    return CheckpointError(
        "The adapter folder holds no readable adapter.",
        remedy=f"It needs {_CONFIG} and {' or '.join(_WEIGHTS)}, as peft's save_pretrained writes "
        "them; or name a hub id like owner/name.",
        code="adapter.absent",
    )
