"""The 9B shape in int8 on this processor: random weights, one 336 image, about 200 tokens in all.

Run alone, on a machine with 12 GB free:  python benchmarks/cpu_9b_int8.py [--answer 8]
Prints one JSON object: peak resident memory against the plan, seconds, and what this machine can
do at most, measured in the same run.
"""

import argparse
import json
import resource
import sys
import time

import numpy as np
import torch
from torch import Tensor, nn

from longllava_domains.model.budget.known_models import network_of, shape_of
from longllava_domains.model.budget.plan import Request, plan
from longllava_domains.model.checkpoint.load import empty_network
from longllava_domains.model.devices.throughput import measure_rate
from longllava_domains.model.int8.upcast_linear import upcast_products
from longllava_domains.model.kernels.int8_matmul import quantize_rows
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.session.cache import SessionCache
from longllava_domains.model.session.decoding import decode
from longllava_domains.model.session.prefill import StepSizes, prefill
from longllava_domains.vision_language import Monitor

TEXT_TOKENS = 49  # with 144 + 7 tokens of the view: 200


class RandomWeights:
    """Hands out normal numbers without drawing 9 billion of them: slices of one pool."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._pool = torch.randn(2**22, generator=generator).mul_(0.02).bfloat16()
        self._at = 0

    def like(self, shape: torch.Size) -> Tensor:
        """Return bfloat16 numbers of a shape, in memory of their own."""
        values = torch.empty(shape, dtype=torch.bfloat16)
        self._at = (self._at + 7919) % 4096
        for part in values.view(-1).split(len(self._pool) - 4096):
            part.copy_(self._pool[self._at : self._at + len(part)])
        return values


def build(model: str) -> LongLlavaForConditionalGeneration:
    """Fill the network tensor by tensor, quantising each as it comes, as loading does."""
    config = shape_of(model)
    config.dtype = torch.bfloat16
    network = empty_network(config, "int8").to(torch.bfloat16)
    weights = RandomWeights()
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            module.register_parameter(name, _filled(name, parameter, weights))
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.dtype == torch.int8:
                codes, scale = quantize_rows(weights.like(buffer.shape))
                setattr(module, name, codes)
                setattr(module, f"{name}_scale", scale)
    embeddings = network.model.vision_tower.embeddings
    embeddings.position_ids = torch.arange(embeddings.num_positions)[None]
    upcast_products(network)
    return network.eval()


def _filled(name: str, parameter: nn.Parameter, weights: RandomWeights) -> nn.Parameter:
    if name == "A_log":
        states = torch.arange(1, parameter.shape[1] + 1).log().bfloat16()
        return nn.Parameter(states.repeat(len(parameter), 1), requires_grad=False)
    if parameter.ndim == 1 and name == "weight":
        return nn.Parameter(torch.ones(parameter.shape, dtype=torch.bfloat16), requires_grad=False)
    return nn.Parameter(weights.like(parameter.shape), requires_grad=False)


@torch.no_grad()
def run(model: str, answer_tokens: int) -> dict[str, object]:
    """Build, encode, prefill, decode."""
    before = _peak_bytes()
    began = time.perf_counter()
    network = build(model)
    built = time.perf_counter() - began
    after_build = _peak_bytes()
    print(f"built in {built:.0f} s", file=sys.stderr, flush=True)
    limits = measure_rate("cpu")
    config = network.config
    picture = np.random.default_rng(0).integers(0, 255, (336, 336, 3), np.uint8)
    view = [config.image_token_id] * config.tokens_per_image
    ids = [1, 5, 6, *view, 7, 8, 9, 10, *range(20, 20 + TEXT_TOKENS)]
    cache = SessionCache(config.text_config)
    began = time.perf_counter()
    hidden = prefill(network, cache, ids, [picture], StepSizes(), Monitor())
    prefilled = time.perf_counter() - began
    began = time.perf_counter()
    decode(network, [cache], hidden, stop_id=-1, max_new_tokens=answer_tokens)
    step = (time.perf_counter() - began) / answer_tokens
    began = time.perf_counter()
    network.encode_images(torch.zeros(1, 3, 336, 336))
    encoding = time.perf_counter() - began
    request = Request(1, TEXT_TOKENS, answer_tokens)
    budget = plan(network_of(model, "int8"), request, device="cpu")
    ideal_prefill, ideal_step = budget.seconds(limits)
    return {
        "model": model, "threads": torch.get_num_threads(), "tokens": len(ids),
        "build_s": built, "prefill_with_view_s": prefilled, "of_it_view_s": encoding,
        "decode_s_per_token": step,
        "limit_gflops_fp32": limits.flops_per_s / 1e9, "limit_gb_per_s": limits.bytes_per_s / 1e9,
        "prefill_at_limit_s": ideal_prefill, "decode_at_limit_s": ideal_step,
        "libraries_gb": before / 1e9, "peak_after_build_gb": after_build / 1e9,
        "peak_gb": _peak_bytes() / 1e9, "planned_peak_gb": budget.peak / 1e9,
        "measured_over_planned": _peak_bytes() / budget.peak,
    }  # fmt: skip


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="9b")
    parser.add_argument("--answer", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    print(json.dumps(run(chosen.model, chosen.answer), indent=1))
