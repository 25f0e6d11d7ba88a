"""Zip archives of a source, on this disk or elsewhere, and the files in them."""

from pathlib import Path
from typing import Final

from longllava_domains.archive.manifest.walk import IN_ZIP, REMOTE, seekable_remote
from longllava_domains.errors import NotFoundError, UnsupportedInputError
from longllava_domains.formats.dicom.source_file import Found
from longllava_domains.formats.dicom.zip_archive import find_in_remote_zip, find_in_zip
from longllava_domains.units import GIB

# A scan fetches nearly all of an archive, entry by entry: beyond this it is counted only.
MAX_REMOTE_BYTES: Final = 4 * GIB


def files_in_zip(place: str) -> Found:
    """List the files of a zip archive that may be DICOM, slides or scenes.

    Args:
        place: Path or URL of the archive, with `IN_ZIP` at its end.

    Raises:
        NotFoundError: The archive is gone, or cannot be read.
        DamagedInputError: It is cut short or inconsistent.
        UnsupportedInputError: It is beyond the limits, or lies where nothing can seek in it.
        NetworkError: No library here speaks the source's protocol.
    """
    place = place.removesuffix(IN_ZIP)
    if REMOTE not in place:
        if not Path(place).is_file():
            raise _gone()
        return find_in_zip(Path(place))
    try:
        opened = seekable_remote(place)
    except OSError:
        raise _gone() from None
    if opened is None or opened[1] > MAX_REMOTE_BYTES:
        raise UnsupportedInputError(
            "The remote zip archive is larger than 4 GiB, or its server gives whole files only.",
            remedy="Copy it to a disk, or unpack it where it lies, and scan that.",
            code="file.remote_zip",
        )
    return find_in_remote_zip(*opened)


def _gone() -> NotFoundError:
    return NotFoundError(
        "A zip archive is gone since the scan, or cannot be read.",
        remedy="Scan the archive again.",
        code="archive.gone",
    )
