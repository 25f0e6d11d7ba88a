"""Pathology as a domain."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from longllava_domains.answer import Answer
from longllava_domains.pathology import Slide, TilePolicy, open_slide
from longllava_domains.pathology.sources.openslide import has_scanner
from longllava_domains.pipelines.domains.domain import OnProgress, only_one
from longllava_domains.pipelines.domains.evidence import SLIDE_SOP_CLASS, Claim, Evidence
from longllava_domains.pipelines.memory_remedies import with_view_count_remedy
from longllava_domains.pipelines.pathology.qa import PathologyQA, tile_policy
from longllava_domains.vision_language import Sampling, ViewFormat, VisionLanguageModel
from longllava_domains.visual import VisualSequence


@dataclass(frozen=True)
class SlideSettings:
    """The settings of a slide.

    Attributes:
        mpp: Microns per pixel of level 0, in place of what the file says.
        max_views: Largest number of views.
        protocol: How fields are chosen, such as ``"joint-lowmag@1"``.
    """

    mpp: float | None = None
    max_views: int | None = None
    protocol: str | None = None


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

    def policy(self, settings: SlideSettings, view_format: ViewFormat | None) -> TilePolicy:
        """Return the fields that a model was made for; the plain ones where nobody looks."""
        wished: dict[str, Any] = {"max_views": settings.max_views, "protocol": settings.protocol}
        given = {name: value for name, value in wished.items() if value is not None}
        return replace(tile_policy(view_format), **given)

    def to_sequence(self, opened: Slide, policy: TilePolicy) -> VisualSequence:
        """Show a slide."""
        return opened.to_sequence(policy)

    def memory_remedy(self, opened: Slide, policy: TilePolicy) -> AbstractContextManager[None]:
        """Name the number of views that fits."""
        return with_view_count_remedy()

    def ask(
        self,
        model: VisionLanguageModel,
        opened: Slide,
        question: str,
        policy: TilePolicy,
        *,
        max_new_tokens: int,
        sampling: Sampling | None,
        on_progress: OnProgress | None,
    ) -> Answer:
        """Ask as `PathologyQA` does."""
        slide_qa = PathologyQA(model, policy=policy)
        return slide_qa(opened, question, max_new_tokens=max_new_tokens, sampling=sampling).answer
