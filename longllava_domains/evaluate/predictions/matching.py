"""The prediction of each reference, found by id; what is odd is counted or refused."""

from collections.abc import Callable, Sequence
from typing import Final

from longllava_domains.errors import AmbiguousInputError, InputError, PolicyError
from longllava_domains.evaluate.predictions.fields import (
    ID_FIELDS,
    QUESTION_FIELDS,
    first_field,
    id_of,
    same_question,
)
from longllava_domains.evaluate.predictions.inputs import PROMPT_MISMATCH, input_notes
from longllava_domains.evaluate.predictions.pairing import Counts, Matching, Pair, Pairing
from longllava_domains.evaluate.predictions.reading import Row

NAMED_ROWS: Final = 10
"""Rows that a message names by position before it only counts."""


def pair_rows(
    predictions: Sequence[Row],
    references: Sequence[Row] | None,
    how: Matching,
    *,
    usable: Callable[[Row], bool],
    notes: tuple[str, ...] = (),
    id_fields: Sequence[str] = ID_FIELDS,
    content: Callable[[Row], object] = dict,
) -> Pairing:
    """Pair rows of any kind with their references.

    Args:
        predictions: Rows of the model.
        references: Rows to score against, or None where each prediction is its own reference:
            then no row is dropped for its id.
        how: The user's choices.
        usable: False for a prediction of a wrong type, which counts as missing.
        notes: Sentences about the reading, passed on.
        id_fields: Names under which ids stand, in this order.
        content: What of a prediction is scored; two of one id are equal if it is.

    Raises:
        InputError: Nothing matches, or ids contradict each other.
        PolicyError: Something is missing and no policy for it was chosen.
    """
    known = predictions if references is None else references
    require_rows(predictions, known)
    ids = _ids(known, id_fields, None if references is not None else how.id_field)
    duplicated = extra = 0
    found: list[Row | None]
    if references is None:
        found = list(predictions)
        duplicated = 0 if ids is None else len(ids) - len(set(ids))
    else:
        found, duplicated, extra, more = _match(
            predictions, references, ids, how, id_fields, content
        )
        notes += more
    notes += input_notes(found, how.inputs or {})
    absent = sum(row is None for row in found)
    found = [row if row is not None and usable(row) else None for row in found]
    wrong_type = sum(row is None for row in found) - absent
    _require_policy(found, how)
    names = ids or [str(position) for position in range(len(known))]
    pairs = tuple(
        Pair(names[position], position, known[position], row)
        for position, row in enumerate(found)
        if row is not None or how.missing == "wrong"
    )
    counts = Counts(
        references=len(known), predictions=len(predictions), scored=len(pairs),
        unscored=len(known) - len(pairs), missing=absent, wrong_type=wrong_type, extra=extra,
        duplicated=duplicated,
    )  # fmt: skip
    return Pairing(pairs, counts, notes, None, None)


def _match(
    predictions: Sequence[Row],
    references: Sequence[Row],
    ids: list[str] | None,
    how: Matching,
    id_fields: Sequence[str],
    content: Callable[[Row], object],
) -> tuple[list[Row | None], int, int, tuple[str, ...]]:
    """Return the prediction of each reference, the repeated and the extra ones, and notes."""
    given_ids = None if how.match == "position" else _ids(predictions, id_fields, how.id_field)
    if given_ids is None or ids is None:
        if how.match == "id":
            raise _refused("predictions or references have no ids", 'Choose match="position".')
        return _by_position(predictions, references), 0, 0, ("matched by position",)
    if how.match == "auto" and _ids_are_foreign(predictions, given_ids, references, ids):
        note = "ids are foreign to the references; matched by position, where all questions agree"
        return list(predictions), 0, 0, (note,)
    if len(set(ids)) < len(ids):
        raise _refused(
            f"{len(ids) - len(set(ids))} ids of the references repeat",
            'Give each its own id, or choose match="position".',
        )
    by_id = _one_each(predictions, given_ids, how, content)
    if not by_id.keys() & set(ids):
        raise _refused("no id of a prediction is an id of a reference", "Check id_field and files.")
    extra = len(by_id.keys() - set(ids))
    found = [by_id.get(name) for name in ids]
    differ = _differing_questions(found, references)
    notes = (f"{PROMPT_MISMATCH}: question text ({differ} rows)",) if differ else ()
    return found, len(predictions) - len(by_id), extra, notes


