"""Find the files that may hold DICOM images: in a folder tree, a zip archive, or one file.

Nothing is judged by its name and nothing is written to disk. A file that cannot be DICOM is
set aside and counted by reason.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from longllava_domains.errors import NotFoundError
from longllava_domains.formats.dicom.source_file import Found, SourceFile, open_unchanged
from longllava_domains.formats.dicom.zip_archive import find_in_zip, is_zip
from longllava_domains.units import short_hash

_CLUTTER: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
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
            raise _nothing_there()
        if is_zip(place):
            return find_in_zip(place)
        if not place.is_file():
            raise _nothing_there()
        return Found([_on_disk(place, 1, place.stat())])
    except (OSError, ValueError):  # ValueError: a null character in the path
        raise NotFoundError(
            "The input cannot be read.",
            remedy="Check that the path exists and that you may read it.",
            code="input.unreadable",
        ) from None


def _nothing_there() -> NotFoundError:
    return NotFoundError(
        "There is no file or folder at this path.",
        remedy="Check the path.",
        code="input.missing",
    )


def _find_below(root: Path) -> Found:
    """Walk a folder tree; links are followed, each file and folder once."""
    found = Found()
    seen: set[tuple[int, int]] = set()
    for place in _walk(root, seen, found.codes):
        if place.name.lower() in _CLUTTER or place.name.startswith("._"):
            found.codes["file.clutter"] += 1
            continue
        try:
            status = place.stat()
        except OSError:
            found.codes["file.unreadable"] += 1
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in seen:
            found.codes["file.linked_again"] += 1
            continue
        seen.add(identity)
        if status.st_size == 0:
            found.codes["file.empty"] += 1
            continue
        found.files.append(_on_disk(place, len(found.files) + 1, status))
    return found


def _walk(root: Path, seen: set[tuple[int, int]], codes: Counter[str]) -> Iterator[Path]:
    """Yield regular files below a folder in sorted order."""
    waiting = [root]
    count = 0
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            codes["file.unreadable"] += 1
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        folders = []
        for entry in entries:
            kind = _kind(entry)
            if kind == "folder":
                if entry.name == "__MACOSX":
                    codes["file.clutter"] += 1
                else:
                    folders.append(Path(entry.path))
            elif kind == "file":
                count += 1
                if count > _MAX_FILES:
                    codes["file.beyond_limit"] += 1
                    return
                yield Path(entry.path)
            else:
                codes["file.unreadable"] += 1
        waiting.extend(reversed(folders))


def _kind(entry: os.DirEntry[str]) -> str:
    """Return ``"folder"``, ``"file"`` or ``""``: broken and circular links, sockets and pipes."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:  # a link that leads to itself
        return ""


def _on_disk(place: Path, position: int, status: os.stat_result) -> SourceFile:
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    token = short_hash(os.fspath(place))
    label = f"file {position} ({token})"
    return SourceFile(position, token, status.st_size, lambda: open_unchanged(place, stamp, label))
