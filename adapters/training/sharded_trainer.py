"""`ShardedTrainer`: `RowTrainer` on a network that FSDP2 shares out over processes."""

from pathlib import Path
from typing import Any

import torch
from accelerate.utils import AutocastKwargs
from torch import nn
from transformers import TrainingArguments

from longllava_domains.adapters.training.loss import LossHead
from longllava_domains.adapters.training.sharding import gathered, load_share, save_share, shard
from longllava_domains.adapters.training.trainer import RowTrainer


class ShardedTrainer(RowTrainer):
    """Trains on packed rows, each process holding its share of weights and optimizer.

    A checkpoint holds whole weights, as that of one process does, and for each process the share
    that it resumes from, to the bit.

    Args:
        model: The network, or a peft model around it, whole and on a processor.
        head: The network's head, from `prepare_loss`.
        args: From `arguments_of`.
        **more: As for `RowTrainer`.

    Raises:
        PolicyError: There is one process only.
    """

    def __init__(
        self, model: nn.Module, head: LossHead, *, args: TrainingArguments, **more: Any
    ) -> None:
        super().__init__(shard(model), head, args=args, **more)
        # Weights in 16 bits that autocast keeps would hold the network whole on every process.
        self.accelerator.autocast_handler = AutocastKwargs(cache_enabled=False)
        # Set afterwards: for networks that transformers itself sharded, it refuses checkpoints.
        self.is_distributed_loading_by_transformers = True

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        """Leave the network: each share is where it belongs."""

    def whole_weights(self) -> dict[str, torch.Tensor]:
        """Return whole weights to the process that saves, and nothing to the others."""
        return gathered(self.model, keep=self.args.should_save)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        weights = self.whole_weights()
        if self.args.should_save:
            self.model.save_pretrained(output_dir, state_dict=weights)
            torch.save(self.args, Path(str(output_dir)) / "training_args.bin")

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        save_share(self.model, self._optimizer(), self._share(output_dir))
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Leave the weights: they are restored with the optimizer, from the same share."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        load_share(self.model, self._optimizer(), self._share(checkpoint))
        schedule = torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True)
        self.lr_scheduler.load_state_dict(schedule)

    def _optimizer(self) -> Any:
        return getattr(self.optimizer, "optimizer", self.optimizer)  # accelerate's wrapper

    def _share(self, folder: str) -> Path:
        return Path(folder) / f"share_{self.args.process_index}_of_{self.args.world_size}.pt"
