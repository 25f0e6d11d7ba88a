"""Make the views that a policy asks for, and say what was left out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from longllava_domains.errors import DamagedInputError, NotFoundError, PolicyError
from longllava_domains.pathology.pyramid import SlidePyramid
from longllava_domains.pathology.regions import CUT_NOTICE, Region, box_region
from longllava_domains.pathology.slide_source import Box
from longllava_domains.pathology.views.fields import (
    Boxes,
    evenly,
    field_features,
    joint_grid,
    lay_grid,
    most_diverse,
    most_tissue,
)
from longllava_domains.pathology.views.policy import VOTE_MPP, TilePolicy
from longllava_domains.pathology.views.tissue import TissueMask, user_tissue
from longllava_domains.visual import SlidePlace, View, VisualSequence

_OVERVIEW_PX: Final = 1024


@dataclass
class _Shown:
    """Views of one region, and how they came about.

    Attributes:
        views: In order.
        grid: (rows, columns) after the global view; None where views stand alone.
        tissue: Share of tissue of each view.
        left_out: Counted by reason.
        marked: Views with tiles that could not be decoded, marked in one colour.
    """

    views: list[View] = field(default_factory=list)
    grid: tuple[int, int] | None = None
    tissue: list[float] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    marked: int = 0


def to_sequence(
    slide: SlidePyramid,
    policy: TilePolicy,
    regions: Sequence[Region | tuple[int, int, int, int]],
    tissue: TissueMask | Region | None,
) -> VisualSequence:
    """Show a slide; see `Slide.to_sequence`."""
    chosen = [_as_region(slide, region) for region in regions] or [Region(slide.bounds)]
    budget = policy.max_views // len(chosen)
    if budget < (2 if policy.protocol == "joint-lowmag@1" else 1):
        raise PolicyError(
            f"{policy.max_views} views are too few for {len(chosen)} regions.",
            remedy="Raise max_views, or ask about fewer regions.",
            code="slide.policy",
        )
    mask = _mask(slide, tissue) if policy.uses_tissue else None
    shown = []
    for region in chosen:
        # The user's region needs no tissue that we find: where there is none, all of it counts.
        inside = None if mask is None else mask.within(region)
        if inside is not None and inside.box is None and regions:
            inside = user_tissue(slide, region)
        shown.append(_Region(slide, policy, region, inside, budget).show())
    views = [view for part in shown for view in part.views]
    if not views:
        raise DamagedInputError(
            "Every view of the slide has tiles that cannot be decoded.",
            remedy="Copy the slide again.",
            code="slide.damaged_tile",
        )
    left_out = sum((part.left_out for part in shown), Counter[str]())
    grid = shown[0].grid if len(shown) == 1 else None
    marked = sum(part.marked for part in shown)
    report = slide.report.with_({"views.marked": marked} if marked else {})
    said = {"notices": [CUT_NOTICE]} if any(region.cut for region in chosen) else {}
    provenance = slide.provenance.with_(
        **said,
        policy=policy.to_json()
        | {
            "bounds": list(slide.bounds),
            "regions": [region.to_json() for region in chosen],
            "views_of_regions": [len(part.views) for part in shown],
            "view_mpp": sorted({view.place.to_json()["mpp"] for view in views}),
            "view_tissue": [round(share, 4) for part in shown for share in part.tissue],
            "tissue": None
            if mask is None
            else {"source": mask.source, "fraction": round(mask.fraction, 6)},
        },
        preset=policy.protocol,
        layout="images" if grid is None else "grid",
        views=len(views),
        left_out=dict(left_out),
        load_report=report.to_json(),
    )
    return VisualSequence(
        tuple(views), "images" if grid is None else "grid", grid, provenance, dict(left_out)
    )


def _as_region(slide: SlidePyramid, region: Region | tuple[int, int, int, int]) -> Region:
    return region if isinstance(region, Region) else box_region(region, slide.size)


def _mask(slide: SlidePyramid, tissue: TissueMask | Region | None) -> TissueMask | None:
    return user_tissue(slide, tissue) if isinstance(tissue, Region) else tissue


class _Region:
    """One region shown by one protocol."""

    def __init__(
        self,
        slide: SlidePyramid,
        policy: TilePolicy,
        region: Region,
        mask: TissueMask | None,
        most: int,
    ) -> None:
        self.slide = slide
        self.policy = policy
        self.region = region
        self.mask = mask
        self.most = most
        self.shown = _Shown()

    def show(self) -> _Shown:
        """Make the views.

        Raises:
            NotFoundError: No tissue in the region.
        """
        if self.mask is None:
            self._global_view(self.region.box)
        elif self.policy.protocol == "joint-lowmag@1":
            self._joint(self.mask)
        else:
            self._single(self.mask)
        return self.shown

    def _joint(self, tissue: TissueMask) -> None:
        box = self._tissue_box(tissue)
        finest = self._side(self.policy.mpp or self.slide.mpp)
        grid = joint_grid(box, tissue, self.policy, finest, self.most - 1)
        if grid.side > finest:
            asked = len(lay_grid(box, finest, self.policy.overlap))
            self.shown.left_out["finer_fields_averaged"] = asked - len(grid)
        if grid.left_out:
            self.shown.left_out["background"] = grid.left_out
        self._global_view(self.region.box)
        self.shown.grid = (len(grid.tops), len(grid.lefts))
        self._fields(grid.boxes(), tissue, damaged="mark")

    def _single(self, tissue: TissueMask) -> None:
        policy = self.policy
        box = self._tissue_box(tissue)
        votes = policy.protocol == "vote-patches@1"
        mpp = policy.mpp or (max(VOTE_MPP, self.slide.mpp) if votes else self.slide.mpp)
        boxes = lay_grid(box, self._side(mpp), policy.overlap).boxes()
        shares = tissue.fractions(boxes)
        kept = shares >= max(policy.tissue_min, 1e-9)
        if not kept.any():
            raise _no_tissue()
        if not kept.all():
            self.shown.left_out["background"] = int((~kept).sum())
        boxes, shares = boxes[kept], shares[kept]
        if votes:
            chosen = evenly(len(boxes), self.most)
        elif policy.drop == "tissue":
            chosen = most_tissue(shares, self.most)
        else:
            chosen = most_diverse(self._features(boxes, box), self.most)
        if len(chosen) < len(boxes):
            rule = "spread" if votes else policy.drop
            self.shown.left_out[f"over_budget.{rule}"] = len(boxes) - len(chosen)
        self._fields(boxes[chosen], tissue, damaged="leave_out")

    def _features(self, boxes: Boxes, box: Box) -> np.ndarray:
        mpp = self.slide.mpp * max(1.0, max(box.width, box.height) / _OVERVIEW_PX)
        return field_features(boxes, box, self.slide.read(*box, mpp=mpp, damaged="mark"))

    def _tissue_box(self, tissue: TissueMask) -> Box:
        """Return the bounding box of the tissue, inside the region.

        Raises:
            NotFoundError: There is none.
        """
        found = tissue.box
        if found is None:
            raise _no_tissue()
        box = self.region.box
        left, top = max(box.x, found.x), max(box.y, found.y)
        right = min(box.x + box.width, found.x + found.width)
        bottom = min(box.y + box.height, found.y + found.height)
        return Box(left, top, max(1, right - left), max(1, bottom - top))

    def _side(self, mpp: float) -> int:
        """Return the level-0 side of a field, so that its views have whole pixels."""
        return max(1, round(self.policy.view_px * mpp / self.slide.mpp))

    def _global_view(self, box: Box) -> None:
        shrink = max(1.0, max(box.width, box.height) / self.policy.view_px)
        self._add(box, shrink * self.slide.mpp, "mark")
        if self.mask is not None:
            self.shown.tissue.append(float(self.mask.fractions(np.array([box]))[0]))

    def _fields(self, boxes: Boxes, tissue: TissueMask, *, damaged: str) -> None:
        shares = tissue.fractions(boxes)
        for values, share in zip(boxes.tolist(), shares.tolist(), strict=True):
            box = Box(*values)
            if self._add(box, self.slide.mpp * (box.width / self.policy.view_px), damaged):
                self.shown.tissue.append(share)

    def _add(self, box: Box, mpp: float, damaged: str) -> bool:
        """Read one view; False where it was left out because tiles are damaged."""
        slide = self.slide
        try:
            pixels = slide.read(*box, mpp=mpp)
        except DamagedInputError:
            if damaged == "leave_out":
                self.shown.left_out["damaged"] += 1
                return False
            pixels = slide.read(*box, mpp=mpp, damaged="mark")
            self.shown.marked += 1
        pixels.flags.writeable = False
        place = SlidePlace(*box, level=slide.level_for(mpp), mpp=mpp)
        self.shown.views.append(View(pixels, place))
        return True


def _no_tissue() -> NotFoundError:
    return NotFoundError(
        "No tissue was found in the slide, or in the region asked about.",
        remedy='Draw the tissue (tissue=slide.region("tissue.geojson")), lower tissue_min, or use '
        'protocol="thumbnail@1".',
        code="slide.no_tissue",
    )
