"""Interface of every source of slide pixels, and the small types that travel from it."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError

Rgb = NDArray[np.uint8]
Damaged = Literal["refuse", "mark"]

WHITE: Final = 255
# What a damaged tile shows where a picture of the whole must go on without it: the encoder's mean
# colour, as for what is no data on a map. Glass is white, so a hole is never taken for glass.
DAMAGED_RGB: Final = (122, 116, 104)


class Box(NamedTuple):
    """A rectangle of pixels; of level 0 where nothing else is said."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Level:
    """One resolution of a slide.

    Attributes:
        width: Pixels.
        height: Pixels.
        downsample: Level-0 pixels to a pixel of this level, along (x, y).
    """

    width: int
    height: int
    downsample: tuple[float, float] = (1.0, 1.0)


class SlideSource(Protocol):
    """Source of the pixels of a slide.

    Guarantees: RGB as the scanner meant it, transparent and missing parts white; nothing is made
    up for a tile that cannot be decoded; every missing or damaged tile is counted once.
    """

    levels: tuple[Level, ...]

    def read(self, level: int, box: Box, damaged: Damaged = "refuse") -> Rgb:
        """Read a box of level pixels that lies inside the level.

        Args:
            level: Index into `levels`.
            box: Pixels of that level.
            damaged: What becomes of a tile that cannot be decoded: ``"refuse"`` the box, or
                ``"mark"`` the tile in `DAMAGED_RGB`.

        Raises:
            DamagedInputError: A tile cannot be decoded, and the box is to be refused.
        """
        ...

    def counts(self) -> Counter[str]:
        """Return report codes of what was met while reading: tiles missing and damaged."""
        ...

    def header(self) -> Any:
        """Read the DICOM header of level 0 again, for files of the same study; None without one.

        It identifies the patient: nothing but such a file may take from it.

        Raises:
            InputError: It cannot be read any more, or has changed.
        """
        ...

    def close(self) -> None:
        """Close files."""
        ...


def make_levels(sizes: list[tuple[int, int]]) -> tuple[Level, ...]:
    """Return levels from their sizes, level 0 first.

    A scanner shrinks by a whole factor and cuts or fills the last pixel, so the ratio of the sizes
    is not the factor: 2967 rows shrunk by 4 are 741, and 2967 / 741 is 4.004. The power of two, or
    the whole number, that explains both sides is taken; else the ratio along each axis.
    """
    width, height = sizes[0]
    return tuple(
        Level(*size, _downsample((width, height), size)) for size in sorted(sizes, reverse=True)
    )


def _downsample(base: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    ratio = max(base) / size[base.index(max(base))]
    power = 2.0 ** round(float(np.log2(ratio)))
    for factor in (power, float(round(ratio))):
        if all(abs(full / factor - small) < 1 for full, small in zip(base, size, strict=True)):
            return (factor, factor)
    return (base[0] / size[0], base[1] / size[1])


def damaged_tile(level: int) -> DamagedInputError:
    """Return the error for a tile that cannot be decoded."""
    return DamagedInputError(
        f"A tile of the slide cannot be decoded (level {level}).",
        remedy="Copy the slide again, read elsewhere, or let `to_sequence` leave the field out.",
        code="slide.damaged_tile",
        facts={"level": level},
    )
