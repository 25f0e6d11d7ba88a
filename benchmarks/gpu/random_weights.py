"""The 9B and 53B shapes with random weights on one GPU: speed and peak memory against the plan.

    python benchmarks/gpu/random_weights.py --model 9b --precision bfloat16 --views 1000
    python benchmarks/gpu/random_weights.py --model 53b --precision int8 --views 1173

Not run by this project so far: no GPU was at hand when it was written. Every figure it prints is
measured on the machine that runs it; figures in the documentation that it would measure are
marked "planned". With real weights use `longllava verify MODEL --device cuda --out verify.json`.
"""

import argparse
import json

import torch
from torch import nn

from longllava_domains.model.budget import Request
from longllava_domains.model.checkpoint import empty_network
from longllava_domains.model.fitting import require_fit
from longllava_domains.model.known_shapes import network_of, shape_of
from longllava_domains.model.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.machine import measure_rate
from longllava_domains.model.scan_choice import kernel_report
from longllava_domains.model.verify_checks import batches, chunks, kernels, speed_and_memory


@torch.no_grad()
def build(model: str, precision: str, device: torch.device) -> LongLlavaForConditionalGeneration:
    """Fill every weight where it stays; int8 weights get random codes and equal scales."""
    config = shape_of(model)
    config.dtype = torch.bfloat16
    quantization = precision if precision.startswith("int8") else None
    network = empty_network(config, quantization).to(torch.bfloat16)
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            room = torch.empty_like(parameter, device=device)
            if name == "A_log":
                room.zero_()
            elif parameter.ndim == 1:
                room.fill_(1 if name == "weight" else 0)
            else:
                room.normal_(std=0.02)
            module.register_parameter(name, nn.Parameter(room, requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            room = torch.empty_like(buffer, device=device)
            module.register_buffer(name, room.random_(-127, 128) if buffer.dtype == torch.int8 else
                                   room.fill_(0.02 / 64))  # fmt: skip
    embeddings = network.model.vision_tower.embeddings
    embeddings.position_ids = torch.arange(embeddings.num_positions, device=device)[None]
    return network.eval()


def main(model: str, precision: str, views: int, answer: int) -> None:
    """Refuse what cannot fit, then build and measure."""
    device = torch.device("cuda")
    request = Request(views, 40, answer)
    budget = require_fit(model, request, precision=precision, device=device)
    print(json.dumps({"planned_peak_gb": budget.peak / 1e9, "tokens": budget.tokens}))
    network = build(model, precision, device)
    findings = {
        "kernels": kernels(device),
        "chunks": chunks(network),
        "rows": batches(network),
        "speed and memory": speed_and_memory(network, device, views, answer),
    }
    rate = measure_rate(device, torch.bfloat16)
    prefill, step = network_plan(model, precision, request).seconds(rate)
    print(json.dumps({
        "device": torch.cuda.get_device_name(device), "model": model, "precision": precision,
        "findings": findings, "kernels": kernel_report(device),
        "limit_tflops": rate.flops_per_s / 1e12, "limit_gb_per_s": rate.bytes_per_s / 1e9,
        "prefill_at_limit_s": prefill, "decode_at_limit_s": step,
    }, indent=1))  # fmt: skip


def network_plan(model: str, precision: str, request: Request):
    """The plan of the request, for the times at the device's limits."""
    from longllava_domains.model.budget import plan

    return plan(network_of(model, precision), request, device="cuda")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="9b", choices=("9b", "53b"))
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--views", type=int, default=100)
    parser.add_argument("--answer", type=int, default=64)
    chosen = parser.parse_args()
    main(chosen.model, chosen.precision, chosen.views, chosen.answer)
