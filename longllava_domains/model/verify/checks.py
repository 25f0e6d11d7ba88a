"""The single checks of `longllava verify`: each runs a model on a device and returns numbers."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from longllava_domains.errors import MemoryBudgetError
from longllava_domains.model.budget.fit import require_fit
from longllava_domains.model.budget.plan import Request, plan
from longllava_domains.model.checkpoint.load import load_checkpoint
from longllava_domains.model.kernels.int8_experts.accuracy import TOLERANCE_EPS, experts_error
from longllava_domains.model.kernels.int8_experts.choice import chosen_experts
from longllava_domains.model.kernels.scan.reference import selective_scan_reference
from longllava_domains.model.kernels.scan.selective_scan import selective_scan
from longllava_domains.model.load import LongLlava
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.session.cache import SessionCache
from longllava_domains.model.session.decoding import decode
from longllava_domains.model.session.prefill import StepSizes, prefill
from longllava_domains.vision_language import Monitor
from longllava_domains.visual import SlicePlace, View, VisualSequence

# Largest relative difference that rounding explains, by precision of the activations.
TOLERANCE: Final = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
_KERNEL_TOLERANCE: Final = 1e-4
_LEAST_AGREEMENT: Final = 0.9
_LARGEST_INT8_ERROR: Final = 0.15
_MEMORY_TOLERANCE: Final = 0.10
NOT_COMPARED: Final = "not compared on a processor"
_NEVER: Final = -1  # an id that ends no answer

# The needle: one of these colours among grey pictures.
_COLOURS: Final = {"red": (220, 30, 30), "green": (20, 180, 40), "blue": (30, 60, 220)}


@dataclass(frozen=True)
class Check:
    """One thing that was verified.

    Attributes:
        name: What.
        status: ``"pass"``, ``"fail"``, ``"skipped"``, or `NOT_COMPARED` where numbers were measured
            that nothing was compared with.
        numbers: What was measured, and the limit where there is one.
        reason: Why it was skipped.
        seconds: How long it took.
    """

    name: str
    status: str
    numbers: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON."""
        return asdict(self)


CheckOutcome = tuple[str, dict[str, float]] | str


def run_check(name: str, work: Callable[[], CheckOutcome]) -> Check:
    """Run one check; `work` returns a status with numbers, or the reason why it was skipped."""
    began = time.perf_counter()
    found = work()
    seconds = round(time.perf_counter() - began, 3)
    if isinstance(found, str):
        return Check(name, "skipped", reason=found, seconds=seconds)
    return Check(name, *found, seconds=seconds)


@torch.no_grad()
def kernels(device: torch.device) -> CheckOutcome:
    """The scan that runs on the device, from a state and in two pieces, and 8-bit experts.

    Both against float64; experts with activations in bfloat16.
    """
    generator = torch.Generator().manual_seed(0)
    rows, tokens, channels, states = 2, 130, 48, 16
    x, dt = (torch.randn(rows, tokens, channels, generator=generator) for _ in range(2))
    dt = torch.nn.functional.softplus(dt - 4)
    A = -torch.arange(1, states + 1).float().repeat(channels, 1)
    B, C = (torch.randn(rows, tokens, states, generator=generator) for _ in range(2))
    D = torch.randn(channels, generator=generator)
    start = torch.randn(rows, channels, states, generator=generator)
    expected, _ = selective_scan_reference(x, dt, A, B, C, D, initial_state=start)
    pieces, state = [], start.to(device)
    for part in (slice(0, 77), slice(77, tokens)):
        moved = (value[:, part].to(device) for value in (x, dt, B, C))
        x_part, dt_part, B_part, C_part = moved
        y, state = selective_scan(
            x_part, dt_part, A.to(device), B_part, C_part, D.to(device), initial_state=state
        )
        pieces.append(y.cpu())
    error = relative(torch.cat(pieces, 1), expected)
    dtype = torch.bfloat16
    wrong = experts_error(chosen_experts(device, dtype), device, dtype)
    most = TOLERANCE_EPS * torch.finfo(dtype).eps
    passed = error <= _KERNEL_TOLERANCE and wrong <= most
    return ("pass" if passed else "fail"), {
        "scan_error": error, "limit": _KERNEL_TOLERANCE,
        "int8_experts_error": wrong, "int8_experts_limit": most,
    }  # fmt: skip


