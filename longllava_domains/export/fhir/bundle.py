"""Draft reports as HL7 FHIR R4: a Bundle around a preliminary DiagnosticReport.

The Bundle (type ``collection``) holds the DiagnosticReport, one Observation for each scored
finding, the model as Device, Provenance, and an ImagingStudy that lists the images shown. The
patient is a logical reference by identifier; nothing but identifiers and the study date is taken
from the source headers, re-read when the report is saved.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from longllava_domains.arguments import checked
from longllava_domains.errors import OutputError
from longllava_domains.export.codes import (
    MARGIN,
    PRESENCE_CODES,
    PROBABILITY,
)
from longllava_domains.export.dicom.source_study import SourceInstance, SourceStudy, read_source
from longllava_domains.export.fhir import types
from longllava_domains.export.fhir.types import Resource
from longllava_domains.export.report_content import (
    MANUFACTURER,
    NOT_ASSESSED,
    AbnormalityFinding,
    ReportContent,
    printable,
    refuse_unfit,
)
from longllava_domains.export.report_json import report_json
from longllava_domains.files import write_private
from longllava_domains.provenance import RESEARCH_NOTICE

_KEYWORDS: Final = (
    "StudyInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyDate",
)
_CT: Final = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}


@checked
def save_fhir(
    content: ReportContent,
    headers: Sequence[Any] | None,
    path: str | Path,
    *,
    patient_system: str | None = None,
    overwrite: bool = False,
    allow_demo: bool = False,
) -> Path:
    """Write the draft report as a FHIR R4 Bundle in JSON, readable by its owner alone.

    Args:
        content: The report.
        headers: `SliceSource.source_headers()` of the volume, re-read now.
        path: File to write.
        patient_system: URI of the hospital's system of patient identifiers, if known.
        overwrite: Replace a file that is already there.
        allow_demo: Let a demonstration result through (tests only).

    Raises:
        OutputError: A demonstration result, no DICOM source, identifiers missing or changed, a
            file that exists, or a folder that cannot be written.
    """
    bundle = build_fhir(content, headers, patient_system=patient_system, allow_demo=allow_demo)
    text = json.dumps(bundle, ensure_ascii=False, allow_nan=False, indent=1)
    write_private({Path(path): text.encode("utf-8")}, overwrite=overwrite)
    return Path(path)


def build_fhir(
    content: ReportContent,
    headers: Sequence[Any] | None,
    *,
    patient_system: str | None = None,
    allow_demo: bool = False,
) -> Resource:
    """Build the Bundle that `save_fhir` writes.

    Raises:
        OutputError: See `save_fhir`.
    """
    refuse_unfit(content, allow_demo=allow_demo)
    source = read_source(headers, _KEYWORDS)
    content = replace(content, notices=(*content.notices, *source.notices))
    if not source.values["PatientID"]:
        raise OutputError(
            "The source headers have no patient ID, which a FHIR report must name.",
            remedy="Use the series before it was anonymised, or use to_json.",
            code="export.no_identifiers",
        )
    about = _About(content, source, _subject(source, patient_system))
    study, device = _study(about, source.cited(content.slices)), _device(about)
    observations = [_observation(about, finding, device) for finding in content.abnormalities]
    report = _report(about, study, observations)
    provenance = _provenance(about, [report, *observations], device, study)
    resources = (report, *observations, study, device, provenance)
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": about.instant,
        "entry": [{"fullUrl": types.url(resource), "resource": resource} for resource in resources],
    }


@dataclass(frozen=True)
class _About:
    """The references that all resources of one Bundle share."""

    content: ReportContent
    source: SourceStudy
    subject: Resource

    @property
    def instant(self) -> str:
        """Time of the report, ISO 8601 in UTC, to the second."""
        return self.content.created.astimezone(UTC).isoformat(timespec="seconds")

    def study_date(self, key: str) -> Resource:
        """Return the study date under `key`, or nothing where the header has no valid one."""
        digits = self.source.values["StudyDate"]
        try:
            return {key: datetime.strptime(digits, "%Y%m%d").date().isoformat()}
        except ValueError:
            return {}


def _report(about: _About, study: Resource, observations: Sequence[Resource]) -> Resource:
    content = about.content
    notices = list(content.all_notices)
    text = "\n".join([*notices, "", content.text, "", NOT_ASSESSED])
    report = {
        **types.resource("DiagnosticReport"),
        "text": types.narrative([*notices, *content.text.splitlines(), NOT_ASSESSED]),
        "status": "preliminary",
        "category": [types.concept(f"{types.TERMINOLOGY}/v2-0074", "CT", "CAT Scan")],
        "code": types.concept("http://loinc.org", "18748-4", "Diagnostic imaging study"),
        "subject": about.subject,
        **about.study_date("effectiveDateTime"),
        "issued": about.instant,
        "imagingStudy": [types.reference(study)],
        "conclusion": printable(
            " ".join([*notices, content.impression or content.text, NOT_ASSESSED])
        ),
        "presentedForm": [
            types.attachment("text/plain; charset=utf-8", printable(text), about.instant),
            types.attachment("application/json", json.dumps(report_json(content)), about.instant),
        ],
    }
    if observations:
        report["result"] = [types.reference(observation) for observation in observations]
    if content.demo:
        test_data = {"system": f"{types.TERMINOLOGY}/v3-ActReason", "code": "HTEST"}
        report["meta"] = {"security": [test_data]}
    return report


def _observation(about: _About, finding: AbnormalityFinding, device: Resource) -> Resource:
    """State one finding; without a decision its value is absent, never "no"."""
    scores = [(MARGIN, finding.yes_logit_margin)]
    if finding.probability is not None:
        scores.append((PROBABILITY, finding.probability))
    observation = {
        **types.resource("Observation"),
        "text": types.narrative([RESEARCH_NOTICE, finding.sentence()]),
        "status": "preliminary",
        "category": [
            types.concept(f"{types.TERMINOLOGY}/observation-category", "imaging", "Imaging")
        ],
        "code": {**types.coded(finding.code), "text": finding.label},
        "subject": about.subject,
        **about.study_date("effectiveDateTime"),
        "issued": about.instant,
        "device": types.reference(device),
        "note": [{"text": RESEARCH_NOTICE}],
        "component": [
            {"code": types.coded(code), "valueQuantity": types.number(x)} for code, x in scores
        ],
    }
    if finding.present is None:
        unknown = types.concept(f"{types.TERMINOLOGY}/data-absent-reason", "unknown", "Unknown")
        observation["dataAbsentReason"] = unknown
    else:
        observation["valueCodeableConcept"] = types.coded(PRESENCE_CODES[finding.present])
    images = about.source.cited(finding.cited_slices)
    if images:
        observation["contained"] = [{**_study(about, images), "id": "cited"}]
        observation["derivedFrom"] = [{"reference": "#cited"}]
    return observation


def _study(about: _About, images: Iterable[SourceInstance]) -> Resource:
    """Name the source study and these of its images."""
    values = about.source.values
    identifiers: list[Resource] = [types.uid_identifier(values["StudyInstanceUID"])]
    if values["AccessionNumber"]:
        kind = types.concept(f"{types.TERMINOLOGY}/v2-0203", "ACSN", "Accession ID")
        identifiers.append({"type": kind, "value": values["AccessionNumber"]})
    by_series: dict[str, list[Resource]] = {}
    for image in images:
        sop_class = {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{image.sop_class_uid}"}
        instance: Resource = {"uid": image.sop_instance_uid, "sopClass": sop_class}
        if image.number is not None and image.number >= 0:
            instance["number"] = image.number
        if image.frames:
            instance["title"] = "frames " + ", ".join(map(str, image.frames))
        by_series.setdefault(image.series_instance_uid, []).append(instance)
    study = {
        **types.resource("ImagingStudy"),
        "identifier": identifiers,
        "status": "available",
        "modality": [_CT],
        "subject": about.subject,
        **about.study_date("started"),
    }
    if by_series:
        study["series"] = [
            {"uid": uid, "modality": _CT, "instance": instances}
            for uid, instances in by_series.items()
        ]
    return study


def _device(about: _About) -> Resource:
    from importlib.metadata import version as installed

    content = about.content
    versions = {
        "longllava-domains": installed("longllava-domains"),
        "model revision": content.model_revision,
        "adapter": content.adapter,
    }
    return {
        **types.resource("Device"),
        "identifier": [types.uid_identifier(content.device_uid)],
        "status": "active",
        "manufacturer": MANUFACTURER,
        "deviceName": [{"name": content.model, "type": "model-name"}],
        "type": {"text": "Vision-language model (software)"},
        "version": [{"type": {"text": k}, "value": v} for k, v in versions.items() if v],
        "note": [{"text": RESEARCH_NOTICE}],
    }


def _provenance(
    about: _About, targets: Iterable[Resource], device: Resource, study: Resource
) -> Resource:
    role = types.concept(
        f"{types.TERMINOLOGY}/provenance-participant-type", "assembler", "Assembler"
    )
    return {
        **types.resource("Provenance"),
        "target": [types.reference(target) for target in targets],
        "recorded": about.instant,
        "activity": {"text": "Draft report written by a model; research use only"},
        "agent": [{"type": role, "who": types.reference(device)}],
        "entity": [{"role": "source", "what": types.reference(study)}],
    }


def _subject(source: SourceStudy, system: str | None) -> Resource:
    identifier: Resource = {"value": source.values["PatientID"]}
    if system:
        identifier["system"] = system
    if source.values["IssuerOfPatientID"]:
        identifier["assigner"] = {"display": source.values["IssuerOfPatientID"]}
    return {"type": "Patient", "identifier": identifier}
