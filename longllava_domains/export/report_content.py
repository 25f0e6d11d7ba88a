"""`ReportContent`: what a CT report says, as the neutral data that every report writer takes."""

import math
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from longllava_domains.errors import OutputError
from longllava_domains.export.codes import CT_RATE_CODES, PRESENCE_CODES, Code
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.visual import SlicePlace

MANUFACTURER: Final = "longllava-domains"
DRAFT_NOTICE: Final = "Draft written by a model. No physician has read or verified it."

NOT_ASSESSED: Final = (
    "Not assessed: pneumothorax, pulmonary embolism, fracture, dissection, and everything else "
    "outside the 18 scored findings. What is not named as present is not thereby normal."
)
"""The sentence with which every report ends."""


@dataclass(frozen=True)
class AbnormalityFinding:
    """One of the 18 CT-RATE findings as the model scored it.

    Attributes:
        label: Name of the finding as CT-RATE spells it.
        yes_logit_margin: Log-probability of "yes" minus that of "no", natural logarithm.
        probability: Calibrated probability of presence in 0 to 1, None without a calibration.
        present: The decision at the calibrated threshold, None where none was taken.
        cited_slices: Slices the answer attended to, most attended first.
    """

    label: str
    yes_logit_margin: float
    probability: float | None = None
    present: bool | None = None
    cited_slices: tuple[SlicePlace, ...] = ()

    def __post_init__(self) -> None:
        if self.label not in CT_RATE_CODES:
            raise OutputError(
                "A finding is none of the 18 CT-RATE labels.",
                remedy="Use the names of CT_RATE_CODES.",
                code="export.label",
            )
        in_range = self.probability is None or 0.0 <= self.probability <= 1.0
        if not (math.isfinite(self.yes_logit_margin) and in_range):
            raise OutputError(
                f"The score of {self.label!r} is not finite, or its probability is not in 0 to 1.",
                remedy="Export only findings that the model scored.",
                code="export.score",
            )

    @property
    def code(self) -> Code:
        """The coded concept of the finding."""
        return CT_RATE_CODES[self.label]

    def sentence(self) -> str:
        """Spell the finding for a reader, with the numbers behind it."""
        verdict = PRESENCE_CODES[self.present].meaning.lower()
        numbers = f"yes-logit margin {self.yes_logit_margin:+.3f}"
        if self.probability is not None:
            numbers += f", calibrated probability {self.probability:.3f}"
        return f"{self.label}: {verdict} ({numbers})."


@dataclass(frozen=True)
class ReportContent:
    """A draft CT report with how it was made.

    Attributes:
        text: The report as the model wrote it.
        findings: Its findings section, empty where the text has no sections.
        impression: Its impression section, empty likewise.
        abnormalities: Scored findings, possibly none (withheld, or not asked for).
        slices: Every slice that was shown to the model, in the order shown.
        notices: Warnings to stand above the text, from the list in `provenance`.
        model: Public name or hash of the model, never a folder name.
        model_revision: Its revision or weight hash, empty where unknown.
        adapter: Name or hash of the adapter, empty for none.
        provenance: How the report was made.
        demo: True for the demonstration model.
        created: When, with a time zone.
    """

    text: str
    slices: tuple[SlicePlace, ...]
    model: str
    created: datetime
    provenance: Provenance
    findings: str = ""
    impression: str = ""
    abnormalities: tuple[AbnormalityFinding, ...] = ()
    notices: tuple[str, ...] = ()
    model_revision: str = ""
    adapter: str = ""
    demo: bool = False

    def __post_init__(self) -> None:
        if self.created.tzinfo is None:
            raise OutputError(
                "The report's time of creation has no time zone.",
                remedy="Pass datetime.now(timezone.utc).",
                code="export.created",
            )
        # Refuses names that could be folders with a patient's name in them.
        Provenance(model=self.model, model_revision=self.model_revision, adapter=self.adapter)
        labels = [finding.label for finding in self.abnormalities]
        if len(set(labels)) != len(labels):
            raise OutputError(
                "A finding is listed twice.",
                remedy="Score each of the 18 labels once.",
                code="export.label",
            )

    @property
    def all_notices(self) -> tuple[str, ...]:
        """The notices that a reader must see first: research use, draft, then the report's own."""
        return tuple(dict.fromkeys((RESEARCH_NOTICE, DRAFT_NOTICE, *self.notices)))

    @property
    def sections(self) -> tuple[str, str]:
        """Findings and impression where the text has both, else all of the text and nothing."""
        if self.findings.strip() and self.impression.strip():
            return self.findings, self.impression
        return self.text, ""

    @property
    def made_by(self) -> str:
        """Model, revision and adapter in one line."""
        revision = f" revision {self.model_revision}" if self.model_revision else ""
        adapter = f" with adapter {self.adapter}" if self.adapter else ""
        return f"{self.model}{revision}{adapter}"

    @property
    def device_uid(self) -> str:
        """UID of this model, revision and adapter: the same in every report of theirs."""
        who = "|".join([MANUFACTURER, self.model, self.model_revision, self.adapter])
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, who).int}"


def printable(text: str) -> str:
    """Drop what neither DICOM text nor XML can hold: control and format characters, surrogates."""
    return "".join(
        character
        for character in text
        if character in "\n\t" or not unicodedata.category(character).startswith("C")
    )


def refuse_unfit(content: ReportContent, *, allow_demo: bool) -> None:
    """Raise unless the report may leave for a clinical system.

    Raises:
        OutputError: The report comes from the demonstration model and `allow_demo` is False, or
            it has no text.
    """
    if not printable(content.text).strip():
        raise OutputError(
            "The report has no text.",
            remedy="Export only reports that the model wrote; to_json works for this one.",
            code="export.empty",
        )
    if content.demo and not allow_demo:
        raise OutputError(
            "A result of the demonstration model cannot become a clinical document.",
            remedy="Use a trained model; to_json works for demonstrations.",
            code="export.demo",
        )
