"""Row bands and tiles out of strips that arrive in order, from a buffer one band high."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from longllava_domains.visual.strips import Mask, PixelWindow, Rgb, Strip


def row_bands(strips: Iterable[Strip], spans: Sequence[tuple[int, int]]) -> Iterator[list[Strip]]:
    """Gather strips into bands; neighbouring bands may overlap.

    Args:
        strips: Every row of a raster once, top to bottom.
        spans: (first, one past last) row of each band, inside the raster, first rows ascending.

    Yields:
        The rows of each span, as views of the strips they came in. All strips are drawn, also
        those below the last span.
    """
    source = iter(strips)
    held: deque[Strip] = deque()
    for first, last in spans:
        while held and _bottom(held[0]) <= first:
            held.popleft()
        while not held or _bottom(held[-1]) < last:
            strip = next(source)
            if _bottom(strip) > first:
                held.append(strip)
        yield [_rows(strip, first, last) for strip in held if strip.top < last]
    for _ in source:  # whoever listens to the strips (the global view) hears them all
        pass


def crop(
    band: Sequence[Strip], window: PixelWindow, padding: tuple[int, int, int]
) -> tuple[Rgb, Mask | None]:
    """Crop one window out of a band, padded where it reaches outside the raster.

    Args:
        band: Rows that cover the part of the window inside the raster.
        window: May reach outside the raster on any side.
        padding: RGB of what lies outside.

    Returns:
        Read-only uint8 (window.height, window.width, 3), and which of its pixels are data; None
        where all inside the raster are.
    """
    pixels = np.empty((window.height, window.width, 3), np.uint8)
    left = max(0, window.column)
    right = min(band[0].rgb.shape[1], window.column + window.width)
    columns = slice(left - window.column, right - window.column)
    top, bottom = band[0].top - window.row, _bottom(band[-1]) - window.row
    if (columns.start, columns.stop, top) != (0, window.width, 0) or bottom < window.height:
        pixels[...] = padding
    masked = any(strip.valid is not None for strip in band)
    valid = np.zeros(pixels.shape[:2], np.bool_) if masked else None
    for strip in band:
        first = max(0, window.row - strip.top)
        rows = slice(first, min(len(strip.rgb), window.row + window.height - strip.top))
        start = strip.top - window.row
        target = (slice(rows.start + start, rows.stop + start), columns)
        pixels[target] = strip.rgb[rows, left:right]
        if valid is not None:
            valid[target] = True if strip.valid is None else strip.valid[rows, left:right]
    pixels.flags.writeable = False
    return pixels, valid


def _bottom(strip: Strip) -> int:
    return strip.top + len(strip.rgb)


def _rows(strip: Strip, first: int, last: int) -> Strip:
    """Return the rows of a strip from first to last, as views."""
    rows = slice(max(0, first - strip.top), min(len(strip.rgb), last - strip.top))
    valid = None if strip.valid is None else strip.valid[rows]
    return Strip(strip.top + rows.start, strip.rgb[rows], valid)
