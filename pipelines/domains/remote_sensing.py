"""Remote sensing as a domain."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final

from longllava_domains.answer import Answer
from longllava_domains.pipelines.domains.domain import OnProgress
from longllava_domains.pipelines.domains.evidence import Evidence
from longllava_domains.pipelines.memory_remedies import with_token_budget_remedy
from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA, grid_policy
from longllava_domains.remote_sensing import GridPolicy, Raster, open_raster
from longllava_domains.vision_language import ViewFormat, VisionLanguageModel
from longllava_domains.visual import VisualSequence

# Tags that place an image on Earth: GeoTIFF 1.1 (OGC 19-008r4, section 7.1), and RPC coefficients.
_GEO_TAGS: Final = frozenset({33550, 33922, 34264, 34735, 50844})
_KINDS: Final = ("remote", "vrt", "stac")


@dataclass(frozen=True)
class RasterSettings:
    """What a user may set of a raster.

    Attributes:
        max_tokens: Budget of the whole prompt, `GridPolicy.max_tokens`.
    """

    max_tokens: int | None = None


class RemoteSensingDomain:
    """Satellite and aerial scenes of any size."""

    name = "remote_sensing"
    noun = "a raster"
    settings = RasterSettings

    def recognises(self, evidence: Evidence) -> bool:
        """Georeferenced TIFFs, virtual rasters, STAC documents and links."""
        if evidence.kind == "tiff":
            return bool(evidence.tiff_tags & _GEO_TAGS)
        return evidence.kind in _KINDS

    def open(self, source: str, settings: RasterSettings) -> Raster:
        """Open a raster, which is its own context manager."""
        return open_raster(source)

    def policy(self, settings: RasterSettings, view_format: ViewFormat | None) -> GridPolicy:
        """Return the grid that the model was made for; the plain one where nobody looks."""
        policy = grid_policy(view_format)
        if settings.max_tokens is None:
            return policy
        return replace(policy, max_tokens=settings.max_tokens)

    def to_sequence(self, opened: Raster, policy: GridPolicy) -> VisualSequence:
        """Show a raster."""
        return opened.to_sequence(policy)

    def memory_remedy(self, opened: Raster, policy: GridPolicy) -> AbstractContextManager[None]:
        """Name the token budget that fits."""
        return with_token_budget_remedy(policy)

    def ask(
        self,
        model: VisionLanguageModel,
        opened: Raster,
        question: str,
        policy: GridPolicy,
        *,
        max_new_tokens: int,
        on_progress: OnProgress | None,
    ) -> Answer:
        """Ask as `RemoteSensingQA` does; a raster is read in one pass, without stages."""
        scene_qa = RemoteSensingQA(model, policy=policy)
        return scene_qa(opened, question, max_new_tokens=max_new_tokens).answer
