"""The rules of a draft: how long it may be, what it is asked, and what of the findings is withheld."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from longllava_domains.answer import Answer
from longllava_domains.ct.population import population_of
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.findings_first import (
    OUTSIDE,
    conditioned_prompt,
    outside_population,
)
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.ct.reading import CTReading, ShownCT
from longllava_domains.pipelines.ct.result import Abnormality
from longllava_domains.pipelines.evidence_notice import no_evidence
from longllava_domains.provenance import OUTSIDE_CALIBRATION_NOTICE, UNTRAINED_NOTICE, Provenance
from longllava_domains.vision_language import VisionLanguageModel
from longllava_domains.visual import VisualSequence

_NOISE_TOKENS: Final = 24


@dataclass(frozen=True)
class DraftRules:
    """Rules of the drafts of one pipeline.

    Attributes:
        model: That writes them.
        preset: Prompts, and the longest draft.
        calibration: Says which findings are present, and for which scans.
        mode: ``"direct"`` or ``"findings-first"``.
    """

    model: VisionLanguageModel
    preset: CTPreset
    calibration: Calibration | None
    mode: str

    def longest(self) -> int:
        """Return the longest draft: an untrained model writes noise, and a little is enough."""
        untrained = UNTRAINED_NOTICE in self.model.provenance.get("notices", ())
        return _NOISE_TOKENS if untrained else self.preset.max_new_tokens

    def judged(
        self, found: dict[str, Abnormality], sequence: VisualSequence
    ) -> tuple[dict[str, Abnormality], tuple[str, ...]]:
        """Return the findings, presence withheld outside the calibration's scans, and codes why."""
        if self.calibration is None or not found:
            return found, ()
        outside = outside_population(self.calibration, population_of(sequence.provenance))
        if outside:
            found = {label: replace(each, present=None) for label, each in found.items()}
        return found, outside

    def prompt(self, found: Mapping[str, Abnormality], outside: tuple[str, ...]) -> str:
        """Return the report prompt; findings that were withheld cannot come first."""
        if self.mode == "direct" or not found or outside:
            return self.preset.report_prompt
        return conditioned_prompt(self.preset.report_prompt, found)

    def reading(
        self,
        shown: ShownCT,
        found: Mapping[str, Abnormality],
        answer: Answer,
        outside: tuple[str, ...],
        seconds: Mapping[str, float],
    ) -> CTReading:
        """Return what was read, with the notices that it needs.

        Args:
            shown: What the model saw.
            found: Label -> finding.
            answer: The draft.
            outside: Codes for what lies outside the calibration's scans.
            seconds: Stage -> time.
        """
        evidence = shown.evidence
        withheld = [*([evidence.code] if evidence.code else []), *outside]
        return CTReading(
            text=answer.text,
            abnormalities=found,
            sequence=shown.sequence,
            provenance=self._provenance(answer.provenance, withheld),
            created=datetime.now(UTC),
            seconds=seconds,
        )

    def _provenance(self, made: Provenance, withheld: list[str]) -> Provenance:
        unproved = no_evidence(made, published=self.preset.published_evidence)
        notices = [*made.get("notices", ()), *unproved]
        if any(code.startswith(OUTSIDE) for code in withheld):
            notices.append(OUTSIDE_CALIBRATION_NOTICE)
        return made.with_(
            preset=self.preset.name, report_mode=self.mode, withheld=withheld, notices=notices
        )
