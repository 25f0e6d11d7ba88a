"""Outlines on the ground: a polygon in raster pixels as a ring of map or lon/lat coordinates.

A straight edge in the raster is a curve on another map, so edges are sampled and then kept only
as finely as the curve asks for.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from longllava_domains.boxes import Point, polygon_area
from longllava_domains.errors import GeoreferenceError
from longllava_domains.remote_sensing.crs import parse_crs
from longllava_domains.visual.place import MapPlace

if TYPE_CHECKING:
    from pyproj import Transformer

Ring = tuple[Point, ...]
"""Points in order, the first one not repeated."""

TOLERANCE_PX: Final = 0.05
"""How far, in raster pixels, a kept edge may lie from the true curve."""

# Samples whose longitudes are further apart may lie on either side of a pole.
_CERTAIN_DEG: Final = 60.0
_MOST_SEGMENTS: Final = 1024


@lru_cache(maxsize=32)
def _to_wgs84(crs: str) -> "Transformer":
    """Return the transformer from a CRS to WGS 84 longitude and latitude."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        return Transformer.from_crs(parse_crs(crs), "OGC:CRS84", always_xy=True)
    except ProjError:
        raise GeoreferenceError(
            "The raster's CRS has no way to longitude and latitude on Earth.",
            remedy="Save pixel coordinates with to_json().",
            code="raster.not_earth",
        ) from None


def lonlat(crs: str, points: Sequence[Point]) -> list[Point]:
    """Return WGS 84 (longitude, latitude) degrees of map points; infinite where undefined.

    Raises:
        GeoreferenceError: The CRS is unknown, or not of the Earth.
    """
    xs, ys = zip(*points, strict=True)
    longitudes, latitudes = _to_wgs84(crs).transform(xs, ys)
    return list(zip(longitudes, latitudes, strict=True))


def require_map(place: MapPlace) -> tuple[str, Callable[[float, float], Point]]:
    """Return the CRS and the pixel-to-map function of a place.

    Raises:
        GeoreferenceError: The raster has none.
    """
    if place.crs is None or place.pixel_to_map is None:
        raise GeoreferenceError(
            "The raster has no georeference, so nothing in it has map coordinates.",
            remedy="Save pixel coordinates with to_json(), or georeference the raster.",
            code="raster.no_georeference",
        )
    return place.crs, place.pixel_to_map


def view_ring(place: MapPlace) -> Ring:
    """Return the corners of a view's window in raster (column, row), clockwise on screen."""
    return tuple(place.view_to_pixel(x, y) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))


def map_ring(place: MapPlace, pixels: Sequence[Point], *, segments: int = 4) -> Ring | None:
    """Return a polygon in map coordinates, its edges curved where the georeference is.

    Args:
        place: Any view of the raster.
        pixels: Corners in raster (column, row).
        segments: Into how many pieces an edge is cut at most, a power of two.

    Returns:
        The ring, or None where the georeference is undefined for part of it.

    Raises:
        GeoreferenceError: The raster has no georeference.
    """
    _, to_map = require_map(place)
    samples = [to_map(*point) for point in _sampled(pixels, segments)]
    return _thin([*samples, samples[0]], pixels, segments)


def lonlat_ring(place: MapPlace, pixels: Sequence[Point], *, segments: int = 4) -> Ring | None:
    """Return a polygon in WGS 84 degrees, its edges as curved as the projection makes them.

    Longitudes run on across the antimeridian (179, 180, 181), never jump. A polygon around a
    pole gets the pole's line as its far edge.

    Args:
        place: Any view of the raster.
        pixels: Corners in raster (column, row).
        segments: Into how many pieces an edge is cut at most, a power of two.

    Returns:
        The ring, or None where the projection is undefined for part of it.

    Raises:
        GeoreferenceError: The raster has no georeference on Earth.
    """
    crs, to_map = require_map(place)

    def sampled(pieces: int) -> list[Point]:
        around = lonlat(crs, [to_map(*point) for point in _sampled(pixels, pieces)])
        return _unwrapped(around)

    ring = sampled(segments)
    while _leaps(ring) and segments < _MOST_SEGMENTS:
        segments *= 2  # longitudes turn fast beside a pole
        ring = sampled(segments)
    first, last = ring[0], ring[-1]
    whole = math.isfinite(last[0] - first[0])
    turns = round((last[0] - first[0]) / 360) if whole else 0
    closing = (first[0] + 360 * turns, first[1])
    outline = _thin([*ring, closing], pixels, segments)
    if turns and outline is not None:
        pole = 90.0 if _is_north_inside(place, pixels, turns) else -90.0
        outline = (*outline, closing, (closing[0], pole), (first[0], pole))
    return outline


