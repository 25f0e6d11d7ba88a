"""`Sample`: one conversation about some pictures, the one form that every reader makes.

A row that cannot become a sample is never skipped in silence: its reader says why, with one of
the reasons of `REASONS`, and whoever goes through the data counts them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from longllava_domains.adapters.data.pictures import Picture
from longllava_domains.prompt.layouts import MARKER
from longllava_domains.prompt.protocol import Round

# Why a row is left out of training; the text finishes the sentence "The row ...".
REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "damaged_row": "is not a JSON object, or lacks a field that its layout needs",
        "unknown_role": "has a turn of a role that is neither the user nor the assistant",
        "turn_order": "has two turns of the same role in a row",
        "no_answer": "has no question with an answer, once empty turns are left out",
        "tag_mismatch": "has another number of <image> tags than of images",
        "too_many_images": "has more images than its data set's own training code takes",
        "missing_image": "names an image that is not there",
        "damaged_image": "names an image that cannot be decoded",
        "duplicate": "repeats an earlier row: same images, same text",
        "in_evaluation": "stands in an evaluation set: same images and text, or same patient",
        "too_long": "has more tokens than a packed row may hold",
        "bad_text": "holds text that is not Unicode",
    }
)


class RowError(Exception):
    """A row cannot become a sample. Caught by whoever goes through the data, never by users.

    Args:
        reason: One of `REASONS`.
        field: Name of the field that is absent or of another kind than its layout needs, where it
            is known; a name of the layout, never a value.
    """

    def __init__(self, reason: str, field: str = "") -> None:
        assert reason in REASONS, reason
        super().__init__(reason)
        self.reason = reason
        self.field = field


@dataclass(frozen=True)
class Sample:
    """One training conversation.

    Attributes:
        key: Identifies the sample in its data set, the same at every reading; random choices
            about it depend on nothing but the seed, the epoch and this.
        rounds: (question, answer) pairs. Each ``<image>`` in a question stands for the next
            picture; without any the pictures lead the first question.
        pictures: What is looked at, in order.
        group: Who or what must not stand on both sides of a split, such as a patient; empty
            where the data does not say.
        facts: What the data says about the row, such as its modality.
        trimmed: Turns that were left out: empty ones, an answer before any question, a question
            after the last answer.

    Raises:
        RowError: Tags and pictures differ in number, or there is no round.
    """

    key: str
    rounds: tuple[Round, ...]
    pictures: tuple[Picture, ...] = ()
    group: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    trimmed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))
        if not self.rounds:
            raise RowError("no_answer")
        tags = self.tags
        if tags not in (0, len(self.pictures)):
            raise RowError("tag_mismatch")

    @property
    def tags(self) -> int:
        """Number of ``<image>`` tags in the questions."""
        return sum(question.count(MARKER) for question, _ in self.rounds)
