"""FIT-RSFG visual question answering and HRBEN: an answer is right when it equals the truth."""

import string
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from longllava_domains.errors import DamagedInputError
from longllava_domains.evaluate.fit_rsfg.rows import ItemToScore, ProtocolName, ScoredRows, Verdict
from longllava_domains.evaluate.predictions import Row, read_table
from longllava_domains.evaluate.statistic import (
    Floats,
    Statistic,
    defined,
    mean_statistic,
    ratio,
)

HRBEN_TYPES: Final = ("presence", "comp")

_EDGES: Final = string.punctuation + string.whitespace


def score_vqa(items: Sequence[ItemToScore], protocol: ProtocolName) -> ScoredRows:
    """Score FIT-RSFG questions: ``accuracy`` over all, ``accuracy/CATEGORY`` for each category.

    Officially texts are compared in lower case and otherwise as they are: "yes." is not "yes",
    and an empty answer equals an empty truth. Strictly spaces and punctuation at the ends and
    the width of letters make no difference, and an empty answer is wrong.
    """
    verdicts = [_verdict(item, protocol) for item in items]
    return _accuracies(items, verdicts)


def score_hrben(items: Sequence[ItemToScore], protocol: ProtocolName) -> ScoredRows:
    """Score the second test set of RSVQA-HR: as `score_vqa`, and the mean over question types.

    Officially there are two types, presence and comp; a question of another type makes the
    scorer crash and is left out here. ``average_accuracy``, the figure that papers quote, needs
    rows of both.
    """
    verdicts = [
        Verdict(None, "a type of question that the official scorer does not know")
        if protocol == "official" and item.category.lower() not in HRBEN_TYPES
        else _verdict(item, protocol)
        for item in items
    ]
    scored = _accuracies(items, verdicts)
    types = set(HRBEN_TYPES) if protocol == "official" else {_category(item) for item in items}
    average = _average(items, verdicts, types - {""})
    statistics = {**scored.statistics, **defined([("average_accuracy", average)])}
    return ScoredRows(
        {name: found.value for name, found in statistics.items()}, verdicts, statistics
    )


def hrben_references(questions: str | Path, answers: str | Path) -> list[Row]:
    """Join the two files of RSVQA-HR's second test set, as rows to score predictions against.

    Args:
        questions: ``USGS_split_test_phili_questions.json``.
        answers: ``USGS_split_test_phili_answers.json``.

    Raises:
        DamagedInputError: A file is not of that layout.
    """
    found = {row.get("id"): row for row in _rsvqa_rows(answers, "answers")}
    return [
        {
            "question_id": question["id"],
            "image_id": str(question.get("img_id", "")),
            "question": question.get("question", ""),
            "category": question.get("type", ""),
            "ground_truth": found[question["id"]].get("answer", ""),
        }
        for question in _rsvqa_rows(questions, "questions")
        if question.get("id") in found
    ]


def _rsvqa_rows(path: str | Path, name: str) -> list[Mapping[str, Any]]:
    table = read_table(path).rows
    lists = [row["answer"] for row in table if row.get("id") == name]
    if len(lists) != 1 or not isinstance(lists[0], list):
        raise DamagedInputError(
            f"The file of {name} has no list of that name.",
            remedy=f'Give the JSON file of RSVQA-HR, an object with "{name}".',
            code="evaluate.rsvqa",
        )
    return [row for row in lists[0] if isinstance(row, dict) and row.get("active", True)]


def plain_form(text: str) -> str:
    """Return a text in one case and width, without punctuation and spaces at its ends."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().strip(_EDGES).split())


def _verdict(item: ItemToScore, protocol: ProtocolName) -> Verdict:
    if protocol == "official":
        return Verdict(float(item.answer.lower() == item.truth.lower()))
    said, meant = plain_form(item.answer), plain_form(item.truth)
    if not meant:
        return Verdict(None, "the truth is empty")
    return Verdict(float(said == meant), "" if said else "the answer is empty")


def _category(item: ItemToScore) -> str:
    return item.category.strip().lower()


def _accuracies(items: Sequence[ItemToScore], verdicts: Sequence[Verdict]) -> ScoredRows:
    categories = sorted({_category(item) for item in items} - {""})
    statistics = defined(
        [
            ("accuracy", _mean(verdicts, [True] * len(items))),
            *(
                (f"accuracy/{name}", _mean(verdicts, [_category(item) == name for item in items]))
                for name in categories
            ),
        ]
    )
    metrics = {name: found.value for name, found in statistics.items()}
    return ScoredRows(metrics, verdicts, statistics)


def _mean(verdicts: Sequence[Verdict], chosen: Sequence[bool]) -> Statistic:
    counted = [
        verdict.score is not None and take for verdict, take in zip(verdicts, chosen, strict=True)
    ]
    return mean_statistic([verdict.score or 0.0 for verdict in verdicts], counted)


def _average(
    items: Sequence[ItemToScore], verdicts: Sequence[Verdict], types: Collection[str]
) -> Statistic:
    """Return the mean of the accuracies of the types; NaN where one of them has no row."""
    parts = [_mean(verdicts, [_category(item) == name for item in items]) for name in sorted(types)]
    if not parts:
        return _mean(verdicts, [False] * len(items))

    def combine(sums: Floats) -> Floats:
        each = [ratio(sums[..., 2 * k : 2 * k + 2]) for k in range(len(parts))]
        mean: Floats = np.mean(each, axis=0)
        return mean

    return Statistic(np.concatenate([part.contributions for part in parts], axis=1), combine)
