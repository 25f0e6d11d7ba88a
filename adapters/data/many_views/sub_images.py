"""Large images cut into parts of the tower's size, as the third stage of LongLLaVA was trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from longllava_domains.adapters.data.pictures import Picture, Shape
from longllava_domains.errors import DamagedInputError
from longllava_domains.model.network.preprocess import PAD_COLOUR

PART_PX: Final = 336


@dataclass(frozen=True)
class SubImages:
    """An ordinary image as a whole and in parts: padded to multiples of 336 pixels, then cut.

    The paper says that images are padded and cut so; the order (the whole first, then parts from
    left to right and top to bottom) is that of its grid protocol.

    Attributes:
        image: One view, such as an image file.
    """

    image: Picture

    @property
    def name(self) -> str:
        """That of the image."""
        return self.image.name

    def is_there(self) -> bool:
        """Say whether the image exists."""
        return self.image.is_there()

    def size_bytes(self) -> int:
        """Return the size of the image."""
        return self.image.size_bytes()

    def sha256(self) -> str:
        """Return the SHA-256 of the image."""
        return self.image.sha256()

    def shape(self) -> Shape:
        """Return the whole and the grid of parts.

        Raises:
            DamagedInputError: The image cannot be decoded.
        """
        rows, columns = _grid(self._decoded())
        return Shape(1 + rows * columns, "grid", (rows, columns))

    def load(self) -> Sequence[Image.Image]:
        """Pad and cut the image.

        Raises:
            DamagedInputError: The image cannot be decoded.
        """
        image = self._decoded()
        rows, columns = _grid(image)
        padded = Image.new("RGB", (columns * PART_PX, rows * PART_PX), PAD_COLOUR)
        padded.paste(
            image, ((padded.width - image.width) // 2, (padded.height - image.height) // 2)
        )
        parts = [
            padded.crop((left, top, left + PART_PX, top + PART_PX))
            for top in range(0, padded.height, PART_PX)
            for left in range(0, padded.width, PART_PX)
        ]
        return [image, *parts]

    def _decoded(self) -> Image.Image:
        (image,) = self.image.load()
        if not isinstance(image, Image.Image):
            raise DamagedInputError(
                "Only ordinary images are cut into parts.",
                remedy="Leave volumes, scenes and slides out of that part of the data.",
                code="training.image",
            )
        return image


def _grid(image: Image.Image) -> tuple[int, int]:
    return math.ceil(image.height / PART_PX), math.ceil(image.width / PART_PX)
