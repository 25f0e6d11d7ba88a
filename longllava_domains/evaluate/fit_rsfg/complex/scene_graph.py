"""Recall and mean recall of scene graphs: triplets of subject, relation and object, with boxes.

The measure of neural-motifs (arXiv 1711.06640) as the STAR toolkit carries it: a true triplet is
found where a triplet of the answer has the same subject class, relation and object class, and
both boxes overlap by an IoU of at least 0.25. Only the first 1,000 triplets of an answer count.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.boxes.rotated_iou import rotated_iou
from longllava_domains.evaluate.fit_rsfg.complex.box_text import OfficialBox
from longllava_domains.evaluate.fit_rsfg.complex.detection import IOU_THRESHOLD
from longllava_domains.evaluate.fit_rsfg.complex.labels import RELATIONS
from longllava_domains.evaluate.statistic import Statistic

FIRST_TRIPLETS: Final = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Triplet:
    """One edge of a scene graph; classes and relation are numbers or names."""

    subject: Hashable
    relation: Hashable
    object: Hashable
    subject_box: OfficialBox
    object_box: OfficialBox


@dataclass(frozen=True, slots=True)
class Graph:
    """The true and the answered triplets of one row."""

    truths: Sequence[Triplet]
    answers: Sequence[Triplet]


def found_truths(graphs: Sequence[Graph]) -> list[NDArray[np.bool_]]:
    """Return for each graph which of its true triplets the answer holds."""
    places: list[tuple[int, int]] = []
    truths: list[OfficialBox] = []
    answers: list[OfficialBox] = []
    for row, graph in enumerate(graphs):
        same: dict[tuple[Hashable, ...], list[Triplet]] = {}
        for answer in graph.answers[:FIRST_TRIPLETS]:
            same.setdefault((answer.subject, answer.relation, answer.object), []).append(answer)
        for index, truth in enumerate(graph.truths):
            for answer in same.get((truth.subject, truth.relation, truth.object), ()):
                places.append((row, index))
                truths += (truth.subject_box, truth.object_box)
                answers += (answer.subject_box, answer.object_box)
    found = [np.zeros(len(graph.truths), bool) for graph in graphs]
    iou = rotated_iou(_array(truths), _array(answers)).reshape(-1, 2)
    for hit in np.flatnonzero((iou >= IOU_THRESHOLD).all(axis=1)):
        row, index = places[hit]
        found[row][index] = True
    return found


def mean_recall_official(graphs: Sequence[Graph], found: Sequence[NDArray[np.bool_]]) -> Statistic:
    """Return mean recall with its official faults.

    Relations are counted in 59 slots by their number, without an offset for the background. The
    first slot is left out of the mean, so relation 0, "over", never counts; the last slot gets
    the unknown relations, whose number is -1, and is 0 without them; and the sum is divided by
    58 whether a relation occurs or not.
    """
    slots = {number: slot for slot, number in enumerate((*range(len(RELATIONS)), -1))}
    shares = _shares_by_relation(graphs, found, slots)

    def combine(sums: Floats) -> Floats:
        recall = np.nan_to_num(_recall_by_relation(sums)[..., 1:])
        mean: Floats = recall.sum(axis=-1) / len(RELATIONS)
        return mean

    return Statistic(shares, combine)


def mean_recall_strict(graphs: Sequence[Graph], found: Sequence[NDArray[np.bool_]]) -> Statistic:
    """Return mean recall over the relations that occur among the true triplets."""
    names = dict.fromkeys(truth.relation for graph in graphs for truth in graph.truths)
    slots = {name: slot for slot, name in enumerate(names)}
    shares = _shares_by_relation(graphs, found, slots)

    def combine(sums: Floats) -> Floats:
        recall = _recall_by_relation(sums)
        occurring = np.isfinite(recall).sum(axis=-1)
        total = np.nan_to_num(recall).sum(axis=-1)
        mean: Floats = np.where(occurring > 0, total / np.maximum(occurring, 1), np.nan)
        return mean

    return Statistic(shares, combine)


def _shares_by_relation(
    graphs: Sequence[Graph], found: Sequence[NDArray[np.bool_]], slots: dict[Hashable, int]
) -> Floats:
    """Return (rows, 2 x relations): the recall in each row, and 1 where the relation occurs."""
    table = np.zeros((len(graphs), 2 * len(slots)))
    for row, (graph, hits) in enumerate(zip(graphs, found, strict=True)):
        counts: dict[int, list[int]] = {}
        for truth, hit in zip(graph.truths, hits, strict=True):
            count = counts.setdefault(slots[truth.relation], [0, 0])
            count[0] += bool(hit)
            count[1] += 1
        for slot, (right, all_) in counts.items():
            table[row, slot] = right / all_
            table[row, len(slots) + slot] = 1
    return table


def _recall_by_relation(sums: Floats) -> Floats:
    """Return the mean over rows of each relation's recall, NaN where it does not occur."""
    half = sums.shape[-1] // 2
    with np.errstate(invalid="ignore", divide="ignore"):
        recall: Floats = sums[..., :half] / sums[..., half:]
    return recall


def _array(boxes: Sequence[OfficialBox]) -> Floats:
    return np.array(boxes, np.float64).reshape(-1, 5)
