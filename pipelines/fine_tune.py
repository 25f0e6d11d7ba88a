"""`FineTune`: teach a model a domain with a recipe, from data on disk to an adapter and a card."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from longllava_domains.adapters.data.check import Catalogue, check_data
from longllava_domains.adapters.data.encode import Encoder
from longllava_domains.adapters.data.loader import ProcessShare, RowLoader
from longllava_domains.adapters.data.mixture import MixturePart, mixture_of
from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.data.packing import PackingPolicy, fill_of, plan_epoch
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.adapters.recipes.registry import recipe as recipe_named
from longllava_domains.errors import PolicyError
from longllava_domains.model.checkpoint.source import Source, locate
from longllava_domains.prompt import PromptTokenizer
from longllava_domains.units import human_bytes

if TYPE_CHECKING:
    from longllava_domains.adapters.training.card import Made
    from longllava_domains.adapters.training.trainer import RowTrainer

# What a plan is shown for; `longllava plan train` plans for others.
PLANNED_GPUS: Final = 8

Say = Callable[[str], None]


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
        self.tokenizer = Path(self.source.folder if tokenizer is None else tokenizer)
        self.encoder = Encoder(
            PromptTokenizer.from_folder(self.tokenizer), self.config, protocol=recipe.protocol
        )

    @classmethod
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
        encoder = replace(self.encoder, loss_on=self.recipe.loss_on or opened.loss_on)
        found = check_data(
            opened, encoder, max_tokens=self.recipe.tokens_per_row, evaluation=evaluation,
            decode=decode, on_row=on_row,
        )  # fmt: skip
        return MixturePart(found, encoder)

    def __call__(
        self,
        data: str | Path,
        output: str | Path,
        *,
        evaluation: Sequence[TrainingData] = (),
        resume: bool = False,
        save_every_steps: int = 400,
        threads: int = 2,
        say: Say | None = None,
        on_row: Callable[[int], None] | None = None,
        **trainer: Any,
    ) -> FineTuned:
        """Train, and save an adapter or a model with its card.

        Args:
            data: A folder or file in the recipe's layout, see `open_data`.
            output: A new folder; checkpoints grow in it.
            evaluation: Data sets that will be scored on; rows that stand in them are left out.
            resume: Go on from the newest checkpoint in `output`, bit for bit.
            save_every_steps: Steps between checkpoints.
            threads: Threads that load pictures.
            say: Told what is about to happen, a sentence at a time.
            on_row: Told how many rows of the data were checked.
            **trainer: Handed to transformers' `TrainingArguments`, such as ``report_to``.

        Raises:
            LongLlavaError: The data, the folder or the run itself is not as it should be; see
                `check_data` and `RowTrainer`.
        """
        from accelerate import PartialState

        from longllava_domains.adapters.training.checkpoints import newest_checkpoint, sweep
        from longllava_domains.adapters.training.result import require_free
        from longllava_domains.adapters.training.trainer import resume as go_on

        place, process = Path(output), PartialState(cpu=bool(trainer.get("use_cpu")))
        told: Say = say if say is not None and process.is_main_process else _silent
        for line in self.recipe.lines():
            told(line)
        checkpoint = newest_checkpoint(place) if resume else None
        if process.is_main_process:
            require_free(place) if checkpoint is None else sweep(place)
        part = self.check(data, evaluation=evaluation, on_row=on_row)
        loader = self._loader(part, process, threads)
        self._tell(part.catalogue, loader, told)
        made = self._trainer(loader, place, told, {"save_every_steps": save_every_steps, **trainer})
        if checkpoint is None:
            made.train()
        else:
            go_on(made, checkpoint)
        if process.is_main_process:
            self._save(made, place, part.catalogue, [one.name for one in evaluation])
        process.wait_for_everyone()
        return FineTuned(
            place, self.recipe, made.state.global_step, _last_loss(made), loader.damaged
        )

    def _tell(self, found: Catalogue, loader: RowLoader, told: Say) -> None:
        """Say the terms of the data, what the check found, how full rows are, and the memory."""
        told(f"Terms of {found.data.name}: {found.data.terms.conditions}")
        for line in found.report.lines():
            told(line)
        told(self._fill(found, loader))
        told(self._planned(found, loader))

    def _save(
        self, made: "RowTrainer", place: Path, found: Catalogue, evaluation: list[str]
    ) -> None:
        from longllava_domains.adapters.training.result import save_result

        figures: dict[str, float | int | str] = {
            "steps": made.state.global_step,
            "last_loss": _last_loss(made),
            "damaged_samples": made.rows.damaged,
            "tokens_of_an_epoch": int(found.tokens.sum()),
            "learned_tokens_of_an_epoch": int(found.learned.sum()),
        }
        facts = self._made(found, evaluation, figures)
        save_result(made.model, place, facts, made.state.log_history, self.tokenizer)

    def _loader(self, part: MixturePart, process: Any, threads: int) -> RowLoader:
        recipe, world = self.recipe, process.num_processes
        return RowLoader(
            mixture_of([part], recipe.seed),
            PackingPolicy(recipe.packing, recipe.tokens_per_row),
            epochs=recipe.epochs,
            seed=recipe.seed,
            shard=ProcessShare(process.process_index, world),
            threads=threads,
            rows_per_step=max(1, round(recipe.rows_per_step / world)),
        )

    def _trainer(self, loader: RowLoader, place: Path, told: Say, arguments: dict[str, Any]) -> Any:
        """Load the base, make trainable what the recipe trains, and set the trainer up."""
        import torch
        from transformers.utils.logging import disable_progress_bar

        from longllava_domains.adapters.training.loss import prepare_loss
        from longllava_domains.adapters.training.trainable import make_trainable
        from longllava_domains.adapters.training.trainer import RowTrainer, arguments_of
        from longllava_domains.model import load_model

        disable_progress_bar()
        on_gpu = torch.cuda.is_available() and not arguments.get("use_cpu")
        # A frozen base may stay in 16 bits; weights that are trained need all of float32.
        halved = on_gpu and self.recipe.trained == "adapter"
        network = load_model(
            self.base,
            tokenizer=self.tokenizer,
            device="cpu",
            dtype=self.recipe.dtype if halved else "float32",
        ).network
        network.train()
        head = prepare_loss(network)
        torch.manual_seed(self.recipe.seed)  # an adapter begins at random
        trained, lines = make_trainable(network, self.recipe, self.typed)
        for line in lines:
            told(line)
        place.mkdir(parents=True, exist_ok=True)
        args = arguments_of(self.recipe, place, loader, **arguments)
        return RowTrainer(trained, head, loader, self.recipe, args, say=told)

    def _fill(self, found: Catalogue, loader: RowLoader) -> str:
        policy = loader.policy
        rows = plan_epoch(loader.mixture.tokens, policy, loader.seed, 0)
        fill = fill_of(rows, loader.mixture.tokens, policy.tokens_per_row)
        views = int(found.views.sum())
        return (
            f"{len(found):,} samples with {views:,} views and {int(found.tokens.sum()):,} tokens "
            f"make {len(rows):,} rows of {policy.tokens_per_row:,} tokens, {fill:.1%} full; "
            f"{len(loader) // loader.rows_per_step:,} steps in {loader.epochs} epochs."
        )

    def _planned(self, found: Catalogue, loader: RowLoader) -> str:
        from longllava_domains.model.budget.training import TrainingRun, plan_training
        from longllava_domains.model.checkpoint.load import empty_network

        rows = max(loader.rows_of_epoch[0], 1)
        lora = self.recipe.lora
        run = TrainingRun(
            rows, self.recipe.tokens_per_row, gpus=PLANNED_GPUS,
            lora_rank=None if lora is None else lora.rank, epochs=loader.epochs,
            views_per_row=int(found.views.sum()) // rows,
        )  # fmt: skip
        budget = plan_training(empty_network(self.config), run)
        return (
            f"Planned, not measured: {human_bytes(budget.peak)} on each of {PLANNED_GPUS} GPUs, "
            f"{budget.flops / 1e15:,.1f} PFLOP in all."
        )

    def _made(
        self, found: Catalogue, evaluation: list[str], figures: dict[str, float | int | str]
    ) -> "Made":
        from longllava_domains.adapters.training.card import Made
        from longllava_domains.model.checkpoint.load import open_checkpoint

        digest = open_checkpoint(self.source.folder).files.fingerprint()
        base = self.source.hub_id or ("demo" if self.source.demo else f"local:{digest[:8]}")
        names = ("longllava-domains", "torch", "transformers", "peft", "accelerate")
        return Made(
            self.recipe, base, digest, (found.data.terms,), (found.report,), tuple(evaluation),
            figures, {name: version(name) for name in names},
        )  # fmt: skip


def _last_loss(trainer: "RowTrainer") -> float:
    log = reversed(trainer.state.log_history)
    return next(float(entry["loss"]) for entry in log if "loss" in entry)


def _silent(_: str) -> None:
    """Say nothing."""
