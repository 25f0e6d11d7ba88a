"""Read a zip archive of DICOM files in memory: nothing is written, nothing escapes.

Names inside an archive are never used as paths. Limits hold before anything is inflated, and
entries are read in pieces: zipfile gives no more than the declared size, and checks the CRC.
"""

import threading
import zipfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, cast

from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.formats.dicom.source_file import Found, SourceFile, changed
from longllava_domains.formats.regular_file import open_regular, stamp_of
from longllava_domains.formats.zip_index import file_entries, open_zip
from longllava_domains.units import short_hash

MAX_ENTRIES: Final = 100_000
MAX_ENTRY_BYTES: Final = 2 * 1024**3
MAX_TOTAL_BYTES: Final = 32 * 1024**3
# Deflate reaches 1032:1 on constant bytes; whole archives of images stay far below this.
MAX_RATIO: Final = 200
_RATIO_FROM_BYTES: Final = 64 * 1024**2
_PIECE_BYTES: Final = 1024**2
_NESTED: Final = (".zip", ".gz", ".tar", ".7z", ".rar", ".tgz")


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip archive by its first bytes."""
    if not path.is_file():
        return False
    with open_regular(path) as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def find_in_zip(path: Path) -> Found:
    """List the entries of an archive that may be DICOM.

    Raises:
        DamagedInputError: The archive is cut short or inconsistent.
        UnsupportedInputError: It is beyond the limits.
    """
    try:
        # Kept open for as long as its files are: reading the index again for each would be quadratic.
        archive = open_zip(path)
    except OSError:
        raise _damaged() from None
    file = cast(BinaryIO, archive.fp)
    stamp = stamp_of(file)
    return _entries(archive, path.stat().st_size, lambda: stamp_of(file) != stamp)


def find_in_remote_zip(stream: BinaryIO, size: int) -> Found:
    """List the entries of an archive that lies elsewhere; only what is asked for is fetched.

    An archive that is changed meanwhile is seen by the checksums of its entries alone.

    Args:
        stream: Can seek; kept open for as long as the files are.
        size: Bytes.

    Raises:
        DamagedInputError: The archive is cut short or inconsistent.
        UnsupportedInputError: It is beyond the limits.
    """
    try:
        archive = zipfile.ZipFile(stream)
    except Exception:  # each file system raises errors of its own library
        raise _damaged() from None
    return _entries(archive, size, lambda: False)


def _damaged() -> DamagedInputError:
    return DamagedInputError(
        "The zip archive cannot be read; it is cut short or damaged.",
        remedy="Copy or download it again.",
        code="zip.damaged",
    )


def _entries(archive: zipfile.ZipFile, size: int, is_changed: Callable[[], bool]) -> Found:
    entries = file_entries(archive)
    _check_limits(entries, size)
    found = Found()
    opened = _Archive(archive, is_changed)
    for entry in entries:
        reason = _set_aside(entry)
        if reason:
            found.codes[reason] += 1
        else:
            position = len(found.files) + 1
            found.files.append(
                SourceFile(
                    position,
                    short_hash(entry.filename),
                    entry.file_size,
                    partial(opened.stream, entry),
                )
            )
    return found


class _Archive:
    """Inflates entries; the last one is kept, because frames of one entry are read in turn."""

    def __init__(self, archive: zipfile.ZipFile, is_changed: Callable[[], bool]) -> None:
        self._archive = archive
        self._is_changed = is_changed
        self._lock = threading.Lock()
        self._last: tuple[int, bytes] = (-1, b"")

    def stream(self, entry: zipfile.ZipInfo) -> BinaryIO:
        """Open an entry for seeking.

        Raises:
            OSError: The entry is damaged, encrypted or compressed in an unknown way.
            DamagedInputError: The archive was changed since it was opened.
        """
        if self._is_changed():
            raise changed("the zip archive")
        with self._lock:
            offset, data = self._last
            if offset != entry.header_offset:
                data = self._inflate(entry)
                self._last = (entry.header_offset, data)
        return BytesIO(data)

    def _inflate(self, entry: zipfile.ZipInfo) -> bytes:
        # Piece by piece: `read()` of zipfile inflates up to 2 GiB whatever size is declared.
        pieces = []
        try:
            with self._archive.open(entry) as stream:
                while piece := stream.read(_PIECE_BYTES):
                    pieces.append(piece)
        except Exception:  # of zipfile, a decompressor, or the library of a remote file system
            raise OSError("entry cannot be read") from None
        return b"".join(pieces)


def _set_aside(entry: zipfile.ZipInfo) -> str | None:
    name = entry.filename.lower()
    last = name.rsplit("/", 1)[-1]
    if entry.flag_bits & 1:
        return "file.encrypted"
    if name.startswith("__macosx/") or last in (".ds_store", "thumbs.db") or last.startswith("._"):
        return "file.clutter"
    if entry.file_size == 0:
        return "file.empty"
    if last.endswith(_NESTED):
        return "file.nested_archive"
    return None


def _check_limits(entries: list[zipfile.ZipInfo], size: int) -> None:
    total = sum(entry.file_size for entry in entries)
    largest = max((entry.file_size for entry in entries), default=0)
    ratio = total / max(size, 1)
    bomb = total > _RATIO_FROM_BYTES and ratio > MAX_RATIO
    if len(entries) > MAX_ENTRIES or largest > MAX_ENTRY_BYTES or total > MAX_TOTAL_BYTES or bomb:
        raise UnsupportedInputError(
            f"The zip archive is beyond the limits: {len(entries)} entries, {total} bytes inflated "
            f"({ratio:.0f} times its size).",
            remedy="Unpack it yourself if you trust it, and pass the folder.",
            code="zip.limits",
            facts={"entries": len(entries), "bytes": total, "ratio": round(ratio, 1)},
        )
