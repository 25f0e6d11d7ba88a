"""The folders that other loaders get wrong: the measured table of hostile series."""

import numpy as np
import pytest

from longllava_domains import ct
from longllava_domains.errors import (
    AmbiguousInputError,
    BurnedInError,
    DamagedInputError,
    GeometryError,
)


def shear(images, degrees, spacing=2.5) -> None:
    """Tilt a stack: positions lean in the direction of rows."""
    for index, image in enumerate(images):
        x, y, z = image.ImagePositionPatient
        lean = (index - (len(images) - 1) / 2) * spacing * np.tan(np.radians(degrees))
        image.ImagePositionPatient = [x, round(float(y) + lean, 6), z]


@pytest.mark.hazard("1.1", 1)
def test_tilt_with_uneven_spacing_is_refused(dicom, refused, tmp_path) -> None:
    images = dicom.datasets()
    shear(images, 18.5)
    for index, image in enumerate(images):
        x, y, z = map(float, image.ImagePositionPatient)
        image.ImagePositionPatient = [x, y, z + 0.9 * (index % 3)]
    refused(dicom.write(images, tmp_path), GeometryError, "ct.uneven_spacing")
    refused(tmp_path, GeometryError, "ct.uneven_spacing", repair=("tilt", "gaps:9"))


@pytest.mark.hazard("1.1", 1)
def test_tilt_is_refused_and_named(dicom, refused, tmp_path) -> None:
    images = dicom.datasets()
    shear(images, 16.5)
    error = refused(dicom.write(images, tmp_path), GeometryError, "ct.tilt")
    assert error.facts["tilt_deg"] == pytest.approx(16.5, abs=0.01)
    assert "16.5" in str(error)
    assert '("tilt",)' in error.remedy


def test_tilt_is_straightened_on_request(dicom, refused, tmp_path) -> None:
    """A bright column along the body axis, seen by a tilted stack, is straight again."""
    rows, slices, spacing, pixel = 60, 10, 2.5, 0.5
    degrees = float(np.degrees(np.arctan(2 * pixel / spacing)))  # two rows a slice
    hu = np.full((slices, rows, 32), 40, np.int16)
    for k in range(slices):
        hu[k, 20 + 2 * k : 24 + 2 * k, 5:9] = 900
        hu[k, 50, 20] = -500 if k == 0 else 40
    images = dicom.datasets(hu, spacing_mm=(spacing, pixel, pixel))
    shear(images, degrees)
    refused(dicom.write(images, tmp_path), GeometryError, "ct.tilt")
    volume = ct.open_volume(tmp_path, repair=("tilt",))
    assert volume.report.codes["repair.tilt"] == 1
    marked = [set(np.flatnonzero(plane[:, 6] == 900)) for plane in volume.hu]
    assert len(set(map(frozenset, marked))) == 1
    assert len(marked[0]) == 4
    assert volume.hu.shape == (slices, rows + 2 * (slices - 1), 32)
    assert volume.hu.min() == -1024
    # The lone dark voxel of the slice at the head lies where its own header puts it.
    where = np.argwhere(volume.hu == -500)
    assert len(where) == 1
    top = max(images, key=lambda image: float(image.ImagePositionPatient[2]))
    lps = np.array(top.ImagePositionPatient, float) + np.array([20 * pixel, 50 * pixel, 0])
    ras = volume.affine_ras_mm @ [*where[0], 1]
    np.testing.assert_allclose(ras[:3] * [-1, -1, 1], lps, atol=1e-3)


@pytest.mark.hazard("1.1", 1)
def test_a_summary_series_of_pages_and_surviews_is_never_shown(dicom, refused, tmp_path) -> None:
    def page(image, index) -> None:
        image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        image.BurnedInAnnotation = "YES"
        image.ImageType = ["DERIVED", "SECONDARY", ["PATIENT_INFO", "DOSE_INFO"][index % 2]]
        del image.FrameOfReferenceUID

    refused(dicom.write_series(tmp_path, edit=page), BurnedInError, "input.pages")


@pytest.mark.hazard("1.1", 1)
def test_an_over_anonymised_series_opens(dicom, assert_whole, tmp_path) -> None:
    def empty(image, _) -> None:
        image.SOPClassUID = image.SOPInstanceUID = image.SeriesInstanceUID = ""
        image.StudyInstanceUID = ""
        image.SliceThickness = 3

    volume = ct.open_volume(
        dicom.write_series(tmp_path, edit=empty, syntax=dicom.LOSSLESS["jpeg2000"])
    )
    assert_whole(volume)


