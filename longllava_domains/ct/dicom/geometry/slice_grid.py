"""Order slices along their normal and lay them on an even grid, repairing only what was asked.

Where no even grid is proved, the slices still are what was acquired: their order and places hold.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.dicom.geometry.repair import Repair
from longllava_domains.ct.dicom.geometry.spacing import SliceGrid, grid_of
from longllava_domains.ct.dicom.geometry.stack import (
    ACQUIRED_REMEDY,
    SAME_PLACE_MM,
    Plane,
    SliceArrangement,
    Stack,
    common_plane,
    is_tilted,
    tilt_deg,
    tilt_of,
)
from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.errors import Fact, GeometryError


@dataclass
class _Notes:
    codes: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


def arrange(
    headers: tuple[SliceHeader, ...],
    repair: Repair,
    identical: Callable[[SliceHeader, SliceHeader], bool],
    steps_mm: tuple[tuple[float, float], ...] = (),
) -> SliceArrangement:
    """Put slices in order, and on a proved grid where they lie on one.

    Args:
        headers: The slices, in any order.
        repair: What may be repaired.
        identical: Tells whether two slices have the same pixels.
        steps_mm: Ranges of the table steps of one scan that have positions in common, if the
            headers tell such steps apart.

    Returns:
        The slices in order along their normal, and their grid or why there is none.

    Raises:
        GeometryError: Absent or inconsistent positions, or slices at one place that nothing tells
            apart.
    """
    plane = common_plane(headers)
    notes = _Notes()
    places = np.array([header.position_mm for header in headers])
    offsets = places @ plane.normal
    order = np.argsort(offsets, kind="stable")
    ordered = [headers[i] for i in order]
    offsets, places = offsets[order], places[order]
    repeated = _repeated(offsets)
    if repeated:
        identical_ones = [i for i, j in repeated if repair.duplicates
                          and identical(ordered[j], ordered[i])]  # fmt: skip
        if len(identical_ones) == len(repeated):
            notes.codes["repair.duplicates"] = len(repeated)
            kept = np.delete(np.arange(len(ordered)), identical_ones)
            ordered = [ordered[i] for i in kept]
            offsets, places, repeated = offsets[kept], places[kept], []
        elif not steps_mm:
            raise _duplicates(len(ordered), len(repeated), len(identical_ones), repair)
    if len(ordered) == 1:
        stack = _single(ordered[0], plane, repair, notes)
        return SliceArrangement(stack, offsets, stack)
    acquired = _acquired(ordered, offsets, places, plane)
    even, refusal = _even(offsets, repeated, steps_mm, repair)
    try:
        drift = tilt_of(offsets, places, plane)
    except GeometryError as sideways:
        raise refusal or sideways from None
    notes.numbers["tilt_deg"] = round(tilt_deg(drift), 4)
    if even is not None and is_tilted(drift) and not repair.tilt:
        refusal = _tilted(drift)
    if even is None or refusal is not None:
        steps = np.diff(offsets)
        for name, step in (("smallest_step_mm", steps.min()), ("largest_step_mm", steps.max())):
            notes.numbers[name] = round(float(step), 4)
        acquired = replace(acquired, codes=notes.codes, numbers=notes.numbers)
        return SliceArrangement(acquired, offsets, None, refusal)
    grid = _on_grid(ordered, offsets, places, plane, drift, even, notes)
    return SliceArrangement(acquired, offsets, grid)


def _even(
    offsets: NDArray[np.float64],
    repeated: list[tuple[int, int]],
    steps_mm: tuple[tuple[float, float], ...],
    repair: Repair,
) -> tuple[SliceGrid | None, GeometryError | None]:
    """Return the even grid of the positions, or why there is none."""
    if repeated:
        return None, _steps_meet(len(offsets), len(repeated), steps_mm)
    try:
        return grid_of(offsets, repair.gap), None
    except GeometryError as refusal:
        return None, refusal


def _acquired(
    ordered: list[SliceHeader],
    offsets: NDArray[np.float64],
    places: NDArray[np.float64],
    plane: Plane,
) -> Stack:
    mean_mm = float(offsets[-1] - offsets[0]) / (len(offsets) - 1)
    affine = _affine(plane, places[0], plane.normal * mean_mm)
    return Stack(tuple(ordered), affine, np.zeros((len(ordered), 2)))


def _on_grid(
    ordered: list[SliceHeader],
    offsets: NDArray[np.float64],
    places: NDArray[np.float64],
    plane: Plane,
    drift: NDArray[np.float64],
    grid: SliceGrid,
    notes: _Notes,
) -> Stack:
    if grid.missing:
        notes.codes["repair.gaps"] = grid.missing
    notes.numbers |= {
        "spacing_mm": round(grid.spacing_mm, 6),
        "uneven_mm": round(grid.uneven_mm, 6),
    }
    shift = np.zeros((int(grid.slots[-1]) + 1, 2))
    if is_tilted(drift):
        notes.codes["repair.tilt"] = 1
        shift = _straighten(drift, offsets, plane, grid)
    filled: list[SliceHeader | None] = [None] * len(shift)
    for slot, header in zip(grid.slots, ordered, strict=True):
        filled[slot] = header
    _compare_with_header(ordered, grid.spacing_mm, notes)
    start = _start(offsets, places, grid.slots, grid.spacing_mm, drift, plane)
    affine = _affine(plane, start, plane.normal * grid.spacing_mm)
    return Stack(tuple(filled), affine, shift, notes.codes, notes.numbers)


def _repeated(offsets: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return (slice, the slice before it at the same place) of each that repeats a place."""
    repeated = []
    first = 0
    for index in range(1, len(offsets)):
        if offsets[index] - offsets[first] > SAME_PLACE_MM:
            first = index
        else:
            repeated.append((index, first))
    return repeated


