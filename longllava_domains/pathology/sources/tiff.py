"""Slides in TIFF read through the file's own index: each tile decoded once, straight to RGB."""

import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.tiff.layout import TiffLayout, decode_block, undo_predictor
from longllava_domains.pathology.slide_source import Rgb, make_levels
from longllava_domains.pathology.sources.decode import BadTileError, decode_codestream
from longllava_domains.pathology.sources.tiff_index import PLAIN, TiffIndex, TiffPage
from longllava_domains.pathology.sources.tiled import TiledSource, TileGrid

_PREMULTIPLIED = 1


class TiffSlideSource(TiledSource):
    """A slide TIFF.

    Args:
        index: What `read_index` returned.
    """

    def __init__(self, index: TiffIndex) -> None:
        layouts = [page.layout for page in index.pages]
        super().__init__(
            make_levels([(layout.width, layout.height) for layout in layouts]),
            tuple(
                TileGrid(layout.width, layout.height, layout.block_columns, layout.block_rows)
                for layout in layouts
            ),
        )
        self.pages = index.pages
        self._file = open(layouts[0].path, "rb")  # noqa: SIM115  (closed with the slide)
        self._turn = threading.Lock()

    def close(self) -> None:
        """Drop decoded tiles and close the file."""
        super().close()
        self._file.close()

    def decode(self, level: int, index: int) -> Rgb | None:
        """Decode one tile; see `TiledSource.decode`."""
        page = self.pages[level]
        layout = page.layout
        planes = [self._stored(layout, plane, index) for plane in range(layout.planes)]
        stored = [data for data in planes if data is not None]
        if not stored:
            return None
        if len(stored) != len(planes):
            raise BadTileError
        rows = layout.rows_in_block(index // layout.across)
        if layout.compression not in PLAIN:
            return decode_codestream(
                stored[0], page.colour, rows, layout.block_columns, page.tables
            )
        blocks = [_values(layout, data, rows) for data in stored]
        image = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=-1)
        return _on_white(image, page)

    def _stored(self, layout: TiffLayout, plane: int, index: int) -> bytes | None:
        """Return the bytes of one block; None where the file holds none."""
        at = plane * layout.across * layout.down + index
        offset, count = layout.offsets[at], layout.counts[at]
        if count == 0:
            return None
        if offset <= 0 or count < 0:
            raise BadTileError
        try:
            if hasattr(os, "pread"):
                data = os.pread(self._file.fileno(), count, offset)
            else:
                with self._turn:
                    self._file.seek(offset)
                    data = self._file.read(count)
        except (OSError, OverflowError, MemoryError):
            raise BadTileError from None
        if len(data) != count:
            raise BadTileError
        return data


def _values(layout: TiffLayout, data: bytes, rows: int) -> NDArray[np.uint8]:
    """Decompress one block of samples to (rows, columns, samples)."""
    out = np.empty(rows * layout.block_columns * layout.samples, np.uint8)
    try:
        decode_block(layout, data, out)
    except DamagedInputError:
        raise BadTileError from None
    values: NDArray[Any] = out.reshape(rows, layout.block_columns, layout.samples)
    return undo_predictor(layout, values)


def _on_white(image: NDArray[np.uint8], page: TiffPage) -> Rgb:
    """Drop an alpha channel, with what is transparent on white."""
    if image.shape[2] == 3:
        return image
    alpha = image[..., 3:].astype(np.uint16)
    colours = image[..., :3].astype(np.uint16)
    if page.alpha != _PREMULTIPLIED:
        colours = (colours * alpha + 127) // 255
    composed: Rgb = np.minimum(colours + (255 - alpha), 255).astype(np.uint8)
    return composed
