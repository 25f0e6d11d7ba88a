"""Sensitivity, specificity, AUROC and calibration of one finding, with intervals over patients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.evaluate.result import Interval
from longllava_domains.evaluate.statistic import Floats

Booleans = NDArray[np.bool_]
_BINS: Final = 10
_CELLS_AT_ONCE: Final = 10_000_000
FIGURES: Final = ("sensitivity", "specificity", "auroc", "calibration_error", "brier")


@dataclass(frozen=True)
class Figure:
    """A number, and between which values the true one lies (95 %)."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Cell:
    """One finding in one group of scans.

    Attributes:
        patients: (with the finding, without); None where the cell is too small to be shown.
        figures: Name in `FIGURES` -> figure, as far as it can be shown.
    """

    patients: tuple[int, int] | None
    figures: dict[str, Figure]


@dataclass(frozen=True)
class Scans:
    """One finding of several scans.

    Attributes:
        truth: (scans,).
        scores: (scans,) probability, or margin where there is no calibration.
        called: (scans,) whether the finding counts as present.
        patients: (scans,) numbers from 0.
        are_probabilities: Whether calibration can be measured.
    """

    truth: Booleans
    scores: Floats
    called: Booleans
    patients: NDArray[np.int64]
    are_probabilities: bool

    def at(self, inside: Booleans) -> "Scans":
        """Return some of the scans."""
        return Scans(
            self.truth[inside], self.scores[inside], self.called[inside], self.patients[inside],
            self.are_probabilities,
        )  # fmt: skip

    def patient_counts(self) -> tuple[int, int]:
        """Return how many patients have the finding in a scan, and how many have a scan without."""
        return len(set(self.patients[self.truth])), len(set(self.patients[~self.truth]))


def measure(scans: Scans, smallest: int, draws: int, seed: int) -> Cell:
    """Measure a finding; what rests on fewer patients than `smallest` is not shown.

    Args:
        scans: Of one group.
        smallest: Least patients behind a figure.
        draws: Of patients, for the intervals.
        seed: Of the draws.
    """
    positive, negative = scans.patient_counts()
    wanted = []
    if positive >= smallest:
        wanted.append("sensitivity")
    if negative >= smallest:
        wanted.append("specificity")
    if min(positive, negative) >= smallest:
        wanted += ["auroc", *(("calibration_error", "brier") if scans.are_probabilities else ())]
    counts = None if min(positive, negative) < smallest else (positive, negative)
    if not wanted:
        return Cell(counts, {})
    whole = _all_figures(scans, np.ones((1, len(scans.truth))), wanted)
    parts = [_all_figures(scans, weights, wanted) for weights in _draw(scans.patients, draws, seed)]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in wanted}
    return Cell(counts, {name: _figure(whole[name], drawn[name]) for name in wanted})


def _figure(whole: Floats, drawn: Floats) -> Figure:
    values = drawn[np.isfinite(drawn)]
    value = float(whole[0])
    if not len(values):
        return Figure(value, Interval(value, value))
    low, high = np.quantile(values, (0.025, 0.975))
    return Figure(value, Interval(float(low), float(high)))


def _draw(patients: NDArray[np.int64], draws: int, seed: int) -> Iterator[Floats]:
    """Yield how often each scan is drawn when patients are, (some draws, scans) at a time."""
    _, own = np.unique(patients, return_inverse=True)
    count = int(own.max()) + 1
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS_AT_ONCE // len(patients))
    for start in range(0, draws, step):
        picked = generator.integers(0, count, (min(step, draws - start), count))
        times = np.stack([np.bincount(row, minlength=count) for row in picked])
        yield times[:, own].astype(np.float64)


def _all_figures(scans: Scans, weights: Floats, wanted: Sequence[str]) -> dict[str, Floats]:
    truth = scans.truth.astype(np.float64)
    hit = (scans.truth == scans.called).astype(np.float64)
    found = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        if "sensitivity" in wanted:
            found["sensitivity"] = weights @ (truth * hit) / (weights @ truth)
        if "specificity" in wanted:
            found["specificity"] = weights @ ((1 - truth) * hit) / (weights @ (1 - truth))
        if "auroc" in wanted:
            found["auroc"] = _aurocs(scans, weights)
        if "brier" in wanted:
            found["brier"] = weights @ (scans.scores - truth) ** 2 / weights.sum(axis=1)
            found["calibration_error"] = _calibration_errors(scans, weights)
    return found


def _aurocs(scans: Scans, weights: Floats) -> Floats:
    """Return the weighted share of pairs in the right order, ties counting half."""
    order = np.argsort(scans.scores, kind="stable")
    starts = np.flatnonzero(np.diff(scans.scores[order], prepend=-np.inf))
    sorted_weights, truth = weights[:, order], scans.truth[order]
    positive = np.add.reduceat(sorted_weights * truth, starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~truth, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    shares: Floats = (positive * (below + 0.5 * negative)).sum(axis=1) / pairs
    return shares


def _calibration_errors(scans: Scans, weights: Floats) -> Floats:
    """Return the mean distance of probability and share of positives in ten bins, by their weight."""
    bins = np.eye(_BINS)[np.minimum((scans.scores * _BINS).astype(int), _BINS - 1)]
    said = (weights * scans.scores) @ bins
    present = (weights * scans.truth) @ bins
    errors: Floats = np.abs(said - present).sum(axis=1) / weights.sum(axis=1)
    return errors
