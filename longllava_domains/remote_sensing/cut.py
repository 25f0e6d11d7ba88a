"""Row bands and tiles out of strips that arrive in order, from a buffer one band high."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from longllava_domains.remote_sensing.pixels import Mask, Rgb, Strip, Window, join, some_valid


def row_bands(strips: Iterable[Strip], spans: Sequence[tuple[int, int]]) -> Iterator[Strip]:
    """Gather strips into bands; neighbouring bands may overlap.

    Args:
        strips: Every row of a raster once, top to bottom.
        spans: (first, one past last) row of each band, inside the raster, first rows ascending.

    Yields:
        One strip per span, in order. All strips are drawn, also those below the last span.
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
        yield _gather(held, first, last)
    for _ in source:  # whoever listens to the strips (the global view) hears them all
        pass


def cut(band: Strip, window: Window, padding: tuple[int, int, int]) -> tuple[Rgb, Mask | None]:
    """Cut one window out of a band, padded where it reaches outside the raster.

    Args:
        band: Rows that cover the part of the window inside the raster.
        window: May reach outside the raster on any side.
        padding: RGB of what lies outside.

    Returns:
        Read-only uint8 (window.height, window.width, 3), and the mask of the part inside the
        raster (None where all is data).
    """
    height, width = band.rgb.shape[:2]
    left, right = max(0, window.column), min(width, window.column + window.width)
    top, bottom = max(band.top, window.row), min(band.top + height, window.row + window.height)
    inside = (slice(top - band.top, bottom - band.top), slice(left, right))
    if (bottom - top, right - left) == (window.height, window.width):
        pixels = band.rgb[inside].copy()
    else:
        pixels = np.empty((window.height, window.width, 3), np.uint8)
        pixels[...] = padding
        place = (
            slice(top - window.row, bottom - window.row),
            slice(left - window.column, right - window.column),
        )
        pixels[place] = band.rgb[inside]
    pixels.flags.writeable = False
    valid = None if band.valid is None else some_valid(band.valid[inside])
    return pixels, valid


def _bottom(strip: Strip) -> int:
    return strip.top + len(strip.rgb)


def _gather(held: Iterable[Strip], first: int, last: int) -> Strip:
    pieces = []
    for strip in held:
        rows = slice(max(0, first - strip.top), max(0, last - strip.top))
        rgb = strip.rgb[rows]
        if len(rgb):
            valid = None if strip.valid is None else strip.valid[rows]
            pieces.append(Strip(strip.top + rows.start, rgb, valid))
    rgb, valid = join(pieces)
    return Strip(first, rgb, some_valid(valid))
