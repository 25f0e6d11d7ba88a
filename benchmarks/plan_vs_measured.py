"""Twenty networks: peak memory by plan against peak resident memory of a process of its own.

    python benchmarks/plan_vs_measured.py

Hidden 256 to 1024, 2k to 64k tokens, dense and with experts, bfloat16 and int8, on the CPU. Each
point runs in a fresh process with an allocator that returns memory at once, so that resident
memory is what is alive. Prints one line a point and the largest deviation.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

# Hidden, layers, experts, precision, tokens.
POINTS = (
    (256, 4, 1, "bfloat16", 2048), (256, 4, 1, "int8", 2048), (256, 4, 8, "bfloat16", 2048),
    (256, 4, 8, "int8", 2048), (256, 4, 1, "bfloat16", 16384), (256, 4, 1, "int8", 32768),
    (256, 4, 8, "int8", 16384), (256, 4, 1, "bfloat16", 65536), (512, 4, 1, "bfloat16", 2048),
    (512, 4, 1, "int8", 4096), (512, 4, 8, "bfloat16", 2048), (512, 4, 8, "int8", 4096),
    (512, 4, 1, "bfloat16", 8192), (512, 8, 1, "int8", 8192), (1024, 4, 1, "bfloat16", 2048),
    (1024, 4, 1, "int8", 2048), (1024, 4, 8, "bfloat16", 2048), (1024, 4, 8, "int8", 2048),
    (1024, 8, 1, "bfloat16", 4096), (1024, 8, 1, "int8", 4096),
)  # fmt: skip
# glibc hands back every larger block when it is freed.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


PROCESS = Path("/proc/self")


def measure(hidden: int, layers: int, experts: int, precision: str, tokens: int) -> dict:
    """Run one point in this process."""
    import resource

    import torch
    from transformers import CLIPVisionConfig, JambaConfig

    from longllava_domains.model.budget.plan import Request, plan
    from longllava_domains.model.int8.quantize import quantize_network
    from longllava_domains.model.int8.upcast_linear import upcast_products
    from longllava_domains.model.network.config import LongLlavaConfig
    from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
    from longllava_domains.model.session.cache import SessionCache
    from longllava_domains.model.session.prefill import StepSizes, prefill
    from longllava_domains.vision_language import Monitor

    torch.set_num_threads(1)  # memory counts here, not time
    text = JambaConfig(
        vocab_size=2000, hidden_size=hidden, intermediate_size=7 * hidden // 2,
        num_hidden_layers=layers, num_attention_heads=hidden // 64,
        num_key_value_heads=max(1, hidden // 256), attn_layer_period=4, attn_layer_offset=2,
        num_experts=experts, num_experts_per_tok=min(2, experts), mamba_dt_rank=hidden // 16,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        image_size=112, patch_size=14,
    )  # fmt: skip
    config = LongLlavaConfig(text_config=text, vision_config=vision, image_token_index=19)
    torch.set_default_dtype(torch.bfloat16)
    network = LongLlavaForConditionalGeneration(config).eval()
    torch.set_default_dtype(torch.float32)
    if precision == "int8":
        quantize_network(network, precision)
    upcast_products(network)
    prefill(
        network, SessionCache(text), list(range(50, 90)), (), StepSizes(), Monitor()
    )  # libraries
    # Forget the peak so far; what is resident now holds interpreter, libraries and weights.
    (PROCESS / "clear_refs").write_text("5")
    resident = int((PROCESS / "statm").read_text().split()[1]) * resource.getpagesize()
    ids = [50 + index % 1900 for index in range(tokens)]
    prefill(network, SessionCache(text), ids, (), StepSizes(), Monitor())
    status = dict(line.split(":", 1) for line in (PROCESS / "status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) * 1024
    budget = plan(network, Request(0, tokens, 0), device="cpu")
    # Interpreter and libraries are as large as the rest here: take them as measured.
    process = resident - budget.weight_bytes
    planned = process + budget.weight_bytes + budget.running
    return {
        "hidden": hidden, "layers": layers, "experts": experts, "precision": precision,
        "tokens": tokens, "weights_mb": budget.weight_bytes / 1e6, "process_mb": process / 1e6,
        "running_planned_mb": budget.running / 1e6, "running_measured_mb": (peak - resident) / 1e6,
        "peak_planned_mb": planned / 1e6, "peak_measured_mb": peak / 1e6,
        "measured_over_planned": peak / planned,
    }  # fmt: skip


def main() -> None:
    """Measure every point in a process of its own."""
    rows = []
    for point in POINTS:
        command = [sys.executable, __file__, "--point", json.dumps(point)]
        done = subprocess.run(
            command, env={**os.environ, **ALLOCATOR}, capture_output=True, text=True, check=True
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(rows[-1]), flush=True)
    worst = max(abs(row["measured_over_planned"] - 1) for row in rows)
    print(f"{len(rows)} points, largest deviation of the peak {worst:.1%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--point", type=json.loads)
    chosen = parser.parse_args()
    if chosen.point is None:
        main()
    else:
        print(json.dumps(measure(*chosen.point)))
