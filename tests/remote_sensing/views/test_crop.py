"""Bands and tiles out of strips, against plain slices of the whole image."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.remote_sensing.views.crop import crop, row_bands
from longllava_domains.visual.strips import PixelWindow, Strip

GREY = (9, 8, 7)
rng = np.random.default_rng(0)
IMAGE = rng.integers(0, 255, (90, 40, 3), dtype=np.uint8)
MASK = rng.random((90, 40)) > 0.3


def strips(heights, masked) -> Any:
    top = 0
    for index, height in enumerate([*heights, 90]):
        bottom = min(90, top + height)
        if bottom > top:
            valid = MASK[top:bottom] if masked and index % 2 else None
            yield Strip(top, IMAGE[top:bottom], valid)
        top = bottom


@settings(deadline=None, max_examples=200)
@given(
    heights=st.lists(st.integers(1, 40), max_size=12),
    tops=st.lists(st.integers(0, 60), min_size=1, max_size=6, unique=True),
    size=st.integers(1, 30),
    left=st.integers(-20, 39),
    above=st.integers(0, 10),
    masked=st.booleans(),
)
def test_any_strips_give_the_same_tiles(heights, tops, size, left, above, masked) -> None:
    spans = [(top, top + size) for top in sorted(tops)]
    canvas = np.empty((90 + 20, 40 + 80, 3), np.uint8)
    canvas[...] = GREY
    canvas[10:100, 40:80] = IMAGE
    for (top, bottom), band in zip(spans, row_bands(strips(heights, masked), spans), strict=True):
        assert sum(len(strip.rgb) for strip in band) == bottom - top
        # The first band may also be asked for with padding above the raster.
        start = top - above if top == 0 else top
        window = PixelWindow(left, start, 30, bottom - start)
        seen, valid = crop(band, window, GREY)
        expected = canvas[start + 10 : bottom + 10, left + 40 : left + 70]
        np.testing.assert_array_equal(seen, expected)
        assert not seen.flags.writeable
        hidden = np.ones((110, 120), bool) if not masked else np.zeros((110, 120), bool)
        for strip in band if masked else ():
            shown = True if strip.valid is None else strip.valid
            hidden[strip.top + 10 : strip.top + 10 + len(strip.rgb), 40:80] = shown
        if valid is not None:
            assert masked
            expected = hidden[start + 10 : bottom + 10, left + 40 : left + 70]
            np.testing.assert_array_equal(valid, expected)
        else:
            assert not masked or all(strip.valid is None for strip in band)


def test_a_tile_of_masked_pixels_holds_no_data() -> None:
    band = [Strip(0, IMAGE, np.zeros((90, 40), bool))]
    assert not crop(band, PixelWindow(0, 0, 10, 10), GREY)[1].any()
    assert crop([Strip(0, IMAGE, None)], PixelWindow(0, 0, 10, 10), GREY)[1] is None


def test_strips_below_the_last_band_are_drawn_too() -> None:
    drawn = []

    def source() -> Any:
        for strip in strips([10] * 9, masked=False):
            drawn.append(strip.top)
            yield strip

    list(row_bands(source(), [(0, 5)]))
    assert drawn == list(range(0, 90, 10))
