"""The box around the body in a stack of slices."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Denser than air and lung: skin, fat, and the table with them.
BODY_HU = -400
MARGIN_MM = 10.0
# A row or column with fewer dense voxels than this is noise or a wire, not body.
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class BodyBox:
    """Rows and columns of every slice that are kept.

    Attributes:
        top: First row kept.
        bottom: Row after the last kept.
        left: First column kept.
        right: Column after the last kept.
    """

    top: int
    bottom: int
    left: int
    right: int

    @property
    def rows(self) -> int:
        """Rows kept."""
        return self.bottom - self.top

    @property
    def columns(self) -> int:
        """Columns kept."""
        return self.right - self.left

    def cut(self, hu: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return the part of a slice (rows, columns) inside the box, without copying."""
        return hu[self.top : self.bottom, self.left : self.right]


def body_box(
    slices: Iterable[NDArray[np.int16]], spacing_mm: tuple[float, float]
) -> BodyBox | None:
    """Find the box around everything denser than air in any of the slices, with a margin.

    The table is inside the box: nothing that could be the patient is ever cut away.

    Args:
        slices: Hounsfield units (rows, columns), all of one size.
        spacing_mm: Row and column spacing.

    Returns:
        The box, or None where no slice shows anything denser than air.
    """
    by_row = by_column = np.zeros(0, np.int64)
    for hu in slices:
        dense = hu > BODY_HU
        rows, columns = dense.sum(axis=1), dense.sum(axis=0)
        by_row = rows if by_row.size == 0 else np.maximum(by_row, rows)
        by_column = columns if by_column.size == 0 else np.maximum(by_column, columns)
    top, bottom = _extent(by_row, MARGIN_MM / spacing_mm[0])
    left, right = _extent(by_column, MARGIN_MM / spacing_mm[1])
    return None if bottom <= top or right <= left else BodyBox(top, bottom, left, right)


def _extent(counts: NDArray[np.int64], margin: float) -> tuple[int, int]:
    """Return first and past-last position with enough dense voxels, widened by the margin."""
    body = np.flatnonzero(counts >= _FEWEST)
    if body.size == 0:
        return 0, 0
    wide = round(margin)
    return max(0, int(body[0]) - wide), min(len(counts), int(body[-1]) + 1 + wide)
