"""Hazards of volumes with more than three dimensions, and of multi-frame images."""

import zipfile
from typing import Any

import numpy as np
import pytest

from longllava_domains import ct
from longllava_domains.errors import (
    AmbiguousInputError,
    DamagedInputError,
    GeometryError,
)


def zipped(folder, path, **how) -> Any:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **how) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.hazard("F", 1)
def test_enhanced_ct_takes_rescale_and_place_from_functional_groups(
    dicom, assert_whole, tmp_path
) -> None:
    path = dicom.save(dicom.enhanced(dicom.datasets()), tmp_path / "enhanced.dcm")
    volume = ct.open_volume(path)
    assert_whole(volume)
    assert volume.report.source_kind == "dicom-enhanced"
    assert len(volume.source.source_headers()) == 1


@pytest.mark.hazard("F", 2)
@pytest.mark.parametrize("syntax", ["jpeg_ls", "rle", "deflated", "implicit", "big_endian"])
def test_compressed_enhanced_ct_and_frames_out_of_order(
    syntax, dicom, phantom, assert_whole, tmp_path
) -> None:
    images = dicom.datasets(syntax=dicom.LOSSLESS[syntax])
    images = [images[i] for i in (4, 1, 7, 0, 2, 6, 3, 5)]
    folder = tmp_path / "a"
    dicom.save(dicom.enhanced(images), folder / "enhanced.dcm")
    volume = ct.open_volume(folder)
    assert_whole(volume)
    np.testing.assert_array_equal(volume.source.read([6, 0]), phantom[[6, 0]])
    packed = zipped(folder, tmp_path / "a.zip")
    assert_whole(ct.open_volume(packed))


@pytest.mark.hazard("F", 1)
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big_endian", "rle"])
def test_signed_values_of_enhanced_ct_stay_signed(syntax, dicom, assert_whole, tmp_path) -> None:
    images = dicom.datasets(signed=True, intercept=-24, syntax=dicom.LOSSLESS[syntax])
    volume = ct.open_volume(dicom.save(dicom.enhanced(images), tmp_path / "e.dcm"))
    assert_whole(volume)
    assert "header.unreadable_value" not in volume.report.codes


@pytest.mark.hazard("F", 1)
def test_rescale_that_varies_by_frame(dicom, assert_whole, tmp_path) -> None:
    images = dicom.datasets()
    images[3] = dicom.datasets(intercept=-2000)[3]
    volume = ct.open_volume(dicom.save(dicom.enhanced(images), tmp_path / "e.dcm"))
    assert_whole(volume)
    assert volume.report.codes["hu.rescale_varies"] == 2


@pytest.mark.hazard("F", 1)
def test_a_legacy_converted_image_without_dimension_indices(dicom, assert_whole, tmp_path) -> None:
    image = dicom.enhanced(dicom.datasets())
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.2"
    assert_whole(ct.open_volume(dicom.save(image, tmp_path / "l.dcm")))


@pytest.mark.hazard("F", 1)
def test_multi_frame_ct_without_geometry_is_refused(dicom, refused, tmp_path) -> None:
    image = dicom.enhanced(dicom.datasets())
    del image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence
    refused(dicom.save(image, tmp_path / "m.dcm"), GeometryError, "ct.multiframe_without_geometry")


@pytest.mark.hazard("F", 1)
def test_frames_that_do_not_match_their_groups_are_refused(dicom, refused, tmp_path) -> None:
    image = dicom.enhanced(dicom.datasets())
    image.NumberOfFrames = 7
    refused(dicom.save(image, tmp_path / "m.dcm"), DamagedInputError, "input.damaged")


@pytest.mark.hazard("F", 1)
def test_two_phases_in_one_enhanced_image(dicom, phantom, refused, tmp_path) -> None:
    late = dicom.phantom(seed=2)
    image = dicom.enhanced([*dicom.datasets(), *dicom.datasets(late)], phases=2)
    path = dicom.save(image, tmp_path / "e.dcm")
    refused(path, AmbiguousInputError, "series.ambiguous")
    volumes = [ct.open_volume(path, series=number).hu for number in (1, 2)]
    assert sum(np.array_equal(hu, phantom) for hu in volumes) == 1
    assert sum(np.array_equal(hu, late) for hu in volumes) == 1


@pytest.mark.hazard("F", 1)
def test_a_thousand_slices_in_int16(dicom, tmp_path) -> None:
    tall = dicom.phantom((1000, 16, 16))
    (tmp_path / "a").mkdir()
    template = dicom.datasets(tall[:1])[0]
    template.ImagePositionPatient = [-21, -30.5, 1000.25]
    data = dicom.save(template, tmp_path / "template").read_bytes()
    pixels = (tall[0].astype(int) + 1024).astype("<u2").tobytes()
    for index, plane in enumerate(tall):
        stored = (plane.astype(int) + 1024).astype("<u2").tobytes()
        moved = data.replace(b"1000.25", f"{5000 - 2.5 * index:7.2f}"[:7].encode())
        (tmp_path / "a" / f"{index}").write_bytes(moved.replace(pixels, stored))
    volume = ct.open_volume(tmp_path / "a")
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, tall)
