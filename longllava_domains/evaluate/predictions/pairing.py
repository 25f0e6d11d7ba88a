"""The types of a match: the user's choices, the pairs, and how many rows became what."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.predictions.fields import text_of
from longllava_domains.evaluate.predictions.reading import Row

_CHOICES: Final[Mapping[str, tuple[str | None, ...]]] = {
    "missing": (None, "error", "wrong", "drop"),
    "duplicates": (None, "first", "last"),
    "match": ("auto", "id", "position"),
}


@dataclass(frozen=True)
class Matching:
    """The user's choices about how predictions meet references.

    Attributes:
        missing: For references without a usable prediction: ``"error"`` (also None), counted
            ``"wrong"``, or ``"drop"``.
        duplicates: For ids with several different answers: None refuses them. Equal ones are
            counted, and scored once.
        match: ``"auto"`` takes ids, and the order where there are none, or where the questions
            prove that the ids are foreign; ``"id"`` and ``"position"`` insist.
        id_field: Field of the ids in the predictions, by default one of `ID_FIELDS`.
        answer_field: Field of the model's answer, by default one of `ANSWER_FIELDS`.
        reference_field: Field of the true answer, by default one of `REFERENCE_FIELDS`.
        inputs: Name in `INPUTS` -> `input_hash` of what the predictions should have been made
            from; by default what the protocol fixes.

    Raises:
        PolicyError: A choice that does not exist.
    """

    missing: Literal["error", "wrong", "drop"] | None = None
    duplicates: Literal["first", "last"] | None = None
    match: Literal["auto", "id", "position"] = "auto"
    id_field: str | None = None
    answer_field: str | None = None
    reference_field: str | None = None
    inputs: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                known = ", ".join(choice for choice in allowed if choice is not None)
                left_out = ", or leave it out" if None in allowed else ""
                raise PolicyError(
                    f"{name} cannot be {getattr(self, name)!r}.",
                    remedy=f"Choose one of {known}{left_out}.",
                    code=f"evaluate.{name}",
                )


@dataclass(frozen=True)
class Counts:
    """Numbers of rows, and what became of them.

    Attributes:
        references: Rows that could be scored.
        predictions: Rows that were given.
        scored: References in the score, those counted wrong by policy included.
        unscored: References left out of the score.
        missing: References without a prediction.
        wrong_type: Predictions whose answer has no usable type; they count as missing.
        empty: Answers without a letter, scored as they are.
        extra: Predictions for no reference.
        duplicated: Predictions beyond the first of an id.
    """

    references: int
    predictions: int
    scored: int
    unscored: int = 0
    missing: int = 0
    wrong_type: int = 0
    empty: int = 0
    extra: int = 0
    duplicated: int = 0

    def leaving(self, unscored: int) -> "Counts":
        """Return the counts after a scorer left out more references."""
        return replace(self, scored=self.scored - unscored, unscored=self.unscored + unscored)

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


@dataclass(frozen=True)
class Pair:
    """One reference and the prediction for it.

    Attributes:
        id: Id of the reference, or its position where it has none.
        position: Row of the reference, from 0.
        reference: Its row.
        prediction: The row of the prediction, None where it is missing and counted wrong.
    """

    id: str
    position: int
    reference: Row
    prediction: Row | None


@dataclass(frozen=True)
class Pairing:
    """All pairs that are to be scored, in the order of the references.

    Attributes:
        pairs: At least one.
        counts: What was found, nothing left out by a scorer yet.
        notes: Sentences for the card.
        answer_field: Field of the model's answer, None where rows hold no text.
        reference_field: Field of the true answer, likewise.
    """

    pairs: tuple[Pair, ...]
    counts: Counts
    notes: tuple[str, ...]
    answer_field: str | None
    reference_field: str | None

    def answer(self, pair: Pair) -> str | None:
        """Return the model's answer, None for a prediction that is missing."""
        assert self.answer_field is not None
        return None if pair.prediction is None else text_of(pair.prediction.get(self.answer_field))

    def truth(self, pair: Pair) -> str:
        """Return the reference's answer as text."""
        assert self.reference_field is not None
        return text_of(pair.reference.get(self.reference_field)) or ""
