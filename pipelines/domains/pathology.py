"""Pathology as a domain."""

import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import PolicyError
from longllava_domains.pathology import Slide, TilePolicy, ZoomPolicy, open_slide
from longllava_domains.pathology.regions import Region, box_region
from longllava_domains.pathology.sources.openslide_jailed import has_scanner
from longllava_domains.pipelines.domains.domain import OnProgress, only_one
from longllava_domains.pipelines.domains.evidence import SLIDE_SOP_CLASS, Claim, Evidence
from longllava_domains.pipelines.memory_remedies import with_view_count_remedy
from longllava_domains.pipelines.pathology.qa import PathologyQA, tile_policy
from longllava_domains.pipelines.pathology.result import SlideAnswer
from longllava_domains.units import counted
from longllava_domains.vision_language import Sampling, ViewFormat, VisionLanguageModel
from longllava_domains.visual import VisualSequence

_BOX: Final = re.compile(r"\s*-?\d+\s*(,\s*-?\d+\s*){3}\Z")
_NUMBERS: Final = re.compile(r"[-+.\d\s,]+\Z")


@dataclass(frozen=True)
class SlideSettings:
    """The settings of a slide.

    Attributes:
        mpp: Microns per pixel of level 0, in place of what the file says.
        max_views: Largest number of views.
        protocol: How fields are chosen, such as ``"joint-lowmag@1"``.
        view_mpp: Finest microns per pixel of the views.
        regions: Parts to look at: ``"X,Y,WIDTH,HEIGHT"`` or paths of GeoJSON files; two are
            compared.
        tissue: Path of a GeoJSON file that draws the tissue.
        origin: Where GeoJSON files count from, as for `Slide.region`.
        zoom: Number of fields that are seen closer after a first answer, before asking again.
        zoom_at: Fields to see closer, spelled as regions.
        zoom_rounds: How often.
        zoom_by: Who chooses fields: ``"attention"`` or ``"named"``.

    Raises:
        PolicyError: A setting that no slide and no model could follow.
    """

    mpp: float | None = None
    max_views: int | None = None
    protocol: str | None = None
    view_mpp: float | None = None
    regions: tuple[str, ...] = ()
    tissue: str | None = None
    origin: str | None = None
    zoom: int | None = None
    zoom_at: tuple[str, ...] = ()
    zoom_rounds: int | None = None
    zoom_by: str | None = None

    def __post_init__(self) -> None:
        if self.origin not in (None, "slide", "bounds"):
            raise PolicyError(
                f"origin must be slide or bounds, not {self.origin}.",
                remedy="Leave it out where the whole slide was scanned.",
                code="slide.origin",
            )
        self.zoom_policy(())
        TilePolicy(**self.tile_wishes())
        drawn = () if self.tissue is None else (self.tissue,)
        places = {"regions": self.regions, "zoom_at": self.zoom_at, "tissue": drawn}
        for name, texts in places.items():
            for text in texts:
                _require_place(name, text)
        is_closer = self.zoom is not None or self.zoom_at
        if not is_closer and (self.zoom_rounds is not None or self.zoom_by is not None):
            raise PolicyError(
                "--zoom-rounds and --zoom-by say how fields are seen closer, and none are.",
                remedy="Add --zoom with the number of fields.",
                code="slide.zoom",
            )

    def tile_wishes(self) -> dict[str, Any]:
        """Return what was said of the views, as fields of `TilePolicy`."""
        said = {"max_views": self.max_views, "protocol": self.protocol, "mpp": self.view_mpp}
        return {name: value for name, value in said.items() if value is not None}

    def zoom_policy(self, at: tuple[Region, ...]) -> ZoomPolicy:
        """Return how fields would be seen closer.

        Args:
            at: Fields of the user's own choice.
        """
        said = {"fields": self.zoom, "rounds": self.zoom_rounds, "by": self.zoom_by}
        given: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        return ZoomPolicy(at=at, **given)


