"""Report metrics of other packages, where the user installed them: absent, and said so, where not."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

from longllava_domains.errors import InputError, PolicyError

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class ExternalScores:
    """Scores of one metric of another package.

    Attributes:
        metric: Name.
        scores: One for each pair; None where the package could not read it.
        failures: Pairs without a score: they are in no mean.
    """

    metric: str
    scores: tuple[float | None, ...]
    failures: int

    @property
    def mean(self) -> float | None:
        """Mean over the pairs that have a score, None where none has."""
        known = [score for score in self.scores if score is not None]
        return sum(known) / len(known) if known else None


def _radeval(pairs: Pairs, weights: str) -> list[Any]:
    found = import_module("RadEval").RadEval(do_radgraph=True)
    return [
        found(refs=[written], hyps=[generated]).get("radgraph_partial")
        for generated, written in pairs
    ]


def _radgraph(pairs: Pairs, weights: str) -> list[Any]:
    scorer = import_module("radgraph").F1RadGraph(reward_level="partial", model_type=weights)
    _, each, *_ = scorer(hyps=[g for g, _ in pairs], refs=[w for _, w in pairs])
    return list(each)


def _ratescore(pairs: Pairs, weights: str) -> list[Any]:
    scorer = import_module("RaTEScore").RaTEScore(bert_model=weights)
    return list(scorer.compute_score([g for g, _ in pairs], [w for _, w in pairs]))


_METRICS: Final[Mapping[str, tuple[str, Callable[[Pairs, str], list[Any]]]]] = MappingProxyType(
    {
        "radeval": ("RadEval", _radeval),
        "radgraph": ("radgraph", _radgraph),
        "ratescore": ("RaTEScore", _ratescore),
    }
)


def available() -> dict[str, str]:
    """Return each metric of another package, and whether it is installed."""
    return {
        name: "installed" if find_spec(module) is not None else f"absent: pip install {module}"
        for name, (module, _) in _METRICS.items()
    }


def report_metric(metric: str, pairs: Pairs, *, weights: str) -> ExternalScores:
    """Score pairs of reports by a metric of another package.

    Args:
        metric: One of `available`.
        pairs: (generated, written) texts.
        weights: Folder or hub id of the metric's model, named by the user: nothing is fetched that
            nobody asked for.

    Raises:
        PolicyError: There is no such metric, it is not installed, or no weights are named.
        InputError: The package failed on all of them, or returned another number of scores.
    """
    if metric not in _METRICS:
        raise PolicyError(
            f"There is no metric {metric!r} of another package.",
            remedy=f"Choose one of {', '.join(_METRICS)}.",
            code="reports.metric",
        )
    module, score = _METRICS[metric]
    if find_spec(module) is None or not weights:
        raise PolicyError(
            f"{metric} is not installed, or no weights are named, so it is absent.",
            remedy=f"Run pip install {module}, and name its weights as a path or a hub id.",
            code="reports.metric_absent",
        )
    try:
        raw = score(pairs, weights)
    except Exception as error:  # what another package raises for a report is not documented
        raise InputError(
            f"{metric} failed on the reports.",
            remedy="Check its version and weights.",
            code="reports.metric_failed",
            facts={"error": type(error).__name__},
        ) from None
    if len(raw) != len(pairs):
        raise InputError(
            f"{metric} returned {len(raw)} scores for {len(pairs)} pairs.",
            remedy="Check its version.",
            code="reports.metric_failed",
        )
    scores = tuple(_number(value) for value in raw)
    return ExternalScores(metric, scores, scores.count(None))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
