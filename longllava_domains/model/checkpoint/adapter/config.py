"""An adapter_config.json, read as data: the few keys that describe LoRA, and nothing that runs.

peft's own reader imports modules that the file names, and asks the hub for the base model that it
names, with the user's token.
"""

import re
from pathlib import Path
from typing import Any, Final

from peft import LoraConfig

from longllava_domains.errors import CheckpointError
from longllava_domains.formats.regular_file import BadDocumentError, read_json

_MAX_RANK: Final = 4096
_MAX_PATTERN: Final = 1000
_KEPT: Final = frozenset(
    {
        "alpha_pattern", "bias", "exclude_modules", "fan_in_fan_out", "layers_pattern",
        "layers_to_transform", "lora_alpha", "lora_bias", "lora_dropout", "modules_to_save", "r",
        "rank_pattern", "target_modules", "target_parameters", "use_dora", "use_rslora",
    }
)  # fmt: skip
# What says where the adapter came from, or how it was begun: no part of what it computes.
_DROPPED: Final = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying",
        "eva_config", "inference_mode", "init_lora_weights", "loftq_config", "lora_ga_config",
        "megatron_core", "peft_type", "peft_version", "qalora_group_size", "revision",
        "runtime_config", "task_type",
    }
)  # fmt: skip
# Repeated groups let a regular expression run for ever on a short name, and so do many choices in
# a row; names joined by "|", as our own training writes them, are tried once each.
_REPEATED_GROUP: Final = re.compile(r"\)[*+{]")
_CHOICES: Final = "*+{?("
_MAX_CHOICES: Final = 8


def read_adapter_config(path: Path) -> LoraConfig:
    """Read an adapter's configuration.

    Raises:
        OSError: No regular file.
        BadDocumentError: No JSON object, or beyond the limits.
        CheckpointError: Not LoRA, or a variant that is not loaded here.
    """
    entries = read_json(path)
    if not isinstance(entries, dict):
        raise BadDocumentError
    unknown = [key for key, value in entries.items() if key not in _KEPT | _DROPPED and value]
    if entries.get("peft_type") != "LORA" or unknown:
        raise _unusable("is not plain LoRA", "Merge it with peft, and load the merged model.")
    ranks = [entries.get("r", 8), *dict(entries.get("rank_pattern") or {}).values()]
    if not all(isinstance(rank, int) and 1 <= rank <= _MAX_RANK for rank in ranks):
        raise _unusable("has an impossible rank", "Save or download it again.")
    for key in (
        "target_modules",
        "exclude_modules",
        "layers_pattern",
        "rank_pattern",
        "alpha_pattern",
    ):
        _require_simple(entries.get(key))
    return LoraConfig(**{key: value for key, value in entries.items() if key in _KEPT})


def _require_simple(patterns: Any) -> None:
    """Refuse regular expressions that could run for ever."""
    listed = [patterns] if isinstance(patterns, str) else list(patterns or ())
    for pattern in listed:
        if not isinstance(pattern, str):
            raise BadDocumentError
        choices = sum(map(pattern.count, _CHOICES))
        too_long = choices > 0 and len(pattern) > _MAX_PATTERN
        if too_long or choices > _MAX_CHOICES or _REPEATED_GROUP.search(pattern):
            raise _unusable("names its modules by a pattern without bound", "List them by name.")


def _unusable(found: str, remedy: str) -> CheckpointError:
    return CheckpointError(f"The adapter {found}.", remedy=remedy, code="adapter.config")
