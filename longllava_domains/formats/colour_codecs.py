"""Decode one colour tile that is no ordinary JPEG; runs in the jail, as `formats.decoding.frames` says.

Whole or not at all: codestreams that were cut and closed with an end marker are refused.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.formats.dicom.jpeg_end import before_end
from longllava_domains.formats.dicom.tile_parts import leads_to_end

Rgb = NDArray[np.uint8]

# imagecodecs' own errors are RuntimeErrors.
_DECODER_ERRORS: Final = (RuntimeError, ValueError, TypeError, OverflowError, MemoryError)
# Where these give the same image behind what there is, no byte that the image needs is missing.
_FILLERS: Final = (b"\x00" * 64 + b"\xff\xd9", b"\x5a" * 64 + b"\xff\xd9")
_RLE_HEADER_BYTES: Final = 64


def decode_colour(data: bytes, family: str, rows: int, columns: int) -> tuple[Rgb, int]:
    """Decode a tile of three samples of 8 bits.

    Args:
        data: The codestream, from its start marker on; or DICOM's run-length data.
        family: ``"jpeg-lossless"``, ``"jpeg-ls"``, ``"jpeg2000"``, ``"htj2k"`` or ``"rle"``.
        rows: Rows that it must have.
        columns: Columns that it must have.

    Returns:
        Samples (rows, columns, 3) as stored, and 0.

    Raises:
        DamagedInputError: It cannot be decoded whole, or to another size.
        UnsupportedInputError: This build of imagecodecs lacks the codec.
    """
    decoders: dict[str, Callable[[bytes], NDArray[Any]]] = {
        "jpeg-lossless": _jpeg_lossless,
        "jpeg-ls": _jpeg_ls,
        "jpeg2000": _jpeg2000,
        "htj2k": lambda data: _htj2k(data, rows, columns),
        "rle": lambda data: _rle(data, rows, columns),
    }
    try:
        image = decoders[family](data)
    except ImportError:
        raise UnsupportedInputError(
            "No decoder for these compressed pixels is installed.",
            remedy="Install imagecodecs with all its codecs.",
            code="decoding.no_codec",
        ) from None
    except _DECODER_ERRORS:
        raise _damaged() from None
    if image.shape == (3, rows, columns):
        image = np.moveaxis(image, 0, -1)
    if image.dtype != np.uint8 or image.shape != (rows, columns, 3):
        raise _damaged()
    return np.ascontiguousarray(image), 0


def _jpeg_lossless(data: bytes) -> NDArray[Any]:
    import imagecodecs

    body = before_end(data)
    first, second = (
        imagecodecs.jpeg8_decode(body + filler, colorspace="rgb", outcolorspace="rgb")
        for filler in _FILLERS
    )
    if not np.array_equal(first, second):
        raise ValueError
    image: NDArray[Any] = first
    return image


def _jpeg_ls(data: bytes) -> NDArray[Any]:
    import imagecodecs

    image: NDArray[Any] = imagecodecs.jpegls_decode(data)
    return image


def _jpeg2000(data: bytes) -> NDArray[Any]:
    import imagecodecs

    if not leads_to_end(data):
        raise ValueError
    image: NDArray[Any] = imagecodecs.jpeg2k_decode(data)
    return image


def _htj2k(data: bytes, rows: int, columns: int) -> Rgb:
    """Decode high-throughput JPEG 2000, noticing where the decoder gave up.

    imagecodecs drops an error of OpenJPH in the middle of an image and returns what it has; lines
    come from the top, so a last row that was never written tells.
    """
    import imagecodecs

    if not leads_to_end(data):
        raise ValueError
    image = np.empty((rows, columns, 3), np.uint8)
    unwritten = ((np.arange(columns) * 37 + 11) % 101).astype(np.uint8)
    image[-1] = unwritten[:, None]
    imagecodecs.htj2k_decode(data, out=image)
    if (image[-1] == unwritten[:, None]).all(axis=0).any():
        raise ValueError
    return image


def _rle(data: bytes, rows: int, columns: int) -> Rgb:
    """Decode run-length encoded samples of 8 bits, three segments (PS3.5 annex G)."""
    import imagecodecs

    size = rows * columns * 3
    if len(data) <= _RLE_HEADER_BYTES or int.from_bytes(data[:4], "little") != 3:
        raise ValueError
    planes = imagecodecs.dicomrle_decode(data, np.dtype("u1"), out=size)
    if len(planes) != size:
        raise ValueError
    return np.frombuffer(planes, np.uint8).reshape(3, rows, columns)


def _damaged() -> DamagedInputError:
    return DamagedInputError(
        "A tile cannot be decoded.",
        remedy="Copy the slide again.",
        code="slide.damaged_tile",
    )
