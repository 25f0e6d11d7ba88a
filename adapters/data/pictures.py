"""Picture of a training row: an image file, or an image whose bytes stand in a table.

Nothing is opened before it is asked for. Volumes and rasters, which become many views, are in
`domain_pictures`.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from PIL import Image

from longllava_domains.errors import DamagedInputError
from longllava_domains.units import short_hash
from longllava_domains.visual import Layout, View

# What Pillow raises for bytes that are no image, cut short, or a decompression bomb.
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Shape:
    """Number of views that a picture becomes, and how they belong together.

    Attributes:
        views: Number of views.
        layout: As in `VisualSequence`.
        grid: (rows, columns) of the tiles, only with layout ``grid``.
    """

    views: int
    layout: Layout = "images"
    grid: tuple[int, int] | None = None


ONE_VIEW: Final = Shape(1)


class Picture(Protocol):
    """Something to look at, not opened yet."""

    @property
    def name(self) -> str:
        """Name of the picture in its data set; may hold a file name, so never print it."""
        ...

    def is_there(self) -> bool:
        """Say whether there is anything to open."""
        ...

    def size_bytes(self) -> int:
        """Return the size of the stored bytes."""
        ...

    def sha256(self) -> str:
        """Return the SHA-256 of the stored bytes."""
        ...

    def shape(self) -> Shape:
        """Return what it becomes, without decoding it.

        Raises:
            LongLlavaError: It cannot be opened.
        """
        ...

    def load(self) -> Sequence[View | Image.Image]:
        """Open it and return its views, as many as `shape` says.

        Raises:
            LongLlavaError: It cannot be opened or decoded.
        """
        ...


@dataclass(frozen=True)
class ImageFile:
    """An ordinary image file: one view.

    Attributes:
        path: Where it is.
        name: Its path as the data set writes it.
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

    def shape(self) -> Shape:
        """Return one view."""
        return ONE_VIEW

    def load(self) -> Sequence[Image.Image]:
        """Decode the image.

        Raises:
            DamagedInputError: It is absent, cut short, or no image of 8 bits.
        """
        try:
            return [_decoded(self.path.read_bytes())]
        except _PILLOW_ERRORS as error:
            raise _damaged(self.name, error) from None


@dataclass(frozen=True)
class StoredImage:
    """An image whose bytes stand in a table: one view.

    Attributes:
        name: Which row of which table.
        read: Returns the bytes; called each time the image is needed.
    """

    name: str
    read: Callable[[], bytes] = field(repr=False, compare=False)

    def is_there(self) -> bool:
        """Say whether the table holds bytes for it."""
        return len(self.read()) > 0

    def size_bytes(self) -> int:
        """Return the size of the stored image."""
        return len(self.read())

    def sha256(self) -> str:
        """Return the SHA-256 of the stored image."""
        return hashlib.sha256(self.read()).hexdigest()

    def shape(self) -> Shape:
        """Return one view."""
        return ONE_VIEW

    def load(self) -> Sequence[Image.Image]:
        """Decode the image.

        Raises:
            DamagedInputError: The bytes are no image of 8 bits.
        """
        try:
            return [_decoded(self.read())]
        except _PILLOW_ERRORS as error:
            raise _damaged(self.name, error) from None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decoded(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        if image.mode == "F" or image.mode.startswith("I"):
            raise ValueError(f"mode {image.mode}")  # more than 8 bits: for a domain's own loader
        return image.convert("RGB")


def _damaged(name: str, error: Exception) -> DamagedInputError:
    return DamagedInputError(
        f"Image {short_hash(name)} cannot be decoded.",
        remedy="Check the data with decode=True (longllava data check --images) and replace it.",
        code="training.image",
        facts={"error": type(error).__name__},
    )
