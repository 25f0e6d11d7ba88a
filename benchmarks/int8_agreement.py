"""What rounding costs: greedy tokens and log-probabilities, on checkpoints that this script makes.

No figure here chose the method: every run draws its own checkpoints. A checkpoint has weights with
the marks of trained ones: rows and columns of unequal size, heavy tails, one channel in a hundred
larger by a factor that is stated (1 for none, 10), time steps from 1e-3 to 0.1, and an output head
sharp enough for a top probability of one half on average. Each way of rounding is compared with float32 on the same random ids, position by
position (teacher-forced).

Printed are the mean over checkpoints and its 95 % interval (Student's t).

    python benchmarks/int8_agreement.py --checkpoints 10
"""

import argparse
import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import JambaConfig, JambaForCausalLM
from transformers.models.jamba.modeling_jamba import JambaExperts, JambaMambaMixer

from longllava_domains.model import use_exact_state
from longllava_domains.model.kernels.int8_matmul import quantize_rows

# What `quantization="int8"` covers.
ROUNDED = (
    "in_proj",
    "out_proj",
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
)
LARGEST_CODES = (127.0, *(125 + half / 2 for half in range(16) if half != 4))
# Two-sided 95 % points of Student's t for 1, 2, ... degrees of freedom.
STUDENT = (
    12.71,
    4.30,
    3.18,
    2.78,
    2.57,
    2.45,
    2.36,
    2.31,
    2.26,
    2.23,
    2.20,
    2.18,
    2.16,
    2.14,
    2.13,
)


