"""Parse the header of a DICOM file for a few elements, several times faster than a full one.

PS3.5 section 7.1 and 7.5. The scanner reads well-formed explicit and implicit little endian
data sets and returns None for anything else, so that pydicom decides about it; it never
guesses. What it returns equals what pydicom returns for the same elements.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from struct import Struct
from typing import BinaryIO, Final

PIXEL_DATA: Final = 0x7FE00010
FIRST_PIXEL_TAG: Final = 0x7FE00001  # extended offset table; then float and double pixel data
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_FUNCTIONAL_GROUPS: Final = 0x5200

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"

_LONG_VRS: Final = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC",
                              b"UN", b"UR", b"UT", b"UV"})  # fmt: skip
_SHORT_VRS: Final = frozenset({b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL",
                               b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM",
                               b"UI", b"UL", b"US"})  # fmt: skip
_TAG_VR_LENGTH: Final = Struct("<HH2sH").unpack_from
_TAG_LENGTH: Final = Struct("<HHL").unpack_from
_LENGTH: Final = Struct("<L").unpack_from

_LONGEST_HEAD: Final = 12  # bytes of tag, VR and length; pixel data stands behind the last one
_CHUNK: Final = 16 * 1024
_MAX_HEADER: Final = 64 * 1024 * 1024
_MAX_DEPTH: Final = 16
# Deflate can grow a thousandfold: a file of some megabytes must not fill the memory.
_MAX_INFLATED: Final = 512 * 1024 * 1024
_ALWAYS_INFLATED: Final = 16 * 1024 * 1024
_MAX_RATIO: Final = 200


@dataclass(frozen=True, slots=True)
class ParsedElements:
    """Elements of one header, as raw bytes.

    Attributes:
        syntax: Transfer syntax UID; empty where the file has none.
        elements: Tag -> value bytes, for the wanted tags found.
        little_endian: Byte order of binary values.
        pixel_offset: Where the value of the pixel data starts: in the file, or in its inflated
            data set where it is deflated. None where there is no pixel data.
        pixel_length: Bytes of the value; None where undefined (encapsulated).
        has_pixels: There is an element for integer pixel data.
    """

    syntax: str
    elements: dict[int, bytes]
    little_endian: bool
    pixel_offset: int | None
    pixel_length: int | None
    has_pixels: bool


class _UnusualError(Exception):
    """The data set is not one that the scanner reads."""


class _Window:
    """The bytes read so far; grows on demand."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.data = file.read(_CHUNK)

    def rest(self, start: int) -> bytes:
        """Return everything from an offset to the end."""
        self.data += self._file.read()
        return self.data[start:]

    def reach(self, end: int) -> None:
        """Read on so that `end` bytes are there, or give up."""
        if end > len(self.data):
            if end > _MAX_HEADER:
                raise _UnusualError
            self.data += self._file.read(max(_CHUNK, end - len(self.data)))
            if end > len(self.data):
                raise _UnusualError


def parse(file: BinaryIO, wanted: frozenset[int]) -> ParsedElements | None:
    """Parse a header from the file's start.

    Args:
        file: Opened at its start; read forward only.
        wanted: Tags whose values are returned.

    Returns:
        The elements up to the pixel data, or None where pydicom has to decide.
    """
    try:
        window = _Window(file)
        if window.data[128:132] != b"DICM":
            return None
        syntax, start = _file_meta(window)
        if syntax in ("", _BIG_ENDIAN):
            return None
        if syntax == DEFLATED:
            window = _Window(BytesIO(inflate(window, start)))
            found = _dataset(window, 0, EXPLICIT, _explicit_element, wanted)
            return replace(found, syntax=syntax)
        step = _implicit_element if syntax == IMPLICIT else _explicit_element
        return _dataset(window, start, syntax, step, wanted)
    except _UnusualError:
        return None


def read_inflated(file: BinaryIO) -> bytes | None:
    """Return the inflated data set of a deflated file, None where it is none or beyond the limit."""
    try:
        window = _Window(file)
        syntax, start = _file_meta(window)
        return inflate(window, start) if syntax == DEFLATED else None
    except _UnusualError:
        return None


def read_syntax(file: BinaryIO) -> str | None:
    """Return the transfer syntax of a file with a preamble, None where it cannot be read."""
    try:
        window = _Window(file)
        return _file_meta(window)[0] if window.data[128:132] == b"DICM" else None
    except _UnusualError:
        return None


