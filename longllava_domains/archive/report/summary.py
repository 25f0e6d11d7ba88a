"""The figures of a run, from its parts alone: outcomes, labels, time and memory."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from longllava_domains.archive.fingerprint import ScoringSpec
from longllava_domains.archive.results.parts import Parts
from longllava_domains.archive.results.store import spec_folder
from longllava_domains.archive.results.upkeep import specs
from longllava_domains.arguments import checked
from longllava_domains.errors import NotFoundError

_COLUMNS: Final = (
    "status", "code", "domain", "attempts", "findings", "seconds", "peak_memory_bytes", "bytes",
    "demo", "finished",
)  # fmt: skip
_QUANTILES: Final = (0.5, 0.9, 0.99)
# Beyond this many standard errors a change between two runs is no chance.
_NOTABLE_ERRORS: Final = 3.0


@dataclass(frozen=True)
class LabelFigures:
    """Frequency of a label.

    Attributes:
        items: Items that were asked for it.
        positive: Of these, with a margin above 0.
        mean_margin: Mean log-odds of yes.
        mean_probability: Where the model is calibrated, else None.
    """

    items: int
    positive: int
    mean_margin: float
    mean_probability: float | None

    @property
    def prevalence(self) -> float:
        """Share of items with a margin above 0."""
        return self.positive / self.items if self.items else 0.0


@dataclass(frozen=True)
class StageFigures:
    """Time that a stage took for an item, in seconds."""

    items: int
    median: float
    p90: float
    p99: float
    total: float


@dataclass(frozen=True)
class RunSummary:
    """The figures of the results of one spec.

    Attributes:
        spec: What was asked of which model.
        outcomes: Status -> items.
        codes: Code of refusals and failures -> items.
        domains: Domain -> items.
        tried_again: Items that took more than one attempt.
        labels: Label -> figures.
        stages: Stage -> time.
        bytes: Of all items.
        peak_memory_bytes: Highest of any worker.
        demo: The demonstration model answered.
        item_seconds: Of each item, to prepare and to score it, as many as were timed.
        memory: When items ended (seconds of the epoch) and the highest memory of their worker so
            far, in the order of time.
    """

    spec: ScoringSpec
    outcomes: Mapping[str, int]
    codes: Mapping[str, int]
    domains: Mapping[str, int]
    tried_again: int
    labels: Mapping[str, LabelFigures]
    stages: Mapping[str, StageFigures]
    bytes: int
    peak_memory_bytes: int
    demo: bool
    item_seconds: NDArray[np.float64]
    memory: NDArray[np.float64]

    @property
    def items(self) -> int:
        """Items with an outcome."""
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class LabelDrift:
    """Difference of a label's prevalence from an earlier run.

    Attributes:
        before: Prevalence in the earlier run.
        now: Prevalence in this one.
        standard_errors: The difference in standard errors, as if the items were drawn anew.
    """

    before: float
    now: float
    standard_errors: float

    @property
    def is_notable(self) -> bool:
        """True if the difference is more than chance."""
        return abs(self.standard_errors) > _NOTABLE_ERRORS


@checked
def summarize(output: Path, spec_key: str | None = None) -> RunSummary:
    """Return the figures of one spec's results.

    Args:
        output: Folder of the results.
        spec_key: Which spec, where the folder holds several.

    Raises:
        NotFoundError: There are no results, or none or several of that key.
        DamagedInputError: A part cannot be read.
    """
    every = specs(output)
    found = [spec for spec in every if spec_key in (None, spec.key)]
    if len(found) != 1:
        raise NotFoundError(
            f"Of {len(every)} kinds of results in this folder {len(found)} fit.",
            remedy=f"Give the key of one: {', '.join(spec.key for spec in every)}.",
            code="archive.which_spec",
        )
    figures = _Figures()
    parts = Parts(spec_folder(output, found[0].key), "reader")
    for name in parts.names():
        figures.add(parts.read(name, _COLUMNS))
    return figures.summary(found[0])


def every_summary(output: Path) -> list[RunSummary]:
    """Return the figures of all specs of a folder.

    Raises:
        NotFoundError: There are no results.
        DamagedInputError: A part cannot be read.
    """
    return [summarize(output, spec.key) for spec in specs(output)]


@checked
def drift(now: RunSummary, before: RunSummary) -> dict[str, LabelDrift]:
    """Compare the prevalence of labels that two runs share."""
    changes = {}
    for label in sorted(set(now.labels) & set(before.labels)):
        new, old = now.labels[label], before.labels[label]
        pooled = (new.positive + old.positive) / (new.items + old.items)
        error = np.sqrt(pooled * (1 - pooled) * (1 / new.items + 1 / old.items))
        difference = new.prevalence - old.prevalence
        errors = float(difference / error) if error > 0 else 0.0
        changes[label] = LabelDrift(old.prevalence, new.prevalence, errors)
    return changes


class _Figures:
    """Adds up parts."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._domains: Counter[str] = Counter()
        self._margins: dict[str, list[float]] = defaultdict(list)
        self._probabilities: dict[str, list[float]] = defaultdict(list)
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._tried_again = self._bytes = self._peak = 0
        self._demo = False
        self._item_seconds: list[float] = []
        self._memory: list[tuple[float, float]] = []

    def add(self, table: pa.Table) -> None:
        """Add the rows of a part."""
        column = {name: table[name].to_pylist() for name in table.column_names}
        self._outcomes.update(column["status"])
        self._codes.update(code for code in column["code"] if code)
        self._domains.update(column["domain"])
        self._tried_again += sum(attempts > 1 for attempts in column["attempts"])
        self._bytes += sum(column["bytes"])
        self._peak = max(self._peak, *column["peak_memory_bytes"])
        self._demo |= any(column["demo"])
        for findings in column["findings"]:
            for finding in findings:
                self._margins[finding["label"]].append(finding["yes_logit_margin"])
                if finding["probability"] is not None:
                    self._probabilities[finding["label"]].append(finding["probability"])
        for stages in column["seconds"]:
            for stage, seconds in stages:
                self._seconds[stage].append(seconds)
            if stages:
                own = dict(stages)
                self._item_seconds.append(own.get("prepare", 0.0) + own.get("score", 0.0))
        for finished, peak in zip(column["finished"], column["peak_memory_bytes"], strict=True):
            if peak:
                self._memory.append((finished.timestamp(), peak))

    def summary(self, spec: ScoringSpec) -> RunSummary:
        """Return all figures."""
        return RunSummary(
            spec,
            dict(self._outcomes),
            dict(self._codes.most_common()),
            dict(sorted(self._domains.items())),
            self._tried_again,
            {label: self._label(label) for label in sorted(self._margins)},
            {stage: _stage(seconds) for stage, seconds in sorted(self._seconds.items())},
            self._bytes,
            self._peak,
            self._demo,
            np.array(self._item_seconds),
            np.array(sorted(self._memory)).reshape(-1, 2),
        )

    def _label(self, label: str) -> LabelFigures:
        margins = np.array(self._margins[label])
        probabilities = self._probabilities[label]
        return LabelFigures(
            len(margins),
            int((margins > 0).sum()),
            float(margins.mean()),
            float(np.mean(probabilities)) if probabilities else None,
        )


def _stage(seconds: list[float]) -> StageFigures:
    median, p90, p99 = (float(value) for value in np.quantile(seconds, _QUANTILES))
    return StageFigures(len(seconds), median, p90, p99, float(np.sum(seconds)))
