"""`StoredFile`: a picture that is one file on disk, its size and hash."""

from dataclasses import dataclass
from pathlib import Path

from longllava_domains.adapters.data.pictures import file_sha256


@dataclass(frozen=True)
class StoredFile:
    """A file that becomes views.

    Attributes:
        path: Where it is.
        name: What the data set calls it.
    """

    path: Path
    name: str

    def is_there(self) -> bool:
        """Say whether the file exists."""
        return self.path.is_file()

    def size_bytes(self) -> int:
        """Return the size of the file."""
        return self.path.stat().st_size

    def sha256(self) -> str:
        """Return the SHA-256 of the file."""
        return file_sha256(self.path)
