"""Pieces spread evenly over a whole scene, from which percentiles are taken."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from longllava_domains.remote_sensing.io.pixel_source import Pixels, PixelSource
from longllava_domains.visual.strips import PixelWindow

# The scene averaged to this many pixels on its longer side, where overviews make that cheap.
_VIEW_PX: Final = 1024
# A scene this small is read whole.
_WHOLE_PX: Final = 2048**2
_LATTICE: Final = 8
_WINDOW_PX: Final = 512
_STRIP_ROWS: Final = 16
_BAND_ROWS: Final = 256


def spread(source: PixelSource, block_rows: int, block_columns: int) -> list[Pixels]:
    """Return pieces spread evenly over the scene, some of them data if any pixel is.

    Args:
        source: What to read; decimated through overviews where it has them.
        block_rows: Rows of its blocks: windows are cut along them.
        block_columns: Columns of its blocks.
    """
    pieces = _pieces(source, block_rows, block_columns)
    if not any(_has_data(piece) for piece in pieces):
        # A small island in a sea of nodata: look everywhere, keep the data.
        pieces = [piece for piece in _everywhere(source) if _has_data(piece)]
    return pieces


def _pieces(source: PixelSource, block_rows: int, block_columns: int) -> list[Pixels]:
    whole = PixelWindow(0, 0, source.width, source.height)
    factor = max(source.width, source.height) / _VIEW_PX
    if source.overview_factor(factor) >= 2:
        size = (max(1, round(source.width / factor)), max(1, round(source.height / factor)))
        return [source.read(whole, size)]
    if source.width * source.height <= _WHOLE_PX:
        return [source.read(whole)]
    return [source.read(window) for window in _lattice(source, block_rows, block_columns)]


def _everywhere(source: PixelSource) -> Iterator[Pixels]:
    for top in range(0, source.height, _BAND_ROWS):
        rows = min(_BAND_ROWS, source.height - top)
        pixels = source.read(PixelWindow(0, top, source.width, rows))
        if pixels.valid is not None:
            kept = pixels.values[pixels.valid]
            pixels = Pixels(kept[:: 1 + len(kept) // _VIEW_PX][None], None)
        yield pixels


def _lattice(source: PixelSource, block_rows: int, block_columns: int) -> list[PixelWindow]:
    """Return windows on a lattice over the scene, each cut along its blocks."""
    width, height = source.width, source.height
    in_strips = block_columns >= width
    lefts = _block_starts(width, block_columns, 1 if in_strips else _LATTICE)
    tops = _block_starts(height, block_rows, _LATTICE**2 if in_strips else _LATTICE)
    columns = width if in_strips else min(block_columns, _WINDOW_PX)
    rows = min(block_rows, _STRIP_ROWS if in_strips else _WINDOW_PX)
    return [
        PixelWindow(left, top, min(columns, width - left), min(rows, height - top))
        for top in tops
        for left in lefts
    ]


def _block_starts(length: int, block: int, count: int) -> list[int]:
    """Return the first pixels of about `count` blocks, evenly spread; rows of a giant block too."""
    if block > length // 2:
        block = 1
    blocks = np.linspace(0, (length - 1) // block, count).astype(int)
    return [int(index) * block for index in np.unique(blocks)]


def _has_data(pixels: Pixels) -> bool:
    return pixels.values.size > 0 and (pixels.valid is None or bool(pixels.valid.any()))