def main() -> None:
    """Print one line for each kind of network, way of rounding and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=10, help="of each kind, 2 to 16")
    parser.add_argument("--tokens", type=int, default=600)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    ways: dict[str, Callable[[nn.Module], nn.Module]] = {
        "int8 (ours)": lambda network: rounded(network, in_rows),
        "int8, max / 127": lambda network: rounded(network, in_plain_rows),
        "int8, best of 16 scales": lambda network: rounded(network, in_searched_rows),
        "bfloat16": lambda network: copy.deepcopy(network).bfloat16(),
    }
    kinds = [(experts, outliers) for experts in (1, 4) for outliers in (1.0, 10.0)]
    for experts, outliers in kinds:
        found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
        for seed in range(options.first_seed, options.first_seed + options.checkpoints):
            network = trained_like(seed, options.hidden, experts, outliers)
            ids = torch.randint(3, 1000, (1, options.tokens))
            exact = logprobs(network, ids)
            for name, way in ways.items():
                found[name].append(compare(logprobs(way(network), ids), exact))
        print(
            f"{experts} experts, outliers x {outliers:g}: {options.checkpoints} checkpoints, "
            f"{options.tokens} tokens each",
            flush=True,
        )
        for name, rows in found.items():
            agree, shift, divergence = zip(*rows, strict=True)
            print(
                f"  {name:24} greedy tokens {interval(agree, 100)} %, "
                f"log-probability shift {interval(shift)}, KL {interval(divergence)}"
            )


def trained_like(seed: int, hidden: int, experts: int, outliers: float) -> JambaForCausalLM:
    """Return a float32 network of eight layers whose weights have the marks of trained ones."""
    torch.manual_seed(seed)
    config = JambaConfig(
        vocab_size=1000, hidden_size=hidden, intermediate_size=7 * hidden // 2,
        num_hidden_layers=8, num_attention_heads=4, num_key_value_heads=2, attn_layer_period=8,
        attn_layer_offset=4, num_experts=experts, num_experts_per_tok=min(2, experts),
        mamba_dt_rank=hidden // 16,
    )  # fmt: skip
    network = use_exact_state(JambaForCausalLM(config).eval())
    assert isinstance(network, JambaForCausalLM)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                roughen(module.weight, outliers)
            elif isinstance(module, JambaExperts):
                for expert in (*module.gate_up_proj, *module.down_proj):
                    roughen(expert, outliers)
            if isinstance(module, JambaMambaMixer):
                steps = torch.empty_like(module.dt_proj.bias)
                steps.uniform_(math.log(1e-3), math.log(0.1)).exp_()
                module.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))
        sharpen(network, torch.randint(3, 1000, (1, 200)))
    return network


def roughen(weight: Tensor, outliers: float) -> None:
    """Draw a weight anew: Student's t with 5 degrees of freedom, unequal rows and columns, outliers."""
    rows, columns = weight.shape
    drawn = torch.distributions.StudentT(5.0).sample((rows, columns))
    drawn *= torch.randn(rows, 1).mul(0.3).exp()
    scales = torch.randn(columns).mul(0.3).exp()
    scales[torch.randperm(columns)[: max(1, columns // 100)]] *= outliers
    drawn *= scales
    weight.copy_(drawn / drawn.square().mean().sqrt() / columns**0.5)


def sharpen(network: JambaForCausalLM, ids: Tensor) -> None:
    """Scale the output head until the most likely token has a probability of one half on average."""
    logits = network(ids).logits
    low, high = 1e-3, 1e3
    for _ in range(40):
        middle = math.sqrt(low * high)
        sharp = float((logits * middle).softmax(-1).amax(-1).mean()) > 0.5
        low, high = (low, middle) if sharp else (middle, high)
    network.lm_head.weight.mul_(low)


@torch.no_grad()
def logprobs(network: nn.Module, ids: Tensor) -> Tensor:
    """Return float32 log-probabilities (tokens, vocabulary)."""
    logprobs: Tensor = network(ids).logits[0].float().log_softmax(-1)
    return logprobs


def compare(found: Tensor, exact: Tensor) -> tuple[float, float, float]:
    """Return the share of equal greedy tokens, the mean shift of theirs, and the mean divergence."""
    greedy = exact.argmax(-1)
    shift = (found - exact).gather(1, greedy[:, None]).abs().mean()
    divergence = (exact.exp() * (exact - found)).sum(-1).mean()
    return float((found.argmax(-1) == greedy).double().mean()), float(shift), float(divergence)


@torch.no_grad()
def rounded(network: nn.Module, way: Callable[[Tensor], Tensor]) -> nn.Module:
    """Return a copy whose weights were rounded to 8 bits and back."""
    copied = copy.deepcopy(network)
    for name, module in copied.named_modules():
        if isinstance(module, nn.Linear) and name.endswith(ROUNDED):
            module.weight.copy_(way(module.weight))
        elif isinstance(module, JambaExperts):
            module.gate_up_proj.copy_(way(module.gate_up_proj))
            module.down_proj.copy_(way(module.down_proj))
    return copied


def in_rows(weight: Tensor) -> Tensor:
    """Round as this package does."""
    codes, scale = quantize_rows(weight)
    return codes.float() * scale.unsqueeze(-1)


def in_plain_rows(weight: Tensor) -> Tensor:
    """Round with the scale max|row| / 127."""
    scale = weight.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
    return (weight / scale).round() * scale


def in_searched_rows(weight: Tensor) -> Tensor:
    """Round with that one of 16 scales around it which has the least squared error."""
    largest = weight.abs().amax(-1, keepdim=True).clamp(min=1e-30)
    tried = [
        (weight / (largest / code)).round().clamp(-127, 127) * (largest / code)
        for code in LARGEST_CODES
    ]
    errors = torch.stack([(each - weight).square().sum(-1) for each in tried])
    best = errors.argmin(0)[None, ..., None].expand(1, *weight.shape)
    return torch.stack(tried).gather(0, best)[0]


def interval(values: tuple[float, ...], factor: float = 1) -> str:
    """Return mean and half of the 95 % interval."""
    numbers = torch.tensor(values, dtype=torch.float64) * factor
    half = STUDENT[len(values) - 2] * float(numbers.std()) / len(values) ** 0.5
    return f"{float(numbers.mean()):.4g} +- {half:.2g}"


if __name__ == "__main__":
    main()
