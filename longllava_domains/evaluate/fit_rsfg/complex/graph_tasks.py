"""Tasks 5 and 6: the scene graph around a region, and of a whole chip, as recall."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from longllava_domains.evaluate.fit_rsfg.complex.detection_tasks import (
    Labelled,
    RowBoxes,
    mean_precision,
    official_row,
)
from longllava_domains.evaluate.fit_rsfg.complex.graph_text import (
    BY_NAME,
    BY_NUMBER,
    chip_graph,
    region_class,
    region_triplets_official,
    region_triplets_strict,
)
from longllava_domains.evaluate.fit_rsfg.complex.scene_graph import (
    Graph,
    found_truths,
    mean_recall_official,
    mean_recall_strict,
)
from longllava_domains.evaluate.fit_rsfg.complex.task_score import TaskScore
from longllava_domains.evaluate.fit_rsfg.rows import ItemToScore, ProtocolName, Verdict
from longllava_domains.evaluate.fit_rsfg.spans import between
from longllava_domains.evaluate.statistic import defined, mean_statistic

NO_TRIPLET: Final = "the answer holds no triplet that can be read"
NOT_A_NUMBER: Final = (
    "R is nan officially: no answer could be read, and unread answers are left out"
)
_EMPTY: Final = Graph([], [])


def region_graph(items: Sequence[ItemToScore], protocol: ProtocolName) -> TaskScore:
    """Score task 5: the relations of one region to its neighbours."""
    read = _region_official if protocol == "official" else _region_strict
    graphs = [read(item) if _has_boxes(item.truth) else _EMPTY for item in items]
    return _recall(graphs, protocol)


def image_graph(items: Sequence[ItemToScore], protocol: ProtocolName) -> TaskScore:
    """Score task 6: the scene graph of a chip, and the objects that stand alone."""
    naming = BY_NUMBER if protocol == "official" else BY_NAME
    graphs, rows, unread = [], [], 0
    for item in items:
        absent = "sorry" in item.truth or not _has_boxes(item.truth)
        truth = chip_graph(_without_sorry(item.truth), naming)
        answer = chip_graph(item.answer, naming)
        unread += answer.unread
        graphs.append(_EMPTY if absent else Graph(truth.triplets, answer.triplets))
        if protocol == "official":
            kept = not absent
            rows.append(official_row(truth.objects if kept else [], answer.objects))
        else:
            truths: Labelled = [] if absent else truth.objects
            rows.append(RowBoxes(truths, answer.objects, counts=_is_scored(item, absent)))
    recall, precision = _recall(graphs, protocol), mean_precision(rows)
    crashes = (f"{unread} sentences on which the official scorer crashes count as unparsed",)
    return TaskScore(
        {**recall.metrics, **precision.metrics},
        [
            verdict if verdict.score is not None or graph.truths else objects
            for verdict, objects, graph in zip(
                recall.verdicts, precision.verdicts, graphs, strict=True
            )
        ],
        recall.statistics,
        (*recall.notes, *(crashes if unread else ())),
    )


def _recall(graphs: Sequence[Graph], protocol: ProtocolName) -> TaskScore:
    """Score graphs; officially only those of which truth and answer hold a triplet."""
    unread = [bool(graph.truths) and not graph.answers for graph in graphs]
    if protocol == "official":
        counted = [graph if graph.truths and graph.answers else _EMPTY for graph in graphs]
    else:
        counted = list(graphs)
    found = found_truths(counted)
    recalls = [float(hits.mean()) if len(hits) else 0.0 for hits in found]
    scored = [bool(graph.truths) for graph in counted]
    verdicts = [
        Verdict(recall if counts else None, NO_TRIPLET if silent else "")
        for recall, counts, silent in zip(recalls, scored, unread, strict=True)
    ]
    if not any(graph.truths for graph in graphs):
        return TaskScore({}, verdicts)
    measure = mean_recall_official if protocol == "official" else mean_recall_strict
    statistics = defined(
        [
            ("R", mean_statistic(np.array(recalls), np.array(scored))),
            ("mR", measure(counted, found)),
        ]
    )
    metrics = {name: statistic.value for name, statistic in statistics.items()}
    notes = () if "R" in metrics else (NOT_A_NUMBER,)
    return TaskScore(metrics, verdicts, statistics, notes)


def _region_official(item: ItemToScore) -> Graph:
    return Graph(region_triplets_official(item.truth), region_triplets_official(item.answer))


def _region_strict(item: ItemToScore) -> Graph:
    """Compare the region's class too, where the truth states it."""
    region = region_class(item.truth)
    named = region_class(item.answer) if region else ""
    return Graph(
        region_triplets_strict(item.truth, region), region_triplets_strict(item.answer, named)
    )


def _is_scored(item: ItemToScore, absent: bool) -> bool:
    """A chip with nothing to find is scored strictly; a truth without boxes is no such chip."""
    return not absent or "sorry" in item.truth.lower()


def _has_boxes(text: str) -> bool:
    return any(True for _ in between(text, "{", "}", least=1))


def _without_sorry(text: str) -> str:
    return ". ".join(part for part in text.split(". ") if "sorry" not in part.lower())
