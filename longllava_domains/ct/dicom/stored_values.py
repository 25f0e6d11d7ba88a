"""Turn stored pixels into int16 Hounsfield units, exactly.

PS3.3 C.7.6.3.1, C.7.5.1.1.2 (padding) and C.11.1 (modality LUT). Bits that carry no value are
masked, signed values extended, padding becomes air, and the rescale is done in integers where it
can be; a value that would leave int16 is refused, never wrapped.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.errors import (
    DamagedInputError,
    InputError,
    IntensityError,
    UnsupportedInputError,
)
from longllava_domains.formats.decoding.frames import decode_frame
from longllava_domains.formats.dicom.codecs import COMPRESSED, MAY_BE_LOSSY
from longllava_domains.formats.dicom.fast_parser import DEFLATED, read_inflated
from longllava_domains.formats.dicom.source_file import SourceFile

AIR_HU: Final = -1024
# A padding value inside this range would also be a value of the patient.
_PATIENT_HU: Final = (-900, 4000)
# Nothing real lies below this; noise of air ends well above.
_EMPTIEST_HU: Final = -1500


@dataclass(frozen=True)
class HuScale:
    """hu = slope * stored + intercept."""

    slope: float
    intercept: float

    @property
    def exact(self) -> bool:
        """True where both are whole numbers."""
        return self.slope == int(self.slope) and self.intercept == int(self.intercept)


@contextmanager
def naming(header: SliceHeader) -> Iterator[None]:
    """Add to an error which file it is about, by position and hash."""
    try:
        yield
    except InputError as error:
        raise type(error)(
            f"{error.message} It is {header.file.label}.",
            remedy=error.remedy,
            code=error.code,
            facts=error.facts,
        ) from None


def check_storage(header: SliceHeader) -> None:
    """Refuse pixels that cannot be those of a CT slice, or that the file does not hold.

    Raises:
        UnsupportedInputError: Not 16-bit integers, or an unknown transfer syntax.
        DamagedInputError: Contradictory bits, or pixel data cut short.
    """
    stored, high = header.bits_stored, header.high_bit
    if header.bits_allocated != 16:
        raise UnsupportedInputError(
            f"Pixels have {header.bits_allocated or 0} bits allocated.",
            remedy="CT slices are read with 16 bits allocated; export the original images.",
            code="ct.bits_allocated",
            facts={"bits_allocated": header.bits_allocated},
        )
    if not stored or not 8 <= stored <= 16 or high is None or not stored - 1 <= high <= 15:
        raise DamagedInputError(
            f"Bits stored ({stored}) and high bit ({high}) contradict each other.",
            remedy="Export the series again from the scanner or the archive.",
            code="ct.bits",
            facts={"bits_stored": stored, "high_bit": high},
        )
    if header.pixel_length is None:
        if header.syntax and header.syntax not in COMPRESSED:
            raise UnsupportedInputError(
                "The transfer syntax of the compressed pixels is unknown.",
                remedy="Export the series uncompressed, or as JPEG lossless or JPEG 2000.",
                code="ct.transfer_syntax",
            )
        if not header.spans:
            raise _unreadable()
        return
    need = (header.rows or 0) * (header.columns or 0) * 2 * header.frames
    extra = header.pixel_length - need
    end = (header.pixel_offset or 0) + header.pixel_length
    cut = end > header.file.size and header.syntax != DEFLATED
    if extra < 0 or cut or extra >= 2 * (header.columns or 0):
        raise DamagedInputError(
            f"The pixel data of a slice is {'cut short' if cut or extra < 0 else 'longer than its size'}.",
            remedy="Copy or export the series again.",
            code="ct.pixel_length",
            facts={"bytes_needed": need, "bytes_given": header.pixel_length},
        )


def read_slice(header: SliceHeader, scale: HuScale) -> NDArray[np.int16]:
    """Read one slice as int16 Hounsfield units (rows, columns).

    Raises:
        DamagedInputError: The pixels cannot be read or decoded.
        UnsupportedInputError: No decoder for them.
        IntensityError: A value leaves int16.
    """
    patterns, precision = read_patterns(header)
    return to_hounsfield_units(patterns, header, scale, precision)


def read_patterns(header: SliceHeader) -> tuple[NDArray[np.uint16], int]:
    """Return the stored 16-bit patterns (rows, columns) and the codestream's precision, or 0."""
    rows, columns = header.rows or 0, header.columns or 0
    try:
        if header.pixel_length is None:
            data = _compressed_frame(header)
            return decode_frame(data, header.syntax, rows, columns)
        data = _native_frame(header, rows * columns * 2)
    except (OSError, EOFError, zlib.error):
        raise _unreadable() from None
    if len(data) < rows * columns * 2:
        raise _unreadable()
    order = "<u2" if header.little_endian else ">u2"
    return np.frombuffer(data, order, rows * columns).reshape(rows, columns), 0


def _native_frame(header: SliceHeader, size: int) -> bytes:
    with header.file.open() as stream:
        start = (header.pixel_offset or 0) + header.frame * size
        if header.syntax == DEFLATED:
            return _inflated(header.file, header.file.open)[start : start + size]
        stream.seek(start)
        return stream.read(size)


# A multi-frame file is inflated once, not for each frame; opened again, it is another key.
@lru_cache(maxsize=1)
def _inflated(_: SourceFile, opens: Callable[[], BinaryIO]) -> bytes:
    with opens() as stream:
        return read_inflated(stream) or b""


def _compressed_frame(header: SliceHeader) -> bytes:
    with header.file.open() as stream:
        parts = []
        for at, length in header.spans:
            stream.seek(at)
            parts.append(stream.read(length))
        return b"".join(parts)


