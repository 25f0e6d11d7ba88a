"""Interface of every source of pixels, and the small types that travel from it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from longllava_domains.visual.strips import Mask, PixelWindow, Rgb, Strip, some_valid


@dataclass(frozen=True)
class Pixels:
    """Values of the shown channels as stored, and which of them are data.

    Attributes:
        values: (rows, columns, channels), the file's own type; one channel is grey.
        valid: (rows, columns), False where the pixel is nodata, masked, transparent or not a
            number; None where all are data.
    """

    values: NDArray[Any]
    valid: Mask | None


class Paint(Protocol):
    """Turns stored values into what is shown; safe to call from several threads."""

    def __call__(self, pixels: Pixels, out: Rgb) -> None:
        """Write uint8 (rows, columns, 3) for these pixels."""
        ...


class PixelSource(Protocol):
    """Source of the pixels of a raster.

    Guarantees: all reads give the same channels in the same type; `read` of a window inside
    the raster equals `rasterio.read(window=...)`; `sweep` gives every row once, top to bottom,
    and decodes each block once; memory does not grow with
    the height of the raster.
    """

    width: int
    height: int
    channels: int
    dtype: np.dtype[Any]
    nodata: tuple[float | None, ...]
    categorical: bool

    def read(self, window: PixelWindow, out_size: tuple[int, int] | None = None) -> Pixels:
        """Read a window, averaged down to out_size (width, height) where one is given.

        Classes (`categorical`) are never averaged: the most frequent one stands for its cell.
        """
        ...

    def sweep(self, paint: Paint, threads: int) -> Iterator[Strip]:
        """Paint all rows, top to bottom."""
        ...

    def overview_factor(self, factor: float) -> float:
        """Return the decimation of the coarsest overview not coarser than `factor`; 1 for none."""
        ...

    def sample(self) -> list[Pixels]:
        """Return pieces spread evenly over the scene, for percentiles."""
        ...

    def close(self) -> None:
        """Close files."""
        ...


def sweep_windows(
    source: PixelSource,
    rows: int,
    paint: Paint,
    read: Callable[[PixelWindow], Pixels] | None = None,
) -> Iterator[Strip]:
    """Paint all rows, `rows` at a time, through windows as wide as the raster."""
    read = read or source.read
    for top in range(0, source.height, rows):
        window = PixelWindow(0, top, source.width, min(rows, source.height - top))
        pixels = read(window)
        rgb = np.empty((window.height, source.width, 3), np.uint8)
        paint(pixels, rgb)
        yield Strip(top, rgb, pixels.valid)


def data_mask(values: NDArray[Any], nodata: tuple[float | None, ...]) -> Mask | None:
    """Return where at least one channel holds data: neither its nodata value nor NaN.

    Args:
        values: (rows, columns, channels).
        nodata: One per channel; None where the channel declares none.
    """
    floating = np.issubdtype(values.dtype, np.floating)
    mask: Mask | None = None
    for channel, empty in enumerate(nodata):
        plane = values[..., channel]
        good: Mask | None = None
        if empty is not None and (floating or representable(empty, values.dtype)):
            good = plane != values.dtype.type(empty)  # never equal where nodata is NaN
        if floating:
            finite = ~np.isnan(plane)
            good = finite if good is None else good & finite
        if good is None:
            return None
        mask = good if mask is None else mask | good
    return some_valid(mask)


def representable(value: float, dtype: np.dtype[Any]) -> bool:
    """Return whether an integer type can hold this nodata value at all."""
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max
