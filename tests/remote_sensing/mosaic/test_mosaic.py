"""Files beside each other are one raster; only those off the grid are warped."""

from typing import Any

import numpy as np
import pytest
import raster_builder as builder
import rasterio
from affine import Affine
from rasterio.warp import Resampling, calculate_default_transform, reproject
from rasterio.windows import Window

from longllava_domains.errors import GeoreferenceError, PolicyError, UnsupportedInputError
from longllava_domains.remote_sensing import GridPolicy, Raster, open_raster
from longllava_domains.remote_sensing.georeference import AffineMap
from longllava_domains.remote_sensing.io.opened_file import open_one
from longllava_domains.remote_sensing.mosaic.warp import MapGrid, warp
from longllava_domains.visual.strips import PixelWindow


def pieces(path, folder, splits=((0, 0, 400, 300), (350, 0, 351, 300), (0, 300, 701, 187))) -> Any:
    """Cut a raster into overlapping files on its own grid."""
    parts = []
    with rasterio.open(path) as dataset:
        for index, window in enumerate(splits):
            frame = Window(*window)
            profile = dataset.profile | {
                "width": window[2], "height": window[3],
                "transform": dataset.transform @ Affine.translation(window[0], window[1]),
            }  # fmt: skip
            part = folder / f"part{index}.tif"
            with rasterio.open(part, "w", **profile) as target:
                target.write(dataset.read(window=frame))
            parts.append(part)
    return parts


def values(raster: Raster) -> Any:
    return raster.source.read(PixelWindow(0, 0, raster.width, raster.height)).values


@pytest.mark.parametrize("hazard", ["tiled", "rotated", "south_up", "scale_offset"])
def test_files_on_one_grid_are_joined_without_warping(raster_file, tmp_path, hazard) -> None:
    whole = open_raster(raster_file(hazard))
    joined = open_raster(pieces(raster_file(hazard), tmp_path))
    assert "warped" not in joined.report.codes
    assert (joined.width, joined.height) == (whole.width, whole.height)
    data = whole.source.read(PixelWindow(0, 0, whole.width, whole.height)).valid
    keep = np.ones(values(whole).shape[:2], bool) if data is None else data
    np.testing.assert_array_equal(values(joined)[keep], values(whole)[keep])
    assert joined.pixel_to_map(10, 20) == pytest.approx(whole.pixel_to_map(10, 20))


def test_the_first_file_with_data_is_shown_where_files_overlap(tmp_path) -> None:
    first, second = builder.scene(seed=1), builder.scene(seed=2)
    first[:, 100:200, 100:200] = 0
    a = builder.write(tmp_path / "a.tif", first, nodata=0)
    b = builder.write(tmp_path / "b.tif", second)
    seen = values(open_raster([a, b]))
    np.testing.assert_array_equal(
        seen[100:200, 100:200], np.moveaxis(second, 0, -1)[100:200, 100:200]
    )
    np.testing.assert_array_equal(seen[200:], np.moveaxis(first, 0, -1)[200:])


def square(path, crs, transform, lonlat, size=(600, 500)) -> Any:
    """Write a dark raster with a bright square of 9 pixels around a longitude and latitude."""
    data = np.full((1, size[1], size[0]), 10, np.uint8)
    xs, ys = rasterio.warp.transform("EPSG:4326", crs, [lonlat[0]], [lonlat[1]])
    column, row = (int(v) for v in ~transform @ (xs[0], ys[0]))
    data[0, row - 4 : row + 5, column - 4 : column + 5] = 250
    return builder.write(path, data, crs=crs, transform=transform), transform @ (
        column + 0.5,
        row + 0.5,
    )


