"""Positions of fields: grids in level-0 pixels, what is left out of them, and which go first."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.pathology.slide_source import Box, Rgb
from longllava_domains.pathology.views.policy import TilePolicy
from longllava_domains.pathology.views.tissue import TissueMask

Boxes = NDArray[np.int64]

# A grid beyond this fits no budget; it is not even laid out.
_MOST_FIELDS: Final = 4_000_000
# Grey levels that weigh as much as the whole width of the region when fields are told apart.
_COLOUR_SCALE: Final = 40.0


@dataclass(frozen=True)
class FieldGrid:
    """Fields of one size in rows and columns.

    Attributes:
        side: Of a field, level-0 pixels.
        lefts: Left edges of the columns, ascending.
        tops: Top edges of the rows, ascending.
        left_out: Fields of the full grid whose rows or columns are not here.
    """

    side: int
    lefts: NDArray[np.int64]
    tops: NDArray[np.int64]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.lefts) * len(self.tops)

    def boxes(self) -> Boxes:
        """Return (fields, 4): x, y, width, height in row-major order."""
        y, x = (axis.ravel() for axis in np.meshgrid(self.tops, self.lefts, indexing="ij"))
        side = np.full(len(x), self.side)
        return np.stack([x, y, side, side], axis=1)


def lay_grid(region: Box, side: int, overlap: float) -> FieldGrid:
    """Cover a region with fields, evenly beyond its edges where they do not come out even."""
    step = max(1, round(side * (1 - overlap)))
    return FieldGrid(
        side,
        _edges(region.x, region.width, side, step),
        _edges(region.y, region.height, side, step),
    )


def _edges(start: int, extent: int, side: int, step: int) -> NDArray[np.int64]:
    count = 1 if extent <= side else -(-(extent - side) // step) + 1
    beyond = (count - 1) * step + side - extent
    return start - beyond // 2 + step * np.arange(count)


def joint_grid(
    region: Box, tissue: TissueMask, policy: TilePolicy, finest: int, most: int
) -> FieldGrid:
    """Return the grid of the smallest fields that fits a budget.

    Rows and columns without any tissue are left out, so that what is left is still a grid.

    Args:
        region: What is shown.
        tissue: Inside the region.
        policy: Gives the overlap.
        finest: Side of the smallest field allowed, level-0 pixels.
        most: Fields that fit.
    """

    def grid(side: int) -> FieldGrid:
        return _with_tissue(lay_grid(region, side, policy.overlap), tissue)

    def fits(side: int) -> bool:
        full = lay_grid(region, side, policy.overlap)
        return len(full) <= _MOST_FIELDS and len(_with_tissue(full, tissue)) <= most

    if fits(finest):
        return grid(finest)
    low, high = finest, max(finest + 1, region.width, region.height)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return grid(high)


def _with_tissue(grid: FieldGrid, tissue: TissueMask) -> FieldGrid:
    """Leave out rows and columns without any tissue."""
    shares = tissue.fractions(grid.boxes()).reshape(len(grid.tops), len(grid.lefts))
    some = shares > 0
    lefts, tops = grid.lefts[some.any(axis=0)], grid.tops[some.any(axis=1)]
    return FieldGrid(grid.side, lefts, tops, len(grid) - len(lefts) * len(tops))


def most_tissue(shares: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Return the fields with most tissue, in their order; the earlier where two have as much."""
    chosen = np.argsort(-shares, kind="stable")[:most]
    return np.sort(chosen)


def evenly(count: int, most: int) -> NDArray[np.intp]:
    """Return at most `most` positions, spread evenly over `count` fields."""
    if count <= most:
        return np.arange(count)
    return ((np.arange(most) + 0.5) * count / most).astype(np.intp)


def most_diverse(features: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Return the fields least like each other, in their order: each next one is the farthest.

    Args:
        features: (fields, features); the first chosen is nearest to their mean.
        most: How many.
    """
    if len(features) <= most:
        return np.arange(len(features))
    first = int(np.argmin(((features - features.mean(axis=0)) ** 2).sum(axis=1)))
    chosen = [first]
    nearest = ((features - features[first]) ** 2).sum(axis=1)
    while len(chosen) < most:
        farthest = int(np.argmax(nearest))
        chosen.append(farthest)
        nearest = np.minimum(nearest, ((features - features[farthest]) ** 2).sum(axis=1))
    return np.sort(np.array(chosen, np.intp))


def field_features(boxes: Boxes, region: Box, overview: Rgb) -> NDArray[np.float64]:
    """Return mean colour and place of each field, on one scale.

    Args:
        boxes: As `FieldGrid.boxes`.
        region: What the overview shows.
        overview: uint8 (rows, columns, 3).
    """
    rows, columns = overview.shape[:2]
    sums = np.pad(overview.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0)))
    scale = np.array([columns / region.width, rows / region.height])
    low = np.floor((boxes[:, :2] - (region.x, region.y)) * scale).astype(int)
    high = np.ceil((boxes[:, :2] + boxes[:, 2:] - (region.x, region.y)) * scale).astype(int)
    limits = np.array([columns, rows])
    low = np.clip(low, 0, limits - 1)
    high = np.clip(high, low + 1, limits)
    (x0, y0), (x1, y1) = low.T, high.T
    total = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    colour = total / ((x1 - x0) * (y1 - y0))[:, None]
    centre = boxes[:, :2] + boxes[:, 2:] / 2 - (region.x, region.y)
    return np.concatenate([colour / _COLOUR_SCALE, centre / max(region.width, region.height)], 1)
