"""Family: a part of a series read as the whole. Every image under the UID is accounted for."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import series_builder as build

from longllava_domains import ct
from longllava_domains.errors import GeometryError, LongLlavaError

ACQUIRED = ct.SlicePolicy(at="acquired")


def z_of(volume: ct.CTVolume) -> list[float]:
    return [view.place.z_mm for view in volume.to_sequence(ACQUIRED)]


@pytest.mark.parametrize("tilt_deg", [0.0, 18.5])
@pytest.mark.parametrize("join_mm", [1.08, 5.5, 7.0])
def test_a_head_of_two_collimations_is_whole(dicom, refused, tmp_path, tilt_deg, join_mm) -> None:
    """Family: image type changes at a table position (a head with AXIAL\\ADD below, AXIAL above)."""
    folder = dicom.write(build.split_head(tilt_deg=tilt_deg, join_mm=join_mm), tmp_path)
    volume = ct.open_volume(folder)
    assert volume.shape[0] == 28
    assert volume.report.codes["series.joined"] == 1
    assert not volume.has_grid
    assert len(set(z_of(volume))) == 28
    for repair in ((), ("tilt",), ("tilt", "gaps:9")):
        error = refused(folder, GeometryError, "ct.uneven_spacing", repair=repair)
        assert error.facts["spacings_mm"] == (4.0, 7.0)
        assert "missing" not in str(error)


@pytest.mark.parametrize(
    ("which", "values"),
    [
        (range(3), {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}),
        (range(5, 8), {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}),
        ([0], {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "FIRST"]}),
        ([7], {"ConvolutionKernel": "B31s"}),
        ([3], {"ImageType": ["DERIVED", "SECONDARY"]}),
        (range(0, 8, 2), {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}),
        ([1, 4, 6], {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "X"]}),
        (range(4), {"ConvolutionKernel": "B70f"}),
        ([3, 4], {"ConvolutionKernel": "B70f"}),
    ],
)
def test_parts_that_complete_a_range_are_joined(
    dicom, assert_whole, tmp_path, which, values
) -> None:
    """Family: images that differ in type or kernel, at an end, in the middle, scattered, in turns."""
    volume = ct.open_volume(dicom.write(build.change(dicom.datasets(), which, **values), tmp_path))
    assert_whole(volume)
    assert volume.report.codes["series.joined"] >= 1
    kernel = "mixed" if values.get("ConvolutionKernel") == "B70f" else "soft"
    assert volume.facts["kernel"] == kernel


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"FrameOfReferenceUID": "1.2.3"}, "ct.part_of_series"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.99619470, -0.08715574]}, "ct.part_of_series"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "ct.part_of_series"),
    ],
)
def test_parts_that_cannot_be_joined_are_refused_with_both_ranges(
    dicom, refused, tmp_path, values, code
) -> None:
    """Family: the rest of a range in another frame, at another angle, or as a reformat."""
    folder = dicom.write(build.change(dicom.datasets(), range(5, 8), **values), tmp_path)
    error = refused(folder, GeometryError, code)
    assert len(error.facts["ranges_mm"]) == 4
    assert error.facts["slices"] + error.facts["beside"] == 8
    table = ct.list_series(folder)
    assert all("a part of its series" in row.reason for row in table)
    part = next(row for row in table if row.images == 5)
    volume = ct.open_volume(folder, series=part.key)
    assert volume.shape[0] == 5
    assert volume.report.codes["series.part"] == 3
    notices = volume.to_sequence().provenance["notices"]
    assert any("part of a series" in notice for notice in notices)


def test_kernels_in_turns_are_no_reconstructions(dicom, refused, tmp_path) -> None:
    """Family: half of the slices in another kernel, at no position twice: half would be lost."""
    images = build.change(dicom.datasets(), range(0, 8, 2), ConvolutionKernel="B70f")
    refused(dicom.write(images, tmp_path), GeometryError, "ct.part_of_series")


def test_acquisitions_that_share_a_table_position_lose_nothing(dicom, refused, tmp_path) -> None:
    """Family: 35 and 78 slices over 112 positions; the second never stands for the whole."""
    images = build.sequential([2.5] * 111, hu=dicom.phantom((112, 12, 12)))
    lower = build.change(images[:35], range(35), AcquisitionNumber=1)
    again = build.sequential([2.5] * 111, hu=dicom.phantom((112, 12, 12), seed=5))[34:]
    upper = build.change(again, range(78), AcquisitionNumber=2)
    for image in upper:
        image.SOPInstanceUID += ".2"
    folder = dicom.write([*lower, *upper], tmp_path)
    error = refused(folder, GeometryError, "ct.part_of_series")
    assert error.facts["repeated"] == 1
    volume = ct.open_volume(folder)
    assert volume.shape[0] == 113
    assert len(set(z_of(volume))) == 112


def test_true_reconstructions_of_one_range_stay_apart(dicom, assert_whole, tmp_path) -> None:
    """Family (the other side): the same positions, or one range at another increment."""
    sharp = build.change(dicom.datasets(dicom.phantom(seed=4)), range(8), ConvolutionKernel="B70f")
    fine = build.sequential([1.1] * 15, hu=dicom.phantom((16, 40, 48)))
    for index, image in enumerate(fine):
        image.ConvolutionKernel = "B80f"
        image.ImagePositionPatient = [-21.0, -30.5, 83.1 + 1.1 * index]
    folder = dicom.write([*dicom.datasets(), *sharp, *fine], tmp_path)
    assert sorted(row.images for row in ct.list_series(folder)) == [8, 8, 16]
    volume = ct.open_volume(folder)
    assert_whole(volume)
    assert "series.joined" not in volume.report.codes
    assert "series.part" not in volume.report.codes


def test_two_kernels_of_a_split_head_are_two_whole_series(dicom, tmp_path) -> None:
    """Family: both faults at once; each kernel is joined with its own other half."""
    sharp = build.change(build.split_head(), range(28), ConvolutionKernel="B70f")
    folder = dicom.write([*build.split_head(), *sharp], tmp_path)
    assert [row.images for row in ct.list_series(folder)] == [28, 28]
    assert ct.open_volume(folder).facts["kernel"] == "soft"
    assert ct.open_volume(folder, series="sharp").facts["kernel"] == "sharp"


def test_a_kernel_that_covers_only_a_part_is_not_the_whole(dicom, refused, tmp_path) -> None:
    """Family: under one UID, sharp slices of the lower half beside soft ones of all."""
    sharp = build.change(dicom.datasets(), range(8), ConvolutionKernel="B70f")[:4]
    folder = dicom.write([*dicom.datasets(), *sharp], tmp_path)
    assert ct.open_volume(folder).shape[0] == 8
    refused(folder, GeometryError, "ct.part_of_series", series="sharp")


@pytest.mark.parametrize("lost", ["both", "position"])
def test_slices_without_a_place_are_not_dropped(dicom, tmp_path, lost) -> None:
    """Family: images whose place is gone are part of the series too."""

    images = dicom.datasets()
    for image in images[5:]:
        del image.ImagePositionPatient
        if lost == "both":
            del image.ImageOrientationPatient
    with pytest.raises(GeometryError) as refused:
        ct.open_volume(dicom.write(images, tmp_path))
    assert refused.value.code in ("ct.part_of_series", "ct.no_position")


def test_emptied_uids_do_not_hide_the_other_half(dicom, tmp_path) -> None:
    """Family: the same split head after a de-identification that emptied its UIDs."""
    images = build.split_head()
    for image in images:
        image.SeriesInstanceUID = image.SOPInstanceUID = image.StudyInstanceUID = ""
    assert ct.open_volume(dicom.write(images, tmp_path)).shape[0] == 28


def _numbers_from_31(images: list) -> None:
    for index, image in enumerate(images):
        image.InstanceNumber = 31 + index


def _claims_more(images: list) -> None:
    for image in images:
        image.ImagesInAcquisition = 60


@pytest.mark.parametrize(
    ("edit", "code", "count"),
    [
        (_numbers_from_31, "series.numbers_start_late", 30),
        (_claims_more, "series.fewer_images_than_declared", 52),
    ],
)
def test_signs_of_a_missing_rest_are_reported(
    dicom: ModuleType, tmp_path: Path, edit: Callable[[list], None], code: str, count: int
) -> None:
    """Family: headers that say more images exist; positions alone cannot show it."""
    images = dicom.datasets()
    edit(images)
    volume = ct.open_volume(dicom.write(images, tmp_path))
    assert volume.report.codes[code] == count
    assert "more images than were found" in volume.to_sequence().provenance["notices"][0]


def test_one_part_of_a_concatenation_is_reported(dicom, assert_whole, tmp_path) -> None:
    """Family: the same for a multi-frame image that was sent in parts (PS3.3 C.7.6.16.2.2.4)."""
    parts = [dicom.enhanced(dicom.datasets()[:4]), dicom.enhanced(dicom.datasets()[4:])]
    for number, part in enumerate(parts, 1):
        part.SOPInstanceUID += f".{number}"
        part.ConcatenationUID = f"{dicom.ROOT}.77"
        part.InConcatenationNumber, part.InConcatenationTotalNumber = number, 2
    dicom.save(parts[0], tmp_path / "a.dcm")
    codes = ct.open_volume(tmp_path).report.codes
    assert codes["series.concatenation_incomplete"] == 1
    dicom.save(parts[1], tmp_path / "b.dcm")
    volume = ct.open_volume(tmp_path)
    assert_whole(volume)
    assert "series.concatenation_incomplete" not in volume.report.codes


@pytest.mark.parametrize("word", ["LOW DOSE", "AIDR 3D", "DOSE REDUCED", "PROTOCOL A", "AVG 3"])
def test_words_of_an_image_type_are_matched_whole(dicom, assert_whole, tmp_path, word) -> None:
    """Family: page and reformat words inside other words; half of the slices would go."""
    kind = ["ORIGINAL", "PRIMARY", "AXIAL", word]
    images = build.change(dicom.datasets(), range(4), ImageType=kind)
    assert_whole(ct.open_volume(dicom.write(images, tmp_path)))


@pytest.mark.parametrize("word", ["DOSE_INFO", "SCREEN SAVE", "PATIENT_INFO", "EXAM-SUMMARY"])
def test_pages_are_known_by_their_whole_word(dicom, tmp_path, word) -> None:
    page = dicom.datasets(dicom.phantom(seed=3))[0]
    page.ImageType = ["DERIVED", "SECONDARY", word]
    page.SOPInstanceUID += ".9"
    volume = ct.open_volume(dicom.write([*dicom.datasets(), page], tmp_path))
    assert volume.shape[0] == 8
    assert volume.report.codes["page.screen"] == 1


def test_slices_as_acquired_lie_where_their_headers_say(dicom, tmp_path) -> None:
    """Each view's place is its own slice's; none is made up, straightened or moved."""
    images = build.split_head()
    volume = ct.open_volume(dicom.write(images, tmp_path))
    normal = np.array([0, np.sin(np.radians(18.5)), np.cos(np.radians(18.5))])
    expected = sorted(
        (float(np.array(image.ImagePositionPatient, float) @ normal) for image in images),
        reverse=True,
    )
    sequence = volume.to_sequence(ct.SlicePolicy(at="acquired", windows=("400/40",)))
    np.testing.assert_allclose([view.place.z_mm for view in sequence], expected, atol=1e-3)
    assert [view.place.thickness_mm for view in sequence] == [7.0] * 14 + [4.0] * 14
    assert not any(view.place.synthetic for view in sequence)
    np.testing.assert_array_equal(
        volume.source.read(range(28)), dicom.phantom((28, *dicom.SHAPE[1:]))
    )
    for name in ("hu", "spacing_mm", "affine_ras_mm"):
        with pytest.raises(GeometryError):
            getattr(volume, name)
    with pytest.raises(GeometryError):
        volume.to_sequence()
    few = volume.to_sequence(ct.SlicePolicy(at="acquired", spacing_mm=14.0))
    steps = -np.diff([view.place.z_mm for view in few])
    assert abs(steps.mean() - 14.0) < 2


def test_acquired_slices_of_a_repaired_volume_are_the_unrepaired_ones(dicom, tmp_path) -> None:
    images = build.sequential([2.5] * 9, tilt_deg=15.0)
    del images[4]
    volume = ct.open_volume(dicom.write(images, tmp_path), repair=("tilt", "gaps"))
    assert volume.shape[0] == 10
    shown = volume.to_sequence(ACQUIRED)
    assert len(shown) == 9
    assert volume.slices("acquired").shape[1] == 40 < volume.shape[1]
    with pytest.raises(LongLlavaError):
        ct.SlicePolicy(at="acquired", slab_mm=5)
