"""Several sources read as one: files beside each other, or bands on top of each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from longllava_domains.remote_sensing.io.pixel_source import (
    Paint,
    Pixels,
    PixelSource,
    sweep_windows,
)
from longllava_domains.remote_sensing.io.sampling import spread
from longllava_domains.visual.strips import PixelWindow, Strip, some_valid

_BAND_ROWS = 512


@dataclass(frozen=True)
class MosaicTile:
    """A source and where its first pixel lies in the mosaic.

    Attributes:
        source: Its pixels lie on the mosaic's grid.
        column: Of its first pixel, mosaic pixels.
        row: Of its first pixel, mosaic pixels.
    """

    source: PixelSource
    column: int
    row: int


class MosaicSource:
    """Files beside each other on one grid; where they overlap, the first with data is shown.

    Args:
        tiles: In order of precedence; all with the same channels and type.
        width: Of the mosaic, pixels.
        height: Of the mosaic, pixels.
    """

    def __init__(self, tiles: Sequence[MosaicTile], width: int, height: int) -> None:
        first = tiles[0].source
        self.tiles = tuple(tiles)
        self.width, self.height = width, height
        self.channels, self.dtype = first.channels, first.dtype
        self.categorical = first.categorical
        # Each tile has already turned its own nodata into a mask.
        self.nodata: tuple[float | None, ...] = (None,) * first.channels

    def read(self, window: PixelWindow, out_size: tuple[int, int] | None = None) -> Pixels:
        """Read a window, averaged down to out_size (width, height) where one is given."""
        width, height = out_size or (window.width, window.height)
        values = np.zeros((height, width, self.channels), self.dtype)
        valid = np.zeros((height, width), np.bool_)
        for tile in self.tiles:
            self._add(tile, window, values, valid)
            if valid.all():
                break
        return Pixels(values, some_valid(valid))

    def _add(
        self,
        tile: MosaicTile,
        window: PixelWindow,
        values: np.ndarray[Any, Any],
        valid: np.ndarray[Any, Any],
    ) -> None:
        """Lay one tile under what is there already."""
        columns = _overlap(window.column, window.width, tile.column, tile.source.width)
        rows = _overlap(window.row, window.height, tile.row, tile.source.height)
        if columns is None or rows is None:
            return
        height, width = valid.shape
        left, right = (round((edge - window.column) * width / window.width) for edge in columns)
        top, bottom = (round((edge - window.row) * height / window.height) for edge in rows)
        if left == right or top == bottom:
            return  # thinner than half a pixel of the picture
        target = (slice(top, bottom), slice(left, right))
        free = ~valid[target]
        if not free.any():
            return
        inside = PixelWindow(
            columns[0] - tile.column, rows[0] - tile.row,
            columns[1] - columns[0], rows[1] - rows[0],
        )  # fmt: skip
        size = (right - left, bottom - top)
        same = size == (inside.width, inside.height)
        pixels = tile.source.read(inside, None if same else size)
        if pixels.valid is not None:
            free &= pixels.valid
        values[target][free] = pixels.values[free]
        valid[target] |= free

    def sweep(self, paint: Paint, threads: int) -> Iterator[Strip]:
        """Paint all rows, top to bottom."""
        return sweep_windows(self, _BAND_ROWS, paint)

    def overview_factor(self, factor: float) -> float:
        """Return the decimation that every tile has an overview for; 1 for none."""
        return min(tile.source.overview_factor(factor) for tile in self.tiles)

    def sample(self) -> list[Pixels]:
        """Return pieces of every tile."""
        return [pixels for tile in self.tiles for pixels in tile.source.sample()]

    def close(self) -> None:
        """Close every tile."""
        for tile in self.tiles:
            tile.source.close()


class StackSource:
    """Bands kept in separate files, read as one; all files lie on the same grid.

    Args:
        sources: One per shown channel, in order.
    """

    def __init__(self, sources: Sequence[PixelSource]) -> None:
        first = sources[0]
        self.sources = tuple(sources)
        self.width, self.height = first.width, first.height
        self.channels = len(sources)
        self.dtype = np.result_type(*(source.dtype for source in sources))
        self.nodata = tuple(source.nodata[0] for source in sources)
        self.categorical = False

    def read(self, window: PixelWindow, out_size: tuple[int, int] | None = None) -> Pixels:
        """Read a window of every file; a pixel is data where any of them has data."""
        planes = [source.read(window, out_size) for source in self.sources]
        values = np.concatenate([plane.values for plane in planes], axis=2).astype(
            self.dtype, copy=False
        )
        masks = [plane.valid for plane in planes if plane.valid is not None]
        if len(masks) < len(planes):
            return Pixels(values, None)
        return Pixels(values, some_valid(np.logical_or.reduce(masks)))

    def sweep(self, paint: Paint, threads: int) -> Iterator[Strip]:
        """Paint all rows, top to bottom."""
        return sweep_windows(self, _BAND_ROWS, paint)

    def overview_factor(self, factor: float) -> float:
        """Return the decimation that every file has an overview for; 1 for none."""
        return min(source.overview_factor(factor) for source in self.sources)

    def sample(self) -> list[Pixels]:
        """Return pieces of the scene; the files are sampled at the same places."""
        return spread(self)

    def close(self) -> None:
        """Close every file."""
        for source in self.sources:
            source.close()


def _overlap(first: int, first_size: int, second: int, second_size: int) -> tuple[int, int] | None:
    start, end = max(first, second), min(first + first_size, second + second_size)
    return (start, end) if start < end else None
