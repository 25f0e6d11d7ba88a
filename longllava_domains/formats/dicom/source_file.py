"""`SourceFile`: one file that may be DICOM, on disk, in an archive or on a server."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO


@dataclass(frozen=True)
class SourceFile:
    """One file, on disk or inside an archive, that is opened when it is needed.

    Attributes:
        position: Number in the order of finding, from 1.
        token: Short hash that stands for the file's name.
        size: Bytes.
        open: Opens the bytes for reading; the caller closes.
    """

    position: int
    token: str
    size: int
    open: Callable[[], BinaryIO] = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """How messages name this file."""
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
