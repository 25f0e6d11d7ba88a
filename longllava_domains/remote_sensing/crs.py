"""Coordinate systems: read from text, horizontal part only, and the way from one to another."""

from collections.abc import Callable
from typing import Any

from longllava_domains.errors import GeoreferenceError

Point = tuple[float, float]


def parse_crs(text: str | None) -> Any:
    """Return the pyproj CRS of an authority code or WKT.

    Raises:
        GeoreferenceError: There is none, it cannot be read, or it is tied to no planet.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    remedy = 'Pass crs="EPSG:..." to open_raster, or write the CRS to the file with gdal_edit.'
    if text is None:
        raise GeoreferenceError(
            "This raster does not say which CRS its coordinates are in.",
            remedy=remedy,
            code="raster.no_crs",
        )
    try:
        crs = CRS.from_user_input(text)
    except CRSError:
        crs = None
    if crs is None or crs.geodetic_crs is None:
        raise GeoreferenceError(
            "The CRS cannot be read, or is local and tied to no place on Earth.",
            remedy=remedy,
            code="raster.unreadable_crs",
        )
    return _horizontal(crs)


def _horizontal(crs: Any) -> Any:
    """Return the part of a CRS that places pixels, without a height.

    PROJ puts longitude first in a CRS with a datum shift (TOWGS84), and in one with a height, but not
    in one with both: the axes of that one stay swapped.
    """
    while True:
        if crs.is_compound:
            crs = crs.sub_crs_list[0]
        elif crs.is_bound and crs.source_crs.is_compound:
            crs = crs.source_crs
        else:
            return crs


def horizontal_text(text: str) -> str:
    """Return a CRS as text that every reader takes longitude first; most are that as they stand.

    Raises:
        GeoreferenceError: The CRS cannot be read.
    """
    from pyproj import CRS

    crs = parse_crs(text)
    swaps = crs.is_bound and crs != CRS.from_user_input(text)
    return str(crs.to_wkt()) if swaps else text


def between(source: str | None, target: str | None) -> Callable[[float, float], Point]:
    """Return the way from map coordinates of one CRS to another's; not finite where there is none.

    Raises:
        GeoreferenceError: A CRS cannot be read, or no way leads from one to the other.
    """
    if source == target:
        return lambda x, y: (x, y)
    transform = transformer(parse_crs(source), parse_crs(target)).transform
    return lambda x, y: tuple(transform(x, y))


def transformer(source: Any, target: Any) -> Any:
    """Return the pyproj transformer between two CRSs, easting or longitude first on both sides.

    Raises:
        GeoreferenceError: No way leads from one to the other.
    """
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError:
        raise GeoreferenceError(
            "No way leads from this CRS to the other one: they may lie on different planets.",
            remedy="Use map coordinates, or a CRS of the Earth.",
            code="raster.not_earth",
        ) from None