def to_hounsfield_units(
    patterns: NDArray[Any], header: SliceHeader, scale: HuScale, precision: int = 0
) -> NDArray[np.int16]:
    """Apply bits, sign, padding and rescale to stored patterns.

    Args:
        patterns: uint16 (rows, columns), either byte order.
        header: Says which bits count.
        scale: Rescale.
        precision: Bits of the codestream; 0 for uncompressed pixels.

    Raises:
        IntensityError: A value leaves int16.
    """
    values = _stored_values(patterns, header, precision)
    outside = _padded(patterns, values, header, scale)
    if outside is not None:
        values = np.where(outside, _any_inside(values, outside), values)
    low, high = sorted(
        scale.slope * float(v) + scale.intercept for v in (values.min(), values.max())
    )
    if np.rint(low) < -32768 or np.rint(high) > 32767:
        raise IntensityError(
            f"Rescaled values from {low:g} to {high:g} do not fit Hounsfield units in int16.",
            remedy="Check the rescale slope and intercept, or pass hu=(slope, intercept).",
            code="hu.range",
            facts={"min": low, "max": high},
        )
    if scale.exact:
        # Arithmetic modulo 2**16 is exact because the result fits.
        hu = values.astype(np.int16)
        if scale.slope != 1:
            hu *= np.array(int(scale.slope) & 0xFFFF, np.uint16).view(np.int16)
        hu += np.array(int(scale.intercept) & 0xFFFF, np.uint16).view(np.int16)
    else:
        hu = np.rint(values * scale.slope + scale.intercept).astype(np.int16)
    if outside is not None:
        hu[outside] = AIR_HU
    return hu


def _stored_values(patterns: NDArray[Any], header: SliceHeader, precision: int) -> NDArray[Any]:
    """Mask the bits that carry no value and extend the sign."""
    stored, high = header.bits_stored or 16, header.high_bit or 15
    if precision:
        _refuse_unknown_sign(patterns, header, precision)
        # A codestream holds the value in its lowest bits, whatever the high bit says.
        stored, high = min(stored, precision), min(stored, precision) - 1
    drop = 15 - high
    if header.signed:
        shifted = patterns.astype(np.uint16) << drop if drop else patterns.astype(np.uint16)
        return shifted.view(np.int16) >> (16 - stored)
    if drop:
        return (patterns.astype(np.uint16) << drop) >> (16 - stored)
    return (
        patterns.astype(np.uint16) >> (16 - stored) if stored < 16 else patterns.astype(np.uint16)
    )


def has_bits_beyond(header: SliceHeader) -> bool:
    """Return whether bits above those that the header says are stored carry more than the sign.

    Overlays of old scanners lie there; so does half of every value where Bits Stored is too low.
    """
    patterns, precision = read_patterns(header)
    if precision:
        return False
    high = header.high_bit or 15
    from_high = patterns >> high  # 0 or 1 where nothing lies above; all ones where a sign does
    extended = (from_high == 0xFFFF >> high) & header.signed
    return bool(((from_high > 1) & ~extended).any())


def _refuse_unknown_sign(patterns: NDArray[Any], header: SliceHeader, precision: int) -> None:
    """Refuse values that are negative by the codestream's bits, positive by the header's.

    Signed values that fill fewer bits than the header gives either lost their upper bits or never
    were negative; decoders disagree. A signed codestream has extended the sign itself.
    """
    if not header.signed or precision >= (header.bits_stored or 16):
        return
    if ((patterns >> (precision - 1)) == 1).any():
        raise DamagedInputError(
            f"A slice is compressed with {precision} bits and no sign, and its header says "
            f"{header.bits_stored} bits with a sign.",
            remedy="Export the series again, uncompressed.",
            code="ct.bits",
            facts={"bits_stored": header.bits_stored, "precision": precision},
        )


def padding_range(header: SliceHeader, scale: HuScale) -> tuple[int, int] | None:
    """Return the stored values that mean "outside the image", None where none are usable.

    A range that would also hit values of a patient is not used.
    """
    if not header.padding:
        return None
    values = [int(np.uint16(v).view(np.int16)) if header.signed else v for v in header.padding]
    low, high = min(values), max(values)
    low_hu, high_hu = sorted(scale.slope * value + scale.intercept for value in (low, high))
    hits_patient = low_hu < _PATIENT_HU[1] and high_hu > _PATIENT_HU[0]
    return None if hits_patient else (low, high)


def _padded(
    patterns: NDArray[Any], values: NDArray[Any], header: SliceHeader, scale: HuScale
) -> NDArray[np.bool_] | None:
    """Return the mask of padding, None where there is none.

    The padding value is compared with the whole pattern as well: it may use bits beyond those
    stored, and has been met as VR US beside signed pixels.
    """
    whole = padding_range(header, scale)
    if whole is None:
        return None
    low, high = whole
    if _may_be_off(header) and scale.slope > 0:
        # Lossy compression moves the padding value; nothing of a patient lies that far below air.
        empty = (_EMPTIEST_HU - scale.intercept) / scale.slope
        low, high = (-32768, max(high, int(empty))) if high < empty else (low, high)
    mask = (values >= low) & (values <= high)
    for value in header.padding:
        mask |= patterns == value
    return mask if mask.any() else None


def _may_be_off(header: SliceHeader) -> bool:
    return header.lossy or COMPRESSED.get(header.syntax, "") in MAY_BE_LOSSY


def _any_inside(values: NDArray[Any], outside: NDArray[np.bool_]) -> Any:
    inside = values[~outside]
    return inside[0] if inside.size else 0


def _unreadable() -> DamagedInputError:
    return DamagedInputError(
        "The pixel data of a slice cannot be read, or is cut short.",
        remedy="Copy or export the series again.",
        code="ct.damaged_pixels",
    )
