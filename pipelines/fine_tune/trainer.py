"""From a recipe and its rows to a trainer that is ready to start, and to what it measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longllava_domains.adapters.data.encode import Encoder
from longllava_domains.adapters.data.loader import RowLoader
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.adapters.recipes.base import Recipe

if TYPE_CHECKING:
    from longllava_domains.adapters.training.held_out import Evaluation
    from longllava_domains.adapters.training.trainer import RowTrainer


@dataclass(frozen=True)
class Start:
    """Recipe and base of a training.

    Attributes:
        recipe: The run.
        base: ``"demo"``, a folder or a hub id.
        tokenizer: Folder with tokenizer.json.
        typed: Targets of the adapter that a user typed.
    """

    recipe: Recipe
    base: str | Path
    tokenizer: Path
    typed: tuple[str, ...] = ()


def make_trainer(
    start: Start,
    loader: RowLoader,
    place: Path,
    told: Callable[[str], None],
    arguments: dict[str, Any],
    *,
    sharded: bool,
) -> "RowTrainer":
    """Load the base, make trainable what the recipe trains, and set the trainer up.

    Args:
        start: Recipe and base.
        loader: The rows.
        place: The run's folder.
        told: Told what is trained, a sentence at a time.
        arguments: As for `arguments_of`.
        sharded: Share the network out over processes.

    Raises:
        LongLlavaError: The base, the adapter's targets or the processes do not do.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    from longllava_domains.adapters.training.arguments import arguments_of
    from longllava_domains.adapters.training.loss import prepare_loss
    from longllava_domains.adapters.training.sharded_trainer import ShardedTrainer
    from longllava_domains.adapters.training.trainable import make_trainable
    from longllava_domains.adapters.training.trainer import RowTrainer
    from longllava_domains.model import load_model
    from longllava_domains.model.layers.recompute import recompute_in_chunks

    disable_progress_bar()
    recipe = start.recipe
    on_gpu = torch.cuda.is_available() and not arguments.get("use_cpu")
    # A frozen base may stay in 16 bits; weights that are trained need all of float32.
    halved = on_gpu and recipe.trained == "adapter"
    dtype = recipe.dtype if halved else "float32"
    network = load_model(start.base, tokenizer=start.tokenizer, device="cpu", dtype=dtype).network
    if recipe.pooling is not None:
        network.config.pooling = recipe.pooling
    network.train()
    recompute_in_chunks(network, recipe.recompute_tokens)
    torch.manual_seed(recipe.seed)  # an adapter begins at random
    trained, lines = make_trainable(network, recipe, start.typed)
    head = prepare_loss(network)
    for line in lines:
        told(line)
    place.mkdir(parents=True, exist_ok=True)
    args = arguments_of(recipe, place, loader, **arguments)
    kind = ShardedTrainer if sharded else RowTrainer
    return kind(trained, head, loader=loader, recipe=recipe, args=args, say=told)


def measured_on(
    trainer: "RowTrainer",
    encoder: Encoder,
    sets: Sequence[TrainingData],
    rows: int,
    *,
    every_steps: int,
    answers: bool,
) -> "Evaluation":
    """Let a trainer measure held-out sets while it trains.

    Args:
        trainer: The trainer.
        encoder: Makes ids, as for training.
        sets: The sets; none measures nothing.
        rows: The most rows of each.
        every_steps: Steps between measurements; 0 for the end alone.
        answers: Generate and score answers, too.
    """
    from longllava_domains.adapters.training.held_out import Evaluation, HeldOutRows

    whole = trainer.model.get_base_model() if trainer.recipe.lora else trainer.model
    held_out = HeldOutRows(whole, trainer.head, encoder, sets, rows=rows, answers=answers)
    measuring = Evaluation(held_out, every_steps, trainer, speaks=trainer.is_world_process_zero())
    if sets:
        trainer.add_callback(measuring)
    return measuring
