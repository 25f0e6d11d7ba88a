"""The modules of a DICOM SR document around its content tree (PS3.3 A.35), and its encoding."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from longllava_domains.errors import OutputError
from longllava_domains.export.codes import (
    PRIVATE_SCHEME,
    PRIVATE_SCHEME_NAME,
    PRIVATE_SCHEME_UID,
    Code,
)
from longllava_domains.export.dicom.source_study import SourceInstance, SourceStudy
from longllava_domains.export.report_content import MANUFACTURER, ReportContent
from longllava_domains.privacy import silenced

# PS3.3 C.7.1.1, C.7.2.1, C.7.2.2: type 2 attributes are written even when empty.
_TYPE_2: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_TYPE_3: Final = (
    "IssuerOfPatientID",
    "PatientAge",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
)
KEYWORDS: Final = ("StudyInstanceUID", *_TYPE_2, *_TYPE_3)
"""Attributes that the source headers have to be read for."""

_SERIES_NUMBER: Final = 9900
_SERIES_DESCRIPTION: Final = "Draft AI report, research use only"


def make_document(
    sop_class_uid: str,
    root: Any,
    content: ReportContent,
    source: SourceStudy,
    cited: Sequence[SourceInstance],
) -> Dataset:
    """Join the modules of PS3.3 A.35 around a content tree.

    Args:
        sop_class_uid: Storage class of the document.
        root: Root container of the content tree.
        content: The report.
        source: Patient and study it belongs to, with the attributes of `KEYWORDS`.
        cited: Instances that the tree refers to.

    Returns:
        The data set with file meta information; series UID and instance number are the caller's.
    """
    document = Dataset()
    document.SpecificCharacterSet = "ISO_IR 192"
    document.SOPClassUID = sop_class_uid
    document.SOPInstanceUID = str(generate_uid(None))
    _add_patient_and_study(document, source)
    created = content.created.astimezone(_time_zone(source.values))
    _add_series_and_equipment(document, content, created)
    document.CompletionFlag = "COMPLETE"
    document.VerificationFlag = "UNVERIFIED"
    document.PreliminaryFlag = "PRELIMINARY"
    document.ContentDate, document.ContentTime = _date_and_time(created)
    document.PerformedProcedureCodeSequence = []
    document.AuthorObserverSequence = [_author(content)]
    if cited:
        document.CurrentRequestedProcedureEvidenceSequence = [_evidence(source, cited)]
    document.CodingSchemeIdentificationSequence = [_private_scheme()]
    for element in root:
        document.add(element)
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.file_meta.MediaStorageSOPClassUID = document.SOPClassUID
    document.file_meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID
    return document


def _add_patient_and_study(document: Dataset, source: SourceStudy) -> None:
    document.StudyInstanceUID = source.values["StudyInstanceUID"]
    for keyword in _TYPE_2:
        setattr(document, keyword, source.values[keyword])
    for keyword in _TYPE_3:
        if source.values[keyword]:
            setattr(document, keyword, source.values[keyword])
    if source.procedures:
        document.ProcedureCodeSequence = [_code_item(code) for code in source.procedures]


def _add_series_and_equipment(document: Dataset, content: ReportContent, created: datetime) -> None:
    from importlib.metadata import version as installed

    document.Modality = "SR"
    document.SeriesNumber = _SERIES_NUMBER
    document.SeriesDescription = _SERIES_DESCRIPTION
    document.SeriesDate, document.SeriesTime = _date_and_time(created)
    document.InstanceCreationDate, document.InstanceCreationTime = _date_and_time(created)
    document.ReferencedPerformedProcedureStepSequence = []
    document.Manufacturer = MANUFACTURER
    document.ManufacturerModelName = content.model[:64]
    versions = [installed("longllava-domains"), content.model_revision, content.adapter]
    document.SoftwareVersions = [version[:64] for version in versions if version]


def _author(content: ReportContent) -> Dataset:
    """Name the model as the author (Identified Person or Device macro, PS3.3 C.17.2)."""
    author = Dataset()
    author.ObserverType = "DEV"
    author.StationName = ""
    author.DeviceUID = content.device_uid
    author.Manufacturer = MANUFACTURER
    author.ManufacturerModelName = content.model[:64]
    author.InstitutionName = ""
    author.InstitutionCodeSequence = []
    return author


def _evidence(source: SourceStudy, cited: Iterable[SourceInstance]) -> Dataset:
    """List the cited instances by series (SOP Instance Reference macro)."""
    by_series: dict[str, list[Dataset]] = {}
    for instance in cited:
        reference = Dataset()
        reference.ReferencedSOPClassUID = instance.sop_class_uid
        reference.ReferencedSOPInstanceUID = instance.sop_instance_uid
        by_series.setdefault(instance.series_instance_uid, []).append(reference)
    study = Dataset()
    study.StudyInstanceUID = source.values["StudyInstanceUID"]
    study.ReferencedSeriesSequence = []
    for uid, references in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = uid
        series.ReferencedSOPSequence = references
        study.ReferencedSeriesSequence.append(series)
    return study


def _private_scheme() -> Dataset:
    scheme = Dataset()
    scheme.CodingSchemeDesignator = PRIVATE_SCHEME
    scheme.CodingSchemeUID = PRIVATE_SCHEME_UID
    scheme.CodingSchemeName = PRIVATE_SCHEME_NAME
    scheme.CodingSchemeResponsibleOrganization = PRIVATE_SCHEME_NAME
    return scheme


def _code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def _date_and_time(moment: datetime) -> tuple[str, str]:
    return f"{moment:%Y%m%d}", f"{moment:%H%M%S}"


def _time_zone(values: Mapping[str, str]) -> tzinfo | None:
    """Return the zone that the source states for all its times, else None: this machine's."""
    offset = values["TimezoneOffsetFromUTC"].strip()
    if len(offset) != 5 or offset[0] not in "+-" or not offset[1:].isdigit():
        return None
    sign = -1 if offset[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:])))


# pydicom's settings belong to the process: two threads would restore each other's.
_PYDICOM_SETTINGS: Final = threading.Lock()


def encoded(document: Dataset) -> bytes:
    """Encode as a DICOM file; identifiers are copied as they are, valid or not.

    Raises:
        OutputError: A copied identifier cannot be encoded at all.
    """
    from pydicom import config

    buffer = BytesIO()
    with _PYDICOM_SETTINGS, silenced(), config.disable_value_validation():
        try:
            document.save_as(buffer, enforce_file_format=True)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            raise OutputError(
                "The report cannot be encoded with the identifiers of this source.",
                remedy="Repair the headers of the series, or use to_json.",
                code="export.encoding",
            ) from None
    return buffer.getvalue()
