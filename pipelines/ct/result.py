"""What `CTReport` returns: the draft, the findings, how both came about, and where they can go."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from longllava_domains.ct import CTVolume
from longllava_domains.export.dicom.sr import save_dicom_sr
from longllava_domains.export.fhir.bundle import save_fhir
from longllava_domains.export.report_content import AbnormalityFinding, ReportContent, printable
from longllava_domains.export.report_json import report_json
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.visual import SlicePlace, VisualSequence


@dataclass(frozen=True)
class Abnormality:
    """One of the 18 CT-RATE labels, as the model sees it.

    Attributes:
        label: The label.
        yes_logit_margin: Log-probability of "Yes" minus that of "No"; positive leans to present.
        probability: Calibrated probability, None until a calibration is loaded.
        attention_slices: The slices that the answer attended to most, in falling order.
    """

    label: str
    yes_logit_margin: float
    probability: float | None = None
    attention_slices: tuple[SlicePlace, ...] = ()


@dataclass(frozen=True, eq=False)
class CTReportResult:
    """A draft report on one CT. For research use only.

    Attributes:
        text: What the model wrote.
        findings: Its findings section; all of the text where it has no sections.
        impression: Its impression section, empty where there is none.
        abnormalities: Label -> finding; empty where chest findings were withheld.
        sequence: The views shown.
        provenance: How it was made; ``provenance["withheld"]`` says what was not said, and why.
        volume: The CT it was made from.
        created: When.
    """

    text: str
    findings: str
    impression: str
    abnormalities: Mapping[str, Abnormality]
    sequence: VisualSequence
    provenance: Provenance
    volume: CTVolume
    created: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "abnormalities", MappingProxyType(dict(self.abnormalities)))

    @property
    def notices(self) -> tuple[str, ...]:
        """What a reader must know before reading, the research notice first."""
        told = self.provenance.get("notices", ())
        return (RESEARCH_NOTICE, *(notice for notice in told if notice != RESEARCH_NOTICE))

    @property
    def withheld(self) -> tuple[str, ...]:
        """Machine-readable reasons for what was not said, such as ``"chest.no_lung"``."""
        return tuple(self.provenance.get("withheld", ()))

    def to_text(self) -> str:
        """Return notices, the series read, findings by margin and the draft, for a terminal."""
        lines = [f"[{notice}]" for notice in self.notices]
        lines += [f"[{line}]" for line in series_lines(self.provenance.get("series", {}))]
        lines += [f"[Chest findings withheld: {reason}]" for reason in self.withheld]
        if self.abnormalities:
            lines += ["", "Yes-minus-no log-probability margins (uncalibrated):"]
            ranked = sorted(self.abnormalities.values(), key=lambda a: -a.yes_logit_margin)
            lines += [f"  {item.yes_logit_margin:+8.3f}  {item.label}" for item in ranked]
        return "\n".join([*lines, "", "Draft report:", printable(self.text)])

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON that follows the published schema, free of patient data."""
        return report_json(self._content())

    def save_dicom_sr(self, path: str | Path, *, allow_demo: bool = False) -> tuple[Path, ...]:
        """Write a draft DICOM SR; patient and study are re-read from the source now.

        Raises:
            OutputError: No DICOM source, a demonstration result, or the files cannot be written.
        """
        headers = self.volume.source.source_headers()
        return save_dicom_sr(self._content(), headers, path, allow_demo=allow_demo)

    def save_fhir(self, path: str | Path, *, allow_demo: bool = False) -> Path:
        """Write a preliminary FHIR R4 DiagnosticReport; identifiers are re-read from the source.

        Raises:
            OutputError: No DICOM source, a demonstration result, or the file cannot be written.
        """
        headers = self.volume.source.source_headers()
        return save_fhir(self._content(), headers, path, allow_demo=allow_demo)

    def _content(self) -> ReportContent:
        places = [view.place for view in self.sequence]
        return ReportContent(
            text=self.text,
            findings=self.findings,
            impression=self.impression,
            abnormalities=tuple(
                AbnormalityFinding(
                    label=item.label,
                    yes_logit_margin=item.yes_logit_margin,
                    probability=item.probability,
                    cited_slices=item.attention_slices,
                )
                for item in self.abnormalities.values()
            ),
            slices=tuple(place for place in places if isinstance(place, SlicePlace)),
            notices=self.notices,
            model=self.provenance.get("model", ""),
            model_revision=self.provenance.get("model_revision", ""),
            adapter=self.provenance.get("adapter", ""),
            provenance=self.provenance,
            demo=bool(self.provenance.get("demo", False)),
            created=self.created.astimezone(UTC),
        )


def series_lines(series: Mapping[str, Any]) -> list[str]:
    """Say which DICOM series was read and why, in one line; nothing for other sources.

    Args:
        series: ``provenance["series"]``.
    """
    if not series:
        return []
    number = (
        "without a number" if series["series_number"] is None else f"{series['series_number']:g}"
    )
    span = series["z_range_mm"]
    described = [
        f"{series['images']} {series['plane']} slices",
        f"{series['kernel']} kernel",
        " ".join(series["body_part"]).lower() or "region not named",
        " ".join(series["phase"]),
        "" if span is None else f"z {span[0]:.1f} to {span[1]:.1f} mm",
    ]
    why = ", ".join(code.removeprefix("choice.") for code in series["chosen_by"])
    told = ", ".join(part for part in described if part)
    return [
        f"Series read: DICOM series number {number} (row {series['row']:g} of longllava series): "
        f"{told}; chosen by: {why}"
    ]


def split_sections(text: str) -> tuple[str, str]:
    """Split a report at its headings into findings and impression.

    Returns:
        The text after "Findings:" up to "Impression:", and the text after that. Without an
        impression heading the second is empty and the first holds everything.
    """
    at_impression = text.lower().find("impression:")
    before = text if at_impression < 0 else text[:at_impression]
    after = "" if at_impression < 0 else text[at_impression + len("impression:") :]
    at_findings = before.lower().find("findings:")
    findings = before if at_findings < 0 else before[at_findings + len("findings:") :]
    return findings.strip(), after.strip()
