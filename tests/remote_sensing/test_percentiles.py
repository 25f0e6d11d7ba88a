"""A stretch never collapses, is the same however pixels are stored, and leaves fill values out."""

from pathlib import Path

import numpy as np
import pytest
import raster_builder as builder
import rasterio
from rasterio.enums import Resampling

from longllava_domains.errors import PolicyError
from longllava_domains.remote_sensing import GridPolicy, open_raster
from longllava_domains.remote_sensing.percentiles import suspected_nodata
from longllava_domains.remote_sensing.views.grid import NEUTRAL

CASES = Path(__file__).parents[3] / "shared" / "cases" / "remote_sensing"
real_files = pytest.mark.skipif(not CASES.is_dir(), reason="the shared small inputs are not here")


def sea(side: int, dtype: str = "uint16", value: int = 110, ships: int = 40) -> np.ndarray:
    """Return a flat sea with bright ships of 4 x 9 pixels, (1, side, side)."""
    data = np.full((1, side, side), value, dtype)
    rng = np.random.default_rng(3)
    for row, column in rng.integers(0, side - 10, (ships, 2)):
        data[0, row : row + 4, column : column + 9] = 4000
    return data


def first_tile(raster) -> np.ndarray:
    return raster.to_sequence(GridPolicy(tile_px=512))[1].pixels


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "int32"])
def test_ships_on_a_flat_sea_stay_visible(tmp_path, dtype) -> None:
    """Family: a stretch whose two ends meet; everything became one grey."""
    raster = open_raster(builder.write(tmp_path / "sea.tif", sea(500, dtype)))
    assert raster.report.codes["stretch.widened"] == 1
    assert (raster.stretch.low, raster.stretch.high) == ((110.0,), (4000.0,))
    shown = first_tile(raster)
    assert (shown == 255).any()
    assert (shown == 0).mean() > 0.8


def test_one_ship_that_no_sample_meets_is_visible(tmp_path) -> None:
    """Family: a stretch whose two ends meet; the sample is flat, the scene is not."""
    data = np.full((1, 2300, 2300), 110, np.uint16)
    data[0, 700:704, 1500:1509] = 900
    raster = open_raster(builder.tiled(tmp_path / "sea.tif", data=data))
    assert raster.stretch.high == (900.0,)


def test_a_sea_with_a_little_noise_is_flat_too(tmp_path) -> None:
    """Family: a stretch whose two ends nearly meet; noise fills the range, ships drown in it."""
    data = sea(500)
    noise = np.random.default_rng(0).integers(-1, 2, data.shape)
    data = np.where(data < 200, data + noise, data).astype(np.uint16)
    raster = open_raster(builder.write(tmp_path / "sea.tif", data))
    assert raster.stretch.high == (4000.0,)
    dead = np.clip(np.random.default_rng(0).normal(110, 1, (1, 500, 500)).round(), 108, 112)
    dead[0, 5, 5] = 60000  # one dead pixel is no reason
    raster = open_raster(builder.write(tmp_path / "dead.tif", dead.astype(np.uint16)))
    assert raster.stretch.high[0] < 200


@pytest.mark.parametrize("blocks", [{"tiled": True, "blockxsize": 256, "blockysize": 256},
                                    {"blockysize": 1}, {"blockysize": 2200}])  # fmt: skip
def test_the_same_pixels_are_shown_alike_however_they_are_stored(tmp_path, blocks) -> None:
    """Family: what is sampled depends on overviews, tiles and strips; averages narrow the range."""
    rng = np.random.default_rng(1)
    data = (rng.random((1, 2200, 2100)) ** 4 * 1000).astype(np.uint16)
    plain = open_raster(builder.write(tmp_path / "plain.tif", data, blockysize=16))
    path = builder.write(tmp_path / "other.tif", data, compress="deflate", **blocks)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8], Resampling.average)
    assert open_raster(path).stretch == plain.stretch
    assert plain.stretch.high[0] == pytest.approx(0.98**4 * 1000, rel=0.02)


def filled(value: float, share: float, dtype: str) -> np.ndarray:
    data = builder.scene(1, "uint16").astype(np.float64) / 6 + 300
    data[0, :, : int(share * builder.WIDTH)] = value
    return data.astype(dtype)


