"""Memory of each GPU, operations and hours of a fine-tuning run under ZeRO-3 or FSDP2.

Planned, not measured: parameters, gradients and optimizer states are exact counts; activations
are the boundaries that checkpointing keeps plus twice what one layer holds while it is recomputed.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch

from longllava_domains.errors import PolicyError
from longllava_domains.model.budget.activations import Step, language_stages
from longllava_domains.model.budget.flops import count_flops
from longllava_domains.model.budget.plan import PROCESS_BYTES
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.network.parameter_groups import group_of

# bfloat16 weight and gradient; float32 master copy and the two moments of Adam.
_WEIGHT: Final = 2
_GRADIENT: Final = 2
_OPTIMIZER: Final = 12
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
)


@dataclass(frozen=True)
class TrainingRun:
    """A fine-tuning run.

    Attributes:
        rows: Packed rows in the data set.
        tokens_per_row: Length of a row.
        gpus: GPUs that share the model; each works on one row at a time.
        lora_rank: Rank of an adapter on all projections; None trains all of the language model
            and the projector. The tower is frozen either way.
        epochs: Passes over the data.
        views_per_row: Views in a row, for the tower's share of the work.

    Raises:
        PolicyError: A number out of range.
    """

    rows: int
    tokens_per_row: int
    gpus: int = 8
    lora_rank: int | None = None
    epochs: int = 1
    views_per_row: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < (0 if name == "views_per_row" else 1):
                raise PolicyError(
                    f"{name} cannot be {value}.",
                    remedy="Give a positive whole number.",
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
    text = network.config.text_config
    boundaries = (text.num_hidden_layers + 1) * run.tokens_per_row * text.hidden_size * _WEIGHT
    # Logits in bfloat16, in float32, and their gradient, of the positions that exist together.
    logits = min(run.tokens_per_row, LOSS_POSITIONS) * text.vocab_size * (2 + 4 + 4)
    step = Step(run.tokens_per_row, 0, "cuda", torch.bfloat16, int8=False, continued=False)
    stages = language_stages(network.config, step, run.tokens_per_row)
    share = run.tokens_per_row / step.layer_tokens  # with gradients a layer runs in one piece
    counted = count_flops(network.config, run.views_per_row, run.tokens_per_row)
    passes = _ADAPTER_PASSES if run.lora_rank else _FULL_PASSES
    each_row = counted.tower + passes * counted.prefill
    return TrainingBudget(
        run,
        trained,
        {
            "weights (sharded)": _WEIGHT * (frozen + trained) // run.gpus,
            "gradients (sharded)": _GRADIENT * trained // run.gpus,
            "optimizer (sharded)": _OPTIMIZER * trained // run.gpus,
            "gathered layers": _GATHERED_LAYERS * _WEIGHT * _largest_layer(sizes),
            "checkpointed boundaries": boundaries,
            "one layer recomputed": int(2 * share * max(stages.values())),
            "logits and loss": logits,
            "process": PROCESS_BYTES["cuda"],
        },
        run.epochs * run.rows * each_row,
    )


def _trained(
    network: LongLlavaForConditionalGeneration, run: TrainingRun, sizes: dict[str, int]
) -> int:
    if run.lora_rank is None:
        return sum(size for name, size in sizes.items() if group_of(name) != "vision")
    shapes = (w.shape for name, w in network.named_parameters() if ADAPTED.match(name))
    return run.lora_rank * sum(sum(shape) for shape in shapes)


def _largest_layer(sizes: dict[str, int]) -> int:
    layers: dict[str, int] = {}
    for name, size in sizes.items():
        found = _LAYER.match(name)
        if found is not None:
            layers[found[1]] = layers.get(found[1], 0) + size
    return max(layers.values())
