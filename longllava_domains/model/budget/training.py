"""Memory of each GPU, operations and hours of a fine-tuning run under ZeRO-3 or FSDP2.

Planned, not measured: parameters, gradients and optimizer states are exact counts, as the trainer
holds them (float32 where they are trained, and all of them where the whole network is; a frozen base
under an adapter in bfloat16). Activations are the boundaries that checkpointing keeps, twice what
one layer holds of a chunk while it is recomputed, and what it holds of the whole row.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch

from longllava_domains.errors import MemoryBudgetError, PolicyError
from longllava_domains.model.budget.activations import Step, language_stages
from longllava_domains.model.budget.flops import count_flops
from longllava_domains.model.budget.plan import PROCESS_BYTES
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.network.parameter_groups import group_of
from longllava_domains.units import human_bytes

# Bytes: a frozen weight in bfloat16; a trained one, its gradient and the two moments of Adam in
# float32. Products run in bfloat16, so activations have 2.
_FROZEN: Final = 2
_TRAINED: Final = 4
_GRADIENT: Final = 4
_OPTIMIZER: Final = 8
_ACTIVATION: Final = 2
# A layer in use is gathered whole, and the next one is fetched meanwhile.
_GATHERED_LAYERS: Final = 2
# Forward, the same again when a checkpointed layer is recomputed, and twice that backwards.
_FULL_PASSES: Final = 4
# With an adapter the gradients of frozen weights are not formed: one pass less.
_ADAPTER_PASSES: Final = 3

# Positions whose logits the loss forms at a time: 256 MiB in float32 with 65,536 pieces.
LOSS_POSITIONS: Final = 1024

_LAYER = re.compile(r"model\.language_model\.layers\.(\d+)\.")
# What adapters of this project sit on: never dt_proj, whose weight is read raw.
ADAPTED: Final = re.compile(
    r"model\.language_model\.layers\.\d+\.(mamba\.(in|out|x)_proj|self_attn\.[qkvo]_proj"
    r"|feed_forward\.(gate|up|down)_proj)\.weight\Z"
    r"|.*\.feed_forward\.experts\.(gate_up|down)_proj\Z"
)


@dataclass(frozen=True)
class TrainingRun:
    """A fine-tuning run.

    Attributes:
        rows: Packed rows in the data set.
        tokens_per_row: Length of a row.
        gpus: GPUs that share the model; each works on one row at a time.
        lora_rank: Rank of an adapter on all projections, beside the projector; None trains all of the language model
            and the projector. The tower is frozen either way.
        epochs: Passes over the data.
        views_per_row: Views in a row, for the tower's share of the work.
        recompute_tokens: Tokens whose activations in a layer exist together; 0 for the whole row.
        offload: Boundaries between layers wait in the processor's memory.

    Raises:
        PolicyError: A number out of range.
    """

    rows: int
    tokens_per_row: int
    gpus: int = 8
    lora_rank: int | None = None
    epochs: int = 1
    views_per_row: int = 0
    recompute_tokens: int = 8192
    offload: bool = False

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name in ("views_per_row", "recompute_tokens", "offload") else 1
            if value is not None and value < least:
                raise PolicyError(
                    f"{name} cannot be {value}.",
                    remedy=f"Give a whole number of at least {least}.",
                    code="plan.training",
                    facts={name: value},
                )


@dataclass(frozen=True)
class TrainingBudget:
    """The needs of a run on each GPU (bytes), and in all.

    Attributes:
        run: The run.
        trained_parameters: Numbers that the optimizer changes.
        terms: Term -> bytes on each GPU.
        flops: Operations of the whole run.
    """

    run: TrainingRun
    trained_parameters: int
    terms: dict[str, int]
    flops: float

    @property
    def peak(self) -> int:
        """Bytes on each GPU."""
        return sum(self.terms.values())

    def require_fit(self, memory_bytes: float) -> None:
        """Refuse a run that a GPU has too little memory for, and say what fits.

        Args:
            memory_bytes: Of each GPU.

        Raises:
            MemoryBudgetError: The plan exceeds it.
        """
        if self.peak <= memory_bytes:
            return
        whole = self.run.lora_rank is None
        remedy = "Use --set offload_activations=true (in plan train, --offload), or shorter rows"
        remedy += "; or train an adapter: the recipe of that name with -lora." if whole else "."
        raise MemoryBudgetError(
            f"The training is planned at {human_bytes(self.peak)} on each of {self.run.gpus} GPUs, "
            f"which have {human_bytes(memory_bytes)}.",
            remedy=remedy,
            code="plan.training_memory",
            facts={"planned": self.peak, "memory": int(memory_bytes)},
        )

    def hours(self, flops_per_s: float) -> float:
        """Return the hours of the run, given what one GPU achieves (not its data sheet)."""
        return self.flops / (self.run.gpus * flops_per_s) / 3600

    def to_json(self) -> dict[str, Any]:
        """Return the budget as JSON."""
        return {**asdict(self), "peak": self.peak}


def plan_training(network: LongLlavaForConditionalGeneration, run: TrainingRun) -> TrainingBudget:
    """Work out what a fine-tuning run needs.

    Args:
        network: The network in bfloat16, without weights (meta device).
        run: The run.
    """
    sizes = {name: weight.numel() for name, weight in network.named_parameters()}
    trained = _trained(network, run, sizes)
    frozen = sum(sizes.values()) - (0 if run.lora_rank else trained)
    # Trained whole, the network is loaded in float32, the frozen tower too.
    each = _FROZEN if run.lora_rank else _TRAINED
    text = network.config.text_config
    # Logits in bfloat16, in float32, and their gradient, of the positions that exist together.
    logits = min(run.tokens_per_row, LOSS_POSITIONS) * text.vocab_size * (2 + 4 + 4)
    counted = count_flops(network.config, run.views_per_row, run.tokens_per_row)
    # A chunk of a recomputed layer is formed once more than the layer.
    again = 1 if 0 < run.recompute_tokens < run.tokens_per_row else 0
    passes = (_ADAPTER_PASSES if run.lora_rank else _FULL_PASSES) + again
    each_row = counted.tower + passes * counted.prefill
    return TrainingBudget(
        run,
        trained,
        {
            "weights (sharded)": (each * frozen + _TRAINED * trained) // run.gpus,
            "gradients (sharded)": _GRADIENT * trained // run.gpus,
            "optimizer (sharded)": _OPTIMIZER * trained // run.gpus,
            "gathered layers": _gathered(sizes, each),
            **_activations(network, run),
            "logits and loss": logits,
            "process": PROCESS_BYTES["cuda"],
        },
        run.epochs * run.rows * each_row,
    )


def _gathered(sizes: dict[str, int], each: int) -> int:
    """Bytes of layers in use, with their copies in 16 bits; and the ends, which stay gathered."""
    ends = sum(size for name, size in sizes.items() if not _LAYER.match(name)
               and group_of(name) != "vision")  # fmt: skip
    copy = 0 if each == _ACTIVATION else _ACTIVATION
    return _GATHERED_LAYERS * (each + copy) * _largest_layer(sizes) + (each + copy) * ends


def _activations(network: LongLlavaForConditionalGeneration, run: TrainingRun) -> dict[str, int]:
    """Bytes of one row on one GPU: between layers, in a chunk of one, and in one of the whole row."""
    text = network.config.text_config
    tokens = run.tokens_per_row
    # What runs past the layers stays in the precision of the embeddings.
    boundary = tokens * text.hidden_size * (_FROZEN if run.lora_rank else _TRAINED)
    chunk = min(tokens, run.recompute_tokens or tokens)
    step = Step(chunk, 0, "cuda", torch.bfloat16, int8=False, continued=False)
    stages = language_stages(network.config, step, chunk)
    share = chunk / step.layer_tokens  # with gradients a chunk runs in one piece
    shared = text.hidden_size * text.num_key_value_heads // text.num_attention_heads
    # What attention keeps of the row to go back: input, queries, keys, values, what was read.
    attention = tokens * (3 * text.hidden_size + 2 * shared) * _ACTIVATION
    whole = 4 * boundary + 2 * attention if chunk < tokens else 0
    kept = 2 if run.offload else text.num_hidden_layers + 1
    return {
        "checkpointed boundaries": kept * boundary,
        "one chunk recomputed": int(2 * share * max(stages.values())),
        "one layer's whole row": whole,
    }


def _trained(
    network: LongLlavaForConditionalGeneration, run: TrainingRun, sizes: dict[str, int]
) -> int:
    if run.lora_rank is None:
        return sum(size for name, size in sizes.items() if group_of(name) != "vision")
    # A pair of matrices of rank r on a matrix (out, in); on fused experts one for each of them.
    trained = 0
    for name, weight in network.named_parameters():
        if ADAPTED.match(name):
            count = weight.shape[0] if weight.ndim == 3 else 1
            trained += run.lora_rank * count * sum(weight.shape[-2:])
        elif "multi_modal_projector." in name:
            trained += weight.numel()
    return trained


def _largest_layer(sizes: dict[str, int]) -> int:
    layers: dict[str, int] = {}
    for name, size in sizes.items():
        found = _LAYER.match(name)
        if found is not None:
            layers[found[1]] = layers.get(found[1], 0) + size
    return max(layers.values())
