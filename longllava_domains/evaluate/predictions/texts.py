"""Text predictions beside the texts that they should be."""

from dataclasses import replace

from longllava_domains.evaluate.predictions.fields import (
    ANSWER_FIELDS,
    REFERENCE_FIELDS,
    require_field,
    text_of,
)
from longllava_domains.evaluate.predictions.matching import pair_rows, require_rows
from longllava_domains.evaluate.predictions.pairing import Matching, Pairing
from longllava_domains.evaluate.predictions.reading import Source, read_table


def pair_texts(
    predictions: Source, references: Source | None = None, how: Matching | None = None
) -> Pairing:
    """Pair predictions whose answer is a text with their references.

    Args:
        predictions: A file or rows; see `read_table`.
        references: The same, or None where each prediction row also holds the true answer.
        how: Choices; all at their defaults if None.

    Raises:
        InputError: A file cannot be read, nothing matches, or ids contradict each other.
        PolicyError: Something is missing and no policy for it was chosen.
    """
    how = how or Matching()
    given = read_table(predictions)
    known = given if references is None else read_table(references)
    require_rows(given.rows, known.rows)
    truth = require_field(known.rows, REFERENCE_FIELDS, how.reference_field, "reference_field")
    others = [name for name in ANSWER_FIELDS if references is not None or name != truth]
    answer = require_field(given.rows, others, how.answer_field, "answer_field")
    pairing = pair_rows(
        predictions=given.rows,
        references=None if references is None else known.rows,
        how=how,
        usable=lambda row: answer in row and text_of(row[answer]) is not None,
        content=lambda row: text_of(row.get(answer)),
        notes=tuple(dict.fromkeys(given.notes + known.notes)),
    )
    empty = sum(
        pair.prediction is not None and not (text_of(pair.prediction[answer]) or "").strip()
        for pair in pairing.pairs
    )
    return replace(
        pairing,
        counts=replace(pairing.counts, empty=empty),
        answer_field=answer,
        reference_field=truth,
    )