def _one_each(
    predictions: Sequence[Row], ids: list[str], how: Matching, content: Callable[[Row], object]
) -> dict[str, Row]:
    by_id: dict[str, Row] = {}
    contradicting = set()
    for name, row in zip(ids, predictions, strict=True):
        if name in by_id and content(by_id[name]) != content(row):
            contradicting.add(name)
        if name not in by_id or how.duplicates == "last":
            by_id[name] = row
    if contradicting and how.duplicates is None:
        rows = [position for position, name in enumerate(ids) if name in contradicting]
        raise AmbiguousInputError(
            f"{len(contradicting)} ids have several different predictions ({_named(rows)}).",
            remedy='Remove all but one, or choose duplicates="first" or duplicates="last".',
            code="evaluate.duplicated",
            facts={"ids": len(contradicting), "rows": tuple(rows[:NAMED_ROWS])},
        )
    return by_id


def _by_position(predictions: Sequence[Row], references: Sequence[Row]) -> list[Row | None]:
    if len(predictions) != len(references):
        raise _refused(
            f"{len(predictions)} predictions without ids cannot be told apart for "
            f"{len(references)} references",
            "Give each prediction the id of its reference.",
        )
    return list(predictions)


def _ids_are_foreign(
    predictions: Sequence[Row], given: list[str], references: Sequence[Row], known: list[str]
) -> bool:
    """Return whether the questions contradict the ids and agree, all of them, with the order."""
    if len(predictions) != len(references) or not _have_questions(predictions, references):
        return False
    by_id = dict(zip(given, predictions, strict=True))
    matched = [by_id.get(name) for name in known]
    agree_by_id = None not in matched and not _differing_questions(matched, references)
    return not agree_by_id and not _differing_questions(predictions, references)


def _have_questions(predictions: Sequence[Row], references: Sequence[Row]) -> bool:
    return all(first_field(rows, QUESTION_FIELDS) for rows in (predictions, references))


def _differing_questions(predictions: Sequence[Row | None], references: Sequence[Row]) -> int:
    """Count the predictions that were asked something else than their reference."""
    asked = first_field([row for row in predictions if row is not None], QUESTION_FIELDS)
    question = first_field(references, QUESTION_FIELDS)
    if asked is None or question is None:
        return 0
    return sum(
        not same_question(row.get(asked), reference.get(question))
        for row, reference in zip(predictions, references, strict=True)
        if row is not None
    )


def _ids(rows: Sequence[Row], names: Sequence[str], chosen: str | None) -> list[str] | None:
    """Return the id of each row, None if rows have none."""
    field = first_field(rows, names if chosen is None else (chosen,))
    if field is None:
        return None
    found = [id_of(row.get(field)) for row in rows]
    without = [position for position, name in enumerate(found) if name is None]
    if len(without) == len(found):
        return None
    if without:
        raise _refused(
            f"{len(without)} rows have no id while others have one ({_named(without)})",
            "Give every row an id, or none.",
        )
    return [name for name in found if name is not None]


def require_rows(predictions: Sequence[Row], references: Sequence[Row]) -> None:
    """Refuse a table without rows.

    Raises:
        InputError: One of them has none.
    """
    if not predictions or not references:
        empty = "predictions" if not predictions else "references"
        raise _refused(f"the {empty} hold no row", "Give a file with rows: nothing is no score.")


def _require_policy(found: list[Row | None], how: Matching) -> None:
    lost = [position for position, row in enumerate(found) if row is None]
    if len(lost) == len(found):
        raise _refused("no prediction is usable", "Check answer_field and the file.")
    if lost and how.missing in (None, "error"):
        raise PolicyError(
            f"{len(lost)} of {len(found)} references have no usable prediction ({_named(lost)}).",
            remedy='Complete the predictions, or choose missing="wrong" or missing="drop".',
            code="evaluate.missing",
            facts={"missing": len(lost), "rows": tuple(lost[:NAMED_ROWS])},
        )


def _named(rows: list[int]) -> str:
    more = "" if len(rows) <= NAMED_ROWS else " and more"
    return f"rows {', '.join(map(str, rows[:NAMED_ROWS]))}{more}, from 0"


def _refused(found: str, remedy: str) -> InputError:
    return InputError(
        f"Predictions and references do not fit: {found}.", remedy=remedy, code="evaluate.match"
    )
