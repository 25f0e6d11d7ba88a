"""Rows of a large picture on their way from a source to views."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Rgb = NDArray[np.uint8]


class PixelWindow(NamedTuple):
    """A rectangle of a picture, whole pixels."""

    column: int
    row: int
    width: int
    height: int


@dataclass(frozen=True)
class Strip:
    """Whole rows of a picture, ready to show.

    Attributes:
        top: Row in the picture of the first row.
        rgb: uint8 (rows, width, 3).
        valid: (rows, width); None where all are data.
    """

    top: int
    rgb: Rgb
    valid: Mask | None


def join(strips: Sequence[Strip]) -> tuple[Rgb, Mask | None]:
    """Stack strips that follow each other; one strip is handed back without a copy."""
    if len(strips) == 1:
        return strips[0].rgb, strips[0].valid
    rgb = np.concatenate([strip.rgb for strip in strips])
    if all(strip.valid is None for strip in strips):
        return rgb, None
    masks = [
        np.ones(strip.rgb.shape[:2], np.bool_) if strip.valid is None else strip.valid
        for strip in strips
    ]
    return rgb, np.concatenate(masks)


def some_valid(valid: Mask | None) -> Mask | None:
    """Return None in place of a mask that is True everywhere."""
    return None if valid is None or bool(valid.all()) else valid
