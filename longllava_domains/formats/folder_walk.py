"""The one walk over a folder tree: regular files in a stable order, whatever else lies there."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CLUTTER: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini"})


def is_clutter(name: str) -> bool:
    """Return whether a system left a file or folder of this name for itself."""
    return name.lower() in _CLUTTER or name.startswith("._") or name == "__MACOSX"


def walk_folder(root: Path, codes: Counter[str]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the regular files below a folder, not the empty ones, with their status.

    Links are followed, into each folder once. Memory holds the names of one folder at a time.

    Args:
        root: The folder.
        codes: Counts what is set aside: ``file.clutter``, ``file.empty``, ``file.unreadable``
            (also pipes and sockets, which would be waited for, and broken links) and
            ``folder.unreadable``.
    """
    waiting = [root]
    seen: set[tuple[int, int]] = set()
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            codes["folder.unreadable"] += 1
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        folders = []
        for entry in entries:
            status_of = _status(entry)
            if is_clutter(entry.name):
                codes["file.clutter"] += 1
            elif status_of is None:
                codes["file.unreadable"] += 1
            elif stat.S_ISDIR(status_of.st_mode):
                folders.append(Path(entry.path))
            elif not stat.S_ISREG(status_of.st_mode):
                codes["file.unreadable"] += 1
            elif status_of.st_size == 0:
                codes["file.empty"] += 1
            else:
                yield Path(entry.path), status_of
        waiting.extend(reversed(folders))


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:  # a broken link, or one that leads to itself
        return None
