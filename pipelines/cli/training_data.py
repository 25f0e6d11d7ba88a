"""Commands that look at training data: `data check` and `data show`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from longllava_domains.errors import PolicyError, UnsupportedInputError
from longllava_domains.pipelines.cli.console import progress, require_model, stdout
from longllava_domains.pipelines.cli.options.numbers import at_least
from longllava_domains.pipelines.cli.options.shared import Model
from longllava_domains.pipelines.cli.outputs import about
from longllava_domains.units import counted

if TYPE_CHECKING:
    from longllava_domains.adapters.data.encode import Encoder
    from longllava_domains.adapters.data.training_data import LossOn, TrainingData

_LOOKED_AT: Final = 20  # rows, from which a file shows whether it is data at all
_MOST_TOKENS: Final = 40960
data_commands = typer.Typer(help="Look at training data before it is trained on.")

Tokenizer = Annotated[str | None, typer.Option(help="A folder with tokenizer.json")]
Evaluation = Annotated[
    list[str] | None,
    typer.Option(help="LAYOUT:PLACE of data that will be scored on; its rows are left out"),
]
_Source = Annotated[str, typer.Argument(help="Folder or file; FOLDER#PART chooses a part of it")]
_Layout = Annotated[
    str,
    typer.Option(
        help="llava, sharegpt, hub, pubmedvision, fit-rs, vqa-rad, pathvqa, ct-rate or radgenome"
    ),
]
_LossOn = Annotated[
    str | None, typer.Option(help="all or last; by default as the data's own trainer")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(data_commands, name="data", no_args_is_help=True)


@data_commands.command()
def check(
    source: _Source,
    layout: _Layout = "llava",
    model: Model = None,
    tokenizer: Tokenizer = None,
    max_tokens: Annotated[
        int, typer.Option(help="The most that a sample may have", callback=at_least(1))
    ] = _MOST_TOKENS,
    evaluation: Evaluation = None,
    images: Annotated[bool, typer.Option("--images", help="Decode every image")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Count what can be trained on, and say what will be dropped and why."""
    from dataclasses import asdict

    from longllava_domains.adapters.data.check import check_data
    from longllava_domains.adapters.data.open import open_data

    opened = open_data(source, layout)
    _require_rows(opened)
    evaluated = open_evaluation(evaluation)
    encoder = _encoder(model, tokenizer)
    with progress() as advance:
        found = check_data(
            opened, encoder, max_tokens=max_tokens, evaluation=evaluated, decode=images,
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
    tokenizer: Tokenizer = None,
    loss_on: _LossOn = None,
) -> None:
    """Print one row as it is trained on: what is learned stands between [[ and ]]."""
    from dataclasses import replace
    from itertools import islice

    from longllava_domains.adapters.data.check import drop_reason
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
        stdout.print(
            f"{why}\n  Check that the file is whole, or name its layout with --layout: longllava data check says more.",
            markup=False,
        )
        raise typer.Exit(2)
    encoder = replace(_encoder(model, tokenizer), loss_on=_learned(loss_on) or opened.loss_on)
    earlier = (before for _, before in islice(opened, row - 1))
    reason = drop_reason(sample, encoder, max_tokens=_MOST_TOKENS, earlier=earlier)
    if reason is not None:
        told = f"Row {row} is dropped from training ({reason}): the row {REASONS[reason]}."
        stdout.print(told, markup=False)
    stdout.print(encoder.show(sample), markup=False)


def require_evaluation(evaluation: Sequence[str] | None) -> None:
    """Refuse data to be scored on that are not LAYOUT:PLACE, of no known layout, or not there.

    Args:
        evaluation: As typed.

    Raises:
        LongLlavaError: One of these.
    """
    from longllava_domains.adapters.data.open import LAYOUTS, require_layout, require_training_data

    for text in evaluation or ():
        layout, colon, place = text.partition(":")
        if not layout or not place:
            known = layout if layout in LAYOUTS else "vqa-rad"
            lacking = "layout" if not layout else "place" if colon else "colon and no place"
            raise PolicyError(
                f"--evaluation needs LAYOUT:PLACE, and what was given has no {lacking}.",
                remedy=f"Write --evaluation {known}:FOLDER, with the folder or file of that data.",
                code="cli.evaluation",
            )
        with about("--evaluation"):
            require_layout(layout)
            require_training_data(place, "The evaluation data")


def open_evaluation(evaluation: Sequence[str] | None) -> "list[TrainingData]":
    """Open data sets given as LAYOUT:PLACE.

    Args:
        evaluation: As typed.

    Raises:
        LongLlavaError: One is not given so, or cannot be opened.
    """
    from longllava_domains.adapters.data.open import open_data

    require_evaluation(evaluation)
    pairs = [text.partition(":") for text in evaluation or ()]
    with about("--evaluation"):
        return [open_data(place, layout) for layout, _, place in pairs]


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
