"""Results side by side, with intervals and paired differences, where they may stand so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.bootstrap import (
    DRAWS,
    Difference,
    difference,
    main_metric,
    with_intervals,
)
from longllava_domains.evaluate.predictions.inputs import PROMPT_MISMATCH
from longllava_domains.evaluate.result import Interval, Result

_MAY_DIFFER: Final = ("bootstrap", "thresholds", "model", "run")
"""Settings that are outcomes, presentation or the model itself, not choices about the score."""


@dataclass(frozen=True)
class Comparison:
    """Results of one benchmark by one metric.

    Attributes:
        metric: Name.
        values: Name of a result -> its value.
        intervals: Name of a result -> the interval of its value.
        differences: Name of a result -> it less the first one.
        notes: Why the numbers are less comparable than they look, where that was overridden.
    """

    metric: str
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]
    differences: Mapping[str, Difference]
    notes: tuple[str, ...]

    def to_markdown(self) -> str:
        """Return the comparison as a Markdown table."""
        first = next(iter(self.values))
        lines = [*(f"> {note}\n" for note in self.notes)]
        lines += [f"| result | {self.metric} | interval | less {first} | |", "| --- " * 5 + "|"]
        for name, value in self.values.items():
            own = self.intervals[name]
            row = [name, f"{value:.4f}", f"{own.low:.4f} to {own.high:.4f}", "", ""]
            if name in self.differences:
                found = self.differences[name]
                row[3] = (
                    f"{found.value:+.4f} ({found.interval.low:+.4f} to {found.interval.high:+.4f})"
                )
                row[4] = "not told apart" if found.includes_zero else "differs"
            lines.append(f"| {' | '.join(row)} |")
        return "\n".join(lines) + "\n"


@checked
def compare(
    results: Mapping[str, Result],
    metric: str | None = None,
    *,
    force: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare results on the same data under the same protocol.

    Args:
        results: Name -> result; the first is what the others are compared with.
        metric: By default the first of the headline that can be resampled.
        force: Compare results of other protocols, settings or prompts as well; the comparison
            then says in what they differ.
        draws: Of the paired bootstrap.
        seed: Likewise.

    Raises:
        PolicyError: Fewer than two results, no such metric, or results that may not be compared.
    """
    if len(results) < 2:
        raise PolicyError(
            "One result cannot be compared.",
            remedy="Give two or more.",
            code="evaluate.compare",
        )
    notes = _obstacles(results)
    if notes and not force:
        raise PolicyError(
            f"These results cannot be compared: {'; '.join(notes)}.",
            remedy="Score them alike, or pass force=True to see them with this said beside.",
            code="evaluate.incomparable",
        )
    first = next(iter(results.values()))
    chosen = metric or main_metric(first)
    others = list(results.items())[1:]
    differences = {
        name: difference(each, first, chosen, draws=draws, seed=seed) for name, each in others
    }
    drawn = {
        name: with_intervals(each, (chosen,), draws=draws, seed=seed)
        for name, each in results.items()
    }
    return Comparison(
        chosen,
        {name: each.metrics[chosen] for name, each in drawn.items()},
        {name: each.intervals[chosen] for name, each in drawn.items()},
        differences,
        notes,
    )


def _obstacles(results: Mapping[str, Result]) -> tuple[str, ...]:
    found = []
    each = list(results.values())
    if len({result.benchmark for result in each}) > 1:
        found.append("they are of different benchmarks")
    if len({result.protocol for result in each}) > 1:
        found.append("they were scored under different protocols")
    names = {name for result in each for name in result.settings if name not in _MAY_DIFFER}
    differing = sorted(n for n in names if len({repr(r.settings.get(n)) for r in each}) > 1)
    if differing:
        found.append(f"their settings differ ({', '.join(differing)})")
    if len({frozenset(str(row["id"]) for row in result.rows) for result in each}) > 1:
        found.append("they score different rows, of which the common ones are compared")
    for name, result in results.items():
        found += [f"{name}: {note}" for note in result.notes if note.startswith(PROMPT_MISMATCH)]
    return tuple(found)
