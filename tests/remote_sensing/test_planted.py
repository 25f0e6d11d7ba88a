"""Bright squares planted at known places come back at their longitude and latitude."""

import math
from typing import Any

import numpy as np
import pytest
import raster_builder as builder
import rasterio
from pyproj import Transformer

from longllava_domains.remote_sensing import GridPolicy, open_raster

CENTRES = ((60.5, 40.5), (333.5, 210.5), (650.5, 450.5))
HALF_PX = 5
TRUTH = {
    "tiled": (builder.NORTH_UP, builder.UTM_31N),
    "rotated": (builder.ROTATED, builder.UTM_31N),
    "gcp_only": (builder.ROTATED, builder.UTM_31N),
    "south_up": (rasterio.Affine(10, 0, 500000, 0, 10, 5300000), builder.UTM_31N),
    "antimeridian": (rasterio.Affine(100, 0, 690000, 0, -100, 5400000), "EPSG:32660"),
    "lonlat_past_180": (rasterio.Affine(0.001, 0, 179.9, 0, -0.001, 10.0), "EPSG:4326"),
}


def plant(source, path) -> Any:
    """Copy a raster, dark but for squares of 11 pixels around CENTRES."""
    path.write_bytes(source.read_bytes())
    with rasterio.open(path, "r+") as dataset:
        data = np.full((dataset.count, dataset.height, dataset.width), 10, np.uint8)
        for column, row in CENTRES:
            left, top = int(column) - HALF_PX, int(row) - HALF_PX
            data[:, top : top + 2 * HALF_PX + 1, left : left + 2 * HALF_PX + 1] = 250
        dataset.write(data)
    return path


def found(raster, views) -> Any:
    """Return the raster coordinates of the centre of every bright square, merged across views."""
    rgb = np.zeros((raster.height, raster.width))
    for view in views:
        place = view.place
        for y, x in np.argwhere(view.pixels[..., 0] > 130):
            column, row = place.view_to_pixel((x + 0.5) / place.width, (y + 0.5) / place.height)
            rgb[int(row), int(column)] = view.pixels[y, x, 0] - 10
    squares = []
    while rgb.max() > 0:
        row, column = np.unravel_index(rgb.argmax(), rgb.shape)
        box = (slice(max(0, row - 25), row + 26), slice(max(0, column - 25), column + 26))
        rows, columns = np.nonzero(rgb[box])
        weights = rgb[box][rows, columns]
        squares.append((np.average(columns + box[1].start + 0.5, weights=weights),
                        np.average(rows + box[0].start + 0.5, weights=weights)))  # fmt: skip
        rgb[box] = 0
    return sorted(squares)


def miss_px(raster, pixel, lonlat) -> Any:
    """Return how far a pixel lies from a longitude and latitude, in raster pixels."""
    lon, lat = raster.pixel_to_lonlat(*pixel)
    _, _, metres = raster.georeference._ellipsoid.inv(lon, lat, *lonlat)
    return metres / raster.resolution_m


@pytest.mark.parametrize("show", ["tiles", "chips"])
@pytest.mark.parametrize("hazard", list(TRUTH))
def test_squares_come_back_within_half_a_pixel(raster_file, tmp_path, hazard, show) -> None:
    raster = open_raster(plant(raster_file(hazard), tmp_path / "planted.tif"))
    transform, crs = TRUTH[hazard]
    to_lonlat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    views = (
        raster.chips(150, 40)
        if show == "chips"
        else list(raster.views(GridPolicy(tile_px=150)))[1:]
    )
    squares = found(raster, views)
    assert len(squares) == len(CENTRES)
    for pixel, centre in zip(squares, CENTRES, strict=True):
        assert miss_px(raster, pixel, to_lonlat.transform(*(transform @ centre))) < 0.05


@pytest.mark.parametrize("hazard", ["gcp_only", "rpc_only", "rotated"])
def test_squares_of_a_warped_file_come_back_within_half_a_pixel(
    raster_file, tmp_path, hazard
) -> None:
    planted = plant(raster_file(hazard), tmp_path / "planted.tif")
    truth = open_raster(planted)
    centre = truth.pixel_to_lonlat(350, 240)
    # A blank raster of the same ground in degrees, put first, sets the grid of the mosaic.
    step = 9e-5
    blank = builder.write(
        tmp_path / "grid.tif", np.zeros((3, 40, 40), np.uint8), crs="EPSG:4326", nodata=0,
        transform=rasterio.Affine(step, 0, centre[0], 0, -step * 0.7, centre[1]),
    )  # fmt: skip
    raster = open_raster([blank, planted])
    assert raster.report.codes["warped"] == 1
    squares = found(raster, list(raster.views(GridPolicy(tile_px=300)))[1:])
    expected = [truth.pixel_to_lonlat(*centre) for centre in CENTRES]
    assert len(squares) == len(expected)
    for lonlat in expected:
        misses = [miss_px(raster, pixel, lonlat) for pixel in squares]
        assert min(misses) < 0.5
    assert math.isfinite(raster.resolution_m)
