"""Commands that teach: `finetune`, and `data check`, `data show`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from longllava_domains.errors import PolicyError, UnsupportedInputError
from longllava_domains.pipelines.cli.console import progress, refuse_together, require_model, stdout
from longllava_domains.pipelines.cli.options.numbers import at_least
from longllava_domains.pipelines.cli.options.settings import read_changes
from longllava_domains.pipelines.cli.options.shared import Model
from longllava_domains.pipelines.cli.outputs import about, require_model_folder
from longllava_domains.units import counted

if TYPE_CHECKING:
    from longllava_domains.adapters.data.encode import Encoder
    from longllava_domains.adapters.data.training_data import LossOn, TrainingData
    from longllava_domains.adapters.recipes.base import Recipe
    from longllava_domains.pipelines.fine_tune.result import FineTuned

_LOOKED_AT: Final = 20  # rows, from which a file shows whether it is data at all
data_commands = typer.Typer(help="Look at training data before it is trained on.")

_Tokenizer = Annotated[str | None, typer.Option(help="A folder with tokenizer.json")]
_Source = Annotated[str, typer.Argument(help="Folder or file; FOLDER#PART chooses a part of it")]
_Layout = Annotated[
    str,
    typer.Option(
        help="llava, sharegpt, hub, pubmedvision, fit-rs, vqa-rad, pathvqa, ct-rate or radgenome"
    ),
]
_Evaluation = Annotated[
    list[str] | None,
    typer.Option(help="LAYOUT:PLACE of data that will be scored on; its rows are left out"),
]
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
_LossOn = Annotated[
    str | None, typer.Option(help="all or last; by default as the data's own trainer")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(finetune)
    app.command()(publish)
    app.add_typer(data_commands, name="data", no_args_is_help=True)


def finetune(
    recipe: Annotated[str, typer.Argument(help="pubmedvision, skysensegpt-lora, own-lora, ...")],
    base: Annotated[str | None, typer.Option(help='"demo", a folder or a hub id')] = None,
    data: Annotated[str | None, typer.Option(help="Folder or file; FOLDER#PART for a part")] = None,
    output: Annotated[Path | None, typer.Option(help="New folder for the result")] = None,
    tokenizer: _Tokenizer = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of the recipe, lora.rank=8")
    ] = None,
    evaluation: _Evaluation = None,
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
    from longllava_domains.adapters.recipes.registry import recipe as recipe_named

    given = read_changes(changes or [])
    chosen = recipe_named(recipe, **given)
    _require_given(base, data, output, report_to, is_shown=show or data is None or output is None)
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
    task = FineTune(chosen, require_model(base), tokenizer=tokenizer, typed=typed)
    with progress() as advance:
        made = task(
            data, output, evaluation=_opened(evaluation), resume=resume,
            save_every_steps=save_every_steps, threads=threads, sharded=sharded,
            evaluate_every_steps=evaluate_every_steps, evaluate_rows=evaluate_rows,
            report_to=report_to, **_with_deepspeed(deepspeed),
            say=lambda line: stdout.print(line, markup=False),
            on_row=lambda rows: advance("check", rows, rows),
        )  # fmt: skip
    _saved(made)


def _require_given(
    base: str | None, data: str | None, output: Path | None, report_to: str, *, is_shown: bool
) -> None:
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
        lambda: None if base is None and is_shown else require_name(require_model(base)),
        lambda: None if data is None else require_training_data(data),
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


@data_commands.command()
def check(
    source: _Source,
    layout: _Layout = "llava",
    model: Model = None,
    tokenizer: _Tokenizer = None,
    max_tokens: Annotated[
        int, typer.Option(help="The most that a sample may have", callback=at_least(1))
    ] = 40960,
    evaluation: _Evaluation = None,
    images: Annotated[bool, typer.Option("--images", help="Decode every image")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Count what can be trained on, and say what will be dropped and why."""
    from dataclasses import asdict

    from longllava_domains.adapters.data.check import check_data
    from longllava_domains.adapters.data.open import open_data

    opened = open_data(source, layout)
    _require_rows(opened)
    encoder = _encoder(model, tokenizer)
    with progress() as advance:
        found = check_data(
            opened, encoder, max_tokens=max_tokens, evaluation=_opened(evaluation), decode=images,
            on_row=lambda rows: advance("check", rows, rows),
        )  # fmt: skip
    if as_json:
        stdout.print_object(asdict(found.report))
        return
    for line in found.report.lines():
        stdout.print(line, markup=False)
    views, tokens = counted(int(found.views.sum()), "view"), int(found.tokens.sum())
    stdout.print(
        f"{views}, {counted(tokens, 'token')}, {int(found.learned.sum()):,} of them learned"
    )
    stdout.print(f"Terms ({opened.terms.licence}): {opened.terms.conditions}", markup=False)
    if not found.report.kept:
        raise typer.Exit(2)


