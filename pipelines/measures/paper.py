"""The numbers of the LongLLaVA paper's tables, as they are on record here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import DamagedInputError, PolicyError

PRESET: Final = "paper-longllava@1"
FIGURE_8: Final = "figure-8"
TABLES: Final = ("2", "3", "5", "6", "7", "8", "10", FIGURE_8)
"""The tables, as the manuscript counts, and the pair of scenes of its Figure 8."""


@dataclass(frozen=True)
class PaperRow:
    """One number of the paper.

    Attributes:
        model: Whose it is.
        metric: Name, as our results or lmms-eval's have it; else as the paper names its column.
        value: The paper's, percentages as fractions; None where it is not on record here.
        benchmark: Name in `evaluate.PROTOCOLS`, or of a task of lmms-eval; empty for other measures.
        protocol: In whose words and by whose score.
        scale: Divides ours: 100 where lmms-eval counts in percent.
        why: Why ours cannot be had by a run; empty where it can.
    """

    model: str
    metric: str
    value: float | None
    benchmark: str = ""
    protocol: str = ""
    scale: float = 1.0
    why: str = ""


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper.

    Attributes:
        number: As the manuscript counts.
        title: What it shows.
        through: How it is run: ``"benchmark"``, ``"efficiency"``, ``"star"`` or ``"lmms-eval"``.
        rows: Its numbers, as far as they are on record.
        prevalence: Of the data, where its numbers can be tested for consistency.
        means: Metric -> how the names of the metrics begin that it is the mean of.
    """

    number: str
    title: str
    through: str
    rows: tuple[PaperRow, ...]
    prevalence: float | None = None
    means: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the table in speech and of its files."""
        return self.number if self.number == FIGURE_8 else f"table-{self.number}"


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
    found = _record()["tables"][number]
    try:
        rows = found["rows"] if values is None else json.loads(values.read_bytes())
        return PaperTable(
            number, found["title"], found["through"], tuple(PaperRow(**row) for row in rows),
            found.get("prevalence"), found.get("means", {}),
        )  # fmt: skip
    except (OSError, ValueError, TypeError):
        raise DamagedInputError(
            "The paper's values cannot be read.",
            remedy='Give a JSON list of rows with "model", "metric", "value", "benchmark", "protocol".',
            code="reproduce.values",
        ) from None


def paper_source() -> str:
    """Return which text of the paper the numbers were read from."""
    return str(_record()["source"])


def _record() -> dict[str, Any]:
    place = files("longllava_domains.pipelines") / "defaults" / f"{PRESET}.json"
    found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return found
