"""Decode one frame of compressed pixel data to raw 16-bit patterns.

imagecodecs decodes every syntax that CT uses; pydicom's plugins are the second path. The
codestream's own header chooses the decoder and must agree with the DICOM header about size.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.formats.dicom.codestream import Codestream, Family, parse_codestream
from longllava_domains.formats.dicom.jpeg_end import add_probe, before_end, breaks_off
from longllava_domains.formats.dicom.tile_parts import leads_to_end
from longllava_domains.privacy import silenced

RLE: Final = "1.2.840.10008.1.2.5"
# Transfer syntax -> what the report calls its decoder (PS3.6 annex A).
COMPRESSED: Final = {
    RLE: "rle",
    "1.2.840.10008.1.2.4.50": "jpeg_baseline",
    "1.2.840.10008.1.2.4.51": "jpeg_extended",
    "1.2.840.10008.1.2.4.57": "jpeg_lossless",
    "1.2.840.10008.1.2.4.70": "jpeg_lossless",
    "1.2.840.10008.1.2.4.80": "jpeg_ls",
    "1.2.840.10008.1.2.4.81": "jpeg_ls_near",
    "1.2.840.10008.1.2.4.90": "jpeg2000_lossless",
    "1.2.840.10008.1.2.4.91": "jpeg2000",
    "1.2.840.10008.1.2.4.201": "htj2k_lossless",
    "1.2.840.10008.1.2.4.202": "htj2k_lossless",
    "1.2.840.10008.1.2.4.203": "htj2k",
}
NATIVE: Final = {
    "1.2.840.10008.1.2": "uncompressed",
    "1.2.840.10008.1.2.1": "uncompressed",
    "1.2.840.10008.1.2.2": "uncompressed",
    "1.2.840.10008.1.2.1.99": "deflated",
}
MAY_BE_LOSSY: Final = frozenset({"jpeg_baseline", "jpeg_extended", "jpeg_ls_near"})
# imagecodecs' own errors are RuntimeErrors.
DECODER_ERRORS: Final = (RuntimeError, ValueError, TypeError, OverflowError, MemoryError)
_END: Final = b"\xff\xd9"
# Before the end marker, bytes that are changed to see whether a decoder read them, and to what.
_TAIL_BYTES: Final = 16
_OTHER: Final = 0x5A
_SYNTAX_OF: Final[dict[Family, str]] = {
    "jpeg": "1.2.840.10008.1.2.4.51",
    "jpeg-lossless": "1.2.840.10008.1.2.4.57",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg2000": "1.2.840.10008.1.2.4.91",
    "htj2k": "1.2.840.10008.1.2.4.203",
}
# Two ways to fill up a stream whose end is missing: where they give the same image, no byte
# that the image needs is missing.
_FILLERS: Final = (b"\x00" * 64 + _END, b"\x5a" * 64 + _END)


def decode_frame(data: bytes, syntax: str, rows: int, columns: int) -> tuple[NDArray[Any], int]:
    """Decode one frame.

    Args:
        data: The frame's fragments, joined.
        syntax: Transfer syntax UID; only RLE has no header of its own.
        rows: Rows that the DICOM header gives.
        columns: Columns that it gives.

    Returns:
        uint16 patterns (rows, columns), and the bits that carry a value (0 where the codestream
        does not say); signed samples are two's complement in those bits.

    Raises:
        DamagedInputError: The bytes cannot be decoded, or not to that size.
        UnsupportedInputError: No decoder for what the bytes are.
    """
    if syntax == RLE:
        return _decode_rle(data, rows, columns), 0
    stream = parse_codestream(data)
    if stream is None:
        raise _damaged("the compressed data has no readable header")
    if stream.components != 1 or not 8 <= stream.precision <= 16:
        raise UnsupportedInputError(
            f"A slice holds {stream.components} colour components of {stream.precision} bits.",
            remedy="Only grey images of 8 to 16 bits can be CT slices.",
            code="ct.codestream",
            facts={"components": stream.components, "bits": stream.precision},
        )
    if (stream.rows, stream.columns) != (rows, columns):
        raise _damaged("the compressed image has another size than the header gives")
    image = _decode_whole(data[stream.start :], stream)
    if image.shape != (rows, columns) or image.dtype.kind not in "iu":
        raise _damaged("the decoder returned another size than the header gives")
    if image.dtype.itemsize == 1:
        image = image.astype(np.int16 if image.dtype.kind == "i" else np.uint16)
    return np.ascontiguousarray(image).view(np.uint16), stream.precision


def _decode_whole(data: bytes, stream: Codestream) -> NDArray[Any]:
    """Decode a codestream that is complete, or can be proved to lack only its end marker."""
    if stream.family in ("jpeg2000", "htj2k"):
        if not leads_to_end(data):
            raise _damaged("the compressed image is cut short or has no end")
        image = _decode(data, stream)
        _require_read_to_the_end(data, image, stream)
        return image
    if stream.family in ("jpeg", "jpeg-lossless") and breaks_off(data):
        raise _damaged("a marker stands inside its data, where a decoder stops")
    if stream.complete and stream.family == "jpeg-ls":  # CharLS itself refuses what is cut
        return _decode(data, stream)
    if stream.complete and stream.family == "jpeg-lossless":
        probe = add_probe(data)
        probed = None if probe is None else _decode(probe.data, stream)
        if probe is not None and probed is not None and probe.found_in(probed):
            return probed[:-1]
    body = before_end(data) if stream.complete else data
    first, second = (_decode(body + filler, stream) for filler in _FILLERS)
    if not np.array_equal(first, second):
        raise _damaged("the compressed image is cut short")
    if stream.family == "jpeg":
        _require_read_to_the_end(body + _END, first, stream)
    return first


def _require_read_to_the_end(data: bytes, image: NDArray[Any], stream: Codestream) -> None:
    """Refuse an image that ends in what decoders leave unwritten, if its last bytes change nothing.

    A decoder that gives up inside fills the rest with the middle of the range and says nothing. In an
    image that really ends so, the last bytes say it: with others it ends otherwise.

    Raises:
        DamagedInputError: The decoder never came to the end of the data.
    """
    unwritten = 0 if stream.signed else 1 << (stream.precision - 1)
    if not (image[-1] == unwritten).all():
        return
    end = data.rfind(_END)
    tail = bytes(0xA5 if byte == _OTHER else _OTHER for byte in data[end - _TAIL_BYTES : end])
    try:
        other = _decode(data[: end - len(tail)] + tail + data[end:], stream)
    except DamagedInputError:
        return
    if np.array_equal(other, image):
        raise _damaged("its decoder gave up before the end")


def _decode(data: bytes, stream: Codestream) -> NDArray[Any]:
    """Decode with imagecodecs, or with pydicom where this build of it lacks the codec."""
    import imagecodecs

    decoders = {
        "jpeg": imagecodecs.jpeg8_decode,
        "jpeg-lossless": imagecodecs.jpeg8_decode,
        "jpeg-ls": imagecodecs.jpegls_decode,
        "jpeg2000": imagecodecs.jpeg2k_decode,
        "htj2k": lambda data: _decode_htj2k(data, stream),
    }
    try:
        image: NDArray[Any] = decoders[stream.family](data)
    except ImportError:
        return _decode_with_pydicom(data, stream)
    except DECODER_ERRORS:
        raise _damaged("the decoder refused the compressed data") from None
    return image


def _decode_htj2k(data: bytes, stream: Codestream) -> NDArray[Any]:
    """Decode high-throughput JPEG 2000, noticing where the decoder gave up.

    imagecodecs drops an error of OpenJPH in the middle of an image and returns what it has; lines
    come from the top, so a last row that was never written tells.
    """
    import imagecodecs

    dtype = f"{'i' if stream.signed else 'u'}{1 if stream.precision <= 8 else 2}"
    image = np.empty((stream.rows, stream.columns), dtype)
    unwritten = (np.arange(stream.columns) * 37 + 11) % 101
    image[-1] = unwritten
    imagecodecs.htj2k_decode(data, out=image)
    if np.array_equal(image[-1], unwritten):
        raise ValueError
    return image


def _decode_with_pydicom(data: bytes, stream: Codestream) -> NDArray[Any]:
    """Decode with whichever plugin pydicom finds."""
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    syntax = UID(_SYNTAX_OF[stream.family])
    decoder: Any = get_decoder(syntax)  # its options are typed for data sets only
    with silenced():
        try:
            image, _ = decoder.as_array(
                encapsulate([data]),
                index=0,
                raw=True,
                transfer_syntax_uid=syntax,
                rows=stream.rows,
                columns=stream.columns,
                number_of_frames=1,
                samples_per_pixel=1,
                photometric_interpretation="MONOCHROME2",
                pixel_keyword="PixelData",
                pixel_representation=int(stream.signed),
                bits_allocated=16 if stream.precision > 8 else 8,
                bits_stored=stream.precision,
            )
        except DECODER_ERRORS:
            raise UnsupportedInputError(
                "No decoder for these compressed pixels is installed.",
                remedy="Install imagecodecs with all its codecs, or export the series uncompressed.",
                code="ct.no_decoder",
            ) from None
    return np.asarray(image)


def _decode_rle(data: bytes, rows: int, columns: int) -> NDArray[Any]:
    """Decode run-length encoding of 16-bit samples (PS3.5 annex G)."""
    import imagecodecs

    size = rows * columns * 2
    starts = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "little") for i in range(2)]
    ordered = len(data) > 64 and starts[0] == 64 and 64 < starts[1] < len(data)
    if int.from_bytes(data[:4], "little") != 2 or not ordered:
        raise _damaged("the run-length data does not hold two segments")
    try:
        planes = imagecodecs.dicomrle_decode(data, np.dtype("<u2"), out=size)
    except DECODER_ERRORS:
        raise _damaged("the run-length data cannot be decoded") from None
    if len(planes) != size:
        raise _damaged("the run-length data has another size than the header gives")
    return np.frombuffer(planes, "<u2").reshape(rows, columns)


def _damaged(found: str) -> DamagedInputError:
    return DamagedInputError(
        f"A slice cannot be decoded: {found}.",
        remedy="Copy or export the series again.",
        code="ct.damaged_pixels",
    )
