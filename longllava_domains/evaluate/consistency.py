"""Numbers that cannot belong together: accuracy, precision, recall, F1 and prevalence.

Published values are rounded, so each stands for an interval, and a contradiction is reported only
where no values within the rounding agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.statistic import Floats

ROUNDING: Final = 0.0005
"""Half a unit of the last digit of a percentage with one decimal."""

PREVALENCE_TOLERANCE: Final = 0.001


@dataclass(frozen=True)
class Reported:
    """A row of a table; fractions from 0 to 1, None where the table has no such column.

    Attributes:
        accuracy: Share of right calls.
        precision: Share of positive calls that are right.
        recall: Share of positives that are called.
        f1: Harmonic mean of the two.
    """

    accuracy: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None:
                _require_fraction(name, value)


def _require_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise PolicyError(
            f"{name} cannot be {value:g}.",
            remedy="Give fractions from 0 to 1: 86.7 % is 0.867.",
            code="evaluate.fraction",
        )


@checked
def contradictions(
    reported: Reported,
    prevalence: float | Sequence[float],
    *,
    rounding: float = ROUNDING,
    prevalence_tolerance: float = PREVALENCE_TOLERANCE,
) -> tuple[str, ...]:
    """Return why a row cannot come from data of this prevalence; empty if it can.

    Micro averages obey ``accuracy = 1 - prevalence * ((1 - R) + R * (1 - P) / P)``. With the
    prevalence of each label, macro averages are tried as well: the row contradicts them if its
    accuracy exceeds the largest that any labels with these mean precision and recall can have.

    Args:
        reported: The row.
        prevalence: Share of positives among all calls, or that of each label.
        rounding: How far each value may be from the one that was rounded.
        prevalence_tolerance: How far the prevalence may be off, as papers seldom say which
            volumes were used.
    """
    each = np.atleast_1d(np.asarray(prevalence, np.float64))
    for share in each.tolist():
        _require_fraction("prevalence", share)
    as_micro = (
        *_f1_contradiction(reported, rounding),
        *_accuracy_contradiction(reported, float(each.mean()), rounding, prevalence_tolerance),
    )
    p, r, accuracy = reported.precision, reported.recall, reported.accuracy
    if not as_micro or len(each) == 1 or p is None or r is None or accuracy is None:
        return as_micro
    bound = macro_accuracy_bound(p - rounding, r - rounding, each)
    if accuracy - rounding <= bound:
        return ()
    return (*as_micro, f"macro averages with these precision and recall reach {bound:.3f} at most")


def _accuracy_contradiction(
    reported: Reported, share: float, rounding: float, tolerance: float
) -> Sequence[str]:
    p, r, accuracy = reported.precision, reported.recall, reported.accuracy
    if p is None or r is None or accuracy is None:
        return ()
    values = [
        1 - (share + a * tolerance) * _errors_per_positive(
            min(max(p + b * rounding, 1e-9), 1), min(max(r + c * rounding, 0), 1)
        )
        for a, b, c in product((-1, 1), repeat=3)
    ]  # fmt: skip
    low, high = max(0.0, min(values)), min(1.0, max(values))
    if low - rounding <= accuracy <= high + rounding:
        return ()
    needed = (1 - accuracy) / max(_errors_per_positive(max(p, 1e-9), r), 1e-9)
    return (
        f"micro averages need a prevalence of {needed:.4f}, the data have {share:.4f}: "
        f"accuracy would be {low:.3f} to {high:.3f}, not {accuracy:.3f}",
    )


def macro_accuracy_bound(precision: float, recall: float, prevalences: Floats) -> float:
    """Return an accuracy that no labels with these mean precision and recall exceed.

    The Lagrangian dual of the largest mean accuracy: valid for any multipliers, and made small by
    searching them. Half a point is added for the grid on which precision and recall are tried.

    Args:
        precision: Mean over labels, at least.
        recall: Mean over labels, at least.
        prevalences: (labels,).
    """
    steps = np.linspace(0.001, 1, 120)
    p, r = (grid.ravel() for grid in np.meshgrid(steps, np.linspace(0, 1, 120)))
    accuracy = 1 - np.outer(prevalences, 1 - 2 * r + r / p)
    false_alarms = np.outer(prevalences, r * (1 - p) / p)
    accuracy[false_alarms > (1 - prevalences)[:, None]] = -np.inf

    def dual(multipliers: tuple[float, float]) -> float:
        reward = multipliers[0] * (p - precision) + multipliers[1] * (r - recall)
        return float((accuracy + reward).max(axis=1).mean())

    best = (0.0, 0.0)
    for width in (0.5, 0.1, 0.02):
        around = (
            [best[0] + width * k for k in range(-5, 6)],
            [best[1] + width * k for k in range(-5, 6)],
        )
        best = min(product(*around), key=dual)
    return dual(best) + 0.005


def _f1_contradiction(reported: Reported, rounding: float) -> Sequence[str]:
    p, r, f1 = reported.precision, reported.recall, reported.f1
    if p is None or r is None or f1 is None:
        return ()
    ends = [_harmonic(p + sign * rounding, r + sign * rounding) for sign in (-1, 1)]
    if ends[0] - rounding <= f1 <= ends[1] + rounding:
        return ()
    return (
        f"micro F1 of this precision and recall is {ends[0]:.3f} to {ends[1]:.3f}, not {f1:.3f}",
    )


def _errors_per_positive(precision: float, recall: float) -> float:
    return (1 - recall) + recall * (1 - precision) / precision


def _harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other > 0 else 0.0
