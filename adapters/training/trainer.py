"""`RowTrainer`: transformers' Trainer with our rows, our loss, and checkpoints that resume exactly.

The stock Trainer restores generators that its data loader does not draw from, so a resumed run
drifts: by up to 4e-2 with random augmentation, in the same test that this one passes bit for bit.
Here the loader's state is one number, and the generator of every step (dropout) follows from the
seed and the step. The stock loop, optimizer, schedule, reporting and sharding stay.
"""

import json
import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu
from transformers import PrinterCallback, Trainer, TrainingArguments

from longllava_domains.adapters.data.batch import Batch
from longllava_domains.adapters.data.loader import RowLoader
from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.adapters.training.arguments import arguments_of as arguments_of
from longllava_domains.adapters.training.checkpoints import (
    keep_newest,
    name_of,
    part_of_run,
    written_whole,
)
from longllava_domains.adapters.training.lora import require_gradients
from longllava_domains.adapters.training.loss import LossHead, summed_loss
from longllava_domains.adapters.training.sharding import whole_tensor
from longllava_domains.errors import PolicyError, TrainingError
from longllava_domains.model import load_checkpoint

logger = logging.getLogger(__name__)

STATE: Final = "loader.json"
RECIPE: Final = "recipe.json"


class RowTrainer(Trainer):
    """Trains on packed rows.

    Args:
        model: The network, or a peft model around it.
        head: The network's head, from `prepare_loss`.
        loader: The rows.
        recipe: The run; saved with every checkpoint.
        args: From `arguments_of`.
        keep_checkpoints: How many are kept.
        say: Told what each step came to, a sentence each.
        **more: Handed to transformers' Trainer, such as callbacks.

    Raises:
        PolicyError: Sharding by accelerate was asked for; see `ShardedTrainer`.
        TrainingError: While it trains: a loss or gradient that is not finite, an adapter without
            a gradient, or a checkpoint that cannot be written.
    """

    def __init__(
        self,
        model: nn.Module,
        head: LossHead,
        loader: RowLoader,
        recipe: Recipe,
        args: TrainingArguments,
        *,
        keep_checkpoints: int = 2,
        say: Callable[[str], None] | None = None,
        **more: Any,
    ) -> None:
        if args.fsdp:
            raise PolicyError(
                "Sharding by accelerate was asked for, which is not how it is done here.",
                remedy="Leave fsdp out, and use --sharded with several processes.",
                code="training.sharding",
            )
        super().__init__(model=model, args=args, **more)
        self.remove_callback(PrinterCallback)
        self.say = say
        self.head, self.rows, self.recipe = head, loader, recipe
        self.keep_checkpoints = keep_checkpoints
        self.model_accepts_loss_kwargs = True  # the loss is divided by the tokens of the step
        self._micro = (-1, 0)
        self._seen = {"tokens": 0, "images": 0}
        self._since = time.perf_counter()
        self._checked = recipe.lora is None
        self._staged: Path | None = None

    def get_train_dataloader(self) -> Any:
        """Return our rows; they are neither wrapped nor skipped by accelerate."""
        return self.rows

    def whole_weights(self) -> dict[str, Tensor] | None:
        """Return whole weights by name where the network holds shares of them, None elsewhere."""
        if not self.is_deepspeed_enabled:
            return None
        weights: dict[str, Tensor] | None = self.accelerator.get_state_dict(self.model_wrapped)
        return weights

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: `longllava plan train` counts operations, for this architecture."""
        return 0

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return this row's share of the loss of the step: every learned token counts the same."""
        away = save_on_cpu(pin_memory=self.args.device.type == "cuda")
        with away if self.recipe.offload_activations else nullcontext():
            summed = summed_loss(model, self.head, inputs)
        learned = max(float(num_items_in_batch or 0), 1.0)
        # Sharded training averages gradients over processes.
        shared: Tensor = summed * (self.accelerator.num_processes / learned)
        return shared

    def training_step(
        self,
        model: nn.Module,
        inputs: Batch,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Train on one row; refuse a loss that is not finite before it reaches the weights."""
        step, place = self._micro
        here = self.state.global_step
        self._micro = (here, place + 1 if step == here else 0)
        torch.manual_seed(_mixed(self.recipe.seed, *self._micro, self.args.process_index))
        self._seen["tokens"] += inputs["input_ids"].numel()
        self._seen["images"] += len(inputs.get("pixel_values", ()))
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not bool(torch.isfinite(loss)):
            raise self._not_finite("loss")
        return loss

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        if not self._checked:
            require_gradients(model)
            self._checked = True
        norm = super()._clip_grad_norm(model)
        norm = whole_tensor(norm) if isinstance(norm, Tensor) else norm
        if norm is not None and not math.isfinite(float(norm)):
            raise self._not_finite("gradient")
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add throughput and the true epoch to what is logged."""
        if "loss" in logs:
            now = time.perf_counter()
            seconds, self._since = now - self._since, now
            for name, count in self._seen.items():
                logs[f"{name}_per_second"] = count * self.args.world_size / seconds
            self._seen = {"tokens": 0, "images": 0}
        super().log(logs, start_time)
        passed = self.rows.epochs * self.rows.position / max(len(self.rows), 1)
        self.state.log_history[-1]["epoch"] = passed
        if "loss" in logs and self.say is not None:
            self.say(
                f"step {self.state.global_step} of {self.state.max_steps}: "
                f"loss {logs['loss']:.4f}, learning rate {logs['learning_rate']:.2e}, "
                f"{logs['tokens_per_second']:,.0f} tokens/s, "
                f"{logs['images_per_second']:,.1f} images/s"
            )

    def _get_output_dir(self, trial: Any) -> str:
        if self._staged is not None:
            return str(self._staged)
        folder: str = super()._get_output_dir(trial)
        return folder

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        run = Path(self.args.output_dir)
        name = name_of(self.state.global_step)
        if not self.args.should_save:
            self._write(run / part_of_run(name), model, trial)
            return
        with written_whole(run, name) as staged:
            inner = self._write(staged, model, trial)
            (inner / STATE).write_text(json.dumps(self.rows.state()))
            recipe = {**self.recipe.to_json(), "notice": self.recipe.notice}
            (inner / RECIPE).write_text(json.dumps(recipe, indent=2))
            for path in inner.iterdir():
                path.rename(staged / path.name)
            inner.rmdir()
        keep_newest(run, self.keep_checkpoints)

    def _write(self, staged: Path, model: nn.Module, trial: Any) -> Path:
        """Let every process write into the staged folder; return where they wrote."""
        self._staged = staged
        self.accelerator.wait_for_everyone()
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._staged = None
        self.accelerator.wait_for_everyone()
        return staged / name_of(self.state.global_step)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load the weights strictly.

        transformers stores experts one by one and its Trainer does not join them again: it warns,
        and goes on with the experts of the base.
        """
        if self.recipe.lora is not None or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        stored = load_checkpoint(resume_from_checkpoint, dtype="auto")
        self.model.load_state_dict(stored.state_dict())

    def _not_finite(self, what: str) -> TrainingError:
        step = self.state.global_step + 1
        return TrainingError(
            f"The {what} of step {step} is not finite; the weights were not touched by it.",
            remedy="Resume from the last checkpoint with a lower learning_rate, or look at the "
            "rows of that step.",
            code="training.not_finite",
            facts={"step": step, "row": self.rows.position},
        )


def start_or_resume(trainer: RowTrainer, checkpoint: Path | None) -> None:
    """Train from the beginning, or on from a checkpoint.

    Raises:
        PolicyError: The checkpoint belongs to another run.
        TrainingError: It is damaged.
    """
    if checkpoint is None:
        trainer.train()
    else:
        resume(trainer, checkpoint)


def resume(trainer: RowTrainer, checkpoint: Path) -> None:
    """Train on from a checkpoint.

    Raises:
        PolicyError: It belongs to another run.
        TrainingError: It is damaged.
    """
    try:
        state = json.loads((checkpoint / STATE).read_text())
    except (OSError, ValueError):
        raise TrainingError(
            "The checkpoint lacks the state of its rows.",
            remedy="Resume from a checkpoint that this package wrote.",
            code="training.checkpoint",
        ) from None
    _require_same_recipe(trainer.recipe, checkpoint)
    trainer.rows.restore(state)
    trainer.train(resume_from_checkpoint=str(checkpoint))


def _require_same_recipe(recipe: Recipe, checkpoint: Path) -> None:
    """Refuse to resume under another recipe: the result would be neither of the two."""
    try:
        saved = json.loads((checkpoint / RECIPE).read_text())
    except (OSError, ValueError):
        saved = {}
    differs = [
        key
        for key, value in recipe.to_json().items()
        if key not in ("name", "sources") and key in saved and saved[key] != value
    ]
    if differs:
        raise PolicyError(
            f"The run that is resumed had another {', '.join(differs)}.",
            remedy="Resume with the very same settings, or begin a new run.",
            code="training.resume",
        )


def _mixed(*numbers: int) -> int:
    """Return a seed that differs for every combination of small numbers."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 1_000_003 + number + 1) % 2**63
    return mixed