@pytest.mark.hazard("1.1", 1)
def test_duplicate_positions_with_holes_are_refused(dicom, refused, tmp_path) -> None:
    images = dicom.datasets()
    for index, z in enumerate((0.0, 0.0, 25.0, 50.0, 50.0, 165.0, 190.0, 215.0)):
        images[index].ImagePositionPatient = [0, 0, z]
    error = refused(dicom.write(images, tmp_path), GeometryError, "ct.duplicates")
    assert error.facts["repeated"] == 2
    refused(tmp_path, GeometryError, "ct.duplicates_differ", repair=("duplicates",))


@pytest.mark.hazard("1.1", 1)
def test_images_at_one_position_are_not_a_volume(dicom, refused, tmp_path) -> None:
    def same(image, _) -> None:
        image.ImagePositionPatient = [0, 0, 0]

    refused(dicom.write_series(tmp_path, edit=same), GeometryError, "ct.duplicates")


@pytest.mark.hazard("1.1", 1)
def test_two_orientations_are_two_series_and_neither_is_guessed(dicom, tmp_path) -> None:
    images = dicom.datasets() + dicom.datasets(plane="coronal")[:8]
    dicom.write(images, tmp_path)
    table = ct.list_series(tmp_path)
    assert sorted(row.plane for row in table) == ["axial", "coronal"]
    volume = ct.open_volume(tmp_path)
    assert volume.report.codes["choice.plane"] == 1
    assert volume.shape == dicom.SHAPE


@pytest.mark.hazard("1.1", 1)
def test_missing_slices_are_refused_and_filled_on_request(
    dicom, phantom, refused, tmp_path
) -> None:
    images = dicom.datasets()
    del images[3:5]
    error = refused(dicom.write(images, tmp_path), GeometryError, "ct.gap")
    assert error.facts["missing"] == 2
    assert error.facts["in_a_row"] == 2
    refused(tmp_path, GeometryError, "ct.gap", repair=("gaps:1",))
    volume = ct.open_volume(tmp_path, repair=("gaps",))
    assert volume.report.codes["repair.gaps"] == 2
    assert volume.source.synthetic == (False, False, False, True, True, False, False, False)
    kept = [k for k, made in enumerate(volume.source.synthetic) if not made]
    np.testing.assert_array_equal(volume.hu[kept], phantom[kept])
    expected = phantom[2] + (phantom[5].astype(float) - phantom[2]) / 3
    np.testing.assert_allclose(volume.hu[3], expected, atol=0.51)
    np.testing.assert_allclose(volume.affine_ras_mm, dicom.affine_ras_mm(), atol=1e-3)


@pytest.mark.hazard("1.1", 1)
def test_a_second_image_of_a_place_is_refused_and_dropped_on_request(
    dicom, refused, assert_whole, tmp_path
) -> None:
    again = dicom.datasets()[3]
    again.SOPInstanceUID += ".5"
    refused(dicom.write([*dicom.datasets(), again], tmp_path), GeometryError, "ct.duplicates")
    volume = ct.open_volume(tmp_path, repair=("duplicates",))
    assert_whole(volume)
    assert volume.report.codes["repair.duplicates"] == 1


@pytest.mark.hazard("1.1", 1)
def test_two_series_in_a_folder_are_never_merged(dicom, refused, assert_whole, tmp_path) -> None:
    other = dicom.phantom(seed=5)
    dicom.write(dicom.datasets(), tmp_path, "a")
    dicom.write(dicom.datasets(other, series="2"), tmp_path, "b")
    error = refused(tmp_path, AmbiguousInputError, "series.ambiguous")
    assert error.facts["equal"] == (1, 2)
    assert_whole(ct.open_volume(tmp_path, series=1))
    np.testing.assert_array_equal(ct.open_volume(tmp_path, series=2).hu, other)
    np.testing.assert_array_equal(ct.open_volume(tmp_path, series=f"{dicom.ROOT}.2").hu, other)


