"""Tasks 1 and 4: objects as rotated boxes, as mean average precision."""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from longllava_domains.evaluate.fit_rsfg.complex.box_text import (
    OfficialBox,
    RaggedGroupError,
    is_usable,
    read_boxes,
    read_group,
)
from longllava_domains.evaluate.fit_rsfg.complex.detection import (
    ClassBoxes,
    by_class,
    detection_score,
)
from longllava_domains.evaluate.fit_rsfg.complex.labels import (
    OBJECT_NUMBER,
    OBJECTS,
    object_name,
    without_plural,
)
from longllava_domains.evaluate.fit_rsfg.complex.task_score import TaskScore
from longllava_domains.evaluate.fit_rsfg.rows import ItemToScore, ProtocolName, Verdict, f1
from longllava_domains.evaluate.fit_rsfg.spans import groups

Labelled = list[tuple[Hashable, OfficialBox]]

UNKNOWN: Final = -1
_ONE_CLASS: Final = OBJECT_NUMBER["boat"]  # the official number for boxes without a class
_COUNT = re.compile(r"There (?:is|are) \d+ ")
_PLACE = " in the image"


@dataclass(frozen=True, slots=True)
class RowBoxes:
    """The boxes of one row.

    Attributes:
        truths: True boxes with their class.
        answers: Answered boxes with their class.
        counts: False leaves the row out.
        reason: Why, or why the answer could not be read.
    """

    truths: Labelled
    answers: Labelled
    counts: bool = True
    reason: str = ""


def object_detection(items: Sequence[ItemToScore], protocol: ProtocolName) -> TaskScore:
    """Score task 1: all objects of one class.

    Officially the class is that of the truth whatever the answer says, and a question about a
    class that the chip does not hold is left out, so that inventions cost nothing. Strictly the
    answer's own class counts where it names one, and inventions are false positives.
    """
    read = _detection_official if protocol == "official" else _detection_strict
    return mean_precision([read(item) for item in items])


def object_reasoning(items: Sequence[ItemToScore], protocol: ProtocolName) -> TaskScore:
    """Score task 4: the objects in a relation, with or without their classes.

    Officially classes are dealt out to boxes in order, one for each ``<ref>``: with two boxes in
    one group the later boxes get a wrong class or none. Strictly each box has its group's class.
    """
    read = _reasoning_official if protocol == "official" else _reasoning_strict
    return mean_precision([read(item) for item in items])


def official_row(truths: Labelled, answers: Labelled, reason: str = "") -> RowBoxes:
    """Apply what the official scorer does with unknown classes and with rows without a true box.

    An unknown class has the number -1: as a truth it is never counted, as an answer it lands in
    the last class, stadium. A row without a true box is left out with all its answers.
    """
    if not truths:
        return RowBoxes([], [], counts=False, reason="no true box")
    known: Labelled = [(label, box) for label, box in truths if label != UNKNOWN]
    landed: Labelled = [
        (len(OBJECTS) - 1 if label == UNKNOWN else label, box) for label, box in answers
    ]
    if not known:
        return RowBoxes([], landed, counts=bool(landed), reason="class outside the 48")
    return RowBoxes(known, landed, reason=reason)


def mean_precision(rows: Sequence[RowBoxes]) -> TaskScore:
    """Score rows of boxes; a row's own score is the F1 of its boxes."""
    parted: list[ClassBoxes] = []
    for index, row in enumerate(rows):
        if row.counts:
            parted += by_class(index, row.truths, row.answers)
    found = detection_score(parted)
    verdicts = [
        Verdict(f1(*found.by_row.get(index, (0, 0, 0))) if row.counts else None, row.reason)
        for index, row in enumerate(rows)
    ]
    mean = found.mean_average_precision
    return TaskScore({} if mean is None else {"mAP": mean}, verdicts)


def described_class(text: str) -> str | None:
    """Return the X of "There are 2 Xs in the image", without any trailing "s"; None if absent."""
    hopeless = -1  # end of a line without the closing words: looked at once
    for match in _COUNT.finditer(text):
        start = match.end()
        if start <= hopeless:
            continue
        line_end = text.find("\n", start)
        line_end = len(text) if line_end < 0 else line_end
        end = text.find(_PLACE, start + 1, line_end)
        if end >= 0:
            return text[start:end].rstrip("s") if end > start + 1 else text[start:end]
        hopeless = line_end
    return None


def _detection_official(item: ItemToScore) -> RowBoxes:
    name = described_class(item.truth)
    if name is None:
        return RowBoxes([], [], counts=False, reason="the truth names no object")
    number = OBJECT_NUMBER.get(name.rstrip("s"), UNKNOWN)
    answers = [(number, box) for box in read_boxes(item.answer)]
    reason = "" if answers else "no box could be read"
    return official_row([(number, box) for box in read_boxes(item.truth)], [*answers], reason)


def _detection_strict(item: ItemToScore) -> RowBoxes:
    asked, named = described_class(item.truth), described_class(item.answer)
    truths = read_boxes(item.truth)
    answers = read_boxes(item.answer)
    if asked is None and truths:
        return RowBoxes([], [], counts=False, reason="the truth names no object")
    if asked is not None and not truths:
        return RowBoxes([], [], counts=False, reason="no true box")
    label = object_name(named or asked or "")
    return RowBoxes(
        [(object_name(asked or ""), box) for box in truths],
        [(label, box) for box in answers],
        reason=_strict_reason(asked, named, bool(answers)),
    )


def _strict_reason(asked: str | None, named: str | None, found: bool) -> str:
    if asked is None:
        return "boxes of an absent class" if found else "nothing to find"
    if not found:
        return "no box could be read"
    return "" if named is None or object_name(named) == object_name(asked) else "another class"


def _reasoning_official(item: ItemToScore) -> RowBoxes:
    read = _dealt_out if "categories" in item.truth else _unnamed
    try:
        truths = read(item.truth)
    except RaggedGroupError:
        return RowBoxes([], [], counts=False, reason="the truth cannot be read")
    try:
        answers = read(item.answer)
    except RaggedGroupError:
        answers = []
    return official_row(truths, answers, "" if answers else "no box could be read")


def _dealt_out(text: str) -> Labelled:
    """Read boxes of ``<ref>`` groups; the n-th box gets the class of the n-th group."""
    classes: list[int] = []
    boxes: list[OfficialBox] = []
    for name, body in groups(text, "<ref>", "</ref><rbox>(", ")</rbox>"):
        classes.append(OBJECT_NUMBER.get(without_plural(name), UNKNOWN))
        boxes += filter(is_usable, read_group(body))
    return [(label, box) for box, label in dict.fromkeys(zip(boxes, classes, strict=False))]


def _unnamed(text: str) -> Labelled:
    return [(_ONE_CLASS, box) for box in dict.fromkeys(read_boxes(text, least=0))]


def _reasoning_strict(item: ItemToScore) -> RowBoxes:
    read = _named if "categories" in item.truth else _any_object
    truths, answers = read(item.truth), read(item.answer)
    if not truths:
        return RowBoxes([], [], counts=False, reason="no true box")
    return RowBoxes(truths, answers, reason="" if answers else "no box could be read")


def _named(text: str) -> Labelled:
    """Read boxes of ``<ref>`` groups; each has its own group's class."""
    found: Labelled = []
    for name, body in groups(text, "<ref>", "</ref><rbox>(", ")</rbox>"):
        found += [(object_name(name), box) for box in read_boxes(body)]
    return found


def _any_object(text: str) -> Labelled:
    return [("any object", box) for box in read_boxes(text)]
