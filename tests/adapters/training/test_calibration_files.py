import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_sets

from longllava_domains.adapters.training.calibration_files import read_held_out
from longllava_domains.errors import DamagedInputError, NotFoundError, PolicyError
from longllava_domains.pipelines.cli.main import run
from longllava_domains.pipelines.ct.calibration import Calibration

LABELS = ("Emphysema", "Pleural effusion")


def report(margins: tuple[float, float], **changes: Any) -> dict[str, Any]:
    made = {"model_sha256": "ab" * 32, "preset": "ct-default@1", "dtype": "bfloat16",
            "policy": {"spacing_mm": 3.0}}  # fmt: skip
    scored = zip(LABELS, margins, strict=True)
    return {
        "provenance": made | changes,
        "abnormalities": [{"label": name, "yes_logit_margin": margin} for name, margin in scored],
    }


def write(folder: Path, patients: int = 40) -> tuple[Path, Path]:
    """Two reconstructions of each patient; margins that tell the finding with some errors."""
    chance = np.random.default_rng(0)
    reports, rows = folder / "reports", []
    reports.mkdir()
    for patient in range(patients):
        present = [patient % 2, int(patient % 3 == 0)]
        for reconstruction in (1, 2):
            name = f"valid_{patient}_a_{reconstruction}"
            margins = tuple(chance.normal(2.0 * is_there - 1.0, 2.0) for is_there in present)
            (reports / f"{name}.json").write_text(json.dumps(report(margins)))  # type: ignore[arg-type]
            rows.append((f"{name}.nii.gz", *present))
    labels = folder / "labels.csv"
    training_sets.write_csv(labels, ("VolumeName", *LABELS), rows)
    return reports, labels


def test_reports_and_labels_are_joined_by_scan_and_grouped_by_patient(tmp_path: Path) -> None:
    reports, labels = write(tmp_path)
    (reports / "notes.json").write_text("{}")  # no scan of the table
    held, fingerprint, limits = read_held_out(reports, labels)
    assert held.labels == LABELS
    assert held.margins.shape == (80, 2)
    assert len(set(held.groups)) == 40
    stored = json.loads((reports / "valid_7_a_1.json").read_text())["abnormalities"]
    row = sorted(path.stem for path in reports.glob("valid*")).index("valid_7_a_1")
    assert held.margins[row].tolist() == [one["yes_logit_margin"] for one in stored]
    assert held.present[row].tolist() == [True, False]
    assert fingerprint["preset"] == "ct-default@1"
    assert fingerprint["adapter_sha256"] is None
    assert limits == {}  # the reports say nothing of their scans


def scan(from_years: int, make: str, spacing_mm: float, sex: str = "female") -> dict[str, Any]:
    series = {"age_years": [from_years, from_years + 9], "manufacturer": make, "kernel": "unknown", "sex": sex,
              "body_part": ["CHEST"], "phase": ["native", "2", "of", "5"]}  # fmt: skip
    return {"series": series, "spacing_mm": [spacing_mm, 0.7, 0.7]}


def test_limits_are_what_all_scans_say_of_themselves(tmp_path: Path) -> None:
    reports, labels = write(tmp_path)
    scans = (scan(40, "GE", 1.0), scan(70, "SIEMENS", 2.5), scan(50, "GE", 1.25))
    for number, path in enumerate(sorted(reports.iterdir())):
        saved = json.loads(path.read_text())
        saved["provenance"] |= scans[number % 3]
        path.write_text(json.dumps(saved))
    assert read_held_out(reports, labels).limits == {
        "body_part": ["CHEST"],
        "phase": ["native"],
        "manufacturer": ["GE", "SIEMENS"],
        "sex": ["female"],
        "age_years": [40, 79],
        "slice_spacing_mm": [1.0, 2.5],
    }
    saved["provenance"]["series"]["age_years"] = None
    saved["provenance"]["series"]["manufacturer"] = "OTHER"
    path.write_text(json.dumps(saved))
    limits = read_held_out(reports, labels).limits
    assert not {"age_years", "manufacturer", "kernel"} & limits.keys()


@pytest.mark.parametrize(
    "changes",
    [{"adapter_sha256": "ef" * 32}, {"policy": {"spacing_mm": 5.0}}, {"dtype": "float32"}],
)
def test_reports_of_different_settings_are_not_fitted_together(tmp_path: Path, changes) -> None:
    reports, labels = write(tmp_path)
    (reports / "valid_0_a_1.json").write_text(json.dumps(report((0.0, 0.0), **changes)))
    with pytest.raises(PolicyError, match="2 different models"):
        read_held_out(reports, labels)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"provenance": {}, "abnormalities": [1]}'])
def test_a_damaged_report_is_named_by_a_hash(tmp_path: Path, text: str) -> None:
    reports, labels = write(tmp_path)
    (reports / "valid_3_a_1.json").write_text(text)
    with pytest.raises(DamagedInputError) as caught:
        read_held_out(reports, labels)
    assert "valid_3" not in str(caught.value)


def test_labels_that_are_not_zero_or_one_and_absent_reports_are_refused(tmp_path: Path) -> None:
    reports, labels = write(tmp_path)
    labels.write_text(labels.read_text().replace(",1,1", ",1,maybe"))
    with pytest.raises(DamagedInputError, match="neither 0 nor 1"):
        read_held_out(reports, labels)
    with pytest.raises(NotFoundError, match="No report"):
        read_held_out(tmp_path, labels)


def test_the_command_writes_what_a_pipeline_reads(tmp_path: Path, capfd) -> None:
    reports, labels = write(tmp_path)
    for path in reports.iterdir():
        saved = json.loads(path.read_text())
        saved["provenance"] |= scan(40, "GE", 1.5)
        path.write_text(json.dumps(saved))
    output = tmp_path / "calibration.json"
    command = ["calibrate", str(reports), str(labels), "--output", str(output),
               "--population", "simulated"]  # fmt: skip
    assert run(command) == 0
    shown = capfd.readouterr().out
    assert "Emphysema" in shown
    assert "80 scans of 40 patients" in shown
    assert "fitted on age_years: 40 to 49" in shown
    assert "fitted on manufacturer: GE" in shown
    fitted = Calibration.from_file(output)
    assert fitted.ranges == {"age_years": (40, 49), "slice_spacing_mm": (1.5, 1.5)}
    assert fitted.limits["manufacturer"] == ("GE",)
    assert set(Calibration.from_file(output).coefficients) == set(LABELS)
    assert json.loads(output.read_text())["population"] == "simulated"
    assert run(command) == 2
    assert "exists" in capfd.readouterr().err
