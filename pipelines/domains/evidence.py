"""Evidence of an input's kind in its own bytes. Never its name alone, and never its pixels."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from longllava_domains.errors import NotFoundError
from longllava_domains.formats.magic import Magic, read_magic

Claim = Literal["no", "possible", "certain"]
"""What a domain says of an input: a certain claim goes before possible ones of others."""

# VL Whole Slide Microscopy Image Storage (PS3.4 B.5).
SLIDE_SOP_CLASS: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
ENOUGH_FILES: Final = 64


@dataclass(frozen=True)
class Evidence:
    """The facts that one file, or a source that is no file, states of itself.

    Attributes:
        source: Path, link, or name that only a library understands; not for showing.
        magic: Its first bytes and tags; None for what is no file on this machine.
    """

    source: str
    magic: Magic | None = None

    @property
    def kind(self) -> str:
        """The format, by its magic; empty for what is no file on this machine."""
        return "" if self.magic is None else self.magic.kind


def evidence_of(source: str | Path) -> Iterator[Evidence]:
    """Yield what a file, or the first files of a folder, state of themselves.

    Raises:
        NotFoundError: It cannot be read.
    """
    path = Path(source)
    try:
        if not path.exists():
            yield Evidence(str(source))
            return
        for file in [path] if not path.is_dir() else islice(_files(path), ENOUGH_FILES):
            yield Evidence(str(file), read_magic(file))
    except (OSError, ValueError) as error:
        # The exception's own text names the path. ValueError: a null character in it.
        code = error.errno if isinstance(error, OSError) else 0
        raise NotFoundError(
            f"The input cannot be read ({os.strerror(code or 0)}).",
            remedy="Check that it is a file or a folder, and that you may read it.",
            code="input.unreadable",
        ) from None


def _files(folder: Path) -> Iterator[Path]:
    """Yield regular files below a folder in a stable order, without listing all of them first."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(root, name)).is_file())
