"""Boxes of pixels out of tiles that are each decoded once, while they are in reach."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from longllava_domains.pathology.slide_source import (
    DAMAGED_RGB,
    WHITE,
    Box,
    Damaged,
    Level,
    Rgb,
    damaged_tile,
)
from longllava_domains.pathology.sources.decode import BadTileError, NoDecoderError
from longllava_domains.units import MIB

# A row of views touches one row of tiles more than fits in its height. While those rows are kept, a
# sweep decodes each tile once; no more is, for what lies in the processor's cache is faster.
_VIEW_PX: Final = 336
_LEAST_CACHE, _MOST_CACHE = 32 * MIB, 208 * MIB


@dataclass(frozen=True)
class TileGrid:
    """Division of a level into tiles.

    Attributes:
        width: Of the level, pixels.
        height: Of the level, pixels.
        tile_width: Pixels.
        tile_height: Pixels.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return -(-self.width // self.tile_width)

    @property
    def down(self) -> int:
        """Tiles in a column."""
        return -(-self.height // self.tile_height)


class TiledSource:
    """A source whose subclass decodes one tile at a time; safe to read from several threads.

    Args:
        levels: As in `SlideSource`.
        grids: The tiles of each level.
        cache_bytes: Decoded tiles kept; by default the rows of tiles that a row of views touches.
    """

    def __init__(
        self,
        levels: tuple[Level, ...],
        grids: tuple[TileGrid, ...],
        cache_bytes: int | None = None,
    ) -> None:
        self.levels = levels
        self.grids = grids
        self._room = _sweep_bytes(grids[0]) if cache_bytes is None else cache_bytes
        self._kept: OrderedDict[tuple[int, int], Rgb] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()
        self._missing: set[tuple[int, int]] = set()
        self._damaged: set[tuple[int, int]] = set()

    def decode(self, level: int, index: int) -> Rgb | None:
        """Decode one tile, row-major index; None where the file holds none.

        The tile covers the grid's cell, or at least the part of it inside the level.

        Raises:
            BadTileError: It cannot be decoded.
            NoDecoderError: Nothing here decodes it.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Drop decoded tiles; a subclass also closes its files."""
        with self._lock:
            self._kept.clear()
            self._held = 0

    def header(self) -> Any:
        """Return None: the slide does not come from DICOM; see `SlideSource.header`."""
        return None

    def counts(self) -> Counter[str]:
        """Return how many tiles were found missing and damaged while reading."""
        found = {"tiles.missing": len(self._missing), "tiles.damaged": len(self._damaged)}
        return Counter({code: count for code, count in found.items() if count})

    def read(self, level: int, box: Box, damaged: Damaged = "refuse") -> Rgb:
        """Read a box of level pixels that lies inside the level; see `SlideSource.read`."""
        out = np.empty((box.height, box.width, 3), np.uint8)
        for index, left, top in self._cells(level, box):
            grid = self.grids[level]
            rows = slice(max(top, box.y), min(top + grid.tile_height, box.y + box.height))
            columns = slice(max(left, box.x), min(left + grid.tile_width, box.x + box.width))
            target = out[
                rows.start - box.y : rows.stop - box.y,
                columns.start - box.x : columns.stop - box.x,
            ]
            try:
                tile = self._tile(level, index)
            except (BadTileError, NoDecoderError):
                if damaged == "refuse":
                    raise damaged_tile(level) from None
                target[...] = DAMAGED_RGB
                continue
            if tile is None:
                target[...] = WHITE
            else:
                target[...] = tile[
                    rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
                ]
        return out

    def _cells(self, level: int, box: Box) -> Iterator[tuple[int, int, int]]:
        """Yield index, left and top of every tile that a box touches, row by row."""
        grid = self.grids[level]
        wide, high = grid.tile_width, grid.tile_height
        for row in range(box.y // high, -(-(box.y + box.height) // high)):
            for column in range(box.x // wide, -(-(box.x + box.width) // wide)):
                yield row * grid.across + column, column * wide, row * high

    def _tile(self, level: int, index: int) -> Rgb | None:
        key = (level, index)
        with self._lock:
            tile = self._kept.get(key)
            if tile is not None:
                self._kept.move_to_end(key)
                return tile
        if key in self._damaged:
            raise BadTileError
        try:
            tile = self.decode(level, index)
        except (BadTileError, NoDecoderError):
            self._damaged.add(key)
            raise
        if tile is None:
            self._missing.add(key)
            return None
        with self._lock:
            if key not in self._kept:
                self._kept[key] = tile
                self._held += tile.nbytes
            while self._held > self._room and len(self._kept) > 1:
                self._held -= self._kept.popitem(last=False)[1].nbytes
        return tile


def _sweep_bytes(grid: TileGrid) -> int:
    """Return the bytes of decoded tiles that a sweep of a level in rows of views comes back to."""
    rows = -(-_VIEW_PX // grid.tile_height) + 1
    needed = (rows * grid.across + 1) * grid.tile_width * grid.tile_height * 3
    return min(max(needed, _LEAST_CACHE), _MOST_CACHE)
