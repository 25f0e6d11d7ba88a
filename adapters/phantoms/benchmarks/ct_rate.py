"""CT-RATE's tree with chest phantoms: volumes without a scale, metadata, labels and reports."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from longllava_domains.adapters.phantoms.chest import ChestPhantom, Finding, chest_phantom
from longllava_domains.adapters.phantoms.files import write_nifti
from longllava_domains.ct_rate_labels import CT_RATE_LABELS

_LABELS: Final[dict[str, Finding]] = {"Lung nodule": "nodule", "Pleural effusion": "effusion"}
_SHOWN: Final[tuple[tuple[Finding, ...], ...]] = (
    (),
    ("nodule",),
    ("effusion",),
    ("nodule", "effusion"),
)
_SHAPE: Final = (20, 96, 96)
_SPACING_MM: Final = (15.0, 4.0, 4.0)
_SENTENCES: Final = {
    "nodule": "There is a nodule in the right upper lobe.",
    "effusion": "There is a pleural effusion on the left side.",
}


def write_ct_rate(folder: Path, size: int) -> None:
    """Write the validation split of the first release: ``dataset/valid/valid_1/valid_1_a/...``."""
    root = folder / "dataset"
    names, labels, reports, scans = [], [], [], []
    for patient in range(1, size + 1):
        found = _SHOWN[patient % len(_SHOWN)]
        name = f"valid_{patient}_a_1.nii.gz"
        path = root / "valid" / f"valid_{patient}" / f"valid_{patient}_a" / name
        path.parent.mkdir(parents=True)
        write_nifti(_stored(chest_phantom(
            shape=_SHAPE, spacing_mm=_SPACING_MM, findings=found, seed=patient,
        )), path)  # fmt: skip
        names.append(name)
        labels.append([int(_LABELS.get(label) in found) for label in CT_RATE_LABELS])
        said = " ".join(_SENTENCES[each] for each in found) or "The lungs are clear."
        reports.append((name, "Not given.", "Chest CT.", said, "Not given."))
        scans.append(
            (name, -1024, 1, str(list(_SPACING_MM[1:])), _SPACING_MM[0], "PHANTOM", "O", "060Y")
        )
    _write(
        root / "multi_abnormality_labels/valid_predicted_labels.csv",
        ("VolumeName", *CT_RATE_LABELS),
        [(name, *row) for name, row in zip(names, labels, strict=True)],
    )
    _write(
        root / "radiology_text_reports/validation_reports.csv",
        ("VolumeName", "ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN"),
        reports,
    )
    _write(
        root / "metadata/validation_metadata.csv",
        ("VolumeName", "RescaleIntercept", "RescaleSlope", "XYSpacing", "ZSpacing", "Manufacturer",
         "PatientSex", "PatientAge"),
        scans,
    )  # fmt: skip


def _stored(phantom: ChestPhantom) -> ChestPhantom:
    """Return the phantom as the release stores volumes: without its intercept of -1024."""
    stored = (phantom.hu.astype(np.int32) + 1024).astype(np.int16)
    return ChestPhantom(stored, phantom.spacing_mm, phantom.findings)


def _write(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