@torch.no_grad()
def layer_period(network: LongLlavaForConditionalGeneration, device: torch.device) -> CheckOutcome:
    """One period of real layers on the device against the CPU in float32, layer by layer."""
    text = network.config.text_config
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(1, 48, text.hidden_size, generator=generator)
    dtype = network.get_input_embeddings().weight.dtype
    worst = 0.0
    layers: Any = network.model.language_model.layers
    for layer in layers[: text.attn_layer_period]:
        on_device = layer(hidden.to(device, dtype))
        on_cpu = copy.deepcopy(layer).to("cpu").float()(hidden)
        worst = max(worst, relative(on_device.cpu(), on_cpu))
        hidden = on_cpu / on_cpu.std()
    status, numbers = _within(worst, TOLERANCE[dtype], "largest_error")
    if status == "pass" and device.type == "cpu" and dtype == torch.float32:
        return NOT_COMPARED, numbers  # a processor with itself proves nothing
    return status, numbers


@torch.no_grad()
def chunks(network: LongLlavaForConditionalGeneration) -> CheckOutcome:
    """A prompt in chunks of 37 tokens against one forward."""
    ids = some_ids(network, 600)
    whole, pieces = (
        prefill(network, _cache(network), ids, (), StepSizes(size), Monitor())
        for size in (4096, 37)
    )
    # Both are rounded, through every layer: measured 1e-2 to 5e-2 in bfloat16, by processor. A
    # state that is lost between chunks is off by 0.13 to 0.4.
    return _within(relative(pieces, whole), 2 * TOLERANCE[whole.dtype], "largest_error")


@torch.no_grad()
def batches(network: LongLlavaForConditionalGeneration) -> CheckOutcome:
    """Eight prompts of unequal length decoded together, and each alone."""
    prompts = [some_ids(network, 20 + 9 * number, seed=number) for number in range(8)]
    started = [(cache := _cache(network), prefill(network, cache, ids, (), StepSizes(), Monitor()))
               for ids in prompts]  # fmt: skip
    alone = [_decode(network, [cache.fork()], hidden)[0] for cache, hidden in started]
    hidden = torch.cat([hidden for _, hidden in started])
    together = _decode(network, [cache for cache, _ in started], hidden)
    same, pairs, difference = 0, 0, 0.0
    for one, many in zip(alone, together, strict=True):
        equal = [a == b for a, b in zip(one.tokens, many.tokens, strict=True)]
        # After the first difference two texts go separate ways.
        agreed = equal.index(False) if False in equal else len(equal)
        same, pairs = same + agreed, pairs + len(equal)
        shared = zip(one.logprobs[:agreed], many.logprobs[:agreed], strict=True)
        difference = max([difference, *(abs(a - b) for a, b in shared)])
    limit = TOLERANCE[hidden.dtype] * 10
    numbers = {"same_tokens": same / pairs, "logprob_difference": difference, "limit": limit}
    # Tokens of an untrained network lie so close together that rounding swaps some.
    least = _LEAST_AGREEMENT if network.config.trained else _LEAST_AGREEMENT / 2
    passed = difference <= limit and same / pairs >= least
    return ("pass" if passed else "fail"), numbers


@torch.no_grad()
def eight_bits(
    network: LongLlavaForConditionalGeneration, folder: Path, device: torch.device
) -> CheckOutcome:
    """Greedy tokens of the same prompt in int8, teacher-forced, where both networks fit."""
    if network.config.quantization is not None:
        return "the model is in 8 bits already"
    ids = torch.tensor([some_ids(network, 400)], device=device)
    plain = network(input_ids=ids).logits[0]
    try:
        require_fit(folder, Request(0, 400), precision="int8", device=device)
    except MemoryBudgetError as error:
        return f"does not fit beside the first network: {error.message}"
    quantised = load_checkpoint(
        folder, dtype=network.config.dtype, device=device, quantization="int8"
    )
    found = quantised(input_ids=ids).logits[0]
    same = float((found.argmax(-1) == plain.argmax(-1)).float().mean())
    difference = relative(found, plain)
    numbers = {"same_greedy_tokens": same, "logits_error": difference, "limit": _LARGEST_INT8_ERROR}
    same_enough = same >= _LEAST_AGREEMENT or not network.config.trained
    return ("pass" if same_enough and difference <= _LARGEST_INT8_ERROR else "fail"), numbers


