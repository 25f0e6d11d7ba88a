"""FIT-RSRC: single choice, asked with its options in turn; every turn must be right."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from longllava_domains.evaluate.fit_rsfg.equality import plain_form
from longllava_domains.evaluate.fit_rsfg.rows import ItemToScore, ProtocolName, ScoredRows, Verdict
from longllava_domains.evaluate.statistic import defined, mean_statistic

CATEGORIES: Final = ("relationship", "object", "subject", "exist")

_LETTER = re.compile(r"\b([A-E])\b")
_STATED = re.compile(r"\s*[(\[]?([A-Ea-e])(?:[)\].:]|\s*$)")


def score_choices(items: Sequence[ItemToScore], protocol: ProtocolName) -> ScoredRows:
    """Score FIT-RSRC: ``accuracy`` over questions, ``accuracy/CATEGORY`` for each category.

    Rows of one question id and category are one question (CircularEval): it is right when all
    of them are. Officially the choice is the first capital letter A to E that stands alone, so
    "A ship, so B" is A. Strictly an answer begins with its letter, alone or followed by a full
    stop, colon or bracket; anything else is unparsed, and wrong.
    """
    verdicts = [_verdict(item, protocol) for item in items]
    rows: dict[tuple[str, str], list[int]] = {}
    for index, (item, verdict) in enumerate(zip(items, verdicts, strict=True)):
        if verdict.score is not None:
            rows.setdefault((item.turn_of, _category(item)), []).append(index)
    right, first = np.zeros(len(items)), np.zeros(len(items), bool)
    for members in rows.values():  # a question's score stands on its first row
        first[members[0]] = True
        right[members[0]] = all(verdicts[index].score for index in members)
    category = np.array([_category(item) for item in items], object)
    statistics = defined(
        [
            ("accuracy", mean_statistic(right, first)),
            *(
                (f"accuracy/{name}", mean_statistic(right, first & (category == name)))
                for name in sorted(set(category) - {""})
            ),
        ]
    )
    metrics = {name: found.value for name, found in statistics.items()}
    return ScoredRows(metrics, verdicts, statistics, (_turns(rows),) if rows else ())


def _verdict(item: ItemToScore, protocol: ProtocolName) -> Verdict:
    truth = item.truth.lower()
    if protocol == "official":
        if _category(item) not in CATEGORIES:
            return Verdict(None, "a category that the official scorer does not know")
        found = _LETTER.search(item.answer)
        choice = found[1].lower() if found else None
        right = item.answer.lower() == truth or choice == truth
        return Verdict(float(right), "" if right or choice else "no letter in the answer")
    if not truth.strip():
        return Verdict(None, "the truth is empty")
    stated = _STATED.match(item.answer)
    said = stated[1].lower() if stated else ""
    right = bool(said) and said == plain_form(item.truth)
    return Verdict(float(right), "" if said else "the answer does not begin with a letter alone")


def _category(item: ItemToScore) -> str:
    return item.category.strip().lower()


def _turns(rows: dict[tuple[str, str], list[int]]) -> str:
    total = sum(map(len, rows.values()))
    return f"{len(rows)} questions in {total} rows: a question is right when all of its rows are"
