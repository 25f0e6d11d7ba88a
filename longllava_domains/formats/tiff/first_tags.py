"""The tags of the first image of a TIFF, read without a library and without trust.

TIFF 6.0 section 2, and BigTIFF. One directory is read; nothing is followed but the offset of a
short text, so that no chain of directories can lead round in a circle.
"""

import os
from collections.abc import Mapping
from typing import BinaryIO, Final, Literal

MAGICS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_TAGS: Final = 4096
_MAX_TEXT: Final = 4096
_ASCII: Final = 2

Order = Literal["little", "big"]


def is_cut_short(stream: BinaryIO) -> bool:
    """Return whether a TIFF's first directory is not whole within the file.

    Args:
        stream: A TIFF, opened at any place.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(16)
    order: Order = "little" if head[:2] == b"II" else "big"
    large = head[2:4] in (b"+\0", b"\0+")
    count_bytes, entry_bytes = (8, 20) if large else (2, 12)
    at = int.from_bytes(head[8:16] if large else head[4:8], order)
    stream.seek(min(at, size))
    count = int.from_bytes(stream.read(count_bytes), order)
    return at + count_bytes + count * entry_bytes > size


def read_first_tags(stream: BinaryIO) -> Mapping[int, bytes]:
    """Return tag number -> the raw bytes of its value, for texts; empty bytes for all else.

    Args:
        stream: A TIFF, opened at any place.

    Returns:
        Empty where the file has no readable directory.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(16)
    order: Order = "little" if head[:2] == b"II" else "big"
    large = head[2:4] in (b"+\0", b"\0+")
    if head[:4] not in MAGICS or len(head) < 16:
        return {}
    offset_bytes, count_bytes, entry_bytes = (8, 8, 20) if large else (4, 2, 12)
    stream.seek(min(int.from_bytes(head[8:16] if large else head[4:8], order), size))
    count = int.from_bytes(stream.read(count_bytes), order)
    if count > _MAX_TAGS:
        return {}
    block = stream.read(count * entry_bytes)
    tags: dict[int, bytes] = {}
    for at in range(0, len(block) - entry_bytes + 1, entry_bytes):
        entry = block[at : at + entry_bytes]
        number, kind = (int.from_bytes(entry[i : i + 2], order) for i in (0, 2))
        length = int.from_bytes(entry[4 : 4 + offset_bytes], order)
        value = entry[4 + offset_bytes :]
        tags[number] = b"" if kind != _ASCII else _text(stream, value, length, order, size)
    return tags


def _text(stream: BinaryIO, value: bytes, length: int, order: Order, size: int) -> bytes:
    if length <= len(value):
        return value[:length]
    stream.seek(min(int.from_bytes(value, order), size))
    return stream.read(min(length, _MAX_TEXT))
