"""The result of `CTReport`: the draft, the findings, how both came about, and where they can go."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from PIL import Image

from longllava_domains.ct import CTVolume
from longllava_domains.errors import PolicyError
from longllava_domains.export.dicom.sr import save_dicom_sr
from longllava_domains.export.fhir.bundle import save_fhir
from longllava_domains.export.report_content import (
    NOT_ASSESSED,
    AbnormalityFinding,
    ReportContent,
    printable,
)
from longllava_domains.export.report_json import report_json
from longllava_domains.html.facts import facts_table, rows_table
from longllava_domains.provenance import (
    DRAWINGS_NOTICE,
    RESEARCH_NOTICE,
    UNTRAINED_NOTICE,
    Provenance,
)
from longllava_domains.visual import SlicePlace, VisualSequence
from longllava_domains.visual.contact_sheet import contact_sheet

_MARGINS: Final = (
    "Margins: log-probability of Yes minus that of No. Above 0 leans to present.",
    "They are not calibrated: a margin is neither a probability nor a diagnosis.",
)
_LOOKED: Final = (
    "Looked at: the slices with the most attention, most first. One slice may lead for many findings:",
    "attention shows where the model looked, not why it answered so.",
)
WHY_CHOSEN: Final = {
    "only": "the only series",
    "only_volume": "the only volume",
    "asked": "it was asked for",
    "kind": "a volume rather than a reformat",
    "body_part": "of the region asked for",
    "phase": "of the phase asked for",
    "plane": "axial",
    "original": "original rather than derived",
    "kernel": "by its kernel",
    "whole": "a whole series rather than a part",
    "coverage": "covers most of what was scanned",
    "thin": "thinnest slices",
    "slices": "most slices",
    "sharp_available": "a sharp reconstruction is there, too",
    "other_range": "others cover another range",
    "another_region": "though of another region than was asked for",
    "another_phase": "though of another phase than was asked for",
}
"""Code of a choice of series -> why it was chosen, in words."""

# Codes of `ct.chest_evidence`, in words.
_WHY_WITHHELD: Final = {
    "chest.no_lung": "too few of the slices pass through lung",
    "chest.header_other_region": "the header names another region of the body",
}


@dataclass(frozen=True)
class Abnormality:
    """One of the 18 CT-RATE labels, as the model sees it.

    Attributes:
        label: The label.
        yes_logit_margin: Log-probability of "Yes" minus that of "No"; positive leans to present.
        probability: Calibrated probability, None until a calibration is loaded.
        present: At the threshold of the calibration; None without one, or where the scan lies outside
            the scans that it was fitted on.
        attended_slices: The slices that the answer attended to most, in falling order: where the
            model looked, not why it answered so.
    """

    label: str
    yes_logit_margin: float
    probability: float | None = None
    present: bool | None = None
    attended_slices: tuple[SlicePlace, ...] = ()

    @property
    def attention_slices(self) -> tuple[SlicePlace, ...]:
        """The attended slices of a finding that leans to present; none for the others."""
        return self.attended_slices if self.yes_logit_margin > 0 else ()


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
        """The notices for a reader, the research notice first."""
        told = self.provenance.get("notices", ())
        return (RESEARCH_NOTICE, *(notice for notice in told if notice != RESEARCH_NOTICE))

    @property
    def withheld(self) -> tuple[str, ...]:
        """Machine-readable reasons for what was not said, such as ``"chest.no_lung"``."""
        return tuple(self.provenance.get("withheld", ()))

    def to_text(self) -> str:
        """Return notices, the series read, findings by margin and the draft, for a terminal."""
        lines = self._notice_lines()
        lines += [f"[{line}]" for line in series_lines(self.provenance.get("series", {}))]
        lines += map(_withheld_line, self.withheld)
        if self.abnormalities:
            ranked = sorted(self.abnormalities.values(), key=lambda a: -a.yes_logit_margin)
            looked = _LOOKED if any(item.attended_slices for item in ranked) else ()
            lines += ["", *_MARGINS, *looked, *map(_margin_line, ranked)]
        draft = [f"{self._draft_title()}:", printable(self.text)]
        return "\n".join([*lines, "", *draft, "", NOT_ASSESSED])

    def _notice_lines(self) -> list[str]:
        """Return the notices, a demonstration's own on the first line, where nobody misses it."""
        lines = [f"[{notice}]" for notice in self.notices]
        if DRAWINGS_NOTICE in self.notices:
            own = f"[{DRAWINGS_NOTICE}]"
            lines.remove(own)
            lines[0] += f" {own}"
        return lines

    def evidence(self, label: str) -> Image.Image:
        """Return the slices that the model looked at most for a finding, as one picture.

        Each slice is shown in every window that the model saw, with its rank by attention, its z and
        window; above them stand the finding and its margin. It is where the model looked, not why it answered so; `occlusion_evidence` measures that.

        Args:
            label: One of the 18 CT-RATE labels.

        Raises:
            PolicyError: The result has no such finding.
        """
        if label not in self.abnormalities:
            known = ", ".join(self.abnormalities) or "none: chest findings were withheld"
            raise PolicyError(
                "The report has no finding of that name.",
                remedy=f"It has: {known}.",
                code="report.finding",
            )
        attended = self.abnormalities[label].attended_slices
        ranks = {place.index: rank for rank, place in enumerate(attended, 1)}
        shown = [
            (view, f"{ranks[view.place.index]}.")
            for view in self.sequence
            if isinstance(view.place, SlicePlace) and view.place.index in ranks
        ]
        views, captions = zip(*shown, strict=True)
        return contact_sheet(
            VisualSequence(views, provenance=self.sequence.provenance),
            columns=len(attended),
            captions=captions,
            title=finding_title(self.abnormalities[label]),
        )

    def _draft_title(self) -> str:
        if UNTRAINED_NOTICE in self.notices:
            return "Draft report (noise: this model is untrained, so the draft is cut short)"
        if self.provenance.get("stop") == "length":
            return "Draft report (cut short: it reached the longest draft that was asked for)"
        return "Draft report"

    def show(self) -> Image.Image:
        """Return a contact sheet of the views shown, as a notebook shows a picture."""
        return self.sequence.show()

    def __repr__(self) -> str:
        return (
            f"CTReportResult({len(self.text)} characters, {len(self.abnormalities)} findings, "
            f"{len(self.sequence)} views)"
        )

    def _repr_html_(self) -> str:
        """Return tables for a notebook: the notices, the margins, the draft."""
        ranked = sorted(self.abnormalities.values(), key=lambda item: -item.yes_logit_margin)
        margins = [(item.label, f"{item.yes_logit_margin:+.3f}") for item in ranked]
        told = {"notices": " ".join(self.notices), "draft report": self.text}
        return facts_table("CT report", told) + rows_table(
            "Yes-minus-no log-probability margins (uncalibrated)", ("finding", "margin"), margins
        )

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
                    present=item.present,
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