@data_commands.command(name="show")
def show_row(
    source: _Source,
    row: Annotated[int, typer.Option(help="Which row, counted from 1")] = 1,
    layout: _Layout = "llava",
    model: Model = None,
    tokenizer: _Tokenizer = None,
    loss_on: _LossOn = None,
) -> None:
    """Print one row as it is trained on: what is learned stands between [[ and ]]."""
    from dataclasses import replace
    from itertools import islice

    from longllava_domains.adapters.data.open import open_data
    from longllava_domains.adapters.data.sample import REASONS, RowError

    opened = open_data(source, layout)
    found = next(islice(opened, max(row, 1) - 1, None), None)
    if found is None or row < 1:
        raise PolicyError(
            f"The data has no row {row}.",
            remedy="Rows are counted from 1; data check says how many there are.",
            code="cli.row",
        )
    _, sample = found
    if isinstance(sample, RowError):
        why = f"Row {row} is dropped: it {REASONS[sample.reason]}."
        stdout.print(f"{why}\n  Name the layout with --layout, or run data check.", markup=False)
        raise typer.Exit(2)
    encoder = replace(_encoder(model, tokenizer), loss_on=_learned(loss_on) or opened.loss_on)
    stdout.print(encoder.show(sample), markup=False)


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


def _require_rows(data: "TrainingData") -> None:
    """Refuse a file that is no data of its layout, before a model is asked for.

    Raises:
        UnsupportedInputError: Its first rows are none.
    """
    from itertools import islice

    from longllava_domains.adapters.data.sample import REASONS, RowError

    first = [sample for _, sample in islice(data, _LOOKED_AT)]
    # A row whose layout lacks a field is data: the count says which field that is.
    if all(
        isinstance(one, RowError) and one.reason == "damaged_row" and not one.field for one in first
    ):
        if not first:
            raise UnsupportedInputError(
                "The file holds no row.",
                remedy="Check that it is the right file, and whole; --layout says how it is laid out.",
                code="training.rows",
            )
        raise UnsupportedInputError(
            "This is no data of that layout: none of its first rows can be read as one; "
            f"row 1 {REASONS['damaged_row']}.",
            remedy="Check that the file is whole, or name the layout of the data with --layout; llava is "
            "JSON or JSON Lines with conversations.",
            code="training.rows",
        )


def _learned(text: str | None) -> "LossOn | None":
    """Read which answers are learned.

    Raises:
        PolicyError: Neither all nor last.
    """
    known: dict[str | None, LossOn | None] = {None: None, "all": "all", "last": "last"}
    if text in known:
        return known[text]
    raise PolicyError(
        "What is learned is all answers or the last.",
        remedy="Give --loss-on all or --loss-on last.",
        code="cli.loss_on",
    )


def _encoder(model: str | None, tokenizer: str | None) -> "Encoder":
    """Return what counts tokens as a model does, without its weights."""
    from longllava_domains.adapters.data.encode import Encoder
    from longllava_domains.model.checkpoint.load import open_checkpoint
    from longllava_domains.model.checkpoint.source import locate
    from longllava_domains.prompt import PromptTokenizer

    folder = locate(require_model(model)).folder
    speller = PromptTokenizer.from_folder(folder if tokenizer is None else tokenizer)
    return Encoder(speller, open_checkpoint(folder).config)


def _opened(evaluation: Sequence[str] | None) -> "list[TrainingData]":
    """Open data sets given as LAYOUT:PLACE."""
    from longllava_domains.adapters.data.open import open_data

    pairs = [text.partition(":") for text in evaluation or ()]
    return [open_data(place, layout) for layout, _, place in pairs]
