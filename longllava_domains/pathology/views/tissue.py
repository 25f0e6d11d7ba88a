"""Find the tissue of a slide on an overview of about a thousand pixels.

Otsu's threshold cuts every image in two, also one that is all tissue or all glass, and loses pale
fat beside dark stain. Here glass is what glass looks like on this slide (its white point and its
noise), and tissue is saturation and optical density against it, with hysteresis: pale parts count
where they hang together with stained ones. Black borders and pen are taken out by colour first.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from longllava_domains.pathology.pyramid import SlidePyramid
from longllava_domains.pathology.regions import Region
from longllava_domains.pathology.slide_source import DAMAGED_RGB, Box, Rgb
from longllava_domains.pathology.views.components import Mask, areas, fill_holes, keep, label

OVERVIEW_PX: Final = 1024
# Glass is bright and nearly grey; without any on the overview this is taken for it.
_GLASS_LEAST, _GLASS_CHROMA, _GLASS_SHARE = 170, 28, 0.01
_PLAIN_GLASS: Final = (240.0, 240.0, 240.0)
# Saturation and optical density, relative to glass. Weak must also stand out of glass's noise.
_WEAK_SATURATION, _STRONG_SATURATION = 0.03, 0.07
_WEAK_DENSITY, _STRONG_DENSITY = 0.03, 0.05
# Pale tissue is pink or violet: green is darker than red and blue, if only by a few levels.
_WEAK_PINK, _STRONG_PINK = 0.018, 0.024
_NOISE_DEVIATIONS: Final = 5.0
# Carbon, ink and the frame of the scanner: dark, and without colour.
_DARK, _DARK_CHROMA = 75, 24
_MARGIN: Final = 5
_SMALLEST_UM2: Final = 1_000.0
_LARGEST_HOLE_UM2: Final = 50_000.0
# A single stained pixel is nine once it is smoothed.
_FEWEST_CELLS: Final = 12


@dataclass(frozen=True, eq=False)
class TissueMask:
    """Mask of the tissue.

    Attributes:
        mask: (rows, columns) of cells.
        origin: Level-0 place of the first cell's corner.
        cell: Level-0 pixels to a cell, along both axes.
        source: ``"overview"``, or ``"user"`` for drawn regions.
    """

    mask: Mask
    origin: tuple[float, float]
    cell: float
    source: Literal["overview", "user"]

    @property
    def fraction(self) -> float:
        """Share of the cells that are tissue."""
        return float(self.mask.mean())

    @property
    def box(self) -> Box | None:
        """Level-0 bounding box of all tissue; None without any."""
        rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        if len(rows) == 0:
            return None
        left = int(self.origin[0] + columns[0] * self.cell)
        top = int(self.origin[1] + rows[0] * self.cell)
        right = int(np.ceil(self.origin[0] + (columns[-1] + 1) * self.cell))
        bottom = int(np.ceil(self.origin[1] + (rows[-1] + 1) * self.cell))
        return Box(left, top, right - left, bottom - top)

    def fractions(self, boxes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the share of each box that is tissue; parts outside the mask are none.

        Args:
            boxes: (boxes, 4): x, y, width, height in level-0 pixels.
        """
        values = np.asarray(boxes, np.float64)
        left, top = (values[:, :2] - self.origin).T / self.cell
        width, height = values[:, 2:].T / self.cell
        covered = (
            self._below(left + width, top + height)
            - self._below(left, top + height)
            - self._below(left + width, top)
            + self._below(left, top)
        )
        return np.asarray(covered / (width * height))

    def within(self, region: Region) -> "TissueMask":
        """Return the tissue inside a region."""
        drawn = region.draw(self.origin, self.cell, self.mask.shape)
        return TissueMask(self.mask & drawn, self.origin, self.cell, self.source)

    def _below(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        """Return tissue cells above and left of fractional places, exactly."""
        sums = self._sums
        y = np.clip(y, 0, sums.shape[0] - 1)
        x = np.clip(x, 0, sums.shape[1] - 1)
        row = np.minimum(y.astype(int), sums.shape[0] - 2)
        column = np.minimum(x.astype(int), sums.shape[1] - 2)
        v, u = y - row, x - column
        upper = sums[row, column] * (1 - u) + sums[row, column + 1] * u
        lower = sums[row + 1, column] * (1 - u) + sums[row + 1, column + 1] * u
        return np.asarray(upper * (1 - v) + lower * v)

    @cached_property
    def _sums(self) -> NDArray[np.float64]:
        return np.pad(self.mask.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def find_tissue(slide: SlidePyramid) -> TissueMask:
    """Find tissue on an overview of what was scanned.

    Args:
        slide: Read at the resolution that makes its longer side 1024 pixels.
    """
    bounds = slide.bounds
    cell = max(1.0, max(bounds.width, bounds.height) / OVERVIEW_PX)
    overview = slide.read(*bounds, mpp=cell * slide.mpp, damaged="mark")
    mask = tissue_of(overview, cell * slide.mpp)
    return TissueMask(mask, (bounds.x, bounds.y), cell, "overview")


def user_tissue(slide: SlidePyramid, region: Region) -> TissueMask:
    """Return the user's own word about where tissue is, as a mask."""
    bounds = slide.bounds
    cell = max(1.0, max(bounds.width, bounds.height) / OVERVIEW_PX)
    shape = (max(1, round(bounds.height / cell)), max(1, round(bounds.width / cell)))
    drawn = region.draw((bounds.x, bounds.y), cell, shape)
    return TissueMask(drawn, (bounds.x, bounds.y), cell, "user")


def tissue_of(overview: Rgb, cell_um: float) -> Mask:
    """Separate tissue from glass, borders and pen.

    Args:
        overview: uint8 (rows, columns, 3).
        cell_um: Microns to a pixel of it.
    """
    smooth = Image.fromarray(overview).filter(ImageFilter.GaussianBlur(1))
    levels = np.asarray(smooth, np.float32)
    unusable = _grown(_dark(levels) | (overview == DAMAGED_RGB).all(axis=-1))
    light = np.clip(levels / _white_point(levels, unusable), 1 / 256, 1)
    unusable |= _grown(_pen(light))
    top = light.max(axis=-1)
    saturation = (top - light.min(axis=-1)) / top
    density = -np.log10(light.mean(axis=-1))
    weak_at = _above_noise(saturation[~unusable], _WEAK_SATURATION)
    denser = density > _above_noise(density[~unusable], _WEAK_DENSITY)
    pink = np.minimum(light[..., 0], light[..., 2]) - light[..., 1]
    weak = (saturation > weak_at) | (denser & (saturation > weak_at / 2)) | (pink > _WEAK_PINK)
    strong = (saturation > max(_STRONG_SATURATION, weak_at)) & (density > _STRONG_DENSITY)
    strong |= pink > _STRONG_PINK
    weak &= ~unusable
    parts = label(weak)
    stained = np.zeros(int(parts.max()) + 1, np.bool_)
    stained[np.unique(parts[strong & weak])] = True
    large = areas(parts) >= max(_FEWEST_CELLS, _SMALLEST_UM2 / cell_um**2)
    tissue = keep(parts, stained & large)
    return fill_holes(tissue, _LARGEST_HOLE_UM2 / cell_um**2)


def _white_point(levels: NDArray[np.float32], unusable: Mask) -> NDArray[np.float32]:
    """Return the colour of glass."""
    chroma = levels.max(axis=-1) - levels.min(axis=-1)
    glass = (levels.min(axis=-1) > _GLASS_LEAST) & (chroma < _GLASS_CHROMA) & ~unusable
    if glass.mean() < _GLASS_SHARE:
        return np.array(_PLAIN_GLASS, np.float32)
    bright = levels[glass]
    lightness = bright.mean(axis=-1)
    # The brighter half: pale tissue is glass-like, and darker.
    return np.asarray(np.median(bright[lightness >= np.median(lightness)], axis=0))


def _above_noise(values: NDArray[np.float32], least: float) -> float:
    """Return a threshold above what glass shows by noise alone.

    Noise is seen in the lowest quarter of the values: whatever the share of tissue, those are
    glass, or the palest there is; and then the threshold must not rise with it.
    """
    if values.size == 0:
        return least
    low = np.percentile(values, (5, 25))
    return float(np.clip(low[1] + _NOISE_DEVIATIONS * (low[1] - low[0]) / 0.97, least, 2 * least))


def _dark(levels: NDArray[np.float32]) -> Mask:
    """Return what is nearly black and has no colour: borders, carbon, black ink."""
    top = levels.max(axis=-1)
    return np.asarray((top < _DARK) & (top - levels.min(axis=-1) < _DARK_CHROMA))


def _pen(light: NDArray[np.float32]) -> Mask:
    """Return colours that no common stain has: green, cyan and blue, pure red, and yellow ink."""
    red, green, blue = light[..., 0], light[..., 1], light[..., 2]
    chroma = light.max(axis=-1) - light.min(axis=-1)
    is_green = (green > red * 1.05) & (green > blue * 1.05) & (chroma > 0.12)
    # Haematoxylin has more red than green; a pale counterstain about as much.
    is_blue = (blue >= green) & (green - red > 0.08) & (chroma > 0.25)
    is_red = (chroma > 0.6) & (red > 0.6) & (np.abs(green - blue) < 0.12)
    is_yellow = (red > 0.7) & (green > 0.6) & (chroma > 0.4)
    return np.asarray(is_green | is_blue | is_red | is_yellow)


def _grown(mask: Mask) -> Mask:
    """Return a mask with a margin: edges of ink and of borders blend into glass."""
    if not mask.any():
        return mask
    picture = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(_MARGIN))
    return np.asarray(picture, np.bool_)
