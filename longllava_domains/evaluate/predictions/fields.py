"""Fields of a row under the names that public files use: id, answer, reference, question."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.predictions.reading import Row

ID_FIELDS: Final = ("question_id", "qid", "id", "index")
QUESTION_FIELDS: Final = ("question", "prompt", "query")

# "answer" comes last in both: it is the model's in one public format, the reference's in another.
ANSWER_FIELDS: Final = (
    "prediction", "pred", "response", "model_output", "output", "model_answer", "pred_answer",
    "generated_text", "text", "answer",
)  # fmt: skip
REFERENCE_FIELDS: Final = (
    "ground_truth", "gt_answer", "gt", "reference", "target", "ref", "answer",
)  # fmt: skip

_ELSEWHERE: Final = "; true answers in a file of their own are given as references"


def first_field(rows: Sequence[Row], names: Iterable[str]) -> str | None:
    """Return the first of the names that some row has, None if there is none."""
    return next((name for name in names if any(name in row for row in rows)), None)


def require_field(rows: Sequence[Row], names: Sequence[str], chosen: str | None, what: str) -> str:
    """Return the field to read from every row of a table.

    Args:
        rows: The table.
        names: Names to look for, in this order.
        chosen: The user's own choice, which wins.
        what: Name of the setting that makes the choice, for the message.

    Raises:
        PolicyError: No row has a field of these names.
    """
    found = first_field(rows, names if chosen is None else (chosen,))
    if found is None:
        raise PolicyError(
            f"No row has a field for {what.removesuffix('_field')}.",
            remedy=f"Name it with {what}=, or use one of {', '.join(names)}"
            f"{_ELSEWHERE if what == 'reference_field' else ''}.",
            code=f"evaluate.{what}",
        )
    return found


def id_of(value: object) -> str | None:
    """Return an id as text: 7, 7.0, "7" and " 7 " are one id; None where there is none."""
    if value is None or isinstance(value, (bool, list, dict)):
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = int(value) if value.is_integer() else value
    return str(value).strip() or None


def text_of(value: object) -> str | None:
    """Return an answer as text, None where its type is not one of a text.

    A number becomes its digits (``7.0`` from a table is ``"7"``), a missing value the empty
    text, and a list of one text that text, as some toolkits write it.
    """
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return id_of(value)
    if isinstance(value, list) and len(value) == 1:
        return text_of(value[0])
    return None


def same_question(one: object, other: object) -> bool:
    """Compare two questions by their words; a prompt that holds the question counts as the same."""
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    first, second = (" ".join(text.lower().split()) for text in (one, other))
    return bool(first and second) and (first in second or second in first)
