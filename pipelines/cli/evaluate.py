"""Commands that score prediction files: `evaluate score`, `explain`, `protocols`, `data`, `check`."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from longllava_domains import evaluate as scoring
from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.card import require_card, save_card
from longllava_domains.evaluate.datasets import Dataset, load_dataset
from longllava_domains.evaluate.dispatch import explain_settings, find_protocol
from longllava_domains.evaluate.explain import DifferingRow, explain
from longllava_domains.evaluate.result import Result, contrast_line
from longllava_domains.evaluate.visual import score_beside
from longllava_domains.files import write_text
from longllava_domains.pipelines.cli.console import stdout, written
from longllava_domains.pipelines.cli.options.numbers import at_least
from longllava_domains.pipelines.cli.options.settings import read_settings
from longllava_domains.pipelines.cli.options.shared import AsJson
from longllava_domains.pipelines.cli.outputs import require_replaceable
from longllava_domains.units import counted

_WIDTH = 400
evaluating = typer.Typer(help="Scores whose protocol is named, of files or of a model that is run.")

# How a table of rows, and rows as JSON Lines, begin where we wrote them.
_TABLES: Final = (b"PAR1", b"id,", b"id\n")
_ROWS: Final = (b"{",)

_Benchmark = Annotated[str, typer.Argument(help="vqa-rad, path-vqa, ct-rate ...: see `protocols`")]
_Predictions = Annotated[Path, typer.Argument(help=".jsonl, .json, .csv, .tsv or .parquet")]
_References = Annotated[Path | None, typer.Option(help="File with the true answers")]
_Data = Annotated[Path | None, typer.Option(help="Folder of the benchmark as distributed")]
_Set = Annotated[
    list[str] | None, typer.Option("--set", help="A setting, name=value; repeat for several")
]
_Missing = Annotated[
    str | None, typer.Option(help="Rows without a prediction: error, wrong or drop")
]
_Synthetic = Annotated[bool, typer.Option("--synthetic", help="The data are phantoms")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(evaluating, name="evaluate")


@evaluating.command()
def score(
    benchmark: _Benchmark,
    predictions: _Predictions,
    protocol: Annotated[str, typer.Option(help="Name, or name@version; see `protocols`")],
    references: _References = None,
    data: _Data = None,
    blind: Annotated[Path | None, typer.Option(help="Predictions made without images")] = None,
    shuffled: Annotated[
        Path | None, typer.Option(help="Predictions made with other images")
    ] = None,
    missing: _Missing = None,
    settings: _Set = None,
    synthetic: _Synthetic = False,
    out: Annotated[Path | None, typer.Option(help="The card: .html, .md or .json")] = None,
    rows: Annotated[Path | None, typer.Option(help="The table of rows: .parquet or .csv")] = None,
    draws: Annotated[
        int, typer.Option(help="Draws of the bootstrap; 0 for no intervals", callback=at_least(0))
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Of the draws")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score a prediction file and show it beside constants, oracle, blind and shuffled runs."""
    inputs = (predictions, references, data, blind, shuffled)
    require_replaceable(out, *inputs)
    require_replaceable(rows, *inputs, ours=_TABLES)
    if out is not None:
        require_card(out)
    truth = _truth(benchmark, references, data)
    own = {**read_settings(settings), **_given(missing), "synthetic": synthetic}
    controls = {
        name: path for name, path in (("blind", blind), ("shuffled", shuffled)) if path is not None
    }
    result = score_beside(
        benchmark, predictions, truth, controls, protocol=protocol, draws=draws, seed=seed, **own
    )
    if out is not None:
        save_card(result, out, overwrite=True)
    if rows is not None:
        result.save_rows(rows, overwrite=True)
    if as_json:
        stdout.print_object(result.to_json())
        return
    show_result(result)


@evaluating.command("explain")
def explain_file(
    benchmark: _Benchmark,
    predictions: _Predictions,
    references: _References = None,
    data: _Data = None,
    missing: _Missing = None,
    settings: _Set = None,
    synthetic: _Synthetic = False,
    shown: Annotated[int, typer.Option(help="Differing rows to print", callback=at_least(0))] = 20,
) -> None:
    """Score a file under every protocol and print, row by row, why they differ."""
    truth = _truth(benchmark, references, data)
    own = {**read_settings(settings), **_given(missing), "synthetic": synthetic}
    found = explain(benchmark, predictions, truth, **own)
    table = Table("protocol", "scored", "headline")
    for result in found.results.values():
        values = ", ".join(f"{name} {result.metrics[name]:.4f}" for name in result.headline)
        table.add_row(result.protocol, f"{result.counts.scored:,}", values)
    stdout.print(table)
    stdout.print(found.note, markup=False)
    for name, reason in found.skipped.items():
        stdout.print(f"{name} was not applied: {reason}", markup=False)
    verb = "is" if len(found.rows) == 1 else "are"
    stdout.print(f"{counted(len(found.rows), 'row')} {verb} scored differently", markup=False)
    for row in found.rows[:shown]:
        _show_row(row)


