"""Tasks 2 and 3: the relations that an answer names, as micro-averaged P, R and F1."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from longllava_domains.evaluate.fit_rsfg.complex.labels import tidy
from longllava_domains.evaluate.fit_rsfg.complex.task_score import (
    TaskScore,
    precision_recall_f1,
)
from longllava_domains.evaluate.fit_rsfg.rows import ItemToScore, ProtocolName, Verdict, f1
from longllava_domains.evaluate.fit_rsfg.spans import between, first_between

_TAGS: Final = frozenset({"ref", "/ref", "rbox", "/rbox"})

Counts = tuple[int, int, int]
"""True positives, false positives, false negatives."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counts of a protocol for one row: None leaves it out."""

    counts: Counts | None
    reason: str = ""


def relation_detection(items: Sequence[ItemToScore], protocol: ProtocolName) -> TaskScore:
    """Score task 2: which relations hold between two classes.

    Officially everything in angle brackets is a relation, ``<rel>`` tags included, compared with
    its capitals; subjects and objects are ignored. Strictly, tags are no relations, and capitals
    and spaces make no difference.
    """
    read = _relations_official if protocol == "official" else _relations_strict
    return _score(items, lambda item: Reading(_counts(read(item.truth), read(item.answer))))


def relation_reasoning(items: Sequence[ItemToScore], protocol: ProtocolName) -> TaskScore:
    """Score task 3: the relation between a subject and an object, which are named as well.

    Officially a row with another subject or object, or with an answer that cannot be read,
    vanishes from all three figures. Strictly its true relations are missed and its answered
    relations are wrong; and an answer to a question without a relation is a false positive.
    """
    return _score(items, _reasoning_official if protocol == "official" else _reasoning_strict)


def _relations_official(text: str) -> set[str]:
    return set(between(text, "<", ">"))


def _relations_strict(text: str) -> set[str]:
    bare = text.replace("<rel>", "<").replace("</rel>", ">")
    return {tidy(found) for found in between(bare, "<", ">")} - _TAGS - {""}


def _statement(text: str) -> tuple[str, str, list[str]] | None:
    """Return subject, object and relations, None where one of them is missing."""
    subject = first_between(text, "subject: ", ",", least=1)
    object_ = first_between(text, "object: ", ",", least=1)
    relations = list(between(text, "<rel>", "</rel>"))
    return (subject, object_, relations) if subject and object_ and relations else None


def _reasoning_official(item: ItemToScore) -> Reading:
    truth, answer = _statement(item.truth), _statement(item.answer)
    if truth is None:
        return Reading(None, "the truth states no relation")
    if answer is None:
        return Reading(None, "the answer cannot be read")
    if truth[:2] != answer[:2]:
        return Reading(None, "another subject or object")
    return Reading(_counts(set(truth[2]), set(answer[2])))


def _reasoning_strict(item: ItemToScore) -> Reading:
    truth, answer = _statement(item.truth), _statement(item.answer)
    expected = set() if truth is None else {tidy(found) for found in truth[2]}
    found = {tidy(found) for found in between(item.answer, "<rel>", "</rel>")}
    if truth is None:
        reason = "the truth states no relation"
        return Reading(_counts(expected, found), reason) if found else Reading(None, reason)
    if answer is None:
        return Reading((0, len(found), len(expected)), "the answer cannot be read")
    if [tidy(name) for name in truth[:2]] != [tidy(name) for name in answer[:2]]:
        return Reading((0, len(found), len(expected)), "another subject or object")
    return Reading(_counts(expected, found))


def _counts(truth: Collection[str], answer: Collection[str]) -> Counts:
    expected, found = set(truth), set(answer)
    return len(expected & found), len(found - expected), len(expected - found)


def _score(items: Sequence[ItemToScore], read: Callable[[ItemToScore], Reading]) -> TaskScore:
    readings = [read(item) for item in items]
    verdicts = [
        Verdict(None if reading.counts is None else f1(*reading.counts), reading.reason)
        for reading in readings
    ]
    if not any("<" in item.truth for item in items):
        return TaskScore({}, verdicts)
    table = np.array([reading.counts or (0, 0, 0) for reading in readings], np.float64)
    statistics = precision_recall_f1(table)
    metrics = {name: found.value for name, found in statistics.items()}
    return TaskScore(metrics, verdicts, statistics)