@dataclass(frozen=True)
class SlideWish:
    """Wishes about how a slide is shown and asked about; places are read once it is open.

    Attributes:
        policy: Which views.
        settings: The user's words on places and closer looks.
    """

    policy: TilePolicy
    settings: SlideSettings

    def regions(self, slide: Slide) -> tuple[Region, ...]:
        """Return the parts of the slide to look at."""
        return tuple(region_of(slide, text, self.settings.origin) for text in self.settings.regions)

    def tissue(self, slide: Slide) -> Region | None:
        """Return the user's drawing of the tissue."""
        drawn, origin = self.settings.tissue, self.settings.origin
        return None if drawn is None else region_of(slide, drawn, origin)

    def zoom(self, slide: Slide) -> ZoomPolicy | None:
        """Return how fields are seen closer; None where they are not."""
        said = self.settings
        at = tuple(region_of(slide, text, said.origin) for text in said.zoom_at)
        if said.zoom is None and not at:
            return None
        return said.zoom_policy(at)


class PathologyDomain:
    """Whole slides."""

    name = "pathology"
    noun = "a slide"
    settings = SlideSettings

    def recognises(self, evidence: Evidence) -> Claim:
        """Slides in DICOM, Aperio's TIFFs, OME-TIFF, and what OpenSlide knows a scanner of."""
        magic = evidence.magic
        if magic is None or magic.georeferenced:
            return "no"
        if magic.kind == "dicom":
            return "certain" if magic.sop_class == SLIDE_SOP_CLASS else "no"
        told = magic.description
        if told.startswith("Aperio") or "<OME" in told:
            return "certain"
        looked_at = magic.kind in ("tiff", "jpeg", "unknown") and find_spec("openslide") is not None
        return "certain" if looked_at and has_scanner(evidence.source) else "no"

    def open(self, sources: Sequence[str], settings: SlideSettings) -> Slide:
        """Open a slide, which is its own context manager."""
        return open_slide(only_one(sources, self.noun), mpp=settings.mpp)

    def policy(self, settings: SlideSettings, view_format: ViewFormat | None) -> SlideWish:
        """Return the fields that a model was made for; the plain ones where nobody looks."""
        return SlideWish(replace(tile_policy(view_format), **settings.tile_wishes()), settings)

    def to_sequence(self, opened: Slide, policy: SlideWish) -> VisualSequence:
        """Show a slide, or parts of it."""
        return opened.to_sequence(
            policy.policy, regions=policy.regions(opened), tissue=policy.tissue(opened)
        )

    def memory_remedy(self, opened: Slide, policy: SlideWish) -> AbstractContextManager[None]:
        """Name the number of views that fits."""
        return with_view_count_remedy()

    def ask(
        self,
        model: VisionLanguageModel,
        opened: Slide,
        question: str,
        policy: SlideWish,
        *,
        max_new_tokens: int,
        sampling: Sampling | None,
        on_progress: OnProgress | None,
    ) -> SlideAnswer:
        """Ask as `PathologyQA` does."""
        slide_qa = PathologyQA(model, policy=policy.policy)
        return slide_qa(
            opened,
            question,
            regions=policy.regions(opened),
            tissue=policy.tissue(opened),
            zoom=policy.zoom(opened),
            max_new_tokens=max_new_tokens,
            sampling=sampling,
        )


def _require_place(setting: str, text: str) -> None:
    """Refuse what is neither four whole numbers nor a file.

    Raises:
        PolicyError: It is neither.
    """
    if _BOX.match(text) or os.path.isfile(text):
        return
    numbers = len(text.split(",")) if _NUMBERS.match(text) else 0
    found = counted(numbers, "number") if numbers else "a file that is not there"
    raise PolicyError(
        f"{setting} must be X,Y,WIDTH,HEIGHT in whole pixels of level 0, or a GeoJSON file that "
        f"is there, not {found}.",
        remedy="Write four whole numbers, such as 0,0,2000,2000, or check the path of the file.",
        code="slide.region",
    )


def region_of(slide: Slide, text: str, origin: str | None = None) -> Region:
    """Read a part of a slide as a user spells it: four whole numbers, or a GeoJSON file.

    Raises:
        PolicyError: It lies outside the slide.
        InputError: The file cannot be read, or holds no polygons.
    """
    if _BOX.match(text):
        return box_region([int(part) for part in text.split(",")], slide.size)
    chosen: Any = origin
    return slide.region(Path(text), origin=chosen)
