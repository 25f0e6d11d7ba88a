"""Families: the wrong series for the job; phases that only one mark tells apart; false messages."""

from typing import Any

import pytest
import series_builder as build

from longllava_domains import ct
from longllava_domains.errors import AmbiguousInputError, PolicyError, UnsupportedInputError


def region(dicom, name: str, slices: int, number: str, top_mm: float, **values: object) -> list:
    """Return a series of one region of the body; `top_mm` moves it along the table."""
    images = build.renumber(dicom.datasets(dicom.phantom((slices, 12, 12))), number)
    for image in images:
        x, y, z = map(float, image.ImagePositionPatient)
        image.ImagePositionPatient = [x, y, z + top_mm]
        image.BodyPartExamined = name
    return build.change(images, range(slices), **values)


@pytest.fixture
def chest_and_abdomen(dicom, tmp_path) -> Any:
    chest = region(dicom, "CHEST", 52, "3", 0)
    abdomen = region(dicom, "ABDOMEN", 70, "4", -150)
    return dicom.write([*chest, *abdomen], tmp_path)


def test_the_region_that_is_asked_for_wins_over_more_slices(chest_and_abdomen, refused) -> None:
    """Family: CHEST of 52 slices beside ABDOMEN of 70."""
    chest = ct.open_volume(chest_and_abdomen, purpose="chest")
    assert (chest.shape[0], chest.facts["body_part"]) == (52, "CHEST")
    assert chest.report.codes["choice.body_part"] == 1
    assert chest.report.codes["choice.other_range"] == 1
    assert ct.open_volume(chest_and_abdomen, purpose="abdomen").shape[0] == 70
    error = refused(chest_and_abdomen, AmbiguousInputError, "series.ambiguous")
    assert "other places of the body" in str(error)
    assert not any(row.chosen for row in ct.list_series(chest_and_abdomen))
    marked = ct.list_series(chest_and_abdomen, purpose="chest")
    assert [row.body_part for row in marked if row.chosen] == ["CHEST"]


def test_a_region_that_no_header_names_is_not_guessed(dicom, refused, tmp_path) -> None:
    """Family (neighbour): both say CHEST by habit, and lie behind each other."""
    series = [*region(dicom, "CHEST", 30, "3", 0), *region(dicom, "CHEST", 40, "4", -120)]
    refused(dicom.write(series, tmp_path), AmbiguousInputError, "series.ambiguous", purpose="chest")


@pytest.mark.parametrize("more", [0, 1, 5])
def test_native_and_contrast_are_not_decided_by_a_slice(dicom, refused, tmp_path, more) -> None:
    """Family: two phases in series of their own; a slice more is no reason."""
    native = region(dicom, "CHEST", 60, "3", 0)
    contrast = region(dicom, "CHEST", 60 + more, "4", 0, ContrastBolusAgent="Ultravist 300")
    folder = dicom.write([*native, *contrast], tmp_path)
    for purpose in (None, "chest"):
        refused(folder, AmbiguousInputError, "series.ambiguous", purpose=purpose)
    volume = ct.open_volume(folder, purpose="chest contrast")
    assert volume.facts["phase"] == "contrast"
    assert volume.shape[0] == 60 + more
    assert "Ultravist" not in str(ct.list_series(folder)) + str(volume.report.to_json())


def test_purposes_are_known_words(dicom, tmp_path) -> None:
    folder = dicom.write_series(tmp_path)
    for wrong in ("thorax of Smith", "native contrast"):
        with pytest.raises(PolicyError) as refused:
            ct.open_volume(folder, purpose=wrong)
        assert "Smith" not in str(refused.value)
    assert ct.open_volume(folder, purpose="chest, contrast").shape[0] == 8


def test_a_soft_series_in_the_lung_window_says_that_a_sharp_one_is_there(dicom, tmp_path) -> None:
    """Family: 5 mm soft before 1 mm lung, for the lung window too."""
    soft = build.sequential([5.0] * 9, hu=dicom.phantom((10, 12, 12)))
    lung = build.renumber(build.sequential([1.0] * 45, hu=dicom.phantom((46, 12, 12))), "2")
    folder = dicom.write(
        [*soft, *build.change(lung, range(46), ConvolutionKernel="B70f")], tmp_path
    )
    volume = ct.open_volume(folder)
    assert volume.report.codes["choice.sharp_available"] == 1
    assert volume.report.numbers["sharp_spacing_mm"] == 1.0
    shown = volume.to_sequence(ct.SlicePolicy(windows=("lung", "mediastinum")))
    assert any("sharp" in notice for notice in shown.provenance["notices"])
    assert "notices" not in volume.to_sequence(ct.SlicePolicy(windows="mediastinum")).provenance
    sharp = ct.open_volume(folder, series="sharp").to_sequence(ct.SlicePolicy(windows="lung"))
    assert "notices" not in sharp.provenance


