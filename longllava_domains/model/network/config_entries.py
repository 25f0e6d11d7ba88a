"""The data of a configuration: keys that name code are dropped, and sizes are bounded.

transformers reads some keys as orders: an attention implementation may be the name of a hub
repository whose kernels it fetches and runs.
"""

from typing import Any, Final

from longllava_domains.errors import CheckpointError

_ORDERS: Final = frozenset(
    {
        "attn_implementation", "auto_map", "custom_pipelines", "experts_implementation",
        "kernel_config", "name_or_path", "quantization_config", "trust_remote_code", "use_kernels",
    }
)  # fmt: skip
# No model comes near; beyond, the empty network alone would fill the memory.
_LARGEST: Final = {
    "num_hidden_layers": 1024, "num_experts": 1024, "num_local_experts": 1024,
    "num_experts_per_tok": 1024, "vocab_size": 1 << 22, "hidden_size": 1 << 17,
    "intermediate_size": 1 << 20, "mamba_expand": 64, "mamba_d_state": 1 << 14,
    "mamba_d_conv": 1 << 10, "mamba_dt_rank": 1 << 17, "image_size": 1 << 14,
    "num_attention_heads": 1 << 12, "num_key_value_heads": 1 << 12, "projection_dim": 1 << 17,
}  # fmt: skip


def data_entries(entries: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a configuration that are data, at every level.

    Raises:
        CheckpointError: A size is beyond any model's.
    """
    kept: dict[str, Any] = {}
    for key, value in entries.items():
        if not isinstance(key, str) or key in _ORDERS or key.startswith("_"):
            continue
        largest = _LARGEST.get(key)
        if largest is not None and isinstance(value, (int, float)) and abs(value) > largest:
            raise CheckpointError(
                f"The configuration gives {key} a value above {largest}.",
                remedy="No such model is known: download or save the checkpoint again.",
                code="checkpoint.config",
                facts={"largest": largest},
            )
        kept[key] = data_entries(value) if isinstance(value, dict) else value
    return kept
