"""Where a NIfTI volume lies: sform, qform, pixdim and units, believed where they agree."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nifti_builder import AFFINE, PHANTOM, changed, refused

from longllava_domains.ct.nifti.open import open_nifti
from longllava_domains.errors import (
    GeometryError,
)


def test_the_qform_holds_where_there_is_no_sform(tmp_path: Path) -> None:
    other = np.diag([3.0, 3.0, 3.0, 1.0])
    fields = {"sform_code": 0, "srow_x": other[0], "srow_y": other[1], "srow_z": other[2]}
    volume = open_nifti(changed(tmp_path, **fields))
    np.testing.assert_allclose(volume.affine_ras_mm, PHANTOM.affine_ras_mm, atol=1e-4)
    assert "nifti.qform" in volume.report.codes


def test_no_code_at_all_is_refused_unless_told(tmp_path: Path) -> None:
    path = changed(tmp_path, sform_code=0, qform_code=0)
    refused(path, GeometryError, "nifti.no_affine")
    volume = open_nifti(path, repair=("assume_affine",))
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)
    assert volume.spacing_mm == pytest.approx((25, 9, 9))
    assert volume.report.codes["repair.assume_affine"] == 1


def flipped_qform() -> dict[str, Any]:
    """A qform that mirrors left and right against the sform (qfac -1 and a half turn)."""
    header = nibabel.Nifti1Header()
    mirrored = AFFINE.copy()
    mirrored[0, 0] *= -1
    header.set_qform(mirrored, code=1)
    names = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    fields = {name: header[name] for name in names}
    return {**fields, "pixdim": header["pixdim"]}


def test_forms_that_disagree_on_left_and_right_are_refused_unless_told(tmp_path: Path) -> None:
    path = changed(tmp_path, **flipped_qform())
    error = refused(path, GeometryError, "nifti.forms_disagree")
    assert error.facts["turned_mm"] > 100
    by_sform = open_nifti(path, repair=("sform",))
    by_qform = open_nifti(path, repair=("qform",))
    np.testing.assert_array_equal(by_sform.hu, PHANTOM.hu)
    np.testing.assert_array_equal(by_qform.hu, PHANTOM.hu[:, :, ::-1])
    assert by_sform.report.codes["repair.sform"] == 1
    assert by_qform.report.codes["repair.qform"] == 1


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_a_form_that_is_not_there_cannot_be_held_to(tmp_path: Path, form: str) -> None:
    path = changed(tmp_path, **{f"{form}_code": 0})
    refused(path, GeometryError, f"nifti.{form}", repair=(form,))


def test_forms_that_differ_by_a_shift_are_reported(tmp_path: Path) -> None:
    volume = open_nifti(changed(tmp_path, qoffset_x=AFFINE[0, 3] + 40))
    assert volume.report.codes["nifti.forms_differ"] == 1
    np.testing.assert_allclose(volume.affine_ras_mm, PHANTOM.affine_ras_mm, atol=1e-4)


def test_a_sheared_sform_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, qform_code=0, srow_y=[0, 9, 8, 0], pixdim=[1, 9, 9, 26.2, 0, 0, 0, 0])
    assert refused(path, GeometryError, "geometry.sheared").facts["shear_deg"] > 15


def test_a_sform_that_pixdim_contradicts_is_refused_unless_told(tmp_path: Path) -> None:
    path = changed(tmp_path, qform_code=0, pixdim=[1, 9, 9, 5, 0, 0, 0, 0])
    refused(path, GeometryError, "nifti.pixdim_disagrees")
    assert open_nifti(path, repair=("sform",)).spacing_mm == pytest.approx((25, 9, 9))


@pytest.mark.parametrize("bad", [0, -9, np.nan, np.inf])
def test_a_bad_pixdim_leaves_the_sform_alone_and_voids_the_qform(
    tmp_path: Path, bad: float
) -> None:
    pixdim = [1, bad, 9, 25, 0, 0, 0, 0]
    volume = open_nifti(changed(tmp_path, pixdim=pixdim))
    assert volume.spacing_mm == pytest.approx((25, 9, 9))
    assert volume.report.codes["nifti.pixdim_invalid"] == 1
    refused(changed(tmp_path, pixdim=pixdim, sform_code=0), GeometryError, "nifti.qform")
    path = changed(tmp_path, pixdim=pixdim, sform_code=0, qform_code=0)
    refused(path, GeometryError, "nifti.pixdim", repair=("assume_affine",))


@pytest.mark.parametrize("quaternion", [1.5, np.nan])
def test_an_impossible_quaternion_voids_the_qform(tmp_path: Path, quaternion: float) -> None:
    volume = open_nifti(changed(tmp_path, quatern_b=quaternion))
    assert {"nifti.qform_invalid", "nifti.sform"} <= set(volume.report.codes)
    path = changed(tmp_path, quatern_b=quaternion, sform_code=0)
    refused(path, GeometryError, "nifti.qform")


@pytest.mark.parametrize("qfac", [0, 3])
def test_a_qfac_of_zero_means_one(tmp_path: Path, qfac: float) -> None:
    path = changed(tmp_path, pixdim=[qfac, 9, 9, 25, 0, 0, 0, 0], sform_code=0)
    volume = open_nifti(path)
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)
    assert ("nifti.qfac" in volume.report.codes) == (qfac == 3)


@pytest.mark.parametrize(("units", "factor"), [(1, 1e-3), (3, 1e3), (2, 1), (0, 1)])
def test_units_are_honoured(tmp_path: Path, units: int, factor: float) -> None:
    scaled = AFFINE * factor
    path = changed(
        tmp_path, xyzt_units=units, qform_code=0, pixdim=[1, *np.diag(scaled)[:3], 0, 0, 0, 0],
        srow_x=scaled[0], srow_y=scaled[1], srow_z=scaled[2],
    )  # fmt: skip
    volume = open_nifti(path)
    assert volume.spacing_mm == pytest.approx((25, 9, 9), rel=1e-5)
    assert ("nifti.units_unknown" in volume.report.codes) == (units == 0)


@pytest.mark.parametrize("units", [1, 3])
def test_a_wrong_unit_is_refused_as_a_spacing_no_ct_has(tmp_path: Path, units: int) -> None:
    refused(changed(tmp_path, xyzt_units=units), GeometryError, "geometry.spacing")
