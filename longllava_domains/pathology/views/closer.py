"""See fields of a slide closer: which they are, and the finer views that show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np

from longllava_domains.arguments import checked_fields
from longllava_domains.errors import DamagedInputError, PolicyError
from longllava_domains.pathology.pyramid import SlidePyramid
from longllava_domains.pathology.regions import Region, box_region
from longllava_domains.pathology.slide_source import Box
from longllava_domains.pathology.views.fields import lay_grid
from longllava_domains.pathology.views.tissue import TissueMask
from longllava_domains.visual import SlidePlace, View

ChosenBy = Literal["attention", "named"]

_MOST_TIMES: Final = 16


@checked_fields
@dataclass(frozen=True)
class ZoomPolicy:
    """Choice of fields that are seen closer after a first look.

    Attributes:
        fields: Fields seen closer in each round.
        times: How much finer: each field becomes up to ``times * times`` views, never finer than
            the slide itself.
        rounds: How often. Each round chooses among the views of the one before.
        by: Who chooses: ``"attention"`` (the fields that the model's answer looked at most) or
            ``"named"`` (the model is asked for their numbers; where it names none, attention
            chooses, and the answer says so).
        at: Fields that the caller chose, in place of the model's: level-0 boxes (x, y, width,
            height) or what `Slide.region` returned; one round.

    Raises:
        PolicyError: A number out of range.
    """

    fields: int = 4
    times: int = 4
    rounds: int = 1
    by: ChosenBy = "attention"
    at: tuple[Region | tuple[int, int, int, int], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", tuple(self.at))
        rules = {
            "fields": (_whole(self.fields, 1, 256), "a whole number from 1 to 256"),
            "times": (_whole(self.times, 2, _MOST_TIMES), f"a whole number from 2 to {_MOST_TIMES}"),
            "rounds": (_whole(self.rounds, 1, 8), "a whole number from 1 to 8"),
            "by": (self.by in get_args(ChosenBy), "attention or named"),
        }  # fmt: skip
        for name, (holds, wanted) in rules.items():
            if not holds:
                raise PolicyError(
                    f"The fields cannot be seen closer: {name} must be {wanted}, "
                    f"not {getattr(self, name)}.",
                    remedy="See ZoomPolicy for what each setting takes.",
                    code="slide.zoom",
                )

    @property
    def views(self) -> int:
        """Views that all rounds together show at most."""
        fields = len(self.at) or self.fields * self.rounds
        return fields * self.times**2

    def to_json(self) -> dict[str, Any]:
        """Return the policy as JSON; drawn regions as their boxes."""
        boxes = [list(at.box if isinstance(at, Region) else at) for at in self.at]
        return {"fields": self.fields, "times": self.times, "rounds": self.rounds, "by": self.by,
                "at": boxes}  # fmt: skip


def closer_views(
    slide: SlidePyramid,
    field: Region | Sequence[int],
    *,
    view_px: int,
    times: int,
    tissue: TissueMask | None = None,
) -> tuple[View, ...]:
    """Show one field of a slide in up to ``times * times`` views, in rows.

    Args:
        slide: An open slide.
        field: Level-0 box, or a region.
        view_px: Side of a view.
        times: Views along its longer side, at most; fewer where the slide has nothing finer.
        tissue: Leave out views without any; where the whole field has none, all are shown.

    Raises:
        PolicyError: The field lies outside the slide.
        DamagedInputError: The tiles of every view are damaged.
    """
    region = field if isinstance(field, Region) else box_region(tuple(field), slide.size)
    box = region.box
    shrink = max(1.0, max(box.width, box.height) / (times * view_px))
    side = max(1, int(np.ceil(view_px * shrink)))
    boxes = lay_grid(box, side, 0.0).boxes()
    if tissue is not None:
        kept = tissue.within(region).fractions(boxes) > 0
        boxes = boxes[kept] if kept.any() else boxes
    mpp = slide.mpp * side / view_px
    views = [view for box in boxes.tolist() if (view := _view(slide, Box(*box), mpp)) is not None]
    if not views:
        raise DamagedInputError(
            "Every closer view of a field has tiles that cannot be decoded.",
            remedy="Copy the slide again, or name another field.",
            code="slide.damaged_tile",
        )
    return tuple(views)


def _view(slide: SlidePyramid, box: Box, mpp: float) -> View | None:
    try:
        pixels = slide.read(*box, mpp=mpp)
    except DamagedInputError:
        return None
    pixels.flags.writeable = False
    return View(pixels, SlidePlace(*box, level=slide.level_for(mpp), mpp=mpp))


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
