"""Compressions of all images of a TIFF, read without a library and without trust."""

import os
from collections.abc import Iterator
from typing import BinaryIO, Final, Literal

from longllava_domains.formats.regular_file import open_regular
from longllava_domains.formats.tiff.first_tags import MAGICS

_MAX_DIRECTORIES: Final = 4096
_MAX_TAGS: Final = 4096
_MAX_TEXT: Final = 1 << 20
_COMPRESSION, _SUBDIRECTORIES, _GDAL_METADATA = 259, 330, 42112
# A file named there is opened as overviews, whatever it is.
_LEADS_AWAY: Final = b"OVERVIEW_FILE"
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1, 13: 4, 16: 8, 18: 8}

_Order = Literal["little", "big"]


def holds_only(path: str, compressions: frozenset[int]) -> bool:
    """Return whether every image of a TIFF, overviews and masks included, is compressed in one of these ways.

    False too for what is no TIFF, cannot be followed, or names another file.

    Args:
        path: A local file.
        compressions: Values of TIFF tag 259.
    """
    try:
        with open_regular(path) as stream:
            found = list(_directories(stream))
    except (OSError, _UnreadableError):
        return False
    return bool(found) and all(entry in compressions for entry in found)


class _UnreadableError(Exception):
    """A directory that cannot be followed, or that names another file."""


def _directories(stream: BinaryIO) -> Iterator[int]:
    """Yield the compression of each directory.

    Raises:
        _UnreadableError: A directory lies outside the file, has too many tags, or none that can be read.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(16)
    if head[:4] not in MAGICS or len(head) < 16:
        raise _UnreadableError
    order: _Order = "little" if head[:2] == b"II" else "big"
    large = head[2:4] in (b"+\0", b"\0+")
    word, count_bytes, entry_bytes = (8, 8, 20) if large else (4, 2, 12)
    waiting = [int.from_bytes(head[8:16] if large else head[4:8], order)]
    seen: set[int] = set()
    while waiting:
        at = waiting.pop()
        if at == 0 or at in seen:
            continue
        seen.add(at)
        if at >= size or len(seen) > _MAX_DIRECTORIES:
            raise _UnreadableError
        stream.seek(at)
        count = int.from_bytes(stream.read(count_bytes), order)
        block = stream.read(count * entry_bytes) if count <= _MAX_TAGS else b""
        if not count or len(block) < count * entry_bytes:
            raise _UnreadableError
        waiting.append(int.from_bytes(stream.read(word), order))
        compression = 1
        for start in range(0, len(block), entry_bytes):
            tag = _Tag(block[start : start + entry_bytes], order, word)
            if tag.number == _COMPRESSION:
                compression = tag.first(stream, size)
            elif tag.number == _SUBDIRECTORIES:
                waiting += tag.values(stream, size)
            elif tag.number == _GDAL_METADATA and _LEADS_AWAY in tag.data(stream, size).upper():
                raise _UnreadableError
        yield compression


class _Tag:
    """One entry of a directory."""

    def __init__(self, entry: bytes, order: _Order, word: int) -> None:
        self.order: _Order = order
        self.number = int.from_bytes(entry[:2], order)
        self.item_bytes = _SIZES.get(int.from_bytes(entry[2:4], order), 1)
        self.count = int.from_bytes(entry[4 : 4 + word], order)
        self.value = entry[4 + word :]

    def data(self, stream: BinaryIO, size: int) -> bytes:
        """Return the bytes of the value, wherever they lie."""
        length = self.count * self.item_bytes
        if length <= len(self.value):
            return self.value[:length]
        offset = int.from_bytes(self.value, self.order)
        if length > _MAX_TEXT or offset + length > size:
            raise _UnreadableError
        here = stream.tell()
        stream.seek(offset)
        found = stream.read(length)
        stream.seek(here)
        return found

    def values(self, stream: BinaryIO, size: int) -> list[int]:
        """Return the value as whole numbers."""
        data, step = self.data(stream, size), self.item_bytes
        return [int.from_bytes(data[i : i + step], self.order) for i in range(0, len(data), step)]

    def first(self, stream: BinaryIO, size: int) -> int:
        """Return the first of the numbers."""
        found = self.values(stream, size)
        if not found:
            raise _UnreadableError
        return found[0]
