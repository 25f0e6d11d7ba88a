"""Resize one grey channel: bicubic, antialiased when shrinking, in float32, without a compiler.

The filter is Pillow's (Keys' cubic, a = -0.5, widened by the scale when shrinking). Here it is a
product with a banded matrix: blocks of a few output rows touch a few dozen input rows, and BLAS
does each block. That is two to three times faster than Pillow's float mode, and as exact.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import PolicyError

# Output rows to a block: narrow enough that the band wastes little and that BLAS keeps to one
# thread, wide enough that Python's share stays small.
_BLOCK: Final = 16


class _Block(NamedTuple):
    """Weights (output rows, input rows) of one block, and the rows they join."""

    target: slice
    source: slice
    weights: NDArray[np.float32]


def resize_grey(levels: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize one channel with a separable cubic filter.

    Shrinking widens the filter by the scale, so nothing aliases; at the edges the filter is cut
    and renormalised, nothing is padded. Like any cubic filter it overshoots at sharp edges:
    `to_uint8` clips.

    Args:
        levels: Float32 (rows, columns).
        size: (rows, columns) wanted, both at least 1.

    Returns:
        Float32, `size`; the input itself where it has that size already.

    Raises:
        PolicyError: A wanted size below 1, or an input that is not one channel.
    """
    if levels.ndim != 2 or levels.size == 0 or min(size) < 1:
        raise PolicyError(
            f"Cannot resize {levels.shape} to {size}.",
            remedy="Give one channel (rows, columns) and a size of at least one pixel each way.",
            code="resample.size",
        )
    rows, columns = size
    if levels.shape[0] != rows:
        upright = np.empty((rows, levels.shape[1]), np.float32)
        for block in _blocks(levels.shape[0], rows):
            np.matmul(block.weights, levels[block.source], out=upright[block.target])
        levels = upright
    if levels.shape[1] != columns:
        resized = np.empty((rows, columns), np.float32)
        for block in _blocks(levels.shape[1], columns):
            resized[:, block.target] = levels[:, block.source] @ block.weights.T
        levels = resized
    return levels


def to_uint8(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round grey levels to the nearest integer, clipped to 0..255."""
    rounded = np.clip(levels, 0, 255)
    np.rint(rounded, out=rounded)
    return rounded.astype(np.uint8)


@lru_cache(maxsize=32)
def _blocks(source: int, target: int) -> tuple[_Block, ...]:
    """Return the blocks of the (target, source) filter matrix."""
    scale = source / target
    wide = max(scale, 1.0)
    blocks = []
    for start in range(0, target, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, target))
        centres = (rows + 0.5) * scale
        # The support is cut to whole pixels as Pillow does, then renormalised.
        first = np.maximum((centres - 2 * wide + 0.5).astype(int), 0)
        last = np.minimum((centres + 2 * wide + 0.5).astype(int), source)
        columns = np.arange(first.min(), last.max())
        weights = _cubic((columns[None, :] + 0.5 - centres[:, None]) / wide)
        weights *= (columns >= first[:, None]) & (columns < last[:, None])
        weights /= weights.sum(axis=1, keepdims=True)
        blocks.append(
            _Block(
                slice(start, start + len(rows)),
                slice(int(columns[0]), int(columns[-1]) + 1),
                weights.astype(np.float32),
            )
        )
    return tuple(blocks)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate Keys' cubic convolution kernel with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
