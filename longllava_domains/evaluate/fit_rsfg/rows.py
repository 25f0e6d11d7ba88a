"""The rows of FIT-RSFG answer files, and what a scorer says of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from longllava_domains.evaluate.predictions import Pairing
from longllava_domains.evaluate.statistic import Statistic

ProtocolName = Literal["official", "strict"]
TURN_OF: Final = "turn_of"
"""Field of a reference for the id that several rows of a file share."""


@dataclass(frozen=True, slots=True)
class ItemToScore:
    """One row of an answer file.

    Attributes:
        position: Row of the file, from 0.
        id: Its question id, or the position where it has none.
        image: Its image id, empty where it has none.
        category: Task, type of question or other category, as written.
        question: The prompt, empty where the file does not keep it.
        answer: The model's answer; empty where it is missing and counted wrong.
        truth: The true answer.
        turn_of: Id that the rows of one question share; its own where rows have none beside it.
    """

    position: int
    id: str
    image: str
    category: str
    question: str
    answer: str
    truth: str
    turn_of: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict of one protocol on one row.

    Attributes:
        score: From 0 to 1; None where the row does not count.
        reason: Why it does not count or could not be read; empty otherwise.
    """

    score: float | None
    reason: str = ""


@dataclass(frozen=True)
class ScoredRows:
    """The score of all rows under one protocol.

    Attributes:
        metrics: Name -> value. A task without rows has no metric.
        verdicts: One for each item, in order.
        statistics: Metrics that can be resampled, over the items in order.
        notes: What must be read beside the numbers.
        settings: Choices of the scorer, as they were made.
    """

    metrics: Mapping[str, float]
    verdicts: Sequence[Verdict]
    statistics: Mapping[str, Statistic] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def items_of(pairing: Pairing) -> list[ItemToScore]:
    """Return the rows of a pairing; a field that is no text is read as empty."""
    return [
        ItemToScore(
            position=pair.position,
            id=pair.id,
            image=_text(pair.reference.get("image_id", pair.reference.get("image"))),
            category=_text(pair.reference.get("category")),
            question=_text(pair.reference.get("question", pair.reference.get("text"))),
            answer=pairing.answer(pair) or "",
            truth=pairing.truth(pair),
            turn_of=_text(pair.reference.get(TURN_OF)) or pair.id,
        )
        for pair in pairing.pairs
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def f1(true_positives: float, false_positives: float, false_negatives: float) -> float:
    """Return 2 TP / (2 TP + FP + FN); 1 where there was nothing to find and nothing was found."""
    wrong = false_positives + false_negatives
    return (
        1.0 if true_positives == wrong == 0 else 2 * true_positives / (2 * true_positives + wrong)
    )
