"""A training of a few steps on a tiny network, whole or killed and resumed."""

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import training_sets
from tiny_longllava import tiny_model
from torch import Tensor
from transformers import TrainerCallback

from longllava_domains.adapters.data.check import check_data
from longllava_domains.adapters.data.encode import Encoder
from longllava_domains.adapters.data.loader import RowLoader
from longllava_domains.adapters.data.mixture import MixturePart, mixture_of
from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.data.packing import PackingPolicy
from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.adapters.recipes.registry import recipe
from longllava_domains.adapters.training.checkpoints import newest_checkpoint
from longllava_domains.adapters.training.loss import prepare_loss
from longllava_domains.adapters.training.trainable import make_trainable
from longllava_domains.adapters.training.trainer import RowTrainer, arguments_of, resume

TOKENS = 160


def turned(views: Sequence[Any], chance: np.random.Generator) -> Sequence[Any]:
    """Turn each image by a random angle."""
    return [view.rotate(float(chance.uniform(-180, 180))) for view in views]


def recipe_of(**changes: Any) -> Recipe:
    """An adapter with dropout on everything but the experts, two epochs, two rows a step."""
    targets = ["attention", "in_proj", "x_proj", "out_proj", "dense_mlp"]
    lora = {"lora.rank": 2, "lora.alpha": 4, "lora.dropout": 0.2, "lora.targets": targets}
    return recipe(
        "pubmedvision-lora",
        **{"epochs": 2, "rows_per_step": 2, "learning_rate": 1e-2, "tokens_per_row": TOKENS}
        | lora
        | changes,
    )


class Stop(TrainerCallback):
    """Ends the run after a step: by an exception, or as the kernel does."""

    def __init__(self, step: int, *, kill: bool = False) -> None:
        self.step, self.kill = step, kill

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt


def trainer_of(
    data: Path,
    output: Path,
    how: Recipe,
    *,
    threads: int = 1,
    augment: Any = None,
    save_every_steps: int = 1,
    arguments: dict[str, Any] | None = None,
    **more: Any,
) -> RowTrainer:
    """Make everything anew, as another process would."""
    model = tiny_model()
    encoder = Encoder(model.processor.tokenizer, model.processor.config, how.loss_on or "all")
    found = check_data(open_data(data, "pubmedvision"), encoder, max_tokens=how.tokens_per_row)
    loader = RowLoader(
        mixture_of([MixturePart(found, encoder)]),
        PackingPolicy(how.packing, how.tokens_per_row),
        epochs=how.epochs,
        seed=how.seed,
        threads=threads,
        augment=augment,
        rows_per_step=how.rows_per_step,
    )
    network = model.network
    head = prepare_loss(network)
    torch.manual_seed(how.seed)
    trained, _ = make_trainable(network, how)
    settings = {"use_cpu": True, "save_every_steps": save_every_steps, **(arguments or {})}
    args = arguments_of(how, output, loader, **settings)
    return RowTrainer(trained, head, loader, how, args, **more)


def weights_of(trainer: RowTrainer) -> dict[str, Tensor]:
    return {
        name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad
    }


def trained_whole(data: Path, output: Path, how: Recipe, **more: Any) -> RowTrainer:
    trainer = trainer_of(data, output, how, **more)
    trainer.train()
    return trainer


def killed_and_resumed(data: Path, output: Path, how: Recipe, step: int, **more: Any) -> RowTrainer:
    """Stop before a step, throw everything away, and go on from the newest checkpoint."""
    first = trainer_of(data, output, how, callbacks=[Stop(step)], **more)
    with contextlib.suppress(KeyboardInterrupt):
        first.train()
    torch.manual_seed(12345)  # what another process would have
    second = trainer_of(data, output, how, **more)
    resume(second, newest_checkpoint(output))
    return second


def write_data(folder: Path) -> Path:
    return training_sets.write_pubmedvision(folder, rows=3)
