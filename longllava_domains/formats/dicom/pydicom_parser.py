"""The one place that calls pydicom to read files: quietly, and only for raw bytes.

pydicom's warnings and log lines repeat header values, so both are silenced around every call.
Values are taken as raw bytes; one that pydicom converts unasked is put back (`raw_bytes`).
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from struct import error as StructError  # noqa: N812  (struct's own name is lower case)
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

from longllava_domains.formats.dicom.fast_parser import (
    DEFLATED,
    FIRST_PIXEL_TAG,
    PIXEL_DATA,
    ParsedElements,
    read_inflated,
    read_syntax,
)
from longllava_domains.formats.dicom.source_file import SourceFile
from longllava_domains.privacy import silenced
from longllava_domains.units import MIB

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

# What pydicom raises on hostile files beside its own errors (found by fuzzing).
PARSE_ERRORS: Final = (
    EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, NotImplementedError,
    OverflowError, RecursionError, MemoryError, StructError, zlib.error, OSError, AssertionError,
)  # fmt: skip
_UNDEFINED: Final = 0xFFFFFFFF
_META_BYTES: Final = 64 * MIB
_DIRECTORY_RECORDS: Final = 0x00041220
_FLOAT_PIXELS: Final = (0x7FE00008, 0x7FE00009)


class UnparsableError(Exception):
    """pydicom cannot make sense of the bytes; its own message is dropped."""


@contextmanager
def parsing() -> Iterator[None]:
    """Silence pydicom, and turn whatever it raises on hostile bytes into `UnparsableError`."""
    from pydicom.errors import BytesLengthException, InvalidDicomError

    with silenced():
        try:
            yield
        except (BytesLengthException, InvalidDicomError, *PARSE_ERRORS):
            raise UnparsableError from None


def read_dataset(file: SourceFile) -> "Dataset":
    """Parse a file's header with pydicom.

    Raises:
        UnparsableError: It cannot be parsed.
    """
    with parsing(), file.open() as stream:
        if _is_deflated(stream):
            inflated = _inflated(stream)
            if inflated is None:
                raise UnparsableError
            return _parse(inflated)
        return _parse(stream)


def _inflated(stream: BinaryIO) -> BytesIO | None:
    """Return the inflated data set, up to the scanner's limit; pydicom itself has none."""
    data = read_inflated(stream)
    stream.seek(0)
    return None if data is None else BytesIO(data)


def _read(stream: BinaryIO) -> "FileDataset":
    import pydicom

    return pydicom.dcmread(stream, force=True, stop_before_pixels=True)


def read_with_pixels(file: SourceFile) -> tuple["FileDataset", int, int | None]:
    """Parse a header with pydicom, and find the pixel data behind it.

    Returns:
        The header, the offset of the pixel data's value, and its length in bytes (None where it
        is encapsulated).

    Raises:
        UnparsableError: It cannot be parsed, is deflated as a whole, or has no pixel data.
    """
    with parsing(), file.open() as stream:
        if not _may_be_dicom(stream) or _is_deflated(stream):
            raise UnparsableError
        dataset = _read(stream)
        little = dataset.original_encoding[1] is not False
        tag, offset, length = _pixel_element(stream, little)
        if tag != PIXEL_DATA or offset is None:
            raise UnparsableError
        return dataset, offset, length


def _parse(stream: BinaryIO) -> "Dataset":
    import pydicom

    if not _is_deflated(stream):
        return _read(stream)
    # pydicom would inflate without a limit.
    inflated = read_inflated(stream)
    if inflated is None:
        raise UnparsableError
    return pydicom.filereader.read_dataset(
        BytesIO(inflated), False, True, stop_when=lambda tag, *_: tag >= FIRST_PIXEL_TAG
    )


