"""Decode one tile of a slide to RGB, or say that it cannot be decoded; nothing is made up.

libjpeg fills what it cannot decode with grey and only warns, and its callers drop the warning. So
a JPEG's markers are looked at before it is decoded, and a tile that ends in that grey is
decoded again with other bytes behind it: where nothing was missing, both are the same.
"""

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.formats.colour_stream import (
    Colour,
    ColourStream,
    parse_colour_stream,
    scan_end,
)
from longllava_domains.formats.decoding.frames import decode_colour
from longllava_domains.pathology.slide_source import Rgb

# imagecodecs' own errors are RuntimeErrors.
_DECODER_ERRORS: Final = (RuntimeError, ValueError, TypeError, OverflowError, MemoryError)
# Where the end of an image is missing libjpeg takes zeros for it; these bits give another image.
_FILLER: Final = b"\x5a" * 64 + b"\xff\xd9"
# Blocks that libjpeg has no data for come out in this grey, in any colours.
_BLOCK, _NO_DATA = 8, 128
_FRACTION_BITS: Final = 16


class BadTileError(Exception):
    """A tile that cannot be decoded to its full size."""


class NoDecoderError(Exception):
    """A tile that is well formed, of a kind no decoder here reads."""


def decode_codestream(
    data: bytes, labelled: Colour, rows: int, columns: int, tables: bytes | None = None
) -> Rgb:
    """Decode a JPEG, JPEG 2000, HTJ2K or JPEG-LS tile.

    Args:
        data: The codestream.
        labelled: Its colours where the codestream does not say.
        rows: Rows that the index gives.
        columns: Columns that it gives.
        tables: JPEG tables shared by all tiles of a TIFF page.

    Raises:
        BadTileError: The bytes are damaged, or another image than the index says.
        NoDecoderError: 16 bits, grey, or a codec that is not installed.
    """
    header = parse_colour_stream(data)
    if header is None:
        raise BadTileError
    stream = header.stream
    if (stream.rows, stream.columns) != (rows, columns):
        raise BadTileError
    if stream.components != 3 or stream.precision != 8 or stream.signed:
        raise NoDecoderError
    colour = header.colour or labelled
    if stream.family != "jpeg":
        image = decode_jailed(data[stream.start :], stream.family, rows, columns)
        return to_rgb(image, colour)
    # libjpeg-turbo stays in this process: see docs/decisions/0013.
    try:
        return _decode_jpeg(data, header, colour, tables)
    except ImportError:
        raise NoDecoderError from None
    except _DECODER_ERRORS:
        raise BadTileError from None


def to_rgb(image: NDArray[Any], colour: Colour) -> Rgb:
    """Return uint8 (rows, columns, 3) as RGB.

    Full-range BT.601 as in JFIF (T.871) and DICOM (PS3.3 C.7.6.3.1.2), rounded as libjpeg does.
    """
    if colour == "rgb":
        return image
    y = image[..., 0].astype(np.int32)
    cb, cr = image[..., 1], image[..., 2]
    out = np.empty((*y.shape, 3), np.uint8)
    tables = _chroma_tables()
    for channel, shift in enumerate(
        (tables[0][cr], (tables[1][cb] + tables[2][cr]) >> _FRACTION_BITS, tables[3][cb])
    ):
        out[..., channel] = np.clip(y + shift, 0, 255)
    return out


@lru_cache(maxsize=1)
def _chroma_tables() -> tuple[NDArray[np.int32], ...]:
    """Return what Cr adds to red, Cb and Cr to green (as fixed-point numbers), and Cb to blue."""
    chroma = np.arange(256, dtype=np.int64) - 128
    one, half = 1 << _FRACTION_BITS, 1 << (_FRACTION_BITS - 1)

    def fixed(factor: float) -> int:
        return int(factor * one + 0.5)

    red = (fixed(1.402) * chroma + half) >> _FRACTION_BITS
    blue = (fixed(1.772) * chroma + half) >> _FRACTION_BITS
    tables = (red, -fixed(0.344136286) * chroma + half, -fixed(0.714136286) * chroma, blue)
    return tuple(table.astype(np.int32) for table in tables)


def _decode_jpeg(data: bytes, header: ColourStream, colour: Colour, tables: bytes | None) -> Rgb:
    end, fitting = scan_end(data, header.scan)
    if not fitting:
        raise BadTileError
    image = _jpeg(data, colour, tables)
    suspect = end is None or bool((image[-_BLOCK:, -_BLOCK:] == _NO_DATA).all())
    if suspect and not np.array_equal(image, _jpeg(data[:end] + _FILLER, colour, tables)):
        raise BadTileError
    return image


def _jpeg(data: bytes, colour: Colour, tables: bytes | None) -> Rgb:
    import imagecodecs

    image: Rgb = imagecodecs.jpeg8_decode(
        data, tables=tables, colorspace=colour, outcolorspace="rgb"
    )
    if image.ndim != 3 or image.shape[2] != 3:
        raise BadTileError
    return image


def decode_jailed(data: bytes, family: str, rows: int, columns: int) -> Rgb:
    """Decode a tile that is no ordinary JPEG, in a child process.

    Args:
        data: The codestream, or DICOM's run-length data.
        family: As `formats.colour_codecs.decode_colour` takes it.
        rows: Rows that the index gives.
        columns: Columns that it gives.

    Raises:
        BadTileError: It cannot be decoded whole.
        NoDecoderError: No decoder, or too many pixels.
    """
    try:
        return decode_colour(data, family, rows, columns)
    except DamagedInputError:
        raise BadTileError from None
    except UnsupportedInputError:
        raise NoDecoderError from None
