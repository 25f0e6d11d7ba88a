"""Questions of VQA-RAD and PathVQA in every layout they are distributed in, beside answers."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.errors import InputError, PolicyError
from longllava_domains.evaluate.predictions import (
    Counts,
    Matching,
    Row,
    Source,
    pair_texts,
    read_table,
)
from longllava_domains.evaluate.predictions.fields import (
    ID_FIELDS,
    REFERENCE_FIELDS,
    first_field,
    require_field,
    text_of,
)

BUILDS: Final = ("osf", "mevf", "hf-dedup", "huatuo")
"""How VQA-RAD is distributed: the original file with rephrased questions; split and typed by the
MEVF authors; without repeats and types on the Hugging Face hub; with options by HuatuoGPT-Vision."""

CLOSED: Final = ("answer_type", "yes-no")
"""A question is closed because the data say so, or because its answer is yes or no."""

IMAGE_FIELDS: Final = (
    "image_name",
    "img_name",
    "img_id",
    "image_id",
    "image_path",
    "image",
    "images",
)
_CLOSED_TYPES: Final = ("CLOSED", "YES/NO")


@dataclass(frozen=True)
class Question:
    """One question with the true answer and the model's.

    Attributes:
        id: As in the data.
        text: The question, empty where the rows hold none.
        truth: The true answer.
        answer: The model's answer, None where it is missing and counted wrong.
        closed: Whether it is a closed question.
        options: Answers to choose from, empty for a question without any.
        label: Letter of the true option where the data give it.
        image: What is drawn together in a bootstrap, None where rows name no image.
        kind: Type of the question in the data, such as ``"PRES"`` or ``"open"``.
        subset: Name of the subset, None where there is none.
    """

    id: str
    text: str
    truth: str
    answer: str | None
    closed: bool
    options: tuple[str, ...] = ()
    label: str | None = None
    image: str | None = None
    kind: str | None = None
    subset: str | None = None


@dataclass(frozen=True)
class Questions:
    """All questions that are to be scored.

    Attributes:
        rows: In the order of the references.
        counts: What was read, missing and so on.
        build: One of `BUILDS`.
        closed: One of `CLOSED`, after what the data allow.
        notes: Sentences for the card.
    """

    rows: tuple[Question, ...]
    counts: Counts
    build: str
    closed: str
    notes: tuple[str, ...]


def read_questions(
    predictions: Source,
    references: Source | None,
    how: Matching,
    *,
    benchmark: str,
    build: str = "auto",
    closed: str = "answer_type",
) -> Questions:
    """Read references of any build and pair them with the answers.

    Args:
        predictions: Answers.
        references: Questions with true answers, or None where the prediction rows hold them.
        how: The user's choices about missing and repeated answers.
        benchmark: ``"vqa-rad"`` or ``"path-vqa"``; rows of a bundle that name another data set
            are left aside.
        build: One of `BUILDS`, ``"auto"`` recognises it by its fields.
        closed: One of `CLOSED`; without types in the data, ``"yes-no"`` is taken and noted.

    Raises:
        PolicyError: An unknown build or definition, or missing answers without a policy.
        InputError: The rows cannot be read or do not fit each other.
    """
    if build not in ("auto", *BUILDS):
        raise _unknown("build", build, ("auto", *BUILDS))
    if closed not in CLOSED:
        raise _unknown("closed", closed, CLOSED)
    given = read_table(predictions, "predictions")
    known = given if references is None else read_table(references, "references")
    rows = [_plain(row) for row in known.rows if _is_of(row, benchmark)]
    if known.rows and not rows:
        raise InputError(
            f"No row of the references is of {benchmark}.",
            remedy="Name the benchmark that the references hold.",
            code="medical_vqa.benchmark",
        )
    found = recognise_build(rows) if build == "auto" else build
    if found == "osf":
        rows = list(_test_rows(rows))
    typed = first_field(rows, ("answer_type",)) is not None
    notes = given.notes + (known.notes if references is not None else ())
    if closed == "answer_type" and not typed:
        closed = "yes-no"
        notes += ("the references have no answer_type: closed means that the answer is yes or no",)
    pairing = (
        pair_texts(rows, None, how) if references is None else pair_texts(given.rows, rows, how)
    )
    return Questions(
        rows=tuple(
            _question(pair.id, pair.reference, pairing.truth(pair), pairing.answer(pair), closed)
            for pair in pairing.pairs
        ),
        counts=pairing.counts,
        build=found,
        closed=closed,
        notes=tuple(dict.fromkeys(notes + pairing.notes)),
    )


def baseline_answers(
    references: Source, constants: Iterable[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return answers that need no model: the truth, and each constant.

    Args:
        references: Questions with true answers, of any build.
        constants: Texts to give as every answer.
    """
    plain = [_plain(row) for row in read_table(references, "references").rows]
    if recognise_build(plain) == "osf":
        plain = list(_test_rows(plain))
    truth = require_field(plain, REFERENCE_FIELDS, None, "reference_field")
    ids: list[dict[str, Any]] = [
        {name: row[name] for name in ID_FIELDS if name in row} for row in plain
    ]

    def answered(text: str | None) -> list[dict[str, Any]]:
        return [
            {**own, "prediction": text_of(row.get(truth)) if text is None else text}
            for own, row in zip(ids, plain, strict=True)
        ]

    return {"oracle": answered(None)} | {f"always {text}": answered(text) for text in constants}


