"""`SourceFile`: one file that may be DICOM, on disk, in an archive or on a server."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.regular_file import Stamp, open_regular, stamp_of


@dataclass(frozen=True)
class SourceFile:
    """One file, on disk or inside an archive, that is opened when it is needed.

    Attributes:
        position: Number in the order of finding, from 1.
        token: Short hash that stands for the file's name.
        size: Bytes.
        open: Opens the bytes for reading; the caller closes. It refuses a file that is not any
            more what it was when it was found.
    """

    position: int
    token: str
    size: int
    open: Callable[[], BinaryIO] = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """Name of this file in messages."""
        return f"file {self.position} ({self.token})"


@dataclass
class Found:
    """Files that may be DICOM, in a stable order, and counts of what was set aside.

    Attributes:
        files: Candidates, sorted by place.
        codes: Report code -> count of files set aside.
    """

    files: list[SourceFile] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)


def open_unchanged(place: Path, stamp: Stamp, label: str) -> BinaryIO:
    """Open a file that was found before.

    Raises:
        DamagedInputError: It was changed since, or another file has taken its name.
        OSError: It is gone, or cannot be read.
    """
    file = open_regular(place)
    if stamp_of(file) == stamp:
        return file
    file.close()
    raise changed(label)


def changed(label: str) -> DamagedInputError:
    """Return the error for a file whose bytes are not those that were seen."""
    return DamagedInputError(
        f"An input changed after it was opened: {label}.",
        remedy="Let nothing write to the input meanwhile, and open it again.",
        code="input.changed",
    )
