"""Scores of prediction files, whoever made them, under named and versioned protocols."""

from longllava_domains.evaluate.bootstrap import difference, with_intervals
from longllava_domains.evaluate.card import save_card
from longllava_domains.evaluate.compare import Comparison, compare
from longllava_domains.evaluate.consistency import Reported, contradictions
from longllava_domains.evaluate.datasets import Dataset, load_dataset
from longllava_domains.evaluate.dispatch import PROTOCOLS, score
from longllava_domains.evaluate.explain import explain
from longllava_domains.evaluate.result import Result
from longllava_domains.evaluate.visual import baselines, score_beside, stand_beside

__all__ = [
    "PROTOCOLS",
    "Comparison",
    "Dataset",
    "Reported",
    "Result",
    "baselines",
    "compare",
    "contradictions",
    "difference",
    "explain",
    "load_dataset",
    "save_card",
    "score",
    "score_beside",
    "stand_beside",
    "with_intervals",
]


def __dir__() -> list[str]:
    return list(__all__)
