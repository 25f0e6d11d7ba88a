"""The distances between slices: one even grid, with holes or without, or what else they are."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.dicom.geometry.stack import (
    ACQUIRED_REMEDY,
    GRID_TOLERANCE,
    GRID_TOLERANCE_MM,
)
from longllava_domains.errors import Fact, GeometryError

# More would be inventing anatomy.
MAX_GAP: Final = 10
# So many equal steps in a row are a spacing of their own, not slices that happen to be missing.
_OWN_SPACING: Final = 3
_OWN_SPACING_AT_END: Final = 2
# A step counts as the base of a grid only where it is met this often.
_OFTEN: Final = 0.2


@dataclass(frozen=True)
class SliceGrid:
    """Positions of slices on an even grid.

    Attributes:
        slots: Slot of each slice, from 0.
        spacing_mm: Distance between slots.
        uneven_mm: Largest distance of a slice from its slot.
        missing: Slots without a slice.
    """

    slots: NDArray[np.intp]
    spacing_mm: float
    uneven_mm: float
    missing: int


def grid_of(offsets: NDArray[np.float64], most_missing: int) -> SliceGrid:
    """Lay sorted positions on an even grid.

    Args:
        offsets: Positions along the normal, millimetres, no two the same.
        most_missing: How many slices in a row may be missing.

    Raises:
        GeometryError: ``ct.uneven_spacing`` or ``ct.gap``, with what was found.
    """
    steps = np.diff(offsets)
    facts: dict[str, Fact] = {
        "slices": len(offsets),
        "smallest_mm": round(float(steps.min()), 4),
        "largest_mm": round(float(steps.max()), 4),
    }
    _refuse_several_spacings(steps, facts)
    fits = [_fit(offsets, steps, base) for base in _bases(steps)]
    # The smallest step fits nearly anything, with more holes than slices.
    fits = [fit for fit in fits if fit is fits[0] or fit.missing < len(offsets)]
    grid = next((fit for fit in fits if fit.uneven_mm <= _allowed(fit.spacing_mm)), None)
    if grid is None:
        raise GeometryError(
            f"The distance between slices varies from {steps.min():.3f} to {steps.max():.3f} mm, "
            "and the slices lie on no even grid.",
            remedy="Export a reconstruction with even spacing, check that one series was passed"
            f"{ACQUIRED_REMEDY}",
            code="ct.uneven_spacing",
            facts=facts,
        )
    widest = int(np.diff(grid.slots).max()) - 1
    if grid.missing and widest > most_missing:
        few = f', pass repair=("gaps:{widest}",) to interpolate them' if widest <= MAX_GAP else ""
        raise GeometryError(
            f"{grid.missing} slices are missing between others ({widest} in a row at most).",
            remedy=f"Send the series again{few}{ACQUIRED_REMEDY}",
            code="ct.gap",
            facts={**facts, "missing": grid.missing, "in_a_row": widest},
        )
    return grid


def _allowed(spacing_mm: float) -> float:
    return max(GRID_TOLERANCE_MM, GRID_TOLERANCE * spacing_mm)


def _bases(steps: NDArray[np.float64]) -> list[float]:
    """Return the steps that a grid may be made of.

    With a few gaps, the lower median is still the true step; with many, the smallest step is,
    where it is no exception.
    """
    median = float(np.sort(steps)[(len(steps) - 1) // 2])
    smallest = float(steps.min())
    often = int((np.abs(steps - smallest) <= _allowed(smallest)).sum())
    is_common = often >= max(2.0, _OFTEN * len(steps)) and smallest > 4 * GRID_TOLERANCE_MM
    return [median, smallest] if is_common else [median]


def _fit(offsets: NDArray[np.float64], steps: NDArray[np.float64], base: float) -> SliceGrid:
    counts = np.clip(np.rint(steps / base), 1, 1_000_000).astype(np.intp)
    slots = np.concatenate([[0], np.cumsum(counts)])
    # The straight line of least squares: the ends alone would carry their rounding into it.
    centred = slots - slots.mean()
    spacing = float(centred @ offsets / (centred @ centred))
    stray = offsets - slots * spacing
    uneven_mm = float(np.abs(stray - stray.mean()).max())
    return SliceGrid(slots, spacing, uneven_mm, int(counts.sum() - len(counts)))


def _refuse_several_spacings(steps: NDArray[np.float64], facts: dict[str, Fact]) -> None:
    """Refuse a stack whose parts have a spacing each, and say which."""
    runs = _runs(steps)
    enough = [
        (length, mm)
        for place, (length, mm) in enumerate(runs)
        if length >= (_OWN_SPACING_AT_END if place in (0, len(runs) - 1) else _OWN_SPACING)
    ]
    differ = any(abs(a - b) > _allowed(min(a, b)) * 2 for (_, a), (_, b) in pairwise(enough))
    if not differ or sum(length for length, _ in enough) < 0.75 * len(steps):
        return
    counted = ", then ".join(f"{length} of {mm:.3g} mm" for length, mm in enough)
    raise GeometryError(
        f"The slices have several spacings: {counted} between neighbours.",
        remedy="Export a reconstruction with one spacing, or the parts as series of their own"
        f"{ACQUIRED_REMEDY}",
        code="ct.uneven_spacing",
        facts={
            **facts,
            "spacings_mm": tuple(round(mm, 3) for _, mm in enough),
            "steps": tuple(length for length, _ in enough),
        },
    )


def _runs(steps: NDArray[np.float64]) -> list[tuple[int, float]]:
    """Return (length, mean) of the runs of equal steps."""
    runs: list[list[float]] = []
    for step in map(float, steps):
        if runs and abs(step - np.mean(runs[-1])) <= 2 * _allowed(float(np.mean(runs[-1]))):
            runs[-1].append(step)
        else:
            runs.append([step])
    return [(len(run), float(np.mean(run))) for run in runs]
