"""Walk a source and yield its files one by one: a folder tree, or what fsspec reaches.

Millions of files pass through; only one folder's names are held at a time.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from longllava_domains.errors import NetworkError, NotFoundError
from longllava_domains.formats.folder_walk import is_clutter, walk_folder
from longllava_domains.units import MIB, short_hash

# Under these names file systems tell that a file has changed.
_STAMPS: Final = (
    "mtime",
    "LastModified",
    "Last-Modified",
    "last_modified",
    "created",
    "ETag",
    "etag",
)
# Over HTTP, a smaller file is fetched whole: a few ranges cost more, and not every server has them.
_WHOLE_BYTES: Final = 16 * MIB
REMOTE: Final = "://"
# Ends the place of a zip archive; members are then the numbers of its entries.
IN_ZIP: Final = "!/"


@dataclass(frozen=True)
class Entry:
    """One file of a source.

    Attributes:
        member: Its place below the source, with forward slashes.
        size: Bytes.
        stamp: Changes when the file does; empty where the source does not say.
        open: Opens it for reading; the caller closes.
        path: On the local disk; None elsewhere.
        url: Of a remote file; empty on the local disk.
    """

    member: str
    size: int
    stamp: str
    open: Callable[[], BinaryIO] = field(repr=False, compare=False)
    path: Path | None = field(default=None, repr=False)
    url: str = field(default="", repr=False)


def walk(source: str, codes: Counter[str]) -> Iterator[Entry]:
    """Yield the files of a source in a stable order.

    Args:
        source: A folder or file, or a URL that fsspec opens.
        codes: Counts what is set aside.

    Raises:
        NotFoundError: Nothing is there.
        NetworkError: The server cannot be reached, or no library here speaks its protocol.
    """
    if REMOTE in source:
        yield from _walk_remote(source, codes)
        return
    root = Path(source)
    if root.is_file():
        yield _local(root, root.name, root.stat())
    else:
        require_place(source)
        for place, status in walk_folder(root, codes):
            yield _local(place, place.relative_to(root).as_posix(), status)


def require_place(source: str) -> None:
    """Refuse a place on this machine where no file and no folder is.

    Raises:
        NotFoundError: Nothing is there.
    """
    if not Path(source).is_file() and not Path(source).is_dir():
        raise NotFoundError(
            f"There is no file or folder at the source's path ({short_hash(source)}).",
            remedy="Check the path.",
            code="input.missing",
        )


def _local(place: Path, member: str, status: os.stat_result) -> Entry:
    stamp = f"{status.st_mtime_ns}/{status.st_ctime_ns}"
    return Entry(member, status.st_size, stamp, lambda: place.open("rb"), place)


def open_remote(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it.

    Raises:
        NetworkError: No library here speaks its protocol.
    """
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError):
        raise NetworkError(
            "No library here speaks this source's protocol.",
            remedy="Install fsspec's part for it, such as fsspec[http], s3fs or gcsfs.",
            code="archive.protocol",
        ) from None
    return system, path


def open_remote_file(system: Any, path: str, size: int) -> BinaryIO:
    """Open a file of a remote file system.

    Raises:
        OSError: It is gone or cannot be read.
    """
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    if "http" in protocols and size <= _WHOLE_BYTES:
        return BytesIO(system.cat_file(path))
    stream: BinaryIO = system.open(path, "rb")
    return stream


def seekable_remote(url: str) -> tuple[BinaryIO, int] | None:
    """Open a remote file for reading at any place; return it with its size.

    Returns:
        None where the file system cannot seek in it, or does not say how long it is.

    Raises:
        NetworkError: No library here speaks its protocol.
        OSError: It is gone or cannot be read.
    """
    system, path = open_remote(url)
    size = int(system.info(path).get("size") or 0)
    stream = open_remote_file(system, path, size)
    try:
        stream.seek(max(0, size - 1))
        is_able = size > 0 and len(stream.read(1)) == 1
    except Exception:  # each file system raises errors of its own library
        is_able = False
    if not is_able:
        stream.close()
        return None
    return stream, size


def _walk_remote(url: str, codes: Counter[str]) -> Iterator[Entry]:
    system, root = open_remote(url)
    waiting, seen = [root], set()
    while waiting:
        folder = waiting.pop()
        seen.add(folder.rstrip("/"))
        folders = []
        for found in _listing(system, folder, is_root=folder == root):
            name = str(found["name"]).rstrip("/")
            if found["type"] == "directory":
                # Servers list links to the folder above, too.
                if name.startswith(root.rstrip("/") + "/") and name not in seen:
                    folders.append(found["name"])
                continue
            if is_clutter(name.rsplit("/", 1)[-1]):
                codes["file.clutter"] += 1
                continue
            entry = _remote(system, url, root, found)
            if entry is None or entry.size == 0:
                codes["file.empty" if entry else "file.unreadable"] += 1
                continue
            yield entry
        waiting.extend(reversed(folders))


def _listing(system: Any, folder: str, *, is_root: bool) -> list[dict[str, Any]]:
    try:
        return sorted(system.ls(folder, detail=True), key=lambda found: str(found["name"]))
    except FileNotFoundError:
        if not is_root:  # gone since the folder above was listed
            return []
        raise NotFoundError(
            "There is nothing at the source's address.",
            remedy="Check the address.",
            code="input.missing",
        ) from None
    except Exception as error:  # each file system raises errors of its own library
        raise NetworkError(
            "The source cannot be listed.",
            remedy="Check the address and your right to read it.",
            code="archive.listing",
            facts={"error": type(error).__name__},
        ) from None


def _remote(system: Any, url: str, root: str, found: dict[str, Any]) -> Entry | None:
    name = str(found["name"])
    if found.get("size") is None:
        try:
            found = system.info(name)
        except OSError:
            return None
    stamp = "/".join(str(found[key]) for key in _STAMPS if found.get(key))
    member = name.removeprefix(root).lstrip("/") or name.rsplit("/", 1)[-1]
    size = int(found.get("size") or 0)
    own = url if name == root.rstrip("/") else f"{url.rstrip('/')}/{member}"
    return Entry(member, size, stamp, partial(open_remote_file, system, name, size), url=own)
