"""Pieces spread evenly over a whole scene, from which percentiles are taken.

Which pixels are read depends on the scene's size alone, never on its overviews, blocks or strips:
the same pixels are shown alike however they are stored.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from longllava_domains.remote_sensing.io.pixel_source import Pixels, PixelSource
from longllava_domains.visual.strips import PixelWindow

# A scene this small is read whole.
_WHOLE_PX: Final = 2048**2
_LATTICE: Final = 8
_WINDOW_PX: Final = 128
_BAND_ROWS: Final = 256
_KEPT: Final = 1024


def spread(source: PixelSource) -> list[Pixels]:
    """Return pieces spread evenly over the scene, at full resolution; some are data if any pixel is.

    Args:
        source: What to read.
    """
    pieces = [source.read(window) for window in sample_windows(source.width, source.height)]
    return pieces if any(map(has_data, pieces)) else islands(source)


def islands(source: PixelSource) -> list[Pixels]:
    """Look at every row and keep some of the data: a small island in a sea of nodata."""
    kept = []
    for pixels in filter(has_data, bands_of_rows(source)):
        if pixels.valid is not None:
            data = pixels.values[pixels.valid]
            pixels = Pixels(data[:: 1 + len(data) // _KEPT][None], None)
        kept.append(pixels)
    return kept


def sample_windows(width: int, height: int) -> list[PixelWindow]:
    """Return the whole of a small scene, else windows on a lattice over it, row by row."""
    if width * height <= _WHOLE_PX:
        return [PixelWindow(0, 0, width, height)]
    across, down = min(_WINDOW_PX, width), min(_WINDOW_PX, height)
    return [
        PixelWindow(int(left), int(top), across, down)
        for top in np.unique(np.linspace(0, height - down, _LATTICE).astype(int))
        for left in np.unique(np.linspace(0, width - across, _LATTICE).astype(int))
    ]


def bands_of_rows(source: PixelSource) -> Iterator[Pixels]:
    """Yield every row of a scene once, some at a time."""
    for top in range(0, source.height, _BAND_ROWS):
        rows = min(_BAND_ROWS, source.height - top)
        yield source.read(PixelWindow(0, top, source.width, rows))


def has_data(pixels: Pixels) -> bool:
    """Return whether any pixel is data."""
    return pixels.values.size > 0 and (pixels.valid is None or bool(pixels.valid.any()))
