"""Run what a table of the paper needs, as far as its data are here."""

import json
from pathlib import Path

from longllava_domains.evaluate import Result
from longllava_domains.files import write_text
from longllava_domains.pipelines.benchmark.benchmark import Benchmark, RunSettings
from longllava_domains.pipelines.benchmark.generate import OnProgress
from longllava_domains.pipelines.benchmark.outcome import make_folder
from longllava_domains.pipelines.measures.efficiency import measure_efficiency
from longllava_domains.pipelines.measures.reproduce import (
    PaperLine,
    PaperTable,
    compare_benchmarks,
    compare_efficiency,
)
from longllava_domains.vision_language import VisionLanguageModel


def run_table(
    model: VisionLanguageModel, table: PaperTable, data: Path | None, folder: Path,
    *, tokens: int, answer: int, limit: int | None, on_progress: OnProgress | None = None,
) -> tuple[list[PaperLine], list[Path]]:  # fmt: skip
    """Run a table and compare.

    Args:
        model: A loaded model.
        table: The paper's.
        data: Folder with a folder for each benchmark, named ``ct-rate``, ``vqa-rad``, ``fit-rsfg`` ...
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
