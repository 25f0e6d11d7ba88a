"""Computed tomography as a domain."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from longllava_domains import ct
from longllava_domains.answer import Answer
from longllava_domains.pipelines.ct.as_volume import CTOpenOptions, as_volume
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.ct.report import CTReport
from longllava_domains.pipelines.domains.domain import OnProgress, only_one
from longllava_domains.pipelines.domains.evidence import SLIDE_SOP_CLASS, Claim, Evidence
from longllava_domains.pipelines.memory_remedies import with_slice_spacing_remedy
from longllava_domains.vision_language import Sampling, ViewFormat, VisionLanguageModel
from longllava_domains.visual import VisualSequence


@dataclass(frozen=True)
class CTSettings(CTOpenOptions):
    """The settings of a CT.

    Attributes:
        spacing_mm: Distance between slices.
        windows: Window presets or "width/level".
        max_views: Largest number of views.
    """

    spacing_mm: float | None = None
    windows: tuple[str, ...] = ()
    max_views: int | None = None


class CTDomain:
    """Series of DICOM slices and NIfTI volumes."""

    name = "ct"
    noun = "a CT"
    settings = CTSettings

    def recognises(self, evidence: Evidence) -> Claim:
        """DICOM files other than slides, NIfTI, and archives, which the loader looks into."""
        magic = evidence.magic
        if magic is None or magic.sop_class == SLIDE_SOP_CLASS:
            return "no"
        if magic.kind in ("dicom", "nifti"):
            return "certain"
        return "possible" if magic.kind in ("gzip", "zip") else "no"

    def open(
        self, sources: Sequence[str], settings: CTSettings
    ) -> AbstractContextManager[ct.CTVolume]:
        """Open a volume; nothing stays open."""
        return nullcontext(as_volume(only_one(sources, self.noun), settings))

    def policy(self, settings: CTSettings, view_format: ViewFormat | None) -> ct.SlicePolicy:
        """Every slice in the mediastinal window for a person; the report's slices for a model."""
        if view_format is None:
            return ct.SlicePolicy(
                spacing_mm=settings.spacing_mm,
                windows=settings.windows or ("mediastinum",),
                max_views=settings.max_views,
                kernel=settings.kernel,
            )
        shown = CTPreset.named().policy(
            view_format.view_px, spacing_mm=settings.spacing_mm, kernel=settings.kernel
        )
        most = settings.max_views
        return shown if most is None else replace(shown, max_views=most)

    def to_sequence(self, opened: ct.CTVolume, policy: ct.SlicePolicy) -> VisualSequence:
        """Show a volume; slices that no grid holds are shown as they were acquired."""
        shown = policy if opened.has_grid else replace(policy, at="acquired")
        return opened.to_sequence(shown)

    def memory_remedy(
        self, opened: ct.CTVolume, policy: ct.SlicePolicy
    ) -> AbstractContextManager[None]:
        """Name the slice spacing that fits."""
        return with_slice_spacing_remedy(opened, policy)

    def ask(
        self,
        model: VisionLanguageModel,
        opened: ct.CTVolume,
        question: str,
        policy: ct.SlicePolicy,
        *,
        max_new_tokens: int,
        sampling: Sampling | None,
        on_progress: OnProgress | None,
    ) -> Answer:
        """Ask as `CTReport.ask` does."""
        return CTReport(model).ask(
            opened,
            question,
            policy=policy,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            on_progress=on_progress,
        )