def _duplicates(slices: int, repeated: int, identical: int, repair: Repair) -> GeometryError:
    """Return the refusal of slices that lie at the place of another one."""
    facts: dict[str, Fact] = {"slices": slices, "repeated": repeated}
    if repair.duplicates:
        different = repeated - identical
        return GeometryError(
            f"{different} of {repeated} repeated slices differ in their pixels from the one at "
            "the same place.",
            remedy="Two phases or series are mixed; separate them before loading.",
            code="ct.duplicates_differ",
            facts={**facts, "different": different},
        )
    return GeometryError(
        f"{repeated} of {slices} slices lie at the place of another one.",
        remedy='If they are copies, pass repair=("duplicates",); else separate the phases.',
        code="ct.duplicates",
        facts=facts,
    )


def _steps_meet(
    slices: int, repeated: int, steps_mm: tuple[tuple[float, float], ...]
) -> GeometryError:
    """Return the refusal to make one array of table steps that have positions in common."""
    ranges = " and ".join(f"{low:.1f} to {high:.1f} mm" for low, high in steps_mm)
    return GeometryError(
        f"The series is {len(steps_mm)} acquisitions that meet ({ranges}) and have {repeated} of "
        f"{slices} slices at one place.",
        remedy='If the pixels are the same, pass repair=("duplicates",)' + ACQUIRED_REMEDY,
        code="ct.part_of_series",
        facts={
            "slices": slices,
            "repeated": repeated,
            "ranges_mm": tuple(end for span in steps_mm for end in span),
        },
    )


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
    drift: NDArray[np.float64], offsets: NDArray[np.float64], plane: Plane, grid: SliceGrid
) -> NDArray[np.float64]:
    """Return the shift of each slot in rows and columns that undoes a tilt."""
    slots = np.arange(int(grid.slots[-1]) + 1)
    along = offsets[0] + slots * grid.spacing_mm - (offsets[0] + offsets[-1]) / 2
    down = along * (drift @ plane.along_column) / plane.spacing_mm[0]
    across = along * (drift @ plane.along_row) / plane.spacing_mm[1]
    return np.stack([down, across], axis=1)


def _tilted(drift: NDArray[np.float64]) -> GeometryError:
    angle = tilt_deg(drift)
    return GeometryError(
        f"The stack is tilted by {angle:.1f} degrees against its slices (gantry tilt).",
        remedy='Pass repair=("tilt",) to resample it to a straight volume' + ACQUIRED_REMEDY,
        code="ct.tilt",
        facts={"tilt_deg": round(angle, 3)},
    )


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
