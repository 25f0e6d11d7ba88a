"""One stretch for a scene, reusable on others."""

import json
from typing import Any

import numpy as np
import pytest
import raster_builder as builder
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from longllava_domains.errors import NotFoundError, PolicyError
from longllava_domains.remote_sensing import GridPolicy, Stretch, open_raster
from longllava_domains.remote_sensing.io.pixel_source import Pixels
from longllava_domains.remote_sensing.stretch import FLAT_GREY, Painter, preset

FILL = (1, 2, 3)


def paint(values, stretch, scales=None, offsets=None, valid=None, palette=None) -> Any:
    channels = values.shape[2]
    painter = Painter(stretch, values.dtype, scales or (1.0,) * channels, offsets or (0.0,) * channels,
                      fill=FILL, palette=palette)  # fmt: skip
    out = np.empty((*values.shape[:2], 3), np.uint8)
    painter(Pixels(values, valid), out)
    return out


@settings(deadline=None, max_examples=120)
@given(
    values=hnp.arrays(
        st.sampled_from([np.dtype(t) for t in ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")]),
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 3])),
    ),
    low=st.floats(-2000, 2000),
    width=st.floats(0.1, 5000),
    scale=st.sampled_from([1.0, 0.0001, -2.0]),
    offset=st.sampled_from([0.0, -0.1]),
)
def test_painting_is_the_formula(values, low, width, scale, offset) -> None:
    channels = values.shape[2]
    stretch = Stretch("percentile", (low,) * channels, (low + width,) * channels)
    seen = paint(values, stretch, (scale,) * channels, (offset,) * channels)
    physical = values.astype(np.float64) * scale + offset
    share = np.clip((physical - low) / ((low + width) - low), 0, 1)
    expected = np.rint(np.where(np.isnan(share), 0, share) * 255)
    if channels == 1:
        expected = np.repeat(expected, 3, axis=2)
    np.testing.assert_array_equal(seen, expected)


def test_eight_bit_values_pass_through(raster_file) -> None:
    raster = open_raster(raster_file("tiled"))
    assert raster.stretch == Stretch("none")


