"""Questions about slides as MultiPathQA and SlideBench distribute them, beside answers."""

import json
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.evaluate.medical_vqa.questions import options_of
from longllava_domains.evaluate.predictions import (
    Counts,
    Matching,
    Pairing,
    Row,
    Source,
    pair_texts,
    read_table,
)
from longllava_domains.evaluate.predictions.fields import first_field, text_of

_LETTERS: Final = string.ascii_uppercase
_SLIDE_FIELDS: Final = ("file_id", "image_path", "Slide", "slide", "image", "wsi")
_TASK_FIELDS: Final = ("benchmark_name", "Broad Category", "broad_category", "task", "category")
# SlideBench writes its columns with capitals.
_SLIDEBENCH: Final = {"ID": "id", "Question": "question", "Answer": "answer"}

_JSON_ANSWER: Final = re.compile(r'\{[^{}]*"answer"[^{}]*\}')
_NUMBER: Final = re.compile(r"(?<![\w.])(\d{1,3})(?![\w%]|\.\d)")
_LETTER: Final = re.compile(r"(?<!\w)([A-Z])(?=[\W_]|$)")


@dataclass(frozen=True)
class SlideQuestion:
    """One question with the true answer and the model's.

    Attributes:
        id: As in the data.
        slide: What is drawn together in a bootstrap.
        task: Name of the task or category.
        options: Texts to choose from, empty for an open question or a grade.
        truth: Number of the true option from 0, or the true grade; None for an open question.
        truth_text: The true answer as the data write it.
        answer: The model's answer, None where it is missing and counted wrong.
        balanced: Whether the task is scored by balanced accuracy.
    """

    id: str
    slide: str
    task: str
    options: tuple[str, ...]
    truth: int | None
    truth_text: str
    answer: str | None
    balanced: bool


@dataclass(frozen=True)
class SlideQuestions:
    """All questions that are to be scored, with counts and sentences for the card."""

    rows: tuple[SlideQuestion, ...]
    counts: Counts
    notes: tuple[str, ...]


def read_slide_questions(
    predictions: Source, references: Source | None, how: Matching
) -> SlideQuestions:
    """Read the questions and pair them with the answers.

    Args:
        predictions: Answers.
        references: MultiPathQA.csv or a file of SlideBench, or rows of either; None where the
            prediction rows hold the true answers.
        how: The user's choices about missing and repeated answers.

    Raises:
        InputError: The rows cannot be read or do not fit each other.
        PolicyError: Answers are missing without a policy.
    """
    given = read_table(predictions, "predictions")
    known = given if references is None else read_table(references, "references")
    rows = [_plain(row) for row in known.rows]
    pairing = (
        pair_texts(rows, None, how) if references is None else pair_texts(given.rows, rows, how)
    )
    notes = tuple(dict.fromkeys(given.notes + known.notes + pairing.notes))
    return SlideQuestions(tuple(_questions(pairing)), pairing.counts, notes)


def read_choice(answer: str, options: Sequence[str]) -> int | None:
    """Return the number of the option, from 0, that an answer names; None where it names none.

    Tried in this order: the field ``answer`` of JSON, a letter, a number from 1, the text of
    exactly one option.
    """
    said = _json_answer(answer)
    alone = said.strip().strip("().:").strip()
    if alone.isdecimal() and 1 <= int(alone) <= len(options):
        return int(alone) - 1
    letters = {found for found in _LETTER.findall(said) if found in _LETTERS[: len(options)]}
    letters -= {"A"} if re.search(r"(?<!\w)A [a-z]", said) else set()
    if len(letters) == 1:
        return _LETTERS.index(letters.pop())
    lower = said.lower()
    named = [place for place, option in enumerate(options) if option.lower() in lower]
    if len(named) == 1:
        return named[0]
    numbers = {int(found) for found in _NUMBER.findall(said)}
    if len(numbers) == 1 and 1 <= (number := numbers.pop()) <= len(options):
        return number - 1
    return None


def read_grade(answer: str) -> int | None:
    """Return the only number in an answer, such as an ISUP grade; None where it is not one."""
    numbers = {int(found) for found in _NUMBER.findall(_json_answer(answer))}
    return numbers.pop() if len(numbers) == 1 else None


def _json_answer(answer: str) -> str:
    found = _JSON_ANSWER.findall(answer)
    if not found:
        return answer
    try:
        inner = json.loads(found[-1])["answer"]
    except (ValueError, KeyError, TypeError):
        return answer
    return text_of(inner) or ""


def _plain(row: Row) -> dict[str, Any]:
    plain = {_SLIDEBENCH.get(name, name): value for name, value in row.items()}
    letters = [letter for letter in _LETTERS[:10] if row.get(letter) not in (None, "")]
    if letters and "options" not in plain:
        plain["options"] = [str(row[letter]) for letter in letters]
    return plain


def _questions(pairing: Pairing) -> list[SlideQuestion]:
    found = []
    for pair in pairing.pairs:
        row = pair.reference
        options = options_of(row.get("options"))
        truth_text = pairing.truth(pair).strip()
        found.append(
            SlideQuestion(
                id=pair.id,
                slide=_field(row, _SLIDE_FIELDS) or pair.id,
                task=_field(row, _TASK_FIELDS) or "all",
                options=options,
                truth=_truth(truth_text, options),
                truth_text=truth_text,
                answer=pairing.answer(pair),
                balanced=str(row.get("metric_type", "")).lower().startswith("balanced"),
            )
        )
    return found


def _field(row: Row, names: Sequence[str]) -> str | None:
    name = first_field([row], names)
    value = None if name is None else text_of(row[name])
    return value.strip() or None if value else None


def _truth(text: str, options: Sequence[str]) -> int | None:
    """Return the number of the true option from 0, or the number itself where there are none."""
    if not options:
        return int(text) if text.isdecimal() else None
    if text in options:
        return list(options).index(text)
    if len(text) == 1 and text in _LETTERS[: len(options)]:
        return _LETTERS.index(text)
    return int(text) - 1 if text.isdecimal() and 1 <= int(text) <= len(options) else None


def baseline_choices(references: Source) -> Mapping[str, list[dict[str, Any]]]:
    """Return answers that need no model: the truth, and the first option everywhere.

    Args:
        references: As `read_slide_questions`.
    """
    rows = [_plain(row) for row in read_table(references, "references").rows]
    ids: list[dict[str, Any]] = [
        {name: row[name] for name in ("id", "question_id", "index") if name in row} for row in rows
    ]
    return {
        "oracle": [
            {**own, "prediction": text_of(row.get("answer"))}
            for own, row in zip(ids, rows, strict=True)
        ],
        "always the first option": [{**own, "prediction": "1"} for own in ids],
    }
