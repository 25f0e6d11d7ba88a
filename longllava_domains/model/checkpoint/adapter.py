"""A PEFT adapter folder, merged into the network it was trained on."""

import re
from pathlib import Path

from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open

from longllava_domains.errors import CheckpointError
from longllava_domains.formats.regular_file import open_regular
from longllava_domains.model.checkpoint.adapter_config import read_adapter_config
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.privacy import silenced
from longllava_domains.units import content_hash

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
# What peft raises where configuration, weights and network do not fit.
_MISFITS = (
    ArithmeticError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError,
    ValueError, SafetensorError, re.error,
)  # fmt: skip


def merge_adapter(
    network: LongLlavaForConditionalGeneration, folder: str | Path
) -> LongLlavaForConditionalGeneration:
    """Load a PEFT adapter strictly and fold it into the weights.

    Args:
        network: The network that the adapter was trained on; it is changed in place.
        folder: ``adapter_config.json`` and ``adapter_model.safetensors``.

    Returns:
        The network, without a trace of peft around it.

    Raises:
        CheckpointError: No adapter, a damaged one, or one that was trained on another network.
            Tensors that would stay unused are an error, not a warning.
    """
    source = Path(folder)
    config, stored = _stored(source)
    try:
        with silenced():
            adapted = PeftModel.from_pretrained(
                network, str(source), is_trainable=False, config=config
            )
    except _MISFITS as error:
        raise CheckpointError(
            f"The adapter does not fit this network ({type(error).__name__}).",
            remedy="Load it with the base model that it was trained on.",
            code="adapter.mismatch",
        ) from None  # it may quote the path
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


def adapter_sha256(folder: str | Path) -> str:
    """Return the SHA-256 of an adapter's configuration and weights."""
    source = Path(folder)
    return content_hash((source / name).read_bytes() for name in (_CONFIG, _WEIGHTS))


def _stored(folder: Path) -> tuple[LoraConfig, dict[str, tuple[int, ...]]]:
    """Return the configuration, and name -> shape of every tensor."""
    try:
        config = read_adapter_config(folder / _CONFIG)
        open_regular(folder / _WEIGHTS).close()
        with safe_open(folder / _WEIGHTS, framework="pt") as opened:
            names = list(opened.keys())
            return config, {name: tuple(opened.get_slice(name).get_shape()) for name in names}
    except (OSError, ValueError, TypeError, AttributeError, SafetensorError):
        raise CheckpointError(
            "The adapter folder holds no readable adapter.",
            remedy=f"It needs {_CONFIG} and {_WEIGHTS}, as peft's save_pretrained writes them.",
            code="adapter.absent",
        ) from None
