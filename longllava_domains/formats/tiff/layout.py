"""Layout of a plain local TIFF: the offset of each block in its file, and how it is decoded.

GDAL decodes through a block cache, one block after another. For the layouts that most scenes
have, the index of the file and a codec are enough, and blocks decode side by side. Whatever is
unusual here is left to GDAL: `find_layout` says None.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError

_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _ZSTD = 1, 5, 8, 32946, 50000
_COMPRESSIONS: Final = (_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _ZSTD)
_MINISBLACK, _RGB = 1, 2


@dataclass(frozen=True)
class TiffLayout:
    """The index of one TIFF image.

    Attributes:
        path: Local file.
        width: Pixels.
        height: Pixels.
        block_rows: Rows of a tile or strip; the last strip may hold fewer.
        block_columns: Columns of a tile; the width for strips.
        tiled: Tiles are padded to full size, strips are not.
        samples: Samples per pixel inside one block: all bands, or 1 if planes are separate.
        planes: 1, or the number of bands if planes are separate.
        dtype: As stored, byte order included.
        compression: TIFF tag 259.
        predictor: TIFF tag 317: 1 none, 2 horizontal, 3 floating point.
        offsets: Of each block, plane by plane, row by row.
        counts: Bytes of each block; 0 where a sparse file holds none.
    """

    path: str
    width: int
    height: int
    block_rows: int
    block_columns: int
    tiled: bool
    samples: int
    planes: int
    dtype: np.dtype[Any]
    compression: int
    predictor: int
    offsets: Sequence[int]
    counts: Sequence[int]

    @property
    def across(self) -> int:
        """Blocks in a row."""
        return -(-self.width // self.block_columns)

    @property
    def down(self) -> int:
        """Blocks in a column."""
        return -(-self.height // self.block_rows)

    @property
    def block_bytes(self) -> int:
        """Bytes of a whole decoded block."""
        return self.block_rows * self.block_columns * self.samples * self.dtype.itemsize

    def rows_in_block(self, down: int) -> int:
        """Return the rows stored in the blocks of one row of blocks."""
        if self.tiled:
            return self.block_rows
        return min(self.block_rows, self.height - down * self.block_rows)


def find_layout(path: str, dataset: Any) -> TiffLayout | None:
    """Return the layout of a local TIFF whose blocks we decode ourselves, or None.

    Args:
        path: As rasterio opened it.
        dataset: The rasterio dataset; what it says must agree with what the file's index says.
    """
    # Positioned reads let threads share one file; Windows has none, and leaves it to GDAL.
    if dataset.driver != "GTiff" or not hasattr(os, "pread") or not os.path.isfile(path):
        return None
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            return _layout(path, page, file.byteorder) if _plain(page, dataset) else None
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, KeyError, TypeError):
        return None  # GDAL opened it, so GDAL reads it


def _plain(page: Any, dataset: Any) -> bool:
    bands = page.samplesperpixel
    return (
        (page.imagewidth, page.imagelength, bands) == (dataset.width, dataset.height, dataset.count)
        and page.dtype is not None
        and all(page.dtype == np.dtype(name) for name in dataset.dtypes)
        and page.dtype.kind in "iuf"
        and page.bitspersample == 8 * page.dtype.itemsize
        and page.compression in _COMPRESSIONS
        and page.predictor in (1, 2, 3)
        and page.photometric in (_MINISBLACK, _RGB)
        and page.fillorder == 1
        and page.imagedepth == 1
        and not page.is_subsampled
    )


def _layout(path: str, page: Any, byte_order: str) -> TiffLayout | None:
    separate = page.planarconfig == 2 and page.samplesperpixel > 1
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    layout = TiffLayout(
        path=path,
        width=page.imagewidth,
        height=page.imagelength,
        block_rows=rows,
        block_columns=page.tilewidth if page.is_tiled else page.imagewidth,
        tiled=bool(page.is_tiled),
        samples=1 if separate else page.samplesperpixel,
        planes=page.samplesperpixel if separate else 1,
        dtype=page.dtype.newbyteorder(byte_order),
        compression=int(page.compression),
        predictor=int(page.predictor),
        offsets=page.dataoffsets,
        counts=page.databytecounts,
    )
    blocks = layout.across * layout.down * layout.planes
    whole = len(layout.offsets) == len(layout.counts) == blocks and _inside(layout)
    # Integers have no floating point predictor and half floats none we know: GDAL decides.
    known = layout.predictor != 3 or (layout.dtype.kind == "f" and layout.dtype.itemsize >= 4)
    return layout if whole and known else None


def _inside(layout: TiffLayout) -> bool:
    """Return whether every block lies inside the file; a damaged index may ask for terabytes."""
    size = os.path.getsize(layout.path)
    ends = (offset + count for offset, count in zip(layout.offsets, layout.counts, strict=True))
    return all(0 <= end <= size for end in ends)


def decode_block(layout: TiffLayout, data: bytes, out: NDArray[np.uint8]) -> None:
    """Decompress one block into `out`, which has exactly its size.

    Raises:
        DamagedInputError: The bytes do not decode to a whole block.
    """
    import imagecodecs

    target = memoryview(out)  # type: ignore[arg-type]  # NumPy's buffers have no typed item
    try:
        if layout.compression == _NONE:
            written = len(data)
            out[: min(written, len(out))] = np.frombuffer(data, np.uint8, min(written, len(out)))
        elif layout.compression == _LZW:
            written = len(imagecodecs.lzw_decode(data, out=target))
        elif layout.compression == _ZSTD:
            written = len(imagecodecs.zstd_decode(data, out=target))
        else:
            written = len(imagecodecs.deflate_decode(data, out=target))
    except (RuntimeError, ValueError):  # every codec's own error is a RuntimeError
        written = -1
    if written < len(out):
        raise DamagedInputError(
            "A block of the TIFF file does not decode to its full size.",
            remedy="The file is truncated or damaged: fetch it again.",
            code="raster.damaged",
            facts={"bytes": written, "expected": len(out)},
        )


def undo_predictor(layout: TiffLayout, values: NDArray[Any]) -> NDArray[Any]:
    """Undo the predictor along rows.

    Args:
        layout: Says which predictor.
        values: (rows, columns, samples) of whole blocks, as stored.

    Returns:
        The values in native byte order; may be the same array.
    """
    import imagecodecs

    if layout.predictor == 3:
        # The predictor has already put the bytes in big-endian order, whatever the file's is.
        plain = np.empty(values.shape, layout.dtype.newbyteorder("="))
        imagecodecs.floatpred_decode(values.view(plain.dtype), axis=1, out=plain)
        return plain
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    if layout.predictor == 2:
        imagecodecs.delta_decode(native, axis=1, out=native)
    return native
