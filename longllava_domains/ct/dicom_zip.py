"""Read a zip archive of DICOM files in memory: nothing is written, nothing escapes.

Names inside an archive are never used as paths. Limits hold before anything is inflated, and
zipfile never inflates an entry beyond its declared size and checks its CRC at the end.
"""

import zipfile
from pathlib import Path
from typing import BinaryIO, Final, cast

from longllava_domains.ct.dicom_files import Found, SourceFile
from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.units import short_hash

MAX_ENTRIES: Final = 100_000
MAX_ENTRY_BYTES: Final = 4 * 1024**3
MAX_TOTAL_BYTES: Final = 32 * 1024**3
# Deflate reaches 1032:1 on constant bytes; whole archives of images stay far below this.
MAX_RATIO: Final = 200
_RATIO_FROM_BYTES: Final = 64 * 1024**2
_NESTED: Final = (".zip", ".gz", ".tar", ".7z", ".rar", ".tgz")


def is_zip(path: Path) -> bool:
    """Tell whether a file is a zip archive by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def find_in_zip(path: Path) -> Found:
    """List the entries of an archive that may be DICOM.

    Raises:
        DamagedInputError: The archive is cut short or inconsistent.
        UnsupportedInputError: It is beyond the limits.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
        raise DamagedInputError(
            "The zip archive cannot be read; it is cut short or damaged.",
            remedy="Copy or download it again.",
            code="zip.damaged",
        ) from None
    _check_limits(entries, path.stat().st_size)
    found = Found()
    for entry in entries:
        reason = _set_aside(entry)
        if reason:
            found.codes[reason] += 1
        elif not entry.is_dir():
            position = len(found.files) + 1
            found.files.append(
                SourceFile(position, short_hash(entry.filename), entry.file_size,
                           _opener(path, entry))
            )  # fmt: skip
    return found


def _opener(path: Path, entry: zipfile.ZipInfo) -> "_Opener":
    return _Opener(path, entry)


class _Opener:
    """Opens one entry of an archive."""

    def __init__(self, path: Path, entry: zipfile.ZipInfo) -> None:
        self._path = path
        self._entry = entry

    def __call__(self) -> BinaryIO:
        try:
            with zipfile.ZipFile(self._path) as archive:
                # The stream keeps the archive's file open until it is closed itself.
                return cast(BinaryIO, archive.open(self._entry))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
            raise OSError("entry cannot be read") from None


def _set_aside(entry: zipfile.ZipInfo) -> str | None:
    name = entry.filename.lower()
    last = name.rsplit("/", 1)[-1]
    if entry.is_dir():
        return None
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
