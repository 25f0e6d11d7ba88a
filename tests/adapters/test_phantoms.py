from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

from longllava_domains.adapters.phantoms.chest import BONE_HU, LUNG_HU, chest_phantom
from longllava_domains.adapters.phantoms.files import write_dicom_series, write_nifti
from longllava_domains.errors import OutputError


@pytest.fixture(scope="module")
def phantom() -> Any:
    return chest_phantom(shape=(12, 64, 64), spacing_mm=(25, 6, 6), noise_hu=0)


def test_the_phantom_is_asymmetric_in_every_direction() -> None:
    whole = chest_phantom(noise_hu=0).hu
    for axis in range(3):
        assert (whole != np.flip(whole, axis)).mean() > 0.02


def test_the_spine_is_behind_and_the_liver_is_on_the_right() -> None:
    whole = chest_phantom(noise_hu=0).hu
    rows = np.argwhere(whole[:, :, 94:98] == BONE_HU)[:, 1]
    assert np.median(rows) > whole.shape[1] / 2
    feet = whole[34]
    assert (feet[:, :96] == 60).sum() > 10 * (feet[:, 96:] == 60).sum()


def test_a_planted_nodule_is_where_the_phantom_says() -> None:
    plain, planted = chest_phantom(noise_hu=0), chest_phantom(noise_hu=0, findings=("nodule",))
    changed = np.argwhere(plain.hu != planted.hu) * planted.spacing_mm
    assert np.abs(changed.mean(axis=0) - planted.findings["nodule"]).max() < 4
    assert plain.hu[plain.hu != planted.hu].max() == LUNG_HU


def test_dicom_holds_the_same_values_at_the_same_places(phantom, tmp_path: Path) -> None:
    paths = write_dicom_series(phantom, tmp_path / "series")
    image = pydicom.dcmread(paths[3])
    values = image.pixel_array.astype(int) * image.RescaleSlope + image.RescaleIntercept
    assert np.array_equal(values, phantom.hu[3])
    left_posterior_superior = phantom.affine_ras_mm[:3, 3] + 3 * phantom.affine_ras_mm[:3, 0]
    assert np.allclose(image.ImagePositionPatient, left_posterior_superior * [-1, -1, 1])
    with pytest.raises(OutputError, match="not empty"):
        write_dicom_series(phantom, tmp_path / "series")


def test_nifti_holds_the_same_values_at_the_same_places(phantom, tmp_path: Path) -> None:
    image = nibabel.load(write_nifti(phantom, tmp_path / "phantom.nii.gz"))
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    for voxel in ((0, 0, 0), (3, 20, 40), (11, 63, 1)):
        ras = phantom.affine_ras_mm @ (*voxel, 1)
        i, j, k, _ = np.rint(np.linalg.inv(image.affine) @ ras).astype(int)
        assert image.dataobj[i, j, k] == phantom.hu[voxel]
