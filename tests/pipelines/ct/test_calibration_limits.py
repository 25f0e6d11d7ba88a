"""A scan unlike those of a calibration: presence is withheld, and a notice says so."""

import json
from pathlib import Path
from typing import Any

import pydicom
import pytest

from longllava_domains import ct
from longllava_domains.ct.population import population_of
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines import CTReport
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.findings_first import outside_population

PHANTOM = Path(__file__).parents[3] / "examples/chest_phantom"
FEW = ct.SlicePolicy(count=2, windows=("lung",), view_px=336)


@pytest.fixture(scope="module")
def old_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom as a patient in the seventies on a scanner of one make."""
    folder = tmp_path_factory.mktemp("old")
    for path in sorted(PHANTOM.rglob("*.dcm")):
        image = pydicom.dcmread(path)
        image.PatientAge, image.PatientSex, image.Manufacturer = "074Y", "F", "SIEMENS"
        image.save_as(folder / path.name)
    return folder


def calibration(folder: Path, limits: dict[str, Any], sha256: str = "0" * 64) -> Calibration:
    path = folder / "calibration.json"
    fitted = {
        "model_sha256": sha256,
        "preset": "ct-default@1",
        "coefficients": {"Lung nodule": [0.0, 9.0]},
        "labels": {"Lung nodule": {"threshold": 0.5}},
        "limits": limits,
    }
    path.write_text(json.dumps(fitted))
    return Calibration.from_file(path)


@pytest.mark.parametrize(
    ("limits", "codes"),
    [
        ({"age_years": [20, 69]}, ("calibration.outside.age_years",)),
        ({"age_years": [80, 150]}, ("calibration.outside.age_years",)),
        ({"manufacturer": ["GE", "CANON"]}, ("calibration.outside.manufacturer",)),
        ({"sex": ["male"]}, ("calibration.outside.sex",)),
        ({"sex": ["female", "male"]}, ()),
        ({"slice_spacing_mm": [0.1, 0.2]}, ("calibration.outside.slice_spacing_mm",)),
        (
            {
                "age_years": [20, 79],
                "manufacturer": ["GE", "SIEMENS"],
                "slice_spacing_mm": [0.1, 90],
            },
            (),
        ),
        ({"age_years": [74, 74]}, ()),  # in the band, as far as is known
    ],
)
def test_age_sex_make_and_spacing_are_held_against_the_limits(
    old_scan: Path, tmp_path: Path, limits: dict[str, Any], codes: tuple[str, ...]
) -> None:
    views = ct.open_volume(old_scan).to_sequence(FEW)
    assert (
        outside_population(calibration(tmp_path, limits), population_of(views.provenance)) == codes
    )


def test_a_scan_that_says_nothing_of_age_and_scanner_is_not_held_against_them(
    tmp_path: Path,
) -> None:
    fitted = calibration(tmp_path, {"age_years": [20, 69], "manufacturer": ["GE"], "sex": ["male"]})
    for path in sorted(PHANTOM.rglob("*.dcm")):
        image = pydicom.dcmread(path)
        for keyword in ("PatientAge", "PatientSex", "Manufacturer"):
            image.pop(keyword, None)
        (tmp_path / "scan").mkdir(exist_ok=True)
        image.save_as(tmp_path / "scan" / path.name)
    views = ct.open_volume(tmp_path / "scan").to_sequence(FEW)
    assert outside_population(fitted, population_of(views.provenance)) == ()
    unlisted = population_of({"series": {"manufacturer": "OTHER"}})
    assert outside_population(fitted, unlisted) == ("calibration.outside.manufacturer",)


def test_a_report_withholds_presence_outside_the_limits_and_says_so(
    old_scan: Path, tmp_path: Path
) -> None:
    model = CTReport.from_pretrained("demo", adapter="none", dtype="float32").model
    sha256 = model.provenance["model_sha256"]
    told = {}
    for name, make in (("outside", "GE"), ("inside", "SIEMENS")):
        fitted = calibration(tmp_path, {"manufacturer": [make]}, sha256)
        told[name] = CTReport(model, calibration=fitted)(old_scan, policy=FEW, max_new_tokens=1)
    assert told["outside"].withheld == ("calibration.outside.manufacturer",)
    assert told["inside"].withheld == ()
    for name, present in (("outside", None), ("inside", True)):
        assert told[name].abnormalities["Lung nodule"].present is present
        assert ("unlike those" in told[name].to_text()) is (name == "outside")


@pytest.mark.parametrize(
    "limits", [{"age_years": [40]}, {"age_years": [70, 20]}, {"manufacturer": 3}]
)
def test_limits_that_are_neither_words_nor_a_range_are_refused(
    limits: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(PolicyError, match="not a calibration"):
        calibration(tmp_path, limits)
