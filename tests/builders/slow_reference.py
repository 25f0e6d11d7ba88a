"""The whole of LongLLaVA once more, slow and plain, written to be read beside the papers.

It takes tensors under their released names and shares no code with the package: one token, one
head and one expert at a time, in float64.

    L tokens, D width of the language model, E = expand * D channels of the Mamba mixer,
    N states of each channel (Gu and Dao 2023, section 3), P patches, V width of the tower
"""

import math

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def logits(weights: Weights, config: dict, tower: dict, ids: list[int], pixels: Tensor) -> Tensor:
    """(L, vocabulary) of one prompt; -200 in `ids` stands for one whole image."""
    weights = {name: tensor.double() for name, tensor in weights.items()}
    images = [image_tokens(weights, config, tower, image.double()) for image in pixels]
    rows = []
    for token in ids:
        rows += (
            list(images.pop(0)) if token == -200 else [weights["model.embed_tokens.weight"][token]]
        )
    x = torch.stack(rows)
    for layer in range(config["num_hidden_layers"]):
        x = decoder_layer(weights, config, layer, x)
    return rms_norm(x, weights["model.final_layernorm.weight"]) @ weights["lm_head.weight"].T


def image_tokens(weights: Weights, config: dict, tower: dict, image: Tensor) -> Tensor:
    """(tokens, D) of one image (3, side, side)."""
    pooled = pool(clip_patches(weights, tower, image), config.get("resamplePooling", "2d"))
    hidden = linear(pooled, weights, "model.mm_projector.0")
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    return linear(hidden, weights, "model.mm_projector.2")


