"""Hazards of order and geometry: what may be believed, and what is refused with numbers."""

import numpy as np
import pytest

from longllava_domains import ct
from longllava_domains.errors import GeometryError, PolicyError, UnsupportedInputError


@pytest.mark.hazard("C", 4)
@pytest.mark.parametrize("numbers", ["absent", "equal", "reversed", "words"])
def test_order_comes_from_positions_alone(numbers, dicom, assert_whole, tmp_path) -> None:
    def spoil(image, index) -> None:
        value = {"absent": None, "equal": 1, "reversed": 99 - index, "words": 1}[numbers]
        image.InstanceNumber = value
        if numbers == "words":
            image.add_new(0x00200013, "LO", "seven")
        image.SliceLocation = str((3 * index) % 8)

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=spoil)))


@pytest.mark.hazard("C", 3)
@pytest.mark.parametrize("claim", [0, -2.5, 5.0])
def test_thickness_and_header_spacing_are_not_spacing(claim, dicom, assert_whole, tmp_path) -> None:
    def lie(image, _) -> None:
        image.SliceThickness = 3
        image.SpacingBetweenSlices = claim

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=lie))
    assert_whole(volume)
    assert volume.report.codes.get("geometry.header_spacing_differs", 0) == (0 if claim < 0 else 8)


@pytest.mark.hazard("C", 2)
def test_small_rounding_of_positions_is_fine_and_more_is_not(
    dicom, phantom, refused, tmp_path
) -> None:
    def rounded(image, index) -> None:
        x, y, z = map(float, image.ImagePositionPatient)
        image.ImagePositionPatient = [x, y, round(z, 1)]

    volume = ct.open_volume(dicom.write_series(tmp_path / "a", edit=rounded))
    np.testing.assert_array_equal(volume.hu, phantom)
    np.testing.assert_allclose(volume.affine_ras_mm, dicom.affine_ras_mm(), atol=0.051)

    def uneven(image, index) -> None:
        x, y, z = map(float, image.ImagePositionPatient)
        image.ImagePositionPatient = [x, y, z + (0.4 if index == 3 else 0)]

    error = refused(
        dicom.write_series(tmp_path / "b", edit=uneven), GeometryError, "ct.uneven_spacing"
    )
    assert error.facts["largest_mm"] == pytest.approx(2.9)


@pytest.mark.hazard("C", 1)
def test_the_tilt_tag_is_not_believed(dicom, assert_whole, tmp_path) -> None:
    def claim(image, _) -> None:
        image.GantryDetectorTilt = "18.5"

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=claim)))


@pytest.mark.hazard("C", 3)
@pytest.mark.parametrize("position", ["FFS", "HFP", "HFDR"])
def test_patient_position_is_already_in_the_axes(position, dicom, phantom, tmp_path) -> None:
    """The stored axes turn with the patient: prone, rows run to the front."""
    turns = {"FFS": np.diag([1.0, 1, 1]), "HFP": np.diag([-1.0, -1, 1]),
             "HFDR": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])}  # fmt: skip
    turn = turns[position]
    images = dicom.datasets(turn=turn)
    for image in images:
        image.PatientPosition = position
    volume = ct.open_volume(dicom.write(images, tmp_path))
    stored = dicom.affine_ras_mm(turn=turn)
    # The same places hold the same values, whatever order they were stored in.
    for index in [(0, 0, 0), (7, 3, 40), (2, 39, 11)]:
        ras = stored @ [*index, 1]
        found = np.rint(np.linalg.inv(volume.affine_ras_mm) @ ras).astype(int)[:3]
        assert volume.hu[tuple(found)] == phantom[index]
    # Head to foot, front to back, right to left.
    assert (np.diag(volume.affine_ras_mm[2::-1, :3]) < 0).all()


@pytest.mark.hazard("C", 5)
@pytest.mark.parametrize(
    ("keyword", "value", "kind", "code"),
    [
        ("PixelSpacing", None, GeometryError, "ct.no_pixel_spacing"),
        ("PixelSpacing", [0.7], GeometryError, "ct.no_pixel_spacing"),
        ("PixelSpacing", [0, 0.7], GeometryError, "ct.pixel_spacing"),
        ("ImageOrientationPatient", [1, 0, 0, 0.5, 1, 0], GeometryError, "ct.orientation"),
        ("ImageOrientationPatient", [2, 0, 0, 0, 1, 0], GeometryError, "ct.orientation"),
    ],
)
def test_impossible_planes_are_refused(
    keyword, value, kind, code, dicom, refused, tmp_path
) -> None:
    def spoil(image, _) -> None:
        image.ImagerPixelSpacing = [0.5, 0.5]
        setattr(image, keyword, value)

    refused(dicom.write_series(tmp_path, edit=spoil), kind, code)


@pytest.mark.hazard("C", 1)
def test_row_spacing_comes_before_column_spacing(dicom, tmp_path) -> None:
    volume = ct.open_volume(dicom.write_series(tmp_path))
    assert volume.spacing_mm == pytest.approx((2.5, 0.8, 0.7))


@pytest.mark.hazard("C", 1)
def test_mixed_pixel_spacing_is_refused(dicom, refused, tmp_path) -> None:
    def zoom(image, index) -> None:
        if index == 2:
            image.PixelSpacing = [0.4, 0.35]

    refused(dicom.write_series(tmp_path, edit=zoom), GeometryError, "ct.mixed_spacing")


@pytest.mark.hazard("C", 1)
def test_slices_shifted_sideways_are_refused(dicom, refused, tmp_path) -> None:
    def shift(image, index) -> None:
        if index == 4:
            x, y, z = map(float, image.ImagePositionPatient)
            image.ImagePositionPatient = [x + 3, y, z]

    refused(dicom.write_series(tmp_path, edit=shift), GeometryError, "ct.sideways")


@pytest.mark.hazard("C", 1)
def test_animals_are_refused(dicom, refused, tmp_path) -> None:
    def animal(image, _) -> None:
        image.AnatomicalOrientationType = "QUADRUPED"

    refused(dicom.write_series(tmp_path, edit=animal), UnsupportedInputError, "ct.quadruped")


@pytest.mark.hazard("C", 2)
def test_one_slice_is_no_volume_unless_asked(dicom, phantom, refused, tmp_path) -> None:
    path = dicom.save(dicom.datasets()[3], tmp_path / "one.dcm")
    refused(path, GeometryError, "ct.single_slice")
    volume = ct.open_volume(path, repair=("single",))
    np.testing.assert_array_equal(volume.hu[0], phantom[4])
    assert volume.spacing_mm[0] == 3
    with pytest.raises(PolicyError):
        ct.open_volume(path, repair=("wish",))
