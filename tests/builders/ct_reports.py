"""Builders for the report and PACS tests: a CT series with planted names, and a report on it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from longllava_domains.export.codes import CT_RATE_CODES
from longllava_domains.export.report_content import AbnormalityFinding, ReportContent
from longllava_domains.provenance import Provenance
from longllava_domains.units import short_hash
from longllava_domains.visual import SlicePlace

PLANTED = {
    "PatientName": "Plantagenêt^Quénntin",
    "PatientID": "PLANT-4711",
    "PatientBirthDate": "19310402",
    "PatientSex": "O",
    "ReferringPhysicianName": "Refzwick^Otto",
    "AccessionNumber": "ACC-998877",
    "StudyID": "ST-5512",
    "StudyDate": "20210203",
    "StudyTime": "101112",
    "StudyDescription": "Thorax Plantagenêt",
    "InstitutionName": "Klinik Wunderlich",
}


def write_series(folder: Path, count: int = 4, **changes: Any) -> list[Path]:
    """Write a small CT series in Latin-1; `changes` override header elements (None removes)."""
    study, series = str(generate_uid(None)), str(generate_uid(None))
    paths = []
    for index in range(count):
        image = Dataset()
        image.SpecificCharacterSet = "ISO_IR 100"  # `changes` may set another, or none
        image.SOPClassUID = CTImageStorage
        image.SOPInstanceUID = str(generate_uid(None))
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.Modality, image.InstanceNumber, image.SeriesNumber = "CT", index + 1, 3
        for keyword, value in {**PLANTED, **changes}.items():
            if value is None:
                if keyword in image:
                    delattr(image, keyword)
            else:
                setattr(image, keyword, value)
        image.Rows = image.Columns = 16
        image.PixelSpacing, image.SliceThickness = [1.0, 1.0], 5.0
        image.ImagePositionPatient = [0.0, 0.0, -5.0 * index]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation = 15, 1
        image.RescaleSlope, image.RescaleIntercept = 1, -1024
        image.PixelData = np.full((16, 16), 1024 + index, np.int16).tobytes()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{index:03d}.dcm"
        image.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def read_headers(paths: list[Path]) -> list[Any]:
    """Re-read headers as a loader's `source_headers` does."""
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]


def make_report(headers: list[Any], **changes: Any) -> ReportContent:
    """Return a report with 18 scored findings that cites slices of these headers."""
    slices = tuple(
        SlicePlace(index, -5.0 * index, 5.0, "lung", (short_hash(str(header.SOPInstanceUID)),))
        for index, header in enumerate(headers)
    )
    findings = tuple(
        AbnormalityFinding(
            label,
            yes_logit_margin=1.5 - 0.25 * rank,
            probability=(0.9, 0.1, None)[rank % 3],
            present=(True, False, None)[rank % 3],
            cited_slices=slices[1:3] if rank % 3 == 0 else (),
        )
        for rank, label in enumerate(CT_RATE_CODES)
    )
    content = {
        "text": "Findings: a small left effusion, 3 µm ≥ 2.\nImpression: <effusion> & more.",
        "findings": "A small left effusion, 3 µm ≥ 2.",
        "impression": "<Effusion> & more.",
        "slices": slices,
        "abnormalities": findings,
        "model": "FreedomIntelligence/LongLLaVAMed-9B",
        "model_revision": "a1b2c3",
        "adapter": "sha256:0123abcd",
        "created": datetime(2026, 11, 22, 7, 8, 9, tzinfo=UTC),
        "provenance": Provenance(domain="ct", views=len(slices), input_sha256="0" * 64),
    }
    return ReportContent(**{**content, **changes})