def pool(patches: Tensor, how: str) -> Tensor:
    """(P, V) -> (tokens, V): the mean of each square of patches, spelled out."""
    if how == "none":
        return patches
    if how == "1d":
        return torch.stack(
            [(patches[4 * i + 1] + patches[4 * i + 2]) / 2 for i in range(len(patches) // 4)]
        )
    side, grid = {"2d": 2, "4x4": 4}[how], math.isqrt(len(patches))
    tokens = []
    for top in range(0, grid, side):
        for left in range(0, grid, side):
            square = [
                patches[(top + dy) * grid + left + dx] for dy in range(side) for dx in range(side)
            ]
            tokens.append(sum(square) / len(square))
    return torch.stack(tokens)


def clip_patches(weights: Weights, tower: dict, image: Tensor) -> Tensor:
    """(P, V): the last hidden state but one, without the class token (Radford et al. 2021)."""
    prefix = "model.vision_tower.vision_tower.vision_model."
    w = {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
    size, grid = tower["patch_size"], tower["image_size"] // tower["patch_size"]
    kernel = w["embeddings.patch_embedding.weight"].flatten(1)
    x = [w["embeddings.class_embedding"]]
    for row in range(grid):
        for column in range(grid):
            patch = image[:, row * size : (row + 1) * size, column * size : (column + 1) * size]
            x.append(kernel @ patch.flatten())
    x = torch.stack(x) + w["embeddings.position_embedding.weight"]
    x = layer_norm(x, w, "pre_layrnorm")
    for layer in range(tower["num_hidden_layers"] - 1):
        name = f"encoder.layers.{layer}"
        x = x + clip_attention(
            layer_norm(x, w, f"{name}.layer_norm1"), w, name, tower["num_attention_heads"]
        )
        hidden = linear(layer_norm(x, w, f"{name}.layer_norm2"), w, f"{name}.mlp.fc1")
        x = x + linear(hidden * torch.sigmoid(1.702 * hidden), w, f"{name}.mlp.fc2")
    return x[1:]


def clip_attention(x: Tensor, w: Weights, name: str, heads: int) -> Tensor:
    q, k, v = (linear(x, w, f"{name}.self_attn.{part}_proj") for part in "qkv")
    width = x.shape[1] // heads
    outputs = []
    for head in range(heads):
        cut = slice(head * width, (head + 1) * width)
        scores = q[:, cut] @ k[:, cut].T / math.sqrt(width)
        outputs.append(scores.softmax(-1) @ v[:, cut])
    return linear(torch.cat(outputs, 1), w, f"{name}.self_attn.out_proj")


def decoder_layer(weights: Weights, config: dict, layer: int, x: Tensor) -> Tensor:
    """(L, D) -> (L, D): attention or Mamba, then one or several experts (Lieber et al. 2024)."""
    prefix = f"model.layers.{layer}."
    w = {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
    normed = rms_norm(x, w["input_layernorm.weight"])
    if layer % config["attn_layer_period"] == config["attn_layer_offset"]:
        x = x + causal_attention(w, config, normed)
    else:
        x = x + mamba(w, config, normed)
    normed = rms_norm(x, w["pre_moe_layernorm.weight"])
    sparse = layer % config["expert_layer_period"] == config["expert_layer_offset"]
    if sparse and config["num_experts"] > 1:
        return x + torch.stack([mixture(w, config, token) for token in normed])
    return x + expert(w, 0, normed)


def causal_attention(w: Weights, config: dict, x: Tensor) -> Tensor:
    """Grouped-query attention without any positional encoding."""
    q, k, v = (x @ w[f"self_attn.{part}_proj.weight"].T for part in "qkv")
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    width = x.shape[1] // heads
    future = torch.ones(len(x), len(x)).triu(1).bool()
    outputs = []
    for head in range(heads):
        group = head * groups // heads
        mine, shared = (
            slice(head * width, (head + 1) * width),
            slice(group * width, (group + 1) * width),
        )
        scores = q[:, mine] @ k[:, shared].T / math.sqrt(width)
        outputs.append(scores.masked_fill(future, -torch.inf).softmax(-1) @ v[:, shared])
    return torch.cat(outputs, 1) @ w["self_attn.o_proj.weight"].T


def mamba(w: Weights, config: dict, x: Tensor) -> Tensor:
    """The selective state space of Gu and Dao 2023, algorithm 2, one token after the other."""
    E = config["mamba_expand"] * x.shape[1]
    N, R, K = config["mamba_d_state"], config["mamba_dt_rank"], config["mamba_d_conv"]
    inner, gate = (x @ w["mamba.in_proj.weight"].T).split(E, dim=1)
    padded = torch.cat([torch.zeros(K - 1, E).double(), inner])
    A = -torch.exp(w["mamba.A_log"])
    h = torch.zeros(E, N).double()
    outputs = []
    for t in range(len(x)):
        u = (padded[t : t + K] * w["mamba.conv1d.weight"][:, 0].T).sum(0) + w["mamba.conv1d.bias"]
        u = u * torch.sigmoid(u)
        delta, B, C = (w["mamba.x_proj.weight"] @ u).split([R, N, N])
        delta = rms_norm(delta, w["mamba.dt_layernorm.weight"])
        B = rms_norm(B, w["mamba.B_layernorm.weight"])
        C = rms_norm(C, w["mamba.C_layernorm.weight"])
        delta = torch.log1p(torch.exp(w["mamba.dt_proj.weight"] @ delta + w["mamba.dt_proj.bias"]))
        h = torch.exp(delta[:, None] * A) * h + (delta * u)[:, None] * B
        y = h @ C + w["mamba.D"] * u
        outputs.append(y * gate[t] * torch.sigmoid(gate[t]))
    return torch.stack(outputs) @ w["mamba.out_proj.weight"].T


def mixture(w: Weights, config: dict, token: Tensor) -> Tensor:
    """One token through its best experts; their weights are not normalised again."""
    chances = (w["moe.router.weight"] @ token).softmax(0)
    best = chances.topk(config["num_experts_per_tok"]).indices.tolist()
    return sum(chances[index] * expert(w, index, token) for index in best)


def expert(w: Weights, index: int, x: Tensor) -> Tensor:
    gate, up, down = (
        w[f"moe.experts.{index}.{part}_proj.weight"] for part in ("gate", "up", "down")
    )
    hidden = x @ gate.T
    return (hidden * torch.sigmoid(hidden) * (x @ up.T)) @ down.T


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    return weight * x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


def layer_norm(x: Tensor, w: Weights, name: str, eps: float = 1e-5) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + eps)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
