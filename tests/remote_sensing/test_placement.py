"""A scene's place is proved when it is opened, or the scene is refused."""

import math
from pathlib import Path
from typing import Any

import hard_rasters as hard
import pytest
import raster_builder as builder
import rasterio
from affine import Affine
from pyproj import Transformer

from longllava_domains.errors import GeoreferenceError
from longllava_domains.remote_sensing import open_raster

CASES = Path(__file__).parents[3] / "shared" / "cases" / "remote_sensing"
real_files = pytest.mark.skipif(not CASES.is_dir(), reason="the shared small inputs are not here")


def swath(west: float) -> Any:
    """Longitudes and latitudes of a plate with a slight bend, written in -180..180."""

    def lonlat(column: float, row: float) -> tuple[float, float]:
        bend = 1e-9 * (column - 300) * (row - 200)
        lon = west + 0.002 * column + 0.0003 * row + bend
        return (lon + 180) % 360 - 180, -16 - 0.002 * row + 0.0003 * column

    return lonlat


@pytest.mark.parametrize("west", [179.0, 178.8, 179.99])
def test_control_points_on_both_sides_of_180_run_on(tmp_path, west) -> None:
    """Family: coordinates that jump by a turn are fitted as if they did not."""
    lonlat = swath(west)
    raster = open_raster(hard.control_points(tmp_path / "gcp.tif", lonlat))
    assert raster.report.codes["gcp.unwrapped"] == 1
    assert raster.report.numbers["gcp_residual_px"] < 0.05
    for column, row in [(0, 0), (350, 240), (builder.WIDTH, builder.HEIGHT)]:
        assert raster.pixel_to_lonlat(column, row) == pytest.approx(lonlat(column, row), abs=1e-4)
        back = raster.georeference.lonlat_to_pixel(*lonlat(column, row))
        assert math.dist(back, (column, row)) < 0.05
    with pytest.raises(GeoreferenceError, match="both sides of 180"):
        open_raster([tmp_path / "gcp.tif"] * 2)


def test_control_points_on_both_sides_of_greenwich_run_on_too(tmp_path) -> None:
    """Family: coordinates that jump by a turn; here they are written from 0 to 360."""

    def lonlat(column: float, row: float) -> tuple[float, float]:
        return (359.5 + 0.002 * column) % 360, 50 - 0.002 * row

    raster = open_raster(hard.control_points(tmp_path / "gcp.tif", lonlat))
    lon, lat = raster.pixel_to_lonlat(400, 100)
    assert (lon, lat) == pytest.approx((0.3, 49.8), abs=1e-4)


def test_one_wrong_control_point_is_noticed_or_refused(tmp_path) -> None:
    """Family: a map fitted to points that contradict each other."""
    fine = open_raster(hard.control_points(tmp_path / "fine.tif", swath(10)))
    assert "gcp.residual" not in fine.report.codes
    doubtful = open_raster(hard.control_points(tmp_path / "doubtful.tif", swath(10), bad_px=12))
    assert doubtful.report.codes["gcp.residual"] == 1
    assert doubtful.report.numbers["gcp_residual_px"] > 3
    for bad_px in (40, 400):
        path = hard.control_points(tmp_path / "wrong.tif", swath(10), bad_px=bad_px)
        with pytest.raises(GeoreferenceError, match="contradict") as refused:
            open_raster(path)
        assert refused.value.facts["residual_px"] > 20


def test_a_wide_swath_that_bends_more_than_a_polynomial_is_no_contradiction(tmp_path) -> None:
    """Family: good data refused; smooth points foretell each other."""

    def lonlat(column: float, row: float) -> tuple[float, float]:
        turn = (column - builder.WIDTH / 2) / builder.WIDTH * 3.6
        return 20 + 8 * math.tan(turn / 2.9) ** 3 + 4 * turn, 10 - 0.02 * row

    raster = open_raster(hard.control_points(tmp_path / "wide.tif", lonlat, across=25))
    assert raster.georeference.kind == "gcp-tps"
    assert raster.pixel_to_lonlat(100, 100) == pytest.approx(lonlat(100, 100), abs=0.2)


