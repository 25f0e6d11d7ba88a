"""Read a box of a slide at any resolution: the level, the pixels, the average.

Shrinking is an area average: each pixel shown is the mean of exactly the part of the level below
it, fractions included, so that nothing shifts and nothing aliases. Enlarging is bilinear.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from longllava_domains.pathology.slide_source import WHITE, Box, Damaged, Level, Rgb, SlideSource
from longllava_domains.units import MIB

# A level a hair coarser than asked is taken as it is: sizes are rounded when levels are made.
_LEVEL_TOLERANCE: Final = 1e-3
_PIECE_BYTES: Final = 48 * MIB
_BYTES_PER_PIXEL: Final = 15  # three samples, as uint8 and as float32
_BLOCK: Final = 8
# Products up to this size OpenBLAS does in the calling thread; threads that wait cost more.
_SMALL_PRODUCT: Final = 2**18


def choose_level(levels: tuple[Level, ...], shrink: float) -> int:
    """Return the coarsest level that is at least as fine as asked.

    Args:
        levels: Level 0 first.
        shrink: Level-0 pixels to a pixel wanted.
    """
    return max(
        index
        for index, level in enumerate(levels)
        if index == 0 or max(level.downsample) <= shrink * (1 + _LEVEL_TOLERANCE)
    )


def read_box(
    source: SlideSource, box: Box, size: tuple[int, int], level: int, damaged: Damaged = "refuse"
) -> Rgb:
    """Read a box of level-0 pixels, averaged to a size.

    Args:
        source: The slide.
        box: Level-0 pixels; may reach outside the slide.
        size: (columns, rows) wanted.
        level: Which level is read.
        damaged: As in `SlideSource.read`.

    Returns:
        uint8 (rows, columns, 3); white where a pixel's centre lies outside the slide.

    Raises:
        DamagedInputError: A tile cannot be decoded, and the box is to be refused.
    """
    full, shown = source.levels[0], source.levels[level]
    across = _axis(box.x, box.width, size[0], full.width, shown.downsample[0], shown.width)
    down = _axis(box.y, box.height, size[1], full.height, shown.downsample[1], shown.height)
    out = np.full((size[1], size[0], 3), WHITE, np.uint8)
    if across.count == 0 or down.count == 0:
        return out
    target = out[down.skip : down.skip + down.count, across.skip : across.skip + across.count]
    if across.is_exact and down.is_exact:
        inner = Box(int(across.start), int(down.start), across.count, down.count)
        pixels = source.read(level, inner, damaged)
        if target.shape == out.shape:
            return pixels
        target[...] = pixels
        return out
    for rows, columns in _pieces(across, down):
        left, right = _span(columns)
        top, bottom = _span(rows)
        inner = Box(left, top, right - left, bottom - top)
        pixels = source.read(level, inner, damaged)
        target[
            rows.offset : rows.offset + rows.count, columns.offset : columns.offset + columns.count
        ] = _average(pixels, columns, rows, inner)
    return out


@dataclass(frozen=True)
class _Axis:
    """Pixels wanted along one axis, in pixels of the level.

    Attributes:
        start: Where the first begins.
        step: Level pixels to a pixel wanted.
        count: Pixels wanted that lie inside the slide.
        skip: Pixels wanted before them, outside the slide.
        length: Pixels of the level.
        offset: Where a part begins in the whole axis.
    """

    start: float
    step: float
    count: int
    skip: int
    length: int
    offset: int = 0

    @property
    def is_exact(self) -> bool:
        """True where pixels of the level are shown one for one."""
        whole = self.step == 1 and self.start == int(self.start) and self.start >= 0
        return whole and self.start + self.count <= self.length

    def part(self, first: int, count: int) -> "_Axis":
        """Return some of the pixels wanted."""
        return replace(self, start=self.start + first * self.step, count=count, offset=first)


def _axis(start: int, extent: int, count: int, full: int, downsample: float, length: int) -> _Axis:
    """Keep the pixels whose centres lie inside the slide."""
    step = extent / count
    if start >= 0 and start + extent <= full:  # all of them, as for nearly every view
        return _Axis(start / downsample, step / downsample, count, 0, length)
    centres = start + (np.arange(count) + 0.5) * step
    inside = np.flatnonzero((centres >= 0) & (centres < full))
    if len(inside) == 0:
        return _Axis(0.0, step, 0, 0, length)
    skip = int(inside[0])
    first = (start + skip * step) / downsample
    return _Axis(first, step / downsample, len(inside), skip, length)


def _span(axis: _Axis) -> tuple[int, int]:
    """Return first and one past last pixel of the level that an axis touches."""
    reach = 0.0 if axis.step >= 1 else 1.0  # bilinear weights look at both neighbours
    first = int(np.floor(axis.start - reach))
    last = int(np.ceil(axis.start + axis.count * axis.step + reach))
    first = min(max(first, 0), axis.length - 1)
    return first, max(first + 1, min(last, axis.length))


def _pieces(across: _Axis, down: _Axis) -> Iterator[tuple[_Axis, _Axis]]:
    """Cut what is wanted into (rows, columns) that are averaged together in bounded memory."""
    level_pixels = _PIECE_BYTES / _BYTES_PER_PIXEL
    wanted = max(1, int(level_pixels / (max(across.step, 1) * max(down.step, 1))))
    high = max(1, wanted // across.count)
    wide = across.count if high > 1 else min(across.count, wanted)
    for top in range(0, down.count, high):
        rows = down.part(top, min(high, down.count - top))
        for left in range(0, across.count, wide):
            yield rows, across.part(left, min(wide, across.count - left))


def _average(pixels: Rgb, across: _Axis, down: _Axis, inner: Box) -> Rgb:
    """Average level pixels to the pixels wanted."""
    rows, columns = pixels.shape[:2]
    # Each row as three rows of one colour, so that both directions are products of matrices.
    lines = pixels.transpose(0, 2, 1).astype(np.float32, order="C").reshape(rows, 3 * columns)
    upright = np.empty((down.count, 3 * columns), np.float32)
    for block in _blocks(down.start - inner.y, down.step, down.count, rows):
        for part in _parts(3 * columns, block):
            np.matmul(block.weights, lines[block.source, part], out=upright[block.target, part])
    upright = upright.reshape(3 * down.count, columns)
    out = np.empty((3 * down.count, across.count), np.float32)
    for block in _blocks(across.start - inner.x, across.step, across.count, columns):
        for part in _parts(3 * down.count, block):
            np.matmul(upright[part, block.source], block.weights.T, out=out[part, block.target])
    np.rint(out, out=out)
    levels = out.astype(np.uint8).reshape(down.count, 3, across.count)
    return np.ascontiguousarray(levels.transpose(0, 2, 1))


def _parts(length: int, block: "_Block") -> list[slice]:
    """Cut a long axis so that each product stays small."""
    width = max(64, _SMALL_PRODUCT // block.weights.size)
    return [slice(first, first + width) for first in range(0, length, width)]


class _Block(NamedTuple):
    """Weights (pixels wanted, level pixels) of one block, and what they join."""

    target: slice
    source: slice
    weights: NDArray[np.float32]


@lru_cache(maxsize=64)
def _blocks(start: float, step: float, count: int, length: int) -> tuple[_Block, ...]:
    """Return the blocks of the weight matrix of one axis."""
    blocks = []
    for first in range(0, count, _BLOCK):
        wanted = np.arange(first, min(first + _BLOCK, count))
        low: NDArray[np.float64] = start + wanted.astype(np.float64) * step
        if step >= 1:
            weights, begin = _area(low, step, length)
        else:
            weights, begin = _bilinear(low + step / 2 - 0.5, length)
        weights /= weights.sum(axis=1, keepdims=True)
        blocks.append(
            _Block(
                slice(int(wanted[0]), int(wanted[-1]) + 1),
                slice(begin, begin + weights.shape[1]),
                weights.astype(np.float32),
            )
        )
    return tuple(blocks)


def _area(low: NDArray[np.float64], step: float, length: int) -> tuple[NDArray[np.float64], int]:
    """Return how much of each level pixel lies below each pixel wanted."""
    # The last pixel wanted may lie a hair behind the level, where its last row was cut off.
    low = np.minimum(low, length - 0.5)
    high = low + step
    begin = max(0, int(np.floor(low[0] + 1e-9)))
    end = min(length, int(np.ceil(high[-1] - 1e-9)))
    pixels = np.arange(begin, max(end, begin + 1))[None, :]
    covered = np.minimum(high[:, None], pixels + 1.0) - np.maximum(low[:, None], pixels)
    return np.maximum(covered, 0.0), begin


def _bilinear(centres: NDArray[np.float64], length: int) -> tuple[NDArray[np.float64], int]:
    """Return the weights of the two neighbours of each centre; edges repeat."""
    centres = np.clip(centres, 0, length - 1)
    begin = int(np.floor(centres[0]))
    end = min(length, int(np.floor(centres[-1])) + 2)
    pixels = np.arange(begin, end)[None, :]
    return np.maximum(0.0, 1.0 - np.abs(pixels - centres[:, None])), begin
