"""An area of interest, as people write it: a box, a point or GeoJSON, in longitudes and latitudes."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.errors import GeoreferenceError, PolicyError
from longllava_domains.formats.regular_file import BadDocumentError, parse_json, read_json
from longllava_domains.remote_sensing.georeference import Georeference, PixelMap, Point
from longllava_domains.visual.strips import PixelWindow

Area = str | os.PathLike[str] | Sequence[float] | Mapping[str, Any]

# An edge of a box is a curve in most projections.
_PER_EDGE: Final = 16
# Pixels around a point: one chip.
AROUND_PX: Final = 512


@dataclass(frozen=True)
class ShiftedMap:
    """The map of a part of a raster.

    Attributes:
        whole: The map of the raster.
        column: Of the part's first pixel in the raster.
        row: Of the part's first pixel in the raster.
    """

    whole: PixelMap
    column: int
    row: int

    @property
    def kind(self) -> str:
        """As of the raster."""
        return self.whole.kind

    def forward(self, column: float, row: float) -> Point:
        """Return map (x, y)."""
        return self.whole.forward(column + self.column, row + self.row)

    def backward(self, x: float, y: float) -> Point:
        """Return pixel (column, row)."""
        column, row = self.whole.backward(x, y)
        return column - self.column, row - self.row


def area_points(area: Area) -> list[list[Point]]:
    """Return the outlines of an area in WGS 84 degrees; an outline of one point is a point.

    Args:
        area: ``"west,south,east,north"`` or ``"longitude,latitude"`` (or the numbers), GeoJSON as
            text or dictionary, or a path to a GeoJSON file. West may be larger than east: the box
            then crosses 180 degrees.

    Raises:
        PolicyError: It is none of these, or latitudes lie beyond the poles.
    """
    if isinstance(area, Mapping):
        outlines = list(_outlines(area))
    elif isinstance(area, (str, os.PathLike)):
        outlines = _from_text(os.fspath(area))
    else:
        outlines = _from_numbers([float(value) for value in area])
    points = [point for outline in outlines for point in outline]
    if not points or not all(abs(lat) <= 90 and abs(lon) <= 360 for lon, lat in points):
        raise _no_area()
    return outlines


def area_window(
    place: Georeference, size: tuple[int, int], area: Area, around_px: int = AROUND_PX
) -> PixelWindow:
    """Return the part of a raster that an area covers, whole pixels outward.

    Args:
        place: Where the raster lies.
        size: (width, height), pixels.
        area: As for `area_points`.
        around_px: Side of the part around a point.

    Raises:
        PolicyError: The area is none, or lies outside the raster.
        GeoreferenceError: The raster has no place on Earth.
    """
    outlines = area_points(area)
    try:
        low_column, low_row, high_column, high_row = _pixel_box(place, outlines, around_px)
    except GeoreferenceError as error:
        if error.code != "raster.off_map":
            raise
        raise _outside(place, size) from None
    left, top = max(0, math.floor(low_column)), max(0, math.floor(low_row))
    right, bottom = min(size[0], math.ceil(high_column)), min(size[1], math.ceil(high_row))
    if right <= left or bottom <= top:
        raise _outside(place, size)
    return PixelWindow(left, top, right - left, bottom - top)


def reaches_beyond(place: Georeference, size: tuple[int, int], area: Area) -> bool:
    """Return whether an area, or a part of it, lies more than a pixel outside the raster.

    Args:
        place: Where the raster lies.
        size: (width, height), pixels.
        area: As for `area_points`. Of a point, only the point counts, not what is shown around it.

    Raises:
        PolicyError: The area is none.
        GeoreferenceError: The raster has no place on Earth.
    """
    low_column, low_row, high_column, high_row = _pixel_box(place, area_points(area), 0)
    return min(low_column, low_row) < -1 or high_column > size[0] + 1 or high_row > size[1] + 1


def _pixel_box(
    place: Georeference, outlines: Sequence[Sequence[Point]], around_px: int
) -> tuple[float, float, float, float]:
    """Return the least and largest column and row of outlines: left, top, right, bottom."""
    boxes = []
    for outline in outlines:
        pixels = [place.lonlat_to_pixel(*point) for point in _densified(outline)]
        columns, rows = zip(*pixels, strict=True)
        half = 0
        if len(outline) == 1:
            half = around_px // 2
            columns, rows = (round(columns[0]),), (round(rows[0]),)
        boxes.append((min(columns) - half, min(rows) - half, max(columns) + half, max(rows) + half))
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def shifted(place: Georeference, window: PixelWindow) -> Georeference:
    """Return where a part of a raster lies."""
    if place.pixel_map is None:
        return place
    return Georeference(ShiftedMap(place.pixel_map, window.column, window.row), place.crs)


def _from_text(text: str) -> list[list[Point]]:
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if numbers:
        return _from_numbers(numbers)
    try:
        is_json = text.lstrip().startswith("{")
        document = parse_json(text) if is_json else read_json(text)
    except OSError:
        raise _no_file(text) from None
    except BadDocumentError:
        raise PolicyError(
            "The GeoJSON of the area of interest is damaged or cut short: it is not JSON.",
            remedy="Export it again, or give west,south,east,north or longitude,latitude in degrees.",
            code="raster.aoi",
        ) from None
    return list(_outlines(document))


def _from_numbers(numbers: Sequence[float]) -> list[list[Point]]:
    if len(numbers) == 2:
        return [[(numbers[0], numbers[1])]]
    if len(numbers) != 4:
        raise _no_area()
    west, south, east, north = numbers
    east += 360 if east < west else 0
    if south > north:
        raise _no_area()
    return [[(west, south), (east, south), (east, north), (west, north)]]


def _outlines(entry: Any) -> Iterator[list[Point]]:
    """Yield the outer rings and points of GeoJSON of any kind."""
    try:
        kind = entry["type"]
        if kind == "FeatureCollection":
            parts = entry["features"]
        elif kind == "Feature":
            parts = [entry["geometry"]]
        elif kind == "GeometryCollection":
            parts = entry["geometries"]
        else:
            parts = []
            for ring in _rings(kind, entry["coordinates"]):
                yield [(float(point[0]), float(point[1])) for point in ring]
    except (KeyError, IndexError, TypeError, ValueError):
        raise _no_area() from None
    for part in parts:
        yield from _outlines(part)


def _rings(kind: str, coordinates: Any) -> list[Any]:
    """Return the outer rings of a geometry; a point is a ring of one."""
    if kind == "Polygon":
        return list(coordinates[:1])
    if kind == "MultiPolygon":
        return [polygon[0] for polygon in coordinates]
    if kind == "MultiPoint":
        return [[point] for point in coordinates]
    return {"Point": [[coordinates]], "LineString": [coordinates]}[kind]


def _densified(outline: Sequence[Point]) -> list[Point]:
    if len(outline) < 2:
        return list(outline)
    edges = zip(outline, (*outline[1:], outline[0]), strict=True)
    return [
        (x0 + (x1 - x0) * step / _PER_EDGE, y0 + (y1 - y0) * step / _PER_EDGE)
        for (x0, y0), (x1, y1) in edges
        for step in range(_PER_EDGE)
    ]


def _outside(place: Georeference, size: tuple[int, int]) -> PolicyError:
    bounds = _bounds(place, size)
    where = ""
    if bounds is not None:
        west, south, east, north = bounds
        extent = max(min(east - west if west < east else 360 + east - west, north - south), 1e-6)
        digits = max(0, 2 - math.floor(math.log10(extent)))  # a hundredth of the raster, or finer
        said = ",".join(f"{degrees:.{digits}f}" for degrees in bounds)
        where = f", which lies in {said} (west, south, east, north)"
    return PolicyError(
        f"The area of interest lies outside the raster{where}.",
        remedy="Give a place inside it, with longitude before latitude.",
        code="raster.aoi_outside",
        facts=None if bounds is None else {"bounds": bounds},
    )


def _bounds(place: Georeference, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Return west, south, east and north of a raster; None where its border does not say them.

    West is larger than east where it crosses 180 degrees.
    """
    width, height = size
    border = _densified([(0, 0), (width, 0), (width, height), (0, height)])
    try:
        lons, lats = zip(*(place.pixel_to_lonlat(*point) for point in border), strict=True)
    except GeoreferenceError:
        return None
    path = [lons[0]]
    for lon in (*lons[1:], lons[0]):
        path.append(path[-1] + (lon - path[-1] + 180) % 360 - 180)
    if abs(path[-1] - path[0]) > 1:  # all around a pole, which lies inside
        return None
    west, east = min(path), max(path)
    turn = 360 * math.floor((west + 180) / 360)
    west, east = west - turn, east - turn
    return west, min(lats), east if east <= 180 else east - 360, max(lats)


def _no_file(text: str) -> PolicyError:
    if os.path.exists(text):
        return PolicyError(
            "The GeoJSON file of the area of interest cannot be read.",
            remedy="Check that it is a file and that you may read it.",
            code="raster.aoi",
        )
    return PolicyError(
        "The area of interest must be W,S,E,N or LON,LAT in degrees, or a GeoJSON file that is "
        "there, not a file that is not there.",
        remedy="Write four numbers or two with commas between them, or check the path of the file.",
        code="raster.aoi",
    )


def _no_area() -> PolicyError:
    return PolicyError(
        "This is no area of interest.",
        remedy='Give "west,south,east,north" or "longitude,latitude" in degrees, or GeoJSON.',
        code="raster.aoi",
    )