def finding_title(item: Abnormality) -> str:
    """Return ``"Lung nodule: margin +0.512, leans to present"``, with a probability where there is one."""
    leans = "present" if item.yes_logit_margin > 0 else "absent"
    told = f"{item.label}: margin {item.yes_logit_margin:+.3f}, leans to {leans}"
    return told if item.probability is None else f"{told}; probability {item.probability:.2f}"


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
    codes = [code.removeprefix("choice.") for code in series["chosen_by"]]
    why = ", ".join(WHY_CHOSEN.get(code, code.replace("_", " ")) for code in codes)
    told = ", ".join(part for part in described if part)
    return [
        f"Series read: DICOM series number {number} (row {series['row']:g} of longllava series): "
        f"{told}; chosen: {why}"
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


def _withheld_line(code: str) -> str:
    """Return in brackets what was not said, and why."""
    if code.startswith("calibration."):
        name = code.rpartition(".")[2].replace("_", " ")
        return (
            f"[Presence withheld: its {name} is none of those that the calibration was fitted on]"
        )
    return f"[Chest findings withheld: {_WHY_WITHHELD.get(code, code)}]"


def _margin_line(item: Abnormality) -> str:
    """Return ``"  +0.512  Lung nodule  (looked at z 12.0, 15.0, 9.0 mm)"``."""
    looked = ", ".join(f"{place.z_mm:.1f}" for place in item.attended_slices)
    return f"  {item.yes_logit_margin:+8.3f}  {item.label}" + (
        f"  (looked at z {looked} mm)" if looked else ""
    )
