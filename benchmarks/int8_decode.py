"""One token through a stack of full-width layers on the CPU: int8 against bfloat16.

    python benchmarks/int8_decode.py [--layers 3]

The layers are the first of the 9B's: Mamba with a dense MLP, 4096 wide. Competitors alternate in
one process; the best of several repetitions counts. Prints one JSON object with what the machine
can do at most.
"""

import argparse
import copy
import json
import time

import torch
from torch import nn
from transformers import DynamicCache
from transformers.models.jamba.modeling_jamba import JambaMambaDecoderLayer

from longllava_domains.model.budget.known_models import shape_of
from longllava_domains.model.devices.throughput import measure_rate
from longllava_domains.model.int8.linear import Int8Linear
from longllava_domains.model.layers.carried_state import use_exact_state


def layer_of(text: object, index: int) -> nn.Module:
    """One layer with random weights in bfloat16."""
    layer = JambaMambaDecoderLayer(text, index).to(torch.bfloat16)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if weight.ndim == 2 and "A_log" not in name:
                weight.normal_(std=0.02)
    return use_exact_state(nn.ModuleList([layer]))[0].eval()


def in_int8(layer: nn.Module) -> nn.Module:
    """The same layer with its large products in 8 bits."""
    for name, module in list(layer.named_modules()):
        if isinstance(module, nn.Linear) and not name.endswith(("x_proj", "dt_proj")):
            layer.set_submodule(name, Int8Linear(module))
    return layer


@torch.no_grad()
def seconds_per_step(layers: list[nn.Module], text: object) -> float:
    """One token through the stack, from a state."""
    cache = DynamicCache(config=text)
    hidden = torch.randn(1, 4, text.hidden_size).bfloat16()
    for layer in layers:
        hidden = layer(hidden, past_key_values=cache)
    token = hidden[:, -1:]
    began = time.perf_counter()
    for layer in layers:
        token = layer(token, past_key_values=cache)
    return time.perf_counter() - began


def main(layers: int, repetitions: int) -> None:
    """Alternate both and print the ratio."""
    torch.manual_seed(0)
    text = shape_of("9b").text_config
    plain = [layer_of(text, index) for index in range(layers)]
    eight = [in_int8(copy.deepcopy(layer)) for layer in plain]
    times: dict[str, list[float]] = {"bfloat16": [], "int8": []}
    for _ in range(repetitions):
        times["bfloat16"].append(seconds_per_step(plain, text))
        times["int8"].append(seconds_per_step(eight, text))
    best = {name: min(found) for name, found in times.items()}
    limits = measure_rate("cpu")
    print(
        json.dumps(
            {
                "layers": layers, "threads": torch.get_num_threads(),
                "bfloat16_ms_per_layer": 1000 * best["bfloat16"] / layers,
                "int8_ms_per_layer": 1000 * best["int8"] / layers,
                "int8_times_faster": best["bfloat16"] / best["int8"],
                "limit_gb_per_s": limits.bytes_per_s / 1e9,
            },
            indent=1,
        )
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    main(chosen.layers, chosen.repetitions)
