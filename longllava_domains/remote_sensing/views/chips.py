"""Chips: overlapping windows at native resolution, for questions of where and how many."""

from collections.abc import Iterator
from typing import Final

from longllava_domains.errors import PolicyError
from longllava_domains.remote_sensing.scene import Scene
from longllava_domains.remote_sensing.views.crop import crop, row_bands
from longllava_domains.remote_sensing.views.grid import COLOURS, GridProtocol
from longllava_domains.visual import MapPlace, View
from longllava_domains.visual.strips import Mask, PixelWindow

# FIT-RS cuts STAR scenes into 512-pixel chips that overlap by 100 ("split_512_100").
CHIP_PX: Final = 512
OVERLAP_PX: Final = 100
# Colour of padding and nodata, see `grid.COLOURS`.
_PROTOCOL: Final[GridProtocol] = "neutral"


class Chips:
    """Every chip of a raster, in row-major order; iterating reads the raster once.

    Chips step by `size_px - overlap_px`; the last of a row or column is moved back to end at the
    raster's edge, so it overlaps more. A raster smaller than a chip is padded right and below.

    Args:
        raster: The scene.
        size_px: Side of a chip, raster pixels.
        overlap_px: Pixels that neighbours share at least.

    Attributes:
        skipped: Places of the chips that held nothing but nodata, of the last iteration.

    Raises:
        PolicyError: An overlap that leaves no step.
    """

    def __init__(
        self,
        raster: Scene,
        size_px: int = CHIP_PX,
        overlap_px: int = OVERLAP_PX,
    ) -> None:
        if size_px < 1 or not 0 <= overlap_px < size_px:
            raise PolicyError(
                f"Chips of {size_px} pixels cannot overlap by {overlap_px}.",
                remedy="The overlap is at least 0 and smaller than the chip.",
                code="raster.chips",
                facts={"size_px": size_px, "overlap_px": overlap_px},
            )
        self.raster = raster
        self.size_px = size_px
        self.overlap_px = overlap_px
        self.tops = starts(raster.height, size_px, overlap_px)
        self.lefts = starts(raster.width, size_px, overlap_px)
        self.skipped: list[MapPlace] = []

    def __len__(self) -> int:
        """Chips there are, nodata-only ones included."""
        return len(self.tops) * len(self.lefts)

    def __iter__(self) -> Iterator[View]:
        """Yield every chip that holds data.

        Raises:
            DamagedInputError: A block cannot be decoded.
        """
        return (view for view, _ in self.with_masks())

    def with_masks(self) -> Iterator[tuple[View, Mask | None]]:
        """Yield every chip that holds data, and which of its pixels are; None where all are.

        Raises:
            DamagedInputError: A block cannot be decoded.
        """
        self.skipped = []
        raster, size = self.raster, self.size_px
        padding, fill = COLOURS[_PROTOCOL]
        ground = raster.ground
        strips = raster.source.sweep(raster.painter(fill), raster.threads)
        spans = [(top, min(top + size, raster.height)) for top in self.tops]
        for (top, _), band in zip(spans, row_bands(strips, spans), strict=True):
            for left in self.lefts:
                window = PixelWindow(left, top, size, size)
                place = ground.place("chip", window, 1.0)
                pixels, valid = crop(band, window, padding)
                if valid is None or valid.any():
                    yield View(pixels, place), valid
                else:
                    self.skipped.append(place)


def starts(length: int, size: int, overlap: int) -> tuple[int, ...]:
    """Return the first pixel of each chip along an axis; the last chip ends at the edge."""
    if length <= size:
        return (0,)
    step = size - overlap
    return (*range(0, length - size, step), length - size)
