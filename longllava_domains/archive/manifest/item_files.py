"""The files of an item, ready to be opened by a loader; and CT items opened."""

import errno
import posixpath
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, Final

from longllava_domains.archive.item import Item
from longllava_domains.archive.manifest.listings.dicomweb import DICOMWEB, fetch
from longllava_domains.archive.manifest.walk import (
    IN_ZIP,
    REMOTE,
    open_remote,
    open_remote_file,
    walk,
)
from longllava_domains.archive.manifest.zips import files_in_zip
from longllava_domains.arguments import checked
from longllava_domains.ct.hounsfield.rescale import HuSource
from longllava_domains.errors import DamagedInputError, NotFoundError, UnsupportedInputError
from longllava_domains.formats.dicom.source_file import Found, SourceFile
from longllava_domains.units import MIB, short_hash

if TYPE_CHECKING:
    from longllava_domains.ct.volume import CTVolume

_PIECE_BYTES: Final = 4 * MIB
_ENDINGS: Final = {b"II": ".tif", b"MM": ".tif", b"\0\0\0\x0cjP": ".jp2", b"NITF": ".ntf"}
# Slides whose named file is a table of contents; the pixels lie in a folder beside it.
_NEED_NEIGHBOURS: Final = (".mrxs", ".vms", ".vmu")


@checked
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

    if not item.members and not item.uri.endswith("/"):
        return open_volume(item.uri, repair=repair, hu=hu)
    # No series is named: the loader lets pass a part of a series that was asked for by its name.
    return open_dicom(dicom_files(item), series=None, repair=repair, hu=hu)


@checked
def dicom_files(item: Item) -> Found:
    """Return the item's files as the CT loader takes them (`open_dicom(Found, ...)`).

    Raises:
        NotFoundError: A file is gone since the scan.
        DamagedInputError: The zip archive has changed since the scan.
        UnsupportedInputError: A remote zip archive that is read no more, as `files_in_zip`.
        NetworkError: No library here speaks the source's protocol.
    """
    if item.uri.endswith(IN_ZIP):
        return _in_zip(item)
    if item.uri.startswith(DICOMWEB):
        return fetch(item)
    if not item.members:
        return _below(item.uri)
    files = []
    for position, member in enumerate(item.members, 1):
        opener, size = _place(item.uri, member)
        files.append(SourceFile(position, short_hash(member), size, opener))
    return Found(files)


def _below(folder: str) -> Found:
    """Return all files of a folder that is one series, such as of a public bucket."""
    codes: Counter[str] = Counter()
    files = [
        SourceFile(number, short_hash(entry.member), entry.size, entry.open)
        for number, entry in enumerate(walk(folder, codes), start=1)
    ]
    return Found(files, codes)


def _in_zip(item: Item) -> Found:
    found = {file.position: file for file in files_in_zip(item.uri).files}
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


@contextmanager
def local_source(item: Item) -> Iterator[str]:
    """Give a path that holds the item's files and no others, for loaders that read from disk.

    Files on this disk are named or linked, never copied; those of zip archives and remote sources
    are copied to a temporary folder of their owner alone, which goes at the end.

    Raises:
        NotFoundError: A file is gone since the scan.
        UnsupportedInputError: A remote item that is larger than the room for temporary files, or
            a remote slide of several files.
        NetworkError: The source cannot be read.
    """
    is_file = not item.members and not item.uri.endswith("/")
    if is_file and REMOTE not in item.uri:
        yield item.uri
        return
    if item.uri.lower().endswith(_NEED_NEIGHBOURS):
        raise UnsupportedInputError(
            "A slide of this format is several files, and only one of them is in the archive's list.",
            remedy="Copy the slide with its folder to a disk, and scan that.",
            code="archive.remote_slide",
        )
    with TemporaryDirectory(prefix="longllava-") as name:
        folder = Path(name)
        if is_file:
            yield str(_copied(item, folder))
            return
        if item.uri.endswith(IN_ZIP) and len(item.members) == 1:
            (file,) = _fitting(dicom_files(item).files, folder)
            _copy(file, folder / "item")
            yield str(_with_ending(folder / "item"))
            return
        if REMOTE in item.uri or item.uri.endswith(IN_ZIP):
            for file in _fitting(dicom_files(item).files, folder):
                _copy(file, folder / f"{file.position:06d}")
        else:
            for number, member in enumerate(item.members):
                (folder / f"{number:06d}").symlink_to(Path(item.uri).resolve() / member)
        yield name


def read_through(item: Item) -> int:
    """Read all bytes of an item and forget them, to time its disk or line; return how many.

    Raises:
        InputError: A file is gone or cannot be read.
    """
    if item.members or item.uri.endswith("/"):
        files = dicom_files(item).files
    else:
        opener, size = _place(*_parted(item.uri))
        files = [SourceFile(1, short_hash(item.uri), size, opener)]
    total = 0
    for file in files:
        with _reading(), file.open() as stream:
            while piece := stream.read(_PIECE_BYTES):
                total += len(piece)
    return total


def _parted(uri: str) -> tuple[str, str]:
    folder, _, name = uri.rpartition("/")
    return (folder, name) if folder else (".", name)


def _copied(item: Item, folder: Path) -> Path:
    """Return a copy of a single remote file, under a name that keeps only its endings."""
    opener, size = _place(*_parted(item.uri))
    (file,) = _fitting([SourceFile(1, short_hash(item.uri), size, opener)], folder)
    endings = "".join(PurePosixPath(item.uri.lower()).suffixes[-2:])
    place = folder / f"item{endings}"
    _copy(file, place)
    return place


def _with_ending(place: Path) -> Path:
    """Give a file from a zip archive the ending of a raster, which readers of folders look at."""
    with place.open("rb") as stream:
        head = stream.read(12)
    ending = next((end for magic, end in _ENDINGS.items() if head.startswith(magic)), "")
    return place.rename(place.with_suffix(ending)) if ending else place


def _fitting(files: list[SourceFile], folder: Path) -> list[SourceFile]:
    """Refuse to copy what would leave no room on the disk."""
    if sum(file.size for file in files) > shutil.disk_usage(folder).free // 2:
        raise _no_room()
    return files


def _no_room() -> UnsupportedInputError:
    return UnsupportedInputError(
        "The item is larger than half of the room for temporary files.",
        remedy="Name a larger disk in TMPDIR, or copy the archive to a disk and scan that.",
        code="archive.no_room",
    )


def _copy(file: SourceFile, place: Path) -> None:
    with _reading(), file.open() as stream, place.open("wb") as copy:
        shutil.copyfileobj(stream, copy, _PIECE_BYTES)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise (_no_room() if error.errno == errno.ENOSPC else _gone()) from None
