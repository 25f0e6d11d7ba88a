"""The six complex tasks of FIT-RSFG under one protocol."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from longllava_domains.evaluate.fit_rsfg.complex.detection_tasks import (
    object_detection,
    object_reasoning,
)
from longllava_domains.evaluate.fit_rsfg.complex.graph_tasks import image_graph, region_graph
from longllava_domains.evaluate.fit_rsfg.complex.relations import (
    relation_detection,
    relation_reasoning,
)
from longllava_domains.evaluate.fit_rsfg.complex.task_score import TaskScore
from longllava_domains.evaluate.fit_rsfg.rows import ItemToScore, ProtocolName, ScoredRows, Verdict
from longllava_domains.evaluate.statistic import Statistic

TASKS: Final[Mapping[str, Callable[[Sequence[ItemToScore], ProtocolName], TaskScore]]] = (
    MappingProxyType(
        {
            "task1": object_detection,
            "task2": relation_detection,
            "task3": relation_reasoning,
            "task4": object_reasoning,
            "task5": region_graph,
            "task6": image_graph,
        }
    )
)

_CUT_SHORT: Final = ("due to the context length", "...")
NO_TASK: Final = "the category is none of task1 to task6"
TRUTH_CUT: Final = "the truth was cut short by its writer"


def score_complex(items: Sequence[ItemToScore], protocol: ProtocolName) -> ScoredRows:
    """Score each task that has rows; metrics are named ``task1/mAP``, ``task2/P`` and so on.

    A row whose truth was cut short for its length is left out under both protocols.
    """
    verdicts = [Verdict(None, _left_out(item)) for item in items]
    metrics: dict[str, float] = {}
    statistics: dict[str, Statistic] = {}
    notes: list[str] = []
    for task, score in TASKS.items():
        members = [
            index
            for index, item in enumerate(items)
            if item.category == task and not _is_cut(item.truth)
        ]
        found = score([items[index] for index in members], protocol)
        for index, verdict in zip(members, found.verdicts, strict=True):
            verdicts[index] = verdict
        metrics |= {f"{task}/{name}": value for name, value in found.metrics.items()}
        statistics |= {
            f"{task}/{name}": _over_all(statistic, members, len(items))
            for name, statistic in found.statistics.items()
        }
        notes += [f"{task}: {note}" for note in found.notes]
    return ScoredRows(metrics, verdicts, statistics, tuple(notes))


def _left_out(item: ItemToScore) -> str:
    return TRUTH_CUT if item.category in TASKS else NO_TASK


def _is_cut(truth: str) -> bool:
    return any(mark in truth for mark in _CUT_SHORT)


def _over_all(statistic: Statistic, members: Sequence[int], rows: int) -> Statistic:
    """Return a statistic over all rows, those of other tasks adding nothing."""
    table = np.zeros((rows, statistic.contributions.shape[1]))
    table[members] = statistic.contributions
    return Statistic(table, statistic.combine)
