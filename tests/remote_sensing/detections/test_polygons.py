"""Pixels reach the map and the globe along curves that are followed as closely as asked for."""

import math
from itertools import pairwise
from typing import Any

import pytest
from pyproj import Transformer

from longllava_domains.boxes import Point, polygon_area
from longllava_domains.errors import GeoreferenceError
from longllava_domains.remote_sensing.detections.polygons import (
    TOLERANCE_PX,
    lonlat_ring,
    map_ring,
    view_ring,
)
from longllava_domains.visual import MapPlace


def place(crs, left, top, metres, size=512) -> Any:
    def to_map(column: float, row: float) -> Point:
        return left + metres * column, top - metres * row

    return MapPlace(0, 0, size, size, "chip", metres, crs, to_map)


def test_small_affine_boxes_need_no_more_than_their_corners() -> None:
    here = place("EPSG:32631", 500_000, 5_400_000, 0.5)
    box = [(10.0, 10.0), (30.0, 12.0), (29.0, 22.0), (9.0, 20.0)]
    assert map_ring(here, box) == tuple((500_000 + c / 2, 5_400_000 - r / 2) for c, r in box)
    assert len(lonlat_ring(here, box)) == 4


def test_long_edges_are_densified_until_they_follow_the_curve() -> None:
    here = place("EPSG:32631", 200_000, 7_800_000, 100.0, 4000)  # 400 km at 70 degrees north
    ring = lonlat_ring(here, view_ring(here), segments=64)
    assert len(ring) > 12
    back = Transformer.from_crs("OGC:CRS84", "EPSG:32631", always_xy=True)
    points = [*ring, ring[0]]
    for (x0, y0), (x1, y1) in pairwise(points):
        x, y = back.transform((x0 + x1) / 2, (y0 + y1) / 2)
        column, row = (x - 200_000) / 100, (7_800_000 - y) / 100
        edges = (column, row, 4000 - column, 4000 - row)
        # Degrees of longitude shrink to the pole, so the tolerance in pixels is an order only.
        assert min(abs(edge) for edge in edges) < 4 * TOLERANCE_PX


def test_a_curved_georeference_bends_map_edges() -> None:
    def to_map(column: float, row: float) -> Point:
        return column + 1e-4 * row * row, -row

    here = MapPlace(0, 0, 512, 512, "chip", 1.0, "EPSG:32631", to_map)
    ring = map_ring(here, view_ring(here), segments=32)
    assert len(ring) > 8
    assert abs(polygon_area(ring)) == pytest.approx(512 * 512, rel=1e-3)


def test_longitudes_run_on_across_the_antimeridian() -> None:
    here = place("EPSG:32660", 720_000, 5_000_000, 100.0)
    ring = lonlat_ring(here, view_ring(here), segments=32)
    longitudes = [lon for lon, _ in ring]
    assert min(longitudes) < 180 < max(longitudes)
    assert max(longitudes) - min(longitudes) < 2


def test_a_whole_world_keeps_its_width() -> None:
    def to_map(column: float, row: float) -> Point:
        return -180 + column / 100, 90 - row / 100

    here = MapPlace(0, 0, 36_000, 18_000, "global", None, "EPSG:4326", to_map)
    assert lonlat_ring(here, view_ring(here), segments=32) == (
        (-180, 90), (180, 90), (180, -90), (-180, -90),
    )  # fmt: skip


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3031", -90), ("EPSG:3413", 90)])
def test_a_polygon_around_a_pole_holds_the_pole(crs, pole) -> None:
    here = place(crs, -100_000, 100_000, 1000.0, 200)
    ring = lonlat_ring(here, view_ring(here), segments=32)
    longitudes = [lon for lon, _ in ring]
    assert max(longitudes) - min(longitudes) == pytest.approx(360)
    assert [lat for _, lat in ring[-2:]] == [pole, pole]


def test_places_off_the_projection_have_no_ring() -> None:
    here = place("EPSG:3857", -2.0e7, 1e12, 100.0)
    off = MapPlace(0, 0, 9, 9, "chip", 1.0, "EPSG:3857", lambda c, r: (math.inf, r))
    assert lonlat_ring(off, view_ring(off)) is None
    assert map_ring(off, view_ring(off)) is None
    assert lonlat_ring(here, view_ring(here)) is not None


@pytest.mark.parametrize(
    "crs", [None, "nonsense", "+proj=longlat +a=3396190 +b=3376200 +no_defs", 'LOCAL_CS["x"]']
)
def test_rasters_without_a_place_on_earth_are_refused(crs) -> None:
    here = place(crs, 0, 0, 1.0)
    with pytest.raises(GeoreferenceError):
        lonlat_ring(here, view_ring(here))
