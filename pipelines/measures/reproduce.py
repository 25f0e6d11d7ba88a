"""The paper's tables beside ours: what matches, differs, cannot be, or was not run."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from longllava_domains.evaluate import Reported, Result, contradictions
from longllava_domains.files import new_file, write_text
from longllava_domains.html import element, page, table
from longllava_domains.pipelines.measures.efficiency import Efficiency
from longllava_domains.pipelines.measures.harness_results import HarnessScore
from longllava_domains.pipelines.measures.paper import PaperRow, PaperTable, paper_source
from longllava_domains.pipelines.measures.trials import Counted
from longllava_domains.provenance import RESEARCH_NOTICE

MATCHES, DIFFERS, IMPOSSIBLE, NOT_RUN = "matches", "differs", "impossible", "not run"
PAPER_TOKENS: Final = 100_000
_TOLERANCE: Final = 0.10  # of a time or a memory size, which another machine never repeats exactly
# Half a unit of the last digit: percentages are printed with one decimal, and so is the rest.
_ROUNDING: Final = 5e-4
# What may leave: cards and predictions. Rows hold the truths of data that may not be passed on.
_SENT: Final = ("card.*", "predictions-*.jsonl", "efficiency.json")


@dataclass(frozen=True)
class PaperLine:
    """The paper's number beside ours.

    Attributes:
        row: The paper's.
        ours: Ours, None where it was not run.
        interval: Of ours, None without one.
        verdict: One of matches, differs, impossible, not run.
        why: In a few words.
    """

    row: PaperRow
    ours: float | None
    interval: tuple[float, float] | None
    verdict: str
    why: str

    def cells(self) -> tuple[str, ...]:
        """Return the line as text, as `HEAD` names its cells."""
        paper = "not on record" if self.row.value is None else f"{self.row.value:g}"
        ours = "" if self.ours is None else f"{self.ours:.4g}"
        ends = "" if self.interval is None else f"{self.interval[0]:.4g} to {self.interval[1]:.4g}"
        named = f"{self.row.benchmark} {self.row.metric}".strip()
        return self.row.model, named, paper, ours, ends, self.verdict, self.why


HEAD: Final = ("model", "metric", "paper", "ours", "interval", "verdict", "why")


def compare_benchmarks(
    table_: PaperTable, results: Mapping[str, Result], *, limit: int | None = None
) -> list[PaperLine]:
    """Put our results beside the paper's.

    Args:
        table_: The paper's.
        results: ``"BENCHMARK PROTOCOL"`` -> ours, as far as they were run.
        limit: Only the first N rows were asked: ours is shown, and nothing is compared.
    """
    lines = []
    for row in table_.rows:
        impossible = _impossible(table_, row)
        result = results.get(f"{row.benchmark} {row.protocol}")
        ours = None if result is None else result.metrics.get(row.metric)
        found = None if result is None else result.intervals.get(row.metric)
        interval = None if found is None else (found.low, found.high)
        line = _line(row, ours, interval, impossible)
        if ours is not None and limit is not None and not impossible:
            line = replace(line, verdict=NOT_RUN, why=f"only the first {limit} rows were asked")
        lines.append(line)
    return lines


def compare_efficiency(table_: PaperTable, measured: Efficiency | None) -> list[PaperLine]:
    """Put our times and memory beside the paper's; within a tenth counts as a match.

    At another length than the paper's nothing is compared: ours is shown, and that is said.
    """
    ours: dict[str, float | None] = {}
    if measured is not None:
        ours = {
            "prefill_s": measured.prefill_s,
            "tokens_per_s": measured.tokens_per_s,
            "peak_gb": measured.peak_bytes / 1e9,
            "batch_tokens_per_s": measured.batch_tokens_per_s,
        }
    lines = []
    for row in table_.rows:
        value = ours.get(row.metric)
        span = None if value is None else (value * (1 - _TOLERANCE), value * (1 + _TOLERANCE))
        lines.append(_line(row, value, span, ""))
    if measured is None or measured.tokens == PAPER_TOKENS:
        return lines
    why = f"measured at {measured.tokens:,} tokens, the paper at {PAPER_TOKENS:,}"
    return [replace(line, verdict=NOT_RUN, why=why) for line in lines]


def compare_harness(table_: PaperTable, found: Mapping[str, HarnessScore]) -> list[PaperLine]:
    """Put what lmms-eval measured beside the paper's.

    Args:
        table_: The paper's.
        found: ``"TASK METRIC"`` -> its number.
    """
    lines = []
    for row in table_.rows:
        score = found.get(f"{row.benchmark} {row.metric}")
        if score is None:
            lines.append(_line(row, None, None, _impossible(table_, row)))
            continue
        line = _line(row, score.value / row.scale, score.interval(row.scale), "")
        if not score.whole:
            line = replace(line, verdict=NOT_RUN, why="lmms-eval asked only a part (--limit)")
        lines.append(line)
    return lines


def compare_star(table_: PaperTable, counted: Counted, *, generated: bool) -> list[PaperLine]:
    """Put our shares of right answers beside what the figure says in words.

    Args:
        table_: The figure.
        counted: By `WHOLE` and `SUB_IMAGES`.
        generated: The scenes are ours, and not the figure's.
    """
    lines = []
    for row in table_.rows:
        share = counted.points.get(row.metric)
        why = "generated scenes, not the figure's" if generated else row.why
        if share is None:
            lines.append(
                PaperLine(row, None, None, NOT_RUN, counted.refused.get(row.metric, row.why))
            )
        else:
            lines.append(PaperLine(row, share.value, share.interval, NOT_RUN, why))
    return lines


def _line(
    row: PaperRow, ours: float | None, interval: tuple[float, float] | None, impossible: str
) -> PaperLine:
    if impossible:
        return PaperLine(row, ours, interval, IMPOSSIBLE, impossible)
    if ours is None:
        return PaperLine(
            row, None, None, NOT_RUN, row.why or "no data or no measurement of it here"
        )
    if row.value is None:
        return PaperLine(
            row, ours, interval, NOT_RUN, "the paper's value is not on record: give --paper"
        )
    low, high = interval or (ours, ours)
    rounding = _ROUNDING if row.value <= 1 else 100 * _ROUNDING
    if low - rounding <= row.value <= high + rounding:
        return PaperLine(row, ours, interval, MATCHES, "the paper's value lies in our interval")
    return PaperLine(row, ours, interval, DIFFERS, "the paper's value lies outside our interval")


def _impossible(table_: PaperTable, row: PaperRow) -> str:
    """Return why a number cannot belong to the others of its model, empty where it can."""
    rows = [each for each in table_.rows if each.model == row.model]
    if row.metric in table_.means:
        return _no_mean(row, rows, table_.means[row.metric])
    if table_.prevalence is None:
        return ""
    by_name = {each.metric.removeprefix("micro/"): each.value for each in rows}
    reported = Reported(*(by_name.get(name) for name in ("accuracy", "precision", "recall", "f1")))
    return "; ".join(contradictions(reported, table_.prevalence))


def _no_mean(row: PaperRow, rows: Sequence[PaperRow], parts_begin: str) -> str:
    parts = [each.value for each in rows if each.metric.startswith(parts_begin) and each is not row]
    known = [value for value in parts if value is not None]
    if row.value is None or not known or len(known) < len(parts):
        return ""
    mean = sum(known) / len(known)
    if abs(mean - row.value) <= 2 * _ROUNDING:
        return ""
    return f"it is given as the mean of {len(known)} numbers, whose mean is {mean:.4f}"


def save_reproduction(
    folder: Path, table_: PaperTable, lines: Sequence[PaperLine], model: Mapping[str, Any],
    runs: Sequence[Path],
) -> list[Path]:  # fmt: skip
    """Write the comparison, and one archive of it with the runs' cards and predictions.

    Args:
        folder: Where.
        table_: The paper's.
        lines: The comparison.
        model: Provenance of the model.
        runs: Folders of the runs; their rows with truths stay here.

    Returns:
        The files; the archive last.

    Raises:
        OutputError: A file cannot be written.
    """
    name = table_.name
    title = f"LongLLaVA paper, {name.replace('-', ' ')}: {table_.title}"
    cells = [line.cells() for line in lines]
    through = element("p", f"Runs through {table_.through}. The paper's numbers: {paper_source()}.")
    body = [through, table(HEAD, cells)] if cells else [through, element("p", "No row on record.")]
    content = {
        "title": title,
        "paper": paper_source(),
        "model": dict(model),
        "lines": [dict(zip(HEAD, each, strict=True)) for each in cells],
        "notice": RESEARCH_NOTICE,
    }
    written = [folder / f"{name}.html", folder / f"{name}.json"]
    write_text(written[0], page(title, *body), overwrite=True)
    write_text(written[1], json.dumps(content, indent=2) + "\n", overwrite=True)
    archive = folder / f"{name}.zip"
    with (
        new_file(archive, overwrite=True) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for path in written:
            packed.write(path, path.name)
        for run in runs:
            for pattern in _SENT:
                for path in sorted(run.glob(pattern)):
                    packed.write(path, f"{run.name}/{path.name}")
    return [*written, archive]
