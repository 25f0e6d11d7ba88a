"""CT-RATE's metadata tables: the scale and spacing of each volume, by its name."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from longllava_domains.arguments import checked
from longllava_domains.ct.population import age_from_years, manufacturer_word, sex_word
from longllava_domains.errors import DamagedInputError, NotFoundError

_NEEDED = ("VolumeName", "RescaleSlope", "RescaleIntercept", "XYSpacing", "ZSpacing")


@dataclass(frozen=True, slots=True)
class CtRateVolume:
    """Row of CT-RATE's table for one volume.

    Attributes:
        rescale_slope: Slope from stored values to Hounsfield units.
        rescale_intercept: Intercept; -1024, or -8192 for one vendor.
        spacing_mm: (slice, row, column) distance of voxel centres.
        kernel: Reconstruction kernel as written there, such as ``"B"`` or ``"Br40f"``.
        manufacturer: Of the scanner, a word from a fixed list; empty where the table says none.
        sex: ``"male"`` or ``"female"``; empty where the table says neither.
        age_from_years: First year of the ten that the age lies in; None where the table says none.
    """

    rescale_slope: float
    rescale_intercept: float
    spacing_mm: tuple[float, float, float]
    kernel: str = ""
    manufacturer: str = ""
    sex: str = ""
    age_from_years: int | None = None


@checked
def read_ct_rate_metadata(path: str | Path) -> Mapping[str, CtRateVolume]:
    """Read ``train_metadata.csv`` or ``validation_metadata.csv``.

    Args:
        path: The table as CT-RATE ships it; needs VolumeName, RescaleSlope, RescaleIntercept,
            XYSpacing (a text such as ``"[0.68, 0.68]"``) and ZSpacing.

    Returns:
        Scans by VolumeName, such as ``"valid_1_a_1.nii.gz"``.

    Raises:
        NotFoundError: No such file.
        DamagedInputError: A column is missing, or a row's numbers cannot be read.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        raise NotFoundError(
            "The CT-RATE metadata table cannot be opened.",
            remedy="Give the path of train_metadata.csv or validation_metadata.csv.",
            code="ct_rate.missing",
        ) from None
    except (UnicodeDecodeError, csv.Error):
        raise _damaged("it is not a CSV text") from None
    absent = [name for name in _NEEDED if not rows or name not in rows[0]]
    if absent:
        raise _damaged(f"it has no column {', '.join(absent)}")
    return MappingProxyType({row["VolumeName"]: _scan(n, row) for n, row in enumerate(rows, 1)})


def _scan(number: int, row: Mapping[str, str]) -> CtRateVolume:
    try:
        spacing = [float(part) for part in row["XYSpacing"].strip("[]() ").split(",")]
        slope, intercept = float(row["RescaleSlope"]), float(row["RescaleIntercept"])
        spacing_mm = (float(row["ZSpacing"]), spacing[0], spacing[1])
    except (ValueError, IndexError, AttributeError, TypeError):
        raise _damaged(f"the numbers of row {number} cannot be read") from None
    positive = all(math.isfinite(step) and step > 0 for step in spacing_mm)
    if not positive or not math.isfinite(slope) or not math.isfinite(intercept) or slope == 0:
        raise _damaged(f"row {number} has a scale or spacing that cannot be")
    return CtRateVolume(
        slope, intercept, spacing_mm, _kernel(row),
        manufacturer_word((row.get("Manufacturer") or "").strip()),
        sex_word(row.get("PatientSex") or ""),
        age_from_years((row.get("PatientAge") or "").strip().upper()),
    )  # fmt: skip


def _kernel(row: Mapping[str, str]) -> str:
    """Return the kernel's first name; the table holds ``B`` or ``['Br40f', '3']``."""
    return (row.get("ConvolutionKernel") or "").strip("[] ").split(",")[0].strip("' \"")


def _damaged(found: str) -> DamagedInputError:
    return DamagedInputError(
        f"The CT-RATE metadata table cannot be read: {found}.",
        remedy="Download it again; it is dataset/metadata/*_metadata.csv of CT-RATE.",
        code="ct_rate.table",
    )
