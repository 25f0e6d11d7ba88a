"""The files of an item, ready to be opened by a loader; and CT items opened."""

import posixpath
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from longllava_domains.archive.item import Item
from longllava_domains.archive.manifest.walk import IN_ZIP, REMOTE, open_remote, open_remote_file
from longllava_domains.ct.hounsfield.rescale import HuSource
from longllava_domains.errors import DamagedInputError, NotFoundError
from longllava_domains.formats.dicom.source_file import Found, SourceFile
from longllava_domains.formats.dicom.zip_archive import find_in_zip
from longllava_domains.units import short_hash

if TYPE_CHECKING:
    from longllava_domains.ct.volume import CTVolume


def open_ct(item: Item, *, repair: tuple[str, ...] = (), hu: HuSource = "prove") -> "CTVolume":
    """Open a CT item: the series that the scan chose, or a NIfTI file.

    Args:
        item: Of domain ``"ct"``.
        repair: As for `ct.open_volume`.
        hu: As for `ct.open_volume`.

    Raises:
        InputError: As `ct.open_volume`, and as `dicom_files`.
        NetworkError: As `dicom_files`.
    """
    from longllava_domains.ct.dicom.open import open_dicom
    from longllava_domains.ct.open import open_volume

    if not item.members:
        return open_volume(item.uri, repair=repair, hu=hu)
    return open_dicom(dicom_files(item), series=item.series or None, repair=repair, hu=hu)


def dicom_files(item: Item) -> Found:
    """Return the item's files as the CT loader takes them (`open_dicom(Found, ...)`).

    Raises:
        NotFoundError: A file is gone since the scan.
        DamagedInputError: The zip archive has changed since the scan.
        NetworkError: No library here speaks the source's protocol.
    """
    if item.uri.endswith(IN_ZIP):
        return _in_zip(item)
    files = []
    for position, member in enumerate(item.members, 1):
        opener, size = _place(item.uri, member)
        files.append(SourceFile(position, short_hash(member), size, opener))
    return Found(files)


def _in_zip(item: Item) -> Found:
    archive = Path(item.uri.removesuffix(IN_ZIP))
    if not archive.is_file():
        raise _gone()
    found = {file.position: file for file in find_in_zip(archive).files}
    try:
        return Found([found[int(member)] for member in item.members])
    except KeyError:
        raise DamagedInputError(
            "The zip archive holds fewer files than when it was scanned.",
            remedy="Scan the archive again.",
            code="archive.changed",
        ) from None


def _place(folder: str, member: str) -> tuple[Callable[[], BinaryIO], int]:
    """Return how to open a file below a folder, and its size."""
    place = posixpath.join(folder, member)
    try:
        if REMOTE in folder:
            system, there = open_remote(place)
            size = int(system.info(there).get("size") or 0)
            return partial(open_remote_file, system, there, size), size
        path = Path(place)
        return lambda: path.open("rb"), path.stat().st_size
    except OSError:
        raise _gone() from None


def _gone() -> NotFoundError:
    return NotFoundError(
        "A file of this item is gone since the scan, or cannot be read.",
        remedy="Scan the archive again.",
        code="archive.gone",
    )
