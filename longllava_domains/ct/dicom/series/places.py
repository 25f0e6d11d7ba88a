"""Relation of two sets of images under one series UID, along the slice normal."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.dicom.geometry.stack import (
    GRID_TOLERANCE,
    GRID_TOLERANCE_MM,
    SAME_PLACE_MM,
)
from longllava_domains.ct.dicom.header import SliceHeader

Relation = Literal[
    "adjoining", "completing", "interlaced", "overlapping", "apart", "other_plane", "unplaced"
]

# Gantry tilts stay below 30 degrees; above this, the images cut the body another way.
_SAME_PLANE_DEG: Final = 35.0
# Table steps overlap by a slice or two; reconstructions of one range by most of it.
_SEAM: Final = 0.25
# One step to the next set may be this much wider than the widest step or slice within them.
_REACH: Final = 1.6
# A step this much wider than the others leaves room for a slice.
_HOLE: Final = 1.5


def are_placed(headers: Sequence[SliceHeader]) -> bool:
    """Return whether every image has a position and an orientation."""
    return all(len(one.position_mm) == 3 and len(one.orientation) == 6 for one in headers)


def normal_of(header: SliceHeader) -> NDArray[np.float64]:
    """Return the slice normal in LPS, turned to the head, the back or the left."""
    normal = np.cross(header.orientation[:3], header.orientation[3:])
    length = float(np.linalg.norm(normal)) or 1.0
    return np.asarray(normal / length * (np.sign(normal[np.abs(normal).argmax()]) or 1.0))


def offsets_mm(headers: Sequence[SliceHeader], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sorted positions of images along a normal."""
    return np.sort(np.array([one.position_mm for one in headers]) @ normal)


def span_mm(headers: Sequence[SliceHeader]) -> tuple[float, float] | None:
    """Return the lowest and highest slice centre along the normal; None where one has no place.

    For axial slices that is z, rising to the head.
    """
    if not headers or not are_placed(headers):
        return None
    along = offsets_mm(headers, normal_of(headers[0]))
    return round(float(along[0]), 3), round(float(along[-1]), 3)


def relation(first: Sequence[SliceHeader], second: Sequence[SliceHeader]) -> Relation:
    """Say how two sets of images lie to each other.

    Returns:
        ``"adjoining"`` (one goes on where the other ends, with a slice or two in common at most),
        ``"completing"`` (one fills holes of the other), ``"interlaced"`` (no position in common,
        and both together are one even grid), ``"overlapping"`` (the same range twice),
        ``"apart"``, ``"other_plane"`` or ``"unplaced"``.
    """
    if not (are_placed(first) and are_placed(second)):
        return "unplaced"
    normal = normal_of(first[0])
    if abs(normal @ normal_of(second[0])) < np.cos(np.radians(_SAME_PLANE_DEG)):
        return "other_plane"
    ours, theirs = offsets_mm(first, normal), offsets_mm(second, normal)
    shared_mm = min(ours[-1], theirs[-1]) - max(ours[0], theirs[0])
    shorter_mm = min(float(np.ptp(ours)), float(np.ptp(theirs)))
    is_seam = shared_mm <= _SEAM * shorter_mm if shorter_mm else shared_mm < 0
    if is_seam:
        reach_mm = _REACH * max(_widest(first, ours), _widest(second, theirs))
        return "adjoining" if -shared_mm <= reach_mm else "apart"
    if not common_places(ours, theirs):
        if _fills(ours, theirs) or _fills(theirs, ours):
            return "completing"
        if _is_even(np.sort(np.concatenate([ours, theirs]))):
            return "interlaced"
    return "overlapping"


def common_places(first: NDArray[np.float64], second: NDArray[np.float64]) -> int:
    """Count the positions of the second that the first has too."""
    nearest = np.abs(second[:, None] - first[None, :]).min(axis=1)
    return int((nearest <= SAME_PLACE_MM).sum())


def step_mm(along: NDArray[np.float64]) -> float:
    """Return the lower median of the steps between sorted positions; 0 for a single one."""
    steps = np.diff(along)
    steps = np.sort(steps[steps > SAME_PLACE_MM])
    return float(steps[(len(steps) - 1) // 2]) if len(steps) else 0.0


def _widest(headers: Sequence[SliceHeader], along: NDArray[np.float64]) -> float:
    """Return the step or the slice thickness, whichever is wider."""
    return max(step_mm(along), *(one.thickness_mm or 0.0 for one in headers))


def _fills(holed: NDArray[np.float64], filling: NDArray[np.float64]) -> bool:
    """Return whether all of the second that lie within the first's range lie in its holes."""
    inside = filling[(filling > holed[0]) & (filling < holed[-1])]
    if not len(inside) or len(holed) < 3:
        return False
    above = np.searchsorted(holed, inside)
    return bool((holed[above] - holed[above - 1] > _HOLE * step_mm(holed)).all())


def _is_even(along: NDArray[np.float64]) -> bool:
    steps = np.diff(along)
    allowed = max(GRID_TOLERANCE_MM, GRID_TOLERANCE * float(steps.mean()))
    return bool(np.abs(steps - steps.mean()).max() <= 2 * allowed)