def recognise_build(rows: Iterable[Row]) -> str:
    """Return which of `BUILDS` has the fields of these rows."""
    names = {name for row in rows for name in row}
    if "question_rephrase" in names:
        return "osf"
    if "options" in names:
        return "huatuo"
    return "mevf" if "answer_type" in names else "hf-dedup"


def is_yes_no(answer: str) -> bool:
    """Return whether an answer is yes or no, in any case and with blanks around it."""
    return answer.strip().lower() in ("yes", "no")


def _question(name: str, row: Row, truth: str, answer: str | None, closed: str) -> Question:
    kind = str(row.get("answer_type")).strip().upper()
    field = first_field([row], IMAGE_FIELDS)
    label = row.get("answer_label", row.get("answer_idx"))
    return Question(
        id=name,
        text=str(row.get("question") or ""),
        truth=truth,
        answer=answer,
        closed=kind in _CLOSED_TYPES if closed == "answer_type" else is_yes_no(truth),
        options=options_of(row.get("options")),
        label=_text_or_none(label),
        image=None if field is None else _image(row[field]),
        kind=_text_or_none(row.get("question_type")),
        subset=_text_or_none(row.get("subset")),
    )


def _text_or_none(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def options_of(value: object) -> tuple[str, ...]:
    """Read options: a list, a mapping from letters, or the text of a list as a table holds it."""
    if isinstance(value, str) and value.strip():
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return ()
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value)]
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else ()


def _image(value: object) -> str | None:
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    # Pictures that stand in the table itself are too long to be a name.
    return value if isinstance(value, str) and 0 < len(value) < 300 else None


def _is_of(row: Row, benchmark: str) -> bool:
    name = row.get("dataset", row.get("dataset_name"))
    if not isinstance(name, str) or not name:
        return True
    return "".join(filter(str.isalnum, name.lower())) == benchmark.replace("-", "")


def _plain(row: Row) -> dict[str, Any]:
    """Return a reference row with ``question`` and ``answer``, whatever its layout calls them."""
    plain = dict(row)
    turns = row.get("conversations", row.get("conversatons"))  # the second is LLaVA-Med's spelling
    if isinstance(turns, list) and "answer" not in row:
        said = [turn.get("value") for turn in turns if isinstance(turn, Mapping)]
        plain |= zip(("question", "answer"), said, strict=False)
    if "sent" in row and "question" not in row:
        plain["question"] = row["sent"]
    label = row.get("label")
    if isinstance(label, Mapping) and "answer" not in row:
        weights = {k: v for k, v in label.items() if isinstance(v, (int, float))}
        plain["answer"] = max(weights, key=weights.__getitem__, default=None)
    return plain


def _test_rows(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Yield the test questions of the original file, each followed by its rephrased form."""
    for row in rows:
        if not str(row.get("phrase_type", "test_")).strip().startswith("test_"):
            continue
        yield row
        rephrased = row.get("question_rephrase")
        if isinstance(rephrased, str) and rephrased.strip().upper() not in ("", "NULL"):
            field = first_field([row], ("qid", "id", "question_id"))
            ids = {} if field is None else {field: f"{text_of(row[field])}-rephrase"}
            yield {**row, "question": rephrased, **ids}


def _unknown(name: str, value: str, choices: Iterable[str]) -> PolicyError:
    return PolicyError(
        f"{name} cannot be {value!r}.",
        remedy=f"Choose one of {', '.join(choices)}.",
        code=f"medical_vqa.{name}",
    )
