"""CT-RATE's tables of labels and of reports, as the gated release lays them out."""

from pathlib import Path
from typing import Final

from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.errors import DamagedInputError
from longllava_domains.evaluate.ct_rate.volumes import parse_volume
from longllava_domains.evaluate.datasets.dataset import Dataset, Rows, first_file, not_found
from longllava_domains.evaluate.predictions import read_table

LICENCE: Final = (
    "CC BY-NC-SA 4.0 and the release's terms: research only, no redistribution of any part, "
    "no re-identification, cite"
)
VALID_VOLUMES: Final = 3039
"""Of the release; its 1,564 scans are of 1,304 patients."""

_PLACES: Final = ("dataset/multi_abnormality_labels", "multi_abnormality_labels", ".")
_NAMES: Final = {"train": "train_predicted_labels.csv", "valid": "valid_predicted_labels.csv"}


def load_ct_rate(folder: Path) -> Dataset:
    """Read the label tables of CT-RATE.

    Args:
        folder: The release's root, its ``dataset`` folder or the folder of the tables.

    Raises:
        NotFoundError: There is no table of the validation split.
        DamagedInputError: A table lacks a label.
    """
    found = {
        split: path
        for split, name in _NAMES.items()
        if (path := first_file(folder, [f"{place}/{name}" for place in _PLACES])) is not None
    }
    if "valid" not in found:
        raise not_found("CT-RATE", "multi_abnormality_labels/valid_predicted_labels.csv")
    splits = {split: _rows(path) for split, path in found.items()}
    notes = [
        "the labels are what a classifier read in the reports, not what a radiologist marked",
        f"{len(splits['valid']):,} volumes of {_patients(splits['valid']):,} patients",
    ]
    if len(splits["valid"]) != VALID_VOLUMES:
        notes.append(f"the release has {VALID_VOLUMES:,} validation volumes: this is another set")
    # Patients are numbered anew in each split, so only a volume's whole name can stand in both.
    names = {split: {str(row.get("VolumeName")) for row in rows} for split, rows in splits.items()}
    leaks = {"volumes in both splits": len(names["valid"] & names.get("train", set()))}
    return Dataset("ct-rate", "release", splits, LICENCE, tuple(notes), leaks)


def load_ct_rate_reports(folder: Path) -> Dataset:
    """Read the reports of CT-RATE's validation split.

    Args:
        folder: The release's root, its ``dataset`` folder or the folder of the tables.

    Raises:
        NotFoundError: The table is not there.
        DamagedInputError: It cannot be read.
    """
    places = ("dataset/radiology_text_reports", "radiology_text_reports", ".")
    path = first_file(folder, [f"{place}/validation_reports.csv" for place in places])
    if path is None:
        raise not_found("CT-RATE", "radiology_text_reports/validation_reports.csv")
    rows = tuple(dict(row) for row in read_table(path).rows)
    notes = (f"{len(rows):,} reports of {_patients(rows):,} patients",)
    return Dataset("ct-rate/reports", "release", {"valid": rows}, LICENCE, notes)


def _rows(path: Path) -> Rows:
    rows = read_table(path).rows
    missing = [label for label in CT_RATE_LABELS if not rows or label not in rows[0]]
    if missing:
        raise DamagedInputError(
            f"The label table lacks {len(missing)} of the 18 labels.",
            remedy="Give the table of the release, with its own header.",
            code="ct_rate.table_labels",
        )
    return tuple(dict(row) for row in rows)


def _patients(rows: Rows) -> int:
    volumes = (parse_volume(str(row.get("VolumeName"))) for row in rows)
    return len({volume.patient for volume in volumes if volume is not None})
