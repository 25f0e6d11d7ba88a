"""Age and scanner travel as a band and a word from a fixed list, never as the header spells them."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from longllava_domains import ct
from longllava_domains.ct.population import (
    age_band,
    age_from_years,
    manufacturer_word,
    population_of,
)


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("047Y", (40, 49)), ("040Y", (40, 49)), ("049Y", (40, 49)), ("011M", (0, 9)),
        ("130M", (10, 19)), ("003W", (0, 9)), ("020D", (0, 9)), ("089Y", (80, 89)),
        ("090Y", (90, 150)), ("104Y", (90, 150)),
    ],
)  # fmt: skip
def test_an_age_is_kept_as_ten_years_and_from_ninety_on_as_one_band(
    text: str, band: tuple[int, int]
) -> None:
    first = age_from_years(text)
    assert first is not None
    assert age_band(first) == band


@pytest.mark.parametrize("text", ["", "47", "Y", "047", "999Y", "-47Y", "047Y (about)"])
def test_what_is_no_age_gives_none(text: str) -> None:
    assert age_from_years(text) is None


@pytest.mark.parametrize(
    ("text", "manufacturer"),
    [
        ("SIEMENS", "SIEMENS"), ("Siemens Healthineers", "SIEMENS"), ("GE", "GE"),
        ("GE MEDICAL SYSTEMS", "GE"), ("TOSHIBA", "CANON"), ("Canon Medical Systems", "CANON"),
        ("Hitachi Medical", "FUJIFILM"), ("UIH", "UNITED_IMAGING"), ("GERMANY DOE^JANE", "OTHER"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_maker_of_a_scanner_is_one_word_of_a_list(text: str, manufacturer: str) -> None:
    assert manufacturer_word(text) == manufacturer


def test_views_of_a_series_say_band_and_make_and_nothing_else_of_them(
    tmp_path: Path, dicom: ModuleType
) -> None:
    def edit(image, index) -> None:
        image.PatientAge = "047Y"
        image.Manufacturer = "SIEMENS of DOE^JANE"
        image.PatientSex = "F"

    dicom.write_series(tmp_path / "series", edit=edit)
    made = ct.open_volume(tmp_path / "series").to_sequence(ct.SlicePolicy()).provenance
    found = population_of(made)
    assert (found["age_years"], found["manufacturer"]) == ([40, 49], ["SIEMENS"])
    assert found["sex"] == ["female"]
    assert found["slice_spacing_mm"] == [round(made["spacing_mm"][0], 2)] * 2
    said = json.dumps(made.to_json())
    assert "047" not in said
    assert "DOE" not in said


def test_what_a_header_does_not_say_is_empty(tmp_path: Path, dicom: ModuleType) -> None:
    def edit(image, index) -> None:
        for keyword in ("PatientAge", "PatientSex", "Manufacturer", "BodyPartExamined"):
            image.pop(keyword, None)

    dicom.write_series(tmp_path / "series", edit=edit)
    made = ct.open_volume(tmp_path / "series").to_sequence(ct.SlicePolicy()).provenance
    found = population_of(made)
    assert not any(found[name] for name in ("age_years", "sex", "manufacturer", "body_part"))
    assert not any(population_of({}).values())
