"""Order slices along their normal and lay them on an even grid, repairing only what was asked.

Repairs: ``"duplicates"`` keeps one of several pixel-identical slices, ``"gaps"`` (or
``"gaps:K"``) leaves a slot for each of up to K missing slices in a row, ``"tilt"`` shifts each
slice in its plane, ``"single"`` takes the thickness of a lone slice as its spacing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.dicom.geometry.stack import (
    GRID_TOLERANCE,
    GRID_TOLERANCE_MM,
    SAME_PLACE_MM,
    Plane,
    Stack,
    common_plane,
    is_tilted,
    tilt_deg,
    tilt_of,
)
from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.errors import Fact, GeometryError, PolicyError

REPAIRS: Final = ("tilt", "gaps", "duplicates", "single")
DEFAULT_GAP: Final = 3
# More would be inventing anatomy.
MAX_GAP: Final = 10


@dataclass(frozen=True)
class Repair:
    """What the user allowed.

    Attributes:
        tilt: Straighten a tilt.
        gap: Most missing slices in a row that may be made up.
        duplicates: Drop slices that are pixel-identical to one at the same place.
        single: Take a lone slice's thickness as its spacing.
    """

    tilt: bool = False
    gap: int = 0
    duplicates: bool = False
    single: bool = False


def parse_repair(names: tuple[str, ...]) -> Repair:
    """Read the names of repairs.

    Raises:
        PolicyError: An unknown name.
    """
    gap = 0
    for name in names:
        word, _, count = name.partition(":")
        if word == "gaps" and (not count or (count.isdecimal() and int(count) <= MAX_GAP)):
            gap = int(count or DEFAULT_GAP)
        elif name not in REPAIRS:
            raise PolicyError(
                "There is no such repair for DICOM.",
                remedy=f"Choose from {', '.join(REPAIRS)} (gaps:K for up to K slices in a row, "
                f"at most {MAX_GAP}).",
                code="ct.repair",
            )
    return Repair("tilt" in names, gap, "duplicates" in names, "single" in names)


@dataclass
class _Notes:
    codes: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


def verify_geometry(
    headers: tuple[SliceHeader, ...],
    repair: Repair,
    identical: Callable[[SliceHeader, SliceHeader], bool],
) -> Stack:
    """Lay slices on a proved grid.

    Args:
        headers: The slices, in any order.
        repair: What may be repaired.
        identical: Tells whether two slices have the same pixels.

    Returns:
        The stack, ordered along the slice normal.

    Raises:
        GeometryError: Absent or inconsistent positions, duplicates, gaps, uneven spacing or tilt
            beyond what `repair` allows.
    """
    plane = common_plane(headers)
    notes = _Notes()
    places = np.array([header.position_mm for header in headers])
    offsets = places @ plane.normal
    order = np.argsort(offsets, kind="stable")
    ordered = [headers[i] for i in order]
    ordered, kept = _without_duplicates(ordered, offsets[order], repair, identical, notes)
    offsets, places = offsets[order][kept], places[order][kept]
    if len(ordered) == 1:
        return _single(ordered[0], plane, repair, notes)
    slots, spacing = _grid_indices(offsets, repair, notes)
    drift = tilt_of(offsets, places, plane)
    start = _start(offsets, places, slots, spacing, drift, plane)
    shift = _straighten(drift, offsets, plane, slots, spacing, repair, notes)
    filled: list[SliceHeader | None] = [None] * (int(slots[-1]) + 1)
    for slot, header in zip(slots, ordered, strict=True):
        filled[slot] = header
    _compare_with_header(ordered, spacing, notes)
    affine = _affine(plane, start, plane.normal * spacing)
    return Stack(tuple(filled), affine, shift, notes.codes, notes.numbers)


def _without_duplicates(
    headers: list[SliceHeader],
    offsets: NDArray[np.float64],
    repair: Repair,
    identical: Callable[[SliceHeader, SliceHeader], bool],
    notes: _Notes,
) -> tuple[list[SliceHeader], list[int]]:
    """Return the slices to keep and their indices; several at one place are duplicates."""
    kept = [0]
    copies = different = 0
    for index in range(1, len(headers)):
        if offsets[index] - offsets[kept[-1]] > SAME_PLACE_MM:
            kept.append(index)
            continue
        copies += 1
        if not (repair.duplicates and identical(headers[kept[-1]], headers[index])):
            different += 1
    if copies and (different or not repair.duplicates):
        facts: dict[str, Fact] = {"slices": len(headers), "repeated": copies}
        if repair.duplicates:
            raise GeometryError(
                f"{different} of {copies} repeated slices differ in their pixels from the one at "
                "the same place.",
                remedy="Two phases or series are mixed; separate them before loading.",
                code="ct.duplicates_differ",
                facts={**facts, "different": different},
            )
        raise GeometryError(
            f"{copies} of {len(headers)} slices lie at the place of another one.",
            remedy='If they are copies, pass repair=("duplicates",); else separate the phases.',
            code="ct.duplicates",
            facts=facts,
        )
    if copies:
        notes.codes["repair.duplicates"] = copies
    return [headers[index] for index in kept], kept


def _single(header: SliceHeader, plane: Plane, repair: Repair, notes: _Notes) -> Stack:
    thickness = header.thickness_mm
    if not repair.single or not thickness or thickness <= 0:
        raise GeometryError(
            "There is only one slice, so the spacing between slices cannot be proved.",
            remedy='Pass the folder of the whole series, or repair=("single",) to take its '
            "slice thickness.",
            code="ct.single_slice",
            facts={"slices": 1, "has_thickness": bool(thickness)},
        )
    notes.codes["repair.single"] = 1
    affine = _affine(plane, np.array(header.position_mm), plane.normal * thickness)
    return Stack((header,), affine, np.zeros((1, 2)), notes.codes, notes.numbers)


def _grid_indices(
    offsets: NDArray[np.float64], repair: Repair, notes: _Notes
) -> tuple[NDArray[np.intp], float]:
    """Return each slice's slot on an even grid, and the grid's spacing in millimetres."""
    steps = np.diff(offsets)
    # The lower median: with a few gaps it is still the true step.
    base = float(np.sort(steps)[(len(steps) - 1) // 2])
    counts = np.clip(np.rint(steps / base), 1, 1_000_000).astype(np.intp)
    slots = np.concatenate([[0], np.cumsum(counts)])
    # The straight line of least squares: the ends alone would carry their rounding into it.
    centred = slots - slots.mean()
    spacing = float(centred @ offsets / (centred @ centred))
    stray = offsets - slots * spacing
    stray_mm = float(np.abs(stray - stray.mean()).max())
    facts: dict[str, Fact] = {
        "slices": len(offsets),
        "smallest_mm": round(float(steps.min()), 4),
        "largest_mm": round(float(steps.max()), 4),
    }
    if stray_mm > max(GRID_TOLERANCE_MM, GRID_TOLERANCE * spacing):
        raise GeometryError(
            f"The distance between slices varies from {steps.min():.3f} to {steps.max():.3f} mm "
            "and is no multiple of one spacing.",
            remedy="Export a reconstruction with even spacing; check that one series was passed.",
            code="ct.uneven_spacing",
            facts=facts,
        )
    missing, widest = int(counts.sum() - len(counts)), int(counts.max() - 1)
    if missing and widest > repair.gap:
        few = (
            f', or pass repair=("gaps:{widest}",) to interpolate them' if widest <= MAX_GAP else ""
        )
        raise GeometryError(
            f"{missing} slices are missing between others ({widest} in a row at most).",
            remedy=f"Send the series again{few}.",
            code="ct.gap",
            facts={**facts, "missing": missing, "in_a_row": widest},
        )
    if missing:
        notes.codes["repair.gaps"] = missing
    notes.numbers |= {"spacing_mm": round(spacing, 6), "uneven_mm": round(stray_mm, 6)}
    return slots, spacing


def _start(
    offsets: NDArray[np.float64],
    places: NDArray[np.float64],
    slots: NDArray[np.intp],
    spacing: float,
    drift: NDArray[np.float64],
    plane: Plane,
) -> NDArray[np.float64]:
    """Return the position of slot 0: the mean over all slices, less rounding than any one."""
    along = float((offsets - slots * spacing).mean())
    middle = (offsets[0] + offsets[-1]) / 2
    in_plane = places - np.outer(places @ plane.normal, plane.normal)
    # A tilted stack is straightened around its middle, which stays where it is.
    centred = in_plane - np.outer(offsets - middle, drift)
    return np.asarray(centred.mean(axis=0) + along * plane.normal)


def _straighten(
    drift: NDArray[np.float64],
    offsets: NDArray[np.float64],
    plane: Plane,
    slots: NDArray[np.intp],
    spacing: float,
    repair: Repair,
    notes: _Notes,
) -> NDArray[np.float64]:
    """Return the shift of each slot in rows and columns."""
    count = int(slots[-1]) + 1
    shift = np.zeros((count, 2))
    angle = tilt_deg(drift)
    notes.numbers["tilt_deg"] = round(angle, 4)
    if not is_tilted(drift):
        return shift
    if not repair.tilt:
        raise GeometryError(
            f"The stack is tilted by {angle:.1f} degrees against its slices (gantry tilt).",
            remedy='Pass repair=("tilt",) to resample it to a straight volume.',
            code="ct.tilt",
            facts={"tilt_deg": round(angle, 3)},
        )
    notes.codes["repair.tilt"] = 1
    along = offsets[0] + np.arange(count) * spacing - (offsets[0] + offsets[-1]) / 2
    shift[:, 0] = along * (drift @ plane.along_column) / plane.spacing_mm[0]
    shift[:, 1] = along * (drift @ plane.along_row) / plane.spacing_mm[1]
    return shift


def _compare_with_header(headers: list[SliceHeader], spacing: float, notes: _Notes) -> None:
    """Count what the header claims about spacing against what the positions show."""
    claims = [header.header_spacing_mm for header in headers]
    differs = sum(
        1 for claim in claims if claim is not None and abs(abs(claim) - spacing) > 0.01 * spacing
    )
    if differs:
        notes.codes["geometry.header_spacing_differs"] = differs
    numbers = sorted(
        header.instance_number for header in headers if header.instance_number is not None
    )
    if len(numbers) == len(headers) and numbers[-1] - numbers[0] + 1 > len(numbers):
        notes.codes["geometry.instance_numbers_skip"] = numbers[-1] - numbers[0] + 1 - len(numbers)


def _affine(
    plane: Plane, start: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = plane.along_column * plane.spacing_mm[0]
    affine[:3, 2] = plane.along_row * plane.spacing_mm[1]
    affine[:3, 3] = start
    return affine
