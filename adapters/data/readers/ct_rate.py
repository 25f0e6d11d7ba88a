"""CT-RATE: chest CT volumes with their reports, and RadGenome's sentences for each region.

Volumes are named ``<split>_<patient>_<scan>_<reconstruction>.nii.gz`` and lie in
``dataset/<split>/<split>_<patient>/<split>_<patient>_<scan>/`` (or in the ``_fixed`` tree of
2025). They carry no rescale: CT-RATE's metadata table is needed beside them.
"""

from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any, Final

from longllava_domains.adapters.data.domain_pictures import DEFAULT_SLICES, VolumePicture
from longllava_domains.adapters.data.readers.llava import text_field
from longllava_domains.adapters.data.readers.tables import first_present, read_csv
from longllava_domains.adapters.data.records import TableRecords
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import Terms, TrainingData
from longllava_domains.ct import SlicePolicy
from longllava_domains.ct.hounsfield.ct_rate import read_ct_rate_metadata
from longllava_domains.ct.hounsfield.rescale import HuSource
from longllava_domains.errors import NotFoundError, PolicyError

SPLITS: Final = {"train": "train", "valid": "validation"}
NOT_GIVEN: Final = "Not given."
REPORT_PROMPT: Final = "Write the report of this chest CT: findings, then impression."
REGION_PROMPT: Final = "Describe the {region} in this chest CT."
TERMS: Final = Terms(
    "CC-BY-NC-SA-4.0",
    "CT-RATE: research and education only, share alike, no redistribution, no re-identification.",
)


def read_ct_rate(
    folder: Path, split: str = "train", slices: SlicePolicy = DEFAULT_SLICES
) -> TrainingData:
    """Read the reports of one split, each with its volume.

    Args:
        folder: The data set's root, or its ``dataset`` folder.
        split: ``"train"`` or ``"valid"``.
        slices: How volumes are shown.

    Raises:
        PolicyError: There is no such split.
        NotFoundError: The reports or the metadata are not there.
        DamagedInputError: A table cannot be read.
    """
    root = _root(folder, split)
    path = root / "radiology_text_reports" / f"{SPLITS[split]}_reports.csv"
    if not path.is_file():
        raise NotFoundError(
            "There is no CT-RATE here: its table of reports is not there.",
            remedy="Name the data set's folder, which holds radiology_text_reports, metadata and the "
            "volumes.",
            code="training.file",
        )
    rows = read_csv(path, ("VolumeName", "Findings_EN", "Impressions_EN"))
    hu = _metadata(root, split)

    def convert(row: Any, key: str) -> Sample:
        parts = [_given(row, "Findings_EN"), _given(row, "Impressions_EN")]
        named = zip(("Findings", "Impression"), parts, strict=True)
        report = "\n".join(f"{name}: {text}" for name, text in named if text)
        return _sample(row["VolumeName"], REPORT_PROMPT, report, key, root, slices, hu)

    return TrainingData("CT-RATE", TableRecords((path,), rows), convert, "all", TERMS)


def read_radgenome(
    folder: Path, tables: Path, split: str = "train", slices: SlicePolicy = DEFAULT_SLICES
) -> TrainingData:
    """Read RadGenome-ChestCT's sentences, one sample for each volume and region.

    Args:
        folder: CT-RATE, as in `read_ct_rate`.
        tables: RadGenome's folder with ``<split>_region_report.csv``.
        split: ``"train"`` or ``"valid"``.
        slices: How volumes are shown.

    Raises:
        PolicyError: There is no such split.
        NotFoundError: The table or CT-RATE's metadata are not there.
        DamagedInputError: A table cannot be read.
    """
    root = _root(folder, split)
    path = tables / f"{SPLITS[split]}_region_report.csv"
    sentences: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in read_csv(path, ("Volumename", "Anatomy", "Sentence")):
        if row["Sentence"].strip():
            sentences[row["Volumename"], row["Anatomy"]].append(row["Sentence"].strip())
    hu = _metadata(root, split)

    def convert(row: Any, key: str) -> Sample:
        (name, region), spoken = row
        question = REGION_PROMPT.format(region=region or "whole chest")
        return _sample(name, question, " ".join(spoken), key, root, slices, hu)

    records = TableRecords((path,), list(sentences.items()))
    return TrainingData("RadGenome-ChestCT", records, convert, "all", TERMS)


def volume_path(root: Path, split: str, name: str) -> Path | None:
    """Return where a volume lies, whichever of the trees is there; None for no such name."""
    stem = name.removesuffix(".nii.gz")
    parts = stem.split("_")
    if len(parts) != 4 or not all(part.isalnum() for part in parts):
        return None
    patient, scan = "_".join(parts[:2]), "_".join(parts[:3])
    places = [root / tree / patient / scan / f"{stem}.nii.gz" for tree in (f"{split}_fixed", split)]
    return next((place for place in places if place.is_file()), places[0])


def _sample(
    name: str, question: str, answer: str, key: str, root: Path, slices: SlicePolicy, hu: HuSource
) -> Sample:
    if not answer:
        raise RowError("no_answer")
    path = volume_path(root, name.partition("_")[0], name)
    if path is None:
        raise RowError("damaged_row")
    patient = "_".join(name.split("_")[:2])
    volume = VolumePicture(path, path.name, slices, hu)
    return Sample(key, ((question, answer),), (volume,), group=f"CT-RATE/{patient}")


def _given(row: Any, field: str) -> str:
    """Return a part of a report, empty where it was not given."""
    try:
        text = text_field(row, field).strip()
    except RowError:
        return ""
    return "" if text == NOT_GIVEN else text


def _root(folder: Path, split: str) -> Path:
    if split not in SPLITS:
        raise PolicyError(
            "CT-RATE has no split of that name.",
            remedy=f"Use one of {', '.join(SPLITS)}.",
            code="training.configuration",
        )
    return folder / "dataset" if (folder / "dataset").is_dir() else folder


@cache
def _metadata(root: Path, split: str) -> HuSource:
    path = first_present(root / "metadata", (f"{SPLITS[split]}_metadata.csv",))
    if path is None:
        raise NotFoundError(
            "CT-RATE's metadata table is not there, so no volume has Hounsfield units.",
            remedy=f"Put metadata/{SPLITS[split]}_metadata.csv in the data set's folder.",
            code="training.file",
        )
    return read_ct_rate_metadata(path)
