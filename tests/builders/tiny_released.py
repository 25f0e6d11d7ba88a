"""A tiny random checkpoint in the released layout, the same on every machine."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

TOWER = {
    "model_type": "clip_vision_model",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "hidden_act": "quick_gelu",
}
TOWER_PREFIX = "model.vision_tower.vision_tower.vision_model."


def config_of(experts: int) -> dict:
    """A config.json as the released checkpoints have it; 4 x 4 patches, so 4 tokens an image."""
    return {
        "architectures": ["LlavaJambaForCausalLM"],
        "model_type": "llava_jamba",
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "attn_layer_period": 4,
        "attn_layer_offset": 2,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": experts,
        "num_experts_per_tok": min(experts, 2),
        "mamba_d_state": 8,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_dt_rank": 4,
        "mamba_inner_layernorms": True,
        "vocab_size": 1600,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "mm_hidden_size": 16,
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": "/home/somebody/clip_vit_large_patch14_336",
        "resamplePooling": "2d",
        "tokenizer_model_max_length": 40960,
    }


def shapes(config: dict) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor of the released layout, spelled out."""
    D, F, V = config["hidden_size"], config["intermediate_size"], TOWER["hidden_size"]
    yield from {
        "model.embed_tokens.weight": (config["vocab_size"], D),
        "model.final_layernorm.weight": (D,),
        "lm_head.weight": (config["vocab_size"], D),
        "model.mm_projector.0.weight": (D, V),
        "model.mm_projector.0.bias": (D,),
        "model.mm_projector.2.weight": (D, D),
        "model.mm_projector.2.bias": (D,),
    }.items()
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (D,)
        yield prefix + "pre_moe_layernorm.weight", (D,)
        attends = layer % config["attn_layer_period"] == config["attn_layer_offset"]
        for name, shape in (attention if attends else mixer)(config).items():
            yield prefix + name, shape
        sparse = layer % config["expert_layer_period"] == config["expert_layer_offset"]
        experts = config["num_experts"] if sparse else 1
        for expert in range(experts):
            yield f"{prefix}moe.experts.{expert}.gate_proj.weight", (F, D)
            yield f"{prefix}moe.experts.{expert}.up_proj.weight", (F, D)
            yield f"{prefix}moe.experts.{expert}.down_proj.weight", (D, F)
        if experts > 1:
            yield prefix + "moe.router.weight", (experts, D)
    for name, shape in tower().items():
        yield TOWER_PREFIX + name, shape


def attention(config: dict) -> dict:
    D = config["hidden_size"]
    shared = D * config["num_key_value_heads"] // config["num_attention_heads"]
    widths = {"q": D, "k": shared, "v": shared}
    projections = {f"self_attn.{part}_proj.weight": (width, D) for part, width in widths.items()}
    return projections | {"self_attn.o_proj.weight": (D, D)}


def mixer(config: dict) -> dict:
    D = config["hidden_size"]
    E, N, R = config["mamba_expand"] * D, config["mamba_d_state"], config["mamba_dt_rank"]
    return {
        "mamba.in_proj.weight": (2 * E, D),
        "mamba.conv1d.weight": (E, 1, config["mamba_d_conv"]),
        "mamba.conv1d.bias": (E,),
        "mamba.x_proj.weight": (R + 2 * N, E),
        "mamba.dt_proj.weight": (E, R),
        "mamba.dt_proj.bias": (E,),
        "mamba.A_log": (E, N),
        "mamba.D": (E,),
        "mamba.out_proj.weight": (D, E),
        "mamba.dt_layernorm.weight": (R,),
        "mamba.B_layernorm.weight": (N,),
        "mamba.C_layernorm.weight": (N,),
    }


def tower() -> dict:
    V, F = TOWER["hidden_size"], TOWER["intermediate_size"]
    found = {
        "embeddings.class_embedding": (V,),
        "embeddings.patch_embedding.weight": (V, 3, TOWER["patch_size"], TOWER["patch_size"]),
        "embeddings.position_embedding.weight": (17, V),
    }
    for norm in ("pre_layrnorm", "post_layernorm"):
        found |= {f"{norm}.weight": (V,), f"{norm}.bias": (V,)}
    for layer in range(TOWER["num_hidden_layers"]):
        prefix = f"encoder.layers.{layer}."
        for part in "q", "k", "v", "out":
            found[f"{prefix}self_attn.{part}_proj.weight"] = (V, V)
            found[f"{prefix}self_attn.{part}_proj.bias"] = (V,)
        for norm in ("layer_norm1", "layer_norm2"):
            found |= {f"{prefix}{norm}.weight": (V,), f"{prefix}{norm}.bias": (V,)}
        found |= {f"{prefix}mlp.fc1.weight": (F, V), f"{prefix}mlp.fc1.bias": (F,)}
        found |= {f"{prefix}mlp.fc2.weight": (V, F), f"{prefix}mlp.fc2.bias": (V,)}
    return found


def weights_of(config: dict, seed: int = 0) -> dict[str, torch.Tensor]:
    """Seeded weights whose every part matters: norms off 1, and time steps that remember."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in shapes(config):
        values = rng.standard_normal(shape)
        if name.endswith("norm.weight") or ("layer_norm" in name and name.endswith(".weight")):
            values = 1 + 0.1 * values
        elif name.endswith("A_log"):
            values = np.log(np.arange(1, shape[1] + 1)) + 0.05 * values
        elif name.endswith("dt_proj.bias"):
            steps = np.exp(rng.uniform(math.log(1e-3), math.log(0.1), shape))
            values = steps + np.log(-np.expm1(-steps))
        elif len(shape) > 1 and "embed" not in name:
            values /= math.sqrt(np.prod(shape[1:]))
        made[name] = torch.from_numpy(values.astype(np.float32))
    return made


def write_released(folder: Path, experts: int = 4, **changes: object) -> dict[str, torch.Tensor]:
    """Write a checkpoint folder and return its tensors; `changes` go into config.json."""
    config = {**config_of(experts), **changes}
    weights = weights_of(config)
    (folder / "vision_tower").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vision_tower" / "config.json").write_text(json.dumps(TOWER))
    save_file(weights, folder / "model.safetensors")
    return weights
