"""Commands that teach: `finetune`, and `publish` for what it made."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longllava_domains.errors import PolicyError, UnsupportedInputError
from longllava_domains.pipelines.cli.console import progress, refuse_together, require_model, stdout
from longllava_domains.pipelines.cli.options.numbers import at_least
from longllava_domains.pipelines.cli.options.settings import read_changes
from longllava_domains.pipelines.cli.outputs import about, require_model_folder
from longllava_domains.pipelines.cli.training_data import (
    Evaluation,
    Tokenizer,
    open_evaluation,
    require_evaluation,
)
from longllava_domains.units import counted

if TYPE_CHECKING:
    from longllava_domains.adapters.recipes.base import Recipe
    from longllava_domains.pipelines.fine_tune.result import FineTuned

_EvaluateEverySteps = Annotated[
    int,
    typer.Option(
        help="Steps between measurements of --evaluation; 0 for the end alone",
        callback=at_least(0),
    ),
]
_EvaluateRows = Annotated[
    int,
    typer.Option(help="Most rows of each that are measured; 0 for none", callback=at_least(0)),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(finetune)
    app.command()(publish)


def finetune(
    recipe: Annotated[str, typer.Argument(help="pubmedvision, skysensegpt-lora, own-lora, ...")],
    base: Annotated[str | None, typer.Option(help='"demo", a folder or a hub id')] = None,
    data: Annotated[str | None, typer.Option(help="Folder or file; FOLDER#PART for a part")] = None,
    output: Annotated[Path | None, typer.Option(help="New folder for the result")] = None,
    tokenizer: Tokenizer = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of the recipe, lora.rank=8")
    ] = None,
    evaluation: Evaluation = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest one")] = False,
    save_every_steps: Annotated[
        int, typer.Option(help="Steps between checkpoints", callback=at_least(1))
    ] = 400,
    threads: Annotated[
        int, typer.Option(help="Threads that load pictures", callback=at_least(1))
    ] = 2,
    evaluate_every_steps: _EvaluateEverySteps = 0,
    evaluate_rows: _EvaluateRows = 64,
    sharded: Annotated[
        bool, typer.Option("--sharded", help="Share the model out over torchrun's processes")
    ] = False,
    deepspeed: Annotated[
        Path | None, typer.Option(help="DeepSpeed configuration (never run by us)")
    ] = None,
    report_to: Annotated[str, typer.Option(help="none, tensorboard, wandb, ...")] = "none",
    show: Annotated[bool, typer.Option("--show", help="Print the recipe and stop")] = False,
) -> None:
    """Teach a model a domain: an adapter or a whole model, with its card."""
    given = read_changes(changes or [])
    chosen = _chosen(recipe, given)
    _require_given(
        base, data, output, report_to, evaluation, is_shown=show or data is None or output is None
    )
    if show:
        _show(chosen)
        return
    from longllava_domains.pipelines.fine_tune import FineTune

    if data is None or output is None:
        lacking = {"--data FOLDER": data, "--output NEW_FOLDER": output}
        raise PolicyError(
            "A fine-tuning needs data and a place for its result.",
            remedy=f"Add {' and '.join(name for name, given in lacking.items() if given is None)}.",
            code="cli.finetune",
        )
    typed = given.get("lora.targets", ())
    task = FineTune(chosen, require_model(base, "--base"), tokenizer=tokenizer, typed=typed)
    with progress() as advance:
        made = task(
            data, output, evaluation=open_evaluation(evaluation), resume=resume,
            save_every_steps=save_every_steps, threads=threads, sharded=sharded,
            evaluate_every_steps=evaluate_every_steps, evaluate_rows=evaluate_rows,
            report_to=report_to, **_with_deepspeed(deepspeed),
            say=lambda line: stdout.print(line, markup=False),
            on_row=lambda rows: advance("check", rows, rows),
        )  # fmt: skip
    _saved(made)


def _chosen(name: str, given: dict[str, Any]) -> "Recipe":
    """Return a recipe with the changes that were typed.

    Raises:
        PolicyError: There is no such recipe or field, or no layout of that name.
    """
    from longllava_domains.adapters.data.open import require_layout
    from longllava_domains.adapters.recipes.registry import recipe as recipe_named

    chosen = recipe_named(name, **given)
    if not chosen.mix:  # the parts of a mixture have layouts of their own
        with about("--set layout"):
            require_layout(chosen.layout)
    return chosen


def _require_given(
    base: str | None, data: str | None, output: Path | None, report_to: str,
    evaluation: list[str] | None, *, is_shown: bool,
) -> None:  # fmt: skip
    """Refuse what was given and cannot be, also where the recipe is only shown.

    Raises:
        LongLlavaError: One of these is not there, or cannot be written.
    """
    from longllava_domains.adapters.data.open import require_training_data
    from longllava_domains.model.checkpoint.source import require_name
    from longllava_domains.pipelines.fine_tune.reporting import require_report_to

    def require_place() -> None:
        with about("--output"):
            require_model_folder(output, base, None if data is None else data.partition("#")[0])

    refuse_together(
        lambda: require_report_to(report_to),
        lambda: None if base is None and is_shown else require_name(require_model(base, "--base")),
        lambda: None if data is None else require_training_data(data),
        lambda: require_evaluation(evaluation),
        require_place,
    )


def _show(recipe: "Recipe") -> None:
    from longllava_domains.pipelines.fine_tune.result import fits_lines

    for line in (*recipe.lines(), *fits_lines(recipe)):
        stdout.print(line, markup=False)


def _saved(made: "FineTuned") -> None:
    if int(os.environ.get("RANK", "0")):
        return  # one process of torchrun speaks for all
    stdout.print(f"saved: {counted(made.steps, 'step')}, last loss {made.loss:.4f}")
    if made.damaged:
        stdout.print(f"{counted(made.damaged, 'sample')} not learned: pictures are damaged")


def publish(
    folder: Annotated[Path, typer.Argument(help="Output folder of a fine-tuning")],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the hub")],
    public: Annotated[bool, typer.Option("--public", help="Make a new one public")] = False,
) -> None:
    """Put a trained adapter or model on the hub; refused without its card and licence."""
    from longllava_domains.adapters.training.publish import publish as upload

    stdout.print(upload(folder, repository, private=not public), markup=False)


def _with_deepspeed(configuration: Path | None) -> dict[str, Any]:
    """Return what hands a DeepSpeed configuration to the trainer.

    Raises:
        UnsupportedInputError: DeepSpeed is not installed.
    """
    from importlib.util import find_spec

    if configuration is None:
        return {}
    if find_spec("deepspeed") is None:
        raise UnsupportedInputError(
            "DeepSpeed is not installed.",
            remedy="Run: pip install deepspeed; or share the model out with --sharded instead.",
            code="extra.missing",
        )
    return {"deepspeed": str(configuration)}
