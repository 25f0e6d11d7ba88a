"""Prove the geometry of a stack of slices from positions, or refuse with the numbers.

PS3.3 C.7.6.2.1.1. Order, spacing and tilt come from Image Position and Image Orientation
alone: slice thickness, spacing between slices, the gantry tilt tag, instance numbers and file
names are wrong too often.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.ct.orientation import PERPENDICULAR
from longllava_domains.errors import DamagedInputError, GeometryError, UnsupportedInputError

# A slice may be off the even grid by this much: rounding of positions to 0.1 mm is common.
GRID_TOLERANCE_MM: Final = 0.075
GRID_TOLERANCE: Final = 0.02  # of the spacing
SAME_PLACE_MM: Final = 0.01
_UNIT_TOLERANCE: Final = 1e-3
# Ends the remedy of whatever only keeps slices from being one array.
ACQUIRED_REMEDY: Final = ', or show the slices as they are: SlicePolicy(at="acquired").'

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Stack:
    """Slices in order along their normal, on an even grid.

    Attributes:
        headers: One for each slot, foot of the normal first; None for a slice that is missing.
        affine_lps_mm: (4, 4) from (slot, row, column) to LPS millimetres of voxel centres; its
            slot axis runs along the normal.
        shift_px: In-plane shift (rows, columns) of each slot that straightens a tilt; zeros
            where there is none.
        codes: Report codes.
        numbers: Report numbers.
    """

    headers: tuple[SliceHeader | None, ...]
    affine_lps_mm: NDArray[np.float64]
    shift_px: NDArray[np.float64]
    codes: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SliceArrangement:
    """Slices as they were acquired, and on an even grid where that is proved.

    Attributes:
        acquired: Every slice, in order; its affine has the mean spacing and is only good for
            directions.
        offsets_mm: Position of each acquired slice along the normal.
        grid: The slices on an even grid; None where it is refused.
        refusal: Why there is no grid.
    """

    acquired: Stack
    offsets_mm: NDArray[np.float64]
    grid: Stack | None
    refusal: GeometryError | None = None


@dataclass(frozen=True)
class Plane:
    """The common plane of a stack: unit vectors in LPS and the spacing in the plane.

    Attributes:
        along_row: Direction in which columns increase.
        along_column: Direction in which rows increase.
        normal: Their cross product.
        spacing_mm: Between rows, between columns.
    """

    along_row: Vector
    along_column: Vector
    normal: Vector
    spacing_mm: tuple[float, float]


def common_plane(headers: tuple[SliceHeader, ...]) -> Plane:
    """Return the plane that all slices share.

    Raises:
        GeometryError: Orientation or spacing is absent, unreadable, not orthonormal, or differs.
        UnsupportedInputError: A quadruped's axes.
    """
    if any(header.quadruped for header in headers):
        raise UnsupportedInputError(
            "The axes are those of an animal (Anatomical Orientation Type QUADRUPED).",
            remedy="Only human anatomy is read; convert the series to bipedal axes first.",
            code="ct.quadruped",
        )
    if any(header.frames > 1 and not header.grouped for header in headers):
        raise GeometryError(
            "A multi-frame image has no functional groups, so its frames have no place in space.",
            remedy="Export it as Enhanced CT or as single slices; no geometry is made up.",
            code="ct.multiframe_without_geometry",
            facts={"frames": max(header.frames for header in headers)},
        )
    _need(headers, "orientation", "Image Orientation (Patient)", 6, "ImageOrientationPatient")
    _need(headers, "position_mm", "Image Position (Patient)", 3, "ImagePositionPatient")
    _need(headers, "pixel_spacing_mm", "Pixel Spacing", 2, "PixelSpacing")
    orientations = np.array([header.orientation for header in headers])
    spacings = np.array([header.pixel_spacing_mm for header in headers])
    turned = float(np.abs(orientations - orientations[0]).max())
    if turned > 2 * _UNIT_TOLERANCE:
        raise _mixed("orientations", "ct.mixed_orientation", {"largest_difference": turned})
    if spacings.min() <= 0:
        raise GeometryError(
            "A slice gives a pixel spacing of zero or less.",
            remedy="Export the series again from the scanner or the archive.",
            code="ct.pixel_spacing",
        )
    if np.ptp(spacings, axis=0).max() > 1e-3 * spacings.min():
        raise _mixed("pixel spacings", "ct.mixed_spacing", {"largest_mm": float(spacings.max())})
    mean = orientations.mean(axis=0)
    row, column = mean[:3], mean[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(row @ column)) > _UNIT_TOLERANCE:
        raise GeometryError(
            "The image orientation is not two perpendicular unit vectors "
            f"(lengths {lengths[0]:.4f} and {lengths[1]:.4f}, product {row @ column:.4f}).",
            remedy="Export the series again from the scanner or the archive.",
            code="ct.orientation",
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    spacing = spacings.mean(axis=0)
    return Plane(row, column, np.cross(row, column), (float(spacing[0]), float(spacing[1])))


def _need(
    headers: tuple[SliceHeader, ...], name: str, spelled: str, count: int, keyword: str
) -> None:
    lacking = sum(len(getattr(header, name)) != count for header in headers)
    if lacking:
        bad = sum(keyword in header.bad for header in headers)
        raise GeometryError(
            f"{lacking} of {len(headers)} slices have no usable {spelled} ({bad} unreadable).",
            remedy="Export the series again with its geometry; an order cannot be guessed safely.",
            code="ct.no_position" if name == "position_mm" else f"ct.no_{name.removesuffix('_mm')}",
            facts={"slices": len(headers), "lacking": lacking, "unreadable": bad},
        )


def _mixed(what: str, code: str, facts: dict[str, float]) -> GeometryError:
    return GeometryError(
        f"The slices have different {what}.",
        remedy="Pass one series: ct.list_series(path) shows which there are.",
        code=code,
        facts=facts,
    )


def common_size(headers: tuple[SliceHeader, ...]) -> tuple[int, int]:
    """Return rows and columns.

    Raises:
        DamagedInputError: Absent, zero or different.
    """
    sizes = {(header.rows, header.columns) for header in headers}
    rows, columns = next(iter(sizes))
    if len(sizes) > 1 or not rows or not columns:
        raise DamagedInputError(
            "The slices do not agree about their rows and columns, or do not give them.",
            remedy="Export the series again from the scanner or the archive.",
            code="ct.size",
            facts={"sizes": len(sizes)},
        )
    return rows, columns


def tilt_of(offsets: Vector, places: NDArray[np.float64], plane: Plane) -> Vector:
    """Return the in-plane drift per millimetre along the normal, as an LPS vector.

    Raises:
        GeometryError: Slices are shifted in their plane without following a line.
    """
    in_plane = places - np.outer(places @ plane.normal, plane.normal)
    centred = offsets - offsets.mean()
    drift = centred @ in_plane / (centred @ centred)
    residual = in_plane - in_plane.mean(axis=0) - np.outer(centred, drift)
    stray_mm = float(np.abs(residual).max())
    if stray_mm > max(2 * GRID_TOLERANCE_MM, 0.2 * min(plane.spacing_mm)):
        raise GeometryError(
            f"Slices are shifted sideways against each other by up to {stray_mm:.2f} mm.",
            remedy="They do not form one volume; check whether images of two series are mixed.",
            code="ct.sideways",
            facts={"stray_mm": round(stray_mm, 3)},
        )
    return np.asarray(drift)


def is_tilted(drift: Vector) -> bool:
    """Return whether the stack leans more than a grid of perpendicular axes may."""
    return bool(np.linalg.norm(drift) > PERPENDICULAR)


def tilt_deg(drift: Vector) -> float:
    """Return the angle between the stack and the slice normal, degrees."""
    return float(np.degrees(np.arctan(np.linalg.norm(drift))))
