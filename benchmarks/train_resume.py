"""A run killed by the kernel and resumed, against an uninterrupted one, in several kinds of data.

Our trainer must give equal weights to the bit. The stock Trainer runs the same network on the
same samples beside it, resumed as its documentation says; its differences are printed.

    python benchmarks/train_resume.py [--samples 24] [--steps-before 5]
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset
from transformers import Trainer, TrainingArguments

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "builders"))

import tiny_training  # noqa: E402
import training_sets  # noqa: E402
from tiny_training import Stop, recipe_of, trainer_of  # noqa: E402

from longllava_domains.adapters.training.checkpoints import newest_checkpoint  # noqa: E402
from longllava_domains.adapters.training.lora import attach_lora  # noqa: E402
from longllava_domains.adapters.training.loss import prepare_loss, summed_loss  # noqa: E402
from longllava_domains.adapters.training.trainer import resume  # noqa: E402

# Name -> (recipe, loader); every one has dropout.
OURS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dropout, packed": ({}, {}),
    "random augmentation, packed": ({}, {"augment": tiny_training.turned}),
    "augmentation, two threads": ({}, {"augment": tiny_training.turned, "threads": 2}),
    "after epoch 1, unpacked": ({"packing": "none"}, {"augment": tiny_training.turned}),
    "full, packed": ({"trained": "language_model", "lora": None, "learning_rate": 1e-3}, {}),
}
STOCK = {
    "map-style, dropout": {"augment": False, "workers": 0, "iterable": False},
    "map-style, random augmentation": {"augment": True, "workers": 0, "iterable": False},
    "map-style, augmentation, two workers": {"augment": True, "workers": 2, "iterable": False},
    "iterable, augmentation, after epoch 1": {"augment": True, "workers": 0, "iterable": True},
}


def samples_of(data: Path) -> list[dict[str, Tensor]]:
    """Return every sample as a row of its own."""
    trainer = trainer_of(data, data / "unused", recipe_of(packing="none", epochs=1))
    return list(trainer.rows)


class Augmented(Dataset):  # type: ignore[type-arg]
    """Samples with noise on their pixels, drawn as people draw it in ``__getitem__``."""

    def __init__(self, samples: list[dict[str, Tensor]], augment: bool) -> None:
        self.samples, self.augment = samples, augment

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        sample = dict(self.samples[number])
        if self.augment:
            pixels = sample["pixel_values"]
            noise = np.random.standard_normal(pixels.shape)
            sample["pixel_values"] = pixels + torch.from_numpy(noise).float()
        return sample


class Streamed(IterableDataset):  # type: ignore[type-arg]
    """The same as a stream."""

    def __init__(self, samples: Augmented) -> None:
        self.samples = samples

    def __iter__(self) -> Any:
        return (self.samples[number] for number in range(len(self.samples)))


class StockTrainer(Trainer):
    """The stock loop and data loading, with our loss."""

    def compute_loss(self, model: Any, inputs: Any, **_: Any) -> Tensor:  # type: ignore[override]
        """Return a loss of the usual size."""
        return summed_loss(model, self.head, inputs) / 10


def stock_trainer(data: Path, output: Path, kind: str, callbacks: list[Any]) -> StockTrainer:
    settings = STOCK[kind]
    how = recipe_of()
    network = tiny_training.tiny_model().network
    head = prepare_loss(network)
    torch.manual_seed(0)
    model, _ = attach_lora(network, how.lora)
    mapped = Augmented(samples_of(data), settings["augment"])
    steps = len(mapped) // 2 * 2
    args = TrainingArguments(
        str(output), use_cpu=True, per_device_train_batch_size=1, gradient_accumulation_steps=2,
        max_steps=steps, learning_rate=1e-2, save_steps=1, save_total_limit=2, seed=0,
        remove_unused_columns=False, disable_tqdm=True, report_to="none", logging_steps=10**6,
        dataloader_num_workers=settings["workers"],
        accelerator_config={"dispatch_batches": False},  # it would cut the list of images
    )  # fmt: skip
    dataset: Any = Streamed(mapped) if settings["iterable"] else mapped
    trainer = StockTrainer(
        model, args, train_dataset=dataset, callbacks=callbacks, data_collator=lambda rows: rows[0]
    )
    trainer.head = head
    return trainer


def run(side: str, kind: str, data: Path, output: Path, kill_at: int, again: bool) -> None:
    """Train in this process: whole, until it is killed, or from the newest checkpoint."""
    torch.set_num_threads(1)
    torch.manual_seed(7 if again else 0)
    callbacks = [Stop(kill_at, kill=True)] if kill_at >= 0 else []
    if side == "ours":
        changes, how = OURS[kind]
        trainer: Any = trainer_of(data, output, recipe_of(**changes), callbacks=callbacks, **how)
        resume(trainer, newest_checkpoint(output)) if again else trainer.train()
    else:
        trainer = stock_trainer(data, output, kind, callbacks)
        trainer.train(resume_from_checkpoint=str(newest_checkpoint(output)) if again else None)
    weights = {n: p.detach() for n, p in trainer.model.named_parameters() if p.requires_grad}
    torch.save(weights, output / "weights.pt")


def spawn(*arguments: object) -> int:
    """Run one training in a process of its own."""
    command = [sys.executable, __file__, "--run", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(done.stderr[-3000:])
    return done.returncode


def difference(side: str, kind: str, data: Path, kill_at: int) -> float:
    """Return the largest difference between weights of a whole and of a killed run."""
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        spawn(side, kind, data, whole, -1, 0)
        assert spawn(side, kind, data, killed, kill_at, 0) == -signal.SIGKILL
        spawn(side, kind, data, killed, -1, 1)
        one, other = (torch.load(place / "weights.pt") for place in (whole, killed))
        return max(float((one[name] - other[name]).abs().max()) for name in one)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--steps-before", type=int, default=5)
    parser.add_argument("--side", choices=["ours", "stock"], help="only one of the two")
    parser.add_argument("--run", nargs=6)
    options = parser.parse_args()
    if options.run:
        side, kind, data, output, kill_at, again = options.run
        run(side, kind, Path(data), Path(output), int(kill_at), again == "1")
        return
    with tempfile.TemporaryDirectory() as folder:
        data = training_sets.write_pubmedvision(Path(folder) / "data", options.samples // 2)
        for side, kinds in (("ours", OURS), ("stock", STOCK)):
            for kind in kinds if options.side in (None, side) else ():
                late = "after epoch 1" in kind
                kill_at = options.steps_before + (options.samples // 2 + 1 if late else 0)
                largest = difference(side, kind, data, kill_at)
                shown = "equal to the bit" if largest == 0 else f"differs by {largest:.1e}"
                print(f"{side}, {kind}, killed at step {kill_at}: {shown}", flush=True)


if __name__ == "__main__":
    main()
