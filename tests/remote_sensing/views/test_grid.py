"""The grid of the reference protocol, to the pixel."""

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.errors import PolicyError
from longllava_domains.remote_sensing.views.grid import Grid


def reference_tiles(width, height, side) -> Any:
    """Cut like the original code: pad (target - size) // 2 on both sides, then slice."""
    rows, columns = math.ceil(height / side), math.ceil(width / side)
    pad_h, pad_w = (rows * side - height) // 2, (columns * side - width) // 2
    padded_h, padded_w = height + 2 * pad_h, width + 2 * pad_w
    for row in range(rows):
        for column in range(columns):
            top, left = row * side, column * side
            bottom, right = min(top + side, padded_h), min(left + side, padded_w)
            yield left - pad_w, top - pad_h, right - left, bottom - top


@settings(deadline=None, max_examples=100)
@given(
    width=st.integers(1, 3000), height=st.integers(1, 3000), side=st.sampled_from([168, 336, 200])
)
def test_the_reference_grid_is_cut_like_the_original(width, height, side) -> None:
    grid = Grid(width, height, side, "reference")
    assert [tuple(tile) for tile in grid] == list(reference_tiles(width, height, side))


@pytest.mark.parametrize("height", [337, 671, 4083])
def test_an_odd_deficit_leaves_a_last_row_of_335_pixels(height) -> None:
    heights = [tile.height for tile in Grid(336, height, 336, "reference")]
    assert heights == [336] * (len(heights) - 1) + [335]


@settings(deadline=None, max_examples=200)
@given(width=st.integers(1, 900), height=st.integers(1, 900), side=st.integers(20, 700))
def test_neutral_tiles_are_square_and_cover_everything_once(width, height, side) -> None:
    grid = Grid(width, height, side, "neutral")
    tiles = list(grid)
    assert len(tiles) == len(grid) == grid.rows * grid.columns
    assert {(tile.width, tile.height) for tile in tiles} == {(side, side)}
    lefts = sorted({tile.column for tile in tiles})
    assert lefts[0] <= 0
    assert lefts[0] > -side
    assert lefts[-1] + side >= width
    assert all(b - a == side for a, b in itertools.pairwise(lefts))


def test_a_raster_of_30000_pixels_has_8100_tiles() -> None:
    assert len(Grid(30000, 30000)) == 8100


@pytest.mark.parametrize("arguments", [(0, 5), (5, 0), (5, 5, 0), (5, 5, 336, "fancy")])
def test_grids_of_nothing_are_refused(arguments) -> None:
    with pytest.raises(PolicyError):
        Grid(*arguments)
