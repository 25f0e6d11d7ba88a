"""`longllava evaluate export` and `lmms-task`: files that other toolkits read."""

from pathlib import Path
from typing import Annotated

import typer

from longllava_domains.evaluate import load_dataset
from longllava_domains.files import require_apart, require_writable
from longllava_domains.pipelines.cli.console import stdout, written
from longllava_domains.pipelines.cli.evaluate import evaluating
from longllava_domains.pipelines.cli.options.numbers import at_least
from longllava_domains.pipelines.cli.outputs import require_folder


def register(app: typer.Typer) -> None:
    """Add the commands to ``longllava evaluate``."""
    evaluating.command()(export)
    evaluating.command("lmms-task")(lmms_task)


def export(
    benchmark: Annotated[str, typer.Argument(help="Of the run")],
    predictions: Annotated[Path, typer.Argument(help="predictions-PROTOCOL.jsonl of a run")],
    data: Annotated[Path, typer.Option(help="Folder of the benchmark")],
    toolkit: Annotated[str, typer.Option("--for", help="lmms-eval, vlmevalkit or medevalkit")],
    out: Annotated[Path, typer.Option(help="The file")],
) -> None:
    """Write the answers of a run as another toolkit reads them."""
    from longllava_domains.pipelines.harness.exports import export_predictions

    require_apart(out, predictions, data)
    require_writable(out, overwrite=True)
    references = load_dataset(benchmark, data).references
    count = export_predictions(predictions, references, out, toolkit, task=benchmark)
    stdout.print(f"{count:,} rows for {toolkit}", markup=False)
    written(out)


def lmms_task(
    benchmark: Annotated[
        str, typer.Argument(help="vqa-rad, path-vqa, fit-rsfg/vqa, ct-rate, multipathqa")
    ],
    data: Annotated[Path, typer.Option(help="Folder of the benchmark")],
    output: Annotated[Path, typer.Option(help="Folder for lmms-eval's --include_path")],
    limit: Annotated[
        int | None, typer.Option(help="Only the first N rows", callback=at_least(1))
    ] = None,
) -> None:
    """Write a benchmark on your disk as a task of lmms-eval."""
    from longllava_domains.pipelines.benchmark.outcome import make_folder
    from longllava_domains.pipelines.harness.lmms_tasks import write_lmms_tasks

    require_folder(output, data)
    written(*write_lmms_tasks(benchmark, data, make_folder(output), limit=limit))
