"""Views of a raster: the global view and the tiles, cut from one pass over its rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from longllava_domains.remote_sensing.scene import Ground
from longllava_domains.remote_sensing.views.crop import crop, row_bands
from longllava_domains.remote_sensing.views.grid import COLOURS, Grid, GridProtocol
from longllava_domains.visual import View
from longllava_domains.visual.area_average import shrink
from longllava_domains.visual.strips import PixelWindow, Rgb, Strip, join

# Raster rows averaged together; it bounds memory, not the result.
_AVERAGED_ROWS = 256


@dataclass(frozen=True)
class Crop:
    """One view, and whether any of it is data."""

    view: View
    has_data: bool


def global_size(width: int, height: int, longer_px: int) -> tuple[int, int]:
    """Return (width, height) of the global view: the raster's shape, never enlarged."""
    factor = max(1.0, max(width, height) / longer_px)
    return max(1, round(width / factor)), max(1, round(height / factor))


def global_view(ground: Ground, region: PixelWindow, picture: Rgb) -> View:
    """Return the global view of a region from its picture."""
    picture = picture.copy() if picture.flags.writeable else picture
    picture.flags.writeable = False
    factor_x, factor_y = region.width / picture.shape[1], region.height / picture.shape[0]
    return View(picture, ground.place("global", region, (factor_x * factor_y) ** 0.5))


def tiles(
    strips: Iterable[Strip],
    grid: Grid,
    ground: Ground,
    region: PixelWindow,
) -> Iterator[Crop]:
    """Cut every tile, row by row.

    Args:
        strips: Rows of the region, from its first; already averaged to the grid's size.
        grid: Where tiles lie.
        ground: The raster's georeference.
        region: What part of the raster the grid covers; a larger one was averaged down.
    """
    padding, _ = COLOURS[grid.protocol]
    factor_x, factor_y = region.width / grid.width, region.height / grid.height
    spans = [grid.row_span(row) for row in range(grid.rows)]
    inside = [(max(0, top), min(grid.height, bottom)) for top, bottom in spans]
    for (top, bottom), band in zip(spans, row_bands(strips, inside), strict=True):
        for column in range(grid.columns):
            left, right = grid.column_span(column)
            window = PixelWindow(left, top, right - left, bottom - top)
            pixels, valid = crop(band, window, padding)
            place = ground.place(
                "tile",
                (
                    region.column + left * factor_x,
                    region.row + top * factor_y,
                    window.width * factor_x,
                    window.height * factor_y,
                ),
                (factor_x * factor_y) ** 0.5,
            )
            yield Crop(View(pixels, place), valid is None or bool(valid.any()))


def averaged(
    strips: Iterable[Strip], source_size: tuple[int, int], grid: Grid, protocol: GridProtocol
) -> Iterator[Strip]:
    """Average full-resolution strips down to a grid's size, a few rows at a time.

    Args:
        strips: All rows, (width, height) = source_size.
        source_size: Size before averaging.
        grid: Gives the size after averaging.
        protocol: Which colour stands for nodata.
    """
    width, height = source_size
    factor = height / grid.height
    step = max(1, int(_AVERAGED_ROWS / factor))
    targets = [(top, min(top + step, grid.height)) for top in range(0, grid.height, step)]
    spans = [
        (int(top * factor), min(height, -int(-bottom * factor // 1))) for top, bottom in targets
    ]
    _, fill = COLOURS[protocol]
    for (top, bottom), band in zip(targets, row_bands(strips, spans), strict=True):
        pixels, mask = join(band)
        first = band[0].top
        # Rounding may put the exact edge a hair outside the rows at hand.
        lower = min(bottom * factor - first, float(len(pixels)))
        box = (0.0, top * factor - first, float(width), lower)
        rgb, valid = shrink(pixels, mask, (grid.width, bottom - top), box, fill)
        yield Strip(top, rgb, valid)


def bands_of(grid: Grid) -> list[tuple[int, int]]:
    """Return (first, one past last) image row of each row of tiles, inside the image."""
    spans = (grid.row_span(row) for row in range(grid.rows))
    return [(max(0, top), min(grid.height, bottom)) for top, bottom in spans]
