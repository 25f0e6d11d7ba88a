"""Content trees of the DICOM structured reports: a Basic Text report and TID 1500 evaluations.

The trees follow PS3.16: TID 2000 "Basic Diagnostic Imaging Report" with the headings of CID 7001,
and TID 1500 "Measurement Report", whose groups (TID 1501) hold one finding each. A finding is the
*name* of an evaluation whose value is present, absent or undetermined (CID 240), never a bare
"finding", so that a reader who skips values cannot take an absent finding for a present one.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from longllava_domains.export.codes import MARGIN, PRESENCE_CODES, PROBABILITY, Code
from longllava_domains.export.dicom.source_study import SourceInstance, SourceStudy
from longllava_domains.export.report_content import (
    MANUFACTURER,
    NOT_ASSESSED,
    AbnormalityFinding,
    ReportContent,
    printable,
)

_CT: Final = Code("77477000", "SCT", "Computed tomography")
_ENGLISH: Final = Code("en", "RFC5646", "English")
_CONTAINS: Final = "CONTAINS"
_INFERRED: Final = "INFERRED FROM"
_MODIFIES: Final = "HAS CONCEPT MOD"


def text_report(content: ReportContent, source: SourceStudy) -> Any:
    """Build the root container of the Basic Text report (TID 2000).

    Notices stand first, then findings and impression; a scored finding is inferred from the
    slices it cites, and the image library lists every slice that was shown.
    """
    root = sr.ContainerContentItem(name=codes.LN.CTReport, template_id="2000")
    sections = [
        _section(codes.LN.CurrentProcedureDescriptions, [_procedure(content)]),
        _section(codes.LN.Findings, _finding_items(content, source)),
    ]
    if content.sections[1]:
        impression = _text(codes.DCM.Impression, content.sections[1])
        sections.append(_section(codes.LN.Impressions, [impression]))
    library = [_image(instance) for instance in source.cited(content.slices)]
    if library:
        sections.append(_section(codes.DCM.ImageLibrary, library))
    root.ContentSequence = sr.ContentSequence(
        [
            *sr.LanguageOfContentItemAndDescendants(_concept(_ENGLISH)),
            *_observation_context(content),
            sr.CodeContentItem(codes.DCM.ProcedureReported, _procedures(source)[0], _MODIFIES),
            *sections,
        ]
    )
    return root


def measurement_report(content: ReportContent, source: SourceStudy) -> Any:
    """Build the root container of the evaluations of the scored findings (TID 1500)."""
    algorithm = sr.AlgorithmIdentification(
        name=content.model,
        version=content.model_revision or "unknown",
        parameters=[f"adapter {content.adapter}"] if content.adapter else None,
        manufacturer=MANUFACTURER,
    )
    report = sr.MeasurementReport(
        observation_context=_observation_context(content),
        procedure_reported=_procedures(source),
        imaging_measurements=[
            _group(finding, source, algorithm) for finding in content.abnormalities
        ],
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(
            _concept(_ENGLISH)
        ),
    )
    root = report[0]
    for notice in content.all_notices:
        root.ContentSequence.append(_text(codes.DCM.Comment, notice))
    return root


def _group(finding: AbnormalityFinding, source: SourceStudy, algorithm: Any) -> Any:
    """Build the measurement group of one finding (TID 1501)."""
    scores = [(MARGIN, finding.yes_logit_margin)]
    if finding.probability is not None:
        scores.append((PROBABILITY, finding.probability))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(None), identifier=finding.label),
        algorithm_id=algorithm,
        measurements=[
            sr.Measurement(name=_concept(name), value=round(value, 6), unit=codes.UCUM.NoUnits)
            for name, value in scores
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(
                name=_concept(finding.code), value=_concept(PRESENCE_CODES[finding.present])
            )
        ],
        source_images=[
            sr.SourceImageForMeasurementGroup(
                image.sop_class_uid, image.sop_instance_uid, list(image.frames) or None
            )
            for image in source.cited(finding.cited_slices)
        ]
        or None,
    )


def _observation_context(content: ReportContent) -> Any:
    """Name the model as the observing device (TID 1004)."""
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=content.device_uid,
        name=content.made_by,
        manufacturer_name=MANUFACTURER,
        model_name=content.model,
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _procedure(content: ReportContent) -> Any:
    shown = len({place.index for place in content.slices})
    lines = [*content.all_notices, f"Written by {content.made_by}, which was shown {shown} slices."]
    return _text(codes.DCM.ProcedureDescription, "\n".join(lines))


def _finding_items(content: ReportContent, source: SourceStudy) -> list[Any]:
    items = [_text(codes.DCM.Finding, content.sections[0])]
    for finding in content.abnormalities:
        item = _text(codes.DCM.Finding, finding.sentence())
        images = source.cited(finding.cited_slices)
        if images:
            item.ContentSequence = sr.ContentSequence([_image(one, _INFERRED) for one in images])
        items.append(item)
    return [*items, _text(codes.DCM.Finding, NOT_ASSESSED)]


def _section(heading: Any, items: Sequence[Any]) -> Any:
    section = sr.ContainerContentItem(name=heading, relationship_type=_CONTAINS)
    section.ContentSequence = sr.ContentSequence(items)
    return section


def _text(name: Any, text: str) -> Any:
    return sr.TextContentItem(name=name, value=printable(text), relationship_type=_CONTAINS)


def _image(instance: SourceInstance, relationship: str = _CONTAINS) -> Any:
    return sr.ImageContentItem(
        name=codes.DCM.SourceOfMeasurement,
        referenced_sop_class_uid=instance.sop_class_uid,
        referenced_sop_instance_uid=instance.sop_instance_uid,
        referenced_frame_numbers=list(instance.frames) or None,
        relationship_type=relationship,
    )


def _procedures(source: SourceStudy) -> list[Any]:
    return [_concept(code) for code in source.procedures or (_CT,)]


def _concept(code: Code) -> Any:
    return sr.CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def cited_instances(content: ReportContent, source: SourceStudy) -> tuple[SourceInstance, ...]:
    """Return every instance that the text report refers to, each once."""
    places = [*content.slices, *_finding_places(content.abnormalities)]
    return source.cited(places)


def _finding_places(findings: Iterable[AbnormalityFinding]) -> list[Any]:
    return [place for finding in findings for place in finding.cited_slices]
