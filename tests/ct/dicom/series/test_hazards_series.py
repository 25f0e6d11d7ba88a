"""Hazards of grouping: scouts, phases, reconstructions, pages and patients under one UID."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from longllava_domains import ct
from longllava_domains.errors import AmbiguousInputError, GeometryError, UnsupportedInputError


@pytest.mark.hazard("B", 4)
@pytest.mark.parametrize("word", ["LOCALIZER", "REF_SURVIEW", "SCOUT", "TOPOGRAM"])
def test_a_scout_under_the_same_uid_is_left_out(
    word, dicom, refused, assert_whole, tmp_path
) -> None:
    scout = dicom.datasets(plane="coronal")[:2]
    for image in scout:
        image.ImageType = ["ORIGINAL", "PRIMARY", word]
    volume = ct.open_volume(dicom.write([*dicom.datasets(), *scout], tmp_path))
    assert_whole(volume)
    assert volume.report.codes["file.other_series"] == 2
    scouts = tmp_path / "only"
    refused(dicom.write(scout, scouts), UnsupportedInputError, "series.no_volume")


@pytest.mark.hazard("B", 3)
@pytest.mark.parametrize(
    ("keyword", "value"),
    [("TemporalPositionIdentifier", 2), ("TriggerTime", "450"), ("KVP", 80)],
)
def test_phases_gates_and_energies_are_told_apart(
    keyword, value, dicom, phantom, refused, tmp_path
) -> None:
    other = dicom.datasets(dicom.phantom(seed=4))
    for image in other:
        setattr(image, keyword, value)
    dicom.write([*dicom.datasets(), *other], tmp_path)
    refused(tmp_path, AmbiguousInputError, "series.ambiguous")
    volumes = [ct.open_volume(tmp_path, series=number).hu for number in (1, 2)]
    assert sum(np.array_equal(hu, phantom) for hu in volumes) == 1
    assert sum(np.array_equal(hu, dicom.phantom(seed=4)) for hu in volumes) == 1


@pytest.mark.hazard("B", 4)
@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("TemporalPositionIdentifier", (1, 2)),
        ("NominalPercentageOfCardiacPhase", (40, 70)),
        ("AcquisitionNumber", (1, 2)),
        ("KVP", (80, 140)),
    ],
)
def test_scans_that_lie_between_each_other_are_not_one_volume(
    keyword, values, dicom, phantom, refused, tmp_path
) -> None:
    images = dicom.datasets()
    for index, image in enumerate(images):
        setattr(image, keyword, values[index % 2])
    dicom.write(images, tmp_path)
    refused(tmp_path, AmbiguousInputError, "series.ambiguous")
    odd, even = (ct.open_volume(tmp_path, series=number) for number in (1, 2))
    assert {odd.spacing_mm[0], even.spacing_mm[0]} == {5.0}
    assert sorted([odd.hu[0, 5, 5], even.hu[0, 5, 5]]) == sorted(phantom[:2, 5, 5])


@pytest.mark.hazard("B", 1)
def test_frames_of_two_energies_in_turns_are_not_one_volume(dicom, refused, tmp_path) -> None:
    whole = dicom.enhanced(dicom.datasets())
    for index, group in enumerate(whole.PerFrameFunctionalGroupsSequence):
        details = Dataset()
        details.KVP = 80 + 60 * (index % 2)
        group.CTXRayDetailsSequence = Sequence([details])
    path = dicom.save(whole, tmp_path / "e.dcm")
    refused(path, AmbiguousInputError, "series.ambiguous")
    assert ct.open_volume(path, series=1).shape[0] == 4


@pytest.mark.hazard("B", 2)
@pytest.mark.parametrize("times", [(0, 0, 500, 500, 900, 900, 1400, 1400), range(100, 108)])
def test_trigger_times_of_table_steps_and_of_every_slice_stay_one_volume(
    times, dicom, assert_whole, tmp_path
) -> None:
    def trigger(image, index) -> None:
        image.TriggerTime = str(times[index])

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=trigger)))


@pytest.mark.hazard("B", 1)
def test_one_slice_of_another_energy_is_reported(dicom, tmp_path) -> None:
    def energy(image, index) -> None:
        image.KVP = 80 if index == 3 else 120

    codes = ct.open_volume(dicom.write_series(tmp_path, edit=energy)).report.codes
    assert codes["acquisition.energy_varies"] == 2


@pytest.mark.hazard("B", 3)
@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda image: setattr(image, "ImageType", ["DERIVED", "SECONDARY", "MPR"]), "kind"),
        (lambda image: setattr(image, "ImageType", ["DERIVED", "PRIMARY", "AXIAL"]), "original"),
        (lambda image: setattr(image, "ConvolutionKernel", "B70f"), "kernel"),
    ],
)
def test_other_reconstructions_under_one_uid_are_other_series(
    edit, code, dicom, assert_whole, tmp_path
) -> None:
    other = dicom.datasets(dicom.phantom(seed=4))
    for image in other:
        edit(image)
    dicom.write([*other, *dicom.datasets()], tmp_path)
    volume = ct.open_volume(tmp_path)
    assert_whole(volume)
    assert volume.report.codes[f"choice.{code}"] == 1
    if code == "kernel":
        sharp = ct.open_volume(tmp_path, series="sharp")
        np.testing.assert_array_equal(sharp.hu, dicom.phantom(seed=4))


@pytest.mark.hazard("B", 1)
def test_table_steps_numbered_as_acquisitions_stay_one_volume(
    dicom, assert_whole, tmp_path
) -> None:
    def step(image, index) -> None:
        image.AcquisitionNumber = index // 2 + 1

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=step)))


@pytest.mark.hazard("B", 1)
def test_thinner_and_longer_series_win(dicom, tmp_path) -> None:
    thin = dicom.phantom((24, 40, 48))
    dicom.write(dicom.datasets(thin, spacing_mm=(1.25, 0.8, 0.7), series="2"), tmp_path, "b")
    dicom.write(dicom.datasets(), tmp_path, "a")
    volume = ct.open_volume(tmp_path)
    np.testing.assert_array_equal(volume.hu, thin)
    assert volume.report.codes["choice.thin"] == 1
    chosen = [row for row in ct.list_series(tmp_path) if row.chosen]
    assert [row.reason for row in chosen] == ["thinnest"]


@pytest.mark.hazard("B", 2)
@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_patients_mixed_under_one_uid_are_refused(keyword, dicom, refused, tmp_path) -> None:
    def mix(image, index) -> None:
        if index == 4:
            setattr(image, keyword, "1.2.3.4")

    folder = dicom.write_series(tmp_path, edit=mix)
    refused(folder, AmbiguousInputError, "series.mixed_patients")
    refused(folder, AmbiguousInputError, "series.mixed_patients", series=1)


@pytest.mark.hazard("B", 1)
def test_empty_uids_of_two_geometries_are_two_series(dicom, tmp_path) -> None:
    images = dicom.datasets() + dicom.datasets(dicom.phantom((6, 32, 48)), series="2")
    for image in images:
        image.SeriesInstanceUID = image.SOPInstanceUID = image.StudyInstanceUID = ""
        image.SeriesNumber = None
    dicom.write(images, tmp_path)
    sizes = sorted((row.images, row.rows) for row in ct.list_series(tmp_path))
    assert sizes == [(6, 32), (8, 40)]


@pytest.mark.hazard("B", 6)
@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.840.10008.5.1.4.1.1.88.67",  # X-ray radiation dose SR
        "1.2.840.10008.5.1.4.1.1.88.59",  # key object selection
        "1.2.840.10008.5.1.4.1.1.11.1",  # presentation state
        "1.2.840.10008.5.1.4.1.1.66.4",  # segmentation
        "1.2.840.10008.5.1.4.1.1.481.3",  # RT structure set
        "1.2.840.10008.5.1.4.1.1.104.1",  # encapsulated PDF
    ],
)
def test_objects_that_are_no_images_are_set_aside(sop_class, dicom, assert_whole, tmp_path) -> None:
    other = dicom.datasets()[0]
    other.SOPClassUID, other.Modality = sop_class, "SR"
    del other.PixelData
    dicom.save(other, tmp_path / "other.dcm")
    volume = ct.open_volume(dicom.write_series(tmp_path))
    assert_whole(volume)
    assert volume.report.codes["file.no_image"] == 1


@pytest.mark.hazard("B", 4)
@pytest.mark.parametrize(
    ("edit", "code"),
    [
        ({"BurnedInAnnotation": "YES"}, "page.burned_in"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "page.secondary_capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "DOSE_INFO"]}, "page.screen"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "Modality": "MR"}, "file.other_modality"),
    ],
)
def test_pages_and_other_modalities_are_never_shown(
    edit, code, dicom, assert_whole, tmp_path
) -> None:
    page = dicom.datasets(dicom.phantom(seed=8))[0]
    for keyword, value in edit.items():
        setattr(page, keyword, value)
    dicom.save(page, tmp_path / "page.dcm")
    volume = ct.open_volume(dicom.write_series(tmp_path))
    assert_whole(volume)
    assert volume.report.codes[code] == 1


@pytest.mark.hazard("B", 1)
def test_table_steps_that_meet_at_one_position_are_not_taken_for_phases(
    dicom, refused, tmp_path
) -> None:
    """One half of the scan must never stand for the whole; as acquired, all of it is there."""
    images = dicom.datasets()
    seam = dicom.datasets(dicom.phantom(seed=3))[4]
    for index, image in enumerate(images):
        image.AcquisitionNumber = 1 if index <= 4 else 2
    seam.AcquisitionNumber, seam.SOPInstanceUID = 2, f"{dicom.ROOT}.1.77"
    folder = dicom.write([*images, seam], tmp_path)
    error = refused(folder, GeometryError, "ct.part_of_series")
    assert error.facts["ranges_mm"] == pytest.approx((82.75, 92.75, 92.75, 100.25))
    shown = ct.open_volume(folder).to_sequence(ct.SlicePolicy(at="acquired"))
    assert [view.place.z_mm for view in shown].count(92.75) == 2
    assert len(shown) == 9


@pytest.mark.hazard("B", 1)
def test_a_thin_part_of_the_range_does_not_win_over_the_whole(dicom, phantom, tmp_path) -> None:
    part = dicom.datasets(phantom[:6], spacing_mm=(1.0, 0.8, 0.7), series="2")
    dicom.write(part, tmp_path, "b")
    volume = ct.open_volume(dicom.write(dicom.datasets(), tmp_path, "a"))
    np.testing.assert_array_equal(volume.hu, phantom)
    assert volume.report.codes["choice.coverage"] == 1


@pytest.mark.hazard("B", 2)
@pytest.mark.parametrize("what", ["patients", "studies"])
def test_series_of_several_patients_or_studies_are_never_chosen_from(
    what, dicom, refused, tmp_path
) -> None:
    other = dicom.datasets(dicom.phantom((9, 40, 48)), series="2")
    for image in other:
        image.StudyInstanceUID += ".5"
        if what == "patients":
            image.PatientID = "P2"
    dicom.write([*dicom.datasets(), *other], tmp_path)
    error = refused(tmp_path, AmbiguousInputError, f"series.several_{what}")
    assert error.facts[what] == 2
    assert not any(row.chosen for row in ct.list_series(tmp_path))
    assert ct.open_volume(tmp_path, series=f"{dicom.ROOT}.2").shape[0] == 9