@pytest.mark.parametrize("shifted", ["geographic", "projected"])
def test_longitude_comes_first_whatever_a_crs_holds_besides(tmp_path, shifted) -> None:
    """Family: PROJ leaves the axes of a CRS swapped that has both a datum shift and a height."""
    if shifted == "geographic":
        crs, transform, place = hard.NAD83_SHIFTED, Affine(1e-5, 0, -105, 0, -1e-5, 40), (-105, 40)
    else:
        crs, transform = hard.SWEREF_SHIFTED, Affine(10, 0, 500000, 0, -10, 6500000)
        place = Transformer.from_crs(3006, 4326, always_xy=True).transform(500000, 6500000)
    for wkt in (crs, hard.with_height(crs)):
        tif = builder.write(tmp_path / "scene.tif", builder.scene(), transform=transform)
        with rasterio.open(tif) as dataset:
            a, b, c, d, e, f = tuple(dataset.transform)[:6]
        path = hard.vrt(
            tmp_path / "scene.vrt",
            ["scene.tif"] * 3,
            builder.WIDTH,
            builder.HEIGHT,
            crs=wkt,
            transform=f"{c},{a},{b},{f},{d},{e}",
        )
        raster = open_raster(path)
        assert raster.pixel_to_lonlat(0, 0) == pytest.approx(place, abs=1e-5)
        assert raster.resolution_m is not None
        pair = open_raster([path, path])
        assert pair.pixel_to_lonlat(0, 0) == pytest.approx(place, abs=1e-5)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 500000, 0, -10, 5400000),  # metres
        Affine(-1e-5, 0, 40, 0, 1e-5, -105),  # latitude first
        Affine(1, 0, -180, 0, 1, 90),  # rows that run on past the pole
        Affine(0.01, 0, 5000, 0, -0.01, 10),
    ],
)
def test_degrees_beyond_the_poles_are_refused(tmp_path, transform) -> None:
    """Family: coordinates that are not in the CRS that the file names."""
    with pytest.raises(GeoreferenceError) as refused:
        open_raster(hard.in_degrees(tmp_path / "scene.tif", transform))
    assert refused.value.code == "raster.beyond_poles"


def test_a_word_on_the_crs_opens_what_a_wrong_label_closed(tmp_path) -> None:
    """Family: coordinates that are not in the CRS that the file names; the user knows it."""
    path = hard.in_degrees(tmp_path / "scene.tif", builder.NORTH_UP)
    assert open_raster(path, crs=builder.UTM_31N).pixel_to_lonlat(0, 0)[0] == pytest.approx(3)


def test_values_at_the_poles_reach_half_a_pixel_beyond(tmp_path) -> None:
    """Family: good data refused; weather models store values at 90 degrees north itself."""
    step = 180 / (builder.HEIGHT - 1)
    grid = Affine(360 / builder.WIDTH, 0, -180, 0, -step, 90 + step / 2)
    raster = open_raster(hard.in_degrees(tmp_path / "grid.tif", grid))
    assert raster.pixel_to_lonlat(0, 0) == (-180, 90)
    assert raster.pixel_to_lonlat(0, raster.height) == (-180, -90)
    assert raster.pixel_to_map(0, 0)[1] > 90


def test_rpc_say_how_far_heights_move_the_scene(raster_file) -> None:
    """Family: a place that is exact only at one height."""
    numbers = open_raster(raster_file("rpc_only")).report.numbers
    assert numbers["rpc_height_range_m"] == 1000
    # The builder's terms move line and sample by a hundredth of their scales.
    assert 10 < numbers["rpc_horizontal_error_m"] < 100


@real_files
def test_real_scenes_lie_where_they_should() -> None:
    """Families: control points across 180 degrees; swapped axes."""
    lon, lat = open_raster(CASES / "gcp_dateline.tif").pixel_to_lonlat(640, 420)
    assert (lon, lat) == pytest.approx((179.984, -16.948), abs=1e-3)
    for name in ("towgs84_compound.tif", "towgs84_compound.vrt"):
        assert open_raster(CASES / name).pixel_to_lonlat(0, 0) == pytest.approx((-105, 40))
