"""The one door for small files: regular, bounded in size and nesting, with errors that say so.

A named pipe makes its reader wait for ever, a device may hold no end, and a file of brackets makes
a parser run out of stack. Callers rename the two plain errors into their own.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Final

from longllava_domains.units import MIB

MAX_DOCUMENT_BYTES: Final = 64 * MIB
MAX_NESTING: Final = 64


class BadDocumentError(ValueError):
    """A document that is too long, nests too deep or is not what it should be."""


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading in binary, if it is a regular one.

    Raises:
        OSError: Nothing there, no right to read, or a folder, pipe, socket or device.
    """
    try:
        # Asked before opening too: to open a device can already do something.
        _require_regular(os.stat(path).st_mode)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except ValueError:  # a null character in the path
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    try:
        _require_regular(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


Stamp = tuple[int, int, int]


def stamp_of(file: BinaryIO) -> Stamp:
    """Return what changes whenever an open file's bytes are changed or another takes its name.

    Size and times of modification and of change; the last cannot be set back by its owner. (Inode
    numbers are left out: some network file systems make up new ones.)
    """
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def read_bounded(path: str | Path, most_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Read a whole file that may not be longer than the limit.

    Raises:
        OSError: As `open_regular`.
        BadDocumentError: The file is longer.
    """
    with open_regular(path) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise BadDocumentError
    return data


def parse_json(data: bytes | str) -> Any:
    """Parse JSON that nests no deeper than `MAX_NESTING`.

    Raises:
        BadDocumentError: It is no JSON, not UTF-8, or nests deeper.
    """
    try:
        document = json.loads(data if isinstance(data, str) else data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadDocumentError from None
    level = [document]
    for _ in range(MAX_NESTING):
        level = [
            member
            for entry in level
            if isinstance(entry, (dict, list))
            for member in (entry.values() if isinstance(entry, dict) else entry)
        ]
        if not level:
            return document
    raise BadDocumentError


def read_json(path: str | Path, most_bytes: int = MAX_DOCUMENT_BYTES) -> Any:
    """Read a JSON file within the limits of `read_bounded` and `parse_json`."""
    return parse_json(read_bounded(path, most_bytes))


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file")
