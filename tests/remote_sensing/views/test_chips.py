"""Chips cover everything at native resolution, each where it says."""

import itertools

import numpy as np
import pytest
import slow_views
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.errors import PolicyError
from longllava_domains.remote_sensing import open_raster
from longllava_domains.remote_sensing.views.chips import starts
from longllava_domains.remote_sensing.views.grid import NEUTRAL


@settings(deadline=None, max_examples=300)
@given(length=st.integers(1, 5000), size=st.integers(20, 700), share=st.floats(0, 0.99))
def test_starts_leave_no_gap_and_keep_the_overlap(length, size, share) -> None:
    overlap = min(int(size * share), size - 1)
    tops = starts(length, size, overlap)
    assert tops[0] == 0
    assert tops[-1] == max(0, length - size)
    assert all(0 < b - a <= size - overlap for a, b in itertools.pairwise(tops))


def test_fit_rs_chips_are_512_pixels_that_share_100() -> None:
    assert starts(1336, 512, 100) == (0, 412, 824)
    assert starts(1337, 512, 100) == (0, 412, 824, 825)


@pytest.mark.parametrize(("hazard", "size", "overlap"), [("tiled", 200, 50), ("strips_one_row", 128, 0),
                                                         ("alpha_and_nodata", 100, 99 - 40)])  # fmt: skip
def test_chips_equal_rasterio_windows(raster_file, hazard, size, overlap) -> None:
    path = raster_file(hazard)
    raster = open_raster(path)
    chips = raster.chips(size, overlap)
    views = list(chips)
    assert len(views) + len(chips.skipped) == len(chips)
    for view in views:
        place = view.place
        assert place.role == "chip"
        assert place.resolution_m == pytest.approx(raster.resolution_m)
        expected = slow_views.shown(path, (1, 2, 3), raster.stretch, place.column, place.row,
                                    (size, size), NEUTRAL, NEUTRAL)  # fmt: skip
        np.testing.assert_array_equal(view.pixels, expected)


def test_chips_of_nothing_but_nodata_are_counted_not_shown(raster_file) -> None:
    chips = open_raster(raster_file("island")).chips()
    shown = list(chips)
    assert len(shown) + len(chips.skipped) == len(chips) == 25
    assert 1 <= len(shown) <= 4
    for view in shown:
        assert view.place.column <= 1706
        assert view.place.column + 512 > 1703


def test_a_raster_smaller_than_a_chip_is_padded(raster_file) -> None:
    (view,) = open_raster(raster_file("smaller_than_a_tile")).chips()
    assert view.pixels.shape == (512, 512, 3)
    assert (view.pixels[3:] == NEUTRAL).all()
    assert view.place.view_to_pixel(5 / 512, 3 / 512) == pytest.approx((5, 3))


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (512, 512), (512, -1), (100, 200)])
def test_chips_without_a_step_are_refused(raster_file, size, overlap) -> None:
    with pytest.raises(PolicyError, match="overlap"):
        open_raster(raster_file("tiled")).chips(size, overlap)
