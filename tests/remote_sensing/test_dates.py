"""Two dates of one place lie on one grid, side by side, or are refused."""

from typing import Any

import numpy as np
import pytest
import raster_builder as builder
import rasterio
from affine import Affine

from longllava_domains.errors import GeoreferenceError, PolicyError
from longllava_domains.remote_sensing import GridPolicy
from longllava_domains.remote_sensing.dates import dates_sequence, open_dates, told

POLICY = GridPolicy(tile_px=200)


def dated(path, day, **settings) -> Any:
    builder.tiled(path, **settings)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME=f"{day} 10:20:30")
    return path


def test_tiles_of_two_dates_stand_in_pairs(tmp_path) -> None:
    """Family: good data refused; before and after are one question."""
    second = builder.scene(seed=1)
    before = dated(tmp_path / "before.tif", "2023-05-01")
    after = dated(tmp_path / "after.tif", "2024-06-02", data=second)
    rasters = open_dates([before, after])
    shown = dates_sequence(rasters, POLICY)
    assert shown.layout == "temporal"
    assert [view.place.role for view in shown][:4] == ["global", "global", "tile", "tile"]
    for first, other in zip(shown.views[::2], shown.views[1::2], strict=True):
        assert first.place.to_json()["corners"] == other.place.to_json()["corners"]
        assert (first.place.acquired, other.place.acquired) in [("2023-05-01", "2024-06-02")] * 2
    tile = shown[3]
    left, top = (round(max(0, value)) for value in (tile.place.column, tile.place.row))
    inside = np.moveaxis(second[:, top : top + 100, left : left + 100], 0, -1)
    offset = (top - round(tile.place.row), left - round(tile.place.column))
    seen = tile.pixels[offset[0] : offset[0] + 100, offset[1] : offset[1] + 100]
    np.testing.assert_array_equal(seen, inside)
    assert told(rasters).endswith("is from 2023-05-01, the second of each set is from 2024-06-02.")
    assert rasters[1].report.numbers["dates_residual_px"] < 0.01


@pytest.mark.parametrize("shift", [(40, 25), (-30, 10), (20.4, -11.3)])
def test_dates_are_cut_to_what_both_show(tmp_path, shift) -> None:
    """Family: pixels of two pictures compared that are not of one place."""
    world = builder.scene(3, "uint8", builder.WIDTH + 200, builder.HEIGHT + 200)
    moved = builder.NORTH_UP @ Affine.translation(*shift)
    first = world[:, 100 : 100 + builder.HEIGHT, 100 : 100 + builder.WIDTH]
    row, column = 100 + round(shift[1]), 100 + round(shift[0])
    second = world[:, row : row + builder.HEIGHT, column : column + builder.WIDTH]
    before = builder.tiled(tmp_path / "a.tif", data=first)
    after = builder.tiled(tmp_path / "b.tif", data=second, transform=moved)
    rasters = open_dates([before, after])
    assert len({(raster.width, raster.height) for raster in rasters}) == 1
    assert rasters[0].pixel_to_map(3, 4) == rasters[1].pixel_to_map(3, 4)
    resampled = shift != (round(shift[0]), round(shift[1]))
    for raster in rasters:
        assert raster.report.codes.get("dates.resampled", 0) == resampled
        assert raster.report.numbers["dates_residual_px"] == (0.125 if resampled else 0)
    pictures = [next(iter(raster.chips(300, 0))).pixels.astype(int) for raster in rasters]
    if not resampled:
        np.testing.assert_array_equal(*pictures)


def test_another_crs_and_resolution_are_brought_to_the_finest_grid(tmp_path) -> None:
    """Family: pixels of two pictures compared that are not of one place."""
    before = builder.tiled(tmp_path / "a.tif")
    coarse = Affine(0.0003, 0, 3.0, 0, -0.0003, 48.753)
    after = builder.tiled(
        tmp_path / "b.tif",
        data=builder.scene(3, "uint8", 320, 150),
        crs="EPSG:4326",
        transform=coarse,
    )
    for order in ([before, after], [after, before]):
        rasters = open_dates(order)
        assert {raster.crs for raster in rasters} == {builder.UTM_31N}
        assert rasters[0].resolution_m == pytest.approx(10, rel=0.01)


def test_one_stretch_serves_both_dates(tmp_path) -> None:
    """Family: a change of the display taken for a change of the ground."""
    before = builder.tiled(tmp_path / "a.tif", data=builder.scene(3, "uint16"))
    after = builder.tiled(tmp_path / "b.tif", data=builder.scene(3, "uint16") // 3)
    rasters = open_dates([before, after])
    assert rasters[0].stretch == rasters[1].stretch
    means = [view.pixels.mean() for view in dates_sequence(rasters, POLICY).views[:2]]
    assert means[1] < 0.6 * means[0]


def test_scenes_that_are_not_of_one_place_are_refused(tmp_path) -> None:
    """Family: pixels of two pictures compared that are not of one place."""
    before = builder.tiled(tmp_path / "a.tif")
    beside = builder.NORTH_UP @ Affine.translation(builder.WIDTH - 50, 0)
    after = builder.tiled(tmp_path / "b.tif", transform=beside)
    with pytest.raises(GeoreferenceError, match="do not show one place"):
        open_dates([before, after])
    with pytest.raises(GeoreferenceError):
        open_dates([before, builder.no_georeference(tmp_path / "c.tif")])
    with pytest.raises(PolicyError, match="two scenes"):
        open_dates([before])


def test_pictures_without_a_place_are_paired_by_their_pixels_and_it_is_said(tmp_path) -> None:
    """Family: pixels of two pictures compared that are not of one place."""
    pair = [builder.no_georeference(tmp_path / f"{n}.tif") for n in range(2)]
    rasters = open_dates(pair)
    assert rasters[0].report.codes["dates.by_pixel"] == 1
    assert "unknown date" in told(rasters)
    assert len(dates_sequence(rasters, GridPolicy(max_tokens=4000))) % 2 == 0
