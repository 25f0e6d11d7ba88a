"""NIfTI files of every make open to the same volume, and unproved ones are refused by name."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nifti_builder import AFFINE, PHANTOM, VALUES, changed, image, refused, save

from longllava_domains.ct.hounsfield.ct_rate import CtRateVolume
from longllava_domains.ct.nifti.open import open_nifti
from longllava_domains.errors import (
    DamagedInputError,
    GeometryError,
    IntensityError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "SCAN.NII"])
def test_single_files_open(tmp_path: Path, kind: Any, name: str) -> None:
    volume = open_nifti(save(tmp_path, image(kind=kind), name))
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)
    np.testing.assert_allclose(volume.affine_ras_mm, PHANTOM.affine_ras_mm, atol=1e-4)
    assert volume.report.codes == {"hu.proved": 1, "nifti.sform": 1}


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
@pytest.mark.parametrize("half", [".hdr", ".img"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_either_half_of_a_pair_opens(tmp_path: Path, kind: Any, half: str, ending: str) -> None:
    nibabel.save(image(kind=kind), tmp_path / f"scan.img{ending}")
    volume = open_nifti(tmp_path / f"scan{half}{ending}")
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    nibabel.save(image(kind=nibabel.Nifti1Pair), tmp_path / "scan.img")
    (tmp_path / "scan.img").unlink()
    refused(tmp_path / "scan.hdr", NotFoundError, "nifti.missing")


@pytest.mark.parametrize("dtype", [">i2", "<i4", ">i4", "<f4", ">f8", "<i8"])
def test_every_real_type_in_either_byte_order_opens(tmp_path: Path, dtype: str) -> None:
    made = nibabel.Nifti1Image(
        VALUES.astype(dtype), AFFINE, nibabel.Nifti1Header(endianness=dtype[0]), dtype=dtype
    )
    volume = open_nifti(save(tmp_path, made, "scan.nii.gz"))
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)


def test_a_slope_is_applied_exactly_and_reported(tmp_path: Path) -> None:
    made = image((VALUES.astype(int) * 2 + 4000).astype(np.uint16))
    made.header.set_slope_inter(0.5, -2000)
    path = tmp_path / "scan.nii"
    path.write_bytes(made.to_bytes())
    raw = bytearray(path.read_bytes())
    raw[112:120] = struct.pack("<ff", 0.5, -2000)  # nibabel resets them for its own array
    path.write_bytes(raw)
    volume = open_nifti(path)
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)
    assert volume.report.codes["hu.rescaled"] == 1
    assert volume.report.numbers["slope"] == 0.5


@pytest.mark.parametrize(("slope", "inter"), [(0, 0), (0, np.inf), (np.nan, 0), (np.nan, np.nan)])
def test_an_unset_slope_means_none(tmp_path: Path, slope: float, inter: float) -> None:
    volume = open_nifti(changed(tmp_path, scl_slope=slope, scl_inter=inter))
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)
    assert "nifti.scale_unset" in volume.report.codes


@pytest.mark.parametrize(("slope", "inter"), [(np.inf, 0), (1, np.nan), (1, -np.inf), (2, np.nan)])
def test_a_slope_that_is_no_number_is_refused(tmp_path: Path, slope: float, inter: float) -> None:
    path = changed(tmp_path, scl_slope=slope, scl_inter=inter)
    refused(path, IntensityError, "nifti.scale")
    stored = changed(tmp_path, scl_slope=slope, scl_inter=inter)
    assert open_nifti(stored, hu=(1.0, 0.0)).report.codes["hu.given"] == 1


def test_trailing_single_dimensions_are_dropped(tmp_path: Path) -> None:
    volume = open_nifti(save(tmp_path, image(VALUES[..., None, None])))
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)


@pytest.mark.parametrize(
    "values",
    [
        np.stack([VALUES] * 2, axis=-1),
        VALUES[:, :, 0],
        np.zeros(VALUES.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]),
        VALUES.astype(np.complex64),
    ],
    ids=["4-D", "2-D", "RGB", "complex"],
)
def test_what_is_not_one_real_volume_is_refused(tmp_path: Path, values: Any) -> None:
    path = save(tmp_path, image(values))
    with pytest.raises(UnsupportedInputError):
        open_nifti(path)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"dim": [3, 44, 40, 13, 1, 1, 1, 1]}, "nifti.truncated"),
        ({"dim": [3, 44, 40, 6, 1, 1, 1, 1]}, "nifti.trailing"),
        ({"dim": [3, 44, 0, 12, 1, 1, 1, 1]}, "nifti.dim"),
        ({"dim": [3, 44, -40, 12, 1, 1, 1, 1]}, "nifti.dim"),
        ({"dim": [9, 44, 40, 12, 1, 1, 1, 1]}, "nifti.dim"),
        ({"dim": [3, 32767, 32767, 8, 1, 1, 1, 1]}, "nifti.size"),
        ({"bitpix": 8}, "nifti.datatype"),
        ({"datatype": 5}, "nifti.datatype"),
        ({"vox_offset": 0}, "nifti.offset"),
        ({"vox_offset": 352.5}, "nifti.offset"),
        ({"vox_offset": np.nan}, "nifti.offset"),
        ({"vox_offset": 368}, "nifti.truncated"),
        ({"xyzt_units": 7}, "nifti.units"),
        ({"magic": b"n+3"}, "nifti.analyze"),
        ({"magic": b""}, "nifti.analyze"),
    ],
)
def test_headers_that_contradict_the_file_are_refused(
    tmp_path: Path, fields: dict[str, Any], code: str
) -> None:
    with pytest.raises((DamagedInputError, UnsupportedInputError)) as caught:
        open_nifti(changed(tmp_path, **fields))
    assert caught.value.code == code


def test_a_little_padding_is_reported_and_anything_more_refused(tmp_path: Path) -> None:
    path = changed(tmp_path)
    whole = path.read_bytes()
    for data in (whole + bytes(100), gzip.compress(whole + bytes(100))):
        path.write_bytes(data)
        assert open_nifti(path).report.codes["nifti.padding"] == 1
    for data in (whole + b"x", whole + bytes(600), gzip.compress(whole + bytes(600))):
        path.write_bytes(data)
        refused(path, DamagedInputError, "nifti.trailing")


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    whole = changed(tmp_path).read_bytes()
    path = tmp_path / "scan.nii.gz"
    parts = [whole[start : start + 9000] for start in range(0, len(whole), 9000)]
    path.write_bytes(b"".join(map(gzip.compress, parts)))
    np.testing.assert_array_equal(open_nifti(path).hu, PHANTOM.hu)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda gz, whole: gz[:-1], "nifti.truncated"),
        (lambda gz, whole: gz[: len(gz) // 2], "nifti.truncated"),
        (lambda gz, whole: gz[:-8] + bytes(4) + gz[-4:], "nifti.gzip"),
        (lambda gz, whole: gz + b"junk", "nifti.trailing"),
        (lambda gz, whole: gzip.compress(whole[:-2]), "nifti.truncated"),
        (lambda gz, whole: gzip.compress(whole[:-2])[:-4] + gz[-4:], "nifti.gzip"),
        (lambda gz, whole: gzip.compress(whole + bytes(50_000_000)), "nifti.trailing"),
        (lambda gz, whole: gzip.compress(whole[:348]), "nifti.truncated"),
        (lambda gz, whole: gz[:12], "nifti.magic"),
    ],
)
def test_broken_compression_is_refused(
    tmp_path: Path, damage: Callable[[bytes, bytes], bytes], code: str
) -> None:
    whole = changed(tmp_path).read_bytes()
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(damage(gzip.compress(whole), whole))
    with pytest.raises((DamagedInputError, UnsupportedInputError)) as caught:
        open_nifti(path)
    assert caught.value.code == code


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    """A few kilobytes that claim, and really hold, gigabytes."""
    block = bytearray(changed(tmp_path, dim=[3, 2000, 2000, 500, 1, 1, 1, 1]).read_bytes()[:352])
    path = tmp_path / "scan.nii.gz"
    for filler in (bytes(3_000_000), np.random.default_rng(0).bytes(5_000_000)):
        path.write_bytes(gzip.compress(bytes(block) + filler))
        refused(path, DamagedInputError, "nifti.truncated")


def test_countless_empty_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(changed(tmp_path).read_bytes()) + gzip.compress(b"") * 5000)
    refused(path, DamagedInputError, "nifti.trailing")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_voxels_are_refused(tmp_path: Path, dtype: Any) -> None:
    values = VALUES.astype(dtype)
    values[3, 4, 5] = np.nan
    refused(save(tmp_path, image(values)), IntensityError, "hu.not_finite")


def test_values_that_are_not_hounsfield_units_need_a_scale(tmp_path: Path) -> None:
    stored = image((VALUES.astype(int) + 1024).astype(np.int16))
    path = save(tmp_path, stored, "valid_1_a_1.nii.gz")
    refused(path, IntensityError, "hu.unproved")
    scan = CtRateVolume(1, -1024, (25.0, 9.0, 9.0))
    for rule in ((1.0, -1024.0), scan, {"valid_1_a_1.nii.gz": scan}):
        np.testing.assert_array_equal(open_nifti(path, hu=rule).hu, PHANTOM.hu)
    refused(path, NotFoundError, "ct_rate.unlisted", hu={"valid_2_a_1.nii.gz": scan})


def test_ct_rate_spacing_must_agree_or_be_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path, image())
    scan = CtRateVolume(1, -1024, (1.5, 0.75, 0.75))
    refused(path, GeometryError, "ct_rate.spacing", hu=scan)
    volume = open_nifti(path, hu=scan, repair=("ct_rate_spacing",))
    assert volume.spacing_mm == pytest.approx((1.5, 0.75, 0.75))
    assert {"repair.ct_rate_spacing", "hu.ct_rate_v2"} <= set(volume.report.codes)


def test_an_unknown_repair_is_refused(tmp_path: Path) -> None:
    refused(changed(tmp_path), PolicyError, "nifti.repair", repair=("tilt",))


def test_the_hash_is_of_the_file_and_a_changed_file_is_noticed(tmp_path: Path) -> None:
    import hashlib

    path = save(tmp_path, image(), "scan.nii.gz")
    volume = open_nifti(path)
    assert volume.source.content_sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    volume = open_nifti(path)
    path.write_bytes(path.read_bytes() + bytes(1))
    with pytest.raises(DamagedInputError) as caught:
        volume.source.content_sha256()
    assert caught.value.code == "nifti.changed"


@pytest.mark.parametrize(
    "data", [b"", b"not a volume at all", b"\x1f\x8b", b"\xff\xd8\xff\xe0" * 99]
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(data)
    with pytest.raises((DamagedInputError, UnsupportedInputError)):
        open_nifti(path)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, NotFoundError, "nifti.missing")
    refused(tmp_path / "scan.nii", NotFoundError, "nifti.missing")
