"""The tile grid of the LongLLaVA high-resolution protocol ("bestFit"): where each tile lies.

Reference behaviour: the image is padded to whole multiples of the tile side, the same number
of pixels on both sides of each axis, and cut row by row. `(target - size) // 2` pixels go on
each side, so an odd deficit leaves the last row or column of tiles one pixel short.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from longllava_domains.errors import PolicyError
from longllava_domains.visual.strips import PixelWindow

GridProtocol = Literal["neutral", "reference"]

# What the image preprocessor pads with; it becomes 0 after normalisation, so that padding and
# nodata carry no signal. The reference pads with white, which in a scene looks like cloud or snow.
NEUTRAL: Final = (122, 116, 104)
WHITE: Final = (255, 255, 255)
BLACK: Final = (0, 0, 0)

# Padding colour and nodata colour. Under "reference" nodata stays what the original code would
# have been given: the black that a viewer shows.
COLOURS: Final = {"neutral": (NEUTRAL, NEUTRAL), "reference": (WHITE, BLACK)}


@dataclass(frozen=True)
class Grid:
    """Tiles that cover an image, in row-major order.

    Attributes:
        width: Of the image that is cut, pixels.
        height: Of the image that is cut, pixels.
        tile_px: Side of a tile.
        protocol: ``"reference"``: exactly as above. ``"neutral"``: the same places, but an odd
            deficit is made up after the last tile, so that every tile is square.
    """

    width: int
    height: int
    tile_px: int = 336
    protocol: GridProtocol = "neutral"

    def __post_init__(self) -> None:
        require_protocol(self.protocol)
        if min(self.width, self.height, self.tile_px) < 1:
            raise PolicyError(
                f"No grid covers {self.width} x {self.height} pixels with {self.tile_px}.",
                remedy="Sizes are positive pixels.",
                code="raster.grid",
            )

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return -(-self.height // self.tile_px)

    @property
    def columns(self) -> int:
        """Columns of tiles."""
        return -(-self.width // self.tile_px)

    @property
    def pad_column(self) -> int:
        """Pixels of padding left of the image."""
        return (self.columns * self.tile_px - self.width) // 2

    @property
    def pad_row(self) -> int:
        """Pixels of padding above the image."""
        return (self.rows * self.tile_px - self.height) // 2

    def row_span(self, row: int) -> tuple[int, int]:
        """Return first and one-past-last image row of a row of tiles; may reach outside."""
        return self._span(row, self.rows, self.pad_row, self.height)

    def column_span(self, column: int) -> tuple[int, int]:
        """Return first and one-past-last image column of a column of tiles; may reach outside."""
        return self._span(column, self.columns, self.pad_column, self.width)

    def __len__(self) -> int:
        return self.rows * self.columns

    def __iter__(self) -> Iterator[PixelWindow]:
        for row in range(self.rows):
            top, bottom = self.row_span(row)
            for column in range(self.columns):
                left, right = self.column_span(column)
                yield PixelWindow(left, top, right - left, bottom - top)

    def _span(self, index: int, count: int, pad: int, size: int) -> tuple[int, int]:
        start = index * self.tile_px - pad
        end = start + self.tile_px
        if self.protocol == "reference" and index == count - 1:
            end = min(end, size + pad)
        return start, end


def require_protocol(protocol: str) -> None:
    """Refuse a protocol of tiling that is none.

    Raises:
        PolicyError: There is no such protocol.
    """
    if protocol not in get_args(GridProtocol):
        raise PolicyError(
            "There is no such tiling protocol.",
            remedy=f"Use {' or '.join(get_args(GridProtocol))}.",
            code="raster.protocol",
        )
