"""The paper's tables beside ours: what matches, differs, cannot be, or was not run."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import DamagedInputError, PolicyError
from longllava_domains.evaluate import Reported, Result, contradictions
from longllava_domains.files import new_file, write_text
from longllava_domains.html import element, page, table
from longllava_domains.pipelines.measures.efficiency import Efficiency
from longllava_domains.provenance import RESEARCH_NOTICE

PRESET: Final = "paper-longllava@1"
TABLES: Final = ("2", "3", "5", "6", "7", "8", "10")
MATCHES, DIFFERS, IMPOSSIBLE, NOT_RUN = "matches", "differs", "impossible", "not run"
PAPER_TOKENS: Final = 100_000
_TOLERANCE: Final = 0.10  # of a time or a memory size, which another machine never repeats exactly
# What may leave: cards and predictions. Rows hold the truths of data that may not be passed on.
_SENT: Final = ("card.*", "predictions-*.jsonl", "efficiency.json")


@dataclass(frozen=True)
class PaperRow:
    """One number of the paper.

    Attributes:
        model: Whose it is.
        metric: Name, as our results have it.
        value: The paper's; None where it is not on record here.
        benchmark: Name in `evaluate.PROTOCOLS`, empty for other measures.
        protocol: In whose words and by whose score.
    """

    model: str
    metric: str
    value: float | None
    benchmark: str = ""
    protocol: str = ""


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper.

    Attributes:
        number: As the paper counts.
        title: What it shows.
        through: How it is run: ``"benchmark"``, ``"efficiency"`` or ``"lmms-eval"``.
        rows: Its numbers, as far as they are on record.
        prevalence: Of the data, where its numbers can be tested for consistency.
    """

    number: str
    title: str
    through: str
    rows: tuple[PaperRow, ...]
    prevalence: float | None = None


@dataclass(frozen=True)
class Line:
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


def paper_table(number: str, values: Path | None = None) -> PaperTable:
    """Read a table of the paper, as far as its numbers are on record.

    Args:
        number: One of `TABLES`.
        values: JSON list of rows in place of those on record.

    Raises:
        PolicyError: There is no such table.
        DamagedInputError: The values are no rows.
    """
    if number not in TABLES:
        raise PolicyError(
            f"Table {number} is not one that is reproduced.",
            remedy=f"Choose one of {', '.join(TABLES)}.",
            code="reproduce.table",
        )
    place = files("longllava_domains.pipelines") / "defaults" / f"{PRESET}.json"
    found = json.loads(place.read_text(encoding="utf-8"))["tables"][number]
    try:
        rows = found["rows"] if values is None else json.loads(values.read_bytes())
        return PaperTable(
            number, found["title"], found["through"], tuple(PaperRow(**row) for row in rows),
            found.get("prevalence"),
        )  # fmt: skip
    except (OSError, ValueError, TypeError):
        raise DamagedInputError(
            "The paper's values cannot be read.",
            remedy='Give a JSON list of rows with "model", "metric", "value", "benchmark", "protocol".',
            code="reproduce.values",
        ) from None


def compare_benchmarks(
    table_: PaperTable, results: Mapping[str, Result], *, limit: int | None = None
) -> list[Line]:
    """Put our results beside the paper's.

    Args:
        table_: The paper's.
        results: ``"BENCHMARK PROTOCOL"`` -> ours, as far as they were run.
        limit: Only so many rows were asked: ours is shown, and nothing is compared.
    """
    impossible = _impossible(table_)
    lines = []
    for row in table_.rows:
        result = results.get(f"{row.benchmark} {row.protocol}")
        ours = None if result is None else result.metrics.get(row.metric)
        found = None if result is None else result.intervals.get(row.metric)
        interval = None if found is None else (found.low, found.high)
        line = _line(row, ours, interval, impossible)
        if ours is not None and limit is not None and not impossible:
            line = replace(line, verdict=NOT_RUN, why=f"only the first {limit} rows were asked")
        lines.append(line)
    return lines


def compare_efficiency(table_: PaperTable, measured: Efficiency | None) -> list[Line]:
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


def _line(
    row: PaperRow, ours: float | None, interval: tuple[float, float] | None, impossible: str
) -> Line:
    if impossible:
        return Line(row, ours, interval, IMPOSSIBLE, impossible)
    if ours is None:
        return Line(row, None, None, NOT_RUN, "no data or no measurement of it here")
    if row.value is None:
        return Line(
            row, ours, interval, NOT_RUN, "the paper's value is not on record: give --paper"
        )
    low, high = interval or (ours, ours)
    if low - 5e-4 <= row.value <= high + 5e-4:
        return Line(row, ours, interval, MATCHES, "the paper's value lies in our interval")
    return Line(row, ours, interval, DIFFERS, "the paper's value lies outside our interval")


def _impossible(table_: PaperTable) -> str:
    """Return why the paper's numbers cannot belong together, empty where they can."""
    if table_.prevalence is None:
        return ""
    by_name = {row.metric.removeprefix("micro/"): row.value for row in table_.rows}
    row = Reported(*(by_name.get(name) for name in ("accuracy", "precision", "recall", "f1")))
    found = contradictions(row, table_.prevalence)
    return "; ".join(found)


def save_reproduction(
    folder: Path, table_: PaperTable, lines: Sequence[Line], model: Mapping[str, Any],
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
    name = f"table-{table_.number}"
    title = f"LongLLaVA paper, table {table_.number}: {table_.title}"
    cells = [line.cells() for line in lines]
    through = element("p", f"Runs through {table_.through}.")
    body = [through, table(HEAD, cells)] if cells else [through, element("p", "No row on record.")]
    content = {
        "title": title,
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
