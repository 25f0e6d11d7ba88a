"""What the benchmarks of the language model share: a network with a long memory, and measuring."""

import ctypes
import gc
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import CLIPVisionConfig, JambaConfig, JambaForCausalLM
from transformers.models.jamba.modeling_jamba import JambaMambaMixer

from longllava_domains.model import LongLlavaConfig, LongLlavaForConditionalGeneration

MIB = 2**20


def hybrid_config(hidden: int = 512, layers: int = 8, experts: int = 16) -> JambaConfig:
    """Return Jamba's proportions: one attention layer in eight, experts on every other layer."""
    return JambaConfig(
        vocab_size=1024,
        hidden_size=hidden,
        intermediate_size=hidden * 7 // 2,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=max(hidden // 256, 1),
        num_experts=experts,
        num_experts_per_tok=min(2, experts),
        attn_layer_period=8,
        attn_layer_offset=4,
        mamba_d_state=16,
        initializer_range=hidden**-0.5,  # every layer counts, as in a trained network
    )


def remember_long(network: torch.nn.Module) -> None:
    """Draw time steps log-uniformly from 1e-3 to 0.1, as trained Mambas have them."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, JambaMambaMixer):
                low, high = math.log(1e-3), math.log(0.1)
                steps = torch.empty_like(module.dt_proj.bias).uniform_(low, high).exp()
                module.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))


def longllava_network(text: JambaConfig) -> LongLlavaForConditionalGeneration:
    """Return a LongLLaVA around a language model, its tower small: 36 tokens a view of 84 pixels."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        image_size=84, patch_size=7,
    )  # fmt: skip
    config = LongLlavaConfig(text_config=text, vision_config=vision, image_token_index=3)
    network = LongLlavaForConditionalGeneration(config).eval()
    remember_long(network)
    return network


def stock_network(config: JambaConfig) -> JambaForCausalLM:
    """Return transformers' own network, random weights from a fixed seed."""
    torch.manual_seed(0)
    network = JambaForCausalLM(config).eval()
    remember_long(network)
    return network


def by_turns(
    contenders: dict[str, Callable[[], object]], repeats: int, warm_up: int = 1
) -> dict[str, float]:
    """Time contenders by turns, so that a busy moment meets all; return median seconds."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warm_up + repeats):
        for name, work in contenders.items():
            start = time.perf_counter()
            work()
            if turn >= warm_up:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def forget_peak() -> int:
    """Start measuring peak memory anew (Linux, glibc); return the bytes resident now."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed must not hide what is allocated next
    Path("/proc/self/clear_refs").write_text("5")
    return _resident("VmRSS")


def peak_bytes() -> int:
    """Return the peak of resident bytes since `forget_peak`."""
    return _resident("VmHWM")


def machine() -> str:
    """Say on what this ran."""
    return (
        f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"
    )


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status")
