"""Area averages of what is shown: the global view from the pass itself, and decimated bands.

Averages leave out pixels that are not data; a cell counts as data where at least half of it is.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from longllava_domains.visual.strips import Mask, Rgb, Strip, join, some_valid

# The pass averages cells of whole pixels down to about this many times the global view.
_OVERSAMPLING = 3
# Sums of 256 bytes still fit 16 bits, and adding 16-bit rows is faster than 32-bit.
_MAX_CELL = 256


class GlobalAverager:
    """The whole raster averaged to a small picture while its strips pass by.

    Args:
        width: Of the raster, pixels.
        height: Of the raster, pixels.
        size: (width, height) of the picture; not larger than the raster.
        fill: RGB of cells that are not data.
    """

    def __init__(
        self, width: int, height: int, size: tuple[int, int], fill: tuple[int, int, int]
    ) -> None:
        self.width, self.height = width, height
        self.size = size
        self.fill = fill
        factor = min(width / size[0], height / size[1])
        self.cell = max(1, min(_MAX_CELL, int(factor / _OVERSAMPLING)))
        shape = (-(-height // self.cell), -(-width // self.cell))
        self._mean = np.zeros((*shape, 3), np.uint8)
        self._share: Mask | None = None
        self._carry: list[Strip] = []

    def listen(self, strips: Iterable[Strip]) -> Iterator[Strip]:
        """Pass strips on, taking each into the average."""
        for strip in strips:
            self._add(strip)
            yield strip

    def picture(self) -> tuple[Rgb, Mask | None]:
        """Return uint8 (height, width, 3) and the mask, once all strips have passed."""
        box = (0.0, 0.0, self.width / self.cell, self.height / self.cell)
        return shrink(self._mean, self._share, self.size, box, self.fill)

    def _add(self, strip: Strip) -> None:
        """Average whole rows of cells; rows of an unfinished cell wait for the next strip."""
        self._carry.append(strip)
        top = self._carry[0].top
        bottom = strip.top + len(strip.rgb)
        ready = bottom if bottom == self.height else bottom // self.cell * self.cell
        if ready <= top:
            return
        rgb, valid = join(self._carry)
        self._average(top, rgb[: ready - top], None if valid is None else valid[: ready - top])
        rest = rgb[ready - top :]
        self._carry = (
            [Strip(ready, rest.copy(), None if valid is None else valid[ready - top :].copy())]
            if len(rest)
            else []
        )

    def _average(self, top: int, rgb: Rgb, valid: Mask | None) -> None:
        first = top // self.cell
        if valid is None:
            mean = cell_means(rgb, self.cell)
            self._mean[first : first + len(mean)] = mean
            return
        mean, share = masked_cell_means(rgb, valid, self.cell)
        if self._share is None:
            self._share = np.ones(self._mean.shape[:2], np.bool_)
        self._mean[first : first + len(mean)] = mean
        self._share[first : first + len(share)] = share


def cell_sums(values: NDArray[np.uint8], cell: int) -> NDArray[np.uint32]:
    """Sum (rows, columns, channels) over cells of cell x cell; the last ones may be short.

    Adding every cell's n-th row at once keeps the inner loop as long as a row.
    """
    down = _line_sums(values, cell, np.dtype(np.uint16))
    across = _line_sums(down.swapaxes(0, 1), cell, np.dtype(np.uint32))
    return across.swapaxes(0, 1)


def _line_sums(values: NDArray[Any], cell: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    sums = values[::cell].astype(dtype)
    for line in range(1, cell):
        lines = values[line::cell]
        sums[: len(lines)] += lines
    return sums


def cell_means(rgb: Rgb, cell: int) -> Rgb:
    """Average uint8 (rows, columns, 3) over cells, rounded to the nearest."""
    if cell == 1:
        return rgb
    sums = cell_sums(rgb, cell)
    counts = _cell_counts(rgb.shape[0], cell)[:, None] * _cell_counts(rgb.shape[1], cell)[None]
    return _divide(sums, counts[..., None])


def masked_cell_means(rgb: Rgb, valid: Mask, cell: int) -> tuple[Rgb, Mask]:
    """Average the data in each cell; also say which cells are data in at least half their area."""
    data = cell_sums(valid[..., None].view(np.uint8), cell)
    sums = cell_sums(rgb * valid[..., None], cell)
    areas = _cell_counts(rgb.shape[0], cell)[:, None] * _cell_counts(rgb.shape[1], cell)[None]
    mean = _divide(sums, np.maximum(data, 1))
    return mean, 2 * data[..., 0] >= areas


def shrink(
    rgb: Rgb,
    valid: Mask | None,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    fill: tuple[int, int, int],
) -> tuple[Rgb, Mask | None]:
    """Average a box of an image to a size.

    Args:
        rgb: uint8 (rows, columns, 3).
        valid: (rows, columns), or None where all is data.
        size: (width, height) wanted; not larger than the box.
        box: Left, top, right, bottom in pixels of `rgb`, fractions allowed.
        fill: RGB of what is not data.

    Returns:
        uint8 (height, width, 3) and its mask.
    """
    if size == (rgb.shape[1], rgb.shape[0]) and box == (0.0, 0.0, float(size[0]), float(size[1])):
        return rgb, valid
    if valid is None:
        return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX, box)), None
    share = Image.fromarray(valid.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX, box)
    weight = np.asarray(share).astype(np.float32)[..., None] / 255
    zeroed = Image.fromarray(rgb * valid[..., None]).resize(size, Image.Resampling.BOX, box)
    mean = np.minimum(np.rint(np.asarray(zeroed) / np.maximum(weight, 1 / 255)), 255)
    out = mean.astype(np.uint8)
    kept = weight[..., 0] >= 0.5
    out[~kept] = fill
    return out, some_valid(kept)


def _cell_counts(length: int, cell: int) -> NDArray[np.uint32]:
    counts = np.full(-(-length // cell), cell, np.uint32)
    if length % cell:
        counts[-1] = length % cell
    return counts


def _divide(sums: NDArray[np.uint32], counts: NDArray[np.uint32]) -> Rgb:
    # Sums stay below 2**24, so float32 holds them exactly; it divides ten times faster.
    quotient: Rgb = np.rint(sums.astype(np.float32) / counts.astype(np.float32)).astype(np.uint8)
    return quotient
