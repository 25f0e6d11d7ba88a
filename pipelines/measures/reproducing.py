"""Run what a table of the paper needs, as far as its data are here."""

import json
from pathlib import Path

from longllava_domains.evaluate import Result
from longllava_domains.files import write_text
from longllava_domains.pipelines.benchmark.benchmark import Benchmark, RunSettings
from longllava_domains.pipelines.benchmark.generate import OnProgress
from longllava_domains.pipelines.benchmark.outcome import make_folder
from longllava_domains.pipelines.measures.card import save_measure
from longllava_domains.pipelines.measures.efficiency import measure_efficiency
from longllava_domains.pipelines.measures.harness_results import read_harness_results
from longllava_domains.pipelines.measures.paper import PaperTable
from longllava_domains.pipelines.measures.reproduce import (
    PaperLine,
    compare_benchmarks,
    compare_efficiency,
    compare_harness,
    compare_star,
)
from longllava_domains.pipelines.measures.star import star_trials
from longllava_domains.pipelines.measures.trials import run_trials
from longllava_domains.vision_language import VisionLanguageModel


def run_table(
    model: VisionLanguageModel, table: PaperTable, data: Path | None, folder: Path,
    *, tokens: int, answer: int, limit: int | None, on_progress: OnProgress | None = None,
) -> tuple[list[PaperLine], list[Path]]:  # fmt: skip
    """Run a table and compare.

    Args:
        model: A loaded model.
        table: The paper's.
        data: Folder with a folder for each benchmark, named ``ct-rate``, ``vqa-rad``, ``fit-rsfg``,
            ``star`` ...; ``lmms-eval`` holds the results that it wrote.
        folder: Where runs are kept.
        tokens: Length of the prompt of an efficiency table.
        answer: Longest answer of it.
        limit: Only the first N rows of each benchmark.
        on_progress: Called with (stage, done, total).

    Returns:
        The comparison, and the folders of the runs.

    Raises:
        LongLlavaError: As of `Benchmark`.
    """
    if table.through == "lmms-eval":
        measured_there = {} if data is None else read_harness_results(data / "lmms-eval")
        return compare_harness(table, measured_there), []
    if table.through == "star":
        return _star(model, table, data, folder, on_progress)
    if table.through == "efficiency":
        measured = measure_efficiency(model, "text", tokens, answer=answer)
        place = make_folder(folder / "efficiency")
        write_text(
            place / "efficiency.json", json.dumps(measured.to_json(), indent=2), overwrite=True
        )
        return compare_efficiency(table, measured), [place]
    wanted = {row.benchmark: row.protocol for row in table.rows}
    results: dict[str, Result] = {}
    runs = []
    for benchmark, protocol in wanted.items():
        source = None if data is None else data / benchmark.partition("/")[0]
        if source is None or not source.is_dir():
            continue
        run = folder / benchmark.replace("/", "-")
        found = Benchmark(model)(
            benchmark, source, run, protocols=[protocol], settings=RunSettings(limit=limit),
            on_progress=on_progress,
        )  # fmt: skip
        results[f"{benchmark} {protocol}"] = found.results[protocol]
        runs.append(run)
    return compare_benchmarks(table, results, limit=limit), runs


def _star(
    model: VisionLanguageModel, table: PaperTable, data: Path | None, folder: Path,
    on_progress: OnProgress | None,
) -> tuple[list[PaperLine], list[Path]]:  # fmt: skip
    """Ask about the two scenes, or where they are not here about generated ones of their sizes."""
    own = None if data is None or not (data / "star").is_dir() else data / "star"
    place = make_folder(folder / "star")
    made = "generated" if own is None else "the user's own"
    trials = star_trials(model.view_format, place, data=own)
    counted = run_trials(model, trials, place, {"measure": "star", "data": made},
                         on_progress=on_progress)  # fmt: skip
    save_measure(
        place, "Whole scenes against sub-images", counted, model.provenance, {"data": made}
    )
    return compare_star(table, counted, generated=own is None), [place]
