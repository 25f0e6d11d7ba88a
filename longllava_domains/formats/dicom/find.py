"""Find the files that may hold DICOM images: in a folder tree, a zip archive, or one file.

Nothing is judged by its name and nothing is written to disk. A file that cannot be DICOM is
set aside and counted by reason.
"""

import os
from pathlib import Path
from typing import Final

from longllava_domains.errors import NotFoundError
from longllava_domains.formats.dicom.source_file import Found, SourceFile, open_unchanged
from longllava_domains.formats.dicom.zip_archive import find_in_zip, is_zip
from longllava_domains.formats.folder_walk import walk_folder
from longllava_domains.units import short_hash

_MAX_FILES: Final = 200_000


def find(path: str | Path) -> Found:
    """List the files below a folder, inside a zip archive, or just the file named.

    A DICOMDIR stands for the folder it lies in: what it lists is compared with what is there
    and counted, never followed.

    Raises:
        NotFoundError: Nothing is there, or it cannot be read.
        DamagedInputError: The archive cannot be read.
        UnsupportedInputError: The archive is beyond the limits of `dicom_zip`.
    """
    place = Path(path)
    try:
        if place.is_dir():
            return _find_below(place)
        if not place.exists():
            raise _nothing_there(path)
        if is_zip(place):
            return find_in_zip(place)
        if not place.is_file():
            raise _nothing_there(path)
        return Found([_on_disk(place, 1, place.stat())])
    except (OSError, ValueError):  # ValueError: a null character in the path
        raise NotFoundError(
            "The input cannot be read.",
            remedy="Check that the path exists and that you may read it.",
            code="input.unreadable",
        ) from None


def _nothing_there(path: str | Path) -> NotFoundError:
    return NotFoundError(
        f"There is no file or folder at this path ({short_hash(str(path))}).",
        remedy="Check the path.",
        code="input.missing",
    )


def _find_below(root: Path) -> Found:
    """List the files of a folder tree, each once however many links lead to it."""
    found = Found()
    seen: set[tuple[int, int]] = set()
    for count, (place, status) in enumerate(walk_folder(root, found.codes), start=1):
        if count > _MAX_FILES:
            found.codes["file.beyond_limit"] += 1
            break
        identity = (status.st_dev, status.st_ino)
        if identity in seen:
            found.codes["file.linked_again"] += 1
            continue
        seen.add(identity)
        found.files.append(_on_disk(place, len(found.files) + 1, status))
    return found


def _on_disk(place: Path, position: int, status: os.stat_result) -> SourceFile:
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    token = short_hash(os.fspath(place))
    label = f"file {position} ({token})"
    return SourceFile(position, token, status.st_size, lambda: open_unchanged(place, stamp, label))
