"""`FineTuned`: the result of a fine-tuning, and facts told about it: fill, plan, origin."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from longllava_domains.adapters.data.check import Catalogue
from longllava_domains.adapters.data.loader import RowLoader
from longllava_domains.adapters.data.mixture import MixturePart
from longllava_domains.adapters.data.packing import fill_of, plan_epoch
from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.model.checkpoint.source import Source
from longllava_domains.units import human_bytes

if TYPE_CHECKING:
    from longllava_domains.adapters.training.card import Made
    from longllava_domains.adapters.training.trainer import RowTrainer
    from longllava_domains.model import LongLlavaConfig
    from longllava_domains.model.budget.training import TrainingBudget

# What a plan is shown for; `longllava plan train` plans for others.
PLANNED_GPUS: Final = 8


@dataclass(frozen=True)
class FineTuned:
    """Result of a training.

    Attributes:
        folder: The adapter, or the whole model; its README.md is the card.
        recipe: The run.
        steps: Steps of the optimizer.
        loss: Of the last step, nats a token.
        damaged: Samples that were not learned because a picture could not be decoded.
    """

    folder: Path
    recipe: Recipe
    steps: int
    loss: float
    damaged: int


def run_lines(
    config: "LongLlavaConfig", recipe: Recipe, parts: Sequence[MixturePart], loader: RowLoader
) -> list[str]:
    """Say all that is known before a run starts: recipe, terms, data, fill, and memory.

    Raises:
        MemoryBudgetError: This machine's GPUs have too little memory for the plan.
    """
    planned = planned_line(config, recipe, loader)
    return [*recipe.lines(), *part_lines(parts, recipe), fill_line(loader), planned]


def part_lines(parts: Sequence[MixturePart], recipe: Recipe) -> list[str]:
    """Say on what terms each data set may be used, what was found in it and how much is taken."""
    lines = []
    for number, part in enumerate(parts):
        data, rows = part.catalogue.data, len(part.catalogue)
        lines += [f"Terms of {data.name}: {data.terms.conditions}", *part.catalogue.report.lines()]
        wanted = recipe.mix[number].count if recipe.mix else None
        if wanted is not None:
            taken = f"{wanted:,}" if wanted < rows else f"all {rows:,} that are there"
            lines.append(f"  The recipe takes {wanted:,} rows of {data.name}: {taken}.")
    return lines


def fill_line(loader: RowLoader) -> str:
    """Say how full the rows of the first epoch are."""
    policy, found = loader.policy, loader.mixture
    rows = plan_epoch(found.tokens, policy, loader.seed, 0)
    fill = fill_of(rows, found.tokens, policy.tokens_per_row)
    views = int(found.views.sum())
    return (
        f"{len(found):,} samples with {views:,} views and {int(found.tokens.sum()):,} tokens "
        f"make {len(rows):,} rows of {policy.tokens_per_row:,} tokens, {fill:.1%} full; "
        f"{len(loader) // loader.rows_per_step:,} steps in {loader.epochs} epochs."
    )


def planned_line(config: "LongLlavaConfig", recipe: Recipe, loader: RowLoader) -> str:
    """Say what the run would need on GPUs; where there are some, refuse what they cannot hold.

    Raises:
        MemoryBudgetError: This machine's GPUs have too little memory for the plan.
    """
    import torch

    from longllava_domains.model.checkpoint.load import empty_network

    network = empty_network(config)
    rows = max(loader.rows_of_epoch[0], 1)
    views = int(loader.mixture.views.sum()) // rows
    if torch.cuda.is_available():
        here = _budget(network, recipe, rows, views, loader.shard.world, loader.epochs)
        here.require_fit(torch.cuda.get_device_properties(0).total_memory)
    budget = _budget(network, recipe, rows, views, PLANNED_GPUS, loader.epochs)
    return (
        f"Planned, not measured: {human_bytes(budget.peak)} on each of {PLANNED_GPUS} GPUs, "
        f"{budget.flops / 1e15:,.1f} PFLOP in all."
    )


def fits_lines(recipe: Recipe) -> list[str]:
    """Say what a recipe needs of 8 GPUs of 80 GB, for both released sizes; planned only."""
    from longllava_domains.model.budget.known_models import network_of

    lines = []
    for model in ("9b", "53b"):
        budget = _budget(network_of(model, "bfloat16"), recipe, 1, 0, PLANNED_GPUS, 1)
        fits = "fits" if budget.peak <= 80e9 else "does not fit"
        lines.append(
            f"planned for {model} on {PLANNED_GPUS} x 80 GB: {human_bytes(budget.peak)} on each, "
            f"{fits}"
        )
    return lines


def _budget(
    network: Any, recipe: Recipe, rows: int, views: int, gpus: int, epochs: int
) -> "TrainingBudget":
    from longllava_domains.model.budget.training import TrainingRun, plan_training

    lora = recipe.lora
    run = TrainingRun(
        rows, recipe.tokens_per_row, gpus=gpus, lora_rank=None if lora is None else lora.rank,
        epochs=epochs, views_per_row=views,
        recompute_tokens=recipe.recompute_tokens if recipe.recompute_layers else 0,
        offload=recipe.offload_activations,
    )  # fmt: skip
    return plan_training(network, run)


def made_of(
    source: Source,
    recipe: Recipe,
    found: Sequence[Catalogue],
    evaluation: list[str],
    figures: dict[str, float | int | str],
) -> "Made":
    """Collect what a model card says of a run."""
    from longllava_domains.adapters.training.card import Made
    from longllava_domains.model.checkpoint.load import open_checkpoint

    digest = open_checkpoint(source.folder).files.fingerprint()
    base = source.hub_id or ("demo" if source.demo else f"local:{digest[:8]}")
    names = ("longllava-domains", "torch", "transformers", "peft", "accelerate")
    return Made(
        recipe, base, digest, tuple(one.data.terms for one in found),
        tuple(one.report for one in found), tuple(evaluation), figures,
        {name: version(name) for name in names},
    )  # fmt: skip


def result_of(trainer: "RowTrainer", folder: Path) -> FineTuned:
    """Return the result of a trainer that has ended."""
    damaged = trainer.rows.damaged
    return FineTuned(folder, trainer.recipe, trainer.state.global_step, last_loss(trainer), damaged)


def last_loss(trainer: "RowTrainer") -> float:
    """Return the loss of the last step, nats a token."""
    log = reversed(trainer.state.log_history)
    return next(float(entry["loss"]) for entry in log if "loss" in entry)
