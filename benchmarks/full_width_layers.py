"""The 53B's layers at full width, one kind at a time, in bfloat16, against the plan.

    python benchmarks/full_width_layers.py [--tokens 256]

The whole model (104 GB) does not fit here; one layer of each kind does. Each is built with random
weights, measured on a chunk and on one token, and dropped. The sum over the 32 layers is what the
whole would take on this machine: extrapolated, not measured. Needs about 8 GB.
"""

import argparse
import gc
import json
import time
from collections import Counter

import torch
from torch import nn
from transformers import DynamicCache
from transformers.models.jamba.modeling_jamba import (
    JambaAttentionDecoderLayer,
    JambaMambaDecoderLayer,
)

from longllava_domains.model.budget.known_models import network_of, shape_of
from longllava_domains.model.devices.throughput import measure_rate
from longllava_domains.model.int8.upcast_linear import upcast_products
from longllava_domains.model.layers.carried_state import use_exact_state


def kind_of(text: object, index: int) -> str:
    """Name a layer by its mixer and its feed-forward."""
    experts = text.layers_num_experts[index]
    fed = "dense" if experts == 1 else f"{experts} experts"
    return f"{text.layers_block_type[index]} + {fed}"


def build(text: object, index: int) -> nn.Module:
    """One layer with random weights, drawn where they stay."""
    attends = text.layers_block_type[index] == "attention"
    kind = JambaAttentionDecoderLayer if attends else JambaMambaDecoderLayer
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("meta"):
        layer = kind(text, index)
    torch.set_default_dtype(torch.float32)
    layer = layer.to_empty(device="cpu")
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if name.endswith("A_log"):
                weight.zero_()
            elif weight.ndim == 1:
                weight.fill_(1 if "layernorm" in name else 0)
            else:
                weight.uniform_(-0.03, 0.03)
    layer = use_exact_state(nn.ModuleList([layer]))[0].eval()
    upcast_products(layer)
    return layer


@torch.no_grad()
def measure(text: object, index: int, tokens: int) -> dict[str, float]:
    """Parameters of a layer, milliseconds of a chunk and of one token."""
    layer = build(text, index)
    hidden = torch.randn(1, tokens, text.hidden_size).bfloat16()
    chunk, step = [], []
    for _ in range(2):
        cache = DynamicCache(config=text)
        began = time.perf_counter()
        layer(hidden, past_key_values=cache)
        chunk.append(time.perf_counter() - began)
        for _ in range(3):
            began = time.perf_counter()
            layer(hidden[:, :1], past_key_values=cache)
            step.append(time.perf_counter() - began)
    parameters = sum(weight.numel() for weight in layer.parameters())
    return {"parameters": parameters, "chunk_ms": 1000 * min(chunk), "token_ms": 1000 * min(step)}


def main(tokens: int) -> None:
    """Measure one layer of each kind and add up."""
    text = shape_of("53b").text_config
    kinds = Counter(kind_of(text, index) for index in range(text.num_hidden_layers))
    first = {kind_of(text, index): index for index in reversed(range(text.num_hidden_layers))}
    found = {}
    for kind, index in first.items():
        found[kind] = {"layers": kinds[kind], **measure(text, index, tokens)}
        gc.collect()
        print(kind, json.dumps(found[kind]), flush=True)
    total = {key: sum(each["layers"] * each[key] for each in found.values())
             for key in ("parameters", "chunk_ms", "token_ms")}  # fmt: skip
    planned = sum(
        weight.numel()
        for weight in network_of("53b", "bfloat16").model.language_model.layers.parameters()
    )
    limits = measure_rate("cpu")
    print(json.dumps({
        "tokens": tokens, "threads": torch.get_num_threads(), "parameters_of_layers": total["parameters"],
        "parameters_by_plan": planned, "extrapolated_prefill_s": total["chunk_ms"] / 1000,
        "extrapolated_s_per_token": total["token_ms"] / 1000,
        "limit_gflops_fp32": limits.flops_per_s / 1e9, "limit_gb_per_s": limits.bytes_per_s / 1e9,
    }, indent=1))  # fmt: skip
    assert total["parameters"] == planned


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    main(chosen.tokens)