@pytest.mark.parametrize(
    ("value", "share", "dtype"),
    [(-32767, 0.28, "int16"), (1, 0.1, "uint16"), (0, 0.7, "uint16"), (65535, 0.05, "uint16"),
     (-9999, 0.02, "float32"), (3.4e38, 0.3, "float32")],
)  # fmt: skip
def test_undeclared_nodata_is_noticed_and_does_not_bend_the_stretch(
    tmp_path, value, share, dtype
) -> None:
    """Family: fill values that no file declares; the view became white or washed out."""
    path = builder.write(tmp_path / "filled.tif", filled(value, share, dtype))
    raster = open_raster(path)
    assert raster.report.codes["nodata.suspected"] == 1
    assert raster.report.numbers["suspected_nodata"] == pytest.approx(value, rel=1e-6)
    assert 250 < raster.stretch.low[0] < raster.stretch.high[0] < 2500
    told = open_raster(path, nodata=raster.report.numbers["suspected_nodata"])
    assert told.report.codes["nodata.given"] == 1
    assert "nodata.suspected" not in told.report.codes
    assert (first_tile(told)[100, 5] == NEUTRAL).all()
    assert told.stretch.low[0] == pytest.approx(raster.stretch.low[0], rel=0.05)


@pytest.mark.parametrize("value", [0, 255])
def test_a_collar_of_eight_bits_is_noticed_too(tmp_path, value) -> None:
    """Family: fill values that no file declares; bytes are shown as they are, collars too."""
    data = builder.scene() // 2 + 60
    data[:, :, :90] = value
    raster = open_raster(builder.tiled(tmp_path / "collar.tif", data=data))
    assert raster.report.numbers["suspected_nodata"] == value
    assert raster.stretch.name == "none"
    assert "nodata.suspected" not in open_raster(tmp_path / "collar.tif", nodata=value).report.codes
    data[0, :, :90] = 100  # a red sky is no collar
    raster = open_raster(builder.tiled(tmp_path / "sky.tif", data=data))
    assert "nodata.suspected" not in raster.report.codes


@pytest.mark.parametrize(
    "values",
    [
        np.clip(np.random.default_rng(0).normal(0, 50, 9000), 0, None),  # dark clipped at zero
        np.random.default_rng(1).exponential(200, 9000).astype(int),
        np.clip(np.random.default_rng(2).normal(60000, 9000, 9000), 0, 65535).astype(int),
        np.repeat([0, 1, 2, 50], 3000),  # classes
        np.concatenate([np.zeros(3000), np.random.default_rng(3).random(9000) * 2000]),  # shore
        np.full(5000, 7),
        np.arange(100),
    ],
)
def test_what_is_no_fill_value_is_left_alone(values) -> None:
    """Family: fill values that no file declares; darkness, saturation and classes are data."""
    assert suspected_nodata(np.asarray(values)) is None


def test_given_nodata_replaces_what_the_file_declares(tmp_path) -> None:
    """Family: the user knows better; overviews that have averaged the value in are not used."""
    data = builder.scene(3, "uint16", 2100, 600)
    data[:, :, :1000] = 1
    path = builder.tiled(tmp_path / "given.tif", data=data, nodata=5)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4], Resampling.average)
    raster = open_raster(path, nodata=1)
    picture = raster.to_sequence(GridPolicy(tile_px=336))[0].pixels
    assert (picture[:, :150] == NEUTRAL).all()
    assert (picture[:, 170:] != NEUTRAL).any(axis=2).mean() > 0.99
    pair = open_raster([path, path], nodata=1)
    assert (pair.to_sequence()[0].pixels[:, :150] == NEUTRAL).all()
    for impossible in (-1, 0.5, float("nan"), 1e9):
        with pytest.raises(PolicyError, match="nodata"):
            open_raster(path, nodata=impossible)


@real_files
def test_real_scenes_are_shown_as_they_should_be() -> None:
    """Families: undeclared nodata; a stretch whose two ends meet."""
    wind = open_raster(CASES / "wind_direction.tif")
    assert wind.report.numbers["suspected_nodata"] == -32767
    assert 0 <= wind.stretch.low[0] < wind.stretch.high[0] <= 360
    ships = open_raster(CASES / "flat_sea_ships_u16.tif")
    assert any((tile.pixels == 255).any() for tile in ships.chips())
