"""A sound series in, the right volume out: any plane, order, transfer syntax and container."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from longllava_domains import ct
from longllava_domains.ct.hounsfield.ct_rate import CtRateVolume
from longllava_domains.errors import NotFoundError, PolicyError, UnsupportedInputError

ROOT = Path(__file__).parents[2]
SYNTAXES = [
    "implicit", "explicit", "big_endian", "deflated", "rle", "jpeg_lossless", "jpeg_lossless_sv1",
    "jpeg_ls", "jpeg2000", "htj2k", "htj2k_rpcl",
]  # fmt: skip


def assert_is_phantom(volume, dicom, hu=None) -> None:
    np.testing.assert_array_equal(volume.hu, dicom.phantom() if hu is None else hu)
    np.testing.assert_allclose(volume.affine_ras_mm, dicom.affine_ras_mm(), atol=1e-4)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("name", SYNTAXES)
def test_every_lossless_syntax_gives_the_stored_values(name, signed, dicom, tmp_path) -> None:
    how = {"signed": True, "intercept": 0, "bits": 16} if signed else {}
    folder = dicom.write_series(tmp_path / "a", syntax=dicom.LOSSLESS[name], **how)
    volume = ct.open_volume(folder, hu="trust")
    assert_is_phantom(volume, dicom)
    assert sum(n for code, n in volume.report.codes.items() if code.startswith("decoder.")) == 8


@pytest.mark.parametrize("name", ["jpeg_extended", "jpeg_ls_near", "jpeg2000_lossy", "htj2k_lossy"])
def test_lossy_slices_are_close_and_reported(name, dicom, tmp_path) -> None:
    volume = ct.open_volume(dicom.write_series(tmp_path / "a", syntax=dicom.LOSSY[name],
                                               edit=lambda image, _: setattr(image, "LossyImageCompression", "01")))  # fmt: skip
    difference = np.abs(volume.hu.astype(int) - dicom.phantom())
    assert np.median(difference) <= 40
    assert volume.report.codes["pixel.lossy"] == 8


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_every_acquisition_plane_gives_the_same_volume(plane, dicom, tmp_path) -> None:
    volume = ct.open_volume(dicom.write_series(tmp_path / "a", plane=plane))
    assert_is_phantom(volume, dicom)
    some = [5, 2]
    np.testing.assert_array_equal(volume.source.read(some), dicom.phantom()[some])


def test_an_oblique_volume_keeps_its_exact_affine(dicom, tmp_path) -> None:
    turn = dicom.turn_about_x(14.0)
    volume = ct.open_volume(dicom.write_series(tmp_path / "a", turn=turn))
    np.testing.assert_array_equal(volume.hu, dicom.phantom())
    np.testing.assert_allclose(volume.affine_ras_mm, dicom.affine_ras_mm(turn=turn), atol=1e-4)


def test_only_the_slices_asked_for_are_decoded(dicom, tmp_path, monkeypatch) -> None:
    from longllava_domains.ct.dicom import slice_source

    folder = dicom.write_series(tmp_path / "a", syntax=dicom.LOSSLESS["jpeg_ls"])
    decoded = []
    read = slice_source.read_slice
    monkeypatch.setattr(slice_source, "read_slice", lambda *a: decoded.append(1) or read(*a))
    volume = ct.open_volume(folder)
    assert decoded == []
    volume.source.read([3, 1])
    assert len(decoded) == 2


@pytest.mark.parametrize("name", ["explicit", "jpeg2000", "deflated"])
def test_a_zip_gives_what_its_folder_gives(name, dicom, tmp_path) -> None:
    folder = dicom.write_series(tmp_path / "a", syntax=dicom.LOSSLESS[name])
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"../../up/{path.name}")
    assert_is_phantom(ct.open_volume(packed), dicom)


def test_instances_and_headers_lead_back_to_the_source(dicom, tmp_path) -> None:
    volume = ct.open_volume(dicom.write_series(tmp_path / "a"))
    from longllava_domains.units import short_hash

    assert volume.source.instances[0] == (short_hash(f"{dicom.ROOT}.1.8"),)
    headers = volume.source.source_headers()
    assert sorted(int(header.InstanceNumber) for header in headers) == list(range(1, 9))
    assert all("PixelData" not in header for header in headers)


def test_nothing_there_is_said_plainly(tmp_path) -> None:
    with pytest.raises(NotFoundError, match="no file or folder"):
        ct.open_volume(tmp_path / "none")
    with pytest.raises(NotFoundError, match="empty"):
        ct.open_volume(tmp_path)


@pytest.mark.parametrize(
    "head", [b"\xff\xd8\xff\xe0 JFIF", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", b"Dear colleague, ", b""]
)
def test_a_file_that_is_not_dicom_is_refused(head, tmp_path) -> None:
    path = tmp_path / "scan.dcm"
    path.write_bytes(head * 40)
    with pytest.raises(UnsupportedInputError) as refused:
        ct.open_volume(path)
    assert refused.value.remedy


def test_a_nifti_file_has_no_series(tmp_path) -> None:
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "scan.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), path)
    with pytest.raises(PolicyError):
        ct.open_volume(path, series=2)
    with pytest.raises(UnsupportedInputError, match="one volume"):
        ct.list_series(path)


def test_a_table_of_ct_rate_settles_the_scale_of_a_nifti_by_its_name(tmp_path) -> None:
    scan = CtRateVolume(1.0, -8192.0, (7.5, 2.0, 2.0))
    phantom = shutil.copy(ROOT / "examples/chest_phantom.nii.gz", tmp_path / "valid_1_a_1.nii.gz")
    volume = ct.open_volume(phantom, hu={"valid_1_a_1.nii.gz": scan})
    assert volume.report.codes["hu.ct_rate_v2"] == 1
    with pytest.raises(NotFoundError, match="list"):
        ct.open_volume(phantom, hu={"valid_2_a_1.nii.gz": scan})


def test_a_table_of_ct_rate_says_nothing_of_dicom(dicom, tmp_path) -> None:
    with pytest.raises(PolicyError, match="CT-RATE"):
        ct.open_volume(dicom.write_series(tmp_path), hu={"a": CtRateVolume(1.0, 0.0, (1, 1, 1))})


@pytest.mark.parametrize("rule", ["guess", (1, 2, 3), ("1", "0"), (0, 1), {"a": 1}, None])
def test_an_unknown_rule_for_hounsfield_units_is_refused(rule, dicom, tmp_path) -> None:
    with pytest.raises(PolicyError):
        ct.open_volume(dicom.write_series(tmp_path), hu=rule)


def test_a_pipe_is_refused_at_once(tmp_path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotFoundError):
        ct.open_volume(tmp_path / "pipe")
    with pytest.raises(UnsupportedInputError):
        ct.open_volume(tmp_path)


@pytest.mark.parametrize("name", ["chest_phantom", "chest_phantom.nii.gz"])
def test_a_repair_that_is_no_tuple_is_said_to_be_none(name) -> None:
    with pytest.raises(PolicyError, match="The argument repair is a str") as caught:
        ct.open_volume(ROOT / "examples" / name, repair="tilt")
    assert caught.value.remedy == "Pass a list, each item a str."
