"""`Budget`: what a request needs in memory, operations and time, before anything runs.

Every number derives from the configuration and from the network built without memory; a test
compares the memory with the bytes that are really alive in tiny networks.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from torch import Tensor

from longllava_domains.errors import PolicyError
from longllava_domains.model.budget.activations import Step, language_stages, tower_stage
from longllava_domains.model.budget.flops import Flops, count_flops
from longllava_domains.model.devices.throughput import Rate
from longllava_domains.model.int8.quantize import stored_tensors
from longllava_domains.model.kernels.int8_matmul import QUANTISING_BYTES
from longllava_domains.model.layers.kv_storage import KvCacheDtype, resolve_kv_cache_dtype
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.network.parameter_groups import (
    LANGUAGE_GROUPS,
    PARAMETER_GROUPS,
    group_of,
)
from longllava_domains.model.session.prefill import StepSizes
from longllava_domains.model.session.prefix_state import key_value_bytes_per_token
from longllava_domains.vision_language import TAG_TOKENS

TEXT_TOKENS_PER_VIEW: Final = TAG_TOKENS + 1  # and a line feed
# What a process holds before any weight: interpreter and libraries on a processor (measured:
# 0.45 GB), context and library workspaces on a GPU (an estimate).
PROCESS_BYTES: Final = {"cpu": 450 * 10**6, "cuda": 10**9}


@dataclass(frozen=True)
class Request:
    """The size of a request.

    Attributes:
        views: Views of one request.
        text_tokens: Tokens of the question and the roles, without the views' own text.
        answer_tokens: Longest answer.
        batch: Requests whose caches are held at once.
        chunk_tokens: Tokens of one forward of the language model; None for what suits the device.
        view_batch: Views of one forward of the tower; likewise.
        tokens_per_view: 576, 144 or 36; None for the network's own.
        kv_cache_dtype: ``"auto"`` for keys and values in the network's precision, or ``"int8"``.
        held_tokens: How many tokens of the prompt are in the cache already, which counts as
            memory in use.

    Raises:
        PolicyError: A number out of range.
        QuantizationError: Keys and values cannot be kept so.
    """

    views: int = 1
    text_tokens: int = 64
    answer_tokens: int = 256
    batch: int = 1
    chunk_tokens: int | None = None
    view_batch: int | None = None
    tokens_per_view: int | None = None
    kv_cache_dtype: KvCacheDtype = "auto"
    held_tokens: int = 0

    def __post_init__(self) -> None:
        resolve_kv_cache_dtype(self.kv_cache_dtype)
        least = {"views": 0, "answer_tokens": 0, "held_tokens": 0}
        for name, value in asdict(self).items():
            if isinstance(value, int) and value < least.get(name, 1):
                raise PolicyError(
                    f"{name} cannot be {value}.",
                    remedy=f"Give a whole number of at least {least.get(name, 1)}.",
                    code="plan.request",
                    facts={name: value},
                )


@dataclass(frozen=True)
class Budget:
    """The needs of a request. Bytes unless said otherwise.

    Attributes:
        precision: Such as ``"bfloat16"`` or ``"int8"``.
        device: ``"cpu"`` or ``"cuda"``.
        request: What is to be run.
        tokens: Tokens of one prompt, those of views included.
        parameters: Numbers of each part.
        weights: Each part as it is held; scales included.
        key_values: Of all attention layers, prompt and answer, the whole batch.
        cache_traffic: Moved to read them all once: keys and values in 8 bits are widened by way of
            float32 before they are multiplied.
        states: Convolution inputs and scan states, twice: those of the chunk before are kept
            until the next one is done.
        activations: Stage -> bytes alive in it.
        process: Held before any weight.
        loading: Held beside the weights while they load.
        flops: Operations.
        trained_length: Tokens of the longest sequence in training.
        active_experts: Fraction of the experts that one decoding step reads.
    """

    precision: str
    device: str
    request: Request
    tokens: int
    parameters: Mapping[str, int]
    weights: Mapping[str, int]
    key_values: int
    cache_traffic: int
    states: int
    activations: Mapping[str, int]
    process: int
    loading: int
    flops: Flops
    trained_length: int
    active_experts: float

    @property
    def weight_bytes(self) -> int:
        """All weights."""
        return sum(self.weights.values())

    @property
    def running(self) -> int:
        """Bytes that a request adds to the weights: cache, states and the largest stage."""
        return self.key_values + self.states + max(self.activations.values())

    @property
    def peak(self) -> int:
        """The most that is held at any moment, loading included."""
        return self.process + self.weight_bytes + max(self.running, self.loading)

    @property
    def language_parameters(self) -> int:
        """Parameters of the language model, without tower and projector."""
        return sum(self.parameters.get(part, 0) for part in LANGUAGE_GROUPS)

    @property
    def beyond_trained_length(self) -> int:
        """Tokens of the prompt beyond the longest sequence in training."""
        return max(0, self.tokens - self.trained_length)

    def seconds(self, rate: Rate) -> tuple[float, float]:
        """Return the expected seconds of prefill (views included) and of one more token.

        Prefill is bound by products, a single token by reading weights and cache. Real kernels
        reach 40 to 80 % of either limit; pass rates that were measured.
        """
        prefill = (self.flops.tower + self.flops.prefill) / rate.flops_per_s
        by_products = self.flops.decode_per_token / rate.flops_per_s
        return prefill, max(by_products, self.read_per_token / rate.bytes_per_s)

    @property
    def read_per_token(self) -> int:
        """Bytes moved to generate one token: active weights, and the whole cache."""
        idle = {"vision", "projector", "embeddings"}
        read = sum(size for part, size in self.weights.items() if part not in idle)
        experts = self.weights.get("experts", 0)
        return read - experts + int(experts * self.active_experts) + self.cache_traffic

    def to_json(self) -> dict[str, Any]:
        """Return the budget as JSON, totals included."""
        return {
            **asdict(self),
            "parameters": dict(self.parameters),
            "weight_bytes": self.weight_bytes,
            "running": self.running,
            "peak": self.peak,
            "language_parameters": self.language_parameters,
            "all_parameters": sum(self.parameters.values()),
            "beyond_trained_length": self.beyond_trained_length,
        }


def plan(
    network: LongLlavaForConditionalGeneration, request: Request, *, device: str = "cuda"
) -> Budget:
    """Work out what a request needs.

    Args:
        network: The network, with weights or without (meta device), in its precision.
        request: What is to be run.
        device: ``"cpu"`` or ``"cuda"``: they work on different amounts at once.

    Raises:
        PolicyError: Views of a length that this network's tower does not give, or a device that
            is not known.
    """
    if device not in PROCESS_BYTES:
        raise PolicyError(
            f"There is no plan for the device {device!r}.",
            remedy="Use cpu or cuda.",
            code="plan.device",
        )
    config = network.config
    per_view = _tokens_per_view(network, request)
    tokens = request.views * (per_view + TEXT_TOKENS_PER_VIEW) + request.text_tokens
    held = dict(stored_tensors(network))
    dtype = network.get_input_embeddings().weight.dtype
    steps = StepSizes.for_device(device, request.chunk_tokens, request.view_batch)
    chunk = min(max(tokens - request.held_tokens, 1), steps.chunk_tokens)
    views = min(request.views, steps.view_batch)
    int8 = config.quantization is not None
    step = Step(chunk, views, device, dtype, int8, tokens > chunk, request.kv_cache_dtype)
    stages = language_stages(config, step, tokens)
    if views:
        stages["tower"] = tower_stage(config, step)
    stages["head"] = request.batch * config.text_config.vocab_size * (4 + dtype.itemsize)
    text = config.text_config
    active = text.num_experts_per_tok * request.batch / max(text.num_experts, 1)
    return Budget(
        precision=config.quantization or str(dtype).removeprefix("torch."),
        device=device,
        request=request,
        tokens=tokens,
        parameters=_sum(held, lambda name, weight: 0 if _is_scale(name) else weight.numel()),
        weights=_sum(held, lambda _, weight: weight.numel() * weight.element_size()),
        key_values=request.batch
        * (max(tokens - request.held_tokens, 0) + request.answer_tokens)
        * key_value_bytes_per_token(network, request.kv_cache_dtype),
        cache_traffic=_cache_traffic(network, request, tokens, device),
        states=2 * request.batch * _state_bytes(network),
        activations=stages,
        process=PROCESS_BYTES[device],
        loading=_loading_bytes(held, int8),
        flops=count_flops(config, request.views, tokens, request.batch),
        trained_length=config.trained_length,
        active_experts=min(1.0, active),
    )


def _tokens_per_view(network: LongLlavaForConditionalGeneration, request: Request) -> int:
    config = network.config
    if request.tokens_per_view is None:
        return int(config.tokens_per_image)
    patches = config.patch_grid**2
    possible = [patches // reduction for reduction in (1, 4, 16)]
    if request.tokens_per_view not in possible:
        raise PolicyError(
            f"A view cannot become {request.tokens_per_view} tokens.",
            remedy=f"Pooling gives {', '.join(map(str, possible))} tokens.",
            code="plan.tokens_per_view",
        )
    return request.tokens_per_view


def _cache_traffic(
    network: LongLlavaForConditionalGeneration, request: Request, tokens: int, device: str
) -> int:
    """Return the bytes moved to read all keys and values once."""
    held = request.batch * (tokens + request.answer_tokens)
    kept = held * key_value_bytes_per_token(network, request.kv_cache_dtype)
    if (
        request.kv_cache_dtype != "int8" or device == "cpu"
    ):  # there a block stays in the core's cache
        return kept
    plain = held * key_value_bytes_per_token(network)
    itemsize = network.get_input_embeddings().weight.element_size()
    # To float32 (written), scaled (read and written), rounded (read); then written and read again.
    return int(kept + plain // itemsize * 16 + 2 * plain)


def _is_scale(name: str) -> bool:
    return name.endswith("_scale")


def _sum(held: Mapping[str, Tensor], size: Callable[[str, Tensor], int]) -> dict[str, int]:
    sums = dict.fromkeys(PARAMETER_GROUPS, 0)
    for name, weight in held.items():
        sums[group_of(name)] += size(name, weight)
    return {part: total for part, total in sums.items() if total}


def _state_bytes(network: LongLlavaForConditionalGeneration) -> int:
    """All Mamba layers of one request: d_conv inputs, and a float32 state."""
    text = network.config.text_config
    mixers = list(text.layers_block_type).count("mamba")
    itemsize = network.get_input_embeddings().weight.element_size()
    channels = text.mamba_expand * text.hidden_size
    return int(mixers * channels * (4 * text.mamba_d_state + itemsize * text.mamba_d_conv))


def _loading_bytes(held: Mapping[str, Tensor], int8: bool) -> int:
    """The largest tensor as it is read, and what quantising a block of it takes."""
    largest = max(
        weight.numel() // (len(weight) if weight.ndim == 3 and ".experts." in name else 1)
        for name, weight in held.items()
    )
    return 2 * largest + (QUANTISING_BYTES if int8 else 0)
