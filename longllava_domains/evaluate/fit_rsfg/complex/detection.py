"""Rotated mean average precision: VOC 2007, eleven points, IoU of at least 0.25.

Like the evaluation of mmrotate that the official scorer carries, with two choices settled: the
IoU is exact (mmcv's is of float32), and boxes of equal score keep their order. All boxes have
the score 1, so their order in the file is their rank.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.boxes.rotated_iou import rotated_iou
from longllava_domains.evaluate.fit_rsfg.complex.box_text import OfficialBox

IOU_THRESHOLD: Final = 0.25
_RECALLS: Final = np.arange(0, 1 + 1e-3, 0.1)  # 0.3 is 0.30000000000000004 here, as officially


@dataclass(frozen=True, slots=True)
class ClassBoxes:
    """The boxes of one class in one row."""

    row: int
    label: Hashable
    truths: Sequence[OfficialBox]
    answers: Sequence[OfficialBox]


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """Mean average precision, and what each row added.

    Attributes:
        mean_average_precision: Over the classes that have a true box; None without any.
        by_row: Row -> (true positives, false positives, false negatives).
    """

    mean_average_precision: float | None
    by_row: dict[int, tuple[int, int, int]]


def by_class(
    row: int,
    truths: Sequence[tuple[Hashable, OfficialBox]],
    answers: Sequence[tuple[Hashable, OfficialBox]],
) -> list[ClassBoxes]:
    """Part the labelled boxes of one row by class, in order of first appearance."""
    parted: dict[Hashable, tuple[list[OfficialBox], list[OfficialBox]]] = {}
    for side, labelled in enumerate((truths, answers)):
        for label, box in labelled:
            parted.setdefault(label, ([], []))[side].append(box)
    return [ClassBoxes(row, label, *boxes) for label, boxes in parted.items()]


def detection_score(groups: Sequence[ClassBoxes]) -> DetectionScore:
    """Match every answered box and average over classes.

    Args:
        groups: In the order of the file; labels of one kind, so that they can be sorted.
    """
    hits = _hits(groups)
    rows: dict[int, list[int]] = {}
    by_label: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        found = int(hits[index].sum())
        counts = rows.setdefault(group.row, [0, 0, 0])
        counts[0] += found
        counts[1] += len(group.answers) - found
        counts[2] += len(group.truths) - found
        by_label.setdefault(group.label, []).append(index)
    precisions = []
    for label in sorted(by_label, key=_order):
        members = by_label[label]
        truths = sum(len(groups[index].truths) for index in members)
        if truths:
            ranked = np.concatenate([hits[index] for index in members])
            precisions.append(_average_precision(ranked, truths))
    mean = float(np.array(precisions, np.float32).mean()) if precisions else None
    return DetectionScore(mean, {row: (a, b, c) for row, (a, b, c) in rows.items()})


def _order(label: Hashable) -> tuple[str, str]:
    """Numbers before names, numbers by size."""
    return ("", f"{label:06d}") if isinstance(label, int) else ("name", str(label))


def _hits(groups: Sequence[ClassBoxes]) -> list[NDArray[np.bool_]]:
    """Return for each group which of its answered boxes are true positives.

    Each answered box looks at the true box that it overlaps most, and only at that one: a second
    answer to a true box is a false positive, even where another true box would be free.
    """
    pairs = [group for group in groups if group.truths and group.answers]
    answers = [np.repeat(_array(g.answers), len(g.truths), axis=0) for g in pairs]
    truths = [np.tile(_array(g.truths), (len(g.answers), 1)) for g in pairs]
    empty = np.zeros((0, 5))
    flat = rotated_iou(np.concatenate([empty, *answers]), np.concatenate([empty, *truths]))
    hits, start = [], 0
    for group in groups:
        hit = np.zeros(len(group.answers), bool)
        if group.truths and len(hit):
            end = start + len(hit) * len(group.truths)
            iou = flat[start:end].reshape(len(hit), -1)
            start = end
            overlapping = np.flatnonzero(iou.max(axis=1) >= IOU_THRESHOLD)
            _, first = np.unique(iou.argmax(axis=1)[overlapping], return_index=True)
            hit[overlapping[first]] = True
        hits.append(hit)
    return hits


def _array(boxes: Sequence[OfficialBox]) -> NDArray[np.float64]:
    return np.array(boxes, np.float64).reshape(-1, 5)


def _average_precision(ranked: NDArray[np.bool_], truths: int) -> np.float32:
    """Mean of the best precision at or beyond eleven recalls, in float32 as officially."""
    true = np.cumsum(ranked).astype(np.float32)
    precision = true / np.arange(1, len(ranked) + 1, dtype=np.float32)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    position = np.searchsorted(true / np.float64(truths), _RECALLS)  # recall only rises
    total = np.float32(0)
    for index in position[position < len(ranked)]:
        total += best[index]
    return np.float32(total / 11)
