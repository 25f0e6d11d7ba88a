"""Direction of north in a picture of the ground, in degrees and in words."""

import math
from dataclasses import dataclass
from typing import Final

from longllava_domains.remote_sensing.georeference import Georeference

# A map grid turns by a few degrees against true north; a picture within this is north up.
_UPRIGHT_DEG: Final = 15.0
_SIDES: Final = (
    "the top", "the top right", "the right", "the bottom right",
    "the bottom", "the bottom left", "the left", "the top left",
)  # fmt: skip


@dataclass(frozen=True)
class Compass:
    """Directions in a picture.

    Attributes:
        north_deg: Of north, clockwise from the top of the picture, 0 to 360.
        is_mirrored: True where east lies left of north, as in rasters whose rows run north.
    """

    north_deg: float
    is_mirrored: bool

    @property
    def is_north_up(self) -> bool:
        """True where the picture looks as a map does."""
        turned = abs((self.north_deg + 180) % 360 - 180)
        return turned <= _UPRIGHT_DEG and not self.is_mirrored

    def __str__(self) -> str:
        east_deg = self.north_deg + (-90 if self.is_mirrored else 90)
        return f"North is at {_side(self.north_deg)} of the image, east at {_side(east_deg)}."


def compass(place: Georeference, size: tuple[int, int]) -> Compass | None:
    """Return where north is at the middle of a raster; None where nothing tells.

    Args:
        place: Its georeference.
        size: (width, height), pixels.
    """
    if place.pixel_map is None or place.crs is None:
        return None
    column, row = size[0] / 2, size[1] / 2
    step = 0.5 if place.kind == "affine" else max(0.5, min(size) / 8)
    east = place.heading((column - step, row), (column + step, row))
    south = place.heading((column, row - step), (column, row + step))
    if east is None or south is None:
        return None
    # A picture's column axis points `east` degrees from north, its row axis `south`.
    is_mirrored = math.sin(math.radians(south - east)) < 0
    up = south + 180
    north_deg = (up if is_mirrored else -up) % 360
    return Compass(north_deg, is_mirrored)


def _side(degrees: float) -> str:
    return _SIDES[round(degrees % 360 / 45) % 8]
