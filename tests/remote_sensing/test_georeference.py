"""Where pixels lie on Earth, both ways, whatever says so."""

import math
import pickle

import numpy as np
import pytest
import raster_builder as builder
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.control import GroundControlPoint

from longllava_domains.errors import GeoreferenceError
from longllava_domains.remote_sensing import open_raster
from longllava_domains.remote_sensing.georeference import AffineMap, Georeference

PLACED = ["tiled", "rotated", "south_up", "gcp_only", "rpc_only", "antimeridian", "lonlat_past_180"]


def to_lonlat(transform: Affine, crs: str, column: float, row: float) -> tuple[float, float]:
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(
        *(transform @ (column, row))
    )


@pytest.mark.parametrize("hazard", PLACED)
def test_the_way_to_the_map_and_back_is_exact(raster_file, hazard) -> None:
    place = open_raster(raster_file(hazard)).georeference
    for column, row in [(0, 0), (builder.WIDTH, builder.HEIGHT), (12.25, 400.5), (350, 3)]:
        back = place.map_to_pixel(*place.pixel_to_map(column, row))
        assert math.dist(back, (column, row)) < 0.01
        back = place.lonlat_to_pixel(*place.pixel_to_lonlat(column, row))
        assert math.dist(back, (column, row)) < 0.01


@settings(deadline=None, max_examples=80)
@given(
    angle=st.floats(-180, 180),
    across=st.floats(0.01, 1000),
    down=st.floats(0.01, 1000),
    flip=st.sampled_from([-1, 1]),
    column=st.floats(-1e5, 1e5),
    row=st.floats(-1e5, 1e5),
)
def test_any_affine_can_be_turned_round(angle, across, down, flip, column, row) -> None:
    transform = (
        Affine.translation(4e5, 5e6) @ Affine.rotation(angle) @ Affine.scale(across, flip * down)
    )
    place = AffineMap(*tuple(transform)[:6])
    assert place.forward(column, row) == pytest.approx(transform @ (column, row), abs=1e-6)
    assert place.backward(*place.forward(column, row)) == pytest.approx((column, row), abs=1e-3)


def test_pixel_zero_is_the_outer_corner(raster_file) -> None:
    raster = open_raster(raster_file("tiled"))
    assert raster.pixel_to_map(0, 0) == (500000.0, 5400000.0)
    assert raster.pixel_to_map(0.5, 0.5) == (500005.0, 5399995.0)
    lon, lat = raster.pixel_to_lonlat(0, 0)
    assert (lon, lat) == pytest.approx((3.0, 48.75301), abs=1e-4)  # longitude comes first


@pytest.mark.parametrize("hazard", ["rotated", "gcp_only"])
def test_rotation_and_control_points_say_the_same(raster_file, hazard) -> None:
    raster = open_raster(raster_file(hazard))
    for column, row in [(0, 0), (700, 480), (123.4, 56.7)]:
        expected = to_lonlat(builder.ROTATED, builder.UTM_31N, column, row)
        assert raster.pixel_to_lonlat(column, row) == pytest.approx(expected, abs=1e-6)
    across, down = raster.ground_size_m
    assert across / down == pytest.approx(10 / 8, rel=1e-4)
    assert raster.resolution_m == pytest.approx(math.sqrt(80) / 0.9996, rel=1e-3)


def test_noisy_control_points_are_met_by_a_spline(tmp_path) -> None:
    path = builder.gcp_only(tmp_path / "noisy.tif", noise_m=40)
    raster = open_raster(path)
    assert raster.georeference.kind == "gcp-tps"
    assert 1 < raster.report.numbers["gcp_residual_px"] < 20
    with rasterio.open(path) as dataset:
        for point in dataset.gcps[0]:
            assert raster.pixel_to_map(point.col, point.row) == pytest.approx(
                (point.x, point.y), abs=1e-3
            )
            back = raster.georeference.map_to_pixel(point.x, point.y)
            assert math.dist(back, (point.col, point.row)) < 0.01


def test_rpc_agree_with_their_own_polynomials(raster_file) -> None:
    path = raster_file("rpc_only")
    raster = open_raster(path)
    with rasterio.open(path) as dataset:
        rpc = dataset.rpcs
    for column, row in [(10.5, 20.5), (350.5, 240.5), (690.5, 480.5)]:
        lon, lat = raster.pixel_to_lonlat(column, row)
        lon_n, lat_n = (lon - rpc.long_off) / rpc.long_scale, (lat - rpc.lat_off) / rpc.lat_scale
        height_n = 0.0  # the height offset itself
        terms = [1, lon_n, lat_n, height_n, lon_n * lat_n, lon_n * height_n, lat_n * height_n,
                 lon_n**2, lat_n**2, height_n**2]  # fmt: skip
        line = np.dot(rpc.line_num_coeff[:10], terms) * rpc.line_scale + rpc.line_off
        sample = np.dot(rpc.samp_num_coeff[:10], terms) * rpc.samp_scale + rpc.samp_off
        # RPC count from the centre of the first pixel, we from its corner.
        assert (sample + 0.5, line + 0.5) == pytest.approx((column, row), abs=0.05)


