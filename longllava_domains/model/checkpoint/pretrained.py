"""`from_pretrained` and `save_pretrained` for what transformers' own code would get wrong.

A released folder spells tensors in another way, and a folder in 8 bits holds codes that
transformers would take for weights. Both go through `load_checkpoint`. Importing this module tells
the network about it, and lets `AutoConfig` read the released ``llava_jamba``.
"""

from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, GenerationConfig
from transformers.utils.hub import cached_file

from longllava_domains.errors import PolicyError
from longllava_domains.model.checkpoint.files import read_json
from longllava_domains.model.checkpoint.load import load_checkpoint
from longllava_domains.model.checkpoint.source import download
from longllava_domains.model.checkpoint.tower import tower_config
from longllava_domains.model.checkpoint.write import SHARD_BYTES, save_quantized
from longllava_domains.model.network.config import LongLlavaConfig, from_released
from longllava_domains.model.network.storage import use_storage

_HUB: Final = ("revision", "token", "cache_dir", "local_files_only", "force_download")
# Of no account here: weights are always streamed, checked, and never code.
_MOOT: Final = frozenset(
    (
        "config", "trust_remote_code", "code_revision", "use_safetensors", "low_cpu_mem_usage",
        "weights_only", "adapter_kwargs", "proxies", "_commit_hash", "_from_auto",
        "_from_pipeline", "output_loading_info",
    )
)  # fmt: skip
_SAVING: Final = frozenset(
    ("is_main_process", "max_shard_size", "safe_serialization", "state_dict")
)
_UNITS: Final = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class ReleasedConfig(LongLlavaConfig):
    """Class that `AutoConfig` finds for ``llava_jamba``; reading one gives a `LongLlavaConfig`."""

    model_type = "llava_jamba"

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Read a released config.json.

        Raises:
            CheckpointError: It asks for a feature that LongLLaVA never had, or for an unknown tower.
        """
        unused = kwargs.pop("return_unused_kwargs", False)
        folder = Path(str(kwargs.get("name_or_path", "")))
        config = from_released(config_dict, tower_config(folder, config_dict))
        for name in [name for name in kwargs if hasattr(config, name)]:
            setattr(config, name, kwargs.pop(name))
        return (config, kwargs) if unused else config


class Checkpoints:
    """The `Storage` that networks load and save through."""

    def reads(self, model: Any, options: dict[str, Any]) -> bool:
        """Return True for a folder or hub id in a layout of another name, or in 8 bits."""
        folder = Path(str(model)).expanduser()
        found: Path | str | None = folder / "config.json"
        if not folder.is_dir():
            found = cached_file(
                str(model),
                "config.json",
                **_hub_options(options),
                _raise_exceptions_for_gated_repo=False,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )
        if found is None or not Path(found).is_file():
            return False
        entries = read_json(Path(found), "config.json")
        ours = entries.get("model_type") == LongLlavaConfig.model_type
        return not ours or entries.get("quantization") is not None

    def load(self, model: Any, options: dict[str, Any]) -> Any:
        """Load it as `load_checkpoint` does.

        Raises:
            PolicyError: An option of `from_pretrained` that has no meaning here.
        """
        given = {name: value for name, value in options.items() if value is not None}
        dtypes = [given.pop(name) for name in ("dtype", "torch_dtype") if name in given]
        device = _device(given.pop("device_map", None))
        attention = given.pop("attn_implementation", None)
        _require_known(given, _MOOT | set(_HUB), "loaded")
        folder = Path(str(model)).expanduser()
        if not folder.is_dir():
            folder = download(str(model), **_hub_options(options))
        network = load_checkpoint(folder, dtype=dtypes[0] if dtypes else "auto", device=device)
        network.config._name_or_path = network.name_or_path = str(model)
        if (folder / "generation_config.json").is_file():
            network.generation_config = GenerationConfig.from_pretrained(str(folder))
        if attention is not None:
            network.set_attn_implementation(attention)
        if given.get("output_loading_info"):
            return network, {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(),
                             "error_msgs": []}  # fmt: skip
        return network

    def save(self, network: Any, folder: str | Path, options: dict[str, Any]) -> None:
        """Write a network in 8 bits as `save_quantized` does.

        Raises:
            PolicyError: An option of `save_pretrained` that has no meaning here.
        """
        given = {name: value for name, value in options.items() if value not in (None, False)}
        if options.get("is_main_process") is False:
            return
        _require_known(given, _SAVING, "saved")
        size = _bytes(given.get("max_shard_size", SHARD_BYTES))
        save_quantized(network, folder, shard_bytes=size, beside=True)
        network.generation_config.save_pretrained(str(folder))


def _hub_options(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in _HUB if options.get(name) is not None}


def _device(device_map: Any) -> str | torch.device:
    """Return the one device, or "auto", that a device map stands for."""
    if isinstance(device_map, dict) and list(device_map) == [""]:
        device_map = device_map[""]
    if device_map is None:
        return "cpu"
    if isinstance(device_map, int):
        return torch.device("cuda", device_map)
    if isinstance(device_map, (str, torch.device)):
        return device_map
    raise PolicyError(
        "This checkpoint is loaded to one device, or spread by 'auto'.",
        remedy="Pass device_map='auto', or the name of one device.",
        code="checkpoint.device_map",
    )


def _require_known(given: dict[str, Any], known: frozenset[str] | set[str], verb: str) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        raise PolicyError(
            f"This checkpoint cannot be {verb} with {', '.join(unknown)}.",
            remedy="Leave it out; docs/hugging_face.md lists what is possible.",
            code="checkpoint.option",
            facts={"options": tuple(unknown)},
        )


def _bytes(size: int | str) -> int:
    """Read a size such as ``"5GB"``."""
    if isinstance(size, int):
        return size
    text = size.strip().upper()
    unit = next((unit for unit in sorted(_UNITS, key=len, reverse=True) if text.endswith(unit)), "")
    number = text.removesuffix(unit).strip()
    if not unit or not number.replace(".", "", 1).isdigit():
        raise PolicyError(
            "max_shard_size is no size.",
            remedy="Write it like '5GB', or as a number of bytes.",
            code="checkpoint.option",
        )
    return int(float(number) * _UNITS[unit])


use_storage(Checkpoints())
AutoConfig.register(ReleasedConfig.model_type, ReleasedConfig)
