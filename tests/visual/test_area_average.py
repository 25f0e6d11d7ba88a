"""Area averages that leave out what is not data."""

import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.visual.area_average import (
    GlobalAverager,
    cell_means,
    masked_cell_means,
    shrink,
)
from longllava_domains.visual.strips import Strip

FILL = (1, 2, 3)


def slow_cells(rgb, valid, cell) -> Any:
    rows, columns = -(-rgb.shape[0] // cell), -(-rgb.shape[1] // cell)
    mean, share = np.zeros((rows, columns, 3)), np.zeros((rows, columns), bool)
    for row in range(rows):
        for column in range(columns):
            box = (slice(row * cell, (row + 1) * cell), slice(column * cell, (column + 1) * cell))
            data = valid[box]
            if data.any():
                mean[row, column] = np.rint(rgb[box][data].mean(axis=0, dtype=np.float64) - 1e-9)
            share[row, column] = data.mean() >= 0.5
    return mean, share


@settings(deadline=None, max_examples=100)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    cell=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_cells_average_their_data(rows, columns, cell, seed) -> None:
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    valid = rng.random((rows, columns)) > 0.4
    mean, share = masked_cell_means(rgb, valid, cell)
    slow_mean, slow_share = slow_cells(rgb, valid, cell)
    np.testing.assert_array_equal(share, slow_share)
    assert np.abs(mean - slow_mean).max() <= 1  # halves may round either way
    everything, _ = slow_cells(rgb, np.ones_like(valid), cell)
    assert np.abs(cell_means(rgb, cell) - everything).max() <= 1


@settings(deadline=None, max_examples=60)
@given(
    heights=st.lists(st.integers(1, 50), max_size=10), seed=st.integers(0, 99), masked=st.booleans()
)
def test_the_picture_does_not_depend_on_how_strips_come(heights, seed, masked) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (150, 210, 3), dtype=np.uint8)
    mask = rng.random((150, 210)) > 0.2 if masked else None

    def picture(cuts) -> Any:
        view = GlobalAverager(210, 150, (21, 15), FILL)
        edges = sorted({0, 150, *(c for c in cuts if 0 < c < 150)})
        parts = [
            Strip(a, image[a:b], None if mask is None else mask[a:b])
            for a, b in itertools.pairwise(edges)
        ]
        list(view.listen(parts))
        return view.picture()

    cuts = np.cumsum(heights).tolist()
    first, first_mask = picture(cuts)
    whole, whole_mask = picture([])
    np.testing.assert_array_equal(first, whole)
    assert (first_mask is None) == (whole_mask is None)


def test_half_of_a_cell_makes_it_data() -> None:
    rgb = np.full((4, 4, 3), 200, np.uint8)
    valid = np.zeros((4, 4), bool)
    valid[:, :2] = True
    valid[0, 2] = True
    seen, mask = shrink(rgb, valid, (2, 2), (0.0, 0.0, 4.0, 4.0), FILL)
    assert mask.tolist() == [[True, False], [True, False]]
    assert seen[0, 0].tolist() == [200, 200, 200]
    assert seen[0, 1].tolist() == list(FILL)


def test_nodata_does_not_darken_the_average() -> None:
    rgb = np.full((30, 30, 3), 240, np.uint8)
    valid = np.random.default_rng(0).random((30, 30)) > 0.3
    rgb[~valid] = 0
    seen, mask = shrink(rgb, valid, (3, 3), (0.0, 0.0, 30.0, 30.0), FILL)
    assert mask is None
    assert np.abs(seen.astype(int) - 240).max() <= 2