def _unwrapped(around: Sequence[Point]) -> list[Point]:
    """Return points whose longitudes run on across the antimeridian; undefined ones stay so."""
    ring: list[Point] = []
    known = math.nan
    for longitude, latitude in around:
        if math.isfinite(known) and math.isfinite(longitude):
            longitude += 360 * round((known - longitude) / 360)
        known = longitude if math.isfinite(longitude) else known
        ring.append((longitude, latitude))
    return ring


def _leaps(ring: Sequence[Point]) -> bool:
    """Return whether longitudes jump so far between samples that their way is not certain."""
    steps = zip(ring, (*ring[1:], ring[0]), strict=True)
    jumps = [abs((b[0] - a[0] + 180) % 360 - 180) for a, b in steps]
    return any(jump > _CERTAIN_DEG for jump in jumps if math.isfinite(jump))


def _is_north_inside(place: MapPlace, pixels: Sequence[Point], turns: int) -> bool:
    """Return which pole an outline goes round: who walks it eastwards has the north on the left.

    On screen, an outline that runs clockwise has its inside on the right; on the ground too, unless
    the picture is a mirror image.
    """
    crs, to_map = require_map(place)
    column, row = pixels[0]
    here, right, below = lonlat(
        crs, [to_map(column, row), to_map(column + 1, row), to_map(column, row + 1)]
    )
    east = [(point[0] - here[0] + 180) % 360 - 180 for point in (right, below)]
    north = [point[1] - here[1] for point in (right, below)]
    is_mirrored = east[0] * north[1] - east[1] * north[0] > 0
    is_clockwise = polygon_area(pixels) > 0
    inside_on_left = is_clockwise == is_mirrored
    return inside_on_left == (turns > 0)


def _sampled(corners: Sequence[Point], segments: int) -> list[Point]:
    """Return `segments` points on each edge, beginning with its first corner."""
    points: list[Point] = []
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        for step in range(segments):
            share = step / segments
            points.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
    return points


def _thin(ring: list[Point], corners: Sequence[Point], segments: int) -> Ring | None:
    """Keep of each edge's samples as few as follow the curve; None where one is not finite."""
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in ring):
        return None
    kept: list[Point] = []
    for edge, corner in enumerate(corners):
        after = corners[(edge + 1) % len(corners)]
        curve = ring[edge * segments : (edge + 1) * segments + 1]
        pixels = max(math.dist(corner, after), 1.0)
        allowed = TOLERANCE_PX * math.dist(curve[0], curve[-1]) / pixels
        stride = segments
        while stride > 1 and _deviation(curve, stride) > allowed:
            stride //= 2
        kept.extend(curve[:segments:stride])
    return tuple(kept)


def _deviation(curve: Sequence[Point], stride: int) -> float:
    """Return how far samples lie from the chords between every `stride`-th of them."""
    worst = 0.0
    for start in range(0, len(curve) - 1, stride):
        (x0, y0), (x1, y1) = curve[start], curve[start + stride]
        for step in range(1, stride):
            share = step / stride
            x, y = curve[start + step]
            worst = max(worst, math.hypot(x - x0 - share * (x1 - x0), y - y0 - share * (y1 - y0)))
    return worst