def test_nodata_alpha_and_nan_do_not_bend_the_percentiles(raster_file) -> None:
    raster = open_raster(raster_file("nan_nodata"))
    data = builder.scene(1, "float32")[0]
    data[:, : builder.WIDTH // 2] = np.nan
    data[:40, -40:] = np.nan
    data[200, 600] = np.nan
    low, high = np.nanpercentile(data.astype(np.float64), (2, 98))
    assert raster.stretch.low[0] == pytest.approx(low, rel=1e-6)
    assert raster.stretch.high[0] == pytest.approx(high, rel=1e-6)


def test_scale_and_offset_are_in_the_stretch(raster_file) -> None:
    raster = open_raster(raster_file("scale_offset"))
    data = builder.scene(3, "int16").astype(np.float64)
    data[:, :50, :60] = np.nan
    low = np.nanpercentile(data[2], 2) * 0.0002
    assert raster.stretch.low[2] == pytest.approx(low, rel=1e-6)


def test_a_stretch_is_reused_on_another_scene(tmp_path, raster_file) -> None:
    first = open_raster(raster_file("one_giant_strip"))
    text = json.dumps(first.stretch.to_json())
    dark = builder.write(tmp_path / "dark.tif", builder.scene(3, "uint16") // 4)
    alone = open_raster(dark)
    reused = open_raster(dark, stretch=Stretch.from_json(json.loads(text)))
    assert reused.stretch == first.stretch
    means = [
        np.mean([v.pixels.mean() for v in r.to_sequence(GridPolicy(tile_px=487)).views[1:2]])
        for r in (alone, reused)
    ]
    assert means[1] < 0.6 * means[0]  # a darker scene stays darker


def test_a_flat_band_is_grey(tmp_path) -> None:
    data = np.full((1, 40, 50), 700, np.uint16)
    raster = open_raster(builder.write(tmp_path / "flat.tif", data))
    assert (raster.to_sequence()[0].pixels == FLAT_GREY).all()


@pytest.mark.parametrize("scaled", [True, False])
def test_presets_mean_reflectance_whether_the_file_is_scaled_or_not(scaled) -> None:
    reflectance = np.array([0.0, 0.1779, 0.3558])
    stored = np.rint(reflectance * 10000).astype(np.uint16).reshape(1, 3, 1)
    scales, offsets = ((0.0001,), (0.0,)) if scaled else ((1.0,), (0.0,))
    stretch = preset("sentinel-2", scales, offsets)
    assert paint(stored, stretch, scales, offsets)[0, :, 0].tolist() == [0, 128, 255]


def test_landsat_presets_undo_the_offset_of_collection_2() -> None:
    stretch = preset("landsat-8-9", (1.0,), (0.0,))
    assert stretch.low[0] == pytest.approx(0.2 / 2.75e-5)


def test_a_percentile_of_nothing_is_refused(tmp_path) -> None:
    path = builder.write(tmp_path / "empty.tif", np.zeros((1, 40, 50), np.uint16), nodata=0)
    with pytest.raises(NotFoundError, match="nothing but nodata"):
        open_raster(path)


@pytest.mark.parametrize("entries", [{}, {"name": "x", "low": [1], "high": []}, {"name": "x", "low": "a", "high": [1]},
                                     {"name": "x", "low": [float("nan")], "high": [1]}, {"low": [1], "high": [2]}])  # fmt: skip
def test_json_that_is_no_stretch_is_refused(entries) -> None:
    with pytest.raises(PolicyError):
        Stretch.from_json(entries)


def test_stretches_that_do_not_fit_are_refused(raster_file) -> None:
    with pytest.raises(PolicyError, match="as they are"):
        open_raster(raster_file("scale_offset"), stretch="none")
    with pytest.raises(PolicyError, match="no such stretch"):
        open_raster(raster_file("scale_offset"), stretch="sparkling")
    with pytest.raises(PolicyError, match="channels"):
        open_raster(raster_file("scale_offset"), stretch=Stretch("percentile", (0.0,), (1.0,)))


def test_pixels_that_are_not_data_get_the_fill() -> None:
    values = np.zeros((2, 2, 3), np.uint8)
    valid = np.array([[True, False], [True, True]])
    seen = paint(values, Stretch("none"), valid=valid)
    assert seen[0, 1].tolist() == list(FILL)
    assert seen[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_zero_is_white_where_the_file_says_so(dtype, tmp_path) -> None:
    data = builder.scene(1, dtype)
    dark = open_raster(builder.write(tmp_path / "dark.tif", data))
    bright = open_raster(builder.write(tmp_path / "b.tif", data, photometric="MINISWHITE"))
    assert bright.report.codes["bands.full_scale"] == 1
    first, second = (next(iter(raster.chips(256, 0))) for raster in (dark, bright))
    assert np.abs(255 - first.pixels.astype(int) - second.pixels).max() <= 1
    again = open_raster(tmp_path / "dark.tif", stretch=Stretch.from_json(bright.stretch.to_json()))
    np.testing.assert_array_equal(next(iter(again.chips(256, 0))).pixels, second.pixels)


def test_values_of_four_bits_fill_the_range_from_black_to_white(tmp_path) -> None:
    data = builder.scene(3) >> 4
    raster = open_raster(builder.write(tmp_path / "four.tif", data, nbits=4))
    assert (raster.stretch.low, raster.stretch.high) == ((0.0,) * 3, (15.0,) * 3)
    shown = np.stack([view.pixels for view in raster.chips(256, 0)][:1])
    np.testing.assert_array_equal(
        shown[0, :100, :100], np.moveaxis(data[:, :100, :100] * 17, 0, -1)
    )
