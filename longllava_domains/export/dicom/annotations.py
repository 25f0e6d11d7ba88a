"""Outlines on a DICOM slide as Microscopy Bulk Simple Annotations (DICOM Supplement 222).

The document joins the study of the slide: patient and study come from the slide's own headers,
re-read when it is saved. Outlines are polygons in pixels of the total pixel matrix of level 0. The
score of each is a measurement under a code of our own, for no published code means it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from longllava_domains.boxes import SCORE_KIND, Point
from longllava_domains.errors import OutputError
from longllava_domains.export.codes import PRIVATE_SCHEME, Code
from longllava_domains.export.dicom.source_study import SourceStudy, read_source
from longllava_domains.export.dicom.sr_document import KEYWORDS, encoded
from longllava_domains.export.report_content import MANUFACTURER
from longllava_domains.files import write_private
from longllava_domains.privacy import silenced
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance

_SERIES_NUMBER: Final = 9901
_OBJECT: Final = Code("found-object", PRIVATE_SCHEME, "Object that a model was asked to find")
_SCORE: Final = Code("token-probability", PRIVATE_SCHEME, SCORE_KIND.capitalize())
# Attributes that highdicom copies; those without a value are written empty (type 2).
_TYPE_2: Final = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip


@dataclass(frozen=True)
class AnnotationGroup:
    """Outlines of one class.

    Attributes:
        name: Of the class, as the user asked for it.
        outlines: Corners of each, level-0 pixels of the total pixel matrix.
        scores: Of each, 0 to 1; None where it has none.
    """

    name: str
    outlines: Sequence[Sequence[Point]]
    scores: Sequence[float | None]


def save_annotations(
    path: str | Path,
    groups: Sequence[AnnotationGroup],
    header: Any,
    provenance: Provenance,
    *,
    overwrite: bool = False,
    allow_demo: bool = False,
) -> None:
    """Write outlines as one DICOM ANN file, readable by its owner alone.

    Args:
        path: Where the file goes.
        groups: What was found, by class.
        header: pydicom data set of the slide's level 0, re-read now; None where the slide does not
            come from DICOM.
        provenance: How the outlines were made.
        overwrite: Replace a file that is already there.
        allow_demo: Let a demonstration result through (tests only).

    Raises:
        OutputError: No outlines, a demonstration result, no DICOM slide, headers without
            identifiers, or the file exists or cannot be written.
    """
    if provenance.get("demo") and not allow_demo:
        raise OutputError(
            "The demonstration model's outlines mean nothing, and do not go into DICOM files.",
            remedy="Use to_json or GeoJSON, or a trained model.",
            code="export.demo",
        )
    if not any(group.outlines for group in groups):
        raise OutputError(
            "Nothing was found, and a DICOM annotation file holds one outline at least.",
            remedy="Use to_json, which says what became of each field.",
            code="export.empty",
        )
    if header is None:
        raise OutputError(
            "The slide does not come from DICOM files, so there is no study to annotate.",
            remedy="Use GeoJSON, or open the DICOM slide.",
            code="export.no_dicom_source",
        )
    document = build_annotations(groups, header, provenance)
    write_private({Path(path): encoded(document)}, overwrite=overwrite)


def build_annotations(
    groups: Sequence[AnnotationGroup], header: Any, provenance: Provenance
) -> Any:
    """Build the pydicom data set that `save_annotations` writes.

    Raises:
        OutputError: Headers without identifiers, or that cannot be copied.
    """
    from importlib.metadata import version

    import highdicom.ann as ann
    from pydicom.uid import generate_uid

    source = read_source([header], KEYWORDS)
    model = str(provenance.get("model", "unknown"))[:64]
    try:
        with silenced():
            document = ann.MicroscopyBulkSimpleAnnotations(
                source_images=[_completed(header)],
                annotation_coordinate_type="2D",
                annotation_groups=[
                    _group(number, group, provenance, model)
                    for number, group in enumerate(groups, start=1)
                ],
                series_instance_uid=str(generate_uid(None)),
                series_number=_SERIES_NUMBER,
                sop_instance_uid=str(generate_uid(None)),
                instance_number=1,
                manufacturer=MANUFACTURER,
                manufacturer_model_name=model,
                software_versions=version("longllava-domains"),
                device_serial_number=str(provenance.get("model_sha256", "unknown"))[:16],
                content_description=RESEARCH_NOTICE,
                content_label="MODEL_DRAFT",
                specific_character_set="ISO_IR 192",
            )
    except (AttributeError, KeyError, LookupError, TypeError, ValueError):
        # highdicom's own text may repeat a value of the header.
        raise OutputError(
            "The headers of this slide cannot be copied into an annotation file.",
            remedy="Repair the headers of the slide, or use GeoJSON.",
            code="export.damaged_source",
        ) from None
    document.SeriesDescription = "Draft AI annotations, research use only"
    _say_whose(document, source)
    return document


def _completed(header: Any) -> Any:
    """Return a copy of the header without pixels; type 2 attributes that are absent are empty."""
    from pydicom.dataset import Dataset

    copy = Dataset()
    for element in header:
        if element.tag.group != 0x7FE0:
            copy.add(element)
    copy.file_meta = header.file_meta
    for keyword in _TYPE_2:
        if keyword not in copy:
            setattr(copy, keyword, "")
    return copy


def _say_whose(document: Any, source: SourceStudy) -> None:
    """Write patient and study as text in the document's own character set."""
    for keyword in KEYWORDS:
        if keyword in document:
            setattr(document, keyword, source.values[keyword])


def _group(number: int, group: AnnotationGroup, provenance: Provenance, model: str) -> Any:
    import highdicom.ann as ann
    from highdicom.content import AlgorithmIdentificationSequence
    from highdicom.sr.coding import CodedConcept
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    scores = [np.nan if score is None else score for score in group.scores]
    measurements = None
    if not all(np.isnan(scores)):
        measurements = [
            ann.Measurements(_coded(_SCORE), np.array(scores, np.float32), codes.UCUM.NoUnits)
        ]
    label = group.name[:64]
    return ann.AnnotationGroup(
        number=number,
        uid=str(generate_uid(None)),
        label=label,
        annotated_property_category=_coded(_OBJECT),
        annotated_property_type=CodedConcept(f"class-{number}", PRIVATE_SCHEME, label),
        graphic_type="POLYGON",
        graphic_data=[np.array(outline, np.float64) for outline in group.outlines],
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=model,
            family=codes.DCM.ArtificialIntelligence,
            version=str(provenance.get("model_revision", provenance.get("model_sha256", "")))[:16]
            or "unknown",
        ),
        measurements=measurements,
    )


def _coded(code: Code) -> Any:
    from highdicom.sr.coding import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)
