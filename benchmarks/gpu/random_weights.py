"""The 9B and 53B shapes with random weights on one GPU: speed and peak memory against the plan.

    python benchmarks/gpu/random_weights.py --model 9b --precision bfloat16 --views 1000
    python benchmarks/gpu/random_weights.py --model 53b --precision int8 --views 1173
    python benchmarks/gpu/random_weights.py --model demo --device cpu --views 2 --answer 4

The third rehearses the others in seconds, on the shape of the packaged model; a test runs it.
On a GPU this was never run by this project: none was at hand. Every figure it prints is measured
on the machine that runs it; figures in the documentation that it would measure are marked
"planned". With real weights use `longllava verify MODEL --device cuda --out verify.json`.
"""

import argparse
import json
import math
import platform
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.jamba.modeling_jamba import JambaMambaMixer

from longllava_domains.errors import LongLlavaError
from longllava_domains.model.budget.fit import require_fit
from longllava_domains.model.budget.known_models import network_of, shape_of
from longllava_domains.model.budget.plan import Request, plan
from longllava_domains.model.checkpoint.load import empty_network
from longllava_domains.model.devices.placement import resolve_device
from longllava_domains.model.devices.throughput import measure_rate
from longllava_domains.model.kernels.report import kernel_report
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.verify.checks import (
    batches,
    chunks,
    kernels,
    run_check,
    speed_and_memory,
)

PRECISIONS = ("bfloat16", "int8", "int8+lm_head+projector")
# Codes drawn evenly from -127..127 have this standard deviation.
CODES_STD = math.sqrt((255**2 - 1) / 12)


@torch.no_grad()
def build(model: str, precision: str, device: torch.device) -> LongLlavaForConditionalGeneration:
    """Fill every weight where it stays; nothing is copied from another device.

    int8 weights are random codes with float32 scales of unequal size, as a checkpoint has them.
    """
    torch.manual_seed(0)
    config = shape_of(model)
    config.dtype = torch.bfloat16
    config.trained = False
    quantization = precision if precision.startswith("int8") else None
    network = empty_network(config, quantization)
    network.to(torch.bfloat16)
    layers = config.text_config.num_hidden_layers
    for path, module in network.named_modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            values = torch.empty_like(parameter, device=device)
            fill(f"{path}.{name}", values, layers)
            module.register_parameter(name, nn.Parameter(values, requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.dtype == torch.int8:
                codes = torch.empty_like(buffer, device=device).random_(-127, 128)
                scale = torch.empty(buffer.shape[:-1], device=device).uniform_(0.75, 1.25)
                scale *= spread(f"{path}.{name}", buffer, layers) / CODES_STD
                module.register_buffer(name, codes)
                module.register_buffer(f"{name}_scale", scale)
        if isinstance(module, JambaMambaMixer):
            remember_long(module)
    embeddings = network.model.vision_tower.embeddings
    embeddings.position_ids = torch.arange(embeddings.num_positions, device=device)[None]
    left = [name for name, tensor in network.state_dict().items() if tensor.is_meta]
    assert not left, f"not filled: {left[:3]}"
    network.eval()
    return network


def spread(path: str, weight: Tensor, layers: int) -> float:
    """The standard deviation of a weight: every layer counts, and none drowns what came before.

    Were the layers larger than the stream they add to, they would amplify each rounding until
    the router decides otherwise, and equal computations would not look equal in bfloat16.
    """
    if path.endswith("embed_tokens.weight"):
        return 1.0
    fan_in = weight.shape[-1] if weight.ndim == 3 else weight[0].numel()
    adds_to_the_stream = any(part in path for part in ("out_proj", "o_proj", "down_proj"))
    return 1 / math.sqrt(fan_in * (2 * layers if adds_to_the_stream else 1))


def fill(path: str, values: Tensor, layers: int) -> None:
    """Fill a parameter as it is before training."""
    name = path.rsplit(".", 1)[-1]
    if name == "A_log":
        values.copy_(
            torch.arange(1, values.shape[1] + 1, device=values.device).log().expand_as(values)
        )
    elif values.ndim == 1:
        values.fill_(0 if name in ("bias", "class_embedding") else 1)
    else:
        values.normal_(std=spread(path, values, layers))


def remember_long(mixer: JambaMambaMixer) -> None:
    """Draw time steps from 1e-3 to 0.1: with longer ones a lost state would not be noticed."""
    steps = torch.empty_like(mixer.dt_proj.bias, dtype=torch.float32)
    steps.uniform_(math.log(1e-3), math.log(0.1)).exp_()
    mixer.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))


def measure(
    model: str, precision: str, views: int, answer: int, device: torch.device
) -> dict[str, Any]:
    """Refuse what cannot fit, then build and measure."""
    request = Request(views, 40, answer)
    budget = require_fit(model, request, precision=precision, device=device)
    print(json.dumps({"planned_peak_gb": budget.peak / 1e9, "tokens": budget.tokens}), flush=True)
    network = build(model, precision, device)
    checks = [
        run_check("kernels against float64", lambda: kernels(device)),
        run_check("chunks against one forward", lambda: chunks(network)),
        run_check("eight rows against one", lambda: batches(network)),
        run_check(
            "speed and memory against the plan",
            lambda: speed_and_memory(network, device, views, answer),
        ),
    ]
    kind = "cpu" if device.type == "cpu" else "cuda"
    rate = measure_rate(device, torch.float32 if kind == "cpu" else torch.bfloat16)
    prefill, step = plan(network_of(model, precision), request, device=kind).seconds(rate)
    return {
        "device": torch.cuda.get_device_name(device) if kind == "cuda" else platform.machine(),
        "model": model, "precision": precision,
        "checks": [check.to_json() for check in checks], "kernels": kernel_report(device),
        "limit_tflops": rate.flops_per_s / 1e12, "limit_gb_per_s": rate.bytes_per_s / 1e9,
        "prefill_at_limit_s": prefill, "decode_at_limit_s": step,
    }  # fmt: skip


def main() -> int:
    """Print the measurements as JSON; return 0, or 2 where the device is not there or too small."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="9b", choices=("9b", "53b", "demo"))
    parser.add_argument("--precision", default="bfloat16", choices=PRECISIONS)
    parser.add_argument("--views", type=int, default=100)
    parser.add_argument("--answer", type=int, default=64)
    parser.add_argument("--device", default="cuda")
    chosen = parser.parse_args()
    try:
        device = resolve_device(chosen.device)
        found = measure(chosen.model, chosen.precision, chosen.views, chosen.answer, device)
    except LongLlavaError as error:
        parser.exit(2, f"{error}\n")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
