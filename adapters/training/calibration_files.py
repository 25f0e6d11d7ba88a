"""Margins for a calibration from saved reports, and the truth from a table of labels."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from longllava_domains.adapters.data.readers.tables import read_csv
from longllava_domains.adapters.training.calibrate import HeldOut
from longllava_domains.ct.population import OTHER_MANUFACTURER, population_of
from longllava_domains.errors import DamagedInputError, NotFoundError, PolicyError
from longllava_domains.units import short_hash

_CT_RATE = re.compile(r"((?:train|valid)_\d+)_[a-z]+_\d+\Z")
_NAME: Final = "VolumeName"
# What margins depend on; the same in all reports, or they cannot be fitted together.
_FINGERPRINT: Final = ("model_sha256", "adapter_sha256", "preset", "dtype", "quantization")


_RANGES: Final = ("age_years", "slice_spacing_mm")


class ReadReports(NamedTuple):
    """Saved reports as a calibration takes them.

    Attributes:
        held_out: Margins and truth of the scans that reports and labels share.
        fingerprint: What the margins depend on, the same in all reports.
        limits: What the scans had, see `limits_of`.
    """

    held_out: HeldOut
    fingerprint: dict[str, Any]
    limits: dict[str, list[Any]]


def read_held_out(reports: Path, labels: Path) -> ReadReports:
    """Join saved reports with a table of labels.

    Args:
        reports: Folder with the JSON of a report for each scan, named as the table names the
            scan (``valid_1_a_1.json``). Scans of CT-RATE are grouped by patient, others stand
            alone.
        labels: CSV in the form of CT-RATE's labels: ``VolumeName``, then a column of 0 and 1 for
            each label.

    Raises:
        NotFoundError: Folder or table are not there, or no report is of a scan that it names.
        DamagedInputError: The table or a report cannot be read.
        PolicyError: Reports of different models, adapters, presets or policies.
    """
    if not reports.is_dir():
        raise NotFoundError(
            "REPORTS is a file, and must be the folder of the reports."
            if reports.exists()
            else "The folder of the reports is not there.",
            remedy="Give the folder with the JSON that longllava report --out wrote of each scan.",
            code="calibration.reports",
        )
    truth = {row[_NAME].removesuffix(".nii.gz"): row for row in read_csv(labels, (_NAME,))}
    found = [path for path in sorted(reports.glob("*.json")) if path.stem in truth]
    if not found:
        raise NotFoundError(
            "No report in the folder is named like a scan of the table.",
            remedy="Save each report as JSON under the scan's name, such as valid_1_a_1.json.",
            code="calibration.reports",
        )
    read = [_report(path) for path in found]
    fingerprints = {json.dumps(each.fingerprint) for each in read}
    if len(fingerprints) > 1:
        raise PolicyError(
            f"The reports come from {len(fingerprints)} different models, adapters or settings.",
            remedy="Calibrate reports of one model, adapter, preset and slice policy.",
            code="calibration.mixed",
        )
    names = [name for name in read[0].margins if name in next(iter(truth.values()))]
    margins = np.array([[each.margins[name] for name in names] for each in read], np.float64)
    present = np.array([[_truth(truth[path.stem][name]) for name in names] for path in found])
    groups = tuple(_patient(path.stem) for path in found)
    held_out = HeldOut(groups, tuple(names), margins, present)
    limits = limits_of([each.population for each in read])
    return ReadReports(held_out, read[0].fingerprint, limits)


def limits_of(populations: Sequence[Mapping[str, Sequence[Any]]]) -> dict[str, list[Any]]:
    """Return the limits that scans set: name -> words, or the lowest and the highest number.

    What one of the scans does not say sets no limit, because it may lie anywhere; neither does a
    manufacturer that is on no list, because another one of those is not the same.

    Args:
        populations: Of each scan, as `population_of` returns it.
    """
    limits: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for each in populations for name in each):
        said = [each.get(name, ()) for each in populations]
        values = sorted({value for each in said for value in each})
        if all(said) and OTHER_MANUFACTURER not in values:
            limits[name] = [values[0], values[-1]] if name in _RANGES else values
    return limits


class _Report(NamedTuple):
    fingerprint: dict[str, Any]
    margins: dict[str, float]
    population: dict[str, list[Any]]


def _report(path: Path) -> _Report:
    """Return a report's fingerprint, the margin of each label, and what its scan was."""
    try:
        report = json.loads(path.read_bytes())
        made = report["provenance"]
        fingerprint = {name: made.get(name) for name in _FINGERPRINT}
        policy = json.dumps(made.get("policy"), sort_keys=True)
        fingerprint["policy_sha256"] = hashlib.sha256(policy.encode()).hexdigest()
        margins = {
            str(one["label"]): float(one["yes_logit_margin"]) for one in report["abnormalities"]
        }
        population = population_of(made)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DamagedInputError(
            f"Report {short_hash(path.stem)} is not the JSON of a report.",
            remedy="Save it again: longllava report SCAN --json.",
            code="calibration.report",
        ) from None
    return _Report(fingerprint, margins, population)


def _truth(text: str) -> bool:
    if text.strip() not in ("0", "1", "0.0", "1.0"):
        raise DamagedInputError(
            "A label of the table is neither 0 nor 1.",
            remedy="Give a table in the form of CT-RATE's multi_abnormality_labels.",
            code="calibration.label",
        )
    return text.strip() in ("1", "1.0")


def _patient(stem: str) -> str:
    found = _CT_RATE.match(stem)
    return stem if found is None else found[1]
