"""`FineTune`: teach a model a domain with a recipe, from data on disk to an adapter and a card."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longllava_domains.adapters.data.check import check_data
from longllava_domains.adapters.data.encode import Encoder
from longllava_domains.adapters.data.loader import ProcessShare, RowLoader
from longllava_domains.adapters.data.mixture import MixturePart, mixture_of
from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.data.packing import PackingPolicy
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.adapters.recipes.open_mix import open_mix
from longllava_domains.adapters.recipes.registry import recipe as recipe_named
from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.model.checkpoint.source import Source, locate
from longllava_domains.pipelines.fine_tune.result import (
    FineTuned,
    last_loss,
    made_of,
    result_of,
    run_lines,
)
from longllava_domains.pipelines.fine_tune.trainer import Start, make_trainer, measured_on
from longllava_domains.prompt import PromptTokenizer

if TYPE_CHECKING:
    from longllava_domains.adapters.training.held_out import Measured
    from longllava_domains.adapters.training.trainer import RowTrainer
    from longllava_domains.model import LongLlavaConfig

Say = Callable[[str], None]


class FineTune:
    """One recipe on one base model.

    Args:
        recipe: The run.
        base: ``"demo"``, a folder or a hub id.
        tokenizer: A folder with tokenizer.json; by default the base's own.
        typed: Targets of the adapter that a user typed; each must match.

    Raises:
        CheckpointError: There is no such model.
        TokenizerError: There is no usable tokenizer.
        PolicyError: The base is stored in 8 bits.
    """

    @checked
    def __init__(
        self,
        recipe: Recipe,
        base: str | Path,
        *,
        tokenizer: str | Path | None = None,
        typed: Sequence[str] = (),
    ) -> None:
        from longllava_domains.model.checkpoint.load import open_checkpoint

        self.recipe, self.base, self.typed = recipe, base, tuple(typed)
        self.source: Source = locate(base)
        self.config = open_checkpoint(self.source.folder).config
        if self.config.quantization is not None:
            raise PolicyError(
                "A model in 8 bits cannot be trained.",
                remedy="Name the checkpoint that it was made from.",
                code="training.quantized",
            )
        if recipe.pooling is not None:
            self.config = with_pooling(self.config, recipe.pooling)
        self.tokenizer = Path(self.source.folder if tokenizer is None else tokenizer)
        self.encoder = Encoder(
            PromptTokenizer.from_folder(self.tokenizer), self.config, protocol=recipe.protocol
        )

    @classmethod
    @checked
    def from_recipe(
        cls,
        name: str,
        *,
        base: str | Path,
        tokenizer: str | Path | None = None,
        **overrides: Any,
    ) -> "FineTune":
        """Take a recipe by its name.

        Args:
            name: Such as ``"pubmedvision"`` or ``"pubmedvision-lora"``.
            base: ``"demo"``, a folder or a hub id.
            tokenizer: A folder with tokenizer.json; by default the base's own.
            **overrides: Fields of the recipe; any change renames it to ``...-modified``. A
                dictionary reaches into the adapter: ``lora={"rank": 8}``.

        Raises:
            PolicyError: There is no such recipe or field.
            CheckpointError: There is no such model.
        """
        changes: dict[str, Any] = {}
        for key, value in overrides.items():
            inner = value.items() if isinstance(value, dict) else None
            changes |= {key: value} if inner is None else {f"{key}.{k}": v for k, v in inner}
        typed = changes.get("lora.targets", ())
        return cls(recipe_named(name, **changes), base, tokenizer=tokenizer, typed=typed)

    def check(
        self,
        data: str | Path,
        *,
        evaluation: Sequence[TrainingData] = (),
        decode: bool = False,
        on_row: Callable[[int], None] | None = None,
    ) -> MixturePart:
        """Go through the data: which rows can be used, how long they are, what is wrong.

        Args:
            data: A folder or file in the recipe's layout, see `open_data`.
            evaluation: Data sets that will be scored on; rows that stand in them are left out.
            decode: Decode every image, too.
            on_row: Told the number of rows done so far.

        Raises:
            LongLlavaError: The data is not there, or damaged so that rows are lost.
        """
        opened = open_data(data, self.recipe.layout)
        return self._checked(opened, evaluation, decode=decode, on_row=on_row)

    def _checked(
        self, opened: TrainingData, evaluation: Sequence[TrainingData], **how: Any
    ) -> MixturePart:
        encoder = replace(self.encoder, loss_on=self.recipe.loss_on or opened.loss_on)
        most = self.recipe.tokens_per_row
        return MixturePart(
            check_data(opened, encoder, max_tokens=most, evaluation=evaluation, **how), encoder
        )

    def _parts(
        self,
        data: str | Path,
        evaluation: Sequence[TrainingData],
        on_row: Callable[[int], None] | None,
    ) -> list[MixturePart]:
        """Go through every data set of the recipe."""
        if not self.recipe.mix:
            return [self.check(data, evaluation=evaluation, on_row=on_row)]
        parts = []
        for part, opened in zip(
            self.recipe.mix, open_mix(Path(data), self.recipe.mix), strict=True
        ):
            found = self._checked(opened, evaluation, on_row=on_row)
            rows = len(found.catalogue)
            # Never a row twice: what the disk lacks is said, not made up.
            count = None if part.count is None or part.count >= rows else part.count
            parts.append(replace(found, count=count))
        return parts

    @checked
    def __call__(
        self,
        data: str | Path,
        output: str | Path,
        *,
        evaluation: Sequence[TrainingData] = (),
        resume: bool = False,
        save_every_steps: int = 400,
        threads: int = 2,
        sharded: bool = False,
        evaluate_every_steps: int = 0,
        evaluate_rows: int = 64,
        say: Say | None = None,
        on_row: Callable[[int], None] | None = None,
        **trainer: Any,
    ) -> FineTuned:
        """Train, and save an adapter or a model with its card.

        Args:
            data: A folder or file in the recipe's layout, see `open_data`.
            output: A new folder; checkpoints grow in it.
            evaluation: Data sets whose rows are left out, and some of theirs measured.
            resume: Go on from the newest checkpoint in `output`, bit for bit.
            save_every_steps: Steps between checkpoints.
            threads: Threads that load pictures.
            sharded: Share weights and optimizer out over torchrun's processes (FSDP2).
            evaluate_every_steps: Steps between measurements of these; 0 for the end alone.
            evaluate_rows: The most rows of each that are measured; 0 for none.
            say: Told what is about to happen, a sentence at a time.
            on_row: Told how many rows of the data were checked.
            **trainer: Handed to transformers' `TrainingArguments`, as ``report_to``.

        Raises:
            LongLlavaError: Data, folder or run are not right; see `check_data` and `RowTrainer`.
        """
        import torch
        from accelerate import PartialState

        from longllava_domains.adapters.training.checkpoints import newest_checkpoint, sweep
        from longllava_domains.adapters.training.result import require_free
        from longllava_domains.adapters.training.trainer import start_or_resume as go_on

        # Without an accelerator, processes find each other only where that is said.
        trainer.setdefault("use_cpu", not torch.accelerator.is_available())
        place, process = Path(output), PartialState(cpu=trainer["use_cpu"])
        told = say if say is not None and process.is_main_process else _silent
        checkpoint = newest_checkpoint(place) if resume else None
        if process.is_main_process:
            sweep(place) if checkpoint else require_free(place)
        parts = self._parts(data, evaluation, on_row)
        trainer["save_every_steps"] = save_every_steps
        loader = self._loader(parts, process, threads)
        made = self._ready(parts, loader, place, told, trainer, sharded=sharded)
        measuring = measured_on(
            made, self.encoder, evaluation if evaluate_rows else (), evaluate_rows,
            every_steps=evaluate_every_steps, answers=not sharded,
        )  # fmt: skip
        go_on(made, checkpoint)
        self._save(made, place, parts, evaluation, measuring.latest)
        return result_of(made, place)

    def _ready(
        self,
        parts: list[MixturePart],
        loader: RowLoader,
        place: Path,
        told: Say,
        arguments: dict[str, Any],
        *,
        sharded: bool,
    ) -> "RowTrainer":
        for line in run_lines(self.config, self.recipe, parts, loader):
            told(line)
        return make_trainer(self._start, loader, place, told, arguments, sharded=sharded)

    def _save(
        self,
        made: "RowTrainer",
        place: Path,
        parts: list[MixturePart],
        evaluation: Sequence[TrainingData],
        measured: "tuple[Measured, ...]",
    ) -> None:
        from longllava_domains.adapters.training.result import save_result

        weights = made.whole_weights()  # every process gives its share
        if not made.is_world_process_zero():
            made.accelerator.wait_for_everyone()
            return
        figures: dict[str, float | int | str] = {
            "steps": made.state.global_step,
            "last_loss": last_loss(made),
            "damaged_samples": made.rows.damaged,
            "tokens_of_an_epoch": int(made.rows.mixture.tokens.sum()),
            "learned_tokens_of_an_epoch": int(made.rows.mixture.learned.sum()),
        }
        found = [part.catalogue for part in parts]
        facts = replace(
            made_of(self.source, self.recipe, found, [e.name for e in evaluation], figures),
            measured=measured,
        )
        save_result(made.model, place, facts, made.state.log_history, self.tokenizer, weights)
        made.accelerator.wait_for_everyone()

    def _loader(self, parts: list[MixturePart], process: Any, threads: int) -> RowLoader:
        recipe, world = self.recipe, process.num_processes
        return RowLoader(
            mixture_of(parts, recipe.seed),
            PackingPolicy(recipe.packing, recipe.tokens_per_row),
            epochs=recipe.epochs,
            seed=recipe.seed,
            shard=ProcessShare(process.process_index, world),
            threads=threads,
            volumes=recipe.augmentation,
            rows_per_step=max(1, round(recipe.rows_per_step / world)),
        )

    @property
    def _start(self) -> Start:
        return Start(self.recipe, self.base, self.tokenizer, self.typed)


def with_pooling(config: "LongLlavaConfig", pooling: str) -> "LongLlavaConfig":
    """Return a configuration with another pooling.

    Raises:
        CheckpointError: The tower's patches do not divide so.
    """
    entries = {**config.to_dict(), "pooling": pooling}
    entries.pop("image_seq_length", None)
    return type(config)(**entries)


def _silent(_: str) -> None:
    """Say nothing."""