@evaluating.command()
def protocols(
    benchmark: Annotated[str | None, typer.Argument(help="One benchmark only")] = None,
) -> None:
    """List benchmarks, their protocols and the settings of each."""
    if benchmark is not None and benchmark not in scoring.PROTOCOLS:
        find_protocol(benchmark, "")
    for name in [benchmark] if benchmark else scoring.PROTOCOLS:
        stdout.print(name, style="bold", markup=False)
        for protocol in scoring.PROTOCOLS[name].values():
            stdout.print(f"  {protocol.label}: {protocol.summary}", markup=False)
            if benchmark is not None:
                own = ", ".join(f"{k}={v!r}" for k, v in explain_settings(protocol).items())
                stdout.print(f"    {own}", markup=False)


@evaluating.command()
def data(
    benchmark: _Benchmark,
    folder: Annotated[Path, typer.Argument(help="The benchmark as distributed")],
    disjoint: Annotated[
        Path | None, typer.Option(help="Write a training split without test images, JSON Lines")
    ] = None,
) -> None:
    """Say which build a folder holds, its hashes, its terms, and what leaks between its splits."""
    if disjoint is not None:
        require_replaceable(disjoint, folder, ours=_ROWS)
    found = load_dataset(benchmark, folder)
    stdout.print(f"{found.benchmark}, build {found.build}", markup=False)
    for name, rows in found.splits.items():
        stdout.print(
            f"  {name}: {counted(len(rows), 'row')}, sha256 {found.hashes[name]}", markup=False
        )
    for name, count in (found.leakage or {}).items():
        stdout.print(f"  {name}: {count:,}", markup=False)
    for note in (*found.notes, f"terms: {found.licence}"):
        stdout.print(f"  {note}", markup=False)
    if disjoint is not None:
        rows = found.image_disjoint().splits.get("train", ())
        write_text(disjoint, "".join(json.dumps(row) + "\n" for row in rows), overwrite=True)
        stdout.print(f"  {len(rows):,} training rows without test images written", markup=False)


@evaluating.command()
def phantom(
    benchmark: _Benchmark,
    folder: Annotated[Path, typer.Argument(help="A new folder")],
    size: Annotated[int, typer.Option(help="Images, patients or slides")] = 4,
) -> None:
    """Write a small benchmark of phantoms in the exact layout of a real one, to try a run."""
    from longllava_domains.adapters.phantoms.benchmarks import write_benchmark

    written(write_benchmark(benchmark, folder, size=size))


@evaluating.command()
def check(
    prevalence: Annotated[float, typer.Option(help="Share of positives, 0 to 1")],
    accuracy: Annotated[float | None, typer.Option(help="0 to 1")] = None,
    precision: Annotated[float | None, typer.Option(help="0 to 1")] = None,
    recall: Annotated[float | None, typer.Option(help="0 to 1")] = None,
    f1: Annotated[float | None, typer.Option(help="0 to 1")] = None,
) -> None:
    """Say why published numbers cannot belong together, if they cannot."""
    row = scoring.Reported(accuracy, precision, recall, f1)
    found = scoring.contradictions(row, prevalence)
    if precision is None or recall is None or (accuracy is None and f1 is None):
        raise PolicyError(
            "Nothing can be compared: it takes precision, recall, and accuracy or F1 besides.",
            remedy="Add --precision and --recall, and --accuracy or --f1 (or both).",
            code="cli.check",
        )
    for line in found or ("these numbers can belong together",):
        stdout.print(line, markup=False)


def _truth(benchmark: str, references: Path | None, folder: Path | None) -> Path | Dataset | None:
    if references is not None and folder is not None:
        raise PolicyError(
            "Both --references and --data say where the true answers are.",
            remedy="Give one of them.",
            code="cli.references",
        )
    return references if folder is None else load_dataset(benchmark, folder)


def _given(missing: str | None) -> dict[str, Any]:
    return {} if missing is None else {"missing": missing}


def show_result(result: Result) -> None:
    """Print a result, what stands beside it, and its notes."""
    stdout.print(f"{result.benchmark}, {result.protocol}", style="bold", markup=False)
    names = result.headline or tuple(result.metrics)[:1]
    table = Table("metric", "this file", "interval", *result.beside)
    for name in names:
        found = result.intervals.get(name)
        interval = "" if found is None else f"{found.low:.4f} to {found.high:.4f}"
        others = (each.metrics.get(name) for each in result.beside.values())
        table.add_row(
            name, f"{result.metrics[name]:.4f}", interval,
            *("" if value is None else f"{value:.4f}" for value in others),
        )  # fmt: skip
    print_table(table)
    for contrast in result.contrasts:
        stdout.print("  ".join(contrast_line(contrast)), markup=False)
    counts = ", ".join(f"{name} {count:,}" for name, count in result.counts.to_json().items())
    stdout.print(counts, markup=False)
    for note in result.notes:
        stdout.print(f"note: {note}", markup=False)


def print_table(table: Table) -> None:
    """Print a table with every cell whole, wider than the terminal where need be."""
    for column in table.columns:
        column.no_wrap = True
    own_width, stdout.width = stdout.width, _WIDTH
    try:
        stdout.print(table, crop=False)
    finally:
        stdout.width = own_width


def _show_row(row: DifferingRow) -> None:
    stdout.print(f"row {row.id}: truth {row.truth!r}, answer {row.answer!r}", markup=False)
    for name, verdict in row.verdicts.items():
        stdout.print(f"  {verdict.score:.2f} {name}: {verdict.why}", markup=False)
