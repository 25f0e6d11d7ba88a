"""Select the slices that a policy shows, and find a policy that shows no more than memory holds."""

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.slice_source import PlacedSlices, SliceStack
from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.errors import PolicyError

_STEP_MM: Final = 0.5  # a spacing that a person would name


def choose_slices(volume: SliceStack, policy: SlicePolicy) -> tuple[list[int], dict[str, int]]:
    """Choose slice numbers, head first, and count the slices left out by reason.

    Reasons: ``outside_range``, ``spacing``, ``count`` and ``max_views``.

    Raises:
        PolicyError: No slice lies in the range.
        GeometryError: The policy shows a grid, and the slices are on none.
    """
    left_out: dict[str, int] = {}
    slices = volume.slices(policy.at)
    chosen = list(range(slices.shape[0]))
    if policy.z_range_mm is not None:
        low, high = policy.z_range_mm
        chosen = [index for index in chosen if low <= slices.z_mm[index] <= high]
        _count(left_out, "outside_range", slices.shape[0] - len(chosen))
    if not chosen:
        raise PolicyError(
            "No slice lies in the range that the policy names.",
            remedy="Choose z_range_mm between the volume's ends, which the facts give.",
            code="policy.range",
            facts={"z_min_mm": float(slices.z_mm[-1]), "z_max_mm": float(slices.z_mm[0])},
        )
    if policy.spacing_mm is not None:
        chosen = _thin(chosen, _spaced(slices, chosen, policy.spacing_mm), left_out, "spacing")
    elif policy.count is not None:
        rule = medgemma_indices if policy.sampling == "medgemma" else _uniform
        chosen = _thin(chosen, rule(len(chosen), policy.count), left_out, "count")
    if policy.max_views is not None:
        budget = policy.max_views // len(policy.windows_shown)
        chosen = _thin(chosen, _uniform(len(chosen), budget), left_out, "max_views")
    return chosen, left_out


def medgemma_indices(slices: int, count: int = 85) -> list[int]:
    """Choose `count` of `slices` as the MedGemma 1.5 notebook does: the first is never shown."""
    if slices <= count:
        return list(range(slices))
    return [round(i / count * (slices - 1)) for i in range(1, count + 1)]


def within_views(volume: SliceStack, policy: SlicePolicy, views: int) -> SlicePolicy:
    """Return the policy with the closest spacing that shows a volume in at most `views` views.

    Args:
        volume: What is shown; nothing is decoded.
        policy: Its windows and range are kept, its count of slices gives way to the spacing.
        views: The most views, over all windows.

    Returns:
        The policy with ``spacing_mm``, a multiple of 0.5 mm, and ``max_views``; each of the two
        alone keeps to the views.

    Raises:
        PolicyError: Fewer views than windows, or a policy that cannot be followed at all.
    """
    windows = len(policy.windows_shown)
    if views < windows:
        raise PolicyError(
            f"{windows} windows cannot be shown in {views} views.",
            remedy="Choose fewer windows.",
            code="policy.views",
            facts={"windows": windows, "views": views},
        )
    every = replace(policy, spacing_mm=None, count=None, max_views=None)
    in_range, most = choose_slices(volume, every)[0], views // windows
    slices = volume.slices(policy.at)
    mean_mm = slices.spacing_mm or _mean_step_mm(slices)
    closest_mm = (len(in_range) - 0.5) * mean_mm / most if len(in_range) > most else _STEP_MM
    spacing_mm = max(1, math.floor(closest_mm / _STEP_MM)) * _STEP_MM
    while True:
        coarser = replace(every, spacing_mm=spacing_mm)
        if len(choose_slices(volume, coarser)[0]) <= most:
            return replace(coarser, max_views=views)
        spacing_mm += _STEP_MM


def _mean_step_mm(slices: PlacedSlices) -> float:
    return float(slices.z_mm[0] - slices.z_mm[-1]) / max(1, len(slices.z_mm) - 1)


def _thin(chosen: list[int], kept: list[int], left_out: dict[str, int], reason: str) -> list[int]:
    _count(left_out, reason, len(chosen) - len(kept))
    return [chosen[position] for position in kept]


def _count(left_out: dict[str, int], reason: str, slices: int) -> None:
    if slices:
        left_out[reason] = slices


def _spaced(slices: PlacedSlices, chosen: list[int], spacing_mm: float) -> list[int]:
    """Return the positions nearest to multiples of the spacing, each once; all if it is finer."""
    if slices.spacing_mm is None:
        return _nearest(slices.z_mm[chosen], spacing_mm)
    wanted = np.arange(0, len(chosen) - 0.5, max(spacing_mm / slices.spacing_mm, 1.0))
    return sorted({int(position) for position in np.floor(wanted + 0.5) if position < len(chosen)})


def _nearest(z_mm: NDArray[np.float64], spacing_mm: float) -> list[int]:
    """Return the positions nearest to multiples of the spacing from the first, each once."""
    wanted = np.arange(z_mm[0], z_mm[-1] - 0.5 * spacing_mm, -spacing_mm)
    return sorted({int(np.abs(z_mm - place).argmin()) for place in wanted})


def _uniform(slices: int, count: int) -> list[int]:
    """Return `count` positions spread from first to last; a single one is the middle."""
    if slices <= count:
        return list(range(slices))
    if count == 1:
        return [slices // 2]
    return [round(i * (slices - 1) / (count - 1)) for i in range(count)]