def bright_lonlat(raster) -> Any:
    """Return the longitude and latitude of the centre of what is bright in the tiles."""
    mass, moment = 0.0, np.zeros(2)
    for view in raster.to_sequence(GridPolicy(tile_px=128)).views[1:]:
        rows, columns = np.nonzero(view.pixels[..., 0] > 130)
        weight = view.pixels[rows, columns, 0].astype(float) - 10
        xs, ys = (columns + 0.5) / 128, (rows + 0.5) / 128
        for x, y, w in zip(xs, ys, weight, strict=True):
            moment += w * np.array(view.place.view_to_pixel(x, y))
            mass += w
    return raster.pixel_to_lonlat(*(moment / mass)), moment / mass


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_square_in_either_crs_is_found_at_its_longitude_and_latitude(tmp_path, order) -> None:
    dark = np.full((1, 500, 600), 10, np.uint8)
    west = Affine(10, 0, 740000, 0, -10, 5400000)  # UTM 31N, east edge
    east = Affine(10, 0, 262000, 0, -10, 5402000)  # UTM 32N, west edge
    for marked in (0, 1):
        folder = tmp_path / f"{marked}"
        folder.mkdir()
        paths, target = [], None
        for index, (crs, transform) in enumerate([("EPSG:32631", west), ("EPSG:32632", east)]):
            path = folder / f"{index}.tif"
            if index == marked:
                xs, ys = rasterio.warp.transform(
                    crs, "EPSG:4326", *([v] for v in transform @ (300, 200))
                )
                path, centre = square(path, crs, transform, (xs[0], ys[0]))
                lon, lat = rasterio.warp.transform(crs, "EPSG:4326", [centre[0]], [centre[1]])
                target = (lon[0], lat[0])
            else:
                builder.write(path, dark, crs=crs, transform=transform)
            paths.append(path)
        raster = open_raster([paths[index] for index in order])
        assert raster.report.codes["warped"] == 1
        _, found = bright_lonlat(raster)
        expected = raster.georeference.lonlat_to_pixel(*target)
        np.testing.assert_allclose(found, expected, atol=0.5)


def test_control_points_join_a_mosaic(raster_file, tmp_path) -> None:
    raster = open_raster([raster_file("tiled"), raster_file("gcp_only")])
    assert (raster.report.codes["warped"], raster.report.codes["levelled"]) == (1, 1)
    column, row = raster.georeference.map_to_pixel(500000.0, 5400000.0)
    assert (column, row) == pytest.approx((round(column), round(row)), abs=1e-6)
    assert raster.crs == builder.UTM_31N


def test_control_points_alone_make_a_north_up_mosaic(raster_file, tmp_path) -> None:
    path = tmp_path / "again.tif"
    path.write_bytes(raster_file("gcp_only").read_bytes())
    raster = open_raster([raster_file("gcp_only"), path])
    assert raster.report.codes["levelled"] == 2
    assert "warped" not in raster.report.codes
    alone = open_raster(raster_file("gcp_only"))
    for column, row in [(100, 100), (600, 400)]:
        x, y = alone.pixel_to_map(column, row)
        back = raster.georeference.map_to_pixel(x, y)
        assert 0 < back[0] < raster.width
        assert 0 < back[1] < raster.height


def test_files_on_both_sides_of_the_antimeridian_lie_beside_each_other(tmp_path) -> None:
    data = builder.scene(1, width=100, height=80)
    west = builder.write(
        tmp_path / "w.tif", data, crs="EPSG:4326", transform=Affine(0.01, 0, 179.0, 0, -0.01, 1)
    )
    east = builder.write(
        tmp_path / "e.tif", data, crs="EPSG:4326", transform=Affine(0.01, 0, -180.0, 0, -0.01, 1)
    )
    raster = open_raster([west, east])
    assert (raster.width, raster.height) == (200, 80)
    assert "warped" not in raster.report.codes
    np.testing.assert_array_equal(values(raster)[:, :100], values(raster)[:, 100:])
    assert raster.pixel_to_lonlat(150, 0)[0] == pytest.approx(-179.5)


def test_a_map_of_the_world_keeps_its_edges_in_a_mosaic(tmp_path) -> None:
    world = builder.write(
        tmp_path / "world.tif", builder.scene(1, width=720, height=40), crs="EPSG:4326",
        transform=Affine(0.5, 0, -180, 0, -0.5, 20),
    )  # fmt: skip
    inside = builder.write(
        tmp_path / "inside.tif", builder.scene(1, width=60, height=40), crs="EPSG:32660",
        transform=Affine(1000, 0, 600000, 0, -1000, 500000),
    )  # fmt: skip
    raster = open_raster([world, inside])
    assert (raster.width, raster.height) == (720, 40)
    assert raster.report.codes["warped"] == 1
    np.testing.assert_array_equal(values(raster), values(open_raster(world)))


def test_a_raster_around_a_pole_is_not_cut_off_at_its_border(tmp_path) -> None:
    strip = builder.write(
        tmp_path / "strip.tif", builder.scene(1, width=720, height=40), crs="EPSG:4326",
        transform=Affine(0.5, 0, -180, 0, -0.5, -60),
    )  # fmt: skip
    pole = builder.write(
        tmp_path / "pole.tif", builder.scene(1, width=300, height=300), crs="EPSG:3031",
        transform=Affine(4000, 0, -600000, 0, -4000, 600000),
    )  # fmt: skip
    with pytest.raises(GeoreferenceError, match="pole"):
        open_raster([strip, pole])
    raster = open_raster([pole, strip])
    column, row = raster.georeference.lonlat_to_pixel(10, -89)
    seen = raster.source.read(PixelWindow(int(column), int(row), 1, 1))
    assert seen.valid is None


