"""Rows out of giant strips, decompressed as a stream so that no strip is held whole."""

import zlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.tiff.layout import TiffLayout, undo_predictor
from longllava_domains.units import MIB

_READ_BYTES: Final = MIB
_BAND_BYTES: Final = 16 * MIB
_STORED, _DEFLATES = 1, (8, 32946)


def can_stream(layout: TiffLayout) -> bool:
    """Return whether rows of a giant block can be had one after another."""
    in_rows = layout.block_columns >= layout.width and layout.planes == 1 and not layout.tiled
    stored = all(layout.counts)
    return in_rows and stored and layout.compression in (_STORED, *_DEFLATES)


def stream_rows(layout: TiffLayout) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (first row, values (rows, width, bands)) from top to bottom, about 16 MiB at a time.

    Raises:
        DamagedInputError: A strip ends before its last row.
    """
    row_bytes = layout.width * layout.samples * layout.dtype.itemsize
    rows_per_band = max(1, _BAND_BYTES // row_bytes)
    with open(layout.path, "rb") as file:
        for strip, (offset, count) in enumerate(zip(layout.offsets, layout.counts, strict=True)):
            top = strip * layout.block_rows
            left = layout.rows_in_block(strip)
            file.seek(offset)
            stream = _Stream(file, count, inflated=layout.compression != _STORED)
            while left:
                rows = min(rows_per_band, left)
                data = stream.take(rows * row_bytes)
                stored = np.frombuffer(data, layout.dtype)
                values = stored.reshape(rows, layout.width, layout.samples)
                yield top, undo_predictor(layout, values)
                top += rows
                left -= rows


class _Stream:
    """The bytes of one strip, decompressed as they are asked for."""

    def __init__(self, file: Any, count: int, *, inflated: bool) -> None:
        self.file = file
        self.left = count
        self.inflater = zlib.decompressobj() if inflated else None
        self.pending = b""

    def take(self, wanted: int) -> bytearray:
        """Return exactly this many decompressed bytes."""
        out = bytearray()
        while len(out) < wanted:
            piece = self._more(wanted - len(out))
            if not piece:
                raise DamagedInputError(
                    "A strip of the TIFF file ends before its last row.",
                    remedy="The file is truncated or damaged: fetch it again.",
                    code="raster.damaged",
                    facts={"bytes": len(out), "expected": wanted},
                )
            out += piece
        return out

    def _more(self, most: int) -> bytes:
        if self.inflater is None:
            return self._read(most)
        source = self.inflater.unconsumed_tail or self._read(_READ_BYTES)
        try:
            piece = self.inflater.decompress(source, most)
        except zlib.error:
            return b""
        # Input may be taken in without giving a byte yet; only the end of it is the end.
        while not piece and self.left and not self.inflater.eof:
            try:
                piece = self.inflater.decompress(self._read(_READ_BYTES), most)
            except zlib.error:
                return b""
        return piece

    def _read(self, most: int) -> bytes:
        data: bytes = self.file.read(min(most, self.left))
        self.left -= len(data)
        return data
