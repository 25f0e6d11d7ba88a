"""One prediction file, every number: all protocols side by side, and why they differ, row by row."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longllava_domains.arguments import checked
from longllava_domains.errors import LongLlavaError
from longllava_domains.evaluate.datasets.dataset import Dataset
from longllava_domains.evaluate.dispatch import PROTOCOLS, explain_settings, find_protocol, score
from longllava_domains.evaluate.predictions import Source
from longllava_domains.evaluate.result import Cell, Result
from longllava_domains.evaluate.visual import scored_under


@dataclass(frozen=True)
class RowVerdict:
    """Verdict of one protocol on one row.

    Attributes:
        score: From 0 to 1.
        why: The reason in a few words.
    """

    score: float
    why: str


@dataclass(frozen=True)
class DifferingRow:
    """A row that protocols score differently.

    Attributes:
        id: As in the data.
        truth: The true answer.
        answer: The model's.
        verdicts: Protocol -> what it says; a protocol that does not score the row is absent.
    """

    id: str
    truth: Cell
    answer: Cell
    verdicts: Mapping[str, RowVerdict]


@dataclass(frozen=True)
class Explanation:
    """One file under every protocol of its benchmark.

    Attributes:
        results: Protocol -> result.
        skipped: Protocol -> why it could not score the file.
        rows: Those that protocols score differently, in the order of the references.
    """

    results: Mapping[str, Result]
    skipped: Mapping[str, str]
    rows: tuple[DifferingRow, ...]

    @property
    def note(self) -> str:
        """The sentence that belongs beside several numbers of one file."""
        return scored_under(self.results)


@checked
def explain(
    benchmark: str,
    predictions: Source,
    references: Source | Dataset | None = None,
    **settings: Any,
) -> Explanation:
    """Score a file under every protocol of its benchmark and find where they differ.

    Args:
        benchmark: Name in `PROTOCOLS`.
        predictions: As for `score`.
        references: As for `score`.
        **settings: Given to each protocol that has such a setting.

    Raises:
        PolicyError: There is no such benchmark.
        LongLlavaError: No protocol can score the file; the error of the first is raised.
    """
    if benchmark not in PROTOCOLS:
        find_protocol(benchmark, "")
    given, known_truth = _kept(predictions), references
    if references is not None and not isinstance(references, Dataset):
        known_truth = _kept(references)
    results: dict[str, Result] = {}
    errors: dict[str, LongLlavaError] = {}
    skipped: dict[str, str] = {}
    for name, protocol in PROTOCOLS[benchmark].items():
        if (
            protocol.findings_first
        ):  # scores as another does, and a file does not say how it was made
            skipped[name] = "differs in how it asks, not in how it scores"
            continue
        known = {"synthetic", *explain_settings(protocol)}
        own = {key: value for key, value in settings.items() if key in known}
        try:
            results[name] = score(benchmark, given, known_truth, protocol=name, **own)
        except LongLlavaError as error:
            errors[name] = error
    if not results:
        raise next(iter(errors.values()))
    skipped |= {name: error.message for name, error in errors.items()}
    return Explanation(results, skipped, _differing(results))


def _kept(source: Source) -> Source:
    """Return a source that can be read more than once."""
    return source if isinstance(source, (str, Path)) else tuple(source)


def _differing(results: Mapping[str, Result]) -> tuple[DifferingRow, ...]:
    verdicts: dict[str, dict[str, RowVerdict]] = {}
    texts: dict[str, tuple[Cell, Cell]] = {}
    for name, result in results.items():
        for row in result.rows:
            found = row.get("score")
            if not isinstance(found, (int, float)):
                continue
            key = str(row["id"])
            verdicts.setdefault(key, {})[name] = RowVerdict(float(found), str(row.get("why", "")))
            texts.setdefault(key, (row.get("truth"), row.get("answer")))
    return tuple(
        DifferingRow(key, *texts[key], each)
        for key, each in verdicts.items()
        if len({verdict.score for verdict in each.values()}) > 1
    )