def _by(keyword: str, values: tuple) -> object:
    return lambda image, phase, index: setattr(image, keyword, values[phase])


def _jittering_triggers(image, phase, index) -> None:
    image.TriggerTime = f"{phase * 300 + index * 3 + 0.5}"


def _rising_times(image, phase, index) -> None:
    image.AcquisitionTime = f"1015{phase * 20 + index:02d}.25"


@pytest.mark.parametrize(
    "mark",
    [
        _by("TriggerTime", (0, 400, 800)),
        _by("AcquisitionTime", ("101500", "101512.5", "101525")),
        _by("AcquisitionDateTime", ("20200101101500", "20200101101512", "20200101101525")),
        _by("TemporalPositionIndex", (1, 2, 32)),
        _by("NominalPercentageOfCardiacPhase", (0, 40, 75)),
        _jittering_triggers,
        _rising_times,
    ],
)
def test_each_mark_of_a_phase_is_tried(dicom, refused, tmp_path, mark) -> None:
    """Family: 4-D by one mark alone, in single frames; the phases are listed."""
    images = []
    for phase in range(3):
        for index, image in enumerate(dicom.datasets(dicom.phantom(seed=phase))):
            image.SOPInstanceUID += f".{phase}"
            mark(image, phase, index)
            images.append(image)
    folder = dicom.write(images, tmp_path)
    refused(folder, AmbiguousInputError, "series.ambiguous")
    rows = ct.list_series(folder)
    assert [row.images for row in rows] == [8, 8, 8]
    assert sorted(row.phase for row in rows) == ["1 of 3", "2 of 3", "3 of 3"]
    assert "2 of 3" in str(rows)
    found = {ct.open_volume(folder, series=row.key).hu.tobytes() for row in rows}
    assert found == {dicom.phantom(seed=seed).tobytes() for seed in range(3)}


def test_several_enhanced_files_are_several_phases(dicom, refused, tmp_path) -> None:
    """Family: 4-D as one multi-frame file a phase, under one UID and without another mark."""
    for phase in range(2):
        whole = dicom.enhanced(dicom.datasets(dicom.phantom(seed=phase)))
        whole.SOPInstanceUID += f".{phase}"
        dicom.save(whole, tmp_path / f"{phase}.dcm")
    refused(tmp_path, AmbiguousInputError, "series.ambiguous")
    assert [row.split_by for row in ct.list_series(tmp_path)] == [("file",), ("file",)]


def test_a_uid_for_each_slice_is_named_as_that(dicom, refused, tmp_path) -> None:
    """Family: messages that are false; there are no localizers here."""
    images = dicom.datasets()
    for index, image in enumerate(images):
        image.SeriesInstanceUID = f"{dicom.ROOT}.1.{index}"
    error = refused(dicom.write(images, tmp_path), UnsupportedInputError, "series.no_volume")
    assert "series UID of its own" in str(error)
    assert "localizer" not in str(error)


def test_material_maps_are_not_chosen(dicom, refused, assert_whole, tmp_path) -> None:
    """Family: an iodine map beside its CT, and alone."""
    kind = ["DERIVED", "PRIMARY", "AXIAL", "IODINE"]
    iodine = build.change(
        dicom.datasets(dicom.phantom(seed=2), series="2"), range(8), ImageType=kind
    )
    refused(dicom.write(iodine, tmp_path / "a"), UnsupportedInputError, "series.no_volume")
    assert_whole(ct.open_volume(dicom.write([*iodine, *dicom.datasets()], tmp_path / "b")))


def test_the_table_and_the_report_name_the_series(dicom, tmp_path) -> None:
    """Family: what is not said; a row is not the DICOM Series Number."""
    images = build.renumber(dicom.datasets(), "7")
    folder = dicom.write(build.change(images, range(8), ContrastBolusAgent="x"), tmp_path)
    (row,) = ct.list_series(folder)
    assert (row.number, row.series_number, row.z_range_mm) == (1, 7, (82.75, 100.25))
    assert (row.body_part, row.phase) == ("CHEST", "contrast")
    assert "SeriesNumber" in str(ct.list_series(folder))
    volume = ct.open_volume(folder)
    told = volume.to_sequence().provenance["series"]
    assert told["series_number"] == 7
    assert told["row"] == 1
    assert told["z_range_mm"] == [82.75, 100.25]
    assert told["chosen_by"] == ["choice.only"]
