"""The scorer that an engine needs: it prepares an item, scores it, and says how to begin.

An engine moves items and rows. It knows no model and no domain; a pipeline gives it a `Job`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from longllava_domains.archive.fingerprint import ScoringSpec
from longllava_domains.archive.item import Item


@dataclass(frozen=True)
class FindingScore:
    """One label of an item.

    Attributes:
        label: The label's name.
        yes_logit_margin: Log-probability of yes less that of no.
        probability: Where the model is calibrated, else None.
    """

    label: str
    yes_logit_margin: float
    probability: float | None = None


@dataclass(frozen=True)
class Scored:
    """Result of a scorer for one item.

    Attributes:
        text: Generated text; empty where the task has none.
        findings: Labels with their scores.
        numbers: Further results, such as the number of views.
        input_sha256: Digest of the pixels that were seen.
        seconds: Stage -> time, such as ``{"vision": 1.2, "prefill": 8.0, "generation": 3.1}``.
        files: Names of files that were written for this item, relative to the results.
        demo: The model is the demonstration model.
    """

    text: str = ""
    findings: tuple[FindingScore, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    input_sha256: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    demo: bool = False


class Scorer(Protocol):
    """Holds a model; built once in each process."""

    def score(self, item: Item, prepared: Any) -> Scored:
        """Score one item.

        Args:
            item: The item.
            prepared: What the job's `prepare` returned for it.
        """


@runtime_checkable
class BatchScorer(Protocol):
    """A scorer that can also take several items at once."""

    def score(self, item: Item, prepared: Any) -> Scored:
        """As `Scorer.score`."""

    def score_many(self, pairs: Sequence[tuple[Item, Any]]) -> list[Scored]:
        """Score items together; each comes to what `score` says, but for the last digits.

        Whatever it raises says nothing of any item: each is then scored alone.

        Args:
            pairs: Items, each with what the job's `prepare` returned for it.

        Returns:
            One result for each, in order.
        """


@dataclass(frozen=True)
class Job:
    """A task over an archive. Both functions travel to other processes: name them at module level.

    Attributes:
        spec: What the results depend on.
        prepare: Opens and decodes an item ahead of the model; needs no GPU.
        build: Makes the scorer; called once in each process, when the first item is ready.
    """

    spec: ScoringSpec
    prepare: Callable[[Item], Any]
    build: Callable[[], Scorer]
