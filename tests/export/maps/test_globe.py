"""Outlines around poles, across 180 degrees and off the Earth's disc, in every format."""

import json
from dataclasses import replace

import geopandas
import pyarrow
import pyarrow.parquet
import pystac
import pytest
import shapely
from map_detections import findings, to_dateline

from longllava_domains.export.maps.geojson import geometry, write_geojson
from longllava_domains.export.maps.geopackage import write_geopackage
from longllava_domains.export.maps.geoparquet import write_geoparquet
from longllava_domains.export.maps.globe import globe_box
from longllava_domains.export.maps.stac import write_stac_item
from longllava_domains.remote_sensing.detections.polygons import lonlat_ring, view_ring
from longllava_domains.visual import MapPlace

GEOSTATIONARY = "+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=WGS84"


def scene(crs: str, left: float, top: float, step: float, size: int, down: int = -1) -> MapPlace:
    def to_map(column: float, row: float) -> tuple[float, float]:
        return left + step * column, top + down * step * row

    return MapPlace(0, 0, size, size, "tile", None, crs, to_map)


@pytest.mark.parametrize(
    ("crs", "left", "top", "step", "size", "down", "pole"),
    [
        ("EPSG:3413", -5e5, 5e5, 1000, 1000, -1, 90),
        ("EPSG:3413", -1e4, 5e3, 1000, 1000, -1, 90),  # the pole in a corner of the scene
        ("EPSG:3031", -5e5, 5e5, 1000, 1000, -1, -90),
        ("EPSG:3031", -5e5, -9.9e5, 1000, 1000, 1, -90),  # south-up: a mirror image
        ("+proj=laea +lat_0=90 +lon_0=0", -8.5e6, 8.5e6, 1e4, 1700, -1, 90),  # beyond the equator
    ],
)
@pytest.mark.parametrize("segments", [4, 32])
def test_a_scene_around_a_pole_covers_it(crs, left, top, step, size, down, pole, segments) -> None:
    """Family: rings once around the Earth; their box had no width, their parts shared an edge."""
    place = scene(crs, left, top, step, size, down)
    ring = lonlat_ring(place, view_ring(place), segments=segments)
    shape = shapely.geometry.shape(geometry(ring))
    assert shape.is_valid
    assert shape.contains(shapely.Point(12.3, pole * 0.9999))
    assert not shape.contains(shapely.Point(12.3, -pole * 0.9999))
    west, south, east, north = globe_box([ring])
    assert (west, east) == (-180, 180)
    assert pole in (south, north)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4269"])
@pytest.mark.parametrize("west", [-180, 0])
def test_the_whole_world_is_one_polygon(crs, west) -> None:
    """Family: rings once around the Earth, without a pole inside."""
    place = scene(crs, west, 90, 1, 360)
    place = replace(place, height=180)
    ring = lonlat_ring(place, view_ring(place))
    shape = shapely.geometry.shape(geometry(ring))
    assert shape.is_valid
    assert shape.area == pytest.approx(360 * 180)
    assert globe_box([ring]) == [-180, -90, 180, 90]


def test_a_full_disc_is_saved_with_what_is_known_of_it(tmp_path) -> None:
    """Family: places off the Earth; an overflow ended every writer."""
    found = findings(GEOSTATIONARY, lambda c, r: (-5.5e6 + 15000 * c, 5.5e6 - 15000 * r))
    write_geojson(tmp_path / "a.geojson", found)
    write_geopackage(tmp_path / "a.gpkg", found)
    write_geoparquet(tmp_path / "a.parquet", found)
    write_stac_item(tmp_path / "a.json", found)
    item = json.loads((tmp_path / "a.json").read_text())
    assert item["geometry"] is None
    assert "bbox" not in item
    shapes = [f["geometry"] for f in json.loads((tmp_path / "a.geojson").read_text())["features"]]
    assert len(shapes) == 2
    assert len(geopandas.read_file(tmp_path / "a.gpkg", layer="footprints")) == 4


def test_map_files_keep_longitudes_within_180(tmp_path) -> None:
    """Family: coordinates beyond the range of their CRS, in formats that keep the scene's CRS."""
    found = findings("EPSG:4326", to_dateline)
    write_geopackage(tmp_path / "a.gpkg", found)
    write_geoparquet(tmp_path / "a.parquet", found)
    layers = [
        geopandas.read_file(tmp_path / "a.gpkg", layer="footprints"),
        geopandas.read_parquet(tmp_path / "a.footprints.parquet"),
    ]
    for layer in layers:
        west, _, east, _ = layer.total_bounds
        assert (west, east) == (-180, 180)
        assert layer.geometry.is_valid.all()
        assert shapely.area(layer.geometry.values).sum() == pytest.approx(
            4 * (512e-5) ** 2, rel=0.5
        )
    geo = json.loads(
        pyarrow.parquet.read_schema(tmp_path / "a.footprints.parquet").metadata[b"geo"]
    )
    west, _, east, _ = geo["columns"]["geometry"]["bbox"]
    assert west == pytest.approx(179.999)
    assert east == pytest.approx(-180 + 0.00824)
    near = geopandas.read_parquet(tmp_path / "a.footprints.parquet", bbox=(-180, 9, -179.99, 10.1))
    assert len(near) > 0


def test_an_empty_layer_has_the_types_of_a_full_one(tmp_path) -> None:
    """Family: a column without values loses its type, and files of one search cannot be joined."""
    write_geoparquet(tmp_path / "full.parquet", findings())
    write_geoparquet(tmp_path / "empty.parquet", replace(findings(), detections=()))
    full, empty = (
        pyarrow.parquet.read_schema(tmp_path / name) for name in ("full.parquet", "empty.parquet")
    )
    assert [(field.name, field.type) for field in empty] == [(f.name, f.type) for f in full]
    assert not any(pyarrow.types.is_null(field.type) for field in empty)


def test_a_stac_item_around_a_pole_can_be_read(tmp_path) -> None:
    """Family: rings once around the Earth."""
    polar = findings("EPSG:3413", lambda c, r: (-4e5 + 1000 * c, 3e5 - 1000 * r))
    write_stac_item(tmp_path / "a.json", polar)
    item = pystac.Item.from_file(str(tmp_path / "a.json"))
    assert item.bbox[0] == -180
    assert item.bbox[2:] == [180, 90]
