"""Ordinary images of a benchmark, by the name that its rows give them, as one view each."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from longllava_domains.adapters.data.pictures import ImageFile, Picture
from longllava_domains.adapters.data.readers.tables import parts_of, read_parquet
from longllava_domains.errors import NotFoundError
from longllava_domains.provenance import Provenance
from longllava_domains.units import short_hash
from longllava_domains.visual import ImagePlace, View, VisualSequence

_SUFFIXES: Final = ("", ".jpg", ".jpeg", ".png", ".tif", ".tiff")
ONE_IMAGE: Final[Mapping[str, str]] = {"policy": "one-image@1", "order": "as-given"}
"""What prediction rows record of the views: the whole image, padded and scaled by the model."""


class PictureShelf:
    """Finds the images of a benchmark and shows each as one view.

    Args:
        folder: Of the benchmark.
        folders: Where images may lie, below it.
        split: Of the hub's Parquet files, whose images are named by the SHA-256 of their bytes.
    """

    def __init__(self, folder: Path, folders: Sequence[str], split: str) -> None:
        self._folders = [folder / name for name in (*folders, ".")]
        self._stored = _stored_pictures(folder, split)

    def __call__(self, name: str) -> VisualSequence:
        """Return one view of an image.

        Raises:
            NotFoundError: There is no image of that name.
            DamagedInputError: It cannot be decoded.
        """
        return one_image(self._find(name))

    def _find(self, name: str) -> Picture:
        stored = self._stored.get(name)
        if stored is not None:
            return stored
        relative = Path(name)
        if not relative.is_absolute() and ".." not in relative.parts:
            for folder in self._folders:
                for suffix in _SUFFIXES:
                    path = folder / f"{name}{suffix}"
                    if path.is_file():
                        return ImageFile(path, name)
        raise NotFoundError(
            f"Image {short_hash(name)} is not in the folder of the benchmark.",
            remedy="Put the images where the benchmark's own archive has them.",
            code="benchmark.image",
        )


def one_image(picture: Picture) -> VisualSequence:
    """Return an ordinary image as a sequence of one view.

    Raises:
        DamagedInputError: It cannot be decoded.
    """
    (image,) = picture.load()
    pixels = image.pixels if isinstance(image, View) else np.asarray(image)
    place = ImagePlace(width=pixels.shape[1], height=pixels.shape[0])
    provenance = Provenance(policy=dict(ONE_IMAGE), views=1)
    return VisualSequence((View(pixels, place),), provenance=provenance)


def _stored_pictures(folder: Path, split: str) -> dict[str, Picture]:
    return {
        picture.sha256(): picture
        for part in parts_of(folder, split)
        for picture in _images(read_parquet(part, (), "image"))
    }


def _images(rows: Sequence[Mapping[str, Picture]]) -> Iterator[Picture]:
    for row in rows:
        yield row["image"]
