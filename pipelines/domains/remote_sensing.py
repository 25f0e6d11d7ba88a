"""Remote sensing as a domain."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from longllava_domains.answer import Answer
from longllava_domains.pipelines.domains.domain import OnProgress
from longllava_domains.pipelines.domains.evidence import Claim, Evidence
from longllava_domains.pipelines.memory_remedies import with_token_budget_remedy
from longllava_domains.pipelines.remote_sensing.qa import RemoteSensingQA, grid_policy
from longllava_domains.remote_sensing import GridPolicy, Raster, open_raster
from longllava_domains.remote_sensing.dates import dates_sequence, open_dates
from longllava_domains.remote_sensing.recognise import is_raster
from longllava_domains.vision_language import Sampling, ViewFormat, VisionLanguageModel
from longllava_domains.visual import VisualSequence


@dataclass(frozen=True)
class RasterSettings:
    """The settings of a raster.

    Attributes:
        max_tokens: Budget of the whole prompt, `GridPolicy.max_tokens`.
        bands: As for `open_raster`.
        stretch: As for `open_raster`.
        nodata: As for `open_raster`.
        crs: As for `open_raster`.
        aoi: Area of interest, as for `Raster.within`.

    Raises:
        PolicyError: A budget that no model could follow.
    """

    max_tokens: int | None = None
    bands: Any = None
    stretch: str = "auto"
    nodata: float | None = None
    crs: str | None = None
    aoi: str | None = None

    def __post_init__(self) -> None:
        if self.max_tokens is None:
            return
        # The model is not known yet, and its views take at least a token each. What is too little
        # for any is refused with the number for usual views, which is not refused again.
        if self.max_tokens < GridPolicy(tokens_per_view=1).least_tokens:
            GridPolicy(max_tokens=self.max_tokens)


class RemoteSensingDomain:
    """Satellite and aerial scenes of any size."""

    name = "remote_sensing"
    noun = "a raster"
    settings = RasterSettings

    def recognises(self, evidence: Evidence) -> Claim:
        """Georeferenced TIFFs, other raster formats, archives of them, STAC documents, links."""
        magic = evidence.magic
        if magic is not None and magic.kind == "json":
            return "certain" if "stac_version" in magic.keys else "no"
        if magic is not None and magic.kind in ("dicom", "nifti"):
            return "no"
        return "certain" if is_raster(evidence.source) else "no"

    @contextmanager
    def open(
        self, sources: Sequence[str], settings: RasterSettings
    ) -> Iterator[Raster | list[Raster]]:
        """Open a raster or a part of it, or one place at several dates."""
        how: dict[str, Any] = {
            "bands": settings.bands,
            "stretch": settings.stretch,
            "nodata": settings.nodata,
            "crs": settings.crs,
        }
        with ExitStack() as stack:
            if len(sources) == 1:
                rasters = [stack.enter_context(open_raster(sources[0], **how))]
            else:
                rasters = [stack.enter_context(one) for one in open_dates(sources, **how)]
            if settings.aoi is not None:
                rasters = [raster.within(settings.aoi) for raster in rasters]
            yield rasters[0] if len(rasters) == 1 else rasters

    def policy(self, settings: RasterSettings, view_format: ViewFormat | None) -> GridPolicy:
        """Return the grid that the model was made for; the plain one where nobody looks."""
        policy = grid_policy(view_format)
        if settings.max_tokens is None:
            return policy
        return replace(policy, max_tokens=settings.max_tokens)

    def to_sequence(self, opened: Raster | list[Raster], policy: GridPolicy) -> VisualSequence:
        """Show a raster, or dates of one place as frames."""
        if isinstance(opened, list):
            return dates_sequence(opened, policy)
        return opened.to_sequence(policy)

    def memory_remedy(
        self, opened: Raster | list[Raster], policy: GridPolicy
    ) -> AbstractContextManager[None]:
        """Name the token budget that fits."""
        return with_token_budget_remedy(policy)

    def ask(
        self,
        model: VisionLanguageModel,
        opened: Raster | list[Raster],
        question: str,
        policy: GridPolicy,
        *,
        max_new_tokens: int,
        sampling: Sampling | None,
        on_progress: OnProgress | None,
    ) -> Answer:
        """Ask as `RemoteSensingQA` does; a raster is read in one pass, without stages."""
        scene_qa = RemoteSensingQA(model, policy=policy)
        return scene_qa(opened, question, max_new_tokens=max_new_tokens, sampling=sampling).answer
