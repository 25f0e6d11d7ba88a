"""`Result`: metrics with every choice that made them, and the rows behind them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from longllava_domains.errors import InputError, OutputError
from longllava_domains.evaluate.predictions.pairing import Counts
from longllava_domains.evaluate.statistic import Statistic
from longllava_domains.files import new_file
from longllava_domains.html.facts import facts_table
from longllava_domains.provenance import RESEARCH_NOTICE, SCENE_NOTICE

_OF_SCENES: Final = ("fit-rs", "hrben")

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Interval:
    """Between which values the true one lies, at the level that the settings name."""

    low: float
    high: float


@dataclass(frozen=True)
class Contrast:
    """One metric less that of a run without the right image, on the same rows.

    Attributes:
        metric: Name.
        against: ``"blind"`` or ``"shuffled"``.
        value: The score less the other.
        interval: Of that difference.
    """

    metric: str
    against: str
    value: float
    interval: Interval

    @property
    def is_visual(self) -> bool:
        """True where the whole interval lies above 0."""
        return self.interval.low > 0


@dataclass(frozen=True)
class Result:
    """The score of one prediction file under one protocol.

    Attributes:
        benchmark: Name, such as ``"vqa-rad"``.
        protocol: Name and version, such as ``"llava-med@b9a98a73"``.
        metrics: Name -> value; fractions from 0 to 1 where the metric is one. A metric that no
            row could be counted for is absent.
        counts: How many rows were scored, left out, missing, extra and so on.
        settings: Every choice, the defaults written out; values that JSON can hold.
        rows: The row behind each score; each has an ``"id"``. One row for each row of the
            contributions of `statistics`, in the same order.
        statistics: Metrics that can be resampled: name -> `Statistic` over `rows`.
        cluster: Column of `rows` that names what is drawn together in a bootstrap (patient,
            image), None for the rows themselves.
        notes: What must be read beside the numbers.
        headline: Names of the metrics that the protocol's source publishes, shown first.
        intervals: Metric -> its interval, where one was drawn; see `bootstrap.with_intervals`.
        beside: What the score must be read beside: ``"oracle"``, ``"always yes"``, ``"blind"`` ...
            -> its result under the same protocol.
        contrasts: The score less the runs without the right image.

    Raises:
        InputError: Nothing was scored.
    """

    benchmark: str
    protocol: str
    metrics: Mapping[str, float]
    counts: Counts
    settings: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Cell]] = field(default=(), repr=False)
    statistics: Mapping[str, Statistic] = field(default_factory=dict, repr=False)
    cluster: str | None = None
    notes: tuple[str, ...] = ()
    headline: tuple[str, ...] = ()
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    beside: Mapping[str, "Result"] = field(default_factory=dict, repr=False)
    contrasts: tuple[Contrast, ...] = ()

    def __post_init__(self) -> None:
        if not self.metrics:
            raise InputError(
                "No row could be scored, so there is no score.",
                remedy="Check that the file holds answers of this benchmark.",
                code="evaluate.nothing",
            )
        assert all(math.isfinite(value) for value in self.metrics.values()), self.metrics
        assert all(name in self.metrics for name in self.headline), self.headline
        assert all(len(found.contributions) == len(self.rows) for found in self.statistics.values())
        for name in ("metrics", "settings", "statistics", "intervals", "beside"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        object.__setattr__(self, "rows", tuple(self.rows))

    def with_notes(self, *notes: str) -> "Result":
        """Return a copy with more notes."""
        return replace(self, notes=tuple(dict.fromkeys(self.notes + notes)))

    def with_interval_values(
        self, intervals: Mapping[str, Interval], drawn: Mapping[str, Any]
    ) -> "Result":
        """Return a copy with intervals, and how they were drawn among the settings."""
        settings = {**self.settings, "bootstrap": dict(drawn)}
        return replace(self, intervals={**self.intervals, **intervals}, settings=settings)

    @property
    def notice(self) -> str:
        """The notice of research use; benchmarks of scenes speak of no medical device."""
        return (
            SCENE_NOTICE if any(name in self.benchmark for name in _OF_SCENES) else RESEARCH_NOTICE
        )

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON; the rows stay in their own file."""
        return {
            "benchmark": self.benchmark,
            "protocol": self.protocol,
            "headline": list(self.headline),
            "metrics": dict(self.metrics),
            "intervals": {name: [i.low, i.high] for name, i in self.intervals.items()},
            "beside": {name: dict(each.metrics) for name, each in self.beside.items()},
            "contrasts": [
                {
                    "metric": c.metric,
                    "against": c.against,
                    "value": c.value,
                    "interval": [c.interval.low, c.interval.high],
                    "visual": c.is_visual,
                }
                for c in self.contrasts
            ],
            "counts": self.counts.to_json(),
            "settings": dict(self.settings),
            "cluster": self.cluster,
            "notes": [*self.notes, self.notice],
        }

    def _repr_html_(self) -> str:
        """Return a table for a notebook: the notices, and each metric with its interval."""
        lines = {name: " ".join(self._line(name)[1:]).strip() for name in self._order()}
        notes = " ".join((*self.notes, self.notice))
        return facts_table(f"{self.benchmark}, {self.protocol}", {"notices": notes, **lines})

    def to_markdown(self) -> str:
        """Return the card as Markdown."""
        shown = [name for name in self.headline if self.beside]
        parts = [
            f"# {self.benchmark}, {self.protocol}",
            *(f"> {note}" for note in self.notes),
            _table(("metric", "value", "interval"), [self._line(name) for name in self._order()]),
            _table(
                ("beside", *shown),
                [
                    (name, *(_spell(each.metrics.get(metric)) for metric in shown))
                    for name, each in self.beside.items()
                ],
            ),
            _table(
                ("is it visual?", "difference", "interval", ""),
                [contrast_line(contrast) for contrast in self.contrasts],
            ),
            _table(("rows", "count"), [(k, str(v)) for k, v in self.counts.to_json().items()]),
            _table(("setting", "value"), [(k, json.dumps(v)) for k, v in self.settings.items()]),
            self.notice,
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _line(self, name: str) -> tuple[str, str, str]:
        found = self.intervals.get(name)
        interval = "" if found is None else f"{found.low:.4f} to {found.high:.4f}"
        return name, _spell(self.metrics[name]), interval

    def _order(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.headline, *self.metrics)))

    def save_rows(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the table of rows as ``.parquet`` or ``.csv``, whole or not at all.

        Raises:
            OutputError: Another suffix, or the file cannot be written.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in (".parquet", ".csv"):
            raise suffix_error("A table of rows", (".parquet", ".csv"))
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet

        names = list(dict.fromkeys(name for row in self.rows for name in row))
        write = pyarrow.csv.write_csv if suffix == ".csv" else pyarrow.parquet.write_table
        try:
            table = pa.table({name: [row.get(name) for row in self.rows] for name in names})
            with new_file(path, overwrite=overwrite) as file:
                write(table, file)
        except pa.ArrowException:
            raise OutputError(
                "The table of rows cannot be written: a column holds values of several kinds.",
                remedy="Save the card, or write result.rows in your own way.",
                code="evaluate.rows",
            ) from None


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells
    )


def _spell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def contrast_line(contrast: Contrast) -> tuple[str, str, str, str]:
    """Return what was taken from what, the difference, its interval, and the verdict."""
    low, high = contrast.interval.low, contrast.interval.high
    return (
        f"{contrast.metric} less {contrast.against}",
        f"{contrast.value:+.4f}",
        f"{low:+.4f} to {high:+.4f}",
        "visual" if contrast.is_visual else "not visual",
    )


def suffix_error(what: str, suffixes: tuple[str, ...]) -> OutputError:
    """Return the error for a file whose suffix names no format that is written."""
    return OutputError(
        f"{what} cannot be written under that suffix.",
        remedy=f"Use {' or '.join(suffixes)}.",
        code="evaluate.card_suffix",
    )
