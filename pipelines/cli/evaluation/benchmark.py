"""`longllava evaluate BENCHMARK --model ... --data ...`: run a benchmark, score it, write its card."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from longllava_domains.evaluate.board import board_head, board_lines
from longllava_domains.evaluate.datasets import require_data
from longllava_domains.evaluate.dispatch import require_settings
from longllava_domains.pipelines.benchmark.benchmark import Benchmark, RunSettings
from longllava_domains.pipelines.benchmark.devices import SharedRun, ask_on_devices
from longllava_domains.pipelines.benchmark.materials import domain_of
from longllava_domains.pipelines.benchmark.outcome import BenchmarkResult
from longllava_domains.pipelines.benchmark.plan import BENCHMARKS, named_protocols
from longllava_domains.pipelines.cli.console import (
    progress,
    require_model,
    stderr,
    stdout,
    written,
)
from longllava_domains.pipelines.cli.evaluate import (
    evaluating,
    print_table,
    show_result,
)
from longllava_domains.pipelines.cli.options.devices import gpus_of
from longllava_domains.pipelines.cli.options.numbers import at_least
from longllava_domains.pipelines.cli.options.settings import read_settings
from longllava_domains.pipelines.cli.options.shared import LOADING, AsJson, Model, sharing
from longllava_domains.pipelines.cli.outputs import require_folder
from longllava_domains.pipelines.loading import for_domain, load
from longllava_domains.vision_language import LoadOptions

_MaxNewTokens = Annotated[int | None, typer.Option(help="Longest answer", callback=at_least(1))]
_Devices = Annotated[str, typer.Option(help="GPUs, a process each: all, or such as 0,1")]
_Draws = Annotated[int, typer.Option(help="Draws of the bootstrap", callback=at_least(0))]
WITH_FAILURES = 3  # exit code: finished, and some inputs could not be shown


def register(app: typer.Typer) -> None:
    """Add a command for each benchmark to ``longllava evaluate``."""
    for benchmark in BENCHMARKS:
        evaluating.command(benchmark, help=f"Run {benchmark} with a model, and score it.")(
            sharing(_command(benchmark), loading=LOADING)
        )


def _command(benchmark: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - read by typer
    def run(
        *,
        model: Model = None,
        loading: LoadOptions,
        data: Annotated[Path, typer.Option(help="Folder of the benchmark as distributed")],
        protocol: Annotated[
            list[str],
            typer.Option(help="Whose words and whose score; repeat for several, or: all"),
        ],
        output: Annotated[
            Path | None, typer.Option(help="Folder for answers, predictions and cards")
        ] = None,
        max_new_tokens: _MaxNewTokens = None,
        limit: Annotated[
            int | None, typer.Option(help="Only the first N rows", callback=at_least(1))
        ] = None,
        controls: Annotated[
            bool, typer.Option(help="Also run blind and with shuffled images")
        ] = True,
        missing: Annotated[
            str | None, typer.Option(help="Rows without an answer: error, wrong or drop")
        ] = None,
        settings: Annotated[
            list[str] | None, typer.Option("--set", help="A setting of the score, name=value")
        ] = None,
        draws: _Draws = 2000,
        seed: Annotated[int, typer.Option(help="Of all draws")] = 0,
        synthetic: Annotated[
            bool, typer.Option("--synthetic", help="The data are phantoms")
        ] = False,
        calibration: Annotated[
            Path | None, typer.Option(help="findings-first: the file that calibrate wrote")
        ] = None,
        devices: _Devices = "",
        as_json: AsJson = False,
    ) -> None:
        """Run a benchmark."""
        named = named_protocols(benchmark, protocol, calibrated=calibration is not None)
        require_data(data)
        chosen = RunSettings(
            max_new_tokens, limit, controls, seed, draws, synthetic,
            {**read_settings(settings), **({} if missing is None else {"missing": missing})},
            calibration,
        )  # fmt: skip
        require_settings(benchmark, named, chosen.scoring)
        place = output or Path(f"longllava-{benchmark.replace('/', '-')}")
        require_folder(place, data)
        run_of = (benchmark, data, place, tuple(protocol), chosen)
        found = _finished(SharedRun(require_model(model), loading, *run_of), gpus_of(devices))
        if as_json:
            stdout.print_object(found.card.to_json())
        else:
            show_run(found)
        written(*found.files)
        if found.failed:
            stderr.print(f"{len(found.failed)} inputs could not be shown", markup=False)
            raise typer.Exit(WITH_FAILURES)

    return run


def _finished(asked: SharedRun, gpus: list[str]) -> BenchmarkResult:
    """Ask on all devices that were named, then here what is left, and score."""
    how = for_domain(asked.model, asked.loading, domain_of(asked.benchmark))
    asked = replace(asked, loading=how)
    with progress() as advance:
        if gpus:
            ask_on_devices(asked, gpus, advance)
        return Benchmark(load(asked.model, asked.loading))(
            asked.benchmark,
            asked.data,
            asked.output,
            protocols=asked.protocols,
            settings=asked.settings,
            on_progress=advance,
        )


def show_run(found: BenchmarkResult) -> None:
    """Print the card's result, and a line for each protocol."""
    show_result(found.card)
    if len(found.results) > 1:
        table = Table(*board_head(found.results))
        for line in board_lines(found.results):
            table.add_row(*line)
        print_table(table)
    for name, reason in found.skipped.items():
        stdout.print(f"{name} was not applied: {reason}", markup=False)
    kept = f", {found.reused:,} of them kept by an earlier run" if found.reused else ""
    stdout.print(
        f"{found.asked:,} distinct prompts{kept}; asking took {found.seconds:.0f} s", markup=False
    )
