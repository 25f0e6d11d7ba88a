"""`longllava reproduce paper --table N`: the paper's numbers beside ours, and an archive to send."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from longllava_domains.evaluate.datasets import require_data
from longllava_domains.pipelines.cli.console import progress, require_model, stdout, written
from longllava_domains.pipelines.cli.evaluate import print_table
from longllava_domains.pipelines.cli.options.numbers import at_least
from longllava_domains.pipelines.cli.options.shared import LOADING, Model, sharing
from longllava_domains.pipelines.cli.outputs import require_folder
from longllava_domains.vision_language import LoadOptions

reproducing = typer.Typer(help="Published tables beside our own numbers.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(reproducing, name="reproduce")
    reproducing.command()(sharing(paper, loading=LOADING))
    reproducing.command()(tables)


def tables() -> None:
    """Name the tables of the LongLLaVA paper, and how each is run."""
    from longllava_domains.pipelines.measures.paper import TABLES, paper_source, paper_table

    for number in TABLES:
        found = paper_table(number)
        stdout.print(f"{number}: {found.title}; runs through {found.through}", markup=False)
    stdout.print(f"Read from: {paper_source()}.", markup=False)


def paper(
    *,
    model: Model = None,
    loading: LoadOptions,
    number: Annotated[str, typer.Option("--table", help="2, 3, 5, 6, 7, 8, 10 or figure-8")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with a folder for each: ct-rate, vqa-rad, star, lmms-eval ..."),
    ] = None,
    values: Annotated[
        Path | None,
        typer.Option("--paper", help="JSON list of the paper's rows, over those on record"),
    ] = None,
    tokens: Annotated[
        int, typer.Option(help="Table 5: length of the prompt", callback=at_least(1))
    ] = 100_000,
    answer: Annotated[
        int, typer.Option(help="Table 5: longest answer", callback=at_least(2))
    ] = 1000,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N rows of each", callback=at_least(1))
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for runs and the archive")] = None,
) -> None:
    """Put a table of the LongLLaVA paper beside our numbers: matches, differs, impossible, not run."""
    from longllava_domains.pipelines.benchmark.outcome import make_folder
    from longllava_domains.pipelines.loading import load
    from longllava_domains.pipelines.measures.paper import paper_table
    from longllava_domains.pipelines.measures.reproduce import HEAD, save_reproduction
    from longllava_domains.pipelines.measures.reproducing import run_table

    table = paper_table(number, values)
    require_data(data)
    place = output or Path(f"longllava-{table.name}")
    require_folder(place, data)
    loaded = load(require_model(model), loading)
    folder = make_folder(place)
    with progress() as advance:
        lines, runs = run_table(
            loaded,
            table,
            data,
            folder,
            tokens=tokens,
            answer=answer,
            limit=limit,
            on_progress=advance,
        )
    made = loaded.provenance
    shown = {
        name: made.get(name) for name in ("model", "model_sha256", "adapter", "dtype", "device")
    }
    files = save_reproduction(folder, table, lines, shown, runs)
    printed = Table(*HEAD, title=table.title, title_justify="left")
    for line in lines:
        printed.add_row(*line.cells())
    print_table(printed)
    if not lines:
        stdout.print(f"no row on record; it runs through {table.through}, see docs", markup=False)
    written(*files)
