"""Outlines in degrees brought onto the globe: cut at the antimeridian, and the box around them."""

import math
from collections.abc import Sequence
from typing import Final

from longllava_domains.boxes import Point, clip_half_plane, polygon_area
from longllava_domains.remote_sensing.detections.polygons import Ring

_SNAP_DEG: Final = 1e-9


def within_globe(ring: Ring) -> list[Ring]:
    """Return the parts of a ring moved into longitudes -180..180 and latitudes -90..90."""
    longitudes = [longitude for longitude, _ in ring]
    first = math.floor((min(longitudes) + 180) / 360)
    last = max(first, math.ceil((max(longitudes) + 180) / 360) - 1)
    parts = []
    for turn in range(first, last + 1):
        part: list[Point] = [(longitude - 360 * turn, latitude) for longitude, latitude in ring]
        for plane in ((1, 0, 180), (-1, 0, 180), (0, 1, 90), (0, -1, 90)):
            part = clip_half_plane(part, *plane)
        if polygon_area(part) != 0:
            parts.append(tuple(part))
    return _joined(parts) if max(longitudes) - min(longitudes) >= 360 else parts


def _joined(parts: list[Ring]) -> list[Ring]:
    """Join the parts of a ring once around the Earth where they meet again."""
    from shapely import Polygon, get_parts, union_all

    whole = union_all([Polygon(part) for part in parts], grid_size=_SNAP_DEG)
    return [tuple(polygon.exterior.coords[:-1]) for polygon in get_parts(whole)]


def globe_box(rings: Sequence[Ring]) -> list[float]:
    """Return west, south, east, north; west is larger across the antimeridian (RFC 7946, 5.2).

    Args:
        rings: Degrees; longitudes may run beyond 180. One at least.
    """
    parts = [part for ring in rings for part in within_globe(ring)]
    latitudes = [latitude for part in parts for _, latitude in part]
    spans = sorted((min(x for x, _ in part), max(x for x, _ in part)) for part in parts)
    west, east = _around(spans)
    return [west, min(latitudes), east, max(latitudes)]


def _around(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the ends of the widest gap that spans leave on the circle, seen from the other side."""
    gap, west, east = 0.0, -180.0, 180.0
    reached = spans[0][1]
    for start, end in spans[1:]:
        if start - reached > gap:
            gap, west, east = start - reached, start, reached
        reached = max(reached, end)
    # The gap at the antimeridian itself is no crossing.
    if spans[0][0] + 360 - reached >= gap:
        return spans[0][0], reached
    return west, east