def read_elements(file: SourceFile, wanted: frozenset[int]) -> ParsedElements | str:
    """Return raw elements as `fast_parser.parse` does, or the report code that sets it aside."""
    try:
        with parsing(), file.open() as stream:
            if not _may_be_dicom(stream):
                return "file.not_dicom"
            if _is_deflated(stream):
                inflated = _inflated(stream)
                if inflated is None:
                    return "file.unparsable"
                found = _raw_elements(_read(inflated), inflated, wanted)
                return found if isinstance(found, str) else replace(found, syntax=DEFLATED)
            return _raw_elements(_read(stream), stream, wanted)
    except UnparsableError:
        return "file.unparsable"


def _raw_elements(
    dataset: "FileDataset", stream: BinaryIO, wanted: frozenset[int]
) -> ParsedElements | str:
    """Take raw values from a data set whose stream stands at the pixel data."""
    if len(dataset) == 0:
        return "file.unparsable"
    if _DIRECTORY_RECORDS in dataset:
        return "file.dicomdir"
    syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", "") or "")
    little = dataset.original_encoding[1] is not False
    elements = {
        tag: raw_bytes(dataset.get_item(tag), little_endian=little)
        for tag in wanted
        if tag in dataset
    }
    tag, offset, length = _pixel_element(stream, little)
    if tag in _FLOAT_PIXELS:
        return "file.float_pixels"
    return ParsedElements(syntax, elements, little, offset, length, tag == PIXEL_DATA)


def _pixel_element(stream: BinaryIO, little: bool) -> tuple[int, int | None, int | None]:
    """Return tag, value offset and length (None where undefined) of the element that comes next.

    Whether its VR is spelled out is seen here: a file's label may say otherwise.
    """
    order: Literal["little", "big"] = "little" if little else "big"
    at = stream.tell()
    head = stream.read(12)
    if len(head) < 8:
        return 0, None, None
    tag = int.from_bytes(head[0:2], order) << 16 | int.from_bytes(head[2:4], order)
    size, start = (12, 8) if head[4:6] in (b"OW", b"OB", b"UN", b"OF", b"OD") else (8, 4)
    length = int.from_bytes(head[start : start + 4], order)
    return tag, at + size, None if length == _UNDEFINED else length


def raw_bytes(element: Any, *, little_endian: bool) -> bytes:
    """Return an element's value as the file holds it; a marker for sequences.

    Reading a sequence makes pydicom turn Pixel Representation, which it depends on, into a number.

    Raises:
        UnparsableError: pydicom has turned the value into something else.
    """
    value = element.value
    if isinstance(value, bytes):
        return value
    if value is None or value == "":
        return b""
    if element.VR == "SQ":
        return b"\0"
    if element.VR == "US" and isinstance(value, int):
        return value.to_bytes(2, "little" if little_endian else "big")
    raise UnparsableError


def _is_deflated(stream: BinaryIO) -> bool:
    """Return whether pydicom would inflate the file, which it does without a limit.

    Where the scanner cannot read the file meta, any mention of the syntax counts.
    """
    syntax = read_syntax(stream)
    stream.seek(0)
    if syntax is None:
        syntax = DEFLATED if DEFLATED.encode() in stream.read(_META_BYTES) else ""
        stream.seek(0)
    return syntax == DEFLATED


def _may_be_dicom(stream: BinaryIO) -> bool:
    """Return whether a file starts as DICOM does, with or without a preamble."""
    head = stream.read(132)
    stream.seek(0)
    if head[128:132] == b"DICM":
        return True
    return starts_a_dataset(head)


def starts_a_dataset(head: bytes) -> bool:
    """Return whether bytes are the start of a data set: group 2 or 8, and a plausible element."""
    if len(head) < 16:
        return False
    if head[:2] in (b"\x02\x00", b"\x08\x00"):
        element = int.from_bytes(head[2:4], "little")
        length = int.from_bytes(head[4:8], "little")
    elif head[:2] == b"\x00\x08":
        element, length = int.from_bytes(head[2:4], "big"), 0
        return element <= 0x0060 and head[4:6].isalpha() and head[4:6].isupper()
    else:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return element <= 0x0060 and (explicit or length <= 64)