@pytest.mark.hazard("1.1", 1)
def test_two_phases_under_one_uid_are_told_apart(dicom, phantom, refused, tmp_path) -> None:
    late = dicom.datasets(dicom.phantom(seed=9))
    for image in late:
        image.AcquisitionNumber = 2
        image.SOPInstanceUID += ".2"
    dicom.write([*dicom.datasets(), *late], tmp_path)
    refused(tmp_path, AmbiguousInputError, "series.ambiguous")
    table = ct.list_series(tmp_path)
    assert [row.split_by for row in table] == [("acquisition",), ("acquisition",)]
    volumes = [ct.open_volume(tmp_path, series=row.key).hu for row in table]
    assert any(np.array_equal(hu, phantom) for hu in volumes)
    assert any(np.array_equal(hu, dicom.phantom(seed=9)) for hu in volumes)


@pytest.mark.hazard("1.1", 1)
def test_no_position_is_refused(dicom, refused, tmp_path) -> None:
    def drop(image, _) -> None:
        del image.ImagePositionPatient

    error = refused(dicom.write_series(tmp_path, edit=drop), GeometryError, "ct.no_position")
    assert error.facts["lacking"] == 8


@pytest.mark.hazard("1.1", 1)
def test_a_rescale_that_varies_by_slice_is_applied_by_slice(dicom, assert_whole, tmp_path) -> None:
    images = []
    for index, intercept in enumerate((-1024, -1000, -2000, -1024, -512, -1100, -1024, -900)):
        image = dicom.datasets(intercept=-3000, bits=16)[index]
        stored = np.frombuffer(image.PixelData, "<u2").astype(int) - 3000 - intercept
        image.PixelRepresentation = 1
        image.PixelData = stored.astype("<i2").tobytes()
        image.RescaleIntercept = intercept
        images.append(image)
    volume = ct.open_volume(dicom.write(images, tmp_path))
    assert_whole(volume)
    assert volume.report.codes["hu.rescale_varies"] == 6


@pytest.mark.hazard("1.1", 1)
@pytest.mark.parametrize(
    "name", ["explicit", "jpeg_lossless", "jpeg_ls", "jpeg2000", "rle", "deflated"]
)
def test_a_truncated_file_is_refused_not_dropped(name, dicom, tmp_path) -> None:
    folder = dicom.write_series(tmp_path, syntax=dicom.LOSSLESS[name])
    victim = sorted(folder.iterdir())[2]
    data = victim.read_bytes()
    # Closer to the end than a fragment's padding and delimiter would prove nothing.
    victim.write_bytes(data[: len(data) - 300])
    with pytest.raises((DamagedInputError, GeometryError)):
        _ = ct.open_volume(folder).hu
    victim.write_bytes(data[:900])
    with pytest.raises((DamagedInputError, GeometryError)):
        _ = ct.open_volume(folder).hu


@pytest.mark.hazard("1.1", 1)
def test_shuffled_instance_numbers_do_not_matter(dicom, assert_whole, tmp_path) -> None:
    def shuffle(image, index) -> None:
        image.InstanceNumber = (5 * index) % 8 + 1

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=shuffle)))


@pytest.mark.hazard("1.1", 1)
@pytest.mark.parametrize("victim", [3, 0])
def test_a_slice_of_another_size_is_never_stacked(
    victim, dicom, phantom, refused, tmp_path
) -> None:
    def crop(image, index) -> None:
        if index == victim:
            image.Rows = 38
            image.PixelData = image.PixelData[: 38 * 48 * 2]

    folder = dicom.write_series(tmp_path, edit=crop)
    error = refused(folder, GeometryError, "ct.mixed_size")
    assert error.facts["other_size"] == 1
    largest = max(ct.list_series(folder), key=lambda row: row.images).number
    if victim:
        refused(folder, GeometryError, "ct.gap", series=largest)
    else:
        volume = ct.open_volume(folder, series=largest)
        np.testing.assert_array_equal(volume.hu, phantom[:-1])
        assert volume.report.codes["file.other_series"] == 1


@pytest.mark.hazard("1.1", 1)
def test_a_zero_byte_file_is_set_aside_and_counted(dicom, assert_whole, tmp_path) -> None:
    folder = dicom.write_series(tmp_path)
    (folder / "empty.dcm").touch()
    volume = ct.open_volume(folder)
    assert_whole(volume)
    assert volume.report.codes["file.empty"] == 1