def test_a_warped_second_file_leaves_the_first_as_it_is(raster_file, tmp_path) -> None:
    path = tmp_path / "lonlat.tif"
    with rasterio.open(raster_file("tiled")) as dataset:
        transform, width, height = calculate_default_transform(
            dataset.crs, "EPSG:4326", dataset.width, dataset.height, *dataset.bounds
        )
        with rasterio.open(path, "w", driver="GTiff", width=width, height=height, count=3, dtype="uint8",
                           crs="EPSG:4326", transform=transform, nodata=0) as target:  # fmt: skip
            for band in (1, 2, 3):
                reproject(
                    rasterio.band(dataset, band),
                    rasterio.band(target, band),
                    resampling=Resampling.bilinear,
                )
    raster = open_raster([raster_file("tiled"), path])
    seen, own = values(raster), values(open_raster(raster_file("tiled")))
    left, top = (round(v) for v in raster.georeference.map_to_pixel(500000, 5400000))
    inside = seen[top : top + 487, left : left + 701]
    np.testing.assert_array_equal(inside, own)  # the first file wins where it has data


def test_overviews_of_parts_serve_the_mosaic(tmp_path) -> None:
    files = []
    for index in range(2):
        path = builder.tiled(
            tmp_path / f"{index}.tif",
            transform=builder.NORTH_UP @ Affine.translation(701 * index, 0),
        )
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4], Resampling.average)
        files.append(path)
    raster = open_raster(files)
    assert raster.source.overview_factor(4) == 4
    picture = raster.to_sequence(GridPolicy(global_px=140))[0].pixels
    one = open_raster(files[0]).to_sequence(GridPolicy(global_px=70))[0].pixels
    assert picture.shape[1] == 140
    assert np.abs(picture[:48, 1:69].astype(int) - one[:48, 1:69]).mean() < 6


@pytest.mark.parametrize("other", ["scale_offset", "palette"])
def test_files_that_differ_in_kind_are_refused(raster_file, other) -> None:
    with pytest.raises(UnsupportedInputError, match="differ"):
        open_raster([raster_file("tiled"), raster_file(other)])


@pytest.mark.parametrize("other", ["no_georeference", "no_crs"])
def test_files_without_a_place_are_refused(raster_file, other) -> None:
    with pytest.raises(GeoreferenceError, match="georeference or CRS"):
        open_raster([raster_file("tiled"), raster_file(other)])


def test_scattered_files_are_refused_before_anything_is_allocated(tmp_path) -> None:
    data = builder.scene(1, width=20, height=20)
    here = builder.write(
        tmp_path / "a.tif", data, crs="EPSG:4326", transform=Affine(1e-4, 0, 3, 0, -1e-4, 48)
    )
    there = builder.write(
        tmp_path / "b.tif", data, crs="EPSG:4326", transform=Affine(1e-4, 0, 60, 0, -1e-4, -20)
    )
    with pytest.raises(UnsupportedInputError, match="far apart"):
        open_raster([here, there])


@pytest.mark.parametrize(
    "hazard", ["internal_mask", "sidecar_mask", "alpha_and_nodata", "scale_offset", "nan_nodata"]
)
def test_what_is_not_data_stays_so_through_a_warp(raster_file, hazard) -> None:
    alone = open_raster(raster_file(hazard))
    whole = PixelWindow(0, 0, alone.width, alone.height)
    share = alone.source.read(whole).valid.mean()
    opened = open_one(raster_file(hazard))
    # Half a pixel off the file's own grid: the warper has to touch every pixel.
    grid = MapGrid(AffineMap(10, 0, 500005, 0, -10, 5400005), builder.UTM_31N, 701, 487)
    warped = warp(opened, grid)
    seen = warped.source.read(whole)
    assert seen.valid.mean() == pytest.approx(share, abs=0.01)
    data = seen.values[seen.valid]
    stored = alone.source.read(whole)
    assert data.min() >= stored.values[stored.valid].min()
    assert np.isfinite(data[data < 1e30]).all()
    warped.source.close()
    with pytest.raises(PolicyError, match="The raster is closed"):
        opened.source.read(whole)