def test_longitudes_stay_between_minus_180_and_180(raster_file) -> None:
    for hazard in ("lonlat_past_180", "antimeridian"):
        raster = open_raster(raster_file(hazard))
        west, _ = raster.pixel_to_lonlat(0, 0)
        east, _ = raster.pixel_to_lonlat(raster.width, 0)
        assert 179 < west < 180
        assert -180 <= east < -179


def test_a_place_beyond_180_is_found_by_any_of_its_names(raster_file) -> None:
    raster = open_raster(raster_file("lonlat_past_180"))
    column, row = raster.width - 3.5, 7.25
    lon, lat = raster.pixel_to_lonlat(column, row)
    assert lon < 0
    for name in (lon - 360, lon, lon + 360):
        back = raster.georeference.lonlat_to_pixel(name, lat)
        assert back == pytest.approx((column, row), abs=0.01)
    # Beside the raster is not once around the Earth.
    west, north = raster.pixel_to_lonlat(0, 0)
    assert raster.georeference.lonlat_to_pixel(west - 0.001, north)[0] < 0


def test_degrees_become_metres_on_the_ellipsoid(raster_file) -> None:
    across, down = open_raster(raster_file("lonlat_past_180")).ground_size_m
    # WGS 84 at 9.76 degrees north: 1 degree is 109,719 m along the parallel, 110,606 m along
    # the meridian.
    assert across == pytest.approx(109.72, abs=0.05)
    assert down == pytest.approx(110.61, abs=0.05)


def test_without_a_georeference_pixels_are_all_there_is(raster_file) -> None:
    raster = open_raster(raster_file("no_georeference"))
    assert raster.report.codes["georeference.none"] == 1
    assert (raster.crs, raster.resolution_m) == (None, None)
    place = raster.to_sequence()[1].place
    assert (place.crs, place.resolution_m, place.pixel_to_map) == (None, None, None)
    assert place.to_json()["corners"] is None
    for ask in (raster.pixel_to_map, raster.pixel_to_lonlat):
        with pytest.raises(GeoreferenceError, match="no georeference"):
            ask(0, 0)


def test_a_missing_crs_is_said_and_can_be_given(raster_file) -> None:
    raster = open_raster(raster_file("no_crs"))
    assert raster.pixel_to_map(1, 1) == (500010.0, 5399990.0)
    with pytest.raises(GeoreferenceError, match="does not say which CRS"):
        raster.pixel_to_lonlat(0, 0)
    told = open_raster(raster_file("no_crs"), crs=builder.UTM_31N)
    assert told.pixel_to_lonlat(0, 0)[0] == pytest.approx(3.0)


def test_a_crs_that_is_tied_to_nothing_is_refused_until_overridden(raster_file) -> None:
    with pytest.raises(GeoreferenceError, match="cannot be read"):
        open_raster(raster_file("local_crs"))
    assert open_raster(raster_file("local_crs"), crs=builder.UTM_31N).crs == builder.UTM_31N
    with pytest.raises(GeoreferenceError, match="cannot be read"):
        open_raster(raster_file("tiled"), crs="EPSG:999999")


def test_another_planet_has_metres_but_no_longitude_on_earth(raster_file) -> None:
    raster = open_raster(raster_file("mars"))
    assert raster.resolution_m == pytest.approx(10.0, rel=1e-6)
    with pytest.raises(GeoreferenceError, match="planets"):
        raster.pixel_to_lonlat(0, 0)


@pytest.mark.parametrize("points", [
    [(0, 0), (100, 0)],
    [(0, 0), (50, 50), (100, 100), (200, 200)],
])  # fmt: skip
def test_control_points_that_fix_no_place_are_refused(tmp_path, points) -> None:
    path = builder.no_georeference(tmp_path / "gcp.tif")
    gcps = [GroundControlPoint(row=r, col=c, x=3 + c / 1000, y=48 - r / 1000) for c, r in points]
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (gcps, rasterio.crs.CRS.from_epsg(4326))
    with pytest.raises(GeoreferenceError, match="control points"):
        open_raster(path)


def test_a_geotransform_without_area_is_refused(tmp_path) -> None:
    path = builder.write(tmp_path / "flat.tif", builder.scene(), transform=Affine(0, 1, 5, 0, 2, 6))
    with pytest.raises(GeoreferenceError, match="geotransform"):
        open_raster(path)


@pytest.mark.parametrize("hazard", PLACED)
def test_places_can_be_sent_to_another_process(raster_file, hazard) -> None:
    raster = open_raster(raster_file(hazard))
    place = raster.to_sequence()[1].place
    copy = pickle.loads(pickle.dumps(place))  # noqa: S301
    assert copy.pixel_to_map(10, 20) == pytest.approx(raster.pixel_to_map(10, 20))


def test_places_off_the_map_are_refused() -> None:
    geostationary = "+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=WGS84"
    disc = Georeference(AffineMap(3000, 0, -5.5e6, 0, -3000, 5.5e6), geostationary)
    assert disc.pixel_to_lonlat(5.5e6 / 3000, 5.5e6 / 3000) == pytest.approx((0, 0), abs=1e-9)
    with pytest.raises(GeoreferenceError, match="no longitude"):
        disc.pixel_to_lonlat(0, 0)
    with pytest.raises(GeoreferenceError, match="reached"):
        disc.lonlat_to_pixel(180, 0)
