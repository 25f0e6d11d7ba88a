"""Straighten a tilted stack: each slice is shifted in its own plane (a shear of the volume).

The canvas grows by the largest shift, so that nothing of the patient is cut off; what was never
scanned is air. Interpolation is linear and happens in Hounsfield units.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_AIR_HU: Final = -1024
# Shifts below this are rounding of positions, not tilt.
_NEGLIGIBLE_PX: Final = 1e-6


class Canvas:
    """Position of each slice on the plane of the straightened volume.

    Args:
        size: Rows and columns of the stored slices.
        shift_px: (slices, 2) by how many rows and columns each slice lies further along.

    Attributes:
        size: Rows and columns of the straightened slices.
    """

    def __init__(self, size: tuple[int, int], shift_px: NDArray[np.float64]) -> None:
        self._stored = size
        self._shift = shift_px
        self._straight = bool(np.abs(shift_px).max(initial=0) < _NEGLIGIBLE_PX)
        low = np.floor(shift_px.min(axis=0)).astype(int)
        high = np.ceil(shift_px.max(axis=0)).astype(int)
        self._origin = np.zeros(2, int) if self._straight else low
        grown = np.zeros(2, int) if self._straight else high - low
        self.size = (size[0] + int(grown[0]), size[1] + int(grown[1]))

    def to_stored_index(self) -> NDArray[np.float64]:
        """Return the (4, 4) matrix from (slot, row, column) here to those of an unshifted slice."""
        matrix = np.eye(4)
        matrix[1:3, 3] = self._origin
        return matrix

    def straighten(self, plane: NDArray[np.int16], slot: int) -> NDArray[np.int16]:
        """Return a slice on the canvas; the slice itself where nothing is tilted."""
        if self._straight:
            return plane
        shift = self._shift[slot] - self._origin
        whole = np.floor(shift).astype(int)
        part = shift - whole
        padded = np.full((self._stored[0] + 1, self._stored[1] + 1), _AIR_HU, np.float32)
        padded[:-1, :-1] = plane
        moved = _shift_down(_shift_down(padded, part[0]).T, part[1]).T
        canvas = np.full(self.size, _AIR_HU, np.int16)
        rows = min(padded.shape[0], self.size[0] - whole[0])
        columns = min(padded.shape[1], self.size[1] - whole[1])
        target = canvas[whole[0] : whole[0] + rows, whole[1] : whole[1] + columns]
        target[...] = np.rint(moved[:rows, :columns])
        return canvas


def _shift_down(plane: NDArray[np.float32], part: float) -> NDArray[np.float32]:
    """Shift by a fraction of a row towards higher rows, air coming in."""
    above = np.full_like(plane, _AIR_HU)
    above[1:] = plane[:-1]
    return plane * np.float32(1 - part) + above * np.float32(part)
