"""Microns per pixel, proved: which field says so, whether it can be true, and whether fields agree.

A resolution that a converter wrote by default (72 dots per inch are 352.78 microns) is no
resolution of a microscope, and a slide without one is never read at a guess. Objective power is a
hint: the same 40x is 0.16 to 0.28 microns per pixel on different scanners.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from longllava_domains.errors import AmbiguousInputError, GeometryError, PolicyError

# From an oil immersion scan to a macro camera; 20x and 40x scans lie between 0.2 and 0.5.
LEAST_MPP: Final = 0.05
LARGEST_MPP: Final = 10.0
TOLERANCE: Final = 0.02
_GIVEN_REMEDY: Final = "Pass mpp= with the microns per pixel of the full resolution."
_MICRONS: Final = {
    "pm": 1e-6, "nm": 1e-3, "\u00b5m": 1.0, "\u03bcm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0,
    "mm": 1e3, "cm": 1e4, "m": 1e6, "in": 25400.0,
}  # fmt: skip
_INCH, _CENTIMETRE = 2, 3


@dataclass(frozen=True)
class MppEvidence:
    """Resolution as one field of a file states it.

    Attributes:
        field: Name of the field: ``"aperio_mpp"``, ``"ome_physical_size"``,
            ``"dicom_pixel_spacing"``, ``"tiff_resolution"`` or ``"openslide_mpp"``.
        x: Microns to a pixel along a row.
        y: Microns to a pixel along a column.
    """

    field: str
    x: float
    y: float

    @property
    def is_plausible(self) -> bool:
        """True where a microscope scanner can have this resolution."""
        return all(LEAST_MPP <= value <= LARGEST_MPP for value in (self.x, self.y))


@dataclass(frozen=True)
class Resolution:
    """A proved resolution.

    Attributes:
        mpp: Microns per pixel of level 0, the mean of both axes.
        source: Name of the field, or ``"argument"``.
        ignored: Fields that cannot be true and were not needed.
    """

    mpp: float
    source: str
    ignored: tuple[str, ...] = ()


def prove_mpp(evidence: Sequence[MppEvidence], given: float | None) -> Resolution:
    """Return the resolution that the evidence proves.

    Args:
        evidence: What the fields of the file say, the field made for it first.
        given: The user's word, which wins over every field.

    Raises:
        PolicyError: The user's word is no number from 0.05 to 10.
        GeometryError: No field says anything, none can be true, or both axes differ by over 2 %.
        AmbiguousInputError: Two fields that could be true differ by over 2 %.
    """
    if given is not None:
        return Resolution(_require_plausible(given), "argument")
    good = [found for found in evidence if found.is_plausible]
    bad = tuple(found.field for found in evidence if not found.is_plausible)
    if not good:
        raise _implausible(evidence[0]) if evidence else _missing()
    first = good[0]
    if _differ(first.x, first.y):
        raise GeometryError(
            f"Pixels are not square: {first.x:.4g} by {first.y:.4g} microns ({first.field}).",
            remedy=_GIVEN_REMEDY,
            code="slide.mpp_anisotropic",
            facts={"mpp_x": first.x, "mpp_y": first.y, "field": first.field},
        )
    for other in good[1:]:
        if _differ(first.x, other.x) or _differ(first.y, other.y):
            raise AmbiguousInputError(
                f"Two fields disagree about resolution: {first.field} says {first.x:.4g} microns "
                f"per pixel, {other.field} says {other.x:.4g}.",
                remedy=_GIVEN_REMEDY,
                code="slide.mpp_disagrees",
                facts={first.field: first.x, other.field: other.x},
            )
    return Resolution((first.x + first.y) / 2, first.field, bad)


def _require_plausible(given: float) -> float:
    good = isinstance(given, (int, float)) and not isinstance(given, bool)
    if not good or not LEAST_MPP <= given <= LARGEST_MPP:
        raise PolicyError(
            f"mpp= must be a number of microns per pixel, not {given}.",
            remedy=f"Pass a value from {LEAST_MPP} to {LARGEST_MPP:g}, such as 0.25.",
            code="slide.mpp_argument",
        )
    return float(given)


def _differ(one: float, other: float) -> bool:
    return abs(one - other) > TOLERANCE * min(one, other)


def _missing() -> GeometryError:
    return GeometryError(
        "Nothing in the slide says how large its pixels are.",
        remedy=_GIVEN_REMEDY,
        code="slide.mpp_missing",
    )


def _implausible(found: MppEvidence) -> GeometryError:
    return GeometryError(
        f"{found.x:.5g} by {found.y:.5g} microns per pixel ({found.field}) is no resolution of a "
        f"slide scanner ({LEAST_MPP} to {LARGEST_MPP:g}); 72 dots per inch give 352.78.",
        remedy=_GIVEN_REMEDY,
        code="slide.mpp_implausible",
        facts={"mpp_x": found.x, "mpp_y": found.y, "field": found.field},
    )


def number(text: object) -> float | None:
    """Return a finite number above 0 from a header's text, a comma taken as the decimal point."""
    match = re.fullmatch(r"\s*\+?(\d+(?:[.,]\d*)?(?:[eE][+-]?\d+)?)\s*", str(text))
    if match is None:
        return None
    value = float(match[1].replace(",", "."))
    return value if 0 < value < math.inf else None


def from_aperio(description: str) -> tuple[MppEvidence, ...]:
    """Read ``MPP = 0.4990`` of an Aperio description."""
    match = re.search(r"\|\s*MPP\s*=\s*([^|\r\n]+)", description)
    value = number(match[1]) if match else None
    return () if value is None else (MppEvidence("aperio_mpp", value, value),)


def from_ome(x: object, x_unit: str, y: object, y_unit: str) -> tuple[MppEvidence, ...]:
    """Read PhysicalSizeX and PhysicalSizeY of OME-XML; a missing axis is taken from the other."""
    sizes = [_microns(x, x_unit), _microns(y, y_unit)]
    known = [size for size in sizes if size is not None]
    if not known:
        return ()
    return (MppEvidence("ome_physical_size", sizes[0] or known[0], sizes[1] or known[0]),)


def _microns(value: object, unit: str) -> float | None:
    size, factor = number(value), _MICRONS.get(unit.strip())
    return None if size is None or factor is None else size * factor


def from_tiff(x: object, y: object, unit: int) -> tuple[MppEvidence, ...]:
    """Read XResolution and YResolution (rationals) with their ResolutionUnit.

    Without a unit (tag absent, or 1) the numbers are only a ratio and say nothing.
    """
    per_pixel = {_INCH: 25400.0, _CENTIMETRE: 10000.0}.get(unit)
    dots = [_rational(x), _rational(y)]
    if per_pixel is None or dots[0] is None or dots[1] is None:
        return ()
    return (MppEvidence("tiff_resolution", per_pixel / dots[0], per_pixel / dots[1]),)


def _rational(value: object) -> float | None:
    if isinstance(value, (tuple, list)) and len(value) == 2:
        top, bottom = value
        return float(top) / float(bottom) if top and bottom else None
    return number(value)
