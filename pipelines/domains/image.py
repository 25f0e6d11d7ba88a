"""Flat pictures as a domain."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from longllava_domains.answer import Answer
from longllava_domains.pipelines.domains.domain import OnProgress
from longllava_domains.pipelines.domains.evidence import Claim, Evidence
from longllava_domains.pipelines.medical_vqa import MedicalVQA, picture_sequence
from longllava_domains.vision_language import Sampling, ViewFormat, VisionLanguageModel
from longllava_domains.visual import VisualSequence

# What GDAL reads beside a picture: then it is a raster.
_BESIDE: Final = (".pgw", ".pngw", ".jgw", ".jpgw", ".wld", ".tfw")


@dataclass(frozen=True)
class ImageSettings:
    """The settings of flat pictures: there are none."""


class ImageDomain:
    """PNG and JPEG pictures, as figures and VQA data sets have them."""

    name = "image"
    noun = "a picture"
    settings = ImageSettings

    def recognises(self, evidence: Evidence) -> Claim:
        """PNG and JPEG; with a file beside them that places them on a map, they are rasters.

        A PNG may be a scene without a georeference as well: then the user names the domain.
        """
        if evidence.kind not in ("png", "jpeg"):
            return "no"
        path = Path(evidence.source)
        beside = [path.with_suffix(ending) for ending in _BESIDE]
        if any(each.exists() for each in (*beside, path.with_name(f"{path.name}.aux.xml"))):
            return "no"
        return "certain" if evidence.kind == "png" else "possible"

    def open(
        self, sources: Sequence[str], settings: ImageSettings
    ) -> AbstractContextManager[VisualSequence]:
        """Read pictures; nothing stays open."""
        return nullcontext(picture_sequence(list(sources)))

    def policy(self, settings: ImageSettings, view_format: ViewFormat | None) -> None:
        """Return nothing: a picture is shown as it is."""
        return

    def to_sequence(self, opened: VisualSequence, policy: None) -> VisualSequence:
        """Return the pictures."""
        return opened

    def memory_remedy(self, opened: VisualSequence, policy: None) -> AbstractContextManager[None]:
        """Name no setting: there is none to name."""
        return nullcontext()

    def ask(
        self,
        model: VisionLanguageModel,
        opened: VisualSequence,
        question: str,
        policy: None,
        *,
        max_new_tokens: int,
        sampling: Sampling | None,
        on_progress: OnProgress | None,
    ) -> Answer:
        """Ask as `MedicalVQA` does."""
        (answer,) = MedicalVQA(model).ask_shown(
            opened, [question], max_new_tokens=max_new_tokens, sampling=sampling
        )
        return answer
