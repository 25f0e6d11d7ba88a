"""Pathology as a domain."""

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
from longllava_domains.vision_language import Sampling, ViewFormat, VisionLanguageModel
from longllava_domains.visual import VisualSequence

_BOX: Final = re.compile(r"\s*-?\d+\s*(,\s*-?\d+\s*){3}\Z")


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
        """Return how fields are seen closer; None where they are not.

        Raises:
            PolicyError: Rounds without a number of fields.
        """
        said = self.settings
        at = tuple(region_of(slide, text, said.origin) for text in said.zoom_at)
        if said.zoom is None and not at:
            if said.zoom_rounds is not None or said.zoom_by is not None:
                raise PolicyError(
                    "--zoom-rounds and --zoom-by say how fields are seen closer, and none are.",
                    remedy="Add --zoom with the number of fields.",
                    code="slide.zoom",
                )
            return None
        wished: dict[str, Any] = {
            "fields": said.zoom, "rounds": said.zoom_rounds, "by": said.zoom_by,
        }  # fmt: skip
        given = {name: value for name, value in wished.items() if value is not None}
        return ZoomPolicy(at=at, **given)


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
        wished: dict[str, Any] = {
            "max_views": settings.max_views,
            "protocol": settings.protocol,
            "mpp": settings.view_mpp,
        }
        given = {name: value for name, value in wished.items() if value is not None}
        return SlideWish(replace(tile_policy(view_format), **given), settings)

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