def inflate(window: _Window, start: int) -> bytes:
    """Inflate a data set (PS3.5 A.5), up to the limit."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    deflated = window.rest(start)
    most = min(_MAX_INFLATED, max(_ALWAYS_INFLATED, _MAX_RATIO * len(deflated)))
    try:
        data = inflater.decompress(deflated, most)
    except zlib.error:
        raise _UnusualError from None
    if not inflater.eof:
        raise _UnusualError
    return data


def _file_meta(window: _Window) -> tuple[str, int]:
    """Return the transfer syntax, and where the data set starts."""
    at = 132
    syntax = ""
    while True:
        window.reach(at + 8)
        group = _TAG_VR_LENGTH(window.data, at)[0]
        if group != 0x0002:
            return syntax, at
        window.reach(at + _LONGEST_HEAD)
        tag, start, length = _explicit_element(window.data, at)
        window.reach(start + length)
        if tag == 0x00020010 and not syntax:  # a group that is repeated in the data set is no word
            try:
                syntax = window.data[start : start + length].rstrip(b"\0 ").decode("ascii")
            except UnicodeDecodeError:
                raise _UnusualError from None
        at = start + length


_Step = Callable[[bytes, int], tuple[int, int, int]]


def _explicit_element(data: bytes, at: int) -> tuple[int, int, int]:
    """Return tag, value offset and length of the element at this offset."""
    group, element, vr, length = _TAG_VR_LENGTH(data, at)
    if vr in _SHORT_VRS:
        return group << 16 | element, at + 8, length
    if vr in _LONG_VRS:
        length = _LENGTH(data, at + 8)[0]
        # A sequence hidden in VR UN is implicit inside (PS3.5 6.2.2 note 2).
        if vr == b"UN" and length == _UNDEFINED:
            raise _UnusualError
        return group << 16 | element, at + 12, length
    raise _UnusualError


def _implicit_element(data: bytes, at: int) -> tuple[int, int, int]:
    """Return tag, value offset and length of the element at this offset."""
    group, element, length = _TAG_LENGTH(data, at)
    # Two letters of a VR where the length should be: explicit data under an implicit label.
    if data[at + 4 : at + 6].isalpha() and data[at + 4 : at + 6].isupper():
        raise _UnusualError
    return group << 16 | element, at + 8, length


def _dataset(
    window: _Window, at: int, syntax: str, step: _Step, wanted: frozenset[int]
) -> ParsedElements:
    """Walk the top level up to the pixel data."""
    elements: dict[int, bytes] = {}
    previous = 0x0007FFFF
    while True:
        if at + _LONGEST_HEAD > len(window.data):  # reach() would check, at the price of a call
            window.reach(at + _LONGEST_HEAD)
        tag, start, length = step(window.data, at)
        if tag <= previous or tag >> 16 == _FUNCTIONAL_GROUPS:
            raise _UnusualError
        previous = tag
        if tag >= FIRST_PIXEL_TAG:
            return _at_pixels(tag, start, length, syntax, elements)
        if length == _UNDEFINED:
            if tag in wanted:
                elements[tag] = b"\0"
            at = _skip_items(window, start, step, 1)
            continue
        at = start + length
        if tag in wanted:
            window.reach(at)
            elements[tag] = window.data[start:at]


def _at_pixels(
    tag: int, start: int, length: int, syntax: str, elements: dict[int, bytes]
) -> ParsedElements:
    """Finish at the pixel data; offset tables, float pixels or no pixels are pydicom's."""
    undefined = length == _UNDEFINED
    if tag != PIXEL_DATA or undefined == (syntax in (IMPLICIT, EXPLICIT)):
        raise _UnusualError
    return ParsedElements(syntax, elements, True, start, None if undefined else length, True)


def _skip_items(window: _Window, at: int, step: _Step, depth: int) -> int:
    """Return the offset behind a sequence of undefined length."""
    if depth > _MAX_DEPTH:
        raise _UnusualError
    while True:
        window.reach(at + 8)
        group, element, length = _TAG_LENGTH(window.data, at)
        tag = group << 16 | element
        at += 8
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM:
            raise _UnusualError
        if length != _UNDEFINED:
            at += length
            continue
        while True:
            window.reach(at + 8)
            group, element, _ = _TAG_LENGTH(window.data, at)
            if group << 16 | element == _ITEM_END:
                at += 8
                break
            window.reach(at + _LONGEST_HEAD)
            tag, start, length = step(window.data, at)
            if tag >> 16 == 0xFFFE:
                raise _UnusualError
            undefined = length == _UNDEFINED
            at = _skip_items(window, start, step, depth + 1) if undefined else start + length
