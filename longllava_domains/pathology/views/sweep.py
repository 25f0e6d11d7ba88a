"""Every field of a slide that holds tissue, one after the other, each read when its turn comes."""

import math
from collections.abc import Iterator, Sequence

from longllava_domains.errors import DamagedInputError, NotFoundError, PolicyError
from longllava_domains.pathology.pyramid import SlidePyramid
from longllava_domains.pathology.regions import Region, box_region
from longllava_domains.pathology.slide_source import Box
from longllava_domains.pathology.views.fields import lay_grid
from longllava_domains.pathology.views.tissue import TissueMask, user_tissue
from longllava_domains.visual import SlidePlace, View

# Rows and columns beyond this are no search that anybody waits for.
_MOST_FIELDS = 4_000_000


class FieldSweep:
    """Fields of one size over the tissue of a slide, in rows from the top.

    Args:
        slide: An open slide.
        tissue: Where tissue is.
        mpp: Microns per pixel of the views.
        view_px: Side of a view.
        overlap_px: Pixels of a view that its neighbour shows too.
        region: What is looked at; all that was scanned by default. Where no tissue is found in it,
            all of it is looked at.

    Attributes:
        places: Of the fields that hold tissue.
        background: Fields without any.

    Raises:
        PolicyError: A view without pixels, neighbours that share all of it, a resolution that the
            slide does not have, or more fields than can be laid out.
        NotFoundError: No tissue on the slide.
    """

    def __init__(
        self,
        slide: SlidePyramid,
        tissue: TissueMask | Region,
        *,
        mpp: float,
        view_px: int,
        overlap_px: int,
        region: Region | Sequence[int] | None = None,
    ) -> None:
        if view_px < 1 or not 0 <= overlap_px < view_px:
            raise PolicyError(
                f"Fields of {view_px} pixels cannot share {overlap_px} of them.",
                remedy="Let neighbours share fewer pixels than a field has.",
                code="slide.sweep",
            )
        if not 0 < mpp < math.inf:
            raise PolicyError(
                f"Fields of {mpp} microns per pixel cannot be cut.",
                remedy="Give a number above 0.",
                code="slide.sweep",
            )
        self.slide = slide
        area = self._area(slide, region)
        mask = user_tissue(slide, tissue) if isinstance(tissue, Region) else tissue
        inside = mask.within(area)
        if inside.box is None and region is not None:  # the user's word: all of it counts
            inside = user_tissue(slide, area)
        found = inside.box
        if found is None:
            raise NotFoundError(
                "No tissue was found on the slide.",
                remedy='Draw the tissue (tissue=slide.region("tissue.geojson")), or name a region.',
                code="slide.no_tissue",
            )
        side = max(1, round(view_px * mpp / slide.mpp))
        self.mpp = slide.mpp * side / view_px
        grid = lay_grid(_common(area.box, found), side, overlap_px / view_px)
        if len(grid) > _MOST_FIELDS:
            raise PolicyError(
                f"The slide has {len(grid):,} fields of that size.",
                remedy="Look at a region, or at a larger mpp.",
                code="slide.sweep",
            )
        boxes = grid.boxes()
        kept = inside.fractions(boxes) > 0
        self.background = int((~kept).sum())
        level = slide.level_for(self.mpp)
        self.places = tuple(
            SlidePlace(x, y, width, height, level, self.mpp)
            for x, y, width, height in boxes[kept].tolist()
        )

    def __len__(self) -> int:
        return len(self.places)

    def views(self) -> Iterator[tuple[SlidePlace, View | None]]:
        """Yield each place with its view; None where a tile of it cannot be decoded."""
        for place in self.places:
            box = (place.x, place.y, place.width, place.height)
            try:
                pixels = self.slide.read(*box, mpp=self.mpp)
            except DamagedInputError:
                yield place, None
                continue
            pixels.flags.writeable = False
            yield place, View(pixels, place)

    @staticmethod
    def _area(slide: SlidePyramid, region: Region | Sequence[int] | None) -> Region:
        if region is None:
            return Region(slide.bounds)
        return region if isinstance(region, Region) else box_region(region, slide.size)


def _common(one: Box, other: Box) -> Box:
    left, top = max(one.x, other.x), max(one.y, other.y)
    right = min(one.x + one.width, other.x + other.width)
    bottom = min(one.y + one.height, other.y + other.height)
    return Box(left, top, max(1, right - left), max(1, bottom - top))
