"""Resize one grey channel: bicubic, antialiased when shrinking, exact in float32."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from longllava_domains.errors import PolicyError


def resize_grey(levels: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize one channel with a separable cubic filter (a = -0.5), as Pillow defines it.

    Shrinking widens the filter by the scale, so nothing aliases; edges are renormalised, not
    padded. Like any cubic filter it overshoots at sharp edges: `to_uint8` clips.

    Args:
        levels: Float32 (rows, columns).
        size: (rows, columns) wanted, both at least 1.

    Returns:
        Float32, `size`.

    Raises:
        PolicyError: A wanted size below 1, or an input that is not one channel.
    """
    if levels.ndim != 2 or levels.size == 0 or min(size) < 1:
        raise PolicyError(
            f"Cannot resize {levels.shape} to {size}.",
            remedy="Give one channel (rows, columns) and a size of at least one pixel each way.",
            code="resample.size",
        )
    if levels.shape == tuple(size):
        return levels
    image = Image.fromarray(np.ascontiguousarray(levels, np.float32))
    resized = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(resized, np.float32)


def to_uint8(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round grey levels to the nearest integer, clipped to 0..255."""
    return np.asarray(np.rint(np.clip(levels, 0, 255)), np.uint8)