def needle(model: LongLlava, views: int = 40) -> CheckOutcome:
    """One coloured picture among grey ones, at four depths: which colour was it?"""
    if not model.network.config.trained:
        return "the model is untrained"
    if model.network.config.demo:
        return "the demonstration model has learned no colours"
    found = 0
    depths = (0.1, 0.4, 0.6, 0.9)
    colours = list(_COLOURS)
    for position, depth in enumerate(depths):
        colour = colours[position % len(colours)]
        sequence = _haystack(model.network.config.view_px, views, int(depth * views), colour)
        session = model.open(sequence)
        scores = session.score("One picture is not grey. Which colour is it?", colours)
        found += max(scores, key=lambda score: score.mean_logprob).text == colour
    numbers = {"found": float(found), "of": float(len(depths)), "views": float(views)}
    return ("pass" if found >= len(depths) - 1 else "fail"), numbers


@torch.no_grad()
def speed_and_memory(
    network: LongLlavaForConditionalGeneration, device: torch.device, views: int, answer: int
) -> CheckOutcome:
    """Views per second, seconds per token, and on a GPU the peak of memory against the plan."""
    side, each = network.config.view_px, network.config.tokens_per_image
    pictures = [np.full((side, side, 3), 90 + index % 60, np.uint8) for index in range(views)]
    ids = ([network.config.image_token_id] * each + some_ids(network, 7)) * views
    ids += some_ids(network, 40)
    cache = _cache(network)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    hidden = prefill(network, cache, ids, pictures, StepSizes(), Monitor())
    hidden.cpu()
    read = time.perf_counter() - began
    began = time.perf_counter()
    decode(network, [cache], hidden, stop_id=_NEVER, max_new_tokens=answer)
    step = (time.perf_counter() - began) / answer
    numbers = {
        "views": float(views), "tokens": float(len(ids)), "prefill_s": read,
        "prefill_tokens_per_s": len(ids) / read, "decode_s_per_token": step,
    }  # fmt: skip
    kind = "cpu" if device.type == "cpu" else "cuda"
    budget = plan(network, Request(views, 40, answer), device=kind)
    planned = budget.weight_bytes + budget.running
    numbers["planned_bytes"] = float(planned)
    if device.type != "cuda":
        return NOT_COMPARED, numbers
    peak = torch.cuda.max_memory_allocated(device)
    numbers |= {"peak_bytes": float(peak), "peak_over_plan": peak / planned}
    return ("pass" if abs(peak / planned - 1) <= _MEMORY_TOLERANCE else "fail"), numbers


def some_ids(network: LongLlavaForConditionalGeneration, tokens: int, seed: int = 0) -> list[int]:
    """Return ordinary token ids, the same every time; none stands for an image."""
    generator = torch.Generator().manual_seed(seed)
    config = network.config
    ids = torch.randint(4, config.text_config.vocab_size, (tokens,), generator=generator)
    return [index if index != config.image_token_id else 4 for index in ids.tolist()]


def relative(found: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference over the norm of what was expected."""
    found, expected = found.double().cpu(), expected.double().cpu()
    return float((found - expected).norm() / expected.norm())


def _within(error: float, limit: float, name: str) -> tuple[str, dict[str, float]]:
    return ("pass" if error <= limit else "fail"), {name: error, "limit": limit}


def _cache(network: LongLlavaForConditionalGeneration) -> SessionCache:
    return SessionCache(network.config.text_config)


def _decode(
    network: LongLlavaForConditionalGeneration, caches: Sequence[SessionCache], hidden: Tensor
) -> Any:
    return decode(network, caches, hidden, stop_id=_NEVER, max_new_tokens=6)


def _haystack(side: int, views: int, at: int, colour: str) -> VisualSequence:
    shown = []
    for index in range(views):
        pixels = np.full((side, side, 3), 60 + 3 * (index % 40), np.uint8)
        if index == at:
            pixels[:] = _COLOURS[colour]
        shown.append(View(pixels, SlicePlace(index, float(index), 1.0, "none")))
    return VisualSequence(tuple(shown))
