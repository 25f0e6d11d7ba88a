"""A part of a scene, by the area people name, looks and lies as it does in the whole."""

import json
from typing import Any

import numpy as np
import pytest

from longllava_domains.errors import LongLlavaError, PolicyError
from longllava_domains.remote_sensing import open_raster


def box_of(raster, left, top, right, bottom) -> Any:
    corners = [raster.pixel_to_lonlat(*p) for p in ((left, top), (right, top), (right, bottom), (left, bottom))]  # fmt: skip
    lons, lats = zip(*corners, strict=True)
    return min(lons), min(lats), max(lons), max(lats)


@pytest.mark.parametrize("hazard", ["tiled", "south_up", "rotated", "gcp_only", "rpc_only",
                                    "lonlat_past_180", "strips_sixteen_rows"])  # fmt: skip
def test_a_part_lies_and_looks_as_in_the_whole(raster_file, hazard) -> None:
    """Family: options that only Python had; a part must keep place and stretch."""
    whole = open_raster(raster_file(hazard))
    if hazard == "lonlat_past_180":
        west, north = whole.pixel_to_lonlat(50, 60)
        east, south = whole.pixel_to_lonlat(300, 200)
        area = f"{west},{south},{east},{north}"  # east is smaller: across 180 degrees
        assert east < west
    else:
        area = box_of(whole, 50, 60, 300, 200)
    part = whole.within(area)
    column, row = (int(part.report.numbers[f"area_{axis}"]) for axis in ("column", "row"))
    assert part.pixel_to_map(3, 5) == pytest.approx(whole.pixel_to_map(column + 3, row + 5))
    assert part.stretch == whole.stretch
    assert part.width < whole.width or hazard in ("rotated", "gcp_only")
    seen = next(iter(part.chips(64, 0))).pixels
    views = list(whole.chips(64, 0))
    picture = np.vstack([
        np.hstack([v.pixels for v in views if v.place.row == top])
        for top in sorted({v.place.row for v in views})[:1]
    ])  # fmt: skip
    assert seen.shape == (64, 64, 3)
    if row == 0:
        np.testing.assert_array_equal(seen, picture[:64, column : column + 64])
    assert part.report.codes[f"georeference.{whole.georeference.kind}"] == 1


def test_every_way_to_name_an_area_means_the_same(tmp_path, raster_file) -> None:
    """Family: options that only Python had."""
    raster = open_raster(raster_file("tiled"))
    west, south, east, north = box_of(raster, 100, 100, 300, 250)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {}, "geometry": polygon}
    (tmp_path / "area.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": [feature]})
    )
    areas = [
        (west, south, east, north),
        f"{west},{south},{east},{north}",
        f"{west} {south} {east} {north}",
        polygon,
        json.dumps(feature),
        tmp_path / "area.geojson",
        {"type": "MultiPolygon", "coordinates": [[ring]]},
    ]
    sizes = {(part.width, part.height) for part in map(raster.within, areas)}
    assert len(sizes) == 1
    lon, lat = raster.pixel_to_lonlat(350, 240)
    around = raster.within(f"{lon},{lat}", around_px=100)
    assert (around.width, around.height) == (101, 101) or (around.width, around.height) == (
        100,
        100,
    )
    assert raster.within({"type": "Point", "coordinates": [lon, lat]}).width == 512  # one chip


@pytest.mark.parametrize("area", ["", "3", "1,2,3", "harbour", "3,50,4,49", {"type": "Circle"},
                                  "{", (1, 2, 3), "500,95", {"type": "Polygon", "coordinates": []},
                                  "10,10,11,11", "48.7,3.0,48.71,3.01"])  # fmt: skip
def test_what_is_no_area_of_the_scene_is_refused(raster_file, area) -> None:
    """Family: options that only Python had; latitude first lies elsewhere."""
    with pytest.raises(PolicyError):
        open_raster(raster_file("tiled")).within(area)
    with pytest.raises(LongLlavaError):
        open_raster(raster_file("no_georeference")).within("3,48,3.1,48.1")


@pytest.mark.parametrize(
    ("pixels", "is_beyond"),
    [((100, 100, 300, 250), False), ((-40, 100, 300, 250), True), ((100, 100, 300, 9000), True)],
)
def test_an_area_that_reaches_beyond_the_scene_is_noticed(raster_file, pixels, is_beyond) -> None:
    """Family: what was cut away without a word."""
    raster = open_raster(raster_file("tiled"))
    part = raster.within(box_of(raster, *pixels))
    assert ("area.cut" in part.report.codes) == is_beyond
    assert any("reaches beyond the scene" in notice for notice in part.notices) == is_beyond


def test_a_point_near_the_border_names_no_area_beyond_it(raster_file) -> None:
    """Family (neighbour): a point says where, and not how far around it."""
    raster = open_raster(raster_file("tiled"))
    assert "area.cut" not in raster.within(raster.pixel_to_lonlat(3, 3)).report.codes


@pytest.mark.parametrize("hazard", ["tiled", "gcp_only", "lonlat_past_180"])
def test_an_area_outside_is_told_where_the_scene_lies(raster_file, hazard) -> None:
    """Family: a refusal that does not say what was found; bounds that are given are accepted."""
    raster = open_raster(raster_file(hazard))
    with pytest.raises(PolicyError, match="which lies in ") as caught:
        raster.within("10,-60")
    part = raster.within(caught.value.facts["bounds"])
    assert (part.width, part.height) == (raster.width, raster.height)
