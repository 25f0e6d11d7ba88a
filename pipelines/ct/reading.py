"""A CT between loader and model: what is shown of it, and what the model reads in it.

Both travel between processes, so that archives decode ahead of the model; a `CTVolume` does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from longllava_domains import ct
from longllava_domains.ct.chest_evidence import ChestEvidence, chest_evidence
from longllava_domains.pipelines.ct.result import Abnormality, CTReportResult, split_sections
from longllava_domains.provenance import Provenance
from longllava_domains.visual import VisualSequence


@dataclass(frozen=True)
class ShownCT:
    """Views of a CT for a model.

    Attributes:
        sequence: The views.
        evidence: Whether it is a chest; if not, chest findings are withheld.
    """

    sequence: VisualSequence
    evidence: ChestEvidence


@dataclass(frozen=True)
class CTReading:
    """Words and findings of the model on a CT; attributes as in `CTReportResult`.

    Attributes:
        seconds: Stage -> time: ``prefill`` (with the views), ``findings``, ``generation``.
    """

    text: str
    abnormalities: Mapping[str, Abnormality]
    sequence: VisualSequence
    provenance: Provenance
    created: datetime
    seconds: Mapping[str, float]

    def of(self, volume: ct.CTVolume) -> CTReportResult:
        """Return the result that this is for a volume."""
        findings, impression = split_sections(self.text)
        return CTReportResult(
            text=self.text,
            findings=findings,
            impression=impression,
            abnormalities=self.abnormalities,
            sequence=self.sequence,
            provenance=self.provenance,
            volume=volume,
            created=self.created,
        )


def showable(volume: ct.CTVolume, policy: ct.SlicePolicy) -> ct.SlicePolicy:
    """Return the policy that can show a volume: slices on no grid are shown as acquired."""
    return policy if volume.has_grid else replace(policy, at="acquired")


def shown_ct(volume: ct.CTVolume, policy: ct.SlicePolicy) -> ShownCT:
    """Return the views of a volume, and whether it is a chest.

    Raises:
        InputError: Slices cannot be decoded.
        PolicyError: The policy cannot be followed on this volume.
    """
    evidence = chest_evidence(volume)
    return ShownCT(volume.to_sequence(policy), evidence)
