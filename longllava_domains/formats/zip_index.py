"""The index of a zip archive, whatever a stranger wrote into it: its entries, or one error."""

import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Final

from longllava_domains.formats.regular_file import open_regular

# Everything that zipfile and the decompressors under it were seen to raise over damaged bytes.
ZIP_ERRORS: Final = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, LookupError, EOFError,
    OverflowError, MemoryError, OSError, struct.error, zlib.error, lzma.LZMAError,
)  # fmt: skip


def file_entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the entries that are files; those without a name are none.

    (`ZipInfo.is_dir` of an empty name is an IndexError.)
    """
    return [
        entry for entry in archive.infolist() if entry.filename and not entry.filename.endswith("/")
    ]


def open_zip(path: str | Path) -> zipfile.ZipFile:
    """Open an archive for reading.

    Raises:
        OSError: It is none, or its index cannot be read.
    """
    try:
        with open_regular(path):  # a pipe would never end
            return zipfile.ZipFile(path)
    except ZIP_ERRORS:
        raise OSError("no readable zip archive") from None


def is_zip_archive(path: str | Path) -> bool:
    """Return whether a file ends as a zip archive does; False for what cannot be read."""
    try:
        with open_regular(path) as file:
            return zipfile.is_zipfile(file)
    except ZIP_ERRORS:
        return False
